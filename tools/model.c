/* tools/model.c - see model.h: what the models share, and those without a library: inline, rings.
 */
#include "tools/model_task.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "tools/bench_attached.h"

#define PIECE 1024 /* bytes that one send() copies */
#define VIEWS 16
#define BATCH 64

/* ------------------------------------------------------------------ the task */

struct mr_attach_config mr_model_attach_config(const struct mr_bench_task *task)
{
    return (struct mr_attach_config){.control = task->control,
                                     .name = MR_MODEL_LISTENER,
                                     .shards = task->shards,
                                     .is_by_reference = task->is_by_reference};
}

void mr_model_ready(struct mr_bench_task *task)
{
    atomic_store_explicit(&task->is_ready, true, memory_order_release);
}

void mr_model_note(struct mr_bench_task *task, uint64_t copied_in, uint64_t copied_out)
{
    if (copied_in > 0)
        atomic_fetch_add_explicit(&task->copied_in, copied_in, memory_order_relaxed);
    if (copied_out > 0)
        atomic_fetch_add_explicit(&task->copied_out, copied_out, memory_order_relaxed);
}

int mr_model_fail(struct mr_bench_task *task, const char *why)
{
    mr_fault_set(&task->fault, EIO, "%s", why);
    return -1;
}

/* ------------------------------------------------------------------ inline */

/* Copied by the transport: nothing has to be remembered of a stream. */
static void echo_view(struct mr_model_inline *m, mr_handle stream, const struct mr_view *view)
{
    struct mr_transport *t = m->transport;

    m->bytes_copied += view->size;
    for (size_t at = 0; at < view->size; at += PIECE) {
        struct mr_view piece = {view->data + at, MR_MIN(view->size - at, (size_t)PIECE)};

        if (t->ops->send(t, stream, &piece, 1, MR_SEND_COPY) != 0) {
            t->ops->reset(t, stream, 1); /* the client counts it */
            return;
        }
    }
}

static void echo_stream(struct mr_model_inline *m, mr_handle stream)
{
    struct mr_transport *t = m->transport;
    struct mr_view views[VIEWS];
    bool fin = false;
    int64_t count;

    while ((count = t->ops->receive(t, stream, views, VIEWS, &fin)) > 0) {
        size_t size = 0;

        for (int64_t i = 0; i < count; i++) {
            echo_view(m, stream, &views[i]);
            size += views[i].size;
        }
        t->ops->release(t, stream, size);
    }
    if (fin)
        t->ops->release(t, stream, 0);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((events[i].kinds & MR_EVENT_READABLE) != 0)
            echo_stream(context, events[i].stream);
}

static void on_start(void *context, struct mr_transport *transport)
{
    ((struct mr_model_inline *)context)->transport = transport;
}

static void on_stop(void *context)
{
    (void)context;
}

void mr_model_inline_init(struct mr_model_inline *model)
{
    model->application = (struct mr_application){.name = "inline echo",
                                                 .context = model,
                                                 .on_start = on_start,
                                                 .on_events = on_events,
                                                 .on_stop = on_stop};
}

/* ------------------------------------------------------------------ rings */

struct rings_echo {
    struct mr_bench_task *task;
    struct mr_ring *ring;
    uint64_t copied;
    bool has_failed;
};

static struct mr_sqe *take_sqe(struct mr_ring *ring)
{
    struct mr_sqe *sqe;

    while ((sqe = mr_ring_sqe(ring)) == NULL)
        mr_ring_submit(ring);
    return sqe;
}

static void echo_data(struct rings_echo *e, const struct mr_cqe *cqe)
{
    uint8_t *memory = mr_ring_alloc(e->ring, cqe->size);

    if (memory == NULL) {
        e->has_failed = true;
        return;
    }
    memcpy(memory, mr_ring_data(e->ring, cqe), cqe->size);
    e->copied += cqe->size;
    struct mr_sqe *sqe = take_sqe(e->ring);
    mr_sqe_send(sqe, cqe->stream, mr_ring_offset(e->ring, memory), cqe->size, 0);
    sqe->user_data = (uint64_t)(uintptr_t)memory;
    mr_sqe_release(take_sqe(e->ring), cqe);
}

static void serve_ring(struct rings_echo *e)
{
    struct mr_cqe cqes[BATCH];
    uint32_t count;

    while ((count = mr_ring_take(e->ring, cqes, BATCH)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            if (cqes[i].type == MR_CQE_DATA && cqes[i].size > 0)
                echo_data(e, &cqes[i]);
            else if (cqes[i].type == MR_CQE_DONE && cqes[i].op == MR_OP_SEND)
                mr_ring_free(e->ring, (void *)(uintptr_t)cqes[i].user_data);
        }
        mr_ring_submit(e->ring);
    }
    mr_model_note(e->task, 0, e->copied);
    e->copied = 0;
}

int mr_model_rings(struct mr_bench_task *task, void *config)
{
    struct mr_attach_config how = mr_model_attach_config(task);
    struct rings_echo echo = {.task = task};
    struct mr_attachment *attachment;
    struct mr_error error = {0};
    int result;

    (void)config;
    if (mr_attach(&how, &attachment, &error) != 0)
        return mr_model_fail(task, error.text);
    echo.ring = mr_attach_ring(attachment, 0);
    mr_sqe_listen(take_sqe(echo.ring), MR_RING_EVERY, true);
    mr_ring_submit(echo.ring);
    mr_model_ready(task);
    do {
        serve_ring(&echo);
        result = mr_attach_wait(attachment, UINT64_MAX);
    } while ((result >= 0 || result == -EINTR) && !echo.has_failed);
    mr_detach(attachment);
    return echo.has_failed ? mr_model_fail(task, "the send area is full") : 0;
}
