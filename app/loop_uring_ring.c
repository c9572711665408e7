/*
 * app/loop_uring_ring.c - a ring's memory comes and goes; see loop_uring.h.
 *
 * liburing maps it by system calls of its own, unseen by the thread sanitizer: a ring where another
 * thread's was before looks to it like a race between the two.  What it is told here is that the
 * kernel has let go of the one before it gives the other.
 */
#include "app/loop_uring.h"
#include "base/compiler.h"

void __tsan_acquire(void *address);
void __tsan_release(void *address);

static char given_back; /* stands for memory that no ring has */

int mr_uring_ring_open(struct io_uring *ring, uint32_t entries, struct io_uring_params *params)
{
    int result = io_uring_queue_init_params(entries, ring, params);

    if (MR_TSAN)
        __tsan_acquire(&given_back);
    return result;
}

void mr_uring_ring_close(struct io_uring *ring)
{
    if (MR_TSAN)
        __tsan_release(&given_back);
    io_uring_queue_exit(ring);
}
