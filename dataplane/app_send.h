/*
 * dataplane/app_send.h - part of app_host: SENDs of attached applications; see app_send.c.
 *
 * Threads: the shard's only.
 */
#ifndef MR_DATAPLANE_APP_SEND_H
#define MR_DATAPLANE_APP_SEND_H

#include "dataplane/app_internal.h"

/* RESET_AT: abandon sending, but for `reliable` bytes, as soon as these were given. */
int mr_app_reset_at(struct mr_app_host *host, struct mr_app_object *object, uint64_t code,
                    uint64_t reliable);

/* A SEND: 1: its completion comes later; 0: done; -errno. */
int mr_app_send(struct mr_app_host *host, struct mr_app_object *object, const struct mr_sqe *sqe,
                const uint8_t *data);

/* Give the transport what waits, as far as it takes it. */
void mr_app_send_waiting(struct mr_app_host *host, struct mr_app_object *object);

/* Those of the ring that wait for the transport's memory. */
void mr_app_send_retry(struct mr_app_host *host, struct mr_app_ring *ring);

/* The sending side is over: SENDs that wait fail with `error`, and all later ones. */
void mr_app_send_fail(struct mr_app_host *host, struct mr_app_object *object, int error);

/* Forget what was acknowledged of a ring that has the stream no more. */
void mr_app_send_forget(struct mr_app_host *host, struct mr_app_object *object);

/* Tell of SENDs that are done, at the stream's end of all.  False: no room. */
bool mr_app_send_tell(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *object, bool is_over);

/* Forget all, told or not. */
void mr_app_send_drop(struct mr_app_host *host, struct mr_app_object *object);

#endif /* MR_DATAPLANE_APP_SEND_H */
