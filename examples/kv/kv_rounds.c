/* examples/kv/kv_rounds.c - what happens to requests under way: answers, losses, time; see
 * kv_round.h. */
#include <stdlib.h>

#include "examples/kv/kv_round.h"

/* ------------------------------------------------------------------ answers */

static void take_forwarded(struct kv_round *round, const struct kv_message *answer)
{
    if (answer->word == KV_NOT_READY) {
        kv_round_begin_here(round);
        return;
    }
    round->latest = answer->version;
    round->latest_value = kv_copy(round->latest_bytes, answer->value);
    kv_round_finish(round, answer->word);
}

static void judge(struct kv_round *round)
{
    if (round->phase == KV_READS)
        kv_round_judge_reads(round);
    else if (round->phase == KV_PREPARES)
        kv_round_judge_prepares(round);
    else if (round->phase == KV_ACCEPTS)
        kv_round_judge_accepts(round);
}

void kv_round_take(struct kv_node *node, uint32_t id, const struct kv_message *answer)
{
    struct kv_round *round = node->rounds;
    bool keeps = answer->word == KV_OK || answer->word == KV_NOT_FOUND;

    while (round != NULL && round->tag != answer->tag)
        round = round->next;
    if (round == NULL)
        return; /* it went on without this answer */
    if (round->phase == KV_FORWARDED) {
        if (round->forwarded_to == id)
            take_forwarded(round, answer);
        return;
    }
    if ((kv_round_open(round) & kv_bit_of(id)) == 0)
        return;
    if (keeps && round->phase == KV_ACCEPTS) {
        round->agreed |= kv_bit_of(id);
    } else if (keeps) {
        round->lives[id] = node->links[id].life;
        kv_round_note(round, id, &answer->version, answer->value);
    } else {
        round->refused |= kv_bit_of(id);
        round->is_full |= answer->word == KV_FULL;
        if (kv_is_later(&answer->version, &round->seen))
            round->seen = answer->version;
    }
    judge(round);
}

/* ------------------------------------------------------------------ who is gone */

/* True: it has ended, or may have. */
static bool lose(struct kv_round *round, uint32_t id)
{
    if (round->phase == KV_FORWARDED && round->forwarded_to == id) {
        if (round->request.word == KV_GET)
            kv_round_begin_here(round);
        else
            kv_round_finish(round, KV_UNKNOWN);
        return true;
    }
    if ((round->phase != KV_READS && round->phase != KV_PREPARES && round->phase != KV_ACCEPTS) ||
        (kv_round_open(round) & kv_bit_of(id)) == 0)
        return false;
    round->lost |= kv_bit_of(id);
    judge(round);
    return true;
}

void kv_rounds_lose(struct kv_node *node, uint32_t id)
{
    struct kv_round *round = node->rounds;

    while (round != NULL)
        round = lose(round, id) ? node->rounds : round->next;
}

void kv_rounds_forget(struct kv_node *node, const struct kv_peer *client)
{
    for (struct kv_round *r = node->rounds; r != NULL; r = r->next) {
        if (r->client == client)
            r->client = NULL;
    }
}

/* ------------------------------------------------------------------ time */

static bool wake(struct kv_round *round)
{
    uint64_t now = round->node->now;

    if (now >= round->deadline) {
        kv_round_finish(round, kv_round_failure(round));
    } else if (round->phase == KV_RESTS && now >= round->wake_at) {
        if (round->has_turn)
            kv_round_prepare(round);
        else
            kv_round_begin_here(round);
    } else {
        return false;
    }
    return true;
}

uint64_t kv_rounds_tick(struct kv_node *node)
{
    struct kv_round *round = node->rounds;
    uint64_t next = UINT64_MAX;

    while (round != NULL)
        round = wake(round) ? node->rounds : round->next;
    for (round = node->rounds; round != NULL; round = round->next) {
        uint64_t due = round->phase == KV_RESTS && round->wake_at < round->deadline
                           ? round->wake_at
                           : round->deadline;
        next = due < next ? due : next;
    }
    return next;
}

void kv_rounds_free(struct kv_node *node)
{
    for (struct kv_round *r = node->rounds, *next; r != NULL; r = next) {
        next = r->next;
        free(r);
    }
    node->rounds = NULL;
    node->round_count = 0;
}
