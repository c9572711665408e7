/*
 * control/attach.h - attached applications, as the control thread sees them: who may attach, the
 * memory of their rings, their end.
 *
 *     ATTACH --checks--> regions --mr_app_host_attach()--> ATTACHED, RING..., LISTENER...
 *     MAPPED --> seals --mr_app_host_begin()--> READY
 *     gone ---------> mr_app_host_detach() --drained?--> mr_app_host_forget(), memory back
 *
 * An attachment ends when its client is gone, when it is detached, or when a shard lets go of one
 * of its rings.  Its memory stays until no shard refers to it any more; by reference also until its
 * client, which uses the same mapping, has closed its connection.
 *
 * Owner: the control thread.  Threads: the control thread's; the shards run meanwhile, and the wake
 * socket of a ring is written by its shard.
 * Limits: struct mr_attachments_config.
 */
#ifndef MR_CONTROL_ATTACH_H
#define MR_CONTROL_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/ring_region.h"
#include "control/control_socket.h"
#include "dataplane/app_host.h"
#include "dataplane/handoff.h"

/* {0} and hosts: as in brackets. */
struct mr_attachments_config {
    struct mr_app_host *const *hosts; /* of shard 0, 1, ...; borrowed, as is the array */
    uint32_t host_count;              /* at most MR_ATTACH_RINGS_MAX; 0: nobody may attach */
    uint32_t port_shards;          /* of these, of each port: between them connections move (all) */
    bool allows_any;               /* also applications that no listener names */
    struct mr_ring_sizes sizes;    /* where ATTACH says 0, and its limits
                                      (mr_ring_sizes_default()) */
    uint32_t attachments_max;      /* (64) */
    uint32_t user_attachments_max; /* of one user (16) */
    uint64_t user_bytes_max;       /* of all rings of one user (as of all) */
    uint64_t region_bytes_max;     /* of all rings (1 GiB) */
    uint64_t attachment_bytes_max; /* of one attachment's rings (256 MiB) */
    uint32_t timers_max;           /* of a ring (an even part of its host's) */
};

struct mr_attachments;

/* NULL: no memory. */
struct mr_attachments *mr_attachments_new(const struct mr_attachments_config *config);

/* Give everything back.  The shards must not run any more; their hosts must still be there, and who
 * attached by reference must be done with its rings.  NULL is allowed. */
void mr_attachments_free(struct mr_attachments *attachments);

/*
 * Publish a copy of `policy` to all shards; one that has not taken up the last two yet gets it
 * later.  A listener keeps its number and its application while anybody is attached.  0; -EBUSY
 * with the reason in `fault`: it would not.
 */
int mr_attachments_set_policy(struct mr_attachments *attachments, const struct mr_handoff *policy,
                              struct mr_fault *fault);

/* As published last. */
const struct mr_handoff *mr_attachments_policy(const struct mr_attachments *attachments);

/* ---- for the control socket's handler ---- */

/* `client` said ATTACH: attach it and answer.  0; -errno with the reason in `fault`: refused.
 * -EAGAIN, if `may_wait`: what it takes is that of others which are gone, or end: ask again when
 * another has ended. */
int mr_attachments_attach(struct mr_attachments *attachments, struct mr_client *client,
                          const struct mr_message_attach *wish, bool may_wait,
                          struct mr_fault *fault);

/* `client` said MAPPED: its shards begin to look at its rings.  As mr_attachments_attach(), but
 * nothing is waited for. */
int mr_attachments_mapped(struct mr_attachments *attachments, struct mr_client *client,
                          struct mr_fault *fault);

/* `client`, attached or not, is gone. */
void mr_attachments_client_gone(struct mr_attachments *attachments, struct mr_client *client);

/* See what the shards have let go of.  Returns when to look again, or MR_CONTROL_NEVER. */
uint64_t mr_attachments_look(struct mr_attachments *attachments, uint64_t now_ns);

/* ---- for commands ---- */

/* End attachment `number`, or all of them.  -ENOENT: there is none, with the reason in `fault`. */
int mr_attachments_detach(struct mr_attachments *attachments, uint64_t number,
                          struct mr_fault *fault);
void mr_attachments_detach_all(struct mr_attachments *attachments);

/* Refuse new ones from here on. */
void mr_attachments_drain(struct mr_attachments *attachments);

struct mr_attachment_ring {
    uint32_t shard;
    enum mr_app_ring_state state;
    struct mr_app_ring_stats stats; /* zero once it was forgotten */
};

struct mr_attachment_info {
    uint64_t number;
    char name[MR_ATTACH_NAME];
    struct mr_client_peer peer;
    uint64_t region_bytes;
    int32_t node;   /* NUMA node of its thread; -1: unknown */
    bool has_begun; /* its rings are used */
    bool is_ending; /* its client is gone, or it was detached */
    bool is_by_reference;
    bool is_locked; /* all its memory */
    uint32_t ring_count;
    struct mr_attachment_ring ring[MR_ATTACH_RINGS_MAX];
};

/* The attachment with the least number above `number`; false: there is none. */
bool mr_attachments_next(const struct mr_attachments *attachments, uint64_t number,
                         struct mr_attachment_info *info_out);

struct mr_attachments_stats {
    uint64_t attached; /* in all */
    uint64_t refused;
    uint64_t ended;
    uint64_t unlocked_regions; /* that RLIMIT_MEMLOCK did not let be locked */
    uint64_t region_bytes;     /* now */
    uint32_t attachments;      /* now, those that end included */
};

struct mr_attachments_stats mr_attachments_stats(const struct mr_attachments *attachments);

/* Sums over the hosts. */
struct mr_app_host_stats mr_attachments_host_stats(const struct mr_attachments *attachments);

/* "attached" and the like. */
const char *mr_attachment_state_name(enum mr_app_ring_state state);

#endif /* MR_CONTROL_ATTACH_H */
