/*
 * The documents that show the configuration say what control/config.h does.  What a document lacks
 * is printed in the form that it must have.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"
#include "tests/unit/harness.h"

static struct mr_config config; /* large */

/* A document as text. */
static const char *read_document(const char *path, char *text, size_t room)
{
    FILE *file = fopen(path, "r");
    size_t size = file == NULL ? 0 : fread(text, 1, room - 1, file);

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fclose(file);
    text[size] = '\0';
    return text;
}

static bool has_line(const char *text, const char *line)
{
    size_t size = strlen(line);

    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, line, size) == 0 && (at[size] == '\n' || at[size] == '\0'))
            return true;
    }
    printf("# missing: %s\n", line);
    return false;
}

/* What a value may be. */
static void write_range(const struct mr_setting *row, char *out, size_t room)
{
    char least[MR_SETTING_TEXT_MAX];
    char most[MR_SETTING_TEXT_MAX];
    struct mr_setting min = *row;
    uint64_t value;

    min.offset = 0;
    min.width = sizeof(value);
    switch (row->kind) {
    case MR_SETTING_FLAG:
        snprintf(out, room, "yes, no");
        return;
    case MR_SETTING_CHOICE:
        out[0] = '\0';
        for (size_t i = 0; row->choices[i] != NULL; i++)
            snprintf(out + strlen(out), room - strlen(out), "%s%s", i > 0 ? ", " : "",
                     row->choices[i]);
        return;
    case MR_SETTING_NUMBER:
    case MR_SETTING_SIZE:
    case MR_SETTING_TIME:
        value = row->min;
        mr_setting_format(&min, &value, 0, least);
        value = row->max;
        mr_setting_format(&min, &value, 0, most);
        snprintf(out, room, "%.40s to %.40s", least, most);
        return;
    case MR_SETTING_ITEMS:
        snprintf(out, room, "at most %u items", row->count_max);
        return;
    default:
        snprintf(out, room, "%s%s", row->argument, row->count_max > 0 ? ", ..." : "");
    }
}

/* "| `key` | `--option` | values | default | help |" */
static void write_row(const struct mr_setting *row, const void *object, char *out, size_t room)
{
    char option[64] = "";
    char range[2 * MR_SETTING_TEXT_MAX];
    char value[MR_SETTING_TEXT_MAX] = "";

    if (row->option != NULL)
        snprintf(option, sizeof(option), "`--%s`", row->option);
    if (row->count_max == 0 && !row->is_required)
        mr_setting_format(row, object, 0, value);
    write_range(row, range, sizeof(range));
    snprintf(out, room, "| `%s` | %s | %s | %s | %s |", row->path, option, range,
             row->is_required ? "required" : value, row->help);
}

static void the_reference_is_the_table(void)
{
    static char text[65536];
    static char item[sizeof(struct mr_config_certificate)];
    char line[4096];
    size_t rows = 0;
    size_t lines = 0;

    read_document(MR_DOCS "/configuration.md", text, sizeof(text));
    mr_config_init(&config);
    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++) {
        write_row(row, &config, line, sizeof(line));
        CU_ASSERT(has_line(text, line));
        rows++;
        memset(item, 0, sizeof(item));
        if (row->item_init != NULL)
            row->item_init(item);
        for (const struct mr_setting *i = row->items; i != NULL && i->path != NULL; i++, rows++) {
            write_row(i, item, line, sizeof(line));
            CU_ASSERT(has_line(text, line));
        }
    }
    for (const char *at = strstr(text, "\n| `"); at != NULL; at = strstr(at + 1, "\n| `"))
        lines++;
    CU_ASSERT_EQUAL(lines, rows);
}

static void the_manual_has_every_key(void)
{
    static char text[65536];

    read_document(MR_DOCS "/millrace.1", text, sizeof(text));
    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++) {
        char line[128];

        snprintf(line, sizeof(line), ".It Cm %s", row->path);
        CU_ASSERT(has_line(text, line));
        for (const struct mr_setting *i = row->items; i != NULL && i->path != NULL; i++) {
            snprintf(line, sizeof(line), ".It Cm %s", i->path);
            CU_ASSERT(has_line(text, line));
        }
    }
}

static void the_example_is_right(void)
{
    struct mr_fault fault = {0};

    mr_config_init(&config);
    CU_ASSERT_EQUAL(mr_config_read(&config, MR_DOCS "/millrace.yaml", &fault), 0);
    CU_ASSERT(mr_config_check(&config, &fault));
    CU_ASSERT_STRING_EQUAL(fault.text, "");
    CU_ASSERT_EQUAL(config.handoff.listener_count, 2);
    CU_ASSERT_STRING_EQUAL(config.tls.certificates[1].names[0], "*.example.org");
    CU_ASSERT_EQUAL(config.handoff.listener[1].death, MR_DEATH_INHERIT);
}

/* Each setting of the example but lists is its default, or differs to be seen: none is forgotten.
 */
static void the_example_shows_the_groups(void)
{
    static char text[65536];

    read_document(MR_DOCS "/millrace.yaml", text, sizeof(text));
    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++) {
        const char *dot = strchr(row->path, '.');
        char key[64];

        if (dot == NULL)
            continue;
        snprintf(key, sizeof(key), "\n  %s:", dot + 1);
        CU_ASSERT_PTR_NOT_NULL(strstr(text, key));
    }
}

static CU_TestInfo tests[] = {
    {"docs/configuration.md is the table", the_reference_is_the_table},
    {"docs/millrace.1 has every key", the_manual_has_every_key},
    {"docs/millrace.yaml is right", the_example_is_right},
    {"docs/millrace.yaml shows all keys of groups", the_example_shows_the_groups},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "docs", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
