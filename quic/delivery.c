/*
 * quic/delivery.c - see delivery.h.
 */
#include "quic/delivery.h"

#include "base/assert.h"
#include "base/compiler.h"

_Static_assert((MR_DELIVERY_SNAPSHOTS & (MR_DELIVERY_SNAPSHOTS - 1)) == 0, "numbers wrap");

static struct mr_delivery_snapshot *at(struct mr_delivery *delivery, uint32_t number)
{
    return &delivery->snapshots[number % MR_DELIVERY_SNAPSHOTS];
}

void mr_delivery_init(struct mr_delivery *delivery, uint64_t now)
{
    *delivery = (struct mr_delivery){.delivered_ns = now, .first_sent_ns = now};
}

void mr_delivery_on_sent(struct mr_delivery *delivery, uint64_t in_flight, bool was_idle,
                         uint64_t now)
{
    struct mr_delivery_snapshot *last = at(delivery, delivery->next - 1);
    bool is_first = delivery->next == delivery->oldest;

    if (was_idle)
        delivery->first_sent_ns = delivery->delivered_ns = now;
    if (!is_first && !was_idle && now - last->sent_ns < MR_MAX(delivery->gap_ns, 1u)) {
        last->in_flight = MR_MAX(last->in_flight, in_flight);
        last->is_app_limited |= delivery->app_limited != 0;
        return;
    }
    if (delivery->next - delivery->oldest == MR_DELIVERY_SNAPSHOTS)
        delivery->oldest++;
    *at(delivery, delivery->next++) =
        (struct mr_delivery_snapshot){.sent_ns = now,
                                      .delivered = delivery->delivered,
                                      .delivered_ns = delivery->delivered_ns,
                                      .first_sent_ns = delivery->first_sent_ns,
                                      .in_flight = in_flight,
                                      .lost = delivery->lost,
                                      .is_app_limited = delivery->app_limited != 0};
}

const struct mr_delivery_snapshot *mr_delivery_find(const struct mr_delivery *delivery,
                                                    uint64_t sent_ns)
{
    uint32_t count = delivery->next - delivery->oldest;
    uint32_t lo = 0; /* snapshots that are not newer than the packet */

    for (uint32_t hi = count; lo < hi;) {
        uint32_t middle = lo + (hi - lo) / 2;
        uint32_t number = delivery->oldest + middle;

        if (delivery->snapshots[number % MR_DELIVERY_SNAPSHOTS].sent_ns <= sent_ns)
            lo = middle + 1;
        else
            hi = middle;
    }
    if (lo == 0)
        return NULL;
    return &delivery->snapshots[(delivery->oldest + lo - 1) % MR_DELIVERY_SNAPSHOTS];
}

void mr_delivery_on_acked(struct mr_delivery *delivery, uint64_t bytes, uint64_t sent_ns,
                          uint64_t min_rtt_ns, uint64_t now, struct mr_delivery_sample *out)
{
    const struct mr_delivery_snapshot *sent = mr_delivery_find(delivery, sent_ns);

    delivery->delivered += bytes;
    delivery->delivered_ns = now;
    if (delivery->app_limited != 0 && delivery->delivered > delivery->app_limited)
        delivery->app_limited = 0;
    *out = (struct mr_delivery_sample){.newly_acked = bytes, .has_data = sent != NULL};
    if (sent == NULL)
        return;
    out->prior_delivered = sent->delivered;
    out->delivered = delivery->delivered - sent->delivered;
    out->in_flight = sent->in_flight;
    out->lost = delivery->lost - sent->lost;
    out->is_app_limited = sent->is_app_limited;
    uint64_t send_ns = sent_ns - MR_MIN(sent->first_sent_ns, sent_ns);
    uint64_t interval = MR_MAX(send_ns, now - sent->delivered_ns);
    delivery->first_sent_ns = MR_MAX(delivery->first_sent_ns, sent_ns);
    if (interval > 0 && interval >= min_rtt_ns)
        out->rate = (double)out->delivered / (double)interval;
}

void mr_delivery_check(const struct mr_delivery *delivery)
{
    MR_ASSERT(delivery->next - delivery->oldest <= MR_DELIVERY_SNAPSHOTS);
    for (uint32_t i = delivery->oldest; i != delivery->next; i++) {
        const struct mr_delivery_snapshot *s = &delivery->snapshots[i % MR_DELIVERY_SNAPSHOTS];
        const struct mr_delivery_snapshot *before =
            &delivery->snapshots[(i - 1) % MR_DELIVERY_SNAPSHOTS];

        MR_ASSERT(s->delivered <= delivery->delivered);
        MR_ASSERT(s->lost <= delivery->lost);
        MR_ASSERT(i == delivery->oldest || before->sent_ns <= s->sent_ns);
        MR_ASSERT(i == delivery->oldest || before->delivered <= s->delivered);
    }
}
