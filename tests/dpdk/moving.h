/*
 * tests/dpdk/moving.h - applications that transfer and check while connections move between shards
 * on threads of their own.
 *
 *     client shard 0 -- wire -- server shards 0, 1, ...
 *
 * The client opens streams for ever, each side sends a pattern on each and checks the other's.
 * Every handler call of a connection of the server's enters and leaves a gate: two at a time are an
 * error.  Whatever goes wrong is counted, and the first of it printed.
 *
 * Owner: the test program, one world at a time.  Threads: the control thread's; `moving` is
 * anyone's.
 */
#ifndef MR_TESTS_DPDK_MOVING_H
#define MR_TESTS_DPDK_MOVING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/crossing.h"
#include "dataplane/shard_order.h"
#include "tests/dpdk/dpdk_harness.h"
#include "tools/bench_world.h"

enum {
    MOVING_SHARDS = 3,   /* at most */
    MOVING_CONNS = 6,    /* unless `conn_count` says otherwise */
    MOVING_MANY = 100,   /* at most */
    MOVING_STREAMS = 4,  /* that the client has open in a connection */
    MOVING_SECONDS = 40, /* for whatever is to happen */
};

/* What a shard did in its turns. */
struct moving_mark {
    uint64_t turns;
    uint64_t datagrams; /* sent and received */
    uint64_t redirected_in;
    struct mr_crossings crossings; /* zeros in a build without checks */
};

struct moving {
    /* set before moving_launch() */
    uint32_t conn_count;
    bool has_calls;     /* the server's applications move connections, and refuse some */
    bool shares_thread; /* worker 0 has all shards, in turn: none is busy because it waits for
                           another; worker 1 has the server's I/O lcore, if there is one */
    bool differ;        /* connection i has 1 + i % MOVING_STREAMS streams, not MOVING_STREAMS */
    /* what has happened */
    _Atomic uint32_t accepted;
    _Atomic uint32_t streams_done; /* by the client */
    _Atomic uint32_t streams_open; /* by the client */
    _Atomic uint32_t moved_in;
    _Atomic uint32_t failed_moves;
    _Atomic uint64_t move_ns; /* of all together, from when the application lets one go until it is
                                 told that it has come */
    _Atomic uint64_t longest_move_ns;
    _Atomic uint64_t bytes_checked[MOVING_SHARDS]; /* that a server's shard has received */
    _Atomic uint32_t wrong;
    _Atomic bool is_ending;
};

extern struct moving moving;

/* Let the servers' shards, which share a thread, note what they do from now on, until they have
 * sent and received `datagrams` together; or for MOVING_SECONDS. */
void moving_mark(uint64_t datagrams, struct moving_mark marks_out[MOVING_SHARDS]);

/* What part of the time the thread that they share has run since it was launched. */
double moving_cpu_share(void);

/* As before the first test: MOVING_CONNS connections that only the control thread moves. */
void moving_forget(void);

/* A wire that loses some packets. */
struct mr_world_config moving_config(void);

/* Make and launch it with its applications, and wait for its connections. */
void moving_launch(struct mr_world *w, struct mr_world_config *config);

/* Every stream comes to its end, whole, and nothing went wrong. */
void moving_end(struct mr_world *w);

/* Of the server's shards together. */
struct mr_shard_stats moving_stats(const struct mr_world *w);

void moving_pause_ms(long ms);

/* Give an order and wait until it is done. */
void moving_carry_out(struct mr_shard *shard, struct mr_shard_order *order);

#endif /* MR_TESTS_DPDK_MOVING_H */
