/* examples/kv/kv_node.c - see kv_node.h. */
#include <stdio.h>
#include <stdlib.h>

#include "examples/kv/kv_node_internal.h"

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

void kv_node_say(const struct kv_node *node, const char *format, uint32_t number)
{
    char line[80];

    if (node->config.say == NULL)
        return;
    snprintf(line, sizeof(line), format, number);
    node->config.say(line);
}

uint64_t kv_node_tick(struct kv_node *node, uint64_t now)
{
    node->now = now;
    uint64_t of_rounds = kv_rounds_tick(node);
    uint64_t of_links = kv_links_tick(node);

    return of_links < of_rounds ? of_links : of_rounds;
}
