/*
 * control/datapath_commands.c - what a whole datapath can be asked beside what every control socket
 * answers; and applications as telemetry shows them.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "control/datapath_internal.h"
#include "control/telemetry_apps.h"

static void put_number(struct json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

static void put_text(struct json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, json_object_new_string(text));
}

/* ------------------------------------------------------------------ inline applications */

static struct json_object *instance_object(const struct mr_dispatch_stats *stats, uint32_t shard)
{
    struct json_object *object = json_object_new_object();

    put_number(object, "shard", shard);
    put_number(object, "conns", stats->conns);
    put_number(object, "accepted", stats->conns_accepted);
    put_number(object, "opened", stats->conns_opened);
    put_number(object, "refused", stats->conns_refused);
    put_number(object, "events", stats->events);
    put_number(object, "stalls", stats->stalls);
    put_number(object, "longest_stall_ns", stats->longest_stall_ns);
    put_text(object, "longest_stall", stats->longest_stall_name);
    return object;
}

static int run_inline(void *context, const struct mr_command_arguments *arguments,
                      struct json_object **result_out, struct mr_fault *fault)
{
    const struct mr_datapath *dp = context;
    struct json_object *list = json_object_new_array();

    (void)arguments;
    (void)fault;
    for (uint32_t a = 0; a < dp->config.inline_count; a++) {
        struct json_object *object = json_object_new_object();
        struct json_object *instances = json_object_new_array();

        put_text(object, "name", dp->config.inline_apps[a].name);
        put_text(object, "object", dp->config.inline_apps[a].object);
        for (uint32_t i = 0; i < dp->shard_count; i++) {
            struct mr_dispatch_stats stats;

            mr_inline_apps_stats(dp->inline_apps, a, i, &stats);
            json_object_array_add(instances, instance_object(&stats, i));
        }
        json_object_object_add(object, "instances", instances);
        json_object_array_add(list, object);
    }
    *result_out = list;
    return 0;
}

void mr_datapath_name_owner(void *context, uint64_t owner, char *text, size_t room)
{
    const struct mr_datapath *dp = context;
    struct mr_attachment_info info;

    if (owner >= MR_OWNER_MEMBER)
        snprintf(text, room, "%s (inline)", dp->config.inline_apps[owner - MR_OWNER_MEMBER].name);
    else if (mr_control_next_attachment(dp->control, owner - 1, &info) && info.number == owner)
        snprintf(text, room, "%s (attachment %llu)", info.name, (unsigned long long)owner);
}

static const struct mr_command commands[] = {
    {"inline", "", 0, 0, "inline applications and their instances", run_inline},
};

struct mr_command_table mr_datapath_commands(struct mr_datapath *dp)
{
    return (struct mr_command_table){
        .rows = commands, .count = MR_COUNT_OF(commands), .context = dp};
}

/* ------------------------------------------------------------------ telemetry */

static struct mr_telemetry_app inline_row(const struct mr_datapath *dp, uint32_t number)
{
    struct mr_telemetry_app row = {.number = number, .is_inline = true};

    memcpy(row.name, dp->config.inline_apps[number].name, sizeof(row.name));
    for (uint32_t i = 0; i < dp->shard_count; i++) {
        struct mr_dispatch_stats stats;

        mr_inline_apps_stats(dp->inline_apps, number, i, &stats);
        row.conns += stats.conns;
        row.events += stats.events;
        row.stalls += stats.stalls;
        row.longest_stall_ns = MR_MAX(row.longest_stall_ns, stats.longest_stall_ns);
    }
    return row;
}

static struct mr_telemetry_app attached_row(const struct mr_attachment_info *info)
{
    struct mr_telemetry_app row = {.number = info->number, .pid = (uint64_t)info->peer.pid};

    memcpy(row.name, info->name, sizeof(row.name));
    for (uint32_t i = 0; i < info->ring_count; i++) {
        const struct mr_app_ring_stats *stats = &info->ring[i].stats;

        row.conns += stats->conns;
        row.submissions += stats->submissions;
        row.completions += stats->completions;
        row.wakes += stats->wakes;
        row.bytes_received += stats->bytes_received;
        row.bytes_sent += stats->bytes_sent;
    }
    return row;
}

void mr_datapath_publish_apps(const struct mr_datapath *dp)
{
    struct mr_telemetry_app rows[MR_TELEMETRY_APPS];
    struct mr_attachment_info info = {.number = 0};
    uint32_t count = 0;

    for (uint32_t i = 0; i < dp->config.inline_count; i++)
        rows[count++] = inline_row(dp, i);
    while (mr_control_next_attachment(dp->control, info.number, &info)) {
        if (count < MR_TELEMETRY_APPS)
            rows[count] = attached_row(&info);
        count++;
    }
    mr_telemetry_apps_publish(rows, count);
}
