/*
 * app/transport_send.c - see transport_internal.h: what is sent.
 *
 *     send() --> segments --pump--> records --SEND--> the datapath
 *                the caller's       blocks of the     acknowledged: freed
 *                bytes              send area, or
 *                                   the caller's
 *
 * A stream's records are in order of its bytes.  Those that the datapath refused for want of a
 * record of its own are the last ones; they are submitted again once all of them are back.
 *
 * A stream that has anything out gets more only within its share of the send area and of SENDs,
 * which falls as these fill up: so streams that do not go on, however many, leave something to the
 * others.
 */
#include <errno.h>

#include "app/transport_internal.h"
#include "app/transport_send.h"

static struct mr_rt_segment *segment_at(const struct mr_ring_transport *t, uint32_t index)
{
    return mr_pool_at(&t->segments, index);
}

static struct mr_rt_record *record_at(const struct mr_ring_transport *t, uint32_t index)
{
    return mr_pool_at(&t->records, index);
}

/* ------------------------------------------------------------------ segments */

static void free_segment(struct mr_ring_transport *t, struct mr_rt_object *object, bool with_block)
{
    uint32_t index = mr_rt_queue_pop(&t->segments, &object->stream.segments);

    if (with_block)
        mr_ring_free(t->rings[segment_at(t, index)->ring].ring, segment_at(t, index)->block);
    object->stream.head_done = 0;
    mr_pool_put(&t->segments, index);
}

static void add_segment(struct mr_ring_transport *t, struct mr_rt_object *object,
                        const struct mr_rt_segment *segment)
{
    uint32_t index = mr_pool_get(&t->segments);

    *segment_at(t, index) = *segment;
    mr_rt_queue_push(&t->segments, &object->stream.segments, index);
    object->stream.queued_to += segment->size;
}

/* All views together, copied now. */
static int add_copy(struct mr_ring_transport *t, struct mr_rt_object *object,
                    const struct mr_view *views, size_t count, size_t total)
{
    uint8_t *block = mr_ring_alloc(mr_rt_ring_of(t, object)->ring, total);
    size_t at = 0;

    if (block == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (views[i].size > 0)
            memcpy(block + at, views[i].data, views[i].size);
        at += views[i].size;
    }
    t->stats.bytes_copied += total;
    add_segment(
        t, object,
        &(struct mr_rt_segment){
            .data = block, .size = total, .block = block, .is_direct = true, .ring = object->ring});
    return 0;
}

static void add_views(struct mr_ring_transport *t, struct mr_rt_object *object,
                      const struct mr_view *views, size_t count)
{
    const struct mr_ring *ring = mr_rt_ring_of(t, object)->ring;

    for (size_t i = 0; i < count; i++)
        if (views[i].size > 0)
            add_segment(t, object,
                        &(struct mr_rt_segment){
                            .data = views[i].data,
                            .size = views[i].size,
                            .is_direct = mr_ring_owns(ring, views[i].data, views[i].size)});
}

static int add_bytes(struct mr_ring_transport *t, struct mr_rt_object *object,
                     const struct mr_view *views, size_t count, uint32_t flags)
{
    struct mr_rt_stream *s = &object->stream;
    size_t total = mr_views_size(views, count);
    uint64_t queued = s->queued_to - s->acked_to;

    if ((flags & MR_SEND_COPY) != 0 && total > MR_RT_COPY_MAX)
        return -EMSGSIZE;
    if (total > 0 && queued > 0 && queued + total > t->config.queue_bytes) {
        s->was_refused = true;
        return -EAGAIN;
    }
    if (mr_pool_free_count(&t->segments) < count + 1)
        return -ENOMEM;
    if ((flags & MR_SEND_COPY) != 0 && total > 0)
        return add_copy(t, object, views, count, total);
    add_views(t, object, views, count);
    return 0;
}

int mr_rt_send(struct mr_ring_transport *t, struct mr_rt_object *object,
               const struct mr_view *views, size_t count, uint32_t flags)
{
    struct mr_rt_stream *s = &object->stream;
    uint32_t wants = flags & (MR_SEND_FIN | MR_SEND_NOTIFY);

    if (!s->can_send || s->has_fin_queued || s->is_send_over)
        return -EPIPE;
    uint64_t begin = s->queued_to;
    int result = add_bytes(t, object, views, count, flags);
    if (result != 0)
        return result;
    if (wants != 0 && s->queued_to == begin)
        add_segment(t, object, &(struct mr_rt_segment){.is_direct = true});
    if (wants != 0)
        segment_at(t, s->segments.tail)->flags |= wants;
    s->has_fin_queued = (flags & MR_SEND_FIN) != 0;
    if ((flags & MR_SEND_NOTIFY) != 0)
        s->notify_to = s->queued_to;
    if (s->segments.head != MR_NONE)
        mr_rt_push(t, &mr_rt_ring_of(t, object)->lists[MR_RT_PUMP], MR_RT_PUMP, object);
    return 0;
}

/* ------------------------------------------------------------------ records */

static uint8_t sqe_flags(uint32_t flags)
{
    return (uint8_t)(((flags & MR_SEND_FIN) != 0 ? MR_SQE_FIN : 0) |
                     ((flags & MR_SEND_NOTIFY) != 0 ? MR_SQE_NOTIFY : 0) | MR_SQE_QUIET);
}

static void write_sqe(const struct mr_ring_transport *t, const struct mr_rt_object *object,
                      const struct mr_rt_record *record, struct mr_sqe *sqe)
{
    mr_sqe_send(sqe, object->wire, record->address, record->size, record->flags);
    sqe->user_data = mr_rt_record_word(t, record);
}

static void add_record(struct mr_ring_transport *t, struct mr_rt_object *object,
                       struct mr_rt_record *record, uint32_t flags)
{
    struct mr_rt_stream *s = &object->stream;
    uint32_t index = mr_pool_index(&t->records, record);

    record->flags = sqe_flags(flags);
    s->submitted_to += record->size;
    record->end = s->submitted_to;
    s->record_count++;
    if (s->records.head == MR_NONE)
        s->records.head = index;
    else
        record_at(t, s->records.tail)->next = index;
    s->records.tail = index;
}

/* A part of the first segment as it is. */
static bool make_direct(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    struct mr_rt_ring *ring = mr_rt_ring_of(t, object);
    struct mr_rt_stream *s = &object->stream;
    struct mr_rt_segment *segment = segment_at(t, s->segments.head);
    struct mr_rt_record *record = mr_rt_record_new(t, object, MR_OP_SEND, NULL);

    if (record == NULL)
        return false;
    uint64_t left = segment->size - s->head_done;
    record->size = (uint32_t)MR_MIN(left, (uint64_t)MR_RT_CHUNK_DIRECT);
    record->address =
        record->size == 0
            ? mr_ring_offset(ring->ring, ring->ring->region.base + ring->ring->region.send_at)
            : mr_ring_offset(ring->ring, segment->data + s->head_done);
    s->head_done += record->size;
    bool is_all = s->head_done == segment->size;
    if (is_all && segment->block != NULL) {
        record->block = segment->block;
        record->ring = segment->ring; /* by reference it may be another one's */
    }
    add_record(t, object, record, is_all ? segment->flags : 0);
    if (is_all)
        free_segment(t, object, false);
    return true;
}

/* Bytes of segments that have to be copied, from the first on, at most a chunk. */
static uint32_t copyable(const struct mr_ring_transport *t, const struct mr_rt_stream *s)
{
    uint64_t total = 0;
    uint64_t done = s->head_done;

    for (uint32_t i = s->segments.head; i != MR_NONE && total < MR_RT_CHUNK;
         i = segment_at(t, i)->next) {
        if (segment_at(t, i)->is_direct)
            break;
        total += segment_at(t, i)->size - done;
        done = 0;
    }
    return (uint32_t)MR_MIN(total, (uint64_t)MR_RT_CHUNK);
}

/* A block for `*size` bytes, or for less if there is not that much together. */
static uint8_t *take_block(struct mr_rt_ring *ring, uint32_t *size)
{
    for (uint32_t wanted = *size;; wanted /= 2) {
        uint8_t *block = mr_ring_alloc(ring->ring, wanted);

        if (block != NULL)
            *size = wanted;
        if (block != NULL || wanted < 2 * MR_SEND_BLOCK_MIN)
            return block;
    }
}

/* Copy segments together into a block. */
static bool make_copied(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    struct mr_rt_ring *ring = mr_rt_ring_of(t, object);
    struct mr_rt_stream *s = &object->stream;
    uint32_t size = copyable(t, s);
    uint8_t *block = take_block(ring, &size);
    struct mr_rt_record *record =
        block == NULL ? NULL : mr_rt_record_new(t, object, MR_OP_SEND, block);
    uint32_t flags = 0;

    if (record == NULL) {
        mr_ring_free(ring->ring, block);
        return false;
    }
    for (uint32_t at = 0; at < size;) {
        const struct mr_rt_segment *segment = segment_at(t, s->segments.head);
        uint64_t left = segment->size - s->head_done;
        uint32_t part = (uint32_t)MR_MIN(left, (uint64_t)(size - at));

        memcpy(block + at, segment->data + s->head_done, part);
        at += part;
        s->head_done += part;
        if (part < left)
            break;
        flags |= segment->flags;
        free_segment(t, object, true); /* a block of its own is of the ring before */
    }
    t->stats.bytes_copied += size;
    record->size = size;
    record->address = mr_ring_offset(ring->ring, block);
    add_record(t, object, record, flags);
    return true;
}

/* May it have more out?  If not, it goes on when some of its own is acknowledged. */
static bool has_share(struct mr_ring_transport *t, const struct mr_rt_object *object)
{
    const struct mr_rt_ring *ring = mr_rt_ring_of(t, object);
    const struct mr_rt_stream *s = &object->stream;

    if (s->submitted_to == s->acked_to)
        return true;
    uint64_t left = ring->sends_max - ring->sends_out;

    return s->record_count < left * left / (2 * (uint64_t)ring->sends_max) &&
           (segment_at(t, s->segments.head)->is_direct ||
            s->submitted_to - s->acked_to < mr_ring_share(ring->ring));
}

/* Submit one SEND of the stream, which has a segment.  False: something is missing. */
static bool submit_one(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    struct mr_rt_ring *ring = mr_rt_ring_of(t, object);
    struct mr_rt_stream *s = &object->stream;

    if (ring->sends_out >= ring->sends_max || ring->late_count > 0 ||
        mr_outbox_room(&ring->ring->submissions, 1) == 0)
        return false;
    bool is_made = segment_at(t, s->segments.head)->is_direct ? make_direct(t, object)
                                                              : make_copied(t, object);
    if (is_made)
        write_sqe(t, object, record_at(t, s->records.tail), mr_ring_sqe(ring->ring));
    return is_made;
}

/* ------------------------------------------------------------------ refused ones */

/* The first that was refused, if all behind it were, too; MR_NONE: some are still out. */
static uint32_t first_refused(const struct mr_ring_transport *t, const struct mr_rt_stream *s)
{
    uint32_t first = MR_NONE;

    for (uint32_t i = s->records.head; i != MR_NONE; i = record_at(t, i)->next) {
        if (record_at(t, i)->is_refused && first == MR_NONE)
            first = i;
        if (!record_at(t, i)->is_refused && first != MR_NONE)
            return MR_NONE;
    }
    return first;
}

/* Submit the refused ones again, from `first` on.  False: some are left. */
static bool submit_again(struct mr_ring_transport *t, struct mr_rt_object *object, uint32_t first)
{
    for (uint32_t i = first; i != MR_NONE; i = record_at(t, i)->next) {
        struct mr_rt_record *record = record_at(t, i);
        struct mr_sqe *sqe = mr_rt_sqe(mr_rt_ring_of(t, object));

        if (sqe == NULL)
            return false;
        record->is_refused = false;
        write_sqe(t, object, record, sqe);
        sqe->flags |= i == first ? MR_SQE_AGAIN : 0;
    }
    object->stream.is_refused = false;
    return true;
}

void mr_rt_send_failed(struct mr_ring_transport *t, struct mr_rt_record *record, int result)
{
    struct mr_rt_object *object = mr_rt_find(t, record->object);

    if (object == NULL || object->is_over)
        return; /* it goes with the object, or went */
    if (result == -ENOBUFS || result == -ECANCELED ||
        (result == -EPIPE && object->stream.has_reset_at)) { /* that was beyond it */
        record->is_refused = true;
        object->stream.is_refused |= result == -ENOBUFS;
        if (object->stream.is_refused)
            mr_rt_push(t, &mr_rt_ring_of(t, object)->lists[MR_RT_PUMP], MR_RT_PUMP, object);
        return;
    }
    mr_rt_send_over(t, object); /* reset or stopped: its event says so */
}

/* ------------------------------------------------------------------ another ring */

bool mr_rt_has_refused(const struct mr_ring_transport *t, const struct mr_rt_object *object)
{
    for (uint32_t i = object->stream.records.head; i != MR_NONE; i = record_at(t, i)->next)
        if (record_at(t, i)->is_refused)
            return true;
    return false;
}

void mr_rt_send_moved(struct mr_ring_transport *t, struct mr_rt_object *object,
                      struct mr_rt_ring *from)
{
    struct mr_rt_stream *s = &object->stream;
    struct mr_rt_ring *ring = mr_rt_ring_of(t, object);

    for (uint32_t i = s->records.head; i != MR_NONE; i = record_at(t, i)->next) {
        record_at(t, i)->answered_at = object->ring;
        from->sends_out--;
        ring->sends_out++;
    }
    for (uint32_t i = s->segments.head; i != MR_NONE; i = segment_at(t, i)->next) {
        struct mr_rt_segment *segment = segment_at(t, i);

        segment->is_direct =
            segment->size == 0 || mr_ring_owns(ring->ring, segment->data, segment->size);
    }
    if (s->segments.head != MR_NONE)
        mr_rt_push(t, &ring->lists[MR_RT_PUMP], MR_RT_PUMP, object);
}

/* ------------------------------------------------------------------ the pump */

enum turn {
    TURN_DONE,
    TURN_MORE, /* only its turn is over */
    TURN_STUCK /* something is missing: an entry, a record, memory */
};

static enum turn pump_stream(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    struct mr_rt_stream *s = &object->stream;

    if (object->is_over || object->is_moving || s->is_send_over)
        return TURN_DONE;
    if (s->is_refused) {
        uint32_t first = first_refused(t, s);

        if (first == MR_NONE)
            return TURN_DONE; /* the next one that comes back brings it here again */
        if (!submit_again(t, object, first))
            return TURN_STUCK;
    }
    for (uint32_t sent = 0; sent < MR_RT_CHUNKS_PER_TURN; sent++) {
        if (s->segments.head == MR_NONE || !has_share(t, object))
            return TURN_DONE;
        if (!submit_one(t, object))
            return TURN_STUCK;
    }
    return TURN_MORE;
}

uint32_t mr_rt_pump(struct mr_ring_transport *t, struct mr_rt_ring *ring)
{
    struct mr_rt_queue *queue = &ring->lists[MR_RT_PUMP];
    uint32_t before = ring->ring->submissions.next;
    enum turn turn = TURN_DONE;

    while (queue->head != MR_NONE && turn != TURN_STUCK && !ring->is_gone) {
        struct mr_rt_object *object = mr_rt_pop(t, queue, MR_RT_PUMP);

        turn = pump_stream(t, object);
        if (turn != TURN_DONE)
            mr_rt_push(t, queue, MR_RT_PUMP, object);
    }
    return ring->ring->submissions.next - before;
}

/* ------------------------------------------------------------------ the end of bytes */

static void free_first(struct mr_ring_transport *t, struct mr_rt_stream *s)
{
    struct mr_rt_record *record = record_at(t, s->records.head);

    s->records.head = record->next;
    s->record_count--;
    mr_rt_record_free(t, record);
}

void mr_rt_acked(struct mr_ring_transport *t, struct mr_rt_object *object, uint64_t acked_to)
{
    struct mr_rt_stream *s = &object->stream;

    if (acked_to > s->submitted_to)
        acked_to = s->submitted_to; /* nobody can acknowledge what was not sent */
    if (acked_to > s->acked_to)
        s->acked_to = acked_to;
    while (s->records.head != MR_NONE && record_at(t, s->records.head)->end <= s->acked_to &&
           !record_at(t, s->records.head)->is_refused)
        free_first(t, s);
    if (s->segments.head != MR_NONE)
        mr_rt_push(t, &mr_rt_ring_of(t, object)->lists[MR_RT_PUMP], MR_RT_PUMP, object);
    if (s->was_refused && s->queued_to - s->acked_to <= t->config.queue_bytes / 2) {
        s->was_refused = false;
        mr_rt_mark(t, object, MR_EVENT_WRITABLE);
    }
}

void mr_rt_send_over(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    object->stream.is_send_over = true;
    while (object->stream.segments.head != MR_NONE)
        free_segment(t, object, true);
}

void mr_rt_send_cut(struct mr_ring_transport *t, struct mr_rt_object *object, uint64_t end)
{
    struct mr_rt_stream *s = &object->stream;
    struct mr_rt_queue all = s->segments;
    uint64_t at = s->submitted_to - s->head_done; /* of the segment's begin */
    uint64_t done = s->head_done;

    s->segments.head = MR_NONE;
    while (all.head != MR_NONE) {
        uint32_t index = mr_rt_queue_pop(&t->segments, &all);
        struct mr_rt_segment *segment = segment_at(t, index);
        uint64_t begin = at;

        at += segment->size;
        segment->flags &= ~(uint32_t)MR_SEND_FIN;
        if (begin + done < end) {
            segment->size = (size_t)(MR_MIN(at, end) - begin);
            mr_rt_queue_push(&t->segments, &s->segments, index);
        } else {
            mr_ring_free(t->rings[segment->ring].ring, segment->block);
            mr_pool_put(&t->segments, index);
        }
        done = 0;
    }
    if (s->segments.head == MR_NONE)
        s->head_done = 0;
    s->queued_to = MR_MAX(s->submitted_to, end);
    s->notify_to = MR_MIN(s->notify_to, s->queued_to);
    s->has_fin_queued = true; /* nothing is added */
}

void mr_rt_send_drop(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    mr_rt_send_over(t, object);
    while (object->stream.records.head != MR_NONE)
        free_first(t, &object->stream);
}

/* ------------------------------------------------------------------ datagrams */

int mr_rt_send_datagram(struct mr_ring_transport *t, struct mr_rt_object *object,
                        const struct mr_view *views, size_t count)
{
    struct mr_rt_ring *ring = mr_rt_ring_of(t, object);
    struct mr_rt_conn *c = mr_rt_conn_of(t, object);
    size_t size = mr_views_size(views, count);

    if (c->info.datagram_max == 0)
        return -EOPNOTSUPP;
    if (size > c->info.datagram_max) {
        mr_rt_want_info(t, object); /* the path may let more through by now */
        return -EMSGSIZE;
    }
    if (object->is_moving || c->is_datagram_held || c->datagrams_out >= MR_RT_DATAGRAMS_OUT) {
        c->was_datagram_refused = true;
        return -EAGAIN;
    }
    uint8_t *block = mr_ring_alloc(ring->ring, size);
    struct mr_rt_record *record =
        block == NULL ? NULL : mr_rt_record_new(t, object, MR_OP_DATAGRAM, block);
    if (record == NULL) {
        mr_ring_free(ring->ring, block);
        return -ENOMEM;
    }
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (views[i].size > 0)
            memcpy(block + at, views[i].data, views[i].size);
        at += views[i].size;
    }
    struct mr_sqe sqe = {.user_data = mr_rt_record_word(t, record)};
    mr_sqe_datagram(&sqe, object->wire, mr_ring_offset(ring->ring, block), (uint32_t)size);
    mr_rt_submit(t, ring, &sqe);
    t->stats.bytes_copied += size;
    c->datagrams_out++;
    return 0;
}

void mr_rt_datagram_done(struct mr_ring_transport *t, struct mr_rt_object *object, int result)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, object);

    c->datagrams_out--;
    t->stats.datagrams_dropped += result != 0;
    c->is_datagram_held |= result == -EAGAIN; /* until its WRITABLE */
    if (result == -EMSGSIZE)                  /* the path has become smaller */
        mr_rt_want_info(t, object);
    if (c->was_datagram_refused && !c->is_datagram_held &&
        c->datagrams_out <= MR_RT_DATAGRAMS_OUT / 2) {
        c->was_datagram_refused = false;
        mr_rt_mark(t, object, MR_EVENT_WRITABLE);
    }
}
