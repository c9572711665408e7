/*
 * control/group_datapath.h - groups of shards as what the control socket's commands ask about.
 *
 * Owner: the caller; the groups outlive it.  Threads: the control thread's; sums and counts by any.
 */
#ifndef MR_CONTROL_GROUP_DATAPATH_H
#define MR_CONTROL_GROUP_DATAPATH_H

#include <stdint.h>

#include "control/control.h"
#include "control/group.h"

#define MR_GROUPS_MAX 8

struct mr_group_orders;
struct mr_qlog;

/* Groups whose shards are numbered one after the other, and counted together. */
struct mr_group_set {
    struct mr_group *groups[MR_GROUPS_MAX];
    uint32_t count;
    struct mr_group_orders *orders; /* made when a command needs them; mr_group_set_end() */
    void (*more)(void *context, mr_counter_visit visit, void *to); /* counters of the
                                                                      applications; NULL: none */
    /* Write what people call the owner of a connection (dataplane/move_hooks.h); NULL: its number
     * is enough. */
    void (*name_owner)(void *context, uint64_t owner, char *text, size_t room);
    void *context;
    struct mr_qlog *qlog; /* of the groups' shards; borrowed; NULL: nothing can be traced */
};

/* Sums over the groups. */
struct mr_group_sums {
    struct mr_shard_stats stats;
    struct mr_counters quic;
    struct mr_net_counters net;
    struct mr_io_stats io;
};

void mr_group_set_sums(const struct mr_group_set *set, struct mr_group_sums *sums_out);

/* Shards of all groups; shard `number` of them, NULL: there is none, with its group and its number
 * in it. */
uint32_t mr_group_set_shard_count(const struct mr_group_set *set);
struct mr_shard *mr_group_set_shard(const struct mr_group_set *set, uint32_t number,
                                    struct mr_group **group_out, uint32_t *index_out);

/* What mr_control_open() gets; `set` is borrowed. */
struct mr_control_datapath mr_group_set_datapath(struct mr_group_set *set, const char *version);

/* Give back what commands needed.  The shards must not run any more. */
void mr_group_set_end(struct mr_group_set *set);

#endif /* MR_CONTROL_GROUP_DATAPATH_H */
