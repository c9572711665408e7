/* tools/perf_facts.c - see perf_facts.h. */
#include "tools/perf_facts.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

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

struct json_object *mr_perf_machine_json(void)
{
    struct json_object *json = json_object_new_object();
    struct utsname system;
    char line[LINE];

    mr_bench_text(json, "cpu", cpu_name(line));
    mr_bench_count(json, "cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    mr_bench_text(json, "governor",
                  first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", line));
    mr_bench_text(json, "kernel", uname(&system) == 0 ? system.release : "");
    mr_bench_text(json, "kernel_command_line", first_line("/proc/cmdline", line));
    mr_bench_text(json, "millrace", MILLRACE_VERSION);
    return json;
}

void mr_perf_add_port_facts(struct json_object *json, const char *spec,
                            const struct mr_port_facts *facts)
{
    mr_bench_text(json, "spec", spec);
    mr_bench_text(json, "driver", facts->driver);
    mr_bench_text(json, "device", facts->device);
    mr_bench_text(json, "firmware", facts->firmware);
    mr_bench_count(json, "link_mbps", facts->link_mbps);
    mr_bench_count(json, "rx_queues", facts->rx_queues);
    mr_bench_count(json, "tx_queues", facts->tx_queues);
    mr_bench_count(json, "rx_descriptors", facts->rx_descriptors);
    mr_bench_count(json, "tx_descriptors", facts->tx_descriptors);
    mr_bench_count(json, "pcie_lanes", facts->pcie_lanes);
    mr_bench_text(json, "pcie_speed", facts->pcie_speed);
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
