/* Tests of http3/qpack.h: both ends against each other, and the bounds of memory. */
#include "http3/qpack.h"

#include <string.h>

#include "base/compiler.h"
#include "http3/frame.h"
#include "tests/unit/harness.h"

enum {
    HEAP = 1 << 18,
    CAPACITY = 4096,
};

static _Alignas(16) uint8_t memory[HEAP];
static struct mr_heap heap;
static struct mr_h3_counters counters;
static struct mr_heap_share share;
static struct mr_qpack_decoder decoder;
static struct mr_qpack_encoder encoder;

static void begin(void)
{
    mr_heap_init(&heap, memory, HEAP);
    memset(&counters, 0, sizeof(counters));
    mr_heap_share_init(&share, &heap, &counters, 64000);
    CU_ASSERT_TRUE_FATAL(mr_qpack_decoder_init(&decoder, &share, CAPACITY, 0));
    CU_ASSERT_TRUE_FATAL(mr_qpack_encoder_init(&encoder, &share));
}

/* Everything that was taken is given back. */
static void end(void)
{
    mr_qpack_decoder_fini(&decoder);
    mr_qpack_encoder_fini(&encoder);
    CU_ASSERT_EQUAL(share.used, 0);
    CU_ASSERT_EQUAL(heap.live, 0);
    mr_heap_check(&heap);
}

static const struct mr_field_line lines[] = {
    {":status", {"200", 3}},    {"server", {"millrace", 8}},
    {"etag", {"\"1-2-3\"", 7}}, {"content-length", {"1073741824", 10}},
    {"x-empty", {"", 0}},
};

struct seen {
    size_t count;
    size_t stop_at;
    bool is_wrong;
};

static bool take(void *context, struct mr_text name, struct mr_text value)
{
    struct seen *seen = context;
    const struct mr_field_line *line = &lines[seen->count++];

    seen->is_wrong |= name.size != strlen(line->name) || value.size != line->value.size ||
                      memcmp(name.data, line->name, name.size) != 0 ||
                      memcmp(value.data, line->value.data, value.size) != 0;
    return seen->count != seen->stop_at;
}

/* A section that waits for nothing. */
static uint64_t decode(uint64_t stream_id, const uint8_t *data, size_t size, struct seen *seen)
{
    const struct mr_qpack_section section = {stream_id, data, size};
    uint64_t needs;
    uint64_t code = mr_qpack_decode(&decoder, &share, &section, take, seen, &needs);

    CU_ASSERT(code != 0 || needs == 0);
    return code;
}

static void what_is_encoded_decodes_to_the_same_fields_in_order(void)
{
    struct seen seen = {0};
    size_t size = 0;

    begin();
    const uint8_t *section = mr_qpack_encode(&encoder, lines, MR_COUNT_OF(lines), &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(section);
    CU_ASSERT_EQUAL(section[0], 0); /* no dynamic table */
    CU_ASSERT_TRUE(size < 60);
    CU_ASSERT_EQUAL(decode(0, section, size, &seen), 0);
    CU_ASSERT_EQUAL(seen.count, MR_COUNT_OF(lines));
    CU_ASSERT_FALSE(seen.is_wrong);
    CU_ASSERT_EQUAL(mr_qpack_decoder_feedback_size(&decoder), 0);
    end();
}

static void a_section_may_be_left_in_the_middle(void)
{
    struct seen seen = {.stop_at = 2};
    struct seen again = {0};
    size_t size = 0;
    uint8_t feedback[8];

    begin();
    const uint8_t *section = mr_qpack_encode(&encoder, lines, MR_COUNT_OF(lines), &size);
    CU_ASSERT_EQUAL(decode(8, section, size, &seen), 0);
    CU_ASSERT_EQUAL(seen.count, 2);
    CU_ASSERT_EQUAL_FATAL(mr_qpack_decoder_feedback_size(&decoder), 1);
    mr_qpack_decoder_take_feedback(&decoder, feedback, 1);
    CU_ASSERT_EQUAL(feedback[0], 0x48); /* stream 8 is cancelled */
    CU_ASSERT_EQUAL(decode(12, section, size, &again), 0);
    CU_ASSERT_EQUAL(again.count, MR_COUNT_OF(lines)); /* the decoder is as good as before */
    end();
}

static void fields_that_do_not_fit_are_refused_and_the_encoder_goes_on(void)
{
    static char value[MR_QPACK_SECTION_MAX];
    struct mr_field_line large = {"x", {value, sizeof(value)}};
    size_t size = 0;

    begin();
    memset(value, '\xff', sizeof(value)); /* Huffman would make it longer */
    CU_ASSERT_PTR_NULL(mr_qpack_encode(&encoder, &large, 1, &size));
    large.value.size = MR_QPACK_SECTION_MAX - 64;
    CU_ASSERT_PTR_NOT_NULL(mr_qpack_encode(&encoder, &large, 1, &size));
    CU_ASSERT_PTR_NOT_NULL(mr_qpack_encode(&encoder, lines, MR_COUNT_OF(lines), &size));
    end();
}

static void a_share_gives_no_more_than_its_limit(void)
{
    struct mr_heap_share small;
    void *first;

    begin();
    mr_heap_share_init(&small, &heap, &counters, 1000);
    first = mr_heap_share_alloc(&small, 600);
    CU_ASSERT_PTR_NOT_NULL(first);
    CU_ASSERT_PTR_NULL(mr_heap_share_alloc(&small, 600));
    CU_ASSERT_PTR_NULL(mr_heap_share_alloc(&small, SIZE_MAX));
    CU_ASSERT_EQUAL(counters.heap_refused, 2);
    mr_heap_share_free(&small, first);
    first = mr_heap_share_alloc(&small, 1000);
    CU_ASSERT_PTR_NOT_NULL(first);
    mr_heap_share_free(&small, first);
    small.limit = HEAP;
    CU_ASSERT_PTR_NULL(mr_heap_share_alloc(&small, HEAP));
    CU_ASSERT_EQUAL(counters.heap_exhausted, 1);
    CU_ASSERT_EQUAL(small.used, 0);
    end();
}

/* nghttp3 must live with every allocation that fails, and give everything back. */
static void every_allocation_may_fail(void)
{
    static const uint8_t inserts[] = "\x3f\xe1\x1f"
                                     "\x46x-name\x05value"
                                     "\x46x-name\x05other";
    static const uint8_t section[] = "\x03\x00\x80\x81\xd1";

    for (size_t limit = 0; limit < 4000; limit += 16) {
        mr_heap_init(&heap, memory, HEAP);
        mr_heap_share_init(&share, &heap, &counters, limit);
        if (!mr_qpack_decoder_init(&decoder, &share, CAPACITY, 0)) {
            CU_ASSERT_EQUAL_FATAL(heap.live, 0);
            continue;
        }
        uint64_t code = mr_qpack_decoder_read(&decoder, inserts, sizeof(inserts) - 1);
        struct seen seen = {.stop_at = 1};
        if (code == 0)
            code = decode(0, section, sizeof(section) - 1, &seen);
        CU_ASSERT_TRUE(code == 0 || code == MR_H3_EXCESSIVE_LOAD);
        mr_qpack_decoder_fini(&decoder);
        CU_ASSERT_EQUAL_FATAL(heap.live, 0);
    }
}

CU_TestInfo h3_qpack_tests[] = {
    {"what is encoded decodes to the same fields in order",
     what_is_encoded_decodes_to_the_same_fields_in_order},
    {"a section may be left in the middle", a_section_may_be_left_in_the_middle},
    {"fields that do not fit are refused and the encoder goes on",
     fields_that_do_not_fit_are_refused_and_the_encoder_goes_on},
    {"a share gives no more than its limit", a_share_gives_no_more_than_its_limit},
    {"every allocation may fail", every_allocation_may_fail},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/qpack", .pTests = h3_qpack_tests},
    CU_SUITE_INFO_NULL,
};
