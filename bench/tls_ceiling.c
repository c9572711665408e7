#include "bench/tls_ceiling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bench/samples.h"
#include "control/certificate.h"
#include "control/tls_context.h"
#include "quic/tls.h"

#define BATCH     16   /* handshakes in flight */
#define WIRE_SIZE 8192 /* bytes of a flight at one level: one small certificate */
#define PARAMS    80   /* bytes of transport parameters, as usual */

/* CRYPTO bytes that an end has sent and the other has not yet taken. */
struct wire {
    uint8_t bytes[WIRE_SIZE];
    size_t size;
};

struct end {
    struct mr_tls tls;
    struct wire out[MR_LEVELS];
    bool is_complete;
    bool is_resumed;
    uint64_t spent_ns;
};

/* Everything of a measurement; on the heap, 3 MB. */
struct mr_tls_ceiling {
    bool wants_resumption;
    struct mr_tls_context server_context;
    struct mr_tls_context client_context;
    struct end servers[BATCH];
    struct end clients[BATCH];
    struct mr_tls_job job;
    uint8_t ticket[MR_TLS_TICKET_MAX]; /* the newest */
    size_t ticket_size;
    bool is_broken;
};

static const uint8_t alpn[] = {2, 'h', '3'};
static const uint8_t params[PARAMS];

/* ------------------------------------------------------------------ contexts */

static int open_contexts(struct mr_tls_ceiling *run, const struct mr_tls_ceiling_options *options,
                         struct mr_fault *fault)
{
    static const struct mr_certificate_options plain;
    struct mr_certificate certificate;
    int result = mr_certificate_make(&certificate, &plain, fault);
    const struct mr_tls_server_config server = {.certificate = &certificate,
                                                .alpn = alpn,
                                                .alpn_size = sizeof(alpn),
                                                .groups = options->groups,
                                                .tickets = 1};
    const struct mr_tls_client_config client = {.ca_pem = certificate.certificate_pem,
                                                .groups = options->groups};

    if (result == 0)
        result = mr_tls_context_server(&run->server_context, &server, fault);
    if (result == 0)
        result = mr_tls_context_client(&run->client_context, &client, fault);
    mr_certificate_wipe(&certificate);
    return result;
}

/* ------------------------------------------------------------------ one end's step */

static void take_outputs(struct mr_tls_ceiling *run, struct end *end)
{
    struct mr_tls_job *job = &run->job;

    run->is_broken = run->is_broken || job->is_failed;
    for (int level = 0; level < MR_LEVELS; level++) {
        struct wire *wire = &end->out[level];
        uint32_t size = job->output[level].size;

        MR_ASSERT(wire->size + size <= WIRE_SIZE);
        memcpy(wire->bytes + wire->size, job->output_bytes + job->output[level].begin, size);
        wire->size += size;
    }
    end->is_complete = job->is_complete;
    end->is_resumed = job->is_resumed;
    if (job->ticket_size > 0) {
        memcpy(run->ticket, job->ticket, job->ticket_size);
        run->ticket_size = job->ticket_size;
    }
}

/* Give `end` what the other side has sent at `level`. */
static void step(struct mr_tls_ceiling *run, struct end *end, enum mr_level level,
                 struct wire *from)
{
    mr_tls_job_prepare(&run->job, &end->tls);
    if (from != NULL) {
        mr_tls_job_input(&run->job, level, from->bytes, from->size);
        from->size = 0;
    }
    mr_tls_job_run(&run->job);
    take_outputs(run, end);
}

/* ------------------------------------------------------------------ a batch of handshakes */

static void start_clients(struct mr_tls_ceiling *run, bool is_resumed)
{
    const struct mr_tls_client_options options = {.server_name = "localhost",
                                                  .alpn = alpn,
                                                  .alpn_size = sizeof(alpn),
                                                  .ticket = is_resumed ? run->ticket : NULL,
                                                  .ticket_size = run->ticket_size,
                                                  .params = params,
                                                  .params_size = sizeof(params)};

    for (uint32_t i = 0; i < BATCH; i++) {
        run->is_broken =
            !mr_tls_start_client(&run->clients[i].tls, &run->client_context, &options) ||
            run->is_broken;
        step(run, &run->clients[i], MR_LEVEL_INITIAL, NULL);
    }
}

/* Clocked: a new handshake takes its ClientHello. */
static void servers_answer(struct mr_tls_ceiling *run)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        struct end *server = &run->servers[i];
        uint64_t begin = mr_bench_now_ns();
        bool is_started =
            mr_tls_start_server(&server->tls, &run->server_context, params, sizeof(params));

        step(run, server, MR_LEVEL_INITIAL, &run->clients[i].out[MR_LEVEL_INITIAL]);
        server->spent_ns = mr_bench_now_ns() - begin;
        run->is_broken = run->is_broken || !is_started;
    }
}

static void clients_finish(struct mr_tls_ceiling *run)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        struct end *server = &run->servers[i];

        step(run, &run->clients[i], MR_LEVEL_INITIAL, &server->out[MR_LEVEL_INITIAL]);
        step(run, &run->clients[i], MR_LEVEL_HANDSHAKE, &server->out[MR_LEVEL_HANDSHAKE]);
    }
}

/* Clocked: Finished in, ticket out, all given back. */
static void servers_finish(struct mr_tls_ceiling *run)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        struct end *server = &run->servers[i];
        uint64_t begin = mr_bench_now_ns();

        step(run, server, MR_LEVEL_HANDSHAKE, &run->clients[i].out[MR_LEVEL_HANDSHAKE]);
        mr_tls_free(&server->tls);
        server->spent_ns += mr_bench_now_ns() - begin;
        run->is_broken = run->is_broken || !server->is_complete;
    }
}

static void clients_take_tickets(struct mr_tls_ceiling *run, bool is_resumed)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        struct end *client = &run->clients[i];

        step(run, client, MR_LEVEL_APP, &run->servers[i].out[MR_LEVEL_APP]);
        run->is_broken = run->is_broken || client->is_resumed != is_resumed;
        mr_tls_free(&client->tls);
    }
}

/* Returns the servers' ns, all together. */
static uint64_t batch(struct mr_tls_ceiling *run, bool is_resumed)
{
    uint64_t ns = 0;

    start_clients(run, is_resumed);
    servers_answer(run);
    clients_finish(run);
    servers_finish(run);
    clients_take_tickets(run, is_resumed);
    for (uint32_t i = 0; i < BATCH; i++)
        ns += run->servers[i].spent_ns;
    return ns;
}

/* ------------------------------------------------------------------ slices */

int mr_tls_ceiling_open(const struct mr_tls_ceiling_options *options,
                        struct mr_tls_ceiling **ceiling_out, struct mr_fault *fault)
{
    struct mr_tls_ceiling *c = calloc(1, sizeof(*c));

    *ceiling_out = NULL;
    if (c == NULL)
        return mr_fault_set(fault, ENOMEM, "no memory for %d handshakes", BATCH);
    c->wants_resumption = options->is_resumed;
    int result = open_contexts(c, options, fault);
    if (result == 0)
        batch(c, false); /* warms up, and brings a ticket */
    if (result == 0 && c->is_broken)
        result = mr_fault_set(fault, EPROTO, "a handshake failed: %s", mr_tls_ceiling_reason(c));
    if (result == 0)
        *ceiling_out = c;
    else
        mr_tls_ceiling_close(c);
    return result;
}

void mr_tls_ceiling_close(struct mr_tls_ceiling *c)
{
    if (c == NULL)
        return;
    mr_tls_context_free(&c->server_context);
    mr_tls_context_free(&c->client_context);
    free(c);
}

double mr_tls_ceiling_slice(struct mr_tls_ceiling *c, double seconds)
{
    uint64_t end = mr_bench_now_ns() + (uint64_t)(seconds * 1e9);
    uint64_t spent_ns = 0;
    uint64_t handshakes = 0;

    do {
        spent_ns += batch(c, c->wants_resumption);
        handshakes += BATCH;
    } while (!c->is_broken && mr_bench_now_ns() < end);
    return c->is_broken ? -1 : (double)spent_ns / (double)handshakes;
}

const char *mr_tls_ceiling_reason(const struct mr_tls_ceiling *c)
{
    return c->job.reason;
}

int mr_tls_handshake_ns(const struct mr_tls_ceiling_options *options, double seconds,
                        double *ns_out, struct mr_fault *fault)
{
    static _Thread_local struct mr_samples slices;
    uint64_t end = mr_bench_now_ns() + (uint64_t)(seconds * 1e9);
    struct mr_tls_ceiling *c;
    int result = mr_tls_ceiling_open(options, &c, fault);

    slices.count = 0;
    while (result == 0 && (slices.count == 0 || mr_bench_now_ns() < end)) {
        double ns = mr_tls_ceiling_slice(c, 0);

        mr_samples_add(&slices, ns);
        if (ns < 0)
            result =
                mr_fault_set(fault, EPROTO, "a handshake failed: %s", mr_tls_ceiling_reason(c));
    }
    *ns_out = mr_samples_median(&slices);
    mr_tls_ceiling_close(c);
    return result;
}
