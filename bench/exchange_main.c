/*
 * bench/exchange_main.c - what the engine costs per exchange of a request and an answer:
 * `exchange [--json] [exchanges [request [answer [connections [outstanding [back end]]]]]]`.
 *
 *     client  --requests, each on a stream of its own-->  server  --answers-->  client
 *
 * Two endpoints in one thread (engine_pair.h), null AEAD unless told otherwise.  Prints the time
 * that the server's turns take: receiving, its application, building and sealing.  Under
 * callgrind, with --collect-atstart=no and --toggle-collect=exchange_server, it counts
 * instructions instead (scripts/engine-count does).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine_pair.h"

enum {
    DATA_BYTES = 1 << 20,
    TURN_NS = 20000, /* virtual time per turn of both */
};

struct load {
    uint64_t exchanges;
    size_t request;
    size_t answer;
    uint32_t connections;
    uint32_t outstanding;
};

static struct engine_pair *pair;
static struct load load = {
    .exchanges = 100000, .request = 64, .answer = 64, .connections = 100, .outstanding = 16};
static uint8_t data[DATA_BYTES];
static uint64_t answered;
static uint32_t connected;

/* ------------------------------------------------------------------ the applications */

static void send_all(struct engine_side *side, mr_handle stream, size_t size)
{
    struct mr_view view = {.data = data, .size = size};
    uint32_t flags = MR_SEND_FIN | (size <= 64 ? MR_SEND_COPY : 0u);

    if (mr_stream_send(side->ep, stream, &view, 1, flags) != 0)
        engine_die("a stream does not take what is sent");
}

static void ask(struct engine_side *client, mr_handle conn)
{
    mr_handle stream;

    if (mr_stream_open(client->ep, conn, MR_OPEN_BIDI, 0, &stream) == 0)
        send_all(client, stream, load.request);
}

static void on_client_event(struct engine_side *side, const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_CONNECTED) != 0) {
        connected++;
        for (uint32_t i = 0; i < load.outstanding; i++)
            ask(side, event->conn);
    }
    if ((event->kinds & MR_EVENT_READABLE) != 0 && engine_take(side, event->stream)) {
        answered++;
        ask(side, event->conn);
    }
}

static void on_server_event(struct engine_side *side, const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_READABLE) != 0 && engine_take(side, event->stream))
        send_all(side, event->stream, load.answer);
}

static void on_event(struct engine_side *side, const struct mr_event *event)
{
    if (event->stream == MR_HANDLE_NONE && (event->kinds & MR_EVENT_CLOSED) != 0)
        engine_die(event->reason);
    if (side->role == MR_CLIENT)
        on_client_event(side, event);
    else
        on_server_event(side, event);
}

/* ------------------------------------------------------------------ turns */

__attribute__((noinline)) uint32_t exchange_server(struct mr_datagram *in, uint32_t count,
                                                   struct mr_outgoing *out);

uint32_t exchange_server(struct mr_datagram *in, uint32_t count, struct mr_outgoing *out)
{
    return engine_serve(pair, in, count, out);
}

static void run(void)
{
    while (answered < load.exchanges) {
        pair->now_ns += TURN_NS;
        engine_expire(pair);
        engine_turn(pair, exchange_server);
        engine_watch(pair, answered + connected);
    }
}

int main(int argc, char **argv)
{
    bool is_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    char **words = argv + is_json;
    int count = argc - is_json;

    if (count > 1)
        load.exchanges = strtoull(words[1], NULL, 0);
    if (count > 2)
        load.request = strtoull(words[2], NULL, 0);
    if (count > 3)
        load.answer = strtoull(words[3], NULL, 0);
    if (count > 4)
        load.connections = (uint32_t)strtoul(words[4], NULL, 0);
    if (count > 5)
        load.outstanding = (uint32_t)strtoul(words[5], NULL, 0);
    if (load.request == 0 || load.answer == 0 || load.request > DATA_BYTES ||
        load.answer > DATA_BYTES || load.connections == 0 || load.outstanding == 0)
        engine_die("requests and answers have 1 byte to 1 MiB, on one connection or more");
    struct engine_options options = {.back_end = count > 6 ? words[6] : "null",
                                     .connections = load.connections,
                                     .streams = 2 * load.outstanding};

    pair = engine_pair_make(&options);
    pair->on_event = on_event;
    for (uint32_t i = 0; i < load.connections; i++)
        engine_connect(pair);
    run();
    printf(is_json ? "{\"bench\":\"exchange\",\"exchanges\":%" PRIu64
                     ",\"server_ns_per_exchange\":%.1f,\"server_packets_sent\":%.3f,"
                     "\"client_packets_sent\":%.3f,\"server_turns\":%.3f}\n"
                   : "exchanges %" PRIu64
                     ": server %.1f ns each, %.3f packets sent, %.3f received, "
                     "%.3f turns\n",
           answered, (double)pair->sums.server_ns / (double)answered,
           (double)pair->sums.packets[MR_SERVER] / (double)answered,
           (double)pair->sums.packets[MR_CLIENT] / (double)answered,
           (double)pair->sums.turns / (double)answered);
    return 0;
}
