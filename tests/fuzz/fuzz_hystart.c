/*
 * fuzz/fuzz_hystart.c - property test of quic/hystart.h.
 *
 * The input is round trips and what they take.  Properties:
 *   1. states follow each other as hystart.h draws them; conservative slow start lasts at most
 *      MR_HYSTART_ROUNDS rounds;
 *   2. with less than MR_HYSTART_SAMPLES samples in a round nothing becomes conservative;
 *   3. a delay that never rises by MR_HYSTART_RTT_THRESHOLD_MIN ends nothing;
 *   4. the window grows by a quarter when conservative, else by what was acknowledged.
 */
#include "quic/hystart.h"

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/types.h"
#include "quic/wire_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct slow_start {
    struct mr_hystart hystart;
    uint64_t now;
    uint64_t least_ns; /* round trip, of all */
    uint64_t most_ns;
    uint32_t samples; /* of the round */
    uint32_t rounds;  /* conservative ones */
};

static void begin(struct slow_start *s, uint64_t now)
{
    *s = (struct slow_start){.now = now, .least_ns = UINT64_MAX};
    mr_hystart_init(&s->hystart);
}

static void check_change(const struct slow_start *s, uint8_t before)
{
    uint8_t after = s->hystart.state;

    if (before == MR_HYSTART_SLOW_START)
        MR_ASSERT(after != MR_HYSTART_DONE);
    if (before == MR_HYSTART_SLOW_START && after == MR_HYSTART_CONSERVATIVE) {
        MR_ASSERT(s->samples >= MR_HYSTART_SAMPLES);
        MR_ASSERT(s->most_ns - s->least_ns + MR_US >= MR_HYSTART_RTT_THRESHOLD_MIN);
    }
    MR_ASSERT((after == MR_HYSTART_DONE) == (s->rounds == MR_HYSTART_ROUNDS));
    MR_ASSERT(s->hystart.sample_count <= MR_HYSTART_SAMPLES);
    MR_ASSERT(mr_hystart_growth(&s->hystart, 1000) ==
              (after == MR_HYSTART_CONSERVATIVE ? 250 : 1000));
}

static void acknowledge(struct slow_start *s, uint64_t rtt_ns, uint64_t age_ns)
{
    struct mr_hystart_ack ack = {.newest_sent_ns = s->now - MR_MIN(age_ns, s->now),
                                 .rtt_ns = rtt_ns};
    uint8_t before = s->hystart.state;
    bool is_next = ack.newest_sent_ns >= s->hystart.round_start_ns;

    if (is_next)
        s->samples = 0;
    if (is_next && before == MR_HYSTART_CONSERVATIVE)
        s->rounds++;
    if (rtt_ns != 0) {
        s->samples++;
        s->least_ns = MR_MIN(s->least_ns, rtt_ns);
        s->most_ns = MR_MAX(s->most_ns, rtt_ns);
    }
    enum mr_hystart_state state = mr_hystart_on_acked(&s->hystart, &ack, s->now);
    MR_ASSERT(state == (enum mr_hystart_state)s->hystart.state);
    check_change(s, before);
    if (state == MR_HYSTART_SLOW_START)
        s->rounds = 0;
    if (state == MR_HYSTART_DONE)
        begin(s, s->now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mr_reader input = mr_reader(data, size);
    struct slow_start s;
    uint64_t base_ns = (1 + (uint64_t)mr_read_u8(&input)) * MR_MS;
    uint64_t rise_ns = 0;

    begin(&s, MR_SECOND);
    while (mr_reader_left(&input) >= 3) {
        uint8_t op = mr_read_u8(&input);
        uint64_t value = mr_read_u16(&input);

        s.now += value * 100 + MR_US;
        if (op < 8)
            rise_ns = value % 32 * MR_MS;
        uint64_t rtt_ns = op >= 240 ? 0 : base_ns + rise_ns + value % 512 * MR_US;
        bool is_round = op % 16 == 0;
        acknowledge(&s, rtt_ns, is_round ? 0 : base_ns + rise_ns);
    }
    return 0;
}
