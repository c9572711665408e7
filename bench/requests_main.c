/*
 * bench/requests_main.c - what an HTTP/3 server costs per request of a small file:
 * `requests [--json] [requests [bytes [connections [outstanding [back end]]]]]`.
 *
 *     client (http3/client.h)  --GET-->  server (http3/server.h)  --the file, out of its cache-->
 *
 * As bench/exchange_main.c, two endpoints in one thread (engine_pair.h), null AEAD unless told
 * otherwise.  Prints the time that the server's turns take: receiving, the HTTP/3 server, building
 * and sealing.  Under callgrind, with --collect-atstart=no and --toggle-collect=requests_server, it
 * counts instructions instead: those of one request are the difference of two runs.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/engine_pair.h"
#include "bench/engine_transport.h"
#include "http3/client.h"
#include "http3/server.h"

enum {
    FILE_MAX = 1 << 20,
    TURN_NS = 20000, /* virtual time per turn of both */
};

#define FILE_NAME "file"

static struct engine_pair *pair;
static struct engine_transport ends[2]; /* by role */
static struct mr_h3_client *client;
static uint64_t wanted = 100000;
static size_t file_size = 1024;
static uint32_t connections = 100;
static uint32_t outstanding = 16;
static uint64_t answered;

static void on_events(struct engine_side *side, const struct mr_event *events, uint32_t count)
{
    engine_transport_tell(&ends[side->role], events, count);
}

/* ------------------------------------------------------------------ the client */

static void ask(mr_h3_client_conn conn)
{
    static const struct mr_h3_request_options options = {.authority = "localhost",
                                                         .path = "/" FILE_NAME};
    mr_h3_client_request request;

    if (mr_h3_client_request_make(client, conn, &options, conn, &request) != 0)
        engine_die("a request is not taken");
}

static void on_connected(void *context, mr_h3_client_conn conn, uint64_t user)
{
    (void)context;
    (void)user;
    for (uint32_t i = 0; i < outstanding; i++)
        ask(conn);
}

static void on_closed(void *context, mr_h3_client_conn conn, uint64_t user,
                      const struct mr_h3_closed *closed)
{
    (void)context;
    (void)conn;
    (void)user;
    engine_die(closed->reason);
}

static void on_done(void *context, mr_h3_client_request request, uint64_t user,
                    const struct mr_h3_result *result)
{
    (void)context;
    (void)request;
    if (result->outcome != MR_H3_DONE || result->status != 200 || result->body_bytes != file_size)
        engine_die("not the answer that was asked for");
    answered++;
    ask(user);
}

/* ------------------------------------------------------------------ turns */

__attribute__((noinline)) uint32_t requests_server(struct mr_datagram *in, uint32_t count,
                                                   struct mr_outgoing *out);

uint32_t requests_server(struct mr_datagram *in, uint32_t count, struct mr_outgoing *out)
{
    return engine_serve(pair, in, count, out);
}

static void run(void)
{
    while (answered < wanted) {
        pair->now_ns += TURN_NS;
        engine_expire(pair);
        for (int i = 0; i < 2; i++) {
            engine_transport_run_timers(&ends[i]);
            engine_transport_run_works(&ends[i]);
        }
        engine_turn(pair, requests_server);
        engine_watch(pair, answered);
    }
}

/* ------------------------------------------------------------------ set-up */

/* A folder with the file in it; the server opens the folder, and both go when it has loaded the
 * file. */
static void make_folder(char *folder)
{
    static uint8_t bytes[FILE_MAX];
    char path[64];

    if (mkdtemp(folder) == NULL)
        engine_die("no folder can be made");
    snprintf(path, sizeof(path), "%s/" FILE_NAME, folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, file_size) != (ssize_t)file_size)
        engine_die("no file can be made");
    close(fd);
}

static void remove_folder(const char *folder)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/" FILE_NAME, folder);
    unlink(path);
    rmdir(folder);
}

static void start(enum mr_role role, const struct mr_application *application)
{
    ends[role] = (struct engine_transport){.ep = pair->side[role].ep,
                                           .now_ns = &pair->now_ns,
                                           .local = {.ip = {[15] = 1}, .port = 5000},
                                           .application = application};
    engine_transport_start(&ends[role]);
}

static void make_both(const char *folder)
{
    uint32_t requests = connections * outstanding * 2; /* some still end */
    struct mr_h3_server_config config = mr_h3_server_config_default(connections);
    struct mr_h3_client_config asking = mr_h3_client_config_default(connections, requests);
    const struct mr_h3_client_callbacks callbacks = {
        .on_connected = on_connected, .on_closed = on_closed, .on_done = on_done};
    struct mr_h3_server *server;
    struct mr_fault fault;

    config.root = folder;
    config.requests_max = MR_MAX(config.requests_max, requests);
    config.requests_per_conn_max = MR_MAX(config.requests_per_conn_max, 2 * outstanding);
    config.cache_fresh_ns = UINT64_MAX / 2;
    if (mr_h3_server_new(&config, &server, &fault) != 0 ||
        mr_h3_client_new(&asking, &callbacks, &client, &fault) != 0)
        engine_die(fault.text);
    start(MR_SERVER, mr_h3_server_application(server));
    start(MR_CLIENT, mr_h3_client_application(client));
}

static void connect_all(void)
{
    const struct mr_connect_options options = {.server_name = "localhost",
                                               .remote = {.ip = {[15] = 1}, .port = 443}};
    mr_h3_client_conn conn;

    for (uint32_t i = 0; i < connections; i++) {
        if (mr_h3_client_connect(client, &options, i, &conn) != 0)
            engine_die("the client could not connect");
    }
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/requests-XXXXXX";
    bool is_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    char **words = argv + is_json;
    int count = argc - is_json;

    if (count > 1)
        wanted = strtoull(words[1], NULL, 0);
    if (count > 2)
        file_size = strtoull(words[2], NULL, 0);
    if (count > 3)
        connections = (uint32_t)strtoul(words[3], NULL, 0);
    if (count > 4)
        outstanding = (uint32_t)strtoul(words[4], NULL, 0);
    if (file_size > FILE_MAX || connections == 0 || outstanding == 0)
        engine_die("files have at most 1 MiB, requests one connection or more");
    struct engine_options options = {.back_end = count > 5 ? words[5] : "null",
                                     .connections = connections,
                                     .streams = 2 * outstanding,
                                     .alpn = "\002h3"};

    make_folder(folder);
    pair = engine_pair_make(&options);
    pair->on_events = on_events;
    make_both(folder);
    connect_all();
    run();
    remove_folder(folder);
    printf(is_json ? "{\"bench\":\"requests\",\"requests\":%" PRIu64
                     ",\"server_ns_per_request\":%.1f,\"server_packets_sent\":%.3f,"
                     "\"client_packets_sent\":%.3f}\n"
                   : "requests %" PRIu64
                     ": server %.1f ns each, %.3f packets sent, %.3f received\n",
           answered, (double)pair->sums.server_ns / (double)answered,
           (double)pair->sums.packets[MR_SERVER] / (double)answered,
           (double)pair->sums.packets[MR_CLIENT] / (double)answered);
    return 0;
}
