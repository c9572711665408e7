/*
 * quic/frame_multipath.h - frames of draft-ietf-quic-multipath: bytes to values and back, as in
 * quic/frame.h.
 *
 *     PATH_ACK                                      ACK of one path's packets
 *     PATH_ABANDON                                  the path is over
 *     PATH_STATUS_BACKUP, PATH_STATUS_AVAILABLE     how the sender likes the path to be used
 *     PATH_NEW_CONNECTION_ID, PATH_RETIRE_CONNECTION_ID
 *     MAX_PATH_ID, PATHS_BLOCKED, PATH_CIDS_BLOCKED
 *
 * All but PATH_ACK and PATH_NEW_CONNECTION_ID are one or two integers: struct mr_frame_path_value.
 * A decoder reads the fields after the type; false means FRAME_ENCODING_ERROR.  Whether a path ID
 * is allowed is the trunk's to say.  Pure functions, no state.
 */
#ifndef MR_QUIC_FRAME_MULTIPATH_H
#define MR_QUIC_FRAME_MULTIPATH_H

#include "quic/frame.h"

enum mr_frame_multipath_type {
    MR_FRAME_PATH_ACK = 0x3e,
    MR_FRAME_PATH_ACK_ECN = 0x3f,
    MR_FRAME_PATH_ABANDON = 0x3e75,
    MR_FRAME_PATH_STATUS_BACKUP = 0x3e76,
    MR_FRAME_PATH_STATUS_AVAILABLE = 0x3e77,
    MR_FRAME_PATH_NEW_CONNECTION_ID = 0x3e78,
    MR_FRAME_PATH_RETIRE_CONNECTION_ID = 0x3e79,
    MR_FRAME_MAX_PATH_ID = 0x3e7a,
    MR_FRAME_PATHS_BLOCKED = 0x3e7b,
    MR_FRAME_PATH_CIDS_BLOCKED = 0x3e7c,
};

#define MR_PATH_ID_MAX UINT64_C(0xffffffff) /* the nonce has 32 bits for it */
#define MR_FRAME_PATH_NEW_CONNECTION_ID_MAX                                                        \
    (4 + 3 * MR_VARINT_SIZE_MAX + 1 + MR_CID_MAX + MR_RESET_TOKEN) /* bytes */

/* A frame of integers. */
struct mr_frame_path_value {
    uint64_t path;  /* Path Identifier; MAX_PATH_ID and PATHS_BLOCKED: Maximum Path Identifier */
    uint64_t value; /* PATH_ABANDON: Error Code; PATH_STATUS_x: Path Status Sequence Number;
                       PATH_RETIRE_CONNECTION_ID: Sequence Number; PATH_CIDS_BLOCKED: Next Sequence
                       Number; else 0 */
};

/* Decode any of them but PATH_ACK and PATH_NEW_CONNECTION_ID. */
bool mr_frame_decode_path_value(struct mr_reader *r, uint64_t type,
                                struct mr_frame_path_value *out);
bool mr_frame_write_path_value(struct mr_writer *w, enum mr_frame_multipath_type type,
                               const struct mr_frame_path_value *frame);

/* The path's ID, and the rest as of an ACK. */
bool mr_frame_decode_path_ack(struct mr_reader *r, uint64_t type, uint64_t *path_out,
                              struct mr_frame_ack *out);

/* As mr_frame_write_ack(). */
uint32_t mr_frame_write_path_ack(struct mr_writer *w, uint64_t path,
                                 const struct mr_ack_range *ranges, uint32_t count, uint64_t delay,
                                 const struct mr_ecn_counts *ecn);

/* The path's ID, and the rest as of a NEW_CONNECTION_ID. */
bool mr_frame_decode_path_new_connection_id(struct mr_reader *r, uint64_t type, uint64_t *path_out,
                                            struct mr_frame_new_connection_id *out);
bool mr_frame_write_path_new_connection_id(struct mr_writer *w, uint64_t path,
                                           const struct mr_frame_new_connection_id *frame);

#endif /* MR_QUIC_FRAME_MULTIPATH_H */
