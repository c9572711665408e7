/*
 * tools/bench_idle_app.h - the client of `millrace bench idle`: connections that are made up to a
 * number, held, woken at random, closed.
 *
 *     control thread   target ----> connect until there are so many
 *                      wakes -----> a request on one of them: drawn at random, a few at a time; or
 *                                   in turn, `burst` at once, and as many as one each
 *                                   MR_IDLE_APART_NS
 *                      is_closing -> close all, a few in each iteration
 *
 * A request has WAKE_BYTES bytes, and so has its answer, which is compared with what the perf
 * protocol's server sends (tools/bench_app.h).
 *
 * Owner: the bench.  Threads: the shard's worker; what is atomic, and `shared`, is the control
 * thread's, too.
 * Limits: as many connections as it was made for.
 */
#ifndef MR_TOOLS_BENCH_IDLE_APP_H
#define MR_TOOLS_BENCH_IDLE_APP_H

#include "base/random.h"
#include "millrace/transport.h"
#include "tools/bench_worker.h"
#include "tools/perf_buffer.h"

#define MR_IDLE_AWAKE    32 /* requests at a time */
#define MR_IDLE_APART_NS UINT64_C(100000)

struct mr_idle_load {
    struct mr_address server;
    uint32_t connections; /* at most */
    uint32_t connects_at_once;
    uint32_t full_handshakes; /* of the first so many connections, */
    bool wants_resumption;    /* then with a ticket */
    uint64_t seed;
};

struct mr_idle_request {
    uint32_t received;
    uint32_t next_free;
    bool is_over; /* answered in full */
};

/* What the control thread wants. */
struct mr_idle_orders {
    _Atomic uint32_t target; /* connections */
    _Atomic uint64_t wakes;  /* requests in all so far */
    _Atomic uint32_t burst;  /* 0: at random, the next as soon as one is answered */
    _Atomic bool is_closing;
};

struct mr_idle_app {
    struct mr_application application;
    struct mr_transport *transport;
    struct mr_bench_shared shared;
    struct mr_idle_load load;
    const struct mr_perf_buffer *data;
    struct mr_idle_orders orders;
    mr_handle *conns; /* MR_HANDLE_NONE: it was lost */
    uint32_t conn_count;
    uint32_t connecting;
    uint32_t closed; /* of conns, from the front */
    uint64_t woken;
    uint64_t burst_ns; /* of the transport's clock: the next burst's time */
    uint32_t turn;     /* in conns, whose it was */
    uint32_t request_free;
    struct mr_idle_request requests[MR_IDLE_AWAKE];
    struct mr_random random;
    size_t ticket_size;
    uint8_t ticket[8192];
};

/* NULL: no memory.  `data`, the server's, stays borrowed. */
struct mr_idle_app *mr_idle_app_make(const struct mr_idle_load *load,
                                     const struct mr_perf_buffer *data);
void mr_idle_app_free(struct mr_idle_app *app);

#endif /* MR_TOOLS_BENCH_IDLE_APP_H */
