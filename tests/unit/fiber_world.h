/*
 * tests/unit/fiber_world.h - fibers on the sockets of tests/support/sock_world.h: one hub for both
 * sides, in virtual time.
 */
#ifndef MR_TESTS_UNIT_FIBER_WORLD_H
#define MR_TESTS_UNIT_FIBER_WORLD_H

#include "app/fiber_socket.h"
#include "tests/support/sock_world.h"
#include "tests/unit/fiber_hub.h"

static inline int step_world(void *context, uint64_t timeout_ns)
{
    (void)context;
    (void)timeout_ns;
    return world_step();
}

/* Run function(argument) as the first fiber of a hub of both sides, until all have ended. */
static inline void run_in_world(mr_fiber_function function, void *argument)
{
    struct mr_hub_options options = {.source = {.run_once = step_world}, .clock = world_now};
    struct mr_fiber_options detached = {.is_detached = true};
    struct mr_hub *hub = mr_hub_new(&options, NULL);

    CU_ASSERT_PTR_NOT_NULL_FATAL(hub);
    for (unsigned s = 0; s < 2; s++)
        mr_hub_serve_host(hub, world.host[s]);
    CU_ASSERT_EQUAL(mr_fiber_spawn(function, argument, "main", &detached, NULL), 0);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 0);
    mr_hub_check(hub);
    CU_ASSERT_EQUAL(mr_hub_close(hub, NULL), 0);
    for (unsigned s = 0; s < 2; s++)
        mr_sock_host_set_waiter(world.host[s], NULL);
}

#endif /* MR_TESTS_UNIT_FIBER_WORLD_H */
