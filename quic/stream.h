/*
 * quic/stream.h - a stream: its two queues, states and flow control, and its places in lists.
 *
 * Parts with tests of their own (quic/send_queue.h, recv_queue.h, send_state.h,
 * recv_state.h, flow.h), embedded by value.
 *
 * Owner: the endpoint's pool; a stream belongs to one connection.  Threads: the shard's only.
 */
#ifndef MR_QUIC_STREAM_H
#define MR_QUIC_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/transport.h"
#include "quic/flow.h"
#include "quic/recv_queue.h"
#include "quic/recv_state.h"
#include "quic/send_queue.h"
#include "quic/send_state.h"

struct mr_stream_list { /* through mr_stream.control_next */
    uint32_t head;
    uint32_t tail;
};

/* A stream; a pool object. */
struct mr_stream {
    uint64_t id;
    uint64_t user_data;
    uint64_t handle;     /* of its number: for life, wherever it lies */
    uint32_t index;      /* its place in the pool: what lists, and packets sent, know it by */
    uint32_t generation; /* of the place; odd while in use */
    uint32_t conn;
    uint32_t pending_events;
    uint32_t dirty_next;
    uint32_t send_next; /* in conn.sendable, see schedule.h */
    uint32_t send_previous;
    uint8_t send_state; /* enum mr_send_state */
    uint8_t recv_state; /* enum mr_recv_state */
    bool has_send;      /* we may send: not the peer's unidirectional */
    bool has_recv;
    bool is_dirty;
    bool is_sendable;    /* in conn.sendable */
    bool is_incremental; /* its priority: it takes turns with others of its urgency */
    uint8_t urgency;     /* < MR_URGENCIES, 0: first */
    bool is_controlled;
    bool is_gone;     /* both parts final: freed with its last event */
    bool wants_reset; /* control frames owed */
    bool wants_stop;
    bool wants_max_data;
    bool wants_blocked;
    bool was_refused; /* send() said -EAGAIN: WRITABLE is owed */
    bool is_notify_due;
    bool is_stop_sent;
    bool has_reliable_out; /* we reset it, but for reliable_out bytes */
    bool wants_reset_at;
    bool is_reset_at_due; /* RESET_STREAM_AT with reliable_out is owed, or sent */
    bool is_reset_at_acked;
    bool has_reliable_in; /* the peer did, but for reliable_in bytes */
    bool has_reset_in;    /* the peer reset it, in either way, with reset_in_code */
    bool is_reset_known;  /* the application was told of the peer's reset */
    struct mr_send_queue send;
    struct mr_recv_queue recv;
    struct mr_flow_send flow_send;
    struct mr_flow_recv flow_recv;
    uint64_t reset_code; /* ours */
    uint64_t stop_code;  /* ours */
    uint64_t peer_code;  /* of the peer's reset or stop, or of the connection's close */
    uint64_t reliable_out;
    uint64_t reliable_in;
    uint64_t reset_in_code;
    uint64_t moved_from;   /* handle in the shard that the connection came from; 0: opened here */
    uint32_t send_child;   /* as send_next */
    uint32_t control_next; /* in conn.controlled */
    uint32_t conn_next;    /* all of the connection's */
    uint32_t conn_previous;
};

/* Ask for the lines that an acknowledgement, or an event, writes and reads. */
MR_INLINE void mr_stream_prefetch(const struct mr_stream *stream)
{
    MR_PREFETCH_WRITE(stream);
    MR_PREFETCH_WRITE(&stream->send);
    __builtin_prefetch(&stream->peer_code);
}

#endif /* MR_QUIC_STREAM_H */
