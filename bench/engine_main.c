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

#include "bench/engine_pair.h"
#include "bench/samples.h"

enum {
    PACKETS_DEFAULT = 200000,
    DATA_BYTES = 1 << 20,
    STEP_NS = 100000, /* virtual time per burst: slow enough that the pacer holds nothing back */
};

/* What one side's steps took. */
struct account {
    uint64_t send_ns;
    uint64_t receive_ns;
    uint64_t full_packets;
    uint64_t bursts;
    uint64_t updates;         /* key updates seen so far */
    double slowest_update_ns; /* step with a key update */
    struct mr_samples send;   /* some steps without */
    struct mr_samples receive;
};

static struct engine_pair *pair;
static struct account accounts[2]; /* by role */
static mr_handle server_stream;
static bool is_connected;
static uint8_t data[DATA_BYTES];

/* ------------------------------------------------------------------ the applications */

/* The client opens the stream with one byte; the server answers with data for ever. */
static void on_event(struct engine_side *side, const struct mr_event *event)
{
    struct mr_view views[2 * MR_BURST];
    bool fin;

    is_connected |= side->role == MR_CLIENT && (event->kinds & MR_EVENT_CONNECTED) != 0;
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        engine_die(event->reason);
    if ((event->kinds & MR_EVENT_STREAM_OPENED) != 0)
        server_stream = event->stream;
    if ((event->kinds & MR_EVENT_READABLE) != 0) {
        int64_t count = mr_stream_receive(side->ep, event->stream, views, MR_COUNT_OF(views), &fin);
        size_t size = 0;

        for (int64_t i = 0; i < count; i++)
            size += views[i].size;
        mr_stream_release(side->ep, event->stream, size);
    }
}

/* ------------------------------------------------------------------ the two steps */

/* Build and seal a burst.  The steps are functions of their own so that callgrind can name them. */
__attribute__((noinline)) uint32_t engine_send(struct mr_endpoint *ep, struct mr_outgoing *out);
__attribute__((noinline)) void engine_receive(struct engine_side *side,
                                              struct mr_datagram *datagrams, uint32_t count);

uint32_t engine_send(struct mr_endpoint *ep, struct mr_outgoing *out)
{
    return mr_endpoint_send(ep, out, MR_BURST, pair->now_ns);
}

void engine_receive(struct engine_side *side, struct mr_datagram *datagrams, uint32_t count)
{
    engine_receive_burst(pair, side, datagrams, count);
}

/* Book the time of a step with `count` datagrams: apart if keys were updated in it. */
static void book(struct engine_side *side, uint64_t *sum, struct mr_samples *samples,
                 uint32_t count, uint64_t took)
{
    struct account *account = &accounts[side->role];
    const struct mr_counters *c = mr_endpoint_counters(side->ep);
    uint64_t updates = c->key_updates_started + c->key_updates_received;

    *sum += took;
    if (updates == account->updates && count == MR_BURST)
        mr_samples_add(samples, (double)took);
    if (updates != account->updates && (double)took > account->slowest_update_ns)
        account->slowest_update_ns = (double)took;
    account->updates = updates;
}

static void deliver(struct engine_side *to, const struct mr_outgoing *out, uint32_t count)
{
    struct mr_datagram datagrams[MR_BURST];
    struct account *account = &accounts[to->role];

    engine_carry(out, datagrams, count);
    uint64_t begin = mr_bench_now_ns();
    engine_receive(to, datagrams, count);
    book(to, &account->receive_ns, &account->receive, count, mr_bench_now_ns() - begin);
    engine_run_jobs(pair, to);
}

/* One burst from `from` to the other side. */
static void burst(struct engine_side *from, struct engine_side *to)
{
    struct mr_outgoing out[MR_BURST];
    struct account *account = &accounts[from->role];

    engine_places(from, out);
    engine_run_jobs(pair, from);
    uint64_t begin = mr_bench_now_ns();
    uint32_t count = from->role == MR_SERVER
                         ? engine_send(from->ep, out)
                         : mr_endpoint_send(from->ep, out, MR_BURST, pair->now_ns);
    book(from, &account->send_ns, &account->send, count, mr_bench_now_ns() - begin);
    account->bursts += count > 0;
    for (uint32_t i = 0; i < count; i++)
        account->full_packets += out[i].size == ENGINE_PAYLOAD;
    if (count > 0)
        deliver(to, out, count);
}

/* Keep some MiB queued. */
static void offer(struct engine_side *server)
{
    struct mr_view view = {.data = data, .size = sizeof(data)};

    while (server_stream != MR_HANDLE_NONE &&
           mr_stream_send(server->ep, server_stream, &view, 1, 0) == 0)
        ;
}

static void step(void)
{
    struct engine_side *client = &pair->side[MR_CLIENT];
    struct engine_side *server = &pair->side[MR_SERVER];

    pair->now_ns += STEP_NS;
    engine_expire(pair);
    offer(server);
    burst(server, client);
    burst(client, server);
}

static void open_stream(void)
{
    struct mr_endpoint *client = pair->side[MR_CLIENT].ep;
    struct mr_view view = {.data = data, .size = 1};
    mr_handle conn = engine_connect(pair);
    mr_handle stream;

    for (int i = 0; i < 1000 && !is_connected; i++)
        step();
    if (mr_stream_open(client, conn, MR_OPEN_BIDI, 0, &stream) != 0 ||
        mr_stream_send(client, stream, &view, 1, 0) != 0)
        engine_die("no connection came about");
}

static double per_packet(uint64_t ns)
{
    return (double)ns / (double)accounts[MR_SERVER].full_packets;
}

/* How much longer the slowest step with a key update took than steps do, us. */
static double update_cost_us(struct account *side, struct mr_samples *samples)
{
    return (side->slowest_update_ns - mr_samples_median(samples)) / 1000;
}

static void print_text(void)
{
    struct account *client = &accounts[MR_CLIENT];
    struct account *server = &accounts[MR_SERVER];

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
    struct account *client = &accounts[MR_CLIENT];
    struct account *server = &accounts[MR_SERVER];
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
    struct engine_options options = {
        .back_end = count > 2 ? words[2] : "null", .connections = 1, .streams = 4};

    pair = engine_pair_make(&options);
    pair->on_event = on_event;
    open_stream();
    while (accounts[MR_SERVER].full_packets < packets)
        step();
    if (is_json)
        print_json();
    else
        print_text();
    return 0;
}
