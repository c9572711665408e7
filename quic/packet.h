/*
 * quic/packet.h - packet headers: what a datagram holds, and the headers we write.
 *
 *     datagram = packet, packet, ... (coalesced, RFC 9000, Section 12.2)
 *
 *     for (at = 0; at < len; at += header.size)
 *         if (mr_packet_parse(data + at, len - at, MR_LOCAL_CID_SIZE, &header) != MR_PACKET_OK)
 *             break;
 *
 * Parsing needs no key: everything here is outside header protection.  A parsed header borrows
 * from the datagram; nothing is copied.  The same struct describes a long header to be written.
 *
 * Pure functions, no state.  Errors: a verdict; nothing is ever read beyond `len`.
 */
#ifndef MR_QUIC_PACKET_H
#define MR_QUIC_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic/packet_number.h"
#include "quic/types.h"
#include "quic/wire_fields.h"

#define MR_PACKET_FORM_LONG    0x80
#define MR_PACKET_FIXED_BIT    0x40
#define MR_PACKET_SPIN         0x20  /* short header */
#define MR_PACKET_KEY_PHASE    0x04  /* short header, under header protection */
#define MR_RETRY_TAG           16    /* bytes, RFC 9001, Section 5.8 */
#define MR_PACKET_LENGTH_MAX   16383 /* largest Length that the two-byte hole takes */
#define MR_SHORT_HEADER_MAX    (1 + MR_CID_MAX + MR_PN_SIZE_MAX) /* bytes */
#define MR_STATELESS_RESET_MIN 21                                /* bytes, RFC 9000, Section 10.3 */

/* The first four are the long header's type bits in QUIC version 1; in version 2 they are the next
 * number, modulo 4 (RFC 9369, Section 3.2). */
enum mr_packet_type {
    MR_PACKET_INITIAL,
    MR_PACKET_ZERO_RTT,
    MR_PACKET_HANDSHAKE,
    MR_PACKET_RETRY,
    MR_PACKET_ONE_RTT,
    MR_PACKET_VERSION_NEGOTIATION,
    MR_PACKET_TYPES
};

enum mr_packet_verdict {
    MR_PACKET_OK,
    MR_PACKET_SHORT,     /* ends inside its header, or before its Length does */
    MR_PACKET_MALFORMED, /* a v1 connection ID over 20 bytes, Retry without token, VN without or
                            with half a version */
    MR_PACKET_UNSUPPORTED_VERSION, /* version, dcid and scid are set (connection IDs of up to 255
                                      bytes), nothing else */
    MR_PACKET_NO_FIXED_BIT, /* all is set as with OK: discard, unless we sent grease_quic_bit (RFC
                               9287) */
};

/* A connection ID somewhere in a datagram, or borrowed from a struct mr_cid.  `size` may be over
 * MR_CID_MAX only with MR_PACKET_UNSUPPORTED_VERSION and Version Negotiation. */
struct mr_cid_view {
    const uint8_t *bytes;
    uint8_t size;
};

struct mr_packet_header {
    enum mr_packet_type type;
    uint32_t version; /* 0: short header or Version Negotiation */
    struct mr_cid_view dcid;
    struct mr_cid_view scid; /* long headers */
    const uint8_t
        *token; /* Initial: the token; Retry: the Retry token; Version Negotiation: the versions */
    uint16_t token_size; /* bytes at `token` */
    uint16_t
        pn_offset; /* of the (protected) packet number from the packet's first byte; 0: has none */
    uint16_t
        size; /* of this packet, header to tag; the rest of the datagram is the next packet's */
};

/* ---------------------------------------------------------------- connection ID views */

static inline struct mr_cid_view mr_cid_view(const struct mr_cid *cid)
{
    return (struct mr_cid_view){.bytes = cid->bytes, .size = cid->size};
}

/* Copy a view.  False, and an empty `*out`, if it is longer than MR_CID_MAX. */
static inline bool mr_cid_copy(struct mr_cid *out, struct mr_cid_view view)
{
    out->size = view.size <= MR_CID_MAX ? view.size : 0;
    if (out->size > 0)
        memcpy(out->bytes, view.bytes, out->size);
    return view.size <= MR_CID_MAX;
}

static inline bool mr_cid_view_equal(struct mr_cid_view view, const struct mr_cid *cid)
{
    return view.size == cid->size &&
           (view.size == 0 || memcmp(view.bytes, cid->bytes, view.size) == 0);
}

/* ---------------------------------------------------------------- reading */

/* Versions we speak.  Zero is not one. */
static inline bool mr_version_is_supported(uint32_t version)
{
    return version == MR_VERSION_1 || version == MR_VERSION_2;
}

/* `first` is the packet's first byte; this bit is never protected. */
static inline bool mr_packet_is_long(uint8_t first)
{
    return (first & MR_PACKET_FORM_LONG) != 0;
}

/* Of a first byte with header protection removed: bytes of the packet number, 1..4. */
static inline uint8_t mr_packet_pn_size(uint8_t first)
{
    return (uint8_t)((first & 0x03) + 1);
}

/*
 * Of a first byte with header protection removed: true if a reserved bit is set.  Check it only
 * after the AEAD opened the packet; then it is a PROTOCOL_VIOLATION (RFC 9000, Sections 17.2
 * and 17.3.1).
 */
static inline bool mr_packet_has_reserved_bits(uint8_t first)
{
    return (first & (mr_packet_is_long(first) ? 0x0c : 0x18)) != 0;
}

/* The encryption level that protects `type`, which must have a packet number. */
static inline enum mr_level mr_packet_level(enum mr_packet_type type)
{
    MR_DASSERT(type != MR_PACKET_RETRY && type < MR_PACKET_VERSION_NEGOTIATION);

    return type == MR_PACKET_INITIAL     ? MR_LEVEL_INITIAL
           : type == MR_PACKET_ZERO_RTT  ? MR_LEVEL_EARLY
           : type == MR_PACKET_HANDSHAKE ? MR_LEVEL_HANDSHAKE
                                         : MR_LEVEL_APP;
}

/* The packet number space of `type`, which must have a packet number. */
static inline enum mr_space mr_packet_space(enum mr_packet_type type)
{
    MR_DASSERT(type != MR_PACKET_RETRY && type < MR_PACKET_VERSION_NEGOTIATION);

    return type == MR_PACKET_INITIAL     ? MR_SPACE_INITIAL
           : type == MR_PACKET_HANDSHAKE ? MR_SPACE_HANDSHAKE
                                         : MR_SPACE_APP;
}

/* The long-header case of mr_packet_parse(). */
enum mr_packet_verdict mr_packet_parse_long(const uint8_t *packet, size_t len,
                                            struct mr_packet_header *out);

/*
 * Parse the header of the first packet of the `len` bytes at `packet`, what is left of a datagram.
 *
 * `local_cid_size`: bytes of the connection IDs we issue; a short header does not say (RFC 9000,
 * Section 17.3.1). `out` borrows from `packet`.  It is always written: all of it with OK and
 * NO_FIXED_BIT; with UNSUPPORTED_VERSION version and connection IDs; zeros otherwise.
 *
 * OK promises: pn_offset <= size <= len, size > 0.  It does not promise that the packet is long
 * enough to be sampled for header protection (the unmask step discards those), nor that the type
 * makes sense for our role.
 */
static inline enum mr_packet_verdict mr_packet_parse(const uint8_t *packet, size_t len,
                                                     uint8_t local_cid_size,
                                                     struct mr_packet_header *out)
{
    if (len == 0 || mr_packet_is_long(packet[0]))
        return mr_packet_parse_long(packet, len, out);

    *out = (struct mr_packet_header){.type = MR_PACKET_ONE_RTT};
    if (len < (size_t)1 + local_cid_size || len > UINT16_MAX)
        return MR_PACKET_SHORT;

    out->dcid = (struct mr_cid_view){.bytes = packet + 1, .size = local_cid_size};
    out->pn_offset = (uint16_t)(1 + local_cid_size);
    out->size = (uint16_t)len;
    return (packet[0] & MR_PACKET_FIXED_BIT) != 0 ? MR_PACKET_OK : MR_PACKET_NO_FIXED_BIT;
}

/* True if `version` is in the list of the Version Negotiation packet `header`. */
bool mr_packet_lists_version(const struct mr_packet_header *header, uint32_t version);

/*
 * The last 16 bytes of a datagram that may be a stateless reset, whatever its header form, or NULL
 * if it is too short for one.  Compare in constant time (mr_reset_token_equal()).
 * RFC 9000, Sections 10.3 and 10.3.1.
 */
const uint8_t *mr_packet_reset_token(const uint8_t *datagram, size_t len);

/* ---------------------------------------------------------------- writing */

/* Bytes mr_packet_write_long() writes for `header`. */
size_t mr_packet_long_size(const struct mr_packet_header *header, uint8_t pn_size);

/*
 * Write the long header of an Initial (with header->token), 0-RTT or Handshake packet, packet
 * number included, unprotected. `pn_size` from mr_pn_size().  Uses type, version, dcid, scid, token
 * and token_size.
 *
 * Returns the two-byte hole of the Length field, to be filled with mr_packet_set_length() when the
 * payload is complete; NULL, and a failed writer, if it does not fit.
 */
uint8_t *mr_packet_write_long(struct mr_writer *w, const struct mr_packet_header *header,
                              uint64_t pn, uint8_t pn_size);

/* Fill a Length hole: `length` = packet number + payload + AEAD tag, <= MR_PACKET_LENGTH_MAX. */
static inline void mr_packet_set_length(uint8_t *hole, size_t length)
{
    MR_ASSERT(length <= MR_PACKET_LENGTH_MAX);
    hole[0] = (uint8_t)(0x40 | length >> 8);
    hole[1] = (uint8_t)length;
}

/*
 * Write a short header, packet number included, unprotected.  `bits`: MR_PACKET_SPIN and
 * MR_PACKET_KEY_PHASE. It takes 1 + dcid->size + pn_size bytes, but the writer fails with less room
 * than MR_SHORT_HEADER_MAX: copies of fixed size are three times as fast (once per packet sent),
 * and no packet worth sending is that small.
 */
static inline void mr_packet_write_short(struct mr_writer *w, const struct mr_cid *dcid,
                                         uint8_t bits, uint64_t pn, uint8_t pn_size)
{
    if (w->failed || mr_writer_room(w) < MR_SHORT_HEADER_MAX) {
        w->failed = true;
        return;
    }
    w->at[0] = (uint8_t)(MR_PACKET_FIXED_BIT | bits | (pn_size - 1));
    memcpy(w->at + 1, dcid->bytes, MR_CID_MAX);
    mr_store_be(w->at + 1 + dcid->size, pn << (8 * (MR_PN_SIZE_MAX - pn_size)), MR_PN_SIZE_MAX);
    w->at += 1 + dcid->size + pn_size;
}

/*
 * Write the Version Negotiation packet that answers `request` (parsed as UNSUPPORTED_VERSION): its
 * connection IDs swapped, a reserved version made of `random`, which also fills the unused bits,
 * and the `count` versions that we offer.  RFC 9000, Sections 6 and 17.2.1. The caller answers only
 * datagrams of at least MR_INITIAL_MIN bytes, at most once each, and none with version 0.
 */
void mr_packet_write_version_negotiation(struct mr_writer *w,
                                         const struct mr_packet_header *request,
                                         const uint32_t *versions, size_t count, uint32_t random);

/*
 * Write a Retry packet but for its integrity tag: header->version, dcid (the client's SCID), scid
 * (our new one), token. The low bits of `random` fill the unused bits.  Returns where the tag goes
 * (MR_RETRY_TAG bytes, mr_retry_tag() computes it over all bytes before), or NULL, and a failed
 * writer, if it does not fit.
 */
uint8_t *mr_packet_write_retry(struct mr_writer *w, const struct mr_packet_header *header,
                               uint8_t random);

/*
 * Write a stateless reset that ends in `token` (MR_RESET_TOKEN bytes), in answer to a datagram of
 * `trigger_size` bytes: always shorter than that, and long enough to look like a packet.  `random`
 * are 32 random bytes. Returns the bytes written, or 0 if the trigger is too short to be answered
 * or `room` is too small. RFC 9000, Sections 10.3 and 10.3.3.
 */
size_t mr_packet_write_stateless_reset(uint8_t *dst, size_t room, uint32_t trigger_size,
                                       const uint8_t *random, const uint8_t *token);

#endif /* MR_QUIC_PACKET_H */
