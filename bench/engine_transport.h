/*
 * bench/engine_transport.h - an application on an endpoint without a port, in virtual time: what a
 * shard has for it (dataplane/transport_inline.c), for benches and tests that bring datagrams from
 * one endpoint to another themselves.
 *
 *     application --operations--> endpoint
 *          ^                         |  events: engine_transport_tell()
 *          +---- timers, work <------+  engine_transport_run_timers(), _run_works()
 *
 * Work runs at once, and is told later.
 *
 * Owner: the program; endpoint, application and clock are borrowed.  Threads: one.  Limits:
 * ENGINE_TIMERS timers armed at a time (-ENOMEM), ENGINE_WORKS works that were not told of
 * (-EAGAIN).
 */
#ifndef MR_BENCH_ENGINE_TRANSPORT_H
#define MR_BENCH_ENGINE_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/transport.h"
#include "quic/endpoint.h"

enum {
    ENGINE_TIMERS = 64,
    ENGINE_WORKS = 64,
};

struct engine_timer {
    bool is_armed;
    uint64_t at_ns;
    uint64_t user_data;
};

struct engine_transport {
    struct mr_transport transport; /* first */
    struct mr_endpoint *ep;
    const uint64_t *now_ns; /* the program's clock */
    struct mr_addr local;   /* where its connections begin */
    const struct mr_application *application;
    struct engine_timer timers[ENGINE_TIMERS];
    struct mr_event works[ENGINE_WORKS]; /* done, to be told */
    uint32_t work_count;
};

/* Start the application on `*t`, whose endpoint, clock, address and application are set, all else
 * zero. */
void engine_transport_start(struct engine_transport *t);

/* Tell the application, of none if there are none. */
void engine_transport_tell(struct engine_transport *t, const struct mr_event *events, size_t count);

/* Tell it of the timers that are due; of the work that is done. */
void engine_transport_run_timers(struct engine_transport *t);
void engine_transport_run_works(struct engine_transport *t);

/* When the next timer is due; MR_NEVER. */
uint64_t engine_transport_next_timer(const struct engine_transport *t);

#endif /* MR_BENCH_ENGINE_TRANSPORT_H */
