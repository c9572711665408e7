/* Tests of http3/client.h that need no server of ours: limits, timers, work, calls from outside of
 * callbacks. */
#include "http3/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

enum {
    STEPS = 100000,
};

/* A client whose callbacks write down what was said. */
struct world {
    struct mr_h3_client *client;
    struct loop *loop;
    struct mr_h3_server *server;
    mr_h3_client_conn conn;
    uint32_t starts;
    uint32_t connected;
    uint32_t closed;
    uint32_t drains;
    uint32_t done;
    uint32_t done_after_close;
    uint64_t timer_user;
    uint64_t work_user;
    int64_t work_result;
    enum mr_h3_outcome outcome;
    bool is_inside; /* a callback runs */
    size_t held;    /* bytes that on_data does not take at first */
    uint64_t body;
    struct mr_h3_closed last;
};

static void on_start(void *context, struct mr_h3_client *client)
{
    struct world *w = context;

    (void)client;
    w->starts++;
}

static void on_connected(void *context, mr_h3_client_conn conn, uint64_t user)
{
    struct world *w = context;

    CU_ASSERT_EQUAL(conn, w->conn);
    CU_ASSERT_EQUAL(user, 77);
    w->connected++;
}

static void on_closed(void *context, mr_h3_client_conn conn, uint64_t user,
                      const struct mr_h3_closed *closed)
{
    struct world *w = context;

    (void)conn;
    CU_ASSERT_EQUAL(user, 77);
    w->closed++;
    w->last = *closed;
}

static size_t on_data(void *context, mr_h3_client_request request, uint64_t user,
                      const uint8_t *data, size_t size)
{
    struct world *w = context;

    (void)request;
    (void)user;
    (void)data;
    if (w->held > 0)
        return 0;
    w->body += size;
    return size;
}

static void on_done(void *context, mr_h3_client_request request, uint64_t user,
                    const struct mr_h3_result *result)
{
    struct world *w = context;

    (void)request;
    (void)user;
    CU_ASSERT_FALSE(w->is_inside); /* never from within a call */
    w->done++;
    w->done_after_close += w->closed;
    w->outcome = result->outcome;
}

static void on_timer(void *context, uint64_t user)
{
    ((struct world *)context)->timer_user = user;
}

static void on_work_done(void *context, uint64_t user, int64_t result)
{
    struct world *w = context;

    w->work_user = user;
    w->work_result = result;
}

static void on_drain(void *context)
{
    ((struct world *)context)->drains++;
}

static struct world *new_world(uint32_t connections, uint32_t requests)
{
    struct world *w = calloc(1, sizeof(*w));
    struct mr_h3_client_config config = mr_h3_client_config_default(connections, requests);
    struct mr_h3_server_config server = mr_h3_server_config_default(16);
    struct mr_h3_client_callbacks callbacks = {
        .context = w,
        .on_start = on_start,
        .on_connected = on_connected,
        .on_closed = on_closed,
        .on_data = on_data,
        .on_done = on_done,
        .on_timer = on_timer,
        .on_work_done = on_work_done,
        .on_drain = on_drain,
    };
    struct loop_config loop = loop_config_default(1);

    server.root = "/etc";
    CU_ASSERT_EQUAL_FATAL(mr_h3_server_new(&server, &w->server, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(mr_h3_client_new(&config, &callbacks, &w->client, NULL), 0);
    w->loop =
        loop_new(&loop, mr_h3_client_application(w->client), mr_h3_server_application(w->server));
    return w;
}

static void free_world(struct world *w)
{
    loop_free(w->loop);
    mr_h3_client_free(w->client);
    mr_h3_server_free(w->server);
    free(w);
}

static int connect_world(struct world *w)
{
    struct mr_connect_options options = {.server_name = "localhost"};

    return mr_h3_client_connect(w->client, &options, 77, &w->conn);
}

static int request(struct world *w, const char *path, mr_h3_client_request *request_out)
{
    struct mr_h3_request_options options = {.authority = "localhost", .path = path};

    w->is_inside = true;
    int result = mr_h3_client_request_make(w->client, w->conn, &options, 0, request_out);
    w->is_inside = false;
    return result;
}

static void run(struct world *w)
{
    CU_ASSERT_TRUE(loop_run(w->loop, STEPS));
}

static int64_t add_one(void *argument)
{
    return *(const int64_t *)argument + 1;
}

static void timers_and_work_come_back_with_their_word(void)
{
    struct world *w = new_world(1, 1);
    int64_t argument = 41;

    CU_ASSERT_EQUAL(w->starts, 1);
    CU_ASSERT_EQUAL(mr_h3_client_timer(w->client, 1000000, 5), 0);
    CU_ASSERT_EQUAL(mr_h3_client_work(w->client, add_one, &argument, 6), 0);
    uint64_t begin = mr_h3_client_now(w->client);
    loop_pass(w->loop, UINT64_C(2000000));
    CU_ASSERT_TRUE(mr_h3_client_now(w->client) > begin);
    CU_ASSERT_EQUAL(w->timer_user, 5);
    CU_ASSERT_EQUAL(w->work_user, 6);
    CU_ASSERT_EQUAL(w->work_result, 42);
    CU_ASSERT_EQUAL(w->drains, 0);
    loop_go_away(w->loop, 0);
    run(w);
    CU_ASSERT_EQUAL(w->drains, 1);
    free_world(w);
}

static void more_connections_or_requests_than_there_is_room_for_are_refused(void)
{
    struct world *w = new_world(1, 2);
    mr_h3_client_request requests[3];
    mr_h3_client_conn first;

    CU_ASSERT_EQUAL(connect_world(w), 0);
    first = w->conn;
    CU_ASSERT_EQUAL(connect_world(w), -EAGAIN);
    w->conn = first;
    CU_ASSERT_EQUAL(request(w, "/hostname", &requests[0]), 0);
    CU_ASSERT_EQUAL(request(w, "/hostname", &requests[1]), 0);
    CU_ASSERT_EQUAL(request(w, "/hostname", &requests[2]), -EAGAIN);
    run(w);
    CU_ASSERT_EQUAL(w->connected, 1);
    CU_ASSERT_EQUAL(w->done, 2);
    CU_ASSERT_EQUAL(request(w, "/hostname", &requests[2]), 0);
    run(w);
    CU_ASSERT_EQUAL(w->done, 3);
    CU_ASSERT_EQUAL(w->outcome, MR_H3_DONE);
    free_world(w);
}

static void a_request_too_large_to_send_is_refused_at_once(void)
{
    static char path[2000];
    struct world *w = new_world(1, 1);
    mr_h3_client_request r;

    memset(path, '\xff', sizeof(path) - 1);
    path[0] = '/';
    CU_ASSERT_EQUAL(connect_world(w), 0);
    CU_ASSERT_EQUAL(request(w, path, &r), -EMSGSIZE);
    CU_ASSERT_EQUAL(request(w, "/hostname", &r), 0); /* its place is free again */
    run(w);
    CU_ASSERT_EQUAL(w->done, 1);
    free_world(w);
}

/* 1,000 letters are 625 bytes when Huffman-coded; tildes get no shorter. */
static void what_counts_is_the_size_of_the_encoded_head(void)
{
    char path[1001] = "";
    struct world *w = new_world(1, 1);
    mr_h3_client_request r;

    CU_ASSERT_EQUAL(connect_world(w), 0);
    memset(path, '~', sizeof(path) - 1);
    path[0] = '/';
    CU_ASSERT_EQUAL(request(w, path, &r), -EMSGSIZE);
    memset(path + 1, 'a', sizeof(path) - 2);
    CU_ASSERT_EQUAL(request(w, path, &r), 0);
    run(w);
    CU_ASSERT_EQUAL(w->done, 1);
    CU_ASSERT_EQUAL(w->outcome, MR_H3_DONE);
    free_world(w);
}

static void stale_words_are_refused(void)
{
    struct world *w = new_world(1, 1);
    struct mr_conn_info info;
    mr_h3_client_request r;
    uint8_t ticket[8];

    CU_ASSERT_EQUAL(connect_world(w), 0);
    CU_ASSERT_EQUAL(request(w, "/hostname", &r), 0);
    run(w);
    CU_ASSERT_EQUAL(mr_h3_client_conn_info(w->client, w->conn, &info), 0);
    CU_ASSERT_STRING_EQUAL(info.alpn, "h3");
    CU_ASSERT_EQUAL(mr_h3_client_ticket(w->client, w->conn, ticket, sizeof(ticket)), 0);
    CU_ASSERT_EQUAL(mr_h3_client_cancel(w->client, r), -ESTALE);
    CU_ASSERT_EQUAL(mr_h3_client_resume(w->client, r), -ESTALE);
    CU_ASSERT_EQUAL(mr_h3_client_close(w->client, w->conn), 0);
    CU_ASSERT_EQUAL(request(w, "/hostname", &r), -EPIPE); /* it is closing */
    run(w);
    CU_ASSERT_EQUAL(w->closed, 1);
    CU_ASSERT_EQUAL(request(w, "/hostname", &r), -ESTALE);
    CU_ASSERT_EQUAL(mr_h3_client_close(w->client, w->conn), -ESTALE);
    CU_ASSERT_EQUAL(mr_h3_client_conn_info(w->client, w->conn, &info), -ESTALE);
    CU_ASSERT_EQUAL(mr_h3_client_ticket(w->client, w->conn, ticket, sizeof(ticket)), -ESTALE);
    CU_ASSERT_EQUAL(mr_h3_client_close(w->client, 0), -ESTALE);
    CU_ASSERT_EQUAL(mr_h3_client_cancel(w->client, 0), -ESTALE);
    free_world(w);
}

static void a_cancel_from_outside_is_answered_by_a_callback_later(void)
{
    struct world *w = new_world(1, 1);
    mr_h3_client_request r;

    CU_ASSERT_EQUAL(connect_world(w), 0);
    run(w);
    CU_ASSERT_EQUAL(request(w, "/hostname", &r), 0);
    w->is_inside = true;
    CU_ASSERT_EQUAL(mr_h3_client_cancel(w->client, r), 0);
    w->is_inside = false;
    CU_ASSERT_EQUAL(w->done, 0);
    run(w);
    CU_ASSERT_EQUAL(w->done, 1);
    CU_ASSERT_EQUAL(w->outcome, MR_H3_CANCELLED);
    free_world(w);
}

static void a_resume_from_outside_shows_the_rest(void)
{
    struct world *w = new_world(1, 1);
    mr_h3_client_request r;

    CU_ASSERT_EQUAL(connect_world(w), 0);
    w->held = 1;
    CU_ASSERT_EQUAL(request(w, "/passwd", &r), 0);
    run(w);
    CU_ASSERT_EQUAL(w->done, 0);
    CU_ASSERT_EQUAL(w->body, 0);
    w->held = 0;
    CU_ASSERT_EQUAL(mr_h3_client_resume(w->client, r), 0);
    CU_ASSERT_EQUAL(w->body, 0); /* not from within the call */
    run(w);
    CU_ASSERT_TRUE(w->body > 0);
    CU_ASSERT_EQUAL(w->done, 1);
    CU_ASSERT_EQUAL(w->outcome, MR_H3_DONE);
    free_world(w);
}

static void requests_end_before_their_connection(void)
{
    struct world *w = new_world(1, 8);
    mr_h3_client_request r;

    CU_ASSERT_EQUAL(connect_world(w), 0);
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(request(w, "/hostname", &r), 0);
    loop_cut(w->loop); /* before the handshake is over */
    run(w);
    CU_ASSERT_EQUAL(w->connected, 0);
    CU_ASSERT_EQUAL(w->done, 8);
    CU_ASSERT_EQUAL(w->done_after_close, 0);
    CU_ASSERT_EQUAL(w->outcome, MR_H3_CONN_LOST);
    CU_ASSERT_EQUAL(w->closed, 1);
    CU_ASSERT_FALSE(w->last.was_connected);
    CU_ASSERT_EQUAL(connect_world(w), 0); /* its place is free again */
    run(w);
    CU_ASSERT_EQUAL(w->connected, 1);
    free_world(w);
}

static void an_impossible_configuration_is_named(void)
{
    struct mr_h3_client_config config = mr_h3_client_config_default(0, 1);
    struct mr_h3_client_callbacks callbacks = {0};
    struct mr_h3_client *client = NULL;
    struct mr_fault fault = {0};

    CU_ASSERT_EQUAL(mr_h3_client_new(&config, &callbacks, &client, &fault), -EINVAL);
    CU_ASSERT_TRUE(strlen(fault.text) > 0);
    CU_ASSERT_PTR_NULL(client);
}

CU_TestInfo h3_client_tests[] = {
    {"timers and work come back with their word", timers_and_work_come_back_with_their_word},
    {"more connections or requests than there is room for are refused",
     more_connections_or_requests_than_there_is_room_for_are_refused},
    {"a request too large to send is refused at once",
     a_request_too_large_to_send_is_refused_at_once},
    {"what counts is the size of the encoded head", what_counts_is_the_size_of_the_encoded_head},
    {"stale words are refused", stale_words_are_refused},
    {"a cancel from outside is answered by a callback later",
     a_cancel_from_outside_is_answered_by_a_callback_later},
    {"a resume from outside shows the rest", a_resume_from_outside_shows_the_rest},
    {"requests end before their connection", requests_end_before_their_connection},
    {"an impossible configuration is named", an_impossible_configuration_is_named},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/client", .pTests = h3_client_tests},
    CU_SUITE_INFO_NULL,
};
