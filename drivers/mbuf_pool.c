/* drivers/mbuf_pool.c - see mbuf_pool.h. */
#include "drivers/mbuf_pool.h"

#include <string.h>

#include <errno.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_malloc.h>
#include <rte_mempool.h>

#include "base/fault.h"

#define PAGE     4096u /* bytes: a buffer does not cross the border of an ordinary page */
#define ROOM_MIN 2048  /* bytes: what PMDs ask for without scattering */

static uint16_t data_room(uint32_t frame_max)
{
    uint32_t room = MR_MAX(frame_max, (uint32_t)ROOM_MIN);

    return (uint16_t)(RTE_PKTMBUF_HEADROOM + RTE_ALIGN_CEIL(room, (uint32_t)MR_CACHE_LINE));
}

uint32_t mr_mbuf_pool_free(struct rte_mempool *pool)
{
    if (pool == NULL)
        return 0;
    uint32_t missing = rte_mempool_in_use_count(pool);

    rte_mempool_free(pool);
    return missing;
}

struct visit {
    mr_mbuf_pool_visitor visitor;
    void *argument;
};

static void visit_piece(struct rte_mempool *pool, void *opaque, struct rte_mempool_memhdr *piece,
                        unsigned index)
{
    const struct visit *visit = opaque;

    (void)pool;
    (void)index;
    visit->visitor(visit->argument, piece->addr, piece->len);
}

void mr_mbuf_pool_visit(struct rte_mempool *pool, mr_mbuf_pool_visitor visitor, void *argument)
{
    struct visit visit = {.visitor = visitor, .argument = argument};

    rte_mempool_mem_iter(pool, visit_piece, &visit);
}

/* Bytes of `count` objects, of which none lies in two pages of `page` bytes; 0: in huge pages. */
static size_t footprint(uint32_t count, uint32_t frame_max, uint32_t page)
{
    struct rte_mempool_objsz sizes;
    uint32_t object =
        (uint32_t)(sizeof(struct rte_mbuf) + sizeof(struct mr_mbuf_private)) + data_room(frame_max);
    uint32_t size = rte_mempool_calc_obj_size(object, 0, &sizes);

    if (page == 0)
        return (size_t)size * count;
    if (size > page)
        return (size_t)RTE_ALIGN_CEIL(size, page) * count;
    return (size_t)page * ((count + page / size - 1) / (page / size));
}

size_t mr_mbuf_pool_footprint(uint32_t count, uint32_t frame_max)
{
    return footprint(count, frame_max, PAGE);
}

static void say_why(const struct mr_mbuf_pool_config *config, struct mr_fault *fault)
{
    uint32_t page = rte_eal_has_hugepages() ? 0 : PAGE;
    size_t need_mb = (footprint(config->count, config->frame_max, page) >> 20) + 1;
    struct rte_malloc_socket_stats heap = {0};

    rte_malloc_get_socket_stats(config->numa_node < 0 ? 0 : config->numa_node, &heap);
    switch (rte_errno) {
    case ENOMEM:
    case ENOBUFS: /* room for some of them */
        mr_fault_set(fault, ENOMEM,
                     "not enough memory for %u packet buffers: they need %zu MB, DPDK has %zu MB "
                     "left, %zu MB "
                     "of them in one piece; give it more memory, or use fewer buffers",
                     config->count, need_mb, heap.heap_freesz_bytes >> 20,
                     heap.greatest_free_size >> 20);
        break;
    case EEXIST:
        mr_fault_set(fault, EEXIST, "a pool of packet buffers named %s exists already",
                     config->name);
        break;
    default:
        mr_fault_set(fault, rte_errno, "cannot make %u packet buffers: %s", config->count,
                     rte_strerror(rte_errno));
    }
}

struct rte_mempool *mr_mbuf_pool_create(const struct mr_mbuf_pool_config *config,
                                        struct mr_fault *fault)
{
    if (config->count == 0 || config->frame_max > MR_MBUF_FRAME_MAX) {
        mr_fault_set(fault, EINVAL,
                     "a pool holds at least one buffer, of frames of at most %d bytes",
                     MR_MBUF_FRAME_MAX);
        return NULL;
    }

    struct rte_mempool *pool = rte_pktmbuf_pool_create_by_ops(
        config->name, config->count, config->has_cache ? MR_MBUF_CACHE : 0,
        sizeof(struct mr_mbuf_private), data_room(config->frame_max), config->numa_node,
        config->is_fifo ? "ring_mp_mc" : "stack");

    if (pool == NULL)
        say_why(config, fault);
    return pool;
}

/* ---- copies ---- */

struct rte_mbuf *mr_mbuf_copy_frame(struct rte_mempool *pool, const struct rte_mbuf *from)
{
    struct rte_mbuf *to = rte_pktmbuf_alloc(pool);

    if (to == NULL || rte_pktmbuf_tailroom(to) < from->pkt_len) {
        rte_pktmbuf_free(to);
        return NULL;
    }

    uint8_t *data = rte_pktmbuf_mtod(to, uint8_t *);
    const void *bytes = rte_pktmbuf_read(from, 0, from->pkt_len, data);
    if (bytes != data)
        memcpy(data, bytes, from->pkt_len);
    to->data_len = (uint16_t)from->pkt_len;
    to->pkt_len = from->pkt_len;
    to->ol_flags = from->ol_flags;
    to->hash.rss = from->hash.rss;
    return to;
}
