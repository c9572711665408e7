/*
 * fuzz/fuzz_h3_server.c - a hostile client against the whole HTTP/3 server.
 *
 * The input is a program: each step opens a stream, sends bytes (raw ones, or frames, sections,
 * QPACK instructions that are right but for what the input puts in), ends, resets or stops a
 * stream, or lets time pass.  The first bytes choose the server's limits and how often the
 * transport refuses a call, and whether the client speaks HTTP/0.9.  Properties:
 *   1. the server survives (assertions, ASan, UBSan);
 *   2. its invariants hold at the end (mr_h3_check, mr_cache_check);
 *   3. when the connection is cut, everything comes back: streams, requests, buffers, files, work,
 * memory;
 *   4. a tunnel that was granted ends once, before the connection is gone;
 *   5. a fresh client is served afterwards.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "http3/frame.h"
#include "http3/server_internal.h"
#include "tests/support/raw_h3.h"

enum {
    STEPS_MAX = 80,
};

#define PATIENCE_NS UINT64_C(3000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rest of the input. */
struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t take(struct input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

/* At most `max` bytes of the input; a count byte comes first. */
static size_t take_bytes(struct input *input, const uint8_t **bytes_out, size_t max)
{
    size_t size = take(input) % (max + 1);

    size = size < input->size ? size : input->size;
    *bytes_out = input->data;
    input->data += size;
    input->size -= size;
    return size;
}

static bool is_hq;
static struct raw_bytes bytes;
static struct raw_bytes section;

static const char *const names[] = {
    ":method",        ":scheme",    ":authority", ":path",    ":status",       "host",
    "content-length", "range",      "te",         "if-match", "if-none-match", "x",
    "X-Upper",        "connection", "",           "cookie",
};
static const char *const values[] = {
    "GET", "HEAD",      "https",    "localhost", "/a.txt", "/",
    "3",   "bytes=2-4", "trailers", "*",         "POST",   "a\r\nb",
};

/* Fields of the input: names and values of the tables, or bytes of the input. */
static void put_fields(struct input *input)
{
    for (unsigned count = take(input) % 8; count > 0; count--) {
        uint8_t choice = take(input);
        const char *name = names[choice % 16];
        const uint8_t *value;
        size_t size = 0;
        if (choice < 128) {
            raw_put_field(&section, name, values[take(input) % 12]);
        } else {
            size = take_bytes(input, &value, 60);
            raw_put_field_bytes(&section, name, strlen(name), (const char *)value, size);
        }
    }
}

static void put_request(struct input *input)
{
    static const char *const paths[] = {"/a.txt", "/", "/none", "/../x", "/a.txt?x", "/%61.txt"};
    const char *path = paths[take(input) % 6];

    if (is_hq) {
        raw_put(&bytes, "GET ", 4);
        raw_put(&bytes, path, strlen(path));
        raw_put(&bytes, "\r\n", take(input) % 3);
        return;
    }
    raw_begin_section(&section);
    raw_put_get(&section, path);
    if (take(input) % 2 == 0)
        put_fields(input);
    raw_put_headers(&bytes, &section);
}

/* An extended CONNECT, or nearly. */
static void put_connect(struct input *input)
{
    static const char *const protocols[] = {"echo", "other", "", "a b"};

    raw_begin_section(&section);
    raw_put_field(&section, ":method", "CONNECT");
    raw_put_field(&section, ":protocol", protocols[take(input) % 16 < 12 ? 0 : take(input) % 4]);
    raw_put_field(&section, ":scheme", "https");
    raw_put_field(&section, ":authority", "h");
    raw_put_field(&section, ":path", "/");
    if (take(input) % 8 == 0)
        put_fields(input);
    raw_put_headers(&bytes, &section);
}

/* Capsules in a DATA frame, some of them cut off or endless. */
static void put_capsules(struct input *input)
{
    struct raw_bytes *content = &section;
    const uint8_t *value;

    content->size = 0;
    for (unsigned count = take(input) % 4; count > 0; count--) {
        size_t size = take_bytes(input, &value, 40);
        raw_put_varint(content, take(input) % 4 == 0 ? take(input) : 0);
        raw_put_varint(content, take(input) % 16 == 0 ? 5000 : size);
        raw_put(content, value, size);
    }
    raw_put_frame(&bytes, 0, content->data, content->size);
}

/* A datagram for a tunnel, mostly an early one, or for nobody. */
static void send_datagram(struct raw_server_test *test, struct input *input)
{
    struct mr_transport *t = test->raw.transport;
    uint8_t stream = take(input);
    uint8_t quarter = stream & (stream < 200 ? 3 : 63);
    const uint8_t *value;
    size_t size = take_bytes(input, &value, 30);
    struct mr_view views[2] = {{&quarter, 1}, {value, size}};

    (void)t->ops->send_datagram(t, test->raw.conn, &views[stream >= 240], stream >= 240 ? 1 : 2);
}

/* A request that refers to the table: to entries that there are, will be, or never are. */
static void put_table_request(struct input *input)
{
    const uint8_t prefix[] = {(uint8_t)(1 + take(input) % 8), 0};

    section.size = 0;
    raw_put(&section, prefix, 2);
    raw_put(&section, "\xd1\xd7\x51\x06/a.txt\x50\x01h", 12);
    for (unsigned count = take(input) % 6; count > 0; count--)
        raw_put(&section, take(input) % 4 == 0 ? "\x81" : "\x80", 1);
    raw_put_headers(&bytes, &section);
}

/* Instructions of an encoder stream, after its beginning. */
static void put_instructions(struct input *input)
{
    for (unsigned count = take(input) % 5; count > 0; count--) {
        if (take(input) % 4 == 0)
            raw_put(&bytes, "\x00", 1); /* a duplicate */
        else
            raw_put(&bytes, "\x46x-name\x05value", 13);
    }
}

static void put_odd_section(struct input *input)
{
    raw_begin_section(&section);
    put_fields(input);
    raw_put_headers(&bytes, &section);
}

static void put_frame(struct input *input)
{
    static const uint64_t types[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xd, 0x21, 0xf0700, 0xf0701};
    const uint8_t *payload;
    uint64_t type = types[take(input) % 14];
    size_t size = take_bytes(input, &payload, 100);

    raw_put_frame(&bytes, type, payload, size);
}

/* PRIORITY_UPDATE as a client would send it, or nearly. */
static void put_update(struct input *input)
{
    static const char *const updates[] = {"",    "u=0", "u=7, i", "i", "u=9", "u=1, x=(1 2);y",
                                          "u=1,"};
    struct raw_bytes *payload = &section;
    const char *value = updates[take(input) % 7];

    payload->size = 0;
    raw_put_varint(payload, 4 * (uint64_t)(take(input) % 64) + (take(input) < 250 ? 0 : 1));
    raw_put(payload, value, strlen(value));
    raw_put_frame(&bytes, 0xf0700, payload->data, payload->size);
}

/* A beginning of one of the unidirectional streams, right or nearly. */
static void put_uni(struct input *input)
{
    switch (take(input) % 5) {
    case 0:
        raw_put_control(&bytes);
        for (unsigned count = take(input) % 4; count > 0; count--)
            put_update(input);
        break;
    case 1:
        raw_put(&bytes, "\x02\x3f\xe1\x1f\x46x-name\x05value", 16);
        break;
    case 2:
        raw_put(&bytes, "\x03\x44", 1 + take(input) % 2);
        break;
    case 3: /* SETTINGS with a table, streams that may wait, and datagrams */
        raw_put(&bytes, "\x00\x04\x07\x01\x41\x00\x07\x05\x33\x01", 10);
        break;
    default:
        raw_put_varint(&bytes, take(input));
    }
}

static uint32_t tunnels_granted;
static uint32_t tunnels_ended;

/* Echoes what comes; ends when it is told to. */
static uint32_t on_request(void *context, struct mr_http3_tunnel *tunnel,
                           const struct mr_http3_tunnel_request *request)
{
    (void)context;
    (void)tunnel;
    bool is_granted = strcmp(request->protocol, "echo") == 0;
    tunnels_granted += is_granted;
    return is_granted ? 200 : 501;
}

static void on_datagram(void *context, struct mr_http3_tunnel *tunnel, const void *data,
                        size_t size)
{
    (void)context;
    (void)mr_http3_tunnel_send(tunnel, data, size);
    if (size > 0 && *(const uint8_t *)data == 'x')
        mr_http3_tunnel_end(tunnel);
}

static void on_end(void *context, struct mr_http3_tunnel *tunnel, int error, const char *reason)
{
    (void)context;
    (void)tunnel;
    (void)error;
    (void)reason;
    tunnels_ended++;
}

static const struct mr_http3_tunnel_handlers tunnels = {
    .on_request = on_request, .on_datagram = on_datagram, .on_end = on_end};

/* The client says that it takes datagrams, and opens tunnels; capsules go through them. */
static void begin_tunnels(struct raw_server_test *test, struct input *input)
{
    int stream = raw_open(&test->raw, true);

    bytes.size = 0;
    raw_put(&bytes, "\x00\x04\x07\x01\x41\x00\x07\x05\x33\x01", 10);
    if (stream >= 0)
        raw_send(&test->raw, stream, &bytes, false);
    for (unsigned count = 1 + take(input) % 4u; count > 0; count--) {
        stream = raw_open(&test->raw, false);
        bytes.size = 0;
        put_connect(input);
        for (unsigned more = take(input) % 4u; more > 0; more--)
            put_capsules(input);
        if (stream >= 0)
            raw_send(&test->raw, stream, &bytes, take(input) % 8 == 0);
        for (unsigned steps = take(input) % 8u; steps > 0; steps--)
            loop_step(test->loop);
        for (unsigned more = take(input) % 3u; more > 0; more--)
            send_datagram(test, input);
    }
}

static void send_on(struct raw_server_test *test, uint8_t choice, bool is_last)
{
    int ours[RAW_STREAMS_MAX];
    int count = 0;

    for (uint32_t i = 0; i < test->raw.stream_count; i++) {
        if (test->raw.streams[i].is_ours)
            ours[count++] = (int)i;
    }
    if (count > 0)
        raw_send(&test->raw, ours[choice % count], &bytes, is_last);
}

static void step(struct raw_server_test *test, struct input *input)
{
    uint8_t op = take(input);
    uint8_t stream = take(input);
    const uint8_t *raw;
    size_t size;

    bytes.size = 0;
    switch (op % 14) {
    case 0:
    case 1:
        if (test->raw.stream_count < 100)
            (void)raw_open(&test->raw, op % 14 == 1);
        return;
    case 2:
        size = take_bytes(input, &raw, 200);
        raw_put(&bytes, raw, size);
        break;
    case 3:
        put_request(input);
        break;
    case 4:
        if (stream % 8 == 0)
            put_instructions(input);
        else if (stream % 8 == 1)
            put_table_request(input);
        else if (stream % 8 < 4)
            put_connect(input);
        else if (stream % 8 < 6)
            put_capsules(input);
        else
            send_datagram(test, input);
        break;
    case 5:
        put_odd_section(input);
        break;
    case 6:
        put_frame(input);
        break;
    case 7:
        put_uni(input);
        break;
    case 8:
        if (stream % 2 == 0) /* else only the end */
            put_update(input);
        break;
    case 9:
        if (test->raw.stream_count > 0)
            raw_reset(&test->raw, stream % (int)test->raw.stream_count, stream);
        return;
    case 10:
        if (test->raw.stream_count > 0)
            raw_stop(&test->raw, stream % (int)test->raw.stream_count, stream);
        return;
    case 11:
        for (unsigned i = 0; i <= stream % 8u; i++)
            loop_step(test->loop);
        return;
    case 12:
        loop_hold_work(test->loop, stream % 2 == 0);
        return;
    default:
        if (stream < 16)
            loop_go_away(test->loop, 1);
        else
            loop_pass(test->loop, UINT64_C(1000000) << stream % 16);
        return;
    }
    send_on(test, stream, op >= 128);
}

static void check_idle(struct raw_server_test *test)
{
    struct mr_h3_server_usage usage = mr_h3_server_usage(test->server);

    mr_h3_check(&test->server->h3);
    mr_cache_check(&test->server->cache);
    MR_ASSERT(usage.connections == 0);
    MR_ASSERT(usage.streams == 0);
    MR_ASSERT(usage.requests == 0);
    MR_ASSERT(test->server->tunnels.used == 0);
    MR_ASSERT(usage.buffers == 0);
    MR_ASSERT(usage.files == 0);
    MR_ASSERT(usage.jobs == 0);
    MR_ASSERT(usage.heap_bytes == 0);
    MR_ASSERT(usage.cache_pins == 0);
}

/* A client that behaves gets its file. */
static void check_serves(struct raw_server_test *test)
{
    struct mr_connect_options options = {
        .server_name = "localhost", .alpn = (const uint8_t *)"\x02h3", .alpn_size = 3};
    struct mr_transport *t = test->raw.transport;
    int stream = -1;

    if (test->server->h3.is_draining)
        return;
    test->raw.stream_count = 0;
    while (t->ops->connect(t, &options, &test->raw.conn) != 0)
        continue;
    loop_pass(test->loop, PATIENCE_NS);
    while (stream < 0)
        stream = raw_open(&test->raw, false);
    bytes.size = 0;
    raw_begin_section(&section);
    raw_put_get(&section, "/a.txt");
    raw_put_headers(&bytes, &section);
    struct mr_view view = {bytes.data, bytes.size};
    while (t->ops->send(t, test->raw.streams[stream].handle, &view, 1,
                        MR_SEND_COPY | MR_SEND_FIN) == -ENOMEM)
        continue;
    loop_pass(test->loop, PATIENCE_NS); /* timers for another try may be refused too */
    MR_ASSERT(raw_status(&test->raw.streams[stream]) == 200);
    MR_ASSERT(test->raw.streams[stream].has_fin);
    loop_cut(test->loop);
    loop_pass(test->loop, PATIENCE_NS);
    check_idle(test);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct mr_h3_server_config config = mr_h3_server_config_default(2);
    struct loop_config loop = loop_config_default(1 + take(&input));
    uint8_t choice = take(&input);

    config.requests_max = 8;
    config.requests_per_conn_max = 4;
    config.heap_bytes = 65536;
    config.field_section_max = 1024;
    config.fields_max = 16;
    config.qpack_capacity = choice % 4 == 0 ? 0 : 256;
    is_hq = config.has_hq = choice % 7 == 6;
    config.qpack_blocked_max = choice % 7 == 0 ? 0 : choice % 7;
    config.has_listings = choice % 2 == 0;
    config.tunnels = choice % 3 == 0 ? NULL : &tunnels;
    config.tunnels_max = 3;
    config.qpack_encoder_capacity = choice % 2 == 0 ? 0 : 256;
    loop.datagram_max = choice % 3 == 1 ? 1200 : 0;
    loop.refuse_percent = choice % 3 == 0 ? 20 : 0;
    loop.idle_percent = choice % 5 == 0 ? 20 : 0;
    loop.close_order = (enum loop_close_order)(choice % 3);
    loop.stream_window = 200 + 100 * (size_t)(choice % 50);
    loop.view_max = 1 + choice % 100;
    loop.batch_max = 1 + choice % 20;

    tunnels_granted = tunnels_ended = 0;
    struct raw_server_test *test = raw_server_test_new(&config, &loop);
    if (config.tunnels != NULL && !is_hq && take(&input) % 2 == 0)
        begin_tunnels(test, &input);
    for (int i = 0; i < STEPS_MAX && input.size > 0 && !test->raw.is_closed; i++)
        step(test, &input);
    loop_run(test->loop, 100);
    loop_hold_work(test->loop, false);
    mr_h3_check(&test->server->h3);
    loop_cut(test->loop);
    loop_pass(test->loop, PATIENCE_NS);
    check_idle(test);
    MR_ASSERT(tunnels_ended == tunnels_granted);
    check_serves(test);
    raw_server_test_free(test);
    return 0;
}
