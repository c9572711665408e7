/* tests/unit/test_wire_impair.c - the contracts of drivers/wire_impair.h and drivers/wire_rss.h. */
#include "drivers/wire_impair.h"

#include <stdlib.h>
#include <string.h>

#include "drivers/wire_rss.h"
#include "tests/unit/harness.h"

static struct mr_impair impair_of(struct mr_wire_impairment what, uint32_t share)
{
    struct mr_impair impair;

    mr_impair_init(&impair, &what, share, 1);
    return impair;
}

static void every_field_is_an_impairment_but_the_queue(void)
{
    static const struct mr_wire_impairment some[] = {
        {.rate_bps = 1},     {.delay_ns = 1},   {.jitter_ns = 1},  {.loss = 1e-9},
        {.duplicate = 1e-9}, {.corrupt = 1e-9}, {.reorder = 1e-9},
    };
    static const struct mr_wire_impairment none = {.queue_bytes = 1, .reorder_ns = 1};

    for (size_t i = 0; i < MR_COUNT_OF(some); i++)
        CU_ASSERT(mr_impairment_is_any(&some[i]));
    CU_ASSERT_FALSE(mr_impairment_is_any(&none));
}

static void jitter_reaches_from_none_to_all_of_it(void)
{
    struct mr_impair impair =
        impair_of((struct mr_wire_impairment){.delay_ns = 100, .jitter_ns = 3}, 1);
    uint32_t seen = 0;

    for (int i = 0; i < 200; i++) {
        struct mr_impair_fate fate;

        CU_ASSERT_EQUAL(mr_impair_next(&impair, 100, 1000, &fate), MR_IMPAIR_DELIVER);
        CU_ASSERT_FATAL(fate.due_ns >= 1100 && fate.due_ns <= 1103);
        seen |= 1u << (fate.due_ns - 1100);
    }
    CU_ASSERT_EQUAL(seen, 15);
}

static void certain_things_always_happen(void)
{
    struct mr_impair_fate fate;
    struct mr_impair impair = impair_of(
        (struct mr_wire_impairment){.delay_ns = 7, .duplicate = 1, .corrupt = 1, .reorder = 1}, 1);

    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(mr_impair_next(&impair, 10, 1000, &fate), MR_IMPAIR_DELIVER);
        CU_ASSERT(fate.has_duplicate && fate.is_corrupted && fate.is_reordered);
        CU_ASSERT_EQUAL(fate.due_ns,
                        1000 + 7 + 1000000); /* reordered: 1 ms later unless told otherwise */
        CU_ASSERT_EQUAL(fate.duplicate_due_ns, 1000 + 7);
        CU_ASSERT(fate.flipped_bit < 80);
    }
    impair = impair_of((struct mr_wire_impairment){.loss = 1}, 1);
    for (int i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(mr_impair_next(&impair, 10, 0, &fate), MR_IMPAIR_LOST);
}

static void queues_share_the_rate_evenly(void)
{
    struct mr_impair impair = impair_of((struct mr_wire_impairment){.rate_bps = 8000000000}, 4);
    struct mr_impair_fate fate;

    mr_impair_next(&impair, 976, 0,
                   &fate); /* 1,000 bytes with overhead: 1 us at 8 Gbit/s, 4 us at a quarter */
    CU_ASSERT_EQUAL(fate.due_ns, 4000);
    mr_impair_next(&impair, 976, 100, &fate);
    CU_ASSERT_EQUAL(fate.due_ns, 8000);
    mr_impair_next(&impair, 976, 50000, &fate);
    CU_ASSERT_EQUAL(fate.due_ns, 54000);
}

/* Without a queue asked for, 100 ms of rate wait, at least 64 KiB. */
static void the_queue_of_a_rate_has_a_size_by_itself(void)
{
    static const struct {
        uint64_t rate_bps;
        uint32_t frames; /* of 1,000 bytes with overhead, until one is dropped */
    } rows[] = {{800000000, 10001}, {8000, 67}};

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_impair impair =
            impair_of((struct mr_wire_impairment){.rate_bps = rows[i].rate_bps}, 1);
        struct mr_impair_fate fate;
        uint32_t n = 0;

        while (mr_impair_next(&impair, 976, 0, &fate) == MR_IMPAIR_DELIVER)
            n++;
        CU_ASSERT(n >= rows[i].frames - 1 && n <= rows[i].frames + 1);
    }
}

/* One kind of dice does not move another's: the same frames are lost with and without duplication
 * of none. */
static void impairments_do_not_move_each_others_dice(void)
{
    struct mr_impair a = impair_of((struct mr_wire_impairment){.loss = 0.5}, 1);
    struct mr_impair b = impair_of((struct mr_wire_impairment){.loss = 0.5, .delay_ns = 9}, 1);
    struct mr_impair_fate fate;

    for (int i = 0; i < 1000; i++)
        CU_ASSERT_EQUAL(mr_impair_next(&a, 10, 0, &fate), mr_impair_next(&b, 10, 0, &fate));
}

/* ---- the delay line ---- */

enum {
    LINE = 500
};

static int compare_due(const void *a, const void *b)
{
    const struct mr_delayed *x = a;
    const struct mr_delayed *y = b;

    if (x->due_ns != y->due_ns)
        return x->due_ns < y->due_ns ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void a_delay_line_gives_frames_back_in_order(void)
{
    static struct mr_delayed mem[LINE];
    static struct mr_delayed model[LINE];
    static int frames[LINE];
    struct mr_random random;
    struct mr_delay line;

    mr_random_init_number(&random, 3);
    for (uint64_t spread = 1; spread <= 10000; spread *= 10) { /* few times: many are equal */
        mr_delay_init(&line, mem, LINE);
        for (uint32_t i = 0; i < LINE; i++) {
            model[i] = (struct mr_delayed){mr_random_below(&random, spread), i, &frames[i]};
            CU_ASSERT(mr_delay_push(&line, &frames[i], model[i].due_ns));
            mr_delay_check(&line);
        }
        CU_ASSERT_FALSE(mr_delay_push(&line, frames, 0));
        qsort(model, LINE, sizeof(model[0]), compare_due);
        for (uint32_t i = 0; i < LINE; i++) {
            if (model[i].due_ns > 0)
                CU_ASSERT_PTR_NULL(mr_delay_pop(&line, model[i].due_ns - 1));
            CU_ASSERT_PTR_EQUAL(mr_delay_pop(&line, model[i].due_ns), model[i].frame);
            mr_delay_check(&line);
        }
        CU_ASSERT_PTR_NULL(mr_delay_pop(&line, UINT64_MAX));
    }
}

/* Pushes and pops mixed: what is popped is never later than what remains. */
static void a_delay_line_in_use_stays_in_order(void)
{
    static struct mr_delayed mem[LINE];
    static uint64_t due[LINE * 4];
    struct mr_random random;
    struct mr_delay line;
    uint64_t now = 0;
    uint32_t in = 0;
    uint32_t out = 0;

    mr_random_init_number(&random, 4);
    mr_delay_init(&line, mem, LINE);
    while (in < LINE * 4) {
        uint64_t *frame;

        for (uint64_t n = mr_random_below(&random, 40); n > 0 && in < LINE * 4; n--) {
            due[in] = now + mr_random_below(&random, 100);
            if (!mr_delay_push(&line, &due[in], due[in]))
                break;
            in++;
        }
        now += mr_random_below(&random, 50);
        while ((frame = mr_delay_pop(&line, now)) != NULL) {
            CU_ASSERT(*frame <= now);
            out++;
        }
        CU_ASSERT(line.count == 0 || line.heap[0].due_ns > now);
        mr_delay_check(&line);
    }
    CU_ASSERT_EQUAL(in - out, line.count);
}

/* ---- RSS ---- */

/* The verification suite that Microsoft publishes for the Toeplitz hash, with its key. */
static const uint8_t key[MR_RSS_KEY_SIZE] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static void hashes_are_those_of_the_verification_suite(void)
{
    static const struct {
        uint8_t tuple[12]; /* source, destination, ports */
        uint32_t with_ports;
        uint32_t without;
    } rows[] = {
        {{66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6}, 0x51ccc178, 0x323e8fc2},
        {{199, 92, 111, 2, 65, 69, 140, 83, 0x37, 0x96, 0x12, 0x83}, 0xc626b0ea, 0xd718262a},
        {{24, 19, 198, 95, 12, 22, 207, 184, 0x32, 0x62, 0x94, 0x88}, 0x5c2b394a, 0xd2d0a5de},
    };
    static struct mr_rss rss;

    mr_rss_init(&rss, key, 4);
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        CU_ASSERT_EQUAL(mr_rss_hash_bytes(&rss, rows[i].tuple, 12), rows[i].with_ports);
        CU_ASSERT_EQUAL(mr_rss_hash_bytes(&rss, rows[i].tuple, 8), rows[i].without);
    }
}

/* What of a frame is hashed: ports of UDP and TCP, not of fragments or of other protocols. */
static void ports_are_hashed_where_they_are(void)
{
    static const struct {
        uint8_t version_ihl;
        uint8_t protocol;
        uint16_t fragment;
        uint16_t vlan;
        uint32_t size;
        bool has_ports;
    } rows[] = {
        {0x45, 17, 0, 0, 60, true},       {0x45, 6, 0, 0, 60, true},
        {0x45, 17, 0x4000, 0, 60, true},  {0x46, 17, 0, 0, 60, true},
        {0x45, 17, 0, 9, 60, true},       {0x45, 1, 0, 0, 60, false},
        {0x45, 17, 0x2000, 0, 60, false}, {0x45, 17, 0x0001, 0, 60, false},
        {0x45, 17, 0, 0, 37, false},      {0x4f, 17, 0, 0, 60, false},
        {0x44, 17, 0, 0, 60, false},
    };
    static struct mr_rss rss;

    mr_rss_init(&rss, key, 4);
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        uint8_t frame[64] = {0};
        uint8_t *ip = frame + (rows[i].vlan != 0 ? 18 : 14);
        uint32_t header = (rows[i].version_ihl & 15u) * 4;

        frame[12] = rows[i].vlan != 0 ? 0x81 : 0x08;
        if (rows[i].vlan != 0)
            frame[16] = 0x08;
        ip[0] = rows[i].version_ihl;
        ip[6] = (uint8_t)(rows[i].fragment >> 8);
        ip[7] = (uint8_t)rows[i].fragment;
        ip[9] = rows[i].protocol;
        memcpy(ip + 12, (const uint8_t[]){66, 9, 149, 187, 161, 142, 100, 80}, 8);
        if (header >= 20 && header + 4 <= 40)
            memcpy(ip + header, (const uint8_t[]){0x0a, 0xea, 0x06, 0xe6}, 4);
        CU_ASSERT_EQUAL(mr_rss_hash_frame(&rss, frame, rows[i].size),
                        rows[i].has_ports ? 0x51ccc178 : 0x323e8fc2);
    }
}

static void frames_without_addresses_hash_to_nothing(void)
{
    static struct mr_rss rss;
    uint8_t frame[64] = {[12] = 0x08, [13] = 0x06, [14] = 0x45, [26] = 1};

    mr_rss_init(&rss, key, 4);
    CU_ASSERT_EQUAL(mr_rss_hash_frame(&rss, frame, 60), 0); /* ARP */
    frame[13] = 0;
    CU_ASSERT_NOT_EQUAL(mr_rss_hash_frame(&rss, frame, 60), 0);
    CU_ASSERT_NOT_EQUAL(mr_rss_hash_frame(&rss, frame, 34), 0);
    for (uint32_t size = 0; size < 34; size++)
        CU_ASSERT_EQUAL(mr_rss_hash_frame(&rss, frame, size), 0);
    frame[12] = 0x86;
    frame[13] = 0xdd;
    for (uint32_t size = 0; size < 54; size++)
        CU_ASSERT_EQUAL(mr_rss_hash_frame(&rss, frame, size), 0);
    CU_ASSERT_NOT_EQUAL(mr_rss_hash_frame(&rss, frame, 54), 0);
}

static CU_TestInfo impairments[] = {
    {"every field is an impairment but the queue", every_field_is_an_impairment_but_the_queue},
    {"jitter reaches from none to all of it", jitter_reaches_from_none_to_all_of_it},
    {"certain things always happen", certain_things_always_happen},
    {"queues share the rate evenly", queues_share_the_rate_evenly},
    {"the queue of a rate has a size by itself", the_queue_of_a_rate_has_a_size_by_itself},
    {"impairments do not move each other's dice", impairments_do_not_move_each_others_dice},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo delay[] = {
    {"a delay line gives frames back in order", a_delay_line_gives_frames_back_in_order},
    {"a delay line in use stays in order", a_delay_line_in_use_stays_in_order},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo rss[] = {
    {"hashes are those of the verification suite", hashes_are_those_of_the_verification_suite},
    {"ports are hashed where they are", ports_are_hashed_where_they_are},
    {"frames without addresses hash to nothing", frames_without_addresses_hash_to_nothing},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "drivers/wire_impair", .pTests = impairments},
    {.pName = "drivers/wire_impair delay", .pTests = delay},
    {.pName = "drivers/wire_rss", .pTests = rss},
    CU_SUITE_INFO_NULL,
};
