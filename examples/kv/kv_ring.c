/* examples/kv/kv_ring.c - see kv_ring.h. */
#include "examples/kv/kv_ring.h"

#include <string.h>

#include <millrace/transport.h>

enum {
    PIECE = 16384,
    CONNECTS = 16
};

static uint32_t sends_out;
static void *wishes[CONNECTS]; /* by user_data */

struct mr_sqe *kv_ring_sqe(struct mr_ring *ring)
{
    struct mr_sqe *sqe;

    while ((sqe = mr_ring_sqe(ring)) == NULL)
        mr_ring_submit(ring);
    return sqe;
}

/* What to connect to lies in the send area. */
bool kv_ring_connect(struct mr_ring *ring, const struct kv_way *way, uint64_t user_data)
{
    const struct mr_connect_options *options = &way->options;
    struct mr_ring_connect *wish = user_data < CONNECTS ? mr_ring_alloc(ring, sizeof(*wish)) : NULL;

    if (wish == NULL)
        return false;
    *wish = (struct mr_ring_connect){.port = options->remote.port,
                                     .alpn_size = (uint16_t)options->alpn_size,
                                     .is_insecure = options->is_insecure};
    memcpy(wish->ip, options->remote.ip, sizeof(wish->ip));
    memcpy(wish->alpn, options->alpn, options->alpn_size);
    memcpy(wish->server_name, options->server_name, strlen(options->server_name) + 1);
    struct mr_sqe *sqe = kv_ring_sqe(ring);
    mr_sqe_connect(sqe, mr_ring_offset(ring, wish));
    sqe->user_data = user_data;
    wishes[user_data] = wish;
    return true;
}

uint64_t kv_ring_open(struct mr_ring *ring, uint64_t conn, uint32_t alias)
{
    struct mr_sqe *sqe = kv_ring_sqe(ring);

    mr_sqe_open(sqe, conn, MR_OPEN_BIDI);
    sqe->alias = alias + 1;
    sqe->flags = MR_SQE_QUIET;
    return MR_RING_ALIAS | alias;
}

void kv_ring_close(struct mr_ring *ring, uint64_t conn, uint64_t code)
{
    struct mr_sqe *sqe = kv_ring_sqe(ring);

    mr_sqe_close(sqe, conn, code);
    sqe->flags = MR_SQE_QUIET;
}

/* What is sent lies in the send area until it is acknowledged. */
void kv_ring_say(struct mr_ring *ring, uint64_t stream, struct kv_peer *peer)
{
    const uint8_t *words;
    size_t size;

    while ((words = kv_peer_words(peer, &size)) != NULL) {
        size = size < PIECE ? size : PIECE;
        void *memory = sends_out < mr_ring_sends_max(ring) ? mr_ring_alloc(ring, size) : NULL;
        if (memory == NULL)
            return;
        memcpy(memory, words, size);
        kv_peer_said(peer, size);
        struct mr_sqe *sqe = kv_ring_sqe(ring);
        mr_sqe_send(sqe, stream, mr_ring_offset(ring, memory), (uint32_t)size, 0);
        sqe->user_data = (uint64_t)(uintptr_t)memory;
        sends_out++;
    }
}

void kv_ring_done(struct mr_ring *ring, const struct mr_cqe *cqe)
{
    if (cqe->op == MR_OP_SEND) {
        mr_ring_free(ring, (void *)(uintptr_t)cqe->user_data);
        sends_out--;
    } else if (cqe->op == MR_OP_CONNECT) {
        mr_ring_free(ring, wishes[cqe->user_data]);
    }
}
