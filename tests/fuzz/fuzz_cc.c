/*
 * fuzz/fuzz_cc.c - property test of quic/cc.h, quic/pacer.h and quic/rtt.h together.
 *
 * The input is a program of four-byte steps: time passes, a path sends what window and pacer allow
 * (and probes beyond), packets are acknowledged, lost, discarded, marked CE, the datagram size
 * changes.  Properties, for each algorithm (3 and 4 not of BBR, whose model sets the window):
 *   1. bytes in flight are the sum of what was sent and has not left;
 *   2. the window stays between two datagrams and its bound, and is always a number;
 *   3. no window grows while the sender is limited by its application, in recovery, or by more than
 *      what was acknowledged (but for the Reno-friendly region: one datagram per window);
 *   4. the window falls only for congestion, once per recovery period, and not below its minimum;
 *   5. the pacer never lets more than its capacity pass at once, nor more over a time than the
 *      highest rate of that time gives, and one datagram;
 *   6. the times computed from the round trip keep their order and bounds.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/bbr.h"
#include "quic/cc.h"
#include "quic/pacer.h"
#include "quic/rtt.h"

enum {
    STEP = 4,
    QUEUE = 4096, /* packets in flight, oldest first */
    WINDOW_MAX = 3000000
};

struct packet {
    uint64_t sent_ns;
    uint64_t size;
};

struct path {
    struct mr_cc cc;
    struct mr_rtt rtt;
    struct mr_pacer pacer;
    uint64_t now;
    uint64_t in_flight;
    uint64_t recovery_ns; /* when the last recovery period began; 0: none */
    double pace_allowance;
    uint32_t first; /* of the queue */
    uint32_t count;
    struct packet queue[QUEUE];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_pacer_input pacer_input(const struct path *path)
{
    struct mr_pacer_input input = {.smoothed_ns = path->rtt.smoothed_ns,
                                   .datagram_size = path->cc.datagram_size};

    input.window = mr_cc_pacing_window(&path->cc, input.smoothed_ns, &input.is_slow_start);
    return input;
}

/* Properties 1, 2 and 6. */
static void check(const struct path *path)
{
    const struct mr_rtt *rtt = &path->rtt;

    mr_cc_check(&path->cc);
    MR_ASSERT(path->cc.in_flight == path->in_flight);
    MR_ASSERT(mr_cc_window(&path->cc) <= MR_MAX(WINDOW_MAX, 2 * path->cc.datagram_size));
    if (path->cc.ops == &mr_cc_cubic_ops) {
        MR_ASSERT(isfinite(path->cc.cubic.max) && isfinite(path->cc.cubic.estimate));
        MR_ASSERT(path->cc.cubic.fraction >= 0 && path->cc.cubic.fraction <= 1);
    }
    MR_ASSERT(rtt->smoothed_ns > 0 && rtt->min_ns <= MR_MAX(rtt->latest_ns, rtt->smoothed_ns));
    MR_ASSERT(mr_rtt_pto(rtt, MR_SPACE_INITIAL) >= rtt->smoothed_ns + MR_RTT_GRANULARITY);
    MR_ASSERT(mr_rtt_pto(rtt, MR_SPACE_APP) >= mr_rtt_pto(rtt, MR_SPACE_HANDSHAKE));
    MR_ASSERT(mr_rtt_loss_delay(rtt) >= MR_RTT_GRANULARITY);
    MR_ASSERT(mr_rtt_persistent_duration(rtt) > mr_rtt_pto(rtt, MR_SPACE_APP));
}

/* Time passes; property 5's allowance grows with the rate. */
static void pass(struct path *path, uint64_t ns)
{
    double per_ns = (double)path->pacer.rate * 0x1p-32;

    path->now += ns;
    path->pace_allowance =
        MR_MIN(path->pace_allowance + per_ns * (double)ns, (double)path->pacer.capacity);
}

static void enqueue(struct path *path, uint64_t size)
{
    path->queue[(path->first + path->count++) % QUEUE] =
        (struct packet){.sent_ns = path->now, .size = size};
    path->in_flight += size;
    mr_cc_on_sent(&path->cc, size, path->now);
    mr_pacer_allow(&path->pacer, path->now); /* brings it up to date */
    mr_pacer_on_sent(&path->pacer, size);
    path->pace_allowance = MR_MAX(path->pace_allowance - (double)size, -(double)MR_PACER_DEBT_MAX);
}

static void send(struct path *path, uint32_t count)
{
    uint64_t size = path->cc.datagram_size;

    for (; count > 0 && path->count < QUEUE && mr_cc_room(&path->cc) >= size; count--) {
        if (mr_pacer_allow(&path->pacer, path->now) == 0) {
            uint64_t next = mr_pacer_next(&path->pacer, path->now);
            MR_ASSERT(next > path->now);
            pass(path, next - path->now);
            MR_ASSERT(mr_pacer_allow(&path->pacer, path->now) > 0);
        }
        MR_ASSERT(path->pace_allowance > -2 - 1e-6 * (double)path->pacer.capacity);
        enqueue(path, size);
    }
}

static struct packet dequeue(struct path *path)
{
    struct packet packet = path->queue[path->first];

    path->first = (path->first + 1) % QUEUE;
    path->count--;
    path->in_flight -= packet.size;
    return packet;
}

/* Property 3. */
static void check_growth(const struct path *path, const struct mr_cc_ack *ack, uint64_t before)
{
    uint64_t after = mr_cc_window(&path->cc);
    bool in_recovery = path->recovery_ns != 0 && ack->newest_sent_ns <= path->recovery_ns;

    if (path->cc.ops == &mr_cc_bbr_ops)
        return;
    MR_ASSERT(after >= before);
    if (ack->is_app_limited || in_recovery)
        MR_ASSERT(after == before);
    MR_ASSERT(after - before <= ack->bytes + path->cc.datagram_size);
}

static void acknowledge(struct path *path, uint32_t count, uint32_t ack_delay_ms, bool is_limited)
{
    struct mr_cc_ack ack = {.is_app_limited = is_limited};
    uint64_t before = mr_cc_window(&path->cc);

    for (; count > 0 && path->count > 0; count--) {
        struct packet packet = dequeue(path);
        ack.bytes += packet.size;
        ack.newest_sent_ns = packet.sent_ns;
    }
    if (ack.bytes == 0)
        return;
    struct mr_rtt_sample sample = {.latest_ns = path->now - ack.newest_sent_ns,
                                   .ack_delay_ns = ack_delay_ms * MR_MS,
                                   .handshake_confirmed = (ack_delay_ms & 1) != 0};
    mr_rtt_add(&path->rtt, &sample, path->now);
    ack.rtt_ns = path->rtt.latest_ns;
    ack.smoothed_ns = path->rtt.smoothed_ns;
    mr_cc_on_acked(&path->cc, &ack, path->now);
    check_growth(path, &ack, before);
}

/* Property 4. */
static void congest(struct path *path, uint64_t sent_ns, bool is_persistent)
{
    uint64_t before = mr_cc_window(&path->cc);
    bool may_react = path->recovery_ns == 0 || sent_ns > path->recovery_ns;

    MR_ASSERT(mr_cc_on_congestion(&path->cc, sent_ns, path->now) == may_react);
    MR_ASSERT(mr_cc_window(&path->cc) <= before);
    if (may_react) {
        path->recovery_ns = path->now;
        MR_ASSERT(path->cc.ops == &mr_cc_bbr_ops || mr_cc_window(&path->cc) < before ||
                  before == mr_cc_minimum(&path->cc));
    } else {
        MR_ASSERT(mr_cc_window(&path->cc) == before);
    }
    if (is_persistent) {
        mr_cc_on_persistent_congestion(&path->cc);
        mr_rtt_restart_min(&path->rtt);
        MR_ASSERT(mr_cc_window(&path->cc) == mr_cc_minimum(&path->cc));
        path->recovery_ns = 0;
    }
}

static void lose(struct path *path, uint32_t count, bool is_persistent)
{
    uint64_t bytes = 0;
    uint64_t newest_ns = 0;
    uint32_t ranges = 1 + count % 3;

    for (; count > 0 && path->count > 0; count--) {
        struct packet packet = dequeue(path);
        bytes += packet.size;
        newest_ns = packet.sent_ns;
    }
    if (bytes == 0)
        return;
    mr_cc_on_lost(&path->cc, bytes);
    mr_cc_on_loss(
        &path->cc,
        &(struct mr_cc_loss){.bytes = bytes, .newest_sent_ns = newest_ns, .ranges = ranges},
        path->now);
    congest(path, newest_ns, is_persistent);
}

/* ECN counts have risen. */
static void mark(struct path *path, uint32_t packets, uint32_t ce)
{
    struct mr_cc_ecn ecn = {
        .packets = packets, .ce = MR_MIN(ce, packets), .sent_ns = path->now - 1};
    uint64_t before = mr_cc_window(&path->cc);

    if (mr_cc_on_ecn(&path->cc, &ecn, path->now) && path->cc.ops != &mr_cc_prague_ops)
        path->recovery_ns = path->now;
    MR_ASSERT(mr_cc_window(&path->cc) <= before);
}

static void discard(struct path *path)
{
    mr_cc_on_discarded(&path->cc, path->in_flight);
    path->count = 0;
    path->in_flight = 0;
}

static void update_pacer(struct path *path)
{
    struct mr_pacer_input input = pacer_input(path);

    mr_pacer_update(&path->pacer, &input, path->now);
    path->pace_allowance = MR_MIN(path->pace_allowance, (double)path->pacer.capacity);
}

static void take_step(struct path *path, const uint8_t *step)
{
    if (step[0] < 90)
        send(path, 1 + step[1] % 64);
    else if (step[0] < 170)
        acknowledge(path, 1 + step[1] % 64, step[2], step[3] < 40);
    else if (step[0] < 225)
        pass(path, ((uint64_t)step[1] << 8 | step[2]) << step[3] % 24);
    else if (step[0] < 240)
        lose(path, 1 + step[1] % 8, step[2] < 20);
    else if (step[0] < 242)
        mark(path, 1 + step[1], step[2]);
    else if (step[0] < 244)
        congest(path, path->now - MR_MIN(path->now, (uint64_t)step[1] << 16), false);
    else if (step[0] < 248 && path->count < QUEUE)
        enqueue(path, 1 + step[1] * 8u); /* a probe */
    else if (step[0] < 252)
        mr_cc_set_datagram_size(&path->cc, 1200 + step[1] * 16u);
    else if (step[0] < 254)
        discard(path);
    else
        mr_rtt_init(&path->rtt, 1 + ((uint64_t)step[1] << step[2] % 32));
    if (step[0] % 16 == 0)
        mr_cc_on_drained(&path->cc);
    update_pacer(path);
    check(path);
}

static void run(enum mr_cc_kind kind, const uint8_t *data, size_t size)
{
    static struct path path;
    static struct mr_bbr bbr;

    memset(&path, 0, sizeof(path));
    path.now = MR_SECOND;
    if (kind == MR_CC_BBR)
        mr_cc_init_bbr(&path.cc, &bbr, 1200, WINDOW_MAX, size, path.now);
    else
        mr_cc_init(&path.cc, kind, 1200, WINDOW_MAX);
    mr_rtt_init(&path.rtt, MR_RTT_INITIAL);
    path.rtt.max_ack_delay_ns = 25 * MR_MS;
    struct mr_pacer_input input = pacer_input(&path);
    mr_pacer_init(&path.pacer, &input, path.now);
    path.pace_allowance = (double)path.pacer.capacity;
    for (; size >= STEP; data += STEP, size -= STEP)
        take_step(&path, data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int kind = 0; kind < MR_CC_KINDS; kind++)
        run((enum mr_cc_kind)kind, data, size);
    return 0;
}
