/*
 * tests/unit/test_bounds.c - the bounds of an endpoint (quic/limits.h and the _MAX of its parts):
 * what its peer and its application see when one is met, what is counted, and that all comes back.
 *
 * Bounds of single frames and of paths are tested in tests/conformance.
 */
#include <errno.h>

#include "quic/conn_multipath.h"
#include "quic/hp_aesni.h"
#include "quic/trace.h"
#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

static struct mr_conn *conn_of(struct peer *p, mr_handle handle)
{
    struct mr_conn *conn = mr_conn_of_handle(peer_endpoint(p), handle);

    CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
    return conn;
}

/* ------------------------------------------------------------------ many connections */

static void let_pass(struct peer *p, uint64_t ns)
{
    for (uint64_t end = p->now + ns; p->now < end;)
        peer_round_trip(p);
    peer_clear(p);
}

/* One more connection to the server under test, from its partner, which stays: its handle there.
 * At PEER_BOTH. */
static mr_handle connect_another(struct peer *p, const char *name)
{
    struct mr_connect_options options = {.server_name = name,
                                         .alpn = (const uint8_t *)"\004peer",
                                         .alpn_size = 5,
                                         .is_insecure = true};
    mr_handle before = p->conn;
    mr_handle handle;

    memcpy(options.remote.ip, p->path.local.ip, sizeof(options.remote.ip));
    options.remote.port = p->path.local.port;
    CU_ASSERT_EQUAL_FATAL(
        mr_conn_connect(p->side[C].ep, &options, &p->path.remote, p->now, &handle), 0);
    let_pass(p, 200 * MR_MS);
    CU_ASSERT_NOT_EQUAL_FATAL(p->conn, before);
    return p->conn;
}

/* The server under test ends it, and it is forgotten. */
static void end_one(struct peer *p, mr_handle handle)
{
    CU_ASSERT_EQUAL(mr_conn_close(peer_endpoint(p), handle, 0, "", p->now), 0);
    let_pass(p, 5 * MR_SECOND);
    CU_ASSERT_PTR_NULL(mr_conn_of_handle(peer_endpoint(p), handle));
}

static struct peer *server_with(void (*edit_limits)(struct mr_limits *limits),
                                struct peer_options options)
{
    options.under_test = S;
    options.edit_limits = edit_limits;
    struct peer *p = peer_new(&options);

    peer_run(p, PEER_BOTH);
    let_pass(p, 100 * MR_MS);
    return p;
}

static void one_model(struct mr_limits *limits)
{
    limits->models_max = 1;
}

static enum mr_cc_kind kind_of(struct peer *p, mr_handle handle)
{
    return mr_cc_kind_of(&conn_of(p, handle)->path.cc);
}

static void without_a_model_a_connection_is_under_cubic(void)
{
    struct peer *p = server_with(one_model, (struct peer_options){.cc = 1 + MR_CC_BBR});
    mr_handle first = p->conn;
    mr_handle second = connect_another(p, "localhost");

    CU_ASSERT_EQUAL(kind_of(p, first), MR_CC_BBR);
    CU_ASSERT_EQUAL(kind_of(p, second), MR_CC_CUBIC);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_models, 1);
    end_one(p, second);
    CU_ASSERT_EQUAL(peer_endpoint(p)->models.used, 1); /* not its own */
    end_one(p, first);
    CU_ASSERT_EQUAL(peer_endpoint(p)->models.used, 0);
    CU_ASSERT_EQUAL(kind_of(p, connect_another(p, "localhost")), MR_CC_BBR);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_models, 1);
    peer_end(p);
}

static void one_name(struct mr_limits *limits)
{
    limits->names_max = 1;
}

static const char *name_of(struct peer *p, mr_handle handle)
{
    static struct mr_conn_info info;

    CU_ASSERT_EQUAL(mr_conn_info(peer_endpoint(p), handle, &info), 0);
    return info.server_name;
}

static void a_name_too_many_is_not_kept(void)
{
    struct peer *p = server_with(one_name, (struct peer_options){0});
    mr_handle first = p->conn;
    mr_handle other = connect_another(p, "other.example");

    CU_ASSERT_STRING_EQUAL(name_of(p, first), "localhost");
    CU_ASSERT_STRING_EQUAL(name_of(p, other), "");
    CU_ASSERT_EQUAL(peer_counters(p)->limit_names, 1);
    mr_handle same = connect_another(p, "localhost"); /* is kept already */
    CU_ASSERT_STRING_EQUAL(name_of(p, same), "localhost");
    CU_ASSERT_EQUAL(peer_counters(p)->limit_names, 1);
    end_one(p, other);
    end_one(p, first);
    CU_ASSERT_EQUAL(peer_endpoint(p)->names.pool.used, 1);
    end_one(p, same);
    CU_ASSERT_EQUAL(peer_endpoint(p)->names.pool.used, 0);
    CU_ASSERT_STRING_EQUAL(name_of(p, connect_another(p, "other.example")), "other.example");
    CU_ASSERT_EQUAL(peer_counters(p)->limit_names, 1);
    peer_end(p);
}

static void one_multipath(struct mr_limits *limits)
{
    limits->multipaths_max = 1;
}

/* draft-ietf-quic-multipath, Section 2: without initial_max_path_id of both there is one path. */
static void a_connection_too_many_does_not_offer_multipath(void)
{
    struct peer *p = server_with(one_multipath,
                                 (struct peer_options){.extensions = MR_EXTENSION_MULTIPATH,
                                                       .partner_extensions = MR_EXTENSION_MULTIPATH,
                                                       .paths_max = 4});
    mr_handle first = p->conn;
    mr_handle second = connect_another(p, "localhost");
    struct mr_endpoint *client = p->side[C].ep;

    CU_ASSERT_EQUAL(peer_counters(p)->limit_multipaths, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->multipath_agreed, 1);
    CU_ASSERT_PTR_NOT_NULL(mr_multipath(peer_endpoint(p), conn_of(p, first)));
    CU_ASSERT_PTR_NULL(mr_multipath(peer_endpoint(p), conn_of(p, second)));
    CU_ASSERT_PTR_NOT_NULL(mr_multipath(client, mr_conn_at(client, 0)));
    CU_ASSERT_PTR_NULL(mr_multipath(client, mr_conn_at(client, 1)));
    end_one(p, first);
    CU_ASSERT_EQUAL(peer_endpoint(p)->multipaths.used, 0);
    mr_handle third = connect_another(p, "localhost");
    CU_ASSERT_PTR_NOT_NULL(mr_multipath(peer_endpoint(p), conn_of(p, third)));
    CU_ASSERT_EQUAL(peer_counters(p)->limit_multipaths, 1);
    end_one(p, second);
    end_one(p, third);
    CU_ASSERT_EQUAL(peer_endpoint(p)->multipaths.used, 0);
    peer_end(p);
}

static void one_key(struct mr_limits *limits)
{
    limits->active_keys_max = 1;
}

/* The client's connection number `index` asks for an answer. */
static void ping_from_client(struct peer *p, uint32_t index)
{
    struct mr_endpoint *client = p->side[C].ep;
    struct mr_conn *conn = mr_conn_at(client, index);

    mr_conn_want(client, conn, &conn->app, MR_WANT_PING);
}

static void expanded_keys_give_way_and_are_made_again(void)
{
    struct peer *p = server_with(one_key, (struct peer_options){0});
    const struct mr_counters *counters = peer_counters(p);

    (void)connect_another(p, "localhost");
    let_pass(p, MR_SECOND);
    for (uint32_t i = 0; i < 2; i++) { /* whoever has them now: the first one has them then */
        ping_from_client(p, 0);
        let_pass(p, 100 * MR_MS);
    }
    uint64_t dropped = counters->limit_active_keys;
    uint64_t rebuilt = counters->keys_rebuilt;
    uint64_t received = counters->packets_received;
    for (uint32_t i = 1; i <= 6; i++) {
        ping_from_client(p, i % 2);
        let_pass(p, 100 * MR_MS);
        CU_ASSERT_EQUAL(counters->limit_active_keys, dropped + i);
        CU_ASSERT_EQUAL(counters->keys_rebuilt, rebuilt + i);
        CU_ASSERT_EQUAL(peer_endpoint(p)->keys.used, 1);
    }
    CU_ASSERT_EQUAL(counters->packets_received, received + 6);
    CU_ASSERT_EQUAL(counters->dropped_no_key + counters->dropped_undecryptable, 0);
    peer_end(p);
}

/* Keys are written over those before them; what they leave of them is wiped. */
static void nothing_is_left_of_expanded_keys(void)
{
    static const struct mr_aead_key nothing;
    struct peer *p = server_with(one_key, (struct peer_options){0});
    struct mr_endpoint *client = p->side[C].ep;

    (void)connect_another(p, "localhost");
    let_pass(p, MR_SECOND);
    ping_from_client(p, 0);
    CU_ASSERT_TRUE_FATAL(mr_keys_update_now(client, mr_conn_at(client, 0), p->now));
    let_pass(p, 10 * MR_MS);
    const struct mr_conn_keys *keys = mr_pool_at(&peer_endpoint(p)->keys, 0);
    CU_ASSERT_EQUAL(keys->opens, 3); /* of both phases */
    ping_from_client(p, 1);
    let_pass(p, 10 * MR_MS);
    CU_ASSERT_EQUAL(keys->opens, 1);
    CU_ASSERT_NOT_EQUAL(memcmp(&keys->open[0], &nothing, sizeof(nothing)), 0);
    CU_ASSERT_EQUAL(memcmp(&keys->open[1], &nothing, sizeof(nothing)), 0);
    peer_end(p);
}

/* Nor of those of a cipher that has more of them. */
static void nothing_is_left_of_keys_of_another_cipher(void)
{
    struct peer *p = server_with(one_key, (struct peer_options){0});
    struct mr_endpoint *ep = peer_endpoint(p);

    (void)connect_another(p, "localhost");
    let_pass(p, MR_SECOND);
    struct mr_conn *first = mr_conn_at(ep, 0);
    struct mr_conn *second = mr_conn_at(ep, 1);
    first->key_state.seal.cipher = first->key_state.open.cipher = MR_CIPHER_AES_256_GCM;
    for (int i = 0; i < 2; i++) {
        ep->burst++; /* none in use is taken */
        CU_ASSERT_PTR_NOT_NULL_FATAL(mr_keys_use(ep, i == 0 ? first : second));
    }
    const struct mr_conn_keys *keys = mr_pool_at(&ep->keys, 0);
    CU_ASSERT_EQUAL_FATAL(keys->conn, 1);
    const struct mr_conn_keys over = *keys;
    mr_keys_drop(ep, second);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mr_keys_use(ep, second)); /* where nothing was */
    if (mr_hp_aesni_is_available()) {
        CU_ASSERT_EQUAL(memcmp(&over.seal_hp, &keys->seal_hp, sizeof(over.seal_hp)), 0);
        CU_ASSERT_EQUAL(memcmp(&over.open_hp, &keys->open_hp, sizeof(over.open_hp)), 0);
    }
    peer_end(p);
}

/* No keys are taken from a connection in whose burst they are used: the others' packets are
 * dropped, and come again. */
static void expanded_keys_in_use_stay(void)
{
    struct peer *p = server_with(one_key, (struct peer_options){0});
    const struct mr_counters *counters = peer_counters(p);
    uint8_t bytes[2][PEER_DATAGRAM];
    struct mr_outgoing out[2] = {{.data = bytes[0], .room = PEER_DATAGRAM},
                                 {.data = bytes[1], .room = PEER_DATAGRAM}};
    struct peer_raw raws[2];

    (void)connect_another(p, "localhost");
    let_pass(p, MR_SECOND);
    uint64_t received = counters->packets_received;
    ping_from_client(p, 0);
    ping_from_client(p, 1);
    CU_ASSERT_EQUAL_FATAL(mr_endpoint_send(p->side[C].ep, out, 2, p->now), 2);
    for (int i = 0; i < 2; i++) {
        raws[i] = (struct peer_raw){.path = p->path, .size = out[i].size, .ecn = out[i].ecn};
        memcpy(raws[i].bytes, bytes[i], out[i].size);
    }
    peer_deliver_burst(p, raws, 2);
    CU_ASSERT_EQUAL(counters->packets_received, received + 1);
    CU_ASSERT_EQUAL(counters->dropped_no_key, 1);
    let_pass(p, 2 * MR_SECOND);
    CU_ASSERT_TRUE(counters->packets_received > received + 1);
    for (uint32_t i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(mr_conn_at(p->side[C].ep, i)->app.sent.in_flight_count, 0);
    CU_ASSERT_EQUAL(counters->dropped_no_key, 1);
    peer_end(p);
}

/* Each is told of its end, though there are expanded keys for one in a burst. */
static void each_close_gets_keys_in_its_turn(void)
{
    struct peer *p = server_with(one_key, (struct peer_options){0});
    struct mr_endpoint *client = p->side[C].ep;

    (void)connect_another(p, "localhost");
    let_pass(p, MR_SECOND);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(client), 2);
    mr_endpoint_close_all(peer_endpoint(p), 7, p->now);
    let_pass(p, 40 * MR_MS); /* not only when its closing period is over */
    for (uint32_t i = 0; i < 2; i++) {
        CU_ASSERT_FALSE(mr_conn_is_alive(mr_conn_at(client, i)));
        CU_ASSERT_TRUE(mr_conn_at(client, i)->close.is_remote);
        CU_ASSERT_EQUAL(mr_conn_at(client, i)->close.error, 7);
    }
    let_pass(p, 5 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(peer_endpoint(p)), 0);
    peer_end(p);
}

/* Nor for any: it goes on trying for as long as its peer may be there, and no longer. */
static void a_close_without_keys_goes_on_trying(void)
{
    struct peer *p = server_with(one_key, (struct peer_options){0});
    struct mr_endpoint *ep = peer_endpoint(p);
    uint32_t taken;

    mr_keys_drop(ep, peer_conn(p));
    taken = mr_pool_get(&ep->keys);
    struct mr_conn_keys *keys = mr_pool_at(&ep->keys, taken);
    uint64_t sent = peer_counters(p)->datagrams_sent;
    mr_endpoint_close_all(ep, 7, p->now);
    for (int i = 0; i < 1000; i++) { /* somebody's, in each burst */
        keys->burst = ep->burst + 1;
        p->now += MR_MS;
        mr_endpoint_expire(ep, p->now);
        peer_drain(p);
    }
    CU_ASSERT_EQUAL(peer_counters(p)->datagrams_sent, sent);
    CU_ASSERT_EQUAL(peer_conn(p)->state, MR_CONN_CLOSING);
    mr_pool_put(&ep->keys, taken);
    let_pass(p, MR_SECOND);
    CU_ASSERT_EQUAL(peer_counters(p)->datagrams_sent, sent + 1);
    let_pass(p, 5 * MR_SECOND);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(ep), 0);
    peer_end(p);
}

/* ------------------------------------------------------------------ streams */

static void three_streams(struct mr_limits *limits)
{
    limits->streams_max = 3;
}

/* All of it, given back. */
static uint64_t read_all(struct peer *p, mr_handle stream, uint8_t *bytes, size_t room)
{
    struct mr_view views[16];
    uint64_t read = 0;
    bool has_fin;
    int64_t count;

    while ((count = mr_stream_receive(peer_endpoint(p), stream, views, 16, &has_fin)) > 0) {
        size_t size = 0;

        for (int64_t i = 0; i < count; i++) {
            CU_ASSERT_TRUE_FATAL(read + size + views[i].size <= room);
            memcpy(bytes + read + size, views[i].data, views[i].size);
            size += views[i].size;
        }
        CU_ASSERT_EQUAL(mr_stream_release(peer_endpoint(p), stream, size), 0);
        read += size;
    }
    return read;
}

static mr_handle stream_of(const struct peer *p, uint32_t nth)
{
    for (uint32_t i = 0; i < p->event_count; i++) {
        if ((p->events[i].event.kinds & MR_EVENT_STREAM_OPENED) != 0 && nth-- == 0)
            return p->events[i].event.stream;
    }
    return MR_HANDLE_NONE;
}

/* The peer is within its own limit (RFC 9000, Section 4.6), so that nothing is its fault: what
 * opens a stream too many is not acknowledged, and comes again. */
static void a_stream_too_many_waits(void)
{
    struct peer_options options = {.under_test = S, .edit_limits = three_streams};
    struct peer *p = peer_new(&options);
    const struct mr_counters *counters = peer_counters(p);
    uint8_t bytes[16];
    mr_handle stream;

    peer_run(p, PEER_DONE);
    peer_conn(p)->skip_pn = UINT64_MAX;
    PEER_SEND(p, "\x0b\x00\x01"
                 "a"
                 "\x0b\x04\x01"
                 "b"
                 "\x0b\x08\x01"
                 "c");
    CU_ASSERT_EQUAL(counters->streams_opened, 3);
    CU_ASSERT_EQUAL(counters->limit_streams, 0);
    uint64_t pn = p->next_pn[MR_SPACE_APP];
    PEER_SEND(p, "\x0b\x0c\x01"
                 "d");
    CU_ASSERT_EQUAL(counters->limit_streams, 1);
    CU_ASSERT_EQUAL(counters->stream_data_dropped, 1);
    CU_ASSERT_FALSE(mr_ack_ranges_contains(&peer_conn(p)->app.received, pn));
    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream), -ENOMEM);
    CU_ASSERT_EQUAL(counters->limit_streams, 2);

    stream = stream_of(p, 0);
    CU_ASSERT_EQUAL(read_all(p, stream, bytes, sizeof(bytes)), 1);
    CU_ASSERT_EQUAL(bytes[0], 'a');
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, NULL, 0, MR_SEND_FIN), 0);
    peer_drain(p);
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_EQUAL(peer_endpoint(p)->streams.used, 2);
    PEER_SEND(p, "\x0b\x0c\x01"
                 "d");
    CU_ASSERT_EQUAL(read_all(p, stream_of(p, 3), bytes, sizeof(bytes)), 1);
    CU_ASSERT_EQUAL(bytes[0], 'd');
    CU_ASSERT_EQUAL(counters->limit_streams, 2);
    CU_ASSERT_EQUAL(counters->streams_opened, 4);
    peer_expect_close(p, "a stream too many", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static void two_pinned(struct mr_limits *limits)
{
    limits->pinned_max = 2;
}

#define PIECE 600 /* bytes, most of its datagram: it is not copied for being small */

/* Piece number `piece` of stream 0. */
static void send_piece(struct peer *p, uint32_t piece)
{
    uint8_t frame[16 + PIECE];
    struct mr_writer w = mr_writer(frame, sizeof(frame));
    uint8_t bytes[PIECE];

    memset(bytes, (int)('a' + piece), sizeof(bytes));
    mr_write_u8(&w, MR_FRAME_STREAM | 0x04); /* OFF, and to the end of the packet */
    mr_write_varint(&w, 0);
    mr_write_varint(&w, (uint64_t)piece * PIECE);
    mr_write_bytes(&w, bytes, sizeof(bytes));
    peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
}

static void beyond_the_pinned_buffers_data_is_copied(void)
{
    struct peer_options options = {.under_test = S, .edit_limits = two_pinned};
    struct peer *p = peer_new(&options);
    struct mr_endpoint *ep = peer_endpoint(p);
    uint8_t bytes[5 * PIECE];

    peer_run(p, PEER_DONE);
    uint64_t copies = peer_counters(p)->copies_to_compact;
    for (uint32_t piece = 0; piece < 5; piece++) {
        send_piece(p, piece);
        CU_ASSERT_EQUAL(ep->recv_pools.pinned_count, MR_MIN(piece + 1, 2u));
        CU_ASSERT_EQUAL(p->side[S].buffers_out, MR_MIN(piece + 1, 2u));
        CU_ASSERT_EQUAL(peer_counters(p)->limit_pinned, piece < 2 ? 0 : piece - 1);
    }
    CU_ASSERT_EQUAL(peer_counters(p)->copies_to_compact, copies + 3);
    CU_ASSERT_EQUAL(read_all(p, stream_of(p, 0), bytes, sizeof(bytes)), sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        CU_ASSERT_EQUAL_FATAL(bytes[i], 'a' + i / PIECE);
    peer_drain(p);
    CU_ASSERT_EQUAL(ep->recv_pools.pinned_count, 0);
    CU_ASSERT_EQUAL(ep->blocks.used, 1); /* what the stream appends to */
    send_piece(p, 5);
    CU_ASSERT_EQUAL(ep->recv_pools.pinned_count, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_pinned, 3);
    PEER_SEND(p, "\x04\x00\x07\x4e\x10"); /* RESET_STREAM, after 3,600 bytes */
    CU_ASSERT_EQUAL(ep->recv_pools.pinned_count, 0);
    CU_ASSERT_EQUAL(ep->blocks.used, 0);
    CU_ASSERT_EQUAL(p->side[S].buffers_out, 0);
    peer_expect_close(p, "pinned", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* ------------------------------------------------------------------ events */

static void events_that_find_no_room_come_with_the_next_call(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_event events[3];
    mr_handle seen[3];

    p->holds_events = true;
    PEER_SEND(p, "\x0a\x00\x01"
                 "a"
                 "\x0a\x04\x01"
                 "b"
                 "\x0a\x08\x01"
                 "c");
    uint64_t before = peer_counters(p)->limit_events;
    CU_ASSERT_EQUAL_FATAL(mr_endpoint_events(peer_endpoint(p), events, 2), 2);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_events, before + 1);
    seen[0] = events[0].stream;
    seen[1] = events[1].stream;
    CU_ASSERT_EQUAL_FATAL(mr_endpoint_events(peer_endpoint(p), events, 2), 1);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_events, before + 1);
    seen[2] = events[0].stream;
    CU_ASSERT_TRUE(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_TRUE(mr_stream_id(peer_endpoint(p), seen[i]) <= 8);
    CU_ASSERT_EQUAL(mr_endpoint_events(peer_endpoint(p), events, 2), 0);
    CU_ASSERT_EQUAL(mr_endpoint_events(peer_endpoint(p), events, 0), 0); /* asked for nothing */
    CU_ASSERT_EQUAL(peer_counters(p)->limit_events, before + 1);
    peer_end(p);
}

/* ------------------------------------------------------------------ losses taken back */

static void few_chunks(struct mr_limits *limits)
{
    limits->chunks_max = 12;
}

static uint64_t ping_it(struct peer *p)
{
    struct mr_conn *conn = peer_conn(p);
    uint64_t pn = mr_sent_next(&conn->app.sent);

    mr_conn_want(peer_endpoint(p), conn, &conn->app, MR_WANT_PING);
    peer_drain(p);
    return pn;
}

/* A loss that was none is taken back if its packet is acknowledged after all, but where no block of
 * memory was left to remember what it took. */
static void without_a_block_a_loss_is_final(void)
{
    for (int is_full = 0; is_full < 2; is_full++) {
        struct peer_options options = {.under_test = S, .edit_limits = few_chunks};
        struct peer *p = peer_new(&options);
        struct mr_endpoint *ep = peer_endpoint(p);
        const struct mr_view byte = {.data = (const uint8_t *)"x", .size = 1};
        mr_handle stream[8];

        peer_run(p, PEER_DONE);
        peer_conn(p)->skip_pn = UINT64_MAX;
        for (int i = 0; i < 8; i++)
            CU_ASSERT_EQUAL_FATAL(mr_stream_open(ep, p->conn, MR_OPEN_BIDI, 0, &stream[i]), 0);
        uint64_t lost = ping_it(p);
        uint64_t last = 0;
        for (int i = 0; i < 3; i++)
            last = ping_it(p);
        (void)ping_it(p); /* what is older than all that is in flight would be forgotten */
        /* packets of many frames, which are on their way all the time */
        for (int round = 0; is_full && round < 20 && mr_pool_free_count(&ep->frame_blocks) > 0;
             round++) {
            for (int i = 0; i < 8; i++)
                CU_ASSERT_EQUAL(mr_stream_send(ep, stream[i], &byte, 1, 0), 0);
            peer_drain(p);
        }
        CU_ASSERT_EQUAL(mr_pool_free_count(&ep->frame_blocks) == 0, is_full);
        uint64_t window = mr_cc_window(&peer_conn(p)->path.cc);
        peer_ack(p, lost + 1, last);
        CU_ASSERT_EQUAL(peer_counters(p)->packets_lost, 1);
        CU_ASSERT_EQUAL(peer_counters(p)->limit_undos, (uint64_t)is_full);
        CU_ASSERT_TRUE(mr_cc_window(&peer_conn(p)->path.cc) < window);
        peer_ack(p, lost, lost);
        CU_ASSERT_EQUAL(peer_counters(p)->packets_lost_spurious, 1);
        CU_ASSERT_EQUAL(peer_counters(p)->congestion_undone, !is_full);
        CU_ASSERT_EQUAL(mr_cc_window(&peer_conn(p)->path.cc) < window, is_full);
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
        CU_ASSERT_EQUAL(ep->frame_blocks.used, 0);
        peer_expect_close(p, "a loss", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

/* ------------------------------------------------------------------ traces */

static void many_connections(struct mr_limits *limits)
{
    limits->connections_max = limits->handshakes_max = MR_TRACED_MAX + 8;
    limits->chunks_max = 4096;
    limits->segments_max = 4096;
}

/* A client's further connection, that nobody will answer. */
static mr_handle begin_one(struct peer *p)
{
    struct mr_connect_options options = {
        .server_name = "localhost", .alpn = (const uint8_t *)"\004peer", .alpn_size = 5};
    mr_handle handle;

    memcpy(options.remote.ip, p->path.remote.ip, sizeof(options.remote.ip));
    options.remote.port = p->path.remote.port;
    CU_ASSERT_EQUAL_FATAL(
        mr_conn_connect(peer_endpoint(p), &options, &p->path.local, p->now, &handle), 0);
    peer_drain(p);
    peer_clear(p);
    return handle;
}

static uint32_t read_traces(struct mr_tracer *tracer)
{
    static uint64_t record[MR_TRACE_RECORD_MAX];
    uint32_t count = 0;

    while (mr_tracer_read(tracer, record))
        count++;
    return count;
}

static void connections_beyond_the_traced_are_not_traced(void)
{
    static struct mr_tracer tracer;
    struct peer_options options = {.under_test = C, .edit_limits = many_connections};
    struct peer *p = peer_new(&options);
    struct mr_endpoint *ep = peer_endpoint(p);
    mr_handle conns[MR_TRACED_MAX];
    _Atomic uint32_t next = MR_TRACED_MAX + 4;
    const struct mr_trace_rule rule = {.what = MR_TRACE_EVENTS, .next = &next};

    p->is_alone = true;
    mr_tracer_init(&tracer, 1);
    mr_endpoint_set_tracer(ep, &tracer, p->now);
    mr_endpoint_trace_new(ep, &rule);
    for (uint32_t i = 0; i < MR_TRACED_MAX; i++) {
        conns[i] = begin_one(p);
        CU_ASSERT_TRUE(mr_conn_is_traced(conn_of(p, conns[i])));
        CU_ASSERT_TRUE(read_traces(&tracer) > 0);
    }
    CU_ASSERT_EQUAL(peer_counters(p)->limit_traces, 0);
    mr_handle more = begin_one(p);
    CU_ASSERT_FALSE(mr_conn_is_traced(conn_of(p, more)));
    CU_ASSERT_EQUAL(peer_counters(p)->limit_traces, 1);
    CU_ASSERT_EQUAL(next, 4); /* four are still to be traced */
    CU_ASSERT_EQUAL(mr_conn_trace(ep, more, MR_TRACE_EVENTS, p->now), -EAGAIN);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_traces, 2);
    CU_ASSERT_EQUAL(mr_conn_trace(ep, conns[0], 0, p->now), 0); /* one is done */
    CU_ASSERT_EQUAL(mr_conn_trace(ep, more, MR_TRACE_EVENTS, p->now), 0);
    CU_ASSERT_TRUE(mr_conn_is_traced(conn_of(p, more)));
    CU_ASSERT_EQUAL(peer_counters(p)->limit_traces, 2);

    mr_endpoint_trace_stop(ep, p->now);
    CU_ASSERT_EQUAL(tracer.count, 0);
    (void)begin_one(p); /* nobody asks for it */
    CU_ASSERT_EQUAL(peer_counters(p)->limit_traces, 2);
    peer_end(p);
}

/* A writer that does not come keeps the ring full. */
static void a_full_ring_begins_no_trace(void)
{
    static struct mr_tracer tracer;
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_endpoint *ep = peer_endpoint(p);
    uint32_t begun = 0;

    mr_tracer_init(&tracer, 1);
    mr_endpoint_set_tracer(ep, &tracer, p->now);
    while (begun < MR_TRACE_RING_WORDS && mr_conn_trace(ep, p->conn, MR_TRACE_EVENTS, p->now) == 0)
        begun++;
    CU_ASSERT_TRUE(begun > 1000 && begun < MR_TRACE_RING_WORDS);
    CU_ASSERT_FALSE(mr_conn_is_traced(peer_conn(p)));
    CU_ASSERT_EQUAL(tracer.count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_traces, 1);
    CU_ASSERT_EQUAL(mr_conn_trace(ep, p->conn, MR_TRACE_EVENTS, p->now), -EAGAIN);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_traces, 2);
    CU_ASSERT_TRUE(read_traces(&tracer) > 2 * begun - 2);
    CU_ASSERT_EQUAL(mr_conn_trace(ep, p->conn, MR_TRACE_EVENTS, p->now), 0);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_traces, 2);
    mr_endpoint_trace_stop(ep, p->now);
    peer_expect_close(p, "a full ring", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* ------------------------------------------------------------------ received packets */

static void ping_as(struct peer *p, uint64_t pn)
{
    peer_send_packet(
        p, &(struct peer_out){.type = MR_PACKET_ONE_RTT, .frames = "\x01", .size = 1, .pn = pn});
}

/* RFC 9000, Section 13.2.3: "A receiver limits the number of ACK Ranges (Section 19.3.1) it
 * remembers and sends in ACK frames"; "it MUST retain an ACK Range unless it can ensure that it
 * will not subsequently accept packets with numbers in that range." */
static void the_oldest_range_of_received_packets_gives_way(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    const struct mr_ack_ranges *received = &peer_conn(p)->app.received;
    uint64_t pn = p->next_pn[MR_SPACE_APP];

    while (received->count < MR_ACK_RANGES_MAX)
        ping_as(p, pn += 2);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_ack_ranges, 0);
    uint64_t oldest = received->range[MR_ACK_RANGES_MAX - 1].hi;
    for (uint64_t i = 1; i <= 5; i++) {
        ping_as(p, pn += 2);
        CU_ASSERT_EQUAL(peer_counters(p)->limit_ack_ranges, i);
        CU_ASSERT_EQUAL(received->count, MR_ACK_RANGES_MAX);
    }
    uint64_t packets = peer_counters(p)->packets_received;
    ping_as(p, oldest); /* nobody knows any more that it came: it is not processed again */
    ping_as(p, received->floor - 1);
    CU_ASSERT_EQUAL(peer_counters(p)->packets_received, packets);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_too_old, 2);
    ping_as(p, pn - 1); /* a gap is closed */
    CU_ASSERT_EQUAL(received->count, MR_ACK_RANGES_MAX - 1);
    CU_ASSERT_EQUAL(peer_counters(p)->packets_received, packets + 1);

    mr_conn_want(peer_endpoint(p), peer_conn(p), &peer_conn(p)->app, MR_WANT_PING);
    ping_as(p, pn + 1);
    p->next_pn[MR_SPACE_APP] = pn + 2;
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1); /* what was told is known */
    CU_ASSERT_EQUAL(received->count, 1);              /* with the ACK's own */
    ping_as(p, pn + 10);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_ack_ranges, 5);
    peer_expect_close(p, "ranges", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"the oldest range of received packets gives way",
     the_oldest_range_of_received_packets_gives_way},
    {"without a model a connection is under CUBIC", without_a_model_a_connection_is_under_cubic},
    {"a name too many is not kept", a_name_too_many_is_not_kept},
    {"a connection too many does not offer multipath",
     a_connection_too_many_does_not_offer_multipath},
    {"expanded keys give way and are made again", expanded_keys_give_way_and_are_made_again},
    {"nothing is left of expanded keys", nothing_is_left_of_expanded_keys},
    {"nothing is left of keys of another cipher", nothing_is_left_of_keys_of_another_cipher},
    {"expanded keys in use stay", expanded_keys_in_use_stay},
    {"each close gets keys in its turn", each_close_gets_keys_in_its_turn},
    {"a close without keys goes on trying", a_close_without_keys_goes_on_trying},
    {"a stream too many waits", a_stream_too_many_waits},
    {"beyond the pinned buffers data is copied", beyond_the_pinned_buffers_data_is_copied},
    {"events that find no room come with the next call",
     events_that_find_no_room_come_with_the_next_call},
    {"without a block a loss is final", without_a_block_a_loss_is_final},
    {"connections beyond the traced are not traced", connections_beyond_the_traced_are_not_traced},
    {"a full ring begins no trace", a_full_ring_begins_no_trace},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "bounds", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
