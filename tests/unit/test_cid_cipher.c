/* Tests of quic/cid_cipher.h, with the vectors and the examples of draft-ietf-quic-load-balancers.
 */
#include "quic/cid_cipher.h"

#include <string.h>

#include "base/compiler.h"
#include "tests/hex.h"
#include "tests/unit/harness.h"

/* Appendix "Load Balancer Test Vectors", and the example of "General Case: Four-Pass Encryption".
 * Of one vector the draft prints another first octet than its own rule gives; it is not looked at
 * here. */
static const struct {
    const char *key;
    const char *plain; /* server ID, nonce */
    const char *cid;   /* without its first octet */
} vectors[] = {
    {"8f95f09245765f80256934e50c66207f", "ed793aee080dbf", "20b1d07b359d3c"},
    {"8f95f09245765f80256934e50c66207f", "ed793a51d49b8f5fab65ee080dbf48",
     "cc381bc74cb4fbad2823a3d1f8fed2"},
    {"8f95f09245765f80256934e50c66207f", "ed793a51d49b8f5fee080dbf48c0d1e5",
     "4dd2d05a7b0de9b2b9907afb5ecf8cc3"},
    {"8f95f09245765f80256934e50c66207f", "ed793a51d49b8f5fabee080dbf48c0d1e55d",
     "5779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"},
    {"fdf726a9893ec05c0632d3956680baf0", "31441a9c69c275", "67947d29be054a"},
};

static void open_with(struct mr_cid_cipher *cipher, const char *hex)
{
    uint8_t key[MR_CID_KEY];

    mr_hex(hex, key, sizeof(key));
    CU_ASSERT_TRUE_FATAL(mr_cid_cipher_open(cipher, key));
}

/* "When the nonce length and server ID length sum to exactly 16 octets, the server MUST use a
 * single-pass encryption algorithm." (draft-ietf-quic-load-balancers: Special Case: Single Pass
 * Encryption)  "When configured with both a key, and a nonce length and server ID length that sum
 * to any number other than 16, the server MUST follow the algorith below to encrypt the connection
 * ID." (draft-ietf-quic-load-balancers: General Case: Four-Pass Encryption) */
static void the_vectors_of_the_draft_are_met(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(vectors); i++) {
        struct mr_cid_cipher cipher;
        uint8_t plain[MR_CID_PLAIN_MAX];
        uint8_t expected[MR_CID_PLAIN_MAX];
        uint8_t bytes[MR_CID_PLAIN_MAX];
        size_t size = mr_hex(vectors[i].plain, plain, sizeof(plain));

        CU_ASSERT_EQUAL(mr_hex(vectors[i].cid, expected, sizeof(expected)), size);
        open_with(&cipher, vectors[i].key);
        memcpy(bytes, plain, size);
        mr_cid_encrypt(&cipher, bytes, size);
        CU_ASSERT_EQUAL(memcmp(bytes, expected, size), 0);
        mr_cid_decrypt(&cipher, bytes, size);
        CU_ASSERT_EQUAL(memcmp(bytes, plain, size), 0);
        mr_cid_cipher_close(&cipher);
    }
}

/* Every size there is, and nothing beyond it is touched. */
static void what_is_encrypted_is_decrypted(void)
{
    struct mr_cid_cipher cipher;

    open_with(&cipher, vectors[0].key);
    for (size_t size = MR_CID_PLAIN_MIN; size <= MR_CID_PLAIN_MAX; size++) {
        for (uint32_t i = 0; i < 200; i++) {
            uint8_t bytes[MR_CID_PLAIN_MAX + 1];
            uint8_t plain[MR_CID_PLAIN_MAX + 1];

            for (size_t k = 0; k < sizeof(bytes); k++)
                bytes[k] = (uint8_t)(i * 131 + k * 17 + (i >> 3) * k);
            memcpy(plain, bytes, sizeof(plain));
            mr_cid_encrypt(&cipher, bytes, size);
            CU_ASSERT_NOT_EQUAL(memcmp(bytes, plain, size), 0);
            CU_ASSERT_EQUAL(memcmp(bytes + size, plain + size, sizeof(bytes) - size), 0);
            mr_cid_decrypt(&cipher, bytes, size);
            CU_ASSERT_EQUAL(memcmp(bytes, plain, sizeof(bytes)), 0);
        }
    }
    mr_cid_cipher_close(&cipher);
}

static void another_key_gives_another(void)
{
    struct mr_cid_cipher one, other;
    uint8_t a[7] = {1, 2, 3, 4, 5, 6, 7};
    uint8_t b[7] = {1, 2, 3, 4, 5, 6, 7};

    open_with(&one, vectors[0].key);
    open_with(&other, vectors[4].key);
    mr_cid_encrypt(&one, a, sizeof(a));
    mr_cid_encrypt(&other, b, sizeof(b));
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
    mr_cid_cipher_close(&one);
    mr_cid_cipher_close(&other);
    CU_ASSERT_FALSE(mr_cid_cipher_is_open(&one));
    mr_cid_cipher_close(&one); /* twice is once */
}

static CU_TestInfo tests[] = {
    {"the vectors of the draft are met", the_vectors_of_the_draft_are_met},
    {"what is encrypted is decrypted", what_is_encrypted_is_decrypted},
    {"another key gives another", another_key_gives_another},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/cid_cipher", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
