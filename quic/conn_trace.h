/*
 * quic/conn_trace.h - what the files of the trunk tell a tracer (quic/trace.h) of a traced
 * connection.
 *
 * Each is called for traced connections only, behind mr_conn_is_traced(): the rest of the trunk
 * pays one comparison, and the fast paths (conn_run.c, conn_recv_run.c) leave traced connections to
 * the general way.
 *
 * Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_TRACE_H
#define MR_QUIC_CONN_TRACE_H

#include "base/compiler.h"
#include "quic/conn_receive.h"
#include "quic/endpoint_internal.h"
#include "quic/trace.h"

static inline bool mr_conn_is_traced(const struct mr_conn *conn)
{
    return conn->trace != MR_NONE;
}

/* Records are of this time from now on. */
static inline void mr_trace_clock(struct mr_endpoint *ep, uint64_t now)
{
    if (ep->tracer != NULL)
        ep->tracer->now_ns = now;
}

/* Is any new connection to be traced, now? */
static inline bool mr_trace_wants_new(const struct mr_endpoint *ep)
{
    return ep->tracer->rule.what != 0;
}

/* A new connection whose first connection IDs are known: shall it be traced? */
MR_COLD void mr_trace_new(struct mr_endpoint *ep, struct mr_conn *conn);

/* The end of its trace. */
MR_COLD void mr_trace_end(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_trace_end end);

/* A packet that was built; not sealed yet. */
struct mr_trace_built {
    const uint8_t *packet;
    size_t header_size;
    size_t size; /* without tag */
    uint64_t pn;
    uint8_t pn_size;
    enum mr_space space;
    bool is_mtu_probe;
    bool is_early; /* 0-RTT */
};

MR_COLD void mr_trace_sent(struct mr_endpoint *ep, struct mr_conn *conn,
                           const struct mr_trace_built *built);
MR_COLD void mr_trace_received(const struct mr_rx *rx, uint8_t first_byte, const uint8_t *payload,
                               size_t size);

/* A packet that nothing came of, `drop.trigger` says why; or that waits for its keys. */
MR_COLD void mr_trace_dropped(struct mr_endpoint *ep, struct mr_conn *conn,
                              struct mr_trace_drop drop);
MR_COLD void mr_trace_buffered(struct mr_endpoint *ep, struct mr_conn *conn,
                               struct mr_trace_drop drop);

MR_COLD void mr_trace_packet_lost(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space space,
                                  const struct mr_sent_packet *packet, uint64_t pn);
MR_COLD void mr_trace_pto(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space space);

/* Round trip, window and what is in flight, if any has changed.  `acked_sent_ns`: when the newest
 * packet was sent that an ACK just acknowledged; 0: none was. */
MR_COLD void mr_trace_metrics(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t acked_sent_ns);

MR_COLD void mr_trace_params(struct mr_endpoint *ep, struct mr_conn *conn, const uint8_t *bytes,
                             size_t size, bool is_peers);

/* A client's 0-RTT goes by what it remembers. */
MR_COLD void mr_trace_restored(struct mr_endpoint *ep, struct mr_conn *conn,
                               const struct mr_transport_params *params);
MR_COLD void mr_trace_alpn(struct mr_endpoint *ep, struct mr_conn *conn);
MR_COLD void mr_trace_keylog(struct mr_endpoint *ep, struct mr_conn *conn, const char *lines,
                             size_t size);

/* Keys of `level`: of ours, those that we seal with, or the peer's. */
MR_COLD void mr_trace_key(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_level level,
                          bool is_ours);
MR_COLD void mr_trace_key_update(struct mr_endpoint *ep, struct mr_conn *conn, bool is_peers);
MR_COLD void mr_trace_keys_discarded(struct mr_endpoint *ep, struct mr_conn *conn,
                                     enum mr_space space);

MR_COLD void mr_trace_state(struct mr_endpoint *ep, struct mr_conn *conn,
                            enum mr_trace_state before, enum mr_trace_state after);

/* conn->close says how it ended. */
MR_COLD void mr_trace_closed(struct mr_endpoint *ep, struct mr_conn *conn,
                             enum mr_trace_close trigger);

MR_COLD void mr_trace_mtu(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t before);
MR_COLD void mr_trace_path(struct mr_endpoint *ep, struct mr_conn *conn);

/* One side of a stream changes its state; call before it does. */
MR_COLD void mr_trace_stream(struct mr_endpoint *ep, struct mr_conn *conn,
                             const struct mr_stream *stream, bool is_sending, uint8_t after);

/* It speaks another version than when it began. */
MR_COLD void mr_trace_version(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t before);

/* Does the tracer keep key log lines of it? */
MR_COLD bool mr_trace_has_keys(const struct mr_endpoint *ep, const struct mr_conn *conn);

/* The trace of a connection that leaves for another shard, or came: what the record of its move
 * says of it (quic/conn_move.h). */
MR_COLD void mr_trace_leave(struct mr_endpoint *ep, struct mr_conn *conn,
                            struct mr_trace_ticket *ticket_out);
MR_COLD void mr_trace_arrive(struct mr_endpoint *ep, struct mr_conn *conn,
                             const struct mr_trace_ticket *ticket);

#endif /* MR_QUIC_CONN_TRACE_H */
