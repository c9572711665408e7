/*
 * tools/bench_lanes.h - servers beside each other, of which one runs at a time: what benches stand
 * on that compare the applications of a server.
 *
 *              worker 0: one thread polls both ends of the selected lane         the other core
 *     lane 0   clients -- wire -- server shard, its application inline
 *     lane 1   clients -- wire -- server shard, host ========= ring ========= application 1
 *     lane 2   clients -- wire -- server shard, host ========= ring ========= application 2
 *
 * A machine's speed changes within seconds, so lanes are measured in slices, in turn: what slows
 * one down slows all.  A lane that is not selected rests: its clients were told to pause, and all
 * that they had asked for was answered, so that nobody's clock runs meanwhile.
 *
 * Both ends take turns on one core, in one loop, because the application needs the other one of a
 * machine with two; with `has_client_worker` the clients have worker 1.
 *
 * Attached applications come over a real control socket, in a folder of the bench's own.
 *
 * Owner: the bench.  Threads: the control thread, which has to come by in mr_lanes_sleep() for
 * whoever attaches.  EAL runs from before mr_lanes_make() until after mr_lanes_free().
 */
#ifndef MR_TOOLS_BENCH_LANES_H
#define MR_TOOLS_BENCH_LANES_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/ring_region.h"
#include "control/control.h"
#include "tools/bench_worker.h"
#include "tools/bench_world.h"

#define MR_LANES_MAX     12
#define MR_LANES_ALL     UINT32_MAX
#define MR_LANES_NAME    "bench" /* of the listener */
#define MR_LANES_SOCKET  128     /* bytes of its path */
#define MR_LANES_TURN_NS 100000  /* a burst takes a tenth of it */

/* Of one lane.  Applications stay where they are. */
struct mr_lane_config {
    const struct mr_application *server; /* inline; NULL: a host, which others attach to */
    const struct mr_application *client; /* NULL: none, and that end is not polled */
    struct mr_bench_shared *client_shared;
};

struct mr_lanes_config {
    struct mr_lane_config lane[MR_LANES_MAX];
    uint32_t count;
    bool has_client_worker;
    struct mr_world_config world;
    struct mr_ring_sizes rings; /* of attachments that do not say */
};

/*
 * What turns did in which nothing came in between: neither end took MR_LANES_TURN_NS.  A thread
 * that loses its core for a while loses milliseconds, which would count as the shard's time; the
 * turn it happens in is left out, with all that it did.
 */
struct mr_lane_clean {
    uint64_t server_cycles;           /* of those that did something */
    uint64_t stage_cycles[MR_STAGES]; /* the server's */
    uint64_t server_packets;          /* full ones sent */
    uint64_t client_packets;
    uint64_t requests;    /* answered */
    uint64_t interrupted; /* turns that were left out */
};

struct mr_lane {
    struct mr_lane_clean clean; /* the worker's */
    struct mr_world world;
    bool has_world;
    bool has_client;
    struct mr_app_host *host; /* NULL: inline */
    uint32_t number;          /* of the shard, for who attaches */
    struct mr_application server;
    struct mr_application client; /* the worker's */
    struct mr_bench_worker worker;
};

struct mr_lanes {
    struct mr_lane lane[MR_LANES_MAX];
    uint32_t count;
    uint32_t worker_count;
    uint32_t selected; /* an index, or MR_LANES_ALL */
    struct mr_control *control;
    struct mr_app_host *hosts[MR_LANES_MAX]; /* those that there are, for `control` */
    char socket[MR_LANES_SOCKET];
    struct mr_clock clock;
    uint64_t turn_cycles; /* MR_LANES_TURN_NS */
    bool is_launched;

    /* between the control thread and the workers */
    _Atomic uint32_t active;  /* bit mask of lanes that are polled */
    _Atomic uint32_t seen[2]; /* the same, as each worker does it */
    _Atomic bool is_stopping;
    _Atomic bool is_lent; /* worker 0 has, or will have, something else to do */
    void (*lent_function)(void *argument);
    void *lent_argument;
    pthread_t thread; /* of worker 0 */
    _Atomic bool has_thread;
};

/* What a lane has counted so far. */
struct mr_lane_figures {
    double seconds; /* on the clock */
    struct mr_shard_stats server;
    struct mr_shard_stats client;
    struct mr_bench_counts clients;
    struct mr_app_host_stats host;
    struct mr_lane_clean clean; /* nothing with has_client_worker */
    double worker_cpu;          /* seconds, of worker 0 */
};

/* Workers that EAL has to have. */
uint32_t mr_lanes_workers(bool has_client_worker);

/* The CPU that an attached application should have to itself: the first that no worker has.  False:
 * there is none, and it has to share one. */
bool mr_lanes_app_cpu(uint32_t *cpu_out);

/* Worlds, hosts, a control socket.  False with `fault` set and nothing held. */
bool mr_lanes_make(struct mr_lanes *lanes, const struct mr_lanes_config *config,
                   struct mr_fault *fault);

/* Poll, all lanes; their clients pause. */
void mr_lanes_launch(struct mr_lanes *lanes);

/* Poll this lane only, or MR_LANES_ALL.  Clients of others are paused, and at rest, when it
 * returns; its own go on.  Takes some 50 ms.  False: they did not come to rest within seconds. */
bool mr_lanes_select(struct mr_lanes *lanes, uint32_t index);

/* Wait, and do what the control socket has to do. */
void mr_lanes_sleep(struct mr_lanes *lanes, double seconds);

/* Have worker 0 call the function once, between two turns.  mr_lanes_take_back() waits until it has
 * returned. */
void mr_lanes_lend(struct mr_lanes *lanes, void (*function)(void *argument), void *argument);
void mr_lanes_take_back(struct mr_lanes *lanes);

void mr_lanes_read(const struct mr_lanes *lanes, uint32_t index, struct mr_lane_figures *out);

/* From `begin` to `end`, into `end`. */
void mr_lanes_subtract(struct mr_lane_figures *end, const struct mr_lane_figures *begin);

/* Let go of the applications, stop the shards.  Counters stay readable. */
void mr_lanes_stop(struct mr_lanes *lanes);

/* Returns the mbufs that did not come back. */
uint32_t mr_lanes_free(struct mr_lanes *lanes);

/* Seconds of a monotonic clock. */
double mr_lanes_now(void);

#endif /* MR_TOOLS_BENCH_LANES_H */
