/*
 * tools/options.h - command lines: one table per command gives parsing, checks, messages and
 * --help.
 *
 * Every message names the option, what is wrong with it, and what would be right.
 * Threads: none of its own.
 */
#ifndef MR_TOOLS_OPTIONS_H
#define MR_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

enum mr_option_kind {
    MR_OPTION_FLAG,   /* bool */
    MR_OPTION_U32,    /* uint32_t in [min, max] */
    MR_OPTION_SIZE,   /* uint64_t in [min, max], with K, M, G (1024) */
    MR_OPTION_REAL,   /* double in [min, max] */
    MR_OPTION_TEXT,   /* const char *, borrowed from argv */
    MR_OPTION_CHOICE, /* int: the index in `choices`, a NULL-terminated list */
    MR_OPTION_LIST,   /* struct mr_option_list: may be given several times */
};

#define MR_OPTION_LIST_MAX   8  /* times that one option may be given; more: an error */
#define MR_POSITIONAL_MAX    64 /* arguments that are no options */

#define MR_OPTION_TABLES_MAX 8 /* beside the first, a NULL behind them included */

/* The values of an option that may be given several times, borrowed from argv. */
struct mr_option_list {
    uint32_t count;
    const char *text[MR_OPTION_LIST_MAX];
};

struct mr_option {
    const char *name; /* without dashes */
    enum mr_option_kind kind;
    void *to;
    const char *argument; /* as shown in --help: "N", "DIR"; NULL for flags */
    const char *help;     /* one line */
    double min;
    double max; /* 0: no limit */
    const char *const *choices;
    bool *given; /* set when the option is there; may be NULL */
};

struct mr_command_line {
    const char *usage;               /* "millrace edge [options]" */
    const char *about;               /* a line or more */
    const struct mr_option *options; /* ends with a NULL name */
    const struct mr_option
        *more[MR_OPTION_TABLES_MAX]; /* such tables: further ones, up to a NULL */
    uint32_t positional_max;
    const char *positional[MR_POSITIONAL_MAX];
    uint32_t positional_count;
};

enum mr_parse_result {
    MR_PARSE_OK,
    MR_PARSE_HELP, /* help was printed: exit 0 */
    MR_PARSE_ERROR /* `fault` says why: exit 2 */
};

/* Parse argv[1..]. */
enum mr_parse_result mr_options_parse(struct mr_command_line *line, int argc, char **argv,
                                      struct mr_fault *fault);

/* "10G" to 10000000000 and the like: decimal units, for rates.  False: malformed. */
bool mr_parse_rate(const char *text, uint64_t *out);

/* "64K" to 65536 and the like: units of 1,024, for sizes.  False: malformed, negative, 2^63 and
 * more. */
bool mr_parse_size(const char *text, uint64_t *out);

#endif /* MR_TOOLS_OPTIONS_H */
