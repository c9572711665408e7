/* app/socket_path.c - see millrace/socket.h: other paths of a connection, one after the other
 * (migration) or several at a time. */
#include <errno.h>

#include "app/events.h"
#include "app/socket_internal.h"

/* ------------------------------------------------------------------ migration */

static ssize_t try_path(struct mr_sock *conn, void *argument)
{
    (void)argument;
    if (conn->is_over)
        return -ENOTCONN;
    return conn->u.conn.path == -EINPROGRESS ? -EAGAIN : conn->u.conn.path;
}

int mr_sock_migrate(struct mr_sock *conn, const struct mr_address *local)
{
    if (conn->kind != KIND_CONN)
        return -EINVAL;
    if (conn->is_over)
        return -ENOTCONN;
    if (conn->u.conn.path == -EINPROGRESS)
        return -EALREADY;
    int error =
        conn->options.is_nonblocking ? 0 : mr_sock_check_wait(conn->host, "mr_sock_migrate");
    if (error < 0)
        return error;
    mr_sock_drive(conn->host);
    error = mr_ev_migrate(conn->host->registration, conn->object, local);
    if (error < 0)
        return error == -ESTALE ? -ENOTCONN : error;
    conn->u.conn.path = -EINPROGRESS;
    if (conn->options.is_nonblocking)
        return -EINPROGRESS;
    return (int)mr_sock_until(conn,
                              &(struct sock_attempt){.function = try_path,
                                                     .mask = WAIT_PATH,
                                                     .timeout_ns = conn->options.write_timeout_ns,
                                                     .name = "mr_sock_migrate"});
}

int mr_sock_path(const struct mr_sock *conn)
{
    return conn->kind == KIND_CONN ? conn->u.conn.path : -EINVAL;
}

/* ------------------------------------------------------------------ several paths */

static int64_t do_path(const struct mr_sock *conn, const struct mr_path_call *call)
{
    int64_t answer = mr_ev_path(conn->host->registration, conn->object, call);

    return answer == -ESTALE ? -ENOTCONN : answer;
}

static int64_t ask_answer(const struct mr_sock *conn)
{
    return do_path(conn, &(struct mr_path_call){.kind = MR_PATH_CALL_ANSWER});
}

void mr_sock_paths_changed(struct mr_sock *conn)
{
    struct sock_path_call *caller = conn->u.conn.path_caller;
    int64_t answer = caller == NULL ? -EINPROGRESS : ask_answer(conn);

    if (answer != -EINPROGRESS) { /* before anybody asks something else */
        caller->answer = answer;
        conn->u.conn.path_caller = NULL;
    }
    conn->u.conn.paths_changed++;
    mr_sock_changed(conn, WAIT_PATH);
}

/* Ask, unless another's call has no answer yet.  False: later. */
static bool begin_call(struct mr_sock *conn, struct sock_path_call *call)
{
    if (conn->u.conn.path_caller != NULL)
        return false;
    call->answer = do_path(conn, call->call);
    if (call->answer == -EAGAIN && ask_answer(conn) == -EINPROGRESS)
        return false;
    call->has_begun = true;
    if (call->answer == -EINPROGRESS)
        conn->u.conn.path_caller = call;
    return true;
}

/* Of a path that was opened: 0; -EINPROGRESS: it is being validated; -EHOSTUNREACH. */
static int path_state(const struct mr_sock *conn, int64_t path)
{
    struct mr_path_info list[MR_PATHS_LIST_MAX];
    int64_t count = do_path(
        conn,
        &(struct mr_path_call){.kind = MR_PATH_CALL_LIST, .out = list, .room = MR_PATHS_LIST_MAX});

    for (int64_t i = 0; i < count; i++) {
        if (list[i].path == path && list[i].state != MR_PATH_INFO_ABANDONED)
            return list[i].state == MR_PATH_INFO_OPEN ? 0 : -EINPROGRESS;
    }
    return -EHOSTUNREACH;
}

static ssize_t try_call(struct mr_sock *conn, void *argument)
{
    struct sock_path_call *call = argument;

    if (conn->is_over)
        return -ENOTCONN;
    if (!call->has_begun && !begin_call(conn, call))
        return -EAGAIN;
    if (call->answer == -EINPROGRESS)
        return -EAGAIN;
    if (call->call->kind != MR_PATH_CALL_OPEN || call->answer < 0)
        return 0;
    int state = path_state(conn, call->answer);
    if (state == -EINPROGRESS)
        return -EAGAIN;
    if (state < 0)
        call->answer = state;
    return 0;
}

int64_t mr_sock_path_do(struct mr_sock *conn, const struct mr_path_call *call)
{
    struct sock_path_call own = {.call = call};

    if (conn->kind != KIND_CONN)
        return -EINVAL;
    if (conn->is_over)
        return -ENOTCONN;
    if (conn->options.is_nonblocking || call->kind == MR_PATH_CALL_LIST ||
        call->kind == MR_PATH_CALL_ANSWER) {
        mr_sock_drive(conn->host);
        return do_path(conn, call);
    }
    mr_sock_pin(conn);
    ssize_t error =
        mr_sock_until(conn, &(struct sock_attempt){.function = try_call,
                                                   .argument = &own,
                                                   .mask = WAIT_PATH,
                                                   .timeout_ns = conn->options.write_timeout_ns,
                                                   .name = "mr_sock_path_do"});
    if (conn->u.conn.path_caller == &own) /* it has waited long enough */
        conn->u.conn.path_caller = NULL;
    mr_sock_unpin(conn);
    return error < 0 ? error : own.answer;
}

static ssize_t try_changed(struct mr_sock *conn, void *argument)
{
    if (conn->is_over)
        return -ENOTCONN;
    return conn->u.conn.paths_changed == *(const uint64_t *)argument ? -EAGAIN : 0;
}

int mr_sock_paths_wait(struct mr_sock *conn)
{
    uint64_t seen;

    if (conn->kind != KIND_CONN)
        return -EINVAL;
    seen = conn->u.conn.paths_changed;
    return (int)mr_sock_until(conn,
                              &(struct sock_attempt){.function = try_changed,
                                                     .argument = &seen,
                                                     .mask = WAIT_PATH,
                                                     .timeout_ns = conn->options.read_timeout_ns,
                                                     .name = "mr_sock_paths_wait"});
}
