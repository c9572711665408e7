/*
 * fuzz/fuzz_kv.c - property test of examples/kv/: a node that hears anything.
 *
 * Node 0 of three has a client of its own and conversations with two hostile ones, one that has
 * opened it and one that the node has.  The input is a list of steps: messages whose fields are
 * taken from it, bytes as they are, time.  Properties:
 *   1. nobody's words end another's conversation;
 *   2. what a node says is messages of its own language, and its answers bring their tags back;
 *   3. versions and promises of a key never go down, and a value is not changed without a later
 *      version;
 *   4. a request of the client is answered, whatever the others do, within its time;
 *   5. memory stays within bounds, and all of it comes back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "examples/kv/kv_node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MS UINT64_C(1000000)

enum {
    HOSTILE_CLIENT,
    HOSTILE_LINK,
    GOOD_CLIENT,
    PEERS,
    KEYS = 4
};

struct input {
    const uint8_t *at, *end;
};

struct world {
    struct kv_node *node;
    uint32_t count; /* of nodes */
    struct kv_speakers speakers;
    struct kv_peer *peers[PEERS];
    struct mr_message_parser parsers[PEERS];
    uint64_t now;
    uint64_t asked, answered; /* of the good client */
    struct kv_version kept[KEYS], promised[KEYS];
    uint64_t last_question; /* tag of the node's last */
};

static uint8_t bodies[PEERS][KV_MESSAGE_MAX];
static const char *const keys[KEYS] = {"a", "b", "key", "k"};

static uint8_t take(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

/* ------------------------------------------------------------------ what is said to it */

static struct mr_view take_view(struct input *in)
{
    static const uint8_t zeros[KV_VALUE_MAX + 1];
    uint8_t kind = take(in);

    if (kind < 160)
        return (struct mr_view){(const uint8_t *)keys[kind % KEYS], strlen(keys[kind % KEYS])};
    if (kind < 170)
        return (struct mr_view){zeros, kind % 2 == 0 ? KV_KEY_MAX + 1 : KV_VALUE_MAX + 1};
    return (struct mr_view){zeros, kind % 8};
}

static uint64_t take_number(struct input *in)
{
    uint8_t kind = take(in);

    return kind == 255 ? UINT64_MAX : kind > 250 ? (uint64_t)1 << 62 : kind % 16;
}

static void say(struct world *w, unsigned to, const struct kv_message *message)
{
    uint8_t bytes[MR_PREFIX_MAX + KV_MESSAGE_MAX];
    uint8_t prefix[MR_PREFIX_MAX];
    ssize_t size = mr_schema_encode(to == HOSTILE_LINK ? &kv_answer_schema : &kv_request_schema,
                                    message, bytes + MR_PREFIX_MAX, KV_MESSAGE_MAX);

    if (size < 0)
        return;
    size_t prefix_size = mr_message_prefix(&kv_format, (size_t)size, prefix);
    memcpy(bytes + MR_PREFIX_MAX - prefix_size, prefix, prefix_size);
    kv_peer_hear(w->peers[to], bytes + MR_PREFIX_MAX - prefix_size, prefix_size + (size_t)size,
                 w->now);
}

static void say_message(struct world *w, struct input *in, unsigned to)
{
    uint8_t lives[24] = {0};
    uint8_t kind = take(in);
    struct kv_message m = {.tag = to == HOSTILE_LINK ? w->last_question - take(in) % 4 : take(in),
                           .key = take_view(in),
                           .value = take_view(in),
                           .old = take_view(in),
                           .lives = {lives, kind > 240 ? 1 : 8 * (size_t)w->count},
                           .version = {take_number(in), take(in) % 4}};

    lives[7] = take(in) % 4;
    lives[15] = take(in) % 4;
    if (to == HOSTILE_LINK)
        m.word = (uint8_t)(kind % (KV_REFUSED + 1));
    else
        m.word = (uint8_t)(KV_GET + kind % KV_NEXT);
    if (take(in) % 8 == 0)
        m.tag = 0;
    say(w, to, &m);
}

static void say_bytes(struct world *w, struct input *in, unsigned to)
{
    uint8_t bytes[16];
    uint8_t wanted = take(in);
    size_t size = 0;

    for (; size < sizeof(bytes) && size < wanted; size++)
        bytes[size] = take(in);
    kv_peer_hear(w->peers[to], bytes, size, w->now);
}

/* The good client has one request at a time. */
static void ask(struct world *w, struct input *in)
{
    uint8_t bytes[512];
    struct kv_message m = {.word = (uint8_t)(KV_GET + take(in) % 3)};
    const char *key = keys[take(in) % KEYS];

    if (w->asked > w->answered)
        return;
    m.tag = ++w->asked;
    m.key = m.value = m.old = (struct mr_view){(const uint8_t *)key, strlen(key)};
    ssize_t size = mr_schema_encode(&kv_request_schema, &m, bytes + 1, 63);
    MR_ASSERT(size > 0);
    bytes[0] = (uint8_t)size;
    kv_peer_hear(w->peers[GOOD_CLIENT], bytes, (size_t)size + 1, w->now);
}

/* ------------------------------------------------------------------ what it says */

static void look_at_message(struct world *w, unsigned of)
{
    const struct mr_schema *schema = of == HOSTILE_LINK ? &kv_request_schema : &kv_answer_schema;
    struct kv_message m;

    MR_ASSERT(mr_schema_decode(schema, bodies[of], w->parsers[of].size, &m) == 0);
    if (of == HOSTILE_LINK && m.tag != 0)
        w->last_question = m.tag;
    if (of == GOOD_CLIENT) {
        MR_ASSERT(m.tag == w->asked);
        MR_ASSERT(w->answered + 1 == w->asked);
        w->answered++;
    }
}

static void look_at_words(struct world *w, unsigned of)
{
    size_t size, used;
    const uint8_t *words = kv_peer_words(w->peers[of], &size);

    MR_ASSERT(size <= KV_OUTPUT_MAX);
    for (size_t at = 0; at < size; at += used) {
        enum mr_message_verdict verdict =
            mr_message_parse(&w->parsers[of], words + at, size - at, &used);
        MR_ASSERT(verdict == MR_MESSAGE_WHOLE); /* whole ones only */
        look_at_message(w, of);
    }
    kv_peer_said(w->peers[of], size);
}

static void open_peer(struct world *w, unsigned which)
{
    mr_message_parser_init(&w->parsers[which], &kv_format, bodies[which]);
    w->peers[which] =
        which == HOSTILE_LINK ? kv_node_reached(w->node, 1, NULL) : kv_node_accepted(w->node, NULL);
    MR_ASSERT(w->peers[which] != NULL);
}

static void look_at_all(struct world *w)
{
    uint64_t code;

    while (kv_speakers_next(&w->speakers) != NULL)
        continue;
    for (unsigned i = 0; i < PEERS; i++) {
        if (w->peers[i] == NULL) {
            if (i != HOSTILE_LINK || kv_node_next_way(w->node) == 1)
                open_peer(w, i);
            continue;
        }
        look_at_words(w, i);
        if (!kv_peer_is_ended(w->peers[i], &code))
            continue;
        MR_ASSERT(i != GOOD_CLIENT);
        kv_peer_leave(w->peers[i], 0);
        w->peers[i] = NULL;
    }
}

static void check_store(struct world *w)
{
    for (unsigned i = 0; i < KEYS; i++) {
        const struct kv_entry *entry = kv_store_get(
            kv_node_store(w->node), (struct mr_view){(const uint8_t *)keys[i], strlen(keys[i])});
        if (entry == NULL)
            continue;
        MR_ASSERT(!kv_is_later(&w->kept[i], &entry->version));
        MR_ASSERT(!kv_is_later(&w->promised[i], &entry->promised));
        MR_ASSERT(!kv_is_later(&entry->version, &entry->promised));
        w->kept[i] = entry->version;
        w->promised[i] = entry->promised;
    }
    MR_ASSERT(kv_node_rounds(w->node) <= KV_ROUNDS_MAX);
}

/* The other node says who it is, and that it knows nothing: now this one is ready. */
static void befriend(struct world *w)
{
    say(w, HOSTILE_LINK, &(struct kv_message){.word = KV_OK, .version = {1, 1}});
    look_at_all(w);
    say(w, HOSTILE_LINK, &(struct kv_message){.word = KV_NOT_FOUND, .tag = w->last_question});
    MR_ASSERT(kv_node_is_ready(w->node));
}

static void step(struct world *w, struct input *in)
{
    uint8_t kind = take(in);

    if (kind < 100 && w->peers[HOSTILE_LINK] != NULL)
        say_message(w, in, HOSTILE_LINK);
    else if (kind < 180 && w->peers[HOSTILE_CLIENT] != NULL)
        say_message(w, in, HOSTILE_CLIENT);
    else if (kind < 184 && w->peers[kind % 2] != NULL)
        say_bytes(w, in, kind % 2);
    else if (kind < 230)
        ask(w, in);
    else
        w->now += kind % 2 == 0 ? MS * (take(in) % 64) : MS / 8;
    (void)kv_node_tick(w->node, w->now);
    look_at_all(w);
    check_store(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    struct world w = {.now = 1000 * MS};
    const struct kv_node_config config = {
        .id = 0, .count = take(&in) % 8 == 0 ? 3 : 2, .entries_max = 6, .life = 2};

    w.count = config.count;
    w.node = kv_node_new(&config, &w.speakers);
    MR_ASSERT(w.node != NULL);
    look_at_all(&w);
    if (config.count == 2 && take(&in) % 4 > 0)
        befriend(&w);
    while (in.at < in.end)
        step(&w, &in);
    for (int i = 0; i < 100 && w.answered < w.asked; i++) {
        w.now += 50 * MS;
        (void)kv_node_tick(w.node, w.now);
        look_at_all(&w);
    }
    MR_ASSERT(w.answered == w.asked);
    for (unsigned i = 0; i < PEERS; i++) {
        if (w.peers[i] != NULL)
            kv_peer_leave(w.peers[i], 0);
    }
    kv_node_free(w.node);
    return 0;
}
