/*
 * app/transport_receive.c - see transport_internal.h: what is received.
 *
 * A piece is a receive slot, or bytes of the transport's own by reference, from its completion
 * until all of it is consumed; then it goes back.
 */
#include <errno.h>

#include "app/transport_internal.h"
#include "app/transport_receive.h"

static struct mr_rt_piece *piece_at(const struct mr_ring_transport *t, uint32_t index)
{
    return mr_pool_at(&t->pieces, index);
}

/* ------------------------------------------------------------------ giving back */

void mr_rt_give_back(struct mr_ring_transport *t, struct mr_rt_ring *ring, const struct mr_cqe *cqe)
{
    struct mr_sqe sqe = {0};

    if (cqe->address == 0)
        return; /* an end alone has no slot */
    mr_sqe_release(&sqe, cqe);
    mr_rt_submit(t, ring, &sqe);
}

static void give_back(struct mr_ring_transport *t, const struct mr_rt_object *object, uint32_t ring,
                      uint64_t address, uint32_t size)
{
    mr_rt_give_back(t, &t->rings[ring],
                    &(struct mr_cqe){.stream = object->is_stream ? object->wire : 0,
                                     .address = address,
                                     .size = size});
}

static void free_piece(struct mr_ring_transport *t, struct mr_rt_object *object,
                       struct mr_rt_queue *queue)
{
    uint32_t index = mr_rt_queue_pop(&t->pieces, queue);
    const struct mr_rt_piece *piece = piece_at(t, index);

    give_back(t, object, piece->ring, piece->address, piece->size);
    mr_pool_put(&t->pieces, index);
}

/* The oldest pieces of a stream, as far as `*size` bytes go: less than one piece is left of it.  By
 * reference they are bytes, which go back with one submission; slots each have their own. */
static void free_pieces(struct mr_ring_transport *t, struct mr_rt_object *object, size_t *size)
{
    struct mr_rt_stream *s = &object->stream;
    bool is_by_reference = mr_ring_is_by_reference(mr_rt_ring_of(t, object)->ring);
    uint64_t address = 0;
    uint32_t together = 0;
    uint32_t ring = object->ring;

    while (s->pieces.head != MR_NONE && *size > 0) {
        const struct mr_rt_piece *piece = piece_at(t, s->pieces.head);
        uint32_t left = piece->size - s->head_used;

        if (*size < left)
            break;
        *size -= left;
        s->head_used = 0;
        if (!is_by_reference) {
            free_piece(t, object, &s->pieces);
            continue;
        }
        if (together > 0 && (piece->size > UINT32_MAX - together || piece->ring != ring)) {
            give_back(t, object, ring, address, together);
            together = 0;
        }
        ring = piece->ring;
        address = piece->address;
        together += piece->size;
        mr_pool_put(&t->pieces, mr_rt_queue_pop(&t->pieces, &s->pieces));
    }
    if (together > 0)
        give_back(t, object, ring, address, together);
}

/* ------------------------------------------------------------------ arriving */

/* False: no piece is free.  There are as many as the datapath has to give: it is broken. */
static bool add_piece(struct mr_ring_transport *t, struct mr_rt_object *object,
                      struct mr_rt_queue *queue, const struct mr_cqe *cqe)
{
    uint32_t index = mr_pool_get(&t->pieces);

    if (index == MR_NONE) {
        mr_rt_ring_gone(t, mr_rt_ring_of(t, object));
        return false;
    }
    *piece_at(t, index) =
        (struct mr_rt_piece){.size = cqe->size,
                             .address = cqe->address,
                             .data = mr_ring_data(mr_rt_ring_of(t, object)->ring, cqe),
                             .ring = object->ring};
    mr_rt_queue_push(&t->pieces, queue, index);
    return true;
}

void mr_rt_data(struct mr_ring_transport *t, struct mr_rt_object *object, const struct mr_cqe *cqe)
{
    struct mr_rt_stream *s = &object->stream;

    if (object->is_over || s->is_reset || s->is_stopped || s->has_fin || !s->can_receive) {
        mr_rt_give_back(t, mr_rt_ring_of(t, object), cqe);
        return;
    }
    if (cqe->size > 0 && !add_piece(t, object, &s->pieces, cqe)) {
        mr_rt_give_back(t, mr_rt_ring_of(t, object), cqe);
        return;
    }
    s->received_to += cqe->size;
    s->has_fin = (cqe->flags & MR_CQE_FIN) != 0;
    mr_rt_mark(t, object, MR_EVENT_READABLE);
}

/* ------------------------------------------------------------------ consuming */

bool mr_rt_has_consumed(const struct mr_rt_object *object)
{
    const struct mr_rt_stream *s = &object->stream;

    return !s->can_receive || s->is_reset || s->is_stopped ||
           (s->has_fin && s->is_fin_shown && s->released_to == s->received_to);
}

/* It may be all that its end waited for. */
static void look_at_end(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    if ((object->kinds & MR_EVENT_CLOSED) != 0 && mr_rt_has_consumed(object))
        mr_rt_mark(t, object, 0);
}

int64_t mr_rt_receive(struct mr_ring_transport *t, struct mr_rt_object *object,
                      struct mr_view *views_out, size_t room, bool *fin_out)
{
    struct mr_rt_stream *s = &object->stream;
    uint64_t shown = s->released_to;
    uint32_t used = s->head_used;
    size_t count = 0;

    *fin_out = false;
    if (s->is_reset)
        return -ECONNRESET;
    if (s->is_stopped)
        return 0;
    for (uint32_t i = s->pieces.head; i != MR_NONE && count < room; i = piece_at(t, i)->next) {
        const struct mr_rt_piece *piece = piece_at(t, i);

        views_out[count++] = (struct mr_view){piece->data + used, piece->size - used};
        shown += piece->size - used;
        used = 0;
    }
    s->shown_to = MR_MAX(s->shown_to, shown);
    if (s->has_fin && shown == s->received_to) {
        *fin_out = s->is_fin_shown = true;
        look_at_end(t, object);
    }
    return (int64_t)count;
}

int mr_rt_release(struct mr_ring_transport *t, struct mr_rt_object *object, size_t size)
{
    struct mr_rt_stream *s = &object->stream;

    if (s->is_stopped)
        return 0; /* what was shown went back with it */
    if (size > s->shown_to - s->released_to)
        return -EINVAL;
    s->released_to += size;
    bool is_last = s->is_reset && s->released_to == s->shown_to;
    if (is_last)
        size = SIZE_MAX; /* by reference, what was not shown goes back behind it */
    free_pieces(t, object, &size);
    if (is_last)
        return 0;
    s->head_used += (uint32_t)size;
    if (s->is_reset_due && s->released_to == s->received_to) {
        s->is_reset = true;
        mr_rt_mark(t, object, MR_EVENT_RESET);
    }
    look_at_end(t, object);
    return 0;
}

void mr_rt_receive_over(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    struct mr_rt_stream *s = &object->stream;
    struct mr_rt_queue all = s->pieces;
    uint64_t at = s->released_to - s->head_used;

    if (s->is_reset && s->shown_to > s->released_to &&
        mr_ring_is_by_reference(mr_rt_ring_of(t, object)->ring))
        return; /* bytes go back in order: when those that are shown do */
    s->pieces.head = MR_NONE;
    while (all.head != MR_NONE) {
        uint32_t index = all.head;

        if (at >= s->shown_to) {
            free_piece(t, object, &all);
            continue;
        }
        at += piece_at(t, index)->size;
        mr_rt_queue_pop(&t->pieces, &all);
        mr_rt_queue_push(&t->pieces, &s->pieces, index);
    }
}

/* ------------------------------------------------------------------ datagrams */

void mr_rt_datagram(struct mr_ring_transport *t, struct mr_rt_object *object,
                    const struct mr_cqe *cqe)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, object);
    bool is_first = c->datagrams.head == MR_NONE;

    if (object->is_over || !add_piece(t, object, &c->datagrams, cqe)) {
        t->stats.datagrams_dropped++;
        mr_rt_give_back(t, mr_rt_ring_of(t, object), cqe);
        return;
    }
    if (is_first)
        mr_rt_mark(t, object, MR_EVENT_DATAGRAM);
}

int64_t mr_rt_receive_datagram(struct mr_ring_transport *t, struct mr_rt_object *object,
                               uint8_t *dst, size_t room)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, object);

    if (c->datagrams.head == MR_NONE)
        return -EAGAIN;
    const struct mr_rt_piece *piece = piece_at(t, c->datagrams.head);
    uint32_t size = piece->size;
    if (size > room)
        return -ENOBUFS;
    if (size > 0)
        memcpy(dst, piece->data, size);
    free_piece(t, object, &c->datagrams);
    return size;
}

/* ------------------------------------------------------------------ the end */

void mr_rt_receive_drop(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    struct mr_rt_queue *queue =
        object->is_stream ? &object->stream.pieces : &mr_rt_conn_of(t, object)->datagrams;

    while (queue->head != MR_NONE)
        free_piece(t, object, queue);
}
