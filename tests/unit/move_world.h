/*
 * tests/unit/move_world.h - for tests of dataplane/app_move.c: an application with a ring to each
 * of two shards, and a connection that it has accepted at the first.
 *
 *     client's host -- loop -- server's shard 0 and shard 1
 *                              (an attachment: a ring to each)
 */
#ifndef MR_TESTS_UNIT_MOVE_WORLD_H
#define MR_TESTS_UNIT_MOVE_WORLD_H

#include <errno.h>
#include <string.h>

#include "tests/support/app_side.h"
#include "tests/unit/harness.h"

#define MOVE_NS  UINT64_C(50000000)
#define MOVES    (MR_RING_MOVES)
#define NUMBER   9 /* of the attachment */
#define PATIENCE ((uint32_t)(MOVE_NS / LOOP_STEP_NS) + 50)

static struct app_world w;
static struct app_side *at[2]; /* the server's rings, of shard 0 and 1 */
static struct app_side *client;
static uint64_t client_conn;
static uint64_t conn; /* the server's name of it */

/* ------------------------------------------------------------------ the world */

static inline struct mr_ring_sizes sizes_of(uint32_t flags)
{
    struct mr_ring_sizes sizes = app_world_sizes(256, 16);

    sizes.flags = flags;
    return sizes;
}

static inline void attach(struct mr_ring_sizes sizes, uint64_t siblings)
{
    for (uint32_t i = 0; i < 2; i++) {
        at[i] = app_world_attach(&w, APP_SERVER + i, &sizes,
                                 &(struct mr_app_ring_config){.listeners = UINT64_MAX,
                                                              .numa_node = -1,
                                                              .attachment = NUMBER,
                                                              .siblings = siblings,
                                                              .first_shard = 4});
        CU_ASSERT_EQUAL(
            app_world_call(
                &w, at[i],
                (struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY, .address = 1})
                .result,
            0);
    }
}

/* A connection at shard 0. */
static inline void connect_one(void)
{
    client_conn = app_world_connect(&w, client);
    conn = app_world_event(&w, at[0], MR_EVENT_CONNECTED).conn;
    CU_ASSERT_NOT_EQUAL_FATAL(conn, 0);
}

static inline void start_with(const struct loop_config *loop, struct mr_ring_sizes sizes,
                              const struct mr_handoff *policy, uint64_t siblings)
{
    struct mr_app_host_config host = app_world_host_config();
    struct mr_ring_sizes plain = sizes_of(0);

    host.move_ns = MOVE_NS;
    app_world_start(&w, loop, &plain, &host, policy);
    client = &w.app[APP_CLIENT];
    app_world_step(&w, 2);
    app_world_call(&w, &w.app[APP_SERVER],
                   (struct mr_sqe){.op = MR_OP_LISTEN, .value = MR_RING_EVERY}); /* no more */
    app_world_add_shard(&w, &host);
    app_world_step(&w, 2);
    attach(sizes, siblings);
    connect_one();
}

static inline void start(uint32_t flags)
{
    struct loop_config loop = loop_config_default(1);

    start_with(&loop, sizes_of(flags), NULL, 3);
}

static inline void stop(void)
{
    loop_hold_moves(w.loop, false);
    app_world_stop(&w);
}

static inline const struct mr_app_host_stats *stats_of(uint32_t shard)
{
    return mr_app_host_stats(w.host[APP_SERVER + shard]);
}

/* ------------------------------------------------------------------ moving */

static inline void order(uint32_t from)
{
    struct loop_conn_place place = loop_conn_at(w.loop, 1, 0);

    CU_ASSERT_EQUAL_FATAL(place.shard, from);
    CU_ASSERT_EQUAL_FATAL(loop_order_move(w.loop, 1, from, place.conn), 0);
}

static inline struct mr_cqe wait_moved(uint32_t shard)
{
    struct mr_cqe cqe = app_world_event(&w, at[shard], MR_EVENT_MOVED);

    CU_ASSERT_FALSE_FATAL(app_is_none(&cqe));
    CU_ASSERT_EQUAL(cqe.kinds, MR_EVENT_MOVED);
    CU_ASSERT_EQUAL(cqe.conn, conn);
    return cqe;
}

static inline struct mr_sqe ack_of(const struct mr_cqe *moved)
{
    return (struct mr_sqe){.op = MR_OP_MOVE_ACK, .handle = moved->conn, .value = moved->value};
}

/* The whole of it, from shard `from`: the connection's new name. */
static inline void move(uint32_t from)
{
    order(from);
    struct mr_cqe moved = wait_moved(from);
    CU_ASSERT_EQUAL(moved.result, 0);
    CU_ASSERT_EQUAL(moved.address, 4 + 1 - from);
    CU_ASSERT_EQUAL(app_world_call(&w, at[from], ack_of(&moved)).result, 0);
    struct mr_cqe in = app_world_event(&w, at[1 - from], MR_EVENT_MOVED_IN);
    CU_ASSERT_FALSE_FATAL(app_is_none(&in));
    CU_ASSERT_EQUAL(in.kinds, MR_EVENT_MOVED_IN);
    CU_ASSERT_EQUAL(in.stream, 0);
    CU_ASSERT_EQUAL(in.value, conn);
    CU_ASSERT_EQUAL(in.address, 4 + from);
    conn = in.conn;
}

/* A stream's new name after a move to `shard`. */
static inline uint64_t follow(uint32_t shard, uint64_t stream)
{
    struct mr_cqe cqe = app_world_event(&w, at[shard], MR_EVENT_MOVED_IN);

    CU_ASSERT_EQUAL(cqe.conn, conn);
    CU_ASSERT_EQUAL(cqe.value, stream);
    CU_ASSERT_NOT_EQUAL(cqe.stream, 0);
    return cqe.stream;
}

/* ------------------------------------------------------------------ streams */

static inline void fill(struct app_side *app, uint64_t offset, const char *text)
{
    memcpy(app_side_bytes(app, offset), text, strlen(text));
}

static inline void send_text(struct app_side *app, uint64_t stream, uint64_t offset,
                             const char *text, uint8_t flags, uint64_t user_data)
{
    fill(app, offset, text);
    app_side_send(app, stream, offset, (uint32_t)strlen(text), flags, user_data);
}

static inline bool is_data(const struct mr_cqe *cqe, uint64_t word)
{
    (void)word;
    return cqe->type == MR_CQE_DATA;
}

/* The next DATA is this text at this offset; the slot stays held. */
static inline struct mr_cqe expect_text(struct app_side *app, const char *text, uint64_t offset)
{
    struct mr_cqe cqe = app_world_wait(&w, app, is_data, 0);

    CU_ASSERT_FALSE_FATAL(app_is_none(&cqe));
    CU_ASSERT_EQUAL(cqe.value, offset);
    CU_ASSERT_EQUAL(cqe.size, strlen(text));
    CU_ASSERT_EQUAL(memcmp(app_side_data(app, &cqe), text, MR_MIN(cqe.size, strlen(text))), 0);
    return cqe;
}

static inline void hear(struct app_side *app, const char *text, uint64_t offset)
{
    struct mr_cqe cqe = expect_text(app, text, offset);

    app_side_release(app, &cqe);
}

/* A stream of the client's with a text; the server's name for it, once it heard the text. */
static inline uint64_t begin_stream(uint64_t *clients_out, const char *text)
{
    *clients_out = app_world_open(&w, client, client_conn);
    send_text(client, *clients_out, 4096, text, 0, 1);
    hear(at[0], text, 0);
    return app_world_event(&w, at[0], MR_EVENT_STREAM_OPENED).stream;
}

static inline uint32_t count_events(struct app_side *app, uint32_t kinds)
{
    uint32_t count = 0;
    struct mr_cqe cqe;

    while (app_side_next(app, &cqe))
        count += cqe.type == MR_CQE_EVENT && (cqe.kinds & kinds) != 0;
    return count;
}

#endif /* MR_TESTS_UNIT_MOVE_WORLD_H */
