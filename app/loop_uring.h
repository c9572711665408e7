/*
 * app/loop_uring.h - what the two rings of a loop with MR_LOOP_URING share; see loop_internal.h.
 *
 *     loop_uring.c        descriptors: one poll of one event each, asked for again behind it
 *     loop_uring_file.c   files
 *     loop_uring_none.c   instead of both: a library that was built without liburing
 *
 * The ring of descriptors defers completions to whoever waits (IORING_SETUP_DEFER_TASKRUN), so that
 * no thread is ever interrupted for one; in return one thread alone may enter it.  When another
 * runs the loop, it gets a new ring, and what is watched is asked for again.  Calls for files
 * cannot be taken along like that: the kernel may be writing to their buffers.  Their ring is one
 * that any thread may enter, and a descriptor in the other.
 *
 * Others wait for an epoll (loop->poll_fd) in which everything watched is, too: it refuses what
 * cannot be watched, and wakes them when the ring cannot.  (The descriptor of a ring that defers
 * does not wake a poller; an eventfd registered with it misses, in Linux 6.18, all but the first
 * event that comes of writing to an eventfd.)
 */
#ifndef MR_APP_LOOP_URING_H
#define MR_APP_LOOP_URING_H

#include <liburing.h>
#include <poll.h>
#include <sys/types.h>

#include "app/loop_internal.h"

/* A descriptor that is watched. */
struct uring_slot {
    uint64_t data;
    uint32_t events; /* 0: not watched */
    uint32_t generation;
    uint32_t armed_in; /* the wait in which it was */
    bool is_armed;     /* the kernel has, or is to have, a poll of this generation */
    bool is_dirty;     /* in the list of those to be armed */
    bool has_unseen;   /* something nobody asked for holds: wait for a change */
};

struct uring_files {
    struct io_uring ring;
    pthread_mutex_t mutex;      /* of first and last */
    struct mr_loop_file *first; /* not given to the kernel yet */
    struct mr_loop_file *last;
    uint32_t out_count;          /* given to it */
    _Atomic uint32_t file_count; /* both */
};

struct uring {
    struct io_uring ring;
    pid_t owner;              /* the thread that may enter it; 0: none yet */
    pid_t process;            /* whose thread that is */
    struct uring_slot *slots; /* index: descriptor */
    uint32_t *dirty;          /* descriptors to be armed, in order */
    uint32_t slot_count;
    uint32_t dirty_count;
    uint32_t wait_number;
    struct uring_files files;
    struct pollfd old[MR_LOOP_BATCH_MAX]; /* hear_all()'s, whose stack may be a fiber's */
};

/* ---- loop_uring_ring.c ---- */

/* As io_uring_queue_init_params(3): 0, -errno.  A ring so opened is closed by
 * mr_uring_ring_close(). */
int mr_uring_ring_open(struct io_uring *ring, uint32_t entries, struct io_uring_params *params);
void mr_uring_ring_close(struct io_uring *ring);

/* ---- loop_uring_file.c ---- */

/* 0; -errno as io_uring_queue_init(3). */
int mr_uring_files_open(struct uring_files *files);
/* Cancel, or wait for, all that is out; nobody is told.  `is_ours` false: a child process's copy,
 * which is only forgotten. */
void mr_uring_files_close(struct mr_loop *loop, bool is_ours);
/* struct mr_loop_waiter.file, .run_files */
int mr_uring_file(struct mr_loop *loop, struct mr_loop_file *file);
uint32_t mr_uring_run_files(struct mr_loop *loop);
/* Give the kernel what it may have.  True: sleep does no harm; false: something is over, or is to
 * be given again. */
bool mr_uring_files_submit(struct mr_loop *loop);

#endif /* MR_APP_LOOP_URING_H */
