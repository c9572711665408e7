/*
 * millrace/path.h - the paths of a connection that has several at a time
 * (draft-ietf-quic-multipath): what each is doing.
 *
 * Owner: the caller of what fills it.
 */
#ifndef MILLRACE_PATH_H
#define MILLRACE_PATH_H

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
    uint64_t bytes_sent;
};

#ifdef __cplusplus
}
#endif
#endif /* MILLRACE_PATH_H */
