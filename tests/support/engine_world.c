/* tests/support/engine_world.c - see engine_world.h. */
#include "tests/support/engine_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/tls_context.h"
#include "quic/conn.h"

enum {
    TIMERS = 64,
    WORKS = 64,
    DATAGRAM = 1500,
    EVENTS = 16,
};

#define LATENCY (5 * MR_MS)

/* A datagram on its way, or held by the endpoint that it came to. */
struct packet {
    struct mr_buf buf;
    struct packet *next;
    uint64_t at_ns;
    struct mr_path_addr path;
    uint32_t size;
    unsigned to;
    uint8_t bytes[DATAGRAM];
};

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
    uint64_t now;
    uint64_t loss_every;
    uint64_t sent;
    struct packet *wire; /* oldest first */
    struct packet **wire_tail;
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

static struct mr_addr address(unsigned side)
{
    struct mr_addr addr = {.port = side == ENGINE_SERVER ? 443 : 5000};

    addr.ip[10] = addr.ip[11] = 0xff;
    addr.ip[12] = 198;
    addr.ip[13] = 18;
    addr.ip[15] = (uint8_t)(side + 1);
    return addr;
}

struct mr_address engine_world_server(void)
{
    struct mr_addr from = address(ENGINE_SERVER);
    struct mr_address to = {.port = from.port};

    memcpy(to.ip, from.ip, sizeof(to.ip));
    return to;
}

static int op_connect(struct mr_transport *t, const struct mr_connect_options *options,
                      mr_handle *conn_out)
{
    struct mr_addr local = address(ENGINE_CLIENT);

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
        free(MR_CONTAINER_OF(buf, struct packet, buf));
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
    struct packet *packet = calloc(1, sizeof(*packet));

    if (packet == NULL)
        die("no memory");
    if (side->is_held || (w->loss_every > 0 && ++w->sent % w->loss_every == 0)) {
        free(packet);
        return;
    }
    packet->at_ns = w->now + LATENCY;
    packet->path = (struct mr_path_addr){.local = out->path.remote, .remote = out->path.local};
    packet->size = out->size;
    packet->to = !side->index;
    memcpy(packet->bytes, out->data, out->size);
    *w->wire_tail = packet;
    w->wire_tail = &packet->next;
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
    while (w->wire != NULL && w->wire->at_ns <= w->now) {
        struct packet *packet = w->wire;
        struct mr_datagram datagram = {
            .data = packet->bytes, .buf = &packet->buf, .size = packet->size, .path = packet->path};
        struct side *side = &w->side[packet->to];
        w->wire = packet->next;
        if (w->wire == NULL)
            w->wire_tail = &w->wire;
        mr_endpoint_receive(side->ep, &datagram, 1, w->now);
        if (datagram.redirect != MR_STAY)
            free(packet);
        settle(side);
    }
}

/* When the next thing happens. */
static uint64_t next_ns(const struct engine_world *w)
{
    uint64_t next = w->wire == NULL ? UINT64_MAX : w->wire->at_ns;

    for (int s = 0; s < 2; s++) {
        next = MR_MIN(next, mr_endpoint_deadline(w->side[s].ep));
        for (int i = 0; i < TIMERS; i++) {
            if (w->side[s].timers[i].is_armed)
                next = MR_MIN(next, w->side[s].timers[i].at_ns);
        }
    }
    return MR_MAX(next, w->now);
}

void engine_world_run(struct engine_world *w, uint64_t ns)
{
    uint64_t end = w->now + ns;

    settle(&w->side[ENGINE_CLIENT]);
    settle(&w->side[ENGINE_SERVER]);
    while (next_ns(w) <= end) {
        uint64_t before = w->now;
        w->now = next_ns(w);
        deliver(w);
        for (int s = 0; s < 2; s++) {
            mr_endpoint_expire(w->side[s].ep, w->now);
            settle(&w->side[s]);
        }
        w->now += w->now == before; /* a deadline that is always now must not stop time */
    }
    w->now = MR_MAX(w->now, end);
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
    const struct mr_limits limits = {.connections_max = 8,
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
                                     .active_keys_max = 8};
    struct side *side = &w->side[index];

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
        .seed = {1, index, 3, 4},
        .cc = MR_CC_NEWRENO,
        .payload_max = 1452,
        .retry_above = 1000,
        .idle_timeout_ns = 60 * MR_SECOND,
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
    struct engine_world *w = calloc(1, sizeof(*w));

    if (w == NULL)
        die("no memory");
    w->now = MR_SECOND;
    w->wire_tail = &w->wire;
    w->loss_every = options->loss_every;
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
    while (w->wire != NULL) {
        struct packet *next = w->wire->next;
        free(w->wire);
        w->wire = next;
    }
    free(w);
}
