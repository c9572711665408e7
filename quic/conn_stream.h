/*
 * quic/conn_stream.h - what the files of the trunk call of each other for streams.
 *
 * As in quic/conn.h, which includes it.
 */
#ifndef MR_QUIC_CONN_STREAM_H
#define MR_QUIC_CONN_STREAM_H

#include "quic/conn_receive.h"

/* How a frame that names stream `id` finds it. */
enum mr_stream_found {
    MR_STREAM_FOUND,
    MR_STREAM_CLOSED,  /* was there: ignore the frame */
    MR_STREAM_REFUSED, /* no stream object is free: do not acknowledge */
    MR_STREAM_ERROR    /* the connection failed */
};
enum mr_stream_found mr_stream_find(struct mr_rx *rx, uint64_t id, bool needs_recv,
                                    uint64_t frame_type, struct mr_stream **out);
/* Ask for the place in the table of the bidirectional stream that the peer will open next. */
void mr_stream_ask_for_next(const struct mr_endpoint *ep, const struct mr_conn *conn);
/* Ask for what is touched when all is acknowledged, and the stream is freed. */
void mr_stream_ask_for_end(const struct mr_endpoint *ep, const struct mr_stream *stream);
struct mr_stream *mr_stream_new(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t id);
/* What a new one of this ID is like, in no pool and no list. */
void mr_stream_init(const struct mr_endpoint *ep, const struct mr_conn *conn, uint64_t id,
                    struct mr_stream *stream);
/* The same in the table and the connection's list, without a number; NULL: no place is free. */
struct mr_stream *mr_stream_place(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t id);
/* The opposite, of one that is in no other list and holds nothing. */
void mr_stream_unplace(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream);
/* A stream object in the table and the connection's list, otherwise like `from`, without data;
 * NULL: none is free. */
struct mr_stream *mr_stream_adopt(struct mr_endpoint *ep, struct mr_conn *conn,
                                  const struct mr_stream *from);
/* Both parts are final: tell, and free with the event. */
void mr_stream_maybe_done(struct mr_endpoint *ep, struct mr_stream *stream);
void mr_stream_free(struct mr_endpoint *ep, struct mr_stream *stream);
/* Put it on the send list if it has something to send. */
void mr_stream_schedule(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream);
void mr_stream_control(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream);
/* `bytes` of the stream were consumed or discarded: flow control. */
void mr_stream_consumed(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream,
                        uint64_t bytes);
/* Nobody reads a stopped stream: the bytes that came count as consumed, and it is over when its
 * size is known. */
void mr_stream_discarded(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream);
void mr_conn_consumed(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t bytes);
uint64_t mr_stream_flow_limit(const struct mr_conn *conn, const struct mr_stream *stream);
/* A sent record names a stream by index, of so many bits, and the low bits of its generation. */
#define MR_STREAM_KEY_BITS 22

/* The stream a sent record names, NULL if it is gone. */
struct mr_stream *mr_stream_of_key(const struct mr_endpoint *ep, uint32_t key);
uint32_t mr_stream_key(const struct mr_stream *stream);
void mr_stream_list_push(struct mr_endpoint *ep, struct mr_stream_list *list,
                         struct mr_stream *stream);
/* Abandon sending: RESET_STREAM is owed, queued data is forgotten. */
void mr_stream_abort_send(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream,
                          uint64_t code);
/* Every stream ends with the connection. */
void mr_conn_end_streams(struct mr_endpoint *ep, struct mr_conn *conn);

/* The largest datagram that a packet on the path in use takes, and the peer; 0: it takes none. */
uint32_t mr_conn_datagram_max(const struct mr_conn *conn);
/* The packet is lost: its DATAGRAM frames are not sent again (RFC 9221, Section 5.2). */
void mr_datagrams_count_lost(struct mr_endpoint *ep, const struct mr_sent *sent,
                             const struct mr_sent_packet *packet);
#endif /* MR_QUIC_CONN_STREAM_H */
