/* tests/support/engine_world.c - see engine_world.h. */
#include "tests/support/engine_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/tls_context.h"
#include "quic/conn.h"
#include "tests/sim/sim_nat.h"

enum {
    TIMERS = 64,
    WORKS = 64,
    DATAGRAM = 1500,
    EVENTS = 16,
    MTU = 1472,
};

#define LATENCY (5 * MR_MS)

struct timer {
    bool is_armed;
    uint64_t at_ns;
    uint64_t user_data;
};

struct side {
    struct mr_transport transport; /* first */
    struct engine_world *world;
    const struct mr_application *application;
    unsigned index;
    struct mr_endpoint *ep;
    struct mr_aead *aead;
    struct mr_tls_context tls;
    void *memory;
    struct timer timers[TIMERS];
    struct mr_event works[WORKS]; /* done, to be told */
    uint32_t work_count;
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

/* ------------------------------------------------------------------ operations */

static struct side *of(const struct mr_transport *t)
{
    return (struct side *)(uintptr_t)t;
}

struct mr_address engine_world_server(void)
{
    struct mr_addr from = sim_address(1, 443);
    struct mr_address to = {.port = from.port};

    memcpy(to.ip, from.ip, sizeof(to.ip));
    return to;
}

static int op_connect(struct mr_transport *t, const struct mr_connect_options *options,
                      mr_handle *conn_out)
{
    struct mr_addr local = sim_nat_inside(0);

    return mr_conn_connect(of(t)->ep, options, &local, of(t)->world->now, conn_out);
}

static int op_close(struct mr_transport *t, mr_handle conn, uint64_t code, const char *reason)
{
    return mr_conn_close(of(t)->ep, conn, code, reason, of(t)->world->now);
}

static int op_set_user_data(struct mr_transport *t, mr_handle object, uint64_t user_data)
{
    return mr_object_set_user_data(of(t)->ep, object, user_data);
}

static int op_conn_info(struct mr_transport *t, mr_handle conn, struct mr_conn_info *info_out)
{
    return mr_conn_info(of(t)->ep, conn, info_out);
}

static int64_t op_ticket(struct mr_transport *t, mr_handle conn, uint8_t *dst, size_t room)
{
    return mr_conn_ticket(of(t)->ep, conn, dst, room, of(t)->world->now);
}

static int op_open(struct mr_transport *t, mr_handle conn, uint32_t flags, uint64_t user_data,
                   mr_handle *stream_out)
{
    return mr_stream_open(of(t)->ep, conn, flags, user_data, stream_out);
}

static uint64_t op_stream_id(struct mr_transport *t, mr_handle stream)
{
    return mr_stream_id(of(t)->ep, stream);
}

static int op_send(struct mr_transport *t, mr_handle stream, const struct mr_view *views,
                   size_t count, uint32_t flags)
{
    return mr_stream_send(of(t)->ep, stream, views, count, flags);
}

static int64_t op_receive(struct mr_transport *t, mr_handle stream, struct mr_view *views_out,
                          size_t room, bool *fin_out)
{
    return mr_stream_receive(of(t)->ep, stream, views_out, room, fin_out);
}

static int op_release(struct mr_transport *t, mr_handle stream, size_t size)
{
    return mr_stream_release(of(t)->ep, stream, size);
}

static int op_reset(struct mr_transport *t, mr_handle stream, uint64_t code)
{
    return mr_stream_reset(of(t)->ep, stream, code);
}

static int op_stop(struct mr_transport *t, mr_handle stream, uint64_t code)
{
    return mr_stream_stop(of(t)->ep, stream, code);
}

static int op_send_datagram(struct mr_transport *t, mr_handle conn, const struct mr_view *views,
                            size_t count)
{
    return mr_conn_send_datagram(of(t)->ep, conn, views, count);
}

static int64_t op_receive_datagram(struct mr_transport *t, mr_handle conn, uint8_t *dst,
                                   size_t room)
{
    return mr_conn_receive_datagram(of(t)->ep, conn, dst, room);
}

static int op_set_priority(struct mr_transport *t, mr_handle stream, struct mr_priority priority)
{
    return mr_stream_set_priority(of(t)->ep, stream, priority);
}

static int op_timer(struct mr_transport *t, uint64_t delay_ns, uint64_t user_data)
{
    struct side *side = of(t);

    for (int i = 0; i < TIMERS; i++) {
        if (side->timers[i].is_armed)
            continue;
        side->timers[i] = (struct timer){true, side->world->now + delay_ns, user_data};
        return 0;
    }
    return -ENOMEM;
}

static int op_work(struct mr_transport *t, int64_t (*function)(void *argument), void *argument,
                   uint64_t user_data)
{
    struct side *side = of(t);

    if (side->work_count == WORKS)
        return -EAGAIN;
    side->works[side->work_count++] = (struct mr_event){.kinds = MR_EVENT_WORK_DONE,
                                                        .user_data = user_data,
                                                        .result = function(argument),
                                                        .reason = ""};
    return 0;
}

static uint64_t op_now(const struct mr_transport *t)
{
    return of(t)->world->now;
}

static const struct mr_transport_ops operations = {
    .connect = op_connect,
    .close = op_close,
    .set_user_data = op_set_user_data,
    .conn_info = op_conn_info,
    .ticket = op_ticket,
    .open = op_open,
    .stream_id = op_stream_id,
    .send = op_send,
    .receive = op_receive,
    .release = op_release,
    .reset = op_reset,
    .stop = op_stop,
    .send_datagram = op_send_datagram,
    .receive_datagram = op_receive_datagram,
    .timer = op_timer,
    .work = op_work,
    .now = op_now,
    .set_priority = op_set_priority,
};

/* ------------------------------------------------------------------ running */

static void tell(struct side *side, const struct mr_event *events, size_t count)
{
    if (count > 0)
        side->application->on_events(side->application->context, events, count);
}

static void take_released(struct side *side)
{
    struct mr_buf *buf = mr_endpoint_take_released(side->ep);

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

    while ((count = mr_endpoint_take_jobs(side->ep, jobs, 4)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            mr_tls_job_run(jobs[i]);
            mr_endpoint_complete_job(side->ep, jobs[i], side->world->now);
        }
    }
}

static void run_works(struct side *side)
{
    struct mr_event works[WORKS];
    uint32_t count = side->work_count;

    memcpy(works, side->works, count * sizeof(works[0]));
    side->work_count = 0;
    tell(side, works, count);
}

static void run_timers(struct side *side)
{
    for (int i = 0; i < TIMERS; i++) {
        struct timer *timer = &side->timers[i];
        const struct mr_event event = {
            .kinds = MR_EVENT_TIMER, .user_data = timer->user_data, .reason = ""};
        if (!timer->is_armed || timer->at_ns > side->world->now)
            continue;
        timer->is_armed = false;
        tell(side, &event, 1);
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
        count = mr_endpoint_send(side->ep, out, MR_BURST, side->world->now);
        for (uint32_t i = 0; i < count; i++)
            put_on_wire(side, &out[i]);
    } while (count > 0);
}

static void settle(struct side *side)
{
    struct mr_event events[EVENTS];
    uint32_t count;

    run_timers(side);
    do {
        run_jobs(side);
        run_works(side);
        count = mr_endpoint_events(side->ep, events, EVENTS);
        tell(side, events, count);
    } while (count > 0 || side->work_count > 0);
    send_all(side);
    take_released(side);
    mr_endpoint_check(side->ep);
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
        mr_endpoint_receive(side->ep, &datagram, 1, w->now);
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
        next = MR_MIN(next, mr_endpoint_deadline(w->side[s].ep));
        for (int i = 0; i < TIMERS; i++) {
            if (w->side[s].timers[i].is_armed)
                next = MR_MIN(next, w->side[s].timers[i].at_ns);
        }
    }
    return MR_MAX(next, w->now);
}

/* RFC 9000 wants a client to stay where it is before the handshake is confirmed (Section 9). */
static void rebind(struct engine_world *w)
{
    w->next_rebind_ns = w->now + w->options.rebind_every_ns;
    for (int s = 0; s < 2; s++) {
        if (mr_endpoint_conn_count(w->side[s].ep) == 0 ||
            !mr_conn_at(w->side[s].ep, 0)->is_confirmed)
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
        mr_endpoint_expire(w->side[s].ep, w->now);
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
    w->side[ENGINE_SERVER].ep->config.remembered = remembered;
}

struct mr_endpoint *engine_world_endpoint(struct engine_world *w, unsigned side)
{
    return w->side[side].ep;
}

struct mr_transport *engine_world_transport(struct engine_world *w, unsigned side)
{
    return &w->side[side].transport;
}

/* ------------------------------------------------------------------ set-up */

static const struct mr_certificate *certificate(void)
{
    static struct mr_certificate made;
    struct mr_certificate_options options = {0};
    struct mr_fault fault;

    if (made.key_pem[0] == '\0' && mr_certificate_make(&made, &options, &fault) != 0)
        die(fault.text);
    return &made;
}

static void make_tls(struct side *side, const struct engine_options *o)
{
    static const uint8_t alpn[] = "\002h3";
    static const uint8_t ticket_keys[MR_TICKET_KEYS_SIZE] = {4, 5, 6};
    struct mr_tls_server_config server = {.certificate = certificate(),
                                          .alpn = alpn,
                                          .alpn_size = 3,
                                          .ciphers = "TLS_AES_128_GCM_SHA256",
                                          .ticket_keys = ticket_keys,
                                          .tickets = 1,
                                          .has_early_data = o->has_early_data};
    struct mr_tls_client_config client = {.ca_pem = certificate()->certificate_pem,
                                          .ciphers = "TLS_AES_128_GCM_SHA256",
                                          .has_early_data = o->has_early_data};
    struct mr_fault fault;
    int answer = side->index == ENGINE_SERVER ? mr_tls_context_server(&side->tls, &server, &fault)
                                              : mr_tls_context_client(&side->tls, &client, &fault);

    if (answer != 0)
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
    side->transport.ops = &operations;
    side->world = w;
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
        .remembered = side->application->remembered,
    };
    side->memory = malloc(mr_endpoint_footprint(&limits));
    side->ep = mr_endpoint_init(side->memory, &limits, &config, w->now);
    if (side->ep == NULL)
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
    w->side[ENGINE_CLIENT].application = client;
    w->side[ENGINE_SERVER].application = server;
    make_side(w, options, ENGINE_CLIENT);
    make_side(w, options, ENGINE_SERVER);
    for (int s = 0; s < 2; s++)
        w->side[s].application->on_start(w->side[s].application->context, &w->side[s].transport);
    return w;
}

void engine_world_free(struct engine_world *w)
{
    for (int s = 0; s < 2; s++) {
        struct side *side = &w->side[s];
        side->application->on_stop(side->application->context);
        mr_endpoint_fini(side->ep);
        take_released(side);
        mr_tls_context_free(&side->tls);
        mr_aead_close(side->aead);
        free(side->memory);
    }
    sim_network_fini(&w->net);
    free(w);
}
