/* Tests of control/setting.h: the table of settings. */
#include "control/config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/harness.h"

static struct mr_config config; /* large */
static struct mr_fault fault;

/* One row of the table, or of an item's. */
static void check_row(const struct mr_setting *row)
{
    bool is_number = row->kind == MR_SETTING_NUMBER || row->kind == MR_SETTING_SIZE ||
                     row->kind == MR_SETTING_TIME;

    CU_ASSERT(strlen(row->path) < 64);
    CU_ASSERT(row->help != NULL && row->help[0] != '\0');
    CU_ASSERT_EQUAL(row->kind == MR_SETTING_CHOICE, row->choices != NULL);
    CU_ASSERT_EQUAL(row->kind == MR_SETTING_ITEMS, row->items != NULL);
    CU_ASSERT_EQUAL(is_number, row->max > row->min);
    CU_ASSERT(row->kind != MR_SETTING_TIME || row->width == 8);
    CU_ASSERT(!is_number || row->width == 8 || row->max >> (8 * row->width) == 0);
    CU_ASSERT(row->offset + row->width <= sizeof(struct mr_config));
    CU_ASSERT(row->option == NULL || mr_config_find_option(row->option, NULL) == row);
    CU_ASSERT(mr_config_row_number(row) < MR_CONFIG_LINES);
}

static void the_table_is_right(void)
{
    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++) {
        const struct mr_setting *list;

        check_row(row);
        CU_ASSERT(row->option != NULL); /* whatever a file may say, the command line may */
        CU_ASSERT_PTR_EQUAL(mr_config_find_path(row->path, &list), row);
        CU_ASSERT_PTR_NULL(list);
        for (const struct mr_setting *item = row->items; item != NULL && item->path != NULL;
             item++) {
            char path[128];

            check_row(item);
            CU_ASSERT(mr_config_row_number(item) > mr_config_row_number(row));
            snprintf(path, sizeof(path), "%s.%s", row->path, item->path);
            CU_ASSERT_PTR_EQUAL(mr_config_find_path(path, &list), item);
            CU_ASSERT_PTR_EQUAL(list, row);
        }
    }
    CU_ASSERT_PTR_NULL(mr_config_find_path("nothing", NULL));
    CU_ASSERT_PTR_NULL(mr_config_find_option("nothing", NULL));
}

static void what_is_written_reads_back(void)
{
    static struct mr_config again;

    mr_config_init(&config);
    mr_config_init(&again);
    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++) {
        char text[MR_SETTING_TEXT_MAX];

        if (row->kind == MR_SETTING_ITEMS)
            continue;
        mr_setting_format(row, &config, 0, text);
        if (text[0] != '\0')
            CU_ASSERT(mr_setting_parse(row, &again, text, &fault));
    }
    CU_ASSERT_EQUAL(memcmp(&config, &again, sizeof(config)), 0);
}

static void distances_count_edits(void)
{
    CU_ASSERT_EQUAL(mr_setting_distance("shards", "shards"), 0);
    CU_ASSERT_EQUAL(mr_setting_distance("shards", "shrads"), 1);
    CU_ASSERT_EQUAL(mr_setting_distance("", "abc"), 3);
    CU_ASSERT_EQUAL(mr_setting_distance("abc", ""), 3);
    CU_ASSERT_EQUAL(mr_setting_distance("kitten", "sitting"), 3);
    CU_ASSERT_EQUAL(mr_setting_distance("abcd", "acbd"), 1);
}

static CU_TestInfo tests[] = {
    {"the table is right", the_table_is_right},
    {"what is written reads back", what_is_written_reads_back},
    {"distances count edits", distances_count_edits},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/setting", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
