/* examples/kv/kv_round.c - what every stage of a request does: ask, note, rest, end; see
 * kv_round.h. */
#include <stdlib.h>

#include "examples/kv/kv_round.h"

/* ------------------------------------------------------------------ asking */

void kv_round_ask(struct kv_round *round, struct kv_message *question)
{
    struct kv_node *node = round->node;

    question->key = round->request.key;
    question->tag = round->tag = ++node->last_tag;
    round->asked = round->agreed = round->refused = round->lost = 0;
    for (uint32_t i = 0; i < node->config.count; i++) {
        if (i == node->config.id || !kv_link_is_up(&node->links[i]))
            continue;
        kv_peer_say(node->links[i].peer, question);
        round->asked |= kv_bit_of(i);
    }
}

void kv_round_note(struct kv_round *round, uint32_t id, const struct kv_version *version,
                   struct mr_view value)
{
    round->agreed |= kv_bit_of(id);
    if (kv_is_later(version, &round->latest)) {
        round->latest = *version;
        round->latest_value = kv_copy(round->latest_bytes, value);
        round->same = 0;
    }
    if (!kv_is_later(&round->latest, version))
        round->same |= kv_bit_of(id);
}

void kv_round_note_own(struct kv_round *round)
{
    const struct kv_entry *entry = kv_store_get(round->node->store, round->request.key);
    const struct kv_entry none = {0};

    entry = entry == NULL ? &none : entry;
    kv_round_note(round, round->node->config.id, &entry->version, entry->value);
}

void kv_round_forget_answers(struct kv_round *round)
{
    round->latest = (struct kv_version){0};
    round->latest_value = (struct mr_view){round->latest_bytes, 0};
    round->same = 0;
}

/* ------------------------------------------------------------------ the end */

void kv_round_say(struct kv_peer *client, uint64_t tag, uint8_t status, struct mr_view value,
                  struct kv_version version)
{
    const struct kv_message answer = {
        .word = status, .tag = tag, .value = value, .version = version};

    kv_peer_say(client, &answer);
}

/* The oldest that waits for its turn at the key. */
static void wake_next(struct kv_node *node, struct mr_view key)
{
    for (struct kv_round *r = node->rounds; r != NULL; r = r->next) {
        if (r->phase == KV_WAITS && kv_compare(r->request.key, key) == 0) {
            r->has_turn = true;
            kv_round_prepare(r);
            return;
        }
    }
}

void kv_round_finish(struct kv_round *round, uint8_t status)
{
    struct kv_node *node = round->node;
    struct kv_round **place = &node->rounds;
    bool tells = round->latest.counter != 0 && (status == KV_CONFLICT || status == KV_OK);
    bool had_turn = round->has_turn;

    if (round->client != NULL)
        kv_round_say(round->client, round->request.tag, status,
                     tells && round->request.word != KV_PUT ? round->latest_value
                                                            : (struct mr_view){0},
                     round->latest);
    while (*place != round)
        place = &(*place)->next;
    *place = round->next;
    node->round_count--;
    if (had_turn)
        wake_next(node, round->request.key);
    free(round);
}

void kv_round_rest(struct kv_round *round)
{
    struct kv_node *node = round->node;
    uint64_t most = MS << (round->tries < 5 ? round->tries : 5);

    round->tries++;
    node->chance = node->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    round->wake_at = node->now + most / 2 + (node->chance >> 33) % most;
    round->phase = KV_RESTS;
}

uint8_t kv_round_failure(const struct kv_round *round)
{
    bool may_be_written = round->doubt.counter != 0 ||
                          (round->phase == KV_FORWARDED && round->request.word != KV_GET);

    return may_be_written ? KV_UNKNOWN : KV_UNAVAILABLE;
}
