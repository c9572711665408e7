/*
 * quic/endpoint_internal.h - struct mr_endpoint, shared by endpoint*.c and conn_*.c.
 *
 * Pools and tables laid out once from the limits; intrusive lists of connections
 * and objects; the scratch of one receive burst and of one send burst.
 *
 * Owner: the shard.  Threads: the shard's only.
 */
#ifndef MR_QUIC_ENDPOINT_INTERNAL_H
#define MR_QUIC_ENDPOINT_INTERNAL_H

#include "base/random.h"
#include "base/table.h"
#include "base/wheel.h"
#include "quic/cid_cipher.h"
#include "quic/conn_internal.h"
#include "quic/departed.h"
#include "quic/names.h"
#include "quic/token.h"

#define MR_REPLIES_MAX       32 /* stateless datagrams waiting to be sent */
#define MR_REPLY_SIZE        256
#define MR_COPIES_PER_PACKET MR_SEND_PIECES
#define MR_SEAL_JOBS_MAX     (MR_BURST * 3) /* coalesced packets count one by one */
#define MR_JOBS              4              /* TLS jobs out at a time */
#define MR_TOO_BIG_MAX       8  /* messages about packets too big that wait for their connection */
#define MR_TOO_BIG_SLICE     64 /* connections asked at a time */
#define MR_KEYLOG_BUFFER     16384

/* What became of one datagram of a receive burst. */
enum mr_slot_kind {
    MR_SLOT_DONE,         /* dropped, redirected */
    MR_SLOT_WALK,         /* everything that is not below: one packet after the other */
    MR_SLOT_FAST,         /* a 1-RTT packet, opened with the burst */
    MR_SLOT_PATH,         /* the same, of another path than path 0 */
    MR_SLOT_FLIPPED,      /* FAST of the other key phase: opened alone */
    MR_SLOT_PATH_FLIPPED, /* PATH */
};
#define MR_SLOT_FLIPS (MR_SLOT_FLIPPED - MR_SLOT_FAST)

struct mr_slot {
    struct mr_datagram *datagram;
    uint32_t conn;
    uint32_t job; /* FAST: of open_jobs */
    uint8_t kind;
    uint32_t path; /* PATH: its record */
};

struct mr_reply {
    struct mr_path_addr path;
    uint32_t size;
    uint8_t bytes[MR_REPLY_SIZE];
};

/* The network says that a datagram was too big. */
struct mr_too_big {
    struct mr_path_addr path;
    uint32_t mtu;  /* bytes of UDP payload that would pass */
    uint32_t next; /* connection to ask */
    uint8_t size;  /* bytes quoted */
    uint8_t bytes[63];
};

/* A TLS job and where it is. */
struct mr_job_slot {
    struct mr_tls_job job;
    uint32_t conn;      /* MR_NONE: free, or its connection is gone */
    uint32_t handshake; /* that a connection left behind while the job was out; MR_NONE */
    bool is_out;
};

/* A connection's number, or a stream's: a pool object.  Free ones keep their generation. */
struct mr_number {
    uint32_t place;      /* in the pool of connections, or MR_PLACE_ASLEEP | that of sleepers; and
                            MR_PLACE_CLOSES: it is to be closed as soon as it can wake.  In the pool
                            of streams, with MR_PLACE_AWAY if its connection is another shard's; or
                            MR_PLACE_ASLEEP | the number of its connection */
    uint32_t generation; /* of its handle; odd while in use */
};

#define MR_PLACE_ASLEEP UINT32_C(0x80000000)
#define MR_PLACE_CLOSES UINT32_C(0x40000000) /* of a connection */
#define MR_PLACE_AWAY   UINT32_C(0x40000000) /* of a stream */
#define MR_PLACE_BITS   (MR_PLACE_ASLEEP | MR_PLACE_CLOSES)

/* The hand that puts connections to sleep (quic/conn_sleep.h). */
struct mr_sleep_hand {
    uint32_t at;            /* the next place that it looks at */
    uint32_t close_at;      /* while it closes sleepers: the next number */
    uint32_t closing_count; /* sleepers with MR_PLACE_CLOSES */
    bool is_going;          /* its timer is set: the wheel's number connections_max */
};

/* Connections that may send, by their places. */
struct mr_ready_list {
    uint32_t head;
    uint32_t tail;
};

struct mr_endpoint {
    struct mr_endpoint_config config;
    struct mr_limits limits;
    struct mr_aead *aead;
    struct mr_tracer *tracer; /* borrowed; NULL: nothing is traced */
    uint8_t static_key[MR_STATIC_KEY];
    struct mr_random random;
    struct mr_siphash_key secret_key; /* of mr_endpoint_secret_random() */
    uint64_t secret_counter;
    uint64_t paused_ns; /* in all, see mr_endpoint_paused() */
    uint64_t now;       /* of the last receive burst or expiry: for what wakes in between */
    struct mr_token_keys tokens;
    struct mr_cid_cipher cid_ciphers[MR_CID_CONFIGS]; /* by config; not open: plain text */
    uint8_t cid_configs;    /* bit i: connection IDs of config i may be ours */
    bool is_ending;         /* no connection is accepted any more */
    uint32_t cid_epoch;     /* how often the configuration of new ones has changed */
    uint64_t cid_nonces;    /* used of it */
    struct mr_pool numbers; /* struct mr_number: as a table, a place for each there may be */
    struct mr_pool conns;
    struct mr_pool sleepers;
    struct mr_pool handshakes;
    struct mr_pool streams;
    struct mr_pool segments;
    struct mr_pool ranges;
    struct mr_pool chunks;
    struct mr_pool frame_blocks; /* further frames of sent packets */
    struct mr_pool blocks;       /* compact: copied small pieces */
    struct mr_pool keys;
    struct mr_pool extras;
    struct mr_pool multipaths;
    struct mr_pool path_records;
    struct mr_pool models; /* struct mr_bbr */
    struct mr_pool datagram_chunks;
    struct mr_names names;
    struct mr_send_pools send_pools;
    struct mr_recv_pools recv_pools;
    struct mr_table8 cids; /* connection IDs we issued -> connection */
    struct mr_table
        initial_cids; /* first DCIDs of clients, while their Initials may come -> connection */
    struct mr_table reset_tokens; /* of the peers' connection IDs in use -> connection or path */
    struct mr_table8 stream_ids;  /* connection index and stream ID -> stream */
    struct mr_wheel wheel;        /* connection deadlines */
    struct mr_buf_list released;
    struct mr_ready_list few;  /* connections that may send: those that had little to send... */
    struct mr_ready_list bulk; /* ... and those that had much; each round robin */
    uint32_t odd_packet;       /* 1: the one in the middle of a burst is for the former; or 0 */
    uint32_t dirty_head;       /* objects with events, keys of object_key() */
    uint32_t dirty_tail;
    uint32_t dirty_count;
    uint32_t job_head; /* connections that want a TLS job */
    uint32_t job_tail;
    uint32_t ticket_wait_head; /* connections whose clients only wait for tickets, oldest first */
    uint32_t ticket_wait_tail;
    uint32_t keys_hand;            /* clock hand over the key pool */
    uint32_t burst;                /* number of the receive or send burst */
    uint32_t handshakes_in_flight; /* not confirmed yet */
    uint32_t reset_count;          /* stateless resets sent in the period */
    uint64_t reset_period_ns;
    struct mr_departed departed; /* connection IDs that get no stateless resets */
    uint64_t export_count;
    uint32_t forwarding_count; /* connections of which only the connection IDs are left */
    /* one receive burst */
    uint32_t slot_count;
    uint32_t open_count;
    uint32_t touched_count;
    struct mr_slot slots[MR_BURST];
    struct mr_open_job open_jobs[MR_BURST];
    uint32_t touched[MR_BURST * 2];
    /* one send burst */
    uint32_t seal_count;
    uint32_t copy_count;
    struct mr_seal_job seal_jobs[MR_SEAL_JOBS_MAX];
    struct mr_seal_copy copies[MR_SEAL_JOBS_MAX * MR_COPIES_PER_PACKET];
    /* stateless answers */
    uint32_t reply_count;
    struct mr_reply replies[MR_REPLIES_MAX];
    struct mr_job_slot jobs[MR_JOBS];
    uint32_t too_big_count;
    struct mr_too_big too_big[MR_TOO_BIG_MAX]; /* oldest first */
    size_t keylog_size;
    char keylog[MR_KEYLOG_BUFFER];
    struct mr_counters counters;
    struct mr_sleep_hand sleep_hand;
    struct mr_pool stream_numbers; /* as `numbers`, of streams */
    struct mr_conn fresh; /* an image of a new connection: what sleepers are packed against */
};

/* More connections than have expanded keys: the next one's memory is mostly in no cache. */
static inline bool mr_endpoint_is_crowded(const struct mr_endpoint *ep)
{
    return ep->conns.used > ep->keys.count;
}

#endif /* MR_QUIC_ENDPOINT_INTERNAL_H */
