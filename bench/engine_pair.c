/* bench/engine_pair.c - see engine_pair.h. */
#include "bench/engine_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "control/certificate.h"

enum {
    BUFFERS = 4096,
    WALL_SECONDS = 1700000000,
    EVENTS = 16,
};

struct buffer {
    struct mr_buf buf;
    uint8_t bytes[2048];
};

static struct engine_pair pair;
static struct buffer buffers[BUFFERS];
static struct buffer *spare[BUFFERS];
static uint32_t spare_count;
static struct mr_certificate certificate;

void engine_die(const char *what)
{
    fprintf(stderr, "engine: %s\n", what);
    exit(1);
}

/* ------------------------------------------------------------------ set-up */

static void make_tls(struct engine_side *side)
{
    static const uint8_t alpn[] = "\005bench";
    struct mr_tls_server_config server = {.certificate = &certificate,
                                          .allows_expired = true,
                                          .alpn = alpn,
                                          .alpn_size = sizeof(alpn) - 1};
    struct mr_tls_client_config client = {.is_insecure = true};
    struct mr_fault fault;
    int answer = side->role == MR_SERVER ? mr_tls_context_server(&side->tls, &server, &fault)
                                         : mr_tls_context_client(&side->tls, &client, &fault);

    if (answer != 0)
        engine_die(fault.text);
}

static void make_side(enum mr_role role, const struct engine_options *options, struct mr_aead *aead)
{
    static const uint8_t static_key[32] = {1};
    struct mr_limits limits = mr_limits_for(options->connections + 15);
    struct engine_side *side = &pair.side[role];
    struct mr_endpoint_config config = {.cid = {.node = 1, .shard = (uint16_t)role},
                                        .aead = aead,
                                        .server = role == MR_SERVER ? &side->tls : NULL,
                                        .client = role == MR_CLIENT ? &side->tls : NULL,
                                        .static_key = static_key,
                                        .seed = {1, role, 3, 4},
                                        .cc = MR_CC_CUBIC,
                                        .payload_max = ENGINE_PAYLOAD,
                                        .retry_above = 1000,
                                        .idle_timeout_ns = 60 * MR_SECOND,
                                        .stream_window_max = 16 << 20,
                                        .conn_window_max = 16 << 20,
                                        .streams_bidi_max = options->streams,
                                        .datagram_max = UINT16_MAX,
                                        .extensions = MR_EXTENSIONS_DEFAULT,
                                        .wall_offset_s = WALL_SECONDS};

    side->role = role;
    make_tls(side);
    side->ep = mr_endpoint_init(aligned_alloc(64, mr_endpoint_footprint(&limits) / 64 * 64 + 64),
                                &limits, &config, pair.now_ns);
    if (side->ep == NULL)
        engine_die("an endpoint could not be made");
}

static enum mr_aead_backend backend_of(const char *name)
{
    static const char *const names[] = {[MR_AEAD_AUTO] = "auto",
                                        [MR_AEAD_OPENSSL] = "openssl",
                                        [MR_AEAD_IPSEC_MB] = "ipsec-mb",
                                        [MR_AEAD_NULL] = "null"};

    for (size_t i = 0; i < MR_COUNT_OF(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum mr_aead_backend)i;
    engine_die("the back end is one of auto, openssl, ipsec-mb and null");
}

struct engine_pair *engine_pair_make(const struct engine_options *options)
{
    struct mr_aead *aead = mr_aead_open(backend_of(options->back_end));
    struct mr_fault fault;

    if (aead == NULL ||
        mr_certificate_make(&certificate, &(struct mr_certificate_options){0}, &fault) != 0)
        engine_die("no back end or certificate");
    pair.now_ns = MR_SECOND;
    for (uint32_t i = 0; i < BUFFERS; i++)
        spare[spare_count++] = &buffers[i];
    make_side(MR_CLIENT, options, aead);
    make_side(MR_SERVER, options, aead);
    return &pair;
}

mr_handle engine_connect(struct engine_pair *p)
{
    struct mr_connect_options options = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\005bench",
                                         .alpn_size = 6,
                                         .is_insecure = true,
                                         .remote = {.ip = {[15] = 1}, .port = 443}};
    struct mr_addr local = {.ip = {[15] = 1}, .port = 5000};
    mr_handle conn;

    if (mr_conn_connect(p->side[MR_CLIENT].ep, &options, &local, p->now_ns, &conn) != 0)
        engine_die("the client could not connect");
    return conn;
}

/* ------------------------------------------------------------------ steps */

static void take_events(struct engine_pair *p, struct engine_side *side)
{
    struct mr_event events[EVENTS];
    uint32_t count;

    while ((count = mr_endpoint_events(side->ep, events, EVENTS)) > 0)
        for (uint32_t i = 0; i < count; i++)
            p->on_event(side, &events[i]);
}

void engine_receive_burst(struct engine_pair *p, struct engine_side *side,
                          struct mr_datagram *datagrams, uint32_t count)
{
    mr_endpoint_receive(side->ep, datagrams, count, p->now_ns);
    take_events(p, side);
    for (struct mr_buf *buf = mr_endpoint_take_released(side->ep); buf != NULL;) {
        struct mr_buf *next = buf->next;

        spare[spare_count++] = MR_CONTAINER_OF(buf, struct buffer, buf);
        buf = next;
    }
}

void engine_carry(const struct mr_outgoing *out, struct mr_datagram *datagrams, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (spare_count == 0)
            engine_die("buffers are missing");
        struct buffer *buffer = spare[--spare_count];

        memcpy(buffer->bytes, out[i].data, out[i].size);
        datagrams[i] = (struct mr_datagram){
            .data = buffer->bytes,
            .buf = &buffer->buf,
            .size = out[i].size,
            .path = {.local = out[i].path.remote, .remote = out[i].path.local}};
    }
}

void engine_places(struct engine_side *side, struct mr_outgoing *out)
{
    for (uint32_t i = 0; i < MR_BURST; i++)
        out[i] = (struct mr_outgoing){.data = side->bytes[i], .room = ENGINE_PAYLOAD};
}

void engine_run_jobs(struct engine_pair *p, struct engine_side *side)
{
    struct mr_tls_job *job;

    while (mr_endpoint_take_jobs(side->ep, &job, 1) > 0) {
        mr_tls_job_run(job);
        mr_endpoint_complete_job(side->ep, job, p->now_ns);
    }
}

void engine_expire(struct engine_pair *p)
{
    for (int i = 0; i < 2; i++)
        if (mr_endpoint_deadline(p->side[i].ep) <= p->now_ns)
            mr_endpoint_expire(p->side[i].ep, p->now_ns);
}
