/* Tests of millrace/protocol.h: servers with clients, over a transport in memory and over memory.
 */
#include "millrace/protocol.h"

#include <errno.h>
#include <signal.h>

#include "millrace/adapter.h"
#include "tests/unit/fiber_world.h"

enum {
    CLIENTS = 12
};

static const struct mr_message_format format = {MR_PREFIX_VARINT, 1024};

static uint32_t requests, serving, serving_peak;

/* Answers each request after a while: what it does meanwhile hinders nobody. */
static void serve(struct mr_protocol_server *server, struct mr_peer *client, void *context)
{
    const uint8_t *data;
    ssize_t size;

    (void)server;
    (void)context;
    while ((size = mr_peer_receive(client, &data)) >= 0) {
        requests++;
        serving++;
        serving_peak = serving > serving_peak ? serving : serving_peak;
        mr_fiber_sleep(10 * MS);
        serving--;
        if (mr_peer_send(client, data, (size_t)size) != 0)
            break;
    }
}

static struct mr_protocol_server *new_server(uint32_t clients_max)
{
    struct mr_protocol_config config = {
        .name = "echo", .format = format, .serve = serve, .clients_max = clients_max};

    requests = serving = serving_peak = 0;
    mr_sock_set(world.listener, MR_SOCK_NONBLOCK, 0);
    return mr_protocol_server_new(&config);
}

static struct mr_peer *connect_client(void)
{
    struct mr_connect_options options = world_options();
    struct mr_sock *conn;
    struct mr_peer *peer = NULL;

    CU_ASSERT_EQUAL_FATAL(mr_sock_host_connect(world.host[CLIENT], &options, false, &conn), 0);
    CU_ASSERT_EQUAL_FATAL(mr_protocol_connect(conn, &format, &peer), 0);
    CU_ASSERT_PTR_EQUAL(mr_peer_conn(peer), conn);
    return peer;
}

static void leave(struct mr_peer *peer)
{
    struct mr_sock *conn = mr_peer_conn(peer);

    mr_peer_free(peer);
    mr_sock_close(conn, 0);
}

static bool get_back(struct mr_peer *peer, const char *text)
{
    const uint8_t *data;

    return mr_peer_receive(peer, &data) == (ssize_t)strlen(text) &&
           memcmp(data, text, strlen(text)) == 0;
}

static void run_with_server(mr_fiber_function function, void *argument)
{
    world_prepare(5);
    world_start();
    run_in_world(function, argument);
    world_end();
}

/* ------------------------------------------------------------------ the set of clients */

static uint32_t walk(const struct mr_protocol_server *server)
{
    uint32_t count = 0;

    for (struct mr_peer *c = mr_protocol_first_client(server); c != NULL;
         c = mr_protocol_next_client(c))
        count++;
    CU_ASSERT_EQUAL(count, mr_protocol_client_count(server));
    return count;
}

static int64_t come_and_go(void *argument)
{
    struct mr_protocol_server *server = new_server(0);
    struct mr_peer *peers[CLIENTS];

    (void)argument;
    CU_ASSERT_EQUAL(mr_protocol_listen(server, world.listener), 0);
    CU_ASSERT_EQUAL(mr_protocol_listen(server, world.listener), -EBUSY);
    CU_ASSERT_EQUAL(walk(server), 0);
    for (int i = 0; i < CLIENTS; i++) {
        peers[i] = connect_client();
        CU_ASSERT_EQUAL(mr_peer_send(peers[i], "hello", 5), 0);
        CU_ASSERT_TRUE(get_back(peers[i], "hello"));
        CU_ASSERT_EQUAL(walk(server), (uint32_t)i + 1);
    }
    for (int i = 0; i < CLIENTS; i += 2)
        leave(peers[i]);
    mr_fiber_sleep(50 * MS);
    CU_ASSERT_EQUAL(walk(server), CLIENTS / 2);
    CU_ASSERT_EQUAL(mr_protocol_broadcast(server, "all", 3), CLIENTS / 2);
    for (int i = 1; i < CLIENTS; i += 2)
        CU_ASSERT_TRUE(get_back(peers[i], "all"));

    struct mr_peer *first = mr_protocol_first_client(server);
    CU_ASSERT_PTR_NOT_NULL(mr_peer_transport(first)->read);
    CU_ASSERT_PTR_EQUAL(mr_peer_transport(first)->context, mr_peer_stream(first));
    CU_ASSERT_EQUAL(mr_peer_send(first, "you", 3), 0); /* methods take a client */
    CU_ASSERT_TRUE(get_back(peers[1], "you"));
    mr_peer_disconnect(first);
    mr_fiber_sleep(50 * MS);
    CU_ASSERT_EQUAL(walk(server), CLIENTS / 2 - 1);
    CU_ASSERT_EQUAL(mr_protocol_server_free(server), 0);
    for (int i = 1; i < CLIENTS; i += 2)
        leave(peers[i]);
    return 0;
}

static void the_set_of_clients_is_live(void)
{
    run_with_server(come_and_go, NULL);
}

/* ------------------------------------------------------------------ fibers of the protocol */

static int64_t ask_thrice(void *argument)
{
    struct mr_peer *peer = connect_client();

    (void)argument;
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(mr_peer_send(peer, "again", 5), 0);
        CU_ASSERT_TRUE(get_back(peer, "again"));
    }
    leave(peer);
    return 0;
}

static int64_t ask_at_once(void *argument)
{
    struct mr_protocol_server *server = new_server(0);
    struct mr_fiber *clients[CLIENTS];

    (void)argument;
    mr_protocol_listen(server, world.listener);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = spawn(ask_thrice, NULL, "client");
    for (int i = 0; i < CLIENTS; i++)
        join(clients[i]);
    CU_ASSERT_EQUAL(requests, 3 * CLIENTS);
    CU_ASSERT(serving_peak > CLIENTS / 2);
    CU_ASSERT_EQUAL(mr_protocol_server_free(server), 0);
    return 0;
}

static void handlers_run_in_fibers_and_listen_meanwhile(void)
{
    run_with_server(ask_at_once, NULL);
}

/* ------------------------------------------------------------------ other transports, limits */

static int64_t serve_memory(void *argument)
{
    struct mr_protocol_server *server = new_server(1);
    struct mr_memory_pair *pair = mr_memory_pair_new(64);
    struct mr_channel near = mr_memory_pair_end(pair, 0), far = mr_memory_pair_end(pair, 1);
    struct mr_peer *client, *peer;

    (void)argument;
    mr_protocol_listen(server, world.listener);
    CU_ASSERT_EQUAL(mr_protocol_serve(server, &far, &client), 0);
    CU_ASSERT_PTR_EQUAL(mr_protocol_first_client(server), client);
    CU_ASSERT_PTR_NULL(mr_peer_conn(client));
    CU_ASSERT_EQUAL(mr_protocol_serve(server, &far, NULL), -ENFILE);
    CU_ASSERT_EQUAL(mr_protocol_connect_over(&near, &format, &peer), 0);
    CU_ASSERT_EQUAL(mr_peer_send(peer, "memory", 6), 0);
    CU_ASSERT_TRUE(get_back(peer, "memory"));

    /* No place for a second: it is turned away. */
    struct mr_peer *other = connect_client();
    const uint8_t *data;
    (void)mr_peer_send(other, "x", 1);
    CU_ASSERT(mr_peer_receive(other, &data) < 0);
    leave(other);
    CU_ASSERT_EQUAL(walk(server), 1);

    mr_peer_free(peer);
    mr_memory_pair_close(pair, 0);
    mr_fiber_sleep(20 * MS);
    CU_ASSERT_EQUAL(walk(server), 0);
    CU_ASSERT_EQUAL(mr_protocol_server_free(server), 0);
    mr_memory_pair_free(pair);
    return 0;
}

static void a_server_serves_other_transports_up_to_its_limit(void)
{
    run_with_server(serve_memory, NULL);
}

/* A connection without a stream holds nobody up. */
static int64_t end_early(void *argument)
{
    struct mr_protocol_server *server = new_server(0);
    struct mr_connect_options options = world_options();
    struct mr_sock *conn;

    (void)argument;
    mr_protocol_listen(server, world.listener);
    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, false, &conn), 0);
    mr_fiber_sleep(20 * MS);
    CU_ASSERT_EQUAL(mr_protocol_server_free(server), 0);
    mr_sock_close(conn, 0);
    return 0;
}

static void a_server_ends_while_connections_are_silent(void)
{
    run_with_server(end_early, NULL);
}

/* ------------------------------------------------------------------ messages cut short */

static struct mr_peer *out, *in;
static int told_reader;

static int64_t send_large(void *argument)
{
    static const char large[600] = "large";

    (void)argument;
    return mr_peer_send(out, large, sizeof(large));
}

static int64_t send_small(void *argument)
{
    (void)argument;
    return mr_peer_send(out, "small", 5);
}

static int64_t send_small_soon(void *argument)
{
    (void)argument;
    return mr_peer_send_within(out, "small", 5, 20 * MS);
}

static int64_t read_there(void *argument)
{
    const uint8_t *data;

    (void)argument;
    return mr_peer_receive(out, &data);
}

static struct mr_memory_pair *open_small(void)
{
    struct mr_memory_pair *pair = mr_memory_pair_new(256);
    struct mr_channel near = mr_memory_pair_end(pair, 0), far = mr_memory_pair_end(pair, 1);

    CU_ASSERT_EQUAL_FATAL(mr_protocol_connect_over(&near, &format, &out), 0);
    CU_ASSERT_EQUAL_FATAL(mr_protocol_connect_over(&far, &format, &in), 0);
    return pair;
}

static void close_small(struct mr_memory_pair *pair)
{
    mr_peer_free(out);
    mr_peer_free(in);
    mr_memory_pair_free(pair);
}

/* One of three that send is cancelled half way: nobody's message is taken for the rest of its. */
static int64_t cancel_one(void *argument)
{
    struct mr_memory_pair *pair = open_small();
    const uint8_t *data;

    (void)argument;
    struct mr_fiber *reader = spawn(read_there, NULL, "reader");
    struct mr_fiber *large = spawn(send_large, NULL, "large");
    struct mr_fiber *behind = spawn(send_small, NULL, "behind");
    struct mr_fiber *late = spawn(send_small_soon, NULL, "late");
    mr_fiber_sleep(50 * MS);
    CU_ASSERT_TRUE(mr_fiber_has_ended(late)); /* its time was up while others sent */
    CU_ASSERT_EQUAL(join(late), -ETIMEDOUT);
    CU_ASSERT_FALSE(mr_fiber_has_ended(behind));
    mr_fiber_cancel(large);
    CU_ASSERT_EQUAL(join(large), -EPIPE);
    CU_ASSERT_EQUAL(join(behind), -EPIPE);
    CU_ASSERT_EQUAL(send_small(NULL), -EPIPE);
    CU_ASSERT_EQUAL(join(reader), -EPIPE);
    CU_ASSERT_EQUAL(mr_peer_receive(in, &data), -EBADMSG);
    CU_ASSERT_EQUAL(mr_peer_receive(in, &data), -EBADMSG);
    CU_ASSERT(mr_peer_send(in, "x", 1) < 0);
    CU_ASSERT_EQUAL(mr_fiber_yield(), 0); /* who tells the others is not cancelled itself */
    close_small(pair);
    return 0;
}

/* In time a message is sent as ever; out of time before its first byte, the next is. */
static int64_t send_in_time(void *argument)
{
    struct mr_memory_pair *pair = open_small();
    const uint8_t *data;
    uint64_t start = world_now();

    (void)argument;
    for (int i = 0; i < 42; i++) /* 252 bytes */
        CU_ASSERT_EQUAL(mr_peer_send_within(out, "small", 5, 20 * MS), 0);
    CU_ASSERT_EQUAL(mr_peer_send_within(out, "", 0, 0), 0);
    CU_ASSERT_EQUAL(mr_peer_send_within(out, "abc", 2, 20 * MS),
                    0); /* it is full to the last byte */
    CU_ASSERT_EQUAL(mr_peer_send_within(out, "small", 5, 20 * MS), -ETIMEDOUT);
    CU_ASSERT(world_now() - start >= 20 * MS);
    CU_ASSERT_EQUAL(mr_peer_send_within(out, "small", 5, 0), -ETIMEDOUT);
    for (int i = 0; i < 42; i++)
        CU_ASSERT_TRUE(get_back(in, "small"));
    CU_ASSERT_TRUE(get_back(in, ""));
    CU_ASSERT_TRUE(get_back(in, "ab"));
    mr_fiber_sleep(50 * MS); /* the limit was that call's alone */
    CU_ASSERT(world_now() - start >= 70 * MS);
    CU_ASSERT_EQUAL(mr_peer_send(out, "next", 4), 0);
    CU_ASSERT_TRUE(get_back(in, "next"));
    struct mr_fiber *reader = spawn(read_there, NULL, "reader");
    mr_fiber_yield();
    static const char large[600] = "large";
    CU_ASSERT_EQUAL(mr_peer_send_within(out, large, sizeof(large), 20 * MS), -EPIPE);
    CU_ASSERT_EQUAL(join(reader), -EPIPE);
    CU_ASSERT_EQUAL(mr_peer_receive(in, &data), -EBADMSG);
    close_small(pair);
    return 0;
}

static void a_message_cut_short_ends_the_conversation(void)
{
    run_with_server(cancel_one, NULL);
    run_with_server(send_in_time, NULL);
}

/* A channel of the application's own: how it waits is its own business. */
static bool works; /* else it sleeps */
static bool has_worked;

static int64_t work(void *argument)
{
    usleep(200000); /* longer than the limit, which leaves a thread time to begin */
    *(bool *)argument = true;
    return 0;
}

static ssize_t write_somehow(void *context, const void *buffer, size_t size)
{
    int result = works ? mr_fiber_work(work, &has_worked, NULL) : mr_fiber_sleep(MR_SECONDS(100));

    (void)context;
    (void)buffer;
    return result < 0 ? result : (ssize_t)size;
}

static int64_t send_somehow(void *argument)
{
    struct mr_channel channel = {.write = write_somehow};

    (void)argument;
    CU_ASSERT_EQUAL_FATAL(mr_protocol_connect_over(&channel, &format, &out), 0);
    works = has_worked = false;
    CU_ASSERT_EQUAL(mr_peer_send_within(out, "x", 1, 5 * MS), -ETIMEDOUT);
    works = true;
    CU_ASSERT_EQUAL(mr_peer_send_within(out, "x", 1, 100 * MS), 0); /* begun: it is waited for */
    CU_ASSERT_TRUE(has_worked);
    CU_ASSERT_EQUAL(mr_fiber_sleep(1), 0);
    mr_peer_free(out);
    return 0;
}

static void a_limit_holds_in_channels_of_all_kinds(void)
{
    run_in_hub(send_somehow, NULL, NULL);
}

/* A fiber that does not read its client: it sleeps. */
static void serve_asleep(struct mr_protocol_server *server, struct mr_peer *client, void *context)
{
    (void)server;
    (void)client;
    (void)context;
    told_reader = mr_fiber_sleep(MR_SECONDS(100));
}

static int64_t broadcast_large(void *argument)
{
    static char large[1024];

    for (int i = 0; i < 1000 && mr_protocol_client_count(argument) > 0; i++)
        mr_protocol_broadcast(argument, large, sizeof(large));
    return 0;
}

/* A client that does not read, and is in the middle of a message when time is up, leaves. */
static int64_t be_slow(void *argument)
{
    struct mr_protocol_config config = {.name = "asleep", .format = format, .serve = serve_asleep};
    const uint8_t *data;
    ssize_t size;

    (void)argument;
    mr_sock_set(world.listener, MR_SOCK_NONBLOCK, 0);
    told_reader = 0;
    struct mr_protocol_server *server = mr_protocol_server_new(&config);
    mr_protocol_listen(server, world.listener);
    struct mr_peer *peer = connect_client();
    CU_ASSERT_EQUAL(mr_peer_send(peer, "hello", 5), 0);
    mr_fiber_sleep(20 * MS);
    struct mr_peer *client = mr_protocol_first_client(server);
    CU_ASSERT_PTR_NOT_NULL_FATAL(client);
    mr_sock_set(mr_peer_stream(client), MR_SOCK_SEND_BUFFER, 1500);
    mr_sock_set(mr_peer_stream(client), MR_SOCK_WRITE_TIMEOUT, 20 * MS);
    join(spawn(broadcast_large, server, "broadcast"));
    mr_fiber_sleep(20 * MS);
    CU_ASSERT_EQUAL(told_reader, -ECANCELED);
    CU_ASSERT_EQUAL(walk(server), 0);
    do {
        size = mr_peer_receive(peer, &data);
    } while (size >= 0);
    CU_ASSERT(size == -ECONNRESET || size == -ENOTCONN);
    leave(peer);
    CU_ASSERT_EQUAL(mr_protocol_server_free(server), 0);
    return 0;
}

static void a_client_that_a_message_is_cut_short_to_leaves(void)
{
    run_with_server(be_slow, NULL);
}

static ssize_t read_somehow(void *context, void *buffer, size_t size)
{
    (void)context;
    (void)buffer;
    (void)size;
    return mr_fiber_sleep(MR_SECONDS(100));
}

/* Who waits in a channel that knows no abort(), and a client that waits elsewhere, are told, too.
 */
static int64_t abort_others(void *argument)
{
    struct mr_protocol_config config = {.name = "asleep", .format = format, .serve = serve_asleep};
    struct mr_protocol_server *server = mr_protocol_server_new(&config);
    struct mr_channel channel = {.read = read_somehow, .write = write_somehow};
    struct mr_peer *client;

    (void)argument;
    CU_ASSERT_EQUAL_FATAL(mr_protocol_connect_over(&channel, &format, &out), 0);
    struct mr_fiber *reader = spawn(read_there, NULL, "reader");
    mr_fiber_yield();
    mr_peer_abort(out);
    CU_ASSERT_EQUAL(join(reader), -EPIPE);
    CU_ASSERT_EQUAL(send_small(NULL), -EPIPE);
    mr_peer_free(out);

    told_reader = 0;
    CU_ASSERT_EQUAL(mr_protocol_serve(server, &channel, &client), 0);
    mr_fiber_yield();
    mr_peer_abort(client);
    mr_fiber_yield();
    mr_fiber_yield();
    CU_ASSERT_EQUAL(told_reader, -ECANCELED);
    CU_ASSERT_EQUAL(walk(server), 0);
    CU_ASSERT_EQUAL(mr_protocol_server_free(server), 0);
    return 0;
}

static int64_t abort_peer(void *argument)
{
    struct mr_memory_pair *pair = open_small();
    const uint8_t *data;

    (void)argument;
    struct mr_fiber *reader = spawn(read_there, NULL, "reader");
    mr_fiber_yield();
    mr_peer_abort(out);
    mr_peer_abort(out);
    CU_ASSERT_EQUAL(join(reader), -EPIPE);
    CU_ASSERT_EQUAL(send_small(NULL), -EPIPE);
    CU_ASSERT(mr_peer_receive(in, &data) < 0);
    close_small(pair);
    return 0;
}

static void an_aborted_conversation_is_over_for_all(void)
{
    run_with_server(abort_peer, NULL);
    run_in_hub(abort_others, NULL, NULL);
}

/* ------------------------------------------------------------------ both APIs on one connection */

static ssize_t told;
static uint8_t told_bytes[64];

static void on_read(void *context, ssize_t result)
{
    struct mr_switchback *back = context;

    told = result;
    back->fn(back->arg, 1);
}

static int64_t mix(void *argument)
{
    struct mr_protocol_server *server = new_server(0);
    struct mr_peer *peer;
    struct mr_switchback back;

    (void)argument;
    mr_protocol_listen(server, world.listener);
    peer = connect_client();
    for (int i = 0; i < 3; i++) {
        /* Blocking, in turn with callbacks: the same bytes come either way. */
        CU_ASSERT_EQUAL(mr_peer_send(peer, "mixed", 5), 0);
        CU_ASSERT_TRUE(get_back(peer, "mixed"));
        CU_ASSERT_EQUAL(mr_peer_send(peer, "mixed", 5), 0);
        back = mr_fiber_switchback();
        CU_ASSERT_EQUAL(
            mr_read_then(mr_peer_stream(peer), told_bytes, sizeof(told_bytes), on_read, &back), 0);
        CU_ASSERT_EQUAL(mr_hub_switch(MR_SECONDS(10), NULL), 0);
        CU_ASSERT_EQUAL(told, 6);
        CU_ASSERT_EQUAL(memcmp(told_bytes, "\x05mixed", 6), 0);
    }
    leave(peer);
    CU_ASSERT_EQUAL(mr_protocol_server_free(server), 0);
    return 0;
}

static void callbacks_and_blocking_calls_mix(void)
{
    run_with_server(mix, NULL);
}

/* ------------------------------------------------------------------ switchpoints */

static struct mr_protocol_server *scope_server;
static struct mr_peer *scope_peer;

static void send_in_scope(void)
{
    mr_peer_send(scope_peer, "x", 1);
}

static void send_within_in_scope(void)
{
    mr_peer_send_within(scope_peer, "x", 1, 0);
}

static void receive_in_scope(void)
{
    const uint8_t *data;

    mr_peer_receive(scope_peer, &data);
}

static void broadcast_in_scope(void)
{
    mr_protocol_broadcast(scope_server, "x", 1);
}

static void free_in_scope(void)
{
    mr_protocol_server_free(scope_server);
}

static const struct call {
    const char *name;
    void (*call)(void);
} calls[] = {
    {"mr_peer_send", send_in_scope},
    {"mr_peer_send_within", send_within_in_scope},
    {"mr_peer_receive", receive_in_scope},
    {"mr_protocol_broadcast", broadcast_in_scope},
    {"mr_protocol_server_free", free_in_scope},
};

static int64_t call_in_scope(void *argument)
{
    const struct call *call = argument;
    struct mr_memory_pair *pair = mr_memory_pair_new(64);
    struct mr_channel near = mr_memory_pair_end(pair, 0);
    struct mr_protocol_config config = {.name = "echo", .format = format, .serve = serve};

    scope_server = mr_protocol_server_new(&config);
    mr_protocol_connect_over(&near, &format, &scope_peer);
    MR_ASSERT_NO_SWITCHPOINTS("own")
    {
        call->call();
    }
    return 0;
}

static void run_call(void *argument)
{
    run_in_hub(call_in_scope, argument, NULL);
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

static CU_TestInfo protocols[] = {
    {"G19 G18 G20 the set of clients is live", the_set_of_clients_is_live},
    {"G9 B6 T2 handlers run in fibers and listen meanwhile",
     handlers_run_in_fibers_and_listen_meanwhile},
    {"G17 G18 a server serves other transports up to its limit",
     a_server_serves_other_transports_up_to_its_limit},
    {"a server ends while connections are silent", a_server_ends_while_connections_are_silent},
    {"G26 a message cut short ends the conversation", a_message_cut_short_ends_the_conversation},
    {"G26 G17 a limit holds in channels of all kinds", a_limit_holds_in_channels_of_all_kinds},
    {"G18 a client that a message is cut short to leaves",
     a_client_that_a_message_is_cut_short_to_leaves},
    {"an aborted conversation is over for all", an_aborted_conversation_is_over_for_all},
    {"G10 callbacks and blocking calls mix", callbacks_and_blocking_calls_mix},
    {"G15 its switchpoints panic in a scope", its_switchpoints_panic_in_a_scope},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/protocol", .pTests = protocols},
    CU_SUITE_INFO_NULL,
};
