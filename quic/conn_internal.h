/*
 * quic/conn_internal.h - struct mr_conn and its parts, shared by conn_*.c and endpoint*.c.
 *
 * The trunk is cut by direction; each file is a table of small steps:
 *
 *     in   endpoint_receive.c  datagrams -> slots -> open -> packets
 *          endpoint_accept.c   no connection yet: VN, Retry, accept, reset
 *          conn_recv.c         packet -> frames
 *          conn_recv_run.c     many packets of one stream at once
 *          conn_on_frame.c     frame -> state
 *          conn_on_ack.c       ACK, loss
 *     out  endpoint_send.c     ready list -> datagrams, seal
 *          conn_send.c         packets, table of producers
 *          conn_produce.c      frames of the producers
 *          conn_run.c          many full packets of one stream at once
 *     both endpoint.c          memory, lists
 *          endpoint_events.c   what the application is told
 *          conn_tls.c          TLS jobs, keys of each level
 *          conn_keys.c         1-RTT keys: expansion, update
 *          conn_timer.c        one deadline
 *          conn_cid.c  conn_path.c  conn_stream.c  conn_datagram.c  conn_api.c
 *          conn_close.c        how it ends
 *          conn_move.c         how it goes to another shard
 *
 * Memory (bytes; see docs/quic.md): a connection is one pool object; what only a handshake needs
 * is a struct mr_handshake, given back when it is over; expanded 1-RTT keys are a struct
 * mr_conn_keys, dropped from connections that idle when others need them.
 *
 * Owner: the shard.  Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_INTERNAL_H
#define MR_QUIC_CONN_INTERNAL_H

#include "base/compiler.h"
#include "base/pool.h"
#include "quic/ack_ranges.h"
#include "quic/cc.h"
#include "quic/crypto_stream.h"
#include "quic/datagram_queue.h"
#include "quic/endpoint.h"
#include "quic/flow.h"
#include "quic/follow.h"
#include "quic/frame.h"
#include "quic/keys.h"
#include "quic/loss.h"
#include "quic/pacer.h"
#include "quic/packet.h"
#include "quic/rtt.h"
#include "quic/sent.h"
#include "quic/stream.h"
#include "quic/tls.h"
#include "quic/token.h"
#include "quic/transport_params.h"

#define MR_CIDS_ISSUED_MAX       8     /* of ours that a peer may hold at a time */
#define MR_CIDS_SLOTS            16    /* and as many that it must retire after a move */
#define MR_CIDS_PEER_MAX         8     /* of the peer's that we hold: active_connection_id_limit */
#define MR_RETIRE_QUEUE_MAX      16    /* RETIRE_CONNECTION_ID not acknowledged; more: an error */
#define MR_PATH_RESPONSES_MAX    4     /* waiting; more: the oldest is not answered */
#define MR_PENDING_DATAGRAMS_MAX 10    /* that wait for keys, per handshake */
#define MR_UDP_PAYLOAD_MAX       65527 /* bytes; RFC 9000, Section 18.2 */
#define MR_REASON_MAX            96    /* bytes of a close reason kept */
#define MR_TOKEN_KEPT_MAX        256   /* bytes of a Retry token a client returns */
#define MR_ALPN_KEPT_MAX         32
#define MR_QUANTUM_PACKETS       8 /* of one connection per visit; DESIGN.md 12: at least 4 */
#define MR_QUEUED_MAX_BYTES      (UINT64_C(64) << 20)  /* of a stream; more: send() says -EAGAIN */
#define MR_LOW_WATER_BYTES       (UINT64_C(16) << 20)  /* WRITABLE is told below it */
#define MR_STREAM_WINDOW_FIRST   (UINT64_C(512) << 10) /* receive windows grow from it */
#define MR_CONN_WINDOW_FIRST     (UINT64_C(1) << 20)
#define MR_ACK_DELAY_MAX_NS      (25 * MR_MS)
#define MR_ACK_DELAY_EXPONENT    3
#define MR_ACK_AFTER             2           /* ack-eliciting packets, RFC 9000, Section 13.2.2 */
#define MR_MEMORY_RETRY_NS       (5 * MR_MS) /* until a connection that found no chunk asks again */
#define MR_HANDSHAKE_TIMEOUT     (10 * MR_SECOND)
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
};

/* What may go out although the congestion window is full. */
#define MR_WANTS_UNCONGESTED (MR_WANT_ACK | MR_WANT_CLOSE)

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
    uint32_t wants;           /* of enum mr_want */
    uint16_t unacked_count;   /* ack-eliciting packets received since our last ACK */
    uint16_t probes;          /* packets that may go beyond the congestion window (PTO) */
    bool is_discarded;        /* keys dropped, or never had */
    bool has_ecn;
};

/* One AEAD key and its header-protection key for a direction. */
struct mr_level_key {
    struct mr_aead_key aead;
    struct mr_hp_key hp;
    bool is_set;
};

/* Expanded 1-RTT keys; a pool object. */
struct mr_conn_keys {
    uint32_t conn;  /* owner, MR_NONE: free */
    uint32_t burst; /* number of the burst that used them last: those are not dropped */
    bool was_used;  /* since the clock hand last passed */
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
    struct mr_secret seal_secret; /* of the current generation */
    struct mr_secret open_secret;
    struct mr_secret next_open_secret;
    struct mr_key_material seal;
    struct mr_key_material open;
    struct mr_key_material other;
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
    bool is_confirmed; /* a packet of the current phase was acknowledged */
};

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

/* A datagram that waits for keys. */
struct mr_pending {
    struct mr_datagram datagram;
    uint32_t at; /* offset of the first packet that could not be opened */
};

/* What only a handshake needs; a pool object, given back when it is confirmed and tickets are out.
 */
struct mr_handshake {
    struct mr_tls tls;
    struct mr_tls_job *job; /* out, or NULL */
    uint32_t job_next;      /* in the endpoint's list of connections that want a job */
    bool wants_job;
    bool wants_first_job;              /* a client's ClientHello */
    struct mr_pn_space space[2];       /* Initial, Handshake */
    struct mr_crypto_stream crypto[3]; /* Initial, Handshake, 1-RTT */
    struct mr_level_key open[2];
    struct mr_level_key seal[2];
    struct mr_cid original_dcid;
    struct mr_cid retry_scid;
    bool has_retry;
    bool has_peer_scid; /* the peer's first long header was seen */
    bool is_tls_done;
    bool is_handshake_sent; /* client: a Handshake packet went out */
    bool has_initial_key;   /* in the endpoint's table of first DCIDs */
    uint8_t initial_key_size;
    uint8_t initial_key[MR_CID_MAX];
    uint16_t token_size;
    uint8_t token[MR_TOKEN_KEPT_MAX];
    uint32_t pending_count;
    struct mr_pending pending[MR_PENDING_DATAGRAMS_MAX];
    uint64_t ticket_wait_until_ns;
    uint32_t ticket_wait_prev; /* connections whose clients only wait for tickets, oldest first */
    uint32_t ticket_wait_next;
    bool waits_for_ticket; /* is among them */
    uint64_t started_ns;
    uint64_t paused_before_ns; /* the endpoint's pauses until then: later ones do not count */
    uint16_t params_size;
    uint8_t params[MR_TRANSPORT_PARAMS_MAX];
    /* a client's options, for the restart after Retry */
    uint32_t ticket_size;
    uint8_t ticket[MR_TLS_TICKET_MAX]; /* the newest that came */
    uint16_t remember_size;
    uint8_t remember[MR_TLS_REMEMBER_MAX];
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
    uint64_t bytes_received; /* while not validated: 3 x this may be sent */
    uint64_t bytes_sent;
    uint32_t mtu; /* UDP payload bytes that are known to pass */
    bool is_validated;
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

/* Search for the path MTU: one size is probed at a time (RFC 8899 in small). */
struct mr_mtu_search {
    uint16_t target; /* size being probed; 0: done */
    uint8_t tries;
    bool is_in_flight;
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

struct mr_conn {
    /* ---- read and written per packet ---- */
    uint32_t index;        /* in the pool */
    uint32_t generation;   /* of the handle; odd while in use */
    uint8_t state;         /* enum mr_conn_state */
    uint8_t role;          /* enum mr_role */
    bool is_confirmed;     /* RFC 9001, Section 4.1.2 */
    bool is_ready;         /* in the send list */
    bool is_touched;       /* in this burst's list */
    bool is_dirty;         /* in the event list */
    bool was_cwnd_limited; /* the window, not data, ended the last visit */
    bool is_streams_turn;  /* streams go before datagrams in the next packet */
    uint32_t keys;         /* expanded 1-RTT keys, MR_NONE: none or dropped */
    uint32_t ready_next;
    uint32_t ready_previous;
    uint32_t dirty_next;
    uint32_t handshake;      /* pool index, MR_NONE */
    uint32_t pending_events; /* enum mr_event_kind bits not collected yet */
    uint64_t armed_ns;       /* the wheel's deadline; MR_NEVER: not armed */
    uint64_t last_received_ns;
    uint64_t idle_base_ns;    /* last received, or first ack-eliciting sent after it: RFC 9000,
                                 Section 10.1 */
    uint64_t idle_timeout_ns; /* 0: none */
    uint64_t pacing_until_ns;
    struct mr_stream_list sendable;   /* streams with data to send, round robin */
    struct mr_stream_list controlled; /* streams that owe a control frame */
    uint32_t last_stream;             /* found last */
    uint32_t streams_open;
    uint32_t stream_head; /* all of this connection's, through conn_next */
    uint32_t moved_to;    /* MOVED: the shard */
    struct mr_flow_recv flow_recv;
    struct mr_flow_send flow_send;
    struct mr_pn_space app;
    struct mr_path path;
    struct mr_loss loss;
    struct mr_key_state key_state;
    /* ---- cold ---- */
    uint32_t version;
    uint32_t name; /* server's, as the client asked; in ep->names, MR_NONE: none */
    struct mr_streams_recv streams_recv[2]; /* [is_uni] */
    struct mr_streams_send streams_send[2];
    struct mr_path_validation validation;
    struct mr_mtu_search mtu_search;
    uint32_t path_response_count;
    struct mr_path_response path_responses[MR_PATH_RESPONSES_MAX];
    struct mr_issued_cids issued;
    uint64_t issued_next_sequence;
    uint64_t issued_prior_to;  /* the peer must retire those below: Retire Prior To */
    uint16_t issued_announced; /* bit i: the NEW_CONNECTION_ID of issued[i] is sent or not needed */
    uint16_t issued_known;     /* bit i: the peer has acknowledged it */
    uint32_t issued_limit;     /* min(peer's limit, ours) */
    uint16_t peer_datagram_max; /* bytes of a DATAGRAM frame that the peer takes; 0: none */
    uint16_t peer_payload_max;
    uint8_t peer_ack_delay_exponent;
    bool was_datagram_refused; /* WRITABLE is owed */
    struct mr_peer_cid peer_cids[MR_CIDS_PEER_MAX];
    uint32_t peer_cid_current;
    uint32_t retire_count;
    uint64_t peer_retire_prior_to;
    uint64_t peer_seen; /* bit i: sequence number peer_seen_from + i has come */
    uint64_t peer_seen_from;
    uint64_t retire[MR_RETIRE_QUEUE_MAX]; /* sequence numbers, not acknowledged */
    uint32_t retire_waiting;              /* bit i: retire[i] is to be sent */
    struct mr_tls_late late;
    uint64_t late_offset; /* 1-RTT CRYPTO bytes that `late` has seen */
    struct mr_close close;
    uint64_t close_until_ns;
    uint64_t user_data;
    uint64_t skip_pn; /* next packet number to leave out, RFC 9000, Section 21.4 */
    uint64_t packets_sent;
    uint64_t packets_lost;
    uint64_t bytes_received_total;
    uint64_t stream_window_bidi_local; /* the peer's initial limits for streams */
    uint64_t stream_window_bidi_remote;
    uint64_t stream_window_uni;
    struct mr_datagram_queue datagrams_out; /* to be sent */
    struct mr_datagram_queue datagrams_in;  /* to be read */
    uint8_t tracked_token[MR_RESET_TOKEN];  /* in the endpoint's table */
    bool is_token_tracked;
    bool has_peer_params;
    bool is_migration_disabled;
    bool is_resumed;
    bool is_handshake_done_acked;
    bool is_connected;  /* the application was told */
    bool is_held;       /* arrived from another shard: events wait until it has told its last */
    bool is_forwarding; /* MOVED: nothing is left but its connection IDs */
    uint8_t limited_by; /* enum mr_limiter */
    char alpn[MR_ALPN_KEPT_MAX];
    uint32_t moved_from_shard; /* came from there */
    uint64_t moved_from;       /* handle there; MR_HANDLE_NONE: began here */
    uint64_t move_again_ns;    /* not before */
    union {
        uint64_t move_id;        /* MOVED: of the export */
        struct mr_follow follow; /* else: datagrams that other shards passed on */
    };
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

#endif /* MR_QUIC_CONN_INTERNAL_H */
