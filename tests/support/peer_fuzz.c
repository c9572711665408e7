/* tests/support/peer_fuzz.c - see peer_fuzz.h: the world, the tap, and the steps. */
#include "tests/support/peer_fuzz.h"

#include <stdlib.h>

#include "base/assert.h"
#include "control/tls_seeded.h"
#include "quic/conn_sleep.h"
#include "quic/frame_multipath.h"
#include "tests/sim/sim_trace.h"
#include "tests/support/peer_fuzz_app.h"
#include "tests/support/peer_internal.h"
#include "tests/support/tls_memo.h"

#define ROUNDS_MAX  12
#define STEPS_MAX   40
#define BURST_MAX   6 /* packets that arrive together */
#define TRACED_SIZE 600
#define TLS_SEED    11
#define NEXT_CID    8                   /* of connection IDs of ours, on further paths */
#define NEXT_PN     60                  /* of packets there */
#define WALL        INT64_C(1700000000) /* s */
#define END_NS      (900 * MR_SECOND)   /* in which a connection that is told to close is over */
#define REST_ROUNDS 6                   /* with the partner, */
#define REST_NS     (MR_SECOND / 2)     /* each followed by so much time */

/* ------------------------------------------------------------------ TLS that repeats itself */

struct world {
    struct peer *p;
    struct mr_aead *aead;
    void *library;
    struct mr_tls_context tls[2];
    struct mr_certificate certificate;
    size_t ticket_size;
    uint8_t ticket[MR_TLS_TICKET_MAX];
};

static struct world world;

static void make_contexts(void)
{
    static const uint8_t ticket_keys[MR_TICKET_KEYS_SIZE] = {4, 5, 6};
    struct mr_certificate_options options = {.now_seconds = WALL, .library = world.library};
    struct mr_tls_server_config server = {.certificate = &world.certificate,
                                          .allows_expired = true,
                                          .library = world.library,
                                          .alpn = (const uint8_t *)"\004peer",
                                          .alpn_size = 5,
                                          .ciphers = "TLS_AES_128_GCM_SHA256",
                                          .ticket_keys = ticket_keys,
                                          .tickets = 1,
                                          .has_early_data = true};
    struct mr_tls_client_config client = {.is_insecure = true,
                                          .library = world.library,
                                          .ciphers = "TLS_AES_128_GCM_SHA256",
                                          .has_early_data = true};
    struct mr_fault fault;

    MR_ASSERT(mr_certificate_make(&world.certificate, &options, &fault) == 0);
    MR_ASSERT(mr_tls_context_server(&world.tls[MR_SERVER], &server, &fault) == 0);
    MR_ASSERT(mr_tls_context_client(&world.tls[MR_CLIENT], &client, &fault) == 0);
}

/* What the server of a ticket has, and must have again if it is to take 0-RTT. */
static void like_the_first(struct peer_options *o)
{
    static const uint32_t extensions =
        MR_EXTENSION_RESET_STREAM_AT | MR_EXTENSION_OBSERVES | MR_EXTENSION_OBSERVED;
    bool is_server = o->under_test == MR_SERVER;

    *(is_server ? &o->datagram_max : &o->partner_datagram_max) = 1200;
    *(is_server ? &o->extensions : &o->partner_extensions) |= extensions;
    o->stream_window = 0;
}

/* A first connection, for its ticket. */
static void get_ticket(void)
{
    struct peer_options options = {.under_test = MR_CLIENT,
                                   .tls = world.tls,
                                   .aead = world.aead,
                                   .is_insecure = true,
                                   .has_new_token = true,
                                   .has_resume = true};
    like_the_first(&options);
    struct peer *p = peer_new(&options);
    int64_t size = 0;

    peer_connect(p);
    for (int i = 0; i < 10 && size == 0; i++) {
        peer_round_trip(p);
        const struct mr_conn *conn = peer_conn(p);
        size = mr_conn_ticket(peer_endpoint(p), mr_conn_handle(conn), world.ticket,
                              sizeof(world.ticket), p->now);
    }
    MR_ASSERT(size > 0);
    world.ticket_size = (size_t)size;
    MR_ASSERT(peer_free(p));
}

static void prepare(void)
{
    if (world.library == NULL) {
        world.p = peer_alloc();
        world.aead = mr_aead_open(MR_AEAD_AUTO);
        world.library = mr_tls_seeded_open(TLS_SEED);
        MR_ASSERT(world.aead != NULL);
        MR_ASSERT(world.library != NULL);
        tls_memo_begin(world.library, WALL);
        make_contexts();
        get_ticket();
    }
}

/* ------------------------------------------------------------------ set-up */

static uint8_t params_at;
static uint8_t params_value;

/* A transport parameter that the partner says, and means. */
static void change_params(uint8_t *params, size_t size)
{
    if (size > 0)
        params[params_at % size] = params_value;
}

static struct peer_options choose_options(struct peer_fuzz *f, enum mr_role under_test)
{
    static const uint64_t windows[] = {0, 0, 3000, 65536};
    static const uint8_t cid_key[MR_CID_KEY] = {5, 6, 7};
    uint8_t how = peer_fuzz_take(f);
    uint8_t more = peer_fuzz_take(f);
    struct peer_options o = {.under_test = under_test,
                             .tls = world.tls,
                             .aead = world.aead,
                             .leaves_checks = true,
                             .is_insecure = true,
                             .has_ecn = how % 2 == 0,
                             .has_sleep = true,
                             .datagram_max = how % 8 < 6 ? 1200 : 0,
                             .partner_datagram_max = how % 16 < 12 ? 65535 : 0,
                             .has_new_token = how / 2 % 4 == 0,
                             .stream_window = windows[how / 64],
                             .cc = (uint8_t)(1 + more % MR_CC_KINDS),
                             .paths_max = 4,
                             .extensions = ~peer_fuzz_take(f) & MR_EXTENSIONS_ALL,
                             .partner_extensions = ~peer_fuzz_take(f) & MR_EXTENSIONS_ALL};

    if (more >= 200) {
        o.versions[0] = (uint8_t)(1 + more % 2);
        o.versions[1] = (uint8_t)(2 - more % 2);
        o.server_versions = (uint8_t)(more / 2 % 4);
    } else if (more >= 150) {
        o.ticket = world.ticket;
        o.ticket_size = world.ticket_size;
        o.is_early = true;
        o.has_resume = more % 2 == 0;
        if (more % 8 != 7)
            like_the_first(&o);
    } else if (more >= 130) {
        o.preferred =
            (struct mr_addr){.ip = {[10] = 0xff, [11] = 0xff, 198, 18, 0, 9}, .port = 444};
    } else if (more >= 120) {
        o.retry_above = PEER_ALWAYS_RETRY;
    } else if (more >= 110) {
        o.connections = 1;
        o.idle_timeout_ns = 2 * MR_SECOND;
        o.keep_alive_ns = more % 2 * MR_SECOND;
    } else if (more >= 90) {
        params_at = peer_fuzz_take(f);
        params_value = peer_fuzz_take(f);
        o.edit_params = change_params;
    } else if (more >= 60) {
        o.cid_kind = (enum mr_cid_kind)(more % 4);
        o.cid_renew_ns = more / 4 % 2 * MR_SECOND;
        o.cid_key = more % 4 == MR_CID_QUIC_LB ? cid_key : NULL;
    }
    return o;
}

/* ------------------------------------------------------------------ the tap */

/* The partner's key of a packet, to open it with; NULL: not known. */
static struct peer_key *tap_key(struct peer_fuzz *f, enum mr_packet_type type)
{
    bool is_early = type == MR_PACKET_ZERO_RTT;
    enum mr_space space = mr_packet_space(type);
    struct peer_key *seal = is_early ? &f->p->early : &f->p->seal[space];
    struct peer_key *tap = is_early ? &f->early_tap : &f->tap[space];

    if (!seal->is_set || (is_early && f->p->role == MR_CLIENT))
        return NULL;
    if (!tap->is_set)
        peer_set_key(f->p, tap, &seal->secret, false);
    return tap;
}

/* Change a packet's frames and seal it again: its size now; 0: it could not be opened. */
static size_t change_packet(struct peer_fuzz *f, const struct mr_packet_header *header,
                            uint8_t *packet, size_t room)
{
    struct peer_key *tap = tap_key(f, header->type);
    enum mr_space space = mr_packet_space(header->type);
    uint32_t path = peer_path_of(f->p->side[f->p->role].ep, header);
    uint64_t *expected = path == 0 ? &f->tap_pn[space] : &f->tap_path_pn[path % PEER_PATHS];
    struct mr_open_job job = {.packet = packet,
                              .expected_pn = *expected,
                              .path_id = path,
                              .pn_offset = header->pn_offset,
                              .size = header->size};

    if (tap == NULL)
        return 0;
    job.key = &tap->aead;
    job.hp = &tap->hp;
    mr_unmask_burst(f->p->aead, &job, 1);
    if (job.is_unmasked)
        mr_open_burst(f->p->aead, &job, 1);
    if (!job.is_unmasked || !job.is_open)
        return 0;
    *expected = MR_MAX(*expected, job.pn + 1);
    size_t size = peer_fuzz_change_frames(f, space, packet + job.header_size,
                                          (size_t)job.size - job.header_size - MR_AEAD_TAG,
                                          room - job.header_size - MR_AEAD_TAG);
    uint8_t pn_size = (uint8_t)(job.header_size - header->pn_offset);
    if (header->type != MR_PACKET_ONE_RTT) /* as we write it: two bytes of Length */
        mr_packet_set_length(packet + header->pn_offset - 2, pn_size + size + MR_AEAD_TAG);
    const struct peer_key *key =
        header->type == MR_PACKET_ZERO_RTT ? &f->p->early : &f->p->seal[space];
    struct mr_seal_job seal = {.key = &key->aead,
                               .hp = &key->hp,
                               .packet = packet,
                               .pn = job.pn,
                               .path_id = path,
                               .header_size = job.header_size,
                               .payload_size = (uint16_t)size,
                               .pn_size = pn_size};
    if (size < 4) /* too small to be protected */
        return 0;
    mr_seal_burst(f->p->aead, &seal, 1);
    return job.header_size + size + MR_AEAD_TAG;
}

/* Change the frames of some of a datagram's packets. */
static void change_datagram(struct peer_fuzz *f, struct peer_raw *raw)
{
    static uint8_t out[PEER_DATAGRAM];
    uint8_t packet[PEER_DATAGRAM];
    struct mr_packet_header header;
    size_t written = 0;

    for (size_t at = 0; at < raw->size; at += header.size) {
        enum mr_packet_verdict verdict =
            mr_packet_parse(raw->bytes + at, raw->size - at, MR_LOCAL_CID_SIZE, &header);
        bool is_protected = header.type <= MR_PACKET_HANDSHAKE || header.type == MR_PACKET_ONE_RTT;
        size_t room = sizeof(out) - written;
        size_t size = 0;

        if (verdict != MR_PACKET_OK || header.size == 0)
            header.size = (uint16_t)(raw->size - at);
        else if (is_protected && peer_fuzz_take(f) < 96 && room >= header.size) {
            memcpy(packet, raw->bytes + at, header.size);
            size = change_packet(f, &header, packet, room);
        }
        if (size == 0 && room >= header.size) {
            size = header.size;
            memcpy(packet, raw->bytes + at, size);
        }
        memcpy(out + written, packet, size);
        written += size;
    }
    memcpy(raw->bytes, out, written);
    raw->size = (uint32_t)written;
}

/* What was sent arrives at `to`; what arrives at the endpoint under test goes through the tap. */
static void deliver(struct peer_fuzz *f, enum mr_role to)
{
    struct peer *p = f->p;
    static struct peer_raw raws[MR_COUNT_OF(p->wire[0])];
    uint32_t count = p->wire_count[to];

    p->wire_count[to] = 0;
    memcpy(raws, p->wire[to], count * sizeof(raws[0]));
    for (uint32_t i = 0; i < count; i++) {
        uint8_t how = to == p->role ? peer_fuzz_take(f) : 0;

        if (how >= 240 && how < 248) /* lost */
            continue;
        if (how < f->tap_rate)
            change_datagram(f, &raws[i]);
        peer_receive(p, &p->side[to], &raws[i]);
        if (how >= 248) /* twice */
            peer_receive(p, &p->side[to], &raws[i]);
    }
}

static void go_round(struct peer_fuzz *f)
{
    struct peer *p = f->p;

    for (int i = 0; i < 2; i++)
        peer_drain_side(p, &p->side[i]);
    p->now += PEER_LATENCY;
    for (int i = 0; i < 2; i++) {
        deliver(f, (enum mr_role)i);
        mr_endpoint_expire(p->side[i].ep, p->now);
        peer_settle(p, &p->side[i]);
    }
}

/* ------------------------------------------------------------------ in the partner's place */

static void learn_frame(struct peer_fuzz *f, uint64_t type, struct mr_reader *r)
{
    struct mr_frame_new_connection_id frame;
    const uint8_t *challenge;
    uint64_t path = 0;

    if ((type == MR_FRAME_NEW_CONNECTION_ID &&
         mr_frame_decode_new_connection_id(r, type, &frame)) ||
        (type == MR_FRAME_PATH_NEW_CONNECTION_ID &&
         mr_frame_decode_path_new_connection_id(r, type, &path, &frame)))
        f->cids[f->cid_count++ % PEER_FUZZ_CIDS] =
            (struct peer_fuzz_cid){.cid = frame.cid, .path_id = (uint32_t)path};
    if (type == MR_FRAME_PATH_CHALLENGE && (challenge = mr_read_bytes(r, MR_PATH_DATA)) != NULL)
        memcpy(f->challenge, challenge, MR_PATH_DATA);
}

/* What the endpoint said, as far as frames of ours may depend on it; its state is sound. */
static void learn(struct peer_fuzz *f)
{
    struct peer_walk walk = {0};
    struct mr_reader r;
    uint64_t type;

    while (peer_next_frame(f->p, &walk, &type, &r) != NULL)
        learn_frame(f, type, &r);
    peer_clear(f->p);
    if (f->tracer != NULL)
        sim_trace_read(f->tracer);
    mr_endpoint_check(peer_endpoint(f->p));
}

/* Which packet: 1-RTT where there are keys, mostly.  False: there are none. */
static bool choose_type(struct peer_fuzz *f, enum mr_packet_type *type_out)
{
    static const enum mr_packet_type types[] = {MR_PACKET_INITIAL, MR_PACKET_HANDSHAKE,
                                                MR_PACKET_ZERO_RTT, MR_PACKET_ONE_RTT};
    uint8_t how = peer_fuzz_take(f);
    enum mr_packet_type type = how < 200 ? MR_PACKET_ONE_RTT : types[how % 4];

    for (int i = 0; i < 4; i++, type = types[(how + i) % 4]) {
        bool is_set = type == MR_PACKET_ZERO_RTT ? f->p->early.is_set && f->p->role == MR_SERVER
                                                 : f->p->seal[mr_packet_space(type)].is_set;
        if (is_set) {
            *type_out = type;
            return true;
        }
    }
    return false;
}

static uint64_t choose_pn(struct peer_fuzz *f, enum mr_space space)
{
    uint8_t how = peer_fuzz_take(f);
    uint64_t next = f->p->next_pn[space];

    if (how < 200)
        return PEER_NEXT_PN;
    if (how < 220) /* a copy of an earlier one, or late */
        return next > how % 8u ? next - 1 - how % 8 : 0;
    if (how < 250) /* a gap */
        f->p->next_pn[space] += how % 16;
    else
        return peer_fuzz_near(f, next) & INT32_MAX;
    return PEER_NEXT_PN;
}

/* By this connection ID; on its path, where there are several. */
static void send_to(struct peer_fuzz *f, const struct peer_fuzz_cid *to, struct peer_out *out)
{
    if (to->path_id > 0 && out->type != MR_PACKET_ONE_RTT)
        return;
    out->dcid = &to->cid;
    out->path_id = to->path_id;
    if (to->path_id > 0 && out->pn == PEER_NEXT_PN)
        out->pn = f->path_pn[to->path_id % PEER_FUZZ_PATHS]++;
}

/* One packet of the input. */
static bool build(struct peer_fuzz *f, struct peer_raw *raw)
{
    static uint8_t frames[PEER_DATAGRAM];
    static const uint8_t token[40] = {1, 2, 3};
    struct peer_out out = {0};

    if (!choose_type(f, &out.type))
        return false;
    enum mr_space space = mr_packet_space(out.type);
    struct mr_writer w = mr_writer(frames, 1300);
    peer_fuzz_write_frames(f, space, &w);
    mr_frame_write_padding(&w, mr_writer_size(&w) < 4 ? 4 : 0);
    uint8_t how = peer_fuzz_take(f);
    out.frames = frames;
    out.size = mr_writer_size(&w);
    out.pn = choose_pn(f, space);
    out.bits = how < 8 && peer_fuzz_take(f) >= f->tame ? (uint8_t)(1 << how) : 0;
    if (how >= 160 && f->cid_count > 0)
        send_to(f, &f->cids[how % MR_MIN(f->cid_count, (uint32_t)PEER_FUZZ_CIDS)], &out);
    if (out.type == MR_PACKET_INITIAL && how % 16 == 9) {
        out.token = token;
        out.token_size = how / 8;
    }
    *raw = (struct peer_raw){.path = f->p->path, .ecn = MR_ECN_ECT0};
    raw->size = (uint32_t)peer_build(f->p, &out, raw->bytes, sizeof(raw->bytes));
    if (out.type == MR_PACKET_INITIAL && f->p->role == MR_SERVER)
        raw->size = MR_MAX(raw->size, (uint32_t)MR_INITIAL_MIN);
    return true;
}

/* Packets that arrive together. */
static void send_burst(struct peer_fuzz *f)
{
    static struct peer_raw raws[BURST_MAX];
    uint8_t how = peer_fuzz_take(f);
    uint32_t wanted = how < 160 ? 1 : how % BURST_MAX + 1;
    uint32_t count = 0;

    while (count < wanted && build(f, &raws[count]))
        count++;
    if (count > 0)
        peer_deliver_burst(f->p, raws, count);
}

/* A datagram that is none of the others. */
static void send_odd(struct peer_fuzz *f)
{
    struct peer *p = f->p;
    struct peer_raw raw = {.path = p->path};
    uint8_t how = peer_fuzz_take(f);

    if (how < 60 && p->hello.size > 0 && p->role == MR_SERVER) {
        raw = p->hello;
        raw.path.remote.port = (uint16_t)(raw.path.remote.port + how % 4);
        if (how % 8 == 7)
            change_datagram(f, &raw);
    } else if (how < 120 && build(f, &raw)) {
        raw.bytes[peer_fuzz_take_word(f) % raw.size] ^= (uint8_t)(1 << how % 8);
    } else if (how < 160 && build(f, &raw)) {
        struct peer_raw more; /* two in one */
        if (build(f, &more) && raw.size + more.size <= sizeof(raw.bytes)) {
            memcpy(raw.bytes + raw.size, more.bytes, more.size);
            raw.size += more.size;
        }
    } else {
        raw.size = 1 + how % 64u;
        for (uint32_t i = 0; i < MR_MIN(raw.size, 24U); i++)
            raw.bytes[i] = peer_fuzz_take(f);
    }
    peer_deliver_burst(p, &raw, 1);
}

/* Where we are, and where we send to. */
static void change_address(struct peer_fuzz *f, uint8_t how)
{
    struct mr_path_addr *path = &f->p->path;

    if (how < 80)
        path->remote.port = (uint16_t)(5000 + how % 4);
    else if (how < 130)
        path->remote.ip[15] = (uint8_t)(1 + how % 4);
    else if (how < 180)
        path->local.port = (uint16_t)(f->p->role == MR_SERVER ? 443 + how % 2 : 5000 + how % 4);
    else if (how < 220)
        path->local.ip[15] = (uint8_t)(how % 10);
    else if (how < 235 && f->p->options.preferred.port != 0)
        *(f->p->role == MR_SERVER ? &path->local : &path->remote) = f->p->options.preferred;
    else
        f->p->ecn = how % 4;
}

/* Whoever rests sleeps. */
static void put_to_sleep(struct peer_fuzz *f)
{
    struct mr_endpoint *ep = peer_endpoint(f->p);
    uint32_t hand = 0;
    mr_handle conn;

    while ((conn = mr_endpoint_next_conn(ep, &hand)) != MR_HANDLE_NONE)
        (void)mr_conn_sleep(ep, conn);
}

static void pass_time(struct peer_fuzz *f)
{
    static const uint64_t times[] = {MR_US,         MR_MS,          5 * MR_MS,      26 * MR_MS,
                                     100 * MR_MS,   333 * MR_MS,    MR_SECOND,      MR_MS,
                                     3 * MR_SECOND, 15 * MR_SECOND, 61 * MR_SECOND, 30 * MR_MS};

    peer_advance(f->p, times[peer_fuzz_take(f) % MR_COUNT_OF(times)]);
    put_to_sleep(f);
}

static void step(struct peer_fuzz *f)
{
    uint8_t op = peer_fuzz_take(f);

    if (op < 150)
        send_burst(f);
    else if (op < 205)
        peer_fuzz_app(f, f->p->role);
    else if (op < 225)
        pass_time(f);
    else if (op < 235)
        send_odd(f);
    else if (op < 245)
        change_address(f, peer_fuzz_take(f));
    else if (op < 248)
        f->p->holds_jobs = !f->p->holds_jobs;
    else if (f->p->seal[MR_SPACE_APP].is_set && f->p->open[MR_SPACE_APP].is_set)
        peer_update_keys(f->p);
    if (f->is_reader)
        peer_fuzz_read_all(f);
    peer_settle(f->p, &f->p->side[f->p->role]);
    learn(f);
}

/* ------------------------------------------------------------------ a run */

/* Go on where the partner ends. */
static void take_over(struct peer_fuzz *f)
{
    struct mr_endpoint *ep = peer_endpoint(f->p);
    uint64_t next = mr_conn_at(f->p->side[!f->p->role].ep, 0)->issued_next_sequence;
    const struct mr_stream *stream;

    f->cid_next[0] = next;
    for (int i = 1; i < PEER_FUZZ_PATHS; i++) { /* behind the partner's */
        f->cid_next[i] = NEXT_CID;
        f->path_pn[i] = NEXT_PN;
    }
    for (uint32_t i = peer_conn(f->p)->stream_head; i != MR_NONE; i = stream->conn_next) {
        stream = mr_stream_at(ep, i);
        if (stream->id < PEER_FUZZ_STREAMS)
            f->offset[stream->id] = stream->flow_recv.received;
        if (stream->id < PEER_FUZZ_STREAMS && stream->recv_state != MR_RECV_RECV)
            f->ended |= UINT32_C(1) << stream->id;
    }
    peer_take_over(f->p);
}

/* Nobody does anything for a while; what comes next, or a timer, wakes it. */
static void rest(struct peer_fuzz *f)
{
    for (int i = 0; i < REST_ROUNDS; i++) {
        go_round(f);
        peer_advance(f->p, REST_NS);
    }
    put_to_sleep(f);
}

/* With the partner, until it falls silent. */
static void run_together(struct peer_fuzz *f, unsigned rounds)
{
    struct peer *p = f->p;

    peer_connect(p);
    for (unsigned i = 0; i < rounds; i++) {
        uint8_t how = peer_fuzz_take(f);

        for (int k = 0; k < how / 64; k++)
            peer_fuzz_app(f, (enum mr_role)(peer_fuzz_take(f) % 2));
        go_round(f);
        if (i == 0 && p->wire_count[MR_SERVER] > 0)
            p->hello = p->wire[MR_SERVER][0];
        learn(f);
    }
    if (peer_fuzz_take(f) < 128)
        rest(f);
    for (int i = 0; i < 2; i++)
        peer_drain_side(p, &p->side[i]);
    p->hello = p->wire_count[MR_SERVER] > 0 && rounds == 0 ? p->wire[MR_SERVER][0] : p->hello;
    if (p->side[!p->role].ep->conns.fresh > 0 && p->side[p->role].ep->conns.fresh > 0)
        take_over(f);
    p->is_alone = true;
    deliver(f, p->role); /* the last of it */
    peer_drain(p);
    learn(f);
}

/* Everything ends, whatever happened. */
static void finish(struct peer_fuzz *f)
{
    struct mr_endpoint *ep = peer_endpoint(f->p);

    f->p->holds_jobs = false;
    peer_settle(f->p, &f->p->side[f->p->role]);
    mr_endpoint_close_all(ep, 7, f->p->now);
    peer_drain(f->p);
    peer_advance(f->p, END_NS);
    MR_ASSERT(mr_endpoint_conn_count(ep) == 0);
    mr_endpoint_check(ep);
    for (int i = 0; i < MR_SPACES; i++) {
        mr_aead_key_clear(f->p->aead, &f->tap[i].aead);
        mr_hp_key_clear(f->p->aead, &f->tap[i].hp);
    }
    mr_aead_key_clear(f->p->aead, &f->early_tap.aead);
    mr_hp_key_clear(f->p->aead, &f->early_tap.hp);
    MR_ASSERT(peer_stop(f->p));
    sim_trace_free(f->tracer);
}

void peer_fuzz_run(enum mr_role under_test, const uint8_t *data, size_t size)
{
    static struct peer_fuzz f;

    prepare();
    f = (struct peer_fuzz){.input = {data, size}};
    struct peer_options options = choose_options(&f, under_test);
    static const uint8_t tap_rates[] = {0, 0, 10, 80};
    static const uint8_t tamenesses[] = {255, 255, 253, 235};
    uint8_t how = peer_fuzz_take(&f);
    uint8_t more = peer_fuzz_take(&f);

    f.tap_rate = tap_rates[more % 4];
    f.tame = tamenesses[more / 4 % 4];
    f.p = world.p;
    peer_start(f.p, &options);
    f.is_reader = how % 2 == 0;
    if (how % 8 == 5)
        f.tracer = sim_trace_new(peer_endpoint(f.p), f.p->now);
    run_together(&f, how / 8 % (ROUNDS_MAX + 1));
    for (int i = 0; i < STEPS_MAX && f.input.size > 0; i++)
        step(&f);
    finish(&f);
}
