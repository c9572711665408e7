/*
 * control/token_rotation.h - new keys of address tokens (Retry, NEW_TOKEN) for the shards of a
 * group, from time to time.
 *
 *     waiting --it is time--> adding: every shard understands the new key
 *        ^                       |  all have it
 *        |                       v
 *        +--all do----------- writing: every shard makes tokens with it
 *
 * In two steps, so that no shard gets a token that it does not understand from a client whose
 * packets changed their way.  A key is understood until its number comes round again: for
 * MR_TOKEN_KEYS - 1 intervals, which should be more than MR_TOKEN_NEW_LIFETIME_S; later its tokens
 * only cost a client a round trip.  With a file, keys are of all processes that share it, and of
 * the one that comes after (control/token_file.h): the time since it was written counts.
 *
 * Owner: the control thread.  Threads: the control thread's; shards take orders
 * (dataplane/shard.h).
 */
#ifndef MR_CONTROL_TOKEN_ROTATION_H
#define MR_CONTROL_TOKEN_ROTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "control/group.h"
#include "control/token_file.h"

enum mr_token_step {
    MR_TOKENS_WAITING,
    MR_TOKENS_ADDING,
    MR_TOKENS_WRITING
};

struct mr_token_rotation {
    const struct mr_group *group; /* borrowed, launched */
    uint64_t interval_ns;         /* 0: never */
    uint64_t due_ns;
    struct mr_token_file file; /* without a path: keys are of this process */
    enum mr_token_step step;
    uint8_t number; /* of the newest key */
    struct mr_token_order orders[MR_SHARDS_MAX];
};

void mr_token_rotation_init(struct mr_token_rotation *rotation, const struct mr_group *group,
                            uint64_t interval_ns, uint64_t now);

/* The keys are those of a file that was just read, and the shards have them: new ones come from
 * there, and go there first.  Each rotation looks at the file for itself. */
void mr_token_rotation_follow(struct mr_token_rotation *rotation, const struct mr_token_file *file,
                              const struct mr_token_secrets *secrets);

/* Go on, each second or so.  False with `fault` set: no new key this time, all is as it was. */
bool mr_token_rotation_poll(struct mr_token_rotation *rotation, struct mr_fault *fault,
                            uint64_t now);

/* Let go of keys; the group's shards have stopped. */
void mr_token_rotation_wipe(struct mr_token_rotation *rotation);

#endif /* MR_CONTROL_TOKEN_ROTATION_H */
