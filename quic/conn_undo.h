/*
 * quic/conn_undo.h - losses that were none: what congestion control took for them is given back.
 *
 *     loss begins a recovery period --> the record: what there was, the first packet, 1 lost
 *     more of it are lost           --> n lost
 *     one is acknowledged late      --> n - 1 lost;  0: undo (RFC 9438, Section 4.9.2)
 *     one is forgotten (three PTO), another period begins, CE comes, the path changes --> no record
 *
 * A connection has one record at most, for 1-RTT packets of the path in use; it is a block of those
 * in which the frames of sent packets are kept (quic/sent_packet.h), taken with the loss and given
 * back with its end: where none is left losses are final (`limit_undos`).
 *
 * Owner: the connection.  Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_UNDO_H
#define MR_QUIC_CONN_UNDO_H

#include "quic/conn.h"

struct mr_undo {
    struct mr_cc_saved saved;
    uint64_t first_pn; /* the first packet lost; those of the period before have lower numbers */
};

_Static_assert(sizeof(struct mr_undo) <= sizeof(struct mr_sent_block), "it lies in a block");

/* Packets of the path in use that one detection has found lost, without MTU probes. */
struct mr_undo_losses {
    enum mr_space space;
    uint32_t count;
    uint64_t first_pn;
    uint64_t newest_sent_ns;
};

/* Before mr_cc_on_loss(). */
void mr_conn_undo_on_lost(struct mr_endpoint *ep, struct mr_conn *conn,
                          const struct mr_undo_losses *losses);

/* 1-RTT packet `pn`, of which that was said, is acknowledged.  The pacer learns of it with the next
 * ACK of a packet that was not. */
void mr_conn_undo_on_late(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t pn);

/* Lost packets may have been forgotten: mr_sent_release(). */
void mr_conn_undo_on_released(struct mr_endpoint *ep, struct mr_conn *conn);

/* Nothing will be undone: there was congestion, or the path or the connection is over. */
void mr_conn_undo_drop(struct mr_endpoint *ep, struct mr_conn *conn);

#endif /* MR_QUIC_CONN_UNDO_H */
