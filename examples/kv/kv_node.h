/*
 * examples/kv/kv_node.h - one of several nodes that keep the same keys, without I/O: messages and
 * time in, messages out.
 *
 *     client --GET, PUT, UPDATE--> node --round--> PREPARE, ACCEPT --> all nodes, itself included
 *            <------answer--------      <---------- answers of a majority ---
 *
 * Every key is a register that the nodes agree on by Paxos, each for itself: there is no leader
 * and no log.  Whoever answers a client takes a version that is higher than any it has seen,
 * has a majority promise it (and hears what they keep), decides on the new value, and has a
 * majority keep it.  Two majorities share a node: so what was answered is seen by whoever comes
 * later, and of two updates at once the one that comes too late is told so by a promise.  For
 * speed, not for safety, requests are passed on to the lowest node that is there: nodes that write
 * the same key at once would only get into each other's way.
 *
 * Nodes keep everything in memory.  One that returns after its death has a new *life*: it fetches
 * what all others know before it promises anything (kv_node_is_ready()), and promises of its
 * earlier life do not count with anybody who has heard of the new one.
 *
 * docs/kv.md says what that guarantees, and what it does not.
 *
 * Owner: the caller.  Threads: one at a time.  Limits: KV_ROUNDS_MAX requests at once,
 * KV_REQUESTS_MAX of one client; entries_max keys.
 */
#ifndef KV_NODE_H
#define KV_NODE_H

#include "examples/kv/kv_peer.h"

enum {
    KV_ROUNDS_MAX = 256,
    KV_REQUESTS_MAX = 16
};

#define KV_NOBODY UINT32_MAX

struct kv_node_config {
    uint32_t id;    /* < count */
    uint32_t count; /* of all nodes, this one included, at most KV_NODES_MAX */
    uint32_t entries_max;
    uint64_t life;                 /* greater than that of any earlier life: the time of day */
    uint64_t timeout_ns;           /* of a request; 0: 2 s */
    void (*say)(const char *line); /* news for people; NULL: none */
};

struct kv_node;

/* `speakers` is borrowed.  NULL: no memory. */
struct kv_node *kv_node_new(const struct kv_node_config *config, struct kv_speakers *speakers);

/* All conversations were left before. */
void kv_node_free(struct kv_node *node);

/* Let it be `now`: do what is due.  When it has to be called again. */
uint64_t kv_node_tick(struct kv_node *node, uint64_t now);

/* ------------------------------------------------------------------ conversations */

/* Somebody, client or node, has opened one.  NULL: no memory. */
struct kv_peer *kv_node_accepted(struct kv_node *node, void *context);

/* A node that is to be reached now; KV_NOBODY: none.  Then one of the two below follows. */
uint32_t kv_node_next_way(struct kv_node *node);
struct kv_peer *kv_node_reached(struct kv_node *node, uint32_t id, void *context);
void kv_node_failed(struct kv_node *node, uint32_t id);

/* ------------------------------------------------------------------ to look at */

/* True once it has fetched what the others know. */
bool kv_node_is_ready(const struct kv_node *node);
const struct kv_store *kv_node_store(const struct kv_node *node);

/* Requests under way. */
uint32_t kv_node_rounds(const struct kv_node *node);

#endif /* KV_NODE_H */
