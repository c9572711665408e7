/*
 * dataplane/dispatch_transport.c - the transport of an inline application beside others; see
 * dispatch.h.
 *
 * Operations are the shard's.  Connections that are opened are noted; timers and work get numbers.
 */
#include <errno.h>

#include "dataplane/dispatch_internal.h"
#include "quic/counters.h"

static struct mr_dispatch_member *member_of(const struct mr_transport *t)
{
    return (struct mr_dispatch_member *)(uintptr_t)t;
}

static struct mr_transport *shards(const struct mr_transport *t)
{
    return member_of(t)->dispatcher->transport;
}

static uint32_t number_of(const struct mr_dispatch_member *member)
{
    return (uint32_t)(member - member->dispatcher->members);
}

/* ------------------------------------------------------------------ connections */

static int dispatch_connect(struct mr_transport *t, const struct mr_connect_options *options,
                            mr_handle *conn_out)
{
    struct mr_dispatch_member *member = member_of(t);
    struct mr_dispatcher *d = member->dispatcher;

    if (mr_pool_free_count(&d->conns) == 0)
        return -EAGAIN;
    int answer = shards(t)->ops->connect(shards(t), options, conn_out);
    if (answer != 0)
        return answer;
    if (!mr_dispatch_note(d, *conn_out, number_of(member), MR_DISPATCH_OPENED)) {
        (void)shards(t)->ops->close(shards(t), *conn_out, 0, "no room");
        return -EAGAIN;
    }
    mr_count_add(&member->conns_opened, 1);
    return 0;
}

static int dispatch_close(struct mr_transport *t, mr_handle conn, uint64_t code, const char *reason)
{
    return shards(t)->ops->close(shards(t), conn, code, reason);
}

static int dispatch_set_user_data(struct mr_transport *t, mr_handle object, uint64_t user_data)
{
    return shards(t)->ops->set_user_data(shards(t), object, user_data);
}

static int dispatch_conn_info(struct mr_transport *t, mr_handle conn, struct mr_conn_info *info_out)
{
    return shards(t)->ops->conn_info(shards(t), conn, info_out);
}

static int64_t dispatch_ticket(struct mr_transport *t, mr_handle conn, uint8_t *dst, size_t room)
{
    return shards(t)->ops->ticket(shards(t), conn, dst, room);
}

static int dispatch_send_datagram(struct mr_transport *t, mr_handle conn,
                                  const struct mr_view *views, size_t count)
{
    if (shards(t)->ops->send_datagram == NULL)
        return -EOPNOTSUPP;
    return shards(t)->ops->send_datagram(shards(t), conn, views, count);
}

static int64_t dispatch_receive_datagram(struct mr_transport *t, mr_handle conn, uint8_t *dst,
                                         size_t room)
{
    if (shards(t)->ops->receive_datagram == NULL)
        return -EAGAIN;
    return shards(t)->ops->receive_datagram(shards(t), conn, dst, room);
}

/* ------------------------------------------------------------------ streams */

static int dispatch_open(struct mr_transport *t, mr_handle conn, uint32_t flags, uint64_t user_data,
                         mr_handle *stream_out)
{
    return shards(t)->ops->open(shards(t), conn, flags, user_data, stream_out);
}

static uint64_t dispatch_stream_id(struct mr_transport *t, mr_handle stream)
{
    return shards(t)->ops->stream_id(shards(t), stream);
}

static int dispatch_send(struct mr_transport *t, mr_handle stream, const struct mr_view *views,
                         size_t count, uint32_t flags)
{
    return shards(t)->ops->send(shards(t), stream, views, count, flags);
}

static int64_t dispatch_receive(struct mr_transport *t, mr_handle stream, struct mr_view *views_out,
                                size_t room, bool *fin_out)
{
    return shards(t)->ops->receive(shards(t), stream, views_out, room, fin_out);
}

static int dispatch_release(struct mr_transport *t, mr_handle stream, size_t size)
{
    return shards(t)->ops->release(shards(t), stream, size);
}

static int dispatch_reset(struct mr_transport *t, mr_handle stream, uint64_t code)
{
    return shards(t)->ops->reset(shards(t), stream, code);
}

static int dispatch_reset_at(struct mr_transport *t, mr_handle stream, uint64_t code,
                             uint64_t reliable)
{
    return shards(t)->ops->reset_at(shards(t), stream, code, reliable);
}

static int dispatch_stop(struct mr_transport *t, mr_handle stream, uint64_t code)
{
    return shards(t)->ops->stop(shards(t), stream, code);
}

/* ------------------------------------------------------------------ timers, work */

/* A number of ours for the member's; MR_NONE: none is free. */
static uint32_t note_call(const struct mr_transport *t, uint64_t user_data)
{
    struct mr_dispatcher *d = member_of(t)->dispatcher;
    uint32_t index = mr_pool_get(&d->calls);

    if (index != MR_NONE)
        *(struct mr_dispatch_call *)mr_pool_at(&d->calls, index) =
            (struct mr_dispatch_call){.user_data = user_data, .member = number_of(member_of(t))};
    return index;
}

static int dispatch_timer(struct mr_transport *t, uint64_t delay_ns, uint64_t user_data)
{
    uint32_t index = note_call(t, user_data);

    if (index == MR_NONE)
        return -ENOMEM;
    int answer = shards(t)->ops->timer(shards(t), delay_ns, index);
    if (answer != 0)
        mr_pool_put(&member_of(t)->dispatcher->calls, index);
    return answer;
}

static int dispatch_work(struct mr_transport *t, int64_t (*function)(void *argument),
                         void *argument, uint64_t user_data)
{
    uint32_t index = note_call(t, user_data);

    if (index == MR_NONE)
        return -EAGAIN;
    int answer = shards(t)->ops->work(shards(t), function, argument, index);
    if (answer != 0)
        mr_pool_put(&member_of(t)->dispatcher->calls, index);
    return answer;
}

static uint64_t dispatch_now(const struct mr_transport *t)
{
    return shards(t)->ops->now(shards(t));
}

static int dispatch_move(struct mr_transport *t, mr_handle conn, uint32_t shard)
{
    if (shards(t)->ops->move == NULL || member_of(t)->application->on_move == NULL)
        return -EOPNOTSUPP;
    return shards(t)->ops->move(shards(t), conn, shard);
}

static int64_t dispatch_moved_streams(struct mr_transport *t, mr_handle conn,
                                      struct mr_moved_stream *streams_out, size_t room)
{
    if (shards(t)->ops->moved_streams == NULL)
        return -EOPNOTSUPP;
    return shards(t)->ops->moved_streams(shards(t), conn, streams_out, room);
}

static int dispatch_migrate(struct mr_transport *t, mr_handle conn, const struct mr_address *local)
{
    if (shards(t)->ops->migrate == NULL)
        return -EOPNOTSUPP;
    return shards(t)->ops->migrate(shards(t), conn, local);
}

static int dispatch_set_priority(struct mr_transport *t, mr_handle stream,
                                 struct mr_priority priority)
{
    if (shards(t)->ops->set_priority == NULL)
        return 0; /* an order of its own */
    return shards(t)->ops->set_priority(shards(t), stream, priority);
}

static int64_t dispatch_path(struct mr_transport *t, mr_handle conn,
                             const struct mr_path_call *call)
{
    if (shards(t)->ops->path == NULL)
        return -EOPNOTSUPP;
    return shards(t)->ops->path(shards(t), conn, call);
}

static int dispatch_trace(struct mr_transport *t, mr_handle conn,
                          const struct mr_trace_http3 *record, struct mr_view bytes)
{
    if (shards(t)->ops->trace == NULL)
        return -ENOENT;
    return shards(t)->ops->trace(shards(t), conn, record, bytes);
}

const struct mr_transport_ops mr_dispatch_ops = {
    .connect = dispatch_connect,
    .close = dispatch_close,
    .set_user_data = dispatch_set_user_data,
    .conn_info = dispatch_conn_info,
    .ticket = dispatch_ticket,
    .open = dispatch_open,
    .stream_id = dispatch_stream_id,
    .send = dispatch_send,
    .receive = dispatch_receive,
    .release = dispatch_release,
    .reset = dispatch_reset,
    .stop = dispatch_stop,
    .send_datagram = dispatch_send_datagram,
    .receive_datagram = dispatch_receive_datagram,
    .timer = dispatch_timer,
    .work = dispatch_work,
    .now = dispatch_now,
    .move = dispatch_move,
    .migrate = dispatch_migrate,
    .moved_streams = dispatch_moved_streams,
    .reset_at = dispatch_reset_at,
    .set_priority = dispatch_set_priority,
    .path = dispatch_path,
    .trace = dispatch_trace,
};
