/* app/transport_ops.c - the operations of millrace/transport.h; see transport_internal.h. */
#include <errno.h>

#include "app/transport_internal.h"
#include "app/transport_move.h"
#include "app/transport_path.h"
#include "app/transport_receive.h"
#include "app/transport_send.h"

static struct mr_ring_transport *of(const struct mr_transport *t)
{
    return (struct mr_ring_transport *)(uintptr_t)t;
}

/* Of the kind that it must be; NULL: stale. */
static struct mr_rt_object *find(const struct mr_ring_transport *t, mr_handle handle,
                                 bool is_stream)
{
    struct mr_rt_object *object = mr_rt_find(t, handle);

    return object == NULL || object->is_stream != is_stream ? NULL : object;
}

/* The same, and its end was not told. */
static struct mr_rt_object *find_live(const struct mr_ring_transport *t, mr_handle handle,
                                      bool is_stream)
{
    struct mr_rt_object *object = find(t, handle, is_stream);

    return object == NULL || object->is_over ? NULL : object;
}

/* ------------------------------------------------------------------ connections */

/* The next ring in turn that lives; NULL: none does. */
static struct mr_rt_ring *choose_ring(struct mr_ring_transport *t)
{
    for (uint32_t i = 0; i < t->ring_count; i++) {
        struct mr_rt_ring *ring = &t->rings[t->next_ring++ % t->ring_count];

        if (!ring->is_gone)
            return ring;
    }
    return NULL;
}

static bool make_wish(const struct mr_connect_options *options, struct mr_ring_connect *wish)
{
    *wish = (struct mr_ring_connect){.port = options->remote.port,
                                     .is_insecure = options->is_insecure,
                                     .is_early = options->is_early,
                                     .ticket_size = options->ticket_size};
    if (options->server_name == NULL || options->alpn_size == 0 ||
        options->alpn_size > sizeof(wish->alpn) ||
        strlen(options->server_name) >= sizeof(wish->server_name))
        return false;
    memcpy(wish->versions, options->versions, sizeof(wish->versions));
    memcpy(wish->ip, options->remote.ip, sizeof(wish->ip));
    memcpy(wish->alpn, options->alpn, options->alpn_size);
    wish->alpn_size = (uint16_t)options->alpn_size;
    strcpy(wish->server_name, options->server_name);
    return true;
}

/* The wish, and the ticket behind it, in the send area. */
static uint8_t *place_wish(struct mr_rt_ring *ring, struct mr_ring_connect *wish,
                           const uint8_t *ticket)
{
    size_t size = sizeof(*wish) + (size_t)wish->ticket_size;
    uint8_t *block = mr_ring_alloc(ring->ring, size);

    if (block == NULL)
        return NULL;
    if (wish->ticket_size > 0) {
        memcpy(block + sizeof(*wish), ticket, (size_t)wish->ticket_size);
        wish->ticket = mr_ring_offset(ring->ring, block + sizeof(*wish));
    }
    memcpy(block, wish, sizeof(*wish));
    return block;
}

static void fill_first_info(struct mr_ring_info *info, const struct mr_connect_options *options)
{
    memcpy(info->remote_ip, options->remote.ip, sizeof(info->remote_ip));
    info->remote_port = options->remote.port;
    info->is_client = 1;
}

static int op_connect(struct mr_transport *transport, const struct mr_connect_options *options,
                      mr_handle *conn_out)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_ring_connect wish;

    if (!make_wish(options, &wish))
        return -EINVAL;
    struct mr_rt_ring *ring = choose_ring(t);
    if (ring == NULL)
        return -ENOTCONN;
    struct mr_rt_object *conn = mr_rt_conn_new(t, (uint32_t)(ring - t->rings), true);
    if (conn == NULL)
        return -EAGAIN;
    uint8_t *block = place_wish(ring, &wish, options->ticket);
    struct mr_rt_record *record =
        block == NULL ? NULL : mr_rt_record_new(t, conn, MR_OP_CONNECT, block);
    if (record == NULL) {
        mr_ring_free(ring->ring, block);
        mr_rt_object_free(t, conn);
        return -EAGAIN;
    }
    conn->user_data = options->user_data;
    fill_first_info(&mr_rt_conn_of(t, conn)->info, options);
    struct mr_sqe sqe = {.user_data = mr_rt_record_word(t, record), .alias = conn->alias};
    mr_sqe_connect(&sqe, mr_ring_offset(ring->ring, block));
    mr_rt_submit(t, ring, &sqe);
    *conn_out = mr_rt_handle(conn);
    return 0;
}

static int op_close(struct mr_transport *transport, mr_handle handle, uint64_t code,
                    const char *reason)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *conn = find_live(t, handle, false);

    if (conn == NULL)
        return -ESTALE;
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    if (c->is_closing)
        return 0;
    c->is_closing = true;
    mr_rt_submit_close(t, conn, code, reason,
                       reason == NULL ? 0 : strnlen(reason, MR_RT_REASON_MAX));
    return 0;
}

static int op_set_user_data(struct mr_transport *transport, mr_handle handle, uint64_t user_data)
{
    struct mr_rt_object *object = mr_rt_find(of(transport), handle);

    if (object == NULL || object->is_over)
        return -ESTALE;
    object->user_data = user_data;
    return 0;
}

/* One that outlives the connection. */
static const char *limit_name(const char *name)
{
    static const char *const names[] = {"cwnd",          "pacing", "flow control", "application",
                                        "amplification", "port",   "memory"};

    for (size_t i = 0; i < MR_COUNT_OF(names); i++)
        if (strcmp(names[i], name) == 0)
            return names[i];
    return "application";
}

static int op_conn_info(struct mr_transport *transport, mr_handle handle,
                        struct mr_conn_info *info_out)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *conn = find_live(t, handle, false);

    if (conn == NULL)
        return -ESTALE;
    const struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    const struct mr_ring_info *info = &c->info;
    *info_out = (struct mr_conn_info){.local.port = info->local_port,
                                      .remote.port = info->remote_port,
                                      .observed.port = info->observed_port,
                                      .rtt_ns = info->rtt_ns,
                                      .cwnd_bytes = info->cwnd_bytes,
                                      .bytes_in_flight = info->bytes_in_flight,
                                      .packets_sent = info->packets_sent,
                                      .packets_lost = info->packets_lost,
                                      .bytes_received = info->bytes_received,
                                      .key_updates = info->key_updates,
                                      .version = info->version,
                                      .is_resumed = info->is_resumed != 0,
                                      .is_early = (info->is_client & 2) != 0,
                                      .is_client = c->is_client,
                                      .ecn = info->ecn,
                                      .datagram_max = info->datagram_max,
                                      .takes_reset_at = info->takes_reset_at != 0,
                                      .streams_bidi_limit = c->limit[0],
                                      .streams_uni_limit = c->limit[1],
                                      .limited_by = limit_name(info->limited_by)};
    memcpy(info_out->local.ip, info->local_ip, sizeof(info_out->local.ip));
    memcpy(info_out->remote.ip, info->remote_ip, sizeof(info_out->remote.ip));
    memcpy(info_out->observed.ip, info->observed_ip, sizeof(info_out->observed.ip));
    memcpy(info_out->alpn, info->alpn, sizeof(info_out->alpn));
    memcpy(info_out->server_name, info->server_name, sizeof(info_out->server_name));
    if (c->is_told && !c->is_info_out)
        mr_rt_want_info(t, conn);
    return 0;
}

static int64_t op_ticket(struct mr_transport *transport, mr_handle handle, uint8_t *dst,
                         size_t room)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *conn = find_live(t, handle, false);

    if (conn == NULL)
        return -ESTALE;
    const struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    if (c->is_client && c->is_told && !c->is_ticket_out)
        mr_rt_want_ticket(t, conn);
    if (c->ticket_size > room)
        return -ENOBUFS;
    if (c->ticket_size > 0)
        memcpy(dst, c->ticket, c->ticket_size);
    return c->ticket_size;
}

/* ------------------------------------------------------------------ opening */

static int open_new(struct mr_ring_transport *t, struct mr_rt_object *conn, bool is_uni,
                    struct mr_rt_object **object_out)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);

    if (conn->is_moving || c->is_probing[is_uni] || c->opened[is_uni] >= c->limit[is_uni]) {
        if (!mr_rt_probe(t, conn, is_uni))
            return -ENOMEM;
        c->wants_streams[is_uni] = true;
        return -EAGAIN;
    }
    *object_out = mr_rt_stream_new(t, conn, true);
    if (*object_out == NULL)
        return -ENOMEM;
    (*object_out)->stream.can_receive = !is_uni;
    mr_rt_submit_open(t, *object_out);
    return 0;
}

static int op_open(struct mr_transport *transport, mr_handle handle, uint32_t flags,
                   uint64_t user_data, mr_handle *stream_out)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *conn = find_live(t, handle, false);
    bool is_uni = (flags & MR_OPEN_UNI) != 0;
    struct mr_rt_object *object = NULL;

    if (conn == NULL || mr_rt_conn_of(t, conn)->is_closing || (conn->kinds & MR_EVENT_CLOSED) != 0)
        return -ESTALE;
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    if (c->spare[is_uni] != MR_NONE) {
        object = mr_rt_at(t, c->spare[is_uni]);
        c->spare[is_uni] = MR_NONE;
        object->is_hidden = false;
    } else {
        int result = open_new(t, conn, is_uni, &object);
        if (result != 0)
            return result;
    }
    object->user_data = user_data;
    *stream_out = mr_rt_handle(object);
    return 0;
}

static uint64_t op_stream_id(struct mr_transport *transport, mr_handle handle)
{
    const struct mr_rt_object *object = find(of(transport), handle, true);

    return object == NULL ? UINT64_MAX : object->stream.id;
}

/* ------------------------------------------------------------------ streams */

static int op_send(struct mr_transport *transport, mr_handle handle, const struct mr_view *views,
                   size_t count, uint32_t flags)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *object = find_live(t, handle, true);

    if (object == NULL || object->is_forced ||
        mr_rt_conn_of(t, mr_rt_parent(t, object))->is_closing)
        return -ESTALE;
    return mr_rt_send(t, object, views, count, flags);
}

static int64_t op_receive(struct mr_transport *transport, mr_handle handle,
                          struct mr_view *views_out, size_t room, bool *fin_out)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *object = find(t, handle, true);

    return object == NULL ? -ESTALE : mr_rt_receive(t, object, views_out, room, fin_out);
}

static int op_release(struct mr_transport *transport, mr_handle handle, size_t size)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *object = find(t, handle, true);

    return object == NULL ? -ESTALE : mr_rt_release(t, object, size);
}

static int op_reset(struct mr_transport *transport, mr_handle handle, uint64_t code)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *object = find_live(t, handle, true);
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    if (object == NULL)
        return -ESTALE;
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    const struct mr_rt_stream *s = &object->stream;
    bool is_done = s->has_fin_queued && s->segments.head == MR_NONE && s->records.head == MR_NONE;
    if (!s->can_send || s->is_send_over || is_done)
        return -EPIPE;
    mr_rt_send_over(t, object);
    mr_sqe_reset(&sqe, object->wire, code);
    mr_rt_submit_about(t, object, &sqe);
    return 0;
}

static int op_reset_at(struct mr_transport *transport, mr_handle handle, uint64_t code,
                       uint64_t reliable)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *object = find_live(t, handle, true);
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    if (object == NULL)
        return -ESTALE;
    struct mr_rt_stream *s = &object->stream;
    bool is_done = s->has_fin_queued && s->segments.head == MR_NONE && s->records.head == MR_NONE;
    if (code > MR_ERROR_CODE_MAX || reliable > s->queued_to ||
        (s->has_reset_at && (reliable > s->reliable || code != s->reset_code)))
        return -EINVAL;
    if (!s->can_send || s->is_send_over || (is_done && !s->has_reset_at))
        return -EPIPE;
    if (mr_rt_conn_of(t, mr_rt_parent(t, object))->info.takes_reset_at == 0)
        return -EOPNOTSUPP;
    s->has_reset_at = true;
    s->reliable = reliable;
    s->reset_code = code;
    mr_rt_send_cut(t, object, reliable);
    mr_sqe_reset_at(&sqe, object->wire, code, reliable);
    mr_rt_submit_about(t, object, &sqe);
    return 0;
}

static int op_stop(struct mr_transport *transport, mr_handle handle, uint64_t code)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *object = find_live(t, handle, true);
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    if (object == NULL)
        return -ESTALE;
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    if (mr_rt_has_consumed(object))
        return 0;
    object->stream.is_stopped = true;
    mr_rt_receive_over(t, object);
    mr_sqe_stop(&sqe, object->wire, code);
    mr_rt_submit_about(t, object, &sqe);
    mr_rt_mark(t, object, 0); /* its end may have waited for this */
    return 0;
}

static int op_set_priority(struct mr_transport *transport, mr_handle handle,
                           struct mr_priority priority)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *object = find_live(t, handle, true);
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    if (object == NULL)
        return -ESTALE;
    if (priority.urgency >= MR_URGENCIES)
        return -EINVAL;
    mr_sqe_priority(&sqe, object->wire, priority);
    mr_rt_submit_about(t, object, &sqe);
    return 0;
}

/* ------------------------------------------------------------------ datagrams */

static int op_send_datagram(struct mr_transport *transport, mr_handle handle,
                            const struct mr_view *views, size_t count)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *conn = find_live(t, handle, false);

    if (conn == NULL || mr_rt_conn_of(t, conn)->is_closing)
        return -ESTALE;
    return mr_rt_send_datagram(t, conn, views, count);
}

static int64_t op_receive_datagram(struct mr_transport *transport, mr_handle handle, uint8_t *dst,
                                   size_t room)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *conn = find(t, handle, false);

    return conn == NULL ? -ESTALE : mr_rt_receive_datagram(t, conn, dst, room);
}

/* ------------------------------------------------------------------ others */

static int op_timer(struct mr_transport *transport, uint64_t delay_ns, uint64_t user_data)
{
    struct mr_ring_transport *t = of(transport);
    uint64_t now = t->config.clock(t->config.clock_context);
    uint32_t index = mr_pool_get(&t->timers);

    if (index == MR_NONE)
        return -ENOMEM;
    ((struct mr_rt_timer *)mr_pool_at(&t->timers, index))->user_data = user_data;
    mr_wheel_set(&t->wheel, index, MR_MIN(delay_ns, MR_WHEEL_DEADLINE_MAX - now) + now);
    return 0;
}

static int op_work(struct mr_transport *transport, int64_t (*function)(void *argument),
                   void *argument, uint64_t user_data)
{
    struct mr_ring_transport *t = of(transport);

    if (t->config.work.start != NULL)
        return t->config.work.start(t->config.work.context, function, argument, user_data);
    if (t->work_count == t->config.work_max)
        return -EAGAIN;
    t->work[(t->work_begin + t->work_count++) % t->config.work_max] =
        (struct mr_rt_work){.function = function, .argument = argument, .user_data = user_data};
    return 0;
}

/* After a move everything has the handles that it had. */
static int64_t op_moved_streams(struct mr_transport *transport, mr_handle handle,
                                struct mr_moved_stream *streams_out, size_t room)
{
    const struct mr_ring_transport *t = of(transport);
    const struct mr_rt_object *conn = find_live(t, handle, false);
    size_t count = 0;

    if (conn == NULL)
        return -ESTALE;
    for (uint32_t i = mr_rt_conn_of(t, conn)->first; i != MR_NONE && count < room;
         i = mr_rt_at(t, i)->stream.next) {
        const struct mr_rt_object *object = mr_rt_at(t, i);

        if (!object->is_hidden && !object->is_over)
            streams_out[count++] = (struct mr_moved_stream){
                mr_rt_handle(object), mr_rt_handle(object), object->user_data};
    }
    return (int64_t)count;
}

static uint64_t op_now(const struct mr_transport *transport)
{
    return of(transport)->now;
}

/* The datapath's refusal is told as PATH_FAILED. */
static int op_migrate(struct mr_transport *transport, mr_handle handle,
                      const struct mr_address *local)
{
    static const uint8_t none[16];
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *conn = find_live(t, handle, false);
    bool has_ip = memcmp(local->ip, none, sizeof(none)) != 0;

    if (conn == NULL)
        return -ESTALE;
    if (conn->is_moving)
        return -EBUSY;
    struct mr_rt_ring *ring = mr_rt_ring_of(t, conn);
    void *block = has_ip ? mr_ring_alloc(ring->ring, sizeof(local->ip)) : NULL;
    struct mr_rt_record *record =
        has_ip && block == NULL ? NULL : mr_rt_record_new(t, conn, MR_OP_MIGRATE, block);
    if (record == NULL) {
        mr_ring_free(ring->ring, block);
        return -EAGAIN;
    }
    struct mr_sqe sqe = {.user_data = mr_rt_record_word(t, record)};
    mr_sqe_migrate(&sqe, conn->wire, local->port);
    if (has_ip) {
        memcpy(block, local->ip, sizeof(local->ip));
        sqe.address = mr_ring_offset(ring->ring, block);
        sqe.size = sizeof(local->ip);
    }
    mr_rt_submit(t, ring, &sqe);
    return 0;
}

static int64_t op_path(struct mr_transport *transport, mr_handle handle,
                       const struct mr_path_call *call)
{
    struct mr_ring_transport *t = of(transport);
    struct mr_rt_object *conn = find_live(t, handle, false);

    return conn == NULL ? -ESTALE : mr_rt_path(t, conn, call);
}

const struct mr_transport_ops mr_rt_ops = {
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
    .moved_streams = op_moved_streams,
    .set_priority = op_set_priority,
    .migrate = op_migrate,
    .reset_at = op_reset_at,
    .path = op_path,
};
