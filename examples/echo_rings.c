/*
 * examples/echo_rings.c - echo (echo.h) in the model "rings": entries in, entries out, and nothing
 * between the program and the datapath.
 *
 *     completions --> this file --> rings/streams.h   which stream is it?
 *                                   rings/flow.h      from its slots to the send area
 *                                   rings/side.h      what to do when a queue is full
 */
#include "examples/echo.h"
#include "examples/rings/streams.h"

enum {
    RINGS_MAX = 64
};

static const struct echo_task *task;
static struct side *sides[RINGS_MAX]; /* one for each shard */
static bool is_answered, is_closed;   /* the client's */

/* ------------------------------------------------------------------ completions */

static void on_conn_event(struct side *s, const struct mr_cqe *cqe)
{
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    if (task->address != NULL && (cqe->kinds & MR_EVENT_CONNECTED) != 0) {
        struct echo *e = echo_new(s, cqe->conn);

        if (e == NULL) {
            mr_sqe_close(&sqe, cqe->conn, ECHO_NO_MEMORY);
            submit(s, &sqe);
            return;
        }
        e->flow.text = task->text;
        e->flow.left = task->size;
        e->flow.has_end = true;
        echo_open(e, MR_OPEN_BIDI);
    }
    if ((cqe->kinds & (MR_EVENT_STREAMS_ALLOWED | MR_EVENT_CLOSED)) != 0)
        echo_open_refused(s, cqe->conn);
    is_closed |= (cqe->kinds & MR_EVENT_CLOSED) != 0 && task->address != NULL;
}

/* What the server sends back. */
static void print_answer(struct side *s, const struct mr_cqe *cqe)
{
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    echo_print(mr_ring_data(s->ring, cqe), cqe->size);
    release(s, cqe);
    if ((cqe->flags & MR_CQE_FIN) == 0)
        return;
    is_answered = true;
    mr_sqe_close(&sqe, cqe->conn, 0);
    submit(s, &sqe);
}

static void on_data(struct side *s, const struct mr_cqe *cqe)
{
    struct echo *e = echo_of(s, cqe);

    if (task->address != NULL)
        print_answer(s, cqe);
    else if (e != NULL)
        flow_take(&e->flow, cqe);
    else
        release(s, cqe);
}

/* An operation was answered. */
static void on_done(struct side *s, const struct mr_cqe *cqe)
{
    void *ours = (void *)(uintptr_t)cqe->user_data;

    if (cqe->op == MR_OP_SEND)
        echo_sent(s, ours);
    else if (cqe->op == MR_OP_OPEN)
        echo_opened(ours, cqe);
    else if (cqe->op == MR_OP_CONNECT)
        is_closed = cqe->result < 0;
}

static void take(struct side *s, const struct mr_cqe *cqe)
{
    switch (cqe->type) {
    case MR_CQE_DONE:
        on_done(s, cqe);
        break;
    case MR_CQE_DATA:
        on_data(s, cqe);
        break;
    case MR_CQE_DATAGRAM: /* nobody asked for it */
        release(s, cqe);
        break;
    case MR_CQE_EVENT:
        if (cqe->stream != 0)
            echo_on_event(s, cqe);
        else if (cqe->conn != 0)
            on_conn_event(s, cqe);
        break;
    default: /* MR_CQE_GONE: waiting says so */
        break;
    }
}

/* ------------------------------------------------------------------ running */

/* What to connect to lies in the send area. */
static void begin_client(struct side *s)
{
    struct mr_ring_connect *wish = mr_ring_alloc(s->ring, sizeof(*wish));
    struct mr_sqe sqe = {0};

    *wish = (struct mr_ring_connect){.port = task->remote.port,
                                     .alpn_size = sizeof(ECHO_ALPN) - 1,
                                     .alpn = ECHO_ALPN,
                                     .server_name = "localhost"};
    memcpy(wish->ip, task->remote.ip, sizeof(wish->ip));
    mr_sqe_connect(&sqe, mr_ring_offset(s->ring, wish));
    submit(s, &sqe);
}

static void begin_server(struct side *s, int listener)
{
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    mr_sqe_listen(&sqe, (uint64_t)listener, true);
    submit(s, &sqe);
}

/* Until the client's connection is closed, or the datapath has let go of us. */
static void run(struct mr_attachment *attachment, uint32_t count)
{
    struct mr_cqe cqe;
    int result = 0;

    while (result != -ENOTCONN && !is_closed) {
        bool is_all = true;

        for (uint32_t i = 0; i < count; i++) {
            while (mr_ring_take(sides[i]->ring, &cqe, 1) == 1)
                take(sides[i], &cqe);
            is_all = flush(sides[i]) && is_all;
        }
        if (!is_closed)
            result = mr_attach_wait(attachment, is_all ? UINT64_MAX : 1000000);
    }
}

static int echo(struct mr_attachment *attachment)
{
    uint32_t count = mr_attach_ring_count(attachment);
    int listener = mr_attach_listener(attachment, "echo");

    if (task->address == NULL && listener < 0)
        return echo_fail_listener();
    for (uint32_t i = 0; i < count; i++) {
        sides[i] = side_new(mr_attach_ring(attachment, i));
        if (sides[i] == NULL)
            return echo_fail("no memory");
        if (task->address == NULL)
            begin_server(sides[i], listener);
        flush(sides[i]);
    }
    if (task->address == NULL)
        echo_say_serving();
    else
        begin_client(sides[0]);
    run(attachment, count);
    for (uint32_t i = 0; i < count; i++)
        side_free(sides[i]);
    struct mr_error why;
    enum mr_datapath_state state = mr_attach_state(attachment, &why);
    return echo_end(task, is_answered, state, &why);
}

static int attach(const struct echo_task *what)
{
    struct mr_attach_config config = echo_attach(what);
    struct mr_attachment *attachment;
    struct mr_error error;

    task = what;
    config.slot_size = SLOT;
    config.slot_count = SLOTS;
    if (mr_attach(&config, &attachment, &error) != 0)
        return echo_fail(error.text);
    int status = echo(attachment);
    mr_detach(attachment);
    return status;
}

int main(int argc, char **argv)
{
    return echo_main(argc, argv, attach);
}
