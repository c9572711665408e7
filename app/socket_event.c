/* app/socket_event.c - events of the registration; see socket_internal.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/socket_internal.h"

/* ------------------------------------------------------------------ accept queues */

/* Make a socket for what has come, and queue it. */
static enum mr_ev_answer offer(struct mr_sock *parent, mr_object object, enum sock_kind kind,
                               bool is_uni)
{
    struct mr_sock_host *host = parent->host;
    struct accept_queue *queue = kind == KIND_CONN ? &parent->u.listener : &parent->u.conn.queue;
    struct mr_sock *sock = NULL;

    if (!parent->is_closed && !mr_sock_queue_is_full(queue))
        sock = mr_sock_make(host, kind, parent);
    if (sock == NULL) {
        host->stats.refused++;
        return MR_EV_REFUSE;
    }
    sock->object = object;
    (void)mr_ev_set_handler(host->registration, object, mr_sock_on_event, sock);
    if (kind == KIND_STREAM) {
        sock->u.stream.in.exists = true;
        sock->u.stream.out.exists = !is_uni;
        sock->u.stream.id = mr_ev_stream_id(host->registration, object);
        mr_sock_add_stream(parent, sock);
    }
    sock->ready = mr_sock_compute_ready(sock);
    mr_sock_queue_put(parent, queue, sock);
    return MR_EV_ACCEPT;
}

/* ------------------------------------------------------------------ ends */

static void take_code(struct mr_sock *sock, const struct mr_ev *event, int error)
{
    if (sock->error != 0)
        return;
    sock->error = error;
    sock->code = event->error;
    sock->is_application = event->is_application;
}

/* The last event: the object is given up. */
static void end(struct mr_sock *sock)
{
    mr_object object = sock->object;

    sock->is_over = true;
    sock->object = 0;
    (void)mr_ev_close(sock->host->registration, object);
    mr_sock_changed(sock, WAIT_PROGRESS | WAIT_DATAGRAMS | WAIT_CONNECTED | WAIT_PATH |
                              WAIT_CONFIRMED | POLLIN | POLLOUT);
}

static void end_stream(struct mr_sock *stream, const struct mr_ev *event)
{
    struct sock_stream *s = &stream->u.stream;
    struct mr_sock *conn = stream->parent;
    bool is_in_done = !s->in.exists || s->in.is_fin || s->in.is_reset;
    bool is_out_done = !s->out.exists || s->out.is_whole || s->out.is_stopped;

    s->is_cut = !s->is_reset && !(is_in_done && is_out_done);
    mr_sock_save_unread(stream);
    mr_sock_free_chunks(stream);
    if (s->is_cut)
        take_code(stream, event, -ENOTCONN);
    end(stream);
    if (conn != NULL)
        mr_sock_maybe_end(conn);
}

/* Why a connection is over, in errno's words. */
static int errno_of_end(const struct mr_sock *conn, const struct mr_ev *event)
{
    if (event->status != 0)
        return event->status;
    if (event->is_application && event->error == 0)
        return 0;
    if (event->type == MR_EV_SHUTDOWN_BY_PEER)
        return conn->u.conn.is_connected ? -ECONNRESET : -ECONNREFUSED;
    return event->error == 0 ? -ETIMEDOUT : -ECONNABORTED;
}

/* Its streams are over already; now they learn why. */
static void on_shut_down(struct mr_sock *conn, const struct mr_ev *event)
{
    int error = errno_of_end(conn, event);

    conn->is_failed = error != 0;
    conn->code = event->error;
    conn->is_application = event->is_application;
    conn->error = error;
    free(conn->u.conn.reason);
    conn->u.conn.reason = strdup(event->reason); /* without memory: not told */
    for (struct mr_sock *s = conn->u.conn.streams; s != NULL; s = s->u.stream.sibling) {
        if (!s->u.stream.is_cut)
            continue;
        s->code = conn->code;
        s->is_application = conn->is_application;
        s->is_failed |= conn->is_failed;
        mr_sock_changed(s, 0);
    }
}

/* ------------------------------------------------------------------ by kind */

static enum mr_ev_answer on_listener(struct mr_sock *sock, struct mr_ev *event)
{
    if (event->type == MR_EV_NEW_CONNECTION)
        return offer(sock, event->conn, KIND_CONN, false);
    if (event->type == MR_EV_STOP_COMPLETE) {
        sock->error = event->status;
        sock->is_failed = event->status != 0;
        end(sock);
    }
    return MR_EV_OK;
}

static enum mr_ev_answer on_conn(struct mr_sock *sock, struct mr_ev *event)
{
    struct sock_conn *c = &sock->u.conn;

    switch (event->type) {
    case MR_EV_PEER_STREAM_STARTED:
        return offer(sock, event->stream, KIND_STREAM, event->is_uni);
    case MR_EV_EARLY:
    case MR_EV_CONNECTED:
        c->is_connected = true;
        c->is_early =
            event->type == MR_EV_EARLY || (event->info->is_early && !event->info->is_client);
        mr_sock_changed(sock, WAIT_CONNECTED | (c->is_early ? 0 : WAIT_CONFIRMED));
        break;
    case MR_EV_CONFIRMED:
        c->is_early = false;
        mr_sock_changed(sock, WAIT_CONFIRMED);
        break;
    case MR_EV_PATH_CHANGED:
    case MR_EV_PATH_FAILED:
        if (c->path == -EINPROGRESS) {
            c->path = event->type == MR_EV_PATH_CHANGED ? 0 : -EHOSTUNREACH;
            mr_sock_changed(sock, WAIT_PATH);
        }
        break;
    case MR_EV_PATHS_CHANGED:
        mr_sock_paths_changed(sock);
        break;
    case MR_EV_STREAMS_AVAILABLE:
        c->is_open_refused = false;
        mr_sock_changed(sock, 0);
        break;
    case MR_EV_DATAGRAM_RECEIVED:
        mr_sock_keep_datagram(sock, event);
        mr_sock_changed(sock, 0);
        break;
    case MR_EV_WRITABLE:
        c->is_datagram_refused = false;
        mr_sock_changed(sock, WAIT_DATAGRAMS);
        break;
    case MR_EV_SHUTDOWN_BY_PEER:
    case MR_EV_SHUTDOWN_BY_TRANSPORT:
        on_shut_down(sock, event);
        break;
    case MR_EV_SHUTDOWN_COMPLETE:
        if (event->status != 0 && sock->error == 0)
            on_shut_down(sock, event);
        end(sock);
        break;
    default:
        break;
    }
    return MR_EV_OK;
}

static enum mr_ev_answer on_receive(struct mr_sock *sock, struct mr_ev *event)
{
    struct sock_receive *in = &sock->u.stream.in;
    enum mr_ev_answer answer = MR_EV_CONSUMED;

    if (sock->is_closed || sock->u.stream.is_reset)
        return answer;
    in->is_fin |= event->is_fin;
    if (event->size > 0)
        answer = mr_sock_show(sock, event);
    mr_sock_changed(sock, 0);
    return answer;
}

static void on_stream_abort(struct mr_sock *sock, const struct mr_ev *event)
{
    struct sock_stream *s = &sock->u.stream;

    if (event->type == MR_EV_PEER_SEND_ABORTED) {
        s->in.is_reset = true;
        if (!event->is_reliable)         /* what was guaranteed can be read before */
            mr_sock_return_unread(sock); /* as TCP has it */
        sock->is_failed = true;
        take_code(sock, event, -ECONNRESET);
    } else {
        s->out.is_stopped = true;
        mr_sock_drop_unsent(sock);
        take_code(sock, event, -EPIPE);
    }
    sock->is_application = true; /* codes of streams are the application's */
    mr_sock_changed(sock, WAIT_PROGRESS);
}

static enum mr_ev_answer on_stream(struct mr_sock *sock, struct mr_ev *event)
{
    struct sock_send *out = &sock->u.stream.out;

    switch (event->type) {
    case MR_EV_START_COMPLETE:
        take_code(sock, event, event->status);
        break;
    case MR_EV_RECEIVE:
        return on_receive(sock, event);
    case MR_EV_SENT:
        out->sent = MR_MAX(out->sent, out->notify_at);
        out->notify_at = 0;
        mr_sock_flush(sock);
        mr_sock_changed(sock, WAIT_PROGRESS);
        break;
    case MR_EV_SEND_COMPLETE:
        mr_sock_chunk_done(sock, event->send_context, event->status);
        mr_sock_flush(sock);
        mr_sock_changed(sock, WAIT_PROGRESS);
        break;
    case MR_EV_WRITABLE:
        mr_sock_flush(sock);
        mr_sock_changed(sock, 0);
        break;
    case MR_EV_PEER_SEND_ABORTED:
    case MR_EV_PEER_RECEIVE_ABORTED:
        on_stream_abort(sock, event);
        break;
    case MR_EV_SEND_SHUTDOWN_COMPLETE:
        out->is_whole = true;
        break;
    case MR_EV_SHUTDOWN_COMPLETE:
        end_stream(sock, event);
        break;
    default:
        break;
    }
    return MR_EV_OK;
}

enum mr_ev_answer mr_sock_on_event(void *context, struct mr_ev *event)
{
    struct mr_sock *sock = context;
    enum mr_ev_answer answer;

    mr_sock_pin(sock);
    if (sock->kind == KIND_LISTENER)
        answer = on_listener(sock, event);
    else if (sock->kind == KIND_CONN)
        answer = on_conn(sock, event);
    else
        answer = on_stream(sock, event);
    mr_sock_unpin(sock);
    return answer;
}
