/*
 * quic/datagram_record.h - a queue of datagrams in a connection's record: their bytes.
 *
 *     | count, size | s payload s payload ... |    s: size of the payload, 2 bytes
 *
 * Writing changes nothing.  Reading fills chunks of another pool, as many as the payloads need:
 * what one shard has accepted is not refused by the limit of a queue in another.
 *
 * Owner: the caller.  Threads: that of the pool.
 */
#ifndef MR_QUIC_DATAGRAM_RECORD_H
#define MR_QUIC_DATAGRAM_RECORD_H

#include "quic/datagram_queue.h"
#include "quic/record.h"

/* Append all payloads of `q`.  O(chunks). */
void mr_datagram_record_write(struct mr_record_writer *w, const struct mr_datagram_queue *q,
                              const struct mr_pool *chunks);

/* Fill the empty queue `q`.  False: the pool is short, or the record is cut off; the queue is to be
 * cleared, which gives back what it took. */
bool mr_datagram_record_read(struct mr_record_reader *r, struct mr_datagram_queue *q,
                             struct mr_pool *chunks);

#endif /* MR_QUIC_DATAGRAM_RECORD_H */
