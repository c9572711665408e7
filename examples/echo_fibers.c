/*
 * examples/echo_fibers.c - echo (echo.h) in the model "fibers": straight-line code, a fiber for
 * each connection and each stream, all on one thread.
 *
 *     hub --+-- the listener's fiber: accept, accept, ...
 *           +-- a connection's: accept a stream, accept a stream, ...
 *           +-- a stream's: read, write, read, write, ...
 *
 * A call that has to wait lets the other fibers run; so the calls are those of a thread, and
 * echo_calls.h serves both.
 */
#include <millrace/fiber_socket.h>

#include "examples/echo_calls.h"

static const struct mr_fiber_options detached = {.is_detached = true};
static const struct echo_task *task;
static struct mr_loop *loop;
static bool has_no_listener;
static bool is_answered;      /* the client's; */
static struct echo_loss loss; /* else why not */

/* Begin a fiber that owns the socket. */
static void spawn(mr_fiber_function function, struct mr_sock *sock, const char *name)
{
    if (mr_fiber_spawn(function, sock, name, &detached, NULL) != 0)
        mr_sock_close(sock, ECHO_NO_MEMORY);
}

/* ------------------------------------------------------------------ the server */

static int64_t run_stream(void *stream)
{
    serve_stream(stream);
    return 0;
}

static int64_t serve_connection(void *argument)
{
    struct mr_sock *conn = argument;
    struct mr_sock *stream;

    while (mr_sock_accept_stream(conn, &stream) == 0)
        spawn(run_stream, stream, "stream");
    mr_sock_close(conn, 0);
    return 0;
}

static int64_t serve(void *argument)
{
    struct mr_sock *listener, *conn;

    (void)argument;
    has_no_listener = mr_sock_listen(loop, "echo", 0, &listener) != 0;
    if (has_no_listener)
        return 0;
    echo_say_serving();
    while (mr_sock_accept(listener, &conn) == 0)
        spawn(serve_connection, conn, "connection");
    mr_sock_close(listener, 0);
    return 0;
}

/* ------------------------------------------------------------------ the client */

/* Beside the fiber that reads: the server sends back while we still send. */
static int64_t send_text(void *argument)
{
    struct mr_sock *stream = argument;

    if (task->size == 0 || mr_sock_write(stream, task->text, task->size) == (ssize_t)task->size)
        mr_sock_shutdown(stream);
    return 0;
}

static int64_t print_answer(struct mr_sock *stream)
{
    uint8_t buffer[BUFFER];
    ssize_t n;

    while ((n = mr_sock_read(stream, buffer, sizeof(buffer))) > 0)
        echo_print(buffer, (size_t)n);
    return n;
}

static int64_t ask(void *argument)
{
    struct mr_sock *conn = echo_begin(task, loop), *stream;
    struct mr_fiber *sender;

    (void)argument;
    if (conn == NULL)
        return 0;
    if (mr_sock_open(conn, MR_OPEN_BIDI, &stream) == 0) {
        if (mr_fiber_spawn(send_text, stream, "sender", NULL, &sender) == 0) {
            is_answered = print_answer(stream) == 0;
            mr_sock_cancel(stream); /* if it still writes */
            (void)mr_fiber_join(sender, MR_FOREVER, NULL);
        }
        mr_sock_close(stream, 0);
    }
    echo_lose_sock(&loss, conn);
    mr_sock_close(conn, 0);
    return 0;
}

/* ------------------------------------------------------------------ both */

static int run(const struct echo_task *what, struct mr_loop *on)
{
    struct mr_error error;
    struct mr_hub *hub = mr_hub_new(NULL, &error);

    task = what;
    loop = on;
    if (hub == NULL || mr_hub_serve_loop(hub, loop) != 0)
        return echo_fail(hub == NULL ? error.text : "no hub on this loop");
    (void)mr_fiber_spawn(task->address == NULL ? serve : ask, NULL, "main", &detached, NULL);
    (void)mr_hub_run(hub); /* until no fiber is left */
    (void)mr_hub_close_loop(hub, loop, &error);
    return has_no_listener ? echo_fail_listener() : echo_loop_end(task, is_answered, &loss, loop);
}

int main(int argc, char **argv)
{
    return echo_main_with_loop(argc, argv, run);
}
