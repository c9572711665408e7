/*
 * fuzz/fuzz_delivery.c - property test of quic/delivery.h against the draft's numbers.
 *
 * The input is packets that are sent, acknowledged and lost, at times.  The model keeps what the
 * draft does with each packet, and which of them share a snapshot.  Properties:
 *   1. a sample is what the draft makes of the numbers of the packet's group, its rate included;
 *   2. a packet has one unless MR_DELIVERY_SNAPSHOTS groups were sent since;
 *   3. packets share a snapshot only within the gap, and not over an idle time;
 *   4. the invariants hold, also where the numbers of snapshots wrap.
 */
#include "quic/delivery.h"

#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/types.h"
#include "quic/wire_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PACKETS_MAX = 1024,
    PACKET = 1200,
};

struct packet {
    uint64_t sent_ns;
    uint32_t group;
    bool is_done; /* acknowledged or lost */
};

/* The draft's P.delivered and so on, of the first packet of a group. */
struct group {
    uint64_t sent_ns, delivered, delivered_ns, first_sent_ns, in_flight, lost;
    bool is_app_limited;
};

static struct mr_delivery delivery;
static struct packet packets[PACKETS_MAX];
static struct group groups[PACKETS_MAX];
static uint32_t packet_count, group_count;
static uint64_t out; /* packets under way */
/* The draft's C.delivered and so on. */
static struct group state;
static uint64_t app_limited, gap_ns;

static void send_one(uint64_t now)
{
    bool was_idle = out == 0;

    if (packet_count == PACKETS_MAX)
        return;
    out++;
    mr_delivery_on_sent(&delivery, out * PACKET, was_idle, now);
    if (was_idle)
        state.first_sent_ns = state.delivered_ns = now;
    struct group *last = group_count == 0 ? NULL : &groups[group_count - 1];
    if (last == NULL || was_idle || now - last->sent_ns >= MR_MAX(gap_ns, 1u)) {
        last = &groups[group_count++];
        *last = state;
        last->sent_ns = now;
    }
    last->in_flight = MR_MAX(last->in_flight, out * PACKET);
    last->is_app_limited |= app_limited != 0;
    packets[packet_count++] = (struct packet){.sent_ns = now, .group = group_count - 1};
}

/* The packets from `from` to it, `count` of them, in one ACK frame. */
static void acknowledge(uint32_t from, uint32_t count, uint64_t min_rtt_ns, uint64_t now)
{
    struct mr_delivery_sample sample;
    const struct packet *newest = NULL;
    uint64_t bytes = 0;

    for (uint32_t i = from; i < packet_count && count > 0; i++) {
        if (packets[i].is_done)
            continue;
        packets[i].is_done = true;
        newest = &packets[i];
        bytes += PACKET;
        count--;
        out--;
    }
    if (newest == NULL)
        return;
    mr_delivery_on_acked(&delivery, bytes, newest->sent_ns, min_rtt_ns, now, &sample);
    state.delivered += bytes;
    state.delivered_ns = now;
    if (app_limited != 0 && state.delivered > app_limited)
        app_limited = 0;
    /* A group that begins when the one before does is taken for that. */
    uint32_t number = newest->group;
    while (number + 1 < group_count && groups[number + 1].sent_ns == newest->sent_ns)
        number++;
    const struct group *group = &groups[number];
    MR_ASSERT(sample.newly_acked == bytes);
    MR_ASSERT(sample.has_data == (group_count - number <= MR_DELIVERY_SNAPSHOTS));
    MR_ASSERT(delivery.delivered == state.delivered);
    if (!sample.has_data) {
        MR_ASSERT(sample.rate <= 0);
        return;
    }
    MR_ASSERT(sample.prior_delivered == group->delivered);
    MR_ASSERT(sample.delivered == state.delivered - group->delivered);
    MR_ASSERT(sample.in_flight == group->in_flight);
    MR_ASSERT(sample.lost == state.lost - group->lost);
    MR_ASSERT(sample.is_app_limited == group->is_app_limited);
    uint64_t send_ns = newest->sent_ns - group->first_sent_ns;
    uint64_t ack_ns = now - group->delivered_ns;
    double interval = (double)MR_MAX(send_ns, ack_ns);
    bool has_rate = MR_MAX(send_ns, ack_ns) >= MR_MAX(min_rtt_ns, 1u);
    double rate = has_rate ? (double)sample.delivered / interval : 0;
    MR_ASSERT(sample.rate >= rate && sample.rate <= rate);
    state.first_sent_ns = MR_MAX(state.first_sent_ns, newest->sent_ns);
}

static void lose(uint32_t number)
{
    if (number >= packet_count || packets[number].is_done)
        return;
    packets[number].is_done = true;
    out--;
    delivery.lost += PACKET;
    state.lost += PACKET;
}

static void step(struct mr_reader *input, uint64_t *now)
{
    uint8_t op = mr_read_u8(input);
    uint8_t value = mr_read_u8(input);
    uint32_t oldest = packet_count - (uint32_t)MR_MIN(packet_count, 1u + value);

    *now += (uint64_t)(value % 8) * 50 * MR_US;
    if (op < 150) {
        for (uint32_t i = 0; i < 1 + op % 4u; i++)
            send_one(*now);
    } else if (op < 220) {
        acknowledge(op % 8 == 0 ? 0 : oldest, 1 + op % 8u, (uint64_t)(op % 16) * 100 * MR_US, *now);
    } else if (op < 235) {
        lose(oldest);
    } else if (op < 245) {
        mr_delivery_limit(&delivery, out * PACKET);
        app_limited = MR_MAX(state.delivered + out * PACKET, 1u);
    } else {
        gap_ns = (uint64_t)(value % 16) * value * MR_US;
        mr_delivery_set_rtt(&delivery, gap_ns * MR_DELIVERY_PER_RTT);
    }
    if (op % 8 == 0)
        mr_delivery_check(&delivery);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mr_reader input = mr_reader(data, size);
    uint64_t now = MR_SECOND;

    memset(&delivery, 0xa5, sizeof(delivery));
    mr_delivery_init(&delivery, now);
    delivery.oldest = delivery.next = 0u - mr_read_u8(&input); /* as if many were sent before */
    state = (struct group){.first_sent_ns = now, .delivered_ns = now};
    packet_count = group_count = 0;
    out = app_limited = gap_ns = 0;
    while (mr_reader_left(&input) >= 2)
        step(&input, &now);
    mr_delivery_check(&delivery);
    return 0;
}
