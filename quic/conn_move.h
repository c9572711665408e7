/*
 * quic/conn_move.h - a live connection changes its owning shard, through one record.
 *
 *     old shard                              new shard
 *     mr_conn_export()   --- record --->     mr_conn_import()     its events are held
 *     mr_conn_moved()    <-- 0 ---------         |
 *      forwards 3 PTO    --- go ------->     mr_conn_arrive()     MOVED_IN, then the rest
 *
 *     mr_conn_import()   <-- -ENOMEM ---     nothing is held
 *      is as it was before
 *
 * The record says everything: streams with what they have to send and what has arrived, datagrams
 * that wait, the server's name, flow control, keys and how much they were used, packet numbers, ACK
 * ranges, round trip, window, MTU, path, connection IDs, events not told yet.  It holds no pointer
 * into the shard; data that waits to be sent is named by the application's address
 * (MR_RECORD_HAS_REFERENCES), datagrams and data that has arrived are copied.  Both endpoints are
 * configured alike: what the peer was promised does not change.
 *
 * What is in flight counts as lost at the new shard, without being congestion: frames are sent
 * again in packets with new numbers (but for DATAGRAM, which goes once), late acknowledgments of
 * the old ones are accepted and change nothing.  The pacer starts empty, so that no burst follows
 * what is still on its way.
 *
 * From the export on the old shard neither sends nor handles anything of the connection: no packet
 * number can be used twice.  It keeps all of it until mr_conn_moved(), so that the way back needs
 * no memory and changes no handle.  Datagrams with connection IDs that it issued are passed on to
 * the new shard (mr_datagram.redirect), from the export until 3 PTO after mr_conn_moved().  The new
 * shard issues connection IDs of its own, and asks the peer to retire the old ones (RFC 9000,
 * Section 5.1.2).  For an idle timeout the old shard answers its connection IDs with no stateless
 * resets (quic/departed.h): a peer that has not heard of the new ones yet must not take its
 * connection for lost.
 *
 * Owner: a record is the caller's memory; it holds secrets, wipe it.  Threads: each function
 * belongs to its endpoint's shard; a record to one shard at a time.
 */
#ifndef MR_QUIC_CONN_MOVE_H
#define MR_QUIC_CONN_MOVE_H

#include "quic/endpoint.h"
#include "quic/trace.h"

#define MR_RECORD_MAGIC   UINT32_C(0x6d72636e) /* "mrcn" */
#define MR_RECORD_VERSION 2

enum mr_record_flags {
    MR_RECORD_HAS_REFERENCES = 1, /* addresses of application memory: for this process only */
};

/* How a record begins; aligned to 8. */
struct mr_conn_record {
    uint32_t magic;
    uint16_t version;
    uint16_t flags;     /* enum mr_record_flags */
    uint64_t size;      /* bytes in all */
    uint32_t conn_size; /* of the structs inside: who lays them out otherwise cannot read it */
    uint32_t stream_size;
    uint32_t from_shard;
    uint32_t to_shard;
    mr_handle conn; /* in the old shard */
    uint64_t id;    /* of the export */
    uint32_t stream_count;
    uint32_t cc_kind; /* enum mr_cc_kind */
    struct mr_trace_ticket trace;
};

/* Where to: the shard, and memory for the record. */
struct mr_conn_export {
    struct mr_conn_record *record;
    size_t room; /* bytes */
    uint32_t shard;
};

/*
 * May the connection move now?  0; -ESTALE; -EBUSY: its handshake is not over (at a client: nor the
 * wait for tickets), it is closing, on its way already, came less than 3 PTO ago, or the peer has
 * not retired the connection IDs from before.
 */
int mr_conn_can_move(const struct mr_endpoint *ep, mr_handle conn, uint64_t now);

/* Bytes that its record needs now; 0: stale.  O(streams, segments, pieces, datagram chunks). */
size_t mr_conn_record_size(const struct mr_endpoint *ep, mr_handle conn);

/*
 * Write the record and let go of the connection: its handles are stale, no event of it is told.
 * Not between build and seal, nor between the steps of a receive burst.
 * 0; as mr_conn_can_move(); -ENOMEM: it sleeps, and no place is free to wake it; -ENOBUFS: the
 * record needs more room; -EINVAL: to this very shard.
 */
int mr_conn_export(struct mr_endpoint *ep, mr_handle conn, const struct mr_conn_export *to,
                   uint64_t now);

/*
 * Take the connection in, or back: in the endpoint that exported it, and was not told of success,
 * everything is as it was before, which cannot fail.
 * 0 with the handle in *conn_out: an event may follow only after mr_conn_arrive(); after a way back
 * at once.  -ENOMEM: a pool is short, nothing is held.  -EINVAL: not a record of this version and
 * layout, or not for this shard.  -ESTALE: its way back is closed.
 */
int mr_conn_import(struct mr_endpoint *ep, const struct mr_conn_record *record, uint64_t now,
                   mr_handle *conn_out);

/* In the old endpoint, `conn` as it was there: it has arrived.  Everything is given back but its
 * connection IDs, which are forwarded for 3 PTO.  0; -ESTALE. */
int mr_conn_moved(struct mr_endpoint *ep, mr_handle conn, uint64_t now);

/* In the new endpoint: the old shard has told its last event.  MR_EVENT_MOVED_IN follows with the
 * next call of mr_endpoint_events(), and what has been held with later ones.  0; -ESTALE. */
int mr_conn_arrive(struct mr_endpoint *ep, mr_handle conn);

/* The handles of its streams, before the last move and now, in the order in which they were opened.
 * How many, at most `room`; -ESTALE. */
int64_t mr_conn_moved_streams(const struct mr_endpoint *ep, mr_handle conn,
                              struct mr_moved_stream *out, size_t room);

/* For how long it might have moved again since it came from another shard; UINT64_MAX: it began
 * here; 0: it may not yet, or is stale. */
uint64_t mr_conn_settled_ns(const struct mr_endpoint *ep, mr_handle conn, uint64_t now);

/*
 * Datagram `number` of the burst that was handled last arrived at shard `at`, which passed it on.
 * Its connection, if that was one too many and it should be there (quic/follow.h); else
 * MR_HANDLE_NONE.
 */
mr_handle mr_endpoint_note_arrival(struct mr_endpoint *ep, uint32_t number, uint32_t at);

/* What mr_object_set_user_data() set for the connection; 0: stale. */
uint64_t mr_object_user_data(const struct mr_endpoint *ep, mr_handle conn);

/* Overwrite the record's secrets. */
void mr_conn_record_wipe(struct mr_conn_record *record);

#endif /* MR_QUIC_CONN_MOVE_H */
