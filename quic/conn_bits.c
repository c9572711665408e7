/*
 * quic/conn_bits.c - see conn_bits.h.
 */
#include "quic/conn_bits.h"

void mr_spin_restart(struct mr_endpoint *ep, struct mr_conn *conn)
{
    uint64_t random = mr_random_u64(&ep->random);

    conn->path.is_spinning = (ep->config.extensions & MR_EXTENSION_SPIN_BIT) != 0 &&
                             random % MR_SPIN_DISABLED_ONE_IN != 0;
    conn->path.spin = !conn->path.is_spinning && random >> 63 != 0 ? MR_PACKET_SPIN : 0;
}

void mr_quic_bit_grease(struct mr_endpoint *ep, struct mr_outgoing *out, uint32_t count)
{
    MR_DASSERT(count < 64);
    /* only those that are cleared are touched */
    for (uint64_t left = mr_random_u64(&ep->random) & ((UINT64_C(1) << count) - 1); left != 0;
         left &= left - 1)
        out[__builtin_ctzll(left)].data[0] ^= MR_PACKET_FIXED_BIT;
}
