/* control/admission.c - see admission.h. */
#include "control/admission.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>

#include "base/fault.h"
#include "dataplane/shard.h"

_Static_assert(MR_NET_ADDRESSES_MAX <= MR_PORT_ADDRESSES, "a port takes all addresses of ours");

static bool is_at(const struct ifaddrs *interface, const uint8_t ip[16])
{
    const struct sockaddr *address = interface->ifa_addr;
    struct mr_ip its = {0};

    if (address == NULL || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
        return false;
    if (address->sa_family == AF_INET)
        its = mr_ip_from_v4(
            (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
    else
        memcpy(its.bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    return memcmp(its.bytes, ip, 16) == 0;
}

static bool kernel_has(const struct ifaddrs *interfaces, const uint8_t ip[16])
{
    for (const struct ifaddrs *i = interfaces; i != NULL; i = i->ifa_next) {
        if (is_at(i, ip))
            return true;
    }
    return false;
}

/* A link-local address that nobody else has: random, 64 bits. */
static bool add_link_local(struct mr_port_admission *admission, struct mr_net_self *self,
                           struct mr_fault *fault)
{
    struct mr_prefix prefix = {.ip = {{0xfe, 0x80}}, .bits = 64};

    if (self->address_count == MR_NET_ADDRESSES_MAX) {
        mr_fault_set(fault, E2BIG,
                     "addresses that the kernel has as well need a link-local one beside them: "
                     "give %d at most",
                     MR_NET_ADDRESSES_MAX - 1);
        return false;
    }
    (void)getrandom(prefix.ip.bytes + 8, 8, 0);
    prefix.ip.bytes[8] &= 0xfd; /* not made from a MAC: RFC 4291, Section 2.5.1 */
    self->address[self->address_count++] = prefix;
    memcpy(admission->address[admission->address_count++].ip, prefix.ip.bytes, 16);
    return true;
}

bool mr_admission_begin(struct mr_port_admission *admission, struct mr_net_self *self,
                        struct mr_fault *fault)
{
    struct ifaddrs *interfaces = NULL;
    bool has_shared6 = false;

    memset(admission, 0, sizeof(*admission));
    if (getifaddrs(&interfaces) != 0) {
        mr_fault_set(fault, errno, "cannot read the kernel's addresses: %s", strerror(errno));
        return false;
    }
    for (uint32_t i = 0; i < self->address_count; i++) {
        struct mr_port_address *to = &admission->address[admission->address_count++];

        memcpy(to->ip, self->address[i].ip.bytes, sizeof(to->ip));
        to->is_shared = kernel_has(interfaces, to->ip);
        self->is_shared = self->is_shared || to->is_shared;
        has_shared6 = has_shared6 || (to->is_shared && !mr_ip_is_v4(&self->address[i].ip));
    }
    freeifaddrs(interfaces);
    admission->vlan = self->vlan;
    admission->asks_aside = self->is_shared;
    return !has_shared6 || add_link_local(admission, self, fault);
}

static void open_port(struct mr_port_admission *admission, uint32_t port)
{
    admission->open_ports[port / 64] |= UINT64_C(1) << port % 64;
}

void mr_admission_open(struct mr_port_admission *admission, const struct mr_shard_config *shard)
{
    open_port(admission, shard->local_port);
    for (uint32_t i = 0; i < shard->client_ports.count; i++)
        open_port(admission, shard->client_ports.first + i);
    for (uint32_t i = 0; i < shard->more_port_count; i++)
        open_port(admission, shard->more_ports[i]);
}

enum mr_admission_change mr_admission_look(struct mr_port_admission *admission,
                                           struct mr_ip *ip_out)
{
    enum mr_admission_change change = MR_ADMISSION_SAME;
    struct ifaddrs *interfaces = NULL;

    if (getifaddrs(&interfaces) != 0)
        return MR_ADMISSION_SAME;
    for (uint32_t i = 0; i < admission->address_count && change != MR_ADMISSION_FREED; i++) {
        struct mr_port_address *address = &admission->address[i];
        bool is_kernels = kernel_has(interfaces, address->ip);

        if (is_kernels == address->is_shared)
            continue;
        change = is_kernels ? MR_ADMISSION_TAKEN : MR_ADMISSION_FREED;
        address->is_shared = is_kernels && address->is_shared;
        memcpy(ip_out->bytes, address->ip, sizeof(ip_out->bytes));
    }
    freeifaddrs(interfaces);
    return change;
}
