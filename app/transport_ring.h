/*
 * app/transport_ring.h - millrace/transport.h over the rings of an attachment: whatever is written
 * against it runs in another process than the datapath, unchanged.
 *
 *     application.on_events() <-- events <-- objects <-- completions --- shard, shard, ...
 *     operations ---------------> objects --> submissions -------------> (one ring each)
 *
 * An operation changes an object here at once, and becomes a submission; a completion changes an
 * object, and becomes an event.  Nothing waits: an object that is made has a name at once (an
 * alias), so that opening a stream, sending on it and ending it go out together.
 *
 *     what               how
 *     send               out of the send area as it is; from elsewhere copied into it, once, as
 *                        room comes up: the caller's bytes stay its own until ACKED either way
 *     receive            the receive slots themselves; released, they go back to the shard
 *     open               the peer's limits are known here: -EAGAIN at once
 *     conn_info, ticket  copies that were fetched before; asking has them fetched again
 *     timer              here
 *     work               given to the loop's thread pool; without one done in the next poll
 *
 * What differs from the inline transport: a refusal that only the datapath knows of comes as the
 * CLOSED of the object (MR_RING_ERROR_REFUSED).  When the datapath goes away, every object gets its
 * CLOSED with MR_RING_ERROR_GONE.
 *
 * Owner: the caller, between mr_attach() and mr_detach().  Threads: the attachment's.
 * Limits: struct mr_ring_transport_config; objects, sends and aliases are the datapath's
 * (millrace/ring.h).
 */
#ifndef MR_APP_TRANSPORT_RING_H
#define MR_APP_TRANSPORT_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/ring.h"
#include "millrace/transport.h"

/* Codes of CLOSED that no peer can send: a code on the wire is below 2^62. */
#define MR_RING_ERROR_GONE    (UINT64_C(1) << 62)       /* the datapath is gone */
#define MR_RING_ERROR_REFUSED ((UINT64_C(1) << 62) + 1) /* the datapath refused to make it */

struct mr_ring_transport;

/* Where work goes. */
struct mr_ring_transport_work {
    /* Have function(argument) run on another thread, and call mr_ring_transport_work_done() on the
     * transport's afterwards.  0; -EAGAIN: the queue is full.  NULL: there is no pool, work is done
     * on the transport's own thread. */
    int (*start)(void *context, int64_t (*function)(void *argument), void *argument,
                 uint64_t user_data);
    void *context;
};

struct mr_ring_transport_config {
    uint64_t queue_bytes;  /* of a stream, not acknowledged: beyond it send() answers -EAGAIN */
    uint32_t segments_max; /* views given to send() that wait for room; more: -ENOMEM */
    uint32_t timers_max;   /* more: -ENOMEM */
    uint32_t work_max;     /* without a thread pool; more: -EAGAIN */
    bool listens;          /* take connections of every listener that is this application's */
    struct mr_ring_transport_work work;
    uint64_t (*clock)(void *context); /* ns; NULL: CLOCK_MONOTONIC */
    void *clock_context;
};

/* 4 MiB queued per stream, 65,536 segments, 4,096 timers. */
struct mr_ring_transport_config mr_ring_transport_config_default(void);

/* Read by the owner. */
struct mr_ring_transport_stats {
    uint64_t completions;
    uint64_t events;
    uint64_t bytes_copied;      /* into the send area */
    uint64_t submissions_late;  /* found the queue full, and went out later */
    uint64_t refused;           /* by the datapath: connections and streams that were not made */
    uint64_t datagrams_dropped; /* by the datapath, or for lack of room here */
    uint64_t listens;           /* the datapath has answered so many, each for one ring */
    uint64_t listens_refused;   /* of them */
};

/*
 * Make a transport over all rings of `attachment`, which must be fresh, and start `app`; both stay
 * borrowed.  NULL: no memory.
 */
struct mr_ring_transport *mr_ring_transport_new(struct mr_attachment *attachment,
                                                const struct mr_ring_transport_config *config,
                                                const struct mr_application *app);

/* Stop the application and free everything; detach afterwards, that closes what is open. */
void mr_ring_transport_free(struct mr_ring_transport *t);

/* What operations are called on. */
struct mr_transport *mr_ring_transport_transport(struct mr_ring_transport *t);

/*
 * Take completions, expire timers, deliver events in batches, and submit what the application's
 * operations prepared, also those since the last call.  Returns how much was done; 0: nothing, wait
 * (mr_attach_wait(), until mr_ring_transport_deadline()).
 */
uint32_t mr_ring_transport_poll(struct mr_ring_transport *t);

/* When to poll at the latest, whether or not completions come; UINT64_MAX: no need. */
uint64_t mr_ring_transport_deadline(const struct mr_ring_transport *t);

/* Begin or end to take connections of a listener (mr_attach_listener()), or of MR_RING_EVERY. */
void mr_ring_transport_listen(struct mr_ring_transport *t, uint64_t listener, bool is_on);

/* Work that was started is done: its event comes with the next poll.  Not from inside on_events().
 */
void mr_ring_transport_work_done(struct mr_ring_transport *t, uint64_t user_data, int64_t result);

/* False once a ring's datapath is gone. */
bool mr_ring_transport_is_alive(const struct mr_ring_transport *t);

/* Connections and streams that the application has, CLOSED not told yet. */
uint32_t mr_ring_transport_objects(const struct mr_ring_transport *t);

const struct mr_ring_transport_stats *mr_ring_transport_stats(const struct mr_ring_transport *t);

/* Panic if an invariant is broken.  O(objects). */
void mr_ring_transport_check(const struct mr_ring_transport *t);

#endif /* MR_APP_TRANSPORT_RING_H */
