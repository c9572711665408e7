/*
 * dataplane/app_submit.c - submissions: a table of operations.
 *
 * Each works on a copy of its entry.  It returns 0 or -errno, which becomes the completion; an
 * operation that is answered later returns LATER.
 */
#include <errno.h>

#include "dataplane/app_internal.h"
#include "quic/counters.h"

#define LATER      1
#define REASON_MAX 96 /* bytes of a close's reason; more are cut off */

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

    return object == NULL || object->is_stream != is_stream ? NULL : object;
}

/* `size` bytes of the send area; NULL: they are elsewhere. */
static const uint8_t *bytes_of(const struct call *c, uint64_t size)
{
    return mr_ring_in_send_area(&c->ring->region, c->sqe.address, size)
               ? c->ring->region.base + c->sqe.address
               : NULL;
}

/* ------------------------------------------------------------------ connections */

static int nop(struct call *c)
{
    (void)c;
    return 0;
}

static int start_listening(struct call *c)
{
    c->ring->listens = c->sqe.value != 0;
    return 0;
}

static int start_connection(struct call *c)
{
    const uint8_t *bytes = bytes_of(c, sizeof(struct mr_ring_connect));
    struct mr_ring_connect wish;
    struct mr_connect_options options = {.server_name = wish.server_name, .alpn = wish.alpn};
    mr_handle handle;

    if (bytes == NULL || c->sqe.size != sizeof(wish))
        return -EINVAL;
    memcpy(&wish, bytes, sizeof(wish)); /* once: it may change while we look */
    if (wish.alpn_size > sizeof(wish.alpn) ||
        memchr(wish.server_name, 0, sizeof(wish.server_name)) == NULL)
        return -EINVAL;
    memcpy(options.remote.ip, wish.ip, sizeof(options.remote.ip));
    options.remote.port = wish.port;
    options.alpn_size = wish.alpn_size;
    options.is_insecure = wish.is_insecure != 0;

    int answer = ops_of(c)->connect(c->host->transport, &options, &handle);
    if (answer != 0)
        return answer;
    struct mr_app_object *object = mr_app_object_new(c->host, c->ring, handle, NULL);
    if (object == NULL) {
        ops_of(c)->close(c->host->transport, handle, c->host->config.refuse_code, "no memory");
        return -ENOMEM;
    }
    object->user_data = c->sqe.user_data;
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

/* ------------------------------------------------------------------ streams */

static int open_stream(struct call *c)
{
    struct mr_app_object *conn = object_of(c, false);
    mr_handle handle;

    if (conn == NULL)
        return -ESTALE;
    if (mr_pool_free_count(&c->host->objects) == 0)
        return -ENOMEM;
    int answer =
        ops_of(c)->open(c->host->transport, conn->handle,
                        c->sqe.value == MR_OPEN_UNI ? MR_OPEN_UNI : MR_OPEN_BIDI, 0, &handle);
    if (answer != 0)
        return answer;
    struct mr_app_object *object = mr_app_object_new(c->host, c->ring, handle, conn);
    if (object == NULL) {
        ops_of(c)->reset(c->host->transport, handle, c->host->config.refuse_code);
        return -ENOMEM;
    }
    object->user_data = c->sqe.user_data;
    c->cqe.conn = mr_app_handle(conn);
    c->cqe.stream = mr_app_handle(object);
    return 0;
}

static uint32_t send_flags(uint8_t flags)
{
    return ((flags & MR_SQE_FIN) != 0 ? MR_SEND_FIN : 0u) |
           ((flags & MR_SQE_COPY) != 0 ? MR_SEND_COPY : 0u) |
           ((flags & MR_SQE_NOTIFY) != 0 ? MR_SEND_NOTIFY : 0u);
}

/* Its bytes are the transport's until they are acknowledged: remember whom to tell. */
static void remember_send(struct call *c, struct mr_app_object *object)
{
    uint32_t index = mr_pool_get(&c->host->sends);
    struct mr_app_send *send = mr_pool_at(&c->host->sends, index);

    *send = (struct mr_app_send){.end = object->queued_to,
                                 .user_data = c->sqe.user_data,
                                 .next = MR_NONE,
                                 .is_quiet = (c->sqe.flags & MR_SQE_QUIET) != 0};
    if (object->send_head == MR_NONE)
        object->send_head = index;
    else
        ((struct mr_app_send *)mr_pool_at(&c->host->sends, object->send_tail))->next = index;
    object->send_tail = index;
}

static int send_bytes(struct call *c)
{
    struct mr_app_object *object = object_of(c, true);
    bool is_copy = (c->sqe.flags & MR_SQE_COPY) != 0;

    if (object == NULL)
        return -ESTALE;
    struct mr_view view = {.data = bytes_of(c, c->sqe.size), .size = c->sqe.size};
    if (view.size > 0 && view.data == NULL)
        return -EINVAL;
    if (!is_copy && mr_pool_free_count(&c->host->sends) == 0)
        return -ENOMEM;
    int answer = ops_of(c)->send(c->host->transport, object->handle, &view, view.size > 0,
                                 send_flags(c->sqe.flags));
    if (answer != 0)
        return answer;
    object->queued_to += view.size;
    if (is_copy)
        return 0;
    remember_send(c, object);
    return LATER;
}

static int release_slot(struct call *c)
{
    struct mr_app_ring *ring = c->ring;
    uint64_t offset = c->sqe.address - ring->region.receive_at;
    uint64_t slot = offset / ring->region.sizes.slot_size;

    if (c->sqe.address < ring->region.receive_at || slot >= ring->region.sizes.slot_count ||
        ring->slots[slot].object == MR_NONE)
        return -EINVAL;
    struct mr_app_object *object = mr_app_object_at(c->host, ring->slots[slot].object);
    bool is_current = object->generation == ring->slots[slot].generation;

    ring->slots[slot].object = MR_NONE;
    ring->free_slots[ring->free_count++] = (uint32_t)slot;
    if (is_current) {
        object->held--;
        if (object->is_readable)
            mr_app_object_mark(c->host, object, 0);
    }
    mr_app_feed(c->host, ring);
    return 0;
}

static int reset_stream(struct call *c)
{
    const struct mr_app_object *object = object_of(c, true);

    return object == NULL ? -ESTALE
                          : ops_of(c)->reset(c->host->transport, object->handle, c->sqe.value);
}

static int stop_stream(struct call *c)
{
    struct mr_app_object *object = object_of(c, true);

    if (object == NULL)
        return -ESTALE;
    object->is_readable = false;
    return ops_of(c)->stop(c->host->transport, object->handle, c->sqe.value);
}

/* ------------------------------------------------------------------ others */

static int start_timer(struct call *c)
{
    uint32_t index = mr_pool_get(&c->host->timers);

    if (index == MR_NONE)
        return -ENOMEM;
    *(struct mr_app_timer *)mr_pool_at(&c->host->timers, index) =
        (struct mr_app_timer){.next = MR_NONE,
                              .ring = c->ring->index,
                              .ring_generation = c->ring->generation,
                              .user_data = c->sqe.user_data};
    int answer = ops_of(c)->timer(c->host->transport, c->sqe.value, index);
    if (answer != 0) {
        mr_pool_put(&c->host->timers, index);
        return answer;
    }
    return LATER;
}

static int set_user_data(struct call *c)
{
    struct mr_app_object *object = mr_app_object_find(c->host, c->ring, c->sqe.handle);

    if (object == NULL)
        return -ESTALE;
    object->user_data = c->sqe.value;
    return 0;
}

static int (*const operations[MR_OPS])(struct call *c) = {
    [MR_OP_NOP] = nop,
    [MR_OP_LISTEN] = start_listening,
    [MR_OP_CONNECT] = start_connection,
    [MR_OP_OPEN] = open_stream,
    [MR_OP_SEND] = send_bytes,
    [MR_OP_RELEASE] = release_slot,
    [MR_OP_RESET] = reset_stream,
    [MR_OP_STOP] = stop_stream,
    [MR_OP_CLOSE] = close_connection,
    [MR_OP_TIMER] = start_timer,
    [MR_OP_USERDATA] = set_user_data,
};

static void carry_out(struct call *c)
{
    int answer = c->sqe.op < MR_OPS ? operations[c->sqe.op](c) : -EOPNOTSUPP;

    if (answer == -ESTALE || answer == -EINVAL || answer == -EOPNOTSUPP)
        mr_count_add(&c->host->stats.bad_submissions, 1);
    if (answer == LATER || (answer == 0 && (c->sqe.flags & MR_SQE_QUIET) != 0))
        return;
    c->cqe.type = MR_CQE_DONE;
    c->cqe.op = c->sqe.op;
    c->cqe.result = answer;
    c->cqe.user_data = c->sqe.user_data;
    mr_app_complete(c->host, c->ring, &c->cqe);
}

uint32_t mr_app_submissions(struct mr_app_host *host, struct mr_app_ring *ring)
{
    uint32_t done = 0;

    while (done < MR_APP_SUBMISSIONS_PER_POLL && mr_app_has_room(ring, 1)) {
        struct call c = {.host = host, .ring = ring};

        if (!mr_inbox_take(&ring->submissions, &c.sqe))
            break;
        carry_out(&c);
        done++;
    }
    if (done > 0) {
        mr_inbox_done(&ring->submissions);
        mr_count_add(&host->stats.submissions, done);
    }
    return done;
}
