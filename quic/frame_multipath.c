/*
 * quic/frame_multipath.c - see frame_multipath.h.
 */
#include "quic/frame_multipath.h"

/* How many integers a type has. */
static bool has_value(uint64_t type)
{
    return type != MR_FRAME_MAX_PATH_ID && type != MR_FRAME_PATHS_BLOCKED;
}

bool mr_frame_decode_path_value(struct mr_reader *r, uint64_t type, struct mr_frame_path_value *out)
{
    out->path = mr_read_varint(r);
    out->value = has_value(type) ? mr_read_varint(r) : 0;
    return !r->failed;
}

bool mr_frame_write_path_value(struct mr_writer *w, enum mr_frame_multipath_type type,
                               const struct mr_frame_path_value *frame)
{
    struct mr_writer before = *w;

    mr_write_varint(w, type);
    mr_write_varint(w, frame->path);
    if (has_value(type))
        mr_write_varint(w, frame->value);
    return mr_write_whole(w, before);
}

bool mr_frame_decode_path_ack(struct mr_reader *r, uint64_t type, uint64_t *path_out,
                              struct mr_frame_ack *out)
{
    *path_out = mr_read_varint(r);
    return mr_frame_decode_ack(r, type == MR_FRAME_PATH_ACK ? MR_FRAME_ACK : MR_FRAME_ACK_ECN, out);
}

uint32_t mr_frame_write_path_ack(struct mr_writer *w, uint64_t path,
                                 const struct mr_ack_range *ranges, uint32_t count, uint64_t delay,
                                 const struct mr_ecn_counts *ecn)
{
    struct mr_writer before = *w;

    mr_write_varint(w, ecn == NULL ? MR_FRAME_PATH_ACK : MR_FRAME_PATH_ACK_ECN);
    mr_write_varint(w, path);
    uint32_t written = mr_frame_write_ack_fields(w, ranges, count, delay, ecn);
    if (written == 0)
        *w = before;
    return written;
}

bool mr_frame_decode_path_new_connection_id(struct mr_reader *r, uint64_t type, uint64_t *path_out,
                                            struct mr_frame_new_connection_id *out)
{
    *path_out = mr_read_varint(r);
    return mr_frame_decode_new_connection_id(r, type, out);
}

bool mr_frame_write_path_new_connection_id(struct mr_writer *w, uint64_t path,
                                           const struct mr_frame_new_connection_id *frame)
{
    struct mr_writer before = *w;

    mr_write_varint(w, MR_FRAME_PATH_NEW_CONNECTION_ID);
    mr_write_varint(w, path);
    mr_frame_write_new_connection_id_fields(w, frame);
    return mr_write_whole(w, before);
}
