/* tests/support/tls_memo.c - see tls_memo.h. */
#include "tests/support/tls_memo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "base/assert.h"
#include "base/siphash.h"
#include "control/tls_seeded.h"
#include "quic/tls.h"

/* What the linker calls the functions of quic/tls.h, and these here. */
bool __real_mr_tls_start_server(struct mr_tls *tls, const struct mr_tls_context *context,
                                const uint8_t *params, size_t params_size);
bool __real_mr_tls_start_client(struct mr_tls *tls, const struct mr_tls_context *context,
                                const struct mr_tls_client_options *options);
void __real_mr_tls_free(struct mr_tls *tls);
void __real_mr_tls_job_run(struct mr_tls_job *job);
bool __wrap_mr_tls_start_server(struct mr_tls *tls, const struct mr_tls_context *context,
                                const uint8_t *params, size_t params_size);
bool __wrap_mr_tls_start_client(struct mr_tls *tls, const struct mr_tls_context *context,
                                const struct mr_tls_client_options *options);
void __wrap_mr_tls_free(struct mr_tls *tls);
void __wrap_mr_tls_job_run(struct mr_tls_job *job);

/* What stands in a job from `is_failed` on before the buffers, as it is. */
#define OUT_AT   offsetof(struct mr_tls_job, is_failed)
#define OUT_SIZE (offsetof(struct mr_tls_job, remember) - OUT_AT)

/* The answer to one job: `out`, then what is used of the buffers. */
struct answer {
    uint64_t key;
    struct mr_tls tls; /* as it was afterwards; its pointers mean nothing */
    uint8_t out[OUT_SIZE];
    uint8_t bytes[];
};

/* What a job was given.  Without padding: it is hashed. */
struct given {
    uint32_t version;
    uint32_t level;
    uint32_t input_size;
    uint32_t remember_size;
    uint32_t wants_keylog;
};

struct handshake {
    const struct mr_tls *tls; /* whose it is; NULL: nobody's */
    struct mr_tls real;
    struct mr_tls_client_options options; /* of a client; its pointers lead below */
    uint64_t key;                         /* of everything it was given */
    size_t log_size;
    bool has_begun; /* a job has run */
    bool is_real;   /* `real` has everything that it was given */
    bool is_long;   /* the log has not */
    char name[MR_TLS_NAME_MAX + 1];
    uint8_t alpn[MR_TLS_ALPN_MAX];
    uint8_t ticket[MR_TLS_TICKET_MAX];
    uint8_t log[TLS_MEMO_LOG];
};

/* By role; those to whose numbers mr_tls_seeded_restart() has the shortest way. */
static const uint64_t seeds[] = {[MR_CLIENT] = 0, [MR_SERVER] = 2};

static struct handshake handshakes[TLS_MEMO_HANDSHAKES];
static struct answer *answers[TLS_MEMO_JOBS];
static _Alignas(struct answer) uint8_t memory[TLS_MEMO_BYTES]; /* libFuzzer looks for a leak after
                                                                  each run that allocates */
static size_t memory_used;
static struct tls_memo_count counted;
static void *library;
static int64_t wall;

void tls_memo_begin(void *of, int64_t wall_s)
{
    library = of;
    wall = wall_s;
}

struct tls_memo_count tls_memo_count(void)
{
    return counted;
}

/* OpenSSL's time of day, of which tickets are made. */
int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    *now = (struct timeval){.tv_sec = wall};
    return 0;
}

/* ------------------------------------------------------------------ handshakes */

static struct handshake *find(const struct mr_tls *tls)
{
    for (size_t i = 0; i < TLS_MEMO_HANDSHAKES; i++) {
        if (handshakes[i].tls == tls)
            return &handshakes[i];
    }
    return NULL;
}

/* Make `tls` look as if it were started. */
static struct handshake *start(struct mr_tls *tls, const struct mr_tls_context *context,
                               const char *name, const uint8_t *params, size_t params_size)
{
    size_t name_size = strlen(name) + 1;
    struct handshake *hs = find(NULL);
    uint8_t *kept = malloc(params_size + name_size);

    MR_ASSERT(hs != NULL);
    MR_ASSERT(kept != NULL);
    memcpy(kept, params, params_size);
    memcpy(kept + params_size, name, name_size);
    memset(hs, 0, offsetof(struct handshake, name));
    hs->tls = tls;
    *tls = (struct mr_tls){.ssl = hs,
                           .context = context,
                           .params = kept,
                           .params_size = (uint32_t)params_size,
                           .name = (const char *)kept + params_size};
    return hs;
}

bool __wrap_mr_tls_start_server(struct mr_tls *tls, const struct mr_tls_context *context,
                                const uint8_t *params, size_t params_size)
{
    start(tls, context, "", params, params_size);
    return true;
}

bool __wrap_mr_tls_start_client(struct mr_tls *tls, const struct mr_tls_context *context,
                                const struct mr_tls_client_options *options)
{
    struct handshake *hs =
        start(tls, context, options->server_name, options->params, options->params_size);

    MR_ASSERT(strlen(options->server_name) <= MR_TLS_NAME_MAX);
    MR_ASSERT(options->alpn_size <= sizeof(hs->alpn));
    MR_ASSERT(options->ticket_size <= sizeof(hs->ticket));
    tls->version = options->version;
    tls->is_insecure = options->is_insecure;
    hs->options = *options;
    hs->options.server_name = strcpy(hs->name, options->server_name);
    hs->options.alpn = memcpy(hs->alpn, options->alpn, options->alpn_size);
    if (options->ticket != NULL)
        hs->options.ticket = memcpy(hs->ticket, options->ticket, options->ticket_size);
    return true;
}

void __wrap_mr_tls_free(struct mr_tls *tls)
{
    struct handshake *hs = tls->ssl;

    MR_ASSERT(tls->job == NULL);
    if (hs != NULL) {
        __real_mr_tls_free(&hs->real);
        hs->tls = NULL;
    }
    free(tls->params);
    *tls = (struct mr_tls){.ssl = NULL};
}

/* ------------------------------------------------------------------ keys of answers */

static void hash_in(struct handshake *hs, const void *bytes, size_t size)
{
    const struct mr_siphash_key key = {.k0 = hs->key, .k1 = size};

    hs->key = mr_siphash13(&key, bytes, size);
}

/* What it was started with.  Late: parameters may be changed until the first job. */
static void hash_start(struct handshake *hs)
{
    const struct mr_tls *tls = hs->tls;
    const struct mr_tls_client_options *o = &hs->options;
    const uint64_t numbers[] = {(uint64_t)tls->context->role, tls->versions, tls->early_tag,
                                o->is_insecure, o->wants_early};

    hash_in(hs, numbers, sizeof(numbers));
    hash_in(hs, tls->params, tls->params_size);
    hash_in(hs, hs->name, strlen(hs->name));
    hash_in(hs, hs->alpn, o->alpn_size);
    hash_in(hs, hs->ticket, o->ticket_size);
}

static void append(struct handshake *hs, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(hs->log + hs->log_size, bytes, size);
    hs->log_size += size;
}

/* Note what the job is given, unless it is too much. */
static void note(struct handshake *hs, const struct mr_tls_job *job)
{
    const struct given given = {.version = hs->tls->version,
                                .level = (uint32_t)job->input_level,
                                .input_size = job->input_size,
                                .remember_size = job->remember_size,
                                .wants_keylog = job->wants_keylog};
    size_t size = sizeof(given) + given.input_size + given.remember_size;
    size_t before = hs->log_size;

    if (size > sizeof(hs->log) - hs->log_size) {
        hs->is_long = true;
        return;
    }
    append(hs, &given, sizeof(given));
    append(hs, job->input_bytes, given.input_size);
    append(hs, job->remember, given.remember_size);
    hash_in(hs, hs->log + before, size);
}

/* ------------------------------------------------------------------ OpenSSL's part */

static void start_real(struct handshake *hs)
{
    const struct mr_tls *tls = hs->tls;
    bool is_started;

    hs->options.params = tls->params;
    is_started =
        tls->context->role == MR_SERVER
            ? __real_mr_tls_start_server(&hs->real, tls->context, tls->params, tls->params_size)
            : __real_mr_tls_start_client(&hs->real, tls->context, &hs->options);
    MR_ASSERT(is_started);
    hs->real.versions = tls->versions;
    hs->real.early_tag = tls->early_tag;
}

static void run_real(struct handshake *hs, struct mr_tls_job *job, uint32_t version)
{
    struct mr_tls *tls = job->tls;

    MR_ASSERT(mr_tls_seeded_restart(library, seeds[tls->context->role]));
    hs->real.version = version;
    job->tls = &hs->real;
    __real_mr_tls_job_run(job);
    job->tls = tls;
}

/* Give OpenSSL what the handshake was given before the entry of the log at `end`. */
static void catch_up(struct handshake *hs, struct mr_tls *tls, size_t end)
{
    static struct mr_tls_job job;
    struct given given;

    start_real(hs);
    for (size_t at = 0; at < end; at += given.remember_size) {
        memcpy(&given, hs->log + at, sizeof(given));
        at += sizeof(given);
        mr_tls_job_prepare(&job, tls);
        mr_tls_job_input(&job, (enum mr_level)given.level, hs->log + at, given.input_size);
        at += given.input_size;
        job.wants_keylog = given.wants_keylog != 0;
        job.remember_size = given.remember_size;
        memcpy(job.remember, hs->log + at, given.remember_size);
        run_real(hs, &job, given.version);
    }
    hs->is_real = true;
}

/* ------------------------------------------------------------------ answers */

/* What a job and its handshake become; the trunk's pointers stay. */
static void set_state(struct mr_tls *tls, const struct mr_tls *from)
{
    struct mr_tls before = *tls;

    *tls = *from;
    tls->ssl = before.ssl;
    tls->context = before.context;
    tls->job = NULL;
    tls->params = before.params;
    tls->name = before.name;
}

struct part {
    void *bytes;
    size_t size;
};

/* The buffers of a job whose other outputs are there. */
static void parts_of(struct mr_tls_job *job, struct part parts[4])
{
    parts[0] = (struct part){job->output_bytes, job->output_size};
    parts[1] = (struct part){job->params, job->has_params ? job->params_size : 0};
    parts[2] = (struct part){job->ticket, job->ticket_size};
    parts[3] = (struct part){job->keylog, job->keylog_size};
}

static struct answer *make_answer(size_t size)
{
    size = (size + _Alignof(struct answer) - 1) & ~(_Alignof(struct answer) - 1);
    if (size > sizeof(memory) - memory_used) {
        memset(answers, 0, sizeof(answers));
        memory_used = 0;
    }
    memory_used += size;
    return (struct answer *)(void *)(memory + memory_used - size);
}

static void keep(const struct handshake *hs, struct mr_tls_job *job)
{
    struct answer *made;
    struct part parts[4];
    size_t size = sizeof(*made);

    parts_of(job, parts);
    for (int i = 0; i < 4; i++)
        size += parts[i].size;
    made = make_answer(size);
    answers[hs->key % TLS_MEMO_JOBS] = made;
    made->key = hs->key;
    made->tls = hs->real;
    memcpy(made->out, (const uint8_t *)job + OUT_AT, OUT_SIZE);
    for (size_t i = 0, at = 0; i < 4; at += parts[i++].size)
        memcpy(made->bytes + at, parts[i].bytes, parts[i].size);
}

static void answer(const struct answer *known, struct mr_tls_job *job)
{
    struct part parts[4];

    memcpy((uint8_t *)job + OUT_AT, known->out, OUT_SIZE);
    parts_of(job, parts);
    for (size_t i = 0, at = 0; i < 4; at += parts[i++].size)
        memcpy(parts[i].bytes, known->bytes + at, parts[i].size);
    set_state(job->tls, &known->tls);
}

/* The job is behind what the log can hold, or new. */
static void compute(struct handshake *hs, struct mr_tls_job *job, size_t before)
{
    struct mr_tls *tls = job->tls;

    if (!hs->is_real)
        catch_up(hs, tls, before);
    run_real(hs, job, tls->version);
    set_state(tls, &hs->real);
    if (!hs->is_long)
        keep(hs, job);
}

void __wrap_mr_tls_job_run(struct mr_tls_job *job)
{
    struct handshake *hs = job->tls->ssl;

    if (hs == NULL) { /* it is over, which is a failure */
        __real_mr_tls_job_run(job);
        return;
    }
    size_t before = hs->log_size;
    if (!hs->has_begun)
        hash_start(hs);
    hs->has_begun = true;
    note(hs, job);
    const struct answer *known = hs->is_long ? NULL : answers[hs->key % TLS_MEMO_JOBS];
    counted.jobs++;
    if (hs->is_real || known == NULL || known->key != hs->key) {
        compute(hs, job, before);
    } else {
        counted.known++;
        answer(known, job);
    }
}
