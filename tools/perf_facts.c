/* tools/perf_facts.c - see perf_facts.h. */
#include "tools/perf_facts.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "control/eal.h"
#include "tools/bench.h"

#define LINE 256 /* bytes */

/* The first line of a file; "": there is none. */
static const char *first_line(const char *path, char line[LINE])
{
    FILE *from = fopen(path, "re");

    line[0] = '\0';
    if (from == NULL)
        return line;
    if (fgets(line, LINE, from) != NULL)
        line[strcspn(line, "\n")] = '\0';
    fclose(from);
    return line;
}

static const char *cpu_name(char name[LINE])
{
    FILE *from = fopen("/proc/cpuinfo", "re");
    char line[LINE];

    name[0] = '\0';
    while (from != NULL && name[0] == '\0' && fgets(line, LINE, from) != NULL)
        (void)sscanf(line, "model name : %255[^\n]", name);
    if (from != NULL)
        fclose(from);
    return name;
}

/* null: not known, or there is none. */
static void add_known(struct json_object *json, const char *name, uint64_t value)
{
    json_object_object_add(json, name, value == 0 ? NULL : json_object_new_int64((int64_t)value));
}

static void add_known_text(struct json_object *json, const char *name, const char *text)
{
    json_object_object_add(json, name, text[0] == '\0' ? NULL : json_object_new_string(text));
}

/* Of the CPUs that polling cores run on: each once, a comma between them; "": not known. */
static const char *governors(char text[LINE])
{
    const struct mr_eal_info *info = mr_eal_info();
    char path[LINE];
    char line[LINE];

    text[0] = '\0';
    for (uint32_t i = 0; i < info->worker_count; i++) {
        size_t size = strlen(text);

        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor",
                 info->worker_cpu[i]);
        if (first_line(path, line)[0] != '\0' && strstr(text, line) == NULL)
            snprintf(text + size, LINE - size, "%s%.32s", size > 0 ? ", " : "", line);
    }
    return text;
}

struct json_object *mr_perf_machine_json(void)
{
    struct json_object *json = json_object_new_object();
    struct utsname system;
    char line[LINE];

    mr_bench_text(json, "cpu", cpu_name(line));
    mr_bench_count(json, "cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    add_known_text(json, "governor", governors(line));
    mr_bench_text(json, "kernel", uname(&system) == 0 ? system.release : "");
    mr_bench_text(json, "kernel_command_line", first_line("/proc/cmdline", line));
    mr_bench_text(json, "millrace", MILLRACE_VERSION);
    return json;
}

/* One that sleeps waits for nothing: this tells of those, too, as the time that it ran does not. */
bool mr_perf_core_wait(uint32_t worker, uint64_t *ns)
{
    unsigned long long waited;
    char path[LINE];
    char line[LINE];

    snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat",
             (int)mr_eal_info()->worker_thread[worker]);
    if (sscanf(first_line(path, line), "%*u %llu", &waited) != 1)
        return false;
    *ns = waited;
    return true;
}

void mr_perf_add_port_facts(struct json_object *json, const char *spec,
                            const struct mr_port_facts *facts)
{
    mr_bench_text(json, "spec", spec);
    mr_bench_text(json, "driver", facts->driver);
    add_known_text(json, "device", facts->device);
    add_known_text(json, "firmware", facts->firmware);
    add_known(json, "link_mbps", facts->link_mbps);
    add_known(json, "rx_queues", facts->rx_queues);
    add_known(json, "tx_queues", facts->tx_queues);
    add_known(json, "rx_descriptors", facts->rx_descriptors);
    add_known(json, "tx_descriptors", facts->tx_descriptors);
    add_known(json, "pcie_lanes", facts->pcie_lanes);
    add_known_text(json, "pcie_speed", facts->pcie_speed);
}

struct mr_port_stats mr_perf_port_between(const struct mr_port_stats *from,
                                          const struct mr_port_stats *to)
{
    return (struct mr_port_stats){
        .rx_packets = mr_perf_port_counted(from->rx_packets, to->rx_packets),
        .tx_packets = mr_perf_port_counted(from->tx_packets, to->tx_packets),
        .rx_missed = mr_perf_port_counted(from->rx_missed, to->rx_missed),
        .rx_no_buffer = mr_perf_port_counted(from->rx_no_buffer, to->rx_no_buffer),
        .rx_errors = mr_perf_port_counted(from->rx_errors, to->rx_errors),
        .tx_errors = mr_perf_port_counted(from->tx_errors, to->tx_errors),
    };
}

void mr_perf_add_port_stats(struct json_object *json, const struct mr_port_stats *stats)
{
    mr_bench_count(json, "rx_packets", stats->rx_packets);
    mr_bench_count(json, "tx_packets", stats->tx_packets);
    mr_bench_count(json, "rx_missed", stats->rx_missed);
    mr_bench_count(json, "rx_no_buffer", stats->rx_no_buffer);
    mr_bench_count(json, "rx_errors", stats->rx_errors);
    mr_bench_count(json, "tx_errors", stats->tx_errors);
}

struct json_object *mr_perf_losses_json(const struct mr_port_losses *losses)
{
    struct json_object *json = json_object_new_object();

    mr_bench_count(json, "sent", losses->sent);
    mr_bench_count(json, "sent_lost", losses->sent_lost);
    mr_bench_count(json, "received", losses->received);
    mr_bench_count(json, "received_lost", losses->received_lost);
    return json;
}

struct json_object *mr_perf_loss_rates_json(const struct mr_port_loss_rates *rates)
{
    struct json_object *json = json_object_new_object();

    mr_bench_real(json, "sent", rates->sent);
    mr_bench_real(json, "received", rates->received);
    return json;
}

struct json_object *mr_perf_limited_json(const double limited[MR_PERF_LIMITERS])
{
    struct json_object *json = json_object_new_object();

    for (uint32_t i = 0; i < MR_PERF_LIMITERS; i++)
        mr_bench_real(json, mr_perf_limiter_name(i), limited[i]);
    return json;
}

struct json_object *mr_perf_counters_json(const struct mr_report *begin,
                                          const struct mr_report *end)
{
    struct json_object *json = json_object_new_object();

    for (size_t i = 0; i < mr_report_counters(); i++)
        mr_bench_count(json, mr_report_counter_name(i),
                       mr_report_counter(end, i) -
                           (begin == NULL ? 0 : mr_report_counter(begin, i)));
    return json;
}
