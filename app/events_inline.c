/* app/events_inline.c - see millrace/inline.h: a registration on a shard of a datapath. */
#include <errno.h>

#include "app/events.h"
#include "millrace/inline.h"

/* Connections come by the datapath's policy: there is nothing to begin or end. */
static int listen_inline(void *context, const char *name, bool is_on)
{
    const struct mr_inline *instance = context;

    (void)is_on;
    return instance->listener(instance, name);
}

static uint64_t clock_inline(void *context)
{
    const struct mr_inline *instance = context;

    return instance->clock(instance);
}

static void took_inline(void *context, const char *name, uint64_t ns)
{
    struct mr_inline *instance = context;

    instance->took(instance, name, ns);
}

int mr_inline_serve(struct mr_inline *instance, struct mr_registration *registration)
{
    if (instance == NULL || registration == NULL)
        return -EINVAL;
    mr_registration_set_host(registration, &(struct mr_events_host){.context = instance,
                                                                    .listen = listen_inline,
                                                                    .clock = clock_inline,
                                                                    .took = took_inline});
    mr_registration_touch(registration);
    instance->application = mr_registration_application(registration);
    return 0;
}
