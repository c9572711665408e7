/*
 * quic/endpoint_cid.c - connection IDs as the endpoint's format has them.  Of QUIC-LB there are
 * configurations: in plain text or encrypted, the one in use for new ones, and those before it,
 * which are still known.
 */
#include "quic/conn.h"

enum {
    NONCE_ROUNDS = 4
};

_Static_assert((MR_CID_NONCES & (MR_CID_NONCES - 1)) == 0 && MR_CID_NONCES <= UINT64_C(1) << 32,
               "nonces are numbers of 32 bits");

/* The nonce with this number, of the configuration in use: all are different, and say nothing of
 * each other to who has not our secret (a Feistel network of 32 bits). */
static uint32_t nonce_of(const struct mr_endpoint *ep, uint32_t number)
{
    uint32_t left = number >> 16;
    uint32_t right = number & 0xffff;

    for (uint64_t round = 0; round < NONCE_ROUNDS; round++) {
        const uint64_t input[] = {ep->cid_epoch, round << 16 | right};
        uint32_t mixed = (uint32_t)mr_siphash24(&ep->secret_key, input, sizeof(input)) & 0xffff;
        mixed ^= left;
        left = right;
        right = mixed;
    }
    return left << 16 | right;
}

/* All nonces are used: connection IDs that lead nowhere, but here. */
static struct mr_cid unroutable_cid(struct mr_endpoint *ep)
{
    struct mr_cid cid = {.size = MR_LOCAL_CID_SIZE};

    mr_count(&ep->counters.limit_cid_nonces);
    mr_store_be(cid.bytes, mr_endpoint_secret_random(ep), MR_LOCAL_CID_SIZE);
    cid.bytes[0] = MR_CID_CONFIGS << 5 | (MR_LOCAL_CID_SIZE - 1);
    return cid;
}

struct mr_cid mr_endpoint_new_cid(struct mr_endpoint *ep)
{
    bool is_quic_lb = ep->config.cid.kind == MR_CID_QUIC_LB;

    if (is_quic_lb && ep->cid_nonces == MR_CID_NONCES)
        return unroutable_cid(ep);
    uint64_t nonce =
        is_quic_lb ? nonce_of(ep, (uint32_t)ep->cid_nonces++) : mr_endpoint_secret_random(ep);
    struct mr_cid cid = mr_cid_encode(&ep->config.cid, nonce);
    const struct mr_cid_cipher *cipher = &ep->cid_ciphers[ep->config.cid.config];

    if (mr_cid_cipher_is_open(cipher))
        mr_cid_encrypt(cipher, cid.bytes + 1, MR_LOCAL_CID_SIZE - 1);
    return cid;
}

uint32_t mr_endpoint_cid_owner(const struct mr_endpoint *ep, const uint8_t *cid, size_t size)
{
    uint8_t plain[MR_LOCAL_CID_SIZE];
    struct mr_cid_format mine = ep->config.cid;

    if (size != MR_LOCAL_CID_SIZE || mine.kind != MR_CID_QUIC_LB)
        return mr_cid_owner(cid, size, &mine);
    mine.config = cid[0] >> 5;
    mine.is_encrypted = false;
    if ((ep->cid_configs & 1u << mine.config) == 0)
        return MR_CID_FOREIGN;
    memcpy(plain, cid, sizeof(plain));
    if (mr_cid_cipher_is_open(&ep->cid_ciphers[mine.config]))
        mr_cid_decrypt(&ep->cid_ciphers[mine.config], plain + 1, sizeof(plain) - 1);
    return mr_cid_owner(plain, sizeof(plain), &mine);
}

bool mr_endpoint_set_cid_config(struct mr_endpoint *ep, uint8_t config, const uint8_t *key)
{
    struct mr_cid_cipher cipher = {.encrypt = NULL};

    MR_ASSERT(config < MR_CID_CONFIGS);
    MR_ASSERT(ep->config.cid.kind == MR_CID_QUIC_LB || (config == 0 && key == NULL));
    if (key != NULL && !mr_cid_cipher_open(&cipher, key))
        return false;
    mr_cid_cipher_close(&ep->cid_ciphers[config]);
    ep->cid_ciphers[config] = cipher;
    ep->cid_configs |= (uint8_t)(1u << config);
    ep->config.cid.config = config;
    ep->config.cid.is_encrypted = key != NULL;
    ep->cid_epoch++;
    ep->cid_nonces = 0;
    return true;
}

void mr_endpoint_forget_cid_configs(struct mr_endpoint *ep)
{
    for (uint32_t i = 0; i < MR_CID_CONFIGS; i++)
        mr_cid_cipher_close(&ep->cid_ciphers[i]);
}
