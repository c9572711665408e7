/*
 * drivers/mbuf_pool.h - pools of packet buffers, each with a counted reference beside it.
 *
 *     | struct rte_mbuf | struct mr_mbuf_private | headroom | data ...           |
 *       128 bytes         64                       128        as asked, >= 2,048
 *
 * A pool is a stack unless asked otherwise: the buffer freed last is used next, so that the pool's
 * size does not matter to the caches (measured: a FIFO of 16,384 costs 75-120 ns more per packet
 * than one of 2,048).
 *
 * Owner: the control thread makes and frees pools.  Threads: any may take and free mbufs.
 */
#ifndef MR_DRIVERS_MBUF_POOL_H
#define MR_DRIVERS_MBUF_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_mbuf.h>

#include "base/buf.h"
#include "base/compiler.h"

struct mr_fault;

#define MR_MBUF_CACHE                                                                              \
    64 /* mbufs that an lcore keeps for itself, when the configuration says so                     \
        */
#define MR_MBUF_FRAME_MAX 16000 /* bytes of the largest frame */

struct mr_mbuf_pool_config {
    const char *name;   /* unique in the process, at most 25 characters */
    uint32_t count;     /* mbufs */
    uint32_t frame_max; /* bytes of the largest frame, <= MR_MBUF_FRAME_MAX; 0: 1,518 */
    bool is_fifo;       /* ring instead of stack */
    bool has_cache;     /* MR_MBUF_CACHE mbufs per lcore */
    int numa_node;      /* SOCKET_ID_ANY: any */
};

/* What lies between an mbuf and its headroom. */
struct mr_mbuf_private {
    struct mr_buf buf;    /* the engine's; undefined in a fresh mbuf */
    uint64_t wire_due_ns; /* a wire's: when to deliver */
} MR_ALIGNED(MR_CACHE_LINE);

_Static_assert(sizeof(struct mr_mbuf_private) == MR_CACHE_LINE, "data begins on a cache line");

/* Make a pool, or set `fault` (not enough memory, name taken) and return NULL. */
struct rte_mempool *mr_mbuf_pool_create(const struct mr_mbuf_pool_config *config,
                                        struct mr_fault *fault);

/* Free a pool of the above.  Returns how many of its mbufs had not come back.  NULL is allowed. */
uint32_t mr_mbuf_pool_free(struct rte_mempool *pool);

/* Where its memory lies: piece by piece. */
typedef void (*mr_mbuf_pool_visitor)(void *argument, void *memory, size_t size);
void mr_mbuf_pool_visit(struct rte_mempool *pool, mr_mbuf_pool_visitor visitor, void *argument);

/* Bytes of memory that `count` mbufs for frames of `frame_max` bytes take. */
size_t mr_mbuf_pool_footprint(uint32_t count, uint32_t frame_max);

/* What lies beside `mbuf`, which must come from such a pool. */
MR_INLINE struct mr_mbuf_private *mr_mbuf_private(struct rte_mbuf *mbuf)
{
    return (struct mr_mbuf_private *)(mbuf + 1);
}

MR_INLINE struct mr_buf *mr_buf_of_mbuf(struct rte_mbuf *mbuf)
{
    return &mr_mbuf_private(mbuf)->buf;
}

/* The mbuf that `buf` lies beside. */
MR_INLINE struct rte_mbuf *mr_mbuf_of_buf(struct mr_buf *buf)
{
    return (struct rte_mbuf *)buf - 1;
}

/* Where a frame of `mbuf`, fresh from such a pool, begins, behind the headroom: rte_pktmbuf_mtod()
 * without reading the mbuf. */
MR_INLINE uint8_t *mr_mbuf_data(struct rte_mbuf *mbuf)
{
    return (uint8_t *)(mr_mbuf_private(mbuf) + 1) + RTE_PKTMBUF_HEADROOM;
}

/*
 * Take `count` mbufs of such a pool to write frames into: rte_pktmbuf_alloc_bulk(), but nothing of
 * them is read, and their second line is left alone: `next` is NULL in a pool, and `tx_offload`
 * counts only with flags whose setter fills it in.  Who freed them may have had another core, and
 * each line of theirs is fetched from there.  0; -ENOENT: there are not so many, none is taken.
 */
MR_INLINE int mr_mbuf_take(struct rte_mempool *pool, struct rte_mbuf **mbufs, uint32_t count)
{
    const struct rte_mbuf fresh = {
        .data_off = RTE_PKTMBUF_HEADROOM, .refcnt = 1, .nb_segs = 1, .port = RTE_MBUF_PORT_INVALID};
    int result = rte_mempool_get_bulk(pool, (void **)mbufs, count);

    for (uint32_t i = 0; result == 0 && i < count; i++) {
        struct rte_mbuf *mbuf = mbufs[i];

        memcpy(mbuf->rearm_data, fresh.rearm_data, sizeof(uint64_t)); /* the four above */
        mbuf->ol_flags = 0;
        memset(mbuf->rx_descriptor_fields1, 0, 2 * sizeof(uint64_t)); /* type, lengths, VLAN */
    }
    return result;
}

/* Copy a frame, what is known of it included, into an mbuf of `pool`; NULL: none is free, or it is
 * too small. */
struct rte_mbuf *mr_mbuf_copy_frame(struct rte_mempool *pool, const struct rte_mbuf *from);

#endif /* MR_DRIVERS_MBUF_POOL_H */
