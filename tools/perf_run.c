/* tools/perf_run.c - the phases of a run of `millrace perf client`, as its control thread sees
 * them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/control_socket.h"
#include "dataplane/clock.h"
#include "tools/perf_facts.h"
#include "tools/perf_run_internal.h"

#define CLOSE_NS      (2 * MR_SECOND)
#define LIVE_STEP_S   0.5 /* between lines of progress on a terminal */
#define PROGRESS_S    1.0 /* and elsewhere */
#define PS_PER_SECOND 1e12

/* ------------------------------------------------------------------ what the shards say */

void mr_perf_set_phase(struct mr_perf *perf, int phase)
{
    for (uint32_t i = 0; i < mr_perf_shards(perf); i++)
        atomic_store_explicit(&mr_perf_load_shared(perf->loads[i])->phase, phase,
                              memory_order_release);
}

static bool has_seen(const struct mr_perf *perf, int phase)
{
    bool has = true;

    for (uint32_t i = 0; i < mr_perf_shards(perf); i++)
        has &= atomic_load_explicit(&mr_perf_load_shared(perf->loads[i])->seen,
                                    memory_order_acquire) >= phase;
    return has;
}

static uint32_t sum_of(const struct mr_perf *perf, bool wants_open)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < mr_perf_shards(perf); i++) {
        struct mr_perf_shared *shared = mr_perf_load_shared(perf->loads[i]);

        sum += atomic_load_explicit(wants_open ? &shared->open : &shared->under_way,
                                    memory_order_relaxed);
    }
    return sum;
}

uint32_t mr_perf_under_way(const struct mr_perf *perf)
{
    return sum_of(perf, false);
}

/* ------------------------------------------------------------------ the time line */

/* Operations are under way, or connections that there should be are not there, and are tried. */
static bool asks_peer(const struct mr_perf *perf)
{
    return mr_perf_under_way(perf) > 0 || sum_of(perf, true) < perf->connections;
}

/* Of who is asked nothing nothing comes; and time in which we did not look is none of it. */
static void listen_to_peer(struct mr_perf_run *run, const struct mr_perf_snapshot *now, double step)
{
    bool is_heard = now->report.quic.packets_received != run->last.report.quic.packets_received;

    if (is_heard || !asks_peer(run->perf))
        run->silent_s = 0;
    else
        run->silent_s += MR_MIN(step, 2e-3 * MR_PERF_SAMPLE_MS);
    run->longest_silent_s = MR_MAX(run->longest_silent_s, run->silent_s);
}

static void take_sample(struct mr_perf_run *run, bool is_measured)
{
    struct mr_perf_result *result = &run->perf->result;
    struct mr_perf_snapshot now;

    mr_perf_snapshot_take(run->perf, &now);
    double step = (double)(now.ns - run->last.ns) * 1e-9;
    if (result->sample_count < MR_PERF_SAMPLES_MAX)
        result->samples[result->sample_count++] = (struct mr_perf_sample){
            .at_s = (double)(now.ns - run->began_ns) * 1e-9,
            .up_bps = 8 * (double)(now.counts.bytes_up - run->last.counts.bytes_up) / step,
            .down_bps = 8 * (double)(now.counts.bytes_down - run->last.counts.bytes_down) / step,
            .done_ps = (double)(now.counts.done - run->last.counts.done) / step,
            .lost = mr_perf_part(now.report.quic.packets_lost - run->last.report.quic.packets_lost,
                                 now.report.quic.packets_sent - run->last.report.quic.packets_sent),
            .busy = mr_perf_busiest(run->perf, &run->last, &now),
            .is_measured = is_measured,
        };
    listen_to_peer(run, &now, step);
    run->last = now;
}

/* Is another line of progress due?  Then it is told now. */
static bool is_due(struct mr_perf_run *run)
{
    double now = (double)mr_control_now() * 1e-9;

    if (run->perf->is_json || now - run->shown_s < (run->is_live ? LIVE_STEP_S : PROGRESS_S))
        return false;
    run->shown_s = now;
    return true;
}

static void show(struct mr_perf_run *run, const char *phase)
{
    if (is_due(run))
        mr_perf_show_progress(run->perf, phase, run->is_live);
}

/* What is needed of the peer is there, or not needed.  One that has ended our connections and then
 * is silent has ended itself: there is nothing more to measure. */
static bool has_peer(struct mr_perf_run *run)
{
    const struct mr_perf *perf = run->perf;
    bool is_left = perf->connections > 0 && sum_of(perf, true) == 0;

    if ((!run->needs_peer && !is_left) || run->silent_s <= perf->timeout_s)
        return true;
    if (run->needs_peer)
        mr_fault_set(
            &run->end, ETIMEDOUT,
            "the search ended: nothing came from %.60s for %g s (--timeout), with %u operations "
            "under way; look at its log, and whether it still runs",
            perf->server_text, perf->timeout_s, mr_perf_under_way(perf));
    else
        mr_fault_set(&run->end, ETIMEDOUT,
                     "no connection is left, and nothing came from %.60s for %g s (--timeout): it "
                     "has ended, or the path to it has; look at its log, and whether it still runs",
                     perf->server_text, perf->timeout_s);
    return false;
}

bool mr_perf_pass_time(struct mr_perf_run *run, const char *phase, uint64_t until_ns,
                       bool is_measured)
{
    for (uint64_t now; (now = mr_control_now()) < until_ns;) {
        if (mr_signal_wait(MR_MIN(until_ns - now, (uint64_t)MR_PERF_STEP_NS))) {
            mr_fault_set(&run->end, EINTR, "interrupted while %s", phase);
            return false;
        }
        if (mr_control_now() - run->last.ns >= MR_PERF_SAMPLE_MS * MR_MS)
            take_sample(run, is_measured);
        show(run, phase);
        if (!has_peer(run))
            return false;
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
    for (uint32_t i = 0; i < mr_perf_shards(perf); i++) {
        const struct mr_perf_shared *shared = mr_perf_load_shared(perf->loads[i]);

        for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
            result->kinds[k].begun += shared->kinds[k].begun;
            result->kinds[k].done += shared->kinds[k].done;
            result->kinds[k].failed += shared->kinds[k].failed;
            result->kinds[k].resumed += shared->kinds[k].resumed;
            result->kinds[k].early += shared->kinds[k].early;
            mr_histogram_merge(&result->kinds[k].latency, &shared->kinds[k].latency);
        }
        add_reasons(result, shared);
    }
}

/* All connections are there.  False with `fault` set. */
static bool connect_all(struct mr_perf_run *run, struct mr_fault *fault)
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
        if (mr_signal_wait(MR_PERF_STEP_NS)) {
            mr_fault_set(fault, EINTR, "interrupted after %u of %u connections", open,
                         perf->connections);
            return false;
        }
        if ((double)(now - progress_ns) * 1e-9 > perf->timeout_s) {
            const struct mr_perf_shared *shared = mr_perf_load_shared(perf->loads[0]);
            bool has_reason = shared->reason_count > 0;

            mr_fault_set(fault, ETIMEDOUT,
                         "%u of %u connections to %s within %g s%s%s; check the address, the "
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

void mr_perf_set_rate(struct mr_perf *perf, double rate)
{
    double every = rate > 0 ? PS_PER_SECOND * mr_perf_shards(perf) / rate : 0;

    for (uint32_t i = 0; i < mr_perf_shards(perf); i++)
        atomic_store_explicit(&mr_perf_load_shared(perf->loads[i])->every_ps, (uint64_t)every,
                              memory_order_relaxed);
}

/* ------------------------------------------------------------------ the far side */

/* Its answer to an order.  NULL with `fault` set. */
static struct json_object *ask(const struct mr_perf *perf, const char *order,
                               const struct mr_port_loss_rates *loss, struct mr_fault *fault)
{
    uint64_t until = mr_control_now() + (uint64_t)(perf->timeout_s * 1e9);
    char text[MR_FAR_ORDER_MAX + 1];
    const char *failure = NULL;
    const char *answer;

    if (!mr_far_may_ask(perf->far)) {
        mr_fault_set(fault, ETIMEDOUT, "the far side: no answer since an order before");
        return NULL;
    }
    mr_far_order_write(order, loss, &perf->secret, text);
    mr_far_ask(perf->far, text);
    while ((answer = mr_far_answer(perf->far, &failure)) == NULL && failure == NULL) {
        bool is_over = mr_control_now() >= until;

        if (!is_over && !mr_signal_wait(MR_PERF_STEP_NS))
            continue;
        if (is_over)
            mr_fault_set(fault, ETIMEDOUT, "the far side: no answer within %g s", perf->timeout_s);
        else
            mr_fault_set(fault, EINTR, "the far side: interrupted before it answered");
        return NULL;
    }
    if (answer != NULL)
        return mr_far_answer_read(answer, fault);
    mr_fault_set(fault, ECONNREFUSED, "the far side: %s", failure);
    return NULL;
}

struct json_object *mr_perf_ask_report(const struct mr_perf *perf, struct mr_fault *fault)
{
    return ask(perf, "report", NULL, fault);
}

/* At the begin of what is measured.  False with `fault` set: it takes no orders. */
static bool ask_at_begin(struct mr_perf *perf, struct mr_fault *fault)
{
    if (perf->far == NULL)
        return true;
    json_object_put(perf->result.far_begin);
    perf->result.far_begin = mr_perf_ask_report(perf, fault);
    return perf->result.far_begin != NULL;
}

/* And at its end: what came of it on both sides is told all the same. */
static void ask_at_end(struct mr_perf *perf)
{
    struct mr_perf_result *result = &perf->result;
    struct mr_fault fault = {0};

    if (perf->far == NULL)
        return;
    struct json_object *end = mr_perf_ask_report(perf, &fault);
    if (end != NULL)
        result->far = mr_far_between(result->far_begin, end, &result->figures.far);
    if (end != NULL && result->far == NULL)
        mr_fault_set(&fault, EPROTO, "the far side: its two reports do not fit together");
    snprintf(result->far_why, sizeof(result->far_why), "%.150s", fault.text);
    json_object_put(end);
}

/* Losses of the server's side, for the run; none that somebody before left behind.  False with
 * `fault` set: it takes no orders. */
static bool begin_far_losses(const struct mr_perf *perf, struct mr_fault *fault)
{
    if (perf->far == NULL)
        return true;
    struct json_object *answer =
        ask(perf, "loss", perf->far_loss_text != NULL ? &perf->far_loss : NULL, fault);
    json_object_put(answer);
    return answer != NULL;
}

/* It would end them by itself once the connection is over, which may take a while under loss. */
static void end_far_losses(const struct mr_perf *perf)
{
    struct mr_fault fault = {0};

    if (perf->far_loss_text == NULL)
        return;
    struct json_object *answer = ask(perf, "loss", NULL, &fault);
    if (answer == NULL)
        fprintf(stderr, "millrace perf client: %s; its losses end with this connection\n",
                fault.text);
    json_object_put(answer);
}

static void stop_server(struct mr_perf *perf)
{
    struct mr_fault fault = {0};

    if (!perf->stops_server)
        return;
    struct json_object *answer = ask(perf, "stop", NULL, &fault);
    if (answer == NULL)
        fprintf(stderr, "millrace perf client: %s; it is not stopped\n", fault.text);
    json_object_put(answer);
}

/* ------------------------------------------------------------------ what it means */

/* Of a search it is what kept the next rate from being kept. */
static void judge(struct mr_perf *perf)
{
    struct mr_perf_result *result = &perf->result;
    char why[MR_PERF_WHY];

    if (result->not_measured[0] != '\0') {
        result->limit = MR_PERF_LIMIT_NOTHING;
        result->figures.stage = "";
        snprintf(result->why, sizeof(result->why), "nothing that was measured: %s",
                 result->not_measured);
        return;
    }
    mr_perf_find_figures(perf, &result->begin, &result->end, &result->figures);
    if (perf->is_search)
        mr_perf_search_check(perf);
    result->limit = mr_perf_judge(&result->figures, why);
    if (result->limit != MR_PERF_LIMIT_RATE || result->over.rate == 0) {
        memcpy(result->why, why, sizeof(why));
        return;
    }
    result->limit = result->over.limit;
    snprintf(result->why, sizeof(result->why),
             "%s (at %.6g operations/s, which were not kept: %.2f %% of them done, %.2f %% begun "
             "late)",
             result->over.why, result->over.rate, 100 * result->over.done_part,
             100 * result->over.late);
}

/* ------------------------------------------------------------------ the end */

/* What was begun comes to its end, as far as it does in time. */
static void drain(struct mr_perf_run *run)
{
    struct mr_perf *perf = run->perf;
    uint64_t until = mr_control_now() + (uint64_t)(perf->timeout_s * 1e9);

    mr_perf_set_phase(perf, MR_PERF_DRAIN);
    while ((!has_seen(perf, MR_PERF_DRAIN) || mr_perf_under_way(perf) > 0) &&
           mr_control_now() < until) {
        if (mr_signal_wait(MR_PERF_STEP_NS))
            break;
        if (is_due(run))
            mr_perf_show_left(mr_perf_under_way(perf), run->is_live);
    }
    perf->result.unfinished = mr_perf_under_way(perf);
}

/* The connections, and the far side's part. */
static void wind_up(struct mr_perf *perf)
{
    perf->result.open = sum_of(perf, true);
    end_far_losses(perf);
    stop_server(perf);
    mr_perf_set_phase(perf, MR_PERF_CLOSE);
    uint64_t until = mr_control_now() + CLOSE_NS;
    while (!has_seen(perf, MR_PERF_OVER) && mr_control_now() < until)
        (void)mr_signal_wait(MR_PERF_STEP_NS);
}

static void read_counters(const struct mr_perf *perf, struct mr_perf_counters *to)
{
    to->count = mr_port_counters(perf->host.group.port, to->counter, MR_PORT_COUNTERS_MAX);
}

/* ------------------------------------------------------------------ a run */

/* With the load on: without it, each operation is measured, the first too.  False with run->end
 * set. */
static bool warm_up(struct mr_perf_run *run)
{
    struct mr_perf *perf = run->perf;
    uint64_t warm_ns = (uint64_t)(perf->warm_up_s * 1e9);

    mr_perf_set_rate(perf, perf->rate);
    if (warm_ns == 0)
        return true;
    mr_perf_set_phase(perf, MR_PERF_WARM);
    return mr_perf_pass_time(run, "warming up", mr_control_now() + warm_ns, false);
}

static void measure(struct mr_perf_run *run)
{
    struct mr_perf *perf = run->perf;
    struct mr_perf_result *result = &perf->result;

    read_counters(perf, &result->counters_begin);
    run->silent_s = run->longest_silent_s = 0; /* what was before is not measured */
    mr_perf_set_phase(perf, MR_PERF_MEASURE);
    mr_perf_snapshot_take(perf, &result->begin);
    result->is_interrupted = !mr_perf_pass_time(
        run, "measuring", result->begin.ns + (uint64_t)(perf->duration_s * 1e9), true);
    if (result->is_interrupted && run->silent_s > perf->timeout_s)
        fprintf(stderr, "millrace perf client: %s\n", run->end.text);
    mr_perf_snapshot_take(perf, &result->end);
    read_counters(perf, &result->counters_end);
    result->figures.silent_s = run->longest_silent_s;
    result->figures.is_silent_at_end = run->silent_s == run->longest_silent_s;
    ask_at_end(perf);
    result->seconds = (double)(result->end.ns - result->begin.ns) * 1e-9;
    drain(run);
}

bool mr_perf_run(struct mr_perf *perf, struct mr_fault *fault)
{
    struct mr_perf_result *result = &perf->result;
    struct mr_perf_run run = {.perf = perf, .is_live = isatty(STDERR_FILENO) && !perf->is_json};

    if (!ask_at_begin(perf, fault) || !begin_far_losses(perf, fault) || !connect_all(&run, fault))
        return false;
    run.began_ns = mr_control_now();
    mr_perf_snapshot_take(perf, &run.last);
    mr_port_facts(perf->host.group.port, &result->port);
    if ((!perf->is_search || mr_perf_search(&run)) && warm_up(&run) && ask_at_begin(perf, &run.end))
        measure(&run);
    else
        snprintf(result->not_measured, sizeof(result->not_measured), "%s", run.end.text);
    wind_up(perf);
    read_results(perf);
    judge(perf);
    return true;
}
