/*
 * quic/pacer.h - spreads a path's packets over the round trip (RFC 9002, Section 7.7).
 *
 * A token bucket:
 *
 *     rate     = gain x window / smoothed RTT; gain is 2 in slow start, else 1.25
 *     capacity = the larger of 16 datagrams and what the rate gives in 500 us; on a smooth path of
 *                2 datagrams and 250 us: its bottleneck marks a queue of 1 ms
 *
 * Tokens are bytes with a 32-bit fraction.  A packet may go while tokens are left
 * and may leave a debt of less than its size, so a wake-up is never useless.
 * No division per packet: rate and inverse are computed when the window or the
 * round trip changes.
 *
 * What a quantum lets out is built at once.  Where the port holds packets back until their time
 * (SEND_ON_TIMESTAMP), mr_pacer_spread() says when each is to leave: as far from the one before as
 * the rate has it, and all of them within a quantum, before the path is looked at again:
 *
 *     built     ||||||||          ||||||||            sent times are these: what a round trip is
 *     leave     | | | | | | | |   | | | | | | | |     measured too long is a quantum at the most,
 *               |<- quantum -->|                      and nothing for the first
 *
 * Owner: one per path.  Threads: the connection's shard.  Nothing allocates or fails.
 */
#ifndef MR_QUIC_PACER_H
#define MR_QUIC_PACER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "quic/types.h"

#define MR_PACER_GAIN_SLOW_START 2.0 /* of the window per smoothed round trip */
#define MR_PACER_GAIN            1.25
#define MR_PACER_BURST_PACKETS   16            /* datagrams that may always go back to back */
#define MR_PACER_BURST_TIME      (500 * MR_US) /* and so may what the rate gives in this time */
#define MR_PACER_SMOOTH_PACKETS  2             /* the same where is_smooth */
#define MR_PACER_SMOOTH_TIME     (250 * MR_US)
#define MR_PACER_QUANTUM_TIME    (100 * MR_US) /* a blocked path waits for this much at once, but */
#define MR_PACER_QUANTUM_SHARE   8             /* at most for this part of a round trip */
#define MR_PACER_GRAIN           1024 /* ns; a power of two: departures closer than this are one */
#define MR_PACER_DEBT_MAX        (128 * 1024)        /* bytes; probes beyond it are free */
#define MR_PACER_CAPACITY_MAX    (UINT64_C(1) << 29) /* bytes */

/* What the rate is computed from. */
struct mr_pacer_input {
    uint64_t window;      /* congestion window, bytes, > 0 */
    uint64_t smoothed_ns; /* smoothed RTT, > 0 */
    uint32_t datagram_size;
    bool is_slow_start;
    bool is_smooth; /* bursts are to be short; changes with smoothed_ns only */
};

struct mr_pacer {
    int64_t tokens;       /* bytes << 32; negative: a debt */
    uint64_t rate;        /* bytes << 32 per ns */
    uint64_t ns_per_byte; /* << 20, rounded up */
    uint64_t capacity;    /* bytes */
    uint64_t fill_ns;     /* time in which the bucket fills from its deepest debt */
    uint32_t quantum_ns;  /* time that a blocked path waits beyond its debt */
    uint32_t departs_ns;  /* where mr_pacer_spread() is asked: when the next datagram may leave; the
                             low bits of a time */
    uint64_t last_ns;     /* when tokens was brought up to date */
    struct mr_pacer_input input;
};

/* Compute the rate and all that depends on it.  No number here has 63 bits: signed ones are
 * converted by one instruction. */
static inline void mr_pacer_set_rate(struct mr_pacer *pacer, const struct mr_pacer_input *input)
{
    double gain = input->is_slow_start ? MR_PACER_GAIN_SLOW_START : MR_PACER_GAIN;
    double bytes_per_ns =
        gain * (double)(int64_t)input->window / (double)(int64_t)input->smoothed_ns;
    uint64_t packets = input->is_smooth ? MR_PACER_SMOOTH_PACKETS : MR_PACER_BURST_PACKETS;
    int64_t burst_ns = input->is_smooth ? MR_PACER_SMOOTH_TIME : MR_PACER_BURST_TIME;

    /* Between 10 bytes and 1 Tbyte per second: no product below overflows. */
    bytes_per_ns = MR_MIN(MR_MAX(bytes_per_ns, 1e-8), 1e3);
    pacer->input = *input;
    pacer->rate = (uint64_t)(int64_t)(bytes_per_ns * 0x1p32);
    double ns_per_byte = 0x1p32 / (double)(int64_t)pacer->rate; /* of the rate as it was rounded */
    pacer->ns_per_byte = (uint64_t)(int64_t)(ns_per_byte * 0x1p20) + 1;
    pacer->capacity = MR_MAX(packets * input->datagram_size,
                             (uint64_t)(int64_t)(bytes_per_ns * (double)burst_ns));
    pacer->capacity = MR_MIN(pacer->capacity, MR_PACER_CAPACITY_MAX);
    pacer->fill_ns =
        (uint64_t)(int64_t)((double)(int64_t)(pacer->capacity + MR_PACER_DEBT_MAX) * ns_per_byte) +
        1;
    pacer->quantum_ns = (uint32_t)MR_MIN((uint64_t)MR_PACER_QUANTUM_TIME,
                                         input->smoothed_ns / MR_PACER_QUANTUM_SHARE);
}

/* Start with a full bucket. */
static inline void mr_pacer_init(struct mr_pacer *pacer, const struct mr_pacer_input *input,
                                 uint64_t now)
{
    mr_pacer_set_rate(pacer, input);
    pacer->tokens = (int64_t)(pacer->capacity << 32);
    pacer->last_ns = now;
    pacer->departs_ns = (uint32_t)now;
}

/* Add what the rate has given since the last call. */
static inline void mr_pacer_refill(struct mr_pacer *pacer, uint64_t now)
{
    if (now <= pacer->last_ns)
        return;

    uint64_t elapsed = MR_MIN(now - pacer->last_ns, pacer->fill_ns);
    int64_t full = (int64_t)(pacer->capacity << 32);
    int64_t tokens = pacer->tokens + (int64_t)(elapsed * pacer->rate);

    pacer->tokens = MR_MIN(tokens, full);
    pacer->last_ns = now;
}

/* The window, the round trip or the datagram size may have changed.  Cheap if none has. */
static inline void mr_pacer_update(struct mr_pacer *pacer, const struct mr_pacer_input *input,
                                   uint64_t now)
{
    if (input->window == pacer->input.window && input->smoothed_ns == pacer->input.smoothed_ns &&
        input->datagram_size == pacer->input.datagram_size &&
        input->is_slow_start == pacer->input.is_slow_start)
        return;
    mr_pacer_refill(pacer, now); /* the time so far at the old rate */
    mr_pacer_set_rate(pacer, input);
    pacer->tokens = MR_MIN(pacer->tokens, (int64_t)(pacer->capacity << 32));
}

/* Bytes that may be sent now; 0: none before mr_pacer_next().  The last packet may exceed them. */
static inline uint64_t mr_pacer_allow(struct mr_pacer *pacer, uint64_t now)
{
    mr_pacer_refill(pacer, now);
    return pacer->tokens > 0 ? ((uint64_t)pacer->tokens + UINT32_MAX) >> 32 : 0;
}

/* `bytes` were sent.  Only the last packet of what was allowed may exceed it, except for probes. */
static inline void mr_pacer_on_sent(struct mr_pacer *pacer, uint64_t bytes)
{
    int64_t deepest = -((int64_t)MR_PACER_DEBT_MAX << 32);

    int64_t spent = (int64_t)(MR_MIN(bytes, MR_PACER_CAPACITY_MAX) << 32);

    pacer->tokens = MR_MAX(pacer->tokens - spent, deepest);
}

/* When to look again: `now` if something may be sent, else when a quantum may be sent at once. */
static inline uint64_t mr_pacer_next(struct mr_pacer *pacer, uint64_t now)
{
    mr_pacer_refill(pacer, now);
    if (pacer->tokens > 0)
        return now;

    uint64_t debt = (uint64_t)-pacer->tokens >> 32; /* bytes, rounded down */

    return now + 1 + (((debt + 1) * pacer->ns_per_byte) >> 20) + pacer->quantum_ns;
}

/* When datagrams are to leave: the first `first_ns` after now, the others `step_ns` apart. */
struct mr_pacer_departures {
    uint32_t first_ns;
    uint32_t step_ns;
};

/*
 * `count` datagrams (> 0) of about `size` bytes each were built at `now`: spread them.  Behind
 * those of the call before, and none later than a quantum from now.
 */
static inline struct mr_pacer_departures mr_pacer_spread(struct mr_pacer *pacer, uint32_t count,
                                                         uint32_t size, uint64_t now)
{
    const uint32_t quantum = pacer->quantum_ns;
    uint32_t first = pacer->departs_ns - (uint32_t)now;
    uint64_t step = size * pacer->ns_per_byte >> 20;

    if (first > 2 * quantum)
        first = 0; /* it has passed; or, of one that rested for seconds, seems to come */
    first = MR_MIN(first, quantum);
    step = MR_MIN(step, (uint64_t)(count > 1 ? (quantum - first) / (count - 1) : quantum));
    pacer->departs_ns = (uint32_t)now + first + count * (uint32_t)step;
    return (struct mr_pacer_departures){.first_ns = first, .step_ns = (uint32_t)step};
}

/* The time of departure number `index`, as an offset from now. */
static inline uint32_t mr_pacer_departure(const struct mr_pacer_departures *departures,
                                          uint32_t index)
{
    return (departures->first_ns + index * departures->step_ns) & ~(uint32_t)(MR_PACER_GRAIN - 1);
}

#endif /* MR_QUIC_PACER_H */
