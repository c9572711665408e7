/*
 * base/log.h - what the process has to say to its operator: lines on standard error.
 *
 *     2026-11-20T23:04:05.123Z warn  certificate /etc/x.pem expires in 3 days
 *     2026-11-20T23:04:06.001Z info  listening on 198.18.0.2:443
 *     2026-11-20T23:04:09.310Z warn  1204 more lines were not shown
 *
 * One call is one line and one write(), so lines of two threads never mix.  More
 * than MR_LOG_BURST lines in one second are dropped and counted; the next line that
 * gets through says how many.  Errors are never dropped.
 *
 * Owner: the process.  Threads: any but lcores; a mutex and a system call are inside.
 * base/ has no clock: without the one of struct mr_log_options there is neither a
 * time stamp nor a limit (tests, tools that print a few lines).
 */
#ifndef MR_BASE_LOG_H
#define MR_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/fault.h"

enum {
    MR_LOG_LINE_SIZE =
        512, /* bytes of a line, newline included; a longer one is cut and ends with "..." */
    MR_LOG_BURST = 100, /* lines per second */
};

enum mr_log_level {
    MR_LOG_ERROR,
    MR_LOG_WARN,
    MR_LOG_INFO,
    MR_LOG_DEBUG,
    MR_LOG_LEVELS
};

struct mr_log_options {
    enum mr_log_level level; /* the least urgent level that is shown */
    uint64_t (*unix_time)(
        void); /* ns since 1970; NULL: no time stamps, no limit; callable from any thread */
    int fd;    /* where lines go; 0: standard error */
};

/*
 * Replace the options, which are copied, and forget the count of dropped lines.
 * Before the first call: MR_LOG_INFO, no clock, standard error.
 */
void mr_log_configure(const struct mr_log_options *options);

/* Is a line of this level shown?  For arguments that are costly to compute. */
bool mr_log_is_shown(enum mr_log_level level);

/* Write one line (printf-style, without newline).  Control characters become '?'. */
void mr_log(enum mr_log_level level, const char *fmt, ...) MR_PRINTF(2, 3);

/* Lines that the limit has dropped since mr_log_configure(). */
uint64_t mr_log_dropped(void);

/* The level called `name` ("error", "warn", "info", "debug"); MR_LOG_LEVELS if there is none. */
enum mr_log_level mr_log_level_from_name(const char *name);

#endif /* MR_BASE_LOG_H */
