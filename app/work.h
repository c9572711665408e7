/*
 * app/work.h - helper threads of an application: number crunching and system calls that block.
 *
 *     loop --submit--> queue --> helper thread --done(job)--> whatever wakes the loop
 *
 * (dataplane/work_pool.h is the polling threads' counterpart: no lock, no system call there.)
 *
 * Owner: a hub, or an event loop.  Threads: submit and cancel: any.
 * Limits: the number of threads and of queued jobs given to mr_offload_new().
 */
#ifndef MR_APP_WORK_H
#define MR_APP_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

#define MR_OFFLOAD_THREADS_MAX 64

/* Memory of the caller's, who leaves it alone from submit to done. */
struct mr_offload_job {
    int64_t (*function)(void *argument);
    void *argument;
    /* Called when the job is over, on a helper thread (by mr_offload_free(), on its caller's): it
     * passes the job to where it belongs, which may free it at once. */
    void (*done)(struct mr_offload_job *job);
    int64_t result; /* what the function returned; -ECANCELED: mr_offload_free() came first */

    /* the pool's */
    struct mr_offload_job *next;
    bool is_queued;
};

struct mr_offload;

/* Start `threads` (1 to MR_OFFLOAD_THREADS_MAX) helpers with one queue of at most `queue_max`
 * jobs.  NULL with `fault` set: no memory or threads. */
struct mr_offload *mr_offload_new(uint32_t threads, uint32_t queue_max, struct mr_fault *fault);

/* Queue a job; jobs begin in this order.  0; -EAGAIN: the queue is full. */
int mr_offload_submit(struct mr_offload *offload, struct mr_offload_job *job);

/* Take a job back that has not begun.  True: it will not run, and done() is not called.  False: it
 * has begun, and done() is called as usual (or was). */
bool mr_offload_cancel(struct mr_offload *offload, struct mr_offload_job *job);

/* Finish the jobs that have begun, give the others to done() with -ECANCELED, end the threads.
 * Nothing may be submitted meanwhile.  NULL: no effect. */
void mr_offload_free(struct mr_offload *offload);

#endif /* MR_APP_WORK_H */
