/*
 * control/group.h - the shards of one port, as one thing to start and stop.
 *
 *     port (N queues) -- shard 0 .. N-1, one worker each -- one application each
 *     port (L queues) -- L I/O lcores, one worker each -- shard 0 .. N-1, likewise
 *
 * Makes buffer pools, opens the port (or takes an open one: a wire's end), makes
 * the shards and what joins them; launches, stops, frees, in the order that is
 * right.
 *
 * Owner: the control thread.  Threads: the control thread only.
 */
#ifndef MR_CONTROL_GROUP_H
#define MR_CONTROL_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "control/admission.h"
#include "control/cid_rules.h"
#include "control/spread.h"
#include "dataplane/io_port.h"
#include "dataplane/shard.h"
#include "drivers/port_watch.h"

struct mr_group_config {
    const char *name;     /* of its pools: short, unique in the process */
    const char *spec;     /* of the port; NULL: `port` is open already */
    uint16_t mtu;         /* of the port that is opened; 0: MR_PORT_MTU */
    struct mr_port *port; /* becomes the group's: closed with it */
    uint32_t shard_count;
    uint32_t io_lcores;    /* that move the frames (dataplane/io_port.h); 0: each shard its own */
    bool has_cid_rules;    /* the port is to choose shards by connection ID, if it can */
    uint32_t first_worker; /* shard i runs on worker first_worker + i, I/O lcores behind them */
    uint32_t work_first;   /* shard i is number work_first + i in the pool of helper threads */
    struct mr_shard_config
        shard; /* of each; index, port, queue, send_pool, work_index are filled in */
    const struct mr_application *applications; /* shard_count of them */
    const struct mr_move_hooks *move_hooks;    /* shard_count of them; NULL: none */
    struct rte_mempool *const
        *rx_pools;     /* a queue's each, of mr_group_make_rx_pools(), become the group's, even if
                          making it fails; NULL: made if there is a spec */
    uint32_t rx_mbufs; /* per shard; 0: 4,096 */
    uint32_t tx_mbufs; /* per shard; 0: MR_SHARD_POOL_MBUFS */
};

/* The port as control/group_ports.h has seen it. */
struct mr_group_link {
    struct mr_port_watch watch;
    enum mr_port_health health; /* at the last look; until the first one: up */
    uint64_t look_ns;           /* when to look again */
    uint64_t clock_ns;          /* likewise, of its clock */
    uint64_t downs;             /* times it was found down */
    bool has_conflict;          /* the kernel has an address of ours, and it was said */
    uint64_t addresses_ns;      /* when to look at the kernel's addresses again */
    struct mr_spread spread;    /* over the shards' queues */
};

struct mr_group {
    struct mr_group_config config;
    struct mr_port *port;    /* the shards' */
    struct mr_port *io_port; /* the same, if it has I/O lcores; NULL: it has none */
    struct mr_port *device;  /* the port that was opened, whoever moves its frames */
    struct mr_group_link link;
    struct mr_cid_rules cid_rules;
    struct mr_launch_clock launch;      /* of a port that sends at a time */
    struct mr_port_admission admission; /* of a port that takes only what it was told to */
    struct mr_redirects *redirects;
    struct mr_moves *moves; /* NULL: no application lets connections move */
    struct rte_mempool *rx_pools[MR_SHARDS_MAX];
    struct rte_mempool *tx_pools[MR_SHARDS_MAX];
    struct mr_shard *shards[MR_SHARDS_MAX];
    bool is_launched;
};

/* False with `fault` set, and nothing held. */
bool mr_group_make(struct mr_group *group, const struct mr_group_config *config,
                   struct mr_fault *fault);

/* The receive pools of `shard_count` shards, each on its NUMA node (NULL: any); for a wire that
 * copies: made before its ends are opened. */
bool mr_group_make_rx_pools(const char *name, uint32_t shard_count, uint32_t count,
                            uint32_t frame_max, const int32_t *nodes,
                            struct rte_mempool **pools_out, struct mr_fault *fault);

void mr_group_launch(struct mr_group *group);

/* Tell the applications to finish what is open and accept nothing new. */
void mr_group_drain(struct mr_group *group);

/* Ask the shards to close their connections and return; then wait for them. */
void mr_group_stop(struct mr_group *group, uint64_t patience_ns);
void mr_group_join(struct mr_group *group);

/* Free shards and port, but keep the pools: the other end of a wire may still hold their mbufs. */
void mr_group_close(struct mr_group *group);

/* Free shards, port and pools.  `leaked_out`: mbufs that did not come back to their pools; may be
 * NULL. */
void mr_group_free(struct mr_group *group, uint32_t *leaked_out);

/* Queues of its port, and workers: of shards and I/O lcores. */
uint32_t mr_group_queues(uint32_t shard_count, uint32_t io_lcores);
uint32_t mr_group_workers(uint32_t shard_count, uint32_t io_lcores);

/* What its I/O lcores did; zeros where it has none. */
void mr_group_io_stats(const struct mr_group *group, struct mr_io_stats *stats_out);

/* Sums over the shards. */
void mr_group_stats(const struct mr_group *group, struct mr_shard_stats *stats_out);
void mr_group_counters(const struct mr_group *group, struct mr_counters *counters_out);
void mr_group_net_counters(const struct mr_group *group, struct mr_net_counters *counters_out);
uint32_t mr_group_conn_count(const struct mr_group *group);

/* Add structs of uint64_t, `size` bytes, word by word. */
void mr_words_add(void *sum, const void *add, size_t size);

#endif /* MR_CONTROL_GROUP_H */
