/*
 * drivers/xdp_program.h - the XDP program on an interface that an af_xdp port shares with the
 * kernel: loaded, attached, told what is ours, asked what it counted.
 *
 * It is attached through a link of BPF, which the kernel takes away with the last descriptor of it:
 * when the port is closed, and when the process dies, however it does.  Nothing is pinned.
 *
 * Owner: the port.  Threads: the control thread.
 */
#ifndef MR_DRIVERS_XDP_PROGRAM_H
#define MR_DRIVERS_XDP_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/xdp_rules.h"

struct mr_fault;
struct mr_port_admission;
struct mr_xdp_program;

/*
 * Load the program and attach it to interface `index`, in its driver or, where that cannot, before
 * the kernel's stack.  Nothing is ours at first: all frames pass.  NULL with `fault` set: the
 * kernel refuses it, there is another program.
 */
struct mr_xdp_program *mr_xdp_program_attach(unsigned index, const char *name,
                                             struct mr_fault *fault);

/* Detach it and let it go.  NULL is allowed. */
void mr_xdp_program_free(struct mr_xdp_program *program);

/* Give socket `fd` what arrives for us at `queue`.  False with `fault` set. */
bool mr_xdp_program_add_socket(struct mr_xdp_program *program, uint32_t queue, int fd,
                               struct mr_fault *fault);

/* What is ours from now on, at MAC `mac`; the last call counts.  0, or -errno with `fault` set:
 * too many addresses, or the kernel refuses a rule, and then nothing is ours. */
int mr_xdp_program_admit(struct mr_xdp_program *program, const uint8_t mac[6],
                         const struct mr_port_admission *admission, struct mr_fault *fault);

/* Does it run in the driver?  Else the kernel makes a packet of each frame before it asks. */
bool mr_xdp_program_is_native(const struct mr_xdp_program *program);

/* Frames of each outcome, by enum mr_xdp_outcome, since it was attached. */
void mr_xdp_program_counts(const struct mr_xdp_program *program,
                           uint64_t counts_out[MR_XDP_OUTCOME_COUNT]);

#endif /* MR_DRIVERS_XDP_PROGRAM_H */
