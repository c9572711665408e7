/*
 * tests/unit/test_turns.c - whose datagrams a burst has (quic/endpoint_send.c): connections with
 * little to send do not wait behind bulk data, and bulk data does not wait for them for ever.
 */
#include "quic/conn.h"
#include "tests/support/peer_cases.h"

enum {
    CONNECTIONS = 4,
    ROOM = 1200,
    FEW_BYTES = 5500,  /* 5 packets */
    BULK_BYTES = 64000 /* more than a burst */
};

static uint8_t data[BULK_BYTES];

struct turns {
    struct peer *p;
    mr_handle handles[CONNECTIONS];
    struct mr_outgoing out[MR_BURST];
    uint8_t packets[MR_BURST][ROOM];
};

static struct mr_conn *conn_at(struct turns *t, uint32_t i)
{
    struct mr_conn *conn = mr_conn_of_handle(peer_endpoint(t->p), t->handles[i]);

    CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
    return conn;
}

static void let_pass(struct peer *p, uint64_t ns)
{
    for (uint64_t end = p->now + ns; p->now < end;)
        peer_round_trip(p);
    peer_clear(p);
}

/* A server with its connections, which have nothing to say. */
static void begin(struct turns *t)
{
    struct peer_options options = {.under_test = MR_SERVER};
    struct mr_connect_options connect = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\004peer",
                                         .alpn_size = 5,
                                         .is_insecure = true};

    t->p = peer_new(&options);
    peer_run(t->p, PEER_BOTH);
    let_pass(t->p, 100 * MR_MS);
    memcpy(connect.remote.ip, t->p->path.local.ip, sizeof(connect.remote.ip));
    connect.remote.port = t->p->path.local.port;
    t->handles[0] = t->p->conn;
    for (uint32_t i = 1; i < CONNECTIONS; i++) {
        mr_handle handle;

        CU_ASSERT_EQUAL_FATAL(mr_conn_connect(t->p->side[MR_CLIENT].ep, &connect,
                                              &t->p->path.remote, t->p->now, &handle),
                              0);
        let_pass(t->p, 200 * MR_MS);
        CU_ASSERT_NOT_EQUAL_FATAL(t->p->conn, t->handles[i - 1]);
        t->handles[i] = t->p->conn;
    }
    let_pass(t->p, MR_SECOND);
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        conn_at(t, i)->path.cc.window = 1 << 20;
        CU_ASSERT_FALSE_FATAL(conn_at(t, i)->is_ready);
        CU_ASSERT_FALSE(conn_at(t, i)->is_bulk); /* they answered, no more */
    }
}

static void give(struct turns *t, uint32_t i, size_t size)
{
    struct mr_endpoint *ep = peer_endpoint(t->p);
    struct mr_view view = {.data = data, .size = size};
    mr_handle stream;

    CU_ASSERT_EQUAL_FATAL(mr_stream_open(ep, t->handles[i], MR_OPEN_UNI, 0, &stream), 0);
    CU_ASSERT_EQUAL_FATAL(mr_stream_send(ep, stream, &view, 1, 0), 0);
}

/* Build one burst of at most `count`. */
static uint32_t build(struct turns *t, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        t->out[i] = (struct mr_outgoing){.data = t->packets[i], .room = ROOM};
    uint32_t built = mr_endpoint_build(peer_endpoint(t->p), t->out, count, t->p->now);
    mr_endpoint_seal(peer_endpoint(t->p));
    return built;
}

/* Is datagram `at` of the connection? */
static bool is_of(struct turns *t, uint32_t at, uint32_t i)
{
    const struct mr_cid *cid = &mr_cid_current(conn_at(t, i))->cid;

    return memcmp(t->packets[at] + 1, cid->bytes, cid->size) == 0;
}

static uint32_t count_of(struct turns *t, uint32_t built, uint32_t i)
{
    uint32_t count = 0;

    for (uint32_t at = 0; at < built; at++)
        count += is_of(t, at, i);
    return count;
}

static void who_has_little_goes_before_bulk_data(void)
{
    struct turns t;

    begin(&t);
    conn_at(&t, 0)->path.cc.window = 12 * ROOM;
    give(&t, 0, BULK_BYTES);
    give(&t, 1, BULK_BYTES);
    CU_ASSERT_EQUAL(build(&t, 24), 24); /* now it is known who has much */
    CU_ASSERT_TRUE(conn_at(&t, 0)->is_bulk && !conn_at(&t, 0)->is_ready);
    CU_ASSERT_TRUE(conn_at(&t, 1)->is_bulk && conn_at(&t, 1)->is_ready);
    give(&t, 2, 10);
    CU_ASSERT_TRUE(build(&t, 16) >= 2);
    CU_ASSERT_TRUE(is_of(&t, 0, 2));
    CU_ASSERT_TRUE(is_of(&t, 1, 1));
    mr_endpoint_check(peer_endpoint(t.p));
    peer_end(t.p);
}

static void bulk_data_has_half_of_a_burst(void)
{
    struct turns t;

    begin(&t);
    give(&t, 0, BULK_BYTES);
    (void)build(&t, 8); /* its window has room for more */
    CU_ASSERT_TRUE(conn_at(&t, 0)->is_bulk && conn_at(&t, 0)->is_ready);
    for (uint32_t i = 1; i < CONNECTIONS; i++)
        give(&t, i, FEW_BYTES);
    CU_ASSERT_EQUAL(build(&t, 4), 4);
    CU_ASSERT_EQUAL(count_of(&t, 4, 0), 2);
    CU_ASSERT_EQUAL(count_of(&t, 4, 1), 2);
    mr_endpoint_check(peer_endpoint(t.p));
    for (uint32_t i = 1, of_bulk = 0; i <= 2; i++) { /* one at a time: in turns */
        CU_ASSERT_EQUAL(build(&t, 1), 1);
        of_bulk += count_of(&t, 1, 0);
        CU_ASSERT_TRUE(i < 2 || of_bulk == 1);
    }
    peer_end(t.p);
}

static void who_had_much_and_has_little_is_known_again(void)
{
    struct turns t;

    begin(&t);
    give(&t, 0, 8 * ROOM); /* with headers 9 packets */
    uint32_t built = build(&t, MR_BURST);
    CU_ASSERT_TRUE(built >= MR_FEW_PACKETS);
    CU_ASSERT_TRUE(conn_at(&t, 0)->is_bulk);
    let_pass(t.p, 5 * MR_SECOND); /* lost, repeated, acknowledged */
    mr_conn_want(peer_endpoint(t.p), conn_at(&t, 0), &conn_at(&t, 0)->app, MR_WANT_PING);
    CU_ASSERT_EQUAL(build(&t, MR_BURST), 1);
    CU_ASSERT_FALSE(conn_at(&t, 0)->is_bulk);
    peer_end(t.p);
}

static void alone_it_has_the_whole_burst(void)
{
    struct turns t;

    begin(&t);
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        give(&t, i, FEW_BYTES);
    uint32_t built = build(&t, MR_BURST);
    CU_ASSERT_TRUE(built > MR_BURST / 2);
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        CU_ASSERT_TRUE(count_of(&t, built, i) >= 4);
    peer_end(t.p);
}

static CU_TestInfo tests[] = {
    {"who has little goes before bulk data", who_has_little_goes_before_bulk_data},
    {"bulk data has half of a burst", bulk_data_has_half_of_a_burst},
    {"who had much and has little is known again", who_had_much_and_has_little_is_known_again},
    {"without bulk data the others have the whole burst", alone_it_has_the_whole_burst},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/endpoint_send", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
