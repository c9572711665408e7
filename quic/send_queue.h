/*
 * quic/send_queue.h - the data of a stream's sending part: what is queued, sent, lost,
 * acknowledged.
 *
 *          acked_to              next_offset        end_offset
 *     free    |  in flight / lost / acked  |  never sent  |
 *     --------|---###----xxx-------###-----|--------------|--> offset
 *               acked    lost                             FIN
 *
 * Bytes are sent by reference: a segment describes a piece of application
 * memory, or a 1 KiB chunk of the shard's that holds copied bytes.  A lost byte
 * is framed again from its segment; sealed packets are never kept.  Memory
 * below acked_to, which only rises, is the application's again.
 *
 * Nothing that is lost is ever forgotten: when no range node is free, the lost
 * range is widened instead (`lost_hull`), at worst sending again what arrived.
 *
 * Owner: one per stream (or per CRYPTO stream), embedded by value; its nodes are
 * the shard's.  Threads: the shard's only.
 * Limits: segments, ranges and chunks of the shard's pools; each call says its
 * answer when one is empty.  How much may be queued is the caller's to limit.
 */
#ifndef MR_QUIC_SEND_QUEUE_H
#define MR_QUIC_SEND_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "millrace/transport.h"
#include "quic/chunk.h"
#include "quic/range_list.h"

#define MR_SEND_COPY_MAX    1024u /* bytes that one append may copy for an application */
#define MR_SEND_PIECES      8u    /* pieces of memory that one frame may gather */
#define MR_SEND_SEGMENT_MAX (UINT32_C(1) << 30) /* bytes; larger views become several segments */

/* A pool object: a run of the stream's bytes at one place in memory. */
struct mr_send_segment {
    const uint8_t *data;
    uint64_t offset; /* of data[0] in the stream */
    uint32_t size;
    uint32_t chunk; /* the chunk that `data` lies in, MR_NONE: application memory */
    uint32_t next;  /* higher offsets; MR_NONE: the last */
    uint32_t reserved;
};

/* The shard's pools, as a send queue sees them. */
struct mr_send_pools {
    struct mr_pool *segments; /* of struct mr_send_segment */
    struct mr_pool *ranges;   /* of struct mr_range_node */
    struct mr_pool *chunks;   /* of MR_CHUNK_SIZE bytes */
};

struct mr_send_queue {
    /* read or written per packet */
    uint64_t acked_to;    /* every byte below is acknowledged */
    uint64_t next_offset; /* first byte never sent */
    uint64_t end_offset;  /* bytes queued so far */
    uint32_t head;        /* segment of acked_to */
    uint32_t tail;
    uint32_t cursor;  /* segment of next_offset; MR_NONE: nothing is unsent */
    bool has_fin;     /* the stream ends at end_offset */
    bool is_fin_sent; /* at least once */
    bool is_fin_lost; /* to be sent again */
    bool is_fin_acked;
    bool is_closed;             /* reset, cut: nothing may be added */
    struct mr_range_list lost;  /* to be sent again, in [acked_to, next_offset) */
    struct mr_range_list acked; /* above acked_to */
    struct mr_range lost_hull;  /* begin < end: also lost, when `lost` could not take it */
    uint64_t repeat_below;      /* lost bytes from here on are not sent again; UINT64_MAX: all */
    uint64_t notify_offset;     /* bytes below were given with MR_SEND_NOTIFY */
    uint32_t lost_cursor;       /* segment last read for a retransmission, or MR_NONE */
};

/* One STREAM or CRYPTO frame's share of the stream, as the record of a sent packet keeps it. */
struct mr_send_span {
    uint64_t offset;
    uint32_t size; /* may be 0 with FIN */
    bool has_fin;
};

struct mr_send_piece {
    const uint8_t *data;
    uint32_t size;
};

/* What to put into a frame now. */
struct mr_send_frame {
    struct mr_send_span span;
    bool is_retransmission; /* lost data: takes no flow-control credit */
    uint32_t piece_count;   /* 0: FIN alone */
    struct mr_send_piece pieces[MR_SEND_PIECES];
};

enum mr_append_verdict {
    MR_APPEND_OK,
    MR_APPEND_NO_MEMORY, /* no segment or chunk is free; nothing was queued */
    MR_APPEND_CLOSED,    /* FIN was given or the stream was reset */
    MR_APPEND_TOO_BIG,   /* more than MR_SEND_COPY_MAX to copy, or past offset 2^62 - 1 */
};

enum mr_send_ack {
    MR_SEND_ACK_OLD,      /* nothing new */
    MR_SEND_ACK_ADVANCED, /* acked_to rose, or FIN is acknowledged */
    MR_SEND_ACK_RECORDED, /* out of order: remembered above acked_to */
    MR_SEND_ACK_DROPPED,  /* out of order and no range node is free: the bytes are lost again */
};

void mr_send_queue_init(struct mr_send_queue *q);

/*
 * Queue the bytes of `views` in order; all or nothing.
 *
 * `flags` of enum mr_send_flags.  With MR_SEND_COPY the bytes (at most MR_SEND_COPY_MAX in all) are
 * copied to chunks now; without, they must stay unchanged until acked_to passes them or the queue
 * is reset.  Empty views are allowed; no views with MR_SEND_FIN is a FIN of its own. Cost:
 * O(views); a view that follows the last segment in memory costs no segment.
 */
enum mr_append_verdict mr_send_queue_append(struct mr_send_queue *q,
                                            const struct mr_send_pools *pools,
                                            const struct mr_view *views, size_t count,
                                            uint32_t flags);

/* The same for bytes that are the engine's own (CRYPTO): always copied, of any size, no flags. */
enum mr_append_verdict mr_send_queue_append_copy(struct mr_send_queue *q,
                                                 const struct mr_send_pools *pools,
                                                 const uint8_t *data, size_t size);

/* True if lost bytes or a lost FIN wait. */
static inline bool mr_send_queue_has_lost(const struct mr_send_queue *q)
{
    return !mr_range_list_is_empty(&q->lost) || q->lost_hull.begin < q->lost_hull.end ||
           q->is_fin_lost;
}

/*
 * True if mr_send_queue_next() has something to give, with at least one byte of room: lost or new
 * data, or FIN. `flow_limit` is the offset that new data must stay below (stream limit, and
 * next_offset + the connection's credit).
 */
static inline bool mr_send_queue_wants(const struct mr_send_queue *q, uint64_t flow_limit)
{
    return (q->next_offset < q->end_offset && q->next_offset < flow_limit) ||
           mr_send_queue_has_lost(q) ||
           (q->has_fin && !q->is_fin_sent && q->next_offset == q->end_offset);
}

/* True if there is new data and `flow_limit` alone forbids it. */
static inline bool mr_send_queue_is_blocked(const struct mr_send_queue *q, uint64_t flow_limit)
{
    return q->next_offset < q->end_offset && q->next_offset >= flow_limit;
}

/* The offset at which the next frame begins, for the size of its header.  Cost: O(1). */
uint64_t mr_send_queue_next_at(const struct mr_send_queue *q, const struct mr_send_pools *pools);

/*
 * Take what to send next, lost data before new, as sent: at most `room` data bytes (the frame's
 * header is the caller's).
 *
 * Fills `frame_out`; the pieces stay valid until acked_to passes them.  FIN is set when the frame
 * ends the stream. False: nothing to send now, or no room (FIN alone needs no data bytes: room 0 is
 * enough). Cost: O(1) for new data and for retransmissions in order, else a walk over segments.
 */
bool mr_send_queue_next(struct mr_send_queue *q, const struct mr_send_pools *pools, uint32_t room,
                        uint64_t flow_limit, struct mr_send_frame *frame_out);

/*
 * A look at the new data that may be sent, for many frames at once: the bytes from next_offset on
 * that lie together in memory, stay below `flow_limit` and do not end the stream.  Size 0: none, or
 * lost data comes first.  Cost: O(1).
 */
struct mr_view mr_send_queue_run(const struct mr_send_queue *q, const struct mr_send_pools *pools,
                                 uint64_t flow_limit);

/* The first `size` bytes of that run, at least 1, are sent. */
void mr_send_queue_take(struct mr_send_queue *q, const struct mr_send_pools *pools, uint32_t size);

/*
 * The peer has acknowledged a frame with this span.  See enum mr_send_ack; q->acked_to has the new
 * watermark. Cost: O(1) in order, else a walk over out-of-order ranges.
 */
enum mr_send_ack mr_send_queue_acked(struct mr_send_queue *q, const struct mr_send_pools *pools,
                                     struct mr_send_span span);

/* A packet with this span is lost: what of it is not acknowledged will be sent again. */
void mr_send_queue_lost(struct mr_send_queue *q, const struct mr_send_pools *pools,
                        struct mr_send_span span);

/*
 * Send everything again from acked_to on as if it never had been sent: after Retry, and when 0-RTT
 * was refused. No frame sent before may be reported as acknowledged or lost afterwards.
 */
void mr_send_queue_rewind(struct mr_send_queue *q, const struct mr_send_pools *pools);

/*
 * Forget all data and give the nodes back: RESET_STREAM (its Final Size is q->next_offset), or the
 * stream is gone. Later acked and lost calls change nothing, append answers MR_APPEND_CLOSED.
 */
void mr_send_queue_reset(struct mr_send_queue *q, const struct mr_send_pools *pools);

/*
 * The stream is reset, but for its first `reliable` bytes, which are no more than were queued, nor
 * than in an earlier call: what lies above and was never sent is forgotten (end_offset falls), and
 * a FIN that was not sent; what was is not sent again.  Append answers MR_APPEND_CLOSED.
 */
void mr_send_queue_truncate(struct mr_send_queue *q, const struct mr_send_pools *pools,
                            uint64_t reliable);

/* True if all data and FIN are acknowledged: "Data Recvd" of RFC 9000, Section 3.1. */
static inline bool mr_send_queue_is_all_acked(const struct mr_send_queue *q)
{
    return q->is_fin_acked && q->acked_to == q->end_offset;
}

/* Bytes queued and not below the watermark. */
static inline uint64_t mr_send_queue_queued_bytes(const struct mr_send_queue *q)
{
    return q->end_offset - q->acked_to;
}

/* Bytes never sent: what counts against the stream's queue limit.  What is in flight does not, or
 * the limit would be one of the rate over a distance. */
static inline uint64_t mr_send_queue_unsent_bytes(const struct mr_send_queue *q)
{
    return q->end_offset - q->next_offset;
}

/* True if every byte given with MR_SEND_NOTIFY was sent once.  Compare before and after
 * mr_send_queue_next(). */
static inline bool mr_send_queue_is_notified(const struct mr_send_queue *q)
{
    return q->next_offset >= q->notify_offset;
}

/* Panic unless every invariant above holds.  For tests, fuzzers and MR_DEBUG. */
void mr_send_queue_check(const struct mr_send_queue *q, const struct mr_send_pools *pools);

#endif /* MR_QUIC_SEND_QUEUE_H */
