/*
 * quic/replay.h - which first flights with 0-RTT were seen: a register of ClientHellos, shared by
 * all shards of a process (RFC 8446, Section 8.2; RFC 9001, Section 9.2).
 *
 *     ClientHello.random --SipHash, secret key--> bucket of 8 slots,
 *                                                 each | hash (48) | epoch (16) |
 *
 * A ClientHello is remembered for at least a window, which is longer than one is fresh, by the age
 * of its ticket (quic/tls_early.c; both by one clock): by the time it is forgotten its copies are
 * too old.  What a process saw no other one knows, be it the next one, another that runs beside it,
 * or one of another machine that has the same ticket keys.  So a ticket names the instance, a
 * register, that made it, and gives 0-RTT there only: each first flight has one register that may
 * take it.
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
#define MR_REPLAY_WINDOW_NS  UINT64_C(13000000000) /* 13 s */
#define MR_REPLAY_SLOTS      8                     /* of a bucket: one cache line */
#define MR_REPLAY_SIZE_LEAST 4096                  /* entries */

enum mr_replay_verdict {
    MR_REPLAY_FIRST,   /* not seen before: remembered now */
    MR_REPLAY_SEEN,    /* a copy, or by chance once in 2^45 */
    MR_REPLAY_FULL,    /* the bucket has no room */
    MR_REPLAY_FOREIGN, /* another instance made the ticket: it may have taken it */
    MR_REPLAY_VERDICTS
};

struct mr_replay {
    struct mr_siphash_key key;
    uint64_t instance;
    uint32_t bucket_mask;
    _Atomic uint64_t count[MR_REPLAY_VERDICTS]; /* verdicts so far */
    _Atomic uint64_t *slots;
};

/* Bytes for `entries`, rounded up to a power of two, at least MR_REPLAY_SIZE_LEAST. */
size_t mr_replay_footprint(uint32_t entries);

/* Lay it out in `mem`, zeroed and aligned to a cache line; borrowed.  `key` is secret and random.
 */
void mr_replay_init(struct mr_replay *replay, void *mem, uint32_t entries,
                    const struct mr_siphash_key *key);

/* What tickets of this instance say, and of no other: a random number, by the key. */
static inline uint64_t mr_replay_instance(const struct mr_replay *replay)
{
    return replay->instance;
}

/* Judge a ClientHello by its random (MR_REPLAY_RANDOM bytes), and remember it.  `instance`: what
 * its ticket says.  `now_ns`: of one monotonic clock for all callers, which ages tickets, too. */
enum mr_replay_verdict mr_replay_check(struct mr_replay *replay, const uint8_t *random,
                                       uint64_t instance, uint64_t now_ns);

/* How often a verdict was given. */
static inline uint64_t mr_replay_count(const struct mr_replay *replay,
                                       enum mr_replay_verdict verdict)
{
    return atomic_load_explicit(&replay->count[verdict], memory_order_relaxed);
}

#endif /* MR_QUIC_REPLAY_H */
