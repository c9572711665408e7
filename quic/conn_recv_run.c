/*
 * quic/conn_recv_run.c - runs received: packets of a burst that each bring the next bytes of one
 * stream and nothing else, or an ACK that the next one makes superfluous.
 *
 * The counterpart of conn_run.c.  A packet belongs to the run when it is the next in number, came
 * by the path in use, with the ECN mark of those before but not CE, and holds one STREAM frame,
 * with offset, length and no FIN, that begins where the stream's ready bytes end.  It goes straight
 * into the receive queue; what the general way (conn_recv.c) does once per packet - packet numbers,
 * flow control, timers, events - is done once for the run.  Whatever is not as plain is left to the
 * general way.
 *
 * A peer that acknowledges every second packet sends many ACKs in a burst, each with what the one
 * before says and more.  The last of them is handled, in the general way, as if the others had been
 * lost; of those, that they came is recorded.
 */
#include "quic/conn_bits.h"

#define FRAME_TYPE       (MR_FRAME_STREAM | MR_STREAM_OFF | MR_STREAM_LEN)
#define FRAME_HEADER_MAX (1 + 3 * MR_VARINT_SIZE_MAX) /* type, stream ID, offset, length */

struct run {
    struct mr_endpoint *ep;
    struct mr_conn *conn;
    struct mr_stream *stream;
    uint64_t next_pn;
    uint64_t room;  /* bytes that flow control still allows */
    uint64_t bytes; /* taken */
    uint8_t ecn;    /* of all of them */
};

/* The connection can take part.  False: it cannot. */
MR_INLINE bool begin(struct run *r, struct mr_endpoint *ep, struct mr_conn *conn, uint8_t ecn)
{
    if (ecn == MR_ECN_CE || conn->state != MR_CONN_OPEN || !conn->path.is_validated ||
        conn->app.received.count == 0 || mr_conn_is_traced(conn))
        return false;
    *r = (struct run){
        .ep = ep, .conn = conn, .ecn = ecn, .next_pn = conn->app.received.range[0].hi + 1};
    return true;
}

/* Nothing but data is expected of its packets, too. */
static bool begin_data(struct run *r, struct mr_endpoint *ep, struct mr_conn *conn, uint8_t ecn)
{
    if (conn->last_stream == MR_NONE || !begin(r, ep, conn, ecn))
        return false;

    struct mr_stream *stream = mr_stream_at(ep, conn->last_stream);
    if (stream->is_gone || stream->recv.is_discarding ||
        stream->recv.final_size != MR_RECV_SIZE_UNKNOWN ||
        stream->recv.ready_to != stream->recv.highest) /* something waits for a gap to close */
        return false;

    r->stream = stream;
    r->room = MR_MIN(conn->flow_recv.limit - conn->flow_recv.received,
                     stream->flow_recv.limit - stream->flow_recv.received);
    return true;
}

/* Is it, in number and path and mark, the run's next packet? */
MR_INLINE bool is_next(const struct run *r, const struct mr_slot *slot,
                       const struct mr_open_job *job)
{
    return job->is_open && job->pn == r->next_pn && !mr_packet_has_reserved_bits(job->packet[0]) &&
           slot->datagram->ecn == r->ecn &&
           mr_path_addr_equal(&slot->datagram->path, &r->conn->path.addr);
}

/* The STREAM frame that fills the payload of a packet; false: it is not like that. */
MR_INLINE bool read_frame(const struct mr_open_job *job, struct mr_frame_stream *frame)
{
    const uint8_t *at = job->packet + job->header_size;
    uint32_t left = (uint32_t)job->size - job->header_size - MR_AEAD_TAG;
    const uint8_t *end = at + left;

    if (left < FRAME_HEADER_MAX || *at++ != FRAME_TYPE) /* so all of these bytes are readable */
        return false;
    frame->stream_id = mr_varint_take(&at);
    frame->offset = mr_varint_take(&at);
    frame->size = mr_varint_take(&at);
    frame->data = at;
    return frame->size == (uint64_t)(end - at);
}

/* Is it the run's next packet?  Then its frame goes to the stream. */
MR_INLINE bool take(struct run *r, const struct mr_slot *slot, const struct mr_open_job *job)
{
    const struct mr_datagram *d = slot->datagram;
    struct mr_recv_queue *queue = &r->stream->recv;
    struct mr_frame_stream frame;

    if (!is_next(r, slot, job) || !read_frame(job, &frame))
        return false;
    if (frame.stream_id != r->stream->id || frame.offset != queue->ready_to ||
        frame.size > r->room || mr_conn_copies_small(d, frame.size) ||
        r->ep->recv_pools.pinned_count >= r->ep->limits.pinned_max)
        return false;

    d->buf->references = 0; /* the queue's is the only one */
    if (!mr_recv_queue_append(queue, &r->ep->recv_pools, frame.data, d->buf, (uint32_t)frame.size))
        return false;
    r->next_pn++;
    r->room -= frame.size;
    r->bytes += frame.size;
    return true;
}

/* What each of `packets` would have changed, whatever is in it, at once; `last` is the last of
 * them.
 */
MR_INLINE void finish(const struct run *r, const struct mr_slot *last, uint32_t packets,
                      uint64_t now)
{
    const struct mr_open_job *job = &r->ep->open_jobs[last->job];
    struct mr_conn *conn = r->conn;
    struct mr_pn_space *space = &conn->app;

    mr_conn_touch(r->ep, conn);
    mr_keys_note_opened(r->ep, conn, job->pn + 1 - packets, now);
    mr_ack_ranges_add_next(&space->received, packets);
    space->largest_at_ns = now;
    mr_spin_follow(conn, job->packet[0]);
    conn->last_received_ns = conn->idle_base_ns = now;
    if (r->ecn != MR_ECN_NOT_ECT) {
        *(r->ecn == MR_ECN_ECT0 ? &space->ecn.ect0 : &space->ecn.ect1) += packets;
        space->has_ecn = true;
    }
    mr_count_add(&r->ep->counters.packets_received, packets);
    space->was_ce = false;
}

/* And what their data would have. */
MR_INLINE void finish_data(const struct run *r, uint32_t packets, uint64_t now)
{
    struct mr_conn *conn = r->conn;
    struct mr_pn_space *space = &conn->app;

    space->unacked_count = (uint16_t)MR_MIN(space->unacked_count + packets, (uint32_t)UINT16_MAX);
    if (space->ack_deadline_ns == MR_NEVER)
        space->ack_deadline_ns = now + conn->ack_policy.max_delay_ns;
    mr_stream_count_received(r->ep, conn, r->stream, r->bytes);
    mr_stream_event(r->ep, r->stream, MR_EVENT_READABLE);
}

uint32_t mr_conn_receive_run(struct mr_endpoint *ep, const struct mr_slot *slots, uint32_t count,
                             uint64_t now)
{
    struct run r;
    const struct mr_open_job *job = &ep->open_jobs[slots[0].job];
    uint32_t n = 0;

    if (!begin_data(&r, ep, mr_conn_at(ep, slots[0].conn), slots[0].datagram->ecn))
        return 0;
    /* Slots of one kind that follow each other have jobs that do. */
    for (const struct mr_slot *slot = slots; n < count; n++, slot++, job++)
        if (slot->kind != MR_SLOT_FAST || slot->conn != slots->conn || !take(&r, slot, job))
            break;
    if (n == 0)
        return 0;
    finish(&r, &slots[n - 1], n, now);
    finish_data(&r, n, now);
    return n;
}

/* ------------------------------------------------------------------ acknowledgements */

/* An ACK frame, as far as it matters here. */
struct head {
    uint64_t largest;
    uint64_t smallest; /* of the first range */
    uint8_t type;
    bool is_all; /* there are no other ranges, and nothing else is in the packet */
};

/* The payload of a packet begins with an ACK frame; false: with something else. */
static bool read_head(const struct mr_open_job *job, struct head *head)
{
    const uint8_t *payload = job->packet + job->header_size;
    struct mr_reader r = mr_reader(payload, (size_t)job->size - job->header_size - MR_AEAD_TAG);

    head->type = mr_read_u8(&r);
    if (r.failed || (head->type & ~1u) != MR_FRAME_ACK)
        return false;
    head->largest = mr_read_varint(&r);
    (void)mr_read_varint(&r); /* delay */
    uint64_t range_count = mr_read_varint(&r);
    uint64_t first_range = mr_read_varint(&r);
    if (r.failed || first_range > head->largest)
        return false;
    head->smallest = head->largest - first_range;
    for (int i = 0; i < 3 && head->type == MR_FRAME_ACK_ECN && range_count == 0; i++)
        (void)mr_read_varint(&r);
    head->is_all = range_count == 0 && !r.failed && mr_reader_left(&r) == 0;
    return true;
}

/* The first of two tells nothing that the second does not. */
static bool is_within(const struct head *first, const struct head *second)
{
    return first->is_all && first->type == second->type && first->smallest >= second->smallest &&
           first->largest <= second->largest;
}

uint32_t mr_conn_receive_acks(struct mr_endpoint *ep, const struct mr_slot *slots, uint32_t count,
                              uint64_t now)
{
    const struct mr_open_job *job = &ep->open_jobs[slots[0].job];
    struct head heads[2];
    struct run r;
    uint32_t n = 0;

    if (count < 2 || slots[1].conn != slots[0].conn || slots[1].kind != MR_SLOT_FAST ||
        !begin(&r, ep, mr_conn_at(ep, slots[0].conn), slots[0].datagram->ecn) ||
        !is_next(&r, &slots[0], job) || !read_head(job, &heads[0]))
        return 0;
    for (; n + 1 < count; n++) {
        const struct mr_slot *next = &slots[n + 1];

        r.next_pn++;
        if (next->kind != MR_SLOT_FAST || next->conn != slots[0].conn ||
            !is_next(&r, next, &job[n + 1]) || !read_head(&job[n + 1], &heads[~n & 1]) ||
            !is_within(&heads[n & 1], &heads[~n & 1]))
            break;
    }
    if (n == 0)
        return 0;
    finish(&r, &slots[n - 1], n, now);
    mr_count_add(&ep->counters.acks_received, n);
    return n;
}
