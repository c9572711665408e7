/*
 * tools/bench_world.h - what every bench runs in: a wire, a server group at one end, a client group
 * at the other.
 *
 *     client shards -- wire -- server shards        workers: servers first, then clients
 *
 * Owner: the bench.  Threads: the control thread.
 */
#ifndef MR_TOOLS_BENCH_WORLD_H
#define MR_TOOLS_BENCH_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "control/group.h"
#include "control/tls_context.h"
#include "dataplane/clock.h"
#include "drivers/wire.h"

#define MR_WORLD_BEHIND UINT32_MAX

struct mr_world_config {
    uint32_t number;        /* in the names of pools: worlds of one process differ */
    uint32_t server_worker; /* the first of the servers' */
    uint32_t client_worker; /* MR_WORLD_BEHIND: those behind the servers' */
    uint32_t server_shards;
    uint32_t client_shards;
    uint32_t server_io_lcores; /* behind the servers' workers */
    uint32_t payload_max;
    uint32_t connections; /* per shard, for limits */
    uint32_t awake;       /* of the server's, per shard; 0: all */
    enum mr_aead_backend crypto;
    enum mr_cipher cipher;
    enum mr_polling polling;
    struct mr_wire_config wire;
    const struct mr_application *server_applications;
    const struct mr_application *client_applications;
    const uint8_t *alpn;
    size_t alpn_size;
    uint32_t helper_count;    /* threads for work; 0: none */
    uint32_t tls_helpers;     /* threads for the servers' TLS jobs; 0: their shards */
    uint64_t window_max;      /* receive windows grow up to this */
    uint32_t streams_max;     /* per connection */
    uint32_t server_tx_mbufs; /* per shard: what may be on the way */
    uint32_t client_tx_mbufs;
    uint64_t idle_timeout_ns;
    uint8_t tickets; /* per handshake */
    struct mr_shard_balance server_balance;
    uint32_t paths_max;      /* of a connection; 0: one */
    uint32_t extensions_off; /* enum mr_extensions that neither side has */
    uint16_t ack_packets;    /* that an ACK acknowledges at most; 0: all that came in a burst */
    bool has_early_data;     /* both sides take 0-RTT */
};

struct mr_world {
    struct mr_world_config config;
    struct mr_tls_context server_tls;
    struct mr_tls_context client_tls;
    struct mr_group server;
    struct mr_group client;
    struct rte_mempool
        *rx_pools[MR_WIRE_ENDS][MR_SHARDS_MAX]; /* copying wire; the groups free them */
    struct mr_work_pool *work;
    struct mr_work_pool *tls_work; /* the servers' */
    void *client_library;          /* OpenSSL's, of the clients */
    struct mr_replay *replay;      /* first flights with 0-RTT; NULL: none are taken */
    struct mr_clock clock;
    bool has_server_tls;
    bool has_client_tls;
    bool has_server;
    bool has_client;
    char names[MR_WIRE_ENDS][16]; /* of the groups */
    uint8_t static_key[32];
};

/* Values for one connection at full speed. */
struct mr_world_config mr_world_config_default(void);

/* EAL must run with the workers.  False with `fault` set and nothing
 * held. */
bool mr_world_make(struct mr_world *world, const struct mr_world_config *config,
                   struct mr_fault *fault);
void mr_world_launch(struct mr_world *world);

/* Stop the shards, clients first, and wait for them. */
void mr_world_stop(struct mr_world *world);

/* Free all.  Returns the mbufs that did not come back. */
uint32_t mr_world_free(struct mr_world *world);

/* Where clients connect to. */
struct mr_address mr_world_server_address(void);

#endif /* MR_TOOLS_BENCH_WORLD_H */
