/*
 * dataplane/shard_poll.c - one iteration of a shard: a short list of stages, each at most a burst.
 *
 * The clock is read once; the stage table takes a few reads of the TSC per
 * iteration that does work.  Whatever the port does not take stays in order, and
 * building stops until it is gone.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "dataplane/shard_internal.h"

enum {
    EVENTS_PER_POLL = 4 * MR_EVENTS_PER_CALL,
    HEADERS4 = 28, /* bytes of IP and UDP headers, without options */
    HEADERS6 = 48
};

/* ------------------------------------------------------------------ receiving */

/* A neighbour's answer arrives at one shard; the others may be waiting for it. */
static void share_neighbours(struct mr_shard *s)
{
    struct mr_redirects *redirects = s->config.redirects;
    struct mr_neighbour_update update;

    while (mr_net_take_update(s->net, &update)) {
        for (uint32_t to = 0; to < mr_redirects_count(redirects); to++) {
            if (to != s->config.index &&
                !mr_redirects_push_update(redirects, s->config.index, to, &update))
                mr_shard_count(&s->stats.updates_dropped, 1);
        }
    }
}

/* Where it arrived and how many shards have passed it on: in the place of its RSS hash, which
 * nobody needs any more. */
static void set_route(struct rte_mbuf *mbuf, uint32_t arrived_at, uint8_t hops)
{
    mbuf->hash.usr = arrived_at << 8 | hops;
}

static uint8_t hops_of(const struct rte_mbuf *mbuf)
{
    return (uint8_t)mbuf->hash.usr;
}

static uint32_t arrived_at(const struct rte_mbuf *mbuf)
{
    return mbuf->hash.usr >> 8;
}

/* Datagrams that others passed on: their connections may have to go there. */
static void follow(struct mr_shard *s, const struct mr_datagram *datagrams, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (datagrams[i].redirect != MR_STAY)
            continue;
        uint32_t at = arrived_at(mr_mbuf_of_buf(datagrams[i].buf));
        mr_handle conn = mr_endpoint_note_arrival(s->ep, i, at);

        if (conn != MR_HANDLE_NONE)
            mr_shard_wish_move(s, conn, at);
    }
}

/* Frames to datagrams to connections; what belongs elsewhere goes there. */
static void receive_frames(struct mr_shard *s, struct rte_mbuf **mbufs, uint32_t count,
                           bool is_redirected)
{
    struct mr_datagram datagrams[MR_BURST];
    uint32_t n = mr_net_receive(s->net, mbufs, count, datagrams, s->now);

    if (s->config.redirects != NULL)
        share_neighbours(s);
    mr_shard_lap(s, MR_STAGE_RX);
    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        datagrams[i].hops = is_redirected ? hops_of(mr_mbuf_of_buf(datagrams[i].buf)) : 0;
    mr_endpoint_receive_lookup(s->ep, datagrams, n);
    mr_shard_lap(s, MR_STAGE_LOOKUP);
    mr_endpoint_receive_open(s->ep);
    mr_shard_lap(s, MR_STAGE_OPEN);
    mr_endpoint_receive_frames(s->ep, s->now);
    mr_shard_lap(s, MR_STAGE_FRAMES);
    mr_shard_count(&s->stats.datagrams_received, n);
    if (is_redirected && s->config.balance.follows)
        follow(s, datagrams, n);

    for (uint32_t i = 0; i < n; i++) {
        if (datagrams[i].redirect == MR_STAY)
            continue;
        struct rte_mbuf *mbuf = mr_mbuf_of_buf(datagrams[i].buf);
        set_route(mbuf, is_redirected ? arrived_at(mbuf) : s->config.index,
                  (uint8_t)(datagrams[i].hops + 1));
        if (s->config.redirects != NULL &&
            mr_redirects_push(s->config.redirects, s->config.index, datagrams[i].redirect, mbuf))
            continue;
        mr_shard_count(&s->stats.redirect_dropped, 1);
        rte_pktmbuf_free(mbuf);
    }
}

static uint32_t rx_burst(struct mr_shard *s)
{
    struct rte_mbuf *mbufs[MR_BURST];
    uint16_t count = mr_port_rx_burst(s->config.port, s->config.queue, mbufs, MR_BURST);

    if (count > 0)
        receive_frames(s, mbufs, count, false);
    return count;
}

/* Datagrams, neighbours and connections from the other shards.  A connection comes before the
 * datagrams that were passed on because of it. */
static uint32_t redirected_burst(struct mr_shard *s)
{
    struct rte_mbuf *mbufs[MR_BURST];
    struct mr_neighbour_update update;
    uint32_t work = 0;

    if (s->config.redirects == NULL)
        return 0;
    for (uint32_t from = 0; from < mr_redirects_count(s->config.redirects); from++) {
        uint32_t count =
            mr_redirects_pop(s->config.redirects, from, s->config.index, mbufs, MR_BURST);

        while (mr_redirects_pop_update(s->config.redirects, from, s->config.index, &update)) {
            mr_net_learn(s->net, &update, s->now);
            work++;
        }
        work += mr_shard_take_moves(s, from);
        if (count == 0)
            continue;
        receive_frames(s, mbufs, count, true);
        mr_shard_count(&s->stats.redirected_in, count);
        work += count;
    }
    return work;
}

/* Buffers that nobody refers to any more go back to their pools, in bursts. */
static uint32_t free_released(struct mr_shard *s)
{
    struct mr_buf *buf = mr_endpoint_take_released(s->ep);
    struct rte_mbuf *mbufs[MR_BURST];
    uint32_t count = 0;
    uint32_t freed = 0;

    if (buf != NULL)
        MR_CROSSING(pool_calls, 1);
    while (buf != NULL) {
        struct mr_buf *next = buf->next;

        mbufs[count++] = mr_mbuf_of_buf(buf);
        if (count == MR_BURST) {
            rte_pktmbuf_free_bulk(mbufs, count);
            freed += count;
            count = 0;
        }
        buf = next;
    }
    if (count > 0)
        rte_pktmbuf_free_bulk(mbufs, count);
    return freed + count;
}

/* What the network says about datagrams of ours.  After those that came with it: a server that
 * answers is there, whatever anybody says. */
static void heed_icmp(struct mr_shard *s)
{
    struct mr_icmp_event event;

    while (mr_net_take_icmp(s->net, &event)) {
        uint32_t headers = mr_addr_is_ipv4(&event.path.remote) ? HEADERS4 : HEADERS6;

        if (event.kind == MR_ICMP_TOO_BIG && event.mtu > headers)
            (void)mr_endpoint_too_big(s->ep, &event.path, event.mtu - headers, event.quoted,
                                      event.quoted_size);
        if (event.kind == MR_ICMP_UNREACHABLE && event.is_port)
            (void)mr_endpoint_unreachable(s->ep, &event.path, event.quoted, event.quoted_size);
    }
}

/* ------------------------------------------------------------------ TLS, timers */

/* On a helper thread, which has the lines, and the flag, until it is done. */
static int64_t write_keylog(void *argument)
{
    struct mr_shard *s = argument;
    ssize_t written = write(s->config.keylog_fd, s->keylog, s->keylog_size);

    if (written != (ssize_t)s->keylog_size && !s->has_keylog_failed) {
        s->has_keylog_failed = true;
        mr_log(MR_LOG_WARN, "the key log cannot be written, secrets are lost: %s",
               written < 0 ? strerror(errno) : "no space");
    }
    return written;
}

/* Key log lines go to their file by way of a helper thread. */
MR_COLD static void pass_keylog(struct mr_shard *s)
{
    if (s->is_keylog_out || s->config.work == NULL)
        return;
    if (s->keylog_size == 0)
        s->keylog_size = mr_endpoint_take_keylog(s->ep, s->keylog, sizeof(s->keylog));
    struct mr_work_job job = {.function = write_keylog, .argument = s, .user_data = MR_WORK_KEYLOG};
    if (s->keylog_size == 0 || !mr_work_submit(s->config.work, s->config.work_index, &job))
        return;
    s->is_keylog_out = true;
    s->work_out++;
}

/* Cycles.  On a helper thread, which has the job and its handshake until it is done, or here.  What
 * OpenSSL holds goes while its code is in the caches. */
static int64_t run_tls(void *argument)
{
    struct mr_tls_job *job = argument;
    uint64_t begin = rte_rdtsc();

    mr_tls_job_run(job);
    if (job->is_done)
        mr_tls_free(job->tls);
    return (int64_t)(rte_rdtsc() - begin);
}

static void complete_tls(struct mr_shard *s, struct mr_tls_job *job, int64_t cycles)
{
    mr_shard_count(&s->stats.tls_cycles, (uint64_t)cycles);
    mr_shard_count(&s->stats.tls_jobs, 1);
    mr_endpoint_complete_job(s->ep, job, s->now);
}

/* What helpers have done. */
static uint32_t complete_helped(struct mr_shard *s)
{
    struct mr_work_job done[MR_JOBS_PER_CALL];

    if (s->tls_out == 0)
        return 0;
    uint32_t count = mr_work_take(s->config.tls_work, s->config.work_index, done, MR_JOBS_PER_CALL);
    for (uint32_t i = 0; i < count; i++)
        complete_tls(s, done[i].argument, done[i].result);
    s->tls_out -= count;
    return count;
}

/* An endpoint has fewer jobs out than a ring has room for. */
static void ask_helper(struct mr_shard *s, struct mr_tls_job *job)
{
    struct mr_work_job work = {.function = run_tls, .argument = job};
    bool is_submitted = mr_work_submit(s->config.tls_work, s->config.work_index, &work);

    MR_ASSERT(is_submitted);
    s->tls_out++;
}

/* All are run before the first is completed: TLS and the engine put each other's code out of the
 * caches.  What they have to send waits for the last one anyway. */
static void run_jobs(struct mr_shard *s, struct mr_tls_job *const *jobs, uint32_t count)
{
    int64_t cycles[MR_JOBS_PER_CALL];

    for (uint32_t i = 0; i < count; i++)
        cycles[i] = run_tls(jobs[i]);
    for (uint32_t i = 0; i < count; i++)
        complete_tls(s, jobs[i], cycles[i]);
}

static uint32_t tls_jobs(struct mr_shard *s)
{
    struct mr_tls_job *jobs[MR_JOBS_PER_CALL];
    uint32_t completed = complete_helped(s);
    uint32_t count = mr_endpoint_take_jobs(s->ep, jobs, MR_JOBS_PER_CALL);

    if (s->config.keylog_fd >= 0)
        pass_keylog(s); /* of earlier jobs: the helper may have been busy with others' */
    if (count + completed == 0)
        return 0;
    if (s->config.tls_work != NULL)
        for (uint32_t i = 0; i < count; i++)
            ask_helper(s, jobs[i]);
    else
        run_jobs(s, jobs, count);
    mr_shard_lap(s, MR_STAGE_TLS);
    return count + completed;
}

/* Time has passed in which nobody looked at the queue. */
MR_COLD static void be_late(struct mr_shard *s, uint64_t gap_ns)
{
    if (s->catching_up == 0)
        s->catching_up = 2 * MR_CATCH_UP_MAX;
    mr_shard_count(&s->stats.late_loops, 1);
    if (gap_ns > s->stats.longest_gap_ns)
        mr_shard_count(&s->stats.longest_gap_ns, gap_ns - s->stats.longest_gap_ns);
    if (gap_ns >= MR_PAUSE_NS)
        mr_endpoint_paused(s->ep, gap_ns);
}

/*
 * True: timers wait, for the queue still holds frames from when nobody looked, perhaps what they
 * miss.  For a bounded while, and not again for as long: a shard that is always late has timers
 * too.
 */
static bool is_catching_up(struct mr_shard *s, uint32_t frames)
{
    if (s->catching_up == 0)
        return false;
    if (s->catching_up > MR_CATCH_UP_MAX && frames < MR_BURST) {
        s->catching_up = 0; /* that was all */
        return false;
    }
    s->catching_up--;
    return s->catching_up >= MR_CATCH_UP_MAX;
}

static uint32_t expire_timers(struct mr_shard *s)
{
    uint32_t work = 0;

    if (mr_endpoint_deadline(s->ep) <= s->now) {
        mr_endpoint_expire(s->ep, s->now);
        work = 1;
    }
    if (mr_net_deadline(s->net) <= s->now) {
        mr_net_expire(s->net, s->now);
        work = 1;
    }
    if (work > 0)
        mr_shard_lap(s, MR_STAGE_OTHER);
    return work;
}

/* ------------------------------------------------------------------ the application */

/* Hand events over; a handler that takes too long is counted. */
static void call_handler(struct mr_shard *s, const struct mr_event *events, uint32_t count)
{
    uint64_t begin = rte_rdtsc();

    s->config.application->on_events(s->config.application->context, events, count);
    uint64_t took_ns = mr_clock_ns(&s->clock, rte_rdtsc() - begin);
    if (took_ns <= s->config.stall_ns)
        return;
    mr_shard_count(&s->stats.stalls, 1);
    if (took_ns > s->stats.longest_stall_ns)
        mr_shard_count(&s->stats.longest_stall_ns, took_ns - s->stats.longest_stall_ns);
}

static uint32_t poll_application(struct mr_shard *s)
{
    const struct mr_application *application = s->config.application;
    uint32_t work = application->on_poll == NULL ? 0 : application->on_poll(application->context);

    if (work > 0)
        mr_shard_lap(s, MR_STAGE_APP);
    return work;
}

/* One call of the handler.  How many events it was told. */
static uint32_t publish_some(struct mr_shard *s)
{
    struct mr_event events[MR_EVENTS_PER_CALL];

    uint32_t count = mr_shard_move_events(s, events, MR_EVENTS_PER_CALL);
    count += mr_inline_timers(s, events + count, MR_EVENTS_PER_CALL - count);
    count += mr_inline_work_done(s, events + count, MR_EVENTS_PER_CALL - count);
    count += mr_endpoint_events(s->ep, events + count, MR_EVENTS_PER_CALL - count);
    if (count > 0) {
        call_handler(s, events, count);
        mr_shard_moves_told(s);
        mr_shard_lap(s, MR_STAGE_APP);
    }
    return count;
}

/* A burst brings more events than a call takes: connections that close tell of each of their
 * streams, and keep their places until they have.  So what is told keeps up with what comes. */
static uint32_t publish_events(struct mr_shard *s)
{
    uint32_t total = 0;
    uint32_t count;

    do {
        count = publish_some(s);
        total += count;
    } while (count == MR_EVENTS_PER_CALL && total < EVENTS_PER_POLL);
    return total;
}

/* ------------------------------------------------------------------ sending */

/* Offer the frames that wait.  True: none is left. */
static bool flush_waiting(struct mr_shard *s)
{
    if (s->waiting_count == 0)
        return true;

    uint16_t taken = mr_port_tx_burst(s->config.port, s->config.queue,
                                      s->waiting + s->waiting_first, (uint16_t)s->waiting_count);
    s->waiting_first += taken;
    s->waiting_count -= taken;
    if (s->waiting_count == 0)
        s->waiting_first = 0;
    if (taken > 0)
        mr_shard_lap(s, MR_STAGE_TX);
    return s->waiting_count == 0;
}

/* Give frames to the port; what it refuses waits. */
static void transmit(struct mr_shard *s, struct rte_mbuf **frames, uint32_t count)
{
    uint16_t taken = mr_port_tx_burst(s->config.port, s->config.queue, frames, (uint16_t)count);

    if (taken == count)
        return;
    mr_shard_count(&s->stats.tx_refused, 1);
    for (uint32_t i = taken; i < count; i++)
        s->waiting[s->waiting_first + s->waiting_count++] = frames[i];
}

static uint32_t refill_spare(struct mr_shard *s)
{
    uint32_t missing = MR_BURST - s->spare_count;

    if (missing == 0)
        return MR_BURST;
    MR_CROSSING(pool_calls, 1);
    if (mr_mbuf_take(s->config.send_pool, s->spare + s->spare_count, missing) == 0)
        s->spare_count = MR_BURST;
    else
        mr_shard_count(&s->stats.send_pool_empty, 1);
    return s->spare_count;
}

static void count_sent(struct mr_shard *s, const struct mr_outgoing *out, uint32_t count)
{
    uint64_t full = 0;

    for (uint32_t i = 0; i < count; i++)
        full += out[i].size + MR_FULL_SLACK >= s->config.payload_max;
    mr_shard_count(&s->stats.full_packets_sent, full);
    mr_shard_count(&s->stats.datagrams_sent, count);
    mr_shard_count(&s->stats.bursts_sent, 1);
}

/*
 * A driver may offer to cut chains up and do something else: then all that is in them is lost, and
 * each datagram goes alone from then on.  Bursts that go alone meanwhile keep connections going,
 * and show what is lost.  Judged by a quarter of what was in chains and a 64th of all, together at
 * most half of what was in chains.
 */
MR_COLD static void try_chains(struct mr_shard *s)
{
    struct mr_shard_chains *chains = &s->chains;
    const struct mr_counters *counters = mr_endpoint_counters(s->ep);
    uint64_t chained = mr_net_counters(s->net)->net_tx_chained;

    if (chained == 0) {
        chains->begin_ns = s->now;
        chains->sent = counters->packets_sent;
        chains->lost = counters->packets_lost;
    }
    uint64_t sent = counters->packets_sent - chains->sent;
    uint64_t lost = counters->packets_lost - chains->lost;
    if (chained < MR_CHAINS_TRIAL || chained * MR_CHAINS_SHARE < sent ||
        s->now - chains->begin_ns < MR_CHAINS_TIME_NS) {
        chains->is_turn = !chains->is_turn;
        mr_net_use_chains(s->net, chains->is_turn);
        return;
    }
    bool is_good = lost <= chained / 4 + sent / (4 * MR_CHAINS_SHARE);
    chains->is_trial = false;
    mr_net_use_chains(s->net, is_good);
    mr_shard_count(&s->stats.chains_withdrawn, !is_good);
}

/* Build, seal and send one burst. */
static uint32_t send_burst(struct mr_shard *s)
{
    struct mr_outgoing out[MR_BURST];
    uint32_t room = refill_spare(s);

    for (uint32_t i = 0; i < room; i++) {
        out[i] =
            (struct mr_outgoing){.data = mr_mbuf_data(s->spare[i]), .room = s->config.payload_max};
        MR_PREFETCH_WRITE(out[i].data); /* QUIC's header; who read it last had another core */
        MR_PREFETCH_WRITE(out[i].data - MR_CACHE_LINE); /* and those before it */
    }
    uint32_t count = mr_endpoint_build(s->ep, out, room, s->now);
    mr_shard_lap(s, MR_STAGE_BUILD);
    if (count == 0)
        return 0;
    mr_endpoint_seal(s->ep);
    mr_shard_lap(s, MR_STAGE_SEAL);

    for (uint32_t i = 0; i < count; i++) {
        s->spare[i]->data_len = (uint16_t)out[i].size;
        s->spare[i]->pkt_len = out[i].size;
    }
    count_sent(s, out, count);
    struct rte_mbuf *ready[MR_BURST];
    if (s->chains.is_trial)
        try_chains(s);
    if (s->launch.clock != NULL)
        mr_launch_note(&s->launch, s->spare, out, count);
    uint32_t n = mr_net_send(s->net, s->spare, out, count, ready, s->now);
    if (s->launch.clock != NULL)
        mr_launch_stamp(&s->launch, ready, n, s->now);
    transmit(s, ready, n);
    s->spare_count -= count;
    for (uint32_t i = 0; i < s->spare_count; i++)
        s->spare[i] = s->spare[i + count];
    mr_shard_lap(s, MR_STAGE_TX);
    return count;
}

/* Frames of the network layer's own: ARP, NDP, echo replies. */
static uint32_t send_own(struct mr_shard *s)
{
    struct rte_mbuf *frames[MR_BURST];
    uint32_t count = mr_net_output(s->net, frames, MR_BURST);

    if (count > 0)
        transmit(s, frames, count);
    return count;
}

static uint32_t flush_sends(struct mr_shard *s)
{
    uint32_t work = 0;

    if (!flush_waiting(s))
        return 0;
    work += send_own(s);
    if (s->waiting_count == 0 && mr_endpoint_wants_send(s->ep))
        work += send_burst(s);
    return work;
}

/* ------------------------------------------------------------------ an iteration */

uint32_t mr_shard_poll(struct mr_shard *s)
{
    uint32_t work = 0;
    uint64_t begin = rte_rdtsc();

    uint64_t now = mr_clock_ns(&s->clock, begin);
    if (now - s->now > MR_LATE_NS)
        be_late(s, now - s->now);
    s->now = now;
    s->lap_cycles = begin;
    uint32_t frames = rx_burst(s); /* NIC -> datagrams -> connections        */
    work += frames;
    work += redirected_burst(s); /* datagrams other shards sent us         */
    if (frames > 0)
        heed_icmp(s);
    work += tls_jobs(s); /* handshakes                             */
    if (!is_catching_up(s, frames))
        work += expire_timers(s);    /* deadlines that have passed             */
    work += publish_events(s);       /* events -> the application              */
    work += poll_application(s);     /* its other sources of work              */
    work += mr_shard_begin_moves(s); /* connections -> other shards            */
    work += flush_sends(s);          /* connections that want to send -> port  */
    work += free_released(s);        /* buffers -> pools                       */

    mr_shard_count(&s->stats.loops, 1);
    if (work > 0) {
        mr_shard_lap(s, MR_STAGE_OTHER);
        mr_shard_count(&s->stats.busy_loops, 1);
        mr_shard_count(&s->stats.busy_cycles, s->lap_cycles - begin);
    }
    return work;
}
