/*
 * quic/replay.h - which first flights with 0-RTT were seen: a register of ClientHellos, shared by
 * all shards of a process (RFC 8446, Section 8.2; RFC 9001, Section 9.2).
 *
 *     ClientHello.random --SipHash, secret key--> bucket of 8 slots, each | hash (48) | epoch (16)
 * |
 *
 * A ClientHello is remembered for at least `window_ns`, which is longer than TLS takes one for
 * fresh (10 s, by the age of its ticket): by the time it is forgotten its copies are too old.  What
 * a process saw dies with it: with tickets that it did not make itself it takes no 0-RTT before it
 * has run for a window; copies of what its predecessor took are too old then, too.  Nothing can be
 * said of other machines with the same ticket keys: tickets name the node that takes 0-RTT with
 * them (quic/tls.h).
 *
 * A bucket that is full of fresh entries refuses: 0-RTT is never more than an optimisation.
 *
 * Owner: the process; laid out once.  Threads: any number; a check is a few atomic operations on
 * one cache line, and never waits.
 */
#ifndef MR_QUIC_REPLAY_H
#define MR_QUIC_REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"

#define MR_REPLAY_RANDOM     32                    /* bytes of ClientHello.random */
#define MR_REPLAY_WINDOW_NS  UINT64_C(12000000000) /* 12 s */
#define MR_REPLAY_SLOTS      8                     /* of a bucket: one cache line */
#define MR_REPLAY_SIZE_LEAST 4096                  /* entries */

enum mr_replay_verdict {
    MR_REPLAY_FIRST,    /* not seen before: remembered now */
    MR_REPLAY_SEEN,     /* a copy, or by chance once in 2^45 */
    MR_REPLAY_FULL,     /* the bucket has no room */
    MR_REPLAY_TOO_SOON, /* the process is younger than a window, and did not make the ticket */
    MR_REPLAY_VERDICTS
};

struct mr_replay {
    struct mr_siphash_key key;
    uint64_t instance;
    uint64_t start_ns;
    uint64_t window_ns;
    uint32_t bucket_mask;
    _Atomic uint64_t count[MR_REPLAY_VERDICTS]; /* verdicts so far */
    _Atomic uint64_t *slots;
};

/* Bytes for `entries`, rounded up to a power of two, at least MR_REPLAY_SIZE_LEAST. */
size_t mr_replay_footprint(uint32_t entries);

/* Lay it out in `mem`, zeroed and aligned to a cache line; borrowed.  `key` is secret and random.
 */
void mr_replay_init(struct mr_replay *replay, void *mem, uint32_t entries,
                    const struct mr_siphash_key *key, uint64_t now_ns);

/* What tickets of this process say, and of no other: a random number. */
static inline uint64_t mr_replay_instance(const struct mr_replay *replay)
{
    return replay->instance;
}

/* Judge a ClientHello by its random (MR_REPLAY_RANDOM bytes), and remember it.  `instance`: what
 * its ticket says.  `now_ns`: of one monotonic clock for all callers. */
enum mr_replay_verdict mr_replay_check(struct mr_replay *replay, const uint8_t *random,
                                       uint64_t instance, uint64_t now_ns);

/* How often a verdict was given. */
static inline uint64_t mr_replay_count(const struct mr_replay *replay,
                                       enum mr_replay_verdict verdict)
{
    return atomic_load_explicit(&replay->count[verdict], memory_order_relaxed);
}

#endif /* MR_QUIC_REPLAY_H */
