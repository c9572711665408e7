/*
 * tests/conformance/test_early_data.c - 0-RTT, both sides: RFC 9000, Sections 7.4.1, 12.5, 17.2.3;
 * RFC 9001, Sections 4.6, 4.9.3 and 9.2.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/peer_cases.h"
#include "tests/support/peer_internal.h"
#include "tests/support/peer_ticket.h"

#define C MR_CLIENT
#define S MR_SERVER

static const uint8_t text[] = "early bird, late worm";

/* A client that has connected with a ticket and wants 0-RTT; its ClientHello is not sent yet. */
static struct peer *connect_with_ticket_of(enum mr_role under_test, struct peer_options options,
                                           struct peer_options first)
{
    static struct ticket ticket;

    get_ticket(&ticket, &first);
    options.under_test = under_test;
    options.ticket = ticket.bytes;
    options.ticket_size = ticket.size;
    options.is_early = true;
    struct peer *p = peer_new(&options);
    peer_connect(p);
    return p;
}

static struct peer *connect_early(enum mr_role under_test, struct peer_options options)
{
    return connect_with_ticket_of(under_test, options, options);
}

static mr_handle open_and_send(struct peer *p, const void *bytes, size_t size)
{
    struct mr_view view = {.data = bytes, .size = size};
    mr_handle stream;

    CU_ASSERT_EQUAL_FATAL(mr_stream_open(ep_of(p, C), handle_of(p, C), MR_OPEN_BIDI, 0, &stream),
                          0);
    CU_ASSERT_EQUAL(mr_stream_send(ep_of(p, C), stream, &view, 1, MR_SEND_FIN), 0);
    return stream;
}

/* What the server's only stream holds. */
static size_t received(struct peer *p, uint8_t *dst, size_t room, bool *fin_out)
{
    struct mr_endpoint *ep = ep_of(p, S);
    struct mr_conn *conn = conn_of(p, S);
    struct mr_view views[64];
    size_t size = 0;

    *fin_out = false;
    if (conn->stream_head == MR_NONE)
        return 0;
    const struct mr_stream *stream = mr_stream_at(ep, conn->stream_head);
    int64_t count = mr_stream_receive(ep, stream->handle, views, 64, fin_out);
    for (int64_t i = 0; i < count; i++) {
        CU_ASSERT_TRUE_FATAL(size + views[i].size <= room);
        memcpy(dst + size, views[i].data, views[i].size);
        size += views[i].size;
    }
    return size;
}

static void expect_text(struct peer *p)
{
    uint8_t bytes[256];
    bool fin;

    CU_ASSERT_EQUAL(received(p, bytes, sizeof(bytes), &fin), sizeof(text));
    CU_ASSERT_EQUAL(memcmp(bytes, text, sizeof(text)), 0);
    CU_ASSERT_TRUE(fin);
}

static bool info_is_early(struct peer *p, enum mr_role role)
{
    struct mr_conn_info info;

    CU_ASSERT_EQUAL_FATAL(mr_conn_info(ep_of(p, role), handle_of(p, role), &info), 0);
    return info.is_early;
}

static uint32_t count_packets(const struct peer *p, enum mr_packet_type type)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < p->inbox_count; i++)
        count += p->inbox[i].type == type;
    return count;
}

/* ------------------------------------------------------------------ accepted */

/* RFC 9000, Section 17.2.3: "A 0-RTT packet is used to carry 'early' data from the client to the
 * server as part of the first flight, prior to handshake completion."
 * RFC 9000, Section 17.2.3: "A client MUST NOT send 0-RTT packets once it starts processing 1-RTT
 * packets from the server."
 * RFC 9001, Section 4.9: "Though an endpoint might retain older keys, new data MUST be sent at the
 * highest currently available encryption level." RFC 9001, Section 5.6: "Once a client has
 * installed 1-RTT keys, it MUST NOT send any more 0-RTT packets." */
static void a_client_sends_with_its_first_flight(void)
{
    struct peer *p = connect_early(C, (struct peer_options){0});

    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_EARLY));
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_CONNECTED));
    CU_ASSERT_TRUE(info_is_early(p, C));
    open_and_send(p, text, sizeof(text));
    peer_drain(p);
    CU_ASSERT_EQUAL(count_packets(p, MR_PACKET_ZERO_RTT), 1);
    CU_ASSERT_EQUAL(count_packets(p, MR_PACKET_ONE_RTT), 0);
    CU_ASSERT_EQUAL(p->inbox[0].type, MR_PACKET_INITIAL);
    CU_ASSERT_EQUAL(p->inbox[1].type, MR_PACKET_ZERO_RTT);
    CU_ASSERT_EQUAL(p->inbox[1].datagram, p->inbox[0].datagram); /* coalesced */
    CU_ASSERT_TRUE(p->inbox[1].is_open);
    peer_round_trip(p);
    peer_round_trip(p);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_CONNECTED));
    CU_ASSERT_EQUAL(peer_counters(p)->early_data_accepted, 1);
    CU_ASSERT_TRUE(info_is_early(p, C));
    CU_ASSERT_EQUAL(count_packets(p, MR_PACKET_ZERO_RTT), 1); /* nothing was sent twice */
    open_and_send(p, text, sizeof(text));
    peer_round_trip(p);
    CU_ASSERT_EQUAL(count_packets(p, MR_PACKET_ZERO_RTT), 1);
    expect_text(p);
    peer_end(p);
}

/* The application is told that what comes may be a copy, and when it is not.  "In order to allow
 * applications to implement this kind of processing, TLS implementations MUST provide a way for the
 * application to determine if the handshake has completed." (RFC 8446, Section E.5) */
static void a_server_tells_what_came_early(void)
{
    struct peer *p = connect_early(S, (struct peer_options){0});

    open_and_send(p, text, sizeof(text));
    peer_round_trip(p);
    const struct peer_event *event = peer_event(p, MR_EVENT_CONNECTED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    CU_ASSERT_TRUE((event->event.kinds & MR_EVENT_EARLY) != 0);
    CU_ASSERT_EQUAL(event->event.kinds & MR_EVENT_CONFIRMED, 0);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_STREAM_OPENED));
    CU_ASSERT_TRUE(event < peer_event(p, MR_EVENT_STREAM_OPENED));
    CU_ASSERT_TRUE(info_is_early(p, S));
    CU_ASSERT_EQUAL(peer_conn(p)->state, MR_CONN_HANDSHAKE);
    expect_text(p);
    CU_ASSERT_EQUAL(peer_counters(p)->early_data_accepted, 1);
    peer_round_trip(p);
    peer_round_trip(p);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_CONFIRMED));
    CU_ASSERT_FALSE(info_is_early(p, S));
    uint32_t told = 0;
    for (uint32_t i = 0; i < p->event_count; i++)
        told += (p->events[i].event.kinds & MR_EVENT_CONNECTED) != 0;
    CU_ASSERT_EQUAL(told, 1);
    peer_end(p);
}

/* RFC 9001, Section 5.7: the server may answer before the handshake is complete, within three times
 * what came.
 * RFC 9000, Section 13.2.6: "Packets that a client sends with 0-RTT packet protection MUST be
 * acknowledged by the server in packets protected by 1-RTT keys."
 * RFC 9001, Section 5.6: "A server MUST NOT use 0-RTT keys to protect packets; it uses 1-RTT keys
 * to protect acknowledgments of 0-RTT packets." */
static void a_server_answers_at_once(void)
{
    struct peer *p = connect_early(S, (struct peer_options){0});
    static uint8_t answer[20000];
    struct mr_view view = {.data = answer, .size = sizeof(answer)};

    open_and_send(p, text, sizeof(text));
    peer_round_trip(p);
    const struct peer_event *event = peer_event(p, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    peer_clear(p);
    CU_ASSERT_EQUAL(mr_stream_send(ep_of(p, S), event->event.stream, &view, 1, MR_SEND_FIN), 0);
    peer_drain(p);
    CU_ASSERT_TRUE(count_packets(p, MR_PACKET_ONE_RTT) > 0);
    CU_ASSERT_EQUAL(count_packets(p, MR_PACKET_ZERO_RTT), 0);
    CU_ASSERT_TRUE(p->bytes <= 3 * 1200 + 1200);
    struct mr_frame_ack ack;
    struct mr_reader r;
    uint32_t count = 0;
    for (uint32_t i = 0; peer_find(p, MR_FRAME_ACK, i, &r) != NULL; i++) {
        const struct peer_packet *packet = peer_find(p, MR_FRAME_ACK, i, &r);

        CU_ASSERT_TRUE(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack));
        CU_ASSERT_EQUAL(ack.largest, 0); /* the Initial; the 0-RTT packet */
        count += packet->type == MR_PACKET_ONE_RTT;
    }
    CU_ASSERT_TRUE(count > 0);
    CU_ASSERT_TRUE(peer_counters(p)->amplification_blocked > 0);
    peer_end(p);
}

/* What does not fit the remembered limits waits for the handshake.
 * RFC 9000, Section 7.4.1: "A client that attempts to send 0-RTT data MUST remember all other
 * transport parameters used by the server that it is able to process." RFC 9000, Section 7.4.1:
 * "When sending frames in 0-RTT packets, a client MUST only use remembered transport parameters" */
static void remembered_limits_hold(void)
{
    struct peer *p = connect_early(C, (struct peer_options){.streams_bidi = 2});
    mr_handle stream;

    open_and_send(p, text, sizeof(text));
    open_and_send(p, text, sizeof(text));
    CU_ASSERT_EQUAL(mr_stream_open(ep_of(p, C), handle_of(p, C), MR_OPEN_BIDI, 0, &stream),
                    -EAGAIN);
    peer_end(p);
    p = connect_early(C, (struct peer_options){.stream_window = 3000});
    static uint8_t many[9000];
    open_and_send(p, many, sizeof(many));
    peer_drain(p);
    CU_ASSERT_EQUAL(conn_of(p, C)->flow_send.used, 3000);
    for (int i = 0; i < 3; i++)
        peer_round_trip(p);
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    peer_end(p);
}

/* ------------------------------------------------------------------ not accepted */

static void without_early_data(struct peer *p)
{
    p->side[S].tls.has_early_data = false;
}

static void with_other_limits(struct peer *p)
{
    ep_of(p, S)->config.streams_uni_max += 1;
}

static _Alignas(64) _Atomic uint64_t slots[MR_REPLAY_SIZE_LEAST];
static struct mr_replay replay;

static void make_register(void)
{
    memset((void *)slots, 0, sizeof(slots));
    mr_replay_init(&replay, (void *)slots, 1, &(struct mr_siphash_key){5, 6});
}

static void another_instance(struct peer *p)
{
    make_register();
    p->side[S].tls.replay = &replay;
}

/* RFC 9001, Section 4.6.2: "When 0-RTT is rejected, all connection characteristics that the client
 * assumed might be incorrect." What was sent is sent again, once the handshake is complete.  "If
 * the server rejects early data at the TLS layer, a client MUST start sending again as though the
 * connection were new." (RFC 8470, Section 4)
 * RFC 9000, Section 7.4.1: "A server MUST reject 0-RTT data if the restored values for transport
 * parameters cannot be supported."
 * RFC 9001, Section 4.6.2: "When rejecting 0-RTT, a server MUST NOT process any 0-RTT packets, even
 * if it could." RFC 9001, Section 4.6.2: "The client therefore MUST reset the state of all streams,
 * including application state bound to those streams." */
static void refused_data_is_sent_again(void)
{
    static void (*const ways[])(struct peer *) = {without_early_data, with_other_limits,
                                                  another_instance};

    for (size_t i = 0; i < MR_COUNT_OF(ways); i++) {
        for (int role = 0; role < 2; role++) {
            struct peer *p = connect_early((enum mr_role)role, (struct peer_options){0});

            ways[i](p);
            open_and_send(p, text, sizeof(text));
            peer_round_trip(p);
            CU_ASSERT_EQUAL(mr_endpoint_counters(ep_of(p, S))->early_data_accepted, 0);
            CU_ASSERT_EQUAL(conn_of(p, S)->stream_head, MR_NONE);
            CU_ASSERT_TRUE(mr_endpoint_counters(ep_of(p, S))->dropped_early > 0);
            for (int turn = 0; turn < 4; turn++)
                peer_round_trip(p);
            CU_ASSERT_EQUAL(mr_endpoint_counters(ep_of(p, C))->early_data_rejected, 1);
            CU_ASSERT_TRUE(conn_of(p, C)->is_resumed);
            CU_ASSERT_FALSE(info_is_early(p, C));
            CU_ASSERT_FALSE(info_is_early(p, S));
            expect_text(p);
            peer_end(p);
        }
    }
}

static void fewer_streams(struct peer *p)
{
    ep_of(p, S)->config.streams_bidi_max = 2;
}

/* RFC 9000, Section 4.6: what was refused does not fit any more. */
static void fewer_streams_after_a_refusal_end_the_connection(void)
{
    struct peer *p = connect_early(C, (struct peer_options){0});

    fewer_streams(p);
    for (int i = 0; i < 3; i++)
        open_and_send(p, text, sizeof(text));
    for (int i = 0; i < 3; i++)
        peer_round_trip(p);
    CU_ASSERT_EQUAL(peer_conn(p)->close.error, MR_INTERNAL_ERROR);
    CU_ASSERT_STRING_EQUAL(peer_conn(p)->close.reason,
                           "the server refused 0-RTT, and allows fewer streams than before");
    peer_end(p);
    p = connect_early(C, (struct peer_options){0}); /* fewer, but enough */
    fewer_streams(p);
    open_and_send(p, text, sizeof(text));
    for (int i = 0; i < 4; i++)
        peer_round_trip(p);
    expect_text(p);
    peer_end(p);
}

/* What the client remembers is more than what the server of this connection says; false: there is
 * no such parameter any more. */
static bool remember_more(struct mr_transport_params *remembered, int which)
{
    uint64_t *const limits[] = {&remembered->initial_max_data,
                                &remembered->initial_max_stream_data_bidi_local,
                                &remembered->initial_max_stream_data_bidi_remote,
                                &remembered->initial_max_stream_data_uni,
                                &remembered->initial_max_streams_bidi,
                                &remembered->initial_max_streams_uni,
                                &remembered->active_connection_id_limit,
                                &remembered->max_datagram_frame_size};
    int count = (int)MR_COUNT_OF(limits);

    if (which < count)
        *limits[which] += 1;
    else if (which == count)
        remembered->reset_stream_at = true;
    else if (which == count + 1)
        remembered->address_discovery ^= 1;
    return which < count + 2;
}

/* RFC 9000, Section 7.4.1: "If 0-RTT data is accepted by the server, the server MUST NOT reduce any
 * limits or alter any values that might be violated by the client with its 0-RTT data."  RFC 9221,
 * Section 3: "If a client stores the value of the max_datagram_frame_size transport parameter with
 * their 0-RTT state, they MUST validate that the new value of the max_datagram_frame_size transport
 * parameter sent by the server in the handshake is greater than or equal to the stored value; if
 * not, the client MUST terminate the connection with error PROTOCOL_VIOLATION."  "When the server
 * accepts 0-RTT data, the server MUST NOT disable this extension on the resumed connection."
 * (draft-ietf-quic-reliable-stream-reset: Transport Parameter) */
static void lower_limits_that_accept_are_a_violation(void)
{
    for (int which = 0;; which++) {
        struct peer *p = connect_early(C, (struct peer_options){0});
        struct mr_handshake *hs = mr_conn_handshake(ep_of(p, C), conn_of(p, C));
        bool is_more = remember_more(&hs->remembered, which);
        open_and_send(p, text, sizeof(text));
        for (int i = 0; i < 3; i++)
            peer_round_trip(p);
        CU_ASSERT_EQUAL(peer_conn(p)->close.error, is_more ? MR_PROTOCOL_VIOLATION : 0);
        peer_end(p);
        if (!is_more)
            break;
    }
}

/* ------------------------------------------------------------------ copies */

/* RFC 9001, Section 9.2: the same first flight, from many ports: it is acted on once.
 * RFC 9001, Section 9.2: "Endpoints MUST implement and use the replay protections described in
 * [TLS13], however it is recognized that these protections are imperfect."
 * RFC 8446, Section 8: "The server MUST ensure that any instance of it (be it a machine, a thread,
 * or" */
static void copies_of_a_first_flight_are_acted_on_once(void)
{
    make_register();
    struct peer *p = connect_early(S, (struct peer_options){.connections = 30, .replay = &replay});

    open_and_send(p, text, sizeof(text));
    peer_drain_side(p, &p->side[C]);
    struct peer_raw flight = p->wire[S][0];
    p->wire_count[S] = 0;
    for (uint16_t i = 0; i < 20; i++) {
        struct peer_raw copy = flight;

        copy.path.remote.port = (uint16_t)(6000 + i);
        peer_deliver_burst(p, &copy, 1);
        peer_advance(p, 300 * MR_MS);
    }
    uint32_t executions = 0;
    for (uint32_t i = 0; i < p->event_count && i < PEER_EVENTS_MAX; i++)
        executions += (p->events[i].event.kinds & MR_EVENT_STREAM_OPENED) != 0;
    CU_ASSERT_EQUAL(executions, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->early_data_accepted, 1);
    peer_end(p);
}

/* ------------------------------------------------------------------ bounds */

/* A server reads the ClientHello first: what comes meanwhile waits, ten datagrams of it. */
static void packets_wait_for_the_keys_within_a_bound(void)
{
    struct peer *p = connect_early(S, (struct peer_options){0});
    static uint8_t many[20000];

    open_and_send(p, many, sizeof(many));
    p->holds_jobs = true;
    peer_round_trip(p);
    const struct mr_handshake *hs = mr_conn_handshake(ep_of(p, S), peer_conn(p));
    CU_ASSERT_PTR_NOT_NULL_FATAL(hs);
    CU_ASSERT_EQUAL(hs->pending_count, MR_PENDING_DATAGRAMS_MAX);
    p->is_alone = true;
    const struct mr_cid dcid = p->dcid;
    p->dcid.size = 8;
    memcpy(p->dcid.bytes, &peer_conn(p)->issued.key[0], 8);
    for (int i = 0; i < 5; i++)
        peer_send(p, MR_PACKET_ZERO_RTT, "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 20);
    CU_ASSERT_EQUAL(hs->pending_count, MR_PENDING_DATAGRAMS_MAX);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_pending_full, 5);
    p->dcid = dcid;
    p->is_alone = false;
    CU_ASSERT_EQUAL(peer_conn(p)->stream_head, MR_NONE);
    p->holds_jobs = false;
    for (int i = 0; i < 8; i++)
        peer_round_trip(p);
    uint8_t bytes[sizeof(many)];
    bool fin;
    CU_ASSERT_EQUAL(received(p, bytes, sizeof(bytes), &fin), sizeof(many));
    peer_end(p);
}

/* A datagram that waits is opened once: doing it twice in place would spoil what was read. */
static void coalesced_packets_wait_together(void)
{
    struct peer *p = connect_early(S, (struct peer_options){0});
    uint8_t bytes[400];
    uint8_t got[8];
    size_t size;
    bool fin;

    p->holds_jobs = true;
    peer_round_trip(p); /* the ClientHello is at the server, whose TLS is slow */
    p->is_alone = true;
    p->dcid.size = 8;
    memcpy(p->dcid.bytes, &peer_conn(p)->issued.key[0], 8);
    memcpy(p->scid.bytes, &conn_of(p, C)->issued.key[0], 8);
    struct peer_out out = {.type = MR_PACKET_ZERO_RTT, .pn = PEER_NEXT_PN};
    out.frames = "\x0a\0\4abcd"; /* STREAM 0, 4 bytes from 0 on */
    out.size = 7;
    size = peer_build(p, &out, bytes, sizeof(bytes));
    out.frames = "\x0f\0\4\4efgh"; /* 4 bytes from 4 on, FIN */
    out.size = 8;
    size += peer_build(p, &out, bytes + size, sizeof(bytes) - size);
    peer_deliver(p, bytes, size);
    CU_ASSERT_EQUAL(mr_conn_handshake(ep_of(p, S), peer_conn(p))->pending_count, 1);
    p->holds_jobs = false;
    peer_settle(p, &p->side[S]);
    CU_ASSERT_EQUAL_FATAL(received(p, got, sizeof(got), &fin), 8);
    CU_ASSERT_EQUAL(memcmp(got, "abcdefgh", 8), 0);
    CU_ASSERT_TRUE(fin);
    peer_end(p);
}

/* Nothing is kept for a connection that has not begun. */
static void early_packets_without_an_initial_are_dropped(void)
{
    struct peer *p = connect_early(S, (struct peer_options){0});

    open_and_send(p, text, sizeof(text));
    peer_drain_side(p, &p->side[C]);
    p->wire_count[S] = 0; /* the flight is lost */
    p->is_alone = true;
    p->dcid = mr_cid_current(conn_of(p, C))->cid;
    for (int i = 0; i < 100; i++)
        peer_send(p, MR_PACKET_ZERO_RTT, "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 20);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(ep_of(p, S)), 0);
    CU_ASSERT_EQUAL(p->side[S].buffers_out, 0);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_unknown_cid, 100);
    peer_end(p);
}

/* RFC 9000, Section 12.5: "An endpoint MUST treat receipt of a frame in a packet type that is not
 * permitted as a connection error of type PROTOCOL_VIOLATION."
 * RFC 9001, Section 8.3: "A server MUST treat receipt of a CRYPTO frame in a 0-RTT packet as a
 * connection error of type PROTOCOL_VIOLATION." */
static void frames_that_no_early_packet_may_hold(void)
{
    static const struct {
        const char *name;
        const char *frames;
        size_t size;
        uint64_t error;
    } rows[] = {
        {"ACK", PEER_BYTES("\x02\0\0\0\0"), MR_PROTOCOL_VIOLATION},
        {"CRYPTO", PEER_BYTES("\x06\0\1x"), MR_PROTOCOL_VIOLATION},
        {"HANDSHAKE_DONE", PEER_BYTES("\x1e"), MR_PROTOCOL_VIOLATION},
        {"NEW_TOKEN", PEER_BYTES("\x07\1x"), MR_PROTOCOL_VIOLATION},
        {"PATH_RESPONSE",
         PEER_BYTES("\x1b"
                    "12345678"),
         MR_PROTOCOL_VIOLATION},
        {"RETIRE_CONNECTION_ID", PEER_BYTES("\x19\0"), MR_PROTOCOL_VIOLATION},
        {"PING", PEER_BYTES("\x01\0\0\0\0"), 0},
        {"STREAM", PEER_BYTES("\x0a\0\4data"), 0},
        {"stream beyond the limit", PEER_BYTES("\x0a\x40\x40\4data"), MR_STREAM_LIMIT_ERROR},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct peer *p = connect_early(S, (struct peer_options){0});

        peer_round_trip(p); /* the ClientHello arrives, the flight is on its way */
        p->is_alone = true;
        p->dcid.size = 8;
        memcpy(p->dcid.bytes, &peer_conn(p)->issued.key[0], 8);
        memcpy(p->scid.bytes, &conn_of(p, C)->issued.key[0], 8);
        peer_send(p, MR_PACKET_ZERO_RTT, rows[i].frames, rows[i].size);
        if (peer_conn(p)->close.error != rows[i].error)
            fprintf(stderr, "# %s: %s\n", rows[i].name, peer_conn(p)->close.reason);
        CU_ASSERT_EQUAL(peer_conn(p)->close.error, rows[i].error);
        peer_end(p);
    }
}

/* ------------------------------------------------------------------ with the rest */

/* RFC 9000, Section 17.2.5.3: 0-RTT goes on after Retry. */
static void early_data_survives_retry(void)
{
    struct peer *p = connect_early(S, (struct peer_options){.retry_above = PEER_ALWAYS_RETRY});

    open_and_send(p, text, sizeof(text));
    for (int i = 0; i < 4; i++)
        peer_round_trip(p);
    CU_ASSERT_EQUAL(peer_counters(p)->retries_sent, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->early_data_accepted, 1);
    expect_text(p);
    peer_end(p);
}

/* RFC 9369, Section 4.1: "Servers can accept 0-RTT and then process 0-RTT packets from the original
 * version."  "The client MUST NOT send 0-RTT packets using the negotiated version, even after
 * processing a packet of that version from the server." (RFC 9369, Compatible Negotiation
 * Requirements) */
static void early_data_is_of_the_original_version(void)
{
    struct peer *p = connect_with_ticket_of(S, (struct peer_options){.versions = {2, 1}},
                                            (struct peer_options){.versions = {1, 0}});

    open_and_send(p, text, sizeof(text));
    peer_drain_side(p, &p->side[C]);
    uint8_t first_byte_of_early = 0;
    for (uint32_t at = 0; at < p->wire[S][0].size;) {
        struct mr_packet_header header;

        if (mr_packet_parse(p->wire[S][0].bytes + at, p->wire[S][0].size - at, 8, &header) !=
            MR_PACKET_OK)
            break;
        CU_ASSERT_EQUAL(header.version, MR_VERSION_1);
        if (header.type == MR_PACKET_ZERO_RTT)
            first_byte_of_early = p->wire[S][0].bytes[at];
        at += header.size;
    }
    CU_ASSERT_NOT_EQUAL(first_byte_of_early, 0);
    peer_round_trip(p);
    CU_ASSERT_EQUAL(peer_conn(p)->version, MR_VERSION_2);
    CU_ASSERT_EQUAL(peer_counters(p)->early_data_accepted, 1);
    expect_text(p);
    for (int i = 0; i < 3; i++)
        peer_round_trip(p);
    CU_ASSERT_TRUE(peer_conn(p)->is_confirmed);
    peer_end(p);
    p = connect_early(S, (struct peer_options){.versions = {2, 0}});
    open_and_send(p, text, sizeof(text));
    peer_round_trip(p);
    CU_ASSERT_EQUAL(peer_counters(p)->early_data_accepted, 1);
    expect_text(p);
    peer_end(p);
    p = connect_early(S,
                      (struct peer_options){.versions = {2, 1}}); /* the ticket is of version 2 */
    open_and_send(p, text, sizeof(text));
    peer_round_trip(p);
    CU_ASSERT_EQUAL(p->side[C].ep->counters.versions_changed, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->early_data_accepted, 1);
    expect_text(p);
    peer_end(p);
}

/* A lost first flight is sent again. */
static void a_lost_flight_is_sent_again(void)
{
    struct peer *p = connect_early(S, (struct peer_options){0});

    open_and_send(p, text, sizeof(text));
    peer_drain_side(p, &p->side[C]);
    p->wire_count[S] = 0;
    for (int i = 0; i < 300; i++)
        peer_round_trip(p);
    CU_ASSERT_EQUAL(peer_counters(p)->early_data_accepted, 1);
    expect_text(p);
    peer_end(p);
}

/* The Initial packet that is lost is so by an acknowledgment of a later one, which had an ACK frame
 * only; meanwhile the answer fills the window, and only a ServerHello can make the client read it.
 * RFC 9002, Section 6.2.4: "In addition to sending data in the packet number space for which the
 * timer expired, the sender SHOULD send ack-eliciting packets from other packet number spaces with
 * in-flight data, coalescing packets if possible.  This is particularly valuable when the server
 * has both Initial and Handshake data in flight ... because the peer might only have receive keys
 * for one of the two packet number spaces." - Also when what was lost is in flight no more. */
static void a_lost_server_hello_does_not_wait_for_the_window(void)
{
    struct peer *p = connect_early(S, (struct peer_options){0});
    static uint8_t request[9000];
    static uint8_t answer[60000];
    struct mr_view view = {.data = answer, .size = sizeof(answer)};
    struct mr_reader r;

    open_and_send(p, request, sizeof(request));
    peer_round_trip(p);
    const struct peer_event *event = peer_event(p, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    CU_ASSERT_EQUAL(mr_stream_send(ep_of(p, S), event->event.stream, &view, 1, MR_SEND_FIN), 0);
    peer_drain(p);
    const struct peer_packet *hello = peer_find(p, MR_FRAME_CRYPTO, 0, &r);
    CU_ASSERT_EQUAL_FATAL(hello->type, MR_PACKET_INITIAL);
    const uint64_t lost = hello->pn;
    peer_take_over(p); /* nothing of it arrives */
    peer_clear(p);
    peer_send(p, MR_PACKET_INITIAL, "\1", 1);
    CU_ASSERT_EQUAL_FATAL(p->inbox_count, 1);
    CU_ASSERT_EQUAL(p->inbox[0].type, MR_PACKET_INITIAL);
    CU_ASSERT_EQUAL(p->inbox[0].pn, lost + 1);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_CRYPTO), 0);
    peer_advance(p, 400 * MR_MS); /* 9/8 of the first assumed RTT; the probe timeout is later */
    peer_clear(p);
    const uint8_t ack[] = {MR_FRAME_ACK, (uint8_t)(lost + 1), 0, 0, 0};
    peer_send(p, MR_PACKET_INITIAL, ack, sizeof(ack));
    CU_ASSERT_EQUAL(peer_counters(p)->packets_lost, 1);
    CU_ASSERT_TRUE(peer_conn(p)->path.cc.in_flight > mr_cc_window(&peer_conn(p)->path.cc));
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_CRYPTO), 0); /* it waits for the window */
    peer_advance(p, MR_SECOND);
    const struct peer_packet *again = peer_find(p, MR_FRAME_CRYPTO, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(again);
    CU_ASSERT_EQUAL(again->type, MR_PACKET_INITIAL);
    CU_ASSERT_EQUAL(mr_read_varint(&r), 0); /* from its start */
    peer_end(p);
}

/* A ticket that allows none, or none at all: an ordinary handshake. */
static void without_a_fit_ticket_nothing_is_early(void)
{
    struct peer_options options = {.under_test = C, .is_early = true};
    struct peer *p = peer_new(&options);
    mr_handle stream;

    peer_connect(p);
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_EARLY));
    CU_ASSERT_EQUAL(mr_stream_open(ep_of(p, C), handle_of(p, C), MR_OPEN_BIDI, 0, &stream),
                    -EAGAIN);
    for (int i = 0; i < 3; i++)
        peer_round_trip(p);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_CONNECTED));
    CU_ASSERT_FALSE(info_is_early(p, C));
    peer_end(p);
}

/* ------------------------------------------------------------------ keys, wishes */

/* A ticket that allows 0-RTT, and an application that does not ask for it.
 * RFC 9001, Section 5.6: "A client therefore MUST NOT use 0-RTT for application data unless
 * specifically requested by the application that is in use." */
static void nothing_is_early_unless_asked_for(void)
{
    struct peer_options options = {.under_test = C};
    static struct ticket ticket;

    get_ticket(&ticket, &options);
    options.ticket = ticket.bytes;
    options.ticket_size = ticket.size;
    struct peer *p = peer_new(&options);
    peer_connect(p);
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_EARLY));
    for (int i = 0; i < 4; i++)
        peer_round_trip(p);
    CU_ASSERT_TRUE(conn_of(p, C)->is_resumed);
    CU_ASSERT_EQUAL(count_packets(p, MR_PACKET_ZERO_RTT), 0);
    peer_end(p);
}

/* No later than three probe timeouts after the first 1-RTT packet.
 * RFC 9001, Section 4.9.3: "After receiving a 1-RTT packet, servers MUST discard 0-RTT keys within
 * a short time; the RECOMMENDED time period is three times the Probe Timeout (PTO, see
 * [QUIC-RECOVERY])." */
static void the_keys_of_early_data_go_with_the_handshake(void)
{
    struct peer *p = connect_early(S, (struct peer_options){0});

    open_and_send(p, text, sizeof(text));
    for (int i = 0; i < 4; i++)
        peer_round_trip(p);
    CU_ASSERT_TRUE(peer_conn(p)->is_confirmed);
    peer_advance(p, 3 * mr_rtt_pto(&peer_conn(p)->path.rtt, MR_SPACE_APP));
    const struct mr_handshake *hs = mr_conn_handshake(ep_of(p, S), peer_conn(p));
    CU_ASSERT_TRUE(hs == NULL || !hs->early.is_set);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"a client sends with its first flight", a_client_sends_with_its_first_flight},
    {"a server tells what came early", a_server_tells_what_came_early},
    {"a server answers at once", a_server_answers_at_once},
    {"remembered limits hold", remembered_limits_hold},
    {"refused data is sent again", refused_data_is_sent_again},
    {"fewer streams after a refusal end the connection",
     fewer_streams_after_a_refusal_end_the_connection},
    {"lower limits that accept are a violation", lower_limits_that_accept_are_a_violation},
    {"copies of a first flight are acted on once", copies_of_a_first_flight_are_acted_on_once},
    {"packets wait for the keys within a bound", packets_wait_for_the_keys_within_a_bound},
    {"coalesced packets wait together", coalesced_packets_wait_together},
    {"early packets without an Initial are dropped", early_packets_without_an_initial_are_dropped},
    {"frames that no early packet may hold", frames_that_no_early_packet_may_hold},
    {"early data survives Retry", early_data_survives_retry},
    {"early data is of the original version", early_data_is_of_the_original_version},
    {"a lost flight is sent again", a_lost_flight_is_sent_again},
    {"a lost ServerHello does not wait for the window",
     a_lost_server_hello_does_not_wait_for_the_window},
    {"without a fit ticket nothing is early", without_a_fit_ticket_nothing_is_early},
    {"nothing is early unless asked for", nothing_is_early_unless_asked_for},
    {"the keys of early data go with the handshake", the_keys_of_early_data_go_with_the_handshake},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "0-RTT", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
