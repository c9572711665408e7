#include "quic/cid.h"

#include "base/assert.h"
#include "quic/wire_fields.h"

_Static_assert(MR_CID_NODES == 1 << 12 && MR_CID_SHARDS == 1 << 10 && MR_CID_GENERATIONS == 1 << 2,
               "the server ID is 24 bits");

/* Where Katran's fields end: bits to the right of them, in the eight bytes as one number. */
struct layout {
    uint8_t host_bits;
    uint8_t host_at;
    uint8_t worker_at;
    uint8_t process_at;
};

static const struct layout katran[] = {
    [MR_CID_KATRAN_1] = {16, 46, 38, 37},
    [MR_CID_KATRAN_2] = {24, 32, 24, 23},
    [MR_CID_KATRAN_3] = {32, 24, 16, 15},
};

enum {
    VERSION_AT = 62,
    VERSION_BITS = 2,
    WORKER_BITS = 8
};
_Static_assert(MR_CID_WORKERS == 1 << WORKER_BITS && MR_CID_PROCESSES == 2, "as Katran has them");

/* Config rotation, and the length that follows this byte. */
static uint8_t first_octet(const struct mr_cid_format *format)
{
    return (uint8_t)(format->config << 5 | (MR_LOCAL_CID_SIZE - 1));
}

static uint64_t field(uint64_t cid, uint32_t bits, uint32_t at)
{
    return cid >> at & ((UINT64_C(1) << bits) - 1);
}

static uint64_t with_field(uint64_t cid, uint64_t value, uint32_t bits, uint32_t at)
{
    return (cid & ~(((UINT64_C(1) << bits) - 1) << at)) | value << at;
}

uint32_t mr_cid_node_min(enum mr_cid_kind kind)
{
    return kind == MR_CID_QUIC_LB ? 0 : 1;
}

uint32_t mr_cid_node_max(enum mr_cid_kind kind)
{
    return kind == MR_CID_QUIC_LB ? MR_CID_NODES - 1
                                  : (uint32_t)((UINT64_C(1) << katran[kind].host_bits) - 1);
}

bool mr_cid_format_is_valid(const struct mr_cid_format *format)
{
    if (format->kind > MR_CID_KATRAN_3 || format->node < mr_cid_node_min(format->kind) ||
        format->node > mr_cid_node_max(format->kind))
        return false;
    if (format->kind != MR_CID_QUIC_LB)
        return format->shard < MR_CID_WORKERS && format->generation < MR_CID_PROCESSES &&
               format->config == 0 && !format->is_encrypted;
    return format->shard < MR_CID_SHARDS && format->generation < MR_CID_GENERATIONS &&
           format->config < MR_CID_CONFIGS;
}

static uint64_t encode_quic_lb(const struct mr_cid_format *format, uint64_t nonce)
{
    uint32_t server_id = format->node << 12 | (uint32_t)format->shard << 2 | format->generation;

    return (uint64_t)first_octet(format) << 56 | (uint64_t)server_id << 32 | (uint32_t)nonce;
}

static uint64_t encode_katran(const struct mr_cid_format *format, uint64_t nonce)
{
    const struct layout *at = &katran[format->kind];
    uint64_t cid = with_field(nonce, format->kind, VERSION_BITS, VERSION_AT);

    cid = with_field(cid, format->node, at->host_bits, at->host_at);
    cid = with_field(cid, format->shard, WORKER_BITS, at->worker_at);
    return with_field(cid, format->generation, 1, at->process_at);
}

struct mr_cid mr_cid_encode(const struct mr_cid_format *format, uint64_t nonce)
{
    MR_DASSERT(mr_cid_format_is_valid(format));

    struct mr_cid cid = {.size = MR_LOCAL_CID_SIZE};
    bool is_quic_lb = format->kind == MR_CID_QUIC_LB;

    mr_store_be(cid.bytes,
                is_quic_lb ? encode_quic_lb(format, nonce) : encode_katran(format, nonce),
                MR_LOCAL_CID_SIZE);
    return cid;
}

static uint32_t owner_katran(const uint8_t *bytes, const struct mr_cid_format *mine)
{
    const struct layout *at = &katran[mine->kind];
    uint64_t cid = mr_load_u64(bytes);

    if (field(cid, VERSION_BITS, VERSION_AT) != mine->kind ||
        field(cid, at->host_bits, at->host_at) != mine->node)
        return MR_CID_FOREIGN;
    return (uint32_t)field(cid, WORKER_BITS, at->worker_at);
}

uint32_t mr_cid_owner(const uint8_t *cid, size_t size, const struct mr_cid_format *mine)
{
    if (size != MR_LOCAL_CID_SIZE)
        return MR_CID_FOREIGN;
    if (mine->kind != MR_CID_QUIC_LB)
        return owner_katran(cid, mine);
    if (mine->is_encrypted || cid[0] != first_octet(mine))
        return MR_CID_FOREIGN;

    uint32_t server_id = mr_load_u32(cid) & 0xffffff;

    return server_id >> 12 == mine->node ? server_id >> 2 & (MR_CID_SHARDS - 1) : MR_CID_FOREIGN;
}

uint8_t mr_cid_generation(const uint8_t *cid, const struct mr_cid_format *mine)
{
    if (mine->kind != MR_CID_QUIC_LB)
        return (uint8_t)field(mr_load_u64(cid), 1, katran[mine->kind].process_at);
    return cid[3] & (MR_CID_GENERATIONS - 1);
}
