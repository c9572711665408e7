/*
 * quic/conn_parts.h - the numbers of a connection, and the parts of it that are neither path nor
 * handshake: packet number spaces, 1-RTT keys, how it ends.
 *
 * Owner: the connection, or its handshake, that embeds them.  Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_PARTS_H
#define MR_QUIC_CONN_PARTS_H

#include "base/compiler.h"
#include "quic/ack_ranges.h"
#include "quic/aead.h"
#include "quic/ecn.h"
#include "quic/frame.h"
#include "quic/keys.h"
#include "quic/sent.h"
#include "quic/types.h"

#define MR_CIDS_ISSUED_MAX       4     /* of ours that a peer may hold at a time */
#define MR_CIDS_SLOTS            8     /* and as many that it must retire after a move */
#define MR_CIDS_PEER_MAX         4     /* of the peer's that we hold: active_connection_id_limit */
#define MR_RETIRE_QUEUE_MAX      16    /* RETIRE_CONNECTION_ID not acknowledged; more: an error */
#define MR_PATH_RESPONSES_MAX    4     /* waiting; more: the oldest is not answered */
#define MR_SIDE_PACKETS_MAX      16    /* beside the path in use, not acknowledged; more: none */
#define MR_PENDING_DATAGRAMS_MAX 10    /* that wait for keys, per handshake */
#define MR_UDP_PAYLOAD_MAX       65527 /* bytes; RFC 9000, Section 18.2 */
#define MR_REASON_MAX            96    /* bytes of a close reason kept */
#define MR_TOKEN_KEPT_MAX        256   /* bytes of a NEW_TOKEN that a client keeps; longer: none */
#define MR_TOKEN_SENT_MAX        1024  /* of a Retry's, which its Initials have room beside */
#define MR_ALPN_KEPT_MAX         32
#define MR_QUANTUM_PACKETS       32 /* of one connection per visit; DESIGN.md 12: at least 4 */
#define MR_TURN_PACKETS          8  /* of one stream while others wait */
#define MR_FEW_PACKETS           8  /* fewer in a visit: the next does not wait behind bulk data */
#define MR_QUEUED_MAX_BYTES      (UINT64_C(64) << 20)  /* of a stream, never sent; more: -EAGAIN */
#define MR_LOW_WATER_BYTES       (UINT64_C(16) << 20)  /* WRITABLE is told below it */
#define MR_STREAM_WINDOW_FIRST   (UINT64_C(512) << 10) /* receive windows grow from it */
#define MR_CONN_WINDOW_FIRST     (UINT64_C(1) << 20)
#define MR_ACK_DELAY_MAX_NS      (25 * MR_MS)
#define MR_ACK_DELAY_EXPONENT    3
#define MR_ACK_AFTER             2           /* ack-eliciting packets, RFC 9000, Section 13.2.2 */
#define MR_ACK_DELAY_MIN_US      1000        /* min_ack_delay: ticks of the wheel are shorter */
#define MR_ACK_AFTER_MAX         512         /* that a peer can ask for; more count as this */
#define MR_ACK_ASK_MAX           64          /* that we ask for */
#define MR_MEMORY_RETRY_NS       (5 * MR_MS) /* until a connection that found no chunk asks again */
#define MR_HANDSHAKE_TIMEOUT     (15 * MR_SECOND)
#define MR_CLIENT_TICKET_WAIT                                                                      \
    (2 * MR_SECOND) /* a client's TLS state is kept for the first ticket so long */
#define MR_STREAM_ORDINAL_MAX (UINT64_C(1) << 38) /* streams of one type in a connection's life */

/* Producers: what a packet number space wants to send.  One bit per row of conn_send.c's table. */
enum mr_want {
    MR_WANT_ACK = 1 << 0,
    MR_WANT_CRYPTO = 1 << 1,
    MR_WANT_PATH_RESPONSE = 1 << 2,
    MR_WANT_PATH_CHALLENGE = 1 << 3,
    MR_WANT_HANDSHAKE_DONE = 1 << 4,
    MR_WANT_MAX_DATA = 1 << 5,
    MR_WANT_MAX_STREAMS_BIDI = 1 << 6,
    MR_WANT_MAX_STREAMS_UNI = 1 << 7,
    MR_WANT_DATA_BLOCKED = 1 << 8,
    MR_WANT_STREAMS_BLOCKED_BIDI = 1 << 9,
    MR_WANT_STREAMS_BLOCKED_UNI = 1 << 10,
    MR_WANT_NEW_CID = 1 << 11,
    MR_WANT_RETIRE_CID = 1 << 12,
    MR_WANT_STREAM_CONTROL =
        1 << 13, /* RESET_STREAM, STOP_SENDING, MAX_STREAM_DATA, STREAM_DATA_BLOCKED */
    MR_WANT_STREAM = 1 << 14,
    MR_WANT_PING = 1 << 15, /* a probe, or keeping alive */
    MR_WANT_MTU_PROBE = 1 << 16,
    MR_WANT_CLOSE = 1 << 17,
    MR_WANT_DATAGRAM = 1 << 18,
    MR_WANT_ACK_FREQUENCY = 1 << 19,
    MR_WANT_IMMEDIATE_ACK = 1 << 20,
    MR_WANT_NEW_TOKEN = 1 << 22,
    MR_WANT_PATH_PROBE = 1 << 21, /* PATH_CHALLENGE beside the path in use */
    MR_WANT_OBSERVED_ADDRESS = 1 << 23,
    MR_WANT_MULTIPATH = 1 << 24, /* frames of draft-ietf-quic-multipath, PATH_ACK above all */
};

/* What may go out although the congestion window is full. */
#define MR_WANTS_UNCONGESTED                                                                       \
    (MR_WANT_ACK | MR_WANT_CLOSE | MR_WANT_PATH_CHALLENGE | MR_WANT_MULTIPATH)

/* What goes out in datagrams of its own, by other rules. */
#define MR_WANTS_APART (MR_WANT_PATH_RESPONSE | MR_WANT_PATH_PROBE | MR_WANT_MTU_PROBE)

enum mr_conn_state {
    MR_CONN_HANDSHAKE, /* until TLS says complete */
    MR_CONN_OPEN,
    MR_CONN_CLOSING,  /* we closed: answers packets with CONNECTION_CLOSE, RFC 9000, Section 10.2.1
                       */
    MR_CONN_DRAINING, /* the peer closed, or a reset: silent, Section 10.2.2 */
    MR_CONN_DEAD,     /* the application's last event is due or delivered */
    MR_CONN_MOVED     /* another shard's, or on its way there: datagrams are passed on */
};

/* A packet number space. */
struct mr_pn_space {
    struct mr_ack_ranges received;
    struct mr_sent sent;
    uint64_t largest_acked;   /* by the peer; MR_PN_NONE */
    uint64_t largest_at_ns;   /* when the largest received packet came, for the ACK delay */
    uint64_t ack_deadline_ns; /* MR_NEVER: no ACK is owed later */
    struct mr_ecn_counts ecn; /* received */
    struct mr_ecn_reports ecn_reports;
    uint32_t wants;         /* of enum mr_want */
    uint16_t unacked_count; /* ack-eliciting packets received since our last ACK */
    uint16_t probes;        /* packets that may go beyond the congestion window (PTO) */
    bool is_discarded;      /* keys dropped, or never had */
    bool has_ecn;
    bool was_ce;   /* the packet received last was marked CE */
    uint32_t undo; /* block of a struct mr_undo (quic/conn_undo.h); MR_NONE */
};

/* How the peer wants our ACKs of 1-RTT packets (quic/conn_ack_frequency.h). */
struct mr_ack_policy {
    uint64_t max_delay_ns;
    uint64_t next_sequence; /* lower ones are obsolete */
    uint64_t largest_sent;  /* Largest Acknowledged of our last ACK; MR_PN_NONE */
    uint32_t after;         /* ack-eliciting packets; 1: each; <= MR_ACK_AFTER_MAX */
    uint32_t reordering;    /* 0: no ACK because of it; 1: RFC 9000 */
};

/* How we want the peer's. */
struct mr_ack_request {
    uint64_t review_ns; /* not before; MR_NEVER: it takes no ACK_FREQUENCY */
    uint32_t next_sequence;
    uint32_t min_delay_us; /* its min_ack_delay */
    uint32_t own_delay_us; /* its max_ack_delay as it began */
    uint32_t delay_us;     /* asked last */
    uint16_t after;        /* asked last; <= MR_ACK_ASK_MAX */
    bool is_in_flight;
};

/* Expanded 1-RTT keys; a pool object. */
struct mr_conn_keys {
    uint32_t conn;  /* owner, MR_NONE: free */
    uint32_t burst; /* number of the burst that used them last: those are not dropped */
    bool was_used;  /* since the clock hand last passed */
    uint8_t opens;  /* bits: open[i] is set */
    uint8_t cipher; /* enum mr_cipher, of all of them */
    struct mr_aead_key seal;
    struct mr_aead_key
        open[2]; /* by key phase; the other phase's holds the previous or the next generation */
    struct mr_hp_key seal_hp;
    struct mr_hp_key open_hp;
};

/* What the slot of the other key phase holds. */
enum mr_other_phase {
    MR_OTHER_NONE,
    MR_OTHER_PREVIOUS, /* for packets that were overtaken, until other_until_ns */
    MR_OTHER_NEXT      /* derived in advance */
};

/* 1-RTT keys as an idle connection keeps them, and what counts their use. */
struct mr_key_state {
    struct mr_key_material seal; /* of the current generation */
    struct mr_key_material open;
    struct mr_key_material other;
    struct mr_secret seal_secret;
    struct mr_secret open_secret;
    struct mr_secret next_open_secret;
    uint64_t sealed_count;      /* packets, with the current seal key */
    uint64_t update_at_count;   /* start an update when sealed_count gets here */
    uint64_t open_failed_count; /* over all generations */
    uint64_t phase_first_pn;    /* first packet number sealed in the current phase */
    uint64_t
        opened_first_pn; /* first packet number opened in the current phase; MR_NEVER: none yet */
    uint64_t other_until_ns; /* when PREVIOUS is dropped */
    uint32_t seal_burst;     /* number of the send burst whose packets use the seal key */
    uint32_t updates;
    uint8_t other_kind; /* enum mr_other_phase */
    uint8_t phase;      /* 0 or 1: what we seal with, and expect */
    bool can_seal;
    bool can_open;
    bool is_confirmed;   /* a packet of the current phase was acknowledged */
    uint8_t next_failed; /* packets that the next key did not open, while PREVIOUS is kept */
};
struct mr_close {
    uint64_t error;
    uint64_t frame_type;
    uint64_t resend_after; /* packets received in CLOSING until the close is repeated */
    uint64_t received;
    bool is_app;
    bool is_remote;
    bool is_set;
    uint8_t reason_size;
    char reason[MR_REASON_MAX + 1];
};
enum mr_limiter {
    MR_LIMITED_APPLICATION,
    MR_LIMITED_CWND,
    MR_LIMITED_PACING,
    MR_LIMITED_FLOW,
    MR_LIMITED_AMPLIFICATION,
    MR_LIMITED_PORT,
    MR_LIMITED_MEMORY,
    MR_LIMITERS
};
#endif /* MR_QUIC_CONN_PARTS_H */
