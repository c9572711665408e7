/*
 * quic/hp_aesni.h - AES header-protection masks with the CPU's AES instructions (RFC 9001,
 * Section 5.4.3).
 *
 * A mask is one AES block: 4 ns alone, 1.5 ns each when several packets' blocks are in flight at
 * once, whatever their keys.  meson picks hp_aesni.c on x86-64 and hp_portable.c (which has none)
 * elsewhere.
 *
 * Threads: any; everything here is pure.
 */
#ifndef MR_QUIC_HP_AESNI_H
#define MR_QUIC_HP_AESNI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_HP_LANES 32 /* most lanes of a call */

/* One mask to make. */
struct mr_hp_lane {
    const uint8_t *schedule; /* round keys from mr_hp_aesni_expand(), 16-byte aligned */
    const uint8_t *sample;   /* MR_HP_SAMPLE bytes */
    uint8_t *mask;           /* out: 16 bytes */
    uint32_t rounds;         /* 10 or 14 */
};

/* True if this CPU has AES instructions; masks and schedules need them. */
bool mr_hp_aesni_is_available(void);

/* True if this CPU encrypts several blocks per instruction (VAES): what is fast to copy depends on
 * it. */
bool mr_hp_aesni_is_wide(void);

/* Expand an AES key of `key_size` 16 or 32 bytes into 11 or 15 round keys of 16 bytes at `schedule`
 * (aligned). */
void mr_hp_aesni_expand(uint8_t *schedule, const uint8_t *key, size_t key_size);

/* Make `count` <= MR_HP_LANES masks. */
void mr_hp_aesni_masks(const struct mr_hp_lane *lanes, uint32_t count);

#endif /* MR_QUIC_HP_AESNI_H */
