/*
 * http3/server.h - a directory of files over HTTP/3, as an application of one transport.
 *
 *     transport --events--> h3_conn (frames, QPACK) --requests--> server --work--> files
 *                                                       |  ^                         |
 *                                                       v  +-------- buffers <-------+
 *                                                     cache
 *
 * Serves GET and HEAD: whole files (200), one byte range (206, 416), conditional requests (304,
 * 412), index pages, a redirect to "name/" for directories, optional listings, 404, 405, 431.
 * Paths are resolved below the root by the kernel: no "..", link or NUL leads out of it.
 *
 * Nothing blocks the transport's thread: opening, reading and closing files are `work`; data goes
 * out by reference from pooled buffers or from the cache.
 *
 * Memory: one block, laid out from the configuration at mr_h3_server_new() and touched first in
 * on_start (so that it lies near its core); no allocation and no system call afterwards.
 *
 * Owner: one server per shard; any number may serve one directory.
 * Threads: new and free: any; the application's handlers: the transport's; counters: any.
 */
#ifndef MR_HTTP3_SERVER_H
#define MR_HTTP3_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "http3/counters.h"
#include "millrace/http3.h"
#include "millrace/transport.h"

struct mr_h3_server;

struct mr_h3_server_config {
    const char *root;  /* directory to serve; read by mr_h3_server_new() only */
    const char *index; /* file that answers for its directory; NULL: none; read by new() only */
    bool has_hq;       /* also HTTP/0.9, on connections with the ALPN hq-interop */
    bool has_listings; /* a directory without index is listed; else 404 */
    uint32_t connections_max; /* more are closed with H3_EXCESSIVE_LOAD */
    uint32_t requests_max;    /* of all connections; more are refused with H3_REQUEST_REJECTED */
    uint32_t requests_per_conn_max; /* likewise; a cancelled request counts until its work is done,
                                       an answered one until its stream is over */
    uint32_t field_section_max;     /* bytes as in RFC 9114, Section 4.2.2; more: 431 */
    uint32_t fields_max;            /* fields of a section; more: 431 */
    uint32_t qpack_capacity; /* bytes of a connection's dynamic table for decoding; 0: none */
    uint32_t qpack_encoder_capacity; /* bytes of a connection's table for what is sent, within
                                        what the peer takes; 0: the static table only */
    uint32_t qpack_blocked_max; /* streams of a connection whose head may wait for QPACK's table:
                                   0: none, at most MR_QPACK_BLOCKED_MAX */
    size_t heap_bytes;          /* for QPACK of all connections; 0: derived from connections_max */
    uint32_t buffer_bytes;      /* one file buffer, 64 KiB .. 256 KiB, a power of two */
    uint32_t buffers_max;       /* file buffers in all, >= 2 */
    uint32_t buffers_per_request_max; /* sent and not yet acknowledged, or being read; >= 2 */
    size_t cache_bytes;               /* content of small files; 0: no cache */
    size_t cache_entry_max;           /* larger files are not cached */
    uint64_t cache_fresh_ns;          /* a cached file is compared with the disk when older */
    bool refuses_early; /* whatever may be a copy is answered with 425, GET and tunnels, too */
    const struct mr_http3_tunnel_handlers *tunnels; /* borrowed; NULL: no extended CONNECT */
    uint32_t tunnels_max;                           /* more: 503 */
    uint64_t request_timeout_ns; /* for a request to arrive completely; then it is reset */
    uint64_t stall_timeout_ns;   /* for the peer to take any more of a response; then it is reset */
};

/* Values that suit an edge server of `connections` connections; root is left NULL. */
struct mr_h3_server_config mr_h3_server_config_default(uint32_t connections);

/* Bytes of address space that mr_h3_server_new() reserves for `config`, all pools included. */
size_t mr_h3_server_footprint(const struct mr_h3_server_config *config);

/*
 * Open the root and reserve the memory.  0, or -errno; then the fault names the cause and the
 * remedy: -EINVAL (configuration), -ENOENT, -ENOTDIR, -EACCES (root), -ENOMEM.
 */
int mr_h3_server_new(const struct mr_h3_server_config *config, struct mr_h3_server **server_out,
                     struct mr_fault *fault);

/* Give everything back.  After the transport's on_stop, when no work of it runs any more. */
void mr_h3_server_free(struct mr_h3_server *server);

/* The application to hand to a transport; valid until mr_h3_server_free(). */
const struct mr_application *mr_h3_server_application(struct mr_h3_server *server);

const struct mr_h3_counters *mr_h3_server_counters(const struct mr_h3_server *server);

/* What is in use now: all zero (but the cache) when no connection is open.  Transport's thread, or
 * when it is stopped. */
struct mr_h3_server_usage {
    uint32_t connections;
    uint32_t streams;
    uint32_t requests;
    uint32_t buffers;
    uint32_t files; /* open file descriptors */
    uint32_t jobs;  /* work given out or waiting */
    size_t heap_bytes;
    size_t cache_bytes;
    uint32_t cache_pins;
    size_t bytes; /* of the objects of connections, streams and requests, a connection's place in
                     the map of handles, and heap_bytes; not of buffers and the cache */
};
struct mr_h3_server_usage mr_h3_server_usage(const struct mr_h3_server *server);

#endif /* MR_HTTP3_SERVER_H */
