/* Tests of the datagrams of tests/support/loop_transport.h: what applications' tests rely on. */
#include <errno.h>
#include <string.h>

#include "tests/support/loop_transport.h"
#include "tests/unit/harness.h"

/* What a side has seen. */
struct side {
    struct mr_transport *transport;
    mr_handle conn;
    uint32_t datagram_events;
    uint32_t writable_events;
    bool is_closed;
    bool is_lazy;   /* leaves datagrams lying */
    bool echoes;    /* and else it only counts */
    uint32_t count; /* received */
    uint64_t sum;   /* of their sizes */
};

static void on_start(void *context, struct mr_transport *transport)
{
    struct side *side = context;

    side->transport = transport;
}

static void drain(struct side *side)
{
    uint8_t bytes[1200];
    int64_t size;

    while ((size = side->transport->ops->receive_datagram(side->transport, side->conn, bytes,
                                                          sizeof(bytes))) >= 0) {
        struct mr_view view = {.data = bytes, .size = (size_t)size};

        side->count++;
        side->sum += (uint64_t)size;
        if (side->echoes)
            side->transport->ops->send_datagram(side->transport, side->conn, &view, 1);
    }
    CU_ASSERT_EQUAL(size, -EAGAIN);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct side *side = context;

    for (size_t i = 0; i < count; i++) {
        if ((events[i].kinds & MR_EVENT_CONNECTED) != 0)
            side->conn = events[i].conn;
        side->writable_events += (events[i].kinds & MR_EVENT_WRITABLE) != 0;
        side->is_closed |= (events[i].kinds & MR_EVENT_CLOSED) != 0;
        if ((events[i].kinds & MR_EVENT_DATAGRAM) == 0)
            continue;
        CU_ASSERT_FALSE(side->is_closed);
        side->datagram_events++;
        if (!side->is_lazy)
            drain(side);
    }
}

struct world {
    struct side side[2];
    struct mr_application application[2];
    struct loop *loop;
};

static void open_world(struct world *w, const struct loop_config *config)
{
    const struct mr_connect_options options = {
        .server_name = "loop.example", .alpn = (const uint8_t *)"\002h3", .alpn_size = 3};
    mr_handle conn;

    memset(w, 0, sizeof(*w));
    for (int i = 0; i < 2; i++)
        w->application[i] = (struct mr_application){
            .name = "test", .context = &w->side[i], .on_start = on_start, .on_events = on_events};
    w->loop = loop_new(config, &w->application[0], &w->application[1]);
    struct mr_transport *t = loop_transport(w->loop, 0);
    CU_ASSERT_EQUAL_FATAL(t->ops->connect(t, &options, &conn), 0);
    loop_run(w->loop, 100);
}

static int send(struct side *side, size_t size)
{
    static const uint8_t bytes[2000] = {1};
    struct mr_view view = {.data = bytes, .size = size};

    return side->transport->ops->send_datagram(side->transport, side->conn, &view, 1);
}

static void datagrams_are_echoed(void)
{
    struct loop_config config = loop_config_default(1);
    struct world w;
    struct mr_conn_info info;

    open_world(&w, &config);
    w.side[1].echoes = true;
    w.side[0].transport->ops->conn_info(w.side[0].transport, w.side[0].conn, &info);
    CU_ASSERT_EQUAL(info.datagram_max, 1200);
    CU_ASSERT_EQUAL(info.streams_bidi_limit, config.bidi_max);
    CU_ASSERT_EQUAL(info.streams_uni_limit, config.uni_max);
    CU_ASSERT_STRING_EQUAL(info.server_name, "loop.example");
    CU_ASSERT_EQUAL(send(&w.side[0], info.datagram_max + 1), -EMSGSIZE);
    CU_ASSERT_EQUAL(send(&w.side[0], info.datagram_max), 0);
    CU_ASSERT_EQUAL(send(&w.side[0], 0), 0);
    CU_ASSERT_EQUAL(send(&w.side[0], 7), 0);
    loop_run(w.loop, 100);
    CU_ASSERT_EQUAL(w.side[0].count, 3);
    CU_ASSERT_EQUAL(w.side[0].sum, 1207);
    CU_ASSERT_EQUAL(w.side[0].datagram_events, 1);
    loop_free(w.loop);
}

static void a_full_queue_refuses_and_tells_when_it_is_not(void)
{
    struct loop_config config = loop_config_default(2);
    struct world w;

    config.datagram_queue_max = 4;
    open_world(&w, &config);
    w.side[1].is_lazy = true;
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(send(&w.side[0], 1), 0);
    CU_ASSERT_EQUAL(send(&w.side[0], 1), -EAGAIN);
    CU_ASSERT_EQUAL(w.side[0].writable_events, 0);
    loop_run(w.loop, 100);
    CU_ASSERT_EQUAL(w.side[0].writable_events, 1);
    CU_ASSERT_EQUAL(send(&w.side[0], 1), 0); /* dropped: four wait to be read */
    loop_run(w.loop, 100);
    CU_ASSERT_EQUAL(w.side[1].datagram_events, 1);
    drain(&w.side[1]);
    CU_ASSERT_EQUAL(w.side[1].count, 4);
    loop_free(w.loop);
}

static void some_are_lost_as_asked(void)
{
    struct loop_config config = loop_config_default(3);
    struct world w;

    config.datagram_lost_percent = 30;
    open_world(&w, &config);
    for (int i = 0; i < 1000; i++) {
        CU_ASSERT_EQUAL(send(&w.side[0], 10), 0);
        loop_step(w.loop);
    }
    loop_run(w.loop, 100);
    CU_ASSERT_TRUE(w.side[1].count > 600 && w.side[1].count < 800);
    loop_free(w.loop);
}

static void an_end_leaves_nothing_behind(void)
{
    struct loop_config config = loop_config_default(4);
    struct world w;

    open_world(&w, &config);
    w.side[1].is_lazy = true;
    CU_ASSERT_EQUAL(send(&w.side[0], 10), 0);
    loop_run(w.loop, 100);
    CU_ASSERT_EQUAL(send(&w.side[1], 10), 0);
    w.side[0].transport->ops->close(w.side[0].transport, w.side[0].conn, 0, "");
    loop_run(w.loop, 100);
    CU_ASSERT_TRUE(w.side[0].is_closed && w.side[1].is_closed);
    CU_ASSERT_EQUAL(loop_conn_count(w.loop), 0);
    CU_ASSERT_EQUAL(send(&w.side[0], 10), -ESTALE);
    loop_free(w.loop);
}

static void a_peer_may_take_none(void)
{
    struct loop_config config = loop_config_default(5);
    struct world w;

    config.datagram_max = 0;
    open_world(&w, &config);
    CU_ASSERT_EQUAL(send(&w.side[0], 0), -EOPNOTSUPP);
    loop_free(w.loop);
}

static CU_TestInfo tests[] = {
    {"M3 in memory: datagrams are echoed, too large ones refused", datagrams_are_echoed},
    {"a full queue refuses and tells when it is not",
     a_full_queue_refuses_and_tells_when_it_is_not},
    {"some are lost, as asked", some_are_lost_as_asked},
    {"an end leaves nothing behind", an_end_leaves_nothing_behind},
    {"a peer may take none", a_peer_may_take_none},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "support/loop_transport datagrams", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
