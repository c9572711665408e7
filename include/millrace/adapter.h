/*
 * millrace/adapter.h - readiness turned into completions: start an operation on a socket
 * (millrace/socket.h), and be called when it is done.
 *
 *     mr_read_then(sock, buffer, ...) --> queue of the socket --ready--> done(context, result)
 *
 * Operations of one socket are done in the order in which they were started, those that read and
 * those that write apart.  `done` is called by the loop, once for each operation that was started,
 * never inside the call that starts it; it may start others, and close the socket.  It is not
 * called when the loop is freed.
 *
 * MR_SOCK_NONBLOCK and timeouts do not matter: nothing here waits.  mr_sock_cancel() ends what is
 * under way with -ECANCELED, mr_sock_close() with -EBADF.
 *
 * Owner: buffers are the library's until `done`.  Threads: the loop's.
 * Errors of all functions: -EINVAL: not for this kind of socket; -ENOMEM; -ENOTCONN: the loop is
 * gone.  Results in `done`: as those of the blocking calls.
 */
#ifndef MILLRACE_ADAPTER_H
#define MILLRACE_ADAPTER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "millrace/socket.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*mr_sock_done)(void *context, ssize_t result);

/* As mr_sock_read(): when bytes, or the end, are there. */
int mr_read_then(struct mr_sock *stream, void *buffer, size_t size, mr_sock_done done,
                 void *context);

/* As mr_sock_read_all(): when the stream has ended. */
int mr_read_all_then(struct mr_sock *stream, void *buffer, size_t size, mr_sock_done done,
                     void *context);

/* The same, in memory that the library finds, at most `size_max` bytes; `bytes` are valid during
 * the call, and NULL if `result` is negative. */
int mr_whole_then(struct mr_sock *stream, size_t size_max,
                  void (*done)(void *context, const uint8_t *bytes, ssize_t result), void *context);

/* As a blocking mr_sock_write(): when all was handed to the port, or acknowledged. */
int mr_write_then(struct mr_sock *stream, const void *buffer, size_t size, mr_sock_done done,
                  void *context);

/* As mr_sock_accept() or mr_sock_accept_stream(): the next of a listener or a connection. */
int mr_accept_then(struct mr_sock *sock,
                   void (*done)(void *context, int status, struct mr_sock *accepted),
                   void *context);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_ADAPTER_H */
