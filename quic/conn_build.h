/*
 * quic/conn_build.h - one packet being built: what conn_send.c, conn_run.c and the producers of
 * frames share.
 *
 * Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_BUILD_H
#define MR_QUIC_CONN_BUILD_H

#include "quic/conn.h"

/* One packet being built. */
struct mr_build {
    struct mr_endpoint *ep;
    struct mr_conn *conn;
    struct mr_outgoing *out;
    struct mr_pn_space *space;
    struct mr_sent_packet *record;
    struct mr_writer w; /* room: up to the tag */
    uint8_t *packet;    /* first byte of the header */
    uint64_t now;
    uint32_t copy_first; /* in ep->copies */
    uint32_t copy_count;
    struct mr_side_path *side; /* that it goes by, beside the path in use; NULL */
    uint32_t allowed;          /* of enum mr_want: what may go into this packet */
    enum mr_space space_id;
    bool is_ack_eliciting;
    bool is_path_probe; /* PATH_CHALLENGE or PATH_RESPONSE inside: the datagram is padded */
    struct mr_path_check *check; /* whose PATH_CHALLENGE is inside; NULL */
    bool is_full;                /* no further frame record or copy fits: end the packet */
};

/*
 * Build at most `count` full packets that carry new data of one stream and nothing else: what a
 * sender of bulk data does nearly always.  Returns how many; 0: the general way must look.
 */
uint32_t mr_conn_send_run(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_outgoing *out,
                          uint32_t count, uint64_t now);

/* At most `limit` datagrams by the path in hand. */
uint32_t mr_conn_send_by_path(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_outgoing *out,
                              uint32_t limit, uint64_t now);

/* Bytes that number `pn` of the space takes (RFC 9000, Section 17.1). */
static inline uint8_t mr_space_pn_size(const struct mr_pn_space *space, uint64_t pn)
{
    uint64_t acked = space->sent.largest_acked;

    return mr_pn_size(pn, acked == MR_SENT_NO_PN ? MR_PN_NONE : acked);
}

/* Write the short header of packet `pn` to the peer's `dcid`. */
static inline void mr_conn_write_short(struct mr_conn *conn, struct mr_writer *w,
                                       const struct mr_cid *dcid, uint64_t pn, uint8_t pn_size)
{
    uint8_t bits =
        (uint8_t)((conn->key_state.phase != 0 ? MR_PACKET_KEY_PHASE : 0) | conn->path.spin);

    mr_packet_write_short(w, dcid, bits, pn, pn_size);
}

/* Packets of one space that were recorded as sent. */
struct mr_sent_batch {
    uint32_t packets;
    uint64_t bytes;
    bool is_ack_eliciting;
    bool is_in_flight;
    bool is_marked; /* with the path's ECN mark */
};

/* Count them: congestion window, pacer, timers, keys, counters. */
void mr_conn_count_sent(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                        const struct mr_sent_batch *batch, uint64_t now);

/* Datagrams with `bytes` in all were built on the path in use. */
static inline void mr_conn_count_datagrams(struct mr_endpoint *ep, struct mr_conn *conn,
                                           uint32_t count, uint64_t bytes)
{
    conn->path.bytes_sent += bytes;
    mr_count_add(&ep->counters.datagrams_sent, count);
    mr_count_add(&ep->counters.bytes_sent, bytes);
}

/* A frame with this span of the stream's data was written. */
void mr_stream_sent(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream,
                    const struct mr_send_span *span, bool is_retransmission);

/* After its turn a sendable stream waits for the next one, or is not sendable any more. */
void mr_stream_rotate(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream);

/* The producers of conn_send.c's table: write what fits, clear their bit when nothing is left. */
void mr_produce_first(struct mr_build *b); /* CLOSE, MULTIPATH */
void mr_produce_ack(struct mr_build *b);
void mr_produce_crypto(struct mr_build *b);
void mr_produce_path_response(struct mr_build *b);
void mr_produce_path_challenge(struct mr_build *b);
void mr_produce_path_probe(struct mr_build *b);
void mr_produce_handshake_done(struct mr_build *b);
void mr_produce_new_token(struct mr_build *b);
void mr_produce_max_data(struct mr_build *b);
void mr_produce_max_streams(struct mr_build *b);
void mr_produce_data_blocked(struct mr_build *b);
void mr_produce_streams_blocked(struct mr_build *b);
void mr_produce_new_cid(struct mr_build *b);
void mr_produce_retire_cid(struct mr_build *b);
void mr_produce_stream_control(struct mr_build *b);
void mr_produce_stream(struct mr_build *b);
void mr_produce_datagram_in_turn(struct mr_build *b);
void mr_produce_datagram(struct mr_build *b);
void mr_produce_ping(struct mr_build *b);
void mr_produce_observed_address(struct mr_build *b);
void mr_produce_ack_frequency(struct mr_build *b);
void mr_produce_immediate_ack(struct mr_build *b);
bool mr_produce_reset_at(struct mr_build *b, struct mr_stream *stream); /* false: no room */
void mr_produce_close(struct mr_build *b);

/* Record a frame that was written; needs mr_build_can_record() before writing. */
bool mr_build_can_record(struct mr_build *b);
void mr_build_record(struct mr_build *b, enum mr_sent_kind kind, uint64_t offset, uint32_t object,
                     size_t length, bool fin);

#endif /* MR_QUIC_CONN_BUILD_H */
