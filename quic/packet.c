#include "quic/packet.h"

/* ---------------------------------------------------------------- reading */

static struct mr_cid_view read_cid(struct mr_reader *r)
{
    uint8_t size = mr_read_u8(r);
    const uint8_t *bytes = mr_read_bytes(r, size);

    return (struct mr_cid_view){.bytes = bytes, .size = bytes != NULL ? size : 0};
}

/* Version Negotiation: the rest of the datagram is a list of versions (RFC 8999, Section 6). */
static enum mr_packet_verdict parse_versions(struct mr_reader *r, struct mr_packet_header *out)
{
    size_t left = mr_reader_left(r);

    if (left == 0 || left % 4 != 0)
        return MR_PACKET_MALFORMED;

    out->type = MR_PACKET_VERSION_NEGOTIATION;
    out->token_size = (uint16_t)left;
    out->token = mr_read_bytes(r, left);
    return MR_PACKET_OK;
}

/* Retry: the rest of the datagram is a token and the tag (RFC 9000, Section 17.2.5). */
static enum mr_packet_verdict parse_retry(struct mr_reader *r, struct mr_packet_header *out)
{
    size_t left = mr_reader_left(r);

    if (left < MR_RETRY_TAG)
        return MR_PACKET_SHORT;
    if (left == MR_RETRY_TAG)
        return MR_PACKET_MALFORMED;

    out->token_size = (uint16_t)(left - MR_RETRY_TAG);
    out->token = mr_read_bytes(r, out->token_size);
    return MR_PACKET_OK;
}

/* Initial, 0-RTT, Handshake: Length says where the packet ends. */
static enum mr_packet_verdict parse_protected(struct mr_reader *r, const uint8_t *packet,
                                              struct mr_packet_header *out)
{
    if (out->type == MR_PACKET_INITIAL) {
        uint64_t token_size = mr_read_varint(r);

        out->token = mr_read_bytes(r, token_size);
        out->token_size = out->token != NULL ? (uint16_t)token_size : 0;
    }

    uint64_t length = mr_read_varint(r);
    const uint8_t *pn = r->at;

    mr_read_bytes(r, length);
    if (r->failed)
        return MR_PACKET_SHORT;

    out->pn_offset = (uint16_t)(pn - packet);
    out->size = (uint16_t)(r->at - packet);
    return MR_PACKET_OK;
}

/* RFC 9369, Section 3.2: Retry, Initial, 0-RTT, Handshake. */
static enum mr_packet_type type_of_bits(uint32_t version, uint8_t bits)
{
    return (enum mr_packet_type)(version == MR_VERSION_2 ? (bits + 3) & 3 : bits);
}

static uint8_t bits_of_type(uint32_t version, enum mr_packet_type type)
{
    return (uint8_t)(version == MR_VERSION_2 ? ((unsigned)type + 1) & 3 : (unsigned)type);
}

/* A long header of a version we speak, after its connection IDs. */
static enum mr_packet_verdict parse_known(struct mr_reader *r, const uint8_t *packet,
                                          struct mr_packet_header *out)
{
    if (out->dcid.size > MR_CID_MAX || out->scid.size > MR_CID_MAX)
        return MR_PACKET_MALFORMED;

    out->type = type_of_bits(out->version, packet[0] >> 4 & 0x03);

    enum mr_packet_verdict verdict =
        out->type == MR_PACKET_RETRY ? parse_retry(r, out) : parse_protected(r, packet, out);

    if (verdict == MR_PACKET_OK && (packet[0] & MR_PACKET_FIXED_BIT) == 0)
        return MR_PACKET_NO_FIXED_BIT;
    return verdict;
}

enum mr_packet_verdict mr_packet_parse_long(const uint8_t *packet, size_t len,
                                            struct mr_packet_header *out)
{
    struct mr_packet_header header = {0};
    struct mr_reader r = mr_reader(packet, len);

    *out = header;
    mr_read_u8(&r);
    header.version = mr_read_u32(&r);
    header.dcid = read_cid(&r);
    header.scid = read_cid(&r);
    if (r.failed || len > UINT16_MAX)
        return MR_PACKET_SHORT;

    header.size = (uint16_t)len; /* unless it has a Length */
    if (header.version != 0 && !mr_version_is_supported(header.version)) {
        *out = header;
        return MR_PACKET_UNSUPPORTED_VERSION;
    }

    enum mr_packet_verdict verdict =
        header.version == 0 ? parse_versions(&r, &header) : parse_known(&r, packet, &header);

    if (verdict == MR_PACKET_OK || verdict == MR_PACKET_NO_FIXED_BIT)
        *out = header;
    return verdict;
}

bool mr_packet_lists_version(const struct mr_packet_header *header, uint32_t version)
{
    MR_DASSERT(header->type == MR_PACKET_VERSION_NEGOTIATION);

    for (size_t at = 0; at + 4 <= header->token_size; at += 4)
        if (mr_load_u32(header->token + at) == version)
            return true;
    return false;
}

const uint8_t *mr_packet_reset_token(const uint8_t *datagram, size_t len)
{
    return len < MR_STATELESS_RESET_MIN ? NULL : datagram + len - MR_RESET_TOKEN;
}

/* ---------------------------------------------------------------- writing */

static void write_cid(struct mr_writer *w, struct mr_cid_view cid)
{
    mr_write_u8(w, cid.size);
    mr_write_bytes(w, cid.bytes, cid.size);
}

/* First byte, version and connection IDs: the same in every long header. */
static void write_invariant(struct mr_writer *w, const struct mr_packet_header *header,
                            uint8_t low_bits)
{
    mr_write_u8(w, (uint8_t)(MR_PACKET_FORM_LONG | MR_PACKET_FIXED_BIT |
                             bits_of_type(header->version, header->type) << 4 | low_bits));
    mr_write_be(w, header->version, 4);
    write_cid(w, header->dcid);
    write_cid(w, header->scid);
}

size_t mr_packet_long_size(const struct mr_packet_header *header, uint8_t pn_size)
{
    size_t size = (size_t)1 + 4 + 1 + header->dcid.size + 1 + header->scid.size + 2 + pn_size;

    if (header->type == MR_PACKET_INITIAL)
        size += mr_varint_size(header->token_size) + header->token_size;
    return size;
}

uint8_t *mr_packet_write_long(struct mr_writer *w, const struct mr_packet_header *header,
                              uint64_t pn, uint8_t pn_size)
{
    MR_DASSERT(header->type <= MR_PACKET_HANDSHAKE);
    MR_DASSERT(pn_size >= 1 && pn_size <= MR_PN_SIZE_MAX);

    write_invariant(w, header, (uint8_t)(pn_size - 1));
    if (header->type == MR_PACKET_INITIAL) {
        mr_write_varint(w, header->token_size);
        mr_write_bytes(w, header->token, header->token_size);
    }

    uint8_t *hole = mr_write_later(w, 2);

    mr_write_be(w, pn, pn_size);
    return w->failed ? NULL : hole;
}

void mr_packet_write_version_negotiation(struct mr_writer *w,
                                         const struct mr_packet_header *request,
                                         const uint32_t *versions, size_t count, uint32_t random)
{
    mr_write_u8(w, (uint8_t)(MR_PACKET_FORM_LONG | MR_PACKET_FIXED_BIT | (random >> 24 & 0x3f)));
    mr_write_be(w, 0, 4);
    write_cid(w, request->scid);
    write_cid(w, request->dcid);
    mr_write_be(w, (random & 0xf0f0f0f0) | 0x0a0a0a0a, 4); /* reserved, RFC 9000, Section 15 */
    for (size_t i = 0; i < count; i++)
        mr_write_be(w, versions[i], 4);
}

uint8_t *mr_packet_write_retry(struct mr_writer *w, const struct mr_packet_header *header,
                               uint8_t random)
{
    MR_DASSERT(header->type == MR_PACKET_RETRY);
    MR_DASSERT(header->token_size > 0);

    write_invariant(w, header, random & 0x0f);
    mr_write_bytes(w, header->token, header->token_size);
    return mr_write_later(w, MR_RETRY_TAG);
}

size_t mr_packet_write_stateless_reset(uint8_t *dst, size_t room, uint32_t trigger_size,
                                       const uint8_t *random, const uint8_t *token)
{
    enum {
        UNPREDICTABLE_MAX = 27,
        SIZE_MAX_SENT = UNPREDICTABLE_MAX + MR_RESET_TOKEN
    };

    size_t size = trigger_size > SIZE_MAX_SENT ? SIZE_MAX_SENT : (size_t)trigger_size - 1;

    if (trigger_size <= MR_STATELESS_RESET_MIN || room < size)
        return 0;

    size_t unpredictable = size - MR_RESET_TOKEN;

    memcpy(dst, random, unpredictable);
    dst[0] = (uint8_t)(MR_PACKET_FIXED_BIT | (dst[0] & 0x3f));
    memcpy(dst + unpredictable, token, MR_RESET_TOKEN);
    return size;
}
