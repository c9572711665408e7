/*
 * tests/dpdk/model_driver.c - a client that finds out whether a server is the `echo` of
 * examples/echo.h, whatever model it is written in.
 *
 *     model_driver SOCKET ADDRESS PORT CHECK [COUNT]
 *
 * CHECK is one row of the table at the end.  Says `ok`, or `failed: why`; 0 or 1.  A fiber for
 * everything that happens at once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "millrace/fiber_socket.h"
#include "millrace/fiber_sync.h"
#include "millrace/socket.h"

enum {
    BUFFER = 8192,
    STACK = 64 << 10,
    CODE = 77,           /* of resets and stops */
    ANSWER = 4096,       /* bytes: what is unread of a stream stays in its slots */
    UNREAD_MAX = 4 << 20 /* of a stream: more than all windows and buffers between the two ends */
};

#define PATIENCE_NS UINT64_C(20000000000)
#define STALL_NS    UINT64_C(300000000)

static struct mr_loop *loop;
static struct mr_connect_options options = {
    .server_name = "localhost", .alpn = (const uint8_t *)"\004echo", .alpn_size = 5};
static uint32_t count;    /* of whatever the check is about */
static char failure[256]; /* the first; "": none */

static bool fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (failure[0] == '\0')
        vsnprintf(failure, sizeof(failure), format, arguments);
    va_end(arguments);
    return false;
}

static bool expect(bool is_so, const char *what, int64_t got)
{
    return is_so || fail("%s: %lld%s%s", what, (long long)got, got < 0 ? ", " : "",
                         got < 0 ? strerror((int)-got) : "");
}

/* ------------------------------------------------------------------ bytes */

static uint8_t byte_at(uint32_t seed, uint64_t at)
{
    uint64_t x = (at + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ seed * UINT64_C(0xc2b2ae3d27d4eb4f);

    return (uint8_t)(x >> 37);
}

/* Bytes of a stream: as many as it is to have, and how far it is. */
struct bytes {
    struct mr_sock *stream;
    uint32_t seed;
    uint64_t size;
    uint64_t at;
    uint64_t stalled_at; /* written, when the peer took no more for STALL_NS; 0: never */
};

/* Write what is left of it, and the end. */
static bool write_bytes(struct bytes *b)
{
    uint8_t buffer[BUFFER];
    ssize_t n = 0;

    while (b->at < b->size) {
        size_t size = b->size - b->at < BUFFER ? (size_t)(b->size - b->at) : BUFFER;

        for (size_t i = 0; i < size; i++)
            buffer[i] = byte_at(b->seed, b->at + i);
        n = mr_sock_write(b->stream, buffer, size);
        b->at += n > 0 ? (uint64_t)n : n == -EINPROGRESS ? size : 0; /* all is on its way */
        if (n != (ssize_t)size)
            return n == -ETIMEDOUT || n == -EINPROGRESS || n > 0 ? false
                                                                 : expect(false, "write", n);
    }
    int error = mr_sock_shutdown(b->stream);
    return expect(error == 0, "shutdown", error);
}

/* Read all of it, compare, and then the end. */
static bool read_bytes(struct bytes *b)
{
    uint8_t buffer[BUFFER];
    ssize_t n;

    while ((n = mr_sock_read(b->stream, buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < n; i++, b->at++)
            if (b->at >= b->size || buffer[i] != byte_at(b->seed, b->at))
                return fail("byte %llu of %llu is another", (unsigned long long)b->at,
                            (unsigned long long)b->size);
    }
    return expect(n == 0, "read", n) &&
           expect(b->at == b->size, "it ended behind byte", (int64_t)b->at);
}

static int64_t write_in_fiber(void *argument)
{
    return write_bytes(argument);
}

static struct mr_fiber *spawn(mr_fiber_function function, void *argument)
{
    struct mr_fiber *fiber = NULL;
    struct mr_fiber_options how = {.stack_size = STACK};
    int error = mr_fiber_spawn(function, argument, "check", &how, &fiber);

    expect(error == 0, "a fiber", error);
    return fiber;
}

/* Its result. */
static bool join(struct mr_fiber *fiber)
{
    int64_t result = 0;

    return fiber != NULL && mr_fiber_join(fiber, MR_FOREVER, &result) == 0 && result != 0;
}

/* ------------------------------------------------------------------ connections and streams */

static struct mr_sock *open_conn(void)
{
    struct mr_sock *conn = NULL;
    int error = mr_sock_connect(loop, &options, false, &conn);

    if (!expect(error == 0, "connect", error))
        return NULL;
    mr_sock_set(conn, MR_SOCK_READ_TIMEOUT, PATIENCE_NS);
    mr_sock_set(conn, MR_SOCK_WRITE_TIMEOUT, PATIENCE_NS);
    return conn;
}

static struct mr_sock *open_stream(struct mr_sock *conn, uint32_t kind)
{
    struct mr_sock *stream = NULL;
    int error = conn == NULL ? -ENOTCONN : mr_sock_open(conn, kind, &stream);

    expect(error == 0, "open", error);
    return stream;
}

static struct mr_sock *accept_stream(struct mr_sock *conn)
{
    struct mr_sock *stream = NULL;
    int error = conn == NULL ? -ENOTCONN : mr_sock_accept_stream(conn, &stream);

    expect(error == 0, "a stream of the server's", error);
    return stream;
}

static void close_sock(struct mr_sock *sock)
{
    if (sock != NULL)
        mr_sock_close(sock, 0);
}

/* One stream there and back; both ways at once. */
static bool exchange(struct mr_sock *conn, uint32_t seed, uint64_t size)
{
    struct mr_sock *stream = open_stream(conn, MR_OPEN_BIDI);
    struct bytes out = {.stream = stream, .seed = seed, .size = size};
    struct bytes in = out;

    if (stream == NULL)
        return false;
    struct mr_fiber *writer = spawn(write_in_fiber, &out);
    bool is_read = read_bytes(&in);
    bool is_written = join(writer);
    mr_sock_close(stream, 0);
    return expect(is_written, "written of it", (int64_t)out.at) && is_read;
}

/* ------------------------------------------------------------------ checks: bytes */

static const uint64_t sizes[] = {0, 1, 1 << 10, 64 << 10, 4 << 20};

enum {
    SIZES = sizeof(sizes) / sizeof(sizes[0])
};

static bool bytes_are_exact(void)
{
    struct mr_sock *conn = open_conn();
    bool is_ok = conn != NULL;

    for (uint32_t i = 0; i < SIZES && is_ok; i++)
        is_ok = exchange(conn, i, sizes[i]);
    close_sock(conn);
    return is_ok;
}

static bool one_way_streams_are_answered_on_one_way_streams(void)
{
    struct mr_sock *conn = open_conn();
    bool is_ok = conn != NULL;

    for (uint32_t i = 0; i < SIZES && is_ok; i++) {
        struct bytes out = {.seed = i, .size = sizes[i]};

        out.stream = open_stream(conn, MR_OPEN_UNI);
        if (out.stream == NULL)
            return false;
        struct mr_fiber *writer = spawn(write_in_fiber, &out);
        struct bytes in = {.seed = i, .size = sizes[i]};
        in.stream = accept_stream(conn);
        is_ok = in.stream != NULL &&
                expect(mr_sock_stream_id(in.stream) % 4 == 3, "its answer's ID",
                       (int64_t)mr_sock_stream_id(in.stream)) &&
                read_bytes(&in);
        is_ok = join(writer) && is_ok;
        close_sock(in.stream);
        close_sock(out.stream);
    }
    close_sock(conn);
    return is_ok;
}

/* More than we let the server open at a time: what it cannot answer now it answers later.  They
 * carry their number, for they may come in any order. */
static bool more_one_way_streams_than_may_be_answered_wait(void)
{
    struct mr_sock *conn = open_conn();
    static uint8_t text[ANSWER];
    static bool is_back[4096];

    for (uint32_t i = 0; i < count && failure[0] == '\0'; i++) {
        struct mr_sock *stream = open_stream(conn, MR_OPEN_UNI);

        memcpy(text, &i, sizeof(i));
        if (stream == NULL)
            break;
        ssize_t n = mr_sock_write(stream, text, sizeof(text));
        expect(n == ANSWER && mr_sock_shutdown(stream) == 0, "write", n);
        mr_sock_close(stream, 0);
    }
    for (uint32_t i = 0; i < count && failure[0] == '\0'; i++) {
        struct mr_sock *stream = accept_stream(conn);
        uint32_t number = 0;
        ssize_t n = stream == NULL ? 0 : mr_sock_read_all(stream, text, sizeof(text));

        expect(n == ANSWER, "an answer's size", n);
        memcpy(&number, text, sizeof(number));
        if (expect(number < count && !is_back[number], "an answer came twice", number))
            is_back[number] = true;
        close_sock(stream);
    }
    close_sock(conn);
    return failure[0] == '\0';
}

/* A question is answered before the next is asked; the end comes when we end, not before. */
static bool a_stream_is_echoed_as_it_goes_and_ends_when_we_end(void)
{
    struct mr_sock *conn = open_conn();
    struct mr_sock *stream = open_stream(conn, MR_OPEN_BIDI);
    char got[16];
    ssize_t n = -1;

    for (uint32_t i = 0; i < 50 && stream != NULL && failure[0] == '\0'; i++) {
        char text[16];
        size_t size = (size_t)snprintf(text, sizeof(text), "question %u", i);

        n = mr_sock_write(stream, text, size);
        expect(n == (ssize_t)size, "write", n);
        for (size_t at = 0; at < size && failure[0] == '\0'; at += (size_t)n) {
            n = mr_sock_read(stream, got + at, size - at);
            expect(n > 0, "read", n);
        }
        expect(failure[0] != '\0' || memcmp(got, text, size) == 0, "another answer, to number", i);
    }
    if (stream != NULL && failure[0] == '\0') {
        mr_sock_set(stream, MR_SOCK_READ_TIMEOUT, STALL_NS / 3);
        n = mr_sock_read(stream, got, 1);
        expect(n == -ETIMEDOUT, "read before the end", n);
        mr_sock_set(stream, MR_SOCK_READ_TIMEOUT, PATIENCE_NS);
        mr_sock_shutdown(stream);
        n = mr_sock_read(stream, got, 1);
        expect(n == 0, "read at the end", n);
    }
    close_sock(stream);
    close_sock(conn);
    return failure[0] == '\0';
}

/* ------------------------------------------------------------------ checks: many at once */

/* All have sent before any is read, so that they are open together. */
static bool streams_side_by_side_keep_their_bytes_apart(void)
{
    struct mr_sock *conn = open_conn();
    static struct bytes out[1024], in[1024];
    uint32_t opened = 0;

    for (; opened < count && failure[0] == '\0'; opened++) {
        out[opened] = in[opened] = (struct bytes){.stream = open_stream(conn, MR_OPEN_BIDI),
                                                  .seed = opened,
                                                  .size = 1 + opened * 131 % 20000};
        if (out[opened].stream == NULL || !write_bytes(&out[opened]))
            break;
    }
    for (uint32_t i = opened; i-- > 0 && failure[0] == '\0';)
        read_bytes(&in[i]);
    for (uint32_t i = 0; i < opened; i++)
        close_sock(in[i].stream);
    close_sock(conn);
    return failure[0] == '\0' && expect(opened == count, "streams", opened);
}

/* Connections that wait for each other: at one time all are there. */
static struct mr_fiber_semaphore all_there;
static uint32_t there;

static int64_t one_of_many(void *argument)
{
    uint32_t number = *(const uint32_t *)argument;
    struct mr_sock *conn = open_conn();
    bool is_ok = conn != NULL && exchange(conn, number, 10000);

    if (++there == count)
        mr_fiber_semaphore_give(&all_there, count);
    is_ok = mr_fiber_semaphore_take(&all_there, PATIENCE_NS) == 0 && is_ok;
    is_ok = is_ok && exchange(conn, ~number, 10000);
    close_sock(conn);
    return is_ok;
}

static bool connections_are_served_at_once(void)
{
    static uint32_t numbers[1024];
    static struct mr_fiber *fibers[1024];
    bool is_ok = true;

    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = i;
        fibers[i] = spawn(one_of_many, &numbers[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        is_ok = join(fibers[i]) && is_ok;
    return expect(is_ok, "connections that were there together", there);
}

/* ------------------------------------------------------------------ checks: ends */

/* Of a one-way stream: we reset it, and so is its answer; we stop its answer, and it is stopped. */
static bool resets_and_stops_are_passed_on(void)
{
    struct mr_sock *conn = open_conn();
    struct mr_sock *stream = NULL, *answer = NULL;
    uint8_t buffer[BUFFER] = {0};
    uint64_t code = 0;
    ssize_t n = 0;

    for (int is_stop = 0; is_stop < 2 && conn != NULL && failure[0] == '\0'; is_stop++) {
        stream = open_stream(conn, MR_OPEN_UNI);
        if (stream == NULL || mr_sock_write(stream, buffer, 100) != 100)
            break;
        answer = accept_stream(conn);
        if (answer == NULL || mr_sock_read(answer, buffer, 100) <= 0)
            break;
        if (is_stop) {
            mr_sock_close(answer, CODE);
            while ((n = mr_sock_write(stream, buffer, 1000)) > 0)
                (void)mr_fiber_sleep(MR_MILLISECONDS(1));
            expect(n == -EPIPE, "write to who stopped", n);
            expect(mr_sock_error(stream, &code, NULL) == -EPIPE && code == CODE, "its code",
                   (int64_t)code);
        } else {
            mr_sock_reset(stream, CODE);
            while ((n = mr_sock_read(answer, buffer, sizeof(buffer))) > 0)
                continue;
            expect(n == -ECONNRESET, "read from who reset", n);
            mr_sock_error(answer, &code, NULL);
            expect(code == CODE, "its code", (int64_t)code);
            mr_sock_close(answer, 0);
        }
        answer = NULL;
        mr_sock_close(stream, 0);
        stream = NULL;
    }
    bool is_ok = expect(conn != NULL && stream == NULL, "a stream and its answer", n) &&
                 exchange(conn, 1, 1000);
    close_sock(conn);
    return is_ok && failure[0] == '\0';
}

/* Half a text, then the stream is dropped, or the connection; the server goes on. */
static bool who_leaves_in_the_middle_harms_nobody(void)
{
    for (uint32_t i = 0; i < count && failure[0] == '\0'; i++) {
        struct mr_sock *conn = open_conn();
        struct mr_sock *stream = open_stream(conn, i % 3 == 2 ? MR_OPEN_UNI : MR_OPEN_BIDI);
        struct bytes out = {.stream = stream, .seed = i, .size = 300000};

        if (stream == NULL)
            return false;
        mr_sock_set(stream, MR_SOCK_WRITE_TIMEOUT, 1000 + i * UINT64_C(300000));
        if (write_bytes(&out) || i % 2 == 0)
            mr_sock_reset(stream, CODE);
        failure[0] = '\0'; /* it was to be cut short */
        if (i % 4 == 0)
            exchange(conn, i, 1000);
        mr_sock_close(conn, CODE);
        mr_sock_close(stream, 0);
    }
    struct mr_sock *conn = open_conn();
    bool is_ok = exchange(conn, 1, 100000);
    close_sock(conn);
    return is_ok;
}

/* ------------------------------------------------------------------ checks: back pressure */

static int64_t write_until_stalled(void *argument)
{
    struct bytes *b = argument;

    mr_sock_set(b->stream, MR_SOCK_WRITE_TIMEOUT, STALL_NS);
    if (write_bytes(b))
        return expect(false, "the server took all of", (int64_t)b->at);
    b->stalled_at = b->at;
    mr_sock_set(b->stream, MR_SOCK_WRITE_TIMEOUT, PATIENCE_NS);
    return failure[0] == '\0';
}

/* Streams that are not read come to a stand, within bounds; others go on; then they are read, and
 * not a byte is missing.  The last one shares its connection with those that go on, unless the
 * server serves a connection's streams in turn (`is_in_turn`). */
static bool read_slowly(bool is_in_turn)
{
    static struct bytes out[256], in[256];
    static struct mr_sock *conns[256];
    static struct mr_fiber *fibers[256];
    struct mr_sock *conn = NULL;

    for (uint32_t i = 0; i < count; i++) {
        conns[i] = open_conn();
        out[i] = in[i] = (struct bytes){
            .stream = open_stream(conns[i], MR_OPEN_BIDI), .seed = i, .size = UNREAD_MAX};
        if (out[i].stream == NULL)
            return false;
        fibers[i] = spawn(write_until_stalled, &out[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        join(fibers[i]);
    conn = is_in_turn ? open_conn() : conns[count - 1];
    for (uint32_t i = 0; i < 10 && failure[0] == '\0'; i++)
        exchange(conn, i, 100000);
    for (uint32_t i = 0; i < count && failure[0] == '\0'; i++) {
        fibers[i] = spawn(write_in_fiber, &out[i]);
        read_bytes(&in[i]);
        expect(join(fibers[i]), "written of it", (int64_t)out[i].at);
    }
    for (uint32_t i = 0; i < count; i++) {
        close_sock(in[i].stream);
        close_sock(conns[i]);
    }
    if (is_in_turn)
        close_sock(conn);
    return failure[0] == '\0';
}

static bool a_slow_reader_holds_only_its_stream(void)
{
    return read_slowly(false);
}

static bool a_slow_reader_holds_only_its_connection(void)
{
    return read_slowly(true);
}

/* To be killed: connections with streams in every state, until then. */
static bool hold(void)
{
    for (uint32_t i = 0; i < count; i++) {
        struct mr_sock *conn = open_conn();
        struct bytes out = {.stream = open_stream(conn, i % 2), .seed = i, .size = UNREAD_MAX};

        if (out.stream == NULL)
            return false;
        mr_sock_set(out.stream, MR_SOCK_WRITE_TIMEOUT, 1 + i * UINT64_C(20000000));
        (void)write_bytes(&out);
    }
    printf("holding\n");
    fflush(stdout);
    (void)mr_fiber_sleep(MR_SECONDS(60));
    return false;
}

/* ------------------------------------------------------------------ */

static const struct check {
    const char *name;
    bool (*run)(void);
} checks[] = {
    {"bytes", bytes_are_exact},
    {"one-way", one_way_streams_are_answered_on_one_way_streams},
    {"one-way-many", more_one_way_streams_than_may_be_answered_wait},
    {"ends", a_stream_is_echoed_as_it_goes_and_ends_when_we_end},
    {"streams", streams_side_by_side_keep_their_bytes_apart},
    {"connections", connections_are_served_at_once},
    {"resets", resets_and_stops_are_passed_on},
    {"leavers", who_leaves_in_the_middle_harms_nobody},
    {"slow", a_slow_reader_holds_only_its_stream},
    {"slow-in-turn", a_slow_reader_holds_only_its_connection},
    {"hold", hold},
    {NULL, NULL},
};

static int64_t run(void *argument)
{
    const struct check *check = argument;

    return check->run();
}

static const struct check *find(const char *name)
{
    const struct check *check = checks;

    while (check->name != NULL && strcmp(check->name, name) != 0)
        check++;
    return check->name == NULL ? NULL : check;
}

/* The check in the hub's first fiber; false: it failed. */
static bool run_in_hub(const struct check *check)
{
    struct mr_hub_options how = {.stack_size = STACK};
    struct mr_fiber *fiber = NULL;
    struct mr_error error = {0};
    struct mr_hub *hub = mr_hub_new(&how, &error);
    int64_t result = 0;

    if (hub == NULL || mr_hub_serve_loop(hub, loop) != 0)
        return fail("a hub: %s", error.text);
    (void)mr_fiber_spawn(run, (void *)(uintptr_t)check, check->name, NULL, &fiber);
    (void)mr_hub_run(hub);
    (void)mr_fiber_join(fiber, 0, &result);
    if (mr_hub_close_loop(hub, loop, &error) != 0)
        return fail("fibers are left: %s", error.text);
    return result != 0;
}

int main(int argc, char **argv)
{
    struct mr_loop_config config = {0};
    struct mr_error error = {0};
    const struct check *check = argc < 5 ? NULL : find(argv[4]);

    if (check == NULL)
        return 2;
    config.attach.control = argv[1];
    config.attach.name = "driver";
    options.remote.ip[10] = options.remote.ip[11] = 0xff;
    if (inet_pton(AF_INET, argv[2], &options.remote.ip[12]) != 1)
        return 2;
    options.remote.port = (uint16_t)atoi(argv[3]);
    count = argc > 5 ? (uint32_t)atoi(argv[5]) : 1;
    bool is_ok = mr_loop_new(&config, &loop, &error) == 0;
    if (is_ok)
        is_ok = run_in_hub(check);
    else
        fail("%s", error.text);
    mr_loop_free(loop);
    printf(is_ok && failure[0] == '\0' ? "ok\n" : "failed: %s\n", failure);
    return is_ok && failure[0] == '\0' ? 0 : 1;
}
