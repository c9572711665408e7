/* tests/dpdk/nobody.h - an application that does nothing, for shards whose connections are not the
 * test. */
#ifndef MR_TESTS_DPDK_NOBODY_H
#define MR_TESTS_DPDK_NOBODY_H

#include "millrace/transport.h"

static inline void ignore_events(void *context, const struct mr_event *events, size_t count)
{
    (void)context;
    (void)events;
    (void)count;
}

static inline void ignore_start(void *context, struct mr_transport *transport)
{
    (void)context;
    (void)transport;
}

static inline void ignore_stop(void *context)
{
    (void)context;
}

static const struct mr_application nobody = {
    .name = "nobody", .on_start = ignore_start, .on_events = ignore_events, .on_stop = ignore_stop};

#endif /* MR_TESTS_DPDK_NOBODY_H */
