/* bench/engine_transport.c - see engine_transport.h. */
#include "bench/engine_transport.h"

#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------------ operations */

static struct engine_transport *of(const struct mr_transport *t)
{
    return (struct engine_transport *)(uintptr_t)t;
}

static int op_connect(struct mr_transport *t, const struct mr_connect_options *options,
                      mr_handle *conn_out)
{
    return mr_conn_connect(of(t)->ep, options, &of(t)->local, *of(t)->now_ns, conn_out);
}

static int op_close(struct mr_transport *t, mr_handle conn, uint64_t code, const char *reason)
{
    return mr_conn_close(of(t)->ep, conn, code, reason, *of(t)->now_ns);
}

static int op_set_user_data(struct mr_transport *t, mr_handle object, uint64_t user_data)
{
    return mr_object_set_user_data(of(t)->ep, object, user_data);
}

static int op_conn_info(struct mr_transport *t, mr_handle conn, struct mr_conn_info *info_out)
{
    return mr_conn_info(of(t)->ep, conn, info_out);
}

static int64_t op_ticket(struct mr_transport *t, mr_handle conn, uint8_t *dst, size_t room)
{
    return mr_conn_ticket(of(t)->ep, conn, dst, room, *of(t)->now_ns);
}

static int op_open(struct mr_transport *t, mr_handle conn, uint32_t flags, uint64_t user_data,
                   mr_handle *stream_out)
{
    return mr_stream_open(of(t)->ep, conn, flags, user_data, stream_out);
}

static uint64_t op_stream_id(struct mr_transport *t, mr_handle stream)
{
    return mr_stream_id(of(t)->ep, stream);
}

static int op_send(struct mr_transport *t, mr_handle stream, const struct mr_view *views,
                   size_t count, uint32_t flags)
{
    return mr_stream_send(of(t)->ep, stream, views, count, flags);
}

static int64_t op_receive(struct mr_transport *t, mr_handle stream, struct mr_view *views_out,
                          size_t room, bool *fin_out)
{
    return mr_stream_receive(of(t)->ep, stream, views_out, room, fin_out);
}

static int op_release(struct mr_transport *t, mr_handle stream, size_t size)
{
    return mr_stream_release(of(t)->ep, stream, size);
}

static int op_reset(struct mr_transport *t, mr_handle stream, uint64_t code)
{
    return mr_stream_reset(of(t)->ep, stream, code);
}

static int op_stop(struct mr_transport *t, mr_handle stream, uint64_t code)
{
    return mr_stream_stop(of(t)->ep, stream, code);
}

static int op_send_datagram(struct mr_transport *t, mr_handle conn, const struct mr_view *views,
                            size_t count)
{
    return mr_conn_send_datagram(of(t)->ep, conn, views, count);
}

static int64_t op_receive_datagram(struct mr_transport *t, mr_handle conn, uint8_t *dst,
                                   size_t room)
{
    return mr_conn_receive_datagram(of(t)->ep, conn, dst, room);
}

static int op_set_priority(struct mr_transport *t, mr_handle stream, struct mr_priority priority)
{
    return mr_stream_set_priority(of(t)->ep, stream, priority);
}

static int op_timer(struct mr_transport *t, uint64_t delay_ns, uint64_t user_data)
{
    struct engine_timer *timers = of(t)->timers;

    for (int i = 0; i < ENGINE_TIMERS; i++) {
        if (timers[i].is_armed)
            continue;
        timers[i] = (struct engine_timer){true, *of(t)->now_ns + delay_ns, user_data};
        return 0;
    }
    return -ENOMEM;
}

static int op_work(struct mr_transport *t, int64_t (*function)(void *argument), void *argument,
                   uint64_t user_data)
{
    struct engine_transport *e = of(t);

    if (e->work_count == ENGINE_WORKS)
        return -EAGAIN;
    e->works[e->work_count++] = (struct mr_event){.kinds = MR_EVENT_WORK_DONE,
                                                  .user_data = user_data,
                                                  .result = function(argument),
                                                  .reason = ""};
    return 0;
}

static uint64_t op_now(const struct mr_transport *t)
{
    return *of(t)->now_ns;
}

static const struct mr_transport_ops operations = {
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

/* ------------------------------------------------------------------ the application */

void engine_transport_start(struct engine_transport *t)
{
    t->transport.ops = &operations;
    t->application->on_start(t->application->context, &t->transport);
}

void engine_transport_tell(struct engine_transport *t, const struct mr_event *events, size_t count)
{
    if (count > 0)
        t->application->on_events(t->application->context, events, count);
}

void engine_transport_run_timers(struct engine_transport *t)
{
    for (int i = 0; i < ENGINE_TIMERS; i++) {
        struct engine_timer *timer = &t->timers[i];
        const struct mr_event event = {
            .kinds = MR_EVENT_TIMER, .user_data = timer->user_data, .reason = ""};
        if (!timer->is_armed || timer->at_ns > *t->now_ns)
            continue;
        timer->is_armed = false;
        engine_transport_tell(t, &event, 1);
    }
}

void engine_transport_run_works(struct engine_transport *t)
{
    struct mr_event works[ENGINE_WORKS];
    uint32_t count = t->work_count;

    memcpy(works, t->works, count * sizeof(works[0]));
    t->work_count = 0;
    engine_transport_tell(t, works, count);
}

uint64_t engine_transport_next_timer(const struct engine_transport *t)
{
    uint64_t next = MR_NEVER;

    for (int i = 0; i < ENGINE_TIMERS; i++) {
        if (t->timers[i].is_armed)
            next = MR_MIN(next, t->timers[i].at_ns);
    }
    return next;
}
