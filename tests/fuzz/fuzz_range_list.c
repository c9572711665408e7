/*
 * tests/fuzz/fuzz_range_list.c - property test of quic/range_list.h.
 *
 * The input is a program of changes over 512 offsets; a byte map is the model.
 * The pool has 1 to 16 nodes, so that it runs out.  Properties:
 *   1. a change that says true leaves exactly the model's bytes;
 *   2. a change that says false has changed nothing, found no node free, and
 *      needed one: a range that touches no other, or a hole inside one range;
 *   3. contains, first and first_missing agree with the model;
 *   4. the list uses as many nodes as it counts, none after clear.
 */
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/range_list.h"
#include "tests/unit/stream_pools.h"

enum {
    OFFSETS = 512
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has[OFFSETS + 2]; /* has[1 + offset]; both ends false */
static struct mr_range_list list;

static bool model_all(struct mr_range range, bool value)
{
    for (uint64_t at = range.begin; at < range.end; at++)
        if (has[1 + at] != value)
            return false;
    return true;
}

static void check_list(void)
{
    uint64_t at = 0;

    mr_range_list_check(&list, &ranges_pool);
    MR_ASSERT(list.count == ranges_pool.used);
    for (uint32_t i = list.head; i != MR_NONE;) {
        const struct mr_range_node *node = mr_pool_at(&ranges_pool, i);

        MR_ASSERT(model_all((struct mr_range){at, node->range.begin}, false));
        MR_ASSERT(model_all(node->range, true));
        at = node->range.end;
        i = node->next;
    }
    MR_ASSERT(model_all((struct mr_range){at, OFFSETS}, false));
    MR_ASSERT(mr_range_list_is_empty(&list) == model_all((struct mr_range){0, OFFSETS}, false));
}

static void set_model(struct mr_range range, bool value)
{
    for (uint64_t at = range.begin; at < range.end; at++)
        has[1 + at] = value;
}

static void add(struct mr_range range)
{
    if (mr_range_list_add(&list, &ranges_pool, range)) {
        set_model(range, true);
        return;
    }
    MR_ASSERT(mr_pool_free_count(&ranges_pool) == 0);
    MR_ASSERT(model_all(range, false));
    MR_ASSERT(!has[range.begin] && !has[1 + range.end]);
}

static void subtract(struct mr_range range)
{
    if (mr_range_list_subtract(&list, &ranges_pool, range)) {
        set_model(range, false);
        return;
    }
    MR_ASSERT(mr_pool_free_count(&ranges_pool) == 0);
    MR_ASSERT(model_all(range, true));
    MR_ASSERT(has[range.begin] && has[1 + range.end]);
}

static void query(struct mr_range range)
{
    struct mr_range missing = mr_range_list_first_missing(&list, &ranges_pool, range);

    MR_ASSERT(mr_range_list_contains(&list, &ranges_pool, range) == model_all(range, true));
    MR_ASSERT(missing.begin <= missing.end && missing.end <= range.end);
    MR_ASSERT(model_all((struct mr_range){range.begin, missing.begin}, true));
    MR_ASSERT(model_all(missing, false));
    if (missing.end < range.end)
        MR_ASSERT(has[1 + missing.end]);
    if (missing.begin == missing.end)
        MR_ASSERT(missing.begin == range.end);
}

static void remove_first(void)
{
    if (mr_range_list_is_empty(&list))
        return;
    struct mr_range first = mr_range_list_first(&list, &ranges_pool);
    mr_range_list_remove_first(&list, &ranges_pool);
    MR_ASSERT(model_all(first, true));
    set_model(first, false);
}

static void step(struct input *in)
{
    uint8_t op = input_u8(in);
    uint64_t begin = input_below(in, OFFSETS);
    uint64_t length = (op & 0x80) != 0 ? input_below(in, 96) : input_below(in, 8);
    struct mr_range range = {begin, MR_MIN(begin + length, OFFSETS)};

    switch (op & 15) {
    case 0:
        mr_range_list_remove_below(&list, &ranges_pool, begin / 2);
        set_model((struct mr_range){0, begin / 2}, false);
        break;
    case 1:
        remove_first();
        break;
    case 2:
    case 3:
    case 4:
        subtract(range);
        break;
    case 5:
        if (range.begin < range.end)
            query(range);
        break;
    default:
        add(range);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};

    memset(has, 0, sizeof(has));
    stream_pools_init(1 + input_below(&in, 16), 1, 1);
    mr_range_list_init(&list);
    while (in.left > 0) {
        step(&in);
        check_list();
    }
    mr_range_list_clear(&list, &ranges_pool);
    set_model((struct mr_range){0, OFFSETS}, false);
    check_list();
    return 0;
}
