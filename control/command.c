/* control/command.c - see command.h. */
#include "control/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "millrace/attach_layout.h"

static const struct mr_command *find(const struct mr_command_table *tables, uint32_t table_count,
                                     const char *name, void **context_out)
{
    for (uint32_t t = 0; t < table_count; t++) {
        for (uint32_t i = 0; i < tables[t].count; i++) {
            if (strcmp(tables[t].rows[i].name, name) != 0)
                continue;
            *context_out = tables[t].context;
            return &tables[t].rows[i];
        }
    }
    return NULL;
}

static int check_arguments(const struct mr_command *command,
                           const struct mr_command_arguments *arguments, struct mr_fault *fault)
{
    if (arguments->count >= command->argument_min && arguments->count <= command->argument_max)
        return 0;
    return mr_fault_set(fault, EINVAL, "usage: %s%s%s", command->name,
                        command->arguments[0] != '\0' ? " " : "", command->arguments);
}

int mr_command_run(const struct mr_command_table *tables, uint32_t table_count, const char *text,
                   struct json_object **result_out, struct mr_fault *fault)
{
    char line[MR_ATTACH_TEXT_MAX + 1];
    struct mr_command_arguments arguments = {0};
    void *context = NULL;
    char *rest = NULL;
    size_t size = strnlen(text, MR_ATTACH_TEXT_MAX);

    *result_out = NULL;
    memcpy(line, text, size);
    line[size] = '\0';
    const char *name = strtok_r(line, " ", &rest);
    if (name == NULL)
        return mr_fault_set(fault, EINVAL, "no command; `help` lists them");
    const struct mr_command *command = find(tables, table_count, name, &context);
    if (command == NULL)
        return mr_fault_set(fault, EINVAL, "unknown command %s; `help` lists those there are",
                            name);
    for (const char *word; (word = strtok_r(NULL, " ", &rest)) != NULL;) {
        if (arguments.count == MR_COMMAND_ARGUMENTS_MAX)
            return mr_fault_set(fault, E2BIG, "%s: more than %d arguments", name,
                                MR_COMMAND_ARGUMENTS_MAX);
        arguments.word[arguments.count++] = word;
    }
    int result = check_arguments(command, &arguments, fault);
    return result != 0 ? result : command->run(context, &arguments, result_out, fault);
}

int mr_command_number(const char *word, uint64_t *number_out, struct mr_fault *fault)
{
    char *end;

    errno = 0;
    *number_out = strtoull(word, &end, 10);
    if (errno == 0 && word[0] >= '0' && word[0] <= '9' && *end == '\0')
        return 0;
    return mr_fault_set(fault, EINVAL, "%s is not a number", word);
}
