/* examples/kv/kv_round_write.c - how a value comes to be kept by a majority: two questions to all
 * nodes, by one round of a key at a time; see kv_round.h. */
#include <errno.h>

#include "examples/kv/kv_round.h"

/* ------------------------------------------------------------------ ACCEPTS */

static bool is_same(const struct kv_version *a, const struct kv_version *b)
{
    return a->counter == b->counter && a->node == b->node;
}

/* No majority will keep it.  If all have said no, nobody does. */
static void give_up_ballot(struct kv_round *round)
{
    if (round->refused == round->asked && is_same(&round->doubt, &round->ballot))
        round->doubt = (struct kv_version){0};
    kv_round_rest(round);
}

void kv_round_judge_accepts(struct kv_round *round)
{
    struct kv_node *node = round->node;
    uint32_t self = kv_bit_of(node->config.id);
    const struct kv_entry entry = {round->request.key, round->latest_value, round->ballot, {0}};

    /* This node is the last to keep it: it can still say no when others have. */
    if (kv_count(round->agreed) == kv_round_majority(round) - 1 && (round->agreed & self) == 0 &&
        kv_store_set(node->store, &entry) == 0)
        round->agreed |= self;
    if (kv_count(round->agreed) >= kv_round_majority(round))
        kv_round_finish(round, round->outcome);
    else if (kv_count(round->agreed) + kv_count(kv_round_open(round)) + 1 <
                 kv_round_majority(round) ||
             (kv_count(round->agreed) == kv_round_majority(round) - 1 && kv_round_open(round) == 0))
        give_up_ballot(round);
}

static void let_accept(struct kv_round *round, uint8_t outcome)
{
    uint8_t bytes[8 * KV_NODES_MAX];
    struct kv_message question = {.word = KV_ACCEPT, .value = round->latest_value};

    question.version = round->latest = round->ballot;
    question.lives = kv_lives_encode(round->lives, round->node->config.count, bytes);
    round->phase = KV_ACCEPTS;
    round->outcome = outcome;
    kv_round_ask(round, &question);
    kv_round_judge_accepts(round);
}

/* A majority has promised: what is to be kept? */
static void decide(struct kv_round *round)
{
    bool is_there = round->latest.counter != 0;
    bool is_own = round->doubt.counter != 0 && round->latest.node == round->node->config.id &&
                  !kv_is_later(&round->doubt, &round->latest) &&
                  !kv_is_later(&round->latest, &round->doubt_last);
    enum kv_status outcome = KV_OK;

    if (!is_own && round->request.word == KV_UPDATE && is_there &&
        kv_compare(round->latest_value, round->request.old) != 0)
        outcome = KV_CONFLICT;
    if (round->doubt.counter != 0 && !is_own &&
        (outcome == KV_CONFLICT || kv_is_later(&round->latest, &round->doubt))) {
        kv_round_finish(round, KV_UNKNOWN); /* others have written since, before or after it */
        return;
    }
    if (!is_there && round->request.word != KV_PUT) {
        kv_round_finish(round, KV_NOT_FOUND);
        return;
    }
    if (outcome == KV_OK && round->request.word != KV_GET) {
        round->latest_value = kv_copy(round->latest_bytes, round->request.value);
        round->doubt = round->doubt.counter == 0 ? round->ballot : round->doubt;
        round->doubt_last = round->ballot;
    } /* else what is there is kept once more, by a majority now */
    let_accept(round, (uint8_t)outcome);
}

/* ------------------------------------------------------------------ PREPARES */

void kv_round_judge_prepares(struct kv_round *round)
{
    if (kv_count(round->agreed) >= kv_round_majority(round))
        decide(round);
    else if (kv_count(round->agreed) + kv_count(kv_round_open(round)) >= kv_round_majority(round))
        return;
    else if (round->is_full)
        kv_round_finish(round, KV_FULL);
    else
        kv_round_rest(round);
}

void kv_round_prepare(struct kv_round *round)
{
    struct kv_node *node = round->node;
    const struct kv_entry *entry = kv_store_get(node->store, round->request.key);
    struct kv_message question = {.word = KV_PREPARE};

    if (entry != NULL && kv_is_later(&entry->promised, &round->seen))
        round->seen = entry->promised;
    round->phase = KV_PREPARES;
    round->ballot = question.version =
        (struct kv_version){round->seen.counter + 1, node->config.id};
    int error = kv_store_promise(node->store, round->request.key, &round->ballot);
    if (error == -ENOSPC || error == -ENOMEM) {
        kv_round_finish(round, KV_FULL);
        return;
    }
    memset(round->lives, 0, sizeof(round->lives));
    round->lives[node->config.id] = node->config.life;
    kv_round_forget_answers(round);
    kv_round_ask(round, &question);
    kv_round_note_own(round);
    kv_round_judge_prepares(round);
}

/* One round of a key writes at a time. */
void kv_round_take_turn(struct kv_round *round)
{
    for (const struct kv_round *r = round->node->rounds; r != NULL; r = r->next) {
        if (r->has_turn && kv_compare(r->request.key, round->request.key) == 0) {
            round->phase = KV_WAITS;
            return;
        }
    }
    round->has_turn = true;
    kv_round_prepare(round);
}
