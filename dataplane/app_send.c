/*
 * dataplane/app_send.c - SENDs of attached applications.
 *
 *     SEND --> [ waiting | waiting ] --transport takes it--> [ sent | sent | sent ] --acked--> DONE
 *
 * A stream's SENDs go to the transport in the order in which they were submitted.  What it cannot
 * take now waits in the stream; whatever is refused refuses everything behind it, too, until the
 * application says that it has seen it (MR_SQE_AGAIN), so that no byte goes missing in the middle.
 */
#include <errno.h>

#include "dataplane/app_internal.h"
#include "dataplane/app_send.h"
#include "quic/counters.h"

#define LINK  offsetof(struct mr_app_send, link)
#define LATER 1

static struct mr_app_send *send_at(const struct mr_app_host *host, uint32_t index)
{
    return mr_pool_at(&host->sends, index);
}

static uint32_t transport_flags(uint8_t flags)
{
    return ((flags & MR_SQE_FIN) != 0 ? MR_SEND_FIN : 0u) |
           ((flags & MR_SQE_COPY) != 0 ? MR_SEND_COPY : 0u) |
           ((flags & MR_SQE_NOTIFY) != 0 ? MR_SEND_NOTIFY : 0u);
}

static void drop(struct mr_app_host *host, struct mr_app_chain *chain, uint32_t index)
{
    const struct mr_app_send *send = send_at(host, index);

    host->rings[send->ring].sends--;
    if (send->home != NULL)
        mr_app_ring_let(send->home);
    mr_app_chain_remove(chain, &host->sends, LINK, index);
    mr_pool_put(&host->sends, index);
}

/* ------------------------------------------------------------------ giving */

/* What the transport says to the bytes: 0; -EAGAIN, -ENOMEM: later; else they fail. */
static int give(struct mr_app_host *host, struct mr_app_object *object, struct mr_view view,
                uint8_t flags)
{
    int answer = host->transport->ops->send(host->transport, object->handle, &view, view.size > 0,
                                            transport_flags(flags));

    if (answer == 0)
        mr_count_add(&host->rings[object->ring].stats.bytes_sent, view.size);
    return answer;
}

/* Remember whom to tell; there must be a record. */
static void remember(struct mr_app_host *host, struct mr_app_object *object,
                     struct mr_app_chain *chain, const struct mr_sqe *sqe, const uint8_t *data)
{
    uint32_t index = mr_pool_get(&host->sends);

    MR_ASSERT(index != MR_NONE);
    *send_at(host, index) = (struct mr_app_send){.end = object->given_to,
                                                 .user_data = sqe->user_data,
                                                 .data = data,
                                                 .size = sqe->size,
                                                 .ring = object->ring,
                                                 .flags = sqe->flags};
    mr_app_chain_push(chain, &host->sends, LINK, index);
    host->rings[object->ring].sends++;
}

/* An object's first of those that the transport has was done before it came: tell. */
static void note_done(struct mr_app_host *host, struct mr_app_object *object)
{
    uint32_t first = object->sends.head;

    if (first != MR_NONE && send_at(host, first)->end <= object->acked_to)
        mr_app_object_mark(host, object, 0);
}

/* It is the stream's next: give it to the transport, or let it wait. */
static int take(struct mr_app_host *host, struct mr_app_object *object, const struct mr_sqe *sqe,
                const uint8_t *data)
{
    const struct mr_app_ring *ring = &host->rings[object->ring];
    bool has_record = ring->sends < ring->config.sends_max;
    bool is_copy = (sqe->flags & MR_SQE_COPY) != 0;
    int answer = -EAGAIN;

    if (!has_record && (!is_copy || object->waiting.head != MR_NONE))
        return -ENOBUFS;
    if (object->waiting.head == MR_NONE)
        answer = give(host, object, (struct mr_view){data, sqe->size}, sqe->flags);
    bool must_wait = answer == -EAGAIN || answer == -ENOMEM;
    if (must_wait && !has_record)
        return -ENOBUFS;
    if (answer != 0 && !must_wait)
        return answer;

    object->given_to += sqe->size;
    object->has_fin = object->has_fin || (sqe->flags & MR_SQE_FIN) != 0;
    if (answer == 0 && is_copy)
        return 0;
    remember(host, object, must_wait ? &object->waiting : &object->sends, sqe, data);
    if (answer == -ENOMEM)
        mr_app_list_push(host, object, MR_APP_RETRY);
    note_done(host, object);
    return LATER;
}

/* All that is guaranteed was given to the transport: it may know. */
static int reset_at_if_given(struct mr_app_host *host, struct mr_app_object *object)
{
    uint64_t given = object->given_to;

    if (object->waiting.head != MR_NONE)
        given =
            send_at(host, object->waiting.head)->end - send_at(host, object->waiting.head)->size;
    if (object->is_reset_at_done || given < object->reliable)
        return 0;
    object->is_reset_at_done = true;
    return host->transport->ops->reset_at(host->transport, object->handle, object->reset_code,
                                          object->reliable);
}

int mr_app_reset_at(struct mr_app_host *host, struct mr_app_object *object, uint64_t code,
                    uint64_t reliable)
{
    struct mr_conn_info info = {0};
    const struct mr_app_object *conn = mr_app_object_at(host, object->conn);

    if (code > MR_ERROR_CODE_MAX || (object->has_fin && reliable > object->given_to) ||
        (object->has_reset_at && (reliable > object->reliable || code != object->reset_code)))
        return -EINVAL;
    if (object->send_error != 0)
        return -EPIPE;
    if (host->transport->ops->reset_at == NULL ||
        host->transport->ops->conn_info(host->transport, conn->handle, &info) != 0 ||
        !info.takes_reset_at)
        return -EOPNOTSUPP;
    struct mr_app_object before = *object;

    object->has_reset_at = true;
    object->is_reset_at_done = false;
    object->reliable = reliable;
    object->reset_code = code;
    int answer = reset_at_if_given(host, object);
    if (answer != 0) {
        object->has_reset_at = before.has_reset_at;
        object->is_reset_at_done = before.is_reset_at_done;
        object->reliable = before.reliable;
    }
    return answer;
}

int mr_app_send(struct mr_app_host *host, struct mr_app_object *object, const struct mr_sqe *sqe,
                const uint8_t *data)
{
    int answer = 0;

    if ((sqe->flags & MR_SQE_AGAIN) != 0)
        object->is_refusing = false;
    if (sqe->size > 0 && data == NULL)
        answer = -EINVAL;
    else if ((sqe->flags & MR_SQE_COPY) != 0 && sqe->size > MR_APP_COPY_MAX)
        answer = -EMSGSIZE;
    else if (object->is_refusing)
        answer = -ECANCELED;
    else if (object->send_error != 0)
        answer = object->send_error;
    else if (object->has_fin)
        answer = -EPIPE;
    else if (object->is_reset_at_done)
        answer = -EPIPE;
    else
        answer = take(host, object, sqe, data);
    if (answer < 0)
        object->is_refusing = true;
    else if (object->has_reset_at)
        (void)reset_at_if_given(host, object); /* its stream may be over */
    return answer;
}

void mr_app_send_waiting(struct mr_app_host *host, struct mr_app_object *object)
{
    if (mr_app_is_away(host, object))
        return; /* it is done over there, or when it comes back */
    while (object->waiting.head != MR_NONE && object->send_error == 0 &&
           !object->is_reset_at_done) {
        uint32_t index = object->waiting.head;
        const struct mr_app_send *send = send_at(host, index);
        int answer = give(host, object, (struct mr_view){send->data, send->size}, send->flags);

        if (answer == -ENOMEM)
            mr_app_list_push(host, object, MR_APP_RETRY);
        if (answer == -ENOMEM || answer == -EAGAIN)
            return;
        if (answer != 0) {
            mr_app_send_fail(host, object, answer);
            return;
        }
        mr_app_chain_remove(&object->waiting, &host->sends, LINK, index);
        mr_app_chain_push(&object->sends, &host->sends, LINK, index);
        note_done(host, object);
        if (object->has_reset_at)
            (void)reset_at_if_given(host, object); /* its stream may be over */
    }
}

void mr_app_send_retry(struct mr_app_host *host, struct mr_app_ring *ring)
{
    uint32_t last = ring->lists[MR_APP_RETRY].tail;

    for (uint32_t i = 0; i < MR_APP_OBJECTS_PER_POLL && last != MR_NONE; i++) {
        struct mr_app_object *object = mr_app_list_pop(host, ring, MR_APP_RETRY);

        if (object == NULL)
            return;
        mr_app_send_waiting(host, object);
        if (object->index == last)
            return;
    }
}

/* ------------------------------------------------------------------ the end of it */

void mr_app_send_fail(struct mr_app_host *host, struct mr_app_object *object, int error)
{
    if (object->send_error == 0)
        object->send_error = error;
    if (object->waiting.head != MR_NONE)
        mr_app_object_mark(host, object, 0);
}

void mr_app_send_forget(struct mr_app_host *host, struct mr_app_object *object)
{
    while (object->sends.head != MR_NONE) {
        const struct mr_app_send *send = send_at(host, object->sends.head);

        bool is_own = send->ring == object->ring && !send->is_silent;

        if (is_own || send->end > object->acked_to)
            return;
        drop(host, &object->sends, object->sends.head);
    }
}

/* Tell of the chain's first.  False: no room. */
static bool tell_first(struct mr_app_host *host, struct mr_app_ring *ring,
                       const struct mr_app_object *object, struct mr_app_chain *chain,
                       int32_t result)
{
    const struct mr_app_send *send = send_at(host, chain->head);
    bool is_told = send->ring == ring->index && !send->is_silent &&
                   ((send->flags & MR_SQE_QUIET) == 0 || result != 0);

    if (is_told) {
        if (!mr_app_has_room(ring))
            return false;
        struct mr_cqe cqe = mr_app_about(host, object, MR_CQE_DONE);
        cqe.op = MR_OP_SEND;
        cqe.user_data = send->user_data;
        cqe.result = result;
        mr_app_complete(host, ring, &cqe);
    }
    drop(host, chain, chain->head);
    return true;
}

bool mr_app_send_tell(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *object, bool is_over)
{
    int32_t error = object->send_error != 0 ? object->send_error : is_over ? -ECANCELED : 0;

    while (object->sends.head != MR_NONE) {
        bool is_acked = send_at(host, object->sends.head)->end <= object->acked_to;

        if (!is_acked && !is_over)
            break;
        if (!tell_first(host, ring, object, &object->sends, is_acked ? 0 : -ECANCELED))
            return false;
    }
    while (error != 0 && object->waiting.head != MR_NONE)
        if (!tell_first(host, ring, object, &object->waiting, error))
            return false;
    return true;
}

void mr_app_send_drop(struct mr_app_host *host, struct mr_app_object *object)
{
    while (object->sends.head != MR_NONE)
        drop(host, &object->sends, object->sends.head);
    while (object->waiting.head != MR_NONE)
        drop(host, &object->waiting, object->waiting.head);
}
