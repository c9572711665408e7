/*
 * quic/recv_queue.h - reassembly of a stream's received bytes by reference (RFC 9000, Section 2.2).
 *
 *      released_to     ready_to
 *     ----------|###########|     |#####|   |########|--> offset
 *       gone      ready       gap   run  gap    run      highest
 *
 * A piece refers to bytes in a packet buffer and holds a reference on it.
 * Pieces never overlap: the first copy of a byte wins, later copies are dropped.
 * Ready pieces form a chain in order.  What arrived early forms runs: a run is a
 * chain of pieces without a gap, so that the work per frame is bounded by the
 * number of gaps, and a run becomes ready in one step.
 *
 * Owner: one per stream, embedded by value; its nodes are the shard's.
 * Threads: the shard's only.
 * Limits: MR_RECV_RUNS_MAX runs per stream, and more only where full packets lie between the gaps
 * (random loss over a distance); nodes and compact blocks of the
 * shard; at each the frame is refused (MR_RECV_NO_ROOM) and nothing changes: its
 * packet must then not be acknowledged, so that the peer sends it again.
 * Bytes are limited by flow control (quic/flow.h), which the caller checks first.
 */
#ifndef MR_QUIC_RECV_QUEUE_H
#define MR_QUIC_RECV_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/pool.h"
#include "millrace/transport.h"
#include "quic/compact.h"

#define MR_RECV_RUNS_MAX     128u       /* runs that wait for a gap to close, per stream, */
#define MR_RECV_RUNS_SHARE   16u        /* or so many referred buffers for each of them; */
#define MR_RECV_RUNS_MOST    16384u     /* never more: the walk over them must end */
#define MR_RECV_NODE_SIZE    32u        /* bytes of a node: a piece or a run */
#define MR_RECV_SIZE_UNKNOWN UINT64_MAX /* final_size before FIN or RESET_STREAM */

/* A node: bytes in a buffer. */
struct mr_recv_piece {
    const uint8_t *data;
    uint64_t offset;    /* of data[0] in the stream */
    struct mr_buf *buf; /* one reference */
    uint32_t size;
    uint32_t next; /* higher offsets */
};

_Static_assert(sizeof(struct mr_recv_piece) == MR_RECV_NODE_SIZE, "a piece is a node");

/* A node: pieces without a gap that wait above one. */
struct mr_recv_run {
    uint64_t begin;
    uint64_t end;
    uint32_t head; /* pieces */
    uint32_t tail;
    uint32_t previous; /* runs */
    uint32_t next;
};

/* The shard's pools, as a receive queue sees them. */
struct mr_recv_pools {
    struct mr_pool *nodes;  /* of MR_RECV_NODE_SIZE bytes: pieces and runs */
    struct mr_pool *blocks; /* of struct mr_compact */
    uint64_t pinned_count;  /* references to packet buffers that all queues of the shard hold */
};

struct mr_recv_queue {
    uint64_t released_to; /* the application consumed every byte below */
    uint64_t shown_to;    /* the application was shown no byte above */
    uint64_t ready_to;    /* every byte below has arrived */
    uint64_t highest;     /* end of the highest byte received: what flow control counts */
    uint64_t final_size;  /* or MR_RECV_SIZE_UNKNOWN */
    uint32_t ready_head;  /* pieces [released_to, ready_to) */
    uint32_t ready_tail;
    uint32_t run_head; /* lowest run */
    uint32_t run_tail;
    uint32_t run_count;
    uint32_t pinned_count; /* references to packet buffers; a buffer with two pieces counts twice */
    uint32_t block;        /* compact block with room, one reference is ours; MR_NONE: none */
    bool is_discarding;    /* reset or stopped: of what arrives only sizes are checked */
};

/* A STREAM frame's data. */
struct mr_recv_frame {
    uint64_t offset;
    const uint8_t *data; /* in `buf` */
    struct mr_buf *buf;  /* may be NULL with `is_copy` */
    uint32_t size;       /* may be 0 */
    bool has_fin;
    bool is_copy; /* copy to a compact block instead of referring to `buf`: the caller's policy */
};

enum mr_recv_verdict {
    MR_RECV_OK,               /* new bytes or a new final size */
    MR_RECV_DUPLICATE,        /* nothing new; the packet is acknowledged all the same */
    MR_RECV_NO_ROOM,          /* nothing has changed; the packet must not be acknowledged */
    MR_RECV_FINAL_SIZE_ERROR, /* RFC 9000, Section 4.5: close the connection */
};

void mr_recv_queue_init(struct mr_recv_queue *q);

/*
 * By how much `highest` rises if bytes up to `end` arrive: what the connection's flow control must
 * allow. Ask before mr_recv_queue_insert(), book it only if the verdict is MR_RECV_OK.
 */
static inline uint64_t mr_recv_queue_growth(const struct mr_recv_queue *q, uint64_t end)
{
    return end > q->highest ? end - q->highest : 0;
}

/*
 * Insert a frame's data.
 *
 * By reference: each piece made holds one reference on frame->buf; the caller keeps its own.  With
 * is_copy: the bytes are copied behind earlier ones, frame->buf is not held.  While discarding,
 * only highest and final_size are kept. MR_RECV_OK: q->ready_to, q->highest, q->final_size have the
 * new state. Cost: O(1) in order and behind the last run, else a walk over runs.
 */
enum mr_recv_verdict mr_recv_queue_insert(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                                          struct mr_buf_list *released,
                                          const struct mr_recv_frame *frame);

/*
 * Append the next bytes in order, by reference: `size` > 0 from q->ready_to on, which lie at `data`
 * in `buf`.  For a queue in which nothing waits above a gap, that is not discarding, and where they
 * do not pass the final size.  The piece made holds one reference on `buf`.  False: no node is
 * free, nothing has changed.
 */
static inline bool mr_recv_queue_append(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                                        const uint8_t *data, struct mr_buf *buf, uint32_t size);

/*
 * Note the final size that RESET_STREAM states (RFC 9000, Section 4.5).
 * MR_RECV_OK, MR_RECV_DUPLICATE when it was known, or MR_RECV_FINAL_SIZE_ERROR.  Raises `highest`
 * to it.
 */
enum mr_recv_verdict mr_recv_queue_set_final_size(struct mr_recv_queue *q, uint64_t final_size);

/*
 * Show ready bytes without consuming them: at most `room` views from released_to on.  Returns how
 * many. *fin_out: the stream ends after the views shown.  The views are valid until released or
 * dropped.
 */
size_t mr_recv_queue_peek(struct mr_recv_queue *q, const struct mr_recv_pools *pools,
                          struct mr_view *views_out, size_t room, bool *fin_out);

/*
 * Consume the first `size` ready bytes.  Buffers that nobody refers to any more go to `released`.
 * False: fewer are ready; nothing has changed.
 */
bool mr_recv_queue_release(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                           struct mr_buf_list *released, uint64_t size);

/*
 * Drop what was not shown, and whatever arrives later: RESET_STREAM received.  What was shown stays
 * until it is released: ready_to is its end afterwards.  Returns how many bytes that are.
 */
uint64_t mr_recv_queue_abandon(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                               struct mr_buf_list *released);

/*
 * Drop all data and whatever arrives later: STOP_SENDING sent, or the stream is gone. All nodes and
 * references are given back; released_to == ready_to afterwards.
 */
void mr_recv_queue_discard(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                           struct mr_buf_list *released);

static inline uint64_t mr_recv_queue_readable_bytes(const struct mr_recv_queue *q)
{
    return q->ready_to - q->released_to;
}

/* True if every byte up to the final size has arrived: "Data Recvd" of RFC 9000, Section 3.2. */
static inline bool mr_recv_queue_is_complete(const struct mr_recv_queue *q)
{
    return q->ready_to == q->final_size;
}

/* True if every byte up to the final size was consumed: "Data Read". */
static inline bool mr_recv_queue_is_consumed(const struct mr_recv_queue *q)
{
    return q->released_to == q->final_size;
}

/* ---- implementation of the inline functions ---- */

static inline struct mr_recv_piece *mr_recv_piece_at(const struct mr_recv_pools *pools,
                                                     uint32_t index)
{
    MR_DASSERT(pools->nodes->stride == sizeof(struct mr_recv_piece));
    MR_DASSERT(index < pools->nodes->fresh);
    return (struct mr_recv_piece *)(void *)pools->nodes->objects + index;
}

static inline bool mr_recv_queue_append(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                                        const uint8_t *data, struct mr_buf *buf, uint32_t size)
{
    uint32_t index = mr_pool_get(pools->nodes);

    MR_DASSERT(q->run_head == MR_NONE && !q->is_discarding);
    if (index == MR_NONE)
        return false;
    *mr_recv_piece_at(pools, index) = (struct mr_recv_piece){
        .data = data, .offset = q->ready_to, .buf = buf, .size = size, .next = MR_NONE};
    if (q->ready_head == MR_NONE)
        q->ready_head = index;
    else
        mr_recv_piece_at(pools, q->ready_tail)->next = index;
    q->ready_tail = index;
    q->ready_to += size;
    q->highest = MR_MAX(q->highest, q->ready_to);
    q->pinned_count++;
    pools->pinned_count++;
    mr_buf_hold(buf);
    return true;
}

/* Panic unless every invariant above holds.  For tests, fuzzers and MR_DEBUG. */
void mr_recv_queue_check(const struct mr_recv_queue *q, const struct mr_recv_pools *pools);

#endif /* MR_QUIC_RECV_QUEUE_H */
