#include "quic/version.h"

#include "base/assert.h"
#include "quic/wire_fields.h"

/* The value of version_information; NULL: there is none, or what comes before it cannot be read. */
static const uint8_t *find_information(const uint8_t *params, size_t size, size_t *size_out)
{
    struct mr_reader r = mr_reader(params, size);

    while (!r.failed && mr_reader_left(&r) > 0) {
        uint64_t id = mr_read_varint(&r);
        uint64_t length = mr_read_varint(&r);
        const uint8_t *value = mr_read_bytes(&r, length);

        if (id == MR_PARAM_VERSION_INFORMATION && value != NULL && length >= 4) {
            *size_out = length;
            return value;
        }
    }
    return NULL;
}

uint32_t mr_version_negotiate(const uint8_t *params, size_t size, uint32_t original,
                              uint8_t accepted)
{
    size_t versions_size;
    const uint8_t *versions = find_information(params, size, &versions_size);

    if (versions == NULL || mr_load_u32(versions) != original)
        return original;
    for (size_t at = 4; at + 4 <= versions_size; at += 4) {
        uint32_t version = mr_load_u32(versions + at);

        if (mr_version_is_in(version, accepted))
            return version;
    }
    return original;
}

bool mr_version_set_chosen(uint8_t *params, size_t size, uint32_t version)
{
    size_t versions_size;
    const uint8_t *versions = find_information(params, size, &versions_size);

    if (versions == NULL)
        return false;
    mr_store_be(params + (versions - params), version, 4);
    return true;
}

void mr_version_write_information(struct mr_transport_params *params, uint32_t chosen,
                                  const uint32_t *available, size_t count, uint32_t random)
{
    uint8_t *at = params->version_information;

    MR_ASSERT((count + 2) * 4 <= MR_VERSION_INFORMATION_MAX);
    mr_store_be(at, chosen, 4);
    for (size_t i = 0; i < count; i++)
        mr_store_be(at += 4, available[i], 4);
    mr_store_be(at += 4, mr_version_reserved(random), 4);
    params->has_version_information = true;
    params->version_information_size = (uint8_t)(4 * (count + 2));
}

uint32_t mr_version_chosen(const struct mr_transport_params *params)
{
    return mr_load_u32(params->version_information);
}

bool mr_version_is_available(const struct mr_transport_params *params, uint32_t version)
{
    for (size_t at = 4; at + 4 <= params->version_information_size; at += 4) {
        if (mr_load_u32(params->version_information + at) == version)
            return true;
    }
    return false;
}
