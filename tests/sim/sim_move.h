/* tests/sim/sim_move.h - a connection that moves between shards all the time, in a bad network:
 * tests/support/move_world.h. */
#ifndef MR_TESTS_SIM_MOVE_H
#define MR_TESTS_SIM_MOVE_H

#include "tests/sim/sim.h"

/*
 * As sim_run(), for what a configuration says of the links, the NAT, streams, bytes (down_bytes of
 * each, both ways) and datagrams.  "Server" in the result is who has the shards, which are the
 * connection's server with an even seed, and its client with an odd one.  With rest_max_ns all
 * streams rest open now and then, and the connection sleeps where it is, and moves out of its
 * sleep.
 */
void sim_move_run(const struct sim_config *config, struct sim_result *result);

#endif /* MR_TESTS_SIM_MOVE_H */
