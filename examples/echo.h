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
 * does not get all of it, or there is no datapath, and says why (echo_ending.h); with 2 if it is
 * called wrongly, which it says before it attaches.
 *
 * For C and C++.
 */
#ifndef EXAMPLES_ECHO_H
#define EXAMPLES_ECHO_H

#include "examples/echo_args.h"
#include "examples/echo_ending.h"

#define ECHO_ALPN      "\004echo" /* as TLS writes it: a length, and so many bytes */
#define ECHO_NO_MEMORY 1          /* code of streams for which there is none */

static inline void echo_say_serving(void)
{
    printf("echo: serving\n");
    fflush(stdout);
}

/* Bytes of the answer. */
static inline void echo_print(const void *bytes, size_t size)
{
    fwrite(bytes, 1, size, stdout);
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
