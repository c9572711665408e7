/*
 * tests/support/fake_host.h - dataplane/app_host.h without connections: rings come, answer NOPs,
 * and go, when the test says so.  Linked in place of the real one.
 */
#ifndef MR_TESTS_SUPPORT_FAKE_HOST_H
#define MR_TESTS_SUPPORT_FAKE_HOST_H

#include <stdbool.h>

#include "dataplane/app_host.h"

/* What the next calls do. */
struct fake_host_knobs {
    int attach_error;   /* of mr_app_host_attach(); 0: it works */
    bool is_hung;       /* the shard does nothing */
    bool is_busy;       /* mr_app_host_set_policy() says -EBUSY */
    uint32_t drain_for; /* polls that a ring takes to drain */
};

struct fake_host_knobs *fake_host_knobs(struct mr_app_host *host);

/* One iteration of the shard. */
void fake_host_poll(struct mr_app_host *host);

/* Let go of a ring as if its application had broken it. */
void fake_host_break(struct mr_app_host *host, uint32_t ring);

/* Wake the ring's application, asleep or not. */
void fake_host_wake(struct mr_app_host *host, uint32_t ring);

const struct mr_handoff *fake_host_policy(const struct mr_app_host *host);
const struct mr_app_ring_config *fake_host_ring(const struct mr_app_host *host, uint32_t ring);

/* Rings that are not free. */
uint32_t fake_host_ring_count(const struct mr_app_host *host);

#endif /* MR_TESTS_SUPPORT_FAKE_HOST_H */
