/* tests/sim/sim.c - see sim.h: the world and its clock. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/early_data.h"
#include "control/tls_context.h"
#include "control/tls_seeded.h"
#include "quic/conn_sleep.h"
#include "tests/sim/sim_app.h"
#include "tests/sim/sim_nat.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_paths.h"
#include "tests/sim/sim_ticket.h"
#include "tests/sim/sim_trace.h"
#include "tests/support/saved_ticket.h"

#define TRACED_EVERY 3         /* seeds: both sides are traced */
#define START        MR_SECOND /* of virtual time */

enum {
    JOBS = 4, /* of a side, at a time */
    WALL_SECONDS = 1700000000,
    PREFERRED = 9, /* last byte of the server's other address */
    FLIGHT = 4,    /* datagrams of the client's first flight that are kept */
    REPLAYS = 5,   /* times that they are sent again */
    SERVER_SHARD = MR_SERVER
};

static const uint8_t cid_keys[2][MR_CID_KEY] = {{0x11, 1}, {0x22, 2}};

struct side {
    enum mr_role role;
    struct mr_endpoint *ep;
    struct mr_tracer *tracer; /* NULL: not traced */
    void *memory;
    struct mr_aead *aead;
    struct mr_tls_context tls;
    struct sim_app app;
    struct sim_buffer *buffers;
    struct sim_buffer *free_buffers[SIM_IN_FLIGHT_MAX];
    uint32_t free_count;
    uint64_t asleep_until_ns; /* off its processor */
    uint64_t next_stall_ns;
    struct {
        struct mr_tls_job *job;
        uint64_t due_ns;
    } jobs[JOBS]; /* out */
    uint32_t job_count;
    struct mr_conn looked_at; /* first_conn()'s, if it sleeps */
};

struct world {
    const struct sim_config *config;
    struct sim_network net;
    struct side side[2];
    struct mr_random random;
    uint64_t now;
    uint64_t begun_ns; /* when the client connected */
    uint64_t done_ns;  /* when its streams were over */
    struct sim_nat nat;
    uint64_t next_rebind_ns;
    uint16_t client_port; /* number of the one that the client went to last */
    uint64_t next_migration_ns;
    uint64_t next_update_ns;
    uint64_t next_beat_ns;  /* MR_NEVER: none */
    uint64_t next_sleep_ns; /* the same */
    uint32_t mtu[2];
    bool is_classic[2];
    struct sim_paths paths;
    bool was_paused;
    bool was_restarted;
    bool was_replayed;
    bool has_other_cids;
    struct mr_counters first[2]; /* of what was before the client connected */
    struct mr_replay *replay;    /* NULL: the server remembers no first flights */
    struct {
        uint32_t size;
        uint8_t bytes[SIM_DATAGRAM_MAX];
    } flight[FLIGHT]; /* the client's first datagrams */
    uint32_t flight_count;
    uint64_t routed;
    uint32_t version;
    bool is_preferred;
    enum mr_cc_kind cc;
    void *library; /* TLS whose randomness the seed determines */
    struct mr_certificate certificate;
};

/* ------------------------------------------------------------------ set-up */

/* A certificate of this world's own: its keys come from the seed. */
static void make_certificate(struct world *w)
{
    struct mr_certificate_options options = {.now_seconds = WALL_SECONDS, .library = w->library};
    struct mr_fault fault;

    if (mr_certificate_make(&w->certificate, &options, &fault) != 0) {
        fprintf(stderr, "%s\n", fault.text);
        abort();
    }
}

static const char *cipher_name(enum mr_cipher cipher)
{
    static const char *const names[] = {[MR_CIPHER_AES_128_GCM] = "TLS_AES_128_GCM_SHA256",
                                        [MR_CIPHER_AES_256_GCM] = "TLS_AES_256_GCM_SHA384",
                                        [MR_CIPHER_CHACHA20_POLY1305] =
                                            "TLS_CHACHA20_POLY1305_SHA256"};
    return names[cipher];
}

static bool wants_ticket(const struct sim_config *config)
{
    return config->early != SIM_EARLY_NONE || config->saved.window > 0 || config->has_ticket;
}

/* The server's memory of first flights. */
static void make_register(struct world *w)
{
    struct mr_fault fault;

    w->replay = mr_early_data_make(1, &fault);
    if (w->replay == NULL) {
        fprintf(stderr, "%s\n", fault.text);
        abort();
    }
}

static void make_tls(struct world *w, struct side *side)
{
    static const uint8_t alpn[] = "\003sim";
    static const uint8_t ticket_keys[MR_TICKET_KEYS_SIZE] = {7, 8, 9};
    struct mr_tls_server_config server = {.certificate = &w->certificate,
                                          .allows_expired = true,
                                          .library = w->library,
                                          .alpn = alpn,
                                          .alpn_size = 4,
                                          .ciphers = cipher_name(w->config->cipher),
                                          .ticket_keys = ticket_keys,
                                          .tickets = wants_ticket(w->config),
                                          .replay = w->replay,
                                          .has_early_data = true};
    struct mr_tls_client_config client = {.is_insecure = true,
                                          .library = w->library,
                                          .ciphers = cipher_name(w->config->cipher),
                                          .has_early_data = true};
    struct mr_fault fault;
    int answer = side->role == MR_SERVER ? mr_tls_context_server(&side->tls, &server, &fault)
                                         : mr_tls_context_client(&side->tls, &client, &fault);

    if (answer != 0) {
        fprintf(stderr, "%s\n", fault.text);
        abort();
    }
}

static struct mr_endpoint_config endpoint_config(const struct world *w, enum mr_role role)
{
    static const uint8_t static_key[32] = {1, 2, 3};
    const struct sim_config *config = w->config;
    const struct side *side = &w->side[role];
    struct mr_random seed;
    struct mr_endpoint_config made = {
        .cid = {.node = 1, .shard = (uint16_t)role},
        .aead = side->aead,
        .server = role == MR_SERVER ? &side->tls : NULL,
        .client = role == MR_CLIENT ? &side->tls : NULL,
        .static_key = static_key,
        .cc = config->cc,
        .has_ecn = config->has_ecn,
        .payload_max = config->payload_max,
        .retry_above = config->retry_above,
        .idle_timeout_ns = config->idle_timeout_ns,
        .keep_alive_ns = config->keep_alive_ns,
        .stream_window_max = 16 << 20,
        .conn_window_max = 32 << 20,
        .streams_bidi_max = 8,
        .streams_uni_max = 3,
        .datagram_max = UINT16_MAX,
        .extensions = config->extensions[role],
        .paths_max = config->paths_max,
        .has_new_token = true,
        .has_resume = config->saved.window > 0,
        .cid_renew_ns = config->cid_renew_ns,
        .wall_offset_s = WALL_SECONDS,
    };
    /* whole words of randomness: the first numbers of a poor state are poor */
    mr_random_init_number(&seed, 4 * config->seed + 2 * role + w->was_restarted);
    for (size_t i = 0; i < MR_COUNT_OF(made.seed); i++)
        made.seed[i] = mr_random_u64(&seed);
    if (role == MR_CLIENT)
        return made;
    made.versions = config->server_versions;
    made.cid.is_encrypted = config->is_cid_encrypted;
    made.cid.kind = (uint8_t)config->cid_kind;
    made.cid_key = config->is_cid_encrypted ? cid_keys[0] : NULL;
    if (config->has_preferred)
        made.preferred[1] = sim_address(PREFERRED, 4433);
    return made;
}

static void make_endpoint(struct world *w, struct side *side)
{
    struct mr_limits limits = sim_limits();
    struct mr_endpoint_config config = endpoint_config(w, side->role);

    side->ep = mr_endpoint_init(side->memory, &limits, &config, w->now);
    if (side->ep == NULL)
        abort();
}

static void make_side(struct world *w, enum mr_role role)
{
    struct side *side = &w->side[role];
    struct mr_limits limits = sim_limits();

    side->role = role;
    side->aead = mr_aead_open(w->config->backend);
    make_tls(w, side);
    side->memory = malloc(mr_endpoint_footprint(&limits));
    make_endpoint(w, side);
    if (w->config->seed % TRACED_EVERY == 0 && w->config->restart_bytes == 0)
        side->tracer = sim_trace_new(side->ep, w->now);
    side->buffers = calloc(SIM_BUFFERS, sizeof(*side->buffers));
    for (uint32_t i = 0; i < SIM_BUFFERS; i++)
        side->free_buffers[side->free_count++] = &side->buffers[i];
    sim_app_init(&side->app, role, side->ep, w->config);
}

static void connect_client(struct world *w)
{
    struct mr_connect_options options = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\003sim",
                                         .alpn_size = 4,
                                         .is_insecure = true};
    struct mr_addr server = sim_address(1, 443);
    struct mr_addr client = sim_nat_inside(w->client_port);
    struct side *side = &w->side[MR_CLIENT];
    static uint8_t ticket[SIM_TICKET_MAX];

    memcpy(options.remote.ip, server.ip, 16);
    options.remote.port = server.port;
    memcpy(options.versions, w->config->versions, sizeof(options.versions));
    if (w->config->early != SIM_EARLY_NONE) {
        options.ticket_size =
            sim_ticket_get(side->ep, w->side[MR_SERVER].ep, &options, &client, ticket, &w->now);
        options.ticket = ticket;
        options.is_early = true;
        w->side[MR_SERVER].tls.has_early_data = w->config->early == SIM_EARLY_ACCEPTED;
    } else if (w->config->has_ticket) {
        options.ticket_size =
            sim_ticket_get(side->ep, w->side[MR_SERVER].ep, &options, &client, ticket, &w->now);
        options.ticket = ticket;
    }
    if (w->config->saved.window > 0) {
        static uint8_t plain[SIM_TICKET_MAX];
        size_t size =
            sim_ticket_get(side->ep, w->side[MR_SERVER].ep, &options, &client, plain, &w->now);

        size = past_ticket(&client, &server, &w->config->saved,
                           mr_endpoint_wall_s(side->ep, w->now), plain, size, plain, sizeof(plain));
        options.ticket_size = saved_ticket(w->side[MR_SERVER].ep, &client, &w->config->saved, 0,
                                           plain, size, ticket, sizeof(ticket), w->now);
        options.ticket = ticket;
    }
    for (int i = 0; i < 2; i++)
        w->first[i] = *mr_endpoint_counters(w->side[i].ep);
    w->begun_ns = w->now;
    w->next_rebind_ns = w->now + w->config->rebind_every_ns;
    w->next_migration_ns = w->now + w->config->migrate_every_ns;
    w->next_beat_ns = w->config->beat_every_ns > 0 ? w->now : MR_NEVER;
    w->next_sleep_ns = w->config->rest_max_ns > 0 ? w->now : MR_NEVER;
    if (mr_conn_connect(side->ep, &options, &client, w->now, &side->app.conn) != 0)
        abort();
}

/* ------------------------------------------------------------------ running */

static void give_back(struct side *side, struct mr_buf *buf)
{
    struct sim_buffer *buffer = MR_CONTAINER_OF(buf, struct sim_buffer, buf);

    MR_ASSERT(buffer->is_out);
    buffer->is_out = false;
    side->free_buffers[side->free_count++] = buffer;
}

static void take_released(struct side *side)
{
    struct mr_buf *buf = mr_endpoint_take_released(side->ep);

    while (buf != NULL) {
        struct mr_buf *next = buf->next;

        give_back(side, buf);
        buf = next;
    }
}

/* The path as the receiver sees it.  False: the NAT has forgotten the address that an answer goes
 * to. */
static bool receiver_path(const struct world *w, uint8_t direction, const struct mr_path_addr *sent,
                          struct mr_path_addr *path_out)
{
    struct mr_addr *client = direction == 0 ? &path_out->remote : &path_out->local;

    *path_out = (struct mr_path_addr){.local = sent->remote, .remote = sent->local};
    if (sim_paths_number(client) > 0) /* no NAT there */
        return true;
    if (direction == 1)
        return sim_nat_in(&w->nat, client);
    sim_nat_out(&w->nat, client);
    return true;
}

static uint64_t next_job(const struct side *side)
{
    uint64_t next = MR_NEVER;

    for (uint32_t i = 0; i < side->job_count; i++)
        next = MR_MIN(next, side->jobs[i].due_ns);
    return next;
}

/* Jobs that have taken as long as they take. */
static void complete_jobs(struct world *w, struct side *side, uint64_t until)
{
    for (uint32_t i = 0; i < side->job_count;) {
        if (side->jobs[i].due_ns > until) {
            i++;
            continue;
        }
        struct mr_tls_job *job = side->jobs[i].job;
        side->jobs[i] = side->jobs[--side->job_count];
        mr_tls_job_run(job);
        mr_endpoint_complete_job(side->ep, job, w->now);
    }
}

static void run_jobs(struct world *w, struct side *side)
{
    struct mr_tls_job *jobs[JOBS];
    uint32_t count;

    complete_jobs(w, side, w->now);
    while ((count = mr_endpoint_take_jobs(side->ep, jobs, JOBS - side->job_count)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            side->jobs[side->job_count].job = jobs[i];
            side->jobs[side->job_count++].due_ns =
                w->now + (w->config->job_max_ns > 0
                              ? mr_random_below(&w->random, w->config->job_max_ns)
                              : 0);
        }
        complete_jobs(w, side, w->now);
    }
}

/* Somebody on the way keeps a copy. */
static void keep_flight(struct world *w, uint8_t direction, const struct mr_outgoing *out)
{
    if (!w->config->is_replayed || direction != 0 || w->flight_count == FLIGHT)
        return;
    w->flight[w->flight_count].size = out->size;
    memcpy(w->flight[w->flight_count++].bytes, out->data, out->size);
}

/* And sends it once more when the connection is over. */
static void replay_flight(struct world *w)
{
    struct mr_path_addr path = {.local = sim_address(1, 443), .remote = sim_address(77, 7777)};

    w->was_replayed = true;
    for (uint32_t i = 0; i < REPLAYS * w->flight_count; i++) {
        const struct mr_outgoing out = {.data = w->flight[i % w->flight_count].bytes,
                                        .size = w->flight[i % w->flight_count].size};

        sim_network_send(&w->net, (struct sim_way){0}, &out, &path, w->now);
    }
}

static void send_all(struct world *w, struct side *side)
{
    static uint8_t bytes[MR_BURST][SIM_DATAGRAM_MAX];
    struct mr_outgoing out[MR_BURST];
    uint8_t direction = side->role == MR_CLIENT ? 0 : 1;
    uint32_t count;

    do {
        for (uint32_t i = 0; i < MR_BURST; i++)
            out[i] = (struct mr_outgoing){.data = bytes[i], .room = SIM_DATAGRAM_MAX};
        count = mr_endpoint_send(side->ep, out, MR_BURST, w->now);
        for (uint32_t i = 0; i < count; i++) {
            struct mr_path_addr path;
            struct sim_way way = {.direction = direction};

            if (!receiver_path(w, direction, &out[i].path, &path))
                continue;
            keep_flight(w, direction, &out[i]);
            way.path = sim_paths_number(direction == 0 ? &path.remote : &path.local);
            const struct sim_link *link = &w->net.link[way.path][direction];
            sim_network_send(&w->net, way, &out[i], &path, w->now);
            if (w->config->tells_too_big && out[i].size > link->mtu)
                (void)mr_endpoint_too_big(side->ep, &out[i].path, link->mtu, out[i].data,
                                          out[i].size);
        }
    } while (count > 0);
}

static void note_conn(struct world *w, enum mr_role role, const struct mr_conn *conn)
{
    w->mtu[role] = conn->path.mtu;
    w->is_classic[role] |=
        mr_cc_kind_of(&conn->path.cc) == MR_CC_PRAGUE && conn->path.cc.prague.is_classic;
    if (role == MR_SERVER) {
        w->cc = mr_cc_kind_of(&conn->path.cc);
        return;
    }
    w->version = conn->version;
    w->is_preferred |= conn->path.addr.remote.ip[15] == PREFERRED;
}

/* Awake or not; NULL: there is none. */
static const struct mr_conn *first_conn(struct side *side)
{
    uint32_t hand = 0;

    return mr_conn_look(side->ep, mr_endpoint_next_conn(side->ep, &hand), &side->looked_at);
}

static void settle(struct world *w, struct side *side)
{
    run_jobs(w, side);
    sim_app_run(&side->app, w->now);
    run_jobs(w, side);
    send_all(w, side);
    sim_app_run(&side->app, w->now);
    take_released(side);
    if (side->tracer != NULL)
        sim_trace_read(side->tracer);
    const struct mr_conn *conn = first_conn(side);
    if (conn != NULL)
        note_conn(w, side->role, conn);
    mr_endpoint_check(side->ep);
}

static void deliver(struct world *w)
{
    struct mr_datagram datagrams[MR_BURST];
    uint32_t count = 0;
    uint8_t direction = w->net.heap[0]->direction;
    struct side *side = &w->side[direction == 0 ? MR_SERVER : MR_CLIENT];

    if (side->asleep_until_ns > w->now) {
        sim_network_postpone(&w->net, side->asleep_until_ns);
        return;
    }
    while (count < MR_BURST && side->free_count > 0 && sim_network_next(&w->net) <= w->now &&
           w->net.heap[0]->direction == direction) {
        struct sim_packet *packet = sim_network_take(&w->net);
        struct sim_buffer *buffer = side->free_buffers[--side->free_count];

        if (direction == 0 && (packet->bytes[0] & 0x80) == 0)
            w->routed += mr_endpoint_cid_owner(side->ep, packet->bytes + 1, MR_LOCAL_CID_SIZE) ==
                         SERVER_SHARD;
        buffer->is_out = true;
        memcpy(buffer->bytes, packet->bytes, packet->size);
        datagrams[count++] = (struct mr_datagram){.data = buffer->bytes,
                                                  .buf = &buffer->buf,
                                                  .size = packet->size,
                                                  .ecn = packet->ecn,
                                                  .path = packet->path};
        free(packet);
    }
    MR_ASSERT(count > 0);
    mr_endpoint_receive(side->ep, datagrams, count, w->now);
    for (uint32_t i = 0; i < count; i++) {
        if (datagrams[i].redirect !=
            MR_STAY) /* a corrupted connection ID names a shard that is not here */
            give_back(side, datagrams[i].buf);
    }
    settle(w, side);
}

static void expire(struct world *w, struct side *side)
{
    mr_endpoint_expire(side->ep, w->now);
    settle(w, side);
}

/* Now and then a side does not run. */
static void stall(struct world *w, struct side *side)
{
    uint64_t max = w->config->stall_max_ns;

    if (max == 0 || w->now < side->next_stall_ns)
        return;
    side->asleep_until_ns = w->now + sim_draw(&w->random, max / 1000, max);
    side->next_stall_ns = side->asleep_until_ns + mr_random_below(&w->random, max / 4);
}

/* The whole machine stands still, once. */
static void pause_both(struct world *w)
{
    if (w->config->pause_ns == 0 || w->was_paused || w->now < START + w->config->pause_at_ns)
        return;
    w->was_paused = true;
    w->now += w->config->pause_ns;
    for (int i = 0; i < 2; i++)
        mr_endpoint_paused(w->side[i].ep, w->config->pause_ns);
}

/* The server's process is another one, which knows nothing. */
static void restart(struct world *w)
{
    struct side *server = &w->side[MR_SERVER];

    w->was_restarted = true;
    complete_jobs(w, server, MR_NEVER);
    mr_endpoint_fini(server->ep);
    take_released(server);
    make_endpoint(w, server);
    server->app.is_closed = true;
    server->app.ep = server->ep;
    w->first[MR_SERVER] = (struct mr_counters){0};
}

static void disturb_server(struct world *w)
{
    const struct sim_config *config = w->config;

    if (config->restart_bytes > 0 && !w->was_restarted &&
        w->side[MR_CLIENT].app.received >= config->restart_bytes)
        restart(w);
    if (config->cid_config_ns > 0 && !w->has_other_cids && w->now >= START + config->cid_config_ns)
        w->has_other_cids = mr_endpoint_set_cid_config(w->side[MR_SERVER].ep, 1, cid_keys[1]);
}

/* And at the server's preferred address, if it has one: a NAT that changes on the way there can
 * leave a client whose window is full without an answer (RFC 9000, Sections 8.2.2 and 9.6.2). */
static bool is_confirmed(struct world *w)
{
    const struct mr_conn *server = first_conn(&w->side[MR_SERVER]);

    if (w->config->has_preferred && server != NULL && !server->is_on_preferred)
        return false;
    for (int i = 0; i < 2; i++) {
        const struct mr_conn *conn = first_conn(&w->side[i]);

        if (conn == NULL || !conn->is_confirmed)
            return false;
    }
    return true;
}

/* The client shows its address: nobody reaches it behind a NAT that has forgotten it. */
static void beat(struct world *w)
{
    const struct side *client = &w->side[MR_CLIENT];

    (void)mr_conn_send_datagram(client->ep, client->app.conn, NULL, 0);
    w->next_beat_ns = client->app.is_closed ? MR_NEVER : w->now + w->config->beat_every_ns;
}

/* Whichever side rests is put to sleep. */
static void put_to_sleep(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        if (mr_random_below(&w->random, 2) == 0)
            (void)mr_conn_sleep(w->side[i].ep, w->side[i].app.conn);
        mr_endpoint_check(w->side[i].ep);
    }
    w->next_sleep_ns = w->side[MR_CLIENT].app.is_closed
                           ? MR_NEVER
                           : w->now + sim_draw(&w->random, MR_MS, 100 * MR_MS);
}

static void disturb(struct world *w)
{
    if (w->now >= w->next_beat_ns)
        beat(w);
    if (w->now >= w->next_sleep_ns)
        put_to_sleep(w);
    pause_both(w);
    disturb_server(w);
    if (w->config->mtu_change_ns > 0 && w->now >= START + w->config->mtu_change_ns)
        w->net.link[0][0].mtu = w->net.link[0][1].mtu = w->config->mtu_change;
    for (int i = 0; i < 2; i++)
        stall(w, &w->side[i]);
    if (w->config->paths_max > 1)
        sim_paths_step(&w->paths, &w->net, w->side[0].app.conn, w->side[1].app.conn, w->now);
    if (w->config->rebind_every_ns > 0 && w->now >= w->next_rebind_ns) {
        bool is_last = w->config->rebinds_max > 0 && w->nat.mapping >= w->config->rebinds_max;

        if (!is_last && (!w->config->rebinds_late || is_confirmed(w))) {
            w->nat.mapping++;
            w->net.seen.rebound++;
        }
        w->next_rebind_ns = w->now + w->config->rebind_every_ns;
    }
    if (w->config->migrate_every_ns > 0 && w->now >= w->next_migration_ns) {
        uint16_t port = (uint16_t)((w->client_port + 1) % SIM_CLIENT_PORTS);
        struct mr_addr local = sim_nat_inside(port);

        if (mr_conn_migrate(w->side[0].ep, w->side[0].app.conn, &local, w->now) == 0)
            w->client_port = port;
        w->next_migration_ns = w->now + w->config->migrate_every_ns;
    }
    if (w->config->update_keys_every_ns > 0 && w->now >= w->next_update_ns) {
        mr_conn_update_keys(w->side[mr_random_below(&w->random, 2)].ep, w->side[0].app.conn,
                            w->now);
        w->next_update_ns = w->now + w->config->update_keys_every_ns;
    }
}

static bool is_over(const struct world *w)
{
    if (w->was_replayed && sim_network_next(&w->net) != MR_NEVER)
        return false;
    return w->side[0].app.is_closed && (w->side[1].app.is_closed || !w->side[1].app.is_connected) &&
           mr_endpoint_conn_count(w->side[0].ep) == 0 && mr_endpoint_conn_count(w->side[1].ep) == 0;
}

/* When a side has something of its own to do; not before it runs again. */
static uint64_t next_of(const struct side *side)
{
    uint64_t own = MR_MIN(next_job(side), sim_app_due(&side->app));

    return MR_MAX(MR_MIN(mr_endpoint_deadline(side->ep), own), side->asleep_until_ns);
}

/* Advance to the next event.  False: nothing will ever happen. */
static bool step(struct world *w)
{
    uint64_t own[2] = {next_of(&w->side[0]), next_of(&w->side[1])};
    uint64_t next = sim_network_next(&w->net);

    if (w->config->paths_max > 1 && sim_paths_next(&w->paths) < next)
        next = sim_paths_next(&w->paths);
    next = next < own[0] ? next : own[0];
    next = next < own[1] ? next : own[1];
    next = next < w->next_beat_ns ? next : w->next_beat_ns;
    next = next < w->next_sleep_ns ? next : w->next_sleep_ns;
    if (next == MR_NEVER)
        return false;
    w->now = next > w->now ? next : w->now;
    disturb(w);
    if (sim_network_next(&w->net) <= w->now)
        deliver(w);
    for (int i = 0; i < 2; i++) {
        if (next_of(&w->side[i]) <= w->now || mr_endpoint_wants_send(w->side[i].ep))
            expire(w, &w->side[i]);
        else if (w->paths.has_acted)
            settle(w, &w->side[i]);
    }
    w->paths.has_acted = false;
    return true;
}

/* ------------------------------------------------------------------ results */

static bool is_complete(const struct world *w)
{
    const struct sim_app *client = &w->side[MR_CLIENT].app;
    const struct sim_app *server = &w->side[MR_SERVER].app;

    if (client->opened != w->config->streams || client->done != w->config->streams)
        return false;
    for (uint32_t i = 0; i < client->opened; i++) {
        if (!client->streams[i].was_aborted &&
            (client->streams[i].received != w->config->down_bytes || !client->streams[i].has_fin))
            return false;
    }
    for (uint32_t i = 0; i < server->opened; i++) {
        if (!server->streams[i].was_aborted &&
            server->streams[i].received != 8 + w->config->up_bytes)
            return false;
    }
    return true;
}

static void counters_since(const struct mr_counters *first, const struct mr_counters *last,
                           struct mr_counters *out)
{
    for (size_t i = 0; i < MR_COUNTERS; i++)
        ((uint64_t *)(void *)out)[i] = mr_counter_value(last, i) - mr_counter_value(first, i);
}

static void fill_result(struct world *w, struct sim_result *r)
{
    const struct sim_app *client = &w->side[MR_CLIENT].app;
    const struct sim_app *server = &w->side[MR_SERVER].app;

    *r = (struct sim_result){
        .is_complete = is_complete(w),
        .is_client_closed = client->is_closed,
        .is_server_closed = server->is_closed,
        .client_error = client->error,
        .server_error = server->error,
        .bytes_down = client->received,
        .bytes_up = server->received,
        .bad_bytes = client->bad_bytes + server->bad_bytes,
        .transfer_ns = w->done_ns - w->begun_ns,
        .duration_ns = w->now,
        .datagrams = w->net.datagrams,
        .digest = w->net.digest,
        .mtu = {w->mtu[0], w->mtu[1]},
        .is_classic = {w->is_classic[0], w->is_classic[1]},
        .seen = w->net.seen,
        .reliable_resets = (uint64_t)client->reliable_resets + server->reliable_resets,
        .stops = server->stops,
        .pairs = client->pairs,
        .pairs_in_order = client->pairs_in_order,
        .version = w->version,
        .preferred = w->is_preferred,
        .cc = w->cc,
    };
    r->stalled_ns = w->paths.stalled_ns;
    for (uint32_t i = 0; i < SIM_PATHS_MAX; i++)
        r->path_bytes[i] = w->net.bytes[i][1];
    r->seen.routed = w->routed;
    r->replays_refused = w->replay != NULL ? w->replay->count[MR_REPLAY_SEEN] : 0;
    memcpy(r->client_reason, client->reason, sizeof(r->client_reason));
    memcpy(r->server_reason, server->reason, sizeof(r->server_reason));
    for (int i = 0; i < 2; i++) {
        counters_since(&w->first[i], mr_endpoint_counters(w->side[i].ep), &r->counters[i]);
        r->leaks += SIM_BUFFERS - w->side[i].free_count + w->side[i].ep->models.used +
                    w->side[i].ep->extras.used + w->side[i].ep->path_records.used;
    }
    r->key_updates = r->counters[0].key_updates_started + r->counters[1].key_updates_started;
    r->rebindings = r->counters[MR_SERVER].rebindings;
    r->migrations = r->counters[MR_SERVER].migrations;
    r->migrations_done = r->counters[MR_CLIENT].migrations_done;
}

/* How long the client's application waits. */
static void note_progress(struct world *w)
{
    const struct sim_app *client = &w->side[MR_CLIENT].app;

    if (client->done >= w->config->streams)
        return;
    w->done_ns = w->now;
    sim_paths_note(&w->paths, client->received, w->now);
}

void sim_run(const struct sim_config *config, struct sim_result *result)
{
    struct world *w = calloc(1, sizeof(*w));

    w->config = config;
    w->now = START;
    w->nat.changes_addresses = config->rebinds_address;
    mr_random_init_number(&w->random, config->seed + 7);
    sim_network_init(&w->net, config->link, config->seed + 1);
    w->library = mr_tls_seeded_open(config->seed + 2);
    make_certificate(w);
    if (config->is_replayed)
        make_register(w);
    make_side(w, MR_CLIENT);
    make_side(w, MR_SERVER);
    sim_paths_init(&w->paths, config, &w->net, w->side[0].ep, w->side[1].ep, START);
    connect_client(w);
    settle(w, &w->side[MR_CLIENT]);
    while (!is_over(w) && w->now < config->time_limit_ns && step(w)) {
        note_progress(w);
        if (is_over(w) && config->is_replayed && !w->was_replayed)
            replay_flight(w);
    }
    for (int i = 0; i < 2; i++) {
        complete_jobs(w, &w->side[i], MR_NEVER);
        take_released(&w->side[i]);
    }
    fill_result(w, result);
    for (int i = 0; i < 2; i++) {
        mr_endpoint_fini(w->side[i].ep);
        sim_trace_free(w->side[i].tracer);
        mr_tls_context_free(&w->side[i].tls);
        mr_aead_close(w->side[i].aead);
        free(w->side[i].memory);
        free(w->side[i].buffers);
    }
    mr_tls_seeded_close(w->library);
    sim_network_fini(&w->net);
    mr_early_data_free(w->replay);
    free(w);
}
