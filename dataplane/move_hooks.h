/*
 * dataplane/move_hooks.h - moves between shards, for an application that is a host of others: what
 * the shard asks it, and what it sends along.
 *
 *     old shard                                          new shard
 *     targets(): where to?  (for people)
 *     ask(): no, later, or go
 *     (exported) pack() --baggage--------------------->  offer(): is there room?
 *                                                        (imported) take()
 *     MR_EVENT_MOVED, in its events                      then MR_EVENT_MOVED_IN, in its events
 *
 * on_move() of struct mr_application (millrace/transport.h) is the same for one application that
 * has everything in its own memory; a host has to ask others first, who take their time, and its
 * state belongs to a shard.
 *
 * Owner: the application, for hooks; the move, for baggage, from pack() until take() or until
 * MR_EVENT_MOVED says that nothing came of it.  Threads: targets, ask and pack the old shard's,
 * offer and take the new one's.
 */
#ifndef MR_DATAPLANE_MOVE_HOOKS_H
#define MR_DATAPLANE_MOVE_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/transport.h"

#define MR_MOVE_BAGGAGE_MAX (256u * 1024) /* bytes */

#define MR_OWNER_MEMBER     (UINT64_C(1) << 63)

enum mr_move_verdict {
    MR_MOVE_STAYS, /* nothing comes of it */
    MR_MOVE_LATER, /* it is being prepared: the application asks for it with `move` of its
                      transport when it is ready, or lets it be */
    MR_MOVE_GOES
};

struct mr_move_hooks {
    void *context;
    /* May the connection go to shard `to`, now?  `is_own`: the application asked for it, with
     * `move` of its transport. */
    enum mr_move_verdict (*ask)(void *context, mr_handle conn, uint32_t to, bool is_own);
    /* Bit mask of the shards to which ask() would not simply say no, now, if the control thread
     * wanted it; nobody is told. */
    uint64_t (*targets)(void *context, mr_handle conn);
    /* It was exported: write MR_MOVE_BAGGAGE_MAX bytes at most, aligned to 8. */
    void (*pack)(void *context, mr_handle conn, void *baggage);
    /* Can it be taken?  0; -errno: it goes back.  If 0, take() follows, or nothing. */
    int (*offer)(void *context, const void *baggage);
    /* It is here, as `conn`; its handles of streams are told by `moved_streams`.  Nothing may be
     * asked of it before MR_EVENT_MOVED_IN.  Cannot fail. */
    void (*take)(void *context, mr_handle conn, const void *baggage);
    /* 1: LATER was answered, and it has neither gone nor been let be since.  0: no; -errno: no, and
     * that is why the last one that was let be stayed. */
    int (*is_leaving)(void *context, mr_handle conn);
    /* For people: whose the connection is; the number of an attachment, or MR_OWNER_MEMBER + n of
     * an inline application; 0: nobody's. */
    uint64_t (*owner)(void *context, mr_handle conn);
};

#endif /* MR_DATAPLANE_MOVE_HOOKS_H */
