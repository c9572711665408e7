/* drivers/port_facts.c - see port_facts.h. */
#include "drivers/port_facts.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/memif.h"
#include "drivers/port.h"
#include "drivers/port_loss.h"

#define PATH_BYTES 160
#define LINE_BYTES 64

/* The first line of a file of a PCI device; "": there is none. */
static void read_pci(const char *device, const char *file, char line_out[LINE_BYTES])
{
    char path[PATH_BYTES];

    line_out[0] = '\0';
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", device, file);
    FILE *from = fopen(path, "re");
    if (from == NULL)
        return;
    if (fgets(line_out, LINE_BYTES, from) != NULL)
        line_out[strcspn(line_out, "\n")] = '\0';
    fclose(from);
}

static void read_link(uint16_t ethdev, struct mr_port_facts *facts)
{
    struct rte_eth_link link;

    if (rte_eth_link_get_nowait(ethdev, &link) == 0 && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
        facts->link_mbps = link.link_speed;
}

static void read_queues(const struct mr_port *port, struct mr_port_facts *facts)
{
    struct rte_eth_rxq_info rx = {0};
    struct rte_eth_txq_info tx = {0};

    (void)rte_eth_rx_queue_info_get(port->ethdev, 0, &rx);
    (void)rte_eth_tx_queue_info_get(port->ethdev, 0, &tx);
    facts->rx_descriptors = rx.nb_desc > 0 ? rx.nb_desc : port->ring_frames;
    facts->tx_descriptors = tx.nb_desc > 0 ? tx.nb_desc : port->ring_frames;
}

/* Of an interface of the kernel's, in megabits per second; 0: it does not say.  Not out of /sys,
 * which may be that of another network namespace. */
static uint32_t interface_speed(const char *name)
{
    struct ethtool_cmd command = {.cmd = ETHTOOL_GSET};
    struct ifreq request = {.ifr_data = (void *)&command};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%.*s", IFNAMSIZ - 1, name);
    bool is_told = fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0;
    uint32_t mbps = is_told ? ethtool_cmd_speed(&command) : 0;
    if (fd >= 0)
        close(fd);
    return mbps == (uint32_t)SPEED_UNKNOWN ? 0 : mbps;
}

/* Of a port with a driver of ours. */
static void read_own(const struct mr_port *port, struct mr_port_facts *facts)
{
    snprintf(facts->device, sizeof(facts->device), "%s", port->device);
    facts->rx_queues = facts->tx_queues = port->traits.queue_count;
    facts->rx_descriptors = facts->tx_descriptors = port->ring_frames;
    if (port->device[0] != '\0')
        facts->link_mbps = interface_speed(port->device);
}

void mr_port_facts(const struct mr_port *port, struct mr_port_facts *facts)
{
    struct rte_eth_dev_info info;
    char line[LINE_BYTES];
    const struct mr_port_ops *ops = mr_port_own_ops(port);

    memset(facts, 0, sizeof(*facts));
    if (ops != NULL && ops->note != NULL)
        ops->note(port, facts->note);
    if (ops != NULL || rte_eth_dev_info_get(port->ethdev, &info) != 0) {
        snprintf(facts->driver, sizeof(facts->driver), "%.*s", (int)strcspn(port->spec, ":"),
                 port->spec);
        if (ops != NULL)
            read_own(port, facts);
        return;
    }
    snprintf(facts->driver, sizeof(facts->driver), "%s", info.driver_name);
    (void)rte_eth_dev_get_name_by_port(port->ethdev, line);
    snprintf(facts->device, sizeof(facts->device), "%s", line);
    if (rte_eth_dev_fw_version_get(port->ethdev, facts->firmware, sizeof(facts->firmware)) != 0)
        facts->firmware[0] = '\0';
    facts->rx_queues = info.nb_rx_queues;
    facts->tx_queues = info.nb_tx_queues;
    read_link(port->ethdev, facts);
    read_queues(port, facts);
    read_pci(facts->device, "current_link_width", line);
    facts->pcie_lanes = (uint32_t)strtoul(line, NULL, 10);
    read_pci(facts->device, "current_link_speed", line);
    snprintf(facts->pcie_speed, sizeof(facts->pcie_speed), "%s", line);
}

uint32_t mr_port_counters(const struct mr_port *port, struct mr_port_counter *counters,
                          uint32_t room)
{
    static struct rte_eth_xstat_name names[MR_PORT_COUNTERS_MAX]; /* large; the control thread's */
    static struct rte_eth_xstat values[MR_PORT_COUNTERS_MAX];
    const struct mr_port_ops *ops = mr_port_own_ops(port);

    if (ops != NULL)
        return ops->counters != NULL ? ops->counters(port, counters, room) : 0;
    int known = rte_eth_xstats_get_names(port->ethdev, names, MR_PORT_COUNTERS_MAX);
    int count = port->memif != NULL
                    ? mr_memif_values(port, values, MR_PORT_COUNTERS_MAX)
                    : rte_eth_xstats_get(port->ethdev, values, MR_PORT_COUNTERS_MAX);
    if (known < 0 || count < 0 || known > MR_PORT_COUNTERS_MAX || count > known)
        return 0;
    uint32_t written = 0;
    for (int i = 0; i < count && written < room; i++) {
        struct mr_port_counter *to = &counters[written++];

        snprintf(to->name, sizeof(to->name), "%s", names[values[i].id].name);
        to->value = values[i].value;
    }
    return written;
}
