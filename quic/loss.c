/*
 * quic/loss.c - see loss.h.
 */
#include "quic/loss.h"

#include "base/compiler.h"

/* Far beyond every backoff; keep the counters from wrapping. */
#define PTO_COUNT_MAX   1000
#define IDLE_PROBES_MAX 100

void mr_loss_init(struct mr_loss *loss, enum mr_role role, uint64_t now)
{
    *loss = (struct mr_loss){
        .restart_ns = now, .is_server = role == MR_SERVER, .has_validated = role == MR_SERVER};
    for (int space = 0; space < MR_SPACES; space++)
        loss->space[space].loss_time_ns = MR_NEVER;
}

/* The space whose next packet passes the time threshold first (GetLossTimeAndSpace). */
static struct mr_loss_timer earliest_loss(const struct mr_loss *loss)
{
    struct mr_loss_timer first = {.at_ns = MR_NEVER, .action = MR_LOSS_IDLE};

    for (int space = 0; space < MR_SPACES; space++) {
        uint64_t at = loss->space[space].loss_time_ns;

        if (at < first.at_ns)
            first = (struct mr_loss_timer){at, MR_LOSS_TIME, (enum mr_space)space};
    }
    return first;
}

static uint64_t add_saturated(uint64_t time, uint64_t period)
{
    return time > MR_NEVER - period ? MR_NEVER : time + period;
}

/* The space whose PTO expires first (GetPtoTimeAndSpace). */
static struct mr_loss_timer earliest_pto(const struct mr_loss *loss, const struct mr_rtt *rtt)
{
    struct mr_loss_timer first = {.at_ns = MR_NEVER, .action = MR_LOSS_IDLE};
    uint32_t backoff = MR_MAX(loss->pto_count, loss->idle_probes);

    for (int i = 0; i < MR_SPACES; i++) {
        const struct mr_loss_space *space = &loss->space[i];

        if (space->ack_eliciting_count == 0)
            continue;
        if (i == MR_SPACE_APP && !loss->handshake_confirmed)
            continue;

        uint64_t period = mr_rtt_backoff(mr_rtt_pto(rtt, (enum mr_space)i), backoff);
        uint64_t at = add_saturated(space->last_ack_eliciting_ns, period);
        if (at < first.at_ns)
            first = (struct mr_loss_timer){at, MR_LOSS_PTO, (enum mr_space)i};
    }
    return first;
}

/* The peer may need a packet before it sends what is missing here.  A client's 1-RTT packets can
 * fill the window behind a Finished that was lost: nobody acknowledges them, and no PTO is set for
 * them.
 */
static bool may_be_stuck(const struct mr_loss *loss)
{
    if (loss->handshake_confirmed)
        return false;
    return loss->is_server || !loss->has_validated ||
           loss->space[MR_SPACE_APP].ack_eliciting_count > 0;
}

/*
 * When to probe although nothing is in flight that may be probed for: a server may wait for
 * permission to send, a client may have much time left until it repeats what was lost. Not from
 * `now`, as Appendix A.8 has it: the time must not depend on how often one asks.
 */
static struct mr_loss_timer unblock(const struct mr_loss *loss, const struct mr_rtt *rtt)
{
    enum mr_space space = loss->has_handshake_keys ? MR_SPACE_HANDSHAKE : MR_SPACE_INITIAL;
    uint64_t from = MR_MAX(loss->restart_ns, loss->space[space].last_ack_eliciting_ns);
    uint32_t backoff = loss->is_server ? loss->idle_probes : loss->pto_count;
    uint64_t period = mr_rtt_backoff(mr_rtt_pto(rtt, space), backoff);

    return (struct mr_loss_timer){add_saturated(from, period), MR_LOSS_UNBLOCK, space};
}

struct mr_loss_timer mr_loss_timer(const struct mr_loss *loss, const struct mr_rtt *rtt)
{
    struct mr_loss_timer by_time = earliest_loss(loss);

    if (by_time.action != MR_LOSS_IDLE)
        return by_time;
    if (loss->is_amplification_limited)
        return by_time;

    struct mr_loss_timer by_pto = earliest_pto(loss, rtt);

    /*
     * 0-RTT data alone must not keep a client from unblocking its server, nor its answer the
     * server, so this asks for a PTO, not for packets.
     */
    if (by_pto.action == MR_LOSS_IDLE && may_be_stuck(loss))
        return unblock(loss, rtt);
    return by_pto;
}

void mr_loss_on_acked(struct mr_loss *loss, enum mr_space space, uint64_t now)
{
    loss->restart_ns = now;
    if (space == MR_SPACE_HANDSHAKE)
        loss->has_validated = true;
    if (loss->has_validated)
        loss->pto_count = 0;
}

void mr_loss_on_pto(struct mr_loss *loss, uint64_t now)
{
    loss->restart_ns = now;
    loss->pto_count = (uint16_t)MR_MIN(loss->pto_count + 1, PTO_COUNT_MAX);
}

void mr_loss_on_unblock(struct mr_loss *loss, uint64_t now)
{
    if (!loss->is_server) {
        mr_loss_on_pto(loss, now);
        return;
    }
    loss->restart_ns = now;
    loss->idle_probes = (uint8_t)MR_MIN(loss->idle_probes + 1, IDLE_PROBES_MAX);
}

void mr_loss_on_handshake_keys(struct mr_loss *loss)
{
    loss->has_handshake_keys = true;
    loss->idle_probes = 0;
}

void mr_loss_on_discarded(struct mr_loss *loss, enum mr_space space, uint64_t now)
{
    loss->space[space] = (struct mr_loss_space){.loss_time_ns = MR_NEVER};
    loss->restart_ns = now;
    loss->pto_count = 0;
    loss->idle_probes = 0;
}
