/* tools/perf_figures.c - what was counted between two moments of a run of `millrace perf client`,
 * and what it means. */
#include <string.h>

#include "control/control_socket.h"
#include "dataplane/clock.h"
#include "tools/perf_facts.h"
#include "tools/perf_run_internal.h"

/* ------------------------------------------------------------------ a moment */

static void read_waits(struct mr_perf_snapshot *to)
{
    to->knows_waits = true;
    for (uint32_t i = 0; i < mr_eal_info()->worker_count; i++)
        to->knows_waits &= mr_perf_core_wait(i, &to->core_wait_ns[i]);
}

void mr_perf_snapshot_take(const struct mr_perf *perf, struct mr_perf_snapshot *out)
{
    struct mr_shard_stats stats;

    memset(out, 0, sizeof(*out));
    out->ns = mr_control_now();
    for (uint32_t i = 0; i < mr_perf_shards(perf); i++) {
        mr_perf_load_read(perf->loads[i], &out->counts);
        mr_shard_read_stats(perf->host.group.shards[i], &stats);
        out->busy_cycles[i] = stats.busy_cycles;
    }
    mr_report_read(&out->report, &perf->host.group);
    mr_port_stats(perf->host.group.port, &out->port);
    mr_port_losses(perf->host.group.port, &out->losses);
    read_waits(out);
}

/* Frames that this side's port dropped between two snapshots, of all. */
static double drop_part(const struct mr_perf_snapshot *from, const struct mr_perf_snapshot *to)
{
    const struct mr_port_stats p = mr_perf_port_between(&from->port, &to->port);

    return mr_perf_part(p.rx_missed + p.rx_no_buffer + p.rx_errors + p.tx_errors,
                        p.rx_packets + p.tx_packets);
}

double mr_perf_busiest(const struct mr_perf *perf, const struct mr_perf_snapshot *from,
                       const struct mr_perf_snapshot *to)
{
    struct mr_clock clock = mr_clock_init();
    double part = 0;

    for (uint32_t i = 0; i < mr_perf_shards(perf); i++) {
        uint64_t ns = mr_clock_ns(&clock, to->busy_cycles[i] - from->busy_cycles[i]);

        part = MR_MAX(part, (double)ns / (double)(to->ns - from->ns));
    }
    return MR_MIN(part, 1.0);
}

/* ------------------------------------------------------------------ between two */

static void find_stage(struct mr_perf_figures *f, const struct mr_shard_stats *from,
                       const struct mr_shard_stats *to)
{
    uint64_t most = 0;

    f->stage = mr_stage_name(MR_STAGE_OTHER);
    for (int i = 0; i < MR_STAGES; i++) {
        uint64_t cycles = to->stage_cycles[i] - from->stage_cycles[i];

        if (cycles <= most)
            continue;
        most = cycles;
        f->stage = mr_stage_name((enum mr_stage)i);
    }
    f->stage_part = mr_perf_part(most, to->busy_cycles - from->busy_cycles);
}

/* Of the polling threads, the one that waited most. */
static void find_wait(struct mr_perf_figures *f, const struct mr_perf_snapshot *from,
                      const struct mr_perf_snapshot *to)
{
    f->knows_waits = from->knows_waits && to->knows_waits;
    for (uint32_t i = 0; i < mr_eal_info()->worker_count && f->knows_waits; i++)
        f->core_wait =
            MR_MAX(f->core_wait,
                   mr_perf_part(to->core_wait_ns[i] - from->core_wait_ns[i], to->ns - from->ns));
    f->core_wait = MR_MIN(f->core_wait, 1.0);
}

void mr_perf_find_figures(const struct mr_perf *perf, const struct mr_perf_snapshot *from,
                          const struct mr_perf_snapshot *to, struct mr_perf_figures *f)
{
    double seconds = (double)(to->ns - from->ns) * 1e-9;
    uint64_t samples = 0;

    *f = (struct mr_perf_figures){
        .is_open_loop = perf->plan.is_open_loop,
        .rate = perf->rate,
        .far = f->far,
        .silent_s = f->silent_s,
        .silent_part = f->silent_s / seconds,
        .is_silent_at_end = f->is_silent_at_end,
    };
    for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
        const struct mr_perf_kind *kind = &perf->plan.kind[k];

        f->sends |= kind->up_bytes > 0;
        f->receives |= kind->down_bytes > 0;
        f->is_endless |= kind->up_bytes == MR_PERF_ENDLESS || kind->down_bytes == MR_PERF_ENDLESS;
    }
    f->due = (double)(to->counts.due - from->counts.due) / seconds;
    f->begun = (double)(to->counts.begun - from->counts.begun) / seconds;
    f->done = (double)(to->counts.done - from->counts.done) / seconds;
    f->busiest = mr_perf_busiest(perf, from, to);
    find_wait(f, from, to);
    find_stage(f, &from->report.stats, &to->report.stats);
    f->port_drop_part = drop_part(from, to);
    f->late_part =
        mr_perf_part(to->counts.late - from->counts.late, to->counts.begun - from->counts.begun);
    f->late_stalled_part = mr_perf_part(to->counts.late_stalled - from->counts.late_stalled,
                                        to->counts.begun - from->counts.begun);
    f->stalled_part = (double)(to->counts.stalled_ns - from->counts.stalled_ns) /
                      ((double)(to->ns - from->ns) * mr_perf_shards(perf));
    f->loss_part = mr_perf_part(to->report.quic.packets_lost - from->report.quic.packets_lost,
                                to->report.quic.packets_sent - from->report.quic.packets_sent);
    for (int i = 0; i < MR_PERF_LIMITERS; i++)
        samples += to->counts.limited[i] - from->counts.limited[i];
    for (int i = 0; i < MR_PERF_LIMITERS; i++)
        f->limited[i] = mr_perf_part(to->counts.limited[i] - from->counts.limited[i], samples);
}
