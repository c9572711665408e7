/*
 * tests/sim/sim_trace.h - a side of the simulator that is traced: everything that it tells becomes
 * qlog, and is looked at.
 *
 * Owner: the side.  Threads: the simulator's only.
 */
#ifndef MR_TESTS_SIM_TRACE_H
#define MR_TESTS_SIM_TRACE_H

#include "quic/endpoint.h"
#include "quic/trace.h"

/* Trace every connection of the endpoint.  Free with sim_trace_free(), after the endpoint's end. */
struct mr_tracer *sim_trace_new(struct mr_endpoint *ep, uint64_t now);

/* Read what was told since.  Aborts unless it is a trace's course: a beginning, times that do not
 * fall, packet numbers that rise, JSON. */
void sim_trace_read(struct mr_tracer *tracer);

void sim_trace_free(struct mr_tracer *tracer);

#endif /* MR_TESTS_SIM_TRACE_H */
