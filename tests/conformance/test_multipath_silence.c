/*
 * tests/conformance/test_multipath_silence.c - draft-ietf-quic-multipath, "PTO Expiration":
 * "Endpoints could take advantage of the multipath extension, and retransmit the content of the
 * delayed packets on other available paths if the congestion control window on these paths allows."
 *
 * A server sends, and the peer reads what comes by path 1.
 */
#include <string.h>

#include "tests/support/peer_paths.h"

#define DATA_SIZE   30000
#define STEP_NS     (5 * MR_MS)
#define STEPS       40
#define LONG_SILENT 4 /* probe timeouts in a row: the next one is farther away than all steps */

_Static_assert(LONG_SILENT > MR_PATH_LOST_PTOS && LONG_SILENT < MR_PATH_DEAD_PTOS, "silent, open");

struct reader {
    uint64_t stream; /* that is read */
    uint64_t pn;     /* of path 1, that we have sent */
    uint64_t number; /* of bytes that came by it, each as often as it did */
    bool has[DATA_SIZE];
};

static struct reader reader;

/* `size` bytes of a new stream, which is the one that is read. */
static void send_data(struct peer *p, uint32_t size)
{
    static const uint8_t data[DATA_SIZE];
    struct mr_view view = {.data = data, .size = size};
    mr_handle stream;

    CU_ASSERT_EQUAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream), 0);
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, 0), 0);
    reader.stream = mr_stream_id(peer_endpoint(p), stream);
    reader.number = 0;
    memset(reader.has, false, sizeof(reader.has));
    peer_drain(p);
}

static void read_path_1(struct peer *p)
{
    const struct peer_packet *packet;
    struct mr_frame_stream frame;
    struct mr_reader r;

    for (uint32_t i = 0; (packet = peer_find(p, MR_FRAME_STREAM, i, &r)) != NULL; i++) {
        CU_ASSERT(mr_frame_decode_stream(&r, r.at[-1], &frame)); /* the type is one byte */
        if (packet->path_id != 1 || frame.stream_id != reader.stream)
            continue;
        reader.number += frame.size;
        memset(&reader.has[frame.offset], true, frame.size);
    }
    peer_clear(p);
}

/* All that came by path 1 so far. */
static void acknowledge_path_1(struct peer *p)
{
    uint8_t frame[32];
    struct mr_writer w = mr_writer(frame, sizeof(frame));
    struct mr_ack_range range = {.lo = 0, .hi = p->expected_path_pn[1] - 1};

    mr_frame_write_path_ack(&w, 1, &range, 1, 0, NULL);
    peer_send_by(p, 1, ++reader.pn, frame, mr_writer_size(&w));
}

static uint32_t ptos_of_path_0(struct peer *p)
{
    return peer_conn(p)->loss.pto_count;
}

/* Path 1 alone answers: does what has not come by it yet do so soon, and once? */
static void expect_all_by_path_1(struct peer *p)
{
    uint32_t before = ptos_of_path_0(p);
    uint64_t missing = 0;

    read_path_1(p);
    reader.number = 0;
    for (uint32_t i = 0; i < DATA_SIZE; i++)
        missing += !reader.has[i];
    CU_ASSERT(missing > 0);
    for (int i = 0; i < STEPS; i++) {
        acknowledge_path_1(p);
        peer_advance(p, STEP_NS);
        read_path_1(p);
    }
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->loss.pto_count, 0);
    CU_ASSERT_EQUAL(ptos_of_path_0(p), before); /* its own probes had no part in it */
    CU_ASSERT_PTR_NULL(memchr(reader.has, false, sizeof(reader.has)));
    CU_ASSERT_EQUAL(reader.number, missing);
}

/* Path 1 is a backup, path 0 has had data, and a window that has grown, and is silent now. */
static struct peer *server_with_a_silent_path(void)
{
    struct peer *p = peer_server_with_path();

    reader.pn = 1;
    peer_send_by(p, 1, ++reader.pn, "\x7e\x76\x01\x00", 4); /* PATH_STATUS_BACKUP */
    send_data(p, DATA_SIZE);
    for (int i = 0; i < STEPS; i++) {
        peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
        peer_advance(p, STEP_NS);
    }
    read_path_1(p);
    CU_ASSERT_EQUAL(reader.number, 0);
    CU_ASSERT_EQUAL(peer_conn(p)->path.cc.in_flight, 0);
    send_data(p, 1000);
    while (ptos_of_path_0(p) < MR_PATH_LOST_PTOS)
        peer_advance(p, STEP_NS);
    read_path_1(p);
    CU_ASSERT_EQUAL(reader.number, 1000);
    acknowledge_path_1(p);
    return p;
}

/* Both paths are silent when the second half of the data goes out, by the one that answers last. */
static void what_silent_paths_had_is_sent_by_the_first_that_answers(void)
{
    struct peer *p = server_with_a_silent_path();

    send_data(p, DATA_SIZE);
    while (ptos_of_path_0(p) < LONG_SILENT ||
           peer_path_record(p, 1)->loss.pto_count < MR_PATH_LOST_PTOS) {
        read_path_1(p);
        peer_advance(p, STEP_NS);
    }
    CU_ASSERT_EQUAL(peer_counters(p)->paths_silent, 2);
    CU_ASSERT_EQUAL(peer_counters(p)->paths_abandoned, 0);
    expect_all_by_path_1(p);
    peer_end(p);
}

/* By which path the peer was told that path 1 is available; UINT32_MAX: by none. */
static uint32_t path_of_status(const struct peer *p)
{
    struct mr_reader r;
    const struct peer_packet *packet = peer_find(p, MR_FRAME_PATH_STATUS_AVAILABLE, 0, &r);

    return packet == NULL ? UINT32_MAX : packet->path_id;
}

/* Frames of the connection go along with an ACK of the silent path, whose packets we do not see:
 * the window of the other is full. */
static void what_a_silent_path_told_is_told_by_the_one_that_answers(void)
{
    struct peer *p = server_with_a_silent_path();

    send_data(p, DATA_SIZE);
    peer_clear(p);
    CU_ASSERT_EQUAL(mr_conn_path_set_backup(peer_endpoint(p), p->conn, 1, false), 0);
    peer_drain(p);
    CU_ASSERT_EQUAL(path_of_status(p), UINT32_MAX);
    PEER_SEND(p, "\1");
    PEER_SEND(p, "\1");
    CU_ASSERT_EQUAL(path_of_status(p), 0);
    peer_clear(p);
    acknowledge_path_1(p);
    peer_advance(p, STEP_NS);
    CU_ASSERT_EQUAL(path_of_status(p), 1);
    peer_end(p);
}

/* The path that is silent was the only one when it became so. */
static void what_a_silent_path_had_is_sent_by_one_that_is_new(void)
{
    struct peer *p = peer_several(MR_SERVER, PEER_DONE);
    uint8_t padded[1150] = {MR_FRAME_PATH_CHALLENGE, 1, 2, 3, 4, 5, 6, 7, 8};

    send_data(p, DATA_SIZE);
    while (ptos_of_path_0(p) < LONG_SILENT) {
        peer_clear(p);
        peer_advance(p, STEP_NS);
    }
    peer_clear(p);
    peer_send_by(p, 1, 0, padded, sizeof(padded));
    CU_ASSERT(peer_answer_by(p, 1, 1));
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->life.state, MR_PATH_OPEN);
    reader.pn = 1;
    expect_all_by_path_1(p);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"what silent paths had is sent by the first that answers",
     what_silent_paths_had_is_sent_by_the_first_that_answers},
    {"what a silent path told is told by the one that answers",
     what_a_silent_path_told_is_told_by_the_one_that_answers},
    {"what a silent path had is sent by one that is new",
     what_a_silent_path_had_is_sent_by_one_that_is_new},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "draft-ietf-quic-multipath, silence", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
