/*
 * drivers/options.h - the part of a port's spec behind its kind: "name=value,name=value".
 *
 *     struct mr_options options = mr_options_of("role=server,id=3");
 *     while (mr_options_next(&options))
 *         ... options.name, options.value ...
 *
 * Owner: the caller, on its stack.  Threads: the owner's.
 * Limits: MR_OPTION_MAX bytes of a name and of a value.
 */
#ifndef MR_DRIVERS_OPTIONS_H
#define MR_DRIVERS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define MR_OPTION_MAX 108 /* bytes with end: a unix socket's path fits */

struct mr_options {
    const char *rest; /* not read yet */
    char name[MR_OPTION_MAX];
    char value[MR_OPTION_MAX]; /* "" if there was no '=' */
    bool is_too_long;          /* a name or value was: it was cut, and reading ended */
};

struct mr_options mr_options_of(const char *text);

/* Read the next option.  False at the end, or when one is too long. */
bool mr_options_next(struct mr_options *options);

/* Parse a number; false unless the whole text is one, <= `max`. */
bool mr_option_number(const char *text, uint64_t max, uint64_t *value_out);

/* Parse "10G", "2.5M", "64k", "1000" (powers of 1,000); false if malformed. */
bool mr_option_rate(const char *text, uint64_t *value_out);

/* Parse "10ms", "2.5us", "1s", "300ns" to nanoseconds; the unit is required unless 0.  False if
 * malformed. */
bool mr_option_duration(const char *text, uint64_t *value_ns_out);

/* Parse per cent, 0..100, to 0..1; false if malformed. */
bool mr_option_percent(const char *text, double *value_out);

/* Parse on, off, yes, no, 1, 0; false if it is none of them. */
bool mr_option_bool(const char *text, bool *value_out);

#endif /* MR_DRIVERS_OPTIONS_H */
