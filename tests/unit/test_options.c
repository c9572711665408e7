/* Tests of tools/options.h. */
#include "tools/options.h"

#include <string.h>

#include "tests/unit/harness.h"

struct values {
    bool flag;
    bool is_given;
    uint32_t count;
    uint64_t size;
    double real;
    const char *text;
    int choice;
    struct mr_option_list list;
    bool shared;
    uint32_t positional_count;
    const char *positional[MR_POSITIONAL_MAX];
};

/* Parse `count` words; MR_PARSE_*. */
static enum mr_parse_result parse(struct values *v, struct mr_fault *fault, int count,
                                  const char **words)
{
    static const char *const choices[] = {"first", "second", NULL};
    const struct mr_option options[] = {
        {.name = "flag", .kind = MR_OPTION_FLAG, .to = &v->flag, .given = &v->is_given},
        {.name = "count",
         .kind = MR_OPTION_U32,
         .to = &v->count,
         .argument = "N",
         .min = 2,
         .max = 9},
        {.name = "size", .kind = MR_OPTION_SIZE, .to = &v->size, .argument = "SIZE"},
        {.name = "real", .kind = MR_OPTION_REAL, .to = &v->real, .argument = "R", .min = 0.5},
        {.name = "output", .kind = MR_OPTION_TEXT, .to = &v->text, .argument = "FILE"},
        {.name = "choice", .kind = MR_OPTION_CHOICE, .to = &v->choice, .choices = choices},
        {.name = "list", .kind = MR_OPTION_LIST, .to = &v->list, .argument = "X"},
        {.name = NULL},
    };
    const struct mr_option more[] = {
        {.name = "shared", .kind = MR_OPTION_FLAG, .to = &v->shared},
        {.name = NULL},
    };
    struct mr_command_line line = {.usage = "millrace test [options]",
                                   .about = "A test.",
                                   .options = options,
                                   .more = {more},
                                   .positional_max = 2};
    char *argv[32] = {(char[]){"test"}};

    *v = (struct values){.choice = -1};
    *fault = (struct mr_fault){0};
    for (int i = 0; i < count; i++)
        argv[i + 1] = (char *)(uintptr_t)words[i];
    enum mr_parse_result result = mr_options_parse(&line, count + 1, argv, fault);
    v->positional_count = line.positional_count;
    memcpy(v->positional, line.positional, sizeof(v->positional));
    return result;
}

#define PARSE(...)                                                                                 \
    parse(&v, &fault, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),               \
          (const char *[]){__VA_ARGS__})

static void every_kind_is_read_with_and_without_equals(void)
{
    struct mr_fault fault;
    struct values v;

    CU_ASSERT_EQUAL(PARSE("--flag", "--count", "3", "--size=2K", "--real", "0.5", "-o", "-",
                          "--choice=second", "--list", "a", "--list=b", "--shared", "x", "y"),
                    MR_PARSE_OK);
    CU_ASSERT(v.flag && v.is_given && v.shared);
    CU_ASSERT_EQUAL(v.count, 3);
    CU_ASSERT_EQUAL(v.size, 2048);
    CU_ASSERT_DOUBLE_EQUAL(v.real, 0.5, 1e-12);
    CU_ASSERT_STRING_EQUAL(v.text, "-");
    CU_ASSERT_EQUAL(v.choice, 1);
    CU_ASSERT_EQUAL(v.list.count, 2);
    CU_ASSERT_STRING_EQUAL(v.list.text[1], "b");
    CU_ASSERT_EQUAL(v.positional_count, 2);
    CU_ASSERT_STRING_EQUAL(v.positional[1], "y");
    CU_ASSERT_EQUAL(parse(&v, &fault, 0, NULL), MR_PARSE_OK);
    CU_ASSERT_FALSE(v.is_given);
}

static void sizes_have_binary_units(void)
{
    static const struct {
        const char *text;
        uint64_t size; /* UINT64_MAX: malformed */
    } cases[] = {
        {"0", 0},           {"1", 1},
        {"1K", 1024},       {"1.5M", 1572864},
        {"2G", 2147483648}, {"1T", 1099511627776},
        {"", UINT64_MAX},   {"K", UINT64_MAX},
        {"1k", UINT64_MAX}, {"1KB", UINT64_MAX},
        {"-1", UINT64_MAX}, {"1e400", UINT64_MAX},
    };
    struct mr_fault fault;
    struct values v;

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        enum mr_parse_result result = PARSE("--size", cases[i].text);

        CU_ASSERT_EQUAL(result, cases[i].size == UINT64_MAX ? MR_PARSE_ERROR : MR_PARSE_OK);
        if (result == MR_PARSE_OK)
            CU_ASSERT_EQUAL(v.size, cases[i].size);
    }
}

static void a_mistake_is_named_with_the_option(void)
{
    static const struct {
        const char *words[3];
        const char *message;
    } cases[] = {
        {{"--count", "1"}, "--count 1: must be between 2 and 9"},
        {{"--count", "10"}, "--count 10: must be between 2 and 9"},
        {{"--count", "3.5"}, "--count 3.5: not a whole number"},
        {{"--count", "99999999999"}, "--count 99999999999: too large, at most 9"},
        {{"--count", "1e999"}, "--count 1e999: too large, at most 9"},
        {{"--size", "99999999999999999999T"},
         "--size 99999999999999999999T: too large, at most 1.84467440737096e+19"},
        {{"--count", "x"}, "--count x: not a number"},
        {{"--count", ""}, "--count : not a number"},
        {{"--real", "0.4"}, "--real 0.4: must be at least 0.5"},
        {{"--real", "nan"}, "--real nan: not a number"},
        {{"--size", "1Q"}, "--size 1Q: not a size like 64K or 1G"},
        {{"--choice", "third"}, "--choice third: must be one of first, second"},
        {{"--count"}, "--count needs a value: --count N"},
        {{"--output", "--flag"}, "--output needs a value: --output FILE"},
        {{"--flag=1"}, "--flag takes no value"},
        {{"--none"}, "unknown option --none; see `millrace test --help`"},
        {{"-x"}, "unexpected argument -x; see `millrace test --help`"},
        {{"a", "b", "c"}, "unexpected argument c; see `millrace test --help`"},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        const char *words[3];
        struct mr_fault fault;
        struct values v;
        int count = 0;

        while (count < 3 && cases[i].words[count] != NULL) {
            words[count] = cases[i].words[count];
            count++;
        }
        CU_ASSERT_EQUAL(parse(&v, &fault, count, words), MR_PARSE_ERROR);
        CU_ASSERT_STRING_EQUAL(fault.text, cases[i].message);
    }
}

static void a_list_is_bounded(void)
{
    const char *words[2 * MR_OPTION_LIST_MAX + 2];
    struct mr_fault fault;
    struct values v;

    for (size_t i = 0; i < MR_COUNT_OF(words); i += 2) {
        words[i] = "--list";
        words[i + 1] = "x";
    }
    CU_ASSERT_EQUAL(parse(&v, &fault, 2 * MR_OPTION_LIST_MAX, words), MR_PARSE_OK);
    CU_ASSERT_EQUAL(v.list.count, MR_OPTION_LIST_MAX);
    CU_ASSERT_EQUAL(parse(&v, &fault, 2 * MR_OPTION_LIST_MAX + 2, words), MR_PARSE_ERROR);
}

static void rates_have_decimal_units(void)
{
    uint64_t rate = 0;

    CU_ASSERT(mr_parse_rate("10G", &rate) && rate == 10000000000);
    CU_ASSERT(mr_parse_rate("1.5K", &rate) && rate == 1500);
    CU_ASSERT_FALSE(mr_parse_rate("10Gb", &rate));
    CU_ASSERT_FALSE(mr_parse_rate("-1", &rate));
}

static CU_TestInfo tests[] = {
    {"every kind is read, with and without =", every_kind_is_read_with_and_without_equals},
    {"sizes have binary units", sizes_have_binary_units},
    {"a mistake is named with the option", a_mistake_is_named_with_the_option},
    {"a list is bounded", a_list_is_bounded},
    {"rates have decimal units", rates_have_decimal_units},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/options", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
