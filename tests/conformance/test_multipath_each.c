/*
 * tests/conformance/test_multipath_each.c - draft-ietf-quic-multipath: what RFC 9000 and RFC 9001
 * ask of the path, asked of each path of several.
 */
#include "tests/support/peer_paths.h"

#define C         MR_CLIENT
#define S         MR_SERVER
#define SLOW_NS   (4 * MR_SECOND)
#define DATA_SIZE 100000

/* ------------------------------------------------------------------ stateless reset */

/* A datagram that ends in `token`, from `port` of the peer. */
static void send_reset(struct peer *p, uint16_t port, const uint8_t token[MR_RESET_TOKEN])
{
    struct mr_path_addr usual = p->path;
    uint8_t bytes[60];

    memset(bytes, 0x3c, sizeof(bytes));
    bytes[0] = 0x41;
    memcpy(bytes + sizeof(bytes) - MR_RESET_TOKEN, token, MR_RESET_TOKEN);
    p->path.remote.port = port;
    peer_deliver(p, bytes, sizeof(bytes));
    p->path = usual;
}

/* The peer's connection ID that is used on the path, or would be. */
static const struct mr_peer_cid *used_cid(struct peer *p, uint32_t path)
{
    const struct mr_path_record *record = peer_path_record(p, path);

    return &record->peer_cids[record->peer_cid_current];
}

/* RFC 9000, Section 10.3.1: "The endpoint identifies a received datagram as a Stateless Reset by
 * comparing the last 16 bytes of the datagram with all stateless reset tokens associated with the
 * remote address on which the datagram was received." */
static void a_reset_by_a_further_path_ends_the_connection(void)
{
    struct peer *p = peer_server_with_path();
    uint8_t token[MR_RESET_TOKEN];

    memcpy(token, used_cid(p, 1)->reset_token, sizeof(token));
    send_reset(p, p->path.remote.port, token);
    CU_ASSERT(mr_conn_is_alive(peer_conn(p))); /* the token of path 1, from path 0's address */
    peer_path_record(p, 1)->path.rtt.smoothed_ns = SLOW_NS;
    send_reset(p, PEER_OTHER_PORT, token);
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(peer_counters(p)->stateless_resets_received, 1);
    CU_ASSERT(peer_conn(p)->close_until_ns > p->now + 3 * SLOW_NS); /* Section 2.6 */
    peer_end(p);

    /* one that comes with a connection ID of the path, and cannot be opened */
    p = peer_server_with_path();
    uint8_t bytes[60] = {0x41};
    struct mr_path_addr usual = p->path;
    struct mr_cid dcid = peer_path_cid(p, 1, 0);
    memcpy(bytes + 1, dcid.bytes, dcid.size);
    memcpy(bytes + sizeof(bytes) - MR_RESET_TOKEN, used_cid(p, 1)->reset_token, MR_RESET_TOKEN);
    p->path.remote.port = PEER_OTHER_PORT;
    peer_deliver(p, bytes, sizeof(bytes));
    p->path = usual;
    CU_ASSERT_EQUAL(peer_counters(p)->stateless_resets_received, 1);
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(p)));
    peer_end(p);
}

/* RFC 9000, Section 10.3.1: "An endpoint MUST NOT check for any stateless reset tokens associated
 * with connection IDs it has not used or for connection IDs that have been retired." */
static void tokens_of_paths_that_are_not_used_do_not_count(void)
{
    struct peer *p = peer_server_with_path();
    const struct mr_peer_cid *used = used_cid(p, 1);
    const struct mr_peer_cid *spare = &peer_path_record(p, 1)->peer_cids[0];
    uint8_t token[MR_RESET_TOKEN];

    spare += spare == used;
    CU_ASSERT_FATAL(spare->has_token);
    send_reset(p, PEER_OTHER_PORT, spare->reset_token);
    send_reset(p, PEER_OTHER_PORT, used_cid(p, 2)->reset_token);
    send_reset(p, p->path.remote.port, used_cid(p, 2)->reset_token);
    CU_ASSERT(mr_conn_is_alive(peer_conn(p)));
    memcpy(token, used->reset_token, sizeof(token));
    PEER_SEND(p, "\x7e\x75\x01\x00"); /* PATH_ABANDON: "immediately retired" */
    send_reset(p, PEER_OTHER_PORT, token);
    CU_ASSERT(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(peer_counters(p)->stateless_resets_received, 0);
    peer_end(p);
}

/* A path ID is given a connection ID that retires all before it, and is not used. */
static void a_token_does_not_count_before_its_path_begins(void)
{
    struct peer *p = peer_several(S, PEER_DONE);

    PEER_SEND(p, "\x7e\x78\x02\x02\x02\x08"
                 "abcdefgh"
                 "0123456789abcdef");
    CU_ASSERT(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(used_cid(p, 2)->sequence, 2);
    send_reset(p, p->path.remote.port, (const uint8_t *)"0123456789abcdef");
    CU_ASSERT_FALSE(peer_path_record(p, 2)->is_token_tracked);
    peer_send_by(p, 2, 0, "\1", 1); /* now it does */
    CU_ASSERT(peer_path_record(p, 2)->is_token_tracked);
    send_reset(p, PEER_OTHER_PORT, (const uint8_t *)"0123456789abcdef");
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(p)));
    peer_end(p);
}

/* ------------------------------------------------------------------ the MTU */

static void tell_too_big(struct peer *p, const struct mr_path_addr *addr, const struct mr_cid *cid)
{
    uint8_t bytes[40] = {0x43};

    memcpy(bytes + 1, cid->bytes, cid->size);
    CU_ASSERT(mr_endpoint_too_big(peer_endpoint(p), addr, 1300, bytes, sizeof(bytes)));
    for (int i = 0; i < 10 && mr_endpoint_deadline(peer_endpoint(p)) == 0; i++)
        mr_endpoint_expire(peer_endpoint(p), p->now);
    peer_drain(p);
}

/* RFC 9000, Section 14.2.1: a message about a packet that is too big is for the path whose
 * addresses and connection ID it quotes. */
static void a_message_lowers_the_mtu_of_its_path(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_path_record *record = peer_path_record(p, 1);
    uint32_t before = peer_conn(p)->path.mtu;

    record->path.mtu = 1452;
    mr_mtu_search_init(&record->mtu_search);
    record->app.wants &= ~(uint32_t)MR_WANT_MTU_PROBE;
    uint64_t ignored = peer_counters(p)->too_big_ignored;
    tell_too_big(p, &record->path.addr, &used_cid(p, 2)->cid); /* of another path */
    tell_too_big(p, &peer_conn(p)->path.addr, &used_cid(p, 1)->cid);
    CU_ASSERT_EQUAL(record->path.mtu, 1452);
    CU_ASSERT_EQUAL(peer_counters(p)->too_big_ignored, ignored + 2);
    peer_clear(p);
    tell_too_big(p, &record->path.addr, &used_cid(p, 1)->cid);
    CU_ASSERT_EQUAL(record->path.mtu, MR_INITIAL_MIN);
    CU_ASSERT_EQUAL(peer_conn(p)->path.mtu, before);
    CU_ASSERT_EQUAL(peer_counters(p)->too_big_taken, 1);
    bool is_probed = false; /* by the path that it is about */
    for (uint32_t i = 0; i < p->inbox_count; i++)
        is_probed |= p->inbox[i].path_id == 1 && p->inbox[i].datagram_size == 1300;
    CU_ASSERT(is_probed);
    peer_end(p);
}

/* ------------------------------------------------------------------ time */

/* RFC 9000, Section 10.1: "To avoid excessively small idle timeout periods, endpoints MUST increase
 * the idle timeout period to be at least three times the current Probe Timeout (PTO)."  Section 2.6
 * has "three times the largest PTO among all paths" for other times. */
static void the_slowest_path_decides_how_long_is_idle(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_conn *conn = peer_conn(p);

    peer_advance(p, 2 * MR_SECOND); /* nothing is on its way */
    peer_path_record(p, 1)->path.rtt.smoothed_ns = SLOW_NS;
    conn->idle_timeout_ns = MR_SECOND;
    PEER_SEND(p, "\1");
    peer_advance(p, 2 * SLOW_NS);
    CU_ASSERT_EQUAL(peer_counters(p)->idle_timeouts, 0);
    CU_ASSERT(mr_conn_is_alive(peer_conn(p)));
    peer_advance(p, 4 * SLOW_NS);
    CU_ASSERT_EQUAL(peer_counters(p)->idle_timeouts, 1);
    peer_end(p);
}

/* The largest probe timeout is the same whichever path is in hand; abandoned ones have none. */
static void the_largest_probe_timeout_is_of_all_paths(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_endpoint *ep = peer_endpoint(p);
    struct mr_conn *conn = peer_conn(p);
    uint32_t record = mr_multipath_find(ep, peer_paths(p), 1);

    conn->path.rtt.smoothed_ns = SLOW_NS;
    uint64_t largest = mr_multipath_pto(ep, conn);
    CU_ASSERT(largest > SLOW_NS);
    mr_path_record_at(ep, record)->life.state = MR_PATH_ABANDONED;
    mr_multipath_hand(ep, conn, record);
    CU_ASSERT_EQUAL(mr_multipath_pto(ep, conn), largest);
    mr_multipath_rest(ep, conn);
    mr_path_record_at(ep, record)->path.rtt.smoothed_ns = 2 * SLOW_NS;
    CU_ASSERT_EQUAL(mr_multipath_pto(ep, conn), largest);
    mr_path_record_at(ep, record)->life.state = MR_PATH_OPEN;
    CU_ASSERT(mr_multipath_pto(ep, conn) > 2 * SLOW_NS);
    peer_end(p);
}

/* ------------------------------------------------------------------ a path that changes */

static mr_handle send_data(struct peer *p)
{
    static const uint8_t data[DATA_SIZE];
    struct mr_view view = {.data = data, .size = sizeof(data)};
    mr_handle stream;

    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    peer_drain(p);
    return stream;
}

/* STREAM frame number `nth` that came by `path`. */
static const struct peer_packet *find_stream(const struct peer *p, uint32_t path, uint32_t nth,
                                             struct mr_frame_stream *out)
{
    const struct peer_packet *packet;
    struct mr_reader r;

    for (uint32_t i = 0; (packet = peer_find(p, MR_FRAME_STREAM, i, &r)) != NULL; i++) {
        if (packet->path_id != path || nth-- > 0)
            continue;
        CU_ASSERT(mr_frame_decode_stream(&r, r.at[-1], out)); /* the type is one byte */
        return packet;
    }
    return NULL;
}

/* Bytes of data that a server sends to a peer with a new address before that is validated. */
static uint64_t sent_to_new_address(bool is_multipath)
{
    struct peer *p = is_multipath ? peer_several(S, PEER_DONE) : peer_at(S, PEER_DONE);
    uint8_t padded[1150] = {0x01};
    struct mr_frame_stream frame;
    uint64_t bytes = 0;

    p->path.remote.port = PEER_OTHER_PORT;
    peer_send(p, MR_PACKET_ONE_RTT, padded, sizeof(padded));
    CU_ASSERT_EQUAL(peer_counters(p)->rebindings, 1);
    CU_ASSERT_FALSE(peer_conn(p)->path.is_validated);
    send_data(p);
    for (uint32_t i = 0; find_stream(p, 0, i, &frame) != NULL; i++)
        bytes += frame.size;
    CU_ASSERT(peer_conn(p)->path.bytes_sent <= 3 * peer_conn(p)->path.bytes_received);
    peer_end(p);
    return bytes;
}

/* Section 3.1.2: "This MUST be treated as path migration, as specified in Section 9.3 of
 * QUIC-TRANSPORT": until the new address is validated, three times what came from there may be
 * sent, with one path as without the extension. */
static void the_only_path_sends_while_it_is_validated_again(void)
{
    uint64_t alone = sent_to_new_address(false);

    CU_ASSERT(alone > 0);
    CU_ASSERT_EQUAL(sent_to_new_address(true), alone);
}

/* With another path that answers, that one has the data. */
static void a_path_that_is_validated_again_leaves_data_to_others(void)
{
    struct peer *p = peer_server_with_path();
    uint8_t padded[1150] = {0x01};
    struct mr_frame_stream frame;

    p->path.remote.port = PEER_OTHER_PORT + 1;
    peer_send(p, MR_PACKET_ONE_RTT, padded, sizeof(padded));
    peer_clear(p);
    send_data(p);
    CU_ASSERT_PTR_NOT_NULL(find_stream(p, 1, 0, &frame));
    CU_ASSERT_PTR_NULL(find_stream(p, 0, 0, &frame));
    peer_end(p);
}

/* Section 3.2.2: "For the extension specified in this document, endpoints MUST only rotate to
 * another connection ID associated with the same path ID." */
static void a_path_rotates_to_a_connection_id_of_its_own(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_cid before = used_cid(p, 1)->cid;
    struct mr_cid zero = mr_cid_current(peer_conn(p))->cid;
    struct mr_cid dcid = peer_path_cid(p, 1, 1);
    struct mr_reader r;

    p->path.remote.port = PEER_OTHER_PORT + 1; /* with another connection ID: it has moved */
    peer_send_packet(p, &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                           .frames = "\1",
                                           .size = 1,
                                           .pn = 5,
                                           .dcid = &dcid,
                                           .path_id = 1});
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path_id, 1);
    CU_ASSERT_FALSE(mr_cid_equal(&used_cid(p, 1)->cid, &before));
    CU_ASSERT(mr_cid_equal(&mr_cid_current(peer_conn(p))->cid, &zero)); /* path 0 goes on */
    peer_end(p);
}

/* ------------------------------------------------------------------ opening, abandoning */

static int64_t open_to(struct peer *p, const struct mr_addr *remote)
{
    struct mr_path_addr addr = {.local = peer_conn(p)->path.addr.local, .remote = *remote};

    addr.local.port = PEER_OTHER_PORT;
    return mr_conn_path_open(peer_endpoint(p), p->conn, &addr, p->now);
}

/* Section 2.2: "If an endpoint receives a disable_active_migration transport parameter, it is
 * forbidden to establish new paths to the peer's handshake address.  However, establishment of
 * additional paths to other peer addresses (e.g., carried by peer's preferred_address) is
 * immediately valid." */
static void no_path_is_opened_to_a_server_that_forbids_it(void)
{
    for (int is_preferred = 0; is_preferred < 2; is_preferred++) {
        struct peer *p = peer_several(C, PEER_BOTH);
        struct mr_conn *conn = peer_conn(p);
        struct mr_addr current = conn->path.addr.remote;
        struct mr_addr other = current;

        other.port++;
        conn->is_migration_disabled = true;
        conn->is_on_preferred =
            is_preferred != 0; /* then it is the other that is the handshake's */
        CU_ASSERT_EQUAL(open_to(p, is_preferred ? &other : &current), -95); /* EOPNOTSUPP */
        CU_ASSERT_EQUAL(peer_counters(p)->multipath_opened, 0);
        CU_ASSERT_EQUAL(open_to(p, is_preferred ? &current : &other), 1);
        peer_end(p);
    }
}

/* Section 3.4.3: "When an endpoint finally deletes all state associated with the path, the packets
 * sent over the path and not yet acknowledged MUST be considered lost."  They are when nothing more
 * is sent by it. */
static void what_an_abandoned_path_had_sent_is_sent_by_another(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_frame_stream lost, again;
    bool is_sent_again = false;

    peer_conn(p)->path.rtt.smoothed_ns = MR_SECOND; /* path 1 is nearer, and has the data's begin */
    send_data(p);
    CU_ASSERT_PTR_NOT_NULL_FATAL(find_stream(p, 1, 0, &lost));
    uint64_t offset = lost.offset;
    peer_clear(p);
    CU_ASSERT_EQUAL(mr_conn_path_abandon(peer_endpoint(p), p->conn, 1, p->now), 0);
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->path.cc.in_flight, 0);
    for (int i = 0; i < 20 && !is_sent_again; i++) { /* as path 0's window lets it */
        peer_drain(p);
        for (uint32_t k = 0; find_stream(p, 0, k, &again) != NULL; k++)
            is_sent_again |= again.offset <= offset && offset < again.offset + again.size;
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    }
    CU_ASSERT(is_sent_again);
    peer_end(p);
}

/* ------------------------------------------------------------------ keys */

/* RFC 9001, Section 6.5: packets that were sent with the previous keys may come after a key update.
 * Which they are is known from packet numbers, those of the path. */
static void late_packets_of_each_path_are_opened_after_a_key_update(void)
{
    struct peer *p = peer_server_with_path();
    struct mr_path_addr usual = p->path;
    struct mr_cid dcid = peer_path_cid(p, 1, 0);
    uint8_t late[100];
    uint64_t failed = peer_counters(p)->dropped_undecryptable;

    CU_ASSERT_EQUAL(peer_path_record(p, 1)->opened_first_pn, 0);
    size_t size = peer_build(p,
                             &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                                .frames = "\1\0\0\0",
                                                .size = 4,
                                                .pn = 5,
                                                .dcid = &dcid,
                                                .path_id = 1},
                             late, sizeof(late));
    peer_update_keys(p);
    PEER_SEND(p, "\1");
    CU_ASSERT_EQUAL(peer_counters(p)->key_updates_received, 1);
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->opened_first_pn, MR_NEVER);
    p->path.remote.port = PEER_OTHER_PORT;
    peer_deliver(p, late, size);
    p->path = usual;
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->app.received.range[0].hi, 5);
    peer_send_by(p, 1, 6, "\1", 1); /* and the next, with the new ones */
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->opened_first_pn, 6);
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->app.received.range[0].hi, 6);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_undecryptable, failed);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"a reset by a further path ends the connection",
     a_reset_by_a_further_path_ends_the_connection},
    {"tokens of paths that are not used do not count",
     tokens_of_paths_that_are_not_used_do_not_count},
    {"a token does not count before its path begins",
     a_token_does_not_count_before_its_path_begins},
    {"a message lowers the MTU of its path", a_message_lowers_the_mtu_of_its_path},
    {"the slowest path decides how long is idle", the_slowest_path_decides_how_long_is_idle},
    {"the largest probe timeout is of all paths", the_largest_probe_timeout_is_of_all_paths},
    {"the only path sends while it is validated again",
     the_only_path_sends_while_it_is_validated_again},
    {"a path that is validated again leaves data to others",
     a_path_that_is_validated_again_leaves_data_to_others},
    {"a path rotates to a connection ID of its own", a_path_rotates_to_a_connection_id_of_its_own},
    {"no path is opened to a server that forbids it",
     no_path_is_opened_to_a_server_that_forbids_it},
    {"what an abandoned path had sent is sent by another",
     what_an_abandoned_path_had_sent_is_sent_by_another},
    {"late packets of each path are opened after a key update",
     late_packets_of_each_path_are_opened_after_a_key_update},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "draft-ietf-quic-multipath, each path", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
