/* tools/bench_echo.c - see bench_echo.h. */
#include "tools/bench_echo.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/random.h"
#include "tools/bench_world.h"

#define DATA_BYTES       (UINT32_C(1) << 20) /* a power of two */
#define CONNECTS_AT_ONCE 16
#define VIEWS            16

/* ------------------------------------------------------------------ messages */

/* Any two messages of a while differ. */
static const uint8_t *message(const struct mr_echo_client *c, const struct mr_echo_stream *s)
{
    uint64_t which = s->number * c->room + (uint64_t)(s - c->streams);

    return c->data + (which * 61 & (DATA_BYTES - 1));
}

static void count_out(struct mr_echo_client *c, int32_t by)
{
    uint32_t now = atomic_load_explicit(&c->shared.outstanding, memory_order_relaxed);

    atomic_store_explicit(&c->shared.outstanding, now + (uint32_t)by, memory_order_relaxed);
}

static void send_message(struct mr_echo_client *c, struct mr_echo_stream *s)
{
    struct mr_view view = {.data = message(c, s), .size = c->bytes};

    s->is_stalled = c->transport->ops->send(c->transport, s->stream, &view, 1, 0) != 0;
    c->has_stalled |= s->is_stalled;
    if (s->is_stalled)
        return;
    s->is_waiting = true;
    count_out(c, 1);
}

static bool rests(const struct mr_echo_client *c)
{
    return atomic_load_explicit(&c->shared.is_paused, memory_order_relaxed) ||
           atomic_load_explicit(&c->shared.is_stopped, memory_order_relaxed);
}

/* The message is back. */
static void finish_message(struct mr_echo_client *c, struct mr_echo_stream *s)
{
    mr_bench_count_up(&c->shared.counts.requests, 1);
    count_out(c, -1);
    s->number++;
    s->received = 0;
    s->is_waiting = false;
    if (!rests(c))
        send_message(c, s);
}

static void check(struct mr_echo_client *c, const struct mr_echo_stream *s,
                  const struct mr_view *view)
{
    bool is_right = s->is_waiting && view->size <= c->bytes - s->received &&
                    memcmp(view->data, message(c, s) + s->received, view->size) == 0;

    if (!is_right)
        mr_bench_count_up(&c->shared.counts.bad_bytes, view->size);
}

static void receive(struct mr_echo_client *c, struct mr_echo_stream *s)
{
    const struct mr_transport_ops *ops = c->transport->ops;
    struct mr_view views[VIEWS];
    bool fin = false;
    int64_t count;

    while ((count = ops->receive(c->transport, s->stream, views, VIEWS, &fin)) > 0) {
        size_t size = 0;

        for (int64_t i = 0; i < count; i++) {
            check(c, s, &views[i]);
            s->received += (uint32_t)views[i].size;
            size += views[i].size;
        }
        ops->release(c->transport, s->stream, size);
        mr_bench_count_up(&c->shared.counts.bytes_received, size);
    }
    if (s->is_waiting && s->received >= c->bytes)
        finish_message(c, s);
}

/* ------------------------------------------------------------------ connections */

static void connect_more(struct mr_echo_client *c)
{
    static const uint8_t alpn[] = "\004perf";
    uint32_t wanted = atomic_load_explicit(&c->wanted, memory_order_relaxed);

    while (c->begun < wanted && c->connecting < CONNECTS_AT_ONCE) {
        struct mr_connect_options options = {.remote = c->server,
                                             .server_name = "localhost",
                                             .alpn = alpn,
                                             .alpn_size = 5,
                                             .user_data = c->begun};
        mr_handle conn;

        if (c->transport->ops->connect(c->transport, &options, &conn) != 0)
            return;
        c->begun++;
        c->connecting++;
    }
}

static void fail(struct mr_echo_client *c, const struct mr_event *event)
{
    mr_bench_count_up(&c->shared.counts.failed, 1);
    mr_bench_count_up(&c->shared.counts.last_error, event->error - c->shared.counts.last_error);
}

static void on_conn_event(struct mr_echo_client *c, const struct mr_event *event)
{
    if (event->kinds & MR_EVENT_CONNECTED) {
        struct mr_echo_stream *s = &c->streams[event->user_data];

        c->connecting--;
        mr_bench_count_up(&c->shared.counts.connected, 1);
        if (c->transport->ops->open(c->transport, event->conn, MR_OPEN_BIDI, event->user_data,
                                    &s->stream) == 0)
            send_message(c, s);
        else
            fail(c, event);
    }
    if ((event->kinds & MR_EVENT_CLOSED) != 0 &&
        !atomic_load_explicit(&c->shared.is_stopped, memory_order_relaxed))
        fail(c, event);
}

static void on_stream_event(struct mr_echo_client *c, const struct mr_event *event)
{
    struct mr_echo_stream *s = &c->streams[event->user_data];

    if ((event->kinds & MR_EVENT_READABLE) != 0)
        receive(c, s);
    if ((event->kinds & (MR_EVENT_RESET | MR_EVENT_CLOSED)) != 0) {
        if (s->is_waiting)
            count_out(c, -1);
        s->is_waiting = s->is_stalled = false;
        s->stream = MR_HANDLE_NONE;
    }
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((events[i].kinds & (MR_EVENT_GO_AWAY | MR_EVENT_TIMER)) != 0)
            continue;
        if (events[i].stream == MR_HANDLE_NONE)
            on_conn_event(context, &events[i]);
        else
            on_stream_event(context, &events[i]);
    }
}

/* Streams whose message did not go. */
static void send_all(struct mr_echo_client *c)
{
    c->has_stalled = false;
    for (uint32_t i = 0; i < c->begun; i++) {
        struct mr_echo_stream *s = &c->streams[i];

        if (s->stream != MR_HANDLE_NONE && !s->is_waiting)
            send_message(c, s);
    }
}

static uint32_t on_poll(void *context)
{
    struct mr_echo_client *c = context;
    bool did_rest = c->is_resting;

    c->is_resting = rests(c);
    if (c->begun < atomic_load_explicit(&c->wanted, memory_order_relaxed))
        connect_more(c);
    if (c->is_resting || (!did_rest && !c->has_stalled))
        return 0;
    send_all(c);
    return 1;
}

static void on_start(void *context, struct mr_transport *transport)
{
    ((struct mr_echo_client *)context)->transport = transport;
}

static void on_stop(void *context)
{
    (void)context;
}

/* ------------------------------------------------------------------ life */

struct mr_echo_client *mr_echo_client_make(uint32_t room, uint32_t bytes)
{
    struct mr_echo_client *c = calloc(1, sizeof(*c));
    struct mr_random random;

    if (c == NULL)
        return NULL;
    c->streams = calloc(room, sizeof(*c->streams));
    c->data = malloc(DATA_BYTES + MR_ECHO_BYTES_MAX);
    if (c->streams == NULL || c->data == NULL) {
        mr_echo_client_free(c);
        return NULL;
    }
    mr_random_init_number(&random, 1);
    mr_random_fill(&random, c->data, DATA_BYTES + MR_ECHO_BYTES_MAX);
    c->room = room;
    c->bytes = bytes;
    c->server = mr_world_server_address();
    c->application = (struct mr_application){.name = "echo client",
                                             .context = c,
                                             .on_start = on_start,
                                             .on_events = on_events,
                                             .on_poll = on_poll,
                                             .on_stop = on_stop};
    return c;
}

void mr_echo_client_free(struct mr_echo_client *c)
{
    if (c == NULL)
        return;
    free(c->streams);
    free(c->data);
    free(c);
}
