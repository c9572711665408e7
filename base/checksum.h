/*
 * base/checksum.h - the Internet checksum of IPv4, ICMP, UDP (RFC 1071).
 *
 * A sum is built from a pseudo-header and any number of pieces, then finished:
 *
 *     uint64_t sum = mr_checksum_pseudo4(src, dst, MR_CHECKSUM_UDP, udp_size);
 *     sum = mr_checksum_add(sum, udp, udp_size);            checksum field zero
 *     mr_store_be16(&udp[6], mr_checksum_finish_udp(sum));
 *
 * To verify, sum the same bytes with the checksum field in place: the result of
 * mr_checksum_finish() is then 0.
 *
 * A sum is opaque: 16-bit words in the order of this machine, carries not folded yet.
 * 2^32 bytes can be added before it overflows.  Every piece but the last has an even size.
 *
 * Owner: none.  Threads: any; the functions are pure.  Cost: an instruction for 4 bytes with AVX2,
 * for one without.
 */
#ifndef MR_BASE_CHECKSUM_H
#define MR_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

enum {
    MR_CHECKSUM_ICMP = 1,
    MR_CHECKSUM_UDP = 17,
    MR_CHECKSUM_ICMP6 = 58,
};

#define MR_CHECKSUM_BLOCK ((size_t)64) /* bytes; pieces of one and more are summed by blocks */

/* `sum` with so many blocks more: by the widest registers, and by those of every CPU. */
uint64_t mr_checksum_add_blocks(uint64_t sum, const uint8_t *from, size_t blocks);
uint64_t mr_checksum_add_narrow(uint64_t sum, const uint8_t *from, size_t blocks);

/* `sum` with `size` bytes more. */
static inline uint64_t mr_checksum_add(uint64_t sum, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    uint32_t word;
    uint16_t half;

    if (size >= MR_CHECKSUM_BLOCK) {
        sum = mr_checksum_add_blocks(sum, from, size / MR_CHECKSUM_BLOCK);
        from += size & ~(MR_CHECKSUM_BLOCK - 1);
        size &= MR_CHECKSUM_BLOCK - 1;
    }
    size_t words = size / sizeof(word);
    for (size_t i = 0; i < words; i++) {
        memcpy(&word, from + i * sizeof(word), sizeof(word));
        sum += word;
    }
    from += words * sizeof(word);
    if (size & 2) {
        memcpy(&half, from, sizeof(half));
        sum += half;
        from += sizeof(half);
    }
    if (size & 1) {
        uint8_t padded[2] = {*from, 0};
        memcpy(&half, padded, sizeof(half));
        sum += half;
    }
    return sum;
}

/* The checksum of all that was summed, to be stored with mr_store_be16(). */
static inline uint16_t mr_checksum_finish(uint64_t sum)
{
    uint8_t in_order[2];

    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    uint16_t half = (uint16_t)~sum;
    memcpy(in_order, &half, sizeof(half));
    return mr_load_be16(in_order);
}

/* As mr_checksum_finish(), but never 0, which in UDP says "no checksum" (RFC 768; RFC 8200,
 * Section 8.1). */
static inline uint16_t mr_checksum_finish_udp(uint64_t sum)
{
    uint16_t checksum = mr_checksum_finish(sum);

    return checksum == 0 ? 0xffff : checksum;
}

/*
 * The sum of the IPv4 pseudo-header.  `src` and `dst` are 4 bytes each, in network
 * order; `size` is that of the UDP header and payload.  RFC 768.
 */
static inline uint64_t mr_checksum_pseudo4(const uint8_t *src, const uint8_t *dst, uint8_t protocol,
                                           uint16_t size)
{
    uint8_t tail[4] = {0, protocol, (uint8_t)(size >> 8), (uint8_t)size};

    return mr_checksum_add(mr_checksum_add(mr_checksum_add(0, src, 4), dst, 4), tail, sizeof(tail));
}

/*
 * The sum of the IPv6 pseudo-header.  `src` and `dst` are 16 bytes each, in network
 * order; `size` is that of the upper-layer header and payload.  RFC 8200, Section 8.1.
 */
static inline uint64_t mr_checksum_pseudo6(const uint8_t *src, const uint8_t *dst, uint8_t protocol,
                                           uint32_t size)
{
    uint8_t tail[8] = {[7] = protocol};

    mr_store_be32(tail, size);
    return mr_checksum_add(mr_checksum_add(mr_checksum_add(0, src, 16), dst, 16), tail,
                           sizeof(tail));
}

#endif /* MR_BASE_CHECKSUM_H */
