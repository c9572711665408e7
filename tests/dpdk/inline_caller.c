/*
 * tests/dpdk/inline_caller.c - an inline application, written directly against
 * millrace/transport.h, that calls an echo again and again, and counts.
 *
 *     --inline name=caller,object=inline_caller.so,argument=4433      UDP port of the echo; 0: it
 * calls nobody
 *
 * One connection at a time, one message on it.  It takes connections, too, and does nothing with
 * them.  When it is stopped it prints, for each instance,
 *
 *     caller on shard 0: 12 echoed, 0 wrong, 0 accepted, codes 0 0
 *
 * the codes being the last with which a connection that it opened, or one that it accepted, was
 * closed by somebody else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "millrace/inline.h"

enum {
    MESSAGE = 1000,
    AGAIN = 1, /* a timer */
    OURS = 2,  /* user data of what we opened */
};

struct caller {
    struct mr_application application;
    struct mr_transport *transport;
    uint16_t port;
    mr_handle conn;
    uint8_t message[MESSAGE];
    size_t received;
    uint32_t echoed;
    uint32_t wrong;
    uint32_t accepted;
    uint64_t codes[2]; /* of opened, of accepted ones */
    bool is_ending;
};

static void call_again(struct caller *c)
{
    struct mr_connect_options options = {.remote.port = c->port,
                                         .remote.ip = {[10] = 0xff, 0xff, 198, 18, 0, 1},
                                         .server_name = "localhost",
                                         .alpn = (const uint8_t *)"\004echo",
                                         .alpn_size = 5,
                                         .user_data = OURS};

    if (c->is_ending || c->port == 0 || c->conn != MR_HANDLE_NONE)
        return;
    if (c->transport->ops->connect(c->transport, &options, &c->conn) != 0) {
        c->conn = MR_HANDLE_NONE;
        (void)c->transport->ops->timer(c->transport, 1000000, AGAIN);
    }
}

static void say(struct caller *c)
{
    struct mr_view view = {c->message, MESSAGE};
    mr_handle stream;

    c->received = 0;
    for (size_t i = 0; i < MESSAGE; i++)
        c->message[i] = (uint8_t)(i * 31 + c->echoed);
    if (c->transport->ops->open(c->transport, c->conn, MR_OPEN_BIDI, OURS, &stream) != 0 ||
        c->transport->ops->send(c->transport, stream, &view, 1, MR_SEND_COPY | MR_SEND_FIN) != 0)
        c->wrong++;
}

static void hear(struct caller *c, mr_handle stream)
{
    struct mr_view views[8];
    bool fin = false;
    int64_t count = c->transport->ops->receive(c->transport, stream, views, 8, &fin);
    size_t size = 0;

    for (int64_t i = 0; i < count; i++) {
        if (c->received + size + views[i].size > MESSAGE ||
            memcmp(views[i].data, c->message + c->received + size, views[i].size) != 0)
            c->wrong++;
        size += views[i].size;
    }
    if (count < 0)
        return;
    (void)c->transport->ops->release(c->transport, stream, size);
    c->received += size;
    if (!fin)
        return;
    c->wrong += c->received != MESSAGE;
    c->echoed++;
    (void)c->transport->ops->close(c->transport, c->conn, 0, "");
}

static void on_event(struct caller *c, const struct mr_event *event)
{
    bool is_ours = event->user_data == OURS;
    bool is_conn = event->stream == MR_HANDLE_NONE && event->conn != MR_HANDLE_NONE;

    if ((event->kinds & MR_EVENT_TIMER) != 0)
        call_again(c);
    c->is_ending |= (event->kinds & MR_EVENT_GO_AWAY) != 0;
    if (is_conn && (event->kinds & MR_EVENT_CONNECTED) != 0) {
        if (is_ours)
            say(c);
        else
            c->accepted++;
    }
    if (!is_conn && is_ours && (event->kinds & MR_EVENT_READABLE) != 0)
        hear(c, event->stream);
    if (is_conn && (event->kinds & MR_EVENT_CLOSED) != 0) {
        if (event->is_application && event->is_remote)
            c->codes[!is_ours] = event->error;
        if (is_ours) {
            c->conn = MR_HANDLE_NONE;
            (void)c->transport->ops->timer(c->transport, 1000000, AGAIN);
        }
    }
}

/* ------------------------------------------------------------------ what the datapath calls */

static void on_start(void *context, struct mr_transport *transport)
{
    struct caller *c = context;

    c->transport = transport;
    (void)transport->ops->timer(transport, 1000000, AGAIN);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        on_event(context, &events[i]);
}

static int start(struct mr_inline *instance, const char *argument, struct mr_error *error)
{
    struct caller *c = calloc(1, sizeof(*c));

    (void)error;
    if (c == NULL)
        return -ENOMEM;
    c->port = (uint16_t)atoi(argument);
    c->application = (struct mr_application){
        .name = "caller", .context = c, .on_start = on_start, .on_events = on_events};
    instance->context = c;
    instance->application = &c->application;
    return 0;
}

static void stop(struct mr_inline *instance)
{
    struct caller *c = instance->context;

    printf("caller on shard %u: %u echoed, %u wrong, %u accepted, codes %llu %llu\n",
           instance->shard, c->echoed, c->wrong, c->accepted, (unsigned long long)c->codes[0],
           (unsigned long long)c->codes[1]);
    fflush(stdout);
    free(c);
}

const struct mr_inline_application mr_inline = {
    .version = MR_INLINE_VERSION, .name = "caller", .start = start, .stop = stop};
