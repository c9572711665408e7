/*
 * quic/path.h - connection IDs, the path in use, its validation and its MTU (RFC 9000,
 * Sections 5.1, 8.2, 9 and 14).
 *
 * Owner: the connection that embeds them.  Threads: the shard's only.
 */
#ifndef MR_QUIC_PATH_H
#define MR_QUIC_PATH_H

#include "quic/cc.h"
#include "quic/conn_parts.h"
#include "quic/ecn.h"
#include "quic/mtu.h"
#include "quic/pacer.h"
#include "quic/path_check.h"
#include "quic/resume.h"
#include "quic/rtt.h"

/* Connection IDs of ours. */
struct mr_issued_cids {
    uint64_t key[MR_CIDS_SLOTS];      /* their 8 bytes; 0: free slot */
    uint32_t sequence[MR_CIDS_SLOTS]; /* no more are issued than these can count */
};

/* A connection ID of the peer's. */
struct mr_peer_cid {
    uint64_t sequence;
    struct mr_cid cid;
    uint8_t reset_token[MR_RESET_TOKEN];
    bool is_used; /* slot holds one */
    bool has_token;
    bool is_spent; /* was used on a path that is gone, and cannot be retired yet */
};

/* A PATH_CHALLENGE that wants its answer, on the path it came by. */
struct mr_path_response {
    struct mr_path_addr addr;
    uint8_t data[MR_PATH_DATA];
    uint32_t bytes_max; /* 3 x the datagram that brought it */
};

/* The path in use (RFC 9000, Section 9).  Multipath's further paths will be chunks. */
struct mr_path {
    struct mr_path_addr addr;
    struct mr_cc cc;
    struct mr_rtt rtt;
    struct mr_pacer pacer;
    struct mr_ecn_path ecn;
    uint64_t bytes_received; /* while not validated: 3 x this may be sent */
    uint64_t bytes_sent;
    uint32_t mtu; /* UDP payload bytes that are known to pass */
    bool is_validated;
    uint8_t number;   /* of its congestion control and round trip: what was sent under another one
                         does not count here (RFC 9000, Section 9.4) */
    bool is_spinning; /* the spin bit is enabled: RFC 9000, Section 17.4 */
    uint8_t spin;     /* what short headers say: MR_PACKET_SPIN or 0 */
};

/* Number of packets that were sent beside the path in use, and count for no path. */
#define MR_PATH_ELSEWHERE 255

/* A path beside the one in use: it carries probing packets only. */
struct mr_side_path {
    struct mr_path_addr addr;
    struct mr_path_check check;
    uint64_t bytes_received; /* unless is_trusted: 3 x this may be sent */
    uint64_t bytes_sent;
    uint64_t peer_chose; /* the connection ID of ours that the peer sent to when it was opened */
    uint32_t cid;        /* of peer_cids, to send with; MR_NONE: there is none, nothing is sent */
    bool is_used;
    bool is_trusted;   /* validated, or chosen by us */
    bool is_validated; /* a response came */
    bool is_ours;      /* a client goes there as soon as it is validated */
    bool is_peers;     /* the peer is there already; a server follows when it is validated */
};

enum mr_side {
    MR_SIDE_KEPT,      /* the last validated path: what to go back to */
    MR_SIDE_CANDIDATE, /* one that is being probed */
    MR_SIDES
};

/* Who uses a connection's extra: one bit each. */
enum mr_extra_use {
    MR_EXTRA_PATH_RESPONSES = 1 << 0,
    MR_EXTRA_PATH_CHECK = 1 << 1, /* of the path in use */
    MR_EXTRA_PATH_KEPT = 1 << 2,
    MR_EXTRA_PATH_CANDIDATE = 1 << 3,
    MR_EXTRA_OBSERVED = 1 << 8,
    MR_EXTRA_RESUME = 1 << 9,
    MR_EXTRA_KEEP_ALIVE = 1 << 10,
};

#define MR_EXTRA_PATHS (MR_EXTRA_PATH_CHECK | MR_EXTRA_PATH_KEPT | MR_EXTRA_PATH_CANDIDATE)
#define MR_EXTRA_TRAVELS                                                                           \
    (MR_EXTRA_PATHS | MR_EXTRA_OBSERVED | MR_EXTRA_RESUME) /* to another shard */

/* What the peer has told of our address. */
struct mr_observed {
    uint64_t next_sequence; /* lower ones are old */
    struct mr_addr addr;    /* port 0: none of the path in use yet */
};

/* PINGs of a client that awaits an answer (quic/conn_keep_alive.c). */
struct mr_keep_alive {
    uint64_t bytes; /* of streams, received until the last one */
    uint32_t count; /* since these had come */
};

/* What few connections need, and those for a while; a pool object, taken with its first use and
 * given back with its last. */
struct mr_conn_extra {
    uint32_t uses; /* of enum mr_extra_use */
    uint32_t path_response_count;
    struct mr_observed observed;
    struct mr_resume resume;
    struct mr_keep_alive keep_alive;
    struct mr_path_response path_responses[MR_PATH_RESPONSES_MAX];
    struct mr_path_check check; /* of the path in use, after the peer's address changed */
    struct mr_side_path side[MR_SIDES];
    struct mr_path kept; /* what the kept path was like; stale while the path in use differs from it
                            in a port only, and goes on with its values */
};

#endif /* MR_QUIC_PATH_H */
