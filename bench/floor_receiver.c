#include "base/bytes.h"
#include "bench/floor_internal.h"

#define VARINT_8_MASK (~(UINT64_C(3) << 62))

/* A packet must be open, the next, and its data the next of the stream. */
static bool is_next(struct floor_receiver *receiver, const struct mr_open_job *job)
{
    const uint8_t *frame = job->packet + FLOOR_HEADER_SIZE;
    uint64_t offset = mr_load_be64(frame + 2) & VARINT_8_MASK;

    return job->is_open && job->pn == receiver->next_pn && offset == receiver->offset;
}

static void check_burst(struct floor_receiver *receiver, const struct mr_open_job *jobs,
                        uint32_t count)
{
    uint32_t size = receiver->wire->data_size;

    for (uint32_t i = 0; i < count; i++) {
        receiver->errors += !is_next(receiver, &jobs[i]);
        receiver->next_pn++;
        receiver->offset += size;
    }
    receiver->meter.packets += count;
    receiver->meter.bytes += (uint64_t)count * size;
    receiver->unacked += count;
}

static void seal_ack(struct floor_receiver *receiver, struct rte_mbuf *mbuf)
{
    uint8_t *payload = floor_packet(mbuf) + FLOOR_HEADER_SIZE;
    uint64_t pn = receiver->ack_pn++;
    struct mr_seal_job job = {.key = &receiver->keys.seal,
                              .hp = &receiver->keys.seal_hp,
                              .packet = floor_packet(mbuf),
                              .pn = pn,
                              .header_size = FLOOR_HEADER_SIZE,
                              .payload_size = FLOOR_ACK_PAYLOAD,
                              .pn_size = FLOOR_HEADER_SIZE - FLOOR_PN_AT};

    mr_floor_headers_write(mbuf, receiver->headers, FLOOR_SEALED(FLOOR_ACK_PAYLOAD), pn);
    memset(payload, 0, FLOOR_ACK_PAYLOAD);
    mr_store_be64(payload, receiver->next_pn);
    mr_seal_burst(receiver->keys.aead, &job, 1);
}

static void send_ack(struct floor_receiver *receiver)
{
    struct rte_mbuf *mbuf;

    if (rte_mempool_get(receiver->wire->ack_pool, (void **)&mbuf) != 0)
        return; /* all are on their way: a later one will say more */
    seal_ack(receiver, mbuf);
    rte_ring_sp_enqueue(receiver->wire->acks, mbuf);
    receiver->unacked = 0;
}

static void open_burst(struct floor_receiver *receiver, struct rte_mbuf **mbufs, uint32_t count)
{
    struct floor_meter *meter = &receiver->meter;
    struct mr_open_job jobs[FLOOR_BURST];

    floor_prefetch(mbufs, count);
    for (uint32_t i = 0; i < count; i++)
        jobs[i] = floor_open_job(&receiver->keys, mbufs[i], receiver->next_pn + i);
    floor_lap(meter, MR_FLOOR_DEQUEUE);
    mr_unmask_burst(receiver->keys.aead, jobs, count);
    floor_lap(meter, MR_FLOOR_UNMASK);
    mr_open_burst(receiver->keys.aead, jobs, count);
    floor_lap(meter, MR_FLOOR_OPEN);
    check_burst(receiver, jobs, count);
    floor_lap(meter, MR_FLOOR_CHECK);
}

/* False: nothing had arrived. */
static bool receive_burst(struct floor_receiver *receiver)
{
    struct floor_meter *meter = &receiver->meter;
    struct rte_mbuf *mbufs[FLOOR_BURST];
    uint32_t count =
        rte_ring_sc_dequeue_burst(receiver->wire->data, (void **)mbufs, FLOOR_BURST, NULL);

    if (count == 0)
        return false;
    open_burst(receiver, mbufs, count);
    rte_mempool_put_bulk(receiver->wire->data_pool, (void **)mbufs, count);
    floor_lap(meter, MR_FLOOR_RETURN);
    if (receiver->unacked >= FLOOR_ACK_EVERY) {
        send_ack(receiver);
        floor_lap(meter, MR_FLOOR_ACK);
    }
    return true;
}

int mr_floor_receive(void *argument)
{
    struct floor_receiver *receiver = argument;
    struct floor_meter *meter = &receiver->meter;

    floor_idle(meter);
    while (floor_goes_on(meter, receiver->wire))
        if (!receive_burst(receiver))
            floor_idle(meter);
    return 0;
}
