/*
 * tests/conformance/test_rfc9369.c - QUIC version 2 (RFC 9369) and version negotiation (RFC 9368;
 * RFC 9000, Section 6), both sides.
 */
#include <stdio.h>

#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

static struct peer *make(enum mr_role under_test, uint8_t first, uint8_t second, uint8_t accepted)
{
    struct peer_options options = {
        .under_test = under_test, .versions = {first, second}, .server_versions = accepted};

    return peer_new(&options);
}

static uint32_t conn_version(struct peer *p)
{
    struct mr_conn_info info;

    CU_ASSERT_EQUAL_FATAL(mr_conn_info(peer_endpoint(p), p->conn, &info), 0);
    return info.version;
}

/* Versions of the long headers that the endpoint under test sent, by type: 1, 2, 3 for both. */
static uint32_t versions_sent(const struct peer *p, enum mr_packet_type type)
{
    uint32_t seen = 0;

    for (uint32_t i = 0; i < p->inbox_count; i++) {
        if (p->inbox[i].type == type)
            seen |= p->inbox[i].version == MR_VERSION_2 ? 2u : 1u;
    }
    return seen;
}

/* RFC 9369, Section 3: every long header has the version; keys, key updates too, have its labels.
 * "Any version of QUIC that supports this mechanism MUST provide a mechanism to exchange Version
 * Information in both directions during the handshake, such that this data is authenticated." (RFC
 * 9368, Version Information)  "Note that the version in the Chosen Version field MUST be included
 * in this list to allow the client to communicate the Chosen Version's preference." (RFC 9368,
 * Version Information)  "Except for a few differences, QUIC version 2 endpoints MUST implement the
 * QUIC version 1 specification as described in {{QUIC}}, {{QUIC-TLS}}, and
 * {{!QUIC-RECOVERY=RFC9002}}." (Differences with QUIC Version 1) */
static void a_connection_of_version_2(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = make((enum mr_role)role, 2, 0, 0);

        peer_run(p, PEER_FLIGHT);
        CU_ASSERT_EQUAL(versions_sent(p, MR_PACKET_INITIAL), 2);
        CU_ASSERT_EQUAL(versions_sent(p, MR_PACKET_HANDSHAKE), 2);
        peer_end(p);
        p = make((enum mr_role)role, 2, 0, 0);
        peer_run(p, PEER_DONE);
        CU_ASSERT_EQUAL(conn_version(p), 2);
        CU_ASSERT_EQUAL(peer_counters(p)->versions_changed, 0);
        peer_update_keys(p);
        PEER_SEND(p, "\1");
        PEER_SEND(p, "\1");
        CU_ASSERT_TRUE(peer_count(p, MR_FRAME_ACK) > 0);
        peer_end(p);
    }
}

/* RFC 9369, Section 4.1: "The server MUST send all CRYPTO frames using the negotiated version."
 * "Both endpoints MUST send Handshake and 1-RTT packets using the negotiated version."  "In order
 * to perform compatible version negotiation, the server MUST select one of these versions that it
 * (1) supports and (2) knows the client's Chosen Version is compatible with." (RFC 9368, Compatible
 * Version Negotiation) */
static void the_server_goes_on_in_version_2(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = make((enum mr_role)role, 2, 1, 0);

        peer_run(p, PEER_FLIGHT);
        CU_ASSERT_EQUAL(p->hello.bytes[4], 1); /* it began with version 1 */
        CU_ASSERT_EQUAL(versions_sent(p, MR_PACKET_HANDSHAKE), 2);
        CU_ASSERT_EQUAL(versions_sent(p, MR_PACKET_INITIAL), role == S ? 2 : 3);
        peer_end(p);
        p = make((enum mr_role)role, 2, 1, 0);
        peer_run(p, PEER_DONE);
        CU_ASSERT_EQUAL(conn_version(p), 2);
        CU_ASSERT_EQUAL(peer_counters(p)->versions_changed, 1);
        CU_ASSERT_EQUAL(peer_counters(p)->dropped_version_mismatch, 0);
        peer_end(p);
    }
}

/* The client's preference decides, among what the server accepts. */
static void the_server_stays_in_version_1(void)
{
    static const struct {
        uint8_t first, second, accepted;
    } rows[] = {{1, 2, 0}, {1, 0, 0}, {0, 0, 0}, {2, 1, MR_VERSIONS_1}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct peer *p = make(S, rows[i].first, rows[i].second, rows[i].accepted);

        peer_run(p, PEER_DONE);
        CU_ASSERT_EQUAL(conn_version(p), 1);
        CU_ASSERT_EQUAL(peer_counters(p)->versions_changed, 0);
        peer_end(p);
    }
}

/* RFC 9369, Section 4.1: "The server MUST NOT discard its original version Initial receive keys
 * until it successfully processes a Handshake packet with the negotiated version." */
static void late_initials_of_the_original_version_are_read(void)
{
    struct peer *p = make(S, 2, 1, 0);

    peer_run(p, PEER_HELLO);
    p->version = MR_VERSION_1;
    peer_set_initial_keys(p, &mr_cid_current(mr_conn_at(p->side[C].ep, 0))->cid);
    uint64_t before = peer_conn(p)->last_received_ns;
    p->now += MR_MS;
    peer_send(p, MR_PACKET_INITIAL, "\1", 1);
    CU_ASSERT_TRUE(peer_conn(p)->last_received_ns > before);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_undecryptable, 0);
    p->version = MR_VERSION_2; /* and of the negotiated one */
    peer_set_initial_keys(p, &mr_cid_current(mr_conn_at(p->side[C].ep, 0))->cid);
    before = peer_conn(p)->last_received_ns;
    p->now += MR_MS;
    peer_send(p, MR_PACKET_INITIAL, "\1", 1);
    CU_ASSERT_TRUE(peer_conn(p)->last_received_ns > before);
    peer_end(p);
}

/* Section 4.1: "An endpoint MUST drop packets using any other version."
 * RFC 9000, Section 5.2.1: "If a client receives a packet that uses a different version than it
 * initially selected, it MUST discard that packet." */
static void packets_of_another_version_are_dropped(void)
{
    struct peer *p = make(S, 1, 0, 0);

    peer_run(p, PEER_HELLO);
    p->version = MR_VERSION_2;
    peer_set_initial_keys(p, &mr_cid_current(mr_conn_at(p->side[C].ep, 0))->cid);
    peer_send(p, MR_PACKET_INITIAL, "\1", 1);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_version_mismatch, 1);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    peer_end(p);
    p = make(C, 1, 0, 0); /* a version that the client did not offer */
    peer_run(p, PEER_HELLO);
    p->version = MR_VERSION_2;
    peer_set_initial_keys(p, &mr_cid_current(peer_conn(p))->cid);
    peer_send_packet(
        p, &(struct peer_out){
               .type = MR_PACKET_INITIAL, .frames = "\1", .size = 1, .pn = 0, .dcid = &p->dcid});
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_version_mismatch, 1);
    CU_ASSERT_EQUAL(peer_conn(p)->version, MR_VERSION_1);
    peer_end(p);
}

/* Whoever forges a packet of a version that the client offers changes nothing: it does not open. */
static void a_forged_version_changes_nothing(void)
{
    struct peer *p = make(C, 2, 1, 0);

    peer_run(p, PEER_HELLO);
    p->version = MR_VERSION_2;
    struct mr_cid other = {8, {9, 9, 9}};
    peer_set_initial_keys(p, &other);
    peer_send_packet(
        p, &(struct peer_out){
               .type = MR_PACKET_INITIAL, .frames = "\1", .size = 1, .pn = 0, .dcid = &p->dcid});
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_undecryptable, 1);
    CU_ASSERT_EQUAL(peer_conn(p)->version, MR_VERSION_1);
    CU_ASSERT_EQUAL(peer_counters(p)->versions_changed, 0);
    peer_end(p);
}

/* "The client MUST NOT use a different version in the subsequent Initial packet that contains the
 * Retry token." (Compatible Negotiation Requirements)  "After switching to a negotiated version
 * after a Retry, the server MUST include the relevant transport parameters to validate that the
 * server sent the Retry ..." (Compatible Negotiation Requirements) */
static void retry_of_version_2(void)
{
    struct peer_options options = {
        .under_test = S, .versions = {2, 0}, .retry_above = PEER_ALWAYS_RETRY};
    struct peer *p = peer_new(&options);

    peer_run(p, PEER_DONE);
    CU_ASSERT_EQUAL(conn_version(p), 2);
    CU_ASSERT_EQUAL(peer_counters(p)->retries_sent, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->tokens_valid, 1);
    peer_end(p);
    /* Section 4.1: "If the server sends a Retry packet, it MUST use the original version." */
    options = (struct peer_options){
        .under_test = S, .versions = {2, 1}, .retry_above = PEER_ALWAYS_RETRY};
    p = peer_new(&options);
    peer_run(p, PEER_DONE);
    CU_ASSERT_EQUAL(conn_version(p), 2);
    CU_ASSERT_EQUAL(peer_counters(p)->retries_sent, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->versions_changed, 1);
    peer_end(p);
}

/* ------------------------------------------------------------------ Version Negotiation */

/* RFC 9368, Section 2.1: "This packet SHALL include each entry from the server's set of Offered
 * Versions". */
static void a_server_lists_what_it_accepts(void)
{
    static const uint8_t sets[] = {0, MR_VERSIONS_1, MR_VERSIONS_2};

    for (size_t i = 0; i < MR_COUNT_OF(sets); i++) {
        struct peer *p = make(S, 1, 0, sets[i]);
        struct mr_packet_header header;
        uint8_t hello[MR_INITIAL_MIN] = {0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8};

        peer_run(p, PEER_NOTHING);
        peer_deliver(p, hello, sizeof(hello));
        CU_ASSERT_EQUAL_FATAL(p->inbox_count, 1);
        CU_ASSERT_EQUAL(mr_packet_parse(p->inbox[0].bytes, p->inbox[0].size, 8, &header),
                        MR_PACKET_OK);
        CU_ASSERT_EQUAL(header.type, MR_PACKET_VERSION_NEGOTIATION);
        CU_ASSERT_EQUAL(mr_packet_lists_version(&header, MR_VERSION_1), sets[i] != MR_VERSIONS_2);
        CU_ASSERT_EQUAL(mr_packet_lists_version(&header, MR_VERSION_2), sets[i] != MR_VERSIONS_1);
        peer_end(p);
    }
}

/* "Otherwise, it SHALL select a mutually supported version and send a new first flight with that
 * version".  "Upon receiving the Version Negotiation packet, the client SHALL search for a version
 * it supports in the list provided by the server." (RFC 9368, Incompatible Version Negotiation)
 * "... connection that is created in response to the received Version Negotiation packet MUST
 * restart its application-layer protocol negotiation process without taking into account the
 * Original Version." (RFC 9368, Application-Layer Protocol Considerations) */
static void a_client_begins_again_in_a_listed_version(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = make((enum mr_role)role, 1, 2, MR_VERSIONS_2);

        peer_run(p, PEER_DONE);
        CU_ASSERT_EQUAL(conn_version(p), 2);
        CU_ASSERT_EQUAL(p->hello.bytes[4], 1);
        CU_ASSERT_EQUAL(role == C ? peer_counters(p)->version_negotiations_received
                                  : peer_counters(p)->version_negotiations_sent,
                        1);
        peer_end(p);
    }
}

/* A client that has sent its first flight, which is lost. */
static struct peer *first_flight(uint8_t first, uint8_t second, uint8_t accepted)
{
    struct peer *p = make(C, first, second, accepted);
    struct mr_connect_options connect = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\004peer",
                                         .alpn_size = 5,
                                         .versions = {first, second},
                                         .remote = {.port = 443}};

    memcpy(connect.remote.ip, p->path.remote.ip, 16);
    CU_ASSERT_EQUAL_FATAL(
        mr_conn_connect(p->side[C].ep, &connect, &p->path.local, p->now, &p->conn), 0);
    peer_advance(p, 0);
    peer_drain(p);
    p->wire_count[S] = 0;
    peer_clear(p);
    return p;
}

static void send_version_negotiation(struct peer *p, uint32_t version)
{
    uint8_t bytes[64];
    struct mr_writer w = mr_writer(bytes, sizeof(bytes));
    const struct mr_cid *dcid = &mr_conn_handshake(peer_endpoint(p), peer_conn(p))->original_dcid;
    struct mr_cid scid = {.size = 8};

    memcpy(scid.bytes, &peer_conn(p)->issued.key[0], 8);
    struct mr_packet_header request = {.dcid = mr_cid_view(dcid), .scid = mr_cid_view(&scid)};
    mr_packet_write_version_negotiation(&w, &request, &version, 1, 77);
    peer_deliver(p, bytes, mr_writer_size(&w));
}

/* "If it doesn't find one, it SHALL abort the connection attempt." */
static void a_client_that_finds_no_version_gives_up(void)
{
    struct peer *p = first_flight(1, 0, 0);

    send_version_negotiation(p, MR_VERSION_2);
    const struct peer_event *event = peer_event(p, MR_EVENT_CLOSED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    CU_ASSERT_STRING_EQUAL(event->reason, "the server speaks no version of QUIC that we do");
    peer_end(p);
}

/* RFC 9368, Section 4: "A client that makes a connection attempt based on information received from
 * a Version Negotiation packet MUST ignore any Version Negotiation packets it receives in response
 * to that connection attempt."  "Clients MUST ignore any received Version Negotiation packets that
 * contain the Original Version." */
static void a_client_reacts_once(void)
{
    struct peer *p = first_flight(1, 2, 0);

    send_version_negotiation(p, MR_VERSION_1);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_vn_invalid, 1);
    CU_ASSERT_EQUAL(peer_conn(p)->version, MR_VERSION_1);
    send_version_negotiation(p, MR_VERSION_2);
    CU_ASSERT_EQUAL(peer_counters(p)->version_negotiations_received, 1);
    CU_ASSERT_EQUAL(peer_conn(p)->version, MR_VERSION_2);
    CU_ASSERT_EQUAL(versions_sent(p, MR_PACKET_INITIAL), 2);
    send_version_negotiation(p, MR_VERSION_1);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_vn_invalid, 2);
    CU_ASSERT_EQUAL(peer_conn(p)->version, MR_VERSION_2);
    peer_end(p);
}

/* "If the client would have selected a different version, the client MUST close the connection with
 * a version negotiation error."  RFC 8999, Section 7: "An endpoint MUST authenticate the semantic
 * content of a Version Negotiation packet if it attempts a different QUIC version as a result." */
static void a_forged_negotiation_is_found_out(void)
{
    struct peer *p = first_flight(1, 2, 0);

    send_version_negotiation(p, MR_VERSION_2);
    for (int i = 0; i < 8; i++)
        peer_round_trip(p);
    const struct peer_event *event = peer_event(p, MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(peer_conn(p)->close.error, MR_VERSION_NEGOTIATION_ERROR);
    CU_ASSERT_STRING_EQUAL(peer_conn(p)->close.reason, "version negotiation was tampered with");
    CU_ASSERT_TRUE(event == NULL || event->event.error == MR_VERSION_NEGOTIATION_ERROR);
    peer_end(p);
}

/* ------------------------------------------------------------------ version_information */

static void choose_version_2(uint8_t *params, size_t size)
{
    CU_ASSERT_TRUE(mr_version_set_chosen(params, size, MR_VERSION_2));
}

static void choose_version_1(uint8_t *params, size_t size)
{
    CU_ASSERT_TRUE(mr_version_set_chosen(params, size, MR_VERSION_1));
}

/* An id that nobody knows in its place. */
static void drop_information(uint8_t *params, size_t size)
{
    struct mr_reader r = mr_reader(params, size);

    while (mr_reader_left(&r) > 0) {
        uint8_t *at = params + (r.at - params);
        uint64_t id = mr_read_varint(&r);
        uint64_t length = mr_read_varint(&r);

        mr_read_bytes(&r, length);
        if (id == MR_PARAM_VERSION_INFORMATION)
            at[0] = 0x33;
    }
}

static void zero_version(uint8_t *params, size_t size)
{
    CU_ASSERT_TRUE(mr_version_set_chosen(params, size, 0));
}

/* RFC 9368, Section 4: "the server MUST validate that the client's Chosen Version matches the
 * version in use for the connection. If the two differ, the server MUST close the connection with a
 * version negotiation error." "clients MUST validate that the server's Chosen Version is equal to
 * the Negotiated Version".  "... or if its length is not divisible by four), then the endpoint MUST
 * close the connection; if the connection was using QUIC version 1, that connection ..." (RFC 9368,
 * Version Downgrade Prevention)  "If an endpoint receives a Chosen Version equal to zero, or any
 * Available Version equal to zero, it MUST treat it as a parsing failure." (RFC 9368, Version
 * Downgrade Prevention)  "... and the client's Chosen Version is not set to 0x00000001, the server
 * MUST close the connection with a version negotiation error." (RFC 9368, Version Downgrade
 * Prevention)  "Any QUIC endpoint that supports QUIC version 2 MUST send, process, and validate the
 * version_information transport parameter specified in {{QUIC-VN}} to prevent version downgrade
 * attacks." (Version Negotiation Considerations) */
static void what_the_peer_says_of_versions_is_checked(void)
{
    static const struct {
        const char *name;
        enum mr_role under_test;
        uint8_t versions[2];
        void (*edit)(uint8_t *params, size_t size);
        uint64_t error;
    } rows[] = {
        {"client's choice", S, {1, 2}, choose_version_2, MR_VERSION_NEGOTIATION_ERROR},
        {"client's choice of 2", S, {2, 0}, choose_version_1, MR_TRANSPORT_PARAMETER_ERROR},
        {"client without", S, {1, 0}, drop_information, PEER_NO_CLOSE},
        {"client's zero", S, {1, 0}, zero_version, MR_TRANSPORT_PARAMETER_ERROR},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct peer_options options = {.under_test = rows[i].under_test,
                                       .versions = {rows[i].versions[0], rows[i].versions[1]},
                                       .edit_params = rows[i].edit};
        struct peer *p = peer_new(&options);

        peer_run(p, PEER_FLIGHT);
        if (peer_conn(p)->close.error != (rows[i].error == PEER_NO_CLOSE ? 0 : rows[i].error))
            fprintf(stderr, "# %s: %#llx %s\n", rows[i].name,
                    (unsigned long long)peer_conn(p)->close.error, peer_conn(p)->close.reason);
        CU_ASSERT_EQUAL(peer_conn(p)->close.error,
                        rows[i].error == PEER_NO_CLOSE ? 0 : rows[i].error);
        peer_end(p);
    }
}

/* RFC 9368, Section 4: "If a client receives Version Information where the server's Chosen Version
 * was not sent by the client as part of its Available Versions, the client MUST close the
 * connection with a version negotiation error." */
static void what_the_server_says_of_versions_is_checked(void)
{
    static const struct {
        const char *name;
        uint8_t versions[2];
        uint32_t chosen; /* 0: no version_information */
        uint64_t error;
    } rows[] = {
        {"another choice", {1, 0}, MR_VERSION_2, MR_VERSION_NEGOTIATION_ERROR},
        {"a choice that was offered", {1, 2}, MR_VERSION_2, MR_VERSION_NEGOTIATION_ERROR},
        {"a choice that nobody knows", {1, 2}, 0x1a2a3a4a, MR_VERSION_NEGOTIATION_ERROR},
        {"the original after a change", {2, 1}, MR_VERSION_1, MR_VERSION_NEGOTIATION_ERROR},
        {"none after a change", {2, 1}, 0, MR_VERSION_NEGOTIATION_ERROR},
        {"none", {1, 0}, 0, 0},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_transport_params params = {.has_version_information = rows[i].chosen != 0};
        struct mr_handshake hs = {.offered = {rows[i].versions[0], rows[i].versions[1]},
                                  .original_version = MR_VERSION_1};
        struct mr_conn conn = {.role = C,
                               .version = rows[i].versions[0] == 2 ? MR_VERSION_2 : MR_VERSION_1};

        mr_store_be(params.version_information, rows[i].chosen, 4);
        params.version_information_size = 4;
        CU_ASSERT_EQUAL(mr_conn_check_versions(&conn, &hs, &params) != NULL, rows[i].error != 0);
    }
}

/* RFC 9368, Section 4, of a client that has reacted to Version Negotiation: "If a client has
 * reacted to a Version Negotiation packet and the server's Version Information was missing, the
 * client MUST close the connection with a version negotiation error."  "Clients MUST NOT complete
 * the handshake if they are reacting to a Version Negotiation packet and the Version Information is
 * missing, but MAY do so otherwise."  "If the client received and acted on a Version Negotiation
 * packet, the client MUST validate the server's Available Versions field."  "In particular, if the
 * client reacted to a Version Negotiation packet and the server's Available Versions field is
 * empty, the client MUST close the connection with a version negotiation error."  Section 8: "...
 * if a client is starting a QUIC version 1 connection in response to a received Version Negotiation
 * packet and the version_information transport parameter is missing from the server's transport
 * parameters, then the client SHALL proceed as if the server's transport parameters contained a
 * version_information transport parameter with a Chosen Version set to 0x00000001 and an Available
 * Version list containing exactly one version set to 0x00000001."  "Note that implementations that
 * wish to use version negotiation to negotiate versions other than QUIC version 1 MUST implement
 * the version negotiation mechanism defined in this document." (RFC 9368, Special Handling for QUIC
 * Version 1) */
static void a_negotiated_version_is_checked_against_what_is_available(void)
{
    static const struct {
        const char *name;
        uint8_t versions[2], now; /* offered, most wanted first; in use */
        uint8_t available[2];     /* that the server says beside what it chose */
        bool says_nothing;        /* no version_information */
        bool is_fine;
    } rows[] = {
        {"the one there is", {1, 2}, 2, {2, 0}, false, true},
        {"a better one", {1, 2}, 2, {2, 1}, false, false},
        {"the better one", {2, 1}, 2, {1, 2}, false, true},
        {"only another", {2, 1}, 1, {2, 0}, false, false},
        {"not yet everywhere", {2, 1}, 2, {1, 0}, false, true},
        {"empty", {1, 2}, 2, {0, 0}, false, false},
        {"empty, of version 1", {2, 1}, 1, {0, 0}, false, false},
        {"nothing, of version 2", {1, 2}, 2, {0, 0}, true, false},
        {"nothing, of version 1", {2, 1}, 1, {0, 0}, true, true},
    };
    static const uint32_t by_number[] = {0, MR_VERSION_1, MR_VERSION_2};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        uint32_t version = by_number[rows[i].now];
        struct mr_transport_params params = {.has_version_information = !rows[i].says_nothing};
        struct mr_handshake hs = {.offered = {rows[i].versions[0], rows[i].versions[1]},
                                  .has_version_negotiation = true,
                                  .original_version = version};
        struct mr_conn conn = {.role = C, .version = version};
        uint8_t *at = params.version_information;

        mr_store_be(at, version, 4);
        for (size_t k = 0; k < 2 && rows[i].available[k] != 0; k++)
            mr_store_be(at += 4, by_number[rows[i].available[k]], 4);
        params.version_information_size = (uint8_t)(at + 4 - params.version_information);
        bool is_fine = mr_conn_check_versions(&conn, &hs, &params) == NULL;
        CU_ASSERT_EQUAL(is_fine, rows[i].is_fine);
        if (is_fine != rows[i].is_fine)
            fprintf(stderr, "# %s\n", rows[i].name);
    }
}

static CU_TestInfo tests[] = {
    {"a connection of version 2", a_connection_of_version_2},
    {"the server goes on in version 2", the_server_goes_on_in_version_2},
    {"the server stays in version 1", the_server_stays_in_version_1},
    {"late Initials of the original version are read",
     late_initials_of_the_original_version_are_read},
    {"packets of another version are dropped", packets_of_another_version_are_dropped},
    {"a forged version changes nothing", a_forged_version_changes_nothing},
    {"Retry of version 2", retry_of_version_2},
    {"a server lists what it accepts", a_server_lists_what_it_accepts},
    {"a client begins again in a listed version", a_client_begins_again_in_a_listed_version},
    {"a client that finds no version gives up", a_client_that_finds_no_version_gives_up},
    {"a client reacts once", a_client_reacts_once},
    {"a forged negotiation is found out", a_forged_negotiation_is_found_out},
    {"what the peer says of versions is checked", what_the_peer_says_of_versions_is_checked},
    {"what the server says of versions is checked", what_the_server_says_of_versions_is_checked},
    {"a negotiated version is checked against what is available",
     a_negotiated_version_is_checked_against_what_is_available},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9369", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
