/*
 * drivers/unix_socket.h - may a server have this Unix socket's address?
 *
 *     nothing there                          -> yes, if its directory can be written
 *     a socket's file that nobody listens at -> left over: it is removed, yes
 *     a socket that somebody listens at      -> no
 *     anything else                          -> no, and it is left as it is
 *
 * A name is a path, or '@' and an abstract name.
 *
 * Threads: any.  Between the answer and bind() another program may come first: bind() says so.
 */
#ifndef MR_DRIVERS_UNIX_SOCKET_H
#define MR_DRIVERS_UNIX_SOCKET_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fault.h"

/* Bytes of a name, its end included. */
#define MR_UNIX_NAME_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

/* The address of `name`, shorter than MR_UNIX_NAME_MAX; returns its size in bytes. */
socklen_t mr_unix_socket_address(const char *name, struct sockaddr_un *address_out);

/*
 * Who is at the socket `name`, shorter than MR_UNIX_NAME_MAX?  EADDRINUSE: somebody; ECONNREFUSED:
 * nobody, but the file is there; ENOENT: nobody; or another errno of the attempt.  Who listens does
 * not notice.
 */
int mr_unix_socket_look(const char *name);

/*
 * Make sure that a server can bind to `name`; what is left over is removed.  0, or -errno with the
 * reason in `fault`; `option` is how the user names another, like "socket=".
 */
int mr_unix_socket_take(const char *name, const char *option, struct mr_fault *fault);

#endif /* MR_DRIVERS_UNIX_SOCKET_H */
