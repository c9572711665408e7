/* Tests of quic/pack.h. */
#include "quic/pack.h"

#include <string.h>

#include "base/bytes.h"
#include "tests/unit/harness.h"

enum {
    WORDS = 130, /* three words of the bitmap, the last of them not full */
    BITMAP = 24,
    GUARD = 0x5a
};

static uint64_t base[WORDS];
static uint64_t image[WORDS];
static uint64_t back[WORDS];
static uint8_t packed[BITMAP + WORDS * 9 + 1];

static void start(void)
{
    for (uint64_t i = 0; i < WORDS; i++)
        base[i] = i % 3 == 0 ? 0 : i % 3 == 1 ? UINT64_MAX : i * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(image, base, sizeof(image));
    memset(packed, GUARD, sizeof(packed));
    memset(back, GUARD, sizeof(back));
}

static size_t pack(size_t room)
{
    return mr_pack(image, base, WORDS, packed, room);
}

/* The image comes back; its size. */
static size_t check_round_trip(void)
{
    size_t size = pack(sizeof(packed));

    CU_ASSERT_NOT_EQUAL(size, 0);
    CU_ASSERT(mr_unpack(back, base, WORDS, packed, size));
    CU_ASSERT_EQUAL(memcmp(back, image, sizeof(image)), 0);
    return size;
}

static void what_is_alike_takes_a_bitmap(void)
{
    start();
    CU_ASSERT_EQUAL(check_round_trip(), BITMAP);
}

static void a_word_takes_the_low_bytes_that_differ(void)
{
    for (uint32_t bytes = 1; bytes <= 8; bytes++) {
        start();
        image[0] = UINT64_C(1) << (bytes - 1) * 8;
        CU_ASSERT_EQUAL(check_round_trip(), BITMAP + 1 + bytes);
        image[0] = UINT64_C(0x80) << (bytes - 1) * 8;
        CU_ASSERT_EQUAL(check_round_trip(), BITMAP + 1 + bytes);
    }
}

static void every_word_comes_back_alone_and_together(void)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        start();
        image[i] ^= UINT64_C(0x0123456789abcdef) >> i % 64;
        check_round_trip();
    }
    start();
    for (uint32_t i = 0; i < WORDS; i++)
        image[i] = ~base[i];
    CU_ASSERT_EQUAL(check_round_trip(), BITMAP + WORDS / 2 + WORDS * 8);
}

static void what_has_no_room_is_not_packed(void)
{
    start();
    for (uint32_t i = 0; i < WORDS; i += 5)
        image[i] ^= (i + UINT64_C(1)) << i % 50;
    size_t size = check_round_trip();
    for (size_t room = 0; room < size; room++) {
        memset(packed, GUARD, sizeof(packed));
        CU_ASSERT_EQUAL(pack(room), 0);
        for (size_t i = room; i < size; i++)
            CU_ASSERT_EQUAL(packed[i], GUARD);
    }
    memset(packed, GUARD, sizeof(packed));
    CU_ASSERT_EQUAL(pack(size), size);
    CU_ASSERT_EQUAL(packed[size], GUARD);
}

static void other_sizes_are_no_image(void)
{
    start();
    for (uint32_t i = 1; i < WORDS; i += 3)
        image[i] -= i;
    size_t size = check_round_trip();
    for (size_t other = 0; other < size + 1; other++)
        CU_ASSERT_EQUAL(mr_unpack(back, base, WORDS, packed, other), other == size);
    CU_ASSERT_FALSE(mr_unpack(back, base, WORDS, packed, size + 1));
}

static void words_that_are_not_there_are_no_image(void)
{
    start();
    size_t size = pack(sizeof(packed));
    packed[WORDS / 8] |= 1 << WORDS % 8; /* the first behind the last */
    packed[size] = 0;
    packed[size + 1] = 7;
    CU_ASSERT_FALSE(mr_unpack(back, base, WORDS, packed, size + 2));
    start();
    image[0] = 1;
    size = pack(sizeof(packed));
    packed[BITMAP] = 8; /* nine bytes of a word */
    CU_ASSERT_FALSE(mr_unpack(back, base, WORDS, packed, size + 8));
}

static void another_base_gives_another_image(void)
{
    start();
    image[7] = 99;
    size_t size = pack(sizeof(packed));
    base[8]++;
    CU_ASSERT(mr_unpack(back, base, WORDS, packed, size));
    CU_ASSERT_EQUAL(back[7], 99);
    CU_ASSERT_EQUAL(back[8], base[8]);
}

static CU_TestInfo tests[] = {
    {"what is alike takes a bitmap", what_is_alike_takes_a_bitmap},
    {"a word takes the low bytes that differ", a_word_takes_the_low_bytes_that_differ},
    {"every word comes back, alone and together", every_word_comes_back_alone_and_together},
    {"what has no room is not packed", what_has_no_room_is_not_packed},
    {"other sizes are no image", other_sizes_are_no_image},
    {"words that are not there are no image", words_that_are_not_there_are_no_image},
    {"another base gives another image", another_base_gives_another_image},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/pack", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
