/* tools/perf_load.c - see perf_load.h. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "tools/perf_far.h"
#include "tools/perf_load_internal.h"

#define BEGIN_SLICE    64 /* connections whose first operations begin with one poll */
#define PS_PER_NS      1000
#define MAX_GAP_FACTOR 30.0 /* of the mean; beyond, a random number was 0 */

/* ------------------------------------------------------------------ open loop */

/* Picoseconds to the next arrival. */
static uint64_t next_gap(struct mr_perf_load *load, uint64_t every_ps)
{
    if (load->plan.is_even)
        return every_ps;
    double part = (double)((mr_random_u64(&load->random) >> 11) + 1) * 0x1p-53; /* above 0 */

    return (uint64_t)((double)every_ps * MR_MIN(-log(part), MAX_GAP_FACTOR));
}

static void arrive(struct mr_perf_load *load, uint64_t now)
{
    uint64_t every_ps = atomic_load_explicit(&load->shared.every_ps, memory_order_relaxed);

    if (every_ps == 0 || load->next_ns == 0)
        load->next_ns = now;
    while (every_ps != 0 && load->next_ns <= now) {
        mr_perf_count(&load->shared.counts.due, 1);
        if (load->late_end - load->late_begin < MR_PERF_LATE_MAX)
            load->late[load->late_end++ & (MR_PERF_LATE_MAX - 1)] =
                (struct mr_perf_due){.due_ns = load->next_ns,
                                     .kind = mr_perf_choose_kind(load),
                                     .is_stalled = load->has_stalled};
        else
            mr_perf_count(&load->shared.counts.not_begun, 1);
        load->next_ps += next_gap(load, every_ps);
        load->next_ns += load->next_ps / PS_PER_NS;
        load->next_ps %= PS_PER_NS;
    }
}

static uint32_t begin_due(struct mr_perf_load *load)
{
    uint32_t begun = 0;

    while (load->late_begin != load->late_end) {
        const struct mr_perf_due *due = &load->late[load->late_begin & (MR_PERF_LATE_MAX - 1)];

        if (!mr_perf_begin(load, due->kind, due->due_ns, NULL))
            break;
        mr_perf_count(&load->shared.counts.late_stalled,
                      due->is_stalled && mr_perf_now(load) >= due->due_ns + MR_PERF_LATE_NS);
        load->late_begin++;
        begun++;
    }
    return begun;
}

/* ------------------------------------------------------------------ phases */

static void sample(struct mr_perf_load *load, uint64_t now)
{
    struct mr_conn_info info;

    if (now < load->sample_ns || load->conn_used == 0)
        return;
    load->sample_ns = now + MR_PERF_SAMPLE_NS;
    const struct mr_perf_conn *c = &load->conns[load->sampled++ % load->conn_used];
    if (!c->is_used || !c->is_open || c->op != MR_NONE ||
        load->transport->ops->conn_info(load->transport, c->conn, &info) != 0)
        return;
    mr_perf_limiter_count(load->shared.counts.limited, &info, 1);
}

static void abandon(struct mr_perf_load *load, mr_handle stream)
{
    if (stream == MR_HANDLE_NONE)
        return;
    load->transport->ops->reset(load->transport, stream, MR_PERF_NO_ERROR);
    load->transport->ops->stop(load->transport, stream, MR_PERF_NO_ERROR);
}

/* Operations without an end do not end by themselves.  Their streams close when the peer has heard
 * of it: one that is not there any more leaves them unfinished. */
static void end_endless(struct mr_perf_load *load)
{
    for (uint32_t i = 0; i < load->op_used; i++) {
        struct mr_perf_op *op = &load->ops[i];
        const struct mr_perf_kind *kind = &load->plan.kind[op->kind];

        if (op->conn == MR_NONE || op->is_counted ||
            (kind->up_bytes != MR_PERF_ENDLESS && kind->down_bytes != MR_PERF_ENDLESS))
            continue;
        op->is_given_up = true;
        abandon(load, op->stream);
        abandon(load, op->answer);
    }
}

static void close_all(struct mr_perf_load *load)
{
    for (uint32_t i = 0; i < load->conn_used; i++) {
        if (load->conns[i].is_used)
            load->transport->ops->close(load->transport, load->conns[i].conn, MR_PERF_NO_ERROR, "");
    }
}

static void enter(struct mr_perf_load *load, int phase)
{
    load->phase = phase;
    if (phase == MR_PERF_DRAIN) {
        load->late_begin = load->late_end;
        end_endless(load);
    }
    if (phase == MR_PERF_CLOSE)
        close_all(load);
    atomic_store_explicit(&load->shared.seen, phase, memory_order_release);
}

/* Closed loop: the first operations, and those that could not begin, a slice with each poll. */
static uint32_t begin_slice(struct mr_perf_load *load)
{
    uint32_t begun = 0;

    for (uint32_t i = 0; i < BEGIN_SLICE && load->started < load->conn_used; i++) {
        struct mr_perf_conn *c = &load->conns[load->started++];

        if (c->is_used && c->is_open && c->op == MR_NONE)
            mr_perf_begin_all(load, c);
        begun++;
    }
    for (uint32_t i = 0; i < MR_PERF_LOOK_AROUND && load->conn_used > 0; i++) {
        struct mr_perf_conn *c = &load->conns[load->turn++ % load->conn_used];

        if (c->owed > 0 && c->is_used && c->is_open)
            begun += mr_perf_begin_owed(load, c);
    }
    return begun;
}

/* A polling core that others run on as well is late with all that it does. */
static void note_stall(struct mr_perf_load *load, uint64_t now)
{
    uint64_t gap = now - load->polled_ns;

    load->has_stalled = load->polled_ns != 0 && gap >= MR_PERF_LATE_NS;
    if (load->has_stalled) {
        mr_perf_count(&load->shared.counts.stalls, 1);
        mr_perf_count(&load->shared.counts.stalled_ns, gap);
    }
    load->polled_ns = now;
}

static uint32_t on_poll(void *context)
{
    struct mr_perf_load *load = context;
    int wanted = atomic_load_explicit(&load->shared.phase, memory_order_acquire);
    uint64_t now = mr_perf_now(load);

    note_stall(load, now);
    if (wanted != load->phase && load->phase != MR_PERF_OVER)
        enter(load, wanted);
    if (load->far != NULL)
        mr_far_client_poll(load->far);
    mr_perf_open_kept(load);
    mr_perf_close_left(load);
    sample(load, now);
    if (load->phase == MR_PERF_CLOSE && load->kept + load->own == 0 &&
        (load->far == NULL || mr_far_client_close(load->far)))
        enter(load, MR_PERF_OVER);
    if (!mr_perf_may_begin(load))
        return 0;
    if (!load->plan.is_open_loop)
        return begin_slice(load);
    arrive(load, now);
    return begin_due(load);
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_perf_load *load = context;

    load->transport = transport;
    if (load->far != NULL)
        load->far->transport = transport;
}

void mr_perf_load_carry_orders(struct mr_perf_load *load, struct mr_far *far)
{
    load->far = far;
    far->connect = (struct mr_connect_options){.remote = load->plan.server,
                                               .server_name = load->plan.server_name,
                                               .is_insecure = load->plan.is_insecure};
}

static void on_stop(void *context)
{
    (void)context;
}

/* ------------------------------------------------------------------ life */

struct mr_perf_load *mr_perf_load_make(const struct mr_perf_plan *plan,
                                       const struct mr_perf_buffer *buffer, struct mr_fault *fault)
{
    struct mr_perf_load *load = calloc(1, sizeof(*load));

    if (load != NULL) {
        load->conn_max = plan->connections + MR_PERF_OWN_MAX;
        load->conns = calloc(load->conn_max, sizeof(*load->conns));
        load->ops = calloc(plan->operations, sizeof(*load->ops));
        load->late = calloc(MR_PERF_LATE_MAX, sizeof(*load->late));
    }
    if (load == NULL || load->conns == NULL || load->ops == NULL || load->late == NULL) {
        mr_perf_load_free(load);
        mr_fault_set(fault, ENOMEM, "not enough memory for %u connections and %u operations",
                     plan->connections, plan->operations);
        return NULL;
    }
    load->application = (struct mr_application){.name = "perf client",
                                                .context = load,
                                                .on_start = on_start,
                                                .on_events = mr_perf_on_events,
                                                .on_poll = on_poll,
                                                .on_stop = on_stop};
    load->plan = *plan;
    load->buffer = buffer;
    load->conn_free = load->op_free = load->leaving = MR_NONE;
    for (uint32_t i = 0; i < plan->kind_count; i++) {
        load->weights += plan->kind[i].weight;
        load->has_streamless |= plan->kind[i].is_uni || plan->kind[i].is_rebind;
        mr_histogram_init(&load->shared.kinds[i].latency);
    }
    mr_random_init_number(&load->random, plan->seed);
    return load;
}

void mr_perf_load_free(struct mr_perf_load *load)
{
    if (load == NULL)
        return;
    free(load->conns);
    free(load->ops);
    free(load->late);
    free(load);
}

const struct mr_application *mr_perf_load_application(const struct mr_perf_load *load)
{
    return &load->application;
}

struct mr_perf_shared *mr_perf_load_shared(struct mr_perf_load *load)
{
    return &load->shared;
}

void mr_perf_load_read(const struct mr_perf_load *load, struct mr_perf_counts *sum)
{
    const uint64_t *from = (const uint64_t *)&load->shared.counts;
    uint64_t *to = (uint64_t *)sum;

    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
