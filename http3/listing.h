/*
 * http3/listing.h - a directory as a page of HTML.
 *
 * Runs on a helper thread (it reads the directory and may allocate).
 * Limits: MR_LISTING_ENTRIES_MAX entries, and the room given; a page that was cut says so.
 */
#ifndef MR_HTTP3_LISTING_H
#define MR_HTTP3_LISTING_H

#include <stddef.h>

enum {
    MR_LISTING_ENTRIES_MAX = 10000,
    MR_LISTING_ROOM_MIN = 8192, /* bytes; enough for head, foot and the longest names */
};

/*
 * Write the listing of the directory open as `fd` (which is closed) to `dst`; `path` is shown as
 * its name. Names that begin with "." are left out.  Returns 0 or an errno value; *size_out is the
 * page's size.
 */
int mr_listing_write(int fd, const char *path, char *dst, size_t room, size_t *size_out);

#endif /* MR_HTTP3_LISTING_H */
