/*
 * examples/exec/queue.h - where a thread of the program waits: an epoll of its own, with a loop's
 * descriptor in it, and whatever else the program waits for.
 *
 *     queue --+-- mr_loop_fd(): there is something for mr_exec_poll() to run
 *             +-- stop_fd: all threads are to end
 */
#ifndef EXAMPLES_EXEC_QUEUE_H
#define EXAMPLES_EXEC_QUEUE_H

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <millrace/loop.h>

static int stop_fd = -1; /* in every queue: readable when all threads are to end */

/* Before any queue is made. */
static inline void queues_begin(void)
{
    stop_fd = eventfd(0, EFD_CLOEXEC);
}

/* Every thread leaves its queue_run(). */
static inline void stop(void)
{
    (void)eventfd_write(stop_fd, 1);
}

/* A queue for who runs this loop. */
static inline int queue_new(struct mr_loop *loop)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = -1};
    int queue = epoll_create1(EPOLL_CLOEXEC);

    (void)epoll_ctl(queue, EPOLL_CTL_ADD, mr_loop_fd(loop), &event);
    event.data.fd = stop_fd;
    (void)epoll_ctl(queue, EPOLL_CTL_ADD, stop_fd, &event);
    return queue;
}

/* Run the loop, until stop() or until its datapath has let go of it: true.  The descriptor tells of
 * everything, timers too: the program waits in its own way, for ever. */
static inline bool queue_run(int queue, struct mr_loop *loop)
{
    struct epoll_event event = {.data.fd = -1};

    while (event.data.fd != stop_fd && mr_loop_is_attached(loop))
        (void)epoll_wait(queue, &event, 1, mr_exec_poll(loop) == 0 ? 0 : -1);
    return event.data.fd != stop_fd;
}

#endif /* EXAMPLES_EXEC_QUEUE_H */
