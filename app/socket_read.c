/* app/socket_read.c - reading; see socket_internal.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/socket_internal.h"

/* ------------------------------------------------------------------ what was shown */

/*
 * Buffers of the transport are few (slots of a ring), and large: bytes that are few are copied, so
 * that a program which reads one stream to its end does not keep the others' buffers from it.  The
 * window opens by COMPACT_MAX at most.
 */
static bool copy_few(struct sock_receive *in, const struct mr_ev *event)
{
    size_t used = in->copy == NULL ? 0 : in->views[0].size;

    if (in->is_pending || used + event->size > COMPACT_MAX)
        return false;
    if (in->copy == NULL) {
        in->copy = malloc(COMPACT_MAX);
        if (in->copy == NULL)
            return false;
        in->view = 0;
        in->skip = 0;
    }
    for (size_t i = 0; i < event->view_count; i++) {
        memcpy(in->copy + used, event->views[i].data, event->views[i].size);
        used += event->views[i].size;
    }
    in->views[0] = (struct mr_view){in->copy, used};
    in->view_count = 1;
    in->unread += event->size;
    return true;
}

enum mr_ev_answer mr_sock_show(struct mr_sock *stream, const struct mr_ev *event)
{
    struct sock_receive *in = &stream->u.stream.in;
    uint32_t kept = in->copy == NULL ? 0 : 1;

    MR_ASSERT(!in->is_pending);
    MR_ASSERT(event->view_count <= VIEWS_MAX);
    if (copy_few(in, event))
        return MR_EV_CONSUMED;
    memcpy(in->views + kept, event->views, event->view_count * sizeof(in->views[0]));
    in->view_count = kept + (uint32_t)event->view_count;
    if (kept == 0) {
        in->view = 0;
        in->skip = 0;
    }
    in->shown = event->size;
    in->unread += event->size;
    in->is_pending = true;
    return MR_EV_PENDING;
}

void mr_sock_drop_unread(struct mr_sock *stream)
{
    struct sock_receive *in = &stream->u.stream.in;

    in->is_pending = false;
    in->unread = 0;
    in->view_count = 0;
    in->view = 0;
    free(in->copy);
    in->copy = NULL;
}

/* At most `size` bytes of what is not read. */
static size_t copy_out(struct sock_receive *in, uint8_t *dst, size_t size)
{
    size_t done = 0;

    while (done < size && in->unread > 0) {
        const struct mr_view *view = &in->views[in->view];
        size_t n = MR_MIN(view->size - in->skip, size - done);
        if (n > 0)
            memcpy(dst + done, view->data + in->skip, n);
        done += n;
        in->skip += n;
        in->unread -= n;
        if (in->skip == view->size) {
            in->view++;
            in->skip = 0;
        }
    }
    return done;
}

/* Everything was read, or is not wanted: more may come, the window opens. */
void mr_sock_return_unread(struct mr_sock *stream)
{
    const struct sock_receive *in = &stream->u.stream.in;
    bool is_pending = in->is_pending;

    mr_sock_drop_unread(stream);
    if (is_pending)
        (void)mr_ev_receive_complete(stream->host->registration, stream->object, in->shown);
}

void mr_sock_save_unread(struct mr_sock *stream)
{
    struct sock_receive *in = &stream->u.stream.in;
    size_t size = in->unread;

    if (!in->is_pending)
        return;
    uint8_t *copy = size == 0 || stream->is_closed ? NULL : malloc(size);
    if (copy == NULL) {
        in->is_fin &= size == 0;
        mr_sock_drop_unread(stream);
        return;
    }
    (void)copy_out(in, copy, size);
    mr_sock_drop_unread(stream);
    in->copy = copy;
    in->views[0] = (struct mr_view){copy, size};
    in->view_count = 1;
    in->skip = 0;
    in->unread = size;
}

/* ------------------------------------------------------------------ reading */

bool mr_sock_is_readable(const struct mr_sock *stream)
{
    const struct sock_stream *s = &stream->u.stream;

    return s->in.exists &&
           (s->in.unread > 0 || s->in.is_fin || s->in.is_reset || s->is_reset || stream->is_over);
}

/* What a read gives when no bytes are there. */
static ssize_t read_end(const struct mr_sock *stream)
{
    const struct sock_stream *s = &stream->u.stream;

    if (!s->in.exists)
        return -EBADF;
    if (s->is_reset)
        return -ENOTCONN;
    if (s->in.is_reset)
        return -ECONNRESET;
    if (s->in.is_fin)
        return 0;
    return stream->is_over ? -ENOTCONN : -EAGAIN;
}

ssize_t mr_sock_read_now(struct mr_sock *stream, void *buffer, size_t size)
{
    struct sock_receive *in = &stream->u.stream.in;

    if (in->unread == 0)
        return read_end(stream);
    size_t done = copy_out(in, buffer, size);
    if (in->unread == 0) {
        mr_sock_return_unread(stream);
        mr_sock_changed(stream, 0);
    }
    return (ssize_t)done;
}

ssize_t mr_sock_read_all_now(struct mr_sock *stream, void *buffer, size_t size)
{
    struct sock_receive *in = &stream->u.stream.in;
    size_t all = in->all;
    ssize_t result;

    do {
        result = in->unread > 0 && all >= size
                     ? -EMSGSIZE
                     : mr_sock_read_now(stream, (uint8_t *)buffer + all, size - all);
        if (result > 0)
            all += (size_t)result;
    } while (result > 0);
    in->all = result == -EAGAIN ? all : 0;
    return result == 0 ? (ssize_t)all : result;
}

struct read_request {
    void *buffer;
    size_t size;
};

static ssize_t try_read(struct mr_sock *stream, void *argument)
{
    const struct read_request *request = argument;

    return mr_sock_read_now(stream, request->buffer, request->size);
}

static ssize_t try_read_all(struct mr_sock *stream, void *argument)
{
    const struct read_request *request = argument;

    return mr_sock_read_all_now(stream, request->buffer, request->size);
}

ssize_t mr_sock_read(struct mr_sock *stream, void *buffer, size_t size)
{
    struct read_request request = {buffer, size};

    if (stream->kind != KIND_STREAM)
        return -EINVAL;
    if (size == 0)
        return 0;
    return mr_sock_until(stream, &(struct sock_attempt){
                                     .function = try_read,
                                     .argument = &request,
                                     .mask = POLLIN,
                                     .timeout_ns = stream->options.read_timeout_ns,
                                     .name = "mr_sock_read",
                                 });
}

ssize_t mr_sock_read_all(struct mr_sock *stream, void *buffer, size_t size)
{
    struct read_request request = {buffer, size};

    if (stream->kind != KIND_STREAM)
        return -EINVAL;
    return mr_sock_until(stream, &(struct sock_attempt){
                                     .function = try_read_all,
                                     .argument = &request,
                                     .mask = POLLIN,
                                     .timeout_ns = stream->options.read_timeout_ns,
                                     .name = "mr_sock_read_all",
                                 });
}

/* ------------------------------------------------------------------ datagrams */

void mr_sock_keep_datagram(struct mr_sock *conn, const struct mr_ev *event)
{
    struct sock_conn *c = &conn->u.conn;
    struct datagram *d = NULL;
    size_t used = 0;

    if (conn->is_closed)
        return;
    if (c->datagram_count < DATAGRAMS_MAX)
        d = malloc(sizeof(*d) + event->size);
    if (d == NULL) {
        conn->host->stats.datagrams_dropped++;
        return;
    }
    *d = (struct datagram){.size = event->size};
    for (size_t i = 0; i < event->view_count; i++) {
        if (event->views[i].size > 0)
            memcpy(d->data + used, event->views[i].data, event->views[i].size);
        used += event->views[i].size;
    }
    if (c->datagrams_tail == NULL)
        c->datagrams = d;
    else
        c->datagrams_tail->next = d;
    c->datagrams_tail = d;
    c->datagram_count++;
}

static void drop_datagram(struct sock_conn *c)
{
    struct datagram *d = c->datagrams;

    c->datagrams = d->next;
    if (c->datagrams == NULL)
        c->datagrams_tail = NULL;
    c->datagram_count--;
    free(d);
}

void mr_sock_free_datagrams(struct mr_sock *conn)
{
    while (conn->u.conn.datagrams != NULL)
        drop_datagram(&conn->u.conn);
}

static ssize_t try_recv_datagram(struct mr_sock *conn, void *argument)
{
    const struct read_request *request = argument;
    struct sock_conn *c = &conn->u.conn;
    const struct datagram *d = c->datagrams;

    if (d == NULL)
        return conn->is_over ? -ENOTCONN : -EAGAIN;
    if (d->size > request->size)
        return -ENOBUFS;
    size_t size = d->size;
    if (size > 0)
        memcpy(request->buffer, d->data, size);
    drop_datagram(c);
    mr_sock_changed(conn, 0);
    return (ssize_t)size;
}

ssize_t mr_sock_recv_datagram(struct mr_sock *conn, void *buffer, size_t size)
{
    struct read_request request = {buffer, size};

    if (conn->kind != KIND_CONN)
        return -EINVAL;
    return mr_sock_until(conn, &(struct sock_attempt){
                                   .function = try_recv_datagram,
                                   .argument = &request,
                                   .mask = POLLPRI,
                                   .timeout_ns = conn->options.read_timeout_ns,
                                   .name = "mr_sock_recv_datagram",
                               });
}

static ssize_t try_send_datagram(struct mr_sock *conn, void *argument)
{
    const struct read_request *request = argument;
    struct mr_view view = {request->buffer, request->size};

    if (conn->is_over)
        return -ENOTCONN;
    if (!conn->u.conn.is_connected || conn->u.conn.is_datagram_refused)
        return -EAGAIN;
    int error = mr_ev_send_datagram(conn->host->registration, conn->object, &view, 1);
    if (error == -ENOMEM)
        mr_sock_stall(conn);
    if (error != -EAGAIN && error != -ENOMEM)
        return error == -ESTALE ? -ENOTCONN : error;
    conn->u.conn.is_datagram_refused = true;
    return -EAGAIN;
}

int mr_sock_send_datagram(struct mr_sock *conn, const void *buffer, size_t size)
{
    struct read_request request = {(void *)(uintptr_t)buffer, size};

    if (conn->kind != KIND_CONN)
        return -EINVAL;
    return (int)mr_sock_until(conn, &(struct sock_attempt){
                                        .function = try_send_datagram,
                                        .argument = &request,
                                        .mask = WAIT_DATAGRAMS | WAIT_CONNECTED,
                                        .timeout_ns = conn->options.write_timeout_ns,
                                        .name = "mr_sock_send_datagram",
                                    });
}
