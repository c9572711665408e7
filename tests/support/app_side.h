/*
 * tests/support/app_side.h - an attached application, as small as can be: the other end of a
 * dataplane/app_host.h ring, for tests; and a world of two hosts that a loop joins.
 */
#ifndef MR_TESTS_SUPPORT_APP_SIDE_H
#define MR_TESTS_SUPPORT_APP_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ring_region.h"
#include "dataplane/app_host.h"
#include "tests/support/loop_transport.h"

#define APP_SIDE_KEPT 1024 /* completions set aside */
#define APP_SIDES_MAX 8

struct app_side {
    void *memory;
    struct mr_ring_region region;
    struct mr_outbox submissions;
    struct mr_inbox completions;
    struct mr_app_host *host;
    int ring;
    uint32_t wakes;
    struct mr_cqe kept[APP_SIDE_KEPT]; /* seen while another was waited for, in order */
    uint32_t kept_count;
};

/* Attach a new application with a region of `sizes` to `host`; its limits are the region's, it may
 * serve every listener. */
void app_side_attach(struct app_side *app, struct mr_app_host *host,
                     const struct mr_ring_sizes *sizes);

/* As `wake` of a configuration: there is to be none. */
void app_side_no_wake(void *argument);

/* The same with a configuration, whose region and wake are set here.  Returns what
 * mr_app_host_attach() does; negative: there is nothing to free. */
int app_side_try_attach(struct app_side *app, struct mr_app_host *host,
                        const struct mr_ring_sizes *sizes, const struct mr_app_ring_config *config);

/* Forget the ring, which must be drained, and free the region. */
void app_side_free(struct app_side *app);

/* Submit; false: the queue is full. */
bool app_side_submit(struct app_side *app, const struct mr_sqe *sqe);

/* The next completion; false: none. */
bool app_side_next(struct app_side *app, struct mr_cqe *cqe);

/* Put a struct mr_ring_connect for the server of a loop at the begin of the send area, and submit
 * CONNECT. */
void app_side_connect(struct app_side *app, uint64_t user_data);

/* The address that submissions give to `offset` of the send area, and the bytes there. */
uint64_t app_side_address(const struct app_side *app, uint64_t offset);
uint8_t *app_side_bytes(const struct app_side *app, uint64_t offset);

/* The bytes of a DATA or DATAGRAM. */
const uint8_t *app_side_data(const struct app_side *app, const struct mr_cqe *cqe);

/* Give them back. */
void app_side_release(struct app_side *app, const struct mr_cqe *cqe);

/* ------------------------------------------------------------------ a world */

enum {
    APP_CLIENT,
    APP_SERVER,
    APP_SECOND /* the server's second shard, if it has one */
};

struct app_world {
    struct mr_app_host *host[3];
    struct loop *loop;
    struct app_side app[APP_SIDES_MAX]; /* the client's, the server's, and others */
    uint32_t app_count;
};

/* Entries both ways, slots of 1 KiB, 1 MiB to send from, 64 of everything else. */
struct mr_ring_sizes app_world_sizes(uint32_t entries, uint32_t slots);
struct mr_app_host_config app_world_host_config(void);

/* One listener for everything: round robin, refuse code 71, death code 73. */
struct mr_handoff app_world_policy(void);

/* Two hosts, one application at each; the server's listens.  `host` and `policy`: NULL: the above.
 */
void app_world_start(struct app_world *w, const struct loop_config *loop,
                     const struct mr_ring_sizes *sizes, const struct mr_app_host_config *host,
                     const struct mr_handoff *policy);

/* A second shard for the server: connections can move between both. */
void app_world_add_shard(struct app_world *w, const struct mr_app_host_config *host);

/* Let go of everybody, and see that everything comes back. */
void app_world_stop(struct app_world *w);

/* Steps of the loop; invariants hold after each. */
void app_world_step(struct app_world *w, uint32_t steps);

/* One more application at a host. */
struct app_side *app_world_attach(struct app_world *w, unsigned side,
                                  const struct mr_ring_sizes *sizes,
                                  const struct mr_app_ring_config *config);

/* Step until the application gets a completion of this kind, which is returned; type MR_CQE_GONE +
 * 1 if it does not come.  What comes before it is kept for app_side_next(). */
struct mr_cqe app_world_wait(struct app_world *w, struct app_side *app,
                             bool (*is_it)(const struct mr_cqe *cqe, uint64_t word), uint64_t word);

/* Wait for the event that has one of these kinds, or for the DONE of this operation. */
struct mr_cqe app_world_event(struct app_world *w, struct app_side *app, uint32_t kinds);
struct mr_cqe app_world_answer(struct app_world *w, struct app_side *app, uint8_t op);

/* Submit, and wait for the answer; user_data is chosen here. */
struct mr_cqe app_world_call(struct app_world *w, struct app_side *app, struct mr_sqe sqe);

/* Connect an application of the client's host; the connection's handle once it is connected. */
uint64_t app_world_connect(struct app_world *w, struct app_side *app);

/* Connect, wishing for this; 0: nothing came of it. */
uint64_t app_world_connect_to(struct app_world *w, struct app_side *app,
                              const struct mr_ring_connect *wish);

/* Open a bidirectional stream; its handle, 0: refused. */
uint64_t app_world_open(struct app_world *w, struct app_side *app, uint64_t conn);

/* SEND `size` bytes that begin at `offset` of the send area. */
void app_side_send(struct app_side *app, uint64_t stream, uint64_t offset, uint32_t size,
                   uint8_t flags, uint64_t user_data);

/* What a completion of this application has next, without a step; a type of MR_CQE_GONE + 1: none.
 */
struct mr_cqe app_side_peek(struct app_side *app);

/* Was nothing of the kind waited for there? */
static inline bool app_is_none(const struct mr_cqe *cqe)
{
    return cqe->type == MR_CQE_GONE + 1;
}

#endif /* MR_TESTS_SUPPORT_APP_SIDE_H */
