/*
 * fuzz/fuzz_config.c - property test of control/config.h.
 *
 * The input is a configuration file as it is; and, so that random bytes reach deep, a file made of
 * words that files are made of, one for each byte.  Properties:
 *   1. a refusal is one line that begins "FILE:LINE: ", and LINE is a line of the file;
 *   2. what is accepted is in range: every field reads back from what is written of it, unchanged;
 *   3. the whole is checked without a crash, and a refusal says something;
 *   4. the same text gives the same configuration.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "control/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_config config;
static struct mr_config again;

static void check_fault(const struct mr_fault *fault, const char *text, size_t size)
{
    unsigned long lines = 2; /* an error may be found behind the last line */
    char *end;

    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n' || text[i] == '\r' || (unsigned char)text[i] >= 0x80;
    MR_ASSERT(strncmp(fault->text, "f.yaml:", 7) == 0);
    unsigned long line = strtoul(fault->text + 7, &end, 10);
    MR_ASSERT(line >= 1);
    MR_ASSERT(line <= lines);
    MR_ASSERT(strncmp(end, ": ", 2) == 0);
    for (const char *at = fault->text; *at != '\0'; at++)
        MR_ASSERT((unsigned char)*at >= 0x20 && *at != 0x7f);
}

/* Write the fields of `rows` and read them into the same object: nothing may change. */
static void check_rows(const struct mr_setting *rows, void *object)
{
    for (const struct mr_setting *row = rows; row->path != NULL; row++) {
        uint32_t count = mr_setting_count(row, object);
        char text[64][MR_SETTING_TEXT_MAX];
        struct mr_fault fault;

        MR_ASSERT(row->count_max == 0 || count <= row->count_max);
        for (uint32_t i = 0; i < count; i++)
            if (row->kind == MR_SETTING_ITEMS)
                check_rows(row->items, (char *)object + row->offset + (size_t)i * row->width);
            else
                mr_setting_format(row, object, i, text[i]);
        if (row->kind == MR_SETTING_ITEMS)
            continue;
        mr_setting_clear(row, object);
        for (uint32_t i = 0; i < count; i++)
            MR_ASSERT((text[i][0] == '\0' && row->count_max == 0) ||
                      mr_setting_parse(row, object, text[i], &fault));
    }
}

static void parse(const char *text, size_t size)
{
    struct mr_fault fault = {0};

    mr_config_init(&config);
    if (mr_config_parse(&config, "f.yaml", text, size, &fault) != 0) {
        check_fault(&fault, text, size);
        return;
    }
    mr_config_init(&again);
    MR_ASSERT(mr_config_parse(&again, "f.yaml", text, size, &fault) == 0);
    MR_ASSERT(memcmp(&config, &again, sizeof(config)) == 0);
    check_rows(mr_config_settings, &config);
    MR_ASSERT(memcmp(&config, &again, sizeof(config)) == 0);
    MR_ASSERT(mr_config_check(&config, &fault) || fault.text[0] != '\0');
}

/* A word for a byte: a key of the table, or something else that files have. */
static const char *word_of(uint8_t byte)
{
    static const char *const others[] = {
        ": ",  ": ",     "\n",    "\n",    "  ",         "- ",      "[",   "]",   "{",
        "}",   ", ",     "1",     "64K",   "30s",        "0660",    "yes", "~",   "\"",
        "'a'", "*.b.c",  "tap:x", "busy",  "10.0.0.1/8", "fe80::1", "1-3", "&a ", "*a",
        "!t ", "accept", "#c\n",  "---\n", "|\n",        "? ",      "<<",  "\t",  "a.b"};
    uint8_t number = byte;

    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++) {
        const char *dot = strchr(row->path, '.');

        if (number-- == 0)
            return dot != NULL ? dot + 1 : row->path;
        for (const struct mr_setting *item = row->items; item != NULL && item->path != NULL; item++)
            if (number-- == 0)
                return item->path;
    }
    return others[number % (sizeof(others) / sizeof(others[0]))];
}

/* Values that fit their keys, in the order of the input: most of it is accepted. */
static size_t make_items(const uint8_t *data, size_t size, char *text, size_t room)
{
    size_t used = (size_t)snprintf(text, room, "listeners:\n");

    for (size_t i = 0; i + 4 <= size && i < 256; i += 4)
        used += (size_t)snprintf(text + used, room - used,
                                 "- {name: n%u, application: a, alpn: p%u, port: %u, policy: %s}\n",
                                 data[i], data[i + 1] % 4, data[i + 2],
                                 data[i + 3] % 2 == 0 ? "accept" : "round-robin");
    used += (size_t)snprintf(text + used, room - used, "ports: [{spec: a, addresses: [");
    for (size_t i = 0; i < size && i < 8; i++)
        used += (size_t)snprintf(text + used, room - used, "%s10.%u.0.1/%u", i > 0 ? ", " : "",
                                 data[i], 8 + data[i] % 16);
    used += (size_t)snprintf(text + used, room - used, "], gateways: 10.0.0.2}]\nshards: %u\n",
                             size > 0 ? data[0] : 1u);
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[16384];
    size_t used = 0;

    parse((const char *)data, size);
    for (size_t i = 0; i < size && i < 200; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", word_of(data[i]));
    parse(text, used);
    for (size_t i = 0; i < 8 && size > 40; i++) { /* short ones: more of them are right */
        used = 0;
        for (size_t j = 0; j < 5; j++)
            used +=
                (size_t)snprintf(text + used, sizeof(text) - used, "%s", word_of(data[5 * i + j]));
        parse(text, used);
    }
    used = make_items(data, size, text, sizeof(text));
    parse(text, used);
    return 0;
}
