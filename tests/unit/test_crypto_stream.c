/* Tests of quic/crypto_stream.h. */
#include "quic/crypto_stream.h"

#include <string.h>

#include "tests/unit/harness.h"
#include "tests/unit/stream_pools.h"

enum {
    LIMIT = MR_CRYPTO_RECV_LIMIT
};

static struct mr_crypto_stream stream;
static uint8_t memory[1 << 17];

static void start(uint32_t chunks)
{
    for (uint32_t i = 0; i < sizeof(memory); i++)
        memory[i] = stream_byte(i);
    stream_pools_init(256, 1, chunks);
    mr_crypto_stream_init(&stream, LIMIT);
}

static enum mr_crypto_verdict insert(uint64_t offset, size_t size)
{
    enum mr_crypto_verdict verdict =
        mr_crypto_stream_insert(&stream, &chunks_pool, offset, memory + offset, size);

    mr_crypto_stream_check(&stream, &send_pools);
    return verdict;
}

/* Read `size` bytes; true if they are the stream's next. */
static bool reads(size_t size)
{
    static uint8_t bytes[LIMIT];
    uint64_t at = stream.recv.read_offset;
    size_t got = mr_crypto_stream_read(&stream, &chunks_pool, bytes, size);

    mr_crypto_stream_check(&stream, &send_pools);
    return got == size && memcmp(bytes, memory + at, size) == 0;
}

static void bytes_come_out_in_order(void)
{
    start(32);
    CU_ASSERT_EQUAL(insert(1000, 1000), MR_CRYPTO_OK);
    CU_ASSERT_EQUAL(mr_crypto_stream_readable(&stream), 0);
    CU_ASSERT(mr_crypto_stream_has_unread(&stream));
    CU_ASSERT_EQUAL(insert(0, 1000), MR_CRYPTO_OK);
    CU_ASSERT_EQUAL(mr_crypto_stream_readable(&stream), 2000);
    CU_ASSERT(reads(1500));
    CU_ASSERT(reads(500));
    CU_ASSERT_FALSE(mr_crypto_stream_has_unread(&stream));
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
    CU_ASSERT_EQUAL(insert(500, 1500), MR_CRYPTO_DUPLICATE);
    CU_ASSERT_EQUAL(insert(1500, 1000), MR_CRYPTO_OK);
    CU_ASSERT(reads(500));
}

static void single_bytes_in_any_order_cost_no_more(void)
{
    enum {
        SIZE = 4096,
        STRIDE = 1531 /* prime to SIZE: visits every byte */
    };

    start(5);
    for (uint32_t i = 0; i < SIZE; i++)
        CU_ASSERT_EQUAL(insert(i * STRIDE % SIZE, 1), MR_CRYPTO_OK);
    CU_ASSERT_EQUAL(chunks_pool.used, 5);
    CU_ASSERT_EQUAL(mr_crypto_stream_readable(&stream), SIZE);
    CU_ASSERT(reads(SIZE));
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void the_first_copy_of_a_byte_wins(void)
{
    uint8_t other[300] = {0};

    start(8);
    insert(100, 100);
    CU_ASSERT_EQUAL(mr_crypto_stream_insert(&stream, &chunks_pool, 0, other, 300), MR_CRYPTO_OK);
    memset(memory, 0, 100);
    memset(memory + 200, 0, 100);
    CU_ASSERT_EQUAL(insert(50, 200), MR_CRYPTO_DUPLICATE);
    CU_ASSERT(reads(300));
}

static void the_limit_moves_with_reading(void)
{
    start(64);
    CU_ASSERT_EQUAL(insert(LIMIT, 1), MR_CRYPTO_EXCEEDED);
    CU_ASSERT_EQUAL(insert(LIMIT - 1, 1), MR_CRYPTO_OK);
    CU_ASSERT_EQUAL(insert(0, 100), MR_CRYPTO_OK);
    CU_ASSERT_EQUAL(insert(LIMIT, 100), MR_CRYPTO_EXCEEDED);
    CU_ASSERT(reads(100));
    CU_ASSERT_EQUAL(insert(LIMIT, 100), MR_CRYPTO_OK);
}

static void without_chunks_a_frame_is_refused_whole(void)
{
    start(2);
    CU_ASSERT_EQUAL(insert(0, 1793), MR_CRYPTO_NO_ROOM);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
    CU_ASSERT_EQUAL(insert(0, 1792), MR_CRYPTO_OK);
    CU_ASSERT_EQUAL(insert(1792, 1), MR_CRYPTO_NO_ROOM);
    CU_ASSERT(reads(896));
    CU_ASSERT_EQUAL(insert(1792, 1), MR_CRYPTO_OK);
}

static void what_tls_writes_is_copied_and_sent(void)
{
    struct mr_send_frame frame;
    uint8_t scratch[3000];

    start(8);
    memcpy(scratch, memory, sizeof(scratch));
    CU_ASSERT(mr_crypto_stream_write(&stream, &send_pools, scratch, sizeof(scratch)));
    memset(scratch, 0, sizeof(scratch));
    CU_ASSERT(mr_send_queue_next(&stream.send, &send_pools, 1200, UINT64_MAX, &frame));
    CU_ASSERT_EQUAL(frame.span.size, 1200);
    CU_ASSERT_EQUAL(memcmp(frame.pieces[0].data, memory, frame.pieces[0].size), 0);
    CU_ASSERT_FALSE(frame.span.has_fin);
    mr_crypto_stream_clear(&stream, &send_pools);
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
}

static void a_write_over_the_limit_is_refused_whole(void)
{
    start(128);
    CU_ASSERT_FALSE(mr_crypto_stream_write(&stream, &send_pools, memory, MR_CRYPTO_SEND_MAX + 1));
    CU_ASSERT(mr_crypto_stream_write(&stream, &send_pools, memory, MR_CRYPTO_SEND_MAX));
    CU_ASSERT_FALSE(mr_crypto_stream_write(&stream, &send_pools, memory, 1));
    mr_crypto_stream_clear(&stream, &send_pools);
    start(2);
    CU_ASSERT_FALSE(mr_crypto_stream_write(&stream, &send_pools, memory, 2049));
    CU_ASSERT_EQUAL(stream_pools_used(), 0);
    CU_ASSERT(mr_crypto_stream_write(&stream, &send_pools, memory, 2048));
}

static CU_TestInfo tests[] = {
    {"bytes come out in order", bytes_come_out_in_order},
    {"single bytes in any order cost no more", single_bytes_in_any_order_cost_no_more},
    {"the first copy of a byte wins", the_first_copy_of_a_byte_wins},
    {"the limit moves with reading", the_limit_moves_with_reading},
    {"without chunks a frame is refused whole", without_chunks_a_frame_is_refused_whole},
    {"what TLS writes is copied and sent", what_tls_writes_is_copied_and_sent},
    {"a write over the limit is refused whole", a_write_over_the_limit_is_refused_whole},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/crypto_stream", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
