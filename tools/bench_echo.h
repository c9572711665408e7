/*
 * tools/bench_echo.h - the load of `millrace bench models`: messages that come back.
 *
 * Each connection has one stream, and one message on its way: as soon as it is back, whole and
 * right, the next one goes.  The server's side, in each I/O model, is model.h's.
 *
 * Owner: the bench.  Threads: a client belongs to its shard's worker; `shared` and `wanted` are the
 * control thread's, too.
 */
#ifndef MR_TOOLS_BENCH_ECHO_H
#define MR_TOOLS_BENCH_ECHO_H

#include "millrace/transport.h"
#include "tools/bench_worker.h"

#define MR_ECHO_BYTES_MAX 16384 /* of a message */

struct mr_echo_stream {
    mr_handle stream; /* 0: not open */
    uint64_t number;  /* of the message on its way */
    uint32_t received;
    bool is_waiting; /* for its message to come back */
    bool is_stalled; /* the transport had no room for it */
};

struct mr_echo_client {
    struct mr_application application;
    struct mr_bench_shared shared;
    struct mr_transport *transport;
    struct mr_address server;
    uint32_t bytes; /* of a message */
    uint32_t room;  /* for connections */
    uint32_t begun; /* connections */
    uint32_t connecting;
    bool is_resting; /* is_paused was seen */
    bool has_stalled;
    _Atomic uint32_t wanted; /* connections; at most `room` */
    uint8_t *data;           /* messages are pieces of it */
    struct mr_echo_stream *streams;
};

/* A client that makes no connections yet.  NULL: no memory. */
struct mr_echo_client *mr_echo_client_make(uint32_t room, uint32_t bytes);
void mr_echo_client_free(struct mr_echo_client *client);

#endif /* MR_TOOLS_BENCH_ECHO_H */
