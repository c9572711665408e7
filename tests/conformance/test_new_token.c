/*
 * tests/conformance/test_new_token.c - RFC 9000, Sections 8.1.3, 19.7: tokens for connections to
 * come, as clients keep and use them.
 */
#include <stdlib.h>

#include "quic/tls_ticket.h"
#include "tests/support/peer_ticket.h"

#define C MR_CLIENT
#define S MR_SERVER

/* RFC 9000, Section 8.1.3: "In a future connection, the client includes this token in Initial
 * packets to provide address validation.  The client MUST include the token in all Initial packets
 * it sends".  "Clients MUST NOT use a session ticket or token from a QUIC version 1 connection to
 * initiate a QUIC version 2 connection, and vice versa." (RFC 9369, TLS Resumption and NEW_TOKEN
 * Tokens)
 * RFC 9000, Section 8.1.3: "A client MUST NOT include a token that is not applicable to the server
 * that it is connecting to" */
static void a_token_validates_the_next_connection(void)
{
    struct peer_options options = {
        .has_new_token = true, .retry_above = PEER_ALWAYS_RETRY, .under_test = S};
    struct ticket *ticket = calloc(1, sizeof(*ticket));
    const uint8_t *token;

    CU_ASSERT_PTR_NOT_NULL_FATAL(ticket);
    get_ticket(ticket, &options);
    CU_ASSERT_EQUAL(
        mr_tls_ticket_token(ticket->bytes, ticket->size, "localhost", MR_VERSION_1, &token),
        MR_TOKEN_NEW_SIZE);
    CU_ASSERT_EQUAL(
        mr_tls_ticket_token(ticket->bytes, ticket->size, "localhost", MR_VERSION_2, &token), 0);
    CU_ASSERT_EQUAL(
        mr_tls_ticket_token(ticket->bytes, ticket->size, "otherhost", MR_VERSION_1, &token), 0);
    options.ticket = ticket->bytes;
    options.ticket_size = ticket->size;
    struct peer *p = peer_new(&options);
    peer_connect(p);
    peer_round_trip(p);
    CU_ASSERT_EQUAL(peer_counters(p)->retries_sent, 0); /* no round trip for Retry */
    CU_ASSERT_EQUAL(peer_counters(p)->tokens_valid, 1);
    CU_ASSERT_TRUE(peer_conn(p)->path.is_validated);
    for (int i = 0; i < 3; i++)
        peer_round_trip(p);
    CU_ASSERT_EQUAL(peer_counters(p)->tokens_sent, 1);
    peer_end(p);
    options.versions[0] = 2; /* a token is of one version, as the ticket */
    p = peer_new(&options);
    peer_connect(p);
    peer_round_trip(p);
    CU_ASSERT_EQUAL(peer_counters(p)->tokens_valid, 0);
    peer_end(p);
    free(ticket);
}

/* With the ticket goes a token of NEW_TOKEN, or none.
 * RFC 9000, Section 8.1.3: "The client MUST NOT use the token provided in a Retry for future
 * connections." */
static void a_token_of_retry_is_not_kept(void)
{
    struct peer_options options = {.retry_above = PEER_ALWAYS_RETRY, .under_test = S};
    struct ticket *ticket = calloc(1, sizeof(*ticket));
    const uint8_t *token;

    CU_ASSERT_PTR_NOT_NULL_FATAL(ticket);
    get_ticket(ticket, &options);
    CU_ASSERT_EQUAL(
        mr_tls_ticket_token(ticket->bytes, ticket->size, "localhost", MR_VERSION_1, &token), 0);
    free(ticket);
}

/* Section 19.7; what is too long is not kept, and counted. */
static void a_client_keeps_tokens_within_a_bound(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    uint8_t frame[3 + MR_TOKEN_KEPT_MAX + 1] = {MR_FRAME_NEW_TOKEN};

    frame[1] = 0x41;
    frame[2] = 1; /* 257 bytes */
    peer_send(p, MR_PACKET_ONE_RTT, frame, 3 + MR_TOKEN_KEPT_MAX + 1);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_new_tokens, 1);
    frame[2] = 0;
    for (int i = 0; i < 1000; i++)
        peer_send(p, MR_PACKET_ONE_RTT, frame, 3 + MR_TOKEN_KEPT_MAX);
    CU_ASSERT_EQUAL(peer_counters(p)->tokens_received + peer_counters(p)->limit_new_tokens, 1001);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"a token validates the next connection", a_token_validates_the_next_connection},
    {"a token of Retry is not kept", a_token_of_retry_is_not_kept},
    {"a client keeps tokens within a bound", a_client_keeps_tokens_within_a_bound},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "NEW_TOKEN", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
