/*
 * app/transport_receive.h - part of transport_ring: what streams and connections receive; see
 * transport_receive.c.
 *
 * Threads: the transport's.
 */
#ifndef MR_APP_TRANSPORT_RECEIVE_H
#define MR_APP_TRANSPORT_RECEIVE_H

#include "app/transport_internal.h"

void mr_rt_data(struct mr_ring_transport *t, struct mr_rt_object *object, const struct mr_cqe *cqe);
void mr_rt_datagram(struct mr_ring_transport *t, struct mr_rt_object *object,
                    const struct mr_cqe *cqe);
int64_t mr_rt_receive(struct mr_ring_transport *t, struct mr_rt_object *object,
                      struct mr_view *views_out, size_t room, bool *fin_out);
int mr_rt_release(struct mr_ring_transport *t, struct mr_rt_object *object, size_t size);
int64_t mr_rt_receive_datagram(struct mr_ring_transport *t, struct mr_rt_object *object,
                               uint8_t *dst, size_t room);

/* Nothing more is received: give back what was not shown. */
void mr_rt_receive_over(struct mr_ring_transport *t, struct mr_rt_object *object);

/* Give everything back. */
void mr_rt_receive_drop(struct mr_ring_transport *t, struct mr_rt_object *object);

/* Give a slot back that no object wants. */
void mr_rt_give_back(struct mr_ring_transport *t, struct mr_rt_ring *ring,
                     const struct mr_cqe *cqe);

/* The application has consumed all that can come. */
bool mr_rt_has_consumed(const struct mr_rt_object *object);

#endif /* MR_APP_TRANSPORT_RECEIVE_H */
