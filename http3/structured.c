/* http3/structured.c - see structured.h.  Sections are RFC 8941's. */
#include "http3/structured.h"

#include <string.h>

enum {
    INTEGER_DIGITS = 15, /* RFC 8941, Section 4.2.4 */
    DECIMAL_DIGITS = 12,
    FRACTION_DIGITS = 3,
};

/* The next character; -1: the end. */
static int peek(const struct mr_sf *in)
{
    return in->at < in->end ? (unsigned char)*in->at : -1;
}

/* The same, and step over it. */
static int next(struct mr_sf *in)
{
    return in->at < in->end ? (unsigned char)*in->at++ : -1;
}

bool mr_sf_take(struct mr_sf *in, char wanted)
{
    if (peek(in) != wanted)
        return false;
    in->at++;
    return true;
}

void mr_sf_skip(struct mr_sf *in, const char *what)
{
    while (in->at < in->end && strchr(what, *in->at) != NULL && *in->at != '\0')
        in->at++;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(int c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(int c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_in(int c, const char *set)
{
    return c > 0 && strchr(set, c) != NULL;
}

/* ------------------------------------------------------------------ items */

/* Section 4.2.4 */
static bool take_number(struct mr_sf *in, struct mr_sf_item *item)
{
    bool is_negative = mr_sf_take(in, '-');
    int digits = 0;
    int fraction = 0;

    item->kind = MR_SF_INTEGER;
    item->value = 0;
    for (; is_digit(peek(in)); in->at++, digits++) {
        if (digits == INTEGER_DIGITS)
            return false;
        item->value = item->value * 10 + (peek(in) - '0');
    }
    if (digits == 0)
        return false;
    if (is_negative)
        item->value = -item->value;
    if (!mr_sf_take(in, '.'))
        return true;
    item->kind = MR_SF_OTHER;
    for (; is_digit(peek(in)); in->at++)
        fraction++;
    return digits <= DECIMAL_DIGITS && fraction >= 1 && fraction <= FRACTION_DIGITS;
}

/* Section 4.2.5; the first quotation mark is taken */
static bool take_string(struct mr_sf *in)
{
    while (!mr_sf_take(in, '"')) {
        int c = next(in);
        if (c == '\\') {
            c = next(in);
            if (c != '"' && c != '\\')
                return false;
        } else if (c < 0x20 || c > 0x7e) {
            return false;
        }
    }
    return true;
}

/* Section 4.2.6 */
static bool take_token(struct mr_sf *in)
{
    if (!is_alpha(peek(in)) && peek(in) != '*')
        return false;
    while (is_alpha(peek(in)) || is_digit(peek(in)) || is_in(peek(in), ":/!#$%&'*+-.^_`|~"))
        in->at++;
    return true;
}

/* Section 4.2.7; the first colon is taken */
static bool take_bytes(struct mr_sf *in)
{
    while (is_alpha(peek(in)) || is_digit(peek(in)) || is_in(peek(in), "+/="))
        in->at++;
    return mr_sf_take(in, ':');
}

/* Section 4.2.8; the question mark is taken */
static bool take_boolean(struct mr_sf *in, struct mr_sf_item *item)
{
    int c = next(in);

    *item = (struct mr_sf_item){MR_SF_BOOLEAN, c == '1'};
    return c == '0' || c == '1';
}

/* Section 4.2.3.1 */
static bool take_bare_item(struct mr_sf *in, struct mr_sf_item *item)
{
    *item = (struct mr_sf_item){MR_SF_OTHER, 0};
    if (is_digit(peek(in)) || peek(in) == '-')
        return take_number(in, item);
    if (mr_sf_take(in, '"'))
        return take_string(in);
    if (mr_sf_take(in, ':'))
        return take_bytes(in);
    if (mr_sf_take(in, '?'))
        return take_boolean(in, item);
    return take_token(in);
}

/* Section 4.2.3.3 */
bool mr_sf_key(struct mr_sf *in, struct mr_text *key)
{
    key->data = in->at;
    if (!is_lower(peek(in)) && peek(in) != '*')
        return false;
    while (is_lower(peek(in)) || is_digit(peek(in)) || is_in(peek(in), "_-.*"))
        in->at++;
    key->size = (size_t)(in->at - key->data);
    return true;
}

/* Section 4.2.3.2 */
bool mr_sf_parameters(struct mr_sf *in)
{
    struct mr_text key;
    struct mr_sf_item item;

    while (mr_sf_take(in, ';')) {
        mr_sf_skip(in, " ");
        if (!mr_sf_key(in, &key) || (mr_sf_take(in, '=') && !take_bare_item(in, &item)))
            return false;
    }
    return true;
}

/* Section 4.2.1.2; the parenthesis is taken */
static bool take_inner_list(struct mr_sf *in)
{
    struct mr_sf_item item;

    for (;;) {
        mr_sf_skip(in, " ");
        if (mr_sf_take(in, ')'))
            return true;
        if (!take_bare_item(in, &item) || !mr_sf_parameters(in))
            return false;
        if (peek(in) != ' ' && peek(in) != ')')
            return false;
    }
}

/* The value of a member of a Dictionary, without its parameters. */
bool mr_sf_member(struct mr_sf *in, struct mr_sf_item *item)
{
    *item = (struct mr_sf_item){MR_SF_BOOLEAN, 1};
    if (!mr_sf_take(in, '='))
        return true;
    if (!mr_sf_take(in, '('))
        return take_bare_item(in, item);
    item->kind = MR_SF_OTHER;
    return take_inner_list(in);
}

bool mr_sf_is_true(struct mr_text value)
{
    struct mr_sf in = mr_sf_begin(value);
    struct mr_sf_item item;

    mr_sf_skip(&in, " ");
    if (!take_bare_item(&in, &item) || !mr_sf_parameters(&in))
        return false;
    mr_sf_skip(&in, " ");
    return in.at == in.end && item.kind == MR_SF_BOOLEAN && item.value == 1;
}
