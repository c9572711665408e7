/*
 * tests/sim/sim_nat.h - the client's NAT: what others see of its addresses, and for how long.
 *
 *     client 198.18.0.2, ports FIRST_PORT + k  <->  mapping n: an address, ports n * PORTS + k
 *
 * It knows one mapping at a time: what is sent to an older one arrives nowhere.
 */
#ifndef MR_TESTS_SIM_NAT_H
#define MR_TESTS_SIM_NAT_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/endpoint.h"

#define SIM_CLIENT_PORT  5000 /* the first of SIM_CLIENT_PORTS */
#define SIM_CLIENT_PORTS 16

struct sim_nat {
    uint32_t mapping;       /* its number; a change is ++ */
    bool changes_addresses; /* every other mapping has another address, too */
};

/* Address number `last` of the simulator's network. */
struct mr_addr sim_address(uint8_t last, uint16_t port);

/* The client itself, with its port number k. */
struct mr_addr sim_nat_inside(uint16_t k);

/* *client as the server sees it. */
void sim_nat_out(const struct sim_nat *nat, struct mr_addr *client);

/* *client, which the server sees, as it is.  False: the NAT has forgotten it. */
bool sim_nat_in(const struct sim_nat *nat, struct mr_addr *client);

#endif /* MR_TESTS_SIM_NAT_H */
