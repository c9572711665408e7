/* tools/tools.h - the commands of the `millrace` program.  argv[0] is the command's name; each
 * returns its exit status: MR_EXIT_*. */
#ifndef MR_TOOLS_TOOLS_H
#define MR_TOOLS_TOOLS_H

enum mr_exit {
    MR_EXIT_OK = 0,
    MR_EXIT_FAILED = 1, /* one line on standard error says why */
    MR_EXIT_USAGE = 2,  /* the command line is malformed, likewise */
    MR_EXIT_STATUS = 3, /* get: the server answered, with an error */
};

int mr_tool_edge(int argc, char **argv);
int mr_tool_host(int argc, char **argv);
int mr_tool_get(int argc, char **argv);
int mr_tool_demo(int argc, char **argv);
int mr_tool_ctl(int argc, char **argv);
int mr_tool_perf(int argc, char **argv);
int mr_tool_perf_client(int argc, char **argv);
int mr_tool_perf_server(int argc, char **argv);

#endif /* MR_TOOLS_TOOLS_H */
