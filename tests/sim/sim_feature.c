/* tests/sim/sim_feature.c - see sim_feature.h. */
#include "tests/sim/sim_feature.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_http3.h"
#include "tests/sim/sim_move.h"

#define FAILURES_SHOWN 5 /* of a feature in a network */
#define CLOSED_CODE    42

/* Where a result has the count that proves a feature. */
#define SEEN(field)   offsetof(struct sim_result, field)
#define CLIENT(field) offsetof(struct sim_result, counters[MR_CLIENT].field)
#define SERVER(field) offsetof(struct sim_result, counters[MR_SERVER].field)

struct feature {
    const char *name;
    void (*prepare)(struct sim_config *config, struct mr_random *random);
    uint64_t (*count)(const struct sim_result *r); /* or, if NULL, */
    size_t field;                                  /* a uint64_t of struct sim_result */
    uint32_t least;                                /* of 100 runs in which it is not 0 */
    void (*run)(const struct sim_config *config, struct sim_result *result); /* NULL: sim_run() */
};

struct network {
    const char *name;
    void (*prepare)(struct sim_config *config, struct mr_random *random);
    size_t field; /* of struct sim_result: what it did */
    uint32_t least;
};

/* ------------------------------------------------------------------ networks */

static double between(struct mr_random *random, double lo, double hi)
{
    return lo + (hi - lo) * (double)mr_random_below(random, 1000) / 1000;
}

static void lose(struct sim_config *config, struct mr_random *random)
{
    config->link[0].loss = config->link[1].loss = between(random, 0.02, 0.12);
}

static void reorder(struct sim_config *config, struct mr_random *random)
{
    for (int i = 0; i < 2; i++) {
        config->link[i].reorder = between(random, 0.1, 0.5);
        config->link[i].jitter_ns = sim_draw(random, 2 * MR_MS, 40 * MR_MS);
        config->link[i].duplicate = between(random, 0, 0.1);
    }
}

/* Ports and addresses in turn, not faster than the path answers; not for ever, since a client whose
 * window is full asks less and less often. */
static void rebind(struct sim_config *config, struct mr_random *random)
{
    uint64_t round_trip = config->link[0].delay_ns + config->link[1].delay_ns +
                          config->link[0].queue_ns + config->link[1].queue_ns;

    config->rebinds_address = config->rebinds_late = true;
    config->rebinds_max = 12;
    config->rebind_every_ns = 4 * round_trip + sim_draw(random, MR_MS, 50 * MR_MS);
    config->keep_alive_ns = 2 * round_trip;
    config->up_bytes *= 4;
}

static void corrupt(struct sim_config *config, struct mr_random *random)
{
    config->link[0].corrupt = config->link[1].corrupt = between(random, 0.02, 0.12);
}

static const struct network networks[] = {
    {"loss", lose, SEEN(seen.lost), 80},
    {"reordering", reorder, SEEN(seen.reordered), 80},
    {"rebinding", rebind, SEEN(seen.rebound), 80},
    {"corruption", corrupt, SEEN(seen.corrupted), 80},
};

/* ------------------------------------------------------------------ features */

static void nothing(struct sim_config *config, struct mr_random *random)
{
    (void)config;
    (void)random;
}

static void early(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->early = SIM_EARLY_ACCEPTED;
}

static void early_refused(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->early = SIM_EARLY_REFUSED;
}

static void early_replayed(struct sim_config *config, struct mr_random *random)
{
    early(config, random);
    config->is_replayed = true;
}

static void resume(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->has_ticket = true;
}

static void retry(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->retry_above = 0;
}

static void new_token(struct sim_config *config, struct mr_random *random)
{
    resume(config, random);
    retry(config, random);
}

static uint64_t tokens_instead_of_retries(const struct sim_result *r)
{
    return r->counters[MR_SERVER].retries_sent == 0 ? r->counters[MR_SERVER].tokens_valid : 0;
}

static void version_2(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->versions[0] = 2;
}

static uint64_t in_version_2(const struct sim_result *r)
{
    return r->version == MR_VERSION_2;
}

static void compatible(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->versions[0] = 2;
    config->versions[1] = 1;
}

static void negotiate(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->versions[0] = 1;
    config->versions[1] = 2;
    config->server_versions = MR_VERSIONS_2;
}

static void migrate(struct sim_config *config, struct mr_random *random)
{
    config->migrate_every_ns = sim_draw(random, 60 * MR_MS, 200 * MR_MS);
}

static void prefer(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->has_preferred = true;
    config->down_bytes *= 4;
}

static void rebind_address(struct sim_config *config, struct mr_random *random)
{
    rebind(config, random);
    config->down_bytes *= 5;
}

static void rebind_port(struct sim_config *config, struct mr_random *random)
{
    rebind_address(config, random);
    config->rebinds_address = false;
}

/* The server alone sends, and does not know where to: a path so bad that the client's last
 * acknowledgments, from its new address, are lost.  So bad that five or six probes are lost in a
 * row now and then, each after twice the time: a minute, so idle connections live longer here. */
static void keep_alive(struct sim_config *config, struct mr_random *random)
{
    rebind_address(config, random);
    config->idle_timeout_ns *= 10;
    config->up_bytes = 0;
    for (int i = 0; i < 2; i++)
        config->link[i].loss += between(random, 0.1, 0.2);
}

static void send_datagrams(struct sim_config *config, struct mr_random *random)
{
    config->datagrams = (uint32_t)(20 + mr_random_below(random, 100));
}

static uint64_t datagrams_received(const struct sim_result *r)
{
    return r->counters[MR_CLIENT].datagram_frames_received +
           r->counters[MR_SERVER].datagram_frames_received;
}

static void abort_reset(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->aborts = SIM_RESET;
}

static void abort_stop(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->aborts = SIM_STOP;
}

static void abort_reset_at(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->aborts = SIM_RESET_AT;
}

/* Windows grow beyond what is acknowledged at once anyway, on a network that is not so bad. */
static void send_much(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->down_bytes *= 5;
    for (int i = 0; i < 2; i++) {
        struct sim_link *link = &config->link[i];

        link->rate_bps *= 4;
        link->loss /= 20;
        link->corrupt /= 20;
        link->reorder /= 50;
    }
}

/* Probes ask for an ACK at once: now and then the last packets are lost. */
static void send_much_and_lose(struct sim_config *config, struct mr_random *random)
{
    send_much(config, random);
    for (int i = 0; i < 2; i++)
        config->link[i].loss += 0.03;
}

static uint64_t immediate_acks(const struct sim_result *r)
{
    return r->counters[MR_CLIENT].immediate_acks_received +
           r->counters[MR_SERVER].immediate_acks_received;
}

static void mark(struct sim_config *config, struct mr_random *random)
{
    config->has_ecn = true;
    config->link[0].mark_ns = config->link[1].mark_ns = sim_draw(random, MR_MS, 5 * MR_MS);
}

static void prague(struct sim_config *config, struct mr_random *random)
{
    config->has_ecn = true; /* marks from half a millisecond on: Prague keeps queues that short */
    config->link[0].mark_ns = config->link[1].mark_ns = sim_draw(random, MR_MS / 2, MR_MS);
    config->cc = MR_CC_PRAGUE;
}

static uint64_t marks_under_prague(const struct sim_result *r)
{
    return r->cc == MR_CC_PRAGUE ? r->counters[MR_SERVER].ecn_ce_reported : 0;
}

static void bbr(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->cc = MR_CC_BBR;
}

static uint64_t sent_under_bbr(const struct sim_result *r)
{
    return r->cc == MR_CC_BBR ? r->counters[MR_SERVER].packets_sent : 0;
}

/* A queue so short that it overflows. */
static void cubic(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->cc = MR_CC_CUBIC;
    config->link[1].queue_ns = 10 * MR_MS;
}

static uint64_t events_under_cubic(const struct sim_result *r)
{
    return r->cc == MR_CC_CUBIC ? r->counters[MR_SERVER].congestion_events : 0;
}

static void newreno(struct sim_config *config, struct mr_random *random)
{
    cubic(config, random);
    config->cc = MR_CC_NEWRENO;
}

static uint64_t events_under_newreno(const struct sim_result *r)
{
    return r->cc == MR_CC_NEWRENO ? r->counters[MR_SERVER].congestion_events : 0;
}

static void resume_carefully(struct sim_config *config, struct mr_random *random)
{
    uint64_t rtt_ns = config->link[0].delay_ns + config->link[1].delay_ns;

    (void)random;
    config->saved = (struct mr_saved_path){.window = 200000, .rtt_us = (uint32_t)(rtt_ns / MR_US)};
    config->link[1].rate_bps = 100000000;
}

static void search_mtu(struct sim_config *config, struct mr_random *random)
{
    config->payload_max = 8952;
    config->link[0].mtu = config->link[1].mtu = (uint32_t)(1472 + mr_random_below(random, 7600));
}

static void shrink_mtu(struct sim_config *config, struct mr_random *random)
{
    config->mtu_change_ns = sim_draw(random, 60 * MR_MS, 150 * MR_MS);
    config->mtu_change = (uint32_t)(1200 + mr_random_below(random, 100));
    config->tells_too_big = mr_random_below(random, 2) == 0;
}

static uint64_t mtus_taken_back(const struct sim_result *r)
{
    return r->counters[MR_SERVER].mtu_black_holes + r->counters[MR_SERVER].too_big_taken;
}

static void restart(struct sim_config *config, struct mr_random *random)
{
    config->down_bytes *= 8;
    config->restart_bytes = sim_draw(random, 600000, 1400000);
    config->beat_every_ns = 100 * MR_MS; /* who says nothing is told nothing */
}

static void rotate_cids(struct sim_config *config, struct mr_random *random)
{
    config->cid_renew_ns = sim_draw(random, 20 * MR_MS, 60 * MR_MS);
}

static void balance(struct sim_config *config, struct mr_random *random)
{
    config->is_cid_encrypted = true;
    config->cid_config_ns = sim_draw(random, 60 * MR_MS, 100 * MR_MS);
}

static uint64_t routed_by_fresh_cids(const struct sim_result *r)
{
    return r->counters[MR_SERVER].cids_renewed > 0 ? r->seen.routed : 0;
}

static void katran(struct sim_config *config, struct mr_random *random)
{
    config->cid_kind = (enum mr_cid_kind)(MR_CID_KATRAN_1 + (uint32_t)mr_random_below(random, 3));
    rotate_cids(config, random);
}

/* A second path as bad as the first, which a NAT does not touch. */
static void use_two_paths(struct sim_config *config, struct mr_random *random)
{
    config->paths_max = 2;
    config->extensions[0] |= MR_EXTENSION_MULTIPATH;
    config->extensions[1] |= MR_EXTENSION_MULTIPATH;
    memcpy(config->paths[1].link, config->link, sizeof(config->link));
    config->paths[1].open_ns = sim_draw(random, 10 * MR_MS, 50 * MR_MS);
    config->down_bytes *= 4;
}

/* Both carried a part that probes and handshakes alone are not. */
static uint64_t bytes_on_the_lesser_path(const struct sim_result *r)
{
    uint64_t lesser = MR_MIN(r->path_bytes[0], r->path_bytes[1]);

    return lesser > 20000 ? lesser : 0;
}

/* It goes silent while it carries, be it late, as where its challenges are lost; its data is sent
 * by the other. */
static void lose_a_path(struct sim_config *config, struct mr_random *random)
{
    use_two_paths(config, random);
    config->down_bytes *= 8;
    config->paths[1].fail_ns = sim_draw(random, 200 * MR_MS, 500 * MR_MS);
    config->paths[1].fail_bytes = 100000;
}

static void abandon_a_path(struct sim_config *config, struct mr_random *random)
{
    use_two_paths(config, random);
    config->paths[1].abandon_ns = sim_draw(random, 150 * MR_MS, 300 * MR_MS);
    config->paths[1].is_server = mr_random_below(random, 2) == 0;
}

static void prioritise(struct sim_config *config, struct mr_random *random)
{
    (void)random;
    config->has_priorities = true;
    config->streams = 8;
    config->down_bytes = 30000;
    config->up_bytes = 0;
}

static uint64_t pairs_beyond_chance(const struct sim_result *r)
{
    return 4 * r->pairs_in_order > 3 * r->pairs ? r->pairs_in_order : 0;
}

static void update_keys(struct sim_config *config, struct mr_random *random)
{
    config->update_keys_every_ns = sim_draw(random, 10 * MR_MS, 100 * MR_MS);
}

static void chacha(struct sim_config *config, struct mr_random *random)
{
    config->cipher =
        mr_random_below(random, 2) == 0 ? MR_CIPHER_CHACHA20_POLY1305 : MR_CIPHER_AES_256_GCM;
}

static void starve(struct sim_config *config, struct mr_random *random)
{
    config->stall_max_ns = sim_draw(random, 5 * MR_MS, 100 * MR_MS);
    config->job_max_ns = sim_draw(random, MR_MS, 20 * MR_MS);
}

/* Long enough for a client, which does not move before it can have had tickets. */
static void move(struct sim_config *config, struct mr_random *random)
{
    config->datagrams = (uint32_t)mr_random_below(random, 64);
    config->down_bytes *= config->seed % 2 == 0 ? 4 : 24;
}

/* Streams one after the other, and a sleep between them, which a packet of the client's, or what it
 * does, ends.  A third of the runs is traced, and stays awake. */
static void rest(struct sim_config *config, struct mr_random *random)
{
    config->rest_max_ns = MR_SECOND + mr_random_below(random, 4 * MR_SECOND);
    config->up_bytes *= config->streams / 4;
}

/* The same of streams that stay open, in a connection that moves as well.  A client's, half of
 * them, stays awake under rebinding: it keeps alive what it awaits data of. */
static void move_and_rest(struct sim_config *config, struct mr_random *random)
{
    move(config, random);
    config->rest_max_ns = 3 * MR_SECOND;
    config->streams = MR_MIN(config->streams, 8u);
}

static uint64_t moved_and_woken(const struct sim_result *r)
{
    return r->moves > 0 ? r->counters[MR_SERVER].connections_woken : 0;
}

/* Requests at a time, and a tunnel. */
static void request(struct sim_config *config, struct mr_random *random)
{
    config->datagrams = (uint32_t)(20 + mr_random_below(random, 100));
}

/* Many small answers, which are on their way together with the entries that they refer to. */
static void request_often(struct sim_config *config, struct mr_random *random)
{
    request(config, random);
    config->streams *= 4;
    config->down_bytes /= 8;
}

/* HTTP/3's own streams and a tunnel's stay open, and nothing is asked for a while. */
static void request_and_rest(struct sim_config *config, struct mr_random *random)
{
    request(config, random);
    config->rest_max_ns = 4 * MR_SECOND;
}

static const struct feature features[] = {
    {"streams", nothing, NULL, SEEN(bytes_down), 100},
    {"0-rtt", early, NULL, SERVER(early_data_accepted), 90},
    {"0-rtt-refused", early_refused, NULL, CLIENT(early_data_rejected), 90},
    {"0-rtt-replayed", early_replayed, NULL, SEEN(replays_refused), 90},
    {"resumption", resume, NULL, SERVER(handshakes_resumed), 100},
    {"retry", retry, NULL, CLIENT(retries_received), 100},
    {"new-token", new_token, tokens_instead_of_retries, 0, 90},
    {"version-2", version_2, in_version_2, 0, 100},
    {"compatible-versions", compatible, NULL, SERVER(versions_changed), 100},
    {"version-negotiation", negotiate, NULL, CLIENT(version_negotiations_received), 100},
    {"client-migration", migrate, NULL, CLIENT(migrations_done), 90},
    {"preferred-address", prefer, NULL, SEEN(preferred), 50},
    {"port-rebinding", rebind_port, NULL, SERVER(rebindings), 90},
    {"address-rebinding", rebind_address, NULL, SERVER(migrations), 90},
    {"keep-alive", keep_alive, NULL, CLIENT(keep_alive_pings), 90},
    {"datagrams", send_datagrams, datagrams_received, 0, 100},
    {"reset-stream", abort_reset, NULL, SERVER(streams_reset_received), 90},
    {"stop-sending", abort_stop, NULL, SEEN(stops), 90},
    {"reset-stream-at", abort_reset_at, NULL, SEEN(reliable_resets), 90},
    {"ack-frequency", send_much, NULL, CLIENT(ack_frequency_received), 40},
    {"immediate-ack", send_much_and_lose, immediate_acks, 0, 5},
    {"quic-bit", nothing, NULL, SEEN(seen.greased), 90},
    {"spin-bit", nothing, NULL, SEEN(seen.spins), 80},
    {"observed-address", nothing, NULL, CLIENT(observed_addresses_received), 90},
    {"ecn", mark, NULL, SERVER(ecn_ce_reported), 80},
    {"prague", prague, marks_under_prague, 0, 80},
    {"bbr", bbr, sent_under_bbr, 0, 95},
    {"cubic", cubic, events_under_cubic, 0, 90},
    {"newreno", newreno, events_under_newreno, 0, 90},
    {"careful-resume", resume_carefully, NULL, SERVER(resumes_begun), 10},
    {"mtu-search", search_mtu, NULL, SERVER(mtu_raised), 50},
    {"mtu-fall", shrink_mtu, mtus_taken_back, 0, 50},
    {"stateless-reset", restart, NULL, CLIENT(stateless_resets_received), 100},
    {"cid-rotation", rotate_cids, NULL, SERVER(cids_renewed), 90},
    {"load-balancer-cids", balance, routed_by_fresh_cids, 0, 80},
    {"katran-cids", katran, routed_by_fresh_cids, 0, 80},
    {"multipath", use_two_paths, bytes_on_the_lesser_path, 0, 80},
    {"multipath-silence", lose_a_path, NULL, SERVER(paths_silent), 80},
    {"multipath-abandon", abandon_a_path, NULL, SERVER(paths_forgotten), 80},
    {"priorities", prioritise, pairs_beyond_chance, 0, 60},
    {"key-update", update_keys, NULL, SEEN(key_updates), 90},
    {"other-ciphers", chacha, NULL, SEEN(bytes_down), 100},
    {"sleep", rest, NULL, SERVER(connections_woken), 60},
    {"sleep-client", rest, NULL, CLIENT(connections_woken), 60},
    {"moves", move, NULL, SEEN(moves), 95, sim_move_run},
    {"moves-asleep", move_and_rest, moved_and_woken, 0, 40, sim_move_run},
    {"http3-priorities", request, NULL, SEEN(http3.priority_updates), 95, sim_http3_run},
    {"http3-connect", request, NULL, SEEN(http3.tunnels), 100, sim_http3_run},
    {"http3-datagrams", request, NULL, SEEN(http3.datagrams), 95, sim_http3_run},
    {"http3-qpack-table", request_often, NULL, SEEN(http3.inserted), 95, sim_http3_run},
    {"http3-qpack-blocked", request_often, NULL, SEEN(http3.blocked), 20, sim_http3_run},
    {"http3-sleep", request_and_rest, NULL, SERVER(connections_woken), 40, sim_http3_run},
    {"stalls", starve, NULL, SEEN(bytes_down), 100},
};

/* ------------------------------------------------------------------ runs */

/* 4 to 8 streams over 20 ms and 20 Mbit/s, both ways: ten round trips and more. */
static struct sim_config make_config(const struct feature *feature, const struct network *network,
                                     uint64_t seed)
{
    struct sim_config config = sim_config_default(seed);
    struct mr_random random;

    mr_random_init_number(&random, seed);
    for (int i = 0; i < 2; i++) {
        config.link[i].delay_ns = 5 * MR_MS + mr_random_below(&random, 10 * MR_MS);
        config.link[i].rate_bps = 8000000 + mr_random_below(&random, 8000000);
        config.link[i].queue_ns = 20 * MR_MS;
    }
    config.streams = 4 + (uint32_t)mr_random_below(&random, 5);
    config.down_bytes = 200000 / config.streams;
    config.up_bytes = 60000 / config.streams;
    network->prepare(&config, &random);
    feature->prepare(&config, &random);
    return config;
}

static uint64_t field_of(const struct sim_result *r, size_t offset)
{
    uint64_t value;

    memcpy(&value, (const uint8_t *)r + offset, sizeof(value));
    return value;
}

/* Nothing protects Version Negotiation (RFC 9000, Section 12.1): an altered one may end it all.
 */
static bool is_misled(const struct sim_config *config, const struct sim_result *r)
{
    return config->server_versions != 0 && r->seen.corrupted > 0 && r->bytes_down == 0 &&
           strstr(r->client_reason, "speaks no version") != NULL;
}

/* Who meets a server that forgot it is told so; everybody else gets everything. */
static bool is_right(const struct feature *feature, const struct sim_config *config,
                     const struct sim_result *r)
{
    uint64_t closed_code = feature->run == sim_http3_run ? MR_H3_NO_ERROR : CLOSED_CODE;

    if (r->bad_bytes > 0 || r->leaks > 0 || !r->is_client_closed)
        return false;
    if (config->restart_bytes > 0)
        return strstr(r->client_reason, "stateless reset") != NULL;
    if (is_misled(config, r))
        return true;
    return r->is_complete && r->is_server_closed && r->client_error == closed_code;
}

static void print_run(const struct feature *feature, const struct network *network, uint64_t seed,
                      bool is_ok, const struct sim_result *r)
{
    printf("# %s: sim --feature %s --network %s --seed %" PRIu64 "\n", is_ok ? "right" : "wrong",
           feature->name, network->name, seed);
    printf("#   complete %d, bad %" PRIu64 ", leaks %" PRIu64 ", client %d %" PRIu64
           " '%s', server %d %" PRIu64 " '%s', %.3f s, %" PRIu64 " datagrams\n",
           r->is_complete, r->bad_bytes, r->leaks, r->is_client_closed, r->client_error,
           r->client_reason, r->is_server_closed, r->server_error, r->server_reason,
           (double)r->duration_ns * 1e-9, r->datagrams);
}

static void print_counters(const struct sim_result *r)
{
    for (size_t i = 0; i < MR_COUNTERS; i++) {
        uint64_t client = mr_counter_value(&r->counters[MR_CLIENT], i);
        uint64_t server = mr_counter_value(&r->counters[MR_SERVER], i);

        if (client + server > 0)
            printf("#     %-32s %12" PRIu64 " %12" PRIu64 "\n", mr_counter_name(i), client, server);
    }
}

/* What many runs gave. */
struct tally {
    uint64_t runs;
    uint64_t wrong;
    uint64_t happened; /* runs in which the feature did */
    uint64_t count;
    uint64_t disturbed; /* runs in which the network did something */
};

static void run_one(const struct feature *feature, const struct network *network, uint64_t seed,
                    bool is_verbose, struct tally *tally)
{
    struct sim_config config = make_config(feature, network, seed);
    struct sim_result r;

    (feature->run != NULL ? feature->run : sim_run)(&config, &r);
    uint64_t count = feature->count != NULL ? feature->count(&r) : field_of(&r, feature->field);
    bool is_ok = is_right(feature, &config, &r);

    tally->runs++;
    tally->wrong += !is_ok;
    tally->happened += count > 0;
    tally->count += count;
    tally->disturbed += field_of(&r, network->field) > 0;
    if (is_verbose || (!is_ok && tally->wrong <= FAILURES_SHOWN))
        print_run(feature, network, seed, is_ok, &r);
    if (is_verbose)
        print_counters(&r);
    fflush(stdout);
}

/* A few seeds may all miss what most do not; then once is enough. */
static bool is_enough(uint64_t happened, uint64_t runs, uint32_t least)
{
    return runs < 100 ? happened > 0 || (least < 90 && runs < 10) : happened * 100 >= runs * least;
}

static bool run_pair(const struct feature *feature, const struct network *network,
                     const struct sim_feature_options *options, struct tally *tally)
{
    for (uint64_t i = 0; i < options->seeds; i++)
        run_one(feature, network, options->from + i, options->is_verbose, tally);
    return tally->wrong == 0 && is_enough(tally->happened, tally->runs, feature->least) &&
           is_enough(tally->disturbed, tally->runs, network->least);
}

static bool is_wanted(const char *wish, const char *name)
{
    return wish == NULL || strcmp(wish, "all") == 0 || strcmp(wish, name) == 0;
}

static void print_table(struct tally tallies[][MR_COUNT_OF(networks)])
{
    printf("# of runs: wrong, and those in which the feature happened\n# %-20s", "feature");
    for (size_t n = 0; n < MR_COUNT_OF(networks); n++)
        printf(" | %-20s", networks[n].name);
    printf("\n");
    for (size_t f = 0; f < MR_COUNT_OF(features); f++) {
        uint64_t runs = 0;

        for (size_t n = 0; n < MR_COUNT_OF(networks); n++)
            runs += tallies[f][n].runs;
        if (runs == 0)
            continue;
        printf("# %-20s", features[f].name);
        for (size_t n = 0; n < MR_COUNT_OF(networks); n++)
            printf(" | %4" PRIu64 " %4" PRIu64 " %10" PRIu64, tallies[f][n].wrong,
                   tallies[f][n].happened, tallies[f][n].count);
        printf("\n");
    }
}

int sim_features_run(const struct sim_feature_options *options)
{
    static struct tally tallies[MR_COUNT_OF(features)][MR_COUNT_OF(networks)];
    uint32_t number = 0;
    int failed = 0;

    for (size_t f = 0; f < MR_COUNT_OF(features); f++) {
        for (size_t n = 0; n < MR_COUNT_OF(networks); n++) {
            struct tally *tally = &tallies[f][n];

            if (!is_wanted(options->feature, features[f].name) ||
                !is_wanted(options->network, networks[n].name))
                continue;
            bool ok = run_pair(&features[f], &networks[n], options, tally);
            printf("%sok %u - %s under %s: %" PRIu64 " of %" PRIu64
                   " runs wrong, happened in %" PRIu64 " (%" PRIu64 " times), network in %" PRIu64
                   "\n",
                   ok ? "" : "not ", ++number, features[f].name, networks[n].name, tally->wrong,
                   tally->runs, tally->happened, tally->count, tally->disturbed);
            fflush(stdout);
            failed += !ok;
        }
    }
    print_table(tallies);
    printf("1..%u\n", number);
    return number == 0 ? -1 : failed;
}

void sim_features_list(FILE *to)
{
    fprintf(to, "sim: no feature or network of that name; features: all");
    for (size_t i = 0; i < MR_COUNT_OF(features); i++)
        fprintf(to, ", %s", features[i].name);
    fprintf(to, "; networks:");
    for (size_t i = 0; i < MR_COUNT_OF(networks); i++)
        fprintf(to, "%s %s", i > 0 ? "," : "", networks[i].name);
    fprintf(to, "\n");
}
