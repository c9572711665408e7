/* Tests of quic/tls.h: every way of refusing a handshake, and the words for it. */
#include "quic/tls.h"

#include "tests/unit/tls_plan.h"

/* ------------------------------------------------------------------ certificates */

/* "Upon receiving a server certificate in the TLS handshake, the client MUST verify that the
 * certificate is an acceptable match for the URI's origin server using the process described in
 * Section 4.3.4 of [HTTP]." (RFC 9114, Section 3.1)  "HTTP/3 clients MUST support a mechanism to
 * indicate the target host to the server during the TLS handshake." (RFC 9114, Section 3.2)  "If
 * the server is identified by a domain name ([DNS-TERMS]), clients MUST send the Server Name
 * Indication (SNI; [RFC6066]) TLS extension unless an alternative mechanism to indicate the target
 * host is used." (RFC 9114, Section 3.2) */
static void names_of_the_certificate_are_accepted(void)
{
    static const char *const names[] = {"www.example.com", "192.0.2.7", "127.0.0.1", "::1",
                                        "a.wild.example"};

    for (size_t i = 0; i < MR_COUNT_OF(names); i++) {
        shake_alone(&(struct plan){.name = names[i]});
        check_success(MR_CIPHER_AES_128_GCM);
    }
    CU_ASSERT_STRING_EQUAL(server.server_name, "a.wild.example");
}

/* "Upon receiving a server certificate in the TLS handshake, the client MUST verify that the
 * certificate is an acceptable match for the URI's origin server using the process described in
 * Section 4.3.4 of [HTTP]." (RFC 9114, Section 3.1)  "If the certificate cannot be verified with
 * respect to the URI's origin server, the client MUST NOT consider the server authoritative for
 * that origin." (RFC 9114, Section 3.1)
 * RFC 9001, Section 4.4: "A client MUST authenticate the identity of the server." */
static void other_names_are_refused_in_clear_words(void)
{
    static const char *const names[] = {"other.example", "192.0.2.8", "wild.example",
                                        "a.b.wild.example"};

    for (size_t i = 0; i < MR_COUNT_OF(names); i++) {
        shake_alone(&(struct plan){.name = names[i]});
        CU_ASSERT_FALSE(client.is_complete);
        bool is_address = strchr(names[i], '2') != NULL;
        check_failure(&client, 0x100 + 42,
                      is_address ? MR_TLS_OTHER_NAME
                          "127.0.0.1, 0:0:0:0:0:0:0:1, 192.0.2.7, ..., not for "
                                 : MR_TLS_OTHER_NAME "localhost, www.example.com, *.wild.example, "
                                                     "..., not for ");
        CU_ASSERT_PTR_NOT_NULL(strstr(client.reason, names[i]));
        CU_ASSERT_FALSE(server.is_complete);
    }
}

static void certificates_out_of_date_are_refused_in_clear_words(void)
{
    shake_alone(&(struct plan){.begins = -7200, .ends = -3600});
    check_failure(&client, 0x100 + 45, "certificate verify failed: it expired on 20");
    shake_alone(&(struct plan){.begins = 3600, .ends = 7200});
    check_failure(&client, 0x100 + 42, "certificate verify failed: it is not valid before 20");
}

/* "If the certificate cannot be verified with respect to the URI's origin server, the client MUST
 * NOT consider the server authoritative for that origin." (RFC 9114, Section 3.1)
 * RFC 9001, Section 4.4: "A client MUST authenticate the identity of the server." */
static void an_unknown_issuer_is_refused_unless_insecure(void)
{
    shake_alone(&(struct plan){.is_untrusted = true});
    check_failure(&client, 0x100 + 48, "certificate verify failed: self-signed certificate");
    shake_alone(&(struct plan){.is_untrusted = true, .is_insecure = true});
    check_success(MR_CIPHER_AES_128_GCM);
}

/* ------------------------------------------------------------------ refusals */

/* "In the event that the server supports no protocols that the client advertises, then the server
 * SHALL respond with a fatal "no_application_protocol" alert." (RFC 7301, Section 3.2)
 * RFC 9000, Section 7: "Endpoints MUST explicitly negotiate an application protocol."
 * RFC 9001, Section 8.1: "Unless another mechanism is used for agreeing on an application protocol,
 * endpoints MUST use ALPN for this purpose." RFC 9001, Section 8.1: "When using ALPN, endpoints
 * MUST immediately close a connection (see Section 10.2 of [QUIC-TRANSPORT]) with a
 * no_application_protocol TLS alert (QUIC error code 0x0178." RFC 9001, Section 8.1: "The server
 * MUST treat the inability to select a compatible application protocol as a connection error of
 * type 0x0178 (no_application_protocol)." */
static void no_common_protocol_is_answered_with_its_alert(void)
{
    static const uint8_t other[] = {5, 'o', 't', 'h', 'e', 'r'};

    shake_alone(&(struct plan){.alpn = other, .alpn_size = sizeof(other)});
    check_failure(&server, 0x178, "ALPN");
    CU_ASSERT_FALSE(client.is_complete);
}

/* RFC 9001, Section 4.8: "As QUIC provides alternative mechanisms for connection termination and
 * the TLS connection is only closed if an error is encountered, a QUIC endpoint MUST treat any
 * alert from TLS as if it were at the "fatal" level." */
static void no_common_group_or_cipher_is_a_handshake_failure(void)
{
    shake_alone(&(struct plan){.client_groups = "P-256", .server_groups = "X25519"});
    check_failure(&server, 0x100 + 40, "");
    shake_alone(&(struct plan){.client_ciphers = "TLS_AES_128_GCM_SHA256",
                               .server_ciphers = "TLS_AES_256_GCM_SHA384"});
    check_failure(&server, 0x100 + 40, "no shared cipher");
}

/* Start a pair and make the ClientHello, which the caller may spoil. */
static struct tls_wire *begin_hello(struct sides *sides)
{
    const struct plan plan = {.tickets = 1};

    sides_open(sides, &plan);
    start(sides, &plan);
    tls_end_run(&client, MR_LEVEL_INITIAL, NULL, 0);
    return &client.out[MR_LEVEL_INITIAL];
}

static void end_hello(struct sides *sides)
{
    tls_pair_free(&client, &server);
    sides_close(sides);
}

/* Overwrite the first occurrence of `size` bytes `find` in the wire by `put`. */
static void replace(struct tls_wire *wire, const uint8_t *find, const uint8_t *put, size_t size)
{
    uint8_t *at = memmem(wire->bytes, wire->size, find, size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    memcpy(at, put, size);
}

/* RFC 9001, Section 8.2: "Endpoints MUST send the quic_transport_parameters extension; endpoints
 * that receive ClientHello or EncryptedExtensions messages without the quic_transport_parameters
 * extension MUST close the connection with an error of type 0x016d (equivalent to a fatal TLS
 * missing_extension alert, see Section 4.8)." */
static void a_client_hello_without_transport_parameters_is_refused(void)
{
    static const uint8_t find[] = {0x00, 57, 0x00, sizeof(client_params), 'c', 'l'};
    static const uint8_t put[] = {0x7a, 57, 0x00, sizeof(client_params), 'c', 'l'};
    struct sides sides;

    replace(begin_hello(&sides), find, put, sizeof(find));
    tls_deliver(&client, &server, WHOLE);
    check_failure(&server, 0x16d, "transport parameters");
    end_hello(&sides);
}

/* RFC 9000, Section 7: "Endpoints MUST explicitly negotiate an application protocol."
 * RFC 9001, Section 8.1: "Unless another mechanism is used for agreeing on an application protocol,
 * endpoints MUST use ALPN for this purpose." RFC 9001, Section 8.1: "When using ALPN, endpoints
 * MUST immediately close a connection (see Section 10.2 of [QUIC-TRANSPORT]) with a
 * no_application_protocol TLS alert (QUIC error code 0x0178." */
static void a_client_hello_without_alpn_is_refused(void)
{
    static const uint8_t find[] = {0x00, 16, 0x00, 5, 0x00, 3, 2, 'h', '3'};
    static const uint8_t put[] = {0x7a, 16, 0x00, 5, 0x00, 3, 2, 'h', '3'};
    struct sides sides;

    replace(begin_hello(&sides), find, put, sizeof(find));
    tls_deliver(&client, &server, WHOLE);
    check_failure(&server, 0x178, "ALPN");
    end_hello(&sides);
}

static void a_client_hello_in_compatibility_mode_is_refused(void)
{
    enum {
        AT = 4 + 2 + 32 /* length of legacy_session_id */
    };
    struct sides sides;
    struct tls_wire *wire = begin_hello(&sides);

    memmove(wire->bytes + AT + 33, wire->bytes + AT + 1, wire->size - AT - 1);
    memset(wire->bytes + AT + 1, 7, 32);
    CU_ASSERT_EQUAL(wire->bytes[AT], 0);
    wire->bytes[AT] = 32;
    wire->size += 32;
    wire->bytes[2] = (uint8_t)((wire->size - 4) >> 8);
    wire->bytes[3] = (uint8_t)(wire->size - 4);
    tls_deliver(&client, &server, WHOLE);
    check_failure(&server, MR_PROTOCOL_VIOLATION, "compatibility");
    end_hello(&sides);
}

static void garbage_is_refused_and_the_handshake_stays_failed(void)
{
    static const uint8_t garbage[] = {1, 0, 0, 4, 9, 9, 9, 9};
    struct sides sides;

    begin_hello(&sides);
    tls_end_run(&server, MR_LEVEL_INITIAL, garbage, sizeof(garbage));
    CU_ASSERT(server.is_failed);
    CU_ASSERT(server.error >= 0x100);
    CU_ASSERT(server.error < 0x200);
    server.is_failed = false;
    tls_end_run(&server, MR_LEVEL_INITIAL, garbage, sizeof(garbage));
    CU_ASSERT(server.is_failed);
    end_hello(&sides);
}

static void a_huge_client_hello_is_refused_by_its_header(void)
{
    static const uint8_t header[] = {1, 0, 0x40, 0x01};
    struct sides sides;

    begin_hello(&sides);
    tls_end_run(&server, MR_LEVEL_INITIAL, header, 3);
    CU_ASSERT_FALSE(server.is_failed);
    tls_end_run(&server, MR_LEVEL_INITIAL, header + 3, 1);
    check_failure(&server, MR_CRYPTO_BUFFER_EXCEEDED, "too large");
    end_hello(&sides);
}

/* ------------------------------------------------------------------ levels, RFC 9001,
 * Section 4.1.3 */

/* RFC 9001, Section 4.1.3: "When TLS provides keys for a higher encryption level, if there is data
 * from a previous encryption level that TLS has not consumed, this MUST be treated as a connection
 * error of type PROTOCOL_VIOLATION." */
static void bytes_behind_the_client_hello_are_a_protocol_violation(void)
{
    static const uint8_t next[] = {1, 0};

    for (size_t extra = 1; extra <= sizeof(next); extra++) {
        struct sides sides;
        struct tls_wire *wire = begin_hello(&sides);

        memcpy(wire->bytes + wire->size, next, extra);
        wire->size += extra;
        tls_deliver(&client, &server, WHOLE);
        check_failure(&server, MR_PROTOCOL_VIOLATION, "level");
        end_hello(&sides);
    }
}

/* RFC 9001, Section 4.1.3: "If the packet is from a previously installed encryption level, it MUST
 * NOT contain data that extends past the end of previously received data in that flow." RFC 9001,
 * Section 4.1.3: "Implementations MUST treat any violations of this requirement as a connection
 * error of type PROTOCOL_VIOLATION." */
static void bytes_of_a_level_that_is_over_are_a_protocol_violation(void)
{
    static const uint8_t more[] = {1, 0, 0, 0};
    struct sides sides;

    begin_hello(&sides);
    tls_deliver(&client, &server, WHOLE);
    CU_ASSERT_FALSE(server.is_failed);
    tls_end_run(&server, MR_LEVEL_INITIAL, more, sizeof(more));
    check_failure(&server, MR_PROTOCOL_VIOLATION, "level");
    end_hello(&sides);
}

/* Messages of the handshake level that arrive unprotected must not be taken for the real ones.
 * RFC 9001, Section 4.1.3: "When TLS provides keys for a higher encryption level, if there is data
 * from a previous encryption level that TLS has not consumed, this MUST be treated as a connection
 * error of type PROTOCOL_VIOLATION." */
static void a_server_flight_at_one_level_is_a_protocol_violation(void)
{
    struct sides sides;

    begin_hello(&sides);
    tls_deliver(&client, &server, WHOLE);
    struct tls_wire *initial = &server.out[MR_LEVEL_INITIAL];
    struct tls_wire *handshake = &server.out[MR_LEVEL_HANDSHAKE];

    memcpy(initial->bytes + initial->size, handshake->bytes, handshake->size);
    initial->size += handshake->size;
    handshake->size = 0;
    tls_deliver(&server, &client, WHOLE);
    check_failure(&client, MR_PROTOCOL_VIOLATION, "level");
    CU_ASSERT_FALSE(client.is_complete);
    end_hello(&sides);
}

static void bytes_of_a_level_to_come_are_a_protocol_violation(void)
{
    static const enum mr_level levels[] = {MR_LEVEL_EARLY, MR_LEVEL_HANDSHAKE, MR_LEVEL_APP};

    for (size_t i = 0; i < MR_COUNT_OF(levels); i++) {
        struct sides sides;
        struct tls_wire *wire = begin_hello(&sides);

        tls_end_run(&server, levels[i], wire->bytes, wire->size);
        check_failure(&server, MR_PROTOCOL_VIOLATION, "level");
        end_hello(&sides);
    }
}

static void a_job_takes_bytes_of_one_level_up_to_its_size(void)
{
    static uint8_t bytes[MR_TLS_INPUT_MAX + 1];
    struct mr_tls_job *job = &tls_pair_job;
    struct mr_tls tls = {.ssl = NULL};

    mr_tls_job_prepare(job, &tls);
    CU_ASSERT_EQUAL(mr_tls_job_input(job, MR_LEVEL_INITIAL, bytes, 100), 100);
    CU_ASSERT_EQUAL(mr_tls_job_input(job, MR_LEVEL_HANDSHAKE, bytes, 100), 0);
    CU_ASSERT_EQUAL(mr_tls_job_input(job, MR_LEVEL_INITIAL, bytes, sizeof(bytes)),
                    MR_TLS_INPUT_MAX - 100);
    CU_ASSERT_EQUAL(mr_tls_job_input(job, MR_LEVEL_INITIAL, bytes, 1), 0);
}

/* ------------------------------------------------------------------ forbidden messages */

/* RFC 9001, Section 8.3: "Clients MUST NOT send the EndOfEarlyData message." */
static void key_update_and_end_of_early_data_are_errors_at_any_time(void)
{
    static const uint8_t key_update[] = {24, 0, 0, 1, 0};
    static const uint8_t end_of_early_data[] = {5, 0, 0, 0};
    struct sides sides;

    begin_hello(&sides);
    tls_deliver(&client, &server, WHOLE);
    tls_end_run(&server, MR_LEVEL_HANDSHAKE, key_update, sizeof(key_update));
    check_failure(&server, 0x10a, "KeyUpdate");
    end_hello(&sides);

    begin_hello(&sides);
    tls_deliver(&client, &server, WHOLE);
    tls_end_run(&server, MR_LEVEL_HANDSHAKE, end_of_early_data, sizeof(end_of_early_data));
    check_failure(&server, MR_PROTOCOL_VIOLATION, "EndOfEarlyData");
    end_hello(&sides);
}

/* Talk to the end, but keep both alive. */
static void talk(struct sides *sides, const struct plan *plan)
{
    sides_open(sides, plan);
    start(sides, plan);
    tls_pair_talk(&client, &server, WHOLE);
    CU_ASSERT(client.is_complete);
    CU_ASSERT(server.is_complete);
}

/* RFC 9001, Section 4.4: "More specifically, servers MUST NOT send post-handshake TLS
 * CertificateRequest messages, and clients MUST treat receipt of such messages as a connection
 * error of type PROTOCOL_VIOLATION." */
static void after_the_handshake_only_tickets_are_taken(void)
{
    static const struct {
        uint8_t message[6];
        size_t size;
        uint64_t error;
    } cases[] = {
        {{24, 0, 0, 1, 0}, 5, 0x10a},
        {{13, 0, 0, 2, 0, 0}, 6, MR_PROTOCOL_VIOLATION},
        {{20, 0, 0, 0}, 4, 0x10a},
        {{1, 0, 0, 0}, 4, 0x10a},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_tls_late late = {.message = {0}};
        struct sides sides;

        talk(&sides, &(struct plan){.tickets = 0});
        tls_end_run(&client, MR_LEVEL_APP, cases[i].message, cases[i].size);
        check_failure(&client, cases[i].error, "");
        end_hello(&sides);
        CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_CLIENT, cases[i].message, 1), cases[i].error);
    }
}

static void a_server_takes_nothing_after_the_handshake(void)
{
    static const uint8_t ticket[] = {4, 0, 0, 0};
    struct mr_tls_late late = {.message = {0}};
    struct sides sides;

    talk(&sides, &(struct plan){.tickets = 1});
    tls_end_run(&server, MR_LEVEL_APP, ticket, sizeof(ticket));
    check_failure(&server, 0x10a, "after its last");
    end_hello(&sides);
    CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_SERVER, ticket, 1), 0x10a);
    CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_SERVER, ticket, 0), 0);
}

static void tickets_may_be_cut_anywhere_when_nobody_listens_any_more(void)
{
    static const uint8_t stream[] = {4, 0, 0, 3, 24, 24, 24, 4, 0, 0, 0, 4, 0, 1, 0};

    for (size_t piece = 1; piece <= sizeof(stream); piece++) {
        struct mr_tls_late late = {.message = {0}};
        static const uint8_t update = 24;

        for (size_t at = 0; at < sizeof(stream); at += piece)
            CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_CLIENT, stream + at,
                                              MR_MIN(piece, sizeof(stream) - at)),
                            0);
        CU_ASSERT_EQUAL(late.message.body_left, 256);
        for (int i = 0; i < 256; i++)
            CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_CLIENT, &update, 1), 0);
        CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_CLIENT, &update, 1), 0x10a);
    }
}

static CU_TestInfo tests[] = {
    {"names of the certificate are accepted", names_of_the_certificate_are_accepted},
    {"other names are refused in clear words", other_names_are_refused_in_clear_words},
    {"certificates out of date are refused in clear words",
     certificates_out_of_date_are_refused_in_clear_words},
    {"an unknown issuer is refused unless insecure", an_unknown_issuer_is_refused_unless_insecure},
    {"no common protocol is answered with its alert",
     no_common_protocol_is_answered_with_its_alert},
    {"no common group or cipher is a handshake failure",
     no_common_group_or_cipher_is_a_handshake_failure},
    {"a ClientHello without transport parameters is refused",
     a_client_hello_without_transport_parameters_is_refused},
    {"a ClientHello without ALPN is refused", a_client_hello_without_alpn_is_refused},
    {"a ClientHello in compatibility mode is refused",
     a_client_hello_in_compatibility_mode_is_refused},
    {"garbage is refused and the handshake stays failed",
     garbage_is_refused_and_the_handshake_stays_failed},
    {"a huge ClientHello is refused by its header", a_huge_client_hello_is_refused_by_its_header},
    {"bytes behind the ClientHello are a protocol violation",
     bytes_behind_the_client_hello_are_a_protocol_violation},
    {"bytes of a level that is over are a protocol violation",
     bytes_of_a_level_that_is_over_are_a_protocol_violation},
    {"a server flight at one level is a protocol violation",
     a_server_flight_at_one_level_is_a_protocol_violation},
    {"bytes of a level to come are a protocol violation",
     bytes_of_a_level_to_come_are_a_protocol_violation},
    {"a job takes bytes of one level up to its size",
     a_job_takes_bytes_of_one_level_up_to_its_size},
    {"KeyUpdate and EndOfEarlyData are errors at any time",
     key_update_and_end_of_early_data_are_errors_at_any_time},
    {"after the handshake only tickets are taken", after_the_handshake_only_tickets_are_taken},
    {"a server takes nothing after the handshake", a_server_takes_nothing_after_the_handshake},
    {"tickets may be cut anywhere when nobody listens any more",
     tickets_may_be_cut_anywhere_when_nobody_listens_any_more},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/tls refusals", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
