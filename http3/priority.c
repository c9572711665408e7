/* http3/priority.c - see priority.h. */
#include "http3/priority.h"

#include <string.h>

enum {
    INTEGER_DIGITS = 15, /* RFC 8941, Section 4.2.4 */
    DECIMAL_DIGITS = 12,
    FRACTION_DIGITS = 3,
};

/* Structured Fields being parsed (RFC 8941, Section 4.2). */
struct input {
    const char *at;
    const char *end;
};

enum kind {
    KIND_OTHER,
    KIND_INTEGER,
    KIND_BOOLEAN,
};

struct item {
    enum kind kind;
    int64_t value;
};

/* The next character; -1: the end. */
static int peek(const struct input *in)
{
    return in->at < in->end ? (unsigned char)*in->at : -1;
}

/* The same, and step over it. */
static int next(struct input *in)
{
    return in->at < in->end ? (unsigned char)*in->at++ : -1;
}

static bool take(struct input *in, char wanted)
{
    if (peek(in) != wanted)
        return false;
    in->at++;
    return true;
}

static void skip(struct input *in, const char *what)
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
static bool take_number(struct input *in, struct item *item)
{
    bool is_negative = take(in, '-');
    int digits = 0;
    int fraction = 0;

    item->kind = KIND_INTEGER;
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
    if (!take(in, '.'))
        return true;
    item->kind = KIND_OTHER;
    for (; is_digit(peek(in)); in->at++)
        fraction++;
    return digits <= DECIMAL_DIGITS && fraction >= 1 && fraction <= FRACTION_DIGITS;
}

/* Section 4.2.5; the first quotation mark is taken */
static bool take_string(struct input *in)
{
    while (!take(in, '"')) {
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
static bool take_token(struct input *in)
{
    if (!is_alpha(peek(in)) && peek(in) != '*')
        return false;
    while (is_alpha(peek(in)) || is_digit(peek(in)) || is_in(peek(in), ":/!#$%&'*+-.^_`|~"))
        in->at++;
    return true;
}

/* Section 4.2.7; the first colon is taken */
static bool take_bytes(struct input *in)
{
    while (is_alpha(peek(in)) || is_digit(peek(in)) || is_in(peek(in), "+/="))
        in->at++;
    return take(in, ':');
}

/* Section 4.2.8; the question mark is taken */
static bool take_boolean(struct input *in, struct item *item)
{
    int c = next(in);

    *item = (struct item){KIND_BOOLEAN, c == '1'};
    return c == '0' || c == '1';
}

/* Section 4.2.3.1 */
static bool take_bare_item(struct input *in, struct item *item)
{
    *item = (struct item){KIND_OTHER, 0};
    if (is_digit(peek(in)) || peek(in) == '-')
        return take_number(in, item);
    if (take(in, '"'))
        return take_string(in);
    if (take(in, ':'))
        return take_bytes(in);
    if (take(in, '?'))
        return take_boolean(in, item);
    return take_token(in);
}

/* Section 4.2.3.3 */
static bool take_key(struct input *in, struct mr_text *key)
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
static bool take_parameters(struct input *in)
{
    struct mr_text key;
    struct item item;

    while (take(in, ';')) {
        skip(in, " ");
        if (!take_key(in, &key) || (take(in, '=') && !take_bare_item(in, &item)))
            return false;
    }
    return true;
}

/* Section 4.2.1.2; the parenthesis is taken */
static bool take_inner_list(struct input *in)
{
    struct item item;

    for (;;) {
        skip(in, " ");
        if (take(in, ')'))
            return true;
        if (!take_bare_item(in, &item) || !take_parameters(in))
            return false;
        if (peek(in) != ' ' && peek(in) != ')')
            return false;
    }
}

/* The value of a member of a Dictionary, without its parameters. */
static bool take_member(struct input *in, struct item *item)
{
    *item = (struct item){KIND_BOOLEAN, 1};
    if (!take(in, '='))
        return true;
    if (!take(in, '('))
        return take_bare_item(in, item);
    item->kind = KIND_OTHER;
    return take_inner_list(in);
}

/* ------------------------------------------------------------------ priorities */

/* What of both was given, the last of each name; -1: not given, or of a wrong type. */
struct given {
    int64_t urgency;
    int64_t is_incremental;
};

static void give(struct given *given, struct mr_text key, const struct item *item)
{
    if (key.size != 1)
        return;
    if (key.data[0] == 'u')
        given->urgency = item->kind == KIND_INTEGER ? item->value : -1;
    else if (key.data[0] == 'i')
        given->is_incremental = item->kind == KIND_BOOLEAN ? item->value : -1;
}

/* Section 4.2.2 */
static bool take_dictionary(struct input *in, struct given *given)
{
    struct mr_text key;
    struct item item;

    while (in->at < in->end) {
        if (!take_key(in, &key) || !take_member(in, &item) || !take_parameters(in))
            return false;
        give(given, key, &item);
        skip(in, " \t");
        if (in->at == in->end)
            return true;
        if (!take(in, ','))
            return false;
        skip(in, " \t");
        if (in->at == in->end)
            return false; /* a trailing comma */
    }
    return true;
}

bool mr_priority_parse(struct mr_text value, struct mr_priority *priority)
{
    struct input in = {value.data, value.data + value.size};
    struct given given = {-1, -1};

    skip(&in, " ");
    if (!take_dictionary(&in, &given))
        return false;
    if (given.urgency >= 0 && given.urgency < MR_URGENCIES)
        priority->urgency = (uint8_t)given.urgency;
    if (given.is_incremental >= 0)
        priority->is_incremental = given.is_incremental != 0;
    return true;
}

uint32_t mr_priority_format(struct mr_priority priority, char text_out[MR_PRIORITY_TEXT])
{
    uint32_t size = 0;

    if (priority.urgency != MR_PRIORITY_URGENCY) {
        memcpy(text_out, "u=0", 3);
        text_out[2] = (char)('0' + priority.urgency);
        size = 3;
    }
    if (priority.is_incremental) {
        memcpy(text_out + size, size > 0 ? ", i" : "i", size > 0 ? 3 : 1);
        size += size > 0 ? 3 : 1;
    }
    text_out[size] = '\0';
    return size;
}

/* ------------------------------------------------------------------ that wait for their stream */

static uint64_t entry_of(uint64_t id, struct mr_priority priority)
{
    return id << 2 | (uint64_t)priority.urgency << 1 | priority.is_incremental;
}

/* Its place; p->count: none. */
static uint32_t find(const struct mr_priorities *p, uint64_t id)
{
    uint32_t i = 0;

    while (i < p->count && p->entry[i] >> 4 != id >> 2)
        i++;
    return i;
}

bool mr_priorities_put(struct mr_priorities *p, uint64_t id, struct mr_priority priority)
{
    uint32_t i = find(p, id);

    if (i == MR_PRIORITIES_WAITING)
        return false;
    p->entry[i] = entry_of(id, priority);
    p->count += i == p->count;
    return true;
}

bool mr_priorities_take(struct mr_priorities *p, uint64_t id, struct mr_priority *priority_out)
{
    uint32_t i = find(p, id);

    if (i == p->count)
        return false;
    priority_out->urgency = (uint8_t)(p->entry[i] >> 1 & 7);
    priority_out->is_incremental = (p->entry[i] & 1) != 0;
    p->entry[i] = p->entry[--p->count];
    return true;
}
