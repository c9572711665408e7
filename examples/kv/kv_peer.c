/* examples/kv/kv_peer.c - see kv_peer.h. */
#include "examples/kv/kv_peer.h"

#include <stdlib.h>
#include <string.h>

struct kv_peer {
    struct kv_peer_config config;
    struct kv_speakers *speakers;
    struct kv_peer *next; /* of the speakers */
    struct mr_message_parser parser;
    uint8_t *output; /* at most `room` bytes; those from `begin` to `end` are not taken yet */
    size_t begin, end, room;
    uint64_t code;
    bool is_ended;
    bool is_listed;
    uint8_t body[KV_MESSAGE_MAX];
};

struct kv_peer *kv_peer_new(const struct kv_peer_config *config, struct kv_speakers *speakers)
{
    struct kv_peer *peer = calloc(1, sizeof(*peer));

    if (peer == NULL)
        return NULL;
    peer->config = *config;
    peer->speakers = speakers;
    mr_message_parser_init(&peer->parser, &kv_format, peer->body);
    return peer;
}

/* ------------------------------------------------------------------ the list */

static void list(struct kv_peer *peer)
{
    struct kv_peer **place = &peer->speakers->first;

    if (peer->is_listed)
        return;
    while (*place != NULL)
        place = &(*place)->next;
    *place = peer;
    peer->next = NULL;
    peer->is_listed = true;
}

static void unlist(struct kv_peer *peer)
{
    struct kv_peer **place = &peer->speakers->first;

    if (!peer->is_listed)
        return;
    while (*place != peer)
        place = &(*place)->next;
    *place = peer->next;
    peer->is_listed = false;
}

struct kv_peer *kv_speakers_next(struct kv_speakers *speakers)
{
    struct kv_peer *peer = speakers->first;

    if (peer != NULL)
        unlist(peer);
    return peer;
}

/* ------------------------------------------------------------------ in */

void kv_peer_hear(struct kv_peer *peer, const void *data, size_t size, uint64_t now)
{
    const uint8_t *bytes = data;
    struct kv_message message;
    size_t used;

    for (; size > 0 && !peer->is_ended; bytes += used, size -= used) {
        switch (mr_message_parse(&peer->parser, bytes, size, &used)) {
        case MR_MESSAGE_PARTIAL:
            break;
        case MR_MESSAGE_TOO_LARGE:
            kv_peer_end(peer, KV_CODE_TOO_LARGE);
            break;
        case MR_MESSAGE_WHOLE:
            if (mr_schema_decode(peer->config.hears, peer->body, peer->parser.size, &message) == 0)
                peer->config.take(peer, &message, now);
            else
                kv_peer_end(peer, KV_CODE_MALFORMED);
            break;
        }
    }
}

/* ------------------------------------------------------------------ out */

/* Room for `size` bytes behind the end. */
static bool make_room(struct kv_peer *peer, size_t size)
{
    size_t waiting = peer->end - peer->begin;
    size_t room = peer->room == 0 ? 8192 : peer->room;

    if (waiting + size > KV_OUTPUT_MAX) {
        kv_peer_end(peer, KV_CODE_GREEDY);
        return false;
    }
    if (peer->room - peer->end >= size)
        return true;
    if (waiting > 0)
        memmove(peer->output, peer->output + peer->begin, waiting);
    peer->begin = 0;
    peer->end = waiting;
    while (room - waiting < size)
        room *= 2;
    uint8_t *output = room == peer->room ? peer->output : realloc(peer->output, room);
    if (output == NULL) {
        kv_peer_end(peer, KV_CODE_GREEDY);
        return false;
    }
    peer->output = output;
    peer->room = room;
    return true;
}

void kv_peer_say_bytes(struct kv_peer *peer, const void *data, size_t size)
{
    if (peer->is_ended || !make_room(peer, size))
        return;
    memcpy(peer->output + peer->end, data, size);
    peer->end += size;
    list(peer);
}

void kv_peer_say(struct kv_peer *peer, const struct kv_message *message)
{
    uint8_t bytes[MR_PREFIX_MAX + KV_MESSAGE_MAX];
    uint8_t *body = bytes + MR_PREFIX_MAX;
    uint8_t prefix[MR_PREFIX_MAX];
    ssize_t size = mr_schema_encode(peer->config.says, message, body, KV_MESSAGE_MAX);

    if (size < 0) {
        kv_peer_end(peer, KV_CODE_TOO_LARGE);
        return;
    }
    size_t prefix_size = mr_message_prefix(&kv_format, (size_t)size, prefix);
    memcpy(body - prefix_size, prefix, prefix_size);
    kv_peer_say_bytes(peer, body - prefix_size, prefix_size + (size_t)size);
}

const uint8_t *kv_peer_words(const struct kv_peer *peer, size_t *size_out)
{
    *size_out = peer->end - peer->begin;
    return *size_out == 0 ? NULL : peer->output + peer->begin;
}

void kv_peer_said(struct kv_peer *peer, size_t size)
{
    peer->begin += size;
    if (peer->begin == peer->end)
        peer->begin = peer->end = 0;
}

/* ------------------------------------------------------------------ the end */

void kv_peer_end(struct kv_peer *peer, enum kv_code code)
{
    if (peer->is_ended)
        return;
    peer->is_ended = true;
    peer->code = code;
    list(peer);
}

bool kv_peer_is_ended(const struct kv_peer *peer, uint64_t *code_out)
{
    *code_out = peer->code;
    return peer->is_ended;
}

void kv_peer_leave(struct kv_peer *peer, uint64_t code)
{
    peer->is_ended = true;
    peer->config.left(peer, code);
    unlist(peer);
    free(peer->output);
    free(peer);
}

void *kv_peer_context(const struct kv_peer *peer)
{
    return peer->config.context;
}

struct kv_peer_config *kv_peer_config(struct kv_peer *peer)
{
    return &peer->config;
}
