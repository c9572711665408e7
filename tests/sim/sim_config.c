/* tests/sim/sim_config.c - see sim.h: worlds, drawn from a seed. */
#include <string.h>

#include "quic/conn.h"
#include "tests/sim/sim.h"

static struct sim_link mild_link(void)
{
    return (struct sim_link){.delay_ns = 10 * MR_MS, .mtu = 1472};
}

struct sim_config sim_config_default(uint64_t seed)
{
    return (struct sim_config){
        .seed = seed,
        .link = {mild_link(), mild_link()},
        .streams = 1,
        .extensions = {MR_EXTENSIONS_ALL, MR_EXTENSIONS_ALL},
        .down_bytes = 100000,
        .cc = MR_CC_CUBIC,
        .cipher = MR_CIPHER_AES_128_GCM,
        .backend = MR_AEAD_OPENSSL,
        .retry_above = 1000,
        .payload_max = 1452,
        .time_limit_ns = 600 * MR_SECOND,
        .idle_timeout_ns = 60 * MR_SECOND,
    };
}

uint64_t sim_draw(struct mr_random *random, uint64_t lo, uint64_t hi)
{
    double span = (double)mr_random_below(random, 1 << 20) / (1 << 20);
    double value = (double)lo;

    for (double left = span * 40; left > 0 && value < (double)hi; left -= 1)
        value *=
            left >= 1
                ? __builtin_exp2(__builtin_log2((double)hi / (double)lo) / 40)
                : 1 + left * (__builtin_exp2(__builtin_log2((double)hi / (double)lo) / 40) - 1);
    return (uint64_t)value;
}

static double draw_probability(struct mr_random *random, double max)
{
    return mr_random_below(random, 2) == 0 ? 0 : max * (double)mr_random_below(random, 1000) / 1000;
}

struct sim_config sim_config_random(uint64_t seed)
{
    static const uint32_t mtus[] = {1200, 1252, 1280, 1392, 1452, 1472, 4000, 9000};
    struct sim_config config = sim_config_default(seed);
    struct mr_random random;

    mr_random_init_number(&random, seed);
    double loss = mr_random_below(&random, 4) == 0 ? draw_probability(&random, 0.3)
                                                   : draw_probability(&random, 0.05);
    for (int i = 0; i < 2; i++) {
        struct sim_link *link = &config.link[i];

        link->loss = loss;
        link->duplicate = draw_probability(&random, 0.1);
        link->corrupt = draw_probability(&random, 0.05);
        link->reorder = draw_probability(&random, 0.3);
        link->delay_ns = sim_draw(&random, MR_MS / 2, MR_SECOND / 2);
        link->jitter_ns = sim_draw(&random, MR_US, 2 * link->delay_ns);
        link->rate_bps =
            mr_random_below(&random, 2) == 0 ? 0 : sim_draw(&random, 1000000, 1000000000);
        link->queue_ns = sim_draw(&random, 10 * MR_MS, 500 * MR_MS);
        link->mark_ns = mr_random_below(&random, 2) == 0 ? 0 : sim_draw(&random, MR_MS, 20 * MR_MS);
        link->ecn = mr_random_below(&random, 4) != 0
                        ? SIM_ECN_PASSED
                        : (enum sim_ecn)mr_random_below(&random, SIM_ECN_KINDS);
        link->mtu = mtus[mr_random_below(&random, 8)];
    }
    config.streams = 1 + (uint32_t)mr_random_below(&random, 20);
    config.down_bytes = sim_draw(&random, 1, mr_random_below(&random, 4) == 0 ? 3000000 : 100000);
    config.up_bytes =
        mr_random_below(&random, 2) == 0
            ? 0
            : sim_draw(&random, 1, mr_random_below(&random, 4) == 0 ? 1000000 : 30000);
    config.has_ecn = mr_random_below(&random, 8) != 0;
    config.cc = (enum mr_cc_kind)mr_random_below(&random, MR_CC_KINDS);
    config.cipher = (enum mr_cipher)mr_random_below(&random, MR_CIPHERS);
    config.backend = mr_random_below(&random, 2) == 0 ? MR_AEAD_OPENSSL : MR_AEAD_AUTO;
    config.payload_max = mr_random_below(&random, 4) == 0 ? 8952 : 1452;
    config.mtu_change_ns =
        mr_random_below(&random, 3) == 0 ? sim_draw(&random, 10 * MR_MS, 2 * MR_SECOND) : 0;
    config.mtu_change = mtus[mr_random_below(&random, 8)];
    config.tells_too_big = mr_random_below(&random, 2) == 0;
    config.retry_above = mr_random_below(&random, 3) == 0 ? 0 : 1000;
    config.aborts = mr_random_below(&random, 4) == 0 ? SIM_RESET | SIM_STOP | SIM_RESET_AT : 0;
    /* A NAT that forgets faster than the path answers lets nothing through. */
    uint64_t round_trip = config.link[0].delay_ns + config.link[1].delay_ns +
                          config.link[0].jitter_ns + config.link[1].jitter_ns +
                          config.link[0].queue_ns + config.link[1].queue_ns;
    config.rebind_every_ns =
        mr_random_below(&random, 4) == 0 ? 4 * round_trip + sim_draw(&random, MR_MS, MR_SECOND) : 0;
    config.update_keys_every_ns =
        mr_random_below(&random, 3) == 0 ? sim_draw(&random, 10 * MR_MS, MR_SECOND) : 0;
    config.time_limit_ns = 3600 * MR_SECOND;
    config.datagrams =
        mr_random_below(&random, 3) == 0 ? 0 : (uint32_t)sim_draw(&random, 1, SIM_DATAGRAMS_MAX);
    for (int i = 0; i < 2; i++) /* all with each other in half of the worlds */
        config.extensions[i] &=
            mr_random_below(&random, 3) == 0 ? (uint32_t)mr_random_u64(&random) : UINT32_MAX;
    config.rebinds_address = mr_random_below(&random, 2) == 0;
    config.migrate_every_ns =
        mr_random_below(&random, 4) == 0 ? 4 * round_trip + sim_draw(&random, MR_MS, MR_SECOND) : 0;
    config.has_preferred = mr_random_below(&random, 4) == 0;
    static const uint8_t versions[][2] = {{0, 0}, {1, 2}, {2, 1}, {2, 0}};
    memcpy(config.versions, versions[mr_random_below(&random, 4)], sizeof(config.versions));
    if (mr_random_below(&random, 3) == 0)
        config.early = (enum sim_early)mr_random_below(&random, SIM_EARLY_KINDS);
    return config;
}

struct sim_config sim_config_starved(uint64_t seed)
{
    struct sim_config config = sim_config_random(seed);

    for (int i = 0; i < 2; i++) {
        struct sim_link *link = &config.link[i];

        link->loss = link->duplicate = link->corrupt = 0;
        link->rate_bps = 0;
        link->delay_ns = 10 * MR_US;
        if (seed % 2 == 0)
            link->reorder = 0;
        link->jitter_ns = MR_MS;
        link->mtu = 1472;
    }
    config.rebind_every_ns = config.migrate_every_ns = 0;
    config.has_preferred = false;
    config.stall_max_ns = MR_SECOND;
    if (seed % 3 == 0) { /* while the handshake runs, for longer than it may take */
        config.pause_at_ns = seed % 5 * 100 * MR_MS;
        config.pause_ns = MR_HANDSHAKE_TIMEOUT + MR_SECOND;
    }
    config.job_max_ns = seed % 4 < 2 ? 0 : 100 * MR_MS;
    return config;
}

struct mr_limits sim_limits(void)
{
    return (struct mr_limits){.connections_max = 8,
                              .awake_max = 7,
                              .sleepers_max = 4,
                              .handshakes_max = 4,
                              .streams_max = 256,
                              .segments_max = 4096,
                              .ranges_max = 16384,
                              .chunks_max = 8192,
                              .compact_max = 1024,
                              .datagram_chunks_max = 64,
                              .datagram_queue_max = 16,
                              .extras_max = 16,
                              .multipaths_max = 4,
                              .path_records_max = 12,
                              .models_max = 4,
                              .names_max = 4,
                              .pinned_max = SIM_BUFFERS / 2,
                              .active_keys_max = 8};
}
