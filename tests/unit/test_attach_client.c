/* Tests of mr_attach(): a datapath's control socket, played by a thread that says what it is told
 * to. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/attach_internal.h"
#include "tests/unit/harness.h"

/* What the datapath does wrong. */
enum fault_kind {
    NOTHING,
    REFUSES,
    OTHER_VERSION,
    NO_MAGIC,
    HANGS_UP,
    HANGS_UP_LATER,
    SAYS_SOMETHING_ELSE,
    NO_WAKE_SOCKET,
    NO_RINGS,
    TOO_MANY_RINGS,
    NO_REGION,
    SMALL_REGION,
    SPOILT_REGION,
    SHORT_MESSAGE,
    REFUSES_AT_LAST,
    HANGS_UP_AT_LAST
};

static struct {
    char path[64];
    enum fault_kind fault;
    int listener;
    int wake;         /* its end */
    int conn;         /* of the attached application */
    uint8_t *maps[2]; /* the regions as it sees them */
    uint32_t map_count;
    bool is_joined;
    struct mr_message_attach wish;
    useconds_t late_us; /* it starts so late */
    pthread_t thread;
} dp;

static const struct mr_ring_sizes sizes = {.submit_count = 16,
                                           .complete_count = 16,
                                           .slot_size = 1024,
                                           .slot_count = 8,
                                           .send_bytes = 65536,
                                           .alias_count = 9,
                                           .sends_max = 10,
                                           .objects_max = 11};

static struct mr_message head_of(uint16_t type, size_t size)
{
    return (struct mr_message){.magic = dp.fault == NO_MAGIC ? 1 : MR_ATTACH_MAGIC,
                               .version = dp.fault == OTHER_VERSION ? 9 : MR_ATTACH_VERSION,
                               .type = type,
                               .size = (uint32_t)size};
}

static void say(const void *message, size_t size, int fd)
{
    union {
        struct cmsghdr head;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec bytes = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
    struct msghdr out = {.msg_iov = &bytes, .msg_iovlen = 1};

    if (fd >= 0) {
        out.msg_control = control.bytes;
        out.msg_controllen = sizeof(control);
        control.head = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    }
    (void)sendmsg(dp.conn, &out, MSG_NOSIGNAL);
}

static void say_attached(void)
{
    struct mr_message_attached attached = {
        .head = head_of(dp.fault == SAYS_SOMETHING_ELSE ? MR_MESSAGE_RESULT : MR_MESSAGE_ATTACHED,
                        sizeof(attached)),
        .ring_count = dp.fault == NO_RINGS         ? 0
                      : dp.fault == TOO_MANY_RINGS ? 65
                                                   : 2,
        .listener_count = 1,
        .attachment = 123};
    int wakes[2];

    MR_ASSERT(socketpair(AF_UNIX, SOCK_STREAM, 0, wakes) == 0);
    dp.wake = wakes[0];
    say(&attached, sizeof(attached) - (dp.fault == SHORT_MESSAGE ? 8 : 0),
        dp.fault == NO_WAKE_SOCKET ? -1 : wakes[1]);
    close(wakes[1]);
}

static void say_ring(uint32_t shard)
{
    uint64_t size = mr_ring_region_size(&sizes);
    struct mr_message_ring ring = {
        .head = head_of(MR_MESSAGE_RING, sizeof(ring)), .shard = shard, .size = size};
    struct mr_ring_region region;
    int fd = memfd_create("region", 0);

    MR_ASSERT(ftruncate(fd, (off_t)size - (dp.fault == SMALL_REGION ? 4096 : 0)) == 0);
    uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MR_ASSERT(map != MAP_FAILED);
    dp.maps[dp.map_count++] = map;
    mr_ring_region_make(&region, map, &sizes, shard);
    if (dp.fault == SPOILT_REGION)
        ((struct mr_ring_header *)(void *)map)->receive_at++;
    say(&ring, sizeof(ring), dp.fault == NO_REGION ? -1 : fd);
    close(fd);
}

static void answer_mapped(const struct mr_message_refused *refused)
{
    struct mr_message ready = head_of(MR_MESSAGE_READY, sizeof(ready));
    struct mr_message mapped;

    if (recv(dp.conn, &mapped, sizeof(mapped), 0) != (ssize_t)sizeof(mapped))
        return; /* it did not like something */
    MR_ASSERT(mapped.type == MR_MESSAGE_MAPPED);
    if (dp.fault == REFUSES_AT_LAST)
        say(refused, sizeof(*refused), -1);
    else if (dp.fault != HANGS_UP_AT_LAST)
        say(&ready, sizeof(ready), -1);
}

static void answer(void)
{
    struct mr_message_refused refused = {.head = head_of(MR_MESSAGE_REFUSED, sizeof(refused)),
                                         .error = ENOSPC,
                                         .why = "all rings are in use"};
    struct mr_message_listener listener = {.head = head_of(MR_MESSAGE_LISTENER, sizeof(listener)),
                                           .number = 17,
                                           .port = 443,
                                           .name = "web",
                                           .alpn = "h3"};

    if (dp.fault == HANGS_UP)
        return;
    if (dp.fault == REFUSES) {
        say(&refused, sizeof(refused), -1);
        return;
    }
    say_attached();
    if (dp.fault == HANGS_UP_LATER)
        return;
    say_ring(3);
    say_ring(5);
    say(&listener, sizeof(listener), -1);
    answer_mapped(&refused);
}

static void listen_now(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strcpy(address.sun_path, dp.path);
    dp.listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    MR_ASSERT(bind(dp.listener, (struct sockaddr *)(void *)&address, sizeof(address)) == 0);
    MR_ASSERT(listen(dp.listener, 4) == 0);
}

static void *serve(void *argument)
{
    (void)argument;
    if (dp.late_us > 0) {
        usleep(dp.late_us);
        listen_now();
    }
    for (;;) { /* one that says nothing is left alone */
        dp.conn = accept(dp.listener, NULL, NULL);
        if (recv(dp.conn, &dp.wish, sizeof(dp.wish), 0) == (ssize_t)sizeof(dp.wish))
            break;
        close(dp.conn);
    }
    answer();
    if (dp.fault != NOTHING) {
        close(dp.conn);
        dp.conn = -1;
    }
    return NULL;
}

static void start(enum fault_kind fault, useconds_t late_us)
{
    memset(&dp, 0, sizeof(dp));
    dp.wake = -1;
    dp.fault = fault;
    dp.late_us = late_us;
    strcpy(dp.path, "/tmp/mr-attach-XXXXXX");
    MR_ASSERT(mkdtemp(dp.path) != NULL);
    strcat(dp.path, "/control");
    if (late_us == 0)
        listen_now();
    MR_ASSERT(pthread_create(&dp.thread, NULL, serve, NULL) == 0);
}

static void finish(void)
{
    if (!dp.is_joined)
        pthread_join(dp.thread, NULL);
    for (uint32_t i = 0; i < dp.map_count; i++)
        munmap(dp.maps[i], mr_ring_region_size(&sizes));
    close(dp.listener);
    if (dp.wake >= 0)
        close(dp.wake);
    if (dp.conn >= 0)
        close(dp.conn);
    unlink(dp.path);
    *strrchr(dp.path, '/') = '\0';
    rmdir(dp.path);
}

static uint32_t open_descriptors(void)
{
    uint32_t count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void an_application_attaches(void)
{
    struct mr_attach_config config = {.control = dp.path,
                                      .name = "shop",
                                      .shards = 5,
                                      .submit_count = 16,
                                      .slot_size = 1024,
                                      .send_bytes = 65536};
    struct mr_attachment *a = NULL;
    struct mr_error error = {{0}};

    start(NOTHING, 0);
    CU_ASSERT_EQUAL_FATAL(mr_attach(&config, &a, &error), 0);
    CU_ASSERT_STRING_EQUAL(error.text, "");
    pthread_join(dp.thread, NULL);
    dp.is_joined = true;
    CU_ASSERT_STRING_EQUAL(dp.wish.name, "shop");
    CU_ASSERT_EQUAL(dp.wish.shards, 5);
    CU_ASSERT_EQUAL(dp.wish.submit_count, 16);
    CU_ASSERT_EQUAL(dp.wish.slot_size, 1024);
    CU_ASSERT_EQUAL(dp.wish.send_bytes, 65536);
    CU_ASSERT_EQUAL(dp.wish.flags, 0);
    CU_ASSERT_EQUAL(mr_attach_ring_count(a), 2);
    CU_ASSERT_EQUAL(mr_ring_shard(mr_attach_ring(a, 0)), 3);
    CU_ASSERT_EQUAL(mr_ring_shard(mr_attach_ring(a, 1)), 5);
    CU_ASSERT_EQUAL(mr_ring_objects_max(mr_attach_ring(a, 1)), 11);
    CU_ASSERT_EQUAL(mr_attach_listener(a, "web"), 17);
    CU_ASSERT_EQUAL(mr_attach_listener(a, "mail"), -ENOENT);
    CU_ASSERT(mr_attach_is_alive(a));

    /* it is the same memory */
    struct mr_sqe *sqe = mr_ring_sqe(mr_attach_ring(a, 1));
    sqe->user_data = 4711;
    CU_ASSERT_EQUAL(((struct mr_sqe *)(void *)(dp.maps[1] + MR_RING_HEADER))->user_data, 4711);
    close(dp.conn);
    CU_ASSERT(!mr_attach_is_alive(a));
    CU_ASSERT_EQUAL(mr_attach_wait(a, UINT64_MAX), -ENOTCONN);
    dp.conn = -1;
    mr_detach(a);
    finish();
}

/* What the datapath says before it hangs up; NULL: nothing. */
static void check_last_words(int number, const char *why, enum mr_datapath_state wanted)
{
    struct mr_attach_config config = {.control = dp.path, .name = "shop"};
    struct mr_message_refused refused = {.error = number};
    struct mr_attachment *a = NULL;
    struct mr_error told;

    start(NOTHING, 0);
    CU_ASSERT_EQUAL_FATAL(mr_attach(&config, &a, NULL), 0);
    pthread_join(dp.thread, NULL);
    dp.is_joined = true;
    CU_ASSERT_EQUAL(mr_attach_state(a, &told), MR_DATAPATH_THERE);
    CU_ASSERT_STRING_EQUAL(told.text, "");
    refused.head = head_of(MR_MESSAGE_REFUSED, sizeof(refused));
    snprintf(refused.why, sizeof(refused.why), "%s", why == NULL ? "" : why);
    if (why != NULL)
        say(&refused, sizeof(refused), -1);
    close(dp.conn);
    dp.conn = -1;
    CU_ASSERT_EQUAL(mr_attach_wait(a, UINT64_MAX), -ENOTCONN);
    for (int i = 0; i < 2; i++) { /* as often as it is asked */
        CU_ASSERT_EQUAL(mr_attach_state(a, &told), wanted);
        CU_ASSERT_STRING_EQUAL(told.text, why == NULL ? "the datapath is gone" : why);
    }
    CU_ASSERT_EQUAL(mr_attach_state(a, NULL), wanted);
    mr_detach(a);
    finish();
}

static void why_the_datapath_lets_go_is_told(void)
{
    check_last_words(ESHUTDOWN, "the datapath ends", MR_DATAPATH_DRAINED);
    check_last_words(ECONNABORTED, "detached by the operator", MR_DATAPATH_DETACHED);
    check_last_words(EPROTO, "shard 0 let go of the ring", MR_DATAPATH_DETACHED);
    check_last_words(0, NULL, MR_DATAPATH_GONE);
}

/* So that rings of the shard's node can come first. */
static void the_node_of_the_thread_is_said(void)
{
    struct mr_attach_config config = {.control = dp.path, .name = "shop"};
    struct mr_attachment *a = NULL;
    cpu_set_t before;
    cpu_set_t one;
    unsigned cpu;
    unsigned node;

    CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(before), &before), 0);
    CU_ASSERT_EQUAL_FATAL(getcpu(&cpu, NULL), 0);
    CPU_ZERO(&one);
    CPU_SET(cpu, &one); /* it does not move meanwhile */
    CU_ASSERT_EQUAL_FATAL(sched_setaffinity(0, sizeof(one), &one), 0);
    CU_ASSERT_EQUAL_FATAL(getcpu(NULL, &node), 0);
    start(NOTHING, 0);
    CU_ASSERT_EQUAL_FATAL(mr_attach(&config, &a, NULL), 0);
    pthread_join(dp.thread, NULL);
    dp.is_joined = true;
    CU_ASSERT_EQUAL(dp.wish.node, node + 1);
    mr_detach(a);
    finish();
    sched_setaffinity(0, sizeof(before), &before);
}

static void whatever_goes_wrong_is_said(void)
{
    static const struct {
        enum fault_kind fault;
        int error;
        const char *says;
    } cases[] = {
        {REFUSES, -ENOSPC, "all rings are in use"},
        {OTHER_VERSION, -EPROTO, "version 9"},
        {NO_MAGIC, -EPROTO, "not millrace"},
        {HANGS_UP, -ECONNRESET, "ended the connection"},
        {HANGS_UP_LATER, -ECONNRESET, "ended the connection"},
        {SAYS_SOMETHING_ELSE, -EPROTO, "was due"},
        {NO_WAKE_SOCKET, -EPROTO, "no wake socket"},
        {NO_RINGS, -EPROTO, "0 rings"},
        {TOO_MANY_RINGS, -EPROTO, "65 rings"},
        {NO_REGION, -EPROTO, "smaller"},
        {SMALL_REGION, -EPROTO, "smaller"},
        {SPOILT_REGION, -EPROTO, "contradicts"},
        {SHORT_MESSAGE, -EPROTO, "was due"},
        {REFUSES_AT_LAST, -ENOSPC, "all rings are in use"},
        {HANGS_UP_AT_LAST, -ECONNRESET, "ended the connection"},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_attachment *a = NULL;
        struct mr_error error = {{0}};
        uint32_t before = open_descriptors();

        start(cases[i].fault, 0);
        int result = mr_attach(&(struct mr_attach_config){.control = dp.path}, &a, &error);
        CU_ASSERT_EQUAL(result, cases[i].error);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, cases[i].says));
        if (result != cases[i].error || strstr(error.text, cases[i].says) == NULL)
            printf("# case %zu: %d %s\n", i, result, error.text);
        finish();
        CU_ASSERT_EQUAL(open_descriptors(), before); /* nothing leaks */
    }
}

static void no_datapath_is_a_clear_answer(void)
{
    struct mr_attachment *a;
    struct mr_error error;
    char name[64];
    char path[300];

    CU_ASSERT_EQUAL(
        mr_attach(&(struct mr_attach_config){.control = "/tmp/mr-there-is-none"}, &a, &error),
        -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "/tmp/mr-there-is-none"));
    CU_ASSERT_EQUAL(
        mr_attach(&(struct mr_attach_config){.control = "/tmp/mr-there-is-none"}, &a, NULL),
        -ENOENT);
    setenv("MILLRACE_CONTROL", "/tmp/mr-neither", 1);
    CU_ASSERT_EQUAL(mr_attach(&(struct mr_attach_config){0}, &a, &error), -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "/tmp/mr-neither"));
    unsetenv("MILLRACE_CONTROL");
    memset(path, 'a', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    CU_ASSERT_EQUAL(mr_attach(&(struct mr_attach_config){.control = path}, &a, &error),
                    -ENAMETOOLONG);
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    start(HANGS_UP, 0);
    CU_ASSERT_EQUAL(
        mr_attach(&(struct mr_attach_config){.control = dp.path, .name = name}, &a, &error),
        -EINVAL);
    CU_ASSERT_EQUAL(mr_attach(&(struct mr_attach_config){.control = dp.path}, &a, &error),
                    -ECONNRESET);
    finish();
}

static void patience_waits_for_a_datapath_to_come_up(void)
{
    struct mr_attachment *a = NULL;
    struct mr_error error;

    start(REFUSES, 120000);
    CU_ASSERT_EQUAL(mr_attach(&(struct mr_attach_config){.control = dp.path,
                                                         .patience_ns = UINT64_C(5000000000)},
                              &a, &error),
                    -ENOSPC);
    finish();
    CU_ASSERT_EQUAL(mr_attach(&(struct mr_attach_config){.control = "/tmp/mr-there-is-none",
                                                         .patience_ns = 100000000},
                              &a, &error),
                    -ENOENT);
}

static uint32_t waits;
static char waits_for[256];

static void on_wait(void *context, const char *why)
{
    CU_ASSERT_PTR_EQUAL(context, &waits);
    waits++;
    snprintf(waits_for, sizeof(waits_for), "%s", why);
}

/* After a second, once; what cannot become a datapath's socket is not waited for. */
static void who_waits_is_told_for_what(void)
{
    struct mr_attachment *a = NULL;
    struct mr_error error;
    struct mr_attach_config config = {.control = "/tmp/mr-there-is-none",
                                      .patience_ns = UINT64_C(1300000000),
                                      .on_wait = on_wait,
                                      .wait_context = &waits};
    char path[] = "/tmp/mr-no-socket-XXXXXX";

    waits = 0;
    CU_ASSERT_EQUAL(mr_attach(&config, &a, &error), -ENOENT);
    CU_ASSERT_EQUAL(waits, 1);
    CU_ASSERT_STRING_EQUAL(waits_for, error.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(waits_for, "/tmp/mr-there-is-none: there is no such socket; "));
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
    config.control = path;
    config.patience_ns = UINT64_C(60000000000);
    CU_ASSERT_EQUAL(mr_attach(&config, &a, &error), -ENOTSOCK);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "that is no datapath's control socket; name the"));
    CU_ASSERT_EQUAL(waits, 1);
    unlink(path);
}

static CU_TestInfo tests[] = {
    {"B13 an application attaches over the control socket", an_application_attaches},
    {"why the datapath lets go is told", why_the_datapath_lets_go_is_told},
    {"the node of the thread is said", the_node_of_the_thread_is_said},
    {"whatever goes wrong is said", whatever_goes_wrong_is_said},
    {"no datapath is a clear answer", no_datapath_is_a_clear_answer},
    {"patience waits for a datapath to come up", patience_waits_for_a_datapath_to_come_up},
    {"who waits is told for what", who_waits_is_told_for_what},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/attach", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
