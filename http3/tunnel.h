/*
 * http3/tunnel.h - a tunnel: HTTP datagrams over an extended CONNECT (RFC 9220, RFC 9297).
 *
 *     handlers <-- datagrams -- tunnel <-- QUIC DATAGRAM frames, or DATAGRAM capsules in content
 *     mr_http3_tunnel_send() -> tunnel --> a DATAGRAM frame if the peer takes them, else a capsule
 *
 * Capsules of other types are skipped (Section 3.2); one that the stream's end cuts off is
 * malformed (Section 3.3).  A DATAGRAM capsule that is too long to be of use is skipped without
 * being kept (Section 3.5).  When either side ends its half, the other does.
 *
 * The server's exchange or the client's request has the stream's life; this is what both share.
 *
 * Memory: objects of a pool of the server's or client's.  Threads: the transport's.
 * Limits: MR_TUNNEL_CAPSULE_MAX; MR_H3_TUNNELS_PER_CONN; tunnels_max of the configuration.
 */
#ifndef MR_HTTP3_TUNNEL_H
#define MR_HTTP3_TUNNEL_H

#include "http3/h3_conn.h"
#include "millrace/http3.h"

enum {
    MR_TUNNEL_CAPSULE_MAX = 2048, /* bytes of a datagram in a capsule; more: dropped, counted */
    MR_CAPSULE_DATAGRAM = 0x00,   /* RFC 9297, Section 3.5 */
    MR_CAPSULE_HEADER_MAX = MR_H3_FRAME_HEADER_MAX,
    /* bytes of a datagram that we send in a capsule */
    MR_TUNNEL_SEND_MAX = MR_H3_DATA_MAX - MR_CAPSULE_HEADER_MAX,
};

struct mr_http3_tunnel {
    uint32_t pool_link;
    bool is_open;     /* accepted: datagrams flow */
    bool wants_end;   /* its end is to be sent when there is room */
    bool was_refused; /* on_room is owed */
    bool is_told;     /* on_end was called */
    uint32_t used;    /* bytes of `value` */
    struct mr_h3 *h3;
    struct mr_h3_stream *stream; /* NULL: over */
    const struct mr_http3_tunnel_handlers *handlers;
    void *user;
    struct mr_h3_frame_reader capsule; /* type, length, value: as a frame */
    uint8_t value[MR_TUNNEL_CAPSULE_MAX];
};

void mr_tunnel_init(struct mr_http3_tunnel *tunnel, struct mr_h3 *h3, struct mr_h3_stream *stream,
                    const struct mr_http3_tunnel_handlers *handlers);

/* Content came: capsules. */
void mr_tunnel_data(struct mr_http3_tunnel *tunnel, const uint8_t *data, size_t size);

/* A datagram came by itself. */
void mr_tunnel_datagram(struct mr_http3_tunnel *tunnel, const uint8_t *data, size_t size);

/* The peer has ended its half.  False: inside of a capsule, the stream was aborted. */
bool mr_tunnel_peer_end(struct mr_http3_tunnel *tunnel);

/* There may be room again. */
void mr_tunnel_writable(struct mr_http3_tunnel *tunnel);

/* It is over: say so, once. */
void mr_tunnel_over(struct mr_http3_tunnel *tunnel, int error, const char *reason);

#endif /* MR_HTTP3_TUNNEL_H */
