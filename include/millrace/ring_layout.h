/*
 * millrace/ring_layout.h - the memory that an application and a shard share.
 *
 * One region per (application thread, shard), made by the datapath, which also decides every size
 * in it.  All positions are offsets from the region's begin, so that both sides may map it
 * anywhere.
 *
 *     +--------+----------------+----------------+---------------------+---------------------+
 *     | header | submissions    | completions    | send area           | receive area        |
 *     | 4 KiB  | 64 bytes each  | 64 bytes each  | the application's   | slots, the shard's  |
 *     +--------+----------------+----------------+---------------------+---------------------+
 *                app --> shard    shard --> app    read when sealed      written once, read
 *                                                                        until released
 *
 * Who writes what: the application the submissions, `submit_tail`, `complete_head`, `sleeps` and
 * the send area; the shard everything else.  The mapping does not enforce it: the shard keeps its
 * own copy of all that it relies on, and copies an entry before it looks at it, so that an
 * application that writes elsewhere harms only itself.
 *
 * Indexes count up for ever; slot = index & (count - 1).  Everything is in this machine's byte
 * order.  The layout changes only with MR_RING_VERSION.
 *
 * Owner: the datapath, for the region; the application maps it from mr_attach() to mr_detach().
 * Threads: one of the application's and the shard's; indexes are read and written atomically.
 */
#ifndef MILLRACE_RING_LAYOUT_H
#define MILLRACE_RING_LAYOUT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MR_RING_MAGIC       UINT64_C(0x31676e69726c696d) /* "milring1", as bytes of this machine */
#define MR_RING_VERSION     3
#define MR_RING_ENTRY       64
#define MR_RING_HEADER      4096
#define MR_RING_ENTRIES_MIN 16u
#define MR_RING_ENTRIES_MAX 65536u

/*
 * Handles.  The datapath names an object (connection or stream) by index and generation; a stale
 * handle is answered with -ESTALE.  An application may choose a name of its own, an alias, when it
 * makes an object (CONNECT, OPEN): MR_RING_ALIAS | n, n < the header's alias_count.  It can be used
 * at once, in submissions behind the one that makes the object, and is free again once the object's
 * MR_EVENT_CLOSED, or the failure of its making, was told.
 */
#define MR_RING_ALIAS (UINT64_C(1) << 63)

/* What a submission asks for.  Each is answered by one completion with its user_data, except those
 * with MR_SQE_QUIET that succeed. */
enum mr_op {
    MR_OP_NOP,
    MR_OP_LISTEN,   /* value: a listener's number, or MR_RING_EVERY; address: 1 begin, 0 end.  Its
                       connections may come here, unasked, with MR_EVENT_CONNECTED */
    MR_OP_ACCEPT,   /* value: a listener's number.  Done when a connection of it is there: conn and
                       value (the listener) out; its events come with this user_data.  First come
                       first served, before those who only LISTEN; of too many: -ENOBUFS */
    MR_OP_CONNECT,  /* address, size: a struct mr_ring_connect in the send area; alias; conn out.
                       -EDQUOT: the ring has opened its part of the connections; -EAGAIN: none is
                       free now */
    MR_OP_OPEN,     /* handle: a connection; value: enum mr_open_flags; alias; stream and value (its
                       ID) out.  -EAGAIN: the peer's limit, MR_EVENT_STREAMS_ALLOWED follows */
    MR_OP_SEND,     /* handle: a stream; address, size: bytes in the send area; flags.  Done when
                       they are acknowledged; what cannot be sent yet waits, in order.  Refused
                       ones: see MR_SQE_AGAIN */
    MR_OP_RELEASE,  /* address: a receive slot that came with MR_CQE_DATA or MR_CQE_DATAGRAM.  Data
                       of  a region with MR_RING_BY_REFERENCE: handle: the stream, size: bytes, the
                       oldest that were not released */
    MR_OP_RESET,    /* handle: a stream; value: code, at most MR_ERROR_CODE_MAX, else -EINVAL */
    MR_OP_STOP,     /* handle: a stream; value: code, as of RESET */
    MR_OP_CLOSE,    /* handle: a connection; value: code, as of RESET; address, size: reason */
    MR_OP_TIMER,    /* value: ns from now; answered when it is time */
    MR_OP_USERDATA, /* handle: an object; value: what its events carry from now on */
    MR_OP_DATAGRAM, /* handle: a connection; address, size: bytes in the send area, done at once */
    MR_OP_INFO,     /* handle: a connection; address: where in the send area the datapath writes a
                       struct mr_ring_info */
    MR_OP_TICKET,   /* handle: a connection; address, size: room in the send area for its newest
                       resumption ticket; its size is the result, 0: none yet */
    MR_OP_MOVE_ACK, /* handle: a connection that came with MR_EVENT_MOVED; value: that event's.
                       See "Moves" below.  -ECANCELED: too late, it stays */
    MR_OP_PRIORITY, /* handle: a stream; value: its urgency, see struct mr_priority, and
                       MR_RING_INCREMENTAL; else -EINVAL */
    MR_OP_MIGRATE,  /* handle: a client's connection; value: its new local port, 0: another one;
                       address, size: its new IP address, 16 bytes in the send area, or none: it
                       keeps the one it has.  MR_EVENT_PATH_CHANGED or MR_EVENT_PATH_FAILED
                       follows */
    MR_OP_RESET_AT, /* handle: a stream; value: code, as of RESET; address: how many of its first
                       bytes the peer gets all the same, which may be submitted afterwards; no more
                       than the last time.  -EOPNOTSUPP: the peer does not take it */
    MR_OP_PATH,     /* handle: a connection with several paths; value: see MR_RING_PATH.  OPEN:
                       address, size: its local IP address, 16 bytes in the send area, or none: the
                       connection's; value out: the path's ID.  LIST: address, size: room in the
                       send area for entries of struct mr_ring_path; how many is the result.  Done at
                       once, errors as of `struct mr_path_call`; MR_EVENT_PATHS_CHANGED follows
                       where that says so */
    MR_OPS
};

/* PATH, its value: enum mr_path_call_kind, the local port of OPEN (0: the connection's), and the
 * path's ID. */
#define MR_RING_PATH(kind, port, path)                                                             \
    ((uint64_t)(kind) | (uint64_t)(port) << 16 | (uint64_t)(path) << 32)

#define MR_RING_INCREMENTAL UINT64_C(256) /* PRIORITY: the stream takes turns with others */

#define MR_RING_EVERY       UINT64_MAX /* LISTEN: every listener that is this application's */

enum mr_sqe_flags {
    MR_SQE_FIN = 1,  /* SEND: the stream ends after these bytes */
    MR_SQE_COPY = 2, /* SEND of at most 1 KiB: copied and done at once, unless it has to wait: then
                        it is like any other */
    MR_SQE_NOTIFY = 4, /* SEND: MR_EVENT_SENT when all was handed to the port */
    MR_SQE_QUIET = 8,  /* no completion unless it fails; ACCEPT and TIMER always have one */
    MR_SQE_AGAIN = 16  /* SEND: the stream's refusal was seen.  A SEND for which there is no record
                          (the header's sends_max are out) is refused with -ENOBUFS; those of the
                          stream behind any refused one are refused with -ECANCELED, so that no byte
                          goes missing in the middle, until one carries this flag */
};

/* A submission. */
struct mr_sqe {
    uint8_t op; /* enum mr_op */
    uint8_t flags;
    uint16_t reserved;
    uint32_t size;
    uint64_t user_data; /* comes back untouched */
    uint64_t handle;
    uint64_t address; /* offset in the region; of a region with MR_RING_BY_REFERENCE, a pointer */
    uint64_t value;
    uint32_t alias; /* CONNECT, OPEN: n + 1; 0: none */
    uint32_t unused32;
    uint64_t unused[2];
};

enum mr_cqe_type {
    MR_CQE_DONE,     /* of a submission: `result`, `user_data` */
    MR_CQE_EVENT,    /* of an object: `kinds`, see enum mr_event_kind; conn 0: of all,
                        MR_EVENT_GO_AWAY */
    MR_CQE_DATA,     /* of a stream: `size` bytes at `address`, to be released */
    MR_CQE_DATAGRAM, /* of a connection: `size` bytes at `address`, to be released like data */
    MR_CQE_GONE      /* the datapath lets go of this ring: nothing follows */
};

enum mr_cqe_flags {
    MR_CQE_FIN = 1,         /* DATA: the stream ends behind these bytes */
    MR_CQE_APPLICATION = 2, /* EVENT with CLOSED: the code is the application's */
    MR_CQE_REMOTE = 4,      /* EVENT with CLOSED: the peer closed */
    MR_CQE_REASON = 16,     /* EVENT with CLOSED of a connection: why, for people: `size` bytes at
                               `address`, a slot to be released like that of a DATAGRAM.  Only with
                               MR_RING_REASONS, and if there is a reason, and a free slot */
    MR_CQE_RELIABLE = 32,   /* EVENT with RESET: behind bytes that the peer guaranteed, all of which
                               came as DATA */
    MR_CQE_INHERITED = 8    /* EVENT with CONNECTED or STREAM_OPENED: was another application's that
                               is gone.  DATA begins where that one's ended: what was copied to its
                               slots is lost, whether or not it looked; `value` of the first DATA
                               says how much that is.  Of its SENDs all that it submitted go out
                               first */
};

/* A completion. */
struct mr_cqe {
    uint8_t type; /* enum mr_cqe_type */
    uint8_t op;   /* DONE: enum mr_op */
    uint16_t flags;
    int32_t result; /* DONE: 0 or -errno; of TICKET the size; EVENT with MOVED: see Moves */
    uint64_t user_data;
    uint64_t conn;
    uint64_t stream;   /* DONE of CONNECT: 0; of OPEN: the new stream */
    uint64_t address;  /* DATA, DATAGRAM; EVENT with CONNECTED or STREAMS_ALLOWED: bidirectional
                          streams that may have been opened in all; EVENT with STREAM_OPENED and
                          MR_CQE_INHERITED: bytes that were submitted to send before */
    uint32_t size;     /* the same of unidirectional ones */
    uint32_t kinds;    /* EVENT: enum mr_event_kind */
    uint64_t value;    /* DATA: the bytes' offset in the stream; EVENT: error code; EVENT with
                          CONNECTED of an accepted connection: the listener's number; EVENT with
                          STREAM_OPENED: the stream's ID; EVENT with MOVED or MOVED_IN: see Moves */
    uint64_t acked_to; /* EVENT with ACKED: below it everything is the application's again */
};

/*
 * Moves.  The datapath may give a connection to another of its shards while it runs, when the
 * application attached with MR_RING_MOVES and has a ring to that shard, too; without it connections
 * stay.  In order:
 *
 * 1. Old ring, EVENT with MOVED, result 0: the connection's last event here, of its streams as
 *    well.  `value`: the move's number; `address`: the shard to which it goes.
 *
 * 2. Old ring, DONEs of what was submitted before MOVE_ACK with that number: the last submission
 *    about it here.  RELEASE of slots goes on, at any time; by reference everything that was shown
 *    is released before.
 *
 * 3. Old ring, DONE of MOVE_ACK: nothing more about it comes to this ring.
 *
 * 4. New ring, EVENT with MOVED_IN: `conn`, its new name; `value`, the one before; `address`, the
 *    old ring's shard.  Then one of each stream: `stream` and `value`; those that the peer has
 *    opened and nobody was told of come with STREAM_OPENED instead.
 *
 * 5. New ring: DATA goes on where it ended, DONEs of SENDs follow; the memory of these is the old
 *    ring's still.
 *
 * Names of before, aliases too, are stale from MOVE_ACK on.  If the connection cannot go after all,
 * an EVENT with MOVED and a `result` < 0 comes to the old ring, and everything is as it was:
 * -ETIMEDOUT: no MOVE_ACK came, or not everything was released, in time; -EBUSY: a SEND was
 * refused, and no MR_SQE_AGAIN came; -ENOMEM, -ECANCELED: the new shard or ring has no room, or
 * ends; others as of `move` in millrace/transport.h.
 */

/* Of a region. */
enum mr_ring_flags {
    MR_RING_REASONS = 4,     /* the application takes MR_CQE_REASON */
    MR_RING_MOVES = 2,       /* the application answers MR_EVENT_MOVED: see Moves */
    MR_RING_BY_REFERENCE = 1 /* both sides are in one process and trust each other: addresses are
                                pointers, stream data is not copied, slots are for datagrams only.
                                Bytes shown stay until they are released, the application stops the
                                stream, or stream or connection is closed: whoever reads them
                                afterwards, before it is told of CLOSED, reads other bytes, but
                                never a fault.  The peer's reset takes nothing that was shown */
};

/* One direction's indexes, each side's in a cache line of its own. */
struct mr_ring_index {
    uint32_t value;
    uint32_t reserved[15];
};

/* The header, at offset 0. */
struct mr_ring_header {
    uint64_t magic;
    uint32_t version;
    uint32_t shard;
    uint64_t region_size;
    uint64_t submit_at; /* offset of the submissions */
    uint64_t complete_at;
    uint64_t send_at;
    uint64_t send_size;
    uint64_t receive_at;
    uint32_t submit_count; /* powers of two */
    uint32_t complete_count;
    uint32_t slot_size; /* bytes of a receive slot */
    uint32_t slot_count;
    uint32_t flags;       /* enum mr_ring_flags */
    uint32_t alias_count; /* aliases that an application may choose from */
    uint32_t sends_max;   /* SENDs whose bytes are not acknowledged */
    uint32_t objects_max; /* connections and streams; more: refused */
    uint64_t unused[4];
    struct mr_ring_index submit_tail;   /* application */
    struct mr_ring_index submit_head;   /* shard */
    struct mr_ring_index complete_tail; /* shard */
    struct mr_ring_index complete_head; /* application */
    struct mr_ring_index sleeps;  /* application: 1 before it waits for the wake socket; the shard
                                     takes it back when it wakes it */
    struct mr_ring_index is_gone; /* shard: 1 once it let go of the ring */
};

/* What MR_OP_CONNECT finds in the send area. */
struct mr_ring_connect {
    uint8_t ip[16]; /* IPv4 is mapped */
    uint16_t port;
    uint16_t alpn_size;
    uint8_t is_insecure;
    uint8_t versions[2]; /* as in struct mr_connect_options */
    uint8_t is_early;
    uint8_t alpn[104];     /* TLS wire form */
    char server_name[256]; /* NUL-terminated */
    uint64_t ticket;      /* offset in the send area; in the ticket's own bytes nothing is looked at
                             but by TLS */
    uint64_t ticket_size; /* 0: none */
};

/* What MR_OP_INFO writes: see struct mr_conn_info. */
struct mr_ring_info {
    uint8_t local_ip[16];
    uint8_t remote_ip[16];
    uint16_t local_port;
    uint16_t remote_port;
    uint32_t key_updates;
    uint64_t rtt_ns;
    uint64_t cwnd_bytes;
    uint64_t bytes_in_flight;
    uint64_t packets_sent;
    uint64_t packets_lost;
    uint64_t bytes_received;
    uint32_t datagram_max;
    uint8_t is_resumed;
    uint8_t is_client; /* 1; plus 2: is_early */
    uint8_t version;   /* of QUIC */
    uint8_t ecn;       /* enum mr_conn_ecn */
    char alpn[32];
    char server_name[256];
    char limited_by[32];
    uint8_t observed_ip[16];
    uint16_t observed_port;
    uint8_t takes_reset_at;
    uint8_t reserved[5];
};

/* What MR_OP_PATH writes for each path: see struct mr_path_info. */
struct mr_ring_path {
    uint8_t local_ip[16];
    uint8_t remote_ip[16];
    uint16_t local_port;
    uint16_t remote_port;
    uint32_t path;
    uint64_t rtt_ns;
    uint64_t cwnd_bytes;
    uint64_t bytes_in_flight;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint32_t mtu;
    uint8_t state;
    uint8_t is_backup;
    uint8_t is_peer_backup;
    uint8_t reserved;
};

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_RING_LAYOUT_H */
