/*
 * tests/sim/sim_app.h - the simulator's two applications.
 *
 * The client opens streams and sends on each a header (bytes wanted, 8 bytes big
 * endian) and `up_bytes` of pattern; the server checks them and answers with the
 * bytes wanted.  Byte k of a direction is pattern(stream, k).  A datagram is its number (8 bytes
 * big endian) and bytes of pattern.
 */
#ifndef MR_TESTS_SIM_APP_H
#define MR_TESTS_SIM_APP_H

#include "tests/sim/sim.h"

struct sim_app_stream {
    mr_handle handle;
    uint64_t id;
    uint64_t to_send; /* bytes in all, header included */
    uint64_t queued;
    uint64_t received;
    uint64_t wanted; /* server: as the header says */
    uint8_t header[8];
    bool has_fin;
    bool is_fin_queued;
    bool is_closed;
    bool was_aborted;
    bool is_stopped; /* by us */
};

struct sim_app {
    struct mr_endpoint *ep;
    const struct sim_config *config;
    struct mr_random random;
    enum mr_role role;
    mr_handle conn;
    bool is_connected;
    bool is_closed;
    bool has_asked_close;
    uint64_t error;
    char reason[128];
    uint64_t received;
    uint64_t bad_bytes;
    uint32_t reliable_resets; /* of the peer's */
    uint32_t stops;           /* of the peer's */
    uint32_t pairs;           /* struct sim_result has them */
    uint32_t pairs_in_order;
    uint64_t rests_until_ns;
    uint32_t rested;   /* streams after which it has begun to */
    uint64_t ended_id; /* of the stream that ended last; UINT64_MAX: none */
    uint32_t opened;
    uint32_t done; /* streams over, both ways */
    uint32_t datagrams_sent;
    bool has_datagram[SIM_DATAGRAMS_MAX]; /* by number: it has arrived */
    struct sim_app_stream streams[SIM_STREAMS_MAX];
    const uint8_t *pattern; /* bytes sent by reference: pattern[k mod 65536 ...] */
};

void sim_app_init(struct sim_app *app, enum mr_role role, struct mr_endpoint *ep,
                  const struct sim_config *config);

/* When it has something to do of its own accord; MR_NEVER. */
uint64_t sim_app_due(const struct sim_app *app);

/* Handle the endpoint's events, send and receive. */
void sim_app_run(struct sim_app *app, uint64_t now);

#endif /* MR_TESTS_SIM_APP_H */
