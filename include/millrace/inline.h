/*
 * millrace/inline.h - applications inside the datapath: a shared object that `millrace host` loads.
 *
 *     millrace host --inline name=echo,object=./echo_inline.so --listener application=echo,...
 *
 *     control thread   start() of each shard's instance ----------------------------> stop()
 *     polling lcores          application->on_start, on_events, on_poll ... on_stop
 *
 * The object defines one variable, of C linkage:
 *
 *     const struct mr_inline_application mr_inline = {
 *         .version = MR_INLINE_VERSION, .name = "echo", .start = start, .stop = stop};
 *
 * It has one instance for each shard.  Whatever a shard's instance is told, it is told on that
 * shard's lcore, and instances run in parallel: they share nothing but what they lock, and locks do
 * not go with an lcore.  The connections of an instance, accepted by its listeners or opened by it,
 * are its own; those of other applications of the datapath are unknown to it.
 *
 * An instance is written with millrace/events.h (mr_inline_serve()) or directly against
 * millrace/transport.h (`application`).  For both the inline contract holds: what is called on an
 * lcore returns within 20 us, and does not block, allocate or call the system.  Memory is taken in
 * start(), and touched there, or the lcore pays for its first use.
 *
 * Owner: the datapath, for instances, from before start() until stop() returns; what `context`
 * means is the object's own.
 * Threads: start() and stop() are called on the control thread, one at a time, while no lcore runs
 * the instance; everything else on its shard's lcore.
 */
#ifndef MILLRACE_INLINE_H
#define MILLRACE_INLINE_H

#include <stdint.h>

#include "millrace/error.h"
#include "millrace/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MR_INLINE_VERSION 1
#define MR_INLINE_SYMBOL  "mr_inline"

struct mr_registration; /* millrace/events.h */

/* An instance: one application on one shard. */
struct mr_inline {
    const char *name;     /* as the configuration calls it */
    uint32_t shard;       /* number of the shard, */
    uint32_t shard_count; /* of so many; their instances are started in this order */
    int32_t node;         /* NUMA node of the shard's CPU; -1: unknown */
    uint32_t reserved;

    /* set by start() */
    const struct mr_application *application; /* who is told; must stay until stop() */
    void *context;                            /* the instance's own */

    /* the datapath's */
    void *datapath;
    /* Number of the named listener, as `listener` of struct mr_event says it; NULL: of the first
     * that is this application's.  -ENOENT: there is none. */
    int (*listener)(const struct mr_inline *instance, const char *name);
    /* Nanoseconds of a monotonic clock: no system call. */
    uint64_t (*clock)(const struct mr_inline *instance);
    /* A handler called `name` took so long: counted, and told if it was too long. */
    void (*took)(struct mr_inline *instance, const char *name, uint64_t ns);
};

/* What the object's `mr_inline` is. */
struct mr_inline_application {
    uint32_t version; /* MR_INLINE_VERSION */
    uint32_t reserved;
    const char *name; /* what it is, for people */

    /* Make ready what the shard's instance needs, and set its `application`.  0, or -errno with the
     * reason in `error`: the datapath does not start.  `argument`: the configuration's, "" if it
     * has none. */
    int (*start)(struct mr_inline *instance, const char *argument, struct mr_error *error);

    /* Free it all: of each instance whose start() said 0, when its lcore has returned; on_stop()
     * was called, unless the lcore never ran.  NULL: there is nothing to free. */
    void (*stop)(struct mr_inline *instance);
};

/*
 * Let the registration be what the instance is told by: sets `application`; names of listeners mean
 * those of the datapath's configuration, and slow handlers are reported by name.  For start().  0;
 * -EINVAL: no instance or no registration.
 */
int mr_inline_serve(struct mr_inline *instance, struct mr_registration *registration);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_INLINE_H */
