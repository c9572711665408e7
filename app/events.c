/* app/events.c - a registration as an application of its transport; see millrace/events.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/events_internal.h"

enum {
    OBJECTS_DEFAULT = 65536,
    SENDS_DEFAULT = 65536,
    CALLS_DEFAULT = 1024,
    PAGE = 4096,
    STOCK_MAX = 256, /* objects set aside for other threads */
};

/* ------------------------------------------------------------------ listeners */

struct listener *mr_events_listener_of(struct mr_registration *r, uint32_t object)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        if (r->listener[i].is_used && r->listener[i].object == object)
            return &r->listener[i];
    }
    return NULL;
}

int mr_events_resolve(struct mr_registration *r, struct listener *l)
{
    int number = 0;

    if (r->host.listen != NULL)
        number = r->host.listen(r->host.context, l->is_every ? NULL : l->name, true);
    if (number < 0)
        return number;
    l->number = (uint32_t)number;
    l->is_on = true;
    return 0;
}

/* Who takes connections of listener number `number`; NULL: nobody. */
static const struct listener *who_takes(const struct mr_registration *r, uint32_t number)
{
    const struct listener *every = NULL;

    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        const struct listener *l = &r->listener[i];
        if (!l->is_used || !l->is_on)
            continue;
        if (!l->is_every && l->number == number)
            return l;
        if (l->is_every)
            every = l;
    }
    return every;
}

static void end_listeners(struct mr_registration *r, int status)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        struct listener *l = &r->listener[i];
        if (l->is_used && l->object != MR_NONE)
            mr_events_end_listener(r, mr_events_at(r, l->object), status);
    }
}

static void resolve_listeners(struct mr_registration *r)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        struct listener *l = &r->listener[i];
        if (l->is_used && !l->is_on)
            (void)mr_events_resolve(r, l);
    }
}

/* ------------------------------------------------------------------ new connections */

static void refuse_conn(struct mr_registration *r, mr_handle handle, uint64_t code,
                        const char *reason)
{
    struct mr_transport *t = r->transport;

    r->stats.conns_refused++;
    (void)t->ops->set_user_data(t, handle, USER_DATA_IGNORED);
    (void)t->ops->close(t, handle, MR_MIN(code, MR_ERROR_CODE_MAX), reason);
}

/* Ask the listener's handler. */
static void offer_conn(struct mr_registration *r, struct object *listener, struct object *c)
{
    struct mr_transport *t = r->transport;
    struct mr_ev event = {.type = MR_EV_NEW_CONNECTION, .conn = mr_events_id(c), .info = &r->info};

    if (t->ops->conn_info(t, c->handle, &r->info) < 0)
        memset(&r->info, 0, sizeof(r->info));
    mr_events_pin(c);
    enum mr_ev_answer answer = mr_events_tell(r, listener, &event);
    bool is_wanted = answer == MR_EV_ACCEPT && c->handler != NULL;
    if (!is_wanted && !c->is_given_up) {
        c->is_given_up = true;
        if (c->handle != MR_HANDLE_NONE) {
            refuse_conn(r, c->handle, event.error, "refused");
            mr_events_untie(r, c);
        }
    }
    mr_events_unpin(r, c);
}

/* A connection that nobody here knows: accepted just now, or one that we have let go of. */
static void on_new_conn(struct mr_registration *r, const struct mr_event *event)
{
    struct mr_transport *t = r->transport;
    bool is_new = (event->kinds & (MR_EVENT_CONNECTED | MR_EVENT_CLOSED)) == MR_EVENT_CONNECTED &&
                  event->stream == MR_HANDLE_NONE && event->user_data == 0;

    if (!is_new)
        return;
    const struct listener *l = who_takes(r, event->listener);
    if (l == NULL) {
        refuse_conn(r, event->conn, r->late_code, "no listener");
        return;
    }
    bool is_guests = l->object == MR_NONE;
    struct object *c = mr_events_make(r, is_guests ? OBJECT_GUEST : OBJECT_CONN);
    if (c == NULL || !mr_events_tie(r, c, event->conn)) {
        refuse_conn(r, event->conn, 0, "no object is free");
        if (c != NULL) {
            c->is_given_up = true;
            mr_events_maybe_free(r, c);
        }
        return;
    }
    if (is_guests) {
        c->guest = l->guest;
        return;
    }
    (void)t->ops->set_user_data(t, event->conn, mr_events_id(c));
    offer_conn(r, mr_events_at(r, l->object), c);
}

/* ------------------------------------------------------------------ streams */

static void refuse_stream(struct mr_registration *r, mr_handle handle, uint64_t code)
{
    struct mr_transport *t = r->transport;

    r->stats.streams_refused++;
    (void)t->ops->set_user_data(t, handle, USER_DATA_IGNORED);
    code = MR_MIN(code, MR_ERROR_CODE_MAX);
    (void)t->ops->reset(t, handle, code);
    (void)t->ops->stop(t, handle, code);
}

/* The peer opened a stream: ask its connection's handler.  NULL: it is not ours to hear of. */
static struct object *on_peer_stream(struct mr_registration *r, struct object *c,
                                     const struct mr_event *event)
{
    struct mr_transport *t = r->transport;
    struct object *s = c->is_given_up ? NULL : mr_events_make(r, OBJECT_STREAM);

    if (s == NULL) {
        refuse_stream(r, event->stream, 0);
        return NULL;
    }
    s->handle = event->stream;
    mr_events_add_stream(r, c, s);
    (void)t->ops->set_user_data(t, s->handle, mr_events_id(s));
    struct mr_ev ev = {.type = MR_EV_PEER_STREAM_STARTED,
                       .conn = mr_events_id(c),
                       .stream = mr_events_id(s),
                       .is_uni = (t->ops->stream_id(t, s->handle) & 2) != 0};
    mr_events_pin(s);
    enum mr_ev_answer answer = mr_events_tell(r, c, &ev);
    bool is_wanted = answer == MR_EV_ACCEPT && s->handler != NULL;
    if (!is_wanted && !s->is_given_up) {
        s->is_given_up = true;
        if (s->handle != MR_HANDLE_NONE) {
            refuse_stream(r, s->handle, ev.error);
            mr_events_untie(r, s);
        }
    }
    bool is_gone = s->is_given_up;
    mr_events_unpin(r, s);
    return is_gone ? NULL : s;
}

static void tell_code(struct mr_registration *r, struct object *s, enum mr_ev_type type,
                      uint64_t code)
{
    (void)mr_events_tell(r, s, &(struct mr_ev){.type = type, .error = code});
}

static void on_stream(struct mr_registration *r, struct object *c, const struct mr_event *event)
{
    struct object *s = mr_events_find_any(r, event->user_data);
    uint32_t kinds = event->kinds;

    if ((kinds & MR_EVENT_STREAM_OPENED) != 0 && event->user_data == 0) {
        bool is_over = (kinds & MR_EVENT_CLOSED) != 0;
        s = is_over ? NULL : on_peer_stream(r, c, event);
    }
    if (s == NULL || s->kind != OBJECT_STREAM || s->handle != event->stream)
        return;
    mr_events_pin(s);
    mr_events_run_due(r, s);
    if ((kinds & MR_EVENT_READABLE) != 0)
        mr_events_receive(r, s);
    if ((kinds & MR_EVENT_RESET) != 0 && !s->is_shut)
        (void)mr_events_tell(r, s,
                             &(struct mr_ev){.type = MR_EV_PEER_SEND_ABORTED,
                                             .error = event->error,
                                             .is_reliable = event->result == 1});
    if ((kinds & MR_EVENT_STOPPED) != 0) {
        s->is_aborted = true;
        if (!s->is_shut)
            tell_code(r, s, MR_EV_PEER_RECEIVE_ABORTED, event->error);
    }
    if ((kinds & MR_EVENT_SENT) != 0)
        tell_code(r, s, MR_EV_SENT, 0);
    if ((kinds & MR_EVENT_ACKED) != 0)
        mr_events_complete_sends(r, s, event->acked_to);
    if ((kinds & MR_EVENT_WRITABLE) != 0 && !s->is_shut)
        tell_code(r, s, MR_EV_WRITABLE, 0);
    if ((kinds & MR_EVENT_CLOSED) != 0 && s->handle != MR_HANDLE_NONE)
        mr_events_end_stream(r, s, event);
    mr_events_unpin(r, s);
}

/* ------------------------------------------------------------------ connections */

static void tell_info(struct mr_registration *r, struct object *c, enum mr_ev_type type)
{
    struct mr_transport *t = r->transport;
    struct mr_ev ev = {.type = type, .info = &r->info};

    if (t->ops->conn_info(t, c->handle, &r->info) < 0)
        memset(&r->info, 0, sizeof(r->info));
    (void)mr_events_tell(r, c, &ev);
}

static void on_conn(struct mr_registration *r, struct object *c, const struct mr_event *event)
{
    uint32_t kinds = event->kinds;

    mr_events_pin(c);
    mr_events_run_due(r, c);
    if ((kinds & (MR_EVENT_CONNECTED | MR_EVENT_EARLY)) != 0 && c->handler != NULL &&
        !c->is_given_up && !c->is_shut)
        tell_info(r, c, (kinds & MR_EVENT_CONNECTED) != 0 ? MR_EV_CONNECTED : MR_EV_EARLY);
    if ((kinds & MR_EVENT_CONFIRMED) != 0 && !c->is_shut)
        tell_code(r, c, MR_EV_CONFIRMED, 0);
    if ((kinds & MR_EVENT_PATH_CHANGED) != 0 && !c->is_shut)
        tell_info(r, c, MR_EV_PATH_CHANGED);
    if ((kinds & MR_EVENT_PATH_FAILED) != 0 && !c->is_shut)
        tell_code(r, c, MR_EV_PATH_FAILED, 0);
    if ((kinds & MR_EVENT_PATHS_CHANGED) != 0 && !c->is_shut)
        tell_code(r, c, MR_EV_PATHS_CHANGED, 0);
    if ((kinds & MR_EVENT_MOVED_IN) != 0 && !c->is_shut)
        tell_code(r, c, MR_EV_MOVED, event->error);
    if ((kinds & MR_EVENT_STREAMS_ALLOWED) != 0 && !c->is_shut)
        tell_code(r, c, MR_EV_STREAMS_AVAILABLE, 0);
    if ((kinds & MR_EVENT_DATAGRAM) != 0)
        mr_events_receive_datagrams(r, c);
    if ((kinds & MR_EVENT_WRITABLE) != 0 && !c->is_shut)
        tell_code(r, c, MR_EV_WRITABLE, 0);
    if ((kinds & MR_EVENT_TICKET) != 0)
        tell_code(r, c, MR_EV_TICKET, 0);
    if ((kinds & MR_EVENT_CLOSED) != 0 && c->handle != MR_HANDLE_NONE)
        mr_events_end_conn(r, c, event);
    mr_events_unpin(r, c);
}

/* ------------------------------------------------------------------ dispatch */

void mr_events_run_due(struct mr_registration *r, struct object *o)
{
    uint32_t due = o->due;

    o->due = 0;
    mr_events_pin(o);
    if ((due & DUE_START) != 0)
        (void)mr_events_tell(r, o, &(struct mr_ev){.type = MR_EV_START_COMPLETE});
    if ((due & DUE_SEND) != 0)
        mr_events_complete_sends(r, o, o->acked_to);
    if ((due & DUE_RECEIVE) != 0 && o->kind == OBJECT_STREAM)
        mr_events_receive(r, o);
    if ((due & DUE_RECEIVE) != 0 && o->kind == OBJECT_CONN)
        mr_events_receive_datagrams(r, o);
    if ((due & DUE_OVER) != 0)
        mr_events_end_listener(r, o, o->status);
    mr_events_unpin(r, o);
}

/* Once for each object that is on the list now.  Returns how many. */
static uint32_t run_deferred(struct mr_registration *r)
{
    uint32_t count = r->deferred_count;

    for (uint32_t left = count; left > 0; left--) {
        struct object *o = mr_events_next_deferred(r);
        if (o == NULL)
            break;
        mr_events_run_due(r, o); /* its unpin frees what was given up */
    }
    return count;
}

static void go_away(struct mr_registration *r, const struct mr_event *event)
{
    end_listeners(r, -ESHUTDOWN);
    mr_events_guests_go_away(r, event);
}

/* How many of the events, from the first on, are of the same guest's connections. */
static size_t guest_run(const struct mr_registration *r, uint32_t guest,
                        const struct mr_event *events, size_t count)
{
    size_t run = 0;

    for (; run < count && events[run].conn != MR_HANDLE_NONE; run++) {
        uint32_t index = mr_table8_find(&r->conns, events[run].conn);
        if (index == MR_NONE)
            break;
        const struct object *o = mr_events_at(r, index);
        if (o->kind != OBJECT_GUEST || o->guest != guest)
            break;
        if (events[run].stream == MR_HANDLE_NONE && (events[run].kinds & MR_EVENT_CLOSED) != 0)
            return run + 1; /* what comes after it is not ours to hear of */
    }
    return run;
}

/* One event, or more of one guest.  Returns how many. */
static size_t dispatch(struct mr_registration *r, const struct mr_event *events, size_t count)
{
    if ((events->kinds & (MR_EVENT_TIMER | MR_EVENT_WORK_DONE)) != 0) {
        mr_events_guest_call_done(r, events);
        return 1;
    }
    if ((events->kinds & MR_EVENT_GO_AWAY) != 0)
        go_away(r, events);
    if (events->conn == MR_HANDLE_NONE)
        return 1;
    if (mr_table8_find(&r->conns, events->conn) == MR_NONE)
        on_new_conn(r, events);
    uint32_t index = mr_table8_find(&r->conns, events->conn);
    if (index == MR_NONE)
        return 1;
    struct object *c = mr_events_at(r, index);
    if (c->kind == OBJECT_GUEST) {
        size_t run = guest_run(r, c->guest, events, count);
        mr_events_to_guest(r, c->guest, events, run);
        return run;
    }
    if (events->stream != MR_HANDLE_NONE)
        on_stream(r, c, events);
    else
        on_conn(r, c, events);
    return 1;
}

static void begin_driving(struct mr_registration *r)
{
    MR_ASSERT(r->depth == 0);
    MR_ASSERT(r->driving == 0);
    mr_events_own(r);
    r->driving++;
    mr_events_start_guests(r);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct mr_registration *r = context;

    begin_driving(r);
    (void)run_deferred(r);
    for (size_t i = 0; i < count;) {
        i += dispatch(r, &events[i], count - i);
        (void)run_deferred(r);
    }
    r->driving--;
}

static uint32_t on_poll(void *context)
{
    struct mr_registration *r = context;

    begin_driving(r);
    uint32_t work = run_deferred(r);
    work += mr_events_run_calls(r);
    mr_events_fill_stock(r);
    work += mr_events_poll_guests(r);
    work += run_deferred(r);
    r->driving--;
    return work;
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_registration *r = context;

    r->transport = transport;
    resolve_listeners(r);
}

/* Every object gets its last event. */
static void on_stop(void *context)
{
    struct mr_registration *r = context;
    const struct mr_event why = {.reason = "the datapath is gone"};

    r->driving++;
    r->is_stopping = true;
    mr_events_stop_guests(r);
    end_listeners(r, -ENOTCONN);
    for (uint32_t i = 0; i < r->objects.fresh; i++) {
        struct object *o = mr_events_at(r, i);
        if (o->kind == OBJECT_CONN && o->handle != MR_HANDLE_NONE)
            mr_events_end_conn(r, o, &why);
    }
    while (run_deferred(r) > 0)
        continue;
    r->transport = NULL;
    r->is_stopping = false;
    r->driving--;
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        r->listener[i].is_on = false;
}

const struct mr_application *mr_registration_application(struct mr_registration *registration)
{
    return &registration->application;
}

void mr_registration_set_host(struct mr_registration *registration,
                              const struct mr_events_host *host)
{
    registration->host = *host;
}

bool mr_registration_has_transport(const struct mr_registration *registration)
{
    return registration->transport != NULL;
}

bool mr_registration_has_work(const struct mr_registration *registration)
{
    return registration->deferred_count > 0 || mr_events_has_calls(registration);
}

void mr_registration_resolve(struct mr_registration *registration)
{
    resolve_listeners(registration);
}

void mr_registration_shut_down(struct mr_registration *registration)
{
    for (uint32_t i = 0; i < registration->objects.fresh; i++) {
        const struct object *o = mr_events_at(registration, i);
        if (o->kind == OBJECT_LISTENER || o->kind == OBJECT_CONN)
            (void)mr_ev_shutdown(registration, mr_events_id(o), 0, 0);
    }
}

uint32_t mr_registration_objects(const struct mr_registration *registration)
{
    /* relaxed: a figure */
    return atomic_load_explicit(&registration->alive, memory_order_relaxed);
}

void mr_registration_stats(const struct mr_registration *registration,
                           struct mr_events_stats *stats_out)
{
    *stats_out = registration->stats;
    stats_out->objects = mr_registration_objects(registration);
    stats_out->objects_used = registration->objects.used;
    stats_out->sends_used = registration->sends.used;
    stats_out->deferred = registration->deferred_count;
}

/* ------------------------------------------------------------------ life cycle */

/* Memory that is touched when it is used first. */
static void *reserve(size_t size)
{
    size_t lines = (size + MR_CACHE_LINE - 1) / MR_CACHE_LINE;

    return aligned_alloc(MR_CACHE_LINE, lines * MR_CACHE_LINE);
}

static bool make_pools(struct mr_registration *r, const struct mr_registration_limits *limits,
                       uint32_t stock)
{
    static const struct mr_siphash_key hash_key = {0}; /* the transport chooses handles, no peer */
    uint32_t objects = limits->objects_max + stock;

    r->objects_mem = reserve(mr_pool_footprint(objects, sizeof(struct object), 64));
    r->sends_mem = reserve(mr_pool_footprint(limits->sends_max, sizeof(struct send), 8));
    r->conns_mem = reserve(mr_table8_footprint(objects));
    r->guest_calls_mem =
        reserve(mr_pool_footprint(limits->guest_calls_max, sizeof(struct guest_call), 8));
    if (r->objects_mem == NULL || r->sends_mem == NULL || r->conns_mem == NULL ||
        r->guest_calls_mem == NULL || !mr_events_calls_new(&r->calls, limits->calls_max, stock))
        return false;
    mr_pool_init(&r->objects, r->objects_mem, objects, sizeof(struct object), 64);
    mr_pool_init(&r->sends, r->sends_mem, limits->sends_max, sizeof(struct send), 8);
    mr_pool_init(&r->guest_calls, r->guest_calls_mem, limits->guest_calls_max,
                 sizeof(struct guest_call), 8);
    mr_table8_init(&r->conns, r->conns_mem, objects, &hash_key);
    mr_events_fill_stock(r);
    return true;
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value == 0 ? otherwise : value;
}

struct mr_registration *mr_registration_new(const struct mr_registration_limits *limits)
{
    struct mr_registration_limits l = {0};
    struct mr_registration *r = reserve(sizeof(*r));

    if (r == NULL)
        return NULL;
    memset(r, 0, sizeof(*r));
    if (limits != NULL)
        l = *limits;
    l.objects_max = or_default(l.objects_max, OBJECTS_DEFAULT);
    l.sends_max = or_default(l.sends_max, SENDS_DEFAULT);
    l.calls_max = or_default(l.calls_max, CALLS_DEFAULT);
    l.guest_calls_max = or_default(l.guest_calls_max, OBJECTS_DEFAULT);
    r->deferred_head = MR_NONE;
    r->deferred_tail = MR_NONE;
    r->application = (struct mr_application){
        .name = "events",
        .context = r,
        .on_start = on_start,
        .on_events = on_events,
        .on_poll = on_poll,
        .on_stop = on_stop,
    };
    if (!make_pools(r, &l, MR_MIN(STOCK_MAX, l.objects_max))) {
        mr_registration_free(r);
        return NULL;
    }
    return r;
}

/* Write to each page what is there. */
static void touch(void *memory, size_t size)
{
    uint8_t *bytes = memory;

    for (size_t at = 0; at < size; at += PAGE) /* relaxed: nobody else is there yet */
        (void)atomic_fetch_or_explicit((_Atomic uint8_t *)&bytes[at], 0, memory_order_relaxed);
}

void mr_registration_touch(struct mr_registration *r)
{
    touch(r, sizeof(*r));
    touch(r->objects_mem, (size_t)r->objects.count * r->objects.stride);
    touch(r->sends_mem, (size_t)r->sends.count * r->sends.stride);
    touch(r->guest_calls_mem, (size_t)r->guest_calls.count * r->guest_calls.stride);
}

void mr_registration_free(struct mr_registration *registration)
{
    if (registration == NULL)
        return;
    MR_ASSERT(registration->transport == NULL);
    mr_events_calls_free(&registration->calls);
    free(registration->objects_mem);
    free(registration->sends_mem);
    free(registration->conns_mem);
    free(registration->guest_calls_mem);
    free(registration);
}
