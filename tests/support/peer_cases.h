/*
 * tests/support/peer_cases.h - tables of frames that end a connection, or do not.
 *
 * Each case gets a connection of its own: the frames go to the endpoint under test in one
 * packet, and the CONNECTION_CLOSE that comes back is compared.
 */
#ifndef MR_TESTS_SUPPORT_PEER_CASES_H
#define MR_TESTS_SUPPORT_PEER_CASES_H

#include "tests/support/peer.h"
#include "tests/unit/harness.h"

#define PEER_ANY_FRAME UINT64_MAX
#define PEER_BYTES(s)  (s), sizeof(s) - 1

struct peer_case {
    const char *name;
    enum mr_role under_test;
    enum peer_stage stage;
    enum mr_packet_type type;
    const char *frames;
    size_t size;
    uint64_t error;      /* PEER_NO_CLOSE: the connection lives on */
    uint64_t frame_type; /* PEER_ANY_FRAME */
};

/* Run the table; a case that goes wrong fails the running test and says its name. */
void peer_run_cases(const struct peer_case *cases, size_t count);

/* Compare what came back; `name` is for the report. */
void peer_expect_close(struct peer *p, const char *name, uint64_t error, uint64_t frame_type);

/* What two endpoints, with the same packets in other bursts, must agree on, whatever these hold. */
void peer_expect_alike(struct peer *a, struct peer *b);

/* A server that knows the round trip, with a stream that it may send on. */
struct peer *peer_sender(mr_handle *stream_out);

/* Free, and fail the running test if buffers were kept. */
void peer_end(struct peer *p);

/* PATH_CHALLENGE number `nth` that came by the path that the peer uses now, `r` behind its type;
 * NULL: none. */
const struct peer_packet *peer_challenge_here(const struct peer *p, uint32_t nth,
                                              struct mr_reader *r);

/* Answer it; false: there is none. */
bool peer_answer_challenge(struct peer *p, uint32_t nth);

/* Send frames in a 1-RTT packet. */
#define PEER_SEND(p, s) peer_send((p), MR_PACKET_ONE_RTT, (s), sizeof(s) - 1)

#endif /* MR_TESTS_SUPPORT_PEER_CASES_H */
