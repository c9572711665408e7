/*
 * tests/conformance/test_rfc9000_ack_sequences.c - ACKs as receivers send them behind networks that
 * lose and reorder, in bursts of any size (quic/conn_recv_run.c): what a sender knows after each
 * burst is what it knows when each ACK came alone.
 *
 * A receiver is drawn from a seed, and so is what becomes of its ACKs on their way.  Two
 * connections get them, one in bursts, one datagram by datagram.  What may differ is which packets
 * were given up for lost between two ACKs of a burst: with the burst in hand never more of them.
 */
#include <stdio.h>

#include "base/random.h"
#include "tests/support/peer_cases.h"

enum {
    SEEDS = 60,
    DATA = 50000,
    WINDOW = 1 << 20,
    SENT_MAX = 64, /* packets */
    ACKS_MAX = 2 * SENT_MAX,
    RANGES_MAX = 4, /* that the receiver tells */
    FRAMES_MAX = 64,
};

/* A packet for the sender. */
struct message {
    uint32_t size; /* 0: lost on the way */
    uint8_t ecn;
    bool ends_burst;
    uint8_t frames[FRAMES_MAX];
};

/* Who receives the data, and has this many messages for who sent it. */
struct receiver {
    struct mr_random random;
    bool has_ecn;
    uint64_t first; /* packet number; indices count from it */
    uint32_t end;
    struct mr_ecn_counts counts;
    uint8_t marks[SENT_MAX]; /* as they arrive */
    bool was_sent[SENT_MAX]; /* false: a number left out */
    bool has[SENT_MAX];
    uint32_t floor; /* what is below is not told any more */
    uint32_t largest;
    uint32_t count;
    struct message messages[ACKS_MAX];
};

static uint8_t data[DATA];

static bool chance(struct receiver *r, uint32_t of)
{
    return mr_random_below(&r->random, of) == 0;
}

/* ------------------------------------------------------------------ the receiver */

/* The ranges that it has, the newest first; returns how many. */
static uint32_t list_ranges(const struct receiver *r, struct mr_ack_range ranges[RANGES_MAX])
{
    uint32_t count = 0;
    bool is_in = false;

    for (uint32_t i = r->largest + 1; i-- > r->floor;) {
        if (!r->has[i]) {
            is_in = false;
            continue;
        }
        if (!is_in && count == RANGES_MAX)
            break;
        if (!is_in)
            ranges[count++].hi = r->first + i;
        ranges[count - 1].lo = r->first + i;
        is_in = true;
    }
    return count;
}

static void write_ack(struct receiver *r, struct message *m)
{
    struct mr_ack_range ranges[RANGES_MAX];
    uint32_t count = list_ranges(r, ranges);
    uint8_t *at = m->frames;

    *at++ = r->has_ecn ? MR_FRAME_ACK_ECN : MR_FRAME_ACK;
    at += mr_varint_put(at, ranges[0].hi);
    at += mr_varint_put(at, mr_random_below(&r->random, 100));
    at += mr_varint_put(at, count - 1);
    at += mr_varint_put(at, ranges[0].hi - ranges[0].lo);
    for (uint32_t i = 1; i < count; i++) {
        at += mr_varint_put(at, ranges[i - 1].lo - ranges[i].hi - 2);
        at += mr_varint_put(at, ranges[i].hi - ranges[i].lo);
    }
    if (r->has_ecn) {
        at += mr_varint_put(at, r->counts.ect0);
        at += mr_varint_put(at, r->counts.ect1);
        at += mr_varint_put(at, r->counts.ce);
    }
    if (chance(r, 12))
        *at++ = chance(r, 2) ? MR_FRAME_PADDING : MR_FRAME_PING;
    m->size = (uint32_t)(at - m->frames);
}

/* On its way it may be marked, lost, or overtaken by the one before. */
static void add_ack(struct receiver *r)
{
    struct message *m = &r->messages[r->count++];

    *m = (struct message){.ecn = chance(r, 12) ? MR_ECN_ECT0 : 0, .ends_burst = chance(r, 6)};
    write_ack(r, m);
    if (chance(r, 12))
        m->size = 0;
    if (r->count > 1 && chance(r, 12)) {
        struct message other = m[-1];

        m[-1] = *m;
        *m = other;
    }
}

static void take(struct receiver *r, uint32_t i)
{
    r->has[i] = true;
    r->largest = MR_MAX(r->largest, i);
    r->counts.ect0 += r->marks[i] == MR_ECN_ECT0;
    r->counts.ce += r->marks[i] == MR_ECN_CE;
    if (chance(r, 16))
        r->floor = r->largest - (uint32_t)mr_random_below(&r->random, r->largest - r->floor + 1);
    if (chance(r, 2))
        add_ack(r);
}

/* What was sent arrives, some of it earlier than its turn and some never, the last never: then
 * nothing that is in flight is the last. */
static void receive_all(struct receiver *r)
{
    uint32_t order[SENT_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i + 1 < r->end; i++)
        if (r->was_sent[i] && !chance(r, 10))
            order[count++] = i;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = chance(r, 4) ? i + (uint32_t)mr_random_below(&r->random, 8) : i;
        uint32_t early = order[MR_MIN(k, count - 1)];

        for (k = MR_MIN(k, count - 1); k > i; k--)
            order[k] = order[k - 1];
        order[i] = early;
        take(r, early);
    }
}

/* A receiver of what is in the inbox of `p`. */
static void draw_receiver(struct receiver *r, const struct peer *p, uint64_t seed)
{
    *r = (struct receiver){.first = p->inbox[0].pn, .has_ecn = seed % 2 == 0};
    mr_random_init_number(&r->random, seed);
    const struct mr_ecn_reports *before = &peer_conn((struct peer *)p)->app.ecn_reports;
    r->counts = (struct mr_ecn_counts){.ect0 = before->ect, .ce = before->ce};
    for (uint32_t i = 0; i < p->inbox_count; i++) {
        uint64_t at = p->inbox[i].pn - r->first;

        CU_ASSERT_FATAL(at < SENT_MAX);
        r->end = (uint32_t)at + 1;
        r->was_sent[at] = true;
        r->marks[at] = p->inbox[i].ecn != 0 && chance(r, 8) ? MR_ECN_CE : p->inbox[i].ecn;
    }
    receive_all(r);
}

/* ------------------------------------------------------------------ the senders */

struct sender {
    struct peer *p;
    mr_handle stream;
};

static void start(struct sender *s, uint64_t seed)
{
    struct peer_options options = {.under_test = MR_SERVER, .has_ecn = seed % 2 == 0};
    struct mr_view view = {.data = data, .size = DATA};

    s->p = peer_new(&options);
    peer_run(s->p, PEER_DONE);
    peer_clear(s->p);
    peer_conn(s->p)->path.cc.window = WINDOW;
    if (options.has_ecn) { /* so that all packets are marked */
        peer_conn(s->p)->path.ecn.state = MR_ECN_CAPABLE;
        peer_conn(s->p)->path.ecn.mark = MR_ECN_ECT0;
    }
    CU_ASSERT_EQUAL_FATAL(
        mr_stream_open(peer_endpoint(s->p), s->p->conn, MR_OPEN_UNI, 0, &s->stream), 0);
    CU_ASSERT_EQUAL_FATAL(mr_stream_send(peer_endpoint(s->p), s->stream, &view, 1, 0), 0);
    peer_drain(s->p);
    for (int i = 0; i < 4; i++)
        peer_advance(s->p, MR_MS); /* what the pacer held back */
}

static void build(struct sender *s, const struct message *m, struct peer_raw *raw)
{
    *raw = (struct peer_raw){.path = s->p->path, .ecn = m->ecn};
    raw->size = (uint32_t)peer_build(
        s->p,
        &(struct peer_out){
            .type = MR_PACKET_ONE_RTT, .frames = m->frames, .size = m->size, .pn = PEER_NEXT_PN},
        raw->bytes, sizeof(raw->bytes));
}

/* Messages from `begin` to `end`, in bursts of `most`. */
static void deliver(struct sender *s, const struct receiver *r, uint32_t begin, uint32_t end,
                    uint32_t most)
{
    static struct peer_raw raws[MR_BURST];
    uint32_t count = 0;

    for (uint32_t i = begin; i < end; i++) {
        if (r->messages[i].size == 0) {
            s->p->next_pn[MR_SPACE_APP]++;
            continue;
        }
        build(s, &r->messages[i], &raws[count++]);
        if (count == most) {
            peer_deliver_burst(s->p, raws, count);
            count = 0;
        }
    }
    if (count > 0)
        peer_deliver_burst(s->p, raws, count);
    peer_clear(s->p);
}

static const struct mr_send_queue *queue_of(const struct sender *s)
{
    return &mr_stream_of_handle(peer_endpoint(s->p), s->stream)->send;
}

/* The same bytes are known to have arrived. */
static void compare_stream(const struct sender *a, const struct sender *b)
{
    const struct mr_send_queue *x = queue_of(a);
    const struct mr_send_queue *y = queue_of(b);
    uint32_t i = x->acked.head;
    uint32_t k = y->acked.head;

    CU_ASSERT_EQUAL(x->acked_to, y->acked_to);
    CU_ASSERT_EQUAL_FATAL(x->acked.count, y->acked.count);
    while (i != MR_NONE) {
        const struct mr_range_node *c = mr_pool_at(&peer_endpoint(a->p)->ranges, i);
        const struct mr_range_node *d = mr_pool_at(&peer_endpoint(b->p)->ranges, k);

        CU_ASSERT_EQUAL(c->range.begin, d->range.begin);
        CU_ASSERT_EQUAL(c->range.end, d->range.end);
        i = c->next;
        k = d->next;
    }
}

static void compare(const struct sender *together, const struct sender *alone)
{
    const struct mr_conn *x = peer_conn(together->p);
    const struct mr_conn *y = peer_conn(alone->p);
    const struct mr_counters *c = peer_counters(together->p);
    const struct mr_counters *d = peer_counters(alone->p);

    peer_expect_alike(together->p, alone->p);
    compare_stream(together, alone);
    CU_ASSERT_EQUAL(x->app.sent.largest_acked, y->app.sent.largest_acked);
    CU_ASSERT_EQUAL(x->path.rtt.latest_ns, y->path.rtt.latest_ns);
    CU_ASSERT_EQUAL(x->path.rtt.min_ns, y->path.rtt.min_ns);
    CU_ASSERT_EQUAL(x->app.ecn_reports.ect, y->app.ecn_reports.ect);
    CU_ASSERT_EQUAL(x->app.ecn_reports.ce, y->app.ecn_reports.ce);
    CU_ASSERT_EQUAL(x->path.ecn.state, y->path.ecn.state);
    CU_ASSERT_EQUAL(c->acks_received, d->acks_received);
    CU_ASSERT_EQUAL(c->ecn_ce_reported, d->ecn_ce_reported);
    CU_ASSERT(c->packets_lost <= d->packets_lost);
    CU_ASSERT(c->packets_lost_spurious <= d->packets_lost_spurious);
}

/* What all seeds did. */
struct sums {
    uint64_t lost;
    uint64_t spurious; /* losses that were none */
    uint64_t marks;
};

static void run(uint64_t seed, struct sums *sums)
{
    static struct receiver r;
    struct sender together;
    struct sender alone;
    uint32_t failures = CU_get_number_of_failures();

    start(&together, seed);
    start(&alone, seed);
    draw_receiver(&r, together.p, seed);
    for (int i = 0; i < 2; i++)
        peer_clear(i == 0 ? together.p : alone.p);
    for (uint32_t begin = 0, end; begin < r.count; begin = end) {
        for (end = begin + 1; end < r.count && end - begin < MR_BURST; end++)
            if (r.messages[end - 1].ends_burst)
                break;
        deliver(&together, &r, begin, end, MR_BURST);
        deliver(&alone, &r, begin, end, 1);
        compare(&together, &alone);
        peer_advance(together.p, MR_MS / 2);
        peer_advance(alone.p, MR_MS / 2);
    }
    sums->spurious += peer_counters(together.p)->packets_lost_spurious;
    sums->lost += peer_counters(together.p)->packets_lost;
    sums->marks += peer_counters(together.p)->ecn_ce_reported;
    if (CU_get_number_of_failures() > failures)
        fprintf(stderr, "# seed %u is wrong\n", (unsigned)seed);
    peer_end(together.p);
    peer_end(alone.p);
}

/* RFC 9000, Section 13.2.3: "ACK frames SHOULD always acknowledge the most recently received
 * packets": what one says that a later one says again is said. */
static void acks_in_bursts_tell_what_each_alone_tells(void)
{
    struct sums sums = {0};

    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed, &sums);
    CU_ASSERT(sums.lost > SEEDS); /* it all happened */
    CU_ASSERT(sums.spurious > SEEDS);
    CU_ASSERT(sums.marks > SEEDS);
}

static CU_TestInfo tests[] = {
    {"ACKs in bursts tell what each alone tells", acks_in_bursts_tell_what_each_alone_tells},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 sequences of ACKs", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
