/*
 * drivers/xdp_program.bpf.c - which of an interface's frames are ours, and which the kernel's?
 *
 *     frame -- VLAN -- ARP ------- about an address of ours? ---------------+
 *                   -- IPv4, IPv6 to an address of ours                     |
 *                        UDP ----- to an open port? ------------------------+--> our socket
 *                        ICMP ---- address not shared, or quotes a datagram |
 *                   -- NDP ------- for an address that is not shared? ------+
 *                   everything else: the kernel's stack, as if we were not here
 *
 * A frame that is not whole, or that is read in doubt, is the kernel's.  Loaded into the kernel by
 * xdp_program.c; the maps are those of xdp_rules.h.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stddef.h>

#include "drivers/xdp_rules.h"

#define VLAN_ID_MASK        0x0fff
#define IPV4_IS_FRAGMENT    0x3fff /* more follow, or some came before */
#define ARP_OP_REPLY        2
#define ICMP_UNREACHABLE    3 /* too big is one of its codes */
#define ICMP6_ERROR_MAX     4 /* types 1 to 4 quote what they are about */
#define ICMP6_SOLICITATION  135
#define ICMP6_ADVERTISEMENT 136

struct vlan_tag {
    __be16 tci;
    __be16 type;
};

struct arp_packet {
    __be16 hardware;
    __be16 protocol;
    __u8 hardware_size;
    __u8 protocol_size;
    __be16 op;
    __u8 sender_mac[6];
    __u8 sender_ip[4];
    __u8 target_mac[6];
    __u8 target_ip[4];
} __attribute__((packed));

/* A neighbour solicitation or advertisement, RFC 4861, Section 4.3. */
struct ndp_packet {
    __u8 type;
    __u8 code;
    __be16 checksum;
    __be32 flags;
    __u8 target[16];
};

/* What ICMP and ICMPv6 errors begin with; the packet that they are about follows. */
struct icmp_error {
    __u8 type;
    __u8 code;
    __be16 checksum;
    __be32 rest;
};

struct extension {
    __u8 next;
    __u8 size; /* in units of 8 bytes, without the first */
    __u8 rest[6];
};

struct address {
    __u32 words[4]; /* IPv4 as ::ffff:a.b.c.d */
};

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, MR_XDP_QUEUES_MAX);
    __type(key, __u32);
    __type(value, __u32);
} xsks_map SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, MR_XDP_ADDRESSES_MAX);
    __type(key, struct address);
    __type(value, __u32);
} mr_addresses SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct mr_xdp_self);
} mr_self SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, MR_XDP_PORT_WORDS);
    __type(key, __u32);
    __type(value, __u64);
} mr_ports SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, MR_XDP_OUTCOME_COUNT);
    __type(key, __u32);
    __type(value, __u64);
} mr_counts SEC(".maps");

/* What is read: from `at` on, nothing behind `end`. */
struct view {
    const struct mr_xdp_self *self;
    const __u8 *at;
    const __u8 *end;
    __u32 is_group; /* the Ethernet destination is */
};

/* ---- what we know ---- */

/* enum mr_xdp_standing of an address; 0: not ours. */
static __always_inline __u32 standing_of(const void *bytes)
{
    struct address key;

    __builtin_memcpy(&key, bytes, sizeof(key));
    const __u32 *standing = bpf_map_lookup_elem(&mr_addresses, &key);
    return standing == NULL ? 0 : *standing;
}

static __always_inline __u32 standing_of4(const void *bytes)
{
    struct address key = {.words = {0, 0, bpf_htonl(0xffff), 0}};

    __builtin_memcpy(&key.words[3], bytes, 4);
    const __u32 *standing = bpf_map_lookup_elem(&mr_addresses, &key);
    return standing == NULL ? 0 : *standing;
}

static __always_inline int is_open(__be16 port)
{
    __u32 number = bpf_ntohs(port);
    __u32 word = number / 64;
    const __u64 *open = bpf_map_lookup_elem(&mr_ports, &word);

    return open != NULL && (*open >> number % 64 & 1) != 0;
}

/* Two bytes at a time: there is no memcmp(), and pointers into a frame are even. */
static __always_inline int is_same(const void *a, const void *b, __u32 size)
{
    const __u16 *left = a;
    const __u16 *right = b;
    __u16 differs = 0;

#pragma unroll
    for (__u32 i = 0; i < size / 2; i++)
        differs |= left[i] ^ right[i];
    return differs == 0;
}

/* ---- ARP ---- */

static __always_inline enum mr_xdp_outcome judge_arp(const struct view *v)
{
    const struct arp_packet *arp = (const void *)v->at;

    if ((const __u8 *)(arp + 1) > v->end || arp->hardware != bpf_htons(1) ||
        arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_size != 6 || arp->protocol_size != 4)
        return MR_XDP_passed_other;
    /* Asked for, answered to, or claimed by another. */
    if (standing_of4(arp->target_ip) == MR_XDP_OWN || standing_of4(arp->sender_ip) == MR_XDP_OWN)
        return MR_XDP_taken_arp;
    /* The kernel asks from an address; where it has ours, we do not. */
    if (v->self->asks_aside && arp->op == bpf_htons(ARP_OP_REPLY) && !v->is_group &&
        (arp->target_ip[0] | arp->target_ip[1] | arp->target_ip[2] | arp->target_ip[3]) == 0 &&
        is_same(arp->target_mac, v->self->mac, sizeof(v->self->mac)))
        return MR_XDP_taken_arp;
    return MR_XDP_passed_other;
}

/* ---- UDP and ICMP ---- */

static __always_inline enum mr_xdp_outcome judge_udp(const struct view *v, const __u8 *at)
{
    const struct udphdr *udp = (const void *)at;

    if ((const __u8 *)(udp + 1) > v->end || v->is_group)
        return MR_XDP_passed_other;
    return is_open(udp->dest) ? MR_XDP_taken_udp : MR_XDP_passed_port;
}

/* Is the quoted packet at `at` a UDP datagram that was sent from `ours` and an open port? */
static __always_inline int quotes_ours4(const struct view *v, const __u8 *at, __be32 ours)
{
    const struct iphdr *ip = (const void *)at;

    if ((const __u8 *)(ip + 1) > v->end || ip->protocol != IPPROTO_UDP || ip->saddr != ours ||
        ip->ihl < 5)
        return 0;
    const struct udphdr *udp = (const void *)(at + ip->ihl * 4);
    return (const __u8 *)(udp + 1) <= v->end && is_open(udp->source);
}

static __always_inline int quotes_ours6(const struct view *v, const __u8 *at, const void *ours)
{
    const struct ipv6hdr *ip = (const void *)at;
    const struct udphdr *udp = (const void *)(ip + 1);

    return (const __u8 *)(udp + 1) <= v->end && ip->nexthdr == IPPROTO_UDP &&
           is_same(&ip->saddr, ours, 16) && is_open(udp->source);
}

/* ---- IPv4 ---- */

static __always_inline enum mr_xdp_outcome judge_icmp4(const struct view *v, const struct iphdr *ip,
                                                       const __u8 *at, __u32 standing)
{
    const struct icmp_error *icmp = (const void *)at;

    if (standing == MR_XDP_OWN)
        return MR_XDP_taken_icmp;
    if ((const __u8 *)(icmp + 1) > v->end || icmp->type != ICMP_UNREACHABLE ||
        !quotes_ours4(v, (const __u8 *)(icmp + 1), ip->daddr))
        return MR_XDP_passed_other;
    return MR_XDP_taken_icmp;
}

static __always_inline enum mr_xdp_outcome judge_ipv4(const struct view *v)
{
    const struct iphdr *ip = (const void *)v->at;

    if ((const __u8 *)(ip + 1) > v->end || ip->version != 4 || ip->ihl < 5)
        return MR_XDP_passed_other;
    __u32 standing = standing_of4(&ip->daddr);
    if (standing == 0)
        return MR_XDP_passed_other;
    if (ip->frag_off & bpf_htons(IPV4_IS_FRAGMENT))
        return MR_XDP_passed_fragment;
    const __u8 *at = v->at + ip->ihl * 4;
    if (ip->protocol == IPPROTO_UDP)
        return judge_udp(v, at);
    if (ip->protocol == IPPROTO_ICMP)
        return judge_icmp4(v, ip, at, standing);
    return MR_XDP_passed_other;
}

/* ---- IPv6 ---- */

static __always_inline enum mr_xdp_outcome
judge_icmp6(const struct view *v, const struct ipv6hdr *ip, const __u8 *at, __u32 standing)
{
    const struct ndp_packet *ndp = (const void *)at;

    if ((const __u8 *)(ndp + 1) <= v->end &&
        (ndp->type == ICMP6_SOLICITATION || ndp->type == ICMP6_ADVERTISEMENT)) {
        /* Asked for, claimed by another, or answered to. */
        if (standing_of(ndp->target) == MR_XDP_OWN ||
            (standing == MR_XDP_OWN && ndp->type == ICMP6_ADVERTISEMENT))
            return MR_XDP_taken_ndp;
        return MR_XDP_passed_other;
    }
    if (standing == MR_XDP_OWN)
        return MR_XDP_taken_icmp;
    const struct icmp_error *icmp = (const void *)at;
    if (standing == 0 || (const __u8 *)(icmp + 1) > v->end || icmp->type == 0 ||
        icmp->type > ICMP6_ERROR_MAX || !quotes_ours6(v, (const __u8 *)(icmp + 1), &ip->daddr))
        return MR_XDP_passed_other;
    return MR_XDP_taken_icmp;
}

static __always_inline enum mr_xdp_outcome judge_transport6(const struct view *v,
                                                            const struct ipv6hdr *ip,
                                                            const __u8 *at, __u8 next,
                                                            __u32 standing)
{
    if (next == IPPROTO_ICMPV6)
        return judge_icmp6(v, ip, at, standing);
    return next == IPPROTO_UDP ? judge_udp(v, at) : MR_XDP_passed_other;
}

static __always_inline enum mr_xdp_outcome judge_ipv6(const struct view *v)
{
    const struct ipv6hdr *ip = (const void *)v->at;
    const __u8 *at = (const __u8 *)(ip + 1);

    if (at > v->end || ip->version != 6)
        return MR_XDP_passed_other;
    __u8 next = ip->nexthdr;
    __u32 standing = standing_of(&ip->daddr);
    if (standing == 0 && next != IPPROTO_ICMPV6)
        return MR_XDP_passed_other;
#pragma unroll
    for (int i = 0; i < MR_XDP_EXTENSIONS_MAX; i++) {
        const struct extension *extension = (const void *)at;

        if (next == IPPROTO_FRAGMENT)
            return MR_XDP_passed_fragment;
        if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS)
            break;
        if ((const __u8 *)(extension + 1) > v->end)
            return MR_XDP_passed_other;
        next = extension->next;
        at += (extension->size + 1) * 8;
    }
    if (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS || next == IPPROTO_ROUTING)
        return MR_XDP_passed_extension;
    return judge_transport6(v, ip, at, next, standing);
}

/* ---- Ethernet ---- */

static __always_inline enum mr_xdp_outcome judge_frame(const struct xdp_md *ctx)
{
    struct view v = {.at = (const __u8 *)(long)ctx->data, .end = (const __u8 *)(long)ctx->data_end};
    const struct ethhdr *ethernet = (const void *)v.at;
    const __u32 zero = 0;

    v.self = bpf_map_lookup_elem(&mr_self, &zero);
    v.at = (const __u8 *)(ethernet + 1);
    if (v.self == NULL || v.at > v.end)
        return MR_XDP_passed_other;
    v.is_group = ethernet->h_dest[0] & 1;
    if (!v.is_group && !is_same(ethernet->h_dest, v.self->mac, sizeof(v.self->mac)))
        return MR_XDP_passed_other;

    __be16 type = ethernet->h_proto;
    __u16 vlan = 0;
    if (type == bpf_htons(ETH_P_8021Q)) {
        const struct vlan_tag *tag = (const void *)v.at;

        v.at = (const __u8 *)(tag + 1);
        if (v.at > v.end)
            return MR_XDP_passed_other;
        vlan = bpf_ntohs(tag->tci) & VLAN_ID_MASK;
        type = tag->type;
    }
    if (vlan != v.self->vlan)
        return MR_XDP_passed_vlan;
    if (type == bpf_htons(ETH_P_IP))
        return judge_ipv4(&v);
    if (type == bpf_htons(ETH_P_IPV6))
        return judge_ipv6(&v);
    return type == bpf_htons(ETH_P_ARP) ? judge_arp(&v) : MR_XDP_passed_other;
}

static __always_inline void count(enum mr_xdp_outcome outcome)
{
    __u32 key = outcome;
    __u64 *frames = bpf_map_lookup_elem(&mr_counts, &key);

    if (frames != NULL)
        *frames += 1;
}

SEC("xdp") int mr_xdp(struct xdp_md *ctx)
{
    enum mr_xdp_outcome outcome = judge_frame(ctx);
    long action = XDP_PASS;

    if (outcome <= MR_XDP_taken_icmp) {
        action = bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
        if (action != XDP_REDIRECT)
            outcome = MR_XDP_passed_no_socket;
    }
    count(outcome);
    return (int)action;
}

char mr_license[] SEC("license") = "Apache-2.0";
