/*
 * tests/sim/sim_ticket.h - a first connection between a world's endpoints, on a network without
 * faults, for its ticket.
 */
#ifndef MR_TESTS_SIM_TICKET_H
#define MR_TESTS_SIM_TICKET_H

#include "quic/endpoint.h"

#define SIM_TICKET_MAX 4096 /* bytes */

/*
 * Connect `client` with `options`, take the ticket to `dst` (SIM_TICKET_MAX bytes) and let the
 * connection end; *now moves on.  Aborts if there is none.  Returns its size.
 */
size_t sim_ticket_get(struct mr_endpoint *client, struct mr_endpoint *server,
                      const struct mr_connect_options *options, const struct mr_addr *local,
                      uint8_t *dst, uint64_t *now);

#endif /* MR_TESTS_SIM_TICKET_H */
