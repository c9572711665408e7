/* tools/bench_worker.c - see bench_worker.h. */
#include "tools/bench_worker.h"

#include <time.h>

#define NAP_NS 500000

enum aside_state {
    IDLE,
    ASKED,
    RUNNING,
    RAN,
    DONE
};

/* ------------------------------------------------------------------ the aside */

static void serve_aside(struct mr_bench_worker *w)
{
    struct mr_bench_aside *a = w->aside;
    /* acquire: pairs with the releases in mr_bench_aside_run (ASKED) and below (RAN) */
    int state = atomic_load_explicit(&a->state, memory_order_acquire);

    if (state == ASKED && atomic_compare_exchange_strong(&a->state, &state, RUNNING)) {
        a->function(a->argument);
        a->taker = w;
        atomic_store_explicit(&a->state, RAN, memory_order_release); /* pairs with the acquire above
                                                                        and in wait_while */
    } else if (state == RAN && a->taker == w) {
        atomic_compare_exchange_strong(&a->state, &state, DONE);
    }
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

/* No longer than `patience_ns` of naps: time in which the whole process is stopped does not count.
 */
static void wait_while(struct mr_bench_aside *a, int state, uint64_t patience_ns)
{
    /* acquire: pairs with the release in serve_aside */
    for (uint64_t naps = patience_ns / NAP_NS;
         naps > 0 && atomic_load_explicit(&a->state, memory_order_acquire) == state; naps--)
        nap();
}

bool mr_bench_aside_run(struct mr_bench_aside *a, void (*function)(void *argument), void *argument,
                        uint64_t patience_ns)
{
    int asked = ASKED;

    a->function = function;
    a->argument = argument;
    atomic_store_explicit(&a->state, ASKED, memory_order_release); /* pairs with the acquire in
                                                                      serve_aside */
    wait_while(a, ASKED, patience_ns);
    if (atomic_compare_exchange_strong(&a->state, &asked, IDLE))
        return false;
    wait_while(a, RUNNING, UINT64_MAX);
    wait_while(a, RAN, patience_ns); /* if no event comes, its iteration is over all the same */
    atomic_store_explicit(&a->state, IDLE, memory_order_relaxed);
    return true;
}

/* ------------------------------------------------------------------ the application in front */

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_bench_worker *w = context;

    mr_alloc_count_join(&w->bytes);
    w->thread = pthread_self();
    atomic_store_explicit(&w->has_thread, true, memory_order_release); /* pairs with the acquire in
                                                                          ..._cpu_ns */
    w->inner.on_start(w->inner.context, transport);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct mr_bench_worker *w = context;

    w->inner.on_events(w->inner.context, events, count);
    if (w->aside != NULL)
        serve_aside(w);
}

static uint32_t on_poll(void *context)
{
    const struct mr_bench_worker *w = context;

    return w->inner.on_poll(w->inner.context);
}

static void on_stop(void *context)
{
    struct mr_bench_worker *w = context;

    w->inner.on_stop(w->inner.context);
    mr_alloc_count_leave();
}

void mr_bench_worker_init(struct mr_bench_worker *w, const struct mr_application *inner,
                          struct mr_bench_shared *shared)
{
    w->inner = *inner;
    w->shared = shared;
    w->application = (struct mr_application){.name = inner->name,
                                             .context = w,
                                             .on_start = on_start,
                                             .on_events = on_events,
                                             .on_poll = inner->on_poll == NULL ? NULL : on_poll,
                                             .on_stop = on_stop};
    atomic_init(&w->has_thread, false);
}

/* ------------------------------------------------------------------ for the control thread */

uint64_t mr_bench_worker_cpu_ns(const struct mr_bench_worker *w)
{
    clockid_t clock;
    struct timespec t;

    /* acquire: pairs with the release in on_start */
    if (!atomic_load_explicit(&w->has_thread, memory_order_acquire) ||
        pthread_getcpuclockid(w->thread, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void mr_bench_count_up(uint64_t *field, uint64_t n)
{
    _Atomic uint64_t *counter = (_Atomic uint64_t *)(void *)field;

    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void mr_bench_read_counts(const struct mr_bench_shared *shared, struct mr_bench_counts *out)
{
    const uint64_t *from = (const uint64_t *)(const void *)&shared->counts;

    for (size_t i = 0; i < sizeof(*out) / sizeof(uint64_t); i++)
        ((uint64_t *)(void *)out)[i] = atomic_load_explicit(
            (const _Atomic uint64_t *)(const void *)&from[i], memory_order_relaxed);
}
