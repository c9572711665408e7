/*
 * fuzz/fuzz_departed.c - property test of quic/departed.h against a list of what has departed.
 *
 * The input is times, and connection IDs that depart at them for lifetimes of up to LIFE_MAX.
 * Properties:
 *   1. who has departed is never denied before its time is over, in whatever order times end;
 *   2. nobody is remembered for two of the longest lifetimes;
 *   3. who never departed is not remembered: the connection IDs here share no bit.
 */
#include <string.h>

#include "base/assert.h"
#include "quic/departed.h"
#include "quic/wire_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    CIDS = 64,
    LIFE_MAX = 256
};

static struct mr_departed departed;

/* The last time that it left, and until when it is to be remembered; 0: never. */
static struct {
    uint64_t left_ns;
    uint64_t until_ns;
} model[CIDS];

static uint64_t cid_of(uint32_t number)
{
    return UINT64_C(0x9e3779b97f4a7c15) * (number + 1);
}

static void forget_all(void)
{
    memset(&departed, 0, sizeof(departed));
    memset(model, 0, sizeof(model));
    departed.key = (struct mr_siphash_key){.k0 = 3, .k1 = 5};
}

/* Once: what makes the third property one. */
static void check_that_no_bit_is_shared(void)
{
    static bool is_done;

    for (uint32_t i = 0; i < CIDS && !is_done; i++) {
        forget_all();
        mr_departed_add(&departed, cid_of(i), 2, 1);
        for (uint32_t j = 0; j < CIDS; j++)
            MR_ASSERT(mr_departed_may_have(&departed, cid_of(j), 1) == (i == j));
    }
    is_done = true;
}

static void check(uint32_t number, uint64_t now)
{
    bool answer = mr_departed_may_have(&departed, cid_of(number), now);

    if (now < model[number].until_ns)
        MR_ASSERT(answer);
    if (model[number].until_ns == 0 || now >= model[number].left_ns + 2 * LIFE_MAX)
        MR_ASSERT(!answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mr_reader input = mr_reader(data, size);
    uint64_t now = 1;
    uint32_t every = 1 + mr_read_u8(&input) % 16u; /* how quickly time passes */

    check_that_no_bit_is_shared();
    forget_all();
    while (mr_reader_left(&input) >= 3) {
        uint8_t op = mr_read_u8(&input);
        uint32_t number = mr_read_u8(&input) % CIDS;
        uint64_t until_ns = now + 1 + mr_read_u8(&input) % LIFE_MAX;

        if (op >= 240) { /* a silence */
            now += (op % 16u) * LIFE_MAX / 4;
        } else if (op % 2 == 0) {
            mr_departed_add(&departed, cid_of(number), until_ns, now);
            model[number].left_ns = now;
            if (until_ns > model[number].until_ns)
                model[number].until_ns = until_ns;
            check(number, now);
        }
        for (uint32_t i = 0; i < 4; i++)
            check((number + i * 16) % CIDS, now);
        now += op % 16 < every;
    }
    return 0;
}
