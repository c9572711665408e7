/*
 * quic/packet_number.h - packet numbers on the wire: 1 to 4 of their low bytes
 * (RFC 9000, Section 17.1 and Appendix A).
 *
 * Pure functions, no state.
 */
#ifndef MR_QUIC_PACKET_NUMBER_H
#define MR_QUIC_PACKET_NUMBER_H

#include <stdint.h>

#include "base/assert.h"
#include "base/compiler.h"

#define MR_PN_MAX      ((UINT64_C(1) << 62) - 1)
#define MR_PN_SIZE_MAX 4          /* bytes */
#define MR_PN_NONE     UINT64_MAX /* "no packet of the space was acknowledged yet" */

/*
 * Bytes, 1..4, that packet `pn` needs when the peer has acknowledged up to `largest_acked` (< pn),
 * or MR_PN_NONE: room for twice the numbers in between, so that the peer recovers it.
 * RFC 9000, Appendix A.2.  More than 2^31 unacknowledged packets do not fit 4 bytes; the sent
 * records' limit is far below that.
 */
static inline uint8_t mr_pn_size(uint64_t pn, uint64_t largest_acked)
{
    uint64_t unacked = pn - largest_acked; /* pn + 1 after MR_PN_NONE, modulo 2^64 */

    if (unacked <= UINT64_C(1) << 7)
        return 1;
    if (unacked <= UINT64_C(1) << 15)
        return 2;
    if (unacked <= UINT64_C(1) << 23)
        return 3;
    return 4;
}

/* As mr_pn_decode(), next to an end of the numbers, where the nearest one may not exist. */
MR_COLD static uint64_t mr_pn_decode_at_end(uint64_t expected, uint64_t truncated, uint64_t window)
{
    uint64_t half = window / 2;
    uint64_t candidate = (expected & ~(window - 1)) | truncated;

    if (candidate + half <= expected && candidate + window <= MR_PN_MAX)
        return candidate + window;
    if (candidate > expected + half && candidate >= window)
        return candidate - window;
    return candidate;
}

/*
 * The packet number nearest to `expected` (largest received in the space + 1; 0: none yet) whose
 * low `size` bytes (1..4) are `truncated`.  RFC 9000, Appendix A.3: of the numbers that end so, the
 * one in (expected - half, expected + half].
 */
static inline uint64_t mr_pn_decode(uint64_t expected, uint32_t truncated, uint32_t size)
{
    MR_DASSERT(size >= 1 && size <= MR_PN_SIZE_MAX);

    uint64_t mask = UINT32_MAX >> (32 - 8 * size);
    uint64_t least = expected - mask / 2;
    uint64_t pn = least + ((truncated - least) & mask);

    return pn <= MR_PN_MAX ? pn : mr_pn_decode_at_end(expected, truncated, mask + 1);
}

#endif /* MR_QUIC_PACKET_NUMBER_H */
