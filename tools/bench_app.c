/* tools/bench_app.c - see bench_app.h. */
#include "tools/bench_app.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/pool.h"

#define AHEAD_BYTES (UINT64_C(8) << 20) /* queued and not acknowledged, of one stream */
#define VIEWS       32
#define RETRY_NS    1000000
#define CONNECTED   1 /* user data of connections: it is there, */
#define VISITOR     2 /* it is to be closed then */

/* ------------------------------------------------------------------ streams */

static struct mr_bench_stream *take_stream(struct mr_bench_app *app)
{
    uint32_t index = app->stream_free;

    if (index != MR_NONE)
        app->stream_free = app->streams[index].next_free;
    else if (app->stream_count < MR_BENCH_STREAMS_MAX)
        index = app->stream_count++;
    else
        return NULL;
    memset(&app->streams[index], 0, sizeof(app->streams[index]));
    return &app->streams[index];
}

static void give_stream(struct mr_bench_app *app, struct mr_bench_stream *s)
{
    s->next_free = app->stream_free;
    s->is_open = false;
    app->stream_free = (uint32_t)(s - app->streams);
}

/* Streams are named to the transport by index + 1. */
static struct mr_bench_stream *stream_of(struct mr_bench_app *app, uint64_t user_data)
{
    return user_data == 0 || user_data > app->stream_count ? NULL : &app->streams[user_data - 1];
}

static uint64_t name_of(const struct mr_bench_app *app, const struct mr_bench_stream *s)
{
    return (uint64_t)(s - app->streams) + 1;
}

/* ------------------------------------------------------------------ sending */

/* The next piece of the stream: its header, then the buffer, round and round. */
static struct mr_view next_piece(const struct mr_bench_app *app, const struct mr_bench_stream *s)
{
    if (app->is_client && s->queued < MR_BENCH_HEADER)
        return (struct mr_view){.data = s->header, .size = MR_BENCH_HEADER};

    uint64_t offset = s->queued - (app->is_client ? MR_BENCH_HEADER : 0);
    return mr_perf_buffer_piece(app->data, offset, offset + (s->to_send - s->queued));
}

static void send_more(struct mr_bench_app *app, struct mr_bench_stream *s, uint64_t acked_to)
{
    const struct mr_transport_ops *ops = app->transport->ops;

    while (!s->is_fin_queued && s->queued - acked_to < AHEAD_BYTES) {
        struct mr_view view = next_piece(app, s);
        bool is_last = s->to_send != UINT64_MAX && s->queued + view.size == s->to_send;
        uint32_t flags =
            (is_last ? MR_SEND_FIN : 0u) | (view.size <= MR_BENCH_HEADER ? MR_SEND_COPY : 0u);

        if (ops->send(app->transport, s->stream, &view, view.size > 0, flags) != 0)
            return; /* WRITABLE or ACKED comes */
        s->queued += view.size;
        s->is_fin_queued = is_last;
    }
}

/* ------------------------------------------------------------------ receiving */

static void check_view(struct mr_bench_app *app, const struct mr_bench_stream *s, uint64_t offset,
                       const struct mr_view *view)
{
    uint64_t bad = 0;

    for (size_t i = 0; i < view->size;) {
        size_t at = (size_t)((offset + i) & (app->data->size - 1));
        size_t size = MR_MIN(view->size - i, app->data->size - at);

        bad += memcmp(view->data + i, app->data->bytes + at, size) != 0;
        i += size;
    }
    if (bad > 0)
        mr_bench_count_up(&app->shared.counts.bad_bytes, bad);
    (void)s;
}

static void read_view(struct mr_bench_app *app, const struct mr_view *view)
{
    uint64_t sum = 0;
    uint64_t word;
    size_t i = 0;

    for (; i + sizeof(word) <= view->size; i += sizeof(word)) {
        memcpy(&word, view->data + i, sizeof(word));
        sum += word;
    }
    for (; i < view->size; i++)
        sum += view->data[i];
    app->sum += sum;
}

static void take_header(struct mr_bench_stream *s, const struct mr_view *view)
{
    for (size_t i = 0; i < view->size && s->received + i < MR_BENCH_HEADER; i++)
        s->header[s->received + i] = view->data[i];
}

static void receive(struct mr_bench_app *app, struct mr_bench_stream *s)
{
    const struct mr_transport_ops *ops = app->transport->ops;
    struct mr_view views[VIEWS];
    bool fin = false;
    int64_t n;

    while ((n = ops->receive(app->transport, s->stream, views, VIEWS, &fin)) > 0) {
        size_t size = 0;

        for (int64_t i = 0; i < n; i++) {
            if (!app->is_client && s->received < MR_BENCH_HEADER)
                take_header(s, &views[i]);
            else if (app->load.is_verified)
                check_view(app, s, s->received - (app->is_client ? 0 : MR_BENCH_HEADER), &views[i]);
            else if (app->load.is_read)
                read_view(app, &views[i]);
            s->received += views[i].size;
            size += views[i].size;
        }
        ops->release(app->transport, s->stream, size);
        if (atomic_load_explicit(&app->shared.is_measuring, memory_order_relaxed))
            s->measured += size;
        mr_bench_count_up(&app->shared.counts.bytes_received, size);
    }
    s->has_answer = n >= 0 && fin;
    if (s->has_answer)
        ops->release(app->transport, s->stream, 0);
}

/* ------------------------------------------------------------------ the client's load */

static uint32_t outstanding(const struct mr_bench_app *app)
{
    return atomic_load_explicit(&app->shared.outstanding, memory_order_relaxed);
}

static void count_out(struct mr_bench_app *app, int32_t by)
{
    atomic_store_explicit(&app->shared.outstanding, outstanding(app) + (uint32_t)by,
                          memory_order_relaxed);
}

static bool rests(const struct mr_bench_app *app)
{
    return atomic_load_explicit(&app->shared.is_stopped, memory_order_relaxed) ||
           atomic_load_explicit(&app->shared.is_paused, memory_order_relaxed);
}

static bool open_stream(struct mr_bench_app *app, mr_handle conn)
{
    struct mr_bench_stream *s = take_stream(app);

    if (s == NULL)
        return false;
    if (app->transport->ops->open(app->transport, conn, MR_OPEN_BIDI, name_of(app, s),
                                  &s->stream) != 0) {
        give_stream(app, s);
        return false;
    }
    s->conn = conn;
    s->is_open = true;
    count_out(app, 1);
    s->begun_ns = app->load.visitors > 0 ? app->due_ns : app->transport->ops->now(app->transport);
    mr_store_be64(s->header, app->load.down_bytes);
    s->to_send =
        app->load.up_bytes == UINT64_MAX ? UINT64_MAX : MR_BENCH_HEADER + app->load.up_bytes;
    send_more(app, s, 0);
    return true;
}

/* -errno: not now. */
static int connect_one(struct mr_bench_app *app, mr_handle *conn_out)
{
    static const uint8_t alpn[] = "\004perf";
    const struct mr_connect_options options = {.remote = app->load.server,
                                               .server_name = "localhost",
                                               .alpn = alpn,
                                               .alpn_size = 5,
                                               .is_early = app->load.is_early,
                                               .ticket = app->ticket_size > 0 ? app->ticket : NULL,
                                               .ticket_size = app->ticket_size};

    return app->transport->ops->connect(app->transport, &options, conn_out);
}

static void connect_more(struct mr_bench_app *app)
{
    while (!atomic_load_explicit(&app->shared.is_stopped, memory_order_relaxed) &&
           app->open_connections + app->connecting < app->load.connections &&
           app->connecting < app->load.connects_at_once) {
        mr_handle conn;

        if (connect_one(app, &conn) != 0) {
            app->transport->ops->timer(app->transport, RETRY_NS, 0);
            return;
        }
        app->connecting++;
    }
}

/* Visitors that are due.  What could not be kept up with is not made up for. */
static uint32_t invite(struct mr_bench_app *app, uint64_t now)
{
    uint64_t every_ns = atomic_load_explicit(&app->visit_ns, memory_order_relaxed);
    uint32_t invited = 0;
    mr_handle conn;

    if (every_ns == 0 || rests(app)) {
        app->visit_due_ns = now;
        return 0;
    }
    while (now >= app->visit_due_ns && app->visiting < app->load.visitors &&
           connect_one(app, &conn) == 0) {
        app->transport->ops->set_user_data(app->transport, conn, VISITOR);
        app->visit_due_ns += every_ns;
        app->visiting++;
        invited++;
    }
    if (now > app->visit_due_ns + every_ns * app->load.visitors)
        app->visit_due_ns = now;
    return invited;
}

static void forget_paced(struct mr_bench_app *app, mr_handle conn)
{
    for (uint32_t i = 0; i < app->paced_count; i++)
        if (app->paced[i] == conn)
            app->paced[i--] = app->paced[--app->paced_count];
}

static void on_connected(struct mr_bench_app *app, const struct mr_event *event)
{
    struct mr_conn_info info;

    app->connecting--;
    app->open_connections++;
    mr_bench_count_up(&app->shared.counts.connected, 1);
    if (app->transport->ops->conn_info(app->transport, event->conn, &info) == 0 && info.is_resumed)
        mr_bench_count_up(&app->shared.counts.resumed, 1);
    app->transport->ops->set_user_data(app->transport, event->conn, CONNECTED);
    if (app->load.is_paced && app->paced_count < MR_BENCH_PACED_MAX)
        app->paced[app->paced_count++] = event->conn;
    bool is_idle = app->load.is_handshake || app->load.is_paced ||
                   (app->load.has_one_active && app->conn != MR_HANDLE_NONE);
    if (app->conn == MR_HANDLE_NONE)
        app->conn = event->conn;
    for (uint32_t i = 0; i < app->load.streams && !is_idle; i++)
        open_stream(app, event->conn);
    connect_more(app);
}

/* The server's last flight: the handshake is complete on both sides. */
static void on_ticket(struct mr_bench_app *app, const struct mr_event *event)
{
    if (app->load.wants_resumption && app->ticket_size == 0) {
        int64_t size = app->transport->ops->ticket(app->transport, event->conn, app->ticket,
                                                   sizeof(app->ticket));

        app->ticket_size = size > 0 ? (size_t)size : 0;
    }
    if (app->load.is_handshake || event->user_data == VISITOR)
        app->transport->ops->close(app->transport, event->conn, 0, "");
}

static void on_conn_closed(struct mr_bench_app *app, const struct mr_event *event,
                           bool was_connected)
{
    if (event->conn == app->conn)
        app->conn = MR_HANDLE_NONE;
    forget_paced(app, event->conn);
    if (event->user_data == VISITOR)
        app->visiting--;
    else if (was_connected)
        app->open_connections--;
    else
        app->connecting--;
    mr_bench_count_up(&app->shared.counts.closed, 1);
    if (!event->is_application || !(was_connected || event->user_data == VISITOR)) {
        mr_bench_count_up(&app->shared.counts.failed, 1);
        mr_bench_count_up(&app->shared.counts.last_error,
                          event->error - app->shared.counts.last_error);
    }
    connect_more(app);
}

/* ------------------------------------------------------------------ events */

static void on_conn_event(struct mr_bench_app *app, const struct mr_event *event)
{
    if ((event->kinds & (MR_EVENT_TIMER | MR_EVENT_GO_AWAY)) != 0) {
        if (app->is_client)
            connect_more(app);
        return;
    }
    if (!app->is_client)
        return;
    bool was_connected = event->user_data == CONNECTED;
    if ((event->kinds & MR_EVENT_EARLY) != 0)
        open_stream(app, event->conn);
    if ((event->kinds & MR_EVENT_CONNECTED) != 0 && event->user_data != VISITOR) {
        on_connected(app, event);
        was_connected = true;
    }
    if ((event->kinds & MR_EVENT_TICKET) != 0)
        on_ticket(app, event);
    if ((event->kinds & MR_EVENT_STREAMS_ALLOWED) != 0 && !app->load.is_handshake &&
        !app->load.is_paced && !app->load.has_one_active)
        open_stream(app, event->conn);
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        on_conn_closed(app, event, was_connected);
}

static struct mr_bench_stream *accept_stream(struct mr_bench_app *app, const struct mr_event *event)
{
    struct mr_bench_stream *s = take_stream(app);

    if (s == NULL) {
        app->transport->ops->reset(app->transport, event->stream, 1);
        app->transport->ops->stop(app->transport, event->stream, 1);
        return NULL;
    }
    s->stream = event->stream;
    s->conn = event->conn;
    s->is_open = true;
    app->transport->ops->set_user_data(app->transport, event->stream, name_of(app, s));
    return s;
}

/* The server answers when the request is there in full: how much is wanted, and what came with it.
 */
static void answer(struct mr_bench_app *app, struct mr_bench_stream *s, uint64_t acked_to)
{
    if (s->received < MR_BENCH_HEADER || !s->has_answer)
        return;
    if (s->to_send == 0 && !s->is_fin_queued)
        s->to_send = mr_load_be64(s->header);
    send_more(app, s, acked_to);
}

/* The client has its answer: the next request. */
static void finish_request(struct mr_bench_app *app, struct mr_bench_stream *s)
{
    mr_handle conn = s->conn;

    mr_bench_count_up(&app->shared.counts.requests, 1);
    if (app->shared.latency != NULL &&
        atomic_load_explicit(&app->shared.is_measuring, memory_order_relaxed))
        mr_histogram_add(app->shared.latency,
                         app->transport->ops->now(app->transport) - s->begun_ns);
    s->has_answer = false;
    s->is_open = false; /* its CLOSED gives it back */
    count_out(app, -1);
    if (!app->load.is_paced && !app->load.is_handshake && !rests(app))
        open_stream(app, conn);
}

/* Paced: streams that are due.  What could not be kept up with is not made up for. */
static uint32_t on_poll(void *context)
{
    struct mr_bench_app *app = context;
    uint64_t now = app->transport->ops->now(app->transport);
    uint64_t every_ns = atomic_load_explicit(&app->every_ns, memory_order_relaxed);
    uint32_t opened = invite(app, now);

    if (app->paced_count == 0 || rests(app)) {
        app->due_ns = now;
        if (!rests(app))
            connect_more(app);
        return opened;
    }
    while (now >= app->due_ns && outstanding(app) < app->load.streams &&
           open_stream(app, app->paced[app->paced_next++ % app->paced_count])) {
        app->due_ns += every_ns;
        opened++;
    }
    if (now > app->due_ns + every_ns * app->load.streams)
        app->due_ns = now;
    return opened;
}

static void on_stream_event(struct mr_bench_app *app, const struct mr_event *event)
{
    struct mr_bench_stream *s = stream_of(app, event->user_data);

    if (s == NULL && (event->kinds & MR_EVENT_STREAM_OPENED) != 0 && !app->is_client)
        s = accept_stream(app, event);
    if (s == NULL)
        return;
    if ((event->kinds & MR_EVENT_READABLE) != 0)
        receive(app, s);
    if (app->is_client && s->has_answer && s->is_open)
        finish_request(app, s);
    if ((event->kinds & (MR_EVENT_READABLE | MR_EVENT_ACKED | MR_EVENT_WRITABLE)) != 0) {
        if (app->is_client)
            send_more(app, s, event->acked_to);
        else
            answer(app, s, event->acked_to);
    }
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        if (app->is_client && s->is_open)
            count_out(app, -1); /* it will not be answered */
        give_stream(app, s);
    }
}

static void on_events(void *context, const struct mr_event *events, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (events[i].stream == MR_HANDLE_NONE)
            on_conn_event(context, &events[i]);
        else
            on_stream_event(context, &events[i]);
    }
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_bench_app *app = context;

    app->transport = transport;
    if (app->is_client && !app->load.is_paced)
        transport->ops->timer(transport, RETRY_NS, 0); /* the server's lcore starts as well */
}

static void on_stop(void *context)
{
    (void)context;
}

/* ------------------------------------------------------------------ life cycle */

static struct mr_bench_app *make(const struct mr_perf_buffer *data, bool is_client)
{
    struct mr_bench_app *app = calloc(1, sizeof(*app));

    if (app == NULL)
        return NULL;
    app->streams = calloc(MR_BENCH_STREAMS_MAX, sizeof(*app->streams));
    if (app->streams == NULL) {
        free(app);
        return NULL;
    }
    app->application = (struct mr_application){.name = is_client ? "bench client" : "bench server",
                                               .context = app,
                                               .on_start = on_start,
                                               .on_events = on_events,
                                               .on_stop = on_stop};
    app->data = data;
    app->is_client = is_client;
    app->stream_free = MR_NONE;
    return app;
}

struct mr_bench_app *mr_bench_server_make(const struct mr_perf_buffer *data)
{
    return make(data, false);
}

struct mr_bench_app *mr_bench_client_make(const struct mr_perf_buffer *data,
                                          const struct mr_bench_load *load)
{
    struct mr_bench_app *app = make(data, true);

    if (app == NULL)
        return NULL;
    app->load = *load;
    if (load->is_paced)
        app->application.on_poll = on_poll;
    return app;
}

void mr_bench_app_shares(const struct mr_bench_app *app, struct mr_bench_shares *shares)
{
    for (uint32_t i = 0; i < app->stream_count; i++) {
        double bytes = (double)app->streams[i].measured;

        shares->streams += bytes > 0;
        shares->sum += bytes;
        shares->squares += bytes * bytes;
    }
}

void mr_bench_app_free(struct mr_bench_app *app)
{
    if (app == NULL)
        return;
    free(app->streams);
    free(app);
}
