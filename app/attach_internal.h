/*
 * app/attach_internal.h - what an attachment and its rings are made of; and how one is made without
 * a socket.
 *
 *     attach.c       the control socket: messages, descriptors, mappings
 *     attachment.c   an attachment of regions that are there: waiting, liveness
 *     ring.c         one ring: entries, the send area
 */
#ifndef MR_APP_ATTACH_INTERNAL_H
#define MR_APP_ATTACH_INTERNAL_H

#include "app/send_area.h"
#include "base/fault.h"
#include "base/mailbox.h"
#include "base/ring_region.h"
#include "millrace/attach_layout.h"
#include "millrace/ring.h"

#define MR_ATTACH_LISTENERS_MAX 64

struct mr_ring {
    struct mr_ring_region region;
    struct mr_outbox submissions;
    struct mr_inbox completions;
    struct mr_send_area area;
    struct mr_cqe current; /* what mr_ring_peek() showed */
    bool has_current;
    bool is_over;     /* MR_CQE_GONE was shown: nothing follows */
    bool is_broken;   /* a completion was impossible */
    bool is_draining; /* MR_EVENT_GO_AWAY was shown */
    uint64_t mapped;  /* bytes to unmap; 0: the memory is somebody else's */
};

struct mr_attach_listener {
    uint32_t number;
    char name[MR_ATTACH_NAME];
};

struct mr_attachment {
    uint32_t ring_count;
    uint32_t listener_count;
    int wake_fd; /* -1: none */
    int control_fd;
    uint64_t number; /* the datapath's, for people */
    struct mr_attach_listener listeners[MR_ATTACH_LISTENERS_MAX];
    struct mr_ring rings[]; /* ring_count */
};

/* A region that mr_ring_region_make() laid out. */
struct mr_attach_region {
    void *memory;
    uint64_t size;
    bool is_mapped; /* by mmap(), and mr_detach() unmaps it */
};

/* What an attachment is made of. */
struct mr_attach_parts {
    const struct mr_attach_region *regions;
    uint32_t region_count; /* 1 .. MR_ATTACH_RINGS_MAX */
    const struct mr_attach_listener *listeners;
    uint32_t listener_count; /* at most MR_ATTACH_LISTENERS_MAX */
    int wake_fd;             /* a connected stream or seqpacket socket; -1: none */
    int control_fd;          /* -1: none */
    uint64_t number;
};

/*
 * Make an attachment of regions that are there.  It owns the descriptors, and the mappings that say
 * so, from then on; not if it fails.  0; -EPROTO with the reason in `fault`: a region is none;
 * -ENOMEM.
 */
int mr_attachment_from_memory(const struct mr_attach_parts *parts,
                              struct mr_attachment **attachment_out, struct mr_fault *fault);

/* ---- ring.c ---- */

/* Begin to use a region.  0; -EPROTO, -ENOMEM with the reason in `fault`. */
int mr_ring_init(struct mr_ring *ring, const struct mr_attach_region *region,
                 struct mr_fault *fault);
void mr_ring_fini(struct mr_ring *ring);

/* Completions are there that mr_ring_peek() would show. */
bool mr_ring_has_completions(struct mr_ring *ring);

/* The datapath let go of it, or it is broken.  Completions may be left. */
bool mr_ring_is_gone(const struct mr_ring *ring);

#endif /* MR_APP_ATTACH_INTERNAL_H */
