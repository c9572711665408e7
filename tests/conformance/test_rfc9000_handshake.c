/*
 * tests/conformance/test_rfc9000_handshake.c - RFC 9000, Sections 7, 7.4, 7.5, 18; RFC 9001,
 * Sections 4, 6: transport parameters, CRYPTO data, and the order of the handshake.
 */
#include "quic/conn_early.h"
#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

/* ------------------------------------------------------------------ transport parameters */

/* The value of parameter `id`, and its size. */
static uint8_t *find_param(uint8_t *params, size_t size, uint64_t id, uint64_t *size_out)
{
    struct mr_reader r = mr_reader(params, size);

    while (mr_reader_left(&r) > 0) {
        uint64_t found = mr_read_varint(&r);
        *size_out = mr_read_varint(&r);
        uint8_t *value = params + (r.at - params);
        mr_read_bytes(&r, *size_out);
        if (found == id)
            return value;
    }
    return NULL;
}

/* What the next handshake's partner says wrongly: the first bytes of one value. */
static struct {
    uint64_t id;
    uint8_t first;
    bool is_renamed; /* `first` is another parameter's number: then that one comes twice */
} edit;

static void edit_params(uint8_t *params, size_t size)
{
    uint64_t value_size;
    uint8_t *value = find_param(params, size, edit.id, &value_size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(value);
    if (edit.is_renamed)
        value[-2] = edit.first;
    else
        value[0] = edit.first;
}

/* Section 7.4: "An endpoint MUST treat receipt of a transport parameter with an invalid value as a
 * connection error of type TRANSPORT_PARAMETER_ERROR."
 * Section 7.3: "Endpoints MUST validate that received transport parameters match received
 * connection ID values." */
static void bad_transport_parameters_end_the_handshake(void)
{
    static const struct {
        const char *name;
        enum mr_role under_test;
        uint64_t id;
        uint8_t first;
        bool is_renamed;
    } cases[] = {
        {"client's SCID is another", S, MR_PARAM_INITIAL_SCID, 0xff, false},
        {"server's SCID is another", C, MR_PARAM_INITIAL_SCID, 0xff, false},
        {"original DCID is another", C, MR_PARAM_ORIGINAL_DCID, 0x00, false},
        {"active_connection_id_limit 1", S, MR_PARAM_ACTIVE_CONNECTION_ID_LIMIT, 1, false},
        {"active_connection_id_limit 0", C, MR_PARAM_ACTIVE_CONNECTION_ID_LIMIT, 0, false},
        {"max_udp_payload_size 8", S, MR_PARAM_INITIAL_MAX_STREAMS_BIDI,
         MR_PARAM_MAX_UDP_PAYLOAD_SIZE, true},
        {"max_ack_delay 2^20", S, MR_PARAM_INITIAL_MAX_DATA, MR_PARAM_MAX_ACK_DELAY, true},
        {"ack_delay_exponent 2^20", C, MR_PARAM_INITIAL_MAX_DATA, MR_PARAM_ACK_DELAY_EXPONENT,
         true},
        {"no client SCID", S, MR_PARAM_INITIAL_SCID, 0x3f, true},
        {"no server SCID", C, MR_PARAM_INITIAL_SCID, 0x3f, true},
        {"no original DCID", C, MR_PARAM_ORIGINAL_DCID, 0x3f, true},
        {"a parameter twice", S, MR_PARAM_INITIAL_MAX_STREAMS_UNI,
         MR_PARAM_INITIAL_MAX_STREAMS_BIDI, true},
        {"retry SCID without Retry", C, MR_PARAM_ORIGINAL_DCID, 0x10, true},
        {"a client's reset token", S, MR_PARAM_INITIAL_SCID, MR_PARAM_STATELESS_RESET_TOKEN, true},
        {"a client's original DCID", S, MR_PARAM_INITIAL_SCID, MR_PARAM_ORIGINAL_DCID, true},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct peer_options options = {.under_test = cases[i].under_test,
                                       .edit_params = edit_params};
        struct peer *p = peer_new(&options);

        edit.id = cases[i].id;
        edit.first = cases[i].first;
        edit.is_renamed = cases[i].is_renamed;
        peer_run(p, PEER_HELLO);
        if (cases[i].under_test == C)
            peer_deliver_flight(p);
        CU_ASSERT_PTR_NULL(p->edit_params);
        peer_expect_close(p, cases[i].name, MR_TRANSPORT_PARAMETER_ERROR, PEER_ANY_FRAME);
        peer_end(p);
    }
}

/* ------------------------------------------------------------------ CRYPTO */

/* Section 7.5: "If an endpoint does not expand its buffer, it MUST close the connection with a
 * CRYPTO_BUFFER_EXCEEDED error code." */
static void crypto_data_beyond_the_buffer_ends_the_connection(void)
{
    static const struct peer_case cases[] = {
        {"1 MiB ahead", S, PEER_HELLO, MR_PACKET_INITIAL, PEER_BYTES("\x06\x80\x10\x00\x00\x01x"),
         MR_CRYPTO_BUFFER_EXCEEDED, 0x06},
        {"2^61 ahead", S, PEER_FLIGHT, MR_PACKET_HANDSHAKE,
         PEER_BYTES("\x06\xe0\x00\x00\x00\x00\x00\x00\x00\x01x"), MR_CRYPTO_BUFFER_EXCEEDED, 0x06},
        {"to a client", C, PEER_HELLO, MR_PACKET_INITIAL, PEER_BYTES("\x06\x80\x10\x00\x00\x01x"),
         MR_CRYPTO_BUFFER_EXCEEDED, 0x06},
        /* Section 7.5: "Implementations MUST support buffering at least 4096 bytes of data received
         * in out-of-order CRYPTO frames." */
        {"4,095 ahead", S, PEER_FLIGHT, MR_PACKET_HANDSHAKE, PEER_BYTES("\x06\x4f\xff\x01x"),
         PEER_NO_CLOSE, 0},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* Thousands of fragments of one byte, none in order: bounded memory, no error below the limit. */
static void crypto_fragments_cost_bounded_memory(void)
{
    struct peer *p = peer_at(S, PEER_HELLO);
    uint8_t frames[1000];

    peer_send(p, MR_PACKET_INITIAL, "\x06\x80\x10\x00\x00\x01x", 7); /* beyond the buffer */
    CU_ASSERT_EQUAL(peer_counters(p)->limit_crypto_buffer, 1);
    peer_end(p);
    p = peer_at(S, PEER_FLIGHT);

    for (uint32_t offset = 4000; offset > 2000; offset -= 200) {
        size_t size = 0;
        for (uint32_t i = 0; i < 100; i++) {
            uint32_t at = offset - 2 * i;
            frames[size++] = 0x06;
            frames[size++] = (uint8_t)(0x40 | at >> 8);
            frames[size++] = (uint8_t)at;
            frames[size++] = 1;
            frames[size++] = 'x';
        }
        peer_send(p, MR_PACKET_HANDSHAKE, frames, size);
    }
    CU_ASSERT_EQUAL(p->side[S].buffers_out, 0);
    CU_ASSERT_TRUE(peer_endpoint(p)->chunks.used <= 64); /* of 1 KiB: of all 1,000 as of one */
    peer_expect_close(p, "fragments", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* RFC 9001, Section 6: "Endpoints MUST treat the receipt of a TLS KeyUpdate message as a connection
 * error of type 0x010a". */
static void a_tls_key_update_ends_the_connection(void)
{
    static const struct peer_case to_server = {"KeyUpdate from a client",
                                               S,
                                               PEER_DONE,
                                               MR_PACKET_ONE_RTT,
                                               PEER_BYTES("\x06\x00\x05\x18\0\0\1\0"),
                                               0x10a,
                                               0x06};

    peer_run_cases(&to_server, 1);
    for (int is_late = 0; is_late < 2; is_late++) {
        struct peer *p = peer_at(C, PEER_DONE);
        uint64_t offset;

        if (is_late != 0) {
            peer_advance(p, 3 * MR_SECOND); /* TLS is given back */
            CU_ASSERT_PTR_NULL(mr_conn_handshake(peer_endpoint(p), peer_conn(p)));
        }
        offset = peer_conn(p)->late_offset; /* behind the ticket */
        uint8_t frame[] = {0x06, (uint8_t)(0x40 | offset >> 8), (uint8_t)offset, 5, 0x18, 0, 0, 1,
                           0};
        peer_send(p, MR_PACKET_ONE_RTT, frame, sizeof(frame));
        peer_expect_close(p, "KeyUpdate from a server", 0x10a, PEER_ANY_FRAME);
        peer_end(p);
    }
}

/* A client has nothing else to say, either. */
static void tls_messages_of_a_client_after_the_handshake_are_refused(void)
{
    static const struct peer_case cases[] = {
        {"a second ClientHello", S, PEER_DONE, MR_PACKET_ONE_RTT,
         PEER_BYTES("\x06\x00\x05\x01\0\0\1\0"), 0x10a, 0x06},
        {"no bytes", S, PEER_DONE, MR_PACKET_ONE_RTT, PEER_BYTES("\x06\x00\x00"), PEER_NO_CLOSE, 0},
    };

    peer_run_cases(cases, MR_COUNT_OF(cases));
}

/* quiche CVE-2024-1765: CRYPTO data without end after the handshake is not kept.
 * Section 7.5: "Packets containing discarded CRYPTO frames MUST be acknowledged because the packet
 * has been received and processed by the transport even though the CRYPTO frame was discarded." */
static void crypto_data_after_the_handshake_is_not_kept(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t frame[1100] = {0x06, 0x80};

    for (uint32_t i = 1; i < 300; i++) {
        uint32_t offset = 1000 * i;

        frame[2] = (uint8_t)(offset >> 16);
        frame[3] = (uint8_t)(offset >> 8);
        frame[4] = (uint8_t)offset;
        frame[5] = 0x44;
        frame[6] = 0x00;
        peer_clear(p);
        peer_send(p, MR_PACKET_ONE_RTT, frame, 7 + 1024);
        peer_send(p, MR_PACKET_ONE_RTT, frame, 7 + 1024);
        CU_ASSERT_TRUE(peer_count(p, MR_FRAME_ACK) > 0);
    }
    CU_ASSERT_EQUAL(peer_counters(p)->crypto_after_handshake, 2 * 299);
    CU_ASSERT_EQUAL(p->side[S].buffers_out, 0);
    CU_ASSERT_EQUAL(peer_endpoint(p)->chunks.used <= 32, true);
    peer_end(p);
}

/* ------------------------------------------------------------------ order */

/* RFC 9001, Section 5.7, and quic-go CVE-2025-59530: a HANDSHAKE_DONE that comes before the keys.
 * RFC 9001, Section 5.7: "Even if it has 1-RTT secrets, a client MUST NOT process incoming 1-RTT
 * protected packets before the TLS handshake is complete." */
static void an_early_handshake_done_waits(void)
{
    struct peer *p = peer_at(C, PEER_HELLO);

    PEER_SEND(p, "\x1e");
    CU_ASSERT_FALSE(peer_conn(p)->is_confirmed);
    CU_ASSERT_EQUAL(peer_conn(p)->app.received.count, 0);
    peer_deliver_flight(p);
    CU_ASSERT_TRUE(peer_conn(p)->is_confirmed); /* it has waited for its keys */
    peer_expect_close(p, "early HANDSHAKE_DONE", PEER_NO_CLOSE, 0);
    peer_advance(p, MR_SECOND);
    peer_expect_close(p, "and later", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* RFC 9001, Section 5.7: "Endpoints in either role MUST NOT decrypt 1-RTT packets from their peer
 * prior to completing the handshake."
 * RFC 9001, Section 5.7: "A server MUST NOT process incoming 1-RTT protected packets before the TLS
 * handshake is complete." */
static void one_rtt_packets_before_the_finished_are_not_processed(void)
{
    struct peer *p = peer_at(S, PEER_FLIGHT);

    PEER_SEND(p, "\x08\x00hello");
    CU_ASSERT_EQUAL(peer_counters(p)->streams_opened, 0);
    for (int i = 0; i < 40; i++) /* what waits is bounded */
        PEER_SEND(p, "\x01");
    CU_ASSERT_TRUE(p->side[S].buffers_out <= MR_PENDING_DATAGRAMS_MAX);
    CU_ASSERT_TRUE(peer_counters(p)->dropped_pending_full >= 30);
    peer_deliver_flight(p);
    CU_ASSERT_EQUAL(peer_counters(p)->streams_opened, 1);
    peer_expect_close(p, "after the Finished", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Take the frames of the client's Handshake packet off the wire: bytes at `dst`. */
static size_t steal_finished(struct peer *p, uint8_t *dst)
{
    const struct mr_key_material *material = &p->seal[MR_SPACE_HANDSHAKE].material;
    struct mr_aead_key key;
    struct mr_hp_key hp;
    size_t size = 0;

    memset(&key, 0, sizeof(key));
    memset(&hp, 0, sizeof(hp));
    mr_aead_key_set(p->aead, &key, material->cipher, material->key, material->iv, false);
    mr_hp_key_set(p->aead, &hp, material->cipher, material->hp);
    for (uint32_t i = 0; i < p->wire_count[S] && size == 0; i++) {
        struct peer_raw *raw = &p->wire[S][i];
        struct mr_packet_header header;
        for (size_t at = 0; at < raw->size; at += header.size) {
            if (mr_packet_parse(raw->bytes + at, raw->size - at, 8, &header) != MR_PACKET_OK)
                break;
            struct mr_open_job job = {.key = &key,
                                      .hp = &hp,
                                      .packet = raw->bytes + at,
                                      .pn_offset = header.pn_offset,
                                      .size = header.size};
            if (header.type != MR_PACKET_HANDSHAKE)
                continue;
            mr_unmask_burst(p->aead, &job, 1);
            mr_open_burst(p->aead, &job, 1);
            CU_ASSERT_TRUE(job.is_open);
            size = (size_t)job.size - job.header_size - MR_AEAD_TAG;
            memcpy(dst, job.packet + job.header_size, size);
        }
    }
    mr_aead_key_clear(p->aead, &key);
    mr_hp_key_clear(p->aead, &hp);
    return size;
}

/* quic-go CVE-2023-46239: frames behind the CRYPTO frame that completes the handshake. */
static void frames_behind_the_finished_are_processed(void)
{
    struct peer *p = peer_at(S, PEER_FLIGHT);
    uint8_t frames[1400];
    size_t size = steal_finished(p, frames);

    CU_ASSERT_TRUE_FATAL(size > 0);
    p->wire_count[S] = 0;
    memcpy(frames + size, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00", 11);
    peer_send(p, MR_PACKET_HANDSHAKE, frames, size + 11);
    CU_ASSERT_TRUE(peer_conn(p)->is_confirmed);
    peer_expect_close(p, "ACK behind Finished", PEER_NO_CLOSE, 0);
    peer_send(p, MR_PACKET_HANDSHAKE, "\x01", 1); /* its keys are gone: dropped */
    peer_send(p, MR_PACKET_INITIAL, "\x1f", 1);
    CU_ASSERT_TRUE(peer_counters(p)->dropped_no_key >= 1);
    peer_expect_close(p, "old keys", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* RFC 9001, Section 4.9.1: "a server MUST discard Initial keys when it first successfully processes
 * a Handshake packet"; Section 4.9.2: "An endpoint MUST discard its Handshake keys when the TLS
 * handshake is confirmed".
 * RFC 9001, Section 4.9.1: "Endpoints MUST NOT send Initial packets after this point." */
static void keys_are_discarded_in_time(void)
{
    struct peer *p = peer_at(S, PEER_FLIGHT);
    struct mr_handshake *hs = mr_conn_handshake(peer_endpoint(p), peer_conn(p));

    CU_ASSERT_TRUE(hs->open[MR_SPACE_INITIAL].is_set);
    peer_send(p, MR_PACKET_HANDSHAKE, "\x01", 1);
    CU_ASSERT_FALSE(hs->open[MR_SPACE_INITIAL].is_set);
    CU_ASSERT_FALSE(hs->seal[MR_SPACE_INITIAL].is_set);
    CU_ASSERT_TRUE(hs->open[MR_SPACE_HANDSHAKE].is_set);
    peer_end(p);

    p = peer_at(C, PEER_FLIGHT);
    hs = mr_conn_handshake(peer_endpoint(p), peer_conn(p));
    peer_send(p, MR_PACKET_HANDSHAKE, "\x01", 1);
    CU_ASSERT_FALSE(hs->open[MR_SPACE_INITIAL].is_set);
    CU_ASSERT_TRUE(hs->open[MR_SPACE_HANDSHAKE].is_set);
    PEER_SEND(p, "\x1e");
    CU_ASSERT_FALSE(hs->open[MR_SPACE_HANDSHAKE].is_set);
    peer_end(p);
}

/* RFC 9001, Section 4.1.2: a server sends HANDSHAKE_DONE as soon as the handshake is complete; it
 * is repeated until it is acknowledged.
 * Section 13.3: "The HANDSHAKE_DONE frame MUST be retransmitted until it is acknowledged."
 * Section 19.20: "Servers MUST NOT send a HANDSHAKE_DONE frame before completing the handshake."
 * RFC 9001, Section 4.1.2: "The server MUST send a HANDSHAKE_DONE frame as soon as the handshake is
 * complete." */
static void handshake_done_is_sent_until_acknowledged(void)
{
    struct peer *p = peer_at(S, PEER_FLIGHT);

    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_HANDSHAKE_DONE), 0);
    peer_deliver_flight(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_HANDSHAKE_DONE), 1);
    peer_advance(p, 3 * MR_SECOND);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_HANDSHAKE_DONE) > 1);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    peer_advance(p, MR_SECOND); /* what the acknowledgement set free */
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    peer_clear(p);
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_HANDSHAKE_DONE), 0);
    peer_end(p);
}

/* RFC 9001, Section 4.1.2: "a client MAY consider the handshake to be confirmed when it receives an
 * acknowledgment for a 1-RTT packet." */
static void an_acknowledged_1_rtt_packet_confirms_a_clients_handshake(void)
{
    struct peer *p = peer_at(C, PEER_FLIGHT);
    struct mr_view view = {.data = (const uint8_t *)"hello", .size = 5};
    mr_handle stream;

    CU_ASSERT_EQUAL_FATAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_BIDI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_STREAM), 1);
    CU_ASSERT_FALSE(peer_conn(p)->is_confirmed);
    CU_ASSERT_PTR_NOT_NULL(mr_conn_space(peer_endpoint(p), peer_conn(p), MR_SPACE_HANDSHAKE));
    peer_ack(p, 0, 0);
    CU_ASSERT_TRUE(peer_conn(p)->is_confirmed);
    CU_ASSERT_PTR_NULL(mr_conn_space(peer_endpoint(p), peer_conn(p), MR_SPACE_HANDSHAKE));
    PEER_SEND(p, "\x1e"); /* HANDSHAKE_DONE at last */
    peer_expect_close(p, "HANDSHAKE_DONE", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* A server whose TLS job is out, and a client that can send Initials to it. */
static struct peer *server_with_job_out(struct mr_tls_job **job_out)
{
    struct peer *source = peer_at(C, PEER_HELLO);
    struct peer *p = peer_at(S, PEER_NOTHING);
    struct mr_packet_header header;

    CU_ASSERT_EQUAL(mr_packet_parse(source->hello.bytes, source->hello.size, 8, &header),
                    MR_PACKET_OK);
    mr_cid_copy(&p->dcid, header.dcid);
    mr_cid_copy(&p->scid, header.scid);
    peer_set_initial_keys(p, &p->dcid);
    p->next_pn[MR_SPACE_INITIAL] = 50;
    p->holds_jobs = true;
    peer_deliver(p, source->hello.bytes, source->hello.size);
    CU_ASSERT_EQUAL(mr_endpoint_take_jobs(peer_endpoint(p), job_out, 1), 1);
    peer_end(source);
    return p;
}

/* The connection may end while TLS is at work elsewhere: the job's results go nowhere. */
static void a_connection_may_end_while_its_job_is_out(void)
{
    for (int how = 0; how < 4; how++) {
        struct mr_tls_job *job;
        struct peer *p = server_with_job_out(&job);

        if (how < 2)
            peer_send(p, MR_PACKET_INITIAL, "\x1c\x00\x00\x00", 4);
        else if (how == 2)
            peer_send(p, MR_PACKET_INITIAL, "\x1f", 1);
        if (how != 0) /* closed and freed; or never answered */
            peer_advance(p, MR_HANDSHAKE_TIMEOUT + 5 * MR_SECOND);
        CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), how == 0 ? 1 : 0);
        mr_tls_job_run(job);
        mr_endpoint_complete_job(peer_endpoint(p), job, p->now);
        mr_endpoint_check(peer_endpoint(p));
        peer_advance(p, MR_HANDSHAKE_TIMEOUT + 5 * MR_SECOND);
        CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_CRYPTO), 0);
        peer_end(p);
    }
}

/* A server's tickets say what their 0-RTT depends on, so that it never accepts with less.  RFC
 * 9221, Section 3: "When servers decide to accept 0-RTT data, they MUST send a
 * max_datagram_frame_size transport parameter greater than or equal to the value they sent to the
 * client in the connection where they sent them the NewSessionTicket message."  "If 0-RTT data is
 * accepted by the server, the server MUST NOT disable this extension or change the value on the
 * resumed connection." (draft-ietf-quic-address-discovery: Negotiating Extension Use)  "When the
 * server accepts 0-RTT data, the server MUST NOT disable this extension on the resumed connection."
 * (draft-ietf-quic-reliable-stream-reset: Transport Parameter) */
static void a_ticket_depends_on_all_that_is_remembered(void)
{
    struct peer *p = peer_new(&(struct peer_options){.under_test = S});
    struct mr_endpoint *ep = peer_endpoint(p);
    struct mr_endpoint_config *config = &ep->config;
    const struct mr_endpoint_config before = *config;
    const uint64_t tag = mr_early_tag(ep);

    for (int i = 0; i < 9; i++) {
        *config = before;
        switch (i) {
        case 0:
            config->conn_window_max = 65536;
            break;
        case 1:
            config->stream_window_max = 65536;
            break;
        case 2:
            config->streams_bidi_max++;
            break;
        case 3:
            config->streams_uni_max++;
            break;
        case 4:
            config->datagram_max++;
            break;
        case 5:
            config->extensions ^= MR_EXTENSION_RESET_STREAM_AT;
            break;
        case 6:
            config->extensions ^= MR_EXTENSION_OBSERVES;
            break;
        case 7:
            config->extensions ^= MR_EXTENSION_OBSERVED;
            break;
        default:
            config->remembered++;
        }
        CU_ASSERT_NOT_EQUAL(mr_early_tag(ep), tag);
    }
    *config = before;
    CU_ASSERT_EQUAL(mr_early_tag(ep), tag);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"bad transport parameters end the handshake", bad_transport_parameters_end_the_handshake},
    {"CRYPTO data beyond the buffer ends the connection",
     crypto_data_beyond_the_buffer_ends_the_connection},
    {"CRYPTO fragments cost bounded memory", crypto_fragments_cost_bounded_memory},
    {"a TLS KeyUpdate ends the connection", a_tls_key_update_ends_the_connection},
    {"TLS messages of a client after the handshake are refused",
     tls_messages_of_a_client_after_the_handshake_are_refused},
    {"CRYPTO data after the handshake is not kept", crypto_data_after_the_handshake_is_not_kept},
    {"an early HANDSHAKE_DONE waits", an_early_handshake_done_waits},
    {"1-RTT packets before the Finished are not processed",
     one_rtt_packets_before_the_finished_are_not_processed},
    {"frames behind the Finished are processed", frames_behind_the_finished_are_processed},
    {"a connection may end while its job is out", a_connection_may_end_while_its_job_is_out},
    {"keys are discarded in time", keys_are_discarded_in_time},
    {"an acknowledged 1-RTT packet confirms a client's handshake",
     an_acknowledged_1_rtt_packet_confirms_a_clients_handshake},
    {"HANDSHAKE_DONE is sent until acknowledged", handshake_done_is_sent_until_acknowledged},
    {"a ticket depends on all that is remembered", a_ticket_depends_on_all_that_is_remembered},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 handshake", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
