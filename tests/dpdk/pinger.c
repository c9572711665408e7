/*
 * tests/dpdk/pinger.c - an application that sends small messages to an echo and says how that goes.
 *
 *     pinger SOCKET ADDRESS PORT SECONDS stream|connection
 *
 * One message at a time, on one stream, or on a new connection each.  A line for each quarter of a
 * second: messages, median round trip in microseconds, longest.  Ends with `done N`, or with
 * `failed: why`.  SIGTERM ends its SECONDS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "millrace/socket.h"

#define WINDOW_NS   UINT64_C(250000000)
#define SAMPLES_MAX 200000
#define MESSAGE     64

static uint64_t samples[SAMPLES_MAX];
static atomic_bool is_told_to_end;

static void on_sigterm(int number)
{
    (void)number;
    atomic_store_explicit(&is_told_to_end, true,
                          memory_order_relaxed); /* read before each message */
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return (*x > *y) - (*x < *y);
}

static void say_window(size_t count)
{
    if (count == 0) {
        printf("0 0 0\n");
    } else {
        qsort(samples, count, sizeof(samples[0]), compare);
        printf("%zu %.1f %.1f\n", count, (double)samples[count / 2] / 1e3,
               (double)samples[count - 1] / 1e3);
    }
    fflush(stdout);
}

static int fail(const char *what, int64_t error)
{
    printf("failed: %s: %s\n", what, strerror((int)-error));
    fflush(stdout);
    return 1;
}

struct pinger {
    struct mr_loop *loop;
    struct mr_connect_options options;
    struct mr_sock *conn;
    struct mr_sock *stream;
};

static int open_both(struct pinger *p)
{
    int error = mr_sock_connect(p->loop, &p->options, false, &p->conn);

    if (error != 0)
        return error;
    mr_sock_set(p->conn, MR_SOCK_READ_TIMEOUT, UINT64_C(5000000000));
    error = mr_sock_open(p->conn, MR_OPEN_BIDI, &p->stream);
    if (error == 0)
        mr_sock_set(p->stream, MR_SOCK_READ_TIMEOUT, UINT64_C(5000000000));
    return error;
}

static void close_both(struct pinger *p)
{
    mr_sock_close(p->stream, 0);
    mr_sock_close(p->conn, 0);
    p->conn = p->stream = NULL;
}

/* One message there and back.  0 or -errno. */
static int64_t ping(struct pinger *p, uint8_t number)
{
    uint8_t message[MESSAGE];
    uint8_t answer[MESSAGE];
    size_t got = 0;

    memset(message, number, sizeof(message));
    int64_t n = mr_sock_write(p->stream, message, sizeof(message));
    if (n < 0)
        return n;
    while (got < sizeof(answer)) {
        n = mr_sock_read(p->stream, answer + got, sizeof(answer) - got);
        if (n <= 0)
            return n < 0 ? n : -EPIPE;
        got += (size_t)n;
    }
    return memcmp(message, answer, sizeof(message)) == 0 ? 0 : -EBADMSG;
}

static int run(struct pinger *p, uint64_t seconds, bool is_new_each)
{
    uint64_t end = now_ns() + seconds * UINT64_C(1000000000);
    uint64_t window = now_ns() + WINDOW_NS;
    uint64_t total = 0;
    size_t count = 0;

    for (uint64_t began = now_ns();
         began < end && !atomic_load_explicit(&is_told_to_end, memory_order_relaxed);
         began = now_ns()) {
        int64_t error = p->conn == NULL ? open_both(p) : 0;

        if (error == 0)
            error = ping(p, (uint8_t)total++);
        if (error != 0)
            return fail("ping", error);
        if (is_new_each)
            close_both(p);
        if (count < SAMPLES_MAX)
            samples[count++] = now_ns() - began;
        for (; now_ns() >= window; window += WINDOW_NS) {
            say_window(count);
            count = 0;
        }
    }
    printf("done %llu\n", (unsigned long long)total);
    return 0;
}

int main(int argc, char **argv)
{
    struct pinger p = {.options = {.server_name = "localhost",
                                   .alpn = (const uint8_t *)"\004echo",
                                   .alpn_size = 5}};
    struct mr_error error;

    if (argc != 6)
        return 2;
    p.options.remote.ip[10] = p.options.remote.ip[11] = 0xff;
    if (inet_pton(AF_INET, argv[2], &p.options.remote.ip[12]) != 1)
        return 2;
    p.options.remote.port = (uint16_t)atoi(argv[3]);
    int answer =
        mr_loop_new(&(struct mr_loop_config){.attach = {.control = argv[1], .name = "pinger"}},
                    &p.loop, &error);
    if (answer != 0)
        return fail(error.text, answer);
    signal(SIGTERM, on_sigterm);
    int status = run(&p, (uint64_t)atoi(argv[4]), strcmp(argv[5], "connection") == 0);
    mr_loop_free(p.loop);
    return status;
}
