/*
 * quic/conn_bits.h - the bits of a first byte that observers see: the spin bit (RFC 9000,
 * Section 17.4) and the QUIC bit (RFC 9287).
 *
 * Owner: the connection.  Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_BITS_H
#define MR_QUIC_CONN_BITS_H

#include "quic/conn.h"

#define MR_SPIN_DISABLED_ONE_IN 16 /* paths: RFC 9000, Section 17.4 */

/* Another path, or another connection ID on it: the spin bit starts again, or is disabled, at
 * random.  While it is disabled it has a random value. */
void mr_spin_restart(struct mr_endpoint *ep, struct mr_conn *conn);

/* The 1-RTT packet with the largest number so far has come by the path in use, with `first_byte`:
 * a server reflects its spin bit, a client inverts it. */
static inline void mr_spin_follow(struct mr_conn *conn, uint8_t first_byte)
{
    if (conn->path.is_spinning)
        conn->path.spin =
            (first_byte & MR_PACKET_SPIN) ^ (conn->role == MR_CLIENT ? MR_PACKET_SPIN : 0);
}

/* Packets whose QUIC bit is 0 are taken: we have said so. */
static inline bool mr_takes_clear_quic_bit(const struct mr_endpoint *ep)
{
    return (ep->config.extensions & MR_EXTENSION_QUIC_BIT) != 0;
}

/* Clear the QUIC bit of about half of the `count` packets that datagrams of `out` begin with; only
 * with conn->clears_quic_bit. */
void mr_quic_bit_grease(struct mr_endpoint *ep, struct mr_outgoing *out, uint32_t count);

#endif /* MR_QUIC_CONN_BITS_H */
