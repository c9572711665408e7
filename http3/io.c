/*
 * http3/io.c - a transport that stands on nothing but its caller; see millrace/http3_io.h.
 *
 *     told --> object --news--> settle() --events--> the application
 *     application's operations --> object --wishes--> mr_http3_io_next()
 *
 * An operation, or what is told, changes an object; the object is then in a list, once: in `news`
 * if the application is to hear of it, in `wishes` if the caller is.  Events are delivered when the
 * caller is inside of none of them, so that the application is never entered twice.
 */
#include "millrace/http3_io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http3/io_internal.h"

enum {
    CONNECTIONS = 1000,
    STREAMS_PER_CONN = 16,
    QUEUE_BYTES = 262144
};

/* ------------------------------------------------------------------ events */

static void deliver(struct mr_http3_io *io, const struct mr_event *event)
{
    io->is_inside = true;
    io->application->on_events(io->application->context, event, 1);
    io->is_inside = false;
}

/* The application was told that it is over: the caller is. */
static void end(struct mr_http3_io *io, struct mr_io_object *o)
{
    if (o->is_stream ? o->is_open || o->conn->is_over : o->streams == NULL)
        mr_io_want(io, o, MR_HTTP3_IO_END);
}

/* Tell the application what has happened, and what that causes. */
static void settle(struct mr_http3_io *io)
{
    struct mr_io_object *o;

    while (!io->is_inside && (o = mr_io_pop(io, MR_IO_NEWS)) != NULL) {
        uint32_t kinds = o->kinds;
        const struct mr_event event = {
            .kinds = kinds,
            .conn = mr_io_handle_of(io, o->is_stream ? o->conn : o),
            .stream = o->is_stream ? mr_io_handle_of(io, o) : MR_HANDLE_NONE,
            .user_data = o->user_data,
            .acked_to = o->sent_to,
            .error = o->error,
            .is_application = o->is_application,
            .is_remote = o->is_remote,
            .reason = o->reason,
        };
        o->kinds = 0;
        deliver(io, &event);
        if ((kinds & MR_EVENT_CLOSED) != 0)
            end(io, o);
    }
}

/* ------------------------------------------------------------------ what the caller tells */

mr_handle mr_http3_io_accept(struct mr_http3_io *io, void *user)
{
    struct mr_io_object *conn = mr_io_make_conn(io);

    MR_ASSERT(!io->is_inside);
    if (conn == NULL)
        return MR_HANDLE_NONE;
    mr_handle handle = mr_io_handle_of(io, conn);
    conn->user = user;
    mr_io_tell(io, conn, MR_EVENT_CONNECTED);
    settle(io);
    return handle;
}

void mr_http3_io_connected(struct mr_http3_io *io, mr_handle handle)
{
    struct mr_io_object *conn = mr_io_find_conn(io, handle);

    MR_ASSERT(!io->is_inside);
    if (conn == NULL || conn->wanted == NULL || conn->is_closing)
        return;
    free(conn->wanted);
    conn->wanted = NULL;
    mr_io_tell(io, conn, MR_EVENT_CONNECTED);
    settle(io);
    mr_io_want_open(io, conn, false);
    mr_io_want_open(io, conn, true);
}

mr_handle mr_http3_io_stream(struct mr_http3_io *io, mr_handle handle, uint64_t id, void *user)
{
    struct mr_io_object *conn = mr_io_find_conn(io, handle);
    struct mr_io_object *o = conn == NULL || conn->is_closing ? NULL : mr_io_make_stream(io, conn);

    MR_ASSERT(!io->is_inside);
    if (o == NULL)
        return MR_HANDLE_NONE;
    mr_handle stream = mr_io_handle_of(io, o);
    o->id = id;
    o->user = user;
    o->is_open = true;
    o->is_send_over = mr_io_is_uni(o);
    mr_io_tell(io, o, MR_EVENT_STREAM_OPENED);
    settle(io);
    return stream;
}

size_t mr_http3_io_feed(struct mr_http3_io *io, mr_handle handle, const void *bytes, size_t size,
                        bool is_fin)
{
    struct mr_io_object *o = mr_io_find_stream(io, handle);

    MR_ASSERT(!io->is_inside);
    if (o == NULL || o->is_receive_over || o->conn->is_closing || (size == 0 && !is_fin))
        return size;
    o->fed = bytes;
    o->fed_size = size;
    o->is_fed_fin = is_fin;
    o->is_feeding = true;
    o->is_held = false;
    mr_io_tell(io, o, MR_EVENT_READABLE);
    settle(io);
    size_t left = o->is_receive_over ? 0 : o->fed_size;
    o->is_feeding = false;
    o->fed = NULL;
    o->fed_size = 0;
    o->is_held = left > 0 || (is_fin && !o->is_receive_over);
    return size - left;
}

void mr_http3_io_reset(struct mr_http3_io *io, mr_handle handle, uint64_t code)
{
    struct mr_io_object *o = mr_io_find_stream(io, handle);

    MR_ASSERT(!io->is_inside);
    if (o == NULL || o->is_receive_over)
        return;
    o->is_receive_over = true;
    o->error = code;
    mr_io_tell(io, o, MR_EVENT_RESET);
    settle(io);
    mr_io_look_at_end(io, o);
    settle(io);
}

/* RFC 9000, Section 3.5: QUIC answers it by a reset; nothing more can be sent. */
void mr_http3_io_stopped(struct mr_http3_io *io, mr_handle handle, uint64_t code)
{
    struct mr_io_object *o = mr_io_find_stream(io, handle);

    MR_ASSERT(!io->is_inside);
    if (o == NULL || o->is_send_over)
        return;
    o->is_send_over = true;
    o->error = code;
    mr_io_tell(io, o, MR_EVENT_STOPPED);
    settle(io);
    mr_io_look_at_end(io, o);
    settle(io);
}

void mr_http3_io_opened(struct mr_http3_io *io, mr_handle handle, void *user)
{
    struct mr_io_object *o = mr_io_find(io, handle); /* it may be over for the application */

    MR_ASSERT(!io->is_inside);
    if (o == NULL || !o->is_stream || o->is_open)
        return;
    o->is_open = true;
    o->user = user;
    o->conn->made[mr_io_is_uni(o)]++;
    if (o->wants != 0)
        mr_io_push(io, MR_IO_WISHES, o);
    mr_io_want_send(io, o);
    if (o->is_over && (o->kinds & MR_EVENT_CLOSED) == 0)
        mr_io_want(io, o, MR_HTTP3_IO_END);
    mr_io_want_open(io, o->conn, mr_io_is_uni(o));
}

void mr_http3_io_sent(struct mr_http3_io *io, mr_handle handle, size_t size)
{
    struct mr_io_object *o = mr_io_find_stream(io, handle);

    MR_ASSERT(!io->is_inside);
    if (o == NULL || o->segments == NULL || !o->is_send_told)
        return;
    struct mr_io_segment *first = o->segments;
    size_t part = MR_MIN(size, first->size);
    bool was_last = part == first->size && first->is_fin;
    first->data += part;
    first->size -= part;
    o->queued -= part;
    o->sent_to += part;
    if (first->size == 0)
        mr_io_drop_segment(o);
    o->is_send_told = false;
    o->is_send_over = o->is_send_over || was_last;
    mr_io_tell(io, o, MR_EVENT_ACKED);
    if (o->was_refused && o->queued <= io->config.queue_bytes / 2) {
        o->was_refused = false;
        mr_io_tell(io, o, MR_EVENT_WRITABLE);
    }
    mr_io_look_at_end(io, o);
    settle(io);
    mr_io_want_send(io, o);
}

void mr_http3_io_retry(struct mr_http3_io *io, mr_handle handle)
{
    struct mr_io_object *o = mr_io_find(io, handle);

    if (o == NULL)
        return;
    if (o->is_stream && !o->is_open) {
        o->is_open_told = false;
        mr_io_want_open(io, o->conn, mr_io_is_uni(o));
    } else if (o->is_stream) {
        o->is_send_told = false;
        mr_io_want_send(io, o);
    } else if (o->wanted != NULL && !o->is_closing && !o->is_over) {
        mr_io_want(io, o, MR_HTTP3_IO_CONNECT);
    } else {
        for (struct mr_io_object *stream = o->streams; stream != NULL; stream = stream->next)
            stream->is_open_told = false;
        mr_io_want_open(io, o, false);
        mr_io_want_open(io, o, true);
    }
}

static void close_object(struct mr_http3_io *io, struct mr_io_object *o,
                         const struct mr_http3_io_end *end_of)
{
    if (o->is_over)
        return;
    o->is_over = true;
    o->error = end_of->code;
    o->is_application = end_of->is_application;
    o->is_remote = end_of->is_remote;
    snprintf(o->reason, sizeof(o->reason), "%s", end_of->reason == NULL ? "" : end_of->reason);
    mr_io_tell(io, o, MR_EVENT_CLOSED);
}

void mr_http3_io_closed(struct mr_http3_io *io, mr_handle handle,
                        const struct mr_http3_io_end *end_of)
{
    struct mr_io_object *conn = mr_io_find_conn(io, handle);

    MR_ASSERT(!io->is_inside);
    if (conn == NULL)
        return;
    conn->wants = 0;
    for (struct mr_io_object *o = conn->streams; o != NULL; o = o->next) {
        bool was_told = o->is_over;
        o->wants = 0;
        o->kinds &= MR_EVENT_ACKED; /* the rest does not matter any more */
        close_object(io, o, end_of);
        if (was_told)
            mr_io_want(io, o, MR_HTTP3_IO_END);
    }
    close_object(io, conn, end_of);
    settle(io);
}

void mr_http3_io_go_away(struct mr_http3_io *io)
{
    MR_ASSERT(!io->is_inside);
    deliver(io, &(struct mr_event){.kinds = MR_EVENT_GO_AWAY, .reason = ""});
    settle(io);
}

void mr_http3_io_set_user(struct mr_http3_io *io, mr_handle conn, void *user)
{
    struct mr_io_object *o = mr_io_find(io, conn);

    if (o != NULL)
        o->user = user;
}

/* ------------------------------------------------------------------ time */

static void expire(struct mr_http3_io *io)
{
    for (uint32_t i = 0; i < MR_IO_TIMERS; i++) {
        struct mr_io_timer *timer = &io->timers[i];
        if (!timer->is_armed || timer->due_ns > io->now)
            continue;
        timer->is_armed = false;
        deliver(io, &(struct mr_event){
                        .kinds = MR_EVENT_TIMER, .user_data = timer->user_data, .reason = ""});
        settle(io);
    }
}

/* What was there at the begin. */
static void do_work(struct mr_http3_io *io)
{
    struct mr_io_work works[MR_IO_WORKS];
    uint32_t count = io->work_count;

    memcpy(works, io->works, count * sizeof(works[0]));
    io->work_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        deliver(io, &(struct mr_event){.kinds = MR_EVENT_WORK_DONE,
                                       .user_data = works[i].user_data,
                                       .result = works[i].function(works[i].argument),
                                       .reason = ""});
        settle(io);
    }
}

void mr_http3_io_poll(struct mr_http3_io *io, uint64_t now_ns)
{
    MR_ASSERT(!io->is_inside);
    io->now = MR_MAX(io->now, now_ns);
    settle(io);
    expire(io);
    do_work(io);
}

uint64_t mr_http3_io_deadline(const struct mr_http3_io *io)
{
    uint64_t deadline = io->work_count > 0 ? io->now : UINT64_MAX;

    for (uint32_t i = 0; i < MR_IO_TIMERS; i++) {
        if (io->timers[i].is_armed)
            deadline = MR_MIN(deadline, io->timers[i].due_ns);
    }
    return deadline;
}

/* ------------------------------------------------------------------ what HTTP/3 wants */

/* Of its wishes those that can be told now. */
static uint32_t open_wishes(const struct mr_io_object *o)
{
    const struct mr_io_object *conn = o->is_stream ? o->conn : o;
    uint32_t wishes = o->wants;

    if (o->is_stream && conn->is_closing) /* only its end matters */
        wishes &= 1u << MR_HTTP3_IO_END;
    if (o->is_stream && !o->is_open && !conn->is_over) /* first things first */
        wishes &= conn->wanted == NULL ? 1u << MR_HTTP3_IO_OPEN : 0;
    if (o->is_stream && o->is_send_over)
        wishes &= ~(1u << MR_HTTP3_IO_SEND);
    return wishes;
}

static void fill(const struct mr_http3_io *io, struct mr_io_object *o, enum mr_http3_io_kind kind,
                 struct mr_http3_io_wish *wish_out)
{
    const struct mr_io_object *conn = o->is_stream ? o->conn : o;

    *wish_out = (struct mr_http3_io_wish){.kind = kind,
                                          .object = mr_io_handle_of(io, o),
                                          .conn = mr_io_handle_of(io, conn),
                                          .user = o->user,
                                          .conn_user = conn->user,
                                          .is_uni = o->is_stream && mr_io_is_uni(o),
                                          .code = o->code[kind == MR_HTTP3_IO_STOP],
                                          .reason = o->reason};
    o->is_open_told = o->is_open_told || kind == MR_HTTP3_IO_OPEN;
    if (kind == MR_HTTP3_IO_CONNECT)
        wish_out->options = &o->wanted->options;
    if (kind != MR_HTTP3_IO_SEND)
        return;
    o->is_send_told = true;
    wish_out->data = o->segments->data;
    wish_out->size = o->segments->size;
    wish_out->is_fin = o->segments->is_fin;
    wish_out->priority = o->priority;
}

bool mr_http3_io_next(struct mr_http3_io *io, struct mr_http3_io_wish *wish_out)
{
    struct mr_io_object *o;

    MR_ASSERT(!io->is_inside);
    while ((o = mr_io_pop(io, MR_IO_WISHES)) != NULL) {
        uint32_t wishes = open_wishes(o);

        if (wishes == 0)
            continue; /* what it waits for lists it again */
        enum mr_http3_io_kind kind = (enum mr_http3_io_kind)__builtin_ctz(wishes);
        o->wants &= ~(1u << kind);
        fill(io, o, kind, wish_out);
        if (kind == MR_HTTP3_IO_END)
            mr_io_forget(io, o);
        else if (o->wants != 0)
            mr_io_push(io, MR_IO_WISHES, o);
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------ life */

int mr_http3_io_new(const struct mr_http3_io_config *config,
                    const struct mr_application *application, uint64_t now_ns,
                    struct mr_http3_io **io_out)
{
    struct mr_http3_io *io = calloc(1, sizeof(*io));

    *io_out = NULL;
    if (io == NULL)
        return -ENOMEM;
    io->config = *config;
    if (io->config.connections_max == 0)
        io->config.connections_max = CONNECTIONS;
    if (io->config.streams_max == 0)
        io->config.streams_max = STREAMS_PER_CONN * io->config.connections_max;
    if (io->config.queue_bytes == 0)
        io->config.queue_bytes = QUEUE_BYTES;
    uint32_t count = io->config.connections_max + io->config.streams_max;
    io->memory = malloc(
        mr_pool_footprint(count, sizeof(struct mr_io_object), _Alignof(struct mr_io_object)));
    if (io->memory == NULL) {
        free(io);
        return -ENOMEM;
    }
    mr_pool_init(&io->objects, io->memory, count, sizeof(struct mr_io_object),
                 _Alignof(struct mr_io_object));
    io->transport.ops = &mr_io_operations;
    io->application = application;
    io->now = now_ns;
    io->is_inside = true;
    application->on_start(application->context, &io->transport);
    io->is_inside = false;
    *io_out = io;
    return 0;
}

void mr_http3_io_free(struct mr_http3_io *io)
{
    if (io == NULL)
        return;
    if (io->application->on_stop != NULL)
        io->application->on_stop(io->application->context);
    for (uint32_t i = 0; i < io->objects.fresh; i++) {
        struct mr_io_object *o = mr_pool_at(&io->objects, i);
        while (o->is_used && o->segments != NULL)
            mr_io_drop_segment(o);
        if (o->is_used)
            free(o->wanted);
    }
    free(io->memory);
    free(io);
}
