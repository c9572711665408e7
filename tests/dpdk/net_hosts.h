/*
 * tests/dpdk/net_hosts.h - two hosts of ours on a wire, for tests of dataplane/net.h.
 *
 *     host 0: 198.18.0.1, fd00::1, port 40000 ==wire== host 1: 198.18.0.2, fd00::2, port 443
 *
 * Owner: the test.  Threads: the test's.
 */
#ifndef MR_TESTS_DPDK_NET_HOSTS_H
#define MR_TESTS_DPDK_NET_HOSTS_H

#include <stdlib.h>

#include <rte_mempool.h>

#include "base/bytes.h"
#include "dataplane/net.h"
#include "drivers/wire.h"
#include "quic/endpoint.h"
#include "tests/dpdk/dpdk_harness.h"
#include "tests/unit/net_frames.h"

enum {
    POOL = 1023,
    PAYLOAD = 1200
};

#define SECOND UINT64_C(1000000000)

struct host {
    struct mr_net *net;
    struct mr_port *port;
    void *mem;
};

struct fixture {
    struct mr_wire_config wire;
    struct mr_net_config config[2];
    struct rte_mempool *pool;
    struct host host[2];
    uint64_t now;
};

static inline struct mr_ip ip_of(const char *text)
{
    struct mr_ip ip = {0};

    CU_ASSERT_FATAL(mr_ip_parse(text, &ip));
    return ip;
}

static inline struct mr_net_config config_of(int side)
{
    struct mr_net_config config = mr_net_config_default();

    config.self.address_count = 2;
    CU_ASSERT_FATAL(
        mr_prefix_parse(side == 0 ? "198.18.0.1/24" : "198.18.0.2/24", &config.self.address[0]));
    CU_ASSERT_FATAL(
        mr_prefix_parse(side == 0 ? "fd00::1/64" : "fd00::2/64", &config.self.address[1]));
    return config;
}

static inline void host_open(struct fixture *f, int side)
{
    struct host *host = &f->host[side];

    f->config[side].port = &host->port->traits;
    f->config[side].pool = f->pool;
    host->mem = aligned_alloc(64, (mr_net_footprint(&f->config[side]) + 63) & ~(size_t)63);
    CU_ASSERT_PTR_NOT_NULL_FATAL(host->mem);
    host->net = mr_net_init(host->mem, &f->config[side], f->now);
    mr_net_open_port(host->net, side == 0 ? 40000 : 443);
}

static inline struct fixture prepared(void)
{
    struct fixture f = {.now = 1};

    f.config[0] = config_of(0);
    f.config[1] = config_of(1);
    return f;
}

static inline void begin(struct fixture *f)
{
    static struct rte_mempool *pool;
    struct mr_port *ends[2];
    struct mr_fault fault = {0};

    if (pool == NULL)
        pool = dpdk_pool("net", POOL);
    f->pool = pool;
    f->wire.side[0].queue_count = 1;
    f->wire.side[1].queue_count = 1;
    CU_ASSERT_FATAL(mr_wire_open(&f->wire, ends, &fault));
    for (int side = 0; side < 2; side++) {
        f->host[side].port = ends[side];
        host_open(f, side);
    }
}

/* Every mbuf is back in its pool. */
static inline void end(struct fixture *f)
{
    for (int side = 0; side < 2; side++) {
        mr_net_fini(f->host[side].net);
        mr_port_close(f->host[side].port);
        free(f->host[side].mem);
    }
    CU_ASSERT_EQUAL(rte_mempool_avail_count(f->pool), POOL);
}

static inline struct mr_path_addr path_to(bool is_v4, int from)
{
    struct mr_path_addr path = {.local.port = from == 0 ? 40000 : 443,
                                .remote.port = from == 0 ? 443 : 40000};
    struct mr_ip one = ip_of(is_v4 ? "198.18.0.1" : "fd00::1");
    struct mr_ip two = ip_of(is_v4 ? "198.18.0.2" : "fd00::2");

    memcpy(path.local.ip, from == 0 ? one.bytes : two.bytes, 16);
    memcpy(path.remote.ip, from == 0 ? two.bytes : one.bytes, 16);
    return path;
}

/* Send one datagram whose bytes are `fill` from host `from`; how many frames went to the port. */
static inline uint32_t send_on(struct fixture *f, int from, const struct mr_path_addr *path,
                               uint8_t fill, uint8_t ecn)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(f->pool);

    CU_ASSERT_PTR_NOT_NULL_FATAL(mbuf);
    struct mr_outgoing outgoing = {
        .data = rte_pktmbuf_mtod(mbuf, uint8_t *), .size = PAYLOAD, .ecn = ecn, .path = *path};
    memset(outgoing.data, fill, PAYLOAD);
    uint32_t n = mr_net_send(f->host[from].net, &mbuf, &outgoing, 1, &mbuf, f->now);
    if (n > 0)
        CU_ASSERT_EQUAL(mr_port_tx_burst(f->host[from].port, 0, &mbuf, 1), 1);
    return n;
}

/* Flush a host's own packets to its port. */
static inline uint32_t flush(struct fixture *f, int side)
{
    struct rte_mbuf *mbufs[64];
    uint32_t n = mr_net_output(f->host[side].net, mbufs, 64);

    CU_ASSERT_EQUAL(mr_port_tx_burst(f->host[side].port, 0, mbufs, (uint16_t)n), n);
    return n;
}

/* Receive what is there; the datagrams' mbufs are freed at once, their description stays in `out`.
 */
static inline uint32_t receive(struct fixture *f, int side, struct mr_datagram *out)
{
    struct rte_mbuf *mbufs[64];
    uint16_t got = mr_port_rx_burst(f->host[side].port, 0, mbufs, 64);
    uint32_t n = mr_net_receive(f->host[side].net, mbufs, got, out, f->now);

    for (uint32_t i = 0; i < n; i++)
        rte_pktmbuf_free(mr_mbuf_of_buf(out[i].buf));
    return n;
}

static const struct mr_net_counters *counters(const struct fixture *f, int side)
{
    return mr_net_counters(f->host[side].net);
}

/* Give a frame to host 1; true if a datagram came of it. */
static inline bool inject(struct fixture *f, const struct test_frame *frame)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(f->pool);
    struct mr_datagram out;

    CU_ASSERT_PTR_NOT_NULL_FATAL(mbuf);
    memcpy(rte_pktmbuf_append(mbuf, (uint16_t)frame->size), frame->bytes, frame->size);
    uint32_t n = mr_net_receive(f->host[1].net, &mbuf, 1, &out, f->now);
    if (n > 0)
        rte_pktmbuf_free(mr_mbuf_of_buf(out.buf));
    return n > 0;
}

#endif /* MR_TESTS_DPDK_NET_HOSTS_H */
