/*
 * quic/stream_record.h - the data of a stream's two queues in a connection's record.
 *
 *     sending    segments: application memory by its address, copied data with its bytes
 *                ranges that are acknowledged above the watermark
 *     receiving  extents that have arrived and were not released, with their bytes
 *
 * The fixed part of a queue (offsets, flags) travels with its struct mr_stream.  What was sent and
 * is not acknowledged counts as lost at the new place, so that no record of packets is needed.
 *
 * Writing changes nothing.  Reading takes nodes, chunks and blocks of the pools; when one is short
 * it answers false, and the queue is to be reset, which gives back what it took.
 *
 * Owner: the caller.  Threads: that of the pools.
 */
#ifndef MR_QUIC_STREAM_RECORD_H
#define MR_QUIC_STREAM_RECORD_H

#include "quic/record.h"
#include "quic/recv_queue.h"
#include "quic/send_queue.h"

/* Append what `q` holds.  O(segments, ranges and pieces, and bytes copied). */
void mr_stream_record_write_send(struct mr_record_writer *w, const struct mr_send_queue *q,
                                 const struct mr_send_pools *pools);
void mr_stream_record_write_recv(struct mr_record_writer *w, const struct mr_recv_queue *q,
                                 const struct mr_recv_pools *pools);

/* Fill the new queue `q` with the fixed part of `saved` and what the record has.  False: a pool is
 * short, or the record is cut off. */
bool mr_stream_record_read_send(struct mr_record_reader *r, struct mr_send_queue *q,
                                const struct mr_send_pools *pools,
                                const struct mr_send_queue *saved);
bool mr_stream_record_read_recv(struct mr_record_reader *r, struct mr_recv_queue *q,
                                struct mr_recv_pools *pools, struct mr_buf_list *released,
                                const struct mr_recv_queue *saved);

#endif /* MR_QUIC_STREAM_RECORD_H */
