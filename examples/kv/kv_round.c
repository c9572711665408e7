/*
 * examples/kv/kv_round.c - requests under way; see kv_node.h.
 *
 *     begin --> FORWARDED --(that node is gone, or not ready)--> as if it had begun here
 *     GET, UPDATE --> READS --(a majority keeps the same)--> answer
 *                       | it does not, or the update is to be made
 *     PUT ------------> WAITS --(its turn)--> PREPARES --(a majority promised)--> ACCEPTS -->
 * answer ^  | refused                     | refused
 *                                               +- RESTS <-----------------------+
 *
 * A round asks all nodes at once, answers itself, and goes on when enough have answered.  Rounds of
 * one key that write take their turns; rounds of other nodes may still get in between: that is what
 * promises are for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "examples/kv/kv_node_internal.h"

enum phase {
    FORWARDED,
    READS,
    WAITS,
    PREPARES,
    ACCEPTS,
    RESTS
};

struct kv_round {
    struct kv_round *next; /* older ones are in front */
    struct kv_node *node;
    struct kv_peer *client; /* NULL: gone */
    struct kv_message request;
    enum phase phase;
    uint64_t tag;      /* of what was asked last */
    uint64_t deadline; /* then it fails */
    uint64_t wake_at;  /* RESTS */
    uint32_t tries;
    uint32_t forwarded_to;
    /* Bits of nodes. */
    uint32_t asked, agreed, refused, lost;
    uint32_t same; /* READS: that keep `latest` */
    struct kv_version ballot;
    struct kv_version seen;   /* the latest that anybody was promised */
    struct kv_version latest; /* that a node of those asked keeps */
    struct mr_view latest_value;
    /* From the first of these versions to the last its own value was proposed: some may keep it,
     * but it is not known that a majority does.  Counter 0: nobody can keep it. */
    struct kv_version doubt, doubt_last;
    uint64_t lives[KV_NODES_MAX]; /* of those whose promise counts */
    uint8_t outcome;              /* when a majority keeps it */
    bool has_turn;
    bool is_full; /* a node has no room for the key */
    uint8_t key[KV_KEY_MAX];
    uint8_t value[KV_VALUE_MAX];
    uint8_t old[KV_VALUE_MAX];
    uint8_t latest_bytes[KV_VALUE_MAX];
};

static void prepare(struct kv_round *round);

static uint32_t count(uint32_t bits)
{
    return (uint32_t)__builtin_popcount(bits);
}

static uint32_t majority(const struct kv_round *round)
{
    return round->node->config.count / 2 + 1;
}

static uint32_t bit_of(uint32_t id)
{
    return UINT32_C(1) << id;
}

/* Who has not answered yet. */
static uint32_t open_bits(const struct kv_round *round)
{
    return round->asked & ~(round->agreed | round->refused | round->lost);
}

static struct mr_view copy(uint8_t *to, struct mr_view from)
{
    if (from.size > 0)
        memcpy(to, from.data, from.size);
    return (struct mr_view){to, from.size};
}

/* ------------------------------------------------------------------ the end */

static void say(struct kv_peer *client, uint64_t tag, uint8_t status, struct mr_view value,
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
        if (r->phase == WAITS && kv_compare(r->request.key, key) == 0) {
            r->has_turn = true;
            prepare(r);
            return;
        }
    }
}

static void finish(struct kv_round *round, uint8_t status)
{
    struct kv_node *node = round->node;
    struct kv_round **place = &node->rounds;
    bool tells = round->latest.counter != 0 && (status == KV_CONFLICT || status == KV_OK);
    bool had_turn = round->has_turn;

    if (round->client != NULL)
        say(round->client, round->request.tag, status,
            tells && round->request.word != KV_PUT ? round->latest_value : (struct mr_view){0},
            round->latest);
    while (*place != round)
        place = &(*place)->next;
    *place = round->next;
    node->round_count--;
    if (had_turn)
        wake_next(node, round->request.key);
    free(round);
}

/* Try again, a little later; nodes that get into each other's way rest for different times. */
static void rest(struct kv_round *round)
{
    struct kv_node *node = round->node;
    uint64_t most = MS << (round->tries < 5 ? round->tries : 5);

    round->tries++;
    node->chance = node->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    round->wake_at = node->now + most / 2 + (node->chance >> 33) % most;
    round->phase = RESTS;
}

static uint8_t failure(const struct kv_round *round)
{
    bool may_be_written =
        round->doubt.counter != 0 || (round->phase == FORWARDED && round->request.word != KV_GET);

    return may_be_written ? KV_UNKNOWN : KV_UNAVAILABLE;
}

/* ------------------------------------------------------------------ asking */

static void ask_all(struct kv_round *round, struct kv_message *question)
{
    struct kv_node *node = round->node;

    question->key = round->request.key;
    question->tag = round->tag = ++node->last_tag;
    round->asked = round->agreed = round->refused = round->lost = 0;
    for (uint32_t i = 0; i < node->config.count; i++) {
        if (i == node->config.id || !kv_link_is_up(&node->links[i]))
            continue;
        kv_peer_say(node->links[i].peer, question);
        round->asked |= bit_of(i);
    }
}

/* A node keeps this. */
static void note_kept(struct kv_round *round, uint32_t id, const struct kv_version *version,
                      struct mr_view value)
{
    round->agreed |= bit_of(id);
    if (kv_is_later(version, &round->latest)) {
        round->latest = *version;
        round->latest_value = copy(round->latest_bytes, value);
        round->same = 0;
    }
    if (!kv_is_later(&round->latest, version))
        round->same |= bit_of(id);
}

static void note_own(struct kv_round *round)
{
    const struct kv_entry *entry = kv_store_get(round->node->store, round->request.key);
    const struct kv_entry none = {0};

    entry = entry == NULL ? &none : entry;
    note_kept(round, round->node->config.id, &entry->version, entry->value);
}

static void forget_answers(struct kv_round *round)
{
    round->latest = (struct kv_version){0};
    round->latest_value = (struct mr_view){round->latest_bytes, 0};
    round->same = 0;
}

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
    rest(round);
}

static void judge_accepts(struct kv_round *round)
{
    struct kv_node *node = round->node;
    uint32_t self = bit_of(node->config.id);
    const struct kv_entry entry = {round->request.key, round->latest_value, round->ballot, {0}};

    /* This node is the last to keep it: it can still say no when others have. */
    if (count(round->agreed) == majority(round) - 1 && (round->agreed & self) == 0 &&
        kv_store_set(node->store, &entry) == 0)
        round->agreed |= self;
    if (count(round->agreed) >= majority(round))
        finish(round, round->outcome);
    else if (count(round->agreed) + count(open_bits(round)) + 1 < majority(round) ||
             (count(round->agreed) == majority(round) - 1 && open_bits(round) == 0))
        give_up_ballot(round);
}

static void let_accept(struct kv_round *round, uint8_t outcome)
{
    uint8_t bytes[8 * KV_NODES_MAX];
    struct kv_message question = {.word = KV_ACCEPT, .value = round->latest_value};

    question.version = round->latest = round->ballot;
    question.lives = kv_lives_encode(round->lives, round->node->config.count, bytes);
    round->phase = ACCEPTS;
    round->outcome = outcome;
    ask_all(round, &question);
    judge_accepts(round);
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
        finish(round, KV_UNKNOWN); /* others have written since, before or after it */
        return;
    }
    if (!is_there && round->request.word != KV_PUT) {
        finish(round, KV_NOT_FOUND);
        return;
    }
    if (outcome == KV_OK && round->request.word != KV_GET) {
        round->latest_value = copy(round->latest_bytes, round->request.value);
        round->doubt = round->doubt.counter == 0 ? round->ballot : round->doubt;
        round->doubt_last = round->ballot;
    } /* else what is there is kept once more, by a majority now */
    let_accept(round, (uint8_t)outcome);
}

/* ------------------------------------------------------------------ PREPARES */

static void judge_prepares(struct kv_round *round)
{
    if (count(round->agreed) >= majority(round))
        decide(round);
    else if (count(round->agreed) + count(open_bits(round)) >= majority(round))
        return;
    else if (round->is_full)
        finish(round, KV_FULL);
    else
        rest(round);
}

static void prepare(struct kv_round *round)
{
    struct kv_node *node = round->node;
    const struct kv_entry *entry = kv_store_get(node->store, round->request.key);
    struct kv_message question = {.word = KV_PREPARE};

    if (entry != NULL && kv_is_later(&entry->promised, &round->seen))
        round->seen = entry->promised;
    round->phase = PREPARES;
    round->ballot = question.version =
        (struct kv_version){round->seen.counter + 1, node->config.id};
    int error = kv_store_promise(node->store, round->request.key, &round->ballot);
    if (error == -ENOSPC || error == -ENOMEM) {
        finish(round, KV_FULL);
        return;
    }
    memset(round->lives, 0, sizeof(round->lives));
    round->lives[node->config.id] = node->config.life;
    forget_answers(round);
    ask_all(round, &question);
    note_own(round);
    judge_prepares(round);
}

/* One round of a key writes at a time. */
static void take_turn(struct kv_round *round)
{
    for (const struct kv_round *r = round->node->rounds; r != NULL; r = r->next) {
        if (r->has_turn && kv_compare(r->request.key, round->request.key) == 0) {
            round->phase = WAITS;
            return;
        }
    }
    round->has_turn = true;
    prepare(round);
}

/* ------------------------------------------------------------------ READS */

static void judge_reads(struct kv_round *round)
{
    if (count(round->same) >= majority(round)) {
        if (round->latest.counter == 0)
            finish(round, KV_NOT_FOUND);
        else if (round->request.word == KV_GET)
            finish(round, KV_OK);
        else if (kv_compare(round->latest_value, round->request.old) != 0)
            finish(round, KV_CONFLICT);
        else
            take_turn(round);
    } else if (count(round->agreed) >= majority(round)) {
        take_turn(round); /* they do not keep the same: it is written once more */
    } else if (count(round->agreed) + count(open_bits(round)) < majority(round)) {
        rest(round);
    }
}

static void read_all(struct kv_round *round)
{
    struct kv_message question = {.word = KV_PEEK};

    round->phase = READS;
    forget_answers(round);
    ask_all(round, &question);
    note_own(round);
    judge_reads(round);
}

/* ------------------------------------------------------------------ beginning */

static void begin_here(struct kv_round *round)
{
    if (round->request.word == KV_PUT)
        take_turn(round);
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
        round->phase = FORWARDED;
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
        say(client, request->tag, refused != KV_OK ? refused : KV_UNAVAILABLE, (struct mr_view){0},
            (struct kv_version){0});
        return;
    }
    round->node = node;
    round->client = client;
    round->request = *request;
    round->request.key = copy(round->key, request->key);
    round->request.value = copy(round->value, request->value);
    round->request.old = copy(round->old, request->old);
    round->request.lives = (struct mr_view){0};
    round->request.version = (struct kv_version){0};
    round->deadline = node->now + node->config.timeout_ns;
    while (*place != NULL)
        place = &(*place)->next;
    *place = round;
    node->round_count++;
    if (is_of_node || !forward(round))
        begin_here(round);
}

/* ------------------------------------------------------------------ what happens to it */

static void take_forwarded(struct kv_round *round, const struct kv_message *answer)
{
    if (answer->word == KV_NOT_READY) {
        begin_here(round);
        return;
    }
    round->latest = answer->version;
    round->latest_value = copy(round->latest_bytes, answer->value);
    finish(round, answer->word);
}

static void judge(struct kv_round *round)
{
    if (round->phase == READS)
        judge_reads(round);
    else if (round->phase == PREPARES)
        judge_prepares(round);
    else if (round->phase == ACCEPTS)
        judge_accepts(round);
}

void kv_round_take(struct kv_node *node, uint32_t id, const struct kv_message *answer)
{
    struct kv_round *round = node->rounds;
    bool keeps = answer->word == KV_OK || answer->word == KV_NOT_FOUND;

    while (round != NULL && round->tag != answer->tag)
        round = round->next;
    if (round == NULL)
        return; /* it went on without this answer */
    if (round->phase == FORWARDED) {
        if (round->forwarded_to == id)
            take_forwarded(round, answer);
        return;
    }
    if ((open_bits(round) & bit_of(id)) == 0)
        return;
    if (keeps && round->phase == ACCEPTS) {
        round->agreed |= bit_of(id);
    } else if (keeps) {
        round->lives[id] = node->links[id].life;
        note_kept(round, id, &answer->version, answer->value);
    } else {
        round->refused |= bit_of(id);
        round->is_full |= answer->word == KV_FULL;
        if (kv_is_later(&answer->version, &round->seen))
            round->seen = answer->version;
    }
    judge(round);
}

/* True: it has ended, or may have. */
static bool lose(struct kv_round *round, uint32_t id)
{
    if (round->phase == FORWARDED && round->forwarded_to == id) {
        if (round->request.word == KV_GET)
            begin_here(round);
        else
            finish(round, KV_UNKNOWN);
        return true;
    }
    if ((round->phase != READS && round->phase != PREPARES && round->phase != ACCEPTS) ||
        (open_bits(round) & bit_of(id)) == 0)
        return false;
    round->lost |= bit_of(id);
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

static bool wake(struct kv_round *round)
{
    uint64_t now = round->node->now;

    if (now >= round->deadline) {
        finish(round, failure(round));
    } else if (round->phase == RESTS && now >= round->wake_at) {
        if (round->has_turn)
            prepare(round);
        else
            begin_here(round);
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
        uint64_t due = round->phase == RESTS && round->wake_at < round->deadline ? round->wake_at
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
