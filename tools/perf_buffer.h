/*
 * tools/perf_buffer.h - the bytes that `millrace perf` and `millrace bench` send: one buffer, round
 * and round.
 *
 * Owner: the command.  Threads: read by all.
 */
#ifndef MR_TOOLS_PERF_BUFFER_H
#define MR_TOOLS_PERF_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/transport.h"

#define MR_PERF_BUFFER_BYTES ((size_t)64 << 20)
#define MR_PERF_PIECE_BYTES  (UINT64_C(1) << 20) /* of the buffer, given with one send */

/* What streams are filled with: a working set far larger than the caches.  Read only, of all
 * shards. */
struct mr_perf_buffer {
    uint8_t *bytes;
    size_t size; /* a power of two */
};

/* Filled with numbers from a fixed seed.  False: no memory. */
bool mr_perf_buffer_make(struct mr_perf_buffer *buffer, size_t size);
void mr_perf_buffer_free(struct mr_perf_buffer *buffer);

/* The piece of a stream's `size` bytes (UINT64_MAX: no end) that begins at `offset`. */
struct mr_view mr_perf_buffer_piece(const struct mr_perf_buffer *buffer, uint64_t offset,
                                    uint64_t size);

#endif /* MR_TOOLS_PERF_BUFFER_H */
