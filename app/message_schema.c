/* app/message_schema.c - structs as messages; see millrace/message.h. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "millrace/message.h"

enum {
    LENGTH_SIZE = 4
};

static size_t size_of_number(enum mr_field_kind kind)
{
    return kind == MR_FIELD_U8 ? 1 : kind == MR_FIELD_U32 ? 4 : 8;
}

static bool is_in_bounds(const struct mr_field *field, uint64_t value)
{
    return value >= field->min && (field->max == 0 || value <= field->max);
}

static uint64_t get_number(const struct mr_field *field, const void *object)
{
    const uint8_t *at = (const uint8_t *)object + field->offset;
    uint64_t u64;
    uint32_t u32;

    switch (field->kind) {
    case MR_FIELD_U8:
        return *at;
    case MR_FIELD_U32:
        memcpy(&u32, at, sizeof(u32));
        return u32;
    default:
        memcpy(&u64, at, sizeof(u64));
        return u64;
    }
}

static void set_number(const struct mr_field *field, void *object, uint64_t value)
{
    uint8_t *at = (uint8_t *)object + field->offset;
    uint32_t u32 = (uint32_t)value;

    switch (field->kind) {
    case MR_FIELD_U8:
        *at = (uint8_t)value;
        return;
    case MR_FIELD_U32:
        memcpy(at, &u32, sizeof(u32));
        return;
    default:
        memcpy(at, &value, sizeof(value));
    }
}

static void store(uint8_t *out, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

static uint64_t load(const uint8_t *data, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        value = value << 8 | data[i];
    return value;
}

/* ------------------------------------------------------------------ struct to bytes */

/* Bytes written; -ENOSPC; -ERANGE. */
static ssize_t encode_bytes(const struct mr_field *field, const void *object, uint8_t *out,
                            size_t room)
{
    struct mr_view view;

    memcpy(&view, (const uint8_t *)object + field->offset, sizeof(view));
    if (!is_in_bounds(field, view.size) || view.size > UINT32_MAX)
        return -ERANGE;
    if (room < LENGTH_SIZE || room - LENGTH_SIZE < view.size)
        return -ENOSPC;
    mr_store_be32(out, (uint32_t)view.size);
    if (view.size > 0)
        memcpy(out + LENGTH_SIZE, view.data, view.size);
    return (ssize_t)(LENGTH_SIZE + view.size);
}

static ssize_t encode_number(const struct mr_field *field, const void *object, uint8_t *out,
                             size_t room)
{
    uint64_t value = get_number(field, object);
    size_t size = size_of_number(field->kind);

    if (!is_in_bounds(field, value))
        return -ERANGE;
    if (room < size)
        return -ENOSPC;
    store(out, value, size);
    return (ssize_t)size;
}

ssize_t mr_schema_encode(const struct mr_schema *schema, const void *object, uint8_t *out,
                         size_t room)
{
    size_t used = 0;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct mr_field *field = &schema->fields[i];
        ssize_t size = field->kind == MR_FIELD_BYTES
                           ? encode_bytes(field, object, out + used, room - used)
                           : encode_number(field, object, out + used, room - used);
        if (size < 0)
            return size;
        used += (size_t)size;
    }
    return (ssize_t)used;
}

/* ------------------------------------------------------------------ bytes to struct */

/* Bytes taken; -EBADMSG; -ERANGE. */
static ssize_t decode_bytes(const struct mr_field *field, const uint8_t *data, size_t size,
                            void *object)
{
    if (size < LENGTH_SIZE)
        return -EBADMSG;
    uint32_t length = mr_load_be32(data);
    if (!is_in_bounds(field, length))
        return -ERANGE;
    if (length > size - LENGTH_SIZE)
        return -EBADMSG;
    struct mr_view view = {.data = data + LENGTH_SIZE, .size = length};
    memcpy((uint8_t *)object + field->offset, &view, sizeof(view));
    return (ssize_t)(LENGTH_SIZE + length);
}

static ssize_t decode_number(const struct mr_field *field, const uint8_t *data, size_t size,
                             void *object)
{
    size_t width = size_of_number(field->kind);

    if (size < width)
        return -EBADMSG;
    uint64_t value = load(data, width);
    if (!is_in_bounds(field, value))
        return -ERANGE;
    set_number(field, object, value);
    return (ssize_t)width;
}

int mr_schema_decode(const struct mr_schema *schema, const uint8_t *data, size_t size,
                     void *object_out)
{
    size_t used = 0;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct mr_field *field = &schema->fields[i];
        ssize_t taken = field->kind == MR_FIELD_BYTES
                            ? decode_bytes(field, data + used, size - used, object_out)
                            : decode_number(field, data + used, size - used, object_out);
        if (taken < 0)
            return (int)taken;
        used += (size_t)taken;
    }
    return used == size ? 0 : -EBADMSG;
}
