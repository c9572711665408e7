/*
 * drivers/port_rss.h - how a card spreads what it receives over its queues: receive side scaling.
 *
 *     addresses, ports --Toeplitz, key--> hash --% slot_count--> slot --table--> queue
 *
 * The key is drawn at each start.  Ports that are not cards spread in ways of their own (DPDK's
 * drivers for them offer tables that nobody follows).
 *
 *     rss=random       every bit of the key is random: who chooses addresses and ports cannot tell
 *                      which queue they lead to
 *     rss=symmetric    both directions of a flow hash alike: by the card's own function, where its
 *                      driver has one, with a key as above; else by a key of two bytes, over and
 *                      over
 *
 * With two bytes over and over the hash depends on nothing but the sum (XOR) of the 16-bit words
 * of addresses and ports: whatever the key is, flows of the same sum share a slot, and anybody can
 * compute sums (docs/decisions/rss.md).
 *
 * Owner: the port's.  Threads: the control thread; device registers.
 * Limits: MR_PORT_RSS_KEY bytes of a key, MR_PORT_RSS_SLOTS slots.
 */
#ifndef MR_DRIVERS_PORT_RSS_H
#define MR_DRIVERS_PORT_RSS_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>

struct mr_fault;
struct mr_port;

enum mr_port_rss_mode {
    MR_PORT_RSS_RANDOM,
    MR_PORT_RSS_SYMMETRIC
};

#define MR_PORT_RSS_KEY   64  /* bytes, of the longest that a driver takes */
#define MR_PORT_RSS_SLOTS 512 /* of the longest table */

/* As the card has it: read back, not remembered. */
struct mr_port_rss {
    bool hashes_ports4; /* UDP's ports count, not addresses alone: over IPv4 */
    bool hashes_ports6; /* and over IPv6 */
    bool is_symmetric;  /* both directions of a flow hash alike */
    uint32_t key_size;  /* bytes */
    uint8_t key[MR_PORT_RSS_KEY];
    uint32_t slot_count;
    uint16_t queue[MR_PORT_RSS_SLOTS]; /* of a slot */
};

/* Slots `lo` to `hi`, inclusive, go to `queue`. */
struct mr_port_rss_change {
    uint32_t lo;
    uint32_t hi;
    uint16_t queue;
};

/* Draw a key of 2 <= `size` <= MR_PORT_RSS_KEY bytes.  False: the kernel gives no
 * random bytes. */
bool mr_port_rss_draw(enum mr_port_rss_mode mode, uint8_t *key_out, uint32_t size);

/* Ask for it, of a device that is not configured yet, with such a key; nothing where the device
 * cannot, or has one queue. */
struct mr_port_rss_request {
    uint8_t key[MR_PORT_RSS_KEY]; /* `conf` refers to it until the device is configured */
};
void mr_port_rss_ask(struct mr_port_rss_request *request, const struct rte_eth_dev_info *info,
                     uint16_t queue_count, enum mr_port_rss_mode mode, struct rte_eth_conf *conf);

/*
 * Of a device that has started with a symmetric key: have the card's own symmetric function do it
 * instead, with a random key; true if its driver has one for UDP over IPv4 and over IPv6.  Else all
 * is as it was.
 */
bool mr_port_rss_take_function(uint16_t ethdev, const struct rte_eth_dev_info *info);

/* What the card does.  0; -EOPNOTSUPP: the port does not spread, or its driver does not tell. */
int mr_port_rss_read(const struct mr_port *port, struct mr_port_rss *rss_out);

/*
 * Have the flows of some slots arrive at another queue, from now on; read back and compared.  0;
 * -errno with `fault` set: EOPNOTSUPP as above; EINVAL, no such slot or queue; EIO, the card has
 * not done it.
 */
int mr_port_rss_change(const struct mr_port *port, const struct mr_port_rss_change *change,
                       struct mr_fault *fault);

#endif /* MR_DRIVERS_PORT_RSS_H */
