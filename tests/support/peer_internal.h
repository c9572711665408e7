/* tests/support/peer_internal.h - what peer.c and peer_packet.c share. */
#ifndef MR_TESTS_SUPPORT_PEER_INTERNAL_H
#define MR_TESTS_SUPPORT_PEER_INTERNAL_H

#include "tests/support/peer.h"

/* The test speaks in the partner's place from now on: its packet numbers and connection IDs. */
void peer_take_over(struct peer *p);

/* Set a key from its secret, for p->version. */
void peer_set_key(struct peer *p, struct peer_key *key, const struct mr_secret *secret,
                  bool is_seal);

/* Jobs, events, released buffers, invariants of one side. */
void peer_settle(struct peer *p, struct peer_side *side);
void peer_take_released(struct peer_side *side);

/* A datagram arrives at `side` now. */
void peer_receive(struct peer *p, struct peer_side *side, const struct peer_raw *raw);

/* What `side` wants to send goes to the wire; the endpoint under test's to the inbox as well. */
void peer_drain_side(struct peer *p, struct peer_side *side);

#endif /* MR_TESTS_SUPPORT_PEER_INTERNAL_H */
