/*
 * bench/samples.h - measured values of which only the middle counts.
 *
 * On shared machines single values are off by milliseconds; a median over many short slices is not.
 *
 * Owner: the caller.  Limit: MR_SAMPLES_MAX values; later ones are ignored.
 */
#ifndef MR_BENCH_SAMPLES_H
#define MR_BENCH_SAMPLES_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define MR_SAMPLES_MAX 4096

struct mr_samples {
    uint32_t count;
    double value[MR_SAMPLES_MAX];
};

static inline uint64_t mr_bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static inline void mr_samples_add(struct mr_samples *samples, double value)
{
    if (samples->count < MR_SAMPLES_MAX)
        samples->value[samples->count++] = value;
}

static inline int mr_samples_compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* The middle value, or < 0 if there is none.  Sorts. */
static inline double mr_samples_median(struct mr_samples *samples)
{
    if (samples->count == 0)
        return -1;
    qsort(samples->value, samples->count, sizeof(samples->value[0]), mr_samples_compare);
    return samples->value[samples->count / 2];
}

#endif /* MR_BENCH_SAMPLES_H */
