/*
 * quic/sent_run.h - records of packets that are alike (quic/sent.h): the bulk of a transfer,
 * recorded and acknowledged without a look at each member.
 *
 *     +------+------------------+-----------------------------+-------------------------+
 *     | time | offset           | object, length, kind, flags | size, flags, path, more |  a record
 *     +------+------------------+-----------------------------+-------------------------+
 *              rises by length    the same                      the same
 *
 * Owner, threads, limits: as in quic/sent.h.
 */
#ifndef MR_QUIC_SENT_RUN_H
#define MR_QUIC_SENT_RUN_H

#include <string.h>

#include "quic/sent.h"

_Static_assert(offsetof(struct mr_sent_packet, first.offset) == sizeof(uint64_t),
               "the second word");

/*
 * Record the next packets at once: each has `info` and the one frame of `*frame`, whose offset
 * rises by its length from one to the next.  Returns how many of `count` (> 0) the chunk had room
 * for, at least one; `*frame` is the next packet's then.  Needs a reserve; `info` is in flight.
 */
static inline uint32_t mr_sent_commit_run(struct mr_sent *sent, const struct mr_sent_info *info,
                                          struct mr_sent_frame *frame, uint32_t count)
{
    MR_ASSERT(sent->tail != NULL);
    MR_DASSERT((info->flags & MR_SENT_IN_FLIGHT) != 0 && (info->flags & MR_SENT_STATE) == 0);
    uint32_t first = (uint32_t)(sent->next % MR_SENT_CHUNK_RECORDS);
    uint32_t done = MR_MIN(count, MR_SENT_CHUNK_RECORDS - first);
    struct mr_sent_packet *packet = &sent->tail[first];
    struct mr_sent_packet like = {.time_ns = info->time_ns,
                                  .first = *frame,
                                  .size = info->size,
                                  .flags = (uint8_t)(info->flags | MR_SENT_OUTSTANDING),
                                  .path = info->path,
                                  .more = MR_NONE};

    uint64_t words[4]; /* of a record, in registers: gcc would store it by member */
    memcpy(words, &like, sizeof(words));
    for (const struct mr_sent_packet *end = packet + done; packet < end; packet++) {
        memcpy(packet, words, sizeof(words));
        words[1] += like.first.length;
    }
    frame->offset = words[1];
    sent->in_flight_count += done;
    sent->ack_eliciting_count += (info->flags & MR_SENT_ACK_ELICITING) != 0 ? done : 0;
    sent->next += done;
    if (sent->next % MR_SENT_CHUNK_RECORDS == 0)
        sent->tail = NULL;
    return done;
}

/*
 * After mr_sent_ack_next() returned `packet`: the packets behind it that become ACKED with it and
 * are like it, and not MTU probes: flags, path, size, and one STREAM frame each, of the same
 * length, whose data follows that of the one before.  Returns how many the walk has passed so; the
 * last is *last_out, or `packet`.
 */
static inline uint32_t mr_sent_ack_like(struct mr_sent_ack *ack,
                                        const struct mr_sent_packet *packet,
                                        const struct mr_sent_packet **last_out)
{
    uint64_t in_chunk = MR_SENT_CHUNK_RECORDS - ack->pn % MR_SENT_CHUNK_RECORDS;
    struct mr_sent_packet *record = ack->record;
    struct mr_sent_packet like = *packet;
    uint64_t words[4]; /* of the next record, but for the time */
    uint64_t is[4];

    *last_out = packet;
    if (ack->pn >= ack->end || packet->first.kind != MR_SENT_STREAM || packet->more != MR_NONE ||
        (packet->flags & MR_SENT_MTU_PROBE) != 0)
        return 0;
    like.flags ^= MR_SENT_ACKED ^ MR_SENT_OUTSTANDING;
    memcpy(words, &like, sizeof(words));
    const struct mr_sent_packet *end = record + MR_MIN(in_chunk, ack->end - ack->pn);
    for (; record < end; record++) {
        memcpy(is, record, sizeof(is));
        words[1] += like.first.length;
        if (is[1] != words[1] || is[2] != words[2] || is[3] != words[3])
            break;
        record->flags = packet->flags;
    }

    uint32_t count = (uint32_t)(record - ack->record);
    if (count == 0)
        return 0;
    *last_out = record - 1;
    ack->record = record;
    ack->pn += count;
    ack->sent->in_flight_count -= (packet->flags & MR_SENT_IN_FLIGHT) != 0 ? count : 0;
    ack->sent->ack_eliciting_count -= (packet->flags & MR_SENT_ACK_ELICITING) != 0 ? count : 0;
    if (ack->pn % MR_SENT_CHUNK_RECORDS == 0 && ack->pn < ack->end)
        ack->record = mr_sent_record(ack->sent, ack->pn);
    return count;
}

#endif /* MR_QUIC_SENT_RUN_H */
