/* http3/target.c - see target.h. */
#include "http3/target.h"

#include <stdint.h>
#include <string.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decode the character at text[*at] and step over it; -1: it may not be in a path. */
static int decode(const char *text, size_t size, size_t *at)
{
    int c = (unsigned char)text[(*at)++];

    if (c == '#') /* a fragment is never sent (RFC 9110, Section 7.1) */
        return -1;
    if (c == '%') {
        if (size - *at < 2)
            return -1;
        int high = hex_value(text[*at]);
        int low = hex_value(text[*at + 1]);
        if (high < 0 || low < 0)
            return -1;
        *at += 2;
        c = high << 4 | low;
        if (c == '/')
            return -1;
    }
    return c < 0x20 || c == 0x7f ? -1 : c;
}

/* Drop the last segment; false if there is none. */
static bool pop_segment(struct mr_target *target)
{
    if (target->size == 0)
        return false;
    while (target->size > 0 && target->path[--target->size] != '/')
        continue;
    return true;
}

/* What the segment path[begin..size) means; it begins after a "/" unless it is the first. */
static bool end_segment(struct mr_target *target, size_t begin)
{
    size_t size = target->size - begin;
    const char *segment = target->path + begin;
    bool is_dot = size == 1 && segment[0] == '.';
    bool is_dot_dot = size == 2 && segment[0] == '.' && segment[1] == '.';

    if (size > 0 && !is_dot && !is_dot_dot)
        return true;
    target->size = begin == 0 ? 0 : begin - 1; /* with the "/" before it */
    return !is_dot_dot || pop_segment(target);
}

static bool is_directory_segment(const char *path, size_t begin, size_t end)
{
    size_t size = end - begin;

    return size == 0 || (size == 1 && path[begin] == '.') ||
           (size == 2 && path[begin] == '.' && path[begin + 1] == '.');
}

/* Keep "?..." behind the path's NUL if there is room. */
static void keep_query(struct mr_target *target, const char *query, size_t size)
{
    target->is_query_lost = size > MR_TARGET_PATH_MAX - target->size - 1;
    target->query_size = target->is_query_lost ? 0 : size;
    if (target->query_size > 0)
        memcpy(target->path + target->size + 1, query, size);
}

enum mr_target_verdict mr_target_parse(struct mr_target *target, const char *text, size_t size)
{
    const char *query = size == 0 ? NULL : memchr(text, '?', size);

    target->size = 0;
    target->is_directory = true;
    size_t query_size = query == NULL ? 0 : size - (size_t)(query - text);
    size -= query_size;
    if (size == 0 || text[0] != '/')
        return MR_TARGET_BAD;

    for (size_t at = 1; at <= size; at++) { /* once per segment; `at` ends on its "/" or the end */
        if (target->size > 0)
            target->path[target->size++] = '/';
        size_t begin = target->size;
        while (at < size && text[at] != '/') {
            int c = decode(text, size, &at);
            if (c < 0)
                return MR_TARGET_BAD;
            if (target->size >= MR_TARGET_PATH_MAX - 2) /* room for a "/" and the NUL */
                return MR_TARGET_LONG;
            target->path[target->size++] = (char)c;
        }
        target->is_directory = is_directory_segment(target->path, begin, target->size);
        if (!end_segment(target, begin))
            return MR_TARGET_BAD;
    }
    target->path[target->size] = '\0';
    keep_query(target, query, query_size);
    return MR_TARGET_OK;
}

static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

size_t mr_target_encode(char *dst, size_t room, const char *text, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t at = 0;

    for (size_t i = 0; i < size; i++) {
        size_t need = is_plain(text[i]) ? 1 : 3;
        if (room - at < need)
            return 0;
        if (need == 1) {
            dst[at++] = text[i];
        } else {
            dst[at++] = '%';
            dst[at++] = hex[(uint8_t)text[i] >> 4];
            dst[at++] = hex[(uint8_t)text[i] & 15];
        }
    }
    return at;
}
