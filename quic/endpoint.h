/*
 * quic/endpoint.h - one shard's QUIC: bytes, paths and `now` in; bytes, a deadline and events out.
 *
 *     datagrams --mr_endpoint_receive()--> connections --mr_endpoint_events()--> application
 *     application --mr_conn_x(), mr_stream_x()--> connections --mr_endpoint_send()--> datagrams
 *
 * Sans I/O: no socket, clock, thread or malloc (OpenSSL's own handshake memory
 * excepted, bounded by limits.handshakes_max).  A seed makes every run repeatable.
 *
 * Owner: one shard.  Threads: the shard's only, except mr_tls_job_run(), which may run anywhere.
 */
#ifndef MR_QUIC_ENDPOINT_H
#define MR_QUIC_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "millrace/path.h"
#include "millrace/transport.h"
#include "quic/aead.h"
#include "quic/cc.h"
#include "quic/cid.h"
#include "quic/counters.h"
#include "quic/extensions.h"
#include "quic/limits.h"
#include "quic/tls.h"
#include "quic/token.h"
#include "quic/types.h"
#include "quic/version.h"

#define MR_BURST 32         /* datagrams handled together */
#define MR_STAY  UINT32_MAX /* a datagram for this shard */
#define MR_HOPS_MAX                                                                                \
    3 /* shards that pass a datagram on: one by its connection ID, two after moves */

struct mr_endpoint;

/* A received UDP payload.  Packets are opened in place. */
struct mr_datagram {
    uint8_t *data;
    struct mr_buf
        *buf; /* the buffer that holds `data`; comes back through mr_endpoint_take_released() */
    uint32_t size;
    uint32_t redirect; /* out: MR_STAY, or the shard that owns it; then `buf` stays the caller's */
    uint8_t ecn;       /* enum mr_ecn */
    uint8_t hops;      /* in: shards that passed it on; then only one that its connection left may
                          again, and at most MR_HOPS_MAX do */
    struct mr_path_addr path;
};

/* A UDP payload to send. */
struct mr_outgoing {
    uint8_t *data;    /* in: room for it */
    uint32_t room;    /* in: bytes at data, >= 1200 */
    uint32_t size;    /* out */
    uint32_t hold_ns; /* out, with spaces_departures: when it is to leave, behind `now`; else
                         as it was */
    uint8_t ecn;      /* out */
    struct mr_path_addr path; /* out */
};

_Static_assert(sizeof(struct mr_outgoing) == 64, "a line each");

struct mr_endpoint_config {
    struct mr_cid_format cid; /* kind, node, shard, generation: written into every CID we issue */
    const uint8_t *cid_key;   /* MR_CID_KEY bytes, read once: encrypts them; NULL: plain text */
    struct mr_aead *aead;     /* borrowed */
    const struct mr_tls_context *server;   /* borrowed; NULL: accepts nothing */
    const struct mr_tls_context *client;   /* borrowed; NULL: connects to nothing */
    const uint8_t *static_key;             /* 32 bytes, process-wide: reset and Retry tokens */
    const struct mr_token_secrets *tokens; /* of reset and address tokens; looked at in init only;
                                              NULL: all is of static_key */
    uint32_t shards;       /* that there are: connection IDs of others belong to nobody; 0: any */
    uint64_t cid_renew_ns; /* peers go over to new connection IDs of ours after it; 0: they keep
                              them */
    uint64_t seed[4];      /* randomness of CIDs, packet number skips, grease; never keys */
    enum mr_cc_kind cc;
    bool has_ecn; /* packets are marked ECT, as long as a path bears it (RFC 9000, Section 13.4) */
    uint32_t payload_max; /* largest UDP payload to send, 1200..65527 */
    uint32_t retry_above; /* handshakes in flight above which Initials are answered with Retry; 0:
                             always */
    uint64_t key_update_after; /* packets sealed with a key, from which to twice as many it is
                                  replaced at random; 0: 2^21 */
    uint64_t idle_timeout_ns;
    uint64_t sleep_after_ns;    /* a connection at rest may be put to sleep then, where not all that
                                   there may be can be awake (quic/conn_sleep.h) */
    uint64_t keep_alive_ns;     /* clients: silence, at least 3 PTO and at most half of the idle
                                   timeout,     after which one that awaits an answer on a stream of its
                                   own     sends a     PING; 0: none (quic/conn_keep_alive.c) */
    uint64_t stream_window_max; /* receive windows grow by themselves up to these */
    uint64_t conn_window_max;
    uint32_t streams_bidi_max; /* that the peer may have open per connection */
    uint32_t streams_uni_max;
    uint32_t datagram_max; /* largest DATAGRAM frame accepted, type and length included; 0: none,
                              65535: any that fits a packet (RFC 9221, Section 3) */
    struct mr_addr preferred[2]; /* a server's other address that clients are asked to use, IPv6 and
                                    IPv4; port 0: none (RFC 9000, Section 9.6) */
    uint64_t wall_offset_s;      /* wall-clock seconds at now == 0, for tokens */
    uint8_t versions;            /* of QUIC that a server accepts, enum mr_version_set; 0: all */
    uint32_t extensions;         /* of enum mr_extension: offered, and used if the peer does */
    uint16_t ack_packets;        /* that an ACK acknowledges at most, of one path; 0: all that came
                                    together (RFC 9000, Section 13.2.2) */
    uint32_t paths_max;          /* of a connection at a time, up to MR_PATHS_MAX, with
                                    MR_EXTENSION_MULTIPATH; 0 and 1: it is not offered */
    uint64_t remembered;    /* by clients for 0-RTT, of the application (millrace/transport.h) */
    bool has_new_token;     /* a server gives clients tokens for their next connection */
    bool has_resume;        /* these say what the path carries, and connections with one begin
                               with it (RFC 9959) */
    bool has_keylog;        /* keep key log lines for mr_endpoint_take_keylog() */
    bool spaces_departures; /* say when datagrams are to leave (quic/pacer.h) */
};

/* Memory: one block, laid out from the limits. */
size_t mr_endpoint_footprint(const struct mr_limits *limits);
struct mr_endpoint *mr_endpoint_init(void *mem, const struct mr_limits *limits,
                                     const struct mr_endpoint_config *config, uint64_t now);

/* Free what OpenSSL holds for it, drop every buffer reference (take the released ones afterwards).
 * Sends nothing. */
void mr_endpoint_fini(struct mr_endpoint *ep);

/*
 * Handle `count` <= MR_BURST datagrams.  Afterwards every datagram whose `redirect` is MR_STAY is
 * the endpoint's until its buf is released; the others are still the caller's. The same in three
 * steps, for a caller that times them: lookup and header protection, AEAD, frames.
 */
void mr_endpoint_receive(struct mr_endpoint *ep, struct mr_datagram *datagrams, uint32_t count,
                         uint64_t now);
void mr_endpoint_receive_lookup(struct mr_endpoint *ep, struct mr_datagram *datagrams,
                                uint32_t count);
void mr_endpoint_receive_open(struct mr_endpoint *ep);
void mr_endpoint_receive_frames(struct mr_endpoint *ep, uint64_t now);

/* Buffers that nobody refers to any more: a list by `next`, or NULL. */
struct mr_buf *mr_endpoint_take_released(struct mr_endpoint *ep);

/*
 * Build and seal at most `count` <= MR_BURST datagrams.  Returns how many.  Connections that were
 * cut short go on in the next call.  The same in two steps: build, seal.
 */
uint32_t mr_endpoint_send(struct mr_endpoint *ep, struct mr_outgoing *out, uint32_t count,
                          uint64_t now);
uint32_t mr_endpoint_build(struct mr_endpoint *ep, struct mr_outgoing *out, uint32_t count,
                           uint64_t now);
void mr_endpoint_seal(struct mr_endpoint *ep);

/* True if mr_endpoint_send() may have something to send now. */
bool mr_endpoint_wants_send(const struct mr_endpoint *ep);

/* When mr_endpoint_expire() must be called at the latest; MR_NEVER: not at all. */
uint64_t mr_endpoint_deadline(const struct mr_endpoint *ep);
void mr_endpoint_expire(struct mr_endpoint *ep, uint64_t now);

/*
 * The caller was kept from running for `pause_ns`: no peer could be heard.  Handshakes in flight
 * get that time again before they are given up; nothing else changes.
 */
void mr_endpoint_paused(struct mr_endpoint *ep, uint64_t pause_ns);

/*
 * TLS jobs that became ready: take, run each with mr_tls_job_run() (on this thread or another),
 * complete. A connection has at most one job out; what arrives for it meanwhile waits within a
 * limit.
 */
uint32_t mr_endpoint_take_jobs(struct mr_endpoint *ep, struct mr_tls_job **jobs_out, uint32_t room);
void mr_endpoint_complete_job(struct mr_endpoint *ep, struct mr_tls_job *job, uint64_t now);

/* Collect events of at most `room` objects from the dirty list; call again while it returns `room`.
 */
uint32_t mr_endpoint_events(struct mr_endpoint *ep, struct mr_event *out, uint32_t room);

/*
 * The network says that nothing listens at path->remote, and quotes `size` bytes of a UDP payload
 * that went there.  A hint that anybody can give (RFC 9000, Section 14.2.1): it ends a client's
 * attempt, with MR_CONNECTION_REFUSED, if the quote has both connection IDs of its first packets
 * and nothing has come from the server yet.  True: it did.
 */
bool mr_endpoint_unreachable(struct mr_endpoint *ep, const struct mr_path_addr *path,
                             const uint8_t *quoted, size_t size);

/*
 * The network says that a datagram to path->remote was too big, and quotes the beginning of its UDP
 * payload; one of `size` bytes would pass.  A hint that anybody can give: it is looked at by
 * mr_endpoint_expire(), which is due at once, and taken if the quote has a connection ID that a
 * connection sends to on that path, and `size` is at least 1,200 (RFC 9000, Section 14.2.1).
 * False: it is not looked at, too small, or too many wait (counted).
 */
bool mr_endpoint_too_big(struct mr_endpoint *ep, const struct mr_path_addr *path, uint32_t size,
                         const uint8_t *quoted, size_t quoted_size);

/*
 * Issue connection IDs of config rotation `config` from now on, encrypted with `key` (NULL: in
 * plain text).  Those issued before, of this and of other configurations, lead here as before; each
 * connection asks its peer to go over to new ones when it hears from it next, and the earlier ones
 * are retired.  Of an endpoint whose connection IDs are QUIC-LB's.  False: no memory for the key,
 * nothing has changed.
 */
bool mr_endpoint_set_cid_config(struct mr_endpoint *ep, uint8_t config, const uint8_t *key);

/* Change keys of address tokens: mr_token_keys_swap() and mr_token_keys_write_with(). */
void mr_endpoint_swap_token_key(struct mr_endpoint *ep, uint8_t number, struct mr_token_key *key);
void mr_endpoint_write_tokens_with(struct mr_endpoint *ep, uint8_t number);

const struct mr_counters *mr_endpoint_counters(const struct mr_endpoint *ep);
uint32_t mr_endpoint_conn_count(const struct mr_endpoint *ep);

/* The next connection from *hand on, which is brought up to date; MR_HANDLE_NONE: that was all. */
mr_handle mr_endpoint_next_conn(const struct mr_endpoint *ep, uint32_t *hand);

/* What it does, for people, and how many streams it has open; "" of a stale one. */
void mr_conn_describe(const struct mr_endpoint *ep, mr_handle conn, const char **state_out,
                      uint32_t *streams_out);

/* Begin to close every connection (error code of the application), and refuse those that come from
 * now on, with MR_CONNECTION_REFUSED. */
void mr_endpoint_close_all(struct mr_endpoint *ep, uint64_t code, uint64_t now);

/*
 * Tracing (quic/trace.h).  The tracer is the endpoint's until another, or NULL, is set; traces that
 * are under way are stopped then.  Without one the others do nothing, and mr_conn_trace() says
 * -EOPNOTSUPP.
 */
struct mr_tracer;
struct mr_trace_rule;
void mr_endpoint_set_tracer(struct mr_endpoint *ep, struct mr_tracer *tracer, uint64_t now);

/* Which new connections are traced from now on; those that are, stay so. */
void mr_endpoint_trace_new(struct mr_endpoint *ep, const struct mr_trace_rule *rule);

/* No new connections; and those that are, no more. */
void mr_endpoint_trace_stop(struct mr_endpoint *ep, uint64_t now);

/* Trace `what` (enum mr_trace_what) of a connection from now on; 0: nothing any more.  0; -ESTALE;
 * -EOPNOTSUPP; -EBUSY: keys, but its handshake is over, and with it what they are found by;
 * -EAGAIN: MR_TRACED_MAX are traced, or the ring is full. */
int mr_conn_trace(struct mr_endpoint *ep, mr_handle conn, uint32_t what, uint64_t now);

/* Is any connection traced? */
bool mr_endpoint_is_tracing(const struct mr_endpoint *ep);

/* A record of what HTTP/3 does on the connection, and the bytes that follow it.  0; -ESTALE;
 * -ENOENT: its events are not traced; -EINVAL: too many bytes; -ENOBUFS: it was dropped, and is
 * counted. */
int mr_conn_trace_http3(struct mr_endpoint *ep, mr_handle conn, const struct mr_trace_http3 *record,
                        struct mr_view bytes, uint64_t now);

/* Key log lines (NSS format) waiting to be written: copies at most `room` bytes of whole lines,
 * returns the count. */
size_t mr_endpoint_take_keylog(struct mr_endpoint *ep, char *dst, size_t room);

/* ---- operations; meanings and errors as in millrace/transport.h ---- */
int mr_conn_connect(struct mr_endpoint *ep, const struct mr_connect_options *options,
                    const struct mr_addr *local, uint64_t now, mr_handle *conn_out);
int mr_conn_close(struct mr_endpoint *ep, mr_handle conn, uint64_t code, const char *reason,
                  uint64_t now);
int mr_conn_info(const struct mr_endpoint *ep, mr_handle conn, struct mr_conn_info *info_out);
int64_t mr_conn_ticket(const struct mr_endpoint *ep, mr_handle conn, uint8_t *dst, size_t room,
                       uint64_t now);
/* Go to another local address; as `migrate`, but for the choice of a port. */
int mr_conn_migrate(struct mr_endpoint *ep, mr_handle conn, const struct mr_addr *local,
                    uint64_t now);
/* Several paths (quic/conn_multipath_open.c); with `addr->remote` of port 0: the server's.  The
 * path ID; or as `path_open` of millrace/transport.h. */
int64_t mr_conn_path_open(struct mr_endpoint *ep, mr_handle conn, const struct mr_path_addr *addr,
                          uint64_t now);
int mr_conn_path_abandon(struct mr_endpoint *ep, mr_handle conn, uint32_t path, uint64_t now);
int mr_conn_path_set_backup(struct mr_endpoint *ep, mr_handle conn, uint32_t path, bool is_backup);
bool mr_conn_has_paths(const struct mr_endpoint *ep, mr_handle conn); /* is it agreed on? */
int64_t mr_conn_paths(const struct mr_endpoint *ep, mr_handle conn, struct mr_path_info *out,
                      size_t room);
int mr_conn_can_migrate(const struct mr_endpoint *ep, mr_handle conn);
int mr_conn_update_keys(struct mr_endpoint *ep, mr_handle conn, uint64_t now);
/* Ask the peer to go over to new connection IDs of ours (RFC 9000, Section 5.1.2), as
 * `cid_renew_ns` does, whether or not those it has are of any age.  0: it is asked with the next
 * packet; -EBUSY: the handshake is not confirmed, or it has not retired all of the last time;
 * -ENOMEM: the table has none to spare (limit_cid_renewals); -ESTALE. */
int mr_conn_renew_cids(struct mr_endpoint *ep, mr_handle conn, uint64_t now);
int mr_object_set_user_data(struct mr_endpoint *ep, mr_handle object, uint64_t user_data);
int mr_conn_send_datagram(struct mr_endpoint *ep, mr_handle conn, const struct mr_view *views,
                          size_t count);
int64_t mr_conn_receive_datagram(struct mr_endpoint *ep, mr_handle conn, uint8_t *dst, size_t room);
int mr_stream_open(struct mr_endpoint *ep, mr_handle conn, uint32_t flags, uint64_t user_data,
                   mr_handle *stream_out);
uint64_t mr_stream_id(const struct mr_endpoint *ep, mr_handle stream);
int mr_stream_send(struct mr_endpoint *ep, mr_handle stream, const struct mr_view *views,
                   size_t count, uint32_t flags);
int64_t mr_stream_receive(struct mr_endpoint *ep, mr_handle stream, struct mr_view *views_out,
                          size_t room, bool *fin_out);
int mr_stream_release(struct mr_endpoint *ep, mr_handle stream, size_t size);
int mr_stream_reset(struct mr_endpoint *ep, mr_handle stream, uint64_t code);
int mr_stream_reset_at(struct mr_endpoint *ep, mr_handle stream, uint64_t code, uint64_t reliable);
int mr_stream_stop(struct mr_endpoint *ep, mr_handle stream, uint64_t code);
int mr_stream_set_priority(struct mr_endpoint *ep, mr_handle stream, struct mr_priority priority);

/* Panic unless every invariant holds.  For tests, fuzzers and MR_DEBUG. */
void mr_endpoint_check(const struct mr_endpoint *ep);

#endif /* MR_QUIC_ENDPOINT_H */
