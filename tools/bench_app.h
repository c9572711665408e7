/*
 * tools/bench_app.h - the applications of `millrace bench`: a source and a sink, inline on their
 * lcores.
 *
 * A stream begins with 8 bytes, big endian: how many bytes its opener wants back
 * (the QUIC perf protocol).  The server answers out of one large buffer, by
 * reference; the client counts, or checks every byte against the buffer.
 *
 * Owner: the bench.  Threads: each struct belongs to its shard's worker; `shared`
 * is the control thread's, too.
 */
#ifndef MR_TOOLS_BENCH_APP_H
#define MR_TOOLS_BENCH_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/transport.h"
#include "tools/bench_worker.h"
#include "tools/perf_buffer.h"

#define MR_BENCH_STREAMS_MAX 65536 /* open at a time, of one shard */
#define MR_BENCH_HEADER      8     /* bytes of a request, at least: how many are wanted back */
#define MR_BENCH_PACED_MAX   64    /* connections that streams are due on */

/* What a client shard does. */
struct mr_bench_load {
    struct mr_address server;
    uint32_t connections;      /* kept open (handshake: kept in flight) */
    uint32_t streams;          /* at a time, per connection */
    uint64_t down_bytes;       /* per stream; UINT64_MAX: without end */
    uint64_t up_bytes;         /* per stream, after the request; UINT64_MAX: without end */
    uint32_t connects_at_once; /* handshakes in flight while connections are made */
    bool is_handshake;         /* close each connection when it is there, and open another */
    bool is_early;             /* is_handshake: with a request in 0-RTT, once there is a ticket */
    bool wants_resumption;     /* with the ticket of an earlier connection */
    bool is_verified;
    bool is_read;        /* every byte is looked at once, as by somebody who uses it */
    bool has_one_active; /* latency: the first connection; the others stay idle */
    bool is_paced;     /* a stream each `every_ns`, on the connections in turn, at most `streams` at
                          a time; of as many connections as MR_BENCH_PACED_MAX */
    uint32_t visitors; /* is_paced: connections made beside, each `visit_ns`, and closed when they
                          are there; so many in flight at most, and latencies count from when a
                          stream was due.  0: none */
};

struct mr_bench_stream {
    mr_handle stream;
    mr_handle conn;
    uint64_t to_send; /* all bytes, UINT64_MAX: without end */
    uint64_t queued;
    uint64_t received;
    uint64_t wanted;
    uint64_t measured; /* bytes received while measuring */
    uint64_t begun_ns;
    uint8_t header[8];
    uint32_t next_free;
    bool is_open;
    bool is_fin_queued;
    bool has_answer; /* the peer's bytes are there, to the end */
};

struct mr_bench_app {
    struct mr_application application;
    struct mr_transport *transport;
    const struct mr_perf_buffer *data;
    struct mr_bench_load load; /* clients */
    bool is_client;
    uint32_t open_connections;
    uint32_t connecting;
    mr_handle conn;                      /* one that is there, the first */
    mr_handle paced[MR_BENCH_PACED_MAX]; /* paced: all of them, */
    uint32_t paced_count;
    uint32_t paced_next; /* the one whose turn it is */
    uint32_t visiting;
    uint64_t visit_due_ns;
    _Atomic uint64_t visit_ns; /* between two visitors; 0: none come */
    uint64_t due_ns;           /* paced: the next stream; 0: now */
    _Atomic uint64_t every_ns; /* paced: between two streams; 0: as soon as one is over */
    uint32_t stream_free;
    uint32_t stream_count;
    struct mr_bench_stream *streams; /* MR_BENCH_STREAMS_MAX */
    uint64_t sum;                    /* of what was read */
    size_t ticket_size;
    uint8_t ticket[8192];
    struct mr_bench_shared shared;
};

/* Add the bytes that each of its streams received while measuring, and their squares.  When the
 * shard has stopped. */
struct mr_bench_shares {
    uint64_t streams;
    double sum;
    double squares;
};
void mr_bench_app_shares(const struct mr_bench_app *app, struct mr_bench_shares *shares);

/* NULL: no memory. */
struct mr_bench_app *mr_bench_server_make(const struct mr_perf_buffer *data);
struct mr_bench_app *mr_bench_client_make(const struct mr_perf_buffer *data,
                                          const struct mr_bench_load *load);
void mr_bench_app_free(struct mr_bench_app *app);

#endif /* MR_TOOLS_BENCH_APP_H */
