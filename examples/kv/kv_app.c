/* examples/kv/kv_app.c - see kv_app.h. */
#include <stdlib.h>
#include <unistd.h>

#include "examples/kv/kv_app_internal.h"

#define WAIT_MAX_NS UINT64_C(1000000000)

uint64_t kv_app_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t kv_now(void)
{
    return kv_app_clock(CLOCK_MONOTONIC);
}

void kv_app_free(struct kv_app *app)
{
    if (app->client != NULL)
        kv_client_free(app->client);
    kv_node_free(app->node);
    if (app->name_fd >= 0)
        close(app->name_fd);
    free(app);
}

/* ------------------------------------------------------------------ node or client */

const char *kv_app_control(const struct kv_app *app)
{
    return app->control;
}

const char *kv_app_name(const struct kv_app *app)
{
    return app->name;
}

bool kv_app_serves(const struct kv_app *app)
{
    return app->node != NULL;
}

uint64_t kv_app_tick(struct kv_app *app, uint64_t now)
{
    uint64_t due =
        app->node != NULL ? kv_node_tick(app->node, now) : kv_client_tick(app->client, now);

    if (due <= now)
        return 0;
    return due - now < WAIT_MAX_NS ? due - now : WAIT_MAX_NS;
}

bool kv_app_is_over(const struct kv_app *app)
{
    return app->client != NULL && kv_client_is_over(app->client);
}

int kv_app_status(const struct kv_app *app)
{
    return app->client == NULL ? 0 : kv_client_status(app->client);
}

bool kv_app_next_way(struct kv_app *app, struct kv_way *way_out)
{
    uint32_t number =
        app->node != NULL ? kv_node_next_way(app->node) : kv_client_next_way(app->client);

    if (number == KV_NOBODY)
        return false;
    *way_out = app->ways[number];
    return true;
}

struct kv_peer *kv_app_reached(struct kv_app *app, const struct kv_way *way, void *context)
{
    return app->node != NULL ? kv_node_reached(app->node, way->number, context)
                             : kv_client_reached(app->client, context);
}

void kv_app_failed(struct kv_app *app, const struct kv_way *way)
{
    if (app->node != NULL)
        kv_node_failed(app->node, way->number);
    else
        kv_client_failed(app->client);
}

struct kv_peer *kv_app_accepted(struct kv_app *app, void *context)
{
    return app->node == NULL ? NULL : kv_node_accepted(app->node, context);
}

struct kv_peer *kv_app_next_speaker(struct kv_app *app)
{
    return kv_speakers_next(&app->speakers);
}
