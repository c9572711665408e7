/* base/histogram.c - see histogram.h. */
#include "base/histogram.h"

#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

void mr_histogram_init(struct mr_histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
    histogram->min = UINT64_MAX;
}

void mr_histogram_merge(struct mr_histogram *histogram, const struct mr_histogram *from)
{
    histogram->count += from->count;
    histogram->sum += from->sum;
    histogram->min = MR_MIN(histogram->min, from->min);
    histogram->max = MR_MAX(histogram->max, from->max);
    for (uint32_t i = 0; i < MR_HISTOGRAM_BUCKETS; i++)
        histogram->bucket[i] += from->bucket[i];
}

/* The middle of bucket `i`: the value in it that is at most half its width from all others. */
static uint64_t middle_of(uint32_t i)
{
    if (i < 2 * MR_HISTOGRAM_PARTS)
        return i;

    uint32_t shift = i / MR_HISTOGRAM_PARTS - 1;
    uint64_t part = i % MR_HISTOGRAM_PARTS + MR_HISTOGRAM_PARTS;
    return (part << shift) + (UINT64_C(1) << (shift - 1));
}

/* How many of `count` > 0 values make up the part `q` > 0: at least one. */
static uint64_t rank_of(uint64_t count, double q)
{
    double exact = q * (double)count;
    uint64_t rank = exact >= (double)count ? count : (uint64_t)exact;

    if ((double)rank < exact && rank < count)
        rank++;
    return rank;
}

uint64_t mr_histogram_quantile(const struct mr_histogram *histogram, double q)
{
    if (histogram->count == 0)
        return 0;
    if (!(q > 0))
        return histogram->min;

    uint64_t left = rank_of(histogram->count, q);
    if (left == histogram->count)
        return histogram->max;

    uint32_t i = 0;
    while (histogram->bucket[i] < left)
        left -= histogram->bucket[i++];
    return MR_MAX(MR_MIN(middle_of(i), histogram->max), histogram->min);
}

void mr_histogram_check(const struct mr_histogram *histogram)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < MR_HISTOGRAM_BUCKETS; i++)
        count += histogram->bucket[i];
    MR_ASSERT(count == histogram->count);
    if (count == 0) {
        MR_ASSERT(histogram->min == UINT64_MAX);
        MR_ASSERT(histogram->max == 0);
        return;
    }
    MR_ASSERT(histogram->min <= histogram->max);
    MR_ASSERT(histogram->bucket[mr_histogram_bucket(histogram->min)] > 0);
    MR_ASSERT(histogram->bucket[mr_histogram_bucket(histogram->max)] > 0);
}
