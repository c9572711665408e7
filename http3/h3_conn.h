/*
 * http3/h3_conn.h - HTTP/3 connections (RFC 9114) over a transport, for a server or a client.
 *
 *     transport --events--> mr_h3 --callbacks--> user (server.c, client.c)
 *                             |
 *            connection: our control stream, our QPACK decoder stream,
 *                        the peer's control and QPACK streams, request streams
 *
 * The layer reads frames, decodes and checks messages, and maps errors to codes; it says what came
 * and sends heads and content; what a request means is its user's business.  nghttp3 does the
 * QPACK; its connection object is not used, because it drops fields with forbidden characters
 * silently (a receiver must treat such a message as malformed), keeps state for any PRIORITY_UPDATE
 * of streams that are not open, and takes some 13 KiB for an idle connection.
 *
 * A connection may speak HTTP/0.9 instead ("hq-interop", hq.c), which is the same to the user.
 *
 * No server push.  A request stream may become a tunnel (extended CONNECT, RFC 9220): content flows
 * both ways until either ends it, and it has HTTP datagrams (RFC 9297, h3_tunnel.c).
 *
 * Priorities (RFC 9218): the transport sends request streams in the order that their Priority
 * fields ask for, or PRIORITY_UPDATE frames, which win; then a Priority field of the response is
 * merged over it.  The connection's own streams are of the first urgency.
 *
 * Every stream has an owner word; user data given to the transport is a tagged, generation-checked
 * index, so that a late event of an object that is gone changes nothing.
 *
 * Memory: laid out once by mr_h3_init().
 * Owner: one server or client.  Threads: the transport's.
 * Limits: struct mr_h3_limits.  More connections: closed with H3_EXCESSIVE_LOAD; more streams:
 * refused with H3_REQUEST_REJECTED; heap used up: likewise.  All counted.
 */
#ifndef MR_HTTP3_H3_CONN_H
#define MR_HTTP3_H3_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "http3/counters.h"
#include "http3/frame.h"
#include "http3/h3_trace.h"
#include "http3/handle_map.h"
#include "http3/heap.h"
#include "http3/priority.h"
#include "http3/qpack.h"
#include "millrace/transport.h"

enum {
    MR_H3_HEAD_MAX = 1024,  /* bytes of an encoded head: what a transport copies at once */
    MR_H3_PEER_UNI_MAX = 8, /* unidirectional streams of a peer that we look at */
    MR_H3_CONTROL_PAYLOAD_MAX = 1024, /* bytes of SETTINGS; more: H3_EXCESSIVE_LOAD */
    /* PRIORITY_UPDATE frames that a client may send in all: so many, and so many for each request
     * that it has made.  More: H3_EXCESSIVE_LOAD. */
    MR_H3_PRIORITY_UPDATES = 256,
    MR_H3_PRIORITY_UPDATES_PER_REQUEST = 16,
    MR_H3_TUNNELS_PER_CONN = 16, /* a datagram costs a look at each; more are refused */
    MR_H3_DATAGRAM_ROOM = 65536, /* bytes of a datagram that comes */
    MR_H3_DATA_MAX = 1000,       /* bytes of content in mr_h3_send_data() */
    MR_HQ_LINE_MAX = 2048,       /* bytes of a request of HTTP/0.9, without its line end */
    MR_H3_RETRY_NS = 1000000,    /* when the transport has no room, without an event to follow */
};

#define MR_H3_LINGER_NS  UINT64_C(3000000000) /* a drained client may take to close */

#define MR_H3_OWNER_NONE UINT64_MAX

/* Tags in user data.  Values from MR_H3_TAG_USER on are the user's, for timers and work. */
enum mr_h3_tag {
    MR_H3_TAG_CONN = 1,
    MR_H3_TAG_STREAM = 2,
    MR_H3_TAG_RETRY = 3,
    MR_H3_TAG_LINGER = 4,
    MR_H3_TAG_USER = 5,
};

#define MR_H3_TAG_SHIFT 56

static inline uint64_t mr_h3_tagged(uint64_t tag, uint64_t value)
{
    return tag << MR_H3_TAG_SHIFT | value;
}

static inline uint64_t mr_h3_tag_of(uint64_t word)
{
    return word >> MR_H3_TAG_SHIFT;
}

static inline uint64_t mr_h3_untagged(uint64_t word)
{
    return word & ((UINT64_C(1) << MR_H3_TAG_SHIFT) - 1);
}

struct mr_h3_limits {
    uint32_t connections_max;
    uint32_t requests_max;      /* request streams of all connections */
    uint32_t field_section_max; /* bytes, RFC 9114, Section 4.2.2 */
    uint32_t fields_max;
    uint32_t qpack_capacity;
    uint32_t qpack_blocked_max;      /* of each connection: streams whose head waits for QPACK */
    uint32_t qpack_encoder_capacity; /* bytes of a connection's table for what we send; 0: none */
    size_t heap_bytes;               /* 0: derived */
    bool has_tunnels;                /* tell the peer that we take extended CONNECT and datagrams */
};

enum mr_h3_stream_kind {
    MR_H3_KIND_REQUEST,
    MR_H3_KIND_UNTYPED, /* the peer's, unidirectional; its type has not come yet */
    MR_H3_KIND_CONTROL,
    MR_H3_KIND_QPACK_ENCODER,
    MR_H3_KIND_QPACK_DECODER,
    MR_H3_KIND_UNKNOWN,
    MR_H3_KIND_OUR_CONTROL,
    MR_H3_KIND_OUR_DECODER,
    MR_H3_KIND_OUR_ENCODER,
    MR_H3_KIND_OUR_RESERVED, /* without meaning (grease.h) */
};

enum mr_h3_phase {
    MR_H3_PHASE_HEAD,     /* a head must come */
    MR_H3_PHASE_BODY,     /* content or trailers may come */
    MR_H3_PHASE_TRAILERS, /* only the end may come */
};

struct mr_h3_stream {
    uint32_t pool_link; /* the pool's, while free */
    uint32_t serial;    /* 0: free */
    mr_handle handle;
    uint64_t id;
    uint64_t owner; /* the user's; MR_H3_OWNER_NONE at first */
    struct mr_h3_conn *conn;
    struct mr_h3_stream *next; /* of the connection */
    struct mr_h3_stream *previous;
    struct mr_h3_stream *next_tunnel;
    uint8_t kind;
    uint8_t phase;
    bool is_reading; /* false: what comes is dropped */
    bool is_paused;  /* the user did not take all */
    bool is_fin_received;
    bool is_head_only; /* client: the response has no content, by its request or status */
    bool is_over;      /* the user was told that the message ended or failed */
    bool is_lost;      /* it ended with its connection */
    bool is_too_short; /* it failed, for its content is less than content-length said */
    bool is_too_long;  /* likewise: more */
    bool is_tunnel;    /* content has no end but the stream's; in the connection's list */
    bool is_send_over; /* tunnel: its end was sent, or it was reset */
    bool is_early;     /* server: the request may be a copy of one that came before; client: it was
                          sent in 0-RTT */
    bool is_reprioritized; /* PRIORITY_UPDATE came: it overrides the field */
    struct mr_priority priority;
    struct mr_h3_frame_reader frame;
    uint8_t *head; /* encoded with the table, not sent yet; of the connection's `sections` */
    size_t head_size;
    uint8_t *assembly; /* payload that came in pieces; of the connection's `sections` */
    uint64_t assembled;
    uint64_t content_length;
    uint64_t body_received;
    uint64_t sent_bytes;    /* stream bytes given to the transport */
    uint64_t blocked_until; /* insert count that its section waits for; 0: it does not */
};

struct mr_h3_conn {
    uint32_t pool_link;
    uint32_t serial;
    mr_handle handle;
    uint64_t owner;
    struct mr_h3_stream *streams;
    struct mr_h3_stream *tunnels;
    struct mr_h3_conn *next; /* of all */
    struct mr_h3_conn *previous;
    struct mr_h3_conn *next_dirty;
    uint32_t request_count; /* request streams that live */
    uint32_t peer_uni_count;
    uint32_t blocked_count; /* of its streams */
    uint32_t tunnel_count;
    bool is_connected;
    bool is_early;    /* client: 0-RTT may be sent; server: what comes may be a copy (RFC 8470) */
    bool is_hq;       /* HTTP/0.9 */
    bool is_closing;  /* we closed it: only CLOSED matters */
    bool is_draining; /* GOAWAY is sent or to be sent */
    bool has_sent_settings;
    bool has_sent_goaway;
    bool owes_grease_head;     /* a reserved frame behind the next head, */
    bool owes_grease_stream;   /* and a reserved stream (grease.h) */
    bool has_settings;         /* the peer's came */
    bool is_dirty;             /* in the list of connections to flush */
    uint8_t peer_streams;      /* bit per enum mr_h3_stream_type that the peer has opened */
    uint64_t next_request_id;  /* the lowest that was not seen yet, for GOAWAY */
    uint64_t peer_goaway_id;   /* UINT64_MAX: none */
    uint64_t peer_push_max;    /* of MAX_PUSH_ID; we never push */
    uint64_t priority_updates; /* taken and dropped */
    uint64_t grease;           /* what they are made of */
    uint64_t quiet_ns;         /* since when there is no request: connected, the last one over */
    struct mr_h3_settings peer;
    struct mr_priorities priorities; /* server: of requests that have not come yet */
    struct mr_h3_stream *our_control;
    struct mr_h3_stream *our_decoder;
    struct mr_h3_stream *our_encoder; /* once it has something to say */
    struct mr_heap_share
        share; /* QPACK's: the dynamic table, what is half read of the encoder stream */
    struct mr_heap_share sections; /* ours: payloads that come in pieces */
    struct mr_qpack_decoder decoder;
    struct mr_qpack_feedback feedback;
    struct mr_qpack_table table;
    uint8_t *held; /* QPACK feedback for which the transport had no room */
    size_t held_size;
};

struct mr_h3;

/*
 * What the layer says to its user.  A stream here is always a request stream.  Each may call the
 * layer's functions.
 */
struct mr_h3_user {
    void *context;
    void (*on_conn_open)(void *context, struct mr_h3_conn *conn);
    /* Over: its streams were closed before.  Not called for a client's connection that
     * mr_h3_connect() refused. */
    void (*on_conn_closed)(void *context, struct mr_h3_conn *conn, const struct mr_event *event);
    /* The peer will not process requests with IDs >= `id` (server: a push ID, of no meaning). */
    void (*on_goaway)(void *context, struct mr_h3_conn *conn, uint64_t id);
    /* Requests may be opened again after -EAGAIN. */
    void (*on_streams_allowed)(void *context, struct mr_h3_conn *conn);
    /* Server: a request begins.  Set stream->owner and return true; false: it is refused. */
    bool (*on_request)(void *context, struct mr_h3_stream *stream);
    /* NULL, or: ask for the memory of the owner of a stream, an event comes. */
    void (*on_soon)(void *context, uint64_t owner);
    /* A field of a head, in order; it is valid so far. */
    void (*on_field)(void *context, struct mr_h3_stream *stream, enum mr_h3_field field,
                     struct mr_text name, struct mr_text value);
    /* The head is complete.  MR_MESSAGE_OK, or MR_MESSAGE_TOO_LARGE: answer 431 (server) or give up
     * (client). */
    void (*on_head)(void *context, struct mr_h3_stream *stream, const struct mr_message *message,
                    enum mr_message_verdict verdict);
    /* Content.  Returns the bytes taken; if not all, mr_h3_resume() shows the rest again. */
    size_t (*on_data)(void *context, struct mr_h3_stream *stream, const uint8_t *data, size_t size);
    /* A datagram of a tunnel. */
    void (*on_datagram)(void *context, struct mr_h3_stream *stream, const uint8_t *data,
                        size_t size);
    /* The peer's SETTINGS came; may be NULL. */
    void (*on_settings)(void *context, struct mr_h3_conn *conn);
    /* The message is complete. */
    void (*on_end)(void *context, struct mr_h3_stream *stream);
    /* The stream was ended by an error or by the peer (`is_remote`) before the message was
     * complete. */
    void (*on_failed)(void *context, struct mr_h3_stream *stream, uint64_t code, bool is_remote);
    /* The peer wants no more of what we send. */
    void (*on_stopped)(void *context, struct mr_h3_stream *stream, uint64_t code);
    /* Buffers sent below stream offset `acked_to` are the user's again. */
    void (*on_acked)(void *context, struct mr_h3_stream *stream, uint64_t acked_to);
    void (*on_writable)(void *context, struct mr_h3_stream *stream);
    /* The stream is gone, all buffers are the user's again.  Its last callback. */
    void (*on_stream_closed)(void *context, struct mr_h3_stream *stream);
    /* After mr_h3_want_retry(). */
    void (*on_retry)(void *context);
    /* Timers and work with user tags, and MR_EVENT_GO_AWAY. */
    void (*on_other)(void *context, const struct mr_event *event);
};

struct mr_h3 {
    struct mr_transport *transport;
    struct mr_h3_limits limits;
    struct mr_h3_user user;
    struct mr_h3_counters *counters;
    bool is_server;
    bool speaks_hq; /* also HTTP/0.9, by ALPN (server), or only that (client); set after init */
    bool is_draining;
    bool is_retry_armed;
    bool is_linger_armed;
    bool wants_retry;
    bool is_traced; /* a connection of the transport is; looked at once for a burst of events */
    uint32_t serial;
    struct mr_pool conns;
    struct mr_pool streams;
    struct mr_handle_map conn_of_handle; /* server: streams come with their connection's only */
    struct mr_h3_conn *all;
    struct mr_h3_conn *dirty; /* have something for their own streams to send */
    struct mr_heap heap;
    struct mr_heap_share own_share;
    struct mr_qpack_encoder encoder;
    struct mr_message message;  /* likewise, of any kind */
    struct mr_h3_traced traced; /* likewise, while is_traced */
    uint8_t *datagram;          /* MR_H3_DATAGRAM_ROOM bytes, with has_tunnels */
};

/* Bytes for mr_h3_init(). */
size_t mr_h3_footprint(const struct mr_h3_limits *limits);

/* A server: a word for its SETTINGS, which clients may keep for 0-RTT (RFC 9114, Section 7.2.4.2).
 */
uint64_t mr_h3_remembered(const struct mr_h3_limits *limits);

/* Lay everything out in `mem`, which stays borrowed.  `counters` is borrowed. */
void mr_h3_init(struct mr_h3 *h3, void *mem, const struct mr_h3_limits *limits, bool is_server,
                const struct mr_h3_user *user, struct mr_h3_counters *counters,
                struct mr_transport *transport);

/* Free what nghttp3 holds; no callback is made. */
void mr_h3_fini(struct mr_h3 *h3);

/* Handle the transport's events. */
void mr_h3_on_events(struct mr_h3 *h3, const struct mr_event *events, size_t count);

/* ---- connections ---- */

/* Client: begin one; `options` as for the transport, without ALPN and user_data.  0; -EAGAIN;
 * -EINVAL. */
int mr_h3_connect(struct mr_h3 *h3, const struct mr_connect_options *options, uint64_t owner,
                  struct mr_h3_conn **conn_out);

/* Close it; on_conn_closed follows later. */
void mr_h3_close(struct mr_h3 *h3, struct mr_h3_conn *conn, uint64_t code, const char *reason);

/* Send GOAWAY on every connection and refuse new requests.  A client's connection is closed when
 * its last request is over, then or once the server has sent GOAWAY; a server's by its client, or
 * MR_H3_LINGER_NS after its last request was over. */
void mr_h3_drain(struct mr_h3 *h3);

/* ---- requests ---- */

/* Client: open a request stream.  0; -EAGAIN: on_streams_allowed follows; -ENOMEM: try again later;
 * -EPIPE: not on this connection any more; -ESTALE: its end is about to be told. */
int mr_h3_open_request(struct mr_h3 *h3, struct mr_h3_conn *conn, uint64_t owner,
                       struct mr_h3_stream **stream_out);

/* What follows a head. */
struct mr_h3_body {
    uint64_t size; /* bytes of content, in one DATA frame; 0: none, the stream ends with the head */
    bool is_open;  /* size 0, and the stream does not end: mr_h3_send_data() follows */
};

/*
 * Send a head, and the frame header for `body`.  Content is then given to mr_h3_send_body(),
 * exactly body->size bytes.  A Priority field of a response changes the stream's priority, in what
 * it names (RFC 9218, Section 8).  0; -EAGAIN: on_writable follows; -ENOMEM: try again later;
 * -EMSGSIZE: over MR_H3_HEAD_MAX or the peer's limit; -EPIPE, -ESTALE: nothing can be sent any
 * more.
 */
int mr_h3_send_head(struct mr_h3 *h3, struct mr_h3_stream *stream,
                    const struct mr_field_line *lines, size_t count, const struct mr_h3_body *body);

/*
 * Client: ask the server for another priority of a request that is under way (PRIORITY_UPDATE, RFC
 * 9218, Section 7).  0; -EAGAIN, -ENOMEM: the control stream has no room, try again later; -EPIPE,
 * -ESTALE: the connection ends.
 */
int mr_h3_prioritize(struct mr_h3 *h3, struct mr_h3_stream *stream, struct mr_priority priority);

/* Send content by reference: it must stay until on_acked passes it or on_stream_closed.  Errors as
 * above. */
int mr_h3_send_body(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data, size_t size,
                    bool is_last);

/* ---- tunnels ---- */

/*
 * The request stream is a tunnel from now on: it has datagrams, and nothing but content comes on
 * it.  False: there are MR_H3_TUNNELS_PER_CONN.
 */
bool mr_h3_make_tunnel(struct mr_h3_stream *stream);

/* Send at most MR_H3_DATA_MAX bytes of content, copied, in a DATA frame of their own; with
 * `is_last`, the end behind them.  Errors as of mr_h3_send_head(). */
int mr_h3_send_data(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data, size_t size,
                    bool is_last);

/*
 * Send a datagram, copied, unreliably.  0; -EOPNOTSUPP: the peer takes none in QUIC's DATAGRAM
 * frames, or has not said yet that it does; -EMSGSIZE: too large for the path now; -EAGAIN:
 * on_writable follows; -ENOMEM: try again later; -EPIPE: the tunnel's sending is over; -ESTALE.
 */
int mr_h3_send_datagram(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                        size_t size);

/* Reset what we send, stop what the peer sends, with `code`.  No callback but on_stream_closed
 * follows. */
void mr_h3_abort(struct mr_h3 *h3, struct mr_h3_stream *stream, uint64_t code);

/* Read no more of the message: what still comes is not needed (H3_NO_ERROR). */
void mr_h3_stop_reading(struct mr_h3 *h3, struct mr_h3_stream *stream);

/* Show content again that on_data did not take.  May call on_data, on_end, on_failed. */
void mr_h3_resume(struct mr_h3 *h3, struct mr_h3_stream *stream);

/* Ask for on_retry in MR_H3_RETRY_NS. */
void mr_h3_want_retry(struct mr_h3 *h3);

/* The stream of a user data word, or NULL. */
struct mr_h3_stream *mr_h3_stream_of(struct mr_h3 *h3, uint64_t word);
struct mr_h3_conn *mr_h3_conn_of(struct mr_h3 *h3, uint64_t word);
uint64_t mr_h3_stream_word(const struct mr_h3 *h3, const struct mr_h3_stream *stream);
uint64_t mr_h3_conn_word(const struct mr_h3 *h3, const struct mr_h3_conn *conn);

/* Panic unless every invariant holds.  For tests and fuzzers. */
void mr_h3_check(const struct mr_h3 *h3);

#endif /* MR_HTTP3_H3_CONN_H */
