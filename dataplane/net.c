/* dataplane/net.c - datagrams in and out; see net.h. */
#include "dataplane/net.h"

#include <rte_mbuf.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "dataplane/net_chain.h"
#include "dataplane/net_internal.h"
#include "drivers/mbuf_pool.h"
#include "drivers/port.h"
#include "quic/endpoint.h"

#define SECOND_NS UINT64_C(1000000000)
#define RECHECK_NS                                                                                 \
    SECOND_NS      /* prepared headers are looked at again: the neighbour may have aged            \
                    */
#define PREFETCH 4 /* frames ahead */

_Static_assert((MR_NET_OUTPUT_MAX & (MR_NET_OUTPUT_MAX - 1)) == 0, "counts of rings run freely");
_Static_assert((MR_NET_EVENTS_MAX & (MR_NET_EVENTS_MAX - 1)) == 0, "counts of rings run freely");
_Static_assert(RTE_PKTMBUF_HEADROOM >= MR_NET_HEADER_MAX, "headers go into the headroom");

/* ---- making ---- */

struct mr_net_config mr_net_config_default(void)
{
    return (struct mr_net_config){
        .neighbours = {.entries_max = 1024, .waiting_max = 256, .new_per_second = 200},
        .path_count = 4096,
        .answers_per_second = 1000,
    };
}

static size_t align(size_t size)
{
    return (size + MR_CACHE_LINE - 1) & ~(size_t)(MR_CACHE_LINE - 1);
}

size_t mr_net_footprint(const struct mr_net_config *config)
{
    return align(sizeof(struct mr_net)) + config->path_count * sizeof(struct mr_net_path) +
           mr_neighbours_footprint(&config->neighbours);
}

/* What the port computes, it need not be computed here; what its medium vouches for, nobody
 * computes. */
static void choose_sums(struct mr_net *net, const struct mr_port_traits *port)
{
    net->ip_mode = port->tx_ipv4_checksum ? MR_NET_SUM_OFFLOAD : MR_NET_SUM_SOFTWARE;
    net->udp_mode = port->tx_udp_checksum ? MR_NET_SUM_OFFLOAD : MR_NET_SUM_SOFTWARE;
    if (port->is_vouched) {
        net->ip_mode = MR_NET_SUM_NONE;
        net->udp_mode = MR_NET_SUM_NONE;
    }
    if (net->udp_mode == MR_NET_SUM_OFFLOAD) {
        net->tx_flags4 = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
        net->tx_flags6 = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM;
    }
    if (net->ip_mode == MR_NET_SUM_OFFLOAD)
        net->tx_flags4 |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
}

static void set_gateways(struct mr_net *net)
{
    if (!mr_ip_is_unspecified(&net->config.gateway4))
        mr_neighbour_set_gateway(net->neighbours, &net->config.gateway4);
    if (!mr_ip_is_unspecified(&net->config.gateway6))
        mr_neighbour_set_gateway(net->neighbours, &net->config.gateway6);
}

/* On a loopback: we are all there is, and known. */
static void be_own_neighbour(struct mr_net *net)
{
    net->self.is_loopback = true;
    for (uint32_t i = 0; i < net->self.address_count; i++)
        (void)mr_net_set_neighbour(net, &net->self.address[i].ip, &net->self.mac);
}

struct mr_net *mr_net_init(void *mem, const struct mr_net_config *config, uint64_t now)
{
    uint8_t *at = mem;
    struct mr_net *net = mem;

    MR_ASSERT(config->path_count > 0);
    MR_ASSERT((config->path_count & (config->path_count - 1)) == 0);
    MR_ASSERT(config->self.address_count <= MR_NET_ADDRESSES_MAX);
    memset(mem, 0, align(sizeof(*net)) + config->path_count * sizeof(struct mr_net_path));
    net->config = *config;
    net->self = config->self;
    if (mr_mac_is_zero(&net->self.mac))
        memcpy(net->self.mac.bytes, config->port->mac, sizeof(net->self.mac));
    choose_sums(net, config->port);
    /* Odd numbers of many bits mix well, even if the key is zero in a test. */
    net->path_key[0] = mr_load_le64(config->key) ^ UINT64_C(0xa0761d6478bd642f);
    net->path_key[1] = mr_load_le64(config->key + 8) ^ UINT64_C(0xe7037ed1a0b428db);
    net->answers = (struct mr_net_bucket){
        .rate = config->answers_per_second,
        .tokens = config->answers_per_second * SECOND_NS,
        .at_ns = now,
    };

    at += align(sizeof(*net));
    net->paths = (struct mr_net_path *)at;
    net->last_path = net->paths;
    at += config->path_count * sizeof(struct mr_net_path);
    net->neighbours = mr_neighbours_init(at, &config->neighbours, config->key, &net->counters);
    set_gateways(net);
    if (config->port->is_loopback)
        be_own_neighbour(net);
    else if (config->detects_duplicates)
        mr_net_probe(net, now);
    return net;
}

void mr_net_fini(struct mr_net *net)
{
    struct mr_neighbour_released released;
    struct rte_mbuf *mbuf;

    mr_neighbour_release_all(net->neighbours);
    while (mr_neighbour_take_released(net->neighbours, &released))
        rte_pktmbuf_free(released.packet);
    while (net->output_begin != net->output_end) {
        mbuf = net->output[net->output_begin++ % MR_NET_OUTPUT_MAX];
        rte_pktmbuf_free(mbuf);
    }
}

void mr_net_open_port(struct mr_net *net, uint16_t port)
{
    net->open_ports[port / 64] |= UINT64_C(1) << port % 64;
}

void mr_net_close_port(struct mr_net *net, uint16_t port)
{
    net->open_ports[port / 64] &= ~(UINT64_C(1) << port % 64);
}

bool mr_net_has_port(const struct mr_net *net, uint16_t port)
{
    return (net->open_ports[port / 64] >> port % 64 & 1) != 0;
}

/* ---- receiving ---- */

static enum mr_net_sums sums_of(const struct mr_net *net, uint64_t flags)
{
    uint64_t ip = flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
    uint64_t l4 = flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

    if (l4 == RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN)
        return ip == RTE_MBUF_F_RX_IP_CKSUM_BAD     ? MR_NET_SUMS_BAD_IP
               : net->config.port->is_memory        ? MR_NET_SUMS_GOOD
               : net->config.port->has_partial_sums ? MR_NET_SUMS_PARTIAL
                                                    : MR_NET_SUMS_UNKNOWN;
    if (l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD)
        return MR_NET_SUMS_BAD_L4;
    if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD)
        return MR_NET_SUMS_BAD_IP;
    return ip == RTE_MBUF_F_RX_IP_CKSUM_UNKNOWN ? MR_NET_SUMS_GOOD_L4 : MR_NET_SUMS_GOOD;
}

static void count_drop(struct mr_net *net, enum mr_net_kind kind)
{
    struct mr_net_counters *c = &net->counters;
    uint64_t *const counters[MR_NET_KINDS] = {
        [MR_NET_DROP_RUNT] = &c->net_drop_runt,
        [MR_NET_DROP_VLAN] = &c->net_drop_vlan,
        [MR_NET_DROP_QINQ] = &c->net_drop_qinq,
        [MR_NET_DROP_ETHERTYPE] = &c->net_drop_ethertype,
        [MR_NET_DROP_NOT_OUR_MAC] = &c->net_drop_not_our_mac,
        [MR_NET_DROP_SOURCE_MAC] = &c->net_drop_source_mac,
        [MR_NET_DROP_IP_VERSION] = &c->net_drop_ip_version,
        [MR_NET_DROP_IP_HEADER] = &c->net_drop_ip_header,
        [MR_NET_DROP_IP_LENGTH] = &c->net_drop_ip_length,
        [MR_NET_DROP_IP_CHECKSUM] = &c->net_drop_ip_checksum,
        [MR_NET_DROP_FRAGMENT] = &c->net_drop_fragment,
        [MR_NET_DROP_SOURCE_ROUTE] = &c->net_drop_source_route,
        [MR_NET_DROP_EXTENSION] = &c->net_drop_extension,
        [MR_NET_DROP_SOURCE_IP] = &c->net_drop_source_ip,
        [MR_NET_DROP_NOT_OUR_IP] = &c->net_drop_not_our_ip,
        [MR_NET_DROP_BROADCAST] = &c->net_drop_broadcast,
        [MR_NET_DROP_PROTOCOL] = &c->net_drop_protocol,
        [MR_NET_DROP_UDP_LENGTH] = &c->net_drop_udp_length,
        [MR_NET_DROP_UDP_CHECKSUM] = &c->net_drop_udp_checksum,
    };

    mr_net_count(counters[kind], 1);
}

/* A frame in several buffers becomes one in one: in its first buffer if it fits, else in a buffer
 * of ours. */
static MR_COLD struct rte_mbuf *linearise(struct mr_net *net, struct rte_mbuf *mbuf)
{
    struct rte_mbuf *whole = mbuf;

    if (rte_pktmbuf_linearize(mbuf) != 0) {
        uint32_t room =
            rte_pktmbuf_data_room_size(net->config.pool) - (uint32_t)RTE_PKTMBUF_HEADROOM;

        whole =
            mbuf->pkt_len <= room ? rte_pktmbuf_copy(mbuf, net->config.pool, 0, UINT32_MAX) : NULL;
        rte_pktmbuf_free(mbuf);
    }
    mr_net_count(whole != NULL ? &net->counters.net_rx_linearised : &net->counters.net_drop_buffers,
                 1);
    return whole;
}

/* Reply path caching: the sender of a datagram is where answers go. */
static void learn_sender(struct mr_net *net, const uint8_t *frame, const struct mr_path_addr *path,
                         uint64_t now)
{
    struct mr_ip ip;
    struct mr_mac mac;

    memcpy(ip.bytes, path->remote.ip, sizeof(ip));
    memcpy(mac.bytes, frame + 6, sizeof(mac));
    if (mr_ip_equal(&ip, &net->last_source) && mr_mac_equal(&mac, &net->last_source_mac))
        return;
    net->last_source = ip;
    net->last_source_mac = mac;
    mr_neighbour_learn(net->neighbours, &ip, &mac, MR_NEIGHBOUR_TRAFFIC, now);
}

static inline bool is_port_open(const struct mr_net *net, const struct mr_path_addr *path)
{
    uint16_t port = path->local.port;

    return (net->open_ports[port / 64] >> port % 64 & 1) != 0 && path->remote.port != 0;
}

/* Everything but UDP: ours to answer, or to count. */
static MR_COLD void receive_other(struct mr_net *net, struct mr_net_visit *visit, uint64_t now)
{
    bool is_used = false;

    if (visit->kind <= MR_NET_ICMP6)
        is_used = mr_net_handle_own(net, visit, now);
    else
        count_drop(net, visit->kind);
    if (!is_used)
        rte_pktmbuf_free(visit->mbuf);
}

/* Judge one frame.  True if it is a datagram for us, which is written to `out`; else it is dealt
 * with. */
static bool receive_one(struct mr_net *net, struct rte_mbuf *mbuf, struct mr_datagram *out,
                        uint64_t now)
{
    struct mr_net_visit visit;

    if (mbuf->nb_segs > 1 && (mbuf = linearise(net, mbuf)) == NULL)
        return false;

    struct mr_net_frame frame = {
        .data = rte_pktmbuf_mtod(mbuf, uint8_t *),
        .size = mbuf->data_len,
        .sums = sums_of(net, mbuf->ol_flags),
    };
    enum mr_net_kind kind = mr_net_parse(&net->self, &frame, &visit.packet, &out->path);
    if (kind != MR_NET_UDP) {
        visit.mbuf = mbuf;
        visit.data = frame.data;
        visit.size = frame.size;
        visit.is_sum_good = frame.sums == MR_NET_SUMS_GOOD || frame.sums == MR_NET_SUMS_GOOD_L4;
        visit.kind = kind;
        visit.path = out->path;
        receive_other(net, &visit, now);
        return false;
    }
    if (!is_port_open(net, &out->path)) {
        mr_net_count(&net->counters.net_drop_udp_port, 1);
        rte_pktmbuf_free(mbuf);
        return false;
    }
    if (net->config.learns_from_traffic)
        learn_sender(net, frame.data, &out->path, now);

    out->data = frame.data + visit.packet.payload_offset;
    out->size = visit.packet.payload_size;
    out->ecn = visit.packet.ecn;
    out->redirect = MR_STAY;
    out->hops = 0;
    out->buf = mr_buf_of_mbuf(mbuf);
    *out->buf = (struct mr_buf){0};
    return true;
}

uint32_t mr_net_receive(struct mr_net *net, struct rte_mbuf **mbufs, uint32_t count,
                        struct mr_datagram *out, uint64_t now)
{
    uint32_t n = 0;

    MR_DASSERT(count <= MR_NET_BURST);
    for (uint32_t i = 0; i < count; i++) {
        if (i + PREFETCH < count)
            __builtin_prefetch(rte_pktmbuf_mtod(mbufs[i + PREFETCH], const void *));
        n += receive_one(net, mbufs[i], &out[n], now);
    }
    if (n > 0)
        mr_net_count(&net->counters.net_rx_udp, n);
    return n;
}

/* ---- routes ---- */

static bool is_same_family(const struct mr_ip *a, const struct mr_ip *b)
{
    return mr_ip_is_v4(a) == mr_ip_is_v4(b);
}

/* The own address whose link `remote` is on; NULL: none. */
static const struct mr_prefix *link_of(const struct mr_net *net, const struct mr_ip *remote)
{
    for (uint32_t i = 0; i < net->self.address_count; i++) {
        const struct mr_prefix *prefix = &net->self.address[i];

        if (is_same_family(&prefix->ip, remote) && mr_prefix_contains(prefix, remote))
            return prefix;
    }
    return NULL;
}

static const struct mr_ip *gateway_for(const struct mr_net *net, const struct mr_ip *remote)
{
    const struct mr_ip *gateway =
        mr_ip_is_v4(remote) ? &net->config.gateway4 : &net->config.gateway6;

    return mr_ip_is_unspecified(gateway) ? NULL : gateway;
}

/* Whom to give packets for `remote` to; NULL: nobody. */
static const struct mr_ip *next_hop(const struct mr_net *net, const struct mr_ip *remote)
{
    if (!mr_ip_is_unicast(remote))
        return NULL;
    if (link_of(net, remote) != NULL || (!mr_ip_is_v4(remote) && mr_ip_is_link_local(remote)))
        return remote;
    const struct mr_ip *gateway = gateway_for(net, remote);
    /* Without a gateway, who was learned from traffic is reached the way it came. */
    return gateway == NULL && net->config.learns_from_traffic ? remote : gateway;
}

bool mr_net_source_for(const struct mr_net *net, const struct mr_ip *remote,
                       struct mr_ip *local_out)
{
    const struct mr_ip *hop = next_hop(net, remote);
    const struct mr_prefix *prefix = hop == NULL ? NULL : link_of(net, hop);

    if (prefix != NULL) {
        *local_out = prefix->ip;
        return true;
    }
    /* The gateway is on no link of ours (a link-local IPv6 one): any address that is not link-local
     * itself. */
    for (uint32_t i = 0; hop != NULL && i < net->self.address_count; i++) {
        const struct mr_ip *ip = &net->self.address[i].ip;

        if (is_same_family(ip, remote) && mr_ip_is_link_local(ip) == mr_ip_is_link_local(remote)) {
            *local_out = *ip;
            return true;
        }
    }
    return false;
}

/* ---- sending ---- */

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 product;
    product p = (product)a * b;

    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Spreads paths over places.  Collisions cost a preparation each, so a quick hash will do. */
static uint64_t hash_path(const struct mr_net *net, const struct mr_path_addr *path)
{
    uint64_t word[5];

    _Static_assert(sizeof(word) == sizeof(*path), "every byte of the path is hashed");
    memcpy(word, path, sizeof(word));
    uint64_t hash = mix(word[0] ^ net->path_key[0], word[1] ^ net->path_key[1]);
    hash = mix(hash ^ word[2], word[3] ^ net->path_key[0]);
    return mix(hash ^ word[4], net->path_key[1]);
}

static bool is_prepared(const struct mr_net *net, const struct mr_net_path *entry,
                        const struct mr_path_addr *path, uint64_t now)
{
    return mr_path_addr_equal(&entry->path, path) && now < entry->recheck_ns &&
           entry->generation == mr_neighbour_generation(net->neighbours);
}

static void prepare_header(const struct mr_net *net, struct mr_net_header *header,
                           const struct mr_path_addr *path, const struct mr_mac *mac)
{
    struct mr_net_link link = {
        .source = net->self.mac, .destination = *mac, .vlan = net->self.vlan};

    mr_net_header_init(header, &link, path, (uint32_t)(hash_path(net, path) >> 32));
    header->ip_mode = (uint8_t)net->ip_mode;
    header->udp_mode = (uint8_t)net->udp_mode;
}

/* Put the headers in front of the payload. */
static void write_headers(const struct mr_net *net, struct mr_net_header *header,
                          struct rte_mbuf *mbuf, const struct mr_outgoing *outgoing)
{
    MR_DASSERT(outgoing->data == rte_pktmbuf_mtod(mbuf, uint8_t *));
    MR_DASSERT(rte_pktmbuf_headroom(mbuf) >= MR_NET_HEADER_MAX);
    mr_net_header_write(header, outgoing->data, outgoing->size, outgoing->ecn);
    mbuf->data_off = (uint16_t)(mbuf->data_off - header->size);
    mbuf->data_len = (uint16_t)(outgoing->size + header->size);
    mbuf->pkt_len = mbuf->data_len;
    mbuf->ol_flags = header->is_ipv4 ? net->tx_flags4 : net->tx_flags6;
    if (mbuf->ol_flags != 0)
        mbuf->tx_offload = rte_mbuf_tx_offload(
            header->l3_offset, (uint64_t)(header->l4_offset - header->l3_offset), 0, 0, 0, 0, 0);
}

static bool drop_unsent(struct rte_mbuf *mbuf, uint64_t *counter)
{
    mr_net_count(counter, 1);
    rte_pktmbuf_free(mbuf);
    return false;
}

/* The neighbour is being asked for: the frame waits, complete but for its destination. */
static bool send_later(struct mr_net *net, struct rte_mbuf *mbuf,
                       const struct mr_outgoing *outgoing, const struct mr_ip *hop)
{
    static const struct mr_mac unknown;
    struct mr_net_header header;

    prepare_header(net, &header, &outgoing->path, &unknown);
    write_headers(net, &header, mbuf, outgoing);
    if (!mr_neighbour_wait(net->neighbours, hop, mbuf))
        return drop_unsent(mbuf, &net->counters.net_tx_waiting_full);
    return false;
}

/* A path that is not prepared, or not lately.  True if the frame can be sent now. */
static MR_COLD bool send_unprepared(struct mr_net *net, struct mr_net_path *entry,
                                    struct rte_mbuf *mbuf, const struct mr_outgoing *outgoing,
                                    uint64_t now)
{
    struct mr_ip local;
    struct mr_ip remote;
    struct mr_mac mac;

    memcpy(local.bytes, outgoing->path.local.ip, sizeof(local));
    memcpy(remote.bytes, outgoing->path.remote.ip, sizeof(remote));
    const struct mr_ip *hop = next_hop(net, &remote);
    if (hop == NULL || !is_same_family(&local, &remote) || !mr_net_self_has(&net->self, &local))
        return drop_unsent(mbuf, &net->counters.net_tx_no_route);

    switch (mr_neighbour_resolve(net->neighbours, hop, &mac, now)) {
    case MR_NEIGHBOUR_KNOWN:
        break;
    case MR_NEIGHBOUR_WAIT:
        return send_later(net, mbuf, outgoing, hop);
    case MR_NEIGHBOUR_FULL:
        return drop_unsent(mbuf, &net->counters.net_tx_waiting_full);
    case MR_NEIGHBOUR_UNKNOWN:
        return drop_unsent(mbuf, &net->counters.net_tx_unresolved);
    }
    entry->path = outgoing->path;
    entry->generation = mr_neighbour_generation(net->neighbours);
    entry->recheck_ns = now + RECHECK_NS;
    prepare_header(net, &entry->header, &outgoing->path, &mac);
    write_headers(net, &entry->header, mbuf, outgoing);
    return true;
}

/* Most datagrams of a burst go the way of the one before. */
static inline struct mr_net_path *place_of(struct mr_net *net, const struct mr_path_addr *path)
{
    if (!mr_path_addr_equal(&net->last_path->path, path))
        net->last_path = &net->paths[hash_path(net, path) & (net->config.path_count - 1)];
    return net->last_path;
}

static void close_chain(struct mr_net *net, struct mr_net_chain *chain)
{
    uint32_t count = mr_net_chain_close(chain);

    if (count > 1) {
        mr_net_count(&net->counters.net_tx_chains, 1);
        mr_net_count(&net->counters.net_tx_chained, count);
    }
}

/* As mr_net_send(), to a port that cuts chains up. */
static uint32_t send_chained(struct mr_net *net, struct rte_mbuf **mbufs,
                             const struct mr_outgoing *outgoing, uint32_t count,
                             struct rte_mbuf **ready_out, uint64_t now)
{
    struct mr_net_chain chain = {0};
    uint32_t datagrams = 0;
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (mr_net_chain_add(&chain, mbufs[i], &outgoing[i], net->chain_max)) {
            datagrams++;
            continue;
        }
        close_chain(net, &chain);
        struct mr_net_path *entry = place_of(net, &outgoing[i].path);

        if (is_prepared(net, entry, &outgoing[i].path, now))
            write_headers(net, &entry->header, mbufs[i], &outgoing[i]);
        else if (!send_unprepared(net, entry, mbufs[i], &outgoing[i], now))
            continue;
        mr_net_chain_begin(&chain, mbufs[i], &outgoing[i], &entry->header);
        ready_out[n++] = mbufs[i];
        datagrams++;
    }
    close_chain(net, &chain);
    if (datagrams > 0)
        mr_net_count(&net->counters.net_tx_udp, datagrams);
    return n;
}

uint32_t mr_net_send(struct mr_net *net, struct rte_mbuf **mbufs,
                     const struct mr_outgoing *outgoing, uint32_t count,
                     struct rte_mbuf **ready_out, uint64_t now)
{
    uint32_t n = 0;

    MR_DASSERT(count <= MR_NET_BURST);
    if (net->chain_max > 1)
        return send_chained(net, mbufs, outgoing, count, ready_out, now);
    for (uint32_t i = 0; i < count; i++) {
        struct mr_net_path *entry = place_of(net, &outgoing[i].path);

        if (is_prepared(net, entry, &outgoing[i].path, now))
            write_headers(net, &entry->header, mbufs[i], &outgoing[i]);
        else if (!send_unprepared(net, entry, mbufs[i], &outgoing[i], now))
            continue;
        ready_out[n++] = mbufs[i];
    }
    if (n > 0)
        mr_net_count(&net->counters.net_tx_udp, n);
    return n;
}

void mr_net_use_chains(struct mr_net *net, bool is_used)
{
    bool is_able = net->ip_mode == MR_NET_SUM_OFFLOAD && net->udp_mode == MR_NET_SUM_OFFLOAD;

    net->chain_max = is_used && is_able ? net->config.port->segments_max : 0;
}

/* ---- output of our own ---- */

bool mr_net_push_output(struct mr_net *net, struct rte_mbuf *mbuf)
{
    if (net->output_end - net->output_begin == MR_NET_OUTPUT_MAX) {
        mr_net_count(&net->counters.net_drop_output_full, 1);
        return false;
    }
    net->output[net->output_end++ % MR_NET_OUTPUT_MAX] = mbuf;
    return true;
}

/* Datagrams whose neighbour answered get its address; the others had hoped in vain. */
static uint32_t take_released(struct mr_net *net, struct rte_mbuf **mbufs_out, uint32_t room)
{
    struct mr_neighbour_released released;
    uint32_t n = 0;

    while (n < room && mr_neighbour_take_released(net->neighbours, &released)) {
        struct rte_mbuf *mbuf = released.packet;

        if (!released.is_resolved) {
            drop_unsent(mbuf, &net->counters.net_tx_unresolved);
            continue;
        }
        memcpy(rte_pktmbuf_mtod(mbuf, uint8_t *), released.mac.bytes, sizeof(released.mac));
        mbufs_out[n++] = mbuf;
    }
    if (n > 0)
        mr_net_count(&net->counters.net_tx_udp, n);
    return n;
}

uint32_t mr_net_output(struct mr_net *net, struct rte_mbuf **mbufs_out, uint32_t room)
{
    uint32_t n = take_released(net, mbufs_out, room);

    mr_net_solicit(net);
    while (n < room && net->output_begin != net->output_end)
        mbufs_out[n++] = net->output[net->output_begin++ % MR_NET_OUTPUT_MAX];
    return n;
}

/* ---- time, events, neighbours ---- */

void mr_net_expire(struct mr_net *net, uint64_t now)
{
    mr_neighbour_expire(net->neighbours, now);
    if (now >= net->tentative_until_ns)
        net->tentative_until_ns = 0;
    if (net->announce_at_ns != 0 && now >= net->announce_at_ns)
        mr_net_announce(net);
}

uint64_t mr_net_deadline(const struct mr_net *net)
{
    uint64_t deadline = mr_neighbour_deadline(net->neighbours);

    if (net->tentative_until_ns != 0)
        deadline = MR_MIN(deadline, net->tentative_until_ns);
    if (net->announce_at_ns != 0)
        deadline = MR_MIN(deadline, net->announce_at_ns);
    return deadline;
}

bool mr_net_take_icmp(struct mr_net *net, struct mr_icmp_event *event_out)
{
    if (net->events_begin == net->events_end)
        return false;
    *event_out = net->events[net->events_begin++ % MR_NET_EVENTS_MAX];
    return true;
}

bool mr_net_take_update(struct mr_net *net, struct mr_neighbour_update *update_out)
{
    return mr_neighbour_take_update(net->neighbours, update_out);
}

void mr_net_learn(struct mr_net *net, const struct mr_neighbour_update *update, uint64_t now)
{
    mr_neighbour_learn(net->neighbours, &update->ip, &update->mac, MR_NEIGHBOUR_SHARED, now);
}

bool mr_net_set_neighbour(struct mr_net *net, const struct mr_ip *ip, const struct mr_mac *mac)
{
    return mr_neighbour_set_static(net->neighbours, ip, mac);
}

const struct mr_net_counters *mr_net_counters(const struct mr_net *net)
{
    return &net->counters;
}

const struct mr_net_self *mr_net_self(const struct mr_net *net)
{
    return &net->self;
}
