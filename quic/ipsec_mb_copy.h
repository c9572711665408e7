/*
 * quic/ipsec_mb_copy.h - the functions of intel-ipsec-mb, out of a copy of the library that few
 * others use.
 *
 * The library writes a variable of the whole process, its last error, in each call: a line that all
 * cores want for each packet.  Loaded again, into a namespace of its own, it has variables of its
 * own; its code and constants are the same pages of the file.
 *
 *     shard 0 --> copy 0      copies are loaded when they are wanted first, and stay;
 *     shard 1 --> copy 1      with more users than MR_IPSEC_MB_COPIES several share one
 *     ...
 *
 * Where it cannot be loaded again (linked statically, sanitizers, no dlmopen()) all use the one
 * that is linked.
 *
 * Owner: the process has the copies.  Threads: any; a lock, when one begins or ends.
 */
#ifndef MR_QUIC_IPSEC_MB_COPY_H
#define MR_QUIC_IPSEC_MB_COPY_H

#include <intel-ipsec-mb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_IPSEC_MB_COPIES 12 /* glibc has 16 namespaces, of which others may want some */

/* As in the library's header. */
struct mr_ipsec_mb_functions {
    size_t (*size)(void);
    IMB_MGR *(*set_pointers)(void *memory, uint64_t flags, unsigned reset);
    void (*init)(IMB_MGR *manager, IMB_ARCH *arch);
};

/* Take the copy that the fewest use.  Returns its number, for mr_ipsec_mb_leave(). */
uint32_t mr_ipsec_mb_take(struct mr_ipsec_mb_functions *functions);

/* Nothing of it is used any more. */
void mr_ipsec_mb_leave(uint32_t copy);

#endif /* MR_QUIC_IPSEC_MB_COPY_H */
