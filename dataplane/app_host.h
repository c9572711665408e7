/*
 * dataplane/app_host.h - the shard's end of every ring: attached applications on one shard.
 *
 *     shard --events--> host --> objects --> completions --> application
 *     shard <--calls--- host <-------------- submissions <-- application
 *
 * To the shard a host is an inline application (millrace/transport.h); it keeps an object for each
 * connection and stream that an attached application has.  What happens to an object is state in it
 * (pending kinds, watermarks), not an entry in a queue: an object with news is on its ring's list,
 * once, and becomes completions when there is room.  So a full completion queue loses nothing,
 * holds only its own application, and never stops a shard.
 *
 * Received data is copied once, into slots of the ring's region; it is released to the transport
 * when it is copied, so a peer may send at most what the slots hold beyond what the application has
 * seen: a stream holds a quarter of them at most, and is not read while it does.  Data to send is
 * sealed straight out of the send area.
 *
 * Nothing in the region is believed: a submission is copied before it is looked at, handles are the
 * host's own (index and generation), addresses are checked against the sizes that the host keeps.
 * An application whose indexes are impossible is let go of.
 *
 * Owner: the shard's maker.  Threads: the shard's only, except where a function says otherwise.
 * Limits: MR_APP_RINGS_MAX rings; objects, sends and timers of struct mr_app_host_config.
 */
#ifndef MR_DATAPLANE_APP_HOST_H
#define MR_DATAPLANE_APP_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/ring_region.h"
#include "millrace/transport.h"

#define MR_APP_RINGS_MAX 16

struct mr_app_host;

struct mr_app_host_config {
    uint32_t objects_max; /* connections and streams of all rings; more: refused */
    uint32_t sends_max;   /* submissions of SEND whose bytes are not acknowledged; more: -ENOMEM */
    uint32_t timers_max;  /* more: -ENOMEM */
    uint64_t refuse_code; /* connections that no application takes are closed with it */
    uint64_t death_code;  /* those of an application that is let go of */
};

struct mr_app_host_config mr_app_host_config_default(void);

/* Read by anyone, relaxed. */
struct mr_app_host_stats {
    uint64_t submissions;
    uint64_t completions;
    uint64_t wakes;            /* of applications that slept */
    uint64_t bytes_copied;     /* to receive slots */
    uint64_t conns_refused;    /* no application listens, or no object was free */
    uint64_t streams_refused;  /* no object was free */
    uint64_t bad_submissions;  /* unknown operation, stale handle, address outside */
    uint64_t rings_broken;     /* let go of: an index was impossible */
    uint64_t completions_late; /* times that a completion queue was full with news waiting */
};

/* Memory for everything, at once; NULL: there is none. */
struct mr_app_host *mr_app_host_new(const struct mr_app_host_config *config,
                                    const uint8_t hash_key[16]);
void mr_app_host_free(struct mr_app_host *host);

/* What the shard gets as its application. */
const struct mr_application *mr_app_host_application(struct mr_app_host *host);

/*
 * Attach an application by a region that mr_ring_region_make() laid out; it stays mapped until
 * mr_app_host_is_drained().  `wake` is called when the application sleeps and there is something
 * for it.  Returns the ring's number; -ENOSPC: MR_APP_RINGS_MAX are attached; -ENOMEM.
 */
int mr_app_host_attach(struct mr_app_host *host, const struct mr_ring_region *region,
                       void (*wake)(void *argument), void *argument);

/* Let go of ring number `ring`: its connections are closed with death_code; MR_CQE_GONE is its last
 * completion. */
void mr_app_host_detach(struct mr_app_host *host, uint32_t ring);

/* True if nothing of the detached ring is referred to any more: its region may be unmapped, and its
 * number is free. */
bool mr_app_host_is_drained(struct mr_app_host *host, uint32_t ring);

/* False once the ring was let go of, by a call or because it was broken. */
bool mr_app_host_is_attached(const struct mr_app_host *host, uint32_t ring);

const struct mr_app_host_stats *mr_app_host_stats(const struct mr_app_host *host);

/* Panic unless every invariant holds. */
void mr_app_host_check(const struct mr_app_host *host);

#endif /* MR_DATAPLANE_APP_HOST_H */
