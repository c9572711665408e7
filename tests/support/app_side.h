/*
 * tests/support/app_side.h - an attached application, as small as can be: the other end of a
 * dataplane/app_host.h ring, for tests.
 */
#ifndef MR_TESTS_SUPPORT_APP_SIDE_H
#define MR_TESTS_SUPPORT_APP_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/app_host.h"
#include "dataplane/ring_region.h"

struct app_side {
    void *memory;
    struct mr_ring_region region;
    struct mr_outbox submissions;
    struct mr_inbox completions;
    struct mr_app_host *host;
    int ring;
    uint32_t wakes;
};

/* Attach a new application with a region of `sizes` to `host`. */
void app_side_attach(struct app_side *app, struct mr_app_host *host,
                     const struct mr_ring_sizes *sizes);

/* Free the region; the ring must be drained. */
void app_side_free(struct app_side *app);

/* Submit; false: the queue is full. */
bool app_side_submit(struct app_side *app, const struct mr_sqe *sqe);

/* The next completion; false: none. */
bool app_side_next(struct app_side *app, struct mr_cqe *cqe);

/* Put a struct mr_ring_connect for the server of a loop at the begin of the send area, and submit
 * CONNECT. */
void app_side_connect(struct app_side *app, uint64_t user_data);

#endif /* MR_TESTS_SUPPORT_APP_SIDE_H */
