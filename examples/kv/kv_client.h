/*
 * examples/kv/kv_client.h - what a client wants, command by command, without I/O.
 *
 *     get KEY | peek KEY | put KEY VALUE | update KEY OLD NEW
 *     count KEY TIMES      add one to a number, so often, by get and update
 *     raw HEX              bytes as they are, for those who test nodes
 *     run FILE             commands like these, a line each; "-": standard input
 *
 * Each prints a line: the value, or how it went.  A command whose node dies before it answers
 * prints `lost`, and the next goes to the next address.
 *
 * Owner: the caller.  Threads: one at a time.
 */
#ifndef KV_CLIENT_H
#define KV_CLIENT_H

#include "examples/kv/kv_peer.h"

struct kv_client;

/* `words`: a command and its arguments.  NULL: it is none, or there is no memory; *why_out says
 * what is wrong with it. */
struct kv_client *kv_client_new(char *const words[], int count, uint32_t address_count,
                                struct kv_speakers *speakers, const char **why_out);
void kv_client_free(struct kv_client *client);

/* As kv_node_tick(), and so on; the numbers are those of addresses. */
uint64_t kv_client_tick(struct kv_client *client, uint64_t now);
uint32_t kv_client_next_way(struct kv_client *client);
struct kv_peer *kv_client_reached(struct kv_client *client, void *context);
void kv_client_failed(struct kv_client *client);

/* True when all is said, and its connection closed. */
bool kv_client_is_over(const struct kv_client *client);

/* 0: everything went well; 1. */
int kv_client_status(const struct kv_client *client);

#endif /* KV_CLIENT_H */
