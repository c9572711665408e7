/* tests/sim/sim_network.h - the network of the simulator: datagrams on their way, ordered by
 * arrival. */
#ifndef MR_TESTS_SIM_NETWORK_H
#define MR_TESTS_SIM_NETWORK_H

#include "tests/sim/sim.h"

/* A received datagram's memory. */
struct sim_buffer {
    struct mr_buf buf;
    bool is_out; /* with an endpoint */
    uint8_t bytes[SIM_DATAGRAM_MAX];
};

struct sim_packet {
    uint64_t arrival_ns;
    uint64_t order; /* of sending: equal arrivals keep it */
    uint32_t size;
    uint8_t direction;
    uint8_t ecn;
    struct mr_path_addr path; /* as the receiver sees it */
    uint8_t bytes[SIM_DATAGRAM_MAX];
};

struct sim_network {
    struct sim_link link[SIM_PATHS_MAX][2];
    bool is_down[SIM_PATHS_MAX];
    uint64_t bytes[SIM_PATHS_MAX][2]; /* sent */
    struct mr_random random;
    uint64_t busy_until_ns[SIM_PATHS_MAX][2];
    uint64_t last_arrival_ns[SIM_PATHS_MAX][2]; /* the latest so far */
    bool spin;                                  /* of the client's last packet */
    struct sim_sightings seen;
    uint64_t order;
    uint64_t digest;
    uint64_t datagrams;
    uint32_t count;
    struct sim_packet *heap[SIM_IN_FLIGHT_MAX]; /* least (arrival, order) first */
};

void sim_network_init(struct sim_network *net, const struct sim_link link[2], uint64_t seed);
void sim_network_fini(struct sim_network *net);

/* Where a datagram goes: the number of its path, and 0 to the server or 1 to the client. */
struct sim_way {
    uint8_t path;
    uint8_t direction;
};

/* Send; `path` as the receiver will see it. */
void sim_network_send(struct sim_network *net, struct sim_way way, const struct mr_outgoing *out,
                      const struct mr_path_addr *path, uint64_t now);

/* When the next datagram arrives; MR_NEVER. */
uint64_t sim_network_next(const struct sim_network *net);

/* Take the datagram that arrives next; free() it. */
struct sim_packet *sim_network_take(struct sim_network *net);

/* The datagram that arrives next waits until `at`, behind those that were sent before it. */
void sim_network_postpone(struct sim_network *net, uint64_t at);

#endif /* MR_TESTS_SIM_NETWORK_H */
