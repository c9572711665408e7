/* tests/unit/test_ipsec_mb_copy.c - copies of the AES library, for each who opens one. */
#include "quic/ipsec_mb_copy.h"

#include <stdlib.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

enum {
    MANY = 2 * MR_IPSEC_MB_COPIES + 1,
    SIZE = 1400
};

struct user {
    struct mr_ipsec_mb_functions functions;
    uint32_t copy;
};

static void take_all(struct user *users, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        users[i].copy = mr_ipsec_mb_take(&users[i].functions);
}

static void leave_all(const struct user *users, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        mr_ipsec_mb_leave(users[i].copy);
}

/* False, and says so: there are no copies, but one library for all. */
static bool has_copies(const struct user *users)
{
    bool has = users[0].copy != users[1].copy;

    if (!has)
        mr_test_skip(
            "the library cannot be loaded twice: linked statically, or a sanitizer's build");
    return has;
}

static void each_has_one_of_its_own(void)
{
    struct user users[2];

    take_all(users, 2);
    if (has_copies(users)) {
        CU_ASSERT_TRUE(users[0].functions.init != users[1].functions.init);
        CU_ASSERT_TRUE(users[0].functions.set_pointers != users[1].functions.set_pointers);
        CU_ASSERT_TRUE(users[0].functions.size != users[1].functions.size);
    }
    leave_all(users, 2);
}

static void many_share_them_evenly(void)
{
    static struct user users[MANY];
    uint32_t of[MR_IPSEC_MB_COPIES] = {0};

    take_all(users, MANY);
    if (has_copies(users)) {
        for (uint32_t i = 0; i < MANY; i++)
            of[users[i].copy]++;
        for (uint32_t i = 0; i < MR_IPSEC_MB_COPIES; i++)
            CU_ASSERT_TRUE(of[i] == 2 || of[i] == 3);
    }
    leave_all(users, MANY);
}

static void one_that_is_left_is_taken_again(void)
{
    struct user users[3];

    take_all(users, 3);
    if (has_copies(users)) {
        struct mr_ipsec_mb_functions again;

        mr_ipsec_mb_leave(users[1].copy);
        CU_ASSERT_EQUAL(mr_ipsec_mb_take(&again), users[1].copy);
        CU_ASSERT_TRUE(again.init == users[1].functions.init);
    }
    leave_all(users, 3);
}

/* What a copy makes of some bytes. */
static void seal(const struct user *user, uint8_t out[SIZE + 16], uint8_t tag[16])
{
    static uint8_t plain[SIZE];
    static const uint8_t key[16] = {1, 2, 3};
    static const uint8_t nonce[16] = {4, 5};
    size_t lines = user->functions.size() / 64 + 1;
    void *memory = aligned_alloc(64, lines * 64);
    struct gcm_key_data *keys = aligned_alloc(64, sizeof(*keys) / 64 * 64 + 64);
    struct gcm_context_data scratch;
    IMB_ARCH arch;

    CU_ASSERT_FATAL(memory != NULL && keys != NULL);
    IMB_MGR *manager = user->functions.set_pointers(memory, 0, 1);
    user->functions.init(manager, &arch);
    IMB_AES128_GCM_PRE(manager, key, keys);
    IMB_AES128_GCM_ENC(manager, keys, &scratch, out, plain, SIZE, nonce, key, 16, tag, 16);
    free(keys);
    free(memory);
}

static void all_do_the_same(void)
{
    struct user users[2];
    uint8_t out[2][SIZE + 16];
    uint8_t tags[2][16];

    take_all(users, 2);
    for (uint32_t i = 0; i < 2; i++)
        seal(&users[i], out[i], tags[i]);
    CU_ASSERT_EQUAL(memcmp(out[0], out[1], SIZE), 0);
    CU_ASSERT_EQUAL(memcmp(tags[0], tags[1], 16), 0);
    leave_all(users, 2);
}

static CU_TestInfo tests[] = {
    {"each has one of its own", each_has_one_of_its_own},
    {"many share them evenly", many_share_them_evenly},
    {"one that is left is taken again", one_that_is_left_is_taken_again},
    {"all do the same", all_do_the_same},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/ipsec_mb_copy", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
