/* examples/kv/kv_ring.h - the entries that kv_rings.c submits: connect, open, send, close. */
#ifndef KV_RING_H
#define KV_RING_H

#include <millrace/ring.h>

#include "examples/kv/kv_app.h"

/* A submission; the queue is handed over while it is full. */
struct mr_sqe *kv_ring_sqe(struct mr_ring *ring);

/* Connect to a way; `user_data` comes back with the completion.  False: no memory. */
bool kv_ring_connect(struct mr_ring *ring, const struct kv_way *way, uint64_t user_data);

/* Open a stream that can be used at once, by its alias: its handle. */
uint64_t kv_ring_open(struct mr_ring *ring, uint64_t conn, uint32_t alias);

/* Close a connection. */
void kv_ring_close(struct mr_ring *ring, uint64_t conn, uint64_t code);

/* Send what the peer says, as far as there is room: again when a send is done. */
void kv_ring_say(struct mr_ring *ring, uint64_t stream, struct kv_peer *peer);

/* A CONNECT or SEND has completed: what it took of the send area is free again. */
void kv_ring_done(struct mr_ring *ring, const struct mr_cqe *cqe);

#endif /* KV_RING_H */
