/*
 * tests/unit/events_trace.h - what the handlers of a side have been told, against what they should.
 *
 * Threads: the test's.
 */
#ifndef MR_TESTS_UNIT_EVENTS_TRACE_H
#define MR_TESTS_UNIT_EVENTS_TRACE_H

#include <stdio.h>
#include <string.h>

#include "tests/support/events_world.h"
#include "tests/unit/harness.h"

/* Since world_forget(). */
static inline void trace_is(unsigned side, const char *expected)
{
    if (strcmp(world.trace[side], expected) != 0)
        printf("# side %u: %s\n# expected: %s\n", side, world.trace[side], expected);
    CU_ASSERT_STRING_EQUAL(world.trace[side], expected);
}

#endif /* MR_TESTS_UNIT_EVENTS_TRACE_H */
