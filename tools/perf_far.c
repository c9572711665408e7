/* tools/perf_far.c - see perf_far.h. */
#include "tools/perf_far.h"

#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

#define VIEWS   32
#define LOOK_NS 5000000 /* between looks whether an order was answered */

static int state_of(struct mr_far *far)
{
    return atomic_load_explicit(&far->state, memory_order_acquire);
}

static void set_state(struct mr_far *far, enum mr_far_state state)
{
    atomic_store_explicit(&far->state, (int)state, memory_order_release);
}

/* Append what has come.  1: all of it is there; 0: more comes; -1: it is longer than `room`. */
static int receive(struct mr_far *far, char *to, uint32_t *size, uint32_t room)
{
    const struct mr_transport_ops *ops = far->transport->ops;
    struct mr_view views[VIEWS];
    bool fin = false;
    int64_t n;

    while ((n = ops->receive(far->transport, far->stream, views, VIEWS, &fin)) > 0) {
        size_t taken = 0;

        for (int64_t i = 0; i < n; i++) {
            if (views[i].size > room - *size)
                return -1;
            memcpy(to + *size, views[i].data, views[i].size);
            *size += (uint32_t)views[i].size;
            taken += views[i].size;
        }
        ops->release(far->transport, far->stream, taken);
    }
    if (n != 0 || !fin)
        return 0;
    ops->release(far->transport, far->stream, 0);
    return 1;
}

/* Give `size` bytes to the stream, to its end, by reference. */
static void send_all(struct mr_far *far, const char *bytes, uint32_t size)
{
    struct mr_view view = {.data = (const uint8_t *)bytes, .size = size};

    if (!far->is_queued)
        far->is_queued = far->transport->ops->send(far->transport, far->stream, &view, size > 0,
                                                   MR_SEND_FIN) == 0;
}

static void refuse(struct mr_far *far, mr_handle stream, uint64_t code)
{
    far->transport->ops->reset(far->transport, stream, code);
    far->transport->ops->stop(far->transport, stream, code);
}

/* ------------------------------------------------------------------ a server's shard */

bool mr_far_accept(struct mr_far *far, mr_handle conn)
{
    struct mr_conn_info info;

    if (far->transport->ops->conn_info(far->transport, conn, &info) != 0 ||
        strcmp(info.alpn, MR_FAR_ALPN) != 0)
        return false;
    if (far->conn_count == MR_FAR_CONNS)
        far->transport->ops->close(far->transport, conn, MR_FAR_BUSY, "too many give orders");
    else
        far->conns[far->conn_count++] = conn;
    atomic_store_explicit(&far->conns_now, far->conn_count, memory_order_relaxed);
    return true;
}

static void take_order(struct mr_far *far)
{
    int whole = receive(far, far->order, &far->order_size, sizeof(far->order));

    if (whole > 0) {
        set_state(far, MR_FAR_ASKED);
        (void)far->transport->ops->timer(far->transport, LOOK_NS, MR_FAR_NAME);
    } else if (whole < 0) {
        refuse(far, far->stream, MR_FAR_TOO_LONG);
    }
}

/* The next one, if it waits. */
static void begin_order(struct mr_far *far)
{
    far->stream = far->next;
    far->stream_conn = far->next_conn;
    far->next = far->next_conn = MR_HANDLE_NONE;
    far->order_size = 0;
    far->is_queued = false;
    if (far->stream != MR_HANDLE_NONE)
        take_order(far);
}

/* The stream is over: what it asked may still be on its way to be answered. */
static void end_order(struct mr_far *far)
{
    far->stream = far->stream_conn = MR_HANDLE_NONE;
    if (state_of(far) == MR_FAR_ASKED)
        return;
    set_state(far, MR_FAR_IDLE);
    begin_order(far);
}

static void on_gone(struct mr_far *far, mr_handle conn)
{
    uint32_t i = 0;

    while (far->conns[i] != conn)
        i++;
    far->conns[i] = far->conns[--far->conn_count];
    atomic_store_explicit(&far->conns_now, far->conn_count, memory_order_relaxed);
    if (far->next_conn == conn)
        far->next = far->next_conn = MR_HANDLE_NONE;
    if (far->stream_conn == conn)
        end_order(far);
}

/* Is there a place for another order?  The one before was answered, and the answer is on its way.
 */
static bool may_wait(struct mr_far *far)
{
    return far->next == MR_HANDLE_NONE &&
           (far->stream == MR_HANDLE_NONE || state_of(far) == MR_FAR_ANSWERED);
}

static void on_timer(struct mr_far *far)
{
    mr_far_server_poll(far);
    if (state_of(far) == MR_FAR_ASKED)
        (void)far->transport->ops->timer(far->transport, LOOK_NS, MR_FAR_NAME);
}

static void on_server_stream(struct mr_far *far, const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_STREAM_OPENED) != 0) {
        if (!may_wait(far)) {
            refuse(far, event->stream, MR_FAR_BUSY);
            return;
        }
        far->next = event->stream;
        far->next_conn = event->conn;
        if (far->stream == MR_HANDLE_NONE && state_of(far) == MR_FAR_IDLE)
            begin_order(far);
    }
    if (event->stream == far->next && (event->kinds & MR_EVENT_CLOSED) != 0)
        far->next = far->next_conn = MR_HANDLE_NONE;
    if (event->stream != far->stream)
        return;
    if ((event->kinds & MR_EVENT_READABLE) != 0 && state_of(far) == MR_FAR_IDLE)
        take_order(far);
    if ((event->kinds & (MR_EVENT_RESET | MR_EVENT_STOPPED)) != 0)
        refuse(far, far->stream, event->error);
    if ((event->kinds & MR_EVENT_CLOSED) != 0)
        end_order(far);
}

void mr_far_server_event(struct mr_far *far, const struct mr_event *event)
{
    if ((event->kinds & MR_EVENT_TIMER) != 0)
        on_timer(far);
    else if (event->stream != MR_HANDLE_NONE)
        on_server_stream(far, event);
    else if ((event->kinds & MR_EVENT_CLOSED) != 0)
        on_gone(far, event->conn);
}

void mr_far_server_poll(struct mr_far *far)
{
    if (atomic_load_explicit(&far->state, memory_order_relaxed) != MR_FAR_ANSWERED ||
        state_of(far) != MR_FAR_ANSWERED)
        return;
    if (far->stream == MR_HANDLE_NONE)
        end_order(far); /* nobody waits for it any more */
    else
        send_all(far, far->text, far->size);
}

const char *mr_far_order(struct mr_far *far, uint32_t *size_out)
{
    if (state_of(far) != MR_FAR_ASKED)
        return NULL;
    *size_out = far->order_size;
    return far->order;
}

void mr_far_give(struct mr_far *far, const char *text)
{
    size_t size = strlen(text);

    if (size > MR_FAR_TEXT_MAX) {
        text = "{}";
        size = 2;
    }
    memcpy(far->text, text, size);
    far->size = (uint32_t)size;
    set_state(far, MR_FAR_ANSWERED);
}

/* ------------------------------------------------------------------ a client's shard */

static void fail(struct mr_far *far, const char *failure)
{
    if (state_of(far) != MR_FAR_ASKED)
        return;
    far->failure = failure;
    set_state(far, MR_FAR_ANSWERED);
}

static void on_client_stream(struct mr_far *far, const struct mr_event *event)
{
    if (event->stream != far->stream)
        return;
    if ((event->kinds & (MR_EVENT_RESET | MR_EVENT_STOPPED)) != 0)
        fail(far, event->error == MR_FAR_BUSY ? "somebody else gives it orders"
                                              : "the server refused the order");
    if ((event->kinds & MR_EVENT_READABLE) != 0 && !far->is_answered &&
        state_of(far) == MR_FAR_ASKED) {
        int whole = receive(far, far->text, &far->size, MR_FAR_TEXT_MAX);

        far->is_answered = whole > 0;
        if (whole > 0)
            set_state(far, MR_FAR_ANSWERED);
        else if (whole < 0)
            fail(far, "the server's answer is too long");
    }
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        far->stream = MR_HANDLE_NONE;
        far->is_queued = false;
        if (!far->is_answered) /* else what is asked now is another order */
            fail(far, "the order was not answered");
    }
}

void mr_far_client_event(struct mr_far *far, const struct mr_event *event)
{
    if (event->stream != MR_HANDLE_NONE) {
        on_client_stream(far, event);
        return;
    }
    if ((event->kinds & MR_EVENT_CONNECTED) != 0)
        far->is_connected = true;
    if ((event->kinds & MR_EVENT_CLOSED) != 0) {
        bool was_connected = far->is_connected;

        far->is_connecting = far->is_connected = far->is_queued = false;
        far->stream = MR_HANDLE_NONE;
        fail(far, was_connected ? "the connection to it ended"
                                : "it takes no orders; start it with --control FILE");
    }
}

static void connect_to(struct mr_far *far)
{
    static const uint8_t alpn[] = "\015" MR_FAR_ALPN;

    far->connect.alpn = alpn;
    far->connect.alpn_size = sizeof(alpn) - 1;
    far->connect.user_data = MR_FAR_NAME;
    far->is_connecting =
        far->transport->ops->connect(far->transport, &far->connect, &far->conn) == 0;
}

void mr_far_client_poll(struct mr_far *far)
{
    if (atomic_load_explicit(&far->state, memory_order_relaxed) != MR_FAR_ASKED ||
        state_of(far) != MR_FAR_ASKED || far->is_queued)
        return;
    if (!far->is_connecting)
        connect_to(far);
    if (!far->is_connected)
        return;
    if (far->stream == MR_HANDLE_NONE &&
        far->transport->ops->open(far->transport, far->conn, MR_OPEN_BIDI, MR_FAR_NAME,
                                  &far->stream) != 0) {
        far->stream = MR_HANDLE_NONE;
        return; /* again with the next poll */
    }
    far->is_answered = false;
    send_all(far, far->order, far->order_size);
}

bool mr_far_client_close(struct mr_far *far)
{
    if (far->is_connecting)
        far->transport->ops->close(far->transport, far->conn, 0, "");
    return !far->is_connecting;
}

bool mr_far_may_ask(struct mr_far *far)
{
    const char *failure;

    (void)mr_far_answer(far, &failure);
    return state_of(far) == MR_FAR_IDLE;
}

void mr_far_ask(struct mr_far *far, const char *order)
{
    MR_ASSERT(state_of(far) == MR_FAR_IDLE);
    MR_ASSERT(strlen(order) <= sizeof(far->order));
    far->order_size = (uint32_t)strlen(order);
    memcpy(far->order, order, far->order_size);
    far->size = 0;
    far->failure = NULL;
    set_state(far, MR_FAR_ASKED);
}

const char *mr_far_answer(struct mr_far *far, const char **failure_out)
{
    if (state_of(far) != MR_FAR_ANSWERED)
        return NULL;
    *failure_out = far->failure;
    far->text[far->size] = '\0';
    set_state(far, MR_FAR_IDLE);
    return far->failure == NULL ? far->text : NULL;
}
