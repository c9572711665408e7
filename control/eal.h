/*
 * control/eal.h - start DPDK's environment once, quietly, and run pinned workers on it.
 *
 * The control thread (the caller of mr_eal_start()) may run on every CPU of the process; worker i
 * is a thread of its own, pinned to one CPU.  Nothing of DPDK's log reaches the terminal unless
 * asked; its last lines are kept for the message of whatever fails next.  No telemetry socket
 * unless asked, no files shared with other processes, no network card but those that are named.
 *
 * Owner: the process; one EAL in a process's life.  Threads: the control thread only.
 */
#ifndef MR_CONTROL_EAL_H
#define MR_CONTROL_EAL_H

#include <stdbool.h>
#include <stdint.h>

struct mr_fault;

#define MR_EAL_WORKERS_MAX 64
#define MR_EAL_MEMORY_MB   512 /* when the configuration says 0 */
#define MR_EAL_CARDS_MAX   4

enum mr_hugepages {
    MR_HUGEPAGES_AUTO,     /* if enough are free, else ordinary pages */
    MR_HUGEPAGES_REQUIRED, /* a fault if too few are free */
    MR_HUGEPAGES_OFF
};

struct mr_eal_config {
    const char *cores; /* CPUs for workers, "2,3" or "2-5"; NULL: those the process may run on */
    uint32_t worker_count; /* 0..MR_EAL_WORKERS_MAX */
    uint32_t memory_mb;    /* for pools and rings; 0: MR_EAL_MEMORY_MB */
    enum mr_hugepages hugepages;
    bool shares_cores;        /* more workers than CPUs take turns on them; else that is a fault */
    const char *const *cards; /* PCI addresses of those that DPDK is to take; borrowed */
    uint32_t card_count;      /* 0..MR_EAL_CARDS_MAX */
    bool is_verbose;          /* DPDK's log goes to standard error */
    bool has_telemetry;       /* open DPDK's telemetry socket: control/telemetry.h */
};

/* What mr_eal_start() chose. */
struct mr_eal_info {
    bool has_hugepages;
    uint32_t memory_mb;
    uint32_t cpu_count; /* that the process may use */
    uint32_t worker_count;
    uint16_t worker_cpu[MR_EAL_WORKERS_MAX];
    int32_t worker_thread[MR_EAL_WORKERS_MAX]; /* the kernel's number of it, as gettid() gives it */
};

/* Is `cores` a list of cores, whether or not there are such?  False with `fault` set. */
bool mr_eal_check_cores(const char *cores, struct mr_fault *fault);

/* How many file descriptors the process may open besides those it has, counted up to `most`. */
uint32_t mr_eal_free_descriptors(uint32_t most);

/* Start EAL.  False with `fault` set: too few cores, hugepages or file descriptors, not enough
 * memory, no /sys, malformed list of cores. */
bool mr_eal_start(const struct mr_eal_config *config, struct mr_fault *fault);

/* Wait for the workers, release EAL's memory and files.  EAL cannot be started again in this
 * process. */
void mr_eal_stop(void);

const struct mr_eal_info *mr_eal_info(void);

/* Run `main(argument)` on worker `index` < worker_count; the worker must be idle. */
void mr_eal_launch(uint32_t index, int (*main)(void *argument), void *argument);

/* Wait until worker `index` returns; its result.  0 at once if it never ran. */
int mr_eal_join(uint32_t index);

/* The folder of DPDK's sockets and files of this process; valid until mr_eal_stop(). */
const char *mr_eal_folder(void);

/* The last lines of DPDK's log, newest last, for error reports; valid until the next call. */
const char *mr_eal_log(void);

/* Forget them, so that mr_eal_log() speaks of what follows. */
void mr_eal_log_clear(void);

#endif /* MR_CONTROL_EAL_H */
