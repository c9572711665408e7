/*
 * base/bytes.h - numbers in bytes, at any alignment.
 *
 * Network order is mr_load_be<bits>() and mr_store_be<bits>(); the compiler makes
 * one load and one byte swap of each.  Little endian (SipHash) is mr_load_le64().
 * Nothing here checks a length: bytes from the wire are read through quic/wire.h.
 *
 * Owner: none.  Threads: any.
 */
#ifndef MR_BASE_BYTES_H
#define MR_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline uint16_t mr_load_be16(const void *from)
{
    const uint8_t *b = from;

    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t mr_load_be24(const void *from)
{
    const uint8_t *b = from;

    return (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
}

static inline uint32_t mr_load_be32(const void *from)
{
    const uint8_t *b = from;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t mr_load_be64(const void *from)
{
    const uint8_t *b = from;

    return (uint64_t)b[0] << 56 | (uint64_t)b[1] << 48 | (uint64_t)b[2] << 40 |
           (uint64_t)b[3] << 32 | (uint64_t)b[4] << 24 | (uint64_t)b[5] << 16 |
           (uint64_t)b[6] << 8 | b[7];
}

static inline uint64_t mr_load_le64(const void *from)
{
    const uint8_t *b = from;

    return (uint64_t)b[7] << 56 | (uint64_t)b[6] << 48 | (uint64_t)b[5] << 40 |
           (uint64_t)b[4] << 32 | (uint64_t)b[3] << 24 | (uint64_t)b[2] << 16 |
           (uint64_t)b[1] << 8 | b[0];
}

static inline void mr_store_be16(void *to, uint16_t value)
{
    uint8_t *b = to;

    b[0] = (uint8_t)(value >> 8);
    b[1] = (uint8_t)value;
}

/* The low 24 bits of `value`. */
static inline void mr_store_be24(void *to, uint32_t value)
{
    uint8_t *b = to;

    b[0] = (uint8_t)(value >> 16);
    b[1] = (uint8_t)(value >> 8);
    b[2] = (uint8_t)value;
}

static inline void mr_store_be32(void *to, uint32_t value)
{
    uint8_t *b = to;

    b[0] = (uint8_t)(value >> 24);
    b[1] = (uint8_t)(value >> 16);
    b[2] = (uint8_t)(value >> 8);
    b[3] = (uint8_t)value;
}

static inline void mr_store_be64(void *to, uint64_t value)
{
    uint8_t *b = to;

    mr_store_be32(b, (uint32_t)(value >> 32));
    mr_store_be32(b + 4, (uint32_t)value);
}

static inline void mr_store_le64(void *to, uint64_t value)
{
    uint8_t *b = to;

    for (unsigned i = 0; i < sizeof(value); i++)
        b[i] = (uint8_t)(value >> 8 * i);
}

#endif /* MR_BASE_BYTES_H */
