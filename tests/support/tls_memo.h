/*
 * tests/support/tls_memo.h - TLS that is computed once: what a handshake's jobs answered to the
 * same bytes before.
 *
 *     start(options) -> job(input) -> job(input) ..      hashed as they come
 *                          |             |
 *                          known: the outputs of then; else OpenSSL is given all of it from the
 *                          beginning, and what it says is kept
 *
 * For fuzz targets that run thousands of handshakes which differ little: under sanitizers OpenSSL
 * is most of what a handshake costs.  A program links it with `--wrap` of the functions of
 * quic/tls.h that are defined here, and makes its contexts with mr_tls_seeded_open().  Randomness
 * begins anew with each job and the time of day stands still, so that OpenSSL repeats itself when
 * it is given a handshake's beginning again.  It does not always: such a handshake may fail where
 * it is computed on.
 *
 * Limits: TLS_MEMO_JOBS answers are kept, of TLS_MEMO_BYTES; when these are full, all are
 * forgotten.
 *
 * Owner: the program.  Threads: one.
 */
#ifndef MR_TESTS_SUPPORT_TLS_MEMO_H
#define MR_TESTS_SUPPORT_TLS_MEMO_H

#include <stdint.h>

#define TLS_MEMO_JOBS       16384
#define TLS_MEMO_BYTES      (48 << 20)
#define TLS_MEMO_HANDSHAKES 16    /* in flight */
#define TLS_MEMO_LOG        65536 /* bytes that a handshake is given; after that it is computed */

/* All of this program's TLS is of `library`, and it is `wall_s` seconds after 1970. */
void tls_memo_begin(void *library, int64_t wall_s);

/* How many jobs were run, and how many of these were known. */
struct tls_memo_count {
    uint64_t jobs;
    uint64_t known;
};
struct tls_memo_count tls_memo_count(void);

#endif /* MR_TESTS_SUPPORT_TLS_MEMO_H */
