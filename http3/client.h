/*
 * http3/client.h - GET and HEAD over HTTP/3, many at once, as an application of one transport.
 *
 *     user: mr_h3_client_connect() -> conn;  mr_h3_client_request(conn) -> request
 *
 *     on_connected(conn)   on_headers(request)   on_data(request) ...   on_done(request)
 * on_closed(conn)
 *
 * Requests may be made as soon as a connection was asked for; they wait inside until streams may be
 * opened.  Every request ends with exactly one on_done, every connection with exactly one
 * on_closed, after the on_done of its requests.  Calls made from a callback are allowed; no
 * callback is entered from within a call.
 *
 * Conn and request are generation-tagged words; a stale one is answered with -ESTALE.
 *
 * Memory: one block, reserved at mr_h3_client_new(), touched first in on_start.
 * Owner: one client per transport.  Threads: new and free: any; everything else: the transport's.
 */
#ifndef MR_HTTP3_CLIENT_H
#define MR_HTTP3_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "http3/counters.h"
#include "millrace/http3.h"
#include "millrace/path.h"
#include "millrace/transport.h"

struct mr_h3_client;
typedef uint64_t mr_h3_client_conn;    /* 0: none */
typedef uint64_t mr_h3_client_request; /* 0: none */

/* Bytes that are valid during the call only; data is NULL if the field is absent. */
struct mr_h3_text {
    const char *data;
    size_t size;
};

/* Head of a final response. */
struct mr_h3_response {
    uint32_t status;
    uint64_t content_length; /* UINT64_MAX: not given */
    uint64_t range_first;    /* of content-range; UINT64_MAX: none */
    uint64_t range_size;     /* length of the whole, from content-range; UINT64_MAX: unknown */
    struct mr_h3_text content_type;
    struct mr_h3_text etag;
    struct mr_h3_text last_modified;
    struct mr_h3_text location;
    struct mr_h3_text server;
};

/* How a request ended. */
enum mr_h3_outcome {
    MR_H3_DONE,      /* the whole response was received */
    MR_H3_RESET,     /* the server reset the stream; `code` */
    MR_H3_REJECTED,  /* the server did not process it (GOAWAY or H3_REQUEST_REJECTED): may be sent
                        again */
    MR_H3_MALFORMED, /* the response broke a rule of HTTP */
    MR_H3_CANCELLED, /* by mr_h3_client_cancel() */
    MR_H3_CONN_LOST, /* the connection ended first; `code` as in on_closed */
};

struct mr_h3_result {
    enum mr_h3_outcome outcome;
    uint32_t status;        /* 0: no response head came */
    uint64_t code;          /* HTTP/3 or transport error code; 0 if none */
    uint64_t body_bytes;    /* content bytes received */
    uint64_t sent_ns;       /* transport time: request given to the transport */
    uint64_t first_byte_ns; /* of the response head; 0: none */
    uint64_t done_ns;
    const char *reason; /* for people; valid during the call; never NULL */
};

/* How a connection ended. */
struct mr_h3_closed {
    bool was_connected;  /* on_connected was called for it */
    bool is_application; /* `code` is HTTP/3's, not QUIC's (RFC 9000, Section 20) */
    bool is_remote;
    uint64_t code;
    const char *reason; /* valid during the call; never NULL */
};

/* The user's functions; each may be NULL.  `user` is what the user gave with the object. */
struct mr_h3_client_callbacks {
    void *context;
    /* First, once: connections may be asked for from here on. */
    void (*on_start)(void *context, struct mr_h3_client *client);
    void (*on_connected)(void *context, mr_h3_client_conn conn, uint64_t user);
    void (*on_closed)(void *context, mr_h3_client_conn conn, uint64_t user,
                      const struct mr_h3_closed *closed);
    /* The server drains the connection: open another for new requests.  It is closed when those
     * that are open have ended. */
    void (*on_goaway)(void *context, mr_h3_client_conn conn, uint64_t user);
    void (*on_headers)(void *context, mr_h3_client_request request, uint64_t user,
                       const struct mr_h3_response *response);
    /*
     * Content, in order.  Returns how many bytes were taken; what was not is shown again after
     * mr_h3_client_resume(), and meanwhile flow control holds the server back.
     */
    size_t (*on_data)(void *context, mr_h3_client_request request, uint64_t user,
                      const uint8_t *data, size_t size);
    void (*on_done)(void *context, mr_h3_client_request request, uint64_t user,
                    const struct mr_h3_result *result);
    /* What mr_h3_client_timer() and mr_h3_client_work() asked for. */
    void (*on_timer)(void *context, uint64_t user);
    void (*on_work_done)(void *context, uint64_t user, int64_t result);
    /* The transport drains (MR_EVENT_GO_AWAY): make no new requests. */
    void (*on_drain)(void *context);
};

struct mr_h3_client_config {
    bool is_hq; /* HTTP/0.9 with the ALPN hq-interop, in place of HTTP/3: GET only, no fields */
    uint32_t connections_max;
    uint32_t requests_max;      /* of all connections, waiting ones included */
    uint32_t field_section_max; /* bytes; more: the response is malformed */
    uint32_t fields_max;
    uint32_t qpack_capacity; /* bytes of a connection's dynamic table for decoding; 0: none */
    uint32_t qpack_encoder_capacity; /* bytes of a connection's table for what is sent, within
                                        what the peer takes; 0: the static table only */
    uint32_t qpack_blocked_max;      /* as the server's */
    bool has_tunnels;  /* requests may have a protocol: one tunnel for each of requests_max */
    size_t heap_bytes; /* for QPACK of all connections; 0: derived from connections_max */
};

struct mr_h3_client_config mr_h3_client_config_default(uint32_t connections, uint32_t requests);
size_t mr_h3_client_footprint(const struct mr_h3_client_config *config);

/* Reserve the memory.  0; -EINVAL (configuration), -ENOMEM: the fault names the cause and the
 * remedy. */
int mr_h3_client_new(const struct mr_h3_client_config *config,
                     const struct mr_h3_client_callbacks *callbacks,
                     struct mr_h3_client **client_out, struct mr_fault *fault);

/* After the transport's on_stop. */
void mr_h3_client_free(struct mr_h3_client *client);

/* The application to hand to a transport; valid until mr_h3_client_free(). */
const struct mr_application *mr_h3_client_application(struct mr_h3_client *client);

const struct mr_h3_counters *mr_h3_client_counters(const struct mr_h3_client *client);

/*
 * Begin a connection.  ALPN and user_data of `options` are set inside.  `user` comes back in
 * its callbacks. 0; -EAGAIN: connections_max, or the transport's limit; -EINVAL: options.
 */
int mr_h3_client_connect(struct mr_h3_client *client, const struct mr_connect_options *options,
                         uint64_t user, mr_h3_client_conn *conn_out);

/* End a connection; its requests end with MR_H3_CONN_LOST.  0; -ESTALE. */
int mr_h3_client_close(struct mr_h3_client *client, mr_h3_client_conn conn);

/* As the transport's conn_info.  0; -ESTALE. */
int mr_h3_client_conn_info(struct mr_h3_client *client, mr_h3_client_conn conn,
                           struct mr_conn_info *info_out);

/* As the transport's ticket. */
int64_t mr_h3_client_ticket(struct mr_h3_client *client, mr_h3_client_conn conn, uint8_t *dst,
                            size_t room);

/* As the transport's migrate, to another port of the same address; -EOPNOTSUPP also where the
 * transport cannot. */
int mr_h3_client_migrate(struct mr_h3_client *client, mr_h3_client_conn conn);

/* As mr_path_do() of millrace/path.h. */
int64_t mr_h3_client_path(struct mr_h3_client *client, mr_h3_client_conn conn,
                          const struct mr_path_call *call);

/* A request.  The strings are not copied: they must stay until on_headers or on_done. */
struct mr_h3_request_options {
    bool is_head;              /* HEAD, else GET */
    const char *authority;     /* host, and port unless it is 443 */
    const char *path;          /* with query; "/" at least; percent-encoded */
    const char *range;         /* e.g. "bytes=0-99"; NULL: none */
    const char *if_none_match; /* NULL: none */
    /* A tunnel, if the server offers them: both or neither, kept to on_done.  on_headers and
     * on_data are not called. */
    const char *protocol;
    const struct mr_http3_tunnel_handlers *tunnel;
    const struct mr_priority *priority; /* copied; NULL: the default, urgency 3, not incremental */
};

/*
 * Make a request on `conn`.  0; -EAGAIN: requests_max; -EMSGSIZE: over 1 KiB when encoded; -EPIPE:
 * the connection closes or drains; -EINVAL: the urgency, a tunnel without has_tunnels, or what
 * would be no well-formed request (a path without "/", user information, a control character);
 * -ESTALE.
 */
int mr_h3_client_request_make(struct mr_h3_client *client, mr_h3_client_conn conn,
                              const struct mr_h3_request_options *options, uint64_t user,
                              mr_h3_client_request *request_out);

/* Give a request up; on_done follows with MR_H3_CANCELLED.  0; -ESTALE. */
int mr_h3_client_cancel(struct mr_h3_client *client, mr_h3_client_request request);

/*
 * Ask for another priority of a request that is under way (RFC 9218, Section 6).  0; -EINVAL: the
 * urgency; -EAGAIN, -ENOMEM: no room now, try again later; -EPIPE: the connection ends; -ESTALE.
 */
int mr_h3_client_prioritize(struct mr_h3_client *client, mr_h3_client_request request,
                            struct mr_priority priority);

/* Show the rest of what on_data did not take.  It is shown after the current callback, or at once
 * by the next poll.  0; -ESTALE. */
int mr_h3_client_resume(struct mr_h3_client *client, mr_h3_client_request request);

/* One on_timer with `user` (< 2^56) at or after now + `delay_ns`.  0; -ENOMEM. */
int mr_h3_client_timer(struct mr_h3_client *client, uint64_t delay_ns, uint64_t user);

/* Run `function(argument)` on a helper thread; on_work_done with `user` (< 2^56) follows.  0;
 * -EAGAIN. */
int mr_h3_client_work(struct mr_h3_client *client, int64_t (*function)(void *argument),
                      void *argument, uint64_t user);

/* The transport's time, ns. */
uint64_t mr_h3_client_now(const struct mr_h3_client *client);

#endif /* MR_HTTP3_CLIENT_H */
