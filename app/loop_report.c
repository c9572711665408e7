/* app/loop_report.c - who took how long; see loop_internal.h. */
#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "app/loop_internal.h"
#include "base/compiler.h"

#define LINE_EVERY_NS UINT64_C(1000000000)

uint64_t mr_loop_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The function's own name if the program has it; else where it is, for addr2line(1). */
static void name_function(char *name, size_t room, const char *kind, const void *function)
{
    Dl_info info;

    if (dladdr(function, &info) == 0) {
        snprintf(name, room, "%s %p", kind, function);
        return;
    }
    if (info.dli_sname != NULL && info.dli_saddr == function) {
        snprintf(name, room, "%s", info.dli_sname);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    snprintf(name, room, "%s %.24s+0x%zx", kind, slash == NULL ? info.dli_fname : slash + 1,
             (size_t)((const char *)function - (const char *)info.dli_fbase));
}

MR_COLD static void report(struct mr_loop *loop, const char *name, uint64_t took_ns)
{
    loop->stats.stalls++;
    if (took_ns > loop->stats.longest_stall_ns) {
        loop->stats.longest_stall_ns = took_ns;
        snprintf(loop->stats.longest_stall_name, sizeof(loop->stats.longest_stall_name), "%s",
                 name);
    }
    if (loop->config.on_stall != NULL) {
        loop->config.on_stall(loop->config.stall_context, name, took_ns);
        return;
    }
    if (loop->stall_line_at != 0 && loop->run.lap - loop->stall_line_at < LINE_EVERY_NS)
        return;
    loop->stall_line_at = loop->run.lap;
    fprintf(stderr, "millrace: the handler %s held its loop for %.1f ms\n", name,
            (double)took_ns / 1e6);
}

void mr_loop_called(struct mr_loop *loop, const char *kind, const void *function)
{
    uint64_t now = mr_loop_clock();
    uint64_t took = now - loop->run.lap;
    char name[MR_LOOP_NAME];

    loop->run.lap = now;
    loop->run.handlers++;
    loop->stats.handlers++;
    if (took > loop->config.stall_ns) {
        if (loop->run.name[0] == '\0')
            name_function(name, sizeof(name), kind,
                          loop->run.function != NULL ? loop->run.function : function);
        report(loop, loop->run.name[0] != '\0' ? loop->run.name : name, took);
    }
    loop->run.name[0] = '\0';
    loop->run.function = NULL;
}

void mr_loop_event_took(void *context, const char *name, uint64_t ns)
{
    struct mr_loop *loop = context;

    loop->run.lap = mr_loop_clock();
    loop->run.handlers++;
    loop->stats.handlers++;
    if (ns > loop->config.stall_ns)
        report(loop, loop->run.name[0] != '\0' ? loop->run.name : name, ns);
    loop->run.name[0] = '\0';
}

uint64_t mr_loop_event_clock(void *context)
{
    (void)context;
    return mr_loop_clock();
}

void mr_loop_name_handler(struct mr_loop *loop, const char *name)
{
    snprintf(loop->run.name, sizeof(loop->run.name), "%s", name);
}

void mr_loop_set_ideal_cpu(struct mr_loop *loop, const void *thread)
{
    cpu_set_t set;

    if (loop->config.cpu <= 0 || loop->told_thread == thread)
        return;
    loop->told_thread = thread;
    CPU_ZERO(&set);
    CPU_SET((unsigned)loop->config.cpu - 1, &set);
    (void)sched_setaffinity(0, sizeof(set), &set); /* a wish: no such processor, no move */
}
