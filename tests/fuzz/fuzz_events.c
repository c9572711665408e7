/*
 * tests/fuzz/fuzz_events.c - random programs in handlers of app/events.c, over a transport in
 * memory (tests/support/loop_transport.h).
 *
 * The input says what every handler does: it opens, sends, shuts down (inline, too), closes itself
 * or another object, consumes some, all or nothing, or leaves a receive pending; the same is done
 * outside of handlers.  Contexts and buffers are on the heap and freed at the moment they may be.
 * Properties:
 *   1. nothing is told of an object after its last event, or after it was closed;
 *   2. a connection's or stream's SHUTDOWN_COMPLETE comes once, CONNECTED and START_COMPLETE first;
 *   3. SEND_COMPLETE comes once for each send, in order, before SHUTDOWN_COMPLETE;
 *   4. RECEIVE shows the bytes that were sent, from the first not consumed on, and none while one
 *      is pending;
 *   5. no handler runs inside another, but one inside one with MR_EV_INLINE;
 *   6. when the transport stops, everything has ended, and every object can be given back;
 *   7. the registrations' invariants hold after each step.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/events.h"
#include "base/assert.h"
#include "base/compiler.h"
#include "tests/support/loop_transport.h"

enum {
    OBJECTS = 64,
    STEPS = 200,
    SEND_MAX = 3000,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sent {
    struct sent *next;
    uint8_t bytes[];
};

/* An object's context. */
struct thing {
    mr_object id;
    unsigned side;
    enum {
        LISTENER,
        CONN,
        STREAM
    } kind;
    bool is_ours; /* begun by us: START_COMPLETE or CONNECTED comes first */
    bool is_begun;
    bool is_over;
    bool is_pending;
    bool is_consuming;
    size_t shown;
    uint64_t sent_to; /* offsets */
    uint64_t consumed;
    struct sent *first; /* not complete */
    struct sent *last;
};

static const uint8_t *input;
static size_t input_left;
static struct mr_registration *reg[2];
static struct loop *loop;
static struct thing *things[OBJECTS]; /* those that can be named */
static struct sent *orphans;          /* sends of objects that were closed before */
static uint32_t depth;
static bool is_inline; /* a call with MR_EV_INLINE is on the stack */
static bool is_stopping;

static uint8_t next_byte(void)
{
    if (input_left == 0)
        return 0;
    input_left--;
    return *input++;
}

static enum mr_ev_answer handler(void *context, struct mr_ev *event);

/* ------------------------------------------------------------------ things */

static struct thing *add(unsigned side, int kind, bool is_ours)
{
    for (int i = 0; i < OBJECTS; i++) {
        if (things[i] != NULL)
            continue;
        things[i] = calloc(1, sizeof(*things[i]));
        MR_ASSERT(things[i] != NULL);
        things[i]->side = side;
        things[i]->kind = kind == 0 ? LISTENER : kind == 1 ? CONN : STREAM;
        things[i]->is_ours = is_ours;
        return things[i];
    }
    return NULL;
}

static void forget(struct thing *t)
{
    for (int i = 0; i < OBJECTS; i++) {
        if (things[i] == t)
            things[i] = NULL;
    }
    if (t->last != NULL) { /* the library has them until the connection's end */
        t->last->next = orphans;
        orphans = t->first;
    }
    free(t);
}

/* One of this side's: a registration's handlers know nothing of another's. */
static struct thing *any(unsigned side)
{
    struct thing *t = things[next_byte() % OBJECTS];

    return t != NULL && t->side == side ? t : NULL;
}

static void close_thing(struct thing *t)
{
    MR_ASSERT(mr_ev_close(reg[t->side], t->id) == 0);
    MR_ASSERT(mr_ev_close(reg[t->side], t->id) == -ESTALE);
    forget(t);
}

/* ------------------------------------------------------------------ what may be called */

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8));
}

static void send_some(struct thing *t)
{
    size_t size = (size_t)next_byte() * next_byte() % SEND_MAX;
    uint8_t how = next_byte();
    bool is_copy = size <= 1024 && how % 4 == 0;
    uint32_t flags =
        (is_copy ? (uint32_t)MR_SEND_COPY : 0) | (how % 16 == 1 ? (uint32_t)MR_SEND_FIN : 0);
    struct sent *sent = malloc(sizeof(*sent) + size);

    MR_ASSERT(sent != NULL);
    sent->next = NULL;
    for (size_t i = 0; i < size; i++)
        sent->bytes[i] = byte_at(t->sent_to + i);
    struct mr_view views[2] = {{sent->bytes, size / 2}, {sent->bytes + size / 2, size - size / 2}};
    int error = mr_ev_send(reg[t->side], t->id, views, 2, flags, sent);
    if (error == 0)
        t->sent_to += size;
    if (error < 0 || is_copy) {
        free(sent);
        return;
    }
    if (t->last == NULL)
        t->first = sent;
    else
        t->last->next = sent;
    t->last = sent;
}

static void open_stream(struct thing *conn)
{
    struct thing *t = add(conn->side, STREAM, true);

    if (t == NULL)
        return;
    uint32_t flags = next_byte() % 4 == 0 ? MR_OPEN_UNI : MR_OPEN_BIDI;
    if (mr_ev_open(reg[conn->side], conn->id, flags, handler, t, &t->id) < 0)
        forget(t);
}

static void connect_one(void)
{
    struct mr_connect_options options = {
        .server_name = "f", .alpn = (const uint8_t *)"\x02h3", .alpn_size = 3};
    struct thing *t = is_stopping ? NULL : add(0, CONN, true);

    if (t != NULL && mr_ev_connect(reg[0], &options, handler, t, &t->id) < 0)
        forget(t);
}

static void listen_again(void)
{
    struct thing *t = is_stopping ? NULL : add(1, LISTENER, true);

    if (t != NULL && mr_ev_listen(reg[1], NULL, handler, t, &t->id) < 0)
        forget(t);
}

static void shut_down(struct thing *t)
{
    bool wants_inline = next_byte() % 2 == 0;
    bool was_inline = is_inline;

    is_inline |= wants_inline;
    (void)mr_ev_shutdown(reg[t->side], t->id, wants_inline ? MR_EV_INLINE : 0, next_byte());
    is_inline = was_inline;
}

static void complete_receive(struct thing *t)
{
    size_t size = t->shown == 0 ? 0 : (size_t)next_byte() * 64 % (t->shown + 1);

    if (t->is_consuming)
        return; /* in its RECEIVE, which is answered with CONSUMED */
    if (!t->is_pending) {
        MR_ASSERT(mr_ev_receive_complete(reg[t->side], t->id, 0) < 0);
        return;
    }
    if (mr_ev_receive_complete(reg[t->side], t->id, size) != 0)
        return; /* the stream is over, or was shut down */
    t->is_pending = false;
    t->consumed += size;
}

/* One call on any object. */
static void call_something(unsigned side)
{
    uint8_t what = next_byte();
    struct thing *t = any(side);

    if (what % 16 == 0 && side == 0)
        connect_one();
    if (what % 16 == 1 && side == 1)
        listen_again();
    if (t == NULL)
        return;
    if (t->kind == STREAM && what % 8 <= 3)
        send_some(t);
    else if (t->kind == STREAM && what % 8 == 4)
        complete_receive(t);
    else if (t->kind == STREAM && what % 8 == 5)
        (void)mr_ev_receive_enable(reg[t->side], t->id, next_byte() % 3 > 0);
    else if (t->kind == CONN && what % 8 <= 4)
        open_stream(t);
    else if (what % 32 == 7)
        shut_down(t);
}

/* ------------------------------------------------------------------ the handler */

static enum mr_ev_answer on_receive(struct thing *t, struct mr_ev *event)
{
    uint64_t offset = event->offset;

    MR_ASSERT(!t->is_pending);
    MR_ASSERT(event->offset == t->consumed);
    for (size_t v = 0; v < event->view_count; v++) {
        for (size_t i = 0; i < event->views[v].size; i++, offset++)
            MR_ASSERT(event->views[v].data[i] == byte_at(offset));
    }
    MR_ASSERT(offset - event->offset == event->size);
    uint8_t what = next_byte();
    t->shown = event->size;
    if (what % 4 == 0) {
        t->is_pending = true;
        return MR_EV_PENDING;
    }
    if (what % 4 == 1 && event->size > 0)
        event->consumed = next_byte() % event->size;
    t->consumed += event->consumed;
    t->is_consuming = true;
    return MR_EV_CONSUMED;
}

static void on_send_complete(struct thing *t, const struct mr_ev *event)
{
    struct sent *sent = t->first;

    MR_ASSERT(sent != NULL);
    MR_ASSERT(event->send_context == sent);
    t->first = sent->next;
    if (t->first == NULL)
        t->last = NULL;
    free(sent);
}

static enum mr_ev_answer on_new(struct thing *t, const struct mr_ev *event)
{
    bool is_conn = event->type == MR_EV_NEW_CONNECTION;
    struct thing *made = next_byte() % 8 == 0 ? NULL : add(t->side, is_conn ? CONN : STREAM, false);

    if (made == NULL)
        return next_byte() % 2 == 0 ? MR_EV_REFUSE : MR_EV_ACCEPT; /* without a handler */
    made->id = is_conn ? event->conn : event->stream;
    MR_ASSERT(mr_ev_set_handler(reg[t->side], made->id, handler, made) == 0);
    return MR_EV_ACCEPT;
}

static void check_order(struct thing *t, const struct mr_ev *event)
{
    MR_ASSERT(!t->is_over);
    MR_ASSERT(event->object == t->id);
    if (t->kind == STREAM && t->is_ours && !t->is_begun)
        MR_ASSERT(event->type == MR_EV_START_COMPLETE);
    if (event->type == MR_EV_START_COMPLETE || event->type == MR_EV_CONNECTED)
        MR_ASSERT(!t->is_begun);
    t->is_begun = true;
    if (event->type == MR_EV_SHUTDOWN_COMPLETE || event->type == MR_EV_STOP_COMPLETE) {
        MR_ASSERT(t->first == NULL);
        t->is_over = true;
    }
}

static enum mr_ev_answer handler(void *context, struct mr_ev *event)
{
    struct thing *t = context;
    unsigned side = t->side;
    enum mr_ev_answer answer = MR_EV_OK;

    depth++;
    MR_ASSERT(depth <= (is_inline ? 2u : 1u));
    check_order(t, event);
    if (event->type == MR_EV_RECEIVE)
        answer = on_receive(t, event);
    if (event->type == MR_EV_SEND_COMPLETE)
        on_send_complete(t, event);
    if (event->type == MR_EV_NEW_CONNECTION || event->type == MR_EV_PEER_STREAM_STARTED)
        answer = on_new(t, event);
    if (t->is_over) {
        close_thing(t);
        t = NULL;
    }
    for (uint8_t calls = next_byte() % 4; calls > 0; calls--)
        call_something(side);
    if (next_byte() % 64 == 1) {
        struct thing *other = any(side);
        if (other != NULL && other != t)
            close_thing(other);
    }
    if (t != NULL && next_byte() % 64 == 1) {
        for (int i = 0; i < OBJECTS; i++) { /* it may be closed by an inline end meanwhile */
            if (things[i] == t)
                close_thing(t);
        }
    }
    for (int i = 0; i < OBJECTS; i++) {
        if (t != NULL && things[i] == t)
            t->is_consuming = false;
    }
    depth--;
    return answer;
}

/* ------------------------------------------------------------------ runs */

static void check(void)
{
    mr_registration_check(reg[0]);
    mr_registration_check(reg[1]);
}

static void begin(void)
{
    struct mr_registration_limits limits = {
        .objects_max = 24, .sends_max = 24, .calls_max = 4, .guest_calls_max = 4};
    struct loop_config config = loop_config_default(next_byte());
    uint8_t how = next_byte();

    config.close_order = (enum loop_close_order)(how % 3);
    config.refuse_percent = how % 4 == 0 ? 10 : 0;
    config.idle_percent = how % 5 == 0 ? 30 : 0;
    config.piece_max = 1 + (size_t)next_byte() * 16;
    config.stream_window = 64 + (size_t)next_byte() * 64;
    config.queue_max = 4096;
    config.batch_max = 1 + next_byte() % 16;
    config.bidi_max = 8;
    is_stopping = false;
    depth = 0;
    for (int s = 0; s < 2; s++)
        reg[s] = mr_registration_new(&limits);
    loop =
        loop_new(&config, mr_registration_application(reg[0]), mr_registration_application(reg[1]));
    loop_step(loop);
    listen_again();
    connect_one();
}

static void end(void)
{
    is_stopping = true;
    loop_free(loop);
    for (int i = 0; i < OBJECTS; i++)
        MR_ASSERT(things[i] == NULL); /* each had its last event, and was closed in it */
    check();
    for (int s = 0; s < 2; s++) {
        MR_ASSERT(mr_registration_objects(reg[s]) == 0);
        mr_registration_free(reg[s]);
    }
    while (orphans != NULL) {
        struct sent *sent = orphans;
        orphans = sent->next;
        free(sent);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    input_left = size;
    begin();
    for (int i = 0; i < STEPS && input_left > 0; i++) {
        loop_step(loop);
        check();
        call_something(next_byte() % 2);
        check();
        if (next_byte() == 255)
            loop_cut(loop);
    }
    end();
    return 0;
}
