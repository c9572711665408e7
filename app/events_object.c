/* app/events_object.c - objects, and telling their handlers; see events_internal.h. */
#include <string.h>

#include "app/events_internal.h"

/* ------------------------------------------------------------------ the table */

struct object *mr_events_at(const struct mr_registration *r, uint32_t index)
{
    return mr_pool_at(&r->objects, index);
}

mr_object mr_events_id(const struct object *o)
{
    return (uint64_t)o->generation << 32 | (o->index + 1);
}

/* Empty, but for what outlives its use. */
static void clear(struct object *o, enum object_kind kind)
{
    *o = (struct object){
        .index = o->index,
        .generation = o->generation,
        .kind = (uint8_t)kind,
        .conn = MR_NONE,
        .next = MR_NONE,
        .previous = MR_NONE,
        .streams = MR_NONE,
        .sends_head = MR_NONE,
        .sends_tail = MR_NONE,
        .deferred_next = MR_NONE,
    };
}

static void count_alive(struct mr_registration *r, int by)
{
    /* relaxed: one writer, a figure */
    uint32_t alive = atomic_load_explicit(&r->alive, memory_order_relaxed);

    atomic_store_explicit(&r->alive, alive + (uint32_t)by, memory_order_relaxed);
}

struct object *mr_events_make(struct mr_registration *r, enum object_kind kind)
{
    uint32_t fresh = r->objects.fresh;
    uint32_t index = mr_pool_get(&r->objects);

    if (index == MR_NONE)
        return NULL;
    struct object *o = mr_events_at(r, index);
    if (index == fresh) { /* its memory was never used */
        o->index = index;
        o->generation = 1;
    }
    clear(o, kind);
    if (kind != OBJECT_SET_ASIDE)
        count_alive(r, 1);
    return o;
}

struct object *mr_events_adopt(struct mr_registration *r, mr_object id, enum object_kind kind)
{
    struct object *o = mr_events_find_any(r, id);

    MR_ASSERT(o != NULL);
    MR_ASSERT(o->kind == OBJECT_SET_ASIDE);
    o->kind = (uint8_t)kind;
    count_alive(r, 1);
    return o;
}

struct object *mr_events_find_any(const struct mr_registration *r, mr_object id)
{
    uint32_t index = (uint32_t)id - 1;

    if (index >= r->objects.fresh)
        return NULL;
    struct object *o = mr_events_at(r, index);
    return o->kind != OBJECT_FREE && o->generation == (uint32_t)(id >> 32) ? o : NULL;
}

struct object *mr_events_find(const struct mr_registration *r, mr_object id)
{
    struct object *o = mr_events_find_any(r, id);

    if (o == NULL || o->is_given_up || o->kind == OBJECT_SET_ASIDE || o->kind == OBJECT_GUEST)
        return NULL;
    return o;
}

/* ------------------------------------------------------------------ the end of an object */

void mr_events_pin(struct object *o)
{
    o->pins++;
}

void mr_events_unpin(struct mr_registration *r, struct object *o)
{
    MR_ASSERT(o->pins > 0);
    o->pins--;
    mr_events_maybe_free(r, o);
}

static void remove_stream(struct mr_registration *r, struct object *stream)
{
    if (stream->conn == MR_NONE) /* it was never opened */
        return;
    struct object *conn = mr_events_at(r, stream->conn);
    if (stream->next != MR_NONE)
        mr_events_at(r, stream->next)->previous = stream->previous;
    if (stream->previous != MR_NONE)
        mr_events_at(r, stream->previous)->next = stream->next;
    else
        conn->streams = stream->next;
    mr_events_maybe_free(r, conn);
}

void mr_events_maybe_free(struct mr_registration *r, struct object *o)
{
    bool is_needed = o->pins > 0 || !o->is_given_up || o->handle != MR_HANDLE_NONE ||
                     o->is_deferred || o->streams != MR_NONE;

    if (is_needed)
        return;
    MR_ASSERT(o->kind > OBJECT_SET_ASIDE);
    while (o->sends_head != MR_NONE) {
        uint32_t index = o->sends_head;
        o->sends_head = ((struct send *)mr_pool_at(&r->sends, index))->next;
        mr_pool_put(&r->sends, index);
    }
    bool is_stream = o->kind == OBJECT_STREAM;
    o->kind = OBJECT_FREE;
    o->generation = o->generation == UINT32_MAX ? 1 : o->generation + 1;
    if (is_stream)
        remove_stream(r, o);
    count_alive(r, -1);
    mr_pool_put(&r->objects, o->index);
}

void mr_events_add_stream(struct mr_registration *r, struct object *conn, struct object *stream)
{
    stream->conn = conn->index;
    stream->next = conn->streams;
    stream->previous = MR_NONE;
    if (conn->streams != MR_NONE)
        mr_events_at(r, conn->streams)->previous = stream->index;
    conn->streams = stream->index;
}

bool mr_events_tie(struct mr_registration *r, struct object *o, mr_handle handle)
{
    if (mr_table8_insert(&r->conns, handle, o->index) != MR_TABLE_ADDED)
        return false;
    o->handle = handle;
    return true;
}

void mr_events_untie(struct mr_registration *r, struct object *o)
{
    bool is_conn = o->kind == OBJECT_CONN || o->kind == OBJECT_GUEST;

    if (is_conn && o->handle != MR_HANDLE_NONE)
        (void)mr_table8_remove(&r->conns, o->handle);
    o->handle = MR_HANDLE_NONE;
}

/* ------------------------------------------------------------------ what is due */

void mr_events_stir(struct mr_registration *r)
{
    if (r->driving == 0 && r->host.wake != NULL)
        r->host.wake(r->host.context);
}

void mr_events_defer(struct mr_registration *r, struct object *o, uint32_t due)
{
    o->due = (uint8_t)(o->due | due);
    if (o->is_deferred)
        return;
    o->is_deferred = true;
    o->deferred_next = MR_NONE;
    if (r->deferred_tail == MR_NONE)
        r->deferred_head = o->index;
    else
        mr_events_at(r, r->deferred_tail)->deferred_next = o->index;
    r->deferred_tail = o->index;
    r->deferred_count++;
    mr_events_stir(r);
}

struct object *mr_events_next_deferred(struct mr_registration *r)
{
    if (r->deferred_head == MR_NONE)
        return NULL;
    struct object *o = mr_events_at(r, r->deferred_head);
    r->deferred_head = o->deferred_next;
    if (r->deferred_head == MR_NONE)
        r->deferred_tail = MR_NONE;
    o->is_deferred = false;
    r->deferred_count--;
    return o;
}

/* ------------------------------------------------------------------ telling */

static const char *name_of(const struct object *o)
{
    static const char *const names[] = {"?", "?", "listener", "connection", "stream", "guest"};

    return o->name[0] != '\0' ? o->name : names[o->kind];
}

enum mr_ev_answer mr_events_tell(struct mr_registration *r, struct object *o, struct mr_ev *event)
{
    if (o->handler == NULL || o->is_given_up || o->is_over)
        return MR_EV_OK;
    MR_ASSERT(r->depth < DEPTH_MAX);
    event->object = mr_events_id(o);
    if (event->reason == NULL)
        event->reason = "";
    r->stats.handlers++;
    r->depth++;
    r->stats.depth_peak = MR_MAX(r->stats.depth_peak, r->depth);
    mr_events_pin(o);
    uint64_t begin = r->host.clock == NULL ? 0 : r->host.clock(r->host.context);
    enum mr_ev_answer answer = o->handler(o->context, event);
    if (r->host.took != NULL)
        r->host.took(r->host.context, name_of(o), r->host.clock(r->host.context) - begin);
    mr_events_unpin(r, o);
    r->depth--;
    return answer;
}

/* ------------------------------------------------------------------ invariants */

static uint32_t check_sends(const struct mr_registration *r, const struct object *o)
{
    uint64_t end = 0;
    uint32_t count = 0;

    for (uint32_t i = o->sends_head; i != MR_NONE; count++) {
        const struct send *send = mr_pool_at(&r->sends, i);
        MR_ASSERT(send->end >= end);
        MR_ASSERT(send->end <= o->queued);
        MR_ASSERT(send->next != MR_NONE || i == o->sends_tail);
        end = send->end;
        i = send->next;
    }
    MR_ASSERT((count == 0) == (o->sends_tail == MR_NONE));
    return count;
}

static uint32_t check_streams(const struct mr_registration *r, const struct object *c)
{
    uint32_t previous = MR_NONE;
    uint32_t count = 0;

    for (uint32_t i = c->streams; i != MR_NONE; count++) {
        const struct object *s = mr_events_at(r, i);
        MR_ASSERT(s->kind == OBJECT_STREAM);
        MR_ASSERT(s->conn == c->index);
        MR_ASSERT(s->previous == previous);
        previous = i;
        i = s->next;
    }
    return count;
}

static void check_object(const struct mr_registration *r, const struct object *o)
{
    bool is_conn = o->kind == OBJECT_CONN || o->kind == OBJECT_GUEST;

    MR_ASSERT(mr_events_at(r, o->index) == o);
    MR_ASSERT(o->generation > 0);
    MR_ASSERT(r->depth > 0 || r->driving > 0 || o->pins == 0);
    MR_ASSERT(o->due == 0 || o->is_deferred || r->driving > 0);
    MR_ASSERT(!o->is_over || o->handle == MR_HANDLE_NONE);
    MR_ASSERT(!o->is_pending || o->kind == OBJECT_STREAM);
    MR_ASSERT(is_conn || o->streams == MR_NONE);
    if (is_conn && o->handle != MR_HANDLE_NONE)
        MR_ASSERT(mr_table8_find(&r->conns, o->handle) == o->index);
    if (o->kind == OBJECT_SET_ASIDE)
        MR_ASSERT(o->handler == NULL);
    if (r->driving == 0 && o->kind > OBJECT_SET_ASIDE && o->handle == MR_HANDLE_NONE)
        MR_ASSERT(!o->is_given_up || o->is_deferred || o->streams != MR_NONE);
}

void mr_registration_check(const struct mr_registration *registration)
{
    const struct mr_registration *r = registration;
    uint32_t sends = 0, used = 0, alive = 0, streams = 0, listed = 0, deferred = 0, tied = 0;

    mr_pool_check(&r->objects);
    mr_pool_check(&r->sends);
    mr_pool_check(&r->guest_calls);
    mr_table8_check(&r->conns);
    for (uint32_t i = 0; i < r->objects.fresh; i++) {
        const struct object *o = mr_events_at(r, i);
        if (o->kind == OBJECT_FREE)
            continue;
        used++;
        alive += o->kind != OBJECT_SET_ASIDE;
        check_object(r, o);
        sends += check_sends(r, o);
        listed += check_streams(r, o);
        streams += o->kind == OBJECT_STREAM && o->conn != MR_NONE;
        deferred += o->is_deferred;
        tied += o->kind != OBJECT_STREAM && o->handle != MR_HANDLE_NONE;
    }
    MR_ASSERT(used == r->objects.used);
    MR_ASSERT(alive == mr_registration_objects(r));
    MR_ASSERT(sends == r->sends.used);
    MR_ASSERT(streams == listed);
    MR_ASSERT(deferred == r->deferred_count);
    MR_ASSERT(tied == r->conns.core.count);
    for (uint32_t i = r->deferred_head; i != MR_NONE; deferred--)
        i = mr_events_at(r, i)->deferred_next;
    MR_ASSERT(deferred == 0);
}
