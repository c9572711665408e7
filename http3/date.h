/*
 * http3/date.h - HTTP dates.  RFC 9110, Section 5.6.7.  Pure; no time zone, no locale.
 */
#ifndef MR_HTTP3_DATE_H
#define MR_HTTP3_DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MR_DATE_SIZE = 29 /* bytes of "Sun, 06 Nov 1994 08:49:37 GMT" */
};

/* Write `seconds` since 1970 (years 1970 to 9999) as an IMF-fixdate at `dst`: MR_DATE_SIZE bytes,
 * no NUL. */
void mr_date_format(char *dst, int64_t seconds);

/*
 * Read a date in any of the three forms of HTTP.  False if it is none.  `now` (seconds) decides the
 * century of two-digit years: more than 50 years ahead means the past.
 */
bool mr_date_parse(const char *text, size_t size, int64_t *seconds_out, int64_t now);

#endif /* MR_HTTP3_DATE_H */
