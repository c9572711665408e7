/*
 * tests/tls_pair.h - a client and a server that shake hands through TLS jobs alone.
 *
 *     client --CRYPTO bytes per level--> wire --in pieces of `piece` bytes--> server
 *     server --CRYPTO bytes per level--> wire --in pieces of `piece` bytes--> client
 *
 * For tests and fuzz targets.  Everything an end yields is collected in struct tls_end.
 */
#ifndef MR_TESTS_TLS_PAIR_H
#define MR_TESTS_TLS_PAIR_H

#include <string.h>

#include "base/assert.h"
#include "control/certificate.h"
#include "control/tls_context.h"
#include "quic/tls.h"

#define TLS_WIRE_SIZE 65536

/* What one end has sent at one level, and how much of it was delivered. */
struct tls_wire {
    uint8_t bytes[TLS_WIRE_SIZE];
    size_t size;
    size_t delivered;
};

struct tls_end {
    struct mr_tls tls;
    struct tls_wire out[MR_LEVELS];
    struct mr_secret secrets[MR_LEVELS][2]; /* [level][is_write]; size 0: not there */
    uint8_t params[MR_TLS_PARAMS_MAX];      /* the peer's */
    size_t params_size;
    char alpn[MR_TLS_ALPN_MAX + 1];
    char server_name[MR_TLS_NAME_MAX + 1];
    uint8_t ticket[MR_TLS_TICKET_MAX];
    size_t ticket_size;
    char keylog[8192];
    size_t keylog_size;
    enum mr_tls_early early;
    bool is_complete;
    bool is_resumed;
    bool is_done;
    bool is_failed;
    uint64_t error;
    char reason[MR_TLS_REASON_MAX];
    uint32_t job_count;
};

static _Thread_local struct mr_tls_job tls_pair_job; /* a thread's run one after another */

static inline void tls_end_take_outputs(struct tls_end *end, struct mr_tls_job *job)
{
    for (uint32_t i = 0; i < job->secret_count; i++)
        end->secrets[job->secrets[i].level][job->secrets[i].is_write] = job->secrets[i].secret;
    for (int level = 0; level < MR_LEVELS; level++) {
        struct tls_wire *wire = &end->out[level];

        MR_ASSERT(wire->size + job->output[level].size <= TLS_WIRE_SIZE);
        memcpy(wire->bytes + wire->size, job->output_bytes + job->output[level].begin,
               job->output[level].size);
        wire->size += job->output[level].size;
    }
    if (job->has_params) {
        memcpy(end->params, job->params, job->params_size);
        end->params_size = job->params_size;
    }
    if (job->has_alpn) {
        memcpy(end->alpn, job->alpn, sizeof(end->alpn));
        memcpy(end->server_name, job->server_name, sizeof(end->server_name));
    }
    if (job->ticket_size > 0) {
        memcpy(end->ticket, job->ticket, job->ticket_size);
        end->ticket_size = job->ticket_size;
    }
    MR_ASSERT(end->keylog_size + job->keylog_size <= sizeof(end->keylog));
    memcpy(end->keylog + end->keylog_size, job->keylog, job->keylog_size);
    end->keylog_size += job->keylog_size;
    end->early = job->early;
    end->is_complete = job->is_complete;
    end->is_resumed = job->is_resumed;
    end->is_done = job->is_done;
}

/* One job with `size` bytes of input (may be 0), and all it yields. */
static inline void tls_end_run(struct tls_end *end, enum mr_level level, const uint8_t *bytes,
                               size_t size)
{
    static const uint8_t remembered[] = {'p', 'a', 'r', 'a', 'm', 's'};
    struct mr_tls_job *job = &tls_pair_job;

    mr_tls_job_prepare(job, &end->tls);
    memcpy(job->remember, remembered, sizeof(remembered));
    job->remember_size = sizeof(remembered);
    MR_ASSERT(mr_tls_job_input(job, level, bytes, size) == size);
    mr_tls_job_run(job);
    end->job_count++;
    if (job->is_failed) {
        MR_ASSERT(job->secret_count == 0);
        MR_ASSERT(job->output_size == 0);
        MR_ASSERT(job->reason[0] != '\0');
        end->is_failed = true;
        end->error = job->error;
        memcpy(end->reason, job->reason, sizeof(end->reason));
    } else {
        tls_end_take_outputs(end, job);
    }
    mr_tls_job_wipe(job);
}

/* Deliver what `from` has sent, level by level.  True if anything was. */
static inline bool tls_deliver(struct tls_end *from, struct tls_end *to, size_t piece)
{
    bool is_any = false;

    for (int level = 0; level < MR_LEVELS; level++) {
        struct tls_wire *wire = &from->out[level];

        while (wire->delivered < wire->size && !to->is_failed && to->tls.params != NULL) {
            size_t left = wire->size - wire->delivered;
            size_t size = left < piece ? left : piece;

            tls_end_run(to, (enum mr_level)level, wire->bytes + wire->delivered, size);
            wire->delivered += size;
            is_any = true;
        }
    }
    return is_any;
}

/* Let both ends talk until nothing is left to say. */
static inline void tls_pair_talk(struct tls_end *client, struct tls_end *server, size_t piece)
{
    tls_end_run(client, MR_LEVEL_INITIAL, NULL, 0);
    for (int turn = 0; turn < 10; turn++) {
        bool is_to = tls_deliver(client, server, piece);
        bool is_back = tls_deliver(server, client, piece);

        if (!is_to && !is_back)
            break;
    }
}

static inline void tls_pair_free(struct tls_end *client, struct tls_end *server)
{
    mr_tls_free(&client->tls);
    mr_tls_free(&server->tls);
}

#endif /* MR_TESTS_TLS_PAIR_H */
