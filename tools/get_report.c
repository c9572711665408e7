/* tools/get_report.c - what `millrace get` says: progress, results, and why something failed. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "tools/get_internal.h"
#include "tools/report.h"
#include "tools/status.h"
#include "tools/tools.h"

#define ALERT_CERTIFICATE_FIRST 42 /* bad_certificate .. unknown_ca: RFC 8446, Section 6.2 */
#define ALERT_CERTIFICATE_LAST  48
#define ALERT_NO_PROTOCOL       120

/* ------------------------------------------------------------------ progress */

static uint64_t sum_received(const struct mr_get *get)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < get->count; i++)
        sum += atomic_load_explicit(&get->fetches[i].received, memory_order_relaxed);
    return sum;
}

/* UINT64_MAX: not known. */
static uint64_t sum_expected(const struct mr_get *get)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < get->count; i++) {
        uint64_t one = atomic_load_explicit(&get->fetches[i].expected, memory_order_relaxed);

        if (one == UINT64_MAX)
            return UINT64_MAX;
        sum += one;
    }
    return sum;
}

void mr_get_show_progress(const struct mr_get *get, double at, double step, uint64_t *before,
                          bool is_live)
{
    uint64_t received = sum_received(get);
    uint64_t expected = sum_expected(get);
    double rate = (double)(received - *before) / step;
    char text[3][MR_REPORT_BYTES];

    *before = received;
    fprintf(stderr, "%s", is_live ? "\r\033[K" : "");
    if (!atomic_load_explicit(&get->fetcher.is_connected, memory_order_relaxed))
        fprintf(stderr, "connecting to %s:%u, %.0f s", get->server_text, get->server_port, at);
    else if (expected == UINT64_MAX || expected == 0)
        fprintf(stderr, "%s  %s/s", mr_report_bytes((double)received, text[0]),
                mr_report_bytes(rate, text[1]));
    else
        fprintf(stderr, "%5.1f %%  %s of %s  %s/s  %.0f s left",
                100.0 * (double)received / (double)expected,
                mr_report_bytes((double)received, text[0]),
                mr_report_bytes((double)expected, text[1]), mr_report_bytes(rate, text[2]),
                rate > 0 ? (double)(expected - received) / rate : 0);
    fprintf(stderr, "%s", is_live ? "" : "\n");
    fflush(stderr);
}

/* ------------------------------------------------------------------ why it failed */

static void explain_closed_port(const struct mr_get *get, struct mr_fault *fault)
{
    mr_fault_set(fault, ECONNREFUSED,
                 "%s says that nothing listens on UDP port %u; check the port, and that the server "
                 "speaks HTTP/3",
                 get->server_text, get->server_port);
}

static void explain_silence(const struct mr_get *get, struct mr_fault *fault)
{
    bool is_on_link = false;
    char gateway[MR_IP_TEXT];
    const struct mr_host *host = &get->host;

    for (uint32_t i = 0; i < host->self.address_count; i++)
        is_on_link |= mr_prefix_contains(&host->self.address[i], &get->server);
    mr_ip_format(mr_ip_is_v4(&get->server) ? &host->gateway4 : &host->gateway6, gateway);
    const char *hop = is_on_link ? get->server_text : gateway;

    if (get->net.net_tx_udp == 0)
        mr_fault_set(fault, ETIMEDOUT,
                     "no answer from %s within %g s: %s is not found on the network of %s; check "
                     "the address and that the other side is up (a TAP's other side: ip addr add "
                     "%s/24 dev NAME)",
                     get->server_text, get->timeout_s, hop, get->host_options.port, hop);
    else if (get->net.net_icmp_unreachable > 0)
        explain_closed_port(get, fault);
    else
        mr_fault_set(fault, ETIMEDOUT,
                     "no answer from %s, UDP port %u, within %g s; check the address, firewalls, "
                     "and that the server speaks HTTP/3",
                     get->server_text, get->server_port, get->timeout_s);
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* A certificate that we refuse: each fault has its own remedy. */
static void explain_certificate(const struct mr_get *get, struct mr_fault *fault)
{
    const char *host = get->urls[0].host;
    const char *reason = get->fetcher.reason;

    if (begins_with(reason, MR_TLS_OTHER_NAME))
        mr_fault_set(
            fault, EACCES,
            "%.40s: %s; put a name of the certificate in the URL, with --connect %s:%u, or "
            "skip the check with --insecure",
            host, reason, get->server_text, get->server_port);
    else if (begins_with(reason, MR_TLS_EXPIRED) || begins_with(reason, MR_TLS_TOO_EARLY))
        mr_fault_set(fault, EACCES,
                     "%.40s: %s; check this machine's clock, have the certificate renewed, or skip "
                     "the check with --insecure",
                     host, reason);
    else
        mr_fault_set(fault, EACCES,
                     "%s: %s; trust its authority with --ca FILE, or skip the check with "
                     "--insecure",
                     get->urls[0].authority, reason);
}

static void explain_refusal(const struct mr_get *get, struct mr_fault *fault)
{
    const struct mr_fetcher *f = &get->fetcher;
    uint64_t alert = f->code - MR_CRYPTO_ERROR;
    bool is_certificate =
        !f->is_application && alert >= ALERT_CERTIFICATE_FIRST && alert <= ALERT_CERTIFICATE_LAST;

    if (is_certificate && !f->is_remote)
        explain_certificate(get, fault);
    else if (!f->is_application && !f->is_remote && f->code == MR_CONNECTION_REFUSED)
        explain_closed_port(get, fault);
    else if (!f->is_application && alert == ALERT_NO_PROTOCOL)
        mr_fault_set(fault, EPROTO, "%s does not speak HTTP/3 on UDP port %u; check the port",
                     get->urls[0].authority, get->server_port);
    else
        mr_fault_set(fault, EPROTO, "%s %s the connection: %s (%s code 0x%llx)",
                     get->urls[0].authority, f->is_remote ? "refused" : "cannot be agreed with on",
                     f->reason[0] != '\0' ? f->reason : "no reason given",
                     f->is_application ? "HTTP/3" : "QUIC", (unsigned long long)f->code);
}

static void explain_loss(const struct mr_get *get, struct mr_fault *fault)
{
    const struct mr_fetcher *f = &get->fetcher;
    char text[MR_REPORT_BYTES];

    mr_fault_set(fault, ECONNRESET,
                 "%s: the connection ended after %s: %s%s (%s code 0x%llx); try again",
                 get->urls[0].authority, mr_report_bytes((double)sum_received(get), text),
                 f->is_remote ? "closed by the server, " : "",
                 f->reason[0] != '\0' ? f->reason : "no reason given",
                 f->is_application ? "HTTP/3" : "QUIC", (unsigned long long)f->code);
}

/* A kernel that believes its interface to split datagrams (UDP GSO) gives a packet socket frames
 * that are larger than the MTU, which arrive cut. */
static bool explain_cut_frames(const struct mr_get *get, struct mr_fault *fault)
{
    if (get->net.net_drop_ip_length == 0)
        return false;
    mr_fault_set(
        fault, EMSGSIZE,
        "%s: %llu packets arrived cut, as they were larger than the MTU; the server's side "
        "must split them itself: ip link set IFACE gso_max_segs 1",
        get->urls[0].authority, (unsigned long long)get->net.net_drop_ip_length);
    return true;
}

/* Why the whole ended, unless each fetch has its own reason. */
static void explain_end(const struct mr_get *get, struct mr_fault *fault)
{
    char text[MR_REPORT_BYTES];

    switch (get->fetcher.end) {
    case MR_FETCHER_RUNNING:
    case MR_FETCHER_DONE:
        break;
    case MR_FETCHER_SILENT:
        if (!explain_cut_frames(get, fault))
            explain_silence(get, fault);
        break;
    case MR_FETCHER_REFUSED:
        explain_refusal(get, fault);
        break;
    case MR_FETCHER_LOST:
        explain_loss(get, fault);
        break;
    case MR_FETCHER_STALLED:
        if (!explain_cut_frames(get, fault))
            mr_fault_set(fault, ETIMEDOUT,
                         "%s: nothing came for %g s, after %s; try again, or wait longer with "
                         "--timeout S",
                         get->urls[0].authority, get->timeout_s,
                         mr_report_bytes((double)sum_received(get), text));
        break;
    case MR_FETCHER_CANCELLED:
        mr_fault_set(fault, EINTR, "interrupted after %s",
                     mr_report_bytes((double)sum_received(get), text));
        break;
    case MR_FETCHER_NO_ROUTE:
        mr_fault_set(fault, ENETUNREACH, "no route to %s; check --addr and --gateway",
                     get->server_text);
        break;
    }
}

static const char *write_remedy(int error)
{
    if (error == ENOSPC || error == EDQUOT)
        return "; make room";
    return error == EFBIG ? "; raise `ulimit -f`, or choose another file system" : "";
}

/* Why one file was not fetched; false: the reason of the whole is its reason. */
static bool explain_fetch(const struct mr_get *get, uint32_t index, struct mr_fault *fault)
{
    const struct mr_fetch *fetch = &get->fetches[index];
    const struct mr_url *url = &get->urls[index];
    const char *path = get->outputs[index].path;

    switch (fetch->end) {
    case MR_FETCH_STATUS:
        mr_fault_set(fault, ENOENT, "%.50s%.60s: the server answered %u%s%.100s", url->authority,
                     url->path, fetch->status, fetch->location[0] != '\0' ? ", it is at " : ": ",
                     fetch->location[0] != '\0' ? fetch->location
                                                : mr_status_advice(fetch->status));
        return true;
    case MR_FETCH_WRITE:
        mr_fault_set(fault, fetch->error, "cannot write %.100s: %s%s",
                     strcmp(path, "-") == 0 ? "to standard output" : path, strerror(fetch->error),
                     write_remedy(fetch->error));
        return true;
    case MR_FETCH_RESET:
        mr_fault_set(fault, EPROTO, "%.60s%.60s: %s; try again", url->authority, url->path,
                     fetch->reason);
        return true;
    case MR_FETCH_MALFORMED:
        mr_fault_set(fault, EPROTO, "%.60s%.60s: %s; the server is at fault, tell who runs it",
                     url->authority, url->path, fetch->reason);
        return true;
    case MR_FETCH_PENDING:
    case MR_FETCH_DONE:
    case MR_FETCH_CONN_LOST:
        break;
    }
    return false;
}

/* ------------------------------------------------------------------ results */

static double seconds_of(const struct mr_fetch *fetch)
{
    return fetch->done_ns > fetch->sent_ns ? (double)(fetch->done_ns - fetch->sent_ns) * 1e-9 : 0;
}

static void print_field(const char *name, const char *value)
{
    if (value[0] != '\0')
        printf("%s: %s\n", name, value);
}

static void print_head(const struct mr_fetch *fetch)
{
    printf("HTTP/3 %u\n", fetch->status);
    if (fetch->content_length != UINT64_MAX)
        printf("content-length: %llu\n", (unsigned long long)fetch->content_length);
    print_field("content-type", fetch->content_type);
    print_field("etag", fetch->etag);
    print_field("last-modified", fetch->last_modified);
    print_field("location", fetch->location);
    print_field("server", fetch->server);
}

static void print_file(const struct mr_get *get, uint32_t index)
{
    const struct mr_fetch *fetch = &get->fetches[index];
    double bytes = (double)atomic_load_explicit(&fetch->received, memory_order_relaxed);
    double seconds = seconds_of(fetch);
    char text[2][MR_REPORT_BYTES];

    fprintf(stderr, "get: %s: %s in %.3f s, %s/s\n", get->outputs[index].path,
            mr_report_bytes(bytes, text[0]), seconds,
            mr_report_bytes(seconds > 0 ? bytes / seconds : 0, text[1]));
}

static void add_text(struct json_object *to, const char *name, const char *value)
{
    json_object_object_add(to, name, value[0] == '\0' ? NULL : json_object_new_string(value));
}

static struct json_object *fetch_json(const struct mr_get *get, uint32_t index, const char *error)
{
    const struct mr_fetch *fetch = &get->fetches[index];
    struct json_object *json = json_object_new_object();
    char url[sizeof(get->urls[0].authority) + MR_URL_PATH_MAX + 16];

    snprintf(url, sizeof(url), "https://%s%s", get->urls[index].authority, get->urls[index].path);
    add_text(json, "url", url);
    add_text(json, "file", get->is_head ? "" : get->outputs[index].path);
    json_object_object_add(json, "status", json_object_new_int((int)fetch->status));
    json_object_object_add(json, "bytes",
                           json_object_new_int64((int64_t)atomic_load_explicit(
                               &fetch->received, memory_order_relaxed)));
    json_object_object_add(json, "seconds", json_object_new_double(seconds_of(fetch)));
    json_object_object_add(
        json, "first_byte_ms",
        json_object_new_double(fetch->first_byte_ns > fetch->sent_ns
                                   ? (double)(fetch->first_byte_ns - fetch->sent_ns) * 1e-6
                                   : 0));
    add_text(json, "content_type", fetch->content_type);
    add_text(json, "etag", fetch->etag);
    add_text(json, "location", fetch->location);
    add_text(json, "error", error);
    return json;
}

static const char *path_state(const struct mr_path_info *path)
{
    static const char *const states[] = {[MR_PATH_INFO_CHECKING] = "not validated",
                                         [MR_PATH_INFO_OPEN] = "open",
                                         [MR_PATH_INFO_ABANDONED] = "abandoned"};

    return states[path->state];
}

static void path_address(const struct mr_path_info *path, char *text)
{
    struct mr_ip ip;

    memcpy(ip.bytes, path->local.ip, sizeof(ip.bytes));
    mr_ip_format(&ip, text);
}

/* What each path carried. */
static struct json_object *paths_json(const struct mr_fetcher *f)
{
    struct json_object *array = json_object_new_array();

    for (uint32_t i = 0; i < f->path_info_count; i++) {
        const struct mr_path_info *path = &f->path_info[i];
        struct json_object *json = json_object_new_object();
        char text[MR_IP_TEXT];

        path_address(path, text);
        json_object_object_add(json, "path", json_object_new_int64(path->path));
        add_text(json, "local", text);
        add_text(json, "state", path_state(path));
        json_object_object_add(json, "rtt_us", json_object_new_double((double)path->rtt_ns * 1e-3));
        json_object_object_add(json, "bytes_sent",
                               json_object_new_int64((int64_t)path->bytes_sent));
        json_object_array_add(array, json);
    }
    return array;
}

static struct json_object *all_json(const struct mr_get *get, const char *error)
{
    struct json_object *json = json_object_new_object();
    const struct mr_conn_info *info = &get->fetcher.info;

    add_text(json, "address", get->server_text);
    json_object_object_add(json, "udp_port", json_object_new_int(get->server_port));
    json_object_object_add(json, "seconds", json_object_new_double(get->seconds));
    json_object_object_add(json, "bytes", json_object_new_int64((int64_t)sum_received(get)));
    json_object_object_add(json, "rtt_us", json_object_new_double((double)info->rtt_ns * 1e-3));
    json_object_object_add(json, "packets_sent",
                           json_object_new_int64((int64_t)info->packets_sent));
    json_object_object_add(json, "packets_lost",
                           json_object_new_int64((int64_t)info->packets_lost));
    if (get->has_migration) {
        json_object_object_add(json, "local_port_before",
                               json_object_new_int(get->fetcher.first_port));
        json_object_object_add(json, "local_port", json_object_new_int(info->local.port));
    }
    if (get->paths != NULL)
        json_object_object_add(json, "paths", paths_json(&get->fetcher));
    add_text(json, "error", error);
    return json;
}

/* Did the migration work that was asked for? */
static void show_migration(const struct mr_get *get)
{
    const struct mr_fetcher *f = &get->fetcher;

    if (f->first_port == 0)
        fprintf(stderr, "get: all was over before it was time to migrate\n");
    else if (f->first_port == f->info.local.port)
        fprintf(stderr, "get: did not migrate: the server does not allow it, or did not answer on "
                        "the new path\n");
    else
        fprintf(stderr, "get: migrated from UDP port %u to %u\n", f->first_port,
                f->info.local.port);
}

/* The same for people. */
static void show_paths(const struct mr_fetcher *f)
{
    if (f->path_error != 0)
        fprintf(stderr, "get: a path was not opened: %s\n",
                f->path_error == EOPNOTSUPP ? "the server does not take several"
                                            : strerror(f->path_error));
    for (uint32_t i = 0; i < f->path_info_count; i++) {
        const struct mr_path_info *path = &f->path_info[i];
        char text[MR_IP_TEXT];

        path_address(path, text);
        fprintf(stderr, "get: path %u from %s: %s, round trip %.3f ms\n", path->path, text,
                path_state(path), (double)path->rtt_ns * 1e-6);
    }
}

/* One file: name it or remove it.  Its exit status; `fault` is why, "" if that is the whole's. */
static int finish_fetch(struct mr_get *get, uint32_t index, struct mr_fault *fault)
{
    struct mr_fetch *fetch = &get->fetches[index];

    if (fetch->end == MR_FETCH_DONE &&
        (get->is_head || mr_output_commit(&get->outputs[index], fault)))
        return MR_EXIT_OK;
    mr_output_discard(&get->outputs[index]);
    if (fetch->end == MR_FETCH_DONE)
        return MR_EXIT_FAILED;
    explain_fetch(get, index, fault);
    return fetch->end == MR_FETCH_STATUS ? MR_EXIT_STATUS : MR_EXIT_FAILED;
}

/* What people see of one file. */
static void show_fetch(const struct mr_get *get, uint32_t index, const struct mr_fault *fault)
{
    if (get->is_head && get->fetches[index].status != 0)
        print_head(&get->fetches[index]);
    if (fault->text[0] != '\0')
        mr_tool_complain("get", fault);
    else if (!get->is_head && get->fetches[index].end == MR_FETCH_DONE)
        print_file(get, index);
}

int mr_get_finish(struct mr_get *get)
{
    struct json_object *list = json_object_new_array();
    struct mr_fault whole = {0};
    int status = MR_EXIT_OK;

    for (uint32_t i = 0; i < get->count; i++) {
        struct mr_fault fault = {0};
        int one = finish_fetch(get, i, &fault);

        if (status != MR_EXIT_FAILED && one != MR_EXIT_OK)
            status = one;
        json_object_array_add(list, fetch_json(get, i, fault.text));
        if (!get->is_json)
            show_fetch(get, i, &fault);
        else if (fault.text[0] != '\0')
            mr_tool_complain("get", &fault);
    }
    if (status != MR_EXIT_OK)
        explain_end(get, &whole);
    if (whole.text[0] != '\0')
        mr_tool_complain("get", &whole);
    if (get->has_migration && !get->is_json)
        show_migration(get);
    if (get->paths != NULL && !get->is_json)
        show_paths(&get->fetcher);
    if (get->is_json) {
        struct json_object *json = all_json(get, whole.text);

        json_object_object_add(json, "files", json_object_get(list));
        printf("%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(json);
    }
    json_object_put(list);
    fflush(stdout);
    return status;
}
