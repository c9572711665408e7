/*
 * quic/conn.h - what the files of the trunk call of each other.
 *
 * Nothing here is public: applications and shards use quic/endpoint.h.  Every
 * function runs on the shard's thread.  Functions that may end a connection do so
 * through mr_conn_fail() and return false or a verdict; the connection object
 * stays valid until the next mr_endpoint_expire() or mr_endpoint_events().
 */
#ifndef MR_QUIC_CONN_H
#define MR_QUIC_CONN_H

#include "quic/endpoint_internal.h"

/* ------------------------------------------------------------------ objects */

#define MR_OBJECT_STREAM                                                                           \
    UINT32_C(0x80000000) /* bit of a dirty-list key: a stream, else a connection */

static inline struct mr_conn *mr_conn_at(const struct mr_endpoint *ep, uint32_t index)
{
    return mr_pool_at(&ep->conns, index);
}

static inline struct mr_stream *mr_stream_at(const struct mr_endpoint *ep, uint32_t index)
{
    return mr_pool_at(&ep->streams, index);
}

/* The handshake's part of a connection; NULL when it is over. */
static inline struct mr_handshake *mr_conn_handshake(const struct mr_endpoint *ep,
                                                     const struct mr_conn *conn)
{
    return conn->handshake == MR_NONE ? NULL : mr_pool_at(&ep->handshakes, conn->handshake);
}

/* The packet number space; NULL when a handshake space is gone. */
static inline struct mr_pn_space *mr_conn_space(const struct mr_endpoint *ep, struct mr_conn *conn,
                                                enum mr_space which)
{
    if (which == MR_SPACE_APP)
        return &conn->app;
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);
    return hs == NULL || hs->space[which].is_discarded ? NULL : &hs->space[which];
}

static inline bool mr_conn_is_alive(const struct mr_conn *conn)
{
    return conn->state <= MR_CONN_OPEN;
}

/* A new connection in state HANDSHAKE with its handshake part, one CID of ours, and default limits;
 * NULL: a limit was hit (counted). */
struct mr_conn *mr_conn_new(struct mr_endpoint *ep, enum mr_role role,
                            const struct mr_path_addr *path, uint64_t now);

/* Take a pool object, empty but for index, generation and lists; NULL: none is free. */
struct mr_conn *mr_conn_take(struct mr_endpoint *ep);

/* Give everything back.  The application must have been told. */
void mr_conn_free(struct mr_endpoint *ep, struct mr_conn *conn);

/* A client's handshake is confirmed: its part is kept until `until_ns`, for tickets, or until
 * another connection needs it. */
void mr_conn_wait_for_ticket(struct mr_endpoint *ep, const struct mr_conn *conn,
                             struct mr_handshake *hs, uint64_t until_ns);

/* Give the handshake's part back: confirmed, tickets out; or the connection is over. */
void mr_conn_end_handshake(struct mr_endpoint *ep, struct mr_conn *conn);

/* Begin a space / drop its keys and everything in flight in it (RFC 9001, Section 4.9). */
void mr_space_init(struct mr_endpoint *ep, struct mr_pn_space *space);
void mr_conn_discard_space(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                           uint64_t now);

/* Put the connection on the send list, if it is not. */
void mr_conn_wake(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_conn_unready(struct mr_endpoint *ep, struct mr_conn *conn);

/* The end of a burst: one ACK decision, one timer update for each connection touched. */
void mr_endpoint_settle(struct mr_endpoint *ep, uint64_t now);

/* Remember that the connection was touched in this receive burst: timers and ACK decision come
 * once, at its end. */
void mr_conn_touch(struct mr_endpoint *ep, struct mr_conn *conn);

/* Add event bits and put the object on the dirty list. */
void mr_conn_event(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t kinds);
void mr_stream_event(struct mr_endpoint *ep, struct mr_stream *stream, uint32_t kinds);

/* MOVED_IN of a connection that is held: in the next call of mr_endpoint_events(), and all that was
 * held in the one after. */
void mr_conn_event_arrival(struct mr_endpoint *ep, struct mr_conn *conn);

/* Take the connection and its streams off the dirty list; their events stay pending. */
void mr_conn_undirty(struct mr_endpoint *ep, struct mr_conn *conn);
/* Put back what has events pending, the connection first, then streams as they were opened. */
void mr_conn_redirty(struct mr_endpoint *ep, struct mr_conn *conn);

/* Something the producers of `space` want to send. */
static inline void mr_conn_want(struct mr_endpoint *ep, struct mr_conn *conn,
                                struct mr_pn_space *space, uint32_t wants)
{
    space->wants |= wants;
    mr_conn_wake(ep, conn);
}

/* Unpredictable to others, repeatable from the seed: connection IDs, challenges. */
uint64_t mr_endpoint_secret_random(struct mr_endpoint *ep);

/* Wall-clock seconds, for tokens. */
static inline uint64_t mr_endpoint_wall_s(const struct mr_endpoint *ep, uint64_t now)
{
    return ep->config.wall_offset_s + now / MR_SECOND;
}

static inline mr_handle mr_handle_of(uint32_t index, uint32_t generation, bool is_stream)
{
    return (uint64_t)generation << 32 | (is_stream ? MR_OBJECT_STREAM : 0) | index;
}

/* NULL: stale. */
struct mr_conn *mr_conn_of_handle(const struct mr_endpoint *ep, mr_handle handle);
struct mr_stream *mr_stream_of_handle(const struct mr_endpoint *ep, mr_handle handle);

/* ------------------------------------------------------------------ receiving */

/* One packet on its way through the frames. */
struct mr_rx {
    struct mr_endpoint *ep;
    struct mr_conn *conn;
    struct mr_pn_space *space;
    const struct mr_datagram *datagram;
    const uint8_t *dcid; /* of this packet */
    uint64_t now;
    uint64_t pn;
    enum mr_space space_id;
    enum mr_packet_type type;
    bool is_ack_eliciting;
    bool is_probing;    /* probing frames only so far, RFC 9000, Section 9.1 */
    bool is_refused;    /* no room: must not be acknowledged */
    bool is_other_path; /* came from another address than the path in use */
};

/* Handle an opened packet: duplicates, frames, bookkeeping. `payload` lies in rx->datagram. */
void mr_conn_receive(struct mr_rx *rx, uint8_t first_byte, const uint8_t *payload, size_t size);

/*
 * Handle the first of `count` slots, 1-RTT packets that were opened with their burst, as far as
 * each brings the next bytes of one stream and nothing else.  Returns how many; their buffers are
 * the stream's.  0: the general way must look.
 */
uint32_t mr_conn_receive_run(struct mr_endpoint *ep, const struct mr_slot *slots, uint32_t count,
                             uint64_t now);

/* Should `size` bytes of `d` be copied, so that they do not pin their packet buffer (DESIGN.md,
 * section 3)? */
bool mr_conn_wants_copy(struct mr_endpoint *ep, const struct mr_datagram *d, uint64_t size);

/* `growth` more bytes of the stream arrived: flow control and counters. */
void mr_stream_count_received(struct mr_endpoint *ep, struct mr_conn *conn,
                              struct mr_stream *stream, uint64_t growth);

/* The frame handlers of conn_recv.c's table.  False: the connection failed, or is closing now. */
bool mr_on_ping(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_padding(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_ack(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_reset_stream(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_stop_sending(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_crypto(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_new_token(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_stream(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_max_data(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_max_stream_data(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_max_streams(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_data_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_stream_data_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_streams_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_new_connection_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_retire_connection_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_path_challenge(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_path_response(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_datagram(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_connection_close(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_handshake_done(struct mr_rx *rx, struct mr_reader *r, uint64_t type);

/* ------------------------------------------------------------------ recovery */

/* Put the frames of a packet back to be sent again; says if any was worth it. */
bool mr_conn_requeue(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                     const struct mr_sent_packet *packet);

/* The loss time of `which` has come. */
void mr_conn_detect_lost(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                         uint64_t now);

/* A probe timeout in `which`. */
void mr_conn_on_pto(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                    uint32_t probes);

/* Everything in flight in `which` is sent again: Retry. */
void mr_conn_resend_all(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which);

/* ------------------------------------------------------------------ sending */

/*
 * Build at most `count` datagrams of `conn`.  Returns how many; the connection stays on the send
 * list if it was cut short.
 */
uint32_t mr_conn_send(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_outgoing *out,
                      uint32_t count, uint64_t now);

/* Queue a stateless datagram; dropped when MR_REPLIES_MAX wait. */
struct mr_reply *mr_endpoint_reply(struct mr_endpoint *ep, const struct mr_path_addr *path);

/* ------------------------------------------------------------------ TLS and keys */

/* Begin TLS on a new connection; false: OpenSSL refused. */
bool mr_conn_tls_start(struct mr_endpoint *ep, struct mr_conn *conn,
                       const struct mr_connect_options *options);

/* CRYPTO bytes are readable: ask for a job. */
void mr_conn_tls_want(struct mr_endpoint *ep, struct mr_conn *conn);

/* Set the Initial keys from the client's first (or the Retry's) DCID. */
bool mr_conn_set_initial_keys(struct mr_endpoint *ep, struct mr_conn *conn,
                              const struct mr_cid *dcid);

/* TLS is complete and, at a client, HANDSHAKE_DONE has come (RFC 9001, Section 4.1.2). */
void mr_conn_confirm(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* Give the handshake part back once nobody needs it any more. */
void mr_conn_maybe_end_handshake(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* Take 1-RTT secrets. */
void mr_keys_install(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_secret *secret,
                     bool is_write);

/* The expanded keys, rebuilt if they were dropped; NULL: out of OpenSSL memory. */
struct mr_conn_keys *mr_keys_use(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_keys_drop(struct mr_endpoint *ep, struct mr_conn *conn);

/* Open a 1-RTT packet whose key phase is not the current one; true: open, and an update was
 * followed if it was one. */
bool mr_keys_open_other_phase(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_open_job *job,
                              uint64_t now);

/* The keys to seal 1-RTT packets of this burst with; NULL: there are none, or their limit is
 * reached (then the connection is closed). */
struct mr_conn_keys *mr_keys_for_seal(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* Packet `pn` was opened with the current keys. */
void mr_keys_note_opened(struct mr_conn *conn, uint64_t pn, uint64_t now);

/* A packet failed to open with the current keys; newest acknowledged packet. */
void mr_keys_count_failed(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
void mr_keys_on_acked(struct mr_conn *conn, uint64_t largest_acked);

/* Begin a key update if it is allowed now (RFC 9001, Section 6.1). */
bool mr_keys_update_now(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
void mr_keys_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* ------------------------------------------------------------------ CIDs and paths */

/* Issue one more CID: registered in the table, its frame wanted.  False: none may be issued. */
bool mr_cid_issue(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_cid_issue_all(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_cid_forget_all(struct mr_endpoint *ep, struct mr_conn *conn);
static inline struct mr_peer_cid *mr_cid_current(struct mr_conn *conn)
{
    return &conn->peer_cids[conn->peer_cid_current];
}
/* Use an unused CID of the peer's from now on, and retire the current one; false: there is none. */
bool mr_cid_rotate(struct mr_endpoint *ep, struct mr_conn *conn);
/* The current peer CID or its reset token has changed: keep the endpoint's table of tokens true. */
void mr_cid_track_token(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_cid_untrack_token(struct mr_endpoint *ep, struct mr_conn *conn);
/* The NEW_CONNECTION_ID with `sequence` is acknowledged, or lost: true if it is to be sent again.
 */
void mr_cid_on_announce_acked(struct mr_conn *conn, uint64_t sequence);
bool mr_cid_on_announce_lost(struct mr_conn *conn, uint64_t sequence);
/* The RETIRE_CONNECTION_ID with `sequence` is acknowledged, or lost: true if it is to be sent
 * again. */
void mr_cid_on_retire_acked(struct mr_conn *conn, uint64_t sequence);
bool mr_cid_on_retire_lost(struct mr_conn *conn, uint64_t sequence);

/* A packet came from another address; RFC 9000, Section 9.3.  Call after the packet was processed.
 */
void mr_path_on_packet(struct mr_rx *rx);
void mr_path_validated(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_path_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
/* Bytes that may be sent before the peer's address is validated. */
uint64_t mr_path_room(const struct mr_conn *conn);
void mr_mtu_begin(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_mtu_on_acked(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t size);
void mr_mtu_on_lost(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t size);
void mr_mtu_on_black_hole(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_pacer_refresh(struct mr_conn *conn, uint64_t now);

/* ------------------------------------------------------------------ streams */

/* How a frame that names stream `id` finds it. */
enum mr_stream_found {
    MR_STREAM_FOUND,
    MR_STREAM_CLOSED,  /* was there: ignore the frame */
    MR_STREAM_REFUSED, /* no stream object is free: do not acknowledge */
    MR_STREAM_ERROR    /* the connection failed */
};
enum mr_stream_found mr_stream_find(struct mr_rx *rx, uint64_t id, bool needs_recv,
                                    uint64_t frame_type, struct mr_stream **out);
struct mr_stream *mr_stream_new(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t id);
/* A stream object in the table and the connection's list, otherwise like `from`, without data;
 * NULL: none is free. */
struct mr_stream *mr_stream_adopt(struct mr_endpoint *ep, struct mr_conn *conn,
                                  const struct mr_stream *from);
/* Both parts are final: tell, and free with the event. */
void mr_stream_maybe_done(struct mr_endpoint *ep, struct mr_stream *stream);
void mr_stream_free(struct mr_endpoint *ep, struct mr_stream *stream);
/* Put it on the send list if it has something to send. */
void mr_stream_schedule(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream);
void mr_stream_control(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream);
/* `bytes` of the stream were consumed or discarded: flow control. */
void mr_stream_consumed(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream,
                        uint64_t bytes);
void mr_conn_consumed(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t bytes);
uint64_t mr_stream_flow_limit(const struct mr_conn *conn, const struct mr_stream *stream);
/* The stream a sent record names, NULL if it is gone. */
struct mr_stream *mr_stream_of_key(const struct mr_endpoint *ep, uint32_t key);
uint32_t mr_stream_key(const struct mr_stream *stream);
void mr_stream_list_push(struct mr_endpoint *ep, struct mr_stream_list *list,
                         struct mr_stream *stream, bool is_control);
/* Abandon sending: RESET_STREAM is owed, queued data is forgotten. */
void mr_stream_abort_send(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream,
                          uint64_t code);
/* Every stream ends with the connection. */
void mr_conn_end_streams(struct mr_endpoint *ep, struct mr_conn *conn);

/* The largest datagram that a packet on the path in use takes, and the peer; 0: it takes none. */
uint32_t mr_conn_datagram_max(const struct mr_conn *conn);

/* ------------------------------------------------------------------ ending */

/* The one place where a connection error is born.  Returns false, for `return mr_conn_fail(...)`.
 */
bool mr_conn_fail(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t error, uint64_t frame_type,
                  const char *reason, uint64_t now);
/* Closed by our application. */
void mr_conn_fail_app(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t code,
                      const char *reason, uint64_t now);
/* Over at once and silently: idle timeout, stateless reset, version negotiation. */
void mr_conn_die(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t error, bool is_remote,
                 const char *reason);
/* The peer closed. */
void mr_conn_drain(struct mr_endpoint *ep, struct mr_conn *conn,
                   const struct mr_frame_connection_close *frame, uint64_t now);
/* A packet came for a connection that is closing. */
void mr_conn_on_closing_packet(struct mr_endpoint *ep, struct mr_conn *conn);

/* ------------------------------------------------------------------ timers */

/* Bring the wheel up to date with the connection's earliest deadline. */
void mr_conn_timer_update(struct mr_endpoint *ep, struct mr_conn *conn);
/* The connection's timer has fired: do all that is due. */
void mr_conn_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* Panic unless the wheel has the connection's deadline, and what it wants to send will go out some
 * time: it is in the send list, or a timer will put it there, or the peer must speak first. */
void mr_conn_timer_check(const struct mr_endpoint *ep, const struct mr_conn *conn);
/* The ACK decision, once per connection and burst. */
void mr_conn_decide_ack(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* ------------------------------------------------------------------ before a connection exists */

/* A datagram of no known connection: accept, Version Negotiation, Retry, reset, redirect.  `header`
 * is its first packet's. */
void mr_endpoint_receive_unknown(struct mr_endpoint *ep, struct mr_datagram *datagram,
                                 const struct mr_packet_header *header,
                                 enum mr_packet_verdict verdict, uint64_t now);
void mr_endpoint_stateless_reset(struct mr_endpoint *ep, const struct mr_datagram *datagram,
                                 uint64_t now);
/* True if the datagram is a stateless reset of a connection of ours, which is over then. */
bool mr_endpoint_take_reset(struct mr_endpoint *ep, const struct mr_datagram *datagram);
/* True if another shard issued the connection ID: noted in the datagram. */
bool mr_endpoint_is_foreign(struct mr_endpoint *ep, struct mr_datagram *datagram,
                            const uint8_t *dcid, size_t size);
/* A datagram for a connection that has moved: on to its new shard. */
void mr_endpoint_forward(struct mr_endpoint *ep, const struct mr_conn *conn, struct mr_datagram *d);
/* Take a connection off this burst's list, before it is freed. */
void mr_endpoint_untouch(struct mr_endpoint *ep, struct mr_conn *conn);
/* A server's key to seal an Initial that answers `dcid`, without a connection. */
bool mr_conn_set_refusal_key(struct mr_endpoint *ep, uint32_t version, const struct mr_cid *dcid,
                             struct mr_level_key *out);
void mr_conn_on_retry(struct mr_endpoint *ep, struct mr_conn *conn, const uint8_t *packet,
                      const struct mr_packet_header *header, uint64_t now);
void mr_conn_on_version_negotiation(struct mr_endpoint *ep, struct mr_conn *conn,
                                    const struct mr_packet_header *header);
/* Walk the packets of a datagram from offset `at` on. */
void mr_conn_walk(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_datagram *datagram,
                  uint32_t at, uint64_t now);

#endif /* MR_QUIC_CONN_H */
