/* app/jsonrpc.c - the server's end; see millrace/jsonrpc.h. */
#include "millrace/jsonrpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/jsonrpc_internal.h"
#include "base/compiler.h"
#include "millrace/fiber_sync.h"

/* ------------------------------------------------------------------ JSON */

bool mr_jsonrpc_parse(const char *text, size_t size, struct json_object **value_out)
{
    struct json_tokener *tokener = json_tokener_new_ex(MR_JSONRPC_DEPTH);

    *value_out = NULL;
    if (tokener == NULL || size > INT32_MAX) {
        if (tokener != NULL)
            json_tokener_free(tokener);
        return false;
    }
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    *value_out = json_tokener_parse_ex(tokener, text, (int)size);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    if (error == json_tokener_continue) { /* a number ends with the text */
        *value_out = json_tokener_parse_ex(tokener, "", 1);
        error = json_tokener_get_error(tokener);
        end = size;
    }
    json_tokener_free(tokener);
    while (end < size && strchr(" \t\r\n", text[end]) != NULL && text[end] != '\0')
        end++;
    if (error == json_tokener_success && end == size)
        return true;
    json_object_put(*value_out);
    *value_out = NULL;
    return false;
}

bool mr_jsonrpc_is_within(struct json_object *value, uint32_t levels)
{
    if (levels == 0)
        return false;
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++)
            if (!mr_jsonrpc_is_within(json_object_array_get_idx(value, i), levels - 1))
                return false;
    } else if (json_object_is_type(value, json_type_object)) {
        struct json_object_iterator at = json_object_iter_begin(value);
        struct json_object_iterator end = json_object_iter_end(value);

        for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
            if (!mr_jsonrpc_is_within(json_object_iter_peek_value(&at), levels - 1))
                return false;
    }
    return true;
}

struct json_object *mr_jsonrpc_member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;

    (void)json_object_object_get_ex(object, name, &value);
    return value;
}

struct json_object *mr_jsonrpc_object(void)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "jsonrpc", json_object_new_string("2.0"));
    return object;
}

/* ------------------------------------------------------------------ one request */

static struct json_object *reply_error(const struct mr_jsonrpc_error *error, struct json_object *id)
{
    struct json_object *reply = mr_jsonrpc_object();
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "code", json_object_new_int64(error->code));
    json_object_object_add(object, "message", json_object_new_string(error->message));
    json_object_object_add(reply, "error", object);
    json_object_object_add(reply, "id", json_object_get(id));
    return reply;
}

static struct json_object *refuse(enum mr_jsonrpc_code code, const char *message,
                                  struct json_object *id)
{
    struct mr_jsonrpc_error error = {.code = code};

    snprintf(error.message, sizeof(error.message), "%s", message);
    return reply_error(&error, id);
}

static bool is_request(struct json_object *request)
{
    struct json_object *id, *params;

    if (!json_object_is_type(request, json_type_object))
        return false;
    const char *version = json_object_get_string(mr_jsonrpc_member(request, "jsonrpc"));
    if (version == NULL || strcmp(version, "2.0") != 0 ||
        !json_object_is_type(mr_jsonrpc_member(request, "jsonrpc"), json_type_string) ||
        !json_object_is_type(mr_jsonrpc_member(request, "method"), json_type_string))
        return false;
    id = mr_jsonrpc_member(request, "id");
    if (id != NULL && !json_object_is_type(id, json_type_string) &&
        !json_object_is_type(id, json_type_int) && !json_object_is_type(id, json_type_double))
        return false;
    params = mr_jsonrpc_member(request, "params");
    return !json_object_object_get_ex(request, "params", NULL) ||
           json_object_is_type(params, json_type_array) ||
           json_object_is_type(params, json_type_object);
}

static const struct mr_jsonrpc_method *find(const struct mr_jsonrpc_methods *methods,
                                            const char *name, size_t size)
{
    for (uint32_t i = 0; i < methods->count; i++)
        if (strlen(methods->rows[i].name) == size && memcmp(methods->rows[i].name, name, size) == 0)
            return &methods->rows[i];
    return NULL;
}

/* NULL: it is a notification.  `levels`: that the reply may have. */
static struct json_object *answer_one(const struct mr_jsonrpc_methods *methods,
                                      struct mr_peer *client, struct json_object *request,
                                      uint32_t levels)
{
    struct mr_jsonrpc_error error = {MR_JSONRPC_INTERNAL, "Internal error"};
    struct json_object *id, *name, *result = NULL, *reply;

    if (!is_request(request))
        return refuse(MR_JSONRPC_INVALID_REQUEST, "Invalid Request", NULL);
    bool has_id = json_object_object_get_ex(request, "id", &id);
    name = mr_jsonrpc_member(request, "method");
    const struct mr_jsonrpc_method *method =
        find(methods, json_object_get_string(name), (size_t)json_object_get_string_len(name));
    if (method == NULL)
        return has_id ? refuse(MR_JSONRPC_NO_METHOD, "Method not found", id) : NULL;
    bool is_done = method->call(methods->context, client, mr_jsonrpc_member(request, "params"),
                                &result, &error);
    if (!has_id || !is_done) {
        json_object_put(result);
        return has_id ? reply_error(&error, id) : NULL;
    }
    if (!mr_jsonrpc_is_within(result, levels - 1)) {
        json_object_put(result);
        return refuse(MR_JSONRPC_INTERNAL, "The result is too deep", id);
    }
    reply = mr_jsonrpc_object();
    json_object_object_add(reply, "result", result);
    json_object_object_add(reply, "id", json_object_get(id));
    return reply;
}

/* ------------------------------------------------------------------ one text */

static struct json_object *answer_batch(const struct mr_jsonrpc_methods *methods,
                                        struct mr_peer *client, struct json_object *batch)
{
    size_t count = json_object_array_length(batch);
    struct json_object *replies;

    if (count == 0)
        return refuse(MR_JSONRPC_INVALID_REQUEST, "Invalid Request", NULL);
    replies = json_object_new_array();
    for (size_t i = 0; i < count; i++) {
        struct json_object *reply =
            answer_one(methods, client, json_object_array_get_idx(batch, i), MR_JSONRPC_DEPTH - 1);
        if (reply != NULL)
            json_object_array_add(replies, reply);
    }
    if (json_object_array_length(replies) > 0)
        return replies;
    json_object_put(replies);
    return NULL;
}

char *mr_jsonrpc_answer(const struct mr_jsonrpc_methods *methods, struct mr_peer *client,
                        const char *text, size_t size)
{
    struct json_object *value, *reply;

    if (!mr_jsonrpc_parse(text, size, &value))
        reply = refuse(MR_JSONRPC_PARSE_ERROR, "Parse error", NULL);
    else if (json_object_is_type(value, json_type_array))
        reply = answer_batch(methods, client, value);
    else
        reply = answer_one(methods, client, value, MR_JSONRPC_DEPTH);
    json_object_put(value);
    if (reply == NULL)
        return NULL;
    char *whole = strdup(json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN));
    json_object_put(reply);
    return whole;
}

/* ------------------------------------------------------------------ a server's client */

struct service {
    const struct mr_jsonrpc_methods *methods;
    struct mr_peer *client;
    struct mr_fiber_semaphore room; /* for fibers */
};

struct job {
    struct service *service;
    size_t size;
    char text[];
};

static int64_t run_job(void *argument)
{
    struct job *job = argument;
    struct service *service = job->service;
    char *reply = mr_jsonrpc_answer(service->methods, service->client, job->text, job->size);

    if (reply != NULL && mr_peer_send(service->client, reply, strlen(reply)) != 0)
        mr_peer_disconnect(service->client);
    free(reply);
    free(job);
    mr_fiber_semaphore_give(&service->room, 1);
    return 0;
}

static int start_job(struct service *service, const uint8_t *data, size_t size)
{
    struct mr_fiber_options options = {.stack_size = (size_t)64 * 1024, .is_detached = true};
    struct job *job = malloc(sizeof(*job) + size);

    if (job == NULL)
        return -ENOMEM;
    job->service = service;
    job->size = size;
    memcpy(job->text, data, size);
    int error = mr_fiber_spawn(run_job, job, "jsonrpc", &options, NULL);
    if (error != 0)
        free(job);
    return error;
}

void mr_jsonrpc_serve(struct mr_protocol_server *server, struct mr_peer *client, void *context)
{
    int status = mr_switchpoint_check("mr_jsonrpc_serve");
    struct service service = {context, client, {.count = MR_JSONRPC_FIBERS}};
    const uint8_t *data;
    uint32_t taken = 0;

    (void)server;
    while (status == 0) {
        if (mr_fiber_semaphore_take(&service.room, MR_FOREVER) != 0)
            break;
        taken = 1;
        ssize_t size = mr_peer_receive(client, &data);
        if (size < 0 || start_job(&service, data, (size_t)size) != 0)
            break;
        taken = 0;
    }
    /* Every job refers to `service`: cancelled or not, they are waited for. */
    while (taken < MR_JSONRPC_FIBERS)
        taken += mr_fiber_semaphore_take(&service.room, MR_FOREVER) == 0;
}
