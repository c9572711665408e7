/*
 * app/transport_path.h - several paths of a connection, over rings.
 *
 * Owner and threads: as the transport.
 */
#ifndef MR_APP_TRANSPORT_PATH_H
#define MR_APP_TRANSPORT_PATH_H

#include "app/transport_internal.h"

/* The transport's `path`, of a connection that is there. */
int64_t mr_rt_path(struct mr_ring_transport *t, struct mr_rt_object *conn,
                   const struct mr_path_call *call);

/* The answer to a PATH: of a call, or the LIST, whose record has the size of its block. */
void mr_rt_path_done(struct mr_ring_transport *t, struct mr_rt_object *conn,
                     const struct mr_rt_record *record, const struct mr_cqe *cqe);

#endif /* MR_APP_TRANSPORT_PATH_H */
