/*
 * quic/wire_fields.h - the fields that are neither varints nor single bytes: fixed-width integers
 * in network order, byte strings, and frames that are written whole or not at all.
 *
 * Same rules as quic/wire.h: cursors are sticky, values read after a failure are zero.
 */
#ifndef MR_QUIC_WIRE_FIELDS_H
#define MR_QUIC_WIRE_FIELDS_H

#include "quic/wire.h"

static inline uint16_t mr_load_u16(const uint8_t *src)
{
    return (uint16_t)(src[0] << 8 | src[1]);
}

static inline uint32_t mr_load_u32(const uint8_t *src)
{
    return (uint32_t)src[0] << 24 | (uint32_t)src[1] << 16 | (uint32_t)src[2] << 8 | src[3];
}

static inline uint64_t mr_load_u64(const uint8_t *src)
{
    return (uint64_t)mr_load_u32(src) << 32 | mr_load_u32(src + 4);
}

/* Store the low `size` <= 8 bytes of `value`, most significant first. */
static inline void mr_store_be(uint8_t *dst, uint64_t value, size_t size)
{
    for (size_t i = size; i > 0; i--) {
        dst[i - 1] = (uint8_t)value;
        value >>= 8;
    }
}

static inline uint16_t mr_read_u16(struct mr_reader *r)
{
    const uint8_t *src = mr_read_bytes(r, 2);

    return src == NULL ? 0 : mr_load_u16(src);
}

static inline uint32_t mr_read_u32(struct mr_reader *r)
{
    const uint8_t *src = mr_read_bytes(r, 4);

    return src == NULL ? 0 : mr_load_u32(src);
}

/* Write the low `size` <= 8 bytes of `value`, most significant first. */
static inline void mr_write_be(struct mr_writer *w, uint64_t value, size_t size)
{
    uint8_t *dst = mr_write_later(w, size);

    if (dst != NULL)
        mr_store_be(dst, value, size);
}

/* Copy `size` bytes from `src`, which may be NULL when `size` is 0. */
static inline void mr_write_bytes(struct mr_writer *w, const uint8_t *src, size_t size)
{
    uint8_t *dst = mr_write_later(w, size);

    if (dst != NULL && size > 0)
        memcpy(dst, src, size);
}

/*
 * End an all-or-nothing write that began at `before`: true if all of it fitted, else the writer is
 * put back to `before` and false is returned.
 */
static inline bool mr_write_whole(struct mr_writer *w, struct mr_writer before)
{
    if (!w->failed)
        return true;
    *w = before;
    return false;
}

#endif /* MR_QUIC_WIRE_FIELDS_H */
