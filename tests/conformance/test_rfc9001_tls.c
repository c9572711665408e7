/*
 * tests/conformance/test_rfc9001_tls.c - RFC 9001, Sections 4, 8: what TLS messages hold, and
 * answers that no server may give.  TLS jobs alone: messages are changed before they are protected.
 */
#include "tests/unit/tls_plan.h"

/* Start a pair; the ClientHello is in the wire, and may be changed. */
static void begin(struct sides *sides, const struct plan *plan)
{
    sides_open(sides, plan);
    start(sides, plan);
    tls_end_run(&client, MR_LEVEL_INITIAL, NULL, 0);
}

static void end(struct sides *sides)
{
    tls_pair_free(&client, &server);
    sides_close(sides);
}

static uint8_t *find(struct tls_end *from, enum mr_level level, const uint8_t *bytes, size_t size)
{
    uint8_t *at = memmem(from->out[level].bytes, from->out[level].size, bytes, size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    return at;
}

static const uint8_t only_tls13[] = {0, 43, 0, 3, 2, 3, 4}; /* supported_versions */

/* Section 4.2: "Clients MUST NOT offer TLS versions older than 1.3."
 * Section 8.4: "A client MUST NOT request the use of the TLS 1.3 compatibility mode." */
static void a_client_offers_tls_1_3_alone(void)
{
    struct sides sides;

    begin(&sides, &(struct plan){.tickets = 1});
    find(&client, MR_LEVEL_INITIAL, only_tls13, sizeof(only_tls13));
    CU_ASSERT_EQUAL(client.out[MR_LEVEL_INITIAL].bytes[4 + 2 + 32], 0); /* legacy_session_id */
    end(&sides);
}

/* The client offers TLS 1.2 at best; the server answers with it.
 * Section 4.2: "An endpoint MUST terminate the connection if a version of TLS older than 1.3 is
 * negotiated." */
static void an_older_tls_is_refused(void)
{
    static const uint8_t chosen[] = {0, 43, 0, 2, 3, 4};
    struct sides sides;

    begin(&sides, &(struct plan){.tickets = 1});
    find(&client, MR_LEVEL_INITIAL, only_tls13, sizeof(only_tls13))[6] = 3;
    tls_deliver(&client, &server, WHOLE);
    CU_ASSERT_TRUE(server.is_failed);
    CU_ASSERT_EQUAL(server.secrets[MR_LEVEL_HANDSHAKE][1].size, 0);
    end(&sides);

    begin(&sides, &(struct plan){.tickets = 1});
    tls_deliver(&client, &server, WHOLE);
    find(&server, MR_LEVEL_INITIAL, chosen, sizeof(chosen))[5] = 3;
    tls_deliver(&server, &client, WHOLE);
    CU_ASSERT_TRUE(client.is_failed);
    CU_ASSERT_EQUAL(client.secrets[MR_LEVEL_HANDSHAKE][1].size, 0);
    end(&sides);
}

/* Section 5.3: "An endpoint MUST NOT reject a ClientHello that offers a cipher suite that it does
 * not support, or it would be impossible to deploy a new cipher suite." */
static void an_unknown_cipher_suite_is_passed_over(void)
{
    static const uint8_t suites[] = {0x13, 0x02, 0x13, 0x03, 0x13, 0x01};
    struct sides sides;

    begin(&sides, &(struct plan){.tickets = 1});
    uint8_t *at =
        memmem(client.out[MR_LEVEL_INITIAL].bytes, client.out[MR_LEVEL_INITIAL].size, suites, 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    at[0] = at[1] = 0x7a;
    tls_deliver(&client, &server, WHOLE);
    CU_ASSERT_FALSE(server.is_failed);
    CU_ASSERT_TRUE(server.out[MR_LEVEL_HANDSHAKE].size > 0);
    end(&sides);
}

static const uint8_t all_early[] = {0, 42, 0, 4, 0xff, 0xff, 0xff, 0xff};

/* After the handshake a server sends tickets, and nothing else.
 * Section 4.4: "A server MUST NOT use post-handshake client authentication (as defined in
 * Section 4.6.2 of [TLS13]) because the multiplexing offered by QUIC prevents clients from
 * correlating the certificate request with the application-level event that triggered it (see
 * [HTTP2-TLS13])." Section 4.6.1: "Servers MUST NOT send the early_data extension with a
 * max_early_data_size field set to any value other than 0xffffffff." */
static void a_server_sends_tickets_for_any_amount_of_early_data(void)
{
    const struct plan plan = {.tickets = 2, .has_early_client = true, .has_early_server = true};
    struct sides sides;
    uint32_t tickets = 0;

    sides_open(&sides, &plan);
    start(&sides, &plan);
    tls_pair_talk(&client, &server, WHOLE);
    const struct tls_wire *wire = &server.out[MR_LEVEL_APP];
    for (size_t at = 0; at + 4 <= wire->size; tickets++) {
        size_t size = 4 + (size_t)mr_load_be16(wire->bytes + at + 2);

        CU_ASSERT_EQUAL(wire->bytes[at], 4);
        CU_ASSERT_PTR_NOT_NULL(memmem(wire->bytes + at, size, all_early, sizeof(all_early)));
        at += size;
    }
    CU_ASSERT_EQUAL(tickets, 2);
    CU_ASSERT_EQUAL(client.out[MR_LEVEL_APP].size, 0);
    end(&sides);
}

/* Section 4.6.1: "A client MUST treat receipt of a NewSessionTicket that contains an early_data
 * extension with any other value as a connection error of type PROTOCOL_VIOLATION." */
static void a_ticket_for_some_early_data_is_a_protocol_violation(void)
{
    const struct plan plan = {.tickets = 1, .has_early_client = true, .has_early_server = true};
    struct sides sides;

    begin(&sides, &plan);
    tls_deliver(&client, &server, WHOLE);
    tls_deliver(&server, &client, WHOLE);
    tls_deliver(&client, &server, WHOLE);
    find(&server, MR_LEVEL_APP, all_early, sizeof(all_early))[7] = 0xfe;
    tls_deliver(&server, &client, WHOLE);
    check_failure(&client, MR_PROTOCOL_VIOLATION, "");
    end(&sides);
}

/* EncryptedExtensions that name another protocol, or none: as an unknown extension.
 * Section 8.1: "While [ALPN] only specifies that servers use this alert, QUIC clients MUST use
 * error 0x0178 to terminate a connection when ALPN negotiation fails." Section 8.1: "Similarly, a
 * client MUST treat the selection of an incompatible application protocol by a server as a
 * connection error of type 0x0178." */
static void a_client_refuses_a_protocol_that_it_did_not_offer(void)
{
    static const uint8_t alpn[] = {0, 16, 0, 5, 0, 3, 2, 'h', '3'};
    struct sides sides;

    begin(&sides, &(struct plan){.tickets = 1});
    tls_deliver(&client, &server, WHOLE);
    find(&server, MR_LEVEL_HANDSHAKE, alpn, sizeof(alpn))[8] = '4';
    tls_deliver(&server, &client, WHOLE);
    check_failure(&client, 0x178, "");
    end(&sides);
}

/* The server's name for the parameters is another one.
 * Section 8.2: "Endpoints MUST send the quic_transport_parameters extension; endpoints that receive
 * ClientHello or EncryptedExtensions messages without the quic_transport_parameters extension MUST
 * close the connection with an error of type 0x016d (equivalent to a fatal TLS missing_extension
 * alert, see Section 4.8)." */
static void a_client_needs_transport_parameters(void)
{
    static const uint8_t head[] = {0, 57, 0, sizeof(server_params), 's', 'e'};
    struct sides sides;

    begin(&sides, &(struct plan){.tickets = 1});
    tls_deliver(&client, &server, WHOLE);
    find(&server, MR_LEVEL_HANDSHAKE, head, sizeof(head))[1] = 58;
    tls_deliver(&server, &client, WHOLE);
    CU_ASSERT_TRUE(client.is_failed);
    CU_ASSERT_FALSE(client.is_complete);
    end(&sides);
}

static CU_TestInfo tests[] = {
    {"a client offers TLS 1.3 alone", a_client_offers_tls_1_3_alone},
    {"an older TLS is refused", an_older_tls_is_refused},
    {"an unknown cipher suite is passed over", an_unknown_cipher_suite_is_passed_over},
    {"a server sends tickets for any amount of early data",
     a_server_sends_tickets_for_any_amount_of_early_data},
    {"a ticket for some early data is a protocol violation",
     a_ticket_for_some_early_data_is_a_protocol_violation},
    {"a client refuses a protocol that it did not offer",
     a_client_refuses_a_protocol_that_it_did_not_offer},
    {"a client needs transport parameters", a_client_needs_transport_parameters},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9001 TLS", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
