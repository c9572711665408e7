/*
 * quic/hystart.h - when to leave the first slow start before it overshoots: HyStart++ (RFC 9406).
 *
 * The delay of one round trip is compared with that of the round before.  When
 * it has risen, slow start becomes conservative; when that lasts, it ends.
 *
 *                 delay rose                 5 rounds
 *     SLOW_START ------------> CONSERVATIVE ----------> DONE
 *          ^                        |
 *          +------ delay fell ------+
 *
 * A round lasts until a packet sent after its start is acknowledged, which is
 * recognised by the time of sending (any packet number space).
 *
 * Owner: one per path, part of CUBIC's state.  Threads: the connection's shard.
 */
#ifndef MR_QUIC_HYSTART_H
#define MR_QUIC_HYSTART_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/types.h"

#define MR_HYSTART_RTT_THRESHOLD_MIN (4 * MR_MS)
#define MR_HYSTART_RTT_THRESHOLD_MAX (16 * MR_MS)
#define MR_HYSTART_RTT_DIVISOR       8
#define MR_HYSTART_SAMPLES           8 /* RTT samples that make a round's minimum meaningful */
#define MR_HYSTART_GROWTH_DIVISOR    4 /* conservative slow start grows by a quarter */
#define MR_HYSTART_ROUNDS            5 /* rounds of conservative slow start */

enum mr_hystart_state {
    MR_HYSTART_SLOW_START,
    MR_HYSTART_CONSERVATIVE,
    MR_HYSTART_DONE /* end slow start: the window becomes the slow start threshold */
};

struct mr_hystart {
    uint64_t round_start_ns;  /* when the current round began; 0 before the first ACK */
    uint32_t last_min_us;     /* least RTT of the last round; UINT32_MAX: none */
    uint32_t current_min_us;  /* least RTT of this round; UINT32_MAX: none */
    uint32_t baseline_min_us; /* least RTT when the delay rose; UINT32_MAX: it has not */
    uint8_t sample_count;     /* of this round, at most MR_HYSTART_SAMPLES */
    uint8_t round_count;      /* conservative rounds, the current one included */
    uint8_t state;            /* enum mr_hystart_state */
};

/* Before the first ACK, in SLOW_START. */
void mr_hystart_init(struct mr_hystart *hystart);

/*
 * An ACK frame arrived in slow start.  `newest_sent_ns` is when the newest packet it newly
 * acknowledges was sent, `rtt_ns` its RTT sample (0: none).
 */
struct mr_hystart_ack {
    uint64_t newest_sent_ns;
    uint64_t rtt_ns;
};
enum mr_hystart_state mr_hystart_on_acked(struct mr_hystart *hystart,
                                          const struct mr_hystart_ack *ack, uint64_t now);

/* How much the window may grow in slow start for `acked` bytes. */
static inline uint64_t mr_hystart_growth(const struct mr_hystart *hystart, uint64_t acked)
{
    return hystart->state == MR_HYSTART_CONSERVATIVE ? acked / MR_HYSTART_GROWTH_DIVISOR : acked;
}

#endif /* MR_QUIC_HYSTART_H */
