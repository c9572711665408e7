/* app/transport_ring.c - see transport_ring.h: life, and the poll. */
#include "app/transport_ring.h"

#include <stdlib.h>
#include <time.h>

#include "app/transport_internal.h"
#include "app/transport_move.h"
#include "app/transport_send.h"

#define NS_PER_S        UINT64_C(1000000000)
#define OBJECTS_DEFAULT 1024u /* of a ring that does not say */
#define SENDS_DEFAULT   64u
#define COUNT_MAX       (1u << 20)       /* what a ring may say */
#define VIEWS_MAX       64u              /* of a stream by reference; the datapath shows 16 */
#define EXTRA_RECORDS   1024u            /* datagrams, closes */
#define LOOK_NS         (NS_PER_S / 10)  /* between two looks whether the datapath lives */
#define ROOM_NS         UINT64_C(100000) /* until a full queue may have room again */
#define TIMERS_AT_ONCE  32

struct mr_ring_transport_config mr_ring_transport_config_default(void)
{
    return (struct mr_ring_transport_config){
        .queue_bytes = 4 << 20, .segments_max = 65536, .timers_max = 4096, .work_max = 256};
}

static uint64_t monotonic_ns(void *context)
{
    struct timespec now;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------ life */

/* Zeroed, and not touched until it is used. */
static bool make_pool(struct mr_pool *pool, uint32_t count, size_t size)
{
    void *memory = calloc(1, mr_pool_footprint(count, size, sizeof(uint64_t)));

    if (memory != NULL)
        mr_pool_init(pool, memory, count, size, sizeof(uint64_t));
    return memory != NULL;
}

static uint32_t limit_of(uint32_t said, uint32_t if_none)
{
    return MR_MIN(said == 0 ? if_none : said, COUNT_MAX);
}

static bool make_ring(struct mr_rt_ring *r, struct mr_ring *ring, uint32_t objects)
{
    static const struct mr_siphash_key key = {1, 2}; /* names are the datapath's, not a peer's */
    uint32_t aliases = mr_ring_alias_count(ring);

    r->ring = ring;
    r->sends_max = limit_of(mr_ring_sends_max(ring), SENDS_DEFAULT);
    for (int i = 0; i < MR_RT_LISTS; i++)
        r->lists[i].head = MR_NONE;
    r->table = malloc(mr_table8_footprint(objects));
    r->aliases = calloc(aliases + 1, sizeof(*r->aliases));
    if (r->table == NULL || r->aliases == NULL)
        return false;
    mr_table8_init(&r->by_name, r->table, objects, &key);
    for (uint32_t i = 0; i < aliases; i++)
        r->aliases[i] = aliases - 1 - i;
    r->alias_free = aliases;
    return true;
}

static bool make_all(struct mr_ring_transport *t)
{
    uint32_t objects = 0;
    uint32_t sends = 0;
    uint32_t pieces = 0;

    for (uint32_t i = 0; i < t->ring_count; i++) {
        struct mr_ring *ring = mr_attach_ring(t->attachment, i);

        uint32_t ring_objects = limit_of(mr_ring_objects_max(ring), OBJECTS_DEFAULT);

        /* one that is over there may wait here until it was consumed */
        objects += 2 * ring_objects;
        sends += limit_of(mr_ring_sends_max(ring), SENDS_DEFAULT);
        pieces += ring->region.sizes.slot_count +
                  (mr_ring_is_by_reference(ring) ? VIEWS_MAX * ring_objects : 0);
    }
    for (uint32_t i = 0; i < t->ring_count; i++)
        if (!make_ring(&t->rings[i], mr_attach_ring(t->attachment, i), objects))
            return false;
    t->nodes = calloc(t->config.timers_max, sizeof(*t->nodes));
    t->work = calloc(t->config.work_max, sizeof(*t->work));
    if (t->nodes == NULL || t->work == NULL ||
        !make_pool(&t->objects, objects, sizeof(struct mr_rt_object)) ||
        !make_pool(&t->conns, objects, sizeof(struct mr_rt_conn)) ||
        !make_pool(&t->records, sends + 2 * objects + EXTRA_RECORDS, sizeof(struct mr_rt_record)) ||
        !make_pool(&t->segments, t->config.segments_max, sizeof(struct mr_rt_segment)) ||
        !make_pool(&t->pieces, pieces, sizeof(struct mr_rt_piece)) ||
        !make_pool(&t->timers, t->config.timers_max, sizeof(struct mr_rt_timer)))
        return false;
    mr_wheel_init(&t->wheel, t->nodes, t->config.timers_max, t->now);
    return true;
}

static void free_all(struct mr_ring_transport *t)
{
    for (uint32_t i = 0; i < t->conns.fresh; i++) {
        struct mr_rt_conn *c = mr_pool_at(&t->conns, i);

        free(c->ticket);
        free(c->paths);
    }
    for (uint32_t i = 0; i < t->ring_count; i++) {
        free(t->rings[i].table);
        free(t->rings[i].aliases);
        free(t->rings[i].late);
    }
    free(t->objects.objects);
    free(t->conns.objects);
    free(t->records.objects);
    free(t->segments.objects);
    free(t->pieces.objects);
    free(t->timers.objects);
    free(t->nodes);
    free(t->work);
    free(t->held);
    free(t);
}

struct mr_ring_transport *mr_ring_transport_new(struct mr_attachment *attachment,
                                                const struct mr_ring_transport_config *config,
                                                const struct mr_application *app)
{
    uint32_t count = mr_attach_ring_count(attachment);
    struct mr_ring_transport *t = calloc(1, sizeof(*t) + count * sizeof(t->rings[0]));

    if (t == NULL)
        return NULL;
    t->transport.ops = &mr_rt_ops;
    t->config = *config;
    if (t->config.clock == NULL)
        t->config.clock = monotonic_ns;
    t->app = app;
    t->attachment = attachment;
    t->ring_count = count;
    t->now = t->looked_at = t->config.clock(t->config.clock_context);
    t->news.head = t->over.head = t->leaving.head = MR_NONE;
    if (!make_all(t)) {
        free_all(t);
        return NULL;
    }
    if (app->on_start != NULL)
        app->on_start(app->context, &t->transport);
    if (config->listens)
        mr_ring_transport_listen(t, MR_RING_EVERY, true);
    return t;
}

void mr_ring_transport_free(struct mr_ring_transport *t)
{
    if (t == NULL)
        return;
    if (t->app->on_stop != NULL)
        t->app->on_stop(t->app->context);
    free_all(t);
}

struct mr_transport *mr_ring_transport_transport(struct mr_ring_transport *t)
{
    return &t->transport;
}

/* ------------------------------------------------------------------ the poll */

/* A datapath that died left no word in the rings. */
static void look_for_life(struct mr_ring_transport *t)
{
    if (t->now - t->looked_at < LOOK_NS)
        return;
    t->looked_at = t->now;
    if (mr_attach_is_alive(t->attachment))
        return;
    for (uint32_t i = 0; i < t->ring_count; i++)
        if (!mr_ring_has_completions(t->rings[i].ring))
            mr_rt_ring_gone(t, &t->rings[i]);
}

static uint32_t expire_timers(struct mr_ring_transport *t)
{
    uint32_t indexes[TIMERS_AT_ONCE];
    uint32_t count = mr_wheel_expire(&t->wheel, indexes, TIMERS_AT_ONCE, t->now);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t user_data =
            ((const struct mr_rt_timer *)mr_pool_at(&t->timers, indexes[i]))->user_data;

        mr_pool_put(&t->timers, indexes[i]);
        mr_rt_add_event(
            t, &(struct mr_event){.kinds = MR_EVENT_TIMER, .user_data = user_data, .reason = ""});
    }
    return count;
}

void mr_ring_transport_work_done(struct mr_ring_transport *t, uint64_t user_data, int64_t result)
{
    mr_rt_add_event(t, &(struct mr_event){.kinds = MR_EVENT_WORK_DONE,
                                          .user_data = user_data,
                                          .result = result,
                                          .reason = ""});
}

/* Of a transport without a thread pool: what was there at the begin. */
static uint32_t do_work(struct mr_ring_transport *t)
{
    uint32_t count = t->work_count;

    for (uint32_t i = 0; i < count; i++) {
        struct mr_rt_work work = t->work[t->work_begin];

        t->work_begin = (t->work_begin + 1) % t->config.work_max;
        t->work_count--;
        mr_ring_transport_work_done(t, work.user_data, work.function(work.argument));
    }
    return count;
}

static uint32_t submit_all(struct mr_ring_transport *t)
{
    uint32_t submitted = 0;

    for (uint32_t i = 0; i < t->ring_count; i++) {
        struct mr_rt_ring *ring = &t->rings[i];

        if (ring->is_gone)
            continue;
        mr_rt_submit_late(ring);
        mr_rt_pump(t, ring);
        submitted += mr_ring_submit(ring->ring);
    }
    return submitted;
}

uint32_t mr_ring_transport_poll(struct mr_ring_transport *t)
{
    uint32_t work = t->event_count;

    t->now = t->config.clock(t->config.clock_context);
    look_for_life(t);
    for (uint32_t i = 0; i < t->ring_count; i++) {
        struct mr_rt_ring *ring = &t->rings[i];

        mr_rt_submit_late(ring);
        work += mr_rt_take(t, ring);
        mr_rt_fetch_wanted(t, ring);
    }
    mr_rt_leave_ready(t);
    work += expire_timers(t);
    work += do_work(t);
    work += mr_rt_tell(t);
    if (t->app->on_poll != NULL)
        work += t->app->on_poll(t->app->context);
    return work + submit_all(t);
}

uint64_t mr_ring_transport_deadline(const struct mr_ring_transport *t)
{
    uint64_t deadline = mr_wheel_next(&t->wheel);

    if (t->news.head != MR_NONE || t->work_count > 0 || t->event_count > 0)
        return t->now;
    if (t->leaving.head != MR_NONE)
        deadline = MR_MIN(deadline, t->now + ROOM_NS);
    for (uint32_t i = 0; i < t->ring_count; i++) {
        const struct mr_rt_ring *ring = &t->rings[i];
        bool is_waiting = ring->late_count > 0 || ring->lists[MR_RT_PUMP].head != MR_NONE ||
                          ring->lists[MR_RT_WANTS].head != MR_NONE;

        if (!ring->is_gone && is_waiting)
            deadline = MR_MIN(deadline, t->now + ROOM_NS);
    }
    return deadline;
}

/* ------------------------------------------------------------------ others */

void mr_ring_transport_listen(struct mr_ring_transport *t, uint64_t listener, bool is_on)
{
    for (uint32_t i = 0; i < t->ring_count; i++) {
        struct mr_sqe sqe = {0};

        mr_sqe_listen(&sqe, listener, is_on);
        mr_rt_submit(t, &t->rings[i], &sqe);
    }
}

bool mr_ring_transport_is_alive(const struct mr_ring_transport *t)
{
    for (uint32_t i = 0; i < t->ring_count; i++)
        if (t->rings[i].is_gone)
            return false;
    return true;
}

uint32_t mr_ring_transport_objects(const struct mr_ring_transport *t)
{
    return t->objects.used;
}

const struct mr_ring_transport_stats *mr_ring_transport_stats(const struct mr_ring_transport *t)
{
    return &t->stats;
}

/* ------------------------------------------------------------------ invariants */

struct census {
    uint32_t pieces;
    uint32_t segments;
    uint32_t streams;
    uint32_t conns;
    uint32_t conn_streams; /* as the connections count them */
};

static uint32_t length_of(const struct mr_pool *pool, uint32_t head)
{
    uint32_t length = 0;

    for (; head != MR_NONE; length++)
        head = *(const uint32_t *)mr_pool_at(pool, head);
    return length;
}

static void check_stream(const struct mr_ring_transport *t, const struct mr_rt_object *object,
                         struct census *sum)
{
    const struct mr_rt_stream *s = &object->stream;

    MR_ASSERT(s->acked_to <= s->submitted_to);
    MR_ASSERT(s->submitted_to <= s->queued_to);
    MR_ASSERT(s->released_to <= s->received_to);
    MR_ASSERT(s->shown_to <= s->received_to);
    MR_ASSERT(!mr_rt_parent(t, object)->is_stream);
    sum->streams++;
    sum->pieces += length_of(&t->pieces, s->pieces.head);
    sum->segments += length_of(&t->segments, s->segments.head);
}

/* An accepted one has its CONNECTED, or else its end could not be told. */
static void check_conn(const struct mr_ring_transport *t, const struct mr_rt_object *object,
                       struct census *sum)
{
    const struct mr_rt_conn *c = mr_rt_conn_of(t, object);

    MR_ASSERT(c->is_client || c->is_told || (object->kinds & MR_EVENT_CONNECTED) != 0);
    sum->conns++;
    sum->conn_streams += c->streams;
    sum->pieces += length_of(&t->pieces, c->datagrams.head);
}

void mr_ring_transport_check(const struct mr_ring_transport *t)
{
    struct census sum = {0};

    for (uint32_t i = 0; i < t->objects.fresh; i++) {
        const struct mr_rt_object *object = mr_rt_at(t, i);

        if (!object->is_used)
            continue;
        MR_ASSERT(object->index == i);
        if (object->name != 0)
            MR_ASSERT(mr_table8_find(&t->rings[object->ring].by_name, object->name) == i);
        if (object->is_stream)
            check_stream(t, object, &sum);
        else
            check_conn(t, object, &sum);
    }
    MR_ASSERT(sum.conn_streams == sum.streams);
    MR_ASSERT(sum.conns == t->conns.used);
    MR_ASSERT(sum.conns + sum.streams == t->objects.used);
    MR_ASSERT(sum.pieces == t->pieces.used);
    MR_ASSERT(sum.segments == t->segments.used);
    mr_pool_check(&t->pieces);
    mr_pool_check(&t->records);
    for (uint32_t i = 0; i < t->ring_count; i++) {
        mr_send_area_check(&t->rings[i].ring->area);
        mr_outbox_check(&t->rings[i].ring->submissions);
    }
}
