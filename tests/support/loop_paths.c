/*
 * tests/support/loop_paths.c - several paths of a connection, as far as applications see them: the
 * client opens them, each is validated a few steps later, or, from LOOP_DEAF_PORT, abandoned.
 */
#include <errno.h>
#include <string.h>

#include "millrace/path.h"
#include "tests/support/loop_internal.h"

#define VALIDATION_STEPS 3

static bool is_client(const struct side *side)
{
    return side->index == 0;
}

/* `id`, if it is not over. */
static struct loop_path *find(struct conn *conn, uint32_t id)
{
    for (uint32_t i = 0; i < conn->path_count; i++) {
        if (conn->path[i].id == id && conn->path[i].state != MR_PATH_INFO_ABANDONED)
            return &conn->path[i];
    }
    return NULL;
}

static void tell(struct conn *conn)
{
    conn->pending[0] |= MR_EVENT_PATHS_CHANGED;
    conn->pending[1] |= MR_EVENT_PATHS_CHANGED;
}

static void begin(struct conn *conn)
{
    if (conn->path_count == 0) /* the one that it began with */
        conn->path[conn->path_count++] =
            (struct loop_path){.port = conn->client_port, .state = MR_PATH_INFO_OPEN};
}

static int64_t open_path(const struct side *side, struct conn *conn, const struct mr_address *local)
{
    if (!is_client(side))
        return -EOPNOTSUPP;
    if (conn->path_count == LOOP_PATHS)
        return -EAGAIN;
    struct loop_path *path = &conn->path[conn->path_count];
    *path = (struct loop_path){.id = conn->path_count++,
                               .port = local->port,
                               .state = MR_PATH_INFO_CHECKING,
                               .steps_left = VALIDATION_STEPS};
    memcpy(path->ip, local->ip, sizeof(path->ip));
    return path->id;
}

static int64_t abandon(struct conn *conn, uint32_t id)
{
    struct loop_path *path = find(conn, id);
    uint32_t open = 0;

    for (uint32_t i = 0; i < conn->path_count; i++)
        open += conn->path[i].state == MR_PATH_INFO_OPEN && &conn->path[i] != path;
    if (path == NULL)
        return -ENOENT;
    if (open == 0)
        return -EBUSY;
    path->state = MR_PATH_INFO_ABANDONED;
    tell(conn);
    return 0;
}

static int64_t set_backup(const struct side *side, struct conn *conn, uint32_t id, bool is_backup)
{
    struct loop_path *path = find(conn, id);

    if (path == NULL)
        return -ENOENT;
    path->is_backup[side->index] = is_backup;
    conn->pending[1 - side->index] |= MR_EVENT_PATHS_CHANGED;
    return 0;
}

static int64_t list(const struct side *side, const struct conn *conn, struct mr_path_info *out,
                    size_t room)
{
    size_t count = MR_MIN((size_t)conn->path_count, room);

    for (size_t i = 0; i < count; i++) {
        const struct loop_path *path = &conn->path[i];
        struct mr_address client = {.port = path->port}, server = {.port = conn->port};

        memcpy(client.ip, path->ip, sizeof(client.ip));
        out[i] = (struct mr_path_info){.local = is_client(side) ? client : server,
                                       .remote = is_client(side) ? server : client,
                                       .path = path->id,
                                       .state = (uint8_t)path->state,
                                       .is_backup = path->is_backup[side->index],
                                       .is_peer_backup = path->is_backup[1 - side->index],
                                       .mtu = 1200 + path->id,
                                       .rtt_ns = 1000 + path->id,
                                       .cwnd_bytes = 2000 + path->id,
                                       .bytes_in_flight = 3000 + path->id,
                                       .bytes_sent = 4000 + path->id,
                                       .bytes_received = 5000 + path->id};
    }
    return (int64_t)count;
}

int64_t loop_path(struct mr_transport *t, mr_handle handle, const struct mr_path_call *call)
{
    struct side *side = (struct side *)t;
    struct conn *conn = loop_find_conn(side, handle);

    if (conn == NULL)
        return -ESTALE;
    begin(conn);
    switch ((enum mr_path_call_kind)call->kind) {
    case MR_PATH_CALL_OPEN:
        return open_path(side, conn, &call->local);
    case MR_PATH_CALL_ABANDON:
        return abandon(conn, call->path);
    case MR_PATH_CALL_BACKUP:
    case MR_PATH_CALL_AVAILABLE:
        return set_backup(side, conn, call->path, call->kind == MR_PATH_CALL_BACKUP);
    case MR_PATH_CALL_LIST:
        return list(side, conn, call->out, call->room);
    case MR_PATH_CALL_ANSWER:
        return -ENOENT;
    }
    return -EINVAL;
}

void loop_move_paths(struct loop *loop, struct conn *conn)
{
    for (uint32_t i = 0; i < conn->path_count; i++) {
        struct loop_path *path = &conn->path[i];

        if (path->state != MR_PATH_INFO_CHECKING)
            continue;
        loop->has_moved = true;
        if (--path->steps_left > 0)
            continue;
        path->state = path->port == LOOP_DEAF_PORT ? MR_PATH_INFO_ABANDONED : MR_PATH_INFO_OPEN;
        tell(conn);
    }
}
