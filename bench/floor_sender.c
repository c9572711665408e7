#include "base/checksum.h"
#include "bench/floor_internal.h"

#define IP_AT        14
#define IP_SIZE      20
#define UDP_AT       (IP_AT + IP_SIZE)
#define UDP_SIZE     8

#define SHORT_HEADER 0x43 /* fixed bit, packet number of four bytes */
#define STREAM_TYPE  0x0e /* with offset and length */
#define STREAM_ID    4
#define VARINT_8     (UINT64_C(3) << 62)
#define VARINT_2     (1u << 14)

/* ------------------------------------------------------------------ headers */

void mr_floor_headers_write(struct rte_mbuf *mbuf, const uint8_t *headers, uint32_t size,
                            uint64_t pn)
{
    uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
    uint8_t *packet = frame + FLOOR_PACKET_AT;

    mbuf->data_len = (uint16_t)(FLOOR_PACKET_AT + size);
    mbuf->pkt_len = mbuf->data_len;
    memcpy(frame, headers, FLOOR_PACKET_AT);
    mr_store_be16(frame + IP_AT + 2, (uint16_t)(IP_SIZE + UDP_SIZE + size));
    mr_store_be16(frame + UDP_AT + 4, (uint16_t)(UDP_SIZE + size));
    uint16_t sum = mr_checksum_finish(mr_checksum_add(0, frame + IP_AT, IP_SIZE));
    memcpy(frame + IP_AT + 10, &sum, sizeof(sum));

    packet[0] = SHORT_HEADER;
    mr_store_be64(packet + FLOOR_DCID_AT, UINT64_C(0x6d696c6c72616365));
    mr_store_be32(packet + FLOOR_PN_AT, (uint32_t)pn);
}

static void write_stream_header(uint8_t *packet, uint64_t offset, uint32_t size)
{
    uint8_t *frame = packet + FLOOR_HEADER_SIZE;

    frame[0] = STREAM_TYPE;
    frame[1] = STREAM_ID;
    mr_store_be64(frame + 2, VARINT_8 | offset);
    mr_store_be16(frame + 10, (uint16_t)(VARINT_2 | size));
}

/* ------------------------------------------------------------------ one burst out */

static struct floor_sent *sent_of(struct floor_sender *sender, uint64_t pn)
{
    return &sender->sent[pn % MR_COUNT_OF(sender->sent)];
}

/* The next packet's bytes in the working set. */
static const uint8_t *take_data(struct floor_sender *sender)
{
    uint32_t size = sender->wire->data_size;

    if (sender->data_at + size > sender->data_bytes)
        sender->data_at = 0;
    const uint8_t *data = sender->data + sender->data_at;
    sender->data_at += size;
    return data;
}

/* Build one packet, all but its data, and the job that seals it. */
static void build_packet(struct floor_sender *sender, struct rte_mbuf *mbuf,
                         struct mr_seal_job *job, struct mr_seal_copy *copy)
{
    uint32_t size = sender->wire->data_size;
    uint64_t pn = sender->next_pn++;

    mr_floor_headers_write(mbuf, sender->headers, FLOOR_SEALED(FLOOR_STREAM_SIZE + size), pn);
    write_stream_header(floor_packet(mbuf), sender->offset, size);
    *copy = (struct mr_seal_copy){.source = take_data(sender), .size = size, .at = FLOOR_DATA_AT};
    *job = (struct mr_seal_job){.key = &sender->keys.seal,
                                .hp = &sender->keys.seal_hp,
                                .packet = floor_packet(mbuf),
                                .copies = copy,
                                .pn = pn,
                                .header_size = FLOOR_HEADER_SIZE,
                                .payload_size = (uint16_t)(FLOOR_STREAM_SIZE + size),
                                .pn_size = FLOOR_HEADER_SIZE - FLOOR_PN_AT,
                                .copy_count = 1};
    *sent_of(sender, pn) = (struct floor_sent){.sent_tsc = sender->meter.last,
                                               .offset = sender->offset,
                                               .delivered = sender->delivered,
                                               .pn = (uint32_t)pn,
                                               .size = (uint16_t)size};
    sender->offset += size;
}

static void build_burst(struct floor_sender *sender, struct rte_mbuf **mbufs,
                        struct mr_seal_job *jobs, struct mr_seal_copy *copies)
{
    for (uint32_t i = 0; i < FLOOR_BURST; i++)
        __builtin_prefetch(rte_pktmbuf_mtod(mbufs[i], uint8_t *), 1);
    for (uint32_t i = 0; i < FLOOR_BURST; i++)
        build_packet(sender, mbufs[i], &jobs[i], &copies[i]);
}

/* False: no buffers have come back yet. */
static bool send_burst(struct floor_sender *sender)
{
    struct floor_meter *meter = &sender->meter;
    struct rte_mbuf *mbufs[FLOOR_BURST];
    struct mr_seal_job jobs[FLOOR_BURST];
    struct mr_seal_copy copies[FLOOR_BURST];

    if (rte_mempool_get_bulk(sender->wire->data_pool, (void **)mbufs, FLOOR_BURST) != 0)
        return false;
    floor_lap(meter, MR_FLOOR_TAKE);
    build_burst(sender, mbufs, jobs, copies);
    floor_lap(meter, MR_FLOOR_BUILD);
    mr_seal_burst(sender->keys.aead, jobs, FLOOR_BURST);
    floor_lap(meter, MR_FLOOR_SEAL);
    rte_ring_sp_enqueue_bulk(sender->wire->data, (void **)mbufs, FLOOR_BURST, NULL);
    floor_lap(meter, MR_FLOOR_ENQUEUE);
    meter->packets += FLOOR_BURST;
    return true;
}

/* ------------------------------------------------------------------ acknowledgements in */

/* Book every packet below `end_pn` as acknowledged. */
static void book_acked(struct floor_sender *sender, uint64_t end_pn)
{
    if (end_pn > sender->next_pn) {
        sender->errors++;
        return;
    }
    for (uint64_t pn = sender->acked_pn; pn < end_pn; pn++) {
        struct floor_sent *sent = sent_of(sender, pn);

        sender->errors += sent->pn != (uint32_t)pn || sent->is_acked;
        sent->is_acked = true;
        sender->delivered += sent->size;
    }
    sender->acked_pn = MR_MAX(sender->acked_pn, end_pn);
}

static uint32_t receive_acks(struct floor_sender *sender)
{
    struct rte_mbuf *mbufs[FLOOR_BURST];
    struct mr_open_job jobs[FLOOR_BURST];
    uint32_t count =
        rte_ring_sc_dequeue_burst(sender->wire->acks, (void **)mbufs, FLOOR_BURST, NULL);

    if (count == 0)
        return 0;
    floor_prefetch(mbufs, count);
    for (uint32_t i = 0; i < count; i++)
        jobs[i] = floor_open_job(&sender->keys, mbufs[i], 0);
    mr_unmask_burst(sender->keys.aead, jobs, count);
    mr_open_burst(sender->keys.aead, jobs, count);
    for (uint32_t i = 0; i < count; i++) {
        sender->errors += !jobs[i].is_open;
        book_acked(sender, mr_load_be64(jobs[i].packet + FLOOR_HEADER_SIZE));
    }
    rte_mempool_put_bulk(sender->wire->ack_pool, (void **)mbufs, count);
    return count;
}

int mr_floor_send(void *argument)
{
    struct floor_sender *sender = argument;
    struct floor_meter *meter = &sender->meter;

    floor_idle(meter);
    while (floor_goes_on(meter, sender->wire)) {
        if (receive_acks(sender) > 0)
            floor_lap(meter, MR_FLOOR_ACKED);
        if (sender->next_pn - sender->acked_pn > FLOOR_WINDOW - FLOOR_BURST || !send_burst(sender))
            floor_idle(meter);
    }
    return 0;
}
