/* Tests of quic/sent.h. */
#include "quic/sent_late.h"

#include <stdlib.h>

#include "tests/unit/harness.h"

#define CHUNKS_MAX 17000
#define BLOCKS_MAX 64
#define DATA       (MR_SENT_ACK_ELICITING | MR_SENT_IN_FLIGHT)

/* A space and the pools it takes from. */
struct rig {
    struct mr_pool chunks;
    struct mr_pool blocks;
    struct mr_sent sent;
    void *chunk_mem;
    void *block_mem;
};

static void rig_open(struct rig *rig, uint32_t chunk_count)
{
    rig->chunk_mem = malloc(mr_chunks_footprint(chunk_count));
    rig->block_mem = malloc(mr_sent_blocks_footprint(BLOCKS_MAX));
    CU_ASSERT_FATAL(rig->chunk_mem != NULL && rig->block_mem != NULL);
    mr_chunks_init(&rig->chunks, rig->chunk_mem, chunk_count);
    mr_sent_blocks_init(&rig->blocks, rig->block_mem, BLOCKS_MAX);
    mr_sent_init(&rig->sent, &rig->chunks, &rig->blocks);
}

static void rig_close(struct rig *rig)
{
    mr_sent_check(&rig->sent);
    mr_sent_discard(&rig->sent);
    CU_ASSERT_EQUAL(rig->chunks.used, 0);
    CU_ASSERT_EQUAL(rig->blocks.used, 0);
    free(rig->chunk_mem);
    free(rig->block_mem);
}

/* Send a packet of 100 bytes with one STREAM frame whose offset is its number. */
static bool send_at(struct rig *rig, uint8_t flags, uint64_t time_ns)
{
    if (!mr_sent_reserve(&rig->sent))
        return false;

    struct mr_sent_packet *packet = mr_sent_begin(&rig->sent);
    struct mr_sent_frame frame = {.kind = MR_SENT_STREAM, .offset = mr_sent_next(&rig->sent)};
    struct mr_sent_info info = {.time_ns = time_ns, .size = 100, .flags = flags};

    mr_sent_add_frame(&rig->sent, packet, &frame);
    mr_sent_commit(&rig->sent, packet, &info);
    return true;
}

static uint32_t send_many(struct rig *rig, uint32_t count)
{
    uint32_t sent = 0;

    while (sent < count && send_at(rig, DATA, 1000))
        sent++;
    return sent;
}

/* Packets of lo..hi that were declared lost, and are acknowledged now. */
static uint32_t acknowledge_late(struct rig *rig, uint64_t lo, uint64_t hi)
{
    struct mr_sent_late late;
    uint32_t count = 0;
    uint64_t last = 0;
    uint64_t pn;

    mr_sent_late_begin(&late, &rig->sent, (struct mr_sent_range){lo, hi});
    for (const struct mr_sent_packet *p; (p = mr_sent_late_next(&late, &pn)) != NULL; count++) {
        CU_ASSERT_EQUAL(p->first.offset, pn);
        CU_ASSERT_EQUAL(mr_sent_state(p), MR_SENT_ACKED);
        CU_ASSERT(pn >= lo && pn <= hi && (count == 0 || pn > last));
        last = pn;
    }
    mr_sent_check(&rig->sent);
    return count;
}

/* Acknowledge lo..hi; returns how many packets that was news of. */
static uint32_t acknowledge(struct rig *rig, uint64_t lo, uint64_t hi)
{
    struct mr_sent_ack ack;
    uint32_t count = 0;
    uint64_t pn;

    mr_sent_ack_begin(&ack, &rig->sent, (struct mr_sent_range){lo, hi});
    for (const struct mr_sent_packet *p; (p = mr_sent_ack_next(&ack, &pn)) != NULL; count++) {
        CU_ASSERT_EQUAL(p->first.offset, pn);
        CU_ASSERT(pn >= lo && pn <= hi);
    }
    CU_ASSERT_FALSE(ack.is_violation);
    mr_sent_check(&rig->sent);
    return count;
}

static bool is_violation(struct rig *rig, uint64_t lo, uint64_t hi)
{
    struct mr_sent_ack ack;
    uint64_t pn;

    mr_sent_ack_begin(&ack, &rig->sent, (struct mr_sent_range){lo, hi});
    while (mr_sent_ack_next(&ack, &pn) != NULL)
        continue;
    return ack.is_violation;
}

/* Look for losses; returns how many there were. */
static uint32_t detect(struct rig *rig, uint64_t now, uint64_t delay_ns, struct mr_sent_loss *loss)
{
    struct mr_sent_loss_params params = {
        .now = now, .delay_ns = delay_ns, .persistent_ns = 500, .first_sample_ns = 10};
    uint32_t count = 0;
    uint64_t pn;

    mr_sent_loss_begin(loss, &rig->sent, &params);
    while (mr_sent_loss_next(loss, &pn) != NULL)
        count++;
    mr_sent_check(&rig->sent);
    return count;
}

static void a_packet_is_acknowledged_once(void)
{
    struct rig rig;
    rig_open(&rig, 16);

    CU_ASSERT_EQUAL(send_many(&rig, 100), 100);
    CU_ASSERT_EQUAL(rig.sent.ack_eliciting_count, 100);
    CU_ASSERT_EQUAL(acknowledge(&rig, 10, 19), 10);
    CU_ASSERT_EQUAL(acknowledge(&rig, 10, 19), 0);
    CU_ASSERT_EQUAL(acknowledge(&rig, 5, 69), 55);
    CU_ASSERT_EQUAL(acknowledge(&rig, 0, 99), 35);
    CU_ASSERT_EQUAL(rig.sent.in_flight_count, 0);
    CU_ASSERT_EQUAL(rig.sent.ack_eliciting_count, 0);
    rig_close(&rig);
}

static void acknowledging_what_was_never_sent_is_a_violation(void)
{
    struct rig rig;
    rig_open(&rig, 16);

    CU_ASSERT(is_violation(&rig, 0, 0));
    send_many(&rig, 10);
    CU_ASSERT(is_violation(&rig, 0, 10));
    CU_ASSERT(is_violation(&rig, 5, UINT64_MAX));
    CU_ASSERT_FALSE(is_violation(&rig, 0, 9));
    rig_close(&rig);
}

static void acknowledging_a_skipped_number_is_a_violation(void)
{
    struct rig rig;
    rig_open(&rig, 16);

    send_many(&rig, 5);
    CU_ASSERT(mr_sent_reserve(&rig.sent));
    mr_sent_skip(&rig.sent);
    send_many(&rig, 5);
    CU_ASSERT_EQUAL(mr_sent_next(&rig.sent), 11);

    /* The trap holds while the packet after it is outstanding. */
    CU_ASSERT_EQUAL(acknowledge(&rig, 0, 4), 5);
    mr_sent_release(&rig.sent, 0);
    CU_ASSERT(is_violation(&rig, 3, 7));
    CU_ASSERT(is_violation(&rig, 5, 5));
    CU_ASSERT_EQUAL(acknowledge(&rig, 6, 10), 5);
    rig_close(&rig);
}

static void frames_beyond_the_first_go_to_blocks(void)
{
    struct rig rig;
    rig_open(&rig, 16);

    for (uint32_t count = 0; count <= 8; count++) {
        CU_ASSERT(mr_sent_reserve(&rig.sent));
        struct mr_sent_packet *packet = mr_sent_begin(&rig.sent);
        for (uint32_t i = 0; i < count; i++) {
            struct mr_sent_frame frame = {.kind = MR_SENT_NEW_CID, .offset = UINT64_C(1) << i};
            CU_ASSERT(mr_sent_can_add(&rig.sent, packet));
            mr_sent_add_frame(&rig.sent, packet, &frame);
        }
        struct mr_sent_frames at;
        uint64_t seen = 0;
        for (const struct mr_sent_frame *f = mr_sent_frame_first(&at, &rig.sent, packet); f;
             f = mr_sent_frame_next(&at))
            seen += f->offset;
        CU_ASSERT_EQUAL(seen, (UINT64_C(1) << count) - 1);
        CU_ASSERT_EQUAL(rig.blocks.used, count == 0 ? 0 : (count + 1) / 3);
        mr_sent_abort(&rig.sent, packet);
        CU_ASSERT_EQUAL(rig.blocks.used, 0);
        CU_ASSERT_EQUAL(rig.chunks.used, 0);
        CU_ASSERT_EQUAL(mr_sent_next(&rig.sent), 0);
    }
    rig_close(&rig);
}

static void without_a_block_no_frame_can_be_added(void)
{
    struct rig rig;
    rig_open(&rig, 16);

    CU_ASSERT(mr_sent_reserve(&rig.sent));
    struct mr_sent_packet *packet = mr_sent_begin(&rig.sent);
    struct mr_sent_frame frame = {.kind = MR_SENT_PING};
    uint32_t count = 0;

    for (; mr_sent_can_add(&rig.sent, packet); count++)
        mr_sent_add_frame(&rig.sent, packet, &frame);
    CU_ASSERT_EQUAL(count, 1 + BLOCKS_MAX * MR_SENT_BLOCK_FRAMES);
    mr_sent_abort(&rig.sent, packet);
    rig_close(&rig);
}

static void a_small_flight_takes_one_chunk_per_32_packets(void)
{
    struct rig rig;
    rig_open(&rig, 16);

    CU_ASSERT_EQUAL(send_many(&rig, 256), 256);
    CU_ASSERT_EQUAL(rig.chunks.used, 8);
    acknowledge(&rig, 0, 63);
    mr_sent_release(&rig.sent, 0);
    CU_ASSERT_EQUAL(rig.chunks.used, 6);
    send_many(&rig, 64);
    CU_ASSERT_EQUAL(rig.chunks.used, 8);

    CU_ASSERT_EQUAL(send_many(&rig, 1), 1); /* one more: root and leaf */
    CU_ASSERT_EQUAL(rig.chunks.used, 11);
    rig_close(&rig);
}

static void nothing_is_held_when_nothing_is_in_flight(void)
{
    struct rig rig;
    rig_open(&rig, 64);

    send_many(&rig, 1000);
    send_at(&rig, 0, 1000); /* a bare ACK keeps nothing */
    CU_ASSERT_EQUAL(acknowledge(&rig, 0, 999), 1000);
    mr_sent_release(&rig.sent, 0);
    CU_ASSERT_EQUAL(rig.chunks.used, 0);

    CU_ASSERT(send_at(&rig, 0, 1000));
    CU_ASSERT_EQUAL(rig.chunks.used, 0);
    CU_ASSERT_EQUAL(mr_sent_next(&rig.sent), 1002);
    CU_ASSERT_EQUAL(acknowledge(&rig, 0, 1001), 0);
    rig_close(&rig);
}

static void without_a_chunk_nothing_can_be_sent_until_one_is_back(void)
{
    for (uint32_t chunks = 1; chunks < 40; chunks++) {
        struct rig rig;
        rig_open(&rig, chunks);

        uint32_t sent = send_many(&rig, UINT32_MAX);
        uint32_t records = chunks <= 8 ? chunks : MR_MAX(8, chunks - 2);
        CU_ASSERT_EQUAL(sent, records * MR_SENT_CHUNK_RECORDS);
        mr_sent_check(&rig.sent);
        CU_ASSERT_EQUAL(acknowledge(&rig, 0, sent / 2 - 1), sent / 2);
        mr_sent_release(&rig.sent, 0);
        CU_ASSERT(chunks == 1 || send_many(&rig, 1) == 1);
        rig_close(&rig);
    }
}

/* Chunks that the records of `count` chunks take, directory included, when the oldest is number
 * `start`. */
static uint32_t chunks_for(uint32_t start, uint32_t count)
{
    uint32_t leaves = (start + count - 1) / 128 - start / 128 + 1;

    return count <= MR_SENT_DIRECT_SLOTS ? count : count + 1 + leaves;
}

/* The window moves so that the directory, when it is needed, begins at every place in a leaf. */
static void a_directory_that_cannot_be_made_is_no_harm(void)
{
    for (uint32_t start = 110; start < 140; start++) {
        for (uint32_t chunks = 9; chunks < 16; chunks++) {
            struct rig rig;
            rig_open(&rig, chunks);
            for (uint32_t i = 0; i < start; i++) {
                CU_ASSERT_FATAL(send_many(&rig, 32) == 32);
                acknowledge(&rig, i * 32, i * 32 + 31);
                mr_sent_release(&rig.sent, 0);
            }
            uint32_t count = send_many(&rig, UINT32_MAX) / 32;
            CU_ASSERT(chunks_for(start, count) == rig.chunks.used);
            CU_ASSERT(chunks_for(start, count + 1) > chunks);
            rig_close(&rig);
        }
    }
}

static void the_window_holds_524288_packets(void)
{
    struct rig rig;
    rig_open(&rig, CHUNKS_MAX);

    CU_ASSERT_EQUAL(send_many(&rig, UINT32_MAX), MR_SENT_WINDOW_MAX);
    CU_ASSERT_EQUAL(acknowledge(&rig, 1, MR_SENT_WINDOW_MAX - 1), MR_SENT_WINDOW_MAX - 1);
    mr_sent_release(&rig.sent, 0);
    CU_ASSERT_FALSE(mr_sent_reserve(&rig.sent)); /* packet 0 is in the way */
    CU_ASSERT_EQUAL(acknowledge(&rig, 0, 0), 1);
    mr_sent_release(&rig.sent, 0);
    CU_ASSERT_EQUAL(rig.chunks.used, 0);
    CU_ASSERT_EQUAL(send_many(&rig, 1), 1);
    rig_close(&rig);
}

/* The lost are remembered no longer than they are in nobody's way. */
static void a_lost_packet_does_not_fill_the_window(void)
{
    struct rig rig;
    struct mr_sent_loss loss;
    rig_open(&rig, CHUNKS_MAX);

    send_many(&rig, MR_SENT_LOST_BEHIND_MAX);
    CU_ASSERT_EQUAL(acknowledge(&rig, 1, 100), 100);
    CU_ASSERT_EQUAL(detect(&rig, 1000, 1000, &loss), 1);
    mr_sent_release(&rig.sent, 0);
    CU_ASSERT_EQUAL(rig.sent.base, 0);
    send_many(&rig, 1);
    mr_sent_release(&rig.sent, 0);
    CU_ASSERT_EQUAL(rig.sent.base, 100);
    CU_ASSERT_EQUAL(rig.sent.lost_count, 0);
    rig_close(&rig);
}

static void a_moving_window_crosses_every_leaf_of_the_directory(void)
{
    struct rig rig;
    rig_open(&rig, 512);
    uint64_t acked = 0;

    send_many(&rig, 6000);
    for (uint32_t round = 0; round < 700; round++) { /* over two million numbers */
        CU_ASSERT_FATAL(send_many(&rig, 3000) == 3000);
        CU_ASSERT_FATAL(acknowledge(&rig, acked, acked + 2999) == 3000);
        acked += 3000;
        mr_sent_release(&rig.sent, 0);
        CU_ASSERT_FATAL(rig.chunks.used <= 6000 / 32 + 2 + 1 + 3);
    }
    rig_close(&rig);
}

/* RFC 9002, Section 7.4: "Endpoints MUST NOT ignore the loss of packets that were sent after the
 * earliest acknowledged packet in a given packet number space." */
static void losses_come_by_number_and_by_time(void)
{
    struct rig rig;
    struct mr_sent_loss loss;
    rig_open(&rig, 16);

    for (uint64_t pn = 0; pn < 10; pn++)
        send_at(&rig, DATA, 1000 + pn * 10);
    CU_ASSERT_EQUAL(detect(&rig, 5000, 100, &loss), 0); /* nothing later was acknowledged */
    CU_ASSERT_EQUAL(loss.loss_time_ns, MR_NEVER);

    CU_ASSERT_EQUAL(acknowledge(&rig, 6, 6), 1);
    CU_ASSERT_EQUAL(detect(&rig, 1100, 1000, &loss), 4); /* 0 to 3 */
    CU_ASSERT_EQUAL(loss.loss_time_ns, 1040 + 1000);
    CU_ASSERT_EQUAL(detect(&rig, 2039, 1000, &loss), 0);
    CU_ASSERT_EQUAL(detect(&rig, 2040, 1000, &loss), 1); /* 4 */
    CU_ASSERT_EQUAL(loss.loss_time_ns, 1050 + 1000);
    CU_ASSERT_EQUAL(detect(&rig, 9999, 1000, &loss), 1); /* 5, but not 7 to 9 */
    CU_ASSERT_EQUAL(loss.loss_time_ns, MR_NEVER);
    CU_ASSERT_EQUAL(rig.sent.in_flight_count, 3);
    rig_close(&rig);
}

/* RFC 9002, Appendix A.10: the packet threshold assumes that no numbers are left out. */
static void a_skipped_number_does_not_count_as_a_later_packet(void)
{
    struct rig rig;
    struct mr_sent_loss loss;
    rig_open(&rig, 16);

    send_many(&rig, 2);
    CU_ASSERT(mr_sent_reserve(&rig.sent));
    mr_sent_skip(&rig.sent);
    send_many(&rig, 2); /* 3 and 4 */
    CU_ASSERT_EQUAL(acknowledge(&rig, 4, 4), 1);
    CU_ASSERT_EQUAL(detect(&rig, 1000, 1000, &loss), 1); /* 0; 1 is two packets before 4 */
    CU_ASSERT_EQUAL(loss.loss_time_ns, 2000);
    rig_close(&rig);
}

static void a_late_acknowledgment_of_a_loss_is_counted_while_it_is_remembered(void)
{
    struct rig rig;
    struct mr_sent_loss loss;
    rig_open(&rig, 16);

    for (uint64_t pn = 0; pn < 100; pn++)
        send_at(&rig, DATA, 1000 + pn);
    CU_ASSERT_EQUAL(acknowledge(&rig, 80, 80), 1);
    CU_ASSERT_EQUAL(detect(&rig, 1100, 1000, &loss), 78);
    mr_sent_release(&rig.sent, 1020); /* forgets those sent before */
    CU_ASSERT_EQUAL(acknowledge_late(&rig, 10, 29), 10);
    CU_ASSERT_EQUAL(acknowledge(&rig, 10, 29), 0);
    CU_ASSERT_EQUAL(acknowledge_late(&rig, 0, 19), 0);
    CU_ASSERT_EQUAL(acknowledge_late(&rig, 10, 70), 41);
    CU_ASSERT_EQUAL(acknowledge_late(&rig, 77, 90), 1);
    CU_ASSERT_EQUAL(acknowledge_late(&rig, 77, 1000), 0);
    CU_ASSERT_EQUAL(rig.sent.lost_count, 6);
    CU_ASSERT_EQUAL(rig.sent.in_flight_count, 21);
    mr_sent_release(&rig.sent, MR_NEVER);
    CU_ASSERT_EQUAL(rig.sent.lost_count, 0);
    CU_ASSERT_EQUAL(rig.sent.base, 78);
    rig_close(&rig);
}

/* RFC 9002, Section 6.1.1: "Algorithms that increase the reordering threshold after spuriously
 * detecting losses, such as RACK [RFC8985], have proven to be useful in TCP". */
static void reordering_raises_the_packet_threshold_and_losses_lower_it(void)
{
    struct rig rig;
    struct mr_sent_loss loss;
    rig_open(&rig, 64);

    send_many(&rig, 40);
    CU_ASSERT_EQUAL(acknowledge(&rig, 3, 9), 7);
    CU_ASSERT_EQUAL(detect(&rig, 1000, 1000, &loss), 3);
    CU_ASSERT_EQUAL(acknowledge_late(&rig, 1, 1), 1); /* 8 numbers behind */
    CU_ASSERT_EQUAL(rig.sent.packet_threshold, 9);
    CU_ASSERT_EQUAL(acknowledge_late(&rig, 2, 2), 1); /* fewer: it stays */
    CU_ASSERT_EQUAL(rig.sent.packet_threshold, 9);
    CU_ASSERT_EQUAL(acknowledge(&rig, 18, 18), 1);
    CU_ASSERT_EQUAL(detect(&rig, 1000, 1000, &loss), 0); /* 10 is 8 before */
    CU_ASSERT_EQUAL(acknowledge(&rig, 19, 19), 1);
    CU_ASSERT_EQUAL(detect(&rig, 1000, 1000, &loss), 1);
    for (uint32_t expected = 8; expected > MR_SENT_PACKET_THRESHOLD; expected--) {
        mr_sent_relax_threshold(&rig.sent);
        CU_ASSERT_EQUAL(rig.sent.packet_threshold, expected);
    }
    mr_sent_relax_threshold(&rig.sent);
    CU_ASSERT_EQUAL(rig.sent.packet_threshold, MR_SENT_PACKET_THRESHOLD);

    send_many(&rig, 500);
    CU_ASSERT_EQUAL(acknowledge(&rig, 539, 539), 1);
    CU_ASSERT_EQUAL(detect(&rig, 1000, 1000, &loss), 524); /* not 537 and 538 */
    ;
    CU_ASSERT_EQUAL(acknowledge_late(&rig, 40, 40), 1);
    CU_ASSERT_EQUAL(rig.sent.packet_threshold, MR_SENT_THRESHOLD_MAX);
    rig_close(&rig);
}

static void discarding_a_space_returns_the_bytes_in_flight(void)
{
    struct rig rig;
    struct mr_sent_loss loss;
    rig_open(&rig, 16);

    send_many(&rig, 40);
    send_at(&rig, 0, 1000);                 /* not in flight */
    send_at(&rig, MR_SENT_IN_FLIGHT, 1000); /* padded only */
    acknowledge(&rig, 20, 29);
    CU_ASSERT_EQUAL(detect(&rig, 1000, 1000, &loss), 20);
    CU_ASSERT_EQUAL(mr_sent_discard(&rig.sent), 11 * 100);
    CU_ASSERT_EQUAL(rig.chunks.used, 0);
    CU_ASSERT_EQUAL(mr_sent_discard(&rig.sent), 0);
    CU_ASSERT_EQUAL(mr_sent_next(&rig.sent), 42); /* numbers are never used again */
    rig_close(&rig);
}

static void all_outstanding_packets_can_be_declared_lost(void)
{
    struct rig rig;
    struct mr_sent_loss loss;
    uint32_t count = 0;
    uint64_t pn;
    rig_open(&rig, 16);

    send_many(&rig, 50);
    acknowledge(&rig, 3, 5);
    mr_sent_loss_begin_all(&loss, &rig.sent);
    while (mr_sent_loss_next(&loss, &pn) != NULL)
        count++;
    CU_ASSERT_EQUAL(count, 47);
    CU_ASSERT_FALSE(loss.is_persistent);
    CU_ASSERT_EQUAL(rig.sent.in_flight_count, 0);
    rig_close(&rig);
}

static void what_was_lost_before_all_counts_no_more(void)
{
    struct rig rig;
    struct mr_sent_loss loss;
    uint64_t pn;
    rig_open(&rig, 16);

    for (uint64_t i = 0; i < 4; i++)
        send_at(&rig, DATA, 100 + i);
    acknowledge(&rig, 3, 3);
    CU_ASSERT_EQUAL(detect(&rig, 110, 1000, &loss), 1); /* a run of losses begins at 100 */
    mr_sent_loss_begin_all(&loss, &rig.sent);
    while (mr_sent_loss_next(&loss, &pn) != NULL)
        continue;

    send_at(&rig, DATA, 900);
    send_at(&rig, DATA, 901);
    acknowledge(&rig, 5, 5);
    CU_ASSERT_EQUAL(detect(&rig, 5000, 100, &loss), 1);
    CU_ASSERT_FALSE(loss.is_persistent);
    rig_close(&rig);
}

static void a_probe_finds_the_oldest_ack_eliciting_packet(void)
{
    struct rig rig;
    uint64_t pn = 0;
    rig_open(&rig, 16);

    CU_ASSERT_PTR_NULL(mr_sent_find(&rig.sent, 0, &pn));
    send_at(&rig, MR_SENT_IN_FLIGHT, 1000);
    send_many(&rig, 5);
    acknowledge(&rig, 1, 2);
    CU_ASSERT_PTR_NOT_NULL(mr_sent_find(&rig.sent, 0, &pn));
    CU_ASSERT_EQUAL(pn, 3);
    CU_ASSERT_PTR_NOT_NULL(mr_sent_find(&rig.sent, 5, &pn));
    CU_ASSERT_EQUAL(pn, 5);
    CU_ASSERT_PTR_NULL(mr_sent_find(&rig.sent, 6, &pn));
    rig_close(&rig);
}

/* One step of the persistent congestion cases: a packet sent at a time, and what became of it. */
struct fate {
    uint64_t time_ns;
    uint8_t flags;
    bool is_acked;
};

static const struct {
    struct fate packet[4];
    bool is_persistent;
} persistence[] = {
    /* The limit is 500, the first RTT sample was taken at 10. */
    {{{100, DATA, false}, {601, DATA, false}, {700, DATA, true}}, true},
    {{{100, DATA, false}, {600, DATA, false}, {700, DATA, true}}, false}, /* not beyond */
    {{{100, DATA, false}, {300, DATA, true}, {601, DATA, false}, {700, DATA, true}}, false},
    {{{10, DATA, false}, {511, DATA, false}, {700, DATA, true}}, false}, /* before the sample */
    {{{100, MR_SENT_IN_FLIGHT, false}, {601, DATA, false}, {700, DATA, true}}, false},
    {{{100, DATA | MR_SENT_MTU_PROBE, false}, {601, DATA, false}, {700, DATA, true}}, false},
    {{{100, DATA, false}, {300, 0, false}, {601, DATA, false}, {700, DATA, true}}, true},
};

/* RFC 9002, Section 7.6.2: "These two packets MUST be ack-eliciting, since a receiver is required
 * to acknowledge only ack-eliciting packets within its maximum acknowledgment delay." */
static void persistent_congestion_needs_two_losses_far_apart(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(persistence); i++) {
        struct rig rig;
        struct mr_sent_loss loss;
        rig_open(&rig, 16);

        for (int k = 0; k < 4 && persistence[i].packet[k].time_ns != 0; k++)
            send_at(&rig, persistence[i].packet[k].flags, persistence[i].packet[k].time_ns);
        for (uint64_t pn = 0; pn < mr_sent_next(&rig.sent); pn++) {
            if (persistence[i].packet[pn].is_acked)
                acknowledge(&rig, pn, pn);
        }
        detect(&rig, 100000, 1, &loss);
        CU_ASSERT_EQUAL(loss.is_persistent, persistence[i].is_persistent);
        rig_close(&rig);
    }
}

static void losses_found_one_by_one_make_persistent_congestion_too(void)
{
    struct rig rig;
    struct mr_sent_loss loss;
    rig_open(&rig, 16);

    send_at(&rig, DATA, 100);
    send_at(&rig, DATA, 601);
    send_at(&rig, DATA, 700);
    acknowledge(&rig, 2, 2);
    CU_ASSERT_EQUAL(detect(&rig, 1000, 500, &loss), 1);
    CU_ASSERT_FALSE(loss.is_persistent);
    CU_ASSERT_EQUAL(detect(&rig, 1101, 500, &loss), 1);
    CU_ASSERT(loss.is_persistent);
    rig_close(&rig);
}

static CU_TestInfo tests[] = {
    {"a packet is acknowledged once", a_packet_is_acknowledged_once},
    {"acknowledging what was never sent is a violation",
     acknowledging_what_was_never_sent_is_a_violation},
    {"acknowledging a skipped number is a violation",
     acknowledging_a_skipped_number_is_a_violation},
    {"frames beyond the first go to blocks", frames_beyond_the_first_go_to_blocks},
    {"without a block no frame can be added", without_a_block_no_frame_can_be_added},
    {"a small flight takes one chunk per 32 packets",
     a_small_flight_takes_one_chunk_per_32_packets},
    {"nothing is held when nothing is in flight", nothing_is_held_when_nothing_is_in_flight},
    {"without a chunk nothing can be sent until one is back",
     without_a_chunk_nothing_can_be_sent_until_one_is_back},
    {"a directory that cannot be made is no harm", a_directory_that_cannot_be_made_is_no_harm},
    {"the window holds 524288 packets", the_window_holds_524288_packets},
    {"a lost packet does not fill the window", a_lost_packet_does_not_fill_the_window},
    {"a moving window crosses every leaf of the directory",
     a_moving_window_crosses_every_leaf_of_the_directory},
    {"losses come by number and by time", losses_come_by_number_and_by_time},
    {"a skipped number does not count as a later packet",
     a_skipped_number_does_not_count_as_a_later_packet},
    {"a late acknowledgment of a loss is counted while it is remembered",
     a_late_acknowledgment_of_a_loss_is_counted_while_it_is_remembered},
    {"reordering raises the packet threshold, and losses lower it",
     reordering_raises_the_packet_threshold_and_losses_lower_it},
    {"discarding a space returns the bytes in flight",
     discarding_a_space_returns_the_bytes_in_flight},
    {"all outstanding packets can be declared lost", all_outstanding_packets_can_be_declared_lost},
    {"what was lost before all counts no more", what_was_lost_before_all_counts_no_more},
    {"a probe finds the oldest ack-eliciting packet",
     a_probe_finds_the_oldest_ack_eliciting_packet},
    {"persistent congestion needs two losses far apart",
     persistent_congestion_needs_two_losses_far_apart},
    {"losses found one by one make persistent congestion too",
     losses_found_one_by_one_make_persistent_congestion_too},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/sent", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
