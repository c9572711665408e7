/*
 * tests/support/engine_world.h - two applications joined by two real endpoints, in virtual time.
 *
 *     client's application -- endpoint ==datagrams==> endpoint -- server's application
 *
 * The transport of millrace/transport.h as a shard has it, without a port: handshakes, protection,
 * flow control and congestion control are the engine's.  For tests only; one thread.
 */
#ifndef MR_TESTS_SUPPORT_ENGINE_WORLD_H
#define MR_TESTS_SUPPORT_ENGINE_WORLD_H

#include "millrace/transport.h"
#include "quic/endpoint.h"
#include "tests/sim/sim_network.h"

enum {
    ENGINE_CLIENT = 0,
    ENGINE_SERVER = 1,
};

struct engine_options {
    uint32_t datagram_max[2]; /* bytes of a DATAGRAM frame that each side takes; 0: none */
    uint64_t loss_every;      /* each so many'th datagram is lost; 0: none is */
    bool has_early_data;
    const struct sim_link *links; /* [0] client to server, [1] back; NULL: 5 ms, nothing lost */
    uint64_t seed;                /* of the network, and of the endpoints */
    uint64_t rebind_every_ns;     /* the client's NAT forgets it; 0: never */
    uint32_t rebinds_max;         /* so often at most */
    uint64_t keep_alive_ns;       /* of the client; 0: none */
    uint32_t connections;         /* of each side; 0: 8 */
    uint32_t awake;               /* of the server's; 0: all */
    uint64_t sleep_after_ns;      /* of the server */
};

struct engine_world;

/* Make both endpoints and start the applications, whose ALPN is "h3". */
struct engine_world *engine_world_new(const struct engine_options *options,
                                      const struct mr_application *client,
                                      const struct mr_application *server);
void engine_world_free(struct engine_world *w);

/* Let `ns` pass. */
void engine_world_run(struct engine_world *w, uint64_t ns);

/* Where the server is. */
struct mr_address engine_world_server(void);

/* What the network did, with `links`. */
const struct sim_network *engine_world_network(const struct engine_world *w);

/* The same, until `is_over(context)`.  False: it is not, after `ns`. */
bool engine_world_run_until(struct engine_world *w, uint64_t ns, bool (*is_over)(void *context),
                            void *context);

/* Datagrams from `side` are held back (true), or go on. */
void engine_world_hold(struct engine_world *w, unsigned side, bool is_held);

/* From now on the server's application has this for clients to remember (millrace/transport.h). */
void engine_world_remember(struct engine_world *w, uint64_t remembered);

struct mr_endpoint *engine_world_endpoint(struct engine_world *w, unsigned side);
struct mr_transport *engine_world_transport(struct engine_world *w, unsigned side);

#endif /* MR_TESTS_SUPPORT_ENGINE_WORLD_H */
