/*
 * quic/sent_packet.h - the record of one packet that was sent, and of the frames in it.
 *
 *     struct mr_sent_packet (32 bytes)          struct mr_sent_block (64 bytes)
 *     +------+-------------+------+------+      +-------+-------+-------+------+
 *     | time | first frame | size | more | ---> | frame | frame | frame | next | ---> ...
 *     +------+-------------+------+------+      +-------+-------+-------+------+
 *
 * A record says what has to be done when the packet is acknowledged or lost, in
 * the words of whoever wrote the frame; nothing of the packet's bytes is kept.
 *
 * Blocks come from one pool per shard.
 */
#ifndef MR_QUIC_SENT_PACKET_H
#define MR_QUIC_SENT_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/pool.h"

/* What a frame record stands for.  Members that a kind does not mention are the producer's. */
enum mr_sent_kind {
    MR_SENT_NONE,
    MR_SENT_ACK,             /* offset: the largest packet number acknowledged in it */
    MR_SENT_STREAM,          /* object: stream key; offset, length: the range; flags: MR_SENT_FIN */
    MR_SENT_CRYPTO,          /* offset, length: the range */
    MR_SENT_RESET_STREAM,    /* object: stream key */
    MR_SENT_STOP_SENDING,    /* object: stream key */
    MR_SENT_MAX_DATA,        /* offset: the limit sent */
    MR_SENT_MAX_STREAM_DATA, /* object: stream key; offset: the limit sent */
    MR_SENT_MAX_STREAMS_BIDI, /* offset: the limit sent */
    MR_SENT_MAX_STREAMS_UNI,
    MR_SENT_DATA_BLOCKED,        /* offset: the limit it names */
    MR_SENT_STREAM_DATA_BLOCKED, /* object: stream key; offset: the limit it names */
    MR_SENT_STREAMS_BLOCKED_BIDI,
    MR_SENT_STREAMS_BLOCKED_UNI,
    MR_SENT_NEW_CID,        /* offset: sequence number */
    MR_SENT_RETIRE_CID,     /* offset: sequence number */
    MR_SENT_PATH_CHALLENGE, /* offset: its data */
    MR_SENT_PATH_RESPONSE,
    MR_SENT_HANDSHAKE_DONE,
    MR_SENT_NEW_TOKEN,
    MR_SENT_PING,
    MR_SENT_DATAGRAM,         /* object: how many DATAGRAM frames; never sent again */
    MR_SENT_RESET_STREAM_AT,  /* object: stream key; offset: Reliable Size */
    MR_SENT_OBSERVED_ADDRESS, /* offset: sequence number */
    MR_SENT_ACK_FREQUENCY,    /* offset: sequence number */
    /* of draft-ietf-quic-multipath; object: path ID */
    MR_SENT_PATH_ACK, /* of another path than the packet's; offset: the largest number in it */
    MR_SENT_PATH_ABANDON,
    MR_SENT_PATH_STATUS,     /* offset: sequence number */
    MR_SENT_PATH_NEW_CID,    /* offset: sequence number */
    MR_SENT_PATH_RETIRE_CID, /* offset: sequence number */
    MR_SENT_MAX_PATH_ID,     /* offset: the limit sent */
    MR_SENT_PATHS_BLOCKED,   /* offset: the limit it names; not repeated */
    MR_SENT_PATH_CIDS_BLOCKED,
    MR_SENT_KINDS
};

enum mr_sent_frame_flags {
    MR_SENT_FIN = 1,
};

struct mr_sent_frame {
    uint64_t offset;
    uint32_t object;
    uint16_t length; /* bytes */
    uint8_t kind;    /* enum mr_sent_kind */
    uint8_t flags;   /* enum mr_sent_frame_flags */
};

/* The two lowest bits of a record's flags are its state. */
enum mr_sent_state {
    MR_SENT_SKIPPED, /* never sent: a trap for forged ACKs (RFC 9000, Section 21.4) */
    MR_SENT_OUTSTANDING,
    MR_SENT_ACKED,
    MR_SENT_LOST
};

enum mr_sent_flags {
    MR_SENT_STATE = 3,
    MR_SENT_ACK_ELICITING = 4, /* implies IN_FLIGHT */
    MR_SENT_IN_FLIGHT = 8,     /* counts for congestion control (RFC 9002, Section 2) */
    MR_SENT_PROBE = 16,        /* sent on a PTO */
    MR_SENT_MTU_PROBE = 32,    /* its loss says nothing about congestion (RFC 9000, Section 14.4) */
    MR_SENT_ECT = 64,          /* sent with ECT(0) or ECT(1): counts for ECN validation */
};

struct mr_sent_packet {
    uint64_t time_ns;
    struct mr_sent_frame first; /* kind MR_SENT_NONE: no frame worth a record */
    uint16_t size;              /* bytes of the QUIC packet, 0 if skipped */
    uint8_t flags;              /* enum mr_sent_flags | enum mr_sent_state */
    uint8_t path;               /* the producer's index of the path it was sent on */
    uint32_t more;              /* the newest block of further frames; MR_NONE */
};

_Static_assert(sizeof(struct mr_sent_frame) == 16, "packed without padding");
_Static_assert(sizeof(struct mr_sent_packet) == 32, "two records per cache line");

/* Further frames of a packet. */
#define MR_SENT_BLOCK_FRAMES 3
struct mr_sent_block {
    struct mr_sent_frame frame[MR_SENT_BLOCK_FRAMES];
    uint32_t next;  /* an older block of the same packet; MR_NONE */
    uint32_t count; /* frames in use, >= 1 */
    uint64_t unused;
};

_Static_assert(sizeof(struct mr_sent_block) == MR_CACHE_LINE, "one cache line");

/* Bytes that mr_sent_blocks_init() needs for `count` blocks. */
static inline size_t mr_sent_blocks_footprint(uint32_t count)
{
    return mr_pool_footprint(count, sizeof(struct mr_sent_block), MR_CACHE_LINE);
}

/* Lay `count` blocks out in `mem`, which stays borrowed. */
static inline void mr_sent_blocks_init(struct mr_pool *blocks, void *mem, uint32_t count)
{
    mr_pool_init(blocks, mem, count, sizeof(struct mr_sent_block), MR_CACHE_LINE);
}

static inline enum mr_sent_state mr_sent_state(const struct mr_sent_packet *packet)
{
    return (enum mr_sent_state)(packet->flags & MR_SENT_STATE);
}

#endif /* MR_QUIC_SENT_PACKET_H */
