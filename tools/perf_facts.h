/*
 * tools/perf_facts.h - what somebody who repeats a measurement has to know: of the machine, of the
 * port and of all that the port counts, as JSON.
 *
 * Threads: the control thread; reads files, device registers.
 */
#ifndef MR_TOOLS_PERF_FACTS_H
#define MR_TOOLS_PERF_FACTS_H

#include <json-c/json.h>

#include "drivers/port.h"
#include "drivers/port_facts.h"
#include "drivers/port_loss.h"
#include "tools/perf_limiter.h"
#include "tools/report.h"

/* CPU, governor of the CPUs that workers run on, kernel, version; null: not known.  EAL runs. */
struct json_object *mr_perf_machine_json(void);

/* How long a polling thread was ready to run while something else had its CPU, since its start.
 * False: the kernel does not tell. */
bool mr_perf_core_wait(uint32_t worker, uint64_t *ns_out);

/* Driver, device, firmware, link, PCIe, queues, descriptors, into `json`; null: not known, or there
 * is none. */
void mr_perf_add_port_facts(struct json_object *json, const char *spec,
                            const struct mr_port_facts *facts);

/* What a counter of a port has counted between two looks.  If its driver has begun anew, from 0,
 * what it has counted since. */
static inline uint64_t mr_perf_port_counted(uint64_t from, uint64_t to)
{
    return to >= from ? to - from : to;
}

struct mr_port_stats mr_perf_port_between(const struct mr_port_stats *from,
                                          const struct mr_port_stats *to);

/* Datagrams lost on purpose, and of how many, each way. */
struct json_object *mr_perf_losses_json(const struct mr_port_losses *losses);
struct json_object *mr_perf_loss_rates_json(const struct mr_port_loss_rates *rates);

/* Why connections were not sending: parts of the samples, by reason. */
struct json_object *mr_perf_limited_json(const double limited[MR_PERF_LIMITERS]);

/* Every counter of the network's layer and of QUIC's; `begin` is subtracted, if it is there. */
struct json_object *mr_perf_counters_json(const struct mr_report *begin,
                                          const struct mr_report *end);

/* What a port has counted, into `json`: frames in and out, each kind of drop. */
void mr_perf_add_port_stats(struct json_object *json, const struct mr_port_stats *stats);

#endif /* MR_TOOLS_PERF_FACTS_H */
