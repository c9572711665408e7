/*
 * app/transport_send.h - part of transport_ring: what streams and connections send; see
 * transport_send.c.
 *
 * Threads: the transport's.
 */
#ifndef MR_APP_TRANSPORT_SEND_H
#define MR_APP_TRANSPORT_SEND_H

#include "app/transport_internal.h"

int mr_rt_send(struct mr_ring_transport *t, struct mr_rt_object *object,
               const struct mr_view *views, size_t count, uint32_t flags);

/* Submit what streams have queued, in turn, as far as there is room.  Returns how many SENDs. */
uint32_t mr_rt_pump(struct mr_ring_transport *t, struct mr_rt_ring *ring);

/* Bytes below `acked_to` are the application's again. */
void mr_rt_acked(struct mr_ring_transport *t, struct mr_rt_object *object, uint64_t acked_to);

/* A SEND failed. */
void mr_rt_send_failed(struct mr_ring_transport *t, struct mr_rt_record *record, int result);

/* Nothing more is sent: forget what is queued. */
void mr_rt_send_over(struct mr_ring_transport *t, struct mr_rt_object *object);

/* What lies beyond `end`, and was not submitted, is forgotten; nothing is added any more. */
void mr_rt_send_cut(struct mr_ring_transport *t, struct mr_rt_object *object, uint64_t end);

/* Forget what is out, too. */
void mr_rt_send_drop(struct mr_ring_transport *t, struct mr_rt_object *object);

int mr_rt_send_datagram(struct mr_ring_transport *t, struct mr_rt_object *object,
                        const struct mr_view *views, size_t count);
void mr_rt_datagram_done(struct mr_ring_transport *t, struct mr_rt_object *object, int result);

/* The stream has another ring: what is queued is looked at again, what is out counts there. */
void mr_rt_send_moved(struct mr_ring_transport *t, struct mr_rt_object *object,
                      struct mr_rt_ring *from);

/* Is a SEND of the stream to be submitted again? */
bool mr_rt_has_refused(const struct mr_ring_transport *t, const struct mr_rt_object *object);

#endif /* MR_APP_TRANSPORT_SEND_H */
