/* quic/path_check.c - see path_check.h. */
#include "quic/path_check.h"

#include <string.h>

#include "base/compiler.h"
#include "quic/rtt.h"
#include "quic/types.h"

#define PTOS                                                                                       \
    4 /* time for three challenges, each after twice the time, and an answer to the last           \
       */
#define SHIFT_MAX 8 /* of the backoff */

/* PTO of a path of which nothing is known: kInitialRtt, and twice that as its variation. */
#define PTO_UNKNOWN (3 * MR_RTT_INITIAL)

void mr_path_check_begin(struct mr_path_check *check, uint64_t pto_ns, uint64_t now)
{
    *check = (struct mr_path_check){.resend_ns = now + pto_ns,
                                    .deadline_ns = now + PTOS * MR_MAX(pto_ns, PTO_UNKNOWN),
                                    .is_running = true,
                                    .is_wanted = true};
}

void mr_path_check_linger(struct mr_path_check *check, uint64_t pto_ns, uint64_t now)
{
    mr_path_check_begin(check, pto_ns, now);
    check->is_wanted = false;
    check->resend_ns = MR_NEVER;
}

void mr_path_check_sent(struct mr_path_check *check, uint64_t random)
{
    check->challenge[check->sent_count % MR_CHALLENGES_MAX] = random;
    check->sent_count++;
    check->is_wanted = false;
}

bool mr_path_check_answer(struct mr_path_check *check, const uint8_t data[MR_PATH_DATA])
{
    uint32_t known = MR_MIN((uint32_t)check->sent_count, (uint32_t)MR_CHALLENGES_MAX);

    for (uint32_t i = 0; check->is_running && i < known; i++) {
        if (memcmp(&check->challenge[i], data, MR_PATH_DATA) != 0)
            continue;
        check->is_wanted = false;
        check->resend_ns = MR_NEVER;
        return true;
    }
    return false;
}

uint64_t mr_path_check_due(const struct mr_path_check *check)
{
    return check->is_running ? MR_MIN(check->resend_ns, check->deadline_ns) : MR_NEVER;
}

enum mr_path_check_verdict mr_path_check_expire(struct mr_path_check *check, uint64_t pto_ns,
                                                uint64_t now)
{
    if (mr_path_check_due(check) > now)
        return MR_CHECK_WAITS;
    if (check->deadline_ns <= now) {
        check->is_running = check->is_wanted = false;
        return MR_CHECK_FAILED;
    }
    check->is_wanted = true;
    check->resend_ns = now + (pto_ns << MR_MIN(check->sent_count, (uint8_t)SHIFT_MAX));
    return MR_CHECK_RESENDS;
}
