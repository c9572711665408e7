/*
 * fuzz/fuzz_message.c - property test of app/message.c and app/message_schema.c.
 *
 * The first byte chooses the prefix, the second the sizes of pieces, the rest is a stream of bytes.
 * Properties:
 *   1. the messages found do not depend on how the stream is cut into pieces;
 *   2. all bytes are used, unless a message is too large; a body fits into the caller's memory;
 *   3. the message written with its shortest prefix is parsed to itself;
 *   4. what a schema decodes encodes to the same bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "millrace/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    SIZE_MAX_OF_MESSAGE = 300,
    MESSAGES_MAX = 64
};

struct found {
    uint32_t count;
    uint32_t size[MESSAGES_MAX];
    uint64_t sum[MESSAGES_MAX];
    bool is_refused;
    bool is_inside;
};

struct example {
    struct mr_view key;
    struct mr_view value;
    uint64_t version;
    uint32_t number;
    uint8_t kind;
};

static const struct mr_field fields[] = {
    MR_FIELD(struct example, kind, U8, 1, 5),     MR_FIELD(struct example, number, U32, 0, 0),
    MR_FIELD(struct example, key, BYTES, 1, 8),   MR_FIELD(struct example, version, U64, 0, 1000),
    MR_FIELD(struct example, value, BYTES, 0, 0),
};

static const struct mr_schema schema = {"example", fields, MR_COUNT_OF(fields)};

static void check_schema(const uint8_t *data, size_t size)
{
    struct example example = {0};
    uint8_t again[512];

    if (mr_schema_decode(&schema, data, size, &example) != 0)
        return;
    MR_ASSERT(example.kind >= 1 && example.kind <= 5);
    MR_ASSERT(example.key.size >= 1 && example.key.size <= 8);
    MR_ASSERT(example.version <= 1000);
    if (size > sizeof(again))
        return;
    MR_ASSERT(mr_schema_encode(&schema, &example, again, sizeof(again)) == (ssize_t)size);
    MR_ASSERT(memcmp(again, data, size) == 0);
    if (size > 0)
        MR_ASSERT(mr_schema_encode(&schema, &example, again, size - 1) == -ENOSPC);
}

static void check_again(const struct mr_message_parser *parser)
{
    struct mr_message_parser other;
    uint8_t whole[MR_PREFIX_MAX + SIZE_MAX_OF_MESSAGE];
    uint8_t body[SIZE_MAX_OF_MESSAGE];
    size_t used;
    size_t prefix = mr_message_prefix(&parser->format, parser->size, whole);

    MR_ASSERT(prefix > 0);
    memcpy(whole + prefix, parser->body, parser->size);
    mr_message_parser_init(&other, &parser->format, body);
    MR_ASSERT(mr_message_parse(&other, whole, prefix + parser->size, &used) == MR_MESSAGE_WHOLE);
    MR_ASSERT(used == prefix + parser->size);
    MR_ASSERT(other.size == parser->size);
    MR_ASSERT(memcmp(body, parser->body, parser->size) == 0);
}

static void note(struct found *found, const struct mr_message_parser *parser)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < parser->size; i++)
        sum = sum * 31 + parser->body[i];
    if (found->count < MESSAGES_MAX) {
        found->size[found->count] = parser->size;
        found->sum[found->count] = sum;
    }
    found->count++;
    check_again(parser);
    check_schema(parser->body, parser->size);
}

/* In pieces of 1 to `piece` bytes; 0: at once. */
static void parse(enum mr_message_prefix prefix, const uint8_t *data, size_t size, size_t piece,
                  struct found *found)
{
    struct mr_message_format format = {prefix, SIZE_MAX_OF_MESSAGE};
    struct mr_message_parser parser;
    uint8_t *body = malloc(SIZE_MAX_OF_MESSAGE);
    size_t at = 0;

    memset(found, 0, sizeof(*found));
    mr_message_parser_init(&parser, &format, body);
    while (at < size && !found->is_refused) {
        size_t give = piece == 0 ? size - at : MR_MIN(size - at, 1 + (at * 7) % piece);
        size_t used;
        enum mr_message_verdict verdict = mr_message_parse(&parser, data + at, give, &used);
        MR_ASSERT(used <= give);
        at += used;
        if (verdict == MR_MESSAGE_WHOLE)
            note(found, &parser);
        if (verdict == MR_MESSAGE_PARTIAL)
            MR_ASSERT(used == give);
        found->is_refused = verdict == MR_MESSAGE_TOO_LARGE;
    }
    found->is_inside = mr_message_parser_is_inside(&parser);
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct found at_once, cut;

    check_schema(data, size);
    if (size < 2)
        return 0;
    enum mr_message_prefix prefix = data[0] % 2 == 0 ? MR_PREFIX_VARINT : MR_PREFIX_U32;
    parse(prefix, data + 2, size - 2, 0, &at_once);
    parse(prefix, data + 2, size - 2, 1 + data[1] % 16, &cut);
    MR_ASSERT(memcmp(&at_once, &cut, sizeof(cut)) == 0);
    return 0;
}
