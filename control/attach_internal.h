/*
 * control/attach_internal.h - what the attach*.c files share.
 *
 *     attach.c         life of attachments: regions, rings, their end
 *     attach_rules.c   who may attach, with how much
 *
 * Owner, threads: the control thread.
 */
#ifndef MR_CONTROL_ATTACH_INTERNAL_H
#define MR_CONTROL_ATTACH_INTERNAL_H

#include "control/attach.h"
#include "control/region.h"

struct ring {
    uint32_t shard;
    int number; /* of its host; -1: not attached, or forgotten */
    struct mr_region region;
};

struct attachment {
    struct attachment *next;
    struct mr_client *client; /* NULL: gone */
    uint64_t number;
    char name[MR_ATTACH_NAME];
    struct mr_client_peer peer;
    int32_t node; /* NUMA node of its thread; -1: unknown */
    int wake_fd;  /* our end of the wake socket; the shards' while rings are attached */
    uint32_t flags;
    uint64_t listeners;
    uint64_t region_bytes;
    bool has_begun; /* MAPPED came: its shards look at its rings */
    bool is_ending;
    bool is_locked;
    bool is_whole; /* it got all its rings */
    uint32_t ring_count;
    struct ring rings[];
};

struct mr_attachments {
    struct mr_attachments_config config;
    struct attachment *first;
    uint64_t last_number;
    uint64_t unpublished; /* bit mask of shards that have not got the policy */
    bool has_complained;  /* of RLIMIT_MEMLOCK */
    bool is_draining;
    struct mr_attachments_stats stats;
    struct mr_handoff policy;
};

/* What follows from an ATTACH that is allowed. */
struct mr_attach_plan {
    uint64_t shards;
    struct mr_ring_sizes sizes;
    uint64_t ring_bytes;
    uint32_t ring_count;
};

/* Bit mask of the listeners that name the application. */
uint64_t mr_attach_listeners(const struct mr_handoff *policy, const char *name);

/* Is it allowed, and what follows?  0; -errno with the reason in `fault`. */
int mr_attach_plan(const struct mr_attachments *a, const struct mr_message_attach *wish,
                   const struct mr_client_peer *peer, struct mr_attach_plan *plan_out,
                   struct mr_fault *fault);

#endif /* MR_CONTROL_ATTACH_INTERNAL_H */
