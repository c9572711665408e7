/* Tests of tools/json_table.h. */
#include "tools/json_table.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/harness.h"

static void check(const char *json, const char *expected)
{
    struct json_object *value = json_tokener_parse(json);
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(to);
    mr_json_table_print(to, value);
    fclose(to);
    if (strcmp(text, expected) != 0)
        printf("# got:\n# %s", text);
    CU_ASSERT_STRING_EQUAL(text, expected);
    free(text);
    json_object_put(value);
}

static void rows_have_columns_numbers_on_the_right(void)
{
    check("[{\"shard\":0,\"name\":\"a\",\"n\":12345},{\"shard\":1,\"name\":\"longer\",\"n\":7}]",
          "shard  name        n\n"
          "    0  a       12345\n"
          "    1  longer      7\n");
    check("[]", "none\n");
    check("[{\"a\":1},{\"b\":true}]", "a  b\n"
                                      "1  -\n"
                                      "-  yes\n");
}

static void an_object_is_a_line_for_each_key(void)
{
    check("{\"packets\":12,\"bytes_sent\":34567}", "packets        12\n"
                                                   "bytes_sent  34567\n");
    check("{\"version\":\"1.0\",\"pid\":1,\"none\":\"\"}", "version  1.0\n"
                                                           "pid      1\n"
                                                           "none     -\n");
    check("{}", "");
}

static void a_list_in_a_row_stands_below_it(void)
{
    check("[{\"app\":1,\"rings\":[{\"shard\":0},{\"shard\":1}],\"pid\":5},{\"app\":2,\"rings\":[],"
          "\"pid\":6}]",
          "app  pid\n"
          "  1    5\n"
          "    shard\n"
          "        0\n"
          "        1\n"
          "  2    6\n"
          "    none\n");
    check("{\"a\":[1,\"x\"],\"b\":2}", "a\n"
                                       "    1\n"
                                       "    x\n"
                                       "b  2\n");
}

static void text_cannot_move_the_cursor(void)
{
    check("[{\"name\":\"a\\u001b[2J\\nb\"}]", "name\na?[2J?b\n");
    check("\"\\u007f\"", "?\n");
}

static void depth_ends_somewhere(void)
{
    check("[[[[[[[[[[1]]]]]]]]]]", "1\n"); /* no indentation without rows */
    check("{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":1}}}}}}", "a\n"
                                                               "    b\n"
                                                               "        c\n"
                                                               "            d\n"
                                                               "                e\n");
}

static CU_TestInfo tests[] = {
    {"rows have columns, numbers on the right", rows_have_columns_numbers_on_the_right},
    {"an object is a line for each key", an_object_is_a_line_for_each_key},
    {"a list in a row stands below it", a_list_in_a_row_stands_below_it},
    {"text cannot move the cursor", text_cannot_move_the_cursor},
    {"depth ends somewhere", depth_ends_somewhere},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/json_table", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
