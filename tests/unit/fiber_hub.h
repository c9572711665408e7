/*
 * tests/unit/fiber_hub.h - what the tests of fibers share: a hub for one function, and children
 * that are expected to die.
 */
#ifndef MR_TESTS_UNIT_FIBER_HUB_H
#define MR_TESTS_UNIT_FIBER_HUB_H

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "millrace/fiber.h"
#include "tests/unit/harness.h"

/* Run function(argument) in the first fiber of a new hub, until all fibers have ended. */
static inline void run_in_hub(mr_fiber_function function, void *argument,
                              const struct mr_hub_options *options)
{
    struct mr_hub *hub = mr_hub_new(options, NULL);
    struct mr_fiber_options detached = {.is_detached = true};

    CU_ASSERT_PTR_NOT_NULL_FATAL(hub);
    CU_ASSERT_EQUAL(mr_fiber_spawn(function, argument, "main", &detached, NULL), 0);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 0);
    mr_hub_check(hub);
    CU_ASSERT_EQUAL(mr_hub_close(hub, NULL), 0);
}

static inline struct mr_fiber *spawn(mr_fiber_function function, void *argument, const char *name)
{
    struct mr_fiber *fiber = NULL;

    CU_ASSERT_EQUAL_FATAL(mr_fiber_spawn(function, argument, name, NULL, &fiber), 0);
    return fiber;
}

static inline int64_t join(struct mr_fiber *fiber)
{
    int64_t result = INT64_MIN;

    CU_ASSERT_EQUAL(mr_fiber_join(fiber, MR_FOREVER, &result), 0);
    return result;
}

/* Call function(argument) in a child process, which ends with status 0 if it returns.  What the
 * child wrote to standard error goes to `text`.  Its wait status. */
static inline int run_child(void (*function)(void *), void *argument, char *text, size_t room)
{
    int ends[2];
    int status = 0;
    size_t used = 0;

    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};

        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        function(argument);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t size; (size = read(ends[0], text + used, room - 1 - used)) > 0;)
        used += (size_t)size;
    text[used] = '\0';
    close(ends[0]);
    waitpid(child, &status, 0);
    return status;
}

static inline bool was_killed_by(int status, int signal)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

#endif /* MR_TESTS_UNIT_FIBER_HUB_H */
