/*
 * tests/support/kv_world.h - nodes of examples/kv/ in one thread: bytes travel through queues here,
 * in pieces and as late as chance wants, nodes die and return, connections break, time is a number.
 *
 *     client --pipe--> node <--pipe--> node ...        a pipe: two queues of bytes, in order
 *
 * kv_world_step() does one thing at random: so a seed is a history.
 */
#ifndef KV_WORLD_H
#define KV_WORLD_H

#include "examples/kv/kv_node.h"

enum {
    KV_WORLD_NODES = 5,
    KV_WORLD_CLIENTS = 8
};

struct kv_world;

/* An answer that has come to a client. */
typedef void (*kv_world_answer)(void *context, uint32_t client, const struct kv_message *answer);

/* `count` nodes, none of them started. */
struct kv_world *kv_world_new(uint32_t count, uint64_t seed);
void kv_world_free(struct kv_world *world);

/* Who is told of answers, and of conversations that ended without: answer NULL. */
void kv_world_listen(struct kv_world *world, kv_world_answer function, void *context);

void kv_world_start(struct kv_world *world, uint32_t node);
void kv_world_kill(struct kv_world *world, uint32_t node);

/* NULL: dead. */
struct kv_node *kv_world_node(struct kv_world *world, uint32_t node);

/* Whether bytes pass between two nodes; they wait while they do not. */
void kv_world_cut(struct kv_world *world, uint32_t a, uint32_t b, bool is_cut);

/* Break what connects two nodes: its bytes are lost. */
void kv_world_break(struct kv_world *world, uint32_t a, uint32_t b);

/* Open a conversation of a client with a node, instead of the one it has. */
void kv_world_connect(struct kv_world *world, uint32_t client, uint32_t node);

/* Say something in it: a request, or bytes. */
void kv_world_ask(struct kv_world *world, uint32_t client, const struct kv_message *request);
void kv_world_say(struct kv_world *world, uint32_t client, const void *bytes, size_t size);

/* True: the conversation is over, for *code_out. */
bool kv_world_is_over(const struct kv_world *world, uint32_t client, uint64_t *code_out);

/* Deliver some bytes, or let time pass. */
void kv_world_step(struct kv_world *world);

/* Step until all nodes that live are ready, and nothing is on its way; or for 10 s of its time:
 * false. */
bool kv_world_settle(struct kv_world *world);

uint64_t kv_world_now(const struct kv_world *world);
uint64_t kv_world_chance(struct kv_world *world, uint64_t below);

#endif /* KV_WORLD_H */
