/*
 * http3/structured.h - Structured Fields (RFC 8941, Section 4.2): what of them HTTP/3's own fields
 * need.
 *
 *     u=3, i;x="y"        mr_sf_key "u", mr_sf_member 3, mr_sf_parameters; "i", true, its
 * parameters ?1;x                mr_sf_is_true
 *
 * Each step takes what it has read from the front of the input, and says false where the field is
 * to be ignored as a whole.
 *
 * Owner: the caller, on its stack.
 */
#ifndef MR_HTTP3_STRUCTURED_H
#define MR_HTTP3_STRUCTURED_H

#include "http3/message.h"

/* A field's value being read. */
struct mr_sf {
    const char *at;
    const char *end;
};

enum mr_sf_kind {
    MR_SF_OTHER, /* a decimal, a string, a token, bytes, an inner list: well formed, and of no use
                    here */
    MR_SF_INTEGER,
    MR_SF_BOOLEAN,
};

struct mr_sf_item {
    enum mr_sf_kind kind;
    int64_t value;
};

static inline struct mr_sf mr_sf_begin(struct mr_text value)
{
    return (struct mr_sf){value.data, value.data + value.size};
}

/* Step over `wanted`; false: it is not there. */
bool mr_sf_take(struct mr_sf *in, char wanted);

/* Step over all characters of `what` that are there. */
void mr_sf_skip(struct mr_sf *in, const char *what);

/* The key of a member or parameter. */
bool mr_sf_key(struct mr_sf *in, struct mr_text *key);

/* The value of a member of a Dictionary, without its parameters; true where there is none. */
bool mr_sf_member(struct mr_sf *in, struct mr_sf_item *item);

/* All parameters of an item: they are read over. */
bool mr_sf_parameters(struct mr_sf *in);

/* Is the value an Item that is the Boolean true, whatever its parameters? */
bool mr_sf_is_true(struct mr_text value);

#endif /* MR_HTTP3_STRUCTURED_H */
