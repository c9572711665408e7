/* examples/kv/kv_copy.c - a node that returns fetches what the others know, entry by entry, before
 * it promises anything; see kv_node.h. */
#include <errno.h>
#include <string.h>

#include "examples/kv/kv_node_internal.h"

void kv_link_copy(struct kv_node *node, struct kv_link *link)
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
    kv_node_say(node, "ready, %u entries", kv_store_count(node->store));
    for (uint32_t i = 0; i < node->config.count; i++) {
        if (i != node->config.id && kv_link_is_up(&node->links[i]))
            kv_link_greet(node, &node->links[i]);
    }
}

void kv_link_take_copy(struct kv_node *node, struct kv_link *link, const struct kv_message *m)
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
        kv_node_say(node, "there is no room for what node %u knows",
                    kv_peer_config(link->peer)->number);
        kv_peer_end(link->peer, KV_CODE_TOO_LARGE);
        return;
    }
    memcpy(link->copied, m->key.data, m->key.size);
    link->copied_size = m->key.size;
    kv_link_copy(node, link);
}
