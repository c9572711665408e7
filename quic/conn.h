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

#include "quic/conn_path.h"
#include "quic/conn_receive.h"
#include "quic/conn_stream.h"
#include "quic/conn_trace.h"
#include "quic/endpoint_internal.h"

/* ------------------------------------------------------------------ objects */

#define MR_OBJECT_STREAM                                                                           \
    UINT32_C(0x80000000) /* bit of a dirty-list key: a stream, else a connection */

static inline struct mr_conn *mr_conn_at(const struct mr_endpoint *ep, uint32_t index)
{
    return mr_pool_at(&ep->conns, index);
}

static inline struct mr_number *mr_conn_number_at(const struct mr_endpoint *ep, uint32_t number)
{
    return mr_pool_at(&ep->numbers, number);
}

static inline struct mr_number *mr_stream_number_at(const struct mr_endpoint *ep, uint32_t number)
{
    MR_DASSERT(number < ep->stream_numbers.fresh);
    return (struct mr_number *)(void *)ep->stream_numbers.objects + number;
}

static inline struct mr_stream *mr_stream_at(const struct mr_endpoint *ep, uint32_t index)
{
    return mr_pool_at(&ep->streams, index);
}

/* Where the stream that a sent record names lies, if it still lives. */
static inline struct mr_stream *mr_stream_place_of_key(const struct mr_endpoint *ep, uint32_t key)
{
    return mr_stream_at(ep, key & ((UINT32_C(1) << MR_STREAM_KEY_BITS) - 1));
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

/* The connection's extra; NULL: it uses none. */
static inline struct mr_conn_extra *mr_conn_extra(const struct mr_endpoint *ep,
                                                  const struct mr_conn *conn)
{
    return conn->extra == MR_NONE ? NULL : mr_pool_at(&ep->extras, conn->extra);
}

/* The connection's extra, in which `use` is begun if it was not; NULL: none is free (counted). */
struct mr_conn_extra *mr_conn_extra_use(struct mr_endpoint *ep, struct mr_conn *conn,
                                        enum mr_extra_use use);

/* `use` is over; the last one gives the object back. */
void mr_conn_extra_end(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_extra_use use);
void mr_conn_extra_drop(struct mr_endpoint *ep, struct mr_conn *conn); /* every use is over */

static inline bool mr_conn_is_alive(const struct mr_conn *conn)
{
    return conn->state <= MR_CONN_OPEN;
}

/* A new connection in state HANDSHAKE with its handshake part, one CID of ours, and default limits;
 * NULL: a limit was hit (counted). */
struct mr_conn *mr_conn_new(struct mr_endpoint *ep, enum mr_role role,
                            const struct mr_path_addr *path, uint64_t now);

/* Of an empty one: no lists, no pools; what our configuration allows. */
void mr_conn_init_links(struct mr_conn *conn);
void mr_conn_init_limits(struct mr_endpoint *ep, struct mr_conn *conn);

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

/* Put the connection on the send list; the second: unless a visit would do nothing. */
void mr_conn_wake(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_conn_wake_if_wanted(struct mr_endpoint *ep, struct mr_conn *conn);
void mr_conn_unready(struct mr_endpoint *ep, struct mr_conn *conn);

/* It was visited and built so many datagrams: out of the send list, or to its end if it goes on;
 * and its list is the one for as much. */
void mr_conn_end_visit(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t built, bool goes_on);

/* The send lists have every connection that says so, and no other; else panic.  O(connections). */
void mr_endpoint_check_ready(const struct mr_endpoint *ep);

/* Of a copy: what means nothing elsewhere, pointers, indexes of pools, places in lists, is not
 * there any more. */
void mr_conn_detach(struct mr_conn *copy);

/* What was copied into a place of `ep` after mr_conn_detach() can send: packet numbers go on; of
 * the packets before nothing is known but that they were sent.  `kind`: of its congestion control.
 */
void mr_conn_attach(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_cc_kind kind,
                    uint64_t now);

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

/* A connection ID of ours that nobody has yet, as the configuration in use has it. */
struct mr_cid mr_endpoint_new_cid(struct mr_endpoint *ep);
/* The shard of this node that issued it, MR_CID_FOREIGN.  Decrypts: ask when no table knows it. */
uint32_t mr_endpoint_cid_owner(const struct mr_endpoint *ep, const uint8_t *cid, size_t size);
void mr_endpoint_forget_cid_configs(struct mr_endpoint *ep);

/* Wall-clock seconds, for tokens. */
static inline uint64_t mr_endpoint_wall_s(const struct mr_endpoint *ep, uint64_t now)
{
    return ep->config.wall_offset_s + now / MR_SECOND;
}

static inline mr_handle mr_handle_of(uint32_t index, uint32_t generation, bool is_stream)
{
    return (uint64_t)generation << 32 | (is_stream ? MR_OBJECT_STREAM : 0) | index;
}

static inline mr_handle mr_conn_handle(const struct mr_conn *conn)
{
    return mr_handle_of(conn->number, conn->generation, false);
}

/* Its handle is stale from here on, though it is still in use. */
void mr_conn_end_handle(struct mr_endpoint *ep, struct mr_conn *conn);

/* The connection with this handle, one that has moved away included; NULL: stale, or asleep. */
struct mr_conn *mr_conn_of_number(const struct mr_endpoint *ep, mr_handle handle);

/* It is awake afterwards.  NULL: stale, it has moved away, or no place is free to wake it. */
struct mr_conn *mr_conn_of_handle(struct mr_endpoint *ep, mr_handle handle);

/* Does it sleep (quic/conn_sleep.h)?  False, too, if the handle is stale. */
bool mr_conn_is_asleep(const struct mr_endpoint *ep, mr_handle handle);

/* What to answer then: -ESTALE, -ENOMEM. */
MR_COLD int mr_conn_absence(const struct mr_endpoint *ep, mr_handle handle);

/* To look at: it may sleep on, then what there is of it is put into `copy`.  NULL: stale, or it has
 * moved away. */
const struct mr_conn *mr_conn_look(const struct mr_endpoint *ep, mr_handle handle,
                                   struct mr_conn *copy);

/* The number of a stream's handle; of a connection's, one that there is not. */
static inline uint32_t mr_stream_number_of(mr_handle handle)
{
    return (uint32_t)handle ^ MR_OBJECT_STREAM;
}

/* The same three of streams.  One whose connection has moved away is stale. */
static inline struct mr_stream *mr_stream_of_number(const struct mr_endpoint *ep, mr_handle handle)
{
    uint32_t number = mr_stream_number_of(handle);
    uint32_t generation = (uint32_t)(handle >> 32);

    if (number >= ep->stream_numbers.fresh)
        return NULL;
    const struct mr_number *entry = mr_stream_number_at(ep, number);
    bool is_current = entry->generation == generation && (generation & 1) != 0 &&
                      (entry->place & MR_PLACE_BITS) == 0;
    return is_current ? mr_stream_at(ep, entry->place) : NULL;
}

struct mr_stream *mr_stream_of_handle(struct mr_endpoint *ep, mr_handle handle);
bool mr_stream_is_asleep(const struct mr_endpoint *ep, mr_handle handle);
MR_COLD int mr_stream_absence(const struct mr_endpoint *ep, mr_handle handle);

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

/* The same once more, of a client that begins again with other parameters. */
bool mr_conn_tls_again(struct mr_endpoint *ep, struct mr_conn *conn);

/* CRYPTO bytes are readable: ask for a job. */
void mr_conn_tls_want(struct mr_endpoint *ep, struct mr_conn *conn);

/* The keys of a handshake that begins: none is set. */
void mr_handshake_init_keys(struct mr_handshake *hs);

/* Derive and set the keys of one direction of a level.  False: no memory. */
bool mr_conn_set_level_key(struct mr_endpoint *ep, uint32_t version, struct mr_level_key *to,
                           const struct mr_secret *secret, bool is_seal);

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
void mr_keys_note_opened(const struct mr_endpoint *ep, struct mr_conn *conn, uint64_t pn,
                         uint64_t now);

/* A packet failed to open with the current keys; newest acknowledged packet. */
void mr_keys_count_failed(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
void mr_keys_on_acked(struct mr_conn *conn, uint64_t largest_acked);

/* Begin a key update if it is allowed now (RFC 9001, Section 6.1). */
bool mr_keys_update_now(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
void mr_keys_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
/* ------------------------------------------------------------------ ending */

/* The one place where a connection error is born.  Returns false, for `return mr_conn_fail(...)`.
 */
bool mr_conn_fail(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t error, uint64_t frame_type,
                  const char *reason, uint64_t now);
/* Closed by our application. */
void mr_conn_fail_app(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t code,
                      const char *reason, uint64_t now);
/* Over at once and silently: idle timeout, version negotiation. */
void mr_conn_die(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t error, bool is_remote,
                 const char *reason);
/* A stateless reset: silence, and draining (RFC 9000, Section 10.3.1). */
void mr_conn_on_reset(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);
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
/* True if a datagram of which nothing could be read is a stateless reset of a connection of ours,
 * which is over then: it comes from where the connection sends, and ends in its token. */
bool mr_endpoint_take_reset(struct mr_endpoint *ep, const struct mr_datagram *datagram,
                            uint64_t now);
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
/* The key to open an Initial of `version` that `sender` has sent, where the client's first went to
 * `dcid`. */
bool mr_conn_set_initial_open_key(struct mr_endpoint *ep, uint32_t version,
                                  const struct mr_cid *dcid, enum mr_role sender,
                                  struct mr_level_key *out);
void mr_conn_on_retry(struct mr_endpoint *ep, struct mr_conn *conn, const uint8_t *packet,
                      const struct mr_packet_header *header, uint64_t now);
/* ------------------------------------------------------------------ versions */

/* Versions that a server accepts, at most two; the set of them. */
size_t mr_endpoint_versions(const struct mr_endpoint *ep, uint32_t *versions_out);
uint8_t mr_endpoint_version_set(const struct mr_endpoint *ep);
bool mr_endpoint_accepts(const struct mr_endpoint *ep, uint32_t version);

/* Client: take the versions that are wanted, and begin with the ticket's, or 1, or the first.
 * False: one is none. */
bool mr_conn_offer_versions(struct mr_conn *conn, struct mr_handshake *hs,
                            const struct mr_connect_options *options);

/* Our version_information. */
void mr_conn_fill_versions(struct mr_endpoint *ep, const struct mr_conn *conn,
                           const struct mr_handshake *hs, struct mr_transport_params *params);

/* Go on in `version`: the Initial keys change.  False: no memory for keys. */
bool mr_conn_change_version(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t version);

/* Judge the peer's version_information.  NULL: right; else what is wrong
 * (VERSION_NEGOTIATION_ERROR). */
const char *mr_conn_check_versions(const struct mr_conn *conn, const struct mr_handshake *hs,
                                   const struct mr_transport_params *params);

/* A client's first packet of another version than it began with: may it be the negotiated one? */
bool mr_conn_may_negotiate(const struct mr_conn *conn, const struct mr_handshake *hs,
                           uint32_t version);

void mr_conn_on_version_negotiation(struct mr_endpoint *ep, struct mr_conn *conn,
                                    const struct mr_packet_header *header, uint64_t now);
/* Walk the packets of a datagram from offset `at` on. */
void mr_conn_walk(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_datagram *datagram,
                  uint32_t at, uint64_t now);

#endif /* MR_QUIC_CONN_H */
