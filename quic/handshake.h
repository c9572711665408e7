/*
 * quic/handshake.h - what only a handshake needs.
 *
 * Owner: the endpoint's pool; held by a connection until it is confirmed and tickets are out.
 * Threads: the shard's only.
 */
#ifndef MR_QUIC_HANDSHAKE_H
#define MR_QUIC_HANDSHAKE_H

#include "quic/conn_parts.h"
#include "quic/crypto_stream.h"
#include "quic/endpoint.h"
#include "quic/tls.h"
#include "quic/transport_params.h"

/* One AEAD key and its header-protection key for a direction. */
struct mr_level_key {
    struct mr_aead_key aead;
    struct mr_hp_key hp;
    bool is_set;
};
/* A datagram that waits for keys. */
struct mr_pending {
    struct mr_datagram datagram;
    uint32_t at; /* offset of the first packet that could not be opened */
};

/* What only a handshake needs; a pool object, given back when it is confirmed and tickets are out.
 */
struct mr_handshake {
    struct mr_tls tls;
    struct mr_tls_job *job; /* out, or NULL */
    uint32_t job_next;      /* in the endpoint's list of connections that want a job */
    bool wants_job;
    bool wants_first_job;              /* a client's ClientHello */
    struct mr_pn_space space[2];       /* Initial, Handshake */
    struct mr_crypto_stream crypto[3]; /* Initial, Handshake, 1-RTT */
    bool is_reduced;                   /* client: the server's limits are lower than remembered */
    struct mr_transport_params remembered; /* client: limits of the ticket, then the server's */
    uint32_t original_version;             /* of the client's first flight */
    uint8_t alpn_size;
    uint8_t offered[2];           /* client: versions, as in struct mr_connect_options */
    bool is_version_settled;      /* client: it knows the negotiated one */
    bool has_version_negotiation; /* client: a Version Negotiation packet was acted upon */
    struct mr_cid initial_dcid;   /* that the Initial keys are made of */
    struct mr_cid original_dcid;
    struct mr_cid retry_scid;
    bool has_retry;
    bool has_peer_scid; /* the peer's first long header was seen */
    bool is_tls_done;
    bool is_handshake_sent; /* client: a Handshake packet went out */
    uint8_t hurries;        /* server: how often its flight was repeated before its PTO */
    bool has_initial_key;   /* in the endpoint's table of first DCIDs */
    uint8_t initial_key_size;
    uint8_t initial_key[MR_CID_MAX];
    uint16_t token_size;
    uint16_t new_token_size;
    uint32_t pending_count;
    uint64_t ticket_wait_until_ns;
    uint64_t early_until_ns;   /* server, confirmed: the keys of 0-RTT go then */
    uint32_t ticket_wait_prev; /* connections whose clients only wait for tickets, oldest first */
    uint32_t ticket_wait_next;
    bool waits_for_ticket; /* is among them */
    uint64_t started_ns;
    uint64_t paused_before_ns;   /* the endpoint's pauses until then: later ones do not count */
    struct mr_addr preferred[2]; /* a client's: the server's IPv6 and IPv4 one; port 0: none */
    uint16_t params_size;
    uint32_t ticket_size;
    uint16_t remember_size;
    /* from here on, 20 KB: undefined until it is set, but for the keys, of which there are none */
    struct mr_level_key open[2];
    struct mr_level_key seal[2];
    struct mr_level_key early; /* 0-RTT: a client seals with it, a server opens */
    struct mr_level_key
        open_original; /* server that changed the version: Initials of the original */
    struct mr_pending pending[MR_PENDING_DATAGRAMS_MAX];
    uint8_t alpn[MR_TLS_ALPN_MAX];        /* client: what it offers, to begin again */
    uint8_t token[MR_TOKEN_SENT_MAX];     /* client: in its Initials */
    uint8_t new_token[MR_TOKEN_KEPT_MAX]; /* client: for the next connection */
    uint8_t params[MR_TRANSPORT_PARAMS_MAX];
    uint8_t ticket[MR_TLS_TICKET_MAX]; /* the newest that came */
    uint8_t remember[MR_TLS_REMEMBER_MAX];
};
#endif /* MR_QUIC_HANDSHAKE_H */
