/* tools/main.c - the `millrace` program: finds the subcommand. */
#include <stdio.h>
#include <string.h>

#include "tools/bench.h"
#include "tools/tools.h"

static const struct command {
    const char *name;
    const char *about;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"edge", "serve a directory of files over HTTP/3", mr_tool_edge},
    {"get", "fetch files over HTTP/3", mr_tool_get},
    {"demo", "serve a real directory from core to core, checked and measured: what `make run` does",
     mr_tool_demo},
    {"bench", "measure over the in-memory wire: transfer, handshake, request, latency, idle",
     mr_tool_bench},
};

static const struct command bench_kinds[] = {
    {"transfer", "bulk data: goodput, time per packet by stage", mr_bench_transfer},
    {"handshake", "connections made and closed: server time per handshake", mr_bench_handshake},
    {"request", "small exchanges, many at a time", mr_bench_request},
    {"latency", "small exchanges, one at a time", mr_bench_latency},
    {"idle", "connections that stay: memory of each", mr_bench_idle},
};

static int usage(FILE *to, const char *program, const struct command *list, size_t count)
{
    fprintf(to, "usage: %s COMMAND [options]\n\ncommands:\n", program);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "  %-10s %s\n", list[i].name, list[i].about);
    fprintf(to, "\n`%s COMMAND --help` says more.\n", program);
    return to == stdout ? 0 : 2;
}

static int dispatch(const char *program, const struct command *list, size_t count, int argc,
                    char **argv)
{
    if (argc < 2)
        return usage(stderr, program, list, count);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return usage(stdout, program, list, count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(argv[1], list[i].name) == 0)
            return list[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "%s: unknown command %s\n", program, argv[1]);
    return usage(stderr, program, list, count);
}

int mr_tool_bench(int argc, char **argv)
{
    return dispatch("millrace bench", bench_kinds, MR_COUNT_OF(bench_kinds), argc, argv);
}

int main(int argc, char **argv)
{
    return dispatch("millrace", commands, MR_COUNT_OF(commands), argc, argv);
}
