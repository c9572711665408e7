/*
 * millrace/socket.h - readiness and blocking: QUIC the way sockets are used.
 *
 *     listener --mr_sock_accept()--> connection --mr_sock_accept_stream(), mr_sock_open()--> stream
 *     stream: mr_sock_read(), mr_sock_write()
 *
 * Every call either answers at once with -EAGAIN (non-blocking) or waits (blocking): a flag of the
 * object, set and cleared at run time as O_NONBLOCK is.  A wait runs the loop that the object
 * belongs to; inside a fiber (millrace/fiber.h) it switches to other fibers instead: the same calls
 * serve both.
 *
 * Ready means, as for poll(2): a listener and a connection are readable when their accept queue is
 * not empty, a stream when bytes or the end are there; a stream is writable when its send buffer
 * has room, a connection when a stream may be opened; both, when the call would fail at once.  A
 * datagram that waits is POLLPRI of its connection.  A stream that goes both ways answers as a
 * socket, one that goes one way as the end of a pipe; docs/sockets.md has the tables.
 *
 * A call that does not block looks at the rings once, without waiting, before it says -EAGAIN: a
 * program that never waits is served, too.  Handlers of other objects may run meanwhile, as in
 * calls that block.  In a handler of the loop a call that would have to wait is -EDEADLK.
 *
 * What is not read extends no window, but for 2 KiB of a stream, which are copied so that buffers
 * go back.
 *
 * Owner: the loop (millrace/loop.h).  Threads: the loop's thread.  For a thread per connection,
 * each thread has a loop of its own.  Memory is allocated as it is needed: not for use inline on an
 * lcore.  Sockets outlive their loop: they say -ENOTCONN, and are closed as always.
 * Limits: `send_buffer` bytes of a stream that are written and not acknowledged; accept queues of
 * `backlog` entries: more are refused; 128 datagrams: more are dropped.
 *
 * Errors of all calls, beside those that they name: -EINVAL: not for this kind of socket; -EBADF:
 * closed meanwhile, or a stream that does not go this way; -ENOMEM; -ENOTCONN: the loop or its
 * datapath is gone; -EDEADLK.
 */
#ifndef MILLRACE_SOCKET_H
#define MILLRACE_SOCKET_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "millrace/events.h"
#include "millrace/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_sock;

enum mr_sock_option {
    MR_SOCK_NONBLOCK,      /* 0 or 1; objects inherit it from what they came from */
    MR_SOCK_READ_TIMEOUT,  /* ns a blocking call waits; 0: for ever.  Then -ETIMEDOUT */
    MR_SOCK_WRITE_TIMEOUT, /* ns */
    MR_SOCK_SEND_BUFFER,   /* bytes; default 256 KiB */
    MR_SOCK_WRITE_ACKED,   /* 1: a blocking write returns when the peer has acknowledged, not when
                              all was handed to the port */
    MR_SOCK_BACKLOG,       /* of a listener; of a connection: streams that wait to be accepted,
                              default 1,024 */
    MR_SOCK_UNACKED        /* only got: bytes in the send buffer of a stream */
};

/* Take the connections of the named listener (NULL: every one's).  `backlog` 0: 128.  0; -ENOENT:
 * no such listener; -EEXIST. */
int mr_sock_listen(struct mr_loop *loop, const char *listener, uint32_t backlog,
                   struct mr_sock **listener_out);

/* Begin a connection.  Blocking: 0 when it is there; -ECONNREFUSED, -ECONNRESET: the peer closed
 * it; -ETIMEDOUT, ...: as mr_sock_error().  Non-blocking: -EINPROGRESS with *conn_out set, and
 * writable when it is there; mr_sock_error() says how it went.  With is_early and a ticket it is
 * there as soon as 0-RTT may be sent: what is written before mr_sock_confirm() says 0 may reach the
 * server twice (RFC 9001, Section 9.2). */
int mr_sock_connect(struct mr_loop *loop, const struct mr_connect_options *options,
                    bool is_nonblocking, struct mr_sock **conn_out);

/* The next connection of a listener, which may be over already.  -EAGAIN: none is there (any
 * more); -ESHUTDOWN: the datapath drains, none comes any more; finish those that are there. */
int mr_sock_accept(struct mr_sock *listener, struct mr_sock **conn_out);

/* The next stream that the peer has opened.  -EAGAIN; -ENOTCONN: the connection is over. */
int mr_sock_accept_stream(struct mr_sock *conn, struct mr_sock **stream_out);

/* A stream of ours.  flags: enum mr_open_flags.  -EAGAIN: the peer's limit is reached. */
int mr_sock_open(struct mr_sock *conn, uint32_t flags, struct mr_sock **stream_out);

/* Bytes read; 0: the stream has ended.  -EAGAIN; -ECONNRESET: the peer reset it; -ENOTCONN;
 * -ETIMEDOUT; -ECANCELED: cancelled by mr_sock_cancel() or with the fiber. */
ssize_t mr_sock_read(struct mr_sock *stream, void *buffer, size_t size);

/* Until the end of the stream.  Bytes; -EMSGSIZE: more than `size`; after -EAGAIN, -ETIMEDOUT and
 * -ECANCELED the next call goes on where this one stopped, with the same buffer. */
ssize_t mr_sock_read_all(struct mr_sock *stream, void *buffer, size_t size);

/*
 * Bytes written.  Non-blocking: as many as there is room for, copied, sent later; -EAGAIN: none, or
 * a blocking writer is at work.  Blocking: all, when every byte was handed to the port once (or
 * acknowledged: MR_SOCK_WRITE_ACKED); one writer at a time, whole.  If a wait ends before, by the
 * timeout or cancelled: how many bytes were taken, or why, if none were; -EINPROGRESS: all were
 * taken, and are still on their way.  -EPIPE: ended, reset, or the peer asked to stop.
 */
ssize_t mr_sock_write(struct mr_sock *stream, const void *buffer, size_t size);
ssize_t mr_sock_writev(struct mr_sock *stream, const struct iovec *pieces, int count);

/* No more will be written: FIN, behind what was.  Again: no effect.  -EPIPE. */
int mr_sock_shutdown(struct mr_sock *stream);

/* Abandon it, both ways: what is not sent or not read is dropped.  -EINVAL: `code` is above
 * MR_ERROR_CODE_MAX. */
int mr_sock_reset(struct mr_sock *stream, uint64_t code);

/*
 * Abandon writing, but for the first `reliable` bytes that were written, which the peer gets all
 * the same, and then `code` (RESET_STREAM_AT, draft-ietf-quic-reliable-stream-reset).  Reading goes
 * on; may be called again to guarantee less, with the same code.  0; -EINVAL: the code, or more
 * bytes than were written, or guaranteed before; -EPIPE: nothing to abandon; -EOPNOTSUPP: the peer
 * does not take it.  Whose peer did so reads the guaranteed bytes, then -ECONNRESET.
 */
int mr_sock_reset_at(struct mr_sock *stream, uint64_t code, uint64_t reliable);

/*
 * Take a client's connection to another local address, all zero: to another port; as `migrate` of
 * millrace/transport.h.  Blocking: 0 when the new path is in use; -EHOSTUNREACH: it did not answer,
 * everything goes on by the old one.  Non-blocking: -EINPROGRESS, and mr_sock_path() says how it
 * went.  Its errors; -EALREADY: one is under way.
 */
int mr_sock_migrate(struct mr_sock *conn, const struct mr_address *local);

/* Of the last mr_sock_migrate(): 0: none, or the path is in use; -EINPROGRESS; -EHOSTUNREACH. */
int mr_sock_path(const struct mr_sock *conn);

/*
 * Several paths at a time (draft-ietf-quic-multipath): open, abandon, prefer others, list; as
 * mr_path_do() of millrace/path.h.  Blocking: OPEN returns the path's ID once it is validated;
 * -EHOSTUNREACH: the peer did not answer there; the others return when the datapath has answered.
 * Non-blocking: -EINPROGRESS; ANSWER and LIST, which never wait, say how it went.  Its errors.
 */
int64_t mr_sock_path_do(struct mr_sock *conn, const struct mr_path_call *call);

/* Wait until MR_EVENT_PATHS_CHANGED comes, whoever changed them.  0; -EAGAIN: non-blocking. */
int mr_sock_paths_wait(struct mr_sock *conn);

/* Wait until the handshake is complete: of a client that began with 0-RTT; of a server, until what
 * came cannot be a copy any more (RFC 8470, Section 3).  0, at once where there was no 0-RTT;
 * -EAGAIN; -ENOTCONN: the connection ended before. */
int mr_sock_confirm(struct mr_sock *conn);

/* One datagram: its size, -EAGAIN, ...; -ENOBUFS: larger than `size`, and it stays.  Sending:
 * errors as transport.send_datagram. */
ssize_t mr_sock_recv_datagram(struct mr_sock *conn, void *buffer, size_t size);
int mr_sock_send_datagram(struct mr_sock *conn, const void *buffer, size_t size);

/*
 * Close and free; the pointer is void from here on.  What was written before mr_sock_shutdown() is
 * still sent: a stream that was ended goes on sending by itself, and a connection is closed with
 * `code` when those streams are acknowledged (its other streams are reset then).  A stream that was
 * not ended is reset both ways with `code`; what nobody has accepted is closed, too, and so are
 * connections that come to a listener meanwhile.  Who waits on
 * it gets -EBADF, POLLNVAL in mr_poll().  0; -EINVAL, and it stays open: `code` is above
 * MR_ERROR_CODE_MAX.
 */
int mr_sock_close(struct mr_sock *sock, uint64_t code);

/* Everybody who waits on it gets -ECANCELED. */
void mr_sock_cancel(struct mr_sock *sock);

/* Set an option, or get its value.  0 or the value; -EINVAL: not of this kind of socket, or no such
 * value. */
int mr_sock_set(struct mr_sock *sock, enum mr_sock_option option, uint64_t value);
uint64_t mr_sock_get(const struct mr_sock *sock, enum mr_sock_option option);

/* Why it is over: 0: it is not, or in order (a connection: closed with code 0); -errno; the code,
 * and whether it is an application's.  Either pointer may be NULL. */
int mr_sock_error(const struct mr_sock *sock, uint64_t *code_out, bool *is_application_out);

/* Why a connection is over, for people; "": not told, or no connection.  Valid as long as the
 * socket. */
const char *mr_sock_reason(const struct mr_sock *conn);

/* Tell the figures of a connection; what a stream or connection belongs to. */
int mr_sock_info(struct mr_sock *conn, struct mr_conn_info *info_out);
struct mr_sock *mr_sock_conn(struct mr_sock *stream); /* NULL: closed */
uint64_t mr_sock_stream_id(const struct mr_sock *stream);
struct mr_loop *mr_sock_loop(struct mr_sock *sock);

/* A word of the application's. */
void mr_sock_set_context(struct mr_sock *sock, void *context);
void *mr_sock_context(const struct mr_sock *sock);

/* ------------------------------------------------------------------ poll */

/* POLLIN, POLLOUT, POLLERR, POLLHUP that hold now. */
short mr_sock_ready(const struct mr_sock *sock);

/* Either a socket, or, with sock NULL, a kernel descriptor. */
struct mr_pollfd {
    struct mr_sock *sock;
    int fd;
    short events;
    short revents;
};

/* poll(2) over both: how many are ready; 0: timeout (ms; 0: look only, -1: for ever).  An entry
 * with neither (sock NULL, fd < 0) is skipped.  -ECANCELED: mr_sock_cancel() of one of them.
 * Signals do not end it.  Cost: O(count); a system call per descriptor, five if it has to wait. */
int mr_poll(struct mr_loop *loop, struct mr_pollfd *fds, size_t count, int timeout_ms);

/* Two lists in, those that are ready out, at the front of each, in their order.  Counts in *reads,
 * *writes; a list and its count may be NULL.  Both together; as mr_poll(). */
int mr_wait_for_readiness(struct mr_loop *loop, struct mr_sock **want_read, size_t *reads,
                          struct mr_sock **want_write, size_t *writes, int timeout_ms);

/* ------------------------------------------------------------------ interest sets, as epoll */

struct mr_pollset;

enum mr_pollset_flags {
    MR_POLLSET_EDGE = 1 << 16,   /* told again only when it becomes ready anew */
    MR_POLLSET_ONESHOT = 1 << 17 /* told once, until mr_pollset_mod() */
};

struct mr_pollset_event {
    struct mr_sock *sock;
    uint32_t events; /* POLLIN, ... */
    void *context;
};

/*
 * Cost of everything: O(1) per change and per ready object; idle objects cost nothing.  Levels that
 * hold are told in turn.  A socket that is closed leaves its sets.  One caller waits at a time:
 * -EBUSY.  -EEXIST, -ENOENT as epoll_ctl(2).  mr_pollset_wait(): how many; as mr_poll().
 */
int mr_pollset_new(struct mr_loop *loop, struct mr_pollset **set_out);
void mr_pollset_free(struct mr_pollset *set);
int mr_pollset_add(struct mr_pollset *set, struct mr_sock *sock, uint32_t events, void *context);
int mr_pollset_mod(struct mr_pollset *set, struct mr_sock *sock, uint32_t events, void *context);
int mr_pollset_del(struct mr_pollset *set, struct mr_sock *sock);
int mr_pollset_wait(struct mr_pollset *set, struct mr_pollset_event *events_out, int room,
                    int timeout_ms);

/* ------------------------------------------------------------------ how blocking calls wait */

/*
 * Who waits, and how: set by a hub of fibers.  `wait` returns when the token was given to `wake`,
 * or at `deadline_ns` (CLOCK_MONOTONIC; MR_FOREVER: none), or because the waiter was cancelled: 0,
 * -ETIMEDOUT, -ECANCELED.
 */
struct mr_sock_waiter {
    void *context;
    void *(*begin)(void *context); /* a token for the caller; NULL: it cannot wait, -EDEADLK */
    int (*wait)(void *context, void *token, uint64_t deadline_ns);
    void (*wake)(void *context, void *token); /* at most once per token */
    /* First in every call that may wait, even if it does not come to that; `name` is the call's. 0,
     * or what the call returns (-ECANCELED).  NULL: none. */
    int (*check)(void *context, const char *name);
};

/* Let blocking calls of the loop's sockets wait with `waiter`; NULL: by running the loop. */
void mr_sock_set_waiter(struct mr_loop *loop, const struct mr_sock_waiter *waiter);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_SOCKET_H */
