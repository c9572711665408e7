#include "quic/cid.h"

#include "base/assert.h"
#include "quic/wire_fields.h"

_Static_assert(MR_CID_NODES == 1 << 12 && MR_CID_SHARDS == 1 << 10 && MR_CID_GENERATIONS == 1 << 2,
               "the server ID is 24 bits");

/* Config rotation, and the length that follows this byte. */
static uint8_t first_octet(const struct mr_cid_format *format)
{
    return (uint8_t)(format->config << 5 | (MR_LOCAL_CID_SIZE - 1));
}

bool mr_cid_format_is_valid(const struct mr_cid_format *format)
{
    return format->node < MR_CID_NODES && format->shard < MR_CID_SHARDS &&
           format->generation < MR_CID_GENERATIONS && format->config < MR_CID_CONFIGS;
}

struct mr_cid mr_cid_encode(const struct mr_cid_format *format, uint32_t nonce)
{
    MR_DASSERT(mr_cid_format_is_valid(format));

    struct mr_cid cid = {.size = MR_LOCAL_CID_SIZE};
    uint32_t server_id =
        (uint32_t)format->node << 12 | (uint32_t)format->shard << 2 | format->generation;

    cid.bytes[0] = first_octet(format);
    mr_store_be(cid.bytes + 1, server_id, 3);
    mr_store_be(cid.bytes + 4, nonce, 4);
    return cid;
}

uint32_t mr_cid_owner(const uint8_t *cid, size_t size, const struct mr_cid_format *mine)
{
    if (size != MR_LOCAL_CID_SIZE || mine->is_encrypted || cid[0] != first_octet(mine))
        return MR_CID_FOREIGN;

    uint32_t server_id = mr_load_u32(cid) & 0xffffff;

    return server_id >> 12 == mine->node ? server_id >> 2 & (MR_CID_SHARDS - 1) : MR_CID_FOREIGN;
}

uint8_t mr_cid_generation(const uint8_t *cid)
{
    return cid[3] & (MR_CID_GENERATIONS - 1);
}
