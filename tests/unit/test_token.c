/* Tests of quic/token.h.  The Retry integrity vector is in tests/conformance/test_codec_vectors.c.
 */
#include "quic/token.h"

#include "tests/hex.h"
#include "tests/unit/harness.h"

enum {
    NOW = 1700000000
};

static const uint8_t static_key[MR_STATIC_KEY] = {1, 2, 3};
static const struct mr_addr client = {
    .ip = {[10] = 0xff, [11] = 0xff, [12] = 198, [13] = 18, [15] = 5}, .port = 4433};
static const struct mr_retry_claims claims = {
    .original_dcid = {18, {7, 7, 7}},
    .retry_scid = {8, {1, 2, 3, 4, 5, 6, 7, 8}},
};
static struct mr_token_keys keys;

static void with_keys(void)
{
    CU_ASSERT_TRUE_FATAL(mr_token_keys_init(&keys, static_key));
}

static void without_keys(void)
{
    mr_token_keys_wipe(&keys);
}

static enum mr_token_verdict validate_retry(const uint8_t *token, size_t size, uint64_t now_s)
{
    struct mr_retry_claims got;

    return mr_token_validate_retry(&keys, MR_VERSION_1, token, size, &client,
                                   mr_cid_view(&claims.retry_scid), &got, now_s);
}

static void a_retry_token_gives_back_what_it_was_made_of(void)
{
    uint8_t token[MR_TOKEN_RETRY_SIZE];
    struct mr_retry_claims got = {0};

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 99, token, NOW);
    CU_ASSERT_EQUAL(mr_token_kind(token, sizeof(token)), MR_TOKEN_RETRY);
    CU_ASSERT_EQUAL(mr_token_validate_retry(&keys, MR_VERSION_1, token, sizeof(token), &client,
                                            mr_cid_view(&claims.retry_scid), &got, NOW + 1),
                    MR_TOKEN_VALID);
    CU_ASSERT_TRUE(mr_cid_equal(&got.original_dcid, &claims.original_dcid));
    CU_ASSERT_TRUE(mr_cid_equal(&got.retry_scid, &claims.retry_scid));
}

static void a_token_means_the_same_to_every_holder_of_the_static_key(void)
{
    uint8_t token[MR_TOKEN_NEW_SIZE];
    uint8_t other_key[MR_STATIC_KEY] = {1, 2, 4};
    struct mr_token_keys other;

    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 99, token, NOW);
    CU_ASSERT_TRUE_FATAL(mr_token_keys_init(&other, static_key));
    CU_ASSERT_EQUAL(
        mr_token_validate_new(&other, MR_VERSION_1, token, sizeof(token), &client, NULL, NOW),
        MR_TOKEN_VALID);
    mr_token_keys_wipe(&other);

    CU_ASSERT_TRUE_FATAL(mr_token_keys_init(&other, other_key));
    CU_ASSERT_EQUAL(
        mr_token_validate_new(&other, MR_VERSION_1, token, sizeof(token), &client, NULL, NOW),
        MR_TOKEN_MALFORMED);
    mr_token_keys_wipe(&other);
}

static void every_flipped_bit_is_noticed(void)
{
    uint8_t retry[MR_TOKEN_RETRY_SIZE];
    uint8_t fresh[MR_TOKEN_NEW_SIZE];

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 99, retry, NOW);
    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 99, fresh, NOW);
    for (size_t bit = 0; bit < 8 * sizeof(retry); bit++) {
        retry[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_EQUAL(validate_retry(retry, sizeof(retry), NOW), MR_TOKEN_MALFORMED);
        retry[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof(fresh); bit++) {
        fresh[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_EQUAL(
            mr_token_validate_new(&keys, MR_VERSION_1, fresh, sizeof(fresh), &client, NULL, NOW),
            MR_TOKEN_MALFORMED);
        fresh[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CU_ASSERT_EQUAL(validate_retry(retry, sizeof(retry), NOW), MR_TOKEN_VALID);
}

static void a_token_of_any_other_size_is_malformed(void)
{
    uint8_t token[200] = {0};

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 99, token, NOW);
    for (size_t size = 0; size < sizeof(token); size++) {
        CU_ASSERT_EQUAL(validate_retry(token, size, NOW),
                        size == MR_TOKEN_RETRY_SIZE ? MR_TOKEN_VALID : MR_TOKEN_MALFORMED);
        CU_ASSERT_EQUAL(mr_token_kind(token, size),
                        size == MR_TOKEN_RETRY_SIZE ? MR_TOKEN_RETRY : MR_TOKEN_UNKNOWN);
    }
    CU_ASSERT_EQUAL(validate_retry(NULL, 0, NOW), MR_TOKEN_MALFORMED);
}

static void kinds_are_not_confused(void)
{
    uint8_t retry[MR_TOKEN_RETRY_SIZE];
    uint8_t fresh[MR_TOKEN_NEW_SIZE];

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 99, retry, NOW);
    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 99, fresh, NOW);
    CU_ASSERT_EQUAL(mr_token_kind(fresh, sizeof(fresh)), MR_TOKEN_NEW);
    CU_ASSERT_EQUAL(validate_retry(fresh, sizeof(fresh), NOW), MR_TOKEN_WRONG_KIND);
    CU_ASSERT_EQUAL(
        mr_token_validate_new(&keys, MR_VERSION_1, retry, sizeof(retry), &client, NULL, NOW),
        MR_TOKEN_WRONG_KIND);
}

static void tokens_expire(void)
{
    uint8_t retry[MR_TOKEN_RETRY_SIZE];
    uint8_t fresh[MR_TOKEN_NEW_SIZE];

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 99, retry, NOW);
    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 99, fresh, NOW);
    CU_ASSERT_EQUAL(validate_retry(retry, sizeof(retry), NOW + MR_TOKEN_RETRY_LIFETIME_S),
                    MR_TOKEN_VALID);
    CU_ASSERT_EQUAL(validate_retry(retry, sizeof(retry), NOW + MR_TOKEN_RETRY_LIFETIME_S + 1),
                    MR_TOKEN_EXPIRED);
    CU_ASSERT_EQUAL(mr_token_validate_new(&keys, MR_VERSION_1, fresh, sizeof(fresh), &client, NULL,
                                          NOW + MR_TOKEN_NEW_LIFETIME_S),
                    MR_TOKEN_VALID);
    CU_ASSERT_EQUAL(mr_token_validate_new(&keys, MR_VERSION_1, fresh, sizeof(fresh), &client, NULL,
                                          NOW + MR_TOKEN_NEW_LIFETIME_S + 1),
                    MR_TOKEN_EXPIRED);
    CU_ASSERT_EQUAL(
        mr_token_validate_new(&keys, MR_VERSION_1, fresh, sizeof(fresh), &client, NULL, UINT64_MAX),
        MR_TOKEN_EXPIRED);
}

static void tokens_from_the_future_are_refused(void)
{
    uint8_t token[MR_TOKEN_NEW_SIZE];

    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 99, token, NOW);
    CU_ASSERT_EQUAL(mr_token_validate_new(&keys, MR_VERSION_1, token, sizeof(token), &client, NULL,
                                          NOW - MR_TOKEN_SKEW_S),
                    MR_TOKEN_VALID);
    CU_ASSERT_EQUAL(mr_token_validate_new(&keys, MR_VERSION_1, token, sizeof(token), &client, NULL,
                                          NOW - MR_TOKEN_SKEW_S - 1),
                    MR_TOKEN_EXPIRED);
    CU_ASSERT_EQUAL(
        mr_token_validate_new(&keys, MR_VERSION_1, token, sizeof(token), &client, NULL, 0),
        MR_TOKEN_EXPIRED);
}

static void another_address_is_refused(void)
{
    uint8_t retry[MR_TOKEN_RETRY_SIZE];
    uint8_t fresh[MR_TOKEN_NEW_SIZE];
    struct mr_retry_claims got;
    struct mr_addr elsewhere = client;

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 99, retry, NOW);
    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 99, fresh, NOW);

    elsewhere.port++; /* only a Retry token minds */
    CU_ASSERT_EQUAL(
        mr_token_validate_new(&keys, MR_VERSION_1, fresh, sizeof(fresh), &elsewhere, NULL, NOW),
        MR_TOKEN_VALID);
    CU_ASSERT_EQUAL(mr_token_validate_retry(&keys, MR_VERSION_1, retry, sizeof(retry), &elsewhere,
                                            mr_cid_view(&claims.retry_scid), &got, NOW),
                    MR_TOKEN_WRONG_ADDRESS);

    elsewhere = client;
    elsewhere.ip[15]++;
    CU_ASSERT_EQUAL(
        mr_token_validate_new(&keys, MR_VERSION_1, fresh, sizeof(fresh), &elsewhere, NULL, NOW),
        MR_TOKEN_WRONG_ADDRESS);
    CU_ASSERT_EQUAL(mr_token_validate_retry(&keys, MR_VERSION_1, retry, sizeof(retry), &elsewhere,
                                            mr_cid_view(&claims.retry_scid), &got, NOW),
                    MR_TOKEN_WRONG_ADDRESS);
}

static void a_retry_token_belongs_to_the_connection_id_of_its_retry(void)
{
    uint8_t token[MR_TOKEN_RETRY_SIZE];
    struct mr_retry_claims got = {.retry_scid = {.size = 1}};

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 99, token, NOW);
    CU_ASSERT_EQUAL(mr_token_validate_retry(&keys, MR_VERSION_1, token, sizeof(token), &client,
                                            mr_cid_view(&claims.original_dcid), &got, NOW),
                    MR_TOKEN_WRONG_CID);
    CU_ASSERT_EQUAL(got.retry_scid.size, 1); /* untouched */
}

static void tokens_of_one_client_differ_and_hide_what_they_hold(void)
{
    uint8_t a[MR_TOKEN_RETRY_SIZE];
    uint8_t b[MR_TOKEN_RETRY_SIZE];

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 1, a, NOW);
    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 2, b, NOW);
    CU_ASSERT_NOT_EQUAL(memcmp(a + 1, b + 1, 16), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(a + 17 + 8, b + 17 + 8, 60), 0); /* fields that are equal in both */

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 1, b, NOW);
    CU_ASSERT_EQUAL(memcmp(a, b, sizeof(a)),
                    0); /* a repeated nonce repeats the token, nothing more */
}

static void reset_tokens_depend_on_key_and_connection_id(void)
{
    uint8_t a[MR_RESET_TOKEN];
    uint8_t b[MR_RESET_TOKEN];
    uint8_t other_key[MR_STATIC_KEY] = {9};
    struct mr_token_keys other;
    struct mr_cid cid = claims.retry_scid;

    mr_reset_token(&keys, mr_cid_view(&cid), a);
    mr_reset_token(&keys, mr_cid_view(&cid), b);
    CU_ASSERT_TRUE(mr_reset_token_equal(a, b));

    cid.bytes[7] ^= 1;
    mr_reset_token(&keys, mr_cid_view(&cid), b);
    CU_ASSERT_FALSE(mr_reset_token_equal(a, b));
    cid = claims.retry_scid;
    cid.size--;
    mr_reset_token(&keys, mr_cid_view(&cid), b);
    CU_ASSERT_FALSE(mr_reset_token_equal(a, b));

    CU_ASSERT_TRUE_FATAL(mr_token_keys_init(&other, other_key));
    mr_reset_token(&other, mr_cid_view(&claims.retry_scid), b);
    CU_ASSERT_FALSE(mr_reset_token_equal(a, b));
    mr_token_keys_wipe(&other);
}

/* RFC 9369, Section 5: "Servers MUST validate the originating version of any session ticket or
 * token and not accept one issued from a different version." */
static void a_token_of_another_version_is_not_valid(void)
{
    struct mr_retry_claims got;
    uint8_t token[MR_TOKEN_SIZE_MAX];

    mr_token_write_new(&keys, MR_VERSION_2, &client, NULL, 99, token, NOW);
    CU_ASSERT_EQUAL(
        mr_token_validate_new(&keys, MR_VERSION_2, token, MR_TOKEN_NEW_SIZE, &client, NULL, NOW),
        MR_TOKEN_VALID);
    CU_ASSERT_EQUAL(
        mr_token_validate_new(&keys, MR_VERSION_1, token, MR_TOKEN_NEW_SIZE, &client, NULL, NOW),
        MR_TOKEN_MALFORMED);
    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 99, token, NOW);
    CU_ASSERT_EQUAL(mr_token_validate_retry(&keys, MR_VERSION_2, token, MR_TOKEN_RETRY_SIZE,
                                            &client, mr_cid_view(&claims.retry_scid), &got, NOW),
                    MR_TOKEN_MALFORMED);
}

static void reset_tokens_are_compared_to_their_last_byte(void)
{
    uint8_t a[MR_RESET_TOKEN] = {0};
    uint8_t b[MR_RESET_TOKEN] = {0};

    for (size_t i = 0; i < MR_RESET_TOKEN; i++) {
        b[i] = 0x80;
        CU_ASSERT_FALSE(mr_reset_token_equal(a, b));
        b[i] = 0;
    }
    CU_ASSERT_TRUE(mr_reset_token_equal(a, b));
}

/*
 * The bytes as another program computes them from the description in token.h (HMAC-SHA256 of
 * Python, AES-256-CTR of its cryptography package): tokens outlive the process that made them, so
 * their format is a promise.
 */
static void tokens_are_made_as_described(void)
{
    uint8_t expected[MR_TOKEN_SIZE_MAX];
    uint8_t token[MR_TOKEN_SIZE_MAX];

    CU_ASSERT_EQUAL(mr_hex("3235ce5848bb17d98403e1a45308e83c40069a49afe0ebf6e690b3f08ce4773c6616a9"
                           "7bbe68cb35bb1c0870bedbe2f3fbda7a4ac89d487d6f",
                           expected, sizeof(expected)),
                    MR_TOKEN_NEW_SIZE);
    mr_token_write_new(&keys, MR_VERSION_1, &client,
                       &(struct mr_saved_path){.window = 0x12345, .rtt_us = 250000}, 99, token,
                       NOW);
    CU_ASSERT_EQUAL(memcmp(token, expected, MR_TOKEN_NEW_SIZE), 0);

    CU_ASSERT_EQUAL(mr_hex("319a14cfd378384ec7d4873a0c6edee2e5d5f087164d49cdd422ad54cd38e361743884"
                           "d0736731b70faf5b776317c1db881457f5925771d1f43735a2abcd5a769b874e1a42d0"
                           "21b915d343545ddd7b387a66068ff8e0d93055c361c360",
                           expected, sizeof(expected)),
                    MR_TOKEN_RETRY_SIZE);
    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 99, token, NOW);
    CU_ASSERT_EQUAL(memcmp(token, expected, MR_TOKEN_RETRY_SIZE), 0);

    mr_hex("f77f92dcc0cf06279753f7d7b07012f1", expected, sizeof(expected));
    mr_reset_token(&keys, mr_cid_view(&claims.retry_scid), token);
    CU_ASSERT_EQUAL(memcmp(token, expected, MR_RESET_TOKEN), 0);
}

static void wiping_twice_is_harmless(void)
{
    struct mr_token_keys local = {0};

    mr_token_keys_wipe(&local);
    CU_ASSERT_TRUE(mr_token_keys_init(&local, static_key));
    mr_token_keys_wipe(&local);
    mr_token_keys_wipe(&local);
    CU_ASSERT_PTR_NULL(local.retry_tag[0]);
}

static const uint8_t next_static_key[MR_STATIC_KEY] = {9, 9, 9};

static enum mr_token_verdict validate_new(const uint8_t *token)
{
    return mr_token_validate_new(&keys, MR_VERSION_1, token, MR_TOKEN_NEW_SIZE, &client, NULL, NOW);
}

static void tokens_of_earlier_keys_are_understood_while_these_are_kept(void)
{
    uint8_t old[MR_TOKEN_NEW_SIZE];
    uint8_t fresh[MR_TOKEN_NEW_SIZE];
    struct mr_token_key key;

    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 1, old, NOW);
    CU_ASSERT_TRUE_FATAL(mr_token_key_make(&key, next_static_key));
    mr_token_keys_swap(&keys, 1, &key);
    CU_ASSERT_PTR_NULL(key.mac);
    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 1, fresh, NOW);
    CU_ASSERT_EQUAL(memcmp(old, fresh, sizeof(old)), 0); /* understood, not written with */
    mr_token_keys_write_with(&keys, 1);
    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 1, fresh, NOW);
    CU_ASSERT_NOT_EQUAL(memcmp(old + 1, fresh + 1, sizeof(old) - 1), 0);
    CU_ASSERT_EQUAL(mr_token_kind(fresh, sizeof(fresh)), MR_TOKEN_NEW);
    CU_ASSERT_EQUAL(validate_new(old), MR_TOKEN_VALID);
    CU_ASSERT_EQUAL(validate_new(fresh), MR_TOKEN_VALID);

    mr_token_keys_swap(&keys, 0, &key); /* the window of the first key is over */
    CU_ASSERT_PTR_NOT_NULL(key.mac);
    mr_token_key_wipe(&key);
    CU_ASSERT_EQUAL(validate_new(old), MR_TOKEN_MALFORMED);
    CU_ASSERT_EQUAL(validate_new(fresh), MR_TOKEN_VALID);
}

static void a_key_has_one_number(void)
{
    uint8_t token[MR_TOKEN_RETRY_SIZE];
    struct mr_token_key key;

    CU_ASSERT_TRUE_FATAL(mr_token_key_make(&key, static_key)); /* the same as number 0 */
    mr_token_keys_swap(&keys, 3, &key);
    mr_token_keys_write_with(&keys, 3);
    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 99, token, NOW);
    CU_ASSERT_EQUAL(token[0], 0x3d);
    CU_ASSERT_EQUAL(validate_retry(token, sizeof(token), NOW), MR_TOKEN_VALID);
    token[0] = 0x31; /* the number is authenticated */
    CU_ASSERT_EQUAL(validate_retry(token, sizeof(token), NOW), MR_TOKEN_MALFORMED);
    token[0] = 0x39; /* no key has this number */
    CU_ASSERT_EQUAL(validate_retry(token, sizeof(token), NOW), MR_TOKEN_MALFORMED);
}

static void reset_tokens_do_not_change_with_the_keys(void)
{
    const struct mr_cid cid = {8, {1, 2, 3}};
    uint8_t before[MR_RESET_TOKEN];
    uint8_t after[MR_RESET_TOKEN];
    struct mr_token_key key;

    mr_reset_token(&keys, mr_cid_view(&cid), before);
    CU_ASSERT_TRUE_FATAL(mr_token_key_make(&key, next_static_key));
    mr_token_keys_swap(&keys, 1, &key);
    mr_token_keys_write_with(&keys, 1);
    mr_reset_token(&keys, mr_cid_view(&cid), after);
    CU_ASSERT_EQUAL(memcmp(before, after, sizeof(before)), 0);
}

static void a_new_token_says_for_an_hour_what_the_path_carried(void)
{
    const struct mr_saved_path path = {.window = 0xfedcba98, .rtt_us = 0x12345678};
    uint8_t token[MR_TOKEN_NEW_SIZE];

    mr_token_write_new(&keys, MR_VERSION_1, &client, &path, 1, token, NOW);
    for (uint64_t age_s = MR_RESUME_LIFETIME_S; age_s < MR_RESUME_LIFETIME_S + 2; age_s++) {
        bool is_fresh = age_s == MR_RESUME_LIFETIME_S;
        struct mr_saved_path got = {1, 1};

        CU_ASSERT_EQUAL(mr_token_validate_new(&keys, MR_VERSION_1, token, sizeof(token), &client,
                                              &got, NOW + age_s),
                        MR_TOKEN_VALID);
        CU_ASSERT_EQUAL(got.window, is_fresh ? path.window : 0);
        CU_ASSERT_EQUAL(got.rtt_us, is_fresh ? path.rtt_us : 0);
    }
}

static CU_TestInfo tests[] = {
    {"a NEW_TOKEN says for an hour what the path carried",
     a_new_token_says_for_an_hour_what_the_path_carried},
    {"tokens of earlier keys are understood while these are kept",
     tokens_of_earlier_keys_are_understood_while_these_are_kept},
    {"a key has one number", a_key_has_one_number},
    {"reset tokens do not change with the keys", reset_tokens_do_not_change_with_the_keys},
    {"a Retry token gives back what it was made of", a_retry_token_gives_back_what_it_was_made_of},
    {"a token means the same to every holder of the static key",
     a_token_means_the_same_to_every_holder_of_the_static_key},
    {"every flipped bit is noticed", every_flipped_bit_is_noticed},
    {"a token of any other size is malformed", a_token_of_any_other_size_is_malformed},
    {"kinds are not confused", kinds_are_not_confused},
    {"tokens expire", tokens_expire},
    {"tokens from the future are refused", tokens_from_the_future_are_refused},
    {"another address is refused", another_address_is_refused},
    {"a Retry token belongs to the connection ID of its Retry",
     a_retry_token_belongs_to_the_connection_id_of_its_retry},
    {"tokens of one client differ and hide what they hold",
     tokens_of_one_client_differ_and_hide_what_they_hold},
    {"reset tokens depend on key and connection ID", reset_tokens_depend_on_key_and_connection_id},
    {"a token of another version is not valid", a_token_of_another_version_is_not_valid},
    {"reset tokens are compared to their last byte", reset_tokens_are_compared_to_their_last_byte},
    {"tokens are made as described", tokens_are_made_as_described},
    {"wiping twice is harmless", wiping_twice_is_harmless},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/token",
     .pTests = tests,
     .pSetUpFunc = with_keys,
     .pTearDownFunc = without_keys},
    CU_SUITE_INFO_NULL,
};
