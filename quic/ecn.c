/*
 * quic/ecn.c - see ecn.h.
 */
#include "quic/ecn.h"

#include "base/assert.h"

void mr_ecn_begin(struct mr_ecn_path *ecn, uint8_t codepoint, uint64_t first_pn)
{
    *ecn = (struct mr_ecn_path){
        .first_pn = first_pn,
        .state = codepoint == MR_ECN_NOT_ECT ? MR_ECN_OFF : MR_ECN_TESTING,
        .mark = codepoint,
        .codepoint = codepoint,
    };
}

static enum mr_ecn_verdict enter(struct mr_ecn_path *ecn, enum mr_ecn_state state)
{
    bool has_marks = state == MR_ECN_TESTING || state == MR_ECN_CAPABLE;

    ecn->state = (uint8_t)state;
    ecn->mark = has_marks ? ecn->codepoint : MR_ECN_NOT_ECT;
    if (state == MR_ECN_CAPABLE)
        return MR_ECN_NOW_CAPABLE;
    return state == MR_ECN_FAILED ? MR_ECN_NOW_FAILED : MR_ECN_NO_CHANGE;
}

static bool is_in_test(const struct mr_ecn_path *ecn)
{
    return ecn->state == MR_ECN_TESTING || ecn->state == MR_ECN_UNKNOWN;
}

static void add(uint16_t *count, uint64_t more)
{
    *count = (uint16_t)MR_MIN(*count + more, (uint64_t)UINT16_MAX);
}

void mr_ecn_on_test_sent(struct mr_ecn_path *ecn, uint32_t packets, bool is_in_flight)
{
    add(&ecn->marked, is_in_flight ? packets : 0);
    ecn->tested = (uint8_t)MR_MIN(ecn->tested + packets, (uint32_t)UINT8_MAX);
    if (ecn->state == MR_ECN_TESTING && ecn->tested >= MR_ECN_TEST_PACKETS)
        enter(ecn, MR_ECN_UNKNOWN);
}

void mr_ecn_on_pto(struct mr_ecn_path *ecn, uint32_t count)
{
    if (ecn->state == MR_ECN_TESTING && count >= MR_ECN_TEST_PTOS)
        enter(ecn, MR_ECN_UNKNOWN);
}

bool mr_ecn_on_lost(struct mr_ecn_path *ecn, uint64_t packets)
{
    if (!is_in_test(ecn))
        return false;
    add(&ecn->lost, packets);
    if (ecn->state != MR_ECN_UNKNOWN || ecn->acked > 0 || ecn->lost < ecn->marked)
        return false;
    enter(ecn, MR_ECN_FAILED);
    return true;
}

/* The counts of the path's own codepoint, and of the one that it never sends. */
static uint64_t own_count(const struct mr_ecn_path *ecn, const struct mr_ecn_counts *counts)
{
    return ecn->codepoint == MR_ECN_ECT1 ? counts->ect1 : counts->ect0;
}

static uint64_t other_count(const struct mr_ecn_path *ecn, const struct mr_ecn_counts *counts)
{
    return ecn->codepoint == MR_ECN_ECT1 ? counts->ect0 : counts->ect1;
}

/* RFC 9000, Section 13.4.2.1.  Counts are below 2^62: no sum overflows. */
static bool are_right(const struct mr_ecn_path *ecn, const struct mr_ecn_reports *reports,
                      const struct mr_ecn_ack *ack)
{
    uint64_t ect = own_count(ecn, ack->counts);
    uint64_t ce = ack->counts->ce;

    return ect >= reports->ect && ce >= reports->ce && other_count(ecn, ack->counts) == 0 &&
           ect + ce <= reports->sent && ect - reports->ect + (ce - reports->ce) >= ack->marked;
}

/* The counts are right and were taken: does this end the test? */
static enum mr_ecn_verdict judge(struct mr_ecn_path *ecn)
{
    if (ecn->state != MR_ECN_UNKNOWN || ecn->acked == 0)
        return MR_ECN_NO_CHANGE;
    if (ecn->has_ect)
        return enter(ecn, MR_ECN_CAPABLE);
    return ecn->acked + ecn->lost >= ecn->marked ? enter(ecn, MR_ECN_FAILED) : MR_ECN_NO_CHANGE;
}

enum mr_ecn_verdict mr_ecn_on_ack(struct mr_ecn_path *ecn, struct mr_ecn_reports *reports,
                                  const struct mr_ecn_ack *ack, struct mr_ecn_arrived *arrived_out)
{
    *arrived_out = (struct mr_ecn_arrived){0};
    if (ecn->state == MR_ECN_OFF || ecn->state == MR_ECN_FAILED || !ack->is_largest_new)
        return MR_ECN_NO_CHANGE;
    if (ack->counts == NULL)
        return ack->marked > 0 ? enter(ecn, MR_ECN_FAILED) : MR_ECN_NO_CHANGE;
    if (!are_right(ecn, reports, ack))
        return enter(ecn, MR_ECN_FAILED);

    arrived_out->ce = ack->counts->ce - reports->ce;
    arrived_out->packets = own_count(ecn, ack->counts) - reports->ect + arrived_out->ce;
    if (is_in_test(ecn)) {
        add(&ecn->acked, ack->marked);
        ecn->has_ect |= own_count(ecn, ack->counts) > reports->ect;
    }
    reports->ect = own_count(ecn, ack->counts);
    reports->ce = ack->counts->ce;
    return judge(ecn);
}

void mr_ecn_check(const struct mr_ecn_path *ecn)
{
    bool has_marks = ecn->state == MR_ECN_TESTING || ecn->state == MR_ECN_CAPABLE;

    MR_ASSERT(ecn->state < MR_ECN_STATES);
    MR_ASSERT(ecn->mark == (has_marks ? ecn->codepoint : MR_ECN_NOT_ECT));
    MR_ASSERT(ecn->codepoint != MR_ECN_CE);
}
