/*
 * dataplane/redirects.h - what shards of one port tell each other: datagrams that arrived at one
 * and belong to another, and neighbours that answered one.
 *
 * Owner: made and freed by the control thread.  Threads: push by shard `from`, pop by shard `to`.
 * Limits: MR_REDIRECT_RING frames and MR_REDIRECT_UPDATES neighbours from one shard to another.
 */
#ifndef MR_DATAPLANE_REDIRECTS_H
#define MR_DATAPLANE_REDIRECTS_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "base/fault.h"
#include "dataplane/neighbour.h"

#define MR_REDIRECT_UPDATES 64 /* neighbours; more are dropped: the other shard asks for itself */

struct mr_redirects;

/* NULL with `fault` set: not enough memory. */
struct mr_redirects *mr_redirects_make(uint32_t shard_count, struct mr_fault *fault);

/* Free the rings and the mbufs in them.  No shard may run.  NULL is allowed. */
void mr_redirects_free(struct mr_redirects *redirects);

uint32_t mr_redirects_count(const struct mr_redirects *redirects);

/* Pass a frame on.  False: there is no such shard, or its ring is full; the mbuf is still the
 * caller's. */
bool mr_redirects_push(struct mr_redirects *redirects, uint32_t from, uint32_t to,
                       struct rte_mbuf *mbuf);

/* Take at most `room` frames that `from` passed to `to`. */
uint32_t mr_redirects_pop(struct mr_redirects *redirects, uint32_t from, uint32_t to,
                          struct rte_mbuf **mbufs, uint32_t room);

/* Tell shard `to` of a neighbour.  False: the ring is full. */
bool mr_redirects_push_update(struct mr_redirects *redirects, uint32_t from, uint32_t to,
                              const struct mr_neighbour_update *update);

/* Take one neighbour that `from` told `to` of; false: none. */
bool mr_redirects_pop_update(struct mr_redirects *redirects, uint32_t from, uint32_t to,
                             struct mr_neighbour_update *update_out);

#endif /* MR_DATAPLANE_REDIRECTS_H */
