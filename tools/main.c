/* tools/main.c - the `millrace` program: finds the subcommand, and sees that its output arrives. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench.h"
#include "tools/tools.h"

static const struct command {
    const char *name;
    const char *about;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"edge", "serve a directory of files over HTTP/3", mr_tool_edge},
    {"host", "run a datapath that applications attach to", mr_tool_host},
    {"get", "fetch files over HTTP/3", mr_tool_get},
    {"demo", "serve a real directory from core to core, checked and measured: what `make run` does",
     mr_tool_demo},
    {"bench",
     "measure over the in-memory wire: transfer, handshake, established, request, latency, idle, "
     "ring, models",
     mr_tool_bench},
    {"perf", "load a server of the QUIC performance protocol, or be one: client, server",
     mr_tool_perf},
    {"ctl", "send a command to a running datapath", mr_tool_ctl},
};

static const struct command bench_kinds[] = {
    {"transfer", "bulk data: goodput, time per packet by stage", mr_bench_transfer},
    {"established", "connections that are there, with new ones besides", mr_bench_established},
    {"handshake", "connections made and closed: server time per handshake", mr_bench_handshake},
    {"request", "small exchanges, many at a time", mr_bench_request},
    {"latency", "small exchanges, one at a time", mr_bench_latency},
    {"idle", "connections that stay: memory of each", mr_bench_idle},
    {"ring", "messages between a shard and an application: handing over", mr_bench_ring},
    {"models", "the same server in each I/O model: cost of a message", mr_bench_models},
};

static const struct command perf_sides[] = {
    {"client", "load a server, measure, and say what limited it", mr_tool_perf_client},
    {"server", "answer clients", mr_tool_perf_server},
};

static int usage(FILE *to, const char *program, const struct command *list, size_t count)
{
    fprintf(to, "usage: %s COMMAND [options]\n\ncommands:\n", program);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "  %-10s %s\n", list[i].name, list[i].about);
    fprintf(to, "\n`%s COMMAND --help` says more%s.\n", program,
            list == commands ? ", `millrace --version` which this is" : "");
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

static int say_version(void)
{
    puts("millrace " MILLRACE_VERSION);
    return MR_EXIT_OK;
}

int mr_tool_bench(int argc, char **argv)
{
    return dispatch("millrace bench", bench_kinds, MR_COUNT_OF(bench_kinds), argc, argv);
}

int mr_tool_perf(int argc, char **argv)
{
    return dispatch("millrace perf", perf_sides, MR_COUNT_OF(perf_sides), argc, argv);
}

/* Whoever started us may have closed one of the three: no file of ours may take its number, or it
 * would get what is meant for people.  What is written to a closed standard output fails. */
static void occupy_standard_descriptors(void)
{
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", modes[fd]); /* takes the lowest number, which is this one */
    }
}

/* Results that nobody received are no success.  The exit status. */
static int close_output(const char *command, int status)
{
    bool was_lost = ferror(stdout) != 0;

    errno = 0;
    if (was_lost) { /* on the way; why is most likely what a further write says */
        (void)fputc('\n', stdout);
        (void)fflush(stdout);
    }
    if (fclose(stdout) == 0 && !was_lost)
        return status;
    fprintf(stderr, "millrace%s%s: cannot write to standard output: %s\n",
            command[0] != '\0' ? " " : "", command,
            errno != 0 ? strerror(errno) : "a write failed");
    return status == MR_EXIT_OK ? MR_EXIT_FAILED : status;
}

/* The name of the command that is asked for; "": none of ours. */
static const char *name_of(int argc, char **argv)
{
    for (size_t i = 0; argc >= 2 && i < MR_COUNT_OF(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].name;
    }
    return "";
}

int main(int argc, char **argv)
{
    occupy_standard_descriptors();
    int status = argc == 2 && strcmp(argv[1], "--version") == 0
                     ? say_version()
                     : dispatch("millrace", commands, MR_COUNT_OF(commands), argc, argv);

    return close_output(name_of(argc, argv), status);
}
