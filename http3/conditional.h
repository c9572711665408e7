/*
 * http3/conditional.h - entity tags, and what the conditional fields of a request ask for.
 *
 * RFC 9110, Sections 8.8 and 13.  Pure.
 */
#ifndef MR_HTTP3_CONDITIONAL_H
#define MR_HTTP3_CONDITIONAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MR_ETAG_MAX = 72 /* bytes of an entity tag of ours, quotes and NUL included */
};

/* What a file is known by: if any of it differs, the content may. */
struct mr_file_version {
    uint64_t inode;
    uint64_t size;
    int64_t modified_ns; /* since 1970 */
    int64_t changed_ns;  /* likewise, and nobody can set it back: of content, name or rights */
};

static inline bool mr_file_version_equal(const struct mr_file_version *a,
                                         const struct mr_file_version *b)
{
    return a->inode == b->inode && a->size == b->size && a->modified_ns == b->modified_ns &&
           a->changed_ns == b->changed_ns;
}

/* Write the strong entity tag of `version` with its quotes and a NUL; returns its length. */
size_t mr_etag_format(char dst[MR_ETAG_MAX], const struct mr_file_version *version);

/* The conditional fields of a request; NULL: absent. */
struct mr_conditions {
    const char *if_match;
    const char *if_none_match;
    const char *if_modified_since;
    const char *if_unmodified_since;
    const char *if_range;
};

enum mr_condition_verdict {
    MR_CONDITION_PROCEED,
    MR_CONDITION_NOT_MODIFIED, /* 304 */
    MR_CONDITION_FAILED,       /* 412 */
};

/*
 * Evaluate for GET or HEAD, in the order of RFC 9110, Section 13.2.2.  `now` in seconds since 1970.
 * A date that cannot be read is ignored.
 */
enum mr_condition_verdict mr_conditions_evaluate(const struct mr_conditions *conditions,
                                                 const struct mr_file_version *version,
                                                 int64_t now);

/* True if a Range may be honoured: there is no If-Range, or it names this version (strong
 * comparison). */
bool mr_conditions_allow_range(const struct mr_conditions *conditions,
                               const struct mr_file_version *version, int64_t now);

#endif /* MR_HTTP3_CONDITIONAL_H */
