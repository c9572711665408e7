/* Tests of control/attach.h: who may attach, and what an application gets. */
#include "control/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/control_world.h"
#include "tests/unit/harness.h"

/* ------------------------------------------------------------------ attaching */

static void an_application_gets_rings_of_every_shard_and_its_listeners(void)
{
    world_start();
    world_attach(&world.sides[0], "web");
    CU_ASSERT_EQUAL(world.sides[0].attachment, 1);
    CU_ASSERT_EQUAL_FATAL(world.sides[0].ring_count, WORLD_SHARDS);
    for (uint32_t i = 0; i < WORLD_SHARDS; i++) {
        const struct mr_app_ring_config *config = fake_host_ring(world.hosts[i], 0);

        CU_ASSERT_EQUAL(world.sides[0].ring[i].shard, i);
        CU_ASSERT_EQUAL(world.sides[0].ring[i].size, WORLD_RING);
        CU_ASSERT_EQUAL(world.sides[0].ring[i].base, 0);
        CU_ASSERT_EQUAL(world.sides[0].ring[i].region.shard, i);
        CU_ASSERT_EQUAL(world.sides[0].ring[i].region.sizes.alias_count, 1024);
        CU_ASSERT_EQUAL(config->listeners, 5);
        CU_ASSERT_EQUAL(config->timers_max, 5);
        CU_ASSERT_EQUAL(config->numa_node, -1);
        CU_ASSERT(world_does_nop(&world.sides[0].ring[i], 42 + i));
    }
    CU_ASSERT_EQUAL_FATAL(world.sides[0].listener_count, 2);
    CU_ASSERT_EQUAL(world.sides[0].listener[1].number, 2);
    CU_ASSERT_EQUAL(world.sides[0].listener[1].port, 4432);
    CU_ASSERT_STRING_EQUAL(world.sides[0].listener[1].name, "listener2");
    CU_ASSERT_STRING_EQUAL(world.sides[0].listener[1].alpn, "alpn2");
    CU_ASSERT_EQUAL(world_stats().region_bytes, WORLD_SHARDS * WORLD_RING);
    world_attach(&world.sides[1], "mail");
    CU_ASSERT_EQUAL(world.sides[1].attachment, 2);
    CU_ASSERT_EQUAL(world.sides[1].listener_count, 1);
    CU_ASSERT_EQUAL(world_stats().attached, 2);
    world_stop();
}

static void an_application_chooses_shards_and_sizes(void)
{
    struct mr_message_attach wish = control_side_wish("web");

    world_start();
    wish.shards = 2;
    wish.node = 3;
    wish.submit_count = 128;
    wish.complete_count = 256;
    wish.slot_size = 2048;
    wish.slot_count = 3;
    wish.send_bytes = 4096 * 5;
    CU_ASSERT_EQUAL_FATAL(world_ask(&world.sides[0], &wish), 0);
    CU_ASSERT_EQUAL_FATAL(world.sides[0].ring_count, 1);
    CU_ASSERT_EQUAL(world.sides[0].ring[0].shard, 1);
    const struct mr_ring_sizes *sizes = &world.sides[0].ring[0].region.sizes;
    CU_ASSERT_EQUAL(sizes->submit_count, 128);
    CU_ASSERT_EQUAL(sizes->complete_count, 256);
    CU_ASSERT_EQUAL(sizes->slot_size, 2048);
    CU_ASSERT_EQUAL(sizes->slot_count, 3);
    CU_ASSERT_EQUAL(sizes->send_bytes, 4096 * 5);
    CU_ASSERT_EQUAL(fake_host_ring_count(world.hosts[0]), 0);
    CU_ASSERT_EQUAL(fake_host_ring(world.hosts[1], 0)->numa_node, 2);
    CU_ASSERT(world_does_nop(&world.sides[0].ring[0], 1));
    world_stop();
}

static void who_sleeps_is_woken_by_a_byte(void)
{
    world_start();
    world_attach(&world.sides[0], "web");
    struct control_ring *ring = &world.sides[0].ring[1];
    CU_ASSERT(world_does_nop(ring, 1));
    CU_ASSERT_EQUAL(world_wake_bytes(&world.sides[0]), -1); /* it was awake */
    CU_ASSERT(mr_inbox_may_sleep(&ring->completions, ring->region.sleeps));
    CU_ASSERT(world_does_nop(ring, 2));
    CU_ASSERT_EQUAL(world_wake_bytes(&world.sides[0]), 1);
    world_stop();
}

/* However much it is woken: the shard does not block, and it does not die of a closed socket. */
static void a_wake_socket_that_nobody_reads_stops_no_shard(void)
{
    world_start();
    world_attach(&world.sides[0], "web");
    for (int i = 0; i < 1000000; i++)
        fake_host_wake(world.hosts[0], 0);
    CU_ASSERT(world_wake_bytes(&world.sides[0]) > 0);
    close(world.sides[0].wake_fd);
    world.sides[0].wake_fd = -1;
    fake_host_wake(world.hosts[0], 0);
    CU_ASSERT(world_does_nop(&world.sides[0].ring[0], 1));
    world_stop();
}

static void a_region_can_neither_shrink_nor_grow(void)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

    world_start();
    world_attach(&world.sides[0], "web");
    int fd = world.sides[0].ring[0].fd;
    CU_ASSERT_EQUAL(ftruncate(fd, 4096), -1);
    CU_ASSERT_EQUAL(errno, EPERM);
    CU_ASSERT_EQUAL(ftruncate(fd, WORLD_RING * 2), -1);
    CU_ASSERT_EQUAL(fcntl(fd, F_GET_SEALS) & seals, seals);
    CU_ASSERT_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    CU_ASSERT(world_does_nop(&world.sides[0].ring[0], 1));
    world_stop();
}

/* A shard that touched a page would wait until the hole around it is punched. */
static void nobody_punches_holes_into_a_region(void)
{
    const int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    world_start();
    world_attach(&world.sides[0], "web");
    const struct control_ring *ring = &world.sides[0].ring[0];
    errno = 0;
    CU_ASSERT_EQUAL(fallocate(ring->fd, hole, 0, 4096), -1);
    CU_ASSERT_EQUAL(errno, EPERM);
    CU_ASSERT_EQUAL(madvise(ring->memory, 4096, MADV_REMOVE), -1);
    CU_ASSERT_PTR_EQUAL(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, ring->fd, 0), MAP_FAILED);
    CU_ASSERT(world_does_nop(&world.sides[0].ring[0], 1));
    world_stop();
}

/* It looks at no ring of an application that can still punch holes into it. */
static void rings_begin_with_mapped(void)
{
    struct mr_message_attach wish = control_side_wish("web");

    world_start();
    struct control_side *side = &world.sides[0];
    CU_ASSERT_EQUAL_FATAL(control_side_connect(side, world.path), 0);
    CU_ASSERT(control_side_say(side, &wish, sizeof(wish)));
    world_pump();
    CU_ASSERT_EQUAL(control_side_map(side, 0), 0); /* which says it */
    CU_ASSERT_EQUAL(world_stats().attachments, 1);
    CU_ASSERT_EQUAL(world_stats().attached, 0);
    for (int i = 0; i < WORLD_SHARDS; i++) {
        fake_host_poll(world.hosts[i]);
        CU_ASSERT_EQUAL(mr_app_host_ring_state(world.hosts[i], 0), MR_APP_RING_ATTACHING);
    }
    world_pump();
    CU_ASSERT_EQUAL(control_side_ready(side, 0), 0);
    CU_ASSERT_EQUAL(world_stats().attached, 1);
    for (int i = 0; i < WORLD_SHARDS; i++)
        CU_ASSERT_EQUAL(mr_app_host_ring_state(world.hosts[i], 0), MR_APP_RING_ATTACHED);
    world_stop();
}

static void check_order(const struct mr_message *second, int error, const char *why)
{
    struct mr_message_attach wish = control_side_wish("web");

    world_start();
    struct control_side *side = &world.sides[0];
    CU_ASSERT_EQUAL_FATAL(control_side_connect(side, world.path), 0);
    if (second->type == MR_MESSAGE_ATTACH)
        CU_ASSERT(control_side_say(side, &wish, sizeof(wish)));
    CU_ASSERT(control_side_say(side, second, second->size));
    world_pump();
    if (second->type == MR_MESSAGE_ATTACH)
        (void)control_side_map(side, 0); /* the first one's answer */
    CU_ASSERT_EQUAL(control_side_ready(side, 0), -error);
    CU_ASSERT_PTR_NOT_NULL(strstr(side->refused.why, why));
    CU_ASSERT_EQUAL(world_stats().refused, 1);
    world_stop();
}

static void mapped_comes_once_after_attach(void)
{
    struct mr_message mapped = {.magic = MR_ATTACH_MAGIC,
                                .version = MR_ATTACH_VERSION,
                                .type = MR_MESSAGE_MAPPED,
                                .size = sizeof(mapped)};
    struct mr_message_attach wish = control_side_wish("web");

    check_order(&mapped, EPROTO, "after ATTACH");
    check_order(&wish.head, EISCONN, "ATTACH comes once");
}

/* A thread of our own process is kept until it goes itself: it may say MAPPED behind its end. */
static void who_is_detached_before_it_has_mapped_is_refused(void)
{
    struct mr_message_attach wish = control_side_wish("web");

    wish.flags = MR_RING_BY_REFERENCE;
    world_start();
    struct control_side *side = &world.sides[0];
    CU_ASSERT_EQUAL_FATAL(control_side_connect(side, world.path), 0);
    CU_ASSERT(control_side_say(side, &wish, sizeof(wish)));
    world_pump();
    CU_ASSERT_EQUAL(control_side_map(side, 0), 0); /* which says it; nobody has heard it yet */
    mr_control_detach_all(world.control, 0);
    world_pump();
    CU_ASSERT_EQUAL(world_stats().attached, 0);
    CU_ASSERT_EQUAL(control_side_ready(side, 0), -ESHUTDOWN); /* the first of two reasons */
    CU_ASSERT_EQUAL(world_stats().refused, 1);
    world_stop();
}

/* Sealed against our seals: it could go on punching holes. */
static void a_region_that_takes_no_seal_is_refused(void)
{
    struct mr_message_attach wish = control_side_wish("web");

    world_start();
    struct control_side *side = &world.sides[0];
    CU_ASSERT_EQUAL_FATAL(control_side_connect(side, world.path), 0);
    CU_ASSERT(control_side_say(side, &wish, sizeof(wish)));
    world_pump();
    CU_ASSERT_EQUAL(control_side_map(side, 0), 0);
    CU_ASSERT_EQUAL(fcntl(side->ring[1].fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    world_pump();
    CU_ASSERT_EQUAL(control_side_ready(side, 0), -EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(side->refused.why, "cannot be sealed"));
    world_stop();
}

static void all_of_a_region_is_there_from_the_begin(void)
{
    unsigned char present[WORLD_RING / 4096] = {0};

    world_start();
    world_attach(&world.sides[0], "web");
    CU_ASSERT_EQUAL(
        mincore(fake_host_ring(world.hosts[0], 0)->region.base, (size_t)WORLD_RING, present), 0);
    for (size_t i = 0; i < sizeof(present); i++)
        CU_ASSERT_EQUAL(present[i] & 1, 1);
    world_stop();
}

/* ------------------------------------------------------------------ refusals */

static void what_is_out_of_range_is_refused(void)
{
    struct mr_message_attach wish = control_side_wish("web");

    world_start();
    world_attach(&world.sides[0], "web");
    wish.submit_count = 100;
    world_check_refused(&wish, EINVAL, "power of two");
    wish = control_side_wish("web");
    wish.slot_size = 65;
    world_check_refused(&wish, EINVAL, "receive slots");
    wish = control_side_wish("web");
    wish.send_bytes = 100;
    world_check_refused(&wish, EINVAL, "whole pages");
    wish = control_side_wish("web");
    wish.shards = 4;
    world_check_refused(&wish, EINVAL, "this datapath has 2: mask 0x3");
    CU_ASSERT(world_does_nop(&world.sides[0].ring[0], 1)); /* the others do not notice */
    world_stop();
}

static void a_name_that_no_listener_has_is_refused_unless_any_is_allowed(void)
{
    struct mr_message_attach wish = control_side_wish("stranger");
    struct mr_control_config config = world_config();

    world_start();
    world_check_refused(&wish, EPERM, "no listener is for an application named stranger");
    world_stop();
    config.attach.allows_any = true;
    world_start_with(&config);
    CU_ASSERT_EQUAL_FATAL(world_ask(&world.sides[0], &wish), 0);
    CU_ASSERT_EQUAL(world.sides[0].listener_count, 0);
    CU_ASSERT_EQUAL(fake_host_ring(world.hosts[0], 0)->listeners, 0);
    world_stop();
}

static void an_inline_application_s_name_and_listeners_are_not_to_be_had(void)
{
    struct mr_message_attach wish = control_side_wish("inside");
    struct mr_handoff policy = world_policy("inside", "mail");
    struct mr_control_config config = world_config();
    struct mr_fault fault = {0};

    policy.listener[0].member = policy.listener[2].member = 1;
    config.attach.allows_any = true;
    world_start_with(&config);
    CU_ASSERT_EQUAL_FATAL(mr_control_set_policy(world.control, &policy, &fault), 0);
    world_check_refused(&wish, EEXIST, "inside is an application inside this datapath; attach by");
    world_attach(&world.sides[0], "mail");
    CU_ASSERT_EQUAL(world.sides[0].listener_count, 1);
    CU_ASSERT_EQUAL(fake_host_ring(world.hosts[0], 0)->listeners, 2);
    world_stop();
}

static void a_datapath_without_hosts_says_that_nobody_can_attach(void)
{
    struct mr_message_attach wish = control_side_wish("web");
    struct mr_control_config config = world_config();

    config.attach.host_count = 0;
    world_start_with(&config);
    world_check_refused(&wish, EOPNOTSUPP, "serves no attached applications");
    world_stop();
}

static void one_user_gets_so_many_attachments_and_so_much_memory(void)
{
    struct mr_message_attach wish = control_side_wish("web");
    struct mr_control_config config = world_config();

    config.attach.user_attachments_max = 2;
    world_start_with(&config);
    world_attach(&world.sides[0], "web");
    world_attach(&world.sides[1], "web");
    world_check_refused(&wish, EDQUOT, "has 2 attachments, which is the most");
    control_side_close(&world.sides[0]);
    CU_ASSERT(world_wait(1, 1000));
    world_attach(&world.sides[0], "web");
    world_stop();

    config.attach.user_attachments_max = 0;
    config.attach.attachments_max = 1;
    world_start_with(&config);
    world_attach(&world.sides[0], "web");
    world_check_refused(&wish, ENOSPC, "1 applications are attached");
    world_stop();

    config.attach.attachments_max = 0;
    config.attach.attachment_bytes_max = WORLD_RING;
    world_start_with(&config);
    world_check_refused(&wish, ENOSPC, "57344 bytes are asked for, an application may have 28672");
    world_stop();

    config.attach.attachment_bytes_max = 0;
    config.attach.region_bytes_max = WORLD_RING * 3;
    world_start_with(&config);
    world_attach(&world.sides[0], "web");
    world_check_refused(&wish, ENOSPC, "57344 bytes are asked for, 28672 of 86016 are free");
    wish.shards = 1;
    CU_ASSERT_EQUAL(world_ask(&world.sides[1], &wish), 0);
    world_check_refused(&wish, ENOSPC, "0 of 86016 are free");
    world_stop();

    config.attach.user_bytes_max = WORLD_RING * 2; /* what is left is others' */
    world_start_with(&config);
    world_attach(&world.sides[0], "web");
    world_check_refused(&wish, EDQUOT, "has 57344 of 57344");
    CU_ASSERT_EQUAL(world_stats().region_bytes, WORLD_RING * 2);
    world_stop();
}

/* A ring more than the shards have: nothing of it stays on the shard that had room. */
static void a_shard_without_room_undoes_the_attachment(void)
{
    struct mr_message_attach wish = control_side_wish("web");

    world_start();
    fake_host_knobs(world.hosts[1])->attach_error = -ENOSPC;
    world_check_refused(&wish, ENOSPC, "shard 1 has no room");
    CU_ASSERT_EQUAL(fake_host_ring_count(world.hosts[0]), 0);
    fake_host_knobs(world.hosts[1])->attach_error = -ENOMEM;
    world_check_refused(&wish, ENOMEM, "shard 1: Cannot allocate memory");
    fake_host_knobs(world.hosts[1])->attach_error = 0;
    world_attach(&world.sides[0], "web");
    world_stop();
}

static void the_limit_of_rings_is_the_hosts(void)
{
    struct mr_message_attach wish = control_side_wish("web");
    struct mr_control_config config = world_config();

    config.attach.attachments_max = config.attach.user_attachments_max = 1000;
    config.socket.clients_max = MR_APP_RINGS_MAX + 2;
    world_start_with(&config);
    for (int i = 0; i < MR_APP_RINGS_MAX; i++)
        world_attach(&world.sides[i], "web");
    world_check_refused(&wish, ENOSPC, "has no room for another ring");
    CU_ASSERT(world_does_nop(&world.sides[MR_APP_RINGS_MAX - 1].ring[1], 3));
    world_stop();
}

static void by_reference_is_for_our_own_process(void)
{
    struct mr_message_attach wish = control_side_wish("web");
    int status = 0;

    world_start();
    wish.flags = MR_RING_BY_REFERENCE;
    CU_ASSERT_EQUAL_FATAL(world_ask(&world.sides[0], &wish), 0);
    const struct mr_app_ring_config *config = fake_host_ring(world.hosts[0], 0);
    CU_ASSERT_PTR_EQUAL((void *)(uintptr_t)world.sides[0].ring[0].base, config->region.base);
    CU_ASSERT_EQUAL(config->region.sizes.flags, MR_RING_BY_REFERENCE);
    CU_ASSERT(world_does_nop(&world.sides[0].ring[0], 9));

    pid_t child = fork();
    if (child == 0) {
        struct control_side side;
        bool is_good = control_side_connect(&side, world.path) == 0 &&
                       control_side_say(&side, &wish, sizeof(wish)) &&
                       control_side_attached(&side, 2000) == -EPERM &&
                       strstr(side.refused.why, "own process") != NULL;
        _exit(is_good ? 0 : 1);
    }
    for (int i = 0; i < 300 && waitpid(child, &status, WNOHANG) == 0; i++)
        mr_control_poll(world.control, 10 * WORLD_MS);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_EQUAL(world_stats().refused, 1);
    world_stop();
}

/* ------------------------------------------------------------------ policy */

static void listeners_stay_as_long_as_somebody_serves_them(void)
{
    struct mr_handoff policy = world_policy("web", "post");
    struct mr_fault fault = {0};

    world_start();
    world_attach(&world.sides[0], "mail");
    CU_ASSERT_EQUAL(mr_control_set_policy(world.control, &policy, &fault), -EBUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "applications are attached"));
    CU_ASSERT_STRING_EQUAL(fake_host_policy(world.hosts[0])->listener[1].application, "mail");
    policy = world_policy("web", "mail");
    policy.listener_count = 2;
    CU_ASSERT_EQUAL(mr_control_set_policy(world.control, &policy, &fault), -EBUSY);
    policy.listener_count = 4;
    policy.listener[3] = policy.listener[1];
    CU_ASSERT_EQUAL(mr_control_set_policy(world.control, &policy, &fault), 0);
    CU_ASSERT_EQUAL(fake_host_policy(world.hosts[1])->listener_count, 4);
    world_attach(&world.sides[1], "mail");
    CU_ASSERT_EQUAL(world.sides[1].listener_count, 2);
    control_side_close(&world.sides[0]);
    control_side_close(&world.sides[1]);
    CU_ASSERT(world_wait(0, 1000));
    policy = world_policy("web", "post");
    CU_ASSERT_EQUAL(mr_control_set_policy(world.control, &policy, &fault), 0);
    world_stop();
}

static void a_shard_that_is_busy_gets_the_policy_later(void)
{
    struct mr_handoff policy = world_policy("a", "b");
    struct mr_fault fault = {0};
    struct pollfd fd;

    world_start();
    fake_host_knobs(world.hosts[1])->is_busy = true;
    CU_ASSERT_EQUAL(mr_control_set_policy(world.control, &policy, &fault), 0);
    CU_ASSERT_STRING_EQUAL(fake_host_policy(world.hosts[0])->listener[1].application, "b");
    CU_ASSERT_STRING_EQUAL(fake_host_policy(world.hosts[1])->listener[1].application, "mail");
    world_pump();
    CU_ASSERT_STRING_EQUAL(fake_host_policy(world.hosts[1])->listener[1].application, "mail");
    fake_host_knobs(world.hosts[1])->is_busy = false;
    fd = (struct pollfd){.fd = mr_control_fd(world.control), .events = POLLIN};
    CU_ASSERT_EQUAL(poll(&fd, 1, 1000), 1);
    world_pump();
    CU_ASSERT_STRING_EQUAL(fake_host_policy(world.hosts[1])->listener[1].application, "b");
    world_stop();
}

static CU_TestInfo tests[] = {
    {"an application gets rings of every shard, and its listeners",
     an_application_gets_rings_of_every_shard_and_its_listeners},
    {"an application chooses shards and sizes", an_application_chooses_shards_and_sizes},
    {"who sleeps is woken by a byte", who_sleeps_is_woken_by_a_byte},
    {"a wake socket that nobody reads stops no shard",
     a_wake_socket_that_nobody_reads_stops_no_shard},
    {"a region can neither shrink nor grow", a_region_can_neither_shrink_nor_grow},
    {"nobody punches holes into a region", nobody_punches_holes_into_a_region},
    {"rings begin with MAPPED", rings_begin_with_mapped},
    {"MAPPED comes once, after ATTACH", mapped_comes_once_after_attach},
    {"who is detached before it has mapped is refused",
     who_is_detached_before_it_has_mapped_is_refused},
    {"a region that takes no seal is refused", a_region_that_takes_no_seal_is_refused},
    {"all of a region is there from the begin", all_of_a_region_is_there_from_the_begin},
    {"what is out of range is refused", what_is_out_of_range_is_refused},
    {"a name that no listener has is refused, unless any is allowed",
     a_name_that_no_listener_has_is_refused_unless_any_is_allowed},
    {"an inline application's name and listeners are not to be had",
     an_inline_application_s_name_and_listeners_are_not_to_be_had},
    {"a datapath without hosts says that nobody can attach",
     a_datapath_without_hosts_says_that_nobody_can_attach},
    {"one user gets so many attachments, and so much memory",
     one_user_gets_so_many_attachments_and_so_much_memory},
    {"a shard without room undoes the attachment", a_shard_without_room_undoes_the_attachment},
    {"the limit of rings is the host's", the_limit_of_rings_is_the_hosts},
    {"by reference is for our own process", by_reference_is_for_our_own_process},
    {"listeners stay as long as somebody serves them",
     listeners_stay_as_long_as_somebody_serves_them},
    {"a shard that is busy gets the policy later", a_shard_that_is_busy_gets_the_policy_later},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/attach",
     .pInitFunc = world_make_directory,
     .pCleanupFunc = world_remove_directory,
     .pTests = tests},
    CU_SUITE_INFO_NULL,
};
