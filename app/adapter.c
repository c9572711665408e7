/*
 * app/adapter.c - operations that wait for readiness and complete; see millrace/adapter.h.
 *
 *     started --> queued --at the head--> posted --attempt--> done
 *                                           ^        | -EAGAIN
 *                                           |        v
 *                                           +-woken- linked to the socket
 *
 * An operation that was ended, by cancelling or closing, leaves its socket at once and is told of
 * when its entry is called; until then it is on the host's list.
 */
#include "millrace/adapter.h"

#include <errno.h>
#include <stdlib.h>

#include "app/socket_internal.h"

enum op_type {
    OP_READ,
    OP_READ_ALL,
    OP_WHOLE,
    OP_WRITE,
    OP_ACCEPT
};
enum {
    READING,
    WRITING
};
enum {
    WHOLE_MIN = 4096
};

struct adapter_op {
    struct mr_loop_entry entry; /* first: cast back by the handler */
    struct mr_sock_host *host;
    struct mr_sock *sock; /* NULL: ended */
    struct adapter_op *next;
    struct sock_call call;
    struct sock_wait wait;
    enum op_type type;
    uint8_t *buffer;
    size_t size;
    size_t room;  /* OP_WHOLE: of the buffer, which is ours */
    size_t taken; /* bytes done */
    uint64_t end; /* OP_WRITE: offset behind the last byte */
    struct mr_sock *accepted;
    int status; /* when ended */
    bool is_posted;
    bool is_writing; /* it is its turn */
    union {
        mr_sock_done plain;
        void (*whole)(void *context, const uint8_t *bytes, ssize_t result);
        void (*accept)(void *context, int status, struct mr_sock *accepted);
    } done;
    void *context;
};

static unsigned direction(const struct adapter_op *op)
{
    return op->type == OP_WRITE ? WRITING : READING;
}

/* ------------------------------------------------------------------ attempts */

static ssize_t attempt_whole(struct adapter_op *op)
{
    ssize_t n;

    do {
        if (op->taken == op->room && op->room < op->size) {
            size_t room = MR_MIN(op->size, MR_MAX(op->room * 2, (size_t)WHOLE_MIN));
            uint8_t *buffer = realloc(op->buffer, room);
            if (buffer == NULL)
                return -ENOMEM;
            op->buffer = buffer;
            op->room = room;
        }
        if (op->sock->u.stream.in.unread > 0 && op->taken == op->size)
            return -EMSGSIZE;
        n = mr_sock_read_now(op->sock, op->buffer + op->taken, op->room - op->taken);
        if (n > 0)
            op->taken += (size_t)n;
    } while (n > 0);
    return n == 0 ? (ssize_t)op->taken : n;
}

/* No longer its turn to write. */
static void end_turn(struct adapter_op *op)
{
    if (!op->is_writing)
        return;
    op->is_writing = false;
    op->sock->u.stream.out.is_writing = false;
    mr_sock_changed(op->sock, WAIT_PROGRESS);
}

static ssize_t attempt_write(struct adapter_op *op)
{
    struct sock_send *out = &op->sock->u.stream.out;
    ssize_t n = 0;

    if (!op->is_writing && out->is_writing)
        return -EAGAIN;
    out->is_writing = true;
    op->is_writing = true;
    while (op->taken < op->size && n >= 0) {
        struct iovec piece = {op->buffer + op->taken, op->size - op->taken};
        n = mr_sock_take(op->sock, &piece, true);
        if (n > 0)
            op->taken += (size_t)n;
        op->end = out->taken;
    }
    mr_sock_flush(op->sock);
    mr_sock_changed(op->sock, 0);
    if (n == -EAGAIN)
        return n;
    if (n < 0)
        return mr_sock_partial(op->taken, op->size, (int)n);
    if (mr_sock_is_handed(op->sock, op->end))
        return (ssize_t)op->size;
    return out->is_stopped || op->sock->is_over || op->sock->u.stream.is_reset ? -EPIPE : -EAGAIN;
}

static ssize_t attempt(struct adapter_op *op)
{
    ssize_t result = -EINVAL;

    switch (op->type) {
    case OP_READ:
        result = mr_sock_read_now(op->sock, op->buffer, op->size);
        break;
    case OP_READ_ALL:
        result = mr_sock_read_all_now(op->sock, op->buffer, op->size);
        break;
    case OP_WHOLE:
        result = attempt_whole(op);
        break;
    case OP_WRITE:
        result = attempt_write(op);
        break;
    case OP_ACCEPT:
        result = mr_sock_accept_now(op->sock, &op->accepted);
        break;
    }
    return result;
}

/* ------------------------------------------------------------------ the queue */

static void post(struct adapter_op *op)
{
    if (op->is_posted)
        return;
    op->is_posted = true;
    op->host->ops.post(op->host->context, &op->entry);
}

static void on_wake(struct sock_call *call)
{
    struct adapter_op *op =
        (struct adapter_op *)(void *)((uint8_t *)call - offsetof(struct adapter_op, call));

    mr_sock_unlink(&op->wait);
    post(op);
}

/* The head is done: the next has its turn. */
static void leave_queue(struct adapter_op *op)
{
    struct mr_sock *sock = op->sock;
    unsigned d = direction(op);

    MR_ASSERT(sock->ops[d] == op);
    end_turn(op);
    sock->ops[d] = op->next;
    if (op->next == NULL)
        sock->ops_tail[d] = NULL;
    else
        post(op->next);
}

static void leave_ended(struct adapter_op *op)
{
    struct adapter_op **link = &op->host->ended;

    while (*link != op)
        link = &(*link)->next;
    *link = op->next;
}

static void tell(struct adapter_op *op, ssize_t result)
{
    struct adapter_op own = *op;

    free(op);
    if (own.type == OP_WHOLE) {
        own.done.whole(own.context, result < 0 ? NULL : own.buffer, result);
        free(own.buffer);
    } else if (own.type == OP_ACCEPT) {
        own.done.accept(own.context, (int)result, own.accepted);
    } else {
        own.done.plain(own.context, result);
    }
}

static void on_entry(struct mr_loop_entry *entry)
{
    struct adapter_op *op = (struct adapter_op *)(void *)entry;
    ssize_t result;

    op->is_posted = false;
    if (op->sock == NULL) {
        leave_ended(op);
        tell(op, op->status);
        return;
    }
    result = attempt(op);
    if (result == -EAGAIN) {
        op->call = (struct sock_call){.wake = on_wake};
        mr_sock_link(op->sock, &op->wait, &op->call, op->type == OP_WRITE ? WAIT_PROGRESS : POLLIN);
        return;
    }
    leave_queue(op);
    tell(op, result);
}

/* Take what there is of the socket's operations; each is passed to `each`. */
static void take_all(struct mr_sock *sock, int status,
                     void (*each)(struct adapter_op *op, int status))
{
    for (unsigned d = READING; d <= WRITING; d++) {
        struct adapter_op *op = sock->ops[d];
        sock->ops[d] = NULL;
        sock->ops_tail[d] = NULL;
        while (op != NULL) {
            struct adapter_op *next = op->next;
            mr_sock_unlink(&op->wait);
            end_turn(op);
            each(op, status);
            op = next;
        }
    }
}

static void end_op(struct adapter_op *op, int status)
{
    op->sock = NULL;
    op->status = status;
    if (op->type == OP_WRITE)
        op->status = (int)mr_sock_partial(op->taken, op->size, status);
    op->next = op->host->ended;
    op->host->ended = op;
    post(op);
}

static void free_op(struct adapter_op *op, int status)
{
    (void)status;
    if (op->type == OP_WHOLE)
        free(op->buffer);
    free(op);
}

void mr_sock_end_ops(struct mr_sock *sock, int status)
{
    take_all(sock, status, end_op);
}

void mr_sock_free_ops(struct mr_sock *sock)
{
    take_all(sock, 0, free_op);
}

void mr_sock_free_ended(struct mr_sock_host *host)
{
    while (host->ended != NULL) {
        struct adapter_op *op = host->ended;
        host->ended = op->next;
        free_op(op, 0);
    }
}

/* ------------------------------------------------------------------ starting */

/* Queue a copy of the operation. */
static int start(struct mr_sock *sock, const struct adapter_op *wish)
{
    unsigned d = direction(wish);

    if (sock->host->registration == NULL)
        return -ENOTCONN;
    struct adapter_op *op = malloc(sizeof(*op));
    if (op == NULL)
        return -ENOMEM;
    *op = *wish;
    op->entry.handler = on_entry;
    op->host = sock->host;
    op->sock = sock;
    if (sock->ops_tail[d] == NULL) {
        sock->ops[d] = op;
        post(op);
    } else {
        sock->ops_tail[d]->next = op;
    }
    sock->ops_tail[d] = op;
    return 0;
}

static int start_plain(struct mr_sock *stream, enum op_type type, struct iovec buffer,
                       mr_sock_done done, void *context)
{
    if (stream->kind != KIND_STREAM || done == NULL)
        return -EINVAL;
    return start(stream, &(struct adapter_op){.type = type,
                                              .buffer = buffer.iov_base,
                                              .size = buffer.iov_len,
                                              .done.plain = done,
                                              .context = context});
}

int mr_read_then(struct mr_sock *stream, void *buffer, size_t size, mr_sock_done done,
                 void *context)
{
    return size == 0 ? -EINVAL
                     : start_plain(stream, OP_READ, (struct iovec){buffer, size}, done, context);
}

int mr_read_all_then(struct mr_sock *stream, void *buffer, size_t size, mr_sock_done done,
                     void *context)
{
    return start_plain(stream, OP_READ_ALL, (struct iovec){buffer, size}, done, context);
}

int mr_write_then(struct mr_sock *stream, const void *buffer, size_t size, mr_sock_done done,
                  void *context)
{
    return start_plain(stream, OP_WRITE, (struct iovec){(void *)(uintptr_t)buffer, size}, done,
                       context);
}

int mr_whole_then(struct mr_sock *stream, size_t size_max,
                  void (*done)(void *context, const uint8_t *bytes, ssize_t result), void *context)
{
    if (stream->kind != KIND_STREAM || done == NULL)
        return -EINVAL;
    return start(stream,
                 &(struct adapter_op){
                     .type = OP_WHOLE, .size = size_max, .done.whole = done, .context = context});
}

int mr_accept_then(struct mr_sock *sock,
                   void (*done)(void *context, int status, struct mr_sock *accepted), void *context)
{
    if (sock->kind == KIND_STREAM || done == NULL)
        return -EINVAL;
    return start(sock,
                 &(struct adapter_op){.type = OP_ACCEPT, .done.accept = done, .context = context});
}
