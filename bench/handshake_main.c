/*
 * bench/handshake_main.c - what the engine adds to the TLS library in a server's part of a
 * handshake: `handshake [--json] [full|resumed|early [chunks of 16 [back end]]]`.
 *
 *     client  --ClientHello-->  server  --its flight-->  client  --Finished-->  server  --ticket-->
 *
 * Two endpoints in one thread (engine_pair.h), some handshakes on their way at a time, each closed
 * when its ticket is there; `early`: with a request of 8 bytes in 0-RTT and its answer.  Prints the
 * time that the server's turns take, in turns with the TLS library alone (tls_ceiling.h): medians.
 * Under callgrind, with --collect-atstart=no and --toggle-collect=handshake_server or
 * --toggle-collect='servers_*', it counts instructions of the one or of the other.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine_pair.h"
#include "bench/samples.h"
#include "bench/tls_ceiling.h"

enum {
    AT_ONCE = 16,
    CHUNKS_MAX = 500,  /* clients' closed connections stay for seconds */
    TURN_NS = 1000000, /* virtual time per turn of both */
    REQUEST = 8,
    STREAMS = 16,
    CHUNK = 16, /* handshakes: 5 ms, which a shared machine often leaves alone */
    TICKET_MAX = 8192,
    JOBS = 4, /* that a shard takes at a time */
};

static struct engine_pair *pair;
static bool is_resumed;
static bool is_early;
static uint8_t ticket[TICKET_MAX];
static uint8_t data[REQUEST];
static uint64_t complete;
static uint64_t early_answers;
static uint64_t job_ns; /* of the server's, in TLS jobs */

/* ------------------------------------------------------------------ the applications */

static void send_all(struct engine_side *side, mr_handle stream)
{
    struct mr_view view = {.data = data, .size = sizeof(data)};

    if (mr_stream_send(side->ep, stream, &view, 1, MR_SEND_FIN | MR_SEND_COPY) != 0)
        engine_die("a stream does not take what is sent");
}

/* The server's last flight: the next one takes the ticket. */
static void on_ticket(struct engine_side *client, mr_handle conn)
{
    int64_t size = is_resumed && pair->ticket == NULL
                       ? mr_conn_ticket(client->ep, conn, ticket, sizeof(ticket), pair->now_ns)
                       : 0;

    if (size > 0) {
        pair->ticket = ticket;
        pair->ticket_size = (size_t)size;
        pair->is_early = is_early;
    }
    complete++;
    mr_conn_close(client->ep, conn, 0, "", pair->now_ns);
}

static void on_client_event(struct engine_side *side, const struct mr_event *event)
{
    mr_handle stream;

    if ((event->kinds & MR_EVENT_EARLY) != 0 &&
        mr_stream_open(side->ep, event->conn, MR_OPEN_BIDI, 0, &stream) == 0)
        send_all(side, stream);
    if ((event->kinds & MR_EVENT_TICKET) != 0)
        on_ticket(side, event->conn);
    if ((event->kinds & MR_EVENT_READABLE) != 0 && engine_take(side, event->stream))
        early_answers++;
}

static void die_of(const struct mr_event *event)
{
    char text[160];

    snprintf(text, sizeof(text), "a connection ended with error 0x%" PRIx64 ": %s", event->error,
             event->reason[0] != '\0' ? event->reason : "it says no more");
    engine_die(text);
}

static void on_event(struct engine_side *side, const struct mr_event *event)
{
    if (event->stream == MR_HANDLE_NONE && (event->kinds & MR_EVENT_CLOSED) != 0) {
        if (!event->is_application)
            die_of(event);
        return;
    }
    if (side->role == MR_CLIENT)
        on_client_event(side, event);
    else if ((event->kinds & MR_EVENT_READABLE) != 0 && engine_take(side, event->stream))
        send_all(side, event->stream);
}

/* ------------------------------------------------------------------ turns */

static void run_server_jobs(struct engine_side *server)
{
    struct mr_tls_job *jobs[JOBS];
    uint32_t count;

    while ((count = mr_endpoint_take_jobs(server->ep, jobs, JOBS)) > 0) {
        uint64_t begin = mr_bench_now_ns();

        for (uint32_t i = 0; i < count; i++) {
            mr_tls_job_run(jobs[i]);
            if (jobs[i]->is_done)
                mr_tls_free(jobs[i]->tls);
        }
        job_ns += mr_bench_now_ns() - begin;
        for (uint32_t i = 0; i < count; i++)
            mr_endpoint_complete_job(server->ep, jobs[i], pair->now_ns);
    }
}

/* The server's turn.  A function of its own so that callgrind can name it. */
__attribute__((noinline)) uint32_t handshake_server(struct mr_datagram *in, uint32_t count,
                                                    struct mr_outgoing *out);

uint32_t handshake_server(struct mr_datagram *in, uint32_t count, struct mr_outgoing *out)
{
    struct engine_side *server = &pair->side[MR_SERVER];

    if (mr_endpoint_deadline(server->ep) <= pair->now_ns)
        mr_endpoint_expire(server->ep, pair->now_ns);
    if (count > 0)
        engine_receive_burst(pair, server, in, count);
    run_server_jobs(server);
    return mr_endpoint_send(server->ep, out, MR_BURST, pair->now_ns);
}

static void turn(void)
{
    const struct engine_side *client = &pair->side[MR_CLIENT];

    pair->now_ns += TURN_NS;
    if (mr_endpoint_deadline(client->ep) <= pair->now_ns)
        mr_endpoint_expire(client->ep, pair->now_ns);
    engine_turn(pair, handshake_server);
    engine_watch(pair, complete);
}

/* Until so many are complete. */
static void run(uint64_t until)
{
    uint64_t begun = complete;

    while (complete < until) {
        while (begun < until && begun - complete < AT_ONCE) {
            engine_connect(pair);
            begun++;
        }
        turn();
    }
}

/* ------------------------------------------------------------------ in turns with TLS alone */

struct figures {
    struct mr_samples server_us;
    struct mr_samples job_us; /* of these, in TLS jobs */
    struct mr_samples tls_us; /* the TLS library alone */
    struct mr_samples ratios;
};

/* CHUNK handshakes of the engine, then as many of the TLS library alone. */
static void measure_chunk(struct mr_tls_ceiling *ceiling, struct figures *figures)
{
    double tls_ns = 0;

    pair->sums.server_ns = job_ns = 0;
    run(complete + CHUNK);
    for (int i = 0; i < CHUNK / MR_TLS_CEILING_BATCH; i++) {
        double ns = mr_tls_ceiling_slice(ceiling, 0);

        if (ns < 0)
            engine_die(mr_tls_ceiling_reason(ceiling));
        tls_ns += ns * MR_TLS_CEILING_BATCH;
    }
    mr_samples_add(&figures->server_us, (double)pair->sums.server_ns * 1e-3 / CHUNK);
    mr_samples_add(&figures->job_us, (double)job_ns * 1e-3 / CHUNK);
    mr_samples_add(&figures->tls_us, tls_ns * 1e-3 / CHUNK);
    mr_samples_add(&figures->ratios, tls_ns / (double)pair->sums.server_ns);
}

static void measure(uint64_t chunks, struct figures *figures)
{
    struct mr_tls_ceiling_options options = {.is_resumed = is_resumed, .is_early = is_early};
    struct mr_tls_ceiling *ceiling;
    struct mr_fault fault;

    if (mr_tls_ceiling_open(&options, &ceiling, &fault) != 0)
        engine_die(fault.text);
    run(CHUNK);
    pair->sums = (struct engine_sums){0};
    early_answers = 0;
    for (uint64_t i = 0; i < chunks; i++)
        measure_chunk(ceiling, figures);
    mr_tls_ceiling_close(ceiling);
}

int main(int argc, char **argv)
{
    static struct figures figures;
    bool is_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    char **words = argv + is_json;
    int count = argc - is_json;
    const char *kind = count > 1 ? words[1] : "full";
    uint64_t chunks = count > 2 ? strtoull(words[2], NULL, 0) : 100;

    is_early = strcmp(kind, "early") == 0;
    is_resumed = is_early || strcmp(kind, "resumed") == 0;
    if ((!is_resumed && strcmp(kind, "full") != 0) || chunks == 0 || chunks > CHUNKS_MAX)
        engine_die("usage: handshake [--json] [full|resumed|early [chunks of 16 [back end]]]");
    pair = engine_pair_make(&(struct engine_options){.back_end = count > 3 ? words[3] : "auto",
                                                     .connections = (uint32_t)(chunks + 2) * CHUNK,
                                                     .streams = STREAMS,
                                                     .tickets = 1,
                                                     .has_early_data = is_early});
    pair->on_event = on_event;
    measure(chunks, &figures);
    double handshakes = (double)(chunks * CHUNK);
    double server_us = mr_samples_median(&figures.server_us); /* sorts: the least comes first */
    double job_us = mr_samples_median(&figures.job_us);
    double tls_us = mr_samples_median(&figures.tls_us);

    printf(is_json
               ? "{\"bench\":\"handshake\",\"kind\":\"%s\",\"server_us\":%.2f,"
                 "\"server_job_us\":%.2f,\"tls_us\":%.2f,\"ratio\":%.3f,\"best_server_us\":%.2f,"
                 "\"best_job_us\":%.2f,\"best_tls_us\":%.2f,\"best_ratio\":%.3f,"
                 "\"server_packets\":%.3f,\"client_packets\":%.3f,\"early_answers\":%.3f}\n"
               : "%s: server %.2f us each, %.2f in TLS jobs; the TLS library alone %.2f, ratio "
                 "%.3f; at best %.2f, %.2f, %.2f, %.3f; %.3f packets sent, %.3f received, %.3f "
                 "early answers\n",
           kind, server_us, job_us, tls_us, mr_samples_median(&figures.ratios),
           figures.server_us.value[0], figures.job_us.value[0], figures.tls_us.value[0],
           figures.tls_us.value[0] / figures.server_us.value[0],
           (double)pair->sums.packets[MR_SERVER] / handshakes,
           (double)pair->sums.packets[MR_CLIENT] / handshakes, (double)early_answers / handshakes);
    return 0;
}
