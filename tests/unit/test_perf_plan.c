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
        {"down=-1", NULL, 0},
        {"down=1X", NULL, 0},
        {"down=9000000T", NULL, 0},
        {"weight=0", NULL, 0},
        {"weight=x", NULL, 0},
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
            continue;
        }
        CU_ASSERT_STRING_EQUAL(mr_perf_kind_name(&kind, name), cases[i].name);
        CU_ASSERT_DOUBLE_EQUAL(kind.weight, cases[i].weight, 1e-9);
    }
}

static const struct {
    struct mr_perf_figures figures;
    enum mr_perf_limit limit;
    const char *says;
} judged[] = {
    {{.stage = "rx"}, MR_PERF_LIMIT_NOTHING, "no operation"},
    {{.done = 100, .begun = 100, .busiest = 0.99, .port_drop_part = 0.01, .stage = "rx"},
     MR_PERF_LIMIT_PORT,
     "1 %"},
    {{.is_open_loop = true, .asked = 100, .done = 99.5, .begun = 100, .busiest = 1, .stage = "rx"},
     MR_PERF_LIMIT_RATE,
     "of 100"},
    {{.is_open_loop = true,
      .asked = 100,
      .done = 90,
      .begun = 95,
      .busiest = 0.96,
      .stage = "seal"},
     MR_PERF_LIMIT_GENERATOR,
     "`seal`"},
    {{.is_open_loop = true, .asked = 100, .done = 90, .begun = 100, .busiest = 0.5, .stage = "rx"},
     MR_PERF_LIMIT_PEER,
     "50 %"},
    {{.sends = true, .busiest = 0.5, .limited = {0.4, 0.2}, .loss_part = 0.01, .stage = "rx"},
     MR_PERF_LIMIT_CWND,
     "60 %"},
    {{.sends = true, .busiest = 0.5, .limited = {0.1, 0.1, 0.7}, .stage = "rx"},
     MR_PERF_LIMIT_FLOW_CONTROL,
     "70 %"},
    {{.receives = true, .busiest = 0.5, .limited = {1}, .stage = "rx"},
     MR_PERF_LIMIT_PEER,
     "nothing was dropped"},
    {{.receives = true, .busiest = 0.5, .stage = "rx", .far = {true, 0.97, "build", 0.4, 0}},
     MR_PERF_LIMIT_FAR_CPU,
     "97 % of the time, 40 % of that in stage `build`"},
    {{.receives = true, .busiest = 0.96, .stage = "rx", .far = {true, 0.97, "build", 0.4, 0}},
     MR_PERF_LIMIT_GENERATOR,
     "this side's"},
    {{.receives = true, .busiest = 1, .stage = "rx", .far = {true, 1, "build", 0.4, 0.02}},
     MR_PERF_LIMIT_FAR_PORT,
     "2 %"},
    {{.receives = true, .busiest = 0.5, .stage = "rx", .far = {true, 0.6, "build", 0.4, 0}},
     MR_PERF_LIMIT_PEER,
     "server's 60 %"},
    {{.receives = true, .busiest = 0.5, .stage = "rx", .far = {false, 1, "build", 0.4, 1}},
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
    {"names what limited", names_what_limited},
    {"finds the highest rate", finds_the_highest_rate},
    {"pieces stay within the buffer", pieces_stay_within_the_buffer},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/perf_plan", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
