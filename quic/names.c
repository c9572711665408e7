/* quic/names.c - see names.h. */
#include "quic/names.h"

#include <string.h>

#include "base/assert.h"

static struct mr_name *name_at(const struct mr_names *names, uint32_t index)
{
    return mr_pool_at(&names->pool, index);
}

static uint32_t add(struct mr_names *names, const char *text, size_t size, uint64_t hash)
{
    uint32_t index = mr_pool_get(&names->pool);

    if (index == MR_NONE)
        return MR_NONE;
    struct mr_name *name = name_at(names, index);
    name->references = 1;
    name->hash = hash;
    name->is_listed = mr_table8_insert(&names->table, hash, index) == MR_TABLE_ADDED;
    memcpy(name->text, text, size);
    name->text[size] = '\0';
    return index;
}

uint32_t mr_name_keep(struct mr_names *names, const char *text)
{
    size_t size = strlen(text);

    if (size == 0 || size > MR_NAME_MAX)
        return MR_NONE;

    uint64_t hash = mr_siphash24(&names->key, text, size);
    uint32_t index = mr_table8_find(&names->table, hash);
    if (index == MR_NONE || strcmp(name_at(names, index)->text, text) != 0)
        return add(names, text, size, hash);
    name_at(names, index)->references++;
    return index;
}

void mr_name_drop(struct mr_names *names, uint32_t index)
{
    if (index == MR_NONE)
        return;

    struct mr_name *name = name_at(names, index);
    MR_ASSERT(name->references > 0);
    if (--name->references > 0)
        return;
    if (name->is_listed)
        mr_table8_remove(&names->table, name->hash);
    mr_pool_put(&names->pool, index);
}

const char *mr_name_text(const struct mr_names *names, uint32_t index)
{
    return index == MR_NONE ? "" : name_at(names, index)->text;
}
