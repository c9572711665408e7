/*
 * tools/demo_site.h - the directory that `millrace demo` serves, and what every byte in it must be.
 *
 *     a directory of the user's: its files, mapped and read in before the start
 *     ours, in the user's cache: a large file of known content (http3/pattern.h), and docs/
 *
 * Owner: the demo.  Threads: made by the control thread, then read by all.
 * Limits: MR_SITE_FILES_MAX files, MR_SITE_MAPPED_MAX bytes of mapped files; the rest is left out
 * and counted.  Links, hidden and unreadable files are left out as well.
 */
#ifndef MR_TOOLS_DEMO_SITE_H
#define MR_TOOLS_DEMO_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "http3/pattern.h"

#define MR_SITE_FILES_MAX  4096
#define MR_SITE_MAPPED_MAX ((uint64_t)4 << 30)
#define MR_SITE_ROOT_MAX   4096

struct mr_site_file {
    char *path; /* of its URL, encoded */
    uint64_t size;
    uint8_t *bytes; /* mapped; NULL: the pattern, or empty */
    bool is_pattern;
};

struct mr_site {
    char root[MR_SITE_ROOT_MAX];
    struct mr_site_file *files; /* MR_SITE_FILES_MAX, by falling size */
    uint32_t count;
    uint32_t left_out;
    uint64_t bytes; /* of all files */
    struct mr_pattern pattern;
};

/* The files of `root`.  False with `fault` set: not a readable directory, no file in it. */
bool mr_site_open(struct mr_site *site, const char *root, struct mr_fault *fault);

/*
 * Make our own directory, unless it is there, with a large file of `size` bytes (less when the disk
 * has no room for it); progress goes to standard error.  Then as above.
 */
bool mr_site_open_default(struct mr_site *site, uint64_t size, struct mr_fault *fault);

/* Also after a failure. */
void mr_site_close(struct mr_site *site);

/* Is `data` what `file` has at [offset, offset + size)? */
bool mr_site_matches(const struct mr_site *site, const struct mr_site_file *file, uint64_t offset,
                     const uint8_t *data, size_t size);

#endif /* MR_TOOLS_DEMO_SITE_H */
