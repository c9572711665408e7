/* dataplane/app_host.c - see app_host.h: its memory, and the shard's events to objects. */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/app_internal.h"
#include "dataplane/app_move.h"
#include "dataplane/app_send.h"
#include "quic/counters.h"

#define LASTING ((uint32_t)(MR_EVENT_RESET | MR_EVENT_STOPPED))
#define NO_NEWS ((uint32_t)(MR_EVENT_READABLE | MR_EVENT_DATAGRAM)) /* data says it itself */

struct mr_app_host_config mr_app_host_config_default(void)
{
    return (struct mr_app_host_config){.objects_max = MR_APP_OBJECTS,
                                       .sends_max = MR_APP_OBJECTS,
                                       .timers_max = 16384,
                                       .hoard_ns = UINT64_C(30000000000),
                                       .move_ns = UINT64_C(200000000),
                                       .numa_node = -1};
}

/* ------------------------------------------------------------------ events in */

static struct mr_app_object *accept_stream(struct mr_app_host *host, const struct mr_event *event)
{
    struct mr_app_object *conn = mr_app_object_of(host, event->conn);
    struct mr_app_object *object = NULL;

    if (conn != NULL && !conn->is_buried)
        object = mr_app_object_new(host, &host->rings[conn->ring], event->stream, conn);
    if (object != NULL) {
        object->id = host->transport->ops->stream_id(host->transport, event->stream);
        return object;
    }
    mr_count_add(&host->stats.streams_refused, 1);
    host->transport->ops->stop(host->transport, event->stream, host->config.refuse_code);
    host->transport->ops->reset(host->transport, event->stream, host->config.refuse_code);
    return NULL;
}

/* The object that an event is about; NULL: none of ours, any more. */
static struct mr_app_object *object_of(struct mr_app_host *host, const struct mr_event *event)
{
    bool is_stream = event->stream != MR_HANDLE_NONE;
    struct mr_app_object *object = mr_app_object_of(host, is_stream ? event->stream : event->conn);

    if (object != NULL)
        return object;
    if (is_stream)
        return (event->kinds & MR_EVENT_STREAM_OPENED) == 0 ? NULL : accept_stream(host, event);
    if ((event->kinds & MR_EVENT_CONNECTED) == 0 || (event->kinds & MR_EVENT_CLOSED) != 0)
        return NULL;
    return mr_app_accept_connection(host, event->conn);
}

static void note_end(struct mr_app_object *object, const struct mr_event *event)
{
    object->error = event->error;
    object->is_application = event->is_application;
    object->is_remote = event->is_remote;
}

/* A connection's end is its streams', whether or not they are told of their own. */
static void close_streams(struct mr_app_host *host, struct mr_app_object *conn,
                          const struct mr_event *event)
{
    for (uint32_t i = conn->kindred.head; i != MR_NONE;) {
        struct mr_app_object *stream = mr_app_object_at(host, i);

        i = stream->kin.next;
        if ((stream->kinds & MR_EVENT_CLOSED) != 0)
            continue;
        note_end(stream, event);
        mr_app_object_mark(host, stream, MR_EVENT_CLOSED);
    }
}

/* Its ring is let go of, and its end is there: nobody wants to know. */
static void free_silently(struct mr_app_host *host, struct mr_app_object *object)
{
    if (object->is_stream)
        mr_app_object_free(host, object);
    else
        mr_app_ring_free_conn(host, object);
}

static void take_object_event(struct mr_app_host *host, struct mr_app_object *object,
                              const struct mr_event *event)
{
    uint32_t news = event->kinds & ~NO_NEWS;

    if ((event->kinds & (MR_EVENT_CLOSED | LASTING)) != 0)
        note_end(object, event);
    if ((event->kinds & (MR_EVENT_CONNECTED | MR_EVENT_CLOSED)) != 0 && !object->is_stream)
        mr_app_set_connecting(host, object, false);
    object->lasting |= event->kinds & LASTING;
    object->is_reliable |= (event->kinds & MR_EVENT_RESET) != 0 && event->result == 1;
    object->is_readable |= (event->kinds & NO_NEWS) != 0 && !object->is_stopped;
    if ((event->kinds & MR_EVENT_ACKED) != 0) {
        object->acked_to = MR_MAX(object->acked_to, event->acked_to);
        mr_app_send_forget(host, object);
    }
    if (object->is_stream) { /* that it may be written to is ours to know */
        news &= ~(uint32_t)MR_EVENT_WRITABLE;
        if ((event->kinds & (MR_EVENT_WRITABLE | MR_EVENT_STOPPED)) != 0)
            mr_app_send_waiting(host, object);
    } else if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        mr_app_move_stays(host, object, -ENOTCONN);
        mr_app_keep_reason(host, object, event->reason);
        close_streams(host, object, event);
    }
    mr_app_object_mark(host, object, news);
}

/* They come alone. */
static void take_move(struct mr_app_host *host, struct mr_app_object *conn,
                      const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_MOVED_IN) != 0)
        mr_app_move_arrived(host, conn, event->error);
    else
        mr_app_move_over(host, conn, event->result);
}

static void take_go_away(struct mr_app_host *host)
{
    host->is_going_away = true;
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++)
        if (mr_app_is_active(host, i))
            host->rings[i].news |= MR_EVENT_GO_AWAY;
}

static void take_event(struct mr_app_host *host, const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_GO_AWAY) != 0) {
        take_go_away(host);
        return;
    }
    struct mr_app_object *object = object_of(host, event);
    if (object == NULL)
        return;
    if ((event->kinds & (MR_EVENT_MOVED | MR_EVENT_MOVED_IN)) != 0)
        take_move(host, object, event);
    else if ((event->kinds & MR_EVENT_CLOSED) != 0 && !host->rings[object->ring].is_attached)
        free_silently(host, object);
    else
        take_object_event(host, object, event);
}

/* ------------------------------------------------------------------ the shard's application */

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_app_host *host = context;

    host->transport = transport;
    mr_wheel_init(&host->wheel, host->nodes, host->config.timers_max,
                  transport->ops->now(transport));
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        take_event(context, &events[i]);
}

static uint32_t on_poll(void *context)
{
    struct mr_app_host *host = context;

    mr_app_take_commands(host);
    uint32_t work = mr_app_timers_expire(host);
    work += mr_app_moves_poll(host);
    for (uint64_t left = host->active; left != 0; left &= left - 1)
        work += mr_app_ring_poll(host, &host->rings[__builtin_ctzll(left)]);
    return work;
}

static void on_stop(void *context)
{
    mr_app_rings_stop(context);
}

/* ------------------------------------------------------------------ life */

static void *allocate(size_t bytes)
{
    return aligned_alloc(MR_CACHE_LINE,
                         (bytes + MR_CACHE_LINE - 1) / MR_CACHE_LINE * MR_CACHE_LINE);
}

static bool make_pool(struct mr_pool *pool, uint32_t count, size_t size)
{
    void *memory = allocate(mr_pool_footprint(count, size, MR_CACHE_LINE));

    if (memory != NULL)
        mr_pool_init(pool, memory, count, size, MR_CACHE_LINE);
    return memory != NULL;
}

static bool make_memory(struct mr_app_host *host, const struct mr_siphash_key *key)
{
    const struct mr_app_host_config *config = &host->config;

    host->table = malloc(mr_table8_footprint(config->objects_max));
    host->nodes = malloc(config->timers_max * sizeof(*host->nodes));
    if (host->table == NULL || host->nodes == NULL)
        return false;
    mr_table8_init(&host->by_handle, host->table, config->objects_max, key);
    return make_pool(&host->objects, config->objects_max, sizeof(struct mr_app_object)) &&
           make_pool(&host->sends, config->sends_max, sizeof(struct mr_app_send)) &&
           make_pool(&host->timers, config->timers_max, sizeof(struct mr_app_timer)) &&
           make_pool(&host->accepts, MR_APP_RINGS_MAX * MR_APP_ACCEPTS_MAX,
                     sizeof(struct mr_app_accept));
}

struct mr_app_host *mr_app_host_new(const struct mr_app_host_config *config,
                                    const uint8_t hash_key[16])
{
    struct mr_app_host *host = allocate(sizeof(*host));
    struct mr_siphash_key key = mr_siphash_key(hash_key);

    if (host == NULL)
        return NULL;
    memset(host, 0, sizeof(*host));
    host->config = *config;
    host->copy = mr_copy_ahead_best();
    host->application = (struct mr_application){.name = "attached applications",
                                                .context = host,
                                                .on_start = on_start,
                                                .on_events = on_events,
                                                .on_poll = on_poll,
                                                .on_stop = on_stop};
    mr_app_moves_init(host);
    mr_spsc_init(&host->commands, host->command_words, MR_APP_COMMANDS);
    for (uint32_t i = 0; i < MR_LISTENERS_MAX; i++)
        host->accepting[i] = MR_APP_CHAIN_EMPTY;
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++)
        host->rings[i].index = i;
    if (!make_memory(host, &key)) {
        mr_app_host_free(host);
        return NULL;
    }
    return host;
}

void mr_app_host_free(struct mr_app_host *host)
{
    if (host == NULL)
        return;
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++)
        free(host->rings[i].memory);
    free((void *)(uintptr_t)atomic_load(&host->newest));
    free((void *)(uintptr_t)host->previous);
    free(host->objects.objects);
    free(host->sends.objects);
    free(host->timers.objects);
    free(host->accepts.objects);
    free(host->table);
    free(host->nodes);
    free(host);
}

const struct mr_application *mr_app_host_application(struct mr_app_host *host)
{
    return &host->application;
}

const struct mr_handoff *mr_app_host_policy(const struct mr_app_host *host)
{
    return host->policy == NULL ? NULL : &host->policy->handoff;
}
