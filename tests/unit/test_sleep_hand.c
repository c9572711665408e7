/* Tests of the hand of quic/conn_sleep.h: more connections than may be awake at a server. */
#include <string.h>

#include "quic/conn_move.h"
#include "quic/conn_sleep.h"
#include "tests/support/engine_world.h"
#include "tests/unit/harness.h"

enum {
    CONNS = 48,
    AWAKE = 16,
    LASTING = 2, /* streams that each side opens, if they do, as HTTP/3 does */
    CLOSE_CODE = 77,
    WORD = 8
};

/* A connection of the client's. */
struct conn {
    mr_handle handle;
    mr_handle stream; /* MR_HANDLE_NONE: none is open */
    uint64_t sent;    /* words, one a stream */
    uint64_t answered;
    bool is_connected;
    bool is_closed;
};

static struct conn conns[CONNS];
static uint64_t words[CONNS]; /* being sent */
static uint64_t echoes[4 * CONNS];
static uint32_t echo_count;
static uint64_t wrong;
static uint32_t server_closed;
static uint32_t server_streams_closed;
static bool has_lasting;
static struct engine_world *world;
static struct mr_transport *side[2];

static struct mr_endpoint *server(void)
{
    return engine_world_endpoint(world, ENGINE_SERVER);
}

static const struct mr_counters *counted(void)
{
    return mr_endpoint_counters(server());
}

/* ------------------------------------------------------------------ applications */

static void on_start(void *context, struct mr_transport *t)
{
    *(struct mr_transport **)context = t;
}

static void on_stop(void *context)
{
    (void)context;
}

/* All that has come; the word, if it is one. */
static bool read_word(struct mr_transport *t, mr_handle stream, uint64_t *word_out)
{
    struct mr_view views[4];
    bool has_fin = false;
    uint64_t size = 0;
    int64_t count;

    while ((count = t->ops->receive(t, stream, views, MR_COUNT_OF(views), &has_fin)) > 0) {
        for (int64_t i = 0; i < count; i++) {
            if (size + views[i].size <= WORD)
                memcpy((uint8_t *)word_out + size, views[i].data, views[i].size);
            size += views[i].size;
            t->ops->release(t, stream, views[i].size);
        }
    }
    return size == WORD;
}

static void send_word(struct mr_transport *t, mr_handle stream, const uint64_t *word)
{
    struct mr_view view = {.data = (const uint8_t *)word, .size = WORD};

    wrong += t->ops->send(t, stream, &view, 1, MR_SEND_FIN) != 0;
}

/* One byte each, and nothing more. */
static void open_lasting(struct mr_transport *t, mr_handle conn)
{
    static const uint8_t byte = 7;
    struct mr_view view = {.data = &byte, .size = sizeof(byte)};
    mr_handle stream;

    for (uint32_t i = 0; has_lasting && i < LASTING; i++)
        wrong += t->ops->open(t, conn, MR_OPEN_UNI, 5, &stream) != 0 ||
                 t->ops->send(t, stream, &view, 1, 0) != 0;
}

static void on_server_events(void *context, const struct mr_event *events, size_t count)
{
    struct mr_transport *t = *(struct mr_transport **)context;

    for (size_t i = 0; i < count; i++) {
        uint64_t *echo = &echoes[echo_count % MR_COUNT_OF(echoes)];

        if ((events[i].kinds & MR_EVENT_CONNECTED) != 0)
            open_lasting(t, events[i].conn);
        server_streams_closed +=
            events[i].stream != MR_HANDLE_NONE && (events[i].kinds & MR_EVENT_CLOSED) != 0;
        server_closed +=
            events[i].stream == MR_HANDLE_NONE && (events[i].kinds & MR_EVENT_CLOSED) != 0;
        if ((events[i].kinds & MR_EVENT_READABLE) == 0 || !read_word(t, events[i].stream, echo))
            continue;
        echo_count++;
        send_word(t, events[i].stream, echo);
    }
}

static void on_client_events(void *context, const struct mr_event *events, size_t count)
{
    struct mr_transport *t = *(struct mr_transport **)context;

    for (size_t i = 0; i < count; i++) {
        const struct mr_event *event = &events[i];
        struct conn *conn = &conns[0];
        uint64_t word;

        while (conn < &conns[CONNS] && conn->handle != event->conn)
            conn++;
        if (conn == &conns[CONNS]) {
            wrong++;
            continue;
        }
        if ((event->kinds & MR_EVENT_CONNECTED) != 0) {
            conn->is_connected = true;
            open_lasting(t, event->conn);
        }
        if (event->stream == MR_HANDLE_NONE)
            conn->is_closed |= (event->kinds & MR_EVENT_CLOSED) != 0;
        else if ((event->kinds & MR_EVENT_READABLE) != 0 && read_word(t, event->stream, &word)) {
            conn->answered++;
            wrong += word != words[conn - conns];
        }
        if (event->stream == conn->stream && (event->kinds & MR_EVENT_CLOSED) != 0)
            conn->stream = MR_HANDLE_NONE;
    }
}

/* ------------------------------------------------------------------ the world */

static void connect_some(uint32_t count)
{
    const struct mr_address to = engine_world_server();

    for (uint32_t i = 0; i < count; i++) {
        struct mr_connect_options options = {.remote = to,
                                             .server_name = "localhost",
                                             .alpn = (const uint8_t *)"\002h3",
                                             .alpn_size = 3,
                                             .is_insecure = true};

        CU_ASSERT_EQUAL_FATAL(
            side[ENGINE_CLIENT]->ops->connect(side[ENGINE_CLIENT], &options, &conns[i].handle), 0);
        engine_world_run(world, 300 * MR_MS);
        CU_ASSERT(conns[i].is_connected);
        CU_ASSERT(server()->conns.used <= AWAKE);
    }
}

static void begin_with(uint64_t sleep_after_ns, uint32_t count)
{
    static const struct mr_application client = {.context = &side[ENGINE_CLIENT],
                                                 .on_start = on_start,
                                                 .on_events = on_client_events,
                                                 .on_stop = on_stop};
    static const struct mr_application application = {.context = &side[ENGINE_SERVER],
                                                      .on_start = on_start,
                                                      .on_events = on_server_events,
                                                      .on_stop = on_stop};
    const struct engine_options options = {
        .connections = CONNS, .awake = AWAKE, .sleep_after_ns = sleep_after_ns};

    memset(conns, 0, sizeof(conns));
    echo_count = server_closed = server_streams_closed = 0;
    wrong = 0;
    world = engine_world_new(&options, &client, &application);
    connect_some(count);
}

static void begin(uint64_t sleep_after_ns)
{
    begin_with(sleep_after_ns, CONNS);
}

static void end(void)
{
    has_lasting = false;
    CU_ASSERT_EQUAL(wrong, 0);
    mr_endpoint_check(server());
    engine_world_free(world);
}

/* Send a word on a new stream of connection `i`, if it has none open. */
static void say(uint32_t i, uint64_t word)
{
    struct mr_transport *t = side[ENGINE_CLIENT];

    if (conns[i].stream != MR_HANDLE_NONE)
        return;
    words[i] = word;
    wrong += t->ops->open(t, conns[i].handle, MR_OPEN_BIDI, 0, &conns[i].stream) != 0;
    send_word(t, conns[i].stream, &words[i]);
    conns[i].sent++;
}

static uint64_t unanswered(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < CONNS; i++)
        sum += conns[i].sent - conns[i].answered;
    return sum;
}

/* ------------------------------------------------------------------ tests */

/* Woken at random, a few at a time: each answers, and others go to sleep for it. */
static void wake_at_random(void)
{
    struct mr_random random;

    CU_ASSERT_EQUAL(mr_endpoint_conn_count(server()), CONNS);
    CU_ASSERT(server()->sleepers.used >= CONNS - AWAKE);
    mr_random_init_number(&random, 5);
    for (uint64_t round = 0; round < 600; round++) {
        for (int i = 0; i < 3; i++)
            say((uint32_t)mr_random_below(&random, CONNS), mr_random_u64(&random));
        engine_world_run(world, 40 * MR_MS);
        CU_ASSERT(server()->conns.used <= AWAKE);
        mr_endpoint_check(server());
    }
    engine_world_run(world, 5 * MR_SECOND);
    CU_ASSERT_EQUAL(unanswered(), 0);
    CU_ASSERT(counted()->connections_woken > 400);
    CU_ASSERT_EQUAL(counted()->limit_awake, 0);
    CU_ASSERT_EQUAL(counted()->limit_sleepers, 0);
    printf("# %lu woken, %lu asleep\n", (unsigned long)counted()->connections_woken,
           (unsigned long)server()->sleepers.used);
}

static void more_live_than_are_awake(void)
{
    begin(100 * MR_MS);
    wake_at_random();
    end();
}

/* As HTTP/3's do: there are only objects for those of the awake. */
static void streams_that_last_sleep_with_them(void)
{
    has_lasting = true;
    begin(100 * MR_MS);
    server()->streams.count = (2 * LASTING + 1) * AWAKE;
    wake_at_random();
    CU_ASSERT_EQUAL(server()->stream_numbers.used, 2 * LASTING * CONNS);
    CU_ASSERT(server()->streams.used <= 2 * LASTING * AWAKE);
    CU_ASSERT_EQUAL(counted()->limit_streams, 0);
    end();
}

/* Objects of streams are short, places for connections are not: it goes all the same. */
static void the_hand_keeps_objects_of_streams_free(void)
{
    has_lasting = true;
    begin_with(100 * MR_MS, AWAKE / 2);
    CU_ASSERT_EQUAL(counted()->connections_slept, 0);
    uint32_t count = server()->streams.count;
    server()->streams.count = server()->streams.used + 5;
    mr_sleep_on_taken(server());
    CU_ASSERT(server()->sleep_hand.is_going);
    engine_world_run(world, 500 * MR_MS);
    CU_ASSERT(counted()->connections_slept > 0);
    CU_ASSERT(mr_pool_free_count(&server()->streams) >= server()->streams.count / 4);
    CU_ASSERT_FALSE(server()->sleep_hand.is_going);
    server()->streams.count = count;
    end();
}

/* All at once: there are not places for all, and what is dropped comes again. */
static void all_at_once_get_their_turn(void)
{
    begin(2 * MR_SECOND);
    for (uint32_t i = 0; i < CONNS; i++)
        say(i, i);
    engine_world_run(world, 20 * MR_SECOND);
    CU_ASSERT_EQUAL(unanswered(), 0);
    CU_ASSERT(counted()->limit_awake > 0);
    end();
}

/* The hand rests when a quarter of the places is free, and leaves those alone that rest shortly. */
static void the_hand_keeps_a_quarter_free(void)
{
    begin(2 * MR_SECOND);
    engine_world_run(world, 5 * MR_SECOND);
    uint64_t slept = counted()->connections_slept;
    CU_ASSERT_EQUAL(mr_pool_free_count(&server()->conns), mr_limits_spare(&server()->limits));
    CU_ASSERT_FALSE(server()->sleep_hand.is_going);
    engine_world_run(world, 5 * MR_SECOND);
    CU_ASSERT_EQUAL(counted()->connections_slept, slept);
    for (uint32_t i = 0; i < CONNS; i++) {
        say(i, i); /* wakes one, or is one awake */
        engine_world_run(world, 200 * MR_MS);
    }
    engine_world_run(world, 5 * MR_SECOND);
    CU_ASSERT(counted()->connections_slept > slept);
    CU_ASSERT_EQUAL(mr_pool_free_count(&server()->conns), mr_limits_spare(&server()->limits));
    CU_ASSERT_EQUAL(unanswered(), 0);
    end();
}

/* Fewer places are free than are to be, and yet nobody sleeps before its time, unless they are
 * scarce. */
static void nobody_sleeps_before_its_time(void)
{
    begin_with(20 * MR_SECOND, AWAKE - AWAKE / 4 + 1);
    CU_ASSERT(mr_pool_free_count(&server()->conns) < mr_limits_spare(&server()->limits));
    CU_ASSERT(server()->sleep_hand.is_going);
    engine_world_run(world, 10 * MR_SECOND);
    CU_ASSERT_EQUAL(counted()->connections_slept, 0);
    engine_world_run(world, 20 * MR_SECOND);
    CU_ASSERT_EQUAL(counted()->connections_slept, 2);
    CU_ASSERT_EQUAL(mr_pool_free_count(&server()->conns), mr_limits_spare(&server()->limits));
    end();
    begin_with(20 * MR_SECOND, AWAKE - 1);
    CU_ASSERT(counted()->connections_slept > 0);
    CU_ASSERT(mr_pool_free_count(&server()->conns) <= mr_limits_spare(&server()->limits));
    end();
}

/* The handle of a sleeper of the server's. */
static mr_handle some_sleeper(void)
{
    uint32_t hand = 0;
    mr_handle handle;

    do
        handle = mr_endpoint_next_conn(server(), &hand);
    while (handle != MR_HANDLE_NONE && !mr_conn_is_asleep(server(), handle));
    return handle;
}

/* An operation finds every place taken: one of those that rest gives up its own.  A packet does not
 * ask for that. */
static void an_operation_makes_room(void)
{
    begin(100 * MR_MS);
    while (mr_pool_free_count(&server()->conns) > 0)
        CU_ASSERT_PTR_NOT_NULL_FATAL(mr_conn_rouse(server(), (uint32_t)some_sleeper(), false));
    mr_handle handle = some_sleeper();
    CU_ASSERT_NOT_EQUAL_FATAL(handle, MR_HANDLE_NONE);
    CU_ASSERT_PTR_NULL(mr_conn_rouse(server(), (uint32_t)handle, false));
    CU_ASSERT_EQUAL(counted()->limit_awake, 1);
    uint64_t slept = counted()->connections_slept;
    CU_ASSERT_EQUAL(mr_object_set_user_data(server(), handle, 5), 0);
    CU_ASSERT_FALSE(mr_conn_is_asleep(server(), handle));
    CU_ASSERT_EQUAL(mr_object_user_data(server(), handle), 5);
    CU_ASSERT_EQUAL(counted()->connections_slept, slept + 1);
    CU_ASSERT_EQUAL(counted()->limit_awake, 1);
    mr_endpoint_check(server());
    end();
}

static void close_all(void)
{
    uint32_t closed = 0;

    begin(100 * MR_MS);
    CU_ASSERT(server()->sleepers.used > AWAKE);
    mr_endpoint_close_all(server(), CLOSE_CODE, side[ENGINE_SERVER]->ops->now(side[ENGINE_SERVER]));
    engine_world_run(world, 30 * MR_SECOND);
    for (uint32_t i = 0; i < CONNS; i++)
        closed += conns[i].is_closed;
    CU_ASSERT_EQUAL(closed, CONNS);
    CU_ASSERT_EQUAL(server_closed, CONNS);
    CU_ASSERT_EQUAL(counted()->application_closes, CONNS);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(server()), 0);
    CU_ASSERT_FALSE(server()->sleep_hand.is_going);
    CU_ASSERT_EQUAL(server_streams_closed, has_lasting ? 2 * LASTING * CONNS : 0);
    end();
}

static void all_are_closed(void)
{
    close_all();
    has_lasting = true;
    close_all();
}

/* Their places are needed sooner than they have drained. */
static void peers_close_all(void)
{
    begin(100 * MR_MS);
    struct mr_transport *t = side[ENGINE_CLIENT];
    for (uint32_t i = 0; i < CONNS; i++) {
        CU_ASSERT_EQUAL(t->ops->close(t, conns[i].handle, CLOSE_CODE, ""), 0);
        if (i % 3 == 2)
            engine_world_run(world, 2 * MR_MS);
    }
    engine_world_run(world, MR_SECOND);
    CU_ASSERT_EQUAL(server_closed, CONNS);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(server()), 0);
    CU_ASSERT(counted()->drains_cut_short > 0);
    CU_ASSERT(counted()->drains_cut_short < CONNS);
    CU_ASSERT_EQUAL(counted()->limit_awake, 0);
    CU_ASSERT_EQUAL(counted()->stateless_resets_sent, 0);
    end();
}

/* Idle timeouts of sleepers, many in the same moment. */
static void all_end_in_time(void)
{
    begin(100 * MR_MS);
    engine_world_hold(world, ENGINE_CLIENT, true); /* nobody hears of their closes */
    engine_world_run(world, 62 * MR_SECOND);
    CU_ASSERT_EQUAL(counted()->idle_timeouts, CONNS);
    CU_ASSERT_EQUAL(server_closed, CONNS);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(server()), 0);
    end();
}

static CU_TestInfo tests[] = {
    {"more live than are awake", more_live_than_are_awake},
    {"streams that last sleep with them", streams_that_last_sleep_with_them},
    {"the hand keeps objects of streams free", the_hand_keeps_objects_of_streams_free},
    {"all at once get their turn", all_at_once_get_their_turn},
    {"the hand keeps a quarter free", the_hand_keeps_a_quarter_free},
    {"nobody sleeps before its time", nobody_sleeps_before_its_time},
    {"an operation makes room", an_operation_makes_room},
    {"all are closed", all_are_closed},
    {"peers close all", peers_close_all},
    {"all end in time", all_end_in_time},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/conn_sleep, the hand", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
