/* tools/options.c - see options.h. */
#include "tools/options.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HELP_COLUMN = 29
};

/* ------------------------------------------------------------------ values */

static bool parse_number(const char *text, double *out, char **end)
{
    errno = 0;
    *out = strtod(text, end);
    if (errno == ERANGE && *out > 1)
        *out = DBL_MAX; /* larger than any limit */
    return *end != text && isfinite(*out);
}

static bool parse_size(const char *text, double *out)
{
    static const char units[] = "KMGT";
    char *end;

    if (!parse_number(text, out, &end))
        return false;
    const char *unit = *end == '\0' ? NULL : strchr(units, *end);
    if (unit != NULL) {
        *out *= exp2(10.0 * (double)(unit - units + 1));
        end++;
    }
    return *end == '\0';
}

bool mr_parse_rate(const char *text, uint64_t *out)
{
    static const char units[] = "KMG";
    char *end;
    double value;

    if (!parse_number(text, &value, &end) || value < 0)
        return false;
    const char *unit = *end == '\0' ? NULL : strchr(units, *end);
    if (unit != NULL) {
        value *= pow(1000, (double)(unit - units + 1));
        end++;
    }
    *out = (uint64_t)value;
    return *end == '\0';
}

bool mr_parse_size(const char *text, uint64_t *out)
{
    double value;

    if (!parse_size(text, &value) || value < 0 || value >= 0x1p63)
        return false;
    *out = (uint64_t)value;
    return true;
}

static bool check_range(const struct mr_option *o, double value, const char *text,
                        struct mr_fault *fault)
{
    if (value >= o->min && (o->max == 0 || value <= o->max))
        return true;
    if (o->max == 0)
        mr_fault_set(fault, EINVAL, "--%s %s: must be at least %.15g", o->name, text, o->min);
    else
        mr_fault_set(fault, EINVAL, "--%s %s: must be between %.15g and %.15g", o->name, text,
                     o->min, o->max);
    return false;
}

/* `limit` is the first number that the option's type cannot hold. */
static bool fits(const struct mr_option *o, double value, double limit, const char *text,
                 struct mr_fault *fault)
{
    if (value < limit)
        return true;
    mr_fault_set(fault, ERANGE, "--%s %s: too large, at most %.15g", o->name, text,
                 o->max > 0 ? o->max : limit - 1);
    return false;
}

static bool set_size(const struct mr_option *o, double value, const char *text,
                     struct mr_fault *fault)
{
    if (!fits(o, value, 0x1p64, text, fault) || !check_range(o, value, text, fault))
        return false;
    *(uint64_t *)o->to = (uint64_t)value;
    return true;
}

static bool set_u32(const struct mr_option *o, double value, const char *text,
                    struct mr_fault *fault)
{
    if (!fits(o, value, 0x1p32, text, fault))
        return false;
    if (value != floor(value)) {
        mr_fault_set(fault, EINVAL, "--%s %s: not a whole number", o->name, text);
        return false;
    }
    if (!check_range(o, value, text, fault))
        return false;
    *(uint32_t *)o->to = (uint32_t)value;
    return true;
}

static bool set_choice(const struct mr_option *o, const char *text, struct mr_fault *fault)
{
    char list[128] = "";

    for (int i = 0; o->choices[i] != NULL; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *(int *)o->to = i;
            return true;
        }
        if (i > 0)
            strncat(list, ", ", sizeof(list) - strlen(list) - 1);
        strncat(list, o->choices[i], sizeof(list) - strlen(list) - 1);
    }
    mr_fault_set(fault, EINVAL, "--%s %s: must be one of %s", o->name, text, list);
    return false;
}

static bool append_to_list(const struct mr_option *o, const char *text, struct mr_fault *fault)
{
    struct mr_option_list *list = o->to;

    if (list->count == MR_OPTION_LIST_MAX) {
        mr_fault_set(fault, E2BIG, "--%s: given more than %d times", o->name, MR_OPTION_LIST_MAX);
        return false;
    }
    list->text[list->count++] = text;
    return true;
}

static bool set_value(const struct mr_option *o, const char *text, struct mr_fault *fault)
{
    double value = 0;
    char *end;

    switch (o->kind) {
    case MR_OPTION_FLAG:
        *(bool *)o->to = true;
        return true;
    case MR_OPTION_TEXT:
        *(const char **)o->to = text;
        return true;
    case MR_OPTION_CHOICE:
        return set_choice(o, text, fault);
    case MR_OPTION_LIST:
        return append_to_list(o, text, fault);
    case MR_OPTION_SIZE:
        if (!parse_size(text, &value))
            break;
        return set_size(o, value, text, fault);
    case MR_OPTION_U32:
        if (!parse_number(text, &value, &end) || *end != '\0')
            break;
        return set_u32(o, value, text, fault);
    case MR_OPTION_REAL:
        if (!parse_number(text, &value, &end) || *end != '\0')
            break;
        if (!check_range(o, value, text, fault))
            return false;
        *(double *)o->to = value;
        return true;
    }
    mr_fault_set(fault, EINVAL, "--%s %s: not a %s", o->name, text,
                 o->kind == MR_OPTION_SIZE ? "size like 64K or 1G" : "number");
    return false;
}

/* ------------------------------------------------------------------ help */

/* What it does, beside it, or below where it is long. */
static void print_row(const char *name, const char *argument, const char *help)
{
    int width =
        printf("  --%s%s%s", name, argument != NULL ? " " : "", argument != NULL ? argument : "");
    bool is_long = width > HELP_COLUMN - 1;

    printf("%s%*s%s\n", is_long ? "\n" : "", is_long ? HELP_COLUMN : HELP_COLUMN - width, "", help);
}

static void print_rows(const struct mr_option *row)
{
    for (; row != NULL && row->name != NULL; row++)
        print_row(row->name, row->argument, row->help);
}

static void print_help(const struct mr_command_line *line)
{
    printf("usage: %s\n%s\n\noptions:\n", line->usage, line->about);
    print_rows(line->options);
    for (size_t i = 0; line->more[i] != NULL; i++)
        print_rows(line->more[i]);
    print_row("help", NULL, "this text");
}

/* ------------------------------------------------------------------ parsing */

static const struct mr_option *find_row(const struct mr_option *row, const char *name, size_t size)
{
    for (; row != NULL && row->name != NULL; row++) {
        if (strlen(row->name) == size && memcmp(row->name, name, size) == 0)
            return row;
    }
    return NULL;
}

static const struct mr_option *find(const struct mr_command_line *line, const char *name,
                                    size_t size)
{
    const struct mr_option *row = find_row(line->options, name, size);

    for (size_t i = 0; row == NULL && line->more[i] != NULL; i++)
        row = find_row(line->more[i], name, size);
    return row;
}

/* The command's name at the begin of its usage line: "millrace bench transfer". */
static int command_size(const struct mr_command_line *line)
{
    size_t size = strcspn(line->usage, "[-<ABCDEFGHIJKLMNOPQRSTUVWXYZ");

    while (size > 0 && line->usage[size - 1] == ' ')
        size--;
    return (int)size;
}

/* One option; `next` is the argument after it, *used_next set if it was taken. */
static bool parse_option(struct mr_command_line *line, const char *text, const char *next,
                         bool *used_next, struct mr_fault *fault)
{
    const char *name = text + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct mr_option *o = find(line, name, size);

    *used_next = false;
    if (o == NULL) {
        mr_fault_set(fault, EINVAL, "unknown option --%.*s; see `%.*s --help`", (int)size, name,
                     command_size(line), line->usage);
        return false;
    }
    if (o->given != NULL)
        *o->given = true;
    if (o->kind == MR_OPTION_FLAG) {
        if (equals == NULL)
            return set_value(o, "", fault);
        mr_fault_set(fault, EINVAL, "--%s takes no value", o->name);
        return false;
    }
    const char *value = equals != NULL ? equals + 1 : next;
    if (value == NULL || (equals == NULL && strncmp(value, "--", 2) == 0)) {
        mr_fault_set(fault, EINVAL, "--%s needs a value: --%s %s", o->name, o->name, o->argument);
        return false;
    }
    *used_next = equals == NULL;
    return set_value(o, value, fault);
}

enum mr_parse_result mr_options_parse(struct mr_command_line *line, int argc, char **argv,
                                      struct mr_fault *fault)
{
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        bool used_next;

        if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
            print_help(line);
            return MR_PARSE_HELP;
        }
        if (strcmp(text, "-o") == 0)
            text = "--output";
        if (strncmp(text, "--", 2) == 0) {
            if (!parse_option(line, text, i + 1 < argc ? argv[i + 1] : NULL, &used_next, fault))
                return MR_PARSE_ERROR;
            i += used_next;
            continue;
        }
        if (text[0] == '-' || line->positional_count == line->positional_max) {
            mr_fault_set(fault, EINVAL, "unexpected argument %s; see `%.*s --help`", text,
                         command_size(line), line->usage);
            return MR_PARSE_ERROR;
        }
        line->positional[line->positional_count++] = text;
    }
    return MR_PARSE_OK;
}
