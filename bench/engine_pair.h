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
};

/* One endpoint and its buffers. */
struct engine_side {
    struct mr_endpoint *ep;
    struct mr_tls_context tls;
    enum mr_role role;
    uint8_t bytes[MR_BURST][2048]; /* a burst that it builds */
};

/* Both; the program's functions get the side that something happened to. */
struct engine_pair {
    struct engine_side side[2]; /* by role */
    uint64_t now_ns;            /* virtual; the caller moves it on */
    void (*on_event)(struct engine_side *side, const struct mr_event *event);
};

MR_COLD _Noreturn void engine_die(const char *what);

/* The pair, with a certificate of its own. */
struct engine_pair *engine_pair_make(const struct engine_options *options);

/* Begin a connection from the client to the server. */
mr_handle engine_connect(struct engine_pair *pair);

/* Give a burst that arrives to the side, its events to the application, and take the buffers of
 * what was consumed back. */
void engine_receive_burst(struct engine_pair *pair, struct engine_side *side,
                          struct mr_datagram *datagrams, uint32_t count);

/* Copy what one side built into buffers of the other: `count` datagrams. */
void engine_carry(const struct mr_outgoing *out, struct mr_datagram *datagrams, uint32_t count);

/* MR_BURST places to build into. */
void engine_places(struct engine_side *side, struct mr_outgoing *out);

/* TLS jobs of a side, and its timers that are due. */
void engine_run_jobs(struct engine_pair *pair, struct engine_side *side);
void engine_expire(struct engine_pair *pair);

#endif
