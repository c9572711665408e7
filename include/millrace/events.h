/*
 * millrace/events.h - callbacks: every listener, connection and stream has a handler.
 *
 *     registration --+-- listener --NEW_CONNECTION--> connection --PEER_STREAM_STARTED--> stream
 *                    +-- connection (mr_ev_connect)
 *
 * The registration is made of any transport (millrace/transport.h): the loop of an application
 * thread has one (mr_loop_registration()), and the same program runs inline on a polling lcore,
 * with mr_registration_application() given to the shard.
 *
 * Every object gets its handler and context when it is made.  State changes arrive as typed events,
 * delivered as they happen: there is no queue of notifications.  The handler's answer steers the
 * library.  Handlers of one connection and its streams are never run two at a time, and none is
 * entered while another handler of the same connection is on the stack, unless asked with
 * MR_EV_INLINE.
 *
 * Order.  What is told of one object:
 *
 *     listener    NEW_CONNECTION* STOP_COMPLETE
 *     connection  [NEW_CONNECTION, at its listener] [EARLY] CONNECTED (PEER_STREAM_STARTED |
 *                 STREAMS_AVAILABLE | DATAGRAM_RECEIVED | WRITABLE | TICKET | MOVED | CONFIRMED |
 *                 PATH_CHANGED | PATH_FAILED | PATHS_CHANGED)*
 *                 [SHUTDOWN_BY_PEER | SHUTDOWN_BY_TRANSPORT] SHUTDOWN_COMPLETE
 *     stream      [START_COMPLETE, of mr_ev_open()] (RECEIVE | SENT | SEND_COMPLETE | WRITABLE |
 *                 PEER_SEND_ABORTED | PEER_RECEIVE_ABORTED)*
 *                 [SEND_SHUTDOWN_COMPLETE] SHUTDOWN_COMPLETE
 *
 * A connection's streams end before it: their SHUTDOWN_COMPLETE comes before its SHUTDOWN_BY_x.
 *
 * Calls.  The registration's thread is the one that drove its transport last (ran the loop, or is
 * the shard's lcore).  There a call takes effect at once, ahead of calls that other threads have
 * queued, and never calls back before the running handler has returned.  From another thread, and
 * before the transport was driven for the first time, every mr_ev_x() call is queued and returns 0;
 * what goes wrong then arrives as an event: START_COMPLETE, SEND_COMPLETE or STOP_COMPLETE with a
 * status, SHUTDOWN_BY_TRANSPORT with a status for mr_ev_connect().  Answers that cannot wait
 * (mr_ev_conn_info(), ...) are given on the registration's thread only, else -EPERM.
 *
 * Queueing.  Threads that call take a mutex among themselves; the registration's thread takes
 * none: the queue towards it is single-producer single-consumer.  It carries at most
 * MR_EV_CALL_BYTES of views, options or copied bytes per call: more is -E2BIG.
 *
 * Inline contract (on an lcore): handlers return within 20 us, and do not block, allocate or call
 * the system.
 *
 * Owner: the application, for registrations and objects, until mr_registration_free() and
 * mr_ev_close().  Threads: any; the one that drives the transport is the registration's: see Calls.
 * Errors: 0 or -errno; -ESTALE: the object is not there any more; -EAGAIN from another thread: its
 * queue is full; -ENOTCONN: no transport runs; -EINVAL: not a call for this kind of object.
 */
#ifndef MILLRACE_EVENTS_H
#define MILLRACE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/path.h"
#include "millrace/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A listener, connection or stream of a registration; 0: none. */
typedef uint64_t mr_object;

#define MR_EV_CALL_BYTES 4096

enum mr_ev_type {
    /* listener */
    MR_EV_NEW_CONNECTION, /* conn, its peer and ALPN; answer MR_EV_ACCEPT after
                             mr_ev_set_handler(conn, ...), or MR_EV_REFUSE, `error` being the code
                           */
    MR_EV_STOP_COMPLETE,  /* last event of a listener; status: why, if not asked for: -ESHUTDOWN:
                             the datapath drains, finish what is open; -ENOTCONN: it is gone */
    /* connection */
    MR_EV_EARLY,     /* client, with is_early and a ticket: streams may be opened before CONNECTED;
                        what is sent on them may reach the server twice (RFC 9001, Section 9.2) */
    MR_EV_CONNECTED, /* info; a server's with info->is_early: the handshake is not complete, what
                        comes before CONFIRMED may be a copy of what a client sent before */
    MR_EV_CONFIRMED, /* server, told with info->is_early: the client itself sent what came */
    MR_EV_PEER_STREAM_STARTED, /* stream; answer MR_EV_ACCEPT after mr_ev_set_handler(stream, ...),
                                  or MR_EV_REFUSE, `error` being the code */
    MR_EV_STREAMS_AVAILABLE,   /* streams may be opened again */
    MR_EV_DATAGRAM_RECEIVED,   /* views, one datagram; valid during the call */
    MR_EV_TICKET,              /* client: a resumption ticket came, mr_ev_ticket() copies it */
    MR_EV_MOVED,               /* the connection is on another shard now; error: it came from
                                  that one.  Nothing else changes */
    MR_EV_PATH_CHANGED,        /* an address of the connection is another one now: info */
    MR_EV_PATH_FAILED,         /* mr_ev_migrate() came to nothing, the path stays */
    MR_EV_PATHS_CHANGED,    /* of several paths one was opened or is over, or is preferred or not:
                               mr_ev_path() lists them; or it has the answer to a call */
    MR_EV_SHUTDOWN_BY_PEER, /* error, reason */
    MR_EV_SHUTDOWN_BY_TRANSPORT, /* error, reason; status of a queued mr_ev_connect() */
    MR_EV_SHUTDOWN_COMPLETE, /* last event of a connection or stream: mr_ev_close() may be called,
                                here, too */
    /* stream */
    MR_EV_START_COMPLETE, /* of mr_ev_open(): status */
    MR_EV_RECEIVE,        /* views, is_fin; answer MR_EV_CONSUMED, or MR_EV_PENDING and
                             mr_ev_receive_complete() later */
    MR_EV_SENT,           /* every byte given with MR_SEND_NOTIFY was handed to the port */
    MR_EV_SEND_COMPLETE, /* of one mr_ev_send(): context, status; its buffer is the application's */
    MR_EV_WRITABLE,      /* after -EAGAIN; of a connection: of mr_ev_send_datagram() */
    MR_EV_PEER_SEND_ABORTED,     /* the peer reset: error, is_reliable */
    MR_EV_PEER_RECEIVE_ABORTED,  /* the peer asked to stop: error */
    MR_EV_SEND_SHUTDOWN_COMPLETE /* everything and FIN were acknowledged; told when the stream is
                                    over, directly before SHUTDOWN_COMPLETE */
};

enum mr_ev_answer {
    MR_EV_OK = 0,
    MR_EV_ACCEPT = 0,
    MR_EV_CONSUMED = 0, /* RECEIVE: everything shown, unless `consumed` says less: the rest is shown
                           again with what follows it, or after mr_ev_receive_enable() */
    MR_EV_PENDING = 1,  /* RECEIVE: the bytes stay the application's until
                           mr_ev_receive_complete(); no further RECEIVE until then */
    MR_EV_REFUSE = 2
};

struct mr_ev {
    enum mr_ev_type type;
    mr_object object;            /* whose handler is called */
    mr_object conn;              /* NEW_CONNECTION: the connection */
    mr_object stream;            /* PEER_STREAM_STARTED: the stream */
    const struct mr_view *views; /* RECEIVE, DATAGRAM_RECEIVED */
    size_t view_count;
    size_t size;     /* bytes in all views */
    size_t consumed; /* RECEIVE, to be set: bytes taken, <= size (more is taken for it); == size at
                        the call */
    uint64_t offset; /* RECEIVE: of the first byte in the stream */
    bool is_fin;
    bool is_uni;                     /* PEER_STREAM_STARTED */
    bool is_application;             /* SHUTDOWN_BY_PEER: the code is the application's */
    bool is_reliable;                /* PEER_SEND_ABORTED: behind bytes that the peer guaranteed
                                        (RESET_STREAM_AT), all of which were consumed */
    uint64_t error;                  /* a code; with MR_EV_REFUSE the answer's */
    const char *reason;              /* for people; valid during the call; never NULL */
    const struct mr_conn_info *info; /* NEW_CONNECTION, EARLY, CONNECTED, PATH_CHANGED */
    void *send_context;              /* SEND_COMPLETE */
    int status;                      /* 0 or -errno; SEND_COMPLETE: -ECANCELED: not acknowledged
                                        when the stream ended */
};

typedef enum mr_ev_answer (*mr_ev_handler)(void *context, struct mr_ev *event);

enum mr_ev_flags {
    MR_EV_RECEIVE_ONLY = 1 << 9, /* mr_ev_shutdown() of a stream: ask the peer to stop, show no more
                                    data; sending goes on */
    MR_EV_INLINE = 1 << 8 /* mr_ev_shutdown(): SHUTDOWN_COMPLETE inside the call, if it is possible
                             at once: the one case of recursion, of one level.  It is for a
                             listener, and for a connection or stream of which no send is out and no
                             RECEIVE is pending */
};

/* ------------------------------------------------------------------ registrations */

/* 0: the default, 65,536 for each but calls_max, which is 1,024. */
struct mr_registration_limits {
    uint32_t objects_max;     /* alive, and closed ones that the transport has not let go of yet */
    uint32_t sends_max;       /* mr_ev_send() not complete yet; more: -ENOMEM */
    uint32_t calls_max;       /* queued by other threads; more: -EAGAIN */
    uint32_t guest_calls_max; /* timers and work of guests; more: -ENOMEM, -EAGAIN */
};

struct mr_registration;

/* Memory for everything at once, and none later.  `limits` NULL: defaults.  NULL: there is none. */
struct mr_registration *mr_registration_new(const struct mr_registration_limits *limits);

/* After the transport's on_stop.  No handler is called. */
void mr_registration_free(struct mr_registration *registration);

/*
 * For a shard (inline), or whatever drives a transport: events and on_poll.  Its on_stop ends what
 * is open, each object with its last event; it may be started again afterwards.
 */
const struct mr_application *mr_registration_application(struct mr_registration *registration);

/* ------------------------------------------------------------------ objects */

/*
 * Connections of the named listener come to `handler`; NULL: those of every listener that have no
 * handler of their own.  One handler per listener: -EEXIST.  -EINVAL: no handler, or a name of 64
 * bytes or more; -ENOENT: no such listener; -ENOSPC: 64 listeners.  A transport without numbers of
 * listeners (a shard's own) has one, whatever the name.
 */
int mr_ev_listen(struct mr_registration *registration, const char *listener, mr_ev_handler handler,
                 void *context, mr_object *listener_out);

/* Begin a connection; nothing is told of it but what follows: there is no event of the call.
 * -EINVAL: no handler, ...: as transport.connect.  Options as in millrace/transport.h, whose
 * user_data is not used. */
int mr_ev_connect(struct mr_registration *registration, const struct mr_connect_options *options,
                  mr_ev_handler handler, void *context, mr_object *conn_out);

/* Open a stream; flags: enum mr_open_flags.  START_COMPLETE follows.  Errors as transport.open. */
int mr_ev_open(struct mr_registration *registration, mr_object conn, uint32_t flags,
               mr_ev_handler handler, void *context, mr_object *stream_out);

/* Handlers are mandatory: NULL is -EINVAL, and an object that has none when its first event's
 * handler returns is refused. */
int mr_ev_set_handler(struct mr_registration *registration, mr_object object, mr_ev_handler handler,
                      void *context);

/* The name that reports of slow handlers use; copied, at most 23 bytes. */
int mr_ev_set_name(struct mr_registration *registration, mr_object object, const char *name);

/*
 * Queue bytes on a stream; flags: enum mr_send_flags.  SEND_COMPLETE brings `send_context` when
 * they are acknowledged, except with MR_SEND_COPY.  Errors as transport.send.  After the stream's
 * SHUTDOWN_COMPLETE the bytes of every send are the application's, of those, too, that were queued
 * by another thread and came too late to be told of.
 */
int mr_ev_send(struct mr_registration *registration, mr_object stream, const struct mr_view *views,
               size_t count, uint32_t flags, void *send_context);

/* Errors as transport.send_datagram; queued by another thread, what goes wrong is not told. */
int mr_ev_send_datagram(struct mr_registration *registration, mr_object conn,
                        const struct mr_view *views, size_t count);

/* Of a RECEIVE answered with PENDING: `size` bytes are consumed, what is left is shown again.
 * -EINVAL: none is pending, or it showed less. */
int mr_ev_receive_complete(struct mr_registration *registration, mr_object stream, size_t size);

/* Show data, or, with false, none until it is enabled again: the peer's window closes. */
int mr_ev_receive_enable(struct mr_registration *registration, mr_object stream, bool is_enabled);

/* End an object.  Listener: no more connections; those that are on their way already are closed
 * with `code`.  Connection: close with `code`.  Stream: reset what is not sent, and ask the peer to
 * stop.  SHUTDOWN_COMPLETE (listener: STOP_COMPLETE) follows.  -EINVAL: `code` is above
 * MR_ERROR_CODE_MAX, the largest that is told of a connection or stream refused with a larger one.
 */
int mr_ev_shutdown(struct mr_registration *registration, mr_object object, uint32_t flags,
                   uint64_t code);

/*
 * Abandon sending, but for the first `reliable` bytes of the stream, which the peer gets all the
 * same, and then `code`: as `reset_at` of millrace/transport.h (RESET_STREAM_AT,
 * draft-ietf-quic-reliable-stream-reset).  Receiving goes on; may be called again to guarantee
 * less.  Sends beyond end with -ECANCELED when the stream does.  Its errors; -EOPNOTSUPP: also
 * where the transport cannot.  Queued by another thread, what goes wrong is not told.
 */
int mr_ev_reset_at(struct mr_registration *registration, mr_object stream, uint64_t code,
                   uint64_t reliable);

/*
 * Give the object up: no event of it is told any more; what is open is shut down with code 0. Every
 * object ends with this call: after its last event it takes no memory any more at once.  Before,
 * its sends' bytes stay the library's until the connection's SHUTDOWN_COMPLETE.  Valid anywhere, in
 * its own handler, too.  From another thread: handlers may run until the call was taken up.
 */
int mr_ev_close(struct mr_registration *registration, mr_object object);

/* Tell the figures of a connection.  The registration's thread only: -EPERM on another. */
int mr_ev_conn_info(struct mr_registration *registration, mr_object conn,
                    struct mr_conn_info *info_out);

/* Take a client's connection to another local address, all zero: to another port; as `migrate` of
 * millrace/transport.h.  MR_EV_PATH_CHANGED or MR_EV_PATH_FAILED follows.  Its errors; -EPERM: not
 * the registration's thread; -EOPNOTSUPP: also where the transport cannot; -ESTALE. */
int mr_ev_migrate(struct mr_registration *registration, mr_object conn,
                  const struct mr_address *local);

/* Several paths at a time (draft-ietf-quic-multipath): open, abandon, prefer others, list; as
 * mr_path_do() of millrace/path.h.  Its errors, over rings -EINPROGRESS; -EPERM: not the
 * registration's thread; -ESTALE. */
int64_t mr_ev_path(struct mr_registration *registration, mr_object conn,
                   const struct mr_path_call *call);

/* Copy the newest resumption ticket: as transport.ticket.  The registration's thread only: -EPERM
 * on another. */
int64_t mr_ev_ticket(struct mr_registration *registration, mr_object conn, uint8_t *dst,
                     size_t room);

/* The connection of a stream; 0 on another than the registration's thread. */
mr_object mr_ev_conn_of(struct mr_registration *registration, mr_object stream);

/* The stream's ID as on the wire: as transport.stream_id.  UINT64_MAX on another than the
 * registration's thread, too. */
uint64_t mr_ev_stream_id(struct mr_registration *registration, mr_object stream);

/*
 * Give whole connections to an application written against millrace/transport.h, HTTP/3 for
 * instance, beside handlers on the same registration: those of the named listener, and those that
 * it makes itself.  Of a connection that ends it is told the connection's CLOSED; its streams' when
 * they come before.  NULL: every listener's that has no handler.  Before the registration is
 * driven, or on its thread; else -EPERM.  -EEXIST, -ENOENT, -EINVAL as mr_ev_listen(); -ENOSPC: 8
 * guests.
 */
int mr_ev_guest(struct mr_registration *registration, const char *listener,
                const struct mr_application *application);

/* Objects alive, as of the last time that the registration was driven.  Any thread. */
uint32_t mr_registration_objects(const struct mr_registration *registration);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_EVENTS_H */
