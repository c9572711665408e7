/*
 * tools/perf_serve.c - `millrace perf server`: answers the QUIC performance protocol
 * (perf_server.h).
 *
 *     options -> certificate -> a server for each shard -> port and shards -> one line: ready
 *     -> SIGINT, SIGTERM or SIGHUP -> close -> totals
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/certificate.h"
#include "control/eal.h"
#include "control/early_data.h"
#include "drivers/port_loss.h"
#include "tools/host.h"
#include "tools/perf_far.h"
#include "tools/perf_far_report.h"
#include "tools/perf_server.h"
#include "tools/perf_windows.h"
#include "tools/report.h"
#include "tools/tools.h"

#define SERVER_PORT    4433
#define RX_MBUFS       16384
#define IDLE_TIMEOUT   (60 * MR_SECOND)
#define CLOSE_PATIENCE (200 * MR_MS)
#define STREAMS        65536 /* of a shard, at a time */
#define POLL_NS        MR_SECOND
#define ORDERS_NS      (10 * MR_MS) /* between looks for orders */
#define STOP_NS        (200 * MR_MS)

struct perf_server {
    struct mr_host_options host_options;
    uint32_t port_number;
    const char *certificate_path;
    const char *key_path;
    const char *control_path; /* of the secret of those who give orders; NULL: nobody does */
    uint32_t connections;
    uint32_t awake;
    struct mr_perf_windows windows;
    uint32_t streams;               /* that a client may have open */
    int retry;                      /* 0 auto, 1 always */
    const char *loss_text;          /* NULL: none */
    struct mr_port_loss_rates loss; /* on purpose, unless an order says otherwise */

    struct mr_host host;
    struct mr_tls_context tls;
    bool has_tls;
    struct mr_replay *replay;
    struct mr_perf_buffer buffer;
    struct mr_perf_secret secret;
    struct mr_far *fars[MR_SHARDS_MAX];
    struct mr_far *loses_for; /* whose order the losses are; NULL: nobody's */
    struct mr_perf_server *servers[MR_SHARDS_MAX];
    struct mr_application applications[MR_SHARDS_MAX];
};

static bool make_tls(struct perf_server *s, struct mr_fault *fault)
{
    static const uint8_t alpn[] = "\004" MR_PERF_ALPN "\015" MR_FAR_ALPN;
    char text[MR_NET_ADDRESSES_MAX][MR_IP_TEXT];
    const char *names[MR_NET_ADDRESSES_MAX + 1];
    struct mr_certificate made = {0};

    s->replay = mr_early_data_make(MR_EARLY_ENTRIES, fault);
    if (s->replay == NULL)
        return false;
    struct mr_tls_server_config config = {
        .certificate_path = s->certificate_path,
        .key_path = s->key_path,
        .alpn = alpn,
        .alpn_size = s->control_path != NULL ? sizeof(alpn) - 1 : sizeof("\004" MR_PERF_ALPN) - 1,
        .tickets = 1,
        .has_early_data = true,
        .replay = s->replay,
        .has_keylog = s->host_options.keylog != NULL};

    if (s->certificate_path == NULL) {
        size_t count = mr_host_names(&s->host, text, names);

        names[count++] = "localhost";
        const struct mr_certificate_options options = {.names = names, .name_count = count};
        if (mr_certificate_make(&made, &options, fault) != 0)
            return false;
        config.certificate = &made;
    }
    s->has_tls = mr_tls_context_server(&s->tls, &config, fault) == 0;
    mr_certificate_wipe(&made);
    return s->has_tls;
}

static bool take_orders(struct perf_server *s, uint32_t i, struct mr_fault *fault)
{
    s->fars[i] = calloc(1, sizeof(*s->fars[i]));
    if (s->fars[i] == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory for answers to orders");
        return false;
    }
    mr_perf_server_take_orders(s->servers[i], s->fars[i]);
    return true;
}

static bool make_servers(struct perf_server *s, struct mr_fault *fault)
{
    if (!mr_perf_buffer_make(&s->buffer, MR_PERF_BUFFER_BYTES)) {
        mr_fault_set(fault, ENOMEM, "not enough memory for the data to send");
        return false;
    }
    for (uint32_t i = 0; i < s->host_options.shards; i++) {
        s->servers[i] = mr_perf_server_make(&s->buffer, STREAMS, fault);
        if (s->servers[i] == NULL)
            return false;
        if (s->control_path != NULL && !take_orders(s, i, fault))
            return false;
        s->applications[i] = *mr_perf_server_application(s->servers[i]);
    }
    return true;
}

static bool open_server(struct perf_server *s, struct mr_fault *fault)
{
    uint32_t shards = s->host_options.shards;

    if (mr_tls_library_check(fault) != 0 || !make_tls(s, fault) || !make_servers(s, fault))
        return false;
    const struct mr_host_config config = {
        .name = "perf",
        .applications = s->applications,
        .server = &s->tls,
        .local_port = (uint16_t)s->port_number,
        .connections = (s->connections + shards - 1) / shards,
        .awake = (s->awake + shards - 1) / shards,
        .rx_mbufs = RX_MBUFS,
        .has_retry = s->retry == 1,
        .idle_timeout_ns = IDLE_TIMEOUT,
        .stream_window_max = s->windows.stream_max,
        .conn_window_max = s->windows.conn_max,
        .streams_bidi_max = s->streams,
        .streams_uni_max = s->streams,
    };

    return mr_host_open(&s->host, &config, fault) &&
           (s->loss_text == NULL || mr_port_lose(s->host.group.port, &s->loss, fault));
}

static void close_server(struct perf_server *s)
{
    mr_host_close(&s->host);
    for (uint32_t i = 0; i < s->host_options.shards; i++)
        mr_perf_server_free(s->servers[i]);
    for (uint32_t i = 0; i < s->host_options.shards; i++)
        free(s->fars[i]);
    mr_perf_buffer_free(&s->buffer);
    if (s->has_tls)
        mr_tls_context_free(&s->tls);
    mr_early_data_free(s->replay);
    if (s->host.has_eal)
        mr_eal_stop();
}

static void say_ready(const struct perf_server *s)
{
    char fingerprint[MR_FINGERPRINT_TEXT];
    const struct mr_net_self *self = &s->host.self;

    mr_tls_context_fingerprint(&s->tls, fingerprint);
    printf("perf: serving at");
    for (uint32_t i = 0; i < self->address_count; i++) {
        char text[MR_IP_TEXT];
        bool is_v4 = mr_ip_is_v4(&self->address[i].ip);

        printf(" %s%s%s:%u", is_v4 ? "" : "[", mr_ip_format(&self->address[i].ip, text),
               is_v4 ? "" : "]", s->port_number);
    }
    printf(" on %s, certificate sha256 %s%s\n", s->host_options.port, fingerprint,
           s->certificate_path == NULL ? " (self-signed)" : "");
    fflush(stdout);
}

static void read_counts(const struct perf_server *s, struct mr_perf_server_counts *sum)
{
    *sum = (struct mr_perf_server_counts){0};
    for (uint32_t i = 0; i < s->host_options.shards; i++)
        mr_perf_server_read(s->servers[i], sum);
}

/* With what the order asks for, or what the server was started with. */
static void lose(struct perf_server *s, struct mr_far *by, const struct mr_far_request *request)
{
    struct mr_fault fault = {0};

    if (!request->has_rates && s->loses_for == NULL)
        return; /* it is as it was started */
    s->loses_for = request->has_rates ? by : NULL;
    if (!mr_port_lose(s->host.group.port, request->has_rates ? &request->rates : &s->loss, &fault))
        mr_tool_complain("perf server", &fault); /* the report says that there are none */
}

/* Who asked for losses and left without a word leaves none behind. */
static void end_losses(struct perf_server *s)
{
    static const struct mr_far_request as_started = {.order = MR_FAR_ORDER_LOSS};

    if (s->loses_for != NULL && mr_far_conns(s->loses_for) == 0)
        lose(s, NULL, &as_started);
}

/* Answer the orders that have come to shard i.  True: it is to stop. */
static bool obey(struct perf_server *s, uint32_t i)
{
    struct mr_perf_server_counts counts;
    struct mr_far_request request;
    uint32_t size;
    const char *text = mr_far_order(s->fars[i], &size);

    if (text == NULL)
        return false;
    mr_far_order_read(text, size, &s->secret, &request);
    if (request.order == MR_FAR_ORDER_LOSS)
        lose(s, s->fars[i], &request);
    read_counts(s, &counts);
    struct json_object *answer = mr_far_obey(request.order, &s->host, &counts);
    mr_far_give(s->fars[i], json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
    json_object_put(answer);
    return request.order == MR_FAR_ORDER_STOP;
}

/* Until a signal or an order ends it. */
static void answer_orders(struct perf_server *s)
{
    bool stops = false;

    while (!stops && !mr_signal_wait(ORDERS_NS)) {
        for (uint32_t i = 0; i < s->host_options.shards; i++)
            stops |= obey(s, i);
        end_losses(s);
    }
    if (stops)
        (void)mr_signal_wait(STOP_NS); /* the answer goes out */
}

static int serve(struct perf_server *s)
{
    struct mr_perf_server_counts counts;
    struct mr_port_losses losses;
    struct mr_report report;

    mr_host_launch(&s->host);
    say_ready(s);
    if (s->control_path != NULL)
        answer_orders(s);
    while (s->control_path == NULL && !mr_signal_wait(POLL_NS))
        continue;
    mr_host_stop(&s->host, CLOSE_PATIENCE);
    mr_report_read(&report, &s->host.group);
    read_counts(s, &counts);
    mr_port_losses(s->host.group.port, &losses);
    uint32_t lost = mr_host_close(&s->host);
    printf("perf: %llu operations answered; streams: %llu refused, %llu ignored, %llu waited\n",
           (unsigned long long)counts.requests, (unsigned long long)counts.streams_refused,
           (unsigned long long)counts.streams_ignored, (unsigned long long)counts.streams_waited);
    if (losses.sent_lost + losses.received_lost > 0)
        printf("perf: lost on purpose: %llu of %llu datagrams sent, %llu of %llu received\n",
               (unsigned long long)losses.sent_lost, (unsigned long long)losses.sent,
               (unsigned long long)losses.received_lost, (unsigned long long)losses.received);
    mr_report_totals(stdout, "perf", &report, lost);
    return lost == 0 ? MR_EXIT_OK : MR_EXIT_FAILED;
}

/* Rows of a table of options, its end included. */
#define SERVER_ROWS 6
#define LIMIT_ROWS  5
#define SIDE_ROWS   4

/* Who it is, and whom it answers. */
static void server_rows(struct perf_server *s, struct mr_option rows_out[SERVER_ROWS])
{
    static const char *const retry_choices[] = {"auto", "always", NULL};
    const struct mr_option rows[SERVER_ROWS] = {
        {.name = "listen-port",
         .kind = MR_OPTION_U32,
         .to = &s->port_number,
         .argument = "N",
         .help = "UDP port (4433)",
         .min = 1,
         .max = 65535},
        {.name = "cert",
         .kind = MR_OPTION_TEXT,
         .to = &s->certificate_path,
         .argument = "PEM",
         .help = "certificate and chain (self-signed, for 13 days)"},
        {.name = "key",
         .kind = MR_OPTION_TEXT,
         .to = &s->key_path,
         .argument = "PEM",
         .help = "its private key"},
        {.name = "control",
         .kind = MR_OPTION_TEXT,
         .to = &s->control_path,
         .argument = "FILE",
         .help = "answer clients that have the same secret in their --control: counters, stop"},
        {.name = "retry",
         .kind = MR_OPTION_CHOICE,
         .to = &s->retry,
         .argument = "WHEN",
         .help = "validate addresses: auto (under load) or always (auto)",
         .choices = retry_choices},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* How many at a time, and on how many cores. */
static void limit_rows(struct perf_server *s, struct mr_option rows_out[LIMIT_ROWS])
{
    const struct mr_option rows[LIMIT_ROWS] = {
        {.name = "shards",
         .kind = MR_OPTION_U32,
         .to = &s->host_options.shards,
         .argument = "N",
         .help = "polling cores (1)",
         .min = 1,
         .max = MR_SHARDS_MAX},
        {.name = "connections",
         .kind = MR_OPTION_U32,
         .to = &s->connections,
         .argument = "N",
         .help = "at once, of all shards (10000)",
         .min = 1,
         .max = 4000000},
        {.name = "awake",
         .kind = MR_OPTION_U32,
         .to = &s->awake,
         .argument = "N",
         .help = "of them, the others sleep in a third of the memory; 0: all are awake (0)",
         .max = 4000000},
        {.name = "streams",
         .kind = MR_OPTION_U32,
         .to = &s->streams,
         .argument = "N",
         .help = "that each client may have open (256)",
         .min = 1,
         .max = 65536},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* How its side works. */
static void side_rows(struct perf_server *s, struct mr_option rows_out[SIDE_ROWS])
{
    const struct mr_option rows[SIDE_ROWS] = {
        {.name = "loss",
         .kind = MR_OPTION_TEXT,
         .to = &s->loss_text,
         .argument = "WORDS",
         .help = "drop so many datagrams on purpose: sent=PERCENT,received=PERCENT"},
        {.name = "crypto",
         .kind = MR_OPTION_CHOICE,
         .to = &s->host_options.crypto,
         .argument = "LIB",
         .help = "auto, openssl or ipsec-mb (auto)",
         .choices = mr_crypto_choices},
        {.name = "polling",
         .kind = MR_OPTION_CHOICE,
         .to = &s->host_options.polling,
         .argument = "MODE",
         .help = "adaptive: sleep when idle; busy: never (adaptive)",
         .choices = mr_polling_choices},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

/* What only fits together, or does not. */
static bool check(struct perf_server *s, struct mr_fault *fault)
{
    if ((s->certificate_path == NULL) != (s->key_path == NULL)) {
        mr_fault_set(fault, EINVAL,
                     "--cert and --key go together: give both, or none for a self-signed "
                     "certificate");
        return false;
    }
    return (s->loss_text == NULL || mr_perf_loss_parse("--loss", s->loss_text, &s->loss, fault)) &&
           (s->control_path == NULL || mr_perf_secret_read(s->control_path, &s->secret, fault)) &&
           mr_perf_windows_check(&s->windows, fault) &&
           mr_host_plan(&s->host, &s->host_options, fault);
}

static enum mr_parse_result parse(struct perf_server *s, int argc, char **argv,
                                  struct mr_fault *fault)
{
    struct mr_option shared[MR_HOST_ROWS];
    struct mr_option server[SERVER_ROWS];
    struct mr_option limit[LIMIT_ROWS];
    struct mr_option side[SIDE_ROWS];
    struct mr_option windows[MR_PERF_WINDOW_ROWS];
    struct mr_command_line line = {
        .usage = "millrace perf server --port SPEC --addr IP/BITS [options]",
        .about = "Answer the QUIC performance protocol, until SIGINT, SIGTERM or SIGHUP.",
        .options = server,
        .more = {limit, side, windows, shared},
    };

    server_rows(s, server);
    limit_rows(s, limit);
    side_rows(s, side);
    mr_perf_window_rows(&s->windows, windows);
    mr_host_option_rows(&s->host_options, shared);
    enum mr_parse_result result = mr_options_parse(&line, argc, argv, fault);
    return result == MR_PARSE_OK && !check(s, fault) ? MR_PARSE_ERROR : result;
}

int mr_tool_perf_server(int argc, char **argv)
{
    static struct perf_server s; /* large */
    struct mr_fault fault = {0};
    int status = MR_EXIT_FAILED;

    s = (struct perf_server){.host_options = mr_host_options_default(),
                             .port_number = SERVER_PORT,
                             .connections = 10000,
                             .windows = mr_perf_windows_default(),
                             .streams = 256};
    switch (parse(&s, argc, argv, &fault)) {
    case MR_PARSE_HELP:
        return MR_EXIT_OK;
    case MR_PARSE_ERROR:
        mr_tool_complain("perf server", &fault);
        return MR_EXIT_USAGE;
    case MR_PARSE_OK:
        break;
    }
    mr_signal_block();
    if (open_server(&s, &fault))
        status = serve(&s);
    else
        mr_tool_complain("perf server", &fault);
    close_server(&s);
    return status;
}
