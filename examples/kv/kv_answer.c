/* examples/kv/kv_answer.c - what a node answers: to other nodes at once, to clients by a round; see
 * kv_node.h. */
#include <errno.h>

#include "examples/kv/kv_node_internal.h"

/* ------------------------------------------------------------------ what it keeps */

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

/* ------------------------------------------------------------------ requests */

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
