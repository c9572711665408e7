/*
 * millrace/transport.h - connections and streams, as an application sees them.
 *
 * A table of operations over generation-tagged handles.  It is implemented
 * twice: inline by the datapath (the application's handlers run on the polling
 * lcore), and over rings for an application in a thread or process of its own.
 * A program written against this header (HTTP/3 is one) runs on both unchanged.
 *
 *     shard --events--> application.on_events()
 *     application --operations--> shard          (state changes at once; the
 *                                                 events it causes come later)
 *
 * Inline contract: on_events() returns within 20 us; it does not block, sleep,
 * call the system or malloc.  Other work goes to `work`, and completes as an event.
 *
 * Owner: the datapath or the attachment, for transports, and for the bytes that they show; the
 * application, for those that it gives to `send`, which it leaves alone until they are
 * acknowledged. Threads: a transport belongs to one thread (the shard's lcore, or the attached
 * application's thread); every call is made on it. Errors: 0 or a count on success, else -errno as
 * listed at each call.
 */
#ifndef MILLRACE_TRANSPORT_H
#define MILLRACE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/conn_info.h"
#include "millrace/priority.h"
#include "millrace/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A connection or stream: index and generation.  A stale handle is answered with -ESTALE, never
 * with a crash. */
typedef uint64_t mr_handle;
#define MR_HANDLE_NONE UINT64_C(0)

struct mr_transport;

/* What happened to an object since its last event; several bits may be set in one event. */
enum mr_event_kind {
    MR_EVENT_CONNECTED =
        1 << 0, /* connection: handshake complete; streams may be opened (clients also earlier) */
    MR_EVENT_CLOSED =
        1 << 1, /* connection: over; its last event, with `error`.  Stream: over; its last event */
    MR_EVENT_STREAM_OPENED = 1 << 2, /* stream: the peer opened it */
    MR_EVENT_READABLE = 1 << 3,      /* stream: bytes or FIN are there to receive */
    MR_EVENT_SENT =
        1 << 4, /* stream: every byte given with MR_SEND_NOTIFY was handed to the port once */
    MR_EVENT_ACKED =
        1 << 5, /* stream: `acked_to` rose; buffers below it are the application's again */
    MR_EVENT_WRITABLE = 1 << 6, /* stream: queued bytes fell below the stream's low-water mark after
                                   -EAGAIN; connection: datagrams may be sent again after -EAGAIN */
    MR_EVENT_RESET = 1 << 7,    /* stream: the peer reset its sending side, `error` is its code */
    MR_EVENT_STOPPED = 1 << 8,  /* stream: the peer asked us to stop sending, `error` is its code */
    MR_EVENT_STREAMS_ALLOWED = 1 << 9, /* connection: more streams may be opened after -EAGAIN */
    MR_EVENT_TIMER = 1 << 10,          /* the timer set with `timer`; `user_data` */
    MR_EVENT_WORK_DONE = 1 << 11,      /* work is done; `user_data`, `result` */
    MR_EVENT_TICKET =
        1 << 13, /* client connection: a resumption ticket came, `ticket` copies it (within 2 s); or
                    what the path carries has doubled (setting congestion_resume) */
    MR_EVENT_GO_AWAY = 1 << 12,  /* the datapath drains: finish what is open, accept nothing new */
    MR_EVENT_DATAGRAM = 1 << 14, /* connection: datagrams have arrived where none waited: receive
                                    them until -EAGAIN */
    MR_EVENT_MOVED =
        1 << 15, /* connection: `result` 0: it is another shard's now, the last event of it and its
                    streams here.  -errno: it could not move, and stays with its handles */
    MR_EVENT_MOVED_IN =
        1 << 16, /* connection: came from shard `error`, where its handle was `result`; the first
                    event of it and its streams here, `moved_streams` tells their handles */
    MR_EVENT_PATH_CHANGED = 1 << 17,  /* connection: an address of conn_info is another one now, and
                                         validated */
    MR_EVENT_PATH_FAILED = 1 << 18,   /* connection: what `migrate` began is over, and came to
                                         nothing: it goes on by the  path it has */
    MR_EVENT_PATHS_CHANGED = 1 << 19, /* connection with several paths: one was validated or is
                                         over, or the peer would rather have it used, or not:
                                         paths() says */
    MR_EVENT_EARLY = 1 << 20,     /* connection, client: 0-RTT may be sent: streams may be opened.
                                     Server, with CONNECTED: the handshake is not complete, what comes
                                     before CONFIRMED may be a copy of what a client sent before */
    MR_EVENT_CONFIRMED = 1 << 21, /* connection that was told with EARLY, server: the handshake is
                                     complete, the client itself sent what came */
};

struct mr_event {
    uint32_t kinds;     /* of enum mr_event_kind */
    uint32_t listener;  /* CONNECTED of an accepted connection: the listener's number; 0: the first,
                           or the transport has no numbers */
    mr_handle conn;     /* the connection concerned */
    mr_handle stream;   /* the stream concerned, or MR_HANDLE_NONE */
    uint64_t user_data; /* of the stream if one is concerned, else of the connection; for TIMER and
                           WORK_DONE the call's */
    uint64_t acked_to;  /* ACKED: offset below which all bytes are acknowledged */
    uint64_t error;     /* CLOSED, RESET, STOPPED: the code */
    int64_t result;     /* WORK_DONE: what the work function returned; RESET: 1 if it came behind
                           bytes that the peer guaranteed (reset_at), which were released by now */
    bool is_application; /* CLOSED: `error` is the application's code, not a transport code */
    bool is_remote;      /* CLOSED: the peer closed */
    const char *reason;  /* CLOSED: why, for people; valid during the call; never NULL */
};

/* Bytes that belong to the transport until they are released. */
struct mr_view {
    const uint8_t *data;
    size_t size;
};

/* Bytes of `count` views together. */
static inline size_t mr_views_size(const struct mr_view *views, size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += views[i].size;
    return size;
}

enum mr_send_flags {
    MR_SEND_FIN = 1,    /* the stream ends after these bytes */
    MR_SEND_COPY = 2,   /* copy now (<= 1 KiB in all): the buffer is the caller's again at once */
    MR_SEND_NOTIFY = 4, /* raise MR_EVENT_SENT when these bytes have been handed to the port */
};

enum mr_open_flags {
    MR_OPEN_BIDI = 0,
    MR_OPEN_UNI = 1,
};

struct mr_connect_options {
    struct mr_address remote;
    const char *server_name; /* SNI, and the name the certificate must carry; copied */
    const uint8_t *alpn;     /* TLS wire form: length byte, name, ...; copied */
    size_t alpn_size;
    bool is_insecure; /* accept any certificate */
    bool is_early;    /* 0-RTT, if the ticket allows it: MR_EVENT_EARLY follows, and what is sent
                         before CONNECTED can be copied and sent again by anybody (RFC 9001, Section
                         9.2): only for what may happen twice */
    uint64_t user_data;
    const uint8_t *ticket; /* from an earlier connection, NULL: none; copied */
    size_t ticket_size;
    uint8_t versions[2]; /* of QUIC, 1 or 2, most wanted first; 0: no (further) one.  None: 1.  It
                            begins with that of the ticket, or with 1, where that is among them; the
                            server may go on in another of them (RFC 9368) */
};

/* A stream of a connection that came from another shard. */
struct mr_moved_stream {
    mr_handle old_stream; /* its handle there */
    mr_handle stream;     /* and here */
    uint64_t user_data;
};

#define MR_TICKET_HEAD_SIZE 52 /* bytes that a ticket begins with: what the path carried */

/* An error code is a variable-length integer (RFC 9000, Sections 16 and 20.2). */
#define MR_ERROR_CODE_MAX ((UINT64_C(1) << 62) - 1)

struct mr_path_call;

struct mr_transport_ops {
    /* Begin a connection.  0; -EAGAIN: no connection or handshake is free; -EINVAL: options;
     * -ENOTCONN: over rings, the datapath is gone. */
    int (*connect)(struct mr_transport *t, const struct mr_connect_options *options,
                   mr_handle *conn_out);

    /* Close with an application code; MR_EVENT_CLOSED follows when it is over.  0; -ESTALE;
     * -EINVAL: the code is above MR_ERROR_CODE_MAX. */
    int (*close)(struct mr_transport *t, mr_handle conn, uint64_t code, const char *reason);

    /* Attach a word to a connection or stream; its events carry it.  0; -ENOMEM: a connection that
     * sleeps, and cannot wake now; -ESTALE. */
    int (*set_user_data)(struct mr_transport *t, mr_handle object, uint64_t user_data);

    int (*conn_info)(struct mr_transport *t, mr_handle conn, struct mr_conn_info *info_out);

    /* Copy the newest resumption ticket.  Bytes written; 0: none yet; -ENOBUFS: `room` is too
     * small; -ESTALE.  Inside the datapath, when the ticket is not at hand any more: exactly
     * MR_TICKET_HEAD_SIZE bytes, with what the path carried, to be written over the first of the
     * ticket that was copied before; attached applications are given the whole ticket. */
    int64_t (*ticket)(struct mr_transport *t, mr_handle conn, uint8_t *dst, size_t room);

    /* Open a stream.  0; -EAGAIN: the peer's limit is reached, STREAMS_ALLOWED follows; -ENOMEM:
     * none is free; -ESTALE. */
    int (*open)(struct mr_transport *t, mr_handle conn, uint32_t flags, uint64_t user_data,
                mr_handle *stream_out);

    /* The stream's ID as on the wire (RFC 9000, Section 2.1); UINT64_MAX if stale. */
    uint64_t (*stream_id)(struct mr_transport *t, mr_handle stream);

    /*
     * Queue the bytes of `views`, in order.  They are sent by reference: they must stay unchanged
     * until MR_EVENT_ACKED passes them or the stream's MR_EVENT_CLOSED, except with MR_SEND_COPY.
     * All or nothing.  0; -EAGAIN: too much is queued, WRITABLE follows; -ENOMEM: no segment is
     * free, try again later; -EPIPE: FIN was given, or the stream was reset or stopped; -EMSGSIZE:
     * COPY of more than 1 KiB; -ESTALE.
     */
    int (*send)(struct mr_transport *t, mr_handle stream, const struct mr_view *views, size_t count,
                uint32_t flags);

    /*
     * Show what has arrived in order and was not released yet, without consuming it: at most `room`
     * views from the first unreleased byte on.  *fin_out: the stream ends after the views shown.
     * Count of views; -ECONNRESET: the peer reset the stream; -ESTALE.  The views stay valid until
     * they are released, or the stream's MR_EVENT_CLOSED, whatever the peer does: its reset
     * (RESET_STREAM, RESET_STREAM_AT) drops what was not shown.  stop(), and a move of the
     * connection, end them.
     */
    int64_t (*receive)(struct mr_transport *t, mr_handle stream, struct mr_view *views_out,
                       size_t room, bool *fin_out);

    /* Consume the first `size` bytes shown by receive(): their buffers go back, the flow-control
     * window opens; also after MR_EVENT_RESET, when they hold the connection's window still.  0;
     * -EINVAL: more than shown; -ESTALE. */
    int (*release)(struct mr_transport *t, mr_handle stream, size_t size);

    /* Abandon sending (RESET_STREAM).  Queued buffers are the caller's again with the stream's
     * CLOSED. 0; -ESTALE; -EPIPE: nothing to reset; -EINVAL: the code. */
    int (*reset)(struct mr_transport *t, mr_handle stream, uint64_t code);

    /* Ask the peer to stop sending (STOP_SENDING), and drop what arrives, what has arrived, and
     * what was shown. 0; -ESTALE; -EINVAL: the code. */
    int (*stop)(struct mr_transport *t, mr_handle stream, uint64_t code);

    /*
     * Queue the bytes of `views`, in order, as one unreliable datagram (RFC 9221); they are copied.
     * It goes out whole, once, or is dropped and counted: if it is lost, or if the path's MTU has
     * become too small.  0; -EMSGSIZE: larger than the datagram_max of conn_info; -EAGAIN: too many
     * wait, the connection's WRITABLE follows; -ENOMEM: no memory is free, try again later;
     * -EOPNOTSUPP: the peer takes none, or its parameters have not come yet; -ESTALE.
     */
    int (*send_datagram)(struct mr_transport *t, mr_handle conn, const struct mr_view *views,
                         size_t count);

    /*
     * Take the oldest datagram that has arrived.  Its size, 0 for an empty one; -EAGAIN: there is
     * none; -ENOBUFS: `room` is too small, and it stays; -ESTALE.  Those that arrive while the
     * application leaves too many lying are dropped and counted.
     */
    int64_t (*receive_datagram)(struct mr_transport *t, mr_handle conn, uint8_t *dst, size_t room);

    /* One MR_EVENT_TIMER with `user_data` at or after now + `delay_ns`.  0; -ENOMEM: no timer is
     * free. */
    int (*timer)(struct mr_transport *t, uint64_t delay_ns, uint64_t user_data);

    /* Run `function(argument)` on a helper thread; MR_EVENT_WORK_DONE brings its result. 0;
     * -EAGAIN: the queue is full. */
    int (*work)(struct mr_transport *t, int64_t (*function)(void *argument), void *argument,
                uint64_t user_data);

    /* Time of this poll iteration, ns of a monotonic clock. */
    uint64_t (*now)(const struct mr_transport *t);

    /*
     * Give the connection to another shard of the port, whose application goes on with it.  It
     * begins after the handler has returned; until on_move() is called everything is as before. See
     * "Moves" below.  0: MR_EVENT_MOVED follows, or MR_EVENT_CLOSED if it ends before; -EINVAL: no
     * such shard, or this one; -EBUSY: the handshake is not over, it moves already, or moved just
     * now; -ENOMEM: too many wait, or it has too much unread data; -EOPNOTSUPP: the application has
     * no on_move; -ESTALE.  NULL in a transport that moves nothing.
     */
    int (*move)(struct mr_transport *t, mr_handle conn, uint32_t shard);

    /* After MR_EVENT_MOVED_IN: the handles of the connection's streams, old and new, in the order
     * in which they were opened.  How many, at most `room`; -ESTALE.  NULL as above. */
    int64_t (*moved_streams)(struct mr_transport *t, mr_handle conn,
                             struct mr_moved_stream *streams_out, size_t room);

    /* Say when the stream sends, among those of its connection; from now on, as often as wanted.
     * 0; -EINVAL: the urgency; -ESTALE.  NULL in a transport that sends in an order of its own. */
    int (*set_priority)(struct mr_transport *t, mr_handle stream, struct mr_priority priority);

    /*
     * A client's connection goes to another local address (RFC 9000, Section 9.2): one of the
     * datapath's, with an open port.  All zero: the IP address stays, the datapath chooses another
     * port.  The new path is probed first; MR_EVENT_PATH_CHANGED says that it is in use,
     * MR_EVENT_PATH_FAILED that it did not answer and that the connection goes on as before.
     * 0; -EADDRNOTAVAIL: not an address or open port of ours, or no other one; -EAGAIN: no
     * connection ID of the peer's is left, or no memory, try again later; -EBUSY: the handshake is
     * not confirmed, or a path is being probed; -EINVAL: the address in use, or of another family;
     * -EOPNOTSUPP: a server's connection, or the peer forbids it; -ESTALE.  Over rings these are
     * answered with 0 and MR_EVENT_PATH_FAILED.  NULL in a transport that cannot.
     */
    int (*migrate)(struct mr_transport *t, mr_handle conn, const struct mr_address *local);

    /*
     * Abandon sending, but for the first `reliable` bytes of the stream, which the peer gets all
     * the same, and then the code (RESET_STREAM_AT, draft-ietf-quic-reliable-stream-reset).  What
     * was given to send() beyond is dropped where it was not sent; its memory is the caller's again
     * with the stream's CLOSED.  May be called again to guarantee less, and reset() to guarantee
     * nothing; the code stays the first one's.  0; -ESTALE; -EPIPE: nothing to reset; -EINVAL: the
     * code, or more bytes than were given to send() or were guaranteed before; -EOPNOTSUPP: the
     * peer does not take it.  NULL in a transport that cannot.
     */
    int (*reset_at)(struct mr_transport *t, mr_handle stream, uint64_t code, uint64_t reliable);

    /* Several paths of a connection, as millrace/path.h says.  NULL in a transport that cannot. */
    int64_t (*path)(struct mr_transport *t, mr_handle conn, const struct mr_path_call *call);

    /* What HTTP/3 does on the connection, for its trace (millrace/trace.h).  `record` NULL: is any
     * connection traced?  0; -ENOENT: it is not, or none is; -ENOBUFS: the record was dropped, and
     * counted; -EINVAL: more than MR_TRACE_HTTP3_BYTES; -ESTALE.  NULL in a transport that cannot.
     */
    int (*trace)(struct mr_transport *t, mr_handle conn, const struct mr_trace_http3 *record,
                 struct mr_view bytes);
};

/* The first member of every implementation. */
struct mr_transport {
    const struct mr_transport_ops *ops;
};

/*
 * Answers.  A client's connection on which nothing arrives for the datapath's
 * `transport.keep_alive` (a time, at least three probe timeouts and at most half of the idle
 * timeout; 0, which is the default: never) sends a PING while it awaits data on a bidirectional
 * stream that it opened: a server finds it by that after a NAT has changed its address, and an
 * answer that takes longer than the idle timeout finds the connection alive.  Each silence is twice
 * the one before, and 32 PINGs without data in between are the last: an application that waits for
 * longer sends something.
 */

/*
 * Moves.  A connection may change its shard while it runs, when its application or the control
 * thread wants it and the application has `on_move`; without it connections stay.  In order:
 *
 *   old shard   on_move(conn): the last moment in which the handles are good; true lets it go
 *               MR_EVENT_MOVED with `result` 0: last event of the connection and its streams here.
 *               Handles are stale, views that were shown are gone
 *   new shard   MR_EVENT_MOVED_IN, alone: `conn` and its `user_data`, `error` and `result` the old
 *               shard and the handle there.  moved_streams() tells the streams' handles
 *               then what was not told yet, in a later call, and everything from now on
 *
 * MOVED_IN comes after the handler of MOVED has returned: no two threads handle events of one
 * connection at a time.  Nothing that happens meanwhile is lost, told twice or out of order; bytes
 * that were not released are shown again, and MR_EVENT_DATAGRAM is told if datagrams wait.  Memory
 * given to send() stays in use, unseen by the move. `user_data` words travel as they are.  If MOVED
 * has a `result` < 0 the connection stays with all its handles, and its events go on: -ENOMEM, the
 * other shard had no room; -ENOBUFS, too much unread data; -EBUSY, as for move(); -ECANCELED,
 * on_move() said no, or the other shard stops (when the control thread wanted the move and
 * on_move() said no, nothing is told).  Timers and work belong to the shard that they were asked
 * of.
 */

/*
 * An application.  `context` is its own.  A stream's events come after its connection's; the
 * handler is never entered twice at once. MR_EVENT_CLOSED is the last event of its object:
 * afterwards the handle is stale and all buffers are the application's again. A server application
 * sees a new connection first with MR_EVENT_CONNECTED.
 */
struct mr_application {
    const char *name; /* in reports of slow handlers */
    void *context;
    /* Once, on the application's thread, before any event. */
    void (*on_start)(void *context, struct mr_transport *transport);
    void (*on_events)(void *context, const struct mr_event *events, size_t count);
    /* Each iteration of the loop, for other sources of work: how much was done.  NULL: unwanted. */
    uint32_t (*on_poll)(void *context);
    /* Once, after the last event. */
    void (*on_stop)(void *context);
    /* The connection is about to move to another shard; false: it stays.  NULL: all stay. */
    bool (*on_move)(void *context, mr_handle conn, uint32_t shard);
    /* A server: a word for what clients keep of it for 0-RTT; a ticket of another one has none. */
    uint64_t remembered;
};

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_TRANSPORT_H */
