/*
 * examples/echo_blocking.c - echo (echo.h) in the model "blocking calls": a thread for each
 * connection.
 *
 *     PROGRAM SOCKET server [THREADS]
 *
 *     thread --+-- a loop of its own: an attachment with its rings, which no other thread touches
 *              +-- accept a connection; accept a stream of it; read, write, read, write, ...
 *
 * A call that has to wait runs the thread's loop until it has what it waits for.  That is code
 * without turns, and has its price:
 *
 *     - a thread does one thing at a time: the streams of a connection are served in turn, and one
 *       that stays open keeps those behind it waiting;
 *     - connections for which there is no thread wait.  `--listener ...,policy=least-loaded` gives
 *       each to the thread that has the fewest; each thread is an attachment of the datapath
 *       (`--attachments-per-user`).
 */
#include <pthread.h>

#include "examples/echo_calls.h"

enum {
    PIECE = 32768, /* of the client's text */
    THREADS = 8,
    THREADS_MAX = 256
};

struct worker {
    pthread_t thread;
    struct mr_loop *loop;
    struct mr_sock *listener;
};

static uint32_t thread_count = THREADS;

/* ------------------------------------------------------------------ the server */

static void *serve(void *argument)
{
    const struct worker *w = argument;
    struct mr_sock *conn, *stream;

    while (mr_sock_accept(w->listener, &conn) == 0) {
        while (mr_sock_accept_stream(conn, &stream) == 0)
            serve_stream(stream);
        mr_sock_close(conn, 0);
    }
    mr_sock_close(w->listener, 0);
    return NULL;
}

/* What all threads have seen: the worst of it. */
static int end_server(const struct echo_task *task, const struct worker *workers)
{
    enum mr_datapath_state worst = MR_DATAPATH_THERE;
    struct mr_error why, worst_why = {0};

    for (uint32_t i = 0; i < thread_count; i++) {
        enum mr_datapath_state state = mr_loop_state(workers[i].loop, &why);

        if (state > worst) {
            worst = state;
            worst_why = why;
        }
    }
    return echo_end(task, false, NULL, worst, &worst_why);
}

/* Until every thread has heard that no connection comes any more. */
static int run_server(const struct echo_task *task)
{
    static struct worker workers[THREADS_MAX];
    int status = 0;

    for (uint32_t i = 0; i < thread_count && status == 0; i++) {
        workers[i].loop = echo_loop_new(task);
        if (workers[i].loop == NULL)
            status = 1;
        else if (mr_sock_listen(workers[i].loop, "echo", 0, &workers[i].listener) != 0)
            status = echo_fail_listener();
    }
    for (uint32_t i = 0; i < thread_count && status == 0; i++)
        if (pthread_create(&workers[i].thread, NULL, serve, &workers[i]) != 0)
            exit(echo_fail("a thread cannot be started"));
    if (status == 0)
        echo_say_serving();
    for (uint32_t i = 0; i < thread_count && status == 0; i++)
        pthread_join(workers[i].thread, NULL);
    if (status == 0)
        status = end_server(task, workers);
    for (uint32_t i = 0; i < thread_count; i++)
        mr_loop_free(workers[i].loop);
    return status;
}

/* ------------------------------------------------------------------ the client */

/* A piece there, the same piece back: while we write we cannot read, and the server holds only so
 * much. */
static bool exchange(struct mr_sock *stream, const uint8_t *text, size_t size)
{
    uint8_t buffer[BUFFER];
    ssize_t n = mr_sock_write(stream, text, size);

    for (size_t left = size; n > 0 && left > 0; left -= (size_t)n) {
        n = mr_sock_read(stream, buffer, left < BUFFER ? left : BUFFER);
        echo_print(buffer, n > 0 ? (size_t)n : 0);
    }
    return n > 0;
}

static bool ask(const struct echo_task *task, struct mr_sock *stream)
{
    uint8_t end;

    for (size_t at = 0; at < task->size; at += PIECE) {
        size_t left = task->size - at;

        if (!exchange(stream, task->text + at, left < PIECE ? left : PIECE))
            return false;
    }
    return mr_sock_shutdown(stream) == 0 && mr_sock_read(stream, &end, 1) == 0;
}

static int run_client(const struct echo_task *task, struct mr_loop *loop)
{
    struct mr_sock *conn = echo_begin(task, loop), *stream = NULL;
    struct echo_loss loss = {0};
    bool is_answered = false;

    if (conn != NULL) {
        is_answered = mr_sock_open(conn, MR_OPEN_BIDI, &stream) == 0 && ask(task, stream);
        echo_lose_sock(&loss, conn);
        if (stream != NULL)
            mr_sock_close(stream, 0);
        mr_sock_close(conn, 0);
    }
    return echo_loop_end(task, is_answered, &loss, loop);
}

int main(int argc, char **argv)
{
    bool is_server = argc >= 3 && strcmp(argv[2], "server") == 0;

    if (is_server && argc == 4) {
        unsigned long count;

        if (!echo_read_number(argv[3], THREADS_MAX, &count))
            return echo_fail("1 to 256 threads") + 1;
        thread_count = (uint32_t)count;
        argc = 3;
    }
    return is_server ? echo_main(argc, argv, run_server)
                     : echo_main_with_loop(argc, argv, run_client);
}
