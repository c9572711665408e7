/*
 * app/transport_tell.c - see transport_internal.h: objects' news become events.
 *
 *     connection   CONNECTED (once its INFO is here) ... CLOSED, after its streams'
 *     stream       after its connection's CONNECTED; CLOSED after all was consumed, or when its
 *                  connection is over
 */
#include "app/transport_internal.h"
#include "app/transport_receive.h"

/* ------------------------------------------------------------------ batches */

/* Those whose end was told in the batch that was delivered. */
static void free_over(struct mr_ring_transport *t)
{
    struct mr_rt_object *object;

    for (int streams = 1; streams >= 0; streams--) {
        uint32_t last = t->over.head == MR_NONE ? MR_NONE : t->over.tail;
        uint32_t index = MR_NONE;

        while (index != last && (object = mr_rt_pop(t, &t->over, MR_RT_OVER)) != NULL) {
            index = object->index;
            if (object->is_stream == (streams == 1))
                mr_rt_object_free(t, object);
            else
                mr_rt_push(t, &t->over, MR_RT_OVER, object);
        }
    }
}

void mr_rt_deliver(struct mr_ring_transport *t)
{
    if (t->event_count > 0) {
        uint32_t count = t->event_count;

        MR_ASSERT(!t->is_delivering);
        t->is_delivering = true;
        t->stats.events += count;
        t->app->on_events(t->app->context, t->events, count);
        t->event_count = 0;
        t->is_delivering = false;
    }
    free_over(t);
}

void mr_rt_add_event(struct mr_ring_transport *t, const struct mr_event *event)
{
    MR_ASSERT(!t->is_delivering);
    if (t->event_count == MR_RT_EVENTS)
        mr_rt_deliver(t);
    t->events[t->event_count++] = *event;
}

/* ------------------------------------------------------------------ what can be told now */

static uint32_t tellable_conn(const struct mr_ring_transport *t, const struct mr_rt_object *object)
{
    const struct mr_rt_conn *c = mr_rt_conn_of(t, object);
    uint32_t kinds = object->kinds;

    if (c->streams > 0 && (kinds & MR_EVENT_CLOSED) != 0)
        kinds &= ~(uint32_t)MR_EVENT_CLOSED;
    if (c->is_told)
        return kinds;
    if (!c->has_info)
        kinds &= ~(uint32_t)MR_EVENT_CONNECTED;
    /* an accepted one shows itself first; ours may fail before */
    if ((kinds & MR_EVENT_CONNECTED) == 0 && !c->is_client)
        return 0;
    return kinds;
}

static uint32_t tellable_stream(const struct mr_ring_transport *t,
                                const struct mr_rt_object *object)
{
    const struct mr_rt_conn *c = mr_rt_conn_of(t, mr_rt_parent(t, object));
    uint32_t kinds = object->kinds;

    if (!c->is_told && !c->is_client)
        return 0;
    if (object->stream.id == UINT64_MAX && !object->is_forced)
        return 0; /* its STREAM_OPENED is on its way */
    if (!object->is_forced && !mr_rt_has_consumed(object))
        kinds &= ~(uint32_t)MR_EVENT_CLOSED;
    if ((kinds & MR_EVENT_READABLE) != 0) /* a chance to read first */
        kinds &= ~(uint32_t)MR_EVENT_CLOSED;
    return kinds;
}

/* ------------------------------------------------------------------ telling */

static void tell_object(struct mr_ring_transport *t, struct mr_rt_object *object, uint32_t kinds)
{
    const struct mr_rt_object *conn = object->is_stream ? mr_rt_parent(t, object) : object;

    mr_rt_add_event(t, &(struct mr_event){
                           .kinds = kinds,
                           .listener = mr_rt_conn_of(t, conn)->listener,
                           .conn = mr_rt_handle(conn),
                           .stream = object->is_stream ? mr_rt_handle(object) : MR_HANDLE_NONE,
                           .user_data = object->user_data,
                           .acked_to = object->is_stream ? object->stream.acked_to : 0,
                           .error = object->error,
                           .result = object->is_stream && (kinds & MR_EVENT_RESET) != 0 &&
                                     object->stream.is_reliable,
                           .is_application = object->is_application,
                           .is_remote = object->is_remote,
                           .reason = object->reason,
                       });
}

/* Its streams may be told of now. */
static void conn_told(struct mr_ring_transport *t, struct mr_rt_object *conn)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);

    c->is_told = true;
    for (uint32_t i = c->first; i != MR_NONE; i = mr_rt_at(t, i)->stream.next)
        if (mr_rt_at(t, i)->kinds != 0)
            mr_rt_mark(t, mr_rt_at(t, i), 0);
}

/* One object's news.  Returns how many events. */
static uint32_t tell(struct mr_ring_transport *t, struct mr_rt_object *object)
{
    uint32_t kinds = object->is_stream ? tellable_stream(t, object) : tellable_conn(t, object);
    bool is_end = (kinds & MR_EVENT_CLOSED) != 0;

    if (kinds == 0)
        return 0;
    if (object->is_stream && object->stream.id == UINT64_MAX)
        object->is_hidden = true; /* it never opened */
    if (!object->is_hidden)
        tell_object(t, object, kinds);
    object->kinds &= ~kinds;
    if (!object->is_stream && (kinds & MR_EVENT_CONNECTED) != 0)
        conn_told(t, object);
    if (is_end) {
        object->is_over = true;
        mr_rt_push(t, &t->over, MR_RT_OVER, object);
    } else if ((object->kinds & MR_EVENT_CLOSED) != 0 && object->is_stream) {
        mr_rt_mark(t, object, 0); /* in the next batch */
    }
    return 1;
}

uint32_t mr_rt_tell(struct mr_ring_transport *t)
{
    uint32_t told = 0;

    do {
        uint32_t last = t->news.head == MR_NONE ? MR_NONE : t->news.tail;
        uint32_t index = MR_NONE;

        /* what is marked meanwhile is the next batch's */
        while (index != last && t->news.head != MR_NONE) {
            struct mr_rt_object *object = mr_rt_pop(t, &t->news, MR_RT_NEWS);

            index = object->index;
            told += tell(t, object);
        }
        mr_rt_deliver(t);
    } while (t->news.head != MR_NONE && told < MR_RT_EVENTS_PER_POLL);
    return told;
}
