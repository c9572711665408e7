/* tools/json_table.c - see json_table.h. */
#include "tools/json_table.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"

#define INDENT      4
#define DEPTH_MAX   4
#define COLUMNS_MAX 32 /* further ones are not shown */
#define GAP         "  "

struct column {
    const char *key;
    int width;
    bool is_number;
};

struct columns {
    int count;
    struct column column[COLUMNS_MAX];
};

static void print_value(FILE *to, struct json_object *value, int indent);

static bool is_container(struct json_object *value)
{
    return json_object_is_type(value, json_type_array) ||
           json_object_is_type(value, json_type_object);
}

static bool is_number(struct json_object *value)
{
    return json_object_is_type(value, json_type_int) ||
           json_object_is_type(value, json_type_double);
}

/* A scalar's text; valid as long as it. */
static const char *text_of(struct json_object *value)
{
    if (value == NULL)
        return "-";
    if (json_object_is_type(value, json_type_boolean))
        return json_object_get_boolean(value) ? "yes" : "no";
    const char *text = json_object_get_string(value);
    return text[0] != '\0' ? text : "-";
}

static int width_of(const char *text)
{
    return (int)MR_MIN(strlen(text), 1000u);
}

/* Padded on the left or on the right; what could move a terminal's cursor is '?'. */
static void print_cell(FILE *to, const char *text, int width, bool is_right, bool is_last)
{
    int padding = width - width_of(text);

    for (; is_right && padding > 0; padding--)
        fputc(' ', to);
    for (const char *c = text; *c != '\0'; c++)
        fputc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, to);
    for (; !is_last && padding > 0; padding--)
        fputc(' ', to);
    fputs(is_last ? "\n" : GAP, to);
}

/* ------------------------------------------------------------------ a list of rows */

static struct column *column_for(struct columns *columns, const char *key)
{
    for (int i = 0; i < columns->count; i++)
        if (strcmp(columns->column[i].key, key) == 0)
            return &columns->column[i];
    if (columns->count == COLUMNS_MAX)
        return NULL;
    struct column *column = &columns->column[columns->count++];
    *column = (struct column){.key = key, .width = width_of(key), .is_number = true};
    return column;
}

/* Every scalar of every row has a column, in the order of appearance. */
static void measure(struct json_object *list, struct columns *columns)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object_iter at;

        json_object_object_foreachC(json_object_array_get_idx(list, i), at)
        {
            struct json_object *value = at.val;
            struct column *column = is_container(value) ? NULL : column_for(columns, at.key);

            if (column == NULL)
                continue;
            column->width = MR_MAX(column->width, width_of(text_of(value)));
            column->is_number &= is_number(value);
        }
    }
}

static void print_heads(FILE *to, const struct columns *columns, int indent)
{
    fprintf(to, "%*s", indent, "");
    for (int i = 0; i < columns->count; i++) {
        const struct column *column = &columns->column[i];

        print_cell(to, column->key, column->width, column->is_number, i == columns->count - 1);
    }
}

static void print_row(FILE *to, const struct columns *columns, struct json_object *row, int indent)
{
    fprintf(to, "%*s", indent, "");
    for (int i = 0; i < columns->count; i++) {
        const struct column *column = &columns->column[i];

        print_cell(to, text_of(json_object_object_get(row, column->key)), column->width,
                   column->is_number, i == columns->count - 1);
    }
    struct json_object_iter at;

    json_object_object_foreachC(row, at)
    {
        if (is_container(at.val) && indent < DEPTH_MAX * INDENT)
            print_value(to, at.val, indent + INDENT);
    }
}

static bool is_list_of_rows(struct json_object *list)
{
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (!json_object_is_type(json_object_array_get_idx(list, i), json_type_object))
            return false;
    return true;
}

static void print_list(FILE *to, struct json_object *list, int indent)
{
    struct columns columns = {0};

    if (json_object_array_length(list) == 0) {
        fprintf(to, "%*snone\n", indent, "");
        return;
    }
    if (!is_list_of_rows(list)) {
        for (size_t i = 0; i < json_object_array_length(list); i++)
            print_value(to, json_object_array_get_idx(list, i), indent);
        return;
    }
    measure(list, &columns);
    if (columns.count > 0)
        print_heads(to, &columns, indent);
    for (size_t i = 0; i < json_object_array_length(list); i++)
        print_row(to, &columns, json_object_array_get_idx(list, i), indent);
}

/* ------------------------------------------------------------------ an object */

static void print_object(FILE *to, struct json_object *object, int indent)
{
    struct column values = {.is_number = true};
    struct json_object_iter at;
    int keys = 0;

    json_object_object_foreachC(object, at)
    {
        if (is_container(at.val))
            continue;
        keys = MR_MAX(keys, width_of(at.key));
        values.width = MR_MAX(values.width, width_of(text_of(at.val)));
        values.is_number &= is_number(at.val);
    }
    json_object_object_foreachC(object, at)
    {
        const char *key = at.key;
        struct json_object *value = at.val;

        fprintf(to, "%*s", indent, "");
        if (is_container(value)) {
            print_cell(to, key, 0, false, true);
            if (indent < DEPTH_MAX * INDENT)
                print_value(to, value, indent + INDENT);
            continue;
        }
        print_cell(to, key, keys, false, false);
        print_cell(to, text_of(value), values.width, values.is_number, true);
    }
}

static void print_value(FILE *to, struct json_object *value, int indent)
{
    if (json_object_is_type(value, json_type_array)) {
        print_list(to, value, indent);
    } else if (json_object_is_type(value, json_type_object)) {
        print_object(to, value, indent);
    } else {
        fprintf(to, "%*s", indent, "");
        print_cell(to, text_of(value), 0, false, true);
    }
}

void mr_json_table_print(FILE *to, struct json_object *value)
{
    print_value(to, value, 0);
}
