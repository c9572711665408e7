/*
 * examples/kv/kv_round.h - a request under way, in stages; see kv_node.h.
 *
 *     begin --> FORWARDED --(that node is gone, or not ready)--> as if it had begun here
 *     GET, UPDATE --> READS --(a majority keeps the same)--> answer
 *                       | it does not, or the update is to be made
 *     PUT --> WAITS --(its turn)--> PREPARES --(a majority promised)--> ACCEPTS --> answer
 *                                       ^  | refused                     | refused
 *                                       +- RESTS <-----------------------+
 *
 * A round asks all nodes at once, answers itself, and goes on when enough have answered.  Rounds of
 * one key that write take their turns; rounds of other nodes may still get in between: that is what
 * promises are for.
 *
 *     kv_round_begin.c   FORWARDED, READS: how a round begins
 *     kv_round_write.c   WAITS, PREPARES, ACCEPTS: how a value comes to be kept
 *     kv_round.c         what every stage does: ask, count who keeps what, rest, end
 *     kv_rounds.c        what happens to all of them: answers, losses, time
 *
 * A function that may end its round says so: the pointer is void then.
 */
#ifndef KV_ROUND_H
#define KV_ROUND_H

#include <string.h>

#include "examples/kv/kv_node_internal.h"

enum kv_phase {
    KV_FORWARDED,
    KV_READS,
    KV_WAITS,
    KV_PREPARES,
    KV_ACCEPTS,
    KV_RESTS
};

struct kv_round {
    struct kv_round *next; /* older ones are in front */
    struct kv_node *node;
    struct kv_peer *client; /* NULL: gone */
    struct kv_message request;
    enum kv_phase phase;
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

static inline uint32_t kv_count(uint32_t bits)
{
    return (uint32_t)__builtin_popcount(bits);
}

static inline uint32_t kv_round_majority(const struct kv_round *round)
{
    return round->node->config.count / 2 + 1;
}

static inline uint32_t kv_bit_of(uint32_t id)
{
    return UINT32_C(1) << id;
}

/* Who has not answered yet. */
static inline uint32_t kv_round_open(const struct kv_round *round)
{
    return round->asked & ~(round->agreed | round->refused | round->lost);
}

static inline struct mr_view kv_copy(uint8_t *to, struct mr_view from)
{
    if (from.size > 0)
        memcpy(to, from.data, from.size);
    return (struct mr_view){to, from.size};
}

/* ------------------------------------------------------------------ kv_round.c */

/* Ask all other nodes that can be asked; whoever was asked before need not answer any more. */
void kv_round_ask(struct kv_round *round, struct kv_message *question);

/* No node has told what it keeps. */
void kv_round_forget_answers(struct kv_round *round);

/* A node keeps this; and what this node keeps. */
void kv_round_note(struct kv_round *round, uint32_t id, const struct kv_version *version,
                   struct mr_view value);
void kv_round_note_own(struct kv_round *round);

/* Try again, a little later; nodes that get into each other's way rest for different times. */
void kv_round_rest(struct kv_round *round);

/* Answer the client, and end the round: whoever waits for its turn at the key gets it. */
void kv_round_finish(struct kv_round *round, uint8_t status);

/* The answer when its time is over: it was not written, or may have been. */
uint8_t kv_round_failure(const struct kv_round *round);

/* Answer a client. */
void kv_round_say(struct kv_peer *client, uint64_t tag, uint8_t status, struct mr_view value,
                  struct kv_version version);

/* ------------------------------------------------------------------ kv_round_begin.c */

/* READS, or what else is first.  It may end. */
void kv_round_begin_here(struct kv_round *round);

/* ------------------------------------------------------------------ kv_round_write.c */

/* WAITS, or PREPARES at once: one round of a key writes at a time.  It may end. */
void kv_round_take_turn(struct kv_round *round);

/* PREPARES, once more after a rest.  It may end. */
void kv_round_prepare(struct kv_round *round);

/* ------------------------------------------------------------------ of each stage */

/* Have enough answered to go on, or too many refused?  It may end. */
void kv_round_judge_reads(struct kv_round *round);
void kv_round_judge_prepares(struct kv_round *round);
void kv_round_judge_accepts(struct kv_round *round);

#endif /* KV_ROUND_H */
