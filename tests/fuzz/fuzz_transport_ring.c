/*
 * tests/fuzz/fuzz_transport_ring.c - a datapath that says anything, against app/transport_ring.h.
 *
 * The input is a program: completions that are nearly right (names of few objects, words that were
 * submitted, kinds at random) or garbage, and operations of an application that asks for
 * everything. Submissions are taken, and their words remembered.  Properties:
 *   1. the transport survives (assertions, ASan, UBSan), and its invariants hold after each step;
 *   2. CLOSED is the last event of an object, and comes once;
 *   3. when the ring is gone, every object gets its CLOSED, and none is left.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "app/attach_internal.h"
#include "app/transport_ring.h"
#include "base/assert.h"
#include "base/compiler.h"

enum {
    STEP = 8,
    HANDLES_MAX = 256,
    WORDS = 16
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mr_ring_sizes sizes = {.submit_count = 16,
                                           .complete_count = 16,
                                           .slot_size = 64,
                                           .slot_count = 8,
                                           .send_bytes = 16384,
                                           .alias_count = 8,
                                           .sends_max = 4,
                                           .objects_max = 8};

static struct {
    uint8_t *memory;
    struct mr_ring_region region;
    struct mr_inbox submissions;
    struct mr_outbox completions;
    struct mr_attachment *attachment;
    struct mr_ring_transport *rt;
    struct mr_transport *t;
    struct mr_sqe last[WORDS]; /* submissions to answer */
    uint32_t last_count;
    bool is_slot_out[8];            /* who gives one twice is soon found out: seldom */
    uint32_t polls;                 /* while it lived */
    mr_handle handles[HANDLES_MAX]; /* what the application was told of and not told the end of */
    uint32_t handle_count;
    uint64_t now;
} f;

static const uint8_t bytes[3000];

/* ------------------------------------------------------------------ the application */

static void know(mr_handle handle)
{
    for (uint32_t i = 0; i < f.handle_count; i++)
        if (f.handles[i] == handle)
            return;
    MR_ASSERT(f.handle_count < HANDLES_MAX);
    f.handles[f.handle_count++] = handle;
}

static void forget(mr_handle handle)
{
    for (uint32_t i = 0; i < f.handle_count; i++)
        if (f.handles[i] == handle) {
            f.handles[i] = f.handles[--f.handle_count];
            return;
        }
    MR_ASSERT(false); /* the end of something that was told of, once */
}

static void on_start(void *context, struct mr_transport *transport)
{
    (void)context;
    f.t = transport;
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        mr_handle handle = events[i].stream != 0 ? events[i].stream : events[i].conn;
        struct mr_view views[2];
        bool fin;

        if (handle == MR_HANDLE_NONE)
            continue;
        know(handle);
        if ((events[i].kinds & MR_EVENT_READABLE) != 0 && events[i].user_data % 2 == 0 &&
            f.t->ops->receive(f.t, handle, views, 2, &fin) > 0)
            MR_ASSERT(f.t->ops->release(f.t, handle, views[0].size) == 0);
        if ((events[i].kinds & MR_EVENT_CLOSED) != 0)
            forget(handle);
    }
}

static void operate(const uint8_t *step)
{
    mr_handle handle = f.handle_count == 0 ? 0 : f.handles[step[2] % f.handle_count];
    struct mr_view views[2] = {{bytes, step[3] * 11u}, {bytes, step[4]}};
    struct mr_connect_options options = {.server_name = "a", .alpn = bytes, .alpn_size = 3};
    struct mr_conn_info info;
    uint8_t room[128];
    mr_handle out;
    bool fin;

    switch (step[1] % 12) {
    case 0:
        if (f.handle_count < HANDLES_MAX && f.t->ops->connect(f.t, &options, &out) == 0)
            know(out);
        break;
    case 1:
    case 2:
        if (f.handle_count < HANDLES_MAX &&
            f.t->ops->open(f.t, handle, step[3] & 1, step[4], &out) == 0)
            know(out);
        break;
    case 3:
    case 4:
    case 5:
        (void)f.t->ops->send(f.t, handle, views, 2, step[5] & 7);
        break;
    case 6:
        (void)f.t->ops->reset(f.t, handle, step[3]);
        break;
    case 7:
        (void)f.t->ops->stop(f.t, handle, step[3]);
        break;
    case 8:
        (void)f.t->ops->close(f.t, handle, step[3], step[4] & 1 ? "because" : NULL);
        break;
    case 9:
        if (f.t->ops->receive(f.t, handle, views, 2, &fin) >= 0)
            (void)f.t->ops->release(f.t, handle, step[3]);
        break;
    case 10:
        (void)f.t->ops->send_datagram(f.t, handle, views, 1);
        (void)f.t->ops->receive_datagram(f.t, handle, room, sizeof(room));
        break;
    default:
        (void)f.t->ops->conn_info(f.t, handle, &info);
        (void)f.t->ops->ticket(f.t, handle, room, sizeof(room));
        break;
    }
}

/* ------------------------------------------------------------------ the datapath */

static void take_submissions(uint32_t count)
{
    struct mr_sqe sqe;

    while (count-- > 0 && mr_inbox_take(&f.submissions, &sqe)) {
        if (sqe.op == MR_OP_RELEASE)
            f.is_slot_out[(sqe.address - f.region.receive_at) / 64 % 8] = false;
        else
            f.last[f.last_count++ % WORDS] = sqe;
    }
    mr_inbox_done(&f.submissions);
}

static void choose_slot(struct mr_cqe *cqe, const uint8_t *step)
{
    uint32_t slot = step[6] % 8;

    cqe->address = f.region.receive_at + slot * 64;
    if (f.is_slot_out[slot] && step[7] != 0)
        cqe->type = MR_CQE_EVENT;
    else
        f.is_slot_out[slot] = true;
}

/* A connection leaves, or stays after all, or would come: from this ring, there is no other. */
static void choose_move(struct mr_cqe *cqe, const uint8_t *step)
{
    static const uint32_t kinds[] = {MR_EVENT_MOVED, MR_EVENT_MOVED_IN,
                                     MR_EVENT_MOVED_IN | MR_EVENT_STREAM_OPENED,
                                     MR_EVENT_MOVED | MR_EVENT_CONNECTED};

    cqe->kinds = kinds[step[2] / 16 % 4];
    cqe->address = 0;
    cqe->value = cqe->stream == 0 ? 1 + step[7] % 4 : 5 + step[7] % 11; /* its name before */
}

/* Answers, events and data; names 1 .. 4 are connections, 5 .. 15 streams. */
static void complete(const uint8_t *step)
{
    static const uint32_t likely[] = {
        MR_EVENT_CONNECTED, MR_EVENT_STREAM_OPENED, MR_EVENT_ACKED,           MR_EVENT_RESET,
        MR_EVENT_CLOSED,    MR_EVENT_STOPPED,       MR_EVENT_STREAMS_ALLOWED, MR_EVENT_TICKET};
    struct mr_cqe *cqe = mr_outbox_next(&f.completions);
    const struct mr_sqe *asked = &f.last[step[2] % WORDS];

    if (cqe == NULL)
        return;
    *cqe = (struct mr_cqe){.type = step[1] % 4,
                           .op = asked->op,
                           .flags = step[3] & 15,
                           .result = (step[3] & 16) != 0 ? -(step[4] % 130) : 0,
                           .user_data = asked->user_data,
                           .conn = 1 + step[4] % 4,
                           .stream = (step[4] & 64) != 0 ? 5 + step[5] % 11 : 0,
                           .address = 1 + step[6] % 8,
                           .size = 1 + step[7] % 64,
                           .kinds = likely[step[6] % 8] | likely[step[7] % 8],
                           .value = step[7],
                           .acked_to = (uint64_t)step[3] * step[7]};
    if (cqe->type == MR_CQE_EVENT && step[2] >= 192)
        choose_move(cqe, step);
    if (cqe->type == MR_CQE_DONE && cqe->op == MR_OP_OPEN)
        cqe->stream = 5 + step[5] % 11;
    if (cqe->type == MR_CQE_DATA || cqe->type == MR_CQE_DATAGRAM)
        choose_slot(cqe, step);
    if (step[1] == 255 && step[3] < 64)
        memcpy((uint8_t *)cqe + step[2] % 57, step + 1, 7);
    mr_outbox_publish(&f.completions);
}

/* ------------------------------------------------------------------ all */

static uint64_t read_clock(void *context)
{
    (void)context;
    return f.now += 1000;
}

static void start(void)
{
    static const struct mr_application app = {
        .name = "anything", .on_start = on_start, .on_events = on_events};
    struct mr_ring_transport_config config = mr_ring_transport_config_default();
    uint64_t size = mr_ring_region_size(&sizes);
    struct mr_attach_region region;
    struct mr_attach_parts parts = {
        .regions = &region, .region_count = 1, .wake_fd = -1, .control_fd = -1};
    struct mr_fault fault;

    memset(&f, 0, sizeof(f));
    f.memory = aligned_alloc(4096, size);
    MR_ASSERT(f.memory != NULL);
    memset(f.memory, 0, size);
    mr_ring_region_make(&f.region, f.memory, &sizes, 0);
    struct mr_mailbox submissions = mr_ring_submissions(&f.region);
    struct mr_mailbox completions = mr_ring_completions(&f.region);
    mr_inbox_init(&f.submissions, &submissions);
    mr_outbox_init(&f.completions, &completions);
    region = (struct mr_attach_region){.memory = f.memory, .size = size};
    MR_ASSERT(mr_attachment_from_memory(&parts, &f.attachment, &fault) == 0);
    config.segments_max = 32;
    config.queue_bytes = 4096;
    config.clock = read_clock;
    f.rt = mr_ring_transport_new(f.attachment, &config, &app);
    MR_ASSERT(f.rt != NULL);
}

static void finish(void)
{
    atomic_store(f.region.is_gone, 1);
    for (int i = 0; i < 100; i++)
        mr_ring_transport_poll(f.rt);
    mr_ring_transport_check(f.rt);
    MR_ASSERT(mr_ring_transport_objects(f.rt) == 0);
    MR_ASSERT(f.handle_count == 0);
    mr_ring_transport_free(f.rt);
    mr_detach(f.attachment);
    free(f.memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    for (size_t at = 0; at + STEP <= size; at += STEP) {
        const uint8_t *step = data + at;

        switch (step[0] % 4) {
        case 0:
            operate(step);
            break;
        case 1:
            take_submissions(step[1] % 8);
            break;
        default:
            complete(step);
            break;
        }
        if (step[0] % 3 == 0)
            mr_ring_transport_poll(f.rt);
        f.polls += mr_ring_transport_is_alive(f.rt);
        mr_ring_transport_check(f.rt);
    }
    finish();
    return 0;
}
