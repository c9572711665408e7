/*
 * tools/perf_load_internal.h - what perf_load.c (arrivals, phases, life) and perf_ops.c
 * (operations, their streams and connections) share.
 */
#ifndef MR_TOOLS_PERF_LOAD_INTERNAL_H
#define MR_TOOLS_PERF_LOAD_INTERNAL_H

#include "base/pool.h"
#include "base/random.h"
#include "tools/perf_load.h"

#define MR_PERF_LOOK_AROUND 8       /* connections that are looked at for a free place */
#define MR_PERF_RETRY_NS    1000000 /* until what was refused is tried again */
#define MR_PERF_NO_ERROR    0
#define MR_PERF_LEAVE_NS    UINT64_C(20000000)  /* beside two round trips; */
#define MR_PERF_LEAVE_MAX   UINT64_C(200000000) /* no longer than this */

/* A connection: kept open, or an operation's own. */
struct mr_perf_conn {
    mr_handle conn;
    uint32_t under_way; /* operations that have not come to their end */
    uint32_t ops;       /* that name it: their streams' last events are to come */
    uint32_t owed;      /* closed loop: operations that could not begin */
    uint32_t op;        /* whose own it is; MR_NONE: kept */
    uint32_t rebind;    /* the operation that waits for another path; MR_NONE: none */
    uint32_t next;      /* free, or leaving */
    uint64_t close_ns;  /* its operation has come to its end: close it then; 0: it has not */
    bool is_used;
    bool is_open; /* connected */
    bool is_gone; /* closed: used until the last operation lets go */
};

struct mr_perf_op {
    mr_handle stream; /* that the request goes by; MR_HANDLE_NONE: none yet */
    mr_handle answer; /* unidirectional: that of its answer; MR_HANDLE_NONE: none yet */
    uint32_t conn;
    uint32_t place; /* kept connection of whose places it has one; MR_NONE: none */
    uint32_t next;  /* free */
    uint64_t due_ns;
    uint64_t total; /* bytes to send; UINT64_MAX: no end */
    uint64_t queued;
    uint64_t acked_to;
    uint8_t header[MR_PERF_HEADER];
    uint8_t kind;
    bool is_measured; /* it began while measuring */
    bool is_counted;  /* its end was */
    bool is_fin;
    bool
        is_given_up; /* an endless one's streams are abandoned; they close when the peer heard it */
    uint8_t streams; /* that are not closed yet */
};

struct mr_perf_due {
    uint64_t due_ns;
    uint32_t kind;
    bool is_stalled; /* it was due while the shard did not poll */
};

struct mr_perf_load {
    struct mr_application application;
    struct mr_transport *transport;
    struct mr_perf_plan plan;
    const struct mr_perf_buffer *buffer;
    struct mr_far *far; /* NULL: no orders */
    struct mr_random random;
    int phase;
    uint32_t conn_max;
    uint32_t conn_free;
    uint32_t conn_used;
    uint32_t kept;       /* connections that are there or begun */
    uint32_t connecting; /* of those, not there yet */
    uint32_t own;        /* connections of operations */
    uint32_t leaving;    /* of those, to be closed, oldest first; MR_NONE: none */
    uint32_t leaving_last;
    uint32_t op_free;
    uint32_t op_used;
    uint32_t started; /* closed loop: connections below have begun */
    uint32_t turn;    /* open loop: the connection that is looked at next */
    uint32_t sampled;
    uint64_t sample_ns;
    uint64_t polled_ns; /* the last poll; 0: none */
    bool has_stalled;   /* before this poll; what became due meanwhile is in line with it */
    uint64_t retry_ns;  /* a refused connection is not tried before */
    uint64_t next_ns;   /* open loop: the next arrival; 0: the first one */
    uint64_t next_ps;   /* and picoseconds */
    uint32_t late_begin;
    uint32_t late_end;
    double weights;
    bool has_streamless; /* some kind's operations may be without a stream for a while */
    bool has_no_rebind;  /* the server forbids it, or nobody can */
    struct mr_perf_conn *conns;
    struct mr_perf_op *ops;
    struct mr_perf_due *late; /* MR_PERF_LATE_MAX */
    uint32_t ticket_size;
    uint8_t ticket[MR_PERF_TICKET_MAX];
    struct mr_perf_shared shared;
};

static inline void mr_perf_count(uint64_t *field, uint64_t n)
{
    __atomic_store_n(field, *field + n, __ATOMIC_RELAXED); /* one writer */
}

static inline uint64_t mr_perf_now(const struct mr_perf_load *load)
{
    return load->transport->ops->now(load->transport);
}

static inline bool mr_perf_may_begin(const struct mr_perf_load *load)
{
    return load->phase == MR_PERF_WARM || load->phase == MR_PERF_MEASURE;
}

/* ---- perf_ops.c ---- */

/* A kind of operation, by weight. */
uint32_t mr_perf_choose_kind(struct mr_perf_load *load);

/* Begin an operation that was due then, on this connection, or any.  False: not now. */
bool mr_perf_begin(struct mr_perf_load *load, uint32_t kind, uint64_t due_ns,
                   struct mr_perf_conn *c);

/* Closed loop: begin in all places of a connection; begin what could not begin, how many did. */
void mr_perf_begin_all(struct mr_perf_load *load, struct mr_perf_conn *c);
uint32_t mr_perf_begin_owed(struct mr_perf_load *load, struct mr_perf_conn *c);

/* Open the connections that are to be kept, as many at a time as may be. */
void mr_perf_open_kept(struct mr_perf_load *load);

/* An operation has come to its end; once, further calls do nothing. */
void mr_perf_finish(struct mr_perf_load *load, struct mr_perf_op *op, bool is_done);

/* No event of its streams is to come. */
void mr_perf_let_go(struct mr_perf_load *load, struct mr_perf_op *op);

/* A kept connection with a free place; NULL: none is near. */
struct mr_perf_conn *mr_perf_find_conn(struct mr_perf_load *load);

/* Why something failed, for people: each text once, and how often. */
void mr_perf_note_reason(struct mr_perf_load *load, const char *what, const char *reason,
                         uint64_t code);

/* Close the connections of operations that came to their end a while ago: the handshake has come
 * to its end at the server, too. */
void mr_perf_close_left(struct mr_perf_load *load);

/* ---- perf_rebind.c ---- */

/* As mr_perf_begin(), of an operation that has its place. */
bool mr_perf_begin_rebind(struct mr_perf_load *load, struct mr_perf_op *op, struct mr_perf_conn *c);

/* The connection is on another path, or stays on the one before. */
void mr_perf_end_rebind(struct mr_perf_load *load, struct mr_perf_conn *c, bool is_done);

/* For the application. */
void mr_perf_on_events(void *context, const struct mr_event *events, size_t n);

#endif /* MR_TOOLS_PERF_LOAD_INTERNAL_H */
