/*
 * quic/path_check.h - is the peer at the other end of this path?  PATH_CHALLENGE and PATH_RESPONSE
 * of one path (RFC 9000, Section 8.2).
 *
 *     begin --> wanted --> sent --> PTO later: wanted again, then twice that --> ...
 *                            |                                        deadline: failed
 *                            +--> a response with the data of one of the last four: answered
 *
 * All zero: none runs.
 *
 * Owner: the path that is asked about, embedded.  Threads: the connection's shard.
 * Nothing allocates or fails.
 */
#ifndef MR_QUIC_PATH_CHECK_H
#define MR_QUIC_PATH_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/frame.h"

#define MR_CHALLENGES_MAX 4 /* challenges of one path whose answer is known */

struct mr_path_check {
    uint64_t challenge[MR_CHALLENGES_MAX]; /* data of the last ones: each its own, Section 8.2.1 */
    uint64_t resend_ns;                    /* when the next one is wanted */
    uint64_t deadline_ns;
    uint8_t sent_count;
    bool is_running;
    bool is_wanted; /* a challenge is to be sent now */
    bool is_small;  /* one went out in less than 1,200 bytes: Section 8.2.1 */
};

enum mr_path_check_verdict {
    MR_CHECK_WAITS,
    MR_CHECK_RESENDS, /* it became wanted */
    MR_CHECK_FAILED   /* the deadline has passed, and it does not run any more */
};

/* Begin; `pto_ns`: of the path, as far as it is known (Section 8.2.4). */
void mr_path_check_begin(struct mr_path_check *check, uint64_t pto_ns, uint64_t now);

/* Send nothing, fail at the usual time. */
void mr_path_check_linger(struct mr_path_check *check, uint64_t pto_ns, uint64_t now);

/* A challenge goes out; `random`, which nobody can foresee, becomes its data. */
void mr_path_check_sent(struct mr_path_check *check, uint64_t random);

/* Is it the answer to one of the last challenges?  If so: no more are sent. */
bool mr_path_check_answer(struct mr_path_check *check, const uint8_t data[MR_PATH_DATA]);

/* When mr_path_check_expire() has something to say; MR_NEVER. */
uint64_t mr_path_check_due(const struct mr_path_check *check);
enum mr_path_check_verdict mr_path_check_expire(struct mr_path_check *check, uint64_t pto_ns,
                                                uint64_t now);

#endif /* MR_QUIC_PATH_CHECK_H */
