/*
 * tools/bench_idle_http3.h - the applications of `millrace bench idle --http3`: the file server of
 * `millrace edge`, weighed, and a client that makes connections, wakes some and closes all as
 * tools/bench_idle_app.h's does.
 *
 *     control thread   orders ------------> client      asks for a small file on one of them
 *                      bytes, objects <---- server      after each of its iterations
 *
 * Owner: the bench.  Threads: the shards' workers; what is atomic, and `shared`, is the control
 * thread's, too.
 * Limits: as many connections as it was made for.
 */
#ifndef MR_TOOLS_BENCH_IDLE_HTTP3_H
#define MR_TOOLS_BENCH_IDLE_HTTP3_H

#include "tools/bench_http3.h"
#include "tools/bench_idle_app.h"

struct mr_idle_http3;

/* Servers and clients of all shards, into the bench's workers.  NULL with `fault` set. */
struct mr_idle_http3 *mr_idle_http3_make(struct mr_bench *bench, const struct mr_idle_load *load,
                                         struct mr_fault *fault);

/* After mr_bench_stop().  NULL is allowed. */
void mr_idle_http3_free(struct mr_idle_http3 *http3);

/* Of the client of shard `i`. */
struct mr_idle_orders *mr_idle_http3_orders(struct mr_idle_http3 *http3, uint32_t i);

/* What HTTP/3 holds at all servers: bytes, and objects of connections, streams and requests. */
struct mr_idle_http3_usage {
    uint64_t bytes;
    uint64_t connections;
    uint64_t streams;
    uint64_t requests;
};
struct mr_idle_http3_usage mr_idle_http3_usage(struct mr_idle_http3 *http3);

#endif /* MR_TOOLS_BENCH_IDLE_HTTP3_H */
