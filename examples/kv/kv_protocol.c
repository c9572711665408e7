/* examples/kv/kv_protocol.c - see kv_protocol.h. */
#include "examples/kv/kv_protocol.h"

/* Bytes have no bounds here but the frame's: a key that is too large gets an answer that says so.
 */
#define FIELDS(first, last)                                                                        \
    {                                                                                              \
        MR_FIELD(struct kv_message, word, U8, first, last),                                        \
            MR_FIELD(struct kv_message, tag, U64, 0, 0),                                           \
            MR_FIELD(struct kv_message, key, BYTES, 0, 0),                                         \
            MR_FIELD(struct kv_message, value, BYTES, 0, 0),                                       \
            MR_FIELD(struct kv_message, old, BYTES, 0, 0),                                         \
            MR_FIELD(struct kv_message, lives, BYTES, 0, 8 * KV_NODES_MAX),                        \
            MR_FIELD(struct kv_message, version.counter, U64, 0, 0),                               \
            MR_FIELD(struct kv_message, version.node, U32, 0, KV_NODES_MAX - 1)                    \
    }

static const struct mr_field request_fields[] = FIELDS(KV_GET, KV_NEXT);
static const struct mr_field answer_fields[] = FIELDS(KV_OK, KV_REFUSED);

const struct mr_schema kv_request_schema = {"request", request_fields, 8};
const struct mr_schema kv_answer_schema = {"answer", answer_fields, 8};
const struct mr_message_format kv_format = {MR_PREFIX_VARINT, KV_MESSAGE_MAX};

const char *kv_status_text(uint8_t status)
{
    static const char *const texts[] = {"ok",        "not found", "conflict",
                                        "too large", "full",      "unavailable",
                                        "unknown",   "not ready", "refused"};

    return status <= KV_REFUSED ? texts[status] : "?";
}

struct mr_view kv_lives_encode(const uint64_t lives[], uint32_t count,
                               uint8_t bytes_out[8 * KV_NODES_MAX])
{
    for (uint32_t i = 0; i < 8 * count; i++)
        bytes_out[i] = (uint8_t)(lives[i / 8] >> (56 - 8 * (i % 8)));
    return (struct mr_view){bytes_out, 8 * (size_t)count};
}

bool kv_lives_decode(struct mr_view bytes, uint64_t lives_out[], uint32_t count)
{
    if (bytes.size != 8 * (size_t)count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        lives_out[i] = 0;
    for (uint32_t i = 0; i < 8 * count; i++)
        lives_out[i / 8] = lives_out[i / 8] << 8 | bytes.data[i];
    return true;
}
