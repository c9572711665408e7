/* tools/ctl.c - `millrace ctl`: one command to a running datapath, and its result. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "millrace/attach_layout.h"
#include "tools/control_client.h"
#include "tools/host.h"
#include "tools/json_table.h"
#include "tools/options.h"
#include "tools/tools.h"

#define WORDS_MAX 9

struct ctl {
    const char *path;
    bool is_json;
    char text[MR_ATTACH_TEXT_MAX + 1];
};

/* Nothing but spaces would be read as if it were not there; the rest is not sent. */
static bool check_word(const char *word, struct mr_fault *fault)
{
    if (word[strspn(word, " ")] == '\0') {
        mr_fault_set(fault, EINVAL, "an argument is empty; give it a value, or leave it out");
        return false;
    }
    for (const char *at = word; *at != '\0'; at++)
        if (*at < 0x20 || *at > 0x7e) {
            mr_fault_set(fault, EINVAL,
                         "a command is made of printable ASCII; one argument is not");
            return false;
        }
    return true;
}

/* The words as one line. */
static bool join_words(struct ctl *ctl, const struct mr_command_line *line, struct mr_fault *fault)
{
    size_t used = 0;

    if (line->positional_count == 0) {
        mr_fault_set(fault, EINVAL, "no command; `millrace ctl help` lists those there are");
        return false;
    }
    for (uint32_t i = 0; i < line->positional_count; i++) {
        if (!check_word(line->positional[i], fault))
            return false;
        used += (size_t)snprintf(ctl->text + used, sizeof(ctl->text) - used, "%s%s",
                                 i > 0 ? " " : "", line->positional[i]);
        if (used >= sizeof(ctl->text)) {
            mr_fault_set(fault, E2BIG, "a command has at most %d characters", MR_ATTACH_TEXT_MAX);
            return false;
        }
    }
    return true;
}

static enum mr_parse_result parse(struct ctl *ctl, int argc, char **argv, struct mr_fault *fault)
{
    const struct mr_option options[] = {
        {.name = "control",
         .kind = MR_OPTION_TEXT,
         .to = &ctl->path,
         .argument = "PATH",
         .help = "its control socket ($MILLRACE_CONTROL, or /run/millrace.sock)"},
        {.name = "json",
         .kind = MR_OPTION_FLAG,
         .to = &ctl->is_json,
         .help = "print the result as it comes, as JSON"},
        {.name = NULL},
    };
    struct mr_command_line line = {
        .usage = "millrace ctl [--control PATH] [--json] COMMAND [ARGUMENT ...]",
        .about = "Send a command to a running datapath; `millrace ctl help` lists what it knows.",
        .options = options,
        .positional_max = WORDS_MAX,
    };
    enum mr_parse_result result = mr_options_parse(&line, argc, argv, fault);

    if (result == MR_PARSE_OK && !join_words(ctl, &line, fault))
        return MR_PARSE_ERROR;
    return result;
}

static int run(const struct ctl *ctl, struct mr_fault *fault)
{
    struct json_object *answer;
    int fd = mr_control_client_connect(mr_control_client_path(ctl->path), fault);

    if (fd < 0)
        return fd;
    int result = mr_control_client_run(fd, ctl->text, &answer, fault);
    close(fd);
    if (result != 0)
        return result;
    if (ctl->is_json)
        puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN |
                                                        JSON_C_TO_STRING_NOSLASHESCAPE));
    else
        mr_json_table_print(stdout, answer);
    json_object_put(answer);
    return 0;
}

int mr_tool_ctl(int argc, char **argv)
{
    struct ctl ctl = {0};
    struct mr_fault fault = {0};

    switch (parse(&ctl, argc, argv, &fault)) {
    case MR_PARSE_HELP:
        return MR_EXIT_OK;
    case MR_PARSE_ERROR:
        mr_tool_complain("ctl", &fault);
        return MR_EXIT_USAGE;
    case MR_PARSE_OK:
        break;
    }
    int result = run(&ctl, &fault);
    if (result == 0)
        return MR_EXIT_OK;
    mr_tool_complain("ctl", &fault);
    return result == -EINVAL || result == -E2BIG ? MR_EXIT_USAGE : MR_EXIT_FAILED;
}
