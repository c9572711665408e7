/*
 * fuzz/fuzz_packet.c - property test of quic/packet.h.
 *
 * The input's first byte picks what the rest is: a datagram as it is (bit 0 clear), or the values
 * of headers that are written and coalesced to a datagram, which is then damaged and cut.
 * Properties:
 *   1. no read leaves the datagram, and every view lies inside it;
 *   2. a packet that parses has 0 < size <= rest, pn_offset <= size: a walk over packets ends;
 *   3. without a verdict that promises fields, the header is all zero;
 *   4. a parsed Initial, 0-RTT or Handshake header, written again, parses to the same fields;
 *   5. a Retry, written again, gives the same bytes, its unused bits included;
 *   6. an unsupported version is answered by a Version Negotiation packet that parses, with the
 *      connection IDs swapped, and lists version 1;
 *   7. a header that was written and not damaged parses OK to what was written;
 *   8. a Version Negotiation packet is taken with whole versions only.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    LOCAL_CID = 8,
    ROOM = 4096
};

static bool is_inside(const uint8_t *at, size_t count, const uint8_t *start, size_t len)
{
    return count == 0 || (at >= start && at + count <= start + len);
}

static bool same_view(struct mr_cid_view a, struct mr_cid_view b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

static void check_same(const struct mr_packet_header *a, const struct mr_packet_header *b)
{
    MR_ASSERT(a->type == b->type && a->version == b->version);
    MR_ASSERT(same_view(a->dcid, b->dcid) && same_view(a->scid, b->scid));
    MR_ASSERT(a->token_size == b->token_size);
    MR_ASSERT(a->token_size == 0 || memcmp(a->token, b->token, a->token_size) == 0);
}

static void check_rewritten_long(const struct mr_packet_header *header)
{
    static uint8_t wire[UINT16_MAX + 64];
    struct mr_packet_header again;
    struct mr_writer w = mr_writer(wire, sizeof(wire));
    uint8_t *hole = mr_packet_write_long(&w, header, 0x01020304, 4);

    MR_ASSERT(hole != NULL);
    MR_ASSERT(mr_writer_size(&w) == mr_packet_long_size(header, 4));
    mr_packet_set_length(hole, 4);
    if (mr_writer_size(&w) > UINT16_MAX)
        return;
    MR_ASSERT(mr_packet_parse(wire, mr_writer_size(&w), LOCAL_CID, &again) == MR_PACKET_OK);
    MR_ASSERT(again.size == mr_writer_size(&w) && again.pn_offset == again.size - 4);
    check_same(header, &again);
}

static void check_rewritten_retry(const struct mr_packet_header *header, const uint8_t *packet)
{
    static uint8_t wire[UINT16_MAX];
    struct mr_writer w = mr_writer(wire, header->size);
    uint8_t *tag = mr_packet_write_retry(&w, header, packet[0]);

    MR_ASSERT(tag != NULL && mr_writer_size(&w) == header->size);
    MR_ASSERT(wire[0] == (packet[0] | MR_PACKET_FIXED_BIT));
    MR_ASSERT(memcmp(wire + 1, packet + 1, (size_t)(tag - wire) - 1) == 0);
}

static void check_answer(const struct mr_packet_header *request)
{
    uint8_t wire[1 + 4 + 1 + 255 + 1 + 255 + 8];
    struct mr_packet_header answer;
    struct mr_writer w = mr_writer(wire, sizeof(wire));

    mr_packet_write_version_negotiation(&w, request, &(uint32_t){MR_VERSION_1}, 1,
                                        request->version * 2654435761u);
    MR_ASSERT(!w.failed);
    MR_ASSERT(mr_packet_parse(wire, mr_writer_size(&w), LOCAL_CID, &answer) == MR_PACKET_OK);
    MR_ASSERT(answer.type == MR_PACKET_VERSION_NEGOTIATION);
    MR_ASSERT(same_view(answer.dcid, request->scid) && same_view(answer.scid, request->dcid));
    MR_ASSERT(mr_packet_lists_version(&answer, MR_VERSION_1));
}

static void check_parsed(const struct mr_packet_header *h, const uint8_t *packet, size_t len)
{
    MR_ASSERT(h->size > 0 && h->size <= len && h->pn_offset <= h->size);
    MR_ASSERT(is_inside(h->dcid.bytes, h->dcid.size, packet, h->size));
    MR_ASSERT(is_inside(h->scid.bytes, h->scid.size, packet, h->size));
    MR_ASSERT(is_inside(h->token, h->token_size, packet, h->size));

    if (h->type == MR_PACKET_RETRY)
        check_rewritten_retry(h, packet);
    else if (h->type <= MR_PACKET_HANDSHAKE)
        check_rewritten_long(h);
}

/* Walk a datagram as the endpoint does.  Returns how many packets it held. */
static uint32_t walk(const uint8_t *datagram, size_t len)
{
    static const struct mr_packet_header none;
    uint32_t count = 0;

    for (size_t at = 0; at < len; count++) {
        struct mr_packet_header h;
        enum mr_packet_verdict verdict = mr_packet_parse(datagram + at, len - at, LOCAL_CID, &h);

        if (verdict == MR_PACKET_SHORT || verdict == MR_PACKET_MALFORMED) {
            if (mr_packet_is_long(datagram[at]))
                MR_ASSERT(memcmp(&h, &none, sizeof(h)) == 0);
            break;
        }
        if (verdict == MR_PACKET_UNSUPPORTED_VERSION) {
            check_answer(&h);
            break;
        }
        check_parsed(&h, datagram + at, len - at);
        at += h.size;
    }
    return count;
}

/* Take `size` <= 20 bytes of the input as a connection ID. */
static void take_cid(struct mr_reader *input, struct mr_cid *cid)
{
    size_t wanted = mr_read_u8(input) % (MR_CID_MAX + 1);

    cid->size = (uint8_t)MR_MIN(wanted, mr_reader_left(input));
    if (cid->size > 0)
        memcpy(cid->bytes, mr_read_bytes(input, cid->size), cid->size);
}

/* Write one packet made of the input at `w`; returns false when there is no more input or room. */
static bool write_one(struct mr_reader *input, struct mr_writer *w)
{
    struct mr_cid dcid;
    struct mr_cid scid;
    struct mr_packet_header header = {.version = MR_VERSION_1};
    struct mr_packet_header parsed;
    struct mr_writer before = *w;
    uint8_t choice = mr_read_u8(input);
    uint8_t pn_size = (uint8_t)((choice >> 2 & 3) + 1);
    size_t payload = choice >> 4;

    take_cid(input, &dcid);
    take_cid(input, &scid);
    header.type = (enum mr_packet_type)(choice % 3);
    header.dcid = mr_cid_view(&dcid);
    header.scid = mr_cid_view(&scid);
    if (header.type == MR_PACKET_INITIAL) {
        size_t wanted = mr_read_u8(input);

        header.token_size = (uint16_t)MR_MIN(wanted, mr_reader_left(input));
        header.token = mr_read_bytes(input, header.token_size);
    }
    if (input->failed)
        return false;

    uint8_t *hole = mr_packet_write_long(w, &header, choice, pn_size);

    mr_write_later(w, payload);
    if (w->failed) {
        *w = before;
        return false;
    }
    mr_packet_set_length(hole, pn_size + payload);
    MR_ASSERT(mr_packet_parse(before.at, (size_t)(w->at - before.at), LOCAL_CID, &parsed) ==
              MR_PACKET_OK);
    check_same(&header, &parsed);
    MR_ASSERT(parsed.size == w->at - before.at);
    return true;
}

/* Property 8: cut a Version Negotiation packet anywhere. */
static void version_negotiation(const uint8_t *data, size_t size)
{
    uint8_t wire[64];
    struct mr_cid dcid;
    struct mr_cid scid;
    struct mr_packet_header header;
    struct mr_reader input = mr_reader(data, size);
    struct mr_writer w = mr_writer(wire, sizeof(wire));
    uint8_t cut = mr_read_u8(&input);

    take_cid(&input, &dcid);
    take_cid(&input, &scid);
    header = (struct mr_packet_header){.dcid = mr_cid_view(&dcid), .scid = mr_cid_view(&scid)};
    mr_packet_write_version_negotiation(&w, &header, &(uint32_t){MR_VERSION_1}, 1,
                                        cut * 0x01234567u);

    size_t invariant = mr_writer_size(&w) - 8;
    size_t len = invariant + cut % 9u;
    enum mr_packet_verdict verdict = mr_packet_parse(wire, len, LOCAL_CID, &header);

    MR_ASSERT((verdict == MR_PACKET_OK) == (len == invariant + 4 || len == invariant + 8));
}

/* Coalesce packets, damage at most one byte, walk. */
static void written(const uint8_t *data, size_t size)
{
    uint8_t datagram[ROOM] = {0};
    struct mr_reader input = mr_reader(data, size);
    struct mr_writer w = mr_writer(datagram, sizeof(datagram));
    uint16_t damage_at = mr_read_u16(&input);
    uint8_t damage = mr_read_u8(&input);
    uint32_t count = 0;

    while (mr_reader_left(&input) > 0 && write_one(&input, &w))
        count++;

    size_t len = mr_writer_size(&w);

    if (len == 0)
        return;
    MR_ASSERT(walk(datagram, len) == count);
    datagram[damage_at % len] ^= damage;
    walk(datagram, len);
    walk(datagram, len - damage_at % len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;

    if ((data[0] & 1) != 0) {
        version_negotiation(data + 1, size - 1);
        written(data + 1, size - 1);
        return 0;
    }

    uint8_t *exact = malloc(size);

    MR_ASSERT(exact != NULL);
    memcpy(exact, data, size);
    walk(exact + 1, size - 1);
    free(exact);
    return 0;
}
