/*
 * tests/support/coro_world.h - tests/support/ring_world.h for tests in C++, which cannot read the
 * headers of the datapath's side (C11 atomics).
 *
 * Threads and ownership as there.
 */
#ifndef MR_TESTS_SUPPORT_CORO_WORLD_H
#define MR_TESTS_SUPPORT_CORO_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/ring.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coro_world;

/* 0: the default everywhere. */
struct coro_world_config {
    uint64_t seed;
    uint32_t entries; /* of each queue of a ring */
    uint32_t objects; /* of a ring: objects, aliases */
    uint32_t sends;
    uint32_t slot_size;
    uint32_t slot_count;
    uint64_t send_bytes;
    uint32_t bidi_max;      /* streams that the client may have open on a connection */
    uint32_t moves_percent; /* as in ring_world.h */
    uint32_t datagram_max;  /* bytes; 0: none are taken */
    bool has_early;         /* servers take 0-RTT, until coro_world_confirm() */
    bool is_by_reference;
    bool has_thread;
};

struct coro_world *coro_world_new(const struct coro_world_config *config);
void coro_world_free(struct coro_world *world);

/* As ring_world_attach(); the server's or the client's. */
struct mr_attachment *coro_world_attach(struct coro_world *world, bool is_server, uint32_t rings);

bool coro_world_step(struct coro_world *world);
void coro_world_let_go(struct coro_world *world, const struct mr_attachment *attachment);
void coro_world_die(struct coro_world *world, const struct mr_attachment *attachment);

/* The server's or the client's datapath drains. */
void coro_world_go_away(struct coro_world *world, bool is_server);

/* The handshakes of all connections are complete. */
void coro_world_confirm(struct coro_world *world);

/* Cut all connections, as after an idle timeout. */
void coro_world_cut(struct coro_world *world);

/* Moves that have gone, or that did not come about. */
uint32_t coro_world_moves(struct coro_world *world, bool has_gone);

/* Objects that live on either side of the loop. */
uint32_t coro_world_streams(struct coro_world *world);
uint32_t coro_world_conns(struct coro_world *world);

#ifdef __cplusplus
}
#endif

#endif /* MR_TESTS_SUPPORT_CORO_WORLD_H */
