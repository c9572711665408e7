/* app/socket.c - life of sockets; see socket_internal.h. */
#include "millrace/socket.h"

#include <errno.h>
#include <stdlib.h>

#include "app/events.h"
#include "app/socket_internal.h"

/* ------------------------------------------------------------------ memory */

struct mr_sock *mr_sock_make(struct mr_sock_host *host, enum sock_kind kind,
                             const struct mr_sock *from)
{
    struct mr_sock *sock = calloc(1, sizeof(*sock));

    if (sock == NULL)
        return NULL;
    sock->host = host;
    sock->kind = (uint8_t)kind;
    sock->options.send_buffer = SEND_BUFFER;
    if (from != NULL)
        sock->options = from->options;
    sock->next = host->socks;
    if (host->socks != NULL)
        host->socks->previous = sock;
    host->socks = sock;
    host->stats.socks++;
    if (kind == KIND_LISTENER)
        sock->u.listener.backlog = BACKLOG_LISTENER;
    if (kind == KIND_CONN)
        sock->u.conn.queue.backlog = BACKLOG_STREAMS;
    return sock;
}

void mr_sock_add_stream(struct mr_sock *conn, struct mr_sock *stream)
{
    stream->parent = conn;
    stream->u.stream.sibling = conn->u.conn.streams;
    if (conn->u.conn.streams != NULL)
        conn->u.conn.streams->u.stream.sibling_previous = stream;
    conn->u.conn.streams = stream;
}

static void remove_stream(struct mr_sock *stream)
{
    struct sock_stream *s = &stream->u.stream;

    if (stream->parent == NULL)
        return;
    if (s->sibling != NULL)
        s->sibling->u.stream.sibling_previous = s->sibling_previous;
    if (s->sibling_previous != NULL)
        s->sibling_previous->u.stream.sibling = s->sibling;
    else
        stream->parent->u.conn.streams = s->sibling;
}

static void forget_streams(struct mr_sock *conn)
{
    for (struct mr_sock *s = conn->u.conn.streams; s != NULL;) {
        struct mr_sock *next = s->u.stream.sibling;
        s->parent = NULL;
        s->u.stream.sibling = NULL;
        s->u.stream.sibling_previous = NULL;
        s = next;
    }
}

static void free_sock(struct mr_sock *sock)
{
    struct mr_sock_host *host = sock->host;

    MR_ASSERT(sock->waits == NULL);
    MR_ASSERT(sock->entries == NULL);
    MR_ASSERT(!sock->is_stalled);
    if (sock->kind == KIND_STREAM) {
        mr_sock_free_chunks(sock);
        mr_sock_drop_unread(sock);
        remove_stream(sock);
    }
    if (sock->kind == KIND_CONN) {
        mr_sock_free_datagrams(sock);
        forget_streams(sock);
        free(sock->u.conn.reason);
    }
    if (sock->next != NULL)
        sock->next->previous = sock->previous;
    if (sock->previous != NULL)
        sock->previous->next = sock->next;
    else
        host->socks = sock->next;
    host->stats.socks--;
    free(sock);
    mr_sock_host_maybe_free(host);
}

void mr_sock_pin(struct mr_sock *sock)
{
    sock->pins++;
}

void mr_sock_unpin(struct mr_sock *sock)
{
    MR_ASSERT(sock->pins > 0);
    sock->pins--;
    mr_sock_maybe_free(sock);
}

void mr_sock_maybe_free(struct mr_sock *sock)
{
    if (sock->pins == 0 && sock->is_closed && sock->is_over)
        free_sock(sock);
}

/* ------------------------------------------------------------------ waiting for what is tried */

ssize_t mr_sock_until(struct mr_sock *sock, const struct sock_attempt *attempt)
{
    bool may_wait = !sock->options.is_nonblocking;
    bool has_looked = false;
    ssize_t result;

    if (may_wait) {
        int refused = mr_sock_check_wait(sock->host, attempt->name);
        if (refused < 0)
            return refused;
    }
    uint64_t deadline = mr_sock_deadline(sock->host, attempt->timeout_ns);
    mr_sock_pin(sock);
    for (;;) {
        result = sock->is_closed ? -EBADF : attempt->function(sock, attempt->argument);
        if (result != -EAGAIN || has_looked)
            break;
        if (!may_wait) { /* a program that never waits has to be served, too */
            mr_sock_round(sock->host);
            has_looked = true;
            continue;
        }
        int status = mr_sock_wait(sock, attempt->mask, deadline);
        if (status < 0) {
            result = status;
            break;
        }
    }
    mr_sock_unpin(sock);
    return result;
}

/* ------------------------------------------------------------------ accepting */

void mr_sock_queue_put(struct mr_sock *parent, struct accept_queue *queue, struct mr_sock *sock)
{
    sock->is_queued = true;
    sock->queued_next = NULL;
    if (queue->tail == NULL)
        queue->head = sock;
    else
        queue->tail->queued_next = sock;
    queue->tail = sock;
    queue->count++;
    mr_sock_changed(parent, 0);
}

struct mr_sock *mr_sock_queue_take(struct accept_queue *queue)
{
    struct mr_sock *sock = queue->head;

    if (sock == NULL)
        return NULL;
    queue->head = sock->queued_next;
    if (queue->head == NULL)
        queue->tail = NULL;
    queue->count--;
    sock->is_queued = false;
    sock->queued_next = NULL;
    return sock;
}

static ssize_t try_accept(struct mr_sock *sock, void *argument)
{
    struct mr_sock **out = argument;
    struct accept_queue *queue =
        sock->kind == KIND_LISTENER ? &sock->u.listener : &sock->u.conn.queue;

    *out = mr_sock_queue_take(queue);
    if (*out == NULL)
        return !sock->is_over ? -EAGAIN : sock->error == -ESHUTDOWN ? -ESHUTDOWN : -ENOTCONN;
    mr_sock_changed(sock, 0);
    return 0;
}

int mr_sock_accept_now(struct mr_sock *sock, struct mr_sock **out)
{
    return (int)try_accept(sock, out);
}

static int accept_from(struct mr_sock *sock, const char *name, struct mr_sock **out)
{
    *out = NULL;
    return (int)mr_sock_until(sock, &(struct sock_attempt){
                                        .function = try_accept,
                                        .argument = out,
                                        .mask = POLLIN,
                                        .timeout_ns = sock->options.read_timeout_ns,
                                        .name = name,
                                    });
}

int mr_sock_accept(struct mr_sock *listener, struct mr_sock **conn_out)
{
    if (listener->kind != KIND_LISTENER)
        return -EINVAL;
    return accept_from(listener, "mr_sock_accept", conn_out);
}

int mr_sock_accept_stream(struct mr_sock *conn, struct mr_sock **stream_out)
{
    if (conn->kind != KIND_CONN)
        return -EINVAL;
    return accept_from(conn, "mr_sock_accept_stream", stream_out);
}

/* ------------------------------------------------------------------ listen, connect, open */

/* It was never told of. */
static void discard(struct mr_sock *sock)
{
    sock->is_over = true;
    sock->is_closed = true;
    mr_sock_maybe_free(sock);
}

int mr_sock_host_listen(struct mr_sock_host *host, const char *listener, uint32_t backlog,
                        struct mr_sock **listener_out)
{
    struct mr_sock *sock;

    *listener_out = NULL;
    if (host->registration == NULL)
        return -ENOTCONN;
    mr_sock_drive(host);
    if (!mr_registration_has_transport(host->registration))
        return -ENOTCONN; /* nobody would tell it that */
    sock = mr_sock_make(host, KIND_LISTENER, NULL);
    if (sock == NULL)
        return -ENOMEM;
    if (backlog > 0)
        sock->u.listener.backlog = backlog;
    int error = mr_ev_listen(host->registration, listener, mr_sock_on_event, sock, &sock->object);
    if (error < 0) {
        discard(sock);
        return error;
    }
    *listener_out = sock;
    return 0;
}

static ssize_t try_connected(struct mr_sock *conn, void *argument)
{
    (void)argument;
    if (conn->is_over)
        return conn->error != 0 ? conn->error : -ECONNREFUSED;
    return conn->u.conn.is_connected ? 0 : -EAGAIN;
}

int mr_sock_host_connect(struct mr_sock_host *host, const struct mr_connect_options *options,
                         bool is_nonblocking, struct mr_sock **conn_out)
{
    *conn_out = NULL;
    if (host->registration == NULL)
        return -ENOTCONN;
    mr_sock_drive(host);
    struct mr_sock *sock = mr_sock_make(host, KIND_CONN, NULL);
    if (sock == NULL)
        return -ENOMEM;
    sock->options.is_nonblocking = is_nonblocking;
    int error = mr_ev_connect(host->registration, options, mr_sock_on_event, sock, &sock->object);
    if (error < 0) {
        discard(sock);
        return error;
    }
    *conn_out = sock;
    if (is_nonblocking)
        return -EINPROGRESS;
    error = (int)mr_sock_until(sock, &(struct sock_attempt){.function = try_connected,
                                                            .mask = WAIT_CONNECTED,
                                                            .name = "mr_sock_connect"});
    if (error < 0) {
        *conn_out = NULL;
        (void)mr_sock_close(sock, 0);
    }
    return error;
}

struct open_request {
    uint32_t flags;
    struct mr_sock *stream;
};

static ssize_t try_open(struct mr_sock *conn, void *argument)
{
    struct open_request *request = argument;
    struct mr_registration *r = conn->host->registration;

    if (conn->is_over)
        return -ENOTCONN;
    if (!conn->u.conn.is_connected || conn->u.conn.is_open_refused)
        return -EAGAIN;
    struct mr_sock *stream = mr_sock_make(conn->host, KIND_STREAM, conn);
    if (stream == NULL)
        return -ENOMEM;
    int error =
        mr_ev_open(r, conn->object, request->flags, mr_sock_on_event, stream, &stream->object);
    if (error < 0) {
        discard(stream);
        if (error == -EAGAIN) {
            conn->u.conn.is_open_refused = true;
            mr_sock_changed(conn, 0);
        }
        return error == -ESTALE ? -ENOTCONN : error;
    }
    stream->u.stream.out.exists = true;
    stream->u.stream.in.exists = (request->flags & MR_OPEN_UNI) == 0;
    stream->u.stream.id = mr_ev_stream_id(r, stream->object);
    mr_sock_add_stream(conn, stream);
    stream->ready = mr_sock_compute_ready(stream);
    request->stream = stream;
    return 0;
}

int mr_sock_open(struct mr_sock *conn, uint32_t flags, struct mr_sock **stream_out)
{
    struct open_request request = {.flags = flags};

    *stream_out = NULL;
    if (conn->kind != KIND_CONN)
        return -EINVAL;
    int error = (int)mr_sock_until(conn, &(struct sock_attempt){
                                             .function = try_open,
                                             .argument = &request,
                                             .mask = WAIT_CONNECTED | POLLOUT,
                                             .timeout_ns = conn->options.write_timeout_ns,
                                             .name = "mr_sock_open",
                                         });
    *stream_out = request.stream;
    return error;
}

/* ------------------------------------------------------------------ 0-RTT */

static ssize_t try_confirmed(struct mr_sock *conn, void *argument)
{
    (void)argument;
    if (conn->is_over)
        return -ENOTCONN;
    return conn->u.conn.is_connected && !conn->u.conn.is_early ? 0 : -EAGAIN;
}

int mr_sock_confirm(struct mr_sock *conn)
{
    if (conn->kind != KIND_CONN)
        return -EINVAL;
    return (int)mr_sock_until(conn,
                              &(struct sock_attempt){.function = try_confirmed,
                                                     .mask = WAIT_CONFIRMED,
                                                     .timeout_ns = conn->options.read_timeout_ns,
                                                     .name = "mr_sock_confirm"});
}

/* ------------------------------------------------------------------ closing */

/* FIN was given, and has to arrive. */
static bool is_unsent(const struct mr_sock *stream)
{
    const struct sock_send *out = &stream->u.stream.out;

    return !stream->is_over && out->exists && (out->is_fin || out->is_cut) && !out->is_stopped &&
           !stream->u.stream.is_reset;
}

/* Nobody will read any more: end it, but send what ends in order. */
static void wind_up(struct mr_sock *stream, uint64_t code)
{
    struct mr_registration *r = stream->host->registration;
    struct sock_receive *in = &stream->u.stream.in;
    const struct sock_send *out = &stream->u.stream.out;
    bool is_pending = in->is_pending;
    size_t shown = in->shown;

    mr_sock_drop_unread(stream);
    if (stream->is_over || r == NULL)
        return;
    if (out->exists && !out->is_fin && !out->is_cut && !out->is_stopped) {
        (void)mr_ev_shutdown(r, stream->object, 0, code);
        mr_sock_drop_unsent(stream);
        stream->u.stream.is_reset = true;
        return;
    }
    if (in->exists && !in->is_fin && !in->is_reset)
        (void)mr_ev_shutdown(r, stream->object, MR_EV_RECEIVE_ONLY, code);
    else if (is_pending)
        (void)mr_ev_receive_complete(r, stream->object, shown);
}

void mr_sock_maybe_end(struct mr_sock *conn)
{
    struct sock_conn *c = &conn->u.conn;

    if (!c->is_lingering || conn->is_over)
        return;
    for (const struct mr_sock *s = c->streams; s != NULL; s = s->u.stream.sibling) {
        if (is_unsent(s))
            return;
    }
    c->is_lingering = false;
    (void)mr_ev_shutdown(conn->host->registration, conn->object, 0, c->close_code);
}

/* What nobody has accepted. */
static void close_queued(struct accept_queue *queue, uint64_t code)
{
    struct mr_sock *sock;

    while ((sock = mr_sock_queue_take(queue)) != NULL)
        (void)mr_sock_close(sock, code);
}

static void close_conn(struct mr_sock *conn, uint64_t code)
{
    struct sock_conn *c = &conn->u.conn;

    close_queued(&c->queue, code);
    if (conn->is_over || conn->host->registration == NULL)
        return;
    c->is_lingering = true;
    c->close_code = code;
    mr_sock_maybe_end(conn); /* its streams end with it */
    if (!c->is_lingering)
        return;
    for (struct mr_sock *s = c->streams; s != NULL; s = s->u.stream.sibling) {
        if (!s->is_closed) {
            mr_sock_pin(s);
            wind_up(s, code);
            mr_sock_changed(s, WAIT_PROGRESS);
            mr_sock_unpin(s);
        }
    }
}

int mr_sock_close(struct mr_sock *sock, uint64_t code)
{
    MR_ASSERT(!sock->is_closed);
    MR_ASSERT(!sock->is_queued);
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    mr_sock_pin(sock);
    sock->is_closed = true;
    mr_sock_leave_sets(sock);
    mr_sock_wake_all(sock, -EBADF);
    mr_sock_end_ops(sock, -EBADF);
    if (sock->kind == KIND_STREAM)
        wind_up(sock, code);
    if (sock->kind == KIND_CONN)
        close_conn(sock, code);
    if (sock->kind == KIND_LISTENER) {
        close_queued(&sock->u.listener, code);
        if (!sock->is_over && sock->host->registration != NULL)
            (void)mr_ev_shutdown(sock->host->registration, sock->object, 0, code);
    }
    mr_sock_changed(sock, 0);
    mr_sock_unpin(sock);
    return 0;
}

int mr_sock_reset(struct mr_sock *stream, uint64_t code)
{
    struct sock_stream *s = &stream->u.stream;

    if (stream->kind != KIND_STREAM || code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    if (stream->is_over)
        return -ENOTCONN;
    mr_sock_drop_unread(stream);
    s->is_reset = true;
    (void)mr_ev_shutdown(stream->host->registration, stream->object, 0, code);
    mr_sock_drop_unsent(stream);
    mr_sock_changed(stream, WAIT_PROGRESS);
    return 0;
}

/* ------------------------------------------------------------------ options */

int mr_sock_set(struct mr_sock *sock, enum mr_sock_option option, uint64_t value)
{
    struct sock_options *o = &sock->options;

    switch (option) {
    case MR_SOCK_NONBLOCK:
        o->is_nonblocking = value != 0;
        return 0;
    case MR_SOCK_READ_TIMEOUT:
        o->read_timeout_ns = value;
        return 0;
    case MR_SOCK_WRITE_TIMEOUT:
        o->write_timeout_ns = value;
        return 0;
    case MR_SOCK_SEND_BUFFER:
        if (value == 0)
            return -EINVAL;
        o->send_buffer = value;
        mr_sock_changed(sock, WAIT_PROGRESS);
        return 0;
    case MR_SOCK_WRITE_ACKED:
        o->waits_for_acks = value != 0;
        return 0;
    case MR_SOCK_BACKLOG:
        if (sock->kind == KIND_STREAM || value == 0 || value > UINT32_MAX)
            return -EINVAL;
        if (sock->kind == KIND_LISTENER)
            sock->u.listener.backlog = (uint32_t)value;
        else
            sock->u.conn.queue.backlog = (uint32_t)value;
        return 0;
    case MR_SOCK_UNACKED:
        break;
    }
    return -EINVAL;
}

uint64_t mr_sock_get(const struct mr_sock *sock, enum mr_sock_option option)
{
    const struct sock_options *o = &sock->options;
    const struct sock_send *out = &sock->u.stream.out;

    switch (option) {
    case MR_SOCK_NONBLOCK:
        return o->is_nonblocking;
    case MR_SOCK_READ_TIMEOUT:
        return o->read_timeout_ns;
    case MR_SOCK_WRITE_TIMEOUT:
        return o->write_timeout_ns;
    case MR_SOCK_SEND_BUFFER:
        return o->send_buffer;
    case MR_SOCK_WRITE_ACKED:
        return o->waits_for_acks;
    case MR_SOCK_BACKLOG:
        if (sock->kind == KIND_STREAM)
            return 0;
        return sock->kind == KIND_LISTENER ? sock->u.listener.backlog : sock->u.conn.queue.backlog;
    case MR_SOCK_UNACKED:
        return sock->kind == KIND_STREAM ? out->taken - out->acked : 0;
    }
    return 0;
}

int mr_sock_error(const struct mr_sock *sock, uint64_t *code_out, bool *is_application_out)
{
    if (code_out != NULL)
        *code_out = sock->code;
    if (is_application_out != NULL)
        *is_application_out = sock->is_application;
    return sock->error;
}

const char *mr_sock_reason(const struct mr_sock *conn)
{
    return conn->kind != KIND_CONN || conn->u.conn.reason == NULL ? "" : conn->u.conn.reason;
}

int mr_sock_info(struct mr_sock *conn, struct mr_conn_info *info_out)
{
    if (conn->kind != KIND_CONN)
        return -EINVAL;
    if (conn->is_over)
        return -ENOTCONN;
    return mr_ev_conn_info(conn->host->registration, conn->object, info_out);
}

struct mr_sock *mr_sock_conn(struct mr_sock *stream)
{
    struct mr_sock *conn = stream->kind == KIND_STREAM ? stream->parent : NULL;

    return conn == NULL || conn->is_closed ? NULL : conn;
}

uint64_t mr_sock_stream_id(const struct mr_sock *stream)
{
    return stream->kind == KIND_STREAM ? stream->u.stream.id : UINT64_MAX;
}

struct mr_loop *mr_sock_loop(struct mr_sock *sock)
{
    return sock->host->loop;
}

void mr_sock_set_context(struct mr_sock *sock, void *context)
{
    sock->context = context;
}

void *mr_sock_context(const struct mr_sock *sock)
{
    return sock->context;
}
