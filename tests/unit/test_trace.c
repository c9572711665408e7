/* tests/unit/test_trace.c - the contracts of quic/trace.h and quic/trace_frames.h. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "quic/frame_extension.h"
#include "quic/trace.h"
#include "quic/trace_frames.h"
#include "tests/unit/harness.h"

static const struct mr_trace_bytes nothing = {.size = 0};

static struct mr_tracer *make(void)
{
    struct mr_tracer *tracer = aligned_alloc(MR_CACHE_LINE, sizeof(*tracer));

    mr_tracer_init(tracer, 7);
    return tracer;
}

/* The next record, which must be of this kind; bytes of its body. */
static struct mr_trace_head expect(struct mr_tracer *tracer, enum mr_trace_kind kind, void *body,
                                   size_t room)
{
    static uint64_t record[MR_TRACE_RECORD_MAX];
    struct mr_trace_head head = {.kind = MR_TRACE_KINDS};

    CU_ASSERT_TRUE_FATAL(mr_tracer_read(tracer, record));
    memcpy(&head, record, sizeof(head));
    CU_ASSERT_EQUAL_FATAL(head.kind, kind);
    CU_ASSERT_TRUE_FATAL(head.size <= room);
    memcpy(body, record + 3, head.size);
    return head;
}

/* ------------------------------------------------------------------ which connections */

static struct mr_addr peer_of(uint8_t last)
{
    return (struct mr_addr){.ip = {[10] = 0xff, [11] = 0xff, [12] = 198, 18, 0, last}};
}

static void a_rule_chooses_by_address_and_by_number(void)
{
    struct mr_tracer *tracer = make();
    struct mr_addr near = peer_of(5);
    struct mr_addr far = peer_of(200);
    _Atomic uint32_t next = 2;

    CU_ASSERT_EQUAL(mr_tracer_wants(tracer, &near), 0);
    tracer->rule = (struct mr_trace_rule){.what = MR_TRACE_EVENTS};
    CU_ASSERT_EQUAL(mr_tracer_wants(tracer, &near), MR_TRACE_EVENTS);
    tracer->rule.has_peer = true;
    memcpy(tracer->rule.peer_ip, near.ip, sizeof(near.ip));
    for (uint8_t bits = 0; bits <= 128; bits++) {
        tracer->rule.peer_bits = bits;
        CU_ASSERT_EQUAL(mr_tracer_wants(tracer, &near), MR_TRACE_EVENTS);
        /* 5 and 200 differ in the first bit of the last byte */
        CU_ASSERT_EQUAL(mr_tracer_wants(tracer, &far), bits <= 120 ? MR_TRACE_EVENTS : 0);
    }
    tracer->rule = (struct mr_trace_rule){.what = MR_TRACE_KEYS, .next = &next};
    CU_ASSERT_EQUAL(mr_tracer_wants(tracer, &near), MR_TRACE_KEYS);
    CU_ASSERT_EQUAL(mr_tracer_wants(tracer, &far), MR_TRACE_KEYS);
    CU_ASSERT_EQUAL(mr_tracer_wants(tracer, &far), 0);
    CU_ASSERT_EQUAL(next, 0);
    free(tracer);
}

static void no_more_are_traced_than_there_are_places(void)
{
    struct mr_tracer *tracer = make();

    tracer->rule = (struct mr_trace_rule){.what = MR_TRACE_EVENTS};
    for (uint32_t i = 0; i < MR_TRACED_MAX; i++)
        CU_ASSERT_EQUAL(mr_tracer_begin(tracer, MR_TRACE_EVENTS, 0), i);
    CU_ASSERT_EQUAL(mr_tracer_begin(tracer, MR_TRACE_EVENTS, 0), MR_NONE);
    struct mr_addr near = peer_of(5);
    _Atomic uint32_t next = 1;
    CU_ASSERT_EQUAL(mr_tracer_wants(tracer, &near), MR_TRACE_EVENTS);
    tracer->rule.next = &next;
    CU_ASSERT_EQUAL(mr_tracer_wants(tracer, &near), MR_TRACE_EVENTS);
    CU_ASSERT_EQUAL(next, 1); /* which another one may be */
    next = 0;
    CU_ASSERT_EQUAL(mr_tracer_wants(tracer, &near), 0);
    mr_tracer_end(tracer, 9, MR_TRACE_OVER);
    CU_ASSERT_EQUAL(mr_tracer_begin(tracer, MR_TRACE_EVENTS, 0), 9);
    free(tracer);
}

/* ------------------------------------------------------------------ the ring */

static void records_come_out_as_they_went_in(void)
{
    struct mr_tracer *tracer = make();
    uint32_t place = mr_tracer_begin(tracer, MR_TRACE_EVENTS, 0);
    static uint8_t body[MR_TRACE_BODY_MAX];
    static uint8_t read[MR_TRACE_BODY_MAX];

    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(i * 7 + 1);
    tracer->now_ns = 0;
    for (size_t size = 0; size <= sizeof(body); size = size * 2 + 1) { /* often round the ring */
        for (int times = 0; times < 40; times++) {
            size_t first = size / 3;
            tracer->now_ns++;
            CU_ASSERT_TRUE_FATAL(mr_tracer_write(
                tracer, place, MR_TRACE_ALPN, (struct mr_trace_bytes){.at = body, .size = first},
                (struct mr_trace_bytes){.at = body + first, .size = size - first}));
            struct mr_trace_head head = expect(tracer, MR_TRACE_ALPN, read, sizeof(read));
            CU_ASSERT_EQUAL(head.size, size);
            CU_ASSERT_EQUAL(head.time_ns, tracer->now_ns);
            CU_ASSERT_EQUAL(head.trace, tracer->traced[place].number);
            CU_ASSERT_EQUAL(memcmp(read, body, size), 0);
        }
    }
    static uint64_t record[MR_TRACE_RECORD_MAX];
    CU_ASSERT_FALSE(mr_tracer_read(tracer, record));
    free(tracer);
}

static void a_full_ring_drops_records_counts_them_and_still_ends_traces(void)
{
    struct mr_tracer *tracer = make();
    uint64_t body = 1;
    struct mr_trace_bytes bytes = {.at = &body, .size = sizeof(body)};
    uint64_t written = 0;

    for (uint32_t i = 0; i < MR_TRACED_MAX; i++)
        CU_ASSERT_EQUAL_FATAL(mr_tracer_begin(tracer, MR_TRACE_EVENTS, 0), i);
    while (mr_tracer_write(tracer, 3, MR_TRACE_STATE, bytes, nothing))
        written++;
    CU_ASSERT_TRUE(written > 10000);
    CU_ASSERT_FALSE(mr_tracer_write(tracer, 3, MR_TRACE_STATE, bytes, nothing));
    CU_ASSERT_EQUAL(tracer->traced[3].lost, 2);
    for (uint32_t i = 0; i < MR_TRACED_MAX; i++) {
        if (i != 3)
            mr_tracer_end(tracer, i, MR_TRACE_OVER);
    }
    CU_ASSERT_EQUAL(mr_tracer_begin(tracer, MR_TRACE_EVENTS, 0), MR_NONE); /* its end had no room */
    for (uint64_t i = 0; i < written; i++)
        expect(tracer, MR_TRACE_STATE, &body, sizeof(body));
    /* what is missing is told before what comes next */
    CU_ASSERT_TRUE(mr_tracer_write(tracer, 3, MR_TRACE_STATE, bytes, nothing));
    for (uint32_t i = 1; i < MR_TRACED_MAX; i++)
        expect(tracer, MR_TRACE_END, &body, sizeof(body));
    expect(tracer, MR_TRACE_LOST, &body, sizeof(body));
    CU_ASSERT_EQUAL(body, 2);
    expect(tracer, MR_TRACE_STATE, &body, sizeof(body));
    CU_ASSERT_EQUAL(tracer->traced[3].lost_all, 2);
    free(tracer);
}

/* ------------------------------------------------------------------ frames */

static size_t pack(const char *payload, size_t size, uint8_t *dst, size_t room, bool *is_cut)
{
    return mr_trace_frames_pack(dst, room, (const uint8_t *)payload, size, is_cut);
}

#define BYTES(s) (s), sizeof(s) - 1

static void data_is_left_out_and_padding_counted(void)
{
    static const char payload[] = "\x0a\x04\x05Hello" /* STREAM with Length */
                                  "\x06\x40\x10\x03"
                                  "abc"                      /* CRYPTO at 16 */
                                  "\x10\x80\x01\x00\x00"     /* MAX_DATA 65536 */
                                  "\x00\x00\x00"             /* PADDING */
                                  "\x07\x02zz"               /* NEW_TOKEN */
                                  "\x31\x01q"                /* DATAGRAM with Length */
                                  "\x0d\x08\x09the rest of"; /* STREAM with Offset and FIN */
    uint8_t packed[256];
    bool is_cut;
    struct mr_trace_frame f;
    size_t size = pack(BYTES(payload), packed, sizeof(packed), &is_cut);
    struct mr_reader r = mr_reader(packed, size);

    CU_ASSERT_FALSE(is_cut);
    CU_ASSERT_TRUE(size < sizeof(payload) - 10);
    CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
    CU_ASSERT_EQUAL(f.type, MR_FRAME_STREAM);
    CU_ASSERT_EQUAL(f.field[0], 4);
    CU_ASSERT_EQUAL(f.field[1], 0);
    CU_ASSERT_EQUAL(f.size, 5);
    CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
    CU_ASSERT_EQUAL(f.type, MR_FRAME_CRYPTO);
    CU_ASSERT_EQUAL(f.field[0], 16);
    CU_ASSERT_EQUAL(f.size, 3);
    CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
    CU_ASSERT_EQUAL(f.type, MR_FRAME_MAX_DATA);
    CU_ASSERT_EQUAL(f.field[0], 65536);
    CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
    CU_ASSERT_EQUAL(f.type, MR_FRAME_PADDING);
    CU_ASSERT_EQUAL(f.size, 3);
    CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
    CU_ASSERT_EQUAL(f.type, MR_FRAME_NEW_TOKEN);
    CU_ASSERT_EQUAL(f.size, 2);
    CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
    CU_ASSERT_EQUAL(f.type, MR_FRAME_DATAGRAM);
    CU_ASSERT_EQUAL(f.size, 1);
    CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
    CU_ASSERT_EQUAL(f.type, MR_FRAME_STREAM + MR_STREAM_FIN);
    CU_ASSERT_EQUAL(f.field[0], 8);
    CU_ASSERT_EQUAL(f.field[1], 9);
    CU_ASSERT_EQUAL(f.size, 11);
    CU_ASSERT_FALSE(mr_trace_frame_next(&r, &f));
    CU_ASSERT_EQUAL(memmem(packed, size, "Hello", 5), NULL);
}

static void frames_of_extensions_are_kept(void)
{
    static const char payload[] = "\x24\x04\x07\x09\x05"     /* RESET_STREAM_AT */
                                  "\x40\xaf\x01\x02\x03\x04" /* ACK_FREQUENCY */
                                  "\x1f"                     /* IMMEDIATE_ACK */
                                  "\x80\x9f\x81\xa6\x03\x01\x02\x03\x04\x11\x22" /* an address */
                                  "\x01";
    static const uint64_t types[] = {MR_FRAME_RESET_STREAM_AT, MR_FRAME_ACK_FREQUENCY,
                                     MR_FRAME_IMMEDIATE_ACK, MR_FRAME_OBSERVED_ADDRESS_4,
                                     MR_FRAME_PING};
    uint8_t packed[64];
    bool is_cut;
    struct mr_trace_frame f;
    size_t size = pack(BYTES(payload), packed, sizeof(packed), &is_cut);
    struct mr_reader r = mr_reader(packed, size);

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
        CU_ASSERT_EQUAL(f.type, types[i]);
        CU_ASSERT_NOT_EQUAL(f.tail, MR_TAIL_UNREADABLE);
        if (i == 0)
            CU_ASSERT_EQUAL(f.field[3], 5);
    }
    CU_ASSERT_FALSE(mr_trace_frame_next(&r, &f));
}

static void a_reset_token_is_left_out(void)
{
    static const char payload[] = "\x18\x03\x01\x04"
                                  "cidsTOKENTOKENTOKEN!\x01";
    uint8_t packed[64];
    bool is_cut;
    struct mr_trace_frame f;
    size_t size = pack(BYTES(payload), packed, sizeof(packed), &is_cut);
    struct mr_reader r = mr_reader(packed, size);

    CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
    CU_ASSERT_EQUAL(f.type, MR_FRAME_NEW_CONNECTION_ID);
    CU_ASSERT_EQUAL(f.field[0], 3);
    CU_ASSERT_EQUAL(f.field[1], 1);
    CU_ASSERT_EQUAL_FATAL(f.size, 4);
    CU_ASSERT_EQUAL(memcmp(f.bytes, "cids", 4), 0);
    CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
    CU_ASSERT_EQUAL(f.type, MR_FRAME_PING);
    CU_ASSERT_EQUAL(memmem(packed, size, "TOKEN", 5), NULL);
}

static void what_cannot_be_read_is_the_last(void)
{
    static const struct {
        const char *payload;
        size_t size;
        uint64_t type;
        uint64_t left;
    } cases[] = {
        {BYTES("\x01\x40\xff what is it\x01"), 0xff, 14}, /* unknown */
        {BYTES("\x01\x06\x00\x05"
               "cut"),
         MR_FRAME_CRYPTO, 6},                                     /* ends inside its data */
        {BYTES("\x01\x02\x05\x00\x09\x00\x00"), MR_FRAME_ACK, 6}, /* and inside its ranges */
        {BYTES("\x01\x80\x00"), 0, 2},                            /* and inside its type */
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        uint8_t packed[64];
        bool is_cut;
        struct mr_trace_frame f;
        size_t size = pack(cases[i].payload, cases[i].size, packed, sizeof(packed), &is_cut);
        struct mr_reader r = mr_reader(packed, size);

        CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
        CU_ASSERT_EQUAL(f.type, MR_FRAME_PING);
        CU_ASSERT_TRUE_FATAL(mr_trace_frame_next(&r, &f));
        CU_ASSERT_EQUAL(f.tail, MR_TAIL_UNREADABLE);
        CU_ASSERT_EQUAL(f.type, cases[i].type);
        CU_ASSERT_EQUAL(f.size, cases[i].left);
        CU_ASSERT_FALSE(mr_trace_frame_next(&r, &f));
    }
}

static void what_does_not_fit_is_cut_between_frames(void)
{
    static const char payload[] = "\x10\x01\x10\x02\x10\x03\x10\x04";
    uint8_t packed[16];
    bool is_cut;

    for (size_t room = 0; room <= 8; room++) {
        CU_ASSERT_EQUAL(pack(BYTES(payload), packed, room, &is_cut), room / 2 * 2);
        CU_ASSERT_EQUAL(is_cut, room < 8);
    }
}

static CU_TestInfo tests[] = {
    {"a rule chooses by address and by number", a_rule_chooses_by_address_and_by_number},
    {"no more are traced than there are places", no_more_are_traced_than_there_are_places},
    {"records come out as they went in", records_come_out_as_they_went_in},
    {"a full ring drops records, counts them, and still ends traces",
     a_full_ring_drops_records_counts_them_and_still_ends_traces},
    {"data is left out and padding counted", data_is_left_out_and_padding_counted},
    {"frames of extensions are kept", frames_of_extensions_are_kept},
    {"a reset token is left out", a_reset_token_is_left_out},
    {"what cannot be read is the last", what_cannot_be_read_is_the_last},
    {"what does not fit is cut between frames", what_does_not_fit_is_cut_between_frames},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/trace", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
