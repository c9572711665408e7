/*
 * quic/rtt.h - how long the round trip of one path takes, and what follows from it.
 *
 * The estimator of RFC 9002, Section 5, and the three durations computed from it:
 * the probe timeout (6.2.1), the time threshold of loss detection (6.1.2) and the
 * duration of persistent congestion (7.6.1).
 *
 * All times are in ns.  Values only: nothing allocates or fails.
 * Owner: one per path.  Threads: the connection's shard.
 */
#ifndef MR_QUIC_RTT_H
#define MR_QUIC_RTT_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/types.h"

#define MR_RTT_INITIAL              (333 * MR_MS)    /* kInitialRtt */
#define MR_RTT_GRANULARITY          MR_MS            /* kGranularity */
#define MR_RTT_PERSISTENT_THRESHOLD 3                /* kPersistentCongestionThreshold */
#define MR_RTT_SAMPLE_MAX           (60 * MR_SECOND) /* longer samples count as this */
#define MR_RTT_BACKOFF_MAX          10               /* doublings of the PTO */

struct mr_rtt {
    uint64_t latest_ns;   /* of the last sample; 0 before the first */
    uint64_t min_ns;      /* 0 before the first sample */
    uint64_t smoothed_ns; /* > 0 */
    uint64_t var_ns;
    uint64_t first_sample_ns;  /* when the first sample was taken; MR_NEVER before */
    uint64_t max_ack_delay_ns; /* the peer's transport parameter; 0 until known */
};

/* What an ACK frame says about the round trip. */
struct mr_rtt_sample {
    uint64_t latest_ns;       /* from sending the largest newly acknowledged packet to now */
    uint64_t ack_delay_ns;    /* as decoded from the frame; 0 in the Initial space */
    bool handshake_confirmed; /* then the delay is limited to max_ack_delay */
};

/*
 * Start with `initial_ns`: MR_RTT_INITIAL, or the smoothed RTT of an earlier connection (RFC 9002,
 * Section 6.2.2).
 */
void mr_rtt_init(struct mr_rtt *rtt, uint64_t initial_ns);

/*
 * Take a sample.  Call only if the largest acknowledged packet is newly acknowledged and at least
 * one newly acknowledged packet was ack-eliciting (RFC 9002, Section 5.1).  A sample of 0 counts as
 * 1 ns.
 */
void mr_rtt_add(struct mr_rtt *rtt, const struct mr_rtt_sample *sample, uint64_t now);

/* After persistent congestion: min_rtt becomes the newest sample (RFC 9002, Section 5.2). */
void mr_rtt_restart_min(struct mr_rtt *rtt);

/* True if a sample was taken. */
static inline bool mr_rtt_has_sample(const struct mr_rtt *rtt)
{
    return rtt->first_sample_ns != MR_NEVER;
}

/*
 * The probe timeout without backoff; max_ack_delay counts in the application space only (RFC 9002,
 * Section 6.2.1).
 */
uint64_t mr_rtt_pto(const struct mr_rtt *rtt, enum mr_space space);

/*
 * `period_ns` doubled `count` times, at most MR_RTT_BACKOFF_MAX times, without overflow (RFC 9002,
 * Section 6.2.1).
 */
uint64_t mr_rtt_backoff(uint64_t period_ns, uint32_t count);

/*
 * The time threshold: 9/8 of the larger of latest and smoothed RTT, at least 1 ms (RFC 9002,
 * Section 6.1.2).
 */
uint64_t mr_rtt_loss_delay(const struct mr_rtt *rtt);

/* Losses over a longer time than this are persistent congestion (RFC 9002, Section 7.6.1). */
uint64_t mr_rtt_persistent_duration(const struct mr_rtt *rtt);

#endif /* MR_QUIC_RTT_H */
