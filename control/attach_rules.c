/* control/attach_rules.c - see attach_internal.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "control/attach_internal.h"

uint64_t mr_attach_listeners(const struct mr_handoff *policy, const char *name)
{
    uint64_t mask = 0;

    for (uint32_t i = 0; i < policy->listener_count; i++)
        if (policy->listener[i].member == 0 &&
            strncmp(policy->listener[i].application, name, MR_ATTACH_NAME) == 0)
            mask |= UINT64_C(1) << i;
    return mask;
}

/* Is it an inline application, whose connections no ring may have? */
static bool is_inline(const struct mr_handoff *policy, const char *name)
{
    for (uint32_t i = 0; i < policy->listener_count; i++)
        if (policy->listener[i].member != 0 &&
            strncmp(policy->listener[i].application, name, MR_ATTACH_NAME) == 0)
            return true;
    return false;
}

static int check_name(const struct mr_attachments *a, const struct mr_message_attach *wish,
                      struct mr_fault *fault)
{
    if (is_inline(&a->policy, wish->name))
        return mr_fault_set(fault, EEXIST,
                            "%s is an application inside this datapath; attach by another name",
                            wish->name);
    if (a->config.allows_any || mr_attach_listeners(&a->policy, wish->name) != 0)
        return 0;
    return mr_fault_set(fault, EPERM,
                        "no listener is for an application named %s, and others are not allowed; "
                        "name one in the configuration",
                        wish->name);
}

/* The shards it wants, as a bit mask. */
static int choose_shards(const struct mr_attachments *a, const struct mr_message_attach *wish,
                         uint64_t *shards_out, struct mr_fault *fault)
{
    uint32_t count = a->config.host_count;
    uint64_t all = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;

    if (a->is_draining)
        return mr_fault_set(fault, ESHUTDOWN,
                            "the datapath drains and takes no new applications; attach to its "
                            "successor");
    if (count == 0)
        return mr_fault_set(fault, EOPNOTSUPP, "this datapath serves no attached applications");
    if ((wish->shards & ~all) != 0)
        return mr_fault_set(fault, EINVAL,
                            "shards 0x%llx are asked for, this datapath has %u: mask 0x%llx",
                            (unsigned long long)wish->shards, count, (unsigned long long)all);
    *shards_out = wish->shards != 0 ? wish->shards : all;
    return 0;
}

static int check_reference(const struct mr_message_attach *wish, const struct mr_client_peer *peer,
                           struct mr_fault *fault)
{
    if ((wish->flags & MR_RING_BY_REFERENCE) == 0 || peer->pid == getpid())
        return 0;
    return mr_fault_set(fault, EPERM,
                        "data by reference is for threads of the datapath's own process %d, not "
                        "for process %d",
                        (int)getpid(), (int)peer->pid);
}

static int check_quotas(const struct mr_attachments *a, const struct mr_client_peer *peer,
                        uint64_t bytes, struct mr_fault *fault)
{
    uint64_t user_bytes = 0;
    uint32_t of_user = 0;

    for (const struct attachment *other = a->first; other != NULL; other = other->next) {
        bool is_same = other->peer.uid == peer->uid;

        of_user += is_same;
        user_bytes += is_same ? other->region_bytes : 0;
    }
    if (a->stats.attachments >= a->config.attachments_max)
        return mr_fault_set(fault, ENOSPC,
                            "%u applications are attached, which is the most; `millrace ctl apps` "
                            "lists them",
                            a->stats.attachments);
    if (of_user >= a->config.user_attachments_max)
        return mr_fault_set(fault, EDQUOT,
                            "user %u has %u attachments, which is the most; `millrace ctl apps` "
                            "lists them",
                            (unsigned)peer->uid, of_user);
    if (bytes > a->config.attachment_bytes_max)
        return mr_fault_set(fault, ENOSPC,
                            "rings of %llu bytes are asked for, an application may have %llu; ask "
                            "for less, or for fewer shards",
                            (unsigned long long)bytes,
                            (unsigned long long)a->config.attachment_bytes_max);
    if (bytes > a->config.region_bytes_max - a->stats.region_bytes)
        return mr_fault_set(
            fault, ENOSPC,
            "rings of %llu bytes are asked for, %llu of %llu are free; ask for "
            "less, or for fewer shards",
            (unsigned long long)bytes,
            (unsigned long long)(a->config.region_bytes_max - a->stats.region_bytes),
            (unsigned long long)a->config.region_bytes_max);
    if (bytes + user_bytes > a->config.user_bytes_max)
        return mr_fault_set(fault, EDQUOT,
                            "rings of %llu bytes are asked for, user %u has %llu of %llu; ask for "
                            "less, or for fewer shards, or raise control.user_bytes",
                            (unsigned long long)bytes, (unsigned)peer->uid,
                            (unsigned long long)user_bytes,
                            (unsigned long long)a->config.user_bytes_max);
    return 0;
}

int mr_attach_plan(const struct mr_attachments *a, const struct mr_message_attach *wish,
                   const struct mr_client_peer *peer, struct mr_attach_plan *plan,
                   struct mr_fault *fault)
{
    int result = choose_shards(a, wish, &plan->shards, fault);

    if (result == 0)
        result = check_name(a, wish, fault);
    if (result == 0)
        result = check_reference(wish, peer, fault);
    if (result == 0)
        result = mr_client_message_sizes(wish, &a->config.sizes, &plan->sizes, fault);
    if (result != 0)
        return result;
    plan->sizes.flags = wish->flags;
    plan->ring_count = (uint32_t)__builtin_popcountll(plan->shards);
    plan->ring_bytes = mr_ring_region_size(&plan->sizes);
    /* no overflow: both factors are limited, by mr_ring_sizes_check() and by 64 */
    return check_quotas(a, peer, plan->ring_bytes * plan->ring_count, fault);
}
