/*
 * tools/perf_load.h - the load of `millrace perf`: operations of the QUIC performance protocol
 * (perf_server.h), begun by one shard.
 *
 *     phase   CONNECT          WARM          MEASURE          DRAIN          CLOSE        OVER
 *             connections are  operations run, uncounted;     none is begun, connections  nothing
 * is opened           then counted                   those begun end close       left
 *
 * Closed loop: each connection has `at_once` operations under way; when one ends the next begins.
 * Open loop: operations are due at moments that do not depend on how earlier ones fare.  One that
 * cannot begin waits in line, and its latency counts from when it was due: a stall of the server is
 * seen by all that were due meanwhile (no coordinated omission).
 *
 * An operation is a stream of a connection that is kept open, or a connection of its own: a
 * handshake, with a request in it if it has bytes.
 *
 * Owner: the command; one for each shard.  Threads: the shard's; the control thread sets the phase
 * and the rate, and reads: counts at any time, histograms and reasons when `seen` is past MEASURE.
 * Limits: `operations` under way at a time, MR_PERF_LATE_MAX waiting, MR_PERF_OWN_MAX connections
 * of operations; what is due beyond is counted as not begun.
 */
#ifndef MR_TOOLS_PERF_LOAD_H
#define MR_TOOLS_PERF_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/histogram.h"
#include "millrace/transport.h"
#include "tools/perf_limiter.h"
#include "tools/perf_server.h"

#define MR_PERF_KINDS_MAX   8
#define MR_PERF_LATE_MAX    65536 /* operations that are due and wait; a power of two */
#define MR_PERF_OWN_MAX     4096  /* connections that are operations, of a shard */
#define MR_PERF_REASONS_MAX 8     /* kinds of failure that are told apart */
#define MR_PERF_REASON      256   /* bytes */
#define MR_PERF_TICKET_MAX  4096  /* bytes */
#define MR_PERF_ENDLESS     (UINT64_C(1) << 60) /* bytes: until the run ends */
#define MR_PERF_ALPN_MAX    32                  /* bytes of a protocol's name */

enum mr_perf_phase {
    MR_PERF_CONNECT,
    MR_PERF_WARM,
    MR_PERF_MEASURE,
    MR_PERF_DRAIN,
    MR_PERF_CLOSE,
    MR_PERF_OVER, /* the shard's answer to CLOSE */
};

/* A kind of operation. */
struct mr_perf_kind {
    double weight;       /* its part of all operations is weight / sum of weights */
    uint64_t up_bytes;   /* behind the request's 8; MR_PERF_ENDLESS: until the run ends */
    uint64_t down_bytes; /* that are asked for; likewise */
    bool is_uni;         /* on unidirectional streams, both ways */
    bool is_connection;  /* a connection of its own */
    bool is_resumed;     /* which resumes an earlier one, */
    bool is_early;       /* with its request in 0-RTT */
    bool is_rebind;      /* a kept connection goes on from another UDP port */
};

struct mr_perf_plan {
    struct mr_address server;
    const char *server_name;
    const char
        *alpn; /* NULL: MR_PERF_ALPN; with another protocol's, handshakes alone are possible */
    bool is_insecure;
    uint32_t connections; /* kept open */
    uint32_t connecting;  /* handshakes at a time, of those */
    uint32_t at_once;     /* operations at a time, of a connection */
    uint32_t operations;  /* at a time in all */
    uint32_t kind_count;
    struct mr_perf_kind kind[MR_PERF_KINDS_MAX];
    bool is_open_loop;
    bool is_even; /* arrivals at equal distances; else as a Poisson process has them */
    uint64_t seed;
};

/* Since the start, relaxed. */
struct mr_perf_counts {
    uint64_t connected;
    uint64_t lost;    /* kept connections that ended before CLOSE, or did not begin */
    uint64_t resumed; /* operations: the handshake used a ticket */
    uint64_t early;   /* likewise: 0-RTT was accepted */
    uint64_t due;     /* operations, open loop */
    uint64_t begun;   /* operations */
    uint64_t done;
    uint64_t done_of[MR_PERF_KINDS_MAX]; /* each kind's part of that */
    uint64_t failed;
    uint64_t not_begun;    /* due, and the line was full, or memory */
    uint64_t late;         /* begun later than due by MR_PERF_LATE_NS or more */
    uint64_t late_stalled; /* of these, due while the shard did not poll */
    uint64_t stalls;       /* times that the shard did not poll for MR_PERF_LATE_NS or more */
    uint64_t stalled_ns;
    uint64_t bytes_up; /* acknowledged */
    uint64_t bytes_down;
    uint64_t limited[MR_PERF_LIMITERS]; /* samples of kept connections */
};

/* Of a kind, those that began while measuring. */
struct mr_perf_kind_result {
    uint64_t begun;
    uint64_t done; /* by the end of DRAIN */
    uint64_t failed;
    uint64_t resumed;            /* of those begun: the handshake used a ticket, */
    uint64_t early;              /* and its 0-RTT was accepted */
    struct mr_histogram latency; /* ns, from when it was due or began to its last byte */
};

struct mr_perf_reason {
    uint64_t count;
    char text[MR_PERF_REASON];
};

/* What the control thread and the shard share. */
struct mr_perf_shared {
    _Atomic int phase;          /* wanted: the control thread's */
    _Atomic int seen;           /* the shard's, release: what belongs to earlier phases is final */
    _Atomic uint64_t every_ps;  /* open loop: picoseconds between arrivals, on average; 0: none */
    _Atomic uint32_t open;      /* kept connections that are there now */
    _Atomic uint32_t under_way; /* operations */
    struct mr_perf_counts counts;
    struct mr_perf_kind_result kinds[MR_PERF_KINDS_MAX];
    uint32_t reason_count;
    struct mr_perf_reason reasons[MR_PERF_REASONS_MAX];
};

#define MR_PERF_LATE_NS UINT64_C(1000000)

struct mr_far;
struct mr_perf_load;

/* NULL with `fault` set: no memory. */
struct mr_perf_load *mr_perf_load_make(const struct mr_perf_plan *plan,
                                       const struct mr_perf_buffer *buffer, struct mr_fault *fault);
void mr_perf_load_free(struct mr_perf_load *load);

/* Carry orders to the server, too (perf_far.h); before it runs.  `far` outlives it. */
void mr_perf_load_carry_orders(struct mr_perf_load *load, struct mr_far *far);

/* For the shard. */
const struct mr_application *mr_perf_load_application(const struct mr_perf_load *load);

struct mr_perf_shared *mr_perf_load_shared(struct mr_perf_load *load);

/* Add what it has counted.  Any thread. */
void mr_perf_load_read(const struct mr_perf_load *load, struct mr_perf_counts *sum);

#endif /* MR_TOOLS_PERF_LOAD_H */
