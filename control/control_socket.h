/*
 * control/control_socket.h - the Unix socket by which programs of this machine talk to a running
 * datapath (millrace/attach_layout.h): who is connected, and what they say.
 *
 *     path --listen--> clients --whole messages--> handler
 *                              <--send queues----- mr_client_send()
 *
 * One epoll set holds the listening socket, the clients and a timer, and is itself a descriptor
 * that somebody's epoll can wait for.  Nothing blocks: what a client does not take is queued for
 * it, up to MR_CLIENT_QUEUE_MAX, and a client that takes nothing for as long as it may be silent is
 * closed.
 *
 * A client is closed when it closes, when it says something malformed, when it says nothing for
 * `silence_ns` before its first message, and, if it is attached, when its process ends: also if a
 * child still has the connection.
 *
 * Owner: whoever opens it.  Threads: the control thread's.
 * Limits: struct mr_control_socket_config.
 */
#ifndef MR_CONTROL_CONTROL_SOCKET_H
#define MR_CONTROL_CONTROL_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fault.h"
#include "control/attach_message.h"

#define MR_CONTROL_PATH      "/run/millrace.sock" /* where nobody says otherwise */
#define MR_CONTROL_MODE      0660
#define MR_CLIENTS_MAX       64
#define MR_CLIENT_SILENCE_NS UINT64_C(5000000000)
#define MR_CLIENT_QUEUE_MAX  (UINT32_C(4) << 20) /* bytes not taken by a client; more: closed */
#define MR_CONTROL_NEVER     UINT64_MAX

struct mr_control_socket;
struct mr_client;

/* {0} and a path: as above. */
struct mr_control_socket_config {
    const char *path;     /* of the socket's file; copied */
    uint32_t mode;        /* of that file */
    const char *group;    /* whose it is: a name or a number; NULL: the process's */
    uint32_t clients_max; /* at once; more: refused */
    uint64_t silence_ns;
};

/* Who is at the other end, as the kernel says. */
struct mr_client_peer {
    pid_t pid; /* 0: of another PID namespace */
    uid_t uid;
    gid_t gid;
};

/* What is done with what clients say.  All are called inside of mr_control_socket_poll(). */
struct mr_control_handler {
    void *context;

    /* A well-formed message.  0; -errno: `fault` is sent as REFUSED; the client is closed unless
     * it was a COMMAND. */
    int (*on_message)(void *context, struct mr_client *client,
                      const struct mr_client_message *message, struct mr_fault *fault);

    /* The client is gone, or will be at once; `client` must not be used afterwards. */
    void (*on_gone)(void *context, struct mr_client *client);

    /* Do what is due at `now_ns`.  Returns when to be called next, or MR_CONTROL_NEVER.  Called
     * after everything else, too. */
    uint64_t (*on_time)(void *context, uint64_t now_ns);
};

/* Make the socket's file and listen.  NULL with `fault` set. */
struct mr_control_socket *mr_control_socket_open(const struct mr_control_socket_config *config,
                                                 const struct mr_control_handler *handler,
                                                 struct mr_fault *fault);

/* Close all clients (with on_gone) and remove the file.  NULL is allowed. */
void mr_control_socket_close(struct mr_control_socket *socket);

/*
 * Do what is there to do; wait for it at most `timeout_ns` (0: do not; UINT64_MAX: for ever).
 * Returns how many descriptors had something; -EINTR: a signal came.
 */
int mr_control_socket_poll(struct mr_control_socket *socket, uint64_t timeout_ns);

/* Readable when mr_control_socket_poll() has something to do, the passing of time included. */
int mr_control_socket_fd(const struct mr_control_socket *socket);

/* After something changed that on_time should know of, outside of poll: call it soon. */
void mr_control_socket_hurry(struct mr_control_socket *socket);

uint32_t mr_control_socket_client_count(const struct mr_control_socket *socket);

/* Nanoseconds of the clock that on_time gets. */
uint64_t mr_control_now(void);

/* ---- clients ---- */

const struct mr_client_peer *mr_client_peer(const struct mr_client *client);

/* The handler's own word of a client; NULL at first. */
void mr_client_set_context(struct mr_client *client, void *context);
void *mr_client_context(const struct mr_client *client);

/*
 * Send a message: `head`, whose size counts the rest (a struct that begins with a struct
 * mr_message), then `size` bytes of `more`.  `fd`, if it is not -1, goes with it and becomes the
 * client's: it is closed here in any case.  0; -ENOMEM, -ENOBUFS, -EPIPE: on_gone follows soon.
 */
int mr_client_send(struct mr_client *client, const struct mr_message *head, const void *more,
                   size_t size, int fd);

/* Send REFUSED with the fault's text; `error` is negative. */
void mr_client_refuse(struct mr_client *client, int error, const struct mr_fault *fault);

/* Is it gone, or its process, although nobody was told yet?  Then on_gone follows soon. */
bool mr_client_has_ended(struct mr_client *client);

/* It is attached: it has nothing more to say, may be silent, and is gone when its process is. */
void mr_client_attach(struct mr_client *client);

/* Close it when everything queued is sent.  The client must not be used afterwards; on_gone is not
 * called. */
void mr_client_close(struct mr_client *client);

#endif /* MR_CONTROL_CONTROL_SOCKET_H */
