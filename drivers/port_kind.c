/* drivers/port_kind.c - see port_kind.h. */
#include "drivers/port_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "drivers/interface.h"
#include "drivers/loopback.h"
#include "drivers/options.h"
#include "drivers/pci.h"
#include "drivers/port.h"
#include "drivers/unix_socket.h"
#include "drivers/xdp_port.h"

enum {
    PAGE = 4096,
    PACKET_FRAME_SMALL = 2048,
    PACKET_FRAME_LARGE = 12288, /* three pages */
    PACKET_FRAME_OVERHEAD =
        128, /* bytes of a packet socket's frame that are not the Ethernet frame, rounded up */
    ETHERNET_OVERHEAD = 18, /* header and VLAN tag */
    MEMIF_BUFFER = 2048,
    MEMIF_RING_BITS = 10
};

/* Copy a text that fits into `size` bytes with its end; false if it does not. */
static bool copy_text(char *to, size_t size, const char *from)
{
    size_t length = strlen(from);

    if (length >= size)
        return false;
    memcpy(to, from, length + 1);
    return true;
}

/* An option behind the name; only `mac` is known. */
static bool parse_interface_option(const struct mr_options *options, struct mr_port_plan *plan,
                                   struct mr_fault *fault)
{
    if (strcmp(options->name, "mac") != 0) {
        mr_fault_set(fault, EINVAL, "unknown option %s: only mac is known", options->name);
        return false;
    }
    plan->has_mac = mr_interface_parse_mac(options->value, plan->mac);
    if (plan->has_mac)
        return true;
    mr_fault_set(fault, EINVAL, "mac=%s is no address of one station, such as 02:00:00:00:00:01",
                 options->value);
    return false;
}

/* Read the interface's name, and options behind it. */
static bool parse_interface(const char *rest, char name_out[IFNAMSIZ], struct mr_port_plan *plan,
                            struct mr_fault *fault)
{
    struct mr_options options = mr_options_of(rest);

    options.name[0] = options.value[0] = '\0';
    mr_options_next(&options);
    if (!mr_interface_parse_name(&options, name_out, fault))
        return false;
    while (mr_options_next(&options))
        if (options.name[0] != '\0' && !parse_interface_option(&options, plan, fault))
            return false;
    return mr_interface_check_end(&options, rest, "mac=M", fault);
}

static bool check_interface_spec(const char *rest, struct mr_fault *fault)
{
    struct mr_port_plan plan;
    char name[IFNAMSIZ];

    return parse_interface(rest, name, &plan, fault);
}

/* ---- tap ---- */

static bool say_no_tun(int error, struct mr_fault *fault)
{
    mr_fault_set(fault, error, "cannot open /dev/net/tun: %s; %s", strerror(error),
                 error == ENOENT || error == ENODEV ? "load the kernel's module: modprobe tun"
                                                    : "run with sudo");
    return false;
}

/* Would the kernel make the interface?  It goes again when the attempt is closed. */
static bool try_tun_device(const char *name, struct mr_fault *fault)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};

    if (fd < 0)
        return say_no_tun(errno, fault);
    memcpy(request.ifr_name, name, strlen(name) + 1);
    int error = ioctl(fd, TUNSETIFF, &request) == 0 ? 0 : errno;
    close(fd);
    if (error != 0)
        mr_fault_set(fault, error, "the kernel makes no interface %s: %s; choose another name",
                     name, strerror(error));
    return error == 0;
}

static bool plan_tap(const struct mr_port_config *config, const char *rest,
                     struct mr_port_plan *plan, struct mr_fault *fault)
{
    char name[IFNAMSIZ];

    if (!parse_interface(rest, name, plan, fault))
        return false;
    if (!mr_interface_may(MR_CAPABILITY_NET_ADMIN)) {
        mr_fault_set(fault, EPERM, "a TAP interface needs root or CAP_NET_ADMIN: run with sudo");
        return false;
    }
    if (if_nametoindex(name) != 0) {
        mr_fault_set(fault, EEXIST,
                     "an interface %s exists already: choose another name, or remove it with "
                     "`ip link del %s`",
                     name, name);
        return false;
    }
    if (!try_tun_device(name, fault))
        return false;
    plan->mtu = config->mtu > 0 ? config->mtu : MR_PORT_MTU;
    snprintf(plan->arguments, sizeof(plan->arguments), "iface=%s", name);
    return true;
}

/* ---- af_packet ---- */

static void write_packet_arguments(const struct mr_port_config *config, const char *name,
                                   struct mr_port_plan *plan)
{
    unsigned frame = plan->mtu + ETHERNET_OVERHEAD + PACKET_FRAME_OVERHEAD <= PACKET_FRAME_SMALL
                         ? PACKET_FRAME_SMALL
                         : PACKET_FRAME_LARGE;
    plan->ring_frames = config->rx_descriptors > 0 ? config->rx_descriptors : MR_PORT_DESCRIPTORS;
    snprintf(plan->arguments, sizeof(plan->arguments),
             "iface=%s,qpairs=%u,framesz=%u,blocksz=%u,framecnt=%u,qdisc_bypass=1", name,
             config->queue_count, frame, MR_MAX(frame, (unsigned)PAGE), plan->ring_frames);
}

static bool plan_af_packet(const struct mr_port_config *config, const char *rest,
                           struct mr_port_plan *plan, struct mr_fault *fault)
{
    const int mtu_max = PACKET_FRAME_LARGE - ETHERNET_OVERHEAD - PACKET_FRAME_OVERHEAD;
    struct mr_interface interface;
    char name[IFNAMSIZ];

    if (!parse_interface(rest, name, plan, fault))
        return false;
    if (!mr_interface_may(MR_CAPABILITY_NET_RAW)) {
        mr_fault_set(fault, EPERM, "a packet socket needs root or CAP_NET_RAW: run with sudo");
        return false;
    }

    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        mr_fault_set(fault, errno, "cannot open a packet socket: %s", strerror(errno));
        return false;
    }
    if (!mr_interface_read(fd, name, &interface, fault)) {
        close(fd);
        return false;
    }
    mr_interface_join_groups(fd, interface.index, plan->has_mac);
    plan->held_fd = fd;
    plan->mtu = (uint16_t)MR_MIN(interface.mtu, mtu_max);
    uint16_t wanted = config->mtu > 0 ? config->mtu : MR_PORT_MTU;
    plan->mtu = MR_MIN(plan->mtu, wanted);
    write_packet_arguments(config, name, plan);
    return true;
}

/* ---- memif ---- */

struct memif_options {
    bool has_role;
    bool is_server;
    bool is_zero_copy;
    uint64_t id;
    char socket[MR_OPTION_MAX]; /* a path, or '@' and an abstract name */
    char secret[25];            /* memif's own limit is 24 characters */
};

static bool set_memif_option(struct memif_options *memif, const struct mr_options *options,
                             struct mr_port_plan *plan)
{
    const char *value = options->value;

    if (strcmp(options->name, "role") == 0) {
        memif->has_role = true;
        memif->is_server = strcmp(value, "server") == 0;
        return memif->is_server || strcmp(value, "client") == 0;
    }
    if (strcmp(options->name, "socket") == 0)
        return copy_text(memif->socket, sizeof(memif->socket), value) &&
               (value[0] == '/' || (value[0] == '@' && value[1] != '\0'));
    if (strcmp(options->name, "secret") == 0)
        return copy_text(memif->secret, sizeof(memif->secret), value);
    if (strcmp(options->name, "id") == 0)
        return mr_option_number(value, UINT32_MAX, &memif->id);
    if (strcmp(options->name, "zero-copy") == 0)
        return mr_option_bool(value, &memif->is_zero_copy);
    if (strcmp(options->name, "mac") == 0)
        return plan->has_mac = mr_interface_parse_mac(value, plan->mac);
    return false;
}

static bool parse_memif(const char *rest, struct memif_options *memif, struct mr_port_plan *plan,
                        struct mr_fault *fault)
{
    struct mr_options options = mr_options_of(rest);

    while (mr_options_next(&options))
        if (options.name[0] != '\0' && !set_memif_option(memif, &options, plan)) {
            mr_fault_set(
                fault, EINVAL,
                "memif option %s=%s is unknown or malformed: role=server|client, socket=/PATH or "
                "@NAME, id=N, zero-copy=yes|no, secret=S (24 characters), mac=M",
                options.name, options.value);
            return false;
        }
    if (rest[0] != '\0' && mr_interface_has_gap(rest)) {
        mr_fault_set(fault, EINVAL, "there is nothing behind a comma: leave the comma out");
        return false;
    }
    if (options.is_too_long || !memif->has_role || memif->socket[0] == '\0') {
        mr_fault_set(fault, EINVAL,
                     "memif needs role=server|client and socket=/PATH (shorter than %d characters)",
                     MR_OPTION_MAX);
        return false;
    }
    if (memif->is_server && memif->is_zero_copy) {
        mr_fault_set(fault, EINVAL, "zero-copy= is the client's to choose: its memory is shared");
        return false;
    }
    return true;
}

/* A client needs a server that is there already: memif does not connect later by itself. */
static bool find_server(const char *name, struct mr_fault *fault)
{
    int error = mr_unix_socket_look(name);

    if (error == EADDRINUSE)
        return true;
    mr_fault_set(fault, error, "no memif server answers at %s: %s; start the server's side first",
                 name, strerror(error));
    return false;
}

static bool check_memif_spec(const char *rest, struct mr_fault *fault)
{
    struct memif_options memif = {0};
    struct mr_port_plan plan;

    return parse_memif(rest, &memif, &plan, fault);
}

static bool plan_memif(const struct mr_port_config *config, const char *rest,
                       struct mr_port_plan *plan, struct mr_fault *fault)
{
    struct memif_options memif = {0};

    if (!parse_memif(rest, &memif, plan, fault))
        return false;
    if (memif.is_server ? mr_unix_socket_take(memif.socket, "socket=", fault) != 0
                        : !find_server(memif.socket, fault))
        return false;

    snprintf(plan->memif.peer, sizeof(plan->memif.peer), "%s", memif.socket);
    plan->memif.is_server = memif.is_server;
    if (!mr_memif_name_driver(&plan->memif, fault))
        return false;
    plan->mtu = config->mtu > 0 ? config->mtu : MR_PORT_MTU;
    plan->waits_for_peer = !memif.is_server;
    plan->ring_frames = 1u << MEMIF_RING_BITS;
    snprintf(plan->arguments, sizeof(plan->arguments),
             "role=%s,id=%u,socket=%s,socket-abstract=no,bsize=%u,rsize=%u,zero-copy=%s%s%s",
             memif.is_server ? "server" : "client", (unsigned)memif.id, plan->memif.driver,
             MR_MAX((unsigned)MEMIF_BUFFER, plan->mtu + 64u), (unsigned)MEMIF_RING_BITS,
             memif.is_zero_copy ? "yes" : "no", memif.secret[0] != '\0' ? ",secret=" : "",
             memif.secret);
    return true;
}

/* ---- pci ---- */

static bool parse_wish(const char *text, enum mr_port_wish *wish_out)
{
    bool is_yes = false;

    *wish_out = MR_PORT_AUTO;
    if (strcmp(text, "auto") == 0)
        return true;
    if (!mr_option_bool(text, &is_yes))
        return false;
    *wish_out = is_yes ? MR_PORT_YES : MR_PORT_NO;
    return true;
}

static bool parse_rss(const char *text, enum mr_port_rss_mode *mode_out)
{
    bool is_symmetric = strcmp(text, "symmetric") == 0;

    *mode_out = is_symmetric ? MR_PORT_RSS_SYMMETRIC : MR_PORT_RSS_RANDOM;
    return is_symmetric || strcmp(text, "random") == 0;
}

/* Take what only a card can be asked for; `*may_out` is what may be written, NULL: it is none of
 * these. */
static bool take_card_wish(const struct mr_options *options, struct mr_port_plan *plan,
                           const char **may_out)
{
    *may_out = NULL;
    if (strcmp(options->name, "tso") == 0) {
        *may_out = "tso=auto, tso=yes or tso=no";
        return parse_wish(options->value, &plan->wishes.segments);
    }
    if (strcmp(options->name, "launch") == 0) {
        *may_out = "launch=yes or launch=no";
        return mr_option_bool(options->value, &plan->wishes.wants_launch);
    }
    if (strcmp(options->name, "rss") == 0) {
        *may_out = "rss=random or rss=symmetric";
        return parse_rss(options->value, &plan->rss);
    }
    return false;
}

static bool parse_card_option(const struct mr_options *options, struct mr_port_plan *plan,
                              struct mr_fault *fault)
{
    const char *may;

    if (take_card_wish(options, plan, &may))
        return true;
    if (may != NULL) {
        mr_fault_set(fault, EINVAL, "%s=%s: write %s", options->name, options->value, may);
        return false;
    }
    if (strcmp(options->name, "mac") == 0)
        return parse_interface_option(options, plan, fault);
    mr_fault_set(fault, EINVAL, "unknown option %s: mac, tso, launch and rss are known",
                 options->name);
    return false;
}

static bool parse_card(const char *rest, char address_out[MR_PCI_ADDRESS],
                       struct mr_port_plan *plan, struct mr_fault *fault)
{
    size_t size = strcspn(rest, ",");
    struct mr_options options = mr_options_of(rest + size + (rest[size] == ','));

    if (!mr_pci_address_parse(rest, size, address_out)) {
        mr_fault_set(fault, EINVAL,
                     "%.*s is no PCI address, such as 0000:3b:00.0; `dpdk-devbind.py --status-dev "
                     "net` lists the cards",
                     (int)MR_MIN(size, (size_t)MR_OPTION_MAX), rest);
        return false;
    }
    if (mr_interface_has_gap(rest)) {
        mr_fault_set(fault, EINVAL, "there is nothing behind a comma: leave the comma out");
        return false;
    }
    while (mr_options_next(&options))
        if (!parse_card_option(&options, plan, fault))
            return false;
    if (options.is_too_long)
        mr_fault_set(fault, EINVAL, "an option is too long: mac=M, tso=auto, rss=random are not");
    return !options.is_too_long;
}

static bool check_card_spec(const char *rest, struct mr_fault *fault)
{
    char address[MR_PCI_ADDRESS];
    struct mr_port_plan plan = {0};

    return parse_card(rest, address, &plan, fault);
}

static bool plan_card(const struct mr_port_config *config, const char *rest,
                      struct mr_port_plan *plan, struct mr_fault *fault)
{
    plan->mtu = config->mtu > 0 ? config->mtu : MR_PORT_MTU;
    return parse_card(rest, plan->device, plan, fault) &&
           mr_pci_check(MR_PCI_DEVICES, plan->device, fault);
}

/* ---- loopback ---- */

static bool check_loopback_spec(const char *rest, struct mr_fault *fault)
{
    if (rest[0] != '\0')
        mr_fault_set(fault, EINVAL, "a loopback has no options; leave :%s out", rest);
    return rest[0] == '\0';
}

/* ---- the table ---- */

/* In the order of the commands' --help. */
static const struct mr_port_kind kinds[] = {
    {.name = "tap",
     .shape = "tap:NAME",
     .driver = "net_tap",
     .check = check_interface_spec,
     .plan = plan_tap,
     .sets_mtu = true,
     .shares_mac = true,
     .has_partial_sums = true,
     .has_rx_fd = true},
    {.name = "af_packet",
     .shape = "af_packet:IFACE",
     .driver = "net_af_packet",
     .check = check_interface_spec,
     .plan = plan_af_packet,
     .has_partial_sums = true},
    {.name = "af_xdp",
     .shape = "af_xdp:IFACE",
     .check = mr_xdp_port_check,
     .open = mr_xdp_port_open},
    {.name = "pci",
     .shape = "pci:ADDRESS",
     .check = check_card_spec,
     .plan = plan_card,
     .sets_mtu = true,
     .is_card = true},
    {.name = "memif",
     .shape = "memif:role=server|client,socket=PATH",
     .driver = "net_memif",
     .check = check_memif_spec,
     .plan = plan_memif,
     .is_memory = true},
    {.name = "loopback",
     .shape = "loopback (within one process)",
     .check = check_loopback_spec,
     .open = mr_loopback_open},
};

const struct mr_port_kind *mr_port_kind_find(const char *spec, const char **rest_out,
                                             struct mr_fault *fault)
{
    size_t size = strcspn(spec, ":");
    char list[160] = "";
    size_t used = 0;

    for (size_t i = 0; i < MR_COUNT_OF(kinds); i++) {
        if (strlen(kinds[i].name) == size && strncmp(kinds[i].name, spec, size) == 0) {
            *rest_out = spec + size + (spec[size] == ':');
            return &kinds[i];
        }
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
                                 used == 0                     ? ""
                                 : i + 1 == MR_COUNT_OF(kinds) ? " or "
                                                               : ", ",
                                 kinds[i].shape);
    }
    mr_fault_set(fault, EINVAL, "unknown port kind; known are: %s", list);
    return NULL;
}
