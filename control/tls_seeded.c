#include "control/tls_seeded.h"

#include <stddef.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#define SKIP_MAX                                                                                   \
    65536 /* numbers of the one sequence that the generator has: a seed is a place in it */

/* Switch a generator to its endless sequence, beginning at a place that `seed` gives. */
static bool start(EVP_RAND_CTX *generator, uint64_t seed)
{
    unsigned strength = 256;
    unsigned is_generating = 1;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(OSSL_RAND_PARAM_STRENGTH, &strength),
        OSSL_PARAM_construct_uint(OSSL_RAND_PARAM_GENERATE, &is_generating),
        OSSL_PARAM_construct_end(),
    };
    unsigned char skipped[256];
    size_t left = (size_t)((seed * UINT64_C(0x9e3779b97f4a7c15)) >> 48) % SKIP_MAX;

    if (generator == NULL || EVP_RAND_uninstantiate(generator) != 1 ||
        EVP_RAND_instantiate(generator, strength, 0, NULL, 0, params) != 1)
        return false;
    while (left > 0) {
        size_t size = left < sizeof(skipped) ? left : sizeof(skipped);

        if (EVP_RAND_generate(generator, skipped, size, 0, 0, NULL, 0) != 1)
            return false;
        left -= size;
    }
    return true;
}

void *mr_tls_seeded_open(uint64_t seed)
{
    OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();

    if (library == NULL)
        return NULL;
    if (RAND_set_DRBG_type(library, "TEST-RAND", NULL, NULL, NULL) == 1 &&
        mr_tls_seeded_restart(library, seed))
        return library;
    OSSL_LIB_CTX_free(library);
    return NULL;
}

bool mr_tls_seeded_restart(void *library, uint64_t seed)
{
    return start(RAND_get0_public(library), seed) && start(RAND_get0_private(library), ~seed);
}

void mr_tls_seeded_close(void *library)
{
    OSSL_LIB_CTX_free(library);
}
