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
    bool is_spinning; /* the spin bit is enabled: RFC 9000, Section 17.4 */
    uint8_t spin;     /* what short headers say: MR_PACKET_SPIN or 0 */
};

/* Validation of the path in use (after the peer's address changed), and what to go back to. */
struct mr_path_validation {
    struct mr_path_addr fallback; /* the last validated address */
    uint8_t challenge[MR_PATH_DATA];
    uint64_t deadline_ns; /* failed by then; MR_NEVER: none runs */
    uint64_t resend_ns;
    uint32_t sent_count;
    bool is_running;
    bool is_small; /* a challenge went out in less than 1,200 bytes: RFC 9000, Section 8.2.1 */
    bool has_fallback;
};

/* Who uses a connection's extra: one bit each. */
enum mr_extra_use {
    MR_EXTRA_PATH_RESPONSES = 1 << 0,
    MR_EXTRA_OBSERVED = 1 << 8,
};

/* What the peer has told of our address. */
struct mr_observed {
    uint64_t next_sequence; /* lower ones are old */
    struct mr_addr addr;    /* port 0: none of the path in use yet */
};

/* What few connections need, and those for a while; a pool object, taken with its first use and
 * given back with its last. */
struct mr_conn_extra {
    uint32_t uses; /* of enum mr_extra_use */
    uint32_t path_response_count;
    struct mr_observed observed;
    struct mr_path_response path_responses[MR_PATH_RESPONSES_MAX];
};

#endif /* MR_QUIC_PATH_H */
