/*
 * HTTP/3 over two real endpoints in virtual time (tests/support/engine_world.h): tunnels with
 * QUIC's own DATAGRAM frames and without.
 */
#include <stdio.h>
#include <string.h>

#include "millrace/http3.h"
#include "tests/support/engine_world.h"
#include "tests/unit/harness.h"

enum {
    DATAGRAMS = 50,
    SIZE = 600,
};

/* An echo of datagrams, and who speaks to it. */
struct echo {
    struct mr_http3_tunnel *tunnel;
    uint32_t sent, received, ended, wrong;
    int error;
    bool echoes;
};

static struct echo sides[2];
static struct engine_world *world;
static struct mr_http3_server *server;
static struct mr_http3_client *client;

static uint32_t on_request(void *context, struct mr_http3_tunnel *tunnel,
                           const struct mr_http3_tunnel_request *request)
{
    (void)context;
    (void)tunnel;
    return strcmp(request->protocol, "echo") == 0 ? 200 : 501;
}

static void send_some(struct echo *e)
{
    uint8_t bytes[SIZE];

    while (e->sent < DATAGRAMS) {
        memset(bytes, (int)e->sent, sizeof(bytes));
        if (mr_http3_tunnel_send(e->tunnel, bytes, sizeof(bytes)) != 0)
            return;
        e->sent++;
    }
}

static void on_open(void *context, struct mr_http3_tunnel *tunnel)
{
    struct echo *e = context;

    e->tunnel = tunnel;
    if (!e->echoes)
        send_some(e);
}

static void on_datagram(void *context, struct mr_http3_tunnel *tunnel, const void *data,
                        size_t size)
{
    struct echo *e = context;
    uint8_t bytes[SIZE];

    memset(bytes, *(const uint8_t *)data, sizeof(bytes));
    e->received++;
    e->wrong += size != SIZE || memcmp(bytes, data, size) != 0;
    if (e->echoes)
        (void)mr_http3_tunnel_send(tunnel, data, size);
}

static void on_room(void *context, struct mr_http3_tunnel *tunnel)
{
    struct echo *e = context;

    (void)tunnel;
    if (!e->echoes)
        send_some(e);
}

static void on_end(void *context, struct mr_http3_tunnel *tunnel, int error, const char *reason)
{
    struct echo *e = context;

    (void)tunnel;
    (void)reason;
    e->ended++;
    e->error = error;
}

static void run_echo(const struct engine_options *options)
{
    static struct mr_http3_tunnel_handlers handlers[2];
    struct mr_http3_url url;
    const struct mr_http3_server_config server_config = {
        .root = "/", .connections_max = 4, .tunnels = &handlers[ENGINE_SERVER]};
    const struct mr_http3_client_config client_config = {.pages_max = 4, .has_tunnels = true};
    struct mr_http3_tunnel_wish wish = {.url = &url, .protocol = "echo"};

    memset(sides, 0, sizeof(sides));
    sides[ENGINE_SERVER].echoes = true;
    for (int i = 0; i < 2; i++)
        handlers[i] = (struct mr_http3_tunnel_handlers){.context = &sides[i],
                                                        .on_request = on_request,
                                                        .on_open = on_open,
                                                        .on_datagram = on_datagram,
                                                        .on_room = on_room,
                                                        .on_end = on_end};
    CU_ASSERT_EQUAL_FATAL(mr_http3_url_parse("https://localhost/", &url), 0);
    CU_ASSERT_EQUAL_FATAL(mr_http3_server_new(&server_config, &server, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(mr_http3_client_new(&client_config, &client, NULL), 0);
    world = engine_world_new(options, mr_http3_client_application(client),
                             mr_http3_server_application(server));
    wish.server = engine_world_server();
    CU_ASSERT_EQUAL(mr_http3_tunnel_open(client, &wish, &handlers[ENGINE_CLIENT]), 0);
    engine_world_run(world, 5 * MR_SECOND);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sides[ENGINE_CLIENT].tunnel);
    CU_ASSERT_EQUAL(sides[ENGINE_CLIENT].sent, DATAGRAMS);
    CU_ASSERT_EQUAL(sides[ENGINE_CLIENT].wrong + sides[ENGINE_SERVER].wrong, 0);
}

static void finish_echo(void)
{
    mr_http3_tunnel_end(sides[ENGINE_CLIENT].tunnel);
    engine_world_run(world, 5 * MR_SECOND);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(sides[i].ended, 1);
        CU_ASSERT_EQUAL(sides[i].error, 0);
    }
    engine_world_free(world);
    mr_http3_client_free(client);
    mr_http3_server_free(server);
}

static uint64_t frames_sent(unsigned side)
{
    return mr_endpoint_counters(engine_world_endpoint(world, side))->datagram_frames_sent;
}

/* Datagrams of HTTP go as QUIC's, and not a byte of them on the stream. */
static void datagrams_are_echoed_in_frames(void)
{
    run_echo(&(struct engine_options){.datagram_max = {65535, 65535}});
    CU_ASSERT_EQUAL(frames_sent(ENGINE_CLIENT), DATAGRAMS);
    CU_ASSERT_EQUAL(sides[ENGINE_SERVER].received, DATAGRAMS);
    CU_ASSERT_EQUAL(frames_sent(ENGINE_SERVER), sides[ENGINE_CLIENT].received);
    CU_ASSERT(sides[ENGINE_CLIENT].received >
              DATAGRAMS / 2); /* an echo that finds no room is lost */
    finish_echo();
}

/* RFC 9297, Section 3.5: a side whose QUIC takes none gets them in capsules. */
static void or_in_capsules_where_a_side_takes_none(void)
{
    for (unsigned taker = 0; taker < 2; taker++) {
        struct engine_options options = {.loss_every = 7};
        options.datagram_max[taker] = 65535;
        run_echo(&options);
        CU_ASSERT_EQUAL(frames_sent(taker), 0);
        if (taker == ENGINE_CLIENT) /* what it sends is reliable */
            CU_ASSERT_EQUAL(sides[ENGINE_SERVER].received, DATAGRAMS);
        finish_echo();
    }
}

static void losses_are_not_repaired_in_frames(void)
{
    run_echo(&(struct engine_options){.datagram_max = {65535, 65535}, .loss_every = 6});
    CU_ASSERT(sides[ENGINE_SERVER].received < DATAGRAMS);
    CU_ASSERT(sides[ENGINE_SERVER].received > DATAGRAMS / 2);
    finish_echo();
}

static CU_TestInfo tests[] = {
    {"datagrams are echoed in frames", datagrams_are_echoed_in_frames},
    {"or in capsules, where a side takes none", or_in_capsules_where_a_side_takes_none},
    {"losses are not repaired in frames", losses_are_not_repaired_in_frames},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "HTTP/3 over the engine", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
