/*
 * examples/echo_exec.c - echo (echo.h) in the model "own execution": the program makes the threads
 * and the queue in which they wait; no thread is millrace's.
 *
 *     thread --+-- an epoll of its own (exec/queue.h): the loop's descriptor, and whatever else
 *              +-- a loop: mr_exec_poll() runs what is there, and says whether more is
 *
 * Operations complete (millrace/adapter.h): one is started, and its function called when it is
 * done. A stream has one at a time: who does not read is not read from.
 */
#include <pthread.h>
#include <stdatomic.h>

#include <millrace/adapter.h>

#include "examples/echo_pair.h"
#include "examples/exec/queue.h"

#define THREADS 2

struct worker {
    pthread_t thread;
    struct mr_loop *loop;
    struct mr_sock *first; /* the listener; the client's connection */
    int queue;
};

static const struct echo_task *task;
/* Whom its datapath has let go of: one hears of it before others. */
static _Atomic(const struct worker *) ended;
static bool is_answered;      /* the client's, */
static struct echo_loss loss; /* and why it got no answer */

static void *work(void *argument)
{
    const struct worker *w = argument;

    if (queue_run(w->queue, w->loop))
        ended = w;
    stop(); /* the others end, too */
    return NULL;
}

/* ------------------------------------------------------------------ the server */

/* A stream of the server's: read, written, read, ... */
static void on_written(void *pair, ssize_t result);

static void on_read(void *pair, ssize_t result)
{
    struct pair *p = pair;

    if (result > 0 && mr_write_then(p->out, p->buffer, (size_t)result, on_written, p) == 0)
        return;
    bool is_end = result == 0 && mr_sock_shutdown(p->out) == 0;
    pair_end(p, is_end ? NULL : result < 0 ? p->in : p->out);
}

static void on_written(void *pair, ssize_t result)
{
    struct pair *p = pair;

    if (result < 0)
        pair_end(p, p->out);
    else if (mr_read_then(p->in, p->buffer, PAIR_BUFFER, on_read, p) != 0)
        pair_end(p, p->in);
}

static void begin_stream(void *pair)
{
    struct pair *p = pair;
    struct mr_loop *loop = mr_sock_loop(p->in);
    int error = pair_open(p);

    if (error == 0)
        on_written(p, 0);
    else if (error != -EAGAIN || mr_loop_timer(loop, PAIR_LATER_NS, begin_stream, p) == 0)
        pair_end(p, p->in);
}

static void on_stream(void *conn, int status, struct mr_sock *stream)
{
    if (status == 0)
        begin_stream(pair_new(stream));
    if (status != 0 || mr_accept_then(conn, on_stream, conn) != 0)
        mr_sock_close(conn, 0);
}

static void on_conn(void *worker, int status, struct mr_sock *conn)
{
    struct worker *w = worker;

    if (status == 0 && mr_accept_then(conn, on_stream, conn) != 0)
        mr_sock_close(conn, ECHO_NO_MEMORY);
    if (status == 0 && mr_accept_then(w->first, on_conn, w) == -ENOMEM)
        exit(echo_fail("no memory"));
    /* else no more come; those that are there go on until the datapath has ended */
}

/* ------------------------------------------------------------------ the client */

static void on_sent(void *stream, ssize_t result)
{
    if (result >= 0)
        mr_sock_shutdown(stream);
}

/* All is there, or nothing comes any more. */
static void end(const struct mr_sock *conn)
{
    echo_lose_sock(&loss, conn);
    stop();
}

static void on_answer(void *pair, ssize_t result)
{
    struct pair *p = pair;

    if (result > 0)
        echo_print(p->buffer, (size_t)result);
    is_answered = result == 0;
    if (result <= 0 || mr_read_then(p->in, p->buffer, PAIR_BUFFER, on_answer, p) != 0)
        end(mr_sock_conn(p->in));
}

/* Reading and writing are started together, and done side by side. */
static void ask(void *worker)
{
    static struct pair p;
    struct worker *w = worker;
    int error = mr_sock_open(w->first, MR_OPEN_BIDI, &p.in);

    if (error == 0)
        error = mr_read_then(p.in, p.buffer, PAIR_BUFFER, on_answer, &p);
    if (error == 0)
        error = mr_write_then(p.in, task->text, task->size, on_sent, p.in);
    if (error == -EAGAIN) /* not connected yet */
        error = mr_loop_timer(w->loop, PAIR_LATER_NS, ask, w) == 0 ? -ENOMEM : 0;
    if (error != 0)
        end(w->first);
}

/* ------------------------------------------------------------------ both */

/* 0, or the status to exit with. */
static int start(struct worker *w)
{
    struct mr_connect_options options = echo_connect(task);
    bool is_server = task->address == NULL;

    w->loop = echo_loop_new(task);
    if (w->loop == NULL)
        return 1;
    w->queue = queue_new(w->loop);
    if (is_server && mr_sock_listen(w->loop, "echo", 0, &w->first) != 0)
        return echo_fail_listener();
    if (!is_server && mr_sock_connect(w->loop, &options, true, &w->first) != -EINPROGRESS)
        return echo_fail_early(&loss);
    mr_sock_set(w->first, MR_SOCK_NONBLOCK, 1); /* also of what comes from it */
    if (!is_server)
        ask(w);
    else if (mr_accept_then(w->first, on_conn, w) != 0)
        return echo_fail("no memory");
    return pthread_create(&w->thread, NULL, work, w) == 0 ? 0 : echo_fail("no thread");
}

static int run(const struct echo_task *what)
{
    static struct worker workers[THREADS];
    bool is_server = what->address == NULL;
    uint32_t wanted = is_server ? THREADS : 1, count = 0;
    int status = 0;

    task = what;
    queues_begin();
    while (count < wanted && (status = start(&workers[count])) == 0)
        count++;
    if (status != 0)
        stop();
    else if (is_server)
        echo_say_serving();
    for (uint32_t i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    if (status == 0)
        status =
            echo_loop_end(what, is_answered, &loss, ended != NULL ? ended->loop : workers[0].loop);
    for (uint32_t i = 0; i < wanted; i++)
        mr_loop_free(workers[i].loop);
    return status;
}

int main(int argc, char **argv)
{
    return echo_main(argc, argv, run);
}
