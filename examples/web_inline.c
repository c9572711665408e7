/*
 * examples/web_inline.c - HTTP/3 (web.h) in the model "inline": a folder, served on the datapath's
 * own cores.
 *
 *     millrace host --port loopback --control /tmp/mr.sock \
 *                   --inline name=web,object=./web_inline.so,argument=FOLDER \
 *                   --listener name=web,alpn=h3,port=4433,application=web &
 *     web_events /tmp/mr.sock get https://198.18.0.1:4433/
 *
 * A shared object, which the datapath loads: one instance for each of its polling threads, each
 * with a server of its own.  The server is an application of millrace/transport.h, as it is in the
 * other models; here the transport is the shard itself:
 *
 *     shard --events--> server --work--> helper threads of the datapath: open, read
 *       ^                 |                           |
 *       +---- answers ----+<------- WORK_DONE --------+
 *
 * What runs on the core is decoding a request and pointing at bytes of the cache or of a buffer,
 * from which packets are sealed in place.  Memory is taken once, here in start(); what waits for a
 * disk never waits on the core.  There is no fetcher: who fetches has a command line, and with it a
 * process of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <millrace/http3.h>
#include <millrace/inline.h>

/* Of each polling thread.  When they are used up the next connection is closed. */
#define CONNECTIONS_MAX 1000

/* The polling thread has returned: no event comes any more, no file is open. */
static void stop(struct mr_inline *instance)
{
    mr_http3_server_free(instance->context);
}

/* On the control thread: here, and only here, memory is taken and a folder opened. */
static int start(struct mr_inline *instance, const char *argument, struct mr_error *error)
{
    const struct mr_http3_server_config config = {
        .root = argument, .has_listings = true, .connections_max = CONNECTIONS_MAX};
    struct mr_http3_server *server;

    if (argument[0] == '\0') {
        snprintf(error->text, sizeof(error->text),
                 "web has no folder to serve; name one: argument=FOLDER");
        return -EINVAL;
    }
    int result = mr_http3_server_new(&config, &server, error);
    if (result != 0)
        return result;
    instance->context = server;
    /* Who is told of events on the shard: the server itself, with nothing between. */
    instance->application = mr_http3_server_application(server);
    return 0;
}

const struct mr_inline_application mr_inline = {
    .version = MR_INLINE_VERSION, .name = "web", .start = start, .stop = stop};
