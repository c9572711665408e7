/*
 * quic/resume.h - how fast to begin on a path that an earlier connection knew: Careful Resume
 * (RFC 9959).
 *
 *     RECONNAISSANCE -- the initial window arrived, --> UNVALIDATED -- one of it --> VALIDATING
 *        |              the round trip is the saved      |   arrived                 |     |
 *        | one of the rules broken                       | congestion                |     | all of
 *        v                                               v                congestion |     v it did
 *       OVER <---- all of it arrived or was lost ---- RETREAT <----------------------+   OVER
 *
 * UNVALIDATED: the window is half of what was saved, and is paced over one round trip.  VALIDATING:
 * it is what is in flight, and grows as ever.  RETREAT: it is half of what the path has been seen
 * to carry, and does not grow; then slow start goes on up to that.  What is unvalidated is known by
 * its time of sending.  Only for controllers without a model of their own.
 *
 * Owner: one per connection, in its extra (path.h), until it is OVER.  Threads: the shard's only.
 * Nothing allocates or fails.
 */
#ifndef MR_QUIC_RESUME_H
#define MR_QUIC_RESUME_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/cc.h"

#define MR_RESUME_WINDOW_MIN                                                                       \
    (UINT32_C(4) * MR_CC_INITIAL_BYTES)           /* less is not worth saving: Section 3.1 */
#define MR_RESUME_WINDOW_MAX (UINT32_C(16) << 20) /* bytes; more is saved as this */
#define MR_RESUME_SHARE      2                    /* at most 1/2 of it is jumped to: 3.3 */
#define MR_RESUME_RTT_LOW    2 /* a round trip of 1/2 of the saved one, or less, is another path's */
#define MR_RESUME_RTT_HIGH   10 /* and so is one of more than 10 times it: Section 3.2 */
#define MR_RESUME_LIFETIME_S (UINT64_C(3600)) /* seconds that saved values are good for */

/* What is known of a path; all zero: nothing. */
struct mr_saved_path {
    uint32_t window; /* bytes that it carried in a round trip, <= MR_RESUME_WINDOW_MAX */
    uint32_t rtt_us; /* the least round trip seen */
};

enum mr_resume_phase {
    MR_RESUME_RECONNAISSANCE,
    MR_RESUME_UNVALIDATED,
    MR_RESUME_VALIDATING,
    MR_RESUME_RETREAT
};

struct mr_resume {
    struct mr_saved_path saved;
    uint64_t pipe; /* RECONNAISSANCE: bytes acknowledged; then PipeSize: in flight at the jump, and
                      acknowledged since */
    uint64_t window;   /* UNVALIDATED, RETREAT: bytes that the window does not exceed */
    uint64_t begin_ns; /* unvalidated is what was sent from here */
    uint64_t end_ns;   /* to here */
    uint8_t phase;     /* enum mr_resume_phase */
};

/* What came of an event. */
enum mr_resume_step {
    MR_RESUME_STAYS,
    MR_RESUME_JUMPED,
    MR_RESUME_RETREATED,
    MR_RESUME_VALIDATED, /* and is over */
    MR_RESUME_OVER
};

/* What an ACK frame says: after mr_cc_on_acked() of the same. */
struct mr_resume_ack {
    uint64_t bytes;          /* newly acknowledged */
    uint64_t newest_sent_ns; /* when the newest of them was sent */
    uint64_t min_rtt_ns;     /* the least round trip seen; 0: none */
    bool is_app_limited;     /* data or credit, not the window, held the sender back */
};

/* Begin in RECONNAISSANCE, with the connection.  False: what is saved is of no use. */
bool mr_resume_begin(struct mr_resume *resume, const struct mr_saved_path *saved);

enum mr_resume_step mr_resume_on_acked(struct mr_resume *resume, struct mr_cc *cc,
                                       const struct mr_resume_ack *ack, uint64_t now);

/* The controller has reduced the window for congestion. */
enum mr_resume_step mr_resume_on_congestion(struct mr_resume *resume, struct mr_cc *cc,
                                            uint64_t now);

/* The connection leaves the path: what nobody has tried out is no window to come back to. */
void mr_resume_abandon(const struct mr_resume *resume, struct mr_cc *cc);

#endif /* MR_QUIC_RESUME_H */
