/* control/inline_apps.c - see inline_apps.h. */
#include "control/inline_apps.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "dataplane/clock.h"
#include "millrace/inline.h"

#define CALLS_MAX 5120 /* of a shard: as many timers as it has, and some work */

/* An application on a shard. */
struct instance {
    struct mr_inline api; /* what the object sees */
    struct mr_inline_apps *apps;
    uint32_t app;
    bool is_started;
    uint64_t stalls_told;
    uint64_t longest_told_ns;
};

struct app {
    const struct mr_config_inline *config;
    void *object;
    const struct mr_inline_application *application;
    struct instance *instances; /* of each shard */
};

struct mr_inline_apps {
    struct mr_inline_apps_config config;
    struct mr_clock clock;
    struct app apps[MR_DISPATCH_MEMBERS];
    struct mr_dispatcher *dispatchers[]; /* of each shard */
};

/* ------------------------------------------------------------------ what an instance may ask */

static struct instance *instance_of(const struct mr_inline *api)
{
    return (struct instance *)api->datapath;
}

static int find_listener(const struct mr_inline *api, const char *name)
{
    const struct instance *instance = instance_of(api);
    const struct mr_handoff *handoff = instance->apps->config.handoff;

    for (uint32_t i = 0; i < handoff->listener_count; i++) {
        const struct mr_handoff_listener *listener = &handoff->listener[i];

        if (listener->member == instance->app + 1 &&
            (name == NULL || strcmp(listener->name, name) == 0))
            return (int)i;
    }
    return -ENOENT;
}

static uint64_t clock_of(const struct mr_inline *api)
{
    return mr_clock_now(&instance_of(api)->apps->clock);
}

static void took(struct mr_inline *api, const char *name, uint64_t ns)
{
    const struct instance *instance = instance_of(api);

    mr_dispatcher_took(instance->apps->dispatchers[api->shard], instance->app, name, ns);
}

static uint64_t dispatcher_clock(void *context)
{
    const struct mr_inline_apps *apps = context;

    return mr_clock_now(&apps->clock);
}

/* ------------------------------------------------------------------ loading */

/* A name without a slash would be looked for in the system's folders. */
static void *open_object(const char *path)
{
    char here[MR_CONFIG_PATH + 2];

    if (strchr(path, '/') != NULL)
        return dlopen(path, RTLD_NOW | RTLD_LOCAL);
    snprintf(here, sizeof(here), "./%s", path);
    return dlopen(here, RTLD_NOW | RTLD_LOCAL);
}

static int check_application(const struct app *app, struct mr_fault *fault)
{
    const struct mr_inline_application *application = app->application;
    const char *path = app->config->object;

    if (application == NULL)
        return mr_fault_set(fault, ENOEXEC,
                            "%s has no `" MR_INLINE_SYMBOL "`, so it is no inline application; it "
                            "must define one as millrace/inline.h says",
                            path);
    if (application->version != MR_INLINE_VERSION)
        return mr_fault_set(fault, ENOEXEC,
                            "%s is made for version %u of inline applications, this datapath has "
                            "%d; build it again with this datapath's headers",
                            path, application->version, MR_INLINE_VERSION);
    if (application->start == NULL)
        return mr_fault_set(fault, ENOEXEC, "%s has no start(); give its `mr_inline` one", path);
    return 0;
}

static int load(struct app *app, struct mr_fault *fault)
{
    const char *path = app->config->object;

    app->object = open_object(path);
    if (app->object == NULL)
        return mr_fault_set(fault, ENOENT,
                            "cannot load %s: %s; check the path, and that it was "
                            "built as a shared object for this machine",
                            path, dlerror());
    app->application = dlsym(app->object, MR_INLINE_SYMBOL);
    return check_application(app, fault);
}

/* ------------------------------------------------------------------ starting */

static int start_instance(struct app *app, struct instance *instance, struct mr_fault *fault)
{
    struct mr_inline *api = &instance->api;
    struct mr_error error = {""};
    int answer = app->application->start(api, app->config->argument, &error);

    error.text[sizeof(error.text) - 1] = '\0';
    if (answer != 0)
        return mr_fault_set(fault, answer < 0 ? -answer : EINVAL, "shard %u: it does not start: %s",
                            api->shard, error.text[0] != '\0' ? error.text : strerror(abs(answer)));
    instance->is_started = true;
    if (api->application == NULL || api->application->on_events == NULL)
        return mr_fault_set(fault, ENOEXEC,
                            "shard %u: its start() named nobody who is told of events; it must set "
                            "`application`, or call mr_inline_serve()",
                            api->shard);
    return 0;
}

static int start_app(struct mr_inline_apps *apps, uint32_t number, struct mr_fault *fault)
{
    struct app *app = &apps->apps[number];
    const struct mr_inline_apps_config *config = &apps->config;

    app->config = &config->apps[number];
    int result = load(app, fault);
    if (result != 0)
        return result;
    app->instances = calloc(config->shard_count, sizeof(*app->instances));
    if (app->instances == NULL)
        return mr_fault_set(fault, ENOMEM, "no memory for its instances");
    for (uint32_t i = 0; i < config->shard_count && result == 0; i++) {
        struct instance *instance = &app->instances[i];

        *instance = (struct instance){.apps = apps,
                                      .app = number,
                                      .api = {.name = app->config->name,
                                              .shard = i,
                                              .shard_count = config->shard_count,
                                              .node = config->nodes[i],
                                              .datapath = instance,
                                              .listener = find_listener,
                                              .clock = clock_of,
                                              .took = took}};
        result = start_instance(app, instance, fault);
    }
    return result;
}

static bool make_dispatcher(struct mr_inline_apps *apps, uint32_t shard, struct mr_fault *fault)
{
    struct mr_dispatch_config config = {.host = apps->config.hosts[shard],
                                        .member_count = apps->config.app_count,
                                        .conns_max = apps->config.conns_max,
                                        .calls_max = CALLS_MAX,
                                        .clock = dispatcher_clock,
                                        .clock_context = apps};
    uint8_t key[16];

    for (uint32_t i = 0; i < config.member_count; i++)
        config.members[i] = apps->apps[i].instances[shard].api.application;
    (void)getrandom(key, sizeof(key), 0);
    apps->dispatchers[shard] = mr_dispatcher_new(&config, key);
    if (apps->dispatchers[shard] == NULL)
        mr_fault_set(fault, ENOMEM, "not enough memory for the inline applications of shard %u",
                     shard);
    return apps->dispatchers[shard] != NULL;
}

struct mr_inline_apps *mr_inline_apps_start(const struct mr_inline_apps_config *config,
                                            struct mr_fault *fault)
{
    struct mr_inline_apps *apps =
        calloc(1, sizeof(*apps) + config->shard_count * sizeof(apps->dispatchers[0]));
    bool is_good = true;

    if (apps == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory for inline applications");
        return NULL;
    }
    apps->config = *config;
    apps->clock = mr_clock_init();
    for (uint32_t i = 0; i < config->app_count && is_good; i++) {
        is_good = start_app(apps, i, fault) == 0;
        if (!is_good)
            mr_fault_add_context(fault, 0, "inline application %s", config->apps[i].name);
    }
    for (uint32_t i = 0; i < config->shard_count && is_good; i++)
        is_good = make_dispatcher(apps, i, fault);
    if (is_good)
        return apps;
    mr_inline_apps_stop(apps);
    return NULL;
}

static void stop_app(const struct mr_inline_apps *apps, struct app *app)
{
    for (uint32_t i = 0; i < apps->config.shard_count && app->instances != NULL; i++) {
        if (app->instances[i].is_started && app->application->stop != NULL)
            app->application->stop(&app->instances[i].api);
    }
    free(app->instances);
    if (app->object != NULL)
        dlclose(app->object);
}

void mr_inline_apps_stop(struct mr_inline_apps *apps)
{
    if (apps == NULL)
        return;
    for (uint32_t i = 0; i < apps->config.app_count; i++)
        stop_app(apps, &apps->apps[i]);
    for (uint32_t i = 0; i < apps->config.shard_count; i++)
        mr_dispatcher_free(apps->dispatchers[i]);
    free(apps);
}

const struct mr_application *mr_inline_apps_application(struct mr_inline_apps *apps, uint32_t shard)
{
    return mr_dispatcher_application(apps->dispatchers[shard]);
}

const struct mr_move_hooks *mr_inline_apps_move_hooks(struct mr_inline_apps *apps, uint32_t shard)
{
    return mr_dispatcher_move_hooks(apps->dispatchers[shard]);
}

void mr_inline_apps_name(struct mr_handoff *handoff, const struct mr_config_inline *apps,
                         uint32_t app_count)
{
    for (uint32_t i = 0; i < handoff->listener_count; i++) {
        struct mr_handoff_listener *listener = &handoff->listener[i];

        for (uint32_t k = 0; k < app_count; k++) {
            if (strcmp(listener->application, apps[k].name) == 0)
                listener->member = (uint8_t)(k + 1);
        }
    }
}

/* ------------------------------------------------------------------ figures */

void mr_inline_apps_stats(const struct mr_inline_apps *apps, uint32_t app, uint32_t shard,
                          struct mr_dispatch_stats *stats_out)
{
    mr_dispatcher_stats(apps->dispatchers[shard], app, stats_out);
}

void mr_inline_apps_look(struct mr_inline_apps *apps)
{
    for (uint32_t a = 0; a < apps->config.app_count; a++) {
        for (uint32_t i = 0; i < apps->config.shard_count; i++) {
            struct instance *instance = &apps->apps[a].instances[i];
            struct mr_dispatch_stats stats;

            mr_inline_apps_stats(apps, a, i, &stats);
            if (stats.longest_stall_ns == instance->longest_told_ns)
                continue;
            mr_log(MR_LOG_WARN,
                   "inline application %s, shard %u: %llu handlers took too long, the longest "
                   "until now, %.*s, %.1f us",
                   apps->apps[a].config->name, i,
                   (unsigned long long)(stats.stalls - instance->stalls_told), MR_DISPATCH_NAME,
                   stats.longest_stall_name, (double)stats.longest_stall_ns / 1e3);
            instance->stalls_told = stats.stalls;
            instance->longest_told_ns = stats.longest_stall_ns;
        }
    }
}
