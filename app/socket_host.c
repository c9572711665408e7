/* app/socket_host.c - waiting and waking; see socket_internal.h. */
#include <errno.h>
#include <stdlib.h>

#include "app/socket_internal.h"

/* ------------------------------------------------------------------ life */

struct mr_sock_host *mr_sock_host_new(struct mr_registration *registration,
                                      const struct mr_sock_host_ops *ops, void *context,
                                      struct mr_loop *loop)
{
    struct mr_sock_host *host = calloc(1, sizeof(*host));

    if (host == NULL)
        return NULL;
    host->registration = registration;
    host->ops = *ops;
    host->context = context;
    host->loop = loop;
    return host;
}

/* Nobody has accepted them, and nobody will. */
static void drop_queued(struct accept_queue *queue)
{
    struct mr_sock *sock;

    while ((sock = mr_sock_queue_take(queue)) != NULL)
        sock->is_closed = true;
}

static void let_go(struct mr_sock *sock)
{
    mr_sock_pin(sock);
    if (!sock->is_over) {
        sock->is_over = true;
        sock->error = -ENOTCONN;
        sock->is_failed = true;
    }
    sock->object = 0;
    if (sock->kind == KIND_STREAM && sock->u.stream.in.is_pending)
        mr_sock_drop_unread(sock); /* the views are gone */
    if (sock->is_stalled) {
        sock->is_stalled = false;
        mr_sock_unpin(sock);
    }
    if (sock->kind != KIND_STREAM)
        drop_queued(sock->kind == KIND_CONN ? &sock->u.conn.queue : &sock->u.listener);
    mr_sock_free_ops(sock);
}

void mr_sock_host_free(struct mr_sock_host *host)
{
    if (host == NULL)
        return;
    for (struct mr_sock *s = host->socks; s != NULL; s = s->next)
        let_go(s);
    mr_sock_free_ended(host);
    host->stalled = NULL;
    host->sets++; /* the host stays until the end of this function */
    host->registration = NULL;
    for (struct mr_sock *s = host->socks; s != NULL;) {
        struct mr_sock *next = s->next;
        mr_sock_unpin(s);
        s = next;
    }
    host->sets--;
    mr_sock_host_maybe_free(host);
}

void mr_sock_host_maybe_free(struct mr_sock_host *host)
{
    if (host->registration == NULL && host->socks == NULL && host->sets == 0)
        free(host);
}

void mr_sock_host_set_waiter(struct mr_sock_host *host, const struct mr_sock_waiter *waiter)
{
    host->waiter = waiter == NULL ? (struct mr_sock_waiter){0} : *waiter;
}

void mr_sock_host_stats(const struct mr_sock_host *host, struct mr_sock_host_stats *stats_out)
{
    *stats_out = host->stats;
}

/* ------------------------------------------------------------------ the world moves */

void mr_sock_round(struct mr_sock_host *host)
{
    if (host->registration == NULL || host->waiter.wait != NULL)
        return;
    host->stats.rounds++;
    (void)host->ops.run(host->context, 0); /* -EBUSY: it runs, and we are in a handler */
}

void mr_sock_drive(struct mr_sock_host *host)
{
    if (!host->is_driven)
        mr_sock_round(host);
    host->is_driven = true;
}

int mr_sock_check_wait(struct mr_sock_host *host, const char *name)
{
    if (host->waiter.check == NULL)
        return 0;
    return host->waiter.check(host->waiter.context, name);
}

uint64_t mr_sock_deadline(struct mr_sock_host *host, uint64_t timeout_ns)
{
    if (timeout_ns == 0 || timeout_ns == MR_FOREVER || host->registration == NULL)
        return MR_FOREVER;
    uint64_t now = host->ops.now(host->context);
    return timeout_ns > MR_FOREVER - 1 - now ? MR_FOREVER - 1 : now + timeout_ns;
}

/* ------------------------------------------------------------------ waiting */

void mr_sock_link(struct mr_sock *sock, struct sock_wait *wait, struct sock_call *call,
                  uint32_t mask)
{
    *wait = (struct sock_wait){
        .previous = sock->waits_tail, .sock = sock, .call = call, .mask = mask | WAIT_ALWAYS};
    if (sock->waits_tail == NULL)
        sock->waits = wait;
    else
        sock->waits_tail->next = wait;
    sock->waits_tail = wait;
}

void mr_sock_unlink(struct sock_wait *wait)
{
    struct mr_sock *sock = wait->sock;

    if (sock == NULL)
        return;
    if (wait->next == NULL)
        sock->waits_tail = wait->previous;
    else
        wait->next->previous = wait->previous;
    if (wait->previous == NULL)
        sock->waits = wait->next;
    else
        wait->previous->next = wait->next;
    wait->sock = NULL;
}

/* By running the world on this thread. */
static int wait_here(struct mr_sock_host *host, struct sock_call *call, uint64_t deadline_ns)
{
    while (!call->is_woken) {
        uint64_t timeout = MR_FOREVER;
        if (deadline_ns != MR_FOREVER) {
            uint64_t now = host->ops.now(host->context);
            if (now >= deadline_ns)
                return -ETIMEDOUT;
            timeout = deadline_ns - now;
        }
        int result = host->ops.run(host->context, timeout);
        if (result < 0 && result != -EINTR && !call->is_woken)
            return result == -EBUSY ? -EDEADLK : result;
    }
    return 0;
}

int mr_sock_wait_call(struct mr_sock_host *host, struct sock_call *call, uint64_t deadline_ns)
{
    const struct mr_sock_waiter *waiter = &host->waiter;
    int status;

    if (host->registration == NULL ||
        (host->ops.is_there != NULL && !host->ops.is_there(host->context)))
        return -ENOTCONN;
    host->stats.waits++;
    if (waiter->wait == NULL) {
        status = wait_here(host, call, deadline_ns);
    } else {
        call->token = waiter->begin(waiter->context);
        if (call->token == NULL)
            return -EDEADLK;
        status = waiter->wait(waiter->context, call->token, deadline_ns);
        call->token = NULL;
    }
    return call->is_woken && call->status != 0 ? call->status : status;
}

int mr_sock_wait(struct mr_sock *sock, uint32_t mask, uint64_t deadline_ns)
{
    struct sock_call call = {0};
    struct sock_wait wait;

    mr_sock_link(sock, &wait, &call, mask);
    int status = mr_sock_wait_call(sock->host, &call, deadline_ns);
    mr_sock_unlink(&wait);
    return status;
}

void mr_sock_wake(struct mr_sock_host *host, struct sock_call *call, int status)
{
    if (call->status == 0)
        call->status = status;
    if (call->is_woken)
        return;
    call->is_woken = true;
    if (call->wake != NULL)
        call->wake(call);
    else if (call->token != NULL)
        host->waiter.wake(host->waiter.context, call->token);
}

void mr_sock_wake_all(struct mr_sock *sock, int status)
{
    for (struct sock_wait *w = sock->waits; w != NULL; w = w->next)
        mr_sock_wake(sock->host, w->call, status);
}

void mr_sock_cancel(struct mr_sock *sock)
{
    mr_sock_pin(sock);
    mr_sock_wake_all(sock, -ECANCELED);
    mr_sock_end_ops(sock, -ECANCELED);
    mr_sock_unpin(sock);
}

void mr_sock_changed(struct mr_sock *sock, uint32_t also)
{
    uint32_t now = mr_sock_compute_ready(sock);
    uint32_t risen = now & ~sock->ready;

    sock->ready = now;
    if (risen != 0)
        mr_sock_tell_sets(sock, risen);
    for (struct sock_wait *w = sock->waits; w != NULL; w = w->next)
        if ((w->mask & (now | also)) != 0)
            mr_sock_wake(sock->host, w->call, 0);
}

/* ------------------------------------------------------------------ trying again */

static void retry(struct mr_sock *sock)
{
    uint32_t also = 0;

    if (sock->kind == KIND_STREAM)
        mr_sock_flush(sock);
    if (sock->kind == KIND_CONN) {
        sock->u.conn.is_open_refused = false;
        sock->u.conn.is_datagram_refused = false;
        also = WAIT_DATAGRAMS;
    }
    mr_sock_changed(sock, also);
}

static void on_retry(void *argument)
{
    struct mr_sock_host *host = argument;
    struct mr_sock *sock = host->stalled;

    host->stalled = NULL;
    host->is_retry_set = false;
    host->stats.retries++;
    while (sock != NULL) {
        struct mr_sock *next = sock->stalled_next;
        sock->is_stalled = false;
        retry(sock);
        mr_sock_unpin(sock);
        sock = next;
    }
}

void mr_sock_stall(struct mr_sock *sock)
{
    struct mr_sock_host *host = sock->host;

    if (!sock->is_stalled) {
        sock->is_stalled = true;
        sock->stalled_next = host->stalled;
        host->stalled = sock;
        mr_sock_pin(sock);
    }
    if (!host->is_retry_set && host->ops.timer(host->context, RETRY_NS, on_retry, host) == 0)
        host->is_retry_set = true;
}

/* ------------------------------------------------------------------ invariants */

static void check_chunks(const struct sock_send *out)
{
    uint64_t at = 0;
    bool is_unsent = false;

    for (const struct chunk *c = out->head; c != NULL; c = c->next) {
        MR_ASSERT(c->size <= c->room);
        MR_ASSERT(at == 0 || c->end == at + c->size);
        MR_ASSERT(c->next != NULL || c == out->tail);
        at = c->end;
        is_unsent |= c == out->unsent;
    }
    MR_ASSERT((out->head == NULL) == (out->tail == NULL));
    MR_ASSERT(is_unsent == (out->unsent != NULL));
    MR_ASSERT(out->acked <= out->taken);
}

static void check_receive(const struct sock_receive *in)
{
    size_t unread = 0;

    for (uint32_t i = in->view; i < in->view_count; i++)
        unread += in->views[i].size;
    MR_ASSERT(in->unread == 0 || unread - in->skip == in->unread);
    MR_ASSERT(in->view_count <= VIEWS_MAX + 1);
    MR_ASSERT(in->copy == NULL || in->views[0].data == in->copy);
}

static void check_queue(const struct accept_queue *queue)
{
    uint32_t count = 0;

    for (const struct mr_sock *s = queue->head; s != NULL; s = s->queued_next) {
        MR_ASSERT(s->is_queued);
        MR_ASSERT(!s->is_closed);
        count++;
    }
    MR_ASSERT(count == queue->count);
}

void mr_sock_host_check(const struct mr_sock_host *host)
{
    uint32_t count = 0;

    for (const struct mr_sock *s = host->socks; s != NULL; s = s->next) {
        MR_ASSERT(s->host == host);
        MR_ASSERT(s->next == NULL || s->next->previous == s);
        MR_ASSERT(!s->is_over || s->object == 0);
        MR_ASSERT(s->ready == mr_sock_compute_ready(s));
        for (const struct sock_wait *w = s->waits; w != NULL; w = w->next)
            MR_ASSERT(w->sock == s);
        if (s->kind == KIND_STREAM) {
            check_chunks(&s->u.stream.out);
            check_receive(&s->u.stream.in);
        }
        if (s->kind != KIND_STREAM)
            check_queue(s->kind == KIND_CONN ? &s->u.conn.queue : &s->u.listener);
        count++;
    }
    MR_ASSERT(count == host->stats.socks);
}
