/*
 * control/command.h - commands that a running datapath understands: tables of them, and how a line
 * of text becomes a call and its result JSON.
 *
 *     "detach 3" --words--> table row --handler--> JSON or a fault
 *
 * To add a command, add a row.
 *
 * Threads: the control thread's.
 */
#ifndef MR_CONTROL_COMMAND_H
#define MR_CONTROL_COMMAND_H

#include <stdint.h>

#include "base/fault.h"

#define MR_COMMAND_ARGUMENTS_MAX 8

struct json_object; /* of json-c */

/* The words behind a command's name; valid during the call. */
struct mr_command_arguments {
    uint32_t count;
    const char *word[MR_COMMAND_ARGUMENTS_MAX];
};

struct mr_command {
    const char *name;
    const char *arguments; /* as shown by help: "N"; "": none */
    uint32_t argument_min;
    uint32_t argument_max;
    const char *help; /* one line */

    /* Carry it out.  0 with *result_out, which becomes the caller's; -errno with the reason in
     * `fault`. */
    int (*run)(void *context, const struct mr_command_arguments *arguments,
               struct json_object **result_out, struct mr_fault *fault);
};

/* Rows that get the same context. */
struct mr_command_table {
    const struct mr_command *rows;
    uint32_t count;
    void *context;
};

/*
 * Carry out the line `text` with the first of `tables` that has its command.  0 with *result_out,
 * which becomes the caller's; -EINVAL: no such command, or wrong arguments; or the command's error.
 * `fault` is set.
 */
int mr_command_run(const struct mr_command_table *tables, uint32_t table_count, const char *text,
                   struct json_object **result_out, struct mr_fault *fault);

/* A decimal number.  0; -EINVAL with the reason in `fault`. */
int mr_command_number(const char *word, uint64_t *number_out, struct mr_fault *fault);

#endif /* MR_CONTROL_COMMAND_H */
