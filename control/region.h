/*
 * control/region.h - memory that the datapath shares with an application.
 *
 * All of it is there before anybody uses it, so that a polling thread meets no page fault, and it
 * can neither shrink nor grow, so that it meets no SIGBUS either, whatever the application does
 * with its descriptor.  (An application can still punch holes: then the shard's next access costs a
 * page of zeros.)
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
    bool is_locked; /* cannot be swapped out */
};

/* Make `size` bytes, a multiple of 4,096.  0; -errno with the reason in `fault`, and nothing held.
 */
int mr_region_make(struct mr_region *region, uint64_t size, struct mr_fault *fault);

/* Unmap it, and close what was not given away. */
void mr_region_free(struct mr_region *region);

#endif /* MR_CONTROL_REGION_H */
