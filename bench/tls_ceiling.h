/*
 * bench/tls_ceiling.h - what a handshake costs a server's core in the TLS library alone.
 *
 * The handshakes run through the same jobs as the engine's (quic/tls.h), without packets: start,
 * ClientHello to flight, Finished to done and ticket, free.  Clients work in batches between the
 * clocked parts.
 *
 * Owner: the caller.  Threads: any; measures on the calling one.
 */
#ifndef MR_BENCH_TLS_CEILING_H
#define MR_BENCH_TLS_CEILING_H

#include <stdbool.h>

#include "base/fault.h"

struct mr_tls_ceiling_options {
    const char *groups; /* of both sides; NULL: the default (X25519) */
    bool is_resumed;    /* with a ticket of the handshake before; else full */
    double seconds;     /* how long, clients' part included */
};

/*
 * Measure the server's ns per handshake: ECDSA P-256 certificate, AES-128-GCM, one ticket.
 * *ns_out is the median over handshakes.  0, or -errno with the reason in `fault`.
 */
int mr_tls_handshake_ns(const struct mr_tls_ceiling_options *options, double *ns_out,
                        struct mr_fault *fault);

#endif /* MR_BENCH_TLS_CEILING_H */
