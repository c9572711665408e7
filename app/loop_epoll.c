/* app/loop_epoll.c - waiting for descriptors with epoll; see loop_internal.h. */
#include <errno.h>
#include <time.h>

#include "app/loop_internal.h"
#include "base/compiler.h"

static int open_epoll(struct mr_loop *loop, struct mr_error *error)
{
    loop->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->poll_fd >= 0)
        return 0;
    int result = -errno;
    mr_loop_fail(error, "a loop's epoll", -result);
    return result;
}

static void close_epoll(struct mr_loop *loop)
{
    (void)loop; /* the loop closes poll_fd */
}

static int enter(struct mr_loop *loop)
{
    (void)loop; /* any thread may wait for an epoll */
    return 0;
}

static int control(struct mr_loop *loop, int operation, int fd, struct epoll_event *event)
{
    return epoll_ctl(loop->poll_fd, operation, fd, event) < 0 ? -errno : 0;
}

static int add(struct mr_loop *loop, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    return control(loop, EPOLL_CTL_ADD, fd, &event);
}

static int change(struct mr_loop *loop, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    int result = control(loop, EPOLL_CTL_MOD, fd, &event);

    return result == -ENOENT ? add(loop, fd, events, data) : result;
}

static void remove_fd(struct mr_loop *loop, int fd)
{
    /* A descriptor that was closed is not there any more: that is what was wanted. */
    (void)control(loop, EPOLL_CTL_DEL, fd, NULL);
}

static int wait_epoll(struct mr_loop *loop, struct epoll_event *events, uint64_t wait_ns)
{
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000),
                            .tv_nsec = (long)(wait_ns % 1000000000)};
    int room = (int)loop->config.batch;
    int count;

    if (wait_ns == 0 || wait_ns == MR_FOREVER)
        count = epoll_wait(loop->poll_fd, events, room, wait_ns == 0 ? 0 : -1);
    else
        count = epoll_pwait2(loop->poll_fd, events, room, &wait, NULL);
    if (count < 0 && errno == ENOSYS) /* Linux < 5.11 */
        count = epoll_wait(loop->poll_fd, events, room,
                           (int)MR_MIN(wait_ns / 1000000 + 1, (uint64_t)3600000));
    return count < 0 ? -errno : count;
}

static void settle(struct mr_loop *loop)
{
    (void)loop; /* an epoll is never otherwise */
}

const struct mr_loop_waiter mr_loop_epoll = {
    .open = open_epoll,
    .close = close_epoll,
    .enter = enter,
    .add = add,
    .change = change,
    .remove = remove_fd,
    .wait = wait_epoll,
    .settle = settle,
};
