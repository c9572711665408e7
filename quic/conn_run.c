/*
 * quic/conn_run.c - a run: full packets of one stream's new data and nothing else, built together.
 *
 *     +-------+------+----+------+-----------+--------+--------+----------- - - -+-----+
 *     | flags | DCID | PN | type | stream ID | offset | length | data (by copy)  | tag |
 *     +-------+------+----+------+-----------+--------+--------+----------- - - -+-----+
 *      same    same        same   same                  same
 *
 * Bulk data is nearly all of what a busy sender sends.  What the general way (conn_send.c) asks for
 * each packet - producers, keys, window, pacer, flow control, the queue - is asked here once for a
 * visit, and what is the same in every header is written once.  Packet number and offset are as
 * long as the last packet needs.  Whatever is not plain bulk data is left to the general way.
 */
#include "quic/conn_build.h"
#include "quic/sent_run.h"

#define HALF 32 /* bytes that the headers of most runs fit into */

/* The header of a run's next packet, and what the others are like. */
struct run {
    uint8_t header[2 * HALF]; /* up to the data, and undefined bytes */
    uint64_t pn_word;         /* the eight bytes there, and what a packet adds to them */
    uint64_t pn_step;
    uint64_t offset_word;
    uint64_t offset_step;
    uint32_t pn_at; /* in the packet */
    uint32_t frame_at;
    uint32_t offset_at;
    uint32_t data_at;
    uint32_t pn_size;
    uint32_t data_size; /* of each packet */
    uint32_t size;      /* of each packet, tag included */
    uint8_t ecn;        /* mark of each */
    uint8_t flags;      /* of each record: enum mr_sent_flags */
};

/* The first and the last of something, both included. */
struct span {
    uint64_t first;
    uint64_t last;
};

/* With the eight bytes that a word at the last field may write. */
_Static_assert(MR_SHORT_HEADER_MAX + 1 + 4 * MR_VARINT_SIZE_MAX <= 2 * HALF, "a header fits");

/* ------------------------------------------------------------------ may it be one */

/* Nothing but stream data is wanted, on a path without limits of its own. */
MR_INLINE bool is_plain(const struct mr_conn *conn)
{
    return conn->app.wants == MR_WANT_STREAM && conn->app.unacked_count == 0 &&
           conn->app.probes == 0 && conn->state == MR_CONN_OPEN && conn->is_confirmed &&
           conn->path.is_validated && conn->sendable.head != MR_NONE && !mr_conn_is_traced(conn);
}

/* Packets of `size` that window and pacer let out, as if asked for one after the other. */
static uint32_t allowed_packets(struct mr_conn *conn, uint32_t size, uint64_t now)
{
    uint64_t by_window = mr_cc_room(&conn->path.cc) / size;
    uint64_t by_pacer = (mr_pacer_allow(&conn->path.pacer, now) + size - 1) / size;

    return (uint32_t)MR_MIN(MR_MIN(by_window, by_pacer), UINT32_MAX);
}

/* Packets until a number must be left out, or the key is used up. */
static uint32_t allowed_numbers(const struct mr_conn *conn)
{
    const struct mr_key_state *keys = &conn->key_state;
    uint64_t next = mr_sent_next(&conn->app.sent);
    uint64_t by_skip = conn->skip_pn > next ? conn->skip_pn - next : 0;
    uint64_t by_key = mr_cipher_seal_limit(keys->seal.cipher) - keys->sealed_count;

    return (uint32_t)MR_MIN(MR_MIN(by_skip, by_key), UINT32_MAX);
}

/* ------------------------------------------------------------------ headers */

/* Lay out packets that fill `room` bytes, from number `pn` and offset `offset` on, with room for
 * number `last_pn` and offset `last_offset`. */
static void lay_out(struct run *r, struct mr_conn *conn, const struct mr_stream *stream,
                    uint32_t room, struct span pn, struct span offset)
{
    struct mr_writer w = mr_writer(r->header, sizeof(r->header));

    r->pn_size = mr_space_pn_size(&conn->app, pn.last);
    mr_conn_write_short(conn, &w, &mr_cid_current(conn)->cid, pn.first, (uint8_t)r->pn_size);
    r->frame_at = (uint32_t)mr_writer_size(&w);
    r->pn_at = r->frame_at - r->pn_size;

    uint8_t *frame = r->header + r->frame_at;
    frame[0] = MR_FRAME_STREAM | MR_STREAM_OFF | MR_STREAM_LEN;
    r->offset_at = r->frame_at + 1 + (uint32_t)mr_varint_put(&frame[1], stream->id);
    uint32_t offset_size = (uint32_t)mr_varint_size(offset.last);
    uint32_t length_at = r->offset_at + offset_size;
    r->size = room;
    r->data_size =
        (uint32_t)mr_frame_data_max(room - MR_AEAD_TAG - r->frame_at, length_at - r->frame_at);
    r->data_at = room - MR_AEAD_TAG - r->data_size;
    mr_varint_put_long(r->header + r->offset_at, offset.first, offset_size);
    mr_varint_put_long(r->header + length_at, r->data_size, r->data_at - length_at);

    r->pn_word = mr_load_be64(r->header + r->pn_at);
    r->pn_step = UINT64_C(1) << (64 - 8 * r->pn_size);
    r->offset_word = mr_load_be64(r->header + r->offset_at);
    r->offset_step = (uint64_t)r->data_size << (64 - 8 * offset_size);
    r->ecn = conn->path.ecn.mark;
    r->flags = MR_SENT_ACK_ELICITING | MR_SENT_IN_FLIGHT;
    if (r->ecn != MR_ECN_NOT_ECT)
        r->flags |= MR_SENT_ECT;
}

/*
 * Write the header of the next packet: what is the same in all, then number and offset, with the
 * bytes that follow them.  What is written too much lies where data comes later.
 */
MR_INLINE void write_header(struct run *r, uint8_t *packet)
{
    memcpy(packet, r->header, HALF);
    if (r->data_at > HALF)
        memcpy(packet + HALF, r->header + HALF, HALF);
    mr_store_be64(packet + r->pn_at, r->pn_word);
    mr_store_be64(packet + r->offset_at, r->offset_word);
    r->pn_word += r->pn_step; /* what is carried out of the number is not sent either */
    r->offset_word += r->offset_step;
}

/* ------------------------------------------------------------------ packets */

/* Record at most `count` packets as sent.  Returns how many there was memory for. */
static uint32_t record(const struct run *r, struct mr_conn *conn, const struct mr_stream *stream,
                       uint64_t offset, uint32_t count, uint64_t now)
{
    struct mr_sent *sent = &conn->app.sent;
    struct mr_sent_info info = {
        .time_ns = now, .size = (uint16_t)r->size, .flags = r->flags, .path = conn->path.number};
    struct mr_sent_frame frame = {.offset = offset,
                                  .object = mr_stream_key(stream),
                                  .length = (uint16_t)r->data_size,
                                  .kind = MR_SENT_STREAM};
    uint32_t done = 0;

    while (done < count && mr_sent_reserve(sent))
        done += mr_sent_commit_run(sent, &info, &frame, count - done);
    return done;
}

/* Build `count` packets, the first with number `pn`: headers, jobs. */
static void build(struct run *r, struct mr_endpoint *ep, const struct mr_conn *conn,
                  const struct mr_conn_keys *keys, const uint8_t *data, struct mr_outgoing *out,
                  uint32_t count, uint64_t pn)
{
    struct mr_seal_copy *copy = &ep->copies[ep->copy_count];
    struct mr_seal_job *job = &ep->seal_jobs[ep->seal_count];
    struct mr_seal_job like = {.key = &keys->seal,
                               .hp = &keys->seal_hp,
                               .path_id = MR_PATH_0,
                               .header_size = (uint16_t)r->frame_at,
                               .payload_size = (uint16_t)(r->size - MR_AEAD_TAG - r->frame_at),
                               .pn_size = (uint16_t)r->pn_size,
                               .copy_count = 1};

    const uint32_t data_size = r->data_size;
    const uint32_t data_at = r->data_at;

    ep->copy_count += count;
    ep->seal_count += count;
    for (; count > 0; count--, out++, job++, copy++) {
        write_header(r, out->data);
        *copy = (struct mr_seal_copy){.source = data, .size = data_size, .at = data_at};
        data += data_size;
        memcpy(job, &like, offsetof(struct mr_seal_job, packet));
        job->packet = out->data;
        job->copies = copy;
        job->pn = pn++;
        out->path = conn->path.addr;
        out->size = r->size;
        out->ecn = r->ecn;
    }
}

static void count_sent(const struct run *r, struct mr_endpoint *ep, struct mr_conn *conn,
                       struct mr_stream *stream, uint32_t packets, uint64_t now)
{
    struct mr_sent_batch batch = {.packets = packets,
                                  .bytes = (uint64_t)packets * r->size,
                                  .is_ack_eliciting = true,
                                  .is_in_flight = true,
                                  .is_marked = r->ecn != MR_ECN_NOT_ECT};
    struct mr_send_span span = {.offset = stream->send.next_offset, .size = packets * r->data_size};

    mr_send_queue_take(&stream->send, &ep->send_pools, span.size);
    mr_stream_sent(ep, conn, stream, &span, false);
    mr_stream_rotate(ep, conn, stream);
    if (conn->sendable.head == MR_NONE)
        conn->app.wants &= ~(uint32_t)MR_WANT_STREAM;
    mr_conn_count_sent(ep, conn, MR_SPACE_APP, &batch, now);
    mr_conn_count_datagrams(ep, conn, packets, batch.bytes);
}

uint32_t mr_conn_send_run(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_outgoing *out,
                          uint32_t count, uint64_t now)
{
    struct run r;

    if (count == 0 || !is_plain(conn))
        return 0;
    struct mr_stream *stream = mr_stream_at(ep, conn->sendable.head);
    struct mr_view data =
        mr_send_queue_run(&stream->send, &ep->send_pools, mr_stream_flow_limit(conn, stream));
    uint64_t offset = stream->send.next_offset;
    uint32_t room = MR_MIN(conn->path.mtu, out[0].room);
    if (data.size < room)
        return 0;
    if (!mr_schedule_is_alone(&conn->sendable, stream))
        count = MR_MIN(count, (uint32_t)MR_TURN_PACKETS);
    count = MR_MIN(MR_MIN(count, allowed_numbers(conn)), allowed_packets(conn, room, now));
    if (count == 0)
        return 0;
    const struct mr_conn_keys *keys = mr_keys_for_seal(ep, conn, now); /* may change the phase */
    if (keys == NULL)
        return 0;

    uint64_t pn = mr_sent_next(&conn->app.sent);
    lay_out(&r, conn, stream, room, (struct span){pn, pn + count - 1},
            (struct span){offset, offset + (uint64_t)(count - 1) * room});
    count = (uint32_t)MR_MIN((uint64_t)count, data.size / r.data_size);
    count = record(&r, conn, stream, offset, count, now);
    if (count == 0)
        return 0;
    build(&r, ep, conn, keys, data.data, out, count, pn);
    count_sent(&r, ep, conn, stream, count, now);
    return count;
}
