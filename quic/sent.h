/*
 * quic/sent.h - what we have sent in one packet number space, until it is acknowledged or lost.
 *
 * Answers, for loss recovery (RFC 9002):
 *   - which packets, and which frames in them, does this ACK range newly acknowledge?
 *   - which packets are lost, and when will the next one be?
 *   - what has been in flight when the keys are discarded?
 *
 * A packet is a record of 32 bytes.  Records lie in packet number order in chunks
 * of 32 (quic/chunk.h), so a packet number leads to its record without a search:
 *
 *        base               scan          largest_acked        next
 *     ----|-------------------|-----------------|---------------|----> packet number
 *     gone  acked, lost: kept   outstanding or    outstanding
 *           for late ACKs       acked (gaps)
 *
 *     up to 8 chunks:  direct[(pn >> 5) & 7]
 *     more:            root chunk -> leaf chunks of 128 slots -> record chunks
 *
 * A record carries its first frame; more frames go to blocks of three from a
 * second pool.  A space with nothing in flight holds no chunk and no block: what
 * is sent then without being in flight (bare ACKs) is not recorded.
 *
 * Sending:
 *     if (!mr_sent_reserve(sent)) -> cannot send now
 *     packet = mr_sent_begin(sent);                          its number is mr_sent_next(sent)
 *     while (mr_sent_can_add(sent, packet)) mr_sent_add_frame(sent, packet, &frame);
 *     mr_sent_commit(sent, packet, &info);                   or mr_sent_abort(sent, packet)
 * An ACK frame:
 *     for each range:  if (sent->lost_count > 0) see quic/sent_late.h
 *                      mr_sent_ack_begin(&ack, sent, range);
 *                      while ((packet = mr_sent_ack_next(&ack, &pn)) != NULL) ...
 *                      ack.is_violation -> PROTOCOL_VIOLATION
 *     mr_sent_loss_begin(&loss, sent, &params);
 *     while ((packet = mr_sent_loss_next(&loss, &pn)) != NULL) ...
 *     mr_sent_release(sent, forget_before_ns);
 * A packet:
 *     for (f = mr_sent_frame_first(&at, sent, packet); f; f = mr_sent_frame_next(&at)) ...
 *
 * Pointers to records and frames are valid until the next mr_sent_release(),
 * _discard(), _reserve() or _begin() of the same space.
 *
 * Owner: one per packet number space (and path ID), embedded.  Threads: the connection's shard.
 * Limits: MR_SENT_WINDOW_MAX packet numbers; the two pools, which the shard's connections
 * share.  At each limit the answer is "cannot send now".
 */
#ifndef MR_QUIC_SENT_H
#define MR_QUIC_SENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/pool.h"
#include "quic/chunk.h"
#include "quic/sent_packet.h"
#include "quic/types.h"

#define MR_SENT_WINDOW_MAX       524288 /* packet numbers from the oldest record to the next packet */
#define MR_SENT_LOST_BEHIND_MAX  (MR_SENT_WINDOW_MAX * 3 / 4) /* a lost packet is kept no longer */
#define MR_SENT_PACKET_THRESHOLD 3          /* kPacketThreshold, RFC 9002, Section 6.1.1 */
#define MR_SENT_THRESHOLD_MAX    256        /* what reordering may raise it to */
#define MR_SENT_NO_PN            UINT64_MAX /* no packet number */

#define MR_SENT_CHUNK_RECORDS    32
#define MR_SENT_DIRECT_SLOTS     8

_Static_assert(MR_SENT_CHUNK_RECORDS * sizeof(struct mr_sent_packet) == MR_CHUNK_SIZE, "one chunk");
_Static_assert(offsetof(struct mr_sent_packet, first.offset) == sizeof(uint64_t),
               "the second word");

/* Where the records of 32 packet numbers are. */
struct mr_sent_slot {
    uint32_t chunk;
    uint32_t lost; /* bit i: record i is LOST and may still be acknowledged late */
};

struct mr_sent {
    struct mr_pool *chunks;       /* borrowed: the shard's */
    struct mr_pool *blocks;       /* borrowed: the shard's */
    struct mr_sent_packet *tail;  /* records of the chunk `next` lies in; NULL: not reserved */
    uint64_t base;                /* oldest packet number remembered */
    uint64_t next;                /* number of the next packet */
    uint64_t scan;                /* nothing below is outstanding; base <= scan <= next */
    uint64_t largest_acked;       /* MR_SENT_NO_PN before the first ACK */
    uint64_t skipped;             /* the number skipped last; MR_SENT_NO_PN */
    uint64_t lost_run_ns;         /* sending of the first of the losses since an ACK; MR_NEVER */
    uint32_t in_flight_count;     /* outstanding packets that are in flight */
    uint32_t ack_eliciting_count; /* outstanding packets that are ack-eliciting */
    uint32_t lost_count;          /* LOST records remembered */
    uint32_t packet_threshold;    /* packets later that tell a loss: quic/sent_late.h */
    uint32_t root;                /* chunk of the leaves' indices; MR_NONE: direct */
    struct mr_sent_slot direct[MR_SENT_DIRECT_SLOTS];
    uint32_t
        zero; /* in place of padding: images of connections are compared, and packed, by bytes */
};

/* What commit needs to know of a packet. */
struct mr_sent_info {
    uint64_t time_ns; /* not before the last one's */
    uint16_t size;    /* bytes, > 0 */
    uint8_t flags;    /* enum mr_sent_flags, without a state */
    uint8_t path;
};

/* Packet numbers of one ACK range, both ends included. */
struct mr_sent_range {
    uint64_t lo;
    uint64_t hi;
};

/* ---- life cycle ---- */

/* Nothing sent; the first packet gets number 0. */
void mr_sent_init(struct mr_sent *sent, struct mr_pool *chunks, struct mr_pool *blocks);

/*
 * The keys are discarded: give everything back and remember nothing.  Packet numbers go on.
 * Returns the bytes that were in flight, for mr_cc_on_discarded() (RFC 9002, Section 6.4).
 */
uint64_t mr_sent_discard(struct mr_sent *sent);

/* Panic unless every invariant holds.  O(window).  For tests, fuzzers and MR_DEBUG. */
void mr_sent_check(const struct mr_sent *sent);

/* ---- sending ---- */

/* True if the next packet can be recorded; else no chunk is left, or the window is full. */
static inline bool mr_sent_reserve(struct mr_sent *sent);

/* The number that the next packet must have. */
static inline uint64_t mr_sent_next(const struct mr_sent *sent)
{
    return sent->next;
}

/* The record of the next packet, without frames, until commit or abort.  Needs a reserve. */
static inline struct mr_sent_packet *mr_sent_begin(struct mr_sent *sent);

/* True if one more frame can be recorded; else no block is left.  Ask before writing a frame. */
static inline bool mr_sent_can_add(struct mr_sent *sent, const struct mr_sent_packet *packet);

/* Record a frame of the packet.  mr_sent_can_add() must have said true just before. */
static inline void mr_sent_add_frame(struct mr_sent *sent, struct mr_sent_packet *packet,
                                     const struct mr_sent_frame *frame);

/* The packet was built and will be sent: it is OUTSTANDING from now on. */
static inline void mr_sent_commit(struct mr_sent *sent, struct mr_sent_packet *packet,
                                  const struct mr_sent_info *info);

/* The packet will not be sent; its number is used by the next one. */
void mr_sent_abort(struct mr_sent *sent, struct mr_sent_packet *packet);

/* Leave the next number out; needs a reserve of its own.  Send an ack-eliciting packet next. */
void mr_sent_skip(struct mr_sent *sent);

/* ---- acknowledgments ---- */

/* A walk over the packets that one ACK range newly acknowledges. */
struct mr_sent_ack {
    struct mr_sent *sent;
    struct mr_sent_packet *record; /* of `pn`, unless pn begins a chunk */
    uint64_t pn;
    uint64_t end;
    bool is_violation; /* a number that was never sent: error (RFC 9000, Section 13.1) */
};

/* Begin: once per range of the frame, in any order. */
static inline void mr_sent_ack_begin(struct mr_sent_ack *ack, struct mr_sent *sent,
                                     struct mr_sent_range range);

/* The next packet that becomes ACKED, ascending, and its number; NULL: the end, or a violation. */
static inline struct mr_sent_packet *mr_sent_ack_next(struct mr_sent_ack *ack, uint64_t *pn_out);

/*
 * Forget what need not be remembered: acknowledged packets, lost packets sent before
 * `forget_before_ns` (about three PTOs ago: later ACKs of them say nothing) or too far behind, up
 * to the oldest other packet; everything if nothing is in flight.  Call after an ACK frame and
 * after losses.  Cost: the packets passed, once each.
 */
void mr_sent_release(struct mr_sent *sent, uint64_t forget_before_ns);

/* ---- losses ---- */

struct mr_sent_loss_params {
    uint64_t now;
    uint64_t delay_ns;        /* time threshold: mr_rtt_loss_delay() */
    uint64_t persistent_ns;   /* mr_rtt_persistent_duration() */
    uint64_t first_sample_ns; /* of mr_rtt: earlier losses are no persistent congestion */
};

/* A walk over the packets that become lost. */
struct mr_sent_loss {
    struct mr_sent *sent;
    struct mr_sent_loss_params params;
    uint64_t pn;
    uint64_t end;
    bool everything; /* no thresholds */
    /* Results, once the walk has ended. */
    bool is_persistent; /* the losses establish persistent congestion (RFC 9002, Section 7.6.2) */
    uint64_t loss_time_ns; /* when the next packet will be lost by time; MR_NEVER */
};

/*
 * Begin, after an ACK frame or when the loss time has come.  Walk to the end, for the results.
 * Cost: the packets from the oldest outstanding to the largest acknowledged one, once each.
 */
void mr_sent_loss_begin(struct mr_sent_loss *loss, struct mr_sent *sent,
                        const struct mr_sent_loss_params *params);

/* The same, but all packets are lost: 0-RTT was rejected, Retry arrived.  No congestion. */
void mr_sent_loss_begin_all(struct mr_sent_loss *loss, struct mr_sent *sent);

/* The next packet in flight that becomes LOST, ascending, and its number; NULL: the end. */
struct mr_sent_packet *mr_sent_loss_next(struct mr_sent_loss *loss, uint64_t *pn_out);

/* The oldest outstanding ack-eliciting packet from `from` on, for probes.  O(packets passed). */
const struct mr_sent_packet *mr_sent_find(const struct mr_sent *sent, uint64_t from,
                                          uint64_t *pn_out);

/* ---- frames of a packet ---- */

/* A walk over the frames of a packet. */
struct mr_sent_frames {
    const struct mr_sent *sent;
    const struct mr_sent_frame *frame;
    const struct mr_sent_frame *end;
    uint32_t more;
};

/* The first frame recorded, or NULL.  The others follow in no particular order. */
static inline const struct mr_sent_frame *mr_sent_frame_first(struct mr_sent_frames *at,
                                                              const struct mr_sent *sent,
                                                              const struct mr_sent_packet *packet)
{
    *at = (struct mr_sent_frames){
        .sent = sent,
        .frame = &packet->first,
        .end = &packet->first + 1,
        .more = packet->more,
    };
    return packet->first.kind == MR_SENT_NONE ? NULL : at->frame;
}

/* The next frame, or NULL. */
static inline const struct mr_sent_frame *mr_sent_frame_next(struct mr_sent_frames *at)
{
    if (++at->frame < at->end)
        return at->frame;
    if (at->more == MR_NONE)
        return NULL;

    const struct mr_sent_block *block = mr_pool_at(at->sent->blocks, at->more);

    at->frame = block->frame;
    at->end = block->frame + block->count;
    at->more = block->next;
    return at->frame;
}

/* ---- implementation of the inline functions, and the slow paths they use ---- */

bool mr_sent_reserve_chunk(struct mr_sent *sent);
bool mr_sent_reserve_frame(struct mr_sent *sent, const struct mr_sent_packet *packet);
struct mr_sent_frame *mr_sent_more_frame(struct mr_sent *sent, struct mr_sent_packet *packet);
MR_COLD void mr_sent_commit_unrecorded(struct mr_sent *sent, struct mr_sent_packet *packet);
struct mr_sent_slot *mr_sent_slot_in_leaf(const struct mr_sent *sent, uint64_t pn);

/* The slot of the chunk that holds `pn`, base <= pn < next. */
static inline const struct mr_sent_slot *mr_sent_slot(const struct mr_sent *sent, uint64_t pn)
{
    if (sent->root == MR_NONE)
        return &sent->direct[pn / MR_SENT_CHUNK_RECORDS % MR_SENT_DIRECT_SLOTS];
    return mr_sent_slot_in_leaf(sent, pn);
}

/* The record of `pn`, base <= pn < next. */
static inline struct mr_sent_packet *mr_sent_record(const struct mr_sent *sent, uint64_t pn)
{
    struct mr_sent_packet *records = mr_pool_at(sent->chunks, mr_sent_slot(sent, pn)->chunk);

    return &records[pn % MR_SENT_CHUNK_RECORDS];
}

static inline bool mr_sent_reserve(struct mr_sent *sent)
{
    return sent->tail != NULL || mr_sent_reserve_chunk(sent);
}

static inline struct mr_sent_packet *mr_sent_begin(struct mr_sent *sent)
{
    MR_ASSERT(sent->tail != NULL);
    struct mr_sent_packet *packet = &sent->tail[sent->next % MR_SENT_CHUNK_RECORDS];

    packet->first.kind = MR_SENT_NONE;
    packet->more = MR_NONE;
    return packet;
}

static inline bool mr_sent_can_add(struct mr_sent *sent, const struct mr_sent_packet *packet)
{
    return packet->first.kind == MR_SENT_NONE || mr_sent_reserve_frame(sent, packet);
}

static inline void mr_sent_add_frame(struct mr_sent *sent, struct mr_sent_packet *packet,
                                     const struct mr_sent_frame *frame)
{
    MR_DASSERT(frame->kind != MR_SENT_NONE && frame->kind < MR_SENT_KINDS);
    struct mr_sent_frame *to = &packet->first;

    if (to->kind != MR_SENT_NONE)
        to = mr_sent_more_frame(sent, packet);
    /* By member: copied whole, the caller's frame would be written in parts and read in one. */
    to->offset = frame->offset;
    to->object = frame->object;
    to->length = frame->length;
    to->kind = frame->kind;
    to->flags = frame->flags;
}

/* The number `next` is used. */
static inline void mr_sent_advance(struct mr_sent *sent)
{
    sent->next++;
    if (sent->next % MR_SENT_CHUNK_RECORDS == 0)
        sent->tail = NULL;
}

static inline void mr_sent_commit(struct mr_sent *sent, struct mr_sent_packet *packet,
                                  const struct mr_sent_info *info)
{
    MR_DASSERT(packet == &sent->tail[sent->next % MR_SENT_CHUNK_RECORDS]);
    MR_DASSERT((info->flags & MR_SENT_STATE) == 0);
    MR_DASSERT((info->flags & MR_SENT_ACK_ELICITING) == 0 ||
               (info->flags & MR_SENT_IN_FLIGHT) != 0);

    if (sent->base == sent->next && (info->flags & MR_SENT_IN_FLIGHT) == 0) {
        mr_sent_commit_unrecorded(sent, packet);
        return;
    }
    packet->time_ns = info->time_ns;
    packet->size = info->size;
    packet->flags = (uint8_t)(info->flags | MR_SENT_OUTSTANDING);
    packet->path = info->path;
    sent->in_flight_count += (info->flags & MR_SENT_IN_FLIGHT) != 0;
    sent->ack_eliciting_count += (info->flags & MR_SENT_ACK_ELICITING) != 0;
    mr_sent_advance(sent);
}

static inline void mr_sent_ack_begin(struct mr_sent_ack *ack, struct mr_sent *sent,
                                     struct mr_sent_range range)
{
    *ack = (struct mr_sent_ack){.sent = sent, .is_violation = range.hi >= sent->next};
    if (ack->is_violation)
        return; /* pn == end == 0: nothing to walk */

    if (sent->largest_acked == MR_SENT_NO_PN || range.hi > sent->largest_acked)
        sent->largest_acked = range.hi;
    ack->pn = MR_MAX(range.lo, sent->scan);
    ack->end = range.hi + 1;
    if (ack->pn >= ack->end)
        return;
    ack->record = mr_sent_record(sent, ack->pn);
    if (ack->pn == sent->scan) {
        sent->scan = ack->end;
        sent->lost_run_ns = MR_NEVER;
    }
}

static inline struct mr_sent_packet *mr_sent_ack_next(struct mr_sent_ack *ack, uint64_t *pn_out)
{
    while (ack->pn < ack->end) {
        struct mr_sent_packet *packet = ack->record++;
        uint64_t pn = ack->pn++;

        if (ack->pn % MR_SENT_CHUNK_RECORDS == 0 && ack->pn < ack->end)
            ack->record = mr_sent_record(ack->sent, ack->pn);

        unsigned state = packet->flags & MR_SENT_STATE;
        if (state == MR_SENT_OUTSTANDING) {
            packet->flags ^= MR_SENT_OUTSTANDING ^ MR_SENT_ACKED;
            ack->sent->in_flight_count -= (packet->flags & MR_SENT_IN_FLIGHT) != 0;
            ack->sent->ack_eliciting_count -= (packet->flags & MR_SENT_ACK_ELICITING) != 0;
            *pn_out = pn;
            return packet;
        }
        if (state == MR_SENT_SKIPPED) {
            ack->is_violation = true;
            ack->end = ack->pn;
            ack->sent->scan = MR_MIN(ack->sent->scan, pn);
            return NULL;
        }
    }
    return NULL;
}

#endif /* MR_QUIC_SENT_H */
