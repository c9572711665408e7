/*
 * fuzz/fuzz_replay.c - property test of quic/replay.h against a model.
 *
 * The input is first flights that come one after the other: which, with whose ticket, how much
 * later.  Properties:
 *   1. within a window of its first appearance a flight is never FIRST again;
 *   2. after two windows it is FIRST, if there is room;
 *   3. FOREIGN is what another instance's ticket gives, and nothing else;
 *   4. the verdicts are counted, each once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/replay.h"
#include "quic/wire_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FLIGHTS = 256
};

static uint64_t seen_ns[FLIGHTS]; /* when it was FIRST; 0: never */

static void make_random(uint32_t flight, uint8_t random[MR_REPLAY_RANDOM])
{
    memset(random, 0xa5, MR_REPLAY_RANDOM);
    random[0] = (uint8_t)flight;
    random[MR_REPLAY_RANDOM - 1] = (uint8_t)(flight >> 8);
}

static void check(struct mr_replay *replay, uint32_t flight, bool is_foreign, uint64_t now)
{
    uint8_t random[MR_REPLAY_RANDOM];
    uint64_t instance = mr_replay_instance(replay) ^ (is_foreign ? 1 : 0);
    bool is_known = seen_ns[flight] != 0;
    uint64_t age = now - seen_ns[flight];

    make_random(flight, random);
    enum mr_replay_verdict verdict = mr_replay_check(replay, random, instance, now);
    MR_ASSERT((verdict == MR_REPLAY_FOREIGN) == is_foreign);
    if (verdict == MR_REPLAY_FOREIGN)
        return;
    if (is_known && age <= MR_REPLAY_WINDOW_NS)
        MR_ASSERT(verdict == MR_REPLAY_SEEN);
    if (!is_known || age >= 2 * MR_REPLAY_WINDOW_NS)
        MR_ASSERT(verdict == MR_REPLAY_FIRST || verdict == MR_REPLAY_FULL);
    if (verdict == MR_REPLAY_FIRST)
        seen_ns[flight] = now;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mr_siphash_key key = {1, 2};
    static void *memory;
    size_t bytes = mr_replay_footprint(1);
    struct mr_reader input = mr_reader(data, size);
    struct mr_replay replay;
    uint64_t now = MR_REPLAY_WINDOW_NS * (1 + (uint64_t)mr_read_u16(&input) * 4) + 5;
    uint64_t checks = 0;

    if (memory == NULL)
        memory = aligned_alloc(MR_CACHE_LINE, bytes);
    MR_ASSERT(memory != NULL);
    memset(memory, 0, bytes);
    memset(seen_ns, 0, sizeof(seen_ns));
    mr_replay_init(&replay, memory, 1, &key);
    while (mr_reader_left(&input) >= 4) {
        uint32_t flight = mr_read_u8(&input);
        uint8_t flags = mr_read_u8(&input);
        uint64_t step = mr_read_u16(&input);
        /* nothing, milliseconds, or up to a window and a half */
        now += (flags & 6) == 0   ? 0
               : (flags & 6) == 2 ? step * 1000
                                  : step * (MR_REPLAY_WINDOW_NS / 43690);
        check(&replay, flight % FLIGHTS, (flags & 1) != 0, now);
        checks++;
    }
    for (int i = 0; i < MR_REPLAY_VERDICTS; i++)
        checks -= mr_replay_count(&replay, (enum mr_replay_verdict)i);
    MR_ASSERT(checks == 0);
    return 0;
}
