/*
 * quic/conn_reset_at.h - RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset): a stream ends
 * with an error behind bytes that are delivered all the same.
 *
 *     sending    reset_at(reliable)   the queue is cut: what was never sent above `reliable` is
 *                                     forgotten, what is lost above it not repeated
 *                next_offset there    RESET_STREAM_AT is owed; its Final Size is next_offset, which
 *                                     flow control has allowed, and which nothing changes any more
 *                both acknowledged    DATA_RECVD
 *     receiving  RESET_STREAM_AT      SIZE_KNOWN; no more than `reliable` bytes are shown, no end
 *                released up there    as if RESET_STREAM had come: MR_EVENT_RESET
 *
 * Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_RESET_AT_H
#define MR_QUIC_CONN_RESET_AT_H

#include "quic/conn.h"

bool mr_on_reset_stream_at(struct mr_rx *rx, struct mr_reader *r, uint64_t type);

/* A reset of either kind states these: flow control, one final size, one error code.  False: the
 * connection failed. */
bool mr_stream_note_reset(struct mr_rx *rx, struct mr_stream *stream, uint64_t final_size,
                          uint64_t error, uint64_t type);

/* The peer's reset counts now: what was not shown is dropped, the application is told. */
void mr_stream_take_reset(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream);

/* With has_reliable_in: some was released, or the bound fell. */
void mr_stream_reset_if_read(struct mr_endpoint *ep, struct mr_conn *conn,
                             struct mr_stream *stream);

/* With has_reliable_out: data was sent; perhaps RESET_STREAM_AT is owed now. */
void mr_stream_owe_reset_at(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream);

/* A RESET_STREAM_AT with this Reliable Size was acknowledged; or lost: true if it is still needed.
 */
void mr_stream_reset_at_acked(struct mr_endpoint *ep, struct mr_stream *stream, uint64_t reliable);
bool mr_stream_reset_at_lost(const struct mr_stream *stream, uint64_t reliable);

/* All that was promised is acknowledged: "Data Recvd" of RFC 9000, Section 3.1. */
static inline bool mr_stream_is_all_acked(const struct mr_stream *stream)
{
    return mr_send_queue_is_all_acked(&stream->send) ||
           (stream->is_reset_at_acked && stream->send.acked_to >= stream->reliable_out);
}

#endif /* MR_QUIC_CONN_RESET_AT_H */
