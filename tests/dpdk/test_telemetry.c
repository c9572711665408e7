/* tests/dpdk/test_telemetry.c - the contract of control/telemetry.h, over DPDK's own socket. */
#include "control/telemetry.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/eal.h"
#include "control/group_datapath.h"
#include "drivers/wire.h"
#include "tests/dpdk/nobody.h"
#include "tests/unit/harness.h"

#define ANSWER_MAX 65536

static struct mr_group group;
static struct mr_group_set set = {.groups = {&group}, .count = 1};
static struct mr_port *other_end;

/* EAL with telemetry, and two shards on one end of a wire. */
static int start(void)
{
    static const uint8_t static_key[32];
    static struct mr_application applications[2];
    const struct mr_eal_config eal = {.worker_count = 2,
                                      .memory_mb = 256,
                                      .hugepages = MR_HUGEPAGES_OFF,
                                      .shares_cores = true,
                                      .has_telemetry = true};
    struct mr_wire_config wire = {.side = {{.queue_count = 2}, {.queue_count = 1}}};
    struct mr_port *ends[MR_WIRE_ENDS];
    struct mr_shard_stats stats = {0};
    struct mr_fault fault = {0};
    struct mr_group_config config = {
        .name = "tele",
        .shard_count = 2,
        .shard = {.payload_max = 1452,
                  .net = mr_net_config_default(),
                  .limits = mr_limits_for(4),
                  .local_port = 4433,
                  .polling = MR_POLLING_ADAPTIVE,
                  .keylog_fd = -1,
                  .endpoint = {.static_key = static_key,
                               .payload_max = 1452,
                               .idle_timeout_ns = MR_SECOND,
                               .stream_window_max = 65536,
                               .conn_window_max = 65536,
                               .streams_bidi_max = 1,
                               .streams_uni_max = 1}},
        .applications = applications,
    };

    applications[0] = applications[1] = nobody;
    mr_prefix_parse("198.18.0.1/15", &config.shard.net.self.address[0]);
    config.shard.net.self.address_count = 1;
    config.shard.net.path_count = 64;
    if (!mr_eal_start(&eal, &fault) || !mr_wire_open(&wire, ends, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        return 1;
    }
    other_end = ends[1];
    config.port = ends[0];
    if (!mr_group_make(&group, &config, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        return 1;
    }
    mr_group_launch(&group);
    for (; stats.loops < 10; usleep(1000))
        mr_group_stats(&group, &stats);
    mr_group_stop(&group, 0);
    mr_group_join(&group);
    return 0;
}

/* What DPDK answers; the caller puts it. */
static struct json_object *ask(const char *request)
{
    static char answer[ANSWER_MAX];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/dpdk_telemetry.v2",
             mr_eal_folder());
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(
        connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)), 0);
    CU_ASSERT_FATAL(recv(fd, answer, sizeof(answer), 0) > 0); /* how it greets */
    CU_ASSERT_EQUAL(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    ssize_t size = recv(fd, answer, sizeof(answer) - 1, 0);
    CU_ASSERT_FATAL(size > 0);
    answer[size] = '\0';
    close(fd);

    struct json_object *object = json_tokener_parse(answer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    return object;
}

/* The member at "command/group/name" of an answer; NULL: none. */
static struct json_object *get(struct json_object *answer, const char *command, const char *inner,
                               const char *name)
{
    struct json_object *object = NULL;

    if (!json_object_object_get_ex(answer, command, &object))
        return NULL;
    if (inner != NULL && !json_object_object_get_ex(object, inner, &object))
        return NULL;
    return name == NULL ? object : json_object_object_get_ex(object, name, &object) ? object : NULL;
}

static void counters_are_the_groups(void)
{
    struct mr_fault fault = {0};
    struct mr_net_counters net;
    struct mr_shard_stats stats;
    struct mr_counters quic;

    CU_ASSERT(mr_telemetry_add_groups(&set, &fault));
    mr_group_counters(&group, &quic);
    mr_group_net_counters(&group, &net);
    mr_group_stats(&group, &stats);
    struct json_object *answer = ask("/millrace/counters");

    for (size_t i = 0; i < MR_COUNTERS; i++) {
        struct json_object *value = get(answer, "/millrace/counters", "quic", mr_counter_name(i));

        CU_ASSERT_PTR_NOT_NULL_FATAL(value);
        CU_ASSERT_EQUAL(json_object_get_uint64(value), mr_counter_value(&quic, i));
    }
#define X(name, help)                                                                              \
    CU_ASSERT_PTR_NOT_NULL(get(answer, "/millrace/counters", "net", #name));                       \
    CU_ASSERT_EQUAL(json_object_get_uint64(get(answer, "/millrace/counters", "net", #name)),       \
                    net.name);
    MR_NET_COUNTERS(X)
#undef X
    CU_ASSERT(stats.loops > 0);
    CU_ASSERT_EQUAL(json_object_get_uint64(get(answer, "/millrace/counters", "shards", "loops")),
                    stats.loops);
    CU_ASSERT_PTR_NOT_NULL(get(answer, "/millrace/counters", "shards", "cycles_seal"));
    json_object_put(answer);
}

static void connections_are_by_shard(void)
{
    struct json_object *answer = ask("/millrace/conns");

    CU_ASSERT_PTR_NOT_NULL(get(answer, "/millrace/conns", NULL, "total"));
    CU_ASSERT_PTR_NOT_NULL(get(answer, "/millrace/conns", NULL, "shard1"));
    CU_ASSERT_PTR_NULL(get(answer, "/millrace/conns", NULL, "shard2"));
    json_object_put(answer);
}

static void answer_apps(void *argument, const char *parameters, struct mr_telemetry_answer *answer)
{
    mr_telemetry_text(answer, "asked", parameters);
    mr_telemetry_begin(answer, "kv");
    mr_telemetry_number(answer, "rings", *(const uint64_t *)argument);
    mr_telemetry_end(answer);
}

static void other_commands_can_be_added(void)
{
    uint64_t rings = UINT64_MAX;
    const struct mr_telemetry_command apps = {.name = "/millrace/apps",
                                              .help = "Applications",
                                              .answer = answer_apps,
                                              .argument = &rings};
    struct mr_telemetry_command wrong = apps;
    struct mr_fault fault = {0};

    CU_ASSERT(mr_telemetry_add(&apps, &fault));
    CU_ASSERT(mr_telemetry_add(&apps, &fault)); /* the same again */
    struct json_object *answer = ask("/millrace/apps,kv");
    CU_ASSERT_STRING_EQUAL(json_object_get_string(get(answer, "/millrace/apps", NULL, "asked")),
                           "kv");
    CU_ASSERT_EQUAL(json_object_get_uint64(get(answer, "/millrace/apps", "kv", "rings")),
                    UINT64_MAX);
    json_object_put(answer);
    wrong.name = "no slash";
    CU_ASSERT_FALSE(mr_telemetry_add(&wrong, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "no slash: DPDK refuses it"));
}

static void dpdk_lists_the_commands(void)
{
    struct json_object *answer = ask("/");
    const char *text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_NOSLASHESCAPE);

    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"/millrace/counters\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"/millrace/conns\""));
    json_object_put(answer);
}

/* Last: what commands read is freed afterwards. */
static void stopped_commands_say_nothing(void)
{
    char folder[128];
    uint32_t leaked = 0;

    mr_telemetry_stop();
    mr_group_close(&group);
    mr_port_close(other_end);
    mr_group_free(&group, &leaked);
    struct json_object *answer = ask("/millrace/counters");
    struct json_object *inner = get(answer, "/millrace/counters", NULL, NULL);
    CU_ASSERT_EQUAL(inner == NULL ? 0 : json_object_object_length(inner), 0);
    json_object_put(answer);
    CU_ASSERT_EQUAL(leaked, 0);
    snprintf(folder, sizeof(folder), "%s", mr_eal_folder());
    mr_eal_stop();
    CU_ASSERT_NOT_EQUAL(access(folder, F_OK), 0); /* nothing is left behind */
}

static CU_TestInfo tests[] = {
    {"counters are the group's", counters_are_the_groups},
    {"connections are by shard", connections_are_by_shard},
    {"other commands can be added", other_commands_can_be_added},
    {"DPDK lists the commands", dpdk_lists_the_commands},
    {"stopped commands say nothing", stopped_commands_say_nothing},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/telemetry", .pTests = tests, .pInitFunc = start},
    CU_SUITE_INFO_NULL,
};
