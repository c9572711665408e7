/*
 * tests/sim/sim_main.c - run simulator seeds.
 *
 *     sim [--seeds N] [--from SEED] [--verbose]     N random worlds; TAP
 *     sim --seed SEED [--verbose]                   one, to replay a failure
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

enum {
    REPEAT_EVERY = 10
}; /* seeds: each such one is run twice and compared */

static void print_config(const struct sim_config *c)
{
    printf("#   streams %u, down %" PRIu64 ", up %" PRIu64
           ", cc %d, cipher %d, backend %d, retry_above %u%s, rebind %" PRIu64
           " ms, update %" PRIu64 " ms\n",
           c->streams, c->down_bytes, c->up_bytes, (int)c->cc, (int)c->cipher, (int)c->backend,
           c->retry_above, c->wants_reset ? ", resets" : "", c->rebind_every_ns / MR_MS,
           c->update_keys_every_ns / MR_MS);
    for (int i = 0; i < 2; i++) {
        const struct sim_link *l = &c->link[i];
        printf("#   %s: loss %.3f dup %.3f corrupt %.3f reorder %.3f, delay %.2f ms, jitter %.2f "
               "ms, rate %.1f Mbit/s, mtu %u\n",
               i == 0 ? "up  " : "down", l->loss, l->duplicate, l->corrupt, l->reorder,
               (double)l->delay_ns / 1e6, (double)l->jitter_ns / 1e6, (double)l->rate_bps / 1e6,
               l->mtu);
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
    bool is_gone = r->client_error == 0 && strstr(r->client_reason, "timeout") != NULL;

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

static bool run_seed(uint64_t seed, bool is_verbose)
{
    struct sim_config config = sim_config_random(seed);
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

int main(int argc, char **argv)
{
    uint64_t seeds = 100;
    uint64_t from = 1;
    bool is_verbose = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0)
            is_verbose = true;
        else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--from") == 0)
            from = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            from = strtoull(argv[++i], NULL, 0);
            seeds = 1;
        } else {
            fprintf(stderr, "usage: %s [--seeds N] [--from SEED] [--seed SEED] [--verbose]\n",
                    argv[0]);
            return 2;
        }
    }
    int failed = 0;
    printf("1..%" PRIu64 "\n", seeds);
    for (uint64_t i = 0; i < seeds; i++) {
        bool ok = run_seed(from + i, is_verbose);
        printf("%sok %" PRIu64 " - seed %" PRIu64 " (replay: sim --seed %" PRIu64 " --verbose)\n",
               ok ? "" : "not ", i + 1, from + i, from + i);
        failed += !ok;
    }
    return failed > 0;
}
