/*
 * tools/url.h - the https URLs that a user types, taken apart.
 *
 *     https://HOST[:PORT][/PATH][?QUERY][#FRAGMENT]
 *
 * HOST is a name, an IPv4 address, or an IPv6 address in brackets.  Characters that a request may
 * not carry as they are (blanks, umlauts) are percent-encoded; what is encoded already stays.
 *
 * Owner: none, values only.  Threads: any.
 */
#ifndef MR_TOOLS_URL_H
#define MR_TOOLS_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

#define MR_URL_HOST_MAX 256 /* bytes with the end; DNS names have at most 253 */
#define MR_URL_PATH_MAX 900 /* of a request's 1 KiB */
#define MR_URL_NAME_MAX 256

struct mr_url {
    uint16_t port;
    char host[MR_URL_HOST_MAX]; /* without brackets */
    char authority[MR_URL_HOST_MAX +
                   8];          /* as a request names it: [HOST] or HOST, :PORT unless 443 */
    char path[MR_URL_PATH_MAX]; /* begins with '/', query included */
};

/* Take `text` apart.  False with `fault` set: another scheme, malformed, too long. */
bool mr_url_parse(const char *text, struct mr_url *url_out, struct mr_fault *fault);

/* The name of a file to save it as: the path's last segment, decoded; "index.html" if that is none
 * or not usable as a name. */
void mr_url_file_name(const struct mr_url *url, char name_out[MR_URL_NAME_MAX]);

/* Are both on one server? */
bool mr_url_same_server(const struct mr_url *a, const struct mr_url *b);

#endif /* MR_TOOLS_URL_H */
