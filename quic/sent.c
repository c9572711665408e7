/*
 * quic/sent.c - see sent.h.
 *
 * Order in this file: life cycle, chunks and slots, sending, frames,
 * forgetting, losses, invariants.
 */
#include "quic/sent.h"

#define LEAF_SLOTS   128 /* slots of a leaf chunk */
#define ROOT_ENTRIES 256 /* leaf indices in the root chunk */

_Static_assert(LEAF_SLOTS * sizeof(struct mr_sent_slot) == MR_CHUNK_SIZE, "a leaf is one chunk");
_Static_assert(ROOT_ENTRIES * sizeof(uint32_t) == MR_CHUNK_SIZE, "the root is one chunk");
_Static_assert(MR_SENT_WINDOW_MAX <= (ROOT_ENTRIES - 1) * LEAF_SLOTS * MR_SENT_CHUNK_RECORDS,
               "no two leaves of a window share a root entry");
_Static_assert(MR_SENT_DIRECT_SLOTS <= LEAF_SLOTS, "direct slots lie in at most two leaves");

static void forget_all(struct mr_sent *sent);
static void put_blocks(struct mr_sent *sent, const struct mr_sent_packet *packet);

/* ---- life cycle ---- */

void mr_sent_init(struct mr_sent *sent, struct mr_pool *chunks, struct mr_pool *blocks)
{
    *sent = (struct mr_sent){
        .chunks = chunks,
        .blocks = blocks,
        .largest_acked = MR_SENT_NO_PN,
        .skipped = MR_SENT_NO_PN,
        .lost_run_ns = MR_NEVER,
        .packet_threshold = MR_SENT_PACKET_THRESHOLD,
        .root = MR_NONE,
    };
}

uint64_t mr_sent_discard(struct mr_sent *sent)
{
    uint64_t bytes = 0;

    for (uint64_t pn = sent->base; pn < sent->next; pn++) {
        const struct mr_sent_packet *packet = mr_sent_record(sent, pn);

        if (mr_sent_state(packet) == MR_SENT_OUTSTANDING && (packet->flags & MR_SENT_IN_FLIGHT))
            bytes += packet->size;
    }
    forget_all(sent);
    return bytes;
}

/* ---- chunks and slots ---- */

static uint64_t chunk_number(uint64_t pn)
{
    return pn / MR_SENT_CHUNK_RECORDS;
}

/* The root's entry for the leaf that holds the slot of `pn`. */
static uint32_t *leaf_entry(const struct mr_sent *sent, uint64_t pn)
{
    uint32_t *leaves = mr_pool_at(sent->chunks, sent->root);

    return &leaves[chunk_number(pn) / LEAF_SLOTS % ROOT_ENTRIES];
}

struct mr_sent_slot *mr_sent_slot_in_leaf(const struct mr_sent *sent, uint64_t pn)
{
    struct mr_sent_slot *slots = mr_pool_at(sent->chunks, *leaf_entry(sent, pn));

    return &slots[chunk_number(pn) % LEAF_SLOTS];
}

/* As mr_sent_slot(), to be changed. */
static struct mr_sent_slot *slot_of(struct mr_sent *sent, uint64_t pn)
{
    if (sent->root == MR_NONE)
        return &sent->direct[chunk_number(pn) % MR_SENT_DIRECT_SLOTS];
    return mr_sent_slot_in_leaf(sent, pn);
}

/* The leaf that the slot of `pn` lies in, counted from packet number 0. */
static uint64_t leaf_number(uint64_t pn)
{
    return chunk_number(pn) / LEAF_SLOTS;
}

/* True if the slot of the chunk that begins with `next` has to be the first one in a new leaf. */
static bool needs_leaf(const struct mr_sent *sent)
{
    return sent->root != MR_NONE && chunk_number(sent->next) % LEAF_SLOTS == 0;
}

/*
 * True if the direct slots, all in use, have to move to a directory before the chunk of `next` is
 * added.
 */
static bool needs_directory(const struct mr_sent *sent)
{
    return sent->root == MR_NONE && sent->base < sent->next &&
           chunk_number(sent->next) - chunk_number(sent->base) >= MR_SENT_DIRECT_SLOTS;
}

/* Chunks that adding the chunk of `next` takes, directory included. */
static uint32_t chunks_needed(const struct mr_sent *sent)
{
    if (needs_directory(sent))
        return leaf_number(sent->base) == leaf_number(sent->next) ? 3 : 4;
    return needs_leaf(sent) ? 2 : 1;
}

/*
 * Move the direct slots to a directory with room for the slot of `next`.  The chunks for it are
 * there.
 */
static void make_directory(struct mr_sent *sent)
{
    uint64_t pn = sent->base;

    sent->root = mr_pool_get(sent->chunks);
    *leaf_entry(sent, pn) = mr_pool_get(sent->chunks);
    if (leaf_number(pn) != leaf_number(sent->next))
        *leaf_entry(sent, sent->next) = mr_pool_get(sent->chunks);

    for (int i = 0; i < MR_SENT_DIRECT_SLOTS; i++, pn += MR_SENT_CHUNK_RECORDS)
        *mr_sent_slot_in_leaf(sent, pn) = sent->direct[chunk_number(pn) % MR_SENT_DIRECT_SLOTS];
}

bool mr_sent_reserve_chunk(struct mr_sent *sent)
{
    /* The tail is missing between two chunks, or when there is no record at all. */
    MR_DASSERT(sent->next % MR_SENT_CHUNK_RECORDS == 0 || sent->base == sent->next);

    if (sent->next - sent->base > MR_SENT_WINDOW_MAX - MR_SENT_CHUNK_RECORDS)
        return false;
    if (mr_pool_free_count(sent->chunks) < chunks_needed(sent))
        return false;

    if (needs_directory(sent))
        make_directory(sent);
    else if (needs_leaf(sent))
        *leaf_entry(sent, sent->next) = mr_pool_get(sent->chunks);

    struct mr_sent_slot *slot = slot_of(sent, sent->next);
    *slot = (struct mr_sent_slot){.chunk = mr_pool_get(sent->chunks)};
    sent->tail = mr_pool_at(sent->chunks, slot->chunk);
    return true;
}

/*
 * Give back the chunks whose numbers are in [begin, end), and the leaves that hold no slot of `end`
 * or later.
 */
static void put_chunks(struct mr_sent *sent, uint64_t begin, uint64_t end)
{
    for (uint64_t chunk = begin; chunk < end; chunk++) {
        uint64_t pn = chunk * MR_SENT_CHUNK_RECORDS;

        mr_pool_put(sent->chunks, slot_of(sent, pn)->chunk);
        if (sent->root != MR_NONE && chunk % LEAF_SLOTS == LEAF_SLOTS - 1)
            mr_pool_put(sent->chunks, *leaf_entry(sent, pn));
    }
}

/* One more than the number of the last chunk held. */
static uint64_t chunks_end(const struct mr_sent *sent)
{
    if (sent->tail != NULL)
        return chunk_number(sent->next) + 1;
    /* Nothing is held, or `next` begins a chunk that is not reserved. */
    return chunk_number(sent->next);
}

/* Forget every record and hold nothing. */
static void forget_all(struct mr_sent *sent)
{
    const struct mr_sent_packet *packet = NULL;

    for (uint64_t pn = sent->base; pn < sent->next; pn++, packet++) {
        if (packet == NULL || pn % MR_SENT_CHUNK_RECORDS == 0)
            packet = mr_sent_record(sent, pn);
        if (packet->more != MR_NONE)
            put_blocks(sent, packet);
    }

    uint64_t end = chunks_end(sent);
    put_chunks(sent, chunk_number(sent->base), end);
    if (sent->root != MR_NONE) {
        if (end % LEAF_SLOTS != 0) /* else put_chunks() gave the last leaf back */
            mr_pool_put(sent->chunks, *leaf_entry(sent, (end - 1) * MR_SENT_CHUNK_RECORDS));
        mr_pool_put(sent->chunks, sent->root);
        sent->root = MR_NONE;
    }
    sent->tail = NULL;
    sent->base = sent->next;
    sent->scan = sent->next;
    sent->lost_run_ns = MR_NEVER;
    sent->in_flight_count = 0;
    sent->ack_eliciting_count = 0;
    sent->lost_count = 0;
}

/* ---- sending ---- */

void mr_sent_abort(struct mr_sent *sent, struct mr_sent_packet *packet)
{
    put_blocks(sent, packet);
    if (sent->base == sent->next)
        forget_all(sent); /* the chunk that was reserved */
}

/* Nothing is in flight, and neither is this packet: there is nothing to recover. */
void mr_sent_commit_unrecorded(struct mr_sent *sent, struct mr_sent_packet *packet)
{
    put_blocks(sent, packet);
    forget_all(sent);
    sent->next++;
    sent->base = sent->next;
    sent->scan = sent->next;
}

void mr_sent_skip(struct mr_sent *sent)
{
    struct mr_sent_packet *packet = mr_sent_begin(sent);

    packet->time_ns = 0;
    packet->size = 0;
    packet->flags = MR_SENT_SKIPPED;
    packet->path = 0;
    sent->skipped = sent->next;
    mr_sent_advance(sent);
}

/* ---- frames ---- */

bool mr_sent_reserve_frame(struct mr_sent *sent, const struct mr_sent_packet *packet)
{
    if (packet->more != MR_NONE) {
        const struct mr_sent_block *block = mr_pool_at(sent->blocks, packet->more);

        if (block->count < MR_SENT_BLOCK_FRAMES)
            return true;
    }
    return mr_pool_free_count(sent->blocks) > 0;
}

/* Room for one more frame of the packet, which mr_sent_can_add() has promised. */
struct mr_sent_frame *mr_sent_more_frame(struct mr_sent *sent, struct mr_sent_packet *packet)
{
    struct mr_sent_block *block = NULL;

    if (packet->more != MR_NONE)
        block = mr_pool_at(sent->blocks, packet->more);
    if (block == NULL || block->count == MR_SENT_BLOCK_FRAMES) {
        uint32_t index = mr_pool_get(sent->blocks);

        MR_ASSERT(index != MR_NONE);
        block = mr_pool_at(sent->blocks, index);
        block->next = packet->more;
        block->count = 0;
        packet->more = index;
    }
    return &block->frame[block->count++];
}

/* Give the packet's blocks back; its record is not read again. */
static void put_blocks(struct mr_sent *sent, const struct mr_sent_packet *packet)
{
    uint32_t index = packet->more;

    while (index != MR_NONE) {
        const struct mr_sent_block *block = mr_pool_at(sent->blocks, index);
        uint32_t next = block->next;

        mr_pool_put(sent->blocks, index);
        index = next;
    }
}

/* ---- forgetting ---- */

/* True if a record below `scan` need not be kept for itself, or is in the way of the window. */
static bool is_done(const struct mr_sent *sent, const struct mr_sent_packet *packet, uint64_t pn,
                    uint64_t forget_before_ns)
{
    if (mr_sent_state(packet) != MR_SENT_LOST)
        return true;
    return (packet->flags & MR_SENT_IN_FLIGHT) == 0 || packet->time_ns < forget_before_ns ||
           sent->next - pn > MR_SENT_LOST_BEHIND_MAX;
}

void mr_sent_release(struct mr_sent *sent, uint64_t forget_before_ns)
{
    if (sent->in_flight_count == 0) {
        forget_all(sent);
        return;
    }

    uint64_t pn = sent->base;
    const struct mr_sent_packet *packet = NULL;

    for (; pn < sent->scan; pn++, packet++) {
        if (packet == NULL || pn % MR_SENT_CHUNK_RECORDS == 0)
            packet = mr_sent_record(sent, pn);
        if (!is_done(sent, packet, pn, forget_before_ns))
            break;
        if (packet->more != MR_NONE)
            put_blocks(sent, packet);
        if (mr_sent_state(packet) == MR_SENT_LOST && (packet->flags & MR_SENT_IN_FLIGHT) != 0)
            sent->lost_count--;
    }
    put_chunks(sent, chunk_number(sent->base), chunk_number(pn));
    sent->base = pn;
}

/* ---- losses ---- */

void mr_sent_loss_begin(struct mr_sent_loss *loss, struct mr_sent *sent,
                        const struct mr_sent_loss_params *params)
{
    *loss = (struct mr_sent_loss){
        .sent = sent,
        .params = *params,
        .pn = sent->scan,
        .end = sent->largest_acked == MR_SENT_NO_PN ? 0 : sent->largest_acked,
        .loss_time_ns = MR_NEVER,
    };
}

void mr_sent_loss_begin_all(struct mr_sent_loss *loss, struct mr_sent *sent)
{
    *loss = (struct mr_sent_loss){
        .sent = sent,
        .params.first_sample_ns = MR_NEVER, /* no persistent congestion */
        .pn = sent->scan,
        .end = sent->next,
        .everything = true,
        .loss_time_ns = MR_NEVER,
    };
}

/* RFC 9002, Section 6.1. */
static bool passes_threshold(const struct mr_sent_loss *loss, const struct mr_sent_packet *packet,
                             uint64_t pn)
{
    const struct mr_sent *sent = loss->sent;
    uint64_t distance = loss->end - pn;

    if (loss->everything)
        return true;
    if (sent->skipped > pn && sent->skipped < loss->end) /* false for MR_SENT_NO_PN */
        distance--; /* a number left out is no packet sent later */
    return distance >= sent->packet_threshold ||
           packet->time_ns + loss->params.delay_ns <= loss->params.now;
}

/* RFC 9002, Section 7.6.2: the time between two losses without an acknowledgment between them. */
static void note_persistence(struct mr_sent_loss *loss, const struct mr_sent_packet *packet)
{
    struct mr_sent *sent = loss->sent;

    if ((packet->flags & MR_SENT_ACK_ELICITING) == 0 || (packet->flags & MR_SENT_MTU_PROBE) != 0)
        return;
    if (packet->time_ns <= loss->params.first_sample_ns)
        return;

    if (sent->lost_run_ns == MR_NEVER) {
        sent->lost_run_ns = packet->time_ns;
    } else if (packet->time_ns - sent->lost_run_ns > loss->params.persistent_ns) {
        loss->is_persistent = true;
        sent->lost_run_ns = MR_NEVER;
    }
}

/*
 * The outstanding packet becomes LOST.  Returns true if it was in flight; what was not is only
 * forgotten.
 */
static bool lose(struct mr_sent_loss *loss, struct mr_sent_packet *packet, uint64_t pn)
{
    struct mr_sent *sent = loss->sent;

    packet->flags |= MR_SENT_LOST;
    if ((packet->flags & MR_SENT_IN_FLIGHT) == 0)
        return false;

    slot_of(sent, pn)->lost |= UINT32_C(1) << pn % MR_SENT_CHUNK_RECORDS;
    sent->lost_count++;
    sent->in_flight_count--;
    sent->ack_eliciting_count -= (packet->flags & MR_SENT_ACK_ELICITING) != 0;
    note_persistence(loss, packet);
    return true;
}

/* When the first packet in flight from `pn` on passes the time threshold. */
static uint64_t next_loss_time(const struct mr_sent_loss *loss, uint64_t pn)
{
    for (; pn < loss->end; pn++) {
        const struct mr_sent_packet *packet = mr_sent_record(loss->sent, pn);

        if (mr_sent_state(packet) == MR_SENT_OUTSTANDING &&
            (packet->flags & MR_SENT_IN_FLIGHT) != 0)
            return packet->time_ns + loss->params.delay_ns;
    }
    return MR_NEVER;
}

/* Packets are sent in order, so the first one that stays within both thresholds ends the walk. */
struct mr_sent_packet *mr_sent_loss_next(struct mr_sent_loss *loss, uint64_t *pn_out)
{
    struct mr_sent *sent = loss->sent;

    while (loss->pn < loss->end) {
        uint64_t pn = loss->pn;
        struct mr_sent_packet *packet = mr_sent_record(sent, pn);
        enum mr_sent_state state = mr_sent_state(packet);

        if (state == MR_SENT_OUTSTANDING && !passes_threshold(loss, packet, pn)) {
            loss->loss_time_ns = next_loss_time(loss, pn);
            break;
        }
        loss->pn++;
        if (state == MR_SENT_ACKED)
            sent->lost_run_ns = MR_NEVER;
        if (state == MR_SENT_OUTSTANDING && lose(loss, packet, pn)) {
            *pn_out = pn;
            return packet;
        }
    }
    sent->scan = MR_MAX(sent->scan, loss->pn);
    return NULL;
}

const struct mr_sent_packet *mr_sent_find(const struct mr_sent *sent, uint64_t from,
                                          uint64_t *pn_out)
{
    for (uint64_t pn = MR_MAX(from, sent->scan); pn < sent->next; pn++) {
        const struct mr_sent_packet *packet = mr_sent_record(sent, pn);

        if (mr_sent_state(packet) == MR_SENT_OUTSTANDING &&
            (packet->flags & MR_SENT_ACK_ELICITING) != 0) {
            *pn_out = pn;
            return packet;
        }
    }
    return NULL;
}

/* ---- invariants ---- */

/* The chunks that the window must hold. */
static void check_layout(const struct mr_sent *sent)
{
    bool is_empty = sent->base == sent->next;

    MR_ASSERT(sent->base <= sent->scan && sent->scan <= sent->next);
    MR_ASSERT(sent->next - sent->base <= MR_SENT_WINDOW_MAX);
    if (!is_empty && sent->next % MR_SENT_CHUNK_RECORDS != 0)
        MR_ASSERT(sent->tail != NULL);
    if (sent->root == MR_NONE)
        MR_ASSERT(chunks_end(sent) - chunk_number(sent->base) <= MR_SENT_DIRECT_SLOTS);
    else
        MR_ASSERT(!is_empty);
    if (sent->tail != NULL)
        MR_ASSERT(sent->tail == mr_pool_at(sent->chunks, mr_sent_slot(sent, sent->next)->chunk));
    if (sent->largest_acked != MR_SENT_NO_PN)
        MR_ASSERT(sent->largest_acked < sent->next);
}

static void check_packet(const struct mr_sent *sent, uint64_t pn)
{
    const struct mr_sent_packet *packet = mr_sent_record(sent, pn);
    uint32_t lost_bit = mr_sent_slot(sent, pn)->lost >> pn % MR_SENT_CHUNK_RECORDS & 1;
    bool is_in_flight = (packet->flags & MR_SENT_IN_FLIGHT) != 0;

    if (mr_sent_state(packet) == MR_SENT_OUTSTANDING)
        MR_ASSERT(pn >= sent->scan);
    if ((packet->flags & MR_SENT_ACK_ELICITING) != 0)
        MR_ASSERT(is_in_flight);
    MR_ASSERT(lost_bit == (mr_sent_state(packet) == MR_SENT_LOST && is_in_flight));
    if (packet->first.kind == MR_SENT_NONE)
        MR_ASSERT(packet->more == MR_NONE);
}

void mr_sent_check(const struct mr_sent *sent)
{
    uint32_t in_flight_count = 0;
    uint32_t ack_eliciting_count = 0;
    uint32_t lost_count = 0;

    check_layout(sent);
    for (uint64_t pn = sent->base; pn < sent->next; pn++) {
        const struct mr_sent_packet *packet = mr_sent_record(sent, pn);
        bool is_outstanding = mr_sent_state(packet) == MR_SENT_OUTSTANDING;

        check_packet(sent, pn);
        in_flight_count += is_outstanding && (packet->flags & MR_SENT_IN_FLIGHT) != 0;
        ack_eliciting_count += is_outstanding && (packet->flags & MR_SENT_ACK_ELICITING) != 0;
        lost_count += mr_sent_slot(sent, pn)->lost >> pn % MR_SENT_CHUNK_RECORDS & 1;
    }
    MR_ASSERT(sent->in_flight_count == in_flight_count);
    MR_ASSERT(sent->ack_eliciting_count == ack_eliciting_count);
    MR_ASSERT(sent->lost_count == lost_count);
    MR_ASSERT(sent->packet_threshold >= MR_SENT_PACKET_THRESHOLD);
    MR_ASSERT(sent->packet_threshold <= MR_SENT_THRESHOLD_MAX);
}
