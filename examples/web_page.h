/*
 * examples/web_page.h - a page that `web` (web.h) fetches: where it is, when it is its turn, what
 * has come of it.
 *
 *     web_want() --> web_look_up() --> web_get() --> line --(room)--> mr_http3_get()
 *                                                      ^                    |
 *                                       the next one --+--- web_came() <----+--> done: web_print()
 *
 * A client has so many pages under way at once and no more (struct mr_http3_client_config): the
 * others stand in a line, and each page that ends lets the next one begin.
 *
 * For C and C++.
 */
#ifndef EXAMPLES_WEB_PAGE_H
#define EXAMPLES_WEB_PAGE_H

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>

#include "examples/web.h"

/* ------------------------------------------------------------------ where a page is */

/* A page that is wanted. */
struct web_wanted {
    const char *text; /* as it was asked for */
    struct mr_http3_url url;
    struct mr_http3_request request;
    struct web_line *line; /* from web_get() on */
    struct web_wanted *next;
    void (*done)(void *context, const struct mr_http3_page *page);
    void *context;
};

/* Take one of the task's URLs apart. */
static inline void web_want(const struct web_task *task, const char *url, struct web_wanted *wanted)
{
    memset(wanted, 0, sizeof(*wanted));
    wanted->text = url;
    wanted->request.url = &wanted->url;
    wanted->request.is_insecure = task->is_insecure;
    (void)mr_http3_url_parse(url, &wanted->url); /* it could, in web_check() */
}

/* An address as the system has them, as millrace has them. */
static inline void web_set_address(struct web_wanted *wanted, const struct sockaddr *found)
{
    struct mr_address *address = &wanted->request.server;

    memset(address, 0, sizeof(*address));
    address->port = wanted->url.port;
    if (found->sa_family == AF_INET) { /* mapped: ::ffff:a.b.c.d */
        address->ip[10] = address->ip[11] = 0xff;
        memcpy(address->ip + 12, &((const struct sockaddr_in *)(const void *)found)->sin_addr, 4);
    } else {
        memcpy(address->ip, &((const struct sockaddr_in6 *)(const void *)found)->sin6_addr, 16);
    }
}

/* Find the server's address, which may take a name server's time.  0, or what gai_strerror()
 * explains. */
static inline int web_look_up(struct web_wanted *wanted)
{
    struct addrinfo hints, *found = NULL;

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_DGRAM;
    int error = getaddrinfo(wanted->url.host, NULL, &hints, &found);
    if (error == 0)
        web_set_address(wanted, found->ai_addr);
    if (error == 0)
        freeaddrinfo(found);
    return error;
}

/* ------------------------------------------------------------------ when it is its turn */

/* Pages that wait until another one has ended; {.client}: none. */
struct web_line {
    struct mr_http3_client *client;
    struct web_wanted *first, *last;
};

static inline void web_begin(struct web_line *line);

/* It has come, or why not: there is room for another. */
static inline void web_came(void *context, const struct mr_http3_page *page)
{
    struct web_wanted *wanted = (struct web_wanted *)context;
    struct web_line *line = wanted->line;

    wanted->done(wanted->context, page); /* `wanted` may be gone then */
    web_begin(line);
}

/* Nothing can be asked for. */
static inline void web_fail_begin(struct web_wanted *wanted, int error)
{
    struct mr_http3_page none;

    memset(&none, 0, sizeof(none));
    none.error = error;
    none.content_type = "";
    none.reason = "no connection can be begun";
    wanted->done(wanted->context, &none);
}

/* Ask for those that there is room for: -EAGAIN says that there is none, until a page ends. */
static inline void web_begin(struct web_line *line)
{
    struct web_wanted *wanted;

    while ((wanted = line->first) != NULL) {
        int error = mr_http3_get(line->client, &wanted->request, web_came, wanted);
        if (error == -EAGAIN)
            return;
        line->first = wanted->next;
        if (error != 0)
            web_fail_begin(wanted, error);
    }
}

/* Fetch a page, now or when it is its turn.  `done` is called once, perhaps inside of this call;
 * `wanted` must stay until then. */
static inline void web_get(struct web_line *line, struct web_wanted *wanted,
                           void (*done)(void *context, const struct mr_http3_page *page),
                           void *context)
{
    wanted->line = line;
    wanted->next = NULL;
    wanted->done = done;
    wanted->context = context;
    *(line->first == NULL ? &line->first : &line->last->next) = wanted;
    line->last = wanted;
    web_begin(line);
}

/* ------------------------------------------------------------------ what has come of it */

/* What has come of a page: its body, or why there is none.  The status. */
static inline int web_print(const char *url, const struct mr_http3_page *page)
{
    char text[32];

    snprintf(text, sizeof(text), "status %u", (unsigned)page->status);
    if (page->error != 0 || page->status >= 300)
        return web_fail_page(url, page->error != 0 ? page->reason : text);
    fwrite(page->body, 1, page->size, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

#endif /* EXAMPLES_WEB_PAGE_H */
