/*
 * fuzz/fuzz_names.c - property test of quic/names.h against a model.
 *
 * The input is names that are kept and references that are given back.  Properties:
 *   1. a name is kept unless it is empty, too long, or one more than there is room for;
 *   2. equal names are one object, others are not, and the text stays as long as a reference;
 *   3. what is held is what has references: the pool and the table are empty after the last.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "quic/names.h"
#include "quic/wire_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ROOM = 6,
    TEXTS = 16,
    REFERENCES_MAX = 40,
    STEPS_MAX = 1000,
};

static struct mr_names names;
static uint32_t kept[TEXTS]; /* its index; MR_NONE */
static uint32_t references[TEXTS];
static uint32_t held; /* names that have references */

/* Names that begin alike, and the limits. */
static void write_text(char text[MR_NAME_MAX + 2], uint32_t number)
{
    size_t size = number < 3 ? (const size_t[]){0, MR_NAME_MAX + 1, MR_NAME_MAX}[number] : number;

    memset(text, 'a', size);
    text[size] = '\0';
    if (number > 12)
        snprintf(text, MR_NAME_MAX, "%u.example", number);
}

static void keep(uint32_t number)
{
    char text[MR_NAME_MAX + 2];

    write_text(text, number);
    uint32_t index = mr_name_keep(&names, text);
    bool has_room = held < ROOM || references[number] > 0;
    MR_ASSERT((index != MR_NONE) == (number >= 2 && has_room));
    if (index == MR_NONE)
        return;
    MR_ASSERT(references[number] == 0 || kept[number] == index);
    for (uint32_t i = 0; i < TEXTS; i++)
        MR_ASSERT(i == number || references[i] == 0 || kept[i] != index);
    held += references[number]++ == 0;
    kept[number] = index;
}

static void drop(uint32_t number)
{
    if (references[number] == 0)
        return;
    mr_name_drop(&names, kept[number]);
    held -= --references[number] == 0;
}

static void check(void)
{
    char text[MR_NAME_MAX + 2];

    MR_ASSERT(names.pool.used == held);
    MR_ASSERT(names.table.core.count == held);
    for (uint32_t i = 0; i < TEXTS; i++) {
        if (references[i] == 0)
            continue;
        write_text(text, i);
        MR_ASSERT(strcmp(mr_name_text(&names, kept[i]), text) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t pool[ROOM * sizeof(struct mr_name) + 16];
    static uint64_t table[4096];
    const struct mr_siphash_key key = {1, 2};
    struct mr_reader input = mr_reader(data, size);

    MR_ASSERT(mr_table8_footprint(ROOM) <= sizeof(table));
    names = (struct mr_names){.key = {3, 4}};
    mr_pool_init(&names.pool, pool, ROOM, sizeof(struct mr_name), 16);
    mr_table8_init(&names.table, table, ROOM, &key);
    memset(references, 0, sizeof(references));
    held = 0;
    for (int i = 0; i < STEPS_MAX && mr_reader_left(&input) > 0; i++) {
        uint8_t op = mr_read_u8(&input);
        uint32_t number = op % TEXTS;

        if (op >= 128)
            drop(number);
        else if (references[number] < REFERENCES_MAX)
            keep(number);
        if (op % 64 == 0)
            check();
    }
    for (uint32_t i = 0; i < TEXTS; i++)
        while (references[i] > 0)
            drop(i);
    check();
    mr_name_drop(&names, MR_NONE);
    MR_ASSERT(mr_name_text(&names, MR_NONE)[0] == '\0');
    return 0;
}
