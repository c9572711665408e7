/*
 * app/events_guest.c - applications of millrace/transport.h beside handlers; see events_internal.h.
 *
 * A guest gets a transport of its own, whose operations are the real one's, except that a
 * connection that it makes is noted as its own, and that timers and work come back with a number of
 * ours.  User data of its connections and streams are its own.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "app/events_internal.h"

/* ------------------------------------------------------------------ its transport */

static struct guest *guest_of(const struct mr_transport *t)
{
    return (struct guest *)(uintptr_t)t;
}

static struct mr_transport *real(const struct mr_transport *t)
{
    return guest_of(t)->registration->transport;
}

static uint32_t number_of(const struct guest *g)
{
    return (uint32_t)(g - g->registration->guest);
}

static int guest_connect(struct mr_transport *t, const struct mr_connect_options *options,
                         mr_handle *conn_out)
{
    struct mr_registration *r = guest_of(t)->registration;
    struct object *c = mr_events_make(r, OBJECT_GUEST);

    if (c == NULL)
        return -EAGAIN;
    c->guest = number_of(guest_of(t));
    int error = real(t)->ops->connect(real(t), options, conn_out);
    if (error == 0 && mr_events_tie(r, c, *conn_out))
        return 0;
    if (error == 0) {
        (void)real(t)->ops->set_user_data(real(t), *conn_out, USER_DATA_IGNORED);
        (void)real(t)->ops->close(real(t), *conn_out, 0, "no room");
        error = -EAGAIN;
    }
    c->is_given_up = true;
    mr_events_maybe_free(r, c);
    return error;
}

static int guest_close(struct mr_transport *t, mr_handle conn, uint64_t code, const char *reason)
{
    return real(t)->ops->close(real(t), conn, code, reason);
}

static int guest_set_user_data(struct mr_transport *t, mr_handle object, uint64_t user_data)
{
    return real(t)->ops->set_user_data(real(t), object, user_data);
}

static int guest_conn_info(struct mr_transport *t, mr_handle conn, struct mr_conn_info *info_out)
{
    return real(t)->ops->conn_info(real(t), conn, info_out);
}

static int64_t guest_ticket(struct mr_transport *t, mr_handle conn, uint8_t *dst, size_t room)
{
    return real(t)->ops->ticket(real(t), conn, dst, room);
}

static int guest_open(struct mr_transport *t, mr_handle conn, uint32_t flags, uint64_t user_data,
                      mr_handle *stream_out)
{
    return real(t)->ops->open(real(t), conn, flags, user_data, stream_out);
}

static uint64_t guest_stream_id(struct mr_transport *t, mr_handle stream)
{
    return real(t)->ops->stream_id(real(t), stream);
}

static int guest_send(struct mr_transport *t, mr_handle stream, const struct mr_view *views,
                      size_t count, uint32_t flags)
{
    return real(t)->ops->send(real(t), stream, views, count, flags);
}

static int64_t guest_receive(struct mr_transport *t, mr_handle stream, struct mr_view *views_out,
                             size_t room, bool *fin_out)
{
    return real(t)->ops->receive(real(t), stream, views_out, room, fin_out);
}

static int guest_release(struct mr_transport *t, mr_handle stream, size_t size)
{
    return real(t)->ops->release(real(t), stream, size);
}

static int guest_reset(struct mr_transport *t, mr_handle stream, uint64_t code)
{
    return real(t)->ops->reset(real(t), stream, code);
}

static int guest_stop(struct mr_transport *t, mr_handle stream, uint64_t code)
{
    return real(t)->ops->stop(real(t), stream, code);
}

static int guest_reset_at(struct mr_transport *t, mr_handle stream, uint64_t code,
                          uint64_t reliable)
{
    if (real(t)->ops->reset_at == NULL)
        return -EOPNOTSUPP;
    return real(t)->ops->reset_at(real(t), stream, code, reliable);
}

static int guest_set_priority(struct mr_transport *t, mr_handle stream, struct mr_priority priority)
{
    if (real(t)->ops->set_priority == NULL)
        return 0; /* an order of its own */
    return real(t)->ops->set_priority(real(t), stream, priority);
}

static int guest_send_datagram(struct mr_transport *t, mr_handle conn, const struct mr_view *views,
                               size_t count)
{
    if (real(t)->ops->send_datagram == NULL)
        return -EOPNOTSUPP;
    return real(t)->ops->send_datagram(real(t), conn, views, count);
}

static int64_t guest_receive_datagram(struct mr_transport *t, mr_handle conn, uint8_t *dst,
                                      size_t room)
{
    if (real(t)->ops->receive_datagram == NULL)
        return -EAGAIN;
    return real(t)->ops->receive_datagram(real(t), conn, dst, room);
}

/* ------------------------------------------------------------------ timers, work */

/* A number of ours for the guest's; MR_NONE: none is free. */
static uint32_t note_call(const struct mr_transport *t, uint64_t user_data)
{
    struct mr_registration *r = guest_of(t)->registration;
    uint32_t index = mr_pool_get(&r->guest_calls);

    if (index != MR_NONE)
        *(struct guest_call *)mr_pool_at(&r->guest_calls, index) =
            (struct guest_call){.user_data = user_data, .guest = number_of(guest_of(t))};
    return index;
}

static int guest_timer(struct mr_transport *t, uint64_t delay_ns, uint64_t user_data)
{
    uint32_t index = note_call(t, user_data);

    if (index == MR_NONE)
        return -ENOMEM;
    int error = real(t)->ops->timer(real(t), delay_ns, index);
    if (error < 0)
        mr_pool_put(&guest_of(t)->registration->guest_calls, index);
    return error;
}

static int guest_work(struct mr_transport *t, int64_t (*function)(void *argument), void *argument,
                      uint64_t user_data)
{
    uint32_t index = note_call(t, user_data);

    if (index == MR_NONE)
        return -EAGAIN;
    int error = real(t)->ops->work(real(t), function, argument, index);
    if (error < 0)
        mr_pool_put(&guest_of(t)->registration->guest_calls, index);
    return error;
}

static int guest_migrate(struct mr_transport *t, mr_handle conn, const struct mr_address *local)
{
    if (real(t)->ops->migrate == NULL)
        return -EOPNOTSUPP;
    return real(t)->ops->migrate(real(t), conn, local);
}

static int64_t guest_path(struct mr_transport *t, mr_handle conn, const struct mr_path_call *call)
{
    return mr_path_do(real(t), conn, call);
}

static int guest_trace(struct mr_transport *t, mr_handle conn, const struct mr_trace_http3 *record,
                       struct mr_view bytes)
{
    if (real(t)->ops->trace == NULL)
        return -ENOENT;
    return real(t)->ops->trace(real(t), conn, record, bytes);
}

static uint64_t guest_now(const struct mr_transport *t)
{
    return real(t)->ops->now(real(t));
}

static const struct mr_transport_ops guest_ops = {
    .connect = guest_connect,
    .close = guest_close,
    .set_user_data = guest_set_user_data,
    .conn_info = guest_conn_info,
    .ticket = guest_ticket,
    .open = guest_open,
    .stream_id = guest_stream_id,
    .send = guest_send,
    .receive = guest_receive,
    .release = guest_release,
    .reset = guest_reset,
    .stop = guest_stop,
    .timer = guest_timer,
    .work = guest_work,
    .now = guest_now,
    .send_datagram = guest_send_datagram,
    .receive_datagram = guest_receive_datagram,
    .set_priority = guest_set_priority,
    .migrate = guest_migrate,
    .reset_at = guest_reset_at,
    .path = guest_path,
    .trace = guest_trace,
};

/* ------------------------------------------------------------------ its events */

static void tell_guest(struct mr_registration *r, const struct guest *g,
                       const struct mr_event *events, size_t count)
{
    uint64_t begin = r->host.clock == NULL ? 0 : r->host.clock(r->host.context);

    r->stats.handlers++;
    r->depth++;
    g->application->on_events(g->application->context, events, count);
    r->depth--;
    if (r->host.took != NULL)
        r->host.took(r->host.context, g->application->name, r->host.clock(r->host.context) - begin);
}

/* A guest's connection is over. */
static void forget_conn(struct mr_registration *r, mr_handle conn)
{
    uint32_t index = mr_table8_find(&r->conns, conn);

    if (index == MR_NONE)
        return;
    struct object *c = mr_events_at(r, index);
    mr_events_untie(r, c);
    c->is_given_up = true;
    mr_events_maybe_free(r, c);
}

void mr_events_to_guest(struct mr_registration *r, uint32_t guest, const struct mr_event *events,
                        size_t count)
{
    bool is_over = events[count - 1].stream == MR_HANDLE_NONE &&
                   (events[count - 1].kinds & MR_EVENT_CLOSED) != 0;

    tell_guest(r, &r->guest[guest], events, count);
    if (is_over)
        forget_conn(r, events[count - 1].conn);
}

void mr_events_guest_call_done(struct mr_registration *r, const struct mr_event *event)
{
    struct mr_event own = *event;
    uint32_t index = (uint32_t)event->user_data;

    if (event->user_data >= r->guest_calls.fresh)
        return;
    struct guest_call call = *(const struct guest_call *)mr_pool_at(&r->guest_calls, index);
    mr_pool_put(&r->guest_calls, index);
    own.user_data = call.user_data;
    if (r->guest[call.guest].is_started)
        tell_guest(r, &r->guest[call.guest], &own, 1);
}

void mr_events_guests_go_away(struct mr_registration *r, const struct mr_event *event)
{
    struct mr_event own = *event;

    own.kinds = MR_EVENT_GO_AWAY;
    own.conn = MR_HANDLE_NONE;
    own.stream = MR_HANDLE_NONE;
    for (uint32_t i = 0; i < r->guest_count; i++) {
        if (r->guest[i].is_started)
            tell_guest(r, &r->guest[i], &own, 1);
    }
}

/* ------------------------------------------------------------------ its life */

void mr_events_start_guests(struct mr_registration *r)
{
    for (uint32_t i = 0; i < r->guest_count && r->transport != NULL; i++) {
        struct guest *g = &r->guest[i];
        if (g->is_started)
            continue;
        g->is_started = true;
        if (g->application->on_start != NULL)
            g->application->on_start(g->application->context, &g->transport);
    }
}

void mr_events_stop_guests(struct mr_registration *r)
{
    for (uint32_t i = 0; i < r->guest_count; i++) {
        struct guest *g = &r->guest[i];
        if (g->is_started && g->application->on_stop != NULL)
            g->application->on_stop(g->application->context);
        g->is_started = false;
    }
    for (uint32_t i = 0; i < r->objects.fresh; i++) {
        struct object *o = mr_events_at(r, i);
        if (o->kind == OBJECT_GUEST)
            forget_conn(r, o->handle);
    }
}

uint32_t mr_events_poll_guests(struct mr_registration *r)
{
    uint32_t work = 0;

    for (uint32_t i = 0; i < r->guest_count; i++) {
        struct guest *g = &r->guest[i];
        if (g->is_started && g->application->on_poll != NULL)
            work += g->application->on_poll(g->application->context);
    }
    return work;
}

int mr_ev_guest(struct mr_registration *registration, const char *listener,
                const struct mr_application *application)
{
    struct listener *l;
    bool is_driven =
        atomic_load_explicit(&registration->owner, memory_order_relaxed) != NULL; /* a figure */

    if (is_driven && !mr_events_is_owner(registration))
        return -EPERM;
    if (application == NULL || application->on_events == NULL)
        return -EINVAL;
    if (registration->guest_count == GUESTS_MAX)
        return -ENOSPC;
    int error = mr_events_add_listener(registration, listener, &l);
    if (error < 0)
        return error;
    l->guest = registration->guest_count++;
    registration->guest[l->guest] = (struct guest){
        .transport = {&guest_ops}, .registration = registration, .application = application};
    mr_events_stir(registration);
    return 0;
}
