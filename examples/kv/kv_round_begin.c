/* examples/kv/kv_round_begin.c - how a request begins: passed on, or read here; see kv_round.h. */
#include <stdlib.h>

#include "examples/kv/kv_round.h"

/* ------------------------------------------------------------------ READS */

void kv_round_judge_reads(struct kv_round *round)
{
    if (kv_count(round->same) >= kv_round_majority(round)) {
        if (round->latest.counter == 0)
            kv_round_finish(round, KV_NOT_FOUND);
        else if (round->request.word == KV_GET)
            kv_round_finish(round, KV_OK);
        else if (kv_compare(round->latest_value, round->request.old) != 0)
            kv_round_finish(round, KV_CONFLICT);
        else
            kv_round_take_turn(round);
    } else if (kv_count(round->agreed) >= kv_round_majority(round)) {
        kv_round_take_turn(round); /* they do not keep the same: it is written once more */
    } else if (kv_count(round->agreed) + kv_count(kv_round_open(round)) <
               kv_round_majority(round)) {
        kv_round_rest(round);
    }
}

static void read_all(struct kv_round *round)
{
    struct kv_message question = {.word = KV_PEEK};

    round->phase = KV_READS;
    kv_round_forget_answers(round);
    kv_round_ask(round, &question);
    kv_round_note_own(round);
    kv_round_judge_reads(round);
}

/* ------------------------------------------------------------------ beginning */

void kv_round_begin_here(struct kv_round *round)
{
    if (round->request.word == KV_PUT)
        kv_round_take_turn(round);
    else
        read_all(round);
}

/* The lowest node that is there, unless that is this one: true. */
static bool forward(struct kv_round *round)
{
    struct kv_node *node = round->node;
    struct kv_message question = round->request;

    for (uint32_t i = 0; i < node->config.id; i++) {
        if (!kv_link_is_up(&node->links[i]) || !node->links[i].is_ready)
            continue;
        question.tag = round->tag = ++node->last_tag;
        round->phase = KV_FORWARDED;
        round->forwarded_to = i;
        kv_peer_say(node->links[i].peer, &question);
        return true;
    }
    return false;
}

static uint32_t requests_of(const struct kv_node *node, const struct kv_peer *client)
{
    uint32_t requests = 0;

    for (const struct kv_round *r = node->rounds; r != NULL; r = r->next)
        requests += r->client == client;
    return requests;
}

/* What cannot even begin: its answer, KV_OK: it can. */
static uint8_t refusal(const struct kv_node *node, const struct kv_message *request)
{
    if (!kv_sizes_are_right(request->key, request->value) || request->old.size > KV_VALUE_MAX)
        return KV_TOO_LARGE;
    if (!node->is_ready)
        return KV_NOT_READY;
    return node->round_count == KV_ROUNDS_MAX ? KV_UNAVAILABLE : KV_OK;
}

void kv_round_begin(struct kv_node *node, struct kv_peer *client, const struct kv_message *request)
{
    struct kv_round **place = &node->rounds;
    bool is_of_node = kv_peer_config(client)->number != KV_NOBODY;
    uint8_t refused = refusal(node, request);

    if (!is_of_node && requests_of(node, client) == KV_REQUESTS_MAX) {
        kv_peer_end(client, KV_CODE_GREEDY);
        return;
    }
    struct kv_round *round = refused != KV_OK ? NULL : calloc(1, sizeof(*round));
    if (round == NULL) {
        kv_round_say(client, request->tag, refused != KV_OK ? refused : KV_UNAVAILABLE,
                     (struct mr_view){0}, (struct kv_version){0});
        return;
    }
    round->node = node;
    round->client = client;
    round->request = *request;
    round->request.key = kv_copy(round->key, request->key);
    round->request.value = kv_copy(round->value, request->value);
    round->request.old = kv_copy(round->old, request->old);
    round->request.lives = (struct mr_view){0};
    round->request.version = (struct kv_version){0};
    round->deadline = node->now + node->config.timeout_ns;
    while (*place != NULL)
        place = &(*place)->next;
    *place = round;
    node->round_count++;
    if (is_of_node || !forward(round))
        kv_round_begin_here(round);
}
