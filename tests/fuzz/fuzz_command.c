/*
 * fuzz/fuzz_command.c - property test of control/command.h against a model.
 *
 * The input is lines: of words that there are and others, as whatever is printable, and as it is.
 * Properties:
 *   1. a line is carried out if, and only if, its first word is a command and it has as many
 *      arguments as that takes: by the first table that has it, with that table's context, once;
 *   2. the arguments are the line's words, in their order;
 *   3. the handler's answer is the line's: result, error and reason; any other failure has a reason
 *      and no result;
 *   4. a number is digits only and fits 64 bits.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/command.h"
#include "millrace/attach_layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    TABLES = 2
};

/* What was called, and with what. */
static struct {
    uint32_t calls;
    const void *context;
    uint32_t count;
    char words[MR_ATTACH_TEXT_MAX + MR_COMMAND_ARGUMENTS_MAX];
} seen;

static int answer; /* of the handler */
static int context[TABLES];

static int run(void *which, const struct mr_command_arguments *arguments,
               struct json_object **result_out, struct mr_fault *fault)
{
    size_t used = 0;

    seen.calls++;
    seen.context = which;
    seen.count = arguments->count;
    for (uint32_t i = 0; i < arguments->count; i++)
        used += (size_t)snprintf(seen.words + used, sizeof(seen.words) - used, " %s",
                                 arguments->word[i]);
    seen.words[used] = '\0';
    if (answer != 0)
        return mr_fault_set(fault, -answer, "as it was told");
    *result_out = (struct json_object *)(void *)&seen;
    return 0;
}

static const struct mr_command first[] = {
    {.name = "apps", .arguments = "", .run = run},
    {.name = "detach", .arguments = "N", .argument_min = 1, .argument_max = 1, .run = run},
    {.name = "trace", .arguments = "...", .argument_max = MR_COMMAND_ARGUMENTS_MAX, .run = run}};
static const struct mr_command second[] = {
    {.name = "app", .arguments = "[A] [B]", .argument_max = 2, .run = run},
    {.name = "detach", .arguments = "never", .argument_max = 5, .run = run}};
static const struct mr_command_table tables[TABLES] = {
    {.rows = first, .count = MR_COUNT_OF(first), .context = &context[0]},
    {.rows = second, .count = MR_COUNT_OF(second), .context = &context[1]}};

static const struct mr_command *expect(const char *name, const void **context_out)
{
    static const struct {
        const struct mr_command *row;
        int table;
    } all[] = {{&first[0], 0}, {&first[1], 0}, {&first[2], 0}, {&second[0], 1}};

    for (size_t i = 0; i < MR_COUNT_OF(all); i++) {
        *context_out = &context[all[i].table];
        if (strcmp(all[i].row->name, name) == 0)
            return all[i].row;
    }
    return NULL;
}

/* The line's first word, and the rest with one blank before each word; how many those are. */
static uint32_t split(const char *line, char *name_out, char *rest_out)
{
    uint32_t count = 0;
    char *out = name_out;

    *name_out = *rest_out = '\0';
    for (size_t i = 0; line[i] != '\0' && i < MR_ATTACH_TEXT_MAX; i++) {
        if (line[i] == ' ')
            continue;
        if (i == 0 || line[i - 1] == ' ') {
            count++;
            out = count == 1 ? name_out : count == 2 ? rest_out : out;
            if (count > 1)
                *out++ = ' ';
        }
        *out++ = line[i];
        *out = '\0';
    }
    return count;
}

static void carry_out(const char *line, int result_of_handler)
{
    static char name[MR_ATTACH_TEXT_MAX + 1], rest[2 * MR_ATTACH_TEXT_MAX];
    struct json_object *result = (struct json_object *)(void *)name;
    struct mr_fault fault = {0};
    const void *whose = NULL;
    uint32_t count = split(line, name, rest);
    const struct mr_command *command = expect(name, &whose);
    bool is_right =
        command != NULL && count - 1 >= command->argument_min && count - 1 <= command->argument_max;

    seen.calls = 0;
    answer = result_of_handler;
    int got = mr_command_run(tables, TABLES, line, &result, &fault);
    MR_ASSERT(seen.calls == (is_right ? 1u : 0u));
    MR_ASSERT((got == 0) == (fault.text[0] == '\0'));
    MR_ASSERT((got == 0) == (result != NULL));
    if (!is_right) {
        MR_ASSERT(got == -EINVAL || (got == -E2BIG && count - 1 > MR_COMMAND_ARGUMENTS_MAX));
        return;
    }
    MR_ASSERT(got == answer);
    MR_ASSERT(seen.context == whose);
    MR_ASSERT(seen.count == count - 1);
    MR_ASSERT(strcmp(seen.words, rest) == 0);
}

static void check_number(const char *word)
{
    struct mr_fault fault = {0};
    uint64_t number = 0;
    uint64_t expected = 0;
    bool is_number = word[0] != '\0';

    for (const char *c = word; *c != '\0' && is_number; c++) {
        uint64_t digit = (uint64_t)(uint8_t)*c - '0';
        is_number = digit <= 9 && !__builtin_mul_overflow(expected, 10, &expected) &&
                    !__builtin_add_overflow(expected, digit, &expected);
    }
    int result = mr_command_number(word, &number, &fault);
    MR_ASSERT(result == (is_number ? 0 : -EINVAL));
    MR_ASSERT((result == 0) == (fault.text[0] == '\0'));
    MR_ASSERT(result != 0 || number == expected);
}

static void check_numbers(const uint8_t *data, size_t size)
{
    static const char alphabet[] = "0123456789012345678901234567890123456789-+ xe.";
    char word[32];

    for (size_t i = 0; i < size; i += sizeof(word)) {
        size_t length = MR_MIN(size - i, 1 + data[i] % 24u);
        for (size_t j = 0; j < length; j++)
            word[j] = alphabet[data[i + j] % (data[i] % 4 == 0 ? 46 : 40)];
        word[length] = '\0';
        check_number(word);
        snprintf(word, sizeof(word), "184467440737095516%02u", (unsigned)(data[i] % 100));
        check_number(word);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const words[] = {"apps", "detach", "trace", "app", "de", "detachx", "1", "x",
                                        " ",    "\t",     "appS",  "a",   "~",  "help",    "",  ""};
    static char line[MR_ATTACH_TEXT_MAX + 64];
    size_t used = 0;

    for (size_t i = 0; i < MR_MIN(size, 800u); i++) {
        const char *word = words[data[i] % 16];

        if (data[i] >= 240 || used + 16 > sizeof(line)) { /* the line's end */
            carry_out(line, data[i] % 4 == 0 ? -EBUSY : 0);
            used = 0;
        }
        used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s",
                                 data[i] % 32 < 24 ? " " : "", word);
    }
    size_t length = MR_MIN(size, sizeof(line) - 1);
    if (length > 0)
        memcpy(line, data, length);
    line[length] = '\0';
    carry_out(line, 0);
    check_numbers(data, MR_MIN(size, 256u));
    if (size == 0 || data[0] % 8 != 0)
        return 0;
    snprintf(line, sizeof(line), "trace ");
    for (size_t i = 6; i < sizeof(line) - 1; i++) /* too long */
        line[i] = (char)(data[i % size] % 64 == 0 && i > MR_ATTACH_TEXT_MAX - 300 ? ' ' : 'a');
    line[sizeof(line) - 1] = '\0';
    carry_out(line, 0);
    return 0;
}
