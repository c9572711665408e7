/*
 * bench/engine_pair.h - two endpoints in one thread, for programs that measure the engine alone:
 * no port, virtual time, datagrams copied from one to the other.
 *
 * Threads: one.  Errors: they end the program, with a line that says why.  Memory: static buffers
 * and two endpoints that live as long as the program.
 */
#ifndef MR_BENCH_ENGINE_PAIR_H
#define MR_BENCH_ENGINE_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "control/tls_context.h"
#include "quic/endpoint.h"

#define ENGINE_PAYLOAD 1452

struct engine_options {
    const char *back_end; /* auto, openssl, ipsec-mb or null: no protection */
    uint32_t connections;
    uint32_t streams; /* bidirectional ones that a peer may have open, per connection */
    uint8_t tickets;  /* per handshake */
    bool has_early_data;
    const char *alpn; /* one protocol, as TLS has it; NULL: "bench" */
};

/* One endpoint and its buffers. */
struct engine_side {
    struct mr_endpoint *ep;
    struct mr_tls_context tls;
    enum mr_role role;
    uint8_t bytes[MR_BURST][2048]; /* a burst that it builds */
};

/* A step of the server: `count` datagrams arrive, a burst goes.  Returns its datagrams. */
typedef uint32_t (*engine_step)(struct mr_datagram *in, uint32_t count, struct mr_outgoing *out);

/* What turns came to; the program may begin it anew. */
struct engine_sums {
    uint64_t packets[2]; /* by role, sent */
    uint64_t turns;      /* with a datagram to the server or from it */
    uint64_t server_ns;  /* of the server's steps in these */
};

/* Both; the program's functions get the side that something happened to. */
struct engine_pair {
    struct engine_side side[2]; /* by role */
    uint64_t now_ns;            /* virtual; the caller moves it on */
    struct engine_sums sums;
    uint64_t watched;      /* engine_watch(): what it saw last */
    uint32_t quiet_turns;  /* since it saw something else */
    const uint8_t *ticket; /* the caller's: of the next connections; NULL: none */
    size_t ticket_size;
    bool is_early; /* the next connections may send 0-RTT */
    void (*on_event)(struct engine_side *side, const struct mr_event *event);
    /* In its place, many at a time, if it is there. */
    void (*on_events)(struct engine_side *side, const struct mr_event *events, uint32_t count);
};

MR_COLD _Noreturn void engine_die(const char *what);

/* A context of the role, of what the options say of TLS: the server has a certificate that the
 * program makes for itself, the client trusts it. */
void engine_tls(enum mr_role role, const struct engine_options *options,
                struct mr_tls_context *out);

/* What the configurations of such endpoints have in common, for one connection after the other: no
 * streams yet.  `tls` is borrowed, and may be made later. */
struct mr_endpoint_config engine_config(enum mr_role role, const struct mr_tls_context *tls,
                                        struct mr_aead *aead);
struct mr_endpoint *engine_endpoint(const struct mr_limits *limits,
                                    const struct mr_endpoint_config *config, uint64_t now);

/* The pair, with a certificate of its own. */
struct engine_pair *engine_pair_make(const struct engine_options *options);

/* Begin a connection from the client to the server. */
mr_handle engine_connect(struct engine_pair *pair);

/* Give a burst that arrives to the side, its events to the application, and take the buffers of
 * what was consumed back. */
void engine_receive_burst(struct engine_pair *pair, struct engine_side *side,
                          struct mr_datagram *datagrams, uint32_t count);

/* Only its events. */
void engine_take_events(struct engine_pair *pair, struct engine_side *side);

/* Copy what one side built into buffers of the other: `count` datagrams. */
void engine_carry(const struct mr_outgoing *out, struct mr_datagram *datagrams, uint32_t count);

/* MR_BURST places to build into. */
void engine_places(struct engine_side *side, struct mr_outgoing *out);

/* TLS jobs of a side, and its timers that are due. */
void engine_run_jobs(struct engine_pair *pair, struct engine_side *side);
void engine_expire(struct engine_pair *pair);

/* The plain step of a server.  Programs have a function of their own around it, so that callgrind
 * can name it. */
uint32_t engine_serve(struct engine_pair *pair, struct mr_datagram *in, uint32_t count,
                      struct mr_outgoing *out);

/* A burst of the client's, the server's step, and the answer's way back, TLS jobs of both behind
 * it.  Time and timers are the caller's. */
void engine_turn(struct engine_pair *pair, engine_step step);

/* To be called once a turn: the program ends when `done` has been the same for 100,000 of them. */
void engine_watch(struct engine_pair *pair, uint64_t done);

/* Read what there is of a stream, and release it.  True: that was its end. */
bool engine_take(struct engine_side *side, mr_handle stream);

#endif
