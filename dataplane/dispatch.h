/*
 * dataplane/dispatch.h - inline applications beside attached ones: who on a shard hears of what.
 *
 *     shard --events--> dispatcher --+--> inline application 0, 1, ...    on this lcore
 *                                    +--> host of rings                   dataplane/app_host.h
 *
 * To the shard a dispatcher is its application.  An accepted connection goes by the policy that the
 * host has published: the first listener that matches names an application, inline (a member) or
 * attached (the host's).  What a member opens is the member's.  A connection has the same owner for
 * its whole life, and nobody else hears of it.
 *
 * A member gets a transport of its own.  Its operations are the shard's, but for three: a
 * connection that it opens is noted as its own, and timers and work come back with a number of ours
 * in place of its user data, which it gets to see.
 *
 * A connection that moves to another shard goes from a member to the member of the same number
 * there, if this has an on_move (millrace/transport.h), or from host to host.
 *
 * Nothing here waits for an attached application or for the control thread, and a member's
 * connection is known to no ring.
 *
 * Owner: the shard's maker.  Threads: the shard's; statistics by any.
 * Limits: MR_DISPATCH_MEMBERS; connections, timers and work as struct mr_dispatch_config says.
 */
#ifndef MR_DATAPLANE_DISPATCH_H
#define MR_DATAPLANE_DISPATCH_H

#include <stdint.h>

#include "dataplane/app_host.h"
#include "millrace/transport.h"

#define MR_DISPATCH_MEMBERS 8
#define MR_DISPATCH_NAME    24 /* bytes of a handler's name, its end included */

struct mr_dispatcher;

struct mr_dispatch_config {
    struct mr_app_host *host;                                  /* borrowed */
    const struct mr_application *members[MR_DISPATCH_MEMBERS]; /* borrowed; listeners name them by
                                                                   number, from 1 on */
    uint32_t member_count;
    uint32_t conns_max; /* of all members together */
    uint32_t calls_max; /* timers that run and work that is out, of all members together */
    uint64_t stall_ns;  /* a handler that takes longer is counted; 0: 20 us */
    uint64_t (*clock)(void *context); /* ns, no system call; NULL: handlers are not measured */
    void *clock_context;
};

/* Memory for everything, at once; NULL: there is none. */
struct mr_dispatcher *mr_dispatcher_new(const struct mr_dispatch_config *config,
                                        const uint8_t hash_key[16]);
void mr_dispatcher_free(struct mr_dispatcher *dispatcher);

/* What the shard gets as its application, and what it asks about moves: members with an on_move, or
 * the host. */
const struct mr_application *mr_dispatcher_application(struct mr_dispatcher *dispatcher);
const struct mr_move_hooks *mr_dispatcher_move_hooks(struct mr_dispatcher *dispatcher);

/* A handler of member `member`, called `name`, took so long.  A member that tells is not measured
 * as a whole any more.  The shard's thread. */
void mr_dispatcher_took(struct mr_dispatcher *dispatcher, uint32_t member, const char *name,
                        uint64_t ns);

/* A member's figures. */
struct mr_dispatch_stats {
    uint64_t events;
    uint64_t conns_accepted;
    uint64_t conns_opened;
    uint64_t conns_refused; /* no room, or more than its listener allows */
    uint64_t stalls;        /* handlers that took longer than stall_ns */
    uint64_t longest_stall_ns;
    uint64_t conns; /* now */
    char longest_stall_name[MR_DISPATCH_NAME];
};

/* Any thread; a name may be two names mixed while it changes. */
void mr_dispatcher_stats(const struct mr_dispatcher *dispatcher, uint32_t member,
                         struct mr_dispatch_stats *stats_out);

/* Panic unless every invariant holds.  On the shard's thread, or while it does not run. */
void mr_dispatcher_check(const struct mr_dispatcher *dispatcher);

#endif /* MR_DATAPLANE_DISPATCH_H */
