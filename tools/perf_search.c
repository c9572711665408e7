/* tools/perf_search.c - the highest rate that is kept (perf_plan.h chooses the rates): each is
 * tried, and judged by what was counted meanwhile. */
#include <errno.h>
#include <stdio.h>

#include "control/control_socket.h"
#include "tools/perf_run_internal.h"

#define SETTLE     0.25 /* of a trial, before it */
#define TRIAL_KEPT 0.99 /* of what was due, */
#define TRIES      2    /* of a rate that is not kept: the machine may have done something else */
#define TRIAL_LATE 0.01 /* with no more than this part of it begun late, nothing failed, */
#define TRIAL_DROP 1e-3 /* and no more than this part of the frames dropped by a port */
#define OFFERED    0.5  /* of the rate became due, or this side did not run */

/* Nothing is due, and what was due is over, or will not be.  False with run->end set. */
static bool rest(struct mr_perf_run *run)
{
    uint64_t until = mr_control_now() + (uint64_t)(run->perf->timeout_s * 1e9);

    mr_perf_set_rate(run->perf, 0);
    while (mr_perf_under_way(run->perf) > 0 && mr_control_now() < until) {
        if (!mr_perf_pass_time(run, "resting", mr_control_now() + MR_PERF_STEP_NS, false))
            return false;
    }
    return true;
}

/* The far side's since `begin`, which is given back; left as they are: it was not asked, or did not
 * answer. */
static void ask_since(const struct mr_perf *perf, struct json_object *begin,
                      struct mr_perf_far_figures *figures)
{
    struct mr_fault fault = {0};
    struct json_object *end = begin == NULL ? NULL : mr_perf_ask_report(perf, &fault);

    if (end != NULL)
        json_object_put(mr_far_between(begin, end, figures));
    json_object_put(begin);
    json_object_put(end);
}

/* Of what was due; chance may make it more. */
static double done_part(const struct mr_perf_figures *figures)
{
    return figures->due > 0 ? MR_MIN(figures->done / figures->due, 1.0) : 0;
}

/* What the rate was not kept for, in words. */
static void note_not_kept(struct mr_perf_over *over, const struct mr_perf_trial *trial,
                          struct mr_perf_figures *figures)
{
    figures->was_not_kept = true;
    *over = (struct mr_perf_over){
        .rate = trial->rate,
        .done_part = done_part(figures),
        .late = trial->late,
    };
    over->limit = mr_perf_judge(figures, over->why);
}

/* Late where this side stood still is no less late at a lower rate: it says nothing of this one. */
static bool is_kept(const struct mr_perf_trial *trial, const struct mr_perf_figures *figures)
{
    return trial->done > 0 && trial->done >= TRIAL_KEPT * figures->due &&
           trial->late - trial->late_stalled <= TRIAL_LATE && trial->failed == 0 &&
           trial->not_begun == 0 && trial->dropped <= TRIAL_DROP;
}

static struct mr_perf_trial trial_of(double rate, const struct mr_perf_counts *from,
                                     const struct mr_perf_counts *to,
                                     const struct mr_perf_figures *figures)
{
    struct mr_perf_trial trial = {
        .rate = rate,
        .done = figures->done,
        .late = figures->late_part,
        .late_stalled = figures->late_stalled_part,
        .failed = to->failed + to->lost - from->failed - from->lost,
        .not_begun = to->not_begun - from->not_begun,
        .dropped = MR_MAX(figures->port_drop_part, figures->far.port_drop_part),
    };

    trial.is_kept = is_kept(&trial, figures);
    return trial;
}

void mr_perf_search_check(struct mr_perf *perf)
{
    struct mr_perf_result *r = &perf->result;
    struct mr_perf_figures *f = &r->figures;
    const struct mr_perf_trial t = trial_of(perf->rate, &r->begin.counts, &r->end.counts, f);
    char done[MR_PERF_PERCENT];
    char late[MR_PERF_PERCENT];
    char dropped[MR_PERF_PERCENT];

    if (t.is_kept)
        return;
    f->was_not_kept = true;
    snprintf(r->not_kept, sizeof(r->not_kept),
             "the final measurement did not keep it: of what was due %s was done, %s of it began "
             "late, %llu failed, %llu were not begun; %s of the frames dropped",
             mr_perf_percent(done_part(f), done), mr_perf_percent(t.late - t.late_stalled, late),
             (unsigned long long)t.failed, (unsigned long long)t.not_begun,
             mr_perf_percent(t.dropped, dropped));
}

/* Something came of what was due since then: a server that does nothing at this rate does nothing
 * at half of it.  Where little became due it was not asked.  False with run->end set. */
static bool is_answered(struct mr_perf_run *run, double rate, const struct mr_perf_counts *since)
{
    const struct mr_perf_shared *shared = mr_perf_load_shared(run->perf->loads[0]);
    bool has_reason = shared->reason_count > 0;
    struct mr_perf_snapshot now;

    mr_perf_snapshot_take(run->perf, &now);
    double due = (double)(now.counts.due - since->due);
    if (due == 0 || due < OFFERED * rate * run->perf->trial_s || now.counts.done > since->done ||
        now.counts.bytes_up + now.counts.bytes_down > since->bytes_up + since->bytes_down)
        return true;
    mr_fault_set(&run->end, ECONNREFUSED,
                 "the search ended: of %llu operations due at %.6g/s the server did none, nor a "
                 "part of one%s%s; look at its log",
                 (unsigned long long)due, rate, has_reason ? ": " : "",
                 has_reason ? shared->reasons[shared->reason_count - 1].text : "");
    return false;
}

/* What is measured becomes the next of the result; `over` is written if the rate is not kept. False
 * with run->end set. */
static bool try_rate(struct mr_perf_run *run, double rate, struct mr_perf_trial *trial,
                     struct mr_perf_over *over)
{
    struct mr_perf *perf = run->perf;
    struct json_object *far = NULL;
    struct mr_perf_figures figures = {0};
    struct mr_perf_snapshot before;
    struct mr_perf_snapshot from;
    struct mr_perf_snapshot to;

    mr_perf_snapshot_take(perf, &before);
    mr_perf_set_rate(perf, rate);
    if (!mr_perf_pass_time(run, "searching",
                           mr_control_now() + (uint64_t)(SETTLE * perf->trial_s * 1e9), false))
        return false;
    if (perf->far != NULL && (far = mr_perf_ask_report(perf, &run->end)) == NULL)
        return false;
    mr_perf_snapshot_take(perf, &from);
    bool goes_on =
        mr_perf_pass_time(run, "searching", from.ns + (uint64_t)(perf->trial_s * 1e9), false);
    mr_perf_snapshot_take(perf, &to);
    ask_since(perf, far, &figures.far);
    if (!goes_on)
        return false;
    mr_perf_find_figures(perf, &from, &to, &figures);
    *trial = trial_of(rate, &from.counts, &to.counts, &figures);
    perf->result.trial_count++;
    if (!trial->is_kept)
        note_not_kept(over, trial, &figures);
    return rest(run) && is_answered(run, rate, &before.counts);
}

/* A rate, again if it is not kept.  False with run->end set. */
static bool try_again(struct mr_perf_run *run, double rate, bool *is_kept_out)
{
    struct mr_perf_result *result = &run->perf->result;
    struct mr_perf_over over = {0};

    *is_kept_out = false;
    for (int i = 0; i < TRIES && !*is_kept_out; i++) {
        struct mr_perf_trial *trial = &result->trials[result->trial_count];

        if (!try_rate(run, rate, trial, &over))
            return false;
        *is_kept_out = trial->is_kept;
    }
    if (!*is_kept_out)
        result->over = over; /* the least by now */
    return true;
}

bool mr_perf_search(struct mr_perf_run *run)
{
    struct mr_perf *perf = run->perf;
    struct mr_perf_result *result = &perf->result;
    struct mr_perf_search search = {.at = perf->rate};
    bool goes_on = true;
    bool is_tried = true;

    mr_perf_set_phase(perf, MR_PERF_WARM);
    run->needs_peer = true;
    while (goes_on && result->trial_count + TRIES <= MR_PERF_TRIALS_MAX) {
        bool was_kept;

        is_tried = try_again(run, search.at, &was_kept);
        goes_on = is_tried && mr_perf_search_next(&search, was_kept);
    }
    run->needs_peer = false;
    perf->rate = search.good;
    if (is_tried && search.good == 0)
        mr_fault_set(&run->end, ERANGE, "no rate is kept, not even %.3g operations/s", search.bad);
    return is_tried && search.good > 0;
}
