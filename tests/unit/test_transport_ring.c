/* Tests of app/transport_ring.h: applications on transports over rings, at both ends of a world in
 * memory (ring_world.h). */
#include "app/transport_ring.h"

#include <errno.h>
#include <stdlib.h>

#include "app/attach_internal.h"
#include "base/random.h"
#include "tests/support/ring_world.h"
#include "tests/unit/harness.h"

/* Under a sanitizer a third of the seeds: the other build has all. */
#if MR_ASAN || MR_TSAN
#define SEEDS(count) ((count) / 3)
#else
#define SEEDS(count) (count)
#endif

enum {
    STREAMS_MAX = 64,
    CONNS_MAX = 4,
    BUFFERS_MAX = 512,
    STEPS = 400000,
    CLOSE_CODE = 7
};

/* Bytes given to send(), until they are acknowledged. */
struct buffer {
    uint64_t end;
    uint8_t *data;
    size_t size;
    struct mr_ring *ring; /* of its send area; NULL: malloc */
};

struct stream {
    mr_handle handle;
    mr_handle conn;
    uint64_t id;
    uint64_t total; /* to send; the server learns it as it goes */
    uint64_t sent;
    uint64_t received;
    uint64_t acked;
    uint32_t buffer_count;
    struct buffer buffers[BUFFERS_MAX];
    bool can_send;
    bool wants_fin; /* `total` is all */
    bool has_fin;   /* given */
    bool has_received_fin;
    bool is_blocked;
    bool is_abandoned; /* reset or stopped */
    bool is_over;
};

struct conn {
    mr_handle handle;
    bool is_connected;
    bool is_over;
    uint64_t error;
    bool is_application;
    bool is_remote;
    char reason[128];
    uint32_t streams;
};

/* One application. */
struct side {
    unsigned index;
    struct mr_attachment *attachment;
    struct mr_ring_transport *rt;
    struct mr_transport *t;
    struct conn conns[CONNS_MAX];
    uint32_t conn_count;
    struct stream streams[STREAMS_MAX];
    uint32_t stream_count;
    uint32_t opened;
    uint32_t refused;
    uint32_t abandoned;
    uint32_t timers;
    uint64_t work_sum;
    uint32_t go_aways;
    uint32_t moves;
    bool wants_streams;
};

static struct ring_world *world;
static struct side sides[2];
static struct mr_random rnd;
static uint64_t bytes_max;
static uint32_t abandon_percent;
static bool ids_move; /* a refused OPEN gives the streams behind it the IDs before theirs */
static bool has_thread;
static uint32_t steps;
static uint32_t bad;

/* `what` must hold; CUnit's own assertions are too slow for every byte. */
#define EXPECT(what)                                                                               \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            bad++;                                                                                 \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #what);                                    \
        }                                                                                          \
    } while (0)

static bool chance(uint32_t percent)
{
    return mr_random_below(&rnd, 100) < percent;
}

static uint8_t byte_at(uint64_t id, uint64_t offset)
{
    return (uint8_t)((ids_move ? 0 : id * 41) + offset * 31 + offset / 253);
}

/* ------------------------------------------------------------------ buffers */

/* Whoever still reads them is found out. */
static void free_buffer(struct buffer *b)
{
    memset(b->data, 0xee, b->size);
    if (b->ring != NULL)
        mr_ring_free(b->ring, b->data);
    else
        free(b->data);
}

static void free_acked(struct stream *s, uint64_t acked_to)
{
    uint32_t done = 0;

    while (done < s->buffer_count && s->buffers[done].end <= acked_to)
        free_buffer(&s->buffers[done++]);
    s->buffer_count -= done;
    memmove(s->buffers, s->buffers + done, s->buffer_count * sizeof(s->buffers[0]));
}

/* Memory for `size` bytes of the stream from `s->sent` on, filled. */
static struct buffer make_buffer(struct side *side, const struct stream *s, size_t size)
{
    struct buffer b = {.end = s->sent + size, .size = size};

    if (chance(30)) {
        uint32_t which = (uint32_t)mr_random_below(&rnd, mr_attach_ring_count(side->attachment));
        b.ring = mr_attach_ring(side->attachment, which);
        b.data = mr_ring_alloc(b.ring, size);
    }
    if (b.data == NULL) {
        b.ring = NULL;
        b.data = malloc(size + 1);
    }
    for (size_t i = 0; i < size; i++)
        b.data[i] = byte_at(s->id, s->sent + i);
    return b;
}

/* ------------------------------------------------------------------ sending */

static size_t cut(struct mr_view *views, const uint8_t *data, size_t size)
{
    size_t count = 0;

    while (size > 0 && count < 3) {
        size_t part = 1 + (size_t)mr_random_below(&rnd, size);
        views[count++] = (struct mr_view){data, part};
        data += part;
        size -= part;
    }
    views[count++] = (struct mr_view){data, size};
    return count;
}

/* Give some more of the stream. */
static void send_some(struct side *side, struct stream *s)
{
    struct mr_view views[4];
    uint64_t left = s->total - s->sent;
    bool is_copy = chance(20);
    uint64_t room = is_copy ? 1024 : chance(50) ? 3000 : 100000;
    size_t size = left == 0 ? 0 : 1 + (size_t)mr_random_below(&rnd, MR_MIN(left, room));
    bool is_end = s->wants_fin && size == left && (size == 0 || chance(50));
    uint32_t flags = (is_end ? (uint32_t)MR_SEND_FIN : 0) | (is_copy ? (uint32_t)MR_SEND_COPY : 0);

    if (s->buffer_count == BUFFERS_MAX || (size == 0 && !is_end))
        return;
    struct buffer b = make_buffer(side, s, size);
    int result = side->t->ops->send(side->t, s->handle, views, cut(views, b.data, size), flags);
    if (result == 0 && !is_copy)
        s->buffers[s->buffer_count++] = b;
    else
        free_buffer(&b);
    if (result == 0) {
        s->sent += size;
        s->has_fin = is_end;
    } else if (result == -EAGAIN) {
        s->is_blocked = true;
    } else if (result == -ESTALE || result == -EPIPE) {
        EXPECT(s->is_abandoned || ids_move);
        s->can_send = false;
    } else {
        EXPECT(result == -ENOMEM);
    }
}

static void abandon(struct side *side, struct stream *s)
{
    int result;

    s->is_abandoned = true;
    side->abandoned++;
    for (unsigned other = 0; other < 2; other++) /* the other side's, too */
        for (uint32_t i = 0; i < sides[other].stream_count; i++)
            if (sides[other].streams[i].id == s->id && !sides[other].streams[i].is_over)
                sides[other].streams[i].is_abandoned = true;
    if (s->can_send) {
        result = side->t->ops->reset(side->t, s->handle, 11);
        EXPECT(result == 0 || result == -EPIPE);
        EXPECT(side->t->ops->send(side->t, s->handle, NULL, 0, MR_SEND_FIN) == -EPIPE);
    }
    EXPECT(side->t->ops->stop(side->t, s->handle, 12) == 0);
    s->can_send = false;
}

static void drive_streams(struct side *side)
{
    for (uint32_t i = 0; i < side->stream_count; i++) {
        struct stream *s = &side->streams[i];

        if (s->is_over || s->handle == 0)
            continue;
        if (abandon_percent > 0 && !s->is_abandoned &&
            mr_random_below(&rnd, 10000) < abandon_percent)
            abandon(side, s);
        if (s->can_send && !s->has_fin && !s->is_blocked && chance(50))
            send_some(side, s);
    }
}

/* ------------------------------------------------------------------ receiving */

static void check_views(struct stream *s, const struct mr_view *views, int64_t count)
{
    uint64_t at = s->received;

    for (int64_t i = 0; i < count; i++)
        for (size_t j = 0; j < views[i].size; j++, at++)
            if (views[i].data[j] != byte_at(s->id, at)) {
                EXPECT(false); /* the byte that was sent */
                return;
            }
}

/* Read a part of what is there; the server sends the same back.  False: nothing is there. */
static bool read_some(struct side *side, struct stream *s)
{
    struct mr_view views[8];
    bool fin = false;
    size_t room = 1 + (size_t)mr_random_below(&rnd, 8);
    int64_t count = side->t->ops->receive(side->t, s->handle, views, room, &fin);
    size_t shown = 0;

    if (count < 0) {
        EXPECT(s->is_abandoned || ids_move || count == -ESTALE);
        return false;
    }
    check_views(s, views, count);
    for (int64_t i = 0; i < count; i++)
        shown += views[i].size;
    size_t part = chance(70) ? shown : (size_t)mr_random_below(&rnd, shown + 1);
    EXPECT(s->is_abandoned || side->t->ops->release(side->t, s->handle, 1 << 30) == -EINVAL);
    EXPECT(side->t->ops->release(side->t, s->handle, part) == 0);
    s->received += part;
    if (side->index == RING_WORLD_SERVER)
        s->total = s->received;
    if (fin && part == shown) {
        s->has_received_fin = true;
        s->wants_fin = true;
        return false;
    }
    return part > 0;
}

/* ------------------------------------------------------------------ events */

static struct conn *conn_of(struct side *side, mr_handle handle)
{
    for (uint32_t i = 0; i < side->conn_count; i++)
        if (side->conns[i].handle == handle && !side->conns[i].is_over)
            return &side->conns[i];
    return NULL;
}

/* Whether the peer gave it up before we heard of it: a SEND may say so before the event does. */
static bool was_abandoned(const struct side *side, uint64_t id)
{
    const struct side *other = &sides[1 - side->index];

    for (uint32_t i = 0; i < other->stream_count; i++)
        if (other->streams[i].id == id && other->streams[i].is_abandoned)
            return true;
    return false;
}

static struct stream *add_stream(struct side *side, mr_handle handle, mr_handle conn)
{
    struct stream *s = &side->streams[side->stream_count];
    uint64_t id = side->t->ops->stream_id(side->t, handle);

    MR_ASSERT(side->stream_count < STREAMS_MAX);
    *s =
        (struct stream){.handle = handle,
                        .conn = conn,
                        .id = id,
                        .is_abandoned = side->index == RING_WORLD_SERVER && was_abandoned(side, id),
                        .can_send = true};
    /* -ESTALE: its end is told with its begin */
    int result = side->t->ops->set_user_data(side->t, handle, ++side->stream_count);
    EXPECT(result == 0 || (result == -ESTALE && side->index == RING_WORLD_SERVER));
    conn_of(side, conn)->streams++;
    return s;
}

static void on_conn_event(struct side *side, const struct mr_event *event)
{
    struct conn *c = conn_of(side, event->conn);

    if (c == NULL) {
        EXPECT(side->index == RING_WORLD_SERVER);
        EXPECT((event->kinds & MR_EVENT_CONNECTED) != 0);
        MR_ASSERT(side->conn_count < CONNS_MAX);
        c = &side->conns[side->conn_count++];
        *c = (struct conn){.handle = event->conn};
    }
    if ((event->kinds & MR_EVENT_CONNECTED) != 0) {
        struct mr_conn_info info;

        c->is_connected = true;
        EXPECT(side->t->ops->conn_info(side->t, event->conn, &info) == 0 ||
               (event->kinds & MR_EVENT_CLOSED) != 0);
        EXPECT(info.is_client == (side->index == RING_WORLD_CLIENT));
        EXPECT(strcmp(info.alpn, "h3") == 0);
    }
    if ((event->kinds & MR_EVENT_MOVED_IN) != 0) {
        EXPECT(event->kinds == MR_EVENT_MOVED_IN);
        EXPECT((mr_handle)event->result == event->conn && event->error < 2);
        side->moves++;
    }
    side->wants_streams |= (event->kinds & (MR_EVENT_STREAMS_ALLOWED | MR_EVENT_CONNECTED)) != 0;
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        EXPECT(c->streams == 0);
        c->is_over = true;
        c->error = event->error;
        c->is_application = event->is_application;
        c->is_remote = event->is_remote;
        snprintf(c->reason, sizeof(c->reason), "%s", event->reason);
    }
}

static void on_stream_over(struct side *side, struct stream *s, const struct mr_event *event)
{
    struct conn *c = conn_of(side, s->conn);

    s->is_over = true;
    free_acked(s, UINT64_MAX);
    EXPECT(c != NULL && c->streams > 0);
    if (c != NULL)
        c->streams--;
    if (event->error == MR_RING_ERROR_REFUSED) {
        side->refused++;
        side->opened--;
        return;
    }
    if (s->is_abandoned || event->error != 0)
        return;
    EXPECT(s->has_received_fin || (s->id & 2) != 0);
    EXPECT(s->has_fin || (s->id & 2) != 0);
    if (side->index == RING_WORLD_CLIENT && (s->id & 2) == 0)
        EXPECT(s->received == s->total);
}

static void on_stream_event(struct side *side, const struct mr_event *event)
{
    const struct conn *c = conn_of(side, event->conn);
    struct stream *s;

    EXPECT(c != NULL && c->is_connected);
    EXPECT(c == NULL || !c->is_over);
    if (c == NULL)
        return;
    if ((event->kinds & MR_EVENT_STREAM_OPENED) != 0) {
        EXPECT(event->user_data == 0 && side->index == RING_WORLD_SERVER);
        s = add_stream(side, event->stream, event->conn);
        s->can_send = (s->id & 2) == 0;
    } else {
        EXPECT(event->user_data > 0 && event->user_data <= side->stream_count);
        s = &side->streams[event->user_data - 1];
    }
    EXPECT(s->handle == event->stream);
    EXPECT(!s->is_over);
    s->is_abandoned |= (event->kinds & (MR_EVENT_RESET | MR_EVENT_STOPPED)) != 0;
    if ((event->kinds & MR_EVENT_ACKED) != 0) {
        EXPECT(event->acked_to <= s->sent);
        EXPECT(event->acked_to >= s->acked);
        s->acked = event->acked_to;
        free_acked(s, s->acked);
    }
    if ((event->kinds & MR_EVENT_WRITABLE) != 0)
        s->is_blocked = false;
    if ((event->kinds & MR_EVENT_READABLE) != 0)
        while (read_some(side, s)) {
        }
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        on_stream_over(side, s, event);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct side *side = context;

    for (size_t i = 0; i < count; i++) {
        EXPECT(events[i].reason != NULL);
        side->timers += (events[i].kinds & MR_EVENT_TIMER) != 0;
        side->go_aways += (events[i].kinds & MR_EVENT_GO_AWAY) != 0;
        if ((events[i].kinds & MR_EVENT_WORK_DONE) != 0)
            side->work_sum += events[i].user_data * 100 + (uint64_t)events[i].result;
        if (events[i].conn == MR_HANDLE_NONE)
            continue;
        if (events[i].stream == MR_HANDLE_NONE)
            on_conn_event(side, &events[i]);
        else
            on_stream_event(side, &events[i]);
    }
}

static void on_start(void *context, struct mr_transport *transport)
{
    ((struct side *)context)->t = transport;
}

/* ------------------------------------------------------------------ a world and its end */

static struct mr_application apps[2] = {
    {.name = "client", .context = &sides[0], .on_start = on_start, .on_events = on_events},
    {.name = "server", .context = &sides[1], .on_start = on_start, .on_events = on_events},
};

static void step(void)
{
    uint32_t work = has_thread ? 0 : ring_world_step(world);

    for (unsigned i = 0; i < 2; i++)
        work += mr_ring_transport_poll(sides[i].rt);
    if (has_thread && work == 0) /* either may be the next to get something */
        (void)mr_attach_wait(sides[steps++ % 2].attachment, 20000);
}

static bool is_listening(uint64_t rings)
{
    const struct mr_ring_transport_stats *stats =
        mr_ring_transport_stats(sides[RING_WORLD_SERVER].rt);

    return stats->listens - stats->listens_refused == rings;
}

static void start(const struct ring_world_config *config, uint32_t rings, uint64_t seed)
{
    struct mr_ring_transport_config limits = mr_ring_transport_config_default();

    mr_random_init_number(&rnd, seed);
    limits.queue_bytes = 1 << (10 + seed % 8);
    limits.timers_max = limits.work_max = 8;
    limits.segments_max = 64;
    bad = 0;
    ids_move = config->loop.refuse_percent > 0;
    has_thread = config->has_thread;
    world = ring_world_new(config);
    for (unsigned i = 0; i < 2; i++) {
        memset(&sides[i], 0, sizeof(sides[i]));
        sides[i].index = i;
        sides[i].attachment = ring_world_attach(world, i, rings);
        limits.listens = i == RING_WORLD_SERVER;
        sides[i].rt = mr_ring_transport_new(sides[i].attachment, &limits, &apps[i]);
        MR_ASSERT(sides[i].rt != NULL);
        CU_ASSERT_PTR_EQUAL(sides[i].t, mr_ring_transport_transport(sides[i].rt));
    }
    for (int i = 0; i < STEPS && !is_listening(rings); i++) /* who comes before that is refused */
        step();
    CU_ASSERT_FATAL(is_listening(rings));
}

static void stop(void)
{
    for (unsigned i = 0; i < 2; i++) {
        mr_ring_transport_check(sides[i].rt);
        for (uint32_t j = 0; j < sides[i].stream_count; j++)
            free_acked(&sides[i].streams[j], UINT64_MAX);
        mr_ring_transport_free(sides[i].rt);
        mr_detach(sides[i].attachment);
    }
    ring_world_free(world);
    CU_ASSERT_EQUAL(bad, 0);
}

static mr_handle open_conn(void)
{
    struct side *side = &sides[RING_WORLD_CLIENT];
    struct mr_connect_options options = {
        .server_name = "localhost", .alpn = (const uint8_t *)"\002h3", .alpn_size = 3};
    mr_handle handle = 0;

    if (side->conn_count == CONNS_MAX || side->t->ops->connect(side->t, &options, &handle) != 0)
        return 0;
    side->conns[side->conn_count++] = (struct conn){.handle = handle};
    return handle;
}

/* Send first, read later: the stream's first bytes go out together with its OPEN. */
static void open_stream(mr_handle conn)
{
    struct side *side = &sides[RING_WORLD_CLIENT];
    bool is_uni = chance(30);
    mr_handle handle;
    int result =
        side->t->ops->open(side->t, conn, is_uni ? MR_OPEN_UNI : MR_OPEN_BIDI, 99, &handle);

    if (result != 0) {
        EXPECT(result == -EAGAIN || result == -ENOMEM);
        side->wants_streams &= result != -EAGAIN;
        return;
    }
    struct stream *s = add_stream(side, handle, conn);
    s->total = chance(10) ? 0 : mr_random_below(&rnd, bytes_max);
    s->wants_fin = true;
    side->opened++;
    send_some(side, s);
}

static bool is_all_over(const struct side *side)
{
    for (uint32_t i = 0; i < side->stream_count; i++)
        if (!side->streams[i].is_over)
            return false;
    return true;
}

/* Read what a READABLE left lying. */
static void read_rest(struct side *side)
{
    for (uint32_t i = 0; i < side->stream_count; i++)
        if (!side->streams[i].is_over && !side->streams[i].has_received_fin && chance(20))
            read_some(side, &side->streams[i]);
}

/* The whole program: connections, `wanted` streams on each in turn, everybody reads and writes. */
static void transfer(uint32_t conns, uint32_t wanted)
{
    struct side *client = &sides[RING_WORLD_CLIENT];
    uint32_t i;

    for (i = 0; i < STEPS; i++) {
        uint32_t alive = 0;

        for (uint32_t j = 0; j < client->conn_count; j++)
            alive += !client->conns[j].is_over;
        if (alive < conns)
            (void)open_conn();
        if (client->opened < wanted && client->wants_streams &&
            client->stream_count < STREAMS_MAX) {
            const struct conn *c = &client->conns[mr_random_below(&rnd, client->conn_count)];
            if (c->is_connected && !c->is_over)
                open_stream(c->handle);
        }
        step();
        for (unsigned s = 0; s < 2; s++) {
            drive_streams(&sides[s]);
            read_rest(&sides[s]);
            if (i % 64 == 0)
                mr_ring_transport_check(sides[s].rt);
        }
        if (client->opened >= wanted && is_all_over(&sides[0]) && is_all_over(&sides[1]))
            break;
    }
    CU_ASSERT_NOT_EQUAL(i, STEPS);
}

/* No objects, and no memory of the send areas in use. */
static bool is_empty(void)
{
    for (unsigned s = 0; s < 2; s++) {
        if (mr_ring_transport_objects(sides[s].rt) > 0)
            return false;
        for (uint32_t r = 0; r < mr_attach_ring_count(sides[s].attachment); r++)
            if (mr_attach_ring(sides[s].attachment, r)->area.used > 0)
                return false;
    }
    return true;
}

static void close_all(void)
{
    struct side *client = &sides[RING_WORLD_CLIENT];

    for (uint32_t i = 0; i < client->conn_count; i++)
        if (!client->conns[i].is_over)
            CU_ASSERT_EQUAL(client->t->ops->close(client->t, client->conns[i].handle, CLOSE_CODE,
                                                  "that was it"),
                            0);
    for (int i = 0; i < 100000 && !is_empty(); i++)
        step();
    CU_ASSERT(is_empty());
    for (unsigned s = 0; s < 2; s++)
        for (uint32_t i = 0; i < sides[s].conn_count; i++) {
            const struct conn *c = &sides[s].conns[i];

            CU_ASSERT(c->is_over);
            if (c->error == MR_RING_ERROR_REFUSED)
                continue;
            CU_ASSERT_EQUAL(c->error, CLOSE_CODE);
            CU_ASSERT(c->is_application);
            CU_ASSERT_EQUAL(c->is_remote, s == RING_WORLD_SERVER);
        }
}

/* ------------------------------------------------------------------ tests */

static struct ring_world_config tiny(uint64_t seed)
{
    struct ring_world_config config = ring_world_config_default(seed);

    config.sizes = (struct mr_ring_sizes){.submit_count = 16,
                                          .complete_count = 16,
                                          .slot_size = 64u << (seed % 5),
                                          .slot_count = 4 + (uint32_t)(seed % 13),
                                          .send_bytes = 4096 * (2 + seed % 16),
                                          .alias_count = 12 + (uint32_t)(seed % 7),
                                          .sends_max = 2 + (uint32_t)(seed % 9),
                                          .objects_max = 32};
    config.loop.view_max = 1 + seed * 37 % 1400;
    config.loop.piece_max = 1 + seed * 1001 % 9000;
    config.loop.stream_window = 1000 + seed * 3001 % 60000;
    config.loop.idle_percent = (uint32_t)(seed % 3) * 15;
    config.loop.bidi_max = 2 + (uint32_t)(seed % 5);
    config.loop.uni_max = 1 + (uint32_t)(seed % 3);
    return config;
}

static void a_random_program_moves_every_byte(void)
{
    for (uint64_t seed = 1; seed <= SEEDS(60); seed++) {
        struct ring_world_config config = tiny(seed);

        bytes_max = seed % 4 == 0 ? 200000 : 8000;
        abandon_percent = 0;
        start(&config, 1, seed);
        transfer(1, 12);
        close_all();
        stop();
        if (bad > 0 || CU_get_number_of_failures() > 0) {
            printf("# seed %llu\n", (unsigned long long)seed);
            return;
        }
    }
}

/* Pointers instead of copies; the bytes come out of the transport's own buffers. */
static void a_random_program_by_reference_moves_every_byte(void)
{
    for (uint64_t seed = 1; seed <= SEEDS(30); seed++) {
        struct ring_world_config config = tiny(seed);

        config.sizes.flags = MR_RING_BY_REFERENCE;
        bytes_max = seed % 4 == 0 ? 100000 : 8000;
        abandon_percent = 0;
        start(&config, 1 + (uint32_t)(seed % 2), seed);
        transfer(1, 12);
        CU_ASSERT_EQUAL(mr_app_host_stats(ring_world_host(world, 0))->bytes_copied, 0);
        close_all();
        stop();
        if (bad > 0 || CU_get_number_of_failures() > 0) {
            printf("# seed %llu\n", (unsigned long long)seed);
            return;
        }
    }
}

static void a_datapath_with_a_thread_moves_every_byte(void)
{
    for (uint64_t seed = 1; seed <= SEEDS(6); seed++) {
        struct ring_world_config config = tiny(seed);

        config.has_thread = true;
        bytes_max = 20000;
        abandon_percent = seed % 2 == 0 ? 20 : 0;
        start(&config, 1 + (uint32_t)(seed % 3), seed);
        transfer(1 + (uint32_t)(seed % 2), 12);
        close_all();
        stop();
        if (bad > 0 || CU_get_number_of_failures() > 0) {
            printf("# seed %llu\n", (unsigned long long)seed);
            return;
        }
    }
}

static void refusals_resets_and_stops_lose_nothing_else(void)
{
    for (uint64_t seed = 1; seed <= SEEDS(60); seed++) {
        struct ring_world_config config = tiny(seed);

        config.loop.refuse_percent = seed % 2 == 0 ? 20 : 0;
        config.loop.close_order = (enum loop_close_order)(seed % 3);
        bytes_max = 8000;
        abandon_percent = 30;
        start(&config, 1 + (uint32_t)(seed % 3), seed);
        transfer(1 + (uint32_t)(seed % 2), 16);
        close_all();
        stop();
        if (bad > 0 || CU_get_number_of_failures() > 0) {
            printf("# seed %llu\n", (unsigned long long)seed);
            return;
        }
    }
}

/* The same programs, with connections that change their shard all the time, on both sides. */
static uint32_t run_moving(uint64_t seed, uint32_t flags)
{
    struct ring_world_config config = tiny(seed);

    config.sizes.flags = flags;
    config.sizes.submit_count = config.sizes.complete_count = 16u << (seed % 3);
    config.moves_percent = 1 + (uint32_t)(seed % 20);
    config.loop.refuse_percent = seed % 5 == 0 ? 10 : 0;
    config.loop.close_order = (enum loop_close_order)(seed % 3);
    config.has_thread = seed % 10 == 9;
    bytes_max = seed % 4 == 0 ? 100000 : 8000;
    abandon_percent =
        seed % 3 == 0 && flags == 0 ? 20 : 0; /* by reference, what is abandoned changes */
    start(&config, 2, seed);
    transfer(1 + (uint32_t)(seed % 2), 12);
    close_all();
    uint32_t moves = sides[0].moves + sides[1].moves;
    stop();
    return moves;
}

static void moves_on_the_way_lose_nothing(void)
{
    uint32_t moves = 0;

    for (uint64_t seed = 1; seed <= 80; seed++) {
        moves += run_moving(seed, seed % 2 == 0 ? MR_RING_BY_REFERENCE : 0);
        if (bad > 0 || CU_get_number_of_failures() > 0) {
            printf("# seed %llu\n", (unsigned long long)seed);
            return;
        }
    }
    printf("# %u moves\n", moves);
    CU_ASSERT(moves > 1000);
}

static CU_TestInfo tests[] = {
    {"Q17 moves on the way lose nothing", moves_on_the_way_lose_nothing},
    {"B13 B7 a random program over rings moves every byte", a_random_program_moves_every_byte},
    {"a random program by reference moves every byte",
     a_random_program_by_reference_moves_every_byte},
    {"B13 a datapath on a thread of its own moves every byte",
     a_datapath_with_a_thread_moves_every_byte},
    {"refusals, resets and stops lose nothing else", refusals_resets_and_stops_lose_nothing_else},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/transport_ring", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
