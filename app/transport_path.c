/*
 * app/transport_path.c - see transport_internal.h: several paths of a connection
 * (millrace/path.h).
 *
 *     call --PATH--> -EINPROGRESS ... DONE: ANSWER has it, PATHS_CHANGED
 *                                     PATHS_CHANGED of the datapath
 *                                         both told with the LIST that is asked for then
 */
#include <stdlib.h>

#include "app/transport_internal.h"
#include "app/transport_path.h"

/* ------------------------------------------------------------------ calls */

/* The address of OPEN, in the send area; NULL: it has none, or (`*is_full_out`) no memory is free.
 */
static void *place_ip(const struct mr_rt_ring *ring, const struct mr_address *local,
                      bool *is_full_out)
{
    static const uint8_t none[16];
    bool has_ip = memcmp(local->ip, none, sizeof(none)) != 0;
    void *block = has_ip ? mr_ring_alloc(ring->ring, sizeof(local->ip)) : NULL;

    *is_full_out = has_ip && block == NULL;
    if (block != NULL)
        memcpy(block, local->ip, sizeof(local->ip));
    return block;
}

static int64_t submit(struct mr_ring_transport *t, struct mr_rt_object *conn,
                      const struct mr_path_call *call)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    struct mr_rt_ring *ring = mr_rt_ring_of(t, conn);
    bool is_open = call->kind == MR_PATH_CALL_OPEN, is_full = false;

    if (conn->is_moving || c->path_answer == -EINPROGRESS)
        return -EAGAIN;
    void *block = is_open ? place_ip(ring, &call->local, &is_full) : NULL;
    struct mr_rt_record *record = is_full ? NULL : mr_rt_record_new(t, conn, MR_OP_PATH, block);
    if (record == NULL) {
        mr_ring_free(ring->ring, block);
        return -EAGAIN;
    }
    struct mr_sqe sqe = {.user_data = mr_rt_record_word(t, record)};
    if (is_open)
        mr_sqe_path_open(&sqe, conn->wire, call->local.port);
    else
        mr_sqe_path(&sqe, conn->wire, call->path, call->kind);
    if (block != NULL) {
        sqe.address = mr_ring_offset(ring->ring, block);
        sqe.size = sizeof(call->local.ip);
    }
    c->path_answer = -EINPROGRESS;
    mr_rt_submit(t, ring, &sqe);
    return -EINPROGRESS;
}

/* What is known without the datapath: the path that the connection began with. */
static struct mr_path_info first_path(const struct mr_rt_conn *c)
{
    struct mr_path_info path = {.local.port = c->info.local_port,
                                .remote.port = c->info.remote_port,
                                .state = MR_PATH_INFO_OPEN,
                                .rtt_ns = c->info.rtt_ns,
                                .cwnd_bytes = c->info.cwnd_bytes,
                                .bytes_in_flight = c->info.bytes_in_flight};

    memcpy(path.local.ip, c->info.local_ip, sizeof(path.local.ip));
    memcpy(path.remote.ip, c->info.remote_ip, sizeof(path.remote.ip));
    return path;
}

static int64_t list(struct mr_ring_transport *t, struct mr_rt_object *conn,
                    struct mr_path_info *out, size_t room)
{
    const struct mr_rt_conn *c = mr_rt_conn_of(t, conn);
    uint32_t count = 1;

    if (c->is_told && !c->is_paths_out)
        mr_rt_want_paths(t, conn);
    if (c->paths != NULL)
        count = c->path_count;
    count = (uint32_t)MR_MIN(room, (size_t)count);
    if (count == 0)
        return 0;
    if (c->paths != NULL)
        memcpy(out, c->paths, count * sizeof(*out));
    else
        out[0] = first_path(c);
    return count;
}

int64_t mr_rt_path(struct mr_ring_transport *t, struct mr_rt_object *conn,
                   const struct mr_path_call *call)
{
    switch ((enum mr_path_call_kind)call->kind) {
    case MR_PATH_CALL_OPEN:
    case MR_PATH_CALL_ABANDON:
    case MR_PATH_CALL_BACKUP:
    case MR_PATH_CALL_AVAILABLE:
        return submit(t, conn, call);
    case MR_PATH_CALL_LIST:
        return list(t, conn, call->out, call->room);
    case MR_PATH_CALL_ANSWER:
        return mr_rt_conn_of(t, conn)->path_answer;
    }
    return -EINVAL;
}

/* ------------------------------------------------------------------ answers */

/* The LIST is here; without memory for it what was known stays. */
static void take_list(struct mr_rt_conn *c, const uint8_t *bytes, uint32_t count)
{
    if (c->paths == NULL)
        c->paths = malloc(MR_PATHS_LIST_MAX * sizeof(*c->paths));
    if (c->paths == NULL)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct mr_ring_path path;

        memcpy(&path, bytes + i * sizeof(path), sizeof(path));
        c->paths[i] = mr_ring_path_info(&path);
    }
    c->path_count = count;
}

void mr_rt_path_done(struct mr_ring_transport *t, struct mr_rt_object *conn,
                     const struct mr_rt_record *record, const struct mr_cqe *cqe)
{
    struct mr_rt_conn *c = mr_rt_conn_of(t, conn);

    if (record->size == 0) { /* a call's: told with the paths that there are then */
        c->path_called = cqe->result < 0 ? cqe->result : (int64_t)(uint32_t)cqe->value;
        c->has_path_answer = c->has_new_paths = true;
        mr_rt_want_paths(t, conn);
        return;
    }
    c->is_paths_out = false;
    if (cqe->result >= 0)
        take_list(c, record->block, MR_MIN((uint32_t)cqe->result, (uint32_t)MR_PATHS_LIST_MAX));
    if (c->has_path_answer)
        c->path_answer = c->path_called;
    c->has_path_answer = false;
    mr_rt_mark(t, conn, c->has_new_paths ? MR_EVENT_PATHS_CHANGED : 0);
    c->has_new_paths = false;
    mr_rt_fetch(t, conn);
}
