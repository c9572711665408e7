/*
 * quic/trace.h - what traced connections of an endpoint do, as compact records in a ring.
 *
 *     shard:  connection does x --> struct mr_tracer --> ring of words --> another thread: files
 *
 * A tracer is memory of the caller's that an endpoint is given while it runs, or never: without one
 * nothing is traced and nothing is paid but a comparison per burst.  It knows which connections are
 * traced, at most MR_TRACED_MAX, and which new ones shall be (struct mr_trace_rule).
 *
 * A record is a head and a body that its kind defines, in whole words; frames are in it as
 * quic/trace_frames.h says.  When the ring is full a record is dropped; how many were is the next
 * record of that connection.  There is always room to say that a connection is over, so that nobody
 * waits for more of it.
 *
 * Owner: who made it; from mr_endpoint_set_tracer() on the shard, but for the ring's other end.
 * Threads: the shard writes, one other thread reads (base/spsc.h).  `next` of a rule is shared by
 * the shards that have it.
 */
#ifndef MR_QUIC_TRACE_H
#define MR_QUIC_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/spsc.h"
#include "quic/types.h"

#define MR_TRACED_MAX          128                 /* connections of one endpoint at a time */
#define MR_TRACE_RING_WORDS    (UINT32_C(1) << 16) /* 512 KiB */
#define MR_TRACE_BODY_MAX      8704                /* bytes; more of transport parameters is cut */
#define MR_TRACE_FRAMES_MAX    2048                /* bytes of frames in a record; more are cut */
#define MR_TRACE_REASON_MAX    128                 /* bytes of text */
#define MR_TRACE_RECORD_MAX    (3 + MR_TRACE_BODY_MAX / 8) /* words */
#define MR_TRACE_END_WORDS     4                           /* of a record that ends a trace */
#define MR_TRACE_ARRIVAL_WORDS 7  /* of one that says where it comes from */
#define MR_TRACE_REFUSALS      64 /* traces that could not go on here, told in a full ring */

/* What is traced: bits. */
enum mr_trace_what {
    MR_TRACE_EVENTS = 1, /* for qlog */
    MR_TRACE_KEYS = 2    /* the secrets, as key log lines */
};

/* New connections to trace. */
struct mr_trace_rule {
    uint32_t what;          /* of enum mr_trace_what; 0: none */
    bool has_peer;          /* those of peers whose address begins with ... */
    uint8_t peer_bits;      /* ... so many bits of ... */
    uint8_t peer_ip[16];    /* ... this; IPv4 is mapped */
    _Atomic uint32_t *next; /* only while it is not 0, and counts down; NULL: all */
};

enum mr_trace_kind {
    MR_TRACE_LOST,        /* uint64_t: so many records of this trace before are not there */
    MR_TRACE_START,       /* struct mr_trace_start */
    MR_TRACE_END,         /* uint64_t: enum mr_trace_end */
    MR_TRACE_PARAMETERS,  /* struct mr_trace_parameters, then the bytes as TLS has them */
    MR_TRACE_ALPN,        /* the protocol's name */
    MR_TRACE_SENT,        /* struct mr_trace_packet, then frames */
    MR_TRACE_RECEIVED,    /* the same */
    MR_TRACE_DROPPED,     /* struct mr_trace_drop */
    MR_TRACE_BUFFERED,    /* struct mr_trace_drop */
    MR_TRACE_PACKET_LOST, /* struct mr_trace_loss */
    MR_TRACE_METRICS,     /* struct mr_trace_metrics */
    MR_TRACE_CONGESTION,  /* struct mr_trace_change of enum mr_trace_congestion */
    MR_TRACE_STATE,       /* struct mr_trace_change of enum mr_trace_state */
    MR_TRACE_MTU,         /* struct mr_trace_change; is_done: the search is over */
    MR_TRACE_KEY,         /* struct mr_trace_key */
    MR_TRACE_CLOSED,      /* struct mr_trace_closed, then the reason */
    MR_TRACE_PATH,        /* struct mr_trace_path */
    MR_TRACE_STREAM,      /* struct mr_trace_stream */
    MR_TRACE_PTO,         /* struct mr_trace_change: packet number space, how often in a row */
    MR_TRACE_KEYLOG,      /* whole lines of text */
    MR_TRACE_VERSION,     /* struct mr_trace_change */
    MR_TRACE_ARRIVAL,     /* struct mr_trace_ticket: it came from another tracer */
    MR_TRACE_ECN,         /* struct mr_trace_change of enum mr_ecn_state */
    MR_TRACE_HTTP3,       /* struct mr_trace_http3 (millrace/trace.h), then its bytes */
    MR_TRACE_RESTORED,    /* struct mr_trace_restored: for 0-RTT */
    MR_TRACE_SPIN,        /* uint64_t: the spin bit of what is sent, another than before */
    MR_TRACE_KINDS
};

/* How a record begins. */
struct mr_trace_head {
    uint32_t words; /* in all, the head included */
    uint16_t kind;  /* enum mr_trace_kind */
    uint16_t size;  /* bytes of the body */
    uint64_t time_ns;
    uint64_t trace; /* number of the connection's trace: of no other in the process */
};

_Static_assert(sizeof(struct mr_trace_head) == 3 * sizeof(uint64_t), "three words");

struct mr_trace_start {
    struct mr_path_addr path;
    struct mr_cid name; /* original DCID; is_late: a connection ID in use */
    struct mr_cid local;
    struct mr_cid peer;
    uint32_t version;
    uint32_t mtu;
    uint8_t role;    /* enum mr_role */
    uint8_t what;    /* enum mr_trace_what */
    bool is_late;    /* it began before */
    uint8_t cc_kind; /* enum mr_cc_kind */
};

enum mr_trace_end {
    MR_TRACE_OVER,    /* the connection is */
    MR_TRACE_STOPPED, /* as it was ordered */
    MR_TRACE_MOVED    /* it goes on in another tracer, under the same number */
};

struct mr_trace_parameters {
    uint32_t size; /* bytes there were; fewer follow if they were cut */
    bool is_peers;
    uint8_t sender; /* enum mr_role */
    bool is_resumed;
};

/* The server's parameters that a client goes by until it has the new ones. */
struct mr_trace_restored {
    uint64_t max_data;
    uint64_t max_stream_data_bidi_local;
    uint64_t max_stream_data_bidi_remote;
    uint64_t max_stream_data_uni;
    uint64_t max_streams_bidi;
    uint64_t max_streams_uni;
    uint64_t max_datagram_frame_size;
};

struct mr_trace_packet {
    uint64_t number;
    uint32_t version;
    uint32_t size;       /* bytes, header to tag; 0: not known */
    uint32_t frame_size; /* bytes of frames in the packet, those that were cut included */
    uint16_t token_size;
    uint8_t type; /* enum mr_packet_type */
    uint8_t number_size;
    uint8_t ecn; /* enum mr_ecn, of its datagram */
    bool has_phase;
    bool is_mtu_probe;
    bool is_cut; /* not all frames are there */
    uint32_t phase;
    uint32_t ack_delay_exponent; /* of ACK frames in it */
    uint32_t path;               /* ID of its path */
    struct mr_cid dcid;          /* long headers; else empty */
    struct mr_cid scid;
};

enum mr_trace_trigger {
    MR_TRACE_GENERAL,
    MR_TRACE_NO_KEY,
    MR_TRACE_UNDECRYPTABLE,
    MR_TRACE_DUPLICATE,
    MR_TRACE_INVALID,
    MR_TRACE_REJECTED
};

struct mr_trace_drop {
    uint32_t size;
    uint8_t type;    /* enum mr_packet_type */
    uint8_t trigger; /* enum mr_trace_trigger */
    bool has_number;
    uint64_t number;
};

struct mr_trace_loss {
    uint64_t number;
    uint32_t path; /* ID */
    uint8_t space; /* enum mr_space */
    bool is_mtu_probe;
    bool is_reordered; /* by packet threshold; else by time */
};

struct mr_trace_metrics {
    uint64_t min_ns;
    uint64_t smoothed_ns;
    uint64_t latest_ns;
    uint64_t variance_ns;
    uint64_t window;   /* bytes */
    uint64_t ssthresh; /* bytes; UINT64_MAX: none */
    uint64_t in_flight;
    uint64_t packets_in_flight;
    uint64_t pto_count;
};

enum mr_trace_congestion {
    MR_TRACE_SLOW_START,
    MR_TRACE_AVOIDANCE,
    MR_TRACE_RECOVERY
};

enum mr_trace_state {
    MR_TRACE_ATTEMPTED,
    MR_TRACE_COMPLETE,
    MR_TRACE_CONFIRMED,
    MR_TRACE_CLOSING,
    MR_TRACE_DRAINING,
    MR_TRACE_GONE
};

struct mr_trace_change {
    uint64_t before;
    uint64_t after;
    bool is_done;
};

struct mr_trace_key {
    uint32_t phase;
    uint8_t level;     /* enum mr_level */
    bool is_client;    /* the client's; else the server's */
    bool is_discarded; /* else it is new */
    bool is_update;    /* by a key update: of the peer's, or ours */
    bool is_peers;
};

struct mr_trace_closed {
    uint64_t error;
    bool is_app;
    bool is_remote;
    uint8_t trigger; /* enum mr_trace_close */
};

enum mr_trace_close {
    MR_TRACE_CLOSE_ERROR,
    MR_TRACE_CLOSE_APPLICATION,
    MR_TRACE_CLOSE_IDLE,
    MR_TRACE_CLOSE_RESET,
    MR_TRACE_CLOSE_VERSION
};

struct mr_trace_path {
    struct mr_path_addr path;
    struct mr_cid peer;
    bool is_validated;
};

struct mr_trace_stream {
    uint64_t id;
    bool is_sending; /* which side of it */
    uint8_t before;  /* enum mr_send_state or mr_recv_state */
    uint8_t after;
};

/* A trace on its way to another endpoint. */
struct mr_trace_ticket {
    uint64_t number; /* of the trace */
    uint64_t from;   /* of the tracer */
    uint64_t moves;  /* so many times it has gone to another, this one included */
    uint64_t what;   /* enum mr_trace_what; 0: none, it ends where it has come to */
};

/* A traced connection. */
struct mr_traced {
    uint64_t number;
    uint64_t lost;                   /* records that were dropped and not told of */
    uint64_t lost_all;               /* those that were told of, too */
    struct mr_trace_metrics metrics; /* told last */
    uint64_t moves;                  /* it came here with so many */
    uint64_t recovery_ns;            /* when the last recovery period told began */
    uint8_t congestion;              /* enum mr_trace_congestion, told last */
    uint8_t ecn;                     /* enum mr_ecn_state, told last */
    uint8_t spin;                    /* 0: nothing was sent yet; 1 and the bit */
    uint8_t what;                    /* enum mr_trace_what; 0: free */
};

struct mr_tracer {
    struct mr_spsc ring;
    struct mr_trace_rule rule;
    uint64_t number; /* of the tracer: of no other in the process */
    uint64_t started;
    uint64_t now_ns; /* of records; the shard's */
    uint32_t count;  /* traced now */
    struct mr_traced traced[MR_TRACED_MAX];
    uint64_t record[MR_TRACE_RECORD_MAX]; /* being written */
    uint64_t slots[MR_TRACE_RING_WORDS] MR_ALIGNED(MR_CACHE_LINE);
};

/* Bytes of a record. */
struct mr_trace_bytes {
    const void *at;
    size_t size;
};

/* Make it empty.  `number` < 2^24.  Any thread, before the endpoint has it. */
void mr_tracer_init(struct mr_tracer *tracer, uint64_t number);

/* Shall a new connection of this peer be traced?  What of it; 0: no.  Counts the rule down, but
 * where as many are traced as can be: mr_tracer_begin() will refuse, which its caller counts. */
uint32_t mr_tracer_wants(struct mr_tracer *tracer, const struct mr_addr *peer);

/* The trace of a ticket cannot go on here: say so, that its file ends.  False: MR_TRACE_REFUSALS
 * wait in a ring that is full; nobody hears of it. */
bool mr_tracer_refuse(struct mr_tracer *tracer, const struct mr_trace_ticket *ticket);

/* Begin a trace.  Its place, below MR_TRACED_MAX; MR_NONE: there is none, or no room in the ring.
 * `number`: of a trace that another tracer began; 0: a new one. */
uint32_t mr_tracer_begin(struct mr_tracer *tracer, uint32_t what, uint64_t number);

/*
 * Write a record of the trace at `place`: the bytes of `body` and then those of `more`; together
 * at most MR_TRACE_BODY_MAX.  False: dropped, and counted in the trace.
 */
bool mr_tracer_write(struct mr_tracer *tracer, uint32_t place, enum mr_trace_kind kind,
                     struct mr_trace_bytes body, struct mr_trace_bytes more);

/* The last record of the trace, which there is always room for; its place is free. */
void mr_tracer_end(struct mr_tracer *tracer, uint32_t place, enum mr_trace_end end);

/*
 * The reader's: the next record to `record_out`, which has MR_TRACE_RECORD_MAX words and begins
 * with a struct mr_trace_head.  False: there is none.
 */
bool mr_tracer_read(struct mr_tracer *tracer, uint64_t *record_out);

#endif /* MR_QUIC_TRACE_H */
