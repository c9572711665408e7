/* tools/bench_ring_app.c - see bench_ring.h: the application's end, and the line's. */
#include "tools/bench_ring.h"

#include <errno.h>

#include "tools/bench_attached.h"
#include "tools/model_task.h"

enum {
    WARM = 10,
    ROUNDS = 300, /* of a slice, one at a time */
    BATCH = 32,
    BATCHES = 300,
    AHEAD = 512, /* messages on their way, at most */
    PAUSES = 4   /* between two looks for an answer */
};

/* ------------------------------------------------------------------ the lines */

static void echo_own(struct mr_ring_bench_lines *l)
{
    while (atomic_load_explicit(&l->is_over, memory_order_relaxed) == 0)
        atomic_store_explicit(&l->back, atomic_load_explicit(&l->there, memory_order_acquire),
                              memory_order_release);
}

/* Odd numbers are for us. */
static void echo_shared(struct mr_ring_bench_lines *l)
{
    while (atomic_load_explicit(&l->is_over, memory_order_relaxed) == 0) {
        uint32_t now = atomic_load_explicit(&l->there, memory_order_acquire);

        if ((now & 1) != 0)
            atomic_store_explicit(&l->there, now + 1, memory_order_release);
    }
}

void mr_ring_bench_echo(void *argument)
{
    struct mr_ring_bench_lines *l = argument;

    if (l->is_shared)
        echo_shared(l);
    else
        echo_own(l);
}

static double per(uint64_t begin, uint64_t count)
{
    return (double)(mr_bench_now_ns() - begin) / (double)count;
}

static void bounce(struct mr_ring_bench_lines *l, uint32_t rounds)
{
    _Atomic uint32_t *back = l->is_shared ? &l->there : &l->back;
    uint32_t value = atomic_load_explicit(&l->there, memory_order_relaxed);

    for (uint32_t i = 0; i < rounds; i++) {
        atomic_store_explicit(&l->there, ++value, memory_order_release);
        value += l->is_shared;
        while (atomic_load_explicit(back, memory_order_acquire) != value) {
        }
    }
}

static double line_slice(struct mr_ring_bench *b, bool is_shared)
{
    atomic_store_explicit(&b->lines.is_over, 0, memory_order_relaxed);
    atomic_store_explicit(&b->lines.there, 0, memory_order_relaxed);
    b->lines.is_shared = is_shared;
    b->lend(b->context);
    bounce(&b->lines, WARM); /* it is there */
    uint64_t begin = mr_bench_now_ns();
    bounce(&b->lines, ROUNDS);
    double ns = per(begin, 2 * ROUNDS);
    atomic_store_explicit(&b->lines.is_over, 1, memory_order_relaxed);
    b->take_back(b->context);
    return ns;
}

/* ------------------------------------------------------------------ the ring */

static double entry_slice(struct mr_ring *ring)
{
    struct mr_cqe cqe;
    uint64_t begin = mr_bench_now_ns();

    for (int i = 0; i < ROUNDS; i++) {
        mr_sqe_nop(mr_ring_sqe(ring));
        mr_ring_submit(ring);
        while (mr_ring_take(ring, &cqe, 1) == 0)
            for (int k = 0; k < PAUSES; k++)
                MR_PAUSE();
    }
    return per(begin, 2 * ROUNDS);
}

/* Returns ns per message, or < 0: a message did not come back as it went. */
static double batch_slice(struct mr_ring *ring)
{
    struct mr_cqe cqes[BATCH];
    uint64_t begin = mr_bench_now_ns();
    uint64_t sent = 0;
    uint64_t back = 0;
    bool is_right = true;

    while (back < BATCHES * BATCH) {
        for (int i = 0; i < BATCH && sent < BATCHES * BATCH && sent - back < AHEAD; i++) {
            struct mr_sqe *sqe = mr_ring_sqe(ring);

            if (sqe == NULL)
                break;
            mr_sqe_nop(sqe);
            sqe->user_data = sent++;
        }
        mr_ring_submit(ring);
        uint32_t count = mr_ring_take(ring, cqes, BATCH);
        for (uint32_t i = 0; i < count; i++)
            is_right &= cqes[i].user_data == back++ && cqes[i].result == 0;
    }
    return is_right ? per(begin, BATCHES * BATCH) : -1;
}

static bool measure_batch(struct mr_ring_bench *b, struct mr_ring *ring)
{
    struct mr_ring_bench_shard begin = b->read(b->context);
    double ns = batch_slice(ring);
    struct mr_ring_bench_shard end = b->read(b->context);

    if (ns < 0)
        return false;
    mr_samples_add(&b->batch_ns, ns);
    mr_samples_add(&b->shard_cycles, (double)(end.busy_cycles - begin.busy_cycles) /
                                         (double)(end.submissions - begin.submissions));
    return true;
}

int mr_ring_bench_run(struct mr_bench_task *task, void *argument)
{
    struct mr_attach_config how = mr_model_attach_config(task);
    struct mr_ring_bench *b = argument;
    struct mr_attachment *attachment;
    struct mr_error error = {0};
    bool is_right = true;

    how.is_by_reference = false; /* as between processes: all is checked and copied */
    if (mr_attach(&how, &attachment, &error) != 0)
        return mr_model_fail(task, error.text);
    struct mr_ring *ring = mr_attach_ring(attachment, 0);
    entry_slice(ring); /* the shard knows it */
    for (uint64_t begin = mr_bench_now_ns();
         is_right && (double)(mr_bench_now_ns() - begin) < b->seconds * 1e9;) {
        mr_samples_add(&b->own_ns, line_slice(b, false));
        mr_samples_add(&b->shared_ns, line_slice(b, true));
        mr_samples_add(&b->entry_ns, entry_slice(ring));
        is_right = measure_batch(b, ring);
    }
    mr_detach(attachment);
    return is_right ? 0 : mr_model_fail(task, "messages came back in another order");
}
