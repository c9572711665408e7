/* dataplane/dispatch_internal.h - structs of the dispatch*.c files. */
#ifndef MR_DATAPLANE_DISPATCH_INTERNAL_H
#define MR_DATAPLANE_DISPATCH_INTERNAL_H

#include "base/pool.h"
#include "base/table.h"
#include "dataplane/dispatch.h"

/* The listener of a connection that a member opened. */
#define MR_DISPATCH_OPENED MR_LISTENERS_MAX

struct mr_dispatch_member {
    struct mr_transport transport; /* first: cast back by the operations */
    struct mr_dispatcher *dispatcher;
    const struct mr_application *application;
    bool measures_itself; /* mr_dispatcher_took() tells how long its handlers took */
    uint64_t events;      /* each written by the shard, read by anyone, relaxed */
    uint64_t conns_accepted;
    uint64_t conns_opened;
    uint64_t conns_refused;
    uint64_t stalls;
    uint64_t longest_stall_ns;
    uint64_t conns;
    uint64_t longest_stall_name[MR_DISPATCH_NAME / sizeof(uint64_t)];
};

/* A member's timer or work. */
struct mr_dispatch_call {
    uint64_t user_data;
    uint32_t member;
};

/* Whose a connection is. */
struct mr_dispatch_conn {
    uint32_t member;
    uint32_t listener; /* MR_DISPATCH_OPENED: it was opened by the member */
};

struct mr_dispatcher {
    struct mr_application application;
    struct mr_move_hooks hooks;
    struct mr_dispatch_config config;
    struct mr_transport *transport; /* the shard's */
    struct mr_table8 by_handle;     /* connections of members -> conns */
    struct mr_pool conns;
    struct mr_pool calls;
    uint32_t listener_conns[MR_LISTENERS_MAX];
    struct mr_dispatch_member members[MR_DISPATCH_MEMBERS];
    void *table;
    void *conns_memory;
    void *calls_memory;
};

/* The connection is the member's from now on.  False: there is no room. */
bool mr_dispatch_note(struct mr_dispatcher *d, mr_handle conn, uint32_t member, uint32_t listener);

/* The member whose the connection is; MR_NONE: it is none's. */
uint32_t mr_dispatch_owner(const struct mr_dispatcher *d, mr_handle conn, uint32_t *listener_out);

/* ---- dispatch_move.c ---- */

void mr_dispatch_init_hooks(struct mr_dispatcher *d);

/* ---- dispatch_transport.c ---- */

/* The table of a member's operations. */
extern const struct mr_transport_ops mr_dispatch_ops;

#endif /* MR_DATAPLANE_DISPATCH_INTERNAL_H */
