/* drivers/memif.c - see memif.h. */
#include "drivers/memif.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>

#include "base/fault.h"
#include "drivers/memif_count.h"
#include "drivers/memif_relay.h"
#include "drivers/port.h"
#include "drivers/port_gate.h"

_Static_assert(MR_PORT_GATE_QUEUES >= MR_PORT_QUEUES_MAX, "a gate has room for each queue");

struct mr_memif {
    struct mr_port_gate gate;
    struct mr_memif_relay *relay;
    struct mr_memif_count *count;
};

/* ---- bursts ---- */

static uint16_t gated_rx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs,
                         uint16_t room)
{
    struct mr_port_gate *gate = &port->memif->gate;

    if (!mr_port_gate_enter(gate, queue))
        return 0;
    uint16_t n = rte_eth_rx_burst(port->ethdev, queue, mbufs, room);
    mr_port_gate_leave(gate, queue);
    return n;
}

static uint16_t gated_tx(struct mr_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n)
{
    struct mr_port_gate *gate = &port->memif->gate;

    if (!mr_port_gate_enter(gate, queue))
        return 0;
    uint16_t taken = rte_eth_tx_burst(port->ethdev, queue, mbufs, n);
    mr_port_gate_leave(gate, queue);
    return taken;
}

static const struct mr_port_ops gated_bursts = {.rx_burst = gated_rx, .tx_burst = gated_tx};

/* ---- public ---- */

/* Is `folder` ours alone?  Who can connect to a driver's socket can end the program. */
static bool make_folder(const char *folder)
{
    struct stat status;

    if (mkdir(folder, S_IRWXU) != 0 && errno != EEXIST)
        return false;
    if (lstat(folder, &status) != 0)
        return false;
    errno = EPERM;
    return S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
           (status.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

bool mr_memif_name_driver(struct mr_memif_sockets *sockets, struct mr_fault *fault)
{
    static unsigned serial;
    const char *folder = rte_eal_get_runtime_dir();
    size_t size = sizeof(sockets->driver);

    if (!make_folder(folder)) {
        mr_fault_set(fault, errno, "%s is no folder of ours alone: %s", folder, strerror(errno));
        return false;
    }
    do {
        if (snprintf(sockets->driver, size, "%s/memif%u", folder, serial++) >= (int)size) {
            mr_fault_set(fault, ENAMETOOLONG, "%s is too long for a socket in it", folder);
            return false;
        }
    } while (mr_unix_socket_look(sockets->driver) == EADDRINUSE);
    (void)unlink(sockets->driver); /* of a process that had our id, and was killed */
    return true;
}

static void turn(void *context, bool opens)
{
    const struct mr_port *port = context;

    mr_memif_count_turn(port->memif->count, opens);
}

static bool is_mapped(const void *context)
{
    const struct mr_port *port = context;
    struct rte_eth_link link = {0};

    return rte_eth_link_get_nowait(port->ethdev, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

static void release(struct mr_port *port)
{
    mr_memif_count_free(port->memif->count);
    free(port->memif);
    port->memif = NULL;
}

bool mr_memif_start(struct mr_port *port, const struct mr_memif_sockets *sockets,
                    uint16_t queue_count, struct mr_fault *fault)
{
    struct mr_memif *memif = aligned_alloc(_Alignof(struct mr_memif), sizeof(*memif));

    if (memif == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory");
        return false;
    }
    memset(memif, 0, sizeof(*memif));
    port->memif = memif;
    memif->count = mr_memif_count_new(port->ethdev);
    if (memif->count == NULL) {
        release(port);
        mr_fault_set(fault, ENOMEM, "not enough memory");
        return false;
    }
    const struct mr_memif_relay_config config = {.peer = sockets->peer,
                                                 .driver = sockets->driver,
                                                 .is_server = sockets->is_server,
                                                 .queue_count = queue_count,
                                                 .gate = &memif->gate,
                                                 .is_mapped = is_mapped,
                                                 .turn = turn,
                                                 .context = port};
    memif->relay = mr_memif_relay_start(&config, fault);
    if (memif->relay == NULL) {
        release(port);
        return false;
    }
    atomic_store_explicit(&port->ops, &gated_bursts, memory_order_relaxed); /* nobody polls yet */
    return true;
}

void mr_memif_stop(struct mr_port *port)
{
    if (port->memif == NULL)
        return;
    mr_memif_relay_stop(port->memif->relay);
    release(port);
    atomic_store_explicit(&port->ops, NULL, memory_order_relaxed);
}

void mr_memif_leave_folder(void)
{
    (void)rmdir(rte_eal_get_runtime_dir());
}

bool mr_memif_is_up(const struct mr_port *port)
{
    return mr_port_gate_is_open(&port->memif->gate);
}

const char *mr_memif_refusal(const struct mr_port *port)
{
    return mr_memif_relay_refusal(port->memif->relay);
}

void mr_memif_stats(const struct mr_port *port, struct rte_eth_stats *stats_out)
{
    mr_memif_count_stats(port->memif->count, stats_out);
}

int mr_memif_values(const struct mr_port *port, struct rte_eth_xstat *values_out, unsigned room)
{
    return mr_memif_count_values(port->memif->count, values_out, room);
}
