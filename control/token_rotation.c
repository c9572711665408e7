#include "control/token_rotation.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "quic/token.h"

void mr_token_rotation_init(struct mr_token_rotation *r, const struct mr_group *group,
                            uint64_t interval_ns, uint64_t now)
{
    *r = (struct mr_token_rotation){
        .group = group, .interval_ns = interval_ns, .due_ns = now + interval_ns};
}

static uint32_t shard_count(const struct mr_token_rotation *r)
{
    return r->group->config.shard_count;
}

static bool is_done(const struct mr_token_rotation *r)
{
    for (uint32_t i = 0; i < shard_count(r); i++)
        if (!mr_shard_token_order_is_done(r->group->shards[i]))
            return false;
    return true;
}

/* Keys that came back from the shards, or never went there. */
static void wipe_keys(struct mr_token_rotation *r)
{
    for (uint32_t i = 0; i < MR_SHARDS_MAX; i++)
        mr_token_key_wipe(&r->orders[i].key);
}

static void give(struct mr_token_rotation *r)
{
    for (uint32_t i = 0; i < shard_count(r); i++)
        mr_shard_give_token_order(r->group->shards[i], &r->orders[i]);
}

/* One secret for all shards: each prepares it for itself. */
static bool make_keys(struct mr_token_rotation *r, uint8_t number, struct mr_fault *fault)
{
    uint8_t secret[MR_STATIC_KEY];
    bool is_made = getrandom(secret, sizeof(secret), 0) == (ssize_t)sizeof(secret);

    for (uint32_t i = 0; is_made && i < shard_count(r); i++) {
        r->orders[i] = (struct mr_token_order){.number = number, .swaps = true};
        is_made = mr_token_key_make(&r->orders[i].key, secret);
    }
    explicit_bzero(secret, sizeof(secret));
    if (is_made)
        return true;
    wipe_keys(r);
    mr_fault_set(fault, ENOMEM, "no new key of address tokens: out of memory; the old one goes on");
    return false;
}

static bool begin(struct mr_token_rotation *r, struct mr_fault *fault, uint64_t now)
{
    uint8_t number = (uint8_t)((r->number + 1u) % MR_TOKEN_KEYS);

    r->due_ns = now + r->interval_ns;
    if (!make_keys(r, number, fault))
        return false;
    r->number = number;
    r->step = MR_TOKENS_ADDING;
    give(r);
    return true;
}

static void begin_writing(struct mr_token_rotation *r)
{
    wipe_keys(r);
    for (uint32_t i = 0; i < shard_count(r); i++)
        r->orders[i] = (struct mr_token_order){.number = r->number, .writes = true};
    r->step = MR_TOKENS_WRITING;
    give(r);
}

bool mr_token_rotation_poll(struct mr_token_rotation *r, struct mr_fault *fault, uint64_t now)
{
    switch (r->step) {
    case MR_TOKENS_WAITING:
        return r->interval_ns == 0 || now < r->due_ns || begin(r, fault, now);
    case MR_TOKENS_ADDING:
        if (is_done(r))
            begin_writing(r);
        return true;
    case MR_TOKENS_WRITING:
        if (is_done(r))
            r->step = MR_TOKENS_WAITING;
        return true;
    }
    return true;
}

void mr_token_rotation_wipe(struct mr_token_rotation *r)
{
    wipe_keys(r);
}
