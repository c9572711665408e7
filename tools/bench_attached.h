/*
 * tools/bench_attached.h - an attached application of a bench: in a process of its own, or in a
 * thread of this one.
 *
 *     mr_bench_attached_fork()    first of all, before there are threads; it waits
 *     ... EAL, lanes ...
 *     mr_bench_attached_go()      it attaches, and says so in task.is_ready
 *     ... measured ...
 *     mr_bench_attached_end()     once the lanes have let go of it
 *
 * Both sides see the task.  A process is a copy of the bench's from before anything was started:
 * nothing of DPDK is in it.  It dies with the bench.
 *
 * Owner: the bench.  Threads: the control thread; the application's function runs on its own.
 */
#ifndef MR_TOOLS_BENCH_ATTACHED_H
#define MR_TOOLS_BENCH_ATTACHED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fault.h"

struct mr_bench_task {
    /* set before it goes */
    char control[128]; /* path of the socket */
    uint64_t shards;   /* bit mask, for mr_attach() */
    uint32_t cpu;      /* to run on */
    bool is_by_reference;
    /* the application's */
    _Atomic bool is_ready;       /* attached, and listening */
    _Atomic uint64_t copied_in;  /* bytes, by its library or itself, on their way to it */
    _Atomic uint64_t copied_out; /* and from it */
    _Atomic uint64_t bytes_received;
    _Atomic uint64_t bad_bytes;
    _Atomic uint64_t busy_ns; /* in turns that did something; 0: not told */
    struct mr_fault fault;    /* why it ended, if it returned other than 0 */
};

/* Runs until the datapath lets go of it.  0, or not with the reason in the task. */
typedef int (*mr_bench_task_function)(struct mr_bench_task *task, void *argument);

struct mr_bench_attached {
    struct mr_bench_task *task;
    mr_bench_task_function function;
    void *argument;
    pid_t pid; /* 0: a thread */
    int go_fd; /* -1: it went, or is a thread */
    bool has_gone;
    pthread_t thread;
    _Atomic bool is_over; /* the thread has returned */
    int result;
};

/* Make a process that will call the function.  `argument` is as it is now.  False with `fault` set.
 */
bool mr_bench_attached_fork(struct mr_bench_attached *a, mr_bench_task_function function,
                            void *argument, struct mr_fault *fault);

/* The same as a thread, which begins when it goes. */
bool mr_bench_attached_thread(struct mr_bench_attached *a, mr_bench_task_function function,
                              void *argument, struct mr_fault *fault);

void mr_bench_attached_go(struct mr_bench_attached *a, const char *control, uint64_t shards,
                          uint32_t cpu);

/* Is it still there? */
bool mr_bench_attached_is_alive(struct mr_bench_attached *a);

/* CPU time that it has had so far, of all its threads, seconds. */
double mr_bench_attached_cpu(const struct mr_bench_attached *a);

/* Bytes of its memory that are its own, not shared with the datapath; 0: not to be had.  Of
 * processes only. */
uint64_t mr_bench_attached_bytes(const struct mr_bench_attached *a);

/* Wait for its end, which a process that takes longer than `patience_s` finds by SIGKILL.  Also of
 * one that never went.  True: it ended by itself, with 0; else `fault` is set. */
bool mr_bench_attached_end(struct mr_bench_attached *a, double patience_s, struct mr_fault *fault);

/* Free the task, which can be read until then. */
void mr_bench_attached_free(struct mr_bench_attached *a);

#endif /* MR_TOOLS_BENCH_ATTACHED_H */
