/*
 * examples/web_io.h - what the `web`s share that have only bytes and events of streams, in a model
 * of their own (web_rings.c, web_sockets.c, web_coro.cpp): HTTP/3 without I/O, and the pages.
 *
 *     the model's loop --tells--> io --> server or client --> on_page()
 *                      <--wishes--
 *
 * For C and C++.
 */
#ifndef EXAMPLES_WEB_IO_H
#define EXAMPLES_WEB_IO_H

#include <time.h>

#include <millrace/http3_io.h>

#include "examples/web_page.h"

#define WEB_NO_ROOM  0x107 /* H3_EXCESSIVE_LOAD, RFC 9114, Section 8.1 */
#define WEB_REJECTED 0x10b /* H3_REQUEST_REJECTED */

struct web_io {
    struct mr_http3_io *io;
    struct mr_http3_server *server; /* one or the other */
    struct mr_http3_client *client;
    struct web_line line; /* of pages for the client */
    int wanted_count;     /* pages that have not come yet */
    int status;
};

/* ns of a clock that never goes back. */
static inline uint64_t web_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* How long the program may wait for its streams, ns; UINT64_MAX: for ever. */
static inline uint64_t web_io_patience(const struct web_io *w)
{
    uint64_t deadline = mr_http3_io_deadline(w->io), now = web_now();

    return deadline == UINT64_MAX ? UINT64_MAX : deadline > now ? deadline - now : 0;
}

/* The same in ms, as poll(2) has it. */
static inline int web_io_patience_ms(const struct web_io *w)
{
    uint64_t ns = web_io_patience(w);

    return ns == UINT64_MAX ? -1 : (int)(ns / 1000000 + 1);
}

/* 0, or the status: it said why. */
static inline int web_io_new(const struct web_task *task, struct web_io *w)
{
    const struct mr_http3_server_config config = web_server_config(task);
    const struct mr_application *application;
    struct mr_http3_io_config io_config;
    struct mr_error error;

    memset(w, 0, sizeof(*w));
    memset(&io_config, 0, sizeof(io_config));
    io_config.is_client = task->folder == NULL;
    if ((task->folder != NULL ? mr_http3_server_new(&config, &w->server, &error)
                              : mr_http3_client_new(NULL, &w->client, &error)) != 0)
        return web_fail(error.text);
    w->line.client = w->client;
    application = task->folder != NULL ? mr_http3_server_application(w->server)
                                       : mr_http3_client_application(w->client);
    return mr_http3_io_new(&io_config, application, web_now(), &w->io) == 0 ? 0
                                                                            : web_fail("no memory");
}

static inline void web_io_free(struct web_io *w)
{
    mr_http3_io_free(w->io);
    mr_http3_server_free(w->server);
    mr_http3_client_free(w->client);
}

/* ------------------------------------------------------------------ pages */

/* A page that is wanted, and by whom. */
struct web_io_page {
    struct web_wanted wanted;
    struct web_io *web;
};

static inline void web_io_finish(struct web_io_page *page, int result)
{
    page->web->status |= result;
    page->web->wanted_count--;
    free(page);
}

/* It has come, or why not. */
static inline void web_io_on_page(void *context, const struct mr_http3_page *from)
{
    struct web_io_page *page = (struct web_io_page *)context;

    web_io_finish(page, web_print(page->wanted.text, from));
}

/* Ask for all pages, before the program waits for anything else: who looks names up waits, too. */
static inline void web_io_ask(const struct web_task *task, struct web_io *w)
{
    for (int i = 0; i < task->url_count; i++) {
        struct web_io_page *page = (struct web_io_page *)malloc(sizeof(*page));
        if (page == NULL)
            exit(web_fail("no memory"));
        page->web = w;
        w->wanted_count++;
        web_want(task, task->urls[i], &page->wanted);
        int error = web_look_up(&page->wanted);
        if (error == 0)
            web_get(&w->line, &page->wanted, web_io_on_page, page);
        else
            web_io_finish(page, web_fail_page(page->wanted.text, gai_strerror(error)));
    }
}

/* Whether the loop goes on: a server until its datapath lets go of it. */
static inline bool web_io_is_busy(const struct web_io *w)
{
    return w->server != NULL || w->wanted_count > 0;
}

/* What came of it all, when the loop has ended; `state` and `why`: the datapath's.  The status. */
static inline int web_io_status(const struct web_task *task, const struct web_io *w,
                                enum mr_datapath_state state, const struct mr_error *why)
{
    return web_io_is_busy(w) ? web_part(task, state, why) : w->status;
}

#endif /* EXAMPLES_WEB_IO_H */
