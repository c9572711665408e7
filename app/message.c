/* app/message.c - framing; see millrace/message.h. */
#include "millrace/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/compiler.h"

enum {
    CHUNK = 4096,
    COPIED_MAX = 1024,
    SIZE_END = 1 << 30
};

/* ------------------------------------------------------------------ the parser */

void mr_message_parser_init(struct mr_message_parser *parser,
                            const struct mr_message_format *format, void *body)
{
    *parser = (struct mr_message_parser){.format = *format, .body = body};
}

bool mr_message_parser_is_inside(const struct mr_message_parser *parser)
{
    return parser->prefix_have > 0;
}

/* Bytes of the prefix, as far as its first byte says. */
static size_t prefix_size(const struct mr_message_parser *parser)
{
    if (parser->format.prefix == MR_PREFIX_U32)
        return 4;
    return parser->prefix_have == 0 ? 1 : (size_t)1 << (parser->prefix[0] >> 6);
}

static uint64_t prefix_value(const struct mr_message_parser *parser, size_t size)
{
    uint64_t value = parser->prefix[0];

    if (parser->format.prefix == MR_PREFIX_VARINT)
        value &= 0x3f;
    for (size_t i = 1; i < size; i++)
        value = value << 8 | parser->prefix[i];
    return value;
}

/* Take bytes of the prefix: how many. */
static size_t take_prefix(struct mr_message_parser *parser, const uint8_t *data, size_t size)
{
    size_t used = 0;

    while (used < size && parser->prefix_have < prefix_size(parser))
        parser->prefix[parser->prefix_have++] = data[used++];
    size_t whole = prefix_size(parser);
    if (parser->prefix_have < whole)
        return used;
    uint64_t value = prefix_value(parser, whole);
    parser->is_refused = value > parser->format.size_max;
    parser->is_sized = !parser->is_refused;
    parser->size = parser->is_refused ? 0 : (uint32_t)value;
    parser->have = 0;
    return used;
}

enum mr_message_verdict mr_message_parse(struct mr_message_parser *parser, const void *data,
                                         size_t size, size_t *used_out)
{
    size_t used = 0;

    *used_out = 0;
    if (!parser->is_sized && !parser->is_refused)
        used = take_prefix(parser, data, size);
    *used_out = used;
    if (parser->is_refused)
        return MR_MESSAGE_TOO_LARGE;
    if (!parser->is_sized)
        return MR_MESSAGE_PARTIAL;
    size_t take = MR_MIN(size - used, (size_t)(parser->size - parser->have));
    if (take > 0)
        memcpy(parser->body + parser->have, (const uint8_t *)data + used, take);
    parser->have += (uint32_t)take;
    *used_out = used + take;
    if (parser->have < parser->size)
        return MR_MESSAGE_PARTIAL;
    parser->is_sized = false;
    parser->prefix_have = 0;
    return MR_MESSAGE_WHOLE;
}

size_t mr_message_prefix(const struct mr_message_format *format, size_t size,
                         uint8_t prefix_out[MR_PREFIX_MAX])
{
    if (size > format->size_max || size >= SIZE_END)
        return 0;
    if (format->prefix == MR_PREFIX_U32 || size >= 1 << 14) {
        uint32_t marked = format->prefix == MR_PREFIX_U32 ? 0 : UINT32_C(0x80000000);
        mr_store_be32(prefix_out, (uint32_t)size | marked);
        return 4;
    }
    if (size >= 1 << 6) {
        mr_store_be16(prefix_out, (uint16_t)(size | 0x4000));
        return 2;
    }
    prefix_out[0] = (uint8_t)size;
    return 1;
}

/* ------------------------------------------------------------------ over a channel */

struct mr_message_stream {
    struct mr_channel channel;
    struct mr_message_parser parser;
    bool is_aborted;
    size_t begin; /* bytes of `chunk` that are not taken yet */
    size_t end;
    uint8_t chunk[CHUNK];
    uint8_t body[]; /* size_max */
};

struct mr_message_stream *mr_message_stream_new(const struct mr_channel *channel,
                                                const struct mr_message_format *format)
{
    if (format->size_max >= SIZE_END)
        return NULL;
    struct mr_message_stream *stream = malloc(sizeof(*stream) + format->size_max);
    if (stream == NULL)
        return NULL;
    stream->channel = *channel;
    stream->is_aborted = false;
    stream->begin = stream->end = 0;
    mr_message_parser_init(&stream->parser, format, stream->body);
    return stream;
}

void mr_message_stream_free(struct mr_message_stream *stream)
{
    free(stream);
}

ssize_t mr_message_read(struct mr_message_stream *stream, const uint8_t **data_out)
{
    struct mr_message_parser *parser = &stream->parser;
    size_t used;

    while (!stream->is_aborted) {
        enum mr_message_verdict verdict = mr_message_parse(parser, stream->chunk + stream->begin,
                                                           stream->end - stream->begin, &used);
        stream->begin += used;
        if (verdict == MR_MESSAGE_TOO_LARGE)
            return -EMSGSIZE;
        if (verdict == MR_MESSAGE_WHOLE) {
            *data_out = parser->body;
            return (ssize_t)parser->size;
        }
        MR_ASSERT(stream->begin == stream->end);
        ssize_t size = stream->channel.read(stream->channel.context, stream->chunk, CHUNK);
        if (size <= 0 && stream->is_aborted)
            break;
        if (size < 0)
            return size;
        if (size == 0)
            return mr_message_parser_is_inside(parser) ? -EBADMSG : -ENODATA;
        stream->begin = 0;
        stream->end = (size_t)size;
    }
    return -EPIPE;
}

void mr_message_abort(struct mr_message_stream *stream)
{
    if (stream->is_aborted)
        return;
    stream->is_aborted = true;
    if (stream->channel.abort != NULL)
        stream->channel.abort(stream->channel.context);
}

bool mr_message_is_aborted(const struct mr_message_stream *stream)
{
    return stream->is_aborted;
}

/* What the channel's write() says of `size` bytes.  After a part of a message nothing else can
 * follow: the other end would take it for the rest. */
static int take_written(struct mr_message_stream *stream, ssize_t written, size_t size)
{
    if (written == (ssize_t)size)
        return 0;
    if (written >= 0)
        mr_message_abort(stream);
    return stream->is_aborted ? -EPIPE : (int)written;
}

/* Whole in one call, so that a short message is one write. */
int mr_message_write(struct mr_message_stream *stream, const void *data, size_t size)
{
    uint8_t small[MR_PREFIX_MAX + COPIED_MAX];
    uint8_t prefix[MR_PREFIX_MAX];
    size_t prefix_size = mr_message_prefix(&stream->parser.format, size, prefix);

    if (stream->is_aborted)
        return -EPIPE;
    if (prefix_size == 0)
        return -EMSGSIZE;
    uint8_t *whole = size <= COPIED_MAX ? small : malloc(prefix_size + size);
    if (whole == NULL)
        return -ENOMEM;
    memcpy(whole, prefix, prefix_size);
    if (size > 0)
        memcpy(whole + prefix_size, data, size);
    size += prefix_size;
    ssize_t written = stream->channel.write(stream->channel.context, whole, size);
    if (whole != small)
        free(whole);
    return take_written(stream, written, size);
}
