/* drivers/options.c - see options.h. */
#include "drivers/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

/* A number's unit and what it multiplies by. */
struct unit {
    const char *text;
    double factor;
};

struct mr_options mr_options_of(const char *text)
{
    return (struct mr_options){.rest = text};
}

/* Copy `size` bytes and end them; false if they do not fit. */
static bool copy_text(char *to, const char *from, size_t size)
{
    if (size >= MR_OPTION_MAX)
        return false;
    memcpy(to, from, size);
    to[size] = '\0';
    return true;
}

bool mr_options_next(struct mr_options *options)
{
    if (*options->rest == '\0')
        return false;

    const char *begin = options->rest;
    size_t size = strcspn(begin, ",");
    size_t name = MR_MIN(strcspn(begin, "="), size);
    size_t value = name < size ? name + 1 : size;

    options->rest = begin + size + (begin[size] == ',');
    options->is_too_long = !copy_text(options->name, begin, name) ||
                           !copy_text(options->value, begin + value, size - value);
    return !options->is_too_long;
}

bool mr_option_number(const char *text, uint64_t max, uint64_t *value_out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *value_out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *value_out <= max;
}

/* Parse a decimal number >= 0 and one of the units. */
static bool parse_scaled(const char *text, const struct unit *units, size_t unit_count,
                         double *value_out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *value_out = strtod(text, &end);
    for (size_t i = 0; i < unit_count; i++)
        if (strcmp(end, units[i].text) == 0) {
            *value_out *= units[i].factor;
            return isfinite(*value_out) && *value_out < 1e18;
        }
    return false;
}

bool mr_option_rate(const char *text, uint64_t *value_out)
{
    static const struct unit units[] = {
        {"", 1}, {"k", 1e3}, {"K", 1e3}, {"m", 1e6}, {"M", 1e6}, {"g", 1e9}, {"G", 1e9},
    };
    double value;

    if (!parse_scaled(text, units, MR_COUNT_OF(units), &value))
        return false;
    *value_out = (uint64_t)value;
    return true;
}

bool mr_option_duration(const char *text, uint64_t *value_ns_out)
{
    static const struct unit units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    double value;

    if (strcmp(text, "0") == 0) {
        *value_ns_out = 0;
        return true;
    }
    if (!parse_scaled(text, units, MR_COUNT_OF(units), &value))
        return false;
    *value_ns_out = (uint64_t)value;
    return true;
}

bool mr_option_percent(const char *text, double *value_out)
{
    static const struct unit units[] = {{"", 0.01}, {"%", 0.01}};

    return parse_scaled(text, units, MR_COUNT_OF(units), value_out) && *value_out <= 1;
}

bool mr_option_bool(const char *text, bool *value_out)
{
    static const char *const yes[] = {"on", "yes", "1"};
    static const char *const no[] = {"off", "no", "0"};

    for (size_t i = 0; i < MR_COUNT_OF(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *value_out = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}
