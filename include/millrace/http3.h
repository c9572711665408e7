/*
 * millrace/http3.h - HTTP/3 in an application: a folder that is served, pages that are fetched.
 *
 *     loop, hub or shard --mr_ev_guest(registration, ...)--> server --work--> files of a folder
 *                                                            client --------> whole pages
 *
 * Both are applications of millrace/transport.h, so that they run wherever a registration does:
 * beside handlers, sockets and fibers on a loop, in a process without DPDK and OpenSSL.  The
 * listener's protocol (ALPN) is "h3".
 *
 * Owner: the caller; free them when the loop that drives them was freed.  Threads: new and free:
 * any; everything else: the loop's.
 * Limits: those of the configuration.  Link millrace-http3, a library of its own.
 */
#ifndef MILLRACE_HTTP3_H
#define MILLRACE_HTTP3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/error.h"
#include "millrace/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ a folder is served */

struct mr_http3_server;

/* {0} and a root: everything else as it suits most. */
struct mr_http3_server_config {
    const char *root;         /* the folder; nothing outside it is shown */
    const char *index;        /* file that answers for its folder; NULL: "index.html" */
    bool has_listings;        /* a folder without one is listed; else 404 */
    uint32_t connections_max; /* 0: 1,000; more are closed */
    size_t cache_bytes;       /* of small files; 0: 16 MiB */
};

/* Open the folder.  0; -ENOENT, -ENOTDIR, -EACCES, -ENOMEM, ... */
int mr_http3_server_new(const struct mr_http3_server_config *config,
                        struct mr_http3_server **server_out, struct mr_error *error);

/* Close it.  NULL: no effect. */
void mr_http3_server_free(struct mr_http3_server *server);

/* What mr_ev_guest() wants, with the listener's name; valid as long as the server. */
const struct mr_application *mr_http3_server_application(struct mr_http3_server *server);

/* ------------------------------------------------------------------ pages are fetched */

#define MR_HTTP3_NAME 256 /* bytes of a host's name, with the end */

/* https://HOST[:PORT][/PATH], taken apart. */
struct mr_http3_url {
    char host[MR_HTTP3_NAME];          /* a name or an address, without brackets */
    char authority[MR_HTTP3_NAME + 8]; /* as a request has it */
    char path[1024];                   /* begins with "/" */
    uint16_t port;
};

/* Take `text` apart.  0; -EINVAL: it is none, or has blanks; -ENAMETOOLONG. */
int mr_http3_url_parse(const char *text, struct mr_http3_url *url_out);

struct mr_http3_client;

/* {0}: as it suits most. */
struct mr_http3_client_config {
    uint32_t pages_max; /* under way at once, from mr_http3_get() to `done`; 0: 64; more: -EAGAIN */
};

/* Make a client.  0; -EINVAL; -ENOMEM. */
int mr_http3_client_new(const struct mr_http3_client_config *config,
                        struct mr_http3_client **client_out, struct mr_error *error);

/* End it; pages that are under way are not told of any more.  NULL: no effect. */
void mr_http3_client_free(struct mr_http3_client *client);

/* What mr_ev_guest() wants, with a listener's name that is no other's; valid as long as the client.
 */
const struct mr_application *mr_http3_client_application(struct mr_http3_client *client);

/* What came of a request.  All of it is valid during the call only. */
struct mr_http3_page {
    int error;                /* 0: it has come, whatever its status; -ECONNREFUSED: no connection
                                 came about; -ECONNRESET, -EBADMSG, -EMSGSIZE: over size_max */
    uint32_t status;          /* 200, 404, ... */
    const char *content_type; /* "": not told */
    const uint8_t *body;
    size_t size;
    const char *reason; /* of an error, for people */
};

/* NULL or 0: not wanted. */
struct mr_http3_request {
    struct mr_address server;       /* its address; the URL's host is not looked up */
    const struct mr_http3_url *url; /* copied */
    bool is_insecure;               /* take any certificate */
    bool is_head;                   /* no body */
    size_t size_max;                /* of the body; 0: 16 MiB */
};

/*
 * Fetch a page over a connection of its own.  `done` is called once, by the loop, and may ask for
 * more: there is room for one again.  Before the loop runs requests wait for it.  0; -EAGAIN:
 * pages_max are under way; -ENOMEM;
 * -ENOTCONN: the datapath is gone; -EINVAL: the address.
 */
int mr_http3_get(struct mr_http3_client *client, const struct mr_http3_request *request,
                 void (*done)(void *context, const struct mr_http3_page *page), void *context);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_HTTP3_H */
