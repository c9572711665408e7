#include "control/setting.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

#define WORD_MAX 40 /* characters that a distance looks at */
#define HINT_MAX 128

/* What a number may end with, and what it is multiplied by; the first that fits is written. */
struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {{"T", UINT64_C(1) << 40},
                                         {"G", UINT64_C(1) << 30},
                                         {"M", UINT64_C(1) << 20},
                                         {"K", UINT64_C(1) << 10},
                                         {"", 1}};
static const struct unit time_units[] = {{"d", UINT64_C(86400000000000)},
                                         {"h", UINT64_C(3600000000000)},
                                         {"m", UINT64_C(60000000000)},
                                         {"s", UINT64_C(1000000000)},
                                         {"ms", 1000000},
                                         {"us", 1000},
                                         {"ns", 1},
                                         {"", UINT64_C(1000000000)}};
static const struct unit no_units[] = {{"", 1}};

/* ------------------------------------------------------------------ fields */

static void store(void *to, uint32_t width, uint64_t value)
{
    switch (width) {
    case 1:
        *(uint8_t *)to = (uint8_t)value;
        return;
    case 2:
        *(uint16_t *)to = (uint16_t)value;
        return;
    case 4:
        *(uint32_t *)to = (uint32_t)value;
        return;
    default:
        MR_ASSERT(width == 8);
        *(uint64_t *)to = value;
    }
}

static uint64_t load(const void *from, uint32_t width)
{
    switch (width) {
    case 1:
        return *(const uint8_t *)from;
    case 2:
        return *(const uint16_t *)from;
    case 4:
        return *(const uint32_t *)from;
    default:
        MR_ASSERT(width == 8);
        return *(const uint64_t *)from;
    }
}

static uint32_t *count_of(const struct mr_setting *row, void *object)
{
    return (uint32_t *)(void *)((char *)object + row->count_offset);
}

uint32_t mr_setting_count(const struct mr_setting *row, const void *object)
{
    if (row->count_max == 0)
        return 1;
    return *(const uint32_t *)(const void *)((const char *)object + row->count_offset);
}

/* Element `index` of a list; of a value, 0. */
static void *field_of(const struct mr_setting *row, void *object, uint32_t index)
{
    return (char *)object + row->offset + (size_t)index * row->width;
}

static const void *const_field_of(const struct mr_setting *row, const void *object, uint32_t index)
{
    return (const char *)object + row->offset + (size_t)index * row->width;
}

void mr_setting_clear(const struct mr_setting *row, void *object)
{
    if (row->count_max == 0)
        return;
    *count_of(row, object) = 0;
    memset(field_of(row, object, 0), 0, (size_t)row->count_max * row->width);
}

/* ------------------------------------------------------------------ numbers */

/* The units of a kind, and how many. */
static const struct unit *units_of(enum mr_setting_kind kind, size_t *count_out)
{
    if (kind == MR_SETTING_SIZE) {
        *count_out = MR_COUNT_OF(size_units);
        return size_units;
    }
    if (kind == MR_SETTING_TIME) {
        *count_out = MR_COUNT_OF(time_units);
        return time_units;
    }
    *count_out = 1;
    return no_units;
}

/* Digits of a base; UINT64_MAX: more than 64 bits.  False: none. */
static bool read_digits(const char **text, uint64_t base, uint64_t *out)
{
    const char *at = *text;
    bool is_huge = false;

    *out = 0;
    for (; *at >= '0' && (uint64_t)(*at - '0') < base; at++)
        is_huge |= __builtin_mul_overflow(*out, base, out) ||
                   __builtin_add_overflow(*out, (uint64_t)(*at - '0'), out);
    if (is_huge)
        *out = UINT64_MAX;
    bool is_any = at != *text;
    *text = at;
    return is_any;
}

/* The number that `text` is, UINT64_MAX: larger than 64 bits.  False: none. */
static bool read_number(const struct mr_setting *row, const char *text, uint64_t *out)
{
    size_t count;
    const struct unit *units = units_of(row->kind, &count);

    if (!read_digits(&text, row->kind == MR_SETTING_MODE ? 8 : 10, out))
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(units[i].name, text) == 0) {
            if (__builtin_mul_overflow(*out, units[i].factor, out))
                *out = UINT64_MAX;
            return true;
        }
    return false;
}

static void format_number(const struct mr_setting *row, uint64_t value,
                          char text[MR_SETTING_TEXT_MAX])
{
    size_t count;
    const struct unit *units = units_of(row->kind, &count);

    snprintf(text, MR_SETTING_TEXT_MAX, "0");
    for (size_t i = 0; i < count && value != 0; i++)
        if (value % units[i].factor == 0) {
            snprintf(text, MR_SETTING_TEXT_MAX, "%" PRIu64 "%s", value / units[i].factor,
                     units[i].name);
            return;
        }
}

static bool parse_number(const struct mr_setting *row, void *to, const char *text,
                         struct mr_fault *fault)
{
    static const char *const forms[] = {[MR_SETTING_NUMBER] = "whole number",
                                        [MR_SETTING_SIZE] = "size, like 64K or 1G",
                                        [MR_SETTING_TIME] = "time, like 30s or 12h",
                                        [MR_SETTING_MODE] = "mode in octal, like 0660"};
    char least[MR_SETTING_TEXT_MAX];
    char most[MR_SETTING_TEXT_MAX];
    uint64_t max = row->kind == MR_SETTING_MODE ? 0777 : row->max;
    uint64_t value;

    if (!read_number(row, text, &value)) {
        mr_fault_set(fault, EINVAL, "\"%.40s\" is no %s; write one", text, forms[row->kind]);
        return false;
    }
    if (value >= row->min && value <= max) {
        store(to, row->width, value);
        return true;
    }
    format_number(row, row->min, least);
    format_number(row, max, most);
    if (row->kind == MR_SETTING_MODE)
        snprintf(most, sizeof(most), "0777");
    mr_fault_set(fault, ERANGE, "%.40s is out of range; give %s to %s", text, least, most);
    return false;
}

/* ------------------------------------------------------------------ words */

static bool parse_flag(void *to, const char *text, struct mr_fault *fault)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};

    for (size_t i = 0; i < MR_COUNT_OF(words); i++)
        if (strcmp(words[i], text) == 0) {
            *(bool *)to = i % 2 == 1;
            return true;
        }
    mr_fault_set(fault, EINVAL, "\"%.40s\" is neither yes nor no; write one of them", text);
    return false;
}

static bool parse_choice(const struct mr_setting *row, void *to, const char *text,
                         struct mr_fault *fault)
{
    char list[128] = "";
    size_t used = 0;

    for (uint64_t i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], text) == 0) {
            store(to, row->width, i);
            return true;
        }
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "",
                                 row->choices[i]);
        MR_ASSERT(used < sizeof(list));
    }
    mr_fault_set(fault, EINVAL, "\"%.40s\" is no choice; give one of %s", text, list);
    return false;
}

static bool parse_text(const struct mr_setting *row, char *to, const char *text,
                       struct mr_fault *fault)
{
    char copy[MR_SETTING_TEXT_MAX];
    size_t size = strlen(text);

    if (size == 0) {
        mr_fault_set(fault, EINVAL, "is empty; give a value, or leave it out");
        return false;
    }
    if (size >= row->width || size >= sizeof(copy)) {
        mr_fault_set(fault, E2BIG, "\"%.20s...\" is %zu bytes long; at most %u", text, size,
                     MR_MIN(row->width, (uint32_t)sizeof(copy)) - 1);
        return false;
    }
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            mr_fault_set(fault, EINVAL, "holds a control character; leave it out");
            return false;
        }
    memcpy(copy, text, size + 1);
    if (row->check != NULL && !row->check(copy, fault))
        return false;
    memset(to, 0, row->width);
    memcpy(to, copy, strlen(copy) + 1);
    return true;
}

static bool parse_value(const struct mr_setting *row, void *to, const char *text,
                        struct mr_fault *fault)
{
    switch (row->kind) {
    case MR_SETTING_FLAG:
        return parse_flag(to, text, fault);
    case MR_SETTING_CHOICE:
        return parse_choice(row, to, text, fault);
    case MR_SETTING_TEXT:
    case MR_SETTING_PATH:
        return parse_text(row, to, text, fault);
    default:
        return parse_number(row, to, text, fault);
    }
}

static bool has_room(const struct mr_setting *row, const void *object, struct mr_fault *fault)
{
    if (row->count_max == 0 || mr_setting_count(row, object) < row->count_max)
        return true;
    mr_fault_set(fault, E2BIG, "there are more than %u; leave some out", row->count_max);
    return false;
}

bool mr_setting_parse(const struct mr_setting *row, void *object, const char *text,
                      struct mr_fault *fault)
{
    MR_ASSERT(row->kind != MR_SETTING_ITEMS);
    if (row->count_max == 0)
        return parse_value(row, field_of(row, object, 0), text, fault);

    uint32_t *count = count_of(row, object);
    if (!has_room(row, object, fault) ||
        !parse_value(row, field_of(row, object, *count), text, fault))
        return false;
    ++*count;
    return true;
}

void mr_setting_format(const struct mr_setting *row, const void *object, uint32_t index,
                       char text[MR_SETTING_TEXT_MAX])
{
    const void *field = const_field_of(row, object, index);

    switch (row->kind) {
    case MR_SETTING_FLAG:
        snprintf(text, MR_SETTING_TEXT_MAX, "%s", *(const bool *)field ? "yes" : "no");
        return;
    case MR_SETTING_CHOICE:
        snprintf(text, MR_SETTING_TEXT_MAX, "%s", row->choices[load(field, row->width)]);
        return;
    case MR_SETTING_TEXT:
    case MR_SETTING_PATH:
        snprintf(text, MR_SETTING_TEXT_MAX, "%s", (const char *)field);
        return;
    case MR_SETTING_MODE:
        snprintf(text, MR_SETTING_TEXT_MAX, "%04o", (unsigned)load(field, row->width));
        return;
    case MR_SETTING_ITEMS:
        text[0] = '\0';
        return;
    default:
        format_number(row, load(field, row->width), text);
    }
}

/* ------------------------------------------------------------------ items */

void *mr_setting_add_item(const struct mr_setting *row, void *object, struct mr_fault *fault)
{
    if (!has_room(row, object, fault))
        return NULL;

    uint32_t *count = count_of(row, object);
    void *item = field_of(row, object, (*count)++);

    memset(item, 0, row->width);
    if (row->item_init != NULL)
        row->item_init(item);
    return item;
}

bool mr_setting_check_item(const struct mr_setting *row, const void *item, struct mr_fault *fault)
{
    for (const struct mr_setting *field = row->items; field->path != NULL; field++) {
        bool is_there = field->count_max > 0
                            ? mr_setting_count(field, item) > 0
                            : *(const char *)const_field_of(field, item, 0) != '\0';

        bool is_spared = field->spares != NULL && field->spares(item);

        if (field->is_required && !is_there && !is_spared) {
            mr_fault_set(fault, EINVAL, "has no %s; add it: %s", field->path, field->help);
            return false;
        }
    }
    return true;
}

/* The row of an item that `key` names, or NULL with `fault` set. */
static const struct mr_setting *find_field(const struct mr_setting *row, const char *key,
                                           struct mr_fault *fault)
{
    const struct mr_setting *nearest = row->items;

    for (const struct mr_setting *field = row->items; field->path != NULL; field++) {
        if (strcmp(field->path, key) == 0)
            return field;
        if (mr_setting_distance(field->path, key) < mr_setting_distance(nearest->path, key))
            nearest = field;
    }
    char hint[HINT_MAX];
    mr_fault_set(fault, EINVAL, "unknown key \"%.40s\"; %s", key,
                 mr_setting_hint(hint, sizeof(hint), key, "", nearest->path));
    return NULL;
}

/* One "key=value" with its end replaced by NUL; `seen` are the rows before. */
static bool parse_pair(const struct mr_setting *row, void *item, char *pair, uint64_t *seen,
                       struct mr_fault *fault)
{
    char *value = strchr(pair, '=');

    if (value == NULL) {
        mr_fault_set(fault, EINVAL, "\"%.40s\" is no key=value; write %s=...", pair,
                     row->items[0].path);
        return false;
    }
    *value++ = '\0';

    const struct mr_setting *field = find_field(row, pair, fault);
    if (field == NULL)
        return false;
    uint64_t bit = UINT64_C(1) << (field - row->items);
    if ((*seen & bit) != 0) {
        mr_fault_set(fault, EINVAL, "%s is there twice; leave one out", field->path);
        return false;
    }
    *seen |= bit;
    for (char *next = value; next != NULL; value = next) {
        next = field->count_max > 0 ? strpbrk(value, ":") : NULL;
        if (next != NULL)
            *next++ = '\0';
        if (!mr_setting_parse(field, item, value, fault)) {
            mr_fault_add_context(fault, 0, "%s", field->path);
            return false;
        }
    }
    return true;
}

static bool parse_pairs(const struct mr_setting *row, void *item, char *text,
                        struct mr_fault *fault)
{
    uint64_t seen = 0;

    for (char *next = text; next != NULL; text = next) {
        next = strchr(text, ',');
        if (next != NULL)
            *next++ = '\0';
        if (!parse_pair(row, item, text, &seen, fault))
            return false;
    }
    return mr_setting_check_item(row, item, fault);
}

bool mr_setting_parse_item(const struct mr_setting *row, void *object, const char *text,
                           struct mr_fault *fault)
{
    char copy[4 * MR_SETTING_TEXT_MAX];
    void *item;

    MR_ASSERT(row->kind == MR_SETTING_ITEMS);
    if (strlen(text) >= sizeof(copy)) {
        mr_fault_set(fault, E2BIG, "is longer than %zu bytes; use a configuration file",
                     sizeof(copy) - 1);
        return false;
    }
    item = mr_setting_add_item(row, object, fault);
    if (item == NULL)
        return false;
    memcpy(copy, text, strlen(text) + 1);
    if (parse_pairs(row, item, copy, fault))
        return true;
    memset(item, 0, row->width);
    --*count_of(row, object);
    return false;
}

/* ------------------------------------------------------------------ what was meant */

uint32_t mr_setting_distance(const char *a, const char *b)
{
    uint32_t rows[3][WORD_MAX + 1]; /* of the table of distances, the last three */
    size_t a_size = strnlen(a, WORD_MAX);
    size_t b_size = strnlen(b, WORD_MAX);

    for (uint32_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (uint32_t i = 1; i <= a_size; i++) {
        uint32_t *now = rows[i % 3];
        const uint32_t *before = rows[(i + 2) % 3];
        const uint32_t *earlier = rows[(i + 1) % 3];

        now[0] = i;
        for (uint32_t j = 1; j <= b_size; j++) {
            uint32_t best = before[j - 1] + (a[i - 1] != b[j - 1]);

            best = MR_MIN(best, MR_MIN(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MR_MIN(best, earlier[j - 2] + 1);
            now[j] = best;
        }
    }
    return rows[a_size % 3][b_size];
}

const char *mr_setting_hint(char *hint, size_t room, const char *word, const char *prefix,
                            const char *nearest)
{
    size_t size = strlen(word);
    bool is_begin = size > 0 && strncmp(nearest, word, size) == 0;

    if (is_begin || (size > 1 && mr_setting_distance(word, nearest) <= size / 2))
        snprintf(hint, room, "did you mean %s%s?", prefix, nearest);
    else
        snprintf(hint, room, "millrace(1) lists all");
    return hint;
}
