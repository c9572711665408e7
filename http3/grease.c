/* http3/grease.c - see grease.h. */
#include "http3/grease.h"

enum {
    STEP = 0x1f,
    FIRST = 0x21
};

uint64_t mr_h3_reserved_draw(struct mr_random *random)
{
    static const uint8_t bits[] = {0, 8, 24, 57}; /* of N: numbers of 1, 2, 4 and 8 bytes */
    uint8_t chosen = bits[mr_random_below(random, sizeof(bits))];

    return STEP * mr_random_below(random, UINT64_C(1) << chosen) + FIRST;
}

bool mr_h3_reserved_is(uint64_t number)
{
    return number >= FIRST && (number - FIRST) % STEP == 0;
}

static size_t put_payload(struct mr_random *random, uint8_t *dst, size_t size)
{
    mr_random_fill(random, dst, size);
    return size;
}

size_t mr_h3_grease_put_frame(struct mr_random *random, uint8_t *dst)
{
    size_t size = (size_t)mr_random_below(random, MR_H3_GREASE_PAYLOAD_MAX + 1);
    size_t at = mr_h3_frame_put_header(dst, mr_h3_reserved_draw(random), size);

    return at + put_payload(random, dst + at, size);
}

size_t mr_h3_grease_put_stream(struct mr_random *random, uint8_t *dst)
{
    size_t at = mr_h3_varint_put(dst, mr_h3_reserved_draw(random));

    return at + put_payload(random, dst + at,
                            (size_t)mr_random_below(random, MR_H3_GREASE_PAYLOAD_MAX + 1));
}
