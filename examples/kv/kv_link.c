/* examples/kv/kv_link.c - the ways to other nodes: who is there, and in which life; see kv_node.h.
 */
#include <stdlib.h>

#include "examples/kv/kv_node_internal.h"

#define GREET_NS   (1000 * MS)
#define SILENCE_NS (4000 * MS)
#define REACH_NS   (100 * MS) /* between two tries */

bool kv_link_is_up(const struct kv_link *link)
{
    uint64_t code;

    return link->peer != NULL && link->life != 0 && !kv_peer_is_ended(link->peer, &code);
}

void kv_link_greet(struct kv_node *node, struct kv_link *link)
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

/* ------------------------------------------------------------------ what it answers */

static void hear_life(struct kv_node *node, struct kv_link *link, const struct kv_message *m)
{
    uint32_t id = kv_peer_config(link->peer)->number;

    if (m->version.node != id || m->version.counter < node->lives[id] || m->version.counter == 0) {
        kv_peer_end(link->peer, KV_CODE_OLD_LIFE);
        return;
    }
    if (link->life == 0)
        kv_node_say(node, "node %u is reached", id);
    node->lives[id] = link->life = m->version.counter;
    link->is_ready = m->word == KV_OK;
    if (node->is_ready || link->is_copied || link->copy_tag != 0)
        return;
    if (link->copy_life != link->life)
        link->copied_size = 0; /* from the begin */
    link->copy_life = link->life;
    kv_link_copy(node, link);
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
        kv_link_take_copy(node, link, m);
    else
        kv_round_take(node, id, m);
}

/* ------------------------------------------------------------------ from its begin to its end */

static void lose_link(struct kv_peer *peer, uint64_t code)
{
    struct kv_node *node = kv_peer_config(peer)->owner;
    uint32_t id = kv_peer_config(peer)->number;
    struct kv_link *link = &node->links[id];

    (void)code;
    if (link->life != 0)
        kv_node_say(node, "node %u is lost", id);
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
    kv_link_greet(node, link);
    return link->peer;
}

void kv_node_failed(struct kv_node *node, uint32_t id)
{
    node->links[id].is_being_reached = false;
    node->links[id].again_at = node->now + REACH_NS;
}

/* ------------------------------------------------------------------ time */

uint64_t kv_links_tick(struct kv_node *node)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t i = 0; i < node->config.count; i++) {
        struct kv_link *link = &node->links[i];
        if (i == node->config.id || link->is_being_reached)
            continue;
        if (link->peer != NULL && node->now - link->heard_at >= SILENCE_NS)
            kv_peer_end(link->peer, KV_CODE_SILENT);
        else if (link->peer != NULL && node->now >= link->again_at)
            kv_link_greet(node, link);
        if (link->again_at < next)
            next = link->again_at;
    }
    return next;
}
