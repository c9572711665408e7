#include "bench/tls_ceiling.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bench/samples.h"
#include "control/certificate.h"
#include "control/tls_context.h"
#include "quic/tls.h"

#define BATCH     MR_TLS_CEILING_BATCH
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
    enum mr_tls_early early;
    uint64_t spent_ns;
};

/* Everything of a measurement; on the heap, 3 MB. */
struct mr_tls_ceiling {
    bool wants_resumption;
    bool wants_early;
    struct mr_tls_context server_context;
    struct mr_tls_context client_context;
    struct end servers[BATCH];
    struct end clients[BATCH];
    struct mr_tls_job job;
    uint8_t ticket[MR_TLS_TICKET_MAX]; /* the newest */
    size_t ticket_size;
    char reason[MR_TLS_REASON_MAX]; /* of the first handshake that failed; "": none did */
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
                                                .tickets = 1,
                                                .has_early_data = options->is_early};
    const struct mr_tls_client_config client = {.ca_pem = certificate.certificate_pem,
                                                .groups = options->groups,
                                                .has_early_data = options->is_early};

    if (result == 0)
        result = mr_tls_context_server(&run->server_context, &server, fault);
    if (result == 0)
        result = mr_tls_context_client(&run->client_context, &client, fault);
    mr_certificate_wipe(&certificate);
    return result;
}

/* ------------------------------------------------------------------ one end's step */

static bool is_broken(const struct mr_tls_ceiling *run)
{
    return run->reason[0] != '\0';
}

/* The first reason stays: the others may follow from it. */
static void expect(struct mr_tls_ceiling *run, bool is_right, const char *reason)
{
    if (!is_right && !is_broken(run))
        snprintf(run->reason, sizeof(run->reason), "%s",
                 reason[0] != '\0' ? reason : "TLS failed, and says nothing of it");
}

static void take_outputs(struct mr_tls_ceiling *run, struct end *end)
{
    struct mr_tls_job *job = &run->job;

    expect(run, !job->is_failed, job->reason);
    for (int level = 0; level < MR_LEVELS; level++) {
        struct wire *wire = &end->out[level];
        uint32_t size = job->output[level].size;

        MR_ASSERT(wire->size + size <= WIRE_SIZE);
        memcpy(wire->bytes + wire->size, job->output_bytes + job->output[level].begin, size);
        wire->size += size;
    }
    end->is_complete = job->is_complete;
    end->is_resumed = job->is_resumed;
    end->early = job->early;
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
                                                  .wants_early = is_resumed && run->wants_early,
                                                  .params = params,
                                                  .params_size = sizeof(params)};

    for (uint32_t i = 0; i < BATCH; i++) {
        expect(run, mr_tls_start_client(&run->clients[i].tls, &run->client_context, &options),
               "no memory for a client");
        step(run, &run->clients[i], MR_LEVEL_INITIAL, NULL);
    }
}

/* Clocked: a new handshake takes its ClientHello.  Not inline, so that callgrind can name it. */
__attribute__((noinline)) static void servers_answer(struct mr_tls_ceiling *run)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        struct end *server = &run->servers[i];
        uint64_t begin = mr_bench_now_ns();
        bool is_started =
            mr_tls_start_server(&server->tls, &run->server_context, params, sizeof(params));

        step(run, server, MR_LEVEL_INITIAL, &run->clients[i].out[MR_LEVEL_INITIAL]);
        server->spent_ns = mr_bench_now_ns() - begin;
        expect(run, is_started, "no memory for a server");
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
__attribute__((noinline)) static void servers_finish(struct mr_tls_ceiling *run)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        struct end *server = &run->servers[i];
        uint64_t begin = mr_bench_now_ns();

        step(run, server, MR_LEVEL_HANDSHAKE, &run->clients[i].out[MR_LEVEL_HANDSHAKE]);
        mr_tls_free(&server->tls);
        server->spent_ns += mr_bench_now_ns() - begin;
        expect(run, server->is_complete, "a server is not done after its client's Finished");
    }
}

static void clients_take_tickets(struct mr_tls_ceiling *run, bool is_resumed)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        struct end *client = &run->clients[i];

        step(run, client, MR_LEVEL_APP, &run->servers[i].out[MR_LEVEL_APP]);
        expect(run, client->is_resumed == is_resumed, "a ticket was not taken");
        expect(run, (client->early == MR_EARLY_ACCEPTED) == (is_resumed && run->wants_early),
               "0-RTT was refused: it is where a process is stopped for a second within");
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
    c->wants_early = options->is_early;
    int result = open_contexts(c, options, fault);
    if (result == 0)
        batch(c, false); /* warms up, and brings a ticket */
    if (result == 0 && is_broken(c))
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
    } while (!is_broken(c) && mr_bench_now_ns() < end);
    return is_broken(c) ? -1 : (double)spent_ns / (double)handshakes;
}

const char *mr_tls_ceiling_reason(const struct mr_tls_ceiling *c)
{
    return c->reason;
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
