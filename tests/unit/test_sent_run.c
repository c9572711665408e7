/*
 * Tests of quic/sent_run.h: two spaces send and acknowledge the same, one of them in runs, and stay
 * equal, record by record.
 */
#include "quic/sent_run.h"

#include <stdlib.h>

#include "base/random.h"
#include "tests/unit/harness.h"

#define CHUNKS 64
#define BLOCKS 64
#define DATA   (MR_SENT_ACK_ELICITING | MR_SENT_IN_FLIGHT)
#define LENGTH 1000
#define STEPS  4000

struct space {
    struct mr_pool chunks;
    struct mr_pool blocks;
    struct mr_sent sent;
    void *chunk_mem;
    void *block_mem;
};

/* Both spaces, and what the next packets are like. */
struct rig {
    struct mr_random random;
    struct space run;
    struct space single;
    uint64_t now;
    uint64_t offset;
    uint8_t flags;
};

static void space_open(struct space *space)
{
    space->chunk_mem = malloc(mr_chunks_footprint(CHUNKS));
    space->block_mem = malloc(mr_sent_blocks_footprint(BLOCKS));
    CU_ASSERT_FATAL(space->chunk_mem != NULL && space->block_mem != NULL);
    mr_chunks_init(&space->chunks, space->chunk_mem, CHUNKS);
    mr_sent_blocks_init(&space->blocks, space->block_mem, BLOCKS);
    mr_sent_init(&space->sent, &space->chunks, &space->blocks);
}

static void space_close(struct space *space)
{
    mr_sent_check(&space->sent);
    mr_sent_discard(&space->sent);
    CU_ASSERT_EQUAL(space->chunks.used, 0);
    CU_ASSERT_EQUAL(space->blocks.used, 0);
    free(space->chunk_mem);
    free(space->block_mem);
}

static void rig_open(struct rig *rig, uint64_t seed)
{
    *rig = (struct rig){.now = 1000, .offset = 77, .flags = DATA};
    mr_random_init_number(&rig->random, seed);
    space_open(&rig->run);
    space_open(&rig->single);
}

static void rig_close(struct rig *rig)
{
    space_close(&rig->run);
    space_close(&rig->single);
}

static void check_equal(const struct rig *rig)
{
    const struct mr_sent *a = &rig->run.sent;
    const struct mr_sent *b = &rig->single.sent;

    mr_sent_check(a);
    mr_sent_check(b);
    CU_ASSERT_EQUAL_FATAL(a->base, b->base);
    CU_ASSERT_EQUAL_FATAL(a->next, b->next);
    CU_ASSERT_EQUAL(a->scan, b->scan);
    CU_ASSERT_EQUAL(a->in_flight_count, b->in_flight_count);
    CU_ASSERT_EQUAL(a->ack_eliciting_count, b->ack_eliciting_count);
    for (uint64_t pn = a->base; pn < a->next; pn++)
        CU_ASSERT_EQUAL(memcmp(mr_sent_record(a, pn), mr_sent_record(b, pn),
                               offsetof(struct mr_sent_packet, more)),
                        0);
}

static void send_single(struct mr_sent *sent, const struct mr_sent_info *info,
                        const struct mr_sent_frame *frame, uint32_t frames)
{
    CU_ASSERT_FATAL(mr_sent_reserve(sent));
    struct mr_sent_packet *packet = mr_sent_begin(sent);

    for (uint32_t i = 0; i < frames; i++)
        mr_sent_add_frame(sent, packet, frame);
    mr_sent_commit(sent, packet, info);
}

static void send_run(struct rig *rig, uint32_t count)
{
    struct mr_sent_info info = {.time_ns = rig->now, .size = 1452, .flags = rig->flags, .path = 3};
    struct mr_sent_frame frame = {
        .offset = rig->offset, .object = 5, .length = LENGTH, .kind = MR_SENT_STREAM};
    struct mr_sent_frame single = frame;

    for (uint32_t i = 0; i < count; i++, single.offset += LENGTH)
        send_single(&rig->single.sent, &info, &single, 1);
    for (uint32_t done = 0; done < count;) {
        CU_ASSERT_FATAL(mr_sent_reserve(&rig->run.sent));
        uint32_t some = mr_sent_commit_run(&rig->run.sent, &info, &frame, count - done);
        CU_ASSERT_FATAL(some > 0 && some <= count - done);
        done += some;
    }
    CU_ASSERT_EQUAL(frame.offset, single.offset);
    rig->offset = frame.offset;
}

/* A packet that would go on with the run before, but for one thing. */
static void send_odd(struct rig *rig, uint32_t kind)
{
    struct mr_sent_info info = {.time_ns = rig->now, .size = 1452, .flags = rig->flags, .path = 3};
    struct mr_sent_frame frame = {
        .offset = rig->offset, .object = 5, .length = LENGTH, .kind = MR_SENT_STREAM};
    uint32_t frames = kind == 0 ? 2 : 1;

    frame.offset += kind == 1;
    frame.object += kind == 2;
    frame.length = (uint16_t)(frame.length - (kind == 3));
    frame.kind = kind == 4 ? MR_SENT_CRYPTO : frame.kind;
    frame.flags = kind == 5 ? MR_SENT_FIN : 0;
    info.size = (uint16_t)(info.size - (kind == 6));
    info.path = (uint8_t)(info.path + (kind == 7));
    info.flags = (uint8_t)(info.flags | (kind == 8   ? MR_SENT_MTU_PROBE
                                         : kind == 9 ? MR_SENT_ECT
                                                     : 0));
    if (kind == 10) {
        CU_ASSERT_FATAL(mr_sent_reserve(&rig->run.sent) && mr_sent_reserve(&rig->single.sent));
        mr_sent_skip(&rig->run.sent);
        mr_sent_skip(&rig->single.sent);
        return;
    }
    send_single(&rig->run.sent, &info, &frame, frames);
    send_single(&rig->single.sent, &info, &frame, frames);
    rig->offset += LENGTH;
}

/* The packets behind `p`, number `pn`, that are like it: what the caller may take for granted. */
static void check_like(const struct rig *rig, const struct mr_sent_packet *p, uint64_t pn,
                       const struct mr_sent_packet *last, uint32_t more)
{
    CU_ASSERT_PTR_EQUAL(last, mr_sent_record(&rig->run.sent, pn + more));
    for (uint32_t i = 1; i <= more; i++) {
        const struct mr_sent_packet *next = mr_sent_record(&rig->run.sent, pn + i);

        CU_ASSERT_EQUAL(next->first.kind, MR_SENT_STREAM);
        CU_ASSERT_EQUAL(next->first.object, p->first.object);
        CU_ASSERT_EQUAL(next->first.length, p->first.length);
        CU_ASSERT_EQUAL(next->first.flags, p->first.flags);
        CU_ASSERT_EQUAL(next->first.offset, p->first.offset + (uint64_t)i * p->first.length);
        CU_ASSERT_EQUAL(next->size, p->size);
        CU_ASSERT_EQUAL(next->path, p->path);
        CU_ASSERT_EQUAL(next->flags, p->flags);
        CU_ASSERT_EQUAL(next->more, MR_NONE);
        CU_ASSERT_EQUAL(next->flags & MR_SENT_MTU_PROBE, 0);
    }
}

/* Acknowledge a range in both.  Returns the packets that others of a run stood for. */
static uint32_t acknowledge(struct rig *rig, struct mr_sent_range range)
{
    const struct mr_sent_packet *last;
    struct mr_sent_packet *p;
    struct mr_sent_ack a;
    struct mr_sent_ack b;
    uint32_t in_runs = 0;
    uint64_t pn_a;
    uint64_t pn_b;

    mr_sent_ack_begin(&a, &rig->run.sent, range);
    mr_sent_ack_begin(&b, &rig->single.sent, range);
    while ((p = mr_sent_ack_next(&a, &pn_a)) != NULL) {
        uint32_t more = mr_sent_ack_like(&a, p, &last);

        check_like(rig, p, pn_a, last, more);
        in_runs += more;
        for (uint64_t pn = pn_a; pn <= pn_a + more; pn++) {
            CU_ASSERT_PTR_NOT_NULL_FATAL(mr_sent_ack_next(&b, &pn_b));
            CU_ASSERT_EQUAL_FATAL(pn_b, pn);
        }
    }
    CU_ASSERT_PTR_NULL(mr_sent_ack_next(&b, &pn_b));
    CU_ASSERT_EQUAL(a.is_violation, b.is_violation);
    check_equal(rig);
    return in_runs;
}

static void release(struct rig *rig)
{
    mr_sent_release(&rig->run.sent, MR_NEVER);
    mr_sent_release(&rig->single.sent, MR_NEVER);
    check_equal(rig);
}

static void a_run_is_recorded_as_its_packets_would_be(void)
{
    struct rig rig;

    for (uint32_t before = 0; before < MR_SENT_CHUNK_RECORDS; before += 5) {
        rig_open(&rig, before);
        send_run(&rig, 1 + before);
        send_run(&rig, 70);
        check_equal(&rig);
        rig_close(&rig);
    }
}

static void a_run_is_acknowledged_a_chunk_at_a_time(void)
{
    struct rig rig;
    rig_open(&rig, 1);

    send_run(&rig, 64);
    CU_ASSERT_EQUAL(acknowledge(&rig, (struct mr_sent_range){0, 63}), 62); /* two lead */
    release(&rig);
    rig_close(&rig);
}

/* Whatever one packet in the middle has of its own ends what the one before stands for. */
static void a_packet_that_differs_is_told_apart(void)
{
    struct rig rig;

    for (uint32_t kind = 0; kind < 10; kind++) {
        rig_open(&rig, kind);
        send_run(&rig, 5);
        send_odd(&rig, kind);
        send_run(&rig, 5);
        CU_ASSERT_EQUAL(acknowledge(&rig, (struct mr_sent_range){0, 10}), 8);
        rig_close(&rig);
    }
}

static void a_number_left_out_is_a_violation_in_a_run_too(void)
{
    struct rig rig;
    struct mr_sent_ack ack;
    const struct mr_sent_packet *last;
    struct mr_sent_packet *p;
    uint64_t pn;
    rig_open(&rig, 1);

    send_run(&rig, 5);
    send_odd(&rig, 10);
    send_run(&rig, 5);
    mr_sent_ack_begin(&ack, &rig.run.sent, (struct mr_sent_range){0, 10});
    while ((p = mr_sent_ack_next(&ack, &pn)) != NULL)
        CU_ASSERT_EQUAL(mr_sent_ack_like(&ack, p, &last), 4);
    CU_ASSERT(ack.is_violation);
    rig_close(&rig);
}

static void whatever_is_sent_and_acknowledged_both_ways_give_the_same(void)
{
    struct rig rig;
    uint64_t in_runs = 0;
    rig_open(&rig, 7);

    for (uint32_t step = 0; step < STEPS; step++) {
        uint64_t base = rig.run.sent.base;
        uint64_t next = rig.run.sent.next;

        rig.now += 10;
        switch (next - base > 400 ? 3 : mr_random_below(&rig.random, 5)) {
        case 0:
        case 1:
            send_run(&rig, 1 + (uint32_t)mr_random_below(&rig.random, 40));
            break;
        case 2:
            send_odd(&rig, (uint32_t)mr_random_below(&rig.random, 10));
            break;
        default:
            if (next == base)
                break;
            uint64_t lo = base + mr_random_below(&rig.random, next - base);
            uint64_t hi = lo + mr_random_below(&rig.random, next - lo);
            in_runs += acknowledge(&rig, (struct mr_sent_range){step % 3 == 0 ? base : lo, hi});
            release(&rig);
        }
        check_equal(&rig);
    }
    CU_ASSERT(in_runs > STEPS);
    rig_close(&rig);
}

static CU_TestInfo tests[] = {
    {"a run is recorded as its packets would be", a_run_is_recorded_as_its_packets_would_be},
    {"a run is acknowledged a chunk at a time", a_run_is_acknowledged_a_chunk_at_a_time},
    {"a packet that differs is told apart", a_packet_that_differs_is_told_apart},
    {"a number left out is a violation in a run, too",
     a_number_left_out_is_a_violation_in_a_run_too},
    {"whatever is sent and acknowledged, both ways give the same",
     whatever_is_sent_and_acknowledged_both_ways_give_the_same},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/sent_run", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
