/* tools/perf_ops.c - the operations of perf_load.h: their streams, connections, bytes and ends. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "quic/types.h"
#include "tools/perf_far.h"
#include "tools/perf_load_internal.h"

#define VIEWS 32

/* ------------------------------------------------------------------ small */

static void add_to(_Atomic uint32_t *field, int32_t n)
{
    atomic_store_explicit(field, atomic_load_explicit(field, memory_order_relaxed) + (uint32_t)n,
                          memory_order_relaxed);
}

static const struct mr_perf_kind *kind_of(const struct mr_perf_load *load,
                                          const struct mr_perf_op *op)
{
    return &load->plan.kind[op->kind];
}

/* By weight. */
uint32_t mr_perf_choose_kind(struct mr_perf_load *load)
{
    double at = (double)(mr_random_u64(&load->random) >> 11) * 0x1p-53 * load->weights;
    uint32_t kind = 0;

    while (kind + 1 < load->plan.kind_count && at >= load->plan.kind[kind].weight)
        at -= load->plan.kind[kind++].weight;
    return kind;
}

void mr_perf_note_reason(struct mr_perf_load *load, const char *what, const char *reason,
                         uint64_t code)
{
    struct mr_perf_shared *shared = &load->shared;
    char text[MR_PERF_REASON];
    uint32_t i = 0;

    if (load->phase > MR_PERF_MEASURE)
        return; /* what ends the run */
    snprintf(text, sizeof(text), "%s%s%s (code 0x%llx)", what, reason[0] != '\0' ? ": " : "",
             reason, (unsigned long long)code);
    while (i < shared->reason_count && strcmp(shared->reasons[i].text, text) != 0)
        i++;
    if (i == MR_PERF_REASONS_MAX)
        return;
    if (i == shared->reason_count) {
        shared->reason_count++;
        memcpy(shared->reasons[i].text, text, sizeof(text));
    }
    shared->reasons[i].count++;
}

/* ------------------------------------------------------------------ tables */

static struct mr_perf_conn *take_conn(struct mr_perf_load *load, uint32_t op)
{
    uint32_t index = load->conn_free;

    if (index != MR_NONE)
        load->conn_free = load->conns[index].next;
    else if (load->conn_used < load->conn_max)
        index = load->conn_used++;
    else
        return NULL;
    load->conns[index] =
        (struct mr_perf_conn){.op = op, .rebind = MR_NONE, .next = MR_NONE, .is_used = true};
    return &load->conns[index];
}

static void give_conn(struct mr_perf_load *load, struct mr_perf_conn *c)
{
    c->is_used = false;
    c->next = load->conn_free;
    load->conn_free = (uint32_t)(c - load->conns);
}

static struct mr_perf_op *take_op(struct mr_perf_load *load)
{
    uint32_t index = load->op_free;

    if (index != MR_NONE)
        load->op_free = load->ops[index].next;
    else if (load->op_used < load->plan.operations)
        index = load->op_used++;
    else
        return NULL;
    load->ops[index] = (struct mr_perf_op){.conn = MR_NONE, .place = MR_NONE, .next = MR_NONE};
    return &load->ops[index];
}

static void give_op(struct mr_perf_load *load, struct mr_perf_op *op)
{
    op->conn = MR_NONE;
    op->next = load->op_free;
    load->op_free = (uint32_t)(op - load->ops);
}

void mr_perf_let_go(struct mr_perf_load *load, struct mr_perf_op *op)
{
    struct mr_perf_conn *c = &load->conns[op->conn];

    give_op(load, op);
    c->ops--;
    if (c->is_gone && c->ops == 0)
        give_conn(load, c);
}

/* Objects are named to the transport by index + 1. */
static uint64_t name(size_t index)
{
    return (uint64_t)index + 1;
}

static struct mr_perf_conn *conn_of(struct mr_perf_load *load, const struct mr_event *event)
{
    uint64_t at = event->user_data - 1;

    return at < load->conn_used ? &load->conns[at] : NULL;
}

/* ------------------------------------------------------------------ an operation's bytes */

static void send_more(struct mr_perf_load *load, struct mr_perf_op *op)
{
    const struct mr_transport_ops *ops = load->transport->ops;

    while (!op->is_fin && op->queued - op->acked_to < MR_PERF_AHEAD_BYTES) {
        struct mr_view view = {.data = op->header, .size = MR_PERF_HEADER};
        uint32_t flags = MR_SEND_COPY;

        if (op->queued >= MR_PERF_HEADER) {
            view = mr_perf_buffer_piece(load->buffer, op->queued - MR_PERF_HEADER,
                                        op->total == UINT64_MAX ? UINT64_MAX
                                                                : op->total - MR_PERF_HEADER);
            flags = 0;
        }
        bool is_last = op->queued + view.size == op->total;
        if (ops->send(load->transport, op->stream, &view, 1, flags | (is_last ? MR_SEND_FIN : 0)) !=
            0)
            return; /* WRITABLE or ACKED comes */
        op->queued += view.size;
        op->is_fin = is_last;
    }
}

/* True: the answer has come to its end. */
static bool receive(struct mr_perf_load *load, mr_handle stream)
{
    const struct mr_transport_ops *ops = load->transport->ops;
    struct mr_view views[VIEWS];
    bool fin = false;
    int64_t n;

    while ((n = ops->receive(load->transport, stream, views, VIEWS, &fin)) > 0) {
        size_t size = mr_views_size(views, (size_t)n);

        ops->release(load->transport, stream, size);
        mr_perf_count(&load->shared.counts.bytes_down, size);
    }
    if (n == 0 && fin)
        ops->release(load->transport, stream, 0);
    return n == 0 && fin;
}

/* ------------------------------------------------------------------ beginning */

static bool has_request(const struct mr_perf_kind *kind)
{
    return !kind->is_connection || kind->up_bytes > 0 || kind->down_bytes > 0;
}

/* 0, or the transport's answer. */
static int open_stream(struct mr_perf_load *load, struct mr_perf_op *op)
{
    const struct mr_perf_kind *kind = kind_of(load, op);
    int error = load->transport->ops->open(load->transport, load->conns[op->conn].conn,
                                           kind->is_uni ? MR_OPEN_UNI : MR_OPEN_BIDI,
                                           name((size_t)(op - load->ops)), &op->stream);

    if (error != 0)
        return error;
    op->streams = 1;
    op->total = kind->up_bytes == MR_PERF_ENDLESS ? UINT64_MAX : MR_PERF_HEADER + kind->up_bytes;
    mr_store_be64(op->header, kind->down_bytes);
    send_more(load, op);
    return 0;
}

static int connect_to(struct mr_perf_load *load, struct mr_perf_conn *c,
                      const struct mr_perf_kind *kind)
{
    const char *protocol = load->plan.alpn != NULL ? load->plan.alpn : MR_PERF_ALPN;
    size_t protocol_size = strlen(protocol);
    uint8_t alpn[1 + MR_PERF_ALPN_MAX];
    bool has_ticket = kind != NULL && kind->is_resumed && load->ticket_size > 0;
    const struct mr_connect_options options = {
        .remote = load->plan.server,
        .server_name = load->plan.server_name,
        .alpn = alpn,
        .alpn_size = 1 + protocol_size,
        .is_insecure = load->plan.is_insecure,
        .is_early = has_ticket && kind->is_early,
        .user_data = name((size_t)(c - load->conns)),
        .ticket = has_ticket ? load->ticket : NULL,
        .ticket_size = has_ticket ? load->ticket_size : 0,
    };

    alpn[0] = (uint8_t)protocol_size;
    memcpy(&alpn[1], protocol, protocol_size);
    return load->transport->ops->connect(load->transport, &options, &c->conn);
}

/* A connection of the operation's own.  False: not now. */
static bool begin_connection(struct mr_perf_load *load, struct mr_perf_op *op)
{
    if (load->own == MR_PERF_OWN_MAX)
        return false;
    struct mr_perf_conn *c = take_conn(load, (uint32_t)(op - load->ops));
    if (c == NULL)
        return false;
    if (connect_to(load, c, kind_of(load, op)) != 0) {
        give_conn(load, c);
        return false;
    }
    load->own++;
    op->conn = (uint32_t)(c - load->conns);
    return true;
}

struct mr_perf_conn *mr_perf_find_conn(struct mr_perf_load *load)
{
    for (uint32_t i = 0; i < MR_PERF_LOOK_AROUND && load->conn_used > 0; i++) {
        struct mr_perf_conn *c = &load->conns[load->turn++ % load->conn_used];

        if (c->is_used && c->is_open && c->op == MR_NONE && c->under_way < load->plan.at_once)
            return c;
    }
    return NULL;
}

static bool begin_stream(struct mr_perf_load *load, struct mr_perf_op *op, struct mr_perf_conn *c)
{
    if (c == NULL)
        c = mr_perf_find_conn(load);
    if (c == NULL)
        return false;
    op->conn = (uint32_t)(c - load->conns);
    return open_stream(load, op) == 0;
}

/* A closed loop's operation has a place of the connection that begins it, be it on one of its own.
 */
static void take_place(struct mr_perf_load *load, struct mr_perf_op *op, struct mr_perf_conn *c)
{
    op->place = c != NULL ? (uint32_t)(c - load->conns) : op->conn;
    load->conns[op->place].under_way++;
}

/* Begin one that was due then, on this connection, or any.  False: not now. */
bool mr_perf_begin(struct mr_perf_load *load, uint32_t kind, uint64_t due_ns,
                   struct mr_perf_conn *c)
{
    struct mr_perf_op *op = take_op(load);

    if (op == NULL)
        return false;
    op->kind = (uint8_t)kind;
    op->due_ns = due_ns;
    op->is_measured = load->phase == MR_PERF_MEASURE;
    bool is_begun = load->plan.kind[kind].is_connection ? begin_connection(load, op)
                    : load->plan.kind[kind].is_rebind   ? mr_perf_begin_rebind(load, op, c)
                                                        : begin_stream(load, op, c);
    if (!is_begun) {
        give_op(load, op);
        return false;
    }
    load->conns[op->conn].ops++;
    if (c != NULL || load->conns[op->conn].op == MR_NONE)
        take_place(load, op, c);
    add_to(&load->shared.under_way, 1);
    mr_perf_count(&load->shared.counts.begun, 1);
    if (mr_perf_now(load) >= due_ns + MR_PERF_LATE_NS)
        mr_perf_count(&load->shared.counts.late, 1);
    if (op->is_measured)
        load->shared.kinds[kind].begun++;
    return true;
}

/* ------------------------------------------------------------------ closed loop */

/* The next operation of a connection; what cannot begin is owed. */
static void begin_next(struct mr_perf_load *load, struct mr_perf_conn *c)
{
    if (!mr_perf_may_begin(load) || load->plan.is_open_loop || !c->is_used || !c->is_open)
        return;
    if (!mr_perf_begin(load, mr_perf_choose_kind(load), mr_perf_now(load), c))
        c->owed++;
}

uint32_t mr_perf_begin_owed(struct mr_perf_load *load, struct mr_perf_conn *c)
{
    uint32_t begun = 0;

    while (c->owed > 0 && mr_perf_may_begin(load) &&
           mr_perf_begin(load, mr_perf_choose_kind(load), mr_perf_now(load), c)) {
        c->owed--;
        begun++;
    }
    return begun;
}

/* All places of a connection. */
void mr_perf_begin_all(struct mr_perf_load *load, struct mr_perf_conn *c)
{
    for (uint32_t i = 0; i < load->plan.at_once; i++)
        begin_next(load, c);
}

/* ------------------------------------------------------------------ ends */

/* It is over, or will not be: once. */
static void count_end(struct mr_perf_load *load, struct mr_perf_op *op, bool is_done)
{
    struct mr_perf_kind_result *result = &load->shared.kinds[op->kind];

    if (op->is_counted)
        return;
    op->is_counted = true;
    if (op->place != MR_NONE)
        load->conns[op->place].under_way--;
    add_to(&load->shared.under_way, -1);
    mr_perf_count(is_done ? &load->shared.counts.done : &load->shared.counts.failed,
                  is_done || load->phase <= MR_PERF_MEASURE);
    mr_perf_count(&load->shared.counts.done_of[op->kind], is_done);
    if (!op->is_measured || load->phase > MR_PERF_DRAIN)
        return;
    if (is_done) {
        result->done++;
        mr_histogram_add(&result->latency, mr_perf_now(load) - op->due_ns);
    } else if (load->phase <= MR_PERF_MEASURE) {
        result->failed++;
    }
}

/* The server has a round trip to hear of the handshake's end, and another one's time for it. */
static uint64_t leave_ns(const struct mr_perf_load *load, const struct mr_perf_conn *c)
{
    struct mr_conn_info info = {0};

    (void)load->transport->ops->conn_info(load->transport, c->conn, &info);
    return MR_MIN(2 * info.rtt_ns + MR_PERF_LEAVE_NS, MR_PERF_LEAVE_MAX);
}

/* Its own connection ends; its place is free. */
static void leave(struct mr_perf_load *load, const struct mr_perf_op *op)
{
    struct mr_perf_conn *c = &load->conns[op->conn];

    if (c->op != MR_NONE && !c->is_gone) {
        c->close_ns = mr_perf_now(load) + leave_ns(load, c);
        c->next = MR_NONE;
        *(load->leaving == MR_NONE ? &load->leaving : &load->conns[load->leaving_last].next) =
            op->conn;
        load->leaving_last = op->conn;
    }
    if (op->place != MR_NONE)
        begin_next(load, &load->conns[op->place]);
}

void mr_perf_close_left(struct mr_perf_load *load)
{
    while (load->leaving != MR_NONE && load->conns[load->leaving].close_ns <= mr_perf_now(load)) {
        const struct mr_perf_conn *c = &load->conns[load->leaving];

        load->leaving = c->next;
        load->transport->ops->close(load->transport, c->conn, MR_PERF_NO_ERROR, "");
    }
}

/* It ended by itself. */
static void leave_no_more(struct mr_perf_load *load, const struct mr_perf_conn *c)
{
    uint32_t before = MR_NONE;

    for (uint32_t i = load->leaving; i != MR_NONE; before = i, i = load->conns[i].next) {
        if (&load->conns[i] != c)
            continue;
        *(before == MR_NONE ? &load->leaving : &load->conns[before].next) = c->next;
        if (load->leaving_last == i)
            load->leaving_last = before;
        return;
    }
}

void mr_perf_finish(struct mr_perf_load *load, struct mr_perf_op *op, bool is_done)
{
    if (op->is_counted)
        return;
    count_end(load, op, is_done);
    leave(load, op);
}

/* ------------------------------------------------------------------ streams */

/* The server's answer to a unidirectional request: streams of one connection are answered in
 * order, so that no more is known of which than that the oldest is the likely one. */
static struct mr_perf_op *oldest_uni(struct mr_perf_load *load, mr_handle conn)
{
    struct mr_perf_op *oldest = NULL;

    for (uint32_t i = 0; i < load->op_used; i++) {
        struct mr_perf_op *op = &load->ops[i];
        bool waits = op->conn != MR_NONE && !op->is_counted && kind_of(load, op)->is_uni &&
                     op->answer == MR_HANDLE_NONE && load->conns[op->conn].conn == conn;

        if (waits && (oldest == NULL || op->due_ns < oldest->due_ns))
            oldest = op;
    }
    return oldest;
}

static struct mr_perf_op *op_of(struct mr_perf_load *load, const struct mr_event *event)
{
    uint64_t at = event->user_data - 1;

    if (at < load->op_used)
        return &load->ops[at];
    if ((event->kinds & MR_EVENT_STREAM_OPENED) == 0)
        return NULL;
    struct mr_perf_op *op = oldest_uni(load, event->conn);
    if (op == NULL) {
        load->transport->ops->stop(load->transport, event->stream, MR_PERF_NO_ERROR);
        return NULL;
    }
    op->streams++;
    op->answer = event->stream;
    load->transport->ops->set_user_data(load->transport, event->stream,
                                        name((size_t)(op - load->ops)));
    if (op->is_given_up)
        load->transport->ops->stop(load->transport, event->stream, MR_PERF_NO_ERROR);
    return op;
}

/* An operation without an answer of its own is over when its bytes are acknowledged. */
static bool is_one_way(const struct mr_perf_load *load, const struct mr_perf_op *op)
{
    const struct mr_perf_kind *kind = kind_of(load, op);

    return kind->is_uni && kind->down_bytes == 0;
}

static void on_acked(struct mr_perf_load *load, struct mr_perf_op *op, uint64_t acked_to)
{
    mr_perf_count(&load->shared.counts.bytes_up, acked_to - op->acked_to);
    op->acked_to = acked_to;
    if (is_one_way(load, op) && op->is_fin && acked_to == op->total)
        mr_perf_finish(load, op, true);
}

static void on_stream_closed(struct mr_perf_load *load, struct mr_perf_op *op, bool is_request)
{
    op->streams--;
    if (is_request)
        op->stream = MR_HANDLE_NONE;
    const struct mr_perf_conn *c = &load->conns[op->conn];
    bool waits = is_request && kind_of(load, op)->is_uni && !op->is_counted && !op->is_given_up &&
                 !c->is_gone;

    if (op->streams > 0 || waits)
        return; /* the other one, or its answer comes yet */
    mr_perf_finish(load, op, false);
    if (c->op == MR_NONE || c->is_gone)
        mr_perf_let_go(load, op);
}

static void on_stream(struct mr_perf_load *load, const struct mr_event *event)
{
    if (load->plan.alpn != NULL) {
        (void)receive(load, event->stream); /* another protocol's, which we do not speak */
        return;
    }
    struct mr_perf_op *op = op_of(load, event);

    if (op == NULL)
        return;
    bool is_request = event->stream == op->stream;
    if ((event->kinds & MR_EVENT_ACKED) != 0 && is_request)
        on_acked(load, op, event->acked_to);
    if ((event->kinds & (MR_EVENT_RESET | MR_EVENT_STOPPED)) != 0 && !op->is_counted) {
        mr_perf_note_reason(load,
                            (event->kinds & MR_EVENT_RESET) != 0 ? "the server reset a stream"
                                                                 : "the server stopped a stream",
                            "", event->error);
        load->transport->ops->reset(load->transport, event->stream, event->error);
        mr_perf_finish(load, op, false);
    }
    if ((event->kinds & MR_EVENT_READABLE) != 0 && receive(load, event->stream) && !op->is_counted)
        mr_perf_finish(load, op, op->is_fin);
    if ((event->kinds & (MR_EVENT_ACKED | MR_EVENT_WRITABLE)) != 0 && is_request)
        send_more(load, op);
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        on_stream_closed(load, op, is_request);
}

/* ------------------------------------------------------------------ connections */

/* The first goes alone: before the next hop's address is known few packets wait for it, and those
 * of the others would be lost, and sent again a second later. */
static uint32_t handshakes_at_once(const struct mr_perf_load *load)
{
    return load->shared.counts.connected == 0 ? 1 : load->plan.connecting;
}

void mr_perf_open_kept(struct mr_perf_load *load)
{
    const struct mr_perf_plan *plan = &load->plan;
    uint32_t handshakes = handshakes_at_once(load);

    while (load->phase <= MR_PERF_MEASURE && load->kept < plan->connections &&
           load->connecting < handshakes && mr_perf_now(load) >= load->retry_ns) {
        struct mr_perf_conn *c = take_conn(load, MR_NONE);

        if (c == NULL)
            return;
        if (connect_to(load, c, NULL) != 0) {
            give_conn(load, c);
            load->retry_ns = mr_perf_now(load) + MR_PERF_RETRY_NS;
            return;
        }
        load->kept++;
        load->connecting++;
    }
}

static void on_own_connected(struct mr_perf_load *load, struct mr_perf_conn *c)
{
    struct mr_perf_op *op = &load->ops[c->op];
    struct mr_conn_info info;

    if (load->transport->ops->conn_info(load->transport, c->conn, &info) == 0) {
        mr_perf_count(&load->shared.counts.resumed, info.is_resumed);
        mr_perf_count(&load->shared.counts.early, info.is_early);
        load->shared.kinds[op->kind].resumed += op->is_measured && info.is_resumed;
        load->shared.kinds[op->kind].early += op->is_measured && info.is_early;
    }
    if (!has_request(kind_of(load, op)))
        mr_perf_finish(load, op, true);
    else if (op->stream == MR_HANDLE_NONE && op->streams == 0 && open_stream(load, op) != 0)
        mr_perf_finish(load, op, false);
}

static void on_connected(struct mr_perf_load *load, struct mr_perf_conn *c)
{
    c->is_open = true;
    mr_perf_count(&load->shared.counts.connected, 1);
    if (c->op != MR_NONE) {
        on_own_connected(load, c);
        return;
    }
    load->connecting--;
    add_to(&load->shared.open, 1);
    if (load->started > (uint32_t)(c - load->conns))
        mr_perf_begin_all(load, c); /* one that came later, or again */
}

/* 0-RTT may be sent. */
static void on_early(struct mr_perf_load *load, const struct mr_perf_conn *c)
{
    struct mr_perf_op *op = c->op == MR_NONE ? NULL : &load->ops[c->op];

    if (op != NULL && has_request(kind_of(load, op)) && op->streams == 0)
        (void)open_stream(load, op); /* or when it is connected */
}

static void on_ticket(struct mr_perf_load *load, const struct mr_perf_conn *c)
{
    int64_t size =
        load->transport->ops->ticket(load->transport, c->conn, load->ticket, sizeof(load->ticket));

    if (size > MR_TICKET_HEAD_SIZE)
        load->ticket_size = (uint32_t)size;
}

static void on_kept_closed(struct mr_perf_load *load, const struct mr_perf_conn *c)
{
    load->kept--;
    if (c->is_open)
        add_to(&load->shared.open, -1);
    else
        load->connecting--;
    mr_perf_count(&load->shared.counts.lost, load->phase < MR_PERF_CLOSE);
    load->retry_ns = mr_perf_now(load) + MR_PERF_RETRY_NS;
}

/* Operations of a connection that has ended, of which no stream is left to tell them. */
static void end_streamless(struct mr_perf_load *load, const struct mr_perf_conn *c)
{
    uint32_t index = (uint32_t)(c - load->conns);

    for (uint32_t i = 0; i < load->op_used && c->ops > 0; i++) {
        struct mr_perf_op *op = &load->ops[i];

        if (op->conn != index || op->streams > 0)
            continue;
        count_end(load, op, false);
        mr_perf_let_go(load, op);
    }
}

static void on_own_closed(struct mr_perf_load *load, const struct mr_perf_conn *c)
{
    load->own--;
    if (c->close_ns != 0)
        leave_no_more(load, c);
}

static const char *how_ended(const struct mr_perf_conn *c, const struct mr_event *event)
{
    if (c->is_open)
        return "a connection ended";
    if (event->is_remote && !event->is_application && event->error == MR_CONNECTION_REFUSED)
        return "the server refused the connection: it has no room for more (its --connections), or "
               "does not want any";
    return "a connection could not be made";
}

static void on_closed(struct mr_perf_load *load, struct mr_perf_conn *c,
                      const struct mr_event *event)
{
    if (load->phase < MR_PERF_CLOSE && (c->op == MR_NONE || !load->ops[c->op].is_counted))
        mr_perf_note_reason(load, how_ended(c, event), event->reason, event->error);
    if (c->op == MR_NONE)
        on_kept_closed(load, c);
    else
        on_own_closed(load, c);
    c->is_gone = true;
    c->is_open = false;
    if (c->ops == 0)
        give_conn(load, c);
    else if (c->op != MR_NONE && load->ops[c->op].streams == 0) {
        mr_perf_finish(load, &load->ops[c->op], false);
        mr_perf_let_go(load, &load->ops[c->op]);
    } else if (load->has_streamless) {
        end_streamless(load, c);
    }
}

static void on_conn(struct mr_perf_load *load, const struct mr_event *event)
{
    struct mr_perf_conn *c = conn_of(load, event);

    if (c == NULL)
        return;
    if ((event->kinds & MR_EVENT_EARLY) != 0)
        on_early(load, c);
    if ((event->kinds & MR_EVENT_CONNECTED) != 0)
        on_connected(load, c);
    if ((event->kinds & MR_EVENT_TICKET) != 0)
        on_ticket(load, c);
    if ((event->kinds & (MR_EVENT_PATH_CHANGED | MR_EVENT_PATH_FAILED)) != 0)
        mr_perf_end_rebind(load, c, (event->kinds & MR_EVENT_PATH_CHANGED) != 0);
    if ((event->kinds & MR_EVENT_STREAMS_ALLOWED) != 0)
        mr_perf_begin_owed(load, c);
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        on_closed(load, c, event);
}

void mr_perf_on_events(void *context, const struct mr_event *events, size_t n)
{
    struct mr_perf_load *load = context;

    for (size_t i = 0; i < n; i++) {
        if (load->far != NULL && events[i].user_data == MR_FAR_NAME)
            mr_far_client_event(load->far, &events[i]);
        else if (events[i].stream != MR_HANDLE_NONE)
            on_stream(context, &events[i]);
        else if ((events[i].kinds & MR_EVENT_TIMER) == 0)
            on_conn(context, &events[i]);
    }
}
