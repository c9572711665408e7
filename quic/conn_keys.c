/*
 * quic/conn_keys.c - 1-RTT keys: expanded when used, dropped when others need the room, updated in
 * time.
 *
 * RFC 9001, Section 6.  A connection keeps secrets and unexpanded keys; expanded ones
 * live in a pool of the shard.  Two open keys exist, one per key phase: the
 * current generation's, and in the other slot either the previous one (for
 * packets that were overtaken) or the next one, derived in advance so that a
 * forged key phase bit costs no derivation.
 */
#include "quic/conn_multipath.h"
#include "quic/conn_stream.h"

/* Packets of the other phase that may cost the derivation of a key while the previous one is kept:
 * more are dropped, and the peer's next update waits until it is gone, as RFC 9001, Section 6.5
 * asks of it. */
#define NEXT_TRIES_MAX 16
#define KEYS_AHEAD     4                   /* that are asked for before the clock hand comes by */
#define ASKED_KEY      (4 * MR_CACHE_LINE) /* of one: the processor goes on by itself */
#define UPDATE_FIRST                                                                               \
    (UINT64_C(1) << 21) /* DESIGN.md, section 5: a random point between 2^21 and 2^22 packets */

/* ------------------------------------------------------------------ expansion */

/* Bits: of the two open keys, those that there are. */
static uint8_t opens_of(const struct mr_key_state *s)
{
    return (uint8_t)((s->can_open ? 1u << s->phase : 0) |
                     (s->other_kind != MR_OTHER_NONE ? 2u >> s->phase : 0));
}

static bool expand(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_conn_keys *keys)
{
    const struct mr_key_state *s = &conn->key_state;
    bool is_ok = true;

    if (s->can_seal) {
        is_ok &=
            mr_aead_key_set(ep->aead, &keys->seal, s->seal.cipher, s->seal.key, s->seal.iv, true);
        is_ok &= mr_hp_key_set(ep->aead, &keys->seal_hp, s->seal.cipher, s->seal.hp);
    }
    if (s->can_open) {
        is_ok &= mr_aead_key_set(ep->aead, &keys->open[s->phase], s->open.cipher, s->open.key,
                                 s->open.iv, false);
        is_ok &= mr_hp_key_set(ep->aead, &keys->open_hp, s->open.cipher, s->open.hp);
    }
    keys->opens = opens_of(s);
    keys->cipher = (uint8_t)(s->can_seal ? s->seal.cipher : s->open.cipher);
    if (s->other_kind != MR_OTHER_NONE)
        is_ok &= mr_aead_key_set(ep->aead, &keys->open[!s->phase], s->other.cipher, s->other.key,
                                 s->other.iv, false);
    return is_ok;
}

static void clear_keys(struct mr_endpoint *ep, struct mr_conn_keys *keys)
{
    mr_aead_key_clear(ep->aead, &keys->seal);
    mr_aead_key_clear(ep->aead, &keys->open[0]);
    mr_aead_key_clear(ep->aead, &keys->open[1]);
    mr_hp_key_clear(ep->aead, &keys->seal_hp);
    mr_hp_key_clear(ep->aead, &keys->open_hp);
    keys->opens = 0;
}

void mr_keys_drop(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->keys == MR_NONE)
        return;

    struct mr_conn_keys *keys = mr_pool_at(&ep->keys, conn->keys);
    clear_keys(ep, keys);
    mr_pool_put(&ep->keys, conn->keys);
    keys->burst = 0;
    keys->was_used = false;
    conn->keys = MR_NONE;
}

/* The hand comes by there soon, and by the connections that they are of. */
static void ask_for_victims(const struct mr_endpoint *ep)
{
    const struct mr_conn_keys *next = mr_pool_at(&ep->keys, ep->keys_hand);
    uint32_t behind = (ep->keys_hand + KEYS_AHEAD) % ep->keys.count;

    __builtin_prefetch(&mr_conn_at(ep, next->conn)->keys);
    for (size_t at = 0; at < ASKED_KEY; at += MR_CACHE_LINE) {
        MR_PREFETCH_WRITE(&next->seal.state[at]);
        MR_PREFETCH_WRITE(&next->open[0].state[at]);
    }
    for (size_t at = 0; at < MR_HP_KEY_SIZE - MR_CACHE_LINE; at += MR_CACHE_LINE) {
        MR_PREFETCH_WRITE(&next->seal_hp.state[at]);
        MR_PREFETCH_WRITE(&next->open_hp.state[at]);
    }
    __builtin_prefetch(mr_pool_at(&ep->keys, behind));
}

/*
 * Second chance: the hand takes the first keys that were not used since it last came by, nor in
 * this burst.  Returns their index, nobody's now, and with the keys in place: others are written
 * over them at once; MR_NONE: all are in use.
 */
static uint32_t evict(struct mr_endpoint *ep)
{
    for (uint32_t i = 0; i < 2 * ep->keys.count; i++) {
        struct mr_conn_keys *keys = mr_pool_at(&ep->keys, ep->keys_hand);

        ep->keys_hand = (ep->keys_hand + 1) % ep->keys.count;
        if (keys->burst == ep->burst)
            continue;
        if (keys->was_used) {
            keys->was_used = false;
            continue;
        }
        mr_count(&ep->counters.limit_active_keys);
        mr_conn_at(ep, keys->conn)->keys = MR_NONE;
        ask_for_victims(ep);
        return mr_pool_index(&ep->keys, keys);
    }
    return MR_NONE;
}

/* Keys that nobody has. */
static struct mr_conn_keys *fresh_keys(struct mr_endpoint *ep, uint32_t index)
{
    struct mr_conn_keys *keys = mr_pool_at(&ep->keys, index);

    mr_aead_key_init(&keys->seal);
    mr_aead_key_init(&keys->open[0]);
    mr_aead_key_init(&keys->open[1]);
    mr_hp_key_init(&keys->seal_hp);
    mr_hp_key_init(&keys->open_hp);
    keys->opens = 0;
    return keys;
}

/* Will all that is left of the keys before be written over?  Those of another cipher have other
 * bytes, or more of them. */
static bool is_covered(const struct mr_conn *conn, const struct mr_conn_keys *keys)
{
    const struct mr_key_state *s = &conn->key_state;

    return s->can_seal && s->can_open && s->seal.cipher == keys->cipher &&
           (keys->opens & ~opens_of(s)) == 0;
}

MR_COLD static struct mr_conn_keys *take_keys(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_conn_keys *keys;
    uint32_t index = mr_pool_get(&ep->keys);

    if (index != MR_NONE) {
        keys = fresh_keys(ep, index);
    } else {
        index = evict(ep);
        if (index == MR_NONE)
            return NULL;
        keys = mr_pool_at(&ep->keys, index);
        if (!is_covered(conn, keys))
            clear_keys(ep, keys);
    }
    keys->was_used = false;
    keys->conn = conn->index;
    keys->burst = ep->burst;
    conn->keys = index;
    mr_wheel_ask(&ep->wheel, conn->number);
    mr_stream_ask_for_next(ep, conn);
    bool is_expanded = expand(ep, conn, keys);
    mr_wheel_ask_beside(&ep->wheel, conn->number);
    if (is_expanded) {
        mr_count(&ep->counters.keys_rebuilt);
        return keys;
    }
    mr_keys_drop(ep, conn);
    return NULL;
}

struct mr_conn_keys *mr_keys_use(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->keys == MR_NONE)
        return take_keys(ep, conn);

    struct mr_conn_keys *keys = mr_pool_at(&ep->keys, conn->keys);
    keys->was_used = true;
    keys->burst = ep->burst;
    return keys;
}

/* ------------------------------------------------------------------ installing */

static uint64_t draw_update_point(struct mr_endpoint *ep)
{
    uint64_t first = ep->config.key_update_after > 0 ? ep->config.key_update_after : UPDATE_FIRST;

    return first + mr_random_below(&ep->random, first);
}

void mr_keys_install(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_secret *secret,
                     bool is_write)
{
    struct mr_key_state *s = &conn->key_state;

    mr_keys_drop(ep, conn);
    if (is_write) {
        s->seal_secret = *secret;
        mr_keys_derive(conn->version, secret, &s->seal);
        s->can_seal = true;
        s->phase_first_pn = mr_sent_next(&conn->app.sent); /* behind 0-RTT packets */
        s->update_at_count = draw_update_point(ep);
        return;
    }
    s->open_secret = *secret;
    mr_keys_derive(conn->version, secret, &s->open);
    s->can_open = true;
    s->opened_first_pn = MR_NEVER;
}

/* ------------------------------------------------------------------ update */

/* Derive the next generation's open key into the other slot. */
static void prepare_next(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_key_state *s = &conn->key_state;

    s->next_open_secret = s->open_secret;
    s->other = s->open;
    mr_keys_update(conn->version, &s->next_open_secret, &s->other);
    s->other_kind = MR_OTHER_NEXT;
    s->other_until_ns = MR_NEVER;
    if (conn->keys != MR_NONE) {
        struct mr_conn_keys *keys = mr_pool_at(&ep->keys, conn->keys);
        mr_aead_key_set(ep->aead, &keys->open[!s->phase], s->other.cipher, s->other.key,
                        s->other.iv, false);
        keys->opens = opens_of(s);
    }
}

/* Both directions move to the next generation, whose open key is in the other slot. */
static void advance(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t first_opened_pn,
                    uint64_t now)
{
    struct mr_key_state *s = &conn->key_state;
    struct mr_key_material previous = s->open;

    MR_ASSERT(s->other_kind == MR_OTHER_NEXT);
    s->open_secret = s->next_open_secret;
    s->open = s->other;
    s->other = previous;
    s->other_kind = MR_OTHER_PREVIOUS;
    s->other_until_ns =
        first_opened_pn == MR_NEVER ? MR_NEVER : now + 3 * mr_multipath_pto(ep, conn);
    s->opened_first_pn = first_opened_pn;
    mr_keys_update(conn->version, &s->seal_secret, &s->seal);
    s->phase ^= 1;
    s->sealed_count = 0;
    s->update_at_count = draw_update_point(ep);
    s->phase_first_pn = mr_sent_next(&conn->app.sent);
    mr_multipath_on_key_update(ep, conn);
    s->is_confirmed = false;
    s->next_failed = 0;
    s->updates++;
    if (mr_conn_is_traced(conn))
        mr_trace_key_update(ep, conn, first_opened_pn != MR_NEVER);
    if (conn->keys != MR_NONE) {
        struct mr_conn_keys *keys = mr_pool_at(&ep->keys, conn->keys);
        mr_aead_key_set(ep->aead, &keys->seal, s->seal.cipher, s->seal.key, s->seal.iv, true);
    }
}

bool mr_keys_update_now(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_key_state *s = &conn->key_state;

    /* RFC 9001, Section 6.1: confirmed, the current phase acknowledged; Section 6.5: the previous
     * keys are gone. */
    if (!conn->is_confirmed || !s->can_seal || !s->can_open || !s->is_confirmed ||
        s->other_kind == MR_OTHER_PREVIOUS)
        return false;
    if (s->seal_burst == ep->burst)
        return false; /* packets of this burst wait to be sealed with the current key */
    if (s->other_kind == MR_OTHER_NONE)
        prepare_next(ep, conn);
    advance(ep, conn, MR_NEVER, now);
    mr_count(&ep->counters.key_updates_started);
    return true;
}

/* An update is begun in time; at the key's limit the connection is closed. */
static bool may_seal(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_key_state *s = &conn->key_state;

    if (s->sealed_count < s->update_at_count)
        return true;
    if (mr_keys_update_now(ep, conn, now) || s->sealed_count < mr_cipher_seal_limit(s->seal.cipher))
        return true;
    mr_count(&ep->counters.aead_limit_closes);
    mr_conn_fail(ep, conn, MR_AEAD_LIMIT_REACHED, 0,
                 "no key update was possible before the key's limit", now);
    return false;
}

struct mr_conn_keys *mr_keys_for_seal(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (!conn->key_state.can_seal || !may_seal(ep, conn, now))
        return NULL;

    struct mr_conn_keys *keys = mr_keys_use(ep, conn);
    if (keys != NULL)
        conn->key_state.seal_burst = ep->burst;
    return keys;
}

void mr_keys_on_acked(struct mr_conn *conn, uint64_t largest_acked)
{
    if (!conn->key_state.is_confirmed && largest_acked >= conn->key_state.phase_first_pn)
        conn->key_state.is_confirmed = true;
}

void mr_keys_note_opened(const struct mr_endpoint *ep, struct mr_conn *conn, uint64_t pn,
                         uint64_t now)
{
    struct mr_key_state *s = &conn->key_state;

    if (s->opened_first_pn != MR_NEVER)
        return;
    s->opened_first_pn = pn;
    if (s->other_kind == MR_OTHER_PREVIOUS && s->other_until_ns == MR_NEVER)
        s->other_until_ns = now + 3 * mr_multipath_pto(ep, conn);
}

void mr_keys_count_failed(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    struct mr_key_state *s = &conn->key_state;

    mr_count(&ep->counters.dropped_undecryptable);
    if (mr_conn_is_traced(conn))
        mr_trace_dropped(
            ep, conn,
            (struct mr_trace_drop){.type = MR_PACKET_ONE_RTT, .trigger = MR_TRACE_UNDECRYPTABLE});
    if (++s->open_failed_count < mr_cipher_open_limit(s->open.cipher))
        return;
    mr_count(&ep->counters.aead_limit_closes);
    mr_conn_fail(ep, conn, MR_AEAD_LIMIT_REACHED, 0, "too many packets failed to authenticate",
                 now);
}

/* Open with whatever the other slot holds. */
static bool try_other(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_open_job *job)
{
    struct mr_conn_keys *keys = mr_keys_use(ep, conn);

    if (keys == NULL)
        return false;
    job->key = &keys->open[!conn->key_state.phase];
    mr_open_burst(ep->aead, job, 1);
    return job->is_open;
}

static bool try_prepared(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_open_job *job)
{
    if (conn->key_state.other_kind != MR_OTHER_NEXT)
        prepare_next(ep, conn);
    return try_other(ep, conn, job);
}

/* The previous generation's key is still wanted: it gives way to the next one's only when that
 * has opened a packet, so that forged packets do not cost it. */
MR_COLD static bool try_next(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_open_job *job)
{
    struct mr_key_state *s = &conn->key_state;

    if (s->next_failed == NEXT_TRIES_MAX)
        return false;
    struct mr_secret secret = s->open_secret;
    struct mr_key_material material = s->open;
    struct mr_aead_key key;
    memset(&key, 0, sizeof(key));
    mr_keys_update(conn->version, &secret, &material);
    job->key = &key;
    if (mr_aead_key_set(ep->aead, &key, material.cipher, material.key, material.iv, false))
        mr_open_burst(ep->aead, job, 1);
    mr_aead_key_clear(ep->aead, &key);
    mr_secret_wipe(&secret);
    mr_key_material_wipe(&material);
    if (job->is_open)
        prepare_next(ep, conn);
    else
        s->next_failed++;
    return job->is_open;
}

bool mr_keys_open_other_phase(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_open_job *job,
                              uint64_t now)
{
    struct mr_key_state *s = &conn->key_state;
    bool is_overtaken = s->other_kind == MR_OTHER_PREVIOUS &&
                        (s->opened_first_pn == MR_NEVER || job->pn < s->opened_first_pn);

    if (is_overtaken)
        return try_other(ep, conn, job);
    /* RFC 9001, Section 6.1: the peer updates when its handshake is confirmed.  A server's is as
     * soon as it opens 1-RTT packets (Section 5.7); its client's HANDSHAKE_DONE may be lost. */
    bool is_soon = s->other_kind == MR_OTHER_PREVIOUS;
    bool is_open = is_soon ? try_next(ep, conn, job) : try_prepared(ep, conn, job);
    if (!is_open)
        return false;
    if (is_soon && s->sealed_count == 0) { /* Section 6.2 */
        job->is_open = false;
        return mr_conn_fail(ep, conn, MR_KEY_UPDATE_ERROR, 0,
                            "keys updated twice without awaiting confirmation", now);
    }
    advance(ep, conn, job->pn, now);
    mr_count(&ep->counters.key_updates_received);
    return true;
}

void mr_keys_expire(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t now)
{
    if (conn->key_state.other_until_ns > now)
        return;
    prepare_next(ep, conn);
}
