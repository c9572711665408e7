/*
 * tests/support/ring_world.h - a datapath in memory for tests of applications: two hosts
 * (dataplane/app_host.h), the client's and the server's, joined by a loop (loop_transport.h), and
 * attachments (millrace/ring.h) to either.
 *
 *     attachment == rings ==> host[0] --loop--> host[1] <== rings == attachment
 *     (client)                                                       (server)
 *
 *     struct ring_world *w = ring_world_new(&config);
 *     struct mr_attachment *a = ring_world_attach(w, RING_WORLD_SERVER, 1);
 *     ... anything that works on an attachment ...
 *     mr_detach(a);
 *     ring_world_free(w);
 *
 * Without a thread nothing moves but in ring_world_step(), and a run repeats with its seed.  With
 * one (`has_thread`) the world steps by itself until it is freed, as a datapath does; attachments
 * may then be used on any threads.  As with a real datapath, mr_detach() is all it takes to leave.
 *
 * An application has the listener 0, "any", with every connection, in turn.  For tests only:
 * mallocs, and panics on misuse.  Threads: as said, the functions below from any.
 */
#ifndef MR_TESTS_SUPPORT_RING_WORLD_H
#define MR_TESTS_SUPPORT_RING_WORLD_H

#include "base/ring_region.h"
#include "dataplane/app_host.h"
#include "millrace/ring.h"
#include "tests/support/loop_transport.h"

enum {
    RING_WORLD_CLIENT, /* can connect */
    RING_WORLD_SERVER  /* can listen */
};

struct ring_world;

struct ring_world_config {
    struct loop_config loop;
    struct mr_app_host_config host; /* of both */
    struct mr_ring_sizes sizes;     /* of every ring; change them between attachments with
                                       ring_world_set_sizes() */
    uint32_t moves_percent;         /* chance that a step moves a connection; > 0: each side has two
                                       shards, and of an attachment's rings the second is to the
                                       second of them */
    bool has_thread;
};

/* A plain loop, hosts for 64 rings, default rings. */
struct ring_world_config ring_world_config_default(uint64_t seed);

struct ring_world *ring_world_new(const struct ring_world_config *config);

/* Stop the thread, let go of everybody, check the hosts.  All attachments must be detached. */
void ring_world_free(struct ring_world *world);

/* Attach with `rings` rings, as to so many shards. */
struct mr_attachment *ring_world_attach(struct ring_world *world, unsigned side, uint32_t rings);

/* Of the attachments that follow. */
void ring_world_set_sizes(struct ring_world *world, const struct mr_ring_sizes *sizes);

/* One step of everything; only without a thread.  False: nothing moved. */
bool ring_world_step(struct ring_world *world);

/* What the datapath does to an attachment: let go of its rings, MR_CQE_GONE; or die: its sockets
 * are closed, and its rings say nothing. */
void ring_world_let_go(struct ring_world *world, const struct mr_attachment *attachment);
void ring_world_die(struct ring_world *world, const struct mr_attachment *attachment);

struct mr_app_host *ring_world_host(struct ring_world *world, unsigned side);
struct mr_app_host *ring_world_second_host(struct ring_world *world, unsigned side);
struct loop *ring_world_loop(struct ring_world *world);

#endif /* MR_TESTS_SUPPORT_RING_WORLD_H */
