/*
 * fuzz/fuzz_h3_client.c - a hostile server against the HTTP/3 client.
 *
 * The input is a program of bytes and frames that the server sends on its streams and on the
 * client's requests, of resets and stops, while the client makes, cancels and resumes requests.
 * Properties:
 *   1. the client survives (assertions, ASan, UBSan), and its invariants hold;
 *   2. every request ends with exactly one on_done, and every connection with one on_closed after
 * them;
 *   3. when the connection is cut, everything comes back.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "http3/client_internal.h"
#include "tests/support/raw_h3.h"

enum {
    STEPS_MAX = 80,
    REQUESTS_MAX = 16,
    RUN_STEPS = 100000,
    HEAP_IDLE_MAX = 4096, /* the encoder's */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

static size_t take_bytes(struct input *input, const uint8_t **bytes_out, size_t max)
{
    size_t size = take(input) % (max + 1);

    size = size < input->size ? size : input->size;
    *bytes_out = input->data;
    input->data += size;
    input->size -= size;
    return size;
}

static struct raw_bytes bytes;
static struct raw_bytes section;

/* ---- the client's tunnels ---- */

static uint32_t tunnels_ended;

static void on_open(void *context, struct mr_http3_tunnel *tunnel)
{
    (void)context;
    (void)mr_http3_tunnel_send(tunnel, "hello", 5);
}

static void on_datagram(void *context, struct mr_http3_tunnel *tunnel, const void *data,
                        size_t size)
{
    (void)context;
    (void)mr_http3_tunnel_send(tunnel, data, size);
    if (size > 0 && *(const uint8_t *)data % 4 == 0)
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

static const struct mr_http3_tunnel_handlers handlers = {
    .on_open = on_open, .on_datagram = on_datagram, .on_end = on_end};

/* SETTINGS that allow all that the client knows, or nearly. */
static void put_settings(struct input *input)
{
    static const char settings[] = "\x01\x41\x00\x07\x05\x08\x01\x33\x01";

    raw_put_varint(&bytes, 0);
    raw_put_frame(&bytes, 4, settings, take(input) % 8 == 0 ? 5 : sizeof(settings) - 1);
}

/* A head that refers to the table, after or before what it refers to. */
static void put_table_response(struct input *input)
{
    section.size = 0;
    raw_put(&section, take(input) % 2 == 0 ? "\x02\x00" : "\x03\x00", 2);
    raw_put(&section, "\xd9\x80", 2);
    raw_put_headers(&bytes, &section);
}

static void send_datagram(struct raw_client_test *test, struct input *input)
{
    struct mr_transport *t = test->raw.transport;
    const uint8_t *value;
    size_t size = take_bytes(input, &value, 20);
    struct mr_view view = {value, size};

    (void)t->ops->send_datagram(t, test->raw.conn, &view, 1);
}

/* ---- the server ---- */

static void put_response(struct input *input)
{
    static const char *const statuses[] = {"200", "103", "304", "404", "206", "20", "101", ""};
    static const char *const names[] = {"content-length", "content-range", "etag", "x",
                                        ":status",        "Upper",         "",     "location"};
    static const char *const values[] = {"3", "bytes 0-2/10", "bytes 0-2/*", "\"e\"",
                                         "0", "\n",           "bytes x",     ""};

    raw_begin_section(&section);
    raw_put_field(&section, ":status", statuses[take(input) % 8]);
    for (unsigned count = take(input) % 4; count > 0; count--) {
        const char *name = names[take(input) % 8];
        raw_put_field(&section, name, values[take(input) % 8]);
    }
    raw_put_headers(&bytes, &section);
}

static void put_frame(struct input *input)
{
    static const uint64_t types[] = {0, 0, 0, 1, 3, 4, 5, 7, 0xd, 0x21, 0xf0700};
    const uint8_t *payload;
    uint64_t type = types[take(input) % 11];
    size_t size = take_bytes(input, &payload, 60);

    raw_put_frame(&bytes, type, payload, size);
}

/* One step of the server. */
static void step_server(struct raw_client_test *test, struct input *input, uint8_t op,
                        uint8_t which)
{
    int stream = test->raw.stream_count == 0 ? -1 : which % (int)test->raw.stream_count;
    const uint8_t *raw;
    size_t size;

    bytes.size = 0;
    switch (op % 8) {
    case 0:
        if (test->raw.stream_count < 60)
            (void)raw_open(&test->raw, which % 16 != 0);
        return;
    case 1:
        if (which % 4 == 0)
            raw_put_control(&bytes);
        else if (which % 4 < 3)
            put_settings(input);
        else if (which % 8 == 3)
            raw_put(&bytes, "\x02\x3f\xe1\x1f\x46x-name\x05value\x00", 18);
        else
            send_datagram(test, input);
        break;
    case 2:
        size = take_bytes(input, &raw, 100);
        raw_put(&bytes, raw, size);
        break;
    case 3:
    case 4:
        if (which % 5 == 0)
            put_table_response(input);
        else
            put_response(input);
        break;
    case 5:
        put_frame(input);
        break;
    case 6:
        if (stream >= 0 && which < 128)
            raw_reset(&test->raw, stream, which);
        else if (stream >= 0)
            raw_stop(&test->raw, stream, which);
        return;
    default:
        break; /* only the end */
    }
    if (stream >= 0)
        raw_send(&test->raw, stream, &bytes, op >= 128);
}

/* One step of the client's user. */
static void step_user(struct raw_client_test *test, mr_h3_client_request *requests, uint32_t *count,
                      uint8_t which)
{
    struct mr_h3_request_options options = {
        .is_head = which % 4 == 0, .authority = "localhost", .path = "/x", .range = "bytes=0-2"};

    if (which % 9 == 0) {
        options.protocol = "test";
        options.tunnel = &handlers;
    }
    switch (which % 3) {
    case 0:
        if (*count < REQUESTS_MAX && mr_h3_client_request_make(test->client, test->conn, &options,
                                                               1, &requests[*count]) == 0)
            ++*count;
        break;
    case 1:
        if (*count > 0)
            (void)mr_h3_client_cancel(test->client, requests[which % *count]);
        break;
    default:
        if (*count > 0)
            (void)mr_h3_client_resume(test->client, requests[which % *count]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    mr_h3_client_request requests[REQUESTS_MAX];
    uint32_t count = 0;
    uint8_t choice = take(&input);
    struct mr_h3_client_config config = mr_h3_client_config_default(4, 64);
    struct loop_config loop = loop_config_default(1);
    config.has_tunnels = choice % 3 != 0;
    config.qpack_blocked_max = choice % 5;
    config.qpack_encoder_capacity = choice % 4 == 0 ? 0 : 256;
    loop.datagram_max = choice % 8 < 4 ? 1200 : 0;
    loop.refuse_percent = 0;
    struct raw_client_test *test = raw_client_test_new_with(&config, &loop, choice % 2 == 0);

    for (int i = 0; i < STEPS_MAX && input.size > 0 && !test->is_closed; i++) {
        uint8_t op = take(&input);
        uint8_t which = take(&input);
        if (op % 16 < 11)
            step_server(test, &input, (uint8_t)(op % 16 % 8 | (op & 0x80)), which);
        else if (op % 16 < 13)
            step_user(test, requests, &count, which);
        for (unsigned s = op % 16 < 13 ? which % 2 : 1 + which % 8u; s > 0; s--)
            loop_step(test->loop);
    }
    mr_h3_check(&test->client->h3);
    loop_cut(test->loop);
    loop_run(test->loop, RUN_STEPS);
    MR_ASSERT(test->is_done);
    MR_ASSERT(test->is_closed);
    MR_ASSERT(test->done_count == 1 + count);
    MR_ASSERT(test->client->requests.used == 0);
    MR_ASSERT(test->client->tunnels.used == 0);
    mr_h3_check(&test->client->h3);
    MR_ASSERT(test->client->h3.conns.used == 0);
    MR_ASSERT(test->client->h3.heap.used_bytes <= HEAP_IDLE_MAX);
    raw_client_test_free(test);
    return 0;
}
