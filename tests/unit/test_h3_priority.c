/* Tests of http3/priority.h. */
#include "http3/priority.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

/* The value in memory of its own size: ASan sees every overrun. */
static bool parse(const char *text, struct mr_priority *priority)
{
    size_t size = strlen(text);
    char *copy = malloc(size == 0 ? 1 : size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    memcpy(copy, text, size);
    *priority = mr_priority_default();
    bool is_ok = mr_priority_parse((struct mr_text){copy, size}, priority);
    free(copy);
    return is_ok;
}

/* RFC 9218, Section 4: "Where the Dictionary is successfully parsed, this document places the
 * additional requirement that unknown priority parameters, priority parameters with out-of-range
 * values, or values of unexpected types MUST be ignored." */
static void what_is_not_understood_is_ignored(void)
{
    static const struct {
        const char *text;
        uint8_t urgency;
        bool is_incremental;
    } cases[] = {
        {"", 3, false},
        {" ", 3, false},
        {"u=0", 0, false},
        {"u=7,i", 7, true},
        {"i, u=5", 5, true},
        {"i=?1", 3, true},
        {"i=?0", 3, false},
        {"u=8, i", 3, true},
        {"u=-1, i", 3, true},
        {"u=999999999999999, i", 3, true},
        {"u=2.5, i", 3, true},
        {"u=\"1\", i", 3, true},
        {"u=one, i", 3, true},
        {"u=?1, i", 3, true},
        {"u=:AQ==:, i", 3, true},
        {"u=(1 2), i", 3, true},
        {"u, i", 3, true},
        {"u=1, i=1", 1, false},
        {"u=1, i=()", 1, false},
        {"u=1, u=2", 2, false},
        {"u=1, u=x", 3, false},
        {"u=1;v=2;w, i;x=\"y\"", 1, true},
        {"a, *b=c/d:e, c-d_e.f*=1.25, u=4", 4, false},
        {"  u=6\t , \t i  ", 6, true},
        {"s=\"a \\\" \\\\ b\", l=( a;q=1  \"b\" ), u=1", 1, false},
        {"uu=1, ii, u1=2", 3, false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_priority p;
        CU_ASSERT(parse(cases[i].text, &p));
        CU_ASSERT_EQUAL(p.urgency, cases[i].urgency);
        CU_ASSERT_EQUAL(p.is_incremental, cases[i].is_incremental);
    }
}

/* RFC 9218, Section 4: "Receivers parse the Dictionary as described in Section 4.2 of
 * [STRUCTURED-FIELDS]", which fails as a whole. */
static void what_is_no_dictionary_changes_nothing(void)
{
    static const char *const cases[] = {
        "u=5,",
        "u=5,,i",
        ",u=5",
        "u=5 i",
        "u=",
        "u==5",
        "U=5",
        "1=5",
        "u=5, I",
        "u=-",
        "u=--1",
        "u=1234567890123456",
        "u=1.",
        "u=1.2345",
        "u=1234567890123.1",
        "u=5, s=\"",
        "u=5, s=\"\\a\"",
        "u=5, s=\"\\",
        "u=5, b=:a",
        "u=5, b=:*:",
        "u=5, i=?",
        "u=5, i=?2",
        "u=5, l=(",
        "u=5, l=(a",
        "u=5, l=(a\"b\")",
        "u=5;",
        "u=5;=1",
        "u=5; A",
        "u=5;a=",
        "u=5, t=@1",
        "\tu=5",
        "u=5, x=\xc3\xa4",
        "u=5, s=\"\xc3\"",
        "u=5;a=(1)",
        "u =5",
        "u= 5",
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_priority p;
        CU_ASSERT_FALSE(parse(cases[i], &p));
        CU_ASSERT_EQUAL(p.urgency, 3);
        CU_ASSERT_FALSE(p.is_incremental);
    }
    struct mr_priority p = mr_priority_default();
    CU_ASSERT_FALSE(mr_priority_parse((struct mr_text){"u=5\0", 4}, &p));
}

static void every_priority_reads_back(void)
{
    for (uint8_t u = 0; u < MR_URGENCIES; u++) {
        for (int i = 0; i < 2; i++) {
            char text[MR_PRIORITY_TEXT];
            struct mr_priority p;
            uint32_t size = mr_priority_format((struct mr_priority){u, i == 1}, text);
            CU_ASSERT_EQUAL(strlen(text), size);
            CU_ASSERT(parse(text, &p));
            CU_ASSERT_EQUAL(p.urgency, u);
            CU_ASSERT_EQUAL(p.is_incremental, i == 1);
        }
    }
}

static void the_newest_waits_for_its_stream(void)
{
    struct mr_priorities waiting = {0};
    struct mr_priority p;
    uint64_t top = (UINT64_C(1) << 62) - 4;

    CU_ASSERT(mr_priorities_put(&waiting, 0, (struct mr_priority){1, true}));
    CU_ASSERT(mr_priorities_put(&waiting, top, (struct mr_priority){7, false}));
    CU_ASSERT(mr_priorities_put(&waiting, 0, (struct mr_priority){2, false}));
    CU_ASSERT_EQUAL(waiting.count, 2);
    CU_ASSERT(mr_priorities_take(&waiting, 0, &p));
    CU_ASSERT_EQUAL(p.urgency, 2);
    CU_ASSERT_FALSE(p.is_incremental);
    CU_ASSERT_FALSE(mr_priorities_take(&waiting, 0, &p));
    CU_ASSERT_FALSE(mr_priorities_take(&waiting, top - 4, &p));
    CU_ASSERT(mr_priorities_take(&waiting, top, &p));
    CU_ASSERT_EQUAL(p.urgency, 7);
    CU_ASSERT_EQUAL(waiting.count, 0);
}

static void too_many_are_refused_and_known_ones_still_change(void)
{
    struct mr_priorities waiting = {0};
    struct mr_priority p;

    for (uint64_t i = 0; i < MR_PRIORITIES_WAITING; i++)
        CU_ASSERT(mr_priorities_put(&waiting, 4 * i, (struct mr_priority){4, true}));
    CU_ASSERT_FALSE(mr_priorities_put(&waiting, 4000, (struct mr_priority){1, true}));
    CU_ASSERT(mr_priorities_put(&waiting, 8, (struct mr_priority){6, true}));
    CU_ASSERT(mr_priorities_take(&waiting, 4, &p));
    CU_ASSERT(mr_priorities_put(&waiting, 4000, (struct mr_priority){1, true}));
    CU_ASSERT(mr_priorities_take(&waiting, 8, &p));
    CU_ASSERT_EQUAL(p.urgency, 6);
}

static CU_TestInfo tests[] = {
    {"what is not understood is ignored", what_is_not_understood_is_ignored},
    {"what is no Dictionary changes nothing", what_is_no_dictionary_changes_nothing},
    {"every priority reads back", every_priority_reads_back},
    {"the newest waits for its stream", the_newest_waits_for_its_stream},
    {"too many are refused, and known ones still change",
     too_many_are_refused_and_known_ones_still_change},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/priority", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
