/*
 * http3/range.h - one byte range of a representation.  RFC 9110, Section 14.
 *
 * Pure.  Several ranges are answered with the whole, which Section 14.2 permits; so is what cannot
 * be read.
 */
#ifndef MR_HTTP3_RANGE_H
#define MR_HTTP3_RANGE_H

#include <stddef.h>
#include <stdint.h>

enum mr_range_verdict {
    MR_RANGE_WHOLE,         /* 200: not a range of bytes, several, or not readable */
    MR_RANGE_PART,          /* 206 */
    MR_RANGE_UNSATISFIABLE, /* 416 */
};

/* Bytes first .. first + size - 1; size > 0. */
struct mr_range {
    uint64_t first;
    uint64_t size;
};

/*
 * Read the `text_size` bytes at `text`, a Range value, for a representation of `whole` bytes.
 * *range_out is set with MR_RANGE_PART only.
 */
enum mr_range_verdict mr_range_parse(const char *text, size_t text_size, uint64_t whole,
                                     struct mr_range *range_out);

#endif /* MR_HTTP3_RANGE_H */
