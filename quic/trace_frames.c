/* quic/trace_frames.c - see trace_frames.h. */
#include "quic/trace_frames.h"

#include "base/compiler.h"
#include "quic/frame_extension.h"
#include "quic/frame_multipath.h"
#include "quic/wire.h"

/* The fields of a frame, from its first byte on. */
struct layout {
    uint8_t fields; /* varints */
    uint8_t tail;   /* enum mr_trace_tail */
    bool is_known;
};

/* clang-format off */
static const struct layout layouts[] = {
    [MR_FRAME_PADDING]              = {0, MR_TAIL_COUNT,  true},
    [MR_FRAME_PING]                 = {0, MR_TAIL_NONE,   true},
    [MR_FRAME_ACK]                  = {4, MR_TAIL_RANGES, true},
    [MR_FRAME_ACK_ECN]              = {4, MR_TAIL_RANGES, true},
    [MR_FRAME_RESET_STREAM]         = {3, MR_TAIL_NONE,   true},
    [MR_FRAME_STOP_SENDING]         = {2, MR_TAIL_NONE,   true},
    [MR_FRAME_CRYPTO]               = {2, MR_TAIL_SIZE,   true},
    [MR_FRAME_NEW_TOKEN]            = {1, MR_TAIL_SIZE,   true},
    [MR_FRAME_STREAM]               = {3, MR_TAIL_SIZE,   true},
    [MR_FRAME_STREAM + 1]           = {3, MR_TAIL_SIZE,   true},
    [MR_FRAME_MAX_DATA]             = {1, MR_TAIL_NONE,   true},
    [MR_FRAME_MAX_STREAM_DATA]      = {2, MR_TAIL_NONE,   true},
    [MR_FRAME_MAX_STREAMS_BIDI]     = {1, MR_TAIL_NONE,   true},
    [MR_FRAME_MAX_STREAMS_UNI]      = {1, MR_TAIL_NONE,   true},
    [MR_FRAME_DATA_BLOCKED]         = {1, MR_TAIL_NONE,   true},
    [MR_FRAME_STREAM_DATA_BLOCKED]  = {2, MR_TAIL_NONE,   true},
    [MR_FRAME_STREAMS_BLOCKED_BIDI] = {1, MR_TAIL_NONE,   true},
    [MR_FRAME_STREAMS_BLOCKED_UNI]  = {1, MR_TAIL_NONE,   true},
    [MR_FRAME_NEW_CONNECTION_ID]    = {2, MR_TAIL_CID,    true},
    [MR_FRAME_RETIRE_CONNECTION_ID] = {1, MR_TAIL_NONE,   true},
    [MR_FRAME_PATH_CHALLENGE]       = {0, MR_TAIL_PATH,   true},
    [MR_FRAME_PATH_RESPONSE]        = {0, MR_TAIL_PATH,   true},
    [MR_FRAME_CONNECTION_CLOSE]     = {3, MR_TAIL_TEXT,   true},
    [MR_FRAME_CONNECTION_CLOSE_APP] = {2, MR_TAIL_TEXT,   true},
    [MR_FRAME_HANDSHAKE_DONE]       = {0, MR_TAIL_NONE,   true},
    [MR_FRAME_DATAGRAM]             = {1, MR_TAIL_SIZE,   true},
    [MR_FRAME_IMMEDIATE_ACK]        = {0, MR_TAIL_NONE,   true},
    [MR_FRAME_RESET_STREAM_AT]      = {4, MR_TAIL_NONE,   true},
    [MR_FRAME_PATH_ACK]             = {5, MR_TAIL_RANGES, true},
    [MR_FRAME_PATH_ACK_ECN]         = {5, MR_TAIL_RANGES, true},
    [MR_FRAME_ACK_FREQUENCY]        = {4, MR_TAIL_NONE,   true},
};
/* clang-format on */

/* Those of draft-ietf-quic-multipath beyond the table, from MR_FRAME_PATH_ABANDON on. */
static const struct layout path_layouts[] = {
    {2, MR_TAIL_NONE, true}, /* PATH_ABANDON */
    {2, MR_TAIL_NONE, true}, /* PATH_STATUS_BACKUP */
    {2, MR_TAIL_NONE, true}, /* PATH_STATUS_AVAILABLE */
    {3, MR_TAIL_CID, true},  /* PATH_NEW_CONNECTION_ID */
    {2, MR_TAIL_NONE, true}, /* PATH_RETIRE_CONNECTION_ID */
    {1, MR_TAIL_NONE, true}, /* MAX_PATH_ID */
    {1, MR_TAIL_NONE, true}, /* PATHS_BLOCKED */
    {2, MR_TAIL_NONE, true}, /* PATH_CIDS_BLOCKED */
};

/* Types that differ in their layout on the wire only are one when packed. */
static uint64_t packed_type(uint64_t type)
{
    if (mr_frame_type_is_stream(type))
        return MR_FRAME_STREAM | (type & MR_STREAM_FIN);
    return type == MR_FRAME_DATAGRAM_LEN ? (uint64_t)MR_FRAME_DATAGRAM : type;
}

static const struct layout *layout_of(uint64_t type)
{
    static const struct layout unknown = {.is_known = false};
    static const struct layout observed = {1, MR_TAIL_ADDRESS, true};

    if (type == MR_FRAME_OBSERVED_ADDRESS_4 || type == MR_FRAME_OBSERVED_ADDRESS_6)
        return &observed;
    if (type - MR_FRAME_PATH_ABANDON < MR_COUNT_OF(path_layouts))
        return &path_layouts[type - MR_FRAME_PATH_ABANDON];
    return type < MR_COUNT_OF(layouts) && layouts[type].is_known ? &layouts[type] : &unknown;
}

/* ------------------------------------------------------------------ reading */

/* Step over what an ACK has behind its first fields. */
static void skip_ranges(struct mr_reader *r, const struct mr_trace_frame *frame)
{
    for (uint64_t i = 0; i < frame->field[frame->field_count - 2] && !r->failed; i++) {
        (void)mr_read_varint(r);
        (void)mr_read_varint(r);
    }
    if (frame->type == MR_FRAME_ACK_ECN || frame->type == MR_FRAME_PATH_ACK_ECN) {
        for (int i = 0; i < 3; i++)
            (void)mr_read_varint(r);
    }
}

static void read_tail(struct mr_reader *r, struct mr_trace_frame *f, const uint8_t *start)
{
    switch ((enum mr_trace_tail)f->tail) {
    case MR_TAIL_NONE:
        return;
    case MR_TAIL_UNREADABLE:
    case MR_TAIL_COUNT:
        f->size = mr_read_varint(r);
        return;
    case MR_TAIL_SIZE:
        f->size = f->field[f->field_count - 1];
        return;
    case MR_TAIL_CID:
        f->size = mr_read_u8(r);
        f->bytes = mr_read_bytes(r, f->size);
        return;
    case MR_TAIL_PATH:
        f->size = MR_PATH_DATA;
        f->bytes = mr_read_bytes(r, f->size);
        return;
    case MR_TAIL_ADDRESS:
        f->size = (f->type == MR_FRAME_OBSERVED_ADDRESS_4 ? 4 : 16) + 2;
        f->bytes = mr_read_bytes(r, f->size);
        return;
    case MR_TAIL_TEXT:
        f->size = f->field[f->field_count - 1];
        f->bytes = mr_read_bytes(r, f->size);
        return;
    case MR_TAIL_RANGES:
        skip_ranges(r, f);
        f->bytes = start;
        f->size = (uint64_t)(r->at - start);
        return;
    }
}

bool mr_trace_frame_next(struct mr_reader *r, struct mr_trace_frame *out)
{
    const uint8_t *start = r->at;

    *out = (struct mr_trace_frame){.type = 0};
    if (mr_reader_left(r) == 0)
        return false;
    out->type = mr_read_varint(r);
    bool is_unreadable = out->type == MR_VARINT_MAX;
    if (is_unreadable)
        out->type = mr_read_varint(r);
    const struct layout *layout = layout_of(out->type);
    if (is_unreadable || !layout->is_known) {
        out->tail = MR_TAIL_UNREADABLE;
        out->size = mr_read_varint(r);
        return !r->failed;
    }
    out->tail = layout->tail;
    out->field_count = layout->fields;
    for (uint32_t i = 0; i < layout->fields; i++)
        out->field[i] = mr_read_varint(r);
    read_tail(r, out, start);
    return !r->failed;
}

/* ------------------------------------------------------------------ packing */

/* The fields of a frame that is on the wire as it is packed, but for what it carries. */
static void copy_plain(struct mr_reader *r, struct mr_writer *w, const struct layout *layout,
                       uint64_t type, const uint8_t *start)
{
    struct mr_trace_frame f = {.type = type, .field_count = layout->fields, .tail = layout->tail};

    for (uint32_t i = 0; i < layout->fields; i++)
        f.field[i] = mr_read_varint(r);
    if (f.tail != MR_TAIL_SIZE) {
        read_tail(r, &f, start);
        mr_write_bytes(w, start, (size_t)(r->at - start));
        if (f.tail == MR_TAIL_CID)
            (void)mr_read_bytes(r, MR_RESET_TOKEN);
        return;
    }
    mr_write_bytes(w, start, (size_t)(r->at - start));
    (void)mr_read_bytes(r, f.field[layout->fields - 1]);
}

static void copy_stream(struct mr_reader *r, struct mr_writer *w, uint64_t type)
{
    struct mr_frame_stream f;

    if (!mr_frame_decode_stream(r, type, &f)) {
        r->failed = true;
        return;
    }
    mr_write_varint(w, packed_type(type));
    mr_write_varint(w, f.stream_id);
    mr_write_varint(w, f.offset);
    mr_write_varint(w, f.size);
}

static void copy_datagram(struct mr_reader *r, struct mr_writer *w, uint64_t type)
{
    struct mr_frame_datagram f;

    if (!mr_frame_decode_datagram(r, type, &f)) {
        r->failed = true;
        return;
    }
    mr_write_varint(w, packed_type(type));
    mr_write_varint(w, f.size);
}

static void copy_padding(struct mr_reader *r, struct mr_writer *w)
{
    const uint8_t *start = r->at;

    mr_frame_skip_padding(r);
    mr_write_varint(w, MR_FRAME_PADDING);
    mr_write_varint(w, 1 + (uint64_t)(r->at - start));
}

static void copy_frame(struct mr_reader *r, struct mr_writer *w)
{
    const uint8_t *start = r->at;
    uint64_t type = mr_read_varint(r);

    if (r->failed)
        return;
    const struct layout *layout = layout_of(packed_type(type));
    if (mr_frame_type_is_stream(type))
        copy_stream(r, w, type);
    else if (packed_type(type) == MR_FRAME_DATAGRAM)
        copy_datagram(r, w, type);
    else if (type == MR_FRAME_PADDING)
        copy_padding(r, w);
    else if (layout->is_known)
        copy_plain(r, w, layout, type, start);
    else
        r->failed = true;
}

/* The rest of the packet, of which no frame can be made: its type, if that is there. */
static void copy_unreadable(struct mr_reader *r, struct mr_writer *w)
{
    uint64_t left = mr_reader_left(r);

    mr_write_varint(w, MR_VARINT_MAX);
    mr_write_varint(w, mr_read_varint(r));
    mr_write_varint(w, left);
}

size_t mr_trace_frames_pack(uint8_t *dst, size_t room, const uint8_t *payload, size_t size,
                            bool *is_cut_out)
{
    struct mr_reader r = mr_reader(payload, size);
    struct mr_writer w = mr_writer(dst, room);

    *is_cut_out = false;
    while (mr_reader_left(&r) > 0) {
        struct mr_reader here = r;
        struct mr_writer before = w;

        copy_frame(&r, &w);
        if (r.failed) {
            w = before;
            copy_unreadable(&here, &w);
        }
        if (w.failed) {
            w = before;
            *is_cut_out = true;
            break;
        }
        if (r.failed)
            break;
    }
    return mr_writer_size(&w);
}
