#include "quic/replay.h"

#include "base/assert.h"
#include "base/compiler.h"
#include "base/crossing.h"

#define EPOCH_MASK 0xffffu

static uint32_t bucket_count(uint32_t entries)
{
    uint32_t count = MR_REPLAY_SIZE_LEAST;

    while (count < entries && count < UINT32_C(1) << 30)
        count *= 2;
    return count / MR_REPLAY_SLOTS;
}

size_t mr_replay_footprint(uint32_t entries)
{
    return (size_t)bucket_count(entries) * MR_REPLAY_SLOTS * sizeof(uint64_t);
}

void mr_replay_init(struct mr_replay *replay, void *mem, uint32_t entries,
                    const struct mr_siphash_key *key)
{
    MR_ASSERT((uintptr_t)mem % MR_CACHE_LINE == 0);
    *replay = (struct mr_replay){.key = *key,
                                 .instance = mr_siphash24(key, "instance", 8),
                                 .bucket_mask = bucket_count(entries) - 1,
                                 .slots = mem};
}

/* The epoch of `now_ns`, never 0: that is an empty slot's. */
static uint64_t epoch_of(uint64_t now_ns)
{
    return (now_ns / MR_REPLAY_WINDOW_NS) % EPOCH_MASK + 1;
}

/* An entry counts in the epoch that it was made in, and in the next; and before, to a thread that
 * read the clock a moment earlier. */
static bool is_fresh(uint64_t slot, uint64_t epoch)
{
    uint64_t made = slot & EPOCH_MASK;

    return made != 0 &&
           (made == epoch || made % EPOCH_MASK + 1 == epoch || epoch % EPOCH_MASK + 1 == made);
}

/* Two threads may remember one ClientHello at a time, in different slots: the lower one is first.
 */
static bool is_below(_Atomic uint64_t *bucket, uint32_t end, uint64_t entry, uint64_t epoch)
{
    for (uint32_t i = 0; i < end; i++) {
        uint64_t slot = atomic_load(&bucket[i]);

        if (is_fresh(slot, epoch) && (slot | EPOCH_MASK) == (entry | EPOCH_MASK))
            return true;
    }
    return false;
}

static enum mr_replay_verdict remember(_Atomic uint64_t *bucket, uint64_t entry, uint64_t epoch)
{
    if (is_below(bucket, MR_REPLAY_SLOTS, entry, epoch))
        return MR_REPLAY_SEEN;
    for (uint32_t i = 0; i < MR_REPLAY_SLOTS; i++) {
        uint64_t slot = atomic_load(&bucket[i]);

        while (!is_fresh(slot, epoch)) {
            MR_CROSSING(exchanges, 1);
            if (!atomic_compare_exchange_strong(&bucket[i], &slot, entry))
                continue;
            return is_below(bucket, i, entry, epoch) ? MR_REPLAY_SEEN : MR_REPLAY_FIRST;
        }
        if ((slot | EPOCH_MASK) == (entry | EPOCH_MASK))
            return MR_REPLAY_SEEN;
    }
    return MR_REPLAY_FULL;
}

enum mr_replay_verdict mr_replay_check(struct mr_replay *replay, const uint8_t *random,
                                       uint64_t instance, uint64_t now_ns)
{
    uint64_t hash = mr_siphash24(&replay->key, random, MR_REPLAY_RANDOM);
    uint64_t epoch = epoch_of(now_ns);
    size_t bucket = (size_t)(hash & replay->bucket_mask) * MR_REPLAY_SLOTS;
    enum mr_replay_verdict verdict = MR_REPLAY_FOREIGN;

    if (instance == replay->instance)
        verdict = remember(&replay->slots[bucket], (hash & ~(uint64_t)EPOCH_MASK) | epoch, epoch);
    MR_CROSSING(exchanges, 1);
    atomic_fetch_add_explicit(&replay->count[verdict], 1, memory_order_relaxed);
    return verdict;
}
