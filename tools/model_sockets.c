/* tools/model_sockets.c - see model.h: readiness, blocking calls, and the same in fibers. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/compiler.h"
#include "millrace/fiber_socket.h"
#include "millrace/socket.h"
#include "tools/bench_attached.h"
#include "tools/model_loop.h"

#define BUFFER         16384
#define EVENTS         64
#define BLOCKING_SLOTS 16 /* of a ring that has one stream */
#define BLOCKING_SEND  65536

/* ------------------------------------------------------------------ readiness */

struct readiness {
    struct mr_model_loop loop;
    struct mr_pollset *set;
    uint8_t buffer[BUFFER];
};

/* What a socket of the set is, as its context. */
static char is_listener;
static char is_conn;
static char is_stream;

static void accept_all(const struct readiness *r, struct mr_sock *from, bool wants_streams)
{
    struct mr_sock *sock;

    while ((wants_streams ? mr_sock_accept_stream(from, &sock) : mr_sock_accept(from, &sock)) == 0)
        if (mr_pollset_add(r->set, sock, POLLIN, wants_streams ? &is_stream : &is_conn) != 0)
            mr_sock_close(sock, 1);
}

static void echo_ready(struct readiness *r, struct mr_sock *stream)
{
    ssize_t got;

    while ((got = mr_sock_read(stream, r->buffer, sizeof(r->buffer))) > 0) {
        r->loop.read += (uint64_t)got;
        r->loop.written += (uint64_t)got;
        if (mr_sock_write(stream, r->buffer, (size_t)got) != got)
            break; /* a full buffer: the client has but one message on its way */
    }
    if (got != -EAGAIN)
        mr_sock_close(stream, 1);
}

static void serve_ready(struct readiness *r, const struct mr_pollset_event *event)
{
    if (event->context == &is_stream)
        echo_ready(r, event->sock);
    else if ((event->events & (POLLERR | POLLHUP)) != 0)
        mr_sock_close(event->sock, 0);
    else
        accept_all(r, event->sock, event->context == &is_conn);
}

int mr_model_readiness(struct mr_bench_task *task, void *config)
{
    static struct readiness r;
    struct mr_pollset_event events[EVENTS];
    struct mr_sock *listener;
    int count;

    (void)config;
    if (!mr_model_loop_begin(&r.loop, task, NULL))
        return -1;
    if (mr_sock_listen(r.loop.loop, MR_MODEL_LISTENER, 0, &listener) != 0 ||
        mr_sock_set(listener, MR_SOCK_NONBLOCK, 1) != 0 ||
        mr_pollset_new(r.loop.loop, &r.set) != 0 ||
        mr_pollset_add(r.set, listener, POLLIN, &is_listener) != 0)
        return mr_model_fail(task, "cannot listen");
    mr_model_ready(task);
    bool is_over = false;
    while (!is_over && (count = mr_pollset_wait(r.set, events, EVENTS, -1)) >= 0) {
        for (int i = 0; i < count; i++) {
            is_over |=
                events[i].context == &is_listener && (events[i].events & (POLLERR | POLLHUP)) != 0;
            serve_ready(&r, &events[i]);
        }
    }
    mr_pollset_free(r.set);
    mr_model_loop_end(&r.loop);
    return 0;
}

/* ------------------------------------------------------------------ blocking calls */

/* One connection's streams, one after the other. */
static void serve_conn(struct mr_model_loop *loop, struct mr_sock *conn)
{
    struct mr_sock *stream;
    uint8_t buffer[BUFFER];
    ssize_t got;

    while (mr_sock_accept_stream(conn, &stream) == 0) {
        while ((got = mr_sock_read(stream, buffer, sizeof(buffer))) > 0) {
            loop->read += (uint64_t)got;
            loop->written += (uint64_t)got;
            if (mr_sock_write(stream, buffer, (size_t)got) != got)
                break;
        }
        mr_sock_close(stream, 1);
    }
    mr_sock_close(conn, 0);
}

struct blocking {
    struct mr_bench_task *task;
    uint32_t threads;
    _Atomic uint32_t listening;
    _Atomic bool has_failed;
};

static void *blocking_thread(void *argument)
{
    struct blocking *b = argument;
    struct mr_attach_config how = mr_model_attach_config(b->task);
    struct mr_model_loop loop;
    struct mr_sock *listener;
    struct mr_sock *conn;

    how.slot_count = BLOCKING_SLOTS;
    how.send_bytes = BLOCKING_SEND;
    if (!mr_model_loop_begin(&loop, b->task, &how)) {
        b->has_failed = true;
        return NULL;
    }
    if (mr_sock_listen(loop.loop, MR_MODEL_LISTENER, 0, &listener) == 0) {
        if (atomic_fetch_add(&b->listening, 1) + 1 == b->threads)
            mr_model_ready(b->task);
        while (mr_sock_accept(listener, &conn) == 0)
            serve_conn(&loop, conn);
        mr_sock_close(listener, 0);
    }
    mr_model_loop_end(&loop);
    return NULL;
}

int mr_model_blocking(struct mr_bench_task *task, void *config)
{
    const struct mr_model_config *c = config;
    struct blocking b = {.task = task,
                         .threads = MR_MIN(c->connections, (uint32_t)MR_MODEL_THREADS)};
    pthread_t threads[MR_MODEL_THREADS];
    uint32_t count = 0;

    while (count < b.threads && pthread_create(&threads[count], NULL, blocking_thread, &b) == 0)
        count++;
    b.has_failed |= count < b.threads;
    for (uint32_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return b.has_failed ? -1 : 0;
}

/* ------------------------------------------------------------------ fibers */

static int64_t conn_fiber(void *argument)
{
    struct mr_sock *conn = argument;

    serve_conn(mr_sock_context(conn), conn);
    return 0;
}

static int64_t listen_fiber(void *argument)
{
    struct mr_model_loop *loop = argument;
    struct mr_fiber_options options = {.is_detached = true};
    struct mr_sock *listener;
    struct mr_sock *conn;

    if (mr_sock_listen(loop->loop, MR_MODEL_LISTENER, 0, &listener) != 0)
        return mr_model_fail(loop->task, "cannot listen");
    mr_model_ready(loop->task);
    while (mr_sock_accept(listener, &conn) == 0) {
        mr_sock_set_context(conn, loop);
        if (mr_fiber_spawn(conn_fiber, conn, "echo", &options, NULL) != 0)
            mr_sock_close(conn, 1);
    }
    mr_sock_close(listener, 0);
    return 0;
}

int mr_model_fibers(struct mr_bench_task *task, void *config)
{
    struct mr_hub_options options = {.stack_size = 65536}; /* a buffer is on it */
    struct mr_fiber_options detached = {.is_detached = true};
    struct mr_error error = {0};
    struct mr_model_loop loop;
    struct mr_hub *hub = mr_hub_new(&options, &error);

    (void)config;
    if (hub == NULL)
        return mr_model_fail(task, error.text);
    if (!mr_model_loop_begin(&loop, task, NULL))
        return -1;
    if (mr_hub_serve_loop(hub, loop.loop) != 0 ||
        mr_fiber_spawn(listen_fiber, &loop, "listen", &detached, NULL) != 0)
        return mr_model_fail(task, "cannot begin");
    (void)mr_hub_run(hub);
    (void)mr_hub_close_loop(hub, loop.loop, NULL);
    mr_model_loop_end(&loop);
    return 0;
}
