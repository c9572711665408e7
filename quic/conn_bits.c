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

MR_COLD void mr_quic_bit_grease(struct mr_endpoint *ep, struct mr_outgoing *out, uint32_t count)
{
    uint64_t random = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (i % 64 == 0)
            random = mr_random_u64(&ep->random);
        out[i].data[0] ^= (uint8_t)((random >> i % 64 & 1) * MR_PACKET_FIXED_BIT);
    }
}
