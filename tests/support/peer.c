/* tests/support/peer.c - see peer.h: the pair, its handshake, and its clock. */
#include "tests/support/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine_tls.h"
#include "tests/support/peer_internal.h"

/* The sanitizer's interface; calls that are compiled out need no library. */
void __asan_poison_memory_region(const volatile void *address, size_t size);
void __asan_unpoison_memory_region(const volatile void *address, size_t size);

/* ------------------------------------------------------------------ set-up */

static void die(const char *what)
{
    fprintf(stderr, "peer: %s\n", what);
    abort();
}

static void make_tls(struct peer_side *side, const struct peer_options *o)
{
    static const uint8_t ticket_keys[MR_TICKET_KEYS_SIZE] = {4, 5, 6};
    const struct mr_tls_server_config config = {.alpn = (const uint8_t *)"\004peer",
                                                .alpn_size = 5,
                                                .ciphers = "TLS_AES_128_GCM_SHA256",
                                                .ticket_keys = ticket_keys,
                                                .tickets = 1,
                                                .replay = o->replay,
                                                .has_early_data = true};
    struct mr_fault fault;

    if (o->tls != NULL)
        side->tls = o->tls[side->role];
    else if (engine_tls_make(side->role, &config, &side->tls, &fault) != 0)
        die(fault.text);
}

static uint64_t idle_timeout(const struct peer_options *o, bool is_under_test)
{
    uint64_t ns = is_under_test || o->partner_idle_timeout_ns == 0 ? o->idle_timeout_ns
                                                                   : o->partner_idle_timeout_ns;

    return ns == PEER_NEVER_IDLE ? 0 : ns == 0 ? 60 * MR_SECOND : ns;
}

static struct mr_endpoint_config make_config(const struct peer_options *o, struct peer_side *side)
{
    static const uint8_t static_key[32] = {7, 7, 7};
    uint32_t retry = o->retry_above == 0 ? 1000 : o->retry_above;
    bool is_under_test = side->role == o->under_test;

    return (struct mr_endpoint_config){
        .cid = {.kind = (uint8_t)(is_under_test ? o->cid_kind : MR_CID_QUIC_LB),
                .node = 1,
                .shard = (uint16_t)side->role},
        .cid_key = is_under_test ? o->cid_key : NULL,
        .cid_renew_ns = is_under_test ? o->cid_renew_ns : 0,
        .aead = side->aead,
        .server = side->role == MR_SERVER ? &side->tls : NULL,
        .client = side->role == MR_CLIENT ? &side->tls : NULL,
        .static_key = static_key,
        .seed = {1, side->role, 3, 4},
        .cc = o->cc == 0 ? MR_CC_NEWRENO : (enum mr_cc_kind)(o->cc - 1),
        .has_ecn = o->has_ecn,
        .payload_max = 1452,
        .retry_above = retry == PEER_ALWAYS_RETRY ? 0 : retry,
        .idle_timeout_ns = idle_timeout(o, is_under_test),
        .keep_alive_ns = is_under_test ? o->keep_alive_ns : 0,
        .stream_window_max = o->stream_window == 0 ? 16 << 20 : o->stream_window,
        .conn_window_max = 32 << 20,
        .streams_bidi_max = o->streams_bidi == 0 ? 8 : o->streams_bidi,
        .streams_uni_max = o->streams_uni == 0 ? 3 : o->streams_uni,
        .datagram_max = side->role == o->under_test ? o->datagram_max : o->partner_datagram_max,
        .extensions = side->role == o->under_test ? o->extensions : o->partner_extensions,
        .ack_packets = is_under_test ? o->ack_packets : 0,
        .paths_max = o->paths_max,
        .wall_offset_s = 1700000000,
        .has_new_token = o->has_new_token,
        .has_resume = o->has_resume,
        .versions = side->role == MR_SERVER ? o->server_versions : 0,
    };
}

static struct mr_limits make_limits(const struct peer_options *o)
{
    uint32_t connections = o->connections == 0 ? 4 : o->connections;

    return (struct mr_limits){.connections_max = connections,
                              .awake_max = o->has_sleep && connections > 1 ? connections - 1 : 0,
                              .sleepers_max = connections,
                              .handshakes_max = 4,
                              .streams_max = 64,
                              .segments_max = 256,
                              .ranges_max = 512,
                              .chunks_max = 512,
                              .compact_max = 128,
                              .datagram_chunks_max = 12,
                              .datagram_queue_max = 8,
                              .extras_max = 4,
                              .multipaths_max = 4,
                              .path_records_max = 16,
                              .models_max = 4,
                              .names_max = 4,
                              .pinned_max = PEER_BUFFERS / 2,
                              .active_keys_max = 4};
}

/* Memory for an endpoint: what it had the last time, where that is enough. */
static void *memory_for(struct peer_side *side, const struct mr_limits *limits)
{
    size_t size = mr_endpoint_footprint(limits);

    if (MR_ASAN && side->is_cut)
        __asan_unpoison_memory_region(side->memory, side->memory_size);
    if (size > side->memory_size) {
        free(side->memory);
        side->memory = malloc(size);
        side->memory_size = size;
    }
    if (side->memory == NULL)
        die("no memory");
    side->is_cut = size < side->memory_size;
    if (MR_ASAN && side->is_cut)
        __asan_poison_memory_region((uint8_t *)side->memory + size, side->memory_size - size);
    return side->memory;
}

static void make_endpoint(struct peer *p, struct peer_side *side, uint64_t seed)
{
    struct mr_limits limits = make_limits(&p->options);
    struct mr_endpoint_config config = make_config(&p->options, side);

    if (p->options.edit_limits != NULL && side->role == p->role)
        p->options.edit_limits(&limits);
    config.seed[2] += seed;
    if (side->role == MR_SERVER)
        config.preferred[1] = p->options.preferred;
    side->ep = mr_endpoint_init(memory_for(side, &limits), &limits, &config, p->now);
    if (side->ep == NULL)
        die("no endpoint");
}

static struct mr_aead *open_aead(const struct peer *p)
{
    return p->options.aead != NULL ? p->options.aead : mr_aead_open(MR_AEAD_OPENSSL);
}

static void make_side(struct peer *p, enum mr_role role)
{
    struct peer_side *side = &p->side[role];

    side->role = role;
    side->aead = open_aead(p);
    make_tls(side, &p->options);
    make_endpoint(p, side, 0);
}

void peer_restart_partner(struct peer *p)
{
    struct peer_side *side = &p->side[!p->role];

    mr_endpoint_fini(side->ep);
    peer_take_released(side);
    make_endpoint(p, side, 1);
}

static struct mr_addr address(uint8_t last, uint16_t port)
{
    struct mr_addr addr = {.port = port};

    addr.ip[10] = addr.ip[11] = 0xff;
    addr.ip[12] = 198;
    addr.ip[13] = 18;
    addr.ip[15] = last;
    return addr;
}

struct peer *peer_alloc(void)
{
    struct peer *p = calloc(1, sizeof(*p));

    if (p == NULL)
        die("no memory");
    for (int i = 0; i < 2; i++) {
        p->side[i].buffers = calloc(PEER_BUFFERS, sizeof(*p->side[i].buffers));
        if (p->side[i].buffers == NULL)
            die("no memory");
    }
    return p;
}

/* Nothing but memory is left of an earlier start. */
static void forget(struct peer *p)
{
    struct peer_side before[2] = {p->side[0], p->side[1]};

    memset(p, 0, offsetof(struct peer, wire));
    for (int i = 0; i < 2; i++)
        p->side[i] = (struct peer_side){.memory = before[i].memory,
                                        .memory_size = before[i].memory_size,
                                        .is_cut = before[i].is_cut,
                                        .buffers = before[i].buffers};
}

void peer_start(struct peer *p, const struct peer_options *options)
{
    forget(p);
    p->options = *options;
    p->version = MR_VERSION_1;
    p->role = options->under_test;
    p->edit_params = options->edit_params;
    p->now = MR_SECOND;
    p->aead = open_aead(p);
    make_side(p, MR_CLIENT);
    make_side(p, MR_SERVER);
    p->path.local = p->role == MR_SERVER ? address(1, 443) : address(2, 5000);
    p->path.remote = p->role == MR_SERVER ? address(2, 5000) : address(1, 443);
    p->dcid = (struct mr_cid){.size = PEER_CID_SIZE, .bytes = {0xd1, 2, 3, 4, 5, 6, 7, 8}};
    p->scid = (struct mr_cid){.size = PEER_CID_SIZE, .bytes = {0xc1, 2, 3, 4, 5, 6, 7, 8}};
}

struct peer *peer_new(const struct peer_options *options)
{
    struct peer *p = peer_alloc();

    peer_start(p, options);
    return p;
}

static void free_key(struct peer *p, struct peer_key *key)
{
    mr_aead_key_clear(p->aead, &key->aead);
    mr_hp_key_clear(p->aead, &key->hp);
}

static bool stop_side(struct peer *p, struct peer_side *side)
{
    mr_endpoint_fini(side->ep);
    peer_take_released(side);
    if (p->options.tls == NULL)
        mr_tls_context_free(&side->tls);
    if (p->options.aead == NULL)
        mr_aead_close(side->aead);
    return side->buffers_out == 0;
}

bool peer_stop(struct peer *p)
{
    bool is_clean = true;

    for (int i = 0; i < MR_SPACES; i++) {
        free_key(p, &p->seal[i]);
        free_key(p, &p->open[i]);
    }
    free_key(p, &p->early);
    for (int i = 0; i < 2; i++)
        is_clean &= stop_side(p, &p->side[i]);
    if (p->options.aead == NULL)
        mr_aead_close(p->aead);
    return is_clean;
}

bool peer_free(struct peer *p)
{
    bool is_clean = peer_stop(p);

    for (int i = 0; i < 2; i++) {
        free(p->side[i].memory);
        free(p->side[i].buffers);
    }
    free(p);
    return is_clean;
}

struct peer *peer_at(enum mr_role under_test, enum peer_stage stage)
{
    struct peer_options options = {.under_test = under_test};
    struct peer *p = peer_new(&options);

    peer_run(p, stage);
    return p;
}

struct mr_endpoint *peer_endpoint(struct peer *p)
{
    return p->side[p->role].ep;
}

struct mr_conn *peer_conn(struct peer *p)
{
    return mr_conn_at(peer_endpoint(p), 0);
}

const struct mr_counters *peer_counters(struct peer *p)
{
    return mr_endpoint_counters(peer_endpoint(p));
}

/* ------------------------------------------------------------------ keys */

void peer_set_key(struct peer *p, struct peer_key *key, const struct mr_secret *secret,
                  bool is_seal)
{
    free_key(p, key);
    key->secret = *secret;
    mr_keys_derive(p->version, secret, &key->material);
    key->is_set = mr_aead_key_set(p->aead, &key->aead, key->material.cipher, key->material.key,
                                  key->material.iv, is_seal) &&
                  mr_hp_key_set(p->aead, &key->hp, key->material.cipher, key->material.hp);
    if (!key->is_set)
        die("no key");
}

void peer_set_initial_keys(struct peer *p, const struct mr_cid *dcid)
{
    struct mr_initial_secrets secrets;

    mr_keys_initial(p->version, dcid, &secrets);
    peer_set_key(p, &p->seal[MR_SPACE_INITIAL], &secrets.of[!p->role], true);
    peer_set_key(p, &p->open[MR_SPACE_INITIAL], &secrets.of[p->role], false);
}

static void update_key(struct peer *p, struct peer_key *key, bool is_seal)
{
    mr_keys_update(p->version, &key->secret, &key->material);
    if (!mr_aead_key_set(p->aead, &key->aead, key->material.cipher, key->material.key,
                         key->material.iv, is_seal))
        die("no key");
}

void peer_update_keys(struct peer *p)
{
    update_key(p, &p->seal[MR_SPACE_APP], true);
    update_key(p, &p->open[MR_SPACE_APP], false);
    p->phase ^= 1;
}

/* Secrets of both endpoints' TLS: each direction is kept once. */
static void keep_secrets(struct peer *p, const struct peer_side *side, const struct mr_tls_job *job)
{
    if (job->secret_count > 0)
        p->version = job->version;
    for (uint32_t i = 0; i < job->secret_count; i++) {
        const struct mr_tls_secret *s = &job->secrets[i];
        bool is_ours = (side->role != p->role) == s->is_write; /* sealed by the peer */
        enum mr_space space = s->level == MR_LEVEL_HANDSHAKE ? MR_SPACE_HANDSHAKE : MR_SPACE_APP;
        struct peer_key *key = is_ours ? &p->seal[space] : &p->open[space];

        if (s->level == MR_LEVEL_EARLY)
            key = &p->early;
        if (!key->is_set)
            peer_set_key(p, key, &s->secret, is_ours);
    }
}

/* ------------------------------------------------------------------ running an endpoint */

/* What is shown of a buffer that was given back is wrong bytes. */
static void give_back(struct peer_side *side, struct peer_buffer *buffer)
{
    MR_ASSERT(buffer->is_out);
    memset(buffer->bytes, 0xdd, sizeof(buffer->bytes));
    if (MR_ASAN)
        __asan_poison_memory_region(buffer->bytes, sizeof(buffer->bytes));
    buffer->is_out = false;
    side->buffers_out--;
}

void peer_take_released(struct peer_side *side)
{
    struct mr_buf *buf = mr_endpoint_take_released(side->ep);

    while (buf != NULL) {
        struct mr_buf *next = buf->next;
        struct peer_buffer *buffer = MR_CONTAINER_OF(buf, struct peer_buffer, buf);

        give_back(side, buffer);
        buf = next;
    }
}

static void run_jobs(struct peer *p, struct peer_side *side)
{
    struct mr_tls_job *jobs[4];
    uint32_t count;

    if (p->holds_jobs && side->role == p->role)
        return;
    while ((count = mr_endpoint_take_jobs(side->ep, jobs, 4)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            mr_tls_job_run(jobs[i]);
            keep_secrets(p, side, jobs[i]);
            mr_endpoint_complete_job(side->ep, jobs[i], p->now);
        }
    }
}

static void keep_event(struct peer *p, const struct mr_event *event)
{
    struct peer_event *kept = &p->events[p->event_count % PEER_EVENTS_MAX];

    p->event_count++;
    kept->event = *event;
    kept->event.reason = NULL;
    snprintf(kept->reason, sizeof(kept->reason), "%s", event->reason == NULL ? "" : event->reason);
    if ((event->kinds & MR_EVENT_CONNECTED) != 0)
        p->conn = event->conn;
}

static void collect_events(struct peer *p, struct peer_side *side)
{
    struct mr_event events[16];
    uint32_t count;

    if (p->holds_events && side->role == p->role)
        return;
    do {
        count = mr_endpoint_events(side->ep, events, MR_COUNT_OF(events));
        for (uint32_t i = 0; i < count && side->role == p->role; i++)
            keep_event(p, &events[i]);
    } while (count == MR_COUNT_OF(events));
}

void peer_settle(struct peer *p, struct peer_side *side)
{
    run_jobs(p, side);
    collect_events(p, side);
    peer_take_released(side);
    if (!p->options.leaves_checks)
        mr_endpoint_check(side->ep);
}

/* The partner's TLS has not spoken yet: what it will say of its limits can be changed. */
static void edit_params(struct peer *p, const struct peer_side *side)
{
    if (p->edit_params == NULL || side->role == p->role || side->ep->conns.fresh == 0)
        return;
    struct mr_handshake *hs = mr_conn_handshake(side->ep, mr_conn_at(side->ep, 0));
    if (hs == NULL) /* it has refused what came */
        return;
    p->edit_params(hs->tls.params, hs->params_size);
    p->edit_params = NULL;
}

static struct peer_buffer *take_buffer(struct peer_side *side)
{
    for (uint32_t i = 0; i < PEER_BUFFERS; i++) {
        if (side->buffers[i].is_out)
            continue;
        if (MR_ASAN)
            __asan_unpoison_memory_region(side->buffers[i].bytes, sizeof(side->buffers[i].bytes));
        side->buffers[i].is_out = true;
        side->buffers_out++;
        return &side->buffers[i];
    }
    die("no buffer");
    return NULL;
}

static void receive_burst(struct peer *p, struct peer_side *side, const struct peer_raw *raws,
                          uint32_t count)
{
    struct peer_buffer *buffers[MR_BURST];
    struct mr_datagram datagrams[MR_BURST];

    for (uint32_t i = 0; i < count; i++) {
        buffers[i] = take_buffer(side);
        memcpy(buffers[i]->bytes, raws[i].bytes, raws[i].size);
        datagrams[i] =
            (struct mr_datagram){.data = buffers[i]->bytes,
                                 .buf = &buffers[i]->buf,
                                 .size = raws[i].size,
                                 .ecn = side->role == p->role && p->ecn != 0 ? p->ecn : raws[i].ecn,
                                 .path = raws[i].path};
    }
    mr_endpoint_receive(side->ep, datagrams, count, p->now);
    edit_params(p, side);
    for (uint32_t i = 0; i < count; i++) {
        if (datagrams[i].redirect == MR_STAY)
            continue;
        give_back(side, buffers[i]);
    }
    peer_settle(p, side);
}

void peer_receive(struct peer *p, struct peer_side *side, const struct peer_raw *raw)
{
    receive_burst(p, side, raw, 1);
}

void peer_deliver_burst(struct peer *p, const struct peer_raw *raws, uint32_t count)
{
    receive_burst(p, &p->side[p->role], raws, count);
    peer_drain(p);
    peer_settle(p, &p->side[p->role]);
}

/* ------------------------------------------------------------------ the handshake */

static void deliver_wire(struct peer *p, enum mr_role to)
{
    uint32_t count = p->wire_count[to];

    p->wire_count[to] = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct peer_raw raw = p->wire[to][i];
        peer_receive(p, &p->side[to], &raw);
    }
}

void peer_deliver_flight(struct peer *p)
{
    deliver_wire(p, p->role);
    peer_drain(p);
    peer_settle(p, &p->side[p->role]);
}

void peer_connect(struct peer *p)
{
    struct mr_connect_options options = {
        .server_name = "localhost", .alpn = (const uint8_t *)"\004peer", .alpn_size = 5};
    struct mr_addr server = address(1, 443);
    struct mr_addr client = address(2, 5000);
    mr_handle handle;

    memcpy(options.remote.ip, server.ip, 16);
    options.remote.port = server.port;
    memcpy(options.versions, p->options.versions, sizeof(options.versions));
    options.ticket = p->options.ticket;
    options.ticket_size = p->options.ticket_size;
    options.is_early = p->options.is_early;
    options.is_insecure = p->options.is_insecure;
    if (mr_conn_connect(p->side[MR_CLIENT].ep, &options, &client, p->now, &handle) != 0)
        die("no connection");
    if (p->role == MR_CLIENT)
        p->conn = handle;
    edit_params(p, &p->side[MR_CLIENT]);
    p->version = mr_conn_at(p->side[MR_CLIENT].ep, 0)->version;
    peer_set_initial_keys(p, &mr_cid_current(mr_conn_at(p->side[MR_CLIENT].ep, 0))->cid);
    peer_settle(p, &p->side[MR_CLIENT]);
}

void peer_round_trip(struct peer *p)
{
    for (int i = 0; i < 2; i++)
        peer_drain_side(p, &p->side[i]);
    p->now += PEER_LATENCY;
    for (int i = 0; i < 2; i++) {
        deliver_wire(p, (enum mr_role)i);
        mr_endpoint_expire(p->side[i].ep, p->now);
        peer_settle(p, &p->side[i]);
    }
}

void peer_take_over(struct peer *p)
{
    struct mr_endpoint *partner = p->side[!p->role].ep;
    struct mr_conn *conn = mr_conn_at(partner, 0);

    p->is_alone = true;
    for (int i = 0; i < MR_SPACES; i++) {
        struct mr_pn_space *space = mr_conn_space(partner, conn, (enum mr_space)i);
        p->next_pn[i] = space == NULL ? 100 : mr_sent_next(&space->sent);
    }
    memcpy(p->scid.bytes, &conn->issued.key[0], PEER_CID_SIZE);
    p->dcid.size = PEER_CID_SIZE;
    memcpy(p->dcid.bytes, &peer_conn(p)->issued.key[0], PEER_CID_SIZE);
}

void peer_run(struct peer *p, enum peer_stage stage)
{
    if (stage == PEER_NOTHING) {
        p->is_alone = true;
        peer_set_initial_keys(p, &p->dcid);
        return;
    }
    peer_connect(p);
    peer_drain_side(p, &p->side[MR_CLIENT]);
    p->hello = p->wire[MR_SERVER][0];
    p->now += PEER_LATENCY;
    deliver_wire(p, MR_SERVER);
    if (stage == PEER_HELLO && p->role == MR_CLIENT)
        peer_drain_side(p, &p->side[MR_SERVER]);
    if (stage >= PEER_FLIGHT) {
        peer_drain_side(p, &p->side[MR_SERVER]);
        p->now += PEER_LATENCY;
        deliver_wire(p, MR_CLIENT);
        peer_drain_side(p, &p->side[MR_CLIENT]);
    }
    for (int i = 0; stage >= PEER_DONE && i < 120; i++)
        peer_round_trip(p);
    if (stage >= PEER_DONE &&
        !(peer_conn(p)->is_confirmed && mr_conn_at(p->side[!p->role].ep, 0)->is_confirmed))
        die("the handshake does not complete");
    if (stage == PEER_BOTH)
        return;
    peer_take_over(p);
    peer_drain(p);
    if (stage == PEER_DONE)
        peer_clear(p);
}

void peer_advance(struct peer *p, uint64_t ns)
{
    struct peer_side *side = &p->side[p->role];
    uint64_t end = p->now + ns;

    for (int i = 0; i < 100000 && mr_endpoint_deadline(side->ep) <= end; i++) {
        p->now = MR_MAX(p->now, mr_endpoint_deadline(side->ep));
        mr_endpoint_expire(side->ep, p->now);
        peer_settle(p, side);
        peer_drain(p);
    }
    p->now = end;
    mr_endpoint_expire(side->ep, p->now);
    peer_settle(p, side);
    peer_drain(p);
}
