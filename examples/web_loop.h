/*
 * examples/web_loop.h - what the `web`s on a loop (millrace/loop.h) begin with: an attachment with
 * a loop around it, and HTTP/3 as an application beside the loop's other objects.
 */
#ifndef EXAMPLES_WEB_LOOP_H
#define EXAMPLES_WEB_LOOP_H

#include <millrace/events.h>
#include <millrace/loop.h>

#include "examples/web_page.h"

/* A loop, and what of HTTP/3 runs on it: one or the other. */
struct web_loop {
    struct mr_loop *loop;
    struct mr_http3_server *server;
    struct mr_http3_client *client;
    struct web_line line; /* of pages for the client */
};

/* Attached.  0, or the status: it said why. */
static inline int web_loop_new(const struct web_task *task, struct web_loop *on)
{
    struct mr_loop_config config;
    struct mr_error error;

    memset(&config, 0, sizeof(config));
    config.attach.control = task->control;
    config.attach.name = task->folder != NULL ? "web" : "web-client";
    config.attach.patience_ns = WEB_PATIENCE_NS;
    config.stall_ns = WEB_PATIENCE_NS; /* who reads what is printed may let it wait */
    memset(on, 0, sizeof(*on));
    return mr_loop_new(&config, &on->loop, &error) == 0 ? 0 : web_fail(error.text);
}

/* The loop tells the server, or the client, of its connections.  0, or the status: it said why. */
static inline int web_loop_begin(const struct web_task *task, struct web_loop *on)
{
    const struct mr_http3_server_config config = web_server_config(task);
    bool is_server = task->folder != NULL;
    struct mr_error error;

    if ((is_server ? mr_http3_server_new(&config, &on->server, &error)
                   : mr_http3_client_new(NULL, &on->client, &error)) != 0)
        return web_fail(error.text);
    const struct mr_application *application = is_server ? mr_http3_server_application(on->server)
                                                         : mr_http3_client_application(on->client);
    if (mr_ev_guest(mr_loop_registration(on->loop), is_server ? "web" : NULL, application) != 0)
        return is_server ? web_fail_listener() : web_fail("no room on the loop");
    on->line.client = on->client;
    return 0;
}

/* The loop's datapath has let go of it: the status. */
static inline int web_loop_part(const struct web_task *task, const struct web_loop *on)
{
    struct mr_error why;
    enum mr_datapath_state state = mr_loop_state(on->loop, &why);

    return web_part(task, state, &why);
}

/* The loop first: until it is gone it tells the others. */
static inline void web_loop_free(struct web_loop *on)
{
    mr_loop_free(on->loop);
    mr_http3_server_free(on->server);
    mr_http3_client_free(on->client);
}

#endif /* EXAMPLES_WEB_LOOP_H */
