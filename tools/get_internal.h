/* tools/get_internal.h - what get.c (command, resolving, running), get_input.c (URLs, tickets) and
 * get_report.c (progress, messages, results) share. */
#ifndef MR_TOOLS_GET_INTERNAL_H
#define MR_TOOLS_GET_INTERNAL_H

#include "tools/fetch.h"
#include "tools/host.h"
#include "tools/output.h"
#include "tools/url.h"

enum mr_get_alpn {
    MR_GET_H3,
    MR_GET_HQ,
};

struct mr_get {
    struct mr_host_options host_options;
    const char *output;
    bool is_insecure;
    const char *ca_path;
    const char *connect;
    bool is_head;
    double timeout_s;
    bool is_json;
    int alpn;                /* MR_GET_H3 or MR_GET_HQ */
    const char *urls_path;   /* of a list of URLs; NULL: none */
    const char *ticket_path; /* of a ticket that is used, and replaced; NULL: none */
    const char *ciphers;     /* OpenSSL's list; NULL: the usual ones */
    uint32_t key_update_after;
    bool is_early;          /* 0-RTT, with the ticket */
    uint32_t quic_version;  /* wanted: 1 or 2 */
    const char *priorities; /* of the URLs, in order, the last for those behind; NULL: usual */
    double migrate_after_s;
    bool has_migration;
    const char *paths; /* further addresses of ours, separated by commas; NULL: none */

    uint32_t count; /* of URLs */
    struct mr_url *urls;
    struct mr_output *outputs;
    struct mr_fetch *fetches;
    struct mr_fetcher fetcher;
    struct mr_ip server; /* that the connection goes to */
    char server_text[MR_IP_TEXT];
    uint16_t server_port;
    struct mr_host host;
    struct mr_tls_context tls;
    bool has_tls;
    uint8_t old_ticket[MR_FETCH_TICKET_MAX];
    uint8_t new_ticket[MR_FETCH_TICKET_MAX];
    bool was_interrupted;
    double seconds;             /* from launch to end */
    struct mr_net_counters net; /* of the whole run */
};

/* A line of progress on standard error: `at` seconds after the begin, `step` seconds after the
 * last; *before is the sum of bytes then.  `is_live`: the line replaces the last one. */
void mr_get_show_progress(const struct mr_get *get, double at, double step, uint64_t *before,
                          bool is_live);

/* ---- get_input.c ---- */

/* The URLs of the command line and of --urls: room for all that belongs to each.  False with
 * `fault` set. */
bool mr_get_take_urls(struct mr_get *get, const struct mr_command_line *line,
                      struct mr_fault *fault);
void mr_get_free_urls(struct mr_get *get);

/* Give the URLs the priorities of --priority. */
bool mr_get_take_priorities(struct mr_get *get, struct mr_fault *fault);

/* Read the ticket of --session, if there is one, for the connection to come. */
bool mr_get_read_ticket(struct mr_get *get, struct mr_fault *fault);

/* Keep the one that came.  False with `fault` set: it could not be written. */
bool mr_get_write_ticket(const struct mr_get *get, struct mr_fault *fault);

/* ---- get_report.c ---- */

/* Give files their names or remove them, print results and reasons.  The exit status. */
int mr_get_finish(struct mr_get *get);

#endif /* MR_TOOLS_GET_INTERNAL_H */
