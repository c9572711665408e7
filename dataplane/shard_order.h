/*
 * dataplane/shard_order.h - what the control thread asks a running shard to do now: list its
 * connections, give one or some to another shard, trace them, renew connection IDs, say what memory
 * is in use.
 *
 *     control thread   mr_shard_give_order() ............ mr_shard_order_is_done()
 *     shard                                  a few steps of it in each iteration
 *
 * An order is one pointer; the shard carries it out between two iterations and never waits.  A
 * shard that hangs does not carry it out: the control thread decides how long it looks, and leaves
 * the order to the shard until it is done.
 *
 * Owner: the control thread, for orders that are not given or done; else the shard.
 * Threads: as the picture says.
 * Limits: one order of a shard at a time; MR_ORDER_LOOKS connections listed in an iteration.
 */
#ifndef MR_DATAPLANE_SHARD_ORDER_H
#define MR_DATAPLANE_SHARD_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/path.h"
#include "millrace/transport.h"
#include "quic/endpoint_memory.h"
#include "quic/trace.h"

#define MR_ORDER_LOOKS 16

struct mr_shard;

/* A connection, for people. */
struct mr_shard_conn {
    mr_handle conn;
    uint64_t owner;    /* as struct mr_move_hooks says; 0: nobody, or not told */
    const char *state; /* "handshake", "open", ... */
    uint32_t streams;  /* open */
    uint32_t paths;    /* that are not over */
    bool can_move;     /* now, as far as its application need not be asked */
    struct mr_conn_info info;
};

/* What a connection costs its shard, in any unit. */
struct mr_conn_work {
    mr_handle conn;
    uint64_t work;
};

enum mr_shard_order_kind {
    MR_ORDER_LIST,   /* fill `conns` */
    MR_ORDER_MOVE,   /* give `conn` to shard `to` */
    MR_ORDER_FIND,   /* is `conn` here, or about to go? */
    MR_ORDER_SPREAD, /* give some of `works` to shard `to`, those in front first */
    MR_ORDER_TRACE,  /* trace connections: `trace` says which */
    MR_ORDER_RENEW,  /* new connection IDs for `conn`; MR_HANDLE_NONE: for each */
    MR_ORDER_PATHS,  /* fill `paths` with those of `conn` */
    MR_ORDER_MEMORY  /* fill `memory` */
};

/* What is to be traced (quic/trace.h). */
struct mr_shard_trace {
    bool stops;    /* none any more; or */
    bool has_rule; /* those new ones; or, without, */
    struct mr_trace_rule rule;
    mr_handle conn; /* this one: */
    uint32_t what;  /* enum mr_trace_what; 0: no more of it */
};

struct mr_shard_order {
    enum mr_shard_order_kind kind;
    struct mr_shard_conn *conns; /* LIST: room for so many; */
    uint32_t room;
    struct mr_path_info paths[MR_PATHS_LIST_MAX]; /* PATHS, out: `count` of them */
    uint32_t count;                               /* out: are filled in, or were renewed, */
    uint32_t total;                               /* out: of so many from the place `hand` on */
    uint32_t hand;                    /* 0, or where a list is to begin; then the shard's */
    const struct mr_conn_work *works; /* SPREAD: so many; */
    uint32_t work_count;
    uint64_t budget;  /* their `work` together at most; out: what is left */
    uint32_t moved;   /* out: so many go, or their applications are asked, */
    uint32_t unready; /* and so many that fit are not ready, or came a moment ago */
    mr_handle conn;
    uint32_t to;                      /* shard of the port */
    struct mr_shard_trace trace;      /* TRACE */
    struct mr_endpoint_memory memory; /* MEMORY, out */
    int answer; /* MOVE, out: 0: it goes; 1: its application is asked; -errno as `move` of
                   millrace/transport.h, -ECANCELED: its application does not let it go, -EAGAIN:
                   too many are on their way, -EMLINK: it has several paths.  FIND: 0: it is here,
                   1: a move of it is under way, -ESTALE: there is none; others: it is here, and
                   that is why it did not go. TRACE: as mr_conn_trace(), RENEW: as
                   mr_conn_renew_cids(), 0 unless it is of one connection.  PATHS: 0, -ESTALE */
};

/* Give the shard an order; the one before must be done. */
void mr_shard_give_order(struct mr_shard *shard, struct mr_shard_order *order);

/* Is the last order done? */
bool mr_shard_order_is_done(const struct mr_shard *shard);

/* Carry out some of what is ordered.  The shard's, between iterations. */
void mr_shard_follow_order(struct mr_shard *shard);

#endif /* MR_DATAPLANE_SHARD_ORDER_H */
