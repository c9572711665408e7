/*
 * http3/target.h - from a request's :path to a relative path below the root.
 *
 *     "/a/./b%20c/../d/?x=1"  ->  "a/d", is_directory
 *
 * The query is kept as it came, percent-encoding decoded, empty and "." segments dropped, ".."
 * resolved. What a file system could take for something else is refused: a ".." above the root, an
 * encoded
 * "/", NUL and other control characters, a broken percent-encoding.  Pure; RFC 3986,
 * Sections 2.1, 5.2.4.
 */
#ifndef MR_HTTP3_TARGET_H
#define MR_HTTP3_TARGET_H

#include <stdbool.h>
#include <stddef.h>

enum {
    MR_TARGET_PATH_MAX = 1024 /* bytes of a decoded path, its NUL included */
};

enum mr_target_verdict {
    MR_TARGET_OK,
    MR_TARGET_BAD,  /* 400 */
    MR_TARGET_LONG, /* 414 */
};

struct mr_target {
    size_t size;        /* of path, without its NUL */
    size_t query_size;  /* of mr_target_query(), with its "?"; 0: none, or it found no room */
    bool is_directory;  /* it ended with "/": names a directory or nothing */
    bool is_query_lost; /* there is a query that found no room */
    char path[MR_TARGET_PATH_MAX]; /* no "/" at either end; "" is the root */
};

/* The query, behind the path's NUL. */
static inline const char *mr_target_query(const struct mr_target *target)
{
    return target->path + target->size + 1;
}

/* Read the `size` bytes at `text`, a :path value.  *target is complete only with MR_TARGET_OK. */
enum mr_target_verdict mr_target_parse(struct mr_target *target, const char *text, size_t size);

/*
 * Write the `size` bytes at `text` percent-encoded as one path segment.  Returns the bytes written,
 * or 0 if `room` is too small (3 * size suffices).  No NUL is written.
 */
size_t mr_target_encode(char *dst, size_t room, const char *text, size_t size);

#endif /* MR_HTTP3_TARGET_H */
