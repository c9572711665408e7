/* tools/perf_html.c - the results of `millrace perf client` as a page that needs nothing else:
 * tables and plots (SVG). */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/perf_internal.h"

typedef unsigned long long number; /* as printf wants it */

#define WIDTH       900
#define HEIGHT      240
#define LEFT        80 /* of the drawing: room for labels */
#define RIGHT       40
#define TOP         16
#define BOTTOM      34
#define TICKS       5
#define LABEL       32  /* bytes */
#define POINTS      200 /* of a latency curve */
#define DECADES_MAX 20.0
#define NINES       5.0  /* where it ends: 99.999 % */
#define POINTS_AT   1500 /* of a time line, at most: more are drawn as means of their neighbours */

/* A figure over an axis. */
struct axis {
    double from;
    double to;
    const char *unit;
};

static const char *const colours[MR_PERF_KINDS_MAX] = {"#1f6fb2", "#d1495b", "#2e8b57", "#e08e0b",
                                                       "#6a4c93", "#008b8b", "#8b4513", "#555555"};

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

static const char *short_number(double value, const char *unit, char text[LABEL])
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    size_t i = 0;

    while (fabs(value) >= 999.5 && i + 1 < MR_COUNT_OF(prefixes)) {
        value /= 1000;
        i++;
    }
    snprintf(text, LABEL, "%.3g %s%s", value, prefixes[i], unit);
    return text;
}

static const char *short_time(double us, char text[LABEL])
{
    if (us < 1e3)
        snprintf(text, LABEL, "%.3g us", us);
    else if (us < 1e6)
        snprintf(text, LABEL, "%.3g ms", us * 1e-3);
    else
        snprintf(text, LABEL, "%.3g s", us * 1e-6);
    return text;
}

/* ------------------------------------------------------------------ plots */

static double x_of(const struct axis *x, double value)
{
    return LEFT + (value - x->from) / (x->to - x->from) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct axis *y, double value)
{
    return HEIGHT - BOTTOM - (value - y->from) / (y->to - y->from) * (HEIGHT - TOP - BOTTOM);
}

static void begin_plot(FILE *to, const char *title)
{
    fprintf(to, "<h2>%s</h2>\n<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", title, WIDTH, HEIGHT);
    fprintf(to, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" class=\"frame\"/>\n", LEFT, TOP,
            WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
}

static void put_x_label(FILE *to, double x, const char *label)
{
    fprintf(to,
            "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" class=\"grid\"/>"
            "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
            x, TOP, x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 18, label);
}

static void put_y_label(FILE *to, double y, const char *label)
{
    fprintf(to,
            "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" class=\"grid\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            LEFT, y, WIDTH - RIGHT, y, LEFT - 6, y + 4, label);
}

/* The least of 1, 2, 5, 10, 20, ... by which TICKS steps reach the end. */
static double step_of(const struct axis *axis)
{
    double least = (axis->to - axis->from) / TICKS;
    double decade = pow(10, floor(log10(least)));

    return decade * (least <= decade ? 1 : least <= 2 * decade ? 2 : least <= 5 * decade ? 5 : 10);
}

static void put_ticks(FILE *to, const struct axis *x, const struct axis *y)
{
    char label[LABEL];

    for (double at = x->from; at <= x->to; at += step_of(x)) {
        snprintf(label, sizeof(label), "%.4g %s", at, x->unit);
        put_x_label(to, x_of(x, at), label);
    }
    for (double at = y->from; at <= y->to; at += step_of(y))
        put_y_label(to, y_of(y, at), short_number(at, y->unit, label));
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

static void put_line(FILE *to, const struct mr_perf_result *r, const struct axis *x,
                     const struct axis *y, figure of, const char *colour)
{
    uint32_t step = r->sample_count / POINTS_AT + 1;

    fprintf(to, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", colour);
    for (uint32_t i = 0; i < r->sample_count; i += step) {
        uint32_t end = MR_MIN(i + step, r->sample_count);
        double sum = 0;

        for (uint32_t k = i; k < end; k++)
            sum += of(&r->samples[k]);
        fprintf(to, "%.1f,%.1f ", x_of(x, r->samples[end - 1].at_s), y_of(y, sum / (end - i)));
    }
    fprintf(to, "\"/>\n");
}

/* The warm-up, shaded. */
static void put_warm_up(FILE *to, const struct mr_perf_result *r, const struct axis *x)
{
    double until = x->from;

    for (uint32_t i = 0; i < r->sample_count && !r->samples[i].is_measured; i++)
        until = r->samples[i].at_s;
    fprintf(to, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" class=\"warm\"/>\n", LEFT,
            TOP, x_of(x, until) - LEFT, HEIGHT - TOP - BOTTOM);
}

static void put_time_line(FILE *to, const struct mr_perf_result *r, const char *title,
                          const char *unit, const figure figures[2], double top)
{
    const struct axis x = {0, r->samples[r->sample_count - 1].at_s, "s"};
    struct axis y = {0, top, unit};

    for (int i = 0; i < 2 && top == 0; i++) {
        if (figures[i] != NULL)
            y.to = MR_MAX(y.to, 1.05 * largest(r, figures[i]));
    }
    y.to = y.to == 0 ? 1 : y.to;
    begin_plot(to, title);
    put_warm_up(to, r, &x);
    put_ticks(to, &x, &y);
    for (int i = 0; i < 2; i++) {
        if (figures[i] != NULL)
            put_line(to, r, &x, &y, figures[i], colours[i]);
    }
    fprintf(to, "</svg>\n");
}

static void put_time_lines(FILE *to, const struct mr_perf_result *r)
{
    if (r->sample_count < 2)
        return;
    put_time_line(to, r,
                  "Goodput: <span style=\"color:#1f6fb2\">up</span>, "
                  "<span style=\"color:#d1495b\">down</span> (shaded: warm-up)",
                  "bit/s", (const figure[2]){up_of, down_of}, 0);
    put_time_line(to, r, "Operations done", "/s", (const figure[2]){done_of, NULL}, 0);
    put_time_line(to, r, "Busiest polling core of this side", "%", (const figure[2]){busy_of, NULL},
                  100);
}

/* ------------------------------------------------------------------ latency */

/* Over the part of operations that took longer: 50 %, 90 %, 99 %, 99.9 %, each as wide as the last.
 */
static void put_latency(FILE *to, const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;
    const struct axis x = {0, NINES, ""};
    struct axis y = {DECADES_MAX, -DECADES_MAX, ""}; /* of us */
    char label[LABEL];

    for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
        const struct mr_histogram *h = &r->kinds[k].latency;

        if (h->count == 0)
            continue;
        y.from = MR_MIN(y.from, floor(log10((double)MR_MAX(h->min, (uint64_t)1) * 1e-3)));
        y.to = MR_MAX(y.to, ceil(log10((double)MR_MAX(h->max, (uint64_t)1) * 1e-3)));
    }
    if (y.from >= y.to)
        return; /* no operation has an end */
    begin_plot(to, "Latency, by the part of operations that took no longer");
    put_x_label(to, x_of(&x, 0), "0");
    put_x_label(to, x_of(&x, -log10(0.5)), "50 %");
    for (int nines = 1; nines <= (int)NINES; nines++) {
        snprintf(label, sizeof(label), "%.*f %%", MR_MAX(nines - 2, 0),
                 100 * (1 - pow(10, -nines)));
        put_x_label(to, x_of(&x, nines), label);
    }
    for (double decade = y.from; decade <= y.to; decade++)
        put_y_label(to, y_of(&y, decade), short_time(pow(10, decade), label));
    for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
        const struct mr_histogram *h = &r->kinds[k].latency;

        if (h->count == 0)
            continue;
        fprintf(to, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"",
                colours[k]);
        for (int i = 0; i <= POINTS; i++) {
            double at = NINES * i / POINTS;
            uint64_t ns = mr_histogram_quantile(h, 1 - pow(10, -at));

            fprintf(to, "%.1f,%.1f ", x_of(&x, at),
                    y_of(&y, log10((double)MR_MAX(ns, (uint64_t)1) * 1e-3)));
        }
        fprintf(to, "\"/>\n");
    }
    fprintf(to, "</svg>\n");
}

/* ------------------------------------------------------------------ tables */

static void put_kinds(FILE *to, const struct mr_perf *perf)
{
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999, 1};
    const struct mr_perf_result *r = &perf->result;
    char text[LABEL];

    fprintf(to, "<table><tr><th>operation<th>done/s<th>begun<th>done<th>failed<th>p50<th>p90<th>p99"
                "<th>p99.9<th>max</tr>\n");
    for (uint32_t k = 0; k < perf->plan.kind_count; k++) {
        const struct mr_perf_kind_result *kind = &r->kinds[k];
        char name[MR_PERF_NAME];

        fprintf(
            to,
            "<tr><td><span style=\"color:%s\">&#9632;</span> %s<td>%.1f<td>%llu<td>%llu<td>%llu",
            colours[k], mr_perf_kind_name(&perf->plan.kind[k], name),
            (double)kind->done / r->seconds, (number)kind->begun, (number)kind->done,
            (number)kind->failed);
        for (size_t q = 0; q < MR_COUNT_OF(quantiles); q++) {
            uint64_t ns = mr_histogram_quantile(&kind->latency, quantiles[q]);

            fprintf(to, "<td>%s",
                    kind->latency.count == 0 ? "-" : short_time((double)ns * 1e-3, text));
        }
        fprintf(to, "</tr>\n");
    }
    fprintf(to, "</table>\n");
}

static void put_row(FILE *to, const char *what, uint64_t value)
{
    fprintf(to, "<tr><td>%s<td>%llu</tr>\n", what, (number)value);
}

static void put_port(FILE *to, const struct mr_perf_result *r)
{
    const struct mr_port_stats *from = &r->begin.port;
    const struct mr_port_stats *end = &r->end.port;

    fprintf(to, "<h2>Port, while measuring</h2>\n<table>\n");
    put_row(to, "frames received", end->rx_packets - from->rx_packets);
    put_row(to, "frames sent", end->tx_packets - from->tx_packets);
    put_row(to, "rx_missed: no room in the receive queue", end->rx_missed - from->rx_missed);
    put_row(to, "rx_no_buffer: no buffer to receive into", end->rx_no_buffer - from->rx_no_buffer);
    put_row(to, "rx_errors", end->rx_errors - from->rx_errors);
    put_row(to, "tx_errors", end->tx_errors - from->tx_errors);
    put_row(to, "bursts that it did not take whole",
            r->end.report.stats.tx_refused - r->begin.report.stats.tx_refused);
    for (uint32_t i = 0; i < r->counters_end.count && i < r->counters_begin.count; i++) {
        uint64_t count = r->counters_end.counter[i].value - r->counters_begin.counter[i].value;

        if (count > 0)
            put_row(to, r->counters_end.counter[i].name, count);
    }
    fprintf(to,
            "</table>\n<p>Driver %s %s %s, %u Mbit/s, %u queues in and %u out of %u and %u "
            "descriptors; PCIe: %u lanes %s.</p>\n",
            r->port.driver, r->port.device, r->port.firmware, r->port.link_mbps, r->port.rx_queues,
            r->port.tx_queues, r->port.rx_descriptors, r->port.tx_descriptors, r->port.pcie_lanes,
            r->port.pcie_speed);
}

static void put_failures(FILE *to, const struct mr_perf_result *r)
{
    if (r->reason_count == 0)
        return;
    fprintf(to, "<h2>Failures</h2>\n<table>\n");
    for (uint32_t i = 0; i < r->reason_count; i++) {
        fprintf(to, "<tr><td>");
        put_text(to, r->reasons[i].text);
        fprintf(to, "<td>%llu</tr>\n", (number)r->reasons[i].count);
    }
    fprintf(to, "</table>\n");
}

static void put_head(FILE *to, const struct mr_perf *perf)
{
    const struct mr_perf_result *r = &perf->result;

    fprintf(
        to,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>millrace perf</title>\n"
        "<style>body{font:14px sans-serif;margin:2em auto;max-width:960px;color:#222}"
        "h1{font-size:22px}h2{font-size:16px;margin:1.6em 0 .4em}"
        "table{border-collapse:collapse}td,th{padding:3px 10px;border-bottom:1px solid #ddd;"
        "text-align:right}td:first-child,th:first-child{text-align:left}"
        "svg{width:100%%;font:11px sans-serif}.frame{fill:none;stroke:#999}"
        ".grid{stroke:#e4e4e4}.warm{fill:#f2f2f2}"
        ".limit{background:#eef5fb;border-left:4px solid #1f6fb2;padding:.6em 1em}</style>\n"
        "<h1>millrace perf: ");
    put_text(to, perf->server_text);
    fprintf(to, "</h1>\n<p>Port ");
    put_text(to, perf->host_options.port);
    fprintf(to, ", %u shard%s, %u connections (%u open at the end). ", perf->host_options.shards,
            perf->host_options.shards == 1 ? "" : "s", perf->connections, r->open);
    if (perf->plan.is_open_loop)
        fprintf(to, "Open loop: %.6g operations/s were due (%s). ", perf->rate,
                perf->is_even ? "even" : "Poisson");
    else
        fprintf(to, "Closed loop: %u operations at a time of each connection. ", perf->streams);
    fprintf(to, "Warm-up %g s, measured %.2f s.</p>\n<p class=\"limit\">Limited by ",
            perf->warm_up_s, r->seconds);
    put_text(to, r->why);
    fprintf(to, ".</p>\n");
}

bool mr_perf_html_write(const struct mr_perf *perf, const char *path, struct mr_fault *fault)
{
    FILE *to = fopen(path, "we");

    if (to == NULL) {
        mr_fault_set(fault, errno, "--html %.100s: %s", path, strerror(errno));
        return false;
    }
    put_head(to, perf);
    put_kinds(to, perf);
    put_latency(to, perf);
    put_time_lines(to, &perf->result);
    put_port(to, &perf->result);
    put_failures(to, &perf->result);
    fprintf(to, "</html>\n");
    bool was_lost = ferror(to) != 0;
    if (fclose(to) == 0 && !was_lost)
        return true;
    mr_fault_set(fault, errno, "--html %.100s cannot be written: %s", path, strerror(errno));
    return false;
}
