/*
 * dataplane/dispatch_move.c - moves between shards, of a dispatcher's connections; see dispatch.h.
 *
 * Baggage begins with whose it is; the rest is the host's.
 */
#include <errno.h>

#include "dataplane/dispatch_internal.h"

struct label {
    uint32_t owner; /* a member, or MR_NONE: the host */
    uint32_t listener;
};

static const struct mr_move_hooks *host_hooks(const struct mr_dispatcher *d)
{
    return mr_app_host_move_hooks(d->config.host);
}

static enum mr_move_verdict ask(void *context, mr_handle conn, uint32_t to, bool is_own)
{
    struct mr_dispatcher *d = context;
    uint32_t listener;
    uint32_t owner = mr_dispatch_owner(d, conn, &listener);

    if (owner == MR_NONE)
        return host_hooks(d)->ask(host_hooks(d)->context, conn, to, is_own);
    const struct mr_application *member = d->members[owner].application;
    return member->on_move != NULL && member->on_move(member->context, conn, to) ? MR_MOVE_GOES
                                                                                 : MR_MOVE_STAYS;
}

static uint64_t targets(void *context, mr_handle conn)
{
    struct mr_dispatcher *d = context;
    uint32_t listener;
    uint32_t owner = mr_dispatch_owner(d, conn, &listener);

    if (owner == MR_NONE)
        return host_hooks(d)->targets(host_hooks(d)->context, conn);
    return d->members[owner].application->on_move != NULL ? UINT64_MAX : 0;
}

static void pack(void *context, mr_handle conn, void *baggage)
{
    struct mr_dispatcher *d = context;
    struct label *label = baggage;

    label->owner = mr_dispatch_owner(d, conn, &label->listener);
    if (label->owner == MR_NONE)
        host_hooks(d)->pack(host_hooks(d)->context, conn, label + 1);
}

static int offer(void *context, const void *baggage)
{
    struct mr_dispatcher *d = context;
    const struct label *label = baggage;

    if (label->owner == MR_NONE)
        return host_hooks(d)->offer(host_hooks(d)->context, label + 1);
    return mr_pool_free_count(&d->conns) > 0 ? 0 : -ENOMEM;
}

static void take(void *context, mr_handle conn, const void *baggage)
{
    struct mr_dispatcher *d = context;
    const struct label *label = baggage;

    if (label->owner == MR_NONE) {
        host_hooks(d)->take(host_hooks(d)->context, conn, label + 1);
        return;
    }
    bool is_noted = mr_dispatch_note(d, conn, label->owner, label->listener);
    MR_ASSERT(is_noted);
}

static int is_leaving(void *context, mr_handle conn)
{
    struct mr_dispatcher *d = context;
    uint32_t listener;

    if (mr_dispatch_owner(d, conn, &listener) != MR_NONE)
        return 0;
    return host_hooks(d)->is_leaving(host_hooks(d)->context, conn);
}

static uint64_t owner(void *context, mr_handle conn)
{
    struct mr_dispatcher *d = context;
    uint32_t listener;
    uint32_t member = mr_dispatch_owner(d, conn, &listener);

    return member != MR_NONE ? MR_OWNER_MEMBER + member
                             : host_hooks(d)->owner(host_hooks(d)->context, conn);
}

void mr_dispatch_init_hooks(struct mr_dispatcher *d)
{
    d->hooks = (struct mr_move_hooks){.context = d,
                                      .ask = ask,
                                      .targets = targets,
                                      .pack = pack,
                                      .offer = offer,
                                      .take = take,
                                      .is_leaving = is_leaving,
                                      .owner = owner};
}

const struct mr_move_hooks *mr_dispatcher_move_hooks(struct mr_dispatcher *d)
{
    return &d->hooks;
}
