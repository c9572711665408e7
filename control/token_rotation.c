#include "control/token_rotation.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "quic/token.h"

void mr_token_rotation_init(struct mr_token_rotation *r, const struct mr_group *group,
                            uint64_t interval_ns, uint64_t now)
{
    *r = (struct mr_token_rotation){
        .group = group, .interval_ns = interval_ns, .due_ns = now + interval_ns};
}

void mr_token_rotation_follow(struct mr_token_rotation *r, const struct mr_token_file *file,
                              const struct mr_token_secrets *secrets)
{
    r->file = *file;
    r->number = secrets->writing;
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
static bool make_keys(struct mr_token_rotation *r, uint8_t number, const uint8_t *secret,
                      struct mr_fault *fault)
{
    bool is_made = true;

    for (uint32_t i = 0; is_made && i < shard_count(r); i++) {
        r->orders[i] = (struct mr_token_order){.number = number, .swaps = true};
        is_made = mr_token_key_make(&r->orders[i].key, secret);
    }
    if (is_made)
        return true;
    wipe_keys(r);
    mr_fault_set(fault, ENOMEM, "no new key of address tokens: out of memory; the old one goes on");
    return false;
}

static bool begin_with(struct mr_token_rotation *r, uint8_t number, const uint8_t *secret,
                       struct mr_fault *fault)
{
    if (!make_keys(r, number, secret, fault))
        return false;
    r->number = number;
    r->step = MR_TOKENS_ADDING;
    give(r);
    return true;
}

/* A key of this process. */
static bool begin(struct mr_token_rotation *r, struct mr_fault *fault, uint64_t now)
{
    uint8_t secret[MR_STATIC_KEY];

    r->due_ns = now + r->interval_ns;
    if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret)) {
        mr_fault_set(fault, errno,
                     "no random bytes for a key of address tokens; the old one goes "
                     "on");
        return false;
    }
    bool is_good = begin_with(r, (uint8_t)((r->number + 1u) % MR_TOKEN_KEYS), secret, fault);
    explicit_bzero(secret, sizeof(secret));
    return is_good;
}

/* A key of the file, if there is a new one or it is time for one. */
static bool look_at_file(struct mr_token_rotation *r, struct mr_fault *fault)
{
    struct mr_token_secrets secrets;
    int64_t since_s = r->interval_ns == 0
                          ? INT64_MIN
                          : (int64_t)time(NULL) - (int64_t)(r->interval_ns / MR_SECOND);
    int result = mr_token_file_look(&r->file, &secrets, since_s, fault);
    bool is_good = result >= 0;

    if (result == 1 && secrets.writing != r->number)
        is_good = begin_with(r, secrets.writing, secrets.token[secrets.writing], fault);
    explicit_bzero(&secrets, sizeof(secrets));
    return is_good;
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
        if (r->file.path != NULL)
            return look_at_file(r, fault);
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
