/* control/control_commands.c - the commands that every datapath understands; see control.h. */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/control_internal.h"
#include "millrace/ring_layout.h"

static void put(struct json_object *object, const char *key, struct json_object *value)
{
    json_object_object_add(object, key, value);
}

static void put_text(struct json_object *object, const char *key, const char *text)
{
    put(object, key, json_object_new_string(text));
}

static void put_number(struct json_object *object, const char *key, uint64_t value)
{
    put(object, key, json_object_new_uint64(value));
}

static void put_bool(struct json_object *object, const char *key, bool value)
{
    put(object, key, json_object_new_boolean(value));
}

/* A NUMA node, where it is known. */
static void put_node(struct json_object *object, int32_t node)
{
    if (node >= 0)
        put_number(object, "node", (uint64_t)node);
}

static int say_unavailable(struct mr_fault *fault)
{
    return mr_fault_set(fault, EOPNOTSUPP, "this program cannot do that");
}

/* ------------------------------------------------------------------ applications */

static struct json_object *ring_object(const struct mr_attachment_ring *ring)
{
    struct json_object *object = json_object_new_object();
    const struct mr_app_ring_stats *stats = &ring->stats;

    put_number(object, "shard", ring->shard);
    put_text(object, "state", mr_attachment_state_name(ring->state));
    put_number(object, "conns", stats->conns);
    put_number(object, "objects", stats->objects);
    put_number(object, "sends", stats->sends);
    put_number(object, "slots_held", stats->slots_held);
    put_number(object, "submissions", stats->submissions);
    put_number(object, "completions", stats->completions);
    put_number(object, "wakes", stats->wakes);
    put_number(object, "bytes_received", stats->bytes_received);
    put_number(object, "bytes_sent", stats->bytes_sent);
    put_number(object, "bytes_copied", stats->bytes_copied);
    put_number(object, "bad_submissions", stats->bad_submissions);
    return object;
}

static struct json_object *attachment_object(const struct mr_attachment_info *info)
{
    struct json_object *object = json_object_new_object();
    struct json_object *rings = json_object_new_array();

    put_number(object, "attachment", info->number);
    put_text(object, "name", info->name);
    put_number(object, "pid", (uint64_t)info->peer.pid);
    put_number(object, "uid", info->peer.uid);
    put_node(object, info->node);
    put_text(object, "state",
             info->is_ending   ? "ending"
             : info->has_begun ? "attached"
                               : "attaching");
    put_number(object, "region_bytes", info->region_bytes);
    put_bool(object, "is_locked", info->is_locked);
    put_bool(object, "is_by_reference", info->is_by_reference);
    for (uint32_t i = 0; i < info->ring_count; i++)
        json_object_array_add(rings, ring_object(&info->ring[i]));
    put(object, "rings", rings);
    return object;
}

static int run_apps(void *context, const struct mr_command_arguments *arguments,
                    struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    struct json_object *list = json_object_new_array();
    struct mr_attachment_info info = {.number = 0};

    (void)arguments;
    (void)fault;
    while (mr_attachments_next(control->attachments, info.number, &info))
        json_object_array_add(list, attachment_object(&info));
    *result_out = list;
    return 0;
}

static int run_detach(void *context, const struct mr_command_arguments *arguments,
                      struct json_object **result_out, struct mr_fault *fault)
{
    struct mr_control *control = context;
    uint64_t number;
    int result = mr_command_number(arguments->word[0], &number, fault);

    if (result == 0)
        result = mr_attachments_detach(control->attachments, number, fault);
    if (result != 0)
        return result;
    *result_out = json_object_new_object();
    put_number(*result_out, "detached", number);
    return 0;
}

/* ------------------------------------------------------------------ listeners */

static const char *policy_name(uint8_t policy)
{
    static const char *const names[] = {[MR_HANDOFF_ROUND_ROBIN] = "round robin",
                                        [MR_HANDOFF_LEAST_LOADED] = "least loaded",
                                        [MR_HANDOFF_ACCEPT] = "accept"};

    return policy < MR_COUNT_OF(names) ? names[policy] : "?";
}

/* Attachments that may serve it. */
static uint32_t count_apps(const struct mr_control *control, const char *application)
{
    struct mr_attachment_info info = {.number = 0};
    uint32_t count = 0;

    while (mr_attachments_next(control->attachments, info.number, &info))
        count += !info.is_ending && strcmp(info.name, application) == 0;
    return count;
}

static int run_listeners(void *context, const struct mr_command_arguments *arguments,
                         struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const struct mr_handoff *policy = mr_attachments_policy(control->attachments);
    struct json_object *list = json_object_new_array();

    (void)arguments;
    (void)fault;
    for (uint32_t i = 0; i < policy->listener_count; i++) {
        const struct mr_handoff_listener *listener = &policy->listener[i];
        struct json_object *object = json_object_new_object();

        put_number(object, "listener", i);
        put_text(object, "name", listener->name);
        put_text(object, "application", listener->application);
        put_bool(object, "is_inline", listener->member != 0);
        put_number(object, "attached", count_apps(control, listener->application));
        put_number(object, "port", listener->port);
        put_text(object, "alpn", listener->alpn);
        put_text(object, "server_name", listener->server_name);
        put_text(object, "policy", policy_name(listener->policy));
        put_text(object, "death", listener->death == MR_DEATH_INHERIT ? "inherit" : "close");
        json_object_array_add(list, object);
    }
    *result_out = list;
    return 0;
}

/* ------------------------------------------------------------------ the datapath */

/* Shard `word` of the datapath's. */
static int parse_shard(const char *word, uint32_t *shard_out, struct mr_fault *fault)
{
    uint64_t number;
    int result = mr_command_number(word, &number, fault);

    *shard_out = 0;
    if (result == 0 && number > UINT32_MAX)
        return mr_fault_set(fault, ENOENT, "there is no shard %s; `conns` shows those there are",
                            word);
    *shard_out = (uint32_t)number;
    return result;
}

static int list_conns(const struct mr_control_datapath *datapath, const char *word,
                      struct json_object **result_out, struct mr_fault *fault)
{
    uint32_t shard;
    int result = parse_shard(word, &shard, fault);

    if (result != 0)
        return result;
    if (datapath->list_conns == NULL)
        return say_unavailable(fault);
    return datapath->list_conns(datapath->context, shard, result_out, fault);
}

static int run_move(void *context, const struct mr_command_arguments *arguments,
                    struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const struct mr_control_datapath *datapath = &control->config.datapath;
    uint32_t shard;
    int result = parse_shard(arguments->word[1], &shard, fault);

    if (result != 0)
        return result;
    if (datapath->move_conn == NULL)
        return say_unavailable(fault);
    return datapath->move_conn(datapath->context, arguments->word[0], shard, result_out, fault);
}

static int run_renew(void *context, const struct mr_command_arguments *arguments,
                     struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const struct mr_control_datapath *datapath = &control->config.datapath;

    if (datapath->renew_cids == NULL)
        return say_unavailable(fault);
    return datapath->renew_cids(datapath->context, arguments->word[0], result_out, fault);
}

static int run_paths(void *context, const struct mr_command_arguments *arguments,
                     struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const struct mr_control_datapath *datapath = &control->config.datapath;

    if (datapath->list_paths == NULL)
        return say_unavailable(fault);
    return datapath->list_paths(datapath->context, arguments->word[0], result_out, fault);
}

static int run_conns(void *context, const struct mr_command_arguments *arguments,
                     struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const struct mr_control_datapath *datapath = &control->config.datapath;

    if (arguments->count > 0)
        return list_conns(datapath, arguments->word[0], result_out, fault);
    if (datapath->conn_count == NULL)
        return say_unavailable(fault);
    *result_out = json_object_new_array();
    for (uint32_t i = 0; i < datapath->shard_count; i++) {
        struct json_object *object = json_object_new_object();

        put_number(object, "shard", i);
        put_number(object, "connections", datapath->conn_count(datapath->context, i));
        if (datapath->describe_shard != NULL)
            datapath->describe_shard(datapath->context, i, object);
        json_object_array_add(*result_out, object);
    }
    return 0;
}

static int run_memory(void *context, const struct mr_command_arguments *arguments,
                      struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const struct mr_control_datapath *datapath = &control->config.datapath;
    struct json_object *list = json_object_new_array();
    int result = 0;

    (void)arguments;
    if (datapath->weigh == NULL)
        result = say_unavailable(fault);
    for (uint32_t i = 0; result == 0 && i < datapath->shard_count; i++) {
        struct json_object *object;

        result = datapath->weigh(datapath->context, i, &object, fault);
        if (result == 0)
            json_object_array_add(list, object);
    }
    if (result == 0)
        *result_out = list;
    else
        json_object_put(list);
    return result;
}

static int run_qlog(void *context, const struct mr_command_arguments *arguments,
                    struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const struct mr_control_datapath *datapath = &control->config.datapath;

    if (datapath->trace == NULL)
        return say_unavailable(fault);
    return datapath->trace(datapath->context, arguments, result_out, fault);
}

static int run_ports(void *context, const struct mr_command_arguments *arguments,
                     struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const struct mr_control_datapath *datapath = &control->config.datapath;

    if (datapath->list_ports == NULL)
        return say_unavailable(fault);
    return datapath->list_ports(datapath->context, arguments, result_out, fault);
}

static int run_rss(void *context, const struct mr_command_arguments *arguments,
                   struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const struct mr_control_datapath *datapath = &control->config.datapath;

    if (datapath->spread == NULL)
        return say_unavailable(fault);
    return datapath->spread(datapath->context, arguments, result_out, fault);
}

static void put_counter(void *to, const char *name, const char *help, uint64_t value)
{
    (void)help;
    MR_DASSERT(!json_object_object_get_ex(to, name, NULL)); /* a name is one counter's */
    put_number(to, name, value);
}

/* Of the shards' ends of all rings. */
static void put_host_counters(struct json_object *object, const struct mr_control *control)
{
    struct mr_app_host_stats stats = mr_attachments_host_stats(control->attachments);

    put_number(object, "app_submissions", stats.submissions);
    put_number(object, "app_completions", stats.completions);
    put_number(object, "app_wakes", stats.wakes);
    put_number(object, "app_bytes_copied", stats.bytes_copied);
    put_number(object, "app_conns_accepted", stats.conns_accepted);
    put_number(object, "app_conns_refused", stats.conns_refused);
    put_number(object, "app_conns_inherited", stats.conns_inherited);
    put_number(object, "app_connects_refused", stats.connects_refused);
    put_number(object, "app_conns_hoarded", stats.conns_hoarded);
    put_number(object, "app_streams_refused", stats.streams_refused);
    put_number(object, "app_datagrams_dropped", stats.datagrams_dropped);
    put_number(object, "app_bad_submissions", stats.bad_submissions);
    put_number(object, "app_rings_broken", stats.rings_broken);
    put_number(object, "app_completions_late", stats.completions_late);
    put_number(object, "app_moves_begun", stats.moves_begun);
    put_number(object, "app_moves_out", stats.moves_out);
    put_number(object, "app_moves_in", stats.moves_in);
    put_number(object, "app_moves_stayed", stats.moves_stayed);
}

static void put_attach_counters(struct json_object *object, const struct mr_control *control)
{
    struct mr_attachments_stats stats = mr_attachments_stats(control->attachments);

    put_number(object, "apps_attached", stats.attached);
    put_number(object, "apps_refused", stats.refused);
    put_number(object, "apps_ended", stats.ended);
    put_number(object, "app_regions_unlocked", stats.unlocked_regions);
    put_number(object, "app_region_bytes", stats.region_bytes);
    put_number(object, "control_clients", mr_control_socket_client_count(control->socket));
}

static int run_counters(void *context, const struct mr_command_arguments *arguments,
                        struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const struct mr_control_datapath *datapath = &control->config.datapath;

    (void)arguments;
    (void)fault;
    *result_out = json_object_new_object();
    if (datapath->counters != NULL)
        datapath->counters(datapath->context, put_counter, *result_out);
    put_host_counters(*result_out, control);
    put_attach_counters(*result_out, control);
    return 0;
}

static int run_drain(void *context, const struct mr_command_arguments *arguments,
                     struct json_object **result_out, struct mr_fault *fault)
{
    struct mr_control *control = context;
    const struct mr_control_datapath *datapath = &control->config.datapath;

    (void)arguments;
    if (datapath->drain == NULL)
        return say_unavailable(fault);
    mr_control_drain(control);
    datapath->drain(datapath->context);
    *result_out = json_object_new_object();
    put_bool(*result_out, "is_draining", true);
    return 0;
}

static int run_version(void *context, const struct mr_command_arguments *arguments,
                       struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    const char *version = control->config.datapath.version;

    (void)arguments;
    (void)fault;
    *result_out = json_object_new_object();
    put_text(*result_out, "version", version != NULL ? version : "?");
    put_number(*result_out, "attach_version", MR_ATTACH_VERSION);
    put_number(*result_out, "ring_version", MR_RING_VERSION);
    put_number(*result_out, "pid", (uint64_t)getpid());
    put_bool(*result_out, "is_draining", control->is_draining);
    return 0;
}

/* ------------------------------------------------------------------ the table */

static int run_help(void *context, const struct mr_command_arguments *arguments,
                    struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_control *control = context;
    struct json_object *list = json_object_new_array();

    (void)arguments;
    (void)fault;
    for (uint32_t t = 0; t < MR_CONTROL_TABLES; t++) {
        for (uint32_t i = 0; i < control->tables[t].count; i++) {
            const struct mr_command *command = &control->tables[t].rows[i];
            struct json_object *object = json_object_new_object();

            put_text(object, "command", command->name);
            put_text(object, "arguments", command->arguments);
            put_text(object, "help", command->help);
            json_object_array_add(list, object);
        }
    }
    *result_out = list;
    return 0;
}

static const struct mr_command commands[] = {
    {"help", "", 0, 0, "list the commands", run_help},
    {"apps", "", 0, 0, "attached applications and their rings", run_apps},
    {"listeners", "", 0, 0, "who gets which connections", run_listeners},
    {"conns", "[SHARD]", 0, 1, "connections of each shard; of one shard, each", run_conns},
    {"memory", "", 0, 0, "what each shard's connections hold, awake and asleep", run_memory},
    {"paths", "CONN", 1, 1, "what each path of a connection is doing", run_paths},
    {"move", "CONN SHARD", 2, 2, "give a connection of `conns SHARD` to another shard", run_move},
    {"renew", "all|CONN", 1, 1, "ask peers to go over to new connection IDs", run_renew},
    {"qlog", "[all|next N|peer IP[/BITS]|conn CONN|off [CONN]] [keys|both]", 0, 3,
     "trace connections to files, from now on; alone: how it stands", run_qlog},
    {"ports", "", 0, 0, "each port, its device and its link", run_ports},
    {"rss", "[SLOTS QUEUE [PORT]]", 0, 3,
     "which queue a card gives what to; have some slots' flows arrive at another", run_rss},
    {"counters", "", 0, 0, "every counter, summed over the shards", run_counters},
    {"drain", "", 0, 0, "finish what is open, accept nothing new", run_drain},
    {"detach", "N", 1, 1, "end attachment N: its connections are closed or inherited", run_detach},
    {"version", "", 0, 0, "what runs", run_version},
};

struct mr_command_table mr_control_commands(struct mr_control *control)
{
    return (struct mr_command_table){
        .rows = commands, .count = MR_COUNT_OF(commands), .context = control};
}
