/*
 * bench/floor.h - what does a packet cost when nothing of QUIC but its protection is done?
 *
 * Two pinned workers of one process, joined by rings:
 *
 *     sender    take buffers -> build headers -> seal (application data copied in) -> ring --+
 *       ^                                                                                     |
 *       +-- acknowledgements <- ring <- ack every 32 <- buffers back <- open in place <------+
 *                                                                              receiver
 *
 * No connections, loss recovery, scheduling or timers: whatever the whole stack costs beyond this
 * is the stack's.  Packets have the size and the layout of full 1-RTT packets with one STREAM
 * frame, the data comes out of a working set that no cache holds, and the buffers in circulation
 * fit a core's second-level cache (docs/bench.md says why each of these matters).
 *
 * Owner: the caller.  Threads: the control thread measures; two workers of control/eal.h work.
 */
#ifndef MR_BENCH_FLOOR_H
#define MR_BENCH_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic/aead.h"

#define MR_FLOOR_RUNS_MAX    32
#define MR_FLOOR_BUFFERS_MAX 2000 /* in circulation */
#define MR_FLOOR_PACKET_MIN  128  /* bytes */
#define MR_FLOOR_PACKET_MAX  1500

enum mr_floor_stage {
    /* sender */
    MR_FLOOR_TAKE,    /* buffers out of the pool */
    MR_FLOOR_BUILD,   /* headers, a sent record, seal jobs */
    MR_FLOOR_SEAL,    /* data in, AEAD, header protection */
    MR_FLOOR_ENQUEUE, /* to the ring */
    MR_FLOOR_ACKED,   /* acknowledgements opened and booked */
    /* receiver */
    MR_FLOOR_DEQUEUE, /* from the ring, headers prefetched, open jobs */
    MR_FLOOR_UNMASK,  /* header protection off */
    MR_FLOOR_OPEN,    /* AEAD */
    MR_FLOOR_CHECK,   /* packet number and offset are the next */
    MR_FLOOR_RETURN,  /* buffers into the pool */
    MR_FLOOR_ACK,     /* acknowledgements built and sent */
    MR_FLOOR_STAGES,
    MR_FLOOR_RECEIVER = MR_FLOOR_DEQUEUE /* the receiver's first */
};

struct mr_floor_options {
    uint32_t sender_worker; /* indices of mr_eal_launch(), two different ones */
    uint32_t receiver_worker;
    enum mr_aead_backend backend;
    enum mr_cipher cipher;
    uint32_t packet_bytes;  /* of the QUIC packet: MR_FLOOR_PACKET_MIN .. MR_FLOOR_PACKET_MAX */
    uint32_t buffers_count; /* <= MR_FLOOR_BUFFERS_MAX */
    uint32_t run_count;     /* <= MR_FLOOR_RUNS_MAX */
    uint32_t run_ms;        /* measured, each run */
    uint32_t warm_ms;       /* before that, each run */
    size_t data_bytes;      /* working set of the application's data */
};

/* Of several runs. */
struct mr_floor_figure {
    double best;
    double median;
    double worst;
};

struct mr_floor_result {
    const char *backend;              /* mr_aead_name() */
    struct mr_floor_figure sender_ns; /* busy time per packet; its best is `floor_ns_per_packet` */
    struct mr_floor_figure receiver_ns;  /* busy time per packet */
    struct mr_floor_figure goodput_gbps; /* of STREAM data, at the receiver */
    double stage_ns[MR_FLOOR_STAGES];    /* per packet, in the run with the best goodput */
    uint64_t packets;                    /* received in all measured runs */
    uint32_t run_count;
    bool data_has_hugepages;
};

/* 1,452-byte packets out of 256 MiB, 1,791 buffers, AES-128-GCM, the fastest back end, 5 runs of a
 * second, on workers 0 and 1. */
struct mr_floor_options mr_floor_defaults(void);

/*
 * Measure.  EAL must run with at least two workers, the two named ones idle.  Takes
 * run_count * (run_ms + warm_ms) and about 100 ns per KiB of data_bytes.  0; -EINVAL (an option is
 * out of range), -ENOMEM, -ENOTSUP (no such back end here), -EIO (a packet did not open, or was out
 * of order: a bug).
 */
int mr_floor_measure(const struct mr_floor_options *options, struct mr_floor_result *result_out);

/* "take", "build", ...: one name for a stage, in tables and JSON. */
const char *mr_floor_stage_name(enum mr_floor_stage stage);

#endif /* MR_BENCH_FLOOR_H */
