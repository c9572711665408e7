/* dataplane/shard_internal.h - struct mr_shard, shared by shard.c, shard_poll.c and
 * transport_inline.c. */
#ifndef MR_DATAPLANE_SHARD_INTERNAL_H
#define MR_DATAPLANE_SHARD_INTERNAL_H

#include <stdatomic.h>

#include "base/cache_line.h"
#include "base/wheel.h"
#include "dataplane/clock.h"
#include "dataplane/shard.h"
#include "dataplane/shard_order.h"
#include "drivers/mbuf_pool.h"

#define MR_EVENTS_PER_CALL 64
#define MR_JOBS_PER_CALL   4
#define MR_TX_WAITING_MAX  128         /* frames that the port did not take yet */
#define MR_LATE_NS         (5 * MR_MS) /* between iterations: frames have piled up */
#define MR_PAUSE_NS        MR_SECOND   /* the same, long enough to be no work of ours */
#define MR_CATCH_UP_MAX    32          /* iterations that timers then wait for frames at most */
#define MR_CHAINS_TRIAL    256         /* datagrams in chains, at least, */
#define MR_CHAINS_SHARE    16          /* and this part of all */
#define MR_CHAINS_TIME_NS  MR_SECOND   /* in which the first ones' losses are noticed */
#define MR_FULL_SLACK      48 /* bytes that a "full" datagram may fall short of payload_max */

struct mr_timer {
    uint64_t user_data;
    uint32_t next_free;
};

/* Does what the port cuts up arrive?  On trial every other burst may be chains, until enough were
 * for long enough, and not too small a part of all. */
struct mr_shard_chains {
    bool is_trial;
    bool is_turn;
    uint64_t begin_ns; /* of the trial; all that follow, at that time */
    uint64_t sent;     /* packets */
    uint64_t lost;
};

struct mr_shard {
    struct mr_transport transport; /* first: ops get the shard from it */
    struct mr_shard_config config;
    struct mr_endpoint *ep;
    struct mr_net *net;
    struct mr_clock clock;
    uint64_t now;         /* of this iteration */
    uint32_t catching_up; /* iterations; timers wait in the first half of 2 * MR_CATCH_UP_MAX */
    uint64_t lap_cycles;  /* where the current stage began */
    /* sending */
    struct mr_launch launch;
    struct mr_shard_chains chains;
    uint32_t spare_count;   /* empty send buffers */
    uint32_t waiting_count; /* frames the port refused */
    uint32_t waiting_first;
    struct rte_mbuf *spare[MR_BURST];
    struct rte_mbuf *waiting[MR_TX_WAITING_MAX];
    /* the application */
    uint32_t work_out; /* jobs at helpers */
    uint32_t tls_out;  /* the same, of TLS */
    uint32_t timer_free;
    struct mr_wheel timers;
    struct mr_timer timer[MR_TIMERS_MAX];
    struct mr_wheel_node timer_nodes[MR_TIMERS_MAX];
    struct mr_shard_moves moves;
    uint64_t idle_since_ns;
    /* key log lines on their way to the file */
    bool is_keylog_out;
    bool has_keylog_failed; /* said once */
    size_t keylog_size;
    char keylog[16384];
    /* memory */
    void *memory;
    size_t footprint;
    bool owns_aead;
    /* stop, drain and orders, written by the control thread */
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint64_t stop_patience_ns; /* 0: run */
    _Atomic bool wants_drain;
    _Atomic(struct mr_token_order *) token_order; /* NULL: done */
    _Atomic(struct mr_shard_order *) order;       /* NULL: done */
    /* read by others */
    MR_ALIGNED(MR_CACHE_LINE) struct mr_shard_stats stats;
    _Atomic uint32_t conn_count;
};

MR_ASSERT_OWN_LINE(struct mr_shard, stop_patience_ns);
MR_ASSERT_OWN_LINE(struct mr_shard, stats);
MR_ASSERT_WHOLE_LINES(struct mr_shard);

/* One iteration.  Returns how much work it did; 0: nothing. */
uint32_t mr_shard_poll(struct mr_shard *shard);

/* The table of operations of the inline transport. */
extern const struct mr_transport_ops mr_inline_ops;

/* Timers and finished work of the application, as events. */
uint32_t mr_inline_timers(struct mr_shard *shard, struct mr_event *out, uint32_t room);
uint32_t mr_inline_work_done(struct mr_shard *shard, struct mr_event *out, uint32_t room);

/* The `user_data` of the shard's own work: no event comes of it. */
#define MR_WORK_KEYLOG UINT64_MAX

static inline void mr_shard_count(uint64_t *field, uint64_t n)
{
    mr_count_add(field, n);
}

/* The time since the last call belongs to `stage`. */
static inline void mr_shard_lap(struct mr_shard *shard, enum mr_stage stage)
{
    uint64_t cycles = rte_rdtsc();

    mr_count_add(&shard->stats.stage_cycles[stage], cycles - shard->lap_cycles);
    shard->lap_cycles = cycles;
}

#endif /* MR_DATAPLANE_SHARD_INTERNAL_H */
