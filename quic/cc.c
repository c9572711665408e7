/*
 * quic/cc.c - what all congestion control algorithms have in common; see cc.h.
 */
#include "quic/cc.h"

#include "base/assert.h"
#include "base/compiler.h"

static const struct mr_cc_ops *const by_kind[] = {
    [MR_CC_CUBIC] = &mr_cc_cubic_ops,
    [MR_CC_NEWRENO] = &mr_cc_newreno_ops,
    [MR_CC_PRAGUE] = &mr_cc_prague_ops,
    [MR_CC_BBR] = &mr_cc_bbr_ops,
};

_Static_assert(MR_COUNT_OF(by_kind) == MR_CC_KINDS, "every kind has its algorithm");

/* RFC 9002, Section 7.2. */
static uint64_t initial_window(uint32_t datagram_size)
{
    uint64_t limit = MR_MAX(MR_CC_INITIAL_BYTES, 2 * (uint64_t)datagram_size);

    return MR_MIN(MR_CC_INITIAL_PACKETS * (uint64_t)datagram_size, limit);
}

void mr_cc_init(struct mr_cc *cc, enum mr_cc_kind kind, uint32_t datagram_size,
                uint64_t window_max_bytes)
{
    MR_ASSERT(kind < MR_CC_SELF_CONTAINED);
    MR_ASSERT(datagram_size > 0);

    if (window_max_bytes == 0 || window_max_bytes > MR_CC_WINDOW_MAX)
        window_max_bytes = MR_CC_WINDOW_MAX;
    *cc = (struct mr_cc){
        .ops = by_kind[kind],
        .ssthresh = MR_CC_UNLIMITED,
        .window_max = window_max_bytes,
        .datagram_size = datagram_size,
    };
    mr_cc_set_window(cc, initial_window(datagram_size));
    cc->ops->init(cc);
}

enum mr_cc_kind mr_cc_kind_of(const struct mr_cc *cc)
{
    int kind = 0;

    while (kind + 1 < MR_CC_KINDS && by_kind[kind] != cc->ops)
        kind++;
    return (enum mr_cc_kind)kind;
}

void mr_cc_attach(struct mr_cc *cc, enum mr_cc_kind kind)
{
    MR_ASSERT(kind < MR_CC_KINDS);
    cc->ops = by_kind[kind];
}

void mr_cc_set_datagram_size(struct mr_cc *cc, uint32_t datagram_size)
{
    MR_ASSERT(datagram_size > 0);

    cc->datagram_size = datagram_size;
    mr_cc_set_window(cc, cc->has_begun ? cc->window : initial_window(datagram_size));
    cc->ssthresh = MR_MAX(cc->ssthresh, mr_cc_minimum(cc));
}

void mr_cc_set_window(struct mr_cc *cc, uint64_t bytes)
{
    cc->window = MR_MAX(MR_MIN(bytes, cc->window_max), mr_cc_minimum(cc));
}

void mr_cc_grow_slow_start(struct mr_cc *cc, uint64_t bytes)
{
    mr_cc_set_window(cc, MR_MIN(cc->window + bytes, cc->ssthresh));
}

/* `bytes` are no longer in flight. */
static void land(struct mr_cc *cc, uint64_t bytes)
{
    MR_DASSERT(bytes <= cc->in_flight);
    cc->in_flight -= MR_MIN(bytes, cc->in_flight);
}

/* True if a packet sent at `sent_ns` was sent before or during the recovery period. */
static bool in_recovery(const struct mr_cc *cc, uint64_t sent_ns)
{
    return cc->has_recovery && sent_ns <= cc->recovery_start_ns;
}

void mr_cc_on_acked(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now)
{
    land(cc, ack->bytes);
    cc->has_begun = true;
    if (cc->ops->on_every_ack != NULL)
        cc->ops->on_every_ack(cc, ack, now);
    else if (ack->is_app_limited)
        cc->ops->on_app_limited(cc, now);
    else if (!in_recovery(cc, ack->newest_sent_ns))
        cc->ops->on_acked(cc, ack, now);
}

void mr_cc_on_lost(struct mr_cc *cc, uint64_t bytes)
{
    land(cc, bytes);
}

void mr_cc_on_discarded(struct mr_cc *cc, uint64_t bytes)
{
    land(cc, bytes);
}

bool mr_cc_on_congestion(struct mr_cc *cc, uint64_t sent_ns, uint64_t now)
{
    if (in_recovery(cc, sent_ns))
        return false;

    cc->has_begun = true;
    cc->has_recovery = true;
    cc->recovery_start_ns = now;
    cc->ops->on_congestion(cc);
    return true;
}

bool mr_cc_is_news(const struct mr_cc *cc, uint64_t sent_ns)
{
    return !in_recovery(cc, sent_ns);
}

void mr_cc_save(const struct mr_cc *cc, struct mr_cc_saved *saved)
{
    saved->window = cc->window;
    saved->ssthresh = cc->ssthresh;
    if (cc->ops->on_save != NULL)
        cc->ops->on_save(cc, saved);
}

void mr_cc_undo(struct mr_cc *cc, const struct mr_cc_saved *saved)
{
    cc->has_recovery = false;
    if (cc->ops->on_undo != NULL)
        cc->ops->on_undo(cc, saved);
    if (cc->window >= saved->window)
        return;
    mr_cc_set_window(cc, saved->window);
    cc->ssthresh = MR_MAX(saved->ssthresh, mr_cc_minimum(cc));
}

void mr_cc_on_persistent_congestion(struct mr_cc *cc)
{
    cc->has_begun = true;
    cc->has_recovery = false;
    cc->window = mr_cc_minimum(cc);
    cc->ops->on_persistent_congestion(cc);
}

void mr_cc_forget(struct mr_cc *cc, uint64_t bytes)
{
    mr_cc_set_window(cc, MR_MIN(cc->window, bytes));
    cc->ssthresh = cc->window;
    cc->ops->on_persistent_congestion(cc);
}

void mr_cc_check(const struct mr_cc *cc)
{
    MR_ASSERT(cc->window >= mr_cc_minimum(cc));
    MR_ASSERT(cc->window <= MR_MAX(cc->window_max, mr_cc_minimum(cc)));
    MR_ASSERT(cc->ssthresh >= mr_cc_minimum(cc));
    if (cc->ops->check != NULL)
        cc->ops->check(cc);
}
