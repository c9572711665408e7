/*
 * app/socket_host.h - where sockets live: a registration, and the world that moves it.
 *
 * millrace/socket.h is written against the registration alone; what it needs of a loop besides is
 * this small table.  A real loop is one (app/socket_loop.c); a test that steps a transport in
 * memory is another.
 *
 *     mr_sock_x() --waits--> host --ops.run()--> loop --handlers--> socket_event.c --wakes--> host
 *
 * Owner: the loop, or the test.  Threads: the registration's.
 */
#ifndef MR_APP_SOCKET_HOST_H
#define MR_APP_SOCKET_HOST_H

#include "millrace/socket.h"

struct mr_sock_host;

struct mr_sock_host_ops {
    uint64_t (*now)(void *context); /* ns, monotonic */
    /* Dispatch what is there; when nothing is, wait at most `timeout_ns`, and dispatch.  >= 0;
     * -EINTR; -EBUSY: it runs already; other: nothing will come any more. */
    int (*run)(void *context, uint64_t timeout_ns);
    /* Call handler(argument) once, from run().  0; -ENOMEM. */
    int (*timer)(void *context, uint64_t delay_ns, void (*handler)(void *argument), void *argument);
    /* As mr_loop_watch(). */
    int (*watch)(void *context, int fd, uint32_t events,
                 void (*handler)(void *argument, uint32_t events), void *argument);
    /* As mr_loop_post_entry(), on the host's thread. */
    void (*post)(void *context, struct mr_loop_entry *entry);
    /* False: nothing will come any more, though run() says it once only.  NULL: always true. */
    bool (*is_there)(void *context);
};

/* `loop` is what mr_sock_loop() says, and may be NULL.  NULL: no memory. */
struct mr_sock_host *mr_sock_host_new(struct mr_registration *registration,
                                      const struct mr_sock_host_ops *ops, void *context,
                                      struct mr_loop *loop);

/*
 * The world is gone: the registration's objects had their last events, and no handler, timer or
 * posted entry of the host will be called.  Sockets that the application has not closed answer
 * -ENOTCONN from now on, and the memory is freed with the last of them.
 */
void mr_sock_host_free(struct mr_sock_host *host);

/* The functions of millrace/socket.h that take a loop. */
int mr_sock_host_listen(struct mr_sock_host *host, const char *listener, uint32_t backlog,
                        struct mr_sock **listener_out);
int mr_sock_host_connect(struct mr_sock_host *host, const struct mr_connect_options *options,
                         bool is_nonblocking, struct mr_sock **conn_out);
int mr_sock_host_poll(struct mr_sock_host *host, struct mr_pollfd *fds, size_t count,
                      int timeout_ms);
int mr_sock_host_readiness(struct mr_sock_host *host, struct mr_sock **want_read, size_t *reads,
                           struct mr_sock **want_write, size_t *writes, int timeout_ms);
int mr_sock_host_pollset(struct mr_sock_host *host, struct mr_pollset **set_out);
void mr_sock_host_set_waiter(struct mr_sock_host *host, const struct mr_sock_waiter *waiter);

struct mr_sock_host_stats {
    uint32_t socks;             /* alive, closed ones that still send included */
    uint64_t waits;             /* calls that had to wait */
    uint64_t rounds;            /* of the world, without waiting */
    uint64_t visits;            /* sockets that mr_pollset_wait() looked at */
    uint64_t retries;           /* timers that tried again what no memory was free for */
    uint64_t refused;           /* connections and streams: accept queue full, or no memory */
    uint64_t datagrams_dropped; /* the application left too many lying */
};
void mr_sock_host_stats(const struct mr_sock_host *host, struct mr_sock_host_stats *stats_out);

/* Panic unless every invariant holds.  O(sockets). */
void mr_sock_host_check(const struct mr_sock_host *host);

/* The host of a loop, made when it is needed first.  NULL: no memory, or the loop is detached. */
struct mr_sock_host *mr_sock_host_of(struct mr_loop *loop);

#endif /* MR_APP_SOCKET_HOST_H */
