/* Tests of http3/server.h under load and in trouble: small pools, refusals, peers that vanish,
 * drain. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

enum {
    BIG = 700000,
    SMALL = 5000,
};

static struct h3_pair *new_pair(void)
{
    struct h3_pair *pair = h3_pair_new();

    h3_pair_write_pattern(pair, "big.bin", BIG);
    h3_pair_write_pattern(pair, "small.bin", SMALL);
    return pair;
}

static struct h3_fetch *begin(struct h3_pair *pair, const char *path)
{
    struct h3_fetch *fetch = h3_pair_begin(pair, &(struct mr_h3_request_options){.path = path});

    fetch->keeps_body = false;
    fetch->checks_pattern = true;
    return fetch;
}

static uint32_t count_outcome(const struct h3_pair *pair, enum mr_h3_outcome outcome)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < pair->fetch_count; i++)
        count += pair->fetch[i].is_done && pair->fetch[i].result.outcome == outcome;
    return count;
}

static uint32_t count_wrong(const struct h3_pair *pair)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < pair->fetch_count; i++)
        count += pair->fetch[i].is_wrong;
    return count;
}

/* Close the connections and see that nothing is left. */
static void check_idle_after_close(struct h3_pair *pair)
{
    (void)mr_h3_client_close(pair->client, pair->conn);
    h3_pair_run(pair);
    CU_ASSERT_TRUE(h3_pair_is_idle(pair));
    CU_ASSERT_EQUAL(loop_conn_count(pair->loop), 0);
    CU_ASSERT_EQUAL(loop_stream_count(pair->loop), 0);
    CU_ASSERT_EQUAL(loop_work_count(pair->loop), 0);
}

static void a_thousand_requests_at_once_share_two_buffers(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(3);

    config.buffers_max = 2;
    config.cache_bytes = 0;
    config.requests_max = 1000;
    config.requests_per_conn_max = 1000;
    loop.bidi_max = 1000;
    loop.work_max = 1;
    h3_pair_start(pair, &config, &loop);
    for (int i = 0; i < 1000; i++)
        begin(pair, i % 50 == 0 ? "/big.bin" : "/small.bin");
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(count_outcome(pair, MR_H3_DONE), 1000);
    CU_ASSERT_EQUAL(count_wrong(pair), 0);
    CU_ASSERT_TRUE(h3_pair_counter(pair, buffer_waits) > 0);
    CU_ASSERT_TRUE(h3_pair_counter(pair, work_waits) > 0);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, requests_done), 1000);
    check_idle_after_close(pair);
    h3_pair_free(pair);
}

static void no_request_starves_behind_a_stalled_one(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(4);

    config.buffers_max = 4;
    config.cache_bytes = 0;
    h3_pair_start(pair, &config, &loop);
    for (int i = 0; i < 4; i++)
        begin(pair, "/big.bin");
    loop_hold_acks(pair->loop, 1, true); /* whoever has buffers keeps them */
    loop_pass(pair->loop, UINT64_C(1000000000));
    CU_ASSERT_EQUAL(count_outcome(pair, MR_H3_DONE), 0);
    CU_ASSERT_EQUAL(mr_h3_server_usage(pair->server).buffers, 4);
    loop_hold_acks(pair->loop, 1, false);
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(count_outcome(pair, MR_H3_DONE), 4);
    CU_ASSERT_EQUAL(count_wrong(pair), 0);
    h3_pair_free(pair);
}

/* Everything that may be refused is refused now and then; nothing may hang or be wrong. */
static void refused_calls_only_delay(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct h3_pair *pair = new_pair();
        struct mr_h3_server_config config = h3_pair_server_config(pair);
        struct loop_config loop = loop_config_default(seed);

        config.buffers_max = 3;
        config.cache_bytes = seed % 2 == 0 ? 0 : 1 << 20;
        config.requests_per_conn_max = 64;
        loop.refuse_percent = 30;
        loop.idle_percent = 30;
        loop.stream_window = 3000 + 1000 * seed;
        loop.queue_max = 20000;
        loop.piece_max = 2000;
        loop.bidi_max = 10;
        loop.work_max = 2;
        loop.batch_max = 1 + (uint32_t)(seed % 7);
        h3_pair_start(pair, &config, &loop);
        for (int i = 0; i < 30; i++)
            begin(pair, i % 10 == 0 ? "/big.bin" : "/small.bin");
        loop_pass(pair->loop, UINT64_C(5000000000)); /* a refused timer is asked for again later */
        h3_pair_run(pair);
        CU_ASSERT_EQUAL(count_outcome(pair, MR_H3_DONE), 30);
        CU_ASSERT_EQUAL(count_wrong(pair), 0);
        CU_ASSERT_TRUE(h3_pair_counter(pair, send_waits) > 0);
        check_idle_after_close(pair);
        h3_pair_free(pair);
    }
}

static void a_client_that_vanishes_leaves_nothing_behind(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct h3_pair *pair = new_pair();
        struct mr_h3_server_config config = h3_pair_server_config(pair);
        struct loop_config loop = loop_config_default(seed);

        config.has_listings = true;
        config.cache_bytes = seed % 3 == 0 ? 0 : 1 << 20;
        loop.close_order = (enum loop_close_order)(seed % 3);
        loop.idle_percent = 20;
        h3_pair_start(pair, &config, &loop);
        for (int i = 0; i < 12; i++)
            begin(pair, i % 3 == 0 ? "/big.bin" : i % 3 == 1 ? "/small.bin" : "/");
        for (uint64_t i = 0; i < 1 + seed; i++)
            loop_step(pair->loop);
        loop_hold_work(pair->loop, seed % 2 == 0); /* some work is still out when it happens */
        loop_step(pair->loop);
        loop_cut(pair->loop);
        for (int i = 0; i < 10; i++)
            loop_step(pair->loop);
        loop_hold_work(pair->loop, false);
        h3_pair_run(pair);
        CU_ASSERT_TRUE(h3_pair_is_idle(pair));
        CU_ASSERT_EQUAL(loop_conn_count(pair->loop), 0);
        CU_ASSERT_EQUAL(count_outcome(pair, MR_H3_DONE) + count_outcome(pair, MR_H3_CONN_LOST), 12);
        CU_ASSERT_EQUAL(pair->closed_count, 1);
        CU_ASSERT_FALSE(pair->closed.is_application);
        h3_pair_free(pair);
    }
}

static void cancelled_requests_give_everything_back(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(6);

    config.cache_bytes = 0;
    h3_pair_start(pair, &config, &loop);
    for (int i = 0; i < 50; i++)
        begin(pair, "/big.bin")->cancel_at = 1 + 10000 * (uint64_t)i;
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(count_outcome(pair, MR_H3_CANCELLED), 50);
    struct mr_h3_server_usage usage = mr_h3_server_usage(pair->server);
    CU_ASSERT_EQUAL(usage.requests, 0);
    CU_ASSERT_EQUAL(usage.buffers, 0);
    CU_ASSERT_EQUAL(usage.files, 0);
    CU_ASSERT_EQUAL(usage.connections, 1);
    check_idle_after_close(pair);
    h3_pair_free(pair);
}

/* RFC 9114 has no limit of its own for this: a cancelled request counts until its work is done. */
static void rapid_resets_are_refused_while_their_work_is_out(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(7);

    config.requests_per_conn_max = 10;
    config.cache_bytes = 0;
    h3_pair_start(pair, &config, &loop);
    h3_pair_run(pair);
    loop_hold_work(pair->loop, true);
    for (int i = 0; i < 100; i++) {
        struct h3_fetch *fetch = begin(pair, "/small.bin");
        for (int step = 0; step < 6; step++)
            loop_step(pair->loop);
        if (!fetch->is_done)
            CU_ASSERT_EQUAL(mr_h3_client_cancel(pair->client, fetch->request), 0);
        for (int step = 0; step < 6; step++)
            loop_step(pair->loop);
    }
    CU_ASSERT_EQUAL(mr_h3_server_usage(pair->server).requests, 10);
    CU_ASSERT_EQUAL(loop_work_count(pair->loop), 10);
    CU_ASSERT_EQUAL(count_outcome(pair, MR_H3_REJECTED), 90);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, requests_refused), 90);
    loop_hold_work(pair->loop, false);
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(mr_h3_server_usage(pair->server).requests, 0);
    CU_ASSERT_EQUAL(begin(pair, "/small.bin")->is_done, false);
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(count_outcome(pair, MR_H3_DONE), 1);
    check_idle_after_close(pair);
    h3_pair_free(pair);
}

static void a_response_that_nobody_takes_is_reset_in_time(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(8);

    config.cache_bytes = 0;
    h3_pair_start(pair, &config, &loop);
    struct h3_fetch *fetch = begin(pair, "/big.bin");
    while (fetch->body_size < 1000)
        loop_step(pair->loop);
    loop_hold_acks(pair->loop, 1, true);
    loop_pass(pair->loop, config.stall_timeout_ns + UINT64_C(3000000000));
    CU_ASSERT_EQUAL(h3_pair_counter(pair, requests_timed_out), 1);
    CU_ASSERT_EQUAL(mr_h3_server_usage(pair->server).buffers, 0);
    CU_ASSERT_EQUAL(fetch->result.outcome, MR_H3_RESET);
    CU_ASSERT_EQUAL(fetch->result.code, 0x10c); /* H3_REQUEST_CANCELLED */
    h3_pair_free(pair);
}

static void many_connections_are_served_and_more_are_refused(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(9);

    config.connections_max = 10;
    h3_pair_start(pair, &config, &loop);
    for (int i = 0; i < 14; i++)
        h3_pair_connect(pair);
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(mr_h3_server_usage(pair->server).connections, 10);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, connections_refused), 5);
    CU_ASSERT_EQUAL(pair->closed_count, 5);
    CU_ASSERT_EQUAL(pair->closed.code, 0x107); /* H3_EXCESSIVE_LOAD */
    CU_ASSERT_TRUE(pair->closed.is_remote);
    begin(pair, "/small.bin");
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(count_outcome(pair, MR_H3_DONE), 1);
    loop_cut(pair->loop);
    h3_pair_run(pair);
    CU_ASSERT_TRUE(h3_pair_is_idle(pair));
    h3_pair_free(pair);
}

static void drain_finishes_what_is_open_and_refuses_the_rest(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(10);

    config.cache_bytes = 0;
    h3_pair_start(pair, &config, &loop);
    struct h3_fetch *open = begin(pair, "/big.bin");
    while (open->body_size == 0)
        loop_step(pair->loop);
    loop_go_away(pair->loop, 1);
    loop_step(pair->loop);
    struct h3_fetch *late = begin(pair, "/small.bin"); /* GOAWAY is still on its way */
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(open->result.outcome, MR_H3_DONE);
    CU_ASSERT_EQUAL(open->body_size, BIG);
    CU_ASSERT_EQUAL(late->result.outcome, MR_H3_REJECTED);
    CU_ASSERT_EQUAL(pair->goaway_count, 1);
    CU_ASSERT_EQUAL(pair->closed_count, 1);
    CU_ASSERT_EQUAL(pair->closed.code, 0x100); /* H3_NO_ERROR */
    CU_ASSERT_EQUAL(h3_pair_counter(pair, goaways_sent), 1);
    CU_ASSERT_TRUE(h3_pair_is_idle(pair));
    h3_pair_free(pair);
}

static void drain_closes_idle_connections_at_once(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(11);

    h3_pair_start(pair, &config, &loop);
    h3_pair_connect(pair);
    h3_pair_run(pair);
    loop_go_away(pair->loop, 1);
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(pair->closed_count, 2);
    h3_pair_connect(pair); /* a connection that comes after the drain began gets a GOAWAY too */
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(pair->closed_count, 3);
    CU_ASSERT_TRUE(h3_pair_is_idle(pair));
    h3_pair_free(pair);
}

static void requests_wait_for_the_peers_stream_limit_in_order(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(12);

    loop.bidi_max = 1;
    h3_pair_start(pair, &config, &loop);
    struct h3_fetch *first = begin(pair, "/big.bin");
    struct h3_fetch *second = begin(pair, "/small.bin");
    struct h3_fetch *third = begin(pair, "/small.bin");
    CU_ASSERT_EQUAL(mr_h3_client_cancel(pair->client, third->request), 0);
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(first->result.outcome, MR_H3_DONE);
    CU_ASSERT_EQUAL(second->result.outcome, MR_H3_DONE);
    CU_ASSERT_TRUE(second->result.sent_ns >= first->result.done_ns);
    CU_ASSERT_EQUAL(third->result.outcome, MR_H3_CANCELLED);
    CU_ASSERT_EQUAL(mr_h3_client_cancel(pair->client, third->request), -ESTALE);
    check_idle_after_close(pair);
    h3_pair_free(pair);
}

static void a_full_cache_gives_up_the_oldest_files(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(13);
    char name[32];

    config.cache_bytes = 100000;
    h3_pair_start(pair, &config, &loop);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        h3_pair_write_pattern(pair, name, 10000);
        snprintf(name, sizeof(name), "/f%d", i);
        begin(pair, name);
        h3_pair_run(pair);
    }
    loop_pass(pair->loop, UINT64_C(1100000000));
    CU_ASSERT_EQUAL(count_outcome(pair, MR_H3_DONE), 40);
    CU_ASSERT_EQUAL(count_wrong(pair), 0);
    CU_ASSERT_TRUE(h3_pair_counter(pair, cache_evictions) >= 30);
    CU_ASSERT_TRUE(mr_h3_server_usage(pair->server).cache_bytes <= 101024);
    check_idle_after_close(pair);
    h3_pair_free(pair);
}

CU_TestInfo http_load_tests[] = {
    {"a thousand requests at once share two buffers",
     a_thousand_requests_at_once_share_two_buffers},
    {"no request starves behind a stalled one", no_request_starves_behind_a_stalled_one},
    {"refused calls only delay", refused_calls_only_delay},
    {"a client that vanishes leaves nothing behind", a_client_that_vanishes_leaves_nothing_behind},
    {"cancelled requests give everything back", cancelled_requests_give_everything_back},
    {"rapid resets are refused while their work is out",
     rapid_resets_are_refused_while_their_work_is_out},
    {"a response that nobody takes is reset in time",
     a_response_that_nobody_takes_is_reset_in_time},
    {"many connections are served and more are refused",
     many_connections_are_served_and_more_are_refused},
    {"drain finishes what is open and refuses the rest",
     drain_finishes_what_is_open_and_refuses_the_rest},
    {"drain closes idle connections at once", drain_closes_idle_connections_at_once},
    {"requests wait for the peers stream limit in order",
     requests_wait_for_the_peers_stream_limit_in_order},
    {"a full cache gives up the oldest files", a_full_cache_gives_up_the_oldest_files},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/load", .pTests = http_load_tests},
    CU_SUITE_INFO_NULL,
};
