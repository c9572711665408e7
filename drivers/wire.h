/*
 * drivers/wire.h - a wire: two ports in one process, joined by rings.
 *
 *            end 0                          end 1
 *     tx queue 0 --ring--> rx queue 0       (and the same from end 1 to end 0)
 *     tx queue 1 --ring--> rx queue 1       without RSS tx queue t feeds rx queue t % count,
 *     tx queue 2 --ring--> rx queue 0       with RSS every tx queue feeds every rx queue
 *
 * By reference, the mbuf itself crosses, and the receiver frees it to the sender's pool.  In copy
 * mode the receiver's core copies the frame into an mbuf of its own (as DMA would) and returns the
 * original in batches, so that the sender's pool sees frees of its own core only.
 *
 * Impairments, per direction and from a seed: rate with a bounded queue, delay, jitter, reordering,
 * loss, duplication, corruption.  A direction without any costs nothing for them.  Several sending
 * queues share the rate evenly.  A direction with delay holds the sender's mbufs meanwhile: its
 * pool must be larger than what is on the way.
 *
 * The mbufs sent come from pools of mr_mbuf_pool_create(), which outlive both ends.
 *
 * Owner: the control thread that opened it.  Threads: as of any port; queue i of an end, receiving
 * and sending, belongs to one lcore.
 * Limits: ring_count frames per ring (a full ring refuses, with RSS it loses the frame, counted as
 * the receiver's rx_missed); held_max frames in a queue's delay line (more: dropped, counted as
 * wire_overflowed).
 */
#ifndef MR_DRIVERS_WIRE_H
#define MR_DRIVERS_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/port.h"
#include "drivers/wire_impair.h"

#define MR_WIRE_RING_COUNT 1024  /* frames, when the configuration says 0 */
#define MR_WIRE_HELD_MAX   65536 /* frames under way in one queue's delay line */
#define MR_WIRE_RETA_COUNT 128

enum mr_wire_end {
    MR_WIRE_END_0,
    MR_WIRE_END_1,
    MR_WIRE_ENDS
};

/* Nanoseconds of a monotonic clock; called once per burst of an impaired direction. */
typedef uint64_t (*mr_wire_clock)(void *argument);

struct mr_wire_side {
    struct rte_mempool *const
        *rx_pools;        /* queue_count of them; used in copy mode only, else may be NULL */
    uint16_t queue_count; /* 1..MR_PORT_QUEUES_MAX */
    uint8_t mac[6];       /* all zero: 02:00:00:00:00:01 at end 0, ...:02 at end 1 */
    struct mr_wire_impairment impairment; /* of what this end sends */
};

struct mr_wire_config {
    struct mr_wire_side side[MR_WIRE_ENDS];
    bool is_copied;      /* copy at receiver; else by reference */
    bool needs_checksum; /* frames cross unflagged and sums are computed; else the wire vouches for
                            the data */
    bool has_rss; /* the sender picks the receive queue by Toeplitz hash of the 4-tuple; else by its
                     own queue */
    uint8_t rss_key[40]; /* all zero: drawn from the seed */
    uint16_t mtu;        /* bytes; 0: MR_PORT_MTU */
    uint32_t ring_count; /* frames per ring; 0: MR_WIRE_RING_COUNT */
    uint32_t held_max;   /* frames per delay line; 0: MR_WIRE_HELD_MAX */
    uint64_t seed;       /* of impairments and RSS key */
    mr_wire_clock clock; /* NULL: the TSC */
    void *clock_argument;
};

/*
 * Read comma-separated options into `config`, which keeps what they do not name:
 *     mode=reference|copy, checksum=vouched|software, rss=on|off, ring=N, seed=N, mtu=N, and for
 *     both directions rate=10G, queue=BYTES, delay=10ms, jitter=1ms, and in per cent loss=0.1,
 *     dup=, corrupt=, reorder=
 * `text` may be empty.  False with `fault` set: unknown option or malformed value.
 */
bool mr_wire_config_parse(const char *text, struct mr_wire_config *config, struct mr_fault *fault);

/*
 * Make a wire; both ends are ports, each closed by mr_port_close(), in either order, when no lcore
 * uses either. False with `fault` set: out of memory.
 */
bool mr_wire_open(const struct mr_wire_config *config, struct mr_port *ends_out[MR_WIRE_ENDS],
                  struct mr_fault *fault);

/* The receive queue that RSS picks for `frame` of `size` bytes sent towards `port`.  For tests and
 * steering checks. */
uint16_t mr_wire_rss_queue(const struct mr_port *port, const uint8_t *frame, uint32_t size);

/* Read or replace the table of `port` that turns hashes into its receive queues; entries <
 * queue_count. */
void mr_wire_reta(const struct mr_port *port, uint16_t reta_out[MR_WIRE_RETA_COUNT]);
void mr_wire_set_reta(struct mr_port *port, const uint16_t reta[MR_WIRE_RETA_COUNT]);

#endif /* MR_DRIVERS_WIRE_H */
