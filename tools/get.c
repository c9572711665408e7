/*
 * tools/get.c - `millrace get`: files over HTTP/3 through a port.
 *
 *     URLs -> names, addresses -> output files -> TLS context -> EAL, port, one shard
 *     -> the port is up -> connect, requests (tools/fetch.h) -> progress -> files get their names
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/eal.h"
#include "http3/frame.h"
#include "tools/get_internal.h"
#include "tools/tools.h"

#define RX_MBUFS       16384
#define COMPACT_SLACK  2
#define STREAM_WINDOW  ((uint64_t)16 << 20)
#define CONN_WINDOW    ((uint64_t)24 << 20)
#define PAYLOAD_MAX    1200 /* requests are small: no packets to find the MTU with */
#define TIMEOUT_S      10
#define CLOSE_PATIENCE (100 * MR_MS)
#define KEEP_ALIVE     MR_SECOND
#define LIVE_NS        (200 * MR_MS)
#define POLL_NS        (10 * MR_MS)

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ------------------------------------------------------------------ what is asked for */

/* Two URLs must not end in one file. */
static bool check_names(const struct mr_get *get, uint32_t index, struct mr_fault *fault)
{
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(get->outputs[i].path, get->outputs[index].path) != 0)
            continue;
        mr_fault_set(fault, EINVAL,
                     "two URLs would be written to %.100s; fetch them one by one, each with its -o",
                     get->outputs[index].path);
        return false;
    }
    return true;
}

static bool name_outputs(struct mr_get *get, struct mr_fault *fault)
{
    bool is_stdout = get->output != NULL && strcmp(get->output, "-") == 0;

    if (is_stdout && get->is_json) {
        mr_fault_set(fault, EINVAL,
                     "-o - and --json both want standard output; write to a file instead");
        return false;
    }
    if (get->alpn == MR_GET_HQ && get->is_head) {
        mr_fault_set(fault, EINVAL, "--head: HTTP/0.9 has no HEAD; leave out one of the two");
        return false;
    }
    if (get->output != NULL && get->is_head) {
        mr_fault_set(fault, EINVAL,
                     "--head fetches no content, so that there is nothing to write; leave out -o, "
                     "or --head");
        return false;
    }
    get->fetcher.at_once = is_stdout ? 1 : MR_FETCHES_AT_ONCE; /* one after the other */
    for (uint32_t i = 0; i < get->count; i++) {
        if (!mr_output_name(&get->outputs[i], get->output, &get->urls[i], fault))
            return false;
        if (!is_stdout && !get->is_head && !check_names(get, i, fault))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ where the server is */

static struct mr_ip ip_of(const struct addrinfo *info)
{
    struct mr_ip ip;

    if (info->ai_family == AF_INET)
        return mr_ip_from_v4(
            (const uint8_t *)&((const struct sockaddr_in *)(const void *)info->ai_addr)->sin_addr);
    memcpy(ip.bytes, &((const struct sockaddr_in6 *)(const void *)info->ai_addr)->sin6_addr,
           sizeof(ip.bytes));
    return ip;
}

/* The first address of a family that we have one of. */
static bool look_up(struct mr_get *get, const char *name, struct mr_fault *fault)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *list = NULL;
    int error = getaddrinfo(name, NULL, &hints, &list);
    bool is_found = false;

    if (error != 0) {
        mr_fault_set(fault, ENOENT,
                     "cannot find the address of %.100s: %s; check the name, or give an address "
                     "with --connect IP",
                     name, gai_strerror(error));
        return false;
    }
    for (const struct addrinfo *i = list; i != NULL && !is_found; i = i->ai_next) {
        if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
            continue;
        get->server = ip_of(i);
        is_found = mr_host_has_family(&get->host, i->ai_family == AF_INET);
    }
    freeaddrinfo(list);
    if (!is_found)
        mr_fault_set(fault, EAFNOSUPPORT,
                     "%.100s has no %s address, and --addr gives no other; add one of its family",
                     name, mr_host_has_family(&get->host, true) ? "IPv4" : "IPv6");
    return is_found;
}

/* "IP", "IP:PORT", "[IP]:PORT" of --connect. */
static bool take_connect(struct mr_get *get, struct mr_fault *fault)
{
    const char *text = get->connect;
    char host[MR_IP_TEXT] = "";
    const char *colon = strrchr(text, ':');
    bool is_bracketed = text[0] == '[';
    bool has_port = colon != NULL && (is_bracketed ? colon[-1] == ']' : strchr(text, ':') == colon);
    size_t size = has_port ? (size_t)(colon - text) : strlen(text);
    char *end = NULL;

    if (is_bracketed && size >= 2) {
        text++;
        size -= 2;
    }
    if (size < sizeof(host))
        memcpy(host, text, size);
    unsigned long port = has_port ? strtoul(colon + 1, &end, 10) : get->server_port;
    bool is_good = mr_ip_parse(host, &get->server) && port > 0 && port <= UINT16_MAX &&
                   (end == NULL || *end == '\0');
    get->server_port = (uint16_t)port;
    if (!is_good)
        mr_fault_set(fault, EINVAL,
                     "--connect %.60s: not an address, like 198.18.0.1 or 198.18.0.1:8443",
                     get->connect);
    return is_good;
}

static bool resolve(struct mr_get *get, struct mr_fault *fault)
{
    bool is_found;

    get->server_port = get->urls[0].port;
    if (get->connect != NULL)
        is_found = take_connect(get, fault);
    else
        is_found =
            mr_ip_parse(get->urls[0].host, &get->server) || look_up(get, get->urls[0].host, fault);
    if (!is_found)
        return false;
    mr_ip_format(&get->server, get->server_text);
    return mr_host_check_route(&get->host, &get->server, fault);
}

/* ------------------------------------------------------------------ making */

static bool make_tls(struct mr_get *get, struct mr_fault *fault)
{
    struct mr_tls_client_config config = {
        .ca_path = get->ca_path,
        .is_insecure = get->is_insecure,
        .ciphers = get->ciphers,
        .has_early_data = get->is_early,
        .has_keylog = get->host_options.keylog != NULL,
    };

    get->has_tls = mr_tls_context_client(&get->tls, &config, fault) == 0;
    return get->has_tls;
}

static bool open_outputs(struct mr_get *get, struct mr_fault *fault)
{
    for (uint32_t i = 0; i < get->count && !get->is_head; i++) {
        if (!mr_output_open(&get->outputs[i], fault))
            return false;
    }
    return true;
}

/* The addresses of --path: ours, of the server's family. */
static bool take_paths(struct mr_get *get, struct mr_fault *fault)
{
    struct mr_fetcher *f = &get->fetcher;
    char text[MR_IP_TEXT];
    struct mr_ip ip;

    for (const char *at = get->paths; at != NULL && *at != '\0';) {
        size_t size = strcspn(at, ",");

        snprintf(text, sizeof(text), "%.*s", (int)size, at);
        at += size + (at[size] == ',');
        if (!mr_ip_parse(text, &ip) || !mr_net_self_has(&get->host.self, &ip) ||
            mr_ip_is_v4(&ip) != mr_ip_is_v4(&get->server)) {
            mr_fault_set(fault, EINVAL,
                         "--path %s: not one of the addresses that --addr gives this command, of "
                         "the server's family",
                         text);
            return false;
        }
        if (f->path_count == MR_FETCH_PATHS) {
            mr_fault_set(fault, E2BIG, "--path: more than %d addresses", MR_FETCH_PATHS);
            return false;
        }
        memcpy(f->paths[f->path_count++].ip, ip.bytes, sizeof(ip.bytes));
    }
    return true;
}

static bool make_fetcher(struct mr_get *get, struct mr_fault *fault)
{
    struct mr_fetcher *f = &get->fetcher;

    for (uint32_t i = 0; i < get->count; i++) {
        get->fetches[i].authority = get->urls[i].authority;
        get->fetches[i].path = get->urls[i].path;
        get->fetches[i].fd = get->outputs[i].fd;
        get->fetches[i].is_stream = get->outputs[i].is_stream;
    }
    memcpy(f->connect.remote.ip, get->server.bytes, sizeof(f->connect.remote.ip));
    f->connect.remote.port = get->server_port;
    f->connect.server_name = get->urls[0].host;
    f->connect.is_insecure = get->is_insecure;
    f->connect.is_early = get->is_early;
    f->connect.versions[0] = (uint8_t)get->quic_version;
    f->connect.versions[1] = get->quic_version == 2 ? 1 : 0;
    f->timeout_ns = (uint64_t)(get->timeout_s * 1e9);
    f->is_head = get->is_head;
    f->is_hq = get->alpn == MR_GET_HQ;
    f->migrate_after_ns = get->has_migration ? (uint64_t)(get->migrate_after_s * 1e9) : UINT64_MAX;
    if (!take_paths(get, fault))
        return false;
    f->fetch_count = get->count;
    f->fetches = get->fetches;
    return mr_get_read_ticket(get, fault) && mr_fetcher_make(f, fault);
}

static bool open_host(struct mr_get *get, struct mr_fault *fault)
{
    struct mr_host_config config = {
        .name = "get",
        .applications = mr_fetcher_application(&get->fetcher),
        .client = &get->tls,
        .local_port = mr_host_client_port(&get->host),
        .connections = 8,
        .helpers = 1, /* so that writes stay in order */
        .rx_mbufs = RX_MBUFS,
        .payload_max = PAYLOAD_MAX,
        .key_update_after = get->key_update_after,
        .idle_timeout_ns = (uint64_t)(get->timeout_s * 1e9) + 30 * MR_SECOND,
        .keep_alive_ns = KEEP_ALIVE,
        .stream_window_max = STREAM_WINDOW,
        .conn_window_max = CONN_WINDOW,
        .paths_max = get->fetcher.path_count > 0 ? get->fetcher.path_count + 1 : 0,
    };

    return mr_host_open(&get->host, &config, fault);
}

static bool open_get(struct mr_get *get, struct mr_fault *fault)
{
    return mr_tls_library_check(fault) == 0 && make_tls(get, fault) && open_outputs(get, fault) &&
           make_fetcher(get, fault) && open_host(get, fault);
}

static void close_get(struct mr_get *get)
{
    mr_host_close(&get->host);
    for (uint32_t i = 0; i < get->count; i++)
        mr_output_discard(&get->outputs[i]);
    mr_fetcher_free(&get->fetcher);
    if (get->has_tls)
        mr_tls_context_free(&get->tls);
    if (get->host.has_eal)
        mr_eal_stop();
    mr_get_free_urls(get);
}

/* ------------------------------------------------------------------ running */

static void watch(struct mr_get *get)
{
    bool is_live = isatty(STDERR_FILENO) && !get->is_json;
    double step = is_live ? 0.2 : 1;
    double begin = now_s();
    double shown = begin;
    uint64_t before = 0;

    while (!mr_fetcher_is_over(&get->fetcher)) {
        if (mr_signal_wait(POLL_NS)) {
            get->was_interrupted = true;
            mr_fetcher_cancel(&get->fetcher);
        }
        double now = now_s();
        if (get->is_json || now - shown < step)
            continue;
        mr_get_show_progress(get, now - begin, now - shown, &before, is_live);
        shown = now;
    }
    get->seconds = now_s() - begin;
    if (is_live && shown > begin)
        fprintf(stderr, "\r\033[K");
}

static int run(struct mr_get *get)
{
    struct mr_fault fault = {0};

    if (!mr_host_wait_for_port(&get->host, get->timeout_s, &fault)) {
        mr_tool_complain("get", &fault);
        return MR_EXIT_FAILED;
    }
    mr_host_launch(&get->host);
    watch(get);
    mr_host_stop(&get->host, CLOSE_PATIENCE);
    mr_group_net_counters(&get->host.group, &get->net);
    uint32_t lost = mr_host_close(&get->host);
    int status = mr_get_finish(get);
    if (!mr_get_write_ticket(get, &fault)) {
        mr_tool_complain("get", &fault);
        status = MR_EXIT_FAILED;
    }
    if (lost > 0)
        fprintf(stderr, "millrace get: %u mbufs lost; please report this\n", lost);
    return status;
}

/* ------------------------------------------------------------------ the command */

static enum mr_parse_result parse(struct mr_get *get, int argc, char **argv, struct mr_fault *fault)
{
    static const char *const alpn_choices[] = {[MR_GET_H3] = "h3", [MR_GET_HQ] = MR_HQ_ALPN, NULL};
    struct mr_option shared[MR_HOST_ROWS];
    const struct mr_option options[] = {
        {.name = "output",
         .kind = MR_OPTION_TEXT,
         .to = &get->output,
         .argument = "FILE",
         .help = "or -o: file, directory, or - for standard output (the URL's last part)"},
        {.name = "urls",
         .kind = MR_OPTION_TEXT,
         .to = &get->urls_path,
         .argument = "FILE",
         .help = "more URLs, one a line"},
        {.name = "insecure",
         .kind = MR_OPTION_FLAG,
         .to = &get->is_insecure,
         .help = "accept any certificate"},
        {.name = "ca",
         .kind = MR_OPTION_TEXT,
         .to = &get->ca_path,
         .argument = "FILE",
         .help = "certificates to trust, PEM (the system's)"},
        {.name = "connect",
         .kind = MR_OPTION_TEXT,
         .to = &get->connect,
         .argument = "IP[:PORT]",
         .help = "where to connect, whatever the URL's host resolves to"},
        {.name = "head",
         .kind = MR_OPTION_FLAG,
         .to = &get->is_head,
         .help = "ask with HEAD, print what the answer's header says"},
        {.name = "timeout",
         .kind = MR_OPTION_REAL,
         .to = &get->timeout_s,
         .argument = "S",
         .help = "give up after S seconds without any answer or data (10)",
         .min = 0.1,
         .max = 86400},
        {.name = "alpn",
         .kind = MR_OPTION_CHOICE,
         .to = &get->alpn,
         .argument = "NAME",
         .help = "h3, or hq-interop: HTTP/0.9, for tests with other programs (h3)",
         .choices = alpn_choices},
        {.name = "ciphers",
         .kind = MR_OPTION_TEXT,
         .to = &get->ciphers,
         .argument = "LIST",
         .help = "TLS cipher suites to offer, separated by colons (all)"},
        {.name = "session",
         .kind = MR_OPTION_TEXT,
         .to = &get->ticket_path,
         .argument = "FILE",
         .help = "resume the session kept there, if any, and keep the new one there"},
        {.name = "early-data",
         .kind = MR_OPTION_FLAG,
         .to = &get->is_early,
         .help = "ask in 0-RTT, if that session allows it: others can copy that and send it again"},
        {.name = "priority",
         .kind = MR_OPTION_TEXT,
         .to = &get->priorities,
         .argument = "LIST",
         .help = "u=0 to u=7, first to last, and i: in turns with others; one for each URL, "
                 "separated by semicolons (u=3)"},
        {.name = "quic-version",
         .kind = MR_OPTION_U32,
         .to = &get->quic_version,
         .argument = "N",
         .help = "1, or 2: begin with 1 and go on with 2, if the server has it (1)",
         .min = 1,
         .max = 2},
        {.name = "key-update",
         .kind = MR_OPTION_U32,
         .to = &get->key_update_after,
         .argument = "N",
         .help = "replace the keys after N packets, up to twice as many (2097152)",
         .min = 1,
         .max = 2097152},
        {.name = "migrate-after",
         .kind = MR_OPTION_REAL,
         .to = &get->migrate_after_s,
         .argument = "S",
         .help = "go to another UDP port S seconds after connecting, while files arrive (never)",
         .min = 0,
         .max = 86400,
         .given = &get->has_migration},
        {.name = "path",
         .kind = MR_OPTION_TEXT,
         .to = &get->paths,
         .argument = "IP[,IP...]",
         .help = "use paths from these addresses of --addr as well, at the same time (none)"},
        {.name = "json",
         .kind = MR_OPTION_FLAG,
         .to = &get->is_json,
         .help = "print the results as one JSON object, no progress"},
        {.name = NULL},
    };
    struct mr_command_line line = {
        .usage =
            "millrace get https://HOST[:PORT]/PATH [URL...] --port SPEC --addr IP/BITS [options]",
        .about = "Fetch files of one server over HTTP/3.",
        .options = options,
        .more = {shared},
        .positional_max = MR_FETCHES_MAX,
    };

    mr_host_option_rows(&get->host_options, shared);
    enum mr_parse_result result = mr_options_parse(&line, argc, argv, fault);
    if (result == MR_PARSE_OK && get->is_early && get->ticket_path == NULL) {
        mr_fault_set(fault, EINVAL,
                     "--early-data needs --session FILE: 0-RTT goes by an earlier connection's");
        return MR_PARSE_ERROR;
    }
    if (result == MR_PARSE_OK &&
        (!mr_get_take_urls(get, &line, fault) || !mr_get_take_priorities(get, fault) ||
         !mr_host_plan(&get->host, &get->host_options, fault) || !name_outputs(get, fault)))
        return MR_PARSE_ERROR;
    return result;
}

int mr_tool_get(int argc, char **argv)
{
    static struct mr_get get; /* large */
    struct mr_fault fault = {0};
    int status = MR_EXIT_FAILED;

    memset(&get, 0, sizeof(get));
    get.host_options = mr_host_options_default();
    get.timeout_s = TIMEOUT_S;
    get.quic_version = 1;
    switch (parse(&get, argc, argv, &fault)) {
    case MR_PARSE_HELP:
        return MR_EXIT_OK;
    case MR_PARSE_ERROR:
        mr_tool_complain("get", &fault);
        return MR_EXIT_USAGE;
    case MR_PARSE_OK:
        break;
    }
    mr_signal_block();
    if (resolve(&get, &fault) && open_get(&get, &fault))
        status = run(&get);
    else
        mr_tool_complain("get", &fault);
    close_get(&get);
    return status;
}
