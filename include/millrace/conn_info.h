/*
 * millrace/conn_info.h - how a connection is doing: its addresses, path, limits and counts at one
 * moment.
 *
 * Owner: the caller, who gets a copy.  Threads: any.
 */
#ifndef MILLRACE_CONN_INFO_H
#define MILLRACE_CONN_INFO_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_address {
    uint8_t ip[16]; /* IPv4 is mapped: ::ffff:a.b.c.d */
    uint16_t port;  /* host order */
};

/* ECN on a connection's path (RFC 9000, Section 13.4.2). */
enum mr_conn_ecn {
    MR_CONN_ECN_OFF,     /* our packets carry no marks: the configuration says so */
    MR_CONN_ECN_TESTING, /* the first packets carry marks */
    MR_CONN_ECN_UNKNOWN, /* whether they passed is not known yet */
    MR_CONN_ECN_CAPABLE, /* they pass; CE is taken as congestion */
    MR_CONN_ECN_FAILED,  /* they are lost or altered, or the peer does not report them: no marks */
};

struct mr_conn_info {
    struct mr_address local;
    struct mr_address remote;
    struct mr_address observed; /* ours, as the peer sees it and says; port 0: it has not */
    char alpn[32];              /* "" until CONNECTED */
    uint64_t rtt_ns;            /* smoothed; 0: none yet */
    uint64_t cwnd_bytes;
    uint64_t bytes_in_flight;
    uint64_t packets_sent;
    uint64_t packets_lost;
    uint64_t bytes_received;
    uint32_t key_updates;
    uint32_t version; /* of QUIC: 1 or 2 */
    bool is_resumed;  /* the handshake used a ticket */
    bool is_early;    /* server: what has come may be a copy, see MR_EVENT_EARLY; client: 0-RTT was
                         sent, and accepted once CONNECTED is told */
    bool is_client;
    bool takes_reset_at;         /* the peer takes what reset_at() sends */
    uint8_t ecn;                 /* enum mr_conn_ecn */
    uint32_t datagram_max;       /* bytes of the largest datagram that can be sent now, which the
                                    path's MTU changes; 0: the peer takes none */
    uint64_t streams_bidi_limit; /* streams that we may have opened in all, as the peer's limit */
    uint64_t streams_uni_limit;  /* is now */
    char server_name[256];       /* SNI that the client asked for; "" if none, or until CONNECTED */
    const char *limited_by;      /* why it is not sending: "cwnd", "pacing", "flow control",
                                    "application", "amplification", "port", "memory" */
};

#ifdef __cplusplus
}
#endif
#endif /* MILLRACE_CONN_INFO_H */
