/*
 * tests/package/program.c - an application that has nothing but the installed library: C11 and
 * C++17.
 *
 * Prints what came of attaching to a socket that is not there; of a timer of a loop; of a fiber.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <millrace/fiber.h>
#include <millrace/loop.h>
#include <millrace/ring.h>

static void count(void *context)
{
    ++*(int *)context;
}

static int64_t sleep_a_little(void *argument)
{
    int result = mr_fiber_sleep(MR_MILLISECONDS(1));

    return result != 0 ? result : *(int *)argument;
}

/* The result of a fiber that slept. */
static int64_t run_fiber(void)
{
    struct mr_hub *hub = mr_hub_new(NULL, NULL);
    struct mr_fiber *fiber = NULL;
    int answer = 42;
    int64_t result = 0;

    if (hub == NULL || mr_fiber_spawn(sleep_a_little, &answer, "sleeper", NULL, &fiber) != 0)
        return -1;
    mr_hub_run(hub);
    mr_fiber_join(fiber, 0, &result);
    mr_hub_close(hub, NULL);
    return result;
}

int main(void)
{
    struct mr_attach_config wish;
    struct mr_loop_config detached;
    struct mr_attachment *attachment = NULL;
    struct mr_loop *loop = NULL;
    struct mr_error error;
    int calls = 0;

    memset(&wish, 0, sizeof(wish));
    memset(&detached, 0, sizeof(detached));
    memset(&error, 0, sizeof(error));
    wish.control = "/nonexistent/millrace.sock";
    int result = mr_attach(&wish, &attachment, &error);
    printf("attach: %s: %s\n", result == -ENOENT ? "ENOENT" : "?", error.text);

    detached.is_detached = true;
    if (mr_loop_new(&detached, &loop, &error) != 0 ||
        mr_loop_timer(loop, MR_MILLISECONDS(1), count, &calls) == 0)
        return 1;
    while (calls == 0 && mr_loop_run_once(loop, MR_SECONDS(5)) >= 0)
        continue;
    mr_loop_free(loop);
    printf("timers: %d\nfiber: %" PRId64 "\n", calls, run_fiber());
    return 0;
}
