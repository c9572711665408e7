/*
 * bench/tls_ceiling.h - what a handshake costs a server's core in the TLS library alone.
 *
 * The handshakes run through the same jobs as the engine's (quic/tls.h), without packets: start,
 * ClientHello to flight, Finished to done and ticket, free.  Clients work in batches between the
 * clocked parts.
 *
 * Speeds of a machine change within seconds, so a bench measures it in turns with what it compares:
 *
 *     open -> slice, slice, slice ... -> close
 *
 * Owner: the caller.  Threads: any, one at a time; measures on the calling one.
 */
#ifndef MR_BENCH_TLS_CEILING_H
#define MR_BENCH_TLS_CEILING_H

#include <stdbool.h>

#include "base/fault.h"

#define MR_TLS_CEILING_BATCH 16 /* handshakes in flight */

struct mr_tls_ceiling_options {
    const char *groups; /* of both sides; NULL: the default (X25519) */
    bool is_resumed;    /* with a ticket of the handshake before; else full */
    bool is_early;      /* is_resumed: with 0-RTT, accepted */
};

struct mr_tls_ceiling;

/*
 * Contexts (ECDSA P-256 certificate, AES-128-GCM, one ticket) and a first batch of handshakes that
 * warms up.  0; or -errno with the reason in `fault` and *ceiling_out NULL.
 */
int mr_tls_ceiling_open(const struct mr_tls_ceiling_options *options,
                        struct mr_tls_ceiling **ceiling_out, struct mr_fault *fault);

/* Batches of handshakes for `seconds`, at least one; clients' part included in that.  Returns the
 * mean of the server's ns per handshake; < 0 if a handshake failed. */
double mr_tls_ceiling_slice(struct mr_tls_ceiling *ceiling, double seconds);

/* Why a handshake failed, or "". */
const char *mr_tls_ceiling_reason(const struct mr_tls_ceiling *ceiling);

/* NULL is fine. */
void mr_tls_ceiling_close(struct mr_tls_ceiling *ceiling);

/* Open, slices of one batch each for `seconds`, close.  *ns_out is the median over the slices.  0,
 * or -errno with the reason in `fault`. */
int mr_tls_handshake_ns(const struct mr_tls_ceiling_options *options, double seconds,
                        double *ns_out, struct mr_fault *fault);

#endif /* MR_BENCH_TLS_CEILING_H */
