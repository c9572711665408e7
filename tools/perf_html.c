/* tools/perf_html.c - the results of `millrace perf client` as a page that needs nothing else:
 * tables and plots (perf_plot.h). */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/perf_facts.h"
#include "tools/perf_internal.h"
#include "tools/perf_plot.h"

typedef unsigned long long number; /* as printf wants it */

#define POINTS      200 /* of a latency curve */
#define DECADES_MAX 20.0
#define NINES       5.0  /* where it ends: 99.999 % */
#define POINTS_AT   1500 /* of a time line, at most: more are drawn as means of their neighbours */

/* ------------------------------------------------------------------ text */

/* What a user typed may hold anything. */
static void put_text(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", to);
            break;
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            fputc(*text, to);
        }
    }
}

/* ------------------------------------------------------------------ over time */

static double up_of(const struct mr_perf_sample *s)
{
    return s->up_bps;
}
static double down_of(const struct mr_perf_sample *s)
{
    return s->down_bps;
}
static double done_of(const struct mr_perf_sample *s)
{
    return s->done_ps;
}
static double lost_of(const struct mr_perf_sample *s)
{
    return 100 * s->lost;
}
static double busy_of(const struct mr_perf_sample *s)
{
    return 100 * s->busy;
}

typedef double (*figure)(const struct mr_perf_sample *);

static double largest(const struct mr_perf_result *r, figure of)
{
    double most = 0;

    for (uint32_t i = 0; i < r->sample_count; i++)
        most = MR_MAX(most, of(&r->samples[i]));
    return most;
}

static void put_line(const struct mr_plot *plot, const struct mr_perf_result *r, figure of,
                     uint32_t series)
{
    uint32_t step = r->sample_count / POINTS_AT + 1;

    mr_plot_begin_line(plot, series);
    for (uint32_t i = 0; i < r->sample_count; i += step) {
        uint32_t end = MR_MIN(i + step, r->sample_count);
        double sum = 0;

        for (uint32_t k = i; k < end; k++)
            sum += of(&r->samples[k]);
        mr_plot_point(plot, r->samples[end - 1].at_s, sum / (end - i));
    }
    mr_plot_end_line(plot);
}

/* What is not measured: the search, the warm-up. */
static void shade_warm_up(const struct mr_plot *plot, const struct mr_perf_result *r)
{
    double until = plot->x.from;

    for (uint32_t i = 0; i < r->sample_count && !r->samples[i].is_measured; i++)
        until = r->samples[i].at_s;
    mr_plot_shade(plot, until);
}

/* `top`: of the y axis; 0: what the figures need. */
static void put_time_line(FILE *to, const struct mr_perf_result *r, const char *title,
                          const char *unit, const figure figures[2], double top)
{
    struct mr_plot plot = {
        .to = to, .x = {0, r->samples[r->sample_count - 1].at_s, "s"}, .y = {0, top, unit}};

    for (int i = 0; i < 2 && top == 0; i++) {
        if (figures[i] != NULL)
            plot.y.to = MR_MAX(plot.y.to, 1.05 * largest(r, figures[i]));
    }
    plot.y.to = plot.y.to == 0 ? 1 : plot.y.to;
    mr_plot_begin(&plot, title);
    shade_warm_up(&plot, r);
    mr_plot_ticks(&plot);
    for (uint32_t i = 0; i < 2; i++) {
        if (figures[i] != NULL)
            put_line(&plot, r, figures[i], i);
    }
    mr_plot_end(&plot);
}

static void put_time_lines(FILE *to, const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;
    bool is_lossy = perf->loss_text != NULL || perf->far_loss_text != NULL;

    if (r->sample_count < 2)
        return;
    put_time_line(to, r,
                  "Goodput: <span class=\"t0\">up</span>, <span class=\"t1\">down</span> (shaded: "
                  "not measured)",
                  "bit/s", (const figure[2]){up_of, down_of}, 0);
    if (largest(r, done_of) > 0)
        put_time_line(to, r, "Operations done", "/s", (const figure[2]){done_of, NULL}, 0);
    if (is_lossy || largest(r, lost_of) > 0)
        put_time_line(to, r, "Packets that this side declared lost, of those that it sent", "%",
                      (const figure[2]){lost_of, NULL}, 0);
    put_time_line(to, r, "Busiest polling core of this side", "%", (const figure[2]){busy_of, NULL},
                  100);
}

/* ------------------------------------------------------------------ the search */

static void put_trials(FILE *to, const struct mr_perf_result *r)
{
    struct mr_plot plot = {.to = to, .x = {0, 0, "/s"}, .y = {0, 0, "/s"}};

    if (r->trial_count == 0)
        return;
    for (uint32_t i = 0; i < r->trial_count; i++) {
        plot.x.to = MR_MAX(plot.x.to, 1.05 * r->trials[i].rate);
        plot.y.to = MR_MAX(plot.y.to, 1.05 * r->trials[i].done);
    }
    plot.y.to = plot.y.to == 0 ? 1 : plot.y.to;
    double both = MR_MIN(plot.x.to, plot.y.to);
    mr_plot_begin(&plot,
                  "Rates tried: operations done over those due; filled: kept; the line: all");
    mr_plot_ticks(&plot);
    mr_plot_guide(&plot, both);
    for (uint32_t i = 0; i < r->trial_count; i++)
        mr_plot_mark(&plot, r->trials[i].is_kept ? 0 : 1, r->trials[i].rate, r->trials[i].done,
                     r->trials[i].is_kept);
    mr_plot_end(&plot);
}

/* ------------------------------------------------------------------ latency */

/* The decades of microseconds that all kinds' latencies lie in.  False: no operation has an end. */
static bool find_decades(const struct mr_perf *perf, struct mr_plot_axis *y)
{
    *y = (struct mr_plot_axis){DECADES_MAX, -DECADES_MAX, ""};
    for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
        const struct mr_histogram *h = &perf->result.kinds[k].latency;

        if (h->count == 0)
            continue;
        y->from = MR_MIN(y->from, floor(log10((double)MR_MAX(h->min, (uint64_t)1) * 1e-3)));
        y->to = MR_MAX(y->to, ceil(log10((double)MR_MAX(h->max, (uint64_t)1) * 1e-3)));
    }
    return y->from < y->to;
}

/* How far its curve goes: to the part of which it has one operation. */
static double nines_of(const struct mr_histogram *h)
{
    return MR_MIN(NINES, log10((double)MR_MAX(h->count, (uint64_t)2)));
}

static double longest(const struct mr_perf *perf)
{
    double most = 1;

    for (uint32_t k = 0; k < perf->plan.kind_count; k++)
        most = MR_MAX(most, ceil(nines_of(&perf->result.kinds[k].latency)));
    return most;
}

static void put_latency_line(const struct mr_plot *plot, const struct mr_histogram *h,
                             uint32_t series)
{
    double end = nines_of(h);

    mr_plot_begin_line(plot, series);
    for (int i = 0; i <= POINTS; i++) {
        double at = end * i / POINTS;
        uint64_t ns = mr_histogram_quantile(h, 1 - pow(10, -at));

        mr_plot_point(plot, at, log10((double)MR_MAX(ns, (uint64_t)1) * 1e-3));
    }
    mr_plot_end_line(plot);
}

/* Over the part of operations that took longer: 50 %, 90 %, 99 %, 99.9 %, each as wide as the last;
 * as far as there are so many. */
static void put_latency(FILE *to, const struct mr_perf *perf)
{
    struct mr_plot plot = {.to = to, .x = {0, longest(perf), ""}};
    char label[MR_PLOT_LABEL];

    if (!find_decades(perf, &plot.y))
        return;
    mr_plot_begin(&plot, "Latency, by the part of operations that took no longer");
    mr_plot_x_label(&plot, 0, "0");
    mr_plot_x_label(&plot, -log10(0.5), "50 %");
    for (int nines = 1; nines <= (int)plot.x.to; nines++) {
        snprintf(label, sizeof(label), "%.*f %%", MR_MAX(nines - 2, 0),
                 100 * (1 - pow(10, -nines)));
        mr_plot_x_label(&plot, nines, label);
    }
    for (double decade = plot.y.from; decade <= plot.y.to; decade++)
        mr_plot_y_label(&plot, decade, mr_plot_time(pow(10, decade), label));
    for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
        if (perf->result.kinds[k].latency.count > 0)
            put_latency_line(&plot, &perf->result.kinds[k].latency, k);
    }
    mr_plot_end(&plot);
}

/* ------------------------------------------------------------------ tables */

static bool has_resumed(const struct mr_perf *perf)
{
    bool has = false;

    for (uint32_t k = 0; k < perf->plan.kind_count; k++)
        has |= perf->plan.kind[k].is_resumed;
    return has;
}

static bool has_early(const struct mr_perf *perf)
{
    bool has = false;

    for (uint32_t k = 0; k < perf->plan.kind_count; k++)
        has |= perf->plan.kind[k].is_early;
    return has;
}

/* A cell of a column that is there where some kind has such a count. */
static void put_some(FILE *to, bool is_there, bool is_its, uint64_t count)
{
    if (is_there && is_its)
        fprintf(to, "<td>%llu", (number)count);
    else if (is_there)
        fprintf(to, "<td>-");
}

static void put_kinds(FILE *to, const struct mr_perf *perf)
{
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999, 1};
    const struct mr_perf_result *r = &perf->result;
    char text[MR_PLOT_LABEL];

    fprintf(to,
            "<div class=\"wide\"><table><tr><th>operation<th>done/s<th>begun<th>done<th>failed"
            "<th>p50<th>p90<th>p99<th>p99.9<th>max%s%s</tr>\n",
            has_resumed(perf) ? "<th>resumed" : "", has_early(perf) ? "<th>0-RTT" : "");
    for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
        const struct mr_perf_kind_result *kind = &r->kinds[k];
        char name[MR_PERF_NAME];

        fprintf(to, "<tr><td><span class=\"t%u\">&#9632;</span> %s<td>%.1f<td>%llu<td>%llu<td>%llu",
                k, mr_perf_kind_name(&perf->plan.kind[k], name), mr_perf_done_per_second(r, k),
                (number)kind->begun, (number)kind->done, (number)kind->failed);
        for (size_t q = 0; q < MR_COUNT_OF(quantiles); q++) {
            uint64_t ns = mr_histogram_quantile(&kind->latency, quantiles[q]);

            fprintf(to, "<td>%s",
                    kind->latency.count == 0 ? "-" : mr_plot_time((double)ns * 1e-3, text));
        }
        put_some(to, has_resumed(perf), perf->plan.kind[k].is_resumed, kind->resumed);
        put_some(to, has_early(perf), perf->plan.kind[k].is_early, kind->early);
        fprintf(to, "</tr>\n");
    }
    fprintf(to, "</table></div>\n");
}

/* What became of the others, and whether this side kept up. */
static void put_outcome(FILE *to, const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;
    const struct mr_perf_counts *from = &r->begin.counts;
    const struct mr_perf_counts *until = &r->end.counts;
    char stalled[MR_PERF_PERCENT];
    char share[MR_PERF_PERCENT];

    fprintf(
        to,
        "<div class=\"wide\"><table class=\"outcome\"><tr><th>begun late<th>not begun<th>unfinished"
        "<th>connections lost<th>this side stood still<th>part of the time"
        "<th>had of its core</tr>\n");
    fprintf(to,
            "<tr><td>%llu<td>%llu<td>%llu<td>%llu<td>%llu time%s<td>%s<td>%s</tr></table></div>\n",
            (number)(until->late - from->late), (number)(until->not_begun - from->not_begun),
            (number)r->unfinished, (number)(until->lost - from->lost),
            (number)(until->stalls - from->stalls), until->stalls - from->stalls == 1 ? "" : "s",
            mr_perf_percent(r->figures.stalled_part, stalled),
            r->figures.knows_waits ? mr_perf_percent(1 - r->figures.core_wait, share) : "-");
}

static struct json_object *member_of(struct json_object *json, const char *name)
{
    struct json_object *member = NULL;

    return json_object_object_get_ex(json, name, &member) ? member : NULL;
}

static bool is_nothing(struct json_object *value)
{
    return value == NULL ||
           (json_object_is_type(value, json_type_int) && json_object_get_int64(value) == 0) ||
           (json_object_is_type(value, json_type_string) && json_object_get_string_len(value) == 0);
}

enum rows {
    ALL,
    FACTS,      /* what is nothing is not known */
    NOT_NOTHING /* what is nothing on both sides is left out */
};

struct sides {
    FILE *to;
    bool has_far;
};

static void put_cell(const struct sides *sides, enum rows which, struct json_object *value)
{
    bool is_told = value != NULL && (which != FACTS || !is_nothing(value));

    fprintf(sides->to, "<td>");
    put_text(sides->to, is_told ? json_object_get_string(value) : which == FACTS ? "unknown" : "-");
}

/* A figure or text that either side has. */
static void put_row(const struct sides *sides, enum rows which, const char *name,
                    struct json_object *near, struct json_object *far)
{
    FILE *to = sides->to;
    bool is_plain =
        !json_object_is_type(near, json_type_object) && !json_object_is_type(far, json_type_object);

    if (!is_plain || (which == NOT_NOTHING && is_nothing(near) && is_nothing(far)))
        return;
    fprintf(to, "<tr><td>");
    put_text(to, name);
    put_cell(sides, which, near);
    if (sides->has_far)
        put_cell(sides, which, far);
    fprintf(to, "</tr>\n");
}

static void put_rows(const struct sides *sides, enum rows which, struct json_object *near,
                     struct json_object *far)
{
    struct json_object_iter of;

    json_object_object_foreachC(near, of)
    {
        put_row(sides, which, of.key, of.val, member_of(far, of.key));
    }
    if (far == NULL)
        return;
    json_object_object_foreachC(far, of)
    {
        if (!json_object_object_get_ex(near, of.key, NULL))
            put_row(sides, which, of.key, NULL, of.val);
    }
}

static void begin_sides(const struct sides *sides, const char *title, const char *classes)
{
    fprintf(sides->to,
            "<h2>%s</h2>\n<div class=\"wide\"><table class=\"%s\"><tr><th><th>this side%s</tr>\n",
            title, classes, sides->has_far ? "<th>far side" : "");
}

static void end_sides(const struct sides *sides)
{
    fprintf(sides->to, "</table></div>\n");
}

/* What was counted while measuring, the port's beside QUIC's, of both sides. */
static void put_counters(FILE *to, const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;
    struct json_object *counts = member_of(r->far, "counts");
    struct json_object *far_port = member_of(counts, "port");
    struct json_object *port = mr_perf_port_counts_json(r);
    struct json_object *quic = mr_perf_counters_json(&r->begin.report, &r->end.report);
    struct json_object *losses = mr_perf_losses_between_json(r);
    const struct sides sides = {.to = to, .has_far = counts != NULL};

    begin_sides(&sides, "Port, while measuring: sums and drops; each of the driver's counters", "");
    put_rows(&sides, ALL, port, far_port);
    put_rows(&sides, NOT_NOTHING, member_of(port, "counters"), member_of(far_port, "counters"));
    end_sides(&sides);
    if (perf->loss_text != NULL || perf->far_loss_text != NULL) {
        begin_sides(&sides, "Datagrams lost on purpose, and of how many", "");
        put_rows(&sides, ALL, losses, member_of(counts, "loss"));
        end_sides(&sides);
    }
    begin_sides(&sides, "Network layer and QUIC, while measuring", "");
    put_rows(&sides, NOT_NOTHING, quic, member_of(counts, "quic"));
    end_sides(&sides);
    json_object_put(port);
    json_object_put(quic);
    json_object_put(losses);
}

static void put_facts(FILE *to, const struct mr_perf *perf)
{
    struct json_object *facts = member_of(perf->result.far, "facts");
    struct json_object *machine = mr_perf_machine_json();
    struct json_object *port = json_object_new_object();
    const struct sides sides = {.to = to, .has_far = facts != NULL};

    mr_perf_add_port_facts(port, perf->host_options.port, &perf->result.port);
    begin_sides(&sides, "Machines and ports", "facts");
    put_rows(&sides, FACTS, machine, member_of(facts, "machine"));
    put_rows(&sides, FACTS, port, member_of(facts, "port"));
    end_sides(&sides);
    json_object_put(machine);
    json_object_put(port);
}

static void put_failures(FILE *to, const struct mr_perf_result *r)
{
    if (r->reason_count == 0)
        return;
    fprintf(to, "<h2>Failures</h2>\n<div class=\"wide\"><table>\n");
    for (uint32_t i = 0; i < r->reason_count; i++) {
        fprintf(to, "<tr><td>");
        put_text(to, r->reasons[i].text);
        fprintf(to, "<td>%llu</tr>\n", (number)r->reasons[i].count);
    }
    fprintf(to, "</table></div>\n");
}

/* ------------------------------------------------------------------ the page */

static void put_head(FILE *to)
{
    fprintf(
        to,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>millrace perf</title>\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n"
        "<style>:root{--back:#fff;--fore:#222;--rule:#ddd;--told:#eef5fb}\n"
        "@media(prefers-color-scheme:dark){:root{--back:#161616;--fore:#ddd;--rule:#3a3a3a;"
        "--told:#17293a}}\n"
        "%s"
        "body{font:14px sans-serif;margin:2em auto;padding:0 "
        "1em;max-width:1040px;color:var(--fore);"
        "background:var(--back)}"
        "h1{font-size:22px;overflow-wrap:anywhere}h2{font-size:16px;margin:1.6em 0 .4em}"
        ".wide{overflow-x:auto}p{overflow-wrap:anywhere}"
        "table{border-collapse:collapse;margin-bottom:1em}td,th{padding:3px 8px;"
        "border-bottom:1px solid var(--rule);text-align:right;vertical-align:top;"
        "font-variant-numeric:tabular-nums;white-space:nowrap}"
        "td:first-child,th:first-child{text-align:left}"
        ".outcome td:first-child,.outcome th:first-child{text-align:right}"
        ".facts td,.facts th{text-align:left;white-space:normal}"
        ".limit{background:var(--told);border-left:4px solid var(--s0);padding:.6em 1em}"
        "</style>\n",
        mr_plot_style);
}

static void put_losses(FILE *to, const char *side, const struct mr_port_loss_rates *rates)
{
    fprintf(to,
            "At %s %g %% of the datagrams sent and %g %% of those received are lost on purpose. ",
            side, 100 * rates->sent, 100 * rates->received);
}

static void put_summary(FILE *to, const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;

    fprintf(to, "<h1>millrace perf: ");
    put_text(to, perf->server_text);
    fprintf(to, "</h1>\n<p>Port ");
    put_text(to, perf->host_options.port);
    fprintf(to, ", %u shard%s, %u connection%s (%u open at the end). ", perf->host_options.shards,
            perf->host_options.shards == 1 ? "" : "s", perf->connections,
            perf->connections == 1 ? "" : "s", r->open);
    if (perf->is_search && r->not_measured[0] != '\0')
        fprintf(to, "Open loop (%s), a search: the best rate that was kept is %.6g operations/s. ",
                perf->is_even ? "even" : "Poisson", perf->rate);
    else if (perf->plan.is_open_loop)
        fprintf(to, "Open loop: %.6g operations/s were due (%s%s). ", perf->rate,
                perf->is_even ? "even" : "Poisson",
                perf->is_search ? "; the highest rate that the search kept" : "");
    else
        fprintf(to, "Closed loop: %u operation%s at a time of each connection. ", perf->streams,
                perf->streams == 1 ? "" : "s");
    if (perf->loss_text != NULL)
        put_losses(to, "this side", &perf->loss);
    if (perf->far_loss_text != NULL)
        put_losses(to, "the far side", &perf->far_loss);
    if (r->not_measured[0] != '\0') {
        fprintf(to, "</p>\n<p class=\"limit\">Not measured: ");
        put_text(to, r->not_measured);
        fprintf(to, ".</p>\n");
        return;
    }
    fprintf(to,
            "All connections were opened first; then the load was on for %g s uncounted and %.2f s "
            "measured; what was begun by then could end within %g s.</p>\n"
            "<p class=\"limit\">Limited by ",
            perf->warm_up_s, r->seconds, perf->timeout_s);
    put_text(to, r->why);
    fprintf(to, ".</p>\n");
    if (r->not_kept[0] != '\0')
        fprintf(to, "<p class=\"limit\">The search found %.6g/s; %s.</p>\n", perf->rate,
                r->not_kept);
    if (r->far_why[0] != '\0') {
        fprintf(to, "<p class=\"limit\">Figures of the far side are missing: ");
        put_text(to, r->far_why);
        fprintf(to, ".</p>\n");
    }
    if (r->is_interrupted)
        fprintf(to, "<p class=\"limit\">Interrupted: %.2f s of %g s were measured.</p>\n",
                r->seconds, perf->duration_s);
}

bool mr_perf_html_open(struct mr_perf *perf, struct mr_fault *fault)
{
    const char *path = perf->html_path;

    if (path == NULL)
        return true;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    perf->is_html_new = fd >= 0;
    if (fd < 0 && errno == EEXIST)
        fd = open(path, O_WRONLY | O_CLOEXEC);
    perf->html = fd < 0 ? NULL : fdopen(fd, "w");
    if (perf->html != NULL)
        return true;
    mr_fault_set(fault, errno, "--html %.100s: %s", path, strerror(errno));
    return false;
}

static void put_page(FILE *to, const struct mr_perf *perf)
{
    bool is_measured = perf->result.not_measured[0] == '\0';

    put_head(to);
    put_summary(to, perf);
    if (is_measured) {
        put_kinds(to, perf);
        put_outcome(to, perf);
    }
    put_failures(to, &perf->result);
    if (is_measured)
        put_latency(to, perf);
    put_time_lines(to, perf);
    put_trials(to, &perf->result);
    if (is_measured)
        put_counters(to, perf);
    put_facts(to, perf);
    fprintf(to, "</html>\n");
}

bool mr_perf_html_close(struct mr_perf *perf, bool is_measured, struct mr_fault *fault)
{
    FILE *to = perf->html;
    bool was_lost = false;

    if (to == NULL)
        return true;
    perf->html = NULL;
    if (is_measured) {
        (void)ftruncate(fileno(to), 0); /* a pipe has no length */
        put_page(to, perf);
        was_lost = ferror(to) != 0;
    } else if (perf->is_html_new) {
        (void)unlink(perf->html_path);
    }
    if (fclose(to) == 0 && !was_lost)
        return true;
    mr_fault_set(fault, errno, "--html %.100s cannot be written: %s", perf->html_path,
                 strerror(errno));
    return false;
}
