/* tools/bench_jitter.c - see bench_jitter.h. */
#include "tools/bench_jitter.h"

#include "dataplane/clock.h"
#include "tools/bench.h"

#define SPIN_NS UINT64_C(100000000)
#define GAP_NS  1000 /* an iteration of the spinning loop takes some 20 */

void mr_bench_jitter_init(struct mr_bench_jitter *jitter)
{
    jitter->spun_ns = 0;
    mr_histogram_init(&jitter->gaps);
}

double mr_bench_jitter_slice(void *argument)
{
    struct mr_bench_jitter *jitter = argument;
    struct mr_clock clock = mr_clock_init(); /* EAL runs now */
    uint64_t begin = rte_rdtsc();
    uint64_t last = begin;
    uint64_t spun_ns = 0;

    while (spun_ns < SPIN_NS) {
        uint64_t now = rte_rdtsc();
        uint64_t gap_ns = mr_clock_ns(&clock, now - last);

        if (gap_ns >= GAP_NS)
            mr_histogram_add(&jitter->gaps, gap_ns);
        last = now;
        spun_ns = mr_clock_ns(&clock, now - begin);
    }
    jitter->spun_ns += spun_ns;
    return 1;
}

void mr_bench_jitter_add(struct json_object *json, const struct mr_bench_jitter *jitter)
{
    const struct mr_histogram *gaps = &jitter->gaps;
    struct json_object *object = NULL;

    if (jitter->spun_ns > 0) {
        object = json_object_new_object();
        mr_bench_real(object, "gaps_per_s", (double)gaps->count * 1e9 / (double)jitter->spun_ns);
        mr_bench_real(object, "p50_us", (double)mr_histogram_quantile(gaps, 0.5) * 1e-3);
        mr_bench_real(object, "p99_us", (double)mr_histogram_quantile(gaps, 0.99) * 1e-3);
        mr_bench_real(object, "max_us", gaps->count == 0 ? 0 : (double)gaps->max * 1e-3);
        mr_bench_real(object, "lost_percent", 100 * (double)gaps->sum / (double)jitter->spun_ns);
    }
    json_object_object_add(json, "machine_jitter", object);
}
