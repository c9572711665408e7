/* drivers/dpdk_log.c - see dpdk_log.h. */
#include "drivers/dpdk_log.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <rte_log.h>

#include "base/compiler.h"

static struct {
    FILE *stream; /* its lock guards the rest */
    bool is_verbose;
    size_t size; /* of text */
    char text[MR_DPDK_LOG_SIZE];
    char copy[MR_DPDK_LOG_SIZE + 1]; /* for the reader */
} caught;

/* Drop the oldest lines until `more` bytes fit. */
static void make_room(size_t more)
{
    while (caught.size + more > sizeof(caught.text)) {
        const char *end = memchr(caught.text, '\n', caught.size);
        size_t drop = end == NULL ? caught.size : (size_t)(end - caught.text) + 1;

        memmove(caught.text, caught.text + drop, caught.size - drop);
        caught.size -= drop;
    }
}

static ssize_t catch_text(void *cookie, const char *text, size_t size)
{
    size_t kept = size < sizeof(caught.text) ? size : sizeof(caught.text);

    (void)cookie;
    make_room(kept);
    memcpy(caught.text + caught.size, text + size - kept, kept);
    caught.size += kept;
    if (caught.is_verbose && write(STDERR_FILENO, text, size) < 0)
        caught.is_verbose = false; /* nobody reads: only catch */
    return (ssize_t)size;
}

void mr_dpdk_log_start(bool is_verbose)
{
    static const cookie_io_functions_t functions = {.write = catch_text};

    caught.is_verbose = is_verbose;
    if (caught.stream == NULL) {
        caught.stream = fopencookie(NULL, "w", functions);
        if (caught.stream == NULL)
            return; /* the log stays on standard error */
        setvbuf(caught.stream, NULL, _IOLBF, 512);
    }
    rte_openlog_stream(caught.stream);
    rte_log_set_global_level(is_verbose ? RTE_LOG_INFO : RTE_LOG_NOTICE);
}

/* Take a copy of what was caught, while no other thread writes. */
static void copy_caught(void)
{
    if (caught.stream == NULL)
        return;
    flockfile(caught.stream);
    fflush_unlocked(caught.stream);
    memcpy(caught.copy, caught.text, caught.size);
    caught.copy[caught.size] = '\0';
    funlockfile(caught.stream);
}

void mr_dpdk_log_clear(void)
{
    if (caught.stream == NULL)
        return;
    flockfile(caught.stream);
    fflush_unlocked(caught.stream);
    caught.size = 0;
    funlockfile(caught.stream);
}

const char *mr_dpdk_log(void)
{
    copy_caught();
    return caught.copy;
}

/* Lines that only say that something failed, which the caller knows. */
static bool says_nothing(const char *line)
{
    static const char *const empty[] = {
        "Failed to attach device",
        "Driver cannot attach the device",
        "failed to initialize",
        "Failed to hotplug",
    };

    for (size_t i = 0; i < MR_COUNT_OF(empty); i++)
        if (strstr(line, empty[i]) != NULL)
            return true;
    return *line == '\0';
}

const char *mr_dpdk_log_last(void)
{
    copy_caught();
    for (;;) {
        char *line = strrchr(caught.copy, '\n');

        line = line == NULL ? caught.copy : line + 1;
        if (line == caught.copy || !says_nothing(line))
            return line;
        line[-1] = '\0'; /* on to the line before */
    }
}
