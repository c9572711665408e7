/* quic/stream_rest.c - see stream_rest.h. */
#include "quic/stream_rest.h"

#include "base/compiler.h"
#include "quic/pack.h"
#include "quic/varint.h"

enum {
    WORD = 8,
    WORDS = sizeof(struct mr_stream) / WORD,
    LENGTH_SIZE = 2 /* of a varint, whatever it says */
};

_Static_assert(sizeof(struct mr_stream) % WORD == 0 && WORDS <= MR_PACK_WORDS_MAX,
               "packed in words");
_Static_assert(MR_STREAM_REST_MAX < 1 << 14, "a varint of 2 bytes says its size");

static bool send_rests(const struct mr_stream *stream)
{
    const struct mr_send_queue *q = &stream->send;

    if (q->head != MR_NONE || q->lost.count > 0 || q->acked.count > 0)
        return false;
    return mr_send_state_is_final((enum mr_send_state)stream->send_state) ||
           (q->acked_to == q->end_offset && q->has_fin == q->is_fin_acked);
}

static bool recv_rests(const struct mr_recv_queue *q)
{
    return q->ready_head == MR_NONE && q->run_head == MR_NONE && q->block == MR_NONE &&
           q->pinned_count == 0;
}

bool mr_stream_rests(const struct mr_stream *stream)
{
    return !stream->is_dirty && stream->pending_events == 0 && !stream->is_sendable &&
           !stream->is_controlled && !stream->is_gone && send_rests(stream) &&
           recv_rests(&stream->recv);
}

/* What is the same in other words is 0 afterwards, and small where it is nearly so. */
static void fold(struct mr_stream *s)
{
    s->flow_recv.consumed ^= s->recv.released_to;
    s->flow_recv.received ^= s->recv.highest;
    s->recv.highest ^= s->recv.ready_to;
    s->recv.ready_to ^= s->recv.released_to;
    s->recv.shown_to ^= s->recv.released_to;
    s->flow_send.used ^= s->send.acked_to;
    s->send.end_offset ^= s->send.next_offset;
    s->send.next_offset ^= s->send.acked_to;
}

/* fold(), backwards. */
static void unfold(struct mr_stream *s)
{
    s->send.next_offset ^= s->send.acked_to;
    s->send.end_offset ^= s->send.next_offset;
    s->flow_send.used ^= s->send.acked_to;
    s->recv.shown_to ^= s->recv.released_to;
    s->recv.ready_to ^= s->recv.released_to;
    s->recv.highest ^= s->recv.ready_to;
    s->flow_recv.received ^= s->recv.highest;
    s->flow_recv.consumed ^= s->recv.released_to;
}

/* Where it lies, and between whom. */
static void take_place_of(struct mr_stream *stream, const struct mr_stream *fresh)
{
    stream->index = fresh->index;
    stream->generation = fresh->generation;
    stream->conn = fresh->conn;
    stream->dirty_next = fresh->dirty_next;
    stream->send_next = fresh->send_next;
    stream->send_previous = fresh->send_previous;
    stream->send_child = fresh->send_child;
    stream->control_next = fresh->control_next;
    stream->conn_next = fresh->conn_next;
    stream->conn_previous = fresh->conn_previous;
}

size_t mr_stream_rest_pack(const struct mr_stream *stream, const struct mr_stream *fresh,
                           uint8_t *out, size_t room)
{
    struct mr_stream copy = *stream;
    size_t head = mr_varint_size(stream->id) + LENGTH_SIZE;

    MR_ASSERT(stream->id == fresh->id);
    if (room < head)
        return 0;
    take_place_of(&copy, fresh);
    fold(&copy);
    size_t size = mr_pack(&copy, fresh, WORDS, out + head, room - head);
    if (size == 0)
        return 0;
    size_t at = mr_varint_put(out, stream->id);
    out[at] = (uint8_t)(0x40 | size >> 8);
    out[at + 1] = (uint8_t)size;
    return head + size;
}

size_t mr_stream_rest_id(const uint8_t *packed, size_t size, uint64_t *id_out)
{
    return mr_varint_get(packed, size, id_out);
}

size_t mr_stream_rest_unpack(struct mr_stream *stream_out, const struct mr_stream *fresh,
                             const uint8_t *packed, size_t size)
{
    uint64_t id;
    uint64_t length;
    size_t at = mr_varint_get(packed, size, &id);
    size_t more = at == 0 ? 0 : mr_varint_get(packed + at, size - at, &length);

    if (more == 0 || id != fresh->id || length > size - at - more)
        return 0;
    at += more;
    if (!mr_unpack(stream_out, fresh, WORDS, packed + at, (size_t)length))
        return 0;
    unfold(stream_out);
    return at + (size_t)length;
}
