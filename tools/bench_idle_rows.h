/*
 * tools/bench_idle_rows.h - what `millrace bench idle` measures, and what it makes of it.
 *
 * Owner: the bench.  Threads: the control thread.
 */
#ifndef MR_TOOLS_BENCH_IDLE_ROWS_H
#define MR_TOOLS_BENCH_IDLE_ROWS_H

#include "quic/endpoint_memory.h"
#include "tools/bench.h"
#include "tools/bench_idle_app.h"
#include "tools/bench_idle_few.h"
#include "tools/bench_idle_http3.h"

#define MR_IDLE_ROWS_MAX 8
#define MR_IDLE_BURSTS   2
#define MR_IDLE_WAYS     (1 + MR_IDLE_BURSTS) /* at random, and those */

/* Bursts of how many requests come in turn. */
extern const uint32_t mr_idle_bursts[MR_IDLE_BURSTS];

/* Of a way: 0, at random, or mr_idle_bursts[way - 1]. */
uint32_t mr_idle_burst_of(uint32_t way);

/* What requests cost that come in some way. */
struct mr_idle_woken {
    double packet_ns; /* the median of slices */
    struct mr_interval interval;
};

/* What was measured at one number of connections. */
struct mr_idle_row {
    uint32_t connections;
    double seconds; /* for those since the row before */
    uint32_t made;
    struct mr_endpoint_memory memory; /* the server's */
    struct mr_idle_http3_usage http3; /* the same, of its application */
    int64_t tls_bytes;                /* the server's allocations beyond those of two */
    uint64_t resident;                /* of both sides */
    double poll_ns;                   /* an iteration of the server with nothing to do */
    struct mr_idle_woken woken;       /* at random */
    struct mr_idle_woken paced[MR_IDLE_BURSTS];
};

/* The server's ns per packet, of few connections and of all, in turns. */
struct mr_idle_compared {
    struct mr_samples few;
    struct mr_samples many;
    struct mr_samples ratios; /* of two that follow each other */
};

struct mr_idle {
    struct mr_bench *bench;
    struct mr_idle_few *few; /* NULL: no more than those, --http3, or --shards */
    struct mr_idle_compared compared[MR_IDLE_WAYS];
    struct mr_idle_app *apps[MR_SHARDS_MAX];
    struct mr_idle_http3 *http3; /* in place of those, with --http3 */
    struct mr_idle_orders *orders[MR_SHARDS_MAX];
    struct mr_idle_row rows[MR_IDLE_ROWS_MAX];
    uint32_t row_count;
    double begun; /* clock */
    double seconds_to_connect;
    int64_t tls_base;
    uint64_t handshake_tls_bytes;   /* allocated for one handshake at the most */
    uint64_t handshake_other_bytes; /* pool objects beside its state */
    double held_seconds;
    double close_seconds;
    struct mr_endpoint_memory left[2]; /* server, client */
    struct mr_idle_http3_usage http3_left;
    int64_t tls_left;
    struct mr_bench_counts counts;
    uint32_t held;
    bool is_complete;
};

/* Of the server's shards, and, where none of its connections sleep, the client's. */
struct mr_limits mr_idle_limits(const struct mr_bench *b);

/* Datagrams of the server in an interval, both ways. */
double mr_idle_packets(const struct mr_interval *i);

/* Bytes of each connection that is awake, everything counted. */
double mr_idle_bytes_awake(const struct mr_bench *b, const struct mr_idle_row *row);

/* The same of one that sleeps; 0: none does. */
double mr_idle_bytes_asleep(const struct mr_bench *b, const struct mr_idle_row *row);

/* All of it; the caller's to release. */
struct json_object *mr_idle_report(struct mr_idle *idle);

#endif /* MR_TOOLS_BENCH_IDLE_ROWS_H */
