/* app/poll.c - what is ready, mr_poll(), mr_wait_for_readiness(); see socket_internal.h. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/socket_internal.h"

enum {
    WAITS_ON_STACK = 16
};

/* ------------------------------------------------------------------ what holds now */

static uint32_t if_over(const struct mr_sock *sock)
{
    if (!sock->is_over)
        return 0;
    return (uint32_t)(POLLIN | POLLHUP | (sock->is_failed ? POLLERR : 0));
}

static uint32_t listener_ready(const struct mr_sock *sock)
{
    return (sock->u.listener.count > 0 ? POLLIN : 0u) | if_over(sock);
}

static uint32_t conn_ready(const struct mr_sock *sock)
{
    const struct sock_conn *c = &sock->u.conn;
    bool may_open = c->is_connected && !c->is_open_refused;
    uint32_t ready = if_over(sock);

    if (c->queue.count > 0)
        ready |= POLLIN;
    if (c->datagram_count > 0)
        ready |= POLLPRI;
    if (may_open || sock->is_over)
        ready |= POLLOUT;
    return ready;
}

/* As a socket if it goes both ways, as the end of a pipe if it goes one. */
static uint32_t stream_ready(const struct mr_sock *sock)
{
    const struct sock_stream *s = &sock->u.stream;
    bool is_in_over = !s->in.exists || s->in.is_fin || s->in.is_reset;
    bool is_out_over =
        !s->out.exists || s->out.is_fin || s->out.is_cut || (s->out.is_stopped && s->in.exists);
    bool is_pipe_broken = s->out.is_stopped && !s->in.exists;
    bool is_over = s->is_reset || (sock->is_over && !is_pipe_broken);
    uint32_t ready = 0;

    if (mr_sock_is_readable(sock))
        ready |= POLLIN;
    if (mr_sock_is_writable(sock))
        ready |= POLLOUT;
    if (s->in.is_reset || is_pipe_broken || (sock->is_over && sock->is_failed))
        ready |= POLLERR;
    if (is_over || (is_in_over && is_out_over))
        ready |= POLLHUP;
    return ready;
}

uint32_t mr_sock_compute_ready(const struct mr_sock *sock)
{
    if (sock->kind == KIND_LISTENER)
        return listener_ready(sock);
    return sock->kind == KIND_CONN ? conn_ready(sock) : stream_ready(sock);
}

short mr_sock_ready(const struct mr_sock *sock)
{
    return (short)sock->ready;
}

/* ------------------------------------------------------------------ poll */

/* A wait of mr_poll() for one entry. */
struct poll_wait {
    struct sock_wait wait;
    struct sock_call *call;
    struct mr_sock_host *host;
    int fd; /* a copy that the loop watches; -1: none */
};

static short look_at(const struct mr_pollfd *p)
{
    if (p->sock != NULL) {
        if (p->sock->is_closed)
            return POLLNVAL;
        return (short)(p->sock->ready & ((uint32_t)(unsigned short)p->events | WAIT_ALWAYS));
    }
    struct pollfd fd = {.fd = p->fd, .events = p->events};
    return p->fd >= 0 && poll(&fd, 1, 0) == 1 ? fd.revents : 0;
}

static int look(struct mr_pollfd *fds, size_t count)
{
    int ready = 0;

    for (size_t i = 0; i < count; i++) {
        fds[i].revents = look_at(&fds[i]);
        ready += fds[i].revents != 0;
    }
    return ready;
}

static void on_fd(void *argument, uint32_t events)
{
    struct poll_wait *w = argument;

    (void)events;
    mr_sock_wake(w->host, w->call, 0);
}

/* The loop watches a copy: the application may watch the descriptor itself. */
static int watch_fd(struct poll_wait *w, const struct mr_pollfd *p)
{
    uint32_t events = (uint32_t)(unsigned short)p->events & (POLLIN | POLLOUT | POLLPRI);

    if (events == 0)
        events = POLLPRI; /* the kernel tells of errors always; the loop takes 0 for "no more" */
    w->fd = dup(p->fd);
    if (w->fd < 0)
        return -errno;
    int error = w->host->ops.watch(w->host->context, w->fd, events, on_fd, w);
    if (error < 0) {
        close(w->fd);
        w->fd = -1;
    }
    return error == -EPERM ? 0 : error; /* a regular file: what it has, it had at once */
}

static void unlink_all(struct poll_wait *waits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct poll_wait *w = &waits[i];
        mr_sock_unlink(&w->wait);
        if (w->fd >= 0) {
            (void)w->host->ops.watch(w->host->context, w->fd, 0, on_fd, w);
            close(w->fd);
        }
    }
}

static int link_all(struct mr_sock_host *host, struct poll_wait *waits, struct sock_call *call,
                    const struct mr_pollfd *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct poll_wait *w = &waits[i];
        int error = 0;

        *w = (struct poll_wait){.call = call, .host = host, .fd = -1};
        if (fds[i].sock != NULL)
            mr_sock_link(fds[i].sock, &w->wait, call, (uint32_t)(unsigned short)fds[i].events);
        else if (fds[i].fd >= 0)
            error = watch_fd(w, &fds[i]);
        if (error < 0) {
            unlink_all(waits, i + 1);
            return error;
        }
    }
    return 0;
}

static int wait_for_any(struct mr_sock_host *host, struct poll_wait *waits, struct mr_pollfd *fds,
                        size_t count, uint64_t deadline)
{
    int ready;

    while ((ready = look(fds, count)) == 0) {
        struct sock_call call = {0};
        int status = link_all(host, waits, &call, fds, count);
        if (status < 0)
            return status;
        status = mr_sock_wait_call(host, &call, deadline);
        unlink_all(waits, count);
        if (status == -ETIMEDOUT)
            return look(fds, count);
        if (status < 0 && status != -EBADF) /* closed: POLLNVAL */
            return status;
    }
    return ready;
}

static void pin_all(const struct mr_pollfd *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i].sock != NULL)
            mr_sock_pin(fds[i].sock);
}

static void unpin_all(const struct mr_pollfd *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i].sock != NULL)
            mr_sock_unpin(fds[i].sock);
}

/* 0 for "look only" is the caller's case. */
static uint64_t ms_deadline(struct mr_sock_host *host, int timeout_ms)
{
    return timeout_ms < 0 ? MR_FOREVER
                          : mr_sock_deadline(host, (uint64_t)timeout_ms * UINT64_C(1000000));
}

/* On behalf of the call of this name. */
static int poll_as(struct mr_sock_host *host, struct mr_pollfd *fds, size_t count, int timeout_ms,
                   const char *name)
{
    struct poll_wait few[WAITS_ON_STACK];
    struct poll_wait *waits = few;
    int result;

    if (timeout_ms != 0) {
        result = mr_sock_check_wait(host, name);
        if (result < 0)
            return result;
    }
    uint64_t deadline = ms_deadline(host, timeout_ms);
    pin_all(fds, count);
    mr_sock_round(host);
    result = look(fds, count);
    if (result == 0 && timeout_ms != 0) {
        if (count > WAITS_ON_STACK)
            waits = malloc(count * sizeof(*waits));
        result = waits == NULL ? -ENOMEM : wait_for_any(host, waits, fds, count, deadline);
        if (waits != few)
            free(waits);
    }
    unpin_all(fds, count);
    return result;
}

int mr_sock_host_poll(struct mr_sock_host *host, struct mr_pollfd *fds, size_t count,
                      int timeout_ms)
{
    return poll_as(host, fds, count, timeout_ms, "mr_poll");
}

/* ------------------------------------------------------------------ two lists */

static struct mr_pollfd *add_list(struct mr_pollfd *p, struct mr_sock **socks, size_t count,
                                  short events)
{
    for (size_t i = 0; i < count; i++)
        *p++ = (struct mr_pollfd){.sock = socks[i], .fd = -1, .events = events};
    return p;
}

/* Those that are ready to the front, in their order. */
static size_t sift(struct mr_sock **socks, size_t count, const struct mr_pollfd *p)
{
    size_t ready = 0;

    for (size_t i = 0; i < count; i++)
        if (p[i].revents != 0)
            socks[ready++] = p[i].sock;
    return ready;
}

int mr_sock_host_readiness(struct mr_sock_host *host, struct mr_sock **want_read, size_t *reads,
                           struct mr_sock **want_write, size_t *writes, int timeout_ms)
{
    size_t read_count = want_read == NULL || reads == NULL ? 0 : *reads;
    size_t write_count = want_write == NULL || writes == NULL ? 0 : *writes;
    size_t count = read_count + write_count;
    struct mr_pollfd *fds = calloc(count + 1, sizeof(*fds));

    if (fds == NULL)
        return -ENOMEM;
    (void)add_list(add_list(fds, want_read, read_count, POLLIN), want_write, write_count, POLLOUT);
    int result = poll_as(host, fds, count, timeout_ms, "mr_wait_for_readiness");
    if (result >= 0 && reads != NULL)
        *reads = sift(want_read, read_count, fds);
    if (result >= 0 && writes != NULL)
        *writes = sift(want_write, write_count, fds + read_count);
    free(fds);
    return result;
}
