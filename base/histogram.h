/*
 * base/histogram.h - the distribution of a quantity (latency in ns) in fixed memory.
 *
 * Log-linear buckets: every power of two is cut into MR_HISTOGRAM_PARTS equal parts.
 *
 *     0 1 2 ... 63 | 64 65 ... 127 | 128 130 ... 254 | 256 260 ... 508 | ...  up to 2^64 - 1
 *      width 1          width 1          width 2           width 4
 *
 * A quantile is the middle of its bucket, so it is off by less than 0.8 % (half of
 * 1/64); below 128 it is exact, and the smallest and largest value are exact always.
 *
 * Owner: whoever embeds it.  Threads: the owner's only; a reader of another thread
 * takes a copy that the owner made.  Memory: sizeof(struct mr_histogram), 30 KiB.
 */
#ifndef MR_BASE_HISTOGRAM_H
#define MR_BASE_HISTOGRAM_H

#include <stdint.h>

enum {
    MR_HISTOGRAM_PART_BITS = 6,
    MR_HISTOGRAM_PARTS = 1 << MR_HISTOGRAM_PART_BITS,
    MR_HISTOGRAM_BUCKETS = (64 - MR_HISTOGRAM_PART_BITS + 1) * MR_HISTOGRAM_PARTS,
};

struct mr_histogram {
    uint64_t count; /* values added */
    uint64_t sum;   /* of the values, modulo 2^64 */
    uint64_t min;   /* UINT64_MAX while empty */
    uint64_t max;
    uint64_t bucket[MR_HISTOGRAM_BUCKETS];
};

/* Make it empty. */
void mr_histogram_init(struct mr_histogram *histogram);

/* The bucket that counts `value`. */
static inline uint32_t mr_histogram_bucket(uint64_t value)
{
    if (value < MR_HISTOGRAM_PARTS)
        return (uint32_t)value;

    uint32_t power = 63 - (uint32_t)__builtin_clzll(value); /* >= MR_HISTOGRAM_PART_BITS */
    uint32_t shift = power - MR_HISTOGRAM_PART_BITS;
    return shift * MR_HISTOGRAM_PARTS + (uint32_t)(value >> shift);
}

/* Count `value` once. */
static inline void mr_histogram_add(struct mr_histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    histogram->bucket[mr_histogram_bucket(value)]++;
    if (value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
}

/* Add all that `from` has counted.  O(buckets). */
void mr_histogram_merge(struct mr_histogram *histogram, const struct mr_histogram *from);

/*
 * The value that the part `q` of all values does not exceed: 0.5 is the median, 0 the
 * smallest, 1 the largest value.  `q` is clamped to [0, 1]; 0 while empty.  O(buckets).
 */
uint64_t mr_histogram_quantile(const struct mr_histogram *histogram, double q);

/* The mean; 0 while empty.  Right as long as the sum is below 2^64. */
static inline uint64_t mr_histogram_mean(const struct mr_histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum / histogram->count;
}

/* Panic if the counts contradict each other.  O(buckets). */
void mr_histogram_check(const struct mr_histogram *histogram);

#endif /* MR_BASE_HISTOGRAM_H */
