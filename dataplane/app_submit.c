/*
 * dataplane/app_submit.c - submissions: a table of operations.
 *
 * Each works on a copy of its entry.  It returns 0 or -errno, which becomes the completion; an
 * operation that is answered later returns LATER.
 */
#include <errno.h>

#include "dataplane/app_internal.h"
#include "dataplane/app_move.h"
#include "dataplane/app_send.h"
#include "millrace/path.h"
#include "quic/counters.h"

#define LATER      1
#define REASON_MAX 96   /* bytes of a close's reason; more are cut off */
#define TICKET_MAX 8192 /* bytes; a longer one is no ticket */

/* A submission being carried out. */
struct call {
    struct mr_app_host *host;
    struct mr_app_ring *ring;
    struct mr_sqe sqe;
    struct mr_cqe cqe; /* out */
};

static const struct mr_transport_ops *ops_of(const struct call *c)
{
    return c->host->transport->ops;
}

/* The object that the submission names, of the kind it must be; NULL: -ESTALE. */
static struct mr_app_object *object_of(const struct call *c, bool is_stream)
{
    struct mr_app_object *object = mr_app_object_find(c->host, c->ring, c->sqe.handle);

    return object == NULL || object->is_stream != is_stream || mr_app_is_away(c->host, object)
               ? NULL
               : object;
}

/* `size` bytes at an address that the application gave; NULL: they are not in its send area. */
static uint8_t *bytes_at(const struct call *c, uint64_t address, uint64_t size)
{
    if (c->ring->is_by_reference)
        return (uint8_t *)(uintptr_t)address;
    return mr_ring_in_send_area(&c->ring->region, address, size) ? c->ring->region.base + address
                                                                 : NULL;
}

static uint8_t *bytes_of(const struct call *c, uint64_t size)
{
    return bytes_at(c, c->sqe.address, size);
}

/* Can the alias that the submission chooses be used?  0 or -errno. */
static int check_alias(const struct call *c)
{
    if (c->sqe.alias == 0)
        return 0;
    if (c->sqe.alias > c->ring->region.sizes.alias_count)
        return -EINVAL;
    return c->ring->aliases[c->sqe.alias - 1] == MR_NONE ? 0 : -EEXIST;
}

/* The new object is the submission's. */
static void take_over(const struct call *c, struct mr_app_object *object)
{
    object->user_data = c->sqe.user_data;
    object->alias = c->sqe.alias;
    if (object->alias != 0)
        c->ring->aliases[object->alias - 1] = object->index;
}

static bool has_object(const struct call *c)
{
    return c->ring->objects < c->ring->config.objects_max &&
           mr_pool_free_count(&c->host->objects) > 0;
}

/* ------------------------------------------------------------------ connections */

static int nop(struct call *c)
{
    (void)c;
    return 0;
}

static int start_listening(struct call *c)
{
    return mr_app_listen(c->host, c->ring, c->sqe.value, c->sqe.address != 0);
}

static int accept_connection(struct call *c)
{
    return mr_app_accept(c->host, c->ring, c->sqe.value, c->sqe.user_data);
}

/* The ticket's bytes are copied before anything looks at them, too. */
static int find_ticket(const struct call *c, const struct mr_ring_connect *wish,
                       struct mr_connect_options *options)
{
    if (wish->ticket_size == 0)
        return 0;
    const uint8_t *bytes = bytes_at(c, wish->ticket, wish->ticket_size);
    if (bytes == NULL || wish->ticket_size > TICKET_MAX)
        return -EINVAL;
    memcpy(c->host->scratch, bytes, wish->ticket_size);
    options->ticket = c->host->scratch;
    options->ticket_size = wish->ticket_size;
    return 0;
}

/* Copied once: it may change while we look. */
static int read_wish(const struct call *c, struct mr_ring_connect *wish,
                     struct mr_connect_options *options)
{
    const uint8_t *bytes = bytes_of(c, sizeof(*wish));

    if (bytes == NULL || c->sqe.size != sizeof(*wish))
        return -EINVAL;
    memcpy(wish, bytes, sizeof(*wish));
    if (wish->alpn_size > sizeof(wish->alpn) ||
        memchr(wish->server_name, 0, sizeof(wish->server_name)) == NULL)
        return -EINVAL;
    *options = (struct mr_connect_options){.server_name = wish->server_name,
                                           .alpn = wish->alpn,
                                           .alpn_size = wish->alpn_size,
                                           .is_insecure = wish->is_insecure != 0,
                                           .is_early = wish->is_early != 0,
                                           .remote = {.port = wish->port}};
    memcpy(options->versions, wish->versions, sizeof(options->versions));
    memcpy(options->remote.ip, wish->ip, sizeof(options->remote.ip));
    return find_ticket(c, wish, options);
}

static bool may_connect(struct call *c)
{
    bool may = mr_app_may_open_conn(c->host, c->ring);

    mr_count_add(&c->host->stats.connects_refused, !may);
    return may;
}

static int start_connection(struct call *c)
{
    struct mr_ring_connect wish;
    struct mr_connect_options options;
    mr_handle handle;
    int answer = read_wish(c, &wish, &options);

    if (answer == 0)
        answer = check_alias(c);
    if (answer == 0 && !has_object(c))
        answer = -ENOMEM;
    if (answer == 0 && !may_connect(c))
        answer = -EDQUOT;
    if (answer == 0)
        answer = ops_of(c)->connect(c->host->transport, &options, &handle);
    if (answer != 0)
        return answer;
    struct mr_app_object *object = mr_app_object_new(c->host, c->ring, handle, NULL);
    if (object == NULL) {
        ops_of(c)->close(c->host->transport, handle, c->host->config.refuse_code, "no memory");
        return -ENOMEM;
    }
    c->ring->opened++;
    mr_app_set_connecting(c->host, object, true);
    take_over(c, object);
    c->cqe.conn = mr_app_handle(object);
    return 0;
}

static int close_connection(struct call *c)
{
    const struct mr_app_object *object = object_of(c, false);
    char reason[REASON_MAX + 1] = {0};

    if (object == NULL)
        return -ESTALE;
    uint32_t size = MR_MIN(c->sqe.size, (uint32_t)REASON_MAX);
    if (size > 0) {
        const uint8_t *bytes = bytes_of(c, size);
        if (bytes == NULL)
            return -EINVAL;
        memcpy(reason, bytes, size);
    }
    return ops_of(c)->close(c->host->transport, object->handle, c->sqe.value, reason);
}

static int send_datagram(struct call *c)
{
    const struct mr_app_object *object = object_of(c, false);

    if (object == NULL)
        return -ESTALE;
    struct mr_view view = {.data = bytes_of(c, c->sqe.size), .size = c->sqe.size};
    if (view.size > 0 && view.data == NULL)
        return -EINVAL;
    if (ops_of(c)->send_datagram == NULL)
        return -EOPNOTSUPP;
    return ops_of(c)->send_datagram(c->host->transport, object->handle, &view, view.size > 0);
}

/* Text without its end where there is no room for it: the reader's fields are as large as ours. */
static void copy_text(char *dst, size_t room, const char *src)
{
    size_t size = src == NULL ? 0 : strlen(src);

    memcpy(dst, src == NULL ? "" : src, MR_MIN(size, room - 1));
}

static int write_info(struct call *c)
{
    const struct mr_app_object *object = object_of(c, false);
    uint8_t *bytes = bytes_of(c, sizeof(struct mr_ring_info));
    struct mr_conn_info info;

    if (object == NULL)
        return -ESTALE;
    if (bytes == NULL)
        return -EINVAL;
    int answer = ops_of(c)->conn_info(c->host->transport, object->handle, &info);
    if (answer != 0)
        return answer;
    struct mr_ring_info out = {.local_port = info.local.port,
                               .remote_port = info.remote.port,
                               .key_updates = info.key_updates,
                               .rtt_ns = info.rtt_ns,
                               .cwnd_bytes = info.cwnd_bytes,
                               .bytes_in_flight = info.bytes_in_flight,
                               .packets_sent = info.packets_sent,
                               .packets_lost = info.packets_lost,
                               .bytes_received = info.bytes_received,
                               .datagram_max = info.datagram_max,
                               .version = (uint8_t)info.version,
                               .is_resumed = info.is_resumed,
                               .is_client = (uint8_t)(info.is_client | info.is_early << 1),
                               .ecn = info.ecn,
                               .observed_port = info.observed.port,
                               .takes_reset_at = info.takes_reset_at};
    memcpy(out.observed_ip, info.observed.ip, sizeof(out.observed_ip));
    memcpy(out.local_ip, info.local.ip, sizeof(out.local_ip));
    memcpy(out.remote_ip, info.remote.ip, sizeof(out.remote_ip));
    copy_text(out.alpn, sizeof(out.alpn), info.alpn);
    copy_text(out.server_name, sizeof(out.server_name), info.server_name);
    copy_text(out.limited_by, sizeof(out.limited_by), info.limited_by);
    memcpy(bytes, &out, sizeof(out));
    return 0;
}

static int copy_ticket(struct call *c)
{
    const struct mr_app_object *object = object_of(c, false);
    uint8_t *bytes = bytes_of(c, c->sqe.size);

    if (object == NULL)
        return -ESTALE;
    if (bytes == NULL)
        return -EINVAL;
    int64_t size = ops_of(c)->ticket(c->host->transport, object->handle, bytes, c->sqe.size);
    if (size > 0)
        c->cqe.size = (uint32_t)size;
    return (int)MR_MIN(size, 0);
}

/* ------------------------------------------------------------------ streams */

static int open_stream(struct call *c)
{
    struct mr_app_object *conn = object_of(c, false);
    mr_handle handle;
    int answer = check_alias(c);

    if (conn == NULL)
        return -ESTALE;
    if (answer == 0 && !has_object(c))
        answer = -ENOMEM;
    if (answer == 0)
        answer =
            ops_of(c)->open(c->host->transport, conn->handle,
                            c->sqe.value == MR_OPEN_UNI ? MR_OPEN_UNI : MR_OPEN_BIDI, 0, &handle);
    if (answer != 0)
        return answer;
    struct mr_app_object *object = mr_app_object_new(c->host, c->ring, handle, conn);
    if (object == NULL) {
        ops_of(c)->reset(c->host->transport, handle, c->host->config.refuse_code);
        return -ENOMEM;
    }
    take_over(c, object);
    object->id = ops_of(c)->stream_id(c->host->transport, handle);
    c->cqe.conn = mr_app_handle(conn);
    c->cqe.stream = mr_app_handle(object);
    c->cqe.value = object->id;
    return 0;
}

static int send_bytes(struct call *c)
{
    struct mr_app_object *object = object_of(c, true);

    return object == NULL ? -ESTALE
                          : mr_app_send(c->host, object, &c->sqe, bytes_of(c, c->sqe.size));
}

static int release(struct call *c)
{
    if (!c->ring->is_by_reference || c->sqe.handle == 0)
        return mr_app_release_slot(c->host, c->ring, c->sqe.address);
    struct mr_app_object *object = object_of(c, true);
    return object == NULL ? -ESTALE : mr_app_release_bytes(c->host, object, c->sqe.size);
}

static int reset_stream(struct call *c)
{
    struct mr_app_object *object = object_of(c, true);

    if (object == NULL)
        return -ESTALE;
    int answer = ops_of(c)->reset(c->host->transport, object->handle, c->sqe.value);
    if (answer == 0)
        mr_app_send_fail(c->host, object, -EPIPE);
    return answer;
}

static int stop_stream(struct call *c)
{
    struct mr_app_object *object = object_of(c, true);

    if (object == NULL)
        return -ESTALE;
    object->is_readable = false;
    object->is_stopped = true;
    return ops_of(c)->stop(c->host->transport, object->handle, c->sqe.value);
}

static int reset_stream_at(struct call *c)
{
    struct mr_app_object *object = object_of(c, true);

    return object == NULL ? -ESTALE
                          : mr_app_reset_at(c->host, object, c->sqe.value, c->sqe.address);
}

static int set_priority(struct call *c)
{
    const struct mr_app_object *object = object_of(c, true);
    uint64_t urgency = c->sqe.value & ~MR_RING_INCREMENTAL;
    struct mr_priority priority = {.urgency = (uint8_t)urgency,
                                   .is_incremental = (c->sqe.value & MR_RING_INCREMENTAL) != 0};

    if (object == NULL)
        return -ESTALE;
    if (urgency >= MR_URGENCIES)
        return -EINVAL;
    if (ops_of(c)->set_priority == NULL)
        return -EOPNOTSUPP;
    return ops_of(c)->set_priority(c->host->transport, object->handle, priority);
}

/* ------------------------------------------------------------------ paths */

/* The IP address that the submission has, or has not.  0; -EINVAL. */
static int read_ip(const struct call *c, struct mr_address *local)
{
    if (c->sqe.size == 0)
        return 0;
    const uint8_t *bytes = c->sqe.size == sizeof(local->ip) ? bytes_of(c, sizeof(local->ip)) : NULL;
    if (bytes == NULL)
        return -EINVAL;
    memcpy(local->ip, bytes, sizeof(local->ip));
    return 0;
}

static int migrate(struct call *c)
{
    const struct mr_app_object *object = object_of(c, false);
    struct mr_address local = {.port = (uint16_t)c->sqe.value};

    if (object == NULL)
        return -ESTALE;
    if (c->sqe.value > UINT16_MAX || read_ip(c, &local) != 0)
        return -EINVAL;
    if (ops_of(c)->migrate == NULL)
        return -EOPNOTSUPP;
    return ops_of(c)->migrate(c->host->transport, object->handle, &local);
}

static struct mr_ring_path as_written(const struct mr_path_info *info)
{
    struct mr_ring_path path = {.local_port = info->local.port,
                                .remote_port = info->remote.port,
                                .path = info->path,
                                .rtt_ns = info->rtt_ns,
                                .cwnd_bytes = info->cwnd_bytes,
                                .bytes_in_flight = info->bytes_in_flight,
                                .bytes_sent = info->bytes_sent,
                                .bytes_received = info->bytes_received,
                                .mtu = info->mtu,
                                .state = info->state,
                                .is_backup = info->is_backup,
                                .is_peer_backup = info->is_peer_backup};

    memcpy(path.local_ip, info->local.ip, sizeof(path.local_ip));
    memcpy(path.remote_ip, info->remote.ip, sizeof(path.remote_ip));
    return path;
}

static int list_paths(struct call *c, mr_handle conn)
{
    struct mr_path_info paths[MR_PATHS_LIST_MAX];
    struct mr_path_call list = {.kind = MR_PATH_CALL_LIST, .out = paths};
    uint8_t *bytes = bytes_of(c, c->sqe.size);

    if (bytes == NULL)
        return -EINVAL;
    list.room =
        MR_MIN((size_t)c->sqe.size / sizeof(struct mr_ring_path), (size_t)MR_PATHS_LIST_MAX);
    int64_t count = mr_path_do(c->host->transport, conn, &list);
    for (int64_t i = 0; i < count; i++) {
        struct mr_ring_path path = as_written(&paths[i]);

        memcpy(bytes + (size_t)i * sizeof(path), &path, sizeof(path));
    }
    c->cqe.size = count < 0 ? 0 : (uint32_t)count;
    return count < 0 ? (int)count : 0;
}

static int do_path(struct call *c)
{
    const struct mr_app_object *object = object_of(c, false);
    struct mr_path_call call = {.kind = (uint8_t)c->sqe.value,
                                .path = (uint32_t)(c->sqe.value >> 32),
                                .local.port = (uint16_t)(c->sqe.value >> 16)};

    if (object == NULL)
        return -ESTALE;
    if ((c->sqe.value & UINT16_MAX) > MR_PATH_CALL_LIST)
        return -EINVAL;
    if (call.kind == MR_PATH_CALL_LIST)
        return list_paths(c, object->handle);
    if (call.kind == MR_PATH_CALL_OPEN && read_ip(c, &call.local) != 0)
        return -EINVAL;
    int64_t answer = mr_path_do(c->host->transport, object->handle, &call);
    c->cqe.value = answer < 0 ? 0 : (uint64_t)answer;
    return answer < 0 ? (int)answer : 0;
}

/* ------------------------------------------------------------------ others */

static int start_timer(struct call *c)
{
    return mr_app_timer_start(c->host, c->ring, c->sqe.value, c->sqe.user_data);
}

static int set_user_data(struct call *c)
{
    struct mr_app_object *object = mr_app_object_find(c->host, c->ring, c->sqe.handle);

    if (object == NULL || mr_app_is_away(c->host, object))
        return -ESTALE;
    object->user_data = c->sqe.value;
    return 0;
}

static int acknowledge_move(struct call *c)
{
    struct mr_app_object *object = object_of(c, false);

    return object == NULL ? -ESTALE : mr_app_move_ack(c->host, object, c->sqe.value);
}

static int (*const operations[MR_OPS])(struct call *c) = {
    [MR_OP_NOP] = nop,
    [MR_OP_LISTEN] = start_listening,
    [MR_OP_ACCEPT] = accept_connection,
    [MR_OP_CONNECT] = start_connection,
    [MR_OP_OPEN] = open_stream,
    [MR_OP_SEND] = send_bytes,
    [MR_OP_RELEASE] = release,
    [MR_OP_RESET] = reset_stream,
    [MR_OP_STOP] = stop_stream,
    [MR_OP_CLOSE] = close_connection,
    [MR_OP_TIMER] = start_timer,
    [MR_OP_USERDATA] = set_user_data,
    [MR_OP_DATAGRAM] = send_datagram,
    [MR_OP_INFO] = write_info,
    [MR_OP_TICKET] = copy_ticket,
    [MR_OP_MOVE_ACK] = acknowledge_move,
    [MR_OP_PRIORITY] = set_priority,
    [MR_OP_MIGRATE] = migrate,
    [MR_OP_RESET_AT] = reset_stream_at,
    [MR_OP_PATH] = do_path,
};

static void note_bad(const struct call *c)
{
    mr_count_add(&c->host->stats.bad_submissions, 1);
    mr_count_add(&c->ring->stats.bad_submissions, 1);
}

static void carry_out(struct call *c)
{
    int (*operation)(struct call *) = c->sqe.op < MR_OPS ? operations[c->sqe.op] : NULL;
    int answer = operation == NULL ? -EOPNOTSUPP : operation(c);

    if (answer == -ESTALE || answer == -EINVAL || answer == -EOPNOTSUPP)
        note_bad(c);
    if (answer == LATER || (answer == 0 && (c->sqe.flags & MR_SQE_QUIET) != 0))
        return;
    c->cqe.type = MR_CQE_DONE;
    c->cqe.op = c->sqe.op;
    bool has_count = c->sqe.op == MR_OP_TICKET || c->sqe.op == MR_OP_PATH;
    c->cqe.result = has_count && answer == 0 ? (int32_t)c->cqe.size : answer;
    c->cqe.user_data = c->sqe.user_data;
    mr_app_complete(c->host, c->ring, &c->cqe);
}

uint32_t mr_app_submissions(struct mr_app_host *host, struct mr_app_ring *ring)
{
    uint32_t count = mr_inbox_count_ahead(&ring->submissions, MR_APP_SUBMISSIONS_PER_POLL);
    uint32_t done = 0;

    while (done < count && mr_app_has_room(ring)) {
        struct call c = {.host = host, .ring = ring};

        if (!mr_inbox_take_ahead(&ring->submissions, &c.sqe))
            break;
        carry_out(&c);
        done++;
    }
    if (done > 0) {
        mr_inbox_done(&ring->submissions);
        mr_count_add(&host->stats.submissions, done);
        mr_count_add(&ring->stats.submissions, done);
    }
    return done;
}
