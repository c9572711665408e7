/* base/log.c - see log.h. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS     UINT64_C(1000000)

static const char *const level_names[MR_LOG_LEVELS] = {
    [MR_LOG_ERROR] = "error",
    [MR_LOG_WARN] = "warn",
    [MR_LOG_INFO] = "info",
    [MR_LOG_DEBUG] = "debug",
};

/* Outside the lock, so that a line that is not shown costs one load. */
static _Atomic int shown_level = MR_LOG_INFO;

static struct {
    pthread_mutex_t lock; /* of all below */
    struct mr_log_options options;
    uint64_t second;   /* that `lines` belongs to */
    uint32_t lines;    /* shown in it */
    uint64_t dropped;  /* lines, in all */
    uint64_t reported; /* of them */
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .options = {.level = MR_LOG_INFO}};

/* A line that grows; what does not fit is left out. */
struct line {
    char text[MR_LOG_LINE_SIZE];
    size_t size;
};

void mr_log_configure(const struct mr_log_options *options)
{
    pthread_mutex_lock(&sink.lock);
    sink.options = *options;
    sink.second = 0;
    sink.lines = 0;
    sink.dropped = 0;
    sink.reported = 0;
    /* relaxed: a filter, nothing is read on the strength of it */
    atomic_store_explicit(&shown_level, (int)options->level, memory_order_relaxed);
    pthread_mutex_unlock(&sink.lock);
}

bool mr_log_is_shown(enum mr_log_level level)
{
    /* relaxed: see mr_log_configure */
    return (int)level <= atomic_load_explicit(&shown_level, memory_order_relaxed);
}

uint64_t mr_log_dropped(void)
{
    pthread_mutex_lock(&sink.lock);
    uint64_t dropped = sink.dropped;
    pthread_mutex_unlock(&sink.lock);
    return dropped;
}

enum mr_log_level mr_log_level_from_name(const char *name)
{
    int level = 0;

    while (level < MR_LOG_LEVELS && strcmp(name, level_names[level]) != 0)
        level++;
    return (enum mr_log_level)level;
}

static void append_args(struct line *line, const char *fmt, va_list args)
{
    size_t room = sizeof(line->text) - line->size;
    int size = vsnprintf(line->text + line->size, room, fmt, args);

    if (size < 0)
        return;
    if ((size_t)size < room) {
        line->size += (size_t)size;
        return;
    }
    line->size = sizeof(line->text) - 1;
    memcpy(line->text + line->size - 3, "...", 3);
}

MR_PRINTF(2, 3) static void append(struct line *line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    append_args(line, fmt, args);
    va_end(args);
}

/* "2026-11-20T23:04:05.123Z warn  " */
static void append_prefix(struct line *line, enum mr_log_level level, uint64_t unix_ns)
{
    if (unix_ns != 0) {
        time_t seconds = (time_t)(unix_ns / NS_PER_SECOND);
        struct tm utc;

        gmtime_r(&seconds, &utc);
        line->size = strftime(line->text, sizeof(line->text), "%Y-%m-%dT%H:%M:%S", &utc);
        append(line, ".%03uZ ", (unsigned)(unix_ns % NS_PER_SECOND / NS_PER_MS));
    }
    append(line, "%-5s ", level_names[level]);
}

/* Make one line of it, whatever it contains, and write it. */
static void write_line(struct line *line, int fd)
{
    for (size_t i = 0; i < line->size; i++) {
        unsigned char c = (unsigned char)line->text[i];
        if (c < 0x20 || c == 0x7f)
            line->text[i] = '?';
    }
    line->text[line->size++] = '\n';

    ssize_t written = write(fd == 0 ? STDERR_FILENO : fd, line->text, line->size);
    (void)written; /* there is nowhere to report that standard error is gone */
}

/* May one more line be shown in this second?  Errors always. */
static bool is_within_limit(enum mr_log_level level, uint64_t unix_ns)
{
    uint64_t second = unix_ns / NS_PER_SECOND;

    if (second != sink.second) {
        sink.second = second;
        sink.lines = 0;
    }
    if (unix_ns != 0 && level != MR_LOG_ERROR && sink.lines >= MR_LOG_BURST)
        return false;
    sink.lines++;
    return true;
}

static void report_dropped(uint64_t unix_ns)
{
    struct line line = {.size = 0};

    append_prefix(&line, MR_LOG_WARN, unix_ns);
    append(&line, "%llu more lines were not shown",
           (unsigned long long)(sink.dropped - sink.reported));
    write_line(&line, sink.options.fd);
    sink.reported = sink.dropped;
}

void mr_log(enum mr_log_level level, const char *fmt, ...)
{
    if (!mr_log_is_shown(level))
        return;

    pthread_mutex_lock(&sink.lock);
    uint64_t unix_ns = sink.options.unix_time != NULL ? sink.options.unix_time() : 0;
    if (is_within_limit(level, unix_ns)) {
        struct line line = {.size = 0};
        va_list args;

        if (sink.reported < sink.dropped)
            report_dropped(unix_ns);
        append_prefix(&line, level, unix_ns);
        va_start(args, fmt);
        append_args(&line, fmt, args);
        va_end(args);
        write_line(&line, sink.options.fd);
    } else {
        sink.dropped++;
    }
    pthread_mutex_unlock(&sink.lock);
}
