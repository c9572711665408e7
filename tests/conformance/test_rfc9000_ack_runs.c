/*
 * tests/conformance/test_rfc9000_ack_runs.c - ACKs that arrive in bursts (quic/conn_recv_run.c), as
 * peers send them that acknowledge every second packet: whatever else is in the burst, a connection
 * ends up as if each had come alone.  And such a peer: an ACK for every second packet of a burst.
 *
 * Each case is a burst of ACKs, each with two packets more than the one before, of which one is
 * odd.  It is delivered twice, to two connections: at once, and datagram by datagram; then both are
 * compared.
 */
#include "quic/sent.h"
#include "tests/support/peer_cases.h"

enum {
    ACKS = 8,
    ODD = 3, /* the number of the odd one */
    DATA = 24000,
    WINDOW = 1 << 20,
    ALONE = 5, /* packets of the second test: an odd number */
};

/* What is odd about an ACK. */
enum oddity {
    NOTHING,
    PN_LEFT_OUT,
    PN_REPEATED, /* the datagram before once more */
    OLDER,       /* it acknowledges less than the one before */
    NARROW,      /* from here on only its own two packets, not what is before them */
    TWO_RANGES,
    PING_BEHIND,
    PADDING_BEHIND,
    COUNTS, /* ECN counts up to here, none behind */
    CUT_FRAME,
    CE_MARK,
    OTHER_MARK,
    OTHER_PATH,
    RESERVED_BITS,
    FORGED,
    UNSENT, /* it acknowledges what was never sent */
    CLOSED, /* by the application */
    ODDITIES
};

struct sender {
    struct peer *p;
    uint64_t first; /* packet number of the data */
    uint64_t last;
    uint32_t count;
    struct peer_raw raws[ACKS + 1];
};

static uint8_t data[DATA];

/* A packet with these frames. */
static struct peer_raw *add(struct sender *s, const uint8_t *frames, size_t size, uint8_t bits)
{
    struct peer_raw *raw = &s->raws[s->count++];

    raw->path = s->p->path;
    raw->size = (uint32_t)peer_build(s->p,
                                     &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                                        .frames = frames,
                                                        .size = size,
                                                        .pn = PEER_NEXT_PN,
                                                        .bits = bits},
                                     raw->bytes, sizeof(raw->bytes));
    return raw;
}

/* An ACK of `lo` to `hi` with `behind` of `behind_size` bytes: three are ECN counts. */
static struct peer_raw *add_ack(struct sender *s, uint64_t lo, uint64_t hi, const char *behind,
                                size_t behind_size)
{
    uint8_t frames[64] = {behind_size == 3 ? MR_FRAME_ACK_ECN : MR_FRAME_ACK};
    uint8_t *at = frames + 1;

    at += mr_varint_put(at, hi);
    *at++ = 0; /* delay, ranges */
    *at++ = 0;
    at += mr_varint_put(at, hi - lo);
    memcpy(at, behind, behind_size);
    return add(s, frames, (size_t)(at - frames) + behind_size, 0);
}

/* The same with a second range, of the first packet alone. */
static void add_two_ranges(struct sender *s, uint64_t hi)
{
    uint8_t frames[64] = {MR_FRAME_ACK};
    uint8_t *at = frames + 1;

    at += mr_varint_put(at, hi);
    *at++ = 0;
    *at++ = 1;
    at += mr_varint_put(at, hi - s->first - 2);
    *at++ = 0; /* one is missing */
    *at++ = 0;
    add(s, frames, (size_t)(at - frames), 0);
}

/* Instead of the ACK of all up to `hi`, or beside it. */
static void add_odd(struct sender *s, enum oddity what, uint64_t hi)
{
    switch (what) {
    case PN_REPEATED:
        s->raws[s->count] = s->raws[s->count - 1];
        s->count++;
        break;
    case OLDER:
        add_ack(s, s->first, hi - 4, "", 0);
        break;
    case TWO_RANGES:
        add_two_ranges(s, hi);
        break;
    case PING_BEHIND:
        add_ack(s, s->first, hi, "\x01", 1);
        break;
    case PADDING_BEHIND:
        add_ack(s, s->first, hi, "\0\0", 2);
        break;
    case CUT_FRAME:
        add(s, (const uint8_t *)"\2\7\0\0", 4, 0);
        break;
    case OTHER_PATH:
        s->p->path.remote.port ^= 1; /* from here on */
        add_ack(s, s->first, hi, "", 0);
        break;
    case RESERVED_BITS:
        add(s, (const uint8_t *)"\2\0\0\0\0", 5, 0x08);
        break;
    case FORGED:
        add_ack(s, s->first, hi, "", 0)->bytes[20] ^= 1;
        break;
    case UNSENT:
        add_ack(s, s->first, s->last + 1, "", 0);
        break;
    case PN_LEFT_OUT:
        s->p->next_pn[MR_SPACE_APP]++;
        add_ack(s, s->first, hi, "", 0);
        break;
    default:
        add_ack(s, s->first, hi, "", 0);
        break;
    }
}

/* A server that has sent DATA and waits for ACKs. */
static struct sender *start(enum oddity what)
{
    static struct sender senders[2];
    static uint32_t next;
    struct sender *s = &senders[next++ % 2];
    struct peer_options options = {.under_test = MR_SERVER, .has_ecn = what == COUNTS};
    struct mr_view view = {.data = data, .size = DATA};
    mr_handle stream;

    *s = (struct sender){.p = peer_new(&options)};
    peer_run(s->p, PEER_DONE);
    peer_clear(s->p);
    peer_conn(s->p)->path.cc.window = WINDOW;
    CU_ASSERT_EQUAL_FATAL(mr_stream_open(peer_endpoint(s->p), s->p->conn, MR_OPEN_UNI, 0, &stream),
                          0);
    CU_ASSERT_EQUAL_FATAL(mr_stream_send(peer_endpoint(s->p), stream, &view, 1, 0), 0);
    peer_drain(s->p);
    peer_advance(s->p, MR_MS); /* what the pacer held back */
    CU_ASSERT_FATAL(s->p->inbox_count >= 2 * ACKS + 1);
    s->first = s->p->inbox[0].pn;
    s->last = s->p->inbox[s->p->inbox_count - 1].pn;
    CU_ASSERT_EQUAL_FATAL(s->last - s->first + 1, s->p->inbox_count); /* no number is left out */
    uint64_t marked = peer_conn(s->p)->app.ecn_reports.ect;
    for (uint32_t i = 0; i < ACKS; i++) {
        uint64_t hi = s->first + 2 * i + 1;

        if (what == NARROW && i >= ODD)
            add_ack(s, hi - 1, hi, "", 0);
        else if (what == COUNTS && i <= ODD)
            add_ack(s, s->first, hi, (const char[]){(char)(marked + 2 * i + 2), 0, 0}, 3);
        else if (i == ODD)
            add_odd(s, what, hi);
        else
            add_ack(s, s->first, hi, "", 0);
    }
    if (what == CLOSED)
        mr_conn_close(peer_endpoint(s->p), s->p->conn, 7, "enough", s->p->now);
    peer_clear(s->p);
    return s;
}

static void compare(enum oddity what, struct sender *a, struct sender *b)
{
    const struct mr_conn *x = peer_conn(a->p);
    const struct mr_conn *y = peer_conn(b->p);
    const struct mr_counters *c = peer_counters(a->p);
    const struct mr_counters *d = peer_counters(b->p);

    peer_expect_alike(a->p, b->p);
    CU_ASSERT_EQUAL(x->app.unacked_count, y->app.unacked_count);
    if (what == OTHER_MARK)
        CU_ASSERT_EQUAL(x->app.ecn.ect0, 2);
    CU_ASSERT_EQUAL(x->last_received_ns, y->last_received_ns);
    CU_ASSERT_EQUAL(c->acks_received, d->acks_received);
    CU_ASSERT_EQUAL(c->acks_of_unsent, d->acks_of_unsent);
    CU_ASSERT_EQUAL(c->ecn_validated, d->ecn_validated);
    CU_ASSERT_EQUAL(c->ecn_failures, d->ecn_failures);
    if (what != UNSENT) { /* the end of the connection: nobody asks what is in flight */
        CU_ASSERT_EQUAL(x->app.sent.largest_acked, y->app.sent.largest_acked);
        CU_ASSERT_EQUAL(x->app.sent.ack_eliciting_count, y->app.sent.ack_eliciting_count);
        CU_ASSERT_EQUAL(x->path.cc.in_flight, y->path.cc.in_flight);
    }
    if (what == NOTHING)
        CU_ASSERT_EQUAL(x->app.sent.ack_eliciting_count, a->last - a->first + 1 - 2 * ACKS);
}

static void run(enum oddity what)
{
    struct sender *together = start(what);
    struct sender *alone = start(what);
    uint8_t mark = what == CE_MARK ? MR_ECN_CE : what == OTHER_MARK ? MR_ECN_ECT0 : 0;

    for (int i = ODD; i < ODD + 2; i++)
        together->raws[i].ecn = alone->raws[i].ecn = mark;
    peer_deliver_burst(together->p, together->raws, together->count);
    for (uint32_t i = 0; i < alone->count; i++)
        peer_deliver_burst(alone->p, &alone->raws[i], 1);
    compare(what, together, alone);
    peer_end(together->p);
    peer_end(alone->p);
}

static void a_burst_of_acks_is_received_like_each_alone(void)
{
    for (int what = NOTHING; what < ODDITIES; what++)
        run((enum oddity)what);
}

/* ------------------------------------------------------------------ and sent */

static void add_pings(struct sender *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        add(s, (const uint8_t *)"\x01", 1, 0);
}

/* RFC 9000, Section 13.2.2: "A receiver SHOULD send an ACK frame after receiving at least two
 * ack-eliciting packets." */
static void every_second_packet_of_a_burst_has_its_ack(void)
{
    static struct sender s;
    struct peer_options options = {.under_test = MR_SERVER, .ack_packets = 2};
    struct mr_frame_ack ack;
    struct mr_reader r;

    s = (struct sender){.p = peer_new(&options)};
    peer_run(s.p, PEER_DONE);
    peer_clear(s.p);
    uint64_t first = s.p->next_pn[MR_SPACE_APP];
    add_pings(&s, ALONE);
    peer_deliver_burst(s.p, s.raws, s.count);
    CU_ASSERT_EQUAL_FATAL(peer_count(s.p, MR_FRAME_ACK), ALONE / 2 + 1);
    for (uint32_t i = 0; i < ALONE / 2 + 1; i++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(s.p, MR_FRAME_ACK, i, &r));
        CU_ASSERT_FATAL(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack));
        CU_ASSERT_EQUAL(ack.largest, first + MR_MIN(2 * i + 1, (uint32_t)ALONE - 1));
    }
    peer_advance(s.p, MR_SECOND);
    CU_ASSERT_EQUAL(peer_count(s.p, MR_FRAME_ACK), ALONE / 2 + 1); /* and that was all */
    peer_end(s.p);
}

/* Where some are missing, the sender is told at once. */
static void one_ack_tells_of_a_gap(void)
{
    static struct sender s;
    struct peer_options options = {.under_test = MR_SERVER, .ack_packets = 2};

    s = (struct sender){.p = peer_new(&options)};
    peer_run(s.p, PEER_DONE);
    peer_clear(s.p);
    add_pings(&s, 2);
    s.p->next_pn[MR_SPACE_APP]++;
    add_pings(&s, 3);
    peer_deliver_burst(s.p, s.raws, s.count);
    CU_ASSERT_EQUAL(peer_count(s.p, MR_FRAME_ACK), 1);
    peer_end(s.p);
}

/* RFC 9000, Section 13.4.2.1: "ECN validation also fails if the sum of the increase in ECT(0) and
 * ECN-CE counts is less than the number of newly acknowledged packets that were originally sent
 * with an ECT(0) marking."  Counts are of all that came, so one ACK acknowledges all of it. */
static void one_ack_has_what_its_counts_are_of(void)
{
    static struct sender s;
    struct peer_options options = {.under_test = MR_SERVER, .ack_packets = 2};
    struct mr_frame_ack ack;
    struct mr_reader r;

    s = (struct sender){.p = peer_new(&options)};
    peer_run(s.p, PEER_DONE);
    peer_clear(s.p);
    add_pings(&s, ALONE);
    for (uint32_t i = 0; i < ALONE; i++)
        s.raws[i].ecn = MR_ECN_ECT0;
    peer_deliver_burst(s.p, s.raws, s.count);
    CU_ASSERT_EQUAL(peer_count(s.p, MR_FRAME_ACK), 0);
    CU_ASSERT_EQUAL_FATAL(peer_count(s.p, MR_FRAME_ACK_ECN), 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(s.p, MR_FRAME_ACK_ECN, 0, &r));
    CU_ASSERT_FATAL(mr_frame_decode_ack(&r, MR_FRAME_ACK_ECN, &ack));
    CU_ASSERT_EQUAL(ack.largest, s.p->next_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_EQUAL(ack.ecn.ect0, ALONE);
    peer_end(s.p);
}

static CU_TestInfo tests[] = {
    {"a burst of ACKs is received like each alone", a_burst_of_acks_is_received_like_each_alone},
    {"every second packet of a burst has its ACK", every_second_packet_of_a_burst_has_its_ack},
    {"one ACK tells of a gap", one_ack_tells_of_a_gap},
    {"one ACK has what its counts are of", one_ack_has_what_its_counts_are_of},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 runs of ACKs", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
