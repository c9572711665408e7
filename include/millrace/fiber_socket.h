/*
 * millrace/fiber_socket.h - a hub of fibers and a loop as one: blocking calls that switch.
 *
 *     mr_hub_run:  ready fibers --> mr_loop_run_once() --> timers --> ...
 *                      |                   |
 *      mr_sock_read(): waits               readable: wakes
 *
 * Once a loop is served by a hub, a call of millrace/socket.h that has to wait lets the other
 * fibers of the hub run.  Such calls are switchpoints: they panic within MR_ASSERT_NO_SWITCHPOINTS,
 * even if they would not have waited, and return -ECANCELED to a fiber that was cancelled.  Calls
 * on sockets with MR_SOCK_NONBLOCK, of millrace/events.h and of millrace/adapter.h never switch.
 *
 * Outside fibers a call that would wait returns -EDEADLK.
 *
 * Owner: the caller has both, and closes the hub first.  Threads: the hub's, which runs the loop.
 */
#ifndef MILLRACE_FIBER_SOCKET_H
#define MILLRACE_FIBER_SOCKET_H

#include <stdint.h>
#include <sys/socket.h>

#include "millrace/fiber.h"
#include "millrace/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Let the hub's events come from the loop, and its fibers wait there.  A datapath that is gone does
 * not end mr_hub_run(): the sockets say so.  0; -EBUSY: one of them runs
 * already; -errno of mr_loop_watch().
 */
int mr_hub_serve_loop(struct mr_hub *hub, struct mr_loop *loop);

/* mr_hub_close() of a hub that serves the loop; afterwards blocking calls run the loop themselves
 * again. */
int64_t mr_hub_close_loop(struct mr_hub *hub, struct mr_loop *loop, struct mr_error *error);

/*
 * Wait until one of `events` (POLLIN, POLLOUT; POLLERR and POLLHUP always) holds for a kernel
 * descriptor, which `loop`, served by the fiber's hub, watches for nobody else.  The events that
 * hold; -ETIMEDOUT; -ECANCELED; -EPERM: outside fibers, or what cannot be
 * watched; -errno of mr_loop_watch().
 */
MR_SWITCHPOINT int mr_fiber_wait_fd(struct mr_loop *loop, int fd, uint32_t events,
                                    uint64_t timeout_ns);

/*
 * getaddrinfo(3) of a host's name and a port's number or name, on a helper thread.  At most `room`
 * addresses.  How many; -ENOENT: there are none; -EAGAIN: no answer for now; -EIO; -ENAMETOOLONG;
 * -EINVAL: one of the pointers is NULL ("0" asks for no port); else as mr_fiber_work().
 */
MR_SWITCHPOINT int mr_fiber_resolve(const char *name, const char *service,
                                    struct sockaddr_storage *addresses_out, uint32_t room);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_FIBER_SOCKET_H */
