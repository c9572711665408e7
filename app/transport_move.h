/*
 * app/transport_move.h - part of transport_ring: connections that change their ring; see
 * transport_move.c.
 *
 * Threads: the transport's.
 */
#ifndef MR_APP_TRANSPORT_MOVE_H
#define MR_APP_TRANSPORT_MOVE_H

#include "app/transport_internal.h"

/* The connection is to go to another ring, or stays after all: an EVENT with MOVED. */
void mr_rt_moved(struct mr_ring_transport *t, struct mr_rt_object *conn, const struct mr_cqe *cqe);

/* An EVENT with MOVED_IN. */
void mr_rt_moved_in(struct mr_ring_transport *t, struct mr_rt_ring *ring, const struct mr_cqe *cqe);

/* It cannot be taken yet: its old ring has completions from before. */
bool mr_rt_is_early(const struct mr_ring_transport *t, const struct mr_rt_ring *ring,
                    const struct mr_cqe *cqe);

/* Say MOVE_ACK for those that can go. */
void mr_rt_leave_ready(struct mr_ring_transport *t);

/* Submit the entry about `object`, now or once it is where it goes; its handle is filled in. */
void mr_rt_submit_about(struct mr_ring_transport *t, const struct mr_rt_object *object,
                        const struct mr_sqe *sqe);

/* The same of CLOSE, with a reason. */
void mr_rt_submit_close(struct mr_ring_transport *t, const struct mr_rt_object *conn, uint64_t code,
                        const char *reason, size_t size);

#endif /* MR_APP_TRANSPORT_MOVE_H */
