/* app/events_stream.c - receiving, completions of sends, and ends; see events_internal.h. */
#include <errno.h>
#include <string.h>

#include "app/events_internal.h"

/* ------------------------------------------------------------------ receiving */

/* The end has come behind the bytes that are shown: once they are released, the transport takes it
 * for consumed, and says no more. */
static bool has_end_behind(struct mr_registration *r, const struct object *s)
{
    struct mr_transport *t = r->transport;
    struct mr_view views[VIEWS_MAX];
    bool is_fin = false;
    int64_t count = t->ops->receive(t, s->handle, views, VIEWS_MAX, &is_fin);

    return count >= 0 && is_fin && mr_views_size(views, (size_t)count) == s->shown;
}

/* Consume `size` bytes of what is shown; 0 or -EINVAL. */
int mr_events_take(struct mr_registration *r, struct object *s, size_t size)
{
    struct mr_transport *t = r->transport;

    if (!s->is_pending || size > s->shown)
        return -EINVAL;
    s->is_pending = false;
    s->received += size;
    bool is_all = size == s->shown;
    s->is_fin_taken = is_all && s->is_fin_shown;
    s->is_fin_late =
        is_all && !s->is_fin_shown && s->handle != MR_HANDLE_NONE && has_end_behind(r, s);
    if (s->handle != MR_HANDLE_NONE && (size > 0 || s->is_fin_taken))
        (void)t->ops->release(t, s->handle, size); /* stale, reset: there is nothing to release */
    return 0;
}

static bool may_show(const struct object *s)
{
    return s->handle != MR_HANDLE_NONE && !s->is_given_up && !s->is_pending && !s->is_disabled &&
           !s->is_shut && !s->is_fin_taken;
}

/* Show what is there, once.  True: there may be more to show. */
static bool show(struct mr_registration *r, struct object *s)
{
    struct mr_transport *t = r->transport;
    struct mr_view views[VIEWS_MAX];
    bool is_fin = false;
    int64_t count = s->is_fin_late ? 0 : t->ops->receive(t, s->handle, views, VIEWS_MAX, &is_fin);
    struct mr_ev event = {.type = MR_EV_RECEIVE, .views = views, .offset = s->received};

    is_fin |= s->is_fin_late;
    if (count < 0 || (count == 0 && !is_fin)) /* reset: its event follows */
        return false;
    event.size = mr_views_size(views, (size_t)count);
    event.view_count = (size_t)count;
    event.consumed = event.size;
    event.is_fin = is_fin;
    s->is_pending = true;
    s->is_fin_shown = is_fin;
    s->shown = event.size;
    size_t shown = event.size;
    enum mr_ev_answer answer = mr_events_tell(r, s, &event);
    if (!s->is_pending) /* completed in the handler: it defers what is left */
        return false;
    if (answer == MR_EV_PENDING)
        return false;
    size_t consumed = MR_MIN(event.consumed, shown);
    (void)mr_events_take(r, s, consumed);
    return consumed == shown && !is_fin;
}

void mr_events_receive(struct mr_registration *r, struct object *s)
{
    uint32_t rounds = 0;

    mr_events_pin(s);
    while (may_show(s) && rounds < RECEIVE_ROUNDS && show(r, s))
        rounds++;
    if (rounds == RECEIVE_ROUNDS && may_show(s))
        mr_events_defer(r, s, DUE_RECEIVE);
    mr_events_unpin(r, s);
}

void mr_events_receive_datagrams(struct mr_registration *r, struct object *c)
{
    struct mr_transport *t = r->transport;
    uint32_t rounds = 0;

    mr_events_pin(c);
    for (; rounds < DATAGRAM_ROUNDS && c->handle != MR_HANDLE_NONE; rounds++) {
        int64_t size = t->ops->receive_datagram == NULL
                           ? -EAGAIN
                           : t->ops->receive_datagram(t, c->handle, r->datagram, DATAGRAM_BYTES);
        if (size < 0)
            break;
        struct mr_view view = {r->datagram, (size_t)size};
        struct mr_ev event = {.type = MR_EV_DATAGRAM_RECEIVED,
                              .views = &view,
                              .view_count = 1,
                              .size = (size_t)size,
                              .consumed = (size_t)size};
        (void)mr_events_tell(r, c, &event);
    }
    if (rounds == DATAGRAM_ROUNDS)
        mr_events_defer(r, c, DUE_RECEIVE);
    mr_events_unpin(r, c);
}

/* ------------------------------------------------------------------ sends */

bool mr_events_note_send(struct mr_registration *r, struct object *s, size_t size, void *context)
{
    uint32_t index = mr_pool_get(&r->sends);

    if (index == MR_NONE)
        return false;
    *(struct send *)mr_pool_at(&r->sends, index) =
        (struct send){.end = s->queued + size, .context = context, .next = MR_NONE};
    if (s->sends_tail == MR_NONE)
        s->sends_head = index;
    else
        ((struct send *)mr_pool_at(&r->sends, s->sends_tail))->next = index;
    s->sends_tail = index;
    return true;
}

/* The oldest send is complete. */
static void complete_send(struct mr_registration *r, struct object *s, int status)
{
    uint32_t index = s->sends_head;
    const struct send *send = mr_pool_at(&r->sends, index);
    struct mr_ev event = {
        .type = MR_EV_SEND_COMPLETE, .send_context = send->context, .status = status};

    s->sends_head = send->next;
    if (s->sends_head == MR_NONE)
        s->sends_tail = MR_NONE;
    mr_pool_put(&r->sends, index);
    (void)mr_events_tell(r, s, &event);
}

void mr_events_complete_sends(struct mr_registration *r, struct object *s, uint64_t acked_to)
{
    s->acked_to = MR_MAX(s->acked_to, acked_to);
    mr_events_pin(s);
    while (s->sends_head != MR_NONE &&
           ((const struct send *)mr_pool_at(&r->sends, s->sends_head))->end <= s->acked_to)
        complete_send(r, s, 0);
    mr_events_unpin(r, s);
}

/* ------------------------------------------------------------------ ends */

static void tell_over(struct mr_registration *r, struct object *o, struct mr_ev *event)
{
    (void)mr_events_tell(r, o, event);
    o->is_over = true;
}

void mr_events_end_stream(struct mr_registration *r, struct object *s, const struct mr_event *why)
{
    MR_ASSERT(!mr_events_at(r, s->conn)->is_over);
    mr_events_pin(s);
    mr_events_run_due(r, s);
    mr_events_complete_sends(r, s, why->acked_to);
    while (s->sends_head != MR_NONE)
        complete_send(r, s, -ECANCELED);
    mr_events_untie(r, s);
    s->is_pending = false;
    s->due = 0;
    bool is_cut = why->stream == MR_HANDLE_NONE || why->is_remote || why->is_application;
    bool is_whole = s->is_fin_sent && !s->is_aborted && !is_cut && s->acked_to == s->queued;
    if (is_whole)
        (void)mr_events_tell(r, s, &(struct mr_ev){.type = MR_EV_SEND_SHUTDOWN_COMPLETE});
    if (!s->is_over)
        tell_over(r, s,
                  &(struct mr_ev){.type = MR_EV_SHUTDOWN_COMPLETE,
                                  .error = why->error,
                                  .is_application = why->is_application});
    mr_events_unpin(r, s);
}

/* End every stream that is open; a handler may close any of them meanwhile. */
static void end_streams(struct mr_registration *r, const struct object *c,
                        const struct mr_event *why)
{
    struct mr_event event = *why;
    uint32_t index = c->streams;

    event.stream = MR_HANDLE_NONE;
    event.acked_to = 0;
    while (index != MR_NONE) {
        struct object *s = mr_events_at(r, index);

        mr_events_pin(s); /* it stays in the list */
        if (s->handle != MR_HANDLE_NONE)
            mr_events_end_stream(r, s, &event);
        index = s->next;
        mr_events_unpin(r, s);
    }
}

void mr_events_end_conn(struct mr_registration *r, struct object *c, const struct mr_event *why)
{
    struct mr_ev event = {.type =
                              why->is_remote ? MR_EV_SHUTDOWN_BY_PEER : MR_EV_SHUTDOWN_BY_TRANSPORT,
                          .error = why->error,
                          .reason = why->reason,
                          .is_application = why->is_application,
                          .status = (int)why->result};

    mr_events_pin(c);
    mr_events_untie(r, c);
    end_streams(r, c, why);
    if (!c->is_shut)
        (void)mr_events_tell(r, c, &event);
    event = (struct mr_ev){.type = MR_EV_SHUTDOWN_COMPLETE,
                           .error = why->error,
                           .reason = why->reason,
                           .is_application = why->is_application,
                           .status = (int)why->result};
    tell_over(r, c, &event);
    c->due = 0;
    mr_events_unpin(r, c);
}

void mr_events_end_listener(struct mr_registration *r, struct object *o, int status)
{
    struct listener *l = mr_events_listener_of(r, o->index);

    mr_events_pin(o);
    if (l != NULL)
        l->is_used = false;
    o->handle = MR_HANDLE_NONE;
    o->is_shut = true;
    if (!o->is_over)
        tell_over(r, o, &(struct mr_ev){.type = MR_EV_STOP_COMPLETE, .status = status});
    mr_events_unpin(r, o);
}

static bool is_idle(const struct object *o)
{
    return o->sends_head == MR_NONE && !o->is_pending;
}

bool mr_events_can_end_now(const struct mr_registration *r, const struct object *o)
{
    if (r->depth >= DEPTH_MAX || o->is_over)
        return false;
    if (o->kind == OBJECT_LISTENER)
        return true;
    if (o->kind == OBJECT_STREAM)
        return is_idle(o);
    for (uint32_t i = o->streams; i != MR_NONE; i = mr_events_at(r, i)->next) {
        if (!is_idle(mr_events_at(r, i)))
            return false;
    }
    return true;
}
