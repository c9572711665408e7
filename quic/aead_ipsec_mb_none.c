/* Built where intel-ipsec-mb is not: the back end is never available. */
#include "quic/aead_backend.h"

bool mr_aead_ipsec_mb_init(struct mr_aead *aead)
{
    (void)aead;
    return false;
}
