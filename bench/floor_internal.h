/*
 * bench/floor_internal.h - what the floor's sender, receiver and frame (floor.c) share.
 *
 *     | Ethernet IPv4 UDP | first byte, DCID, packet number | STREAM, offset, length | data | tag |
 *       42                  1      8     4                    1 + 1   8       2                16
 *     FRAME                 PACKET                            PAYLOAD                  DATA
 */
#ifndef MR_BENCH_FLOOR_INTERNAL_H
#define MR_BENCH_FLOOR_INTERNAL_H

#include <stdatomic.h>
#include <stdint.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "bench/floor.h"
#include "quic/aead.h"

#define FLOOR_BURST       32
#define FLOOR_ACK_EVERY   32  /* packets */
#define FLOOR_WINDOW      512 /* packets sent and not acknowledged */
#define FLOOR_RING_COUNT  2048
#define FLOOR_ACK_BUFFERS 511

#define FLOOR_PACKET_AT   42 /* in the frame */
#define FLOOR_DCID_AT     1  /* from here on: in the packet */
#define FLOOR_PN_AT       9
#define FLOOR_HEADER_SIZE 13
#define FLOOR_STREAM_SIZE 12 /* of the STREAM frame's header */
#define FLOOR_DATA_AT     (FLOOR_HEADER_SIZE + FLOOR_STREAM_SIZE)
#define FLOOR_ACK_PAYLOAD 40 /* bytes of an acknowledgement's payload: a frame and padding */
#define FLOOR_SEALED(size)                                                                         \
    (FLOOR_HEADER_SIZE + (size) + MR_AEAD_TAG) /* packet of `size` bytes of payload */

_Static_assert(FLOOR_RING_COUNT > MR_FLOOR_BUFFERS_MAX, "the data ring never overflows");
_Static_assert(FLOOR_ACK_BUFFERS *FLOOR_ACK_EVERY > FLOOR_WINDOW,
               "acknowledgements never run out of buffers");

enum floor_phase {
    FLOOR_WARM,
    FLOOR_MEASURE,
    FLOOR_STOP
};

/* Where a worker's time goes: each lap gives what passed since the last one to a stage. */
struct floor_meter {
    uint64_t last;  /* TSC */
    uint64_t began; /* TSC at the begin of the measured part */
    uint64_t ended; /* and at its end */
    uint64_t cycles[MR_FLOOR_STAGES];
    uint64_t packets;
    uint64_t bytes; /* of STREAM data */
    enum floor_phase phase;
};

/* One worker's keys: a direction each. */
struct floor_keys {
    struct mr_aead_key seal;
    struct mr_aead_key open;
    struct mr_hp_key seal_hp;
    struct mr_hp_key open_hp;
    struct mr_aead *aead;
};

/* What both workers touch: read-mostly but for the phase, and the rings' and pools' own. */
struct floor_wire {
    struct rte_ring *data;
    struct rte_ring *acks;
    struct rte_mempool *data_pool; /* the receiver gives, the sender takes: a FIFO */
    struct rte_mempool *ack_pool;  /* the other way round */
    uint32_t data_size;            /* bytes of STREAM data per packet */
    MR_ALIGNED(MR_CACHE_LINE)
    _Atomic uint32_t phase; /* enum floor_phase; the control thread writes */
};

/* What is remembered of a packet until it is acknowledged. */
struct floor_sent {
    uint64_t sent_tsc;
    uint64_t offset;
    uint64_t delivered; /* bytes acknowledged when it was sent */
    uint32_t pn;
    uint16_t size;
    uint16_t is_acked;
};

struct floor_sender {
    struct floor_keys keys;
    struct floor_wire *wire;
    const uint8_t *data;
    size_t data_bytes;
    size_t data_at; /* where the next packet's data begins */
    uint64_t next_pn;
    uint64_t acked_pn; /* all below are acknowledged */
    uint64_t offset;
    uint64_t delivered;
    uint64_t errors;
    uint8_t headers[FLOOR_PACKET_AT];
    struct floor_meter meter;
    struct floor_sent sent[FLOOR_WINDOW + FLOOR_BURST];
};

struct floor_receiver {
    struct floor_keys keys;
    struct floor_wire *wire;
    uint64_t next_pn; /* of the sender's packets */
    uint64_t offset;
    uint64_t ack_pn; /* of our own */
    uint32_t unacked;
    uint64_t errors;
    uint8_t headers[FLOOR_PACKET_AT];
    struct floor_meter meter;
};

/* Workers' main functions; `argument` is the struct above.  Return 0 when the phase is FLOOR_STOP.
 */
int mr_floor_send(void *argument);
int mr_floor_receive(void *argument);

/* ------------------------------------------------------------------ small steps of both */

/* Give the time since the last lap to `stage`. */
MR_INLINE void floor_lap(struct floor_meter *meter, enum mr_floor_stage stage)
{
    uint64_t now = rte_rdtsc();

    meter->cycles[stage] += now - meter->last;
    meter->last = now;
}

/* Forget the time since the last lap: nothing was done. */
MR_INLINE void floor_idle(struct floor_meter *meter)
{
    meter->last = rte_rdtsc();
}

/* Follow the phase; the measured part begins with empty counts.  False: stop. */
MR_INLINE bool floor_goes_on(struct floor_meter *meter, struct floor_wire *wire)
{
    /* relaxed: orders nothing but itself */
    enum floor_phase phase =
        (enum floor_phase)atomic_load_explicit(&wire->phase, memory_order_relaxed);

    if (phase == meter->phase)
        return true;
    if (phase == FLOOR_MEASURE) {
        *meter = (struct floor_meter){.phase = phase, .began = rte_rdtsc()};
        meter->last = meter->began;
    } else {
        meter->ended = rte_rdtsc();
    }
    return phase != FLOOR_STOP;
}

MR_INLINE uint8_t *floor_packet(struct rte_mbuf *mbuf)
{
    return rte_pktmbuf_mtod_offset(mbuf, uint8_t *, FLOOR_PACKET_AT);
}

/* Write Ethernet, IPv4, UDP and short headers for a packet of `size` bytes. */
void mr_floor_headers_write(struct rte_mbuf *mbuf, const uint8_t *headers, uint32_t size,
                            uint64_t pn);

/* Prefetch the bookkeeping and the headers of received buffers. */
MR_INLINE void floor_prefetch(struct rte_mbuf **mbufs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        rte_prefetch0(mbufs[i]);
    for (uint32_t i = 0; i < count; i++) {
        rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], uint8_t *));
        rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], uint8_t *) + MR_CACHE_LINE);
    }
}

/* Make the job that opens what arrived in `mbuf`. */
MR_INLINE struct mr_open_job floor_open_job(const struct floor_keys *keys, struct rte_mbuf *mbuf,
                                            uint64_t expected_pn)
{
    return (struct mr_open_job){.key = &keys->open,
                                .hp = &keys->open_hp,
                                .packet = floor_packet(mbuf),
                                .expected_pn = expected_pn,
                                .pn_offset = FLOOR_PN_AT,
                                .size = (uint16_t)(mbuf->data_len - FLOOR_PACKET_AT)};
}

#endif /* MR_BENCH_FLOOR_INTERNAL_H */
