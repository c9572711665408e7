/*
 * tests/conformance/test_rfc9000_tokens.c - RFC 9000, Section 8.1.3: tokens of clients that
 * migrate.
 */
#include "tests/support/peer_cases.h"

#define S MR_SERVER

/* What the server thinks of its token number `nth`, if it came from where the peer is now. */
static enum mr_token_verdict token_verdict(struct peer *p, uint32_t nth)
{
    struct mr_frame_new_token frame;
    struct mr_reader r;

    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_NEW_TOKEN, nth, &r));
    CU_ASSERT_TRUE_FATAL(mr_frame_decode_new_token(&r, MR_FRAME_NEW_TOKEN, &frame));
    return mr_token_validate_new(&peer_endpoint(p)->tokens, MR_VERSION_1, frame.token, frame.size,
                                 &p->path.remote, NULL,
                                 mr_endpoint_wall_s(peer_endpoint(p), p->now));
}

/* Section 8.1.3: "Servers can send additional tokens to either enable address validation for
 * multiple connection attempts or replace older tokens that might become invalid."  Section 8.1.4:
 * "Tokens sent in NEW_TOKEN frames MUST include information that allows the server to verify that
 * the client IP address has not changed from when the token was issued." - One for each address
 * that answered, none before it has, and none for another port. */
static void who_migrates_gets_a_token_for_the_new_address(void)
{
    for (int gives = 0; gives < 2; gives++) {
        struct peer *p =
            peer_new(&(struct peer_options){.under_test = S, .has_new_token = gives != 0});
        peer_run(p, PEER_DONE);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
        CU_ASSERT_EQUAL(peer_counters(p)->tokens_sent, (uint64_t)gives);
        p->path.remote.port = 6000; /* a NAT's doing */
        PEER_SEND(p, "\x08\x00hello");
        CU_ASSERT_TRUE(peer_answer_challenge(p, 0));
        peer_advance(p, 10 * MR_MS);
        CU_ASSERT_EQUAL(peer_counters(p)->tokens_sent, (uint64_t)gives);
        p->path.remote.ip[15] ^= 1;
        peer_clear(p);
        PEER_SEND(p, "\x08\x00");
        peer_advance(p, 10 * MR_MS);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_NEW_TOKEN), 0);
        CU_ASSERT_TRUE(peer_answer_challenge(p, 0));
        CU_ASSERT_TRUE(peer_conn(p)->path.is_validated);
        peer_advance(p, 10 * MR_MS);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_NEW_TOKEN), (uint32_t)gives);
        if (gives != 0)
            CU_ASSERT_EQUAL(token_verdict(p, 0), MR_TOKEN_VALID);
        p->path.remote.ip[15] ^= 1;
        if (gives != 0)
            CU_ASSERT_EQUAL(token_verdict(p, 0), MR_TOKEN_WRONG_ADDRESS);
        CU_ASSERT_EQUAL(peer_counters(p)->tokens_sent, 2 * (uint64_t)gives);
        peer_expect_close(p, "token", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

/* Who says to be somewhere, and does not hear what is sent there, gets no token for it, whatever
 * was owed, and although what came there allows a packet of that size.  Section 8.1.3: "The server
 * uses the NEW_TOKEN frame (Section 19.7) to provide the client with an address validation token
 * that can be used to validate future connections." */
static void an_address_that_does_not_answer_gets_no_token(void)
{
    struct peer *p = peer_new(&(struct peer_options){.under_test = S, .has_new_token = true});
    static const uint8_t padded[1100] = {1};
    uint32_t asked = 0;

    peer_run(p, PEER_DONE);
    for (uint8_t i = 1; i < 100; i++) {
        p->path.remote.ip[15] = i;
        peer_clear(p);
        peer_send(p, MR_PACKET_ONE_RTT, padded, sizeof(padded));
        asked += !peer_conn(p)->path.is_validated;
        mr_conn_want(peer_endpoint(p), peer_conn(p), &peer_conn(p)->app, MR_WANT_NEW_TOKEN);
        peer_advance(p, 10 * MR_MS);
        if (!peer_conn(p)->path.is_validated)
            CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_NEW_TOKEN), 0);
    }
    CU_ASSERT_TRUE(asked > 0);
    peer_expect_close(p, "no token", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"8.1.3: who migrates gets a token for the new address",
     who_migrates_gets_a_token_for_the_new_address},
    {"8.1.4: an address that does not answer gets no token",
     an_address_that_does_not_answer_gets_no_token},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 tokens", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
