/*
 * tests/conformance/test_rfc9000_accept.c - RFC 9000, Sections 5.2, 6, 7, 8.1, 12.2, 14.1, 17.2:
 * what a server and a client do with datagrams before anything is agreed upon.
 */
#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

static const struct peer_packet *first(const struct peer *p)
{
    return p->inbox_count == 0 ? NULL : &p->inbox[0];
}

/* The client's first datagram, as the real client wrote it. */
struct hello {
    uint8_t bytes[PEER_DATAGRAM];
    size_t size;
};

/* A server that has heard nothing yet, and a real client's first datagram for it. */
static struct peer *with_hello(const struct peer_options *options, struct hello *hello)
{
    struct peer_options client = {.under_test = C};
    struct peer *source = peer_new(&client);
    struct peer *p = peer_new(options);

    peer_run(source, PEER_HELLO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first(source));
    hello->size = source->hello.size;
    memcpy(hello->bytes, source->hello.bytes, hello->size);
    peer_run(p, PEER_NOTHING);
    peer_end(source);
    return p;
}

static struct peer *server_with_hello(struct hello *hello)
{
    return with_hello(&(struct peer_options){.under_test = S}, hello);
}

/* ------------------------------------------------------------------ version negotiation */

static size_t unknown_version(uint8_t *bytes, size_t size, uint8_t dcid_size, uint8_t scid_size)
{
    memset(bytes, 0x5e, size);
    bytes[0] = 0xc0;
    bytes[1] = bytes[2] = bytes[3] = bytes[4] = 0x2a;
    bytes[5] = dcid_size;
    memset(bytes + 6, 0xdd, dcid_size);
    bytes[6 + dcid_size] = scid_size;
    memset(bytes + 7 + dcid_size, 0xcc, scid_size);
    return size;
}

/* Section 6.1, and Section 17.2.1: "The
 * server MUST include the value from the Source Connection ID field of the packet it receives in
 * the Destination Connection ID field."
 * Section 17.2.1: "The Version field of a Version Negotiation packet MUST be set to 0x00000000."
 * Section 17.2.1: "A server MUST NOT send more than one Version Negotiation packet in response to a
 * single UDP datagram." */
static void an_unknown_version_is_answered_with_ours(void)
{
    static const struct {
        uint8_t dcid;
        uint8_t scid;
    } sizes[] = {{8, 8}, {0, 0}, {20, 0}, {0, 20}, {21, 30}, {100, 100}};

    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++) {
        struct peer *p = peer_at(S, PEER_NOTHING);
        uint8_t bytes[MR_INITIAL_MIN];
        struct mr_packet_header header;

        peer_deliver(p, bytes, unknown_version(bytes, sizeof(bytes), sizes[i].dcid, sizes[i].scid));
        CU_ASSERT_EQUAL_FATAL(p->inbox_count, 1);
        const struct peer_packet *vn = first(p);
        CU_ASSERT_EQUAL(mr_packet_parse(vn->bytes, vn->size, 8, &header), MR_PACKET_OK);
        CU_ASSERT_EQUAL(header.type, MR_PACKET_VERSION_NEGOTIATION);
        CU_ASSERT_EQUAL(header.dcid.size, sizes[i].scid);
        CU_ASSERT_EQUAL(header.scid.size, sizes[i].dcid);
        CU_ASSERT_TRUE(header.dcid.size == 0 || header.dcid.bytes[0] == 0xcc);
        CU_ASSERT_TRUE(header.scid.size == 0 || header.scid.bytes[0] == 0xdd);
        CU_ASSERT_TRUE(mr_packet_lists_version(&header, MR_VERSION_1));
        CU_ASSERT_FALSE(mr_packet_lists_version(&header, 0x2a2a2a2a));
        CU_ASSERT_TRUE(vn->datagram_size < sizeof(bytes));
        peer_end(p);
    }
}

/* Section 5.2.2: "Servers MUST drop smaller packets that specify unsupported versions."
 * Section 6.1: "An endpoint MUST NOT send a Version Negotiation packet in response to receiving a
 * Version Negotiation packet."  "Clients MUST NOT send Version Negotiation packets and servers MUST
 * ignore all received Version Negotiation packets." (RFC 9368, Incompatible Version Negotiation) */
static void version_negotiation_is_not_answered_to_anything_else(void)
{
    struct peer *p = peer_at(S, PEER_NOTHING);
    uint8_t bytes[MR_INITIAL_MIN];

    peer_deliver(p, bytes, unknown_version(bytes, sizeof(bytes) - 1, 8, 8));
    peer_deliver(p, bytes, unknown_version(bytes, 50, 8, 8));
    peer_deliver(p, bytes, unknown_version(bytes, sizeof(bytes), 255, 255)); /* too long to echo */
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    unknown_version(bytes, sizeof(bytes), 8, 8);
    memset(bytes + 1, 0, 4); /* version negotiation itself */
    peer_deliver(p, bytes, sizeof(bytes));
    unknown_version(bytes, sizeof(bytes), 60, 8);
    memset(bytes + 1, 0, 4); /* with a connection ID of over 20 bytes */
    peer_deliver(p, bytes, sizeof(bytes));
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_unsupported_version, 3);
    peer_end(p);
    p = peer_at(C, PEER_HELLO); /* a client never does */
    peer_clear(p);
    peer_deliver(p, bytes, unknown_version(bytes, sizeof(bytes), 8, 8));
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    peer_end(p);
}

/* Answers that nobody sends do not pile up. */
static void answers_that_wait_are_bounded(void)
{
    struct peer *p = peer_at(S, PEER_NOTHING);
    struct mr_endpoint *ep = peer_endpoint(p);
    uint8_t bytes[MR_INITIAL_MIN];

    for (uint32_t i = 0; i < MR_REPLIES_MAX + 9; i++) {
        struct mr_buf buf = {.references = 1};
        struct mr_datagram d = {.data = bytes,
                                .buf = &buf,
                                .size = (uint16_t)unknown_version(bytes, sizeof(bytes), 8, 8),
                                .path = p->path};
        mr_endpoint_receive(ep, &d, 1, p->now);
        (void)mr_endpoint_take_released(ep);
    }
    CU_ASSERT_EQUAL(ep->reply_count, MR_REPLIES_MAX);
    CU_ASSERT_EQUAL(peer_counters(p)->replies_dropped, 9);
    peer_drain(p);
    CU_ASSERT_EQUAL(p->inbox_count, MR_REPLIES_MAX);
    CU_ASSERT_EQUAL(ep->reply_count, 0);
    peer_end(p);
}

/* A Version Negotiation packet for the client under test. */
static size_t version_negotiation(struct peer *p, uint8_t *bytes, uint32_t version)
{
    struct mr_cid first_dcid = mr_conn_handshake(peer_endpoint(p), peer_conn(p))->original_dcid;
    struct mr_writer w = mr_writer(bytes, 64);

    mr_write_u8(&w, 0xff);
    memset(mr_write_later(&w, 4), 0, 4);
    mr_write_u8(&w, PEER_CID_SIZE);
    memcpy(mr_write_later(&w, PEER_CID_SIZE), p->dcid.bytes, PEER_CID_SIZE);
    mr_write_u8(&w, first_dcid.size);
    mr_write_bytes(&w, first_dcid.bytes, MR_MIN(first_dcid.size, (uint8_t)MR_CID_MAX));
    for (int i = 3; i >= 0; i--)
        mr_write_u8(&w, (uint8_t)(version >> 8 * i));
    return mr_writer_size(&w);
}

/* Section 6.2: "A client MUST discard any Version Negotiation packet if it has received and
 * successfully processed any other packet"; "A client MUST discard a Version Negotiation packet
 * that lists the QUIC version selected by the client."
 * Section 6.2: "A client that supports only this version of QUIC MUST abandon the current
 * connection attempt if it receives a Version Negotiation packet, with the following two
 * exceptions." */
static void a_client_believes_version_negotiation_only_when_it_may(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);
    uint8_t bytes[64];

    peer_deliver(p, bytes, version_negotiation(p, bytes, MR_VERSION_1));
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    size_t size = version_negotiation(p, bytes, 0x2a2a2a2a);
    bytes[15] ^= 1; /* not the connection ID that we chose */
    peer_deliver(p, bytes, size);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    peer_deliver(p, bytes, version_negotiation(p, bytes, 0x2a2a2a2a));
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_CLOSED));
    peer_end(p);

    p = peer_at(C, PEER_HELLO);
    peer_send(p, MR_PACKET_INITIAL, "\1", 1);
    peer_deliver(p, bytes, version_negotiation(p, bytes, 0x2a2a2a2a));
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    peer_end(p);
}

/* ------------------------------------------------------------------ first datagrams */

/* Section 14.1: "A server MUST discard an Initial packet that is carried in a UDP datagram with a
 * payload that is smaller than the smallest allowed maximum datagram size of 1200 bytes."
 * Section 14: "QUIC MUST NOT be used if the network path cannot support a maximum datagram size of
 * at least 1200 bytes." */
static void small_initials_are_dropped(void)
{
    struct hello hello;
    struct peer *p = server_with_hello(&hello);
    uint8_t bytes[PEER_DATAGRAM];
    struct peer_out ping = {
        .type = MR_PACKET_INITIAL, .frames = "\1", .size = 1, .pn = PEER_NEXT_PN};

    peer_deliver(p, bytes, peer_build(p, &ping, bytes, sizeof(bytes)));
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_small_initial, 1);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    peer_deliver(p, hello.bytes, hello.size);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 1);
    CU_ASSERT_TRUE(p->inbox_count > 0);
    peer_end(p);

    p = peer_at(S, PEER_HELLO); /* of a connection that exists, too */
    peer_clear(p);
    peer_deliver(p, bytes, peer_build(p, &ping, bytes, sizeof(bytes)));
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_small_initial, 1);
    peer_end(p);
}

/* An Initial of a client that chose `dcid`. */
static void send_first_initial(struct peer *p, const struct mr_cid *dcid)
{
    peer_set_initial_keys(p, dcid);
    peer_send_packet(p, &(struct peer_out){.type = MR_PACKET_INITIAL,
                                           .frames = "\1",
                                           .size = 1,
                                           .pn = PEER_NEXT_PN,
                                           .dcid = dcid});
}

/* Section 7.2: "This Destination Connection ID MUST be at least 8 bytes in length." */
static void short_first_connection_ids_are_dropped(void)
{
    struct peer *p = peer_at(S, PEER_NOTHING);
    struct mr_cid cid = {.size = 7, .bytes = {1, 2, 3, 4, 5, 6, 7}};

    send_first_initial(p, &cid);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    peer_end(p);
}

/* What is no client's Initial leaves no state: neither connection nor buffers (lsquic
 * CVE-2025-54939). */
static void garbage_leaves_no_state(void)
{
    struct hello hello;
    struct peer *p = server_with_hello(&hello);
    uint8_t bytes[PEER_DATAGRAM];

    for (int i = 0; i < 200; i++) {
        memcpy(bytes, hello.bytes, hello.size);
        bytes[6] ^= (uint8_t)(i + 1); /* another DCID: the keys do not fit */
        peer_deliver(p, bytes, hello.size);
    }
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    /* an Initial of 100 bytes that cannot be opened, then 1-RTT bytes for its DCID */
    memset(bytes, 0x33, MR_INITIAL_MIN);
    memcpy(bytes, hello.bytes, 23);
    bytes[23] = 0x00; /* no token */
    bytes[24] = 0x40;
    bytes[25] = 100;
    bytes[126] = 0x43;
    memcpy(bytes + 127, hello.bytes + 6, PEER_CID_SIZE);
    for (int i = 0; i < 20; i++)
        peer_deliver(p, bytes, MR_INITIAL_MIN);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    CU_ASSERT_EQUAL(p->side[S].buffers_out, 0);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    peer_end(p);
}

/* The same behind a client's Initial: its connection is all that there is (lsquic CVE-2025-54939).
 */
static void strangers_behind_an_initial_leave_nothing(void)
{
    static const uint8_t stranger[125] = {0xe0, 0, 0, 0, 1, 8, 's', 't', 'r', 'a', 'n',  'g', 'e',
                                          'r',  8, 1, 2, 3, 4, 5,   6,   7,   8,   0x40, 100};
    struct hello hello;
    struct peer *p = server_with_hello(&hello);
    uint8_t bytes[PEER_DATAGRAM];

    CU_ASSERT_TRUE_FATAL(hello.size + sizeof(stranger) <= sizeof(bytes));
    for (uint64_t i = 1; i <= 50; i++) {
        memcpy(bytes, hello.bytes, hello.size);
        memcpy(bytes + hello.size, stranger, sizeof(stranger));
        peer_deliver(p, bytes, hello.size + sizeof(stranger));
        CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 1);
        CU_ASSERT_EQUAL(peer_counters(p)->dropped_other_cid, i);
        CU_ASSERT_EQUAL(p->side[S].buffers_out, 0);
    }
    peer_advance(p, MR_HANDSHAKE_TIMEOUT + 5 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    CU_ASSERT_EQUAL(peer_endpoint(p)->handshakes.used, 0);
    CU_ASSERT_EQUAL(peer_endpoint(p)->chunks.used, 0);
    peer_end(p);
}

/* Section 10.3: "Endpoints MUST discard packets that are too small to be valid QUIC packets."
 * Section 14: "Therefore, an endpoint MUST NOT close a connection when it receives a datagram that
 * does not meet size constraints; the endpoint MAY discard such datagrams." */
static void empty_and_tiny_datagrams_are_dropped(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t bytes[64];

    for (int first_byte = 0; first_byte < 256; first_byte++) {
        memset(bytes, 0, sizeof(bytes));
        bytes[0] = (uint8_t)first_byte;
        for (size_t size = 0; size < 20; size++)
            peer_deliver(p, bytes, size);
    }
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_empty, 256);
    peer_expect_close(p, "tiny", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 8.1: "Prior to validating the client address, servers MUST NOT send more than three times
 * as many bytes as the number of bytes they have received."
 * Section 14.1: "The server MUST also limit the number of bytes it sends before validating the
 * address of the client." */
static void a_server_sends_at_most_three_times_what_came(void)
{
    struct hello hello;
    struct peer *p = server_with_hello(&hello);

    peer_deliver(p, hello.bytes, hello.size);
    for (int i = 0; i < 90 && mr_endpoint_conn_count(peer_endpoint(p)) > 0; i++) {
        CU_ASSERT_TRUE(p->bytes <= 3 * hello.size);
        peer_advance(p, 100 * MR_MS); /* probe timeouts want to send */
    }
    CU_ASSERT_TRUE(p->bytes <= 3 * hello.size);
    CU_ASSERT_TRUE(p->bytes > 2 * hello.size); /* it has tried */
    peer_end(p);

    p = server_with_hello(&hello);
    peer_deliver(p, hello.bytes, hello.size);
    peer_deliver(p, hello.bytes, hello.size); /* duplicates count as received */
    peer_advance(p, 5 * MR_SECOND);
    CU_ASSERT_TRUE(p->bytes > 3 * hello.size && p->bytes <= 6 * hello.size);
    peer_end(p);
}

/* Whatever is in a datagram of the client's: it raises the limit, read or not.
 * Section 8.1: "For the purposes of avoiding amplification prior to address validation, servers
 * MUST count all of the payload bytes received in datagrams that are uniquely attributed to a
 * single connection." */
static void all_bytes_of_the_client_count(void)
{
    static const struct {
        const char *name;
        uint8_t head[6];
        uint8_t tail[4]; /* behind the connection ID */
    } cases[] = {
        {"Handshake without keys", {0xe0, 0, 0, 0, 1, 8}, {0, 0x44, 0x9f}},
        {"Initial that does not open", {0xc0, 0, 0, 0, 1, 8}, {0, 0, 0x44, 0x9e}},
        {"0-RTT", {0xd0, 0, 0, 0, 1, 8}, {0, 0x44, 0x9f}},
        {"Retry", {0xf0, 0, 0, 0, 1, 8}, {0}},
        {"another version", {0xc0, 0x2a, 0x2a, 0x2a, 0x2a, 8}, {0}},
        {"no fixed bit", {0x80, 0, 0, 0, 1, 8}, {0, 0, 0x44, 0x9e}},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct peer *p = peer_at(S, PEER_HELLO);
        uint8_t bytes[MR_INITIAL_MIN];

        peer_advance(p, 2 * MR_SECOND);
        CU_ASSERT_TRUE(p->bytes > 2 * p->hello.size && p->bytes <= 3 * p->hello.size);
        uint64_t before = p->bytes;
        memset(bytes, 0x5e, sizeof(bytes));
        memcpy(bytes, cases[i].head, sizeof(cases[i].head));
        memcpy(bytes + 6, p->dcid.bytes, PEER_CID_SIZE);
        memcpy(bytes + 14, cases[i].tail, sizeof(cases[i].tail));
        peer_deliver(p, bytes, sizeof(bytes));
        CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
        peer_advance(p, 4 * MR_SECOND); /* a probe timeout wants to send */
        if (p->bytes == before)
            fprintf(stderr, "# %s\n", cases[i].name);
        CU_ASSERT_TRUE(p->bytes > before);
        CU_ASSERT_TRUE(p->bytes <= 3 * (p->hello.size + sizeof(bytes)));
        peer_end(p);
    }
}

/* Section 8.1: "the server MUST NOT" answer for another address: bytes from elsewhere do not
 * raise the limit. */
static void bytes_of_another_address_do_not_count(void)
{
    struct hello hello;
    struct peer *p = server_with_hello(&hello);

    peer_deliver(p, hello.bytes, hello.size);
    p->path.remote.port++;
    for (int i = 0; i < 5; i++)
        peer_deliver(p, hello.bytes, hello.size);
    peer_advance(p, 5 * MR_SECOND);
    CU_ASSERT_TRUE(p->bytes <= 3 * hello.size);
    peer_end(p);
}

/* Section 14.1: "a server MUST expand the payload of all UDP datagrams carrying ack-eliciting
 * Initial packets to at least the smallest allowed maximum datagram size of 1200 bytes."
 * Section 8.1: "Clients MUST ensure that UDP datagrams containing Initial packets have UDP payloads
 * of at least 1200 bytes, adding PADDING frames as necessary." Section 14.1: "A client MUST expand
 * the payload of all UDP datagrams carrying Initial packets to at least the smallest allowed
 * maximum datagram size of 1200 bytes by adding PADDING frames to the Initial packet or by
 * coalescing the Initial packet."
 * RFC 9001, Section 9.3: "First, the packet containing a ClientHello MUST be padded to a minimum
 * size." */
static void datagrams_with_initials_are_padded(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = peer_at((enum mr_role)role, PEER_HELLO);

        peer_advance(p, 3 * MR_SECOND);
        CU_ASSERT_TRUE(p->inbox_count > 0);
        for (uint32_t i = 0; i < p->inbox_count; i++) {
            const struct peer_packet *packet = &p->inbox[i];
            if (packet->type != MR_PACKET_INITIAL)
                continue;
            CU_ASSERT_TRUE(packet->is_open);
            CU_ASSERT_TRUE(packet->datagram_size >= MR_INITIAL_MIN);
        }
        peer_end(p);
    }
}

/* Send an Initial with a connection ID that the server does not know. */
static void send_another_initial(struct peer *p, uint8_t number)
{
    struct mr_cid cid = {.size = PEER_CID_SIZE, .bytes = {number, 7, 7, 7, 7, 7, 7, 7}};

    peer_clear(p);
    send_first_initial(p, &cid);
}

/* Section 5.2.2: "If a server refuses to accept a new connection, it SHOULD send an Initial packet
 * containing a CONNECTION_CLOSE frame with error code CONNECTION_REFUSED." */
static void a_connection_too_many_is_refused(void)
{
    struct peer_options options = {.under_test = S, .connections = 1};
    struct peer *p = peer_new(&options);

    peer_run(p, PEER_DONE);
    for (uint8_t i = 0; i < 3; i++) {
        send_another_initial(p, i);
        CU_ASSERT_EQUAL_FATAL(p->inbox_count, 1);
        CU_ASSERT_EQUAL(first(p)->type, MR_PACKET_INITIAL);
        CU_ASSERT_TRUE(first(p)->datagram_size < MR_INITIAL_MIN / 3);
        CU_ASSERT_TRUE(mr_cid_equal(&first(p)->dcid, &p->scid));
        CU_ASSERT_EQUAL(peer_close_error(p, NULL), MR_CONNECTION_REFUSED);
    }
    CU_ASSERT_EQUAL(peer_counters(p)->limit_connections, 3);
    CU_ASSERT_EQUAL(peer_counters(p)->refusals_needed, 3);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    peer_end(p);
}

/* The same, for there is no connection any more that it could become. */
static void a_server_that_ends_refuses_connections(void)
{
    struct peer_options options = {.under_test = S, .connections = 4};
    struct peer *p = peer_new(&options);

    peer_run(p, PEER_DONE);
    mr_endpoint_close_all(peer_endpoint(p), 7, p->now);
    send_another_initial(p, 0); /* the last of the connection that there was comes as well */
    for (uint8_t i = 1; i < 3; i++) {
        send_another_initial(p, i);
        CU_ASSERT_EQUAL_FATAL(p->inbox_count, 1);
        CU_ASSERT_EQUAL(first(p)->type, MR_PACKET_INITIAL);
        CU_ASSERT_EQUAL(peer_close_error(p, NULL), MR_CONNECTION_REFUSED);
    }
    CU_ASSERT_EQUAL(peer_counters(p)->connections_accepted, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->refusals_needed, 3);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_connections, 0);
    peer_end(p);
}

/* Handshakes that are under way may all be an attacker's: an honest client is not turned away. */
static void a_handshake_too_many_is_dropped(void)
{
    struct peer *p = peer_at(S, PEER_NOTHING);

    for (uint8_t i = 0; i < 4; i++) {
        send_another_initial(p, i);
        CU_ASSERT_TRUE(p->inbox_count > 0);
    }
    send_another_initial(p, 4);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_handshakes, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->refusals_needed, 0);
    peer_end(p);
}

/* ------------------------------------------------------------------ coalescing, duplicates */

/* Section 12.2: "Receivers SHOULD ignore any subsequent packets with a different Destination
 * Connection ID than the first packet in the datagram." */
static void coalesced_packets_with_another_dcid_are_dropped(void)
{
    struct peer *p = peer_at(S, PEER_FLIGHT);
    struct mr_cid other = p->dcid;
    uint8_t bytes[PEER_DATAGRAM];
    struct peer_out good = {
        .type = MR_PACKET_HANDSHAKE, .frames = "\1", .size = 1, .pn = PEER_NEXT_PN};
    struct peer_out bad = {.type = MR_PACKET_HANDSHAKE,
                           .frames = "\x1f",
                           .size = 1,
                           .pn = PEER_NEXT_PN,
                           .dcid = &other};

    other.bytes[7] ^= 1;
    size_t size = peer_build(p, &good, bytes, sizeof(bytes));
    size += peer_build(p, &bad, bytes + size, sizeof(bytes) - size);
    peer_deliver(p, bytes, size);
    peer_expect_close(p, "another DCID", PEER_NO_CLOSE, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_other_cid, 1);
    bad.dcid = NULL;
    size = peer_build(p, &good, bytes, sizeof(bytes));
    size += peer_build(p, &bad, bytes + size, sizeof(bytes) - size);
    peer_deliver(p, bytes, size);
    peer_expect_close(p, "the same DCID", MR_FRAME_ENCODING_ERROR, 0x1f);
    peer_end(p);
}

/* Section 12.2: a packet that cannot be processed does not stop those behind it.
 * Section 12.2: "For example, if decryption fails (because the keys are not available or for any
 * other reason), the receiver MAY either discard or buffer the packet for later processing and MUST
 * attempt to process the remaining packets." */
static void packets_behind_a_forged_one_are_processed(void)
{
    struct peer *p = peer_at(S, PEER_FLIGHT);
    uint8_t bytes[PEER_DATAGRAM];
    struct peer_out ping = {
        .type = MR_PACKET_HANDSHAKE, .frames = "\1", .size = 1, .pn = PEER_NEXT_PN};

    peer_clear(p);
    size_t size = peer_build(p, &ping, bytes, sizeof(bytes));
    bytes[size - 1] ^= 1;
    size += peer_build(p, &ping, bytes + size, sizeof(bytes) - size);
    peer_deliver(p, bytes, size);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_undecryptable, 1);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_ACK) >= 1);
    peer_end(p);
}

/* Section 12.3: "A receiver MUST discard a newly unprotected packet unless it is certain that it
 * has not processed another packet with the same packet number from the same packet number space."
 */
static void duplicates_are_dropped(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct peer_out out = {
        .type = MR_PACKET_ONE_RTT, .frames = "\x1a\1\2\3\4\5\6\7\10", .size = 9, .pn = 5000};

    peer_send_packet(p, &out);
    for (int i = 0; i < 10; i++)
        peer_send_packet(p, &out);
    out.frames = "\x1f"; /* another packet of that number */
    out.size = 1;
    peer_send_packet(p, &out);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_RESPONSE), 1);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_duplicate, 11);
    peer_expect_close(p, "duplicates", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 7.2: "if subsequent Initial packets include a different Source Connection ID, they MUST
 * be discarded."
 * Section 7.2: "A server MUST set the Destination Connection ID it uses for sending packets based
 * on the first received Initial packet." */
static void a_changed_scid_is_dropped(void)
{
    struct peer *p = peer_at(S, PEER_HELLO);
    struct mr_cid first_scid = p->scid;

    peer_clear(p);
    p->scid.bytes[0] ^= 1;
    peer_send(p, MR_PACKET_INITIAL, "\x1f", 1);
    peer_expect_close(p, "another SCID", PEER_NO_CLOSE, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_other_cid, 1);
    peer_advance(p, 3 * MR_SECOND);
    CU_ASSERT_TRUE(p->inbox_count > 0);
    for (uint32_t i = 0; i < p->inbox_count; i++)
        CU_ASSERT_TRUE(mr_cid_equal(&p->inbox[i].dcid, &first_scid));
    peer_end(p);
}

/* Section 7.2: "Once a client has received a valid Initial packet from the server, it MUST discard
 * any subsequent packet it receives on that connection with a different Source Connection ID."
 * Section 7.2: "A client MUST change the Destination Connection ID it uses for sending packets in
 * response to only the first received Initial or Retry packet." */
static void a_client_keeps_to_the_first_scid(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);
    struct mr_cid before = p->scid;

    peer_send(p, MR_PACKET_INITIAL, "\1", 1);
    p->scid.bytes[0] ^= 1;
    peer_send(p, MR_PACKET_INITIAL, "\x1f", 1);
    peer_expect_close(p, "another SCID", PEER_NO_CLOSE, 0);
    CU_ASSERT_TRUE(mr_cid_equal(&mr_cid_current(peer_conn(p))->cid, &before));
    peer_end(p);
}

/* Section 17.2.2: "clients that receive an Initial packet with a non-zero Token Length field MUST
 * either discard the packet or generate a connection error of type PROTOCOL_VIOLATION." */
static void a_client_takes_no_token_in_an_initial(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);

    peer_clear(p);
    peer_send_packet(p, &(struct peer_out){.type = MR_PACKET_INITIAL,
                                           .frames = "\1",
                                           .size = 1,
                                           .pn = PEER_NEXT_PN,
                                           .token = (const uint8_t *)"token",
                                           .token_size = 5});
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->packets_received, 0);
    peer_end(p);
}

/* A server believes neither Retry nor 0-RTT without keys nor Handshake packets for nobody.
 * Section 5.2.2: "Servers MUST drop incoming packets under all other circumstances." */
static void packets_for_nobody_are_dropped(void)
{
    static const uint8_t first_bytes[] = {0xd0, 0xe0, 0xf0};
    struct peer *p = peer_at(S, PEER_NOTHING);
    uint8_t bytes[MR_INITIAL_MIN] = {0, 0, 0, 0, 1, 8};

    memcpy(bytes + 6, "unknown!", 8);
    bytes[15] = 0x44;
    for (size_t i = 0; i < MR_COUNT_OF(first_bytes); i++) {
        bytes[0] = first_bytes[i];
        peer_deliver(p, bytes, sizeof(bytes));
    }
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"an unknown version is answered with ours", an_unknown_version_is_answered_with_ours},
    {"answers that wait are bounded", answers_that_wait_are_bounded},
    {"Version Negotiation is not answered to anything else",
     version_negotiation_is_not_answered_to_anything_else},
    {"a client believes Version Negotiation only when it may",
     a_client_believes_version_negotiation_only_when_it_may},
    {"small Initials are dropped", small_initials_are_dropped},
    {"short first connection IDs are dropped", short_first_connection_ids_are_dropped},
    {"garbage leaves no state", garbage_leaves_no_state},
    {"strangers behind an Initial leave nothing", strangers_behind_an_initial_leave_nothing},
    {"empty and tiny datagrams are dropped", empty_and_tiny_datagrams_are_dropped},
    {"a server sends at most three times what came", a_server_sends_at_most_three_times_what_came},
    {"a connection too many is refused", a_connection_too_many_is_refused},
    {"a server that ends refuses connections", a_server_that_ends_refuses_connections},
    {"a handshake too many is dropped", a_handshake_too_many_is_dropped},
    {"bytes of another address do not count", bytes_of_another_address_do_not_count},
    {"all bytes of the client count", all_bytes_of_the_client_count},
    {"datagrams with Initials are padded", datagrams_with_initials_are_padded},
    {"coalesced packets with another DCID are dropped",
     coalesced_packets_with_another_dcid_are_dropped},
    {"packets behind a forged one are processed", packets_behind_a_forged_one_are_processed},
    {"duplicates are dropped", duplicates_are_dropped},
    {"a changed SCID is dropped", a_changed_scid_is_dropped},
    {"a client keeps to the first SCID", a_client_keeps_to_the_first_scid},
    {"a client takes no token in an Initial", a_client_takes_no_token_in_an_initial},
    {"packets for nobody are dropped", packets_for_nobody_are_dropped},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 first datagrams", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
