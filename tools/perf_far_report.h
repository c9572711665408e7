/*
 * tools/perf_far_report.h - what orders and answers of tools/perf_far.h say.
 *
 *     order    {"secret": "...", "order": "report" | "stop"}
 *     answer   {"facts": {machine, port}, "counts": {ns, shards, stage_ns, port, quic, ...}}
 *              {"error": "..."}
 *
 * Counts are since the server's start; two reports and their difference tell of the time between.
 *
 * Threads: the control thread.
 */
#ifndef MR_TOOLS_PERF_FAR_REPORT_H
#define MR_TOOLS_PERF_FAR_REPORT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "tools/host.h"
#include "tools/perf_far.h"
#include "tools/perf_plan.h"
#include "tools/perf_server.h"

#define MR_FAR_SECRET_MIN 16 /* characters */
#define MR_FAR_SECRET_MAX 256

struct mr_perf_secret {
    char text[MR_FAR_SECRET_MAX + 1];
};

/* The first line of a file.  False with `fault` set. */
bool mr_perf_secret_read(const char *path, struct mr_perf_secret *secret_out,
                         struct mr_fault *fault);

/* ---- the server ---- */

enum mr_far_order {
    MR_FAR_ORDER_REPORT,
    MR_FAR_ORDER_STOP,
    MR_FAR_ORDER_LOSS,    /* lose datagrams on purpose, or be as it was started again */
    MR_FAR_ORDER_DENIED,  /* another secret */
    MR_FAR_ORDER_UNKNOWN, /* not an order at all */
};

struct mr_far_request {
    enum mr_far_order order;
    bool has_rates; /* LOSS: such losses; else those that the server was started with */
    struct mr_port_loss_rates rates;
};

/* In a time that says nothing of the secret but its length. */
void mr_far_order_read(const char *text, size_t size, const struct mr_perf_secret *secret,
                       struct mr_far_request *request_out);

/* The answer to it.  The caller gives it back with json_object_put(). */
struct json_object *mr_far_obey(enum mr_far_order order, const struct mr_host *host,
                                const struct mr_perf_server_counts *counts);

/* ---- the client ---- */

/* The text of an order ("report", "stop", "loss"), at most MR_FAR_ORDER_MAX bytes; `rates` of
 * "loss", or NULL. */
void mr_far_order_write(const char *order, const struct mr_port_loss_rates *rates,
                        const struct mr_perf_secret *secret, char text_out[MR_FAR_ORDER_MAX + 1]);

/* An answer.  NULL with `fault` set: it is an error, or no answer. */
struct json_object *mr_far_answer_read(const char *text, struct mr_fault *fault);

/* The time between two reports: facts and the counts' difference, with the figures that they come
 * to, in `figures_out` too.  The caller gives it back; NULL: they do not fit together. */
struct json_object *mr_far_between(struct json_object *begin, struct json_object *end,
                                   struct mr_perf_far_figures *figures_out);

#endif /* MR_TOOLS_PERF_FAR_REPORT_H */
