/*
 * http3/listing.h - a directory as a page of HTML.
 *
 * Runs on a helper thread (it reads the directory and may allocate).
 * Limits: MR_LISTING_ENTRIES_MAX entries, MR_LISTING_LINKS_MAX links among them, and the room
 * given; a page that was cut says so.
 */
#ifndef MR_HTTP3_LISTING_H
#define MR_HTTP3_LISTING_H

#include <stddef.h>

enum {
    MR_LISTING_ENTRIES_MAX = 10000,
    MR_LISTING_LINKS_MAX = 1000, /* links that are followed to see what they are */
    MR_LISTING_ROOM_MIN = 8192,  /* bytes; enough for head, foot and the longest names */
};

/*
 * Write the listing of the directory open as `fd` (which is closed) to `dst`; `path` is its path
 * below the root directory open as `root_fd`, and shown as its name.  Left out are names that begin
 * with ".", and what a request could not get: names that no target may have (target.h), links that
 * lead out of the root or nowhere, what is neither file nor directory.  Returns 0 or an errno
 * value; *size_out is the page's size.
 */
int mr_listing_write(int fd, int root_fd, const char *path, char *dst, size_t room,
                     size_t *size_out);

#endif /* MR_HTTP3_LISTING_H */
