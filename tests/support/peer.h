/*
 * tests/support/peer.h - a hand-made QUIC peer for tests of the trunk.
 *
 *     endpoint under test  <--packets with any bytes as frames--  peer (the test)
 *                          --datagrams, opened and kept------->   inbox
 *
 * Two real endpoints do as much of a handshake as the test asks for, in virtual time;
 * then the partner falls silent and the test speaks in its place, with its keys.
 *
 *     peer_new() .. peer_run(stage) .. peer_send(space, frames) .. peer_find() .. peer_free()
 *
 * Owner: the test.  Threads: the test's only.  Anything unexpected of the set-up aborts.
 */
#ifndef MR_TESTS_SUPPORT_PEER_H
#define MR_TESTS_SUPPORT_PEER_H

#include "control/tls_context.h"
#include "quic/conn.h"
#include "quic/frame_extension.h"

#define PEER_NEXT_PN    UINT64_MAX
#define PEER_LATENCY    (5 * MR_MS) /* one way, while the partner speaks */
#define PEER_INBOX_MAX  192
#define PEER_EVENTS_MAX 64
#define PEER_DATAGRAM   1500
#define PEER_BUFFERS    512
#define PEER_CID_SIZE   8
#define PEER_PATHS      16

enum peer_stage {
    PEER_NOTHING, /* nobody has said anything */
    PEER_HELLO,   /* the server has the ClientHello; its flight is on its way to nobody */
    PEER_FLIGHT,  /* the client has the server's flight; its Finished goes nowhere */
    PEER_DONE,    /* confirmed on both sides, everything acknowledged, silence */
    PEER_BOTH     /* the same, but the partner goes on: peer_round_trip() */
};

struct peer_options {
    enum mr_role under_test;
    uint32_t retry_above;             /* 0: 1000; PEER_ALWAYS_RETRY */
    uint64_t idle_timeout_ns;         /* 0: 60 s; PEER_NEVER_IDLE: none */
    uint64_t partner_idle_timeout_ns; /* 0: the same */
    uint64_t keep_alive_ns;           /* of the endpoint under test; 0: none */
    uint64_t stream_window;           /* 0: 16 MiB */
    uint32_t connections;             /* at most; 0: 4 */
    uint32_t streams_bidi;            /* 0: 8 */
    uint32_t streams_uni;             /* 0: 3 */
    bool has_ecn;                     /* packets are marked ECT */
    uint32_t datagram_max; /* of DATAGRAM frames that the endpoint under test takes; 0: none */
    uint32_t partner_datagram_max; /* that its partner takes */
    uint8_t versions[2];           /* of QUIC, that the client wants: struct mr_connect_options */
    uint8_t server_versions;       /* that the server accepts: enum mr_version_set; 0: all */
    const uint8_t *ticket;         /* of the client */
    size_t ticket_size;
    struct mr_addr preferred; /* of the server; port 0: none */
    bool has_sleep;           /* there are sleepers, and a place for all awake but one */
    bool has_new_token;       /* the server gives NEW_TOKEN, */
    bool has_resume;          /* which say what the path carries */
    bool is_early;            /* it wants 0-RTT */
    uint32_t extensions;      /* of enum mr_extension, of the endpoint under test */
    uint32_t partner_extensions;
    uint16_t ack_packets;   /* of an ACK of the endpoint under test, at most; 0: any number */
    uint32_t paths_max;     /* of a connection, with MR_EXTENSION_MULTIPATH; of both */
    const uint8_t *cid_key; /* of connection IDs of the endpoint under test; NULL: plain text */
    uint8_t cc;             /* of both: 1 + enum mr_cc_kind; 0: NewReno */
    const struct mr_tls_context *tls; /* [2], by role, borrowed; NULL: made for this pair */
    struct mr_replay *replay;         /* of the server's 0-RTT; NULL: copies are taken */
    struct mr_aead *aead;             /* of everybody, borrowed; NULL: OpenSSL's, made for each */
    bool leaves_checks;               /* of the endpoints' invariants to the test */
    bool is_insecure;                 /* the client takes any certificate */
    uint64_t cid_renew_ns;            /* of these: their age; 0: any */
    enum mr_cid_kind cid_kind;
    /* change the partner's transport parameters in place before they are sent; NULL: leave them */
    void (*edit_params)(uint8_t *params, size_t size);
    /* change the limits of the endpoint under test before it is made; NULL: leave them */
    void (*edit_limits)(struct mr_limits *limits);
};
#define PEER_ALWAYS_RETRY UINT32_MAX
#define PEER_NEVER_IDLE   UINT64_MAX

/* One packet of the endpoint under test. */
struct peer_packet {
    enum mr_packet_type type;
    bool is_open; /* frames at `bytes`; else the packet as it came */
    uint32_t version;
    uint8_t first_byte;
    uint64_t pn;
    uint64_t at_ns;
    uint32_t datagram; /* its number: coalesced packets share it */
    uint32_t datagram_size;
    uint8_t ecn;
    struct mr_path_addr path;
    struct mr_cid dcid;
    uint32_t path_id;    /* that the connection ID is of */
    uint16_t token_size; /* of an Initial */
    size_t size;
    uint8_t bytes[PEER_DATAGRAM];
};

/* A packet for the endpoint under test. */
struct peer_out {
    enum mr_packet_type type;
    const void *frames;
    size_t size;
    uint64_t pn;               /* PEER_NEXT_PN */
    uint8_t bits;              /* flipped in the first byte */
    const struct mr_cid *dcid; /* NULL: the usual */
    const uint8_t *token;
    uint16_t token_size;
    uint32_t path_id; /* in the nonce; not 0: `pn` is given */
};

struct peer_key {
    struct mr_secret secret;
    struct mr_key_material material;
    struct mr_aead_key aead;
    struct mr_hp_key hp;
    bool is_set;
};

struct peer_event {
    struct mr_event event; /* `reason` is not valid any more */
    char reason[128];
};

struct peer_buffer {
    struct mr_buf buf;
    bool is_out;
    uint8_t bytes[PEER_DATAGRAM];
};

struct peer_side {
    enum mr_role role;
    struct mr_endpoint *ep;
    void *memory;
    size_t memory_size;
    bool is_cut; /* the endpoint has less than all of it */
    struct mr_aead *aead;
    struct mr_tls_context tls;
    struct peer_buffer *buffers;
    uint32_t buffers_out;
};

struct peer_raw {
    struct mr_path_addr path; /* as the receiver sees it */
    uint32_t size;
    uint8_t ecn;
    uint8_t bytes[PEER_DATAGRAM];
};

struct peer {
    struct peer_side side[2];
    enum mr_role role; /* under test */
    uint64_t now;
    bool holds_jobs;   /* TLS jobs of the endpoint under test are the test's to take */
    bool holds_events; /* and its events */
    bool is_alone;     /* the partner is silent */
    void (*edit_params)(uint8_t *params, size_t size);
    mr_handle conn; /* of the endpoint under test; MR_HANDLE_NONE until it is told */
    struct peer_options options;
    uint32_t version; /* that we write and derive keys with */
    struct mr_aead *aead;
    struct peer_key seal[MR_SPACES];
    struct peer_key open[MR_SPACES];
    struct peer_key early; /* 0-RTT: to seal, if the server is under test, else to open */
    uint64_t next_pn[MR_SPACES];
    uint64_t expected_pn[MR_SPACES];
    uint64_t expected_path_pn[PEER_PATHS]; /* of further paths */
    uint8_t phase;                         /* we seal with */
    struct mr_cid dcid;                    /* where we send */
    struct mr_cid scid;                    /* ours */
    struct mr_path_addr path;              /* as the endpoint under test sees us */
    uint8_t ecn;                           /* of what it receives, unless 0 */
    struct peer_raw hello;                 /* the client's first datagram */
    uint32_t datagrams;                    /* sent by the endpoint under test */
    uint64_t bytes;
    uint32_t wire_count[2];
    uint32_t inbox_count;
    uint32_t event_count;
    struct peer_raw wire[2][64]; /* on the way to side [i] */
    struct peer_packet inbox[PEER_INBOX_MAX];
    struct peer_event events[PEER_EVENTS_MAX];
};

/* A new pair; free with peer_free(), which says false if the endpoints kept buffers. */
struct peer *peer_new(const struct peer_options *options);
bool peer_free(struct peer *p);

/* The same in two steps each, for who makes many pairs one after the other in the same memory:
 * peer_alloc() .. peer_start() .. peer_stop() .. peer_start() .. peer_stop() .. free(). */
struct peer *peer_alloc(void);
void peer_start(struct peer *p, const struct peer_options *options);
bool peer_stop(struct peer *p);

/* Both in one: a peer of the endpoint in role `under_test`, at `stage`. */
struct peer *peer_at(enum mr_role under_test, enum peer_stage stage);

/* Do the handshake up to `stage`, then silence the partner. */
void peer_run(struct peer *p, enum peer_stage stage);

/* The client begins a connection; its ClientHello is ready to be sent. */
void peer_connect(struct peer *p);

/* At PEER_BOTH: what both have to say arrives, PEER_LATENCY later. */
void peer_round_trip(struct peer *p);

/* At PEER_BOTH: the partner is killed and begins again, with the static key that it had. */
void peer_restart_partner(struct peer *p);

/* The endpoint under test, its only connection, its counters. */
struct mr_endpoint *peer_endpoint(struct peer *p);
struct mr_conn *peer_conn(struct peer *p);
const struct mr_counters *peer_counters(struct peer *p);

/* The Initial keys of `dcid`, from our side. */
void peer_set_initial_keys(struct peer *p, const struct mr_cid *dcid);

/* Write a sealed packet: bytes written. */
size_t peer_build(struct peer *p, const struct peer_out *out, uint8_t *dst, size_t room);

/* Hand a datagram to the endpoint under test, let it do its work, keep what it answers. */
void peer_deliver(struct peer *p, const uint8_t *bytes, size_t size);

/* The same with `count` <= MR_BURST datagrams at once. */
void peer_deliver_burst(struct peer *p, const struct peer_raw *raws, uint32_t count);

/* Let the partner's last flight arrive: the server's at PEER_HELLO, the client's at PEER_FLIGHT. */
void peer_deliver_flight(struct peer *p);

/* The ID of the path that a connection ID of `ep` is of; 0: none of its further paths. */
uint32_t peer_path_of(const struct mr_endpoint *ep, const struct mr_packet_header *header);

/* One packet in one datagram; Initials of a client in 1,200 bytes. */
void peer_send_packet(struct peer *p, const struct peer_out *out);
void peer_send(struct peer *p, enum mr_packet_type type, const void *frames, size_t size);

/* The next generation of our keys: both directions. */
void peer_update_keys(struct peer *p);

/* Let `ns` pass for the endpoint under test. */
void peer_advance(struct peer *p, uint64_t ns);

/* Let it send what it has, without time passing. */
void peer_drain(struct peer *p);

/* Forget what was received. */
void peer_clear(struct peer *p);

/* Look at every frame of the inbox: from a walk of zeros on, until it is false.  *r is behind the
 * frame's type. */
struct peer_walk {
    uint32_t next; /* packet */
    struct mr_reader rest;
};
const struct peer_packet *peer_next_frame(const struct peer *p, struct peer_walk *walk,
                                          uint64_t *type_out, struct mr_reader *r);

/*
 * Find frame number `nth` (from 0) of type `type` in the inbox.  Returns its packet and in *r a
 * reader behind the frame's type; NULL: there is none.
 */
const struct peer_packet *peer_find(const struct peer *p, uint64_t type, uint32_t nth,
                                    struct mr_reader *r);
uint32_t peer_count(const struct peer *p, uint64_t type);

/* The error of the first CONNECTION_CLOSE (0x1c), PEER_NO_CLOSE if there is none. */
#define PEER_NO_CLOSE UINT64_MAX
uint64_t peer_close_error(const struct peer *p, uint64_t *frame_type_out);

/* The first event with one of `kinds`, NULL. */
const struct peer_event *peer_event(const struct peer *p, uint32_t kinds);

/* Acknowledge the 1-RTT packets lo..hi. */
void peer_ack(struct peer *p, uint64_t lo, uint64_t hi);

#endif /* MR_TESTS_SUPPORT_PEER_H */
