/*
 * control/region.h - memory that the datapath shares with an application.
 *
 * All of it is there before anybody uses it, so that a polling thread meets no page fault, and it
 * can neither shrink nor grow, so that it meets no SIGBUS either, whatever the application does
 * with its descriptor.  Once the application has mapped it, it is sealed against holes, too:
 * whoever touches a page waits as long as the kernel takes to punch a hole around it, which is a
 * third of a second for 200 MiB.
 *
 * Owner: the caller.  Threads: any, one at a time.
 */
#ifndef MR_CONTROL_REGION_H
#define MR_CONTROL_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

struct mr_region {
    void *memory; /* page-aligned, zero at first; NULL: none */
    uint64_t size;
    int fd;         /* for the application; -1: given away, or none */
    int seal_fd;    /* -1: sealed, or none */
    bool is_locked; /* cannot be swapped out */
};

/* Make `size` bytes, a multiple of 4,096.  0; -errno with the reason in `fault`, and nothing held.
 */
int mr_region_make(struct mr_region *region, uint64_t size, struct mr_fault *fault);

/* The application has mapped it: nobody can map it to write or punch holes into it any more, where
 * the kernel can do that (Linux 5.1).  Once.  0; -EPERM: the application has
 * sealed it against seals. */
int mr_region_seal(struct mr_region *region);

/* Unmap it, and close what was not given away. */
void mr_region_free(struct mr_region *region);

#endif /* MR_CONTROL_REGION_H */
