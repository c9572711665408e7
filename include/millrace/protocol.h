/*
 * millrace/protocol.h - protocols of messages: a server with its clients, a client, common to all.
 *
 *     mr_protocol_listen() --> server --accepts--> client --fiber--> serve(client)
 *     mr_protocol_connect() --> client's peer
 *
 * A peer is one end of one conversation; what it says goes over its channel, of whatever kind.  A
 * server has a fiber for each of its clients, in which `serve` reads and answers in straight-line
 * code; meanwhile the others are served.  The first bidirectional stream of a connection is the
 * conversation.
 *
 * Owner: the caller.  Threads: the hub's.  Whoever stops a server or closes a client's connection
 * does so in a fiber.
 */
#ifndef MILLRACE_PROTOCOL_H
#define MILLRACE_PROTOCOL_H

#include "millrace/channel.h"
#include "millrace/fiber.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_peer;
struct mr_protocol_server;

/* ------------------------------------------------------------------ peers */

/* The message that comes next; one fiber after the other.  As mr_message_read(). */
MR_SWITCHPOINT ssize_t mr_peer_receive(struct mr_peer *peer, const uint8_t **data_out);

/*
 * One message, whole, however many fibers send.  As mr_message_write(): a fiber that is cancelled
 * before anything was written gets -ECANCELED, and the others go on; one that is stopped half way
 * (-EPIPE) ends the conversation as mr_peer_abort() does.
 */
MR_SWITCHPOINT int mr_peer_send(struct mr_peer *peer, const void *data, size_t size);

/* The same within a time, which also counts while others send.  -ETIMEDOUT: nothing was written;
 * -EINPROGRESS: the message is on its way as a whole; -EPIPE: time was up half way, too. */
MR_SWITCHPOINT int mr_peer_send_within(struct mr_peer *peer, const void *data, size_t size,
                                       uint64_t timeout_ns);

/*
 * End the conversation: who waits for it, and who calls later, gets -EPIPE; a server's client
 * leaves.  The other end learns it as the channel can tell: over QUIC its calls return -ECONNRESET.
 */
void mr_peer_abort(struct mr_peer *peer);

/* What it talks over: for reading it only between two messages. */
const struct mr_channel *mr_peer_transport(const struct mr_peer *peer);

/* Its connection and stream; NULL: it talks over something else. */
struct mr_sock *mr_peer_conn(const struct mr_peer *peer);
struct mr_sock *mr_peer_stream(const struct mr_peer *peer);

/* A word of the application's. */
void mr_peer_set_context(struct mr_peer *peer, void *context);
void *mr_peer_context(const struct mr_peer *peer);

/* Every call that waits for it returns -ECANCELED: a server's client leaves. */
void mr_peer_disconnect(struct mr_peer *peer);

/* ------------------------------------------------------------------ clients */

/* A stream of `conn`, which blocks and stays the caller's, or any channel.  0; -ENOMEM; as
 * mr_sock_open(). */
int mr_protocol_connect(struct mr_sock *conn, const struct mr_message_format *format,
                        struct mr_peer **peer_out);
int mr_protocol_connect_over(const struct mr_channel *channel,
                             const struct mr_message_format *format, struct mr_peer **peer_out);

/* Say that no more will be sent, and free.  No fiber is in a call on it.  NULL: no effect. */
void mr_peer_free(struct mr_peer *peer);

/* ------------------------------------------------------------------ servers */

struct mr_protocol_config {
    const char *name; /* of its fibers */
    struct mr_message_format format;
    /* In a fiber of its own; the client leaves when it returns. */
    void (*serve)(struct mr_protocol_server *server, struct mr_peer *client, void *context);
    void *context;
    uint32_t clients_max; /* more are turned away; 0: 1,048,576 */
    size_t stack_size;    /* of its fibers; 0: the hub's */
};

/* Make a server that serves nobody yet.  `config` is copied, `name` is not.  NULL: no memory. */
struct mr_protocol_server *mr_protocol_server_new(const struct mr_protocol_config *config);

/* Serve who connects: `listener` blocks and stays the caller's, open until the server is freed.
 * Once for a server. 0; as mr_fiber_spawn(). */
int mr_protocol_listen(struct mr_protocol_server *server, struct mr_sock *listener);

/* Serve a client over any channel, which stays the caller's.  0; -ENFILE: clients_max are there;
 * -ENOMEM; as mr_fiber_spawn(). */
int mr_protocol_serve(struct mr_protocol_server *server, const struct mr_channel *channel,
                      struct mr_peer **client_out);

/* The set of clients that are connected, oldest first.  It changes at switchpoints only. */
uint32_t mr_protocol_client_count(const struct mr_protocol_server *server);
struct mr_peer *mr_protocol_first_client(const struct mr_protocol_server *server);
struct mr_peer *mr_protocol_next_client(const struct mr_peer *client);

/* To all clients that are there now, one after the other: a slow one holds up the next.  How many
 * got it. */
MR_SWITCHPOINT uint32_t mr_protocol_broadcast(struct mr_protocol_server *server, const void *data,
                                              size_t size);

/* Accept nobody any more, let every client leave, wait until they have, free. 0; -ECANCELED: some
 * are still there, and nothing was freed. */
MR_SWITCHPOINT int mr_protocol_server_free(struct mr_protocol_server *server);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_PROTOCOL_H */
