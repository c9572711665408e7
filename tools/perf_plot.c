/* tools/perf_plot.c - see perf_plot.h. */
#include "tools/perf_plot.h"

#include <math.h>

#include "base/compiler.h"

#define WIDTH  900
#define HEIGHT 240
#define LEFT   100 /* of the drawing: room for labels */
#define RIGHT  40
#define TOP    16
#define BOTTOM 40
#define LABEL  22 /* of the x axis, below it */
#define TICKS  5

const char mr_plot_style[] =
    ":root{--s0:#1f6fb2;--s1:#c8374b;--s2:#2e8b57;--s3:#c97a00;--s4:#6a4c93;--s5:#008b8b;"
    "--s6:#8b4513;--s7:#666;--grid:#e4e4e4;--frame:#999;--warm:#f2f2f2}\n"
    "@media(prefers-color-scheme:dark){:root{--s0:#6db3f2;--s1:#ff7b8b;--s2:#5fd08f;--s3:#f5b04a;"
    "--s4:#b79be8;--s5:#4fd1d1;--s6:#d9996b;--s7:#aaa;--grid:#333;--frame:#777;--warm:#262626}}\n"
    ".plot{overflow-x:auto}svg{display:block;width:100%;min-width:380px;font:12px sans-serif}"
    "svg text{fill:var(--fore)}"
    ".frame{fill:none;stroke:var(--frame)}.grid{stroke:var(--grid)}.guide{stroke:var(--frame);"
    "stroke-dasharray:4 4}.warm{fill:var(--warm)}"
    "polyline{fill:none;stroke-width:1.5;stroke-linejoin:round}circle{stroke-width:1.5}"
    "@media(max-width:640px){svg{font-size:17px}polyline{stroke-width:2.5}}"
    ".dot{fill:var(--s0)}.ring{fill:none}\n"
    ".s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}"
    ".s4{stroke:var(--s4)}.s5{stroke:var(--s5)}.s6{stroke:var(--s6)}.s7{stroke:var(--s7)}\n"
    ".t0{color:var(--s0)}.t1{color:var(--s1)}.t2{color:var(--s2)}.t3{color:var(--s3)}"
    ".t4{color:var(--s4)}.t5{color:var(--s5)}.t6{color:var(--s6)}.t7{color:var(--s7)}\n";

/* ------------------------------------------------------------------ figures */

const char *mr_plot_number(double value, const char *unit, char text[MR_PLOT_LABEL])
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    size_t i = 0;

    while (fabs(value) >= 999.5 && i + 1 < MR_COUNT_OF(prefixes)) {
        value /= 1000;
        i++;
    }
    snprintf(text, MR_PLOT_LABEL, "%.3g %s%s", value, prefixes[i], unit);
    return text;
}

const char *mr_plot_time(double us, char text[MR_PLOT_LABEL])
{
    if (us < 999.5)
        snprintf(text, MR_PLOT_LABEL, "%.3g us", us);
    else if (us < 999.5e3)
        snprintf(text, MR_PLOT_LABEL, "%.3g ms", us * 1e-3);
    else
        snprintf(text, MR_PLOT_LABEL, "%.3g s", us * 1e-6);
    return text;
}

/* ------------------------------------------------------------------ places */

static double x_of(const struct mr_plot *plot, double value)
{
    const struct mr_plot_axis *x = &plot->x;

    return LEFT + (value - x->from) / (x->to - x->from) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct mr_plot *plot, double value)
{
    const struct mr_plot_axis *y = &plot->y;

    return HEIGHT - BOTTOM - (value - y->from) / (y->to - y->from) * (HEIGHT - TOP - BOTTOM);
}

/* ------------------------------------------------------------------ frame and grid */

void mr_plot_begin(const struct mr_plot *plot, const char *title)
{
    fprintf(plot->to, "<h2>%s</h2>\n<div class=\"plot\"><svg viewBox=\"0 0 %d %d\" role=\"img\">\n",
            title, WIDTH, HEIGHT);
}

void mr_plot_end(const struct mr_plot *plot)
{
    fprintf(plot->to,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" class=\"frame\"/>\n</svg></div>\n",
            LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
}

void mr_plot_x_label(const struct mr_plot *plot, double at, const char *label)
{
    double x = x_of(plot, at);

    fprintf(plot->to,
            "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" class=\"grid\"/>"
            "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
            x, TOP, x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + LABEL, label);
}

void mr_plot_y_label(const struct mr_plot *plot, double at, const char *label)
{
    double y = y_of(plot, at);

    fprintf(plot->to,
            "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" class=\"grid\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            LEFT, y, WIDTH - RIGHT, y, LEFT - 6, y + 4, label);
}

/* The least of 1, 2, 5, 10, 20, ... by which TICKS steps reach the end. */
static double step_of(const struct mr_plot_axis *axis)
{
    double least = (axis->to - axis->from) / TICKS;
    double decade = pow(10, floor(log10(least)));

    return decade * (least <= decade ? 1 : least <= 2 * decade ? 2 : least <= 5 * decade ? 5 : 10);
}

void mr_plot_ticks(const struct mr_plot *plot)
{
    double x_step = step_of(&plot->x);
    double y_step = step_of(&plot->y);
    char label[MR_PLOT_LABEL];

    for (int i = 0; plot->x.from + i * x_step <= plot->x.to * (1 + 1e-9); i++) {
        double at = plot->x.from + i * x_step;

        mr_plot_x_label(plot, at, mr_plot_number(at, plot->x.unit, label));
    }
    for (int i = 0; plot->y.from + i * y_step <= plot->y.to * (1 + 1e-9); i++) {
        double at = plot->y.from + i * y_step;

        mr_plot_y_label(plot, at, mr_plot_number(at, plot->y.unit, label));
    }
}

void mr_plot_guide(const struct mr_plot *plot, double until)
{
    fprintf(plot->to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"guide\"/>\n",
            x_of(plot, plot->x.from), y_of(plot, plot->y.from), x_of(plot, until),
            y_of(plot, until));
}

void mr_plot_shade(const struct mr_plot *plot, double x)
{
    fprintf(plot->to, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" class=\"warm\"/>\n",
            LEFT, TOP, x_of(plot, x) - LEFT, HEIGHT - TOP - BOTTOM);
}

/* ------------------------------------------------------------------ series */

void mr_plot_begin_line(const struct mr_plot *plot, uint32_t series)
{
    fprintf(plot->to, "<polyline class=\"s%u\" points=\"", series % MR_PLOT_SERIES);
}

void mr_plot_point(const struct mr_plot *plot, double x, double y)
{
    fprintf(plot->to, "%.1f,%.1f ", x_of(plot, x), y_of(plot, y));
}

void mr_plot_end_line(const struct mr_plot *plot)
{
    fprintf(plot->to, "\"/>\n");
}

void mr_plot_mark(const struct mr_plot *plot, uint32_t series, double x, double y, bool is_filled)
{
    fprintf(plot->to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" class=\"s%u %s\"/>\n", x_of(plot, x),
            y_of(plot, y), series % MR_PLOT_SERIES, is_filled ? "dot" : "ring");
}
