/* Tests of tools/perf_far.h: orders to a server of the performance protocol, and their answers,
 * over a transport in memory. */
#include "tools/perf_far.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tests/support/loop_transport.h"
#include "tests/unit/harness.h"
#include "tools/perf_server.h"

enum {
    STEPS = 100000,
    CLIENTS = MR_FAR_CONNS + 1, /* one too many */
    STREAMS = 64,
    ANSWER = 50000, /* bytes */
};

static struct mr_far *clients[CLIENTS];
static struct mr_far *served;
static struct mr_perf_buffer buffer;
static struct mr_perf_server *server;
static struct mr_application application;
static struct loop *loop;

static void on_start(void *context, struct mr_transport *transport)
{
    (void)context;
    for (int i = 0; i < CLIENTS; i++)
        clients[i]->transport = transport;
}

/* Several on one shard: each has its own connection, and streams. */
static struct mr_far *client_of(const struct mr_event *event)
{
    struct mr_far *found = NULL;

    for (int i = 0; i < CLIENTS; i++)
        if (clients[i]->is_connecting && clients[i]->conn == event->conn)
            found = clients[i];
    return found;
}

static void on_events(void *context, const struct mr_event *events, size_t n)
{
    (void)context;
    for (size_t i = 0; i < n; i++) {
        struct mr_far *far = client_of(&events[i]);
        if (far == NULL)
            continue;
        CU_ASSERT_TRUE(events[i].user_data == MR_FAR_NAME);
        mr_far_client_event(far, &events[i]);
    }
}

static uint32_t on_poll(void *context)
{
    (void)context;
    for (int i = 0; i < CLIENTS; i++)
        mr_far_client_poll(clients[i]);
    return 0;
}

static void on_stop(void *context)
{
    (void)context;
}

static void begin(const struct loop_config *config)
{
    struct mr_fault fault;

    CU_ASSERT_TRUE_FATAL(mr_perf_buffer_make(&buffer, MR_PERF_BUFFER_BYTES));
    server = mr_perf_server_make(&buffer, STREAMS, &fault);
    served = calloc(1, sizeof(*served));
    CU_ASSERT_FATAL(server != NULL && served != NULL);
    mr_perf_server_take_orders(server, served);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = calloc(1, sizeof(*clients[i]));
        CU_ASSERT_PTR_NOT_NULL_FATAL(clients[i]);
        clients[i]->connect.server_name = "localhost";
    }
    application = (struct mr_application){
        .on_start = on_start, .on_events = on_events, .on_poll = on_poll, .on_stop = on_stop};
    loop = loop_new(config, &application, mr_perf_server_application(server));
}

static void end(void)
{
    loop_free(loop);
    for (int i = 0; i < CLIENTS; i++)
        free(clients[i]);
    mr_perf_server_free(server);
    free(served);
    mr_perf_buffer_free(&buffer);
}

static void run(uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        loop_step(loop);
}

/* The answer to order `number`: long, and of that number. */
static const char *answer_to(int number)
{
    static char text[ANSWER + 1];

    for (int i = 0; i < ANSWER; i++)
        text[i] = (char)('a' + (i * 7 + number) % 26);
    return text;
}

/* As the server's control thread does. */
static bool serve(int number)
{
    uint32_t size;
    const char *order = mr_far_order(served, &size);
    char expected[32];

    if (order == NULL)
        return false;
    snprintf(expected, sizeof(expected), "order %d", number);
    CU_ASSERT_EQUAL(size, strlen(expected));
    CU_ASSERT_EQUAL(memcmp(order, expected, size), 0);
    mr_far_give(served, answer_to(number));
    return true;
}

/* Ask, serve, and take the answer; or the failure. */
static const char *exchange(struct mr_far *far, int number, const char **failure)
{
    char order[32];
    const char *answer = NULL;

    *failure = NULL;
    snprintf(order, sizeof(order), "order %d", number);
    mr_far_ask(far, order);
    for (int i = 0; i < STEPS && answer == NULL && *failure == NULL; i++) {
        loop_step(loop);
        (void)serve(number);
        answer = mr_far_answer(far, failure);
    }
    return answer;
}

static void orders_are_answered_in_whatever_pieces(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct loop_config config = loop_config_default(seed);
        const char *failure;

        config.piece_max = 1 + 997 * (size_t)(seed % 5);
        config.refuse_percent = seed % 3 == 0 ? 30 : 0;
        config.idle_percent = seed % 2 == 0 ? 20 : 0;
        begin(&config);
        for (int number = 0; number < 4; number++) {
            const char *answer = exchange(clients[0], number, &failure);
            CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
            CU_ASSERT_EQUAL(strcmp(answer, answer_to(number)), 0);
        }
        CU_ASSERT_EQUAL(loop_conn_count(loop), 1);
        CU_ASSERT_FALSE(mr_far_client_close(clients[0]));
        run(100);
        CU_ASSERT_TRUE(mr_far_client_close(clients[0]));
        CU_ASSERT_EQUAL(mr_far_conns(served), 0);
        struct mr_perf_server_counts counts = {0};
        mr_perf_server_read(server, &counts);
        CU_ASSERT_EQUAL(counts.connections + counts.requests + counts.streams_ignored, 0);
        end();
    }
}

static void one_order_at_a_time(void)
{
    struct loop_config config = loop_config_default(1);
    const char *failure = NULL;

    begin(&config);
    mr_far_ask(clients[0], "order 0");
    run(50);
    mr_far_ask(clients[1], "order 1");
    run(50);
    CU_ASSERT_PTR_NULL(mr_far_answer(clients[0], &failure));
    CU_ASSERT_PTR_NULL(failure);
    CU_ASSERT_PTR_NULL(mr_far_answer(clients[1], &failure));
    CU_ASSERT_PTR_NOT_NULL_FATAL(failure);
    CU_ASSERT_STRING_EQUAL(failure, "somebody else gives it orders");
    CU_ASSERT_TRUE(serve(0));
    run(100);
    CU_ASSERT_PTR_NOT_NULL(mr_far_answer(clients[0], &failure));
    CU_ASSERT_PTR_NOT_NULL(exchange(clients[1], 2, &failure)); /* it is free again */
    end();
}

static void too_many_connections_are_closed(void)
{
    struct loop_config config = loop_config_default(1);
    const char *failure;

    begin(&config);
    for (int i = 0; i < MR_FAR_CONNS; i++)
        CU_ASSERT_PTR_NOT_NULL(exchange(clients[i], i, &failure));
    CU_ASSERT_PTR_NULL(exchange(clients[MR_FAR_CONNS], 9, &failure));
    CU_ASSERT_PTR_NOT_NULL(failure);
    CU_ASSERT_EQUAL(mr_far_conns(served), MR_FAR_CONNS);
    CU_ASSERT_PTR_NOT_NULL(exchange(clients[0], 10, &failure));
    end();
}

static void a_lost_connection_fails_the_order_and_no_later_one(void)
{
    struct loop_config config = loop_config_default(1);
    const char *failure = NULL;

    begin(&config);
    mr_far_ask(clients[0], "order 0");
    run(50);
    loop_cut(loop);
    run(50);
    CU_ASSERT_PTR_NULL(mr_far_answer(clients[0], &failure));
    CU_ASSERT_PTR_NOT_NULL_FATAL(failure);
    CU_ASSERT_STRING_EQUAL(failure, "the connection to it ended");
    CU_ASSERT_EQUAL(mr_far_conns(served), 0);
    CU_ASSERT_TRUE(serve(0)); /* nobody waits for it */
    run(50);
    CU_ASSERT_PTR_NOT_NULL(exchange(clients[0], 1, &failure));
    end();
}

/* Nobody waits for it any more when it comes; the next one has its own. */
static void an_answer_that_comes_too_late_is_thrown_away(void)
{
    struct loop_config config = loop_config_default(1);
    const char *failure = NULL;

    begin(&config);
    CU_ASSERT_TRUE(mr_far_may_ask(clients[0]));
    mr_far_ask(clients[0], "order 0");
    CU_ASSERT_FALSE(mr_far_may_ask(clients[0]));
    run(100);
    CU_ASSERT_PTR_NULL(mr_far_answer(clients[0], &failure));
    CU_ASSERT_FALSE(mr_far_may_ask(clients[0]));
    CU_ASSERT_TRUE(serve(0));
    run(100);
    CU_ASSERT_TRUE(mr_far_may_ask(clients[0]));
    const char *answer = exchange(clients[0], 1, &failure);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_EQUAL(strcmp(answer, answer_to(1)), 0);
    end();
}

static void texts_that_are_too_long_are_refused(void)
{
    struct loop_config config = loop_config_default(1);
    char order[MR_FAR_ORDER_MAX + 1];
    const char *failure = NULL;
    char *text = calloc(1, MR_FAR_TEXT_MAX + 2);
    uint32_t size = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(order, 'x', MR_FAR_ORDER_MAX);
    order[MR_FAR_ORDER_MAX] = '\0';
    memset(text, 'x', MR_FAR_TEXT_MAX + 1);
    begin(&config);
    mr_far_ask(clients[0], order);
    run(50);
    CU_ASSERT_PTR_NOT_NULL(mr_far_order(served, &size));
    CU_ASSERT_EQUAL(size, MR_FAR_ORDER_MAX);
    mr_far_give(served, text);
    run(100);
    const char *answer = mr_far_answer(clients[0], &failure);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_STRING_EQUAL(answer, "{}");
    run(50);
    mr_far_ask(clients[0], order); /* and one byte of what lies behind it */
    clients[0]->order_size++;
    run(100);
    CU_ASSERT_PTR_NULL(mr_far_answer(clients[0], &failure));
    CU_ASSERT_PTR_NOT_NULL_FATAL(failure);
    CU_ASSERT_STRING_EQUAL(failure, "the server refused the order");
    CU_ASSERT_PTR_NULL(mr_far_order(served, &size));
    end();
    free(text);
}

static CU_TestInfo tests[] = {
    {"orders are answered in whatever pieces", orders_are_answered_in_whatever_pieces},
    {"one order at a time", one_order_at_a_time},
    {"too many connections are closed", too_many_connections_are_closed},
    {"a lost connection fails the order and no later one",
     a_lost_connection_fails_the_order_and_no_later_one},
    {"an answer that comes too late is thrown away", an_answer_that_comes_too_late_is_thrown_away},
    {"texts that are too long are refused", texts_that_are_too_long_are_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "perf/far", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
