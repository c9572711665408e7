/*
 * dataplane/transport_inline.c - millrace/transport.h for an application on the shard's own thread.
 *
 * Every operation is a call into the endpoint; timers have a wheel of their own,
 * work goes to the helper threads.
 */
#include <errno.h>

#include "dataplane/shard_internal.h"

static struct mr_shard *shard_of(struct mr_transport *t)
{
    return MR_CONTAINER_OF(t, struct mr_shard, transport);
}

static int inline_connect(struct mr_transport *t, const struct mr_connect_options *options,
                          mr_handle *conn_out)
{
    struct mr_shard *s = shard_of(t);
    struct mr_addr local = {.port = s->config.local_port};
    struct mr_ip remote;
    struct mr_ip source;

    memcpy(remote.bytes, options->remote.ip, sizeof(remote.bytes));
    if (!mr_net_source_for(s->net, &remote, &source))
        return -ENETUNREACH;
    memcpy(local.ip, source.bytes, sizeof(local.ip));
    return mr_conn_connect(s->ep, options, &local, s->now, conn_out);
}

static int inline_close(struct mr_transport *t, mr_handle conn, uint64_t code, const char *reason)
{
    return mr_conn_close(shard_of(t)->ep, conn, code, reason, shard_of(t)->now);
}

static int inline_set_user_data(struct mr_transport *t, mr_handle object, uint64_t user_data)
{
    return mr_object_set_user_data(shard_of(t)->ep, object, user_data);
}

static int inline_conn_info(struct mr_transport *t, mr_handle conn, struct mr_conn_info *info_out)
{
    struct mr_shard *s = shard_of(t);
    int answer = mr_conn_info(s->ep, conn, info_out);

    if (answer == 0 && s->waiting_count > 0)
        info_out->limited_by = "port";
    return answer;
}

static int64_t inline_ticket(struct mr_transport *t, mr_handle conn, uint8_t *dst, size_t room)
{
    return mr_conn_ticket(shard_of(t)->ep, conn, dst, room, shard_of(t)->now);
}

static int inline_open(struct mr_transport *t, mr_handle conn, uint32_t flags, uint64_t user_data,
                       mr_handle *stream_out)
{
    return mr_stream_open(shard_of(t)->ep, conn, flags, user_data, stream_out);
}

static uint64_t inline_stream_id(struct mr_transport *t, mr_handle stream)
{
    return mr_stream_id(shard_of(t)->ep, stream);
}

static int inline_send(struct mr_transport *t, mr_handle stream, const struct mr_view *views,
                       size_t count, uint32_t flags)
{
    return mr_stream_send(shard_of(t)->ep, stream, views, count, flags);
}

static int64_t inline_receive(struct mr_transport *t, mr_handle stream, struct mr_view *views_out,
                              size_t room, bool *fin_out)
{
    return mr_stream_receive(shard_of(t)->ep, stream, views_out, room, fin_out);
}

static int inline_release(struct mr_transport *t, mr_handle stream, size_t size)
{
    return mr_stream_release(shard_of(t)->ep, stream, size);
}

static int inline_reset(struct mr_transport *t, mr_handle stream, uint64_t code)
{
    return mr_stream_reset(shard_of(t)->ep, stream, code);
}

static int inline_stop(struct mr_transport *t, mr_handle stream, uint64_t code)
{
    return mr_stream_stop(shard_of(t)->ep, stream, code);
}

static int inline_reset_at(struct mr_transport *t, mr_handle stream, uint64_t code,
                           uint64_t reliable)
{
    return mr_stream_reset_at(shard_of(t)->ep, stream, code, reliable);
}

static int inline_set_priority(struct mr_transport *t, mr_handle stream,
                               struct mr_priority priority)
{
    return mr_stream_set_priority(shard_of(t)->ep, stream, priority);
}

static int inline_send_datagram(struct mr_transport *t, mr_handle conn, const struct mr_view *views,
                                size_t count)
{
    return mr_conn_send_datagram(shard_of(t)->ep, conn, views, count);
}

static int64_t inline_receive_datagram(struct mr_transport *t, mr_handle conn, uint8_t *dst,
                                       size_t room)
{
    return mr_conn_receive_datagram(shard_of(t)->ep, conn, dst, room);
}

/* ------------------------------------------------------------------ timers */

static int inline_timer(struct mr_transport *t, uint64_t delay_ns, uint64_t user_data)
{
    struct mr_shard *s = shard_of(t);
    uint32_t index = s->timer_free;

    if (index == MR_NONE)
        return -ENOMEM;
    s->timer_free = s->timer[index].next_free;
    s->timer[index].user_data = user_data;
    mr_wheel_set(&s->timers, index, s->now + delay_ns);
    return 0;
}

uint32_t mr_inline_timers(struct mr_shard *s, struct mr_event *out, uint32_t room)
{
    uint32_t due[MR_EVENTS_PER_CALL];

    if (mr_wheel_next(&s->timers) > s->now)
        return 0;
    uint32_t count =
        mr_wheel_expire(&s->timers, due, MR_MIN(room, (uint32_t)MR_EVENTS_PER_CALL), s->now);
    for (uint32_t i = 0; i < count; i++) {
        struct mr_timer *timer = &s->timer[due[i]];

        out[i] =
            (struct mr_event){.kinds = MR_EVENT_TIMER, .user_data = timer->user_data, .reason = ""};
        timer->next_free = s->timer_free;
        s->timer_free = due[i];
    }
    return count;
}

/* ------------------------------------------------------------------ work */

static int inline_work(struct mr_transport *t, int64_t (*function)(void *argument), void *argument,
                       uint64_t user_data)
{
    struct mr_shard *s = shard_of(t);
    struct mr_work_job job = {.function = function, .argument = argument, .user_data = user_data};

    if (s->config.work == NULL || user_data == MR_WORK_KEYLOG ||
        !mr_work_submit(s->config.work, s->config.work_index, &job))
        return -EAGAIN;
    s->work_out++;
    return 0;
}

uint32_t mr_inline_work_done(struct mr_shard *s, struct mr_event *out, uint32_t room)
{
    struct mr_work_job jobs[16];
    uint32_t events = 0;

    if (s->work_out == 0)
        return 0;
    uint32_t count = mr_work_take(s->config.work, s->config.work_index, jobs,
                                  MR_MIN(room, (uint32_t)MR_COUNT_OF(jobs)));
    for (uint32_t i = 0; i < count; i++) {
        if (jobs[i].user_data == MR_WORK_KEYLOG) {
            s->is_keylog_out = false;
            s->keylog_size = 0;
            continue;
        }
        out[events++] = (struct mr_event){.kinds = MR_EVENT_WORK_DONE,
                                          .user_data = jobs[i].user_data,
                                          .result = jobs[i].result,
                                          .reason = ""};
    }
    s->work_out -= count;
    return events;
}

/* ------------------------------------------------------------------ moves */

static int inline_move(struct mr_transport *t, mr_handle conn, uint32_t shard)
{
    return mr_conn_move(shard_of(t), conn, shard);
}

static int64_t inline_moved_streams(struct mr_transport *t, mr_handle conn,
                                    struct mr_moved_stream *streams_out, size_t room)
{
    return mr_conn_moved_streams(shard_of(t)->ep, conn, streams_out, room);
}

/* ------------------------------------------------------------------ paths */

static bool is_open(const void *net, uint16_t port)
{
    return mr_net_has_port(net, port);
}

static int inline_migrate(struct mr_transport *t, mr_handle conn, const struct mr_address *local)
{
    struct mr_shard *s = shard_of(t);
    struct mr_addr addr = {.port = local->port};
    struct mr_conn_info info;
    struct mr_ip ip;
    int answer = mr_conn_can_migrate(s->ep, conn);

    if (answer == 0)
        answer = mr_conn_info(s->ep, conn, &info);
    if (answer != 0)
        return answer;
    memcpy(ip.bytes, local->ip, sizeof(ip.bytes));
    if (mr_ip_is_unspecified(&ip))
        memcpy(ip.bytes, info.local.ip, sizeof(ip.bytes));
    if (addr.port == 0)
        addr.port = mr_client_ports_next(&s->config.client_ports, info.local.port, is_open, s->net);
    if (addr.port == 0 || !mr_net_has_port(s->net, addr.port) ||
        !mr_net_self_has(mr_net_self(s->net), &ip))
        return -EADDRNOTAVAIL;
    memcpy(addr.ip, ip.bytes, sizeof(addr.ip));
    answer = mr_conn_migrate(s->ep, conn, &addr, s->now);
    return answer == -ENOMEM ? -EAGAIN : answer;
}

static int64_t path_open(struct mr_shard *s, mr_handle conn, const struct mr_address *local)
{
    struct mr_path_addr addr = {.local.port = local->port};
    struct mr_conn_info info;
    struct mr_ip ip;
    int answer = mr_conn_info(s->ep, conn, &info);

    if (answer != 0)
        return answer;
    memcpy(ip.bytes, local->ip, sizeof(ip.bytes));
    if (mr_ip_is_unspecified(&ip))
        memcpy(ip.bytes, info.local.ip, sizeof(ip.bytes));
    if (addr.local.port == 0)
        addr.local.port = info.local.port;
    if (!mr_net_has_port(s->net, addr.local.port) || !mr_net_self_has(mr_net_self(s->net), &ip))
        return -EADDRNOTAVAIL;
    memcpy(addr.local.ip, ip.bytes, sizeof(addr.local.ip));
    return mr_conn_path_open(s->ep, conn, &addr, s->now);
}

static int64_t inline_path(struct mr_transport *t, mr_handle conn, const struct mr_path_call *call)
{
    struct mr_shard *s = shard_of(t);

    switch ((enum mr_path_call_kind)call->kind) {
    case MR_PATH_CALL_OPEN:
        return path_open(s, conn, &call->local);
    case MR_PATH_CALL_ABANDON:
        return mr_conn_path_abandon(s->ep, conn, call->path, s->now);
    case MR_PATH_CALL_BACKUP:
    case MR_PATH_CALL_AVAILABLE:
        return mr_conn_path_set_backup(s->ep, conn, call->path, call->kind == MR_PATH_CALL_BACKUP);
    case MR_PATH_CALL_LIST:
        return mr_conn_paths(s->ep, conn, call->out, call->room);
    case MR_PATH_CALL_ANSWER: /* each is answered at once */
        return -ENOENT;
    }
    return -EINVAL;
}

static int inline_trace(struct mr_transport *t, mr_handle conn, const struct mr_trace_http3 *record,
                        struct mr_view bytes)
{
    struct mr_shard *s = shard_of(t);

    if (record == NULL)
        return mr_endpoint_is_tracing(s->ep) ? 0 : -ENOENT;
    return mr_conn_trace_http3(s->ep, conn, record, bytes, s->now);
}

static uint64_t inline_now(const struct mr_transport *t)
{
    return ((const struct mr_shard *)t)->now;
}

const struct mr_transport_ops mr_inline_ops = {
    .connect = inline_connect,
    .close = inline_close,
    .set_user_data = inline_set_user_data,
    .conn_info = inline_conn_info,
    .ticket = inline_ticket,
    .open = inline_open,
    .stream_id = inline_stream_id,
    .send = inline_send,
    .receive = inline_receive,
    .release = inline_release,
    .reset = inline_reset,
    .stop = inline_stop,
    .send_datagram = inline_send_datagram,
    .receive_datagram = inline_receive_datagram,
    .timer = inline_timer,
    .work = inline_work,
    .now = inline_now,
    .move = inline_move,
    .migrate = inline_migrate,
    .moved_streams = inline_moved_streams,
    .set_priority = inline_set_priority,
    .reset_at = inline_reset_at,
    .path = inline_path,
    .trace = inline_trace,
};
