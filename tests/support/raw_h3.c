/* tests/support/raw_h3.c - see raw_h3.h. */
#include "tests/support/raw_h3.h"
#include "http3/grease.h"

#include <errno.h>
#include <fcntl.h>
#include <nghttp3/nghttp3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "http3/frame.h"

enum {
    RUN_STEPS = 200000,
};

/* ---- bytes ---- */

void raw_put(struct raw_bytes *bytes, const void *data, size_t size)
{
    MR_ASSERT(size <= sizeof(bytes->data) - bytes->size);
    if (size > 0)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

void raw_put_varint(struct raw_bytes *bytes, uint64_t value)
{
    uint8_t data[MR_H3_VARINT_MAX_SIZE];

    raw_put(bytes, data, mr_h3_varint_put(data, value));
}

void raw_put_frame(struct raw_bytes *bytes, uint64_t type, const void *payload, size_t size)
{
    raw_put_varint(bytes, type);
    raw_put_varint(bytes, size);
    raw_put(bytes, payload, size);
}

void raw_put_id_frame(struct raw_bytes *bytes, uint64_t type, uint64_t id)
{
    uint8_t data[MR_H3_VARINT_MAX_SIZE];

    raw_put_frame(bytes, type, data, mr_h3_varint_put(data, id));
}

void raw_put_control(struct raw_bytes *bytes)
{
    raw_put_varint(bytes, MR_H3_STREAM_CONTROL);
    raw_put_frame(bytes, MR_H3_FRAME_SETTINGS, NULL, 0);
}

/* An integer with a prefix of `bits` bits, RFC 9204, Section 4.1.1; `first` are the bits above it.
 */
static void put_prefixed(struct raw_bytes *bytes, uint8_t first, unsigned bits, size_t value)
{
    size_t max = ((size_t)1 << bits) - 1;
    uint8_t byte = (uint8_t)(first | (value < max ? value : max));

    raw_put(bytes, &byte, 1);
    if (value < max)
        return;
    for (value -= max; value >= 128; value >>= 7) {
        byte = (uint8_t)(0x80 | (value & 0x7f));
        raw_put(bytes, &byte, 1);
    }
    byte = (uint8_t)value;
    raw_put(bytes, &byte, 1);
}

void raw_begin_section(struct raw_bytes *section)
{
    section->size = 0;
    raw_put(section, "\0\0", 2); /* nothing of a dynamic table */
}

void raw_put_field_bytes(struct raw_bytes *section, const char *name, size_t name_size,
                         const char *value, size_t value_size)
{
    put_prefixed(section, 0x20, 3, name_size);
    raw_put(section, name, name_size);
    put_prefixed(section, 0x00, 7, value_size);
    raw_put(section, value, value_size);
}

void raw_put_field(struct raw_bytes *section, const char *name, const char *value)
{
    raw_put_field_bytes(section, name, strlen(name), value, strlen(value));
}

void raw_put_get(struct raw_bytes *section, const char *path)
{
    raw_put_field(section, ":method", "GET");
    raw_put_field(section, ":scheme", "https");
    raw_put_field(section, ":authority", "localhost");
    raw_put_field(section, ":path", path);
}

void raw_put_headers(struct raw_bytes *bytes, const struct raw_bytes *section)
{
    raw_put_frame(bytes, MR_H3_FRAME_HEADERS, section->data, section->size);
}

/* ---- the peer ---- */

static struct raw_stream *find_stream(struct raw_peer *peer, mr_handle handle)
{
    for (uint32_t i = 0; i < peer->stream_count; i++) {
        if (peer->streams[i].handle == handle)
            return &peer->streams[i];
    }
    return NULL;
}

static struct raw_stream *add_stream(struct raw_peer *peer, mr_handle handle, bool is_ours)
{
    MR_ASSERT(peer->stream_count < RAW_STREAMS_MAX);
    struct raw_stream *stream = &peer->streams[peer->stream_count++];
    stream->handle = handle;
    stream->id = peer->transport->ops->stream_id(peer->transport, handle);
    stream->is_ours = is_ours;
    stream->in.size = 0;
    stream->reset_code = RAW_NONE;
    stream->stop_code = RAW_NONE;
    return stream;
}

static void read_stream(struct raw_peer *peer, struct raw_stream *stream)
{
    struct mr_transport *t = peer->transport;
    struct mr_view views[8];
    bool has_fin = false;
    int64_t count;

    while ((count = t->ops->receive(t, stream->handle, views, 8, &has_fin)) > 0) {
        size_t size = 0;
        for (int64_t i = 0; i < count; i++) {
            MR_ASSERT(views[i].size <= RAW_IN_MAX - stream->in.size);
            memcpy(stream->in.data + stream->in.size, views[i].data, views[i].size);
            stream->in.size += views[i].size;
            size += views[i].size;
        }
        t->ops->release(t, stream->handle, size);
    }
    stream->has_fin |= has_fin;
    if (has_fin)
        t->ops->release(t, stream->handle, 0);
}

static void on_stream_event(struct raw_peer *peer, const struct mr_event *event)
{
    struct raw_stream *stream = find_stream(peer, event->stream);

    if (stream == NULL)
        stream = add_stream(peer, event->stream, false);
    if ((event->kinds & MR_EVENT_READABLE) != 0)
        read_stream(peer, stream);
    if ((event->kinds & MR_EVENT_RESET) != 0)
        stream->reset_code = event->error;
    if ((event->kinds & MR_EVENT_STOPPED) != 0)
        stream->stop_code = event->error;
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        stream->is_closed = true;
}

static void on_event(struct raw_peer *peer, const struct mr_event *event)
{
    if (event->stream != MR_HANDLE_NONE) {
        on_stream_event(peer, event);
        return;
    }
    if ((event->kinds & MR_EVENT_CONNECTED) != 0) {
        peer->conn = event->conn;
        peer->is_connected = true;
    }
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        peer->is_closed = true;
        peer->is_application = event->is_application;
        peer->close_code = event->error;
    }
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        on_event(context, &events[i]);
}

static void on_start(void *context, struct mr_transport *transport)
{
    struct raw_peer *peer = context;

    peer->transport = transport;
}

void raw_peer_init(struct raw_peer *peer, unsigned side)
{
    peer->side = side;
    peer->close_code = RAW_NONE;
    peer->streams = calloc(RAW_STREAMS_MAX, sizeof(*peer->streams));
    MR_ASSERT(peer->streams != NULL);
    peer->application = (struct mr_application){
        .name = "raw", .context = peer, .on_start = on_start, .on_events = on_events};
}

int raw_open(struct raw_peer *peer, bool is_uni)
{
    struct mr_transport *t = peer->transport;
    mr_handle handle;
    int result = t->ops->open(t, peer->conn, is_uni ? MR_OPEN_UNI : MR_OPEN_BIDI, 1, &handle);

    if (result != 0)
        return -1;
    add_stream(peer, handle, true);
    return (int)peer->stream_count - 1;
}

void raw_send(struct raw_peer *peer, int stream, const struct raw_bytes *bytes, bool is_last)
{
    struct mr_transport *t = peer->transport;
    mr_handle handle = peer->streams[stream].handle;
    size_t at = 0;

    do {
        size_t part = bytes->size - at > 1024 ? 1024 : bytes->size - at;
        bool is_end = at + part == bytes->size;
        struct mr_view view = {bytes->data + at, part};
        uint32_t flags = MR_SEND_COPY | (is_end && is_last ? (uint32_t)MR_SEND_FIN : 0);
        while (t->ops->send(t, handle, &view, 1, flags) == -ENOMEM)
            continue; /* the loop may refuse now and then */
        at += part;
    } while (at < bytes->size);
}

void raw_reset(struct raw_peer *peer, int stream, uint64_t code)
{
    (void)peer->transport->ops->reset(peer->transport, peer->streams[stream].handle, code);
}

void raw_stop(struct raw_peer *peer, int stream, uint64_t code)
{
    (void)peer->transport->ops->stop(peer->transport, peer->streams[stream].handle, code);
}

/* ---- looking at what came ---- */

struct raw_stream *raw_find_uni(struct raw_peer *peer, uint64_t type)
{
    for (uint32_t i = 0; i < peer->stream_count; i++) {
        struct raw_stream *stream = &peer->streams[i];
        if (!stream->is_ours && (stream->id & 2) != 0 && stream->in.size > 0 &&
            stream->in.data[0] == type)
            return stream;
    }
    return NULL;
}

const uint8_t *raw_find_frame(const struct raw_stream *stream, size_t at, uint64_t type,
                              size_t *size_out)
{
    while (at < stream->in.size) {
        struct mr_h3_frame_reader reader = {0};
        at += mr_h3_frame_read_header(&reader, stream->in.data + at, stream->in.size - at);
        if (!reader.has_header || reader.left > stream->in.size - at)
            return NULL;
        if (reader.type == type) {
            *size_out = reader.left;
            return stream->in.data + at;
        }
        at += reader.left;
    }
    return NULL;
}

const char *raw_fields(const struct raw_stream *stream)
{
    static char text[RAW_IN_MAX];
    size_t size = 0;
    size_t used = 0;
    const uint8_t *section = raw_find_frame(stream, 0, MR_H3_FRAME_HEADERS, &size);
    nghttp3_qpack_decoder *decoder;
    nghttp3_qpack_stream_context *context;
    nghttp3_qpack_nv nv;
    uint8_t flags = 0;

    text[0] = '\0';
    MR_ASSERT(nghttp3_qpack_decoder_new(&decoder, 0, 0, nghttp3_mem_default()) == 0);
    MR_ASSERT(nghttp3_qpack_stream_context_new(&context, 0, nghttp3_mem_default()) == 0);
    while (size > 0 && (flags & NGHTTP3_QPACK_DECODE_FLAG_FINAL) == 0) {
        nghttp3_ssize read =
            nghttp3_qpack_decoder_read_request(decoder, context, &nv, &flags, section, size, 1);
        if (read < 0)
            break; /* it refers to a dynamic table: that of another decoder */
        section += read;
        size -= (size_t)read;
        if ((flags & NGHTTP3_QPACK_DECODE_FLAG_EMIT) == 0)
            continue;
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s: %s\n",
                                 (const char *)nghttp3_rcbuf_get_buf(nv.name).base,
                                 (const char *)nghttp3_rcbuf_get_buf(nv.value).base);
        MR_ASSERT(used < sizeof(text));
        nghttp3_rcbuf_decref(nv.name);
        nghttp3_rcbuf_decref(nv.value);
    }
    nghttp3_qpack_stream_context_del(context);
    nghttp3_qpack_decoder_del(decoder);
    return text;
}

unsigned raw_status(const struct raw_stream *stream)
{
    unsigned status = 0;

    (void)sscanf(raw_fields(stream), ":status: %u", &status);
    return status;
}

/* ---- against our server ---- */

struct raw_server_test *raw_server_test_new(const struct mr_h3_server_config *config,
                                            const struct loop_config *loop)
{
    struct raw_server_test *test = calloc(1, sizeof(*test));
    struct mr_h3_server_config server = mr_h3_server_config_default(4);
    struct loop_config defaults = loop_config_default(1);
    struct mr_connect_options options = {
        .server_name = "localhost", .alpn = (const uint8_t *)"\x02h3", .alpn_size = 3};
    char path[96];

    MR_ASSERT(test != NULL);
    strcpy(test->root, "/tmp/mr-raw-XXXXXX");
    MR_ASSERT(mkdtemp(test->root) != NULL);
    snprintf(path, sizeof(path), "%s/a.txt", test->root);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    MR_ASSERT(fd >= 0 && write(fd, "0123456789", 10) == 10);
    close(fd);
    if (config != NULL)
        server = *config;
    if (server.has_hq) {
        options.alpn = (const uint8_t *)"\x0ahq-interop";
        options.alpn_size = 11;
    }
    server.root = test->root;
    server.cache_bytes = 1 << 20;
    server.buffers_max = 4;
    server.buffer_bytes = 65536;
    MR_ASSERT(mr_h3_server_new(&server, &test->server, NULL) == 0);
    raw_peer_init(&test->raw, 0);
    test->loop = loop_new(loop == NULL ? &defaults : loop, &test->raw.application,
                          mr_h3_server_application(test->server));
    while (test->raw.transport->ops->connect(test->raw.transport, &options, &test->raw.conn) != 0)
        continue; /* the loop may refuse now and then */
    MR_ASSERT(loop_run(test->loop, RUN_STEPS));
    return test;
}

void raw_server_test_free(struct raw_server_test *test)
{
    char path[96];

    loop_free(test->loop);
    mr_h3_server_free(test->server);
    free(test->raw.streams);
    snprintf(path, sizeof(path), "%s/a.txt", test->root);
    (void)unlink(path);
    (void)rmdir(test->root);
    free(test);
}

/* ---- against our client ---- */

static void on_headers(void *context, mr_h3_client_request request, uint64_t user,
                       const struct mr_h3_response *response)
{
    struct raw_client_test *test = context;

    (void)request;
    (void)user;
    test->headers++;
    test->response = *response;
}

static void on_done(void *context, mr_h3_client_request request, uint64_t user,
                    const struct mr_h3_result *result)
{
    struct raw_client_test *test = context;

    (void)user;
    MR_ASSERT(!test->is_closed);
    test->done_count++;
    if (request != test->request)
        return;
    MR_ASSERT(!test->is_done);
    test->is_done = true;
    test->result = *result;
    test->result.reason = NULL;
}

static void on_closed(void *context, mr_h3_client_conn conn, uint64_t user,
                      const struct mr_h3_closed *closed)
{
    struct raw_client_test *test = context;

    (void)conn;
    (void)user;
    MR_ASSERT(!test->is_closed);
    test->is_closed = true;
    test->closed_code = closed->code;
}

static void on_goaway(void *context, mr_h3_client_conn conn, uint64_t user)
{
    struct raw_client_test *test = context;

    (void)conn;
    (void)user;
    test->goaways++;
}

struct raw_client_test *raw_client_test_new(bool is_head)
{
    return raw_client_test_new_with(NULL, NULL, is_head);
}

struct raw_client_test *raw_client_test_new_with(const struct mr_h3_client_config *config,
                                                 const struct loop_config *loop, bool is_head)
{
    struct raw_client_test *test = calloc(1, sizeof(*test));
    struct mr_h3_client_config defaults = mr_h3_client_config_default(4, 64);
    struct mr_h3_client_callbacks callbacks = {.context = test,
                                               .on_headers = on_headers,
                                               .on_done = on_done,
                                               .on_closed = on_closed,
                                               .on_goaway = on_goaway};
    struct loop_config loop_defaults = loop_config_default(1);
    struct mr_connect_options options = {.server_name = "localhost"};
    struct mr_h3_request_options request = {
        .is_head = is_head, .authority = "localhost", .path = "/a.txt"};

    MR_ASSERT(test != NULL);
    MR_ASSERT(mr_h3_client_new(config == NULL ? &defaults : config, &callbacks, &test->client,
                               NULL) == 0);
    raw_peer_init(&test->raw, 1);
    test->loop = loop_new(loop == NULL ? &loop_defaults : loop,
                          mr_h3_client_application(test->client), &test->raw.application);
    MR_ASSERT(mr_h3_client_connect(test->client, &options, 0, &test->conn) == 0);
    MR_ASSERT(mr_h3_client_request_make(test->client, test->conn, &request, 0, &test->request) ==
              0);
    MR_ASSERT(loop_run(test->loop, RUN_STEPS));
    return test;
}

void raw_client_test_free(struct raw_client_test *test)
{
    loop_free(test->loop);
    mr_h3_client_free(test->client);
    free(test->raw.streams);
    free(test);
}

struct raw_stream *raw_client_test_request(struct raw_client_test *test)
{
    for (uint32_t i = 0; i < test->raw.stream_count; i++) {
        if (test->raw.streams[i].id == 0 && !test->raw.streams[i].is_ours)
            return &test->raw.streams[i];
    }
    mr_panic(__FILE__, __LINE__, "the client made a request");
}

bool raw_is_reserved(const struct raw_stream *stream)
{
    uint64_t type = 0;
    size_t at = 0;

    return !stream->is_ours && (stream->id & 2) != 0 &&
           mr_h3_frame_get_varint(stream->in.data, stream->in.size, &at, &type) &&
           mr_h3_reserved_is(type);
}
