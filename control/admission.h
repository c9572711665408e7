/*
 * control/admission.h - what of an interface's frames is ours, where a port shares it with the
 * kernel frame by frame (af_xdp): our addresses, and the UDP ports that are open.
 *
 *     address      ARP, neighbour discovery, ping      UDP, to open ports      everything else
 *     our own      ours                                ours                    the kernel's
 *     shared       the kernel's                        ours                    the kernel's
 *
 * An address is shared when the kernel has it as well.  ICMP errors that quote a datagram of ours
 * are ours in any case.
 *
 * Owner: the group.  Threads: the control thread; system calls.
 */
#ifndef MR_CONTROL_ADMISSION_H
#define MR_CONTROL_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net_parse.h"
#include "drivers/port.h"

struct mr_fault;
struct mr_shard_config;

/*
 * Look which of the addresses the kernel has, write them all to `admission_out`, without ports, and
 * tell `self`, which is the network layer's to be, that it shares them; of IPv6, it gets a
 * link-local address to ask for neighbours from.  False with `fault` set: no room for that, or the
 * kernel does not say what it has.
 */
bool mr_admission_begin(struct mr_port_admission *admission_out, struct mr_net_self *self,
                        struct mr_fault *fault);

/* Open the ports that a shard of this configuration has open. */
void mr_admission_open(struct mr_port_admission *admission, const struct mr_shard_config *shard);

/* What has come of the kernel's addresses since. */
enum mr_admission_change {
    MR_ADMISSION_SAME,
    MR_ADMISSION_FREED, /* one that was shared is ours alone: `admission` says so, and is to be
                           given to the port */
    MR_ADMISSION_TAKEN  /* the kernel has one that was ours alone: frames stay as they were */
};

/* Look again.  `ip_out`: which address it was, if any; what is freed comes first, one at a time. */
enum mr_admission_change mr_admission_look(struct mr_port_admission *admission,
                                           struct mr_ip *ip_out);

#endif /* MR_CONTROL_ADMISSION_H */
