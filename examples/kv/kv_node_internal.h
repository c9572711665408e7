/*
 * examples/kv/kv_node_internal.h - what a node is made of.
 *
 *     kv_node.c      the node itself
 *     kv_link.c      its ways to the other nodes, and kv_copy.c, what it fetches over them at first
 *     kv_answer.c    what it answers to others
 *     kv_rounds.c    requests of clients that are under way: kv_round.h
 */
#ifndef KV_NODE_INTERNAL_H
#define KV_NODE_INTERNAL_H

#include "examples/kv/kv_node.h"

#define MS UINT64_C(1000000)

/* The way to another node. */
struct kv_link {
    struct kv_peer *peer; /* NULL: none */
    uint64_t life;        /* of the node at the other end; 0: it has not told yet */
    uint64_t again_at;    /* to be reached, or greeted, then */
    uint64_t heard_at;
    uint64_t copy_tag;  /* of the question for its next entry; 0: none is out */
    uint64_t copy_life; /* what was copied was its knowledge in that life */
    size_t copied_size; /* of the last key that was copied */
    bool is_being_reached;
    bool is_ready; /* it answers for what it keeps */
    bool is_copied;
    uint8_t copied[KV_KEY_MAX];
};

struct kv_round;

struct kv_node {
    struct kv_node_config config;
    struct kv_store *store;
    struct kv_speakers *speakers;
    struct kv_link links[KV_NODES_MAX]; /* by id; this node's own is not used */
    uint64_t lives[KV_NODES_MAX];       /* the latest of each node that is known */
    struct kv_round *rounds;
    uint32_t round_count;
    uint64_t last_tag;
    uint64_t now;
    uint64_t chance;
    bool is_ready;
};

/* ------------------------------------------------------------------ kv_node.c */

/* News for people; `format` has a place for the number. */
void kv_node_say(const struct kv_node *node, const char *format, uint32_t number);

/* ------------------------------------------------------------------ kv_link.c, kv_copy.c */

/* It can be asked. */
bool kv_link_is_up(const struct kv_link *link);

/* Say who this node is, and in which life. */
void kv_link_greet(struct kv_node *node, struct kv_link *link);

/* Do what is due; when there is more. */
uint64_t kv_links_tick(struct kv_node *node);

/* Ask for the next entry that it knows; that has come. */
void kv_link_copy(struct kv_node *node, struct kv_link *link);
void kv_link_take_copy(struct kv_node *node, struct kv_link *link, const struct kv_message *m);

/* ------------------------------------------------------------------ kv_round_begin.c */

/* Begin a client's request, or one that another node passes on. */
void kv_round_begin(struct kv_node *node, struct kv_peer *client, const struct kv_message *request);

/* ------------------------------------------------------------------ kv_rounds.c */

/* A node's answer to a question of a round. */
void kv_round_take(struct kv_node *node, uint32_t id, const struct kv_message *answer);

/* A node will not answer any more. */
void kv_rounds_lose(struct kv_node *node, uint32_t id);

/* Nobody waits for the answers any more. */
void kv_rounds_forget(struct kv_node *node, const struct kv_peer *client);

/* Do what is due; when there is more. */
uint64_t kv_rounds_tick(struct kv_node *node);
void kv_rounds_free(struct kv_node *node);

#endif /* KV_NODE_INTERNAL_H */
