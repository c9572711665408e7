/*
 * examples/echo_rings.c - echo (echo.h) in the model "rings": entries in, entries out, and nothing
 * between the program and the datapath.
 *
 *     completions --> this file --> rings/streams.h   which stream is it?
 *                                   rings/flow.h      from its slots to the send area
 *                                   rings/side.h      what to do when a queue is full
 *                                   rings/asking.h    the client
 */
#include "examples/rings/asking.h"

enum {
    RINGS_MAX = 64
};

static const struct echo_task *task;
static struct side *sides[RINGS_MAX]; /* one for each shard */

/* ------------------------------------------------------------------ completions */

static void on_conn_event(struct side *s, const struct mr_cqe *cqe)
{
    bool is_client = task->address != NULL;

    if (is_client && (cqe->kinds & MR_EVENT_CONNECTED) != 0)
        asking_connected(s, task, cqe->conn);
    if ((cqe->kinds & (MR_EVENT_STREAMS_ALLOWED | MR_EVENT_CLOSED)) != 0)
        echo_open_refused(s, cqe->conn);
    if (is_client && (cqe->kinds & MR_EVENT_CLOSED) != 0)
        asking_closed(s, cqe);
}

static void on_data(struct side *s, const struct mr_cqe *cqe)
{
    struct echo *e = echo_of(s, cqe);

    if (task->address != NULL)
        asking_print(s, cqe);
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
        asking_begin(sides[0], task);
    run(attachment, count);
    for (uint32_t i = 0; i < count; i++)
        side_free(sides[i]);
    struct mr_error why;
    enum mr_datapath_state state = mr_attach_state(attachment, &why);
    return echo_end(task, is_answered, &loss, state, &why);
}

static int attach(const struct echo_task *what)
{
    struct mr_attach_config config = echo_attach(what);
    struct mr_attachment *attachment;
    struct mr_error error;

    task = what;
    config.wants_reasons = what->address != NULL;
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
