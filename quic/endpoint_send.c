/*
 * quic/endpoint_send.c - bursts of datagrams from the connections that want to send, sealed
 * together.
 *
 * Stateless answers first, then the connections of the send lists round robin: each builds at most
 * MR_QUANTUM_PACKETS and goes to the end.
 *
 *     few    had less than MR_FEW_PACKETS to send when it was visited last: answers, ACKs
 *     bulk   had more
 *
 * Those with few go first, up to half of a burst while others wait: a small answer is not sent
 * after a quantum of everybody's bulk data, and bulk data always gets the other half.
 */
#include "quic/conn.h"

static uint32_t send_replies(struct mr_endpoint *ep, struct mr_outgoing *out, uint32_t count)
{
    uint32_t sent = MR_MIN(count, ep->reply_count);

    for (uint32_t i = 0; i < sent; i++) {
        const struct mr_reply *reply = &ep->replies[i];

        MR_ASSERT(out[i].room >= reply->size);
        memcpy(out[i].data, reply->bytes, reply->size);
        out[i].size = reply->size;
        out[i].ecn = MR_ECN_NOT_ECT;
        out[i].path = reply->path;
        mr_count(&ep->counters.datagrams_sent);
        mr_count_add(&ep->counters.bytes_sent, reply->size);
    }
    ep->reply_count -= sent;
    memmove(&ep->replies[0], &ep->replies[sent], ep->reply_count * sizeof(ep->replies[0]));
    return sent;
}

static uint32_t send_ready(struct mr_endpoint *ep, struct mr_outgoing *out, uint32_t count,
                           uint64_t now)
{
    uint32_t built = 0;

    ep->odd_packet ^= 1;
    while (built < count && (ep->few.head != MR_NONE || ep->bulk.head != MR_NONE)) {
        uint32_t half = (count + ep->odd_packet) / 2;
        uint32_t most_of_few = ep->bulk.head == MR_NONE ? count : half;
        bool is_few = ep->few.head != MR_NONE && built < most_of_few;
        uint32_t next = is_few ? ep->few.head : ep->bulk.head;
        uint32_t room = (is_few ? most_of_few : count) - built;

        built += mr_conn_send(ep, mr_conn_at(ep, next), &out[built], room, now);
    }
    return built;
}

uint32_t mr_endpoint_build(struct mr_endpoint *ep, struct mr_outgoing *out, uint32_t count,
                           uint64_t now)
{
    uint32_t built = 0;

    MR_ASSERT(count <= MR_BURST);
    mr_trace_clock(ep, now);
    ep->burst++;
    ep->seal_count = 0;
    ep->copy_count = 0;
    if (ep->reply_count > 0)
        built = send_replies(ep, out, count);
    return built + send_ready(ep, out + built, count - built, now);
}

void mr_endpoint_seal(struct mr_endpoint *ep)
{
    mr_seal_burst(ep->aead, ep->seal_jobs, ep->seal_count);
    ep->seal_count = 0;
}

uint32_t mr_endpoint_send(struct mr_endpoint *ep, struct mr_outgoing *out, uint32_t count,
                          uint64_t now)
{
    uint32_t built = mr_endpoint_build(ep, out, count, now);

    mr_endpoint_seal(ep);
    return built;
}
