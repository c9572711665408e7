/*
 * millrace/path.h - the paths of a connection that has several at a time
 * (draft-ietf-quic-multipath): what each is doing.
 *
 * Owner: the transport, for paths; the caller, for what is filled.
 * Threads: the transport's.
 */
#ifndef MILLRACE_PATH_H
#define MILLRACE_PATH_H

#include <errno.h>

#include "millrace/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a path is doing. */
enum mr_path_info_state {
    MR_PATH_INFO_CHECKING,  /* it is not known yet whether the peer is there */
    MR_PATH_INFO_OPEN,      /* it carries data, unless it is a backup and others do */
    MR_PATH_INFO_ABANDONED, /* nothing is sent by it any more */
};

/* A path of a connection. */
struct mr_path_info {
    struct mr_address local;
    struct mr_address remote;
    uint32_t path; /* its ID; 0: the one that the connection began with */
    uint8_t state; /* enum mr_path_info_state */
    bool is_backup;
    bool is_peer_backup; /* the peer would rather not have it used */
    uint32_t mtu;        /* bytes of UDP payload */
    uint64_t rtt_ns;     /* smoothed; 0: none yet */
    uint64_t cwnd_bytes;
    uint64_t bytes_in_flight;
    uint64_t bytes_sent;     /* UDP payload */
    uint64_t bytes_received; /* the same; 0 of path 0, of which it is not counted */
};

#define MR_PATHS_MAX      8                  /* paths of a connection at a time */
#define MR_PATHS_LIST_MAX (MR_PATHS_MAX + 1) /* that LIST shows, with those that are over */

enum mr_path_call_kind {
    MR_PATH_CALL_OPEN,    /* from `local`: the path's ID.  -EAGAIN: the peer allows no more, or has
                             given no connection ID for one; later perhaps.  -EADDRNOTAVAIL: not an
                             address and open port of ours.  -EBUSY: the handshake is not confirmed.
                             -EINVAL: of another family.  -ENOMEM.  -EOPNOTSUPP: a server's
                             connection, or not agreed on, or the peer forbids it */
    MR_PATH_CALL_ABANDON, /* `path`.  0; -ENOENT: there is none; -EBUSY: it is the last */
    MR_PATH_CALL_BACKUP,  /* tell the peer to send by others.  0; -ENOENT */
    MR_PATH_CALL_AVAILABLE, /* tell the peer to use it.  0; -ENOENT */
    MR_PATH_CALL_LIST,      /* to `out`, at most `room`: how many */
    MR_PATH_CALL_ANSWER,    /* over rings: of the last of OPEN, ABANDON, BACKUP, AVAILABLE, what it
                               would have returned; -EINPROGRESS: it is not known yet.  -ENOENT:
                               there was none, or the transport answers at once */
};

/*
 * What to do with a connection's paths: the transport's `path`.  Each also -ESTALE.  A path that is
 * opened is told with MR_EVENT_PATHS_CHANGED once it is validated, or given up.
 *
 * Over rings calls are answered later: -EINPROGRESS, then MR_EVENT_PATHS_CHANGED, when ANSWER has
 * the answer; one at a time, until then -EAGAIN.  LIST is as of the last MR_EVENT_PATHS_CHANGED in
 * what paths there are, its figures are those of the LIST before.
 */
struct mr_path_call {
    uint8_t kind; /* enum mr_path_call_kind */
    uint32_t path;
    struct mr_address local; /* IP address all zero: the connection's; port 0: its port */
    struct mr_path_info *out;
    size_t room;
};

/* Do it; -EOPNOTSUPP also where the transport cannot. */
static inline int64_t mr_path_do(struct mr_transport *t, mr_handle conn,
                                 const struct mr_path_call *call)
{
    return t->ops->path == NULL ? -EOPNOTSUPP : t->ops->path(t, conn, call);
}

#ifdef __cplusplus
}
#endif
#endif /* MILLRACE_PATH_H */
