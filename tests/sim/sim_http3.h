/*
 * tests/sim/sim_http3.h - HTTP/3 at both ends, in a bad network: tests/support/engine_world.h.
 *
 *     client: requests with priorities, which it changes; a tunnel with datagrams
 *     server: files of a pattern; an echo
 *
 * Heads refer to QPACK's dynamic table both ways, and may wait for it.  With rest_max_ns nothing is
 * asked between two waves of requests, and the server's connection sleeps: the tunnel's stream and
 * HTTP/3's own stay open.
 */
#ifndef MR_TESTS_SIM_HTTP3_H
#define MR_TESTS_SIM_HTTP3_H

#include "tests/sim/sim.h"

/*
 * As sim_run(), for what a configuration says of the links, the NAT, streams (requests at a time),
 * bytes (down_bytes of each) and datagrams.  Complete is a run in which every request was answered
 * with its whole file and the tunnel ended in order.  The server's clock is the real one, so that a
 * seed does not give the same bytes again.
 */
void sim_http3_run(const struct sim_config *config, struct sim_result *result);

#endif /* MR_TESTS_SIM_HTTP3_H */
