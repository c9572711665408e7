/*
 * control/cpu_list.h - CPUs by number, and how people write them: "2,4-5".
 *
 * Owner: the caller.  Threads: any.
 */
#ifndef MR_CONTROL_CPU_LIST_H
#define MR_CONTROL_CPU_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

#define MR_CPUS_MAX 1024 /* as many as a cpu_set_t has */

struct mr_cpu_list {
    uint32_t count;
    uint16_t cpu[MR_CPUS_MAX];
};

bool mr_cpu_list_has(const struct mr_cpu_list *list, uint64_t cpu);

/* Parse "2,4-5": no CPU twice, each in `usable` unless that is NULL.  False with `fault` set. */
bool mr_cpu_list_parse(const char *text, const struct mr_cpu_list *usable,
                       struct mr_cpu_list *list_out, struct mr_fault *fault);

/* Those that the calling thread may run on. */
void mr_cpu_list_of_thread(struct mr_cpu_list *list_out);

#endif /* MR_CONTROL_CPU_LIST_H */
