/* Where the CPU family has no AES instructions that quic/hp_aesni.h knows: masks go through EVP. */
#include "quic/hp_aesni.h"

#include "base/assert.h"

bool mr_hp_aesni_is_available(void)
{
    return false;
}

bool mr_hp_aesni_is_wide(void)
{
    return false;
}

void mr_hp_aesni_expand(uint8_t *schedule, const uint8_t *key, size_t key_size)
{
    (void)schedule;
    (void)key;
    (void)key_size;
    mr_panic(__FILE__, __LINE__, "no AES instructions");
}

void mr_hp_aesni_masks(const struct mr_hp_lane *lanes, uint32_t count)
{
    (void)lanes;
    (void)count;
    mr_panic(__FILE__, __LINE__, "no AES instructions");
}
