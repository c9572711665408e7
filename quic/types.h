/*
 * quic/types.h - the small values that every part of the engine speaks of.
 *
 * Time is uint64_t nanoseconds of a monotonic clock, named `now` or `_ns`;
 * MR_NEVER is later than every time.
 */
#ifndef MR_QUIC_TYPES_H
#define MR_QUIC_TYPES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

#define MR_NEVER       UINT64_MAX
#define MR_US          UINT64_C(1000) /* ns */
#define MR_MS          UINT64_C(1000000)
#define MR_SECOND      UINT64_C(1000000000)
#define MR_VERSION_1   UINT32_C(0x00000001)
#define MR_VERSION_2   UINT32_C(0x6b3343cf) /* RFC 9369 */
#define MR_CID_MAX     20                   /* bytes, RFC 9000, Section 17.2 */
#define MR_RESET_TOKEN 16                   /* bytes, RFC 9000, Section 10.3 */
#define MR_INITIAL_MIN                                                                             \
    1200            /* bytes of a datagram with an ack-eliciting Initial, RFC 9000, Section 14.1 */
#define MR_PATH_0 0 /* the only path ID until multipath is negotiated */

/* A connection ID, as in RFC 9000, Section 5.1. */
struct mr_cid {
    uint8_t size;
    uint8_t bytes[MR_CID_MAX];
};

static inline bool mr_cid_equal(const struct mr_cid *a, const struct mr_cid *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* An address and UDP port; IPv4 is mapped (::ffff:a.b.c.d).  No padding: compared and hashed as
 * bytes. */
struct mr_addr {
    uint8_t ip[16];
    uint16_t port; /* host order */
    uint16_t zero;
};

/* A 4-tuple: what RFC 9000 calls a path.  Compared as bytes. */
struct mr_path_addr {
    struct mr_addr local;
    struct mr_addr remote;
};

_Static_assert(sizeof(struct mr_path_addr) == 40, "no padding: paths are compared as bytes");

/* In line: asked of every packet. */
MR_INLINE bool mr_path_addr_equal(const struct mr_path_addr *a, const struct mr_path_addr *b)
{
    uint64_t x[5];
    uint64_t y[5];

    memcpy(x, a, sizeof(x));
    memcpy(y, b, sizeof(y));
    return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3] && x[4] == y[4];
}

static inline bool mr_addr_is_ipv4(const struct mr_addr *addr)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(addr->ip, mapped, sizeof(mapped)) == 0;
}

/* Packet number spaces, RFC 9000, Section 12.3. */
enum mr_space {
    MR_SPACE_INITIAL,
    MR_SPACE_HANDSHAKE,
    MR_SPACE_APP,
    MR_SPACES
};

/* Encryption levels, RFC 9001, Section 2.1, in the order in which they appear. */
enum mr_level {
    MR_LEVEL_INITIAL,
    MR_LEVEL_EARLY,
    MR_LEVEL_HANDSHAKE,
    MR_LEVEL_APP,
    MR_LEVELS
};

enum mr_role {
    MR_CLIENT,
    MR_SERVER
};

enum mr_ecn { /* the two bits of RFC 3168 */
    MR_ECN_NOT_ECT = 0,
    MR_ECN_ECT1 = 1,
    MR_ECN_ECT0 = 2,
    MR_ECN_CE = 3
};

/* Transport error codes, RFC 9000, Section 20.1. */
enum mr_transport_error {
    MR_NO_ERROR = 0x00,
    MR_INTERNAL_ERROR = 0x01,
    MR_CONNECTION_REFUSED = 0x02,
    MR_FLOW_CONTROL_ERROR = 0x03,
    MR_STREAM_LIMIT_ERROR = 0x04,
    MR_STREAM_STATE_ERROR = 0x05,
    MR_FINAL_SIZE_ERROR = 0x06,
    MR_FRAME_ENCODING_ERROR = 0x07,
    MR_TRANSPORT_PARAMETER_ERROR = 0x08,
    MR_CONNECTION_ID_LIMIT_ERROR = 0x09,
    MR_PROTOCOL_VIOLATION = 0x0a,
    MR_INVALID_TOKEN = 0x0b,
    MR_APPLICATION_ERROR = 0x0c,
    MR_CRYPTO_BUFFER_EXCEEDED = 0x0d,
    MR_KEY_UPDATE_ERROR = 0x0e,
    MR_AEAD_LIMIT_REACHED = 0x0f,
    MR_NO_VIABLE_PATH = 0x10,
    /* of PATH_ABANDON: draft-ietf-quic-multipath, Section 4.2.1 */
    MR_APPLICATION_ABANDON_PATH = 0x3e,
    MR_PATH_RESOURCE_LIMIT_REACHED = 0x3e75,
    MR_PATH_UNSTABLE_OR_POOR = 0x3e76,
    MR_NO_CID_AVAILABLE_FOR_PATH = 0x3e77,
    MR_VERSION_NEGOTIATION_ERROR = 0x11, /* RFC 9368, Section 8.2 */
    MR_CRYPTO_ERROR = 0x0100             /* + TLS alert */
};

#endif /* MR_QUIC_TYPES_H */
