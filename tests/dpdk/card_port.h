/*
 * tests/dpdk/card_port.h - a card of the tests: what a port is asked for checksums, segmentation
 * and launch times, done in software on the way to a wire.
 *
 *     shard --chains, flags--> card --every field looked at, cut up, sums computed--> wire
 *
 * It is as strict as real ones together: what one of them would refuse, or send wrong, ends the
 * test program with a word.
 *
 * Owner: the test.  Threads: as of any port.
 * Limits: one sending queue.
 */
#ifndef MR_TESTS_DPDK_CARD_PORT_H
#define MR_TESTS_DPDK_CARD_PORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "drivers/port.h"

struct card_config {
    uint16_t segments_max;
    bool launches;
    bool is_liar;          /* says that it cuts chains up, and loses them */
    uint32_t refuses_each; /* it takes only a part of every so many bursts; 0: takes all */
    double ticks_per_ns;   /* of its clock */
    uint64_t ticks_off;    /* what the clock says when ours says 0 */
};

struct card_stats {
    _Atomic uint64_t frames;  /* taken */
    _Atomic uint64_t chains;  /* of these */
    _Atomic uint64_t longest; /* datagrams of the longest */
    _Atomic uint64_t stamped; /* with a launch time */
    _Atomic uint64_t back;    /* of these: before the one before */
    _Atomic uint64_t late;    /* of these: it had passed for long */
    _Atomic uint64_t refused; /* times that it took a part only */
    _Atomic uint64_t lost;    /* datagrams that it had no room or no use for */
};

/* Between whoever sends and `inner`, which it closes: a wire's end with software checksums.  Frames
 * that it makes are of `pool`. */
struct mr_port *card_open(struct mr_port *inner, const struct card_config *config,
                          struct rte_mempool *pool);

const struct card_stats *card_stats(const struct mr_port *card);

#endif /* MR_TESTS_DPDK_CARD_PORT_H */
