/*
 * dataplane/app_move.h - part of app_host: attached connections that leave for another shard, and
 * those that arrive; see app_move.c.
 *
 * Threads: the shard's.
 */
#ifndef MR_DATAPLANE_APP_MOVE_H
#define MR_DATAPLANE_APP_MOVE_H

#include "dataplane/app_internal.h"

/* MOVE_ACK: 0 or -errno. */
int mr_app_move_ack(struct mr_app_host *host, struct mr_app_object *conn, uint64_t number);

/* Tell that it is to leave, or that it stays.  False: no room. */
bool mr_app_move_tell(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *conn);
bool mr_app_move_tell_stays(struct mr_app_host *host, struct mr_app_ring *ring,
                            struct mr_app_object *conn);

/* MR_EVENT_MOVED and MR_EVENT_MOVED_IN. */
void mr_app_move_over(struct mr_app_host *host, struct mr_app_object *conn, int64_t result);
void mr_app_move_arrived(struct mr_app_host *host, struct mr_app_object *conn, uint64_t from);

/* It does not leave after all, for `error` < 0. */
void mr_app_move_stays(struct mr_app_host *host, struct mr_app_object *conn, int error);

/* Nobody is asked any more about connections of this ring. */
void mr_app_moves_cancel(struct mr_app_host *host, const struct mr_app_ring *ring);

/* Those that can go, go; those that nobody answered for stay.  Returns how many. */
uint32_t mr_app_moves_poll(struct mr_app_host *host);

void mr_app_moves_init(struct mr_app_host *host);

#endif /* MR_DATAPLANE_APP_MOVE_H */
