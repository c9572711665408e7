/*
 * fuzz/fuzz_http_target.c - property test of http3/target.h.
 *
 * The input is a :path value; to reach deep, bytes of the input are also mapped to an alphabet of
 * what paths are made of.  Properties of a path that is accepted:
 *   1. it is shorter than its buffer, ends with NUL, and holds no control character;
 *   2. it neither begins nor ends with "/", and has no segment that is empty, "." or "..";
 *   3. percent-encoded segment by segment it reads back as itself.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "http3/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_segment(const char *segment, size_t size)
{
    MR_ASSERT(size > 0);
    MR_ASSERT(!(size == 1 && segment[0] == '.'));
    MR_ASSERT(!(size == 2 && segment[0] == '.' && segment[1] == '.'));
}

static void check_path(const struct mr_target *target)
{
    static char encoded[1 + 4 * MR_TARGET_PATH_MAX];
    struct mr_target again;
    size_t at = 0;

    MR_ASSERT(target->size < MR_TARGET_PATH_MAX);
    MR_ASSERT(strlen(target->path) == target->size);
    for (size_t i = 0; i < target->size; i++)
        MR_ASSERT((unsigned char)target->path[i] >= 0x20 && target->path[i] != 0x7f);
    for (const char *segment = target->path; *segment != '\0';) {
        size_t size = strcspn(segment, "/");
        check_segment(segment, size);
        encoded[at++] = '/';
        at += mr_target_encode(encoded + at, sizeof(encoded) - at, segment, size);
        segment += size;
        MR_ASSERT(*segment == '\0' || segment[1] != '\0');
        segment += *segment == '/';
    }
    if (target->is_directory)
        encoded[at++] = '/';
    MR_ASSERT(mr_target_parse(&again, encoded, at) == MR_TARGET_OK);
    MR_ASSERT(again.size == target->size);
    MR_ASSERT(again.is_directory == target->is_directory);
    MR_ASSERT(memcmp(again.path, target->path, target->size) == 0);
}

static void parse(const char *text, size_t size)
{
    struct mr_target target;

    if (mr_target_parse(&target, text, size) == MR_TARGET_OK)
        check_path(&target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char alphabet[] = "///..%25eE2fF0a?#x \x80";
    static char text[4096];

    size = size < sizeof(text) ? size : sizeof(text);
    parse((const char *)data, size);
    for (size_t i = 0; i < size; i++)
        text[i] = alphabet[data[i] % (sizeof(alphabet) - 1)];
    for (size_t begin = 0; begin < size; begin += 1 + begin) { /* several lengths of one input */
        text[begin] = '/';
        parse(text + begin, size - begin);
        parse(text + begin, (size - begin) % 40);
    }
    return 0;
}
