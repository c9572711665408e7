/*
 * tests/sim/sim_main.c - run simulator seeds.
 *
 *     sim [--seeds N] [--from SEED] [--verbose]     N random worlds; TAP
 *     sim --seed SEED [--verbose]                   one, to replay a failure
 *     sim --starved ...                             the same with sides that do not always run, and
 *                                                   a network that loses nothing
 *     sim --distance                                CUBIC over 20 ms and 0.1 % loss, against
 * theory; TAP
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define DISTANCE_LOSS   0.001
#define DISTANCE_RTT_NS (20 * MR_MS)
#define DISTANCE_BYTES  UINT64_C(150000000)
#define DISTANCE_SEEDS  3

enum {
    REPEAT_EVERY = 10
}; /* seeds: each such one is run twice and compared */

static void print_config(const struct sim_config *c)
{
    printf("#   streams %u, down %" PRIu64 ", up %" PRIu64 ", datagrams %u"
           ", cc %d, ecn %d, cipher %d, backend %d, retry_above %u%s, rebind %" PRIu64
           " ms, update %" PRIu64 " ms\n",
           c->streams, c->down_bytes, c->up_bytes, c->datagrams, (int)c->cc, c->has_ecn,
           (int)c->cipher, (int)c->backend, c->retry_above, c->wants_reset ? ", resets" : "",
           c->rebind_every_ns / MR_MS, c->update_keys_every_ns / MR_MS);
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
           " datagrams, leaks %" PRIu64 ", key updates %u, rebindings %" PRIu64 "\n",
           r->bytes_down, r->bytes_up, r->bad_bytes, (double)r->duration_ns / 1e9, r->datagrams,
           r->leaks, r->key_updates, r->rebindings);
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
    if (r->bad_bytes > 0 || r->leaks > 0 || !r->is_client_closed)
        return false;
    return is_gone || (r->is_complete && r->client_error == 42);
}

/* The same seed gives the same datagrams, to the byte. */
static bool is_same_again(const struct sim_config *config, const struct sim_result *first)
{
    struct sim_result again;

    sim_run(config, &again);
    if (again.digest == first->digest && again.datagrams == first->datagrams &&
        again.duration_ns == first->duration_ns)
        return true;
    printf("#   a second run differs: %" PRIu64 " and %" PRIu64 " datagrams, digests %" PRIx64
           " and %" PRIx64 "\n",
           first->datagrams, again.datagrams, first->digest, again.digest);
    return false;
}

static bool run_seed(uint64_t seed, bool is_starved, bool is_verbose)
{
    struct sim_config config = is_starved ? sim_config_starved(seed) : sim_config_random(seed);
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

static int run_distances(void)
{
    int failed = 0;

    printf("1..%d\n", DISTANCE_SEEDS);
    for (int i = 1; i <= DISTANCE_SEEDS; i++) {
        bool ok = run_distance((uint64_t)i);

        printf("%sok %d - CUBIC gets 0.8 to 1.3 of theory over 20 ms and 0.1 %% loss, seed %d\n",
               ok ? "" : "not ", i, i);
        failed += !ok;
    }
    return failed > 0;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 100;
    uint64_t from = 1;
    bool is_verbose = false;
    bool is_starved = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--distance") == 0)
            return run_distances();
        if (strcmp(argv[i], "--verbose") == 0)
            is_verbose = true;
        else if (strcmp(argv[i], "--starved") == 0)
            is_starved = true;
        else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--from") == 0)
            from = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            from = strtoull(argv[++i], NULL, 0);
            seeds = 1;
        } else {
            fprintf(stderr,
                    "usage: %s [--starved] [--seeds N] [--from SEED] [--seed SEED] [--verbose]\n",
                    argv[0]);
            return 2;
        }
    }
    int failed = 0;
    printf("1..%" PRIu64 "\n", seeds);
    for (uint64_t i = 0; i < seeds; i++) {
        bool ok = run_seed(from + i, is_starved, is_verbose);
        printf("%sok %" PRIu64 " - seed %" PRIu64 " (replay: sim%s --seed %" PRIu64 " --verbose)\n",
               ok ? "" : "not ", i + 1, from + i, is_starved ? " --starved" : "", from + i);
        failed += !ok;
    }
    return failed > 0;
}
