/*
 * tests/hex.h - test vectors as hexadecimal text.
 */
#ifndef MR_TESTS_HEX_H
#define MR_TESTS_HEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"

static inline uint8_t mr_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0');
    MR_ASSERT(c >= 'a' && c <= 'f');
    return (uint8_t)(c - 'a' + 10);
}

/* Write the bytes that `text` (lower case, even length) spells at `dst`; returns how many, <= room.
 */
static inline size_t mr_hex(const char *text, uint8_t *dst, size_t room)
{
    size_t size = 0;

    for (; text[0] != '\0'; text += 2) {
        MR_ASSERT(size < room);
        dst[size++] = (uint8_t)(mr_hex_digit(text[0]) << 4 | mr_hex_digit(text[1]));
    }
    return size;
}

#endif /* MR_TESTS_HEX_H */
