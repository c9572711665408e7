/* app/loop_uring_none.c - a library that was built without io_uring; see loop_internal.h. */
#include <errno.h>
#include <stdio.h>

#include "app/loop_internal.h"

static int refuse(struct mr_loop *loop, struct mr_error *error)
{
    (void)loop;
    if (error != NULL)
        snprintf(error->text, sizeof(error->text),
                 "this library was built without io_uring: build it where liburing (2.3) is "
                 "installed, or use MR_LOOP_EPOLL");
    return -ENOTSUP;
}

const struct mr_loop_waiter mr_loop_uring = {.open = refuse};
