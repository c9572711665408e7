/* tools/perf_server.c - see perf_server.h. */
#include "tools/perf_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/pool.h"
#include "tools/perf_far.h"

#define VIEWS   32
#define UNI_BIT 2 /* of a stream ID: RFC 9000, Section 2.1 */
#define SAMPLED 256

struct stream {
    mr_handle stream; /* that the answer goes to; MR_HANDLE_NONE: it waits for one */
    mr_handle conn;
    uint64_t received;
    uint64_t wanted;
    uint64_t queued;
    uint64_t acked_to;
    uint8_t header[MR_PERF_HEADER];
    uint32_t next;     /* free, or waiting */
    bool is_uni;       /* the answer needs a stream of ours */
    bool is_answering; /* which is there */
    bool is_over;      /* FIN was given */
};

struct mr_perf_server {
    struct mr_application application;
    struct mr_transport *transport;
    const struct mr_perf_buffer *buffer;
    struct mr_far *far; /* NULL: no orders */
    uint32_t stream_max;
    uint32_t free;
    uint32_t used;    /* of `streams`, ever */
    uint32_t waiting; /* answers that need a stream, newest first; MR_NONE: none */
    struct stream *streams;
    uint64_t sampled_ns; /* until then */
    uint32_t sample_turn;
    mr_handle sampled[SAMPLED]; /* connections that asked last, each in a place of its own */
    struct mr_perf_server_counts counts;
};

/* ------------------------------------------------------------------ streams */

static void count(uint64_t *field, uint64_t n)
{
    __atomic_store_n(field, *field + n, __ATOMIC_RELAXED); /* one writer */
}

/* Streams are named to the transport by index + 1. */
static struct stream *stream_of(struct mr_perf_server *server, uint64_t user_data)
{
    return user_data == 0 || user_data > server->used ? NULL : &server->streams[user_data - 1];
}

static uint64_t name_of(const struct mr_perf_server *server, const struct stream *s)
{
    return (uint64_t)(s - server->streams) + 1;
}

static struct stream *take(struct mr_perf_server *server, mr_handle conn, mr_handle stream)
{
    uint32_t index = server->free;

    if (index != MR_NONE)
        server->free = server->streams[index].next;
    else if (server->used < server->stream_max)
        index = server->used++;
    else
        return NULL;
    server->streams[index] = (struct stream){.stream = stream, .conn = conn, .next = MR_NONE};
    return &server->streams[index];
}

static void give(struct mr_perf_server *server, struct stream *s)
{
    s->next = server->free;
    s->conn = MR_HANDLE_NONE;
    server->free = (uint32_t)(s - server->streams);
}

static void send_more(struct mr_perf_server *server, struct stream *s)
{
    const struct mr_transport_ops *ops = server->transport->ops;

    while (!s->is_over && s->queued - s->acked_to < MR_PERF_AHEAD_BYTES) {
        struct mr_view view = mr_perf_buffer_piece(server->buffer, s->queued, s->wanted);
        bool is_last = s->queued + view.size == s->wanted;

        if (ops->send(server->transport, s->stream, &view, view.size > 0,
                      is_last ? MR_SEND_FIN : 0) != 0)
            return; /* WRITABLE or ACKED comes */
        s->queued += view.size;
        s->is_over = is_last;
        count(&server->counts.bytes_queued, view.size);
        count(&server->counts.requests, is_last);
    }
}

/* The answer to a unidirectional stream goes to one of ours.  False: the client allows none now. */
static bool open_answer(struct mr_perf_server *server, struct stream *s)
{
    int error = server->transport->ops->open(server->transport, s->conn, MR_OPEN_UNI,
                                             name_of(server, s), &s->stream);

    if (error == -ESTALE)
        give(server, s);
    if (error != 0)
        return error == -ESTALE;
    s->is_answering = true;
    send_more(server, s);
    return true;
}

/* Answers of the connection that wait for a stream: as many as may be opened. */
static void open_waiting(struct mr_perf_server *server, mr_handle conn, bool is_gone)
{
    uint32_t *link = &server->waiting;

    while (*link != MR_NONE) {
        struct stream *s = &server->streams[*link];
        uint32_t next = s->next;

        if (s->conn != conn) {
            link = &s->next;
            continue;
        }
        if (is_gone)
            give(server, s);
        else if (!open_answer(server, s))
            return;
        *link = next;
    }
}

/* ------------------------------------------------------------------ requests */

static void take_header(struct stream *s, const struct mr_view *view)
{
    for (size_t i = 0; i < view->size && s->received + i < MR_PERF_HEADER; i++)
        s->header[s->received + i] = view->data[i];
}

/* True: the request has ended. */
static bool receive(struct mr_perf_server *server, struct stream *s)
{
    const struct mr_transport_ops *ops = server->transport->ops;
    struct mr_view views[VIEWS];
    bool fin = false;
    int64_t n;

    while ((n = ops->receive(server->transport, s->stream, views, VIEWS, &fin)) > 0) {
        size_t size = mr_views_size(views, (size_t)n);

        for (int64_t i = 0; i < n && s->received < MR_PERF_HEADER; i++) {
            take_header(s, &views[i]);
            s->received += views[i].size;
            size -= views[i].size;
        }
        s->received += size;
        size = mr_views_size(views, (size_t)n);
        ops->release(server->transport, s->stream, size);
        count(&server->counts.bytes_received, size);
    }
    if (n == 0 && fin)
        ops->release(server->transport, s->stream, 0);
    return n == 0 && fin;
}

/* All of the request is there. */
static void answer(struct mr_perf_server *server, struct stream *s)
{
    bool is_whole = s->received >= MR_PERF_HEADER;

    if (!is_whole)
        count(&server->counts.streams_ignored, 1);
    s->wanted = is_whole ? mr_load_be64(s->header) : 0;
    if (!s->is_uni)
        send_more(server, s);
}

/* A unidirectional request is over, and its stream with it: the answer gets another. */
static void answer_beside(struct mr_perf_server *server, struct stream *s)
{
    s->stream = MR_HANDLE_NONE;
    if (open_answer(server, s))
        return;
    count(&server->counts.streams_waited, 1);
    s->next = server->waiting;
    server->waiting = (uint32_t)(s - server->streams);
}

static struct stream *accept_stream(struct mr_perf_server *server, const struct mr_event *event)
{
    const struct mr_transport_ops *ops = server->transport->ops;
    struct stream *s = take(server, event->conn, event->stream);

    if (s == NULL) {
        count(&server->counts.streams_refused, 1);
        ops->reset(server->transport, event->stream, MR_PERF_NO_STREAM);
        ops->stop(server->transport, event->stream, MR_PERF_NO_STREAM);
        return NULL;
    }
    server->sampled[event->conn % SAMPLED] = event->conn;
    s->is_uni = (ops->stream_id(server->transport, event->stream) & UNI_BIT) != 0;
    ops->set_user_data(server->transport, event->stream, name_of(server, s));
    return s;
}

static void on_closed(struct mr_perf_server *server, struct stream *s)
{
    if (s->is_uni && s->wanted > 0 && !s->is_answering)
        answer_beside(server, s);
    else
        give(server, s);
}

static void on_stream(struct mr_perf_server *server, const struct mr_event *event)
{
    struct stream *s = stream_of(server, event->user_data);

    if (s == NULL && (event->kinds & MR_EVENT_STREAM_OPENED) != 0)
        s = accept_stream(server, event);
    if (s == NULL)
        return;
    if ((event->kinds & MR_EVENT_ACKED) != 0)
        s->acked_to = event->acked_to;
    if ((event->kinds & MR_EVENT_RESET) != 0 && !s->is_uni) /* nobody waits for an answer */
        server->transport->ops->reset(server->transport, s->stream, event->error);
    if ((event->kinds & MR_EVENT_STOPPED) != 0)
        server->transport->ops->reset(server->transport, s->stream, event->error);
    if ((event->kinds & MR_EVENT_READABLE) != 0 && receive(server, s))
        answer(server, s);
    else if ((event->kinds & (MR_EVENT_ACKED | MR_EVENT_WRITABLE)) != 0 && s->wanted > s->queued)
        send_more(server, s);
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        on_closed(server, s);
}

/* ------------------------------------------------------------------ the application */

static void on_conn(struct mr_perf_server *server, const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_CONNECTED) != 0)
        count(&server->counts.connections, 1);
    if ((event->kinds & MR_EVENT_STREAMS_ALLOWED) != 0)
        open_waiting(server, event->conn, false);
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        open_waiting(server, event->conn, true);
        count(&server->counts.closed, 1);
    }
}

/* An event of somebody who gives orders? */
static bool is_order(struct mr_perf_server *server, const struct mr_event *event)
{
    if (server->far == NULL)
        return false;
    if ((event->kinds & MR_EVENT_TIMER) != 0)
        return true;
    return mr_far_has(server->far, event->conn) ||
           (event->stream == MR_HANDLE_NONE && (event->kinds & MR_EVENT_CONNECTED) != 0 &&
            mr_far_accept(server->far, event->conn));
}

static void on_events(void *context, const struct mr_event *events, size_t n)
{
    struct mr_perf_server *server = context;

    for (size_t i = 0; i < n; i++) {
        if (is_order(server, &events[i]))
            mr_far_server_event(server->far, &events[i]);
        else if (events[i].stream == MR_HANDLE_NONE)
            on_conn(context, &events[i]);
        else
            on_stream(context, &events[i]);
    }
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_perf_server *server = context;

    server->transport = transport;
    if (server->far != NULL)
        server->far->transport = transport;
}

/* A look at one of the connections that asked last.  A shard that slept had nothing to send for all
 * that time, or was kept from it. */
static void sample(struct mr_perf_server *server)
{
    const struct mr_transport_ops *ops = server->transport->ops;
    uint64_t now = ops->now(server->transport);
    uint64_t samples = (now - server->sampled_ns) / MR_PERF_SAMPLE_NS;
    struct mr_conn_info info;

    if (samples == 0)
        return;
    server->sampled_ns += samples * MR_PERF_SAMPLE_NS;
    for (uint32_t i = 0; i < SAMPLED; i++) {
        mr_handle *conn = &server->sampled[server->sample_turn++ % SAMPLED];

        if (*conn != MR_HANDLE_NONE && ops->conn_info(server->transport, *conn, &info) == 0) {
            mr_perf_limiter_count(server->counts.limited, &info, samples);
            return;
        }
        *conn = MR_HANDLE_NONE;
    }
}

static uint32_t on_poll(void *context)
{
    struct mr_perf_server *server = context;

    mr_far_server_poll(server->far);
    sample(server);
    return 0;
}

void mr_perf_server_take_orders(struct mr_perf_server *server, struct mr_far *far)
{
    server->far = far;
    server->application.on_poll = on_poll;
}

static void on_stop(void *context)
{
    (void)context;
}

struct mr_perf_server *mr_perf_server_make(const struct mr_perf_buffer *buffer, uint32_t streams,
                                           struct mr_fault *fault)
{
    struct mr_perf_server *server = calloc(1, sizeof(*server));

    if (server != NULL)
        server->streams = calloc(streams, sizeof(*server->streams));
    if (server == NULL || server->streams == NULL) {
        mr_fault_set(fault, ENOMEM,
                     "not enough memory for %u streams; ask for fewer with --streams", streams);
        free(server);
        return NULL;
    }
    server->application = (struct mr_application){.name = "perf server",
                                                  .context = server,
                                                  .on_start = on_start,
                                                  .on_events = on_events,
                                                  .on_stop = on_stop};
    server->buffer = buffer;
    server->stream_max = streams;
    server->free = server->waiting = MR_NONE;
    return server;
}

void mr_perf_server_free(struct mr_perf_server *server)
{
    if (server == NULL)
        return;
    free(server->streams);
    free(server);
}

const struct mr_application *mr_perf_server_application(const struct mr_perf_server *server)
{
    return &server->application;
}

void mr_perf_server_read(const struct mr_perf_server *server, struct mr_perf_server_counts *sum)
{
    const uint64_t *from = (const uint64_t *)&server->counts;
    uint64_t *to = (uint64_t *)sum;

    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
