/* tests/support/app_side.c - see app_side.h. */
#include "tests/support/app_side.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE 2000 /* steps */

static void count_wake(void *argument)
{
    struct app_side *app = argument;

    app->wakes++;
}

void app_side_no_wake(void *argument)
{
    (void)argument;
}

int app_side_try_attach(struct app_side *app, struct mr_app_host *host,
                        const struct mr_ring_sizes *sizes, const struct mr_app_ring_config *config)
{
    struct mr_app_ring_config filled = *config;
    struct mr_fault fault;
    uint64_t size = mr_ring_region_size(sizes);

    *app = (struct app_side){.host = host, .memory = aligned_alloc(4096, size)};
    memset(app->memory, 0, size);
    mr_ring_region_make(&filled.region, app->memory, sizes, 0);
    MR_ASSERT(mr_ring_region_open(&app->region, app->memory, size, &fault) == 0);
    struct mr_mailbox submissions = mr_ring_submissions(&app->region);
    struct mr_mailbox completions = mr_ring_completions(&app->region);
    mr_outbox_init(&app->submissions, &submissions);
    mr_inbox_init(&app->completions, &completions);
    filled.wake = config->wake == app_side_no_wake ? NULL : count_wake;
    filled.argument = app;
    app->ring = mr_app_host_attach(host, &filled);
    if (app->ring < 0)
        free(app->memory);
    return app->ring;
}

void app_side_attach(struct app_side *app, struct mr_app_host *host,
                     const struct mr_ring_sizes *sizes)
{
    int ring = app_side_try_attach(
        app, host, sizes, &(struct mr_app_ring_config){.listeners = UINT64_MAX, .numa_node = -1});

    MR_ASSERT(ring >= 0);
}

void app_side_free(struct app_side *app)
{
    mr_app_host_forget(app->host, (uint32_t)app->ring);
    free(app->memory);
    app->memory = NULL;
}

bool app_side_submit(struct app_side *app, const struct mr_sqe *sqe)
{
    struct mr_sqe *place = mr_outbox_next(&app->submissions);

    if (place == NULL)
        return false;
    *place = *sqe;
    mr_outbox_publish(&app->submissions);
    return true;
}

static bool take(struct app_side *app, struct mr_cqe *cqe)
{
    if (!mr_inbox_take(&app->completions, cqe))
        return false;
    mr_inbox_done(&app->completions);
    return true;
}

bool app_side_next(struct app_side *app, struct mr_cqe *cqe)
{
    if (app->kept_count == 0)
        return take(app, cqe);
    *cqe = app->kept[0];
    memmove(&app->kept[0], &app->kept[1], --app->kept_count * sizeof(*cqe));
    return true;
}

static bool is_by_reference(const struct app_side *app)
{
    return (app->region.sizes.flags & MR_RING_BY_REFERENCE) != 0;
}

uint8_t *app_side_bytes(const struct app_side *app, uint64_t offset)
{
    return app->region.base + app->region.send_at + offset;
}

uint64_t app_side_address(const struct app_side *app, uint64_t offset)
{
    return is_by_reference(app) ? (uintptr_t)app_side_bytes(app, offset)
                                : app->region.send_at + offset;
}

const uint8_t *app_side_data(const struct app_side *app, const struct mr_cqe *cqe)
{
    return is_by_reference(app) ? (const uint8_t *)(uintptr_t)cqe->address
                                : app->region.base + cqe->address;
}

void app_side_release(struct app_side *app, const struct mr_cqe *cqe)
{
    bool fits = app_side_submit(app, &(struct mr_sqe){.op = MR_OP_RELEASE,
                                                      .flags = MR_SQE_QUIET,
                                                      .handle = cqe->stream,
                                                      .address = cqe->address,
                                                      .size = cqe->size});

    MR_ASSERT(fits);
}

void app_side_connect(struct app_side *app, uint64_t user_data)
{
    struct mr_ring_connect wish = {
        .port = 443, .alpn_size = 5, .alpn = "\004echo", .server_name = "localhost"};

    memcpy(app_side_bytes(app, 0), &wish, sizeof(wish));
    app_side_submit(app, &(struct mr_sqe){.op = MR_OP_CONNECT,
                                          .user_data = user_data,
                                          .address = app_side_address(app, 0),
                                          .size = sizeof(wish)});
}

/* ------------------------------------------------------------------ a world */

struct mr_ring_sizes app_world_sizes(uint32_t entries, uint32_t slots)
{
    return (struct mr_ring_sizes){.submit_count = entries,
                                  .complete_count = entries,
                                  .slot_size = 1024,
                                  .slot_count = slots,
                                  .send_bytes = 1 << 20,
                                  .alias_count = 64,
                                  .sends_max = 64,
                                  .objects_max = 64};
}

struct mr_app_host_config app_world_host_config(void)
{
    return (struct mr_app_host_config){.objects_max = 512,
                                       .sends_max = 512,
                                       .timers_max = 1024,
                                       .refuse_code = 70,
                                       .death_code = 72,
                                       .numa_node = -1};
}

struct mr_handoff app_world_policy(void)
{
    return (struct mr_handoff){.listener_count = 1,
                               .listener = {{.policy = MR_HANDOFF_ROUND_ROBIN,
                                             .death = MR_DEATH_CLOSE,
                                             .refuse_code = 71,
                                             .death_code = 73}}};
}

void app_world_start(struct app_world *w, const struct loop_config *loop,
                     const struct mr_ring_sizes *sizes, const struct mr_app_host_config *host,
                     const struct mr_handoff *policy)
{
    static const uint8_t key[16] = {1, 2, 3};
    struct mr_app_host_config plain_host = app_world_host_config();
    struct mr_handoff plain_policy = app_world_policy();

    *w = (struct app_world){.app_count = 2};
    for (int i = 0; i < 2; i++) {
        w->host[i] = mr_app_host_new(host == NULL ? &plain_host : host, key);
        MR_ASSERT(w->host[i] != NULL);
        MR_ASSERT(mr_app_host_set_policy(w->host[i], policy == NULL ? &plain_policy : policy) == 0);
    }
    w->loop = loop_new(loop, mr_app_host_application(w->host[APP_CLIENT]),
                       mr_app_host_application(w->host[APP_SERVER]));
    for (int i = 0; i < 2; i++)
        app_side_attach(&w->app[i], w->host[i], sizes);
    app_side_submit(&w->app[APP_SERVER], &(struct mr_sqe){.op = MR_OP_LISTEN,
                                                          .flags = MR_SQE_QUIET,
                                                          .value = MR_RING_EVERY,
                                                          .address = 1});
}

void app_world_add_shard(struct app_world *w, const struct mr_app_host_config *host)
{
    static const uint8_t key[16] = {4, 5, 6};
    struct mr_app_host *first = w->host[APP_SERVER];
    struct mr_app_host *second = mr_app_host_new(host, key);
    struct mr_handoff policy = *mr_app_host_policy(first);

    MR_ASSERT(second != NULL);
    MR_ASSERT(mr_app_host_set_policy(second, &policy) == 0);
    w->host[APP_SECOND] = second;
    loop_add_shard(w->loop, 1, mr_app_host_application(second), mr_app_host_move_hooks(first),
                   mr_app_host_move_hooks(second));
}

void app_world_stop(struct app_world *w)
{
    loop_hold_acks(w->loop, 0, false);
    loop_hold_acks(w->loop, 1, false);
    for (uint32_t i = 0; i < w->app_count; i++)
        if (w->app[i].memory != NULL)
            mr_app_host_detach(w->app[i].host, (uint32_t)w->app[i].ring);
    app_world_step(w, 200);
    for (uint32_t i = 0; i < w->app_count; i++)
        if (w->app[i].memory != NULL)
            app_side_free(&w->app[i]); /* panics unless it is drained */
    loop_free(w->loop);
    for (int i = 0; i < 3; i++)
        mr_app_host_free(w->host[i]);
}

void app_world_step(struct app_world *w, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        loop_step(w->loop);
        for (int k = 0; k < 3; k++)
            if (w->host[k] != NULL)
                mr_app_host_check(w->host[k]);
    }
}

struct app_side *app_world_attach(struct app_world *w, unsigned side,
                                  const struct mr_ring_sizes *sizes,
                                  const struct mr_app_ring_config *config)
{
    struct app_side *app = &w->app[w->app_count++];

    MR_ASSERT(w->app_count <= APP_SIDES_MAX);
    if (config == NULL)
        app_side_attach(app, w->host[side], sizes);
    else
        MR_ASSERT(app_side_try_attach(app, w->host[side], sizes, config) >= 0);
    return app;
}

/* ------------------------------------------------------------------ waiting */

static bool find_kept(struct app_side *app, bool (*is_it)(const struct mr_cqe *cqe, uint64_t word),
                      uint64_t word, struct mr_cqe *cqe_out)
{
    for (uint32_t i = 0; i < app->kept_count; i++)
        if (is_it(&app->kept[i], word)) {
            *cqe_out = app->kept[i];
            memmove(&app->kept[i], &app->kept[i + 1], (--app->kept_count - i) * sizeof(*cqe_out));
            return true;
        }
    return false;
}

struct mr_cqe app_world_wait(struct app_world *w, struct app_side *app,
                             bool (*is_it)(const struct mr_cqe *cqe, uint64_t word), uint64_t word)
{
    struct mr_cqe cqe;

    if (find_kept(app, is_it, word, &cqe))
        return cqe;
    for (int i = 0; i < PATIENCE; i++) {
        while (take(app, &cqe)) {
            if (is_it(&cqe, word))
                return cqe;
            MR_ASSERT(app->kept_count < APP_SIDE_KEPT);
            app->kept[app->kept_count++] = cqe;
        }
        app_world_step(w, 1);
    }
    return (struct mr_cqe){.type = MR_CQE_GONE + 1};
}

static bool is_event(const struct mr_cqe *cqe, uint64_t kinds)
{
    return cqe->type == MR_CQE_EVENT && (cqe->kinds & kinds) != 0;
}

struct mr_cqe app_world_event(struct app_world *w, struct app_side *app, uint32_t kinds)
{
    return app_world_wait(w, app, is_event, kinds);
}

static bool is_answer(const struct mr_cqe *cqe, uint64_t op)
{
    return cqe->type == MR_CQE_DONE && cqe->op == op;
}

struct mr_cqe app_world_answer(struct app_world *w, struct app_side *app, uint8_t op)
{
    return app_world_wait(w, app, is_answer, op);
}

static bool is_answer_to(const struct mr_cqe *cqe, uint64_t user_data)
{
    return cqe->type == MR_CQE_DONE && cqe->user_data == user_data;
}

struct mr_cqe app_world_call(struct app_world *w, struct app_side *app, struct mr_sqe sqe)
{
    static uint64_t calls = UINT64_C(0xca11000000000000);
    bool fits;

    sqe.user_data = ++calls;
    fits = app_side_submit(app, &sqe);
    MR_ASSERT(fits);
    return app_world_wait(w, app, is_answer_to, calls);
}

uint64_t app_world_connect_to(struct app_world *w, struct app_side *app,
                              const struct mr_ring_connect *wish)
{
    memcpy(app_side_bytes(app, 0), wish, sizeof(*wish));
    struct mr_cqe cqe = app_world_call(w, app,
                                       (struct mr_sqe){.op = MR_OP_CONNECT,
                                                       .address = app_side_address(app, 0),
                                                       .size = sizeof(*wish)});
    if (cqe.result != 0)
        return 0;
    cqe = app_world_event(w, app, MR_EVENT_CONNECTED);
    return app_is_none(&cqe) ? 0 : cqe.conn;
}

uint64_t app_world_connect(struct app_world *w, struct app_side *app)
{
    static const struct mr_ring_connect wish = {
        .port = 443, .alpn_size = 5, .alpn = "\004echo", .server_name = "localhost"};

    return app_world_connect_to(w, app, &wish);
}

uint64_t app_world_open(struct app_world *w, struct app_side *app, uint64_t conn)
{
    struct mr_cqe cqe = app_world_call(w, app, (struct mr_sqe){.op = MR_OP_OPEN, .handle = conn});

    return cqe.result == 0 ? cqe.stream : 0;
}

void app_side_send(struct app_side *app, uint64_t stream, uint64_t offset, uint32_t size,
                   uint8_t flags, uint64_t user_data)
{
    bool fits = app_side_submit(app, &(struct mr_sqe){.op = MR_OP_SEND,
                                                      .flags = flags,
                                                      .size = size,
                                                      .user_data = user_data,
                                                      .handle = stream,
                                                      .address = app_side_address(app, offset)});

    MR_ASSERT(fits);
}

struct mr_cqe app_side_peek(struct app_side *app)
{
    struct mr_cqe cqe;

    return app_side_next(app, &cqe) ? cqe : (struct mr_cqe){.type = MR_CQE_GONE + 1};
}
