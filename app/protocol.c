/*
 * app/protocol.c - see millrace/protocol.h: peers, and servers with their clients.
 *
 * A client is in its server's list from before its fiber's first turn until `serve` has returned.
 * Calls that may switch pin the client they stand at.
 */
#include "millrace/protocol.h"

#include <errno.h>
#include <stdlib.h>

#include "app/fiber_internal.h"
#include "base/assert.h"
#include "millrace/fiber_sync.h"

#define CLIENTS_MAX (UINT32_C(1) << 20)

struct mr_peer {
    struct mr_channel channel;
    struct mr_message_stream *messages;
    struct mr_sock *conn;   /* NULL: another kind of channel */
    struct mr_sock *stream; /* ours */
    struct mr_fiber_mutex reading;
    struct mr_fiber_mutex writing;
    void *context;
    struct mr_protocol_server *server; /* NULL: a client's */
    struct mr_fiber *fiber;            /* in which it is served */
    struct mr_peer *next;              /* of the server's clients */
    struct mr_peer *previous;
    uint32_t pins; /* calls that stand here */
    bool is_gone;  /* from the list */
};

struct mr_protocol_server {
    struct mr_protocol_config config;
    struct mr_peer *first;
    struct mr_peer *last;
    uint32_t count;  /* of the list */
    uint32_t fibers; /* that have not ended */
    struct mr_fiber_condition left;
    struct mr_fiber *acceptor;
    struct mr_sock *listener;
    struct arrival *arrivals;
    bool is_ending;
};

/* A connection whose stream has not come yet. */
struct arrival {
    struct mr_protocol_server *server;
    struct mr_sock *conn;
    struct arrival *next;
};

/* ------------------------------------------------------------------ peers */

static struct mr_peer *make_peer(const struct mr_channel *channel,
                                 const struct mr_message_format *format)
{
    struct mr_peer *peer = calloc(1, sizeof(*peer));

    if (peer == NULL)
        return NULL;
    peer->channel = *channel;
    peer->messages = mr_message_stream_new(channel, format);
    if (peer->messages == NULL) {
        free(peer);
        return NULL;
    }
    return peer;
}

void mr_peer_free(struct mr_peer *peer)
{
    if (peer == NULL)
        return;
    MR_ASSERT(peer->reading.owner == NULL);
    MR_ASSERT(peer->writing.owner == NULL);
    if (peer->stream != NULL) {
        (void)mr_sock_shutdown(peer->stream);
        (void)mr_sock_close(peer->stream, 0);
    }
    mr_message_stream_free(peer->messages);
    free(peer);
}

/* The last to stand at a client that has left frees it. */
static void unpin(struct mr_peer *peer)
{
    if (--peer->pins == 0 && peer->is_gone)
        mr_peer_free(peer);
}

ssize_t mr_peer_receive(struct mr_peer *peer, const uint8_t **data_out)
{
    int result = mr_switchpoint_check("mr_peer_receive");

    if (result == 0)
        result = mr_fiber_mutex_lock(&peer->reading, MR_FOREVER);
    if (result != 0)
        return result;
    ssize_t size = mr_message_read(peer->messages, data_out);
    mr_fiber_mutex_unlock(&peer->reading);
    return size;
}

/* The channel has told who waits there, if it can; the others are told here. */
static void let_go(struct mr_peer *peer)
{
    mr_fiber_interrupt(peer->reading.owner);
    mr_fiber_interrupt(peer->writing.owner);
    if (peer->fiber != NULL && peer->fiber != peer->reading.owner &&
        peer->fiber != mr_fiber_current())
        (void)mr_fiber_cancel(peer->fiber);
}

void mr_peer_abort(struct mr_peer *peer)
{
    if (mr_message_is_aborted(peer->messages))
        return;
    mr_message_abort(peer->messages);
    let_go(peer);
}

/* With `writing` locked. */
static int send_locked(struct mr_peer *peer, const void *data, size_t size)
{
    if (peer->is_gone)
        return -EPIPE;
    bool was_aborted = mr_message_is_aborted(peer->messages);
    int result = mr_message_write(peer->messages, data, size);
    if (!was_aborted && mr_message_is_aborted(peer->messages))
        let_go(peer);
    return result;
}

static int send_within(struct mr_peer *peer, const void *data, size_t size, uint64_t timeout_ns)
{
    uint64_t outer = mr_fiber_limit_begin(timeout_ns);

    peer->pins++;
    int result = peer->is_gone ? -EPIPE : mr_fiber_mutex_lock(&peer->writing, MR_FOREVER);
    if (result == 0) {
        result = send_locked(peer, data, size);
        mr_fiber_mutex_unlock(&peer->writing);
    }
    unpin(peer);
    mr_fiber_limit_end(outer);
    return result;
}

int mr_peer_send(struct mr_peer *peer, const void *data, size_t size)
{
    int result = mr_switchpoint_check("mr_peer_send");

    return result != 0 ? result : send_within(peer, data, size, MR_FOREVER);
}

int mr_peer_send_within(struct mr_peer *peer, const void *data, size_t size, uint64_t timeout_ns)
{
    int result = mr_switchpoint_check("mr_peer_send_within");

    return result != 0 ? result : send_within(peer, data, size, timeout_ns);
}

const struct mr_channel *mr_peer_transport(const struct mr_peer *peer)
{
    return &peer->channel;
}

struct mr_sock *mr_peer_conn(const struct mr_peer *peer)
{
    return peer->conn;
}

struct mr_sock *mr_peer_stream(const struct mr_peer *peer)
{
    return peer->stream;
}

void mr_peer_set_context(struct mr_peer *peer, void *context)
{
    peer->context = context;
}

void *mr_peer_context(const struct mr_peer *peer)
{
    return peer->context;
}

void mr_peer_disconnect(struct mr_peer *peer)
{
    if (peer->stream != NULL)
        mr_sock_cancel(peer->stream);
    if (peer->fiber != NULL)
        (void)mr_fiber_cancel(peer->fiber);
}

/* ------------------------------------------------------------------ clients */

int mr_protocol_connect_over(const struct mr_channel *channel,
                             const struct mr_message_format *format, struct mr_peer **peer_out)
{
    *peer_out = make_peer(channel, format);
    return *peer_out == NULL ? -ENOMEM : 0;
}

int mr_protocol_connect(struct mr_sock *conn, const struct mr_message_format *format,
                        struct mr_peer **peer_out)
{
    struct mr_sock *stream = NULL;
    int error = mr_sock_open(conn, MR_OPEN_BIDI, &stream);

    *peer_out = NULL;
    if (error < 0)
        return error;
    struct mr_channel channel = mr_channel_of_sock(stream);
    error = mr_protocol_connect_over(&channel, format, peer_out);
    if (error < 0) {
        (void)mr_sock_close(stream, 0);
        return error;
    }
    (*peer_out)->conn = conn;
    (*peer_out)->stream = stream;
    return 0;
}

/* ------------------------------------------------------------------ the set of clients */

struct mr_protocol_server *mr_protocol_server_new(const struct mr_protocol_config *config)
{
    struct mr_protocol_server *server = calloc(1, sizeof(*server));

    if (server == NULL)
        return NULL;
    server->config = *config;
    if (server->config.clients_max == 0)
        server->config.clients_max = CLIENTS_MAX;
    return server;
}

static void add_client(struct mr_protocol_server *server, struct mr_peer *client)
{
    client->server = server;
    client->previous = server->last;
    if (server->last == NULL)
        server->first = client;
    else
        server->last->next = client;
    server->last = client;
    server->count++;
}

static void remove_client(struct mr_protocol_server *server, struct mr_peer *client)
{
    if (client->previous == NULL)
        server->first = client->next;
    else
        client->previous->next = client->next;
    if (client->next == NULL)
        server->last = client->previous;
    else
        client->next->previous = client->previous;
    client->is_gone = true;
    server->count--;
}

uint32_t mr_protocol_client_count(const struct mr_protocol_server *server)
{
    return server->count;
}

struct mr_peer *mr_protocol_first_client(const struct mr_protocol_server *server)
{
    return server->first;
}

struct mr_peer *mr_protocol_next_client(const struct mr_peer *client)
{
    return client->next;
}

/* ------------------------------------------------------------------ serving */

static void say_left(struct mr_protocol_server *server)
{
    server->fibers--;
    (void)mr_fiber_condition_broadcast(&server->left);
}

/* Who sends to it meanwhile is stopped, and frees it. */
static void let_leave(struct mr_protocol_server *server, struct mr_peer *client)
{
    client->pins++;
    remove_client(server, client);
    client->fiber = NULL;
    if (client->stream != NULL)
        mr_sock_cancel(client->stream);
    unpin(client);
}

static int64_t serve_client(void *argument)
{
    struct mr_peer *client = argument;
    struct mr_protocol_server *server = client->server;

    if (!server->is_ending)
        server->config.serve(server, client, server->config.context);
    let_leave(server, client);
    say_left(server);
    return 0;
}

static int spawn_fiber(struct mr_protocol_server *server, mr_fiber_function function,
                       void *argument, struct mr_fiber **fiber_out)
{
    struct mr_fiber_options options = {.stack_size = server->config.stack_size,
                                       .is_detached = true};
    int error = mr_fiber_spawn(function, argument, server->config.name, &options, fiber_out);

    if (error == 0)
        server->fibers++;
    return error;
}

int mr_protocol_serve(struct mr_protocol_server *server, const struct mr_channel *channel,
                      struct mr_peer **client_out)
{
    if (client_out != NULL)
        *client_out = NULL;
    if (server->is_ending || server->count >= server->config.clients_max)
        return -ENFILE;
    struct mr_peer *client = make_peer(channel, &server->config.format);
    if (client == NULL)
        return -ENOMEM;
    add_client(server, client);
    int error = spawn_fiber(server, serve_client, client, &client->fiber);
    if (error < 0) {
        remove_client(server, client);
        mr_peer_free(client);
        return error;
    }
    if (client_out != NULL)
        *client_out = client;
    return 0;
}

/* ------------------------------------------------------------------ accepting */

/* Its fiber becomes the client's. */
static void serve_stream(struct mr_protocol_server *server, struct mr_sock *conn,
                         struct mr_sock *stream)
{
    struct mr_channel channel = mr_channel_of_sock(stream);
    struct mr_peer *client = NULL;

    if (server->count < server->config.clients_max)
        client = make_peer(&channel, &server->config.format);
    if (client == NULL) {
        (void)mr_sock_close(stream, 0);
        return;
    }
    client->conn = conn;
    client->stream = stream;
    client->fiber = mr_fiber_current();
    add_client(server, client);
    server->config.serve(server, client, server->config.context);
    let_leave(server, client);
}

static void remove_arrival(struct arrival *arrival)
{
    struct arrival **link = &arrival->server->arrivals;

    while (*link != arrival)
        link = &(*link)->next;
    *link = arrival->next;
    free(arrival);
}

static int64_t serve_conn(void *argument)
{
    struct arrival *arrival = argument;
    struct mr_protocol_server *server = arrival->server;
    struct mr_sock *conn = arrival->conn;
    struct mr_sock *stream = NULL;

    if (!server->is_ending && mr_sock_accept_stream(conn, &stream) < 0)
        stream = NULL;
    remove_arrival(arrival);
    if (stream != NULL && server->is_ending)
        (void)mr_sock_close(stream, 0);
    else if (stream != NULL)
        serve_stream(server, conn, stream);
    (void)mr_sock_close(conn, 0);
    say_left(server);
    return 0;
}

static int on_conn(struct mr_protocol_server *server, struct mr_sock *conn)
{
    struct arrival *arrival = malloc(sizeof(*arrival));

    if (arrival == NULL)
        return -ENOMEM;
    (void)mr_sock_set(conn, MR_SOCK_NONBLOCK, 0);
    *arrival = (struct arrival){.server = server, .conn = conn, .next = server->arrivals};
    int error = server->fibers > server->config.clients_max
                    ? -ENFILE
                    : spawn_fiber(server, serve_conn, arrival, NULL);
    if (error < 0)
        free(arrival);
    else
        server->arrivals = arrival;
    return error;
}

static int64_t accept_clients(void *argument)
{
    struct mr_protocol_server *server = argument;
    struct mr_sock *conn;

    while (!server->is_ending && mr_sock_accept(server->listener, &conn) == 0)
        if (on_conn(server, conn) < 0)
            (void)mr_sock_close(conn, 0);
    server->acceptor = NULL;
    say_left(server);
    return 0;
}

int mr_protocol_listen(struct mr_protocol_server *server, struct mr_sock *listener)
{
    if (server->listener != NULL)
        return -EBUSY;
    server->listener = listener;
    return spawn_fiber(server, accept_clients, server, &server->acceptor);
}

/* ------------------------------------------------------------------ all clients */

uint32_t mr_protocol_broadcast(struct mr_protocol_server *server, const void *data, size_t size)
{
    int result = mr_switchpoint_check("mr_protocol_broadcast");
    uint32_t all = server->count;
    uint32_t count = 0;
    struct mr_peer **clients = malloc((all + 1) * sizeof(struct mr_peer *));

    if (clients == NULL)
        return 0;
    struct mr_peer *next = server->first;
    for (uint32_t i = 0; i < all; i++) {
        clients[i] = next;
        clients[i]->pins++;
        next = next->next;
    }
    for (uint32_t i = 0; i < all; i++) {
        if (result == 0)
            count += mr_peer_send(clients[i], data, size) == 0;
        unpin(clients[i]);
    }
    free(clients);
    return count;
}

int mr_protocol_server_free(struct mr_protocol_server *server)
{
    int result = mr_switchpoint_check("mr_protocol_server_free");

    if (result != 0)
        return result;
    server->is_ending = true;
    if (server->acceptor != NULL)
        (void)mr_fiber_cancel(server->acceptor);
    for (struct mr_peer *c = server->first; c != NULL; c = c->next)
        mr_peer_disconnect(c);
    for (struct arrival *a = server->arrivals; a != NULL; a = a->next)
        mr_sock_cancel(a->conn);
    while (server->fibers > 0) {
        result = mr_fiber_condition_wait(&server->left, NULL, MR_FOREVER);
        if (result != 0)
            return result;
    }
    free(server);
    return 0;
}
