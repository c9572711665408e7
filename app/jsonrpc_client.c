/* app/jsonrpc_client.c - the client's end; see millrace/jsonrpc.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/fiber_internal.h"
#include "app/jsonrpc_internal.h"
#include "millrace/fiber_sync.h"

/* Requests that went out together; on the stack of the fiber that waits for them. */
struct waiting {
    struct waiting *next;
    struct mr_jsonrpc_request *requests;
    uint32_t count;
    uint32_t left;     /* without a result */
    uint64_t first_id; /* of requests[0]; the others follow */
    struct mr_fiber_condition done;
};

struct mr_jsonrpc_client {
    struct mr_peer *peer;
    const struct mr_hub *hub; /* of its fibers */
    struct mr_fiber *reader;
    struct waiting *waiting;
    uint64_t next_id;
    int status; /* 0: it can be called; else what calls return */
};

/* ------------------------------------------------------------------ results */

static void take_error(struct mr_jsonrpc_request *request, struct json_object *error)
{
    const char *message = json_object_get_string(mr_jsonrpc_member(error, "message"));

    request->status = -EREMOTEIO;
    request->error.code = json_object_get_int64(mr_jsonrpc_member(error, "code"));
    snprintf(request->error.message, sizeof(request->error.message), "%s",
             message == NULL ? "" : message);
}

/* False: it is nobody's reply, but tells that the peer could not read one of the requests. */
static bool take_reply(struct mr_jsonrpc_client *client, struct json_object *reply)
{
    struct json_object *id = mr_jsonrpc_member(reply, "id");
    struct json_object *error = mr_jsonrpc_member(reply, "error");

    if (!json_object_is_type(reply, json_type_object) || (id == NULL && error != NULL))
        return false;
    if (!json_object_is_type(id, json_type_int))
        return true;
    uint64_t number = (uint64_t)json_object_get_int64(id);
    for (struct waiting *w = client->waiting; w != NULL; w = w->next) {
        if (number - w->first_id >= w->count)
            continue;
        struct mr_jsonrpc_request *request = &w->requests[number - w->first_id];
        if (request->is_notification || request->status != -EINPROGRESS)
            break;
        request->status = 0;
        if (error != NULL)
            take_error(request, error);
        else
            request->result = json_object_get(mr_jsonrpc_member(reply, "result"));
        if (--w->left == 0)
            (void)mr_fiber_condition_signal(&w->done);
        break;
    }
    return true;
}

/* False: who waits for a reply may wait for ever. */
static bool take_text(struct mr_jsonrpc_client *client, const uint8_t *data, size_t size)
{
    struct json_object *value;

    if (!mr_jsonrpc_parse((const char *)data, size, &value))
        return false;
    bool is_array = json_object_is_type(value, json_type_array);
    bool is_taken = is_array || take_reply(client, value);
    for (size_t i = 0; is_array && i < json_object_array_length(value); i++)
        is_taken = take_reply(client, json_object_array_get_idx(value, i)) && is_taken;
    json_object_put(value);
    return is_taken;
}

static int64_t read_replies(void *argument)
{
    struct mr_jsonrpc_client *client = argument;
    const uint8_t *data;
    ssize_t size;

    do {
        size = mr_peer_receive(client->peer, &data);
    } while (size >= 0 && take_text(client, data, (size_t)size));
    client->status = size < 0 ? -ENOTCONN : -EBADMSG;
    if (size >= 0)
        mr_peer_abort(client->peer);
    for (struct waiting *w = client->waiting; w != NULL; w = w->next)
        (void)mr_fiber_condition_signal(&w->done);
    return 0;
}

/* ------------------------------------------------------------------ life */

int mr_jsonrpc_client_new(struct mr_peer *peer, struct mr_jsonrpc_client **client_out)
{
    struct mr_fiber_options options = {.stack_size = (size_t)64 * 1024};
    struct mr_jsonrpc_client *client = calloc(1, sizeof(*client));

    *client_out = NULL;
    if (client == NULL)
        return -ENOMEM;
    client->peer = peer;
    client->hub = mr_hub_current();
    client->next_id = 1;
    int error = mr_fiber_spawn(read_replies, client, "jsonrpc", &options, &client->reader);
    if (error != 0) {
        free(client);
        return error;
    }
    *client_out = client;
    return 0;
}

int mr_jsonrpc_client_free(struct mr_jsonrpc_client *client)
{
    int result = mr_switchpoint_check("mr_jsonrpc_client_free");

    if (result != 0)
        return result;
    (void)mr_fiber_cancel(client->reader);
    result = mr_fiber_join(client->reader, MR_FOREVER, NULL);
    if (result != 0)
        return result;
    (void)mr_fiber_yield(); /* who waits for a result has been told */
    if (client->waiting != NULL)
        mr_peer_abort(client->peer); /* who still writes, too */
    while (client->waiting != NULL)
        (void)mr_fiber_yield();
    free(client);
    return 0;
}

/* ------------------------------------------------------------------ calls */

static struct json_object *make_request(struct mr_jsonrpc_request *request, uint64_t id)
{
    struct json_object *object = mr_jsonrpc_object();

    json_object_object_add(object, "method", json_object_new_string(request->method));
    if (request->params != NULL)
        json_object_object_add(object, "params", request->params);
    request->params = NULL;
    if (!request->is_notification)
        json_object_object_add(object, "id", json_object_new_int64((int64_t)id));
    return object;
}

/* Until the message, which it puts, is on its way, and until it was answered: one time for both. */
static int send_and_wait(struct mr_jsonrpc_client *client, struct waiting *own,
                         struct json_object *message, uint64_t timeout_ns)
{
    const char *text = json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN);
    uint64_t deadline = mr_hub_deadline(client->hub, timeout_ns);
    int result = mr_peer_send_within(client->peer, text, strlen(text), timeout_ns);
    uint64_t left = mr_hub_time_left(client->hub, deadline);

    json_object_put(message);
    if (client->status == 0 && (result == -EPIPE || result == -EINPROGRESS) && left == 0)
        return -ETIMEDOUT; /* half way, or behind the last byte */
    if (result == 0 && own->left > 0 && client->status == 0)
        result = mr_fiber_condition_wait(&own->done, NULL, left);
    if (client->status != 0 && own->left > 0 && (result == 0 || result == -EPIPE))
        result = client->status;
    return result;
}

static int wait_for(struct mr_jsonrpc_client *client, struct waiting *own,
                    struct json_object *message, uint64_t timeout_ns)
{
    struct waiting **link = &client->waiting;

    own->next = client->waiting;
    client->waiting = own;
    int result = send_and_wait(client, own, message, timeout_ns);
    while (*link != own)
        link = &(*link)->next;
    *link = own->next;
    return result;
}

/* 0; -EINVAL; -EMSGSIZE: the peer could not read it, nor say whose it is.  `levels`: that `params`
 * may have. */
static int check(const struct mr_jsonrpc_request *request, uint32_t levels)
{
    if (request->params != NULL && !json_object_is_type(request->params, json_type_array) &&
        !json_object_is_type(request->params, json_type_object))
        return -EINVAL;
    return mr_jsonrpc_is_within(request->params, levels) ? 0 : -EMSGSIZE;
}

/* `is_array`: as a batch, even of one. */
static int run(struct mr_jsonrpc_client *client, struct mr_jsonrpc_request *requests,
               uint32_t count, bool is_array, uint64_t timeout_ns)
{
    struct waiting own = {.requests = requests, .count = count, .first_id = client->next_id};
    struct json_object *message = is_array ? json_object_new_array() : NULL;
    int result = client->status;

    client->next_id += count;
    for (uint32_t i = 0; i < count; i++) {
        if (result == 0)
            result = check(&requests[i], MR_JSONRPC_DEPTH - 1 - is_array);
        struct json_object *one = make_request(&requests[i], own.first_id + i);
        requests[i].status = requests[i].is_notification ? 0 : -EINPROGRESS;
        requests[i].result = NULL;
        own.left += !requests[i].is_notification;
        if (is_array)
            json_object_array_add(message, one);
        else
            message = one;
    }
    if (result == 0)
        result = wait_for(client, &own, message, timeout_ns);
    else
        json_object_put(message);
    for (uint32_t i = 0; i < count && result != 0; i++) {
        json_object_put(requests[i].result);
        requests[i].result = NULL;
        requests[i].status = result;
    }
    return result;
}

int mr_jsonrpc_batch(struct mr_jsonrpc_client *client, struct mr_jsonrpc_request *requests,
                     uint32_t count, uint64_t timeout_ns)
{
    int result = mr_switchpoint_check("mr_jsonrpc_batch");

    if (result == 0 && count > 0)
        return run(client, requests, count, true, timeout_ns);
    for (uint32_t i = 0; i < count; i++)
        json_object_put(requests[i].params);
    return result;
}

int mr_jsonrpc_call(struct mr_jsonrpc_client *client, const char *method,
                    struct json_object *params, uint64_t timeout_ns,
                    struct json_object **result_out, struct mr_jsonrpc_error *error_out)
{
    int result = mr_switchpoint_check("mr_jsonrpc_call");
    struct mr_jsonrpc_request request = {.method = method, .params = params};

    if (result_out != NULL)
        *result_out = NULL;
    if (result != 0) {
        json_object_put(params);
        return result;
    }
    result = run(client, &request, 1, false, timeout_ns);
    if (result == 0)
        result = request.status;
    if (result == -EREMOTEIO && error_out != NULL)
        *error_out = request.error;
    if (result_out != NULL)
        *result_out = request.result;
    else
        json_object_put(request.result);
    return result;
}

int mr_jsonrpc_notify(struct mr_jsonrpc_client *client, const char *method,
                      struct json_object *params)
{
    int result = mr_switchpoint_check("mr_jsonrpc_notify");
    struct mr_jsonrpc_request request = {
        .method = method, .params = params, .is_notification = true};

    if (result == 0)
        return run(client, &request, 1, false, MR_FOREVER);
    json_object_put(params);
    return result;
}
