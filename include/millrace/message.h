/*
 * millrace/message.h - messages over any channel of bytes, and structs as messages.
 *
 *     struct --mr_schema_encode()--> message --prefix, body--> channel
 *     channel --bytes--> mr_message_parse() --> message --mr_schema_decode()--> struct
 *
 * A channel is two functions: a stream of QUIC, a pipe or socket of the kernel, or memory
 * (millrace/channel.h); what is written against it serves all of them.
 *
 * The parser is a value: it takes bytes in any pieces, has no memory but the caller's, and calls
 * nothing.
 *
 * Owner: the caller.  Threads: a struct at a time belongs to one.  Limits: format.size_max bytes of
 * a message: a larger one ends the stream with -EMSGSIZE.
 */
#ifndef MILLRACE_MESSAGE_H
#define MILLRACE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "millrace/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ channels */

struct mr_channel {
    /* Bytes read, when some are there; 0: the end; -errno. */
    ssize_t (*read)(void *context, void *buffer, size_t size);
    /* All of `size` are written; -EINPROGRESS: they are taken, and still on their way; other
     * -errno: none is; fewer: it failed half way. */
    ssize_t (*write)(void *context, const void *buffer, size_t size);
    void *context;
    /* Once: nothing is written any more, and what was ends within a message.  Tell the other end,
     * and let calls that wait return.  NULL: it cannot be told. */
    void (*abort)(void *context);
};

/* ------------------------------------------------------------------ framing */

enum mr_message_prefix {
    MR_PREFIX_VARINT, /* RFC 9000, Section 16; longer than necessary is accepted */
    MR_PREFIX_U32     /* 4 bytes, network order */
};

struct mr_message_format {
    enum mr_message_prefix prefix;
    uint32_t size_max; /* bytes of a message, < 2^30 */
};

enum {
    MR_PREFIX_MAX = 8
}; /* bytes */

struct mr_message_parser {
    struct mr_message_format format;
    uint8_t *body; /* format.size_max bytes of the caller's */
    uint32_t size; /* of the message, once the prefix is whole */
    uint32_t have; /* bytes of the body */
    uint8_t prefix[MR_PREFIX_MAX];
    uint8_t prefix_have;
    bool is_sized;
    bool is_refused;
};

enum mr_message_verdict {
    MR_MESSAGE_PARTIAL,  /* all bytes are taken, more are needed */
    MR_MESSAGE_WHOLE,    /* parser->body, parser->size; the next call begins another */
    MR_MESSAGE_TOO_LARGE /* for ever */
};

/* Begin with no bytes taken.  `body`: format.size_max bytes, which stay the caller's. */
void mr_message_parser_init(struct mr_message_parser *parser,
                            const struct mr_message_format *format, void *body);

/* Take bytes, at most to the end of one message.  *used_out: how many. */
enum mr_message_verdict mr_message_parse(struct mr_message_parser *parser, const void *data,
                                         size_t size, size_t *used_out);

/* Say whether it has a part of a message; false: it stands between two, where a stream may end. */
bool mr_message_parser_is_inside(const struct mr_message_parser *parser);

/* The prefix of a message of `size` bytes: how many bytes; 0: it is larger than allowed. */
size_t mr_message_prefix(const struct mr_message_format *format, size_t size,
                         uint8_t prefix_out[MR_PREFIX_MAX]);

/* ------------------------------------------------------------------ messages over a channel */

struct mr_message_stream;

/* The channel's context must outlive it.  NULL: no memory, or size_max is out of range. */
struct mr_message_stream *mr_message_stream_new(const struct mr_channel *channel,
                                                const struct mr_message_format *format);
void mr_message_stream_free(struct mr_message_stream *stream);

/*
 * The next message; waits as the channel does.  Its size, with *data_out valid until the next call;
 * -ENODATA: the end, between two messages; -EBADMSG: the end, within one; -EMSGSIZE; -EPIPE: it was
 * aborted; -errno of the channel.  One reader at a time.
 */
ssize_t mr_message_read(struct mr_message_stream *stream, const uint8_t **data_out);

/*
 * One message.  0; -EINPROGRESS of the channel: it is taken as a whole, and still on its way;
 * -EMSGSIZE: larger than the format allows; -ENOMEM; -EPIPE: it was aborted; -errno of the channel:
 * nothing was written, and the next may be.  One writer at a time.
 *
 * A message that is written half way (the wait for room was cancelled or timed out, the channel
 * failed) aborts the stream: behind a part of one no other can be told apart.
 */
int mr_message_write(struct mr_message_stream *stream, const void *data, size_t size);

/*
 * End it, in both directions: whoever reads or writes gets -EPIPE from now on, and the other end
 * learns it as the channel can tell (channel.abort; millrace/channel.h).  Again: no effect.
 */
void mr_message_abort(struct mr_message_stream *stream);
bool mr_message_is_aborted(const struct mr_message_stream *stream);

/* ------------------------------------------------------------------ structs as messages */

enum mr_field_kind {
    MR_FIELD_U8,   /* uint8_t */
    MR_FIELD_U32,  /* uint32_t; in the message as all numbers in network order */
    MR_FIELD_U64,  /* uint64_t */
    MR_FIELD_BYTES /* struct mr_view; in the message a u32 length and the bytes */
};

/* Of a number the value, of bytes the size lies in min..max; max 0: no upper bound.  A number with
 * min == max is a tag by which messages are told apart. */
struct mr_field {
    const char *name;
    enum mr_field_kind kind;
    size_t offset; /* in the struct */
    uint64_t min;
    uint64_t max;
};

struct mr_schema {
    const char *name;
    const struct mr_field *fields;
    uint32_t field_count;
};

/* A row of a table of fields. */
#define MR_FIELD(type, field, kind_of, least, most)                                                \
    {                                                                                              \
        .name = #field, .kind = MR_FIELD_##kind_of, .offset = offsetof(type, field), .min = least, \
        .max = most                                                                                \
    }

/* Bytes of the message; -ENOSPC: more than `room`; -ERANGE: a field is out of its bounds. */
ssize_t mr_schema_encode(const struct mr_schema *schema, const void *object, uint8_t *out,
                         size_t room);

/* Views point into `data`.  0; -EBADMSG: it is too short, or too long; -ERANGE: a field is out of
 * its bounds.  On failure *object_out is undefined. */
int mr_schema_decode(const struct mr_schema *schema, const uint8_t *data, size_t size,
                     void *object_out);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_MESSAGE_H */
