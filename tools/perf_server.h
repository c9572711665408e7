/*
 * tools/perf_server.h - the server of the QUIC performance protocol
 * (draft-banks-quic-performance-00), inline on a shard.
 *
 *     client's stream: 8 bytes, how many it wants | whatever else  --FIN-->
 *                                  <-- that many bytes, out of one buffer, by reference
 *
 * On a bidirectional stream they come back on the same one (Section 2.3.2), for a unidirectional
 * one the server opens a stream of its own; it waits in line where the client allows no more of
 * them.  The answer begins when the request has ended.  A stream that ends before its 8 bytes is
 * ignored, and ended (Section 2.3.1).
 *
 * Owner: the command; one for each shard.  Threads: the shard's, but for mr_perf_server_read().
 * Limits: `streams` at a time; what is more is reset and counted.
 */
#ifndef MR_TOOLS_PERF_SERVER_H
#define MR_TOOLS_PERF_SERVER_H

#include <stdint.h>

#include "base/fault.h"
#include "millrace/transport.h"
#include "tools/perf_buffer.h"
#include "tools/perf_limiter.h"

#define MR_PERF_ALPN        "perf"
#define MR_PERF_HEADER      8
#define MR_PERF_NO_STREAM   1 /* error code: too many streams at a time */
#define MR_PERF_STREAMS_MAX 1048576
#define MR_PERF_AHEAD_BYTES (UINT64_C(8) << 20) /* queued and not acknowledged, of one stream */

/* Counted since the start, relaxed. */
struct mr_perf_server_counts {
    uint64_t connections; /* accepted */
    uint64_t closed;
    uint64_t requests; /* answered in full */
    uint64_t bytes_received;
    uint64_t bytes_queued;              /* given to the transport */
    uint64_t streams_refused;           /* limit `streams` */
    uint64_t streams_ignored;           /* ended before they said what they want */
    uint64_t streams_waited;            /* answers that waited for a stream of their own */
    uint64_t limited[MR_PERF_LIMITERS]; /* samples of connections, if it takes orders */
};

struct mr_far;
struct mr_perf_server;

/* `streams` at a time.  NULL with `fault` set: no memory. */
struct mr_perf_server *mr_perf_server_make(const struct mr_perf_buffer *buffer, uint32_t streams,
                                           struct mr_fault *fault);
void mr_perf_server_free(struct mr_perf_server *server);

/* Take orders, too (perf_far.h); before it runs.  `far` outlives it. */
void mr_perf_server_take_orders(struct mr_perf_server *server, struct mr_far *far);

/* For the shard. */
const struct mr_application *mr_perf_server_application(const struct mr_perf_server *server);

/* Add its counts.  Any thread. */
void mr_perf_server_read(const struct mr_perf_server *server, struct mr_perf_server_counts *sum);

#endif /* MR_TOOLS_PERF_SERVER_H */
