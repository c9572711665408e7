/*
 * tests/conformance/test_rfc9000_data_sequences.c - data of several streams behind a network that
 * loses, reorders and repeats, in bursts of any size (quic/conn_recv_run.c): what a receiver has
 * after each burst is what it has when each datagram came alone.
 *
 * Packets are drawn from a seed.  Two connections get them, one in bursts, one datagram by datagram
 * and without runs; meanwhile their applications read.
 */
#include <stdio.h>

#include "base/random.h"
#include "tests/support/peer_cases.h"

enum {
    SEEDS = 60,
    STREAMS = 3,
    STREAM_SIZE = 12000,
    FRAME_MAX = 1000,
    PACKETS_MAX = 320,
    STEPS_MAX = 2 * PACKETS_MAX,
    FRAMES_MAX = 1300,
};

struct packet {
    uint32_t size;
    uint8_t frames[FRAMES_MAX];
};

/* A datagram on the way. */
struct step {
    uint32_t packet; /* whose */
    uint8_t ecn;
    bool ends_burst;
};

/* Who sends, and the network. */
struct sender {
    struct mr_random random;
    uint64_t offset[STREAMS];
    uint32_t stream; /* that sends now */
    uint32_t packet_count;
    uint32_t step_count;
    struct packet packets[PACKETS_MAX];
    struct step steps[STEPS_MAX];
};

static uint8_t byte_at(uint64_t stream, uint64_t offset)
{
    return (uint8_t)(stream * 101 + offset * 31 + offset / 251);
}

static bool chance(struct sender *s, uint32_t of)
{
    return mr_random_below(&s->random, of) == 0;
}

/* ------------------------------------------------------------------ packets */

/* A STREAM frame of `size` bytes from `offset` on; without a length it is the packet's last. */
static void add_frame(struct packet *p, uint64_t stream, uint64_t offset, uint32_t size,
                      bool has_length)
{
    bool is_last = offset + size == STREAM_SIZE;
    uint8_t *at = p->frames + p->size;

    *at++ = (uint8_t)(MR_FRAME_STREAM | MR_STREAM_OFF | (has_length ? MR_STREAM_LEN : 0) |
                      (is_last ? MR_STREAM_FIN : 0));
    at += mr_varint_put(at, 4 * stream);
    at += mr_varint_put(at, offset);
    if (has_length)
        at += mr_varint_put(at, size);
    for (uint32_t i = 0; i < size; i++)
        *at++ = byte_at(stream, offset + i);
    p->size = (uint32_t)(at - p->frames);
}

/* The next bytes of a stream, or some of before. */
static void add_data(struct sender *s, struct packet *p, uint32_t most, bool has_length)
{
    uint64_t *next = &s->offset[s->stream];
    uint64_t offset = *next;

    if (chance(s, 16))
        offset -= mr_random_below(&s->random, MR_MIN(offset, (uint64_t)FRAME_MAX) + 1);
    uint64_t size = 1 + mr_random_below(&s->random, chance(s, 4) ? most / 16 : most);
    size = MR_MIN(size, STREAM_SIZE - offset);
    add_frame(p, s->stream, offset, (uint32_t)size, has_length);
    *next = MR_MAX(*next, offset + size);
}

static bool is_over(const struct sender *s)
{
    for (uint32_t i = 0; i < STREAMS; i++)
        if (s->offset[i] < STREAM_SIZE)
            return false;
    return true;
}

static void pick_stream(struct sender *s)
{
    if (s->offset[s->stream] == STREAM_SIZE || chance(s, 8))
        s->stream = (uint32_t)mr_random_below(&s->random, STREAMS);
}

static void draw_packet(struct sender *s)
{
    struct packet *p = &s->packets[s->packet_count++];

    pick_stream(s);
    if (chance(s, 16))
        p->frames[p->size++] = MR_FRAME_PING;
    if (chance(s, 16)) {
        add_data(s, p, FRAME_MAX / 4, true);
        pick_stream(s);
    }
    bool has_length = !chance(s, 16);
    add_data(s, p, FRAME_MAX, has_length);
    if (has_length && chance(s, 16))
        for (int i = 0; i < 3; i++)
            p->frames[p->size++] = MR_FRAME_PADDING;
}

static void draw_step(struct sender *s, uint32_t packet)
{
    struct step *step = &s->steps[s->step_count++];

    *step = (struct step){.packet = packet, .ends_burst = chance(s, 10)};
    if (chance(s, 24))
        step->ecn = chance(s, 2) ? MR_ECN_ECT0 : MR_ECN_CE;
    if (s->step_count > 1 && chance(s, 20)) {
        uint32_t other = step[-1].packet;

        step[-1].packet = packet;
        step->packet = other;
    }
}

/* All packets, on their way; what is lost comes at last, as if it were sent again in the same
 * packet: to a receiver that has not seen it this is the same. */
static void draw(struct sender *s, uint64_t seed)
{
    uint32_t lost[PACKETS_MAX];
    uint32_t lost_count = 0;

    memset(s, 0, sizeof(*s));
    mr_random_init_number(&s->random, seed);
    while (!is_over(s)) {
        CU_ASSERT_FATAL(s->packet_count < PACKETS_MAX);
        draw_packet(s);
        uint32_t packet = s->packet_count - 1;
        if (chance(s, 24))
            lost[lost_count++] = packet;
        else
            draw_step(s, packet);
        if (chance(s, 24))
            draw_step(s, (uint32_t)mr_random_below(&s->random, s->packet_count)); /* once more */
    }
    for (uint32_t i = 0; i < lost_count; i++)
        draw_step(s, lost[i]);
}

/* ------------------------------------------------------------------ receivers */

struct receiver {
    struct peer *p;
    uint64_t first_pn;
    mr_handle streams[STREAMS]; /* MR_HANDLE_NONE: not opened yet */
    uint64_t read[STREAMS];
    bool has_fin[STREAMS];
};

static void start(struct receiver *r)
{
    struct peer_options options = {.under_test = MR_SERVER, .stream_window = 2 * STREAM_SIZE};

    *r = (struct receiver){.p = peer_new(&options)};
    peer_run(r->p, PEER_DONE);
    peer_clear(r->p);
    r->first_pn = r->p->next_pn[MR_SPACE_APP];
}

static void build(struct receiver *r, const struct sender *s, const struct step *step,
                  struct peer_raw *raw)
{
    const struct packet *packet = &s->packets[step->packet];

    *raw = (struct peer_raw){.path = r->p->path, .ecn = step->ecn};
    raw->size = (uint32_t)peer_build(r->p,
                                     &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                                        .frames = packet->frames,
                                                        .size = packet->size,
                                                        .pn = r->first_pn + step->packet},
                                     raw->bytes, sizeof(raw->bytes));
}

static void keep_streams(struct receiver *r)
{
    for (uint32_t i = 0; i < MR_MIN(r->p->event_count, (uint32_t)PEER_EVENTS_MAX); i++) {
        const struct mr_event *e = &r->p->events[i].event;

        if ((e->kinds & MR_EVENT_STREAM_OPENED) != 0)
            r->streams[mr_stream_id(peer_endpoint(r->p), e->stream) / 4] = e->stream;
    }
    r->p->event_count = 0;
    peer_clear(r->p);
}

static void deliver(struct receiver *r, const struct sender *s, uint32_t begin, uint32_t end)
{
    static struct peer_raw raws[MR_BURST];

    for (uint32_t i = begin; i < end; i++)
        build(r, s, &s->steps[i], &raws[i - begin]);
    peer_deliver_burst(r->p, raws, end - begin);
    keep_streams(r);
}

static void deliver_alone(struct receiver *r, const struct sender *s, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end; i++) {
        peer_conn(r->p)->last_stream = MR_NONE; /* no run: the general way */
        deliver(r, s, i, i + 1);
    }
}

/* What there is of a stream; checks it, and gives it back. */
static void read_stream(struct receiver *r, uint32_t i)
{
    struct mr_view views[64];
    uint64_t size = 0;

    if (r->streams[i] == MR_HANDLE_NONE || r->has_fin[i])
        return;
    int64_t count =
        mr_stream_receive(peer_endpoint(r->p), r->streams[i], views, 64, &r->has_fin[i]);
    for (int64_t k = 0; k < count; k++)
        for (size_t b = 0; b < views[k].size; b++)
            CU_ASSERT_EQUAL_FATAL(views[k].data[b], byte_at(i, r->read[i] + size++));
    if (count > 0)
        CU_ASSERT_EQUAL(mr_stream_release(peer_endpoint(r->p), r->streams[i], size), 0);
    r->read[i] += size;
}

static void compare(struct receiver *together, struct receiver *alone)
{
    const struct mr_conn *x = peer_conn(together->p);
    const struct mr_conn *y = peer_conn(alone->p);
    const struct mr_counters *c = peer_counters(together->p);
    const struct mr_counters *d = peer_counters(alone->p);

    peer_expect_alike(together->p, alone->p);
    CU_ASSERT_EQUAL(x->flow_recv.received, y->flow_recv.received);
    CU_ASSERT_EQUAL(x->bytes_received_total, y->bytes_received_total);
    CU_ASSERT_EQUAL(x->app.was_ce, y->app.was_ce);
    CU_ASSERT_EQUAL(x->app.largest_at_ns, y->app.largest_at_ns);
    CU_ASSERT_EQUAL(c->stream_bytes_received, d->stream_bytes_received);
    CU_ASSERT_EQUAL(c->copies_to_compact, d->copies_to_compact);
    CU_ASSERT_EQUAL(c->streams_opened, d->streams_opened);
    CU_ASSERT_EQUAL(memcmp(together->read, alone->read, sizeof(alone->read)), 0);
}

static void run(uint64_t seed)
{
    static struct sender s;
    struct receiver together;
    struct receiver alone;
    uint32_t failures = CU_get_number_of_failures();

    draw(&s, seed);
    start(&together);
    start(&alone);
    for (uint32_t begin = 0, end; begin < s.step_count; begin = end) {
        for (end = begin + 1; end < s.step_count && end - begin < MR_BURST; end++)
            if (s.steps[end - 1].ends_burst)
                break;
        deliver(&together, &s, begin, end);
        deliver_alone(&alone, &s, begin, end);
        for (uint32_t i = 0; i < STREAMS; i++) {
            bool reads = end == s.step_count || chance(&s, 3);

            if (reads) {
                read_stream(&together, i);
                read_stream(&alone, i);
            }
        }
        compare(&together, &alone);
        peer_advance(together.p, MR_MS / 2);
        peer_advance(alone.p, MR_MS / 2);
    }
    for (uint32_t i = 0; i < STREAMS; i++) {
        CU_ASSERT_EQUAL(together.read[i], STREAM_SIZE);
        CU_ASSERT_TRUE(together.has_fin[i]);
    }
    if (CU_get_number_of_failures() > failures)
        fprintf(stderr, "# seed %u is wrong\n", (unsigned)seed);
    peer_end(together.p);
    peer_end(alone.p);
}

/* RFC 9000, Section 2.2: "Endpoints MUST be able to deliver stream data to an application as an
 * ordered byte stream." */
static void data_in_bursts_is_the_data_of_each_datagram(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed);
}

static CU_TestInfo tests[] = {
    {"data in bursts is the data of each datagram", data_in_bursts_is_the_data_of_each_datagram},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 sequences of data", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
