/*
 * tools/edge.c - `millrace edge`: a directory of files over HTTP/3 on a port.
 *
 *     plan -> certificate -> servers -> port and shards -> one line: ready
 *     status lines until SIGINT, SIGTERM or SIGHUP -> drain -> close -> totals
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/certificate.h"
#include "control/eal.h"
#include "control/early_data.h"
#include "control/group_datapath.h"
#include "control/group_ports.h"
#include "control/ocsp.h"
#include "dataplane/clock.h"
#include "http3/frame.h"
#include "http3/server.h"
#include "tools/host.h"
#include "tools/report.h"
#include "tools/tools.h"

#define RX_MBUFS          4096
#define HELPERS_PER_SHARD 2
#define IDLE_TIMEOUT      (30 * MR_SECOND)
#define STREAM_WINDOW     ((uint64_t)256 << 10) /* requests are small */
#define CONN_WINDOW       ((uint64_t)1 << 20)
#define REQUESTS_AT_ONCE  128 /* that a client may have open */
#define FILES_AT_ONCE     128 /* that a limit of descriptors should allow */
#define CLOSE_PATIENCE    (200 * MR_MS)
#define STATUS_SECONDS    5 /* between status lines on a terminal */
#define POLL_NS           (50 * MR_MS)
#define PROBE_WAIT        (300 * MR_MS) /* for another host's answer to the probe of our address */
#define WATCH_NS          MR_SECOND     /* between looks at the interface and the addresses */

struct edge {
    struct mr_host_options host_options;
    uint32_t port_number;
    struct mr_option_list preferred;
    uint32_t paths;
    const char *root;
    const char *certificate_path;
    const char *key_path;
    const char *token_key_file; /* NULL: none */
    const char *ocsp_path;      /* NULL: none */
    uint32_t connections;
    uint32_t awake;
    uint32_t tls_helpers;
    bool has_listing;
    bool has_hq;
    uint64_t qpack_table;   /* bytes, of a connection */
    uint32_t qpack_blocked; /* streams of a connection */
    bool has_early_data;
    bool refuses_early;
    struct mr_replay *replay; /* first flights with 0-RTT, NULL: none is taken */
    uint64_t cache_bytes;
    int retry; /* 0 auto, 1 always */
    const char *index;
    double status_seconds;
    bool has_status;
    double drain_seconds;
    const char *control_path; /* NULL: no control socket */

    struct mr_host host;
    struct mr_group_set groups;
    struct mr_control *control; /* NULL: none */
    bool has_conflict;          /* that was said */
    struct mr_tls_context tls;
    bool has_tls;
    struct mr_h3_server *servers[MR_SHARDS_MAX];
    struct mr_application applications[MR_SHARDS_MAX];
};

/* ------------------------------------------------------------------ making */

/* A response that cannot be stapled is no reason to serve nobody. */
static void staple(const struct edge *edge)
{
    struct mr_fault why = {0};
    int64_t until_s;

    if (mr_ocsp_staple(&edge->tls, edge->ocsp_path, (int64_t)time(NULL), &until_s, &why) != 0)
        fprintf(stderr, "edge: no OCSP response is stapled: %s\n", why.text);
}

static bool make_tls(struct edge *edge, struct mr_fault *fault)
{
    char text[MR_NET_ADDRESSES_MAX][MR_IP_TEXT];
    const char *names[MR_NET_ADDRESSES_MAX];
    struct mr_certificate made = {0};
    struct mr_certificate_options options = {.names = names,
                                             .name_count = mr_host_names(&edge->host, text, names)};
    if (edge->has_early_data) {
        edge->replay = mr_early_data_make(MR_EARLY_ENTRIES, fault);
        if (edge->replay == NULL)
            return false;
    }
    struct mr_tls_server_config config = {
        .certificate_path = edge->certificate_path,
        .key_path = edge->key_path,
        .alpn = (const uint8_t *)"\002h3\012" MR_HQ_ALPN,
        .alpn_size = edge->has_hq ? 3 + 1 + sizeof(MR_HQ_ALPN) - 1 : 3,
        .tickets = 2,
        .has_early_data = edge->has_early_data,
        .replay = edge->replay,
        .has_keylog = edge->host_options.keylog != NULL,
    };

    if (edge->certificate_path == NULL) {
        if (mr_certificate_make(&made, &options, fault) != 0)
            return false;
        config.certificate = &made;
    }
    edge->has_tls = mr_tls_context_server(&edge->tls, &config, fault) == 0;
    mr_certificate_wipe(&made);
    if (edge->has_tls && edge->ocsp_path != NULL)
        staple(edge);
    return edge->has_tls;
}

static bool make_servers(struct edge *edge, struct mr_fault *fault)
{
    uint32_t shards = edge->host_options.shards;
    struct mr_h3_server_config config =
        mr_h3_server_config_default((edge->connections + shards - 1) / shards);

    config.root = edge->root;
    config.index = edge->index;
    config.has_listings = edge->has_listing;
    config.has_hq = edge->has_hq;
    config.refuses_early = edge->refuses_early;
    config.qpack_encoder_capacity = (uint32_t)edge->qpack_table;
    config.qpack_blocked_max = edge->qpack_blocked;
    config.cache_bytes = (size_t)edge->cache_bytes / shards;
    for (uint32_t i = 0; i < shards; i++) {
        if (mr_h3_server_new(&config, &edge->servers[i], fault) != 0)
            return false;
        edge->applications[i] = *mr_h3_server_application(edge->servers[i]);
    }
    return true;
}

static bool take_preferred(const struct edge *edge, struct mr_addr preferred_out[2],
                           struct mr_fault *fault)
{
    for (uint32_t i = 0; i < edge->preferred.count; i++) {
        const char *text = edge->preferred.text[i];
        uint16_t port = (uint16_t)edge->port_number;
        struct mr_ip ip;

        if (!mr_ip_port_parse(text, &ip, &port) || !mr_net_self_has(&edge->host.self, &ip)) {
            mr_fault_set(fault, EINVAL,
                         "--preferred %.60s: not one of the addresses of --addr, like 198.18.0.3 "
                         "or 198.18.0.3:4433",
                         text);
            return false;
        }
        struct mr_addr *to = &preferred_out[mr_ip_is_v4(&ip)];
        if (to->port != 0) {
            mr_fault_set(fault, EINVAL, "--preferred: two addresses of IPv%c; leave one out",
                         mr_ip_is_v4(&ip) ? '4' : '6');
            return false;
        }
        memcpy(to->ip, ip.bytes, sizeof(to->ip));
        to->port = port;
    }
    return true;
}

static bool open_host(struct edge *edge, struct mr_fault *fault)
{
    uint32_t shards = edge->host_options.shards;
    struct mr_host_config config = {
        .name = "edge",
        .applications = edge->applications,
        .server = &edge->tls,
        .local_port = (uint16_t)edge->port_number,
        .token_key_file = edge->token_key_file,
        .connections = (edge->connections + shards - 1) / shards,
        .awake = (edge->awake + shards - 1) / shards,
        .helpers = MR_MIN(HELPERS_PER_SHARD * shards, (uint32_t)MR_WORK_HELPERS_MAX),
        .tls_helpers = edge->tls_helpers,
        .rx_mbufs = RX_MBUFS,
        .has_retry = edge->retry == 1,
        .paths_max = edge->paths,
        .idle_timeout_ns = IDLE_TIMEOUT,
        .stream_window_max = STREAM_WINDOW,
        .conn_window_max = CONN_WINDOW,
        .streams_bidi_max = REQUESTS_AT_ONCE,
    };

    return take_preferred(edge, config.preferred, fault) &&
           mr_host_open(&edge->host, &config, fault);
}

static void visit_http_counters(void *context, mr_counter_visit visit, void *to)
{
    const struct edge *edge = context;

    for (size_t i = 0; i < MR_H3_COUNTERS; i++) {
        char name[64]; /* connections are counted by HTTP/3 and by the engine */
        uint64_t sum = 0;

        snprintf(name, sizeof(name), "h3_%s", mr_h3_counter_name(i));
        for (uint32_t k = 0; k < edge->host_options.shards; k++)
            sum += mr_h3_counter_value(mr_h3_server_counters(edge->servers[k]), i);
        visit(to, name, mr_h3_counter_help(i), sum);
    }
}

static bool open_control(struct edge *edge, struct mr_fault *fault)
{
    struct mr_control_config config = {.socket = {.path = edge->control_path}};

    if (edge->control_path == NULL)
        return true;
    edge->groups = (struct mr_group_set){.groups = {&edge->host.group},
                                         .count = 1,
                                         .more = visit_http_counters,
                                         .context = edge,
                                         .qlog = edge->host.qlog};
    config.datapath = mr_group_set_datapath(&edge->groups, MILLRACE_VERSION);
    edge->control = mr_control_open(&config, fault);
    return edge->control != NULL;
}

static void close_control(struct edge *edge)
{
    mr_control_close(edge->control);
    mr_group_set_end(&edge->groups);
    edge->control = NULL;
}

/* ------------------------------------------------------------------ running */

static void say_ready(const struct edge *edge)
{
    char fingerprint[MR_FINGERPRINT_TEXT];
    const struct mr_net_self *self = &edge->host.self;

    mr_tls_context_fingerprint(&edge->tls, fingerprint);
    printf("edge: serving %s at", edge->root);
    for (uint32_t i = 0; i < self->address_count; i++) {
        char text[MR_IP_TEXT];
        bool is_v4 = mr_ip_is_v4(&self->address[i].ip);

        printf(" https://%s%s%s:%u/", is_v4 ? "" : "[", mr_ip_format(&self->address[i].ip, text),
               is_v4 ? "" : "]", edge->port_number);
    }
    printf(" on %s, certificate sha256 %s%s\n", edge->host_options.port, fingerprint,
           edge->certificate_path == NULL ? " (self-signed)" : "");
    fflush(stdout);
}

/* Each file that is being sent needs a descriptor. */
static void warn_of_few_descriptors(const struct edge *edge)
{
    uint32_t wanted = MR_MIN(edge->connections, (uint32_t)FILES_AT_ONCE);
    uint32_t left = mr_eal_free_descriptors(wanted);

    if (left < wanted)
        fprintf(stderr,
                "edge: only %u files can be open at once, further requests are answered with 503; "
                "raise `ulimit -n`\n",
                left);
}

static void sum_requests(const struct edge *edge, struct mr_report *report)
{
    for (uint32_t i = 0; i < edge->host_options.shards; i++)
        mr_report_add_h3(report, mr_h3_server_counters(edge->servers[i]));
}

static void read_report(const struct edge *edge, struct mr_report *report)
{
    mr_report_read(report, &edge->host.group);
    sum_requests(edge, report);
}

/* Wait for a signal, and do meanwhile what the control socket asks for.  True: a signal came. */
static bool wait_for_signal(struct edge *edge, uint64_t ns)
{
    if (edge->control == NULL)
        return mr_signal_wait(ns);
    for (uint64_t now = mr_control_now(), end = now + ns; now < end; now = mr_control_now()) {
        if (mr_signal_wait_beside(mr_control_fd(edge->control), end - now))
            return true;
        mr_control_poll(edge->control, 0);
    }
    return false;
}

/* Did another host answer for our addresses?  Only where others may be there already. */
static bool check_network(const struct edge *edge, struct mr_fault *fault)
{
    const char *port = edge->host_options.port;
    bool has_others = strncmp(port, "af_packet:", 10) == 0 || strncmp(port, "af_xdp:", 7) == 0;
    uint64_t left = has_others ? PROBE_WAIT : 0;

    for (; left > 0 && mr_host_check_network(&edge->host, fault); left -= POLL_NS)
        usleep(POLL_NS / 1000);
    return left == 0;
}

/* An address of ours turned out to be another's: said once. */
static void look_at_addresses(struct edge *edge)
{
    struct mr_fault fault = {0};

    if (edge->has_conflict || (mr_host_check_network(&edge->host, &fault) &&
                               mr_host_check_addresses(&edge->host, &fault)))
        return;
    edge->has_conflict = true;
    mr_tool_complain("edge", &fault);
}

/* False with `fault` set: the interface is gone. */
static bool look_at_port(struct edge *edge, struct mr_fault *fault)
{
    struct mr_clock clock = mr_clock_init();

    if (mr_group_look_at_port(&edge->host.group, mr_clock_now(&clock)) != MR_PORT_GONE)
        return true;
    mr_fault_set(fault, ENODEV, "interface %s is gone: make it again, and start again",
                 edge->host.group.link.watch.name);
    return false;
}

/* Wait for a signal; say how things are from time to time.  False with `fault` set: the port is
 * gone. */
static bool run(struct edge *edge, struct mr_fault *fault)
{
    bool is_shown = edge->has_status || isatty(STDERR_FILENO);
    const uint64_t interval = is_shown ? (uint64_t)(edge->status_seconds * 1e9) : WATCH_NS;
    uint64_t left = interval;
    struct mr_report before;
    struct mr_report now;

    read_report(edge, &before);
    for (;;) {
        uint64_t step = MR_MIN(left, (uint64_t)WATCH_NS);

        if (wait_for_signal(edge, step))
            return true;
        if (!look_at_port(edge, fault))
            return false;
        look_at_addresses(edge);
        left = left > step ? left - step : interval;
        if (!is_shown || left != interval)
            continue;
        read_report(edge, &now);
        mr_report_status(stderr, &before, &now, (double)interval * 1e-9);
        before = now;
    }
}

/* Let requests that are under way finish; a second signal ends that. */
static void drain(struct edge *edge)
{
    uint64_t left = (uint64_t)(edge->drain_seconds * 1e9);

    mr_group_drain(&edge->host.group);
    while (left > 0 && mr_group_conn_count(&edge->host.group) > 0) {
        if (wait_for_signal(edge, MR_MIN(left, (uint64_t)POLL_NS)))
            return;
        left -= MR_MIN(left, (uint64_t)POLL_NS);
    }
}

/* Poll until the end.  False with `fault` set: something else than a signal ended it. */
static bool serve_until_end(struct edge *edge, struct mr_fault *fault)
{
    mr_host_launch(&edge->host);
    if (!check_network(edge, fault))
        return false;
    warn_of_few_descriptors(edge);
    say_ready(edge);
    if (!run(edge, fault))
        return false;
    drain(edge);
    return true;
}

static int serve(struct edge *edge)
{
    struct mr_fault fault = {0};
    struct mr_report report;
    bool is_good = serve_until_end(edge, &fault);

    if (!is_good)
        mr_tool_complain("edge", &fault);
    mr_host_stop(&edge->host, CLOSE_PATIENCE);
    close_control(edge);
    read_report(edge, &report);
    uint32_t lost = mr_host_close(&edge->host);
    mr_report_totals(stdout, "edge", &report, lost);
    return is_good && lost == 0 ? MR_EXIT_OK : MR_EXIT_FAILED;
}

static void close_edge(struct edge *edge)
{
    close_control(edge);
    mr_host_close(&edge->host);
    for (uint32_t i = 0; i < edge->host_options.shards; i++)
        mr_h3_server_free(edge->servers[i]);
    if (edge->has_tls)
        mr_tls_context_free(&edge->tls);
    mr_early_data_free(edge->replay);
    if (edge->host.has_eal)
        mr_eal_stop();
}

/* ------------------------------------------------------------------ the command */

static bool check(struct edge *edge, struct mr_fault *fault)
{
    if (edge->root == NULL)
        mr_fault_set(fault, EINVAL, "no directory to serve; name one with --root DIR");
    else if (edge->index[0] == '\0' || strchr(edge->index, '/') != NULL)
        mr_fault_set(fault, EINVAL,
                     "--index %s: the index is not the name of a file; leave its directory out",
                     edge->index);
    else if ((edge->certificate_path == NULL) != (edge->key_path == NULL))
        mr_fault_set(fault, EINVAL,
                     "--cert and --key go together: give both, or none for a "
                     "self-signed certificate");
    else if (edge->refuses_early && !edge->has_early_data)
        mr_fault_set(fault, EINVAL,
                     "--refuse-early needs --early-data: nothing comes in 0-RTT without it");
    else
        return mr_host_plan(&edge->host, &edge->host_options, fault);
    return false;
}

/* Rows of a table of options, its end included. */
#define SITE_ROWS     8
#define LISTEN_ROWS   7
#define IDENTITY_ROWS 5
#define CORE_ROWS     8
#define RUNNING_ROWS  4

/* What is served. */
static void site_rows(struct edge *edge, struct mr_option rows_out[SITE_ROWS])
{
    const struct mr_option rows[SITE_ROWS] = {
        {.name = "root",
         .kind = MR_OPTION_TEXT,
         .to = &edge->root,
         .argument = "DIR",
         .help = "what to serve"},
        {.name = "index",
         .kind = MR_OPTION_TEXT,
         .to = &edge->index,
         .argument = "NAME",
         .help = "file that answers for its directory (index.html)"},
        {.name = "listing",
         .kind = MR_OPTION_FLAG,
         .to = &edge->has_listing,
         .help = "list directories that have no index page"},
        {.name = "cache",
         .kind = MR_OPTION_SIZE,
         .to = &edge->cache_bytes,
         .argument = "SIZE",
         .help = "memory for small files, of all shards; 0: none (64M)",
         .min = 0,
         .max = 1099511627776.0},
        {.name = "qpack-table",
         .kind = MR_OPTION_SIZE,
         .to = &edge->qpack_table,
         .argument = "SIZE",
         .help = "of a connection, to compress answers' heads with; 0: none (0)",
         .max = MR_QPACK_TABLE_MAX},
        {.name = "qpack-blocked",
         .kind = MR_OPTION_U32,
         .to = &edge->qpack_blocked,
         .argument = "N",
         .help = "requests of a connection that may wait for what their heads refer to (0)",
         .max = MR_QPACK_BLOCKED_MAX},
        {.name = "hq",
         .kind = MR_OPTION_FLAG,
         .to = &edge->has_hq,
         .help = "also HTTP/0.9 to clients that ask for hq-interop, for tests with other programs"},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* Where, and to whom. */
static void listen_rows(struct edge *edge, struct mr_option rows_out[LISTEN_ROWS])
{
    static const char *const retry_choices[] = {"auto", "always", NULL};
    const struct mr_option rows[LISTEN_ROWS] = {
        {.name = "listen-port",
         .kind = MR_OPTION_U32,
         .to = &edge->port_number,
         .argument = "N",
         .help = "UDP port (443)",
         .min = 1,
         .max = 65535},
        {.name = "preferred",
         .kind = MR_OPTION_LIST,
         .to = &edge->preferred,
         .argument = "IP[:PORT]",
         .help = "of --addr, where clients are asked to go; once for IPv4, once for IPv6 (none)"},
        {.name = "paths",
         .kind = MR_OPTION_U32,
         .to = &edge->paths,
         .argument = "N",
         .help = "paths that a client may use at a time; 1: multipath is not offered (1)",
         .min = 1,
         .max = MR_PATHS_MAX},
        {.name = "retry",
         .kind = MR_OPTION_CHOICE,
         .to = &edge->retry,
         .argument = "WHEN",
         .help = "validate addresses: auto (under load) or always (auto)",
         .choices = retry_choices},
        {.name = "early-data",
         .kind = MR_OPTION_FLAG,
         .to = &edge->has_early_data,
         .help = "take requests in 0-RTT, which others can copy and send again"},
        {.name = "refuse-early",
         .kind = MR_OPTION_FLAG,
         .to = &edge->refuses_early,
         .help =
             "answer 425 to requests that may be copies: clients ask again after the handshake"},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* Who it is. */
static void identity_rows(struct edge *edge, struct mr_option rows_out[IDENTITY_ROWS])
{
    const struct mr_option rows[IDENTITY_ROWS] = {
        {.name = "cert",
         .kind = MR_OPTION_TEXT,
         .to = &edge->certificate_path,
         .argument = "PEM",
         .help = "certificate and chain (self-signed, for 13 days)"},
        {.name = "key",
         .kind = MR_OPTION_TEXT,
         .to = &edge->key_path,
         .argument = "PEM",
         .help = "its private key"},
        {.name = "ocsp",
         .kind = MR_OPTION_TEXT,
         .to = &edge->ocsp_path,
         .argument = "FILE",
         .help = "OCSP response (DER) to staple; a wrong or old one is not (none)"},
        {.name = "token-key-file",
         .kind = MR_OPTION_TEXT,
         .to = &edge->token_key_file,
         .argument = "FILE",
         .help = "secrets of stateless resets and tokens, kept over a restart (random)"},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* Cores, and how many connections they bear. */
static void core_rows(struct edge *edge, struct mr_option rows_out[CORE_ROWS])
{
    const struct mr_option rows[CORE_ROWS] = {
        {.name = "shards",
         .kind = MR_OPTION_U32,
         .to = &edge->host_options.shards,
         .argument = "N",
         .help = "polling cores (1)",
         .min = 1,
         .max = MR_SHARDS_MAX},
        {.name = "io-lcores",
         .kind = MR_OPTION_U32,
         .to = &edge->host_options.io_lcores,
         .argument = "N",
         .help = "more cores, which only receive and send frames; 0: the polling cores do (0)",
         .max = MR_IO_LCORES_MAX},
        {.name = "connections",
         .kind = MR_OPTION_U32,
         .to = &edge->connections,
         .argument = "N",
         .help = "at once, of all shards (1000)",
         .min = 1,
         .max = 1000000},
        {.name = "awake",
         .kind = MR_OPTION_U32,
         .to = &edge->awake,
         .argument = "N",
         .help = "of them, the others sleep in a third of the memory; 0: all are awake (0)",
         .max = 1000000},
        {.name = "tls-helpers",
         .kind = MR_OPTION_U32,
         .to = &edge->tls_helpers,
         .argument = "N",
         .help = "threads that compute handshakes; 0: the polling cores do, in between (0)",
         .max = MR_WORK_HELPERS_MAX},
        {.name = "crypto",
         .kind = MR_OPTION_CHOICE,
         .to = &edge->host_options.crypto,
         .argument = "LIB",
         .help = "auto, openssl or ipsec-mb (auto)",
         .choices = mr_crypto_choices},
        {.name = "polling",
         .kind = MR_OPTION_CHOICE,
         .to = &edge->host_options.polling,
         .argument = "MODE",
         .help = "adaptive: sleep when idle; busy: never (adaptive)",
         .choices = mr_polling_choices},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* While it runs, and at its end. */
static void running_rows(struct edge *edge, struct mr_option rows_out[RUNNING_ROWS])
{
    const struct mr_option rows[RUNNING_ROWS] = {
        {.name = "stats",
         .kind = MR_OPTION_REAL,
         .to = &edge->status_seconds,
         .argument = "S",
         .help = "a status line each S seconds (5, on a terminal only)",
         .min = 0.1,
         .max = 86400,
         .given = &edge->has_status},
        {.name = "drain",
         .kind = MR_OPTION_REAL,
         .to = &edge->drain_seconds,
         .argument = "S",
         .help = "wait so long for requests under way at the end (5)",
         .min = 0,
         .max = 86400},
        {.name = "control",
         .kind = MR_OPTION_TEXT,
         .to = &edge->control_path,
         .argument = "PATH",
         .help = "make a control socket there, for `millrace ctl` (none)"},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

static enum mr_parse_result parse(struct edge *edge, int argc, char **argv, struct mr_fault *fault)
{
    struct mr_option shared[MR_HOST_ROWS];
    struct mr_option site[SITE_ROWS];
    struct mr_option listen[LISTEN_ROWS];
    struct mr_option identity[IDENTITY_ROWS];
    struct mr_option core[CORE_ROWS];
    struct mr_option running[RUNNING_ROWS];
    struct mr_command_line line = {
        .usage = "millrace edge --port SPEC --addr IP/BITS --root DIR [options]",
        .about = "Serve a directory of files over HTTP/3, until SIGINT, SIGTERM or SIGHUP.",
        .options = site,
        .more = {listen, identity, core, running, shared},
    };

    site_rows(edge, site);
    listen_rows(edge, listen);
    identity_rows(edge, identity);
    core_rows(edge, core);
    running_rows(edge, running);
    mr_host_option_rows(&edge->host_options, shared);
    return mr_options_parse(&line, argc, argv, fault);
}

static bool open_edge(struct edge *edge, struct mr_fault *fault)
{
    return mr_tls_library_check(fault) == 0 && make_tls(edge, fault) && make_servers(edge, fault) &&
           open_host(edge, fault) && open_control(edge, fault);
}

int mr_tool_edge(int argc, char **argv)
{
    static struct edge edge; /* large */
    struct mr_fault fault = {0};
    int status = MR_EXIT_FAILED;

    edge = (struct edge){.host_options = mr_host_options_default(),
                         .port_number = 443,
                         .connections = 1000,
                         .cache_bytes = (uint64_t)64 << 20,
                         .index = "index.html",
                         .status_seconds = STATUS_SECONDS,
                         .drain_seconds = 5};
    edge.host.keylog.fd = -1;
    switch (parse(&edge, argc, argv, &fault)) {
    case MR_PARSE_HELP:
        return MR_EXIT_OK;
    case MR_PARSE_ERROR:
        mr_tool_complain("edge", &fault);
        return MR_EXIT_USAGE;
    case MR_PARSE_OK:
        break;
    }
    if (!check(&edge, &fault)) {
        mr_tool_complain("edge", &fault);
        return MR_EXIT_USAGE;
    }
    mr_signal_block();
    if (open_edge(&edge, &fault))
        status = serve(&edge);
    else
        mr_tool_complain("edge", &fault);
    close_edge(&edge);
    return status;
}
