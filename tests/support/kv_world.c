/* tests/support/kv_world.c - see kv_world.h. */
#include "tests/support/kv_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define MS UINT64_C(1000000)

enum {
    CLIENT_ENTRIES = 1000,
    PIPES = KV_WORLD_NODES * KV_WORLD_NODES + KV_WORLD_CLIENTS
};

/* Bytes on their way. */
struct queue {
    uint8_t *bytes;
    size_t begin, end, room;
};

struct end {
    struct pipe *pipe;
    struct kv_peer *peer; /* NULL: it has left */
    struct queue queue;   /* of bytes that it will hear */
};

/* ends[0] has opened it. */
struct pipe {
    struct end ends[2];
    bool is_open;
    bool is_cut;
    uint64_t code; /* it was closed with */
};

struct kv_world {
    uint32_t count;
    uint64_t chance;
    uint64_t now;
    uint64_t lives;
    kv_world_answer listener;
    void *listener_context;
    struct kv_node *nodes[KV_WORLD_NODES]; /* NULL: dead */
    struct kv_speakers speakers[KV_WORLD_NODES];
    struct kv_speakers client_speakers;
    /* By who has opened it and to whom, then those of clients. */
    struct pipe pipes[PIPES];
};

static struct pipe *pipe_between(struct kv_world *world, uint32_t from, uint32_t to)
{
    return &world->pipes[from * KV_WORLD_NODES + to];
}

static struct pipe *pipe_of_client(struct kv_world *world, uint32_t client)
{
    return &world->pipes[KV_WORLD_NODES * KV_WORLD_NODES + client];
}

uint64_t kv_world_chance(struct kv_world *world, uint64_t below)
{
    world->chance ^= world->chance << 13;
    world->chance ^= world->chance >> 7;
    world->chance ^= world->chance << 17;
    return world->chance % below;
}

uint64_t kv_world_now(const struct kv_world *world)
{
    return world->now;
}

/* ------------------------------------------------------------------ bytes */

static void push(struct queue *q, const uint8_t *bytes, size_t size)
{
    if (q->begin == q->end)
        q->begin = q->end = 0;
    if (q->room - q->end < size) {
        q->room = 2 * (q->end + size);
        q->bytes = realloc(q->bytes, q->room);
        MR_ASSERT(q->bytes != NULL);
    }
    memcpy(q->bytes + q->end, bytes, size);
    q->end += size;
}

static void empty(struct queue *q)
{
    free(q->bytes);
    *q = (struct queue){0};
}

/* Both ends leave; what is on its way is lost. */
static void close_pipe(struct pipe *pipe, uint64_t code)
{
    if (!pipe->is_open)
        return;
    pipe->is_open = false;
    pipe->code = code;
    for (unsigned i = 0; i < 2; i++) {
        struct kv_peer *peer = pipe->ends[i].peer;
        pipe->ends[i].peer = NULL;
        if (peer != NULL)
            kv_peer_leave(peer, code);
        empty(&pipe->ends[i].queue);
    }
}

/* What was said is on its way from now on. */
static void take_words(struct kv_speakers *speakers)
{
    struct kv_peer *peer;
    uint64_t code;
    size_t size;

    while ((peer = kv_speakers_next(speakers)) != NULL) {
        struct end *end = kv_peer_context(peer);
        const uint8_t *words = kv_peer_words(peer, &size);
        struct end *other = &end->pipe->ends[end == &end->pipe->ends[0]];
        if (words != NULL) {
            push(&other->queue, words, size);
            kv_peer_said(peer, size);
        }
        if (kv_peer_is_ended(peer, &code))
            close_pipe(end->pipe, code);
    }
}

static void open_pipe(struct pipe *pipe)
{
    pipe->is_open = true;
    pipe->code = 0;
    for (unsigned i = 0; i < 2; i++)
        pipe->ends[i].pipe = pipe;
}

/* Nodes that want to reach others do, or cannot. */
static void open_ways(struct kv_world *world, uint32_t from)
{
    uint32_t to;

    while ((to = kv_node_next_way(world->nodes[from])) != KV_NOBODY) {
        struct pipe *pipe = pipe_between(world, from, to);
        if (world->nodes[to] == NULL || pipe->is_cut) {
            kv_node_failed(world->nodes[from], to);
            continue;
        }
        open_pipe(pipe);
        pipe->ends[0].peer = kv_node_reached(world->nodes[from], to, &pipe->ends[0]);
        pipe->ends[1].peer = kv_node_accepted(world->nodes[to], &pipe->ends[1]);
    }
}

static void look_after(struct kv_world *world)
{
    take_words(&world->client_speakers);
    for (uint32_t i = 0; i < world->count; i++) {
        if (world->nodes[i] == NULL)
            continue;
        (void)kv_node_tick(world->nodes[i], world->now);
        open_ways(world, i);
    }
    for (uint32_t i = 0; i < world->count; i++)
        take_words(&world->speakers[i]);
}

/* ------------------------------------------------------------------ nodes */

struct kv_world *kv_world_new(uint32_t count, uint64_t seed)
{
    struct kv_world *world = calloc(1, sizeof(*world));

    MR_ASSERT(world != NULL);
    world->count = count;
    world->chance = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    world->now = 1000 * MS;
    return world;
}

void kv_world_free(struct kv_world *world)
{
    for (uint32_t i = 0; i < KV_WORLD_CLIENTS; i++)
        close_pipe(pipe_of_client(world, i), 0);
    for (uint32_t i = 0; i < world->count; i++)
        kv_world_kill(world, i);
    free(world);
}

void kv_world_start(struct kv_world *world, uint32_t node)
{
    const struct kv_node_config config = {
        .id = node, .count = world->count, .entries_max = CLIENT_ENTRIES, .life = ++world->lives};

    MR_ASSERT(world->nodes[node] == NULL);
    world->nodes[node] = kv_node_new(&config, &world->speakers[node]);
    MR_ASSERT(world->nodes[node] != NULL);
    look_after(world);
}

void kv_world_kill(struct kv_world *world, uint32_t node)
{
    if (world->nodes[node] == NULL)
        return;
    for (uint32_t i = 0; i < world->count; i++) {
        close_pipe(pipe_between(world, node, i), 0);
        close_pipe(pipe_between(world, i, node), 0);
    }
    for (uint32_t i = 0; i < KV_WORLD_CLIENTS; i++) {
        struct pipe *pipe = pipe_of_client(world, i);
        if (pipe->is_open && kv_peer_config(pipe->ends[1].peer)->owner == world->nodes[node])
            close_pipe(pipe, 0);
    }
    kv_node_free(world->nodes[node]);
    world->nodes[node] = NULL;
}

struct kv_node *kv_world_node(struct kv_world *world, uint32_t node)
{
    return world->nodes[node];
}

void kv_world_cut(struct kv_world *world, uint32_t a, uint32_t b, bool is_cut)
{
    pipe_between(world, a, b)->is_cut = is_cut;
    pipe_between(world, b, a)->is_cut = is_cut;
}

void kv_world_break(struct kv_world *world, uint32_t a, uint32_t b)
{
    close_pipe(pipe_between(world, a, b), 0);
    close_pipe(pipe_between(world, b, a), 0);
}

/* ------------------------------------------------------------------ clients */

void kv_world_listen(struct kv_world *world, kv_world_answer function, void *context)
{
    world->listener = function;
    world->listener_context = context;
}

static void take_answer(struct kv_peer *peer, const struct kv_message *message, uint64_t now)
{
    struct kv_world *world = kv_peer_config(peer)->owner;

    (void)now;
    if (world->listener != NULL)
        world->listener(world->listener_context, kv_peer_config(peer)->number, message);
}

static void lose_answers(struct kv_peer *peer, uint64_t code)
{
    struct kv_world *world = kv_peer_config(peer)->owner;

    (void)code;
    if (world->listener != NULL)
        world->listener(world->listener_context, kv_peer_config(peer)->number, NULL);
}

void kv_world_connect(struct kv_world *world, uint32_t client, uint32_t node)
{
    struct pipe *pipe = pipe_of_client(world, client);
    const struct kv_peer_config config = {.hears = &kv_answer_schema,
                                          .says = &kv_request_schema,
                                          .take = take_answer,
                                          .left = lose_answers,
                                          .owner = world,
                                          .number = client,
                                          .context = &pipe->ends[0]};

    close_pipe(pipe, 0);
    if (world->nodes[node] == NULL)
        return;
    open_pipe(pipe);
    pipe->ends[0].peer = kv_peer_new(&config, &world->client_speakers);
    pipe->ends[1].peer = kv_node_accepted(world->nodes[node], &pipe->ends[1]);
}

void kv_world_ask(struct kv_world *world, uint32_t client, const struct kv_message *request)
{
    struct pipe *pipe = pipe_of_client(world, client);

    if (pipe->is_open)
        kv_peer_say(pipe->ends[0].peer, request);
}

void kv_world_say(struct kv_world *world, uint32_t client, const void *bytes, size_t size)
{
    struct pipe *pipe = pipe_of_client(world, client);

    if (pipe->is_open)
        kv_peer_say_bytes(pipe->ends[0].peer, bytes, size);
}

bool kv_world_is_over(const struct kv_world *world, uint32_t client, uint64_t *code_out)
{
    const struct pipe *pipe = &world->pipes[KV_WORLD_NODES * KV_WORLD_NODES + client];

    *code_out = pipe->code;
    return !pipe->is_open;
}

/* ------------------------------------------------------------------ going on */

static bool has_bytes(const struct end *end)
{
    return end->pipe != NULL && end->pipe->is_open && end->queue.begin < end->queue.end;
}

/* An end to which bytes can be delivered, by chance; NULL: none. */
static struct end *choose_end(struct kv_world *world)
{
    struct end *chosen = NULL;
    uint64_t count = 0;

    for (uint32_t i = 0; i < 2 * PIPES; i++) {
        struct end *end = &world->pipes[i / 2].ends[i % 2];
        if (has_bytes(end) && !end->pipe->is_cut && kv_world_chance(world, ++count) == 0)
            chosen = end;
    }
    return chosen;
}

static void deliver(struct kv_world *world, struct end *end)
{
    struct queue *q = &end->queue;
    size_t size = q->end - q->begin;
    uint8_t piece[65536];

    size = size < sizeof(piece) ? size : sizeof(piece);
    if (kv_world_chance(world, 2) == 0)
        size = 1 + kv_world_chance(world, size);
    memcpy(piece, q->bytes + q->begin, size);
    q->begin += size;
    kv_peer_hear(end->peer, piece, size, world->now);
}

void kv_world_step(struct kv_world *world)
{
    struct end *end = choose_end(world);

    if (end != NULL && kv_world_chance(world, 8) > 0)
        deliver(world, end);
    else
        world->now += kv_world_chance(world, end != NULL ? MS / 2 : 20 * MS);
    look_after(world);
}

static bool is_quiet(struct kv_world *world)
{
    for (uint32_t i = 0; i < world->count; i++) {
        if (world->nodes[i] != NULL &&
            (!kv_node_is_ready(world->nodes[i]) || kv_node_rounds(world->nodes[i]) > 0))
            return false;
    }
    for (uint32_t i = 0; i < 2 * PIPES; i++) {
        const struct end *end = &world->pipes[i / 2].ends[i % 2];
        if (has_bytes(end) && !end->pipe->is_cut)
            return false;
    }
    return true;
}

bool kv_world_settle(struct kv_world *world)
{
    uint64_t until = world->now + 10000 * MS;
    uint32_t quiet = 0;

    look_after(world);
    while (world->now < until && quiet < 20) {
        kv_world_step(world);
        quiet = is_quiet(world) ? quiet + 1 : 0;
    }
    return quiet >= 20;
}
