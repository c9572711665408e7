/* bench/engine_pair.c - see engine_pair.h. */
#include "bench/engine_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bench/engine_tls.h"
#include "bench/samples.h"
#include "control/early_data.h"

enum {
    BUFFERS = 4096,
    WALL_SECONDS = 1700000000,
    EVENTS = 64,
    UNI_STREAMS = 8, /* that a peer may have open, per connection */
    QUIET_TURNS = 100000,
};

struct buffer {
    struct mr_buf buf;
    uint8_t bytes[2048];
};

static struct engine_pair pair;
static struct buffer buffers[BUFFERS];
static struct buffer *spare[BUFFERS];
static uint32_t spare_count;
static const char *alpn = "\005bench";

void engine_die(const char *what)
{
    fprintf(stderr, "engine: %s\n", what);
    exit(1);
}

/* ------------------------------------------------------------------ set-up */

void engine_tls(enum mr_role role, const struct engine_options *options, struct mr_tls_context *out)
{
    struct mr_tls_server_config server = {.allows_expired = true,
                                          .alpn = (const uint8_t *)alpn,
                                          .alpn_size = strlen(alpn),
                                          .tickets = options->tickets,
                                          .has_early_data = options->has_early_data};
    struct mr_fault fault;

    if (role == MR_SERVER && options->has_early_data) {
        server.replay = mr_early_data_make(MR_EARLY_ENTRIES, &fault);
        if (server.replay == NULL)
            engine_die(fault.text);
    }
    if (engine_tls_make(role, &server, out, &fault) != 0)
        engine_die(fault.text);
}

struct mr_endpoint_config engine_config(enum mr_role role, const struct mr_tls_context *tls,
                                        struct mr_aead *aead)
{
    static const uint8_t static_key[32] = {1};

    return (struct mr_endpoint_config){.cid = {.node = 1, .shard = (uint16_t)role},
                                       .aead = aead,
                                       .server = role == MR_SERVER ? tls : NULL,
                                       .client = role == MR_CLIENT ? tls : NULL,
                                       .static_key = static_key,
                                       .seed = {1, role, 3, 4},
                                       .cc = MR_CC_CUBIC,
                                       .payload_max = ENGINE_PAYLOAD,
                                       .retry_above = 1000,
                                       .idle_timeout_ns = 60 * MR_SECOND,
                                       .stream_window_max = 16 << 20,
                                       .conn_window_max = 16 << 20,
                                       .datagram_max = UINT16_MAX,
                                       .extensions = MR_EXTENSIONS_DEFAULT,
                                       .wall_offset_s = WALL_SECONDS};
}

struct mr_endpoint *engine_endpoint(const struct mr_limits *limits,
                                    const struct mr_endpoint_config *config, uint64_t now)
{
    void *memory = aligned_alloc(64, mr_endpoint_footprint(limits) / 64 * 64 + 64);
    struct mr_endpoint *ep = mr_endpoint_init(memory, limits, config, now);

    if (ep == NULL)
        engine_die("an endpoint could not be made");
    return ep;
}

static void make_side(enum mr_role role, const struct engine_options *options, struct mr_aead *aead)
{
    struct mr_limits limits = mr_limits_for(options->connections + 15);
    struct engine_side *side = &pair.side[role];
    struct mr_endpoint_config config = engine_config(role, &side->tls, aead);

    config.streams_bidi_max = options->streams;
    config.streams_uni_max = UNI_STREAMS;
    side->role = role;
    engine_tls(role, options, &side->tls);
    side->ep = engine_endpoint(&limits, &config, pair.now_ns);
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

    if (aead == NULL)
        engine_die("no such back end here");
    pair.now_ns = MR_SECOND;
    if (options->alpn != NULL)
        alpn = options->alpn;
    for (uint32_t i = 0; i < BUFFERS; i++)
        spare[spare_count++] = &buffers[i];
    make_side(MR_CLIENT, options, aead);
    make_side(MR_SERVER, options, aead);
    return &pair;
}

mr_handle engine_connect(struct engine_pair *p)
{
    struct mr_connect_options options = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)alpn,
                                         .alpn_size = strlen(alpn),
                                         .ticket = p->ticket,
                                         .ticket_size = p->ticket_size,
                                         .is_early = p->is_early,
                                         .remote = {.ip = {[15] = 1}, .port = 443}};
    struct mr_addr local = {.ip = {[15] = 1}, .port = 5000};
    mr_handle conn;

    if (mr_conn_connect(p->side[MR_CLIENT].ep, &options, &local, p->now_ns, &conn) != 0)
        engine_die("the client could not connect");
    return conn;
}

/* ------------------------------------------------------------------ steps */

void engine_take_events(struct engine_pair *p, struct engine_side *side)
{
    struct mr_event events[EVENTS];
    uint32_t count;

    while ((count = mr_endpoint_events(side->ep, events, EVENTS)) > 0) {
        if (p->on_events != NULL) {
            p->on_events(side, events, count);
            continue;
        }
        for (uint32_t i = 0; i < count; i++)
            p->on_event(side, &events[i]);
    }
}

void engine_receive_burst(struct engine_pair *p, struct engine_side *side,
                          struct mr_datagram *datagrams, uint32_t count)
{
    mr_endpoint_receive(side->ep, datagrams, count, p->now_ns);
    engine_take_events(p, side);
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

uint32_t engine_serve(struct engine_pair *p, struct mr_datagram *in, uint32_t count,
                      struct mr_outgoing *out)
{
    struct engine_side *server = &p->side[MR_SERVER];

    if (count > 0)
        engine_receive_burst(p, server, in, count);
    return mr_endpoint_send(server->ep, out, MR_BURST, p->now_ns);
}

void engine_turn(struct engine_pair *p, engine_step step)
{
    struct engine_side *client = &p->side[MR_CLIENT];
    struct engine_side *server = &p->side[MR_SERVER];
    struct mr_outgoing out[MR_BURST];
    struct mr_datagram in[MR_BURST];

    engine_places(client, out);
    uint32_t count = mr_endpoint_send(client->ep, out, MR_BURST, p->now_ns);
    engine_carry(out, in, count);
    engine_places(server, out);
    uint64_t begin = mr_bench_now_ns();
    uint32_t sent = step(in, count, out);
    p->sums.server_ns += count + sent > 0 ? mr_bench_now_ns() - begin : 0;
    p->sums.turns += count + sent > 0;
    p->sums.packets[MR_CLIENT] += count;
    p->sums.packets[MR_SERVER] += sent;
    engine_run_jobs(p, server);
    engine_carry(out, in, sent);
    if (sent > 0)
        engine_receive_burst(p, client, in, sent);
    engine_run_jobs(p, client);
}

void engine_watch(struct engine_pair *p, uint64_t done)
{
    p->quiet_turns = done == p->watched ? p->quiet_turns + 1 : 0;
    p->watched = done;
    if (p->quiet_turns == QUIET_TURNS)
        engine_die("nothing goes on any more");
}

bool engine_take(struct engine_side *side, mr_handle stream)
{
    struct mr_view views[MR_BURST];
    bool fin = false;
    int64_t count;

    while ((count = mr_stream_receive(side->ep, stream, views, MR_COUNT_OF(views), &fin)) > 0) {
        size_t size = 0;

        for (int64_t i = 0; i < count; i++)
            size += views[i].size;
        mr_stream_release(side->ep, stream, size);
    }
    return fin;
}
