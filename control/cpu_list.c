#include "control/cpu_list.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

_Static_assert(MR_CPUS_MAX == CPU_SETSIZE, "a list holds what a set holds");

bool mr_cpu_list_has(const struct mr_cpu_list *list, uint64_t cpu)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->cpu[i] == cpu)
            return true;
    return false;
}

/* Read one CPU's number and move on; false if there is none. */
static bool read_cpu(const char **text, unsigned long *cpu_out)
{
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    *cpu_out = strtoul(*text, &end, 10);
    *text = end;
    return *cpu_out < MR_CPUS_MAX;
}

/* Read "2" or "4-5" and move on. */
static bool read_range(const char **text, unsigned long *first_out, unsigned long *last_out)
{
    if (!read_cpu(text, first_out))
        return false;
    *last_out = *first_out;
    if (**text != '-')
        return true;
    ++*text;
    return read_cpu(text, last_out) && *last_out >= *first_out;
}

bool mr_cpu_list_parse(const char *text, const struct mr_cpu_list *usable,
                       struct mr_cpu_list *list_out, struct mr_fault *fault)
{
    const char *at = text;
    unsigned long first;
    unsigned long last;

    list_out->count = 0;
    do {
        if (!read_range(&at, &first, &last) || (*at != ',' && *at != '\0')) {
            mr_fault_set(fault, EINVAL, "malformed list of cores \"%s\": it looks like 2,3 or 2-5",
                         text);
            return false;
        }
        for (unsigned long cpu = first; cpu <= last; cpu++) {
            if (usable != NULL && !mr_cpu_list_has(usable, cpu)) {
                mr_fault_set(fault, EINVAL,
                             "core %lu does not exist or this process may not run on it", cpu);
                return false;
            }
            if (mr_cpu_list_has(list_out, cpu)) {
                mr_fault_set(fault, EINVAL,
                             "core %lu is there twice in \"%.60s\"; a thread polls on each, leave "
                             "one out",
                             cpu, text);
                return false;
            }
            list_out->cpu[list_out->count++] = (uint16_t)cpu;
        }
    } while (*at++ == ',');
    return true;
}

void mr_cpu_list_of_thread(struct mr_cpu_list *list_out)
{
    cpu_set_t set;

    list_out->count = 0;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        CPU_ZERO(&set);
    for (uint16_t cpu = 0; cpu < MR_CPUS_MAX; cpu++)
        if (CPU_ISSET(cpu, &set))
            list_out->cpu[list_out->count++] = cpu;
}
