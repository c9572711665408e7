/*
 * tools/output.h - where a download goes: a file that appears only when it is complete, or a pipe.
 *
 *     NAME.xxxxxxxx.part  --mr_output_commit()-->  NAME
 *                         --mr_output_discard()--> nothing
 *
 * The partial file is always a new one with a name of its own: nothing that is there is written to
 * or removed.  A NAME that exists is replaced at the end, even if it is a symbolic link: what that
 * points at stays as it is.  What is no regular file (a pipe, a device, also at the end of a link),
 * and standard output, are written directly.
 *
 * Owner: the command.  Threads: open, commit and discard on one; the descriptor may be written by
 * another in between.
 */
#ifndef MR_TOOLS_OUTPUT_H
#define MR_TOOLS_OUTPUT_H

#include <stdbool.h>

#include "base/fault.h"
#include "tools/url.h"

#define MR_OUTPUT_PATH_MAX 4096

struct mr_output {
    int fd;                        /* -1: closed */
    bool is_stream;                /* writing may block for long */
    bool is_direct;                /* no partial file */
    char path[MR_OUTPUT_PATH_MAX]; /* "-": standard output */
    char part[MR_OUTPUT_PATH_MAX]; /* in the same directory; set while it is there */
};

/*
 * Decide the name: `wanted` if it is a file's name or "-"; the URL's own name in the directory
 * `wanted`, or in the current one if it is NULL.  False with `fault` set: too long.
 */
bool mr_output_name(struct mr_output *output, const char *wanted, const struct mr_url *url,
                    struct mr_fault *fault);

/* Open it for writing.  False with `fault` set. */
bool mr_output_open(struct mr_output *output, struct mr_fault *fault);

/* Close it and give it its name.  False with `fault` set: then it is discarded. */
bool mr_output_commit(struct mr_output *output, struct mr_fault *fault);

/* Close it and remove what was written, if that is a file of ours.  Allowed at any time. */
void mr_output_discard(struct mr_output *output);

#endif /* MR_TOOLS_OUTPUT_H */
