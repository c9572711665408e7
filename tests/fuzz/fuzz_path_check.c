/*
 * fuzz/fuzz_path_check.c - property test of quic/path_check.h against a model.
 *
 * The input is times and what happens at them.  Properties:
 *   1. an answer is one if, and only if, a check runs and it has the data of one of the last
 *      MR_CHALLENGES_MAX challenges;
 *   2. nothing is wanted after an answer, nor of a check that does not run;
 *   3. a check that runs has something due, and fails at its deadline, not before;
 *   4. a check that lingers wants nothing.
 */
#include <string.h>

#include "base/assert.h"
#include "quic/path_check.h"
#include "quic/types.h"
#include "quic/wire_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    SENT_MAX = 200
}; /* of a check: its time is up long before */

static struct mr_path_check check;
static uint64_t challenges[SENT_MAX];
static uint32_t sent;
static bool has_answer;
static bool lingers;

static void begin(bool is_lingering, uint64_t pto_ns, uint64_t now)
{
    if (is_lingering)
        mr_path_check_linger(&check, pto_ns, now);
    else
        mr_path_check_begin(&check, pto_ns, now);
    sent = 0;
    has_answer = false;
    lingers = is_lingering;
}

static void send_one(uint64_t random)
{
    if (!check.is_wanted || sent == SENT_MAX)
        return;
    challenges[sent++] = random;
    mr_path_check_sent(&check, random);
    MR_ASSERT(!check.is_wanted);
}

static void answer(uint64_t value)
{
    uint8_t data[MR_PATH_DATA];
    bool is_known = false;

    for (uint32_t i = 0; i < MR_CHALLENGES_MAX && i < sent; i++)
        is_known |= challenges[sent - 1 - i] == value;
    memcpy(data, &value, sizeof(data));
    bool is_taken = mr_path_check_answer(&check, data);
    MR_ASSERT(is_taken == (check.is_running && is_known));
    has_answer |= is_taken;
}

static void expire(uint64_t pto_ns, uint64_t now)
{
    bool is_over = check.is_running && check.deadline_ns <= now;
    uint64_t due = mr_path_check_due(&check);
    enum mr_path_check_verdict verdict = mr_path_check_expire(&check, pto_ns, now);

    MR_ASSERT((verdict == MR_CHECK_FAILED) == is_over);
    MR_ASSERT((verdict == MR_CHECK_WAITS) == (due > now));
    MR_ASSERT(verdict != MR_CHECK_RESENDS || (check.is_wanted && !has_answer && !lingers));
    MR_ASSERT(verdict != MR_CHECK_FAILED || !check.is_running);
}

static void step(struct mr_reader *input, uint64_t *now)
{
    uint8_t op = mr_read_u8(input);
    uint64_t value = mr_read_u8(input) % 16; /* challenges that come again are found, too */
    uint64_t pto_ns = (uint64_t)mr_read_u16(input) * 100000;

    *now += (uint64_t)(op >> 3) * 10 * MR_MS;
    switch (op & 7) {
    case 0:
        begin(value == 0, pto_ns, *now);
        break;
    case 1:
    case 2:
    case 3:
        send_one(value);
        break;
    case 4:
        answer(value);
        break;
    default:
        expire(pto_ns, *now);
    }
    MR_ASSERT(!check.is_wanted || (check.is_running && !has_answer && !lingers));
    MR_ASSERT((mr_path_check_due(&check) == MR_NEVER) == !check.is_running);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mr_reader input = mr_reader(data, size);
    uint64_t now = MR_SECOND;

    memset(&check, 0, sizeof(check));
    sent = 0;
    has_answer = lingers = false;
    while (mr_reader_left(&input) >= 4)
        step(&input, &now);
    return 0;
}
