/* tests/unit/test_conn_move_record.c - quic/conn_move.c: what is in a record beside streams. */
#include <errno.h>
#include <stdlib.h>

#include "quic/conn.h"
#include "quic/conn_move.h"
#include "tests/support/move_app.h"
#include "tests/unit/harness.h"

static struct move_config plain(uint64_t seed, enum mr_role role)
{
    return (struct move_config){
        .seed = seed, .role = role, .streams = 4, .bytes = 60000, .datagrams = 8};
}

static struct mr_endpoint *owner(const struct move_world *w)
{
    return w->node[w->app[0].node].ep;
}

static struct mr_conn *owned(const struct move_world *w)
{
    return mr_conn_of_handle(owner(w), w->app[0].conn);
}

/* A world in the middle of a transfer. */
static struct move_world *busy_world(const struct move_config *config)
{
    struct move_world *w = move_world_open(config);

    CU_ASSERT(move_world_connect(w));
    return w;
}

/* Run until all is transferred. */
static void transfer(struct move_world *w)
{
    uint64_t until = w->now + 300 * MR_SECOND;

    while (w->now < until && !move_world_is_done(w) && move_world_step(w)) {
    }
}

static void finish(struct move_world *w)
{
    CU_ASSERT(move_world_is_done(w));
    move_world_finish(w);
    for (int side = 0; side < 2; side++)
        CU_ASSERT_EQUAL(w->app[side].wrong, 0);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

/* Nothing of the record is left that says the keys. */
static void a_wiped_record_has_no_keys(void)
{
    struct move_config config = plain(8, MR_SERVER);
    struct move_world *w = busy_world(&config);
    struct mr_key_state keys = owned(w)->key_state;
    size_t size = mr_conn_record_size(owner(w), w->app[0].conn);
    uint8_t *copy = malloc(size);

    CU_ASSERT_EQUAL(move_world_export(w, 1), 0);
    CU_ASSERT_EQUAL(move_world_import(w), 0);
    memcpy(copy, w->record, size);
    for (size_t i = 0; i + 16 <= size; i++) {
        CU_ASSERT_FALSE(memcmp(copy + i, keys.seal.key, 16) == 0);
        CU_ASSERT_FALSE(memcmp(copy + i, keys.open.key, 16) == 0);
        CU_ASSERT_FALSE(memcmp(copy + i, keys.seal_secret.bytes, 16) == 0);
        CU_ASSERT_FALSE(memcmp(copy + i, keys.open_secret.bytes, 16) == 0);
    }
    free(copy);
    move_world_tell(w);
    move_world_arrive(w);
    transfer(w);
    finish(w);
}

/* A path that is being probed, and the answers that are awaited, go along or stay. */
static void paths_go_along(void)
{
    for (int is_short = 0; is_short < 2; is_short++) {
        struct move_config config = plain(9, MR_SERVER);
        struct move_world *w = busy_world(&config);
        struct mr_endpoint *old = owner(w);
        struct mr_pool *extras = &w->node[1].ep->extras;
        struct mr_conn *conn = owned(w);
        struct mr_path_addr addr = conn->path.addr;

        addr.remote.port = 7777;
        CU_ASSERT_PTR_NOT_NULL_FATAL(
            mr_side_open(old, conn, &addr, mr_cid_unused(old, conn), w->now));
        uint32_t slot = mr_side(old, conn, MR_SIDE_CANDIDATE)->cid;
        uint64_t due = conn->path_due_ns;
        CU_ASSERT_EQUAL(move_world_export(w, 1), 0);
        uint32_t taken[64];
        uint32_t count = 0;
        while (is_short != 0 && mr_pool_free_count(extras) > 0)
            taken[count++] = mr_pool_get(extras);
        if (is_short != 0) {
            CU_ASSERT_EQUAL(mr_conn_import(w->node[1].ep, w->record, w->now, &w->new_conn),
                            -ENOMEM);
            while (count > 0)
                mr_pool_put(extras, taken[--count]);
            CU_ASSERT_EQUAL(move_world_undo(w), 0);
            CU_ASSERT_EQUAL(old->extras.used, 1);
            CU_ASSERT_EQUAL(owned(w), conn);
        } else {
            CU_ASSERT_EQUAL(move_world_import(w), 0);
            move_world_tell(w);
            move_world_arrive(w);
            CU_ASSERT_EQUAL(old->extras.used, 0);
            CU_ASSERT_EQUAL(extras->used, 1);
        }
        const struct mr_side_path *side = mr_side(owner(w), owned(w), MR_SIDE_CANDIDATE);
        CU_ASSERT_PTR_NOT_NULL_FATAL(side);
        CU_ASSERT_EQUAL(side->addr.remote.port, 7777);
        CU_ASSERT_EQUAL(side->cid, slot);
        CU_ASSERT_EQUAL(owned(w)->path_due_ns, due);
        transfer(w);
        move_world_run(w, 20 * MR_SECOND); /* nobody answers */
        CU_ASSERT_EQUAL(owner(w)->extras.used, 0);
        finish(w);
    }
}

/* A window that is being tried out is so in the new shard, too. */
static void a_resumption_goes_along(void)
{
    struct move_config config = plain(10, MR_SERVER);
    struct move_world *w = busy_world(&config);
    struct mr_conn_extra *extra = mr_conn_extra_use(owner(w), owned(w), MR_EXTRA_RESUME);

    CU_ASSERT_PTR_NOT_NULL_FATAL(extra);
    extra->resume = (struct mr_resume){.phase = MR_RESUME_VALIDATING, .end_ns = w->now};
    CU_ASSERT_EQUAL(move_world_export(w, 1), 0);
    CU_ASSERT_EQUAL(move_world_import(w), 0);
    move_world_tell(w);
    move_world_arrive(w);
    transfer(w);
    CU_ASSERT_EQUAL(owner(w)->counters.resumes_validated, 1);
    extra = mr_conn_extra(owner(w), owned(w)); /* it may be used otherwise */
    CU_ASSERT_TRUE(extra == NULL || (extra->uses & MR_EXTRA_RESUME) == 0);
    finish(w);
}

/* A client that awaits data asks for it in the new shard, too, where the path is none of what it
 * waits for. */
static void who_awaits_data_goes_on_asking(void)
{
    struct move_config config = plain(1, MR_CLIENT);

    config.rest_at = 10000;
    config.keep_alive_ns = 100 * MR_MS;
    struct move_world *w = busy_world(&config);
    move_world_run(w, MR_SECOND);
    const struct mr_conn_extra *extra = mr_conn_extra(owner(w), owned(w));
    CU_ASSERT(extra != NULL && (extra->uses & MR_EXTRA_TRAVELS) != 0);
    CU_ASSERT_EQUAL_FATAL(move_world_move(w, 1), 0);
    CU_ASSERT_EQUAL(owner(w)->counters.keep_alive_pings, 0);
    move_world_run(w, 5 * MR_SECOND);
    CU_ASSERT(owner(w)->counters.keep_alive_pings > 0);
    w->config.rest_at = 0;
    move_world_settle(w);
    transfer(w);
    finish(w);
}

static CU_TestInfo tests[] = {
    {"a wiped record has no keys", a_wiped_record_has_no_keys},
    {"paths that are being probed go along, or stay", paths_go_along},
    {"a resumption goes along", a_resumption_goes_along},
    {"who awaits data goes on asking", who_awaits_data_goes_on_asking},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/conn_move, records", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
