/* tests/support/engine_world.c - see engine_world.h. */
#include "tests/support/engine_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine_tls.h"
#include "bench/engine_transport.h"
#include "quic/conn.h"
#include "tests/sim/sim_nat.h"

enum {
    DATAGRAM = 1500,
    EVENTS = 16,
    MTU = 1472,
};

#define LATENCY (5 * MR_MS)

struct side {
    struct engine_transport end;
    struct engine_world *world;
    unsigned index;
    struct mr_aead *aead;
    struct mr_tls_context tls;
    void *memory;
    bool is_held;
};

struct engine_world {
    struct side side[2];
    struct sim_network net;
    struct sim_nat nat;
    struct engine_options options;
    uint64_t next_rebind_ns; /* MR_NEVER: not any more */
    uint64_t now;
    uint64_t sent;
};

static void die(const char *what)
{
    fprintf(stderr, "engine_world: %s\n", what);
    abort();
}

struct mr_address engine_world_server(void)
{
    struct mr_addr from = sim_address(1, 443);
    struct mr_address to = {.port = from.port};

    memcpy(to.ip, from.ip, sizeof(to.ip));
    return to;
}

/* ------------------------------------------------------------------ running */

static void take_released(struct side *side)
{
    struct mr_buf *buf = mr_endpoint_take_released(side->end.ep);

    while (buf != NULL) {
        struct mr_buf *next = buf->next;
        free(MR_CONTAINER_OF(buf, struct sim_buffer, buf));
        buf = next;
    }
}

static void run_jobs(struct side *side)
{
    struct mr_tls_job *jobs[4];
    uint32_t count;

    while ((count = mr_endpoint_take_jobs(side->end.ep, jobs, 4)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            mr_tls_job_run(jobs[i]);
            mr_endpoint_complete_job(side->end.ep, jobs[i], side->world->now);
        }
    }
}

static void put_on_wire(struct side *side, const struct mr_outgoing *out)
{
    struct engine_world *w = side->world;
    struct mr_path_addr path = {.local = out->path.remote, .remote = out->path.local};
    uint64_t loss_every = w->options.loss_every;

    if (side->is_held || (loss_every > 0 && ++w->sent % loss_every == 0))
        return;
    if (side->index == ENGINE_CLIENT)
        sim_nat_out(&w->nat, &path.remote);
    else if (!sim_nat_in(&w->nat, &path.local))
        return;
    sim_network_send(&w->net, (struct sim_way){.direction = (uint8_t)side->index}, out, &path,
                     w->now);
}

static void send_all(struct side *side)
{
    static uint8_t bytes[MR_BURST][DATAGRAM];
    struct mr_outgoing out[MR_BURST];
    uint32_t count;

    do {
        for (uint32_t i = 0; i < MR_BURST; i++)
            out[i] = (struct mr_outgoing){.data = bytes[i], .room = DATAGRAM};
        count = mr_endpoint_send(side->end.ep, out, MR_BURST, side->world->now);
        for (uint32_t i = 0; i < count; i++)
            put_on_wire(side, &out[i]);
    } while (count > 0);
}

static void settle(struct side *side)
{
    struct mr_event events[EVENTS];
    uint32_t count;

    engine_transport_run_timers(&side->end);
    do {
        run_jobs(side);
        engine_transport_run_works(&side->end);
        count = mr_endpoint_events(side->end.ep, events, EVENTS);
        engine_transport_tell(&side->end, events, count);
    } while (count > 0 || side->end.work_count > 0);
    send_all(side);
    take_released(side);
    mr_endpoint_check(side->end.ep);
}

/* What has arrived by now. */
static void deliver(struct engine_world *w)
{
    while (sim_network_next(&w->net) <= w->now) {
        struct sim_packet *packet = sim_network_take(&w->net);
        struct sim_buffer *buffer = calloc(1, sizeof(*buffer));
        struct side *side = &w->side[packet->direction == 0 ? ENGINE_SERVER : ENGINE_CLIENT];

        if (buffer == NULL)
            die("no memory");
        memcpy(buffer->bytes, packet->bytes, packet->size);
        struct mr_datagram datagram = {.data = buffer->bytes,
                                       .buf = &buffer->buf,
                                       .size = packet->size,
                                       .ecn = packet->ecn,
                                       .path = packet->path};
        free(packet);
        mr_endpoint_receive(side->end.ep, &datagram, 1, w->now);
        if (datagram.redirect != MR_STAY)
            free(buffer);
        settle(side);
    }
}

/* When the next thing happens. */
static uint64_t next_ns(const struct engine_world *w)
{
    uint64_t next = sim_network_next(&w->net);

    for (int s = 0; s < 2; s++) {
        next = MR_MIN(next, mr_endpoint_deadline(w->side[s].end.ep));
        next = MR_MIN(next, engine_transport_next_timer(&w->side[s].end));
    }
    return MR_MAX(next, w->now);
}

/* RFC 9000 wants a client to stay where it is before the handshake is confirmed (Section 9). */
static void rebind(struct engine_world *w)
{
    w->next_rebind_ns = w->now + w->options.rebind_every_ns;
    for (int s = 0; s < 2; s++) {
        if (mr_endpoint_conn_count(w->side[s].end.ep) == 0 ||
            !mr_conn_at(w->side[s].end.ep, 0)->is_confirmed)
            return;
    }
    w->net.seen.rebound++;
    if (++w->nat.mapping == w->options.rebinds_max)
        w->next_rebind_ns = MR_NEVER;
}

static void advance(struct engine_world *w)
{
    uint64_t before = w->now;

    w->now = next_ns(w);
    if (w->now >= w->next_rebind_ns)
        rebind(w);
    deliver(w);
    for (int s = 0; s < 2; s++) {
        mr_endpoint_expire(w->side[s].end.ep, w->now);
        settle(&w->side[s]);
    }
    w->now += w->now == before; /* a deadline that is always now must not stop time */
}

bool engine_world_run_until(struct engine_world *w, uint64_t ns, bool (*is_over)(void *context),
                            void *context)
{
    uint64_t end = w->now + ns;

    settle(&w->side[ENGINE_CLIENT]);
    settle(&w->side[ENGINE_SERVER]);
    while (next_ns(w) <= end) {
        if (is_over != NULL && is_over(context))
            return true;
        advance(w);
    }
    w->now = MR_MAX(w->now, end);
    return false;
}

void engine_world_run(struct engine_world *w, uint64_t ns)
{
    (void)engine_world_run_until(w, ns, NULL, NULL);
}

const struct sim_network *engine_world_network(const struct engine_world *w)
{
    return &w->net;
}

void engine_world_hold(struct engine_world *w, unsigned side, bool is_held)
{
    w->side[side].is_held = is_held;
}

void engine_world_remember(struct engine_world *w, uint64_t remembered)
{
    w->side[ENGINE_SERVER].end.ep->config.remembered = remembered;
}

struct mr_endpoint *engine_world_endpoint(struct engine_world *w, unsigned side)
{
    return w->side[side].end.ep;
}

struct mr_transport *engine_world_transport(struct engine_world *w, unsigned side)
{
    return &w->side[side].end.transport;
}

/* ------------------------------------------------------------------ set-up */

static void make_tls(struct side *side, const struct engine_options *o)
{
    static const uint8_t ticket_keys[MR_TICKET_KEYS_SIZE] = {4, 5, 6};
    const struct mr_tls_server_config config = {.alpn = (const uint8_t *)"\002h3",
                                                .alpn_size = 3,
                                                .ciphers = "TLS_AES_128_GCM_SHA256",
                                                .ticket_keys = ticket_keys,
                                                .tickets = 1,
                                                .has_early_data = o->has_early_data};
    struct mr_fault fault;

    if (engine_tls_make((enum mr_role)side->index, &config, &side->tls, &fault) != 0)
        die(fault.text);
}

static void make_side(struct engine_world *w, const struct engine_options *o, unsigned index)
{
    static const uint8_t static_key[32] = {7, 7, 7};
    struct mr_limits limits = {.connections_max = o->connections == 0 ? 8 : o->connections,
                               .handshakes_max = 8,
                               .streams_max = 256,
                               .segments_max = 2048,
                               .ranges_max = 2048,
                               .chunks_max = 1024,
                               .compact_max = 512,
                               .datagram_chunks_max = 128,
                               .datagram_queue_max = 32,
                               .extras_max = 8,
                               .models_max = 8,
                               .names_max = 8,
                               .pinned_max = 256,
                               .active_keys_max = MR_MAX(o->connections, 8u)};
    struct side *side = &w->side[index];

    if (index == ENGINE_SERVER)
        mr_limits_let_sleep(&limits, o->awake);
    side->world = w;
    side->end.now_ns = &w->now;
    side->end.local = sim_nat_inside(0);
    side->index = index;
    side->aead = mr_aead_open(MR_AEAD_OPENSSL);
    make_tls(side, o);
    const struct mr_endpoint_config config = {
        .cid = {.node = 1, .shard = (uint16_t)index},
        .aead = side->aead,
        .server = index == ENGINE_SERVER ? &side->tls : NULL,
        .client = index == ENGINE_CLIENT ? &side->tls : NULL,
        .static_key = static_key,
        .seed = {1 + o->seed, index, 3, 4},
        .cc = MR_CC_NEWRENO,
        .payload_max = 1452,
        .retry_above = 1000,
        .idle_timeout_ns = 60 * MR_SECOND,
        .sleep_after_ns = o->sleep_after_ns,
        .keep_alive_ns = index == ENGINE_CLIENT ? o->keep_alive_ns : 0,
        .stream_window_max = 1 << 20,
        .conn_window_max = 8 << 20,
        .streams_bidi_max = 50,
        .streams_uni_max = 5,
        .datagram_max = o->datagram_max[index],
        .wall_offset_s = 1700000000,
        .remembered = side->end.application->remembered,
    };
    side->memory = malloc(mr_endpoint_footprint(&limits));
    side->end.ep = mr_endpoint_init(side->memory, &limits, &config, w->now);
    if (side->end.ep == NULL)
        die("no endpoint");
}

struct engine_world *engine_world_new(const struct engine_options *options,
                                      const struct mr_application *client,
                                      const struct mr_application *server)
{
    static const struct sim_link plain[2] = {{.delay_ns = LATENCY, .mtu = MTU},
                                             {.delay_ns = LATENCY, .mtu = MTU}};
    struct engine_world *w = calloc(1, sizeof(*w));

    if (w == NULL)
        die("no memory");
    w->now = MR_SECOND;
    w->options = *options;
    w->nat.changes_addresses = true;
    w->next_rebind_ns = options->rebind_every_ns > 0 ? w->now + options->rebind_every_ns : MR_NEVER;
    sim_network_init(&w->net, options->links != NULL ? options->links : plain, options->seed);
    w->side[ENGINE_CLIENT].end.application = client;
    w->side[ENGINE_SERVER].end.application = server;
    make_side(w, options, ENGINE_CLIENT);
    make_side(w, options, ENGINE_SERVER);
    for (int s = 0; s < 2; s++)
        engine_transport_start(&w->side[s].end);
    return w;
}

void engine_world_free(struct engine_world *w)
{
    for (int s = 0; s < 2; s++) {
        struct side *side = &w->side[s];
        side->end.application->on_stop(side->end.application->context);
        mr_endpoint_fini(side->end.ep);
        take_released(side);
        mr_tls_context_free(&side->tls);
        mr_aead_close(side->aead);
        free(side->memory);
    }
    sim_network_fini(&w->net);
    free(w);
}
