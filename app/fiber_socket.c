/* app/fiber_socket.c - see millrace/fiber_socket.h. */
#include "app/fiber_socket.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>

#include "app/fiber_internal.h"
#include "base/compiler.h"

/* ------------------------------------------------------------------ waiting */

static int check(void *context, const char *name)
{
    (void)context;
    return mr_switchpoint_check(name);
}

static void *begin(void *context)
{
    struct mr_hub *hub = context;

    return hub->running;
}

/* One call may wait several times: it was checked before the first, and may have been cancelled
 * since. */
static int wait_for(void *context, void *token, uint64_t deadline_ns)
{
    const struct mr_hub *hub = context;
    struct mr_fiber *fiber = token;

    if (fiber->is_cancelled) {
        fiber->is_cancelled = false;
        return -ECANCELED;
    }
    fiber->is_checked = true;
    return (int)mr_fiber_suspend(NULL, mr_hub_time_left(hub, deadline_ns));
}

/* A fiber whose time is over, or which was cancelled, is ready already. */
static void wake(void *context, void *token)
{
    struct mr_fiber *fiber = token;

    (void)context;
    if (fiber->state == MR_FIBER_WAITING)
        mr_fiber_wake(fiber, 0);
}

struct mr_sock_waiter mr_hub_sock_waiter(struct mr_hub *hub)
{
    return (struct mr_sock_waiter){
        .context = hub, .begin = begin, .wait = wait_for, .wake = wake, .check = check};
}

void mr_hub_serve_host(struct mr_hub *hub, struct mr_sock_host *host)
{
    struct mr_sock_waiter waiter = mr_hub_sock_waiter(hub);

    mr_sock_host_set_waiter(host, &waiter);
}

/* ------------------------------------------------------------------ the loop as event source */

static int run_loop(void *context, uint64_t timeout_ns)
{
    int result = mr_loop_run_once(context, timeout_ns);

    return result == -EINTR || result == -ENOTCONN ? 0 : result;
}

/* The hub takes what is there, and empties the descriptor, after each round of the loop. */
static void on_hub_fd(void *context, uint32_t events)
{
    (void)context;
    (void)events;
}

int mr_hub_serve_loop(struct mr_hub *hub, struct mr_loop *loop)
{
    struct mr_sock_waiter waiter = mr_hub_sock_waiter(hub);

    if (hub->is_running || mr_loop_is_inside(loop))
        return -EBUSY;
    int error = mr_loop_watch(loop, mr_hub_fd(hub), POLLIN, on_hub_fd, NULL);
    if (error < 0)
        return error;
    hub->options.source = (struct mr_event_source){.run_once = run_loop, .context = loop};
    if (mr_loop_registration(loop) == NULL)
        return 0;
    (void)mr_loop_run_once(loop, 0); /* its first calls are not another thread's */
    mr_sock_set_waiter(loop, &waiter);
    return 0;
}

int64_t mr_hub_close_loop(struct mr_hub *hub, struct mr_loop *loop, struct mr_error *error)
{
    if (hub->running != NULL || hub->is_running)
        return -EDEADLK;
    (void)mr_loop_watch(loop, mr_hub_fd(hub), 0, NULL, NULL);
    int64_t left = mr_hub_close(hub, error);
    if (mr_loop_registration(loop) != NULL)
        mr_sock_set_waiter(loop, NULL);
    return left;
}

/* ------------------------------------------------------------------ descriptors */

static void on_fd(void *context, uint32_t events)
{
    struct mr_fiber *fiber = context;

    if (fiber->state == MR_FIBER_WAITING)
        mr_fiber_wake(fiber, (int64_t)events);
}

int mr_fiber_wait_fd(struct mr_loop *loop, int fd, uint32_t events, uint64_t timeout_ns)
{
    int result = mr_switchpoint_check("mr_fiber_wait_fd");
    struct mr_fiber *fiber = mr_fiber_current();

    if (fiber == NULL)
        return -EPERM;
    if (result != 0)
        return result;
    result = mr_loop_watch(loop, fd, events, on_fd, fiber);
    if (result < 0)
        return result;
    result = (int)mr_fiber_suspend(NULL, timeout_ns);
    (void)mr_loop_watch(loop, fd, 0, NULL, NULL);
    return result;
}

/* ------------------------------------------------------------------ names */

enum {
    NAME_MAX_SIZE = 254,
    SERVICE_MAX_SIZE = 32
};

/* On the fiber's stack, which stays while the helper works. */
struct resolution {
    const char *name;
    const char *service;
    struct sockaddr_storage *addresses;
    uint32_t room;
};

/* On a helper thread. */
static int64_t resolve(void *argument)
{
    const struct resolution *own = argument;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *list = NULL;
    uint32_t count = 0;
    int error = getaddrinfo(own->name, own->service, &hints, &list);

    if (error == EAI_AGAIN)
        return -EAGAIN;
    if (error == EAI_NONAME || error == EAI_SERVICE || error == EAI_NODATA)
        return -ENOENT;
    if (error != 0)
        return error == EAI_MEMORY ? -ENOMEM : -EIO;
    for (const struct addrinfo *i = list; i != NULL && count < own->room; i = i->ai_next) {
        memset(&own->addresses[count], 0, sizeof(own->addresses[count]));
        memcpy(&own->addresses[count++], i->ai_addr, i->ai_addrlen);
    }
    freeaddrinfo(list);
    return count;
}

int mr_fiber_resolve(const char *name, const char *service, struct sockaddr_storage *addresses_out,
                     uint32_t room)
{
    int result = mr_switchpoint_check("mr_fiber_resolve");
    struct resolution own = {name, service, addresses_out, room};
    int64_t count = 0;

    if (result != 0)
        return result;
    if (name == NULL || service == NULL || addresses_out == NULL)
        return -EINVAL;
    if (strnlen(name, NAME_MAX_SIZE) == NAME_MAX_SIZE ||
        strnlen(service, SERVICE_MAX_SIZE) == SERVICE_MAX_SIZE)
        return -ENAMETOOLONG;
    result = mr_fiber_work(resolve, &own, &count);
    return result != 0 ? result : (int)count;
}
