/*
 * bench/aead_ceiling.h - how fast one core can seal packets, and do nothing else.
 *
 *     data, colder than any cache --> bursts of 32: copy in, AEAD, header protection --> 1 MiB of
 * packets
 *
 * This is the ceiling that `ratio_to_ceiling` of `millrace bench` compares with: the same packet
 * size, the same core, the same kind of cold data.  Packets look like full 1-RTT packets with one
 * STREAM frame.
 *
 * Speeds of a machine change within seconds, so a bench measures it in turns with what it compares:
 *
 *     open -> slice, slice, slice ... -> close
 *
 * Owner: the caller.  Threads: any, one at a time; measures on the calling one.
 */
#ifndef MR_BENCH_AEAD_CEILING_H
#define MR_BENCH_AEAD_CEILING_H

#include <stddef.h>
#include <stdint.h>

#include "quic/aead.h"

#define MR_CEILING_PACKET_MIN 64 /* bytes */
#define MR_CEILING_PACKET_MAX 16384

struct mr_aead_ceiling;

/*
 * Keys and memory for packets of `packet_bytes` (header to tag, MR_CEILING_PACKET_MIN ..
 * MR_CEILING_PACKET_MAX), with data taken in turn out of `data_bytes` of memory (at least 1 MiB;
 * 256 MiB is cold everywhere).  `aead` outlives it.  The calling thread touches the memory first.
 * NULL when memory is short.
 */
struct mr_aead_ceiling *mr_aead_ceiling_open(struct mr_aead *aead, enum mr_cipher cipher,
                                             uint32_t packet_bytes, size_t data_bytes);

/* Seal for `seconds`, going on in the data where the last slice ended.  Returns the median of ns
 * per packet over pieces of 0.1 ms or more, at least 64 of them: longer if other tasks have the
 * core. */
double mr_aead_ceiling_slice(struct mr_aead_ceiling *ceiling, double seconds);

/* NULL is fine. */
void mr_aead_ceiling_close(struct mr_aead_ceiling *ceiling);

/* Open, one slice of `seconds`, close; < 0 when memory is short. */
double mr_aead_ceiling_ns(struct mr_aead *aead, enum mr_cipher cipher, uint32_t packet_bytes,
                          size_t data_bytes, double seconds);

/* The same for opening packets that are in cache already. */
double mr_aead_open_ceiling_ns(struct mr_aead *aead, enum mr_cipher cipher, uint32_t packet_bytes,
                               double seconds);

#endif /* MR_BENCH_AEAD_CEILING_H */
