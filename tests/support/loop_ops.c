/* tests/support/loop_ops.c - the operations of the loop's transports; see loop_transport.h. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/loop_internal.h"

/* ---- handles: kind (1 conn, 2 stream), generation, index + 1 ---- */

enum {
    KIND_CONN = 1,
    KIND_STREAM = 2,
};

static mr_handle handle_of(uint64_t kind, uint32_t moves, uint32_t generation, uint32_t index)
{
    return kind << 60 | (uint64_t)(moves & 15) << 56 | (uint64_t)(generation & 0xffffff) << 32 |
           (index + 1);
}

mr_handle loop_old_conn_handle(const struct loop *loop, const struct conn *conn, unsigned side,
                               uint32_t back)
{
    return handle_of(KIND_CONN, conn->moves[side] - back, conn->generation,
                     (uint32_t)(conn - loop->conn));
}

mr_handle loop_old_stream_handle(const struct loop *loop, const struct stream *stream,
                                 unsigned side, uint32_t back)
{
    return handle_of(KIND_STREAM, loop->conn[stream->conn].moves[side] - back, stream->generation,
                     (uint32_t)(stream - loop->stream));
}

mr_handle loop_conn_handle(const struct loop *loop, const struct conn *conn, unsigned side)
{
    return loop_old_conn_handle(loop, conn, side, 0);
}

mr_handle loop_stream_handle(const struct loop *loop, const struct stream *stream, unsigned side)
{
    return loop_old_stream_handle(loop, stream, side, 0);
}

/* The shard has it, and the handle is not from before a move. */
static bool is_here(const struct side *side, const struct conn *conn, mr_handle handle)
{
    return conn->shard[side->index] == side->shard && !conn->is_away[side->index] &&
           (conn->moves[side->index] & 15) == (handle >> 56 & 15);
}

static struct side *side_of(const struct mr_transport *t)
{
    return (struct side *)(uintptr_t)t;
}

struct conn *loop_find_conn(struct side *side, mr_handle handle)
{
    uint32_t index = (uint32_t)handle - 1;

    if (handle >> 60 != KIND_CONN || index >= CONNS_MAX)
        return NULL;
    struct conn *conn = &side->loop->conn[index];
    bool is_it = conn->is_live && conn->is_open[side->index] &&
                 (conn->generation & 0xffffff) == (uint32_t)(handle >> 32 & 0xffffff) &&
                 is_here(side, conn, handle);
    return is_it ? conn : NULL;
}

static struct stream *find_stream(struct side *side, mr_handle handle)
{
    uint32_t index = (uint32_t)handle - 1;

    if (handle >> 60 != KIND_STREAM || index >= STREAMS_MAX)
        return NULL;
    struct stream *stream = &side->loop->stream[index];
    bool is_it = stream->is_live && stream->is_open[side->index] &&
                 (stream->generation & 0xffffff) == (uint32_t)(handle >> 32 & 0xffffff) &&
                 is_here(side, &side->loop->conn[stream->conn], handle);
    return is_it ? stream : NULL;
}

/* ---- pipes ---- */

void loop_free_pieces(struct pipe *pipe)
{
    while (pipe->pieces != NULL) {
        struct piece *piece = pipe->pieces;
        pipe->pieces = piece->next;
        free(piece->data);
        free(piece);
    }
    pipe->head_released = 0;
}

bool loop_sending_is_over(const struct pipe *pipe)
{
    return !pipe->exists || pipe->is_reset || (pipe->fin_acked && pipe->acked == pipe->queued);
}

bool loop_receiving_is_over(const struct pipe *pipe)
{
    return !pipe->exists || pipe->is_reset || pipe->is_stopped || pipe->fin_released;
}

/* ---- objects ---- */

static struct stream *add_stream(struct loop *loop, uint32_t conn_index, unsigned opener,
                                 bool is_uni)
{
    struct conn *conn = &loop->conn[conn_index];

    for (uint32_t i = 0; i < STREAMS_MAX; i++) {
        struct stream *stream = &loop->stream[i];
        if (stream->is_live)
            continue;
        uint32_t generation = stream->generation + 1;
        *stream = (struct stream){
            .is_live = true,
            .generation = generation,
            .conn = conn_index,
            .id = conn->opened[opener][is_uni] << 2 | (is_uni ? 2u : 0) | opener,
            .priority = {{MR_URGENCY_DEFAULT, true}, {MR_URGENCY_DEFAULT, true}},
        };
        stream->is_open[opener] = true;
        stream->pipe[opener].exists = true;
        stream->pipe[1 - opener].exists = !is_uni;
        conn->opened[opener][is_uni]++;
        conn->live_opened[opener][is_uni]++;
        loop->stream_count++;
        loop->stream_top = MR_MAX(loop->stream_top, i + 1);
        return stream;
    }
    return NULL;
}

void loop_close_conn(struct conn *conn, unsigned by, uint64_t code, const char *reason)
{
    if (conn->is_closed)
        return;
    conn->is_closed = true;
    conn->closed_by = by;
    conn->is_application = by < 2;
    conn->code = code;
    snprintf(conn->reason, sizeof(conn->reason), "%s", reason == NULL ? "" : reason);
    for (unsigned s = 0; s < 2; s++)
        conn->pending[s] |= MR_EVENT_CLOSED;
}

/* ---- datagrams ---- */

void loop_put_datagram(struct datagram_list *list, struct loop_datagram *datagram)
{
    struct loop_datagram **tail = &list->head;

    while (*tail != NULL)
        tail = &(*tail)->next;
    datagram->next = NULL;
    *tail = datagram;
    list->count++;
}

struct loop_datagram *loop_take_datagram(struct datagram_list *list)
{
    struct loop_datagram *datagram = list->head;

    if (datagram == NULL)
        return NULL;
    list->head = datagram->next;
    list->count--;
    return datagram;
}

void loop_free_datagrams(struct conn *conn)
{
    for (unsigned s = 0; s < 2; s++) {
        while (conn->sent[s].head != NULL)
            free(loop_take_datagram(&conn->sent[s]));
        while (conn->waiting[s].head != NULL)
            free(loop_take_datagram(&conn->waiting[s]));
    }
}

/* ---- operations ---- */

/* What the client asked for, as both sides are told. */
static void note_wishes(struct conn *conn, const struct mr_connect_options *options)
{
    size_t size = MR_MIN((size_t)options->alpn[0], sizeof(conn->alpn) - 1);

    memcpy(conn->alpn, options->alpn + 1, MR_MIN(size, options->alpn_size - 1));
    snprintf(conn->server_name, sizeof(conn->server_name), "%s", options->server_name);
    conn->port = options->remote.port;
    conn->is_resumed = options->ticket_size == sizeof(LOOP_TICKET) &&
                       memcmp(options->ticket, LOOP_TICKET, sizeof(LOOP_TICKET)) == 0;
}

static int op_connect(struct mr_transport *t, const struct mr_connect_options *options,
                      mr_handle *conn_out)
{
    struct loop *loop = side_of(t)->loop;

    MR_ASSERT(side_of(t)->index == 0);
    if (options->server_name == NULL || options->alpn_size == 0)
        return -EINVAL;
    if (chance(loop, loop->config.refuse_percent))
        return -EAGAIN;
    for (uint32_t i = 0; i < CONNS_MAX; i++) {
        struct conn *conn = &loop->conn[i];
        if (conn->is_live)
            continue;
        uint32_t generation = conn->generation + 1;
        *conn = (struct conn){
            .is_live = true,
            .generation = generation,
            .is_open = {true, true},
            .user_data = {options->user_data, 0},
            .listener = loop->listener,
            .shard = {side_of(t)->shard, loop->accepting_shard},
        };
        note_wishes(conn, options);
        loop->conn_count++;
        loop->conn_top = MR_MAX(loop->conn_top, i + 1);
        *conn_out = loop_conn_handle(loop, conn, 0);
        return 0;
    }
    return -EAGAIN;
}

static int op_close(struct mr_transport *t, mr_handle handle, uint64_t code, const char *reason)
{
    struct side *side = side_of(t);
    struct conn *conn = loop_find_conn(side, handle);

    if (conn == NULL)
        return -ESTALE;
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    loop_close_conn(conn, side->index, code, reason);
    return 0;
}

static int op_set_user_data(struct mr_transport *t, mr_handle object, uint64_t user_data)
{
    struct side *side = side_of(t);
    struct conn *conn = loop_find_conn(side, object);
    struct stream *stream = find_stream(side, object);

    if (conn == NULL && stream == NULL)
        return -ESTALE;
    if (conn != NULL)
        conn->user_data[side->index] = user_data;
    else
        stream->user_data[side->index] = user_data;
    return 0;
}

static uint64_t stream_limit(const struct loop *loop, const struct conn *conn, unsigned side,
                             bool is_uni)
{
    uint32_t max = is_uni ? loop->config.uni_max : loop->config.bidi_max;

    return conn->opened[side][is_uni] + max - conn->live_opened[side][is_uni];
}

static int op_conn_info(struct mr_transport *t, mr_handle handle, struct mr_conn_info *info_out)
{
    struct side *side = side_of(t);
    const struct conn *conn = loop_find_conn(side, handle);

    if (conn == NULL)
        return -ESTALE;
    *info_out = (struct mr_conn_info){
        .is_client = side->index == 0,
        .is_resumed = conn->is_resumed,
        .is_early = side->index == 1 && conn->is_early,
        .takes_reset_at = !side->loop->config.refuses_reset_at,
        .datagram_max = side->loop->config.datagram_max,
        .streams_bidi_limit = stream_limit(side->loop, conn, side->index, false),
        .streams_uni_limit = stream_limit(side->loop, conn, side->index, true),
        .limited_by = "application"};
    *(side->index == 0 ? &info_out->remote.port : &info_out->local.port) = conn->port;
    *(side->index == 0 ? &info_out->local.port : &info_out->remote.port) = conn->client_port;
    memcpy(info_out->alpn, conn->alpn, sizeof(conn->alpn));
    memcpy(info_out->server_name, conn->server_name, sizeof(conn->server_name));
    return 0;
}

static int64_t op_ticket(struct mr_transport *t, mr_handle handle, uint8_t *dst, size_t room)
{
    struct side *side = side_of(t);
    const struct conn *conn = loop_find_conn(side, handle);

    if (conn == NULL)
        return -ESTALE;
    if (!side->loop->config.has_tickets || !conn->is_connected || side->index != 0)
        return 0;
    if (room < sizeof(LOOP_TICKET))
        return -ENOBUFS;
    memcpy(dst, LOOP_TICKET, sizeof(LOOP_TICKET));
    if (!side->loop->config.has_ticket_heads || side->loop->tickets++ == 0)
        return sizeof(LOOP_TICKET);
    for (size_t i = 0; i < MR_TICKET_HEAD_SIZE; i++)
        dst[i] = (uint8_t)toupper(dst[i]);
    return MR_TICKET_HEAD_SIZE;
}

static int op_send_datagram(struct mr_transport *t, mr_handle handle, const struct mr_view *views,
                            size_t count)
{
    struct side *side = side_of(t);
    struct loop *loop = side->loop;
    struct conn *conn = loop_find_conn(side, handle);
    size_t size = 0;

    if (conn == NULL || conn->is_closed)
        return -ESTALE;
    if (loop->config.datagram_max == 0 || !conn->is_connected)
        return -EOPNOTSUPP;
    for (size_t i = 0; i < count; i++)
        size += views[i].size;
    if (size > loop->config.datagram_max)
        return -EMSGSIZE;
    if (conn->sent[side->index].count >= loop->config.datagram_queue_max) {
        conn->wants_datagrams[side->index] = true;
        return -EAGAIN;
    }
    if (chance(loop, loop->config.refuse_percent))
        return -ENOMEM;
    struct loop_datagram *datagram = malloc(sizeof(*datagram) + size);
    MR_ASSERT(datagram != NULL);
    datagram->size = 0;
    for (size_t i = 0; i < count; i++) {
        if (views[i].size > 0)
            memcpy(datagram->data + datagram->size, views[i].data, views[i].size);
        datagram->size += views[i].size;
    }
    loop_put_datagram(&conn->sent[side->index], datagram);
    return 0;
}

static int64_t op_receive_datagram(struct mr_transport *t, mr_handle handle, uint8_t *dst,
                                   size_t room)
{
    struct side *side = side_of(t);
    struct conn *conn = loop_find_conn(side, handle);

    if (conn == NULL)
        return -ESTALE;
    struct datagram_list *list = &conn->waiting[side->index];
    if (list->head == NULL)
        return -EAGAIN;
    if (list->head->size > room)
        return -ENOBUFS;
    struct loop_datagram *datagram = loop_take_datagram(list);
    int64_t size = (int64_t)datagram->size;
    if (size > 0)
        memcpy(dst, datagram->data, datagram->size);
    free(datagram);
    return size;
}

static int op_open(struct mr_transport *t, mr_handle handle, uint32_t flags, uint64_t user_data,
                   mr_handle *stream_out)
{
    struct side *side = side_of(t);
    struct loop *loop = side->loop;
    struct conn *conn = loop_find_conn(side, handle);
    bool is_uni = (flags & MR_OPEN_UNI) != 0;

    if (conn == NULL || conn->is_closed)
        return -ESTALE;
    uint32_t max = is_uni ? loop->config.uni_max : loop->config.bidi_max;
    if (conn->live_opened[side->index][is_uni] >= max || !conn->is_connected) {
        conn->wants_streams[side->index] = true;
        return -EAGAIN;
    }
    if (chance(loop, loop->config.refuse_percent))
        return -ENOMEM;
    struct stream *stream = add_stream(loop, (uint32_t)(conn - loop->conn), side->index, is_uni);
    if (stream == NULL)
        return -ENOMEM;
    stream->user_data[side->index] = user_data;
    *stream_out = loop_stream_handle(loop, stream, side->index);
    return 0;
}

static uint64_t op_stream_id(struct mr_transport *t, mr_handle handle)
{
    const struct stream *stream = find_stream(side_of(t), handle);

    return stream == NULL ? UINT64_MAX : stream->id;
}

static void queue_segment(struct pipe *pipe, const struct mr_view *view, bool is_copy)
{
    struct segment **tail = &pipe->segments;

    if (view->size == 0)
        return;
    while (*tail != NULL)
        tail = &(*tail)->next;
    struct segment *segment = malloc(sizeof(*segment));
    MR_ASSERT(segment != NULL);
    *segment = (struct segment){.data = view->data, .size = view->size, .offset = pipe->queued};
    segment->delivered = malloc(view->size);
    MR_ASSERT(segment->delivered != NULL);
    if (is_copy) {
        segment->copy = malloc(view->size);
        MR_ASSERT(segment->copy != NULL);
        memcpy(segment->copy, view->data, view->size);
        segment->data = segment->copy;
    }
    pipe->queued += view->size;
    *tail = segment;
}

static int op_send(struct mr_transport *t, mr_handle handle, const struct mr_view *views,
                   size_t count, uint32_t flags)
{
    struct side *side = side_of(t);
    struct loop *loop = side->loop;
    struct stream *stream = find_stream(side, handle);
    size_t size = 0;

    if (stream == NULL || loop->conn[stream->conn].is_closed)
        return -ESTALE;
    struct pipe *pipe = &stream->pipe[side->index];
    if (!pipe->exists || pipe->has_fin || pipe->is_reset || pipe->is_stopped)
        return -EPIPE;
    for (size_t i = 0; i < count; i++)
        size += views[i].size;
    if ((flags & MR_SEND_COPY) != 0 && size > COPY_MAX)
        return -EMSGSIZE;
    uint64_t waiting = pipe->queued - pipe->moved;
    if (waiting > 0 && waiting + size > loop->config.queue_max) {
        pipe->was_refused = true;
        return -EAGAIN;
    }
    if (chance(loop, loop->config.refuse_percent))
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        queue_segment(pipe, &views[i], (flags & MR_SEND_COPY) != 0);
    pipe->has_fin = (flags & MR_SEND_FIN) != 0;
    if ((flags & MR_SEND_NOTIFY) != 0)
        pipe->notify_at = pipe->queued;
    return 0;
}

static int64_t op_receive(struct mr_transport *t, mr_handle handle, struct mr_view *views_out,
                          size_t room, bool *fin_out)
{
    struct side *side = side_of(t);
    struct stream *stream = find_stream(side, handle);
    size_t count = 0;

    if (stream == NULL)
        return -ESTALE;
    struct pipe *pipe = &stream->pipe[1 - side->index];
    if (pipe->is_reset)
        return -ECONNRESET;
    uint64_t shown = pipe->released;
    size_t skip = pipe->head_released;
    for (struct piece *p = pipe->pieces; p != NULL && count < room && !pipe->is_stopped;
         p = p->next) {
        views_out[count++] = (struct mr_view){p->data + skip, p->size - skip};
        shown += p->size - skip;
        skip = 0;
    }
    pipe->shown = shown;
    *fin_out = pipe->fin_moved && shown == pipe->queued && !pipe->has_reset_at;
    return (int64_t)count;
}

/* What side `sender` guaranteed was consumed: its reset counts. */
static void reset_if_read(struct stream *stream, unsigned sender)
{
    struct pipe *pipe = &stream->pipe[sender];

    if (pipe->is_reset || pipe->released < pipe->reliable)
        return;
    pipe->is_reset = true;
    stream->pending[1 - sender] |= MR_EVENT_RESET;
    stream->error[1 - sender] = pipe->code;
}

static int op_release(struct mr_transport *t, mr_handle handle, size_t size)
{
    struct side *side = side_of(t);
    struct stream *stream = find_stream(side, handle);

    if (stream == NULL)
        return -ESTALE;
    struct pipe *pipe = &stream->pipe[1 - side->index];
    if (pipe->is_stopped)
        return 0;
    MR_ASSERT(pipe->released + size <=
              pipe->shown); /* an application that gets this wrong is broken */
    pipe->released += size;
    pipe->fin_released = pipe->fin_moved && pipe->released == pipe->queued;
    while (size > 0) {
        struct piece *piece = pipe->pieces;
        size_t left = piece->size - pipe->head_released;
        if (size < left) {
            pipe->head_released += size;
            break;
        }
        size -= left;
        pipe->pieces = piece->next;
        pipe->head_released = 0;
        free(piece->data);
        free(piece);
    }
    if (pipe->has_reset_at)
        reset_if_read(stream, 1 - side->index);
    return 0;
}

static int op_reset_at(struct mr_transport *t, mr_handle handle, uint64_t code, uint64_t reliable)
{
    struct side *side = side_of(t);
    struct stream *stream = find_stream(side, handle);

    if (stream == NULL)
        return -ESTALE;
    struct pipe *pipe = &stream->pipe[side->index];
    if (code > MR_ERROR_CODE_MAX || reliable > pipe->queued)
        return -EINVAL;
    if (!pipe->exists || pipe->is_reset || pipe->is_stopped || loop_sending_is_over(pipe))
        return -EPIPE;
    if (pipe->has_reset_at && (reliable > pipe->reliable || code != pipe->code))
        return -EINVAL;
    pipe->has_reset_at = true;
    pipe->reliable = reliable;
    pipe->code = code;
    pipe->queued = MR_MAX(pipe->moved, reliable);
    pipe->has_fin = true; /* nothing is added */
    reset_if_read(stream, side->index);
    return 0;
}

static int op_reset(struct mr_transport *t, mr_handle handle, uint64_t code)
{
    struct side *side = side_of(t);
    struct stream *stream = find_stream(side, handle);

    if (stream == NULL)
        return -ESTALE;
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    struct pipe *pipe = &stream->pipe[side->index];
    if (!pipe->exists || pipe->is_reset || loop_sending_is_over(pipe))
        return -EPIPE;
    pipe->is_reset = true; /* what the receiver was shown stays valid until its CLOSED */
    pipe->code = code;
    stream->pending[1 - side->index] |= MR_EVENT_RESET;
    stream->error[1 - side->index] = code;
    return 0;
}

static int op_stop(struct mr_transport *t, mr_handle handle, uint64_t code)
{
    struct side *side = side_of(t);
    struct stream *stream = find_stream(side, handle);

    if (stream == NULL)
        return -ESTALE;
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    struct pipe *pipe = &stream->pipe[1 - side->index];
    if (!pipe->exists || pipe->is_reset || pipe->is_stopped || loop_receiving_is_over(pipe))
        return 0;
    pipe->is_stopped = true;
    loop_free_pieces(pipe);
    if (!loop_sending_is_over(pipe)) { /* the sender answers with a reset (RFC 9000, Section 3.5) */
        stream->pending[1 - side->index] |= MR_EVENT_STOPPED;
        stream->error[1 - side->index] = code;
    }
    return 0;
}

static int op_set_priority(struct mr_transport *t, mr_handle handle, struct mr_priority priority)
{
    struct side *side = side_of(t);
    struct stream *stream = find_stream(side, handle);

    if (stream == NULL)
        return -ESTALE;
    if (priority.urgency >= MR_URGENCIES)
        return -EINVAL;
    stream->priority[side->index] = priority;
    return 0;
}

/* A side that has no timer left at all would never wake up again: its first one is never refused.
 */
static bool has_timer(const struct loop *loop, unsigned place)
{
    for (uint32_t i = 0; i < loop->timer_count; i++) {
        if (loop->timer[i].place == place)
            return true;
    }
    return false;
}

static unsigned place_of(const struct side *side)
{
    return (unsigned)(side - side->loop->side);
}

static int op_timer(struct mr_transport *t, uint64_t delay_ns, uint64_t user_data)
{
    struct side *side = side_of(t);
    struct loop *loop = side->loop;
    bool is_refused = chance(loop, loop->config.refuse_percent) && has_timer(loop, place_of(side));

    if (loop->timer_count == TIMERS_MAX || is_refused)
        return -ENOMEM;
    loop->timer[loop->timer_count++] =
        (struct timer){loop->now + delay_ns, user_data, place_of(side)};
    return 0;
}

static int op_work(struct mr_transport *t, int64_t (*function)(void *argument), void *argument,
                   uint64_t user_data)
{
    struct side *side = side_of(t);
    struct loop *loop = side->loop;

    if (loop->work_count == MR_MIN(loop->config.work_max, (uint32_t)WORK_MAX) ||
        chance(loop, loop->config.refuse_percent))
        return -EAGAIN;
    loop->work[loop->work_count++] = (struct work){function, argument, user_data, place_of(side)};
    return 0;
}

static int op_move(struct mr_transport *t, mr_handle conn, uint32_t shard)
{
    return loop_move_begin(side_of(t), conn, shard, true);
}

static int64_t op_moved_streams(struct mr_transport *t, mr_handle conn,
                                struct mr_moved_stream *streams_out, size_t room)
{
    return loop_moved_streams(side_of(t), conn, streams_out, room);
}

static uint64_t op_now(const struct mr_transport *t)
{
    return side_of(t)->loop->now;
}

/* Of the client, to the next port at once; port LOOP_DEAF_PORT never answers. */
static int op_migrate(struct mr_transport *t, mr_handle handle, const struct mr_address *local)
{
    struct side *side = side_of(t);
    struct conn *conn = loop_find_conn(side, handle);

    if (conn == NULL)
        return -ESTALE;
    if (side->index != 0)
        return -EOPNOTSUPP;
    if (local->port == LOOP_DEAF_PORT) {
        conn->pending[0] |= MR_EVENT_PATH_FAILED;
        return 0;
    }
    conn->client_port = local->port != 0 ? local->port : (uint16_t)(conn->client_port + 1);
    conn->pending[0] |= MR_EVENT_PATH_CHANGED;
    conn->pending[1] |= MR_EVENT_PATH_CHANGED;
    return 0;
}

const struct mr_transport_ops loop_ops = {
    .connect = op_connect,
    .close = op_close,
    .set_user_data = op_set_user_data,
    .conn_info = op_conn_info,
    .ticket = op_ticket,
    .open = op_open,
    .stream_id = op_stream_id,
    .send = op_send,
    .send_datagram = op_send_datagram,
    .receive_datagram = op_receive_datagram,
    .receive = op_receive,
    .release = op_release,
    .reset = op_reset,
    .reset_at = op_reset_at,
    .stop = op_stop,
    .timer = op_timer,
    .work = op_work,
    .now = op_now,
    .move = op_move,
    .moved_streams = op_moved_streams,
    .set_priority = op_set_priority,
    .migrate = op_migrate,
    .path = loop_path,
};
