/* tools/get_internal.h - what get.c (command, resolving, running) and get_report.c (progress,
 * messages, results) share. */
#ifndef MR_TOOLS_GET_INTERNAL_H
#define MR_TOOLS_GET_INTERNAL_H

#include "tools/fetch.h"
#include "tools/host.h"
#include "tools/output.h"
#include "tools/url.h"

struct mr_get {
    struct mr_host_options host_options;
    const char *output;
    bool is_insecure;
    const char *ca_path;
    const char *connect;
    bool is_head;
    double timeout_s;
    bool is_json;

    uint32_t count; /* of URLs */
    struct mr_url urls[MR_FETCHES_MAX];
    struct mr_output outputs[MR_FETCHES_MAX];
    struct mr_fetch fetches[MR_FETCHES_MAX];
    struct mr_fetcher fetcher;
    struct mr_ip server; /* that the connection goes to */
    char server_text[MR_IP_TEXT];
    uint16_t server_port;
    struct mr_host host;
    struct mr_tls_context tls;
    bool has_tls;
    bool was_interrupted;
    double seconds;             /* from launch to end */
    struct mr_net_counters net; /* of the whole run */
};

/* A line of progress on standard error: `at` seconds after the begin, `step` seconds after the
 * last; *before is the sum of bytes then.  `is_live`: the line replaces the last one. */
void mr_get_show_progress(const struct mr_get *get, double at, double step, uint64_t *before,
                          bool is_live);

/* Give files their names or remove them, print results and reasons.  The exit status. */
int mr_get_finish(struct mr_get *get);

#endif /* MR_TOOLS_GET_INTERNAL_H */
