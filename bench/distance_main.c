/*
 * bench/distance_main.c - what congestion control makes of a wire of 10 Gbit/s over a distance.
 *
 *     distance [--only TEXT] [--json]     rows whose name has TEXT; a table; fails if a row does
 *
 *     server  --> 10 Gbit/s, a queue of one round trip, random loss, half of the round trip -->
 * client
 *             <-- half of the round trip <--
 *
 * Two endpoints in one thread, no port, null AEAD, virtual time in ticks: a row takes as long as
 * its packets take the engine, a few us each.  All limits are sized for MR_DISTANCE_IN_FLIGHT bytes
 * in flight, twice over: BBR's window is twice what the path holds.  CUBIC must get 0.8 to 1.3 of
 * what theory gives it (RFC 9438, Section 5: AVG_W, or Reno's if that is larger), from the 20th
 * loss on; BBR 0.9 of what loss leaves of the rate, from 30 round trips on.  Each row runs in a
 * process of its own, so that its peak memory can be told.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/random.h"
#include "bench/engine_pair.h"
#include "quic/conn.h"

#define RATE_BPS     UINT64_C(10000000000)
#define IN_FLIGHT    UINT64_C(250000000) /* bytes that the longest path holds */
#define WINDOW       (6 * IN_FLIGHT)     /* of flow control: a loss holds up several round trips */
#define TICK_NS      (25 * MR_US)        /* endpoints run each so often: one poll loop's burst */
#define STREAM_BYTES 1411                /* of a full packet */
#define IP_BYTES     1480
#define WIRE_PACKETS (1u << 20)
#define DATA_BYTES   (16u << 20)
#define FIRST_LOSSES 20  /* CUBIC: not measured */
#define LOSSES       150 /* and measured */
#define TRIPS        30  /* BBR: not measured */

struct row {
    enum mr_cc_kind cc;
    uint64_t rtt_ns;
    double loss;
};

static const struct row rows[] = {
    {MR_CC_CUBIC, 20 * MR_MS, 0.0001}, {MR_CC_CUBIC, 20 * MR_MS, 0.001},
    {MR_CC_CUBIC, 20 * MR_MS, 0.01},   {MR_CC_CUBIC, 200 * MR_MS, 0.0001},
    {MR_CC_CUBIC, 200 * MR_MS, 0.001}, {MR_CC_CUBIC, 200 * MR_MS, 0.01},
    {MR_CC_BBR, 20 * MR_MS, 0.0001},   {MR_CC_BBR, 20 * MR_MS, 0.001},
    {MR_CC_BBR, 20 * MR_MS, 0.01},     {MR_CC_BBR, 200 * MR_MS, 0.0001},
    {MR_CC_BBR, 200 * MR_MS, 0.001},   {MR_CC_BBR, 200 * MR_MS, 0.01},
};

struct buffer {
    struct mr_buf buf;
    struct buffer *next; /* free */
    uint64_t arrival_ns;
    uint32_t size;
    struct mr_path_addr path;
    uint8_t bytes[ENGINE_PAYLOAD];
};

/* One direction: packets in the order in which they arrive. */
struct wire {
    struct buffer **packets; /* ring of WIRE_PACKETS */
    uint64_t first;
    uint64_t next;
    uint64_t busy_until_ns;
};

struct side {
    struct mr_endpoint *ep;
    struct mr_tls_context tls;
    struct wire in;
    mr_handle conn;
    mr_handle stream;
    uint64_t received;
    bool is_connected;
};

static struct side sides[2];
static struct buffer *free_buffers;
static uint8_t data[DATA_BYTES];
static uint64_t now = MR_SECOND;
static uint64_t largest_in_flight;
static struct mr_random randomness;
static const struct row *row;

/* ------------------------------------------------------------------ set-up */

/* Limits for one connection with the window in flight: a record and, at its receiver, a reassembly
 * node for each packet. */
static struct mr_limits limits_of_window(void)
{
    struct mr_limits limits = mr_limits_for(16);
    uint32_t packets = (uint32_t)(WINDOW / STREAM_BYTES);

    limits.chunks_max = packets / MR_SENT_CHUNK_RECORDS * 9 / 8;
    limits.ranges_max = 2 * packets;
    limits.pinned_max = packets;
    limits.models_max = 4;
    return limits;
}

static void make_side(enum mr_role role, struct mr_aead *aead)
{
    struct mr_limits limits = limits_of_window();
    struct side *side = &sides[role];
    struct mr_endpoint_config config = engine_config(role, &side->tls, aead);

    config.cc = row->cc;
    config.stream_window_max = config.conn_window_max = WINDOW;
    config.streams_bidi_max = 4;
    engine_tls(role, &(struct engine_options){0}, &side->tls);
    side->ep = engine_endpoint(&limits, &config, now);
    side->in.packets = calloc(WIRE_PACKETS, sizeof(*side->in.packets));
    if (side->in.packets == NULL)
        engine_die("no memory");
}

static void connect_client(void)
{
    struct mr_connect_options options = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\005bench",
                                         .alpn_size = 6,
                                         .remote = {.ip = {[15] = 1}, .port = 443}};
    struct mr_addr local = {.ip = {[15] = 1}, .port = 5000};

    if (mr_conn_connect(sides[MR_CLIENT].ep, &options, &local, now, &sides[MR_CLIENT].conn) != 0)
        engine_die("the client could not connect");
}

/* ------------------------------------------------------------------ the wire */

static struct buffer *take_buffer(void)
{
    struct buffer *buffer = free_buffers;

    if (buffer == NULL) {
        buffer = malloc(sizeof(*buffer));
        if (buffer == NULL)
            engine_die("no memory");
    } else {
        free_buffers = buffer->next;
    }
    buffer->buf = (struct mr_buf){0};
    return buffer;
}

static void give_buffer(struct buffer *buffer)
{
    buffer->next = free_buffers;
    free_buffers = buffer;
}

static bool is_lost(enum mr_role to)
{
    return to == MR_CLIENT && sides[MR_CLIENT].is_connected &&
           (double)(mr_random_u64(&randomness) >> 11) < row->loss * 0x1p53;
}

static void put_on_wire(enum mr_role to, const struct mr_outgoing *out)
{
    struct wire *wire = &sides[to].in;
    uint64_t starts = MR_MAX(wire->busy_until_ns, now);

    if (starts - now > row->rtt_ns) /* the queue is full */
        return;
    wire->busy_until_ns =
        starts + (out->size + IP_BYTES - ENGINE_PAYLOAD) * 8 * MR_SECOND / RATE_BPS;
    if (is_lost(to))
        return;
    if (wire->next - wire->first == WIRE_PACKETS)
        engine_die("the wire is too short");
    struct buffer *buffer = take_buffer();
    buffer->arrival_ns = wire->busy_until_ns + row->rtt_ns / 2;
    buffer->size = out->size;
    buffer->path = (struct mr_path_addr){.local = out->path.remote, .remote = out->path.local};
    memcpy(buffer->bytes, out->data, out->size);
    wire->packets[wire->next++ % WIRE_PACKETS] = buffer;
}

static uint64_t next_arrival(const struct wire *wire)
{
    return wire->first == wire->next ? MR_NEVER
                                     : wire->packets[wire->first % WIRE_PACKETS]->arrival_ns;
}

/* ------------------------------------------------------------------ the applications */

static void read_stream(struct side *side, mr_handle stream)
{
    struct mr_view views[64];
    bool fin;
    int64_t count;

    do {
        size_t size = 0;

        count = mr_stream_receive(side->ep, stream, views, MR_COUNT_OF(views), &fin);
        for (int64_t i = 0; i < count; i++)
            size += views[i].size;
        mr_stream_release(side->ep, stream, size);
        side->received += size;
    } while (count == (int64_t)MR_COUNT_OF(views));
}

static void take_events(struct side *side)
{
    struct mr_event events[16];
    uint32_t count;

    while ((count = mr_endpoint_events(side->ep, events, 16)) > 0)
        for (uint32_t i = 0; i < count; i++) {
            side->is_connected |= (events[i].kinds & MR_EVENT_CONNECTED) != 0;
            if ((events[i].kinds & MR_EVENT_CLOSED) != 0)
                engine_die(events[i].reason);
            if ((events[i].kinds & MR_EVENT_STREAM_OPENED) != 0)
                side->stream = events[i].stream;
            if ((events[i].kinds & MR_EVENT_READABLE) != 0)
                read_stream(side, events[i].stream);
        }
}

/* The client opens a stream with one byte; the server answers with data for ever. */
static void offer(void)
{
    struct side *client = &sides[MR_CLIENT];
    struct side *server = &sides[MR_SERVER];
    struct mr_view view = {.data = data, .size = 1};

    if (client->is_connected && client->stream == MR_HANDLE_NONE &&
        mr_stream_open(client->ep, client->conn, MR_OPEN_BIDI, 0, &client->stream) == 0)
        mr_stream_send(client->ep, client->stream, &view, 1, 0);
    view.size = sizeof(data);
    while (server->stream != MR_HANDLE_NONE &&
           mr_stream_send(server->ep, server->stream, &view, 1, 0) == 0)
        ;
}

/* ------------------------------------------------------------------ time */

static void deliver(struct side *side)
{
    struct mr_datagram datagrams[MR_BURST];

    while (next_arrival(&side->in) <= now) {
        uint32_t count = 0;

        while (count < MR_BURST && next_arrival(&side->in) <= now) {
            struct buffer *buffer = side->in.packets[side->in.first++ % WIRE_PACKETS];

            datagrams[count++] = (struct mr_datagram){.data = buffer->bytes,
                                                      .buf = &buffer->buf,
                                                      .size = buffer->size,
                                                      .path = buffer->path};
        }
        mr_endpoint_receive(side->ep, datagrams, count, now);
        take_events(side);
        for (struct mr_buf *buf = mr_endpoint_take_released(side->ep); buf != NULL;) {
            struct mr_buf *next = buf->next;

            give_buffer(MR_CONTAINER_OF(buf, struct buffer, buf));
            buf = next;
        }
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

static void send_all(enum mr_role from)
{
    static uint8_t bytes[MR_BURST][ENGINE_PAYLOAD];
    struct mr_outgoing out[MR_BURST];
    uint32_t count;

    do {
        for (uint32_t i = 0; i < MR_BURST; i++)
            out[i] = (struct mr_outgoing){.data = bytes[i], .room = ENGINE_PAYLOAD};
        count = mr_endpoint_send(sides[from].ep, out, MR_BURST, now);
        for (uint32_t i = 0; i < count; i++)
            put_on_wire(from == MR_SERVER ? MR_CLIENT : MR_SERVER, &out[i]);
    } while (count > 0);
}

/* On to the next tick at which something happens. */
static void step(void)
{
    uint64_t next = MR_NEVER;

    for (int i = 0; i < 2; i++)
        next = MR_MIN(next, MR_MIN(next_arrival(&sides[i].in), mr_endpoint_deadline(sides[i].ep)));
    if (next == MR_NEVER)
        engine_die("nothing will ever happen");
    now = MR_MAX(now + 1, next);
    now += (TICK_NS - now % TICK_NS) % TICK_NS;
    for (int i = 0; i < 2; i++) {
        deliver(&sides[i]);
        if (mr_endpoint_deadline(sides[i].ep) <= now)
            mr_endpoint_expire(sides[i].ep, now);
        run_jobs(&sides[i]);
        take_events(&sides[i]);
    }
    offer();
    send_all(MR_CLIENT);
    send_all(MR_SERVER);
    if (mr_endpoint_conn_count(sides[MR_SERVER].ep) > 0)
        largest_in_flight =
            MR_MAX(largest_in_flight, mr_conn_at(sides[MR_SERVER].ep, 0)->path.cc.in_flight);
}

/* ------------------------------------------------------------------ rows */

/* Bytes per ns that the row is measured by, and how many parts of it there must be. */
static double reference(const struct row *r, double *least_out, double *most_out)
{
    double cubic = 1.054 * pow((double)r->rtt_ns * 1e-9, 0.75) / pow(r->loss, 0.75);

    if (r->cc == MR_CC_BBR) {
        *least_out = 0.9;
        *most_out = 1.01;
        return (double)RATE_BPS / 8e9 * STREAM_BYTES / IP_BYTES * (1 - r->loss);
    }
    *least_out = 0.8;
    *most_out = 1.3;
    return MR_MAX(cubic, sqrt(1.5 / r->loss)) * STREAM_BYTES / (double)r->rtt_ns;
}

static uint64_t losses(void)
{
    return mr_endpoint_counters(sides[MR_SERVER].ep)->packets_lost;
}

/* Until the row is in its steady state, or has been there for long enough. */
static void run_until(uint64_t losses_then, uint64_t time_then)
{
    while (row->cc == MR_CC_BBR ? now < time_then : losses() < losses_then)
        step();
}

static void name_row(const struct row *r, char *out, size_t size)
{
    snprintf(out, size, "%s over %" PRIu64 " ms, %g %% loss", r->cc == MR_CC_BBR ? "BBR" : "CUBIC",
             r->rtt_ns / MR_MS, 100 * r->loss);
}

static double wall_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void print_row(bool is_json, double rate, double ratio, bool ok, double took_s)
{
    struct rusage usage;
    char name[64];
    double simulated_s = (double)(now - MR_SECOND) * 1e-9;

    getrusage(RUSAGE_SELF, &usage);
    name_row(row, name, sizeof(name));
    double memory_mb = (double)usage.ru_maxrss / 1000;
    double flight_mb = (double)largest_in_flight * 1e-6;
    if (is_json)
        printf("{\"row\": \"%s\", \"mbps\": %.2f, \"ratio\": %.3f, \"in_flight_mb\": %.1f, "
               "\"memory_mb\": %.0f, \"losses\": %" PRIu64 ", \"simulated_s\": %.1f, "
               "\"seconds\": %.1f, \"ok\": %s}\n",
               name, rate * 8e3, ratio, flight_mb, memory_mb, losses(), simulated_s, took_s,
               ok ? "true" : "false");
    else
        printf("%-32s %9.2f %6.3f %10.1f %8.0f %9" PRIu64 " %9.1f %7.1f%s\n", name, rate * 8e3,
               ratio, flight_mb, memory_mb, losses(), simulated_s, took_s, ok ? "" : "  NOT OK");
}

/* Returns the exit code of its process. */
static int run_row(const struct row *r, bool is_json)
{
    static struct mr_aead *aead;
    double least;
    double most;
    double expected = reference(r, &least, &most);
    double began_s = wall_s();

    row = r;
    mr_random_init_number(&randomness, 7);
    aead = mr_aead_open(MR_AEAD_NULL);
    if (aead == NULL)
        engine_die("no AEAD");
    make_side(MR_CLIENT, aead);
    make_side(MR_SERVER, aead);
    connect_client();
    run_jobs(&sides[MR_CLIENT]);
    send_all(MR_CLIENT);
    uint64_t settled_ns = now + TRIPS * r->rtt_ns;
    run_until(FIRST_LOSSES, settled_ns);
    uint64_t from_ns = now;
    uint64_t from = sides[MR_CLIENT].received;
    run_until(FIRST_LOSSES + LOSSES, settled_ns + MR_MAX(20 * r->rtt_ns, MR_SECOND));
    double rate = (double)(sides[MR_CLIENT].received - from) / (double)(now - from_ns);
    bool ok = rate >= least * expected && rate <= most * expected;

    print_row(is_json, rate, rate / expected, ok, wall_s() - began_s);
    return ok ? 0 : 1;
}

/* `only` is in no row's name: say so, with the names. */
static int refuse(const char *only)
{
    fprintf(stderr, "distance: --only: no row has \"%s\" in its name; rows:\n", only);
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        char name[64];

        name_row(&rows[i], name, sizeof(name));
        fprintf(stderr, "    %s\n", name);
    }
    return 2;
}

static bool is_chosen(const struct row *r, const char *only)
{
    char name[64];

    name_row(r, name, sizeof(name));
    return strstr(name, only) != NULL;
}

/* In a process of its own.  True: it is as it must be. */
static bool fork_row(const struct row *r, bool is_json)
{
    int status;

    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int code = run_row(r, is_json);

        fflush(stdout);
        _exit(code);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
    const char *only = "";
    bool is_json = false;
    bool ok = true;
    size_t chosen = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            is_json = true;
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            only = argv[++i];
        else
            engine_die("distance [--only TEXT] [--json]");
    }
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++)
        chosen += is_chosen(&rows[i], only);
    if (chosen == 0)
        return refuse(only);
    if (!is_json)
        printf("%-32s %9s %6s %10s %8s %9s %9s %7s\n", "", "Mbit/s", "ratio", "in flight", "memory",
               "losses", "simulated", "took");
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        if (is_chosen(&rows[i], only))
            ok &= fork_row(&rows[i], is_json);
    }
    return ok ? 0 : 1;
}
