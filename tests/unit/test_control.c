/* Tests of control/control.h: commands and their results. */
#include "control/control.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/control_world.h"
#include "tests/unit/harness.h"

/* The command's result; NULL: refused, `side` says why. */
static struct json_object *command_as(struct control_side *side, const char *text)
{
    struct json_object *result = NULL;

    if (side->fd < 0)
        CU_ASSERT_EQUAL_FATAL(control_side_connect(side, world.path), 0);
    CU_ASSERT(control_side_command(side, text));
    world_pump();
    char *json = control_side_result(side, 0);
    if (json != NULL)
        result = json_tokener_parse(json);
    CU_ASSERT_EQUAL(json == NULL, result == NULL);
    free(json);
    return result;
}

static struct json_object *command(const char *text)
{
    return command_as(&world.sides[19], text);
}

static void check_command_refused(const char *text, int error, const char *words)
{
    struct json_object *result = command(text);

    CU_ASSERT_PTR_NULL(result);
    json_object_put(result);
    CU_ASSERT_EQUAL(world.sides[19].refused.error, error);
    CU_ASSERT_PTR_NOT_NULL(strstr(world.sides[19].refused.why, words));
}

static uint64_t number_in(struct json_object *object, const char *key)
{
    struct json_object *value;

    return json_object_object_get_ex(object, key, &value) ? json_object_get_uint64(value)
                                                          : UINT64_MAX;
}

static const char *text_in(struct json_object *object, const char *key)
{
    struct json_object *value;

    return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : "";
}

static void apps_tells_who_has_not_mapped_its_rings_yet(void)
{
    struct mr_message_attach wish = control_side_wish("web");

    world_start();
    struct control_side *side = &world.sides[0];
    CU_ASSERT_EQUAL_FATAL(control_side_connect(side, world.path), 0);
    CU_ASSERT(control_side_say(side, &wish, sizeof(wish)));
    world_pump();
    struct json_object *apps = command("apps");
    CU_ASSERT_STRING_EQUAL(text_in(json_object_array_get_idx(apps, 0), "state"), "attaching");
    json_object_put(apps);
    CU_ASSERT_EQUAL(control_side_map(side, 0), 0);
    world_pump();
    CU_ASSERT_EQUAL(control_side_ready(side, 0), 0);
    apps = command("apps");
    CU_ASSERT_STRING_EQUAL(text_in(json_object_array_get_idx(apps, 0), "state"), "attached");
    json_object_put(apps);
    world_stop();
}

static void apps_shows_who_is_attached_and_what_its_rings_do(void)
{
    world_start();
    world_attach(&world.sides[0], "web");
    world_attach(&world.sides[1], "mail");
    CU_ASSERT(world_does_nop(&world.sides[1].ring[0], 1));
    CU_ASSERT(world_does_nop(&world.sides[1].ring[0], 2));
    struct json_object *apps = command("apps");
    CU_ASSERT_EQUAL_FATAL(json_object_array_length(apps), 2);
    struct json_object *app = json_object_array_get_idx(apps, 1);
    CU_ASSERT_EQUAL(number_in(app, "attachment"), 2);
    CU_ASSERT_STRING_EQUAL(text_in(app, "name"), "mail");
    CU_ASSERT_EQUAL(number_in(app, "pid"), (uint64_t)getpid());
    CU_ASSERT_EQUAL(number_in(app, "uid"), geteuid());
    CU_ASSERT_STRING_EQUAL(text_in(app, "state"), "attached");
    CU_ASSERT_EQUAL(number_in(app, "region_bytes"), WORLD_SHARDS * WORLD_RING);
    struct json_object *rings = json_object_object_get(app, "rings");
    CU_ASSERT_EQUAL_FATAL(json_object_array_length(rings), WORLD_SHARDS);
    struct json_object *ring = json_object_array_get_idx(rings, 0);
    CU_ASSERT_EQUAL(number_in(ring, "submissions"), 2);
    CU_ASSERT_EQUAL(number_in(ring, "conns"), 7);
    CU_ASSERT_STRING_EQUAL(text_in(ring, "state"), "attached");
    json_object_put(apps);

    fake_host_knobs(world.hosts[0])->is_hung = true;
    control_side_close(&world.sides[1]);
    world_pump();
    apps = command("apps");
    app = json_object_array_get_idx(apps, 1);
    CU_ASSERT_STRING_EQUAL(text_in(app, "state"), "ending");
    rings = json_object_object_get(app, "rings");
    CU_ASSERT_STRING_EQUAL(text_in(json_object_array_get_idx(rings, 0), "state"), "letting go");
    json_object_put(apps);
    fake_host_knobs(world.hosts[0])->is_hung = false;
    world_stop();
}

static void detach_ends_an_attachment(void)
{
    world_start();
    world_attach(&world.sides[0], "web");
    world_attach(&world.sides[1], "web");
    check_command_refused("detach", EINVAL, "usage: detach N");
    check_command_refused("detach 1 2", EINVAL, "usage: detach N");
    check_command_refused("detach one", EINVAL, "one is not a number");
    check_command_refused("detach -1", EINVAL, "is not a number");
    check_command_refused("detach 3", ENOENT, "there is no attachment 3");
    struct json_object *result = command("detach 1");
    CU_ASSERT_EQUAL(number_in(result, "detached"), 1);
    json_object_put(result);
    CU_ASSERT(world_wait(1, 1000));
    world_check_ended(&world.sides[0], ECONNABORTED, "detached by the operator");
    CU_ASSERT(world_is_gone(&world.sides[0].ring[0]));
    CU_ASSERT(world_does_nop(&world.sides[1].ring[0], 1));
    world_stop();
}

static void commands_say_how_the_datapath_is(void)
{
    world_start();
    world_attach(&world.sides[0], "web");
    struct json_object *result = command("listeners");
    CU_ASSERT_EQUAL_FATAL(json_object_array_length(result), 3);
    struct json_object *row = json_object_array_get_idx(result, 2);
    CU_ASSERT_EQUAL(number_in(row, "listener"), 2);
    CU_ASSERT_STRING_EQUAL(text_in(row, "application"), "web");
    CU_ASSERT_EQUAL(number_in(row, "attached"), 1);
    CU_ASSERT_EQUAL(number_in(row, "port"), 4432);
    json_object_put(result);

    result = command("conns");
    CU_ASSERT_EQUAL_FATAL(json_object_array_length(result), WORLD_SHARDS);
    row = json_object_array_get_idx(result, 1);
    CU_ASSERT_EQUAL(number_in(row, "connections"), 11);
    json_object_put(result);

    CU_ASSERT(world_does_nop(&world.sides[0].ring[0], 1));
    CU_ASSERT(world_does_nop(&world.sides[0].ring[1], 2));
    result = command("counters");
    CU_ASSERT_EQUAL(number_in(result, "packets_sent"), 12345678901234);
    CU_ASSERT_EQUAL(number_in(result, "app_submissions"), 2);
    CU_ASSERT_EQUAL(number_in(result, "net_rx_udp"), 7);
    CU_ASSERT_EQUAL(number_in(result, "apps_attached"), 1);
    CU_ASSERT_EQUAL(number_in(result, "app_region_bytes"), WORLD_SHARDS * WORLD_RING);
    json_object_put(result);

    result = command("version");
    CU_ASSERT_STRING_EQUAL(text_in(result, "version"), "1.2.3");
    CU_ASSERT_EQUAL(number_in(result, "ring_version"), MR_RING_VERSION);
    json_object_put(result);
    world_stop();
}

static void help_lists_every_command(void)
{
    struct mr_command row = {.name = "extra", .arguments = "[X]", .help = "more"};
    struct mr_control_config config = world_config();
    uint32_t found = 0;

    config.more = (struct mr_command_table){.rows = &row, .count = 1};
    world_start_with(&config);
    struct json_object *result = command("help");
    for (size_t i = 0; i < json_object_array_length(result); i++) {
        struct json_object *each = json_object_array_get_idx(result, i);
        CU_ASSERT(text_in(each, "help")[0] != '\0');
        found += strcmp(text_in(each, "command"), "extra") == 0;
        found += strcmp(text_in(each, "command"), "apps") == 0;
    }
    CU_ASSERT_EQUAL(found, 2);
    json_object_put(result);
    check_command_refused("  extra a b", EINVAL, "usage: extra [X]");
    check_command_refused("hepl", EINVAL, "unknown command hepl");
    check_command_refused("   ", EINVAL, "no command");
    check_command_refused("apps 1 2 3 4 5 6 7 8 9", E2BIG, "more than 8 arguments");
    world_stop();
}

static void a_drained_datapath_takes_no_new_applications(void)
{
    struct mr_message_attach wish = control_side_wish("web");

    world_start();
    world_attach(&world.sides[0], "web");
    struct json_object *result = command("drain");
    CU_ASSERT_PTR_NOT_NULL(result);
    json_object_put(result);
    CU_ASSERT(world.is_drained);
    CU_ASSERT_EQUAL(world_ask(&world.sides[1], &wish), -ESHUTDOWN);
    CU_ASSERT(world_does_nop(&world.sides[0].ring[0], 1));
    world_stop();
}

static void what_a_program_cannot_do_it_says(void)
{
    struct mr_control_config config = world_config();

    config.datapath = (struct mr_control_datapath){0};
    world_start_with(&config);
    check_command_refused("conns", EOPNOTSUPP, "cannot do that");
    check_command_refused("conns 0", EOPNOTSUPP, "cannot do that");
    check_command_refused("conns zero", EINVAL, "zero is not a number");
    check_command_refused("move 0.1 1", EOPNOTSUPP, "cannot do that");
    check_command_refused("move 0.1 -1", EINVAL, "-1 is not a number");
    check_command_refused("move 0.1", EINVAL, "usage: move CONN SHARD");
    check_command_refused("paths 0.1", EOPNOTSUPP, "cannot do that");
    check_command_refused("memory", EOPNOTSUPP, "cannot do that");
    check_command_refused("paths", EINVAL, "usage: paths CONN");
    check_command_refused("renew all", EOPNOTSUPP, "cannot do that");
    check_command_refused("renew", EINVAL, "usage: renew all|CONN");
    check_command_refused("drain", EOPNOTSUPP, "cannot do that");
    struct json_object *result = command("counters");
    CU_ASSERT_EQUAL(number_in(result, "apps_attached"), 0);
    json_object_put(result);
    world_stop();
}

static int run_long(void *context, const struct mr_command_arguments *arguments,
                    struct json_object **result_out, struct mr_fault *fault)
{
    (void)context;
    (void)arguments;
    (void)fault;
    *result_out = json_object_new_array();
    for (int i = 0; i < 30000; i++)
        json_object_array_add(*result_out, json_object_new_int(i));
    return 0;
}

static void a_long_result_comes_in_several_messages(void)
{
    struct mr_command row = {.name = "long", .arguments = "", .help = "-", .run = run_long};
    struct mr_control_config config = world_config();
    static struct control_message heard; /* large */
    uint32_t messages = 0;
    uint64_t bytes = 0;

    config.more = (struct mr_command_table){.rows = &row, .count = 1};
    world_start_with(&config);
    struct json_object *result = command("long");
    CU_ASSERT_EQUAL(json_object_array_length(result), 30000);
    CU_ASSERT_EQUAL(json_object_get_int(json_object_array_get_idx(result, 29999)), 29999);
    json_object_put(result);
    CU_ASSERT(control_side_command(&world.sides[19], "long"));
    world_pump();
    while (control_side_hear(&world.sides[19], &heard, 0) == 1) {
        messages++;
        bytes += heard.size - sizeof(heard.head);
        CU_ASSERT(heard.size <= MR_ATTACH_REPLY_MAX);
        CU_ASSERT_EQUAL(heard.head.flags, messages < 3);
    }
    CU_ASSERT_EQUAL(messages, 3);
    CU_ASSERT_EQUAL(bytes, 2 + 30000 - 1 + 10 + 180 + 2700 + 36000 + 100000);
    world_stop();
}

static CU_TestInfo tests[] = {
    {"apps shows who is attached, and what its rings do",
     apps_shows_who_is_attached_and_what_its_rings_do},
    {"apps tells who has not mapped its rings yet", apps_tells_who_has_not_mapped_its_rings_yet},
    {"detach ends an attachment", detach_ends_an_attachment},
    {"commands say how the datapath is", commands_say_how_the_datapath_is},
    {"help lists every command", help_lists_every_command},
    {"a drained datapath takes no new applications", a_drained_datapath_takes_no_new_applications},
    {"what a program cannot do it says", what_a_program_cannot_do_it_says},
    {"a long result comes in several messages", a_long_result_comes_in_several_messages},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/control",
     .pInitFunc = world_make_directory,
     .pCleanupFunc = world_remove_directory,
     .pTests = tests},
    CU_SUITE_INFO_NULL,
};
