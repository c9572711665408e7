/* base/ring_region.c - see ring_region.h. */
#include "base/ring_region.h"

#include <errno.h>

#define PAGE 4096u

_Static_assert(sizeof(struct mr_sqe) == MR_RING_ENTRY, "an entry is a cache line");
_Static_assert(sizeof(struct mr_cqe) == MR_RING_ENTRY, "an entry is a cache line");
_Static_assert(sizeof(struct mr_sqe) == MR_MAILBOX_ENTRY, "what a mailbox carries");
_Static_assert(sizeof(struct mr_ring_header) <= MR_RING_HEADER, "fits the first page");
_Static_assert(offsetof(struct mr_ring_header, submit_tail) % 64 == 0, "indexes have lines");
_Static_assert(sizeof(struct mr_ring_index) == 64, "of their own");
_Static_assert(sizeof(_Atomic uint32_t) == sizeof(uint32_t), "the header's words are atomics here");

struct mr_ring_sizes mr_ring_sizes_default(void)
{
    return (struct mr_ring_sizes){.submit_count = 1024,
                                  .complete_count = 1024,
                                  .slot_size = 16384,
                                  .slot_count = 256,
                                  .send_bytes = 4 << 20,
                                  .alias_count = 1024,
                                  .sends_max = 1024,
                                  .objects_max = 1024};
}

/* ------------------------------------------------------------------ sizes */

static bool is_entry_count(uint32_t count)
{
    return count >= MR_RING_ENTRIES_MIN && count <= MR_RING_ENTRIES_MAX &&
           (count & (count - 1)) == 0;
}

int mr_ring_sizes_check(const struct mr_ring_sizes *sizes, struct mr_fault *fault)
{
    if (!is_entry_count(sizes->submit_count) || !is_entry_count(sizes->complete_count))
        return mr_fault_set(fault, EINVAL, "a ring has a power of two of entries, %u to %u",
                            MR_RING_ENTRIES_MIN, MR_RING_ENTRIES_MAX);
    if (sizes->slot_size == 0 || sizes->slot_size % 64 != 0 ||
        sizes->slot_size > MR_RING_SLOT_SIZE_MAX || sizes->slot_count == 0 ||
        sizes->slot_count > MR_RING_SLOTS_MAX)
        return mr_fault_set(fault, EINVAL,
                            "a ring has 1 to %u receive slots of 64 to %u bytes, in steps of 64",
                            MR_RING_SLOTS_MAX, MR_RING_SLOT_SIZE_MAX);
    if (sizes->send_bytes % MR_RING_SEND_UNIT != 0 || sizes->send_bytes > MR_RING_SEND_BYTES_MAX)
        return mr_fault_set(fault, EINVAL, "a send area is whole pages of %u bytes, at most 64 GiB",
                            PAGE);
    if ((sizes->flags & ~(uint32_t)(MR_RING_BY_REFERENCE | MR_RING_MOVES | MR_RING_REASONS)) != 0)
        return mr_fault_set(fault, EINVAL, "a ring has flags that nobody here knows: %#x",
                            sizes->flags);
    if (sizes->alias_count > MR_RING_ALIASES_MAX)
        return mr_fault_set(fault, EINVAL, "a ring has at most %u aliases", MR_RING_ALIASES_MAX);
    return 0;
}

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

/* Positions follow from the sizes. */
static void place(struct mr_ring_region *region)
{
    const struct mr_ring_sizes *sizes = &region->sizes;

    region->submit_at = MR_RING_HEADER;
    region->complete_at =
        region->submit_at + round_up((uint64_t)sizes->submit_count * MR_RING_ENTRY);
    region->send_at =
        region->complete_at + round_up((uint64_t)sizes->complete_count * MR_RING_ENTRY);
    region->receive_at = region->send_at + sizes->send_bytes;
    region->size = region->receive_at + round_up((uint64_t)sizes->slot_size * sizes->slot_count);
}

uint64_t mr_ring_region_size(const struct mr_ring_sizes *sizes)
{
    struct mr_ring_region region = {.sizes = *sizes};

    place(&region);
    return region.size;
}

/* ------------------------------------------------------------------ the header */

static _Atomic uint32_t *word(struct mr_ring_index *index)
{
    return (_Atomic uint32_t *)(void *)&index->value;
}

static struct mr_ring_header *header_of(const struct mr_ring_region *region)
{
    return (struct mr_ring_header *)(void *)region->base;
}

static void find_words(struct mr_ring_region *region)
{
    region->sleeps = word(&header_of(region)->sleeps);
    region->is_gone = word(&header_of(region)->is_gone);
}

void mr_ring_region_make(struct mr_ring_region *region, void *memory,
                         const struct mr_ring_sizes *sizes, uint32_t shard)
{
    *region = (struct mr_ring_region){.base = memory, .sizes = *sizes, .shard = shard};
    place(region);
    *header_of(region) = (struct mr_ring_header){.magic = MR_RING_MAGIC,
                                                 .version = MR_RING_VERSION,
                                                 .shard = shard,
                                                 .region_size = region->size,
                                                 .submit_at = region->submit_at,
                                                 .complete_at = region->complete_at,
                                                 .send_at = region->send_at,
                                                 .send_size = sizes->send_bytes,
                                                 .receive_at = region->receive_at,
                                                 .submit_count = sizes->submit_count,
                                                 .complete_count = sizes->complete_count,
                                                 .slot_size = sizes->slot_size,
                                                 .slot_count = sizes->slot_count,
                                                 .flags = sizes->flags,
                                                 .alias_count = sizes->alias_count,
                                                 .sends_max = sizes->sends_max,
                                                 .objects_max = sizes->objects_max};
    find_words(region);
}

int mr_ring_region_open(struct mr_ring_region *region, void *memory, uint64_t size,
                        struct mr_fault *fault)
{
    if (size < MR_RING_HEADER || ((uintptr_t)memory & 63) != 0)
        return mr_fault_set(fault, EPROTO, "a region of %llu bytes is none of ours",
                            (unsigned long long)size);
    struct mr_ring_header header;
    memcpy(&header, memory, sizeof(header));
    if (header.magic != MR_RING_MAGIC)
        return mr_fault_set(fault, EPROTO, "the memory does not begin like a ring's");
    if (header.version != MR_RING_VERSION)
        return mr_fault_set(fault, EPROTO,
                            "the datapath's rings have version %u, this library knows %u; use the "
                            "library that came with the datapath",
                            header.version, MR_RING_VERSION);
    *region = (struct mr_ring_region){.base = memory,
                                      .shard = header.shard,
                                      .sizes = {.submit_count = header.submit_count,
                                                .complete_count = header.complete_count,
                                                .slot_size = header.slot_size,
                                                .slot_count = header.slot_count,
                                                .send_bytes = header.send_size,
                                                .flags = header.flags,
                                                .alias_count = header.alias_count,
                                                .sends_max = header.sends_max,
                                                .objects_max = header.objects_max}};
    if (mr_ring_sizes_check(&region->sizes, fault) != 0)
        return -EPROTO;
    place(region);
    if (region->size > size || region->size != header.region_size ||
        region->submit_at != header.submit_at || region->complete_at != header.complete_at ||
        region->send_at != header.send_at || region->receive_at != header.receive_at)
        return mr_fault_set(fault, EPROTO, "the ring's header contradicts itself");
    find_words(region);
    return 0;
}

/* ------------------------------------------------------------------ queues */

struct mr_mailbox mr_ring_submissions(const struct mr_ring_region *region)
{
    return (struct mr_mailbox){.entries = region->base + region->submit_at,
                               .tail = word(&header_of(region)->submit_tail),
                               .head = word(&header_of(region)->submit_head),
                               .count = region->sizes.submit_count};
}

struct mr_mailbox mr_ring_completions(const struct mr_ring_region *region)
{
    return (struct mr_mailbox){.entries = region->base + region->complete_at,
                               .tail = word(&header_of(region)->complete_tail),
                               .head = word(&header_of(region)->complete_head),
                               .count = region->sizes.complete_count};
}
