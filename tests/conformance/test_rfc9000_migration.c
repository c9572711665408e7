/*
 * tests/conformance/test_rfc9000_migration.c - RFC 9000, Sections 9.1, 9.2, 9.5, 9.6: clients that
 * change their address, and servers that prefer another one.
 */
#include <errno.h>

#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

static struct mr_addr address(uint8_t last, uint16_t port)
{
    return (struct mr_addr){.ip = {[10] = 0xff, 0xff, 198, 18, 0, last}, .port = port};
}

static struct mr_conn_info info_of(const struct peer *p)
{
    struct mr_conn_info info;

    CU_ASSERT_EQUAL(mr_conn_info(p->side[p->role].ep, p->conn, &info), 0);
    return info;
}

static int migrate(struct peer *p, uint8_t last, uint16_t port)
{
    struct mr_addr local = address(last, port);
    int answer = mr_conn_migrate(peer_endpoint(p), p->conn, &local, p->now);

    peer_drain(p);
    return answer;
}

/* Answer PATH_CHALLENGE number `nth`. */
static bool answer_challenge(struct peer *p, uint32_t nth)
{
    uint8_t frame[9] = {MR_FRAME_PATH_RESPONSE};
    struct mr_reader r;

    if (peer_find(p, MR_FRAME_PATH_CHALLENGE, nth, &r) == NULL)
        return false;
    memcpy(frame + 1, r.at, 8);
    peer_send(p, MR_PACKET_ONE_RTT, frame, sizeof(frame));
    return true;
}

/* Section 9.1: "A packet containing only probing frames is a "probing packet"".  True: no packet
 * that left `local` has another frame. */
static bool has_probes_only(const struct peer *p, const struct mr_addr *local)
{
    for (uint64_t type = 1; type < 0x32; type++) {
        const struct peer_packet *packet;
        struct mr_reader r;

        if (type == MR_FRAME_PATH_CHALLENGE || type == MR_FRAME_PATH_RESPONSE ||
            type == MR_FRAME_NEW_CONNECTION_ID)
            continue;
        for (uint32_t i = 0; (packet = peer_find(p, type, i, &r)) != NULL; i++) {
            if (memcmp(&packet->path.local, local, sizeof(*local)) == 0)
                return false;
        }
    }
    return true;
}

static uint32_t count_from(const struct peer *p, const struct mr_addr *local)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < p->inbox_count; i++)
        count += memcmp(&p->inbox[i].path.local, local, sizeof(*local)) == 0;
    return count;
}

/* Section 9.1: "An endpoint MAY probe for peer reachability from a new local address using path
 * validation (Section 8.2) prior to migrating the connection to the new local address."
 * Section 9.5: "An endpoint MUST NOT reuse a connection ID when sending from more than one local
 * address". */
static void a_client_probes_before_it_goes(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    struct mr_addr new = address(2, 5001);
    struct mr_reader r;
    mr_handle stream;
    struct mr_view view = {.data = (const uint8_t *)"hello", .size = 5};

    CU_ASSERT_EQUAL(migrate(p, 2, 5001), 0);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path.local.port, 5001);
    CU_ASSERT_TRUE(packet->datagram_size >= MR_INITIAL_MIN); /* Section 8.2.1 */
    CU_ASSERT_NOT_EQUAL(memcmp(packet->dcid.bytes, p->scid.bytes, PEER_CID_SIZE), 0);
    struct mr_cid dcid = packet->dcid;

    /* meanwhile everything goes on by the old path */
    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_BIDI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(count_from(p, &new), 1);
    CU_ASSERT_TRUE(has_probes_only(p, &new));
    CU_ASSERT_EQUAL(info_of(p).local.port, 5000);
    CU_ASSERT_EQUAL(migrate(p, 2, 5002), -EBUSY); /* one at a time */

    CU_ASSERT_TRUE(answer_challenge(p, 0));
    CU_ASSERT_EQUAL(info_of(p).local.port, 5001);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_PATH_CHANGED));
    CU_ASSERT_FALSE(has_probes_only(p, &new)); /* so that the server follows */
    peer_clear(p);
    PEER_SEND(p, "\x01");
    peer_advance(p, 100 * MR_MS);
    CU_ASSERT_TRUE(count_from(p, &new) > 0);
    CU_ASSERT_EQUAL(count_from(p, &new), p->inbox_count);
    CU_ASSERT_TRUE(mr_cid_equal(&p->inbox[0].dcid, &dcid));
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_TRUE(peer_count(p, MR_FRAME_RETIRE_CONNECTION_ID) >= 1);
    CU_ASSERT_EQUAL(peer_counters(p)->migrations_done, 1);
    CU_ASSERT_EQUAL(peer_endpoint(p)->extras.used, 0);
    peer_expect_close(p, "migration", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* The peer takes back all connection IDs, and gives `count` new ones. */
static void replace_cids(struct peer *p, uint32_t count)
{
    uint64_t first = mr_conn_at(p->side[!p->role].ep, 0)->issued_next_sequence;
    uint8_t frames[128];
    struct mr_writer w = mr_writer(frames, sizeof(frames));

    for (uint64_t i = 0; i < count; i++)
        mr_frame_write_new_connection_id(
            &w, &(struct mr_frame_new_connection_id){
                    .sequence = first + i,
                    .retire_prior_to = first,
                    .cid = {.size = PEER_CID_SIZE, .bytes = {0xee, (uint8_t)i}},
                    .reset_token = {0xee, (uint8_t)i}});
    peer_send(p, MR_PACKET_ONE_RTT, frames, mr_writer_size(&w));
}

/* Section 9.5: "An endpoint MUST NOT reuse a connection ID when sending from more than one local
 * address", and the one that the path was probed with may be retired before the answer comes. */
static void a_path_whose_connection_id_was_retired_gets_another_or_is_not_taken(void)
{
    for (uint32_t count = 1; count <= 2; count++) {
        struct peer *p = peer_at(C, PEER_DONE);

        CU_ASSERT_EQUAL(migrate(p, 2, 5001), 0);
        replace_cids(p, count);
        CU_ASSERT_TRUE(answer_challenge(p, 0));
        CU_ASSERT_EQUAL(info_of(p).local.port, count == 1 ? 5000 : 5001);
        CU_ASSERT_PTR_NOT_NULL(
            peer_event(p, count == 1 ? MR_EVENT_PATH_FAILED : MR_EVENT_PATH_CHANGED));
        CU_ASSERT_EQUAL(mr_cid_current(peer_conn(p))->cid.bytes[1], count - 1);
        CU_ASSERT_EQUAL(peer_counters(p)->limit_path_cids, count == 1);
        peer_expect_close(p, "retired", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

/* Section 9.1: "Failure to validate a path does not cause the connection to end unless there are no
 * valid alternative paths available." */
static void a_path_that_does_not_answer_is_not_taken(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    struct mr_addr new = address(3, 5000);

    CU_ASSERT_EQUAL(migrate(p, 3, 5000), 0);
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_PATH_FAILED));
    CU_ASSERT_PTR_NULL(peer_event(p, MR_EVENT_PATH_CHANGED));
    CU_ASSERT_TRUE(count_from(p, &new) > 1); /* a challenge may be lost */
    CU_ASSERT_TRUE(count_from(p, &new) < 8);
    CU_ASSERT_TRUE(has_probes_only(p, &new));
    CU_ASSERT_EQUAL(info_of(p).local.ip[15], 2);
    CU_ASSERT_EQUAL(peer_counters(p)->paths_failed, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->migrations_done, 0);
    CU_ASSERT_EQUAL(peer_endpoint(p)->extras.used, 0);
    CU_ASSERT_EQUAL(migrate(p, 3, 5000), 0); /* it may try again */
    CU_ASSERT_TRUE(answer_challenge(p, count_from(p, &new) - 1));
    CU_ASSERT_EQUAL(info_of(p).local.ip[15], 3);
    peer_expect_close(p, "failure", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 9: "An endpoint MUST NOT initiate connection migration before the handshake is
 * confirmed", "If the peer sent the disable_active_migration transport parameter, an endpoint also
 * MUST NOT send packets [...] from a different local address".  "Clients are responsible for
 * initiating all migrations."  Section 9.5: "An endpoint that exhausts available connection IDs
 * cannot probe new paths or initiate migration".
 * Section 18.2: "An endpoint that receives this transport parameter MUST NOT use a new local
 * address when sending to the address that the peer used during the handshake." */
static void a_migration_that_is_not_allowed_is_refused(void)
{
    struct peer *p = peer_at(C, PEER_FLIGHT);
    struct mr_addr local = address(2, 5001);

    p->conn = mr_conn_handle(peer_conn(p));
    CU_ASSERT_EQUAL(migrate(p, 2, 5001), -EBUSY);
    peer_end(p);

    p = peer_at(S, PEER_DONE);
    CU_ASSERT_EQUAL(migrate(p, 1, 444), -EOPNOTSUPP);
    peer_end(p);

    p = peer_at(C, PEER_DONE);
    CU_ASSERT_EQUAL(migrate(p, 2, 0), -EINVAL);
    CU_ASSERT_EQUAL(migrate(p, 2, 5000), -EINVAL);
    CU_ASSERT_EQUAL(mr_conn_migrate(peer_endpoint(p), 12345, &local, p->now), -ESTALE);
    peer_conn(p)->is_migration_disabled = true;
    CU_ASSERT_EQUAL(migrate(p, 2, 5001), -EOPNOTSUPP);
    peer_conn(p)->is_migration_disabled = false;
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++)
        peer_conn(p)->peer_cids[i].is_used = i == peer_conn(p)->peer_cid_current;
    CU_ASSERT_EQUAL(migrate(p, 2, 5001), -EAGAIN);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_path_cids, 1);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    peer_end(p);
}

/* A client that has migrated answers where it was for a while: the server asks there (Section
 * 9.3.3). */
static void the_old_address_answers_for_a_while(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    struct mr_reader r;

    CU_ASSERT_EQUAL(migrate(p, 2, 5001), 0);
    p->path.local.port = 5001;
    CU_ASSERT_TRUE(answer_challenge(p, 0));
    p->path.local.port = 5000;
    peer_clear(p);
    PEER_SEND(p, "\x1a\1\2\3\4\5\6\7\10");
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_RESPONSE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path.local.port, 5000);
    CU_ASSERT_EQUAL(memcmp(packet->dcid.bytes, p->scid.bytes, PEER_CID_SIZE), 0);
    CU_ASSERT_EQUAL(info_of(p).local.port, 5001);
    peer_advance(p, 10 * MR_SECOND);
    peer_clear(p);
    PEER_SEND(p, "\x1a\1\2\3\4\5\6\7\10"); /* its connection ID is retired */
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_RESPONSE), 0);
    peer_end(p);
}

/* Section 9: "If a client receives packets from an unknown server address, the client MUST discard
 * these packets." */
static void packets_of_an_unknown_server_are_dropped(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    uint64_t received = peer_counters(p)->packets_received;

    p->path.remote.port = 444;
    PEER_SEND(p, "\x1a\1\2\3\4\5\6\7\10\x01");
    p->path.remote = address(77, 443);
    PEER_SEND(p, "\x1a\1\2\3\4\5\6\7\10\x01");
    peer_advance(p, MR_SECOND);
    CU_ASSERT_EQUAL(p->inbox_count, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->packets_received, received);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_unknown_server, 2);
    peer_end(p);
}

/* ------------------------------------------------------------------ Section 9.6 */

static struct peer *peer_preferring(enum mr_role under_test, enum peer_stage stage,
                                    struct mr_addr preferred)
{
    struct peer *p =
        peer_new(&(struct peer_options){.under_test = under_test, .preferred = preferred});

    peer_run(p, stage);
    return p;
}

/* "Once the handshake is confirmed, the client SHOULD select one of the two addresses provided by
 * the server and initiate path validation (see Section 8.2)." */
static void both_sides_go_to_the_preferred_address(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = peer_preferring((enum mr_role)role, PEER_BOTH, address(9, 4433));
        const struct mr_conn *client = mr_conn_at(p->side[MR_CLIENT].ep, 0);
        const struct mr_conn *server = mr_conn_at(p->side[MR_SERVER].ep, 0);

        CU_ASSERT_EQUAL(client->path.addr.remote.port, 4433);
        CU_ASSERT_EQUAL(client->path.addr.remote.ip[15], 9);
        CU_ASSERT_TRUE(client->is_on_preferred);
        CU_ASSERT_EQUAL(server->path.addr.local.port, 4433);
        CU_ASSERT_TRUE(server->path.is_validated);
        CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_PATH_CHANGED));
        CU_ASSERT_EQUAL(info_of(p).is_client, role == MR_CLIENT);
        CU_ASSERT_EQUAL(role == MR_CLIENT ? info_of(p).remote.port : info_of(p).local.port, 4433);
        p->now += 10 * MR_SECOND;
        for (int i = 0; i < 3; i++)
            peer_round_trip(p);
        CU_ASSERT_EQUAL(p->side[MR_CLIENT].ep->extras.used, 0);
        CU_ASSERT_EQUAL(p->side[MR_SERVER].ep->extras.used, 0);
        CU_ASSERT_FALSE(client->peer_cids[0].is_used && client->peer_cids[0].sequence == 0);
        peer_end(p);
    }
}

/* A client whose handshake is about to be confirmed: HANDSHAKE_DONE comes from the test. */
static struct peer *client_before_confirmation(struct mr_addr preferred)
{
    struct peer *p = peer_preferring(C, PEER_FLIGHT, preferred);

    peer_clear(p);
    PEER_SEND(p, "\x1e");
    CU_ASSERT_TRUE(peer_conn(p)->is_confirmed);
    return p;
}

/* Section 9.6.1: "If path validation fails, the client MUST continue sending all future packets to
 * the server's original IP address."  9.6.2: "A client that migrates to a preferred address MUST
 * validate the address it chooses before migrating".
 * Section 21.5.3: "A client MUST NOT send non-probing frames to a preferred address prior to
 * validating that address." */
static void a_preferred_address_that_does_not_answer_is_not_used(void)
{
    struct peer *p = client_before_confirmation(address(9, 4433));
    struct mr_reader r;

    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path.remote.port, 4433);
    CU_ASSERT_EQUAL(packet->path.local.port, 5000);
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.remote.port, 443);
    for (uint32_t i = 0; i < p->inbox_count; i++)
        CU_ASSERT_TRUE(p->inbox[i].path.remote.port == 443 ||
                       p->inbox[i].datagram_size >= MR_INITIAL_MIN);
    peer_advance(p, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(info_of(p).remote.port, 443);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_PATH_FAILED));
    PEER_SEND(p, "\x01");
    peer_expect_close(p, "preferred", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* When it answers, the connection ID is that of the parameter, or another unused one, and the old
 * address is heard for a while, then is unknown (Section 9.6).
 * Section 9.4: "On confirming a peer's ownership of its new address, an endpoint MUST immediately
 * reset the congestion controller and round-trip time estimator for the new path to initial values
 * (see Appendices A.3 and B.3 of [QUIC-RECOVERY]) unless the only change in the peer's address is
 * its port number." Section 9.6.3: "If path validation of the server's preferred address succeeds,
 * the client MUST abandon validation of the original address and migrate to using the server's
 * preferred address." */
static void a_preferred_address_that_answers_is_used(void)
{
    struct peer *p = client_before_confirmation(address(9, 4433));

    p->path.remote = address(9, 4433);
    CU_ASSERT_TRUE(answer_challenge(p, 0));
    CU_ASSERT_EQUAL(info_of(p).remote.port, 4433);
    CU_ASSERT_EQUAL(peer_conn(p)->peer_cids[peer_conn(p)->peer_cid_current].sequence, 1);
    CU_ASSERT_FALSE(mr_rtt_has_sample(&peer_conn(p)->path.rtt)); /* another network */
    /* Section 9: a client that acted on it may migrate, whatever was forbidden for the first one */
    peer_conn(p)->is_migration_disabled = true;
    CU_ASSERT_EQUAL(mr_conn_can_migrate(peer_endpoint(p), p->conn), 0);
    p->path.remote = address(1, 443);
    uint64_t dropped = peer_counters(p)->dropped_unknown_server;
    PEER_SEND(p, "\x01");
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_unknown_server, dropped);
    peer_advance(p, 10 * MR_SECOND);
    PEER_SEND(p, "\x01");
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_unknown_server, dropped + 1);
    peer_end(p);
}

/* Section 21.5.3: "a server could specify an arbitrary preferred address": not every one is tried.
 */
static void a_preferred_address_that_is_nobodys_is_ignored(void)
{
    struct mr_addr loopback = {.ip = {[10] = 0xff, 0xff, 127, 0, 0, 1}, .port = 4433};
    struct mr_addr bad[] = {address(9, 53), loopback, address(2, 4433)};

    for (size_t i = 0; i < MR_COUNT_OF(bad); i++) {
        struct peer *p = client_before_confirmation(bad[i]);

        peer_advance(p, MR_SECOND);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_CHALLENGE), 0);
        CU_ASSERT_EQUAL(peer_counters(p)->paths_refused, 1);
        CU_ASSERT_EQUAL(info_of(p).remote.port, 443);
        peer_end(p);
    }
}

/* Section 9.6.2: "The server MUST send non-probing packets from its original address until it
 * receives a non-probing packet from the client at its preferred address and until the server has
 * validated the new path."  "The server MUST probe on the path toward the client from its preferred
 * address."  "The server SHOULD drop newer packets for this connection that are received on the old
 * IP address."
 * Section 9.6.3: "If packets received at the server's preferred address have a different source
 * address than observed from the client during the handshake, the server MUST protect against
 * potential attacks as described in Sections 9.3.1 and 9.3.2." */
static void a_server_waits_until_the_preferred_path_is_validated(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    static uint8_t ping[1100] = {MR_FRAME_PING};
    uint8_t response[9] = {MR_FRAME_PATH_RESPONSE};
    struct mr_addr preferred = address(1, 4433);
    struct mr_reader r;

    peer_endpoint(p)->config.preferred[1] = preferred;
    p->path.local = preferred;
    peer_send(p, MR_PACKET_ONE_RTT, ping, sizeof(ping));
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.local.port, 443);
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
    CU_ASSERT_EQUAL(packet->path.local.port, 4433);
    memcpy(response + 1, r.at, MR_PATH_DATA);
    PEER_SEND(p, "\x01");
    CU_ASSERT_TRUE(has_probes_only(p, &preferred));
    CU_ASSERT_EQUAL(info_of(p).local.port, 443);
    peer_send(p, MR_PACKET_ONE_RTT, response, sizeof(response));
    CU_ASSERT_EQUAL(info_of(p).local.port, 4433);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_PATH_CHANGED));

    peer_clear(p);
    uint64_t received = peer_counters(p)->packets_received;
    p->path.local.port = 443;
    PEER_SEND(p, "\x01");
    CU_ASSERT_EQUAL(peer_counters(p)->packets_received, received);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_old_address, 1);
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.local.port, 4433);
    p->path.local.port = 4433;
    PEER_SEND(p, "\x01");
    peer_advance(p, 100 * MR_MS);
    CU_ASSERT_TRUE(count_from(p, &preferred) > 0);
    peer_expect_close(p, "preferred", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 9.5: "an endpoint might receive packets from a new source address with the same
 * Destination Connection ID field value, in which case it MAY continue to use the current
 * connection ID with the new remote address while still sending from the same local address."  Or
 * a NAT that changes while the preferred path is validated would cost a connection ID each time. */
static void a_nat_may_change_while_the_preferred_path_is_validated(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    static uint8_t ping[1100] = {MR_FRAME_PING};
    struct mr_reader r;
    struct mr_cid first = {0};

    peer_endpoint(p)->config.preferred[1] = address(1, 4433);
    p->path.local.port = 4433;
    for (uint16_t i = 0; i < 3; i++) {
        peer_clear(p);
        p->path.remote.port = (uint16_t)(6000 + i);
        peer_send(p, MR_PACKET_ONE_RTT, ping, sizeof(ping));
        const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r);
        CU_ASSERT_PTR_NOT_NULL_FATAL(packet);
        CU_ASSERT_EQUAL(packet->path.remote.port, p->path.remote.port);
        if (i == 0)
            first = packet->dcid;
        CU_ASSERT_TRUE(mr_cid_equal(&packet->dcid, &first));
    }
    CU_ASSERT_TRUE(answer_challenge(p, 0));
    CU_ASSERT_EQUAL(info_of(p).local.port, 4433);
    CU_ASSERT_EQUAL(info_of(p).remote.port, 6002);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_path_candidates, 0);
    peer_expect_close(p, "a NAT", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* A server waits, where the client has taken back the connection ID of the new path: no answer of
 * the server's goes there until there is another one. */
static void a_server_waits_for_a_connection_id_for_the_preferred_path(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    static uint8_t ping[1100] = {MR_FRAME_PING};

    peer_endpoint(p)->config.preferred[1] = address(1, 4433);
    p->path.local.port = 4433;
    peer_send(p, MR_PACKET_ONE_RTT, ping, sizeof(ping));
    replace_cids(p, 1);
    CU_ASSERT_TRUE(answer_challenge(p, 0));
    CU_ASSERT_EQUAL(info_of(p).local.port, 443);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_path_cids, 1);
    replace_cids(p, 2);
    PEER_SEND(p, "\x01");
    CU_ASSERT_EQUAL(info_of(p).local.port, 4433);
    CU_ASSERT_EQUAL(mr_cid_current(peer_conn(p))->cid.bytes[1], 1);
    peer_expect_close(p, "no connection ID", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* An address of the server's that is not the preferred one is no way to move it. */
static void a_server_goes_to_no_other_address_of_its_own(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    p->path.local = address(1, 4433);
    PEER_SEND(p, "\x01");
    peer_advance(p, 5 * MR_SECOND);
    CU_ASSERT_EQUAL(peer_conn(p)->path.addr.local.port, 443);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_PATH_CHALLENGE), 0);
    peer_end(p);
}

/* Section 5.1.1: "The sequence number on the preferred_address connection ID is 1" (and the next
 * one issued is 2). */
static void the_preferred_connection_id_is_number_one(void)
{
    struct peer *p = peer_preferring(S, PEER_FLIGHT, address(9, 4433));
    const struct mr_conn *client = mr_conn_at(p->side[MR_CLIENT].ep, 0);
    const struct mr_conn *server = peer_conn(p);

    CU_ASSERT_EQUAL(server->issued_next_sequence, 2);
    CU_ASSERT_TRUE(client->peer_cids[1].is_used);
    CU_ASSERT_EQUAL(client->peer_cids[1].sequence, 1);
    CU_ASSERT_EQUAL(memcmp(client->peer_cids[1].cid.bytes, &server->issued.key[1], PEER_CID_SIZE),
                    0);
    peer_end(p);
}

/* A server that takes all connection IDs back with its answer: there is none left to go with. */
static void a_path_without_a_connection_id_is_not_taken(void)
{
    struct peer *p = peer_at(C, PEER_DONE);
    struct mr_reader r;
    uint8_t frames[3 + 1 + 8 + 16 + 9] = {MR_FRAME_NEW_CONNECTION_ID, 20, 20, 8};

    CU_ASSERT_EQUAL(migrate(p, 2, 5001), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r));
    memset(frames + 4, 0xee, 24);
    frames[28] = MR_FRAME_PATH_RESPONSE;
    memcpy(frames + 29, r.at, 8);
    peer_send(p, MR_PACKET_ONE_RTT, frames, sizeof(frames));
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(info_of(p).local.port, 5000);
    CU_ASSERT_PTR_NOT_NULL(peer_event(p, MR_EVENT_PATH_FAILED));
    CU_ASSERT_TRUE(peer_counters(p)->limit_path_cids > 0);
    CU_ASSERT_EQUAL(peer_counters(p)->migrations_done, 0);
    peer_expect_close(p, "no connection ID", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"a client probes before it goes", a_client_probes_before_it_goes},
    {"a path whose connection ID was retired gets another or is not taken",
     a_path_whose_connection_id_was_retired_gets_another_or_is_not_taken},
    {"a path that does not answer is not taken", a_path_that_does_not_answer_is_not_taken},
    {"a migration that is not allowed is refused", a_migration_that_is_not_allowed_is_refused},
    {"the old address answers for a while", the_old_address_answers_for_a_while},
    {"packets of an unknown server are dropped", packets_of_an_unknown_server_are_dropped},
    {"both sides go to the preferred address", both_sides_go_to_the_preferred_address},
    {"a preferred address that does not answer is not used",
     a_preferred_address_that_does_not_answer_is_not_used},
    {"a preferred address that answers is used", a_preferred_address_that_answers_is_used},
    {"a preferred address that is nobody's is ignored",
     a_preferred_address_that_is_nobodys_is_ignored},
    {"a server waits until the preferred path is validated",
     a_server_waits_until_the_preferred_path_is_validated},
    {"9.5 a NAT may change while the preferred path is validated",
     a_nat_may_change_while_the_preferred_path_is_validated},
    {"a server waits for a connection ID for the preferred path",
     a_server_waits_for_a_connection_id_for_the_preferred_path},
    {"a server goes to no other address of its own", a_server_goes_to_no_other_address_of_its_own},
    {"the preferred connection ID is number one", the_preferred_connection_id_is_number_one},
    {"a path without a connection ID is not taken", a_path_without_a_connection_id_is_not_taken},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 migration", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
