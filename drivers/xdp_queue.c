/* drivers/xdp_queue.c - see xdp_queue.h. */
#include "drivers/xdp_queue.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "drivers/mbuf_pool.h"
#include "drivers/port.h"

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif

enum {
    CHUNK_SMALL = 2048,
    CHUNK_LARGE = 4096,
    HEADROOM = 256, /* XDP_PACKET_HEADROOM: the kernel's, in front of each frame */
    FILL_FACTOR = 2,
    KICKS_MAX = 4 /* the kernel copies 32 frames at a time, and says then that there are more */
};

_Static_assert(MR_XDP_FRAME_MAX + HEADROOM <= CHUNK_LARGE, "a frame fits a place");

static void count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* ---- rings ---- */

/* acquire: pairs with the kernel's release of what it has written to the ring. */
static inline uint32_t produced(const struct mr_xdp_ring *ring)
{
    return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
}

/* acquire: pairs with the kernel's release of the places it has read. */
static inline uint32_t consumed(const struct mr_xdp_ring *ring)
{
    return __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
}

/* release: the kernel's acquire sees the entries that were written. */
static inline void produce(struct mr_xdp_ring *ring)
{
    __atomic_store_n(ring->producer, ring->at, __ATOMIC_RELEASE);
}

/* release: the kernel's acquire sees that the entries were read. */
static inline void consume(struct mr_xdp_ring *ring)
{
    __atomic_store_n(ring->consumer, ring->at, __ATOMIC_RELEASE);
}

static inline bool needs_wakeup(const struct mr_xdp_ring *ring)
{
    return (__atomic_load_n(ring->flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP) != 0;
}

static inline struct xdp_desc *desc_at(const struct mr_xdp_ring *ring, uint32_t at)
{
    return &((struct xdp_desc *)ring->entries)[at & ring->mask];
}

static inline uint64_t *place_at(const struct mr_xdp_ring *ring, uint32_t at)
{
    return &((uint64_t *)ring->entries)[at & ring->mask];
}

/* ---- receive ---- */

/* Let the kernel poll the device, or see that the fill ring has places again. */
static inline void poll_device(const struct mr_xdp_queue *q)
{
    if (q->is_busy_polled || needs_wakeup(&q->fill))
        (void)recvfrom(q->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/* Have the kernel send what is in the ring.  Without room it sends later: at the next call. */
static void kick(const struct mr_xdp_queue *q)
{
    for (int i = 0; i < KICKS_MAX && (q->is_busy_polled || needs_wakeup(&q->tx)); i++) {
        if (sendto(q->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 || errno != EAGAIN)
            return;
    }
}

static struct rte_mbuf *copy_in(struct mr_xdp_queue *q, const struct xdp_desc *desc)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(q->pool);
    char *data = mbuf == NULL ? NULL : rte_pktmbuf_append(mbuf, (uint16_t)desc->len);

    if (data != NULL) {
        memcpy(data, q->frames + desc->addr, desc->len);
        return mbuf;
    }
    rte_pktmbuf_free(mbuf);
    count(&q->rx_no_buffer, 1);
    return NULL;
}

uint16_t mr_xdp_queue_receive(struct mr_xdp_queue *q, struct rte_mbuf **mbufs_out, uint16_t room)
{
    uint32_t there = produced(&q->rx) - q->rx.at;
    uint64_t bytes = 0;
    uint16_t n = 0;

    if (consumed(&q->tx) != q->tx.at)
        kick(q);
    if (there == 0) {
        poll_device(q);
        there = produced(&q->rx) - q->rx.at;
    }
    if (there == 0)
        return 0;
    there = MR_MIN(there, (uint32_t)room);
    for (uint32_t i = 0; i < there; i++) {
        const struct xdp_desc *desc = desc_at(&q->rx, q->rx.at++);
        struct rte_mbuf *mbuf = copy_in(q, desc);

        *place_at(&q->fill, q->fill.at++) = desc->addr & ~(uint64_t)(q->chunk - 1);
        if (mbuf == NULL)
            continue;
        bytes += mbuf->pkt_len;
        mbufs_out[n++] = mbuf;
    }
    consume(&q->rx);
    produce(&q->fill);
    count(&q->rx_packets, n);
    count(&q->rx_bytes, bytes);
    return n;
}

/* ---- send ---- */

/* Places of frames that the kernel has sent. */
static inline void reclaim(struct mr_xdp_queue *q)
{
    uint32_t end = produced(&q->completion);

    while (q->completion.at != end)
        q->tx_free[q->tx_free_count++] = *place_at(&q->completion, q->completion.at++);
    consume(&q->completion);
}

static inline void copy_out(struct mr_xdp_queue *q, const struct rte_mbuf *mbuf)
{
    struct xdp_desc *desc = desc_at(&q->tx, q->tx.at++);
    uint8_t *to;

    desc->addr = q->tx_free[--q->tx_free_count];
    desc->len = mbuf->pkt_len;
    desc->options = 0;
    to = q->frames + desc->addr;
    for (; mbuf != NULL; mbuf = mbuf->next) {
        memcpy(to, rte_pktmbuf_mtod(mbuf, const void *), mbuf->data_len);
        to += mbuf->data_len;
    }
}

uint16_t mr_xdp_queue_send(struct mr_xdp_queue *q, struct rte_mbuf **mbufs, uint16_t n)
{
    uint64_t bytes = 0;
    uint16_t sent = 0;
    uint16_t i = 0;

    reclaim(q);
    /* There are as many places as the ring has entries: who has a place finds an entry. */
    for (; i < n && q->tx_free_count > 0; i++) {
        if (mbufs[i]->pkt_len > q->frame_max) {
            count(&q->tx_errors, 1);
            continue;
        }
        bytes += mbufs[i]->pkt_len;
        sent++;
        copy_out(q, mbufs[i]);
    }
    if (sent > 0)
        produce(&q->tx);
    kick(q);
    rte_pktmbuf_free_bulk(mbufs, i);
    count(&q->tx_packets, sent);
    count(&q->tx_bytes, bytes);
    return i;
}

/* ---- open ---- */

static bool fail(const struct mr_xdp_queue_config *config, int error, const char *step,
                 struct mr_fault *fault)
{
    mr_fault_set(fault, error, "queue %u of interface %s: cannot %s: %s", config->queue,
                 config->interface, step, strerror(error));
    return false;
}

static uint32_t power_of_two(uint32_t count)
{
    uint32_t power = 64;

    while (power < count && power < MR_XDP_RING_MAX)
        power *= 2;
    return power;
}

static bool make_socket(struct mr_xdp_queue *q, const struct mr_xdp_queue_config *config,
                        struct mr_fault *fault)
{
    q->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (q->fd >= 0)
        return true;
    int error = errno;
    if (error == EAFNOSUPPORT)
        mr_fault_set(fault, error,
                     "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS); take af_packet:%s",
                     config->interface);
    else
        fail(config, error, "open a socket", fault);
    return false;
}

/* The memory of frames: those to receive into first, then those to send from. */
static bool make_frames(struct mr_xdp_queue *q, const struct mr_xdp_queue_config *config,
                        struct mr_fault *fault)
{
    uint32_t count = (q->fill.mask + 1) + (q->tx.mask + 1);
    struct xdp_umem_reg memory = {.chunk_size = q->chunk};

    q->frames_size = (size_t)count * q->chunk;
    void *map = mmap(NULL, q->frames_size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (map == MAP_FAILED)
        return fail(config, errno, "have memory for frames", fault);
    q->frames = map;
    memory.addr = (uintptr_t)map;
    memory.len = q->frames_size;
    if (setsockopt(q->fd, SOL_XDP, XDP_UMEM_REG, &memory, sizeof(memory)) == 0)
        return true;
    int error = errno;
    if (error != ENOBUFS)
        return fail(config, error, "give memory to the kernel", fault);
    mr_fault_set(fault, error,
                 "the kernel may not lock %zu KiB of memory for queue %u: raise the limit (ulimit "
                 "-l; LimitMEMLOCK= of systemd), or run with sudo",
                 q->frames_size >> 10, config->queue);
    return false;
}

/* One of the four rings; `option` is its size's. */
struct ring_kind {
    int option;
    off_t at; /* of the mapping */
    size_t entry_size;
};

static bool map_ring(const struct mr_xdp_queue *q, struct mr_xdp_ring *ring,
                     const struct ring_kind *kind, const struct xdp_ring_offset *offset)
{
    ring->map_size = offset->desc + (ring->mask + 1) * kind->entry_size;
    void *map = mmap(NULL, ring->map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, q->fd,
                     kind->at);
    if (map == MAP_FAILED)
        return false;
    ring->map = map;
    ring->producer = (uint32_t *)(void *)((uint8_t *)map + offset->producer);
    ring->consumer = (uint32_t *)(void *)((uint8_t *)map + offset->consumer);
    ring->flags = (uint32_t *)(void *)((uint8_t *)map + offset->flags);
    ring->entries = (uint8_t *)map + offset->desc;
    return true;
}

static bool make_rings(struct mr_xdp_queue *q, const struct mr_xdp_queue_config *config,
                       struct mr_fault *fault)
{
    static const struct ring_kind kinds[] = {
        {XDP_RX_RING, XDP_PGOFF_RX_RING, sizeof(struct xdp_desc)},
        {XDP_TX_RING, XDP_PGOFF_TX_RING, sizeof(struct xdp_desc)},
        {XDP_UMEM_FILL_RING, (off_t)XDP_UMEM_PGOFF_FILL_RING, sizeof(uint64_t)},
        {XDP_UMEM_COMPLETION_RING, (off_t)XDP_UMEM_PGOFF_COMPLETION_RING, sizeof(uint64_t)},
    };
    struct mr_xdp_ring *rings[] = {&q->rx, &q->tx, &q->fill, &q->completion};
    struct xdp_mmap_offsets offsets;
    socklen_t size = sizeof(offsets);

    for (size_t i = 0; i < MR_COUNT_OF(kinds); i++) {
        uint32_t entries = rings[i]->mask + 1;

        if (setsockopt(q->fd, SOL_XDP, kinds[i].option, &entries, sizeof(entries)) != 0)
            return fail(config, errno, "have a ring", fault);
    }
    if (getsockopt(q->fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) != 0)
        return fail(config, errno, "find its rings", fault);
    const struct xdp_ring_offset *found[] = {&offsets.rx, &offsets.tx, &offsets.fr, &offsets.cr};
    for (size_t i = 0; i < MR_COUNT_OF(kinds); i++) {
        if (!map_ring(q, rings[i], &kinds[i], found[i]))
            return fail(config, errno, "map a ring", fault);
    }
    return true;
}

static bool share_frames(struct mr_xdp_queue *q, const struct mr_xdp_queue_config *config,
                         struct mr_fault *fault)
{
    uint32_t rx = q->fill.mask + 1;
    uint32_t tx = q->tx.mask + 1;

    q->tx_free = calloc(tx, sizeof(*q->tx_free));
    if (q->tx_free == NULL)
        return fail(config, ENOMEM, "have memory", fault);
    for (uint32_t i = 0; i < rx; i++)
        *place_at(&q->fill, q->fill.at++) = (uint64_t)i * q->chunk;
    produce(&q->fill);
    for (uint32_t i = 0; i < tx; i++)
        q->tx_free[q->tx_free_count++] = (uint64_t)(rx + i) * q->chunk;
    return true;
}

static bool bind_socket(struct mr_xdp_queue *q, const struct mr_xdp_queue_config *config,
                        struct mr_fault *fault)
{
    struct sockaddr_xdp address = {.sxdp_family = AF_XDP,
                                   .sxdp_flags = XDP_USE_NEED_WAKEUP,
                                   .sxdp_ifindex = config->index,
                                   .sxdp_queue_id = config->queue};
    struct xdp_options options = {0};
    socklen_t size = sizeof(options);

    if (config->copies == MR_XDP_COPY_ALWAYS)
        address.sxdp_flags |= XDP_COPY;
    if (config->copies == MR_XDP_COPY_NEVER)
        address.sxdp_flags |= XDP_ZEROCOPY;
    if (bind(q->fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        q->is_zero_copy = getsockopt(q->fd, SOL_XDP, XDP_OPTIONS, &options, &size) == 0 &&
                          (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
        return true;
    }
    int error = errno;
    if (error == EBUSY)
        mr_fault_set(fault, error,
                     "queue %u of interface %s has an AF_XDP socket of another "
                     "program: end that, or take another interface",
                     config->queue, config->interface);
    else if (config->copies == MR_XDP_COPY_NEVER)
        mr_fault_set(fault, error,
                     "the driver of interface %s has no zero-copy: %s; leave "
                     "zero-copy=yes out",
                     config->interface, strerror(error));
    else
        fail(config, error, "bind a socket", fault);
    return false;
}

/* Have the kernel poll the device in our calls, and leave its interrupts off meanwhile.  Where it
 * refuses, interrupts bring frames as ever. */
static void ask_for_busy_polling(struct mr_xdp_queue *q, uint32_t budget)
{
    const struct {
        int option;
        int value;
    } wishes[] = {{SO_PREFER_BUSY_POLL, 1},
                  {SO_BUSY_POLL, MR_XDP_BUSY_MICRO},
                  {SO_BUSY_POLL_BUDGET, (int)budget}};

    for (size_t i = 0; i < MR_COUNT_OF(wishes) && budget > 0; i++) {
        if (setsockopt(q->fd, SOL_SOCKET, wishes[i].option, &wishes[i].value,
                       sizeof(wishes[i].value)) == 0)
            continue;
        const int off = 0;

        q->busy_error = errno;
        setsockopt(q->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &off, sizeof(off));
        return;
    }
    q->is_busy_polled = budget > 0;
}

bool mr_xdp_queue_open(struct mr_xdp_queue *q, const struct mr_xdp_queue_config *config,
                       struct mr_fault *fault)
{
    q->chunk = config->frame_max + HEADROOM <= CHUNK_SMALL ? CHUNK_SMALL : CHUNK_LARGE;
    q->frame_max = config->frame_max;
    q->pool = config->pool;
    q->rx.mask = power_of_two(config->rx_count) - 1;
    q->fill.mask = (q->rx.mask + 1) * FILL_FACTOR - 1;
    q->tx.mask = q->completion.mask = power_of_two(config->tx_count) - 1;
    if (!make_socket(q, config, fault))
        return false;
    int room = (int)((q->tx.mask + 1) * q->chunk);
    setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)); /* else fewer at a time */
    if (make_frames(q, config, fault) && make_rings(q, config, fault) &&
        share_frames(q, config, fault) && bind_socket(q, config, fault)) {
        ask_for_busy_polling(q, config->busy_budget);
        return true;
    }
    mr_xdp_queue_close(q);
    return false;
}

void mr_xdp_queue_close(struct mr_xdp_queue *q)
{
    struct mr_xdp_ring *rings[] = {&q->rx, &q->tx, &q->fill, &q->completion};

    for (size_t i = 0; i < MR_COUNT_OF(rings); i++) {
        if (rings[i]->map != NULL)
            munmap(rings[i]->map, rings[i]->map_size);
    }
    if (q->pool != NULL && q->fd >= 0)
        close(q->fd);
    if (q->frames != NULL)
        munmap(q->frames, q->frames_size);
    free(q->tx_free);
    memset(q, 0, sizeof(*q));
}

/* ---- statistics ---- */

static uint64_t value_of(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void mr_xdp_queue_add_stats(const struct mr_xdp_queue *q, struct mr_port_stats *stats)
{
    struct xdp_statistics kernel = {0};
    socklen_t size = sizeof(kernel);

    if (getsockopt(q->fd, SOL_XDP, XDP_STATISTICS, &kernel, &size) == 0)
        stats->rx_missed +=
            kernel.rx_dropped + kernel.rx_ring_full + kernel.rx_fill_ring_empty_descs;
    stats->rx_errors += kernel.rx_invalid_descs;
    stats->rx_packets += value_of(&q->rx_packets);
    stats->rx_bytes += value_of(&q->rx_bytes);
    stats->rx_no_buffer += value_of(&q->rx_no_buffer);
    stats->tx_packets += value_of(&q->tx_packets);
    stats->tx_bytes += value_of(&q->tx_bytes);
    stats->tx_errors += value_of(&q->tx_errors) + kernel.tx_invalid_descs;
}
