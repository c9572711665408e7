/* quic/conn_sleep.c - see conn_sleep.h. */
#include "quic/conn_sleep.h"

#include <errno.h>

#include "quic/conn_ack_frequency.h"
#include "quic/conn_multipath.h"
#include "quic/conn_timer.h"
#include "quic/conn_undo.h"
#include "quic/keys.h"
#include "quic/pack.h"
#include "quic/stream_rest.h"

enum {
    WORD = 8,
    WORDS = sizeof(struct mr_conn) / WORD,
    STREAMS_SPARE = 4 /* of so many objects of streams one is kept free */
};

_Static_assert(sizeof(struct mr_conn) % WORD == 0 && WORDS <= MR_PACK_WORDS_MAX, "packed in words");
_Static_assert(sizeof(struct mr_sleeper) % MR_CACHE_LINE == 0, "a sleeper's place is all its own");

/* ------------------------------------------------------------------ at rest */

/* What of a connection can keep it awake.  The first that does is counted. */
enum reason {
    AT_REST,
    NOT_OPEN,
    EVENTS,
    DATAGRAMS,
    SENDING,
    ACKS,
    PATHS,
    KEYS,
    MTU,
    STREAMS,
    TRACED,
    LARGE, /* packed, it takes more than a sleeper has */
    REASONS
};

static void count_reason(struct mr_counters *counters, enum reason reason)
{
    uint64_t *const counter[REASONS] = {
        [NOT_OPEN] = &counters->kept_awake_handshakes, [EVENTS] = &counters->kept_awake_events,
        [DATAGRAMS] = &counters->kept_awake_datagrams, [SENDING] = &counters->kept_awake_sending,
        [ACKS] = &counters->kept_awake_acks,           [PATHS] = &counters->kept_awake_paths,
        [KEYS] = &counters->kept_awake_keys,           [MTU] = &counters->kept_awake_mtu,
        [STREAMS] = &counters->kept_awake_streams,     [TRACED] = &counters->kept_awake_traced,
        [LARGE] = &counters->kept_awake_large,
    };

    mr_count(counter[reason]);
}

static bool is_sending(const struct mr_conn *conn)
{
    const struct mr_pn_space *app = &conn->app;

    return conn->is_ready || (app->wants & ~(uint32_t)(MR_WANT_MTU_PROBE | MR_WANT_ACK)) != 0 ||
           app->sent.in_flight_count > 0 || app->sent.ack_eliciting_count > 0 ||
           conn->path.cc.in_flight > 0 || conn->retire_count > 0 ||
           conn->loss.space[MR_SPACE_APP].ack_eliciting_count > 0 ||
           conn->pacing_until_ns != MR_NEVER;
}

static bool owes_acks(const struct mr_conn *conn)
{
    return (conn->app.wants & MR_WANT_ACK) != 0 || conn->app.unacked_count > 0 ||
           conn->app.ack_deadline_ns != MR_NEVER;
}

/* An old key is kept for packets that were overtaken, or this burst has used them. */
static bool needs_keys(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_conn_keys *keys =
        conn->keys == MR_NONE ? NULL : mr_pool_at(&ep->keys, conn->keys);

    return conn->key_state.other_until_ns != MR_NEVER || (keys != NULL && keys->burst == ep->burst);
}

/* Of what its extra is used for, only the address that its peer sees stays there. */
static bool needs_extra(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    return extra != NULL && (extra->uses & ~(uint32_t)MR_EXTRA_OBSERVED) != 0;
}

static enum reason why_awake(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    if (conn->state != MR_CONN_OPEN || !conn->is_confirmed || conn->handshake != MR_NONE)
        return NOT_OPEN;
    if (conn->is_dirty || conn->is_held || conn->is_touched || conn->pending_events != 0)
        return EVENTS;
    if (conn->datagrams_in.count > 0 || conn->datagrams_out.count > 0)
        return DATAGRAMS;
    if (is_sending(conn))
        return SENDING;
    if (owes_acks(conn))
        return ACKS;
    if (needs_extra(ep, conn) || conn->multipath != MR_NONE || !conn->path.is_validated ||
        conn->side_packets > 0 || conn->path_due_ns != MR_NEVER)
        return PATHS;
    if (needs_keys(ep, conn))
        return KEYS;
    if (conn->mtu_search.is_in_flight)
        return MTU;
    if (!mr_sleep_streams_rest(ep, conn))
        return STREAMS;
    return mr_conn_is_traced(conn) ? TRACED : AT_REST;
}

/* ------------------------------------------------------------------ images */

void mr_sleep_init(struct mr_endpoint *ep)
{
    struct mr_conn *fresh = &ep->fresh;

    memset(fresh, 0, sizeof(*fresh));
    mr_conn_init_links(fresh);
    mr_conn_init_limits(ep, fresh);
    mr_space_init(ep, &fresh->app);
    mr_loss_init(&fresh->loss, MR_SERVER, 0);
    mr_rtt_init(&fresh->path.rtt, MR_RTT_INITIAL);
    mr_cc_init(&fresh->path.cc, MR_CC_CUBIC, MR_INITIAL_MIN, 0);
    mr_ack_frequency_init(fresh);
    mr_conn_detach(fresh);
}

/* What lies behind the end of its arrays, and in their empty places, is nothing. */
static void tidy(struct mr_conn *copy)
{
    struct mr_ack_ranges *received = &copy->app.received;

    memset(&received->range[received->count], 0,
           (MR_ACK_RANGES_MAX - received->count) * sizeof(received->range[0]));
    memset(&copy->retire[copy->retire_count], 0,
           (MR_RETIRE_QUEUE_MAX - copy->retire_count) * sizeof(copy->retire[0]));
    memset(copy->tracked_token, 0, sizeof(copy->tracked_token));
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++)
        copy->issued.sequence[i] = copy->issued.key[i] == 0 ? 0 : copy->issued.sequence[i];
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++) {
        if (!copy->peer_cids[i].is_used)
            memset(&copy->peer_cids[i], 0, sizeof(copy->peer_cids[i]));
    }
}

static void wipe(struct mr_key_state *keys)
{
    mr_secret_wipe(&keys->seal_secret);
    mr_secret_wipe(&keys->open_secret);
    mr_secret_wipe(&keys->next_open_secret);
    mr_key_material_wipe(&keys->seal);
    mr_key_material_wipe(&keys->open);
    mr_key_material_wipe(&keys->other);
}

/* False: it takes more than there is room. */
static bool write_image(const struct mr_endpoint *ep, const struct mr_conn *conn,
                        struct mr_sleeper *to)
{
    struct mr_conn copy = *conn;

    mr_conn_detach(&copy);
    copy.name = conn->name; /* these stay in their places */
    copy.extra = conn->extra;
    tidy(&copy);
    to->number = conn->number;
    to->next = MR_NONE;
    to->streams = (uint16_t)conn->streams_open;
    to->stream_bytes = 0;
    to->cc_kind = (uint8_t)mr_cc_kind_of(&conn->path.cc);
    to->zero = 0;
    to->size = (uint16_t)mr_pack(&copy, &ep->fresh, WORDS, to->bytes, sizeof(to->bytes));
    wipe(&copy.key_state);
    return to->size > 0;
}

static void read_image(const struct mr_endpoint *ep, const struct mr_sleeper *from,
                       struct mr_conn *conn_out)
{
    bool is_right = mr_unpack(conn_out, &ep->fresh, WORDS, from->bytes, from->size);

    MR_ASSERT(is_right);
    MR_ASSERT(conn_out->number == from->number);
}

/* ------------------------------------------------------------------ to sleep, and up */

/* Its connection IDs, and the token of the peer's, lead to `owner` from now on. */
static void lead_to(struct mr_endpoint *ep, const struct mr_conn *conn, uint32_t owner)
{
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++)
        mr_table8_prefetch(&ep->cids, mr_table8_home(&ep->cids, conn->issued.key[i]));
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] == 0)
            continue;
        bool is_there = mr_table8_replace(&ep->cids, conn->issued.key[i], owner);
        MR_ASSERT(is_there);
    }
    if (conn->is_token_tracked)
        mr_table_replace(&ep->reset_tokens, conn->tracked_token, MR_RESET_TOKEN, owner);
}

/* Give back the sleeper at `place`, and those that go on from it. */
static void put_sleepers(struct mr_endpoint *ep, uint32_t place)
{
    while (place != MR_NONE) {
        uint32_t next = ((struct mr_sleeper *)mr_pool_at(&ep->sleepers, place))->next;

        mr_pool_put(&ep->sleepers, place);
        place = next;
    }
}

/* The packed streams behind the image, and in further sleepers as far as they do not fit.  False:
 * there are none. */
static bool write_streams(struct mr_endpoint *ep, struct mr_sleeper *to, const uint8_t *bytes,
                          size_t size)
{
    uint32_t number = to->number;
    size_t used = to->size;

    to->stream_bytes = (uint16_t)size;
    for (;;) {
        size_t part = MR_MIN(size, sizeof(to->bytes) - used);

        memcpy(to->bytes + used, bytes, part);
        bytes += part;
        size -= part;
        if (size == 0)
            return true;
        to->next = mr_pool_get(&ep->sleepers);
        if (to->next == MR_NONE)
            return false;
        to = mr_pool_at(&ep->sleepers, to->next);
        to->number = number;
        to->next = MR_NONE;
        used = 0;
    }
}

/* All of a connection at rest, in as many sleepers as it takes.  The first; MR_NONE: it takes too
 * much, or there are not so many (counted). */
static uint32_t pack(struct mr_endpoint *ep, const struct mr_conn *conn, int *answer_out)
{
    uint8_t streams[MR_SLEEP_STREAM_ROOM];
    size_t size = mr_sleep_pack_streams(ep, conn, streams, sizeof(streams));
    uint32_t place = mr_pool_get(&ep->sleepers);
    struct mr_sleeper *to = place == MR_NONE ? NULL : mr_pool_at(&ep->sleepers, place);

    if (to != NULL && (size == SIZE_MAX || !write_image(ep, conn, to))) {
        mr_pool_put(&ep->sleepers, place);
        count_reason(&ep->counters, LARGE);
        *answer_out = -EBUSY;
        return MR_NONE;
    }
    if (to == NULL || !write_streams(ep, to, streams, size)) {
        if (to != NULL)
            put_sleepers(ep, place);
        mr_count(&ep->counters.limit_sleepers);
        *answer_out = -ENOMEM;
        return MR_NONE;
    }
    return place;
}

/* 0; -EBUSY: something keeps it awake (counted); -ENOMEM: no sleeper is free (counted). */
static int put_to_sleep(struct mr_endpoint *ep, struct mr_conn *conn)
{
    enum reason reason = why_awake(ep, conn);
    if (reason != AT_REST) {
        count_reason(&ep->counters, reason);
        return -EBUSY;
    }
    int answer;
    uint32_t place = pack(ep, conn, &answer);
    if (place == MR_NONE)
        return answer;
    if (memcmp(conn->tracked_token, mr_cid_current(conn)->reset_token, MR_RESET_TOKEN) != 0)
        mr_cid_track_token(ep, conn); /* that is where it will be looked for */
    mr_conn_timer_exact(ep, conn);    /* none that was put off wakes it */
    lead_to(ep, conn, MR_CID_ASLEEP | conn->number);
    mr_conn_number_at(ep, conn->number)->place = MR_PLACE_ASLEEP | place;
    mr_sleep_put_streams(ep, conn);
    mr_keys_drop(ep, conn);
    mr_conn_undo_drop(ep, conn);
    mr_sent_discard(&conn->app.sent);
    mr_path_end_control(ep, &conn->path);
    wipe(&conn->key_state);
    conn->generation = 0; /* nobody's place */
    mr_pool_put(&ep->conns, conn->index);
    mr_count(&ep->counters.connections_slept);
    return 0;
}

static struct mr_sleeper *sleeper_of(const struct mr_endpoint *ep, uint32_t number)
{
    uint32_t place = mr_conn_number_at(ep, number)->place;

    return mr_pool_at(&ep->sleepers, place & ~MR_PLACE_BITS);
}

/* Its token is where it was put; whether it was, the table knows. */
static void find_token(const struct mr_endpoint *ep, struct mr_conn *conn)
{
    const struct mr_peer_cid *current = mr_cid_current(conn);
    uint32_t owner = !current->has_token
                         ? MR_NONE
                         : mr_table_find(&ep->reset_tokens, current->reset_token, MR_RESET_TOKEN);

    conn->is_token_tracked = owner == (MR_CID_ASLEEP | conn->number);
    if (conn->is_token_tracked)
        memcpy(conn->tracked_token, current->reset_token, MR_RESET_TOKEN);
}

/* The packed streams, in one piece. */
static size_t read_streams(const struct mr_endpoint *ep, const struct mr_sleeper *from,
                           uint8_t bytes_out[MR_SLEEP_STREAM_ROOM])
{
    size_t size = from->stream_bytes;
    size_t used = from->size;

    for (size_t at = 0; at < size;) {
        size_t part = MR_MIN(size - at, sizeof(from->bytes) - used);

        memcpy(bytes_out + at, from->bytes + used, part);
        at += part;
        used = 0;
        from = at < size ? mr_pool_at(&ep->sleepers, from->next) : from;
    }
    return size;
}

/* A place for the connection, and for each of its streams. */
static bool has_room(const struct mr_endpoint *ep, uint32_t number)
{
    return mr_pool_free_count(&ep->conns) > 0 &&
           mr_pool_free_count(&ep->streams) >= sleeper_of(ep, number)->streams;
}

/* There is room for it. */
static struct mr_conn *wake(struct mr_endpoint *ep, uint32_t number)
{
    uint8_t streams[MR_SLEEP_STREAM_ROOM];
    struct mr_number *entry = mr_conn_number_at(ep, number);
    struct mr_sleeper *sleeper = sleeper_of(ep, number);
    uint32_t index = mr_pool_get(&ep->conns);
    struct mr_conn *conn = mr_conn_at(ep, index);

    read_image(ep, sleeper, conn);
    conn->index = index;
    mr_conn_attach(ep, conn, (enum mr_cc_kind)sleeper->cc_kind, ep->now);
    conn->armed_ns = mr_wheel_deadline(&ep->wheel, number);
    find_token(ep, conn);
    lead_to(ep, conn, index);
    mr_sleep_take_streams(ep, conn, streams, read_streams(ep, sleeper, streams));
    bool closes = (entry->place & MR_PLACE_CLOSES) != 0;
    uint64_t close_code = sleeper->close_code;
    mr_bytes_wipe(sleeper->bytes, sleeper->size);
    put_sleepers(ep, entry->place & ~MR_PLACE_BITS);
    entry->place = index;
    mr_count(&ep->counters.connections_woken);
    ep->sleep_hand.closing_count -= closes;
    if (closes)
        mr_conn_close(ep, mr_conn_handle(conn), close_code, "", ep->now);
    mr_sleep_on_taken(ep);
    return conn;
}

bool mr_conn_is_asleep(const struct mr_endpoint *ep, mr_handle handle)
{
    uint32_t number = (uint32_t)handle;

    if (number >= ep->numbers.fresh)
        return false;
    const struct mr_number *entry = mr_conn_number_at(ep, number);
    return entry->generation == (uint32_t)(handle >> 32) && (entry->generation & 1) != 0 &&
           (entry->place & MR_PLACE_ASLEEP) != 0;
}

const struct mr_conn *mr_conn_look(const struct mr_endpoint *ep, mr_handle handle,
                                   struct mr_conn *copy)
{
    const struct mr_conn *conn = mr_conn_of_number(ep, handle);

    if (conn != NULL)
        return conn->state != MR_CONN_MOVED ? conn : NULL;
    if (!mr_conn_is_asleep(ep, handle))
        return NULL;
    const struct mr_sleeper *sleeper = sleeper_of(ep, (uint32_t)handle);
    read_image(ep, sleeper, copy);
    mr_cc_attach(&copy->path.cc, sleeper->cc_kind < MR_CC_SELF_CONTAINED
                                     ? (enum mr_cc_kind)sleeper->cc_kind
                                     : MR_CC_NEWRENO); /* a model is not there */
    return copy;
}

uint32_t mr_sleep_streams(const struct mr_endpoint *ep, uint32_t number)
{
    return sleeper_of(ep, number)->streams;
}

void mr_sleep_walk_begin(const struct mr_endpoint *ep, uint32_t number, struct mr_sleep_walk *walk)
{
    const struct mr_sleeper *sleeper = sleeper_of(ep, number);

    read_image(ep, sleeper, &walk->conn);
    walk->at = 0;
    walk->size = read_streams(ep, sleeper, walk->bytes);
}

void mr_sleep_walk_end(struct mr_sleep_walk *walk)
{
    wipe(&walk->conn.key_state);
}

int mr_conn_sleep(struct mr_endpoint *ep, mr_handle handle)
{
    struct mr_conn *conn = mr_conn_of_number(ep, handle);

    if (conn == NULL)
        return mr_conn_is_asleep(ep, handle) ? -EBUSY : -ESTALE;
    return put_to_sleep(ep, conn);
}

/* ------------------------------------------------------------------ the hand */

/* So few places are free that it puts to sleep what rests at all. */
static bool is_scarce(const struct mr_endpoint *ep)
{
    return mr_pool_free_count(&ep->conns) < mr_limits_spare(&ep->limits) / 2;
}

/* Fewer than one of `part` objects of streams are free. */
static bool is_short_of_streams(const struct mr_endpoint *ep, uint32_t part)
{
    return mr_pool_free_count(&ep->streams) < ep->streams.count / part;
}

bool mr_sleep_cuts_draining(struct mr_endpoint *ep, const struct mr_conn *conn)
{
    if (conn->state != MR_CONN_DRAINING || ep->sleepers.count == 0 || !is_scarce(ep))
        return false;
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] != 0)
            mr_departed_add(&ep->departed, conn->issued.key[i], conn->close_until_ns, ep->now);
    }
    mr_count(&ep->counters.drains_cut_short);
    return true;
}

/* Look at some places: put up to `wanted` that have rested for so long to sleep.  How many. */
static uint32_t look(struct mr_endpoint *ep, uint64_t rest_ns, uint32_t wanted)
{
    uint32_t slept = 0;

    for (uint32_t i = 0; i < MR_SLEEP_LOOKS && slept < wanted; i++) {
        ep->sleep_hand.at = (ep->sleep_hand.at + 1) % ep->conns.fresh;
        struct mr_conn *conn = mr_conn_at(ep, ep->sleep_hand.at);
        bool rests = (conn->generation & 1) != 0 && conn->idle_base_ns + rest_ns <= ep->now;

        slept += rests && put_to_sleep(ep, conn) == 0;
    }
    return slept;
}

struct mr_conn *mr_conn_rouse(struct mr_endpoint *ep, uint32_t number, bool makes_room)
{
    const struct mr_number *entry = mr_conn_number_at(ep, number);

    if ((entry->place & MR_PLACE_ASLEEP) == 0)
        return mr_conn_at(ep, entry->place);
    for (uint32_t i = 0; makes_room && i < MR_SLEEP_ROOM_MAX && !has_room(ep, number); i++)
        look(ep, 0, 1);
    if (!has_room(ep, number)) {
        mr_count(&ep->counters.limit_awake);
        return NULL;
    }
    return wake(ep, number);
}

void mr_sleep_ask(const struct mr_endpoint *ep, uint32_t number)
{
    if ((mr_conn_number_at(ep, number)->place & MR_PLACE_ASLEEP) == 0)
        return;
    const uint8_t *sleeper = (const uint8_t *)sleeper_of(ep, number);
    for (size_t at = 0; at < MR_SLEEPER_SIZE; at += MR_CACHE_LINE)
        __builtin_prefetch(sleeper + at);
}

static bool is_wanted(const struct mr_endpoint *ep)
{
    return ep->sleep_hand.closing_count > 0 ||
           (ep->sleepers.count > 0 &&
            (mr_pool_free_count(&ep->conns) < mr_limits_spare(&ep->limits) ||
             is_short_of_streams(ep, STREAMS_SPARE)));
}

static void set_going(struct mr_endpoint *ep, uint64_t step_ns)
{
    ep->sleep_hand.is_going = is_wanted(ep);
    if (ep->sleep_hand.is_going)
        mr_wheel_set(&ep->wheel, ep->limits.connections_max, ep->now + step_ns);
}

void mr_sleep_on_taken(struct mr_endpoint *ep)
{
    if (!ep->sleep_hand.is_going && is_wanted(ep))
        set_going(ep, MR_SLEEP_STEP_NS);
}

static bool sleeps(const struct mr_number *entry)
{
    return (entry->generation & 1) != 0 && (entry->place & MR_PLACE_ASLEEP) != 0;
}

void mr_sleep_close(struct mr_endpoint *ep, uint32_t number, uint64_t code)
{
    struct mr_number *entry = mr_conn_number_at(ep, number);

    MR_ASSERT(sleeps(entry));
    if ((entry->place & MR_PLACE_CLOSES) != 0)
        return;
    sleeper_of(ep, number)->close_code = code;
    entry->place |= MR_PLACE_CLOSES;
    ep->sleep_hand.closing_count++;
    mr_sleep_on_taken(ep);
}

/* Wake some that are to be closed, while there are places: that closes them. */
static void close_some(struct mr_endpoint *ep)
{
    struct mr_sleep_hand *hand = &ep->sleep_hand;

    for (uint32_t i = 0;
         i < MR_SLEEP_CLOSE_LOOKS && hand->closing_count > 0 && mr_pool_free_count(&ep->conns) > 0;
         i++) {
        hand->close_at = (hand->close_at + 1) % ep->numbers.fresh;
        const struct mr_number *entry = mr_conn_number_at(ep, hand->close_at);
        if (sleeps(entry) && (entry->place & MR_PLACE_CLOSES) != 0 && has_room(ep, hand->close_at))
            wake(ep, hand->close_at);
    }
}

void mr_sleep_close_all(struct mr_endpoint *ep, uint64_t code)
{
    for (uint32_t number = 0; number < ep->numbers.fresh; number++) {
        if (sleeps(mr_conn_number_at(ep, number)))
            mr_sleep_close(ep, number, code);
    }
    if (ep->sleep_hand.closing_count > 0)
        close_some(ep);
}

/* How many to put to sleep in this step. */
static uint32_t wanted_count(const struct mr_endpoint *ep)
{
    uint32_t spare = mr_limits_spare(&ep->limits);
    uint32_t free_count = mr_pool_free_count(&ep->conns);

    if (is_short_of_streams(ep, STREAMS_SPARE))
        return MR_SLEEP_STEP_MAX;
    return free_count >= spare ? 0 : MR_MIN(spare - free_count, (uint32_t)MR_SLEEP_STEP_MAX);
}

void mr_sleep_expire(struct mr_endpoint *ep)
{
    close_some(ep);
    bool is_urgent = is_scarce(ep) || is_short_of_streams(ep, 2 * STREAMS_SPARE);
    uint32_t wanted = ep->sleepers.count > 0 ? wanted_count(ep) : 0;
    uint32_t slept = wanted == 0 ? 0 : look(ep, is_urgent ? 0 : ep->config.sleep_after_ns, wanted);
    bool helps = slept > 0 || ep->sleep_hand.closing_count > 0;
    set_going(ep, is_urgent && helps ? MR_SLEEP_SCARCE_NS : MR_SLEEP_STEP_NS);
}

/* ------------------------------------------------------------------ all of them */

void mr_sleep_fini(struct mr_endpoint *ep)
{
    for (uint32_t number = 0; number < ep->numbers.fresh && ep->sleepers.used > 0; number++) {
        if (sleeps(mr_conn_number_at(ep, number)))
            mr_conn_free(ep, wake(ep, number)); /* there is room: nobody is awake */
    }
}

/* How many sleepers a connection takes. */
static uint32_t check_parts(const struct mr_endpoint *ep, const struct mr_sleeper *sleeper)
{
    uint32_t number = sleeper->number;
    uint32_t parts = 1;

    for (; sleeper->next != MR_NONE; parts++) {
        sleeper = mr_pool_at(&ep->sleepers, sleeper->next);
        MR_ASSERT(sleeper->number == number);
    }
    MR_ASSERT(parts <= MR_SLEEPER_PARTS);
    return parts;
}

/* How many streams it has. */
static uint32_t check_streams(const struct mr_endpoint *ep, uint32_t number)
{
    struct mr_sleep_walk walk;
    struct mr_stream stream;
    uint32_t count = 0;

    mr_sleep_walk_begin(ep, number, &walk);
    for (; mr_sleep_walk_next(ep, &walk, &stream); count++) {
        const struct mr_number *entry = mr_stream_number_at(ep, mr_stream_number_of(stream.handle));

        MR_ASSERT(entry->generation == (uint32_t)(stream.handle >> 32));
        MR_ASSERT(entry->place == (MR_PLACE_ASLEEP | number));
        MR_ASSERT(mr_stream_rests(&stream));
    }
    mr_sleep_walk_end(&walk);
    MR_ASSERT(count == mr_sleep_streams(ep, number));
    return count;
}

static void check_sleeper(const struct mr_endpoint *ep, uint32_t number)
{
    const struct mr_sleeper *sleeper = sleeper_of(ep, number);
    struct mr_conn copy;

    MR_ASSERT(sleeper->number == number);
    read_image(ep, sleeper, &copy);
    MR_ASSERT(copy.generation == mr_conn_number_at(ep, number)->generation);
    MR_ASSERT(copy.state == MR_CONN_OPEN && copy.streams_open == 0);
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++)
        MR_ASSERT(copy.issued.key[i] == 0 ||
                  mr_table8_find(&ep->cids, copy.issued.key[i]) == (MR_CID_ASLEEP | number));
    MR_ASSERT(copy.idle_timeout_ns == 0 || mr_wheel_is_set(&ep->wheel, number));
    wipe(&copy.key_state);
}

void mr_sleep_check(const struct mr_endpoint *ep)
{
    uint32_t asleep = 0;
    uint32_t parts = 0;
    uint32_t streams = 0;
    uint32_t closing = 0;

    for (uint32_t number = 0; number < ep->numbers.fresh; number++) {
        const struct mr_number *entry = mr_conn_number_at(ep, number);

        if (!sleeps(entry))
            continue;
        asleep++;
        closing += (entry->place & MR_PLACE_CLOSES) != 0;
        check_sleeper(ep, number);
        parts += check_parts(ep, sleeper_of(ep, number));
        streams += check_streams(ep, number);
    }
    MR_ASSERT(parts == ep->sleepers.used);
    MR_ASSERT(ep->stream_numbers.used == ep->streams.used + streams);
    MR_ASSERT(closing == ep->sleep_hand.closing_count);
    MR_ASSERT(ep->numbers.used == ep->conns.used + asleep);
    MR_ASSERT(ep->sleep_hand.is_going == mr_wheel_is_set(&ep->wheel, ep->limits.connections_max));
}
