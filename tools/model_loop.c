/* tools/model_loop.c - see model_loop.h. */
#include "tools/model_loop.h"

#include "app/loop_internal.h"
#include "app/transport_ring.h"

#define TELL_NS UINT64_C(100000000)
#define FEW     64 /* objects, timers of a loop for one connection */

static void tell(void *context)
{
    struct mr_model_loop *m = context;
    const struct mr_ring_transport_stats *stats = mr_loop_transport_stats(m->loop);

    if (stats == NULL)
        return;
    mr_model_note(m->task, m->read, m->written + stats->bytes_copied - m->told);
    m->told = stats->bytes_copied;
    m->read = m->written = 0;
    (void)mr_loop_timer(m->loop, TELL_NS, tell, m);
}

bool mr_model_loop_begin(struct mr_model_loop *m, struct mr_bench_task *task,
                         const struct mr_attach_config *how)
{
    struct mr_loop_config config = {.attach = how != NULL ? *how : mr_model_attach_config(task)};
    struct mr_error error = {0};

    if (how != NULL)
        config.objects_max = config.timers_max = FEW;
    *m = (struct mr_model_loop){.task = task};
    if (mr_loop_new(&config, &m->loop, &error) != 0) {
        mr_model_fail(task, error.text);
        return false;
    }
    tell(m);
    return true;
}

void mr_model_loop_end(struct mr_model_loop *m)
{
    mr_loop_free(m->loop);
}
