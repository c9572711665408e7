/*
 * bench/many_main.c - what a request costs a server among many connections that seldom ask:
 * `many [connections [burst [requests [back end]]]]`.
 *
 *     client  --a burst of requests, each on a connection of its own-->  server
 *     client  <--answers--
 *             ... 25 ms of virtual time ...
 *     client  --acknowledgements of the answers-->  server              timers of both
 *
 * Two endpoints in one thread (engine_pair.h).  One connection shakes hands; the others are copies
 * of it, on both sides, with connection IDs of their own: a million are there in seconds.  They are
 * asked in random order, each again when all others have been, 10,000 a second: among 1,000 the
 * last timer of one has fired by then, so that any number of them makes the same work.
 *
 * Prints what the server's turns take for each request: the sum of its steps, and those, each the
 * median over slices of 64 requests, since others may have had the core.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/random.h"
#include "bench/engine_pair.h"
#include "bench/samples.h"
#include "quic/conn.h"
#include "quic/conn_timer.h"

enum {
    BYTES = 64,             /* of a request, and of its answer */
    SPARE = 15,             /* connections that an endpoint has beyond those asked for */
    APART_NS = 100000,      /* virtual time for each request */
    SETTLE_NS = 1500000000, /* until a client gives up waiting for tickets, twice */
    TICK_NS = 65536,
    WARM = 20000, /* requests before the first that counts */
    SLICE = 64,   /* requests between two samples */
};

enum step {
    LOOKUP,
    OPEN,
    FRAMES,
    TIMERS,
    EVENT,
    BUILD,
    SEAL,
    STEPS
};

static const char *const names[STEPS] = {"lookup", "open",  "frames", "timers",
                                         "events", "build", "seal"};

static struct engine_pair *pair;
static struct mr_random chance;
static uint32_t connections = 1000;
static uint32_t burst = MR_BURST;
static uint64_t requests = 20000;
static mr_handle *handles; /* the client's, in the order in which they ask */
static uint8_t data[BYTES];
static uint64_t asked;
static uint64_t answered;
static uint64_t step_ns[STEPS];
static uint64_t lap_ns; /* when the last step ended */

/* ------------------------------------------------------------------ the applications */

static void send_all(struct engine_side *side, mr_handle stream)
{
    struct mr_view view = {.data = data, .size = BYTES};

    if (mr_stream_send(side->ep, stream, &view, 1, MR_SEND_FIN | MR_SEND_COPY) != 0)
        engine_die("a stream does not take what is sent");
}

static void ask(void)
{
    struct engine_side *client = &pair->side[MR_CLIENT];
    mr_handle stream;

    if (mr_stream_open(client->ep, handles[asked++ % connections], MR_OPEN_BIDI, 0, &stream) != 0)
        engine_die("a stream cannot be opened");
    send_all(client, stream);
}

static void on_event(struct engine_side *side, const struct mr_event *event)
{
    if (event->stream == MR_HANDLE_NONE && (event->kinds & MR_EVENT_CLOSED) != 0)
        engine_die(event->reason);
    if ((event->kinds & MR_EVENT_READABLE) == 0 || !engine_take(side, event->stream))
        return;
    if (side->role == MR_SERVER)
        send_all(side, event->stream);
    else
        answered++;
}

/* ------------------------------------------------------------------ turns */

static void lap(enum step step)
{
    uint64_t now = mr_bench_now_ns();

    step_ns[step] += now - lap_ns;
    lap_ns = now;
}

/* The server's turn: a burst arrives, one goes.  A function of its own so that tools can name it.
 */
__attribute__((noinline)) uint32_t many_server(struct mr_datagram *in, uint32_t count,
                                               struct mr_outgoing *out);

uint32_t many_server(struct mr_datagram *in, uint32_t count, struct mr_outgoing *out)
{
    struct engine_side *server = &pair->side[MR_SERVER];

    lap_ns = mr_bench_now_ns();
    if (count > 0) {
        mr_endpoint_receive_lookup(server->ep, in, count);
        lap(LOOKUP);
        mr_endpoint_receive_open(server->ep);
        lap(OPEN);
        mr_endpoint_receive_frames(server->ep, pair->now_ns);
        lap(FRAMES);
    }
    if (mr_endpoint_deadline(server->ep) <= pair->now_ns) {
        mr_endpoint_expire(server->ep, pair->now_ns);
        lap(TIMERS);
    }
    engine_take_events(pair, server);
    lap(EVENT);
    uint32_t sent = mr_endpoint_build(server->ep, out, MR_BURST, pair->now_ns);
    lap(BUILD);
    if (sent > 0) {
        mr_endpoint_seal(server->ep);
        lap(SEAL);
    }
    return sent;
}

static uint32_t serve(struct mr_datagram *in, uint32_t count, struct mr_outgoing *out)
{
    uint32_t sent = many_server(in, count, out);

    engine_receive_burst(pair, &pair->side[MR_SERVER], NULL, 0); /* its buffers */
    return sent;
}

/* One turn of each.  False: there was no packet. */
static bool turn(void)
{
    uint64_t turns = pair->sums.turns;

    engine_turn(pair, serve);
    return pair->sums.turns > turns;
}

/* Let so much virtual time go by. */
static void pass(uint64_t ns)
{
    struct mr_endpoint *client = pair->side[MR_CLIENT].ep;
    struct mr_endpoint *server = pair->side[MR_SERVER].ep;
    uint64_t end = pair->now_ns + ns;

    do {
        while (turn())
            ;
        uint64_t next = MR_MIN(mr_endpoint_deadline(client), mr_endpoint_deadline(server));
        pair->now_ns = MR_MIN(end, MR_MAX(next, pair->now_ns + TICK_NS));
        if (mr_endpoint_deadline(client) <= pair->now_ns)
            mr_endpoint_expire(client, pair->now_ns);
    } while (pair->now_ns < end);
}

/* ------------------------------------------------------------------ copies */

/* A connection ID of its own in place of each that was issued. */
static void issue(struct mr_endpoint *ep, struct mr_conn *conn)
{
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        uint64_t was = conn->issued.key[i];
        uint64_t key;

        if (was == 0)
            continue;
        do {
            struct mr_cid cid = mr_endpoint_new_cid(ep);

            memcpy(&key, cid.bytes, sizeof(key));
        } while (mr_table8_insert(&ep->cids, key, conn->index) != MR_TABLE_ADDED);
        conn->issued.key[i] = key;
        if (conn->peer_chose == was)
            conn->peer_chose = key;
    }
}

static struct mr_conn *copy(struct mr_endpoint *ep, const struct mr_conn *from)
{
    uint32_t index = mr_pool_get(&ep->conns);
    uint32_t number = mr_pool_get(&ep->numbers);

    if (index == MR_NONE || number == MR_NONE)
        engine_die("there is no room for so many connections");
    struct mr_conn *conn = mr_conn_at(ep, index);
    memcpy(conn, from, sizeof(*conn));
    conn->index = index;
    conn->number = number;
    conn->generation = 1;
    *mr_conn_number_at(ep, number) = (struct mr_number){.place = index, .generation = 1};
    conn->keys = MR_NONE;
    conn->armed_ns = MR_NEVER;
    conn->is_token_tracked = false;
    issue(ep, conn);
    mr_conn_timer_update(ep, conn);
    return conn;
}

/* `conn` sends to `peer` as the first does to its own. */
static void introduce(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_conn *peer,
                      const struct mr_conn *first_peer)
{
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++) {
        struct mr_peer_cid *to = &conn->peer_cids[i];

        for (uint32_t k = 0; k < MR_CIDS_SLOTS; k++) {
            if (to->is_used &&
                memcmp(to->cid.bytes, &first_peer->issued.key[k], MR_LOCAL_CID_SIZE) == 0) {
                memcpy(to->cid.bytes, &peer->issued.key[k], MR_LOCAL_CID_SIZE);
                break;
            }
        }
        mr_random_fill(&chance, to->reset_token, MR_RESET_TOKEN);
    }
    mr_cid_track_token(ep, conn);
}

static bool is_at_rest(const struct mr_conn *conn)
{
    return conn->state == MR_CONN_OPEN && conn->handshake == MR_NONE && conn->app.wants == 0 &&
           !conn->is_ready && conn->app.sent.in_flight_count == 0 && conn->app.sent.tail == NULL &&
           conn->streams_open == 0;
}

/* All of them.  The first is in the first place of either pool. */
static void make_connections(void)
{
    struct mr_endpoint *client = pair->side[MR_CLIENT].ep;
    struct mr_endpoint *server = pair->side[MR_SERVER].ep;

    handles[0] = engine_connect(pair);
    pass(SETTLE_NS);
    ask();
    pass(SETTLE_NS);
    const struct mr_conn *ours = mr_conn_at(client, 0);
    const struct mr_conn *theirs = mr_conn_at(server, 0);
    if (answered != 1 || !is_at_rest(ours) || !is_at_rest(theirs))
        engine_die("the first connection does not come to rest");
    for (uint32_t i = 1; i < connections; i++) {
        struct mr_conn *a = copy(client, ours);
        struct mr_conn *b = copy(server, theirs);

        introduce(client, a, b, theirs);
        introduce(server, b, a, ours);
        handles[i] = mr_conn_handle(a);
    }
}

static void shuffle(void)
{
    for (uint32_t i = connections; i > 1; i--) {
        uint64_t other = mr_random_below(&chance, i);
        mr_handle kept = handles[i - 1];

        handles[i - 1] = handles[other];
        handles[other] = kept;
    }
}

/* As a shard does with as much memory. */
static void prefer_large_pages(const struct mr_endpoint *ep)
{
    const struct mr_limits limits = mr_limits_for(connections + SPARE);
    uintptr_t begin = (uintptr_t)ep & ~(uintptr_t)4095;

    (void)madvise((void *)begin, mr_endpoint_footprint(&limits), MADV_HUGEPAGE);
}

/* ------------------------------------------------------------------ the command */

/* So many requests, in bursts. */
static void run(uint64_t count)
{
    for (uint64_t begun = 0; begun < count; begun += burst) {
        for (uint32_t i = 0; i < burst; i++)
            ask();
        pass((uint64_t)burst * APART_NS);
    }
}

static void measure(void)
{
    static struct mr_samples samples[STEPS];
    uint64_t rebuilt = mr_endpoint_counters(pair->side[MR_SERVER].ep)->keys_rebuilt;
    uint64_t first = asked;
    double each = 0;

    pair->sums = (struct engine_sums){0};
    while (asked - first < requests) {
        uint64_t before = asked;

        memset(step_ns, 0, sizeof(step_ns));
        run(SLICE);
        for (int i = 0; i < STEPS; i++)
            mr_samples_add(&samples[i], (double)step_ns[i] / (double)(asked - before));
    }
    for (int i = 0; i < STEPS; i++)
        each += mr_samples_median(&samples[i]);
    double done = (double)(asked - first);
    double packets = (double)(pair->sums.packets[MR_CLIENT] + pair->sums.packets[MR_SERVER]);
    rebuilt = mr_endpoint_counters(pair->side[MR_SERVER].ep)->keys_rebuilt - rebuilt;
    printf("%u connections, %u requests at a time: server %.0f ns a request, %.0f a packet; %.2f "
           "packets, %.2f keys rebuilt;",
           connections, burst, each, each * done / packets, packets / done, (double)rebuilt / done);
    for (int i = 0; i < STEPS; i++)
        printf(" %s %.0f", names[i], mr_samples_median(&samples[i]));
    printf("\n");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        connections = (uint32_t)strtoul(argv[1], NULL, 0);
    if (argc > 2)
        burst = (uint32_t)strtoul(argv[2], NULL, 0);
    if (argc > 3)
        requests = strtoull(argv[3], NULL, 0);
    if (burst == 0 || burst > MR_BURST || connections < burst || requests == 0)
        engine_die("1 to 32 requests at a time, no more than connections; 1 request or more");
    struct engine_options options = {.back_end = argc > 4 ? argv[4] : "auto",
                                     .connections = connections,
                                     .streams = 2 * MR_BURST};

    pair = engine_pair_make(&options);
    pair->on_event = on_event;
    mr_random_init_number(&chance, 1);
    handles = calloc(connections, sizeof(*handles));
    if (handles == NULL)
        engine_die("not enough memory; ask for fewer connections");
    prefer_large_pages(pair->side[MR_CLIENT].ep);
    prefer_large_pages(pair->side[MR_SERVER].ep);
    make_connections();
    shuffle();
    run(MR_MIN(2 * (uint64_t)connections, (uint64_t)WARM));
    measure();
    if (answered != asked)
        engine_die("requests were not answered");
    free(handles);
    return 0;
}
