/* app/socket_loop.c - sockets on a real loop: the functions that take one; see socket_host.h. */
#include <errno.h>
#include <time.h>

#include "app/loop_internal.h"
#include "app/socket_host.h"

static uint64_t clock_now(void *context)
{
    struct timespec now;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int run(void *context, uint64_t timeout_ns)
{
    return mr_loop_run_once(context, timeout_ns);
}

static int timer(void *context, uint64_t delay_ns, void (*handler)(void *argument), void *argument)
{
    return mr_loop_timer(context, delay_ns, handler, argument) == 0 ? -ENOMEM : 0;
}

static int watch(void *context, int fd, uint32_t events,
                 void (*handler)(void *argument, uint32_t events), void *argument)
{
    return mr_loop_watch(context, fd, events, handler, argument);
}

static void post(void *context, struct mr_loop_entry *entry)
{
    mr_loop_post_entry(context, entry);
}

static bool is_there(void *context)
{
    return ((const struct mr_loop *)context)->has_source;
}

static void gone(void *sockets)
{
    mr_sock_host_free(sockets);
}

struct mr_sock_host *mr_sock_host_of(struct mr_loop *loop)
{
    static const struct mr_sock_host_ops ops = {.now = clock_now,
                                                .run = run,
                                                .timer = timer,
                                                .watch = watch,
                                                .post = post,
                                                .is_there = is_there};
    struct mr_registration *registration = mr_loop_registration(loop);

    if (loop->sockets == NULL) {
        loop->sockets = mr_sock_host_new(registration, &ops, loop, loop);
        loop->sockets_gone = gone;
    }
    return loop->sockets;
}

int mr_sock_listen(struct mr_loop *loop, const char *listener, uint32_t backlog,
                   struct mr_sock **listener_out)
{
    struct mr_sock_host *host = mr_sock_host_of(loop);

    *listener_out = NULL;
    return host == NULL ? -ENOMEM : mr_sock_host_listen(host, listener, backlog, listener_out);
}

int mr_sock_connect(struct mr_loop *loop, const struct mr_connect_options *options,
                    bool is_nonblocking, struct mr_sock **conn_out)
{
    struct mr_sock_host *host = mr_sock_host_of(loop);

    *conn_out = NULL;
    return host == NULL ? -ENOMEM : mr_sock_host_connect(host, options, is_nonblocking, conn_out);
}

int mr_poll(struct mr_loop *loop, struct mr_pollfd *fds, size_t count, int timeout_ms)
{
    struct mr_sock_host *host = mr_sock_host_of(loop);

    return host == NULL ? -ENOMEM : mr_sock_host_poll(host, fds, count, timeout_ms);
}

int mr_wait_for_readiness(struct mr_loop *loop, struct mr_sock **want_read, size_t *reads,
                          struct mr_sock **want_write, size_t *writes, int timeout_ms)
{
    struct mr_sock_host *host = mr_sock_host_of(loop);

    return host == NULL
               ? -ENOMEM
               : mr_sock_host_readiness(host, want_read, reads, want_write, writes, timeout_ms);
}

int mr_pollset_new(struct mr_loop *loop, struct mr_pollset **set_out)
{
    struct mr_sock_host *host = mr_sock_host_of(loop);

    *set_out = NULL;
    return host == NULL ? -ENOMEM : mr_sock_host_pollset(host, set_out);
}

void mr_sock_set_waiter(struct mr_loop *loop, const struct mr_sock_waiter *waiter)
{
    struct mr_sock_host *host = mr_sock_host_of(loop);

    if (host != NULL)
        mr_sock_host_set_waiter(host, waiter);
}
