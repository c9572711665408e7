/* dataplane/shard_move.c - see shard_move.h. */
#include "dataplane/shard_move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache_line.h"
#include "base/compiler.h"
#include "base/spsc.h"
#include "dataplane/shard_internal.h"

#define RING  16 /* words; in one lane are moves of both its shards */
#define LATER 1

_Static_assert(RING >= 2 * MR_MOVES_OUT, "a lane is never full");

struct lane {
    struct mr_spsc ring;
    uint64_t items[RING];
};

MR_ASSERT_OWN_LINE(struct lane, items);
MR_ASSERT_WHOLE_LINES(struct lane);
MR_ASSERT_WHOLE_LINES(struct mr_move);
_Static_assert(MR_MOVE_RECORD_MAX % MR_CACHE_LINE == 0, "records share no cache line");
_Static_assert(MR_MOVE_BAGGAGE_MAX % MR_CACHE_LINE == 0, "nor does what goes with them");

struct mr_moves {
    uint32_t shard_count;
    struct lane *lanes;    /* [from][to] */
    struct mr_move *slots; /* [shard][MR_MOVES_OUT] */
    uint8_t *records;
    uint8_t *baggage;
};

/* ------------------------------------------------------------------ memory */

struct mr_moves *mr_moves_make(uint32_t shard_count, struct mr_fault *fault)
{
    struct mr_moves *m = calloc(1, sizeof(*m));
    size_t slot_count = (size_t)shard_count * MR_MOVES_OUT;
    size_t lane_count = (size_t)shard_count * shard_count;

    if (m != NULL) {
        m->shard_count = shard_count;
        m->lanes = aligned_alloc(MR_CACHE_LINE, lane_count * sizeof(*m->lanes));
        m->slots = aligned_alloc(MR_CACHE_LINE, slot_count * sizeof(*m->slots));
        m->records = aligned_alloc(MR_CACHE_LINE, slot_count * MR_MOVE_RECORD_MAX);
        m->baggage = aligned_alloc(MR_CACHE_LINE, slot_count * MR_MOVE_BAGGAGE_MAX);
    }
    if (m == NULL || m->lanes == NULL || m->slots == NULL || m->records == NULL ||
        m->baggage == NULL) {
        mr_moves_free(m);
        mr_fault_set(fault, ENOMEM, "moves between shards: not enough memory");
        return NULL;
    }
    for (size_t i = 0; i < lane_count; i++)
        mr_spsc_init(&m->lanes[i].ring, m->lanes[i].items, RING);
    memset(m->records, 0, slot_count * MR_MOVE_RECORD_MAX); /* no page fault later */
    memset(m->baggage, 0, slot_count * MR_MOVE_BAGGAGE_MAX);
    memset(m->slots, 0, slot_count * sizeof(*m->slots));
    for (size_t i = 0; i < slot_count; i++) {
        m->slots[i].record = (struct mr_conn_record *)(void *)(m->records + i * MR_MOVE_RECORD_MAX);
        m->slots[i].baggage = m->baggage + i * MR_MOVE_BAGGAGE_MAX;
    }
    return m;
}

void mr_moves_free(struct mr_moves *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0;
         m->slots != NULL && m->records != NULL && i < (size_t)m->shard_count * MR_MOVES_OUT; i++)
        mr_conn_record_wipe(m->slots[i].record);
    free(m->lanes);
    free(m->slots);
    free(m->records);
    free(m->baggage);
    free(m);
}

/* `state` is whose hands it is in to write; what the shard itself knows is whether one is in use.
 */
static struct mr_move *free_slot(struct mr_shard *s)
{
    struct mr_move *slots = &s->moves.moves->slots[s->config.index * MR_MOVES_OUT];

    for (uint32_t i = 0; i < MR_MOVES_OUT; i++) {
        if (slots[i].old_conn == MR_HANDLE_NONE)
            return &slots[i];
    }
    return NULL;
}

static void free_move(struct mr_move *move)
{
    move->state = MR_MOVE_FREE;
    move->old_conn = MR_HANDLE_NONE;
}

/* Hand `move` in its new state to shard `to`. */
static void hand_over(struct mr_shard *s, struct mr_move *move, enum mr_move_state state,
                      uint32_t to)
{
    struct mr_moves *m = s->moves.moves;
    void *item = move;

    move->state = state;
    uint32_t pushed =
        mr_spsc_push_pointers(&m->lanes[s->config.index * m->shard_count + to].ring, &item, 1);
    MR_ASSERT(pushed == 1);
}

/* ------------------------------------------------------------------ asking */

/* A request of it waits, or the application is to be told how one ended. */
static bool is_pending(const struct mr_shard_moves *m, mr_handle conn)
{
    for (uint32_t i = 0; i < m->request_count; i++) {
        if (m->requests[i].conn == conn)
            return true;
    }
    for (uint32_t i = 0; i < m->untold_count; i++) {
        if (m->untold[i].conn == conn)
            return true;
    }
    return false;
}

static bool has_moves(const struct mr_shard *s)
{
    return s->config.move_hooks != NULL || s->config.application->on_move != NULL;
}

/* Can it leave, wherever to? */
static int check_conn(const struct mr_shard *s, mr_handle conn)
{
    int answer = mr_conn_can_move(s->ep, conn, s->now);

    if (answer != 0)
        return answer;
    if (is_pending(&s->moves, conn))
        return -EBUSY;
    return mr_conn_record_size(s->ep, conn) > MR_MOVE_RECORD_MAX ? -ENOMEM : 0;
}

/* Can it be asked for? */
static int check(struct mr_shard *s, mr_handle conn, uint32_t to)
{
    const struct mr_shard_moves *m = &s->moves;
    int answer = check_conn(s, conn);

    if (answer == -ESTALE) /* whatever else may be wrong */
        return answer;
    if (!has_moves(s))
        return -EOPNOTSUPP;
    if (m->moves == NULL || to >= m->moves->shard_count || to == s->config.index)
        return -EINVAL;
    if (answer == -EBUSY && mr_conn_has_paths(s->ep, conn))
        mr_shard_count(&s->stats.moves_refused_paths, 1);
    return answer;
}

/* The port's shards but this one, as a bit mask. */
static uint64_t others(const struct mr_shard *s)
{
    const struct mr_moves *m = s->moves.moves;
    uint32_t count = m == NULL ? 0 : m->shard_count;
    uint64_t all = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;

    return all & ~(UINT64_C(1) << s->config.index);
}

bool mr_conn_has_target(const struct mr_shard *s, mr_handle conn)
{
    const struct mr_move_hooks *hooks = s->config.move_hooks;

    if (!has_moves(s) || others(s) == 0 || check_conn(s, conn) != 0)
        return false;
    return hooks == NULL || (hooks->targets(hooks->context, conn) & others(s)) != 0;
}

int mr_conn_move(struct mr_shard *s, mr_handle conn, uint32_t to)
{
    struct mr_shard_moves *m = &s->moves;
    int answer = check(s, conn, to);

    if (answer != 0)
        return answer;
    if (m->request_count == MR_MOVE_REQUESTS)
        return -ENOMEM;
    m->requests[m->request_count].conn = conn;
    m->requests[m->request_count++].to = to;
    return 0;
}

/* ------------------------------------------------------------------ beginning */

static bool is_stopping(const struct mr_shard *s)
{
    return atomic_load_explicit(&s->stop_patience_ns, memory_order_relaxed) != 0;
}

static void tell(struct mr_shard *s, mr_handle conn, uint64_t user_data, int answer,
                 struct mr_move *move)
{
    struct mr_shard_moves *m = &s->moves;

    MR_ASSERT(m->untold_count < MR_COUNT_OF(m->untold));
    m->untold[m->untold_count].conn = conn;
    m->untold[m->untold_count].user_data = user_data;
    m->untold[m->untold_count].answer = answer;
    m->untold[m->untold_count++].move = move;
}

static enum mr_move_verdict ask(const struct mr_shard *s, mr_handle conn, uint32_t to, bool is_own)
{
    const struct mr_application *application = s->config.application;
    const struct mr_move_hooks *hooks = s->config.move_hooks;

    if (hooks != NULL)
        return hooks->ask(hooks->context, conn, to, is_own);
    return application->on_move(application->context, conn, to) ? MR_MOVE_GOES : MR_MOVE_STAYS;
}

/* Export `conn`, if the application lets it go.  LATER: it is being prepared. */
static int begin(struct mr_shard *s, struct mr_move *move, mr_handle conn, uint32_t to, bool is_own)
{
    const struct mr_move_hooks *hooks = s->config.move_hooks;
    int answer = mr_conn_can_move(s->ep, conn, s->now);

    if (answer != 0)
        return answer;
    enum mr_move_verdict verdict = ask(s, conn, to, is_own);
    if (verdict != MR_MOVE_GOES)
        return verdict == MR_MOVE_LATER ? LATER : -ECANCELED;
    *move = (struct mr_move){.from = s->config.index,
                             .to = to,
                             .old_conn = conn,
                             .record = move->record,
                             .baggage = move->baggage};
    move->user_data = mr_object_user_data(s->ep, conn);
    answer = mr_conn_export(
        s->ep, conn,
        &(struct mr_conn_export){.record = move->record, .room = MR_MOVE_RECORD_MAX, .shard = to},
        s->now);
    if (answer != 0) {
        free_move(move);
        return answer;
    }
    if (hooks != NULL)
        hooks->pack(hooks->context, conn, move->baggage);
    hand_over(s, move, MR_MOVE_OFFERED, to);
    return 0;
}

int mr_conn_order_move(struct mr_shard *s, mr_handle conn, uint32_t to)
{
    int answer = is_stopping(s) ? -ECANCELED : check(s, conn, to);

    if (answer != 0)
        return answer;
    struct mr_move *move = free_slot(s);
    return move == NULL ? -EAGAIN : begin(s, move, conn, to, false);
}

int mr_conn_is_leaving(const struct mr_shard *s, mr_handle conn)
{
    const struct mr_move_hooks *hooks = s->config.move_hooks;
    const struct mr_moves *m = s->moves.moves;

    for (uint32_t i = 0; m != NULL && i < MR_MOVES_OUT; i++) {
        const struct mr_move *move = &m->slots[s->config.index * MR_MOVES_OUT + i];

        if (move->old_conn == conn)
            return 1;
    }
    return hooks == NULL ? 0 : hooks->is_leaving(hooks->context, conn);
}

/* ------------------------------------------------------------------ balance */

/* When one more may be told to have begun: as many as are allowed in a second may at once, then one
 * after the other. */
static uint64_t spent_with_one_more(const struct mr_shard *s)
{
    uint32_t max = s->config.balance.moves_max;
    uint64_t since = s->now < MR_SECOND ? 0 : s->now - MR_SECOND;

    return MR_MAX(s->moves.spent_until_ns, since) + (max == 0 ? 0 : MR_SECOND / max);
}

static int try_balance(struct mr_shard *s, mr_handle conn, uint32_t to)
{
    int answer = is_stopping(s) ? -ECANCELED : check(s, conn, to);

    if (answer != 0)
        return answer;
    if (mr_conn_is_leaving(s, conn) == 1)
        return -EALREADY;
    if (mr_conn_settled_ns(s->ep, conn, s->now) < s->config.balance.stay_ns)
        return -EBUSY;
    struct mr_move *move = free_slot(s);
    uint64_t spent = spent_with_one_more(s);
    if (move == NULL || spent > s->now)
        return move == NULL ? -EAGAIN : -EDQUOT;
    answer = begin(s, move, conn, to, false);
    if (answer >= 0)
        s->moves.spent_until_ns = spent;
    return answer;
}

static void count_balance(struct mr_shard *s, int answer)
{
    switch (answer) {
    case 0:
    case LATER:
        mr_shard_count(&s->stats.balance_moves, 1);
        break;
    case -ECANCELED:
    case -EOPNOTSUPP:
        mr_shard_count(&s->stats.balance_refused, 1);
        break;
    case -EBUSY:
        mr_shard_count(&s->stats.balance_unready, 1);
        break;
    case -ENOMEM:
    case -ENOBUFS:
        mr_shard_count(&s->stats.balance_large, 1);
        break;
    case -EDQUOT:
        mr_shard_count(&s->stats.balance_limited, 1);
        break;
    default: /* it is gone, on its way, or waits for its turn */
        break;
    }
}

int mr_conn_balance(struct mr_shard *s, mr_handle conn, uint32_t to)
{
    int answer = try_balance(s, conn, to);

    count_balance(s, answer);
    return answer;
}

void mr_shard_wish_move(struct mr_shard *s, mr_handle conn, uint32_t to)
{
    struct mr_shard_moves *m = &s->moves;

    if (m->wish_count == MR_MOVE_WISHES)
        return; /* more of its datagrams will come */
    m->wishes[m->wish_count].conn = conn;
    m->wishes[m->wish_count++].to = to;
}

static uint32_t begin_wishes(struct mr_shard *s)
{
    struct mr_shard_moves *m = &s->moves;
    uint32_t done = 0;

    while (done < m->wish_count &&
           mr_conn_balance(s, m->wishes[done].conn, m->wishes[done].to) != -EAGAIN)
        done++;
    m->wish_count -= done;
    memmove(&m->wishes[0], &m->wishes[done], m->wish_count * sizeof(m->wishes[0]));
    return done;
}

/* ------------------------------------------------------------------ the application's wishes */

/* The application's requests, in order.  What cannot go any more is told. */
static uint32_t begin_requests(struct mr_shard *s)
{
    struct mr_shard_moves *m = &s->moves;
    struct mr_move *move;
    uint32_t done = 0;

    while (done < m->request_count && (move = free_slot(s)) != NULL &&
           m->untold_count < MR_MOVE_REQUESTS) {
        mr_handle conn = m->requests[done].conn;
        int answer = begin(s, move, conn, m->requests[done].to, true);

        if (answer < 0 && answer != -ESTALE)
            tell(s, conn, mr_object_user_data(s->ep, conn), answer, NULL);
        done++;
    }
    m->request_count -= done;
    memmove(&m->requests[0], &m->requests[done], m->request_count * sizeof(m->requests[0]));
    return done;
}

uint32_t mr_shard_begin_moves(struct mr_shard *s)
{
    if ((s->moves.request_count == 0 && s->moves.wish_count == 0) || is_stopping(s))
        return 0;
    return begin_requests(s) + begin_wishes(s);
}

/* ------------------------------------------------------------------ messages */

static int accept_offer(struct mr_shard *s, struct mr_move *move)
{
    const struct mr_move_hooks *hooks = s->config.move_hooks;
    int answer = hooks == NULL ? 0 : hooks->offer(hooks->context, move->baggage);

    if (answer == 0)
        answer = mr_conn_import(s->ep, move->record, s->now, &move->new_conn);
    if (answer != 0)
        return answer;
    if (hooks != NULL)
        hooks->take(hooks->context, move->new_conn, move->baggage);
    mr_conn_record_wipe(move->record);
    return 0;
}

static void on_offer(struct mr_shard *s, struct mr_move *move)
{
    move->answer = is_stopping(s) ? -ECANCELED : accept_offer(s, move);
    hand_over(s, move, MR_MOVE_ANSWERED, move->from);
}

static void on_answer(struct mr_shard *s, struct mr_move *move)
{
    if (move->answer == 0) {
        int answer = mr_conn_moved(s->ep, move->old_conn, s->now);
        MR_ASSERT(answer == 0);
        tell(s, move->old_conn, move->user_data, 0, move);
        return;
    }
    int answer = mr_conn_import(s->ep, move->record, s->now, &move->old_conn);
    MR_ASSERT(answer == 0);
    mr_conn_record_wipe(move->record);
    tell(s, move->old_conn, move->user_data, move->answer, NULL);
    if (is_stopping(s)) /* it was away when all were closed */
        (void)mr_conn_close(s->ep, move->old_conn, 0, "", s->now);
    free_move(move);
}

uint32_t mr_shard_take_moves(struct mr_shard *s, uint32_t other)
{
    struct mr_moves *m = s->moves.moves;
    void *items[RING];

    if (m == NULL)
        return 0;
    uint32_t count =
        mr_spsc_pop_pointers(&m->lanes[other * m->shard_count + s->config.index].ring, items, RING);
    for (uint32_t i = 0; i < count; i++) {
        struct mr_move *move = items[i];

        switch (move->state) {
        case MR_MOVE_OFFERED:
            on_offer(s, move);
            break;
        case MR_MOVE_ANSWERED:
            on_answer(s, move);
            break;
        case MR_MOVE_TOLD:
            (void)mr_conn_arrive(s->ep, move->new_conn);
            hand_over(s, move, MR_MOVE_DONE, move->from);
            break;
        case MR_MOVE_DONE:
        case MR_MOVE_FREE:
            free_move(move);
            break;
        }
    }
    return count;
}

/* ------------------------------------------------------------------ telling */

uint32_t mr_shard_move_events(struct mr_shard *s, struct mr_event *out, uint32_t room)
{
    struct mr_shard_moves *m = &s->moves;

    m->told_count = MR_MIN(m->untold_count, room);
    for (uint32_t i = 0; i < m->told_count; i++)
        out[i] = (struct mr_event){.kinds = MR_EVENT_MOVED,
                                   .conn = m->untold[i].conn,
                                   .user_data = m->untold[i].user_data,
                                   .result = m->untold[i].answer,
                                   .reason = ""};
    return m->told_count;
}

void mr_shard_moves_told(struct mr_shard *s)
{
    struct mr_shard_moves *m = &s->moves;

    for (uint32_t i = 0; i < m->told_count; i++) {
        if (m->untold[i].move != NULL)
            hand_over(s, m->untold[i].move, MR_MOVE_TOLD, m->untold[i].move->to);
    }
    m->untold_count -= m->told_count;
    memmove(&m->untold[0], &m->untold[m->told_count], m->untold_count * sizeof(m->untold[0]));
    m->told_count = 0;
}
