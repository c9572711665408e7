/*
 * quic/cc_prague.c - a scalable response to ECN, for bottlenecks that mark early (L4S, RFC 9330);
 * see cc.h.
 *
 *     alpha  <- 15/16 alpha + 1/16 of the share of packets that came with CE, once per round trip
 *     window <- (1 - alpha / 2) window, once per round trip with CE
 *
 * A queue that marks at a threshold so loses a little of its rate in each round trip, instead of a
 * third of it now and then; packets carry ECT(1).  Growth is NewReno's: one datagram per window, of
 * which round trips below 25 ms get the square of their part of 25 ms, so that rates grow alike.
 * Loss is answered like NewReno's; so is a path that bears no ECN, where nothing is marked. Whether
 * the queue behind a mark is a classic one (RFC 3168) is not found out: where such queues are
 * shared with other traffic, this gets more than its part.
 */
#include "base/compiler.h"
#include "quic/cc.h"

#define GAIN             (1.0 / 16)
#define REFERENCE_RTT_NS (25 * MR_MS)

static void init(struct mr_cc *cc)
{
    cc->prague = (struct mr_cc_prague){.alpha = 1};
}

static void ignore_time(struct mr_cc *cc, uint64_t now)
{
    (void)cc;
    (void)now;
}

static void avoid_congestion(struct mr_cc *cc, const struct mr_cc_ack *ack)
{
    double part = MR_MIN((double)ack->smoothed_ns / REFERENCE_RTT_NS, 1.0);
    double more = cc->prague.fraction +
                  part * part * cc->datagram_size * (double)ack->bytes / (double)cc->window;
    uint64_t whole = (uint64_t)MR_MIN(more, (double)cc->datagram_size);

    cc->prague.fraction = MR_MIN(more - (double)whole, 1.0);
    mr_cc_set_window(cc, cc->window + whole);
}

static void on_acked(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now)
{
    (void)now;
    if (mr_cc_in_slow_start(cc))
        mr_cc_grow_slow_start(cc, ack->bytes);
    else
        avoid_congestion(cc, ack);
}

/* A round trip is over when a packet is acknowledged that was sent after it began. */
static void end_round(struct mr_cc_prague *prague, uint64_t now)
{
    double share = (double)prague->ce / (double)prague->packets;

    prague->alpha += GAIN * (share - prague->alpha);
    prague->packets = 0;
    prague->ce = 0;
    prague->round_ns = now;
}

static bool on_ecn(struct mr_cc *cc, const struct mr_cc_ecn *ecn, uint64_t now)
{
    struct mr_cc_prague *prague = &cc->prague;

    prague->packets += ecn->packets;
    prague->ce += ecn->ce;
    if (ecn->sent_ns >= prague->round_ns && prague->packets > 0)
        end_round(prague, now);
    if (ecn->ce == 0 || ecn->sent_ns < prague->reduced_ns)
        return false;
    prague->reduced_ns = now;
    cc->has_begun = true;
    mr_cc_set_window(cc, (uint64_t)((double)cc->window * (1 - prague->alpha / 2)));
    cc->ssthresh = cc->window;
    return true;
}

static void on_congestion(struct mr_cc *cc)
{
    mr_cc_set_window(cc, cc->window / 2);
    cc->ssthresh = cc->window;
    cc->prague.fraction = 0;
}

static void on_persistent_congestion(struct mr_cc *cc)
{
    cc->prague.fraction = 0;
}

const struct mr_cc_ops mr_cc_prague_ops = {
    .name = "prague",
    .init = init,
    .on_restart = ignore_time,
    .on_acked = on_acked,
    .on_app_limited = ignore_time,
    .on_congestion = on_congestion,
    .on_persistent_congestion = on_persistent_congestion,
    .on_ecn = on_ecn,
};
