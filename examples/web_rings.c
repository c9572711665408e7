/*
 * examples/web_rings.c - HTTP/3 (web.h) in the model "rings": entries in, entries out, and HTTP/3
 * (millrace/http3_io.h) between the two.
 *
 *     completions --> this file --> rings/ends.h     which connection or stream is it?
 *                                   rings/bytes.h    its bytes, both ways
 *     submissions <-- HTTP/3 <----- rings/wishes.h   what to open, send, close
 *                                   rings/side.h     what to do when a queue is full
 */
#include <errno.h>

#include "examples/rings/wishes.h"

static const struct web_task *task;

/* ------------------------------------------------------------------ completions */

/* A connection of the listener. */
static void on_accepted(struct side *s, const struct mr_cqe *cqe)
{
    struct end *e = end_new(s, true);
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    end_set_name(e, cqe->conn);
    e->handle = mr_http3_io_accept(web.io, e);
    if (e->handle != MR_HANDLE_NONE)
        return;
    mr_sqe_close(&sqe, e->name, WEB_NO_ROOM);
    submit(s, &sqe);
    end_free(e);
}

static void on_conn_event(struct side *s, const struct mr_cqe *cqe)
{
    struct end *e = end_of(s, cqe->conn);
    char reason[100];
    const struct mr_http3_io_end over = {.code = cqe->value,
                                         .is_application = (cqe->flags & MR_CQE_APPLICATION) != 0,
                                         .is_remote = (cqe->flags & MR_CQE_REMOTE) != 0,
                                         .reason = reason};

    take_reason(s, cqe, reason, sizeof(reason));
    if ((cqe->kinds & MR_EVENT_CONNECTED) != 0 && e == NULL)
        on_accepted(s, cqe);
    else if ((cqe->kinds & MR_EVENT_CONNECTED) != 0)
        mr_http3_io_connected(web.io, e->handle);
    if (e != NULL && (cqe->kinds & MR_EVENT_STREAMS_ALLOWED) != 0)
        mr_http3_io_retry(web.io, e->handle);
    if (e != NULL && (cqe->kinds & MR_EVENT_CLOSED) != 0)
        mr_http3_io_closed(web.io, e->handle, &over);
}

/* The peer has opened a stream. */
static struct end *on_opened(struct side *s, const struct mr_cqe *cqe)
{
    struct end *conn = end_of(s, cqe->conn), *e;

    if (conn == NULL)
        return NULL;
    e = end_new(s, false);
    end_set_name(e, cqe->stream);
    e->handle = mr_http3_io_stream(web.io, conn->handle, cqe->value, e);
    if (e->handle != MR_HANDLE_NONE)
        return e;
    reset(s, e->name, WEB_REJECTED);
    stop(s, e->name, WEB_REJECTED);
    end_free(e);
    return NULL;
}

static void on_stream_event(struct side *s, const struct mr_cqe *cqe)
{
    struct end *e = end_of(s, cqe->stream);

    if ((cqe->kinds & MR_EVENT_STREAM_OPENED) != 0)
        e = on_opened(s, cqe);
    if (e != NULL && (cqe->kinds & MR_EVENT_RESET) != 0)
        mr_http3_io_reset(web.io, e->handle, cqe->value);
    if (e != NULL && (cqe->kinds & MR_EVENT_STOPPED) != 0)
        mr_http3_io_stopped(web.io, e->handle, cqe->value);
}

static void on_sent(struct side *s, const struct mr_cqe *cqe)
{
    struct end *conn = end_sent(s, cqe);

    if (conn != NULL && --conn->sends == 0)
        close_if_due(conn);
}

static void take(struct side *s, const struct mr_cqe *cqe)
{
    struct end *e = cqe->type == MR_CQE_DATA ? end_of(s, cqe->stream) : NULL;

    if (cqe->type == MR_CQE_DONE && cqe->op == MR_OP_SEND)
        on_sent(s, cqe);
    else if (cqe->type == MR_CQE_DONE && (cqe->op == MR_OP_CONNECT || cqe->op == MR_OP_OPEN))
        on_made((struct end *)(uintptr_t)cqe->user_data, cqe);
    else if (e != NULL)
        end_take(e, cqe);
    else if (cqe->type == MR_CQE_DATA || cqe->type == MR_CQE_DATAGRAM) /* nobody's */
        release(s, cqe);
    else if (cqe->type == MR_CQE_EVENT && cqe->stream != 0)
        on_stream_event(s, cqe);
    else if (cqe->type == MR_CQE_EVENT && cqe->conn != 0)
        on_conn_event(s, cqe);
    else if (cqe->type == MR_CQE_EVENT && (cqe->kinds & MR_EVENT_GO_AWAY) != 0)
        mr_http3_io_go_away(web.io);
}

/* ------------------------------------------------------------------ running */

/* What is due and what is wanted.  False: some submissions are late, come again soon. */
static bool settle(uint32_t count)
{
    struct mr_http3_io_wish wish;
    bool is_all = true;

    mr_http3_io_poll(web.io, web_now());
    while (mr_http3_io_next(web.io, &wish))
        do_wish(&wish);
    for (uint32_t i = 0; i < count; i++)
        is_all = flush(sides[i]) && is_all;
    return is_all;
}

static void run_loop(struct mr_attachment *attachment, uint32_t count)
{
    struct mr_cqe cqe;
    int result = 0;

    while (result != -ENOTCONN) {
        bool is_all = settle(count);
        if (!web_io_is_busy(&web))
            return;
        result = mr_attach_wait(attachment, is_all ? web_io_patience(&web) : 1000000);
        for (uint32_t i = 0; i < count; i++) {
            while (mr_ring_take(sides[i]->ring, &cqe, 1) == 1)
                take(sides[i], &cqe);
        }
    }
}

static int begin(struct mr_attachment *attachment)
{
    uint32_t count = mr_attach_ring_count(attachment);
    int listener = mr_attach_listener(attachment, "web");
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    if (task->folder != NULL && listener < 0)
        return web_fail_listener();
    for (uint32_t i = 0; i < count && i < RINGS_MAX; i++) {
        sides[i] = side_new(mr_attach_ring(attachment, i));
        if (sides[i] == NULL)
            return web_fail("no memory");
        mr_sqe_listen(&sqe, (uint64_t)listener, true);
        if (task->folder != NULL)
            submit(sides[i], &sqe);
        flush(sides[i]);
    }
    if (task->folder != NULL)
        web_say_serving(task);
    web_io_ask(task, &web);
    run_loop(attachment, count);
    struct mr_error why;
    enum mr_datapath_state state = mr_attach_state(attachment, &why);
    return web_io_status(task, &web, state, &why);
}

static int run(const struct web_task *what)
{
    struct mr_attach_config config = {.control = what->control,
                                      .name = what->folder != NULL ? "web" : "web-client",
                                      .wants_reasons = true,
                                      .slot_size = SLOT,
                                      .slot_count = SLOTS,
                                      .patience_ns = WEB_PATIENCE_NS};
    struct mr_attachment *attachment = NULL;
    struct mr_error error;
    int status;

    task = what;
    if (mr_attach(&config, &attachment, &error) != 0)
        return web_fail(error.text);
    status = web_io_new(task, &web);
    if (status == 0)
        status = begin(attachment);
    web_io_free(&web);
    for (int i = 0; i < RINGS_MAX; i++)
        side_free(sides[i]);
    mr_detach(attachment);
    return status;
}

int main(int argc, char **argv)
{
    return web_main(argc, argv, run);
}
