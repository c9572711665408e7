/*
 * quic/ecn.h - may the packets of a path carry ECN marks, and what do the marks that come back say?
 *
 * The validation of RFC 9000, Section 13.4.2, with the states of its Appendix A.4:
 *
 *                 10 packets, or 3 PTO                counts add up, and a marked packet arrived
 *     TESTING ----------------------------> UNKNOWN ------------------------------------> CAPABLE
 *     marks |                               no marks |                                marks |
 *           +---------- counts are missing, fall, are too large or too small; --------------+
 *                       all marked packets are lost, or all are CE: FAILED, for good, no marks
 *
 * The path's state says what goes out; each packet number space keeps what its peer has reported.
 * Both endpoints of a path with one codepoint: ECT(0), or ECT(1) for congestion control that wants
 * it.  A peer that lies makes its own transfer slower, or gets none of ECN.
 *
 * Values only: nothing allocates or fails.
 * Owner: the path, and the packet number space, that embed them.  Threads: the shard's only.
 */
#ifndef MR_QUIC_ECN_H
#define MR_QUIC_ECN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "quic/frame.h"
#include "quic/types.h"

#define MR_ECN_TEST_PACKETS 10 /* marked before there is an answer: RFC 9000, Section 13.4.2 */
#define MR_ECN_TEST_PTOS    2  /* in a row; their periods make three PTOs */

enum mr_ecn_state {
    MR_ECN_OFF, /* not asked for */
    MR_ECN_TESTING,
    MR_ECN_UNKNOWN,
    MR_ECN_CAPABLE,
    MR_ECN_FAILED,
    MR_ECN_STATES
};

/* ECN of a path. */
struct mr_ecn_path {
    uint64_t first_pn; /* of the application space; those below went by another path */
    /* In-flight packets with a mark, until the state is CAPABLE or FAILED; they stop at the top. */
    uint16_t marked;
    uint16_t acked; /* and the counts were right */
    uint16_t lost;
    uint8_t state;     /* enum mr_ecn_state */
    uint8_t mark;      /* what datagrams carry now: enum mr_ecn */
    uint8_t codepoint; /* what the path's congestion control wants: ECT(0) or ECT(1) */
    uint8_t tested;    /* packets with a mark while TESTING, in flight or not */
    bool has_ect;      /* a mark arrived as it was sent, not as CE */
    uint8_t zero[5];   /* in place of padding, as in struct mr_sent */
};

_Static_assert(sizeof(struct mr_ecn_path) <= 24, "one per connection");

/* What the peer reported of one packet number space, with the largest packet number so far. */
struct mr_ecn_reports {
    uint64_t sent; /* packets with a mark */
    uint64_t ect;  /* reported with the mark they were sent with */
    uint64_t ce;   /* and with CE */
};

/* An ACK frame, as far as ECN is concerned. */
struct mr_ecn_ack {
    const struct mr_ecn_counts *counts; /* NULL: the frame has none */
    uint64_t marked;     /* packets newly acknowledged that were sent with a mark by this path */
    bool is_largest_new; /* the frame raised the largest acknowledged packet number */
};

/* Begin on a new path, with packets from `first_pn` on; `codepoint` MR_ECN_NOT_ECT: not at all. */
void mr_ecn_begin(struct mr_ecn_path *ecn, uint8_t codepoint, uint64_t first_pn);

/* `packets` went out with the path's mark.  For TESTING only. */
MR_COLD void mr_ecn_on_test_sent(struct mr_ecn_path *ecn, uint32_t packets, bool is_in_flight);

/* `count` probe timeouts in a row: the marks of a path under test may be why nothing comes back. */
MR_COLD void mr_ecn_on_pto(struct mr_ecn_path *ecn, uint32_t count);

/* `packets` with a mark of this path were declared lost.  True: this makes it FAILED. */
MR_COLD bool mr_ecn_on_lost(struct mr_ecn_path *ecn, uint64_t packets);

/* What an ACK frame did. */
struct mr_ecn_arrived {
    uint64_t packets;
    uint64_t ce; /* of these */
};

enum mr_ecn_verdict {
    MR_ECN_NO_CHANGE,
    MR_ECN_NOW_CAPABLE,
    MR_ECN_NOW_FAILED
};

/*
 * Validate the counts of an ACK frame that newly acknowledges something (RFC 9000,
 * Section 13.4.2.1).  *arrived_out: what it says of packets with a mark since the last; zero unless
 * the counts are right.
 */
enum mr_ecn_verdict mr_ecn_on_ack(struct mr_ecn_path *ecn, struct mr_ecn_reports *reports,
                                  const struct mr_ecn_ack *ack, struct mr_ecn_arrived *arrived_out);

/* Panic unless every invariant holds.  For tests, fuzzers and MR_DEBUG. */
void mr_ecn_check(const struct mr_ecn_path *ecn);

#endif /* MR_QUIC_ECN_H */
