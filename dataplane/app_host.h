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
 * seen: a stream holds a share of what is free at most, and is not read while it does.  A region
 * with MR_RING_BY_REFERENCE gets pointers to the transport's own buffers instead, MR_APP_VIEWS of a
 * stream at most.  Data to send is sealed straight out of the application's memory; what the
 * transport cannot take now waits, in order, for it.
 *
 * Nothing in the region is believed: a submission is copied before it is looked at, handles are the
 * host's own (index and generation), addresses are checked against the sizes that the host keeps.
 * An application whose indexes are impossible is let go of.
 *
 * The control thread and the shard share no lock: attaching and detaching are words in a queue that
 * the shard reads in its loop; a policy is a pointer, and the shard says which one it uses.
 *
 * A connection that moves to another shard takes its objects along, and SENDs that name memory of
 * the ring that it leaves; that ring is not drained before they are done.  All hosts between which
 * connections move must be there until none of them runs.
 *
 * Owner: the shard's maker.  Threads: one control thread for the functions under that title, the
 * shard's for its application; statistics by any.
 * Limits: MR_APP_RINGS_MAX rings; MR_APP_ACCEPTS_MAX ACCEPTs of one; objects, sends and timers of
 * struct mr_app_host_config.
 */
#ifndef MR_DATAPLANE_APP_HOST_H
#define MR_DATAPLANE_APP_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ring_region.h"
#include "dataplane/handoff.h"
#include "dataplane/move_hooks.h"
#include "millrace/transport.h"

#define MR_APP_RINGS_MAX   64     /* a host's are a bit mask */
#define MR_APP_OBJECTS     65536u /* of a host, and as many SENDs, where nobody says otherwise */
#define MR_APP_ACCEPTS_MAX 128    /* of one ring, waiting; more: -ENOBUFS */
#define MR_APP_VIEWS       16     /* of received data: of one stream told and not released */

struct mr_app_host;

struct mr_app_host_config {
    uint32_t objects_max;  /* of all rings together: connections and streams, */
    uint32_t sends_max;    /* SENDs whose bytes are not acknowledged, */
    uint32_t timers_max;   /* timers that run; a ring gets its part when it is attached */
    uint32_t connects_max; /* connections of one ring that it opened itself; more: -EDQUOT, so that
                              one leaves room for others.  0: no limit */
    uint32_t user_connects_max;   /* the same of all rings of one user.  0: no limit */
    uint32_t user_handshakes_max; /* of these, those whose handshake goes on.  0: no limit */
    uint64_t refuse_code; /* connections that no listener matches are closed with it, and streams
                             for which there is no object */
    uint64_t death_code;  /* connections that an application opened, once it is let go of */
    uint64_t hoard_ns;    /* a ring that holds all its receive slots, and gives none back, for so
                             long while data waits: the connections that wait are closed; 0: never */
    uint64_t move_ns;     /* an application has so long to let a connection go (MOVE_ACK) */
    int numa_node;        /* of the shard; -1: unknown */
};

struct mr_app_host_config mr_app_host_config_default(void);

/* Read by anyone, relaxed. */
struct mr_app_host_stats {
    uint64_t submissions;
    uint64_t completions;
    uint64_t wakes;        /* of applications that slept */
    uint64_t bytes_copied; /* to receive slots */
    uint64_t conns_accepted;
    uint64_t conns_refused;     /* nobody took them, or had an object free */
    uint64_t conns_inherited;   /* given to another ring when theirs was let go of */
    uint64_t connects_refused;  /* connects_max, user_connects_max, user_handshakes_max */
    uint64_t conns_hoarded;     /* closed because their ring gave no receive slot back */
    uint64_t streams_refused;   /* no object was free */
    uint64_t datagrams_dropped; /* larger than a receive slot */
    uint64_t bad_submissions;   /* unknown operation, stale handle, address outside */
    uint64_t rings_broken;      /* let go of: an index was impossible */
    uint64_t completions_late;  /* times that a completion queue was full with news waiting */
    uint64_t moves_begun;       /* connections whose application was to be asked */
    uint64_t moves_out;         /* that went */
    uint64_t moves_in;          /* that came */
    uint64_t moves_stayed;      /* that could not go after all: no answer, no room, or over */
};

/* Memory for everything, at once; NULL: there is none. */
struct mr_app_host *mr_app_host_new(const struct mr_app_host_config *config,
                                    const uint8_t hash_key[16]);
void mr_app_host_free(struct mr_app_host *host);

/* What the shard gets as its application. */
const struct mr_application *mr_app_host_application(struct mr_app_host *host);

/* What the shard asks about moves of connections between it and others of its port: an application
 * that attached with MR_RING_MOVES, and has a ring there too, is asked (millrace/ring_layout.h,
 * Moves); others' connections stay. */
const struct mr_move_hooks *mr_app_host_move_hooks(struct mr_app_host *host);

/* ---- by the control thread, while the shard runs ---- */

/* What a ring is attached with. */
struct mr_app_ring_config {
    struct mr_ring_region region; /* laid out by mr_ring_region_make(); its memory stays mapped
                                     until the ring is MR_APP_RING_DRAINED */
    void (*wake)(void *argument); /* on the shard's thread, when the application sleeps and
                                     there is something for it; must not block.  NULL:
                                     it never sleeps */
    void *argument;
    uint64_t listeners;   /* bit mask: numbers in the policy that it may serve */
    uint32_t objects_max; /* connections and streams of it; more: refused.  0: as its region says;
                             0 there: an even part of the host's.  The same for the next two */
    uint32_t sends_max;   /* SENDs out; more: -ENOBUFS */
    uint32_t timers_max;  /* more: -ENOBUFS */
    int numa_node;        /* of its thread; -1: unknown */
    uint64_t attachment;  /* rings of one attachment have the same number; 0: none */
    uint64_t user;        /* rings of one user have the same number; 0: of nobody */
    uint64_t siblings;    /* bit mask: shards of this port to which the attachment has rings */
    uint32_t first_shard; /* what the application calls shard 0 of this port */
    bool is_held;         /* the shard looks at it after mr_app_host_begin(), not before */
};

enum mr_app_ring_state {
    MR_APP_RING_FREE,
    MR_APP_RING_ATTACHING, /* held, or the shard has not seen it yet */
    MR_APP_RING_ATTACHED,
    MR_APP_RING_LETTING_GO, /* detached, or broken: connections are being closed */
    MR_APP_RING_DRAINED     /* nothing refers to its region any more: mr_app_host_forget() */
};

/*
 * Attach an application; the shard takes it up in its next iteration.  Memory for it is allocated
 * here.  Returns the ring's number; -ENOSPC: MR_APP_RINGS_MAX are in use, or what the host has of
 * objects, sends and timers is promised to others; -ENOMEM.
 */
int mr_app_host_attach(struct mr_app_host *host, const struct mr_app_ring_config *config);

/* The shard takes up ring number `ring`, which was attached with is_held, in its next iteration.
 * Once. */
void mr_app_host_begin(struct mr_app_host *host, uint32_t ring);

/* Let go of ring number `ring`: its connections are closed or inherited as the policy says;
 * MR_CQE_GONE is its last completion.  A second time: no effect. */
void mr_app_host_detach(struct mr_app_host *host, uint32_t ring);

enum mr_app_ring_state mr_app_host_ring_state(const struct mr_app_host *host, uint32_t ring);

/* Free what the ring had, which must be MR_APP_RING_DRAINED; its number is free. */
void mr_app_host_forget(struct mr_app_host *host, uint32_t ring);

/*
 * Replace the policy by a copy of `policy`.  At first there is none: all connections are refused.
 * 0; -ENOMEM; -EBUSY: the shard has not taken up the last one yet, try again.
 */
int mr_app_host_set_policy(struct mr_app_host *host, const struct mr_handoff *policy);

/* The policy that the shard goes by; NULL: it has none yet.  The shard's thread; valid until its
 * application is polled. */
const struct mr_handoff *mr_app_host_policy(const struct mr_app_host *host);

/* A ring's figures, relaxed: for `millrace ctl apps`. */
struct mr_app_ring_stats {
    uint64_t submissions;
    uint64_t completions;
    uint64_t wakes;
    uint64_t bytes_received; /* copied to slots, or shown by reference */
    uint64_t bytes_sent;     /* given to the transport */
    uint64_t bytes_copied;
    uint64_t bad_submissions;
    uint32_t conns;
    uint32_t objects;
    uint32_t sends;
    uint32_t slots_held;
};

void mr_app_host_ring_stats(const struct mr_app_host *host, uint32_t ring,
                            struct mr_app_ring_stats *stats_out);

const struct mr_app_host_stats *mr_app_host_stats(const struct mr_app_host *host);

/* Panic unless every invariant holds.  On the shard's thread, or while it does not run. */
void mr_app_host_check(const struct mr_app_host *host);

#endif /* MR_DATAPLANE_APP_HOST_H */
