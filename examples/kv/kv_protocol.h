/*
 * examples/kv/kv_protocol.h - the messages of the key-value protocol, one frame of them.
 *
 * Clients and nodes speak the same language: a request has a tag, which its answer brings back;
 * answers may come in another order than the requests.
 */
#ifndef KV_PROTOCOL_H
#define KV_PROTOCOL_H

#include "examples/kv/kv_store.h"

/* What a request asks for. */
enum kv_word {
    KV_GET = 1, /* of clients: the value that the nodes agree on */
    KV_PUT,     /* write it */
    KV_UPDATE,  /* write it if the value is `old` (compare and set) */
    KV_PEEK,    /* what this very node keeps */
    KV_HELLO,   /* of nodes: which one I am, and in which life; `value`: empty until it is ready */
    KV_PREPARE, /* promise this version; what do you keep? */
    KV_ACCEPT,  /* keep this */
    KV_NEXT     /* the entry behind a key */
};

/* The answer's word. */
enum kv_status {
    KV_OK,
    KV_NOT_FOUND,
    KV_CONFLICT,    /* UPDATE: the value is another, here it is */
    KV_TOO_LARGE,   /* key or value, or the key is empty */
    KV_FULL,        /* there is no room for another key */
    KV_UNAVAILABLE, /* too few nodes answer; nothing was written */
    KV_UNKNOWN,     /* too few nodes answered; it may have been written, or be written yet */
    KV_NOT_READY,   /* this node has not fetched yet what the others know */
    KV_REFUSED      /* of nodes: another node was promised `version` */
};

/* Why a node ends a connection. */
enum kv_code {
    KV_CODE_DONE,
    KV_CODE_MALFORMED, /* not a message, or not one for here */
    KV_CODE_TOO_LARGE, /* a frame of more than KV_MESSAGE_MAX */
    KV_CODE_GREEDY,    /* too many requests at once, or answers that are not read */
    KV_CODE_OLD_LIFE,  /* a node that has died since */
    KV_CODE_SILENT,    /* no sign of life for too long */
    KV_CODE_AGAIN      /* nobody was there to serve it: try again */
};

struct kv_message {
    uint8_t word; /* enum kv_word; of an answer enum kv_status */
    uint64_t tag;
    struct mr_view key;
    struct mr_view value;
    struct mr_view old;        /* UPDATE */
    struct mr_view lives;      /* HELLO, ACCEPT: a number of 8 bytes for each node, 0: none */
    struct kv_version version; /* HELLO and its answer: counter: the life, node: which one */
};

enum {
    KV_MESSAGE_MAX = 16384,
    KV_NODES_MAX = 16
};

extern const struct mr_schema kv_request_schema, kv_answer_schema;
extern const struct mr_message_format kv_format;

/* Words for people: of an enum kv_status. */
const char *kv_status_text(uint8_t status);

/* Lives as they travel.  Decoding: false: they are not `count`. */
struct mr_view kv_lives_encode(const uint64_t lives[], uint32_t count,
                               uint8_t bytes_out[8 * KV_NODES_MAX]);
bool kv_lives_decode(struct mr_view bytes, uint64_t lives_out[], uint32_t count);

#endif /* KV_PROTOCOL_H */
