/*
 * quic/cc_prague.c - a scalable response to ECN, for bottlenecks that mark early (L4S, RFC 9330);
 * see cc.h.
 *
 *     alpha  <- 15/16 alpha + 1/16 of the share of packets that came with CE, once per round trip
 *               from the first CE on; until then it is 1
 *     window <- (1 - alpha / 2) window, once per round trip with CE
 *
 * A queue that marks at a threshold so loses a little of its rate in each round trip, instead of a
 * third of it now and then; packets carry ECT(1).  Growth is NewReno's: one datagram per window, of
 * which round trips below 25 ms get the square of their part of 25 ms, so that rates grow alike.
 * Loss is answered like NewReno's; so is a path that bears no ECN, where nothing is marked.
 * Bursts are short (is_smooth of quic/pacer.h): one of ten packets fills a queue that marks at 1 ms
 * whatever the path's rate is, and would end slow start with the first round trip.
 *
 * A classic queue (RFC 3168) marks late and rarely, and takes each mark for a whole reduction:
 * among its other flows the answer above gets more than its part.  It is told by how long the queue
 * is when it marks.  A round trip with CE whose least round trip time is CLASSIC_QUEUE_NS above the
 * least of the path's life - so much stood in the queue all the time - is a late one, any other an
 * early one.  CLASSIC_ROUNDS late ones more than early ones, and the queue is classic until the
 * early ones have made up for it.  CE then costs 3/10 of the window, once per round trip, and the
 * window grows like CUBIC's in its Reno-friendly region (RFC 9438, Sections 4.3 and 4.6).  A path
 * that became longer looks classic too: that costs rate, and nobody else's.
 */
#include "base/compiler.h"
#include "quic/cc.h"

#define GAIN             (1.0 / 16)
#define REFERENCE_RTT_NS (25 * MR_MS)
#define CLASSIC_QUEUE_NS                                                                           \
    (3 * MR_MS) /* L4S queues mark from 1 ms on, CoDel from 5 ms, PIE 15 ms                        \
                 */
#define CLASSIC_ROUNDS 8
#define CLASSIC_BETA   0.7
#define CLASSIC_GROWTH (3 * (1 - CLASSIC_BETA) / (1 + CLASSIC_BETA))

static void init(struct mr_cc *cc)
{
    cc->prague = (struct mr_cc_prague){.alpha = 1, .base_ns = MR_NEVER, .least_ns = MR_NEVER};
}

static void ignore_time(struct mr_cc *cc, uint64_t now)
{
    (void)cc;
    (void)now;
}

static void avoid_congestion(struct mr_cc *cc, const struct mr_cc_ack *ack)
{
    double part = MR_MIN((double)ack->smoothed_ns / REFERENCE_RTT_NS, 1.0);
    double growth = cc->prague.is_classic ? CLASSIC_GROWTH : part * part;
    double more =
        cc->prague.fraction + growth * cc->datagram_size * (double)ack->bytes / (double)cc->window;
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

/* The queue showed in a round trip with CE whether it marks early or late. */
static void judge(struct mr_cc_prague *prague)
{
    if (prague->least_ns == MR_NEVER)
        return;
    bool is_late = prague->least_ns - prague->base_ns >= CLASSIC_QUEUE_NS;
    if (is_late && prague->classic < CLASSIC_ROUNDS)
        prague->classic++;
    else if (!is_late && prague->classic > 0)
        prague->classic--;
    if (prague->classic == 0 || prague->classic == CLASSIC_ROUNDS)
        prague->is_classic = prague->classic > 0;
}

/* A round trip is over when a packet is acknowledged that was sent after it began. */
static void end_round(struct mr_cc_prague *prague, uint64_t now)
{
    double share = (double)prague->ce / (double)prague->packets;

    if (prague->reduced_ns > 0) /* there is a queue that marks */
        prague->alpha += GAIN * (share - prague->alpha);
    if (prague->ce > 0)
        judge(prague);
    prague->least_ns = MR_NEVER;
    prague->packets = 0;
    prague->ce = 0;
    prague->round_ns = now;
}

static bool on_ecn(struct mr_cc *cc, const struct mr_cc_ecn *ecn, uint64_t now)
{
    struct mr_cc_prague *prague = &cc->prague;

    if (ecn->rtt_ns > 0) {
        prague->least_ns = MR_MIN(prague->least_ns, ecn->rtt_ns);
        prague->base_ns = MR_MIN(prague->base_ns, ecn->rtt_ns);
    }
    prague->packets += ecn->packets;
    prague->ce += ecn->ce;
    if (ecn->sent_ns >= prague->round_ns && prague->packets > 0)
        end_round(prague, now);
    if (ecn->ce == 0 || ecn->sent_ns < prague->reduced_ns)
        return false;
    prague->reduced_ns = now;
    cc->has_begun = true;
    double kept = prague->is_classic ? CLASSIC_BETA : 1 - prague->alpha / 2;
    mr_cc_set_window(cc, (uint64_t)((double)cc->window * kept));
    cc->ssthresh = cc->window;
    return true;
}

static void on_congestion(struct mr_cc *cc)
{
    mr_cc_set_window(cc, cc->window / 2);
    cc->ssthresh = cc->window;
    cc->prague.fraction = 0;
}

/* RFC 9002, Section 5.2: the path may be another one. */
static void on_persistent_congestion(struct mr_cc *cc)
{
    cc->prague.fraction = 0;
    cc->prague.base_ns = cc->prague.least_ns = MR_NEVER;
}

const struct mr_cc_ops mr_cc_prague_ops = {
    .name = "prague",
    .is_smooth = true,
    .init = init,
    .on_restart = ignore_time,
    .on_acked = on_acked,
    .on_app_limited = ignore_time,
    .on_congestion = on_congestion,
    .on_persistent_congestion = on_persistent_congestion,
    .on_ecn = on_ecn,
};
