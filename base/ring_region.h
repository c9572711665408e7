/*
 * base/ring_region.h - lay out and open the memory of millrace/ring_layout.h.
 *
 * The shard lays a region out; the application opens it and checks that it makes sense.  What each
 * then works with is this struct, its own copy of all positions: the header may change afterwards,
 * and nobody cares.
 *
 * Owner: the caller; the memory stays whoever's made it.  Threads: any, before it is used.
 */
#ifndef MR_BASE_RING_REGION_H
#define MR_BASE_RING_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mailbox.h"
#include "millrace/ring_layout.h"

#define MR_RING_SLOT_SIZE_MAX  65536u
#define MR_RING_SLOTS_MAX      65536u
#define MR_RING_SEND_UNIT      4096u /* bytes; a send area is whole ones */
#define MR_RING_SEND_BYTES_MAX (UINT64_C(1) << 36)
#define MR_RING_ALIASES_MAX    (UINT32_C(1) << 20)

struct mr_ring_sizes {
    uint32_t submit_count; /* powers of two, MR_RING_ENTRIES_MIN .. _MAX */
    uint32_t complete_count;
    uint32_t slot_size; /* bytes, a multiple of 64 */
    uint32_t slot_count;
    uint64_t send_bytes;  /* a multiple of 4,096 */
    uint32_t flags;       /* enum mr_ring_flags */
    uint32_t alias_count; /* these three take no room in the region: it only says them */
    uint32_t sends_max;
    uint32_t objects_max;
};

struct mr_ring_region {
    uint8_t *base;
    uint64_t size;
    struct mr_ring_sizes sizes;
    uint64_t submit_at; /* offsets from base */
    uint64_t complete_at;
    uint64_t send_at;
    uint64_t receive_at;
    uint32_t shard;
    _Atomic uint32_t *sleeps;
    _Atomic uint32_t *is_gone;
};

/* What an application gets that asks for nothing special: 1,024 entries each way, 4 MiB to send
 * from, 256 slots of 16 KiB, 1,024 aliases, sends and objects. */
struct mr_ring_sizes mr_ring_sizes_default(void);

/* 0, or -EINVAL with the reason in `fault`: a size is out of its range. */
int mr_ring_sizes_check(const struct mr_ring_sizes *sizes, struct mr_fault *fault);

/* Bytes of a region; a multiple of 4,096.  `sizes` must be checked. */
uint64_t mr_ring_region_size(const struct mr_ring_sizes *sizes);

/* Write the header into `memory` (page-aligned, mr_ring_region_size() bytes, zero). */
void mr_ring_region_make(struct mr_ring_region *region, void *memory,
                         const struct mr_ring_sizes *sizes, uint32_t shard);

/* Open a region of `size` bytes that somebody else made.  0; -EPROTO with the reason in `fault`:
 * not a region, another version, or positions that do not fit. */
int mr_ring_region_open(struct mr_ring_region *region, void *memory, uint64_t size,
                        struct mr_fault *fault);

/* The two queues. */
struct mr_mailbox mr_ring_submissions(const struct mr_ring_region *region);
struct mr_mailbox mr_ring_completions(const struct mr_ring_region *region);

/* True if [address, address + size) lies in the send area. */
static inline bool mr_ring_in_send_area(const struct mr_ring_region *region, uint64_t address,
                                        uint64_t size)
{
    return address >= region->send_at && size <= region->sizes.send_bytes &&
           address - region->send_at <= region->sizes.send_bytes - size;
}

#endif /* MR_BASE_RING_REGION_H */
