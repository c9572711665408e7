/*
 * tests/sim/sim_paths.h - the simulator's further paths: the client opens them, either side
 * abandons them, and the network loses them.
 *
 *     client  198.18.0.2   ---- path 0 (behind the NAT) ----+
 *             198.18.0.51  ---- path 1 ---------------------+---- 198.18.0.1  server
 *             198.18.0.52  ---- path 2 ---------------------+
 */
#ifndef MR_TESTS_SIM_PATHS_H
#define MR_TESTS_SIM_PATHS_H

#include "tests/sim/sim_network.h"

struct sim_paths {
    const struct sim_config *config;
    struct mr_endpoint *ep[2];
    uint64_t start_ns;
    bool has_acted;    /* an endpoint has something to send */
    uint64_t received; /* by the client's application, */
    uint64_t received_ns;
    uint64_t stalled_ns; /* longest time without a byte for it */
    struct {
        uint64_t open_ns; /* 0: nothing more to do */
        uint64_t abandon_ns;
        uint64_t backup_ns;
        uint64_t fail_ns;
        uint64_t heal_ns;
        int64_t id; /* of the connection's path; < 0: not open */
    } at[SIM_PATHS_MAX];
};

/* The number of the path that an address of the client's is of. */
uint8_t sim_paths_number(const struct mr_addr *client);

void sim_paths_init(struct sim_paths *paths, const struct sim_config *config,
                    struct sim_network *net, struct mr_endpoint *client, struct mr_endpoint *server,
                    uint64_t start_ns);

/* When something is to be done; MR_NEVER. */
uint64_t sim_paths_next(const struct sim_paths *paths);

/* Do what is due. */
void sim_paths_step(struct sim_paths *paths, struct sim_network *net, mr_handle client,
                    mr_handle server, uint64_t now);

/* The client's application has `received` bytes. */
void sim_paths_note(struct sim_paths *paths, uint64_t received, uint64_t now);

/* The random world of `seed`, with several paths. */
struct sim_config sim_config_multipath(uint64_t seed);

/* Goodput of two paths against one, and how soon a path that fails is left; TAP.  How many failed.
 */
int sim_paths_measure(void);

#endif /* MR_TESTS_SIM_PATHS_H */
