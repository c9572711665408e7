/*
 * control/group_ports.h - the ports of groups: what they are, whether their links are up, how cards
 * spread what they receive; for the control socket, and for whoever waits for a link.
 *
 *     mr_group_look_at_port()   now and then: counts and says when a link goes down and comes back
 *     ports                     each port with its device and its link
 *     rss [SLOTS QUEUE [PORT]]  a card's table of queues; have some of its flows arrive elsewhere
 *
 * Owner: the groups'.  Threads: the control thread; system calls and device registers.
 */
#ifndef MR_CONTROL_GROUP_PORTS_H
#define MR_CONTROL_GROUP_PORTS_H

#include <stdint.h>

#include "base/fault.h"
#include "control/command.h"
#include "control/group.h"

struct json_object;
struct mr_group_set;

#define MR_PORT_LOOK_NS UINT64_C(100000000) /* between looks; what is shorter is not seen */

/*
 * Look at the port, once in MR_PORT_LOOK_NS, and log what has changed since the last look.  What it
 * is now; MR_PORT_GONE for good.
 */
enum mr_port_health mr_group_look_at_port(struct mr_group *group, uint64_t now);

/* The commands, as in control/command.h. */
int mr_group_ports_list(const struct mr_group_set *set, struct json_object **result_out,
                        struct mr_fault *fault);
int mr_group_ports_rss(const struct mr_group_set *set, const struct mr_command_arguments *arguments,
                       struct json_object **result_out, struct mr_fault *fault);

#endif /* MR_CONTROL_GROUP_PORTS_H */
