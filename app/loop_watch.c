/* app/loop_watch.c - kernel descriptors; see loop_internal.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "app/loop_internal.h"
#include "base/compiler.h"

_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLERR == EPOLLERR &&
                   POLLHUP == EPOLLHUP && POLLPRI == EPOLLPRI && POLLRDHUP == EPOLLRDHUP,
               "events of poll(2) are passed on as they are");

#define WATCHABLE ((uint32_t)(POLLIN | POLLOUT | POLLPRI | POLLRDHUP))

void mr_loop_watches_free(struct mr_loop *loop)
{
    free(loop->watches.watch);
}

/* The place of a descriptor; NULL: no memory. */
static struct watch *place_of(struct watches *w, uint32_t fd)
{
    if (fd < w->count)
        return &w->watch[fd];
    uint32_t count = MR_MAX(w->count, 64u);
    while (count <= fd)
        count *= 2;
    struct watch *watch = realloc(w->watch, sizeof(*watch) * count);
    if (watch == NULL)
        return NULL;
    memset(watch + w->count, 0, sizeof(*watch) * (count - w->count));
    w->watch = watch;
    w->count = count;
    return &w->watch[fd];
}

static int unwatch(struct mr_loop *loop, int fd)
{
    struct watch *w = (uint32_t)fd < loop->watches.count ? &loop->watches.watch[fd] : NULL;

    if (w == NULL || w->events == 0)
        return -ENOENT;
    w->events = 0;
    w->generation++; /* what the wait has already said is stale */
    loop->waiter->remove(loop, fd);
    return 0;
}

int mr_loop_watch(struct mr_loop *loop, int fd, uint32_t events,
                  void (*handler)(void *context, uint32_t events), void *context)
{
    if (fd < 0)
        return -EBADF;
    if (events == 0)
        return unwatch(loop, fd);
    if (handler == NULL || (events & ~WATCHABLE) != 0)
        return -EINVAL;
    if (fcntl(fd, F_GETFD) < 0)
        return -EBADF; /* no table of two thousand million */
    struct watch *w = place_of(&loop->watches, (uint32_t)fd);
    if (w == NULL)
        return -ENOMEM;
    uint32_t generation = (w->generation + 1) & INT32_MAX;
    uint64_t data = (uint64_t)generation << 32 | (uint32_t)fd;
    int result = w->events != 0 ? loop->waiter->change(loop, fd, events, data)
                                : loop->waiter->add(loop, fd, events, data);
    if (result < 0)
        return result;
    *w = (struct watch){
        .handler = handler, .context = context, .events = events, .generation = generation};
    return 0;
}

void mr_loop_run_watch(struct mr_loop *loop, uint64_t data, uint32_t events)
{
    uint32_t fd = (uint32_t)data;
    struct watch w = loop->watches.watch[fd];

    if (w.events == 0 || w.generation != data >> 32)
        return;
    w.handler(w.context, events);
    mr_loop_called(loop, "descriptor", (const void *)(uintptr_t)w.handler);
}
