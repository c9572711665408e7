/*
 * tools/demo_client.h - the client of `millrace demo`, on its lcore: downloads, requests,
 * handshakes; checks every byte.
 *
 *     the control thread sets a load; the client ends what it does, waits until all of its
 *     connections are gone, and begins the new load
 *
 *     TRANSFER    one connection, large files in turn, several at a time
 *     REQUESTS    several connections, small files, one at a time on each
 *     HANDSHAKES  connect, close, connect, ...
 *
 * Owner: the demo.  Threads: the control thread calls the functions below; all else is the lcore's.
 */
#ifndef MR_TOOLS_DEMO_CLIENT_H
#define MR_TOOLS_DEMO_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/histogram.h"
#include "http3/client.h"
#include "tools/demo_site.h"

#define MR_DEMO_DOWNLOADS   4  /* at a time */
#define MR_DEMO_CONNECTIONS 16 /* of REQUESTS and HANDSHAKES */

enum mr_demo_load {
    MR_DEMO_NONE,
    MR_DEMO_TRANSFER,
    MR_DEMO_REQUESTS,
    MR_DEMO_HANDSHAKES,
};

/* A snapshot. */
struct mr_demo_counts {
    uint64_t bytes;     /* of content, checked */
    uint64_t bad_bytes; /* in pieces that were wrong */
    uint64_t requests;  /* answered in full */
    uint64_t failed;    /* requests and connections that ended with an error */
    uint64_t handshakes;
};

struct mr_demo_client;

/* `site` is borrowed.  NULL with `fault` set. */
struct mr_demo_client *mr_demo_client_make(const struct mr_site *site, struct mr_address server,
                                           struct mr_fault *fault);
void mr_demo_client_free(struct mr_demo_client *client);

const struct mr_application *mr_demo_client_application(struct mr_demo_client *client);

/* Ask for a load; it runs when mr_demo_client_load() says so. */
void mr_demo_client_set_load(struct mr_demo_client *client, enum mr_demo_load load);
enum mr_demo_load mr_demo_client_load(const struct mr_demo_client *client);

void mr_demo_client_read(const struct mr_demo_client *client, struct mr_demo_counts *counts_out);

/* Latency of REQUESTS, ns; and what the first failure was, "" if there was none.  After the shard
 * has ended. */
const struct mr_histogram *mr_demo_client_latency(const struct mr_demo_client *client);
const char *mr_demo_client_failure(const struct mr_demo_client *client);

#endif /* MR_TOOLS_DEMO_CLIENT_H */
