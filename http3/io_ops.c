/* http3/io_ops.c - the operations of an io's transport; see millrace/http3_io.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http3/io_internal.h"

enum {
    COPY_MAX = 1024 /* bytes of MR_SEND_COPY */
};

/* ------------------------------------------------------------------ operations: connections */

static struct mr_http3_io *io_of(const struct mr_transport *t)
{
    return (struct mr_http3_io *)(uintptr_t)t;
}

static struct mr_io_wanted *copy_options(const struct mr_connect_options *options)
{
    struct mr_io_wanted *w = calloc(1, sizeof(*w) + options->ticket_size);

    if (w == NULL)
        return NULL;
    w->options = *options;
    snprintf(w->server_name, sizeof(w->server_name), "%s",
             options->server_name == NULL ? "" : options->server_name);
    w->options.server_name = w->server_name;
    memcpy(w->alpn, options->alpn, options->alpn_size);
    w->options.alpn = w->alpn;
    if (options->ticket_size > 0)
        memcpy(w->ticket, options->ticket, options->ticket_size);
    w->options.ticket = options->ticket_size > 0 ? w->ticket : NULL;
    return w;
}

static int op_connect(struct mr_transport *t, const struct mr_connect_options *options,
                      mr_handle *conn_out)
{
    struct mr_http3_io *io = io_of(t);

    if (options->alpn_size > MR_IO_ALPN_MAX)
        return -EINVAL;
    struct mr_io_wanted *wanted = copy_options(options);
    struct mr_io_object *conn = wanted == NULL ? NULL : mr_io_make_conn(io);
    if (conn == NULL) {
        free(wanted);
        return -EAGAIN;
    }
    conn->wanted = wanted;
    conn->user_data = options->user_data;
    mr_io_want(io, conn, MR_HTTP3_IO_CONNECT);
    *conn_out = mr_io_handle_of(io, conn);
    return 0;
}

static int op_close(struct mr_transport *t, mr_handle handle, uint64_t code, const char *reason)
{
    struct mr_http3_io *io = io_of(t);
    struct mr_io_object *conn = mr_io_find_conn(io, handle);

    if (conn == NULL)
        return -ESTALE;
    if (conn->is_closing)
        return 0;
    conn->is_closing = true;
    conn->code[0] = code;
    snprintf(conn->reason, sizeof(conn->reason), "%s", reason == NULL ? "" : reason);
    conn->wants &= ~(1u << MR_HTTP3_IO_CONNECT);
    mr_io_want(io, conn, MR_HTTP3_IO_CLOSE);
    return 0;
}

static int op_set_user_data(struct mr_transport *t, mr_handle handle, uint64_t user_data)
{
    struct mr_io_object *o = mr_io_find(io_of(t), handle);

    if (o == NULL)
        return -ESTALE;
    o->user_data = user_data;
    return 0;
}

/* The caller knows; nothing in HTTP/3 asks. */
static int op_conn_info(struct mr_transport *t, mr_handle handle, struct mr_conn_info *info_out)
{
    memset(info_out, 0, sizeof(*info_out));
    info_out->limited_by = "application";
    return mr_io_find_conn(io_of(t), handle) == NULL ? -ESTALE : 0;
}

static int64_t op_ticket(struct mr_transport *t, mr_handle handle, uint8_t *dst, size_t room)
{
    (void)dst;
    (void)room;
    return mr_io_find_conn(io_of(t), handle) == NULL ? -ESTALE : 0;
}

/* ------------------------------------------------------------------ operations: streams */

static int op_open(struct mr_transport *t, mr_handle handle, uint32_t flags, uint64_t user_data,
                   mr_handle *stream_out)
{
    struct mr_http3_io *io = io_of(t);
    struct mr_io_object *conn = mr_io_find_conn(io, handle);
    bool is_uni_one = (flags & MR_OPEN_UNI) != 0;

    if (conn == NULL || conn->is_closing)
        return -ESTALE;
    struct mr_io_object *o = mr_io_make_stream(io, conn);
    if (o == NULL)
        return -ENOMEM;
    /* RFC 9000, Section 2.1: the two low bits tell who opened it, and whether it goes one way */
    o->id = conn->opened[is_uni_one]++ << 2 | (is_uni_one ? 2u : 0) | !io->config.is_client;
    o->user_data = user_data;
    o->is_receive_over = is_uni_one;
    mr_io_want_open(io, conn, is_uni_one);
    *stream_out = mr_io_handle_of(io, o);
    return 0;
}

static uint64_t op_stream_id(struct mr_transport *t, mr_handle handle)
{
    const struct mr_io_object *o = mr_io_find(io_of(t), handle);

    return o == NULL || !o->is_stream ? UINT64_MAX : o->id;
}

/* Bytes to send: those of the views, by reference or copied.  False: no memory. */
static bool queue(struct mr_io_object *o, const struct mr_view *view, uint32_t flags)
{
    bool is_copied = (flags & MR_SEND_COPY) != 0;
    struct mr_io_segment *s = malloc(sizeof(*s) + (is_copied ? view->size : 0));

    if (s == NULL)
        return false;
    *s = (struct mr_io_segment){
        .data = view->data, .size = view->size, .is_fin = (flags & MR_SEND_FIN) != 0};
    if (is_copied && view->size > 0)
        s->data = memcpy(s->copy, view->data, view->size);
    *(o->segments == NULL ? &o->segments : &o->last_segment->next) = s;
    o->last_segment = s;
    o->queued += view->size;
    return true;
}

static int op_send(struct mr_transport *t, mr_handle handle, const struct mr_view *views,
                   size_t count, uint32_t flags)
{
    struct mr_http3_io *io = io_of(t);
    struct mr_io_object *o = mr_io_find_stream(io, handle);
    struct mr_view none = {NULL, 0};
    size_t size = mr_views_size(views, count);

    if (o == NULL)
        return -ESTALE;
    if (o->is_send_over || o->has_fin)
        return -EPIPE;
    if (count > 1 || ((flags & MR_SEND_COPY) != 0 && size > COPY_MAX))
        return -EMSGSIZE;
    if (o->queued > 0 && o->queued + size > io->config.queue_bytes) {
        o->was_refused = true;
        return -EAGAIN;
    }
    if (!queue(o, count == 0 ? &none : views, flags))
        return -ENOMEM;
    o->has_fin = (flags & MR_SEND_FIN) != 0;
    mr_io_want_send(io, o);
    return 0;
}

static int64_t op_receive(struct mr_transport *t, mr_handle handle, struct mr_view *views_out,
                          size_t room, bool *fin_out)
{
    struct mr_http3_io *io = io_of(t);
    struct mr_io_object *o = mr_io_find_stream(io, handle);

    *fin_out = false;
    if (o == NULL)
        return -ESTALE;
    if (!o->is_feeding && o->is_held) {
        o->is_held = false;
        mr_io_want(io, o, MR_HTTP3_IO_READ);
    }
    if (!o->is_feeding || room == 0)
        return 0;
    *fin_out = o->is_fed_fin;
    if (o->fed_size == 0)
        return 0;
    views_out[0] = (struct mr_view){o->fed, o->fed_size};
    return 1;
}

static int op_release(struct mr_transport *t, mr_handle handle, size_t size)
{
    struct mr_http3_io *io = io_of(t);
    struct mr_io_object *o = mr_io_find_stream(io, handle);

    if (o == NULL)
        return -ESTALE;
    if (size > o->fed_size)
        return -EINVAL;
    if (size > 0)
        o->fed += size;
    o->fed_size -= size;
    if (o->is_feeding && o->is_fed_fin && o->fed_size == 0) {
        o->is_receive_over = true;
        mr_io_look_at_end(io, o);
    }
    return 0;
}

static int op_reset(struct mr_transport *t, mr_handle handle, uint64_t code)
{
    struct mr_http3_io *io = io_of(t);
    struct mr_io_object *o = mr_io_find_stream(io, handle);

    if (o == NULL)
        return -ESTALE;
    if (o->is_send_over)
        return -EPIPE;
    o->is_send_over = true;
    o->code[0] = code;
    mr_io_want(io, o, MR_HTTP3_IO_RESET);
    mr_io_look_at_end(io, o);
    return 0;
}

static int op_stop(struct mr_transport *t, mr_handle handle, uint64_t code)
{
    struct mr_http3_io *io = io_of(t);
    struct mr_io_object *o = mr_io_find_stream(io, handle);

    if (o == NULL)
        return -ESTALE;
    if (o->is_receive_over)
        return 0;
    o->is_receive_over = true;
    o->code[1] = code;
    mr_io_want(io, o, MR_HTTP3_IO_STOP);
    mr_io_look_at_end(io, o);
    return 0;
}

static int op_set_priority(struct mr_transport *t, mr_handle handle, struct mr_priority priority)
{
    struct mr_io_object *o = mr_io_find_stream(io_of(t), handle);

    if (o == NULL)
        return -ESTALE;
    if (priority.urgency >= MR_URGENCIES)
        return -EINVAL;
    o->priority = priority;
    return 0;
}

/* HTTP/3 sends none; MR_EVENT_DATAGRAM is never told. */
static int op_send_datagram(struct mr_transport *t, mr_handle conn, const struct mr_view *views,
                            size_t count)
{
    (void)views;
    (void)count;
    return mr_io_find_conn(io_of(t), conn) == NULL ? -ESTALE : -EOPNOTSUPP;
}

static int64_t op_receive_datagram(struct mr_transport *t, mr_handle conn, uint8_t *dst,
                                   size_t room)
{
    (void)dst;
    (void)room;
    return mr_io_find_conn(io_of(t), conn) == NULL ? -ESTALE : -EAGAIN;
}

/* ------------------------------------------------------------------ operations: time, work */

static int op_timer(struct mr_transport *t, uint64_t delay_ns, uint64_t user_data)
{
    struct mr_http3_io *io = io_of(t);

    for (uint32_t i = 0; i < MR_IO_TIMERS; i++) {
        if (io->timers[i].is_armed)
            continue;
        io->timers[i] = (struct mr_io_timer){io->now + delay_ns, user_data, true};
        return 0;
    }
    return -ENOMEM;
}

static int op_work(struct mr_transport *t, int64_t (*function)(void *argument), void *argument,
                   uint64_t user_data)
{
    struct mr_http3_io *io = io_of(t);

    if (io->work_count == MR_IO_WORKS)
        return -EAGAIN;
    io->works[io->work_count++] = (struct mr_io_work){function, argument, user_data};
    return 0;
}

static uint64_t op_now(const struct mr_transport *t)
{
    return io_of(t)->now;
}

const struct mr_transport_ops mr_io_operations = {
    .connect = op_connect,
    .close = op_close,
    .set_user_data = op_set_user_data,
    .conn_info = op_conn_info,
    .ticket = op_ticket,
    .open = op_open,
    .stream_id = op_stream_id,
    .send = op_send,
    .receive = op_receive,
    .release = op_release,
    .reset = op_reset,
    .stop = op_stop,
    .send_datagram = op_send_datagram,
    .receive_datagram = op_receive_datagram,
    .timer = op_timer,
    .work = op_work,
    .now = op_now,
    .set_priority = op_set_priority,
};
