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
 */
#ifndef MILLRACE_RING_LAYOUT_H
#define MILLRACE_RING_LAYOUT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MR_RING_MAGIC       UINT64_C(0x31676e69726c696d) /* "milring1", as bytes of this machine */
#define MR_RING_VERSION     1
#define MR_RING_ENTRY       64
#define MR_RING_HEADER      4096
#define MR_RING_ENTRIES_MIN 16u
#define MR_RING_ENTRIES_MAX 65536u

/* What a submission asks for.  Each is answered by one completion with its user_data, except those
 * with MR_SQE_QUIET that succeed. */
enum mr_op {
    MR_OP_NOP,
    MR_OP_LISTEN,   /* value: a listener's number; its connections may come here from now on */
    MR_OP_CONNECT,  /* address, size: a struct mr_ring_connect in the send area; handle out */
    MR_OP_OPEN,     /* handle: a connection; value: enum mr_open_flags; handle of a stream out */
    MR_OP_SEND,     /* handle: a stream; address, size: bytes in the send area; flags */
    MR_OP_RELEASE,  /* address: a receive slot that came with MR_CQE_DATA */
    MR_OP_RESET,    /* handle: a stream; value: code */
    MR_OP_STOP,     /* handle: a stream; value: code */
    MR_OP_CLOSE,    /* handle: a connection; value: code; address, size: reason */
    MR_OP_TIMER,    /* value: ns from now; answered when it is time */
    MR_OP_USERDATA, /* handle: an object; value: what its events carry from now on */
    MR_OPS
};

enum mr_sqe_flags {
    MR_SQE_FIN = 1,    /* SEND: the stream ends after these bytes */
    MR_SQE_COPY = 2,   /* SEND of at most 1 KiB: copied at once, done at once */
    MR_SQE_NOTIFY = 4, /* SEND: MR_EVENT_SENT when all was handed to the port */
    MR_SQE_QUIET = 8   /* no completion unless it fails */
};

/* A submission. */
struct mr_sqe {
    uint8_t op; /* enum mr_op */
    uint8_t flags;
    uint16_t reserved;
    uint32_t size;
    uint64_t user_data; /* comes back untouched */
    uint64_t handle;
    uint64_t address; /* offset in the region; in the datapath's own process with a region that says
                         so, a pointer */
    uint64_t value;
    uint64_t unused[3];
};

enum mr_cqe_type {
    MR_CQE_DONE,  /* of a submission: `result`, `user_data` */
    MR_CQE_EVENT, /* of an object: `kinds`, see enum mr_event_kind */
    MR_CQE_DATA,  /* of a stream: `size` bytes at `address`, to be released */
    MR_CQE_GONE   /* the datapath lets go of this ring: nothing follows */
};

enum mr_cqe_flags {
    MR_CQE_FIN = 1,         /* DATA: the stream ends behind these bytes */
    MR_CQE_APPLICATION = 2, /* EVENT with CLOSED: the code is the application's */
    MR_CQE_REMOTE = 4       /* EVENT with CLOSED: the peer closed */
};

/* A completion. */
struct mr_cqe {
    uint8_t type; /* enum mr_cqe_type */
    uint8_t op;   /* DONE: enum mr_op */
    uint16_t flags;
    int32_t result; /* DONE: 0 or -errno */
    uint64_t user_data;
    uint64_t conn;
    uint64_t stream; /* DONE of CONNECT: 0; of OPEN: the new stream */
    uint64_t address;
    uint32_t size;
    uint32_t kinds;    /* EVENT: enum mr_event_kind */
    uint64_t value;    /* DATA: the bytes' offset in the stream; EVENT: error code */
    uint64_t acked_to; /* EVENT with ACKED: below it everything is the application's again */
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
    uint64_t unused[6];
    struct mr_ring_index submit_tail;   /* application */
    struct mr_ring_index submit_head;   /* shard */
    struct mr_ring_index complete_tail; /* shard */
    struct mr_ring_index complete_head; /* application */
    struct mr_ring_index sleeps;        /* application: 1 before it waits for the eventfd; the shard
                                           takes it back when it wakes it */
    struct mr_ring_index is_gone;       /* shard: 1 once it let go of the ring */
};

/* What MR_OP_CONNECT finds in the send area. */
struct mr_ring_connect {
    uint8_t ip[16]; /* IPv4 is mapped */
    uint16_t port;
    uint16_t alpn_size;
    uint8_t is_insecure;
    uint8_t unused[3];
    uint8_t alpn[104];     /* TLS wire form */
    char server_name[256]; /* NUL-terminated */
};

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_RING_LAYOUT_H */
