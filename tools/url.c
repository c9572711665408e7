/* tools/url.c - see url.h. */
#include "tools/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEME "https://"

static bool fail(const char *text, const char *why, struct mr_fault *fault)
{
    mr_fault_set(fault, EINVAL, "%.100s: %s", text, why);
    return false;
}

/* ------------------------------------------------------------------ host and port */

static bool is_host_byte(char c, bool is_bracketed)
{
    if ((c >= '0' && c <= '9') || c == '.')
        return true;
    if (is_bracketed)
        return c == ':' || strchr("abcdefABCDEF", c) != NULL;
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* Read the host at *at and move behind it. */
static bool take_host(const char **at, struct mr_url *url)
{
    bool is_bracketed = **at == '[';
    const char *begin = *at + is_bracketed;
    size_t size = 0;

    while (begin[size] != '\0' && is_host_byte(begin[size], is_bracketed))
        size++;
    if (size == 0 || size >= sizeof(url->host) || (is_bracketed && begin[size] != ']'))
        return false;
    memcpy(url->host, begin, size);
    url->host[size] = '\0';
    *at = begin + size + is_bracketed;
    return true;
}

static bool take_port(const char **at, struct mr_url *url)
{
    char *end;

    url->port = 443;
    if (**at != ':')
        return true;
    if ((*at)[1] < '0' || (*at)[1] > '9')
        return false;
    unsigned long port = strtoul(*at + 1, &end, 10);
    *at = end;
    url->port = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX;
}

static void write_authority(struct mr_url *url)
{
    bool is_v6 = strchr(url->host, ':') != NULL;
    int used = snprintf(url->authority, sizeof(url->authority), is_v6 ? "[%s]" : "%s", url->host);

    if (url->port != 443)
        snprintf(url->authority + used, sizeof(url->authority) - (size_t)used, ":%u", url->port);
}

/* ------------------------------------------------------------------ path */

/* May a request's path carry it as it is?  (RFC 3986, Section 3.3; '%' begins an encoded byte.) */
static bool is_path_byte(unsigned char c)
{
    return c > 0x20 && c < 0x7f && strchr("\"<>\\^`{|}", c) == NULL;
}

/* Copy path and query up to the fragment. */
static bool take_path(const char *at, struct mr_url *url)
{
    size_t size = 0;

    if (*at != '/')
        url->path[size++] = '/';
    for (; *at != '\0' && *at != '#'; at++) {
        bool is_plain = is_path_byte((unsigned char)*at);

        if (size + (is_plain ? 1 : 3) >= sizeof(url->path))
            return false;
        if (is_plain)
            url->path[size++] = *at;
        else
            size += (size_t)snprintf(url->path + size, 4, "%%%02X", (unsigned char)*at);
    }
    url->path[size] = '\0';
    return true;
}

bool mr_url_parse(const char *text, struct mr_url *url, struct mr_fault *fault)
{
    const char *at = text + strlen(SCHEME);

    *url = (struct mr_url){.port = 0};
    if (strncasecmp(text, SCHEME, strlen(SCHEME)) != 0)
        return fail(text, "not a URL that HTTP/3 can fetch; it begins with https://", fault);
    if (strchr(at, '@') != NULL && strcspn(at, "@") < strcspn(at, "/?#"))
        return fail(text, "user names in URLs are not supported; leave out what stands before @",
                    fault);
    if (!take_host(&at, url))
        return fail(text, "the host is malformed; write a name, 198.18.0.1 or [fd00::1]", fault);
    if (!take_port(&at, url))
        return fail(text, "the port is malformed; it is a number from 1 to 65535", fault);
    if (*at != '\0' && strchr("/?#", *at) == NULL)
        return fail(text, "malformed behind the host; a path begins with /", fault);
    if (!take_path(at, url))
        return fail(text, "the path is too long for one request", fault);
    write_authority(url);
    return true;
}

/* ------------------------------------------------------------------ names */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of a name, decoded; *at moves behind it. */
static char take_byte(const char **at)
{
    const char *from = *at;

    if (from[0] == '%' && hex_digit(from[1]) >= 0 && hex_digit(from[2]) >= 0) {
        *at += 3;
        return (char)(hex_digit(from[1]) << 4 | hex_digit(from[2]));
    }
    *at += 1;
    return from[0];
}

void mr_url_file_name(const struct mr_url *url, char name_out[MR_URL_NAME_MAX])
{
    size_t path_size = strcspn(url->path, "?");
    const char *end = url->path + path_size;
    const char *at = end;
    size_t size = 0;
    bool is_usable = true;

    while (at > url->path && at[-1] != '/')
        at--;
    while (at < end && size + 1 < MR_URL_NAME_MAX) {
        char c = take_byte(&at);

        is_usable = is_usable && (unsigned char)c >= 0x20 && c != '/' && c != 0x7f;
        name_out[size++] = c;
    }
    name_out[size] = '\0';
    if (!is_usable || at < end || size == 0 || strcmp(name_out, ".") == 0 ||
        strcmp(name_out, "..") == 0)
        snprintf(name_out, MR_URL_NAME_MAX, "index.html");
}

bool mr_url_same_server(const struct mr_url *a, const struct mr_url *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}
