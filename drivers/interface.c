/* drivers/interface.c - see interface.h. */
#include "drivers/interface.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "drivers/options.h"

bool mr_interface_may(enum mr_capability capability)
{
    unsigned long long effective = 0;
    char line[128];
    FILE *status = fopen("/proc/self/status", "re");

    if (status == NULL)
        return geteuid() == 0;
    while (fgets(line, sizeof(line), status) != NULL)
        if (sscanf(line, "CapEff: %llx", &effective) == 1)
            break;
    fclose(status);
    return (effective >> capability & 1) != 0;
}

bool mr_interface_parse_mac(const char *text, uint8_t mac_out[6])
{
    static const char digits[] = "0123456789abcdefABCDEF:";
    unsigned byte[6];
    char end;

    if (strspn(text, digits) != strlen(text) ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
               &byte[5], &end) != 6 ||
        (byte[0] & 1) != 0)
        return false;
    unsigned any = 0;
    for (int i = 0; i < 6; i++) {
        mac_out[i] = (uint8_t)byte[i];
        any |= byte[i];
    }
    return any != 0;
}

bool mr_interface_has_gap(const char *rest)
{
    size_t size = strlen(rest);

    return strstr(rest, ",,") != NULL || (size > 0 && rest[size - 1] == ',');
}

bool mr_interface_check_end(const struct mr_options *options, const char *rest, const char *hint,
                            struct mr_fault *fault)
{
    if (!options->is_too_long && !mr_interface_has_gap(rest))
        return true;
    mr_fault_set(fault, EINVAL, "%s: leave the comma out, or write %s behind it",
                 options->is_too_long ? "an option is too long" : "there is nothing behind a comma",
                 hint);
    return false;
}

/* A name that the kernel would take as it is: it makes a number of "%d". */
static bool is_interface_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        if (*c <= ' ' || *c == 0x7f || strchr("/:%", *c) != NULL)
            return false;
    return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

bool mr_interface_parse_name(const struct mr_options *options, char name_out[IFNAMSIZ],
                             struct mr_fault *fault)
{
    if (is_interface_name(options->name) && options->value[0] == '\0' &&
        strlen(options->name) < IFNAMSIZ) {
        memcpy(name_out, options->name, strlen(options->name) + 1);
        return true;
    }
    mr_fault_set(fault, EINVAL,
                 "an interface's name has 1 to %d characters, without slash, colon, percent sign, "
                 "equals sign and blank",
                 IFNAMSIZ - 1);
    return false;
}

static void say_which_exist(const char *name, struct mr_fault *fault)
{
    struct if_nameindex *interfaces = if_nameindex();
    char list[160] = "";
    size_t used = 0;

    for (struct if_nameindex *i = interfaces; i != NULL && i->if_name != NULL; i++) {
        int more =
            snprintf(list + used, sizeof(list) - used, "%s%s", used > 0 ? ", " : "", i->if_name);

        if (more < 0 || (size_t)more >= sizeof(list) - used)
            break; /* the rest is left out */
        used += (size_t)more;
    }
    if (interfaces != NULL)
        if_freenameindex(interfaces);
    mr_fault_set(fault, ENODEV, "no interface %s; there are: %s", name, list);
}

bool mr_interface_read(int fd, const char *name, struct mr_interface *interface_out,
                       struct mr_fault *fault)
{
    struct ifreq request = {0};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) {
        say_which_exist(name, fault);
        return false;
    }
    if ((request.ifr_flags & IFF_LOOPBACK) != 0) {
        mr_fault_set(fault, EINVAL,
                     "interface %s is the loopback: no other host is behind it; take tap:NAME to "
                     "talk to this machine, or another interface",
                     name);
        return false;
    }
    if ((request.ifr_flags & IFF_UP) == 0) {
        mr_fault_set(fault, ENETDOWN, "interface %s is down: `ip link set %s up`", name, name);
        return false;
    }
    if (ioctl(fd, SIOCGIFHWADDR, &request) != 0 || request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
        mr_fault_set(fault, EINVAL,
                     "interface %s carries no Ethernet frames, as tunnels do not: name an Ethernet "
                     "interface",
                     name);
        return false;
    }
    memcpy(interface_out->mac, request.ifr_hwaddr.sa_data, sizeof(interface_out->mac));
    interface_out->index = if_nametoindex(name);
    if (ioctl(fd, SIOCGIFMTU, &request) != 0) {
        mr_fault_set(fault, errno, "cannot read the MTU of %s: %s", name, strerror(errno));
        return false;
    }
    interface_out->mtu = request.ifr_mtu;
    return true;
}

void mr_interface_join_groups(int fd, unsigned index, bool takes_others)
{
    struct packet_mreq request = {
        .mr_ifindex = (int)index,
        .mr_type = takes_others ? PACKET_MR_PROMISC : PACKET_MR_ALLMULTI,
    };

    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request));
}
