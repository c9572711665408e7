/* http3/range.c - see range.h. */
#include "http3/range.h"

#include <stdbool.h>
#include <strings.h>

struct cursor {
    const char *at;
    const char *end;
};

static bool is_next(const struct cursor *c, char wanted)
{
    return c->at < c->end && *c->at == wanted;
}

static void skip_blanks(struct cursor *c)
{
    while (is_next(c, ' ') || is_next(c, '\t'))
        c->at++;
}

/* Read digits; false if there are none.  A number too large becomes UINT64_MAX, beyond every file.
 */
static bool read_number(struct cursor *c, uint64_t *value_out)
{
    const char *begin = c->at;
    uint64_t value = 0;

    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        uint64_t digit = (uint64_t)(*c->at - '0');
        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
    }
    *value_out = value;
    return c->at > begin;
}

static enum mr_range_verdict part(uint64_t first, uint64_t size, struct mr_range *range_out)
{
    *range_out = (struct mr_range){.first = first, .size = size};
    return MR_RANGE_PART;
}

/* "-N": the last N bytes. */
static enum mr_range_verdict parse_suffix(struct cursor *c, uint64_t whole,
                                          struct mr_range *range_out)
{
    uint64_t size;

    c->at++;
    if (!read_number(c, &size))
        return MR_RANGE_WHOLE;
    skip_blanks(c);
    if (c->at != c->end)
        return MR_RANGE_WHOLE;
    if (size == 0)
        return MR_RANGE_UNSATISFIABLE;
    if (whole == 0) /* satisfiable, but no Content-Range can say so */
        return MR_RANGE_WHOLE;
    size = size < whole ? size : whole;
    return part(whole - size, size, range_out);
}

/* "N-" or "N-M". */
static enum mr_range_verdict parse_span(struct cursor *c, uint64_t whole,
                                        struct mr_range *range_out)
{
    uint64_t first;
    uint64_t last = UINT64_MAX;

    if (!read_number(c, &first) || !is_next(c, '-'))
        return MR_RANGE_WHOLE;
    c->at++;
    bool has_last = read_number(c, &last);
    if (!has_last)
        last = UINT64_MAX;
    skip_blanks(c);
    if (c->at != c->end || last < first)
        return MR_RANGE_WHOLE;
    if (first >= whole)
        return MR_RANGE_UNSATISFIABLE;
    last = last < whole ? last : whole - 1;
    return part(first, last - first + 1, range_out);
}

enum mr_range_verdict mr_range_parse(const char *text, size_t text_size, uint64_t whole,
                                     struct mr_range *range_out)
{
    struct cursor c = {text, text + text_size};

    if (text_size < 6 || strncasecmp(text, "bytes=", 6) != 0)
        return MR_RANGE_WHOLE;
    c.at += 6;
    skip_blanks(&c);
    return is_next(&c, '-') ? parse_suffix(&c, whole, range_out) : parse_span(&c, whole, range_out);
}
