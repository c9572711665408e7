/* Tests of quic/datagram_queue.h and quic/datagram_record.h. */
#include "quic/datagram_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/unit/harness.h"

enum {
    CHUNKS = 40,
    ROUNDS = 20000,
    MODEL = 4096 /* payloads of the model */
};

static struct mr_pool chunks;
static uint8_t bytes[MR_DATAGRAM_SIZE_MAX + 1];

static struct mr_datagram_queue fresh(uint32_t chunk_count)
{
    static uint8_t memory[CHUNKS * MR_CHUNK_SIZE + 64];
    struct mr_random random;
    struct mr_datagram_queue q;

    mr_random_init_number(&random, 7);
    mr_random_fill(&random, bytes, sizeof(bytes));
    mr_chunks_init(&chunks, memory, chunk_count);
    mr_datagram_queue_init(&q);
    return q;
}

static enum mr_datagram_push push(struct mr_datagram_queue *q, size_t size, uint32_t chunks_max)
{
    struct mr_view view = {.data = bytes, .size = size};
    enum mr_datagram_push verdict = mr_datagram_queue_push(q, &chunks, &view, 1, chunks_max);

    mr_datagram_queue_check(q, &chunks);
    return verdict;
}

/* The first payload has `size` of the usual bytes. */
static void expect(struct mr_datagram_queue *q, size_t size)
{
    uint8_t *exact = malloc(size + 1);

    exact[size] = 0xee;
    CU_ASSERT_EQUAL_FATAL(mr_datagram_queue_first_size(q, &chunks), size);
    mr_datagram_queue_pop(q, &chunks, exact);
    mr_datagram_queue_check(q, &chunks);
    CU_ASSERT_EQUAL(memcmp(exact, bytes, size), 0);
    CU_ASSERT_EQUAL(exact[size], 0xee);
    free(exact);
}

static void payloads_come_out_whole_and_in_order(void)
{
    static const size_t sizes[] = {0, 1, 5, 1200, 0, 1014, 1013, 1012, 9000, 3};
    struct mr_datagram_queue q = fresh(CHUNKS);

    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++)
        CU_ASSERT_EQUAL(push(&q, sizes[i], CHUNKS), MR_DATAGRAM_QUEUED);
    CU_ASSERT_EQUAL(q.count, MR_COUNT_OF(sizes));
    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++)
        expect(&q, sizes[i]);
    CU_ASSERT_EQUAL(chunks.used, 0);
}

static void views_are_joined(void)
{
    struct mr_datagram_queue q = fresh(CHUNKS);
    struct mr_view views[] = {{bytes, 3}, {bytes + 3, 0}, {bytes + 3, 1100}, {NULL, 0}};

    CU_ASSERT_EQUAL(mr_datagram_queue_push(&q, &chunks, views, 4, CHUNKS), MR_DATAGRAM_QUEUED);
    CU_ASSERT_EQUAL(mr_datagram_queue_push(&q, &chunks, NULL, 0, CHUNKS), MR_DATAGRAM_QUEUED);
    mr_datagram_queue_check(&q, &chunks);
    expect(&q, 1103);
    expect(&q, 0);
    CU_ASSERT_EQUAL(chunks.used, 0);
}

static void small_payloads_share_a_chunk(void)
{
    struct mr_datagram_queue q = fresh(CHUNKS);

    for (int i = 0; i < 127; i++) /* of 8 bytes each: they fill it */
        CU_ASSERT_EQUAL(push(&q, 6, CHUNKS), MR_DATAGRAM_QUEUED);
    CU_ASSERT_EQUAL(chunks.used, 1);
    push(&q, 6, CHUNKS);
    CU_ASSERT_EQUAL(chunks.used, 2);
    for (int i = 0; i < 127; i++)
        expect(&q, 6);
    CU_ASSERT_EQUAL(chunks.used, 1); /* what is read gives its chunk back */
    expect(&q, 6);
    CU_ASSERT_EQUAL(chunks.used, 0);
}

/* The longest that fits the chunk, and the ends around it: a size field is never split. */
static void every_end_of_a_chunk_is_met(void)
{
    for (size_t first = MR_DATAGRAM_CHUNK_BYTES - 8; first <= MR_DATAGRAM_CHUNK_BYTES + 8; first++)
        for (size_t second = 0; second < 4; second++) {
            struct mr_datagram_queue q = fresh(CHUNKS);

            push(&q, first, CHUNKS);
            push(&q, second, CHUNKS);
            push(&q, 2000, CHUNKS);
            expect(&q, first);
            expect(&q, second);
            expect(&q, 2000);
            CU_ASSERT_EQUAL(chunks.used, 0);
        }
}

static void a_full_queue_refuses_and_changes_nothing(void)
{
    struct mr_datagram_queue q = fresh(CHUNKS);

    CU_ASSERT_EQUAL(push(&q, 1000, 2), MR_DATAGRAM_QUEUED);
    CU_ASSERT_EQUAL(push(&q, 1031, 2), MR_DATAGRAM_FULL); /* would be one byte in a third chunk */
    CU_ASSERT_EQUAL(q.count, 1);
    CU_ASSERT_EQUAL(chunks.used, 1);
    CU_ASSERT_EQUAL(push(&q, 1030 - 2, 2), MR_DATAGRAM_QUEUED);
    CU_ASSERT_EQUAL(push(&q, 0, 2), MR_DATAGRAM_FULL);
    expect(&q, 1000);
    expect(&q, 1028);
}

static void an_empty_queue_takes_any_size(void)
{
    struct mr_datagram_queue q = fresh(CHUNKS);

    CU_ASSERT_EQUAL(push(&q, 9000, 2), MR_DATAGRAM_QUEUED);
    CU_ASSERT_EQUAL(push(&q, 9000, 2), MR_DATAGRAM_FULL);
    expect(&q, 9000);
}

static void an_empty_pool_refuses_and_changes_nothing(void)
{
    struct mr_datagram_queue q = fresh(2);

    CU_ASSERT_EQUAL(push(&q, 2031, 100), MR_DATAGRAM_NO_MEMORY);
    CU_ASSERT_EQUAL(chunks.used, 0);
    CU_ASSERT_EQUAL(q.count, 0);
    CU_ASSERT_EQUAL(push(&q, 2030, 100), MR_DATAGRAM_QUEUED);
    CU_ASSERT_EQUAL(push(&q, 0, 100), MR_DATAGRAM_NO_MEMORY);
    expect(&q, 2030);
}

static void payloads_may_be_dropped(void)
{
    struct mr_datagram_queue q = fresh(CHUNKS);

    push(&q, 3000, CHUNKS);
    push(&q, 20, CHUNKS);
    push(&q, 5000, CHUNKS);
    mr_datagram_queue_pop(&q, &chunks, NULL);
    expect(&q, 20);
    push(&q, 7, CHUNKS);
    mr_datagram_queue_clear(&q, &chunks);
    mr_datagram_queue_check(&q, &chunks);
    CU_ASSERT_EQUAL(q.count, 0);
    CU_ASSERT_EQUAL(chunks.used, 0);
    mr_datagram_queue_clear(&q, &chunks);
}

static void the_number_of_payloads_is_limited(void)
{
    static uint8_t memory[130 * MR_CHUNK_SIZE + 64];
    struct mr_datagram_queue q = fresh(1);
    struct mr_view none = {.data = NULL, .size = 0};

    mr_chunks_init(&chunks, memory, 130);
    for (uint32_t i = 0; i < UINT16_MAX; i++)
        CU_ASSERT_EQUAL_FATAL(mr_datagram_queue_push(&q, &chunks, &none, 1, UINT32_MAX),
                              MR_DATAGRAM_QUEUED);
    CU_ASSERT_EQUAL(mr_datagram_queue_push(&q, &chunks, &none, 1, UINT32_MAX), MR_DATAGRAM_FULL);
    mr_datagram_queue_clear(&q, &chunks);
}

/* A size as datagrams have: often small, often a packet's, seldom anything. */
static size_t draw_size(struct mr_random *random)
{
    switch (mr_random_below(random, 4)) {
    case 0:
        return mr_random_below(random, 4);
    case 1:
        return mr_random_below(random, 100);
    case 2:
        return 1000 + mr_random_below(random, 400);
    default:
        return mr_random_below(random, 6000);
    }
}

/* Against a model: a list of sizes, each payload beginning elsewhere in the usual bytes. */
static void it_does_as_a_list_does(void)
{
    static size_t model[MODEL];
    static uint8_t out[6000];
    struct mr_datagram_queue q = fresh(CHUNKS);
    struct mr_random random;
    uint32_t head = 0;
    uint32_t tail = 0;
    uint32_t refused = 0;

    mr_random_init_number(&random, 3);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        bool is_filling = round / 100 % 2 == 0;
        if (mr_random_below(&random, 3) == 0 ? !is_filling : is_filling) {
            size_t size = draw_size(&random);
            struct mr_view view = {.data = bytes + tail, .size = size};

            if (mr_datagram_queue_push(&q, &chunks, &view, 1, 32) == MR_DATAGRAM_QUEUED)
                model[tail++ % MODEL] = size;
            else
                refused++;
        } else if (head < tail) {
            size_t size = model[head % MODEL];

            CU_ASSERT_EQUAL_FATAL(mr_datagram_queue_first_size(&q, &chunks), size);
            mr_datagram_queue_pop(&q, &chunks, out);
            CU_ASSERT_EQUAL(memcmp(out, bytes + head, size), 0);
            head++;
        }
        mr_datagram_queue_check(&q, &chunks);
        CU_ASSERT_EQUAL(q.count, tail - head);
    }
    CU_ASSERT_TRUE(refused > 100 && tail > 1000);
}

/* ------------------------------------------------------------------ records */

/* A queue whose head begins in the middle, with payloads that cross chunks, as a record. */
static uint8_t *record_of(struct mr_datagram_queue *q, const size_t *sizes, size_t count,
                          size_t *size_out)
{
    struct mr_record_writer w = {.bytes = NULL};

    push(q, 900, CHUNKS);
    for (size_t i = 0; i < count; i++)
        push(q, sizes[i], CHUNKS);
    expect(q, 900);
    mr_datagram_record_write(&w, q, &chunks);
    *size_out = w.used;
    w = (struct mr_record_writer){.bytes = malloc(*size_out), .room = *size_out};
    mr_datagram_record_write(&w, q, &chunks);
    CU_ASSERT_EQUAL(w.used, *size_out);
    mr_datagram_queue_check(q, &chunks); /* writing changes nothing */
    CU_ASSERT_EQUAL(q->count, count);
    return w.bytes;
}

static const size_t recorded[] = {0, 120, 1013, 1200, 3, 0, 4000, 1};
#define RECORDED 6353 /* bytes of those, with their sizes */

static void a_record_holds_all_payloads(void)
{
    struct mr_datagram_queue from = fresh(CHUNKS);
    struct mr_datagram_queue q;
    size_t size;
    uint8_t *bytes_of_record = record_of(&from, recorded, MR_COUNT_OF(recorded), &size);
    struct mr_record_reader r = {.bytes = bytes_of_record, .size = size};

    CU_ASSERT_EQUAL(size, 8 + mr_record_padded(RECORDED));
    mr_datagram_queue_clear(&from, &chunks);
    mr_datagram_queue_init(&q);
    CU_ASSERT_TRUE(mr_datagram_record_read(&r, &q, &chunks));
    CU_ASSERT_EQUAL(r.at, size);
    mr_datagram_queue_check(&q, &chunks);
    CU_ASSERT_EQUAL(q.count, MR_COUNT_OF(recorded));
    for (size_t i = 0; i < MR_COUNT_OF(recorded); i++)
        expect(&q, recorded[i]);
    CU_ASSERT_EQUAL(chunks.used, 0);
    free(bytes_of_record);

    from = fresh(CHUNKS); /* nothing but a head */
    bytes_of_record = record_of(&from, NULL, 0, &size);
    r = (struct mr_record_reader){.bytes = bytes_of_record, .size = size};
    CU_ASSERT_EQUAL(size, 8);
    CU_ASSERT_TRUE(mr_datagram_record_read(&r, &q, &chunks));
    CU_ASSERT_EQUAL(q.count, 0);
    free(bytes_of_record);
}

/* Cut off, or saying more or less than there is. */
static void a_wrong_record_is_refused(void)
{
    struct mr_datagram_queue from = fresh(CHUNKS);
    struct mr_datagram_queue q;
    size_t size;
    uint8_t *right = record_of(&from, recorded, MR_COUNT_OF(recorded), &size);
    uint32_t count;

    mr_datagram_queue_init(&q);
    for (size_t room = 0; room < size; room += 8) {
        uint8_t *exact = malloc(room + 1);
        struct mr_record_reader r = {.bytes = exact, .size = room};

        memcpy(exact, right, room);
        CU_ASSERT_FALSE(mr_datagram_record_read(&r, &q, &chunks));
        mr_datagram_queue_clear(&q, &chunks);
        free(exact);
    }
    memcpy(&count, right, sizeof(count));
    for (int change = -1; change <= 1; change += 2) {
        uint32_t wrong = count + (uint32_t)change;
        struct mr_record_reader r = {.bytes = right, .size = size};

        memcpy(right, &wrong, sizeof(wrong));
        CU_ASSERT_FALSE(mr_datagram_record_read(&r, &q, &chunks));
        mr_datagram_queue_clear(&q, &chunks);
    }
    free(right);
}

static void a_short_pool_refuses_a_record(void)
{
    struct mr_datagram_queue q = fresh(CHUNKS);
    size_t size;
    uint8_t *record = record_of(&q, recorded, MR_COUNT_OF(recorded), &size);
    uint32_t needed = RECORDED / MR_DATAGRAM_CHUNK_BYTES + 1;

    CU_ASSERT_EQUAL(q.chunk_count, needed + 1); /* they begin at the end of one */
    for (uint32_t count = 1; count <= needed; count++) {
        struct mr_record_reader r = {.bytes = record, .size = size};

        q = fresh(count);
        CU_ASSERT_EQUAL(mr_datagram_record_read(&r, &q, &chunks), count == needed);
        mr_datagram_queue_check(&q, &chunks);
        mr_datagram_queue_clear(&q, &chunks);
        CU_ASSERT_EQUAL(chunks.used, 0);
    }
    free(record);
}

static CU_TestInfo tests[] = {
    {"payloads come out whole and in order", payloads_come_out_whole_and_in_order},
    {"views are joined", views_are_joined},
    {"small payloads share a chunk", small_payloads_share_a_chunk},
    {"every end of a chunk is met", every_end_of_a_chunk_is_met},
    {"a full queue refuses and changes nothing", a_full_queue_refuses_and_changes_nothing},
    {"an empty queue takes any size", an_empty_queue_takes_any_size},
    {"an empty pool refuses and changes nothing", an_empty_pool_refuses_and_changes_nothing},
    {"payloads may be dropped", payloads_may_be_dropped},
    {"the number of payloads is limited", the_number_of_payloads_is_limited},
    {"it does as a list does", it_does_as_a_list_does},
    {"Q17 a record holds all payloads", a_record_holds_all_payloads},
    {"a record that is cut off or wrong is refused", a_wrong_record_is_refused},
    {"a short pool refuses a record", a_short_pool_refuses_a_record},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/datagram_queue", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
