/*
 * http3/client_internal.h - what client.c (the application: what comes), client_call.c (the calls:
 * what is asked for) and client_tunnel.c (tunnels) share.
 */
#ifndef MR_HTTP3_CLIENT_INTERNAL_H
#define MR_HTTP3_CLIENT_INTERNAL_H

#include "base/pool.h"
#include "http3/client.h"
#include "http3/h3_conn.h"
#include "http3/tunnel.h"

enum {
    MR_H3_REQUEST_LINES = 9, /* fields of a request, at most */
    MR_H3_VALUE_MAX = 256,   /* bytes kept of a response field; longer ones are cut */
    MR_H3_TAG_REQUEST = MR_H3_TAG_USER,
    MR_H3_TAG_TIMER,
    MR_H3_TAG_WORK,
    MR_H3_TAG_WAKE, /* a timer of our own: there is something to say outside of on_events */
};

enum mr_h3_request_state {
    MR_H3_STATE_WAITING, /* for a stream */
    MR_H3_STATE_OPEN,    /* has a stream; the request itself may still have to be sent */
    MR_H3_STATE_ENDING,  /* its on_done is due */
};

struct mr_h3_request {
    uint32_t pool_link;
    uint32_t serial; /* 0: free */
    uint8_t state;
    bool is_sent;
    bool is_queued; /* in the list of requests to look at */
    bool is_resumed;
    bool is_early; /* was sent in 0-RTT */
    struct mr_h3_conn *conn;
    struct mr_h3_stream *stream;        /* NULL: none (any more) */
    struct mr_h3_request *next;         /* of the list to look at */
    struct mr_h3_request *next_waiting; /* of the connection's list */
    uint64_t user;
    struct mr_h3_request_options options;
    struct mr_http3_tunnel *tunnel;  /* NULL: it is none */
    char priority[MR_PRIORITY_TEXT]; /* "": the default */
    struct mr_h3_result result;
};

/* Per connection, beside the layer's: same index. */
struct mr_h3_peer {
    uint64_t user;
    struct mr_h3_request *waiting;
    struct mr_h3_request **waiting_tail;
    bool was_connected;
};

/* Response head being read: one at a time, since a section is decoded in one go. */
struct mr_h3_head {
    struct mr_h3_response response;
    char content_type[MR_H3_VALUE_MAX];
    char etag[MR_H3_VALUE_MAX];
    char last_modified[MR_H3_VALUE_MAX];
    char location[MR_H3_VALUE_MAX];
    char server[MR_H3_VALUE_MAX];
};

struct mr_h3_client {
    struct mr_h3_client_config config;
    struct mr_h3_client_callbacks callbacks;
    struct mr_h3_counters counters;
    struct mr_application application;
    struct mr_h3_limits limits;
    size_t footprint;
    bool is_started;
    bool is_inside; /* of on_events or on_start */
    uint32_t serial;
    struct mr_h3 h3;
    struct mr_pool requests;
    struct mr_pool tunnels;
    struct mr_h3_peer *peers;
    struct mr_h3_request *queue; /* to look at when the events are through */
    struct mr_h3_request **queue_tail;
    struct mr_h3_head head;
};

/* ---- client_call.c ---- */

/* The request of a word, or NULL; and back. */
struct mr_h3_request *mr_h3_request_of(struct mr_h3_client *client, uint64_t word);
uint64_t mr_h3_request_word(const struct mr_h3_client *client, const struct mr_h3_request *request);
struct mr_h3_peer *mr_h3_peer_of(struct mr_h3_client *client, const struct mr_h3_conn *conn);

/* Make sure that the queue is looked at, if this call comes from outside of a callback. */
void mr_h3_client_wake(struct mr_h3_client *client);

/* Its on_done is due. */
void mr_h3_request_end(struct mr_h3_client *client, struct mr_h3_request *request,
                       enum mr_h3_outcome outcome, uint64_t code, const char *reason);

/* Say what became due while events were handled.  Callbacks may add to the queue. */
void mr_h3_client_drain_queue(struct mr_h3_client *client);

/* Send the request on its stream, if that has not been done. */
void mr_h3_request_send(struct mr_h3_client *client, struct mr_h3_request *request);

/* It was sent in 0-RTT, and is answered with 425: it goes on another stream (RFC 8470,
 * Section 5.2).  The handshake is complete by then, or the answer could not be read (RFC 9001,
 * Section 5.7). */
void mr_h3_request_again(struct mr_h3_client *client, struct mr_h3_request *request);

/* Give streams to requests that wait for one. */
void mr_h3_client_open_waiting(struct mr_h3_client *client, struct mr_h3_conn *conn);

/* ---- client_tunnel.c ---- */

/* The fields of an extended CONNECT; how many. */
size_t mr_h3_tunnel_lines(const struct mr_h3_request *request,
                          struct mr_field_line lines[MR_H3_REQUEST_LINES]);

/* Take a tunnel for a new request.  False: there is none. */
bool mr_h3_tunnel_prepare(struct mr_h3_client *client, struct mr_h3_request *request);

/* The request ends: so does its tunnel, if it is one. */
void mr_h3_tunnel_finish(struct mr_h3_client *client, struct mr_h3_request *request);

/* Has the server said that it takes such requests?  False: not yet, or the request has ended. */
bool mr_h3_tunnel_may_be_asked_for(struct mr_h3_client *client, struct mr_h3_request *request);

/* The head of a final response. */
void mr_h3_tunnel_on_head(struct mr_h3_client *client, struct mr_h3_request *request,
                          const struct mr_message *message);

/* Callbacks of the layer. */
void mr_h3_tunnel_on_settings(void *context, struct mr_h3_conn *conn);
void mr_h3_tunnel_on_datagram(void *context, struct mr_h3_stream *stream, const uint8_t *data,
                              size_t size);

#endif /* MR_HTTP3_CLIENT_INTERNAL_H */
