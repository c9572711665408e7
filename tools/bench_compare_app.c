/* tools/bench_compare_app.c - see bench_compare.h: the attached application.  Apart from the rest,
 * because millrace/error.h and quic/error.h cannot be in one file. */
#include "app/transport_ring.h"
#include "bench/samples.h"
#include "tools/bench_app.h"
#include "tools/bench_attached.h"
#include "tools/bench_compare.h"
#include "tools/model_task.h"

#define PAUSES         4       /* between two looks for something to do */
#define INTERRUPTED_NS 1000000 /* a turn that takes so long has lost its core meanwhile */

static void tell(struct mr_bench_task *task, const struct mr_ring_transport *t,
                 const struct mr_bench_app *app, uint64_t busy_ns)
{
    struct mr_bench_counts counts;

    mr_bench_read_counts(&app->shared, &counts);
    atomic_store_explicit(&task->copied_out, mr_ring_transport_stats(t)->bytes_copied,
                          memory_order_relaxed);
    atomic_store_explicit(&task->bytes_received, counts.bytes_received, memory_order_relaxed);
    atomic_store_explicit(&task->bad_bytes, counts.bad_bytes, memory_order_relaxed);
    atomic_store_explicit(&task->busy_ns, busy_ns, memory_order_relaxed);
}

static uint64_t wait_ns(struct mr_ring_transport *t)
{
    struct mr_transport *transport = mr_ring_transport_transport(t);
    uint64_t deadline = mr_ring_transport_deadline(t);
    uint64_t now = transport->ops->now(transport);

    return deadline == UINT64_MAX ? UINT64_MAX : deadline > now ? deadline - now : 0;
}

static void serve(struct mr_bench_task *task, struct mr_attachment *attachment,
                  struct mr_ring_transport *t, const struct mr_bench_app *app, bool sleeps)
{
    uint64_t busy_ns = 0;

    mr_model_ready(task);
    while (mr_ring_transport_is_alive(t)) {
        uint64_t begin = mr_bench_now_ns();

        if (mr_ring_transport_poll(t) > 0) {
            uint64_t took_ns = mr_bench_now_ns() - begin;

            if (took_ns < INTERRUPTED_NS)
                busy_ns += took_ns;
            continue;
        }
        tell(task, t, app, busy_ns);
        if (sleeps)
            (void)mr_attach_wait(attachment, wait_ns(t));
        for (int i = 0; i < PAUSES && !sleeps; i++)
            MR_PAUSE();
    }
}

int mr_compare_serve(struct mr_bench_task *task, void *config)
{
    const struct mr_compare_task *how = config;
    struct mr_ring_transport_config ring = mr_ring_transport_config_default();
    struct mr_attach_config attach = mr_model_attach_config(task);
    struct mr_perf_buffer data = {0};
    struct mr_bench_app *app = NULL;
    struct mr_attachment *attachment = NULL;
    struct mr_ring_transport *t = NULL;
    struct mr_error error = {0};

    if (!mr_perf_buffer_make(&data, how->data_bytes) || (app = mr_bench_server_make(&data)) == NULL)
        return mr_model_fail(task, "not enough memory");
    app->load.is_verified = how->is_verified;
    app->load.is_read = true;
    ring.listens = true;
    if (mr_attach(&attach, &attachment, &error) != 0)
        mr_model_fail(task, error.text);
    else if ((t = mr_ring_transport_new(attachment, &ring, &app->application)) == NULL)
        mr_model_fail(task, "not enough memory for the rings");
    else
        serve(task, attachment, t, app, how->sleeps);
    bool has_served = t != NULL;
    mr_ring_transport_free(t);
    mr_detach(attachment);
    mr_bench_app_free(app);
    mr_perf_buffer_free(&data);
    return has_served ? 0 : -1;
}
