/*
 * tests/fuzz/fuzz_app_host.c - hostile applications beside an honest one, on both hosts of a loop.
 *
 * The input is a program for three hostile applications, one at the client's host and two at the
 * server's: submissions of random bytes and of plausible ones, indexes that are wrong, bytes
 * anywhere in their regions (also while the host works: at each call that it makes into the
 * transport), slots released once, twice or never, coming and going.  An honest pair sends streams
 * to each other meanwhile.  Properties:
 *   1. every invariant of both hosts holds after each step;
 *   2. nothing outside of the regions is touched, nothing is read after it was freed (sanitizers);
 *   3. the honest pair's bytes arrive, unchanged and in order, and its connection stays;
 *   4. once a hostile one is let go of its ring drains, and everything comes back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/app_side.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    HOSTILE = 3,
    STEPS_MAX = 120,
    KNOWN = 4,
    SEND_BYTES = 16384
};

/* What it was told of, the last ones. */
struct known {
    uint64_t words[KNOWN];
    uint32_t count;
};

struct hostile {
    struct app_side *app;
    unsigned side;
    uint32_t tail; /* of its submissions, as it says */
    struct known conns;
    struct known streams;
    struct known slots;
};

/* The honest pair: one stream at a time. */
static struct {
    uint64_t conn;
    uint64_t peer_conn;
    uint64_t peer_stream;
    uint64_t id;
    uint64_t size;
    uint64_t received;
    uint32_t opened;
    uint32_t ended;
    bool is_asked;
} honest;

static struct app_world w;
static struct hostile hostile[HOSTILE];
static const uint8_t *input;
static size_t input_size;

static uint8_t next(void)
{
    if (input_size == 0)
        return 0;
    input_size--;
    return *input++;
}

static uint64_t next_word(void)
{
    uint64_t word = 0;

    for (int i = 0; i < 8; i++)
        word = word << 8 | next();
    return word;
}

/* ------------------------------------------------------------------ the honest pair */

static uint8_t byte_at(uint64_t id, uint64_t offset)
{
    return (uint8_t)(id * 7 + offset * 31 + offset / 253);
}

static void open_stream(void)
{
    honest.is_asked = true;
    app_side_submit(&w.app[APP_CLIENT], &(struct mr_sqe){.op = MR_OP_OPEN, .handle = honest.conn});
}

static void send_stream(const struct mr_cqe *cqe)
{
    struct app_side *app = &w.app[APP_CLIENT];

    if (cqe->result != 0) { /* the transport has refusals of its own */
        honest.is_asked = false;
        return;
    }
    honest.id = cqe->value;
    honest.size = 1 + (uint64_t)next() * 40;
    honest.received = 0;
    honest.opened++;
    for (uint64_t i = 0; i < honest.size; i++)
        *app_side_bytes(app, i) = byte_at(honest.id, i);
    app_side_send(app, cqe->stream, 0, (uint32_t)(honest.size / 2), 0, 0);
    app_side_send(app, cqe->stream, honest.size / 2, (uint32_t)(honest.size - honest.size / 2),
                  MR_SQE_FIN, 0);
}

static void run_client(void)
{
    struct mr_cqe cqe;

    while (app_side_next(&w.app[APP_CLIENT], &cqe)) {
        MR_ASSERT(cqe.type != MR_CQE_GONE);
        if (cqe.type == MR_CQE_DONE && cqe.op == MR_OP_OPEN)
            send_stream(&cqe);
        if (cqe.type == MR_CQE_DONE && cqe.op == MR_OP_SEND)
            MR_ASSERT(cqe.result == 0);
        if (cqe.type == MR_CQE_EVENT && (cqe.kinds & MR_EVENT_CLOSED) != 0) {
            MR_ASSERT(cqe.stream != 0); /* the connection stays */
            honest.ended++;
            honest.is_asked = false;
        }
    }
    if (!honest.is_asked)
        open_stream();
}

static void take_data(struct app_side *app, const struct mr_cqe *cqe)
{
    if (cqe->conn == honest.peer_conn) {
        MR_ASSERT(cqe->value == honest.received);
        for (uint32_t i = 0; i < cqe->size; i++)
            MR_ASSERT(app_side_data(app, cqe)[i] == byte_at(honest.id, honest.received + i));
        honest.received += cqe->size;
        if ((cqe->flags & MR_CQE_FIN) != 0) {
            MR_ASSERT(honest.received == honest.size);
            app_side_send(app, cqe->stream, 0, 0, MR_SQE_FIN, 0);
        }
    }
    if (cqe->size > 0)
        app_side_release(app, cqe);
}

static void run_server(void)
{
    struct app_side *app = &w.app[APP_SERVER];
    struct mr_cqe cqe;

    while (app_side_next(app, &cqe)) {
        MR_ASSERT(cqe.type != MR_CQE_GONE);
        if (cqe.type == MR_CQE_DATA)
            take_data(app, &cqe);
        else if (cqe.type == MR_CQE_DATAGRAM)
            app_side_release(app, &cqe);
        else if (cqe.type == MR_CQE_EVENT && cqe.stream == 0 && cqe.conn == honest.peer_conn)
            MR_ASSERT((cqe.kinds & MR_EVENT_CLOSED) == 0);
    }
}

static void step(void)
{
    app_world_step(&w, 1);
    run_client();
    run_server();
}

/* ------------------------------------------------------------------ hostile ones */

static struct mr_ring_sizes sizes_of_all(void)
{
    struct mr_ring_sizes sizes = app_world_sizes(16, 4);

    sizes.slot_size = 256;
    sizes.send_bytes = SEND_BYTES;
    sizes.alias_count = 4;
    sizes.sends_max = 8;
    sizes.objects_max = 12;
    return sizes;
}

static void attach(struct hostile *h)
{
    struct mr_ring_sizes sizes = sizes_of_all();
    int ring = app_side_try_attach(
        h->app, w.host[h->side], &sizes,
        &(struct mr_app_ring_config){.listeners = 2, .timers_max = 4, .numa_node = 0});

    MR_ASSERT(ring >= 0);
    *h = (struct hostile){.app = h->app, .side = h->side};
}

/* Bytes anywhere, the header's more often. */
static void scribble(const struct hostile *h)
{
    uint64_t room = next() % 8 == 0 ? 1024 : h->app->region.size;
    uint64_t at = next_word() % room;
    uint64_t wanted = next() % 16;
    uint64_t count = MR_MIN(wanted, h->app->region.size - at);

    for (uint64_t i = 0; i < count; i++)
        h->app->region.base[at + i] = next();
}

static uint64_t choose(const struct known *known)
{
    uint8_t how = next();

    if (how < 200 && known->count > 0)
        return known->words[how % MR_MIN(known->count, (uint32_t)KNOWN)];
    if (how < 230)
        return MR_RING_ALIAS | how % 6;
    if (how < 250)
        return UINT64_C(1) << 32 | how % 16;
    return next_word();
}

static uint64_t choose_address(const struct hostile *h)
{
    uint8_t how = next();

    if (how < 230)
        return h->app->region.send_at + (uint64_t)(next() % 32) * 256;
    return how < 240 ? choose(&h->slots) : next_word();
}

/* A wish that can be fulfilled, mostly. */
static void write_wish(const struct hostile *h, struct mr_sqe *sqe)
{
    struct mr_ring_connect wish = {
        .port = 443, .alpn_size = 2, .alpn = "\001x", .server_name = "localhost"};

    if (next() % 4 == 0) {
        wish.ticket = choose_address(h);
        wish.ticket_size = next();
    }
    memcpy(app_side_bytes(h->app, 0), &wish, sizeof(wish));
    sqe->address = h->app->region.send_at;
    sqe->size = sizeof(wish);
}

/* What makes sense for its operation, mostly. */
static void aim(const struct hostile *h, struct mr_sqe *sqe)
{
    switch (sqe->op) {
    case MR_OP_OPEN:
    case MR_OP_CLOSE:
    case MR_OP_DATAGRAM:
    case MR_OP_INFO:
    case MR_OP_TICKET:
        sqe->handle = choose(&h->conns);
        sqe->address = choose_address(h);
        break;
    case MR_OP_LISTEN:
    case MR_OP_ACCEPT:
        sqe->address = 1;
        sqe->value = next() % 4 == 0 ? sqe->value : 1;
        break;
    case MR_OP_RELEASE:
        sqe->address = choose(&h->slots);
        break;
    case MR_OP_CONNECT:
        write_wish(h, sqe);
        break;
    case MR_OP_RESET_AT:
        sqe->handle = choose(&h->streams);
        sqe->value %= 4;
        sqe->address = next() % 8192;
        break;
    default:
        sqe->handle = choose(&h->streams);
        sqe->address = choose_address(h);
        break;
    }
}

/* Written where its next place is, whatever the shard says of it. */
static void put(struct hostile *h, const struct mr_sqe *sqe)
{
    struct mr_mailbox box = mr_ring_submissions(&h->app->region);

    memcpy((uint8_t *)box.entries + (size_t)(h->tail & (box.count - 1)) * MR_RING_ENTRY, sqe,
           sizeof(*sqe));
    atomic_store(box.tail, ++h->tail);
}

static void submit(struct hostile *h)
{
    static const uint8_t often[] = {MR_OP_LISTEN,  MR_OP_ACCEPT,  MR_OP_OPEN,     MR_OP_OPEN,
                                    MR_OP_SEND,    MR_OP_SEND,    MR_OP_SEND,     MR_OP_SEND,
                                    MR_OP_RELEASE, MR_OP_RELEASE, MR_OP_DATAGRAM, MR_OP_CONNECT,
                                    MR_OP_CONNECT, MR_OP_SEND,    MR_OP_OPEN,     MR_OP_RELEASE};
    struct mr_mailbox box = mr_ring_submissions(&h->app->region);
    bool is_full = h->tail - atomic_load(box.head) >= box.count;
    uint8_t op = next();

    if (is_full && op != 255) /* that would be its end: not too often */
        return;
    struct mr_sqe sqe = {.op = op % 4 == 0 ? op / 4 % (MR_OPS + 2) : often[op / 4 % 16],
                         .flags = next() & next() & 31,
                         .size = next() % 16 == 0 ? (uint32_t)next_word() : next() * 9u,
                         .user_data = next(),
                         .value = next() % 4 == 0 ? next_word() : next(),
                         .alias = next() % 6};

    if (sqe.op == MR_OP_CONNECT && h->side == APP_SERVER)
        sqe.op = MR_OP_LISTEN;
    if (next() % 16 == 0) {
        sqe.handle = next_word();
        sqe.address = next_word();
    } else {
        aim(h, &sqe);
    }
    put(h, &sqe);
}

static void learn(struct known *known, uint64_t word)
{
    if (word != 0)
        known->words[known->count++ % KNOWN] = word;
}

/* Read completions, without believing that there are any. */
static void look(struct hostile *h, uint32_t wanted)
{
    struct mr_mailbox box = mr_ring_completions(&h->app->region);
    uint32_t head = atomic_load(box.head);
    uint32_t tail = atomic_load(box.tail);
    uint32_t count = MR_MIN(tail - head, wanted);

    for (uint32_t i = 0; i < count; i++) {
        struct mr_cqe cqe;
        memcpy(&cqe,
               (const uint8_t *)box.entries +
                   (size_t)((head + i) & (box.count - 1)) * MR_RING_ENTRY,
               sizeof(cqe));
        learn(&h->streams, cqe.stream);
        learn(&h->conns, cqe.conn);
        learn(&h->slots, cqe.type == MR_CQE_EVENT ? 0 : cqe.address);
    }
    atomic_store(box.head, head + count);
}

static void bend_index(const struct hostile *h)
{
    struct mr_mailbox box = next() % 2 == 0 ? mr_ring_submissions(&h->app->region)
                                            : mr_ring_completions(&h->app->region);
    _Atomic uint32_t *word = next() % 2 == 0 ? box.tail : box.head;

    atomic_fetch_add(word, (uint32_t)next() % 40 - 8);
}

static enum mr_app_ring_state state_of(const struct hostile *h)
{
    return mr_app_host_ring_state(w.host[h->side], (uint32_t)h->app->ring);
}

/* Who was let go of comes again, once nothing refers to it. */
static void come_back(struct hostile *h)
{
    if (state_of(h) != MR_APP_RING_DRAINED)
        return;
    app_side_free(h->app);
    attach(h);
}

static void act(struct hostile *h)
{
    uint8_t what = next();

    if (what < 160)
        submit(h);
    else if (what < 235)
        look(h, 1 + next() % 16);
    else if (what < 248)
        scribble(h);
    else if (what < 250)
        bend_index(h);
    else if (what < 252)
        mr_app_host_detach(w.host[h->side], (uint32_t)h->app->ring);
    come_back(h);
}

/* ------------------------------------------------------------------ while the host works */

static const struct mr_transport_ops *plain;
static struct mr_transport_ops tampered;

static void tamper(void)
{
    if (next() % 32 == 0)
        scribble(&hostile[next() % HOSTILE]);
}

static int tampered_connect(struct mr_transport *t, const struct mr_connect_options *options,
                            mr_handle *conn_out)
{
    tamper();
    if (t == loop_transport(w.loop, APP_SERVER))
        return -EAGAIN; /* a loop connects one way */
    return plain->connect(t, options, conn_out);
}

static int tampered_info(struct mr_transport *t, mr_handle conn, struct mr_conn_info *info_out)
{
    tamper();
    return plain->conn_info(t, conn, info_out);
}

static int tampered_send(struct mr_transport *t, mr_handle stream, const struct mr_view *views,
                         size_t count, uint32_t flags)
{
    tamper();
    return plain->send(t, stream, views, count, flags);
}

static int64_t tampered_receive(struct mr_transport *t, mr_handle stream, struct mr_view *views_out,
                                size_t room, bool *fin_out)
{
    tamper();
    return plain->receive(t, stream, views_out, room, fin_out);
}

static int64_t tampered_datagram(struct mr_transport *t, mr_handle conn, uint8_t *dst, size_t room)
{
    int64_t size = plain->receive_datagram(t, conn, dst, room);

    tamper();
    return size;
}

static void wrap_transports(void)
{
    plain = loop_transport(w.loop, 0)->ops;
    tampered = *plain;
    tampered.connect = tampered_connect;
    tampered.conn_info = tampered_info;
    tampered.send = tampered_send;
    tampered.receive = tampered_receive;
    tampered.receive_datagram = tampered_datagram;
    for (unsigned side = 0; side < 2; side++)
        loop_transport(w.loop, side)->ops = &tampered;
}

/* ------------------------------------------------------------------ a run */

/* They have a connection each at the begin, and a stream. */
static void settle_down(void)
{
    for (uint32_t i = 1; i < HOSTILE; i++)
        put(&hostile[i], &(struct mr_sqe){.op = MR_OP_ACCEPT, .value = 1});
    for (uint32_t i = 0; i < 2; i++) {
        struct mr_sqe connect = {.op = MR_OP_CONNECT, .alias = i + 1};
        write_wish(&hostile[0], &connect);
        put(&hostile[0], &connect);
        step();
        step();
        put(&hostile[0], &(struct mr_sqe){.op = MR_OP_OPEN, .handle = MR_RING_ALIAS | i});
    }
    for (uint32_t i = 0; i < 6; i++) {
        step();
        look(&hostile[i % HOSTILE], 4);
    }
}

static void start(uint8_t shape)
{
    struct loop_config config = loop_config_default(shape);
    struct mr_ring_sizes sizes = sizes_of_all();
    struct mr_app_host_config host = app_world_host_config();
    struct mr_handoff policy = {
        .listener_count = 2,
        .listener = {{.alpn = "echo"}, {.policy = shape % 3, .death = shape / 3 % 2}}};

    config.close_order = (enum loop_close_order)(shape % 3);
    config.queue_max = 2000;
    config.idle_percent = 10;
    config.datagram_max = 300;
    config.has_tickets = true;
    config.is_careless = true;
    host.hoard_ns = 30 * LOOP_STEP_NS;
    sizes.objects_max = 64; /* the honest ones': the hostile connect to them, too */
    memset(&honest, 0, sizeof(honest));
    memset(hostile, 0, sizeof(hostile));
    app_world_start(&w, &config, &sizes, &host, &policy);
    honest.conn = app_world_connect(&w, &w.app[APP_CLIENT]);
    honest.peer_conn = app_world_event(&w, &w.app[APP_SERVER], MR_EVENT_CONNECTED).conn;
    MR_ASSERT(honest.conn != 0 && honest.peer_conn != 0);
    for (uint32_t i = 0; i < HOSTILE; i++) {
        hostile[i] = (struct hostile){.app = &w.app[w.app_count++], .side = i > 0};
        attach(&hostile[i]);
    }
    settle_down();
    wrap_transports();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    input_size = size;
    start(next());
    for (uint32_t i = 0; i < STEPS_MAX && input_size > 0; i++) {
        for (uint32_t k = next() % 6; k > 0; k--)
            act(&hostile[next() % HOSTILE]);
        step();
    }
    input_size = 0;
    uint32_t target = honest.opened + 2; /* two more, whatever happened */
    for (uint32_t i = 0; i < 3000 && honest.ended < target; i++)
        step();
    MR_ASSERT(honest.ended >= target);
    app_world_stop(&w); /* panics unless everything drains */
    return 0;
}
