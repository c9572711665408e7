/*
 * dataplane/shard.h - one polling thread's whole world: its queue, its endpoint, its application.
 *
 *     poll_once:  rx -> parse -> lookup -> open -> frames      (datagrams)
 *                 datagrams from other shards
 *                 TLS jobs, finished work, timers
 *                 events -> application
 *                 build -> seal -> headers -> tx
 *
 * A shard owns queue `queue` of a port.  Nothing here locks, allocates or calls the
 * system in steady state; in adaptive mode an idle shard sleeps.
 *
 * Owner: the control thread makes shards, launches mr_shard_main() on a worker, and
 * frees them after it has returned.  Threads: mr_shard_stop() and mr_shard_stats()
 * may be called from any thread, everything else belongs to the worker.
 */
#ifndef MR_DATAPLANE_SHARD_H
#define MR_DATAPLANE_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "dataplane/client_ports.h"
#include "dataplane/launch.h"
#include "dataplane/net.h"
#include "dataplane/redirects.h"
#include "dataplane/shard_move.h"
#include "dataplane/work_pool.h"
#include "drivers/port.h"
#include "millrace/transport.h"
#include "quic/endpoint.h"

#define MR_SHARDS_MAX       64
#define MR_REDIRECT_RING    1024 /* datagrams from one shard to another; more are dropped, counted */
#define MR_TIMERS_MAX       4096 /* of an application */
#define MR_SHARD_POOL_MBUFS 2000 /* circulating send buffers; DESIGN.md, section 12 */

enum mr_polling {
    MR_POLLING_BUSY,    /* never sleeps */
    MR_POLLING_ADAPTIVE /* sleeps when idle, at most MR_IDLE_SLEEP_MAX */
};

/* Where a shard's time goes; one row of the stage table each. */
enum mr_stage {
    MR_STAGE_RX,     /* port, headers */
    MR_STAGE_LOOKUP, /* connection table, header protection */
    MR_STAGE_OPEN,   /* AEAD */
    MR_STAGE_FRAMES, /* frames, ACK reception, loss bookkeeping */
    MR_STAGE_APP,    /* events, the application's handlers */
    MR_STAGE_TLS,    /* jobs run on this thread */
    MR_STAGE_BUILD,  /* scheduling, frames out */
    MR_STAGE_SEAL,   /* application data, AEAD, header protection */
    MR_STAGE_TX,     /* headers, port, buffers */
    MR_STAGE_OTHER,  /* timers, redirects, releases */
    MR_STAGES
};

const char *mr_stage_name(enum mr_stage stage);

struct mr_shard_config {
    uint32_t index;       /* among the shards of its port */
    struct mr_port *port; /* borrowed */
    uint16_t queue;
    struct rte_mempool *send_pool;              /* of datagrams to send; borrowed */
    const struct mr_launch_clock *launch_clock; /* borrowed; NULL: packets leave at once */
    uint32_t payload_max;                       /* of a datagram; the pool's mbufs hold it */
    struct mr_net_config net;
    struct mr_limits limits;
    struct mr_endpoint_config endpoint; /* `aead` NULL: the shard opens `crypto` itself */
    enum mr_aead_backend crypto;
    uint16_t local_port;                 /* UDP, open for us; 0: ephemeral, for clients */
    struct mr_client_ports client_ports; /* open as well, other shards' too: a datagram for one may
                                            arrive here, and is passed on */
    const uint16_t *more_ports;          /* open as well; borrowed while the shard is made */
    uint32_t more_port_count;
    enum mr_polling polling;
    const struct mr_application *application; /* borrowed */
    const struct mr_move_hooks *move_hooks;   /* borrowed; NULL: its on_move decides */
    struct mr_work_pool *work;                /* borrowed; NULL: `work` says -EAGAIN */
    struct mr_work_pool *tls_work;            /* borrowed; NULL: TLS jobs run on this thread */
    uint32_t work_index;                      /* this shard's number in both pools */
    struct mr_redirects *redirects;           /* borrowed; NULL: the only shard of its port */
    struct mr_moves *moves;                   /* borrowed; NULL: connections stay where they are */
    struct mr_shard_balance balance;
    uint64_t stall_ns;   /* handlers that take longer are counted; 0: 20 us */
    uint64_t close_code; /* the application's: what is open at the end is closed with it */
    int keylog_fd;       /* -1: none */
};

/* Written by the worker, read by anyone, relaxed. */
struct mr_shard_stats {
    uint64_t loops;       /* iterations */
    uint64_t busy_loops;  /* that did work */
    uint64_t busy_cycles; /* TSC cycles of those */
    uint64_t stage_cycles[MR_STAGES];
    uint64_t full_packets_sent; /* datagrams of the path's full size */
    uint64_t datagrams_sent;
    uint64_t bursts_sent; /* that they were built and sealed in */
    uint64_t datagrams_received;
    uint64_t tx_refused; /* bursts that the port did not take whole */
    uint64_t
        chains_withdrawn; /* 1: what the port cut up did not arrive, it is not asked any more */
    uint64_t send_pool_empty;
    uint64_t redirect_dropped;
    uint64_t redirected_in;
    uint64_t updates_dropped; /* neighbours that another shard could not be told of */
    uint64_t sleeps;
    uint64_t stalls; /* handlers over stall_ns */
    uint64_t longest_stall_ns;
    uint64_t late_loops;     /* that began MR_LATE_NS or more after the one before */
    uint64_t longest_gap_ns; /* of those: long jobs, or the thread did not run */
    uint64_t tls_cycles;     /* of TLS jobs, here or at helpers */
    uint64_t tls_jobs;
    uint64_t balance_rounds;      /* times that it was to give some away, */
    uint64_t balance_vain;        /* of these, in which none went */
    uint64_t balance_moves;       /* begun for balance, be it that an application is asked */
    uint64_t balance_refused;     /* not begun: its application does not let it go, */
    uint64_t balance_unready;     /* its handshake is not over, or it came a moment ago, */
    uint64_t balance_large;       /* it has too much unread data, */
    uint64_t balance_limited;     /* as many as are allowed in a second were begun */
    uint64_t moves_refused_paths; /* for balance or not: it has several paths, and stays */
};

struct mr_shard;

/* Memory for everything, at once.  NULL with `fault` set. */
struct mr_shard *mr_shard_make(const struct mr_shard_config *config, struct mr_fault *fault);
void mr_shard_free(struct mr_shard *shard);

/* Poll until mr_shard_stop(); `shard` is a struct mr_shard.  For mr_eal_launch().  Returns 0. */
int mr_shard_main(void *shard);

/* The same in pieces, for a thread that has several shards: begin; a turn, again and again; when a
 * turn says false, that mr_shard_stop() was called, end. */
void mr_shard_begin(struct mr_shard *shard);
bool mr_shard_turn(struct mr_shard *shard);
void mr_shard_end(struct mr_shard *shard);

/* Ask the shard to close its connections, and to return when they are gone, or after `patience_ns`.
 */
void mr_shard_stop(struct mr_shard *shard, uint64_t patience_ns);

/* Before it is launched: where its traces go, and which new connections are traced from the
 * beginning (quic/trace.h). */
void mr_shard_set_tracer(struct mr_shard *shard, struct mr_tracer *tracer,
                         const struct mr_trace_rule *rule);

/* Ask the shard to drain: the application gets MR_EVENT_GO_AWAY. */
void mr_shard_drain(struct mr_shard *shard);

/* A change of keys of address tokens (quic/token.h); the shard's from when it is given until it is
 * done. */
struct mr_token_order {
    struct mr_token_key key; /* swapped with key `number`, if `swaps` */
    uint8_t number;
    bool swaps;
    bool writes; /* tokens are written with key `number` from now on */
};

/* Give the shard an order; the one before must be done.  It takes it in its next iteration, while
 * it runs.  The control thread's. */
void mr_shard_give_token_order(struct mr_shard *shard, struct mr_token_order *order);

/* Is the last order done? */
bool mr_shard_token_order_is_done(const struct mr_shard *shard);

/* A snapshot.  Any thread. */
void mr_shard_read_stats(const struct mr_shard *shard, struct mr_shard_stats *stats_out);
const struct mr_counters *mr_shard_counters(const struct mr_shard *shard);
const struct mr_net_counters *mr_shard_net_counters(const struct mr_shard *shard);
uint32_t mr_shard_conn_count(const struct mr_shard *shard); /* relaxed */

/* The transport of the shard's application. */
struct mr_transport *mr_shard_transport(struct mr_shard *shard);

/* Bytes of the shard's one block of memory. */
size_t mr_shard_footprint(const struct mr_shard *shard);

#endif /* MR_DATAPLANE_SHARD_H */
