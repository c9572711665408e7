/* dataplane/launch.c - see launch.h. */
#include "dataplane/launch.h"

#include <rte_mbuf_dyn.h>

#include "drivers/port.h"
#include "quic/endpoint.h"

__extension__ typedef unsigned __int128 wide;

/* ------------------------------------------------------------------ clocks */

int mr_launch_read(const struct mr_port *port, const struct mr_clock *clock,
                   struct mr_launch_moment *moment)
{
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < MR_LAUNCH_TRIES; i++) {
        uint64_t ticks = 0;
        uint64_t before = mr_clock_now(clock);
        int error = mr_port_read_clock(port, &ticks);
        uint64_t took = mr_clock_now(clock) - before;

        if (error != 0)
            return error;
        if (took >= least)
            continue;
        least = took;
        *moment = (struct mr_launch_moment){.ns = before + took / 2, .ticks = ticks};
    }
    return 0;
}

/* Ticks << 32 per ns from one moment to another; 0: there is no such rate. */
static uint64_t rate_between(const struct mr_launch_moment *from, const struct mr_launch_moment *to)
{
    if (to->ns <= from->ns || to->ticks <= from->ticks)
        return 0;
    wide rate = ((wide)(to->ticks - from->ticks) << 32) / (to->ns - from->ns);
    return rate > UINT64_MAX ? 0 : (uint64_t)rate;
}

static void publish(struct mr_launch_clock *launch, const struct mr_launch_moment *at,
                    uint64_t rate)
{
    uint32_t version = atomic_load_explicit(&launch->version, memory_order_relaxed);

    atomic_store_explicit(&launch->version, version + 1, memory_order_relaxed);
    /* release: who sees one of the new values sees the odd version, in read_clock() */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&launch->at_ns, at->ns, memory_order_relaxed);
    atomic_store_explicit(&launch->at_ticks, at->ticks, memory_order_relaxed);
    atomic_store_explicit(&launch->rate, rate, memory_order_relaxed);
    /* release: pairs with the acquire in read_clock() */
    atomic_store_explicit(&launch->version, version + 2, memory_order_release);
}

bool mr_launch_clock_init(struct mr_launch_clock *launch, const struct mr_launch_moment *first,
                          const struct mr_launch_moment *second)
{
    uint64_t rate = rate_between(first, second);

    if (rate == 0)
        return false;
    launch->first = *first;
    launch->nominal_rate = rate;
    publish(launch, second, rate);
    return true;
}

/* Since the beginning, the longer the better; a clock that was set begins again at its old rate. */
void mr_launch_clock_follow(struct mr_launch_clock *launch, const struct mr_launch_moment *moment)
{
    uint64_t nominal = launch->nominal_rate;
    uint64_t rate = rate_between(&launch->first, moment);
    uint64_t off = rate > nominal ? rate - nominal : nominal - rate;

    if (off > nominal / 1000000 * MR_LAUNCH_DRIFT_MAX) {
        launch->first = *moment;
        rate = nominal;
    }
    publish(launch, moment, rate);
}

struct reading {
    struct mr_launch_moment at;
    uint64_t rate;
};

static struct reading read_clock(const struct mr_launch_clock *launch)
{
    struct reading r;
    uint32_t before;
    uint32_t after;

    do {
        /* acquire: pairs with the release in publish() */
        before = atomic_load_explicit(&launch->version, memory_order_acquire);
        r.at.ns = atomic_load_explicit(&launch->at_ns, memory_order_relaxed);
        r.at.ticks = atomic_load_explicit(&launch->at_ticks, memory_order_relaxed);
        r.rate = atomic_load_explicit(&launch->rate, memory_order_relaxed);
        /* acquire: pairs with the fence in publish() */
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&launch->version, memory_order_relaxed);
    } while (before != after || before % 2 != 0); /* rarely: it is written ten times a second */
    return r;
}

static uint64_t ticks_at(const struct reading *r, uint64_t ns)
{
    if (ns >= r->at.ns)
        return r->at.ticks + (uint64_t)((wide)(ns - r->at.ns) * r->rate >> 32);
    return r->at.ticks - (uint64_t)((wide)(r->at.ns - ns) * r->rate >> 32);
}

/* ------------------------------------------------------------------ mbufs */

static uint64_t *field_of(const struct mr_launch *launch, struct rte_mbuf *mbuf)
{
    return RTE_MBUF_DYNFIELD(mbuf, launch->offset, uint64_t *);
}

void mr_launch_note(const struct mr_launch *launch, struct rte_mbuf **mbufs,
                    const struct mr_outgoing *outgoing, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        *field_of(launch, mbufs[i]) = outgoing[i].hold_ns;
}

/* By insertion: a burst of few connections is in order but for where one follows the other. */
static void sort(const struct mr_launch *launch, struct rte_mbuf **frames, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct rte_mbuf *frame = frames[i];
        uint64_t hold = *field_of(launch, frame);
        uint32_t at = i;

        for (; at > 0 && *field_of(launch, frames[at - 1]) > hold; at--)
            frames[at] = frames[at - 1];
        frames[at] = frame;
    }
}

void mr_launch_stamp(struct mr_launch *launch, struct rte_mbuf **frames, uint32_t count,
                     uint64_t now)
{
    struct reading clock = read_clock(launch->clock);

    sort(launch, frames, count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t *field = field_of(launch, frames[i]);
        uint64_t leaves_ns = now + MR_MIN(*field, (uint64_t)MR_LAUNCH_AHEAD_MAX);

        if (leaves_ns <= launch->last_ns || leaves_ns == now)
            continue; /* behind the one before, or at once */
        launch->last_ns = leaves_ns;
        *field = ticks_at(&clock, leaves_ns);
        frames[i]->ol_flags |= launch->flag;
    }
}
