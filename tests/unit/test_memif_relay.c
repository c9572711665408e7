/* tests/unit/test_memif_relay.c - the contract of drivers/memif_relay.h: the test is the driver on
 * one side and whoever is on the other. */
#include "drivers/memif_relay.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "drivers/port_gate.h"
#include "tests/unit/harness.h"

enum {
    BYTES = 128,
    WAIT_MS = 5000,
    /* memif's types of messages */
    HELLO = 2,
    INIT = 3,
    ADD_REGION = 4,
    ADD_RING = 5,
    CONNECT = 6,
    CONNECTED = 7,
    DISCONNECT = 8
};

static struct {
    int descriptors; /* open at the begin */
    char folder[32];
    char peer[64];
    char driver[64];
    int listener; /* of the side that the relay connects to */
    struct mr_port_gate gate;
    uint16_t queues;
    atomic_bool is_mapped;
    atomic_int turns; /* of the gate */
    struct mr_memif_relay *relay;
} world;

static bool is_mapped(const void *context)
{
    CU_ASSERT_PTR_EQUAL(context, &world);
    return world.is_mapped;
}

/* Nobody is let in before, nor is the driver told of an end. */
static void turn(void *context, bool opens)
{
    CU_ASSERT_PTR_EQUAL(context, &world);
    CU_ASSERT_FALSE(mr_port_gate_is_open(&world.gate));
    CU_ASSERT_EQUAL(world.turns % 2, opens ? 0 : 1);
    world.turns++;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return address;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

    CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
    return fd;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

    CU_ASSERT_EQUAL_FATAL(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static struct mr_memif_relay *start(bool is_server, struct mr_fault *fault)
{
    const struct mr_memif_relay_config config = {.peer = world.peer,
                                                 .driver = world.driver,
                                                 .is_server = is_server,
                                                 .queue_count = world.queues,
                                                 .gate = &world.gate,
                                                 .is_mapped = is_mapped,
                                                 .turn = turn,
                                                 .context = &world};
    return mr_memif_relay_start(&config, fault);
}

static int count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void begin_with(bool is_server, uint16_t queues)
{
    struct mr_fault fault = {0};

    memset(&world, 0, sizeof(world));
    world.queues = queues;
    world.descriptors = count_descriptors();
    snprintf(world.folder, sizeof(world.folder), "/tmp/mr-relay-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(world.folder));
    snprintf(world.peer, sizeof(world.peer), "%s/peer", world.folder);
    snprintf(world.driver, sizeof(world.driver), "%s/driver", world.folder);
    world.listener = listen_at(is_server ? world.driver : world.peer);
    world.relay = start(is_server, &fault);
    if (world.relay == NULL)
        printf("# %s\n", fault.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world.relay);
}

static void begin(bool is_server)
{
    begin_with(is_server, 1);
}

static void finish(void)
{
    mr_memif_relay_stop(world.relay);
    CU_ASSERT_EQUAL(world.turns % 2, 0);
    close(world.listener);
    unlink(world.peer);
    unlink(world.driver);
    CU_ASSERT_EQUAL(rmdir(world.folder), 0);
    CU_ASSERT_EQUAL(count_descriptors(), world.descriptors);
}

/* Wait for something to read; false: there is nothing. */
static bool has_news(int fd, int ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};

    return poll(&polled, 1, ms) == 1;
}

static int accept_from(int listener)
{
    CU_ASSERT_TRUE_FATAL(has_news(listener, WAIT_MS));
    return accept(listener, NULL, NULL);
}

/* Say it with `count` numbers of 16 bits from an offset on. */
static void say_numbers(int fd, uint16_t type, uint32_t offset, uint32_t count,
                        const uint16_t *numbers)
{
    uint8_t bytes[BYTES] = {0};

    memcpy(bytes, &type, sizeof(type));
    memcpy(bytes + offset, numbers, count * sizeof(numbers[0]));
    bytes[BYTES - 1] = (uint8_t)(type + 100);
    CU_ASSERT_EQUAL(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL), BYTES);
}

static void say(int fd, uint16_t type, int passed)
{
    uint8_t bytes[BYTES] = {0};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    memcpy(bytes, &type, sizeof(type));
    bytes[BYTES - 1] = (uint8_t)(type + 100);
    if (passed >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &passed, sizeof(int));
    }
    CU_ASSERT_EQUAL(sendmsg(fd, &header, MSG_NOSIGNAL), BYTES);
}

/* The type of the next message, 0 at the end, and the descriptor that came along, or -1. */
static uint16_t hear(int fd, int *passed_out)
{
    uint8_t bytes[BYTES + 1];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
    uint16_t type;

    *passed_out = -1;
    CU_ASSERT_TRUE_FATAL(has_news(fd, WAIT_MS));
    ssize_t size = recvmsg(fd, &header, 0);
    if (size <= 0)
        return 0;
    CU_ASSERT_EQUAL_FATAL(size, BYTES);
    memcpy(&type, bytes, sizeof(type));
    CU_ASSERT_EQUAL(bytes[BYTES - 1], (uint8_t)(type + 100));
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);
    if (c != NULL)
        memcpy(passed_out, CMSG_DATA(c), sizeof(int));
    return type;
}

/* One message crosses, without a descriptor. */
static void cross(int from, int to, uint16_t type)
{
    int passed;

    say(from, type, -1);
    CU_ASSERT_EQUAL(hear(to, &passed), type);
    CU_ASSERT_EQUAL(passed, -1);
}

/* A ring crosses. */
static void add_ring(int from, int to, uint16_t index, bool is_to_server)
{
    const uint16_t numbers[] = {is_to_server, index};
    int passed;

    say_numbers(from, ADD_RING, 2, 2, numbers);
    CU_ASSERT_EQUAL(hear(to, &passed), ADD_RING);
}

/* Hear that there will be no connection, and why. */
static void check_reason(int fd, const char *reason)
{
    uint8_t bytes[BYTES];
    uint16_t type;

    CU_ASSERT_TRUE_FATAL(has_news(fd, WAIT_MS));
    CU_ASSERT_EQUAL_FATAL(recv(fd, bytes, sizeof(bytes), 0), BYTES);
    memcpy(&type, bytes, sizeof(type));
    CU_ASSERT_EQUAL(type, DISCONNECT);
    CU_ASSERT_STRING_EQUAL((const char *)bytes + 6, reason);
}

static void check_end(int fd)
{
    int passed;

    CU_ASSERT_EQUAL(hear(fd, &passed), 0);
    close(fd);
}

/* A server's driver and one who has connected to it. */
struct ends {
    int peer;
    int driver;
};

static struct ends connect_ends(void)
{
    struct ends ends = {.peer = connect_to(world.peer)};

    ends.driver = accept_from(world.listener);
    return ends;
}

static struct ends join_ends(void)
{
    struct ends ends = connect_ends();

    cross(ends.driver, ends.peer, HELLO);
    CU_ASSERT_FALSE(mr_port_gate_is_open(&world.gate));
    cross(ends.driver, ends.peer, CONNECTED);
    CU_ASSERT_TRUE(mr_port_gate_is_open(&world.gate));
    return ends;
}

static void check_closed_within(int ms)
{
    for (; ms > 0 && mr_port_gate_is_open(&world.gate); ms--)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    CU_ASSERT_FALSE(mr_port_gate_is_open(&world.gate));
}

/* ---- tests ---- */

static void words_cross_both_ways_with_descriptors(void)
{
    struct stat mine;
    struct stat theirs;
    int passed;

    begin(true);
    struct ends ends = connect_ends();
    cross(ends.driver, ends.peer, HELLO);
    cross(ends.peer, ends.driver, INIT);
    say(ends.peer, ADD_REGION, world.listener);
    CU_ASSERT_EQUAL(hear(ends.driver, &passed), ADD_REGION);
    CU_ASSERT_EQUAL(fstat(world.listener, &mine), 0);
    CU_ASSERT_EQUAL(fstat(passed, &theirs), 0);
    CU_ASSERT_EQUAL(mine.st_ino, theirs.st_ino);
    close(passed);
    cross(ends.driver, ends.peer, DISCONNECT);
    close(ends.driver);
    check_end(ends.peer);
    finish();
}

static void the_gate_is_closed_before_the_driver_hears_the_end(void)
{
    begin(true);
    struct ends ends = join_ends();
    CU_ASSERT_TRUE(mr_port_gate_enter(&world.gate, 3)); /* an lcore is inside */
    close(ends.peer);
    check_closed_within(WAIT_MS);
    CU_ASSERT_FALSE(has_news(ends.driver, 50));
    mr_port_gate_leave(&world.gate, 3);
    check_end(ends.driver);
    finish();
}

static void a_word_after_connected_is_the_end(void)
{
    begin(true);
    struct ends ends = join_ends();
    say(ends.peer, DISCONNECT, -1);
    check_end(ends.driver);
    CU_ASSERT_FALSE(mr_port_gate_is_open(&world.gate));
    check_end(ends.peer);
    finish();
}

static void the_other_side_hears_the_end_when_the_driver_is_done(void)
{
    int passed;

    begin(true);
    struct ends ends = join_ends();
    say(ends.peer, DISCONNECT, -1);
    CU_ASSERT_EQUAL(hear(ends.driver, &passed), 0);
    CU_ASSERT_FALSE(has_news(ends.peer, 50));
    close(ends.driver);
    check_end(ends.peer);
    finish();
}

static void who_leaves_at_once_is_greeted_by_the_driver(void)
{
    begin(true);
    close(connect_to(world.peer));
    int driver = accept_from(world.listener);
    (void)has_news(driver, 50); /* time for the relay to see that it left */
    say(driver, HELLO, -1);     /* succeeds */
    check_end(driver);
    struct ends ends = join_ends();
    close(ends.peer);
    check_end(ends.driver);
    finish();
}

static void what_is_no_message_ends_a_connection(void)
{
    static const uint8_t more[BYTES + 1];

    begin(true);
    for (int i = 0; i < 2; i++) {
        struct ends ends = connect_ends();
        size_t size = i == 0 ? BYTES - 1 : BYTES + 1;

        CU_ASSERT_EQUAL(send(ends.peer, more, size, 0), (ssize_t)size);
        check_end(ends.driver);
        check_end(ends.peer);
    }
    finish();
}

static void a_second_connection_leaves_the_first_alone(void)
{
    begin(true);
    struct ends first = join_ends();
    struct ends second = connect_ends();
    cross(second.driver, second.peer, HELLO);
    close(second.peer);
    check_end(second.driver);
    CU_ASSERT_TRUE(mr_port_gate_is_open(&world.gate));
    close(first.peer);
    check_end(first.driver);
    CU_ASSERT_FALSE(mr_port_gate_is_open(&world.gate));
    first = join_ends(); /* another time */
    close(first.peer);
    check_end(first.driver);
    finish();
}

/* Descriptors do not run out, nor links, of which there are 8. */
static void connections_may_follow_each_other(void)
{
    begin(true);
    for (int i = 0; i < 50; i++) {
        struct ends ends = connect_ends();

        close(ends.peer);
        check_end(ends.driver);
    }
    finish();
}

static void a_clients_gate_opens_when_the_driver_has_mapped(void)
{
    begin(false);
    int driver = connect_to(world.driver);
    int peer = accept_from(world.listener);
    cross(peer, driver, HELLO);
    cross(driver, peer, INIT);
    cross(peer, driver, CONNECTED);
    (void)has_news(driver, 20);
    CU_ASSERT_FALSE(mr_port_gate_is_open(&world.gate));
    world.is_mapped = true;
    for (int ms = 0; ms < WAIT_MS && !mr_port_gate_is_open(&world.gate); ms++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    CU_ASSERT_TRUE(mr_port_gate_is_open(&world.gate));
    close(peer);
    check_end(driver);
    CU_ASSERT_FALSE(mr_port_gate_is_open(&world.gate));
    finish();
}

static void a_driver_that_hangs_up_ends_the_connection(void)
{
    begin(false);
    int driver = connect_to(world.driver);
    int peer = accept_from(world.listener);
    CU_ASSERT_NOT_EQUAL(access(world.driver, F_OK), 0); /* a client's driver comes once */
    cross(peer, driver, HELLO);
    close(driver);
    check_end(peer);
    finish();
}

static void *hang_up_late(void *argument)
{
    int driver = *(const int *)argument;
    int passed;

    CU_ASSERT_EQUAL(hear(driver, &passed), 0);
    (void)nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    world.is_mapped = false; /* the driver has taken all apart */
    close(driver);
    return NULL;
}

static void stopping_waits_for_the_driver(void)
{
    pthread_t thread;

    begin(true);
    struct ends ends = join_ends();
    world.is_mapped = true;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, hang_up_late, &ends.driver), 0);
    mr_memif_relay_stop(world.relay);
    CU_ASSERT_FALSE(world.is_mapped);
    CU_ASSERT_FALSE(mr_port_gate_is_open(&world.gate));
    CU_ASSERT_NOT_EQUAL(access(world.peer, F_OK), 0);
    pthread_join(thread, NULL);
    check_end(ends.peer);
    world.relay = NULL;
    finish();
}

static void a_socket_that_cannot_be_made_is_told(void)
{
    struct mr_fault fault = {0};

    begin(true);
    CU_ASSERT_PTR_NULL(start(true, &fault)); /* the first one listens there */
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, world.peer));
    CU_ASSERT_EQUAL(access(world.peer, F_OK), 0);
    finish();
}

/* All that the driver needs for `queues` queues, and what it is asked then. */
static struct ends offer(uint16_t queues)
{
    struct ends ends = connect_ends();

    cross(ends.driver, ends.peer, HELLO);
    cross(ends.peer, ends.driver, INIT);
    for (uint16_t i = 0; i < queues; i++) {
        add_ring(ends.peer, ends.driver, i, true);
        add_ring(ends.peer, ends.driver, i, false);
    }
    return ends;
}

static void check_refused(struct ends ends, const char *reason)
{
    check_end(ends.driver); /* without having been asked to connect */
    check_reason(ends.peer, reason);
    check_end(ends.peer);
    CU_ASSERT_FALSE(mr_port_gate_is_open(&world.gate));
}

static void a_client_with_fewer_queues_is_refused(void)
{
    begin_with(true, 2);
    struct ends ends = offer(2);
    cross(ends.peer, ends.driver, CONNECT);
    cross(ends.driver, ends.peer, CONNECTED);
    close(ends.peer);
    check_end(ends.driver);
    for (int i = 0; i < 2; i++) {
        ends = offer(1);
        add_ring(ends.peer, ends.driver, i == 0, i == 1); /* half of a queue; one twice */
        say(ends.peer, CONNECT, -1);
        check_refused(ends, "the client has 1 queue, the server 2");
    }
    ends = offer(0);
    say(ends.peer, CONNECT, -1);
    check_refused(ends, "the client has 0 queues, the server 2");
    finish();
}

static void a_client_with_more_queues_is_refused(void)
{
    static const uint16_t rings[][2] = {{1, 2}, {0, 2}, {1, 64}, {0, UINT16_MAX}};

    begin_with(true, 2);
    for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
        struct ends ends = offer(2);

        say_numbers(ends.peer, ADD_RING, 2, 2, rings[i]);
        check_refused(ends, "the client has more queues than the server, which has 2");
    }
    finish();
}

static void as_many_queues_as_there_can_be_are_counted(void)
{
    begin_with(true, MR_PORT_GATE_QUEUES);
    struct ends ends = offer(MR_PORT_GATE_QUEUES);
    cross(ends.peer, ends.driver, CONNECT);
    cross(ends.driver, ends.peer, CONNECTED);
    CU_ASSERT_TRUE(mr_port_gate_is_open(&world.gate));
    close(ends.peer);
    check_end(ends.driver);
    finish();
}

static void check_refusal(const char *reason)
{
    const char *refusal = mr_memif_relay_refusal(world.relay);

    CU_ASSERT_PTR_NOT_NULL_FATAL(refusal);
    CU_ASSERT_STRING_EQUAL(refusal, reason);
}

static void a_client_knows_why_a_server_refuses_it(void)
{
    begin(false);
    int driver = connect_to(world.driver);
    int peer = accept_from(world.listener);
    CU_ASSERT_PTR_NULL(mr_memif_relay_refusal(world.relay));
    uint8_t bytes[BYTES] = {DISCONNECT};
    memset(bytes + 6, 'x', BYTES - 6); /* no end, and what nobody can print */
    memcpy(bytes + 6, "So \n\x80", 5);
    CU_ASSERT_EQUAL(send(peer, bytes, sizeof(bytes), 0), BYTES);
    CU_ASSERT_TRUE(has_news(driver, WAIT_MS));
    CU_ASSERT_EQUAL(recv(driver, bytes, sizeof(bytes), 0), BYTES);
    CU_ASSERT_EQUAL(bytes[0], DISCONNECT);
    char reason[96];
    memset(reason, 'x', sizeof(reason));
    memcpy(reason, "So ??", 5);
    reason[sizeof(reason) - 1] = '\0';
    check_refusal(reason);
    close(driver);
    check_end(peer);
    finish();
}

static void a_server_that_takes_fewer_queues_is_refused(void)
{
    static const uint16_t largest[][2] = {{2, 2}, {1, 2}, {2, 1}};
    int passed;

    for (size_t i = 0; i < sizeof(largest) / sizeof(largest[0]); i++) {
        begin_with(false, 3);
        int driver = connect_to(world.driver);
        int peer = accept_from(world.listener);

        say_numbers(peer, HELLO, 40, 2, largest[i]);
        if (i == 0) {
            CU_ASSERT_EQUAL(hear(driver, &passed), HELLO);
            CU_ASSERT_PTR_NULL(mr_memif_relay_refusal(world.relay));
            close(driver);
        } else {
            check_end(driver);
            check_reason(peer, "the server takes 2 queues, the client has 3");
            check_refusal("the server takes 2 queues, the client has 3");
        }
        check_end(peer);
        finish();
    }
}

static CU_TestInfo tests[] = {
    {"words cross both ways, with descriptors", words_cross_both_ways_with_descriptors},
    {"the gate is closed before the driver hears the end",
     the_gate_is_closed_before_the_driver_hears_the_end},
    {"a word after CONNECTED is the end", a_word_after_connected_is_the_end},
    {"the other side hears the end when the driver is done",
     the_other_side_hears_the_end_when_the_driver_is_done},
    {"who leaves at once is greeted by the driver", who_leaves_at_once_is_greeted_by_the_driver},
    {"what is no message ends a connection", what_is_no_message_ends_a_connection},
    {"a second connection leaves the first alone", a_second_connection_leaves_the_first_alone},
    {"connections may follow each other", connections_may_follow_each_other},
    {"a client's gate opens when the driver has mapped",
     a_clients_gate_opens_when_the_driver_has_mapped},
    {"a driver that hangs up ends the connection", a_driver_that_hangs_up_ends_the_connection},
    {"stopping waits for the driver", stopping_waits_for_the_driver},
    {"a client with fewer queues is refused", a_client_with_fewer_queues_is_refused},
    {"a client with more queues is refused", a_client_with_more_queues_is_refused},
    {"as many queues as there can be are counted", as_many_queues_as_there_can_be_are_counted},
    {"a client knows why a server refuses it", a_client_knows_why_a_server_refuses_it},
    {"a server that takes fewer queues is refused", a_server_that_takes_fewer_queues_is_refused},
    {"a socket that cannot be made is told", a_socket_that_cannot_be_made_is_told},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "drivers/memif_relay", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
