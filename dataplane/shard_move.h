/*
 * dataplane/shard_move.h - connections that move between the shards of one port while they run.
 *
 *     from                                          to
 *     on_move() of the application, or its hooks
 *     (dataplane/move_hooks.h): export
 *       OFFERED -------------- ring --------------> import; events are held
 *               <------------- ring --------------  ANSWERED
 *     0: MOVED to the application;                  < 0: nothing is held
 *       TOLD    -------------- ring --------------> MOVED_IN and what was held, to the application
 *               <------------- ring --------------  DONE
 *     < 0: as it was before, MOVED with the error
 *
 * So no two threads ever have events of one connection at a time.  A record is offered before any
 * datagram of its connection is passed on; whoever takes datagrams from a shard's ring looks at
 * its offers before it handles them.
 *
 * Owner: struct mr_moves is made and freed by the control thread; a struct mr_move and its memory
 * belong to the shard whose ring it was taken from last.
 * Threads: push by shard `x` from x, pop by the shard it is for; the rest the shard's.
 * Limits: MR_MOVES_OUT moves of a shard at a time, records of MR_MOVE_RECORD_MAX bytes (a
 * connection with more unread data stays), MR_MOVE_REQUESTS that wait.
 */
#ifndef MR_DATAPLANE_SHARD_MOVE_H
#define MR_DATAPLANE_SHARD_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "dataplane/move_hooks.h"
#include "quic/conn_move.h"

#define MR_MOVES_OUT       4             /* of a shard, on their way at a time */
#define MR_MOVE_RECORD_MAX (256u * 1024) /* bytes */
#define MR_MOVE_REQUESTS   64            /* of the application's, that wait for their turn */
#define MR_MOVE_WISHES     64            /* connections that are to follow their datagrams */

struct mr_shard;
struct mr_moves;

enum mr_move_state {
    MR_MOVE_FREE,
    MR_MOVE_OFFERED,
    MR_MOVE_ANSWERED,
    MR_MOVE_TOLD,
    MR_MOVE_DONE,
};

/* What may move although nobody asked for it by name; part of struct mr_shard_config. */
struct mr_shard_balance {
    bool follows;       /* connections go where their datagrams arrive */
    uint32_t moves_max; /* that a shard begins in a second; 0: no limit */
    uint64_t stay_ns;   /* a connection that came from another shard stays so long */
};

/* One move.  Memory of the shard it begins at. */
struct mr_move {
    uint32_t from;
    uint32_t to;
    enum mr_move_state state;
    int answer; /* 0 or -errno */
    mr_handle old_conn;
    mr_handle new_conn;
    uint64_t user_data;
    struct mr_conn_record *record; /* MR_MOVE_RECORD_MAX bytes */
    void *baggage;                 /* of the application's hooks; MR_MOVE_BAGGAGE_MAX bytes */
} MR_ALIGNED(MR_CACHE_LINE);       /* another shard's lie beside it */

/* Rings and records for `shard_count` shards.  NULL with `fault` set: not enough memory. */
struct mr_moves *mr_moves_make(uint32_t shard_count, struct mr_fault *fault);

/* No shard may run.  NULL is allowed. */
void mr_moves_free(struct mr_moves *moves);

/* What the shard itself knows of moves; part of struct mr_shard. */
struct mr_shard_moves {
    struct mr_moves *moves; /* borrowed; NULL: connections stay */
    uint32_t request_count;
    struct {
        mr_handle conn;
        uint32_t to;
    } requests[MR_MOVE_REQUESTS];
    uint32_t untold_count; /* MR_EVENT_MOVED that the application is to be told */
    struct {
        mr_handle conn;
        uint64_t user_data;
        int answer;
        struct mr_move *move; /* NULL: it never left */
    } untold[MR_MOVE_REQUESTS + MR_MOVES_OUT];
    uint32_t told_count; /* of them, in the handler's hands now */
    uint32_t wish_count;
    struct {
        mr_handle conn;
        uint32_t to;
    } wishes[MR_MOVE_WISHES];
    uint64_t spent_until_ns; /* the moves that balance has begun are as many as fit until then */
};

/* The transport's operation; meanings and errors in millrace/transport.h. */
int mr_conn_move(struct mr_shard *from, mr_handle conn, uint32_t to_shard);

/* The same for the control thread, at once.  0: it goes; 1: its application is asked; -errno as
 * above; -ECANCELED: its application does not let it go, and is told nothing; -EAGAIN: too many are
 * on their way. */
int mr_conn_order_move(struct mr_shard *from, mr_handle conn, uint32_t to_shard);

/* Would mr_conn_order_move() to one of the port's other shards be taken up now?  Its application is
 * not told; on_move() of one that has no hooks may still say no. */
bool mr_conn_has_target(const struct mr_shard *s, mr_handle conn);

/* 1: a move of it is under way, be it that its application was asked or that it waits for the
 * answer. 0: none; -errno: none, and that is why its application let the last one be. */
int mr_conn_is_leaving(const struct mr_shard *s, mr_handle conn);

/* The same for the balance of the shards, which counts what comes of it.  As above; -EDQUOT: as
 * many as are allowed in a second were begun; -EALREADY: it is on its way.  One that came a moment
 * ago is -EBUSY. */
int mr_conn_balance(struct mr_shard *from, mr_handle conn, uint32_t to_shard);

/* Its datagrams arrive at shard `to`: it goes there in this iteration or a later one, if it can. */
void mr_shard_wish_move(struct mr_shard *shard, mr_handle conn, uint32_t to);

/* Steps of an iteration.  Each returns how much work it did. */

/* Offers and answers of shard `other`.  Call between taking datagrams from its ring and handling
 * them. */
uint32_t mr_shard_take_moves(struct mr_shard *shard, uint32_t other);

/* Begin what is asked for or wished, as far as there is memory. */
uint32_t mr_shard_begin_moves(struct mr_shard *shard);

/* MR_EVENT_MOVED, before any other event; then, when the handler has returned, let the other shard
 * tell. */
uint32_t mr_shard_move_events(struct mr_shard *shard, struct mr_event *out, uint32_t room);
void mr_shard_moves_told(struct mr_shard *shard);

#endif /* MR_DATAPLANE_SHARD_MOVE_H */
