/* tools/perf_report.c - what `millrace perf client` says: progress, a table, or JSON. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench.h"
#include "tools/perf_facts.h"
#include "tools/perf_internal.h"
#include "tools/tools.h"

typedef unsigned long long number; /* as printf wants it */

#define TEXT 24 /* bytes of a figure with its unit */

static const double quantiles[] = {0.5, 0.9, 0.99, 0.999, 1};
static const char *const quantile_names[] = {"p50", "p90", "p99", "p99.9", "max"};
static const char *const quantile_keys[] = {"p50", "p90", "p99", "p999", "max"};

/* ------------------------------------------------------------------ figures */

static const char *bit_rate(double bps, char text[TEXT])
{
    static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
    size_t unit = 0;

    while (bps >= 999.5 && unit + 1 < MR_COUNT_OF(units)) {
        bps /= 1000;
        unit++;
    }
    snprintf(text, TEXT, "%.3g %s", bps, units[unit]);
    return text;
}

static const char *span(uint64_t ns, char text[TEXT])
{
    double value = (double)ns;

    if (value < 1e6)
        snprintf(text, TEXT, "%.1f us", value * 1e-3);
    else if (value < 1e9)
        snprintf(text, TEXT, "%.2f ms", value * 1e-6);
    else
        snprintf(text, TEXT, "%.2f s", value * 1e-9);
    return text;
}

/* Of the measured time. */
static uint64_t counted(const struct mr_perf_result *r, size_t offset)
{
    uint64_t from = *(const uint64_t *)((const char *)&r->begin.counts + offset);
    uint64_t to = *(const uint64_t *)((const char *)&r->end.counts + offset);

    return to - from;
}

#define COUNTED(r, field) counted(r, offsetof(struct mr_perf_counts, field))

/* What a search found may not be kept afterwards, which is told: nothing failed. */
static uint64_t failures(const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;

    return COUNTED(r, failed) + COUNTED(r, lost) + (perf->is_search ? 0 : COUNTED(r, not_begun));
}

/* ------------------------------------------------------------------ progress */

void mr_perf_show_progress(const struct mr_perf *perf, const char *phase, bool is_live)
{
    const struct mr_perf_result *r = &perf->result;
    char up[TEXT];
    char down[TEXT];

    fprintf(stderr, "%s%-10s", is_live ? "\r\033[K" : "", phase);
    if (r->sample_count > 0) {
        const struct mr_perf_sample *s = &r->samples[r->sample_count - 1];

        fprintf(stderr, " %6.1f s  up %s  down %s  %.0f operations/s  core %.0f %%", s->at_s,
                bit_rate(s->up_bps, up), bit_rate(s->down_bps, down), s->done_ps, 100 * s->busy);
    }
    fprintf(stderr, "%s", is_live ? "" : "\n");
    fflush(stderr);
}

void mr_perf_show_left(uint32_t under_way, bool is_live)
{
    fprintf(stderr, "%s%-10s %u operation%s under way%s", is_live ? "\r\033[K" : "", "draining",
            under_way, under_way == 1 ? "" : "s", is_live ? "" : "\n");
    fflush(stderr);
}

/* ------------------------------------------------------------------ the table */

static void print_trials(const struct mr_perf_result *r)
{
    for (uint32_t i = 0; i < r->trial_count; i++) {
        const struct mr_perf_trial *t = &r->trials[i];

        printf("tried %12.6g/s  done %12.6g/s  late %6.2f %%  while it stood still %6.2f %%  "
               "dropped %6.3f %%  failed %llu  not begun %llu  %s\n",
               t->rate, t->done, 100 * (t->late - t->late_stalled), 100 * t->late_stalled,
               100 * t->dropped, (number)t->failed, (number)t->not_begun,
               t->is_kept ? "kept" : "not kept");
    }
    printf("%s", r->trial_count > 0 ? "\n" : "");
}

static void print_head(const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;
    char text[TEXT];

    printf("perf: %s over %s, %u shard%s; %u connection%s in %s\n", perf->server_text,
           perf->host_options.port, perf->host_options.shards,
           perf->host_options.shards == 1 ? "" : "s", perf->connections,
           perf->connections == 1 ? "" : "s", span((uint64_t)(r->connect_s * 1e9), text));
    if (r->not_measured[0] != '\0') {
        printf("perf: nothing was measured\n\n");
        return;
    }
    if (perf->plan.is_open_loop)
        printf("perf: open loop, %.6g operations/s are due (%s)", perf->rate,
               perf->is_even ? "even" : "Poisson");
    else
        printf("perf: closed loop, %u operation%s at a time of each connection", perf->streams,
               perf->streams == 1 ? "" : "s");
    printf("; warm-up %g s, measured %.2f s", perf->warm_up_s, r->seconds);
    if (r->is_interrupted)
        printf(" of %g s: interrupted", perf->duration_s);
    printf("\n\n");
}

static void print_reasons(const struct mr_perf_result *r)
{
    for (uint32_t i = 0; i < r->reason_count; i++)
        printf("failed       %llu x %s\n", (number)r->reasons[i].count, r->reasons[i].text);
}

/* Why nothing was measured, and what is known all the same. */
static void print_not_measured(const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;

    if (perf->is_search && perf->rate > 0)
        printf("best kept    %.6g/s; --rate %.6g measures it\n", perf->rate, perf->rate);
    print_reasons(r);
    printf("not measured %s\n", r->not_measured);
}

static void print_kinds(const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;
    char text[TEXT];

    printf("%-28s %11s %8s", "operation", "done/s", "failed");
    for (size_t q = 0; q < MR_COUNT_OF(quantiles); q++)
        printf(" %10s", quantile_names[q]);
    printf("\n");
    for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
        const struct mr_perf_kind_result *kind = &r->kinds[k];
        char name[MR_PERF_NAME];

        printf("%-28s %11.1f %8llu", mr_perf_kind_name(&perf->plan.kind[k], name),
               mr_perf_done_per_second(r, k), (number)kind->failed);
        for (size_t q = 0; q < MR_COUNT_OF(quantiles); q++)
            printf(" %10s", kind->latency.count == 0
                                ? "-"
                                : span(mr_histogram_quantile(&kind->latency, quantiles[q]), text));
        if (perf->plan.kind[k].is_resumed)
            printf("  resumed %llu of %llu", (number)kind->resumed, (number)kind->begun);
        if (perf->plan.kind[k].is_early)
            printf(", 0-RTT %llu", (number)kind->early);
        printf("\n");
    }
    printf("\n");
}

static void print_port(const struct mr_perf_result *r)
{
    const struct mr_port_stats during = mr_perf_port_between(&r->begin.port, &r->end.port);

    printf("port         %.0f frames/s in, %.0f out; rx_missed %llu, rx_no_buffer %llu, rx_errors "
           "%llu, tx_errors %llu, bursts refused %llu\n",
           mr_perf_per_second(r, during.rx_packets), mr_perf_per_second(r, during.tx_packets),
           (number)during.rx_missed, (number)during.rx_no_buffer, (number)during.rx_errors,
           (number)during.tx_errors,
           (number)(r->end.report.stats.tx_refused - r->begin.report.stats.tx_refused));
}

static void losses_between(const struct mr_perf_result *r, struct mr_port_losses *out)
{
    const struct mr_port_losses *from = &r->begin.losses;
    const struct mr_port_losses *to = &r->end.losses;

    *out = (struct mr_port_losses){.rates = to->rates,
                                   .received = to->received - from->received,
                                   .received_lost = to->received_lost - from->received_lost,
                                   .sent = to->sent - from->sent,
                                   .sent_lost = to->sent_lost - from->sent_lost};
}

static const char *percent(uint64_t what, uint64_t of, char text[MR_PERF_PERCENT])
{
    return mr_perf_percent(of == 0 ? 0 : (double)what / (double)of, text);
}

/* What a side lost on purpose. */
static void print_losses(const char *side, const struct mr_port_losses *l)
{
    char sent[MR_PERF_PERCENT];
    char received[MR_PERF_PERCENT];

    printf("%-12s on purpose: %s of %llu datagrams sent, %s of %llu received\n", side,
           percent(l->sent_lost, l->sent, sent), (number)l->sent,
           percent(l->received_lost, l->received, received), (number)l->received);
}

/* What this side's own layers dropped, by reason. */
static void print_drops(const struct mr_perf_result *r)
{
    bool is_first = true;

    for (size_t i = 0; i < mr_report_counters(); i++) {
        const char *name = mr_report_counter_name(i);
        uint64_t count =
            mr_report_counter(&r->end.report, i) - mr_report_counter(&r->begin.report, i);

        if (count == 0 || !mr_report_is_drop(name))
            continue;
        printf("%s%s %llu", is_first ? "dropped      " : ", ", name, (number)count);
        is_first = false;
    }
    printf("%s", is_first ? "" : "\n");
}

/* How much of its core the polling thread had that waited most for it. */
static void print_share(bool is_known, double core_wait)
{
    char share[MR_PERF_PERCENT];

    if (is_known)
        printf("; had %s of its core", mr_perf_percent(1 - core_wait, share));
    printf("\n");
}

static void print_sides(const struct mr_perf_result *r)
{
    const struct mr_perf_figures *f = &r->figures;
    char text[MR_PERF_PERCENT];

    printf("this side    busiest core %.0f %%, stage `%s` %.0f %% of that; stood still %llu times, "
           "%s of the time",
           100 * f->busiest, f->stage, 100 * f->stage_part, (number)COUNTED(r, stalls),
           mr_perf_percent(f->stalled_part, text));
    print_share(f->knows_waits, f->core_wait);
    if (f->far.is_known) {
        printf("far side     busiest core %.0f %%, stage `%s` %.0f %% of that; port drops %s",
               100 * f->far.busiest, f->far.stage, 100 * f->far.stage_part,
               mr_perf_percent(f->far.port_drop_part, text));
        print_share(f->far.knows_waits, f->far.core_wait);
    } else if (r->far_why[0] != '\0') {
        printf("far side     missing: %s\n", r->far_why);
    }
}

static void print_rest(const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;
    char up[TEXT];
    char down[TEXT];
    char lost[MR_PERF_PERCENT];

    printf("goodput      up %s, down %s\n",
           bit_rate(8 * mr_perf_per_second(r, COUNTED(r, bytes_up)), up),
           bit_rate(8 * mr_perf_per_second(r, COUNTED(r, bytes_down)), down));
    printf("operations   %.1f/s; begun late %llu, not begun %llu, unfinished %llu\n",
           mr_perf_per_second(r, COUNTED(r, done)), (number)COUNTED(r, late),
           (number)COUNTED(r, not_begun), (number)r->unfinished);
    printf("connections  %u open, %llu lost, %llu resumed, %llu with 0-RTT\n", r->open,
           (number)COUNTED(r, lost), (number)COUNTED(r, resumed), (number)COUNTED(r, early));
    printf(
        "packets      %.0f/s sent, %.0f/s received, %s lost\n",
        mr_perf_per_second(r, r->end.report.quic.packets_sent - r->begin.report.quic.packets_sent),
        mr_perf_per_second(r, r->end.report.quic.packets_received -
                                  r->begin.report.quic.packets_received),
        mr_perf_percent(r->figures.loss_part, lost));
    print_port(r);
    print_drops(r);
    if (perf->loss_text != NULL) {
        struct mr_port_losses losses;

        losses_between(r, &losses);
        print_losses("loss here", &losses);
    }
    if (perf->far_loss_text != NULL && r->figures.far.is_known)
        print_losses("loss there", &r->figures.far.losses);
    print_sides(r);
    print_reasons(r);
    if (r->not_kept[0] != '\0')
        printf("not kept     %.6g/s, which the search found: %s\n", perf->rate, r->not_kept);
    printf("limited by   %s\n", r->why);
}

/* ------------------------------------------------------------------ JSON */

static struct json_object *kind_json(const struct mr_perf *perf, uint32_t k)
{
    const struct mr_perf_result *r = &perf->result;
    const struct mr_perf_kind_result *kind = &r->kinds[k];
    struct json_object *json = json_object_new_object();
    struct json_object *latency = json_object_new_object();
    char name[MR_PERF_NAME];

    mr_bench_text(json, "operation", mr_perf_kind_name(&perf->plan.kind[k], name));
    mr_bench_real(json, "weight", perf->plan.kind[k].weight);
    mr_bench_count(json, "begun", kind->begun);
    mr_bench_count(json, "done", kind->done);
    mr_bench_count(json, "failed", kind->failed);
    mr_bench_count(json, "resumed", kind->resumed);
    mr_bench_count(json, "early", kind->early);
    mr_bench_real(json, "done_per_s", mr_perf_done_per_second(r, k));
    for (size_t q = 0; q < MR_COUNT_OF(quantiles); q++)
        mr_bench_ratio(latency, quantile_keys[q],
                       (double)mr_histogram_quantile(&kind->latency, quantiles[q]) * 1e-3,
                       kind->latency.count == 0 ? 0 : 1);
    json_object_object_add(json, "latency_us", latency);
    return json;
}

struct json_object *mr_perf_port_counts_json(const struct mr_perf_result *r)
{
    const struct mr_port_stats during = mr_perf_port_between(&r->begin.port, &r->end.port);
    struct json_object *json = json_object_new_object();
    struct json_object *counters = json_object_new_object();

    mr_perf_add_port_stats(json, &during);
    mr_bench_count(json, "tx_refused",
                   r->end.report.stats.tx_refused - r->begin.report.stats.tx_refused);
    for (uint32_t i = 0; i < r->counters_end.count && i < r->counters_begin.count; i++)
        mr_bench_count(counters, r->counters_end.counter[i].name,
                       mr_perf_port_counted(r->counters_begin.counter[i].value,
                                            r->counters_end.counter[i].value));
    json_object_object_add(json, "counters", counters);
    return json;
}

static struct json_object *port_json(const struct mr_perf *perf)
{
    struct json_object *json = mr_perf_port_counts_json(&perf->result);

    mr_perf_add_port_facts(json, perf->host_options.port, &perf->result.port);
    return json;
}

struct json_object *mr_perf_losses_between_json(const struct mr_perf_result *r)
{
    struct mr_port_losses losses;

    losses_between(r, &losses);
    return mr_perf_losses_json(&losses);
}

static struct json_object *losses_json(const struct mr_perf_result *r)
{
    struct json_object *json = mr_perf_losses_between_json(r);

    json_object_object_add(json, "asked", mr_perf_loss_rates_json(&r->end.losses.rates));
    return json;
}

static struct json_object *trials_json(const struct mr_perf_result *r)
{
    struct json_object *list = json_object_new_array();

    for (uint32_t i = 0; i < r->trial_count; i++) {
        struct json_object *json = json_object_new_object();

        mr_bench_real(json, "rate", r->trials[i].rate);
        mr_bench_real(json, "done_per_s", r->trials[i].done);
        mr_bench_real(json, "late_part", r->trials[i].late);
        mr_bench_real(json, "late_stalled_part", r->trials[i].late_stalled);
        mr_bench_real(json, "port_drop_part", r->trials[i].dropped);
        mr_bench_count(json, "failed", r->trials[i].failed);
        mr_bench_count(json, "not_begun", r->trials[i].not_begun);
        json_object_object_add(json, "kept", json_object_new_boolean(r->trials[i].is_kept));
        json_object_array_add(list, json);
    }
    return list;
}

static struct json_object *samples_json(const struct mr_perf_result *r)
{
    struct json_object *list = json_object_new_array();

    for (uint32_t i = 0; i < r->sample_count; i++) {
        const struct mr_perf_sample *s = &r->samples[i];
        struct json_object *json = json_object_new_object();

        mr_bench_real(json, "at_s", s->at_s);
        mr_bench_real(json, "up_bps", s->up_bps);
        mr_bench_real(json, "down_bps", s->down_bps);
        mr_bench_real(json, "done_per_s", s->done_ps);
        mr_bench_real(json, "lost_part", s->lost);
        mr_bench_real(json, "busiest", s->busy);
        json_object_object_add(json, "measured", json_object_new_boolean(s->is_measured));
        json_object_array_add(list, json);
    }
    return list;
}

static struct json_object *limit_json(const struct mr_perf_result *r)
{
    struct json_object *json = json_object_new_object();

    mr_bench_text(json, "what", mr_perf_limit_name(r->limit));
    mr_bench_text(json, "why", r->why);
    mr_bench_real(json, "busiest", r->figures.busiest);
    mr_bench_ratio(json, "cpu_share", 1 - r->figures.core_wait, r->figures.knows_waits);
    mr_bench_text(json, "stage", r->figures.stage);
    mr_bench_real(json, "stage_part", r->figures.stage_part);
    mr_bench_real(json, "port_drop_part", r->figures.port_drop_part);
    mr_bench_real(json, "stalled_part", r->figures.stalled_part);
    mr_bench_real(json, "silent_s", r->figures.silent_s);
    mr_bench_real(json, "loss_part", r->figures.loss_part);
    json_object_object_add(json, "not_sending_for", mr_perf_limited_json(r->figures.limited));
    return json;
}

static struct json_object *failures_json(const struct mr_perf_result *r)
{
    struct json_object *list = json_object_new_array();

    for (uint32_t i = 0; i < r->reason_count; i++) {
        struct json_object *json = json_object_new_object();

        mr_bench_text(json, "what", r->reasons[i].text);
        mr_bench_count(json, "count", r->reasons[i].count);
        json_object_array_add(list, json);
    }
    return list;
}

static void print_json(const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;
    struct json_object *json = json_object_new_object();
    struct json_object *kinds = json_object_new_array();

    mr_bench_text(json, "server", perf->server_text);
    mr_bench_count(json, "shards", perf->host_options.shards);
    mr_bench_text(json, "loop", perf->plan.is_open_loop ? "open" : "closed");
    mr_bench_real(json, "rate_asked", perf->rate);
    mr_bench_count(json, "streams", perf->streams);
    mr_bench_count(json, "connections", perf->connections);
    mr_bench_count(json, "connections_open", r->open);
    mr_bench_real(json, "connect_s", r->connect_s);
    mr_bench_real(json, "warm_up_s", perf->warm_up_s);
    mr_bench_real(json, "duration_s", perf->duration_s);
    mr_bench_real(json, "timeout_s", perf->timeout_s);
    mr_bench_real(json, "measured_s", r->seconds);
    json_object_object_add(json, "interrupted", json_object_new_boolean(r->is_interrupted));
    json_object_object_add(json, "not_measured",
                           r->not_measured[0] == '\0' ? NULL
                                                      : json_object_new_string(r->not_measured));
    json_object_object_add(json, "not_kept",
                           r->not_kept[0] == '\0' ? NULL : json_object_new_string(r->not_kept));
    mr_bench_real(json, "up_bps", 8 * mr_perf_per_second(r, COUNTED(r, bytes_up)));
    mr_bench_real(json, "down_bps", 8 * mr_perf_per_second(r, COUNTED(r, bytes_down)));
    mr_bench_real(json, "done_per_s", mr_perf_per_second(r, COUNTED(r, done)));
    mr_bench_count(json, "failed", COUNTED(r, failed));
    mr_bench_count(json, "lost", COUNTED(r, lost));
    mr_bench_count(json, "late", COUNTED(r, late));
    mr_bench_count(json, "not_begun", COUNTED(r, not_begun));
    mr_bench_count(json, "unfinished", r->unfinished);
    mr_bench_count(json, "resumed", COUNTED(r, resumed));
    mr_bench_count(json, "early", COUNTED(r, early));
    for (uint32_t k = 0; k < perf->plan.kind_count; k++)
        json_object_array_add(kinds, kind_json(perf, k));
    json_object_object_add(json, "operations", kinds);
    json_object_object_add(json, "machine", mr_perf_machine_json());
    json_object_object_add(json, "port", port_json(perf));
    json_object_object_add(json, "loss", losses_json(r));
    json_object_object_add(json, "quic", mr_perf_counters_json(&r->begin.report, &r->end.report));
    json_object_object_add(json, "far_side", json_object_get(r->far));
    if (r->far_why[0] != '\0')
        mr_bench_text(json, "far_side_missing", r->far_why);
    json_object_object_add(json, "limited_by", limit_json(r));
    json_object_object_add(json, "failures", failures_json(r));
    json_object_object_add(json, "tried", trials_json(r));
    json_object_object_add(json, "time_line", samples_json(r));
    puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY));
    json_object_put(json);
}

static void print_table(const struct mr_perf *perf)
{
    print_head(perf);
    print_trials(&perf->result);
    if (perf->result.not_measured[0] != '\0') {
        print_not_measured(perf);
        return;
    }
    print_kinds(perf);
    print_rest(perf);
}

int mr_perf_report(const struct mr_perf *perf, uint32_t lost_mbufs)
{
    const struct mr_perf_result *r = &perf->result;

    if (perf->is_json)
        print_json(perf);
    else
        print_table(perf);
    if (r->not_measured[0] != '\0')
        fprintf(stderr, "millrace perf client: nothing was measured: %s\n", r->not_measured);
    if (lost_mbufs > 0)
        fprintf(stderr, "millrace perf client: %u mbufs lost; please report this\n", lost_mbufs);
    bool is_whole = r->not_measured[0] == '\0' && r->unfinished == 0 && r->far_why[0] == '\0';
    return failures(perf) > 0 || !is_whole || lost_mbufs > 0 ? MR_EXIT_FAILED : MR_EXIT_OK;
}
