/*
 * tests/support/loop_moves.c - connections that move between two shards of a side; see
 * loop_transport.h.
 *
 * A move takes four steps, as the messages between shards do: it is packed; taken, or refused; the
 * old shard tells its last event; the new one its first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/move_hooks.h"
#include "tests/support/loop_internal.h"

static struct side *side_at(struct loop *loop, unsigned side, uint32_t shard)
{
    return &loop->side[shard * 2 + side];
}

void loop_add_shard(struct loop *loop, unsigned side, const struct mr_application *application,
                    const struct mr_move_hooks *first, const struct mr_move_hooks *second)
{
    struct side *added = side_at(loop, side, 1);

    MR_ASSERT(added->application == NULL);
    *added = (struct side){.transport = {&loop_ops},
                           .loop = loop,
                           .index = side,
                           .shard = 1,
                           .application = application,
                           .hooks = second};
    side_at(loop, side, 0)->hooks = first;
    if (application->on_start != NULL)
        application->on_start(application->context, &added->transport);
}

struct mr_transport *loop_shard_transport(struct loop *loop, unsigned side, uint32_t shard)
{
    return &side_at(loop, side, shard)->transport;
}

void loop_accept_on(struct loop *loop, uint32_t shard)
{
    loop->accepting_shard = shard;
}

struct loop_conn_place loop_conn_at(const struct loop *loop, unsigned side, uint32_t index)
{
    for (uint32_t i = 0; i < loop->conn_top; i++) {
        const struct conn *conn = &loop->conn[i];

        if (!conn->is_live || !conn->is_open[side] || index-- > 0)
            continue;
        return (struct loop_conn_place){loop_conn_handle(loop, conn, side), conn->shard[side]};
    }
    return (struct loop_conn_place){MR_HANDLE_NONE, 0};
}

void loop_hold_moves(struct loop *loop, bool is_held)
{
    loop->are_moves_held = is_held;
}

void loop_refuse_move(struct loop *loop, int error)
{
    loop->move_refusal = error;
}

/* ---- asking ---- */

int loop_move_begin(struct side *side, mr_handle handle, uint32_t shard, bool is_own)
{
    struct loop *loop = side->loop;
    struct conn *conn = loop_find_conn(side, handle);
    uint32_t free = 0;

    if (conn == NULL)
        return -ESTALE;
    if (side->hooks == NULL)
        return -EOPNOTSUPP;
    if (shard > 1 || shard == side->shard || side_at(loop, side->index, shard)->hooks == NULL)
        return -EINVAL;
    if (!conn->is_connected || conn->is_closed)
        return -EBUSY;
    for (uint32_t i = 0; i < MOVES_MAX; i++) {
        const struct loop_move *move = &loop->move[i];

        if (move->stage != LOOP_NO_MOVE && &loop->conn[move->conn] == conn &&
            move->side == side->index)
            return -EBUSY;
    }
    while (free < MOVES_MAX && loop->move[free].stage != LOOP_NO_MOVE)
        free++;
    if (free == MOVES_MAX)
        return -ENOMEM;
    loop->move[free] = (struct loop_move){.stage = LOOP_ASKED,
                                          .conn = (uint32_t)(conn - loop->conn),
                                          .side = side->index,
                                          .from = side->shard,
                                          .old = handle,
                                          .is_own = is_own};
    return 0;
}

int loop_order_move(struct loop *loop, unsigned side, uint32_t shard, mr_handle conn)
{
    return loop_move_begin(side_at(loop, side, shard), conn, 1 - shard, false);
}

int64_t loop_moved_streams(struct side *side, mr_handle handle, struct mr_moved_stream *out,
                           size_t room)
{
    struct loop *loop = side->loop;
    const struct conn *conn = loop_find_conn(side, handle);
    size_t count = 0;

    if (conn == NULL)
        return -ESTALE;
    for (uint32_t i = 0; i < loop->stream_top && count < room; i++) {
        const struct stream *stream = &loop->stream[i];

        if (!stream->is_live || &loop->conn[stream->conn] != conn || !stream->is_open[side->index])
            continue;
        out[count++] = (struct mr_moved_stream){
            .old_stream = loop_old_stream_handle(loop, stream, side->index, 1),
            .stream = loop_stream_handle(loop, stream, side->index),
            .user_data = stream->user_data[side->index]};
    }
    return (int64_t)count;
}

/* ---- stages ---- */

static void tell(struct side *side, const struct mr_event *event)
{
    MR_ASSERT(!side->is_inside);
    side->is_inside = true;
    side->application->on_events(side->application->context, event, 1);
    side->is_inside = false;
}

static void finish(struct loop *loop, struct loop_move *move, int result)
{
    struct side *old = side_at(loop, move->side, move->from);

    free(move->baggage);
    *move = (struct loop_move){.stage = LOOP_NO_MOVE, .conn = move->conn, .old = move->old};
    if (result < 0)
        tell(old, &(struct mr_event){.kinds = MR_EVENT_MOVED,
                                     .conn = move->old,
                                     .user_data = loop->conn[move->conn].user_data[old->index],
                                     .result = result,
                                     .reason = ""});
}

/* What was shown lies elsewhere from now on. */
static void forget_views(struct loop *loop, uint32_t conn, unsigned side)
{
    for (uint32_t i = 0; i < loop->stream_top; i++) {
        struct pipe *pipe = &loop->stream[i].pipe[1 - side];

        if (!loop->stream[i].is_live || loop->stream[i].conn != conn)
            continue;
        pipe->shown = pipe->released;
        for (struct piece *p = pipe->pieces; p != NULL; p = p->next) {
            uint8_t *copy = malloc(p->size);

            MR_ASSERT(copy != NULL);
            memcpy(copy, p->data, p->size);
            memset(p->data, 0xdd, p->size);
            free(p->data);
            p->data = copy;
        }
    }
}

static void ask(struct loop *loop, struct loop_move *move)
{
    const struct mr_move_hooks *hooks = side_at(loop, move->side, move->from)->hooks;
    struct conn *conn = &loop->conn[move->conn];

    if (conn->is_closed) {
        finish(loop, move, move->is_own ? -EBUSY : 0);
        return;
    }
    enum mr_move_verdict verdict =
        hooks->ask(hooks->context, move->old, 1 - move->from, move->is_own);
    if (verdict != MR_MOVE_GOES) {
        finish(loop, move, verdict == MR_MOVE_STAYS && move->is_own ? -ECANCELED : 0);
        return;
    }
    move->baggage = malloc(MR_MOVE_BAGGAGE_MAX);
    MR_ASSERT(move->baggage != NULL);
    hooks->pack(hooks->context, move->old, move->baggage);
    forget_views(loop, move->conn, move->side);
    conn->is_away[move->side] = true;
    move->stage = LOOP_OFFERED;
}

static void offer(struct loop *loop, struct loop_move *move)
{
    struct side *new = side_at(loop, move->side, 1 - move->from);
    struct conn *conn = &loop->conn[move->conn];
    int answer = new->hooks->offer(new->hooks->context, move->baggage);

    if (answer == 0)
        answer = loop->move_refusal;
    loop->move_refusal = 0;
    conn->is_away[move->side] = false;
    if (answer != 0) {
        finish(loop, move, answer);
        return;
    }
    conn->shard[move->side] = new->shard;
    conn->moves[move->side]++;
    conn->is_held[move->side] = true;
    new->hooks->take(new->hooks->context, loop_conn_handle(loop, conn, move->side), move->baggage);
    move->stage = LOOP_ANSWERED;
}

static void leave(struct loop *loop, struct loop_move *move)
{
    tell(side_at(loop, move->side, move->from),
         &(struct mr_event){.kinds = MR_EVENT_MOVED, .conn = move->old, .reason = ""});
    move->stage = LOOP_TOLD;
}

static void arrive(struct loop *loop, struct loop_move *move)
{
    struct conn *conn = &loop->conn[move->conn];
    unsigned s = move->side;
    struct mr_event event = {.kinds = MR_EVENT_MOVED_IN,
                             .conn = loop_conn_handle(loop, conn, s),
                             .user_data = conn->user_data[s],
                             .error = move->from,
                             .result = (int64_t)move->old,
                             .reason = ""};

    conn->is_held[s] = false;
    if (conn->waiting[s].head != NULL)
        conn->pending[s] |= MR_EVENT_DATAGRAM;
    tell(side_at(loop, s, 1 - move->from), &event);
    finish(loop, move, 0);
}

void loop_moves_step(struct loop *loop)
{
    for (uint32_t i = 0; i < MOVES_MAX && !loop->are_moves_held; i++) {
        struct loop_move *move = &loop->move[i];

        loop->has_moved |= move->stage != LOOP_NO_MOVE;
        switch (move->stage) {
        case LOOP_NO_MOVE:
            break;
        case LOOP_ASKED:
            ask(loop, move);
            break;
        case LOOP_OFFERED:
            offer(loop, move);
            break;
        case LOOP_ANSWERED:
            leave(loop, move);
            break;
        case LOOP_TOLD:
            arrive(loop, move);
            break;
        }
    }
}
