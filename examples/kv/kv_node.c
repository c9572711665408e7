/* examples/kv/kv_node.c - links, lives, and what a node answers at once; see kv_node.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/kv/kv_node_internal.h"

#define GREET_NS   (1000 * MS)
#define SILENCE_NS (4000 * MS)
#define REACH_NS   (100 * MS) /* between two tries */

struct kv_node *kv_node_new(const struct kv_node_config *config, struct kv_speakers *speakers)
{
    struct kv_node *node = calloc(1, sizeof(*node));
    struct kv_store *store = kv_store_new(config->entries_max);

    if (node == NULL || store == NULL) {
        free(node);
        kv_store_free(store);
        return NULL;
    }
    *node = (struct kv_node){.config = *config, .store = store, .speakers = speakers};
    if (config->timeout_ns == 0)
        node->config.timeout_ns = 2000 * MS;
    node->lives[config->id] = config->life;
    node->chance = config->life + config->id + 1;
    node->is_ready = config->count == 1;
    return node;
}

void kv_node_free(struct kv_node *node)
{
    if (node == NULL)
        return;
    kv_rounds_free(node);
    kv_store_free(node->store);
    free(node);
}

bool kv_node_is_ready(const struct kv_node *node)
{
    return node->is_ready;
}

const struct kv_store *kv_node_store(const struct kv_node *node)
{
    return node->store;
}

uint32_t kv_node_rounds(const struct kv_node *node)
{
    return node->round_count;
}

static void say(const struct kv_node *node, const char *format, uint32_t number)
{
    char line[80];

    if (node->config.say == NULL)
        return;
    snprintf(line, sizeof(line), format, number);
    node->config.say(line);
}

/* ------------------------------------------------------------------ answers given at once */

static uint8_t status_of(int error)
{
    return error == 0 ? KV_OK : error == -EMSGSIZE ? KV_TOO_LARGE : KV_FULL;
}

/* What is kept of the key. */
static void tell_entry(const struct kv_entry *entry, struct kv_message *answer)
{
    answer->word = entry == NULL || entry->version.counter == 0 ? KV_NOT_FOUND : KV_OK;
    if (answer->word != KV_OK)
        return;
    answer->key = entry->key;
    answer->value = entry->value;
    answer->version = entry->version;
}

/* Why not: what was promised. */
static void tell_promise(const struct kv_node *node, struct mr_view key, struct kv_message *answer)
{
    const struct kv_entry *entry = kv_store_get(node->store, key);

    answer->word = KV_REFUSED;
    if (entry != NULL)
        answer->version = entry->promised;
}

static void prepare(struct kv_node *node, const struct kv_message *m, struct kv_message *answer)
{
    int error = kv_store_promise(node->store, m->key, &m->version);

    if (error == -ESTALE) {
        tell_promise(node, m->key, answer);
    } else {
        if (error == 0)
            tell_entry(kv_store_get(node->store, m->key), answer);
        answer->word = status_of(error);
    }
}

/* The majority that promised counted nodes which have died since: they may promise again. */
static bool counts_the_dead(const struct kv_node *node, const uint64_t lives[])
{
    for (uint32_t i = 0; i < node->config.count; i++) {
        if (lives[i] != 0 && lives[i] < node->lives[i])
            return true;
    }
    return false;
}

static void accept(struct kv_node *node, struct kv_peer *peer, const struct kv_message *m,
                   struct kv_message *answer)
{
    const struct kv_entry entry = {.key = m->key, .value = m->value, .version = m->version};
    uint64_t lives[KV_NODES_MAX];

    if (!kv_lives_decode(m->lives, lives, node->config.count)) {
        kv_peer_end(peer, KV_CODE_MALFORMED);
        return;
    }
    int error = counts_the_dead(node, lives) ? -ESTALE : kv_store_set(node->store, &entry);
    if (error == -ESTALE)
        tell_promise(node, m->key, answer);
    else
        answer->word = status_of(error);
}

/* Who is at the other end, and in which life?  It must not be an earlier one. */
static void hear_hello(struct kv_node *node, struct kv_peer *peer, const struct kv_message *m,
                       struct kv_message *answer)
{
    struct kv_peer_config *who = kv_peer_config(peer);
    uint64_t lives[KV_NODES_MAX];
    uint32_t id = m->version.node;

    if (id >= node->config.count || id == node->config.id || m->version.counter == 0 ||
        (who->number != KV_NOBODY && who->number != id) ||
        !kv_lives_decode(m->lives, lives, node->config.count)) {
        kv_peer_end(peer, KV_CODE_MALFORMED);
        return;
    }
    if (m->version.counter < node->lives[id]) {
        kv_peer_end(peer, KV_CODE_OLD_LIFE);
        return;
    }
    node->lives[id] = m->version.counter;
    node->links[id].is_ready = m->value.size > 0;
    who->number = id;
    who->life = m->version.counter;
    answer->word = node->is_ready ? KV_OK : KV_NOT_READY;
    answer->version = (struct kv_version){node->config.life, node->config.id};
}

static void answer_node(struct kv_node *node, struct kv_peer *peer, const struct kv_message *m)
{
    const struct kv_peer_config *who = kv_peer_config(peer);
    struct kv_message answer = {.word = KV_NOT_READY, .tag = m->tag};

    if (m->word == KV_HELLO) {
        hear_hello(node, peer, m, &answer);
    } else if (m->word != KV_PEEK && who->number == KV_NOBODY) {
        kv_peer_end(peer, KV_CODE_MALFORMED); /* a client does not speak like this */
    } else if (who->number != KV_NOBODY && who->life != node->lives[who->number]) {
        kv_peer_end(peer, KV_CODE_OLD_LIFE);
    } else if (m->word == KV_NEXT) {
        tell_entry(kv_store_next(node->store, m->key), &answer);
    } else if (node->is_ready && m->word == KV_PEEK) {
        tell_entry(kv_store_get(node->store, m->key), &answer);
    } else if (node->is_ready && m->word == KV_PREPARE) {
        prepare(node, m, &answer);
    } else if (node->is_ready && m->word == KV_ACCEPT) {
        accept(node, peer, m, &answer);
    }
    kv_peer_say(peer, &answer);
}

static void take_request(struct kv_peer *peer, const struct kv_message *m, uint64_t now)
{
    struct kv_node *node = kv_peer_config(peer)->owner;

    node->now = now;
    if (m->word == KV_GET || m->word == KV_PUT || m->word == KV_UPDATE)
        kv_round_begin(node, peer, m);
    else
        answer_node(node, peer, m);
}

static void forget_client(struct kv_peer *peer, uint64_t code)
{
    (void)code;
    kv_rounds_forget(kv_peer_config(peer)->owner, peer);
}

struct kv_peer *kv_node_accepted(struct kv_node *node, void *context)
{
    const struct kv_peer_config config = {.hears = &kv_request_schema,
                                          .says = &kv_answer_schema,
                                          .take = take_request,
                                          .left = forget_client,
                                          .owner = node,
                                          .number = KV_NOBODY,
                                          .context = context};

    return kv_peer_new(&config, node->speakers);
}

/* ------------------------------------------------------------------ links */

bool kv_link_is_up(const struct kv_link *link)
{
    uint64_t code;

    return link->peer != NULL && link->life != 0 && !kv_peer_is_ended(link->peer, &code);
}

static void greet(struct kv_node *node, struct kv_link *link)
{
    uint8_t bytes[8 * KV_NODES_MAX];
    const struct kv_message hello = {.word = KV_HELLO,
                                     .version = {node->config.life, node->config.id},
                                     .value = {(const uint8_t *)"!", node->is_ready},
                                     .lives =
                                         kv_lives_encode(node->lives, node->config.count, bytes)};

    link->again_at = node->now + GREET_NS;
    kv_peer_say(link->peer, &hello);
}

/* Ask for the next entry that it knows, if this node has not fetched them all. */
static void copy_on(struct kv_node *node, struct kv_link *link)
{
    const struct kv_message next = {
        .word = KV_NEXT, .tag = ++node->last_tag, .key = {link->copied, link->copied_size}};

    link->copy_tag = next.tag;
    kv_peer_say(link->peer, &next);
}

static void check_ready(struct kv_node *node)
{
    for (uint32_t i = 0; i < node->config.count; i++) {
        if (i != node->config.id && !node->links[i].is_copied)
            return;
    }
    node->is_ready = true;
    say(node, "ready, %u entries", kv_store_count(node->store));
    for (uint32_t i = 0; i < node->config.count; i++) {
        if (i != node->config.id && kv_link_is_up(&node->links[i]))
            greet(node, &node->links[i]);
    }
}

static void take_copy(struct kv_node *node, struct kv_link *link, const struct kv_message *m)
{
    const struct kv_entry entry = {.key = m->key, .value = m->value, .version = m->version};
    const struct mr_view copied = {link->copied, link->copied_size};

    link->copy_tag = 0;
    if (m->word == KV_NOT_FOUND) {
        link->is_copied = true;
        check_ready(node);
        return;
    }
    if (m->word != KV_OK || kv_compare(m->key, copied) <= 0) {
        kv_peer_end(link->peer, KV_CODE_MALFORMED);
        return;
    }
    int error = kv_store_set(node->store, &entry);
    if (error != 0 && error != -ESTALE) {
        say(node, "there is no room for what node %u knows", kv_peer_config(link->peer)->number);
        kv_peer_end(link->peer, KV_CODE_TOO_LARGE);
        return;
    }
    memcpy(link->copied, m->key.data, m->key.size);
    link->copied_size = m->key.size;
    copy_on(node, link);
}

static void hear_life(struct kv_node *node, struct kv_link *link, const struct kv_message *m)
{
    uint32_t id = kv_peer_config(link->peer)->number;

    if (m->version.node != id || m->version.counter < node->lives[id] || m->version.counter == 0) {
        kv_peer_end(link->peer, KV_CODE_OLD_LIFE);
        return;
    }
    if (link->life == 0)
        say(node, "node %u is reached", id);
    node->lives[id] = link->life = m->version.counter;
    link->is_ready = m->word == KV_OK;
    if (node->is_ready || link->is_copied || link->copy_tag != 0)
        return;
    if (link->copy_life != link->life)
        link->copied_size = 0; /* from the begin */
    link->copy_life = link->life;
    copy_on(node, link);
}

static void take_answer(struct kv_peer *peer, const struct kv_message *m, uint64_t now)
{
    struct kv_node *node = kv_peer_config(peer)->owner;
    uint32_t id = kv_peer_config(peer)->number;
    struct kv_link *link = &node->links[id];

    link->heard_at = node->now = now;
    if (m->key.size > KV_KEY_MAX || m->value.size > KV_VALUE_MAX)
        kv_peer_end(peer, KV_CODE_MALFORMED);
    else if (m->tag == 0)
        hear_life(node, link, m);
    else if (m->tag == link->copy_tag)
        take_copy(node, link, m);
    else
        kv_round_take(node, id, m);
}

static void lose_link(struct kv_peer *peer, uint64_t code)
{
    struct kv_node *node = kv_peer_config(peer)->owner;
    uint32_t id = kv_peer_config(peer)->number;
    struct kv_link *link = &node->links[id];

    (void)code;
    if (link->life != 0)
        say(node, "node %u is lost", id);
    link->peer = NULL;
    link->life = link->copy_tag = 0;
    link->is_ready = false;
    link->again_at = node->now + REACH_NS;
    kv_rounds_lose(node, id);
}

uint32_t kv_node_next_way(struct kv_node *node)
{
    for (uint32_t i = 0; i < node->config.count; i++) {
        struct kv_link *link = &node->links[i];
        if (i == node->config.id || link->peer != NULL || link->is_being_reached ||
            link->again_at > node->now)
            continue;
        link->is_being_reached = true;
        return i;
    }
    return KV_NOBODY;
}

struct kv_peer *kv_node_reached(struct kv_node *node, uint32_t id, void *context)
{
    const struct kv_peer_config config = {.hears = &kv_answer_schema,
                                          .says = &kv_request_schema,
                                          .take = take_answer,
                                          .left = lose_link,
                                          .owner = node,
                                          .number = id,
                                          .context = context};
    struct kv_link *link = &node->links[id];

    link->peer = kv_peer_new(&config, node->speakers);
    if (link->peer == NULL) {
        kv_node_failed(node, id);
        return NULL;
    }
    link->is_being_reached = false;
    link->heard_at = node->now;
    greet(node, link);
    return link->peer;
}

void kv_node_failed(struct kv_node *node, uint32_t id)
{
    node->links[id].is_being_reached = false;
    node->links[id].again_at = node->now + REACH_NS;
}

/* ------------------------------------------------------------------ time */

uint64_t kv_node_tick(struct kv_node *node, uint64_t now)
{
    node->now = now;
    uint64_t next = kv_rounds_tick(node);

    for (uint32_t i = 0; i < node->config.count; i++) {
        struct kv_link *link = &node->links[i];
        if (i == node->config.id || link->is_being_reached)
            continue;
        if (link->peer != NULL && now - link->heard_at >= SILENCE_NS)
            kv_peer_end(link->peer, KV_CODE_SILENT);
        else if (link->peer != NULL && now >= link->again_at)
            greet(node, link);
        if (link->again_at < next)
            next = link->again_at;
    }
    return next;
}
