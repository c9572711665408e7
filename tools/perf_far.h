/*
 * tools/perf_far.h - what the control thread of `millrace perf client` asks that of a server, over
 * a connection of its own beside the load.
 *
 *     client: control thread -- order --> shard ==stream, FIN==> shard -- order --> control thread
 *             control thread <- answer -- shard <==stream, FIN== shard <- answer -- control thread
 *
 * One text goes there and one comes back; a stream for each.  What they say is perf_far_report.h's.
 *
 * Owner: each end's command; one for each shard of a server, one in all at a client.  Threads: the
 * shard's, but for what is said to be the control thread's; `state` hands the text over.  Limits:
 * one order at a time at each end, which others are refused for; MR_FAR_CONNS connections.
 */
#ifndef MR_TOOLS_PERF_FAR_H
#define MR_TOOLS_PERF_FAR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "millrace/transport.h"

#define MR_FAR_ALPN      "millrace-perf"
#define MR_FAR_ORDER_MAX 1024       /* bytes of an order */
#define MR_FAR_TEXT_MAX  262144     /* bytes of an answer */
#define MR_FAR_CONNS     4          /* connections with orders, of a shard */
#define MR_FAR_BUSY      2          /* error code: one order at a time */
#define MR_FAR_TOO_LONG  3          /* error code */
#define MR_FAR_NAME      UINT64_MAX /* user data of its connection and streams */

enum mr_far_state {
    MR_FAR_IDLE,     /* the end that asks may write `order` */
    MR_FAR_ASKED,    /* the other one's turn */
    MR_FAR_ANSWERED, /* `text` is there, or `failure` */
};

struct mr_far {
    struct mr_transport *transport;
    _Atomic int state;
    mr_handle stream; /* that carries the order, or its answer */
    uint32_t order_size;
    uint32_t size;       /* of `text` */
    bool is_queued;      /* the order, or the answer, was given to the transport */
    const char *failure; /* client: why there is no answer; NULL: there is */
    /* server */
    mr_handle stream_conn; /* of `stream` */
    mr_handle next;        /* a stream whose order waits until the answer before is acknowledged */
    mr_handle next_conn;
    _Atomic uint32_t conns_now; /* `conn_count`, for the control thread, relaxed */
    uint32_t conn_count;
    mr_handle conns[MR_FAR_CONNS];
    /* client */
    struct mr_connect_options connect; /* to the server; the ALPN is ours */
    mr_handle conn;
    bool is_connecting;
    bool is_connected;
    bool is_answered; /* what `stream` carried */
    char order[MR_FAR_ORDER_MAX];
    char text[MR_FAR_TEXT_MAX + 1];
};

/* ---- a server's shard ---- */

/* A connection is there.  True: it brings orders, and none of its streams is anybody else's. */
bool mr_far_accept(struct mr_far *far, mr_handle conn);

/* Is it one of those? */
static inline bool mr_far_has(const struct mr_far *far, mr_handle conn)
{
    bool has = false;

    for (uint32_t i = 0; i < far->conn_count; i++)
        has |= far->conns[i] == conn;
    return has;
}

/* An event of one of its connections, or of a stream of theirs, or a timer of MR_FAR_NAME. */
void mr_far_server_event(struct mr_far *far, const struct mr_event *event);

/* With each poll, and by a timer: an idle shard sleeps. */
void mr_far_server_poll(struct mr_far *far);

/* Control thread: the order that waits, without its end, of `*size_out` bytes; NULL: none. */
const char *mr_far_order(struct mr_far *far, uint32_t *size_out);

/* Control thread: connections that bring orders now. */
static inline uint32_t mr_far_conns(const struct mr_far *far)
{
    return atomic_load_explicit(&far->conns_now, memory_order_relaxed);
}

/* Control thread: the answer to it; what is longer than MR_FAR_TEXT_MAX becomes "{}". */
void mr_far_give(struct mr_far *far, const char *text);

/* ---- a client's shard ---- */

/* An event whose user data is MR_FAR_NAME. */
void mr_far_client_event(struct mr_far *far, const struct mr_event *event);
void mr_far_client_poll(struct mr_far *far);

/* The run is over: the connection is closed.  True: there is none any more. */
bool mr_far_client_close(struct mr_far *far);

/* Control thread: may another be asked?  The answer to one that nobody waits for any more is thrown
 * away.  False: it has not come, and there is none to be had before it does. */
bool mr_far_may_ask(struct mr_far *far);

/* Control thread: ask, with at most MR_FAR_ORDER_MAX bytes; nothing may be asked already. */
void mr_far_ask(struct mr_far *far, const char *order);

/* Control thread: the answer, NUL at its end; NULL: not yet, or with *failure_out set: there will
 * be none.  Once: after it another may be asked. */
const char *mr_far_answer(struct mr_far *far, const char **failure_out);

#endif /* MR_TOOLS_PERF_FAR_H */
