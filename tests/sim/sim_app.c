/* tests/sim/sim_app.c - see sim_app.h. */
#include "tests/sim/sim_app.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define PATTERN_PERIOD 65521 /* bytes; prime, so that offsets and sizes do not fall in step */
#define HEADER         8
#define SEND_PIECE     7000
#define RELIABLE_CODE  100000 /* and the bytes that are guaranteed */

static uint8_t pattern[2 * PATTERN_PERIOD];

static void make_pattern(void)
{
    struct mr_random random;

    if (pattern[1] != 0)
        return;
    mr_random_init_number(&random, 1);
    mr_random_fill(&random, pattern, PATTERN_PERIOD);
    pattern[1] = 1;
    memcpy(pattern + PATTERN_PERIOD, pattern, PATTERN_PERIOD);
}

/* Where byte `offset` of stream `id` begins in the pattern. */
static const uint8_t *pattern_at(uint64_t id, uint64_t offset)
{
    return pattern + (id * 977 + offset) % PATTERN_PERIOD;
}

void sim_app_init(struct sim_app *app, enum mr_role role, struct mr_endpoint *ep,
                  const struct sim_config *config)
{
    make_pattern();
    memset(app, 0, sizeof(*app));
    app->role = role;
    app->ep = ep;
    app->config = config;
    app->ended_id = UINT64_MAX;
    mr_random_init_number(&app->random, config->seed ^ 0x5eed ^ role);
}

static struct sim_app_stream *find_stream(struct sim_app *app, mr_handle handle)
{
    for (uint32_t i = 0; i < app->opened; i++) {
        if (app->streams[i].handle == handle)
            return &app->streams[i];
    }
    return NULL;
}

/* ------------------------------------------------------------------ sending */

static int send_piece(struct sim_app *app, struct sim_app_stream *s)
{
    struct mr_view view;
    uint64_t left = s->to_send - s->queued;

    if (app->role == MR_CLIENT && s->queued < HEADER) {
        view = (struct mr_view){.data = s->header, .size = HEADER};
    } else {
        uint64_t offset = app->role == MR_CLIENT ? s->queued - HEADER : s->queued;
        view.data = pattern_at(s->id, offset);
        view.size = left < SEND_PIECE ? left : SEND_PIECE;
    }
    bool is_last = s->queued + view.size == s->to_send;
    int answer =
        mr_stream_send(app->ep, s->handle, &view, view.size > 0 ? 1 : 0, is_last ? MR_SEND_FIN : 0);
    if (answer != 0)
        return answer;
    s->queued += view.size;
    s->is_fin_queued = is_last;
    return 0;
}

static void send_more(struct sim_app *app)
{
    for (uint32_t i = 0; i < app->opened; i++) {
        struct sim_app_stream *s = &app->streams[i];

        if (app->role == MR_SERVER && s->received < HEADER)
            continue;
        for (int pieces = 0; pieces < 8 && !s->is_fin_queued && !s->is_closed; pieces++) {
            if (send_piece(app, s) != 0)
                break;
        }
    }
}

uint64_t sim_app_due(const struct sim_app *app)
{
    bool rests = app->role == MR_CLIENT && app->is_connected && !app->is_closed &&
                 app->config->rest_max_ns > 0 && app->opened < app->config->streams &&
                 app->done == app->opened;

    return rests ? app->rests_until_ns : MR_NEVER;
}

/* A stream at a time, and a rest after each. */
static bool rests(struct sim_app *app, uint64_t now)
{
    uint64_t max = app->config->rest_max_ns;

    if (max == 0 || app->opened == 0)
        return false;
    if (app->done == app->opened && app->rested < app->done) {
        app->rested = app->done;
        app->rests_until_ns = now + mr_random_below(&app->random, max);
    }
    return app->done < app->opened || now < app->rests_until_ns;
}

static void open_streams(struct sim_app *app, uint64_t now)
{
    while (app->role == MR_CLIENT && app->is_connected && app->opened < app->config->streams &&
           !app->is_closed && !rests(app, now)) {
        struct sim_app_stream *s = &app->streams[app->opened];

        if (mr_stream_open(app->ep, app->conn, MR_OPEN_BIDI, 0, &s->handle) != 0)
            return;
        s->id = mr_stream_id(app->ep, s->handle);
        s->to_send = HEADER + app->config->up_bytes;
        mr_store_be64(s->header, app->config->down_bytes);
        app->opened++;
    }
}

/* Now and then a datagram of any size that goes, or one byte too large. */
static void send_datagram(struct sim_app *app)
{
    struct mr_conn_info info;
    uint8_t number[HEADER];
    struct mr_view views[2] = {{.data = number, .size = HEADER},
                               {.data = pattern_at(app->datagrams_sent, 0)}};

    if (!app->is_connected || app->is_closed || app->datagrams_sent >= app->config->datagrams ||
        mr_conn_info(app->ep, app->conn, &info) != 0 || info.datagram_max < HEADER)
        return;
    uint64_t room = info.datagram_max - HEADER;
    views[1].size = mr_random_below(&app->random, 4) == 0 ? room + mr_random_below(&app->random, 2)
                                                          : mr_random_below(&app->random, room + 1);
    mr_store_be64(number, app->datagrams_sent);
    int answer = mr_conn_send_datagram(app->ep, app->conn, views, 2);
    app->datagrams_sent += answer == 0;
    app->bad_bytes += (answer == -EMSGSIZE) != (views[1].size > room);
}

/* ------------------------------------------------------------------ receiving */

static bool is_right_datagram(struct sim_app *app, const uint8_t *data, size_t size)
{
    uint64_t number = size < HEADER ? UINT64_MAX : mr_load_be64(data);

    if (size == 0)
        return app->config->beat_every_ns > 0;
    if (number >= app->config->datagrams || app->has_datagram[number])
        return false;
    app->has_datagram[number] = true;
    return memcmp(data + HEADER, pattern_at(number, 0), size - HEADER) == 0;
}

static void receive_datagrams(struct sim_app *app, mr_handle conn)
{
    uint8_t data[SIM_DATAGRAM_MAX];
    int64_t size;

    while ((size = mr_conn_receive_datagram(app->ep, conn, data, sizeof(data))) >= 0)
        app->bad_bytes += !is_right_datagram(app, data, (size_t)size);
}

static void check_bytes(struct sim_app *app, struct sim_app_stream *s, const uint8_t *data,
                        size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint64_t offset = s->received + i;

        if (app->role == MR_SERVER && offset < HEADER) {
            s->header[offset] = data[i];
            continue;
        }
        uint64_t at = app->role == MR_SERVER ? offset - HEADER : offset;
        app->bad_bytes += data[i] != *pattern_at(s->id, at);
    }
    s->received += size;
    app->received += size;
    if (app->role == MR_SERVER && s->received >= HEADER)
        s->to_send = mr_load_be64(s->header);
}

/* The stream has ended; the more urgent ones have the larger IDs. */
static void note_end(struct sim_app *app, const struct sim_app_stream *s)
{
    if (app->ended_id != UINT64_MAX) {
        app->pairs++;
        app->pairs_in_order += s->id < app->ended_id;
    }
    app->ended_id = s->id;
}

static void receive_stream(struct sim_app *app, struct sim_app_stream *s)
{
    struct mr_view views[4];
    bool fin = false;
    int64_t count;

    while ((count = mr_stream_receive(app->ep, s->handle, views, 4, &fin)) >= 0) {
        size_t size = 0;

        for (int64_t i = 0; i < count; i++) {
            check_bytes(app, s, views[i].data, views[i].size);
            size += views[i].size;
        }
        if (fin && !s->has_fin)
            note_end(app, s);
        s->has_fin |= fin;
        if (mr_stream_release(app->ep, s->handle, size) != 0 || count == 0)
            break;
    }
}

/* ------------------------------------------------------------------ events */

static void on_closed(struct sim_app *app, const struct mr_event *event)
{
    app->is_closed = true;
    app->error = event->error;
    snprintf(app->reason, sizeof(app->reason), "%s", event->reason);
}

/* A reset that came behind guaranteed bytes: they did come, unless we wanted no more. */
static void check_reliable(struct sim_app *app, const struct sim_app_stream *s, uint64_t code)
{
    app->reliable_resets++;
    if (!s->is_stopped)
        app->bad_bytes += code < RELIABLE_CODE || s->received < code - RELIABLE_CODE;
}

static void give_priority(struct sim_app *app, const struct sim_app_stream *s)
{
    uint64_t urgency = MR_URGENCIES - 1 - s->id / 4 % MR_URGENCIES;

    if (app->config->has_priorities)
        mr_stream_set_priority(app->ep, s->handle,
                               (struct mr_priority){.urgency = (uint8_t)urgency});
}

static void on_event(struct sim_app *app, const struct mr_event *event)
{
    if (event->stream == MR_HANDLE_NONE) {
        if ((event->kinds & (MR_EVENT_CONNECTED | MR_EVENT_EARLY)) != 0) {
            app->bad_bytes += app->is_closed; /* a copy of the first flight was taken for one */
            app->is_connected = true;
            app->conn = event->conn;
        }
        if ((event->kinds & MR_EVENT_DATAGRAM) != 0)
            receive_datagrams(app, event->conn);
        if ((event->kinds & MR_EVENT_CLOSED) != 0)
            on_closed(app, event);
        return;
    }
    struct sim_app_stream *s = find_stream(app, event->stream);
    if (s == NULL && (event->kinds & MR_EVENT_STREAM_OPENED) != 0 &&
        app->opened < SIM_STREAMS_MAX) {
        s = &app->streams[app->opened++];
        s->handle = event->stream;
        s->id = mr_stream_id(app->ep, event->stream);
        s->to_send = UINT64_MAX; /* until the header is there */
        give_priority(app, s);
    }
    if (s == NULL)
        return;
    if ((event->kinds & MR_EVENT_READABLE) != 0)
        receive_stream(app, s);
    if ((event->kinds & (MR_EVENT_RESET | MR_EVENT_STOPPED)) != 0)
        s->was_aborted = true;
    app->stops += (event->kinds & MR_EVENT_STOPPED) != 0;
    if ((event->kinds & MR_EVENT_RESET) != 0 && event->result == 1)
        check_reliable(app, s, event->error);
    if ((event->kinds & MR_EVENT_RESET) != 0 && !s->is_fin_queued)
        mr_stream_reset(app->ep, s->handle, 9);
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        s->is_closed = true;
        app->done++;
    }
}

/* Now and then a stream is given up. */
static void abort_some(struct sim_app *app)
{
    uint8_t how = app->config->aborts & (SIM_RESET | SIM_STOP);

    if (how == 0 || app->role != MR_CLIENT || app->opened == 0 ||
        mr_random_below(&app->random, 40) != 0)
        return;
    struct sim_app_stream *s = &app->streams[mr_random_below(&app->random, app->opened)];
    if (s->is_closed)
        return;
    s->was_aborted = true;
    if ((how & SIM_RESET) != 0) {
        s->is_fin_queued = true;
        mr_stream_reset(app->ep, s->handle, 7);
    }
    if ((how & SIM_STOP) != 0) {
        s->is_stopped = true;
        mr_stream_stop(app->ep, s->handle, 8);
    }
}

/* Or but for its first bytes, perhaps in two steps. */
static void abort_some_at(struct sim_app *app)
{
    if ((app->config->aborts & SIM_RESET_AT) == 0 || app->opened == 0 ||
        mr_random_below(&app->random, 40) != 0)
        return;
    struct sim_app_stream *s = &app->streams[mr_random_below(&app->random, app->opened)];
    uint64_t guarantee = mr_random_below(&app->random, s->queued + 1);
    uint64_t first = guarantee + mr_random_below(&app->random, s->queued - guarantee + 1);
    uint64_t code = RELIABLE_CODE + guarantee;

    if (s->is_closed || mr_stream_reset_at(app->ep, s->handle, code, first) != 0)
        return;
    s->was_aborted = s->is_fin_queued = true;
    if (mr_random_below(&app->random, 2) == 0)
        app->bad_bytes += mr_stream_reset_at(app->ep, s->handle, code, guarantee) != 0;
}

void sim_app_run(struct sim_app *app, uint64_t now)
{
    struct mr_event events[8];
    uint32_t count;

    do {
        count = mr_endpoint_events(app->ep, events, 8);
        for (uint32_t i = 0; i < count; i++)
            on_event(app, &events[i]);
    } while (count > 0);
    open_streams(app, now);
    abort_some(app);
    abort_some_at(app);
    send_datagram(app);
    send_more(app);
    if (app->role == MR_CLIENT && app->done == app->config->streams && !app->has_asked_close &&
        !app->is_closed) {
        app->has_asked_close = true;
        mr_conn_close(app->ep, app->conn, 42, "done", now);
    }
}
