/* Tests of http3/qpack.h: both ends against each other, and the bounds of memory. */
#include "http3/qpack.h"

#include <stdio.h>
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

/* "An encoder MUST emit field representations in the order they appear in the input field section."
 * (RFC 9204, Section 2.1)  "The decoder MUST emit field lines in the order their representations
 * appear in the encoded field section." (RFC 9204, Section 2.2) */
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

static void no_section_is_larger_than_is_said(void)
{
    static const char *const names[] = {":path", "x", "a-name-that-no-table-has", "content-type"};
    struct mr_field_line all[MR_FIELD_LINES_MAX];
    char value[200];
    size_t size;

    begin();
    for (size_t n = 0; n < MR_COUNT_OF(names); n++) {
        for (int fill = 0; fill < 256; fill++) {
            memset(value, fill, sizeof(value));
            for (size_t length = 0; length < sizeof(value); length = length * 3 + 1) {
                for (size_t i = 0; i < MR_COUNT_OF(all); i++)
                    all[i] = (struct mr_field_line){names[n], {value, length}};
                size_t most = mr_qpack_encoded_max(all, MR_COUNT_OF(all));
                CU_ASSERT_PTR_NOT_NULL_FATAL(
                    mr_qpack_encode(&encoder, all, MR_COUNT_OF(all), &size));
                CU_ASSERT_TRUE(size <= most);
                CU_ASSERT_TRUE(most < MR_COUNT_OF(all) * (length + 48));
            }
        }
    }
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
/* Cancellations, of a peer that takes nothing of our decoder stream. */
static void feedback_that_nobody_takes_is_bounded(void)
{
    uint64_t code = 0;
    uint64_t id = 0;

    begin();
    for (; code == 0 && id < 400000; id += 4)
        code = mr_qpack_decoder_cancel(&decoder, id);
    CU_ASSERT_EQUAL(code, MR_H3_EXCESSIVE_LOAD);
    CU_ASSERT(mr_qpack_decoder_feedback_size(&decoder) <= MR_QPACK_FEEDBACK_MAX + 8);
    CU_ASSERT(share.used < 3 * MR_QPACK_FEEDBACK_MAX);
    end();
}

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

/* ------------------------------------------------------------------ the encoder's table */

static struct mr_heap_share table_share;
static struct mr_qpack_table table;
static char many[8][64]; /* values that differ */

/* Our table of `capacity` against a decoder that takes `peer`. */
static void begin_table(uint32_t peer, uint32_t capacity, uint32_t blocked_max)
{
    mr_heap_init(&heap, memory, HEAP);
    mr_heap_share_init(&share, &heap, &counters, 64000);
    mr_heap_share_init(&table_share, &heap, &counters, 64000);
    CU_ASSERT_TRUE_FATAL(mr_qpack_decoder_init(&decoder, &share, peer, blocked_max));
    CU_ASSERT_TRUE_FATAL(mr_qpack_encoder_init(&encoder, &share));
    CU_ASSERT_TRUE_FATAL(mr_qpack_table_init(&table, &table_share, peer, capacity, blocked_max));
}

static void end_table(void)
{
    mr_qpack_table_fini(&table);
    CU_ASSERT_EQUAL(table_share.used, 0);
    end();
}

/* Instructions reach the peer. */
static void carry_instructions(void)
{
    size_t size;
    const uint8_t *bytes = mr_qpack_table_instructions(&table, &size);

    CU_ASSERT_EQUAL(mr_qpack_decoder_read(&decoder, bytes, size), 0);
    mr_qpack_table_sent(&table, size);
}

/* What the peer's decoder says reaches us. */
static void carry_feedback(void)
{
    uint8_t bytes[256];
    size_t size = mr_qpack_decoder_feedback_size(&decoder);

    CU_ASSERT_FATAL(size <= sizeof(bytes));
    mr_qpack_decoder_take_feedback(&decoder, bytes, size);
    CU_ASSERT_EQUAL(mr_qpack_table_read(&table, bytes, size), 0);
}

static bool take_many(void *context, struct mr_text name, struct mr_text value)
{
    const struct mr_field_line *line = context;
    uint32_t *at = (uint32_t *)(uintptr_t)line[8].value.data;

    line += (*at)++;
    CU_ASSERT_EQUAL(name.size, strlen(line->name));
    CU_ASSERT_EQUAL_FATAL(value.size, line->value.size);
    CU_ASSERT_EQUAL(memcmp(value.data, line->value.data, value.size), 0);
    return true;
}

/* One head goes over; its bytes. */
static size_t carry_head(uint64_t stream_id, uint32_t kinds)
{
    uint32_t at = 0;
    struct mr_field_line head[9] = {{":status", {"200", 3}}};
    uint64_t needs;
    size_t size = 0;

    for (uint32_t i = 1; i < 8; i++) {
        snprintf(many[i], sizeof(many[i]), "a value with some words, number %u of %u", i,
                 (uint32_t)(stream_id / 4 % kinds));
        head[i] = (struct mr_field_line){"x-some-name", {many[i], strlen(many[i])}};
    }
    head[8].value.data = (const char *)&at;
    const uint8_t *section = mr_qpack_table_encode(&table, &encoder, stream_id, head, 8, &size);
    if (section == NULL)
        section = mr_qpack_encode(&encoder, head, 8, &size);
    const struct mr_qpack_section bytes = {stream_id, section, size};
    carry_instructions();
    CU_ASSERT_EQUAL(mr_qpack_decode(&decoder, &share, &bytes, take_many, head, &needs), 0);
    CU_ASSERT_EQUAL(needs, 0);
    CU_ASSERT_EQUAL(at, 8);
    carry_feedback();
    return size;
}

/* RFC 9204, Section 4.5.1.1: the insert count is encoded modulo what the peer's limit allows, not
 * what we use of it. */
static void heads_come_over_whatever_the_capacities(void)
{
    static const uint32_t capacities[][2] = {{4096, 4096}, {4096, 220}, {220, 4096}, {220, 220},
                                             {65536, 300}, {64, 64},    {1000, 999}};

    for (size_t i = 0; i < MR_COUNT_OF(capacities); i++) {
        for (uint32_t blocked = 0; blocked < 3; blocked += 2) {
            size_t first = 0;
            size_t last = 0;
            begin_table(capacities[i][0], capacities[i][1], blocked);
            for (uint64_t n = 0; n < 300; n++) {
                size_t size = carry_head(4 * n, i % 2 == 0 ? 1 : 5);
                first = n == 0 ? size : first;
                last = size;
            }
            if (capacities[i][0] == 4096 && capacities[i][1] == 4096)
                CU_ASSERT(last < 20 && (blocked > 0 || first > 200));
            end_table();
        }
    }
}

static void instructions_that_wait_keep_the_table_out_of_use(void)
{
    const struct mr_field_line line = {"x-some-name", {"a value with some words", 23}};
    size_t size;

    begin_table(4096, 4096, 4);
    CU_ASSERT_PTR_NOT_NULL(mr_qpack_table_encode(&table, &encoder, 0, &line, 1, &size));
    (void)mr_qpack_table_instructions(&table, &size);
    CU_ASSERT(size > 0);
    CU_ASSERT_PTR_NULL(mr_qpack_table_encode(&table, &encoder, 4, &line, 1, &size));
    carry_instructions();
    CU_ASSERT_PTR_NOT_NULL(mr_qpack_table_encode(&table, &encoder, 4, &line, 1, &size));
    end_table();
}

/* A peer that acknowledges no section: memory is bounded, and heads go on without the table. */
static void a_peer_that_acknowledges_nothing_costs_its_share_only(void)
{
    bool was_given_up = false;

    begin_table(4096, 4096, 1000);
    table_share.limit = 20000;
    for (uint64_t n = 0; n < 5000; n++) {
        struct mr_field_line line = {"x-some-name", {"a value with some words", 23}};
        size_t size;
        const uint8_t *section = mr_qpack_table_encode(&table, &encoder, 4 * n, &line, 1, &size);
        was_given_up |= section == NULL;
        carry_instructions();
        if (n == 0) /* it has the entry, and says so: any number of sections may refer to it */
            CU_ASSERT_EQUAL(mr_qpack_table_read(&table, (const uint8_t *)"\x01", 1), 0);
        CU_ASSERT(table_share.used <= 20000 + 4 * MR_HEAP_ALIGN);
    }
    CU_ASSERT(was_given_up);
    CU_ASSERT(table.is_given_up);
    CU_ASSERT(counters.heap_refused > 0);
    end_table();
}

/* RFC 9204, Sections 4.4.1 and 4.4.3: acknowledgments of what was never sent. */
static void feedback_that_cannot_be_is_an_error(void)
{
    static const char *const cases[] = {"\x80", "\x01",
                                        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"};

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        begin_table(4096, 4096, 0);
        CU_ASSERT_EQUAL(mr_qpack_table_read(&table, (const uint8_t *)cases[i], strlen(cases[i])),
                        MR_QPACK_DECODER_STREAM_ERROR);
        end_table();
    }
    begin_table(4096, 4096, 0);
    CU_ASSERT_EQUAL(mr_qpack_table_read(&table, (const uint8_t *)"\x44", 1),
                    0); /* a cancellation */
    end_table();
}

static void a_peers_table_that_is_too_large_is_not_used(void)
{
    mr_heap_init(&heap, memory, HEAP);
    mr_heap_share_init(&table_share, &heap, &counters, 64000);
    CU_ASSERT_FALSE(mr_qpack_table_init(&table, &table_share, UINT64_MAX >> 2, 4096, 0));
    CU_ASSERT_FALSE(mr_qpack_table_init(&table, &table_share, MR_QPACK_TABLE_MAX + 1, 4096, 0));
    CU_ASSERT_FALSE(mr_qpack_table_init(&table, &table_share, 0, 4096, 0));
    CU_ASSERT_FALSE(mr_qpack_table_init(&table, &table_share, 4096, 0, 0));
    CU_ASSERT_EQUAL(heap.live, 0);
}

CU_TestInfo h3_qpack_tests[] = {
    {"what is encoded decodes to the same fields in order",
     what_is_encoded_decodes_to_the_same_fields_in_order},
    {"a section may be left in the middle", a_section_may_be_left_in_the_middle},
    {"fields that do not fit are refused and the encoder goes on",
     fields_that_do_not_fit_are_refused_and_the_encoder_goes_on},
    {"no section is larger than is said", no_section_is_larger_than_is_said},
    {"a share gives no more than its limit", a_share_gives_no_more_than_its_limit},
    {"feedback that nobody takes is bounded", feedback_that_nobody_takes_is_bounded},
    {"every allocation may fail", every_allocation_may_fail},
    {"heads come over whatever the capacities", heads_come_over_whatever_the_capacities},
    {"instructions that wait keep the table out of use",
     instructions_that_wait_keep_the_table_out_of_use},
    {"a peer that acknowledges nothing costs its share only",
     a_peer_that_acknowledges_nothing_costs_its_share_only},
    {"feedback that cannot be is an error", feedback_that_cannot_be_is_an_error},
    {"a peer's table that is too large is not used", a_peers_table_that_is_too_large_is_not_used},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/qpack", .pTests = h3_qpack_tests},
    CU_SUITE_INFO_NULL,
};
