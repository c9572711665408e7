/* dataplane/net_own.c - packets of the network layer's own: ARP, neighbour discovery, ICMP; see
 * net.h. */
#include <rte_mbuf.h>

#include "base/bytes.h"
#include "dataplane/arp.h"
#include "dataplane/ndp.h"
#include "dataplane/net_internal.h"
#include "dataplane/net_wire.h"

#define SECOND_NS UINT64_C(1000000000)
#define TENTATIVE_NS                                                                               \
    SECOND_NS /* RFC 4862, Section 5.4: one solicitation, then a second of silence */
#define PROBE_NS                                                                                   \
    (SECOND_NS / 4) /* RFC 5227, Section 2.1: time to answer a probe; one, where it has three */

static const struct mr_mac broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
static const struct mr_ip all_nodes = {.bytes = {0xff, 0x02, [15] = 1}};

/* ---- frames of ours ---- */

/* May another answer go out?  Counts if not. */
static bool take_answer(struct mr_net *net, uint64_t now)
{
    struct mr_net_bucket *b = &net->answers;
    uint64_t passed = MR_MIN(now - b->at_ns, SECOND_NS);

    b->tokens = MR_MIN(b->tokens + passed * b->rate, b->rate * SECOND_NS);
    b->at_ns = now;
    if (b->tokens < SECOND_NS) {
        mr_net_count(&net->counters.net_drop_icmp_rate, 1);
        return false;
    }
    b->tokens -= SECOND_NS;
    return true;
}

/* Make `mbuf` a frame of `size` bytes that were written to its data, and queue it. */
static bool push_frame(struct mr_net *net, struct rte_mbuf *mbuf, uint32_t size, uint64_t *counter)
{
    mbuf->data_len = (uint16_t)size;
    mbuf->pkt_len = size;
    mbuf->ol_flags = 0;
    if (!mr_net_push_output(net, mbuf))
        return false;
    mr_net_count(counter, 1);
    return true;
}

/* An empty mbuf; NULL with a count: none. */
static struct rte_mbuf *new_frame(struct mr_net *net)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(net->config.pool);

    if (mbuf == NULL)
        mr_net_count(&net->counters.net_drop_no_mbuf, 1);
    return mbuf;
}

static bool push_arp(struct mr_net *net, struct rte_mbuf *mbuf, const struct mr_mac *to,
                     const struct mr_arp *arp)
{
    uint32_t size = mr_arp_build(rte_pktmbuf_mtod(mbuf, uint8_t *), to, net->self.vlan, arp);

    return push_frame(net, mbuf, size, &net->counters.net_tx_arp);
}

static bool push_ndp(struct mr_net *net, struct rte_mbuf *mbuf, const struct mr_mac *to,
                     const struct mr_ndp *ndp)
{
    uint32_t size =
        mr_ndp_build(rte_pktmbuf_mtod(mbuf, uint8_t *), &net->self.mac, to, net->self.vlan, ndp);

    return push_frame(net, mbuf, size, &net->counters.net_tx_ndp);
}

/* ---- asking ---- */

/* The own address to ask for `target` from: on its link, else any of the family.  Where the kernel
 * has it as well and would get the answer, a link-local one. */
static const struct mr_ip *asking_address(const struct mr_net *net, const struct mr_ip *target)
{
    const struct mr_ip *any = NULL;

    for (uint32_t i = 0; i < net->self.address_count; i++) {
        const struct mr_prefix *prefix = &net->self.address[i];

        if (mr_ip_is_v4(&prefix->ip) != mr_ip_is_v4(target))
            continue;
        if (net->self.is_shared && any != NULL && !mr_ip_is_link_local(&prefix->ip))
            continue; /* the last link-local one: no other is surely ours alone */
        if (mr_prefix_contains(prefix, target) && !net->self.is_shared)
            return &prefix->ip;
        any = &prefix->ip;
    }
    return any;
}

static bool ask_arp(struct mr_net *net, struct rte_mbuf *mbuf,
                    const struct mr_neighbour_solicit *solicit, const struct mr_ip *source)
{
    static const uint8_t nobody[4];
    struct mr_arp arp = {
        .sender_mac = net->self.mac,
        .sender_ip = net->self.is_shared ? mr_ip_from_v4(nobody) : *source,
        .target_ip = solicit->ip,
    };

    return push_arp(net, mbuf, solicit->is_unicast ? &solicit->mac : &broadcast, &arp);
}

static bool ask_ndp(struct mr_net *net, struct rte_mbuf *mbuf,
                    const struct mr_neighbour_solicit *solicit, const struct mr_ip *source)
{
    struct mr_ndp ndp = {
        .has_mac = true,
        .source = *source,
        .destination = solicit->is_unicast ? solicit->ip : mr_ip_solicited_node(&solicit->ip),
        .target = solicit->ip,
        .mac = net->self.mac,
    };
    struct mr_mac group = mr_mac_of_multicast(&ndp.destination);

    return push_ndp(net, mbuf, solicit->is_unicast ? &solicit->mac : &group, &ndp);
}

void mr_net_solicit(struct mr_net *net)
{
    struct mr_neighbour_solicit solicit;

    while (mr_neighbour_take_solicit(net->neighbours, &solicit)) {
        const struct mr_ip *source = asking_address(net, &solicit.ip);
        struct rte_mbuf *mbuf = source == NULL ? NULL : new_frame(net);

        if (mbuf == NULL)
            continue; /* the next one is due in a second */
        if (!(mr_ip_is_v4(source) ? ask_arp : ask_ndp)(net, mbuf, &solicit, source))
            rte_pktmbuf_free(mbuf);
    }
}

/* ---- addresses of ours ---- */

static bool announce_v4(struct mr_net *net, struct rte_mbuf *mbuf, const struct mr_ip *ip)
{
    struct mr_arp arp = {.sender_mac = net->self.mac, .sender_ip = *ip, .target_ip = *ip};

    return push_arp(net, mbuf, &broadcast, &arp);
}

/* An ARP probe asks from 0.0.0.0 for the address itself: no cache learns from it. */
static bool probe_v4(struct mr_net *net, struct rte_mbuf *mbuf, const struct mr_ip *ip)
{
    static const uint8_t nobody[4];
    struct mr_arp arp = {
        .sender_mac = net->self.mac, .sender_ip = mr_ip_from_v4(nobody), .target_ip = *ip};

    return push_arp(net, mbuf, &broadcast, &arp);
}

/* Duplicate address detection asks from :: for the address itself. */
static bool probe_v6(struct mr_net *net, struct rte_mbuf *mbuf, const struct mr_ip *ip)
{
    struct mr_ndp ndp = {.destination = mr_ip_solicited_node(ip), .target = *ip};
    struct mr_mac group = mr_mac_of_multicast(&ndp.destination);

    return push_ndp(net, mbuf, &group, &ndp);
}

void mr_net_probe(struct mr_net *net, uint64_t now)
{
    for (uint32_t i = 0; i < net->self.address_count; i++) {
        const struct mr_ip *ip = &net->self.address[i].ip;
        struct rte_mbuf *mbuf = new_frame(net);

        if (mbuf == NULL)
            return;
        if (mr_ip_is_v4(ip))
            net->announce_at_ns = now + PROBE_NS;
        else
            net->tentative_until_ns = now + TENTATIVE_NS;
        if (!(mr_ip_is_v4(ip) ? probe_v4 : probe_v6)(net, mbuf, ip))
            rte_pktmbuf_free(mbuf);
    }
}

void mr_net_announce(struct mr_net *net)
{
    net->announce_at_ns = 0;
    if (net->counters.net_dad_conflict > 0)
        return; /* they are another's */
    for (uint32_t i = 0; i < net->self.address_count; i++) {
        const struct mr_ip *ip = &net->self.address[i].ip;
        struct rte_mbuf *mbuf = mr_ip_is_v4(ip) ? new_frame(net) : NULL;

        if (mbuf != NULL && !announce_v4(net, mbuf, ip))
            rte_pktmbuf_free(mbuf);
    }
}

/* Another host has our address: a tentative one is given up, RFC 4862, Section 5.4; others are
 * counted. */
static void on_conflict(struct mr_net *net, const struct mr_ip *ip)
{
    struct mr_net_self *self = &net->self;

    mr_net_count(&net->counters.net_dad_conflict, 1);
    if (net->tentative_until_ns == 0 || mr_ip_is_v4(ip))
        return;
    for (uint32_t i = 0; i < self->address_count; i++)
        if (mr_ip_equal(&self->address[i].ip, ip))
            self->address[i--] = self->address[--self->address_count];
}

static bool is_on_link(const struct mr_net *net, const struct mr_ip *ip)
{
    if (!mr_ip_is_v4(ip) && mr_ip_is_link_local(ip))
        return true;
    for (uint32_t i = 0; i < net->self.address_count; i++)
        if (mr_prefix_contains(&net->self.address[i], ip))
            return true;
    return mr_ip_equal(ip, &net->config.gateway4) || mr_ip_equal(ip, &net->config.gateway6);
}

static bool drop(uint64_t *counter)
{
    mr_net_count(counter, 1);
    return false;
}

/* ---- ARP ---- */

static bool answer_arp(struct mr_net *net, struct rte_mbuf *mbuf, const struct mr_arp *request)
{
    struct mr_arp reply = {
        .is_reply = true,
        .sender_mac = net->self.mac,
        .target_mac = request->sender_mac,
        .sender_ip = request->target_ip,
        .target_ip = request->sender_ip,
    };

    return push_arp(net, mbuf, &request->sender_mac, &reply);
}

static void learn_arp(struct mr_net *net, const struct mr_arp *arp, bool is_for_us, uint64_t now)
{
    enum mr_neighbour_source source = !is_for_us      ? MR_NEIGHBOUR_CLAIM
                                      : arp->is_reply ? MR_NEIGHBOUR_ANSWER
                                                      : MR_NEIGHBOUR_REQUEST;

    mr_neighbour_learn(net->neighbours, &arp->sender_ip, &arp->sender_mac, source, now);
}

static bool handle_arp(struct mr_net *net, const struct mr_net_visit *visit, uint64_t now)
{
    const uint8_t *frame = visit->data;
    uint32_t l3 = visit->packet.l3_offset;
    struct mr_arp arp;

    mr_net_count(&net->counters.net_rx_arp, 1);
    /* Who speaks for another station's Ethernet address lies. */
    if (!mr_arp_parse(frame + l3, visit->size - l3, &arp) ||
        memcmp(frame + MR_ETHER_SOURCE, arp.sender_mac.bytes, 6) != 0)
        return drop(&net->counters.net_drop_arp);
    if (mr_net_self_has(&net->self, &arp.sender_ip)) {
        on_conflict(net, &arp.sender_ip);
        return drop(&net->counters.net_drop_arp);
    }

    bool is_aside = net->self.is_shared && arp.is_reply && mr_ip_is_unspecified(&arp.target_ip);
    bool is_for_us = (is_aside || mr_net_self_has(&net->self, &arp.target_ip)) &&
                     (!arp.is_reply || mr_mac_equal(&arp.target_mac, &net->self.mac));
    if (!mr_ip_is_unspecified(&arp.sender_ip)) { /* else a probe: answered, but nothing to learn */
        if (!is_on_link(net, &arp.sender_ip))
            return drop(&net->counters.net_drop_arp);
        learn_arp(net, &arp, is_for_us, now);
    }
    if (arp.is_reply || !is_for_us || !take_answer(net, now))
        return false;
    return answer_arp(net, visit->mbuf, &arp);
}

/* ---- neighbour discovery ---- */

static bool answer_ndp(struct mr_net *net, struct rte_mbuf *mbuf, const struct mr_ndp *asked,
                       const struct mr_mac *from)
{
    bool is_anonymous = mr_ip_is_unspecified(&asked->source);
    struct mr_ndp answer = {
        .is_advertisement = true,
        .has_mac = true,
        .flags = is_anonymous ? MR_NDP_OVERRIDE : MR_NDP_OVERRIDE | MR_NDP_SOLICITED,
        .source = asked->target,
        .destination = is_anonymous ? all_nodes : asked->source,
        .target = asked->target,
        .mac = net->self.mac,
    };
    struct mr_mac group = mr_mac_of_multicast(&all_nodes);

    if (net->tentative_until_ns != 0)
        answer.flags &= (uint8_t)~MR_NDP_OVERRIDE; /* RFC 4429, Section 3.3 */
    return push_ndp(net, mbuf, is_anonymous ? &group : from, &answer);
}

static bool handle_solicitation(struct mr_net *net, const struct mr_net_visit *visit,
                                const struct mr_ndp *ndp, const struct mr_mac *from, uint64_t now)
{
    bool is_anonymous = mr_ip_is_unspecified(&ndp->source);

    if (!mr_net_self_has(&net->self, &ndp->target))
        return false; /* for another host of the group */
    if (is_anonymous && net->tentative_until_ns != 0) {
        on_conflict(net, &ndp->target); /* both begin at once: neither gets it */
        return false;
    }
    if (!is_anonymous) {
        if (!is_on_link(net, &ndp->source))
            return drop(&net->counters.net_drop_icmp);
        mr_neighbour_learn(net->neighbours, &ndp->source, ndp->has_mac ? &ndp->mac : from,
                           MR_NEIGHBOUR_REQUEST, now);
    }
    return take_answer(net, now) && answer_ndp(net, visit->mbuf, ndp, from);
}

static bool handle_advertisement(struct mr_net *net, const struct mr_ndp *ndp,
                                 const struct mr_mac *from, uint64_t now)
{
    bool is_answer = (ndp->flags & MR_NDP_SOLICITED) != 0;

    if (mr_net_self_has(&net->self, &ndp->target)) {
        on_conflict(net, &ndp->target);
        return false;
    }
    if (!is_on_link(net, &ndp->target))
        return drop(&net->counters.net_drop_icmp);
    mr_neighbour_learn(net->neighbours, &ndp->target, ndp->has_mac ? &ndp->mac : from,
                       is_answer ? MR_NEIGHBOUR_ANSWER : MR_NEIGHBOUR_CLAIM, now);
    return false;
}

static bool handle_ndp(struct mr_net *net, const struct mr_net_visit *visit, uint64_t now)
{
    struct mr_ip source;
    struct mr_ip destination;
    struct mr_mac from;
    struct mr_ndp ndp;

    memcpy(source.bytes, visit->path.remote.ip, sizeof(source));
    memcpy(destination.bytes, visit->path.local.ip, sizeof(destination));
    memcpy(from.bytes, visit->data + MR_ETHER_SOURCE, sizeof(from));
    if (!mr_ndp_parse(visit->data + visit->packet.l4_offset, visit->packet.payload_size, &source,
                      &destination, visit->packet.hop_limit, &ndp))
        return drop(&net->counters.net_drop_icmp);
    if (ndp.is_advertisement)
        return handle_advertisement(net, &ndp, &from, now);
    if (mr_net_self_has(&net->self, &source))
        return drop(&net->counters.net_drop_source_ip);
    return handle_solicitation(net, visit, &ndp, &from, now);
}

/* ---- ICMP ---- */

static bool answer_echo(struct mr_net *net, struct mr_net_visit *visit, uint64_t now)
{
    struct mr_ip local;
    struct mr_ip remote;

    memcpy(remote.bytes, visit->path.remote.ip, sizeof(remote));
    /* An echo to a group is how one packet becomes many. */
    if (visit->packet.is_group || mr_ip_is_unspecified(&remote))
        return drop(&net->counters.net_drop_icmp);
    if (mr_net_self_has(&net->self, &remote))
        return drop(&net->counters.net_drop_source_ip);
    if (!take_answer(net, now))
        return false;
    memcpy(local.bytes, visit->path.local.ip, sizeof(local));
    uint32_t size = mr_icmp_make_reply(visit->data, &visit->packet, &net->self.mac, &local);
    return push_frame(net, visit->mbuf, size, &net->counters.net_tx_echo);
}

static bool report(struct mr_net *net, const struct mr_icmp_event *event)
{
    mr_net_count(event->kind == MR_ICMP_TOO_BIG ? &net->counters.net_icmp_too_big
                                                : &net->counters.net_icmp_unreachable,
                 1);
    if (net->events_end - net->events_begin == MR_NET_EVENTS_MAX)
        return drop(&net->counters.net_icmp_event_full);
    net->events[net->events_end++ % MR_NET_EVENTS_MAX] = *event;
    return false;
}

static bool handle_icmp(struct mr_net *net, struct mr_net_visit *visit, uint64_t now)
{
    struct mr_icmp_event event;

    mr_net_count(&net->counters.net_rx_icmp, 1);
    switch (mr_icmp_parse(visit->data + visit->packet.l4_offset, visit->packet.payload_size,
                          &visit->path, visit->is_sum_good, &event)) {
    case MR_ICMP_ECHO:
        return answer_echo(net, visit, now);
    case MR_ICMP_NDP:
        return handle_ndp(net, visit, now);
    case MR_ICMP_TOO_BIG:
    case MR_ICMP_UNREACHABLE:
        return report(net, &event);
    case MR_ICMP_BAD:
    case MR_ICMP_OTHER:
        break;
    }
    return drop(&net->counters.net_drop_icmp);
}

bool mr_net_handle_own(struct mr_net *net, struct mr_net_visit *visit, uint64_t now)
{
    return visit->kind == MR_NET_ARP ? handle_arp(net, visit, now) : handle_icmp(net, visit, now);
}
