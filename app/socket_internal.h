/*
 * app/socket_internal.h - what the parts of sockets share.
 *
 *     socket_host.c   the host: waiting, waking, rounds, trying again
 *     socket.c        life, options, accept, open, connect, errors
 *     socket_event.c  events of the registration -> state of sockets
 *     socket_read.c   reading, datagrams
 *     socket_write.c  the send buffer, writing, FIN, reset
 *     poll.c          mr_poll(), mr_wait_for_readiness()
 *     poll_set.c      interest sets
 *     adapter.c       readiness turned into completions (millrace/adapter.h)
 *
 * Every change of a socket goes through mr_sock_changed(), which is the only place where somebody
 * is woken: it computes what holds now, tells interest sets what has become true, and wakes those
 * who wait for it.
 *
 * A socket is memory until three are done with it: the application (`is_closed`), the registration
 * (`is_over`), and calls that work on it (`pins`).
 */
#ifndef MR_APP_SOCKET_INTERNAL_H
#define MR_APP_SOCKET_INTERNAL_H

#include "app/socket_host.h"
#include "base/assert.h"
#include "base/compiler.h"

enum {
    VIEWS_MAX = 16, /* of one RECEIVE */
    BACKLOG_LISTENER = 128,
    BACKLOG_STREAMS = 1024,
    SEND_BUFFER = 256 * 1024,
    CHUNK_MAX = 16 * 1024, /* bytes given to the registration at once */
    CHUNK_MIN = 1024,      /* room of a chunk at least: small writes share one */
    DATAGRAMS_MAX = 128,   /* that wait on a connection */
    COMPACT_MAX = 2048,    /* bytes of a stream that are copied to let their buffers go */
};

#define RETRY_NS UINT64_C(1000000)

/* Beside POLLIN, ...: what a call may wait for. */
#define WAIT_PROGRESS  (UINT32_C(1) << 16) /* bytes were handed to the port or acknowledged */
#define WAIT_DATAGRAMS (UINT32_C(1) << 17) /* there may be room for a datagram */
#define WAIT_CONNECTED (UINT32_C(1) << 18)
#define WAIT_PATH      (UINT32_C(1) << 19) /* a migration is over; the paths have changed */
#define WAIT_CONFIRMED (UINT32_C(1) << 20)
#define WAIT_ALWAYS    ((uint32_t)(POLLERR | POLLHUP))

enum sock_kind {
    KIND_LISTENER,
    KIND_CONN,
    KIND_STREAM
};

/* Somebody who waits; on a stack, or in an adapter's operation. */
struct sock_call {
    bool is_woken;
    int status;                           /* when woken: 0, -ECANCELED, -EBADF */
    void *token;                          /* the waiter's */
    void (*wake)(struct sock_call *call); /* instead of the waiter; NULL: none */
};

/* For what he waits on one socket. */
struct sock_wait {
    struct sock_wait *next;
    struct sock_wait *previous;
    struct mr_sock *sock; /* NULL: not linked */
    struct sock_call *call;
    uint32_t mask;
};

/* Bytes that were written and are not acknowledged. */
struct chunk {
    struct chunk *next;
    uint64_t end; /* offset behind its bytes */
    size_t size;
    size_t room;
    bool is_fin;
    bool wants_notify;
    uint8_t data[];
};

struct datagram {
    struct datagram *next;
    size_t size;
    uint8_t data[];
};

struct sock_options {
    bool is_nonblocking;
    bool waits_for_acks;
    uint64_t read_timeout_ns;
    uint64_t write_timeout_ns;
    uint64_t send_buffer;
};

/* Connections that nobody has accepted, or streams. */
struct accept_queue {
    struct mr_sock *head;
    struct mr_sock *tail;
    uint32_t count;
    uint32_t backlog;
};

/*
 * Unread bytes, in order: the copy, then the RECEIVE that is pending.
 *
 *     views:  [copy] [view] [view] ...
 *                      ^view, skip: the first byte that is not read
 */
struct sock_receive {
    struct mr_view views[VIEWS_MAX + 1];
    uint32_t view_count;
    uint32_t view; /* the first that is not read */
    size_t skip;   /* bytes of it that are */
    size_t shown;  /* bytes of the RECEIVE that is pending */
    size_t unread;
    uint8_t *copy;   /* NULL: none */
    size_t all;      /* bytes that mr_sock_read_all() has put into its buffer so far */
    bool exists;     /* the stream has a receiving side */
    bool is_pending; /* a RECEIVE is */
    bool is_fin;     /* the stream ends behind what is shown */
    bool is_reset;   /* by the peer */
};

struct sock_send {
    struct chunk *head; /* the oldest that is not acknowledged */
    struct chunk *tail;
    struct chunk *unsent; /* the first that was not given to the registration */
    uint64_t taken;       /* offsets: from the application */
    uint64_t sent;        /* handed to the port, as far as that was asked for */
    uint64_t acked;
    uint64_t notify_at; /* SENT will say that it is handed over; 0: none is out */
    bool exists;        /* the stream has a sending side */
    bool is_fin;        /* FIN was given by the application */
    bool is_whole;      /* FIN was acknowledged */
    bool is_stopped;    /* by the peer */
    bool is_writing;    /* a blocking write is under way */
    bool is_cut;        /* reset, but for `reliable` bytes; told when these were given */
    bool is_cut_told;
    uint64_t reliable;
    uint64_t code;
};

/* A call about a connection's paths that somebody waits for. */
struct sock_path_call {
    const struct mr_path_call *call;
    int64_t answer; /* -EINPROGRESS: none yet */
    bool has_begun;
};

struct sock_conn {
    struct accept_queue queue;
    struct mr_sock *streams; /* all, by `sibling` */
    struct datagram *datagrams;
    struct datagram *datagrams_tail;
    uint32_t datagram_count;
    bool is_connected;                  /* streams may be opened */
    bool is_early;                      /* and the handshake is not complete */
    int path;                           /* of the last migration: 0, -EINPROGRESS, -EHOSTUNREACH */
    struct sock_path_call *path_caller; /* whose call has no answer yet; NULL: nobody's */
    uint64_t paths_changed;             /* times that this was told */
    bool is_open_refused;               /* the peer's limit was reached */
    bool is_datagram_refused;           /* no room */
    bool is_lingering;                  /* closed, but for streams that have to be sent */
    uint64_t close_code;
    char *reason; /* why it is over; NULL: not told */
};

struct sock_stream {
    struct sock_receive in;
    struct sock_send out;
    struct mr_sock *sibling;
    struct mr_sock *sibling_previous;
    uint64_t id;
    bool is_reset; /* by us, both ways */
    bool is_cut;   /* it ended with its connection */
};

struct set_entry;
struct adapter_op;

struct mr_sock {
    struct mr_sock_host *host;
    struct mr_sock *next; /* all of the host */
    struct mr_sock *previous;
    struct mr_sock *queued_next; /* in an accept queue */
    struct mr_sock *stalled_next;
    struct mr_sock *parent; /* whose queue it is in; of a stream: its connection; NULL: gone */
    struct sock_wait *waits;
    struct sock_wait *waits_tail;
    struct set_entry *entries; /* in interest sets */
    struct adapter_op *ops[2]; /* first in, first out: reading, writing */
    struct adapter_op *ops_tail[2];
    void *context;
    mr_object object; /* 0: none any more */
    uint32_t ready;   /* as told last */
    uint32_t pins;
    int error; /* when over: 0 or -errno */
    uint64_t code;
    bool is_application;
    bool is_failed; /* over, not in order: POLLERR */
    bool is_over;
    bool is_closed; /* by the application */
    bool is_queued;
    bool is_stalled;
    uint8_t kind; /* enum sock_kind */
    struct sock_options options;
    union {
        struct accept_queue listener;
        struct sock_conn conn;
        struct sock_stream stream;
    } u;
};

struct mr_sock_host {
    struct mr_registration *registration; /* NULL: the world is gone */
    struct mr_sock_host_ops ops;
    void *context;
    struct mr_loop *loop;
    struct mr_sock_waiter waiter; /* .wait NULL: the world itself */
    struct mr_sock *socks;
    struct mr_sock *stalled;  /* to be tried again */
    struct adapter_op *ended; /* of adapters, to be told of */
    bool is_retry_set;
    bool is_driven; /* calls on the registration take effect at once */
    uint32_t sets;  /* interest sets alive */
    struct mr_sock_host_stats stats;
};

/* ---- socket_host.c ---- */

/* Free it, if the world and all that belongs to it are gone. */
void mr_sock_host_maybe_free(struct mr_sock_host *host);
/* A round of the world, without waiting, unless it runs already or others wait. */
void mr_sock_round(struct mr_sock_host *host);
/* Calls on the registration take effect at once from here on. */
void mr_sock_drive(struct mr_sock_host *host);
/* Before a call that may wait: 0 or what it returns. */
int mr_sock_check_wait(struct mr_sock_host *host, const char *name);
uint64_t mr_sock_deadline(struct mr_sock_host *host, uint64_t timeout_ns);
void mr_sock_link(struct mr_sock *sock, struct sock_wait *wait, struct sock_call *call,
                  uint32_t mask);
void mr_sock_unlink(struct sock_wait *wait);
/* Until the call is woken: its status; -ETIMEDOUT; -EDEADLK: in a handler of the loop; -errno of
 * the world. */
int mr_sock_wait_call(struct mr_sock_host *host, struct sock_call *call, uint64_t deadline_ns);
void mr_sock_wake(struct mr_sock_host *host, struct sock_call *call, int status);
/* Wait for one of `mask` on one socket, which the caller has pinned. */
int mr_sock_wait(struct mr_sock *sock, uint32_t mask, uint64_t deadline_ns);
/* Compute what holds, tell, wake; `also`: WAIT_x that have come true. */
void mr_sock_changed(struct mr_sock *sock, uint32_t also);
/* Wake everybody. */
void mr_sock_wake_all(struct mr_sock *sock, int status);
/* No memory was free: mr_sock_retry() soon. */
void mr_sock_stall(struct mr_sock *sock);

/* ---- socket_path.c ---- */

/* MR_EV_PATHS_CHANGED: there may be an answer, too. */
void mr_sock_paths_changed(struct mr_sock *conn);

/* ---- socket.c ---- */

/* What a call tries, until it does not say -EAGAIN. */
struct sock_attempt {
    ssize_t (*function)(struct mr_sock *sock, void *argument);
    void *argument;
    uint32_t mask; /* to wait for */
    uint64_t timeout_ns;
    const char *name; /* of the call */
};
/* Blocking: until it succeeds or fails; non-blocking: now, and once more after a round. */
ssize_t mr_sock_until(struct mr_sock *sock, const struct sock_attempt *attempt);

/* NULL: no memory.  Options are those of `from`, NULL: defaults. */
struct mr_sock *mr_sock_make(struct mr_sock_host *host, enum sock_kind kind,
                             const struct mr_sock *from);
void mr_sock_pin(struct mr_sock *sock);
/* The socket may be gone afterwards. */
void mr_sock_unpin(struct mr_sock *sock);
void mr_sock_maybe_free(struct mr_sock *sock);
void mr_sock_add_stream(struct mr_sock *conn, struct mr_sock *stream);
/* A connection that was closed and waited for its streams: end it, if they are sent. */
void mr_sock_maybe_end(struct mr_sock *conn);

static inline bool mr_sock_queue_is_full(const struct accept_queue *queue)
{
    return queue->count >= queue->backlog;
}
/* NULL: it is empty. */
struct mr_sock *mr_sock_queue_take(struct accept_queue *queue);
/* Of a listener or a connection: 0, -EAGAIN, -ENOTCONN. */
int mr_sock_accept_now(struct mr_sock *sock, struct mr_sock **out);
void mr_sock_queue_put(struct mr_sock *parent, struct accept_queue *queue, struct mr_sock *sock);

/* ---- socket_event.c ---- */

enum mr_ev_answer mr_sock_on_event(void *context, struct mr_ev *event);

/* ---- socket_read.c ---- */

/* Data of a RECEIVE: keep the views (PENDING), or copy them if they are few (CONSUMED). */
enum mr_ev_answer mr_sock_show(struct mr_sock *stream, const struct mr_ev *event);
/* Nobody will read it. */
void mr_sock_drop_unread(struct mr_sock *stream);
/* The same of a stream that was reset: its buffers go back. */
void mr_sock_return_unread(struct mr_sock *stream);
/* The stream is over, and the views with it: keep what was not read. */
void mr_sock_save_unread(struct mr_sock *stream);
bool mr_sock_is_readable(const struct mr_sock *stream);
/* What a read gives now, or -EAGAIN. */
ssize_t mr_sock_read_now(struct mr_sock *stream, void *buffer, size_t size);
ssize_t mr_sock_read_all_now(struct mr_sock *stream, void *buffer, size_t size);
void mr_sock_keep_datagram(struct mr_sock *conn, const struct mr_ev *event);
void mr_sock_free_datagrams(struct mr_sock *conn);

/* ---- socket_write.c ---- */

bool mr_sock_is_writable(const struct mr_sock *stream);
/* Give the registration what it takes. */
void mr_sock_flush(struct mr_sock *stream);
/* Take bytes while there is room: how many; -EAGAIN, -EPIPE, ...; the last of them ask to be told
 * when they are handed over, if `wants_notify`. */
ssize_t mr_sock_take(struct mr_sock *stream, struct iovec *piece, bool wants_notify);
/* True: every byte before offset `end` was handed to the port, or acknowledged if that is asked
 * for. */
bool mr_sock_is_handed(const struct mr_sock *stream, uint64_t end);
/* What a blocking write gives whose wait failed: how much of `size` bytes was taken, or why. */
ssize_t mr_sock_partial(size_t taken, size_t size, int status);
void mr_sock_chunk_done(struct mr_sock *stream, struct chunk *chunk, int status);
void mr_sock_drop_unsent(struct mr_sock *stream);
/* The stream is over: all of them. */
void mr_sock_free_chunks(struct mr_sock *stream);

/* ---- poll.c ---- */

uint32_t mr_sock_compute_ready(const struct mr_sock *sock);

/* ---- poll_set.c ---- */

/* `risen` has become true on the socket. */
void mr_sock_tell_sets(struct mr_sock *sock, uint32_t risen);
void mr_sock_leave_sets(struct mr_sock *sock);

/* ---- adapter.c ---- */

/* Every operation ends with `status`. */
void mr_sock_end_ops(struct mr_sock *sock, int status);
/* Without telling: the world is gone. */
void mr_sock_free_ops(struct mr_sock *sock);
void mr_sock_free_ended(struct mr_sock_host *host);

#endif /* MR_APP_SOCKET_INTERNAL_H */
