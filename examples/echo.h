/*
 * examples/echo.h - the program `echo`, which is written once in every I/O model: what it does, and
 * what of it has nothing to do with I/O.
 *
 *     millrace host --port loopback --control /tmp/mr.sock \
 *                   --listener name=echo,alpn=echo,port=4433,application=echo &
 *     PROGRAM /tmp/mr.sock server &
 *     PROGRAM /tmp/mr.sock client 198.18.0.1 4433 TEXT        "-": what standard input has
 *
 *     echo_rings      entries in, entries out          echo_fibers    a fiber for each stream
 *     echo_events     a handler for each object        echo_coro      a coroutine for each stream
 *     echo_sockets    whatever is ready                echo_exec      threads and queues of its own
 *     echo_blocking   a thread for each connection
 *
 * The server takes the connections of the listener "echo" and gives each stream back what it
 * brings, until its datapath lets go of it (examples/parting.h): one that drains gives it no more
 * connections, and those that are there go on until their peers close them:
 *
 *     the peer                  the server
 *     sends bytes               sends them back, in order; on a stream of its own, if the peer's
 *                               goes one way
 *     ends the stream           ends its side behind the last byte
 *     resets the stream         resets its side, with the same code
 *     stops reading (STOP)      asks the peer to stop sending, with the same code
 *     reads slowly              holds a bounded number of bytes, then reads no more of that stream:
 *                               the peer has to wait.  Other streams go on
 *     opens one-way streams     opens as many for the answers as the peer allows; others wait
 *     goes away                 forgets what the connection had
 *
 * The client sends one text on one stream, prints what comes back, and ends with 0; with 1 if it
 * does not get all of it, or there is no datapath; with 2 if it is called wrongly, which it says
 * before it attaches.
 *
 * For C and C++.
 */
#ifndef EXAMPLES_ECHO_H
#define EXAMPLES_ECHO_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/ring.h>
#include <millrace/transport.h>

#include "examples/parting.h"

#define ECHO_ALPN      "\004echo" /* as TLS writes it: a length, and so many bytes */
#define ECHO_NO_MEMORY 1          /* code of streams for which there is none */

/* What is to be done, from the command line. */
struct echo_task {
    const char *control; /* the datapath's socket */
    const char *address; /* NULL: be the server */
    struct mr_address remote;
    const uint8_t *text;
    size_t size;
    bool is_line; /* the answer gets a newline for who reads it */
};

/* ------------------------------------------------------------------ what it says */

static inline void echo_say_serving(void)
{
    printf("echo: serving\n");
    fflush(stdout);
}

/* Bytes of the answer; its end: the status. */
static inline void echo_print(const void *bytes, size_t size)
{
    fwrite(bytes, 1, size, stdout);
}

static inline int echo_answered(const struct echo_task *task)
{
    if (task->is_line)
        putchar('\n');
    return fflush(stdout) == 0 ? 0 : 1;
}

/* Why there is none: the status. */
static inline int echo_fail(const char *why)
{
    fprintf(stderr, "echo: %s\n", why);
    return 1;
}

static inline int echo_fail_early(void)
{
    return echo_fail("the connection ended before the answer");
}

static inline int echo_fail_listener(void)
{
    return echo_fail("the datapath has no listener for us; start it with "
                     "--listener name=echo,alpn=echo,port=4433,application=echo");
}

/* The end: an answer, or why there is none; of a server, why it serves no more.  The status. */
static inline int echo_end(const struct echo_task *task, bool is_answered,
                           enum mr_datapath_state state, const struct mr_error *why)
{
    bool is_server = task->address == NULL;

    if (is_answered)
        return echo_answered(task);
    return is_server || state >= MR_DATAPATH_DRAINED ? part("echo", is_server, state, why)
                                                     : echo_fail_early();
}

/* ------------------------------------------------------------------ the command line */

/* All of standard input; false: it cannot be read, or there is no memory for it. */
static inline bool echo_read_input(struct echo_task *task)
{
    uint8_t *text = NULL;
    size_t room = 0;

    do {
        if (task->size == room) {
            room = room == 0 ? 65536 : 2 * room;
            uint8_t *larger = (uint8_t *)realloc(text, room);
            if (larger == NULL)
                break;
            text = larger;
        }
        task->size += fread(text + task->size, 1, room - task->size, stdin);
    } while (!feof(stdin) && !ferror(stdin));
    task->text = text;
    return feof(stdin);
}

/* A whole number from 1 to `max`; false: it is none. */
static inline bool echo_read_number(const char *text, unsigned long max, unsigned long *number_out)
{
    char *end;

    *number_out = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *number_out > 0 && *number_out <= max;
}

/* 0, or the status to exit with: it said why. */
static inline int echo_read_task(int argc, char **argv, struct echo_task *task)
{
    if (!(argc == 3 && strcmp(argv[2], "server") == 0) &&
        !(argc == 6 && strcmp(argv[2], "client") == 0)) {
        fprintf(stderr, "usage: %s SOCKET server | SOCKET client ADDRESS PORT TEXT\n", argv[0]);
        return 2;
    }
    task->control = argv[1];
    if (argc == 3)
        return 0;
    unsigned long port;
    if (!echo_read_number(argv[4], 65535, &port)) {
        fprintf(stderr, "echo: %s is no port; give 1 to 65535\n", argv[4]);
        return 2;
    }
    task->address = argv[3];
    task->remote.port = (uint16_t)port;
    task->remote.ip[10] = task->remote.ip[11] = 0xff; /* IPv4 is mapped */
    if (inet_pton(AF_INET, argv[3], &task->remote.ip[12]) != 1 &&
        inet_pton(AF_INET6, argv[3], task->remote.ip) != 1) {
        fprintf(stderr, "echo: %s is no address\n", argv[3]);
        return 2;
    }
    task->is_line = strcmp(argv[5], "-") != 0;
    task->text = task->is_line ? (const uint8_t *)argv[5] : NULL;
    task->size = task->is_line ? strlen(argv[5]) : 0;
    return task->is_line || echo_read_input(task) ? 0 : echo_fail("standard input cannot be read");
}

static inline void echo_free_task(struct echo_task *task)
{
    if (!task->is_line)
        free((void *)(uintptr_t)task->text);
}

/* What main() does: `run` serves, or asks, and returns the status. */
static inline int echo_main(int argc, char **argv, int (*run)(const struct echo_task *task))
{
    struct echo_task task;

    memset(&task, 0, sizeof(task));
    int status = echo_read_task(argc, argv, &task);
    if (status == 0)
        status = run(&task);
    echo_free_task(&task);
    return status;
}

/* ------------------------------------------------------------------ for the calls of millrace */

/* How to attach: a server that was started before its datapath waits for it. */
static inline struct mr_attach_config echo_attach(const struct echo_task *task)
{
    struct mr_attach_config config;

    memset(&config, 0, sizeof(config));
    config.control = task->control;
    config.name = task->address == NULL ? "echo" : "client";
    config.patience_ns = UINT64_C(10000000000);
    return config;
}

/* What to connect to. */
static inline struct mr_connect_options echo_connect(const struct echo_task *task)
{
    struct mr_connect_options options;

    memset(&options, 0, sizeof(options));
    options.remote = task->remote;
    options.server_name = "localhost";
    options.alpn = (const uint8_t *)ECHO_ALPN;
    options.alpn_size = sizeof(ECHO_ALPN) - 1;
    return options;
}

#endif /* EXAMPLES_ECHO_H */
