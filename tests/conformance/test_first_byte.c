/*
 * tests/conformance/test_first_byte.c - bits that observers see: the spin bit (RFC 9000,
 * Section 17.4) and the QUIC bit (RFC 9287).
 */
#include "quic/conn_bits.h"
#include "tests/support/peer_cases.h"

#define C    MR_CLIENT
#define S    MR_SERVER
#define SPIN MR_PACKET_SPIN
#define QUIC MR_PACKET_FIXED_BIT

static const uint8_t bytes[200 << 10] = {1, 2, 3};

static struct peer *pair(enum mr_role role, uint32_t ours, uint32_t theirs, enum peer_stage stage)
{
    struct peer_options options = {
        .under_test = role, .extensions = ours, .partner_extensions = theirs};
    struct peer *p = peer_new(&options);

    peer_run(p, stage);
    return p;
}

static void send_ping(struct peer *p, uint64_t pn, uint8_t bits)
{
    peer_send_packet(
        p, &(struct peer_out){
               .type = MR_PACKET_ONE_RTT, .frames = "\1", .size = 1, .pn = pn, .bits = bits});
}

/* The spin bit of what the endpoint under test sends next. */
static uint8_t next_spin(struct peer *p)
{
    peer_clear(p);
    peer_conn(p)->app.wants |= MR_WANT_PING;
    mr_conn_wake(peer_endpoint(p), peer_conn(p));
    peer_drain(p);
    CU_ASSERT_EQUAL_FATAL(p->inbox_count, 1);
    return p->inbox[0].first_byte & SPIN;
}

/* ------------------------------------------------------------------ the spin bit */

/* "When a server receives a 1-RTT packet that increases the highest packet number seen by the
 * server from the client on a given network path, it sets the spin value for that path to be equal
 * to the spin bit in the received packet."  "When a client receives a 1-RTT packet that increases
 * the highest packet number [...] it sets the spin value for that path to the inverse of the spin
 * bit in the received packet." */
static void a_server_reflects_and_a_client_inverts(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = pair((enum mr_role)role, MR_EXTENSIONS_ALL, 0, PEER_DONE);
        uint8_t inverse = role == C ? SPIN : 0;

        peer_conn(p)->path.is_spinning = true;
        for (int i = 0; i < 8; i++) {
            uint8_t bit = i / 2 % 2 == 0 ? SPIN : 0;

            send_ping(p, PEER_NEXT_PN, bit);
            CU_ASSERT_EQUAL(next_spin(p), bit ^ inverse);
        }
        /* overtaken: the number is not the highest */
        uint64_t late = p->next_pn[MR_SPACE_APP]++;
        send_ping(p, PEER_NEXT_PN, SPIN);
        send_ping(p, late, 0);
        CU_ASSERT_EQUAL(next_spin(p), SPIN ^ inverse);
        peer_end(p);
    }
}

/* The same for packets of a burst that are taken as a run (quic/conn_recv_run.c). */
static void the_last_packet_of_a_run_counts(void)
{
    for (int i = 0; i < 2; i++) {
        struct peer *p = pair(S, MR_EXTENSIONS_ALL, 0, PEER_DONE);
        struct peer_raw raws[8];
        uint8_t frame[600] = {0x0a, 0, 0x42, 0x55};

        peer_conn(p)->path.is_spinning = true;
        for (uint32_t k = 0; k < MR_COUNT_OF(raws); k++) {
            uint16_t offset = (uint16_t)(0x4000 | k * 0x255);
            uint8_t later[] = {0x0e, 0, (uint8_t)(offset >> 8), (uint8_t)offset, 0x42, 0x55};
            bool is_last = k + 1 == MR_COUNT_OF(raws);

            if (k > 0)
                memcpy(frame, later, sizeof(later));
            raws[k].path = p->path;
            raws[k].size =
                (uint32_t)peer_build(p,
                                     &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                                        .frames = frame,
                                                        .size = (k > 0 ? 6 : 4) + 0x255,
                                                        .pn = PEER_NEXT_PN,
                                                        .bits = is_last == (i == 0) ? SPIN : 0},
                                     raws[k].bytes, sizeof(raws[k].bytes));
        }
        peer_deliver_burst(p, raws, MR_COUNT_OF(raws));
        CU_ASSERT_EQUAL(peer_counters(p)->stream_bytes_received, MR_COUNT_OF(raws) * 0x255);
        CU_ASSERT_EQUAL(next_spin(p), i == 0 ? SPIN : 0);
        peer_end(p);
    }
}

/* "it sets the spin value for that path": what probes another path says nothing of the one in use.
 */
static void each_path_has_its_own_spin_value(void)
{
    static const char probe[] = "\x1a"
                                "12345678";

    for (int i = 0; i < 2; i++) {
        struct peer *p = pair(S, MR_EXTENSIONS_ALL, 0, PEER_DONE);
        uint8_t bit = i == 0 ? SPIN : 0;

        peer_conn(p)->path.is_spinning = true;
        send_ping(p, PEER_NEXT_PN, bit);
        CU_ASSERT_EQUAL(peer_conn(p)->path.spin, bit);
        uint64_t received = peer_counters(p)->packets_received;
        p->path.remote.port++;
        peer_send_packet(p, &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                               .frames = probe,
                                               .size = sizeof(probe) - 1,
                                               .pn = PEER_NEXT_PN,
                                               .bits = bit ^ SPIN});
        p->path.remote.port--;
        CU_ASSERT_TRUE(mr_path_addr_equal(&peer_conn(p)->path.addr, &p->path)); /* still in use */
        CU_ASSERT_EQUAL(peer_counters(p)->packets_received, received + 1);
        CU_ASSERT_EQUAL(peer_conn(p)->path.spin, bit);
        CU_ASSERT_EQUAL(next_spin(p), bit);
        peer_end(p);
    }
}

/* "An endpoint resets the spin value for a network path to 0 when changing the connection ID being
 * used on that network path."  "The spin value is initialized to 0 in the endpoint for each network
 * path." */
static void another_connection_id_or_path_starts_at_zero(void)
{
    static const char cid[] = "\x18\10\10\10"
                              "abcdefghABCDEFGHIJKLMNOP";
    struct peer *p = pair(S, MR_EXTENSIONS_ALL, 0, PEER_DONE);
    uint32_t spinning = 0;

    for (int i = 0; i < 64; i++) { /* one of 16 is disabled, and has any value */
        peer_conn(p)->path.is_spinning = true;
        send_ping(p, PEER_NEXT_PN, SPIN);
        CU_ASSERT_EQUAL(peer_conn(p)->path.spin, SPIN);
        p->path.remote.port++;
        send_ping(p, PEER_NEXT_PN, 0);
        spinning += peer_conn(p)->path.is_spinning;
        if (peer_conn(p)->path.is_spinning)
            CU_ASSERT_EQUAL(peer_conn(p)->path.spin, 0);
    }
    CU_ASSERT_TRUE(spinning > 32);
    peer_conn(p)->path.is_spinning = true;
    send_ping(p, PEER_NEXT_PN, SPIN);
    struct mr_cid before = mr_cid_current(peer_conn(p))->cid;
    peer_send(p, MR_PACKET_ONE_RTT, cid, sizeof(cid) - 1);
    CU_ASSERT_FALSE(mr_cid_equal(&before, &mr_cid_current(peer_conn(p))->cid));
    CU_ASSERT_TRUE(peer_conn(p)->path.spin == 0 || !peer_conn(p)->path.is_spinning);
    peer_end(p);
}

/* "Even when the spin bit is not disabled by the administrator, endpoints MUST disable their use of
 * the spin bit for a random selection of at least one in every 16 network paths, or for one in
 * every 16 connection IDs".  "It is RECOMMENDED that endpoints set the spin bit to a random value
 * either chosen independently for each packet or chosen independently for each connection ID." */
static void one_path_of_sixteen_does_not_spin(void)
{
    struct peer *p = pair(S, MR_EXTENSIONS_ALL, 0, PEER_DONE);
    struct mr_conn *conn = peer_conn(p);
    uint32_t disabled = 0;
    uint32_t set = 0;

    for (int i = 0; i < 16000; i++) {
        mr_spin_restart(peer_endpoint(p), conn);
        disabled += !conn->path.is_spinning;
        set += !conn->path.is_spinning && conn->path.spin == SPIN;
        if (conn->path.is_spinning)
            CU_ASSERT_EQUAL_FATAL(conn->path.spin, 0);
    }
    CU_ASSERT_TRUE(disabled > 850 && disabled < 1150);
    CU_ASSERT_TRUE(set > disabled / 3 && set < disabled * 2 / 3);
    /* "MUST ignore any incoming value" */
    conn->path.is_spinning = false;
    conn->path.spin = 0;
    send_ping(p, PEER_NEXT_PN, SPIN);
    CU_ASSERT_EQUAL(next_spin(p), 0);
    peer_end(p);
}

/* "Implementations MUST allow administrators of clients and servers to disable the spin bit either
 * globally or on a per-connection basis."
 * RFC 9000, Section 17.4: "An endpoint that does not support this feature MUST disable it, as
 * defined below." RFC 9000, Section 17.4: "When the spin bit is disabled, endpoints MAY set the
 * spin bit to any value and MUST ignore any incoming value." */
static void an_endpoint_without_the_extension_never_spins(void)
{
    struct peer *p = pair(S, MR_EXTENSIONS_ALL & ~MR_EXTENSION_SPIN_BIT, 0, PEER_DONE);

    CU_ASSERT_FALSE(peer_conn(p)->path.is_spinning);
    for (int i = 0; i < 1000; i++) {
        mr_spin_restart(peer_endpoint(p), peer_conn(p));
        CU_ASSERT_FALSE(peer_conn(p)->path.is_spinning);
    }
    peer_end(p);
}

/* Two endpoints: the bit that a client sends turns once in a round trip. */
static void the_bit_turns_once_in_a_round_trip(void)
{
    struct peer *p = pair(C, MR_EXTENSIONS_ALL, MR_EXTENSIONS_ALL, PEER_BOTH);
    uint8_t last = 2;

    for (int i = 0; i < 2; i++) {
        struct mr_conn *conn = mr_conn_at(p->side[i].ep, 0);

        conn->path.is_spinning = true;
        conn->path.spin = 0;
    }
    for (int i = 0; i < 40; i++) {
        for (int side = 0; side < 2; side++) {
            struct mr_conn *conn = mr_conn_at(p->side[side].ep, 0);

            conn->app.wants |= MR_WANT_PING;
            mr_conn_wake(p->side[side].ep, conn);
        }
        uint8_t bit = peer_conn(p)->path.spin;
        if (i > 0) /* PEER_LATENCY is half of it */
            CU_ASSERT_EQUAL(bit != last, i % 2 == 1);
        last = bit;
        peer_round_trip(p);
    }
    peer_end(p);
}

/* ------------------------------------------------------------------ the QUIC bit */

/* Packets of the endpoint under test with and without the bit. */
static void count_bits(const struct peer *p, uint32_t *set, uint32_t *clear)
{
    for (uint32_t i = 0; i < p->inbox_count; i++) {
        if ((p->inbox[i].first_byte & QUIC) != 0)
            ++*set;
        else
            ++*clear;
    }
}

/* Bulk data of `p` there and back. */
static void transfer(struct peer *p, uint32_t *set, uint32_t *clear)
{
    mr_handle stream;
    struct mr_view view = {.data = bytes, .size = sizeof(bytes)};

    CU_ASSERT_EQUAL_FATAL(mr_stream_open(peer_endpoint(p), p->conn, 0, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, MR_SEND_FIN), 0);
    for (int i = 0; i < 60; i++) {
        peer_clear(p);
        peer_round_trip(p);
        count_bits(p, set, clear);
    }
    CU_ASSERT_EQUAL(mr_endpoint_counters(p->side[!p->role].ep)->stream_bytes_received,
                    sizeof(bytes));
}

/* "Endpoints that receive the grease_quic_bit transport parameter from a peer SHOULD set the QUIC
 * Bit to an unpredictable value unless another extension assigns specific meaning to the value of
 * the bit."  "An endpoint MUST NOT set the QUIC Bit to 0 without knowing whether the peer supports
 * the extension." */
static void the_bit_is_random_for_peers_that_take_it(void)
{
    for (int role = 0; role < 2; role++) {
        for (int offer = 0; offer < 4; offer++) {
            struct peer *p = pair((enum mr_role)role, (offer & 1) != 0 ? MR_EXTENSIONS_ALL : 0,
                                  (offer & 2) != 0 ? MR_EXTENSIONS_ALL : 0, PEER_BOTH);
            uint32_t set = 0;
            uint32_t clear = 0;

            transfer(p, &set, &clear);
            CU_ASSERT_TRUE(set + clear > sizeof(bytes) / 1500);
            CU_ASSERT_TRUE(set > (set + clear) / 4);
            CU_ASSERT_EQUAL(clear > (set + clear) / 4, offer == 3);
            CU_ASSERT_EQUAL(clear > 0, offer == 3);
            peer_expect_close(p, "greased", PEER_NO_CLOSE, 0);
            peer_end(p);
        }
    }
}

/* "A server MUST set the QUIC Bit to 0 only after processing transport parameters from a client."
 * A client knows nothing of the server before, either.  "However, a client MUST NOT set the QUIC
 * Bit to 0 unless the Initial packets it sends ..." (RFC 9287, Section 3.1) */
static void the_bit_is_set_before_the_parameters_are_known(void)
{
    struct peer *p = pair(C, MR_EXTENSIONS_ALL, MR_EXTENSIONS_ALL, PEER_HELLO);

    CU_ASSERT_TRUE((p->hello.bytes[0] & QUIC) != 0);
    peer_advance(p, 20 * MR_SECOND); /* probes */
    for (uint32_t i = 0; i < p->inbox_count; i++)
        CU_ASSERT_TRUE((p->inbox[i].first_byte & QUIC) != 0);
    peer_end(p);
}

/* "An endpoint that advertises the grease_quic_bit transport parameter MUST accept packets with the
 * QUIC Bit set to a value of 0." */
static void packets_without_it_are_taken_where_that_was_offered(void)
{
    for (int offer = 0; offer < 2; offer++) {
        struct peer *p = pair(S, offer != 0 ? MR_EXTENSIONS_ALL : 0, 0, PEER_DONE);

        send_ping(p, PEER_NEXT_PN, QUIC);
        peer_advance(p, 30 * MR_MS);
        CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_ACK), (uint32_t)offer);
        CU_ASSERT_EQUAL(peer_counters(p)->dropped_no_fixed_bit, !offer);
        peer_end(p);
    }
}

/* The first packet of a client as well. */
static void an_initial_without_it_is_taken_where_that_is_offered(void)
{
    for (int offer = 0; offer < 2; offer++) {
        struct peer *p = pair(S, offer != 0 ? MR_EXTENSIONS_ALL : 0, 0, PEER_NOTHING);
        uint8_t frames[1100] = {1};

        peer_set_initial_keys(p, &p->dcid);
        peer_send_packet(p, &(struct peer_out){.type = MR_PACKET_INITIAL,
                                               .frames = frames,
                                               .size = sizeof(frames),
                                               .pn = PEER_NEXT_PN,
                                               .bits = QUIC});
        CU_ASSERT_EQUAL(peer_counters(p)->connections_accepted, (uint64_t)offer);
        CU_ASSERT_EQUAL(peer_counters(p)->dropped_no_fixed_bit, !offer);
        peer_end(p);
    }
}

/* "an endpoint that understands this transport parameter MUST treat receipt of a non-empty value of
 * the transport parameter as a connection error of type TRANSPORT_PARAMETER_ERROR." */
static void fill_the_value(uint8_t *params, size_t size)
{
    static const uint8_t empty[] = {0x6a, 0xb2, 0};

    for (size_t i = 0; i + sizeof(empty) < size; i++) {
        if (memcmp(params + i, empty, sizeof(empty)) == 0)
            params[i + 2] = 1; /* takes a byte of what follows: an error either way */
    }
}

/* "The transport parameter is sent with an empty value; an endpoint that understands this transport
 * parameter MUST treat receipt of a non-empty value of the transport parameter as a connection
 * error of type TRANSPORT_PARAMETER_ERROR." (RFC 9287, Section 3) */
static void a_value_is_an_error(void)
{
    struct peer_options options = {
        .under_test = S, .partner_extensions = MR_EXTENSIONS_ALL, .edit_params = fill_the_value};
    struct peer *p = peer_new(&options);

    peer_run(p, PEER_HELLO);
    peer_expect_close(p, "value", MR_TRANSPORT_PARAMETER_ERROR, PEER_ANY_FRAME);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"a server reflects and a client inverts", a_server_reflects_and_a_client_inverts},
    {"the last packet of a run counts", the_last_packet_of_a_run_counts},
    {"each path has its own spin value", each_path_has_its_own_spin_value},
    {"another connection ID or path starts at zero", another_connection_id_or_path_starts_at_zero},
    {"one path of sixteen does not spin", one_path_of_sixteen_does_not_spin},
    {"an endpoint without the extension never spins",
     an_endpoint_without_the_extension_never_spins},
    {"the bit turns once in a round trip", the_bit_turns_once_in_a_round_trip},
    {"the QUIC bit is random for peers that take it", the_bit_is_random_for_peers_that_take_it},
    {"the QUIC bit is set before the parameters are known",
     the_bit_is_set_before_the_parameters_are_known},
    {"packets without it are taken where that was offered",
     packets_without_it_are_taken_where_that_was_offered},
    {"an Initial without it is taken where that is offered",
     an_initial_without_it_is_taken_where_that_is_offered},
    {"a value is an error", a_value_is_an_error},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "first byte", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
