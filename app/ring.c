/* app/ring.c - see millrace/ring.h: one ring's entries and its send area. */
#include "millrace/ring.h"

#include <errno.h>

#include "app/attach_internal.h"
#include "millrace/transport.h"

/* ------------------------------------------------------------------ life */

int mr_ring_init(struct mr_ring *ring, const struct mr_attach_region *region,
                 struct mr_fault *fault)
{
    *ring = (struct mr_ring){0};
    int result = mr_ring_region_open(&ring->region, region->memory, region->size, fault);
    if (result != 0)
        return result;
    struct mr_mailbox submissions = mr_ring_submissions(&ring->region);
    struct mr_mailbox completions = mr_ring_completions(&ring->region);
    mr_outbox_init(&ring->submissions, &submissions);
    mr_inbox_init(&ring->completions, &completions);
    if (mr_send_area_init(&ring->area, ring->region.sizes.send_bytes) != 0)
        return mr_fault_set(fault, ENOMEM, "no memory to manage a send area of %llu bytes",
                            (unsigned long long)ring->region.sizes.send_bytes);
    ring->mapped = region->is_mapped ? region->size : 0;
    return 0;
}

void mr_ring_fini(struct mr_ring *ring)
{
    mr_send_area_free(&ring->area);
}

bool mr_ring_is_gone(const struct mr_ring *ring)
{
    /* acquire: pairs with the shard's release; MR_CQE_GONE, if there was room, is written */
    return ring->is_over || ring->is_broken || ring->completions.is_broken ||
           ring->submissions.is_broken ||
           atomic_load_explicit(ring->region.is_gone, memory_order_acquire) != 0;
}

/* ------------------------------------------------------------------ submissions */

struct mr_sqe *mr_ring_sqe(struct mr_ring *ring)
{
    struct mr_sqe *sqe = mr_outbox_next(&ring->submissions);

    if (sqe != NULL)
        *sqe = (struct mr_sqe){0};
    return sqe;
}

uint32_t mr_ring_submit(struct mr_ring *ring)
{
    uint32_t count = ring->submissions.next - ring->submissions.published;

    mr_outbox_publish(&ring->submissions);
    return count;
}

uint32_t mr_ring_shard(const struct mr_ring *ring)
{
    return ring->region.shard;
}

/* ------------------------------------------------------------------ completions */

/* The bytes that it names lie in the receive area. */
static bool is_possible(const struct mr_ring *ring, const struct mr_cqe *cqe)
{
    const struct mr_ring_region *region = &ring->region;

    if (cqe->type > MR_CQE_GONE)
        return false;
    if ((cqe->type != MR_CQE_DATA && cqe->type != MR_CQE_DATAGRAM) || cqe->size == 0)
        return true;
    if (mr_ring_is_by_reference(ring))
        return cqe->address != 0;
    uint64_t at = cqe->address - region->receive_at;
    return at / region->sizes.slot_size < region->sizes.slot_count &&
           at % region->sizes.slot_size == 0 && cqe->size <= region->sizes.slot_size;
}

/* Copy the next one; its place is not given back yet. */
static bool next_cqe(struct mr_ring *ring, struct mr_cqe *cqe_out)
{
    if (ring->is_over || ring->is_broken || !mr_inbox_take(&ring->completions, cqe_out))
        return false;
    ring->is_broken = !is_possible(ring, cqe_out);
    ring->is_over = cqe_out->type == MR_CQE_GONE;
    ring->is_draining |= cqe_out->type == MR_CQE_EVENT && cqe_out->conn == 0 &&
                         (cqe_out->kinds & MR_EVENT_GO_AWAY) != 0;
    return !ring->is_broken;
}

const struct mr_cqe *mr_ring_peek(struct mr_ring *ring)
{
    if (!ring->has_current)
        ring->has_current = next_cqe(ring, &ring->current);
    return ring->has_current ? &ring->current : NULL;
}

void mr_ring_advance(struct mr_ring *ring)
{
    if (!ring->has_current)
        return;
    ring->has_current = false;
    mr_inbox_done(&ring->completions);
}

uint32_t mr_ring_take(struct mr_ring *ring, struct mr_cqe *cqes_out, uint32_t room)
{
    uint32_t count = 0;

    if (ring->has_current && room > 0) {
        cqes_out[count++] = ring->current;
        ring->has_current = false;
    }
    while (count < room && next_cqe(ring, &cqes_out[count]))
        count++;
    if (count > 0)
        mr_inbox_done(&ring->completions);
    return count;
}

bool mr_ring_has_completions(struct mr_ring *ring)
{
    return ring->has_current ||
           (!ring->is_over && !ring->is_broken && mr_inbox_count(&ring->completions, 1) > 0);
}

const uint8_t *mr_ring_data(const struct mr_ring *ring, const struct mr_cqe *cqe)
{
    if (mr_ring_is_by_reference(ring))
        return (const uint8_t *)(uintptr_t)cqe->address;
    return cqe->size == 0 ? ring->region.base : ring->region.base + cqe->address;
}

/* ------------------------------------------------------------------ the send area */

static uint8_t *send_base(const struct mr_ring *ring)
{
    return ring->region.base + ring->region.send_at;
}

void *mr_ring_alloc(struct mr_ring *ring, size_t size)
{
    uint64_t offset = mr_send_area_take(&ring->area, size);

    return offset == MR_SEND_AREA_NONE ? NULL : send_base(ring) + offset;
}

void mr_ring_free(struct mr_ring *ring, void *memory)
{
    if (memory != NULL)
        mr_send_area_give(&ring->area, (uint64_t)((uint8_t *)memory - send_base(ring)));
}

uint64_t mr_ring_share(const struct mr_ring *ring)
{
    return mr_send_area_share(&ring->area);
}

uint64_t mr_ring_offset(const struct mr_ring *ring, const void *memory)
{
    if (mr_ring_is_by_reference(ring))
        return (uint64_t)(uintptr_t)memory;
    return (uint64_t)((const uint8_t *)memory - ring->region.base);
}

bool mr_ring_owns(const struct mr_ring *ring, const void *memory, size_t size)
{
    uintptr_t base = (uintptr_t)ring->region.base;
    uintptr_t at = (uintptr_t)memory;

    if (mr_ring_is_by_reference(ring))
        return true;
    return at >= base && mr_ring_in_send_area(&ring->region, at - base, size);
}

/* ------------------------------------------------------------------ limits */

uint32_t mr_ring_alias_count(const struct mr_ring *ring)
{
    return ring->region.sizes.alias_count;
}

uint32_t mr_ring_sends_max(const struct mr_ring *ring)
{
    return ring->region.sizes.sends_max;
}

uint32_t mr_ring_objects_max(const struct mr_ring *ring)
{
    return ring->region.sizes.objects_max;
}

bool mr_ring_is_by_reference(const struct mr_ring *ring)
{
    return (ring->region.sizes.flags & MR_RING_BY_REFERENCE) != 0;
}
