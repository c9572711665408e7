/* tests/support/app_side.c - see app_side.h. */
#include "tests/support/app_side.h"

#include <stdlib.h>
#include <string.h>

static void count_wake(void *argument)
{
    struct app_side *app = argument;

    app->wakes++;
}

void app_side_attach(struct app_side *app, struct mr_app_host *host,
                     const struct mr_ring_sizes *sizes)
{
    struct mr_ring_region theirs;
    struct mr_fault fault;
    uint64_t size = mr_ring_region_size(sizes);

    *app = (struct app_side){.host = host, .memory = aligned_alloc(4096, size)};
    memset(app->memory, 0, size);
    mr_ring_region_make(&theirs, app->memory, sizes, 0);
    MR_ASSERT(mr_ring_region_open(&app->region, app->memory, size, &fault) == 0);
    struct mr_mailbox submissions = mr_ring_submissions(&app->region);
    struct mr_mailbox completions = mr_ring_completions(&app->region);
    mr_outbox_init(&app->submissions, &submissions);
    mr_inbox_init(&app->completions, &completions);
    app->ring = mr_app_host_attach(host, &theirs, count_wake, app);
    MR_ASSERT(app->ring >= 0);
}

void app_side_free(struct app_side *app)
{
    MR_ASSERT(mr_app_host_is_drained(app->host, (uint32_t)app->ring));
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

bool app_side_next(struct app_side *app, struct mr_cqe *cqe)
{
    if (!mr_inbox_take(&app->completions, cqe))
        return false;
    mr_inbox_done(&app->completions);
    return true;
}

void app_side_connect(struct app_side *app, uint64_t user_data)
{
    struct mr_ring_connect wish = {
        .port = 443, .alpn_size = 5, .alpn = "\004echo", .server_name = "localhost"};

    memcpy(app->region.base + app->region.send_at, &wish, sizeof(wish));
    app_side_submit(app, &(struct mr_sqe){.op = MR_OP_CONNECT,
                                          .user_data = user_data,
                                          .address = app->region.send_at,
                                          .size = sizeof(wish)});
}
