/*
 * http3/hq.c - "hq-interop": HTTP/0.9 in place of HTTP/3's frames, on a connection whose ALPN says
 * so.
 *
 *     client's bidirectional stream:   GET /path CR LF, FIN   -->
 *                                                             <--   the file's bytes, FIN
 *
 * No status, no fields, no streams of the layer's own.  A request becomes the head of a GET for the
 * layer's user, so that everything behind it (files, cache, buffers, timeouts) is HTTP/3's; an
 * answer other than 200 is a reset with the status for its code.  A response is one with status 200
 * and content of unknown length.  See h3_conn.h.
 *
 * Limits: a request line of MR_HQ_LINE_MAX bytes; more is answered as 414 is.
 */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/h3_internal.h"

enum {
    COPY_MAX = 1024, /* bytes that a transport copies in one send */
    STATUS_OK = 200,
    STATUS_TOO_LONG = 414,
};

static const char get_word[] = {'G', 'E', 'T', ' '};

void mr_h3_hq_detect(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    struct mr_transport *t = h3->transport;
    struct mr_conn_info info;

    conn->is_hq = h3->speaks_hq && t->ops->conn_info(t, conn->handle, &info) == 0 &&
                  strcmp(info.alpn, MR_HQ_ALPN) == 0;
}

/* ---- server: a request ---- */

/* Tell the user of a GET of `path`, complete; of a line that is none, as a request of another
 * method. */
static void begin_request(struct mr_h3 *h3, struct mr_h3_stream *stream, struct mr_text path,
                          bool is_get)
{
    const struct mr_h3_user *user = &h3->user;
    struct mr_message *message = &h3->message;

    mr_message_begin(message, MR_MESSAGE_REQUEST, &(struct mr_message_limits){0});
    message->method = is_get ? MR_METHOD_GET : MR_METHOD_OTHER;
    stream->phase = MR_H3_PHASE_TRAILERS;
    stream->is_early = stream->conn->is_early;
    mr_count_add(&h3->counters->requests_early, stream->is_early);
    if (is_get)
        user->on_field(user->context, stream, MR_FIELD_PATH, (struct mr_text){":path", 5}, path);
    user->on_head(user->context, stream, message, MR_MESSAGE_OK);
    if (stream->is_over)
        return;
    stream->is_over = true;
    user->on_end(user->context, stream);
}

/* The line without its end. */
static void take_line(struct mr_h3 *h3, struct mr_h3_stream *stream, const char *line, size_t size)
{
    bool is_get = size > sizeof(get_word) && memcmp(line, get_word, sizeof(get_word)) == 0;
    struct mr_text path = {line, 0};

    if (is_get)
        path = (struct mr_text){line + sizeof(get_word), size - sizeof(get_word)};
    while (path.size > 0 && (path.data[path.size - 1] == '\r' || path.data[path.size - 1] == ' '))
        path.size--;
    begin_request(h3, stream, path, is_get);
}

/* Keep a line that has not come as a whole; false: it is too long, or there is no memory. */
static bool keep_line(struct mr_h3_stream *stream, const uint8_t *data, size_t size)
{
    struct mr_heap_share *share = &stream->conn->sections;

    if (stream->assembled + size > MR_HQ_LINE_MAX)
        return false;
    if (stream->assembly == NULL)
        stream->assembly = mr_heap_share_alloc(share, MR_HQ_LINE_MAX);
    if (stream->assembly == NULL)
        return false;
    memcpy(stream->assembly + stream->assembled, data, size);
    stream->assembled += size;
    return true;
}

static void end_line(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    uint8_t *line = stream->assembly;

    stream->assembly = NULL;
    take_line(h3, stream, line == NULL ? "" : (const char *)line, (size_t)stream->assembled);
    mr_heap_share_free(&stream->conn->sections, line);
}

static void take_request(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                         size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    size_t line_size = end == NULL ? size : (size_t)(end - data);

    if (stream->phase != MR_H3_PHASE_HEAD) /* behind the line: nothing of meaning */
        return;
    if (end != NULL && stream->assembly == NULL && line_size <= MR_HQ_LINE_MAX) {
        take_line(h3, stream, (const char *)data, line_size);
    } else if (!keep_line(stream, data, line_size)) {
        mr_count(&h3->counters->requests_too_large);
        mr_h3_stream_fail(h3, stream, STATUS_TOO_LONG);
    } else if (end != NULL) {
        end_line(h3, stream);
    }
}

/* ---- client: a response ---- */

static void begin_response(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    const struct mr_h3_user *user = &h3->user;
    struct mr_message *message = &h3->message;

    if (stream->phase != MR_H3_PHASE_HEAD)
        return;
    mr_message_begin(message, MR_MESSAGE_RESPONSE, &(struct mr_message_limits){0});
    message->status = STATUS_OK;
    message->content_length = MR_LENGTH_UNKNOWN;
    stream->phase = MR_H3_PHASE_BODY;
    user->on_field(user->context, stream, MR_FIELD_STATUS, (struct mr_text){":status", 7},
                   (struct mr_text){"200", 3});
    user->on_head(user->context, stream, message, MR_MESSAGE_OK);
}

static size_t take_content(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                           size_t size)
{
    begin_response(h3, stream);
    if (!stream->is_reading) /* given up meanwhile */
        return size;
    size_t taken = h3->user.on_data(h3->user.context, stream, data, size);
    mr_count_add(&h3->counters->body_bytes_received, taken);
    stream->body_received += taken;
    stream->is_paused = taken < size;
    return taken;
}

/* ---- both ---- */

size_t mr_h3_hq_take(struct mr_h3 *h3, struct mr_h3_stream *stream, const uint8_t *data,
                     size_t size)
{
    if (!h3->is_server)
        return take_content(h3, stream, data, size);
    take_request(h3, stream, data, size);
    return size;
}

void mr_h3_hq_end(struct mr_h3 *h3, struct mr_h3_stream *stream)
{
    if (h3->is_server && stream->phase == MR_H3_PHASE_HEAD) {
        end_line(h3, stream);
    } else if (!h3->is_server) {
        begin_response(h3, stream);
        if (stream->is_over)
            return;
        stream->is_over = true;
        h3->user.on_end(h3->user.context, stream);
    }
}

/* ---- sending ---- */

/* "GET path\r\n", the end.  Results as mr_h3_send_head(). */
static int send_request(struct mr_h3 *h3, struct mr_h3_stream *stream, struct mr_text method,
                        struct mr_text path)
{
    struct mr_transport *t = h3->transport;
    const struct mr_view line[] = {{(const uint8_t *)get_word, sizeof(get_word)},
                                   {(const uint8_t *)path.data, path.size},
                                   {(const uint8_t *)"\r\n", 2}};
    size_t size = mr_views_size(line, MR_COUNT_OF(line));

    if (size > COPY_MAX || method.size != 3) /* there is no HEAD */
        return -EMSGSIZE;
    int result = t->ops->send(t, stream->handle, line, MR_COUNT_OF(line),
                              (uint32_t)MR_SEND_COPY | (uint32_t)MR_SEND_FIN);
    if (result == 0)
        stream->sent_bytes += size;
    else if (result == -EAGAIN || result == -ENOMEM)
        mr_count(&h3->counters->send_waits);
    return result;
}

/* Nothing before the content; a status that is none of success, and an empty file, are all there
 * is. */
static int send_status(struct mr_h3 *h3, struct mr_h3_stream *stream, struct mr_text status,
                       const struct mr_h3_body *body)
{
    struct mr_transport *t = h3->transport;
    uint64_t code = 0;

    for (size_t i = 0; i < status.size; i++)
        code = 10 * code + (uint64_t)(status.data[i] - '0');
    if (code != STATUS_OK) {
        (void)t->ops->reset(t, stream->handle, code);
        return -EPIPE;
    }
    if (body->size > 0)
        return 0;
    return t->ops->send(t, stream->handle, NULL, 0, (uint32_t)MR_SEND_FIN);
}

static struct mr_text value_of(const struct mr_field_line *lines, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(lines[i].name, name) == 0)
            return lines[i].value;
    }
    return (struct mr_text){"", 0};
}

int mr_h3_hq_send_head(struct mr_h3 *h3, struct mr_h3_stream *stream,
                       const struct mr_field_line *lines, size_t count,
                       const struct mr_h3_body *body)
{
    if (stream->conn->is_closing)
        return -EPIPE;
    if (h3->is_server)
        return send_status(h3, stream, value_of(lines, count, ":status"), body);
    return send_request(h3, stream, value_of(lines, count, ":method"),
                        value_of(lines, count, ":path"));
}
