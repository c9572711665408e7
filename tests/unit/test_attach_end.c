/* Tests of control/attach.h: how attachments end, and that nothing of them stays. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/control_world.h"
#include "tests/unit/harness.h"

/* ------------------------------------------------------------------ ends */

static void who_closes_gets_everything_taken_back(void)
{
    world_start();
    world_attach(&world.sides[0], "web");
    world_attach(&world.sides[1], "web");
    close(world.sides[0].fd);
    CU_ASSERT(world_wait(1, 1000));
    CU_ASSERT_EQUAL(world_stats().region_bytes, WORLD_SHARDS * WORLD_RING);
    CU_ASSERT_EQUAL(world_stats().ended, 1);
    CU_ASSERT(world_is_gone(&world.sides[0].ring[0]));
    CU_ASSERT(world_wake_bytes(&world.sides[0]) > 0); /* it would have seen it */
    world.sides[0].fd = -1;
    CU_ASSERT(world_does_nop(&world.sides[1].ring[0], 5));
    CU_ASSERT(!world_is_gone(&world.sides[1].ring[0]));
    control_side_close(&world.sides[0]);
    world_stop();
}

/* A whole process with two attachments and two threads' worth of rings, ended in the middle. */
static pid_t start_victim(int go_fd)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    struct control_side mine[2];
    struct mr_message_attach wish = control_side_wish("web");
    for (int i = 0; i < 2; i++) {
        if (control_side_connect(&mine[i], world.path) != 0 ||
            !control_side_say(&mine[i], &wish, sizeof(wish)) ||
            control_side_attached(&mine[i], 5000) != 0)
            _exit(1);
    }
    (void)!write(go_fd, "x", 1);
    for (uint64_t i = 0;; i++) { /* busy until it dies */
        struct mr_sqe *sqe = mr_outbox_next(&mine[i & 1].ring[0].submissions);

        if (sqe != NULL)
            *sqe = (struct mr_sqe){.op = MR_OP_NOP, .user_data = i};
        mr_outbox_publish(&mine[i & 1].ring[0].submissions);
        (void)mr_inbox_take(&mine[i & 1].ring[0].completions, &(struct mr_cqe){0});
        mr_inbox_done(&mine[i & 1].ring[0].completions);
    }
}

static void a_killed_process_gives_its_memory_back_within_a_second(void)
{
    struct pollfd ready = {.events = POLLIN};
    int go[2];

    world_start();
    world_attach(&world.sides[0], "mail");
    uint64_t bytes = world_mapped_bytes();
    uint32_t descriptors = world_descriptors();
    CU_ASSERT_EQUAL(bytes, 2 * WORLD_SHARDS * WORLD_RING); /* ours and the application's */
    CU_ASSERT_EQUAL_FATAL(pipe2(go, O_CLOEXEC), 0);
    pid_t victim = start_victim(go[1]);
    ready.fd = go[0];
    for (int i = 0; i < 5000 && poll(&ready, 1, 1) == 0; i++)
        world_pump();
    CU_ASSERT_EQUAL(world_stats().attachments, 3);
    CU_ASSERT_EQUAL(world_mapped_bytes(), bytes + 2 * WORLD_SHARDS * WORLD_RING);
    CU_ASSERT(world_does_nop(&world.sides[0].ring[0], 1));
    close(go[0]);
    close(go[1]);

    uint64_t begin = mr_control_now();
    kill(victim, SIGKILL);
    CU_ASSERT(world_wait(1, 1000));
    CU_ASSERT(mr_control_now() - begin < 1000 * WORLD_MS);
    CU_ASSERT_EQUAL(world_mapped_bytes(), bytes);
    CU_ASSERT_EQUAL(world_descriptors(), descriptors);
    CU_ASSERT_EQUAL(world_stats().region_bytes, WORLD_SHARDS * WORLD_RING);
    CU_ASSERT(world_does_nop(&world.sides[0].ring[0], 2));
    CU_ASSERT(world_does_nop(&world.sides[0].ring[1], 3));
    waitpid(victim, NULL, 0);
    world_stop();
}

static void nonsense_after_attaching_ends_the_attachment(void)
{
    world_start();
    world_attach(&world.sides[0], "web");
    world_attach(&world.sides[1], "web");
    CU_ASSERT(control_side_say(&world.sides[0], "x", 1));
    CU_ASSERT(world_wait(1, 1000));
    world_check_ended(&world.sides[0], EISCONN, "nothing to say");
    CU_ASSERT(world_is_gone(&world.sides[0].ring[0]));
    CU_ASSERT(world_does_nop(&world.sides[1].ring[0], 1));
    world_stop();
}

static void a_ring_that_its_application_broke_ends_the_attachment(void)
{
    world_start();
    world_attach(&world.sides[0], "web");
    world_attach(&world.sides[1], "web");
    world_pump();
    fake_host_break(world.hosts[1], 0);
    CU_ASSERT(world_wait(1, 1000));
    world_check_ended(&world.sides[0], EPROTO, "shard 1 let go of the ring");
    CU_ASSERT(world_is_gone(&world.sides[0].ring[0]));
    CU_ASSERT(world_is_gone(&world.sides[0].ring[1]));
    CU_ASSERT(world_does_nop(&world.sides[1].ring[1], 1));
    world_stop();
}

/* A thread of this process uses the datapath's own mapping. */
static void memory_used_by_reference_stays_until_its_user_has_closed(void)
{
    struct mr_message_attach wish = control_side_wish("web");

    world_start();
    wish.flags = MR_RING_BY_REFERENCE;
    CU_ASSERT_EQUAL_FATAL(world_ask(&world.sides[0], &wish), 0);
    fake_host_break(world.hosts[0], 0);
    for (int i = 0; i < 400 && fake_host_ring_count(world.hosts[1]) > 0; i++) {
        world_pump();
        mr_control_poll(world.control, WORLD_MS);
    }
    CU_ASSERT_EQUAL(fake_host_ring_count(world.hosts[0]), 0);
    CU_ASSERT_EQUAL(fake_host_ring_count(world.hosts[1]), 0);
    world_pump();
    CU_ASSERT_EQUAL(world_stats().region_bytes, WORLD_SHARDS * WORLD_RING);
    CU_ASSERT(world_is_gone(&world.sides[0].ring[0]));
    CU_ASSERT(world_is_gone(&world.sides[0].ring[1]));
    CU_ASSERT_EQUAL(world_stats().attachments, 1);
    control_side_close(&world.sides[0]);
    CU_ASSERT(world_wait(0, 1000));
    CU_ASSERT_EQUAL(world_mapped_bytes(), 0);
    world_stop();
}

/* Until the shard lets go, the memory stays. */
static void a_hung_shard_keeps_memory_and_nothing_else(void)
{
    world_start();
    world_attach(&world.sides[0], "web");
    world_attach(&world.sides[1], "web");
    fake_host_knobs(world.hosts[1])->is_hung = true;
    control_side_close(&world.sides[0]);
    for (int i = 0; i < 20; i++) {
        world_pump();
        mr_control_poll(world.control, WORLD_MS);
    }
    CU_ASSERT_EQUAL(world_stats().attachments, 2);
    CU_ASSERT_EQUAL(world_stats().region_bytes, WORLD_RING * (WORLD_SHARDS + 1));
    CU_ASSERT_EQUAL(fake_host_ring_count(world.hosts[0]), 1);
    CU_ASSERT_EQUAL(mr_app_host_ring_state(world.hosts[1], 0), MR_APP_RING_LETTING_GO);
    CU_ASSERT(world_does_nop(&world.sides[1].ring[0], 1));
    world_attach(&world.sides[2], "web"); /* others come and go */
    fake_host_knobs(world.hosts[1])->is_hung = false;
    CU_ASSERT(world_wait(2, 1000));
    world_stop();
}

/* ------------------------------------------------------------------ who comes next */

/* Ask, and do not wait for the answer. */
static void ask(struct control_side *side)
{
    struct mr_message_attach wish = control_side_wish("web");

    CU_ASSERT_EQUAL_FATAL(control_side_connect(side, world.path), 0);
    CU_ASSERT(control_side_say(side, &wish, sizeof(wish)));
}

/* An answer may take a moment. */
static void pump_until_answered(const struct control_side *side)
{
    struct pollfd answer = {.fd = side->fd, .events = POLLIN};

    for (int i = 0; i < 3000 && poll(&answer, 1, 1) == 0; i++)
        world_pump();
}

static int answer_of(struct control_side *side)
{
    pump_until_answered(side);
    int result = control_side_map(side, 0);
    if (result != 0)
        return result;
    pump_until_answered(side);
    return control_side_ready(side, 0);
}

/* Of the limits, by turns, only one leaves no room for two. */
static struct mr_control_config narrow_config(int which)
{
    struct mr_control_config config = world_config();

    config.attach.user_attachments_max = which == 0 ? 1 : 0;
    config.attach.attachments_max = which == 1 ? 1 : 0;
    config.attach.region_bytes_max = which == 2 ? WORLD_RING * WORLD_SHARDS : 0;
    return config;
}

/* Nobody has noticed the end before the next one asks. */
static void who_comes_right_after_another_has_its_place(void)
{
    for (int which = 0; which < 3; which++) {
        struct mr_control_config config = narrow_config(which);

        world_start_with(&config);
        world_attach(&world.sides[0], "web");
        ask(&world.sides[1]);
        CU_ASSERT(answer_of(&world.sides[1]) < 0); /* it is still there */
        control_side_close(&world.sides[1]);
        world_pump();
        for (int i = 0; i < 3; i++) {
            control_side_close(&world.sides[i % 2]);
            ask(&world.sides[(i + 1) % 2]);
            CU_ASSERT_EQUAL(answer_of(&world.sides[(i + 1) % 2]), 0);
        }
        CU_ASSERT_EQUAL(world_stats().refused, 1);
        CU_ASSERT_EQUAL(world_stats().attached, 4);
        world_stop();
    }
}

static void who_waits_for_a_hung_shard_is_refused_after_a_second(void)
{
    struct mr_control_config config = narrow_config(0);

    world_start_with(&config);
    world_attach(&world.sides[0], "web");
    fake_host_knobs(world.hosts[1])->is_hung = true;
    control_side_close(&world.sides[0]);
    uint64_t begin = mr_control_now();
    ask(&world.sides[1]);
    CU_ASSERT_EQUAL(answer_of(&world.sides[1]), -EDQUOT);
    CU_ASSERT(mr_control_now() - begin >= 900 * WORLD_MS);
    CU_ASSERT_EQUAL(world_stats().refused, 1);
    fake_host_knobs(world.hosts[1])->is_hung = false;
    CU_ASSERT(world_wait(0, 1000));
    world_stop();
}

static void who_waits_may_go_and_may_not_ask_twice(void)
{
    struct mr_message_attach wish = control_side_wish("web");
    struct mr_control_config config = narrow_config(0);

    world_start_with(&config);
    world_attach(&world.sides[0], "web");
    fake_host_knobs(world.hosts[1])->is_hung = true;
    control_side_close(&world.sides[0]);
    ask(&world.sides[1]);
    ask(&world.sides[2]);
    world_pump();
    control_side_close(&world.sides[1]);
    CU_ASSERT(control_side_say(&world.sides[2], &wish, sizeof(wish)));
    CU_ASSERT_EQUAL(answer_of(&world.sides[2]), -EALREADY);
    fake_host_knobs(world.hosts[1])->is_hung = false;
    CU_ASSERT(world_wait(0, 1000));
    CU_ASSERT_EQUAL(world_stats().attached, 1);
    world_stop();
}

static void everything_is_freed_with_attachments_open(void)
{
    uint32_t descriptors = world_descriptors();

    world_start();
    world_attach(&world.sides[0], "web");
    world_attach(&world.sides[1], "mail");
    world_attach(&world.sides[2], "web");
    control_side_close(&world.sides[2]);
    fake_host_knobs(world.hosts[0])->is_hung = true;
    world_pump(); /* one of the three is on its way out */
    CU_ASSERT_EQUAL(world_stats().attachments, 3);
    mr_control_close(world.control);
    control_side_close(&world.sides[0]);
    control_side_close(&world.sides[1]);
    CU_ASSERT_EQUAL(world_mapped_bytes(), 0);
    CU_ASSERT_EQUAL(world_descriptors(), descriptors);
    CU_ASSERT_NOT_EQUAL(access(world.path, F_OK), 0);
    for (int i = 0; i < WORLD_SHARDS; i++)
        mr_app_host_free(world.hosts[i]);
}

static void all_are_told_when_the_datapath_ends(void)
{
    struct mr_message_attach wish = control_side_wish("web");

    world_start();
    world_attach(&world.sides[0], "web");
    world_attach(&world.sides[1], "mail");
    mr_control_detach_all(world.control, 0);
    world_check_ended(&world.sides[0], ESHUTDOWN, "the datapath ends");
    world_check_ended(&world.sides[1], ESHUTDOWN, "the datapath ends");
    world_check_refused(&wish, ESHUTDOWN, "takes no new applications");
    CU_ASSERT(world_wait(0, 1000));
    world_stop();
}

/* ------------------------------------------------------------------ threads */

static _Atomic bool is_over;

static void *run_shard(void *host)
{
    while (!atomic_load_explicit(&is_over, memory_order_acquire)) {
        fake_host_poll(host);
        usleep(50);
    }
    return NULL;
}

struct worker {
    pthread_t thread;
    uint64_t rounds;
    uint64_t bad;
};

/* Attach, use a ring, sleep for the answer, go; again and again. */
static void *run_application(void *argument)
{
    struct worker *worker = argument;

    for (int i = 0; i < 30; i++) {
        struct mr_message_attach wish = control_side_wish("web");
        struct control_side side;

        if (control_side_connect(&side, world.path) != 0 ||
            !control_side_say(&side, &wish, sizeof(wish)) ||
            control_side_attached(&side, 5000) != 0) {
            worker->bad++;
            continue;
        }
        struct control_ring *ring = &side.ring[i % WORLD_SHARDS];
        struct mr_sqe *sqe = mr_outbox_next(&ring->submissions);
        *sqe = (struct mr_sqe){.op = MR_OP_NOP, .user_data = (uint64_t)i};
        mr_outbox_publish(&ring->submissions);
        while (mr_inbox_may_sleep(&ring->completions, ring->region.sleeps)) {
            struct pollfd fd = {.fd = side.wake_fd, .events = POLLIN};

            if (poll(&fd, 1, 5000) != 1)
                worker->bad++;
            (void)world_wake_bytes(&side);
            mr_inbox_woke(ring->region.sleeps);
        }
        struct mr_cqe cqe = {0};
        worker->bad += !mr_inbox_take(&ring->completions, &cqe) || cqe.user_data != (uint64_t)i;
        worker->rounds++;
        control_side_close(&side);
    }
    return NULL;
}

static void applications_come_and_go_while_shards_run(void)
{
    pthread_t shards[WORLD_SHARDS];
    struct worker workers[3] = {0};

    world_start();
    world.has_threads = true;
    atomic_store(&is_over, false);
    for (int i = 0; i < WORLD_SHARDS; i++)
        pthread_create(&shards[i], NULL, run_shard, world.hosts[i]);
    for (int i = 0; i < 3; i++)
        pthread_create(&workers[i].thread, NULL, run_application, &workers[i]);
    uint64_t end = mr_control_now() + 60000 * WORLD_MS;
    while (mr_control_now() < end && (world_stats().ended < 90 || world_stats().attachments > 0))
        mr_control_poll(world.control, 10 * WORLD_MS);
    for (int i = 0; i < 3; i++) {
        pthread_join(workers[i].thread, NULL);
        CU_ASSERT_EQUAL(workers[i].rounds, 30);
        CU_ASSERT_EQUAL(workers[i].bad, 0);
    }
    CU_ASSERT(world_wait(0, 1000));
    atomic_store_explicit(&is_over, true, memory_order_release);
    for (int i = 0; i < WORLD_SHARDS; i++)
        pthread_join(shards[i], NULL);
    world.has_threads = false;
    CU_ASSERT_EQUAL(world_stats().attached, 90);
    world_stop();
}

static CU_TestInfo tests[] = {
    {"who closes gets everything taken back", who_closes_gets_everything_taken_back},
    {"a killed process gives its memory back within a second",
     a_killed_process_gives_its_memory_back_within_a_second},
    {"nonsense after attaching ends the attachment", nonsense_after_attaching_ends_the_attachment},
    {"a ring that its application broke ends the attachment",
     a_ring_that_its_application_broke_ends_the_attachment},
    {"memory used by reference stays until its user has closed",
     memory_used_by_reference_stays_until_its_user_has_closed},
    {"a hung shard keeps memory, and nothing else", a_hung_shard_keeps_memory_and_nothing_else},
    {"who comes right after another has its place", who_comes_right_after_another_has_its_place},
    {"who waits for a hung shard is refused after a second",
     who_waits_for_a_hung_shard_is_refused_after_a_second},
    {"who waits may go, and may not ask twice", who_waits_may_go_and_may_not_ask_twice},
    {"everything is freed with attachments open", everything_is_freed_with_attachments_open},
    {"all are told when the datapath ends", all_are_told_when_the_datapath_ends},
    {"applications come and go while shards run", applications_come_and_go_while_shards_run},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/attach",
     .pInitFunc = world_make_directory,
     .pCleanupFunc = world_remove_directory,
     .pTests = tests},
    CU_SUITE_INFO_NULL,
};
