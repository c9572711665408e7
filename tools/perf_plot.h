/*
 * tools/perf_plot.h - plots of a page, as SVG that takes its colours from the page's style sheet.
 *
 *     y    |            .--.
 *     label|   .-------'    \        frame, grid and labels; series 0.. have the classes s0..
 *          +------------------
 *                x labels
 *
 * Owner, threads: the caller's.
 */
#ifndef MR_TOOLS_PERF_PLOT_H
#define MR_TOOLS_PERF_PLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define MR_PLOT_LABEL  32 /* bytes */
#define MR_PLOT_SERIES 8  /* the style sheet's colours */

struct mr_plot_axis {
    double from;
    double to; /* above `from` */
    const char *unit;
};

struct mr_plot {
    FILE *to;
    struct mr_plot_axis x;
    struct mr_plot_axis y;
};

/* The rules of the style sheet for plots and their colours, light and dark; and of text in the
 * colour of a series: class t0.. */
extern const char mr_plot_style[];

/* Begin with `title`, which may hold tags; end. */
void mr_plot_begin(const struct mr_plot *plot, const char *title);
void mr_plot_end(const struct mr_plot *plot);

/* A line of the grid with its label; `at` in the axis' figures. */
void mr_plot_x_label(const struct mr_plot *plot, double at, const char *label);
void mr_plot_y_label(const struct mr_plot *plot, double at, const char *label);

/* Labels at 1, 2, 5, 10, 20, ... of both axes' units. */
void mr_plot_ticks(const struct mr_plot *plot);

/* A line from where both axes begin to where both figures are so large. */
void mr_plot_guide(const struct mr_plot *plot, double until);

/* From the left edge to `x`: another ground. */
void mr_plot_shade(const struct mr_plot *plot, double x);

/* A line through points, which are given one by one. */
void mr_plot_begin_line(const struct mr_plot *plot, uint32_t series);
void mr_plot_point(const struct mr_plot *plot, double x, double y);
void mr_plot_end_line(const struct mr_plot *plot);

/* A mark: a dot, or a ring. */
void mr_plot_mark(const struct mr_plot *plot, uint32_t series, double x, double y, bool is_filled);

/* "1.5 Gbit/s", "20 us"; return `text`. */
const char *mr_plot_number(double value, const char *unit, char text[MR_PLOT_LABEL]);
const char *mr_plot_time(double us, char text[MR_PLOT_LABEL]);

#endif /* MR_TOOLS_PERF_PLOT_H */
