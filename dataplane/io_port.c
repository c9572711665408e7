/* dataplane/io_port.c - see io_port.h. */
#include "dataplane/io_port.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <rte_pause.h>

#include "base/assert.h"
#include "base/cache_line.h"
#include "base/spsc.h"
#include "dataplane/clock.h"
#include "dataplane/steer.h"
#include "quic/counters.h"

#define IDLE_SPIN_NS (100 * MR_US) /* without work before the first sleep, as a shard's */
#define SLEEP_MIN_NS (20 * MR_US)
#define SLEEP_MAX_NS MR_MS

struct io_port;

/* Between an I/O lcore and a shard: one ring each way. */
struct pipe {
    struct mr_spsc in; /* to the shard */
    struct mr_spsc out;
    uint64_t in_items[MR_IO_RING];
    uint64_t out_items[MR_IO_RING];
};

/* An I/O lcore. */
struct lane {
    /* read-mostly, by shards, too */
    struct io_port *io;
    struct pipe *pipes; /* of each shard */
    uint16_t queue;     /* of the port */
    /* its own */
    MR_ALIGNED(MR_CACHE_LINE) uint16_t waiting_count; /* frames that the port did not take yet */
    uint16_t waiting_first;
    struct rte_mbuf *waiting[MR_BURST];
    uint64_t idle_since_ns;
    struct mr_io_stats stats;
} MR_ALIGNED(MR_CACHE_LINE);

MR_ASSERT_OWN_LINE(struct pipe, in_items);
MR_ASSERT_OWN_LINE(struct pipe, out_items);
MR_ASSERT_WHOLE_LINES(struct pipe);
MR_ASSERT_OWN_LINE(struct lane, waiting_count);
MR_ASSERT_WHOLE_LINES(struct lane);

struct io_port {
    struct mr_port port; /* first */
    struct mr_port *inner;
    enum mr_polling polling;
    uint32_t shard_count;
    uint32_t lane_count;
    struct mr_clock clock;
    struct mr_steer steer;
    _Atomic bool stops;
    struct lane lanes[MR_IO_LCORES_MAX];
};

static struct io_port *io_of(struct mr_port *port)
{
    return (struct io_port *)port;
}

/* ------------------------------------------------------------------ the shards' side */

static uint16_t io_rx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t room)
{
    struct io_port *io = io_of(port);
    uint32_t count = 0;

    for (uint32_t i = 0; i < io->lane_count && count < room; i++)
        count += mr_spsc_pop_pointers(&io->lanes[i].pipes[queue].in, (void **)(mbufs + count),
                                      room - count);
    return (uint16_t)count;
}

static uint16_t io_tx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
    struct io_port *io = io_of(port);

    return (uint16_t)mr_spsc_push_pointers(&io->lanes[queue % io->lane_count].pipes[queue].out,
                                           (void *const *)mbufs, count);
}

/* ------------------------------------------------------------------ an I/O lcore */

/* What is for one shard, in the order in which it came. */
static void pass_on(struct lane *lane, uint32_t shard, struct rte_mbuf **mbufs, uint32_t count)
{
    uint32_t taken = mr_spsc_push_pointers(&lane->pipes[shard].in, (void *const *)mbufs, count);

    mr_count_add(&lane->stats.frames_in, taken);
    if (taken < count) {
        rte_pktmbuf_free_bulk(mbufs + taken, count - taken);
        mr_count_add(&lane->stats.dropped, count - taken);
    }
}

/* Runs of frames for the same shard go together. */
static uint32_t receive(struct lane *lane)
{
    const struct mr_steer *steer = &lane->io->steer;
    struct rte_mbuf *mbufs[MR_BURST];
    uint16_t count = mr_port_rx_burst(lane->io->inner, lane->queue, mbufs, MR_BURST);
    uint32_t shard = 0;
    uint32_t begin = 0;

    for (uint32_t i = 0; i < count; i++)
        __builtin_prefetch(rte_pktmbuf_mtod(mbufs[i], const void *));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t of = mr_steer_frame(steer, rte_pktmbuf_mtod(mbufs[i], const uint8_t *),
                                     rte_pktmbuf_data_len(mbufs[i]));

        if (i > begin && of != shard) {
            pass_on(lane, shard, mbufs + begin, i - begin);
            begin = i;
        }
        shard = of;
    }
    if (count > begin)
        pass_on(lane, shard, mbufs + begin, count - begin);
    return count;
}

/* True: nothing waits any more. */
static bool flush(struct lane *lane)
{
    if (lane->waiting_count == 0)
        return true;
    uint16_t taken = mr_port_tx_burst(lane->io->inner, lane->queue,
                                      lane->waiting + lane->waiting_first, lane->waiting_count);
    mr_count_add(&lane->stats.frames_out, taken);
    mr_count_add(&lane->stats.tx_refused, taken < lane->waiting_count);
    lane->waiting_first += taken;
    lane->waiting_count -= taken;
    return lane->waiting_count == 0;
}

/* A burst of each shard that sends through this lane, as long as the port takes them. */
static uint32_t transmit(struct lane *lane)
{
    uint32_t work = 0;

    for (uint32_t s = lane->queue; s < lane->io->shard_count && flush(lane);
         s += lane->io->lane_count) {
        lane->waiting_first = 0;
        lane->waiting_count = (uint16_t)mr_spsc_pop_pointers(
            &lane->pipes[s].out, (void **)lane->waiting, MR_COUNT_OF(lane->waiting));
        work += lane->waiting_count;
    }
    (void)flush(lane);
    return work;
}

static void idle(struct lane *lane, uint64_t now)
{
    uint64_t idle_ns = now - lane->idle_since_ns;

    if (lane->io->polling == MR_POLLING_BUSY || idle_ns < IDLE_SPIN_NS) {
        rte_pause();
        return;
    }
    uint64_t span = MR_MIN(MR_MAX(idle_ns / 4, SLEEP_MIN_NS), SLEEP_MAX_NS);
    mr_count_add(&lane->stats.sleeps, 1);
    nanosleep(&(struct timespec){.tv_nsec = (long)span}, NULL);
}

void mr_io_lane_turn(void *argument)
{
    struct lane *lane = argument;
    uint64_t begin = rte_rdtsc();
    uint32_t work = receive(lane) + transmit(lane);

    mr_count_add(&lane->stats.loops, 1);
    if (work > 0) {
        uint64_t end = rte_rdtsc();

        mr_count_add(&lane->stats.busy_loops, 1);
        mr_count_add(&lane->stats.busy_cycles, end - begin);
        lane->idle_since_ns = mr_clock_ns(&lane->io->clock, end);
    } else {
        idle(lane, mr_clock_ns(&lane->io->clock, begin));
    }
}

int mr_io_lane_main(void *argument)
{
    struct lane *lane = argument;

    lane->idle_since_ns = mr_clock_now(&lane->io->clock);
    while (!atomic_load_explicit(&lane->io->stops, memory_order_acquire))
        mr_io_lane_turn(lane);
    while (transmit(lane) > 0) { /* the last packets; what the port does not take is lost with it */
    }
    return 0;
}

/* ------------------------------------------------------------------ life */

static void io_stats(const struct mr_port *port, struct mr_port_stats *out)
{
    const struct io_port *io = (const struct io_port *)port;
    struct mr_io_stats stats;

    mr_port_stats(io->inner, out);
    mr_io_port_stats(port, &stats);
    out->rx_missed += stats.dropped;
}

static bool io_is_up(const struct mr_port *port)
{
    return mr_port_is_up(((const struct io_port *)port)->inner);
}

static int io_read_clock(const struct mr_port *port, uint64_t *ticks)
{
    return mr_port_read_clock(((const struct io_port *)port)->inner, ticks);
}

static void free_ring(struct mr_spsc *ring)
{
    void *mbuf;

    while (mr_spsc_pop_pointers(ring, &mbuf, 1) == 1)
        rte_pktmbuf_free(mbuf);
}

static void free_lanes(struct io_port *io)
{
    for (uint32_t k = 0; k < io->lane_count; k++) {
        struct lane *lane = &io->lanes[k];

        for (uint32_t s = 0; s < io->shard_count && lane->pipes != NULL; s++) {
            free_ring(&lane->pipes[s].in);
            free_ring(&lane->pipes[s].out);
        }
        rte_pktmbuf_free_bulk(lane->waiting + lane->waiting_first, lane->waiting_count);
        free(lane->pipes);
    }
    free(io);
}

static void io_close(struct mr_port *port)
{
    struct io_port *io = io_of(port);
    struct mr_port *inner = io->inner;

    free_lanes(io);
    mr_port_close(inner);
}

static bool make_pipes(struct lane *lane, uint32_t shard_count)
{
    size_t size =
        (shard_count * sizeof(struct pipe) + MR_CACHE_LINE - 1) / MR_CACHE_LINE * MR_CACHE_LINE;

    lane->pipes = aligned_alloc(MR_CACHE_LINE, size);
    if (lane->pipes == NULL)
        return false;
    memset(lane->pipes, 0, size);
    for (uint32_t s = 0; s < shard_count; s++) {
        mr_spsc_init(&lane->pipes[s].in, lane->pipes[s].in_items, MR_IO_RING);
        mr_spsc_init(&lane->pipes[s].out, lane->pipes[s].out_items, MR_IO_RING);
    }
    return true;
}

static void describe(struct io_port *io)
{
    static const struct mr_port_ops ops = {.rx_burst = io_rx,
                                           .tx_burst = io_tx,
                                           .stats = io_stats,
                                           .is_up = io_is_up,
                                           .read_clock = io_read_clock,
                                           .close = io_close};

    io->port = *io->inner; /* what it is and can do */
    io->port.ops = &ops;
    io->port.loss = NULL;
    io->port.held_fd = -1;
    io->port.device[0] = '\0';
    io->port.is_card = false;
    io->port.traits.queue_count = (uint16_t)io->shard_count;
    io->port.traits.has_rx_fd = false;
}

struct mr_port *mr_io_port_open(const struct mr_io_port_config *config, struct mr_fault *fault)
{
    struct io_port *io = aligned_alloc(MR_CACHE_LINE, (sizeof(*io) + MR_CACHE_LINE - 1) /
                                                          MR_CACHE_LINE * MR_CACHE_LINE);
    uint8_t key[MR_RSS_KEY_SIZE];
    bool is_made = io != NULL;

    MR_ASSERT(config->port->traits.queue_count <= MR_IO_LCORES_MAX);
    if (io != NULL) {
        memset(io, 0, sizeof(*io));
        io->inner = config->port;
        io->polling = config->polling;
        io->shard_count = config->shard_count;
        io->lane_count = config->port->traits.queue_count;
        io->clock = mr_clock_init();
        (void)getrandom(key, sizeof(key), 0);
        mr_steer_init(&io->steer, &config->cid, config->shard_count, key);
        describe(io);
    }
    for (uint32_t k = 0; is_made && k < io->lane_count; k++) {
        io->lanes[k].io = io;
        io->lanes[k].queue = (uint16_t)k;
        is_made = make_pipes(&io->lanes[k], io->shard_count);
    }
    if (is_made)
        return &io->port;
    if (io != NULL)
        free_lanes(io);
    mr_fault_set(fault, ENOMEM, "port %s: not enough memory for the rings of its I/O lcores",
                 config->port->spec);
    return NULL;
}

void *mr_io_port_lane(struct mr_port *port, uint32_t index)
{
    MR_ASSERT(index < io_of(port)->lane_count);
    return &io_of(port)->lanes[index];
}

void mr_io_port_stop(struct mr_port *port)
{
    /* release: pairs with the acquire in mr_io_lane_main(); what shards sent is in the rings */
    atomic_store_explicit(&io_of(port)->stops, true, memory_order_release);
}

void mr_io_port_stats(const struct mr_port *port, struct mr_io_stats *out)
{
    const struct io_port *io = (const struct io_port *)port;
    uint64_t *to = (uint64_t *)(void *)out;

    memset(out, 0, sizeof(*out));
    for (uint32_t k = 0; k < io->lane_count; k++) {
        const uint64_t *from = (const uint64_t *)(const void *)&io->lanes[k].stats;

        for (size_t i = 0; i < sizeof(*out) / sizeof(uint64_t); i++)
            to[i] += atomic_load_explicit((const _Atomic uint64_t *)(const void *)&from[i],
                                          memory_order_relaxed);
    }
}
