/*
 * examples/echo_sockets.c - echo (echo.h) in the model "readiness": non-blocking sockets and an
 * interest set, as with epoll(7).
 *
 * A stream has one buffer.  It waits to be readable while that is empty, and to be writable while
 * it is not: who does not read is not read from.  One thread serves all connections.
 */
#include "examples/echo_pair.h"

enum {
    EVENTS = 64
};

static const struct echo_task *task;
static struct mr_loop *loop;
static struct mr_pollset *set;
static struct mr_sock *first;     /* the listener; the client's connection */
static bool is_answered, is_done; /* the client's, */
static struct echo_loss loss;     /* and why it got no answer */

/* Hear once when one of `events` holds; `p`: whose stream it is, if it is one. */
static void wait_for(struct mr_sock *sock, uint32_t events, struct pair *p)
{
    events |= MR_POLLSET_ONESHOT;
    if (mr_pollset_mod(set, sock, events, p) != 0 && mr_pollset_add(set, sock, events, p) != 0)
        exit(echo_fail("no memory"));
}

/* Write what there is room for; the end behind it. */
static ssize_t write_some(struct pair *p)
{
    ssize_t n = 0;

    while (p->size > 0 && n >= 0) {
        n = mr_sock_write(p->out, p->bytes, p->size);
        p->bytes += n > 0 ? n : 0;
        p->size -= n > 0 ? (size_t)n : 0;
    }
    return n >= 0 && p->has_end ? mr_sock_shutdown(p->out) : n;
}

/* ------------------------------------------------------------------ the server */

/* Write, read, write; then wait, unless it is over. */
static void on_stream(struct pair *p)
{
    ssize_t n = write_some(p);
    bool is_reading = n >= 0 && !p->has_end;

    if (is_reading && (n = mr_sock_read(p->in, p->buffer, PAIR_BUFFER)) >= 0) {
        p->has_end = n == 0;
        p->bytes = p->buffer;
        p->size = (size_t)n;
        n = write_some(p);
        is_reading = n >= 0 && !p->has_end;
    }
    if (n == -EAGAIN || (n >= 0 && !p->has_end))
        wait_for(is_reading ? p->in : p->out, is_reading ? POLLIN : POLLOUT, p);
    else
        pair_end(p, n >= 0 ? NULL : is_reading ? p->in : p->out);
}

static void begin_stream(void *pair)
{
    struct pair *p = pair;
    int error = pair_open(p);

    if (error == 0)
        on_stream(p);
    else if (error != -EAGAIN || mr_loop_timer(loop, PAIR_LATER_NS, begin_stream, p) == 0)
        pair_end(p, p->in);
}

static void on_conn(struct mr_sock *conn)
{
    struct mr_sock *stream;
    int error;

    while ((error = mr_sock_accept_stream(conn, &stream)) == 0)
        begin_stream(pair_new(stream));
    if (error == -EAGAIN)
        wait_for(conn, POLLIN, NULL);
    else
        mr_sock_close(conn, 0); /* it is over */
}

static void on_listener(void)
{
    struct mr_sock *conn;
    int error;

    while ((error = mr_sock_accept(first, &conn)) == 0)
        wait_for(conn, POLLIN, NULL);
    if (error == -EAGAIN) /* else no more come; connections that are there go on */
        wait_for(first, POLLIN, NULL);
}

/* ------------------------------------------------------------------ the client */

/* Both ways in turn: the server sends back while we still send. */
static void on_answer(struct pair *p)
{
    ssize_t written = write_some(p);
    ssize_t n;

    while ((n = mr_sock_read(p->in, p->buffer, PAIR_BUFFER)) > 0)
        echo_print(p->buffer, (size_t)n);
    is_answered = n == 0;
    is_done = n != -EAGAIN || (written < 0 && written != -EAGAIN);
    if (!is_done) {
        wait_for(p->in, p->size > 0 ? POLLIN | POLLOUT : POLLIN, p);
        return;
    }
    echo_lose_sock(&loss, first);
    free(p);
}

/* The connection is there, or over. */
static void on_client(void)
{
    struct mr_sock *stream;
    int error = mr_sock_open(first, MR_OPEN_BIDI, &stream);

    is_done = error != 0 && error != -EAGAIN;
    if (error == -EAGAIN)
        wait_for(first, POLLOUT, NULL);
    if (is_done)
        echo_lose_sock(&loss, first);
    if (error != 0)
        return;
    struct pair *p = pair_new(stream);
    p->bytes = task->text;
    p->size = task->size;
    p->has_end = true;
    on_answer(p);
}

/* ------------------------------------------------------------------ both */

static void dispatch(const struct mr_pollset_event *event)
{
    bool is_server = task->address == NULL;

    if (event->context != NULL)
        is_server ? on_stream(event->context) : on_answer(event->context);
    else if (event->sock != first)
        on_conn(event->sock);
    else
        is_server ? on_listener() : on_client();
}

static int run(const struct echo_task *what, struct mr_loop *on)
{
    struct mr_connect_options options = echo_connect(what);
    struct mr_pollset_event events[EVENTS];
    int count = 0;

    task = what;
    loop = on;
    if (task->address != NULL)
        mr_sock_connect(loop, &options, true, &first);
    else if (mr_sock_listen(loop, "echo", 0, &first) == 0)
        echo_say_serving();
    if (first == NULL || mr_pollset_new(loop, &set) != 0)
        return task->address == NULL ? echo_fail_listener() : echo_fail_early(&loss);
    mr_sock_set(first, MR_SOCK_NONBLOCK, 1); /* also of what comes from it */
    wait_for(first, POLLIN | POLLOUT, NULL);
    while (!is_done && (count = mr_pollset_wait(set, events, EVENTS, -1)) >= 0)
        for (int i = 0; i < count; i++)
            dispatch(&events[i]);
    mr_pollset_free(set);
    return echo_loop_end(task, is_answered, &loss, loop);
}

int main(int argc, char **argv)
{
    return echo_main_with_loop(argc, argv, run);
}
