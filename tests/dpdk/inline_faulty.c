/*
 * tests/dpdk/inline_faulty.c - inline applications with which something is wrong: FAULT is 1
 * another version, 2 no start(), 3 start() refuses with a reason, 4 without one, 5 nobody is told
 * of events, 6 only the first shard's instance starts.
 */
#include <errno.h>
#include <stdio.h>

#include "millrace/inline.h"

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    (void)context;
    (void)events;
    (void)count;
}

static const struct mr_application nobody = {.name = "nobody", .on_events = on_events};

static int start(struct mr_inline *instance, const char *argument, struct mr_error *error)
{
    if (FAULT == 3 || (FAULT == 6 && instance->shard == 1))
        snprintf(error->text, sizeof(error->text), "it does not like \"%s\"", argument);
    if (FAULT == 3 || FAULT == 4 || (FAULT == 6 && instance->shard == 1))
        return -EDOM;
    if (FAULT != 5)
        instance->application = &nobody;
    return 0;
}

static void stop(struct mr_inline *instance)
{
    printf("stopped on shard %u of %u\n", instance->shard, instance->shard_count);
    fflush(stdout);
}

const struct mr_inline_application mr_inline = {
    .version = FAULT == 1 ? 99 : MR_INLINE_VERSION,
    .name = "faulty",
    .start = FAULT == 2 ? NULL : start,
    .stop = stop,
};
