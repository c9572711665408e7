/* http3/h3_conn.c - connections, streams and events of the layer; see h3_conn.h. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http3/grease.h"
#include "http3/h3_internal.h"

enum {
    AHEAD = 2,           /* events: so early a stream's memory is asked for, and its user's */
    OUR_UNI_STREAMS = 3, /* control, QPACK decoder and encoder */
    STREAM_ALIGN = 64,
    HEAP_PER_CONN = 1024, /* an idle connection takes 340 bytes; the busy ones share the rest */
    HEAP_BASE = 4 << 20,  /* sections under way, dynamic tables of the busy ones */
    SHARE_BASE = 8192,    /* of a connection, for QPACK beside its table */
    SHARE_TABLES = 3, /* tables' worth: the table, and an entry that is half read, Huffman-coded */
    SECTIONS_PER_CONN = 6,  /* that may come in pieces at once, beside those that are blocked */
    HEAP_RESERVE_SHIFT = 4, /* 1/16 of the heap is kept for requests that are under way */
};

static const uint8_t alpn_h3[] = {2, 'h', '3'};
static const uint8_t alpn_hq[] = {10, 'h', 'q', '-', 'i', 'n', 't', 'e', 'r', 'o', 'p'};

/* ---- memory ---- */

static uint32_t streams_max(const struct mr_h3_limits *limits)
{
    uint32_t reserved = limits->connections_max / MR_H3_GREASE_EVERY + 1;

    return limits->requests_max + reserved +
           limits->connections_max * (OUR_UNI_STREAMS + MR_H3_PEER_UNI_MAX);
}

static size_t heap_bytes(const struct mr_h3_limits *limits)
{
    size_t per_conn =
        HEAP_PER_CONN + ((size_t)limits->qpack_capacity + limits->qpack_encoder_capacity) / 4;

    if (limits->heap_bytes > 0)
        return MR_MAX(limits->heap_bytes, (size_t)65536);
    return HEAP_BASE + (size_t)limits->connections_max * per_conn;
}

/* The regions of the one block, in order; each begins on a cache line. */
struct layout {
    size_t conns;
    size_t streams;
    size_t map;
    size_t heap;
    size_t datagram;
    size_t end;
};

static size_t place(size_t *at, size_t size)
{
    size_t begin = *at;

    *at += (size + MR_CACHE_LINE - 1) & ~(size_t)(MR_CACHE_LINE - 1);
    return begin;
}

static struct layout layout_of(const struct mr_h3_limits *limits)
{
    struct layout l = {0};
    size_t at = MR_CACHE_LINE; /* lost to alignment */

    l.conns = place(
        &at, mr_pool_footprint(limits->connections_max, sizeof(struct mr_h3_conn), STREAM_ALIGN));
    l.streams = place(
        &at, mr_pool_footprint(streams_max(limits), sizeof(struct mr_h3_stream), STREAM_ALIGN));
    l.map = place(&at, mr_handle_map_footprint(limits->connections_max + 1));
    l.heap = place(&at, heap_bytes(limits));
    l.datagram = place(&at, limits->has_tunnels ? MR_H3_DATAGRAM_ROOM : 0);
    l.end = at;
    return l;
}

size_t mr_h3_footprint(const struct mr_h3_limits *limits)
{
    return layout_of(limits).end;
}

void mr_h3_init(struct mr_h3 *h3, void *mem, const struct mr_h3_limits *limits, bool is_server,
                const struct mr_h3_user *user, struct mr_h3_counters *counters,
                struct mr_transport *transport)
{
    struct layout l = layout_of(limits);
    uint8_t *base =
        (uint8_t *)(((uintptr_t)mem + MR_CACHE_LINE - 1) & ~(uintptr_t)(MR_CACHE_LINE - 1));

    base -= MR_CACHE_LINE; /* offsets begin at MR_CACHE_LINE */
    memset(h3, 0, sizeof(*h3));
    h3->transport = transport;
    h3->limits = *limits;
    h3->user = *user;
    h3->counters = counters;
    h3->is_server = is_server;
    mr_pool_init(&h3->conns, base + l.conns, limits->connections_max, sizeof(struct mr_h3_conn),
                 STREAM_ALIGN);
    mr_pool_init(&h3->streams, base + l.streams, streams_max(limits), sizeof(struct mr_h3_stream),
                 STREAM_ALIGN);
    mr_handle_map_init(&h3->conn_of_handle, base + l.map, limits->connections_max + 1);
    mr_heap_init(&h3->heap, base + l.heap, heap_bytes(limits));
    h3->datagram = limits->has_tunnels ? base + l.datagram : NULL;
    mr_heap_share_init(&h3->own_share, &h3->heap, counters, heap_bytes(limits));
    bool is_ok = mr_qpack_encoder_init(&h3->encoder, &h3->own_share);
    MR_ASSERT(is_ok); /* the heap is fresh, and 64 KiB at least */
}

void mr_h3_fini(struct mr_h3 *h3)
{
    for (struct mr_h3_conn *conn = h3->all; conn != NULL; conn = conn->next) {
        mr_qpack_decoder_fini(&conn->decoder);
        mr_qpack_table_fini(&conn->table);
    }
    h3->all = NULL;
    mr_qpack_encoder_fini(&h3->encoder);
}

/* ---- words: tag, serial (24 bits), index (32 bits) ---- */

static uint32_t next_serial(struct mr_h3 *h3)
{
    h3->serial = (h3->serial + 1) & 0xffffff;
    if (h3->serial == 0)
        h3->serial = 1;
    return h3->serial;
}

static uint64_t word_of(uint64_t tag, uint32_t serial, uint32_t index)
{
    return mr_h3_tagged(tag, (uint64_t)serial << 32 | index);
}

static uint32_t serial_of(uint64_t word)
{
    return (uint32_t)(word >> 32) & 0xffffff;
}

uint64_t mr_h3_stream_word(const struct mr_h3 *h3, const struct mr_h3_stream *stream)
{
    return word_of(MR_H3_TAG_STREAM, stream->serial, mr_pool_index(&h3->streams, stream));
}

uint64_t mr_h3_conn_word(const struct mr_h3 *h3, const struct mr_h3_conn *conn)
{
    return word_of(MR_H3_TAG_CONN, conn->serial, mr_pool_index(&h3->conns, conn));
}

struct mr_h3_stream *mr_h3_stream_of(struct mr_h3 *h3, uint64_t word)
{
    uint32_t index = (uint32_t)word;

    if (mr_h3_tag_of(word) != MR_H3_TAG_STREAM || index >= h3->streams.fresh)
        return NULL;
    struct mr_h3_stream *stream = mr_pool_at(&h3->streams, index);
    return stream->serial != 0 && stream->serial == serial_of(word) ? stream : NULL;
}

struct mr_h3_conn *mr_h3_conn_of(struct mr_h3 *h3, uint64_t word)
{
    uint32_t index = (uint32_t)word;

    if (mr_h3_tag_of(word) != MR_H3_TAG_CONN || index >= h3->conns.fresh)
        return NULL;
    struct mr_h3_conn *conn = mr_pool_at(&h3->conns, index);
    return conn->serial != 0 && conn->serial == serial_of(word) ? conn : NULL;
}

/* ---- streams ---- */

struct mr_h3_stream *mr_h3_stream_add(struct mr_h3 *h3, struct mr_h3_conn *conn,
                                      enum mr_h3_stream_kind kind)
{
    uint32_t index = mr_pool_get(&h3->streams);
    if (index == MR_NONE)
        return NULL;

    struct mr_h3_stream *stream = mr_pool_at(&h3->streams, index);
    *stream = (struct mr_h3_stream){
        .serial = next_serial(h3),
        .owner = MR_H3_OWNER_NONE,
        .conn = conn,
        .next = conn->streams,
        .kind = (uint8_t)kind,
        .is_reading = true,
        .content_length = MR_LENGTH_UNKNOWN,
    };
    if (conn->streams != NULL)
        conn->streams->previous = stream;
    conn->streams = stream;
    if (kind == MR_H3_KIND_REQUEST)
        conn->request_count++;
    return stream;
}

void mr_h3_stream_remove(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    struct mr_h3_conn *conn = stream->conn;

    mr_heap_share_free(&conn->sections, stream->assembly);
    conn->blocked_count -= stream->blocked_until != 0;
    mr_h3_tunnel_remove(stream);
    mr_heap_share_free(&conn->sections, stream->head);
    if (stream->next != NULL)
        stream->next->previous = stream->previous;
    if (stream->previous != NULL)
        stream->previous->next = stream->next;
    else
        conn->streams = stream->next;
    if (stream->kind == MR_H3_KIND_REQUEST)
        conn->request_count--;
    stream->serial = 0;
    mr_pool_put(&h3->streams, mr_pool_index(&h3->streams, stream));
}

void mr_h3_stream_stop_reading(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    struct mr_h3_conn *conn = stream->conn;

    if (!stream->is_reading)
        return;
    stream->is_reading = false;
    mr_heap_share_free(&conn->sections, stream->assembly);
    stream->assembly = NULL;
    conn->blocked_count -= stream->blocked_until != 0;
    stream->blocked_until = 0;
    if (stream->kind != MR_H3_KIND_REQUEST || stream->is_fin_received || conn->is_closing ||
        conn->is_hq)
        return;
    uint64_t code = mr_qpack_decoder_cancel(&conn->decoder, stream->id);
    if (code != 0)
        mr_h3_conn_fail(h3, conn, code, "QPACK feedback is not taken");
    else
        mr_h3_mark_dirty(h3, conn);
}

void mr_h3_abort(struct mr_h3 *h3, struct mr_h3_stream *stream, uint64_t code)
{
    struct mr_transport *t = h3->transport;

    stream->is_over = true;
    stream->is_send_over = true;
    mr_h3_stream_stop_reading(h3, stream);
    if (stream->conn->is_closing)
        return;
    (void)t->ops->reset(t, stream->handle, code); /* nothing to reset is fine */
    if (!stream->is_fin_received)
        (void)t->ops->stop(t, stream->handle, code);
}

void mr_h3_stop_reading(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    struct mr_transport *t = h3->transport;
    bool was_reading = stream->is_reading;

    stream->is_over = true;
    mr_h3_stream_stop_reading(h3, stream);
    if (was_reading && !stream->is_fin_received && !stream->conn->is_closing)
        (void)t->ops->stop(t, stream->handle, MR_H3_NO_ERROR);
}

void mr_h3_stream_fail(struct mr_h3 *h3, struct mr_h3_stream *stream, uint64_t code)
{
    bool was_over = stream->is_over;

    mr_h3_abort(h3, stream, code);
    if (!was_over)
        h3->user.on_failed(h3->user.context, stream, code, false);
}

/* The stream's last event, or its connection's. */
static void close_stream(struct mr_h3 *h3, struct mr_h3_stream *stream, uint64_t code,
                         bool is_remote)
{
    struct mr_h3_conn *conn = stream->conn;

    if (stream->kind == MR_H3_KIND_REQUEST) {
        if (!stream->is_over) {
            stream->is_over = true;
            stream->is_lost = true;
            stream->is_reading = false;
            h3->user.on_failed(h3->user.context, stream, code, is_remote);
        }
        h3->user.on_stream_closed(h3->user.context, stream);
    } else if (stream == conn->our_control) {
        conn->our_control = NULL;
    } else if (stream == conn->our_decoder) {
        conn->our_decoder = NULL;
    } else if (stream == conn->our_encoder) {
        conn->our_encoder = NULL;
    } else if (stream->kind < MR_H3_KIND_OUR_CONTROL) {
        conn->peer_uni_count--;
    }
    mr_h3_stream_remove(h3, stream);
}

/* ---- connections ---- */

/* Bytes of a connection's share for QPACK, either way. */
static size_t share_limit(const struct mr_h3_limits *limits)
{
    size_t sends = limits->qpack_encoder_capacity == 0
                       ? 0
                       : SHARE_BASE + SHARE_TABLES * (size_t)limits->qpack_encoder_capacity;

    return SHARE_BASE + SHARE_TABLES * (size_t)limits->qpack_capacity + sends;
}

static struct mr_h3_conn *add_conn(struct mr_h3 *h3)
{
    uint32_t index = mr_pool_get(&h3->conns);
    if (index == MR_NONE)
        return NULL;

    struct mr_h3_conn *conn = mr_pool_at(&h3->conns, index);
    *conn = (struct mr_h3_conn){
        .owner = MR_H3_OWNER_NONE,
        .peer_goaway_id = UINT64_MAX,
        .peer = {.field_section_max = UINT64_MAX},
        .is_draining = h3->is_draining,
    };
    mr_heap_share_init(&conn->share, &h3->heap, h3->counters, share_limit(&h3->limits));
    mr_heap_share_init(&conn->sections, &h3->heap, h3->counters,
                       (SECTIONS_PER_CONN + h3->limits.qpack_blocked_max) *
                           (size_t)h3->limits.field_section_max);
    if (!mr_qpack_decoder_init(&conn->decoder, &conn->share, h3->limits.qpack_capacity,
                               h3->limits.qpack_blocked_max)) {
        mr_pool_put(&h3->conns, index);
        return NULL;
    }
    conn->serial = next_serial(h3);
    conn->next = h3->all;
    if (h3->all != NULL)
        h3->all->previous = conn;
    h3->all = conn;
    return conn;
}

static void remove_dirty(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    if (!conn->is_dirty)
        return;
    for (struct mr_h3_conn **at = &h3->dirty; *at != NULL; at = &(*at)->next_dirty) {
        if (*at == conn) {
            *at = conn->next_dirty;
            return;
        }
    }
}

static void remove_conn(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    mr_qpack_decoder_fini(&conn->decoder);
    mr_qpack_table_fini(&conn->table);
    mr_heap_share_free(&conn->sections, conn->held);
    remove_dirty(h3, conn);
    mr_handle_map_remove(&h3->conn_of_handle, conn->handle);
    if (conn->next != NULL)
        conn->next->previous = conn->previous;
    if (conn->previous != NULL)
        conn->previous->next = conn->next;
    else
        h3->all = conn->next;
    conn->serial = 0;
    mr_pool_put(&h3->conns, mr_pool_index(&h3->conns, conn));
}

void mr_h3_close(struct mr_h3 *h3, struct mr_h3_conn *conn, uint64_t code, const char *reason)
{
    struct mr_transport *t = h3->transport;

    if (conn->is_closing)
        return;
    conn->is_closing = true;
    (void)t->ops->close(t, conn->handle, code, reason);
}

void mr_h3_conn_fail(struct mr_h3 *h3, struct mr_h3_conn *conn, uint64_t code, const char *reason)
{
    if (!conn->is_closing)
        mr_count(&h3->counters->connection_errors);
    mr_h3_close(h3, conn, code, reason);
}

int mr_h3_connect(struct mr_h3 *h3, const struct mr_connect_options *options, uint64_t owner,
                  struct mr_h3_conn **conn_out)
{
    struct mr_transport *t = h3->transport;
    struct mr_connect_options full = *options;
    struct mr_h3_conn *conn = add_conn(h3);

    if (conn == NULL) {
        mr_count(&h3->counters->connections_refused);
        return -EAGAIN;
    }
    conn->owner = owner;
    conn->is_hq = h3->speaks_hq;
    full.alpn = conn->is_hq ? alpn_hq : alpn_h3;
    full.alpn_size = conn->is_hq ? sizeof(alpn_hq) : sizeof(alpn_h3);
    full.user_data = mr_h3_conn_word(h3, conn);
    int result = t->ops->connect(t, &full, &conn->handle);
    if (result != 0) {
        remove_conn(h3, conn);
        return result;
    }
    mr_handle_map_put(&h3->conn_of_handle, conn->handle, mr_pool_index(&h3->conns, conn));
    *conn_out = conn;
    return 0;
}

/* Server: the first event of a connection. */
static struct mr_h3_conn *accept_conn(struct mr_h3 *h3, mr_handle handle)
{
    struct mr_transport *t = h3->transport;
    struct mr_h3_conn *conn = add_conn(h3);

    if (conn == NULL) {
        mr_count(&h3->counters->connections_refused);
        (void)t->ops->close(t, handle, MR_H3_EXCESSIVE_LOAD, "too many HTTP/3 connections");
        return NULL;
    }
    conn->handle = handle;
    mr_handle_map_put(&h3->conn_of_handle, handle, mr_pool_index(&h3->conns, conn));
    (void)t->ops->set_user_data(t, handle, mr_h3_conn_word(h3, conn));
    return conn;
}

int mr_h3_open_request(struct mr_h3 *h3, struct mr_h3_conn *conn, uint64_t owner,
                       struct mr_h3_stream **stream_out)
{
    struct mr_transport *t = h3->transport;

    if (conn->is_closing || conn->is_draining || conn->peer_goaway_id != UINT64_MAX)
        return -EPIPE;
    struct mr_h3_stream *stream = mr_h3_stream_add(h3, conn, MR_H3_KIND_REQUEST);
    if (stream == NULL)
        return -ENOMEM;
    int result =
        t->ops->open(t, conn->handle, MR_OPEN_BIDI, mr_h3_stream_word(h3, stream), &stream->handle);
    if (result != 0) {
        mr_h3_stream_remove(h3, stream);
        return result;
    }
    stream->id = t->ops->stream_id(t, stream->handle);
    stream->owner = owner;
    if (h3->is_traced)
        mr_h3_trace_stream(h3, stream, MR_TRACE_HTTP3_REQUEST, true);
    *stream_out = stream;
    return 0;
}

/* ---- events ---- */

static void refuse_stream(struct mr_h3 *h3, mr_handle handle, uint64_t code)
{
    struct mr_transport *t = h3->transport;

    (void)t->ops->reset(t, handle, code); /* -EPIPE on a unidirectional stream */
    (void)t->ops->stop(t, handle, code);
}

static bool heap_is_low(const struct mr_h3 *h3)
{
    return h3->heap.size - h3->heap.used_bytes < h3->heap.size >> HEAP_RESERVE_SHIFT;
}

/* Server: the peer opened a request stream. */
static struct mr_h3_stream *accept_request(struct mr_h3 *h3, struct mr_h3_conn *conn,
                                           mr_handle handle, uint64_t id)
{
    bool is_late = conn->has_sent_goaway && id >= conn->next_request_id;
    struct mr_h3_stream *stream = NULL;

    if (!is_late && !heap_is_low(h3) && h3->streams.used < h3->streams.count)
        stream = mr_h3_stream_add(h3, conn, MR_H3_KIND_REQUEST);
    if (!conn->has_sent_goaway)
        conn->next_request_id = MR_MAX(conn->next_request_id, id + 4);
    if (stream != NULL) {
        stream->handle = handle;
        stream->id = id;
        mr_h3_priority_begin(conn, stream);
        if (h3->is_traced)
            mr_h3_trace_stream(h3, stream, MR_TRACE_HTTP3_REQUEST, false);
        if (h3->user.on_request(h3->user.context, stream))
            return stream;
        mr_h3_stream_remove(h3, stream);
    }
    mr_count(&h3->counters->requests_refused);
    refuse_stream(h3, handle, MR_H3_REQUEST_REJECTED);
    if (conn->is_hq)
        return NULL;
    uint64_t code = mr_qpack_decoder_cancel(&conn->decoder, id);
    if (code != 0)
        mr_h3_conn_fail(h3, conn, code, "QPACK feedback is not taken");
    mr_h3_mark_dirty(h3, conn);
    return NULL;
}

/* The peer opened a stream. */
static struct mr_h3_stream *accept_stream(struct mr_h3 *h3, const struct mr_event *event)
{
    struct mr_transport *t = h3->transport;
    uint32_t index = mr_handle_map_get(&h3->conn_of_handle, event->conn);

    if (index == MR_NONE)
        return NULL; /* a connection that was refused */
    struct mr_h3_conn *conn = mr_pool_at(&h3->conns, index);
    uint64_t id = t->ops->stream_id(t, event->stream);
    bool is_uni = (id & 2) != 0;
    struct mr_h3_stream *stream = NULL;

    if (conn->is_closing || id == UINT64_MAX)
        return NULL;
    if (!is_uni && !h3->is_server) { /* RFC 9114, Section 6.1 */
        mr_h3_conn_fail(h3, conn, MR_H3_STREAM_CREATION_ERROR,
                        "server opened a bidirectional stream");
        return NULL;
    }
    if (!is_uni) {
        stream = accept_request(h3, conn, event->stream, id);
    } else if (conn->peer_uni_count < MR_H3_PEER_UNI_MAX && !conn->is_hq) {
        stream = mr_h3_stream_add(h3, conn, MR_H3_KIND_UNTYPED);
    }
    if (stream == NULL) {
        if (is_uni) {
            mr_count(&h3->counters->streams_refused);
            refuse_stream(h3, event->stream, MR_H3_STREAM_CREATION_ERROR);
        }
        return NULL;
    }
    conn->peer_uni_count += is_uni;
    stream->handle = event->stream;
    stream->id = id;
    (void)t->ops->set_user_data(t, stream->handle, mr_h3_stream_word(h3, stream));
    return stream;
}

static bool is_critical(const struct mr_h3_stream *stream)
{
    return stream->kind != MR_H3_KIND_REQUEST && stream->kind != MR_H3_KIND_UNTYPED &&
           stream->kind != MR_H3_KIND_UNKNOWN && stream->kind != MR_H3_KIND_OUR_RESERVED;
}

static void on_reset(struct mr_h3 *h3, struct mr_h3_stream *stream, uint64_t code)
{
    if (is_critical(stream)) { /* RFC 9114, Section 6.2.1 */
        mr_h3_conn_fail(h3, stream->conn, MR_H3_CLOSED_CRITICAL_STREAM, "critical stream reset");
        return;
    }
    mr_h3_stream_stop_reading(h3, stream);
    if (stream->kind == MR_H3_KIND_REQUEST && !stream->is_over) {
        stream->is_over = true;
        h3->user.on_failed(h3->user.context, stream, code, true);
    }
}

static void on_stopped(struct mr_h3 *h3, struct mr_h3_stream *stream, uint64_t code)
{
    if (is_critical(stream))
        mr_h3_conn_fail(h3, stream->conn, MR_H3_CLOSED_CRITICAL_STREAM, "critical stream stopped");
    else if (stream->kind == MR_H3_KIND_REQUEST)
        h3->user.on_stopped(h3->user.context, stream, code);
    else /* RFC 9000, Section 3.5: the answer is a reset */
        (void)h3->transport->ops->reset(h3->transport, stream->handle, code);
}

static void on_stream_event(struct mr_h3 *h3, const struct mr_event *event)
{
    struct mr_h3_stream *stream = mr_h3_stream_of(h3, event->user_data);

    if (stream == NULL && (event->kinds & MR_EVENT_STREAM_OPENED) != 0)
        stream = accept_stream(h3, event);
    if (stream == NULL)
        return;
    struct mr_h3_conn *conn = stream->conn;
    bool is_request = stream->kind == MR_H3_KIND_REQUEST;

    if ((event->kinds & MR_EVENT_ACKED) != 0 && is_request)
        h3->user.on_acked(h3->user.context, stream, event->acked_to);
    if ((event->kinds & MR_EVENT_STOPPED) != 0 && !conn->is_closing)
        on_stopped(h3, stream, event->error);
    if ((event->kinds & MR_EVENT_READABLE) != 0 && !conn->is_closing && !stream->is_paused)
        mr_h3_stream_read(h3, stream);
    if ((event->kinds & MR_EVENT_RESET) != 0 && !conn->is_closing)
        on_reset(h3, stream, event->error);
    if ((event->kinds & MR_EVENT_WRITABLE) != 0 && !conn->is_closing) {
        if (is_request)
            h3->user.on_writable(h3->user.context, stream);
        else
            mr_h3_mark_dirty(h3, conn);
    }
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        close_stream(h3, stream, event->error, event->is_remote);
        if (is_request)
            mr_h3_conn_quiet(h3, conn);
        mr_h3_end_if_drained(h3, conn);
    }
}

static void close_conn(struct mr_h3 *h3, struct mr_h3_conn *conn, const struct mr_event *event)
{
    conn->is_closing = true;
    while (conn->streams != NULL)
        close_stream(h3, conn->streams, event->error, event->is_remote);
    mr_count(&h3->counters->connections_closed);
    h3->user.on_conn_closed(h3->user.context, conn, event);
    remove_conn(h3, conn);
}

/* 0-RTT begins or ends.  RFC 8470: a server must know, since who sends a copy never completes the
 * handshake. */
static void on_early(struct mr_h3 *h3, struct mr_h3_conn *conn, uint32_t kinds)
{
    uint32_t end = h3->is_server ? MR_EVENT_CONFIRMED : MR_EVENT_CONNECTED;

    if ((kinds & MR_EVENT_EARLY) != 0)
        conn->is_early = true;
    if ((kinds & end) != 0)
        conn->is_early = false;
    if (conn->is_early)
        mr_h3_mark_dirty(h3, conn);
}

static void on_conn_event(struct mr_h3 *h3, const struct mr_event *event)
{
    struct mr_h3_conn *conn = mr_h3_conn_of(h3, event->user_data);

    if (conn == NULL && h3->is_server && (event->kinds & MR_EVENT_CONNECTED) != 0)
        conn = accept_conn(h3, event->conn);
    if (conn == NULL)
        return;
    mr_h3_grease_begin(h3, conn);
    on_early(h3, conn, event->kinds);
    if ((event->kinds & MR_EVENT_CONNECTED) != 0) {
        conn->is_connected = true;
        mr_h3_grease_connected(h3, conn);
        if (h3->is_server)
            mr_h3_hq_detect(h3, conn);
        mr_h3_conn_quiet(h3, conn);
        mr_count(&h3->counters->connections_opened);
        h3->user.on_conn_open(h3->user.context, conn);
        mr_h3_mark_dirty(h3, conn);
    }
    if ((event->kinds & MR_EVENT_STREAMS_ALLOWED) != 0 && !conn->is_closing) {
        mr_h3_mark_dirty(h3, conn);
        h3->user.on_streams_allowed(h3->user.context, conn);
    }
    if ((event->kinds & MR_EVENT_DATAGRAM) != 0 && h3->datagram != NULL)
        mr_h3_on_datagrams(h3, conn);
    if ((event->kinds & MR_EVENT_WRITABLE) != 0 && !conn->is_closing)
        mr_h3_on_datagram_room(h3, conn);
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        close_conn(h3, conn, event);
}

static void on_retry(struct mr_h3 *h3)
{
    h3->is_retry_armed = false;
    h3->wants_retry = false;
    h3->user.on_retry(h3->user.context);
    for (struct mr_h3_conn *conn = h3->all; conn != NULL && h3->limits.has_tunnels;
         conn = conn->next)
        mr_h3_on_datagram_room(h3, conn);
}

static void on_event(struct mr_h3 *h3, const struct mr_event *event)
{
    if ((event->kinds & (MR_EVENT_TIMER | MR_EVENT_WORK_DONE)) != 0) {
        if (mr_h3_tag_of(event->user_data) == MR_H3_TAG_RETRY)
            on_retry(h3);
        else if (mr_h3_tag_of(event->user_data) == MR_H3_TAG_LINGER)
            mr_h3_on_linger(h3);
        else
            h3->user.on_other(h3->user.context, event);
    } else if ((event->kinds & MR_EVENT_GO_AWAY) != 0) {
        mr_h3_drain(h3);
        h3->user.on_other(h3->user.context, event);
    } else if (event->stream != MR_HANDLE_NONE) {
        on_stream_event(h3, event);
    } else {
        on_conn_event(h3, event);
    }
}

/* Ask for what the event's stream has here, if it has anything, and if that is there already, for
 * what it has at the user. */
MR_INLINE void ask_for(const struct mr_h3 *h3, const struct mr_event *event, bool is_there)
{
    uint32_t index = (uint32_t)event->user_data;

    if (mr_h3_tag_of(event->user_data) != MR_H3_TAG_STREAM || index >= h3->streams.fresh)
        return;
    const struct mr_h3_stream *stream = mr_pool_at(&h3->streams, index);
    if (is_there && h3->user.on_soon != NULL) {
        h3->user.on_soon(h3->user.context, stream->owner);
    } else if (!is_there) {
        MR_PREFETCH_WRITE(stream);
        MR_PREFETCH_WRITE(&stream->kind);
    }
}

void mr_h3_on_events(struct mr_h3 *h3, const struct mr_event *events, size_t count)
{
    mr_h3_trace_look(h3);
    for (size_t i = 0; i < count; i++) {
        if (i + 2 * AHEAD < count)
            ask_for(h3, &events[i + 2 * AHEAD], false);
        if (i + AHEAD < count)
            ask_for(h3, &events[i + AHEAD], true);
        on_event(h3, &events[i]);
    }
    mr_h3_flush_dirty(h3);
    mr_h3_arm_retry(h3);
}

/* ---- invariants ---- */

static void check_dirty(const struct mr_h3 *h3)
{
    uint32_t dirty = 0;

    for (const struct mr_h3_conn *conn = h3->dirty; conn != NULL; conn = conn->next_dirty) {
        MR_ASSERT(conn->serial != 0);
        MR_ASSERT(conn->is_dirty);
        MR_ASSERT(++dirty <= h3->conns.used);
    }
}

void mr_h3_check(const struct mr_h3 *h3)
{
    uint32_t conns = 0;
    uint32_t streams = 0;

    for (const struct mr_h3_conn *conn = h3->all; conn != NULL; conn = conn->next) {
        uint32_t requests = 0;
        uint32_t peer_unis = 0;
        uint32_t blocked = 0;
        uint32_t tunnels = 0;
        for (const struct mr_h3_stream *s = conn->streams; s != NULL; s = s->next) {
            MR_ASSERT(s->serial != 0);
            MR_ASSERT(s->conn == conn);
            MR_ASSERT(s->next == NULL || s->next->previous == s);
            requests += s->kind == MR_H3_KIND_REQUEST;
            peer_unis += s->kind != MR_H3_KIND_REQUEST && s->kind < MR_H3_KIND_OUR_CONTROL;
            blocked += s->blocked_until != 0;
            tunnels += s->is_tunnel;
            MR_ASSERT(s->blocked_until == 0 || s->is_paused);
            streams++;
        }
        MR_ASSERT(conn->request_count == requests);
        MR_ASSERT(conn->blocked_count == blocked);
        MR_ASSERT(conn->tunnel_count == tunnels);
        MR_ASSERT(blocked <= h3->limits.qpack_blocked_max);
        MR_ASSERT(conn->peer_uni_count == peer_unis);
        MR_ASSERT(conn->share.used <= conn->share.limit + 4 * MR_HEAP_ALIGN);
        MR_ASSERT(conn->sections.used <= conn->sections.limit + 4 * MR_HEAP_ALIGN);
        MR_ASSERT(conn->next == NULL || conn->next->previous == conn);
        conns++;
    }
    MR_ASSERT(h3->conns.used == conns);
    MR_ASSERT(h3->streams.used == streams);
    MR_ASSERT(h3->conn_of_handle.used == conns);
    check_dirty(h3);
    mr_heap_check(&h3->heap);
}
