/* Tests of the tunnels of millrace/http3.h: client and server over a transport in memory. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "millrace/http3.h"
#include "tests/support/loop_transport.h"
#include "tests/unit/harness.h"

enum {
    STEPS = 400000,
    CLIENT = 0,
    SERVER = 1,
    DATAGRAMS = 200,
};

/* What one side saw of its tunnel. */
struct seen {
    struct mr_http3_tunnel *tunnel;
    uint32_t opened, received, ended, rooms, requests;
    uint32_t to_send, sent, next; /* numbered datagrams */
    size_t size;                  /* of each */
    int error;
    bool is_wrong, echoes, ends_after;
    char protocol[64], authority[64], path[64];
};

static struct seen seen[2];
static struct loop *loop;
static struct mr_http3_server *server;
static struct mr_http3_client *client;
static uint32_t verdict; /* of the server's application */

static void fill(uint8_t *bytes, size_t size, uint32_t number)
{
    memset(bytes, (int)(number % 251), size);
    if (size >= sizeof(number))
        memcpy(bytes, &number, sizeof(number));
}

static void send_some(struct seen *s)
{
    uint8_t bytes[2000];

    while (s->sent < s->to_send) {
        fill(bytes, s->size, s->sent);
        int result = mr_http3_tunnel_send(s->tunnel, bytes, s->size);
        if (result == -EAGAIN)
            return;
        CU_ASSERT_EQUAL(result, 0);
        if (result != 0)
            return;
        s->sent++;
    }
    if (s->ends_after)
        mr_http3_tunnel_end(s->tunnel);
}

static uint32_t on_request(void *context, struct mr_http3_tunnel *tunnel,
                           const struct mr_http3_tunnel_request *request)
{
    struct seen *s = context;

    s->requests++;
    s->tunnel = tunnel;
    mr_http3_tunnel_set_user(tunnel, s);
    snprintf(s->protocol, sizeof(s->protocol), "%s", request->protocol);
    snprintf(s->authority, sizeof(s->authority), "%s", request->authority);
    snprintf(s->path, sizeof(s->path), "%s", request->path);
    CU_ASSERT_EQUAL(mr_http3_tunnel_send(tunnel, "x", 1), -ENOTCONN);
    return verdict;
}

static void on_open(void *context, struct mr_http3_tunnel *tunnel)
{
    struct seen *s = context;

    s->opened++;
    s->tunnel = tunnel;
    send_some(s);
}

static void on_datagram(void *context, struct mr_http3_tunnel *tunnel, const void *data,
                        size_t size)
{
    struct seen *s = context;
    uint8_t bytes[2000];
    uint32_t number = s->next;

    CU_ASSERT_PTR_EQUAL(tunnel, s->tunnel);
    s->received++;
    if (size >= sizeof(number))
        memcpy(&number, data, sizeof(number));
    s->is_wrong |= number < s->next;
    s->next = number + 1;
    fill(bytes, size, number);
    s->is_wrong |= memcmp(bytes, data, size) != 0;
    if (s->echoes)
        (void)mr_http3_tunnel_send(tunnel, data, size); /* as unreliable as what it answers */
}

static void on_room(void *context, struct mr_http3_tunnel *tunnel)
{
    struct seen *s = context;

    (void)tunnel;
    s->rooms++;
    if (s->opened > 0)
        send_some(s);
}

static void on_end(void *context, struct mr_http3_tunnel *tunnel, int error, const char *reason)
{
    struct seen *s = context;

    (void)reason;
    s->ended++;
    s->error = error;
    if (tunnel != NULL)
        CU_ASSERT_EQUAL(mr_http3_tunnel_send(tunnel, "x", 1), -EPIPE);
    s->tunnel = NULL;
}

static struct mr_http3_tunnel_handlers handlers[2];

static void make(const struct loop_config *config, bool has_server, uint32_t tunnels_max)
{
    const struct mr_http3_server_config server_config = {.root = "/",
                                                         .connections_max = 4,
                                                         .tunnels =
                                                             has_server ? &handlers[SERVER] : NULL,
                                                         .tunnels_max = tunnels_max};
    const struct mr_http3_client_config client_config = {.pages_max = 4, .has_tunnels = true};

    memset(seen, 0, sizeof(seen));
    verdict = 200;
    for (int i = 0; i < 2; i++)
        handlers[i] = (struct mr_http3_tunnel_handlers){.context = &seen[i],
                                                        .on_request = on_request,
                                                        .on_open = on_open,
                                                        .on_datagram = on_datagram,
                                                        .on_room = on_room,
                                                        .on_end = on_end};
    CU_ASSERT_EQUAL_FATAL(mr_http3_server_new(&server_config, &server, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(mr_http3_client_new(&client_config, &client, NULL), 0);
    loop =
        loop_new(config, mr_http3_client_application(client), mr_http3_server_application(server));
}

static void end(void)
{
    loop_free(loop);
    mr_http3_client_free(client);
    mr_http3_server_free(server);
}

static int open_tunnel(const char *protocol)
{
    struct mr_http3_url url = {
        .host = "host", .authority = "host:4433", .port = 4433, .path = "/a?b"};
    const struct mr_http3_tunnel_wish wish = {.url = &url, .protocol = protocol};
    int result = -EAGAIN;

    for (int i = 0; i < 1000 && result == -EAGAIN; i++)
        result = mr_http3_tunnel_open(client, &wish, &handlers[CLIENT]);
    return result;
}

/* Until nothing comes any more.  A side whose retry the transport refused as well goes on with its
 * next timer, which may be later than loop_run() waits. */
static void run(void)
{
    uint32_t before;

    do {
        before = seen[CLIENT].received + seen[SERVER].received;
        CU_ASSERT_TRUE(loop_run(loop, STEPS));
        loop_pass(loop, UINT64_C(1000000000));
    } while (seen[CLIENT].received + seen[SERVER].received != before);
}

static void datagrams_go_both_ways_until_the_client_ends(void)
{
    struct loop_config config = loop_config_default(1);

    config.datagram_max = 1200;
    make(&config, true, 0);
    seen[CLIENT].to_send = 10;
    seen[CLIENT].size = 500;
    seen[SERVER].echoes = true;
    CU_ASSERT_EQUAL(open_tunnel("echo"), 0);
    run();
    CU_ASSERT_EQUAL(seen[SERVER].requests, 1);
    CU_ASSERT_STRING_EQUAL(seen[SERVER].protocol, "echo");
    CU_ASSERT_STRING_EQUAL(seen[SERVER].authority, "host:4433");
    CU_ASSERT_STRING_EQUAL(seen[SERVER].path, "/a?b");
    CU_ASSERT_EQUAL(seen[SERVER].opened, 1);
    CU_ASSERT_EQUAL(seen[CLIENT].opened, 1);
    CU_ASSERT_EQUAL(seen[CLIENT].sent, 10);
    CU_ASSERT_EQUAL(seen[SERVER].received, 10);
    CU_ASSERT_EQUAL(seen[CLIENT].received, 10);
    CU_ASSERT_PTR_EQUAL(mr_http3_tunnel_user(seen[SERVER].tunnel), &seen[SERVER]);
    mr_http3_tunnel_end(seen[CLIENT].tunnel);
    run();
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(seen[i].ended, 1);
        CU_ASSERT_EQUAL(seen[i].error, 0);
        CU_ASSERT_FALSE(seen[i].is_wrong);
    }
    end();
}

/* RFC 9297, Section 3.5: "particularly useful when HTTP is running over a transport that does not
 * support the QUIC DATAGRAM frame" */
static void without_datagram_frames_they_are_capsules(void)
{
    for (uint64_t seed = 1; seed < 30; seed++) {
        struct loop_config config = loop_config_default(seed);
        config.refuse_percent = seed % 3 == 0 ? 30 : 0;
        config.piece_max = 1 + 97 * (size_t)(seed % 7);
        config.queue_max = 3000;
        config.datagram_max = 0;
        make(&config, true, 0);
        seen[CLIENT].to_send = seen[SERVER].to_send = DATAGRAMS;
        seen[CLIENT].size = 984;
        seen[SERVER].size = seed % 2 == 0 ? 0 : 300;
        CU_ASSERT_EQUAL(open_tunnel("any"), 0);
        run();
        CU_ASSERT_EQUAL(seen[SERVER].received, DATAGRAMS); /* reliable */
        CU_ASSERT_EQUAL(seen[CLIENT].received, DATAGRAMS);
        CU_ASSERT_FALSE(seen[CLIENT].is_wrong || seen[SERVER].is_wrong);
        CU_ASSERT(seen[CLIENT].rooms > 0);
        CU_ASSERT_EQUAL(mr_http3_tunnel_send(seen[CLIENT].tunnel, seen, 985), -EMSGSIZE);
        mr_http3_tunnel_end(seen[SERVER].tunnel);
        run();
        CU_ASSERT_EQUAL(seen[CLIENT].ended, 1);
        CU_ASSERT_EQUAL(seen[CLIENT].error, 0);
        CU_ASSERT_EQUAL(seen[SERVER].ended, 1);
        end();
    }
}

static void a_hurried_sender_is_held_back_and_told_of_room(void)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct loop_config config = loop_config_default(seed);
        config.datagram_max = 1000;
        config.datagram_queue_max = 4;
        config.refuse_percent = seed % 2 == 0 ? 20 : 0;
        config.datagram_lost_percent = seed % 4 == 0 ? 30 : 0;
        make(&config, true, 0);
        seen[CLIENT].to_send = DATAGRAMS;
        seen[CLIENT].size = 900;
        CU_ASSERT_EQUAL(open_tunnel("any"), 0);
        run();
        CU_ASSERT_EQUAL(seen[CLIENT].sent, DATAGRAMS);
        CU_ASSERT(seen[CLIENT].rooms > 0);
        CU_ASSERT(seen[SERVER].received > 0);
        CU_ASSERT(seen[SERVER].received <= DATAGRAMS);
        CU_ASSERT_FALSE(seen[SERVER].is_wrong);
        CU_ASSERT_EQUAL(mr_http3_tunnel_send(seen[CLIENT].tunnel, seen, 1000), -EMSGSIZE);
        end();
    }
}

static void who_sends_and_ends_at_once_is_heard(void)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct loop_config config = loop_config_default(seed);
        config.refuse_percent = seed % 2 == 0 ? 30 : 0;
        make(&config, true, 0);
        seen[CLIENT].to_send = 5;
        seen[CLIENT].size = 100;
        seen[CLIENT].ends_after = true;
        CU_ASSERT_EQUAL(open_tunnel("any"), 0);
        run();
        CU_ASSERT_EQUAL(seen[SERVER].received, 5);
        CU_ASSERT_EQUAL(seen[SERVER].ended, 1);
        CU_ASSERT_EQUAL(seen[SERVER].error, 0);
        CU_ASSERT_EQUAL(seen[CLIENT].ended, 1);
        CU_ASSERT_EQUAL(seen[CLIENT].error, 0);
        end();
    }
}

static void what_the_server_refuses_ends(void)
{
    struct loop_config config = loop_config_default(1);

    make(&config, true, 0);
    verdict = 501;
    CU_ASSERT_EQUAL(open_tunnel("unknown"), 0);
    run();
    CU_ASSERT_EQUAL(seen[SERVER].requests, 1);
    CU_ASSERT_EQUAL(seen[SERVER].ended, 0);
    CU_ASSERT_EQUAL(seen[CLIENT].opened, 0);
    CU_ASSERT_EQUAL(seen[CLIENT].ended, 1);
    CU_ASSERT_EQUAL(seen[CLIENT].error, -ECONNREFUSED);
    end();
}

/* RFC 9220, Section 3: it is not asked for when it is not offered. */
static void a_server_without_tunnels_is_not_asked(void)
{
    struct loop_config config = loop_config_default(1);

    make(&config, false, 0);
    CU_ASSERT_EQUAL(open_tunnel("any"), 0);
    run();
    CU_ASSERT_EQUAL(seen[CLIENT].ended, 1);
    CU_ASSERT_EQUAL(seen[CLIENT].error, -ECONNREFUSED);
    end();
}

static void too_many_are_refused(void)
{
    struct loop_config config = loop_config_default(1);

    make(&config, true, 1);
    CU_ASSERT_EQUAL(open_tunnel("any"), 0);
    run();
    CU_ASSERT_EQUAL(seen[CLIENT].opened, 1);
    CU_ASSERT_EQUAL(open_tunnel("any"), 0);
    run();
    CU_ASSERT_EQUAL(seen[CLIENT].opened, 1);
    CU_ASSERT_EQUAL(seen[CLIENT].ended, 1);
    CU_ASSERT_EQUAL(seen[CLIENT].error, -ECONNREFUSED);
    CU_ASSERT_EQUAL(seen[SERVER].requests, 1);
    loop_cut(loop);
    run();
    CU_ASSERT_EQUAL(open_tunnel("any"), 0); /* the first gave its place back */
    run();
    CU_ASSERT_EQUAL(seen[SERVER].requests, 2);
    end();
}

static void a_connection_that_is_lost_ends_them(void)
{
    struct loop_config config = loop_config_default(1);

    make(&config, true, 0);
    CU_ASSERT_EQUAL(open_tunnel("any"), 0);
    run();
    loop_cut(loop);
    run();
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(seen[i].ended, 1);
        CU_ASSERT_EQUAL(seen[i].error, -ECONNRESET);
    }
    end();
}

static void wishes_that_cannot_be_are_refused(void)
{
    struct loop_config config = loop_config_default(1);

    make(&config, true, 0);
    CU_ASSERT_EQUAL(open_tunnel(""), -EINVAL);
    CU_ASSERT_EQUAL(
        open_tunnel("a-protocol-with-a-name-of-more-than-sixty-three-bytes-in-all-of-it"), -EINVAL);
    end();
}

static CU_TestInfo tests[] = {
    {"datagrams go both ways until the client ends", datagrams_go_both_ways_until_the_client_ends},
    {"without DATAGRAM frames they are capsules", without_datagram_frames_they_are_capsules},
    {"a hurried sender is held back and told of room",
     a_hurried_sender_is_held_back_and_told_of_room},
    {"who sends and ends at once is heard", who_sends_and_ends_at_once_is_heard},
    {"what the server refuses ends", what_the_server_refuses_ends},
    {"a server without tunnels is not asked", a_server_without_tunnels_is_not_asked},
    {"too many are refused", too_many_are_refused},
    {"a connection that is lost ends them", a_connection_that_is_lost_ends_them},
    {"wishes that cannot be are refused", wishes_that_cannot_be_are_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/tunnel", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
