/* tools/bench_idle_app.c - see bench_idle_app.h. */
#include "tools/bench_idle_app.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/pool.h"

enum {
    WAKE_BYTES = 64,
    CLOSES_PER_POLL = 32,
    VIEWS = 4,
};
#define CODE 0

/* ------------------------------------------------------------------ making connections */

static uint32_t target(const struct mr_idle_app *app)
{
    return atomic_load_explicit(&app->orders.target, memory_order_relaxed);
}

static bool is_closing(const struct mr_idle_app *app)
{
    return atomic_load_explicit(&app->orders.is_closing, memory_order_relaxed) ||
           atomic_load_explicit(&app->shared.is_stopped, memory_order_relaxed);
}

static void fail(struct mr_idle_app *app, uint64_t error)
{
    mr_bench_count_up(&app->shared.counts.failed, 1);
    mr_bench_count_up(&app->shared.counts.last_error, error - app->shared.counts.last_error);
}

static uint32_t connect_more(struct mr_idle_app *app)
{
    static const uint8_t alpn[] = "\004perf";
    uint32_t begun = 0;

    while (app->conn_count + app->connecting < target(app) &&
           app->connecting < app->load.connects_at_once) {
        bool resumes = app->conn_count >= app->load.full_handshakes && app->ticket_size > 0;
        struct mr_connect_options options = {.remote = app->load.server,
                                             .server_name = "localhost",
                                             .alpn = alpn,
                                             .alpn_size = 5,
                                             .ticket = resumes ? app->ticket : NULL,
                                             .ticket_size = resumes ? app->ticket_size : 0};
        mr_handle conn;

        if (app->transport->ops->connect(app->transport, &options, &conn) != 0)
            break; /* in the next iteration */
        app->connecting++;
        begun++;
    }
    return begun;
}

static void on_connected(struct mr_idle_app *app, const struct mr_event *event)
{
    struct mr_conn_info info;

    app->connecting--;
    app->conns[app->conn_count++] = event->conn;
    app->transport->ops->set_user_data(app->transport, event->conn, app->conn_count);
    if (app->transport->ops->conn_info(app->transport, event->conn, &info) == 0 && info.is_resumed)
        mr_bench_count_up(&app->shared.counts.resumed, 1);
    mr_bench_count_up(&app->shared.counts.connected, 1);
}

static void on_ticket(struct mr_idle_app *app, mr_handle conn)
{
    if (!app->load.wants_resumption || app->ticket_size > 0)
        return;
    int64_t size =
        app->transport->ops->ticket(app->transport, conn, app->ticket, sizeof(app->ticket));
    app->ticket_size = size > 0 ? (size_t)size : 0;
}

/* `place`: in conns, from 1; 0: it was never there. */
static void on_closed(struct mr_idle_app *app, const struct mr_event *event, uint64_t place)
{
    if (place == 0)
        app->connecting--;
    else
        app->conns[place - 1] = MR_HANDLE_NONE;
    mr_bench_count_up(&app->shared.counts.closed, 1);
    if (!is_closing(app) || place == 0)
        fail(app, event->error);
}

static uint32_t close_more(struct mr_idle_app *app)
{
    uint32_t end = MR_MIN(app->conn_count, app->closed + CLOSES_PER_POLL);
    uint32_t begin = app->closed;

    for (; app->closed < end; app->closed++)
        if (app->conns[app->closed] != MR_HANDLE_NONE)
            app->transport->ops->close(app->transport, app->conns[app->closed], CODE, "");
    return end - begin;
}

/* ------------------------------------------------------------------ requests */

static void give_request(struct mr_idle_app *app, uint32_t index)
{
    app->requests[index].next_free = app->request_free;
    app->request_free = index;
    atomic_fetch_sub_explicit(&app->shared.outstanding, 1, memory_order_relaxed);
}

/* In turn: each again when all others have been, and neighbours far apart.  The step is a prime, so
 * that it leaves none out. */
static mr_handle next_in_turn(struct mr_idle_app *app)
{
    app->turn = (uint32_t)((app->turn + UINT64_C(2654435761)) % app->conn_count);
    return app->conns[app->turn];
}

/* Wake one of the connections.  False: not now. */
static bool wake(struct mr_idle_app *app, bool is_in_turn)
{
    uint8_t bytes[WAKE_BYTES] = {0};
    struct mr_view view = {.data = bytes, .size = sizeof(bytes)};
    uint32_t index = app->request_free;
    mr_handle conn =
        is_in_turn ? next_in_turn(app) : app->conns[mr_random_below(&app->random, app->conn_count)];
    mr_handle stream;

    if (conn == MR_HANDLE_NONE)
        return true; /* it was counted as failed when it went */
    if (app->transport->ops->open(app->transport, conn, MR_OPEN_BIDI, index + 1, &stream) != 0)
        return false;
    app->request_free = app->requests[index].next_free;
    app->requests[index] = (struct mr_idle_request){0};
    atomic_fetch_add_explicit(&app->shared.outstanding, 1, memory_order_relaxed);
    mr_store_be64(bytes, WAKE_BYTES);
    if (app->transport->ops->send(app->transport, stream, &view, 1, MR_SEND_FIN | MR_SEND_COPY) !=
        0)
        app->transport->ops->reset(app->transport, stream, CODE); /* its CLOSED counts it */
    return true;
}

/* Is it time for the next burst?  One that comes late puts off the others. */
static bool is_time(struct mr_idle_app *app, uint32_t burst)
{
    uint64_t now = app->transport->ops->now(app->transport);

    if (now < app->burst_ns)
        return false;
    app->burst_ns = now + burst * MR_IDLE_APART_NS;
    return true;
}

static uint32_t wake_more(struct mr_idle_app *app)
{
    uint64_t wanted = atomic_load_explicit(&app->orders.wakes, memory_order_relaxed);
    uint32_t burst = atomic_load_explicit(&app->orders.burst, memory_order_relaxed);
    uint32_t begun = 0;

    if (app->woken >= wanted || app->conn_count == 0 || (burst > 0 && !is_time(app, burst)))
        return 0;
    if (burst > 0)
        wanted = MR_MIN(wanted, app->woken + burst);
    while (app->woken < wanted && app->request_free != MR_NONE && wake(app, burst > 0)) {
        app->woken++;
        begun++;
    }
    return begun;
}

static void receive(struct mr_idle_app *app, const struct mr_event *event,
                    struct mr_idle_request *request)
{
    const struct mr_transport_ops *ops = app->transport->ops;
    struct mr_view views[VIEWS];
    bool fin = false;
    int64_t n;

    while ((n = ops->receive(app->transport, event->stream, views, VIEWS, &fin)) > 0) {
        size_t size = mr_views_size(views, (size_t)n);

        for (int64_t i = 0; i < n; i++) {
            if (request->received + views[i].size > WAKE_BYTES ||
                memcmp(views[i].data, app->data->bytes + request->received, views[i].size) != 0)
                mr_bench_count_up(&app->shared.counts.bad_bytes, 1);
            request->received += (uint32_t)views[i].size;
        }
        ops->release(app->transport, event->stream, size);
        mr_bench_count_up(&app->shared.counts.bytes_received, size);
    }
    if (n < 0 || !fin || request->is_over)
        return;
    ops->release(app->transport, event->stream, 0);
    request->is_over = true;
    if (request->received == WAKE_BYTES)
        mr_bench_count_up(&app->shared.counts.requests, 1);
    else
        fail(app, 0);
}

/* ------------------------------------------------------------------ events */

static void on_conn_event(struct mr_idle_app *app, const struct mr_event *event)
{
    uint64_t place = event->user_data;

    if ((event->kinds & MR_EVENT_CONNECTED) != 0) {
        on_connected(app, event);
        place = app->conn_count;
    }
    if ((event->kinds & MR_EVENT_TICKET) != 0)
        on_ticket(app, event->conn);
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        on_closed(app, event, place);
}

static void on_stream_event(struct mr_idle_app *app, const struct mr_event *event)
{
    if (event->user_data == 0 || event->user_data > MR_IDLE_AWAKE)
        return;

    uint32_t index = (uint32_t)event->user_data - 1;
    if ((event->kinds & MR_EVENT_READABLE) != 0)
        receive(app, event, &app->requests[index]);
    if ((event->kinds & MR_EVENT_CLOSED) == 0)
        return;
    if (!app->requests[index].is_over)
        fail(app, event->error);
    give_request(app, index);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((events[i].kinds & (MR_EVENT_TIMER | MR_EVENT_GO_AWAY)) != 0)
            continue;
        if (events[i].stream == MR_HANDLE_NONE)
            on_conn_event(context, &events[i]);
        else
            on_stream_event(context, &events[i]);
    }
}

static uint32_t on_poll(void *context)
{
    struct mr_idle_app *app = context;

    if (is_closing(app))
        return close_more(app);
    return connect_more(app) + wake_more(app);
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_idle_app *app = context;

    app->transport = transport;
}

static void on_stop(void *context)
{
    (void)context;
}

/* ------------------------------------------------------------------ life cycle */

struct mr_idle_app *mr_idle_app_make(const struct mr_idle_load *load,
                                     const struct mr_perf_buffer *data)
{
    struct mr_idle_app *app = calloc(1, sizeof(*app));

    if (app == NULL)
        return NULL;
    app->conns = calloc(load->connections, sizeof(*app->conns));
    if (app->conns == NULL) {
        free(app);
        return NULL;
    }
    app->load = *load;
    app->data = data;
    app->application = (struct mr_application){.name = "bench idle client",
                                               .context = app,
                                               .on_start = on_start,
                                               .on_events = on_events,
                                               .on_poll = on_poll,
                                               .on_stop = on_stop};
    mr_random_init_number(&app->random, load->seed);
    app->request_free = MR_NONE;
    for (uint32_t i = MR_IDLE_AWAKE; i-- > 0;) {
        app->requests[i].next_free = app->request_free;
        app->request_free = i;
    }
    return app;
}

void mr_idle_app_free(struct mr_idle_app *app)
{
    if (app == NULL)
        return;
    free(app->conns);
    free(app);
}
