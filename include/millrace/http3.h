/*
 * millrace/http3.h - HTTP/3 in an application: a folder that is served, pages that are fetched.
 *
 *     loop, hub or shard --mr_ev_guest(registration, ...)--> server --work--> files of a folder
 *                                                            client --------> whole pages
 *
 * Both are applications of millrace/transport.h, so that they run wherever a registration does:
 * beside handlers, sockets and fibers on a loop, in a process without DPDK and OpenSSL.  The
 * listener's protocol (ALPN) is "h3".
 *
 * Owner: the caller; free them when the loop that drives them was freed.  Threads: new and free:
 * any; everything else: the loop's.
 * Limits: those of the configuration.  Link millrace-http3, a library of its own.
 */
#ifndef MILLRACE_HTTP3_H
#define MILLRACE_HTTP3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/error.h"
#include "millrace/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ tunnels */

/*
 * Datagrams between a client and a server, over an extended CONNECT (RFC 9220, RFC 9297).  They are
 * unreliable where QUIC's DATAGRAM frames carry them, whole in any case, and few wait: who sends
 * faster than the path takes is told -EAGAIN.  If one side takes no such frames, they go as
 * capsules on the request's stream, reliably.
 */
struct mr_http3_tunnel; /* from on_request or on_open to on_end */

/* What a client asks for; valid during the call. */
struct mr_http3_tunnel_request {
    const char *protocol; /* ":protocol" */
    const char *authority;
    const char *path;
    bool is_early; /* it may be a copy of one that came before: what must not happen twice is
                      answered with 425 (RFC 8470), and asked for again */
};

/* Called by the loop; all but on_request and on_end may be NULL. */
struct mr_http3_tunnel_handlers {
    void *context;
    /* Server: 200 accepts; else a status of the answer that refuses it, 501 for a protocol that it
     * does not know (RFC 9220, Section 3), 400, 403, 404, 425 or 503; others become 403. */
    uint32_t (*on_request)(void *context, struct mr_http3_tunnel *tunnel,
                           const struct mr_http3_tunnel_request *request);
    /* It is open: the server has accepted, or its answer that does is on its way. */
    void (*on_open)(void *context, struct mr_http3_tunnel *tunnel);
    /* A datagram, valid during the call; may be empty. */
    void (*on_datagram)(void *context, struct mr_http3_tunnel *tunnel, const void *data,
                        size_t size);
    /* After -EAGAIN there is room again. */
    void (*on_room)(void *context, struct mr_http3_tunnel *tunnel);
    /* It is over: the last call.  0: in order, by either side; -ECONNREFUSED: the server has not
     * accepted, or no connection came about; -ECONNRESET; -EBADMSG: the peer broke a rule.
     * `tunnel`: NULL if there never was one; `reason`: for people. */
    void (*on_end)(void *context, struct mr_http3_tunnel *tunnel, int error, const char *reason);
};

/* Send a datagram, copied.  0; -EAGAIN: on_room follows; -EMSGSIZE: too large for the path now, or
 * over 984 bytes in a capsule; -ENOTCONN: it is not open yet; -EPIPE: it is over. */
int mr_http3_tunnel_send(struct mr_http3_tunnel *tunnel, const void *data, size_t size);

/* End it in order; on_end follows, with 0. */
void mr_http3_tunnel_end(struct mr_http3_tunnel *tunnel);

/* A word of the application's. */
void mr_http3_tunnel_set_user(struct mr_http3_tunnel *tunnel, void *user);
void *mr_http3_tunnel_user(const struct mr_http3_tunnel *tunnel);

/* ------------------------------------------------------------------ a folder is served */

struct mr_http3_server;

/* {0} and a root: everything else as it suits most. */
struct mr_http3_server_config {
    const char *root;         /* the folder; nothing outside it is shown */
    const char *index;        /* file that answers for its folder; NULL: "index.html" */
    bool has_listings;        /* a folder without one is listed; else 404 */
    bool refuses_early;       /* requests in 0-RTT are answered with 425: they come again */
    uint32_t connections_max; /* 0: 1,000; more are closed */
    size_t cache_bytes;       /* of small files; 0: 16 MiB */
    const struct mr_http3_tunnel_handlers *tunnels; /* valid as long as the server; NULL: clients
                                                       are told that there are none */
    uint32_t tunnels_max; /* 0: 64; more are answered with 503, as are those beyond 16 of a
                             connection */
};

/* Open the folder.  0; -ENOENT, -ENOTDIR, -EACCES, -ENOMEM, ... */
int mr_http3_server_new(const struct mr_http3_server_config *config,
                        struct mr_http3_server **server_out, struct mr_error *error);

/* Close it.  NULL: no effect. */
void mr_http3_server_free(struct mr_http3_server *server);

/* What mr_ev_guest() wants, with the listener's name; valid as long as the server. */
const struct mr_application *mr_http3_server_application(struct mr_http3_server *server);

/* ------------------------------------------------------------------ pages are fetched */

#define MR_HTTP3_NAME 256 /* bytes of a host's name, with the end */

/* https://HOST[:PORT][/PATH], taken apart. */
struct mr_http3_url {
    char host[MR_HTTP3_NAME];          /* a name or an address, without brackets */
    char authority[MR_HTTP3_NAME + 8]; /* as a request has it */
    char path[1024];                   /* begins with "/" */
    uint16_t port;
};

/* Take `text` apart.  0; -EINVAL: it is none, or has blanks; -ENAMETOOLONG. */
int mr_http3_url_parse(const char *text, struct mr_http3_url *url_out);

struct mr_http3_client;

/* {0}: as it suits most. */
struct mr_http3_client_config {
    uint32_t pages_max; /* under way at once, from mr_http3_get() to `done`, and tunnels, to
                           on_end; 0: 64; more: -EAGAIN */
    bool has_tunnels;   /* mr_http3_tunnel_open() will be called */
};

/* Make a client.  0; -EINVAL; -ENOMEM. */
int mr_http3_client_new(const struct mr_http3_client_config *config,
                        struct mr_http3_client **client_out, struct mr_error *error);

/* End it; pages that are under way are not told of any more.  NULL: no effect. */
void mr_http3_client_free(struct mr_http3_client *client);

/* What mr_ev_guest() wants, with a listener's name that is no other's; valid as long as the client.
 */
const struct mr_application *mr_http3_client_application(struct mr_http3_client *client);

/* What came of a request.  All of it is valid during the call only. */
struct mr_http3_page {
    int error;                /* 0: it has come, whatever its status; -ECONNREFUSED: no connection
                                 came about; -ECONNRESET, -EBADMSG, -EMSGSIZE: over size_max */
    uint32_t status;          /* 200, 404, ... */
    const char *content_type; /* "": not told */
    const uint8_t *body;
    size_t size;
    const char *reason; /* of an error, for people */
};

/* NULL or 0: not wanted. */
struct mr_http3_request {
    struct mr_address server;       /* its address; the URL's host is not looked up */
    const struct mr_http3_url *url; /* copied */
    bool is_insecure;               /* take any certificate */
    bool is_head;                   /* no body */
    size_t size_max;                /* of the body; 0: 16 MiB */
};

/*
 * Fetch a page over a connection of its own.  `done` is called once, by the loop, and may ask for
 * more: there is room for one again.  Before the loop runs requests wait for it.  0; -EAGAIN:
 * pages_max are under way; -ENOMEM;
 * -ENOTCONN: the datapath is gone; -EINVAL: the address.
 */
int mr_http3_get(struct mr_http3_client *client, const struct mr_http3_request *request,
                 void (*done)(void *context, const struct mr_http3_page *page), void *context);

/* NULL or 0: not wanted. */
struct mr_http3_tunnel_wish {
    struct mr_address server;       /* its address; the URL's host is not looked up */
    const struct mr_http3_url *url; /* copied */
    const char *protocol;           /* a token of at most 63 bytes; copied */
    bool is_insecure;               /* take any certificate */
};

/*
 * Ask for a tunnel over a connection of its own.  `handlers` stay as they are until their on_end,
 * which is called once, unless this call fails.  0; -EAGAIN, -ENOMEM, -ENOTCONN, -EINVAL: as of
 * mr_http3_get(); -EINVAL also: the protocol, or no has_tunnels.
 */
int mr_http3_tunnel_open(struct mr_http3_client *client, const struct mr_http3_tunnel_wish *wish,
                         const struct mr_http3_tunnel_handlers *handlers);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_HTTP3_H */
