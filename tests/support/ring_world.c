/* tests/support/ring_world.c - see ring_world.h. */
#include "tests/support/ring_world.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "app/attach_internal.h"
#include "base/assert.h"
#include "dataplane/handoff.h"

enum {
    MEMBERS_MAX = 64,
    DRAIN_STEPS = 100000,
    QUIET_STEPS = 200, /* until the thread sleeps a little */
    REAP_STEPS = 64,
    GRAVES_MAX = 64
};

/* An attachment, seen from the datapath. */
struct member {
    const struct mr_attachment *attachment; /* NULL: free */
    unsigned side;
    uint32_t ring_count;
    int rings[MR_ATTACH_RINGS_MAX];
    void *memory[MR_ATTACH_RINGS_MAX];
    int wake_fd; /* our ends */
    int control_fd;
    bool is_dead; /* its sockets are closed */
    bool is_leaving;
};

struct ring_world {
    struct ring_world_config config;
    struct mr_app_host *hosts[4]; /* [shard * 2 + side] */
    uint64_t random;
    struct loop *loop;
    pthread_mutex_t mutex; /* of what is below: the hosts have one control thread at a time */
    struct member members[MEMBERS_MAX];
    uint64_t attachments;
    void *graves[GRAVES_MAX];
    uint64_t grave_count;
    pthread_t thread;
    _Atomic bool stops;
};

struct ring_world_config ring_world_config_default(uint64_t seed)
{
    struct ring_world_config config = {.loop = loop_config_default(seed),
                                       .host = mr_app_host_config_default(),
                                       .sizes = mr_ring_sizes_default()};

    config.host.refuse_code = 71;
    config.host.death_code = 72;
    config.loop.close_order = LOOP_STREAMS_FIRST;
    return config;
}

/* ------------------------------------------------------------------ leaving */

static bool has_left(const struct member *m)
{
    struct pollfd fd = {.fd = m->control_fd};

    return !m->is_dead && poll(&fd, 1, 0) == 1 && (fd.revents & (POLLHUP | POLLERR)) != 0;
}

/* Of its ring number `ring`. */
static struct mr_app_host *host_of(const struct ring_world *world, unsigned side, uint32_t ring)
{
    return world->hosts[world->config.moves_percent > 0 ? ring % 2 * 2 + side : side];
}

static void leave(struct ring_world *world, struct member *m)
{
    m->is_leaving = true;
    for (uint32_t i = 0; i < m->ring_count; i++)
        mr_app_host_detach(host_of(world, m->side, i), (uint32_t)m->rings[i]);
}

static bool is_drained(const struct ring_world *world, const struct member *m)
{
    for (uint32_t i = 0; i < m->ring_count; i++)
        if (mr_app_host_ring_state(host_of(world, m->side, i), (uint32_t)m->rings[i]) !=
            MR_APP_RING_DRAINED)
            return false;
    return true;
}

/* Who has left did so by closing a socket, which the thread sanitizer does not take for an order:
 * memory is freed later, by the thread that has joined him. */
static void bury(struct ring_world *world, void *memory)
{
    void **grave = &world->graves[world->grave_count++ % GRAVES_MAX];

    free(*grave);
    *grave = memory;
}

static void forget(struct ring_world *world, struct member *m)
{
    for (uint32_t i = 0; i < m->ring_count; i++) {
        mr_app_host_forget(host_of(world, m->side, i), (uint32_t)m->rings[i]);
        bury(world, m->memory[i]);
    }
    close(m->wake_fd);
    close(m->control_fd);
    m->attachment = NULL;
}

/* Let those go that left, forget those that are drained and left.  Returns how many are there. */
static uint32_t reap(struct ring_world *world)
{
    uint32_t count = 0;

    pthread_mutex_lock(&world->mutex);
    for (struct member *m = world->members; m < world->members + MEMBERS_MAX; m++) {
        if (m->attachment == NULL)
            continue;
        bool is_left = has_left(m);
        if (is_left && !m->is_leaving)
            leave(world, m);
        if (m->is_leaving && is_left && is_drained(world, m))
            forget(world, m);
        else
            count++;
    }
    pthread_mutex_unlock(&world->mutex);
    return count;
}

/* ------------------------------------------------------------------ attaching */

static void wake(void *argument)
{
    struct member *m = argument;

    (void)send(m->wake_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void attach_ring(struct ring_world *world, struct member *m,
                        struct mr_attach_region *region_out)
{
    struct mr_ring_sizes wanted = world->config.sizes;
    const struct mr_ring_sizes *sizes = &wanted;
    uint64_t size = mr_ring_region_size(sizes);
    struct mr_app_ring_config config = {.wake = wake,
                                        .argument = m,
                                        .listeners = UINT64_MAX,
                                        .numa_node = -1,
                                        .attachment = world->attachments + 1,
                                        .siblings = 3};
    void *memory = aligned_alloc(4096, size);

    MR_ASSERT(memory != NULL);
    wanted.flags |= MR_RING_REASONS;
    wanted.flags |= world->config.moves_percent > 0 ? (uint32_t)MR_RING_MOVES : 0;
    memset(memory, 0, size);
    mr_ring_region_make(&config.region, memory, sizes, m->ring_count);
    int ring = mr_app_host_attach(host_of(world, m->side, m->ring_count), &config);
    MR_ASSERT(ring >= 0);
    m->rings[m->ring_count] = ring;
    m->memory[m->ring_count++] = memory;
    *region_out = (struct mr_attach_region){.memory = memory, .size = size};
}

struct mr_attachment *ring_world_attach(struct ring_world *world, unsigned side, uint32_t rings)
{
    static const struct mr_attach_listener any = {.number = 0, .name = "any"};
    struct mr_attach_region regions[MR_ATTACH_RINGS_MAX];
    struct mr_attachment *attachment;
    struct mr_fault fault = {0};
    struct member *m = world->members;
    int wakes[2];
    int controls[2];

    pthread_mutex_lock(&world->mutex);
    while (m->attachment != NULL)
        MR_ASSERT(++m < world->members + MEMBERS_MAX);
    MR_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wakes) == 0);
    MR_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, controls) == 0);
    *m = (struct member){.side = side, .wake_fd = wakes[0], .control_fd = controls[0]};
    for (uint32_t i = 0; i < rings; i++)
        attach_ring(world, m, &regions[i]);
    struct mr_attach_parts parts = {.regions = regions,
                                    .region_count = rings,
                                    .listeners = &any,
                                    .listener_count = 1,
                                    .wake_fd = wakes[1],
                                    .control_fd = controls[1],
                                    .number = ++world->attachments};
    MR_ASSERT(mr_attachment_from_memory(&parts, &attachment, &fault) == 0);
    m->attachment = attachment;
    pthread_mutex_unlock(&world->mutex);
    return attachment;
}

void ring_world_set_sizes(struct ring_world *world, const struct mr_ring_sizes *sizes)
{
    pthread_mutex_lock(&world->mutex);
    world->config.sizes = *sizes;
    pthread_mutex_unlock(&world->mutex);
}

/* ------------------------------------------------------------------ what it suffers */

static struct member *member_of(struct ring_world *world, const struct mr_attachment *attachment)
{
    struct member *m = world->members;

    while (m->attachment != attachment || m->is_leaving)
        MR_ASSERT(++m < world->members + MEMBERS_MAX);
    return m;
}

void ring_world_let_go(struct ring_world *world, const struct mr_attachment *attachment)
{
    pthread_mutex_lock(&world->mutex);
    leave(world, member_of(world, attachment));
    pthread_mutex_unlock(&world->mutex);
}

void ring_world_die(struct ring_world *world, const struct mr_attachment *attachment)
{
    pthread_mutex_lock(&world->mutex);
    struct member *m = member_of(world, attachment);
    shutdown(m->wake_fd, SHUT_RDWR);
    shutdown(m->control_fd, SHUT_RDWR);
    m->is_dead = true;
    pthread_mutex_unlock(&world->mutex);
}

/* ------------------------------------------------------------------ moving */

static uint64_t draw(struct ring_world *world, uint64_t below)
{
    world->random = world->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (world->random >> 33) % below;
}

/* Now and then a connection of either side goes to the other shard; new ones come to either. */
MR_COLD static void move_some(struct ring_world *world) /* else gcc 12 sees a dangling pointer */
{
    if (draw(world, 100) >= world->config.moves_percent)
        return;
    unsigned side = (unsigned)draw(world, 2);
    struct loop_conn_place at = loop_conn_at(world->loop, side, (uint32_t)draw(world, 3));
    if (at.conn != MR_HANDLE_NONE)
        (void)loop_order_move(world->loop, side, at.shard, at.conn);
    loop_accept_on(world->loop, (uint32_t)draw(world, 2));
    mr_app_host_check(world->hosts[draw(world, 4)]);
}

bool ring_world_step(struct ring_world *world)
{
    MR_ASSERT(!world->config.has_thread);
    reap(world);
    move_some(world);
    return loop_step(world->loop);
}

static void *run(void *argument)
{
    struct ring_world *world = argument;
    uint32_t quiet = 0;

    for (uint64_t step = 0; !atomic_load(&world->stops); step++) {
        if (step % REAP_STEPS == 0)
            reap(world);
        move_some(world);
        quiet = loop_step(world->loop) ? 0 : quiet + 1;
        if (quiet > QUIET_STEPS)
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        else if (quiet > 0)
            sched_yield();
    }
    return NULL;
}

/* ------------------------------------------------------------------ life */

struct ring_world *ring_world_new(const struct ring_world_config *config)
{
    static const uint8_t key[16] = {1, 2, 3};
    struct ring_world *world = calloc(1, sizeof(*world));
    struct mr_handoff policy = {
        .listener_count = 1,
        .listener = {{.name = "any", .application = "app", .refuse_code = 71, .death_code = 72}}};

    MR_ASSERT(world != NULL);
    world->config = *config;
    pthread_mutex_init(&world->mutex, NULL);
    world->random = config->loop.seed;
    for (int i = 0; i < (config->moves_percent > 0 ? 4 : 2); i++) {
        world->hosts[i] = mr_app_host_new(&config->host, key);
        MR_ASSERT(world->hosts[i] != NULL);
        MR_ASSERT(mr_app_host_set_policy(world->hosts[i], &policy) == 0);
    }
    world->loop = loop_new(&config->loop, mr_app_host_application(world->hosts[0]),
                           mr_app_host_application(world->hosts[1]));
    for (unsigned side = 0; side < 2 && config->moves_percent > 0; side++)
        loop_add_shard(world->loop, side, mr_app_host_application(world->hosts[2 + side]),
                       mr_app_host_move_hooks(world->hosts[side]),
                       mr_app_host_move_hooks(world->hosts[2 + side]));
    if (config->has_thread)
        MR_ASSERT(pthread_create(&world->thread, NULL, run, world) == 0);
    return world;
}

void ring_world_free(struct ring_world *world)
{
    if (world->config.has_thread) {
        atomic_store(&world->stops, true);
        pthread_join(world->thread, NULL);
    }
    for (struct member *m = world->members; m < world->members + MEMBERS_MAX; m++)
        m->is_dead = false; /* who died may leave now */
    for (uint32_t step = 0; reap(world) > 0; step++) {
        MR_ASSERT(step < DRAIN_STEPS); /* an attachment was not detached */
        loop_step(world->loop);
    }
    for (int i = 0; i < 4; i++)
        if (world->hosts[i] != NULL)
            mr_app_host_check(world->hosts[i]);
    loop_free(world->loop);
    for (int i = 0; i < 4; i++)
        mr_app_host_free(world->hosts[i]);
    for (int i = 0; i < GRAVES_MAX; i++)
        free(world->graves[i]);
    pthread_mutex_destroy(&world->mutex);
    free(world);
}

struct mr_app_host *ring_world_host(struct ring_world *world, unsigned side)
{
    return world->hosts[side];
}

struct loop *ring_world_loop(struct ring_world *world)
{
    return world->loop;
}

struct mr_app_host *ring_world_second_host(struct ring_world *world, unsigned side)
{
    return world->hosts[2 + side];
}
