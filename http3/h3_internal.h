/*
 * http3/h3_internal.h - what h3_conn.c (connections, streams, events), h3_drain.c (their end in
 * order), h3_priority.c (RFC 9218), h3_tunnel.c (RFC 9220 and 9297), h3_trace.c (qlog),
 * h3_grease.c (what means nothing), h3_recv.c (what comes), h3_send.c (what goes), h3_lines.c
 * (heads that come again) and hq.c (HTTP/0.9) share.  For these files only.
 */
#ifndef MR_HTTP3_H3_INTERNAL_H
#define MR_HTTP3_H3_INTERNAL_H

#include "http3/h3_conn.h"

enum {
    MR_H3_VIEWS = 16, /* pieces looked at in one receive() */
};

/* ---- h3_conn.c ---- */

/* A connection error: close with `code`, expect nothing more. */
void mr_h3_conn_fail(struct mr_h3 *h3, struct mr_h3_conn *conn, uint64_t code, const char *reason);

/* A stream error: end the request with `code` and tell the user. */
void mr_h3_stream_fail(struct mr_h3 *h3, struct mr_h3_stream *stream, uint64_t code);

/* Stop looking at what comes on a request stream; QPACK is told. */
void mr_h3_stream_stop_reading(struct mr_h3 *h3, struct mr_h3_stream *stream);

/* A stream object on `conn`; NULL: none is free. */
struct mr_h3_stream *mr_h3_stream_add(struct mr_h3 *h3, struct mr_h3_conn *conn,
                                      enum mr_h3_stream_kind kind);
void mr_h3_stream_remove(struct mr_h3 *h3, struct mr_h3_stream *stream);

/* ---- h3_drain.c ---- */

/* It has no request from now on, or none yet. */
void mr_h3_conn_quiet(struct mr_h3 *h3, struct mr_h3_conn *conn);

/* Close a connection that has been told, or has told, GOAWAY and has no request any more, once it
 * is time. */
void mr_h3_end_if_drained(struct mr_h3 *h3, struct mr_h3_conn *conn);

/* The timer of those that linger. */
void mr_h3_on_linger(struct mr_h3 *h3);

/* ---- h3_recv.c ---- */

/* Take what has arrived on a stream. */
void mr_h3_stream_read(struct mr_h3 *h3, struct mr_h3_stream *stream);

/* ---- h3_priority.c ---- */

/* The request stream is new. */
void mr_h3_priority_begin(struct mr_h3_conn *conn, struct mr_h3_stream *stream);

/* Its head has a Priority field, or our response to it. */
void mr_h3_priority_field(struct mr_h3_stream *stream, struct mr_text value);

/* Tell the transport. */
void mr_h3_priority_apply(struct mr_h3 *h3, const struct mr_h3_stream *stream);

/* A PRIORITY_UPDATE frame is there as a whole, or is dropped for its length. */
void mr_h3_priority_update(struct mr_h3 *h3, struct mr_h3_conn *conn, const uint8_t *payload,
                           size_t size);
void mr_h3_priority_drop(struct mr_h3 *h3, struct mr_h3_conn *conn);

/* ---- h3_tunnel.c ---- */

/* Datagrams have come; there is room for more of ours. */
void mr_h3_on_datagrams(struct mr_h3 *h3, struct mr_h3_conn *conn);
void mr_h3_on_datagram_room(struct mr_h3 *h3, struct mr_h3_conn *conn);

/* The stream is no tunnel any more. */
void mr_h3_tunnel_remove(struct mr_h3_stream *stream);

/* ---- h3_grease.c ---- */

/* Draw what the connection sends, unless that is done. */
void mr_h3_grease_begin(struct mr_h3 *h3, struct mr_h3_conn *conn);

/* The peer's limits are known: who takes three unidirectional streams and no more gets what has no
 * meaning in SETTINGS only. */
void mr_h3_grease_connected(const struct mr_h3 *h3, struct mr_h3_conn *conn);

/* The reserved setting. */
void mr_h3_grease_settings(const struct mr_h3_conn *conn, struct mr_h3_settings *settings);

/* A reserved frame that is due behind SETTINGS, or behind a head: its size, at most
 * MR_H3_GREASE_FRAME_MAX; 0: none. */
size_t mr_h3_grease_control(const struct mr_h3_conn *conn, uint8_t *dst);
size_t mr_h3_grease_head(struct mr_h3_conn *conn, uint8_t *dst);

/* Open and send the reserved stream, if it is due. */
void mr_h3_grease_stream(struct mr_h3 *h3, struct mr_h3_conn *conn);

/* ---- h3_send.c ---- */

/* Open a unidirectional stream of ours, if `*stream` is not open; what is sent first is its type.
 * Results as the transport's open, and -ENOMEM. */
int mr_h3_open_own(struct mr_h3 *h3, struct mr_h3_conn *conn, enum mr_h3_stream_kind kind,
                   uint64_t type, struct mr_h3_stream **stream);

/* What the fields take decoded: RFC 9114, Section 4.2.2. */
uint64_t mr_h3_section_bytes(const struct mr_field_line *lines, size_t count);

/* Send a copy of `size` bytes, at most MR_H3_HEAD_MAX.  Results as the transport's send. */
int mr_h3_send_copy(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data, size_t size,
                    bool is_last);

/* Have mr_h3_flush_dirty() look at the connection. */
void mr_h3_mark_dirty(struct mr_h3 *h3, struct mr_h3_conn *conn);

/* Open our own streams, send SETTINGS, GOAWAY and QPACK's feedback, as far as they are due and
 * there is room. */
void mr_h3_flush_dirty(struct mr_h3 *h3);

/* Arm the retry timer if it is wanted and not armed. */
void mr_h3_arm_retry(struct mr_h3 *h3);

/* ---- hq.c ---- */

/* Server: does this connection speak HTTP/0.9? */
void mr_h3_hq_detect(struct mr_h3 *h3, struct mr_h3_conn *conn);

/* What comes on a request stream, and its end.  Returns the bytes taken. */
size_t mr_h3_hq_take(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                     size_t size);
void mr_h3_hq_end(struct mr_h3 *h3, struct mr_h3_stream *stream);

/* As mr_h3_send_head(). */
int mr_h3_hq_send_head(struct mr_h3 *h3, struct mr_h3_stream *stream,
                       const struct mr_field_line *lines, size_t count,
                       const struct mr_h3_body *body);

#endif /* MR_HTTP3_H3_INTERNAL_H */
