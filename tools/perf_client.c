/*
 * tools/perf_client.c - `millrace perf client`: load on a server of the QUIC performance protocol.
 *
 *     options -> plan (perf_plan.h) -> TLS context, a load for each shard (perf_load.h) -> port,
 * shards
 *     -> the phases of a run (perf_run.c) -> table or JSON (perf_report.c)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/eal.h"
#include "tools/perf_internal.h"
#include "tools/tools.h"

#define SERVER_PORT    4433
#define SEARCH_RATE    1000 /* operations per second that are tried first */
#define TRIAL_S        1    /* unless --trial says otherwise */
#define RX_MBUFS       16384
#define STREAMS_UNI    65536 /* that the server may open for its answers */
#define CLOSE_PATIENCE (200 * MR_MS)
#define IDLE_TIMEOUT   (60 * MR_SECOND)
#define OPERATIONS_MIN 4096u /* places for operations, of a shard */
#define PLACES_PER_OP  4     /* one that is over keeps its place until its FIN is acknowledged */

/* ------------------------------------------------------------------ the plan */

static bool take_server(struct mr_perf *perf, struct mr_fault *fault)
{
    perf->server_port = SERVER_PORT;
    if (mr_ip_port_parse(perf->server_text, &perf->server, &perf->server_port))
        return mr_host_check_route(&perf->host, &perf->server, fault);
    mr_fault_set(fault, EINVAL,
                 "%.60s: not an address, like 198.18.0.1, 198.18.0.1:4433 or [fd00::1]:4433",
                 perf->server_text);
    return false;
}

static bool take_kinds(struct mr_perf *perf, struct mr_fault *fault)
{
    struct mr_perf_plan *plan = &perf->plan;

    plan->kind_count = perf->op_texts.count;
    for (uint32_t i = 0; i < plan->kind_count; i++) {
        if (!mr_perf_kind_parse(perf->op_texts.text[i], &plan->kind[i], fault))
            return false;
    }
    if (plan->kind_count == 0) {
        plan->kind_count = 1;
        plan->kind[0] = (struct mr_perf_kind){.weight = 1, .down_bytes = MR_PERF_ENDLESS};
    }
    return true;
}

/* With another protocol's name nothing but handshakes is understood. */
static bool take_protocol(struct mr_perf *perf, struct mr_fault *fault)
{
    struct mr_perf_plan *plan = &perf->plan;
    bool is_handshake = true;

    plan->alpn = perf->alpn;
    if (perf->alpn == NULL)
        return true;
    for (uint32_t i = 0; i < plan->kind_count; i++) {
        const struct mr_perf_kind *kind = &plan->kind[i];

        is_handshake &= kind->is_connection && kind->up_bytes == 0 && kind->down_bytes == 0;
    }
    size_t size = strlen(perf->alpn);
    if (is_handshake && size > 0 && size <= MR_PERF_ALPN_MAX)
        return true;
    if (is_handshake)
        mr_fault_set(fault, EINVAL, "--alpn: a name has 1 to %d bytes", MR_PERF_ALPN_MAX);
    else
        mr_fault_set(fault, EINVAL,
                     "--alpn %.32s: such a server answers no request of this protocol; give --op "
                     "connect or --op resume, without sizes",
                     perf->alpn);
    return false;
}

static bool needs_connections(const struct mr_perf_plan *plan)
{
    bool needs = !plan->is_open_loop; /* whose places the operations have */

    for (uint32_t i = 0; i < plan->kind_count; i++)
        needs |= !plan->kind[i].is_connection;
    return needs;
}

static bool make_plan(struct mr_perf *perf, struct mr_fault *fault)
{
    struct mr_perf_plan *plan = &perf->plan;
    uint32_t shards = perf->host_options.shards;

    if (!take_server(perf, fault) || !take_kinds(perf, fault) || !take_protocol(perf, fault))
        return false;
    memcpy(plan->server.ip, perf->server.bytes, sizeof(plan->server.ip));
    plan->server.port = perf->server_port;
    plan->server_name = perf->server_name != NULL ? perf->server_name : "localhost";
    plan->is_insecure = perf->is_insecure;
    if (perf->is_search && perf->rate == 0)
        perf->rate = SEARCH_RATE;
    if (perf->trial_s == 0)
        perf->trial_s = TRIAL_S;
    plan->connecting = perf->connecting;
    plan->at_once = perf->streams;
    plan->is_open_loop = perf->rate > 0;
    plan->is_even = perf->is_even;
    for (uint32_t i = 0; i < plan->kind_count && plan->is_open_loop; i++) {
        if (plan->kind[i].up_bytes != MR_PERF_ENDLESS &&
            plan->kind[i].down_bytes != MR_PERF_ENDLESS)
            continue;
        mr_fault_set(fault, EINVAL,
                     "--rate and --search: an endless operation is never done; give --op sizes");
        return false;
    }
    if (needs_connections(plan) && perf->connections < shards) {
        mr_fault_set(fault, EINVAL,
                     "--connections %u for %u shards: each needs one; ask for more, or fewer "
                     "--shards",
                     perf->connections, shards);
        return false;
    }
    uint64_t places = (uint64_t)(perf->connections / shards + 1) * plan->at_once * PLACES_PER_OP;
    plan->operations =
        (uint32_t)MR_MIN(MR_MAX(places, (uint64_t)OPERATIONS_MIN), (uint64_t)MR_PERF_STREAMS_MAX);
    return true;
}

/* ------------------------------------------------------------------ making */

static bool wants_early(const struct mr_perf_plan *plan)
{
    bool wants = false;

    for (uint32_t i = 0; i < plan->kind_count; i++)
        wants |= plan->kind[i].is_early;
    return wants;
}

static bool make_tls(struct mr_perf *perf, struct mr_fault *fault)
{
    const struct mr_tls_client_config config = {
        .ca_path = perf->ca_path,
        .is_insecure = perf->is_insecure,
        .has_early_data = wants_early(&perf->plan),
        .has_keylog = perf->host_options.keylog != NULL,
    };

    perf->has_tls = mr_tls_context_client(&perf->tls, &config, fault) == 0;
    return perf->has_tls;
}

/* Shard i's part of `count` things. */
static uint32_t share_of(uint32_t count, uint32_t i, uint32_t shards)
{
    return count / shards + (i < count % shards);
}

static bool make_loads(struct mr_perf *perf, struct mr_fault *fault)
{
    uint32_t shards = perf->host_options.shards;

    perf->result.samples = calloc(MR_PERF_SAMPLES_MAX, sizeof(*perf->result.samples));
    if (perf->control_path != NULL)
        perf->far = calloc(1, sizeof(*perf->far));
    if (perf->result.samples == NULL || (perf->control_path != NULL && perf->far == NULL) ||
        !mr_perf_buffer_make(&perf->buffer, MR_PERF_BUFFER_BYTES)) {
        mr_fault_set(fault, ENOMEM, "not enough memory for the data to send");
        return false;
    }
    for (uint32_t i = 0; i < shards; i++) {
        struct mr_perf_plan plan = perf->plan;

        plan.connections = share_of(perf->connections, i, shards);
        plan.connecting = MR_MAX(1u, share_of(perf->connecting, i, shards));
        plan.seed = (uint64_t)perf->seed << 32 | i;
        perf->loads[i] = mr_perf_load_make(&plan, &perf->buffer, fault);
        if (perf->loads[i] == NULL)
            return false;
        if (i == 0 && perf->far != NULL)
            mr_perf_load_carry_orders(perf->loads[i], perf->far);
        perf->applications[i] = *mr_perf_load_application(perf->loads[i]);
    }
    return true;
}

static bool open_host(struct mr_perf *perf, struct mr_fault *fault)
{
    uint32_t shards = perf->host_options.shards;
    const struct mr_host_config config = {
        .name = "perf",
        .applications = perf->applications,
        .client = &perf->tls,
        .local_port = mr_host_client_port(&perf->host),
        .connections = perf->connections / shards + 1 + MR_PERF_OWN_MAX,
        .helpers = 0,
        .rx_mbufs = RX_MBUFS,
        .key_update_after = perf->key_update_after,
        .idle_timeout_ns = IDLE_TIMEOUT,
        .keep_alive_ns = IDLE_TIMEOUT / 4,
        .stream_window_max = perf->windows.stream_max,
        .conn_window_max = perf->windows.conn_max,
        .streams_uni_max = STREAMS_UNI,
    };

    return mr_host_open(&perf->host, &config, fault) &&
           (perf->loss_text == NULL || mr_port_lose(perf->host.group.port, &perf->loss, fault));
}

static bool open_perf(struct mr_perf *perf, struct mr_fault *fault)
{
    return mr_tls_library_check(fault) == 0 && make_tls(perf, fault) && make_loads(perf, fault) &&
           open_host(perf, fault);
}

static void close_perf(struct mr_perf *perf)
{
    mr_host_close(&perf->host);
    for (uint32_t i = 0; i < perf->host_options.shards; i++)
        mr_perf_load_free(perf->loads[i]);
    mr_perf_buffer_free(&perf->buffer);
    free(perf->result.samples);
    json_object_put(perf->result.far_begin);
    json_object_put(perf->result.far);
    free(perf->far);
    if (perf->has_tls)
        mr_tls_context_free(&perf->tls);
    if (perf->host.has_eal)
        mr_eal_stop();
}

static int run(struct mr_perf *perf)
{
    struct mr_fault fault = {0};

    if (!mr_host_wait_for_port(&perf->host, perf->timeout_s, &fault)) {
        mr_tool_complain("perf client", &fault);
        return MR_EXIT_FAILED;
    }
    mr_host_launch(&perf->host);
    bool is_measured = mr_perf_run(perf, &fault);
    mr_host_stop(&perf->host, CLOSE_PATIENCE);
    uint32_t lost = mr_host_close(&perf->host);
    int status = is_measured ? mr_perf_report(perf, lost) : MR_EXIT_FAILED;
    if (is_measured && mr_perf_html_close(perf, true, &fault))
        return status;
    mr_tool_complain("perf client", &fault);
    return MR_EXIT_FAILED;
}

/* ------------------------------------------------------------------ the command */

/* What only fits together, or does not. */
static bool check(struct mr_perf *perf, const struct mr_command_line *line, struct mr_fault *fault)
{
    if (line->positional_count == 0) {
        mr_fault_set(fault, EINVAL, "no server; name one, like 198.18.0.1:4433");
        return false;
    }
    if (perf->is_even && perf->rate == 0 && !perf->is_search) {
        mr_fault_set(fault, EINVAL, "--even needs --rate N or --search");
        return false;
    }
    if (perf->trial_s > 0 && !perf->is_search) {
        mr_fault_set(fault, EINVAL, "--trial needs --search");
        return false;
    }
    if (perf->stops_server && perf->control_path == NULL) {
        mr_fault_set(fault, EINVAL, "--stop-server needs --control FILE");
        return false;
    }
    if (perf->control_path != NULL &&
        !mr_perf_secret_read(perf->control_path, &perf->secret, fault))
        return false;
    if (perf->far_loss_text != NULL && perf->control_path == NULL) {
        mr_fault_set(fault, EINVAL, "--far-loss needs --control FILE");
        return false;
    }
    if ((perf->loss_text != NULL &&
         !mr_perf_loss_parse("--loss", perf->loss_text, &perf->loss, fault)) ||
        (perf->far_loss_text != NULL &&
         !mr_perf_loss_parse("--far-loss", perf->far_loss_text, &perf->far_loss, fault)))
        return false;
    perf->server_text = line->positional[0];
    return mr_perf_windows_check(&perf->windows, fault) &&
           mr_host_plan(&perf->host, &perf->host_options, fault) && make_plan(perf, fault);
}

/* Rows of a table of options, its end included. */
#define LOAD_ROWS   11
#define TIME_ROWS   4
#define SERVER_ROWS 7
#define LINK_ROWS   3
#define SIDE_ROWS   5

/* What is asked of the server, and how often. */
static void load_rows(struct mr_perf *perf, struct mr_option rows_out[LOAD_ROWS])
{
    const struct mr_option rows[LOAD_ROWS] = {
        {.name = "op",
         .kind = MR_OPTION_LIST,
         .to = &perf->op_texts,
         .argument = "WORDS",
         .help = "an operation: up=SIZE,down=SIZE (or endless),uni,connect,resume,early,rebind,"
                 "weight=N; "
                 "again for a mix (down=endless)"},
        {.name = "connections",
         .kind = MR_OPTION_U32,
         .to = &perf->connections,
         .argument = "N",
         .help = "kept open, of all shards (1)",
         .min = 0,
         .max = 4000000},
        {.name = "connecting",
         .kind = MR_OPTION_U32,
         .to = &perf->connecting,
         .argument = "N",
         .help = "handshakes at a time while they are opened (64)",
         .min = 1,
         .max = 65536},
        {.name = "streams",
         .kind = MR_OPTION_U32,
         .to = &perf->streams,
         .argument = "N",
         .help = "operations at a time of each connection (1)",
         .min = 1,
         .max = 65536},
        {.name = "rate",
         .kind = MR_OPTION_REAL,
         .to = &perf->rate,
         .argument = "N",
         .help = "operations that are due in a second, whatever becomes of earlier ones; 0: the "
                 "next begins when one has ended (0)",
         .min = 0,
         .max = 1e9},
        {.name = "even",
         .kind = MR_OPTION_FLAG,
         .to = &perf->is_even,
         .help = "--rate: at equal distances, not as a Poisson process has them"},
        {.name = "search",
         .kind = MR_OPTION_FLAG,
         .to = &perf->is_search,
         .help = "find the highest rate that is kept, from --rate on (1000), and measure that"},
        {.name = "trial",
         .kind = MR_OPTION_REAL,
         .to = &perf->trial_s,
         .argument = "S",
         .help = "--search: try each rate so long (1)",
         .min = 0.1,
         .max = 600},
        {.name = "key-update",
         .kind = MR_OPTION_U32,
         .to = &perf->key_update_after,
         .argument = "N",
         .help = "replace the keys after N packets, up to twice as many (2097152)",
         .min = 1,
         .max = 2097152},
        {.name = "seed",
         .kind = MR_OPTION_U32,
         .to = &perf->seed,
         .argument = "N",
         .help = "of arrivals and of the mix (1)"},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* How long. */
static void time_rows(struct mr_perf *perf, struct mr_option rows_out[TIME_ROWS])
{
    const struct mr_option rows[TIME_ROWS] = {
        {.name = "duration",
         .kind = MR_OPTION_REAL,
         .to = &perf->duration_s,
         .argument = "S",
         .help = "measure so long (10)",
         .min = 0.1,
         .max = 3000},
        {.name = "warm-up",
         .kind = MR_OPTION_REAL,
         .to = &perf->warm_up_s,
         .argument = "S",
         .help = "before that, with the load on (1)",
         .min = 0,
         .max = 600},
        {.name = "timeout",
         .kind = MR_OPTION_REAL,
         .to = &perf->timeout_s,
         .argument = "S",
         .help = "give up after S seconds without another connection, or for the last answers (5)",
         .min = 0.1,
         .max = 3600},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* The server: who it is, and what is asked of its command. */
static void server_rows(struct mr_perf *perf, struct mr_option rows_out[SERVER_ROWS])
{
    const struct mr_option rows[SERVER_ROWS] = {
        {.name = "insecure",
         .kind = MR_OPTION_FLAG,
         .to = &perf->is_insecure,
         .help = "accept any certificate"},
        {.name = "ca",
         .kind = MR_OPTION_TEXT,
         .to = &perf->ca_path,
         .argument = "FILE",
         .help = "certificates to trust, PEM (the system's)"},
        {.name = "name",
         .kind = MR_OPTION_TEXT,
         .to = &perf->server_name,
         .argument = "NAME",
         .help = "of the server, as its certificate has it (localhost)"},
        {.name = "alpn",
         .kind = MR_OPTION_TEXT,
         .to = &perf->alpn,
         .argument = "NAME",
         .help =
             "protocol to ask for, like h3: handshakes and idle connections with any QUIC server "
             "(perf)"},
        {.name = "control",
         .kind = MR_OPTION_TEXT,
         .to = &perf->control_path,
         .argument = "FILE",
         .help = "ask the server for its side's counters; FILE has the secret of its --control"},
        {.name = "stop-server",
         .kind = MR_OPTION_FLAG,
         .to = &perf->stops_server,
         .help = "--control: end it after the run"},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* What is between. */
static void link_rows(struct mr_perf *perf, struct mr_option rows_out[LINK_ROWS])
{
    const struct mr_option rows[LINK_ROWS] = {
        {.name = "loss",
         .kind = MR_OPTION_TEXT,
         .to = &perf->loss_text,
         .argument = "WORDS",
         .help = "drop so many datagrams on purpose: sent=PERCENT,received=PERCENT"},
        {.name = "far-loss",
         .kind = MR_OPTION_TEXT,
         .to = &perf->far_loss_text,
         .argument = "WORDS",
         .help = "--control: the server drops so many, during the run"},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* This side, and where its results go. */
static void side_rows(struct mr_perf *perf, struct mr_option rows_out[SIDE_ROWS])
{
    const struct mr_option rows[SIDE_ROWS] = {
        {.name = "shards",
         .kind = MR_OPTION_U32,
         .to = &perf->host_options.shards,
         .argument = "N",
         .help = "polling cores (1)",
         .min = 1,
         .max = MR_SHARDS_MAX},
        {.name = "crypto",
         .kind = MR_OPTION_CHOICE,
         .to = &perf->host_options.crypto,
         .argument = "LIB",
         .help = "auto, openssl or ipsec-mb (auto)",
         .choices = mr_crypto_choices},
        {.name = "json",
         .kind = MR_OPTION_FLAG,
         .to = &perf->is_json,
         .help = "print the results as one JSON object, no progress"},
        {.name = "html",
         .kind = MR_OPTION_TEXT,
         .to = &perf->html_path,
         .argument = "FILE",
         .help = "write the results there as a page with plots, too"},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

static enum mr_parse_result parse(struct mr_perf *perf, int argc, char **argv,
                                  struct mr_fault *fault)
{
    struct mr_option shared[MR_HOST_ROWS];
    struct mr_option load[LOAD_ROWS];
    struct mr_option time[TIME_ROWS];
    struct mr_option server[SERVER_ROWS];
    struct mr_option link[LINK_ROWS];
    struct mr_option side[SIDE_ROWS];
    struct mr_option windows[MR_PERF_WINDOW_ROWS];
    struct mr_command_line line = {
        .usage = "millrace perf client IP[:PORT] --port SPEC --addr IP/BITS [options]",
        .about =
            "Load a server of the QUIC performance protocol, measure, and say what limited it.",
        .options = load,
        .more = {time, server, link, side, windows, shared},
        .positional_max = 1,
    };

    load_rows(perf, load);
    time_rows(perf, time);
    server_rows(perf, server);
    link_rows(perf, link);
    side_rows(perf, side);
    mr_perf_window_rows(&perf->windows, windows);
    mr_host_option_rows(&perf->host_options, shared);
    enum mr_parse_result result = mr_options_parse(&line, argc, argv, fault);
    if (result != MR_PARSE_OK)
        return result;
    return check(perf, &line, fault) ? MR_PARSE_OK : MR_PARSE_ERROR;
}

int mr_tool_perf_client(int argc, char **argv)
{
    static struct mr_perf perf; /* large */
    struct mr_fault fault = {0};
    int status = MR_EXIT_FAILED;

    perf = (struct mr_perf){.host_options = mr_host_options_default(),
                            .connections = 1,
                            .connecting = 64,
                            .streams = 1,
                            .duration_s = 10,
                            .warm_up_s = 1,
                            .timeout_s = 5,
                            .windows = mr_perf_windows_default(),
                            .seed = 1};
    perf.host_options.polling = 1; /* busy: a sleeping shard begins late */
    switch (parse(&perf, argc, argv, &fault)) {
    case MR_PARSE_HELP:
        return MR_EXIT_OK;
    case MR_PARSE_ERROR:
        mr_tool_complain("perf client", &fault);
        return MR_EXIT_USAGE;
    case MR_PARSE_OK:
        break;
    }
    mr_signal_block();
    if (mr_perf_html_open(&perf, &fault) && open_perf(&perf, &fault))
        status = run(&perf);
    else
        mr_tool_complain("perf client", &fault);
    (void)mr_perf_html_close(&perf, false, &fault); /* if nothing was measured */
    close_perf(&perf);
    return status;
}
