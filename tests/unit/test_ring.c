/* Tests of millrace/ring.h: entries, completions, waiting, the end; test_attach.c has the socket.
 */
#include "millrace/ring.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/attach_internal.h"
#include "tests/support/ring_world.h"
#include "tests/unit/harness.h"

static struct ring_world *world;
static struct mr_attachment *ends[2]; /* client's, server's */
static struct mr_ring *client;
static struct mr_ring *server;

static struct ring_world_config small_config(bool has_thread)
{
    struct ring_world_config config = ring_world_config_default(1);

    config.sizes.submit_count = config.sizes.complete_count = 16;
    config.sizes.slot_size = 1024;
    config.sizes.slot_count = 8;
    config.sizes.send_bytes = 65536;
    config.has_thread = has_thread;
    return config;
}

static void start(bool has_thread)
{
    struct ring_world_config config = small_config(has_thread);

    world = ring_world_new(&config);
    for (unsigned i = 0; i < 2; i++)
        ends[i] = ring_world_attach(world, i, 1);
    client = mr_attach_ring(ends[0], 0);
    server = mr_attach_ring(ends[1], 0);
}

static void finish(void)
{
    for (int i = 0; i < 2; i++)
        mr_detach(ends[i]);
    ring_world_free(world);
}

/* The next completion of a ring, stepping the world; zeros: none came. */
static struct mr_cqe next(struct mr_ring *ring)
{
    for (int i = 0; i < 1000; i++) {
        const struct mr_cqe *cqe = mr_ring_peek(ring);

        if (cqe != NULL) {
            struct mr_cqe copy = *cqe;
            mr_ring_advance(ring);
            return copy;
        }
        ring_world_step(world);
    }
    return (struct mr_cqe){.type = 0xff};
}

/* The next one of a type, others passed over. */
static struct mr_cqe next_of(struct mr_ring *ring, enum mr_cqe_type type)
{
    struct mr_cqe cqe = next(ring);

    while (cqe.type != type && cqe.type != 0xff)
        cqe = next(ring);
    CU_ASSERT_EQUAL(cqe.type, type);
    return cqe;
}

/* ------------------------------------------------------------------ entries */

static void a_full_queue_is_a_null(void)
{
    start(false);
    for (uint64_t i = 0; i < 16; i++) {
        struct mr_sqe *sqe = mr_ring_sqe(client);

        CU_ASSERT_PTR_NOT_NULL_FATAL(sqe);
        mr_sqe_nop(sqe);
        sqe->user_data = i;
    }
    CU_ASSERT_PTR_NULL(mr_ring_sqe(client));
    for (int i = 0; i < 10; i++)
        ring_world_step(world);
    CU_ASSERT_PTR_NULL(mr_ring_peek(client)); /* not submitted: not seen */
    CU_ASSERT_EQUAL(mr_ring_submit(client), 16);
    CU_ASSERT_EQUAL(mr_ring_submit(client), 0);
    for (uint64_t i = 0; i < 16; i++) {
        struct mr_cqe cqe = next(client);

        CU_ASSERT_EQUAL(cqe.type, MR_CQE_DONE);
        CU_ASSERT_EQUAL(cqe.user_data, i);
        CU_ASSERT_EQUAL(cqe.result, 0);
    }
    CU_ASSERT_PTR_NOT_NULL(mr_ring_sqe(client));
    finish();
}

static void many_completions_are_taken_at_once(void)
{
    struct mr_cqe cqes[32];

    start(false);
    for (uint64_t i = 0; i < 10; i++)
        mr_ring_sqe(client)->user_data = i;
    mr_ring_submit(client);
    for (int i = 0; i < 10; i++)
        ring_world_step(world);
    CU_ASSERT_EQUAL(mr_ring_peek(client)->user_data, 0);
    CU_ASSERT_EQUAL(mr_ring_peek(client)->user_data, 0); /* until it is advanced over */
    CU_ASSERT_EQUAL(mr_ring_take(client, cqes, 4), 4);
    CU_ASSERT_EQUAL(mr_ring_take(client, cqes + 4, 28), 6);
    for (uint64_t i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(cqes[i].user_data, i);
    mr_ring_advance(client); /* nothing was shown: no effect */
    CU_ASSERT_EQUAL(mr_ring_take(client, cqes, 32), 0);
    finish();
}

/* ------------------------------------------------------------------ a conversation */

static struct mr_sqe *prepare(struct mr_ring *ring, uint64_t user_data)
{
    struct mr_sqe *sqe = mr_ring_sqe(ring);

    CU_ASSERT_PTR_NOT_NULL_FATAL(sqe);
    sqe->user_data = user_data;
    return sqe;
}

/* Accept posted, a connection and all of a stream in one submission: every answer carries the word
 * of its question, every event the word of its object. */
static void accept_receive_and_send_complete_later(void)
{
    struct mr_ring_connect wish = {
        .port = 443, .alpn_size = 3, .alpn = "\002h3", .server_name = "localhost"};
    uint8_t *area;
    struct mr_sqe *sqe;

    start(false);
    int listener = mr_attach_listener(ends[1], "any");
    CU_ASSERT_EQUAL(listener, 0);
    CU_ASSERT_EQUAL(mr_attach_listener(ends[1], "other"), -ENOENT);
    mr_sqe_accept(prepare(server, 0xacce97), (uint64_t)listener);
    mr_ring_submit(server);

    area = mr_ring_alloc(client, 4096);
    memcpy(area, &wish, sizeof(wish));
    memcpy(area + 2048, "hello", 5);
    sqe = prepare(client, 0xc0);
    mr_sqe_connect(sqe, mr_ring_offset(client, area));
    sqe->alias = 3 + 1;
    mr_ring_submit(client);
    CU_ASSERT_EQUAL(next(client).user_data, 0xc0);
    struct mr_cqe cqe = next_of(client, MR_CQE_EVENT);
    CU_ASSERT_EQUAL(cqe.kinds, MR_EVENT_CONNECTED);
    CU_ASSERT_EQUAL(cqe.user_data, 0xc0);

    sqe = prepare(client, 0x57);
    mr_sqe_open(sqe, MR_RING_ALIAS | 3, MR_OPEN_BIDI);
    sqe->alias = 4 + 1;
    mr_sqe_send(prepare(client, 0x5e), MR_RING_ALIAS | 4, mr_ring_offset(client, area + 2048), 5,
                MR_SQE_FIN);
    CU_ASSERT_EQUAL(mr_ring_submit(client), 2);
    cqe = next_of(client, MR_CQE_DONE);
    CU_ASSERT_EQUAL(cqe.op, MR_OP_OPEN);
    CU_ASSERT_EQUAL(cqe.user_data, 0x57);
    cqe = next_of(client, MR_CQE_DONE);
    CU_ASSERT_EQUAL(cqe.op, MR_OP_SEND);
    CU_ASSERT_EQUAL(cqe.user_data, 0x5e);
    CU_ASSERT_EQUAL(cqe.result, 0);

    cqe = next_of(server, MR_CQE_DONE);
    CU_ASSERT_EQUAL(cqe.op, MR_OP_ACCEPT);
    CU_ASSERT_EQUAL(cqe.user_data, 0xacce97);
    uint64_t conn = cqe.conn;
    cqe = next_of(server, MR_CQE_DATA);
    CU_ASSERT_EQUAL(cqe.conn, conn);
    CU_ASSERT_EQUAL(cqe.size, 5);
    CU_ASSERT_EQUAL(memcmp(mr_ring_data(server, &cqe), "hello", 5), 0);
    CU_ASSERT_EQUAL(cqe.flags, MR_CQE_FIN);
    mr_sqe_release(prepare(server, 1), &cqe);
    mr_sqe_close(prepare(server, 0xc1), conn, 7);
    mr_ring_submit(server);
    CU_ASSERT_EQUAL(next_of(server, MR_CQE_DONE).user_data, 0xc1);
    do
        cqe = next_of(client, MR_CQE_EVENT);
    while (cqe.type == MR_CQE_EVENT && (cqe.stream != 0 || (cqe.kinds & MR_EVENT_CLOSED) == 0));
    CU_ASSERT_EQUAL(cqe.value, 7);
    CU_ASSERT_EQUAL(cqe.flags, MR_CQE_APPLICATION | MR_CQE_REMOTE);
    mr_ring_free(client, area);
    finish();
}

/* ------------------------------------------------------------------ the send area */

static void memory_of_the_send_area_has_addresses(void)
{
    start(false);
    uint8_t *a = mr_ring_alloc(client, 100);
    uint8_t *b = mr_ring_alloc(client, 40000);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    CU_ASSERT_EQUAL((uintptr_t)a % 64, 0);
    CU_ASSERT_EQUAL(mr_ring_offset(client, b) - mr_ring_offset(client, a), (uint64_t)(b - a));
    CU_ASSERT(mr_ring_owns(client, a, 100));
    CU_ASSERT(!mr_ring_owns(client, a, 65537));
    CU_ASSERT(!mr_ring_owns(client, &world, 1));
    CU_ASSERT(!mr_ring_owns(server, a, 1));
    CU_ASSERT_PTR_NULL(mr_ring_alloc(client, 40000));
    mr_ring_free(client, b);
    mr_ring_free(client, NULL);
    CU_ASSERT_PTR_NOT_NULL(mr_ring_alloc(client, 40000));
    CU_ASSERT_EQUAL(mr_ring_alias_count(client), 1024);
    CU_ASSERT_EQUAL(mr_ring_sends_max(client), 1024);
    CU_ASSERT_EQUAL(mr_ring_objects_max(client), 1024);
    CU_ASSERT(!mr_ring_is_by_reference(client));
    CU_ASSERT_EQUAL(mr_ring_shard(client), 0);
    CU_ASSERT_EQUAL(mr_attach_ring_count(ends[0]), 1);
    CU_ASSERT_PTR_NULL(mr_attach_ring(ends[0], 1));
    finish();
}

/* ------------------------------------------------------------------ waiting */

static void a_wait_ends_with_the_time(void)
{
    start(false);
    CU_ASSERT_EQUAL(mr_attach_wait(ends[0], 0), 0);
    CU_ASSERT_EQUAL(mr_attach_wait(ends[0], 2000000), 0);
    mr_ring_sqe(client);
    mr_ring_submit(client);
    ring_world_step(world);
    ring_world_step(world);
    CU_ASSERT_EQUAL(mr_attach_wait(ends[0], UINT64_MAX), 1);
    finish();
}

static void the_descriptor_is_readable_after_arm(void)
{
    start(false);
    struct pollfd fd = {.fd = mr_attach_fd(ends[0]), .events = POLLIN};

    mr_ring_sqe(client);
    mr_ring_submit(client);
    CU_ASSERT(mr_attach_arm(ends[0]));
    CU_ASSERT_EQUAL(poll(&fd, 1, 0), 0);
    ring_world_step(world);
    ring_world_step(world);
    CU_ASSERT_EQUAL(poll(&fd, 1, 0), 1);
    mr_attach_disarm(ends[0]);
    CU_ASSERT_EQUAL(poll(&fd, 1, 0), 0);
    CU_ASSERT_EQUAL(atomic_load(client->region.sleeps), 0);
    CU_ASSERT(!mr_attach_arm(ends[0])); /* something is there */
    CU_ASSERT_EQUAL(next(client).type, MR_CQE_DONE);
    CU_ASSERT(mr_attach_arm(ends[0]));
    CU_ASSERT_EQUAL(atomic_load(client->region.sleeps), 1);
    mr_attach_disarm(ends[0]);
    CU_ASSERT_EQUAL(atomic_load(client->region.sleeps), 0);
    finish();
}

static void arming_fails_as_a_whole(void)
{
    start(false);
    struct mr_attachment *two = ring_world_attach(world, RING_WORLD_CLIENT, 2);
    struct mr_ring *second = mr_attach_ring(two, 1);

    mr_ring_sqe(second);
    mr_ring_submit(second);
    ring_world_step(world);
    ring_world_step(world);
    CU_ASSERT(!mr_attach_arm(two));
    CU_ASSERT_EQUAL(atomic_load(mr_attach_ring(two, 0)->region.sleeps), 0);
    CU_ASSERT_EQUAL(next(second).type, MR_CQE_DONE);
    CU_ASSERT(mr_attach_arm(two));
    mr_detach(two);
    finish();
}

static void a_sleeper_is_woken_by_the_datapath(void)
{
    uint32_t wrong = 0;

    start(true);
    for (uint64_t i = 0; i < 2000; i++) {
        prepare(client, i);
        mr_ring_submit(client);
        wrong += mr_attach_wait(ends[0], UINT64_C(5000000000)) != 1;
        const struct mr_cqe *cqe = mr_ring_peek(client);
        wrong += cqe == NULL || cqe->user_data != i;
        mr_ring_advance(client);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    finish();
}

static void on_alarm(int number)
{
    (void)number;
}

static void a_signal_ends_the_wait(void)
{
    struct sigaction action = {.sa_handler = on_alarm};

    start(false);
    sigaction(SIGALRM, &action, NULL);
    ualarm(5000, 0);
    CU_ASSERT_EQUAL(mr_attach_wait(ends[0], UINT64_MAX), -EINTR);
    finish();
}

/* ------------------------------------------------------------------ the end */

static void a_datapath_that_lets_go_says_so(void)
{
    start(false);
    CU_ASSERT(mr_attach_is_alive(ends[0]));
    ring_world_let_go(world, ends[0]);
    CU_ASSERT_EQUAL(next(client).type, MR_CQE_GONE);
    CU_ASSERT(!mr_attach_is_alive(ends[0]));
    CU_ASSERT(mr_attach_is_alive(ends[1]));
    CU_ASSERT(!mr_attach_arm(ends[0]));
    CU_ASSERT_EQUAL(mr_attach_wait(ends[0], UINT64_MAX), -ENOTCONN);
    CU_ASSERT_PTR_NULL(mr_ring_peek(client));
    finish();
}

static void a_datapath_that_died_is_noticed(void)
{
    start(false);
    ring_world_die(world, ends[0]);
    CU_ASSERT(!mr_attach_is_alive(ends[0]));
    CU_ASSERT_EQUAL(mr_attach_wait(ends[0], UINT64_MAX), -ENOTCONN);
    finish();
}

static void *let_go_later(void *argument)
{
    usleep(20000);
    ring_world_let_go(world, argument);
    return NULL;
}

static void *die_later(void *argument)
{
    usleep(20000);
    ring_world_die(world, argument);
    return NULL;
}

static void a_sleeper_learns_of_the_end(void)
{
    pthread_t thread;

    start(true);
    pthread_create(&thread, NULL, let_go_later, ends[0]);
    CU_ASSERT_EQUAL(mr_attach_wait(ends[0], UINT64_C(10000000000)), 1);
    CU_ASSERT_EQUAL(mr_ring_peek(client)->type, MR_CQE_GONE);
    mr_ring_advance(client);
    CU_ASSERT_EQUAL(mr_attach_wait(ends[0], UINT64_C(10000000000)), -ENOTCONN);
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, die_later, ends[1]);
    CU_ASSERT_EQUAL(mr_attach_wait(ends[1], UINT64_C(10000000000)), -ENOTCONN);
    pthread_join(thread, NULL);
    finish();
}

/* ------------------------------------------------------------------ garbage */

/* A region of our own, and the datapath's end of its completions. */
static struct {
    uint8_t *memory;
    struct mr_ring_region region;
    struct mr_outbox completions;
    struct mr_attachment *attachment;
    struct mr_ring *ring;
} own;

static void start_own(void)
{
    struct mr_ring_sizes sizes = small_config(false).sizes;
    uint64_t size = mr_ring_region_size(&sizes);
    struct mr_attach_region region;
    struct mr_fault fault;

    own.memory = aligned_alloc(4096, size);
    memset(own.memory, 0, size);
    mr_ring_region_make(&own.region, own.memory, &sizes, 5);
    region = (struct mr_attach_region){.memory = own.memory, .size = size};
    struct mr_mailbox completions = mr_ring_completions(&own.region);
    mr_outbox_init(&own.completions, &completions);
    struct mr_attach_parts parts = {
        .regions = &region, .region_count = 1, .wake_fd = -1, .control_fd = -1};
    CU_ASSERT_EQUAL_FATAL(mr_attachment_from_memory(&parts, &own.attachment, &fault), 0);
    own.ring = mr_attach_ring(own.attachment, 0);
    CU_ASSERT_EQUAL(mr_ring_shard(own.ring), 5);
}

static void finish_own(void)
{
    mr_detach(own.attachment);
    free(own.memory);
}

static void impossible_completions_end_the_ring(void)
{
    uint64_t receive_at = 0;
    struct {
        uint8_t type;
        uint64_t offset;
        uint32_t size;
        bool is_possible;
    } cases[] = {
        {MR_CQE_DATA, 0, 1024, true},
        {MR_CQE_DATA, 7 * 1024, 1024, true},
        {MR_CQE_DATAGRAM, 1024, 1, true},
        {MR_CQE_DATA, 0 - UINT64_C(1), 0, true}, /* no bytes are nowhere */
        {MR_CQE_GONE + 1, 0, 0, false},
        {MR_CQE_DATA, 8 * 1024, 1, false},
        {MR_CQE_DATA, 0, 1025, false},
        {MR_CQE_DATA, 64, 64, false},
        {MR_CQE_DATAGRAM, 0 - UINT64_C(1024), 1, false},
        {MR_CQE_DATAGRAM, UINT64_C(1) << 62, 1, false},
        {MR_CQE_DATA, 0, UINT32_MAX, false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        start_own();
        receive_at = own.region.receive_at;
        *(struct mr_cqe *)mr_outbox_next(&own.completions) = (struct mr_cqe){
            .type = cases[i].type, .address = receive_at + cases[i].offset, .size = cases[i].size};
        mr_outbox_publish(&own.completions);
        CU_ASSERT_EQUAL(mr_ring_peek(own.ring) != NULL, cases[i].is_possible);
        CU_ASSERT_EQUAL(mr_attach_is_alive(own.attachment), cases[i].is_possible);
        CU_ASSERT_EQUAL(mr_attach_wait(own.attachment, 0), cases[i].is_possible ? 1 : -ENOTCONN);
        finish_own();
    }
}

static void impossible_indexes_end_the_ring(void)
{
    start_own();
    *mr_ring_completions(&own.region).tail = 17;
    CU_ASSERT_PTR_NULL(mr_ring_peek(own.ring));
    CU_ASSERT(!mr_attach_is_alive(own.attachment));
    finish_own();
    start_own();
    for (int i = 0; i < 16; i++)
        mr_ring_sqe(own.ring);
    mr_ring_submit(own.ring);
    *mr_ring_submissions(&own.region).head = 17;
    CU_ASSERT_PTR_NULL(mr_ring_sqe(own.ring));
    CU_ASSERT_EQUAL(mr_attach_wait(own.attachment, UINT64_MAX), -ENOTCONN);
    finish_own();
}

static void a_region_that_is_none_is_refused(void)
{
    static uint8_t memory[8192] MR_ALIGNED(4096);
    struct mr_attach_region region = {.memory = memory, .size = sizeof(memory)};
    struct mr_attach_parts parts = {
        .regions = &region, .region_count = 1, .wake_fd = -1, .control_fd = -1};
    struct mr_attachment *attachment;
    struct mr_fault fault = {0};

    CU_ASSERT_EQUAL(mr_attachment_from_memory(&parts, &attachment, &fault), -EPROTO);
    CU_ASSERT_STRING_NOT_EQUAL(fault.text, "");
    parts.region_count = 0;
    CU_ASSERT_EQUAL(mr_attachment_from_memory(&parts, &attachment, &fault), -EPROTO);
    parts.region_count = MR_ATTACH_RINGS_MAX + 1;
    CU_ASSERT_EQUAL(mr_attachment_from_memory(&parts, &attachment, &fault), -EPROTO);
    mr_detach(NULL);
}

static CU_TestInfo tests[] = {
    {"a full queue is a NULL", a_full_queue_is_a_null},
    {"many completions are taken at once", many_completions_are_taken_at_once},
    {"B7 B9 accept, receive and send complete later, with their words",
     accept_receive_and_send_complete_later},
    {"memory of the send area has addresses", memory_of_the_send_area_has_addresses},
    {"a wait ends with the time", a_wait_ends_with_the_time},
    {"the descriptor is readable after arm", the_descriptor_is_readable_after_arm},
    {"arming fails as a whole", arming_fails_as_a_whole},
    {"a sleeper is woken by the datapath", a_sleeper_is_woken_by_the_datapath},
    {"a signal ends the wait", a_signal_ends_the_wait},
    {"a datapath that lets go says so", a_datapath_that_lets_go_says_so},
    {"a datapath that died is noticed", a_datapath_that_died_is_noticed},
    {"a sleeper learns of the end", a_sleeper_learns_of_the_end},
    {"impossible completions end the ring", impossible_completions_end_the_ring},
    {"impossible indexes end the ring", impossible_indexes_end_the_ring},
    {"a region that is none is refused", a_region_that_is_none_is_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/ring", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
