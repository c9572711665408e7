/*
 * fuzz/fuzz_trace.c - property test of quic/trace_frames.h and control/qlog_event.h.
 *
 * The input is taken three times: as the payload of a packet, as packed frames, and as what a peer
 * decides of a record's body: frames, transport parameters, names, reasons.  Properties:
 *   1. packing writes no more than its room, and reads nothing beyond the payload;
 *   2. what was packed is read back to its last byte, and ends;
 *   3. of a payload that was cut off nothing is packed but what the whole payload began with;
 *   4. any bytes can be read as packed frames: reading ends, and what is borrowed lies inside;
 *   5. any such record, those of HTTP/3 with every kind of frame among them, and any that is too
 * short, gives at most MR_QLOG_EVENTS_MAX events, each JSON that can be parsed again.
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/qlog_event.h"
#include "millrace/trace.h"
#include "quic/packet.h"
#include "quic/trace_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ROOM = 2048
};

/* A copy that ends where its memory does, so that a sanitizer sees a read beyond it. */
static uint8_t *exact(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    MR_ASSERT(copy != NULL);
    if (size > 0)
        memcpy(copy + 1, data, size);
    return copy;
}

/* Properties 2 and 4.  Returns how many frames there are. */
static uint32_t read_packed(const uint8_t *packed, size_t size, bool is_whole)
{
    struct mr_reader r = mr_reader(packed, size);
    struct mr_trace_frame frame;
    uint32_t count = 0;

    while (mr_trace_frame_next(&r, &frame)) {
        MR_ASSERT(++count <= size);
        MR_ASSERT(frame.bytes == NULL || (frame.bytes >= packed && frame.bytes <= packed + size &&
                                          frame.size <= (size_t)(packed + size - frame.bytes)));
    }
    MR_ASSERT(!is_whole || (mr_reader_left(&r) == 0 && !r.failed));
    return count;
}

static void pack(const uint8_t *payload, size_t size)
{
    uint8_t packed[ROOM];
    uint8_t cut[ROOM];
    bool is_cut;
    size_t whole = mr_trace_frames_pack(packed, sizeof(packed), payload, size, &is_cut);

    MR_ASSERT(whole <= sizeof(packed));
    read_packed(packed, whole, true);
    for (size_t room = 0; room < whole && room < 40; room++) {
        size_t some = mr_trace_frames_pack(cut, room, payload, size, &is_cut);
        MR_ASSERT(some <= room && is_cut);
        MR_ASSERT(memcmp(cut, packed, some) == 0);
        read_packed(cut, some, true);
    }
}

/* Property 5. */
static void tell(enum mr_trace_kind kind, const uint8_t *body, size_t size)
{
    struct mr_trace_head head = {.kind = (uint16_t)kind, .size = (uint16_t)size};
    struct mr_qlog_event events[MR_QLOG_EVENTS_MAX];
    uint32_t count = mr_qlog_events(&head, body, events);

    MR_ASSERT(count <= MR_QLOG_EVENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const char *text = json_object_to_json_string(events[i].data);
        struct json_object *again = json_tokener_parse(text);

        MR_ASSERT(again != NULL && events[i].name != NULL && events[i].category != NULL);
        json_object_put(again);
        json_object_put(events[i].data);
    }
}

/* A record that begins with a struct of ours and goes on with the peer's bytes. */
static void tell_behind(enum mr_trace_kind kind, const void *head, size_t head_size,
                        const uint8_t *bytes, size_t size)
{
    uint8_t *body = malloc(head_size + size);

    MR_ASSERT(body != NULL);
    memcpy(body, head, head_size);
    memcpy(body + head_size, bytes, size);
    tell(kind, body, head_size + size);
    free(body);
}

/* What HTTP/3 tells of a peer: the type, the ID and the payload of a frame. */
static void tell_http3(const uint8_t *bytes, size_t size)
{
    static const uint64_t types[] = {0, 1, 3, 4, 7, 13, 0xf0700, 0xf0701, 64};
    struct mr_trace_http3 record = {.kind = MR_TRACE_HTTP3_FRAME, .size = size};

    for (size_t i = 0; i < MR_COUNT_OF(types); i++) {
        record.type = types[i];
        tell_behind(MR_TRACE_HTTP3, &record, sizeof(record), bytes, size);
    }
    for (int kind = 0; kind <= MR_TRACE_HTTP3_KINDS; kind++) {
        record.kind = (uint8_t)kind;
        record.type = size;
        tell_behind(MR_TRACE_HTTP3, &record, sizeof(record), bytes, size);
    }
}

static void tell_all(const uint8_t *bytes, size_t size)
{
    static const uint8_t zeros[16];
    struct mr_trace_packet packet = {.type = (uint8_t)(size % MR_PACKET_TYPES), .is_cut = true};
    struct mr_trace_parameters parameters = {.is_peers = true};
    struct mr_trace_closed closed = {.error = size << (size & 63), .is_app = (size & 1) != 0};

    tell_behind(MR_TRACE_SENT, &packet, sizeof(packet), bytes, size);
    tell_behind(MR_TRACE_RECEIVED, &packet, sizeof(packet), bytes, size);
    tell_behind(MR_TRACE_PARAMETERS, &parameters, sizeof(parameters), bytes, size);
    tell_behind(MR_TRACE_CLOSED, &closed, sizeof(closed), bytes, size);
    tell_http3(bytes, size);
    tell(MR_TRACE_ALPN, bytes, size);
    for (int kind = 0; kind <= MR_TRACE_KINDS; kind++)
        tell((enum mr_trace_kind)kind, zeros, size % sizeof(zeros));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t taken = MR_MIN(size, (size_t)ROOM);
    uint8_t *copy = exact(data, taken);

    pack(copy + 1, taken);
    read_packed(copy + 1, taken, false);
    tell_all(copy + 1, taken);
    free(copy);
    return 0;
}
