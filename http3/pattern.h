/*
 * http3/pattern.h - content whose every byte is known from its offset.
 *
 * A file of this content proves a transfer without a second copy of the file: words of eight bytes,
 * each a fixed pseudo-random word of a 16 KiB table plus a multiple that grows with each lap
 * through the table, so that no two places hold the same kilobyte.  Checking runs at memory speed.
 *
 * Threads: any; pure after mr_pattern_init().
 */
#ifndef MR_HTTP3_PATTERN_H
#define MR_HTTP3_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MR_PATTERN_WORDS = 2048 /* of the table; a power of two */
};

struct mr_pattern {
    uint64_t word[MR_PATTERN_WORDS];
};

/* Make the table of `seed`. */
void mr_pattern_init(struct mr_pattern *pattern, uint64_t seed);

/* Write the content of [offset, offset + size) to `dst`. */
void mr_pattern_fill(const struct mr_pattern *pattern, uint64_t offset, uint8_t *dst, size_t size);

/* True if `data` is the content of [offset, offset + size). */
bool mr_pattern_matches(const struct mr_pattern *pattern, uint64_t offset, const uint8_t *data,
                        size_t size);

#endif /* MR_HTTP3_PATTERN_H */
