/* tests/netns/storm_client.c - see storm_client.h. */
#include "tests/netns/storm_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/tls_context.h"

#define KEPT_OF_HANDSHAKE 6 /* datagrams */
#define KEPT_OF_REQUEST   2
#define BUFFERS           512
#define CONNECTIONS       16 /* closing ones linger */
#define ASK_EVERY         (20 * MR_MS)
#define LIFE_NS           (1 * MR_SECOND) /* of a connection; then it is closed and another made */
#define PATIENCE_NS       (9 * MR_SECOND) /* for an answer */
#define CLOSE_CODE        0x100           /* H3_NO_ERROR */

struct buffer {
    struct mr_buf buf;
    uint8_t bytes[STORM_DATAGRAM];
};

struct storm_client {
    int socket;
    struct mr_path_addr path;
    struct storm_samples *samples;
    struct mr_aead *aead;
    struct mr_tls_context tls;
    struct mr_endpoint *ep;
    void *memory;
    uint8_t key[32];
    struct buffer buffers[BUFFERS];
    struct buffer *free[BUFFERS];
    uint32_t free_count;
    mr_handle conn; /* NONE: none */
    bool is_connected;
    uint64_t born_ns;
    mr_handle stream; /* the answer that is awaited */
    uint64_t asked_ns;
    uint64_t received; /* bytes of it */
    uint32_t to_keep;  /* of the datagrams that are sent next: what we want, not what the storm
                          provokes */
    struct storm_counts counts;
};

static void fail(struct storm_client *c, const char *what, const char *reason)
{
    c->counts.failures++;
    if (c->counts.failure[0] == '\0')
        snprintf(c->counts.failure, sizeof(c->counts.failure), "%s: %.80s", what, reason);
}

/* ------------------------------------------------------------------ datagrams */

static void receive(struct storm_client *c, uint64_t now)
{
    struct mr_datagram datagrams[MR_BURST];
    uint32_t count = 0;

    while (count < MR_BURST && c->free_count > 0) {
        struct buffer *b = c->free[c->free_count - 1];
        ssize_t size = recv(c->socket, b->bytes, sizeof(b->bytes), MSG_DONTWAIT);

        if (size < 0)
            break;
        c->free_count--;
        b->buf = (struct mr_buf){.next = NULL};
        datagrams[count++] = (struct mr_datagram){.data = b->bytes,
                                                  .buf = &b->buf,
                                                  .size = (uint32_t)size,
                                                  .redirect = MR_STAY,
                                                  .path = c->path};
    }
    if (count > 0)
        mr_endpoint_receive(c->ep, datagrams, count, now);
    for (struct mr_buf *buf = mr_endpoint_take_released(c->ep); buf != NULL;) {
        struct mr_buf *next = buf->next;

        c->free[c->free_count++] = MR_CONTAINER_OF(buf, struct buffer, buf);
        buf = next;
    }
}

static void keep(struct storm_samples *samples, const struct mr_outgoing *out)
{
    struct storm_sample *sample = &samples->sample[samples->count++ % STORM_SAMPLES];

    sample->size = out->size;
    memcpy(sample->bytes, out->data, out->size);
}

static void transmit(struct storm_client *c, uint64_t now)
{
    static uint8_t bytes[MR_BURST][STORM_DATAGRAM];
    struct mr_outgoing out[MR_BURST];

    for (uint32_t i = 0; i < MR_BURST; i++)
        out[i] = (struct mr_outgoing){.data = bytes[i], .room = STORM_DATAGRAM};
    uint32_t count = mr_endpoint_send(c->ep, out, MR_BURST, now);
    for (uint32_t i = 0; i < count; i++) {
        if (c->to_keep > 0) {
            keep(c->samples, &out[i]);
            c->to_keep--;
        }
        ssize_t sent = send(c->socket, out[i].data, out[i].size, MSG_DONTWAIT);
        (void)sent; /* lost on the way, like any other */
    }
}

/* ------------------------------------------------------------------ HTTP/3, as little as there is
 */

static void send_bytes(struct storm_client *c, mr_handle stream, const void *bytes, size_t size,
                       uint32_t flags)
{
    struct mr_view view = {.data = bytes, .size = size};

    if (mr_stream_send(c->ep, stream, &view, 1, MR_SEND_COPY | flags) != 0)
        fail(c, "send", "refused");
}

/* Our control stream: its type, and SETTINGS without any. */
static void open_control(struct storm_client *c)
{
    static const uint8_t settings[] = {0x00, 0x04, 0x00};
    mr_handle stream;

    if (mr_stream_open(c->ep, c->conn, MR_OPEN_UNI, 0, &stream) == 0)
        send_bytes(c, stream, settings, sizeof(settings), 0);
}

/* HEADERS: GET, https, "/", authority "a", out of QPACK's static table. */
static void ask(struct storm_client *c, uint64_t now)
{
    static const uint8_t request[] = {0x01, 0x08, 0x00, 0x00, 0xd1, 0xd7, 0xc1, 0x50, 0x01, 'a'};

    if (mr_stream_open(c->ep, c->conn, MR_OPEN_BIDI, 0, &c->stream) != 0) {
        c->stream = MR_HANDLE_NONE;
        return;
    }
    send_bytes(c, c->stream, request, sizeof(request), MR_SEND_FIN);
    c->asked_ns = now;
    c->received = 0;
    c->to_keep = KEPT_OF_REQUEST;
}

static void take_answer(struct storm_client *c)
{
    struct mr_view views[16];
    bool fin = false;
    int64_t n;

    while ((n = mr_stream_receive(c->ep, c->stream, views, MR_COUNT_OF(views), &fin)) >= 0) {
        size_t size = 0;

        for (int64_t i = 0; i < n; i++)
            size += views[i].size;
        c->received += size;
        mr_stream_release(c->ep, c->stream, size);
        if (fin || n == 0)
            break;
    }
    if (!fin)
        return;
    if (c->received > 0)
        c->counts.answers++;
    else
        fail(c, "answer", "empty");
    c->stream = MR_HANDLE_NONE;
}

/* ------------------------------------------------------------------ events */

static void on_conn_event(struct storm_client *c, const struct mr_event *event)
{
    if (event->conn != c->conn)
        return;
    if ((event->kinds & MR_EVENT_CONNECTED) != 0) {
        c->is_connected = true;
        c->counts.connections++;
        open_control(c);
    }
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        fail(c, c->is_connected ? "connection" : "handshake", event->reason);
        c->conn = MR_HANDLE_NONE;
        c->stream = MR_HANDLE_NONE;
    }
}

static void take_events(struct storm_client *c)
{
    struct mr_event events[32];
    uint32_t count;

    while ((count = mr_endpoint_events(c->ep, events, MR_COUNT_OF(events))) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            if (events[i].stream == MR_HANDLE_NONE)
                on_conn_event(c, &events[i]);
            else if (events[i].stream == c->stream && (events[i].kinds & MR_EVENT_READABLE) != 0)
                take_answer(c);
        }
    }
}

static void run_jobs(struct storm_client *c, uint64_t now)
{
    struct mr_tls_job *job;

    while (mr_endpoint_take_jobs(c->ep, &job, 1) == 1) {
        mr_tls_job_run(job);
        mr_endpoint_complete_job(c->ep, job, now);
    }
}

/* ------------------------------------------------------------------ what it wants */

static void connect_now(struct storm_client *c, uint64_t now)
{
    struct mr_connect_options options = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\002h3",
                                         .alpn_size = 3,
                                         .is_insecure = true};

    memcpy(options.remote.ip, c->path.remote.ip, sizeof(options.remote.ip));
    options.remote.port = c->path.remote.port;
    c->is_connected = false;
    c->born_ns = now;
    c->to_keep = KEPT_OF_HANDSHAKE;
    if (mr_conn_connect(c->ep, &options, &c->path.local, now, &c->conn) != 0)
        c->conn = MR_HANDLE_NONE; /* the last ones are not quite gone: later */
}

static void want(struct storm_client *c, uint64_t now)
{
    bool is_waiting = c->stream != MR_HANDLE_NONE;

    if (c->conn == MR_HANDLE_NONE) {
        connect_now(c, now);
    } else if (is_waiting && now - c->asked_ns > PATIENCE_NS) {
        fail(c, "answer", "too late");
        c->stream = MR_HANDLE_NONE;
    } else if (c->is_connected && !is_waiting && now - c->born_ns > LIFE_NS) {
        mr_conn_close(c->ep, c->conn, CLOSE_CODE, "", now);
        c->conn = MR_HANDLE_NONE;
    } else if (c->is_connected && !is_waiting && now - c->asked_ns > ASK_EVERY) {
        ask(c, now);
    }
}

void storm_client_run(struct storm_client *c, uint64_t now)
{
    receive(c, now);
    run_jobs(c, now);
    if (mr_endpoint_deadline(c->ep) <= now)
        mr_endpoint_expire(c->ep, now);
    take_events(c);
    want(c, now);
    transmit(c, now);
}

/* ------------------------------------------------------------------ life */

static bool open_socket(struct storm_client *c, const char *server, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in from;
    socklen_t size = sizeof(from);

    c->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (c->socket < 0 || inet_pton(AF_INET, server, &to.sin_addr) != 1 ||
        connect(c->socket, (const struct sockaddr *)&to, sizeof(to)) != 0 ||
        getsockname(c->socket, (struct sockaddr *)&from, &size) != 0)
        return false;
    memcpy(c->path.remote.ip + 12, &to.sin_addr, 4);
    memcpy(c->path.local.ip + 12, &from.sin_addr, 4);
    memset(c->path.remote.ip + 10, 0xff, 2);
    memset(c->path.local.ip + 10, 0xff, 2);
    c->path.remote.port = port;
    c->path.local.port = ntohs(from.sin_port);
    return true;
}

static bool make_endpoint(struct storm_client *c)
{
    struct mr_limits limits = mr_limits_for(CONNECTIONS);
    struct mr_fault fault = {0};
    struct mr_endpoint_config config = {.client = &c->tls,
                                        .static_key = c->key,
                                        .cc = MR_CC_CUBIC,
                                        .payload_max = 1452,
                                        .retry_above = 1000,
                                        .idle_timeout_ns = 30 * MR_SECOND,
                                        .stream_window_max = 1 << 20,
                                        .conn_window_max = 1 << 21,
                                        .streams_uni_max = 8};

    if (getrandom(c->key, sizeof(c->key), 0) < 0 ||
        getrandom(config.seed, sizeof(config.seed), 0) < 0)
        return false;
    c->aead = mr_aead_open(MR_AEAD_AUTO);
    config.aead = c->aead;
    if (mr_tls_context_client(&c->tls, &(struct mr_tls_client_config){.is_insecure = true},
                              &fault) != 0)
        return false;
    c->memory = aligned_alloc(4096, (mr_endpoint_footprint(&limits) + 4095) & ~(size_t)4095);
    c->ep = c->memory == NULL ? NULL : mr_endpoint_init(c->memory, &limits, &config, 1);
    return c->ep != NULL;
}

struct storm_client *storm_client_make(const char *server, uint16_t port,
                                       struct storm_samples *samples)
{
    struct storm_client *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->samples = samples;
    for (uint32_t i = 0; i < BUFFERS; i++)
        c->free[c->free_count++] = &c->buffers[i];
    if (open_socket(c, server, port) && make_endpoint(c))
        return c;
    storm_client_free(c);
    return NULL;
}

void storm_client_free(struct storm_client *c)
{
    if (c == NULL)
        return;
    if (c->ep != NULL)
        mr_endpoint_fini(c->ep);
    if (c->tls.ssl_ctx != NULL)
        mr_tls_context_free(&c->tls);
    if (c->aead != NULL)
        mr_aead_close(c->aead);
    if (c->socket >= 0)
        close(c->socket);
    free(c->memory);
    free(c);
}

int storm_client_socket(const struct storm_client *c)
{
    return c->socket;
}

const struct storm_counts *storm_client_counts(const struct storm_client *c)
{
    return &c->counts;
}
