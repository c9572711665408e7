/*
 * tests/conformance/test_rfc9218_streams.c - RFC 9218, Sections 10 and 12: which stream's data a
 * server sends first.  The sentences quoted are the RFC's.
 */
#include <errno.h>
#include <string.h>

#include "tests/support/peer_cases.h"

enum {
    STREAMS = 4,
    BYTES = 60000, /* queued on each stream */
    LOOKS = 100,
};

static uint8_t data[BYTES];

/* A server, and streams 0, 4, 8, 12 that the client has opened. */
struct world {
    struct peer *p;
    mr_handle stream[STREAMS];
    uint64_t sent[STREAMS];  /* bytes of STREAM frames */
    uint64_t first[STREAMS]; /* number of the packet with the first and the last of them */
    uint64_t last[STREAMS];
};

static void begin(struct world *w)
{
    struct peer *p = peer_at(MR_SERVER, PEER_DONE);
    uint32_t found = 0;

    *w = (struct world){.p = p};
    PEER_SEND(p, "\x0a\x00\x01x\x0a\x04\x01x\x0a\x08\x01x\x0a\x0c\x01x");
    for (uint32_t i = 0; i < p->event_count; i++) {
        if ((p->events[i].event.kinds & MR_EVENT_STREAM_OPENED) != 0)
            w->stream[found++] = p->events[i].event.stream;
    }
    CU_ASSERT_EQUAL_FATAL(found, STREAMS);
    peer_clear(p);
}

static void set(struct world *w, uint32_t stream, uint8_t urgency, bool is_incremental)
{
    CU_ASSERT_EQUAL(mr_stream_set_priority(peer_endpoint(w->p), w->stream[stream],
                                           (struct mr_priority){urgency, is_incremental}),
                    0);
}

static void queue(struct world *w, uint32_t stream, size_t size)
{
    struct mr_view view = {data, size};

    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(w->p), w->stream[stream], &view, 1, 0), 0);
}

/* Note the STREAM frames that came. */
static void note(struct world *w)
{
    struct mr_reader r;
    const struct peer_packet *packet;

    for (uint32_t n = 0; (packet = peer_find(w->p, MR_FRAME_STREAM, n, &r)) != NULL; n++) {
        struct mr_frame_stream frame;
        CU_ASSERT_FATAL(mr_frame_decode_stream(&r, r.at[-1], &frame)); /* the type is one byte */
        uint64_t i = frame.stream_id / 4;
        w->first[i] = w->sent[i] == 0 ? packet->pn : MR_MIN(w->first[i], packet->pn);
        w->last[i] = MR_MAX(w->last[i], packet->pn);
        w->sent[i] += frame.size;
    }
}

/* Acknowledge what came; numbers are left out at times, which must not be. */
static void acknowledge(struct peer *p)
{
    uint64_t numbers[PEER_INBOX_MAX];
    uint32_t count = p->inbox_count;

    for (uint32_t i = 0; i < count; i++)
        numbers[i] = p->inbox[i].pn;
    peer_clear(p); /* more may come with every ACK */
    for (uint32_t i = 0; i < count;) {
        uint32_t end = i + 1;
        while (end < count && numbers[end] == numbers[end - 1] + 1)
            end++;
        peer_ack(p, numbers[i], numbers[end - 1]);
        i = end;
    }
}

/* Let the server send for a while, and acknowledge all of it, until it is quiet or `bytes` have
 * come. */
static void run(struct world *w, uint64_t bytes)
{
    struct peer *p = w->p;
    uint64_t sum = 0;

    for (int look = 0; look < LOOKS && sum < bytes; look++) {
        peer_advance(p, 10 * MR_MS);
        if (p->inbox_count == 0)
            continue;
        note(w);
        acknowledge(p);
        sum = w->sent[0] + w->sent[1] + w->sent[2] + w->sent[3];
    }
}

/* Section 10: "It is RECOMMENDED that, when possible, servers respect the urgency parameter
 * (Section 4.1), sending higher-urgency responses before lower-urgency responses." */
static void a_lower_urgency_gets_nothing_while_a_higher_one_has_data(void)
{
    struct world w;

    begin(&w);
    set(&w, 0, 5, true);
    set(&w, 1, 7, false);
    set(&w, 2, 1, false);
    set(&w, 3, 3, true);
    for (uint32_t i = 0; i < STREAMS; i++)
        queue(&w, i, BYTES);
    run(&w, STREAMS * (uint64_t)BYTES);
    for (uint32_t i = 0; i < STREAMS; i++)
        CU_ASSERT_EQUAL(w.sent[i], BYTES);
    CU_ASSERT(w.last[2] <= w.first[3]);
    CU_ASSERT(w.last[3] <= w.first[0]);
    CU_ASSERT(w.last[0] <= w.first[1]);
    peer_end(w.p);
}

/* Section 10: "Non-incremental responses of the same urgency SHOULD be served by prioritizing
 * bandwidth allocation in ascending order of the stream ID" */
static void the_same_urgency_goes_in_the_order_of_ids(void)
{
    struct world w;

    begin(&w);
    for (uint32_t i = STREAMS; i > 0; i--) {
        set(&w, i - 1, 3, false);
        queue(&w, i - 1, BYTES);
    }
    run(&w, STREAMS * (uint64_t)BYTES);
    for (uint32_t i = 0; i + 1 < STREAMS; i++) {
        CU_ASSERT_EQUAL(w.sent[i], BYTES);
        CU_ASSERT(w.last[i] <= w.first[i + 1]);
    }
    peer_end(w.p);
}

/* Jain's index of fairness, of what the streams from `from` on got: 1 is even. */
static double fairness(const struct world *w, uint32_t from)
{
    double sum = 0;
    double squares = 0;

    for (uint32_t i = from; i < STREAMS; i++) {
        double x = (double)w->sent[i];
        sum += x;
        squares += x * x;
    }
    return squares == 0 ? 0 : sum * sum / ((STREAMS - from) * squares);
}

/* Section 10: "Incremental responses of the same urgency SHOULD be served by sharing bandwidth
 * among them." */
static void incremental_ones_share(void)
{
    struct world w;

    begin(&w);
    for (uint32_t i = 0; i < STREAMS; i++) {
        set(&w, i, 2, true);
        for (int part = 0; part < 8; part++)
            queue(&w, i, BYTES);
    }
    run(&w, (uint64_t)5 * BYTES);
    CU_ASSERT(fairness(&w, 0) >= 0.99);
    peer_end(w.p);
}

/* Section 10: "It is RECOMMENDED that servers avoid such starvation where possible", of
 * incremental ones by others of their urgency, and the reverse. */
static void neither_kind_starves_the_other(void)
{
    struct world w;

    begin(&w);
    set(&w, 0, 3, false);
    for (uint32_t i = 0; i < STREAMS; i++) {
        for (int part = 0; part < 8; part++)
            queue(&w, i, BYTES);
    }
    run(&w, (uint64_t)6 * BYTES);
    CU_ASSERT(fairness(&w, 1) >= 0.9); /* a turn is as many packets as the window lets out */
    CU_ASSERT(w.sent[0] > (w.sent[1] + w.sent[2] + w.sent[3]) / 2);
    CU_ASSERT(w.sent[0] < (w.sent[1] + w.sent[2] + w.sent[3]) * 2);
    peer_end(w.p);
}

/* "no starvation of control": a stream of the first urgency goes before everything else, at once.
 */
static void an_urgent_stream_overtakes_what_is_queued(void)
{
    struct world w;

    begin(&w);
    for (uint32_t i = 0; i < 3; i++)
        queue(&w, i, BYTES);
    run(&w, BYTES);
    set(&w, 3, 0, true);
    uint64_t next = mr_sent_next(&peer_conn(w.p)->app.sent);
    queue(&w, 3, 100);
    run(&w, UINT64_MAX);
    CU_ASSERT_EQUAL(w.sent[3], 100);
    CU_ASSERT(w.first[3] - next <= 1); /* a number may be left out */
    CU_ASSERT(w.last[2] > w.last[3]);
    peer_end(w.p);
}

/* A priority that changes counts from the next packet on. */
static void a_change_counts_at_once(void)
{
    struct world w;

    begin(&w);
    for (uint32_t i = 0; i < STREAMS; i++) {
        set(&w, i, 3, false);
        queue(&w, i, BYTES);
    }
    run(&w, BYTES / 2);
    CU_ASSERT_EQUAL(w.sent[3], 0);
    set(&w, 3, 2, false);
    run(&w, UINT64_MAX);
    CU_ASSERT(w.last[3] <= w.first[1]);
    CU_ASSERT(w.last[3] < w.last[0]);
    peer_end(w.p);
}

/* RFC 9218, Section 12: retransmissions may go in the order of priorities; but where the
 * connection's window is closed they do not wait for it behind new data that must. */
static void a_lost_packet_of_any_urgency_is_repeated_when_the_window_is_closed(void)
{
    struct world w;
    struct mr_flow_send *flow;

    begin(&w);
    flow = &peer_conn(w.p)->flow_send;
    flow->limit = flow->used + 1000; /* as if the peer allowed no more */
    set(&w, 1, 7, false);
    set(&w, 0, 0, false);
    queue(&w, 1, 1000);
    peer_advance(w.p, MR_MS);
    queue(&w, 0, BYTES);
    for (int i = 0; i < 20; i++) { /* nothing is acknowledged: probes carry it again */
        peer_advance(w.p, MR_SECOND / 2);
        note(&w);
        peer_clear(w.p);
    }
    CU_ASSERT(w.sent[1] >= 2000);
    CU_ASSERT_EQUAL(w.sent[0], 0);
    peer_end(w.p);
}

static void priorities_that_there_are_not_are_refused(void)
{
    struct world w;

    begin(&w);
    CU_ASSERT_EQUAL(
        mr_stream_set_priority(peer_endpoint(w.p), w.stream[0], (struct mr_priority){8, false}),
        -EINVAL);
    CU_ASSERT_EQUAL(
        mr_stream_set_priority(peer_endpoint(w.p), MR_HANDLE_NONE, (struct mr_priority){1, false}),
        -ESTALE);
    CU_ASSERT_EQUAL(
        mr_stream_set_priority(peer_endpoint(w.p), w.p->conn, (struct mr_priority){1, false}),
        -ESTALE);
    peer_end(w.p);
}

static CU_TestInfo tests[] = {
    {"a lower urgency gets nothing while a higher one has data",
     a_lower_urgency_gets_nothing_while_a_higher_one_has_data},
    {"the same urgency goes in the order of IDs", the_same_urgency_goes_in_the_order_of_ids},
    {"incremental ones share", incremental_ones_share},
    {"neither kind starves the other", neither_kind_starves_the_other},
    {"an urgent stream overtakes what is queued", an_urgent_stream_overtakes_what_is_queued},
    {"a change counts at once", a_change_counts_at_once},
    {"a lost packet of any urgency is repeated when the window is closed",
     a_lost_packet_of_any_urgency_is_repeated_when_the_window_is_closed},
    {"priorities that there are not are refused", priorities_that_there_are_not_are_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9218, streams", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
