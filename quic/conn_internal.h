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
 *          conn_keep_alive.c   a client that awaits an answer shows its address
 *          conn_bits.c         the spin bit, the QUIC bit
 *          conn_version.c      versions 1 and 2
 *          conn_cid.c  conn_path.c  conn_mtu.c  conn_stream.c  conn_datagram.c  conn_extra.c
 *          conn_resume.c       what an earlier connection knew of the path
 *          conn_undo.c         losses that were none
 *          conn_control.c      which congestion control
 *          conn_api.c
 *          conn_close.c        how it ends
 *          conn_move.c         how it goes to another shard
 *          conn_multipath*.c   several paths at a time
 *
 * Memory (bytes; see docs/quic.md): a connection is one pool object; what only a handshake needs
 * is a struct mr_handshake, given back when it is over; expanded 1-RTT keys are a struct
 * mr_conn_keys, dropped from connections that idle when others need them.
 *
 * Owner: the shard.  Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_INTERNAL_H
#define MR_QUIC_CONN_INTERNAL_H

#include "base/pool.h"
#include "quic/conn_parts.h"
#include "quic/datagram_queue.h"
#include "quic/endpoint.h"
#include "quic/flow.h"
#include "quic/follow.h"
#include "quic/handshake.h"
#include "quic/loss.h"
#include "quic/packet.h"
#include "quic/path.h"
#include "quic/schedule.h"
#include "quic/stream.h"
#include "quic/token.h"

/*
 * Cache lines of a connection that a burst of its packets may touch, of 55: measured, a burst of
 * full packets sent touches 18, received 13, an ACK received 21, a request that is answered about
 * 24.  quic/endpoint_receive.c asks for them ahead.  Of those each further packet of a
 * run (conn_run.c, conn_recv_run.c) touches one, with path.addr.
 */
#define MR_CONN_BURST_LINES 24

struct mr_conn {
    /* ---- read and written per packet ---- */
    uint32_t index;      /* its place in the pool: what lists and tables of the shard know it by */
    uint32_t generation; /* of the handle; odd while in use */
    uint8_t state;       /* enum mr_conn_state */
    uint8_t role;        /* enum mr_role */
    bool is_confirmed;   /* RFC 9001, Section 4.1.2 */
    bool is_ready;       /* in the send list */
    bool is_touched;     /* in this burst's list */
    bool is_dirty;       /* in the event list */
    bool was_cwnd_limited; /* the window, not data, ended the last visit */
    bool is_streams_turn;  /* streams go before datagrams in the next packet */
    uint32_t keys;         /* expanded 1-RTT keys, MR_NONE: none or dropped */
    uint32_t ready_next;
    uint32_t ready_previous;
    uint32_t dirty_next;
    uint32_t handshake;      /* pool index, MR_NONE */
    uint32_t pending_events; /* enum mr_event_kind bits not collected yet */
    uint32_t trace;          /* place in the endpoint's tracer, MR_NONE: not traced */
    uint32_t number;         /* for life: what handles and the timer wheel know it by */
    uint64_t armed_ns;       /* the wheel's deadline; MR_NEVER: not armed */
    uint64_t last_received_ns;
    uint64_t idle_base_ns;    /* last received, or first ack-eliciting sent after it: RFC 9000,
                                 Section 10.1 */
    uint64_t idle_timeout_ns; /* 0: none */
    uint64_t pacing_until_ns;
    struct mr_schedule sendable;      /* streams with data to send */
    struct mr_stream_list controlled; /* streams that owe a control frame */
    uint32_t last_stream;             /* found last */
    uint32_t streams_open;
    uint32_t stream_head; /* all of this connection's, through conn_next */
    struct mr_flow_recv flow_recv;
    struct mr_flow_send flow_send;
    struct mr_pn_space app;
    struct mr_loss loss;
    struct mr_path path; /* addr is in one line: asserted below */
    struct mr_key_state key_state;
    /* ---- looked at once per burst, as the end of key_state is ---- */
    uint64_t path_due_ns; /* when a validation goes on or fails, or quic/conn_keep_alive.c looks;
                             MR_NEVER */
    uint64_t cids_due_ns; /* our connection IDs are too old then; MR_NEVER: they do not age */
    uint64_t skip_pn;     /* next packet number to leave out, RFC 9000, Section 21.4 */
    uint64_t packets_sent;
    struct mr_ack_policy ack_policy;
    struct mr_ack_request ack_request;
    uint64_t bytes_received_total;
    uint64_t peer_chose; /* the connection ID of ours that the peer sent to on this path */
    struct mr_mtu_search mtu_search;
    uint32_t extra;     /* pool index, MR_NONE: it uses none */
    uint32_t multipath; /* the same, of its several paths */
    uint32_t peer_cid_current;
    uint8_t peer_ack_delay_exponent;
    uint8_t cid_config;   /* config rotation of the connection IDs of ours that are not retired */
    uint8_t limited_by;   /* enum mr_limiter */
    bool observes;        /* the peer is told its address */
    bool clears_quic_bit; /* of half of its packets: RFC 9287 */
    bool was_datagram_refused; /* WRITABLE is owed */
    bool is_held; /* arrived from another shard: events wait until it has told its last */
    bool is_bulk; /* which of the two send lists it is in, or was last */
    /* ---- cold ---- */
    uint32_t version;
    uint32_t name; /* server's, as the client asked; in ep->names, MR_NONE: none */
    uint64_t stream_window_bidi_local; /* the peer's initial limits for streams */
    uint64_t stream_window_bidi_remote;
    uint64_t stream_window_uni;
    struct mr_streams_recv streams_recv[2]; /* [is_uni] */
    uint64_t tell_window; /* that the path must have carried for its client to be told */
    struct mr_peer_cid peer_cids[MR_CIDS_PEER_MAX];
    struct mr_streams_send streams_send[2];
    uint64_t path_fresh_ns; /* when a path last began with the initial window; 0: the first did */
    uint8_t path_numbers;   /* given out, modulo MR_PATH_ELSEWHERE */
    uint8_t side_packets;   /* sent beside the path in use, neither acknowledged nor lost */
    bool is_on_preferred;   /* the server's preferred address is in use */
    struct mr_issued_cids issued;
    uint64_t issued_next_sequence;
    uint64_t issued_prior_to;  /* the peer must retire those below: Retire Prior To */
    uint16_t issued_announced; /* bit i: the NEW_CONNECTION_ID of issued[i] is sent or not needed */
    uint16_t issued_known;     /* bit i: the peer has acknowledged it */
    uint32_t issued_limit;     /* min(peer's limit, ours) */
    uint16_t peer_datagram_max; /* bytes of a DATAGRAM frame that the peer takes; 0: none */
    uint16_t peer_payload_max;
    uint32_t observed_next;     /* sequence number of our next OBSERVED_ADDRESS */
    bool takes_reset_stream_at; /* the peer does */
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
    uint64_t packets_lost;
    struct mr_datagram_queue datagrams_out; /* to be sent */
    struct mr_datagram_queue datagrams_in;  /* to be read */
    uint8_t tracked_token[MR_RESET_TOKEN];  /* in the endpoint's table */
    bool is_token_tracked;
    bool has_peer_params;
    bool is_migration_disabled;
    bool is_resumed;
    uint8_t early; /* enum mr_tls_early, of 0-RTT */
    bool is_handshake_done_acked;
    bool is_connected;  /* the application was told */
    bool is_forwarding; /* MOVED: nothing is left but its connection IDs */
    char alpn[MR_ALPN_KEPT_MAX];
    uint32_t moved_from_shard; /* came from there */
    uint32_t moved_to;         /* MOVED: the shard */
    uint64_t moved_from;       /* handle there; MR_HANDLE_NONE: began here */
    uint64_t move_again_ns;    /* not before */
    union {
        uint64_t move_id;        /* MOVED: of the export */
        struct mr_follow follow; /* else: datagrams that other shards passed on */
    };
};

_Static_assert(offsetof(struct mr_conn, path.addr) / MR_CACHE_LINE ==
                   (offsetof(struct mr_conn, path.cc) - 1) / MR_CACHE_LINE,
               "all that the next packet of a run looks at is in one line");

#endif /* MR_QUIC_CONN_INTERNAL_H */
