/*
 * quic/sent_late.c - see sent_late.h.
 */
#include "quic/sent_late.h"

static uint64_t chunk_begin(uint64_t pn)
{
    return pn - pn % MR_SENT_CHUNK_RECORDS;
}

/* As mr_sent_slot(), to be changed. */
static struct mr_sent_slot *slot_of(struct mr_sent *sent, uint64_t pn)
{
    if (sent->root == MR_NONE)
        return &sent->direct[pn / MR_SENT_CHUNK_RECORDS % MR_SENT_DIRECT_SLOTS];
    return mr_sent_slot_in_leaf(sent, pn);
}

/*
 * The bits of a slot for the packet numbers of `range` that lie in the chunk of `pn`; range.lo <=
 * pn <= range.hi.
 */
static uint32_t bits_in_chunk(struct mr_sent_range range, uint64_t pn)
{
    uint64_t first = chunk_begin(pn);
    uint64_t last = first + MR_SENT_CHUNK_RECORDS - 1;
    uint32_t bits = UINT32_MAX;

    if (range.lo > first)
        bits &= UINT32_MAX << (range.lo - first);
    if (range.hi < last)
        bits &= UINT32_MAX >> (last - range.hi);
    return bits;
}

/* The bits of the chunk of `late->pn` that the walk is to look at. */
static uint32_t late_bits(const struct mr_sent_late *late)
{
    return slot_of(late->sent, late->pn)->lost & bits_in_chunk(late->known, late->pn);
}

void mr_sent_late_begin(struct mr_sent_late *late, struct mr_sent *sent, struct mr_sent_range range)
{
    *late = (struct mr_sent_late){.sent = sent};
    if (range.hi >= sent->next || sent->scan <= sent->base)
        return; /* never sent, or nothing is remembered */
    late->known = (struct mr_sent_range){.lo = MR_MAX(range.lo, sent->base),
                                         .hi = MR_MIN(range.hi, sent->scan - 1)};
    late->pn = late->known.lo;
    if (late->pn <= late->known.hi)
        late->bits = late_bits(late);
}

/* Packet `pn` came after later ones that told its loss. */
static void raise_threshold(struct mr_sent *sent, uint64_t pn)
{
    uint64_t distance = sent->largest_acked > pn ? sent->largest_acked - pn : 0;

    distance = MR_MIN(distance + 1, (uint64_t)MR_SENT_THRESHOLD_MAX);
    sent->packet_threshold = MR_MAX(sent->packet_threshold, (uint32_t)distance);
}

struct mr_sent_packet *mr_sent_late_next(struct mr_sent_late *late, uint64_t *pn_out)
{
    struct mr_sent *sent = late->sent;

    while (late->bits == 0) {
        late->pn = chunk_begin(late->pn) + MR_SENT_CHUNK_RECORDS;
        if (late->pn > late->known.hi || sent->lost_count == 0)
            return NULL;
        late->bits = late_bits(late);
    }
    uint32_t index = (uint32_t)__builtin_ctz(late->bits);
    struct mr_sent_slot *slot = slot_of(sent, late->pn);
    struct mr_sent_packet *records = mr_pool_at(sent->chunks, slot->chunk);

    late->bits &= late->bits - 1;
    slot->lost &= ~(UINT32_C(1) << index);
    records[index].flags ^= MR_SENT_LOST ^ MR_SENT_ACKED;
    sent->lost_count--;
    sent->lost_run_ns = MR_NEVER;
    *pn_out = chunk_begin(late->pn) + index;
    raise_threshold(sent, *pn_out);
    return &records[index];
}

void mr_sent_relax_threshold(struct mr_sent *sent)
{
    uint32_t added = sent->packet_threshold - MR_SENT_PACKET_THRESHOLD;

    sent->packet_threshold -= (added + 7) / 8;
}
