/* tests/sim/sim_path_cases.c - what two paths are worth: see sim_paths.h. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/sim_paths.h"

/* What two paths are worth. */
struct path_case {
    const char *name;
    uint64_t rate_bps; /* of each */
    uint64_t delay_ns[2];
    uint64_t fail_ns; /* of the first path, on the way */
    bool is_backup;   /* the second */
    double least;     /* goodput by that of the first path alone; 0: any */
    double most;
    uint64_t stalled_max_ns; /* without a byte for the application; 0: any */
    uint64_t second_max;     /* bytes by the second path; 0: any */
    uint64_t away_ns;        /* the second path fails, too, from then; 0: it does not */
    uint64_t heal_ns;        /* till then */
};

static const struct path_case path_cases[] = {
    {"two paths of 50 Mbit/s carry 1.7 times one",
     50000000,
     {10 * MR_MS, 10 * MR_MS},
     0,
     false,
     1.7,
     2.05,
     0,
     0,
     0,
     0},
    {"the same over 10 and 30 ms",
     50000000,
     {5 * MR_MS, 15 * MR_MS},
     0,
     false,
     1.7,
     2.05,
     0,
     0,
     0,
     0},
    {"a backup carries nothing while the first path answers",
     50000000,
     {10 * MR_MS, 10 * MR_MS},
     0,
     true,
     0.95,
     1.05,
     0,
     200000,
     0,
     0},
    {"a path that fails is left within 500 ms",
     50000000,
     {10 * MR_MS, 10 * MR_MS},
     MR_SECOND,
     false,
     0,
     0,
     500 * MR_MS,
     0,
     0,
     0},
    {"a backup takes over within 500 ms",
     50000000,
     {10 * MR_MS, 10 * MR_MS},
     MR_SECOND,
     true,
     0,
     0,
     500 * MR_MS,
     0,
     0,
     0},
    {"a backup that was silent, too, for a second takes all within another",
     50000000,
     {10 * MR_MS, 10 * MR_MS},
     MR_SECOND,
     true,
     0,
     0,
     2 * MR_SECOND,
     0,
     1300 * MR_MS,
     2300 * MR_MS},
};

static struct sim_config path_config(const struct path_case *c, bool has_second)
{
    struct sim_config config = sim_config_default(1);

    config.down_bytes = 40000000;
    for (int i = 0; i < 2; i++) {
        struct sim_link *first = &config.link[i];

        first->delay_ns = c->delay_ns[0];
        first->rate_bps = c->rate_bps;
        first->queue_ns = 20 * MR_MS;
        config.paths[1].link[i] = *first;
        config.paths[1].link[i].delay_ns = c->delay_ns[1];
    }
    if (!has_second)
        return config;
    config.paths_max = 2;
    config.paths[1].open_ns = 50 * MR_MS;
    config.paths[1].backup_ns = c->is_backup ? 51 * MR_MS : 0;
    config.paths[0].fail_ns = c->fail_ns;
    config.paths[1].fail_ns = c->away_ns;
    config.paths[1].heal_ns = c->heal_ns;
    return config;
}

static bool run_path_case(const struct path_case *c)
{
    struct sim_result r[2];

    for (int i = 0; i < 2; i++) {
        struct sim_config config = path_config(c, i == 1);

        sim_run(&config, &r[i]);
    }
    double ratio = (double)r[0].transfer_ns / (double)r[1].transfer_ns;
    printf("# %.2f s alone, %.2f s with both: %.2f times; %" PRIu64 " and %" PRIu64
           " bytes down; longest wait %.1f ms\n",
           (double)r[0].transfer_ns * 1e-9, (double)r[1].transfer_ns * 1e-9, ratio,
           r[1].path_bytes[0], r[1].path_bytes[1], (double)r[1].stalled_ns * 1e-6);
    return r[0].is_complete && r[1].is_complete && r[1].bad_bytes == 0 && r[1].leaks == 0 &&
           (c->least == 0 || (ratio >= c->least && ratio <= c->most)) &&
           (c->stalled_max_ns == 0 || r[1].stalled_ns <= c->stalled_max_ns) &&
           (c->second_max == 0 || r[1].path_bytes[1] <= c->second_max);
}

int sim_paths_measure(void)
{
    int failed = 0;

    printf("1..%zu\n", MR_COUNT_OF(path_cases));
    for (size_t i = 0; i < MR_COUNT_OF(path_cases); i++) {
        bool ok = run_path_case(&path_cases[i]);

        printf("%sok %zu - %s\n", ok ? "" : "not ", i + 1, path_cases[i].name);
        failed += !ok;
    }
    return failed > 0;
}
