/*
 * bench/engine_main.c - what the engine costs per full-size 1-RTT packet: `engine [packets [back
 * end]]`.
 *
 *     server  --mr_endpoint_build()/seal()-->  32 datagrams  --mr_endpoint_receive()-->  client
 *     client  --one ACK per 32-->  server
 *
 * Two endpoints in one thread, no port, null AEAD, virtual time: nothing but the engine.  Prints
 * the median ns per packet of each step; under callgrind, with --collect-atstart=no and
 * --toggle-collect=engine_send or engine_receive, the program counts instructions instead
 * (scripts/engine-count does).  With another back end and more than 2^22 packets it shows what a
 * key update costs: the slowest step with one, beside the middle of all steps.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "bench/samples.h"
#include "control/certificate.h"
#include "control/tls_context.h"
#include "quic/endpoint.h"

enum {
    PAYLOAD = 1452,
    PACKETS_DEFAULT = 200000,
    BUFFERS = 4 * MR_BURST,
    DATA_BYTES = 1 << 20,
    STEP_NS = 100000, /* virtual time per burst: slow enough that the pacer holds nothing back */
    WALL_SECONDS = 1700000000
};

/* One endpoint, its buffers, and the CPU time that its steps took. */
struct side {
    struct mr_endpoint *ep;
    struct mr_tls_context tls;
    mr_handle conn;
    mr_handle stream;
    uint64_t acked;
    uint64_t send_ns;
    uint64_t receive_ns;
    uint64_t full_packets;
    uint64_t bursts;
    uint64_t updates;         /* key updates seen so far */
    double slowest_update_ns; /* step with a key update */
    struct mr_samples send;   /* some steps without */
    struct mr_samples receive;
    bool is_connected;
    uint8_t bytes[MR_BURST][2048];
};

struct buffer {
    struct mr_buf buf;
    uint8_t bytes[2048];
};

static struct side sides[2];
static struct buffer buffers[BUFFERS];
static struct buffer *spare[BUFFERS];
static uint32_t spare_count;
static uint8_t data[DATA_BYTES];
static uint64_t now = MR_SECOND;
static struct mr_certificate certificate;

_Noreturn MR_COLD static void die(const char *what)
{
    fprintf(stderr, "engine: %s\n", what);
    exit(1);
}

/* ------------------------------------------------------------------ set-up */

static void make_buffers(void)
{
    for (uint32_t i = 0; i < BUFFERS; i++)
        spare[spare_count++] = &buffers[i];
}

static void make_tls(enum mr_role role)
{
    static const uint8_t alpn[] = "\005bench";
    struct mr_tls_server_config server = {.certificate = &certificate,
                                          .allows_expired = true,
                                          .alpn = alpn,
                                          .alpn_size = sizeof(alpn) - 1};
    struct mr_tls_client_config client = {.is_insecure = true};
    struct mr_fault fault;
    int answer = role == MR_SERVER ? mr_tls_context_server(&sides[role].tls, &server, &fault)
                                   : mr_tls_context_client(&sides[role].tls, &client, &fault);

    if (answer != 0)
        die(fault.text);
}

static void make_side(enum mr_role role, struct mr_aead *aead)
{
    static const uint8_t static_key[32] = {1};
    struct mr_limits limits = mr_limits_for(16);
    struct side *side = &sides[role];
    struct mr_endpoint_config config = {.cid = {.node = 1, .shard = (uint16_t)role},
                                        .aead = aead,
                                        .server = role == MR_SERVER ? &side->tls : NULL,
                                        .client = role == MR_CLIENT ? &side->tls : NULL,
                                        .static_key = static_key,
                                        .seed = {1, role, 3, 4},
                                        .cc = MR_CC_CUBIC,
                                        .payload_max = PAYLOAD,
                                        .retry_above = 1000,
                                        .idle_timeout_ns = 60 * MR_SECOND,
                                        .stream_window_max = 16 << 20,
                                        .conn_window_max = 16 << 20,
                                        .streams_bidi_max = 4,
                                        .datagram_max = UINT16_MAX,
                                        .extensions = MR_EXTENSIONS_DEFAULT,
                                        .wall_offset_s = WALL_SECONDS};

    make_tls(role);
    side->ep = mr_endpoint_init(aligned_alloc(64, mr_endpoint_footprint(&limits) / 64 * 64 + 64),
                                &limits, &config, now);
    if (side->ep == NULL)
        die("an endpoint could not be made");
}

static void connect_client(void)
{
    struct mr_connect_options options = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\005bench",
                                         .alpn_size = 6,
                                         .is_insecure = true,
                                         .remote = {.ip = {[15] = 1}, .port = 443}};
    struct mr_addr local = {.ip = {[15] = 1}, .port = 5000};

    if (mr_conn_connect(sides[MR_CLIENT].ep, &options, &local, now, &sides[MR_CLIENT].conn) != 0)
        die("the client could not connect");
}

/* ------------------------------------------------------------------ the applications */

/* The client opens the stream with one byte; the server answers with data for ever. */
static void on_event(struct side *side, const struct mr_event *event)
{
    struct mr_view views[2 * MR_BURST];
    bool fin;

    side->is_connected |= (event->kinds & MR_EVENT_CONNECTED) != 0;
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        die(event->reason);
    if ((event->kinds & MR_EVENT_STREAM_OPENED) != 0)
        side->stream = event->stream;
    if ((event->kinds & MR_EVENT_ACKED) != 0)
        side->acked = event->acked_to;
    if ((event->kinds & MR_EVENT_READABLE) != 0) {
        int64_t count = mr_stream_receive(side->ep, event->stream, views, MR_COUNT_OF(views), &fin);
        size_t size = 0;

        for (int64_t i = 0; i < count; i++)
            size += views[i].size;
        mr_stream_release(side->ep, event->stream, size);
    }
}

static void take_events(struct side *side)
{
    struct mr_event events[16];
    uint32_t count;

    while ((count = mr_endpoint_events(side->ep, events, 16)) > 0)
        for (uint32_t i = 0; i < count; i++)
            on_event(side, &events[i]);
}

/* ------------------------------------------------------------------ the two steps */

/* Build and seal a burst.  The steps are functions of their own so that callgrind can name them. */
__attribute__((noinline)) uint32_t engine_send(struct mr_endpoint *ep, struct mr_outgoing *out);
__attribute__((noinline)) void engine_receive(struct side *side, struct mr_datagram *datagrams,
                                              uint32_t count);

uint32_t engine_send(struct mr_endpoint *ep, struct mr_outgoing *out)
{
    return mr_endpoint_send(ep, out, MR_BURST, now);
}

/* Receive a burst, give its data to the application, take the buffers back. */
void engine_receive(struct side *side, struct mr_datagram *datagrams, uint32_t count)
{
    mr_endpoint_receive(side->ep, datagrams, count, now);
    take_events(side);
    for (struct mr_buf *buf = mr_endpoint_take_released(side->ep); buf != NULL;) {
        struct mr_buf *next = buf->next;

        spare[spare_count++] = MR_CONTAINER_OF(buf, struct buffer, buf);
        buf = next;
    }
}

static void run_jobs(struct side *side)
{
    struct mr_tls_job *job;

    while (mr_endpoint_take_jobs(side->ep, &job, 1) > 0) {
        mr_tls_job_run(job);
        mr_endpoint_complete_job(side->ep, job, now);
    }
}

/* Book the time of a step with `count` datagrams: apart if keys were updated in it. */
static void book(struct side *side, uint64_t *sum, struct mr_samples *samples, uint32_t count,
                 uint64_t took)
{
    const struct mr_counters *c = mr_endpoint_counters(side->ep);
    uint64_t updates = c->key_updates_started + c->key_updates_received;

    *sum += took;
    if (updates == side->updates && count == MR_BURST)
        mr_samples_add(samples, (double)took);
    if (updates != side->updates && (double)took > side->slowest_update_ns)
        side->slowest_update_ns = (double)took;
    side->updates = updates;
}

static void deliver(struct side *to, const struct mr_outgoing *out, uint32_t count)
{
    struct mr_datagram datagrams[MR_BURST];

    for (uint32_t i = 0; i < count; i++) {
        if (spare_count == 0)
            die("buffers are missing");
        struct buffer *buffer = spare[--spare_count];

        memcpy(buffer->bytes, out[i].data, out[i].size);
        datagrams[i] = (struct mr_datagram){
            .data = buffer->bytes,
            .buf = &buffer->buf,
            .size = out[i].size,
            .path = {.local = out[i].path.remote, .remote = out[i].path.local}};
    }
    uint64_t begin = mr_bench_now_ns();
    engine_receive(to, datagrams, count);
    book(to, &to->receive_ns, &to->receive, count, mr_bench_now_ns() - begin);
    run_jobs(to);
}

/* One burst from `from` to the other side.  Returns datagrams. */
static uint32_t burst(struct side *from, struct side *to)
{
    struct mr_outgoing out[MR_BURST];

    for (uint32_t i = 0; i < MR_BURST; i++)
        out[i] = (struct mr_outgoing){.data = from->bytes[i], .room = PAYLOAD};
    run_jobs(from);
    uint64_t begin = mr_bench_now_ns();
    uint32_t count = from == &sides[MR_SERVER] ? engine_send(from->ep, out)
                                               : mr_endpoint_send(from->ep, out, MR_BURST, now);
    book(from, &from->send_ns, &from->send, count, mr_bench_now_ns() - begin);
    from->bursts += count > 0;
    for (uint32_t i = 0; i < count; i++)
        from->full_packets += out[i].size == PAYLOAD;
    if (count > 0)
        deliver(to, out, count);
    return count;
}

/* Keep some MiB queued. */
static void offer(struct side *server)
{
    struct mr_view view = {.data = data, .size = sizeof(data)};

    while (server->stream != MR_HANDLE_NONE &&
           mr_stream_send(server->ep, server->stream, &view, 1, 0) == 0)
        ;
}

static void step(void)
{
    struct side *client = &sides[MR_CLIENT];
    struct side *server = &sides[MR_SERVER];

    now += STEP_NS;
    for (int i = 0; i < 2; i++)
        if (mr_endpoint_deadline(sides[i].ep) <= now)
            mr_endpoint_expire(sides[i].ep, now);
    offer(server);
    burst(server, client);
    burst(client, server);
}

static void open_stream(void)
{
    struct side *client = &sides[MR_CLIENT];
    struct mr_view view = {.data = data, .size = 1};

    for (int i = 0; i < 1000 && !client->is_connected; i++)
        step();
    if (mr_stream_open(client->ep, client->conn, MR_OPEN_BIDI, 0, &client->stream) != 0 ||
        mr_stream_send(client->ep, client->stream, &view, 1, 0) != 0)
        die("no connection came about");
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
    die("the back end is one of auto, openssl, ipsec-mb and null");
}

static double per_packet(uint64_t ns)
{
    return (double)ns / (double)sides[MR_SERVER].full_packets;
}

/* How much longer the slowest step with a key update took than steps do, us. */
static double update_cost_us(struct side *side, struct mr_samples *samples)
{
    return (side->slowest_update_ns - mr_samples_median(samples)) / 1000;
}

static void print_text(void)
{
    struct side *client = &sides[MR_CLIENT];
    struct side *server = &sides[MR_SERVER];

    printf("packets %" PRIu64 " in %" PRIu64 " bursts\n", server->full_packets, server->bursts);
    printf("server send %.1f ns, receive %.1f ns; client send %.1f ns, receive %.1f ns\n",
           per_packet(server->send_ns), per_packet(server->receive_ns), per_packet(client->send_ns),
           per_packet(client->receive_ns));
    if (server->updates > 0)
        printf("%" PRIu64
               " key updates, the slowest %.1f us at the server, %.1f us at the client\n",
               server->updates, update_cost_us(server, &server->send),
               update_cost_us(client, &client->receive));
}

static void print_json(void)
{
    struct side *client = &sides[MR_CLIENT];
    struct side *server = &sides[MR_SERVER];
    bool has_updates = server->updates > 0;

    printf("{\"bench\":\"engine\",\"packets\":%" PRIu64 ",\"server_send_ns\":%.1f,"
           "\"server_receive_ns\":%.1f,\"client_send_ns\":%.1f,\"client_receive_ns\":%.1f,"
           "\"key_updates\":%" PRIu64 ",\"server_key_update_us\":%.1f,"
           "\"client_key_update_us\":%.1f}\n",
           server->full_packets, per_packet(server->send_ns), per_packet(server->receive_ns),
           per_packet(client->send_ns), per_packet(client->receive_ns), server->updates,
           has_updates ? update_cost_us(server, &server->send) : 0,
           has_updates ? update_cost_us(client, &client->receive) : 0);
}

int main(int argc, char **argv)
{
    bool is_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    char **words = argv + is_json;
    int count = argc - is_json;
    uint64_t packets = count > 1 ? strtoull(words[1], NULL, 0) : PACKETS_DEFAULT;
    struct mr_aead *aead = mr_aead_open(backend_of(count > 2 ? words[2] : "null"));
    struct mr_fault fault;

    if (aead == NULL ||
        mr_certificate_make(&certificate, &(struct mr_certificate_options){0}, &fault) != 0)
        die("no back end or certificate");
    make_buffers();
    make_side(MR_CLIENT, aead);
    make_side(MR_SERVER, aead);
    connect_client();
    open_stream();
    while (sides[MR_SERVER].full_packets < packets)
        step();
    if (is_json)
        print_json();
    else
        print_text();
    return 0;
}
