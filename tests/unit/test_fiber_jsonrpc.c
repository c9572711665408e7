/* Tests of millrace/jsonrpc.h: the texts of the specification, and calls over memory. */
#include "millrace/jsonrpc.h"

#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/unit/fiber_hub.h"

enum {
    CALLS = 20
};

static int64_t noted;

static bool subtract(void *context, struct mr_peer *client, struct json_object *params,
                     struct json_object **result_out, struct mr_jsonrpc_error *error_out)
{
    struct json_object *a = NULL, *b = NULL;

    (void)context;
    (void)client;
    if (json_object_is_type(params, json_type_array)) {
        a = json_object_array_get_idx(params, 0);
        b = json_object_array_get_idx(params, 1);
    } else if (params != NULL) {
        json_object_object_get_ex(params, "minuend", &a);
        json_object_object_get_ex(params, "subtrahend", &b);
    }
    if (a == NULL || b == NULL) {
        *error_out = (struct mr_jsonrpc_error){MR_JSONRPC_INVALID_PARAMS, "Invalid params"};
        return false;
    }
    *result_out = json_object_new_int64(json_object_get_int64(a) - json_object_get_int64(b));
    return true;
}

static bool note(void *context, struct mr_peer *client, struct json_object *params,
                 struct json_object **result_out, struct mr_jsonrpc_error *error_out)
{
    (void)context;
    (void)client;
    (void)params;
    (void)result_out;
    (void)error_out;
    noted++;
    return true;
}

static bool fail(void *context, struct mr_peer *client, struct json_object *params,
                 struct json_object **result_out, struct mr_jsonrpc_error *error_out)
{
    (void)context;
    (void)client;
    (void)params;
    (void)result_out;
    (void)error_out;
    return false;
}

/* Sleeps as long as it is told to (ms), and says how long. */
static bool sleep_for(void *context, struct mr_peer *client, struct json_object *params,
                      struct json_object **result_out, struct mr_jsonrpc_error *error_out)
{
    int64_t ms = json_object_get_int64(json_object_array_get_idx(params, 0));

    (void)context;
    (void)client;
    (void)error_out;
    mr_fiber_sleep((uint64_t)ms * 1000000);
    *result_out = json_object_new_int64(ms);
    return true;
}

/* Arrays in each other, `levels` in all. */
static struct json_object *nest(int64_t levels)
{
    struct json_object *inner = json_object_new_array();

    for (int64_t i = 1; i < levels; i++) {
        struct json_object *outer = json_object_new_array();
        json_object_array_add(outer, inner);
        inner = outer;
    }
    return inner;
}

/* As deep as its first argument says; without one: its parameters. */
static bool give_deep(void *context, struct mr_peer *client, struct json_object *params,
                      struct json_object **result_out, struct mr_jsonrpc_error *error_out)
{
    int64_t levels = json_object_get_int64(json_object_array_get_idx(params, 0));

    (void)context;
    (void)client;
    (void)error_out;
    *result_out = levels == 0 ? json_object_get(params) : nest(levels);
    return true;
}

static const struct mr_jsonrpc_method rows[] = {{"subtract", subtract},
                                                {"note", note},
                                                {"fail", fail},
                                                {"sleep", sleep_for},
                                                {"deep", give_deep}};
static struct mr_jsonrpc_methods methods = {rows, MR_COUNT_OF(rows), NULL};

/* ------------------------------------------------------------------ texts */

#define VERSION     "{\"jsonrpc\":\"2.0\","
#define ERROR(c, t) VERSION "\"error\":{\"code\":" c ",\"message\":\"" t "\"},\"id\":"
#define INVALID     ERROR("-32600", "Invalid Request") "null}"

static void texts_are_answered_as_the_specification_says(void)
{
    static const struct {
        const char *text, *reply; /* NULL: none */
    } cases[] = {
        {VERSION "\"method\":\"subtract\",\"params\":[42,23],\"id\":1}",
         VERSION "\"result\":19,\"id\":1}"},
        {VERSION
         "\"method\":\"subtract\",\"params\":{\"subtrahend\":23,\"minuend\":42},\"id\":\"x\"} ",
         VERSION "\"result\":19,\"id\":\"x\"}"},
        {VERSION "\"method\":\"note\",\"id\":null}", VERSION "\"result\":null,\"id\":null}"},
        {VERSION "\"method\":\"note\",\"params\":[1]}", NULL},
        {VERSION "\"method\":\"foobar\"}", NULL},
        {VERSION "\"method\":\"foobar\",\"id\":\"1\"}",
         ERROR("-32601", "Method not found") "\"1\"}"},
        {VERSION "\"method\":\"subtract\",\"id\":5}", ERROR("-32602", "Invalid params") "5}"},
        {VERSION "\"method\":\"fail\",\"id\":6}", ERROR("-32603", "Internal error") "6}"},
        {VERSION "\"method\":\"foobar, \"params\":\"bar\"]",
         ERROR("-32700", "Parse error") "null}"},
        {"", ERROR("-32700", "Parse error") "null}"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", ERROR("-32700", "Parse error") "null}"},
        {"{} {}", ERROR("-32700", "Parse error") "null}"},
        {VERSION "\"method\":1,\"params\":\"bar\"}", INVALID},
        {VERSION "\"method\":\"note\",\"params\":\"bar\"}", INVALID},
        {VERSION "\"method\":\"note\",\"id\":[1]}", INVALID},
        {"{\"jsonrpc\":\"1.0\",\"method\":\"note\",\"id\":1}", INVALID},
        {"{\"jsonrpc\":2.0,\"method\":\"note\",\"id\":1}", INVALID},
        {"1", INVALID},
        {"null", INVALID},
        {"[]", INVALID},
        {"[1,2]", "[" INVALID "," INVALID "]"},
        {"[" VERSION "\"method\":\"note\"}," VERSION "\"method\":\"note\"}]", NULL},
        {"[" VERSION "\"method\":\"subtract\",\"params\":[3,1],\"id\":1}," VERSION
         "\"method\":\"note\"},{\"foo\":\"boo\"}]",
         "[" VERSION "\"result\":2,\"id\":1}," INVALID "]"},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        char *reply = mr_jsonrpc_answer(&methods, NULL, cases[i].text, strlen(cases[i].text));

        if (cases[i].reply == NULL) {
            CU_ASSERT_PTR_NULL(reply);
        } else {
            CU_ASSERT_PTR_NOT_NULL_FATAL(reply);
            CU_ASSERT_STRING_EQUAL(reply, cases[i].reply);
        }
        free(reply);
    }
}

/* ------------------------------------------------------------------ calls */

struct talk {
    struct mr_memory_pair *pair;
    struct mr_channel near;
    struct mr_channel far;
    struct mr_protocol_server *server;
    struct mr_peer *peer;
    struct mr_jsonrpc_client *client;
};

static void open_talk(struct talk *t)
{
    struct mr_message_format format = {MR_PREFIX_U32, 65536};
    struct mr_protocol_config config = {.name = "rpc",
                                        .format = format,
                                        .serve = mr_jsonrpc_serve,
                                        .context = &methods,
                                        .stack_size = 65536};

    noted = 0;
    t->pair = mr_memory_pair_new(256);
    t->near = mr_memory_pair_end(t->pair, 0);
    t->far = mr_memory_pair_end(t->pair, 1);
    t->server = mr_protocol_server_new(&config);
    CU_ASSERT_EQUAL(mr_protocol_serve(t->server, &t->far, NULL), 0);
    CU_ASSERT_EQUAL(mr_protocol_connect_over(&t->near, &format, &t->peer), 0);
    CU_ASSERT_EQUAL(mr_jsonrpc_client_new(t->peer, &t->client), 0);
}

static void close_talk(struct talk *t)
{
    CU_ASSERT_EQUAL(mr_jsonrpc_client_free(t->client), 0);
    mr_peer_free(t->peer);
    CU_ASSERT_EQUAL(mr_protocol_server_free(t->server), 0);
    mr_memory_pair_free(t->pair);
}

static struct json_object *numbers(int64_t a, int64_t b)
{
    struct json_object *array = json_object_new_array();

    json_object_array_add(array, json_object_new_int64(a));
    json_object_array_add(array, json_object_new_int64(b));
    return array;
}

static struct talk shared;
static int done[CALLS];
static int done_count;

/* Longer ones are called first: results come in the reverse order. */
static int64_t call_sleep(void *argument)
{
    int64_t ms = CALLS - *(int *)argument;
    struct json_object *result;

    CU_ASSERT_EQUAL(
        mr_jsonrpc_call(shared.client, "sleep", numbers(5 * ms, 0), MR_SECONDS(20), &result, NULL),
        0);
    CU_ASSERT_EQUAL(json_object_get_int64(result), 5 * ms);
    json_object_put(result);
    done[done_count++] = *(int *)argument;
    return 0;
}

static int64_t call_methods(void *argument)
{
    struct mr_jsonrpc_error error;
    struct json_object *result;
    struct mr_fiber *fibers[CALLS];
    static int index[CALLS];

    (void)argument;
    open_talk(&shared);
    CU_ASSERT_EQUAL(
        mr_jsonrpc_call(shared.client, "subtract", numbers(42, 23), MR_FOREVER, &result, NULL), 0);
    CU_ASSERT_EQUAL(json_object_get_int64(result), 19);
    json_object_put(result);
    CU_ASSERT_EQUAL(mr_jsonrpc_call(shared.client, "none", NULL, MR_FOREVER, &result, &error),
                    -EREMOTEIO);
    CU_ASSERT_EQUAL(error.code, MR_JSONRPC_NO_METHOD);
    CU_ASSERT_STRING_EQUAL(error.message, "Method not found");
    CU_ASSERT_EQUAL(mr_jsonrpc_notify(shared.client, "note", NULL), 0);
    CU_ASSERT_EQUAL(mr_jsonrpc_notify(shared.client, "none", NULL), 0);
    CU_ASSERT_EQUAL(
        mr_jsonrpc_call(shared.client, "sleep", numbers(100, 0), 2000000, &result, NULL),
        -ETIMEDOUT);
    CU_ASSERT_EQUAL(noted, 1);
    done_count = 0;
    for (int i = 0; i < CALLS; i++) {
        index[i] = i;
        fibers[i] = spawn(call_sleep, &index[i], "caller");
    }
    for (int i = 0; i < CALLS; i++)
        join(fibers[i]);
    CU_ASSERT_EQUAL(done_count, CALLS);
    CU_ASSERT_EQUAL(done[0], CALLS - 1);
    CU_ASSERT_EQUAL(done[CALLS - 1], 0);
    mr_fiber_sleep(100000000); /* the result that came too late is nobody's */
    close_talk(&shared);
    return 0;
}

static void calls_wait_for_their_own_results(void)
{
    run_in_hub(call_methods, NULL, NULL);
}

static int64_t call_batch(void *argument)
{
    struct talk t;
    struct mr_jsonrpc_request requests[] = {
        {.method = "subtract", .params = numbers(7, 3)},
        {.method = "note", .is_notification = true},
        {.method = "none"},
        {.method = "note"},
    };
    struct mr_jsonrpc_request only = {.method = "note", .is_notification = true};

    (void)argument;
    open_talk(&t);
    CU_ASSERT_EQUAL(mr_jsonrpc_batch(t.client, requests, 4, MR_FOREVER), 0);
    CU_ASSERT_EQUAL(requests[0].status, 0);
    CU_ASSERT_EQUAL(json_object_get_int64(requests[0].result), 4);
    json_object_put(requests[0].result);
    CU_ASSERT_EQUAL(requests[2].status, -EREMOTEIO);
    CU_ASSERT_EQUAL(requests[2].error.code, MR_JSONRPC_NO_METHOD);
    CU_ASSERT_EQUAL(requests[3].status, 0);
    CU_ASSERT_EQUAL(noted, 2);
    CU_ASSERT_EQUAL(mr_jsonrpc_batch(t.client, &only, 1, MR_FOREVER), 0);
    mr_fiber_sleep(5000000);
    CU_ASSERT_EQUAL(noted, 3);
    close_talk(&t);
    return 0;
}

static void batches_are_one_message(void)
{
    run_in_hub(call_batch, NULL, NULL);
}

static int64_t call_long(void *argument)
{
    struct talk *t = argument;

    return mr_jsonrpc_call(t->client, "sleep", numbers(50, 0), MR_FOREVER, NULL, NULL);
}

static int64_t lose_server(void *argument)
{
    struct talk t;

    (void)argument;
    open_talk(&t);
    struct mr_fiber *caller = spawn(call_long, &t, "caller");
    mr_fiber_sleep(5000000);
    mr_memory_pair_close(t.pair, 1);
    CU_ASSERT_EQUAL(join(caller), -ENOTCONN);
    mr_fiber_sleep(1000000);
    CU_ASSERT(call_long(&t) < 0);
    close_talk(&t);
    return 0;
}

static void calls_end_with_the_conversation(void)
{
    run_in_hub(lose_server, NULL, NULL);
}

/* ------------------------------------------------------------------ depth */

/* Levels of arrays in each other. */
static uint32_t depth_of(struct json_object *value)
{
    return json_object_array_length(value) == 0 ? 1
                                                : 1 + depth_of(json_object_array_get_idx(value, 0));
}

static int64_t call_deep(void *argument)
{
    struct talk t;
    struct json_object *result, *object = json_object_new_object();
    struct mr_jsonrpc_error error;
    const uint32_t most = MR_JSONRPC_DEPTH - 1;

    (void)argument;
    open_talk(&t);
    CU_ASSERT_EQUAL(mr_jsonrpc_call(t.client, "deep", nest(most), MR_FOREVER, &result, NULL), 0);
    CU_ASSERT_EQUAL(depth_of(result), most);
    json_object_put(result);
    CU_ASSERT_EQUAL(mr_jsonrpc_call(t.client, "deep", nest(most + 1), MR_FOREVER, &result, NULL),
                    -EMSGSIZE);
    CU_ASSERT_EQUAL(mr_jsonrpc_notify(t.client, "deep", nest(most + 1)), -EMSGSIZE);
    json_object_object_add(object, "name", nest(most));
    CU_ASSERT_EQUAL(mr_jsonrpc_call(t.client, "note", object, MR_FOREVER, NULL, NULL), -EMSGSIZE);
    CU_ASSERT_EQUAL(
        mr_jsonrpc_call(t.client, "note", json_object_new_int(1), MR_FOREVER, NULL, NULL), -EINVAL);

    CU_ASSERT_EQUAL(mr_jsonrpc_call(t.client, "deep", numbers(most, 0), MR_FOREVER, &result, NULL),
                    0);
    CU_ASSERT_EQUAL(depth_of(result), most);
    json_object_put(result);
    CU_ASSERT_EQUAL(
        mr_jsonrpc_call(t.client, "deep", numbers(most + 1, 0), MR_FOREVER, &result, &error),
        -EREMOTEIO);
    CU_ASSERT_EQUAL(error.code, MR_JSONRPC_INTERNAL);
    CU_ASSERT_STRING_EQUAL(error.message, "The result is too deep");

    struct mr_jsonrpc_request requests[] = {{.method = "deep", .params = nest(most - 1)},
                                            {.method = "deep", .params = numbers(most, 0)}};
    CU_ASSERT_EQUAL(mr_jsonrpc_batch(t.client, requests, 2, MR_FOREVER), 0);
    CU_ASSERT_EQUAL(requests[0].status, 0);
    json_object_put(requests[0].result);
    CU_ASSERT_EQUAL(requests[1].status, -EREMOTEIO);
    struct mr_jsonrpc_request deep[] = {{.method = "note"},
                                        {.method = "deep", .params = nest(most)}};
    CU_ASSERT_EQUAL(mr_jsonrpc_batch(t.client, deep, 2, MR_FOREVER), -EMSGSIZE);
    CU_ASSERT_EQUAL(noted, 0);
    close_talk(&t);
    return 0;
}

static void what_is_too_deep_is_refused_at_once(void)
{
    run_in_hub(call_deep, NULL, NULL);
}

/* ------------------------------------------------------------------ peers that misbehave */

/* A client whose peer the test plays. */
struct bare {
    struct mr_memory_pair *pair;
    struct mr_peer *near;
    struct mr_peer *far;
    struct mr_jsonrpc_client *client;
};

static void open_bare(struct bare *b)
{
    struct mr_message_format format = {MR_PREFIX_U32, 65536};

    b->pair = mr_memory_pair_new(256);
    struct mr_channel ends[2] = {mr_memory_pair_end(b->pair, 0), mr_memory_pair_end(b->pair, 1)};
    CU_ASSERT_EQUAL_FATAL(mr_protocol_connect_over(&ends[0], &format, &b->near), 0);
    CU_ASSERT_EQUAL_FATAL(mr_protocol_connect_over(&ends[1], &format, &b->far), 0);
    CU_ASSERT_EQUAL_FATAL(mr_jsonrpc_client_new(b->near, &b->client), 0);
}

static void close_bare(struct bare *b)
{
    CU_ASSERT_EQUAL(mr_jsonrpc_client_free(b->client), 0);
    mr_peer_free(b->near);
    mr_peer_free(b->far);
    mr_memory_pair_free(b->pair);
}

static int64_t call_note(void *argument)
{
    return mr_jsonrpc_call(((struct bare *)argument)->client, "note", NULL, MR_FOREVER, NULL, NULL);
}

static int64_t hear_nonsense(void *argument)
{
    static const char *const texts[] = {
        "nonsense",
        "1",
        "[1]",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        ERROR("-32700", "Parse error") "null}",
        INVALID,
        "[" INVALID "]",
    };
    const uint8_t *data;

    (void)argument;
    for (size_t i = 0; i < MR_COUNT_OF(texts); i++) {
        struct bare b;

        open_bare(&b);
        struct mr_fiber *callers[] = {spawn(call_note, &b, "one"), spawn(call_note, &b, "other")};
        for (int j = 0; j < 2; j++)
            CU_ASSERT(mr_peer_receive(b.far, &data) > 0);
        /* A notification, and a reply that nobody waits for (any more), are no nonsense. */
        CU_ASSERT_EQUAL(mr_peer_send(b.far, "{\"method\":\"x\"}", 14), 0);
        CU_ASSERT_EQUAL(mr_peer_send(b.far, "{\"result\":1,\"id\":77}", 20), 0);
        mr_fiber_sleep(1000000);
        CU_ASSERT_FALSE(mr_fiber_has_ended(callers[0]));
        CU_ASSERT_EQUAL(mr_peer_send(b.far, texts[i], strlen(texts[i])), 0);
        CU_ASSERT_EQUAL(join(callers[0]), -EBADMSG);
        CU_ASSERT_EQUAL(join(callers[1]), -EBADMSG);
        CU_ASSERT_EQUAL(call_note(&b), -EBADMSG);
        CU_ASSERT_EQUAL(mr_jsonrpc_notify(b.client, "note", NULL), -EBADMSG);
        CU_ASSERT(mr_peer_receive(b.far, &data) < 0); /* it is told */
        close_bare(&b);
    }
    return 0;
}

static void what_is_no_reply_ends_the_conversation(void)
{
    run_in_hub(hear_nonsense, NULL, NULL);
}

static struct json_object *large_params(void)
{
    static char text[2000];
    struct json_object *array = json_object_new_array();

    memset(text, 'x', sizeof(text) - 1);
    json_object_array_add(array, json_object_new_string(text));
    return array;
}

static int64_t call_large(void *argument)
{
    struct bare *b = argument;

    return mr_jsonrpc_call(b->client, "note", large_params(), MR_MILLISECONDS(30), NULL, NULL);
}

/* The peer does not read: the first is stopped half way, which ends the conversation for a call
 * that is sent already; one that waits behind it runs out of time. */
static int64_t call_deaf(void *argument)
{
    struct bare b;

    (void)argument;
    open_bare(&b);
    struct mr_fiber *sent = spawn(call_note, &b, "sent");
    struct mr_fiber *half = spawn(call_large, &b, "half");
    mr_fiber_yield();
    CU_ASSERT_EQUAL(mr_jsonrpc_call(b.client, "note", NULL, MR_MILLISECONDS(10), NULL, NULL),
                    -ETIMEDOUT);
    CU_ASSERT_FALSE(mr_fiber_has_ended(half));
    CU_ASSERT_EQUAL(join(half), -ETIMEDOUT);
    CU_ASSERT_EQUAL(join(sent), -ENOTCONN);
    CU_ASSERT_EQUAL(call_note(&b), -ENOTCONN);
    close_bare(&b);

    /* Cancelled half way, the same. */
    open_bare(&b);
    sent = spawn(call_note, &b, "sent");
    half = spawn(call_large, &b, "half");
    mr_fiber_yield();
    mr_fiber_cancel(half);
    CU_ASSERT_EQUAL(join(half), -EPIPE);
    CU_ASSERT_EQUAL(join(sent), -ENOTCONN);
    close_bare(&b);
    return 0;
}

static int64_t notify_large(void *argument)
{
    struct bare *b = argument;

    return mr_jsonrpc_notify(b->client, "note", large_params());
}

/* One that wants no answer has no time, either: it waits for room. */
static int64_t notify_slowly(void *argument)
{
    struct bare b;
    const uint8_t *data;

    (void)argument;
    open_bare(&b);
    struct mr_fiber *notifier = spawn(notify_large, &b, "notifier");
    mr_fiber_sleep(5000000);
    CU_ASSERT(mr_peer_receive(b.far, &data) > 2000);
    CU_ASSERT_EQUAL(join(notifier), 0);
    close_bare(&b);
    return 0;
}

/* A client is freed while its peer does not read. */
static int64_t call_for_ever(void *argument)
{
    struct bare *b = argument;

    return mr_jsonrpc_call(b->client, "note", large_params(), MR_FOREVER, NULL, NULL);
}

static int64_t free_early(void *argument)
{
    struct bare b;

    (void)argument;
    open_bare(&b);
    struct mr_fiber *writer = spawn(call_for_ever, &b, "writer");
    struct mr_fiber *behind = spawn(call_for_ever, &b, "behind");
    mr_fiber_yield();
    close_bare(&b);
    CU_ASSERT_EQUAL(join(writer), -ENOTCONN);
    CU_ASSERT_EQUAL(join(behind), -ENOTCONN);
    return 0;
}

static void a_client_is_freed_while_its_peer_does_not_read(void)
{
    run_in_hub(free_early, NULL, NULL);
}

static void a_timeout_covers_sending(void)
{
    run_in_hub(call_deaf, NULL, NULL);
    run_in_hub(notify_slowly, NULL, NULL);
}

/* ------------------------------------------------------------------ switchpoints */

static struct talk scope;

static void call_in_scope(void)
{
    mr_jsonrpc_call(scope.client, "note", NULL, 0, NULL, NULL);
}

static void notify_in_scope(void)
{
    mr_jsonrpc_notify(scope.client, "note", NULL);
}

static void batch_in_scope(void)
{
    mr_jsonrpc_batch(scope.client, NULL, 0, 0);
}

static void free_in_scope(void)
{
    mr_jsonrpc_client_free(scope.client);
}

static void serve_in_scope(void)
{
    mr_jsonrpc_serve(scope.server, scope.peer, &methods);
}

static const struct call {
    const char *name;
    void (*call)(void);
} calls[] = {
    {"mr_jsonrpc_call", call_in_scope},   {"mr_jsonrpc_notify", notify_in_scope},
    {"mr_jsonrpc_batch", batch_in_scope}, {"mr_jsonrpc_client_free", free_in_scope},
    {"mr_jsonrpc_serve", serve_in_scope},
};

static int64_t enter_scope(void *argument)
{
    const struct call *call = argument;

    open_talk(&scope);
    MR_ASSERT_NO_SWITCHPOINTS("own")
    {
        call->call();
    }
    return 0;
}

static void run_call(void *argument)
{
    run_in_hub(enter_scope, argument, NULL);
}

static void its_switchpoints_panic_in_a_scope(void)
{
    char text[2048];

    for (size_t i = 0; i < MR_COUNT_OF(calls); i++) {
        struct call call = calls[i];

        CU_ASSERT_TRUE(was_killed_by(run_child(run_call, &call, text, sizeof(text)), SIGABRT));
        CU_ASSERT_PTR_NOT_NULL(strstr(text, call.name));
    }
}

static CU_TestInfo tests[] = {
    {"G22 texts are answered as the specification says",
     texts_are_answered_as_the_specification_says},
    {"G22 T2 calls wait for their own results", calls_wait_for_their_own_results},
    {"G22 batches are one message", batches_are_one_message},
    {"G22 calls end with the conversation", calls_end_with_the_conversation},
    {"G22 what is too deep is refused at once", what_is_too_deep_is_refused_at_once},
    {"G22 what is no reply ends the conversation", what_is_no_reply_ends_the_conversation},
    {"G22 G26 a timeout covers sending", a_timeout_covers_sending},
    {"G22 a client is freed while its peer does not read",
     a_client_is_freed_while_its_peer_does_not_read},
    {"G15 its switchpoints panic in a scope", its_switchpoints_panic_in_a_scope},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/jsonrpc", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
