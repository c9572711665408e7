/* tests/support/loop_transport.c - movement and events; see loop_transport.h. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/loop_internal.h"

/* ---- pipes ---- */

static void free_segments(struct pipe *pipe)
{
    while (pipe->segments != NULL) {
        struct segment *segment = pipe->segments;
        pipe->segments = segment->next;
        free(segment->copy);
        free(segment->delivered);
        free(segment);
    }
}

static void add_piece(struct pipe *pipe, const uint8_t *data, size_t size)
{
    struct piece **tail = &pipe->pieces;

    while (*tail != NULL)
        tail = &(*tail)->next;
    struct piece *piece = malloc(sizeof(*piece));
    MR_ASSERT(piece != NULL);
    *piece = (struct piece){.data = malloc(size), .size = size};
    MR_ASSERT(piece->data != NULL);
    memcpy(piece->data, data, size);
    *tail = piece;
}

/* Give the receiver at most `room` more bytes. */
static void move_bytes(struct loop *loop, struct pipe *pipe, size_t room)
{
    struct segment *segment = pipe->segments;

    while (segment != NULL && segment->offset + segment->size <= pipe->moved)
        segment = segment->next;
    for (; segment != NULL && room > 0; segment = segment->next) {
        size_t skip = (size_t)(pipe->moved - segment->offset);
        size_t left = MR_MIN(segment->size - skip, room);
        for (size_t at = 0; at < left;) {
            size_t size = some(loop, loop->config.view_max);
            size = MR_MIN(size, left - at);
            add_piece(pipe, segment->data + skip + at, size);
            memcpy(segment->delivered + skip + at, segment->data + skip + at, size);
            at += size;
        }
        pipe->moved += left;
        room -= left;
    }
}

/* Acknowledge up to `to`; what the sender holds must be what was delivered. */
static void ack_bytes(struct pipe *pipe, uint64_t to, bool is_careless)
{
    while (pipe->segments != NULL && pipe->segments->offset + pipe->segments->size <= to) {
        struct segment *segment = pipe->segments;
        MR_ASSERT(is_careless || memcmp(segment->data, segment->delivered, segment->size) == 0);
        pipe->segments = segment->next;
        free(segment->copy);
        free(segment->delivered);
        free(segment);
    }
    if (pipe->segments != NULL && pipe->segments->offset < to) {
        size_t part = (size_t)(to - pipe->segments->offset);
        MR_ASSERT(is_careless ||
                  memcmp(pipe->segments->data, pipe->segments->delivered, part) == 0);
    }
    pipe->acked = to;
}

/* ---- objects ---- */

static void remove_stream(struct loop *loop, struct stream *stream)
{
    struct conn *conn = &loop->conn[stream->conn];
    unsigned opener = (unsigned)(stream->id & 1);
    bool is_uni = (stream->id & 2) != 0;

    for (unsigned s = 0; s < 2; s++) {
        free_segments(&stream->pipe[s]);
        loop_free_pieces(&stream->pipe[s]);
    }
    stream->is_live = false;
    loop->stream_count--;
    conn->live_opened[opener][is_uni]--;
    if (conn->wants_streams[opener] && !conn->is_closed) {
        conn->wants_streams[opener] = false;
        conn->pending[opener] |= MR_EVENT_STREAMS_ALLOWED;
    }
}

/* ---- movement ---- */

/* Move some data of one direction, and some acknowledgements back. */
static void move_pipe(struct loop *loop, struct stream *stream, unsigned sender)
{
    struct pipe *pipe = &stream->pipe[sender];
    unsigned receiver = 1 - sender;

    if (!pipe->exists || pipe->is_reset)
        return;
    if (pipe->is_stopped &&
        !pipe->fin_acked) { /* what was delivered stays the sender's until its CLOSED */
        pipe->is_reset = true;
        loop->has_moved = true;
        return;
    }
    uint64_t window = loop->config.stream_window - (pipe->moved - pipe->released);
    uint64_t room = MR_MIN(pipe->queued - pipe->moved, window);
    if (room > 0 || (pipe->has_fin && !pipe->fin_moved && pipe->moved == pipe->queued)) {
        size_t step = some(loop, loop->config.piece_max);
        move_bytes(loop, pipe, (size_t)MR_MIN(room, (uint64_t)step));
        pipe->fin_moved = pipe->has_fin && pipe->moved == pipe->queued;
        if (!stream->is_open[receiver]) {
            stream->is_open[receiver] = true;
            stream->pending[receiver] |= MR_EVENT_STREAM_OPENED;
        }
        stream->pending[receiver] |= MR_EVENT_READABLE;
        loop->has_moved = true;
    }
    if (pipe->notify_at != 0 && pipe->moved >= pipe->notify_at) {
        pipe->notify_at = 0;
        stream->pending[sender] |= MR_EVENT_SENT;
    }
    if (pipe->was_refused && pipe->queued - pipe->moved <= loop->config.queue_max / 2) {
        pipe->was_refused = false;
        stream->pending[sender] |= MR_EVENT_WRITABLE;
    }
    if ((pipe->acked < pipe->moved || pipe->fin_acked != pipe->fin_moved) &&
        !loop->side[sender].is_ack_held && !chance(loop, loop->config.idle_percent)) {
        uint64_t step = some(loop, 2 * loop->config.piece_max);
        ack_bytes(pipe, MR_MIN(pipe->moved, pipe->acked + step), loop->config.is_careless);
        pipe->fin_acked = pipe->fin_moved && pipe->acked == pipe->queued;
        stream->pending[sender] |= MR_EVENT_ACKED;
        loop->has_moved = true;
    }
}

/* Could something move in this direction, sooner or later? */
static bool has_more(const struct pipe *pipe)
{
    return pipe->exists && !pipe->is_reset &&
           (pipe->queued != pipe->acked || pipe->has_fin != pipe->fin_acked);
}

static void move_streams(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->stream_top; i++) {
        struct stream *stream = &loop->stream[i];
        if (!stream->is_live || loop->conn[stream->conn].is_closed)
            continue;
        for (unsigned s = 0; s < 2; s++) {
            if (!chance(loop, loop->config.idle_percent))
                move_pipe(loop, stream, s);
            else
                loop->has_moved |= has_more(&stream->pipe[s]);
        }
    }
}

static void move_conns(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->conn_top; i++) {
        struct conn *conn = &loop->conn[i];
        if (conn->is_live && !conn->is_closed)
            loop_move_paths(loop, conn);
        if (!conn->is_live || conn->is_connected || conn->is_closed)
            continue;
        conn->is_connected = true;
        conn->pending[0] |= MR_EVENT_CONNECTED;
        conn->pending[1] |= MR_EVENT_CONNECTED;
        conn->is_early = loop->config.has_early;
        if (conn->is_early)
            conn->pending[1] |= MR_EVENT_EARLY;
        loop->has_moved = true;
    }
}

/* Datagrams of one direction: each arrives, or is lost; what finds no room is dropped. */
static void move_datagrams(struct loop *loop, struct conn *conn, unsigned sender)
{
    struct datagram_list *waiting = &conn->waiting[1 - sender];
    struct loop_datagram *datagram;

    while ((datagram = loop_take_datagram(&conn->sent[sender])) != NULL) {
        loop->has_moved = true;
        if (chance(loop, loop->config.datagram_lost_percent) ||
            waiting->count >= loop->config.datagram_queue_max) {
            free(datagram);
            continue;
        }
        if (waiting->head == NULL)
            conn->pending[1 - sender] |= MR_EVENT_DATAGRAM;
        loop_put_datagram(waiting, datagram);
    }
    if (conn->wants_datagrams[sender]) {
        conn->wants_datagrams[sender] = false;
        conn->pending[sender] |= MR_EVENT_WRITABLE;
    }
}

static void move_all_datagrams(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->conn_top; i++) {
        struct conn *conn = &loop->conn[i];
        for (unsigned s = 0; s < 2 && conn->is_live && !conn->is_closed; s++)
            move_datagrams(loop, conn, s);
    }
}

/* ---- events ---- */

struct batch {
    struct side *side;
    struct mr_event events[64];
    const char *reasons[64];
    size_t count;
};

static void deliver(struct batch *batch)
{
    struct side *side = batch->side;

    if (batch->count == 0)
        return;
    MR_ASSERT(!side->is_inside);
    side->is_inside = true;
    side->application->on_events(side->application->context, batch->events, batch->count);
    side->is_inside = false;
    batch->count = 0;
    side->loop->has_moved = true;
}

static void add_event(struct batch *batch, const struct mr_event *event)
{
    uint32_t max =
        MR_MIN(batch->side->loop->config.batch_max, (uint32_t)MR_COUNT_OF(batch->events));

    batch->events[batch->count++] = *event;
    if (batch->count >= max)
        deliver(batch);
}

/* A stream's events for one side; its CLOSED makes it stale there. */
static void collect_stream(struct batch *batch, struct stream *stream, uint32_t kinds)
{
    struct loop *loop = batch->side->loop;
    unsigned s = batch->side->index;
    const struct conn *conn = &loop->conn[stream->conn];
    struct mr_event event = {
        .kinds = kinds,
        .conn = loop_conn_handle(loop, conn, s),
        .stream = loop_stream_handle(loop, stream, s),
        .user_data = stream->user_data[s],
        .acked_to = stream->pipe[s].acked,
        .error = stream->error[s],
        .result = (kinds & MR_EVENT_RESET) != 0 && stream->pipe[1 - s].has_reset_at,
        .reason = "",
    };

    stream->pending[s] = 0;
    if ((kinds & MR_EVENT_CLOSED) != 0) {
        stream->is_open[s] = false;
        stream->has_ended[s] = true;
    }
    add_event(batch, &event);
}

static bool is_closed_for(const struct stream *stream, unsigned s)
{
    return loop_sending_is_over(&stream->pipe[s]) && loop_receiving_is_over(&stream->pipe[1 - s]);
}

static void collect_streams(struct batch *batch)
{
    struct loop *loop = batch->side->loop;
    unsigned s = batch->side->index;

    for (uint32_t i = 0; i < loop->stream_top; i++) {
        struct stream *stream = &loop->stream[i];
        if (!stream->is_live || loop->conn[stream->conn].is_closed ||
            !loop_tells(batch->side, &loop->conn[stream->conn]))
            continue;
        if (!stream->is_open[s] && !stream->has_ended[s] &&
            (stream->pending[s] & MR_EVENT_RESET) != 0) {
            stream->is_open[s] = true; /* reset before any data came */
            stream->pending[s] |= MR_EVENT_STREAM_OPENED;
        }
        if (!stream->is_open[s])
            continue;
        uint32_t kinds = stream->pending[s];
        if (is_closed_for(stream, s) && kinds == 0)
            kinds = MR_EVENT_CLOSED;
        if (kinds != 0)
            collect_stream(batch, stream, kinds);
    }
}

/* A closed connection's streams: told or not, all are stale. */
static void collect_closed_streams(struct batch *batch, uint32_t conn_index, bool is_told)
{
    struct loop *loop = batch->side->loop;
    unsigned s = batch->side->index;

    for (uint32_t i = 0; i < loop->stream_top; i++) {
        struct stream *stream = &loop->stream[i];
        if (!stream->is_live || stream->conn != conn_index || !stream->is_open[s])
            continue;
        stream->error[s] = loop->conn[conn_index].code;
        if (is_told)
            collect_stream(batch, stream, stream->pending[s] | MR_EVENT_CLOSED);
        stream->is_open[s] = false;
    }
}

/* Datagrams that arrived before the end are told before it. */
static uint32_t take_conn_kinds(struct conn *conn, unsigned s)
{
    const uint32_t both = MR_EVENT_DATAGRAM | MR_EVENT_CLOSED;
    uint32_t kinds = conn->pending[s];
    uint32_t later = (kinds & both) == both ? MR_EVENT_CLOSED : 0;

    conn->pending[s] = later;
    return kinds & ~later;
}

static void collect_conns(struct batch *batch)
{
    struct loop *loop = batch->side->loop;
    unsigned s = batch->side->index;

    for (uint32_t i = 0; i < loop->conn_top; i++) {
        struct conn *conn = &loop->conn[i];
        if (!conn->is_live || !conn->is_open[s] || conn->pending[s] == 0 ||
            !loop_tells(batch->side, conn))
            continue;
        uint32_t kinds = take_conn_kinds(conn, s);
        struct mr_event event = {
            .kinds = kinds,
            .conn = loop_conn_handle(loop, conn, s),
            .user_data = conn->user_data[s],
            .error = conn->code,
            .is_application = conn->is_application,
            .is_remote = conn->closed_by == 1 - s,
            .listener = s == 1 ? conn->listener : 0,
            .reason = conn->reason,
        };
        bool is_closed = (kinds & MR_EVENT_CLOSED) != 0;
        if (is_closed && loop->config.close_order == LOOP_STREAMS_FIRST)
            collect_closed_streams(batch, i, true);
        if (is_closed)
            conn->is_open[s] = false;
        add_event(batch, &event);
        if (is_closed && loop->config.close_order != LOOP_STREAMS_FIRST)
            collect_closed_streams(batch, i, loop->config.close_order == LOOP_STREAMS_LAST);
    }
}

static unsigned place_of(const struct side *side)
{
    return (unsigned)(side - side->loop->side);
}

static void fire_timers(struct batch *batch)
{
    struct loop *loop = batch->side->loop;

    for (uint32_t i = 0; i < loop->timer_count;) {
        struct timer timer = loop->timer[i];
        if (timer.place != place_of(batch->side) || timer.at > loop->now) {
            i++;
            continue;
        }
        loop->timer[i] = loop->timer[--loop->timer_count];
        add_event(batch, &(struct mr_event){
                             .kinds = MR_EVENT_TIMER, .user_data = timer.user_data, .reason = ""});
    }
}

/* Run some of the work that waits. */
static void run_work(struct batch *batch)
{
    struct loop *loop = batch->side->loop;

    for (uint32_t i = 0; i < loop->work_count && !loop->is_work_held;) {
        struct work work = loop->work[i];
        if (work.place != place_of(batch->side) || chance(loop, loop->config.idle_percent)) {
            loop->has_moved |= work.place == place_of(batch->side);
            i++;
            continue;
        }
        loop->work[i] = loop->work[--loop->work_count];
        add_event(batch, &(struct mr_event){.kinds = MR_EVENT_WORK_DONE,
                                            .user_data = work.user_data,
                                            .result = work.function(work.argument),
                                            .reason = ""});
    }
}

static void reap(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->stream_top; i++) {
        struct stream *stream = &loop->stream[i];
        const struct conn *conn = &loop->conn[stream->conn];
        bool is_over = is_closed_for(stream, 0) && is_closed_for(stream, 1);
        bool has_news = (stream->pending[0] | stream->pending[1]) != 0;
        if (stream->is_live && !stream->is_open[0] && !stream->is_open[1] &&
            (conn->is_closed || (is_over && !has_news)))
            remove_stream(loop, stream);
    }
    for (uint32_t i = 0; i < loop->conn_top; i++) {
        struct conn *conn = &loop->conn[i];
        uint32_t live = conn->live_opened[0][0] + conn->live_opened[0][1] +
                        conn->live_opened[1][0] + conn->live_opened[1][1];
        if (conn->is_live && !conn->is_open[0] && !conn->is_open[1] && live == 0) {
            loop_free_datagrams(conn);
            conn->is_live = false;
            loop->conn_count--;
        }
    }
}

static void deliver_side(struct loop *loop, unsigned place)
{
    struct batch batch = {.side = &loop->side[place]};

    if (loop->side[place].wants_go_away) {
        loop->side[place].wants_go_away = false;
        add_event(&batch, &(struct mr_event){.kinds = MR_EVENT_GO_AWAY, .reason = ""});
    }
    collect_conns(&batch);
    collect_streams(&batch);
    fire_timers(&batch);
    run_work(&batch);
    deliver(&batch);
}

static void poll_side(struct loop *loop, unsigned place)
{
    const struct mr_application *application = loop->side[place].application;

    if (application->on_poll != NULL && application->on_poll(application->context) > 0)
        loop->has_moved = true;
}

bool loop_step(struct loop *loop)
{
    loop->now += LOOP_STEP_NS;
    loop->has_moved = false;
    move_conns(loop);
    move_streams(loop);
    move_all_datagrams(loop);
    for (unsigned place = 0; place < PLACES; place++)
        if (loop->side[place].application != NULL)
            deliver_side(loop, place);
    for (unsigned place = 0; place < PLACES; place++)
        if (loop->side[place].application != NULL)
            poll_side(loop, place);
    loop_moves_step(loop);
    reap(loop);
    return loop->has_moved || loop->work_count > 0;
}

bool loop_run(struct loop *loop, uint64_t steps)
{
    uint32_t quiet = 0;

    for (uint64_t i = 0; i < steps && quiet < 64; i++) /* short timers must have had a chance */
        quiet = loop_step(loop) ? 0 : quiet + 1;
    return quiet >= 64;
}

void loop_pass(struct loop *loop, uint64_t ns)
{
    for (uint64_t end = loop->now + ns; loop->now < end;) {
        if (loop_step(loop))
            continue;
        uint64_t next = end;
        for (uint32_t i = 0; i < loop->timer_count; i++)
            next = MR_MIN(next, loop->timer[i].at);
        loop->now = MR_MAX(loop->now, next - LOOP_STEP_NS);
    }
}

/* ---- the loop itself ---- */

struct loop_config loop_config_default(uint64_t seed)
{
    return (struct loop_config){
        .seed = seed,
        .stream_window = 65536,
        .piece_max = 16384,
        .view_max = 1400,
        .queue_max = 1 << 20,
        .bidi_max = 100,
        .uni_max = 8,
        .work_max = 64,
        .batch_max = 64,
        .datagram_max = DATAGRAM_MAX,
        .datagram_queue_max = 64,
    };
}

struct loop *loop_new(const struct loop_config *config, const struct mr_application *client,
                      const struct mr_application *server)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    MR_ASSERT(loop != NULL);
    loop->config = *config;
    loop->random = config->seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    loop->now = 1000000000;
    for (unsigned s = 0; s < 2; s++) {
        loop->side[s] = (struct side){
            .transport = {&loop_ops},
            .loop = loop,
            .index = s,
            .application = s == 0 ? client : server,
        };
    }
    for (unsigned s = 2; s-- > 0;) {
        const struct mr_application *application = loop->side[s].application;
        if (application->on_start != NULL)
            application->on_start(application->context, &loop->side[s].transport);
    }
    return loop;
}

void loop_free(struct loop *loop)
{
    for (unsigned place = 0; place < PLACES; place++) {
        const struct mr_application *application = loop->side[place].application;
        if (application != NULL && application->on_stop != NULL)
            application->on_stop(application->context);
    }
    for (uint32_t i = 0; i < loop->stream_top; i++) {
        if (loop->stream[i].is_live)
            remove_stream(loop, &loop->stream[i]);
    }
    for (uint32_t i = 0; i < loop->conn_top; i++)
        loop_free_datagrams(&loop->conn[i]);
    for (uint32_t i = 0; i < MOVES_MAX; i++)
        free(loop->move[i].baggage);
    free(loop);
}

struct mr_transport *loop_transport(struct loop *loop, unsigned side)
{
    return &loop->side[side].transport;
}

void loop_confirm(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->conn_top; i++) {
        struct conn *conn = &loop->conn[i];

        if (!conn->is_live || !conn->is_early)
            continue;
        conn->is_early = false;
        conn->pending[1] |= MR_EVENT_CONFIRMED;
    }
}

void loop_set_datagram_max(struct loop *loop, uint32_t bytes)
{
    loop->config.datagram_max = bytes;
}

void loop_cut(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->conn_top; i++) {
        if (loop->conn[i].is_live)
            loop_close_conn(&loop->conn[i], 2, 0, "idle timeout");
    }
}

void loop_set_listener(struct loop *loop, uint32_t listener)
{
    loop->listener = listener;
}

void loop_go_away(struct loop *loop, unsigned side)
{
    loop->side[side].wants_go_away = true;
}

void loop_hold_work(struct loop *loop, bool is_held)
{
    loop->is_work_held = is_held;
}

void loop_hold_acks(struct loop *loop, unsigned side, bool is_held)
{
    loop->side[side].is_ack_held = is_held;
}

void loop_set_refuse(struct loop *loop, uint32_t percent)
{
    loop->config.refuse_percent = percent;
}

uint32_t loop_stream_count(const struct loop *loop)
{
    return loop->stream_count;
}

uint32_t loop_conn_count(const struct loop *loop)
{
    return loop->conn_count;
}

uint32_t loop_work_count(const struct loop *loop)
{
    return loop->work_count;
}

struct mr_priority loop_priority(const struct loop *loop, unsigned side, uint64_t id)
{
    struct mr_priority priority = {.urgency = MR_URGENCY_DEFAULT, .is_incremental = true};

    for (uint32_t i = 0; i < STREAMS_MAX; i++) {
        if (loop->stream[i].is_live && loop->stream[i].id == id)
            priority = loop->stream[i].priority[side];
    }
    return priority;
}
