/* tests/support/sock_world.c - see sock_world.h. */
#include "tests/support/sock_world.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

enum {
    QUIET_STEPS = 64,
    STEPS_MAX = 1000000
};

struct sock_world world;

uint64_t world_now(void)
{
    const struct mr_transport *t = loop_transport(world.loop, CLIENT);

    return t->ops->now(t);
}

/* ------------------------------------------------------------------ the hosts' world */

static uint64_t now_of(void *context)
{
    (void)context;
    return world_now();
}

static bool run_timers(void)
{
    bool has_run = false;

    for (int i = 0; i < WORLD_TIMERS; i++) {
        struct world_timer t = world.timer[i];
        if (t.handler == NULL || t.at > world_now())
            continue;
        world.timer[i].handler = NULL;
        t.handler(t.argument);
        has_run = true;
    }
    return has_run;
}

static bool run_watches(void)
{
    bool has_run = false;

    for (int i = 0; i < WORLD_WATCHES; i++) {
        struct world_watch *w = &world.watch[i];
        struct pollfd fd = {.fd = w->fd, .events = (short)w->events};
        if (w->events == 0 || poll(&fd, 1, 0) != 1)
            continue;
        w->handler(w->argument, (uint32_t)(unsigned short)fd.revents);
        has_run = true;
    }
    return has_run;
}

static bool run_posted(void)
{
    struct mr_loop_entry *entry = world.posted;
    bool has_run = entry != NULL;

    world.posted = NULL;
    world.posted_tail = NULL;
    while (entry != NULL) {
        struct mr_loop_entry *next = entry->next;
        entry->handler(entry);
        entry = next;
    }
    return has_run;
}

bool world_step(void)
{
    MR_ASSERT(!world.is_inside);
    MR_ASSERT(world.steps++ < STEPS_MAX); /* it hangs */
    world.is_inside = true;
    bool has_moved = run_posted();
    has_moved |= loop_step(world.loop);
    has_moved |= run_timers();
    has_moved |= run_watches();
    if (world.react != NULL)
        world.react();
    for (unsigned s = 0; s < 2 && world.is_checking; s++) {
        mr_registration_check(world.reg[s]);
        mr_sock_host_check(world.host[s]);
    }
    world.is_inside = false;
    return has_moved;
}

/* Time passes in steps, whether something moves or not; the reaction may be what was waited for. */
static int run(void *context, uint64_t timeout_ns)
{
    (void)context;
    (void)timeout_ns;
    if (world.is_inside)
        return -EBUSY;
    return world_step();
}

static int timer(void *context, uint64_t delay_ns, void (*handler)(void *argument), void *argument)
{
    (void)context;
    for (int i = 0; i < WORLD_TIMERS; i++) {
        if (world.timer[i].handler != NULL)
            continue;
        world.timer[i] = (struct world_timer){world_now() + delay_ns, handler, argument};
        return 0;
    }
    return -ENOMEM;
}

static int watch(void *context, int fd, uint32_t events,
                 void (*handler)(void *argument, uint32_t events), void *argument)
{
    struct world_watch *place = NULL;

    (void)context;
    for (int i = WORLD_WATCHES - 1; i >= 0; i--) {
        struct world_watch *w = &world.watch[i];
        if (w->events == 0 && (place == NULL || place->events == 0))
            place = w;
        if (w->events != 0 && w->fd == fd)
            place = w;
    }
    MR_ASSERT(place != NULL);
    *place = (struct world_watch){fd, events, handler, argument};
    return 0;
}

static void post(void *context, struct mr_loop_entry *entry)
{
    (void)context;
    entry->next = NULL;
    if (world.posted_tail == NULL)
        world.posted = entry;
    else
        world.posted_tail->next = entry;
    world.posted_tail = entry;
}

static void act_in_time(void)
{
    void (*act)(void) = world.act;

    if (act == NULL || world_now() < world.act_at)
        return;
    world.act = NULL;
    act();
}

void world_later(uint64_t ns, void (*what)(void))
{
    world.act = what;
    world.act_at = world_now() + ns;
    world.react = act_in_time;
}

/* ------------------------------------------------------------------ life */

struct mr_connect_options world_options(void)
{
    return (struct mr_connect_options){
        .server_name = "world", .alpn = (const uint8_t *)"\x02h3", .alpn_size = 3};
}

void world_stats(unsigned side, struct mr_sock_host_stats *stats_out)
{
    mr_sock_host_stats(world.host[side], stats_out);
}

void world_prepare(uint64_t seed)
{
    memset(&world, 0, sizeof(world));
    world.config = loop_config_default(seed);
    world.config.close_order = LOOP_STREAMS_FIRST;
    world.limits = (struct mr_registration_limits){
        .objects_max = 1024, .sends_max = 4096, .calls_max = 64, .guest_calls_max = 64};
    world.is_checking = true;
}

void world_start(void)
{
    static const struct mr_sock_host_ops ops = {
        .now = now_of, .run = run, .timer = timer, .watch = watch, .post = post};

    for (unsigned s = 0; s < 2; s++) {
        world.reg[s] = mr_registration_new(&world.limits);
        MR_ASSERT(world.reg[s] != NULL);
        world.host[s] = mr_sock_host_new(world.reg[s], &ops, NULL, NULL);
        MR_ASSERT(world.host[s] != NULL);
    }
    world.loop = loop_new(&world.config, mr_registration_application(world.reg[CLIENT]),
                          mr_registration_application(world.reg[SERVER]));
    MR_ASSERT(mr_sock_host_listen(world.host[SERVER], NULL, 16, &world.listener) == 0);
    MR_ASSERT(mr_sock_set(world.listener, MR_SOCK_NONBLOCK, 1) == 0);
}

void world_run(void)
{
    for (uint32_t quiet = 0; quiet < QUIET_STEPS;)
        quiet = world_step() ? 0 : quiet + 1;
}

void world_connect(uint64_t seed)
{
    struct mr_connect_options options = world_options();

    world_prepare(seed);
    world_start();
    MR_ASSERT(mr_sock_host_connect(world.host[CLIENT], &options, true, &world.conn) ==
              -EINPROGRESS);
    world_run();
    MR_ASSERT(mr_sock_error(world.conn, NULL, NULL) == 0);
    MR_ASSERT(mr_sock_accept(world.listener, &world.peer) == 0);
}

static void open_pair(uint32_t flags, struct mr_sock **client_out, struct mr_sock **server_out)
{
    uint8_t byte = 0;

    MR_ASSERT(mr_sock_open(world.conn, flags, client_out) == 0);
    MR_ASSERT(mr_sock_write(*client_out, "!", 1) == 1);
    world_run();
    MR_ASSERT(mr_sock_accept_stream(world.peer, server_out) == 0);
    MR_ASSERT(mr_sock_read(*server_out, &byte, 1) == 1 && byte == '!');
    world_run();
}

void world_stream(struct mr_sock **client_out, struct mr_sock **server_out)
{
    open_pair(MR_OPEN_BIDI, client_out, server_out);
}

void world_uni(struct mr_sock **sender_out, struct mr_sock **receiver_out)
{
    open_pair(MR_OPEN_UNI, sender_out, receiver_out);
}

void world_end(void)
{
    struct mr_sock_host_stats stats;

    world.react = NULL;
    if (world.conn != NULL)
        (void)mr_sock_close(world.conn, 0);
    if (world.peer != NULL)
        (void)mr_sock_close(world.peer, 0);
    if (world.listener != NULL)
        (void)mr_sock_close(world.listener, 0);
    world_run();
    for (unsigned s = 0; s < 2; s++) {
        world_stats(s, &stats);
        MR_ASSERT(stats.socks == 0);
        MR_ASSERT(mr_registration_objects(world.reg[s]) == 0);
    }
    loop_free(world.loop);
    for (unsigned s = 0; s < 2; s++) {
        mr_sock_host_free(world.host[s]);
        mr_registration_free(world.reg[s]);
    }
}
