/* http3/date.c - see date.h. */
#include "http3/date.h"

#include <string.h>

#include "base/compiler.h"

static const char day_names[7][10] = {"Thursday", "Friday",  "Saturday", "Sunday",
                                      "Monday",   "Tuesday", "Wednesday"}; /* 1 Jan 1970 first */
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct civil {
    int64_t year;
    int64_t month; /* 1..12 */
    int64_t day;   /* 1..31 */
    int64_t hour;
    int64_t minute;
    int64_t second;
};

/* Days from 1 Jan 1970 to a date; years are counted from March, in eras of 400 years. */
static int64_t days_of(const struct civil *c)
{
    int64_t year = c->year - (c->month <= 2);
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (c->month + (c->month > 2 ? -3 : 9)) + 2) / 5 + c->day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static struct civil civil_of(int64_t days)
{
    days += 719468;
    int64_t era = days / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153; /* month from March */
    struct civil c = {
        .day = day_of_year - (153 * shifted + 2) / 5 + 1,
        .month = shifted < 10 ? shifted + 3 : shifted - 9,
    };

    c.year = year_of_era + era * 400 + (c.month <= 2);
    return c;
}

static char *put_number(char *dst, int64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        dst[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return dst + digits;
}

static char *put_text(char *dst, const char *text, size_t size)
{
    memcpy(dst, text, size);
    return dst + size;
}

void mr_date_format(char *dst, int64_t seconds)
{
    seconds = seconds < 0 ? 0 : seconds;
    int64_t days = seconds / 86400;
    int64_t rest = seconds % 86400;
    struct civil c = civil_of(days);

    dst = put_text(dst, day_names[days % 7], 3);
    dst = put_text(dst, ", ", 2);
    dst = put_number(dst, c.day, 2);
    dst = put_text(dst, " ", 1);
    dst = put_text(dst, month_names[c.month - 1], 3);
    dst = put_text(dst, " ", 1);
    dst = put_number(dst, c.year, 4);
    dst = put_text(dst, " ", 1);
    dst = put_number(dst, rest / 3600, 2);
    dst = put_text(dst, ":", 1);
    dst = put_number(dst, rest / 60 % 60, 2);
    dst = put_text(dst, ":", 1);
    dst = put_number(dst, rest % 60, 2);
    put_text(dst, " GMT", 4);
}

/* A reader that remembers whether anything failed. */
struct cursor {
    const char *at;
    const char *end;
    bool failed;
};

static void expect(struct cursor *c, const char *text)
{
    size_t size = strlen(text);

    if ((size_t)(c->end - c->at) < size || memcmp(c->at, text, size) != 0) {
        c->failed = true;
        return;
    }
    c->at += size;
}

static int64_t number(struct cursor *c, int digits)
{
    int64_t value = 0;

    for (int i = 0; i < digits; i++, c->at++) {
        if (c->failed || c->at >= c->end || *c->at < '0' || *c->at > '9') {
            c->failed = true;
            return 0;
        }
        value = value * 10 + (*c->at - '0');
    }
    return value;
}

/* A day of two characters, the first of which may be a blank (asctime). */
static int64_t padded_day(struct cursor *c)
{
    if (c->at < c->end && *c->at == ' ') {
        c->at++;
        return number(c, 1);
    }
    return number(c, 2);
}

static int64_t month(struct cursor *c)
{
    for (size_t i = 0; i < MR_COUNT_OF(month_names); i++) {
        if (c->end - c->at >= 3 && memcmp(c->at, month_names[i], 3) == 0) {
            c->at += 3;
            return (int64_t)i + 1;
        }
    }
    c->failed = true;
    return 1;
}

static void time_of_day(struct cursor *c, struct civil *civil)
{
    civil->hour = number(c, 2);
    expect(c, ":");
    civil->minute = number(c, 2);
    expect(c, ":");
    civil->second = number(c, 2);
}

/* "06 Nov 1994 08:49:37 GMT", after the day's short name and ", " */
static void read_imf(struct cursor *c, struct civil *civil)
{
    civil->day = number(c, 2);
    expect(c, " ");
    civil->month = month(c);
    expect(c, " ");
    civil->year = number(c, 4);
    expect(c, " ");
    time_of_day(c, civil);
    expect(c, " GMT");
}

/* "06-Nov-94 08:49:37 GMT", after the day's long name and ", " */
static void read_rfc850(struct cursor *c, struct civil *civil, int64_t now)
{
    int64_t this_year = civil_of((now < 0 ? 0 : now) / 86400).year;

    civil->day = number(c, 2);
    expect(c, "-");
    civil->month = month(c);
    expect(c, "-");
    civil->year = this_year - this_year % 100 + number(c, 2);
    if (civil->year > this_year + 50)
        civil->year -= 100;
    expect(c, " ");
    time_of_day(c, civil);
    expect(c, " GMT");
}

/* "Nov  6 08:49:37 1994", after the day's short name and " " */
static void read_asctime(struct cursor *c, struct civil *civil)
{
    civil->month = month(c);
    expect(c, " ");
    civil->day = padded_day(c);
    expect(c, " ");
    time_of_day(c, civil);
    expect(c, " ");
    civil->year = number(c, 4);
}

/* Step over a day's name and tell which form follows: ',' and its length, or ' '. */
static size_t day_name_size(const struct cursor *c)
{
    for (size_t i = 0; i < MR_COUNT_OF(day_names); i++) {
        size_t size = strlen(day_names[i]);
        if ((size_t)(c->end - c->at) > size && memcmp(c->at, day_names[i], size) == 0)
            return size;
        if (c->end - c->at > 3 && memcmp(c->at, day_names[i], 3) == 0 &&
            (c->at[3] == ',' || c->at[3] == ' '))
            return 3;
    }
    return 0;
}

static bool is_real(const struct civil *c)
{
    static const uint8_t month_days[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return c->year >= 1970 && c->day >= 1 && c->day <= month_days[c->month - 1] && c->hour <= 23 &&
           c->minute <= 59 && c->second <= 60; /* a leap second is legal */
}

bool mr_date_parse(const char *text, size_t size, int64_t *seconds_out, int64_t now)
{
    struct cursor c = {text, text + size, false};
    struct civil civil = {.month = 1};
    size_t name_size = day_name_size(&c);

    if (name_size == 0)
        return false;
    c.at += name_size;
    bool has_comma = *c.at == ',';
    expect(&c, has_comma ? ", " : " ");
    if (!has_comma)
        read_asctime(&c, &civil);
    else if (name_size == 3)
        read_imf(&c, &civil);
    else
        read_rfc850(&c, &civil, now);
    if (c.failed || c.at != c.end || !is_real(&civil))
        return false;
    *seconds_out = days_of(&civil) * 86400 + civil.hour * 3600 + civil.minute * 60 + civil.second;
    return true;
}
