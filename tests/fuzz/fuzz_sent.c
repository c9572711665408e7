/*
 * fuzz/fuzz_sent.c - property test of quic/sent.h against a plain array of packets.
 *
 * The input is a program of four-byte steps: bursts are sent (several frames, bare ACKs, numbers
 * skipped, packets given up while being built), arrive at a receiver with gaps, and are
 * acknowledged in ranges as a receiver would (newest first, old ranges repeated, sometimes
 * forged); time passes, losses are looked for, spaces are discarded, pools run dry.  Properties:
 *   1. an ACK range yields exactly the packets in it that are outstanding, in order;
 *   2. a range is a violation if it names a number beyond the last packet, or one skipped that
 *      no ACK or loss has passed yet; it is none if it names sent packets only;
 *   3. the losses are those of RFC 9002, Section 6.1, applied to every packet, so each packet in
 *      flight leaves once: acknowledged, lost or discarded; so is the next loss time;
 *   4. a packet that leaves has the frames it was sent with, each once;
 *   5. packets in flight and ack-eliciting packets are counted right; late ACKs of lost packets
 * that are remembered yield these, in order, and raise the packet threshold as the header says;
 *   6. persistent congestion is two losses, further apart than the limit, later than the first
 *      RTT sample, without an acknowledged packet between them;
 *   7. reserve fails only if the window is full or a chunk is missing; nothing is held when
 *      nothing is in flight, and everything is back at the end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "quic/sent_late.h"

enum {
    NUMBERS = 1 << 15,
    STEP = 4,
    CHUNKS = 700,
    BLOCKS = 300,
    FRAMES_MAX = 9,
    RANGES_MAX = 20,
    PERSISTENT_NS = 500
};

enum state {
    UNRECORDED, /* sent while nothing was in flight, and not in flight; or left out of account */
    SKIPPED,
    OUTSTANDING,
    ACKED,
    LOST
};

/* What the model knows of a packet number. */
struct packet {
    uint64_t time_ns;
    uint16_t size;
    uint8_t flags;
    uint8_t state; /* enum state */
    uint8_t frames;
    bool has_arrived;
};

struct model {
    struct mr_sent sent;
    struct mr_pool chunks;
    struct mr_pool blocks;
    uint64_t now;
    uint64_t first_sample_ns;
    uint64_t largest_acked;
    uint64_t skipped;
    uint64_t run_begin; /* losses below count no more for persistent congestion */
    uint64_t threshold;
    uint32_t held; /* chunks that others have taken */
    uint32_t hold[CHUNKS];
};

static struct packet packets[NUMBERS];
static uint8_t chunk_mem[CHUNKS * MR_CHUNK_SIZE + MR_CACHE_LINE];
static uint8_t block_mem[BLOCKS * sizeof(struct mr_sent_block) + MR_CACHE_LINE];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what follows from the model ---- */

static bool is_in_flight(const struct packet *p)
{
    return p->state == OUTSTANDING && (p->flags & MR_SENT_IN_FLIGHT) != 0;
}

static uint64_t in_flight_bytes(const struct model *m)
{
    uint64_t bytes = 0;

    for (uint64_t pn = m->sent.base; pn < m->sent.next; pn++)
        bytes += is_in_flight(&packets[pn]) ? packets[pn].size : 0;
    return bytes;
}

static void check_counts(const struct model *m)
{
    uint32_t in_flight = 0;
    uint32_t eliciting = 0;

    mr_sent_check(&m->sent);
    for (uint64_t pn = m->sent.base; pn < m->sent.next; pn++) {
        in_flight += is_in_flight(&packets[pn]);
        eliciting += is_in_flight(&packets[pn]) && (packets[pn].flags & MR_SENT_ACK_ELICITING);
    }
    MR_ASSERT(m->sent.in_flight_count == in_flight);
    MR_ASSERT(m->sent.ack_eliciting_count == eliciting);
}

/* The frame number `i` of packet `pn`: every frame differs from every other. */
static struct mr_sent_frame frame_of(uint64_t pn, uint32_t i)
{
    return (struct mr_sent_frame){
        .offset = pn * FRAMES_MAX + i,
        .object = (uint32_t)pn ^ i << 20,
        .length = (uint16_t)(pn + i),
        .kind = (uint8_t)(1 + (pn + i) % (MR_SENT_KINDS - 1)),
        .flags = (uint8_t)(i & MR_SENT_FIN),
    };
}

/* Properties 1, 3 and 4: the record is what was sent. */
static void check_record(const struct model *m, const struct mr_sent_packet *record, uint64_t pn)
{
    const struct packet *p = &packets[pn];
    struct mr_sent_frames at;
    uint32_t seen = 0;
    uint32_t count = 0;

    MR_ASSERT(record->time_ns == p->time_ns && record->size == p->size);
    MR_ASSERT((record->flags & ~MR_SENT_STATE) == p->flags);
    MR_ASSERT(record->path == (uint8_t)pn);
    for (const struct mr_sent_frame *frame = mr_sent_frame_first(&at, &m->sent, record);
         frame != NULL; frame = mr_sent_frame_next(&at)) {
        uint64_t i = frame->offset - pn * FRAMES_MAX;
        MR_ASSERT(i < p->frames);
        struct mr_sent_frame expected = frame_of(pn, (uint32_t)i);
        MR_ASSERT(memcmp(frame, &expected, sizeof(expected)) == 0);
        seen |= 1u << i;
        count++;
    }
    MR_ASSERT(count == p->frames && seen == (1u << p->frames) - 1);
}

/* ---- sending ---- */

static uint8_t flags_of(uint8_t dice)
{
    if (dice < 24)
        return 0; /* a bare ACK */
    if (dice < 28)
        return MR_SENT_IN_FLIGHT; /* padded */
    if (dice < 32)
        return MR_SENT_IN_FLIGHT | MR_SENT_ACK_ELICITING | MR_SENT_MTU_PROBE;
    return MR_SENT_IN_FLIGHT | MR_SENT_ACK_ELICITING | (dice & 1 ? MR_SENT_ECT : 0);
}

/* Property 7. */
static bool reserve(struct model *m)
{
    if (m->sent.next >= NUMBERS - 2)
        return false;
    if (mr_sent_reserve(&m->sent))
        return true;
    MR_ASSERT(mr_pool_free_count(&m->chunks) < 4 ||
              m->sent.next - m->sent.base > MR_SENT_WINDOW_MAX - MR_SENT_CHUNK_RECORDS);
    return false;
}

static uint8_t add_frames(struct model *m, struct mr_sent_packet *record, uint32_t count)
{
    uint8_t added = 0;

    for (; added < count; added++) {
        if (!mr_sent_can_add(&m->sent, record)) {
            MR_ASSERT(added > 0 && mr_pool_free_count(&m->blocks) == 0);
            break;
        }
        struct mr_sent_frame frame = frame_of(mr_sent_next(&m->sent), added);
        mr_sent_add_frame(&m->sent, record, &frame);
    }
    return added;
}

static bool send_one(struct model *m, uint8_t dice, uint32_t frame_count)
{
    if (!reserve(m))
        return false;

    uint64_t pn = mr_sent_next(&m->sent);
    uint64_t base = m->sent.base;
    struct mr_sent_packet *record = mr_sent_begin(&m->sent);
    uint8_t frames = add_frames(m, record, frame_count);

    if (dice == 255) {
        mr_sent_abort(&m->sent, record);
        MR_ASSERT(mr_sent_next(&m->sent) == pn);
        return true;
    }
    struct packet *p = &packets[pn];
    bool is_recorded = m->sent.base < m->sent.next || (flags_of(dice) & MR_SENT_IN_FLIGHT);
    *p = (struct packet){.time_ns = m->now,
                         .size = (uint16_t)(20 + pn % 1400),
                         .flags = flags_of(dice),
                         .state = is_recorded ? OUTSTANDING : UNRECORDED,
                         .frames = frames};
    struct mr_sent_info info = {
        .time_ns = p->time_ns, .size = p->size, .flags = p->flags, .path = (uint8_t)pn};
    mr_sent_commit(&m->sent, record, &info);
    MR_ASSERT(mr_sent_next(&m->sent) == pn + 1);
    MR_ASSERT(m->sent.base == (is_recorded ? base : pn + 1));
    return true;
}

static void send_burst(struct model *m, uint32_t count, uint8_t dice, uint8_t frames)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!send_one(m, (uint8_t)(dice + i * 37),
                      (frames + i) % FRAMES_MAX % (1 + frames % FRAMES_MAX)))
            return;
        m->now += (i + dice) % 4 != 0;
    }
}

static void skip(struct model *m)
{
    if (!reserve(m))
        return;
    m->skipped = mr_sent_next(&m->sent);
    packets[m->skipped] = (struct packet){.state = SKIPPED};
    mr_sent_skip(&m->sent);
    send_one(m, 100, 1);
}

/* ---- the receiver ---- */

/* Everything sent up to `pn` arrives, but those that the bits of `gaps` leave out for now. */
static void arrive(struct model *m, uint64_t pn, uint8_t gaps)
{
    uint64_t begin = pn > 200 ? pn - 200 : 0;

    for (uint64_t i = begin; i <= pn && i < m->sent.next; i++) {
        if (packets[i].state != SKIPPED && (gaps >> i % 8 & 1) == 0)
            packets[i].has_arrived = true;
    }
}

/* ---- acknowledgments ---- */

/* Property 2. */
static bool is_violation(const struct model *m, struct mr_sent_range range)
{
    if (range.hi >= m->sent.next)
        return true;
    for (uint64_t pn = MR_MAX(range.lo, m->sent.scan); pn <= range.hi; pn++) {
        if (packets[pn].state == SKIPPED)
            return true;
    }
    return false;
}

/* Property 5: packets declared lost, still remembered, and acknowledged after all. */
static void acknowledge_late(struct model *m, struct mr_sent_range range)
{
    struct mr_sent_late late;
    struct mr_sent_packet *record;
    uint64_t found;

    mr_sent_late_begin(&late, &m->sent, range);
    for (uint64_t pn = MR_MAX(range.lo, m->sent.base);
         range.hi < m->sent.next && pn <= range.hi && pn < m->sent.scan; pn++) {
        if (packets[pn].state != LOST)
            continue;
        record = mr_sent_late_next(&late, &found);
        MR_ASSERT(record != NULL && found == pn);
        check_record(m, record, pn);
        MR_ASSERT(mr_sent_state(record) == MR_SENT_ACKED);
        packets[pn].state = ACKED;
        m->run_begin = m->sent.scan; /* no run of losses survives */
        uint64_t distance = m->largest_acked > pn ? m->largest_acked - pn : 0;
        m->threshold = MR_MAX(m->threshold, MR_MIN(distance + 1, (uint64_t)MR_SENT_THRESHOLD_MAX));
    }
    MR_ASSERT(mr_sent_late_next(&late, &found) == NULL);
    MR_ASSERT(m->sent.packet_threshold == m->threshold);
}

static uint64_t next_outstanding(struct mr_sent_range range, uint64_t pn)
{
    while (pn <= range.hi && packets[pn].state != OUTSTANDING)
        pn++;
    return pn;
}

/* Property 1.  Returns false if the range was a violation, after which the space is discarded. */
static bool acknowledge(struct model *m, struct mr_sent_range range)
{
    bool violation = is_violation(m, range);
    struct mr_sent_packet *record;
    struct mr_sent_ack ack;
    uint64_t pn;

    if (m->sent.lost_count > 0)
        acknowledge_late(m, range);
    if (range.hi < m->sent.next) {
        if (m->largest_acked == MR_SENT_NO_PN || range.hi > m->largest_acked)
            m->largest_acked = range.hi;
    }
    uint64_t expected = MR_MAX(range.lo, m->sent.base);

    mr_sent_ack_begin(&ack, &m->sent, range);
    while ((record = mr_sent_ack_next(&ack, &pn)) != NULL) {
        MR_ASSERT(pn == next_outstanding(range, expected));
        check_record(m, record, pn);
        MR_ASSERT(mr_sent_state(record) == MR_SENT_ACKED);
        packets[pn].state = ACKED;
        expected = pn + 1;
    }
    MR_ASSERT(ack.is_violation == violation);
    if (!violation)
        MR_ASSERT(next_outstanding(range, expected) > range.hi);
    return !violation;
}

/* The ranges a receiver would send, newest first, beginning at or below `largest`. */
static bool acknowledge_arrived(struct model *m, uint64_t largest, uint32_t range_count)
{
    uint64_t floor = m->sent.base - MR_MIN(m->sent.base, 100);
    uint64_t pn = largest + 1; /* above the next number to look at */

    for (uint32_t i = 0; i < range_count; i++) {
        while (pn > floor && !packets[pn - 1].has_arrived)
            pn--;
        if (pn <= floor)
            break;
        struct mr_sent_range range = {.hi = pn - 1};
        while (pn > floor && packets[pn - 1].has_arrived)
            pn--;
        range.lo = pn;
        if (!acknowledge(m, range))
            return false;
    }
    return true;
}

/* ---- losses ---- */

/* Property 3. */
static bool is_lost(const struct model *m, uint64_t pn, uint64_t delay_ns)
{
    if (packets[pn].state != OUTSTANDING || pn >= m->largest_acked)
        return false;

    uint64_t later = 0;
    for (uint64_t i = pn + 1; i <= m->largest_acked && later < m->threshold; i++)
        later += i != m->skipped;
    return later == m->threshold || packets[pn].time_ns + delay_ns <= m->now;
}

static bool counts_for_persistence(const struct model *m, uint64_t pn)
{
    const struct packet *p = &packets[pn];

    return (p->flags & MR_SENT_ACK_ELICITING) && !(p->flags & MR_SENT_MTU_PROBE) &&
           p->time_ns > m->first_sample_ns;
}

/* Losses without an acknowledged packet between them. */
struct run {
    uint64_t next;      /* packets below were looked at; MR_SENT_NO_PN: none yet */
    uint64_t oldest_ns; /* when the first of them was sent; MR_NEVER */
};

/* Bring the run up to packet `pn`. */
static void extend_run(const struct model *m, struct run *run, uint64_t pn)
{
    if (run->next == MR_SENT_NO_PN) {
        run->next = pn;
        while (run->next > m->run_begin && packets[run->next - 1].state != ACKED)
            run->next--;
    }
    for (; run->next < pn; run->next++) {
        if (packets[run->next].state == ACKED)
            run->oldest_ns = MR_NEVER;
        else if (packets[run->next].state == LOST && run->next >= m->run_begin &&
                 counts_for_persistence(m, run->next))
            run->oldest_ns = MR_MIN(run->oldest_ns, packets[run->next].time_ns);
    }
}

/* Property 6, for the newly lost packet `pn`. */
static bool establishes_persistence(struct model *m, struct run *run, uint64_t pn)
{
    extend_run(m, run, pn);
    if (!counts_for_persistence(m, pn) || run->oldest_ns == MR_NEVER ||
        packets[pn].time_ns - run->oldest_ns <= PERSISTENT_NS)
        return false;
    m->run_begin = pn + 1;
    *run = (struct run){.next = pn + 1, .oldest_ns = MR_NEVER};
    return true;
}

static uint64_t expect_loss_time(const struct model *m, uint64_t delay_ns)
{
    for (uint64_t pn = m->sent.scan; m->largest_acked != MR_SENT_NO_PN && pn < m->largest_acked;
         pn++) {
        if (is_in_flight(&packets[pn]))
            return packets[pn].time_ns + delay_ns;
    }
    return MR_NEVER;
}

/* The packets that were not in flight only leave the account. */
static void drop_silent(struct model *m, uint64_t delay_ns)
{
    for (uint64_t pn = m->sent.scan; pn < m->sent.next; pn++) {
        if (!is_in_flight(&packets[pn]) && m->largest_acked != MR_SENT_NO_PN &&
            is_lost(m, pn, delay_ns))
            packets[pn].state = UNRECORDED;
    }
}

static void detect_losses(struct model *m, uint64_t delay_ns)
{
    struct mr_sent_loss_params params = {.now = m->now,
                                         .delay_ns = delay_ns,
                                         .persistent_ns = PERSISTENT_NS,
                                         .first_sample_ns = m->first_sample_ns};
    struct mr_sent_packet *record;
    struct mr_sent_loss loss;
    struct run run = {.next = MR_SENT_NO_PN, .oldest_ns = MR_NEVER};
    bool is_persistent = false;
    uint64_t expected = m->sent.scan; /* check_counts(): nothing below is outstanding */
    uint64_t pn;

    drop_silent(m, delay_ns);
    mr_sent_loss_begin(&loss, &m->sent, &params);
    while ((record = mr_sent_loss_next(&loss, &pn)) != NULL) {
        for (; expected < pn; expected++)
            MR_ASSERT(!is_lost(m, expected, delay_ns));
        MR_ASSERT(is_lost(m, pn, delay_ns));
        check_record(m, record, pn);
        packets[pn].state = LOST;
        is_persistent |= establishes_persistence(m, &run, pn);
    }
    for (; expected < m->sent.next && m->largest_acked != MR_SENT_NO_PN; expected++)
        MR_ASSERT(!is_lost(m, expected, delay_ns));
    MR_ASSERT(loss.is_persistent == is_persistent);
    MR_ASSERT(loss.loss_time_ns == expect_loss_time(m, delay_ns));
}

static void relax(struct model *m)
{
    mr_sent_relax_threshold(&m->sent);
    m->threshold -= (m->threshold - MR_SENT_PACKET_THRESHOLD + 7) / 8;
    MR_ASSERT(m->sent.packet_threshold == m->threshold);
}

static void lose_all(struct model *m)
{
    struct mr_sent_packet *record;
    struct mr_sent_loss loss;
    uint64_t pn;

    mr_sent_loss_begin_all(&loss, &m->sent);
    while ((record = mr_sent_loss_next(&loss, &pn)) != NULL) {
        MR_ASSERT(is_in_flight(&packets[pn]));
        check_record(m, record, pn);
        packets[pn].state = LOST;
    }
    for (pn = m->sent.base; pn < m->sent.next; pn++) {
        MR_ASSERT(!is_in_flight(&packets[pn]));
        if (packets[pn].state == OUTSTANDING)
            packets[pn].state = UNRECORDED;
    }
    m->run_begin = m->sent.next;
    MR_ASSERT(!loss.is_persistent && loss.loss_time_ns == MR_NEVER);
}

/* ---- forgetting ---- */

/* What the set has forgotten can neither be acknowledged nor lost. */
static void forget_below(struct model *m, uint64_t begin)
{
    for (uint64_t pn = begin; pn < m->sent.base; pn++) {
        MR_ASSERT(!is_in_flight(&packets[pn]) || m->sent.in_flight_count == 0);
        if (packets[pn].state == OUTSTANDING)
            packets[pn].state = UNRECORDED;
    }
}

static void check_nothing_held(const struct model *m)
{
    MR_ASSERT(m->sent.base == m->sent.next && m->sent.tail == NULL);
    MR_ASSERT(m->chunks.used == m->held);
    MR_ASSERT(m->blocks.used == 0);
}

static void discard(struct model *m)
{
    uint64_t begin = m->sent.base;
    uint64_t bytes = in_flight_bytes(m);

    MR_ASSERT(mr_sent_discard(&m->sent) == bytes);
    m->run_begin = m->sent.next;
    forget_below(m, begin);
    check_nothing_held(m);
}

static void release(struct model *m, uint64_t forget_before_ns)
{
    uint64_t begin = m->sent.base;

    mr_sent_release(&m->sent, forget_before_ns);
    forget_below(m, begin);
    if (m->sent.in_flight_count == 0) {
        check_nothing_held(m);
        m->run_begin = m->sent.next;
        return;
    }
    for (uint64_t passed = begin; passed < m->sent.base; passed++)
        MR_ASSERT(packets[passed].state != LOST || packets[passed].time_ns < forget_before_ns);

    /* Only what must be kept keeps the front: lost lately, outstanding, or a trap before that. */
    uint64_t pn = m->sent.base;
    while (packets[pn].state == SKIPPED)
        pn++;
    MR_ASSERT(pn >= m->sent.scan ||
              (packets[pn].state == LOST && packets[pn].time_ns >= forget_before_ns));
}

/* Others take chunks, or give them back. */
static void squeeze(struct model *m, uint32_t count)
{
    while (m->held > count)
        mr_pool_put(&m->chunks, m->hold[--m->held]);
    while (m->held < count && mr_pool_free_count(&m->chunks) > 0)
        m->hold[m->held++] = mr_pool_get(&m->chunks);
}

/* ---- the program ---- */

static void take_step(struct model *m, const uint8_t *step)
{
    uint64_t last = m->sent.next == 0 ? 0 : m->sent.next - 1;
    uint64_t recent = last - MR_MIN(last, step[1] % 64u);

    if (step[0] < 90) {
        send_burst(m, 1 + step[1] % 40, step[2], step[3]);
    } else if (step[0] < 94) {
        send_burst(m, (uint32_t)step[1] * 10, step[2], step[3] & 1);
    } else if (step[0] < 104) {
        skip(m);
    } else if (step[0] < 190) {
        arrive(m, recent, step[2] & step[3]);
        if (!acknowledge_arrived(m, recent, 1 + step[3] % RANGES_MAX))
            discard(m);
    } else if (step[0] < 194) {
        uint64_t hi = (uint64_t)step[1] << 7 ^ step[2]; /* forged */
        if (!acknowledge(m, (struct mr_sent_range){hi - MR_MIN(hi, step[3]), hi}))
            discard(m);
    } else if (step[0] < 222) {
        detect_losses(m, 1 + step[1] * 8u);
        if (step[2] % 8 == 0)
            relax(m);
    } else if (step[0] < 244) {
        release(m, m->now - MR_MIN(m->now, step[1] * 32u));
    } else if (step[0] < 252) {
        m->now += step[1] * 16u;
    } else if (step[0] < 253) {
        m->first_sample_ns = m->now;
    } else if (step[0] < 254) {
        squeeze(m, CHUNKS - MR_MIN(CHUNKS, step[1] * 3u));
    } else if (step[0] < 255) {
        lose_all(m);
    } else if (step[1] < 32) {
        discard(m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model m;

    m = (struct model){.largest_acked = MR_SENT_NO_PN,
                       .skipped = MR_SENT_NO_PN,
                       .threshold = MR_SENT_PACKET_THRESHOLD};
    mr_chunks_init(&m.chunks, chunk_mem, CHUNKS);
    mr_sent_blocks_init(&m.blocks, block_mem, BLOCKS);
    mr_sent_init(&m.sent, &m.chunks, &m.blocks);

    for (uint32_t i = 0; size >= STEP; data += STEP, size -= STEP, i++) {
        take_step(&m, data);
        if (m.sent.next - m.sent.base < 256 || i % 32 == 0)
            check_counts(&m);
    }
    check_counts(&m);
    discard(&m);
    return 0;
}
