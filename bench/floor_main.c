/*
 * floor - print what bench/floor.h measures, as a table or as JSON.
 *
 *     build/bench/floor [--json] [--no-huge] [--runs N] [--ms N] [--packet BYTES]
 *                       [--crypto auto|openssl|ipsec-mb]
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "bench/floor.h"
#include "control/eal.h"

#define WORKERS 2
#define USAGE                                                                                      \
    "usage: floor [--json] [--no-huge] [--runs N] [--ms N] [--packet BYTES] [--crypto "            \
    "auto|openssl|ipsec-mb]\n"

struct arguments {
    struct mr_floor_options floor;
    bool is_json;
    bool has_no_huge;
};

/* ------------------------------------------------------------------ arguments */

static bool parse_count(const char *text, uint32_t *count_out)
{
    char *end;

    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value > UINT32_MAX)
        return false;
    *count_out = (uint32_t)value;
    return true;
}

static bool parse_backend(const char *text, enum mr_aead_backend *backend_out)
{
    static const struct {
        const char *name;
        enum mr_aead_backend backend;
    } backends[] = {
        {"auto", MR_AEAD_AUTO}, {"openssl", MR_AEAD_OPENSSL}, {"ipsec-mb", MR_AEAD_IPSEC_MB}};

    for (size_t i = 0; i < MR_COUNT_OF(backends); i++) {
        if (strcmp(text, backends[i].name) == 0) {
            *backend_out = backends[i].backend;
            return true;
        }
    }
    return false;
}

static bool parse_option(int option, const char *value, struct arguments *arguments)
{
    switch (option) {
    case 'j':
        arguments->is_json = true;
        return true;
    case 'n':
        arguments->has_no_huge = true;
        return true;
    case 'r':
        return parse_count(value, &arguments->floor.run_count);
    case 'm':
        return parse_count(value, &arguments->floor.run_ms);
    case 'p':
        return parse_count(value, &arguments->floor.packet_bytes);
    case 'c':
        return parse_backend(value, &arguments->floor.backend);
    default:
        return false;
    }
}

static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"no-huge", no_argument, NULL, 'n'},
        {"runs", required_argument, NULL, 'r'},
        {"ms", required_argument, NULL, 'm'},
        {"packet", required_argument, NULL, 'p'},
        {"crypto", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!parse_option(option, optarg, arguments))
            return false;
    return optind == argc;
}

/* ------------------------------------------------------------------ results */

static struct json_object *json_number(double value)
{
    struct json_object *number = json_object_new_double(value);

    json_object_set_serializer(number, json_object_double_to_json_string, "%.1f", NULL);
    return number;
}

static struct json_object *json_figure(const struct mr_floor_figure *figure)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "best", json_number(figure->best));
    json_object_object_add(object, "median", json_number(figure->median));
    json_object_object_add(object, "worst", json_number(figure->worst));
    return object;
}

static struct json_object *json_stages(const struct mr_floor_result *result, int begin, int end)
{
    struct json_object *object = json_object_new_object();

    for (int i = begin; i < end; i++)
        json_object_object_add(object, mr_floor_stage_name((enum mr_floor_stage)i),
                               json_number(result->stage_ns[i]));
    return object;
}

static void print_json(struct json_object *object)
{
    puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY));
    json_object_put(object);
}

static void print_result_json(const struct mr_floor_options *options,
                              const struct mr_floor_result *result)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "floor_ns_per_packet", json_number(result->sender_ns.best));
    json_object_object_add(object, "sender_ns_per_packet", json_figure(&result->sender_ns));
    json_object_object_add(object, "receiver_ns_per_packet", json_figure(&result->receiver_ns));
    json_object_object_add(object, "goodput_gbps", json_figure(&result->goodput_gbps));
    json_object_object_add(object, "sender_stage_ns", json_stages(result, 0, MR_FLOOR_RECEIVER));
    json_object_object_add(object, "receiver_stage_ns",
                           json_stages(result, MR_FLOOR_RECEIVER, MR_FLOOR_STAGES));
    json_object_object_add(object, "crypto", json_object_new_string(result->backend));
    json_object_object_add(object, "packet_bytes", json_object_new_int((int)options->packet_bytes));
    json_object_object_add(object, "runs", json_object_new_int((int)result->run_count));
    json_object_object_add(object, "packets", json_object_new_int64((int64_t)result->packets));
    json_object_object_add(object, "data_has_hugepages",
                           json_object_new_boolean(result->data_has_hugepages));
    print_json(object);
}

static void print_figure(const char *name, const struct mr_floor_figure *figure, const char *unit)
{
    printf("%-26s %8.1f %8.1f %8.1f  %s\n", name, figure->best, figure->median, figure->worst,
           unit);
}

static void print_stages(const char *who, const struct mr_floor_result *result, int begin, int end)
{
    printf("%-10s", who);
    for (int i = begin; i < end; i++)
        printf("  %s %.1f", mr_floor_stage_name((enum mr_floor_stage)i), result->stage_ns[i]);
    printf("\n");
}

static void print_result(const struct mr_floor_options *options,
                         const struct mr_floor_result *result)
{
    printf("floor: %" PRIu32 "-byte packets, %s, %" PRIu32 " runs of %" PRIu32 " ms, %s\n\n",
           options->packet_bytes, result->backend, result->run_count, options->run_ms,
           result->data_has_hugepages ? "hugepages" : "ordinary pages");
    printf("%-26s %8s %8s %8s\n", "", "best", "median", "worst");
    print_figure("goodput", &result->goodput_gbps, "Gbit/s");
    print_figure("sender, busy", &result->sender_ns, "ns per packet");
    print_figure("receiver, busy", &result->receiver_ns, "ns per packet");
    printf("\nns per packet, by stage, in the best run\n");
    print_stages("sender", result, 0, MR_FLOOR_RECEIVER);
    print_stages("receiver", result, MR_FLOOR_RECEIVER, MR_FLOOR_STAGES);
}

static int report_not_measured(const struct arguments *arguments, int cpu_count)
{
    char reason[64];

    snprintf(reason, sizeof(reason), "not measured: %d core, %d needed", cpu_count, WORKERS);
    if (arguments->is_json) {
        struct json_object *object = json_object_new_object();

        json_object_object_add(object, "floor_ns_per_packet", NULL);
        json_object_object_add(object, "reason", json_object_new_string(reason));
        print_json(object);
    } else {
        printf("floor: %s\n", reason);
    }
    return 0;
}

/* ------------------------------------------------------------------ main */

static int cpus_of_process(void)
{
    cpu_set_t cpus;

    return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
}

static const char *reason_of(int result)
{
    switch (result) {
    case -EINVAL:
        return "an option is out of range";
    case -ENOTSUP:
        return "this build or CPU lacks that --crypto";
    case -EIO:
        return "packets did not open, came out of order, or none came";
    default:
        return strerror(-result);
    }
}

static int measure(const struct arguments *arguments)
{
    struct mr_floor_result result;
    int status = mr_floor_measure(&arguments->floor, &result);

    if (status != 0) {
        fprintf(stderr, "floor: %s\n", reason_of(status));
        return 1;
    }
    if (arguments->is_json)
        print_result_json(&arguments->floor, &result);
    else
        print_result(&arguments->floor, &result);
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.floor = mr_floor_defaults()};
    struct mr_fault fault = {0};

    if (!parse_arguments(argc, argv, &arguments)) {
        fputs(USAGE, stderr);
        return 2;
    }
    if (cpus_of_process() < WORKERS)
        return report_not_measured(&arguments, cpus_of_process());

    struct mr_eal_config eal = {.worker_count = WORKERS,
                                .memory_mb = 64,
                                .hugepages =
                                    arguments.has_no_huge ? MR_HUGEPAGES_OFF : MR_HUGEPAGES_AUTO};
    if (!mr_eal_start(&eal, &fault)) {
        fprintf(stderr, "floor: %s\n", fault.text);
        return 1;
    }
    int status = measure(&arguments);
    mr_eal_stop();
    return status;
}
