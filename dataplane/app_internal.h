/* dataplane/app_internal.h - structs of the app_*.c files: objects, rings, the host. */
#ifndef MR_DATAPLANE_APP_INTERNAL_H
#define MR_DATAPLANE_APP_INTERNAL_H

#include "base/pool.h"
#include "base/table.h"
#include "dataplane/app_host.h"

#define MR_APP_SUBMISSIONS_PER_POLL 64 /* of one ring; the rest waits for the next iteration */
#define MR_APP_OBJECTS_PER_POLL     64 /* that become completions, of one ring */
#define MR_APP_VIEWS                16 /* of received data, at a time */
#define MR_APP_STREAM_SHARE         4  /* a stream holds 1/4 of the receive slots at most */

/* A connection or stream of an attached application. */
struct mr_app_object {
    mr_handle handle; /* the transport's */
    uint64_t user_data;
    uint64_t queued_to;   /* stream: end of what was given to send */
    uint64_t received_to; /* stream: bytes handed over */
    uint64_t acked_to;
    uint64_t error;
    uint32_t index;
    uint32_t generation; /* odd while in use */
    uint32_t ring;       /* its application's; perhaps let go of */
    uint32_t conn;       /* stream: its connection's object */
    uint32_t streams;    /* connection: objects of its streams */
    uint32_t kinds;      /* enum mr_event_kind not told yet */
    uint32_t dirty_next;
    uint32_t hungry_next;
    uint32_t send_head; /* submissions whose bytes are not acknowledged, in order */
    uint32_t send_tail;
    uint32_t held; /* receive slots */
    bool is_stream;
    bool is_dirty;
    bool is_readable; /* the transport may have more */
    bool is_hungry;   /* for a receive slot */
    bool is_application;
    bool is_remote;
};

/* A SEND that waits for its acknowledgement. */
struct mr_app_send {
    uint64_t end; /* offset in the stream */
    uint64_t user_data;
    uint32_t next;
    bool is_quiet;
};

/* A TIMER that runs. */
struct mr_app_timer {
    uint32_t next; /* on the ring's list of those that fired */
    uint32_t ring;
    uint32_t ring_generation;
    uint64_t user_data;
};

/* A receive slot: for whose data it was taken. */
struct mr_app_slot {
    uint32_t object; /* MR_NONE: free */
    uint32_t generation;
};

struct mr_app_ring {
    struct mr_ring_region region;
    struct mr_inbox submissions;
    struct mr_outbox completions;
    void (*wake)(void *argument);
    void *argument;
    uint32_t index;
    uint32_t generation; /* of the number's use */
    uint32_t dirty_head;
    uint32_t dirty_tail;
    uint32_t hungry_head; /* streams whose data waits for a slot */
    uint32_t hungry_tail;
    uint32_t fired_head; /* timers */
    uint32_t fired_tail;
    uint32_t objects; /* connections and streams, those that only wait for their end included */
    uint32_t free_count;
    uint32_t *free_slots;
    struct mr_app_slot *slots;
    bool is_used;
    bool is_attached;
    bool listens;
};

struct mr_app_host {
    struct mr_application application;
    struct mr_app_host_config config;
    struct mr_transport *transport;
    struct mr_pool objects;
    struct mr_pool sends;
    struct mr_pool timers;
    struct mr_table8 by_handle; /* the transport's -> object */
    void *table;                /* its memory */
    uint32_t next_ring;         /* that a new connection is offered to first */
    struct mr_app_ring rings[MR_APP_RINGS_MAX];
    struct mr_app_host_stats stats;
};

/* ---- app_object.c ---- */

static inline struct mr_app_object *mr_app_object_at(const struct mr_app_host *host, uint32_t index)
{
    return mr_pool_at(&host->objects, index);
}

/* The handle that the application knows. */
static inline uint64_t mr_app_handle(const struct mr_app_object *object)
{
    return (uint64_t)object->generation << 32 | object->index;
}

/* A new object of ring `ring`; NULL: none is free. */
struct mr_app_object *mr_app_object_new(struct mr_app_host *host, struct mr_app_ring *ring,
                                        mr_handle handle, struct mr_app_object *conn);
void mr_app_object_free(struct mr_app_host *host, struct mr_app_object *object);

/* NULL: unknown. */
struct mr_app_object *mr_app_object_of(const struct mr_app_host *host, mr_handle handle);

/* By the application's handle; NULL: stale, or another ring's. */
struct mr_app_object *mr_app_object_find(const struct mr_app_host *host,
                                         const struct mr_app_ring *ring, uint64_t handle);

/* It has news: put it on its ring's list. */
void mr_app_object_mark(struct mr_app_host *host, struct mr_app_object *object, uint32_t kinds);

/* Its data waits for a slot; the next in line when there is one. */
void mr_app_object_starve(struct mr_app_host *host, struct mr_app_object *object);
void mr_app_feed(struct mr_app_host *host, struct mr_app_ring *ring);

/* ---- app_submit.c ---- */

/* Carry out submissions, as long as their completions have room.  Returns how many. */
uint32_t mr_app_submissions(struct mr_app_host *host, struct mr_app_ring *ring);

/* ---- app_complete.c ---- */

/* Room for `wanted` completions? */
bool mr_app_has_room(struct mr_app_ring *ring, uint32_t wanted);

/* Write one; there must be room. */
void mr_app_complete(struct mr_app_host *host, struct mr_app_ring *ring, const struct mr_cqe *cqe);

/* Turn objects' news into completions, as far as there is room, and wake who sleeps.  Returns how
 * many. */
uint32_t mr_app_completions(struct mr_app_host *host, struct mr_app_ring *ring);

#endif /* MR_DATAPLANE_APP_INTERNAL_H */
