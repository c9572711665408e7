/*
 * tests/sim/sim_main.c - run simulator seeds.
 *
 *     sim [--seeds N] [--from SEED] [--verbose]     N random worlds; TAP
 *     sim --seed SEED [--verbose]                   one, to replay a failure
 *     sim --starved ...                             the same with sides that do not always run, and
 *                                                   a network that loses nothing
 *     sim --multipath ...                           the same with several paths, which fail and are
 *                                                   abandoned
 *     sim --paths                                   what two paths are worth, and how soon one that
 *                                                   fails is left; TAP
 *     sim [--quick] --bottleneck                    what controllers make of a link's rate, or of
 *                                                   the slower links'; TAP
 *     sim --mtu                                     paths whose MTU is odd, or changes; TAP
 *     sim --feature NAME|all [--network NAME] ...   a feature in bad networks, N seeds each; TAP
 *     sim [--quick] --distance                      CUBIC over 20 ms and 0.1 % loss, against
 *                                                   theory, with three seeds or one; TAP
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"
#include "tests/sim/sim_feature.h"
#include "tests/sim/sim_paths.h"

#define DISTANCE_LOSS   0.001
#define DISTANCE_RTT_NS (20 * MR_MS)
#define DISTANCE_BYTES  UINT64_C(150000000)
#define DISTANCE_SEEDS  3
#define QUICK_RATE_BPS  50000000 /* what a simulated second costs grows with it */
#define REORDER_NS      (4 * MR_MS)
#define RESUME_RTT_NS   (200 * MR_MS)
#define RESUME_BYTES    1000000

enum {
    REPEAT_EVERY = 10
}; /* seeds: each such one is run twice and compared */

static void print_config(const struct sim_config *c)
{
    printf("#   streams %u, down %" PRIu64 ", up %" PRIu64 ", datagrams %u"
           ", cc %d, ecn %d, cipher %d, backend %d, retry_above %u%s, rebind %" PRIu64
           " ms%s, migrate %" PRIu64 " ms%s, update %" PRIu64 " ms\n",
           c->streams, c->down_bytes, c->up_bytes, c->datagrams, (int)c->cc, c->has_ecn,
           (int)c->cipher, (int)c->backend, c->retry_above, c->aborts != 0 ? ", resets" : "",
           c->rebind_every_ns / MR_MS, c->rebinds_address ? " of addresses, too" : "",
           c->migrate_every_ns / MR_MS, c->has_preferred ? ", preferred address" : "",
           c->update_keys_every_ns / MR_MS);
    for (int i = 0; i < 2; i++) {
        const struct sim_link *l = &c->link[i];
        printf("#   %s: loss %.3f dup %.3f corrupt %.3f reorder %.3f, delay %.2f ms, jitter %.2f "
               "ms, rate %.1f Mbit/s, mark %.1f ms, ecn %d, mtu %u\n",
               i == 0 ? "up  " : "down", l->loss, l->duplicate, l->corrupt, l->reorder,
               (double)l->delay_ns / 1e6, (double)l->jitter_ns / 1e6, (double)l->rate_bps / 1e6,
               (double)l->mark_ns / 1e6, (int)l->ecn, l->mtu);
    }
}

static void print_result(const struct sim_result *r)
{
    printf("#   complete %d, client closed %d error %" PRIu64
           " '%s', server closed %d error %" PRIu64 " '%s'\n",
           r->is_complete, r->is_client_closed, r->client_error, r->client_reason,
           r->is_server_closed, r->server_error, r->server_reason);
    printf("#   down %" PRIu64 " up %" PRIu64 " bad %" PRIu64 ", %.3f s, %" PRIu64
           " datagrams, leaks %" PRIu64 ", key updates %" PRIu64 ", rebindings %" PRIu64
           ", migrations %" PRIu64 ", the client's own %" PRIu64 "\n",
           r->bytes_down, r->bytes_up, r->bad_bytes, (double)r->duration_ns / 1e9, r->datagrams,
           r->leaks, r->key_updates, r->rebindings, r->migrations, r->migrations_done);
}

static void print_counters(const struct sim_result *r)
{
    for (size_t i = 0; i < MR_COUNTERS; i++) {
        uint64_t a = mr_counter_value(&r->counters[0], i);
        uint64_t b = mr_counter_value(&r->counters[1], i);
        if (a + b > 0)
            printf("#     %-32s %12" PRIu64 " %12" PRIu64 "\n", mr_counter_name(i), a, b);
    }
}

/* A run is right if every byte came, both sides closed as they should, and everything was given
 * back. */
static bool is_right(const struct sim_config *config, const struct sim_result *r)
{
    bool is_gone = config->stall_max_ns == 0 && r->client_error == 0 &&
                   strstr(r->client_reason, "timeout") != NULL;

    /* A Retry token is bound to the address that a NAT may change meanwhile. */
    if (r->client_error == MR_INVALID_TOKEN && config->rebind_every_ns > 0 &&
        config->retry_above == 0)
        is_gone = true;
    /* And valid for less time than a pause takes. */
    if (r->client_error == MR_INVALID_TOKEN && config->pause_ns > 0 &&
        r->counters[MR_SERVER].tokens_expired > 0)
        is_gone = true;
    if (r->bad_bytes > 0 || r->leaks > 0 || !r->is_client_closed)
        return false;
    return is_gone || (r->is_complete && r->client_error == 42);
}

/* The same seed gives the same datagrams, to the byte; but a ticket's age is the real clock's. */
static bool is_same_again(const struct sim_config *config, const struct sim_result *first)
{
    struct sim_result again;

    sim_run(config, &again);
    bool is_same = config->early != SIM_EARLY_NONE || again.digest == first->digest;
    if (is_same && again.datagrams == first->datagrams && again.duration_ns == first->duration_ns)
        return true;
    printf("#   a second run differs: %" PRIu64 " and %" PRIu64 " datagrams, digests %" PRIx64
           " and %" PRIx64 "\n",
           first->datagrams, again.datagrams, first->digest, again.digest);
    return false;
}

static bool run_seed(uint64_t seed, struct sim_config (*make)(uint64_t seed), bool is_verbose)
{
    struct sim_config config = make(seed);
    struct sim_result result;

    if (is_verbose)
        print_config(&config);
    fflush(stdout);
    sim_run(&config, &result);
    if (seed % REPEAT_EVERY == 0 && !is_same_again(&config, &result))
        return false;
    bool ok = is_right(&config, &result);
    if (is_verbose || !ok) {
        if (!is_verbose)
            print_config(&config);
        print_result(&result);
    }
    if (is_verbose)
        print_counters(&result);
    return ok;
}

/*
 * What CUBIC gets by theory (RFC 9438, Section 5.1: AVG_W; and the Reno model) in segments of one
 * window: the larger of the two.
 */
static double theory_segments(double loss, double rtt_s)
{
    double cubic = 1.054 * pow(rtt_s, 0.75) / pow(loss, 0.75);
    double reno = sqrt(1.5 / loss);

    return cubic > reno ? cubic : reno;
}

static struct sim_config distance_config(uint64_t seed, uint64_t bytes)
{
    struct sim_config config = sim_config_default(seed);

    config.link[1].loss = DISTANCE_LOSS;
    config.link[0].delay_ns = config.link[1].delay_ns = DISTANCE_RTT_NS / 2;
    config.down_bytes = bytes;
    return config;
}

/* The same world twice, once for longer: the difference is the steady state, without slow start. */
static bool run_distance(uint64_t seed)
{
    struct sim_config config[2] = {distance_config(seed, DISTANCE_BYTES),
                                   distance_config(seed, 4 * DISTANCE_BYTES)};
    struct sim_result r[2];

    for (int i = 0; i < 2; i++)
        sim_run(&config[i], &r[i]);
    double seconds = (double)(r[1].duration_ns - r[0].duration_ns) * 1e-9;
    double bps = (double)(r[1].bytes_down - r[0].bytes_down) * 8 / seconds;
    double rtt_s = (double)DISTANCE_RTT_NS * 1e-9;
    double theory = theory_segments(DISTANCE_LOSS, rtt_s) * 1411 * 8 / rtt_s;
    uint64_t losses = r[0].counters[MR_SERVER].packets_lost;

    printf("# seed %" PRIu64 ": %.2f Mbit/s, theory %.2f, ratio %.3f, after %" PRIu64 " losses\n",
           seed, bps * 1e-6, theory * 1e-6, bps / theory, losses);
    return r[0].is_complete && r[1].is_complete && losses >= 50 && bps > 0.8 * theory &&
           bps < 1.3 * theory;
}

/* What a controller makes of a bottleneck that loses some packets at random. */
struct bottleneck {
    enum mr_cc_kind cc;
    uint64_t rtt_ns;
    uint64_t rate_bps;
    double loss;
    double least;        /* of rate x (1 - loss) */
    uint64_t mark_ns;    /* packets that wait longer get CE; 0: none */
    uint64_t losses_max; /* packets; 0: any number */
    double reorder;      /* of the packets are late by up to REORDER_NS */
    bool is_classic;     /* so it is taken for a classic queue */
};

static const struct bottleneck bottlenecks[] = {
    {MR_CC_BBR, 20 * MR_MS, 50000000, 0, 0.9, 0, 0},
    {MR_CC_BBR, 200 * MR_MS, 50000000, 0, 0.9, 0, 0},
    {MR_CC_BBR, 20 * MR_MS, 50000000, 0.001, 0.9, 0, 0},
    {MR_CC_BBR, 200 * MR_MS, 50000000, 0.001, 0.9, 0, 0},
    {MR_CC_BBR, 20 * MR_MS, 50000000, 0.01, 0.9, 0, 0},
    {MR_CC_BBR, 200 * MR_MS, 50000000, 0.01, 0.9, 0, 0},
    {MR_CC_BBR, 20 * MR_MS, 200000000, 0.01, 0.9, 0, 0},
    {MR_CC_CUBIC, 20 * MR_MS, 50000000, 0, 0.9, 0, 0},
    {MR_CC_PRAGUE, 20 * MR_MS, 50000000, 0, 0.9, MR_MS, 10},
    {MR_CC_PRAGUE, 5 * MR_MS, 200000000, 0, 0.9, MR_MS, 10},
    {MR_CC_PRAGUE, 50 * MR_MS, 50000000, 0, 0.95, MR_MS, 10},
    /* Slow start ends at the path's rate, with half of it: what grows by a packet per round trip.
     */
    {MR_CC_PRAGUE, 100 * MR_MS, 50000000, 0, 0.8, MR_MS, 10},
    {MR_CC_PRAGUE, 20 * MR_MS, 50000000, 0, 0.8, 10 * MR_MS, 100, .is_classic = true},
    {MR_CC_PRAGUE, 50 * MR_MS, 50000000, 0, 0.8, 15 * MR_MS, 100, .is_classic = true},
    {MR_CC_CUBIC, 20 * MR_MS, 50000000, 0, 0.8, 10 * MR_MS, 100},
    {MR_CC_BBR, 20 * MR_MS, 50000000, 0, 0.8, 10 * MR_MS, 100},
    /* Undo, or each of these would be a loss: theory has 8 Mbit/s for it. */
    {MR_CC_CUBIC, 20 * MR_MS, 50000000, 0, 0.9, 0, 0, 0.01},
    {MR_CC_NEWRENO, 20 * MR_MS, 50000000, 0, 0.9, 0, 0, 0.01},
    {MR_CC_BBR, 20 * MR_MS, 50000000, 0, 0.9, 0, 0, 0.01},
};

/* Goodput from 30 round trips on, of what the bottleneck lets through: the difference of two runs.
 */
static bool run_bottleneck(const struct bottleneck *b, uint64_t seed)
{
    struct sim_config config[2];
    struct sim_result r[2];
    double good = (double)b->rate_bps * (1 - b->loss) * 1411 / 1480; /* of IP packets */

    for (int i = 0; i < 2; i++) {
        double seconds = 30e-9 * (double)b->rtt_ns + (i == 0 ? 0 : 12);

        config[i] = sim_config_default(seed);
        config[i].cc = b->cc;
        for (int k = 0; k < 2; k++) {
            config[i].link[k].delay_ns = b->rtt_ns / 2;
            config[i].link[k].queue_ns = b->rtt_ns;
        }
        config[i].link[1].loss = b->loss;
        config[i].link[1].rate_bps = b->rate_bps;
        config[i].link[1].mark_ns = b->mark_ns;
        config[i].link[1].reorder = b->reorder;
        config[i].link[1].jitter_ns = REORDER_NS;
        config[i].has_ecn = b->mark_ns > 0;
        config[i].down_bytes = (uint64_t)(good / 8 * seconds);
        sim_run(&config[i], &r[i]);
    }
    const struct mr_counters *server = &r[1].counters[MR_SERVER];
    double bps = (double)(r[1].bytes_down - r[0].bytes_down) * 8e9 /
                 (double)(r[1].duration_ns - r[0].duration_ns);
    printf("# seed %" PRIu64 ": %.2f of %.2f Mbit/s, ratio %.3f, first %.2f s, %" PRIu64
           " losses, %" PRIu64 " of them spurious, %" PRIu64 " of %" PRIu64 " reductions undone\n",
           seed, bps * 1e-6, good * 1e-6, bps / good, (double)r[0].duration_ns * 1e-9,
           server->packets_lost, server->packets_lost_spurious, server->congestion_undone,
           server->congestion_events);
    if ((b->reorder > 0) != (server->congestion_undone > 0) ||
        b->is_classic != r[1].is_classic[MR_SERVER])
        return false;
    return r[0].is_complete && r[1].is_complete && bps >= b->least * good &&
           (b->losses_max == 0 || server->packets_lost <= b->losses_max);
}

static bool is_left_out(const struct bottleneck *b, bool is_quick)
{
    return is_quick && b->rate_bps > QUICK_RATE_BPS;
}

static int run_bottlenecks(bool is_quick)
{
    static const char *const names[] = {[MR_CC_CUBIC] = "CUBIC",
                                        [MR_CC_NEWRENO] = "NewReno",
                                        [MR_CC_PRAGUE] = "Prague",
                                        [MR_CC_BBR] = "BBR"};
    int failed = 0;
    int count = 0;

    for (size_t i = 0; i < MR_COUNT_OF(bottlenecks); i++) {
        const struct bottleneck *b = &bottlenecks[i];

        if (is_left_out(b, is_quick))
            continue;
        bool ok = run_bottleneck(b, i + 1);
        printf("%sok %d - %s gets %.2f of %" PRIu64 " Mbit/s with %.1f %% loss over %" PRIu64
               " ms%s\n",
               ok ? "" : "not ", ++count, names[b->cc], b->least, b->rate_bps / 1000000,
               100 * b->loss, b->rtt_ns / MR_MS, b->reorder > 0 ? ", reordered" : "");
        fflush(stdout);
        failed += !ok;
    }
    printf("1..%d\n", count);
    return failed > 0;
}

/* What becomes of a transfer whose path is not what it was. */
struct mtu_case {
    const char *name;
    uint32_t payload_max;
    uint32_t mtu;
    uint32_t change; /* in the middle; 0: it stays */
    bool tells;
    uint32_t least; /* the server's MTU at last; */
    uint32_t most;
    double seconds; /* may it take */
};

static const struct mtu_case mtu_cases[] = {
    {"jumbo frames are found", 8952, 9000, 0, false, 8952, 8952, 2.5},
    {"a size between is found within a part in 32", 8952, 5000, 0, false, 4850, 5000, 3},
    {"Ethernet is found behind jumbo ends", 8952, 1500, 0, false, 1472, 1472, 3},
    {"a fall to 1300 is survived in silence", 1452, 1472, 1300, false, 1280, 1300, 5},
    {"a fall to 1300 that is told is found at once", 1452, 1472, 1300, true, 1300, 1300, 3},
    {"a fall from jumbo frames to 1300 is survived", 8952, 9000, 1300, false, 1280, 1300, 5},
    {"a fall to the least is survived", 1452, 1472, 1200, false, 1200, 1200, 5},
};

/* 20 MB at 100 Mbit/s over 20 ms; the path changes after 0.4 s of 1.7. */
static bool run_mtu(const struct mtu_case *c, uint64_t seed)
{
    struct sim_config config = sim_config_default(seed);
    struct sim_result r;

    config.payload_max = c->payload_max;
    for (int i = 0; i < 2; i++) {
        config.link[i].mtu = c->mtu;
        config.link[i].rate_bps = 100000000;
        config.link[i].queue_ns = 50 * MR_MS;
    }
    config.mtu_change_ns = c->change > 0 ? 400 * MR_MS : 0;
    config.mtu_change = c->change;
    config.tells_too_big = c->tells;
    config.down_bytes = 20000000;
    sim_run(&config, &r);
    const struct mr_counters *server = &r.counters[MR_SERVER];
    double seconds = (double)(r.duration_ns - MR_SECOND) * 1e-9;

    printf("# %.2f s, MTU %u, raised %" PRIu64 ", black holes %" PRIu64 ", told %" PRIu64 "\n",
           seconds, r.mtu[MR_SERVER], server->mtu_raised, server->mtu_black_holes,
           server->too_big_taken);
    return r.is_complete && r.bad_bytes == 0 && r.mtu[MR_SERVER] >= c->least &&
           r.mtu[MR_SERVER] <= c->most && seconds < c->seconds &&
           (server->too_big_taken > 0) == c->tells &&
           (server->mtu_black_holes > 0) == (c->change > 0 && !c->tells);
}

static int run_mtus(void)
{
    int failed = 0;

    printf("1..%zu\n", MR_COUNT_OF(mtu_cases));
    for (size_t i = 0; i < MR_COUNT_OF(mtu_cases); i++) {
        bool ok = run_mtu(&mtu_cases[i], i + 1);

        printf("%sok %zu - %s\n", ok ? "" : "not ", i + 1, mtu_cases[i].name);
        failed += !ok;
    }
    return failed > 0;
}

/* A megabyte over 200 ms, from the request on, without and with what an earlier connection knew. */
static bool run_resume(enum mr_cc_kind cc, enum mr_role sender)
{
    struct sim_result r[2];

    for (int i = 0; i < 2; i++) {
        struct sim_config config = sim_config_default(1);

        config.cc = cc;
        config.link[0].delay_ns = config.link[1].delay_ns = RESUME_RTT_NS / 2;
        if (sender == MR_SERVER)
            config.down_bytes = RESUME_BYTES;
        else
            config.up_bytes = RESUME_BYTES;
        if (i == 1)
            config.saved = (struct mr_saved_path){.window = RESUME_BYTES,
                                                  .rtt_us = (uint32_t)(RESUME_RTT_NS / MR_US)};
        sim_run(&config, &r[i]);
    }
    double trips[2] = {(double)r[0].transfer_ns / (double)RESUME_RTT_NS,
                       (double)r[1].transfer_ns / (double)RESUME_RTT_NS};
    printf("# %.2f round trips, resumed %.2f, %" PRIu64 " jump\n", trips[0], trips[1],
           r[1].counters[sender].resumes_begun);
    return r[0].is_complete && r[1].is_complete && trips[1] + 1.5 <= trips[0] &&
           r[0].counters[sender].resumes_begun == 0 && r[1].counters[sender].resumes_begun == 1 &&
           r[1].counters[sender].resumes_validated == 1;
}

static int run_distances(bool is_quick)
{
    int failed = 0;
    int seeds = is_quick ? 1 : DISTANCE_SEEDS;

    printf("1..%d\n", seeds + 4);
    for (int i = 1; i <= seeds; i++) {
        bool ok = run_distance((uint64_t)i);

        printf("%sok %d - CUBIC gets 0.8 to 1.3 of theory over 20 ms and 0.1 %% loss, seed %d\n",
               ok ? "" : "not ", i, i);
        failed += !ok;
    }
    for (int i = 0; i < 4; i++) {
        bool ok =
            run_resume(i % 2 == 0 ? MR_CC_CUBIC : MR_CC_NEWRENO, i < 2 ? MR_SERVER : MR_CLIENT);

        printf("%sok %d - a resumed megabyte %s takes 1.5 round trips less, %s\n", ok ? "" : "not ",
               seeds + 1 + i, i < 2 ? "down" : "up", i % 2 == 0 ? "CUBIC" : "NewReno");
        failed += !ok;
    }
    return failed > 0;
}

/* Of an option; what is none, or 0, ends the program. */
static uint64_t number_of(const char *option, const char *text)
{
    char *end;
    uint64_t number = strtoull(text, &end, 0);

    if (number == 0 || *end != '\0' || *text == '-') {
        fprintf(stderr, "sim: %s %s: not a number of 1 or more\n", option, text);
        exit(2);
    }
    return number;
}

static int run_features(const struct sim_feature_options *options)
{
    int failed = sim_features_run(options);

    if (failed < 0)
        sim_features_list(stderr);
    return failed < 0 ? 2 : failed > 0;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 100;
    uint64_t from = 1;
    bool is_verbose = false;
    bool is_quick = false;
    struct sim_config (*make)(uint64_t seed) = sim_config_random;
    const char *kind = "";
    const char *feature = NULL;
    const char *network = NULL;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--distance") == 0)
            return run_distances(is_quick);
        if (strcmp(argv[i], "--paths") == 0)
            return sim_paths_measure();
        if (strcmp(argv[i], "--mtu") == 0)
            return run_mtus();
        if (strcmp(argv[i], "--bottleneck") == 0)
            return run_bottlenecks(is_quick);
        if (strcmp(argv[i], "--quick") == 0)
            is_quick = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            is_verbose = true;
        else if (strcmp(argv[i], "--starved") == 0) {
            make = sim_config_starved;
            kind = " --starved";
        } else if (strcmp(argv[i], "--multipath") == 0) {
            make = sim_config_multipath;
            kind = " --multipath";
        } else if (i + 1 < argc && strcmp(argv[i], "--feature") == 0)
            feature = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--network") == 0)
            network = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0)
            seeds = number_of(argv[i], argv[i + 1]), i++;
        else if (i + 1 < argc && strcmp(argv[i], "--from") == 0)
            from = number_of(argv[i], argv[i + 1]), i++;
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            from = number_of(argv[i], argv[i + 1]), i++;
            seeds = 1;
        } else {
            fprintf(stderr,
                    "usage: %s [--starved | --multipath | --feature NAME [--network NAME]] "
                    "[--seeds N] [--from "
                    "SEED] [--seed SEED] [--verbose]\n",
                    argv[0]);
            return 2;
        }
    }
    if (feature != NULL)
        return run_features(
            &(struct sim_feature_options){feature, network, from, seeds, is_verbose});
    int failed = 0;
    printf("1..%" PRIu64 "\n", seeds);
    for (uint64_t i = 0; i < seeds; i++) {
        bool ok = run_seed(from + i, make, is_verbose);
        printf("%sok %" PRIu64 " - seed %" PRIu64 " (replay: sim%s --seed %" PRIu64 " --verbose)\n",
               ok ? "" : "not ", i + 1, from + i, kind, from + i);
        failed += !ok;
    }
    return failed > 0;
}
