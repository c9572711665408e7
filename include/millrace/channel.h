/*
 * millrace/channel.h - channels of millrace/message.h: a stream of QUIC, descriptors of the kernel,
 * memory between two fibers.
 *
 * Reading and writing switch to other fibers while they have to wait.  One reader and one writer at
 * a time.  Writing to an end that nobody reads any more is -EPIPE, without a signal.
 *
 * Owner: the caller, of what a channel is made from.  Threads: the loop's, the hub's.
 */
#ifndef MILLRACE_CHANNEL_H
#define MILLRACE_CHANNEL_H

#include "millrace/message.h"
#include "millrace/socket.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A stream, which blocks (MR_SOCK_NONBLOCK 0).  Aborted (millrace/message.h), it is reset with code
 * 0: the other end gets -ECONNRESET. */
struct mr_channel mr_channel_of_sock(struct mr_sock *stream);

/* Descriptors with O_NONBLOCK: pipes, sockets (of which `out` is a dup(2) of `in`: a loop watches a
 * descriptor once).  The struct is the channel's context. */
struct mr_fd_pair {
    struct mr_loop *loop; /* served by the hub (mr_hub_serve_loop()) */
    int in;               /* -1: none */
    int out;
};

/* Make a channel of such a pair.  Aborted, a socket is shut down both ways; of a pipe the other end
 * sees nothing before `out` is closed, which is its owner's. */
struct mr_channel mr_channel_of_fds(struct mr_fd_pair *pair);

/* Two ends, each reading what the other writes. */
struct mr_memory_pair;

/* Each direction holds `room` bytes, > 0: a writer waits for more.  NULL: no memory, or no room. */
struct mr_memory_pair *mr_memory_pair_new(size_t room);
struct mr_channel mr_memory_pair_end(struct mr_memory_pair *pair, unsigned end);

/* Close `end` (0 or 1): the other reads what is left, then the end, and writes to -EPIPE.  An end
 * that is aborted is closed. */
void mr_memory_pair_close(struct mr_memory_pair *pair, unsigned end);

/* Nobody waits in it. */
void mr_memory_pair_free(struct mr_memory_pair *pair);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_CHANNEL_H */
