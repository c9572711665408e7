/*
 * quic/pack.h - an image of 8-byte words in few bytes: what differs from another image, its base.
 *
 *     bitmap          a bit for each word: it differs
 *     half bytes      of each word that differs, how many low bytes do: 1..8
 *     bytes           those, exclusive-or the base's
 *
 * Nothing is lost, whatever the base is; the more alike they are, the smaller.  Words are read as
 * little-endian numbers: small differences of small numbers take few bytes.
 *
 * Owner: the caller, of all memory.  Threads: any.  Nothing is allocated.
 */
#ifndef MR_QUIC_PACK_H
#define MR_QUIC_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_PACK_WORDS_MAX 512 /* of an image */

/*
 * Pack the `words` words at `image`, a multiple of 8 bytes and at most MR_PACK_WORDS_MAX, against
 * those at `base`.  Returns the bytes at `out`; 0: more than `room`, and what is in `out` is
 * nothing.  O(words).
 */
size_t mr_pack(const void *image, const void *base, uint32_t words, uint8_t *out, size_t room);

/*
 * The image of `words` words that was packed in the `size` bytes at `packed`, against the same
 * base.  False: they are no image of so many words; the one at `image_out` is undefined then.
 * O(words).
 */
bool mr_unpack(void *image_out, const void *base, uint32_t words, const uint8_t *packed,
               size_t size);

#endif /* MR_QUIC_PACK_H */
