/*
 * tests/dpdk/net_host.c - a host on a port: answers ARP, NDP and ping, and sends every UDP datagram
 * back.
 *
 *     net_host SPEC QUEUES POLLING PREFIX...     such as: net_host tap:mr0 1 busy 198.18.0.2/24
 * fd00::2/64
 *
 * Prints "ready" when it polls.  At end of input it prints its counters, one "name value" a line,
 * closes the port and says whether every mbuf came back.  POLLING is busy, or sleep: wait for the
 * port's descriptor when nothing came.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>

#include "base/fault.h"
#include "control/eal.h"
#include "dataplane/net.h"
#include "dataplane/net_build.h"
#include "drivers/mbuf_pool.h"
#include "drivers/port.h"
#include "quic/endpoint.h"

enum {
    POOL = 8191,
    BURST = 32,
    UDP_PORT = 443,
    SLEEP_MS = 100 /* at most: timers run meanwhile */
};

struct host {
    struct rte_mempool *pool;
    struct mr_port *port;
    struct mr_net *net;
    uint16_t queue_count;
    bool sleeps;
    bool is_stopping; /* set by the control thread */
};

static uint64_t now_ns(void)
{
    return (uint64_t)((double)rte_rdtsc() * (1e9 / (double)rte_get_tsc_hz()));
}

static void transmit(struct host *host, uint16_t queue, struct rte_mbuf **mbufs, uint32_t count)
{
    uint16_t sent = mr_port_tx_burst(host->port, queue, mbufs, (uint16_t)count);

    rte_pktmbuf_free_bulk(mbufs + sent, count - sent);
}

/* Turn a datagram round: the payload stays where it is, new headers go in front of it. */
static void turn_round(const struct mr_datagram *in, struct mr_outgoing *out,
                       struct rte_mbuf **mbuf_out)
{
    struct rte_mbuf *mbuf = mr_mbuf_of_buf(in->buf);

    *out =
        (struct mr_outgoing){.data = in->data, .size = in->size, .ecn = in->ecn, .path = in->path};
    mbuf->data_off = (uint16_t)(in->data - (uint8_t *)mbuf->buf_addr);
    *mbuf_out = mbuf;
}

static uint32_t serve(struct host *host, uint16_t queue)
{
    struct rte_mbuf *mbufs[BURST];
    struct mr_datagram in[BURST];
    struct mr_outgoing out[BURST];
    uint64_t now = now_ns();
    uint16_t got = mr_port_rx_burst(host->port, queue, mbufs, BURST);
    uint32_t n = mr_net_receive(host->net, mbufs, got, in, now);

    for (uint32_t i = 0; i < n; i++)
        turn_round(&in[i], &out[i], &mbufs[i]);
    n = mr_net_send(host->net, mbufs, out, n, mbufs, now);
    transmit(host, queue, mbufs, n);
    n = mr_net_output(host->net, mbufs, BURST);
    transmit(host, queue, mbufs, n);
    mr_net_expire(host->net, now);
    return got;
}

static void sleep_until_frames(const struct host *host)
{
    struct pollfd fds[MR_PORT_QUEUES_MAX];

    for (uint16_t q = 0; q < host->queue_count; q++)
        fds[q] = (struct pollfd){.fd = mr_port_rx_fd(host->port, q), .events = POLLIN};
    poll(fds, host->queue_count, SLEEP_MS);
}

static int run(void *argument)
{
    struct host *host = argument;

    while (!__atomic_load_n(&host->is_stopping, __ATOMIC_RELAXED)) {
        uint32_t work = 0;

        for (uint16_t q = 0; q < host->queue_count; q++)
            work += serve(host, q);
        if (work == 0 && host->sleeps)
            sleep_until_frames(host);
    }
    return 0;
}

static void print_counters(const struct host *host)
{
    const struct mr_net_counters *c = mr_net_counters(host->net);

#define X(name, help) printf("%s %" PRIu64 "\n", #name, c->name);
    MR_NET_COUNTERS(X)
#undef X
}

static int fail(const struct mr_fault *fault)
{
    fprintf(stderr, "net_host: %s\n", fault->text);
    return 1;
}

static bool open_port(struct host *host, const char *spec, struct mr_fault *fault)
{
    struct rte_mempool *pools[MR_PORT_QUEUES_MAX];
    struct mr_mbuf_pool_config pool = {.name = "host", .count = POOL, .numa_node = SOCKET_ID_ANY};

    host->pool = mr_mbuf_pool_create(&pool, fault);
    if (host->pool == NULL)
        return false;
    for (uint16_t q = 0; q < MR_PORT_QUEUES_MAX; q++)
        pools[q] = host->pool;
    struct mr_port_config config = {.spec = spec,
                                    .rx_pools = pools,
                                    .queue_count = host->queue_count,
                                    .wants_rx_fd = host->sleeps};
    host->port = mr_port_open(&config, fault);
    return host->port != NULL;
}

/* Of a port that has to be told: all addresses are our own. */
static bool admit(struct host *host, const struct mr_net_self *self, struct mr_fault *fault)
{
    static struct mr_port_admission admission;

    for (uint32_t i = 0; i < self->address_count; i++)
        memcpy(admission.address[admission.address_count++].ip, self->address[i].ip.bytes, 16);
    admission.open_ports[UDP_PORT / 64] |= UINT64_C(1) << UDP_PORT % 64;
    return mr_port_admit(host->port, &admission, fault) == 0;
}

static bool open_net(struct host *host, char **prefixes, int count, struct mr_fault *fault)
{
    struct mr_net_config config = mr_net_config_default();

    for (int i = 0; i < count && i < MR_NET_ADDRESSES_MAX; i++)
        if (!mr_prefix_parse(prefixes[i], &config.self.address[config.self.address_count++])) {
            mr_fault_set(fault, 0, "malformed address %s", prefixes[i]);
            return false;
        }
    config.port = &host->port->traits;
    config.pool = host->pool;
    config.detects_duplicates = true;
    void *mem = aligned_alloc(MR_CACHE_LINE,
                              RTE_ALIGN_CEIL(mr_net_footprint(&config), (size_t)MR_CACHE_LINE));
    if (mem == NULL)
        return false;
    host->net = mr_net_init(mem, &config, now_ns());
    mr_net_open_port(host->net, UDP_PORT);
    return admit(host, &config.self, fault);
}

int main(int argc, char **argv)
{
    struct mr_eal_config eal = {.worker_count = 1, .memory_mb = 128, .shares_cores = true};
    struct mr_fault fault = {0};
    struct host host = {0};

    if (argc < 5) {
        fprintf(stderr, "usage: net_host SPEC QUEUES busy|sleep PREFIX...\n");
        return 2;
    }
    host.queue_count = (uint16_t)atoi(argv[2]);
    host.sleeps = strcmp(argv[3], "sleep") == 0;
    if (!mr_eal_start(&eal, &fault) || !open_port(&host, argv[1], &fault) ||
        !open_net(&host, argv + 4, argc - 4, &fault))
        return fail(&fault);

    mr_eal_launch(0, run, &host);
    printf("ready\n");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    __atomic_store_n(&host.is_stopping, true, __ATOMIC_RELAXED);
    mr_eal_join(0);
    print_counters(&host);
    mr_net_fini(host.net);
    free(host.net);
    mr_port_close(host.port);
    printf("mbufs_missing %u\n", POOL - rte_mempool_avail_count(host.pool));
    mr_eal_stop();
    return 0;
}
