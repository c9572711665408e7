/*
 * http3/varint.h - variable-length integers that arrive in pieces (RFC 9000, Section 16), and
 * writing them.
 *
 * The two high bits of the first byte say how many bytes there are: 1, 2, 4 or 8.
 */
#ifndef MR_HTTP3_VARINT_H
#define MR_HTTP3_VARINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MR_H3_VARINT_MAX_SIZE = 8 /* bytes */
};

/* An integer being read.  All zero: nothing read yet. */
struct mr_h3_varint {
    uint64_t value;
    uint8_t left; /* bytes still to come */
    bool has_begun;
};

/* Take the next byte; true if the integer is complete.  Reset it (all zero) before the next one. */
static inline bool mr_h3_varint_take(struct mr_h3_varint *v, uint8_t byte)
{
    if (!v->has_begun) {
        v->has_begun = true;
        v->left = (uint8_t)((1u << (byte >> 6)) - 1);
        v->value = byte & 0x3f;
    } else {
        v->left--;
        v->value = v->value << 8 | byte;
    }
    return v->left == 0;
}

/* Write `value` < 2^62 in its shortest form; returns the bytes written, at most
 * MR_H3_VARINT_MAX_SIZE. */
static inline size_t mr_h3_varint_put(uint8_t *dst, uint64_t value)
{
    unsigned power = value < 64 ? 0 : value < 16384 ? 1 : value < (UINT64_C(1) << 30) ? 2 : 3;
    size_t size = (size_t)1 << power;

    for (size_t i = size; i > 0; i--) {
        dst[i - 1] = (uint8_t)value;
        value >>= 8;
    }
    dst[0] = (uint8_t)(dst[0] | power << 6);
    return size;
}

#endif /* MR_HTTP3_VARINT_H */
