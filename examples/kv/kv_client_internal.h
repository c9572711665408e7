/*
 * examples/kv/kv_client_internal.h - what a client is made of: kv_client.c, its connection, and
 * kv_ask.c, what it asks there.
 */
#ifndef KV_CLIENT_INTERNAL_H
#define KV_CLIENT_INTERNAL_H

#include "examples/kv/kv_client.h"
#include "examples/kv/kv_command.h"

#define MS UINT64_C(1000000)

struct kv_client {
    struct kv_speakers *speakers;
    struct kv_command *commands; /* those that are left */
    struct kv_peer *peer;
    uint64_t now;
    uint64_t again_at;
    uint64_t give_up_at; /* reaching, or waiting for an answer */
    uint64_t tag;
    uint32_t address_count;
    uint32_t address;
    bool is_being_reached;
    bool is_asked; /* the first command, and not answered */
    bool is_over;
    int status;
};

/* ------------------------------------------------------------------ kv_ask.c */

/* Begin the first command; when there is none, part. */
void kv_client_begin(struct kv_client *client);

/* A message has come: of kv_peer_config. */
void kv_client_take(struct kv_peer *peer, const struct kv_message *m, uint64_t now);

/* How the first command went, and the value if it has one; it is done. */
void kv_client_print(struct kv_client *client, bool is_right, const char *text,
                     struct mr_view value);

/* ------------------------------------------------------------------ kv_client.c */

/* Forget the first command. */
void kv_client_drop(struct kv_client *client);

#endif /* KV_CLIENT_INTERNAL_H */
