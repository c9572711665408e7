/*
 * control/group_trace.h - which connections of groups of shards are traced to qlog files: at the
 * start, and by the command `qlog` while they run.
 *
 *     qlog                      how it stands
 *     qlog all                  every new connection
 *     qlog next 3               the next three, of whatever shard
 *     qlog peer 198.18.0.0/24   new ones of these peers
 *     qlog conn 0.100000005     this one, from now on
 *     qlog off [CONN]           nothing more; that one no more
 *
 * With `keys` key log lines are kept instead of events, with `both` both.
 *
 * Threads: the control thread's.
 */
#ifndef MR_CONTROL_GROUP_TRACE_H
#define MR_CONTROL_GROUP_TRACE_H

#include "control/group_datapath.h"
#include "control/qlog.h"

/* Before it is launched: the group's shards write to `qlog`, and trace `what` of every new
 * connection (enum mr_trace_what; 0: of none).  False with `fault` set. */
bool mr_group_trace_begin(struct mr_group *group, struct mr_qlog *qlog, uint32_t what,
                          struct mr_fault *fault);

/* The command; set->orders are there.  0 with *result_out; -errno with the reason in `fault`. */
int mr_group_trace(struct mr_group_set *set, const struct mr_command_arguments *arguments,
                   struct json_object **result_out, struct mr_fault *fault);

/* Counters of the writer, "qlog_...": zeros if it is NULL. */
void mr_group_trace_counters(const struct mr_qlog *qlog, mr_counter_visit visit, void *to);

#endif /* MR_CONTROL_GROUP_TRACE_H */
