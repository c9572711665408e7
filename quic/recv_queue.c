/*
 * quic/recv_queue.c - see recv_queue.h.
 *
 * Order in this file: life cycle, final size, inserting (in order, then the
 * general case and the steps it is made of), reading, dropping, invariants.
 */
#include "quic/recv_queue.h"

#include "base/assert.h"
#include "base/compiler.h"

/*
 * Early data may not take the last eighth of a pool: nodes that wait for a gap to close come back
 * only when the gap's own bytes find a node.
 */
#define RESERVE_SHARE 8u

_Static_assert(sizeof(struct mr_recv_run) <= MR_RECV_NODE_SIZE, "runs are nodes");

/* What a frame would fill: the parts of its bytes that have not arrived. */
struct holes {
    uint32_t count;
    uint64_t bytes;
};

MR_COLD static enum mr_recv_verdict store(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                                          struct mr_buf_list *released,
                                          const struct mr_recv_frame *frame);
static bool has_room(const struct mr_recv_queue *q, const struct mr_recv_pools *pools,
                     const struct mr_recv_frame *frame, struct holes holes, uint32_t above);
static struct mr_recv_run refer(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                                const struct mr_recv_frame *frame, uint64_t begin, uint64_t end);
static struct mr_recv_run copy(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                               struct mr_buf_list *released, const struct mr_recv_frame *frame,
                               uint64_t begin, uint64_t end, uint32_t above);
static void attach(struct mr_recv_queue *q, struct mr_recv_pools *pools, struct mr_recv_run chain,
                   uint32_t above);
static void remove_run(struct mr_recv_queue *q, struct mr_recv_pools *pools, uint32_t index);

static struct mr_recv_piece *piece_at(const struct mr_recv_pools *pools, uint32_t index)
{
    return mr_recv_piece_at(pools, index);
}

static struct mr_recv_run *run_at(const struct mr_recv_pools *pools, uint32_t index)
{
    return mr_pool_at(pools->nodes, index);
}

static struct mr_compact *block_at(const struct mr_recv_pools *pools, uint32_t index)
{
    return mr_pool_at(pools->blocks, index);
}

void mr_recv_queue_init(struct mr_recv_queue *q)
{
    *q = (struct mr_recv_queue){
        .final_size = MR_RECV_SIZE_UNKNOWN,
        .ready_head = MR_NONE,
        .ready_tail = MR_NONE,
        .run_head = MR_NONE,
        .run_tail = MR_NONE,
        .block = MR_NONE,
    };
}

/* -------------------------------------------------------------- final size */

/* RFC 9000, Section 4.5: the final size cannot change, nothing lies beyond it. */
static bool size_is_legal(const struct mr_recv_queue *q, uint64_t end, bool is_final)
{
    if (q->final_size != MR_RECV_SIZE_UNKNOWN)
        return is_final ? end == q->final_size : end <= q->final_size;
    return !is_final || end >= q->highest;
}

/* Note a legal size.  True if it says something new. */
static bool note_size(struct mr_recv_queue *q, uint64_t end, bool is_final)
{
    bool is_new = false;

    if (end > q->highest) {
        q->highest = end;
        is_new = true;
    }
    if (is_final && q->final_size == MR_RECV_SIZE_UNKNOWN) {
        q->final_size = end;
        is_new = true;
    }
    return is_new;
}

enum mr_recv_verdict mr_recv_queue_set_final_size(struct mr_recv_queue *q, uint64_t final_size)
{
    if (!size_is_legal(q, final_size, true))
        return MR_RECV_FINAL_SIZE_ERROR;
    return note_size(q, final_size, true) ? MR_RECV_OK : MR_RECV_DUPLICATE;
}

/* --------------------------------------------------------------- inserting */

static void append_chain(struct mr_recv_pools *pools, uint32_t *head, uint32_t *tail,
                         uint32_t chain_head, uint32_t chain_tail)
{
    if (chain_head == MR_NONE)
        return;
    if (*head == MR_NONE)
        *head = chain_head;
    else
        piece_at(pools, *tail)->next = chain_head;
    *tail = chain_tail;
}

enum mr_recv_verdict mr_recv_queue_insert(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                                          struct mr_buf_list *released,
                                          const struct mr_recv_frame *frame)
{
    uint64_t end = frame->offset + frame->size;
    enum mr_recv_verdict verdict = MR_RECV_DUPLICATE;

    if (!size_is_legal(q, end, frame->has_fin))
        return MR_RECV_FINAL_SIZE_ERROR;

    if (end > q->ready_to && frame->size > 0 && !q->is_discarding) {
        /* The datapath's case: the next bytes in order, by reference. */
        if (frame->offset == q->ready_to && q->run_head == MR_NONE && !frame->is_copy &&
            mr_recv_queue_append(q, pools, frame->data, frame->buf, frame->size))
            verdict = MR_RECV_OK;
        else
            verdict = store(q, pools, released, frame);
    }
    if (verdict == MR_RECV_NO_ROOM)
        return verdict;
    return note_size(q, end, frame->has_fin) ? MR_RECV_OK : verdict;
}

/* The lowest run that ends above `begin`; MR_NONE if none does. */
static uint32_t find_above(const struct mr_recv_queue *q, const struct mr_recv_pools *pools,
                           uint64_t begin)
{
    /* Retransmissions come lowest first and fill the first gap. */
    if (q->run_head != MR_NONE && run_at(pools, q->run_head)->end > begin)
        return q->run_head;

    uint32_t above = MR_NONE;
    for (uint32_t i = q->run_tail; i != MR_NONE && run_at(pools, i)->end > begin;) {
        above = i;
        i = run_at(pools, i)->previous;
    }
    return above;
}

static struct holes measure_holes(const struct mr_recv_pools *pools, uint64_t begin, uint64_t end,
                                  uint32_t above)
{
    struct holes holes = {0};

    while (begin < end) {
        const struct mr_recv_run *run = above == MR_NONE ? NULL : run_at(pools, above);
        uint64_t hole_end = run == NULL ? end : MR_MIN(end, run->begin);

        if (hole_end > begin) {
            holes.count++;
            holes.bytes += hole_end - begin;
        }
        if (run == NULL)
            break;
        begin = run->end;
        above = run->next;
    }
    return holes;
}

/* The general case: fill the holes that the frame covers, from the lowest up. */
static enum mr_recv_verdict store(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                                  struct mr_buf_list *released, const struct mr_recv_frame *frame)
{
    uint64_t begin = MR_MAX(frame->offset, q->ready_to);
    uint64_t end = frame->offset + frame->size;
    uint32_t above = find_above(q, pools, begin);
    struct holes holes = measure_holes(pools, begin, end, above);

    if (holes.count == 0)
        return MR_RECV_DUPLICATE;
    if (!has_room(q, pools, frame, holes, above))
        return MR_RECV_NO_ROOM;

    while (begin < end) {
        /* attach() may dissolve the run above, but not the one after it. */
        struct mr_recv_run run = {.begin = UINT64_MAX, .end = UINT64_MAX, .next = MR_NONE};
        if (above != MR_NONE)
            run = *run_at(pools, above);

        uint64_t hole_end = MR_MIN(end, run.begin);
        if (hole_end > begin)
            attach(q, pools,
                   frame->is_copy ? copy(q, pools, released, frame, begin, hole_end, above)
                                  : refer(q, pools, frame, begin, hole_end),
                   above);
        begin = run.end;
        above = run.next;
    }
    return MR_RECV_OK;
}

/* The piece that ends at `begin`, below run `above`; MR_NONE if there is none. */
static uint32_t piece_before(const struct mr_recv_queue *q, const struct mr_recv_pools *pools,
                             uint64_t begin, uint32_t above)
{
    uint32_t below = above == MR_NONE ? q->run_tail : run_at(pools, above)->previous;

    if (begin == q->ready_to)
        return q->ready_tail;
    if (below != MR_NONE && run_at(pools, below)->end == begin)
        return run_at(pools, below)->tail;
    return MR_NONE;
}

/* True if the frame touches neither ready bytes nor a run: it begins a run of its own. */
static bool is_isolated(const struct mr_recv_queue *q, const struct mr_recv_pools *pools,
                        const struct mr_recv_frame *frame, uint32_t above)
{
    if (frame->offset <= q->ready_to || piece_before(q, pools, frame->offset, above) != MR_NONE)
        return false;
    return above == MR_NONE || run_at(pools, above)->begin > frame->offset + frame->size;
}

static bool pool_has(const struct mr_pool *pool, uint64_t needed, bool is_early)
{
    uint32_t reserve = is_early ? pool->count / RESERVE_SHARE : 0;

    return needed + reserve <= mr_pool_free_count(pool);
}

static uint32_t runs_allowed(const struct mr_recv_queue *q)
{
    uint32_t by_buffers = MR_MIN(q->pinned_count / MR_RECV_RUNS_SHARE, MR_RECV_RUNS_MOST);

    return MR_MAX(by_buffers, MR_RECV_RUNS_MAX);
}

/* The limits: runs of this queue, nodes and blocks of the shard.  Never says yes when filling the
 * holes would fail. */
static bool has_room(const struct mr_recv_queue *q, const struct mr_recv_pools *pools,
                     const struct mr_recv_frame *frame, struct holes holes, uint32_t above)
{
    bool is_early = frame->offset > q->ready_to;
    bool is_new_run = is_isolated(q, pools, frame, above);
    uint64_t blocks = 0;

    if (is_new_run && q->run_count >= runs_allowed(q))
        return false;
    if (frame->is_copy) {
        uint32_t room = q->block == MR_NONE ? 0 : mr_compact_room(block_at(pools, q->block));
        if (holes.bytes > room)
            blocks = (holes.bytes - room + MR_COMPACT_BYTES - 1) / MR_COMPACT_BYTES;
        if (!pool_has(pools->blocks, blocks, is_early && blocks > 0))
            return false;
    }
    return pool_has(pools->nodes, holes.count + blocks + is_new_run, is_early);
}

/* A chain of one piece: [begin, end) of the frame, where it lies. */
static struct mr_recv_run refer(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                                const struct mr_recv_frame *frame, uint64_t begin, uint64_t end)
{
    uint32_t index = mr_pool_get(pools->nodes);

    MR_ASSERT(index != MR_NONE);
    *piece_at(pools, index) = (struct mr_recv_piece){
        .data = frame->data + (begin - frame->offset),
        .offset = begin,
        .buf = frame->buf,
        .size = (uint32_t)(end - begin),
        .next = MR_NONE,
    };
    mr_buf_hold(frame->buf);
    q->pinned_count++;
    pools->pinned_count++;
    return (struct mr_recv_run){.begin = begin, .end = end, .head = index, .tail = index};
}

/* The block to append to, with room. */
static struct mr_compact *block_with_room(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                                          struct mr_buf_list *released)
{
    if (q->block != MR_NONE) {
        struct mr_compact *block = block_at(pools, q->block);
        if (mr_compact_room(block) > 0)
            return block;
        mr_buf_drop(&block->buf, released);
    }
    struct mr_compact *fresh = mr_compact_get(pools->blocks);
    MR_ASSERT(fresh != NULL);
    q->block = fresh->index;
    return fresh;
}

/* Copy behind the piece before, which grows, if it is the block's last and the block has room for
 * all. */
static bool grow_piece(const struct mr_recv_queue *q, const struct mr_recv_pools *pools,
                       uint32_t index, const uint8_t *data, uint64_t size)
{
    if (index == MR_NONE || q->block == MR_NONE)
        return false;

    struct mr_recv_piece *piece = piece_at(pools, index);
    struct mr_compact *block = block_at(pools, q->block);
    if (piece->data + piece->size != block->bytes + block->used || size > mr_compact_room(block))
        return false;
    mr_compact_append(block, data, (uint32_t)size);
    piece->size += (uint32_t)size;
    return true;
}

/* A chain of pieces in compact blocks: [begin, end) of the frame, copied; no pieces if the one
 * before took it. */
static struct mr_recv_run copy(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                               struct mr_buf_list *released, const struct mr_recv_frame *frame,
                               uint64_t begin, uint64_t end, uint32_t above)
{
    struct mr_recv_run chain = {.begin = begin, .end = end, .head = MR_NONE, .tail = MR_NONE};

    if (grow_piece(q, pools, piece_before(q, pools, begin, above),
                   frame->data + (begin - frame->offset), end - begin))
        return chain;
    while (begin < end) {
        struct mr_compact *block = block_with_room(q, pools, released);
        uint32_t take = (uint32_t)MR_MIN(end - begin, mr_compact_room(block));
        uint32_t index = mr_pool_get(pools->nodes);

        MR_ASSERT(index != MR_NONE);
        *piece_at(pools, index) = (struct mr_recv_piece){
            .data = mr_compact_append(block, frame->data + (begin - frame->offset), take),
            .offset = begin,
            .buf = &block->buf,
            .size = take,
            .next = MR_NONE,
        };
        mr_buf_hold(&block->buf);
        append_chain(pools, &chain.head, &chain.tail, index, index);
        begin += take;
    }
    return chain;
}

static void insert_run(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                       struct mr_recv_run chain, uint32_t below, uint32_t above)
{
    uint32_t index = mr_pool_get(pools->nodes);

    MR_ASSERT(index != MR_NONE);
    chain.previous = below;
    chain.next = above;
    *run_at(pools, index) = chain;
    if (below == MR_NONE)
        q->run_head = index;
    else
        run_at(pools, below)->next = index;
    if (above == MR_NONE)
        q->run_tail = index;
    else
        run_at(pools, above)->previous = index;
    q->run_count++;
}

static void remove_run(struct mr_recv_queue *q, struct mr_recv_pools *pools, uint32_t index)
{
    const struct mr_recv_run *run = run_at(pools, index);

    if (run->previous == MR_NONE)
        q->run_head = run->next;
    else
        run_at(pools, run->previous)->next = run->next;
    if (run->next == MR_NONE)
        q->run_tail = run->previous;
    else
        run_at(pools, run->next)->previous = run->previous;
    q->run_count--;
    mr_pool_put(pools->nodes, index);
}

/* Put a chain that fills (part of) the hole below run `above` where it belongs, closing what it
 * joins. */
static void attach(struct mr_recv_queue *q, struct mr_recv_pools *pools, struct mr_recv_run chain,
                   uint32_t above)
{
    uint32_t below = above == MR_NONE ? q->run_tail : run_at(pools, above)->previous;
    bool joins_ready = chain.begin == q->ready_to;
    bool joins_below = below != MR_NONE && run_at(pools, below)->end == chain.begin;

    if (above != MR_NONE && run_at(pools, above)->begin == chain.end) {
        struct mr_recv_run *run = run_at(pools, above);

        append_chain(pools, &chain.head, &chain.tail, run->head, run->tail);
        chain.end = run->end;
        if (!joins_ready && !joins_below) {
            run->head = chain.head;
            run->begin = chain.begin;
            return;
        }
        remove_run(q, pools, above);
    }
    if (joins_ready) {
        append_chain(pools, &q->ready_head, &q->ready_tail, chain.head, chain.tail);
        q->ready_to = chain.end;
    } else if (joins_below) {
        struct mr_recv_run *run = run_at(pools, below);

        append_chain(pools, &run->head, &run->tail, chain.head, chain.tail);
        run->end = chain.end;
    } else {
        insert_run(q, pools, chain, below, above);
    }
}

/* ----------------------------------------------------------------- reading */

size_t mr_recv_queue_peek(struct mr_recv_queue *q, const struct mr_recv_pools *pools,
                          struct mr_view *views_out, size_t room, bool *fin_out)
{
    uint64_t end = q->released_to;
    size_t count = 0;

    for (uint32_t i = q->ready_head; i != MR_NONE && count < room; i = piece_at(pools, i)->next) {
        const struct mr_recv_piece *piece = piece_at(pools, i);

        views_out[count++] = (struct mr_view){.data = piece->data, .size = piece->size};
        end += piece->size;
    }
    q->shown_to = MR_MAX(q->shown_to, end);
    *fin_out = end == q->final_size;
    return count;
}

/* Give one piece back; returns the next. */
MR_INLINE uint32_t drop_piece(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                              struct mr_buf_list *released, uint32_t index)
{
    const struct mr_recv_piece *piece = piece_at(pools, index);
    uint32_t next = piece->next;

    if ((piece->buf->flags & MR_BUF_COMPACT) == 0) {
        q->pinned_count--;
        pools->pinned_count--;
    }
    mr_buf_drop(piece->buf, released);
    mr_pool_put(pools->nodes, index);
    return next;
}

/* A block that holds no piece any more goes back, room or not: an idle stream holds none. */
static void drop_idle_block(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                            struct mr_buf_list *released)
{
    if (q->block == MR_NONE || block_at(pools, q->block)->buf.references > 1)
        return;
    mr_buf_drop(&block_at(pools, q->block)->buf, released);
    q->block = MR_NONE;
}

bool mr_recv_queue_release(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                           struct mr_buf_list *released, uint64_t size)
{
    if (size > mr_recv_queue_readable_bytes(q))
        return false;

    q->released_to += size;
    while (size > 0) {
        struct mr_recv_piece *piece = piece_at(pools, q->ready_head);

        if (size < piece->size) {
            piece->data += size;
            piece->offset += size;
            piece->size -= (uint32_t)size;
            break;
        }
        size -= piece->size;
        q->ready_head = drop_piece(q, pools, released, q->ready_head);
    }
    if (q->ready_head == MR_NONE)
        q->ready_tail = MR_NONE;
    drop_idle_block(q, pools, released);
    return true;
}

/* ---------------------------------------------------------------- dropping */

static void drop_chain(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                       struct mr_buf_list *released, uint32_t head)
{
    while (head != MR_NONE)
        head = drop_piece(q, pools, released, head);
}

static void drop_runs(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                      struct mr_buf_list *released)
{
    while (q->run_head != MR_NONE) {
        drop_chain(q, pools, released, run_at(pools, q->run_head)->head);
        remove_run(q, pools, q->run_head);
    }
}

uint64_t mr_recv_queue_abandon(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                               struct mr_buf_list *released)
{
    uint32_t last = q->ready_head;

    if (q->shown_to <= q->released_to || last == MR_NONE) {
        mr_recv_queue_discard(q, pools, released);
        return 0;
    }
    while (piece_at(pools, last)->offset + piece_at(pools, last)->size < q->shown_to)
        last = piece_at(pools, last)->next;
    struct mr_recv_piece *piece = piece_at(pools, last);
    drop_chain(q, pools, released, piece->next);
    piece->next = MR_NONE;
    piece->size = (uint32_t)(q->shown_to - piece->offset);
    q->ready_tail = last;
    q->ready_to = q->shown_to;
    drop_runs(q, pools, released);
    drop_idle_block(q, pools, released);
    q->is_discarding = true;
    return q->ready_to - q->released_to;
}

void mr_recv_queue_discard(struct mr_recv_queue *q, struct mr_recv_pools *pools,
                           struct mr_buf_list *released)
{
    drop_chain(q, pools, released, q->ready_head);
    q->ready_head = q->ready_tail = MR_NONE;
    drop_runs(q, pools, released);
    drop_idle_block(q, pools, released);
    q->released_to = q->ready_to;
    q->is_discarding = true;
}

/* -------------------------------------------------------------- invariants */

/* Check a chain that begins at `offset` and ends with piece `tail`.  Returns the offset behind it.
 */
static uint64_t check_chain(const struct mr_recv_pools *pools, uint32_t head, uint32_t tail,
                            uint64_t offset, uint32_t *pinned)
{
    uint32_t last = MR_NONE;

    for (uint32_t i = head; i != MR_NONE; i = piece_at(pools, i)->next) {
        const struct mr_recv_piece *piece = piece_at(pools, i);

        MR_ASSERT(piece->offset == offset);
        MR_ASSERT(piece->size > 0);
        MR_ASSERT(piece->buf->references > 0);
        *pinned += (piece->buf->flags & MR_BUF_COMPACT) == 0;
        offset += piece->size;
        last = i;
    }
    MR_ASSERT(last == tail);
    return offset;
}

void mr_recv_queue_check(const struct mr_recv_queue *q, const struct mr_recv_pools *pools)
{
    uint32_t pinned = 0;
    uint32_t run_count = 0;
    uint32_t previous = MR_NONE;
    uint64_t end = check_chain(pools, q->ready_head, q->ready_tail, q->released_to, &pinned);

    MR_ASSERT(end == q->ready_to);
    for (uint32_t i = q->run_head; i != MR_NONE; i = run_at(pools, i)->next) {
        const struct mr_recv_run *run = run_at(pools, i);

        MR_ASSERT(run->begin > end);
        end = check_chain(pools, run->head, run->tail, run->begin, &pinned);
        MR_ASSERT(end == run->end && end > run->begin);
        MR_ASSERT(run->previous == previous);
        previous = i;
        run_count++;
    }
    MR_ASSERT(q->run_tail == previous);
    MR_ASSERT(run_count == q->run_count && run_count <= MR_RECV_RUNS_MOST);
    MR_ASSERT(end <= q->highest);
    MR_ASSERT(q->final_size == MR_RECV_SIZE_UNKNOWN || q->highest <= q->final_size);
    MR_ASSERT(pinned == q->pinned_count && pinned <= pools->pinned_count);
    if (q->block != MR_NONE) /* ours, and at least one piece's */
        MR_ASSERT(block_at(pools, q->block)->buf.references > 1);
    if (q->is_discarding)
        MR_ASSERT(q->run_head == MR_NONE && (q->ready_head != MR_NONE || q->block == MR_NONE));
    if (q->is_discarding && q->ready_head != MR_NONE)
        MR_ASSERT(q->ready_to == q->shown_to);
}
