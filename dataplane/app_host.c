/* dataplane/app_host.c - see app_host.h: events to objects, rings that come and go. */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/app_internal.h"
#include "quic/counters.h"

struct mr_app_host_config mr_app_host_config_default(void)
{
    return (struct mr_app_host_config){
        .objects_max = 65536, .sends_max = 65536, .timers_max = 4096};
}

/* ------------------------------------------------------------------ events in */

/* Round robin over the rings that listen; NULL: none does. */
static struct mr_app_ring *choose_ring(struct mr_app_host *host)
{
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++) {
        struct mr_app_ring *ring = &host->rings[(host->next_ring + i) % MR_APP_RINGS_MAX];

        if (!ring->is_attached || !ring->listens)
            continue;
        host->next_ring = ring->index + 1;
        return ring;
    }
    return NULL;
}

static struct mr_app_object *accept_connection(struct mr_app_host *host, mr_handle handle)
{
    struct mr_app_ring *ring = choose_ring(host);
    struct mr_app_object *object =
        ring == NULL ? NULL : mr_app_object_new(host, ring, handle, NULL);

    if (object != NULL)
        return object;
    mr_count_add(&host->stats.conns_refused, 1);
    host->transport->ops->close(host->transport, handle, host->config.refuse_code,
                                "no application takes it");
    return NULL;
}

static struct mr_app_object *accept_stream(struct mr_app_host *host, const struct mr_event *event)
{
    struct mr_app_object *conn = mr_app_object_of(host, event->conn);
    struct mr_app_object *object = NULL;

    if (conn != NULL && host->rings[conn->ring].is_attached)
        object = mr_app_object_new(host, &host->rings[conn->ring], event->stream, conn);
    if (object != NULL)
        return object;
    mr_count_add(&host->stats.streams_refused, 1);
    host->transport->ops->stop(host->transport, event->stream, host->config.refuse_code);
    host->transport->ops->reset(host->transport, event->stream, host->config.refuse_code);
    return NULL;
}

/* The object that an event is about; NULL: none of ours, any more. */
static struct mr_app_object *object_of(struct mr_app_host *host, const struct mr_event *event)
{
    if (event->stream == MR_HANDLE_NONE) {
        struct mr_app_object *conn = mr_app_object_of(host, event->conn);

        if (conn == NULL && (event->kinds & MR_EVENT_CONNECTED) != 0 &&
            (event->kinds & MR_EVENT_CLOSED) == 0)
            conn = accept_connection(host, event->conn);
        return conn;
    }
    struct mr_app_object *stream = mr_app_object_of(host, event->stream);
    if (stream == NULL && (event->kinds & MR_EVENT_STREAM_OPENED) != 0)
        stream = accept_stream(host, event);
    return stream;
}

static void timer_fired(struct mr_app_host *host, uint32_t index)
{
    struct mr_app_timer *timer = mr_pool_at(&host->timers, index);
    struct mr_app_ring *ring = &host->rings[timer->ring];

    if (!ring->is_attached || ring->generation != timer->ring_generation) {
        mr_pool_put(&host->timers, index);
        return;
    }
    timer->next = MR_NONE;
    if (ring->fired_head == MR_NONE)
        ring->fired_head = index;
    else
        ((struct mr_app_timer *)mr_pool_at(&host->timers, ring->fired_tail))->next = index;
    ring->fired_tail = index;
}

static void take_event(struct mr_app_host *host, const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_TIMER) != 0) {
        timer_fired(host, (uint32_t)event->user_data);
        return;
    }
    struct mr_app_object *object = object_of(host, event);
    if (object == NULL)
        return;
    if (!host->rings[object->ring].is_attached) { /* nobody wants to know; its end frees it */
        if ((event->kinds & MR_EVENT_CLOSED) != 0)
            mr_app_object_free(host, object);
        return;
    }
    object->acked_to = MR_MAX(object->acked_to, event->acked_to);
    if ((event->kinds & (MR_EVENT_CLOSED | MR_EVENT_RESET | MR_EVENT_STOPPED)) != 0) {
        object->error = event->error;
        object->is_application = event->is_application;
        object->is_remote = event->is_remote;
    }
    object->is_readable |= (event->kinds & MR_EVENT_READABLE) != 0;
    mr_app_object_mark(host, object, event->kinds);
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_app_host *host = context;

    host->transport = transport;
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        take_event(context, &events[i]);
}

static void on_stop(void *context)
{
    (void)context;
}

/* ------------------------------------------------------------------ rings */

/* Tell it, if there is room, and close what it had. */
static void let_go(struct mr_app_host *host, struct mr_app_ring *ring)
{
    ring->is_attached = false;
    while (ring->dirty_head != MR_NONE) {
        struct mr_app_object *object = mr_app_object_at(host, ring->dirty_head);

        ring->dirty_head = object->dirty_next;
        object->is_dirty = false;
    }
    /* Ends that were due and not told: streams first. */
    for (int streams = 1; streams >= 0; streams--)
        for (uint32_t i = 0; i < host->objects.fresh; i++) {
            struct mr_app_object *object = mr_app_object_at(host, i);

            if ((object->generation & 1) == 0 || object->ring != ring->index ||
                object->is_stream != (streams == 1))
                continue;
            if ((object->kinds & MR_EVENT_CLOSED) != 0)
                mr_app_object_free(host, object);
            else if (!object->is_stream)
                host->transport->ops->close(host->transport, object->handle,
                                            host->config.death_code, "the application is gone");
        }
    while (ring->fired_head != MR_NONE) {
        uint32_t index = ring->fired_head;

        ring->fired_head = ((struct mr_app_timer *)mr_pool_at(&host->timers, index))->next;
        mr_pool_put(&host->timers, index);
    }
    if (mr_app_has_room(ring, 1))
        mr_app_complete(host, ring, &(struct mr_cqe){.type = MR_CQE_GONE});
    atomic_store_explicit(ring->region.is_gone, 1, memory_order_release);
    mr_outbox_publish(&ring->completions);
    ring->wake(ring->argument);
}

static uint32_t poll_ring(struct mr_app_host *host, struct mr_app_ring *ring)
{
    uint32_t work = mr_app_submissions(host, ring);

    work += mr_app_completions(host, ring);
    if (ring->submissions.is_broken || ring->completions.is_broken) {
        mr_count_add(&host->stats.rings_broken, 1);
        let_go(host, ring);
    }
    return work;
}

static uint32_t on_poll(void *context)
{
    struct mr_app_host *host = context;
    uint32_t work = 0;

    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++)
        if (host->rings[i].is_attached)
            work += poll_ring(host, &host->rings[i]);
    return work;
}

static bool make_slots(struct mr_app_ring *ring)
{
    uint32_t count = ring->region.sizes.slot_count;

    ring->slots = calloc(count, sizeof(*ring->slots));
    ring->free_slots = calloc(count, sizeof(*ring->free_slots));
    if (ring->slots == NULL || ring->free_slots == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        ring->slots[i].object = MR_NONE;
        ring->free_slots[i] = count - 1 - i;
    }
    ring->free_count = count;
    return true;
}

static void free_slots(struct mr_app_ring *ring)
{
    free(ring->slots);
    free(ring->free_slots);
    ring->slots = NULL;
    ring->free_slots = NULL;
}

int mr_app_host_attach(struct mr_app_host *host, const struct mr_ring_region *region,
                       void (*wake)(void *argument), void *argument)
{
    uint32_t index = 0;

    while (index < MR_APP_RINGS_MAX && host->rings[index].is_used)
        index++;
    if (index == MR_APP_RINGS_MAX)
        return -ENOSPC;
    struct mr_app_ring *ring = &host->rings[index];
    struct mr_mailbox submissions = mr_ring_submissions(region);
    struct mr_mailbox completions = mr_ring_completions(region);

    *ring = (struct mr_app_ring){.region = *region,
                                 .wake = wake,
                                 .argument = argument,
                                 .index = index,
                                 .generation = ring->generation + 1,
                                 .dirty_head = MR_NONE,
                                 .dirty_tail = MR_NONE,
                                 .hungry_head = MR_NONE,
                                 .hungry_tail = MR_NONE,
                                 .fired_head = MR_NONE,
                                 .fired_tail = MR_NONE};
    mr_inbox_init(&ring->submissions, &submissions);
    mr_outbox_init(&ring->completions, &completions);
    if (!make_slots(ring)) {
        free_slots(ring);
        return -ENOMEM;
    }
    ring->is_used = ring->is_attached = true;
    return (int)index;
}

void mr_app_host_detach(struct mr_app_host *host, uint32_t ring)
{
    if (ring < MR_APP_RINGS_MAX && host->rings[ring].is_attached)
        let_go(host, &host->rings[ring]);
}

bool mr_app_host_is_drained(struct mr_app_host *host, uint32_t index)
{
    struct mr_app_ring *ring = &host->rings[index];

    if (ring->is_attached || ring->objects > 0)
        return false;
    free_slots(ring);
    ring->is_used = false;
    return true;
}

bool mr_app_host_is_attached(const struct mr_app_host *host, uint32_t ring)
{
    return ring < MR_APP_RINGS_MAX && host->rings[ring].is_attached;
}

const struct mr_app_host_stats *mr_app_host_stats(const struct mr_app_host *host)
{
    return &host->stats;
}

/* ------------------------------------------------------------------ life */

static bool make_pool(struct mr_pool *pool, uint32_t count, size_t size)
{
    size_t bytes = mr_pool_footprint(count, size, MR_CACHE_LINE);
    void *memory =
        aligned_alloc(MR_CACHE_LINE, (bytes + MR_CACHE_LINE - 1) / MR_CACHE_LINE * MR_CACHE_LINE);

    if (memory != NULL)
        mr_pool_init(pool, memory, count, size, MR_CACHE_LINE);
    return memory != NULL;
}

struct mr_app_host *mr_app_host_new(const struct mr_app_host_config *config,
                                    const uint8_t hash_key[16])
{
    struct mr_app_host *host = calloc(1, sizeof(*host));
    struct mr_siphash_key key;

    if (host == NULL)
        return NULL;
    host->config = *config;
    host->application = (struct mr_application){.name = "attached applications",
                                                .context = host,
                                                .on_start = on_start,
                                                .on_events = on_events,
                                                .on_poll = on_poll,
                                                .on_stop = on_stop};
    key = mr_siphash_key(hash_key);
    host->table = malloc(mr_table8_footprint(config->objects_max));
    if (host->table == NULL ||
        !make_pool(&host->objects, config->objects_max, sizeof(struct mr_app_object)) ||
        !make_pool(&host->sends, config->sends_max, sizeof(struct mr_app_send)) ||
        !make_pool(&host->timers, config->timers_max, sizeof(struct mr_app_timer))) {
        mr_app_host_free(host);
        return NULL;
    }
    mr_table8_init(&host->by_handle, host->table, config->objects_max, &key);
    return host;
}

void mr_app_host_free(struct mr_app_host *host)
{
    if (host == NULL)
        return;
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++)
        free_slots(&host->rings[i]);
    free(host->objects.objects);
    free(host->sends.objects);
    free(host->timers.objects);
    free(host->table);
    free(host);
}

const struct mr_application *mr_app_host_application(struct mr_app_host *host)
{
    return &host->application;
}

/* ------------------------------------------------------------------ invariants */

struct census {
    uint32_t objects;
    uint32_t streams;
    uint32_t sends;
    uint32_t held;
};

static void check_object(const struct mr_app_host *host, const struct mr_app_object *object,
                         struct census *sum)
{
    MR_ASSERT(object->ring < MR_APP_RINGS_MAX);
    MR_ASSERT(host->rings[object->ring].is_used);
    MR_ASSERT(mr_table8_find(&host->by_handle, object->handle) == object->index);
    sum->objects++;
    sum->streams += object->is_stream;
    sum->held += object->held;
    for (uint32_t i = object->send_head; i != MR_NONE;) {
        const struct mr_app_send *send = mr_pool_at(&host->sends, i);

        MR_ASSERT(send->end <= object->queued_to);
        sum->sends++;
        i = send->next;
    }
}

void mr_app_host_check(const struct mr_app_host *host)
{
    struct census sum = {0};
    uint32_t streams = 0;
    uint32_t objects = 0;

    for (uint32_t i = 0; i < host->objects.fresh; i++) {
        const struct mr_app_object *object = mr_app_object_at(host, i);

        if ((object->generation & 1) == 0)
            continue;
        check_object(host, object, &sum);
        streams += object->streams;
    }
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++)
        objects += host->rings[i].is_used ? host->rings[i].objects : 0;
    MR_ASSERT(sum.objects == host->objects.used);
    MR_ASSERT(sum.objects == objects);
    MR_ASSERT(sum.streams == streams);
    MR_ASSERT(sum.sends == host->sends.used);
    mr_table8_check(&host->by_handle);
}
