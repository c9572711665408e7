/*
 * examples/kv/kv_peer.h - one conversation, without I/O: a stream of bytes each way.
 *
 *     program --kv_peer_hear()--> bytes --> messages --> take()      node or client
 *     program <--kv_peer_words()- bytes <-- messages <-- kv_peer_say()
 *
 * The program gives what it reads, writes what it is given, and says when the stream is over.  Who
 * has something to say is in a list: kv_speakers_next().
 *
 * Owner: the program, until kv_peer_leave().  Threads: one at a time, for all conversations of a
 * node.  Limits: KV_OUTPUT_MAX bytes that were said and not taken; more end the conversation.
 */
#ifndef KV_PEER_H
#define KV_PEER_H

#include "examples/kv/kv_protocol.h"

enum {
    KV_OUTPUT_MAX = 4 << 20
};

struct kv_peer;

/* Those that have something to say, or are to be ended, each once. */
struct kv_speakers {
    struct kv_peer *first;
};

/* Who takes part: a node or a client. */
struct kv_peer_config {
    const struct mr_schema *hears; /* kv_request_schema or kv_answer_schema */
    const struct mr_schema *says;
    /* A message came; its views are valid during the call. */
    void (*take)(struct kv_peer *peer, const struct kv_message *message, uint64_t now);
    /* The conversation is over; its peer is freed after the call. */
    void (*left)(struct kv_peer *peer, uint64_t code);
    void *owner;
    uint32_t number; /* the owner's words */
    uint64_t life;
    void *context; /* the program's */
};

/* NULL: no memory. */
struct kv_peer *kv_peer_new(const struct kv_peer_config *config, struct kv_speakers *speakers);

/* ------------------------------------------------------------------ for the program */

/* Bytes were read.  Nothing is taken any more once it is to be ended. */
void kv_peer_hear(struct kv_peer *peer, const void *data, size_t size, uint64_t now);

/* Bytes to be written, valid until the next call for this node; *size_out may be 0. */
const uint8_t *kv_peer_words(const struct kv_peer *peer, size_t *size_out);

/* The first `size` of them are taken care of. */
void kv_peer_said(struct kv_peer *peer, size_t size);

/* True: close its connection with *code_out, now; then kv_peer_leave(). */
bool kv_peer_is_ended(const struct kv_peer *peer, uint64_t *code_out);

/* The conversation is over, for `code` (of the peer's, or 0); the pointer is void from here on. */
void kv_peer_leave(struct kv_peer *peer, uint64_t code);

/* The program's word. */
void *kv_peer_context(const struct kv_peer *peer);

/* The next that has something to say, taken from the list; NULL: none.  Who says what it says only
 * later need not remember it: it comes back with the next message. */
struct kv_peer *kv_speakers_next(struct kv_speakers *speakers);

/* ------------------------------------------------------------------ for its owner */

void kv_peer_say(struct kv_peer *peer, const struct kv_message *message);

/* Bytes as they are. */
void kv_peer_say_bytes(struct kv_peer *peer, const void *data, size_t size);

/* Have the program end it. */
void kv_peer_end(struct kv_peer *peer, enum kv_code code);

/* Its own copy of what it was made from: the owner's words in it may be changed. */
struct kv_peer_config *kv_peer_config(struct kv_peer *peer);

#endif /* KV_PEER_H */
