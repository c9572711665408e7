/* tests/support/peer_packet.c - see peer.h: packets to and from the endpoint under test. */
#include <stdlib.h>
#include <string.h>

#include "quic/conn_multipath.h"
#include "tests/support/peer_internal.h"

/* ------------------------------------------------------------------ receiving */

uint32_t peer_path_of(const struct mr_endpoint *ep, const struct mr_packet_header *header)
{
    uint64_t key;

    if (header->type != MR_PACKET_ONE_RTT || header->dcid.size != sizeof(key))
        return 0;
    memcpy(&key, header->dcid.bytes, sizeof(key));
    uint32_t owner = mr_table8_find(&ep->cids, key);
    return owner < MR_CID_OF_PATH || owner >= MR_CID_ASLEEP /* or nobody's */
               ? 0
               : mr_path_record_at(ep, owner & ~MR_CID_OF_PATH)->id;
}

static uint32_t partners_path_of(const struct peer *p, const struct mr_packet_header *header)
{
    return peer_path_of(p->side[p->role == MR_CLIENT ? MR_SERVER : MR_CLIENT].ep, header);
}

/* Remove protection in place; false: not with the keys we have. */
static bool open_packet(struct peer *p, const struct mr_packet_header *header, uint8_t *bytes,
                        struct mr_open_job *job)
{
    uint32_t path = partners_path_of(p, header);
    enum mr_space space = mr_packet_space(header->type);
    const struct peer_key *key = header->type == MR_PACKET_ZERO_RTT ? &p->early : &p->open[space];

    uint64_t *expected =
        path == 0 ? &p->expected_pn[space] : &p->expected_path_pn[path % PEER_PATHS];

    if (!key->is_set)
        return false;
    *job = (struct mr_open_job){.key = &key->aead,
                                .hp = &key->hp,
                                .packet = bytes,
                                .expected_pn = *expected,
                                .path_id = path,
                                .pn_offset = header->pn_offset,
                                .size = header->size};
    mr_unmask_burst(p->aead, job, 1);
    if (!job->is_unmasked)
        return false;
    mr_open_burst(p->aead, job, 1);
    if (job->is_open)
        *expected = MR_MAX(*expected, job->pn + 1);
    return job->is_open;
}

static bool is_protected(const struct mr_packet_header *header)
{
    return header->type <= MR_PACKET_HANDSHAKE || header->type == MR_PACKET_ONE_RTT;
}

static void keep_packet(struct peer *p, const struct mr_packet_header *header,
                        const struct mr_outgoing *out, size_t at)
{
    uint8_t copy[PEER_DATAGRAM];
    struct mr_open_job job;

    if (p->inbox_count == PEER_INBOX_MAX)
        return;
    struct peer_packet *packet = &p->inbox[p->inbox_count++];
    *packet = (struct peer_packet){.type = header->type,
                                   .version = header->version,
                                   .first_byte = out->data[at],
                                   .at_ns = p->now,
                                   .datagram = p->datagrams,
                                   .datagram_size = out->size,
                                   .ecn = out->ecn,
                                   .path = out->path,
                                   .token_size = header->token_size,
                                   .size = out->size - at};
    mr_cid_copy(&packet->dcid, header->dcid);
    packet->path_id = partners_path_of(p, header);
    memcpy(packet->bytes, out->data + at, packet->size);
    memcpy(copy, packet->bytes, packet->size);
    packet->is_open = is_protected(header) && open_packet(p, header, copy, &job);
    if (!packet->is_open)
        return;
    packet->first_byte = copy[0];
    packet->pn = job.pn;
    packet->size = (size_t)job.size - job.header_size - MR_AEAD_TAG;
    memcpy(packet->bytes, copy + job.header_size, packet->size);
}

static void keep_datagram(struct peer *p, const struct mr_outgoing *out)
{
    struct mr_packet_header header;

    p->datagrams++;
    p->bytes += out->size;
    for (size_t at = 0; at < out->size; at += header.size) {
        enum mr_packet_verdict verdict =
            mr_packet_parse(out->data + at, out->size - at, p->scid.size, &header);

        if (verdict != MR_PACKET_OK && header.size == 0)
            header.size = (uint16_t)(out->size - at);
        if (at > 0 && out->data[at] == 0)
            return;
        keep_packet(p, &header, out, at);
        if (header.type == MR_PACKET_VERSION_NEGOTIATION || header.size == 0)
            return;
    }
}

static void put_on_wire(struct peer *p, enum mr_role to, const struct mr_outgoing *out)
{
    if (p->is_alone || p->wire_count[to] == MR_COUNT_OF(p->wire[to]))
        return;
    struct peer_raw *raw = &p->wire[to][p->wire_count[to]++];
    raw->path = (struct mr_path_addr){.local = out->path.remote, .remote = out->path.local};
    raw->size = out->size;
    raw->ecn = out->ecn;
    memcpy(raw->bytes, out->data, out->size);
}

void peer_drain_side(struct peer *p, struct peer_side *side)
{
    static uint8_t bytes[MR_BURST][PEER_DATAGRAM];
    struct mr_outgoing out[MR_BURST];
    uint32_t count;

    do {
        for (uint32_t i = 0; i < MR_BURST; i++)
            out[i] = (struct mr_outgoing){.data = bytes[i], .room = PEER_DATAGRAM};
        count = mr_endpoint_send(side->ep, out, MR_BURST, p->now);
        for (uint32_t i = 0; i < count; i++) {
            if (side->role == p->role)
                keep_datagram(p, &out[i]);
            put_on_wire(p, side->role == MR_CLIENT ? MR_SERVER : MR_CLIENT, &out[i]);
        }
    } while (count > 0);
}

void peer_drain(struct peer *p)
{
    peer_drain_side(p, &p->side[p->role]);
}

void peer_clear(struct peer *p)
{
    p->inbox_count = 0;
    p->event_count = 0;
}

/* ------------------------------------------------------------------ sending */

static size_t write_header(struct peer *p, const struct peer_out *out, struct mr_writer *w,
                           uint64_t pn, uint8_t **hole_out)
{
    const struct mr_cid *dcid = out->dcid == NULL ? &p->dcid : out->dcid;

    *hole_out = NULL;
    if (out->type == MR_PACKET_ONE_RTT) {
        mr_packet_write_short(w, dcid, p->phase != 0 ? MR_PACKET_KEY_PHASE : 0, pn, 4);
        return mr_writer_size(w);
    }
    struct mr_packet_header header = {.type = out->type,
                                      .version = p->version,
                                      .dcid = mr_cid_view(dcid),
                                      .scid = mr_cid_view(&p->scid),
                                      .token = out->token,
                                      .token_size = out->token_size};
    *hole_out = mr_packet_write_long(w, &header, pn, 4);
    return mr_writer_size(w);
}

size_t peer_build(struct peer *p, const struct peer_out *out, uint8_t *dst, size_t room)
{
    enum mr_space space = mr_packet_space(out->type);
    const struct peer_key *key = out->type == MR_PACKET_ZERO_RTT ? &p->early : &p->seal[space];
    uint64_t pn = out->pn == PEER_NEXT_PN ? p->next_pn[space]++ : out->pn;
    struct mr_writer w = mr_writer(dst, room - MR_AEAD_TAG);
    uint8_t *hole;
    size_t header_size = write_header(p, out, &w, pn, &hole);
    uint8_t *payload = mr_write_later(&w, out->size);

    MR_ASSERT(key->is_set && payload != NULL && header_size > 0);
    if (out->size > 0)
        memcpy(payload, out->frames, out->size);
    if (hole != NULL)
        mr_packet_set_length(hole, 4 + out->size + MR_AEAD_TAG);
    dst[0] ^= out->bits;
    struct mr_seal_job job = {.key = &key->aead,
                              .hp = &key->hp,
                              .packet = dst,
                              .pn = pn,
                              .path_id = out->path_id,
                              .header_size = (uint16_t)header_size,
                              .payload_size = (uint16_t)out->size,
                              .pn_size = 4};
    mr_seal_burst(p->aead, &job, 1);
    return header_size + out->size + MR_AEAD_TAG;
}

void peer_deliver(struct peer *p, const uint8_t *bytes, size_t size)
{
    struct peer_raw raw = {.path = p->path, .size = (uint32_t)size};

    MR_ASSERT(size <= sizeof(raw.bytes));
    if (size > 0)
        memcpy(raw.bytes, bytes, size);
    peer_receive(p, &p->side[p->role], &raw);
    peer_drain(p);
    peer_settle(p, &p->side[p->role]);
}

void peer_send_packet(struct peer *p, const struct peer_out *out)
{
    uint8_t datagram[PEER_DATAGRAM] = {0}; /* zeros behind a packet are no packet */
    size_t size = peer_build(p, out, datagram, sizeof(datagram));

    if (out->type == MR_PACKET_INITIAL && p->role == MR_SERVER)
        size = MR_MAX(size, (size_t)MR_INITIAL_MIN);
    peer_deliver(p, datagram, size);
}

void peer_send(struct peer *p, enum mr_packet_type type, const void *frames, size_t size)
{
    peer_send_packet(
        p, &(struct peer_out){.type = type, .frames = frames, .size = size, .pn = PEER_NEXT_PN});
}

void peer_ack(struct peer *p, uint64_t lo, uint64_t hi)
{
    uint8_t frame[32];
    struct mr_writer w = mr_writer(frame, sizeof(frame));
    struct mr_ack_range range = {.lo = lo, .hi = hi};

    mr_frame_write_ack(&w, &range, 1, 0, NULL);
    peer_send(p, MR_PACKET_ONE_RTT, frame, mr_writer_size(&w));
}

/* ------------------------------------------------------------------ looking */

/* Step over the body of a frame.  False: not a frame that an endpoint sends. */
static bool skip_integers(struct mr_reader *r, int count)
{
    for (int i = 0; i < count; i++)
        mr_read_varint(r);
    return !r->failed;
}

static bool skip_frame(struct mr_reader *r, uint64_t type)
{
    struct mr_frame_ack ack;
    struct mr_frame_stream stream;
    struct mr_frame_crypto crypto;
    struct mr_frame_new_connection_id cid;
    struct mr_frame_connection_close close;
    struct mr_frame_new_token token;
    struct mr_frame_datagram datagram;
    struct mr_frame_observed_address observed;
    uint64_t path;

    if (mr_frame_type_is_stream(type))
        return mr_frame_decode_stream(r, type, &stream);
    switch (type) {
    case MR_FRAME_PADDING:
        mr_frame_skip_padding(r);
        return true;
    case MR_FRAME_PING:
    case MR_FRAME_HANDSHAKE_DONE:
    case MR_FRAME_IMMEDIATE_ACK:
        return true;
    case MR_FRAME_ACK:
    case MR_FRAME_ACK_ECN:
        return mr_frame_decode_ack(r, type, &ack);
    case MR_FRAME_CRYPTO:
        return mr_frame_decode_crypto(r, type, &crypto);
    case MR_FRAME_NEW_TOKEN:
        return mr_frame_decode_new_token(r, type, &token);
    case MR_FRAME_PATH_ACK:
    case MR_FRAME_PATH_ACK_ECN:
        return mr_frame_decode_path_ack(r, type, &path, &ack);
    case MR_FRAME_PATH_NEW_CONNECTION_ID:
        return mr_frame_decode_path_new_connection_id(r, type, &path, &cid);
    case MR_FRAME_NEW_CONNECTION_ID:
        return mr_frame_decode_new_connection_id(r, type, &cid);
    case MR_FRAME_CONNECTION_CLOSE:
    case MR_FRAME_CONNECTION_CLOSE_APP:
        return mr_frame_decode_connection_close(r, type, &close);
    case MR_FRAME_PATH_CHALLENGE:
    case MR_FRAME_PATH_RESPONSE:
        return mr_read_bytes(r, MR_PATH_DATA) != NULL;
    case MR_FRAME_DATAGRAM:
    case MR_FRAME_DATAGRAM_LEN:
        return mr_frame_decode_datagram(r, type, &datagram);
    case MR_FRAME_OBSERVED_ADDRESS_4:
    case MR_FRAME_OBSERVED_ADDRESS_6:
        return mr_frame_decode_observed_address(r, type, &observed);
    case MR_FRAME_ACK_FREQUENCY:
    case MR_FRAME_RESET_STREAM_AT:
        return skip_integers(r, 4);
    case MR_FRAME_RESET_STREAM:
        return skip_integers(r, 3);
    case MR_FRAME_STOP_SENDING:
    case MR_FRAME_MAX_STREAM_DATA:
    case MR_FRAME_STREAM_DATA_BLOCKED:
    case MR_FRAME_PATH_ABANDON:
    case MR_FRAME_PATH_STATUS_BACKUP:
    case MR_FRAME_PATH_STATUS_AVAILABLE:
    case MR_FRAME_PATH_RETIRE_CONNECTION_ID:
    case MR_FRAME_PATH_CIDS_BLOCKED:
        return skip_integers(r, 2);
    default:
        return skip_integers(r, 1);
    }
}

const struct peer_packet *peer_next_frame(const struct peer *p, struct peer_walk *walk,
                                          uint64_t *type_out, struct mr_reader *r)
{
    struct mr_reader *rest = &walk->rest;

    while (rest->failed || mr_reader_left(rest) == 0 ||
           mr_frame_read_type(rest, type_out) != MR_FRAME_TYPE_OK) {
        if (walk->next == p->inbox_count)
            return NULL;
        const struct peer_packet *packet = &p->inbox[walk->next++];
        *rest = mr_reader(packet->bytes, packet->is_open ? packet->size : 0);
    }
    *r = *rest;
    rest->failed = !skip_frame(rest, *type_out);
    return &p->inbox[walk->next - 1];
}

const struct peer_packet *peer_find(const struct peer *p, uint64_t type, uint32_t nth,
                                    struct mr_reader *r)
{
    const struct peer_packet *packet;
    struct peer_walk walk = {0};
    uint64_t found;

    while ((packet = peer_next_frame(p, &walk, &found, r)) != NULL) {
        bool is_it = found == type || (type == MR_FRAME_STREAM && mr_frame_type_is_stream(found));

        if (is_it && nth-- == 0)
            return packet;
    }
    return NULL;
}

uint32_t peer_count(const struct peer *p, uint64_t type)
{
    struct mr_reader r;
    uint32_t count = 0;

    while (peer_find(p, type, count, &r) != NULL)
        count++;
    return count;
}

uint64_t peer_close_error(const struct peer *p, uint64_t *frame_type_out)
{
    struct mr_frame_connection_close close;
    struct mr_reader r;

    if (peer_find(p, MR_FRAME_CONNECTION_CLOSE, 0, &r) == NULL ||
        !mr_frame_decode_connection_close(&r, MR_FRAME_CONNECTION_CLOSE, &close))
        return PEER_NO_CLOSE;
    if (frame_type_out != NULL)
        *frame_type_out = close.frame_type;
    return close.error;
}

const struct peer_event *peer_event(const struct peer *p, uint32_t kinds)
{
    uint32_t count = MR_MIN(p->event_count, (uint32_t)PEER_EVENTS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        if ((p->events[i].event.kinds & kinds) != 0)
            return &p->events[i];
    }
    return NULL;
}
