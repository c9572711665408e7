/*
 * tests/dpdk/model_halves.c - one direction of a stream is ended, and the other one is looked at:
 * what millrace/socket.h does for both at once.
 *
 *     model_halves SOCKET ADDRESS PORT reset|stop
 *
 * A stream is echoed; then we reset our side, or ask the server to stop.  The server has to do the
 * same, with the same code.  Says `ok`, or `failed: why`; 0 or 1.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/transport_ring.h"

#define PATIENCE_NS UINT64_C(15000000000)
#define CODE        UINT64_C(77)

struct half {
    struct mr_transport *t;
    mr_handle conn, stream;
    bool is_reset; /* what the check is about; else stop */
    bool is_echoed;
    bool is_done;
    char failure[128];
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void fail(struct half *h, const char *what, uint64_t value)
{
    if (h->failure[0] == '\0')
        snprintf(h->failure, sizeof(h->failure), "%s: %llu", what, (unsigned long long)value);
    h->is_done = true;
}

static void say(struct half *h)
{
    const struct mr_view text = {(const uint8_t *)"echo", 4};

    (void)h->t->ops->send(h->t, h->stream, &text, 1, MR_SEND_COPY);
}

static void begin(struct half *h)
{
    if (h->t->ops->open(h->t, h->conn, MR_OPEN_BIDI, 0, &h->stream) != 0)
        fail(h, "no stream may be opened", 0);
    say(h);
}

static void on_readable(struct half *h)
{
    struct mr_view views[4];
    bool is_end;
    int64_t count = h->t->ops->receive(h->t, h->stream, views, 4, &is_end);
    size_t size = 0;

    for (int64_t i = 0; i < count; i++)
        size += views[i].size;
    if (size == 0)
        return;
    (void)h->t->ops->release(h->t, h->stream, size);
    if (!h->is_echoed && h->is_reset)
        (void)h->t->ops->reset(h->t, h->stream, CODE);
    else if (!h->is_echoed)
        (void)h->t->ops->stop(h->t, h->stream, CODE);
    h->is_echoed = true;
}

static void on_event(struct half *h, const struct mr_event *event)
{
    uint32_t answer = h->is_reset ? MR_EVENT_RESET : MR_EVENT_STOPPED;

    if (event->stream == MR_HANDLE_NONE && (event->kinds & MR_EVENT_CONNECTED) != 0)
        begin(h);
    if (event->stream == MR_HANDLE_NONE && (event->kinds & MR_EVENT_CLOSED) != 0)
        fail(h, "the connection is over, code", event->error);
    if (event->stream != h->stream || event->stream == MR_HANDLE_NONE)
        return;
    if ((event->kinds & MR_EVENT_READABLE) != 0)
        on_readable(h);
    if ((event->kinds & answer) != 0) {
        h->is_done = true;
        if (event->error != CODE)
            fail(h, "another code", event->error);
    } else if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        fail(h, "the stream ended in another way", event->kinds);
    }
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct half *h = context;

    for (size_t i = 0; i < count && !h->is_done; i++)
        on_event(h, &events[i]);
}

/* A server notices that it is to stop when it sends, at the latest: give it something. */
static void run(struct half *h, struct mr_attachment *attachment, struct mr_ring_transport *t)
{
    for (uint64_t end = now_ns() + PATIENCE_NS; !h->is_done;) {
        if (now_ns() > end)
            fail(h, h->is_echoed ? "no answer to it" : "no echo", 0);
        if (h->is_echoed && !h->is_reset)
            say(h);
        if (mr_ring_transport_poll(t) == 0)
            (void)mr_attach_wait(attachment, UINT64_C(10000000));
    }
}

int main(int argc, char **argv)
{
    struct half h = {.is_reset = argc == 5 && strcmp(argv[4], "reset") == 0};
    struct mr_application application = {.context = &h, .on_events = on_events};
    struct mr_ring_transport_config config = mr_ring_transport_config_default();
    struct mr_connect_options options = {
        .server_name = "localhost", .alpn = (const uint8_t *)"\004echo", .alpn_size = 5};
    struct mr_attachment *attachment;
    struct mr_error error;

    if (argc != 5)
        return 2;
    options.remote.ip[10] = options.remote.ip[11] = 0xff;
    options.remote.port = (uint16_t)atoi(argv[3]);
    if (inet_pton(AF_INET, argv[2], &options.remote.ip[12]) != 1)
        return 2;
    if (mr_attach(&(struct mr_attach_config){.control = argv[1], .name = "driver"}, &attachment,
                  &error) != 0) {
        printf("failed: %s\n", error.text);
        return 1;
    }
    struct mr_ring_transport *t = mr_ring_transport_new(attachment, &config, &application);
    h.t = t == NULL ? NULL : mr_ring_transport_transport(t);
    if (h.t == NULL || h.t->ops->connect(h.t, &options, &h.conn) != 0)
        fail(&h, "no connection can be made", 0);
    run(&h, attachment, t);
    mr_ring_transport_free(t);
    mr_detach(attachment);
    printf(h.failure[0] == '\0' ? "ok\n" : "failed: %s\n", h.failure);
    return h.failure[0] == '\0' ? 0 : 1;
}
