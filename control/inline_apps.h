/*
 * control/inline_apps.h - the inline applications of a datapath: shared objects, loaded, one
 * instance of each for every shard (millrace/inline.h).
 *
 *     object --load--> mr_inline --start()--> instance on shard 0, 1, ...
 *                                                |
 *     shard's host of rings --------------> dispatcher (dataplane/dispatch.h) --> the shard's
 *                                                                                 application
 *
 * Owner: the datapath.  Threads: the control thread's; instances are called by their shards' while
 * these run.
 * Limits: MR_DISPATCH_MEMBERS applications.
 */
#ifndef MR_CONTROL_INLINE_APPS_H
#define MR_CONTROL_INLINE_APPS_H

#include <stdint.h>

#include "base/fault.h"
#include "control/config.h"
#include "dataplane/dispatch.h"

struct mr_inline_apps_config {
    const struct mr_config_inline *apps; /* borrowed */
    uint32_t app_count;
    const struct mr_handoff *handoff; /* borrowed; its listeners name members */
    uint32_t shard_count;
    struct mr_app_host *const *hosts; /* of each shard; borrowed */
    const int32_t *nodes;             /* NUMA node of each shard */
    uint32_t conns_max;               /* of a shard */
};

struct mr_inline_apps;

/* Load all, and start an instance of each for every shard.  NULL with `fault` set, and nothing
 * held: an object cannot be loaded or is none, or an instance does not start. */
struct mr_inline_apps *mr_inline_apps_start(const struct mr_inline_apps_config *config,
                                            struct mr_fault *fault);

/* Stop all and unload.  The shards must not run any more.  NULL is allowed. */
void mr_inline_apps_stop(struct mr_inline_apps *apps);

/* What shard `shard` gets as its application. */
const struct mr_application *mr_inline_apps_application(struct mr_inline_apps *apps,
                                                        uint32_t shard);
const struct mr_move_hooks *mr_inline_apps_move_hooks(struct mr_inline_apps *apps, uint32_t shard);

/* Of application `app` on shard `shard`. */
void mr_inline_apps_stats(const struct mr_inline_apps *apps, uint32_t app, uint32_t shard,
                          struct mr_dispatch_stats *stats_out);

/* Say in the log which handlers took longer than any before them, and too long. */
void mr_inline_apps_look(struct mr_inline_apps *apps);

/* Give the listeners of `handoff` the numbers of those of the applications that they name. */
void mr_inline_apps_name(struct mr_handoff *handoff, const struct mr_config_inline *apps,
                         uint32_t app_count);

#endif /* MR_CONTROL_INLINE_APPS_H */
