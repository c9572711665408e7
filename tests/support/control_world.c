/* tests/support/control_world.c - see control_world.h. */
#include "tests/support/control_world.h"

#include <CUnit/CUnit.h>
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct control_world world;

static char directory[] = "/tmp/mr-attach-XXXXXX";

int world_make_directory(void)
{
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(world.path, sizeof(world.path), "%s/control", directory);
    return 0;
}

int world_remove_directory(void)
{
    return rmdir(directory);
}

static uint32_t conn_count(void *context, uint32_t shard)
{
    (void)context;
    return 10 + shard;
}

static void counters(void *context, mr_counter_visit visit, void *to)
{
    (void)context;
    visit(to, "packets_sent", "packets", 12345678901234);
    visit(to, "net_rx_udp", "datagrams", 7);
}

static void drain(void *context)
{
    (void)context;
    world.is_drained = true;
}

static struct mr_ring_sizes small_sizes(void)
{
    struct mr_ring_sizes sizes = mr_ring_sizes_default();

    sizes.submit_count = sizes.complete_count = 64;
    sizes.slot_size = 1024;
    sizes.slot_count = 8;
    sizes.send_bytes = 8192;
    return sizes;
}

struct mr_handoff world_policy(const char *first, const char *second)
{
    struct mr_handoff policy = {.listener_count = 3};
    const char *names[] = {first, second, first};

    for (uint32_t i = 0; i < 3; i++) {
        struct mr_handoff_listener *listener = &policy.listener[i];

        snprintf(listener->name, sizeof(listener->name), "listener%u", i);
        snprintf(listener->application, sizeof(listener->application), "%s", names[i]);
        snprintf(listener->alpn, sizeof(listener->alpn), "alpn%u", i);
        listener->port = (uint16_t)(4430 + i);
    }
    return policy;
}

struct mr_control_config world_config(void)
{
    return (struct mr_control_config){
        .socket = {.path = world.path},
        .attach = {.hosts = world.hosts,
                   .host_count = WORLD_SHARDS,
                   .sizes = small_sizes(),
                   .timers_max = 5},
        .datapath = {.version = "1.2.3",
                     .shard_count = WORLD_SHARDS,
                     .conn_count = conn_count,
                     .counters = counters,
                     .drain = drain},
    };
}

void world_start_with(const struct mr_control_config *config)
{
    static const uint8_t key[16];
    struct mr_handoff policy = world_policy("web", "mail");
    struct mr_fault fault = {0};

    world.is_drained = false;
    world.has_threads = false;
    for (size_t i = 0; i < MR_COUNT_OF(world.sides); i++)
        world.sides[i] = (struct control_side){.fd = -1, .wake_fd = -1};
    for (int i = 0; i < WORLD_SHARDS; i++)
        world.hosts[i] = mr_app_host_new(NULL, key);
    world.control = mr_control_open(config, &fault);
    if (world.control == NULL)
        printf("# %s\n", fault.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world.control);
    CU_ASSERT_EQUAL(mr_control_set_policy(world.control, &policy, &fault), 0);
}

void world_start(void)
{
    struct mr_control_config config = world_config();

    world_start_with(&config);
}

void world_pump(void)
{
    for (int i = 0; i < 4; i++) {
        mr_control_poll(world.control, 0);
        for (int shard = 0; shard < WORLD_SHARDS && !world.has_threads; shard++)
            fake_host_poll(world.hosts[shard]);
    }
}

struct mr_attachments_stats world_stats(void)
{
    return mr_control_attachments_stats(world.control);
}

bool world_wait(uint32_t count, uint64_t ms)
{
    for (uint64_t end = mr_control_now() + ms * WORLD_MS; mr_control_now() < end;) {
        world_pump();
        if (world_stats().attachments == count)
            return true;
        mr_control_poll(world.control, WORLD_MS);
    }
    return false;
}

static void close_side(struct control_side *side)
{
    if (side->fd >= 0)
        control_side_close(side);
}

void world_stop(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(world.sides); i++)
        close_side(&world.sides[i]);
    CU_ASSERT(world_wait(0, 1000));
    CU_ASSERT_EQUAL(world_stats().region_bytes, 0);
    for (int i = 0; i < WORLD_SHARDS; i++)
        CU_ASSERT_EQUAL(fake_host_ring_count(world.hosts[i]), 0);
    mr_control_close(world.control);
    for (int i = 0; i < WORLD_SHARDS; i++)
        mr_app_host_free(world.hosts[i]);
}

int world_ask(struct control_side *side, const struct mr_message_attach *wish)
{
    CU_ASSERT_EQUAL_FATAL(control_side_connect(side, world.path), 0);
    CU_ASSERT(control_side_say(side, wish, sizeof(*wish)));
    world_pump();
    int result = control_side_map(side, world.has_threads ? 1000 : 0);
    if (result != 0)
        return result;
    world_pump();
    return control_side_ready(side, world.has_threads ? 1000 : 0);
}

void world_attach(struct control_side *side, const char *name)
{
    struct mr_message_attach wish = control_side_wish(name);
    int result = world_ask(side, &wish);

    if (result != 0)
        printf("# %d %s\n", result, side->refused.why);
    CU_ASSERT_EQUAL_FATAL(result, 0);
}

void world_check_refused(const struct mr_message_attach *wish, int error, const char *words)
{
    struct mr_attachments_stats before = world_stats();
    struct control_side side;

    CU_ASSERT_EQUAL(world_ask(&side, wish), -error);
    if (strstr(side.refused.why, words) == NULL)
        printf("# %s\n", side.refused.why);
    CU_ASSERT_PTR_NOT_NULL(strstr(side.refused.why, words));
    CU_ASSERT_EQUAL(world_stats().refused, before.refused + 1);
    control_side_close(&side);
    CU_ASSERT(world_wait(before.attachments, 1000));
    CU_ASSERT_EQUAL(world_stats().region_bytes, before.region_bytes);
}

bool world_does_nop(struct control_ring *ring, uint64_t user_data)
{
    struct mr_sqe *sqe = mr_outbox_next(&ring->submissions);
    struct mr_cqe cqe = {0};

    if (sqe == NULL)
        return false;
    *sqe = (struct mr_sqe){.op = MR_OP_NOP, .user_data = user_data};
    mr_outbox_publish(&ring->submissions);
    for (int i = 0; i < 1000 && !mr_inbox_take(&ring->completions, &cqe); i++) {
        world_pump();
        if (world.has_threads)
            usleep(1000);
    }
    mr_inbox_done(&ring->completions);
    return cqe.type == MR_CQE_DONE && cqe.user_data == user_data;
}

bool world_is_gone(const struct control_ring *ring)
{
    return atomic_load_explicit(ring->region.is_gone, memory_order_acquire) == 1;
}

int world_wake_bytes(const struct control_side *side)
{
    char bytes[64];
    ssize_t size = recv(side->wake_fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    return (int)size;
}

void world_check_ended(struct control_side *side, int error, const char *words)
{
    static struct control_message heard; /* large */

    CU_ASSERT_EQUAL_FATAL(control_side_hear(side, &heard, 1000), 1);
    CU_ASSERT_EQUAL(heard.head.type, MR_MESSAGE_REFUSED);
    CU_ASSERT_EQUAL(heard.refused.error, error);
    CU_ASSERT_PTR_NOT_NULL(strstr(heard.refused.why, words));
    world_pump();
    CU_ASSERT_EQUAL(control_side_hear(side, &heard, 0), 0);
}

uint64_t world_mapped_bytes(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uint64_t sum = 0;
    char line[512];

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        unsigned long begin;
        unsigned long end;

        if (strstr(line, "millrace-ring") != NULL && sscanf(line, "%lx-%lx", &begin, &end) == 2)
            sum += end - begin;
    }
    if (maps != NULL)
        fclose(maps);
    return sum;
}

uint32_t world_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    uint32_t count = 0;

    while (list != NULL && readdir(list) != NULL)
        count++;
    if (list != NULL)
        closedir(list);
    return count;
}
