/* control/group.c - see group.h. */
#include "control/group.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "control/eal.h"
#include "control/topology.h"
#include "dataplane/clock.h"
#include "drivers/mbuf_pool.h"

#define RX_MBUFS       4096
#define LINK_NS        (3 * MR_SECOND) /* that a card's link may take to come up at first */
#define CLOCK_APART_NS 50000000L /* between two looks at a port's clock, for its rate at first */
#define IP_HEADERS     48u       /* IPv6 and UDP */
#define FRAME_HEADERS  80        /* Ethernet, VLAN, IPv6, UDP and some */
#define SMALL_ROOM     1600u     /* bytes of a receive buffer, at least */
#define LARGE_ROOM     12288u    /* what a packet socket asks for above 1,500 bytes of MTU */

/* ------------------------------------------------------------------ NUMA */

static uint32_t queues_of(const struct mr_group *g)
{
    return mr_group_queues(g->config.shard_count, g->config.io_lcores);
}

/* Ordinary pages are where whoever first touched them ran. */
static void bind_piece(void *node, void *memory, size_t size)
{
    (void)mr_topology_bind(memory, size, *(const int32_t *)node);
}

static void note_piece(void *node, void *memory, size_t size)
{
    (void)size;
    *(int32_t *)node = mr_topology_node_of_memory(memory);
}

/* The node of the CPU that worker `index` of the group has. */
static int32_t node_of(const struct mr_group *g, uint32_t index)
{
    return mr_topology_node_of_cpu(mr_eal_info()->worker_cpu[g->config.first_worker + index]);
}

/* Queues are the I/O lcores' where there are some, else the shards'. */
static void find_nodes(const struct mr_group *g, int32_t nodes_out[MR_SHARDS_MAX])
{
    uint32_t first = g->config.io_lcores > 0 ? g->config.shard_count : 0;

    for (uint32_t i = 0; i < queues_of(g); i++)
        nodes_out[i] = node_of(g, first + i);
}

/* What is on another node than wanted is slower, not wrong. */
static void say_where(const struct mr_group *g, uint32_t index)
{
    char text[MR_TOPOLOGY_TEXT];
    struct mr_topology_shard shard = {
        .shard = index,
        .cpu = mr_eal_info()->worker_cpu[g->config.first_worker + index],
        .cpu_node = node_of(g, index),
        .memory_node = mr_topology_node_of_memory(g->shards[index]),
        .buffer_node = MR_NODE_UNKNOWN,
        .card_node = g->config.io_lcores > 0 ? MR_NODE_UNKNOWN : mr_port_node(g->device)};

    mr_mbuf_pool_visit(g->tx_pools[index], note_piece, &shard.buffer_node);
    if (mr_topology_complain(&shard, text))
        mr_log(MR_LOG_WARN, "port %s: %s", g->device->spec, text);
}

/* ------------------------------------------------------------------ pools */

/* On `node` if it has memory for it, else anywhere. */
static struct rte_mempool *make_pool(const struct mr_mbuf_pool_config *like, const char *kind,
                                     uint32_t index, int32_t node, struct mr_fault *fault)
{
    struct mr_mbuf_pool_config config = *like;
    char text[26];

    snprintf(text, sizeof(text), "%s-%s%u", like->name, kind, index);
    config.name = text;
    config.has_cache = true;
    config.numa_node = node;
    struct rte_mempool *pool = mr_mbuf_pool_create(&config, fault);
    if (pool == NULL && node != MR_NODE_UNKNOWN) {
        config.numa_node = SOCKET_ID_ANY;
        pool = mr_mbuf_pool_create(&config, fault);
    }
    if (pool != NULL && node != MR_NODE_UNKNOWN && !mr_eal_info()->has_hugepages)
        mr_mbuf_pool_visit(pool, bind_piece, &node);
    return pool;
}

bool mr_group_make_rx_pools(const char *name, uint32_t shard_count, uint32_t count,
                            uint32_t frame_max, const int32_t *nodes,
                            struct rte_mempool **pools_out, struct mr_fault *fault)
{
    const struct mr_mbuf_pool_config like = {
        .name = name, .count = count == 0 ? RX_MBUFS : count, .frame_max = frame_max};

    for (uint32_t i = 0; i < shard_count; i++) {
        pools_out[i] = make_pool(&like, "rx", i, nodes != NULL ? nodes[i] : MR_NODE_UNKNOWN, fault);
        if (pools_out[i] == NULL)
            return false;
    }
    return true;
}

uint32_t mr_group_queues(uint32_t shard_count, uint32_t io_lcores)
{
    return io_lcores > 0 ? io_lcores : shard_count;
}

uint32_t mr_group_workers(uint32_t shard_count, uint32_t io_lcores)
{
    return shard_count + io_lcores;
}

/* Shards hold what a queue received: all of them together the same, however many queues. */
static uint32_t rx_mbufs_of_queue(const struct mr_group_config *config)
{
    uint32_t of_shard = config->rx_mbufs == 0 ? RX_MBUFS : config->rx_mbufs;

    return of_shard *
           MR_MAX(config->shard_count / mr_group_queues(config->shard_count, config->io_lcores),
                  1u);
}

static bool make_pools(struct mr_group *g, struct mr_fault *fault)
{
    const struct mr_group_config *config = &g->config;
    uint32_t frame_max = config->shard.payload_max + FRAME_HEADERS;
    const struct mr_mbuf_pool_config tx = {.name = config->name,
                                           .count = config->tx_mbufs == 0 ? MR_SHARD_POOL_MBUFS
                                                                          : config->tx_mbufs,
                                           .frame_max = frame_max};
    int32_t nodes[MR_SHARDS_MAX];

    find_nodes(g, nodes);

    for (uint32_t i = 0; i < queues_of(g) && config->rx_pools != NULL; i++)
        g->rx_pools[i] = config->rx_pools[i];
    if (config->spec != NULL && config->rx_pools == NULL &&
        !mr_group_make_rx_pools(
            config->name, queues_of(g), rx_mbufs_of_queue(config),
            MR_MAX(frame_max, config->mtu > MR_PORT_MTU ? LARGE_ROOM : SMALL_ROOM), nodes,
            g->rx_pools, fault))
        return false;
    for (uint32_t i = 0; i < config->shard_count; i++) {
        g->tx_pools[i] = make_pool(&tx, "tx", i, node_of(g, i), fault);
        if (g->tx_pools[i] == NULL)
            return false;
    }
    return true;
}

static bool open_port(struct mr_group *g, struct mr_fault *fault)
{
    struct mr_clock clock = mr_clock_init();
    int32_t nodes[MR_SHARDS_MAX];

    find_nodes(g, nodes);
    if (g->config.spec != NULL)
        g->port = mr_port_open(&(struct mr_port_config){.spec = g->config.spec,
                                                        .rx_pools = g->rx_pools,
                                                        .queue_nodes = nodes,
                                                        .mtu = g->config.mtu,
                                                        .queue_count = (uint16_t)queues_of(g)},
                               fault);
    if (g->port == NULL)
        return false;
    g->device = g->port;
    g->link.watch = mr_port_watch_of(g->port);
    g->link.look_ns = mr_clock_now(&clock) + LINK_NS;
    return true;
}

/* Where packets leave at a time: learn how the port's clock goes. */
static bool begin_launch(struct mr_group *g, struct mr_fault *fault)
{
    const struct timespec apart = {.tv_nsec = CLOCK_APART_NS};
    struct mr_clock clock = mr_clock_init();
    struct mr_launch_moment moments[2];

    if (g->device->traits.launch_flag == 0)
        return true;
    int error = mr_launch_read(g->device, &clock, &moments[0]);
    nanosleep(&apart, NULL);
    if (error == 0)
        error = mr_launch_read(g->device, &clock, &moments[1]);
    if (error == 0 && !mr_launch_clock_init(&g->launch, &moments[0], &moments[1]))
        error = -EIO;
    if (error != 0)
        mr_fault_set(fault, -error, "port %s: its clock cannot be read: %s; leave launch=yes out",
                     g->device->spec, strerror(-error));
    return error == 0;
}

/* Where each shard has a queue of its own, and what it issues can be read. */
static void try_cid_rules(struct mr_group *g)
{
    const struct mr_group_config *config = &g->config;

    if (config->has_cid_rules && config->io_lcores == 0 && config->shard_count > 1 &&
        !config->shard.endpoint.cid.is_encrypted)
        mr_cid_rules_try(&g->cid_rules, g->device, &config->shard.endpoint.cid,
                         config->shard_count);
}

/* Put I/O lcores between the port and the shards. */
static bool add_io_lcores(struct mr_group *g, struct mr_fault *fault)
{
    const struct mr_io_port_config io = {.port = g->port,
                                         .shard_count = g->config.shard_count,
                                         .cid = g->config.shard.endpoint.cid,
                                         .polling = g->config.shard.polling};

    if (g->config.io_lcores == 0)
        return true;
    g->io_port = mr_io_port_open(&io, fault);
    if (g->io_port != NULL)
        g->port = g->io_port;
    return g->io_port != NULL;
}

/* Datagrams fit the port. */
static bool fit_payload(struct mr_group *g, struct mr_fault *fault)
{
    struct mr_shard_config *shard = &g->config.shard;
    uint32_t mtu = g->port->traits.mtu;

    if (mtu < MR_INITIAL_MIN + IP_HEADERS) {
        mr_fault_set(fault, EMSGSIZE,
                     "port %s: its MTU is %u bytes, QUIC needs %u; raise it, for example with `ip "
                     "link set IFACE mtu 1500`",
                     g->port->spec, mtu, MR_INITIAL_MIN + IP_HEADERS);
        return false;
    }
    shard->payload_max = MR_MIN(shard->payload_max, mtu - IP_HEADERS);
    shard->endpoint.payload_max = MR_MIN(shard->endpoint.payload_max, mtu - IP_HEADERS);
    return true;
}

/* Shards of a client use ports of their own, so that answers come back to where they belong; an
 * answer that does not is still passed on.  False: there are not so many. */
static bool divide_ports(struct mr_shard_config *shard, uint32_t shards, struct mr_fault *fault)
{
    if (shard->endpoint.server != NULL)
        return true;
    if (shard->local_port > mr_client_ports_first_max(shards)) {
        mr_fault_set(
            fault, EINVAL,
            "UDP port %u: %u shards of a client need %u ports from there on; choose one up "
            "to %u",
            shard->local_port, shards, shards * MR_CLIENT_PORTS_EACH,
            mr_client_ports_first_max(shards));
        return false;
    }
    shard->client_ports =
        (struct mr_client_ports){.first = shard->local_port,
                                 .count = (uint16_t)(shards * MR_CLIENT_PORTS_EACH),
                                 .step = (uint16_t)shards,
                                 .index = (uint16_t)shard->index};
    shard->local_port = (uint16_t)(shard->local_port + shard->index);
    return true;
}

static bool make_shard(struct mr_group *g, uint32_t i, struct mr_fault *fault)
{
    struct mr_shard_config shard = g->config.shard;

    shard.index = i;
    shard.port = g->port;
    shard.queue = (uint16_t)i;
    shard.send_pool = g->tx_pools[i];
    shard.application = &g->config.applications[i];
    if (g->config.move_hooks != NULL)
        shard.move_hooks = &g->config.move_hooks[i];
    shard.launch_clock = g->device->traits.launch_flag != 0 ? &g->launch : NULL;
    shard.redirects = g->redirects;
    shard.moves = g->moves;
    shard.work_index = g->config.work_first + i;
    shard.net.detects_duplicates = shard.net.detects_duplicates && i == 0;
    shard.endpoint.seed[3] += i;
    shard.endpoint.shards = g->config.shard_count;
    if (!divide_ports(&shard, g->config.shard_count, fault))
        return false;
    mr_admission_open(&g->admission, &shard);
    g->shards[i] = mr_shard_make(&shard, fault);
    if (g->shards[i] == NULL)
        return false;
    uint16_t cpu = mr_eal_info()->worker_cpu[g->config.first_worker + i];
    (void)mr_topology_bind(g->shards[i], mr_shard_footprint(g->shards[i]),
                           mr_topology_node_of_cpu(cpu)); /* wanted, not needed */
    say_where(g, i);
    return true;
}

/* What the kernel has as well is known before the shards' network layers are made. */
static bool begin_admission(struct mr_group *g, struct mr_fault *fault)
{
    return !g->device->traits.takes_admitted ||
           mr_admission_begin(&g->admission, &g->config.shard.net.self, fault);
}

static bool admit(struct mr_group *g, struct mr_fault *fault)
{
    return !g->device->traits.takes_admitted || mr_port_admit(g->device, &g->admission, fault) == 0;
}

/* May connections of any of the applications move? */
static bool has_moves(const struct mr_group_config *config)
{
    for (uint32_t i = 0; i < config->shard_count; i++) {
        if (config->applications[i].on_move != NULL)
            return true;
    }
    return config->move_hooks != NULL;
}

bool mr_group_make(struct mr_group *g, const struct mr_group_config *config, struct mr_fault *fault)
{
    memset(g, 0, sizeof(*g));
    g->config = *config;
    g->port = config->port;
    if (!make_pools(g, fault) || !open_port(g, fault) || !fit_payload(g, fault) ||
        !begin_launch(g, fault) || !begin_admission(g, fault) || !add_io_lcores(g, fault)) {
        mr_group_free(g, NULL);
        return false;
    }
    if (config->shard_count > 1 &&
        (g->redirects = mr_redirects_make(config->shard_count, fault)) == NULL) {
        mr_group_free(g, NULL);
        return false;
    }
    if (config->shard_count > 1 && has_moves(config) &&
        (g->moves = mr_moves_make(config->shard_count, fault)) == NULL) {
        mr_group_free(g, NULL);
        return false;
    }
    for (uint32_t i = 0; i < config->shard_count; i++) {
        if (!make_shard(g, i, fault)) {
            mr_group_free(g, NULL);
            return false;
        }
    }
    if (!admit(g, fault)) {
        mr_group_free(g, NULL);
        return false;
    }
    try_cid_rules(g);
    return true;
}

void mr_group_launch(struct mr_group *g)
{
    for (uint32_t i = 0; i < g->config.shard_count; i++)
        mr_eal_launch(g->config.first_worker + i, mr_shard_main, g->shards[i]);
    for (uint32_t k = 0; k < g->config.io_lcores; k++)
        mr_eal_launch(g->config.first_worker + g->config.shard_count + k, mr_io_lane_main,
                      mr_io_port_lane(g->io_port, k));
    g->is_launched = true;
}

void mr_group_drain(struct mr_group *g)
{
    for (uint32_t i = 0; i < g->config.shard_count; i++)
        mr_shard_drain(g->shards[i]);
}

void mr_group_stop(struct mr_group *g, uint64_t patience_ns)
{
    for (uint32_t i = 0; i < g->config.shard_count; i++)
        mr_shard_stop(g->shards[i], patience_ns);
}

void mr_group_join(struct mr_group *g)
{
    if (!g->is_launched)
        return;
    for (uint32_t i = 0; i < g->config.shard_count; i++)
        mr_eal_join(g->config.first_worker + i);
    if (g->io_port != NULL)
        mr_io_port_stop(g->io_port);
    for (uint32_t k = 0; k < g->config.io_lcores; k++)
        mr_eal_join(g->config.first_worker + g->config.shard_count + k);
    g->is_launched = false;
}

void mr_group_close(struct mr_group *g)
{
    mr_group_join(g);
    for (uint32_t i = 0; i < g->config.shard_count; i++) {
        mr_shard_free(g->shards[i]);
        g->shards[i] = NULL;
    }
    mr_redirects_free(g->redirects);
    mr_moves_free(g->moves);
    if (g->device != NULL)
        mr_port_rules_drop(g->device, &g->cid_rules.rules);
    mr_port_close(g->port);
    g->redirects = NULL;
    g->moves = NULL;
    g->port = g->io_port = g->device = NULL;
}

void mr_group_free(struct mr_group *g, uint32_t *leaked_out)
{
    uint32_t leaked = 0;

    mr_group_close(g);
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++) {
        leaked += mr_mbuf_pool_free(g->rx_pools[i]);
        leaked += mr_mbuf_pool_free(g->tx_pools[i]);
    }
    if (leaked_out != NULL)
        *leaked_out = leaked;
    memset(g, 0, sizeof(*g));
}

void mr_words_add(void *sum, const void *add, size_t size)
{
    uint64_t *to = sum;
    const uint64_t *from = add;

    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        to[i] += from[i];
}

void mr_group_stats(const struct mr_group *g, struct mr_shard_stats *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < g->config.shard_count; i++) {
        struct mr_shard_stats one;

        mr_shard_read_stats(g->shards[i], &one);
        mr_words_add(out, &one, sizeof(one));
    }
}

void mr_group_counters(const struct mr_group *g, struct mr_counters *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < g->config.shard_count; i++) {
        const struct mr_counters *counters = mr_shard_counters(g->shards[i]);

        for (size_t k = 0; k < MR_COUNTERS; k++)
            ((uint64_t *)(void *)out)[k] += mr_counter_value(counters, k);
    }
}

void mr_group_net_counters(const struct mr_group *g, struct mr_net_counters *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < g->config.shard_count; i++)
        mr_words_add(out, mr_shard_net_counters(g->shards[i]), sizeof(*out));
}

void mr_group_io_stats(const struct mr_group *g, struct mr_io_stats *out)
{
    memset(out, 0, sizeof(*out));
    if (g->io_port != NULL)
        mr_io_port_stats(g->io_port, out);
}

uint32_t mr_group_conn_count(const struct mr_group *g)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < g->config.shard_count; i++)
        count += mr_shard_conn_count(g->shards[i]);
    return count;
}
