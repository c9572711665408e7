/* drivers/xdp_port.c - see xdp_port.h. */
#include "drivers/xdp_port.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "drivers/interface.h"
#include "drivers/options.h"
#include "drivers/port.h"
#include "drivers/port_facts.h"
#include "drivers/xdp_program.h"
#include "drivers/xdp_queue.h"

#define BUSY_BUDGET       64 /* of frames, when the spec says none: as much as an interrupt takes */
#define ETHERNET_OVERHEAD 18 /* header and VLAN tag */

_Static_assert(MR_PORT_ADDRESSES <= MR_XDP_ADDRESSES_MAX, "all addresses fit the map");
_Static_assert(MR_PORT_QUEUES_MAX <= MR_XDP_QUEUES_MAX, "all queues fit the map");

/* What a spec says. */
struct spec {
    char name[IFNAMSIZ];
    bool has_mac;
    uint8_t mac[6];
    uint64_t busy_budget;
    enum mr_xdp_copies copies;
};

struct xdp_port {
    struct mr_port port; /* first */
    struct mr_interface interface;
    struct spec spec;
    struct mr_xdp_program *program;
    struct mr_xdp_queue queues[];
};

static struct xdp_port *xdp_of(struct mr_port *port)
{
    return (struct xdp_port *)(void *)port;
}

static const struct xdp_port *const_xdp_of(const struct mr_port *port)
{
    return (const struct xdp_port *)(const void *)port;
}

/* ---- spec ---- */

static bool parse_option(const struct mr_options *options, struct spec *spec,
                         struct mr_fault *fault)
{
    bool is_zero_copy = false;

    if (strcmp(options->name, "mac") == 0 && mr_interface_parse_mac(options->value, spec->mac)) {
        spec->has_mac = true;
        return true;
    }
    if (strcmp(options->name, "busy_budget") == 0 &&
        mr_option_number(options->value, MR_XDP_BUSY_MAX, &spec->busy_budget))
        return true;
    if (strcmp(options->name, "zero-copy") == 0 && mr_option_bool(options->value, &is_zero_copy)) {
        spec->copies = is_zero_copy ? MR_XDP_COPY_NEVER : MR_XDP_COPY_ALWAYS;
        return true;
    }
    mr_fault_set(fault, EINVAL,
                 "option %s=%s is unknown or malformed: mac=M (of one station, such as "
                 "02:00:00:00:00:01), busy_budget=0..%u, zero-copy=yes|no",
                 options->name, options->value, MR_XDP_BUSY_MAX);
    return false;
}

static bool parse(const char *rest, struct spec *spec, struct mr_fault *fault)
{
    struct mr_options options = mr_options_of(rest);

    *spec = (struct spec){.busy_budget = BUSY_BUDGET};
    options.name[0] = options.value[0] = '\0';
    mr_options_next(&options);
    if (!mr_interface_parse_name(&options, spec->name, fault))
        return false;
    while (mr_options_next(&options)) {
        if (options.name[0] != '\0' && !parse_option(&options, spec, fault))
            return false;
    }
    return mr_interface_check_end(&options, rest, "an option", fault);
}

bool mr_xdp_port_check(const char *rest, struct mr_fault *fault)
{
    struct spec spec;

    return parse(rest, &spec, fault);
}

/* ---- the machine ---- */

static bool check_capabilities(struct mr_fault *fault)
{
    bool has_bpf = mr_interface_may(MR_CAPABILITY_BPF) || mr_interface_may(MR_CAPABILITY_SYS_ADMIN);
    bool has_admin = mr_interface_may(MR_CAPABILITY_NET_ADMIN);
    bool has_raw = mr_interface_may(MR_CAPABILITY_NET_RAW);

    if (has_bpf && has_admin && has_raw)
        return true;
    mr_fault_set(fault, EPERM,
                 "an XDP program and its sockets need root, or CAP_NET_RAW, CAP_NET_ADMIN and "
                 "CAP_BPF, of which is missing:%s%s%s; run with sudo",
                 has_raw ? "" : " CAP_NET_RAW", has_admin ? "" : " CAP_NET_ADMIN",
                 has_bpf ? "" : " CAP_BPF");
    return false;
}

/* How many queues the interface receives at, and may at most. */
static void count_queues(int fd, const char *name, uint32_t *count_out, uint32_t *max_out)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq request = {.ifr_data = (void *)&channels};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    *count_out = *max_out = 1; /* of drivers that do not say */
    if (ioctl(fd, SIOCETHTOOL, &request) != 0 || channels.rx_count + channels.combined_count == 0)
        return;
    *count_out = channels.rx_count + channels.combined_count;
    *max_out = channels.max_rx + channels.max_combined;
}

/* What arrives at a queue without a socket would be lost to us; a socket without a queue gets
 * nothing. */
static bool check_queues(int fd, const char *name, uint32_t wanted, struct mr_fault *fault)
{
    uint32_t count;
    uint32_t max;

    count_queues(fd, name, &count, &max);
    if (count == wanted)
        return true;
    if (wanted <= max)
        mr_fault_set(fault, EINVAL,
                     "interface %s receives at %u queues, and %u shards or I/O lcores want one "
                     "each: `ethtool -L %s combined %u` (of some drivers: rx %u), or have %u",
                     name, count, wanted, name, wanted, wanted, count);
    else
        mr_fault_set(fault, EINVAL,
                     "interface %s receives at %u queues, more it cannot (%u), and %u shards or "
                     "I/O lcores want one each: have %u, with --shards or --io-lcores",
                     name, count, max, wanted, count);
    return false;
}

static bool look_at_interface(struct xdp_port *x, const struct mr_port_config *config,
                              struct mr_fault *fault)
{
    x->port.held_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (x->port.held_fd < 0) {
        mr_fault_set(fault, errno, "cannot open a packet socket: %s", strerror(errno));
        return false;
    }
    if (!mr_interface_read(x->port.held_fd, x->spec.name, &x->interface, fault) ||
        !check_queues(x->port.held_fd, x->spec.name, config->queue_count, fault))
        return false;
    mr_interface_join_groups(x->port.held_fd, x->interface.index, x->spec.has_mac);
    return true;
}

/* ---- open ---- */

static void set_traits(struct xdp_port *x, const struct mr_port_config *config)
{
    struct mr_port_traits *traits = &x->port.traits;
    uint32_t wanted = config->mtu > 0 ? config->mtu : MR_PORT_MTU;
    uint32_t mtu = MR_MIN((uint32_t)x->interface.mtu, MR_XDP_FRAME_MTU);

    *traits = (struct mr_port_traits){.kind = "af_xdp",
                                      .mtu = (uint16_t)MR_MIN(mtu, wanted),
                                      .queue_count = config->queue_count,
                                      .has_partial_sums = true,
                                      .takes_admitted = true,
                                      .has_rx_fd = config->wants_rx_fd};
    memcpy(traits->mac, x->spec.has_mac ? x->spec.mac : x->interface.mac, sizeof(traits->mac));
}

static bool open_queues(struct xdp_port *x, const struct mr_port_config *config,
                        struct mr_fault *fault)
{
    for (uint16_t i = 0; i < config->queue_count; i++) {
        struct mr_xdp_queue_config queue = {
            .interface = x->spec.name,
            .index = x->interface.index,
            .queue = i,
            .rx_count = config->rx_descriptors > 0 ? config->rx_descriptors : MR_PORT_DESCRIPTORS,
            .tx_count = config->tx_descriptors > 0 ? config->tx_descriptors : MR_PORT_DESCRIPTORS,
            .frame_max = x->port.traits.mtu + ETHERNET_OVERHEAD,
            .busy_budget = (uint32_t)x->spec.busy_budget,
            .copies = x->spec.copies,
            .pool = config->rx_pools[i],
        };

        if (!mr_xdp_queue_open(&x->queues[i], &queue, fault) ||
            !mr_xdp_program_add_socket(x->program, i, x->queues[i].fd, fault))
            return false;
    }
    return true;
}

static bool open_port(struct xdp_port *x, const struct mr_port_config *config, const char *rest,
                      struct mr_fault *fault)
{
    if (!parse(rest, &x->spec, fault) || !check_capabilities(fault) ||
        !look_at_interface(x, config, fault))
        return false;
    set_traits(x, config);
    x->program = mr_xdp_program_attach(x->interface.index, x->spec.name, fault);
    if (x->program == NULL || !open_queues(x, config, fault))
        return false;
    snprintf(x->port.device, sizeof(x->port.device), "%s", x->spec.name);
    if (x->queues[0].rx.mask == x->queues[0].tx.mask)
        x->port.ring_frames = (uint16_t)(x->queues[0].rx.mask + 1);
    if (x->queues[0].busy_error != 0)
        mr_log(MR_LOG_WARN,
               "port %s: the kernel refuses busy polling (%s): interrupts bring the frames; Linux "
               "5.11 has it, and busy_budget=0 does without",
               config->spec, strerror(x->queues[0].busy_error));
    return true;
}

/* ---- the table ---- */

static uint16_t xdp_rx_burst(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                             uint16_t room)
{
    return mr_xdp_queue_receive(&xdp_of(port)->queues[queue], mbufs, room);
}

static uint16_t xdp_tx_burst(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                             uint16_t n)
{
    return mr_xdp_queue_send(&xdp_of(port)->queues[queue], mbufs, n);
}

static void xdp_stats(const struct mr_port *port, struct mr_port_stats *stats)
{
    for (uint16_t i = 0; i < port->traits.queue_count; i++)
        mr_xdp_queue_add_stats(&const_xdp_of(port)->queues[i], stats);
}

static bool xdp_is_up(const struct mr_port *port)
{
    struct ifreq request = {0};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", const_xdp_of(port)->spec.name);
    return ioctl(port->held_fd, SIOCGIFFLAGS, &request) == 0 &&
           (request.ifr_flags & IFF_RUNNING) != 0;
}

static int xdp_admit(struct mr_port *port, const struct mr_port_admission *admission,
                     struct mr_fault *fault)
{
    bool has_shared = false;

    for (uint32_t i = 0; i < admission->address_count; i++)
        has_shared = has_shared || admission->address[i].is_shared;
    if (has_shared && memcmp(port->traits.mac, xdp_of(port)->interface.mac, 6) != 0)
        return mr_fault_set(fault, EINVAL,
                            "the kernel answers for the address with the interface's own MAC: "
                            "leave mac= out, or give an address that the kernel does not have");
    return mr_xdp_program_admit(xdp_of(port)->program, port->traits.mac, admission, fault);
}

static int xdp_rx_fd(const struct mr_port *port, uint16_t queue)
{
    return const_xdp_of(port)->queues[queue].fd;
}

static uint32_t xdp_counters(const struct mr_port *port, struct mr_port_counter *counters,
                             uint32_t room)
{
#define X(name, what) #name,
    static const char *const names[] = {MR_XDP_OUTCOMES(X)};
#undef X
    const struct xdp_port *x = const_xdp_of(port);
    uint64_t counts[MR_XDP_OUTCOME_COUNT];
    uint32_t written = 0;

    mr_xdp_program_counts(x->program, counts);
    for (; written < MR_XDP_OUTCOME_COUNT && written < room; written++) {
        snprintf(counters[written].name, sizeof(counters[written].name), "xdp_%s", names[written]);
        counters[written].value = counts[written];
    }
    for (uint16_t i = 0; i < port->traits.queue_count && written < room; i++, written++) {
        snprintf(counters[written].name, sizeof(counters[written].name), "rx_q%u_packets", i);
        counters[written].value = __atomic_load_n(&x->queues[i].rx_packets, __ATOMIC_RELAXED);
    }
    return written;
}

/* "XDP in the driver, copied, busy polling 64"; the queues are alike. */
static void xdp_note(const struct mr_port *port, char text_out[MR_PORT_NOTE])
{
    const struct xdp_port *x = const_xdp_of(port);
    const struct mr_xdp_queue *queue = &x->queues[0];
    char busy[64] = "no busy polling";

    if (queue->is_busy_polled)
        snprintf(busy, sizeof(busy), "busy polling %u", (unsigned)x->spec.busy_budget);
    else if (queue->busy_error != 0)
        snprintf(busy, sizeof(busy), "busy polling refused: %s", strerror(queue->busy_error));
    snprintf(text_out, MR_PORT_NOTE, "XDP %s, %s, %s",
             mr_xdp_program_is_native(x->program) ? "in the driver" : "before the stack",
             queue->is_zero_copy ? "zero-copy" : "copied", busy);
}

static void xdp_close(struct mr_port *port)
{
    struct xdp_port *x = xdp_of(port);

    mr_xdp_program_free(x->program); /* first: what is on its way is the kernel's again */
    for (uint16_t i = 0; i < x->port.traits.queue_count; i++)
        mr_xdp_queue_close(&x->queues[i]);
    if (x->port.held_fd >= 0)
        close(x->port.held_fd);
    free(x);
}

struct mr_port *mr_xdp_port_open(const struct mr_port_config *config, struct mr_fault *fault)
{
    static const struct mr_port_ops ops = {.rx_burst = xdp_rx_burst,
                                           .tx_burst = xdp_tx_burst,
                                           .stats = xdp_stats,
                                           .is_up = xdp_is_up,
                                           .close = xdp_close,
                                           .admit = xdp_admit,
                                           .rx_fd = xdp_rx_fd,
                                           .counters = xdp_counters,
                                           .note = xdp_note};
    size_t size = sizeof(struct xdp_port) + config->queue_count * sizeof(struct mr_xdp_queue);
    struct xdp_port *x = aligned_alloc(MR_CACHE_LINE, size);

    if (x == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory");
        return NULL;
    }
    memset(x, 0, size);
    x->port.ops = &ops;
    x->port.held_fd = -1;
    snprintf(x->port.spec, sizeof(x->port.spec), "%s", config->spec);
    if (open_port(x, config, strchr(config->spec, ':') + 1, fault)) /* it was checked */
        return &x->port;
    xdp_close(&x->port);
    return NULL;
}
