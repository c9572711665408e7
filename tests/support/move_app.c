/* tests/support/move_app.c - see move_app.h. */
#include "tests/support/move_app.h"

#include <errno.h>

#include "base/pool.h"

#define PATTERN_PERIOD 65521 /* bytes; prime: offsets and sizes do not fall in step */
#define PIECE_MAX      9000
#define COPY_MAX       900
#define DATAGRAM_MAX   1100   /* bytes; any path lets them through */
#define RELIABLE_CODE  100000 /* and the bytes that are guaranteed */

static uint8_t pattern[2 * PATTERN_PERIOD];

static void make_pattern(void)
{
    struct mr_random random;

    if (pattern[0] != 0)
        return;
    mr_random_init_number(&random, 3);
    mr_random_fill(&random, pattern, PATTERN_PERIOD);
    pattern[0] = 1;
    memcpy(pattern + PATTERN_PERIOD, pattern, PATTERN_PERIOD);
}

/* Where the bytes of stream `id` in the direction of `role` begin, at `offset`. */
static const uint8_t *bytes_at(enum mr_role role, uint64_t id, uint64_t offset)
{
    return pattern + (id * 977 + (role == MR_SERVER ? 31 : 0) + offset) % PATTERN_PERIOD;
}

static void wrong(struct move_app *app, const char *what)
{
    if (app->wrong++ == 0)
        app->first_wrong = what;
}

static struct move_stream *find_stream(struct move_app *app, mr_handle handle)
{
    for (uint32_t i = 0; i < app->stream_count; i++) {
        if (app->streams[i].handle == handle && !app->streams[i].is_closed)
            return &app->streams[i];
    }
    return NULL;
}

static struct mr_endpoint *ep_of(const struct move_world *w, const struct move_app *app)
{
    return w->node[app->node].ep;
}

static enum mr_role other(enum mr_role role)
{
    return role == MR_CLIENT ? MR_SERVER : MR_CLIENT;
}

/* ------------------------------------------------------------------ receiving */

static void check_view(struct move_app *app, struct move_stream *s, const uint8_t *data,
                       size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != *bytes_at(other(app->role), s->id, s->received + i)) {
            wrong(app, "a byte differs from what was sent");
            break;
        }
    }
    s->received += size;
}

/* Read at most `max` bytes. */
static void read_stream(struct move_world *w, struct move_app *app, struct move_stream *s,
                        size_t max)
{
    struct mr_view views[4];
    bool fin = false;
    int64_t count;

    while (max > 0 && !s->has_fin &&
           (count = mr_stream_receive(ep_of(w, app), s->handle, views, 4, &fin)) >= 0) {
        size_t size = 0;
        bool is_all = true;

        for (int64_t i = 0; i < count; i++) {
            size_t part = MR_MIN(views[i].size, max - size);

            check_view(app, s, views[i].data, part);
            size += part;
            is_all = is_all && part == views[i].size;
        }
        max -= size;
        if (fin && is_all) {
            if (s->received != w->config.bytes && !s->was_aborted)
                wrong(app, "the end of a stream came early");
            s->has_fin = true;
        }
        if (mr_stream_release(ep_of(w, app), s->handle, size) != 0)
            wrong(app, "bytes that were shown cannot be released");
        if (count == 0)
            return;
    }
}

/* ------------------------------------------------------------------ sending */

static void open_streams(struct move_world *w, struct move_app *app)
{
    while (app->role == MR_CLIENT && app->stream_count < w->config.streams) {
        struct move_stream *s = &app->streams[app->stream_count];

        if (mr_stream_open(ep_of(w, app), app->conn, MR_OPEN_BIDI, app->stream_count, &s->handle) !=
            0)
            return;
        s->id = mr_stream_id(ep_of(w, app), s->handle);
        app->stream_count++;
    }
}

static void send_stream(struct move_world *w, struct move_app *app, struct move_stream *s)
{
    bool is_copy = mr_random_below(&w->random, 3) == 0;
    uint64_t most = 1 + mr_random_below(&w->random, is_copy ? COPY_MAX : PIECE_MAX);
    uint64_t until = w->config.rest_at == 0 ? w->config.bytes : w->config.rest_at;
    uint64_t size = MR_MIN(until - s->queued, most);
    bool is_last = s->queued + size == w->config.bytes;
    struct mr_view view = {.data = bytes_at(app->role, s->id, s->queued), .size = size};
    uint32_t flags = (is_copy ? MR_SEND_COPY : 0u) | (is_last ? MR_SEND_FIN : 0u);
    uint8_t scratch[COPY_MAX];

    if (is_copy) { /* memory that is something else afterwards */
        memcpy(scratch, view.data, size);
        view.data = scratch;
    }
    if (mr_stream_send(ep_of(w, app), s->handle, &view, 1, flags) != 0)
        return;
    memset(scratch, 0, sizeof(scratch));
    s->queued += size;
    s->is_fin_queued = is_last;
}

/* ------------------------------------------------------------------ datagrams */

/* A number, and bytes of the pattern: none of two are alike. */
size_t move_app_datagram(enum mr_role role, uint32_t number, uint8_t *dst)
{
    size_t size = number * 397 % (DATAGRAM_MAX - sizeof(number));

    make_pattern();
    memcpy(dst, &number, sizeof(number));
    memcpy(dst + sizeof(number), bytes_at(role, 1000 + number, 0), size);
    return size + sizeof(number);
}

bool move_app_send_datagram(struct move_world *w, struct move_app *app)
{
    uint8_t bytes[DATAGRAM_MAX];
    struct mr_view view = {.data = bytes,
                           .size = move_app_datagram(app->role, app->datagrams_sent, bytes)};
    int answer = mr_conn_send_datagram(ep_of(w, app), app->conn, &view, 1);

    app->is_datagram_refused = answer == -EAGAIN;
    app->datagrams_sent += answer == 0;
    if (answer != 0 && answer != -EAGAIN)
        wrong(app, "a datagram was refused for good");
    return answer == 0;
}

static void send_datagrams(struct move_world *w, struct move_app *app)
{
    uint32_t burst = mr_random_below(&w->random, 3) == 0 ? 12 : 0;

    while (burst-- > 0 && app->datagrams_sent < w->config.datagrams && !app->is_datagram_refused)
        move_app_send_datagram(w, app);
}

static void check_datagram(struct move_app *app, const uint8_t *bytes, size_t size)
{
    uint8_t wanted[DATAGRAM_MAX];
    uint32_t number = MOVE_DATAGRAMS_MAX;

    if (size >= sizeof(number))
        memcpy(&number, bytes, sizeof(number));
    if (number >= MOVE_DATAGRAMS_MAX ||
        move_app_datagram(other(app->role), number, wanted) != size ||
        memcmp(bytes, wanted, size) != 0)
        wrong(app, "a datagram differs from what was sent");
    else if (app->has_come[number])
        wrong(app, "a datagram came twice");
    else
        app->has_come[number] = true;
    app->datagrams_received++;
}

/* Read at most `max` of them, if DATAGRAM said that there are. */
static void read_datagrams(struct move_world *w, struct move_app *app, uint32_t max)
{
    uint8_t bytes[DATAGRAM_MAX];

    for (; app->has_datagrams && max > 0; max--) {
        int64_t size = mr_conn_receive_datagram(ep_of(w, app), app->conn, bytes, sizeof(bytes));

        if (size >= 0)
            check_datagram(app, bytes, (size_t)size);
        else
            app->has_datagrams = false;
        if (size < 0 && size != -EAGAIN)
            wrong(app, "a datagram cannot be received");
    }
}

/* ------------------------------------------------------------------ acting */

static void abort_some(struct move_world *w, struct move_app *app)
{
    if (!w->config.wants_resets || app->role != MR_CLIENT || app->stream_count == 0 ||
        mr_random_below(&w->random, 60) != 0)
        return;
    struct move_stream *s = &app->streams[mr_random_below(&w->random, app->stream_count)];
    if (s->is_closed || s->was_aborted)
        return;
    s->was_aborted = s->is_fin_queued = true;
    if (mr_random_below(&w->random, 2) == 0) { /* the code says what is guaranteed */
        uint64_t reliable = mr_random_below(&w->random, s->queued + 1);

        if (mr_stream_reset_at(ep_of(w, app), s->handle, RELIABLE_CODE + reliable, reliable) == 0)
            return;
    }
    mr_stream_reset(ep_of(w, app), s->handle, 7);
    mr_stream_stop(ep_of(w, app), s->handle, 8);
}

void move_app_act(struct move_world *w, struct move_app *app)
{
    if (!app->is_connected || app->is_closed || app->has_asked_close)
        return;
    make_pattern();
    open_streams(w, app);
    abort_some(w, app);
    send_datagrams(w, app);
    if (w->config.is_slow_reader && mr_random_below(&w->random, 4) == 0)
        read_datagrams(w, app, 1);
    for (uint32_t i = 0; i < app->stream_count; i++) {
        struct move_stream *s = &app->streams[i];

        if (s->is_closed)
            continue;
        bool rests = w->config.rest_at != 0 && s->queued >= w->config.rest_at;
        if (!s->is_fin_queued && !rests && s->queued - s->acked < 200000)
            send_stream(w, app, s);
        if (!w->config.is_slow_reader)
            read_stream(w, app, s, SIZE_MAX);
        else if (mr_random_below(&w->random, 4) == 0)
            read_stream(w, app, s, 1 + mr_random_below(&w->random, 20000));
    }
}

/* ------------------------------------------------------------------ events */

void move_app_leave(struct move_app *app)
{
    app->node = MR_NONE;
}

/* The handles of the streams that are open are in the map, and no others. */
static void take_map(struct move_world *w, struct move_app *app)
{
    struct mr_moved_stream map[MOVE_STREAMS_MAX + 1];
    int64_t count = mr_conn_moved_streams(ep_of(w, app), app->conn, map, MOVE_STREAMS_MAX + 1);
    mr_handle fresh[MOVE_STREAMS_MAX] = {0};

    /* What the peer opened and nobody was told of is in the map, too. */
    for (int64_t i = 0; i < count; i++) {
        struct move_stream *s = find_stream(app, map[i].old_stream);

        if (s == NULL)
            continue;
        if (mr_stream_id(ep_of(w, app), map[i].stream) != s->id)
            wrong(app, "another stream than before the move");
        fresh[s - app->streams] = map[i].stream; /* handles of two shards may be equal */
    }
    for (uint32_t i = 0; i < app->stream_count; i++) {
        if (!app->streams[i].is_closed && fresh[i] == MR_HANDLE_NONE)
            wrong(app, "a stream got lost in a move");
        app->streams[i].handle = fresh[i];
    }
}

static void on_conn_event(struct move_world *w, struct move_app *app, uint32_t node,
                          const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_MOVED_IN) != 0) {
        if (app->node != MR_NONE || (app->is_connected && (mr_handle)event->result != app->conn) ||
            event->error != w->from)
            wrong(app, "MOVED_IN at the wrong time, or of another connection");
        app->node = node;
        app->conn = event->conn;
        app->moves++;
        app->has_datagrams = false; /* it is told again */
        take_map(w, app);
    }
    if ((event->kinds & MR_EVENT_CONNECTED) != 0) {
        if (app->is_connected)
            wrong(app, "CONNECTED twice");
        app->is_connected = true;
        app->conn = event->conn;
        app->node = node;
    }
    if (event->conn != app->conn || app->node != node)
        wrong(app, "an event of another shard, or of an old handle");
    if ((event->kinds & MR_EVENT_WRITABLE) != 0)
        app->is_datagram_refused = false;
    if ((event->kinds & MR_EVENT_DATAGRAM) != 0) {
        app->has_datagrams = true;
        read_datagrams(w, app, w->config.is_slow_reader ? 0 : UINT32_MAX);
    }
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        if (app->is_closed)
            wrong(app, "CLOSED twice");
        app->is_closed = true;
        app->error = event->error;
    }
}

static struct move_stream *opened_by_peer(struct move_world *w, struct move_app *app,
                                          const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_STREAM_OPENED) == 0 || app->stream_count == MOVE_STREAMS_MAX)
        return NULL;
    struct move_stream *s = &app->streams[app->stream_count++];
    s->handle = event->stream;
    s->id = mr_stream_id(ep_of(w, app), event->stream);
    s->was_opened = true;
    return s;
}

static void on_acked(struct move_app *app, struct move_stream *s, uint64_t acked_to)
{
    if (acked_to < s->acked || acked_to > s->queued)
        wrong(app, "acknowledged bytes fell, or were never sent");
    s->acked = acked_to;
}

void move_app_event(struct move_world *w, struct move_app *app, uint32_t node,
                    const struct mr_event *event)
{
    make_pattern();
    if (event->stream == MR_HANDLE_NONE) {
        on_conn_event(w, app, node, event);
        return;
    }
    if (app->node != node || event->conn != app->conn) {
        wrong(app, "a stream's event of another shard, or of an old handle");
        return;
    }
    struct move_stream *s = find_stream(app, event->stream);
    if (s == NULL)
        s = opened_by_peer(w, app, event);
    if (s == NULL) {
        wrong(app, "an event of a stream that is over, or never was");
        return;
    }
    if ((event->kinds & MR_EVENT_ACKED) != 0)
        on_acked(app, s, event->acked_to);
    if ((event->kinds & MR_EVENT_RESET) != 0 && event->result == 1 &&
        s->received < event->error - RELIABLE_CODE)
        wrong(app, "a reset came before bytes that were guaranteed");
    if ((event->kinds & (MR_EVENT_RESET | MR_EVENT_STOPPED)) != 0) {
        s->was_aborted = s->is_fin_queued = true;
        mr_stream_reset(ep_of(w, app), s->handle, 9);
    }
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        s->is_closed = true;
        app->closed_count++;
    } else if ((event->kinds & MR_EVENT_READABLE) != 0 && !w->config.is_slow_reader) {
        read_stream(w, app, s, SIZE_MAX);
    }
}
