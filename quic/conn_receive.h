/*
 * quic/conn_receive.h - what the files of the trunk call of each other to receive, and to recover.
 *
 * As in quic/conn.h, which includes it.
 */
#ifndef MR_QUIC_CONN_RECEIVE_H
#define MR_QUIC_CONN_RECEIVE_H

#include "quic/endpoint_internal.h"

/* One packet on its way through the frames. */
struct mr_rx {
    struct mr_endpoint *ep;
    struct mr_conn *conn;
    struct mr_pn_space *space;
    const struct mr_datagram *datagram;
    const uint8_t *dcid; /* of this packet */
    uint64_t now;
    uint64_t pn;
    enum mr_space space_id;
    enum mr_packet_type type;
    bool is_ack_eliciting;
    bool is_probing;    /* probing frames only so far, RFC 9000, Section 9.1 */
    bool is_refused;    /* no room: must not be acknowledged */
    bool is_other_path; /* came from another address than the path in use */
};

/* Handle an opened packet: duplicates, frames, bookkeeping. `payload` lies in rx->datagram. */
void mr_conn_receive(struct mr_rx *rx, uint8_t first_byte, const uint8_t *payload, size_t size);

/*
 * Handle the first of `count` slots, 1-RTT packets that were opened with their burst, as far as
 * each brings the next bytes of one stream and nothing else.  Returns how many; their buffers are
 * the stream's.  0: the general way must look.
 */
uint32_t mr_conn_receive_run(struct mr_endpoint *ep, const struct mr_slot *slots, uint32_t count,
                             uint64_t now);

/*
 * The same as far as each is an ACK, and the next begins with one that acknowledges all that it
 * does.  Their buffers are the caller's.
 */
uint32_t mr_conn_receive_acks(struct mr_endpoint *ep, const struct mr_slot *slots, uint32_t count,
                              uint64_t now);

/* Should `size` bytes of `d` be copied, so that they do not pin their packet buffer (DESIGN.md,
 * section 3)? */
bool mr_conn_wants_copy(struct mr_endpoint *ep, const struct mr_datagram *d, uint64_t size);

/* The same, but for what the limit says: are they few beside what the buffer holds? */
static inline bool mr_conn_copies_small(const struct mr_datagram *d, uint64_t size)
{
    return size * 4 < d->size;
}

/* `growth` more bytes of the stream arrived: flow control and counters. */
void mr_stream_count_received(struct mr_endpoint *ep, struct mr_conn *conn,
                              struct mr_stream *stream, uint64_t growth);

/* The frame handlers of conn_recv.c's table.  False: the connection failed, or is closing now. */
bool mr_on_ping(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_padding(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_ack(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_reset_stream(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_stop_sending(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_crypto(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_new_token(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_stream(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_max_data(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_max_stream_data(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_max_streams(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_data_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_stream_data_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_streams_blocked(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_new_connection_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_retire_connection_id(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_path_challenge(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_path_response(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_datagram(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_connection_close(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
bool mr_on_handshake_done(struct mr_rx *rx, struct mr_reader *r, uint64_t type);
/* ------------------------------------------------------------------ recovery */

/* Put the frames of a packet back to be sent again; says if any was worth it. */
bool mr_conn_requeue_frame(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                           const struct mr_sent_frame *frame);
bool mr_conn_requeue(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                     const struct mr_sent_packet *packet);

/* An ACK of the path in hand.  False: the connection failed. */
bool mr_ack_take(struct mr_rx *rx, struct mr_frame_ack *frame, uint64_t type);

/* The loss time of `which` has come. */
void mr_conn_detect_lost(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                         uint64_t now);

/* A probe timeout in `which`. */
void mr_conn_on_pto(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                    uint32_t probes, uint64_t now);

/* A client still sends Initials that want an answer: if our flight should have arrived meanwhile,
 * it is sent again, a few times (RFC 9002, Section 6.2.3). */
void mr_conn_hurry(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now);

/* The first of two probes went out: the second repeats its data, if there is none else to send. */
void mr_conn_probe_again(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which);

/* Everything in flight in `which` is sent again: Retry. */
void mr_conn_resend_all(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which);
#endif /* MR_QUIC_CONN_RECEIVE_H */
