/*
 * millrace/jsonrpc.h - JSON-RPC 2.0 (jsonrpc.org/specification): one text of JSON is one message of
 * millrace/protocol.h.
 *
 *     fiber --mr_jsonrpc_call()--> peer --message--> mr_jsonrpc_serve() --fiber--> method
 *           <--by its id--         peer <--message--
 *
 * Calls of many fibers go over one client at a time, and are matched to their results by id,
 * in whatever order these come.  A server runs each message it gets in a fiber of its own.
 *
 * Values are those of json-c.
 *
 * Owner: the caller.  Threads: the hub's.  Limits: MR_JSONRPC_DEPTH levels of JSON in a message, of
 * which a request or reply is one, and a batch another: params that are deeper are not sent, a
 * result that is deeper is replied as INTERNAL; MR_JSONRPC_FIBERS messages of one client at a time,
 * the next waits; the format's size_max: a reply that is larger ends the conversation.  Link
 * millrace-jsonrpc, a library of its own.
 */
#ifndef MILLRACE_JSONRPC_H
#define MILLRACE_JSONRPC_H

#include "millrace/protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

struct json_object;

enum {
    MR_JSONRPC_DEPTH = 32,
    MR_JSONRPC_FIBERS = 64,
    MR_JSONRPC_TEXT = 128
};

enum mr_jsonrpc_code {
    MR_JSONRPC_PARSE_ERROR = -32700,
    MR_JSONRPC_INVALID_REQUEST = -32600,
    MR_JSONRPC_NO_METHOD = -32601,
    MR_JSONRPC_INVALID_PARAMS = -32602,
    MR_JSONRPC_INTERNAL = -32603
};

struct mr_jsonrpc_error {
    int64_t code;
    char message[MR_JSONRPC_TEXT]; /* cut, if it is longer */
};

/* ------------------------------------------------------------------ servers */

struct mr_jsonrpc_method {
    const char *name;
    /* `params` (NULL: none) are lent.  True with *result_out (NULL: null), which becomes the
     * library's; false with *error_out, which begins as INTERNAL. */
    bool (*call)(void *context, struct mr_peer *client, struct json_object *params,
                 struct json_object **result_out, struct mr_jsonrpc_error *error_out);
};

struct mr_jsonrpc_methods {
    const struct mr_jsonrpc_method *rows;
    uint32_t count;
    void *context;
};

/* What a server replies to a text: allocated, to be freed; NULL: nothing (notifications). */
char *mr_jsonrpc_answer(const struct mr_jsonrpc_methods *methods, struct mr_peer *client,
                        const char *text, size_t size);

/* Serve a client: for a struct mr_protocol_config whose context is a struct mr_jsonrpc_methods;
 * give its fibers stacks of 64 KiB. */
MR_SWITCHPOINT void mr_jsonrpc_serve(struct mr_protocol_server *server, struct mr_peer *client,
                                     void *context);

/* ------------------------------------------------------------------ clients */

struct mr_jsonrpc_client;

/* On a peer, which stays the caller's, and which the client alone reads from now on.  0; -ENOMEM;
 * as mr_fiber_spawn(). */
int mr_jsonrpc_client_new(struct mr_peer *peer, struct mr_jsonrpc_client **client_out);

/* Calls that wait return -ENOTCONN; if one of them is in the middle of its message, the peer is
 * aborted.  0; -ECANCELED: it is still there. */
MR_SWITCHPOINT int mr_jsonrpc_client_free(struct mr_jsonrpc_client *client);

/*
 * Call a method and wait for its result.  `params` (NULL: none; an array or object) become the
 * library's in any case.  The timeout counts from the call on: while others send, while the peer
 * does not read, and until it answers.
 *
 * 0 with *result_out (NULL allowed), to be put by the caller; -EREMOTEIO: the peer says *error_out
 * (NULL allowed); -ETIMEDOUT; -ENOTCONN: the conversation is over; -EBADMSG: the peer sent what is
 * no reply, or could not read a request, which ends the conversation (mr_peer_abort()) for all that
 * wait; -EMSGSIZE: `params` are too deep, or the message too large: nothing was sent; -EINVAL:
 * `params` are neither array nor object; -ECANCELED; -ENOMEM; as mr_peer_send_within().
 *
 * If it is cancelled, or its time is up, while its message is half written, the conversation is
 * over, and calls that wait return -ENOTCONN.  After the message was written, and before, others
 * go on.
 */
MR_SWITCHPOINT int mr_jsonrpc_call(struct mr_jsonrpc_client *client, const char *method,
                                   struct json_object *params, uint64_t timeout_ns,
                                   struct json_object **result_out,
                                   struct mr_jsonrpc_error *error_out);

/* Call it, and want no result.  As mr_jsonrpc_call(), without waiting for an answer. */
MR_SWITCHPOINT int mr_jsonrpc_notify(struct mr_jsonrpc_client *client, const char *method,
                                     struct json_object *params);

struct mr_jsonrpc_request {
    const char *method;
    struct json_object *params; /* becomes the library's */
    bool is_notification;
    int status; /* as mr_jsonrpc_call() returns */
    struct json_object *result;
    struct mr_jsonrpc_error error;
};

/* All in one message, until the last has its result.  0: every status is set; else as
 * mr_jsonrpc_call(), and no result is there. */
MR_SWITCHPOINT int mr_jsonrpc_batch(struct mr_jsonrpc_client *client,
                                    struct mr_jsonrpc_request *requests, uint32_t count,
                                    uint64_t timeout_ns);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_JSONRPC_H */
