/* examples/kv/kv_command.c - see kv_command.h. */
#include "examples/kv/kv_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/kv/kv_protocol.h"

enum {
    WORDS_MAX = 4
};

static const struct {
    const char *name;
    uint8_t word;
    int words;
} kinds[] = {
    {"get", KV_GET, 2},       {"peek", KV_PEEK, 2},   {"put", KV_PUT, 3},
    {"update", KV_UPDATE, 4}, {"count", KV_COUNT, 3}, {"raw", KV_RAW, 2},
};

/* A whole number from 1 on; false: it is none. */
static bool read_times(const char *text, uint32_t *times_out)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    *times_out = (uint32_t)number;
    return *text >= '0' && *text <= '9' && *end == '\0' && number > 0 && number <= UINT32_MAX;
}

struct kv_command *kv_command_make(char *const words[], int count)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (count != kinds[i].words || strcmp(words[0], kinds[i].name) != 0)
            continue;
        struct kv_command *c = calloc(1, sizeof(*c));
        if (c == NULL)
            return NULL;
        c->word = kinds[i].word;
        c->key = words[1];
        c->value = count > 2 ? words[count - 1] : "";
        c->old = count > 3 ? words[2] : "";
        c->times = 1;
        if (c->word != KV_COUNT || read_times(c->value, &c->times))
            return c;
        free(c);
        return NULL;
    }
    return NULL;
}

/* A line of a file. */
static struct kv_command *make_line(char *line)
{
    char *words[WORDS_MAX + 1];
    int count = 0;
    char *rest = NULL;

    for (char *word = strtok_r(line, " \n", &rest); word != NULL && count <= WORDS_MAX;
         word = strtok_r(NULL, " \n", &rest))
        words[count++] = word;
    struct kv_command *c = count == 0 ? NULL : kv_command_make(words, count);
    if (c != NULL)
        c->text = line;
    return c;
}

bool kv_commands_read(const char *path, struct kv_command **commands_out)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    struct kv_command **place = commands_out;
    char *line = NULL;
    size_t room = 0;
    bool is_right = file != NULL;

    while (is_right && getline(&line, &room, file) > 0) {
        char *kept = strdup(line);
        *place = kept == NULL ? NULL : make_line(kept);
        is_right = *place != NULL;
        if (is_right)
            place = &(*place)->next;
        else
            free(kept);
    }
    free(line);
    if (file != NULL && file != stdin)
        fclose(file);
    return is_right;
}

void kv_command_free(struct kv_command *command)
{
    free(command->text);
    free(command);
}
