/* tests/sim/sim_nat.c - see sim_nat.h. */
#include "tests/sim/sim_nat.h"

#include <string.h>

enum {
    INSIDE = 2,      /* last byte of the client's address */
    OUTSIDE = 100,   /* and, of the others, more by that */
    ADDRESSES = 40,  /* until one comes again */
    MAPPINGS = 1000, /* likewise */
};

struct mr_addr sim_address(uint8_t last, uint16_t port)
{
    struct mr_addr addr = {.port = port};

    addr.ip[10] = addr.ip[11] = 0xff;
    addr.ip[12] = 198;
    addr.ip[13] = 18;
    addr.ip[15] = last;
    return addr;
}

struct mr_addr sim_nat_inside(uint16_t k)
{
    return sim_address(INSIDE, (uint16_t)(SIM_CLIENT_PORT + k));
}

/* The client's first port, as the mapping of the moment shows it. */
static struct mr_addr outside(const struct sim_nat *nat)
{
    uint32_t number = nat->changes_addresses ? nat->mapping / 2 % ADDRESSES : 0;

    return sim_address((uint8_t)(number == 0 ? INSIDE : OUTSIDE + INSIDE + number),
                       (uint16_t)(SIM_CLIENT_PORT + nat->mapping % MAPPINGS * SIM_CLIENT_PORTS));
}

void sim_nat_out(const struct sim_nat *nat, struct mr_addr *client)
{
    uint32_t k = (uint32_t)client->port - SIM_CLIENT_PORT;

    *client = outside(nat);
    client->port = (uint16_t)(client->port + k);
}

bool sim_nat_in(const struct sim_nat *nat, struct mr_addr *client)
{
    struct mr_addr shown = outside(nat);
    uint32_t k = (uint32_t)client->port - shown.port;

    if (memcmp(client->ip, shown.ip, sizeof(shown.ip)) != 0 || k >= SIM_CLIENT_PORTS)
        return false;
    *client = sim_nat_inside((uint16_t)k);
    return true;
}
