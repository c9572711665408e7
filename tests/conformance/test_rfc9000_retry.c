/*
 * tests/conformance/test_rfc9000_retry.c - RFC 9000, Sections 8.1.2, 17.2.5: Retry, both sides.
 */
#include <stdio.h>

#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

/* A server that answers every Initial with Retry, and the Retry it gave us. */
struct retried {
    struct peer *p;
    struct mr_cid scid; /* its new connection ID */
    uint8_t token[256];
    uint16_t token_size;
};

/* Keep what the Retry in the inbox says, and speak as it wants. */
static void take_retry(struct retried *x)
{
    struct mr_packet_header header;

    CU_ASSERT_EQUAL_FATAL(x->p->inbox_count, 1);
    const struct peer_packet *packet = &x->p->inbox[0];
    CU_ASSERT_EQUAL_FATAL(packet->type, MR_PACKET_RETRY);
    CU_ASSERT_EQUAL(mr_packet_parse(packet->bytes, packet->size, 8, &header), MR_PACKET_OK);
    CU_ASSERT_TRUE(mr_cid_view_equal(header.dcid, &x->p->scid));
    CU_ASSERT_FALSE(mr_cid_view_equal(header.scid, &x->p->dcid));
    CU_ASSERT_TRUE(mr_retry_tag_verify(&peer_endpoint(x->p)->tokens, mr_cid_view(&x->p->dcid),
                                       packet->bytes, packet->size));
    mr_cid_copy(&x->scid, header.scid);
    x->token_size = header.token_size;
    memcpy(x->token, header.token, header.token_size);
    peer_set_initial_keys(x->p, &x->scid);
    peer_clear(x->p);
}

static struct retried get_retry_of(const struct peer_options *options, uint32_t version)
{
    struct retried x = {.p = peer_new(options)};

    peer_run(x.p, PEER_NOTHING);
    x.p->version = version;
    peer_set_initial_keys(x.p, &x.p->dcid);
    peer_send(x.p, MR_PACKET_INITIAL, "\1", 1);
    take_retry(&x);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(x.p)), 0);
    return x;
}

static struct retried get_retry(void)
{
    return get_retry_of(&(struct peer_options){.under_test = S, .retry_above = PEER_ALWAYS_RETRY},
                        MR_VERSION_1);
}

/* Another client's first Initial, from the same address. */
static void send_other_initial(struct peer *p, uint8_t number)
{
    p->dcid.bytes[0] = number;
    peer_clear(p);
    peer_set_initial_keys(p, &p->dcid);
    peer_send(p, MR_PACKET_INITIAL, "\1", 1);
}

static void send_token(struct retried *x)
{
    peer_send_packet(x->p, &(struct peer_out){.type = MR_PACKET_INITIAL,
                                              .frames = "\1",
                                              .size = 1,
                                              .pn = PEER_NEXT_PN,
                                              .dcid = &x->scid,
                                              .token = x->token,
                                              .token_size = x->token_size});
}

/* Section 8.1.3: "When a server receives an Initial packet with an address validation token, it
 * MUST attempt to validate the token, unless it has already completed address validation."
 * Section 17.2.5.1: "This value MUST NOT be equal to the Destination Connection ID field of the
 * packet sent by the client." */
static void a_token_comes_back_and_is_accepted(void)
{
    struct retried x = get_retry();

    send_token(&x);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(x.p)), 1);
    CU_ASSERT_TRUE(peer_count(x.p, MR_FRAME_ACK) > 0);
    CU_ASSERT_TRUE(peer_conn(x.p)->path.is_validated);
    CU_ASSERT_EQUAL(peer_counters(x.p)->tokens_valid, 1);
    send_token(&x); /* the Initial again is the same connection's */
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(x.p)), 1);
    peer_end(x.p);
}

/* Section 8.1.2: "the server SHOULD immediately close (Section 10.2) the connection with an
 * INVALID_TOKEN error." */
static void expect_refused(struct retried *x, const char *name, bool is_malformed)
{
    send_token(x);
    CU_ASSERT_EQUAL(peer_close_error(x->p, NULL), MR_INVALID_TOKEN);
    if (peer_close_error(x->p, NULL) != MR_INVALID_TOKEN)
        fprintf(stderr, "# %s\n", name);
    CU_ASSERT_EQUAL(peer_counters(x->p)->tokens_malformed, is_malformed);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(x->p)), 0);
    peer_end(x->p);
}

/* Section 8.1.2: "If a server receives a client Initial that contains an invalid Retry token but is
 * otherwise valid": one that was altered on the way is not, and ends nothing. */
static void an_altered_initial_is_dropped_whatever_its_token(void)
{
    struct retried x = get_retry();
    struct mr_cid other = x.scid;

    other.bytes[0] ^= 1;
    peer_set_initial_keys(x.p, &other);
    x.token[40] ^= 1;
    send_token(&x);
    CU_ASSERT_EQUAL(peer_close_error(x.p, NULL), PEER_NO_CLOSE);
    CU_ASSERT_EQUAL(peer_counters(x.p)->refusals_needed, 0);
    CU_ASSERT_EQUAL(peer_counters(x.p)->dropped_undecryptable, 1);
    x.token[40] ^= 1;
    peer_set_initial_keys(x.p, &x.scid);
    send_token(&x); /* the client's own */
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(x.p)), 1);
    peer_end(x.p);
}

/* RFC 9369, Section 4.1: "The client MUST NOT use a different version in the subsequent Initial
 * packet that contains the Retry token.  The server MAY encode the QUIC version in its Retry token
 * to validate that the client did not switch versions, and drop the packet if it switched, to
 * enforce client compliance." */
static void a_token_of_another_version_is_refused(void)
{
    static const uint32_t versions[] = {MR_VERSION_1, MR_VERSION_2};

    for (size_t i = 0; i < 4; i++) {
        struct peer_options options = {.under_test = S, .retry_above = PEER_ALWAYS_RETRY};
        struct retried x = get_retry_of(&options, versions[i / 2]);
        bool is_same = i / 2 == i % 2;

        x.p->version = versions[i % 2];
        peer_set_initial_keys(x.p, &x.scid);
        send_token(&x);
        CU_ASSERT_EQUAL(peer_close_error(x.p, NULL), is_same ? PEER_NO_CLOSE : MR_INVALID_TOKEN);
        CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(x.p)), is_same);
        CU_ASSERT_EQUAL(peer_counters(x.p)->tokens_valid, is_same);
        peer_end(x.p);
    }
}

static void a_token_of_another_address_is_refused(void)
{
    struct retried x = get_retry();

    x.p->path.remote.ip[15] ^= 1;
    expect_refused(&x, "address", false);
    x = get_retry();
    x.p->path.remote.port++;
    expect_refused(&x, "port", false);
}

static void a_late_or_altered_token_is_refused(void)
{
    struct retried x = get_retry();

    x.p->now += 60 * MR_SECOND;
    expect_refused(&x, "late", false);
    x = get_retry();
    x.token[40] ^= 1;
    expect_refused(&x, "altered", true);
    x = get_retry();
    x.scid.bytes[0] ^= 1; /* not the connection ID that Retry gave */
    peer_set_initial_keys(x.p, &x.scid);
    expect_refused(&x, "connection ID", false);
}

/* Section 8.1.2: "If a server receives a client Initial that contains an invalid Retry token but is
 * otherwise valid, it knows the client will not accept another Retry token. The server can discard
 * such a packet and allow the client to time out to detect handshake failure, but that could impose
 * a significant latency penalty on the client. Instead, the server SHOULD immediately close
 * (Section 10.2) the connection with an INVALID_TOKEN error." */
static void a_cut_or_grown_token_is_refused(void)
{
    static const uint16_t sizes[] = {
        1, 2, 17, 40, MR_TOKEN_NEW_SIZE, MR_TOKEN_RETRY_SIZE - 1, MR_TOKEN_RETRY_SIZE + 1};

    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++) {
        struct retried x = get_retry();

        x.token_size = sizes[i];
        expect_refused(&x, "cut or grown", true);
    }
}

/* Section 8.1.3: "If the token is invalid, then the server SHOULD proceed as if the client did not
 * have a validated address, including potentially sending a Retry packet." */
static void a_token_of_no_kind_is_ignored(void)
{
    for (int i = 0; i < 2; i++) {
        struct retried x = get_retry();

        if (i == 0) {
            x.token[0] = 0x77;
        } else { /* another server's: of no size, and to no connection ID of ours */
            x.token_size--;
            x.scid.bytes[0] ^= 1;
            peer_set_initial_keys(x.p, &x.scid);
        }
        send_token(&x);
        CU_ASSERT_EQUAL_FATAL(x.p->inbox_count, 1);
        CU_ASSERT_EQUAL(x.p->inbox[0].type, MR_PACKET_RETRY);
        peer_end(x.p);
    }
}

static void a_handshake_with_retry_completes(void)
{
    struct peer_options options = {.under_test = S, .retry_above = PEER_ALWAYS_RETRY};
    struct peer *p = peer_new(&options);

    peer_run(p, PEER_DONE);
    CU_ASSERT_EQUAL(peer_counters(p)->retries_sent, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->tokens_valid, 1);
    CU_ASSERT_TRUE(peer_conn(p)->is_confirmed);
    peer_end(p);
}

/* Two Initials in a datagram.
 * Section 17.2.5.1: "A server MUST NOT send more than one Retry packet in response to a single UDP
 * datagram." */
static void a_datagram_is_answered_with_one_retry(void)
{
    struct peer_options options = {.under_test = S, .retry_above = PEER_ALWAYS_RETRY};
    struct peer *p = peer_new(&options);
    struct peer_out initial = {
        .type = MR_PACKET_INITIAL, .frames = "\1", .size = 1, .pn = PEER_NEXT_PN};
    uint8_t bytes[PEER_DATAGRAM] = {0};

    peer_run(p, PEER_NOTHING);
    size_t size = peer_build(p, &initial, bytes, sizeof(bytes));
    size += peer_build(p, &initial, bytes + size, sizeof(bytes) - size);
    peer_deliver(p, bytes, MR_MAX(size, (size_t)MR_INITIAL_MIN));
    CU_ASSERT_EQUAL(p->inbox_count, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->retries_sent, 1);
    peer_end(p);
}

/* A NEW_TOKEN token of another address validates nothing; of this one it does.
 * Section 8.1.3: "When a server receives an Initial packet with an address validation token, it
 * MUST attempt to validate the token, unless it has already completed address validation."
 * Section 8.1.4: "If the client IP address has changed, the server MUST adhere to the
 * anti-amplification limit." */
static void a_new_token_is_of_one_address(void)
{
    for (int is_other = 0; is_other < 2; is_other++) {
        struct retried x = {.p = peer_new(&(struct peer_options){.under_test = S}),
                            .scid = {.size = 8, .bytes = {9, 9, 9, 9, 9, 9, 9, 9}},
                            .token_size = MR_TOKEN_NEW_SIZE};

        peer_run(x.p, PEER_NOTHING);
        struct mr_addr client = x.p->path.remote;
        client.ip[15] ^= (uint8_t)is_other;
        mr_token_write_new(&peer_endpoint(x.p)->tokens, MR_VERSION_1, &client,
                           &(struct mr_saved_path){0}, 1, x.token,
                           mr_endpoint_wall_s(peer_endpoint(x.p), x.p->now));
        peer_set_initial_keys(x.p, &x.scid);
        send_token(&x);
        CU_ASSERT_EQUAL_FATAL(mr_endpoint_conn_count(peer_endpoint(x.p)), 1);
        CU_ASSERT_EQUAL(mr_conn_at(peer_endpoint(x.p), 0)->path.is_validated, is_other == 0);
        peer_end(x.p);
    }
}

/* Section 8.1.2: while few handshakes are under way nobody is asked for its address; when
 * there are more, everybody is, and whoever has it is served. */
static void handshakes_under_way_turn_retry_on(void)
{
    struct retried x = {.p = peer_new(&(struct peer_options){.under_test = S, .retry_above = 2})};

    peer_run(x.p, PEER_NOTHING);
    for (uint8_t i = 0; i < 5; i++) {
        send_other_initial(x.p, i);
        CU_ASSERT_TRUE_FATAL(x.p->inbox_count > 0);
        CU_ASSERT_EQUAL(x.p->inbox[0].type == MR_PACKET_RETRY, i >= 2);
    }
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(x.p)), 2);
    CU_ASSERT_EQUAL(peer_counters(x.p)->retries_needed, 3);
    take_retry(&x);
    send_token(&x);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(x.p)), 3);
    CU_ASSERT_EQUAL(peer_counters(x.p)->tokens_valid, 1);
    peer_end(x.p);
}

/* quinn CVE-2024-45311: an Initial that comes again after its Retry and its refusal. */
static void a_token_at_a_full_server_is_refused_as_often_as_it_comes(void)
{
    struct retried first = get_retry_of(
        &(struct peer_options){.under_test = S, .retry_above = PEER_ALWAYS_RETRY, .connections = 1},
        MR_VERSION_1);
    struct retried second = first;

    send_other_initial(second.p, 0x77);
    take_retry(&second);
    peer_set_initial_keys(first.p, &first.scid);
    send_token(&first);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(first.p)), 1);
    peer_set_initial_keys(second.p, &second.scid);
    for (uint64_t i = 1; i <= 3; i++) {
        peer_clear(second.p);
        send_token(&second);
        CU_ASSERT_EQUAL(peer_close_error(second.p, NULL), MR_CONNECTION_REFUSED);
        CU_ASSERT_EQUAL(peer_counters(second.p)->limit_connections, i);
    }
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(first.p)), 1);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(first.p)));
    peer_end(first.p);
}

/* ------------------------------------------------------------------ the client's side */

static const struct mr_cid retry_scid = {.size = 8, .bytes = {0xee, 1, 2, 3, 4, 5, 6, 7}};

/* A Retry for the client under test; its token is "a token" and as many zeros as it takes. */
static size_t make_long_retry(struct peer *p, uint32_t version, const struct mr_cid *scid,
                              uint16_t token_size, uint8_t *bytes)
{
    uint8_t token[MR_TOKEN_SENT_MAX + 1] = "a token";
    struct mr_endpoint *ep = p->side[S].ep;
    struct mr_cid original = mr_conn_handshake(peer_endpoint(p), peer_conn(p))->original_dcid;
    struct mr_packet_header header = {.type = MR_PACKET_RETRY,
                                      .version = version,
                                      .dcid = mr_cid_view(&p->dcid),
                                      .scid = mr_cid_view(scid),
                                      .token = token,
                                      .token_size = token_size};
    struct mr_writer w = mr_writer(bytes, token_size + 193u);
    uint8_t *tag = mr_packet_write_retry(&w, &header, 0);

    mr_retry_tag(&ep->tokens, mr_cid_view(&original), bytes, (size_t)(tag - bytes), tag);
    return mr_writer_size(&w);
}

static size_t make_retry_of(struct peer *p, uint32_t version, const struct mr_cid *scid,
                            uint8_t *bytes)
{
    return make_long_retry(p, version, scid, 7, bytes);
}

static size_t make_retry(struct peer *p, const struct mr_cid *scid, uint8_t *bytes)
{
    return make_retry_of(p, MR_VERSION_1, scid, bytes);
}

/* Section 17.2.5.2: the client sends Initials with the token to the new connection ID;
 * Section 17.2.5.3: "A client MUST NOT reset the packet number for any packet number space after
 * processing a Retry packet."
 * Section 7.2: "A client MUST change the Destination Connection ID it uses for sending packets in
 * response to only the first received Initial or Retry packet." Section 8.1.2: "This token MUST be
 * repeated by the client in all Initial packets it sends for that connection after it receives the
 * Retry packet." Section 17.2.5.1: "The client MUST use the value from the Source Connection ID
 * field of the Retry packet in the Destination Connection ID field of subsequent packets that it
 * sends." Section 17.2.5.2: "The client MUST NOT change the Source Connection ID because the server
 * could include the connection ID as part of its token validation logic." Section 17.2.5.3: "A
 * client MUST use the same cryptographic handshake message it included in this packet." */
static void a_client_follows_retry(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);
    uint8_t bytes[200];
    struct mr_reader r;
    size_t size = make_retry(p, &retry_scid, bytes);

    uint8_t hello[PEER_DATAGRAM];
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_CRYPTO, 0, &r));
    memcpy(hello, r.at, 200);
    uint64_t scid = peer_conn(p)->issued.key[0];
    peer_clear(p);
    peer_set_initial_keys(p, &retry_scid);
    p->expected_pn[MR_SPACE_INITIAL] = 0;
    peer_deliver(p, bytes, size);
    CU_ASSERT_EQUAL(peer_counters(p)->retries_received, 1);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_CRYPTO, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_TRUE(mr_cid_equal(&packet->dcid, &retry_scid));
    CU_ASSERT_TRUE(packet->pn > 0);
    CU_ASSERT_TRUE(packet->datagram_size >= MR_INITIAL_MIN);
    CU_ASSERT_EQUAL(memcmp(r.at, hello, 200), 0);
    CU_ASSERT_EQUAL(mr_read_varint(&r), 0); /* the ClientHello from its start */
    CU_ASSERT_EQUAL(peer_conn(p)->issued.key[0], scid);
    const struct mr_handshake *hs = mr_conn_handshake(peer_endpoint(p), peer_conn(p));
    CU_ASSERT_EQUAL(hs->token_size, 7);

    /* Section 17.2.5.2: "A client MUST accept and process at most one Retry packet for each
     * connection attempt." */
    struct mr_cid other = retry_scid;
    other.bytes[0] ^= 1;
    size = make_retry(p, &other, bytes);
    peer_deliver(p, bytes, size);
    CU_ASSERT_EQUAL(peer_counters(p)->retries_received, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_retry_invalid, 1);
    CU_ASSERT_TRUE(mr_cid_equal(&mr_cid_current(peer_conn(p))->cid, &retry_scid));
    peer_advance(p, 5 * MR_SECOND);
    CU_ASSERT_TRUE(p->inbox_count > 2);
    for (uint32_t i = 0; i < p->inbox_count; i++) {
        CU_ASSERT_EQUAL(p->inbox[i].token_size, 7);
        CU_ASSERT_TRUE(mr_cid_equal(&p->inbox[i].dcid, &retry_scid));
    }
    peer_end(p);
}

/* Section 8.1.2: "This token MUST be repeated by the client in all Initial packets it sends for
 * that connection after it receives the Retry packet." A long one leaves little room: the
 * ClientHello goes in more of them.  One that leaves none is the Retry of nobody we could talk to.
 */
static void a_long_token_is_returned_whole(void)
{
    static const uint16_t sizes[] = {256, 257, 700, MR_TOKEN_SENT_MAX, MR_TOKEN_SENT_MAX + 1};

    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++) {
        bool is_taken = sizes[i] <= MR_TOKEN_SENT_MAX;
        struct peer *p = peer_at(C, PEER_HELLO);
        uint8_t bytes[MR_TOKEN_SENT_MAX + 200];
        size_t size = make_long_retry(p, MR_VERSION_1, &retry_scid, sizes[i], bytes);

        peer_clear(p);
        peer_set_initial_keys(p, &retry_scid);
        p->expected_pn[MR_SPACE_INITIAL] = 0;
        peer_deliver(p, bytes, size);
        CU_ASSERT_EQUAL(peer_counters(p)->retries_received, is_taken);
        CU_ASSERT_EQUAL(peer_counters(p)->dropped_retry_invalid, !is_taken);
        CU_ASSERT_EQUAL(p->inbox_count > 0, is_taken);
        uint64_t hello = 0; /* bytes of it that came, in order */
        for (uint32_t k = 0; k < p->inbox_count; k++) {
            CU_ASSERT_EQUAL(p->inbox[k].token_size, sizes[i]);
            CU_ASSERT_TRUE(p->inbox[k].datagram_size >= MR_INITIAL_MIN);
        }
        struct mr_reader r;
        for (uint32_t k = 0; peer_find(p, MR_FRAME_CRYPTO, k, &r) != NULL; k++) {
            CU_ASSERT_EQUAL(mr_read_varint(&r), hello);
            hello += mr_read_varint(&r);
        }
        CU_ASSERT_TRUE(hello > 200 || !is_taken);
        peer_end(p);
    }
}

static void expect_ignored(struct peer *p, const uint8_t *bytes, size_t size, const char *name)
{
    struct mr_cid before = mr_cid_current(peer_conn(p))->cid;

    peer_clear(p);
    peer_deliver(p, bytes, size);
    bool is_ignored = peer_counters(p)->retries_received == 0 && p->inbox_count == 0;
    if (!is_ignored)
        fprintf(stderr, "# %s\n", name);
    CU_ASSERT_TRUE(is_ignored);
    CU_ASSERT_TRUE(mr_cid_equal(&mr_cid_current(peer_conn(p))->cid, &before));
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
}

static void a_client_ignores_what_is_no_retry(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);
    uint8_t bytes[200];
    size_t size = make_retry(p, &retry_scid, bytes);
    struct mr_cid original = mr_cid_current(peer_conn(p))->cid;

    /* Section 17.2.5.2: "Clients MUST discard Retry packets that have a Retry Integrity Tag that
     * cannot be validated". */
    for (size_t i = size - MR_RETRY_TAG; i < size; i++) {
        bytes[i] ^= 0x10;
        expect_ignored(p, bytes, size, "wrong tag");
        bytes[i] ^= 0x10;
    }
    bytes[size - MR_RETRY_TAG - 1] ^= 1;
    expect_ignored(p, bytes, size, "altered token");
    expect_ignored(p, bytes, size - 1, "cut");
    /* Section 17.2.5.2: "A client MUST discard a Retry packet with a zero-length Retry Token
     * field." */
    expect_ignored(p, bytes, size - MR_RETRY_TAG - 7, "no token");
    /* RFC 9369, Section 4.1: "If the server sends a Retry packet, it MUST use the original version.
     * The client ignores Retry packets using other versions." */
    size = make_retry_of(p, MR_VERSION_2, &retry_scid, bytes);
    expect_ignored(p, bytes, size, "another version");
    /* Section 17.2.5.1: "A client MUST discard a Retry packet that contains a Source Connection ID
     * field that is identical to the Destination Connection ID field of its Initial packet." */
    size = make_retry(p, &original, bytes);
    expect_ignored(p, bytes, size, "the same connection ID");
    /* Section 17.2.5.2: "After the client has received and processed an Initial or Retry packet
     * from the server, it MUST discard any subsequent Retry packets that it receives." */
    size = make_retry(p, &retry_scid, bytes);
    peer_send(p, MR_PACKET_INITIAL, "\1", 1);
    expect_ignored(p, bytes, size, "after an Initial");
    peer_end(p);
    p = peer_at(S, PEER_HELLO); /* nor does a server follow one */
    peer_clear(p);
    uint8_t long_retry[MR_INITIAL_MIN] = {0xf0, 0, 0, 0, 1, 8};
    memcpy(long_retry + 6, p->dcid.bytes, 8);
    peer_deliver(p, long_retry, sizeof(long_retry));
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"a token comes back and is accepted", a_token_comes_back_and_is_accepted},
    {"8.1.2 an altered Initial is dropped whatever its token",
     an_altered_initial_is_dropped_whatever_its_token},
    {"a token of another version is refused", a_token_of_another_version_is_refused},
    {"a token of another address is refused", a_token_of_another_address_is_refused},
    {"a late or altered token is refused", a_late_or_altered_token_is_refused},
    {"a cut or grown token is refused", a_cut_or_grown_token_is_refused},
    {"a token of no kind is ignored", a_token_of_no_kind_is_ignored},
    {"a handshake with Retry completes", a_handshake_with_retry_completes},
    {"a datagram is answered with one Retry", a_datagram_is_answered_with_one_retry},
    {"a NEW_TOKEN token is of one address", a_new_token_is_of_one_address},
    {"handshakes under way turn Retry on", handshakes_under_way_turn_retry_on},
    {"a token at a full server is refused as often as it comes",
     a_token_at_a_full_server_is_refused_as_often_as_it_comes},
    {"a client follows Retry", a_client_follows_retry},
    {"a long token is returned whole", a_long_token_is_returned_whole},
    {"a client ignores what is no Retry", a_client_ignores_what_is_no_retry},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 Retry", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
