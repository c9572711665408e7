/* tools/perf_run.c - the phases of a run of `millrace perf client`, as its control thread sees
 * them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/control_socket.h"
#include "dataplane/clock.h"
#include "tools/perf_internal.h"

#define STEP_NS       (10 * MR_MS) /* between looks */
#define CLOSE_NS      (2 * MR_SECOND)
#define LIVE_STEP_S   0.5 /* between lines of progress on a terminal */
#define PROGRESS_S    1.0 /* and elsewhere */
#define PS_PER_SECOND 1e12

struct run {
    struct mr_perf *perf;
    uint64_t began_ns; /* of the load */
    double shown_s;
    struct mr_perf_snapshot last; /* sample */
    bool is_live;
};

static double part(uint64_t what, uint64_t of)
{
    return of == 0 ? 0 : (double)what / (double)of;
}

static uint32_t shards_of(const struct mr_perf *perf)
{
    return perf->host_options.shards;
}

/* ------------------------------------------------------------------ what the shards say */

static void set_phase(struct mr_perf *perf, int phase)
{
    for (uint32_t i = 0; i < shards_of(perf); i++)
        atomic_store_explicit(&mr_perf_load_shared(perf->loads[i])->phase, phase,
                              memory_order_release);
}

static bool has_seen(const struct mr_perf *perf, int phase)
{
    bool has = true;

    for (uint32_t i = 0; i < shards_of(perf); i++)
        has &= atomic_load_explicit(&mr_perf_load_shared(perf->loads[i])->seen,
                                    memory_order_acquire) >= phase;
    return has;
}

static uint32_t sum_of(const struct mr_perf *perf, bool wants_open)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < shards_of(perf); i++) {
        struct mr_perf_shared *shared = mr_perf_load_shared(perf->loads[i]);

        sum += atomic_load_explicit(wants_open ? &shared->open : &shared->under_way,
                                    memory_order_relaxed);
    }
    return sum;
}

static void take_snapshot(const struct mr_perf *perf, struct mr_perf_snapshot *out)
{
    struct mr_shard_stats stats;

    memset(out, 0, sizeof(*out));
    out->ns = mr_control_now();
    for (uint32_t i = 0; i < shards_of(perf); i++) {
        mr_perf_load_read(perf->loads[i], &out->counts);
        mr_shard_read_stats(perf->host.group.shards[i], &stats);
        out->busy_cycles[i] = stats.busy_cycles;
    }
    mr_report_read(&out->report, &perf->host.group);
    mr_port_stats(perf->host.group.port, &out->port);
}

/* The busiest core's part of the time between two snapshots. */
static double busiest(const struct mr_perf *perf, const struct mr_perf_snapshot *from,
                      const struct mr_perf_snapshot *to)
{
    struct mr_clock clock = mr_clock_init();
    double part = 0;

    for (uint32_t i = 0; i < shards_of(perf); i++) {
        uint64_t ns = mr_clock_ns(&clock, to->busy_cycles[i] - from->busy_cycles[i]);

        part = MR_MAX(part, (double)ns / (double)(to->ns - from->ns));
    }
    return MR_MIN(part, 1.0);
}

/* ------------------------------------------------------------------ the time line */

static void take_sample(struct run *run, bool is_measured)
{
    struct mr_perf_result *result = &run->perf->result;
    struct mr_perf_snapshot now;

    take_snapshot(run->perf, &now);
    double step = (double)(now.ns - run->last.ns) * 1e-9;
    if (result->sample_count < MR_PERF_SAMPLES_MAX)
        result->samples[result->sample_count++] = (struct mr_perf_sample){
            .at_s = (double)(now.ns - run->began_ns) * 1e-9,
            .up_bps = 8 * (double)(now.counts.bytes_up - run->last.counts.bytes_up) / step,
            .down_bps = 8 * (double)(now.counts.bytes_down - run->last.counts.bytes_down) / step,
            .done_ps = (double)(now.counts.done - run->last.counts.done) / step,
            .busy = busiest(run->perf, &run->last, &now),
            .is_measured = is_measured,
        };
    run->last = now;
}

static void show(struct run *run, const char *phase)
{
    double now = (double)mr_control_now() * 1e-9;

    if (run->perf->is_json || now - run->shown_s < (run->is_live ? LIVE_STEP_S : PROGRESS_S))
        return;
    run->shown_s = now;
    mr_perf_show_progress(run->perf, phase, run->is_live);
}

/* Wait, sampling, until `until_ns`.  False: a signal came. */
static bool pass_time(struct run *run, const char *phase, uint64_t until_ns, bool is_measured)
{
    for (uint64_t now; (now = mr_control_now()) < until_ns;) {
        if (mr_signal_wait(MR_MIN(until_ns - now, (uint64_t)STEP_NS)))
            return false;
        if (mr_control_now() - run->last.ns >= MR_PERF_SAMPLE_MS * MR_MS)
            take_sample(run, is_measured);
        show(run, phase);
    }
    return true;
}

/* ------------------------------------------------------------------ phases */

static void add_reasons(struct mr_perf_result *result, const struct mr_perf_shared *shared)
{
    for (uint32_t i = 0; i < shared->reason_count; i++) {
        uint32_t at = 0;

        while (at < result->reason_count &&
               strcmp(result->reasons[at].text, shared->reasons[i].text) != 0)
            at++;
        if (at == MR_PERF_REASONS_MAX)
            continue;
        if (at == result->reason_count)
            memcpy(result->reasons[result->reason_count++].text, shared->reasons[i].text,
                   MR_PERF_REASON);
        result->reasons[at].count += shared->reasons[i].count;
    }
}

static void read_results(struct mr_perf *perf)
{
    struct mr_perf_result *result = &perf->result;

    for (uint32_t k = 0; k < perf->plan.kind_count; k++)
        mr_histogram_init(&result->kinds[k].latency);
    for (uint32_t i = 0; i < shards_of(perf); i++) {
        const struct mr_perf_shared *shared = mr_perf_load_shared(perf->loads[i]);

        for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
            result->kinds[k].begun += shared->kinds[k].begun;
            result->kinds[k].done += shared->kinds[k].done;
            result->kinds[k].failed += shared->kinds[k].failed;
            mr_histogram_merge(&result->kinds[k].latency, &shared->kinds[k].latency);
        }
        add_reasons(result, shared);
    }
}

/* All connections are there.  False with `fault` set. */
static bool connect_all(struct run *run, struct mr_fault *fault)
{
    struct mr_perf *perf = run->perf;
    uint64_t began = mr_control_now();
    uint64_t progress_ns = began;
    uint32_t before = 0;
    uint32_t open;

    while ((open = sum_of(perf, true)) < perf->connections) {
        uint64_t now = mr_control_now();

        if (open > before)
            progress_ns = now;
        before = open;
        if (mr_signal_wait(STEP_NS)) {
            mr_fault_set(fault, EINTR, "interrupted after %u of %u connections", open,
                         perf->connections);
            return false;
        }
        if ((double)(now - progress_ns) * 1e-9 > perf->timeout_s) {
            const struct mr_perf_shared *shared = mr_perf_load_shared(perf->loads[0]);
            bool has_reason = shared->reason_count > 0;

            mr_fault_set(fault, ETIMEDOUT,
                         "%u of %u connections to %s within %g s%s%.100s; check the address, the "
                         "UDP port and that the server speaks \"%.32s\"",
                         open, perf->connections, perf->server_text, perf->timeout_s,
                         has_reason ? ": " : "", has_reason ? shared->reasons[0].text : "",
                         perf->alpn != NULL ? perf->alpn : MR_PERF_ALPN);
            return false;
        }
        show(run, "connecting");
    }
    perf->result.connect_s = (double)(mr_control_now() - began) * 1e-9;
    return true;
}

static void set_rate(struct mr_perf *perf, double rate)
{
    double every = rate > 0 ? PS_PER_SECOND * shards_of(perf) / rate : 0;

    for (uint32_t i = 0; i < shards_of(perf); i++)
        atomic_store_explicit(&mr_perf_load_shared(perf->loads[i])->every_ps, (uint64_t)every,
                              memory_order_relaxed);
}

/* ------------------------------------------------------------------ the highest rate */

#define TRIAL_KEPT 0.99 /* of what was due, */
#define TRIAL_LATE 0.01 /* with no more than this part of it begun late, and nothing failed */

/* Nothing is due, and what was due is over.  False: a signal came. */
static bool rest(struct run *run)
{
    uint64_t until = mr_control_now() + (uint64_t)(run->perf->timeout_s * 1e9);

    set_rate(run->perf, 0);
    while (sum_of(run->perf, false) > 0 && mr_control_now() < until) {
        if (!pass_time(run, "resting", mr_control_now() + STEP_NS, false))
            return false;
    }
    return true;
}

/* False: a signal came. */
static bool try_rate(struct run *run, double rate, struct mr_perf_trial *trial)
{
    struct mr_perf *perf = run->perf;
    struct mr_perf_snapshot from;
    struct mr_perf_snapshot to;

    set_rate(perf, rate);
    if (!pass_time(run, "searching", mr_control_now() + (uint64_t)(perf->trial_s * 0.25e9), false))
        return false;
    take_snapshot(perf, &from);
    if (!pass_time(run, "searching", from.ns + (uint64_t)(perf->trial_s * 1e9), false))
        return false;
    take_snapshot(perf, &to);
    double seconds = (double)(to.ns - from.ns) * 1e-9;
    *trial = (struct mr_perf_trial){
        .rate = rate,
        .done = (double)(to.counts.done - from.counts.done) / seconds,
        .late = part(to.counts.late - from.counts.late, to.counts.begun - from.counts.begun),
        .failed = to.counts.failed + to.counts.not_begun + to.counts.lost - from.counts.failed -
                  from.counts.not_begun - from.counts.lost,
    };
    double due = (double)(to.counts.due - from.counts.due) / seconds;
    trial->is_kept =
        trial->done >= TRIAL_KEPT * due && trial->late <= TRIAL_LATE && trial->failed == 0;
    return rest(run);
}

/* The highest rate that is kept becomes the run's.  False with `fault` set. */
static bool search(struct run *run, struct mr_fault *fault)
{
    struct mr_perf *perf = run->perf;
    struct mr_perf_result *result = &perf->result;
    struct mr_perf_search search = {.at = perf->rate};
    bool goes_on = true;

    set_phase(perf, MR_PERF_WARM);
    while (goes_on && result->trial_count < MR_PERF_TRIALS_MAX) {
        struct mr_perf_trial *trial = &result->trials[result->trial_count];

        if (!try_rate(run, search.at, trial)) {
            mr_fault_set(fault, EINTR, "interrupted after %u rates were tried; the best was %.6g/s",
                         result->trial_count, search.good);
            return false;
        }
        result->trial_count++;
        goes_on = mr_perf_search_next(&search, trial->is_kept);
    }
    perf->rate = search.good;
    if (search.good > 0)
        return true;
    mr_fault_set(fault, ERANGE, "no rate is kept, not even %.3g operations/s", search.bad);
    return false;
}

/* ------------------------------------------------------------------ the far side */

/* Its answer to an order.  NULL with `fault` set. */
static struct json_object *ask(const struct mr_perf *perf, const char *order,
                               struct mr_fault *fault)
{
    uint64_t until = mr_control_now() + (uint64_t)(perf->timeout_s * 1e9);
    char text[MR_FAR_ORDER_MAX + 1];
    const char *failure = NULL;
    const char *answer;

    mr_far_order_write(order, &perf->secret, text);
    mr_far_ask(perf->far, text);
    while ((answer = mr_far_answer(perf->far, &failure)) == NULL && failure == NULL) {
        if (mr_control_now() < until && !mr_signal_wait(STEP_NS))
            continue;
        mr_fault_set(fault, ETIMEDOUT, "the far side: no answer within %g s", perf->timeout_s);
        return NULL;
    }
    if (answer != NULL)
        return mr_far_answer_read(answer, fault);
    mr_fault_set(fault, ECONNREFUSED, "the far side: %s", failure);
    return NULL;
}

/* At the begin of what is measured.  False with `fault` set: it takes no orders. */
static bool ask_at_begin(struct mr_perf *perf, struct mr_fault *fault)
{
    if (perf->far == NULL)
        return true;
    json_object_put(perf->result.far_begin);
    perf->result.far_begin = ask(perf, "report", fault);
    return perf->result.far_begin != NULL;
}

/* And at its end: what came of it on both sides is told all the same. */
static void ask_at_end(struct mr_perf *perf)
{
    struct mr_perf_result *result = &perf->result;
    struct mr_fault fault = {0};

    if (perf->far == NULL)
        return;
    struct json_object *end = ask(perf, "report", &fault);
    if (end != NULL)
        result->far = mr_far_between(result->far_begin, end, &result->figures.far);
    if (end != NULL && result->far == NULL)
        mr_fault_set(&fault, EPROTO, "the far side: its two reports do not fit together");
    snprintf(result->far_why, sizeof(result->far_why), "%.150s", fault.text);
    json_object_put(end);
}

static void stop_server(struct mr_perf *perf)
{
    struct mr_fault fault = {0};

    if (!perf->stops_server)
        return;
    struct json_object *answer = ask(perf, "stop", &fault);
    if (answer == NULL)
        fprintf(stderr, "millrace perf client: %s; it is not stopped\n", fault.text);
    json_object_put(answer);
}

/* Let what was begun finish; then the connections. */
static void wind_up(struct run *run)
{
    struct mr_perf *perf = run->perf;
    uint64_t until = mr_control_now() + (uint64_t)(perf->timeout_s * 1e9);

    set_phase(perf, MR_PERF_DRAIN);
    while ((!has_seen(perf, MR_PERF_DRAIN) || sum_of(perf, false) > 0) &&
           mr_control_now() < until) {
        if (mr_signal_wait(STEP_NS))
            break;
        show(run, "draining");
    }
    perf->result.unfinished = sum_of(perf, false);
    perf->result.open = sum_of(perf, true);
    stop_server(perf);
    set_phase(perf, MR_PERF_CLOSE);
    until = mr_control_now() + CLOSE_NS;
    while (!has_seen(perf, MR_PERF_OVER) && mr_control_now() < until)
        (void)mr_signal_wait(STEP_NS);
}

/* ------------------------------------------------------------------ what it means */

static void find_stage(struct mr_perf_figures *f, const struct mr_perf_result *result)
{
    const struct mr_shard_stats *from = &result->begin.report.stats;
    const struct mr_shard_stats *to = &result->end.report.stats;
    uint64_t most = 0;

    f->stage = mr_stage_name(MR_STAGE_OTHER);
    for (int i = 0; i < MR_STAGES; i++) {
        uint64_t cycles = to->stage_cycles[i] - from->stage_cycles[i];

        if (cycles <= most)
            continue;
        most = cycles;
        f->stage = mr_stage_name((enum mr_stage)i);
    }
    f->stage_part = part(most, to->busy_cycles - from->busy_cycles);
}

static uint64_t port_drops(const struct mr_perf_snapshot *s)
{
    return s->port.rx_missed + s->port.rx_no_buffer + s->port.rx_errors + s->port.tx_errors;
}

static void judge(struct mr_perf *perf)
{
    struct mr_perf_result *result = &perf->result;
    const struct mr_perf_snapshot *from = &result->begin;
    const struct mr_perf_snapshot *to = &result->end;
    struct mr_perf_figures *f = &result->figures;
    uint64_t samples = 0;

    *f = (struct mr_perf_figures){
        .is_open_loop = perf->plan.is_open_loop,
        .far = f->far,
    };
    f->asked = (double)(to->counts.due - from->counts.due) / result->seconds;
    for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
        f->sends |= perf->plan.kind[k].up_bytes == MR_PERF_ENDLESS;
        f->receives |= perf->plan.kind[k].down_bytes == MR_PERF_ENDLESS;
    }
    f->begun = (double)(to->counts.begun - from->counts.begun) / result->seconds;
    f->done = (double)(to->counts.done - from->counts.done) / result->seconds;
    f->busiest = busiest(perf, from, to);
    find_stage(f, result);
    f->port_drop_part =
        part(port_drops(to) - port_drops(from), to->port.rx_packets - from->port.rx_packets +
                                                    to->port.tx_packets - from->port.tx_packets);
    f->loss_part = part(to->report.quic.packets_lost - from->report.quic.packets_lost,
                        to->report.quic.packets_sent - from->report.quic.packets_sent);
    for (int i = 0; i < MR_PERF_LIMITERS; i++)
        samples += to->counts.limited[i] - from->counts.limited[i];
    for (int i = 0; i < MR_PERF_LIMITERS; i++)
        f->limited[i] = part(to->counts.limited[i] - from->counts.limited[i], samples);
    result->limit = mr_perf_judge(f, result->why);
}

static void read_counters(const struct mr_perf *perf, struct mr_perf_counters *to)
{
    to->count = mr_port_counters(perf->host.group.port, to->counter, MR_PORT_COUNTERS_MAX);
}

bool mr_perf_run(struct mr_perf *perf, struct mr_fault *fault)
{
    struct mr_perf_result *result = &perf->result;
    struct run run = {.perf = perf, .is_live = isatty(STDERR_FILENO) && !perf->is_json};

    if (!ask_at_begin(perf, fault) || !connect_all(&run, fault))
        return false;
    run.began_ns = mr_control_now();
    take_snapshot(perf, &run.last);
    if (perf->is_search && !search(&run, fault))
        return false;
    uint64_t warm_ns = (uint64_t)(perf->warm_up_s * 1e9);
    bool goes_on = true;
    set_rate(perf, perf->rate);
    if (warm_ns > 0) { /* without one, each operation is measured, the first too */
        set_phase(perf, MR_PERF_WARM);
        goes_on = pass_time(&run, "warm-up", mr_control_now() + warm_ns, false);
    }
    if (!ask_at_begin(perf, fault))
        return false;
    mr_port_facts(perf->host.group.port, &result->port);
    read_counters(perf, &result->counters_begin);
    set_phase(perf, MR_PERF_MEASURE);
    take_snapshot(perf, &result->begin);
    if (goes_on)
        pass_time(&run, "measuring", result->begin.ns + (uint64_t)(perf->duration_s * 1e9), true);
    take_snapshot(perf, &result->end);
    read_counters(perf, &result->counters_end);
    ask_at_end(perf);
    result->seconds = (double)(result->end.ns - result->begin.ns) * 1e-9;
    wind_up(&run);
    read_results(perf);
    judge(perf);
    return true;
}
