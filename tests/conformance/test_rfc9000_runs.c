/*
 * tests/conformance/test_rfc9000_runs.c - bulk data that arrives in bursts (quic/conn_recv_run.c):
 * whatever else is in the burst, a connection ends up as if each datagram had come alone.
 *
 * Each case is a burst of full packets of one stream, of which one is odd.  It is delivered twice,
 * to two connections: at once, and datagram by datagram; then both are compared.
 */
#include <errno.h>

#include "tests/support/peer_cases.h"

enum {
    PACKETS = 12,
    ODD = 5, /* the number of the odd one */
    SIZE = 300,
};

/* What is odd about a packet. */
enum oddity {
    NOTHING,
    PN_LEFT_OUT,
    PN_REPEATED, /* the datagram before once more */
    OLD_DATA,    /* the range before once more, in a new packet */
    EARLY_DATA,  /* two packets change places */
    OVERLAP,     /* begins before the end of the one before */
    FIN,
    BEHIND_FIN, /* data beyond the final size */
    PING_FIRST,
    PADDING_LAST,
    NO_LENGTH,
    EMPTY_FRAME,
    CUT_FRAME,
    OTHER_STREAM,
    CE_MARK,
    OTHER_MARK,
    OTHER_PATH,
    RESERVED_BITS,
    FORGED,
    TOO_MUCH, /* beyond the window */
    RESET,    /* RESET_STREAM in a packet of its own */
    STOPPED,  /* the application wants no more of the stream */
    CLOSED,   /* nor of the connection */
    ODDITIES
};

struct sender {
    struct peer *p;
    mr_handle stream;
    uint64_t offset;
    uint32_t count;
    struct peer_raw raws[MR_BURST];
};

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 251);
}

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

/* A STREAM frame at `dst`; returns its end. */
static uint8_t *frame_at(uint8_t *dst, uint64_t id, uint64_t offset, uint32_t size, uint8_t type)
{
    *dst++ = type;
    dst += mr_varint_put(dst, id);
    if ((type & MR_STREAM_OFF) != 0)
        dst += mr_varint_put(dst, offset);
    if ((type & MR_STREAM_LEN) != 0)
        dst += mr_varint_put(dst, size);
    for (uint32_t i = 0; i < size; i++)
        *dst++ = byte_at(offset + i);
    return dst;
}

static struct peer_raw *add_data(struct sender *s, uint64_t offset, uint8_t type)
{
    uint8_t frames[SIZE + 40];
    uint8_t *end = frame_at(frames, 0, offset, SIZE, type);

    return add(s, frames, (size_t)(end - frames), 0);
}

static struct peer_raw *add_next(struct sender *s)
{
    struct peer_raw *raw = add_data(s, s->offset, s->offset == 0 ? 0x0a : 0x0e);

    s->offset += SIZE;
    return raw;
}

/* ------------------------------------------------------------------ the odd packet */

static void add_with(struct sender *s, const char *before, size_t before_size, const char *after,
                     size_t after_size)
{
    uint8_t frames[SIZE + 60];
    uint8_t *at = frames;

    memcpy(at, before, before_size);
    at = frame_at(at + before_size, 0, s->offset, SIZE, 0x0e);
    memcpy(at, after, after_size);
    s->offset += SIZE;
    add(s, frames, (size_t)(at - frames) + after_size, 0);
}

static void add_of_other_stream(struct sender *s)
{
    uint8_t frames[SIZE + 40];
    uint8_t *end = frame_at(frames, 4, s->offset, SIZE, 0x0e);

    add(s, frames, (size_t)(end - frames), 0);
}

/* The length says one byte more than there is. */
static void add_cut(struct sender *s)
{
    uint8_t frames[SIZE + 40];
    uint8_t *end = frame_at(frames, 0, s->offset, SIZE, 0x0e);

    add(s, frames, (size_t)(end - frames) - 1, 0);
}

static void add_empty(struct sender *s)
{
    uint8_t frames[40];
    uint8_t *end = frame_at(frames, 0, s->offset, 0, 0x0e);

    add(s, frames, (size_t)(end - frames), 0);
}

static void add_with_bits(struct sender *s, uint8_t bits)
{
    uint8_t frames[SIZE + 40];
    uint8_t *end = frame_at(frames, 0, s->offset, SIZE, 0x0e);

    add(s, frames, (size_t)(end - frames), bits);
}

static void add_odd(struct sender *s, enum oddity what)
{
    struct peer_raw swap;

    switch (what) {
    case PN_LEFT_OUT:
        s->p->next_pn[MR_SPACE_APP]++;
        break;
    case PN_REPEATED:
        s->raws[s->count] = s->raws[s->count - 1];
        s->count++;
        break;
    case OLD_DATA:
        add_data(s, s->offset - SIZE, 0x0e);
        break;
    case EARLY_DATA:
        add_next(s);
        add_next(s);
        swap = s->raws[s->count - 1];
        s->raws[s->count - 1] = s->raws[s->count - 2];
        s->raws[s->count - 2] = swap;
        break;
    case OVERLAP:
        s->offset -= 100;
        break;
    case FIN:
        add_data(s, s->offset, 0x0f);
        return;
    case BEHIND_FIN:
        add_data(s, s->offset, 0x0f);
        s->offset += SIZE;
        break;
    case PING_FIRST:
        add_with(s, "\x01", 1, "", 0);
        break;
    case PADDING_LAST:
        add_with(s, "", 0, "\0\0\0", 3);
        break;
    case NO_LENGTH:
        add_data(s, s->offset, 0x0c);
        s->offset += SIZE;
        break;
    case EMPTY_FRAME:
        add_empty(s);
        break;
    case CUT_FRAME:
        add_cut(s);
        break;
    case OTHER_STREAM:
        add_of_other_stream(s);
        break;
    case OTHER_PATH:
        s->p->path.remote.port ^= 1; /* from here on */
        break;
    case RESERVED_BITS:
        add_with_bits(s, 0x08);
        break;
    case FORGED:
        add_next(s)->bytes[100] ^= 1;
        s->offset -= SIZE;
        break;
    case TOO_MUCH:
        peer_conn(s->p)->flow_recv.limit = s->offset + SIZE / 2;
        break;
    case RESET:
        add(s, (const uint8_t *)"\x04\0\x07\x80\1\0\0", 7, 0);
        break;
    default:
        break;
    }
}

/* ------------------------------------------------------------------ twice */

static void build(struct sender *s, enum oddity what)
{
    for (uint32_t i = 0; i < PACKETS; i++) {
        if (i == ODD)
            add_odd(s, what);
        if (i != ODD || what != FIN)
            add_next(s);
        if (i == ODD && what == FIN)
            break;
    }
}

static struct sender *start(enum oddity what)
{
    static struct sender senders[2];
    static uint32_t next;
    struct sender *s = &senders[next++ % 2];

    *s = (struct sender){.p = peer_at(MR_SERVER, PEER_DONE)};
    add_next(s); /* opens the stream */
    peer_deliver_burst(s->p, s->raws, 1);
    s->stream = peer_event(s->p, MR_EVENT_STREAM_OPENED)->event.stream;
    s->p->event_count = 0;
    s->count = 0;
    if (what == STOPPED) {
        CU_ASSERT_EQUAL(mr_stream_stop(peer_endpoint(s->p), s->stream, UINT64_MAX), -EINVAL);
        CU_ASSERT_EQUAL(mr_stream_reset(peer_endpoint(s->p), s->stream, UINT64_MAX), -EINVAL);
        CU_ASSERT_EQUAL(mr_stream_stop(peer_endpoint(s->p), s->stream, 7), 0);
    }
    if (what == CLOSED)
        mr_conn_close(peer_endpoint(s->p), s->p->conn, 7, "enough", s->p->now);
    build(s, what);
    return s;
}

/* All bytes that the application sees; checks them. */
static uint64_t read_all(struct sender *s)
{
    struct mr_view views[64];
    uint64_t offset = 0;
    bool fin = false;

    int64_t count = mr_stream_receive(peer_endpoint(s->p), s->stream, views, 64, &fin);
    for (int64_t i = 0; i < count; i++)
        for (size_t k = 0; k < views[i].size; k++)
            CU_ASSERT_EQUAL_FATAL(views[i].data[k], byte_at(offset++));
    return offset << 1 | fin;
}

static void compare(enum oddity what, struct sender *a, struct sender *b)
{
    const struct mr_conn *x = peer_conn(a->p);
    const struct mr_conn *y = peer_conn(b->p);
    const struct mr_counters *c = peer_counters(a->p);
    const struct mr_counters *d = peer_counters(b->p);

    peer_expect_alike(a->p, b->p);
    CU_ASSERT_EQUAL(x->flow_recv.received, y->flow_recv.received);
    CU_ASSERT_EQUAL(x->bytes_received_total, y->bytes_received_total);
    CU_ASSERT_EQUAL(x->app.ecn.ect0, what == OTHER_MARK ? 1 : 0);
    CU_ASSERT_EQUAL(c->stream_bytes_received, d->stream_bytes_received);
    CU_ASSERT_EQUAL(c->streams_opened, d->streams_opened);
    if (mr_conn_is_alive(x))
        CU_ASSERT_EQUAL(read_all(a), read_all(b));
}

static void run(enum oddity what)
{
    struct sender *together = start(what);
    struct sender *alone = start(what);
    uint8_t marked = what == CE_MARK ? ODD : UINT8_MAX;

    if (what == OTHER_MARK)
        together->raws[ODD].ecn = alone->raws[ODD].ecn = MR_ECN_ECT0;
    if (marked != UINT8_MAX) { /* the mark is of a burst here */
        peer_deliver_burst(together->p, together->raws, ODD);
        together->p->ecn = MR_ECN_CE;
        peer_deliver_burst(together->p, together->raws + ODD, together->count - ODD);
    } else {
        peer_deliver_burst(together->p, together->raws, together->count);
    }
    for (uint32_t i = 0; i < alone->count; i++) {
        if (i == marked)
            alone->p->ecn = MR_ECN_CE;
        peer_conn(alone->p)->last_stream = MR_NONE; /* no run: the general way */
        peer_deliver_burst(alone->p, &alone->raws[i], 1);
    }
    compare(what, together, alone);
    if (what == NOTHING) {
        CU_ASSERT_PTR_NOT_NULL(peer_event(together->p, MR_EVENT_READABLE));
        CU_ASSERT_EQUAL(read_all(together), (uint64_t)(PACKETS + 1) * SIZE << 1);
    }
    peer_end(together->p);
    peer_end(alone->p);
}

static void a_burst_is_received_like_its_packets_one_by_one(void)
{
    for (int what = NOTHING; what < ODDITIES; what++)
        run((enum oddity)what);
}

/* RFC 9000, Section 13.2.1: "Every packet SHOULD be acknowledged at least once"; one ACK for all.
 */
static void a_run_is_acknowledged_once_and_as_a_whole(void)
{
    struct sender *s = start(NOTHING);
    struct mr_reader r;
    struct mr_frame_ack ack;
    struct mr_ack_range range = {0};

    peer_clear(s->p);
    peer_deliver_burst(s->p, s->raws, s->count);
    CU_ASSERT_EQUAL(peer_count(s->p, MR_FRAME_ACK), 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(s->p, MR_FRAME_ACK, 0, &r));
    CU_ASSERT_FATAL(mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack));
    CU_ASSERT_EQUAL(ack.largest, s->p->next_pn[MR_SPACE_APP] - 1);
    CU_ASSERT_FATAL(mr_frame_ack_next(&ack, &range));
    CU_ASSERT(range.hi - range.lo + 1 >= PACKETS);
    peer_end(s->p);
}

static CU_TestInfo tests[] = {
    {"a burst is received like its packets one by one",
     a_burst_is_received_like_its_packets_one_by_one},
    {"a run is acknowledged once, and as a whole", a_run_is_acknowledged_once_and_as_a_whole},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000 runs", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
