/*
 * tests/vm/card_client.c - QUIC clients on the kernel's UDP sockets, each connection from a port of
 * its own: so RSS spreads them.  Each has one stream to an echo, and compares every byte.
 *
 *     card_client ADDRESS PORT COUNT       COUNT connections, from ports that RSS can spread
 *
 * Prints "connected" when all are.  A line for each half of a second: bytes that came back
 * right, and those of the connection with the fewest.  SIGTERM ends the streams; then "done BYTES",
 * or "failed: why" as soon as a byte is wrong or a connection ends.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/tls_context.h"
#include "quic/endpoint.h"

enum {
    CONNECTIONS = 256,
    FIRST = 20000, /* local UDP port of the first connection */
    STEP = 977,    /* to the next: ports that differ in a few bits only need not spread */
    PORTS = 40000, /* round and round */
    DATAGRAM = 1500,
    BUFFERS = 4096,
    PIECE = 1000,   /* bytes sent at a time */
    AHEAD = 4,      /* pieces that may be on their way */
    PATTERN = 4093, /* no multiple of PIECE */
    HANDSHAKES = 8  /* at a time */
};

#define PIECE_EVERY (100 * MR_MS) /* of a connection */
#define TELL_EVERY  (500 * MR_MS)
#define PATIENCE    (60 * MR_SECOND) /* for handshakes, and for the end */

struct buffer {
    struct mr_buf buf;
    uint8_t bytes[DATAGRAM];
};

struct connection {
    int socket;
    mr_handle conn;
    mr_handle stream;
    uint64_t sent;
    uint64_t received;
    uint64_t told;
    uint64_t due_ns; /* the next piece */
    bool is_begun;
    bool is_connected;
    bool is_fin;  /* sent */
    bool is_over; /* all came back */
};

static struct client {
    struct mr_addr server;
    struct mr_addr local; /* without port */
    uint32_t count;
    uint32_t connected;
    uint32_t in_handshake;
    uint32_t over;
    struct connection connections[CONNECTIONS];
    struct pollfd fds[CONNECTIONS];
    struct mr_tls_context tls;
    struct mr_endpoint *ep;
    struct buffer buffers[BUFFERS];
    struct buffer *free[BUFFERS];
    uint32_t free_count;
    uint64_t begun_ns;
    uint64_t end_ns; /* told to end; 0: not yet */
    uint64_t told_ns;
    char failure[160];
    uint8_t pattern[PATTERN + PIECE];
    uint16_t index[65536]; /* of the connection from a port */
} client;

static atomic_bool is_told_to_end;

static void on_sigterm(int number)
{
    (void)number;
    atomic_store_explicit(&is_told_to_end, true,
                          memory_order_relaxed); /* read by the next tell() */
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * MR_SECOND + (uint64_t)t.tv_nsec;
}

static uint16_t port_of(uint32_t index)
{
    return (uint16_t)(FIRST + index * STEP % PORTS);
}

static void fail(const struct connection *c, const char *what)
{
    if (client.failure[0] == '\0')
        snprintf(client.failure, sizeof(client.failure), "connection from port %u: %.100s",
                 port_of((uint32_t)(c - client.connections)), what);
}

/* ---- datagrams ---- */

static struct mr_addr local_of(uint32_t index)
{
    struct mr_addr local = client.local;

    local.port = port_of(index);
    return local;
}

static uint32_t receive_from(uint32_t index, struct mr_datagram *datagrams, uint32_t room)
{
    const struct mr_path_addr path = {.local = local_of(index), .remote = client.server};
    uint32_t count = 0;

    while (count < room && client.free_count > 0) {
        struct buffer *b = client.free[client.free_count - 1];
        ssize_t size = recv(client.connections[index].socket, b->bytes, sizeof(b->bytes), 0);

        if (size < 0)
            break;
        client.free_count--;
        b->buf = (struct mr_buf){.next = NULL};
        datagrams[count++] = (struct mr_datagram){.data = b->bytes,
                                                  .buf = &b->buf,
                                                  .size = (uint32_t)size,
                                                  .redirect = MR_STAY,
                                                  .path = path};
    }
    return count;
}

static void take_back_buffers(void)
{
    for (struct mr_buf *buf = mr_endpoint_take_released(client.ep); buf != NULL;) {
        struct mr_buf *next = buf->next;

        client.free[client.free_count++] = MR_CONTAINER_OF(buf, struct buffer, buf);
        buf = next;
    }
}

static void receive(uint64_t now)
{
    struct mr_datagram datagrams[MR_BURST];

    if (poll(client.fds, client.count, 1) <= 0)
        return;
    for (uint32_t i = 0; i < client.count; i++) {
        uint32_t count = 0;

        if ((client.fds[i].revents & POLLIN) != 0)
            count = receive_from(i, datagrams, MR_BURST);
        if (count > 0)
            mr_endpoint_receive(client.ep, datagrams, count, now);
        take_back_buffers();
    }
}

static void transmit(uint64_t now)
{
    static uint8_t bytes[MR_BURST][DATAGRAM];
    struct mr_outgoing out[MR_BURST];
    uint32_t count;

    do {
        for (uint32_t i = 0; i < MR_BURST; i++)
            out[i] = (struct mr_outgoing){.data = bytes[i], .room = DATAGRAM};
        count = mr_endpoint_send(client.ep, out, MR_BURST, now);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t index = client.index[out[i].path.local.port];
            ssize_t sent = send(client.connections[index].socket, out[i].data, out[i].size, 0);
            (void)sent; /* lost on the way, like any other */
        }
    } while (count == MR_BURST);
}

/* ---- streams ---- */

static void send_piece(struct connection *c, uint64_t now)
{
    struct mr_view view = {client.pattern + c->sent % PATTERN, PIECE};
    bool is_last = client.end_ns > 0;

    if (c->is_fin || now < c->due_ns || c->sent - c->received > AHEAD * PIECE)
        return;
    if (mr_stream_send(client.ep, c->stream, &view, 1,
                       MR_SEND_COPY | (is_last ? MR_SEND_FIN : 0)) != 0)
        return; /* later */
    c->sent += PIECE;
    c->is_fin = is_last;
    c->due_ns = MR_MAX(c->due_ns + PIECE_EVERY, now);
}

static void compare(struct connection *c, const struct mr_view *view)
{
    for (size_t i = 0; i < view->size; i++)
        if (view->data[i] != client.pattern[(c->received + i) % PATTERN])
            fail(c, "a byte came back wrong");
    c->received += view->size;
}

static void take_echo(struct connection *c)
{
    struct mr_view views[16];
    bool is_end = false;
    int64_t count;

    do {
        count = mr_stream_receive(client.ep, c->stream, views, MR_COUNT_OF(views), &is_end);
        for (int64_t i = 0; i < count; i++)
            compare(c, &views[i]);
        if (count > 0)
            mr_stream_release(client.ep, c->stream, mr_views_size(views, (size_t)count));
    } while (count > 0);
    if (!is_end)
        return;
    if (!c->is_fin || c->received != c->sent)
        fail(c, "its stream came back short");
    client.over += !c->is_over;
    c->is_over = true;
}

/* ---- events ---- */

static void begin_stream(struct connection *c, uint64_t now)
{
    c->is_connected = true;
    c->due_ns = now;
    client.connected++;
    client.in_handshake--;
    if (mr_stream_open(client.ep, c->conn, MR_OPEN_BIDI, 0, &c->stream) != 0)
        fail(c, "no stream can be opened");
    if (client.connected == client.count)
        puts("connected");
    fflush(stdout);
}

static void on_event(const struct mr_event *event, uint64_t now)
{
    struct connection *c = client.connections;

    while (c < client.connections + client.count && c->conn != event->conn)
        c++;
    if (c == client.connections + client.count)
        return;
    if (event->stream != MR_HANDLE_NONE && (event->kinds & MR_EVENT_READABLE) != 0)
        take_echo(c);
    if (event->stream != MR_HANDLE_NONE)
        return;
    if ((event->kinds & MR_EVENT_CONNECTED) != 0)
        begin_stream(c, now);
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        fail(c, event->reason[0] != '\0' ? event->reason : "it ended");
}

static void take_events(uint64_t now)
{
    struct mr_event events[32];
    uint32_t count;

    while ((count = mr_endpoint_events(client.ep, events, MR_COUNT_OF(events))) > 0)
        for (uint32_t i = 0; i < count; i++)
            on_event(&events[i], now);
}

static void run_jobs(uint64_t now)
{
    struct mr_tls_job *job;

    while (mr_endpoint_take_jobs(client.ep, &job, 1) == 1) {
        mr_tls_job_run(job);
        mr_endpoint_complete_job(client.ep, job, now);
    }
}

/* ---- all of them ---- */

static void connect_one(uint32_t index, uint64_t now)
{
    struct connection *c = &client.connections[index];
    struct mr_addr local = local_of(index);
    struct mr_connect_options options = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\004echo",
                                         .alpn_size = 5,
                                         .is_insecure = true,
                                         .remote.port = client.server.port};

    memcpy(options.remote.ip, client.server.ip, sizeof(options.remote.ip));
    c->is_begun = mr_conn_connect(client.ep, &options, &local, now, &c->conn) == 0;
    client.in_handshake += c->is_begun;
}

static void go_on(uint64_t now)
{
    for (uint32_t i = 0; i < client.count; i++) {
        struct connection *c = &client.connections[i];

        if (!c->is_begun && client.in_handshake < HANDSHAKES)
            connect_one(i, now);
        if (c->is_connected)
            send_piece(c, now);
    }
}

static void tell(uint64_t now)
{
    uint64_t all = 0;
    uint64_t least = UINT64_MAX;

    if (now < client.told_ns + TELL_EVERY)
        return;
    client.told_ns = now;
    for (uint32_t i = 0; i < client.count; i++) {
        struct connection *c = &client.connections[i];

        all += c->received - c->told;
        least = MR_MIN(least, c->received - c->told);
        c->told = c->received;
    }
    printf("%llu %llu\n", (unsigned long long)all, (unsigned long long)least);
    fflush(stdout);
    if (atomic_load_explicit(&is_told_to_end, memory_order_relaxed) && client.end_ns == 0)
        client.end_ns = now;
    if (client.connected < client.count && now > client.begun_ns + PATIENCE)
        snprintf(client.failure, sizeof(client.failure), "%u of %u are connected", client.connected,
                 client.count);
    if (client.end_ns > 0 && now > client.end_ns + PATIENCE)
        snprintf(client.failure, sizeof(client.failure), "%u of %u streams came to their end",
                 client.over, client.count);
}

static void run(void)
{
    while (client.failure[0] == '\0' && client.over < client.count) {
        uint64_t now = now_ns();

        receive(now);
        run_jobs(now);
        if (mr_endpoint_deadline(client.ep) <= now)
            mr_endpoint_expire(client.ep, now);
        take_events(now);
        go_on(now);
        transmit(now);
        tell(now);
    }
    mr_endpoint_close_all(client.ep, 0, now_ns());
    transmit(now_ns());
}

/* ---- life ---- */

static bool open_socket(uint32_t index, const struct sockaddr_in *to)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(port_of(index))};
    socklen_t size = sizeof(from);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    client.connections[index].socket = fd;
    client.index[port_of(index)] = (uint16_t)index;
    client.fds[index] = (struct pollfd){.fd = fd, .events = POLLIN};
    if (fd < 0 || bind(fd, (const struct sockaddr *)&from, sizeof(from)) != 0 ||
        connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0 ||
        getsockname(fd, (struct sockaddr *)&from, &size) != 0)
        return false;
    memcpy(client.local.ip + 12, &from.sin_addr, 4);
    return true;
}

static bool make_endpoint(void)
{
    struct mr_limits limits = mr_limits_for(CONNECTIONS);
    static uint8_t key[32];
    struct mr_fault fault = {0};
    struct mr_endpoint_config config = {.client = &client.tls,
                                        .static_key = key,
                                        .aead = mr_aead_open(MR_AEAD_AUTO),
                                        .cc = MR_CC_CUBIC,
                                        .payload_max = 1452,
                                        .retry_above = 1000,
                                        .idle_timeout_ns = 30 * MR_SECOND,
                                        .stream_window_max = 1 << 18,
                                        .conn_window_max = 1 << 19,
                                        .extensions = MR_EXTENSIONS_DEFAULT,
                                        .streams_uni_max = 8};
    size_t size = (mr_endpoint_footprint(&limits) + 4095) & ~(size_t)4095;

    if (getrandom(key, sizeof(key), 0) < 0 || getrandom(config.seed, sizeof(config.seed), 0) < 0 ||
        mr_tls_context_client(&client.tls, &(struct mr_tls_client_config){.is_insecure = true},
                              &fault) != 0)
        return false;
    void *memory = aligned_alloc(4096, size);
    client.ep = memory == NULL ? NULL : mr_endpoint_init(memory, &limits, &config, now_ns());
    return client.ep != NULL;
}

static bool begin(char **words)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(words[1], NULL, 10))};

    client.count = (uint32_t)strtoul(words[2], NULL, 10);
    if (inet_pton(AF_INET, words[0], &to.sin_addr) != 1 || client.count == 0 ||
        client.count > CONNECTIONS)
        return false;
    memset(client.server.ip + 10, 0xff, 2);
    memset(client.local.ip + 10, 0xff, 2);
    memcpy(client.server.ip + 12, &to.sin_addr, 4);
    client.server.port = ntohs(to.sin_port);
    for (uint32_t i = 0; i < client.count; i++)
        if (!open_socket(i, &to))
            return false;
    for (uint32_t i = 0; i < BUFFERS; i++)
        client.free[client.free_count++] = &client.buffers[i];
    for (uint32_t i = 0; i < PATTERN + PIECE; i++)
        client.pattern[i] = (uint8_t)(i % PATTERN * UINT32_C(2654435761) >> 24);
    client.begun_ns = now_ns();
    signal(SIGTERM, on_sigterm);
    return make_endpoint();
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    if (!begin(argv + 1)) {
        printf("failed: it cannot begin\n");
        return 1;
    }
    run();
    if (client.failure[0] != '\0') {
        printf("failed: %s\n", client.failure);
        return 1;
    }
    uint64_t received = 0;
    for (uint32_t i = 0; i < client.count; i++)
        received += client.connections[i].received;
    printf("done %llu\n", (unsigned long long)received);
    return 0;
}
