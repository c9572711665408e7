/*
 * tests/netns/storm_client.h - honest QUIC clients on the kernel's UDP sockets, which fetch a page
 * again and again.
 *
 * Each has an endpoint of ours and a socket.  It connects, asks for "/" over HTTP/3 every few
 * milliseconds, checks that the answer is whole, and from time to time closes and connects anew.
 * Datagrams it sends are kept for others to spoil.
 *
 * Owner: the storm.  Threads: one.
 */
#ifndef MR_TESTS_STORM_CLIENT_H
#define MR_TESTS_STORM_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/endpoint.h"

#define STORM_DATAGRAM 1500 /* bytes of room */
#define STORM_SAMPLES  256  /* datagrams kept */

struct storm_sample {
    uint32_t size;
    uint8_t bytes[STORM_DATAGRAM];
};

/* The last datagrams of all clients. */
struct storm_samples {
    uint64_t count; /* so far */
    struct storm_sample sample[STORM_SAMPLES];
};

struct storm_client;

/* Connect to `server`, "a.b.c.d", and `port`; NULL: no socket, no memory. */
struct storm_client *storm_client_make(const char *server, uint16_t port,
                                       struct storm_samples *samples);
void storm_client_free(struct storm_client *client);

/* Receive, let time pass, send; never waits. */
void storm_client_run(struct storm_client *client, uint64_t now);

/* The socket, for spoiled datagrams on the same path. */
int storm_client_socket(const struct storm_client *client);

/* Whole answers; connections made; connections or answers that ended in a way they should not. */
struct storm_counts {
    uint64_t answers;
    uint64_t connections;
    uint64_t failures;
    char failure[128]; /* the first one's reason */
};
const struct storm_counts *storm_client_counts(const struct storm_client *client);

#endif /* MR_TESTS_STORM_CLIENT_H */
