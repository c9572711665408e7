/*
 * What RFC 9000, Sections 8.1.1 to 8.1.4 and 10.3, demands of tokens.  Each test quotes its
 * sentence.
 */
#include "quic/token.h"
#include "tests/unit/harness.h"

enum {
    NOW = 1700000000
};

static const uint8_t static_key[MR_STATIC_KEY] = {0x5a};
static const struct mr_addr client = {.ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, .port = 50000};
static const struct mr_retry_claims claims = {{8, {1}}, {8, {2}}};
static struct mr_token_keys keys;

static void with_keys(void)
{
    CU_ASSERT_TRUE_FATAL(mr_token_keys_init(&keys, static_key));
}

static void without_keys(void)
{
    mr_token_keys_wipe(&keys);
}

/* 8.1.1: "A token sent in a NEW_TOKEN frame or a Retry packet MUST be constructed in a way that
 * allows the server to identify how it was provided to a client." */
static void a_token_tells_how_it_was_provided(void)
{
    uint8_t retry[MR_TOKEN_RETRY_SIZE];
    uint8_t fresh[MR_TOKEN_NEW_SIZE];

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 1, retry, NOW);
    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 1, fresh, NOW);
    CU_ASSERT_EQUAL(mr_token_kind(retry, sizeof(retry)), MR_TOKEN_RETRY);
    CU_ASSERT_EQUAL(mr_token_kind(fresh, sizeof(fresh)), MR_TOKEN_NEW);
    fresh[0] = MR_TOKEN_RETRY; /* a client cannot turn one into the other */
    CU_ASSERT_EQUAL(mr_token_kind(fresh, sizeof(fresh)), MR_TOKEN_UNKNOWN);
}

/* 8.1.3: "A token issued with NEW_TOKEN MUST NOT include information that would allow values to be
 * linked by an observer to the connection on which it was issued.  For example, it cannot include
 * the previous connection ID or addressing information, unless the values are encrypted."
 * RFC 9001, Section 9.2: "These MUST NOT be used to communicate application semantics between
 * endpoints; clients MUST treat them as opaque values." */
static void a_new_token_shows_nothing_of_the_client(void)
{
    uint8_t token[MR_TOKEN_NEW_SIZE];

    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 1, token, NOW);
    for (size_t at = 0; at + 4 <= sizeof(token); at++) {
        CU_ASSERT_NOT_EQUAL(memcmp(token + at, client.ip, 4), 0);
        CU_ASSERT_NOT_EQUAL(memcmp(token + at, client.ip + 12, 4), 0);
    }
}

/* 8.1.3: "A server MUST ensure that every NEW_TOKEN frame it sends is unique across all clients".
 */
static void new_tokens_are_unique(void)
{
    static uint8_t tokens[200][MR_TOKEN_NEW_SIZE];

    for (size_t i = 0; i < MR_COUNT_OF(tokens); i++) {
        mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, i, tokens[i], NOW);
        for (size_t j = 0; j < i; j++)
            CU_ASSERT_NOT_EQUAL(memcmp(tokens[i] + 1, tokens[j] + 1, 16), 0);
    }
}

/* 8.1.3: "a token SHOULD have an expiration time"; "a token obtained in a Retry packet MUST be used
 * immediately".
 * RFC 9000, Section 8.1.4: "To protect against such attacks, servers MUST ensure that replay of
 * tokens is prevented or limited." */
static void tokens_expire_retry_tokens_soon(void)
{
    uint8_t retry[MR_TOKEN_RETRY_SIZE];
    uint8_t fresh[MR_TOKEN_NEW_SIZE];
    struct mr_retry_claims got;

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 1, retry, NOW);
    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 1, fresh, NOW);
    CU_ASSERT_EQUAL(mr_token_validate_retry(&keys, MR_VERSION_1, retry, sizeof(retry), &client,
                                            mr_cid_view(&claims.retry_scid), &got, NOW + 60),
                    MR_TOKEN_EXPIRED);
    CU_ASSERT_EQUAL(
        mr_token_validate_new(&keys, MR_VERSION_1, fresh, sizeof(fresh), &client, NULL, NOW + 60),
        MR_TOKEN_VALID);
    CU_ASSERT_EQUAL(mr_token_validate_new(&keys, MR_VERSION_1, fresh, sizeof(fresh), &client, NULL,
                                          NOW + 30 * 86400),
                    MR_TOKEN_EXPIRED);
}

/* 8.1.4: "the token MUST be covered by integrity protection against modification or falsification
 * by clients."
 * RFC 9000, Section 8.1.4: "An address validation token MUST be difficult to guess." */
static void a_made_up_token_is_not_valid(void)
{
    uint8_t token[MR_TOKEN_RETRY_SIZE];
    struct mr_retry_claims got;

    for (unsigned fill = 0; fill < 256; fill++) {
        memset(token, (int)fill, sizeof(token));
        token[0] = MR_TOKEN_RETRY;
        CU_ASSERT_EQUAL(mr_token_validate_retry(&keys, MR_VERSION_1, token, sizeof(token), &client,
                                                mr_cid_view(&claims.retry_scid), &got, NOW),
                        MR_TOKEN_MALFORMED);
        token[0] = MR_TOKEN_NEW;
        CU_ASSERT_EQUAL(mr_token_validate_new(&keys, MR_VERSION_1, token, MR_TOKEN_NEW_SIZE,
                                              &client, NULL, NOW),
                        MR_TOKEN_MALFORMED);
    }
}

/*
 * 8.1.4: "Tokens sent in Retry packets SHOULD include information that allows the server to verify
 * that the source IP address and port in client packets remain constant."  "Tokens sent in
 * NEW_TOKEN frames MUST include information that allows the server to verify that the client IP
 * address has not changed from when the token was issued."
 */
static void tokens_are_bound_to_the_address(void)
{
    uint8_t retry[MR_TOKEN_RETRY_SIZE];
    uint8_t fresh[MR_TOKEN_NEW_SIZE];
    struct mr_retry_claims got;

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, 1, retry, NOW);
    mr_token_write_new(&keys, MR_VERSION_1, &client, NULL, 1, fresh, NOW);
    for (size_t i = 0; i < 16; i++) {
        struct mr_addr other = client;
        other.ip[i] ^= 0x80;
        CU_ASSERT_EQUAL(
            mr_token_validate_new(&keys, MR_VERSION_1, fresh, sizeof(fresh), &other, NULL, NOW),
            MR_TOKEN_WRONG_ADDRESS);
    }
    for (unsigned bit = 0; bit < 16; bit++) {
        struct mr_addr other = client;
        other.port ^= (uint16_t)(1u << bit);
        CU_ASSERT_EQUAL(mr_token_validate_retry(&keys, MR_VERSION_1, retry, sizeof(retry), &other,
                                                mr_cid_view(&claims.retry_scid), &got, NOW),
                        MR_TOKEN_WRONG_ADDRESS);
    }
}

/*
 * 10.3.2: "A single static key can be used across all connections to the same endpoint by
 * generating the proof using a pseudorandom function that takes a static key and the connection ID
 * chosen by the endpoint as input": another process with the same key gives the same token.
 * RFC 9000, Section 10.3.2: "The stateless reset token MUST be difficult to guess." */
static void reset_tokens_survive_a_restart(void)
{
    struct mr_token_keys restarted;
    uint8_t before[MR_RESET_TOKEN];
    uint8_t after[MR_RESET_TOKEN];

    mr_reset_token(&keys, mr_cid_view(&claims.retry_scid), before);
    CU_ASSERT_TRUE_FATAL(mr_token_keys_init(&restarted, static_key));
    mr_reset_token(&restarted, mr_cid_view(&claims.retry_scid), after);
    CU_ASSERT_TRUE(mr_reset_token_equal(before, after));
    mr_token_keys_wipe(&restarted);
    uint8_t other_key[MR_STATIC_KEY]; /* whoever knows all but a bit of the key knows nothing */
    memcpy(other_key, static_key, sizeof(other_key));
    other_key[0] ^= 1;
    CU_ASSERT_TRUE_FATAL(mr_token_keys_init(&restarted, other_key));
    mr_reset_token(&restarted, mr_cid_view(&claims.retry_scid), after);
    CU_ASSERT_FALSE(mr_reset_token_equal(before, after));
    mr_token_keys_wipe(&restarted);
}

static CU_TestInfo tests[] = {
    {"8.1.1: a token tells how it was provided", a_token_tells_how_it_was_provided},
    {"8.1.3: a NEW_TOKEN shows nothing of the client", a_new_token_shows_nothing_of_the_client},
    {"8.1.3: NEW_TOKEN tokens are unique", new_tokens_are_unique},
    {"8.1.3: tokens expire, Retry tokens soon", tokens_expire_retry_tokens_soon},
    {"8.1.4: a made-up token is not valid", a_made_up_token_is_not_valid},
    {"8.1.4: tokens are bound to the address", tokens_are_bound_to_the_address},
    {"10.3.2: reset tokens survive a restart", reset_tokens_survive_a_restart},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "address tokens",
     .pTests = tests,
     .pSetUpFunc = with_keys,
     .pTearDownFunc = without_keys},
    CU_SUITE_INFO_NULL,
};
