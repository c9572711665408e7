/*
 * Tests of quic/keys.h.  Vectors: RFC 9001, Appendix A.1 and A.5; RFC 9369, Appendix A.1; RFC 4231.
 * Those of SHA-384 were computed with an independent HMAC.
 */
#include "quic/keys.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "tests/hex.h"
#include "tests/unit/harness.h"

static void check_bytes(const uint8_t *bytes, const char *text)
{
    uint8_t expected[64];
    size_t size = mr_hex(text, expected, sizeof(expected));

    CU_ASSERT_EQUAL(memcmp(bytes, expected, size), 0);
}

static const struct mr_cid dcid = {.size = 8,
                                   .bytes = {0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08}};

static const struct {
    uint32_t version;
    enum mr_role role;
    const char *secret;
    const char *key;
    const char *iv;
    const char *hp;
    const char *next;
} initials[] = {
    {MR_VERSION_1, MR_CLIENT, "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea",
     "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
     "9f50449e04a0e810283a1e9933adedd2",
     "4428ffa195ad665b9ebf9456945b99e8ff848512cab93d0426436409047d666c"},
    {MR_VERSION_1, MR_SERVER, "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b",
     "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e",
     "c206b8d9b9f0f37644430b490eeaa314",
     "ae372bd4e82a5284eac04299b656bf1a0f8aafb43fe9dc4937fa071c81379756"},
    {MR_VERSION_2, MR_CLIENT, "14ec9d6eb9fd7af83bf5a668bc17a7e283766aade7ecd0891f70f9ff7f4bf47b",
     "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f",
     "45b95e15235d6f45a6b19cbcb0294ba9",
     "164364fad7ac392dbeecd964e1e3def646b6fbe3bd2b8141ed2da4524fba3de0"},
    {MR_VERSION_2, MR_SERVER, "0263db1782731bf4588e7e4d93b7463907cb8cd8200b5da55a8bd488eafc37c1",
     "82db637861d55e1d011f19ea71d5d2a7", "dd13c276499c0249d3310652",
     "edf6d05c83121201b436e16877593c3a",
     "9e6c71d7ea3a454fe9b079743ccb3a588a687d189d356a5475c4ccb1ac9b326f"},
};

static void initial_secrets_and_keys_are_the_rfcs(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(initials); i++) {
        struct mr_initial_secrets secrets;
        struct mr_key_material keys;
        struct mr_secret *secret = &secrets.of[initials[i].role];

        mr_keys_initial(initials[i].version, &dcid, &secrets);
        mr_keys_derive(initials[i].version, secret, &keys);
        CU_ASSERT_EQUAL(secret->size, 32);
        CU_ASSERT_EQUAL(secret->cipher, MR_CIPHER_AES_128_GCM);
        CU_ASSERT_EQUAL(keys.cipher, MR_CIPHER_AES_128_GCM);
        check_bytes(secret->bytes, initials[i].secret);
        check_bytes(keys.key, initials[i].key);
        check_bytes(keys.iv, initials[i].iv);
        check_bytes(keys.hp, initials[i].hp);
        mr_keys_update(initials[i].version, secret, &keys);
        check_bytes(secret->bytes, initials[i].next);
    }
}

static void an_empty_cid_gives_secrets_too(void)
{
    const struct mr_cid none = {.size = 0};
    struct mr_initial_secrets with;
    struct mr_initial_secrets without;

    mr_keys_initial(MR_VERSION_1, &dcid, &with);
    mr_keys_initial(MR_VERSION_1, &none, &without);
    CU_ASSERT_NOT_EQUAL(memcmp(with.of[0].bytes, without.of[0].bytes, 32), 0);
}

static void an_update_changes_key_and_iv_and_keeps_hp(void)
{
    struct mr_secret secret = {.size = 32, .cipher = MR_CIPHER_CHACHA20_POLY1305};
    struct mr_key_material keys;

    mr_hex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b", secret.bytes,
           sizeof(secret.bytes));
    mr_keys_derive(MR_VERSION_1, &secret, &keys);
    check_bytes(keys.key, "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8");
    check_bytes(keys.iv, "e0459b3474bdd0e44a41c144");

    mr_keys_update(MR_VERSION_1, &secret, &keys);
    check_bytes(secret.bytes, "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9");
    mr_keys_update(MR_VERSION_1, &secret, &keys);
    mr_keys_update(MR_VERSION_1, &secret, &keys);
    check_bytes(secret.bytes, "07e26e66b95ff52549b0447f911a42d684aee969a1fa0ec6be3f16a61da29b68");
    check_bytes(keys.key, "7a48bd0c2219984a2ed81e6d37fcba63412e05a1340a657e30ed0a5d175cc74e");
    check_bytes(keys.iv, "92fffd978e136ae96c388308");
    check_bytes(keys.hp, "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4");
}

static void aes_256_uses_sha_384_and_long_keys(void)
{
    struct mr_secret secret = {.size = 48, .cipher = MR_CIPHER_AES_256_GCM};
    struct mr_key_material keys;

    for (uint8_t i = 0; i < 48; i++)
        secret.bytes[i] = i;
    mr_keys_derive(MR_VERSION_1, &secret, &keys);
    check_bytes(keys.key, "95c517eea81b6469ff8f27a065fd04c1a27b3023591b93e273a9df5f921d1f68");
    check_bytes(keys.iv, "a8d8316bf5bb0bbfa74cbf17");
    check_bytes(keys.hp, "307135de335efef95873468a03d3dfa1e38050df7cc6ab7f22fd7aced73b66e5");

    mr_keys_update(MR_VERSION_1, &secret, &keys);
    check_bytes(secret.bytes, "d21f524277390ba96b86484d9c687f850f1e4d1f997033bba06051129179a762"
                              "a94067d065f3f715e83d65a7bf8c79b9");
    mr_keys_update(MR_VERSION_1, &secret, &keys);
    check_bytes(keys.key, "a132c79fedd87e35898ab881da830cdc0594e57ddab62400bd42f9e92cb63218");
    check_bytes(keys.iv, "f0295c83deb798e218039e08");
    check_bytes(keys.hp, "307135de335efef95873468a03d3dfa1e38050df7cc6ab7f22fd7aced73b66e5");
}

static void hmac_matches_rfc_4231(void)
{
    uint8_t key[20];
    uint8_t digest[32];

    memset(key, 0x0b, sizeof(key));
    mr_hmac_sha256(key, sizeof(key), "Hi There", 8, digest);
    check_bytes(digest, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    mr_hmac_sha256((const uint8_t *)"Jefe", 4, "what do ya want for nothing?", 28, digest);
    check_bytes(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void hmac_of_every_short_message_is_openssls(void)
{
    uint8_t key[64];
    uint8_t bytes[MR_HMAC_SHORT];
    uint8_t expected[32];

    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(7 * i + 3);
    for (size_t size = 0; size <= MR_HMAC_SHORT; size++) {
        size_t key_size = 1 + size % sizeof(key);
        struct mr_hmac_key absorbed;
        uint8_t digest[MR_HMAC_SHORT + 32];
        unsigned expected_size;

        for (size_t i = 0; i < size; i++)
            digest[i] = bytes[i] = (uint8_t)(11 * i + size);
        CU_ASSERT_PTR_NOT_NULL(
            HMAC(EVP_sha256(), key, (int)key_size, bytes, size, expected, &expected_size));
        mr_hmac_key_set(&absorbed, key, key_size);
        mr_hmac_short(&absorbed, digest, size, digest); /* in place */
        CU_ASSERT_EQUAL(memcmp(digest, expected, sizeof(expected)), 0);
        mr_hmac_short(&absorbed, bytes, size, digest); /* and again with the same key */
        CU_ASSERT_EQUAL(memcmp(digest, expected, sizeof(expected)), 0);
    }
}

static void wiped_secrets_are_zero(void)
{
    static const struct mr_secret no_secret;
    static const struct mr_key_material no_keys;
    struct mr_initial_secrets secrets;
    struct mr_key_material keys;

    mr_keys_initial(MR_VERSION_1, &dcid, &secrets);
    memset(&keys, 0xff, sizeof(keys));
    mr_keys_derive(MR_VERSION_1, &secrets.of[0], &keys);
    mr_secret_wipe(&secrets.of[0]);
    mr_key_material_wipe(&keys);
    CU_ASSERT_EQUAL(memcmp(&secrets.of[0], &no_secret, sizeof(no_secret)), 0);
    CU_ASSERT_EQUAL(memcmp(&keys, &no_keys, sizeof(no_keys)), 0);
}

static CU_TestInfo tests[] = {
    {"Initial secrets and keys are the RFC's", initial_secrets_and_keys_are_the_rfcs},
    {"an empty connection ID gives secrets too", an_empty_cid_gives_secrets_too},
    {"an update changes key and IV and keeps hp", an_update_changes_key_and_iv_and_keeps_hp},
    {"AES-256 uses SHA-384 and long keys", aes_256_uses_sha_384_and_long_keys},
    {"HMAC matches RFC 4231", hmac_matches_rfc_4231},
    {"HMAC of every short message is OpenSSL's", hmac_of_every_short_message_is_openssls},
    {"wiped secrets are zero", wiped_secrets_are_zero},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/keys", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
