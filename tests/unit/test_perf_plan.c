/* Tests of tools/perf_plan.h. */
#include "tools/perf_plan.h"

#include <string.h>

#include "tests/unit/harness.h"

static void takes_operations_apart(void)
{
    static const struct {
        const char *text;
        const char *name; /* NULL: refused */
        double weight;
        const char *says;
    } cases[] = {
        {"down=1M", "stream down 1048576", 1},
        {"up=512,down=4000,weight=2.5", "stream up 512 down 4000", 2.5},
        {"down=endless", "stream down endless", 1},
        {"up=endless,uni", "uni up endless", 1},
        {"connect", "connect", 1},
        {"resume", "resume", 1},
        {"early,up=10", "early up 10", 1},
        {"", NULL, 0},
        {"down", NULL, 0},
        {"down=", NULL, 0},
        {"down=-1", NULL, 0, "below 2^60"},
        {"down=1X", NULL, 0, "below 2^60"},
        {"down=x", NULL, 0, "none of up=SIZE"},
        {"down=9000000T", NULL, 0, "below 2^60"},
        {"up=1048576T", NULL, 0, "below 2^60"},
        {"weight=0", NULL, 0, "above 0, and at most 1e9"},
        {"weight=2e9", NULL, 0, "above 0, and at most 1e9"},
        {"weight=x", NULL, 0, "none of up=SIZE"},
        {"up=1,up=2", NULL, 0, "\"up=2\" is there twice"},
        {"down=1,uni,up=2,uni", NULL, 0, "\"uni\" is there twice"},
        {"weight=1,down=1,weight=1", NULL, 0, "\"weight=1\" is there twice"},
        {"up=1,up", NULL, 0, "none of up=SIZE"},
        {"up=1,,down=2", NULL, 0},
        {"a-word-that-is-longer-than-any-of-them-can-be=1", NULL, 0},
        {"early", NULL, 0},
        {"connect,uni,down=1", NULL, 0},
        {"connect,down=endless", NULL, 0},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_fault fault = {0};
        struct mr_perf_kind kind;
        char name[MR_PERF_NAME];
        bool is_good = mr_perf_kind_parse(cases[i].text, &kind, &fault);

        CU_ASSERT_EQUAL(is_good, cases[i].name != NULL);
        if (!is_good) {
            CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "--op"));
            CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, cases[i].says != NULL ? cases[i].says : ""));
            continue;
        }
        CU_ASSERT_STRING_EQUAL(mr_perf_kind_name(&kind, name), cases[i].name);
        CU_ASSERT_DOUBLE_EQUAL(kind.weight, cases[i].weight, 1e-9);
    }
}

static void takes_losses_apart(void)
{
    static const struct {
        const char *text;
        bool is_good;
        double sent;
        double received;
        const char *says;
    } cases[] = {
        {"sent=1", true, 0.01, 0},
        {"received=0.5%", true, 0, 0.005},
        {"sent=100,received=0", true, 1, 0},
        {"received=2,sent=3%", true, 0.03, 0.02},
        {"", false, 0, 0},
        {"1", false, 0, 0},
        {"sent=", false, 0, 0},
        {"sent=%", false, 0, 0},
        {"sent=1%%", false, 0, 0},
        {"sent=101", false, 0, 0, "between 0 and 100 %"},
        {"sent=-1", false, 0, 0, "between 0 and 100 %"},
        {"received=1,received=2", false, 0, 0, "\"received=2\" is there twice"},
        {"sent=nan", false, 0, 0},
        {"sent=1,", false, 0, 0},
        {"sent=1,lost=2", false, 0, 0},
        {"received=0.000000000000000000000000000000000001", false, 0, 0},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_port_loss_rates rates;
        struct mr_fault fault = {0};

        CU_ASSERT_EQUAL(mr_perf_loss_parse("--far-loss", cases[i].text, &rates, &fault),
                        cases[i].is_good);
        if (!cases[i].is_good) {
            CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "--far-loss"));
            CU_ASSERT_PTR_NOT_NULL(
                strstr(fault.text, cases[i].says != NULL ? cases[i].says : "like sent=1"));
            continue;
        }
        CU_ASSERT_DOUBLE_EQUAL(rates.sent, cases[i].sent, 1e-12);
        CU_ASSERT_DOUBLE_EQUAL(rates.received, cases[i].received, 1e-12);
    }
}

static const struct {
    struct mr_perf_figures figures;
    enum mr_perf_limit limit;
    const char *says;
} judged[] = {
    {{.stage = "rx"}, MR_PERF_LIMIT_NOTHING, "no operation began"},
    {{.sends = true, .limited = {[MR_PERF_BY_CWND] = 0.99}, .loss_part = 0.1, .stage = "rx"},
     MR_PERF_LIMIT_CWND,
     "congestion control: in 99 %"}, /* longer than what was measured */
    {{.done = 100, .begun = 100, .busiest = 0.99, .port_drop_part = 0.01, .stage = "rx"},
     MR_PERF_LIMIT_PORT,
     "1 %"},
    {{.is_open_loop = true, .rate = 98, .due = 100, .done = 99.5, .busiest = 1, .stage = "rx"},
     MR_PERF_LIMIT_RATE,
     "asked for, 98 operations/s: 100/s came due, 99.5/s were done"},
    {{.is_open_loop = true,
      .rate = 60,
      .due = 59,
      .done = 60,
      .late_part = 0.94,
      .late_stalled_part = 0.94,
      .stalled_part = 0.3,
      .stage = "rx"},
     MR_PERF_LIMIT_GENERATOR,
     "stood still for 30 %"},
    {{.is_open_loop = true,
      .due = 59,
      .done = 60,
      .late_part = 0.94,
      .late_stalled_part = 0.3,
      .stalled_part = 0.3,
      .stage = "rx"},
     MR_PERF_LIMIT_CONCURRENCY,
     "64 % of those due waited"},
    {{.is_open_loop = true, .rate = 60, .due = 59, .done = 60, .late_part = 0.01, .stage = "rx"},
     MR_PERF_LIMIT_CONCURRENCY,
     "1 % of those due waited"},
    {{.is_open_loop = true,
      .was_not_kept = true,
      .due = 100,
      .done = 100,
      .begun = 100,
      .busiest = 0.5,
      .late_part = 0.02,
      .stage = "app"},
     MR_PERF_LIMIT_CONCURRENCY,
     "2 % of those due waited"},
    {{.is_open_loop = true,
      .was_not_kept = true,
      .due = 100,
      .done = 100,
      .busiest = 0.96,
      .stalled_part = 0.02,
      .stage = "app"},
     MR_PERF_LIMIT_GENERATOR,
     "stood still for 2 %"},
    {{.is_open_loop = true,
      .was_not_kept = true,
      .due = 100,
      .done = 100,
      .begun = 100,
      .busiest = 0.5,
      .late_part = 0.4,
      .late_stalled_part = 0.38,
      .stalled_part = 0.4,
      .stage = "app"},
     MR_PERF_LIMIT_CONCURRENCY,
     "2 % of those due waited"},
    {{.sends = true,
      .is_endless = true,
      .busiest = 1,
      .stalled_part = 0.4,
      .limited = {[MR_PERF_BY_PORT] = 0.5, [MR_PERF_BY_CWND] = 0.5},
      .stage = "tx"},
     MR_PERF_LIMIT_PORT,
     "50 % of the samples its transmit queue"},
    {{.receives = true,
      .is_endless = true,
      .limited = {[MR_PERF_BY_PORT] = 0.49},
      .far = {.is_known = true, .limited = {[MR_PERF_BY_PORT] = 0.6}},
      .stage = "tx"},
     MR_PERF_LIMIT_FAR_PORT,
     "the server's port: in 60 %"},
    {{.begun = 100,
      .done = 50,
      .silent_s = 1,
      .is_silent_at_end = true,
      .port_drop_part = 0.1,
      .stage = "rx"},
     MR_PERF_LIMIT_PEER,
     "in the last 1.0 s"},
    {{.begun = 100,
      .done = 50,
      .silent_s = 0.9,
      .is_silent_at_end = true,
      .port_drop_part = 0.1,
      .stage = "rx"},
     MR_PERF_LIMIT_PORT,
     "10 %"},
    {{.begun = 100,
      .done = 50,
      .silent_s = 1.5,
      .silent_part = 0.4,
      .core_wait = 0.5,
      .stage = "rx"},
     MR_PERF_LIMIT_PEER,
     "nothing came from there for 1.5 s, with operations under way, until it went on"},
    {{.is_open_loop = true,
      .due = 9,
      .done = 9,
      .silent_s = 1.5,
      .silent_part = 0.02,
      .stage = "rx"},
     MR_PERF_LIMIT_PEER,
     "for 1.5 s"},
    {{.begun = 100, .done = 50, .silent_s = 1.5, .silent_part = 0.02, .stage = "rx"},
     MR_PERF_LIMIT_CONCURRENCY,
     "--streams"},
    {{.is_open_loop = true,
      .due = 100,
      .done = 100,
      .core_wait = 0.45,
      .port_drop_part = 0.1,
      .stalled_part = 0.5,
      .stage = "rx"},
     MR_PERF_LIMIT_GENERATOR,
     "the generator: its core was shared: a polling thread had 55 % of it; give it a core of its "
     "own with --cores"},
    {{.done = 100, .begun = 100, .core_wait = 0.1, .stage = "rx"},
     MR_PERF_LIMIT_CONCURRENCY,
     "--streams"},
    {{.done = 100,
      .begun = 100,
      .core_wait = 0.05,
      .stage = "rx",
      .far = {.is_known = true, .core_wait = 0.3, .busiest = 1}},
     MR_PERF_LIMIT_FAR_CPU,
     "the server: its core was shared: a polling thread waited for it 30 % of the time"},
    {{.is_open_loop = true,
      .due = 100,
      .done = 90,
      .begun = 100,
      .late_part = 1,
      .busiest = 0.5,
      .stage = "rx"},
     MR_PERF_LIMIT_CONCURRENCY,
     "100 % of those due waited"},
    {{.begun = 100, .done = 100, .busiest = 0.39, .stalled_part = 0.99, .stage = "rx"},
     MR_PERF_LIMIT_GENERATOR,
     "stood still for 99 %"},
    {{.receives = true, .is_endless = true, .busiest = 0.39, .stalled_part = 0.1, .stage = "rx"},
     MR_PERF_LIMIT_GENERATOR,
     "stood still for 10 %"},
    {{.begun = 100, .done = 100, .busiest = 0.39, .stalled_part = 0.09, .stage = "rx"},
     MR_PERF_LIMIT_CONCURRENCY,
     "--streams"},
    {{.is_open_loop = true, .due = 100, .done = 100, .stalled_part = 0.02, .stage = "app"},
     MR_PERF_LIMIT_RATE,
     "100/s came due"},
    {{.is_open_loop = true,
      .was_not_kept = true,
      .due = 100,
      .done = 99.5,
      .begun = 100,
      .busiest = 0.96,
      .stage = "app"},
     MR_PERF_LIMIT_GENERATOR,
     "`app`"},
    {{.is_open_loop = true, .due = 100, .done = 90, .begun = 95, .busiest = 0.96, .stage = "seal"},
     MR_PERF_LIMIT_GENERATOR,
     "`seal`"},
    {{.is_open_loop = true, .due = 100, .done = 90, .begun = 100, .busiest = 0.5, .stage = "rx"},
     MR_PERF_LIMIT_PEER,
     "50 %"},
    {{.sends = true,
      .is_endless = true,
      .busiest = 0.5,
      .limited = {0.4, 0.2},
      .loss_part = 0.01,
      .stage = "rx"},
     MR_PERF_LIMIT_CWND,
     "60 %"},
    {{.sends = true, .is_endless = true, .busiest = 0.5, .limited = {0.1, 0.1, 0.7}, .stage = "rx"},
     MR_PERF_LIMIT_FLOW_CONTROL,
     "70 %"},
    {{.sends = true, .done = 9, .limited = {0.2, 0.4}, .loss_part = 0.01, .stage = "rx"},
     MR_PERF_LIMIT_CWND,
     "congestion control: in 60 %"},
    {{.sends = true, .done = 9, .limited = {0.2, 0.2, 0.2, 0.4}, .stage = "rx"},
     MR_PERF_LIMIT_CONCURRENCY,
     "--streams"},
    {{.receives = true,
      .is_endless = true,
      .stage = "rx",
      .far = {.is_known = true, .loss_part = 0.05, .limited = {0.3, 0.4, 0.3}}},
     MR_PERF_LIMIT_CWND,
     "the server's congestion control: in 70 % of the samples connections waited for window or "
     "pacing, with 5 % of"},
    {{.receives = true,
      .done = 9,
      .stage = "rx",
      .far = {.is_known = true, .limited = {0.3, 0, 0.6, 0.1}}},
     MR_PERF_LIMIT_FLOW_CONTROL,
     "this side's flow control: in 60 %"},
    {{.sends = true, .done = 9, .stage = "rx", .far = {.is_known = true, .limited = {1}}},
     MR_PERF_LIMIT_CONCURRENCY,
     "--streams"},
    {{.receives = true, .is_endless = true, .stage = "rx", .far = {.limited = {1}}},
     MR_PERF_LIMIT_PEER,
     "nothing was dropped"},
    {{.receives = true, .is_endless = true, .busiest = 0.5, .limited = {1}, .stage = "rx"},
     MR_PERF_LIMIT_PEER,
     "nothing was dropped"},
    {{.receives = true,
      .is_endless = true,
      .busiest = 0.5,
      .stage = "rx",
      .far = {true, 0.97, "build", 0.4, 0}},
     MR_PERF_LIMIT_FAR_CPU,
     "97 % of the time, 40 % of that in stage `build`"},
    {{.receives = true,
      .is_endless = true,
      .busiest = 0.96,
      .stage = "rx",
      .far = {true, 0.97, "build", 0.4, 0}},
     MR_PERF_LIMIT_GENERATOR,
     "this side's"},
    {{.receives = true,
      .is_endless = true,
      .busiest = 1,
      .stage = "rx",
      .far = {true, 1, "build", 0.4, 0.02}},
     MR_PERF_LIMIT_FAR_PORT,
     "2 %"},
    {{.receives = true,
      .is_endless = true,
      .busiest = 0.5,
      .stage = "rx",
      .far = {true, 0.6, "build", 0.4, 0}},
     MR_PERF_LIMIT_PEER,
     "server's 60 %"},
    {{.receives = true,
      .is_endless = true,
      .busiest = 0.5,
      .stage = "rx",
      .far = {false, 1, "build", 0.4, 1}},
     MR_PERF_LIMIT_PEER,
     "nothing was dropped here"},
    {{.done = 100, .begun = 100, .busiest = 0.5, .stage = "rx"},
     MR_PERF_LIMIT_CONCURRENCY,
     "--streams"},
};

/* Each judgement, by the one figure that decides it; the first that holds is told. */
static void names_what_limited(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(judged); i++) {
        char why[MR_PERF_WHY];

        CU_ASSERT_EQUAL(mr_perf_judge(&judged[i].figures, why), judged[i].limit);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, judged[i].says));
        CU_ASSERT_TRUE(strlen(mr_perf_limit_name(judged[i].limit)) > 0);
    }
}

static void percentages_are_for_people(void)
{
    static const struct {
        double part;
        const char *says;
    } cases[] = {
        {0, "0 %"},        {1, "100 %"},       {0.9996, "100 %"},
        {0.994, "99.4 %"}, {0.55, "55 %"},     {0.0123456, "1.23 %"},
        {0.01, "1 %"},     {2e-6, "0.0002 %"}, {1e-9, "under 0.0001 %"},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        char text[MR_PERF_PERCENT];

        CU_ASSERT_STRING_EQUAL(mr_perf_percent(cases[i].part, text), cases[i].says);
    }
}

/* From any beginning, to within two per cent of what is really kept, in few trials. */
static void finds_the_highest_rate(void)
{
    static const double kept[] = {0.5, 1.5, 99, 100, 12345, 3.2e6, 2e8};

    for (size_t i = 0; i < MR_COUNT_OF(kept); i++) {
        struct mr_perf_search search = {.at = 100};
        int trials = 1;

        while (mr_perf_search_next(&search, search.at <= kept[i])) {
            CU_ASSERT_TRUE(search.at > search.good && (search.bad == 0 || search.at < search.bad));
            trials++;
        }
        double most = MR_MIN(kept[i], MR_PERF_SEARCH_MAX);
        CU_ASSERT_TRUE(search.good <= most);
        CU_ASSERT_TRUE(most < 1.6 ? search.good <= most
                                  : search.good >= most / MR_PERF_SEARCH_STEP);
        CU_ASSERT_TRUE(trials <= 30);
    }
}

/* Round and round a buffer, never beyond its end, and never more than there is to send. */
static void pieces_stay_within_the_buffer(void)
{
    struct mr_perf_buffer buffer;

    CU_ASSERT_TRUE_FATAL(mr_perf_buffer_make(&buffer, (size_t)2 << 20));
    for (uint64_t at = 0, size = 5000001; at < size;) {
        struct mr_view view = mr_perf_buffer_piece(&buffer, at, size);

        CU_ASSERT_TRUE(view.size > 0 && view.size <= MR_PERF_PIECE_BYTES && view.size <= size - at);
        CU_ASSERT_PTR_EQUAL(view.data, buffer.bytes + at % buffer.size);
        CU_ASSERT_TRUE(view.data + view.size <= buffer.bytes + buffer.size);
        at += view.size;
    }
    CU_ASSERT_EQUAL(mr_perf_buffer_piece(&buffer, 7, 7).size, 0);
    CU_ASSERT_EQUAL(mr_perf_buffer_piece(&buffer, 0, UINT64_MAX).size, MR_PERF_PIECE_BYTES);
    mr_perf_buffer_free(&buffer);
}

static CU_TestInfo tests[] = {
    {"takes operations apart", takes_operations_apart},
    {"takes losses apart", takes_losses_apart},
    {"names what limited", names_what_limited},
    {"percentages are for people", percentages_are_for_people},
    {"finds the highest rate", finds_the_highest_rate},
    {"pieces stay within the buffer", pieces_stay_within_the_buffer},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/perf_plan", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
