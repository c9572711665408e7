/*
 * quic/multipath_path.h - several paths of one connection (draft-ietf-quic-multipath): what each
 * further path has for itself, and what the connection knows of all of them.
 *
 *     struct mr_conn          path 0 at rest; the path in hand while one is worked on
 *     struct mr_path_record   a further path: all that struct mr_conn has of one path, and the ID
 *     struct mr_multipath     which records a connection has, and its side of the negotiation
 *
 * To work on a further path its values change places with those in struct mr_conn
 * (quic/conn_multipath.c): everything that receives, sends and recovers works on the path in hand
 * and knows of no other.
 *
 * Owner: the connection.  Threads: the shard's only.  Limits: multipaths_max, path_records_max.
 */
#ifndef MR_QUIC_MULTIPATH_PATH_H
#define MR_QUIC_MULTIPATH_PATH_H

#include "millrace/path.h"
#include "quic/loss.h"
#include "quic/path.h"

#define MR_PATH_CIDS      2                    /* connection IDs of ours for each further path */
#define MR_CID_OF_PATH    UINT32_C(0x80000000) /* in the table of connection IDs: | record */
#define MR_CID_ASLEEP     UINT32_C(0xc0000000) /* the same: | number of a connection that sleeps */
#define MR_PATH_ZERO      MR_NONE              /* in place of a record: path 0, which has none */
#define MR_PATH_GONE      (MR_NONE - 1)        /* a path that never was, or is no more */
#define MR_PATH_LOST_PTOS 2 /* in a row: its data is sent by others, and no new data by it */
#define MR_PATH_DEAD_PTOS 7 /* in a row: it is abandoned, if there is another */

enum mr_path_state {
    MR_PATH_UNUSED,   /* it has connection IDs */
    MR_PATH_CHECKING, /* packets were sent or came; the address is not validated */
    MR_PATH_OPEN,
    MR_PATH_ABANDONED /* by either side: nothing is sent by it; what arrives late is acknowledged */
};

enum mr_path_status {
    MR_PATH_UNSAID,
    MR_PATH_AVAILABLE,
    MR_PATH_BACKUP
};

/* A path's life, whether or not it is in use. */
struct mr_path_life {
    uint64_t until_ns; /* ABANDONED: when it is forgotten; MR_NEVER: the peer has not answered */
    uint64_t error;    /* ABANDONED: why */
    uint64_t bytes_received; /* UDP payload; path 0's is not counted: its packets are received like
                                those of a connection that has no other */
    uint64_t peer_status_next; /* sequence numbers of PATH_STATUS_x below are outdated */
    uint32_t status_next;      /* of our next one */
    uint8_t state;             /* enum mr_path_state */
    uint8_t status;            /* enum mr_path_status: what we have told */
    uint8_t peer_status;       /* what the peer has */
    bool is_ours;              /* we opened it */
    bool has_data; /* what any path may carry went by it, since others were last given all of it */
    bool has_peer_abandoned;
    bool is_gone; /* path 0 only: forgotten */
    bool owes_abandon;
    bool owes_status;
    bool owes_cids_blocked;
};

struct mr_path_record {
    uint32_t conn; /* owner */
    uint32_t id;   /* of the path */
    struct mr_path_life life;
    /* ---- as in struct mr_conn, with which they change places ---- */
    struct mr_pn_space app;
    struct mr_path path;
    struct mr_loss loss;
    struct mr_mtu_search mtu_search;
    uint64_t pacing_until_ns;
    uint64_t path_due_ns;
    uint64_t tell_window;
    uint64_t path_fresh_ns;
    uint64_t peer_chose;
    uint64_t skip_pn;
    uint64_t phase_first_pn;
    uint64_t opened_first_pn;
    uint32_t extra;
    uint8_t path_numbers;
    uint8_t side_packets;
    bool is_on_preferred;
    bool was_cwnd_limited;
    bool is_token_tracked;
    uint8_t cid_config;
    uint8_t tracked_token[MR_RESET_TOKEN];
    struct mr_issued_cids issued;
    uint64_t issued_next_sequence;
    uint64_t issued_prior_to;
    uint64_t cids_due_ns;
    uint16_t issued_announced;
    uint16_t issued_known;
    uint32_t issued_limit;
    struct mr_peer_cid peer_cids[MR_CIDS_PEER_MAX];
    uint32_t peer_cid_current;
    uint32_t retire_count;
    uint64_t peer_retire_prior_to;
    uint64_t peer_seen;
    uint64_t peer_seen_from;
    uint64_t retire[MR_RETIRE_QUEUE_MAX];
    uint32_t retire_waiting;
};

struct mr_multipath {
    uint64_t our_max;      /* largest path ID that the peer may use */
    uint64_t peer_max;     /* that we may */
    uint64_t peer_initial; /* as its transport parameter had it */
    uint64_t given;        /* largest path ID that ever had a record: all below had, too */
    uint64_t blocked_at;   /* limit that our last PATHS_BLOCKED named; MR_NEVER */
    uint32_t hand;         /* record in hand; MR_PATH_ZERO */
    uint32_t cids_hand;    /* the one whose connection IDs are */
    uint32_t cid_limit;    /* of ours, for each further path */
    uint32_t count;
    uint32_t records[MR_PATHS_MAX];
    struct mr_path_life zero; /* path 0's */
    bool is_agreed;           /* both sides have offered it */
    bool owes_max_path_id;
    bool owes_paths_blocked;
    bool owes_any;          /* of these, or a path does */
    bool is_data_elsewhere; /* the path in hand is sending, and carries no data */
};

#endif /* MR_QUIC_MULTIPATH_PATH_H */
