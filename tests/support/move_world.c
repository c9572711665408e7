/* tests/support/move_world.c - see move_world.h. */
#include "tests/support/move_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/tls_seeded.h"
#include "quic/conn.h"
#include "tests/support/move_app.h"

#define START        MR_SECOND
#define WALL_SECONDS 1700000000
#define RTT_HALF     (5 * MR_MS)

/* A datagram on its way between shards. */
struct passed {
    uint8_t ecn;
    uint32_t size;
    uint32_t to;
    uint8_t hops;
    struct mr_path_addr path;
    uint8_t bytes[SIM_DATAGRAM_MAX];
};

#define WAITING_MAX 256
static struct passed waiting[WAITING_MAX]; /* until the record has been taken in */
static uint32_t waiting_count;

/* ------------------------------------------------------------------ set-up */

static void must(int answer, const struct mr_fault *fault)
{
    if (answer == 0)
        return;
    fprintf(stderr, "%s\n", fault->text);
    abort();
}

static void make_tls(struct move_world *w)
{
    struct mr_certificate_options options = {.now_seconds = WALL_SECONDS, .library = w->library};
    struct mr_tls_server_config server = {.certificate = &w->certificate,
                                          .allows_expired = true,
                                          .library = w->library,
                                          .alpn = (const uint8_t *)"\004move",
                                          .alpn_size = 5};
    struct mr_tls_client_config client = {.is_insecure = true, .library = w->library};
    struct mr_fault fault;

    must(mr_certificate_make(&w->certificate, &options, &fault), &fault);
    must(mr_tls_context_server(&w->server_tls, &server, &fault), &fault);
    must(mr_tls_context_client(&w->client_tls, &client, &fault), &fault);
}

struct mr_limits move_world_limits(void)
{
    return (struct mr_limits){.connections_max = 8,
                              .handshakes_max = 4,
                              .streams_max = 256,
                              .segments_max = 4096,
                              .ranges_max = 8192,
                              .chunks_max = 8192,
                              .compact_max = 2048,
                              .pinned_max = MOVE_BUFFERS / 2,
                              .active_keys_max = 8,
                              .datagram_chunks_max = 64,
                              .datagram_queue_max = 4,
                              .extras_max = 4,
                              .models_max = 2,
                              .names_max = 4};
}

static void make_node(struct move_world *w, uint32_t i)
{
    static const uint8_t static_key[32] = {5, 6};
    struct move_node *node = &w->node[i];
    bool is_peer = i == MOVE_PEER;
    bool is_server = is_peer == (w->config.role == MR_CLIENT);
    struct mr_limits limits =
        is_peer || w->config.limits.connections_max == 0 ? move_world_limits() : w->config.limits;
    struct mr_endpoint_config config = {
        .cid = {.node = is_peer ? 2 : 1, .shard = (uint16_t)(is_peer ? 0 : i)},
        .shards = is_peer ? 1 : MOVE_SHARDS,
        .aead = w->aead,
        .server = is_server ? &w->server_tls : NULL,
        .client = is_server ? NULL : &w->client_tls,
        .static_key = static_key,
        .seed = {w->config.seed, i, 3, 4},
        .cc = w->config.is_bbr          ? MR_CC_BBR
              : w->config.seed % 2 == 0 ? MR_CC_CUBIC
                                        : MR_CC_NEWRENO,
        .has_ecn = w->config.seed % 5 != 0,
        .payload_max = 1452,
        .datagram_max = 1200,
        .retry_above = 1000,
        .idle_timeout_ns = 30 * MR_SECOND,
        .keep_alive_ns = is_server ? 0 : w->config.keep_alive_ns,
        .stream_window_max = 48 << 10,
        .conn_window_max = 96 << 10,
        .streams_bidi_max = 8,
        .streams_uni_max = 3,
        .extensions = w->config.seed % 3 == 0 ? 0 : MR_EXTENSIONS_ALL,
        .wall_offset_s = WALL_SECONDS,
    };

    node->memory = calloc(1, mr_endpoint_footprint(&limits)); /* a test takes objects itself */
    node->ep = mr_endpoint_init(node->memory, &limits, &config, w->now);
    if (node->ep == NULL)
        abort();
    node->buffers = calloc(MOVE_BUFFERS, sizeof(*node->buffers));
    for (uint32_t k = 0; k < MOVE_BUFFERS; k++)
        node->free_buffers[node->free_count++] = &node->buffers[k];
}

struct move_world *move_world_open(const struct move_config *config)
{
    struct move_world *w = calloc(1, sizeof(*w));
    struct sim_link link = {.loss = config->loss,
                            .reorder = config->reorder,
                            .duplicate = config->loss / 4,
                            .delay_ns = RTT_HALF,
                            .jitter_ns = 3 * MR_MS,
                            .mtu = 1472};
    struct sim_link links[2] = {link, link};

    w->config = *config;
    w->now = START;
    mr_random_init_number(&w->random, config->seed + 11);
    sim_network_init(&w->net, config->links != NULL ? config->links : links, config->seed + 1);
    w->nat.changes_addresses = true;
    w->next_rebind_ns = MR_NEVER;
    w->library = mr_tls_seeded_open(config->seed + 2);
    w->aead = mr_aead_open(MR_AEAD_OPENSSL);
    w->record = aligned_alloc(64, MOVE_RECORD_MAX);
    make_tls(w);
    for (uint32_t i = 0; i < MOVE_NODES; i++)
        make_node(w, i);
    w->app[0].role = config->role;
    w->app[1].role = config->role == MR_CLIENT ? MR_SERVER : MR_CLIENT;
    w->app[1].node = MOVE_PEER;
    waiting_count = 0;
    return w;
}

/* ------------------------------------------------------------------ datagrams */

static void give_back(struct move_node *node, struct mr_buf *buf)
{
    struct sim_buffer *buffer = MR_CONTAINER_OF(buf, struct sim_buffer, buf);

    MR_ASSERT(buffer->is_out);
    buffer->is_out = false;
    node->free_buffers[node->free_count++] = buffer;
}

static void take_released(struct move_node *node)
{
    struct mr_buf *buf = mr_endpoint_take_released(node->ep);

    while (buf != NULL) {
        struct mr_buf *next = buf->next;

        give_back(node, buf);
        buf = next;
    }
}

/* Hand a datagram to the shard it is for, and to the next as long as one passes it on. */
static void receive(struct move_world *w, struct passed *p)
{
    for (;;) {
        struct move_node *node = &w->node[p->to];

        if (w->phase == MOVE_EXPORTED && p->to == w->to && p->hops > 0) {
            if (waiting_count < WAITING_MAX) /* behind the record */
                waiting[waiting_count++] = *p;
            return;
        }
        if (node->free_count == 0)
            return;
        struct sim_buffer *buffer = node->free_buffers[--node->free_count];
        buffer->is_out = true;
        memcpy(buffer->bytes, p->bytes, p->size);
        struct mr_datagram d = {.data = buffer->bytes,
                                .buf = &buffer->buf,
                                .size = p->size,
                                .hops = p->hops,
                                .ecn = p->ecn,
                                .path = p->path};
        mr_endpoint_receive(node->ep, &d, 1, w->now);
        w->longest_way = MR_MAX(w->longest_way, (uint32_t)p->hops);
        if (d.redirect == MR_STAY)
            return;
        MR_ASSERT(d.redirect < MOVE_SHARDS && d.redirect != p->to);
        MR_ASSERT(memcmp(buffer->bytes, p->bytes, p->size) == 0);
        give_back(node, d.buf);
        p->to = d.redirect;
        p->hops++;
    }
}

/* The record was taken in, or not: what had to wait goes on. */
static void flush_waiting(struct move_world *w)
{
    uint32_t count = waiting_count;

    waiting_count = 0;
    for (uint32_t i = 0; i < count; i++)
        receive(w, &waiting[i]);
}

static void deliver(struct move_world *w)
{
    struct sim_packet *packet = sim_network_take(&w->net);
    struct passed p = {.size = packet->size,
                       .ecn = packet->ecn,
                       .to = packet->direction == 0 ? MOVE_PEER : w->rss,
                       .path = packet->path};

    memcpy(p.bytes, packet->bytes, packet->size);
    free(packet);
    receive(w, &p);
}

/* The path as the receiver sees it.  False: the NAT has forgotten the client. */
static bool receiver_path(const struct move_world *w, bool is_from_client,
                          const struct mr_path_addr *sent, struct mr_path_addr *path_out)
{
    *path_out = (struct mr_path_addr){.local = sent->remote, .remote = sent->local};
    if (!is_from_client)
        return sim_nat_in(&w->nat, &path_out->local);
    sim_nat_out(&w->nat, &path_out->remote);
    return true;
}

static void send_all(struct move_world *w, uint32_t i)
{
    static uint8_t bytes[MR_BURST][SIM_DATAGRAM_MAX];
    struct mr_outgoing out[MR_BURST];
    uint32_t count;

    do {
        for (uint32_t k = 0; k < MR_BURST; k++)
            out[k] = (struct mr_outgoing){.data = bytes[k], .room = SIM_DATAGRAM_MAX};
        count = mr_endpoint_send(w->node[i].ep, out, MR_BURST, w->now);
        for (uint32_t k = 0; k < count; k++) {
            bool is_from_client = (i == MOVE_PEER) == (w->config.role == MR_SERVER);
            struct mr_path_addr path;

            if (receiver_path(w, is_from_client, &out[k].path, &path))
                sim_network_send(&w->net, (struct sim_way){.direction = i == MOVE_PEER ? 1 : 0},
                                 &out[k], &path, w->now);
        }
    } while (count > 0);
}

/* ------------------------------------------------------------------ running */

static void run_jobs(struct move_world *w, struct mr_endpoint *ep)
{
    struct mr_tls_job *job;

    while (mr_endpoint_take_jobs(ep, &job, 1) == 1) {
        mr_tls_job_run(job);
        mr_endpoint_complete_job(ep, job, w->now);
    }
}

static void tell_events(struct move_world *w, uint32_t i)
{
    struct mr_event events[5];
    uint32_t count;

    if (w->is_deaf && i != MOVE_PEER)
        return;
    while ((count = mr_endpoint_events(w->node[i].ep, events, MR_COUNT_OF(events))) > 0) {
        for (uint32_t k = 0; k < count; k++)
            move_app_event(w, &w->app[i == MOVE_PEER], i, &events[k]);
    }
}

void move_world_settle(struct move_world *w)
{
    for (uint32_t i = 0; i < MOVE_NODES; i++) {
        run_jobs(w, w->node[i].ep);
        tell_events(w, i);
    }
    if (w->phase == MOVE_NONE)
        move_app_act(w, &w->app[0]);
    move_app_act(w, &w->app[1]);
    for (uint32_t i = 0; i < MOVE_NODES; i++) {
        send_all(w, i);
        tell_events(w, i);
        take_released(&w->node[i]);
        mr_endpoint_check(w->node[i].ep);
    }
}

static void rebind(struct move_world *w)
{
    w->nat.mapping++;
    w->net.seen.rebound++;
    w->next_rebind_ns =
        w->nat.mapping < w->config.rebinds_max ? w->now + w->config.rebind_every_ns : MR_NEVER;
}

bool move_world_step(struct move_world *w)
{
    uint64_t next = sim_network_next(&w->net);

    for (uint32_t i = 0; i < MOVE_NODES; i++)
        next = MR_MIN(next, mr_endpoint_deadline(w->node[i].ep));
    if (w->phase != MOVE_NONE) /* a move is quicker than any timeout */
        next = MR_MIN(next, w->now + MR_MS);
    if (w->config.is_slow_reader && !w->app[1].has_asked_close) /* it comes back by itself */
        next = MR_MIN(next, w->now + 5 * MR_MS);
    if (next == MR_NEVER)
        return false;
    w->now = MR_MAX(w->now, next);
    if (w->now >= w->next_rebind_ns)
        rebind(w);
    while (sim_network_next(&w->net) <= w->now)
        deliver(w);
    for (uint32_t i = 0; i < MOVE_NODES; i++) {
        if (mr_endpoint_deadline(w->node[i].ep) <= w->now)
            mr_endpoint_expire(w->node[i].ep, w->now);
    }
    move_world_settle(w);
    return true;
}

void move_world_run(struct move_world *w, uint64_t span_ns)
{
    uint64_t until = w->now + span_ns;

    while (w->now < until && move_world_step(w)) {
    }
}

bool move_world_connect(struct move_world *w)
{
    struct mr_connect_options options = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\004move",
                                         .alpn_size = 5,
                                         .is_insecure = true};
    struct move_app *client = &w->app[w->config.role != MR_CLIENT];
    struct mr_addr local = sim_nat_inside(0);
    struct mr_addr remote = sim_address(1, 443);
    uint64_t until = w->now + 20 * MR_SECOND;

    memcpy(options.remote.ip, remote.ip, 16);
    options.remote.port = remote.port;
    if (mr_conn_connect(w->node[client->node].ep, &options, &local, w->now, &client->conn) != 0)
        return false;
    move_world_settle(w);
    while (w->now < until &&
           (!w->app[0].is_connected || !w->app[1].is_connected ||
            mr_conn_can_move(w->node[w->app[0].node].ep, w->app[0].conn, w->now) != 0)) {
        if (!move_world_step(w))
            return false;
    }
    if (w->config.rebind_every_ns > 0)
        w->next_rebind_ns = w->now + w->config.rebind_every_ns;
    return w->now < until;
}

/* ------------------------------------------------------------------ moving */

int move_world_export(struct move_world *w, uint32_t to)
{
    struct mr_endpoint *ep = w->node[w->app[0].node].ep;
    size_t size = mr_conn_record_size(ep, w->app[0].conn);
    int answer = mr_conn_export(
        ep, w->app[0].conn,
        &(struct mr_conn_export){.record = w->record, .room = MOVE_RECORD_MAX, .shard = to},
        w->now);

    if (answer != 0)
        return answer;
    MR_ASSERT(w->record->size == size);
    w->from = w->app[0].node;
    w->to = to;
    w->old_conn = w->app[0].conn;
    w->phase = MOVE_EXPORTED;
    while (w->config.is_cut_off && w->net.count > 0)
        free(sim_network_take(&w->net));
    mr_endpoint_check(ep);
    return 0;
}

int move_world_import(struct move_world *w)
{
    struct mr_endpoint *ep = w->node[w->to].ep;
    int answer = mr_conn_import(ep, w->record, w->now, &w->new_conn);

    mr_endpoint_check(ep);
    if (answer == 0)
        w->phase = MOVE_IMPORTED;
    if (answer == 0)
        mr_conn_record_wipe(w->record);
    flush_waiting(w);
    return answer;
}

int move_world_undo(struct move_world *w)
{
    mr_handle conn;
    int answer = mr_conn_import(w->node[w->from].ep, w->record, w->now, &conn);

    w->phase = MOVE_NONE;
    w->came_back++;
    mr_conn_record_wipe(w->record);
    flush_waiting(w);
    MR_ASSERT(answer != 0 || conn == w->old_conn);
    move_world_settle(w);
    return answer;
}

void move_world_tell(struct move_world *w)
{
    MR_ASSERT(mr_conn_moved(w->node[w->from].ep, w->old_conn, w->now) == 0);
    move_app_leave(&w->app[0]);
    w->phase = MOVE_TOLD;
    move_world_settle(w);
}

void move_world_arrive(struct move_world *w)
{
    MR_ASSERT(mr_conn_arrive(w->node[w->to].ep, w->new_conn) == 0);
    w->phase = MOVE_NONE;
    w->moved++;
    move_world_settle(w);
}

int move_world_move(struct move_world *w, uint32_t to)
{
    int answer = move_world_export(w, to);

    if (answer != 0)
        return answer;
    answer = move_world_import(w);
    if (answer != 0) {
        MR_ASSERT(move_world_undo(w) == 0);
        return answer;
    }
    move_world_tell(w);
    move_world_arrive(w);
    return 0;
}

bool move_world_roam(struct move_world *w)
{
    uint32_t chance = (uint32_t)mr_random_below(&w->random, 16);

    if (chance == 0)
        w->rss = (uint32_t)mr_random_below(&w->random, MOVE_SHARDS);
    if (w->phase == MOVE_NONE) {
        if (w->app[0].is_closed || chance > 4)
            return true;
        uint32_t to = (w->app[0].node + 1 + (uint32_t)mr_random_below(&w->random, 2)) % MOVE_SHARDS;
        int answer = move_world_export(w, to);
        return answer == 0 || answer == -EBUSY;
    }
    if (chance >= 8)
        return true;
    if (w->phase == MOVE_EXPORTED)
        return (chance == 1 ? move_world_undo(w) : move_world_import(w)) == 0;
    if (w->phase == MOVE_IMPORTED)
        move_world_tell(w);
    else
        move_world_arrive(w);
    return true;
}

/* ------------------------------------------------------------------ the end */

bool move_world_is_done(const struct move_world *w)
{
    for (int side = 0; side < 2; side++) {
        const struct move_app *app = &w->app[side];

        if (app->stream_count != w->config.streams || app->closed_count != app->stream_count)
            return false;
        for (uint32_t i = 0; i < app->stream_count; i++) {
            const struct move_stream *s = &app->streams[i];

            if (!s->was_aborted &&
                (s->received != w->config.bytes || !s->has_fin || s->acked != w->config.bytes))
                return false;
        }
    }
    return true;
}

bool move_world_has_all_datagrams(const struct move_world *w)
{
    uint64_t missing = w->app[0].datagrams_sent + w->app[1].datagrams_sent -
                       w->app[0].datagrams_received - w->app[1].datagrams_received;

    for (uint32_t i = 0; i < MOVE_NODES; i++)
        missing -= mr_endpoint_counters(w->node[i].ep)->limit_datagrams_received;
    return missing == 0;
}

void move_world_finish(struct move_world *w)
{
    if (!w->app[1].is_closed)
        mr_conn_close(w->node[MOVE_PEER].ep, w->app[1].conn, 42, "done", w->now);
    w->app[1].has_asked_close = true;
    move_world_settle(w);
    for (uint64_t until = w->now + 60 * MR_SECOND; w->now < until && move_world_step(w);) {
    }
}

uint64_t move_world_close(struct move_world *w)
{
    uint64_t kept = 0;

    for (uint32_t i = 0; i < MOVE_NODES; i++) {
        struct move_node *node = &w->node[i];

        mr_endpoint_fini(node->ep);
        mr_endpoint_check(node->ep);
        take_released(node);
        kept += MOVE_BUFFERS - node->free_count;
        kept += mr_endpoint_conn_count(node->ep) + node->ep->cids.core.count;
        kept += node->ep->blocks.used + node->ep->datagram_chunks.used;
        kept += node->ep->names.pool.used;
        free(node->memory);
        free(node->buffers);
    }
    mr_tls_context_free(&w->server_tls);
    mr_tls_context_free(&w->client_tls);
    mr_tls_seeded_close(w->library);
    mr_aead_close(w->aead);
    sim_network_fini(&w->net);
    free(w->record);
    free(w);
    return kept;
}
