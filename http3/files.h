/*
 * http3/files.h - what helper threads do with files: open below the root, read, list, close.
 *
 *     transport's thread: fill a job in --work(mr_file_job_run)--> helper thread: run it
 *                         read its results <--WORK_DONE----------
 *
 * Nothing here runs on the transport's thread but the filling in.  A job belongs to the helper from
 * work() to WORK_DONE and to nobody else meanwhile; it shares nothing with other jobs.
 *
 * Paths are resolved by openat2 with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS: links that stay
 * below the root are followed, links and ".." that lead out of it are not, /proc's links never.
 * Where the kernel or its policy has no openat2, each component is opened with O_NOFOLLOW instead:
 * then no link is followed at all.
 */
#ifndef MR_HTTP3_FILES_H
#define MR_HTTP3_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http3/conditional.h"
#include "http3/target.h"

enum mr_file_job_kind {
    MR_FILE_JOB_OPEN,
    MR_FILE_JOB_READ,
    MR_FILE_JOB_LIST,
    MR_FILE_JOB_CLOSE,
    MR_FILE_JOB_CLOCK,
};

/* What an OPEN found. */
enum mr_file_found {
    MR_FILE_FOUND,     /* a file; `fd`, `version`, and is_index if it is the directory's index */
    MR_FILE_REDIRECT,  /* a directory, and the path did not end with "/" */
    MR_FILE_DIRECTORY, /* a directory without index; `fd` is open for LIST, if wants_directory */
    MR_FILE_MISSING, /* 404: also what leads out of the root, and what is neither file nor directory
                      */
    MR_FILE_FORBIDDEN, /* 403: the process may not read it */
    MR_FILE_BUSY,      /* 503: no file descriptor or no memory */
};

struct mr_file_job {
    struct mr_file_job *next; /* in a list of jobs that wait for the work queue */
    uint64_t user_data;       /* for the WORK_DONE event */
    enum mr_file_job_kind kind;

    /* OPEN, in */
    int root_fd;
    bool wants_directory;
    const char *index; /* NULL: none */
    struct mr_target target;
    /* OPEN, out */
    enum mr_file_found found;
    bool is_index;
    struct mr_file_version version; /* also out of READ, if wants_version: after the reading */

    int fd; /* OPEN: out; READ, LIST, CLOSE: in */

    /* READ, LIST, in */
    uint8_t *data;
    size_t size; /* wanted */
    uint64_t offset;
    bool wants_version;
    /* out */
    size_t got;       /* bytes in `data`; less than wanted: the file ends there */
    int error;        /* READ, LIST: errno; 0: none */
    int64_t clock_ns; /* CLOCK: since 1970 */
};

/* The work function: run the job `argument` points to.  Always 0; results are in the job. */
int64_t mr_file_job_run(void *argument);

/* Open the directory `path` to serve from; -errno on failure. */
int mr_file_open_root(const char *path);

/* The st_mode of what `path` leads to, as OPEN resolves it; 0: OPEN would not find it.  On a helper
 * thread. */
uint32_t mr_file_mode_below(int root_fd, const char *path);

/* The clock that CLOCK reads.  For on_start. */
int64_t mr_file_clock_ns(void);

#endif /* MR_HTTP3_FILES_H */
