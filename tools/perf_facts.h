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

/* CPU, governor, kernel, version. */
struct json_object *mr_perf_machine_json(void);

/* Driver, device, firmware, link, PCIe, queues, descriptors, into `json`. */
void mr_perf_add_port_facts(struct json_object *json, const char *spec,
                            const struct mr_port_facts *facts);

/* What a port has counted, into `json`: frames in and out, each kind of drop. */
void mr_perf_add_port_stats(struct json_object *json, const struct mr_port_stats *stats);

#endif /* MR_TOOLS_PERF_FACTS_H */
