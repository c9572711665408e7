/* Tests of the control socket with the real dataplane/app_host.h behind it: processes of their own
 * serve connections over shared memory. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/control.h"
#include "tests/support/app_side.h"
#include "tests/support/control_side.h"
#include "tests/support/loop_transport.h"
#include "tests/unit/harness.h"

enum {
    SERVERS = 3,
    CONNS = 6,
    SIZE = 40000, /* of what a stream carries there and back */
};

#define MS         UINT64_C(1000000)
#define PATIENCE   (20000 * MS)
#define DEATH_CODE 73

/* A client's connection with one stream. */
struct conn {
    uint64_t handle;
    uint64_t stream;
    uint32_t received;
    uint32_t bad;
    bool has_fin;
    bool is_closed;
    uint64_t closed_code;
};

static char directory[] = "/tmp/mr-attach-XXXXXX";
static char path[64];
static struct mr_app_host *hosts[2]; /* shards 0 and 1: the client's end and the server's */
static struct loop *loop;
static struct mr_control *control;
static struct control_side client;
static struct app_side app; /* its ring, for the helpers of app_side.h */
static struct conn conns[CONNS];
static uint32_t conn_count;
static pid_t servers[SERVERS];

/* ------------------------------------------------------------------ a server process */

static void submit(struct control_ring *ring, const struct mr_sqe *sqe)
{
    struct mr_sqe *place = mr_outbox_next(&ring->submissions);

    if (place == NULL) /* the shard is the test's one thread, and takes them soon */
        _exit(3);
    *place = *sqe;
    mr_outbox_publish(&ring->submissions);
}

/* Send back out of the send area what came in a slot, which is given back when that is done. */
static void echo(struct control_ring *ring, const struct mr_cqe *cqe)
{
    struct mr_ring_region *region = &ring->region;
    uint64_t offset = cqe->size > 0 ? cqe->address - region->receive_at : 0;

    if (cqe->size > 0)
        memcpy(region->base + region->send_at + offset, region->base + cqe->address, cqe->size);
    submit(ring, &(struct mr_sqe){.op = MR_OP_SEND,
                                  .flags = (cqe->flags & MR_CQE_FIN) != 0 ? MR_SQE_FIN : 0,
                                  .handle = cqe->stream,
                                  .address = region->send_at + offset,
                                  .size = cqe->size,
                                  .user_data = cqe->size > 0 ? cqe->address : 0});
}

static void serve(struct control_side *side, struct control_ring *ring)
{
    struct mr_cqe cqe;
    char bytes[16];

    for (;;) {
        while (mr_inbox_take(&ring->completions, &cqe)) {
            mr_inbox_done(&ring->completions);
            if (cqe.type == MR_CQE_GONE)
                _exit(0);
            if (cqe.type == MR_CQE_DATA)
                echo(ring, &cqe);
            else if (cqe.type == MR_CQE_DONE && cqe.op == MR_OP_SEND && cqe.user_data != 0)
                submit(ring, &(struct mr_sqe){.op = MR_OP_RELEASE,
                                              .flags = MR_SQE_QUIET,
                                              .address = cqe.user_data});
        }
        if (ring->completions.is_broken)
            _exit(4);
        if (!mr_inbox_may_sleep(&ring->completions, ring->region.sleeps))
            continue;
        struct pollfd fds[2] = {{.fd = side->wake_fd, .events = POLLIN},
                                {.fd = side->fd, .events = POLLIN}};
        (void)poll(fds, 2, -1);
        mr_inbox_woke(ring->region.sleeps);
        (void)!recv(side->wake_fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (fds[1].revents != 0)
            _exit(0); /* the datapath is gone, or lets go of us */
    }
}

static pid_t start_server(void)
{
    struct mr_message_attach wish = control_side_wish("web");
    struct control_side side;
    pid_t child = fork();

    if (child != 0)
        return child;
    wish.shards = 2;
    if (control_side_connect(&side, path) != 0 || !control_side_say(&side, &wish, sizeof(wish)) ||
        control_side_attached(&side, 5000) != 0)
        _exit(1);
    submit(&side.ring[0],
           &(struct mr_sqe){
               .op = MR_OP_LISTEN, .flags = MR_SQE_QUIET, .value = MR_RING_EVERY, .address = 1});
    serve(&side, &side.ring[0]);
    _exit(2);
}

/* ------------------------------------------------------------------ the datapath */

static void turn(void)
{
    loop_step(loop);
    mr_app_host_check(hosts[0]);
    mr_app_host_check(hosts[1]);
    mr_control_poll(control, 0);
}

static uint32_t attachments(void)
{
    return mr_control_attachments_stats(control).attachments;
}

/* Go on until `is_it` is true; false: it does not come. */
static bool wait_until(bool (*is_it)(void))
{
    for (uint64_t end = mr_control_now() + PATIENCE; mr_control_now() < end;) {
        for (int i = 0; i < 20; i++)
            turn();
        if (is_it())
            return true;
        usleep(100); /* the others' turn, on few CPUs */
    }
    return false;
}

static bool all_listen(void)
{
    struct mr_app_ring_stats stats;
    uint32_t count = 0;

    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++) {
        if (mr_app_host_ring_state(hosts[1], i) != MR_APP_RING_ATTACHED)
            continue;
        mr_app_host_ring_stats(hosts[1], i, &stats);
        count += stats.submissions > 0;
    }
    return count == SERVERS;
}

static struct mr_ring_sizes sizes(void)
{
    struct mr_ring_sizes sizes = mr_ring_sizes_default();

    sizes.submit_count = sizes.complete_count = 256;
    sizes.slot_size = 1024;
    sizes.slot_count = 128;
    sizes.send_bytes = 1 << 20;
    return sizes;
}

static bool has_mapped(void)
{
    return control_side_map(&client, 0) == 0;
}

static bool has_client(void)
{
    return control_side_ready(&client, 0) == 0;
}

static void start(uint64_t seed)
{
    static const uint8_t key[16] = {1, 2, 3};
    struct mr_app_host_config host = mr_app_host_config_default();
    struct loop_config loop_config = loop_config_default(seed);
    struct mr_message_attach wish = control_side_wish("client");
    struct mr_handoff policy = {.listener_count = 1,
                                .listener = {{.name = "echo",
                                              .application = "web",
                                              .alpn = "echo",
                                              .policy = MR_HANDOFF_ROUND_ROBIN,
                                              .death = MR_DEATH_CLOSE,
                                              .refuse_code = 71,
                                              .death_code = DEATH_CODE}}};
    struct mr_fault fault = {0};

    memset(conns, 0, sizeof(conns));
    conn_count = 0;
    for (int i = 0; i < 2; i++)
        hosts[i] = mr_app_host_new(&host, key);
    loop_config.close_order = LOOP_STREAMS_FIRST;
    loop_config.refuse_percent = 0;
    loop = loop_new(&loop_config, mr_app_host_application(hosts[0]),
                    mr_app_host_application(hosts[1]));
    control = mr_control_open(
        &(struct mr_control_config){
            .socket = {.path = path},
            .attach = {.hosts = hosts, .host_count = 2, .allows_any = true, .sizes = sizes()}},
        &fault);
    CU_ASSERT_PTR_NOT_NULL_FATAL(control);
    CU_ASSERT_EQUAL(mr_control_set_policy(control, &policy, &fault), 0);
    for (int i = 0; i < SERVERS; i++)
        servers[i] = start_server();
    CU_ASSERT(wait_until(all_listen));

    CU_ASSERT_EQUAL(control_side_connect(&client, path), 0);
    wish.shards = 1;
    CU_ASSERT(control_side_say(&client, &wish, sizeof(wish)));
    CU_ASSERT_FATAL(wait_until(has_mapped));
    CU_ASSERT_FATAL(wait_until(has_client));
    memset(&app, 0, sizeof(app));
    app.region = client.ring[0].region;
    app.submissions = client.ring[0].submissions;
    app.completions = client.ring[0].completions;
}

static bool is_empty(void)
{
    return attachments() == 0;
}

static void stop(void)
{
    int status;

    control_side_close(&client);
    mr_control_detach_all(control, 0);
    CU_ASSERT(wait_until(is_empty));
    CU_ASSERT_EQUAL(mr_control_attachments_stats(control).region_bytes, 0);
    for (int i = 0; i < SERVERS; i++) {
        if (servers[i] == 0)
            continue;
        CU_ASSERT_EQUAL(waitpid(servers[i], &status, 0), servers[i]);
        CU_ASSERT_EQUAL(status, 0);
    }
    loop_free(loop);
    mr_control_close(control);
    for (int i = 0; i < 2; i++)
        mr_app_host_free(hosts[i]);
}

/* ------------------------------------------------------------------ the client */

static uint8_t byte_at(uint64_t conn, uint64_t offset)
{
    return (uint8_t)(conn * 7 + offset * 31 + offset / 253);
}

static struct conn *conn_of(uint64_t handle)
{
    for (uint32_t i = 0; i < conn_count; i++)
        if (conns[i].handle == handle)
            return &conns[i];
    return &conns[0];
}

static void on_data(const struct mr_cqe *cqe)
{
    struct conn *conn = conn_of(cqe->conn);
    const uint8_t *data = app_side_data(&app, cqe);

    conn->bad += cqe->value != conn->received;
    for (uint32_t i = 0; i < cqe->size; i++)
        conn->bad += data[i] != byte_at((uint64_t)(conn - conns), conn->received + i);
    conn->received += cqe->size;
    conn->has_fin |= (cqe->flags & MR_CQE_FIN) != 0;
    if (cqe->size > 0)
        app_side_release(&app, cqe);
}

static void on_client(const struct mr_cqe *cqe)
{
    if (cqe->type == MR_CQE_DATA)
        on_data(cqe);
    else if (cqe->type == MR_CQE_DONE && cqe->op == MR_OP_CONNECT)
        conns[conn_count++] = (struct conn){.handle = cqe->conn};
    else if (cqe->type == MR_CQE_DONE && cqe->op == MR_OP_OPEN)
        conns[cqe->user_data].stream = cqe->stream;
    else if (cqe->type == MR_CQE_EVENT && (cqe->kinds & MR_EVENT_CLOSED) != 0 && cqe->stream == 0) {
        conn_of(cqe->conn)->is_closed = true;
        conn_of(cqe->conn)->closed_code = cqe->value;
    }
}

static void take_completions(void)
{
    struct mr_cqe cqe;

    while (app_side_next(&app, &cqe))
        on_client(&cqe);
}

static bool all_have_connected(void)
{
    take_completions();
    return conn_count == CONNS;
}

static bool all_have_streams(void)
{
    take_completions();
    for (int i = 0; i < CONNS; i++)
        if (conns[i].stream == 0)
            return false;
    return true;
}

static bool all_are_done(void)
{
    take_completions();
    for (int i = 0; i < CONNS; i++)
        if (!conns[i].has_fin && !conns[i].is_closed)
            return false;
    return true;
}

static bool all_have_some(void)
{
    take_completions();
    for (int i = 0; i < CONNS; i++)
        if (conns[i].received == 0)
            return false;
    return true;
}

/* A connection after the other, so that each server gets its share; a stream on each. */
static void connect_all(void)
{
    for (int i = 0; i < CONNS; i++) {
        app_side_connect(&app, 0);
        for (int k = 0; k < 20; k++)
            turn();
    }
    CU_ASSERT_FATAL(wait_until(all_have_connected));
    for (uint64_t i = 0; i < CONNS; i++)
        app_side_submit(
            &app, &(struct mr_sqe){.op = MR_OP_OPEN, .handle = conns[i].handle, .user_data = i});
    CU_ASSERT_FATAL(wait_until(all_have_streams));
}

/* Send everything of every stream, or only its first part. */
static void send_all(uint32_t begin, uint32_t end)
{
    for (uint64_t i = 0; i < CONNS; i++) {
        uint64_t at = 4096 + i * SIZE;

        for (uint32_t k = begin; k < end; k++)
            app_side_bytes(&app, at)[k] = byte_at(i, k);
        app_side_send(&app, conns[i].stream, at + begin, end - begin, end == SIZE ? MR_SQE_FIN : 0,
                      0);
    }
}

/* ------------------------------------------------------------------ tests */

/* No broker is between them: a region of memory, and the wake socket. */
static void processes_of_their_own_serve_connections_over_shared_memory(void)
{
    struct mr_app_ring_stats stats;
    uint32_t served = 0;

    start(1);
    connect_all();
    send_all(0, SIZE);
    CU_ASSERT(wait_until(all_are_done));
    for (int i = 0; i < CONNS; i++) {
        CU_ASSERT_EQUAL(conns[i].received, SIZE);
        CU_ASSERT_EQUAL(conns[i].bad, 0);
    }
    for (uint32_t i = 0; i < SERVERS; i++) {
        mr_app_host_ring_stats(hosts[1], i, &stats);
        CU_ASSERT_EQUAL(stats.conns, CONNS / SERVERS);
        CU_ASSERT_EQUAL(stats.bytes_received, (uint64_t)SIZE * CONNS / SERVERS);
        served += stats.conns;
    }
    CU_ASSERT_EQUAL(served, CONNS);
    stop();
}

static bool one_is_less(void)
{
    take_completions();
    return attachments() == SERVERS; /* and the client */
}

static void a_killed_server_takes_its_own_connections_and_no_others_with_it(void)
{
    uint32_t closed = 0;

    start(2);
    connect_all();
    send_all(0, SIZE / 2);
    CU_ASSERT(wait_until(all_have_some));
    uint64_t bytes = mr_control_attachments_stats(control).region_bytes;
    uint64_t begin = mr_control_now();
    kill(servers[1], SIGKILL);
    CU_ASSERT(wait_until(one_is_less));
    CU_ASSERT(mr_control_now() - begin < 1000 * MS);
    CU_ASSERT_EQUAL(mr_control_attachments_stats(control).region_bytes,
                    bytes / (SERVERS + 1) * SERVERS);
    waitpid(servers[1], NULL, 0);
    servers[1] = 0;

    send_all(SIZE / 2, SIZE);
    CU_ASSERT(wait_until(all_are_done));
    for (int i = 0; i < CONNS; i++) {
        closed += conns[i].is_closed;
        CU_ASSERT_EQUAL(conns[i].bad, 0);
        CU_ASSERT_EQUAL(conns[i].is_closed ? DEATH_CODE : SIZE,
                        conns[i].is_closed ? conns[i].closed_code : conns[i].received);
    }
    CU_ASSERT_EQUAL(closed, CONNS / SERVERS);
    stop();
}

static int make_directory(void)
{
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/control", directory);
    return 0;
}

static int remove_directory(void)
{
    return rmdir(directory);
}

static CU_TestInfo tests[] = {
    {"B13 T22 processes of their own serve connections over shared memory",
     processes_of_their_own_serve_connections_over_shared_memory},
    {"a killed server takes its own connections, and no others, with it",
     a_killed_server_takes_its_own_connections_and_no_others_with_it},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/attach, dataplane/app_host",
     .pInitFunc = make_directory,
     .pCleanupFunc = remove_directory,
     .pTests = tests},
    CU_SUITE_INFO_NULL,
};
