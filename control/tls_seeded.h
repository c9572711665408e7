/*
 * control/tls_seeded.h - TLS whose "random" numbers one seed repeats, for simulations.
 *
 * A library context of its own, with OpenSSL's test generator in the place of every random source.
 * Contexts and certificates made with it (the `library` member of their configurations) produce the
 * same bytes in the same order of calls: keys, signatures, ClientHellos, tickets.
 *
 * NOTHING HERE IS SECRET.  Never use it for a connection that leaves the process.
 *
 * Two things still come from outside: the time of day (ticket ages; the dates of certificates
 * unless they are given), and the order of calls.
 *
 * Owner: the simulation.  Threads: one; the generator belongs to the thread that opened it.
 */
#ifndef MR_CONTROL_TLS_SEEDED_H
#define MR_CONTROL_TLS_SEEDED_H

#include <stdbool.h>
#include <stdint.h>

/* Open a library that `seed` determines.  NULL when OpenSSL lacks its test generator or memory. */
void *mr_tls_seeded_open(uint64_t seed);

/* Begin the sequence of `seed` again, for what is made from now on: runs of one process repeat each
 * other, with contexts that stay.  False: OpenSSL refuses. */
bool mr_tls_seeded_restart(void *library, uint64_t seed);

/* No context made with it may be left. */
void mr_tls_seeded_close(void *library);

#endif /* MR_CONTROL_TLS_SEEDED_H */
