/*
 * examples/web_sockets.c - HTTP/3 (web.h) in the model "readiness": non-blocking sockets and an
 * interest set, as with epoll(7).
 *
 *     readable --read--> mr_http3_io_feed()           what HTTP/3 is told
 *     writable --------> mr_http3_io_retry()
 *     mr_http3_io_next() --> open, write, close       what it wants: do_wish()
 *
 * Every socket, of a connection or of a stream, waits once for what it needs next; what it does
 * then is in sockets/end.h.
 */
#include "examples/sockets/end.h"
#include "examples/web_loop.h"

enum {
    EVENTS = 64
};

static struct web_loop on;

/* ------------------------------------------------------------------ what is ready */

/* Connections that have come. */
static void on_listener(struct end *listener)
{
    struct mr_sock *sock;
    int error;

    while ((error = mr_sock_accept(listener->sock, &sock)) == 0) {
        struct end *e = end_new(sock, false);
        e->handle = mr_http3_io_accept(web.io, e);
        if (e->handle != MR_HANDLE_NONE) {
            on_conn(e, 0);
            continue;
        }
        mr_sock_close(sock, WEB_NO_ROOM);
        free(e);
    }
    if (error == -EAGAIN)
        wait_for(listener, POLLIN);
    else if (error == -ESHUTDOWN)
        mr_http3_io_go_away(web.io);
}

static void on_ready(const struct mr_pollset_event *event)
{
    struct end *e = event->context;
    uint32_t waited = e->waits;

    e->waits = 0;
    if (e->handle == MR_HANDLE_NONE) {
        on_listener(e);
    } else if (!e->is_stream) {
        on_conn(e, event->events);
    } else {
        if ((waited & POLLOUT) != 0)
            mr_http3_io_retry(web.io, e->handle); /* asks again if it is too early */
        if ((waited & POLLIN) != 0)
            on_readable(e);
    }
}

/* ------------------------------------------------------------------ what HTTP/3 wants */

static void connect_to(const struct mr_http3_io_wish *wish)
{
    struct mr_sock *sock;

    int error = mr_sock_connect(on.loop, wish->options, true, &sock);
    if (error != -EINPROGRESS) {
        mr_http3_io_closed(web.io, wish->object,
                           &(struct mr_http3_io_end){.reason = strerror(-error)});
        return;
    }
    struct end *e = end_new(sock, false);
    e->handle = wish->object;
    e->is_connecting = true;
    mr_http3_io_set_user(web.io, e->handle, e);
    wait_for(e, POLLOUT);
}

static void open_stream(const struct mr_http3_io_wish *wish)
{
    struct end *conn = wish->conn_user;
    struct mr_sock *sock;
    int error = mr_sock_open(conn->sock, wish->is_uni ? MR_OPEN_UNI : MR_OPEN_BIDI, &sock);

    if (error == -EAGAIN)
        wait_for(conn, POLLOUT);
    if (error != 0)
        return; /* or the connection is over: that is told */
    struct end *e = end_new(sock, true);
    e->handle = wish->object;
    mr_http3_io_opened(web.io, e->handle, e);
    if (!wish->is_uni)
        wait_for(e, POLLIN);
}

static void close_conn(struct end *e, const struct mr_http3_io_wish *wish)
{
    const struct mr_http3_io_end over = {.code = wish->code, .is_application = true};

    if (e != NULL)
        mr_sock_close(e->sock, wish->code); /* what was shut down is sent all the same */
    if (e != NULL)
        e->sock = NULL;
    mr_http3_io_closed(web.io, wish->object, &over);
}

/* What the sockets are told of HTTP/3. */
static void do_wish(const struct mr_http3_io_wish *wish)
{
    struct end *e = wish->user;

    switch (wish->kind) {
    case MR_HTTP3_IO_CONNECT:
        connect_to(wish);
        break;
    case MR_HTTP3_IO_OPEN:
        open_stream(wish);
        break;
    case MR_HTTP3_IO_SEND:
        write_some(e, wish);
        break;
    case MR_HTTP3_IO_RESET:
    case MR_HTTP3_IO_STOP: /* a socket's both ways end together: with its END */
        e->code = wish->code;
        break;
    case MR_HTTP3_IO_READ:
        on_readable(e);
        break;
    case MR_HTTP3_IO_CLOSE:
        close_conn(e, wish);
        break;
    case MR_HTTP3_IO_END:
        if (e != NULL && e->sock != NULL)
            mr_sock_close(e->sock, e->code);
        free(e);
    }
}

/* ------------------------------------------------------------------ the loop */

/* Tell, do, wait; until all pages are there, or the datapath has let go of us. */
static void run_loop(void)
{
    struct mr_pollset_event events[EVENTS];
    struct mr_http3_io_wish wish;

    for (int count = 0; count >= 0;) {
        mr_http3_io_poll(web.io, web_now());
        while (mr_http3_io_next(web.io, &wish))
            do_wish(&wish);
        if (!web_io_is_busy(&web) || !mr_loop_is_attached(on.loop))
            return;
        count = mr_pollset_wait(set, events, EVENTS, web_io_patience_ms(&web));
        for (int i = 0; i < count; i++)
            on_ready(&events[i]);
    }
}

static int run(const struct web_task *task)
{
    struct mr_sock *listener = NULL;
    struct end *first = NULL; /* the listener's */
    int status = web_loop_new(task, &on);

    if (status == 0)
        status = web_io_new(task, &web);
    if (status == 0 && mr_pollset_new(on.loop, &set) != 0)
        status = web_fail("no memory");
    if (status == 0 && task->folder != NULL && mr_sock_listen(on.loop, "web", 0, &listener) != 0)
        status = web_fail_listener();
    if (status == 0) {
        if (task->folder != NULL) {
            first = end_new(listener, false);
            wait_for(first, POLLIN);
            web_say_serving(task);
        }
        web_io_ask(task, &web);
        run_loop();
        struct mr_error why;
        enum mr_datapath_state state = mr_loop_state(on.loop, &why);
        status = web_io_status(task, &web, state, &why);
    }
    mr_pollset_free(set);
    if (listener != NULL)
        mr_sock_close(listener, 0);
    free(first);
    web_loop_free(&on);
    web_io_free(&web);
    return status;
}

int main(int argc, char **argv)
{
    return web_main(argc, argv, run);
}
