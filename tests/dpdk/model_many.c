/*
 * tests/dpdk/model_many.c - very many connections to an echo, all open together.
 *
 *     model_many SOCKET ADDRESS PORT COUNT
 *
 *     connect, ask, hear the answer --until all have--> ask again, one after the other; end
 *
 * A connection has one stream.  The first one brings a ticket, with which the others resume: full
 * handshakes are what a core does least of.  Prints `COUNT connections in S s, N of them resumed;
 * answers with all open: P50 us, P99 us`, or `failed: why`; 0 or 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/transport_ring.h"

#define PATIENCE_NS UINT64_C(60000000000)

enum {
    AT_ONCE = 64, /* handshakes; and questions, once all are there */
    TICKET_MAX = 4096
};

struct one {
    mr_handle conn, stream;
    uint64_t asked_at;
    uint32_t answers;
    bool is_over;
};

static struct mr_transport *transport;
static struct mr_connect_options options = {
    .server_name = "localhost", .alpn = (const uint8_t *)"\004echo", .alpn_size = 5};
static uint8_t ticket[TICKET_MAX];
static struct one *all;
static uint32_t count, started, answered, asked_again, answered_again, over, resumed;
static uint64_t *times; /* ns of the second answers */
static char failure[128];

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (failure[0] == '\0')
        vsnprintf(failure, sizeof(failure), format, arguments);
    va_end(arguments);
}

static void ask(struct one *o, uint32_t flags)
{
    uint64_t question = (uint64_t)(o - all) * 2654435761u;
    struct mr_view view = {(const uint8_t *)&question, sizeof(question)};

    o->asked_at = now_ns();
    int error = transport->ops->send(transport, o->stream, &view, 1, MR_SEND_COPY | flags);
    if (error != 0)
        fail("connection %zu: send: %s", (size_t)(o - all), strerror(-error));
}

/* Begin connections, and the second round, as far as is due. */
static void go_on(void)
{
    uint32_t limit = options.ticket == NULL ? 1 : count;

    while (started < limit && started - answered < AT_ONCE && failure[0] == '\0') {
        options.user_data = started + 1;
        int error = transport->ops->connect(transport, &options, &all[started].conn);
        if (error == -EAGAIN)
            break;
        if (error != 0)
            fail("connection %u: %s", started, strerror(-error));
        started++;
    }
    while (answered == count && asked_again < count && asked_again - answered_again < AT_ONCE)
        ask(&all[asked_again++], MR_SEND_FIN);
}

static void on_connected(struct one *o)
{
    struct mr_conn_info info;

    if (transport->ops->conn_info(transport, o->conn, &info) == 0)
        resumed += info.is_resumed;
    int error =
        transport->ops->open(transport, o->conn, MR_OPEN_BIDI, (uint64_t)(o - all) + 1, &o->stream);
    if (error != 0)
        fail("connection %zu: open: %s", (size_t)(o - all), strerror(-error));
    else
        ask(o, 0);
}

static void on_readable(struct one *o)
{
    uint64_t question = (uint64_t)(o - all) * 2654435761u;
    struct mr_view views[2];
    bool is_end;
    int64_t n = transport->ops->receive(transport, o->stream, views, 2, &is_end);

    if (n == 1 && views[0].size == sizeof(question)) {
        if (memcmp(views[0].data, &question, sizeof(question)) != 0)
            fail("connection %zu has another's answer", (size_t)(o - all));
        if (o->answers++ == 0) {
            answered++;
        } else {
            times[answered_again++] = now_ns() - o->asked_at;
        }
        (void)transport->ops->release(transport, o->stream, sizeof(question));
    } else if (n > 0) {
        fail("connection %zu has %lld views of %zu bytes", (size_t)(o - all), (long long)n,
             views[0].size);
    }
    if (is_end)
        (void)transport->ops->close(transport, o->conn, 0, "");
}

static void on_event(const struct mr_event *event)
{
    struct one *o = &all[event->user_data - 1];
    bool is_conn = event->stream == MR_HANDLE_NONE;

    if (event->user_data == 0 || event->user_data > count)
        return;
    if (is_conn && (event->kinds & MR_EVENT_TICKET) != 0 && options.ticket == NULL) {
        int64_t size = transport->ops->ticket(transport, o->conn, ticket, sizeof(ticket));

        options.ticket = size > 0 ? ticket : NULL;
        options.ticket_size = size > 0 ? (size_t)size : 0;
    }
    if (is_conn && (event->kinds & MR_EVENT_CONNECTED) != 0)
        on_connected(o);
    if (!is_conn && (event->kinds & MR_EVENT_READABLE) != 0)
        on_readable(o);
    if (is_conn && (event->kinds & MR_EVENT_CLOSED) != 0) {
        if (o->answers < 2)
            fail("connection %zu is over after %u answers: %s, code %llu", (size_t)(o - all),
                 o->answers, event->reason, (unsigned long long)event->error);
        over++;
    }
}

static void on_events(void *context, const struct mr_event *events, size_t events_count)
{
    (void)context;
    for (size_t i = 0; i < events_count; i++)
        on_event(&events[i]);
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return (*x > *y) - (*x < *y);
}

static void run(struct mr_attachment *attachment, struct mr_ring_transport *t)
{
    uint64_t begin = now_ns(), connected = 0;

    while (over < count && failure[0] == '\0') {
        go_on();
        if (mr_ring_transport_poll(t) == 0)
            (void)mr_attach_wait(attachment, UINT64_C(100000000));
        if (connected == 0 && answered == count)
            connected = now_ns();
        if (now_ns() - begin > PATIENCE_NS)
            fail("%u of %u connections after %llu s, %u answered again", answered, count,
                 (unsigned long long)(PATIENCE_NS / UINT64_C(1000000000)), answered_again);
    }
    if (failure[0] != '\0')
        return;
    qsort(times, count, sizeof(times[0]), compare);
    printf(
        "%u connections in %.1f s, %u of them resumed; answers with all open: %.0f us, %.0f us\n",
        count, (double)(connected - begin) / 1e9, resumed, (double)times[count / 2] / 1e3,
        (double)times[(uint64_t)count * 99 / 100] / 1e3);
}

int main(int argc, char **argv)
{
    struct mr_application application = {.on_events = on_events};
    struct mr_ring_transport_config config = mr_ring_transport_config_default();
    struct mr_attachment *attachment;
    struct mr_error error;

    if (argc != 5)
        return 2;
    options.remote.ip[10] = options.remote.ip[11] = 0xff;
    options.remote.port = (uint16_t)atoi(argv[3]);
    count = (uint32_t)atoi(argv[4]);
    if (inet_pton(AF_INET, argv[2], &options.remote.ip[12]) != 1 || count == 0)
        return 2;
    if (mr_attach(&(struct mr_attach_config){.control = argv[1], .name = "many"}, &attachment,
                  &error) != 0) {
        printf("failed: %s\n", error.text);
        return 1;
    }
    all = calloc(count, sizeof(*all));
    times = calloc(count, sizeof(*times));
    struct mr_ring_transport *t = mr_ring_transport_new(attachment, &config, &application);
    if (t == NULL || all == NULL || times == NULL)
        return 1;
    transport = mr_ring_transport_transport(t);
    run(attachment, t);
    mr_ring_transport_free(t);
    mr_detach(attachment);
    free(all);
    free(times);
    if (failure[0] != '\0')
        printf("failed: %s\n", failure);
    return failure[0] == '\0' ? 0 : 1;
}
