/*
 * millrace/ring.h - rings: the application's end, as thin as can be.
 *
 *     mr_attach() --> one struct mr_ring per shard
 *     mr_ring_sqe() -> mr_sqe_x() ... -> mr_ring_submit()          requests
 *     mr_ring_peek() / mr_attach_wait() -> look -> mr_ring_advance()   completions
 *
 * As with io_uring: a full queue is a NULL, never a block; `user_data` comes back untouched; an
 * entry is seen by the other side when it was submitted; one call may hand over many.  The other
 * I/O models stand on this header and on nothing else.
 *
 * Owner: the application, for attachments until mr_detach(), with their rings.
 * Threads: an attachment and its rings belong to one thread at a time, except where a function says
 * otherwise.  After fork() they are the parent's: the child attaches for itself.
 * Errors: 0 or a count, else -errno.
 */
#ifndef MILLRACE_RING_H
#define MILLRACE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "millrace/error.h"
#include "millrace/path.h"
#include "millrace/ring_layout.h"
#include "millrace/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_attachment;
struct mr_ring;

/* {0} and a path: everything as the datapath chooses.  The thread that attaches should be the one
 * that uses the rings, where it runs later: connections are given to rings of the shard's NUMA node
 * first. */
struct mr_attach_config {
    const char *control;   /* path of the control socket; NULL: $MILLRACE_CONTROL, else
                              /run/millrace.sock */
    const char *name;      /* of the application; NULL: "app" */
    uint64_t shards;       /* bit mask; 0: all */
    uint32_t submit_count; /* entries; 0: the datapath's default, as for all below */
    uint32_t complete_count;
    uint32_t slot_size; /* bytes of a receive slot */
    uint32_t slot_count;
    uint64_t send_bytes;  /* of the send area */
    uint64_t patience_ns; /* to wait for a datapath that is not there yet; 0: do not */
    bool can_move;        /* the application answers MR_EVENT_MOVED, see Moves in
                             millrace/ring_layout.h: its connections may change their shard */
    bool wants_reasons;   /* CLOSED of a connection brings its reason: MR_CQE_REASON */
    bool is_by_reference; /* the datapath runs in this process: nothing is copied */
    /* Who is told, once, after a second of that patience, that the datapath is waited for, and why;
     * NULL: a line on standard error. */
    void (*on_wait)(void *context, const char *why);
    void *wait_context;
};

/* Attach to a running datapath.  0; -ENOENT, -ECONNREFUSED: none runs there; -ENOTSOCK,
 * -EPROTOTYPE: something else is there; -EACCES: this user may not; -EPERM, -ENOSPC, ...: refused;
 * -EPROTO: another version; -ETIMEDOUT: it does not answer; -ECONNRESET: it went away in between.
 */
int mr_attach(const struct mr_attach_config *config, struct mr_attachment **attachment_out,
              struct mr_error *error);

/* Detach; everything open is closed by the datapath.  NULL is allowed. */
void mr_detach(struct mr_attachment *attachment);

/* Rings of the attachment, one per shard. */
uint32_t mr_attach_ring_count(const struct mr_attachment *attachment);

/* The ring of that index, which is no shard's number: mr_ring_shard() tells it. */
struct mr_ring *mr_attach_ring(struct mr_attachment *attachment, uint32_t index);

/* Number of the named listener; -ENOENT: there is none, or it is another application's. */
int mr_attach_listener(const struct mr_attachment *attachment, const char *name);

/* A descriptor that poll(2) and epoll(7) find readable when there may be completions, after
 * mr_attach_arm() said true.  It stays the attachment's. */
int mr_attach_fd(const struct mr_attachment *attachment);

/*
 * Before waiting for mr_attach_fd(): ask the datapath to write to it.  True: nothing is there,
 * wait. False: there are completions, or the datapath is gone: do not wait.
 */
bool mr_attach_arm(struct mr_attachment *attachment);

/* After the wait: take the descriptor's readability back. */
void mr_attach_disarm(struct mr_attachment *attachment);

/* Arm, wait at most `timeout_ns` (UINT64_MAX: for ever), disarm.  1: completions are there; 0: none
 * until then; -EINTR: a signal; -ENOTCONN: the datapath is gone. */
int mr_attach_wait(struct mr_attachment *attachment, uint64_t timeout_ns);

/* False once the datapath is gone, has let go of a ring of the attachment, or broke one: attach
 * again.  Costs system calls. */
bool mr_attach_is_alive(const struct mr_attachment *attachment);

/* What an attachment knows of its datapath. */
enum mr_datapath_state {
    MR_DATAPATH_THERE,    /* it is there */
    MR_DATAPATH_DRAINING, /* it drains, a ring told MR_EVENT_GO_AWAY: finish what is open */
    MR_DATAPATH_DRAINED,  /* it has ended, in order */
    MR_DATAPATH_DETACHED, /* it goes on, and has let go of us: the operator wants it, or we broke a
                           ring */
    MR_DATAPATH_GONE      /* it is gone, without a word */
};

/* The state, and why in words (NULL: not wanted).  From MR_DATAPATH_DRAINED on nothing comes any
 * more. Costs system calls. */
enum mr_datapath_state mr_attach_state(const struct mr_attachment *attachment,
                                       struct mr_error *why_out);

/* ------------------------------------------------------------------ submissions */

/* The next free submission, zeroed; NULL: the queue is full, submit and look at completions. */
struct mr_sqe *mr_ring_sqe(struct mr_ring *ring);

/* Hand over everything prepared.  Returns how many. */
uint32_t mr_ring_submit(struct mr_ring *ring);

/* The shard at the other end. */
uint32_t mr_ring_shard(const struct mr_ring *ring);

/*
 * mr_sqe_x() below prepare a submission of mr_ring_sqe().  They leave user_data, flags and alias as
 * they are; enum mr_op says what each field is for.
 */

/* Prepare nothing, which is answered all the same. */
static inline void mr_sqe_nop(struct mr_sqe *sqe)
{
    sqe->op = MR_OP_NOP;
}

/* Prepare to begin or end taking connections of a listener, or of MR_RING_EVERY. */
static inline void mr_sqe_listen(struct mr_sqe *sqe, uint64_t listener, bool is_on)
{
    sqe->op = MR_OP_LISTEN;
    sqe->value = listener;
    sqe->address = is_on;
}

/* Prepare to take one connection of a listener. */
static inline void mr_sqe_accept(struct mr_sqe *sqe, uint64_t listener)
{
    sqe->op = MR_OP_ACCEPT;
    sqe->value = listener;
}

/* Prepare to begin a connection.  `wish`: mr_ring_offset() of a struct mr_ring_connect. */
static inline void mr_sqe_connect(struct mr_sqe *sqe, uint64_t wish)
{
    sqe->op = MR_OP_CONNECT;
    sqe->address = wish;
    sqe->size = sizeof(struct mr_ring_connect);
}

/* Prepare to open a stream.  `kind`: enum mr_open_flags (millrace/transport.h). */
static inline void mr_sqe_open(struct mr_sqe *sqe, uint64_t conn, uint32_t kind)
{
    sqe->op = MR_OP_OPEN;
    sqe->handle = conn;
    sqe->value = kind;
}

/* Prepare to send bytes of the send area on a stream.  `address`: mr_ring_offset(), `flags`: enum
 * mr_sqe_flags. */
static inline void mr_sqe_send(struct mr_sqe *sqe, uint64_t stream, uint64_t address, uint32_t size,
                               uint8_t flags)
{
    sqe->op = MR_OP_SEND;
    sqe->handle = stream;
    sqe->address = address;
    sqe->size = size;
    sqe->flags = flags;
}

/* Prepare to send bytes of the send area as one datagram. */
static inline void mr_sqe_datagram(struct mr_sqe *sqe, uint64_t conn, uint64_t address,
                                   uint32_t size)
{
    sqe->op = MR_OP_DATAGRAM;
    sqe->handle = conn;
    sqe->address = address;
    sqe->size = size;
}

/* Prepare to give back the slot of a MR_CQE_DATA or MR_CQE_DATAGRAM. */
static inline void mr_sqe_release(struct mr_sqe *sqe, const struct mr_cqe *cqe)
{
    sqe->op = MR_OP_RELEASE;
    sqe->flags = MR_SQE_QUIET;
    sqe->handle = cqe->stream;
    sqe->address = cqe->address;
    sqe->size = cqe->size;
}

/* Prepare to let the connection of an EVENT with MR_EVENT_MOVED go; `cqe` is that event. */
static inline void mr_sqe_move_ack(struct mr_sqe *sqe, const struct mr_cqe *cqe)
{
    sqe->op = MR_OP_MOVE_ACK;
    sqe->handle = cqe->conn;
    sqe->value = cqe->value;
}

/* Prepare to abandon sending on a stream, with a code for the peer. */
static inline void mr_sqe_reset(struct mr_sqe *sqe, uint64_t stream, uint64_t code)
{
    sqe->op = MR_OP_RESET;
    sqe->handle = stream;
    sqe->value = code;
}

/* Prepare to ask the peer to stop sending on a stream, with a code for it. */
static inline void mr_sqe_stop(struct mr_sqe *sqe, uint64_t stream, uint64_t code)
{
    sqe->op = MR_OP_STOP;
    sqe->handle = stream;
    sqe->value = code;
}

/* Prepare to abandon sending but for the stream's first `reliable` bytes. */
static inline void mr_sqe_reset_at(struct mr_sqe *sqe, uint64_t stream, uint64_t code,
                                   uint64_t reliable)
{
    sqe->op = MR_OP_RESET_AT;
    sqe->handle = stream;
    sqe->value = code;
    sqe->address = reliable;
}

/* Prepare to say when a stream sends, among those of its connection. */
static inline void mr_sqe_priority(struct mr_sqe *sqe, uint64_t stream, struct mr_priority priority)
{
    sqe->op = MR_OP_PRIORITY;
    sqe->handle = stream;
    sqe->value = priority.urgency | (priority.is_incremental ? MR_RING_INCREMENTAL : 0);
}

/* Prepare to take a client's connection to another port of the same local address; 0: any. */
static inline void mr_sqe_migrate(struct mr_sqe *sqe, uint64_t conn, uint16_t port)
{
    sqe->op = MR_OP_MIGRATE;
    sqe->handle = conn;
    sqe->value = port;
}

/* Prepare to do something with the path `path` of a connection: MR_PATH_CALL_ABANDON, _BACKUP or
 * _AVAILABLE of millrace/path.h. */
static inline void mr_sqe_path(struct mr_sqe *sqe, uint64_t conn, uint32_t path, uint16_t kind)
{
    sqe->op = MR_OP_PATH;
    sqe->handle = conn;
    sqe->value = MR_RING_PATH(kind, 0, path);
}

/* Prepare to open a path from another port of the connection's local address; 0: from its own, to
 * be used with another address (`address`, `size`). */
static inline void mr_sqe_path_open(struct mr_sqe *sqe, uint64_t conn, uint16_t port)
{
    sqe->op = MR_OP_PATH;
    sqe->handle = conn;
    sqe->value = MR_RING_PATH(MR_PATH_CALL_OPEN, port, 0);
}

/* Prepare to list a connection's paths into `size` bytes of the send area at `offset`, entries of
 * struct mr_ring_path. */
static inline void mr_sqe_path_list(struct mr_sqe *sqe, uint64_t conn, uint64_t offset,
                                    uint32_t size)
{
    sqe->op = MR_OP_PATH;
    sqe->handle = conn;
    sqe->value = MR_RING_PATH(MR_PATH_CALL_LIST, 0, 0);
    sqe->address = offset;
    sqe->size = size;
}

/* What an entry of that list says, which the caller has copied from where it was written. */
static inline struct mr_path_info mr_ring_path_info(const struct mr_ring_path *path)
{
    struct mr_path_info info;

    memset(&info, 0, sizeof(info));
    memcpy(info.local.ip, path->local_ip, sizeof(info.local.ip));
    memcpy(info.remote.ip, path->remote_ip, sizeof(info.remote.ip));
    info.local.port = path->local_port;
    info.remote.port = path->remote_port;
    info.path = path->path;
    info.state = path->state;
    info.is_backup = path->is_backup != 0;
    info.is_peer_backup = path->is_peer_backup != 0;
    info.mtu = path->mtu;
    info.rtt_ns = path->rtt_ns;
    info.cwnd_bytes = path->cwnd_bytes;
    info.bytes_in_flight = path->bytes_in_flight;
    info.bytes_sent = path->bytes_sent;
    info.bytes_received = path->bytes_received;
    return info;
}

/* Prepare to close a connection, with a code for the peer. */
static inline void mr_sqe_close(struct mr_sqe *sqe, uint64_t conn, uint64_t code)
{
    sqe->op = MR_OP_CLOSE;
    sqe->handle = conn;
    sqe->value = code;
}

/* Prepare a completion that comes `delay_ns` from now. */
static inline void mr_sqe_timer(struct mr_sqe *sqe, uint64_t delay_ns)
{
    sqe->op = MR_OP_TIMER;
    sqe->value = delay_ns;
}

/* ------------------------------------------------------------------ completions */

/* The oldest completion not advanced over, copied where the datapath cannot change it; NULL: none.
 * It stays valid until mr_ring_advance(). */
const struct mr_cqe *mr_ring_peek(struct mr_ring *ring);

/* The completion just looked at is done with. */
void mr_ring_advance(struct mr_ring *ring);

/* Copy at most `room` completions and advance over them.  Returns how many. */
uint32_t mr_ring_take(struct mr_ring *ring, struct mr_cqe *cqes_out, uint32_t room);

/* The bytes of a MR_CQE_DATA or MR_CQE_DATAGRAM; valid until released. */
const uint8_t *mr_ring_data(const struct mr_ring *ring, const struct mr_cqe *cqe);

/* ------------------------------------------------------------------ the send area */

/*
 * Take `size` bytes of the send area, aligned to 64.  NULL: none are free.  They may be written
 * until they are named in a SEND, and again when it is done.
 */
void *mr_ring_alloc(struct mr_ring *ring, size_t size);

/* Give memory of mr_ring_alloc() back. */
void mr_ring_free(struct mr_ring *ring, void *memory);

/*
 * Bytes of the send area that a stream which has some out should have out in all: half of what is
 * free, and less the fuller the area is.  Where all keep to it, streams that do not go on, however
 * many, leave something to those that do.
 */
uint64_t mr_ring_share(const struct mr_ring *ring);

/* The address that submissions give to memory of mr_ring_alloc(), or inside of it. */
uint64_t mr_ring_offset(const struct mr_ring *ring, const void *memory);

/* True if the bytes lie in memory that SEND can name. */
bool mr_ring_owns(const struct mr_ring *ring, const void *memory, size_t size);

/* Aliases, SENDs under way, and objects of a ring: the limits that the datapath set. */
uint32_t mr_ring_alias_count(const struct mr_ring *ring);
uint32_t mr_ring_sends_max(const struct mr_ring *ring);
uint32_t mr_ring_objects_max(const struct mr_ring *ring);

/* True if addresses are pointers and stream data is not copied (MR_RING_BY_REFERENCE). */
bool mr_ring_is_by_reference(const struct mr_ring *ring);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_RING_H */
