/* app/events_api.c - the calls of millrace/events.h: done at once, or queued. */
#include <errno.h>
#include <string.h>

#include "app/events_internal.h"

#define SEND_FLAGS ((uint32_t)(MR_SEND_FIN | MR_SEND_COPY | MR_SEND_NOTIFY))

/* The object, if it is of this kind and alive in the transport. */
static struct object *find_open(const struct mr_registration *r, mr_object id,
                                enum object_kind kind)
{
    struct object *o = mr_events_find(r, id);

    return o != NULL && o->kind == kind && o->handle != MR_HANDLE_NONE ? o : NULL;
}

/* It has not been told of, and is not wanted. */
static void discard(struct mr_registration *r, struct object *o)
{
    o->is_given_up = true;
    mr_events_maybe_free(r, o);
}

/* A call on the registration's thread. */
static bool is_direct(struct mr_registration *r)
{
    if (!mr_events_is_owner(r))
        return false;
    mr_events_stir(r);
    return true;
}

static bool has_transport(const struct mr_registration *r)
{
    return r->transport != NULL && !r->is_stopping;
}

/* ------------------------------------------------------------------ listeners */

int mr_events_add_listener(struct mr_registration *r, const char *name, struct listener **out)
{
    struct listener *place = NULL;
    struct listener wish = {.is_used = true, .is_every = name == NULL, .object = MR_NONE};

    if (name != NULL) {
        if (strlen(name) >= sizeof(wish.name))
            return -EINVAL;
        memcpy(wish.name, name, strlen(name));
    }
    if (has_transport(r)) {
        int error = mr_events_resolve(r, &wish);
        if (error < 0)
            return error;
    }
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        struct listener *l = &r->listener[i];
        if (!l->is_used) {
            place = place == NULL ? l : place;
            continue;
        }
        bool is_same = l->is_every == wish.is_every &&
                       (wish.is_on && l->is_on ? l->number == wish.number || wish.is_every
                                               : strcmp(l->name, wish.name) == 0);
        if (is_same)
            return -EEXIST;
    }
    if (place == NULL)
        return -ENOSPC;
    *place = wish;
    *out = place;
    return 0;
}

static int listen_as(struct mr_registration *r, struct object *o, const char *name,
                     mr_ev_handler handler, void *context)
{
    struct listener *l;
    int error = mr_events_add_listener(r, name, &l);

    o->handler = handler;
    o->context = context;
    if (error == 0)
        l->object = o->index;
    return error;
}

/* No more connections of it. */
static void stop_listening(struct mr_registration *r, struct object *o)
{
    struct listener *l = mr_events_listener_of(r, o->index);

    if (l == NULL)
        return;
    if (l->is_on && r->host.listen != NULL && has_transport(r))
        (void)r->host.listen(r->host.context, l->is_every ? NULL : l->name, false);
    l->is_used = false;
}

/* ------------------------------------------------------------------ connect, open */

static int connect_as(struct mr_registration *r, struct object *c,
                      const struct mr_connect_options *options, mr_ev_handler handler,
                      void *context)
{
    struct mr_transport *t = r->transport;
    struct mr_connect_options own = *options;
    mr_handle handle;

    c->handler = handler;
    c->context = context;
    if (!has_transport(r))
        return -ENOTCONN;
    own.user_data = mr_events_id(c);
    int error = t->ops->connect(t, &own, &handle);
    if (error < 0)
        return error;
    if (mr_events_tie(r, c, handle))
        return 0;
    (void)t->ops->set_user_data(t, handle, USER_DATA_IGNORED);
    (void)t->ops->close(t, handle, 0, "no room");
    return -ENOMEM;
}

static int open_as(struct mr_registration *r, struct object *s, mr_object conn, uint32_t flags,
                   mr_ev_handler handler, void *context)
{
    struct mr_transport *t = r->transport;
    struct object *c = find_open(r, conn, OBJECT_CONN);
    mr_handle handle;

    s->handler = handler;
    s->context = context;
    if (c == NULL || c->is_shut)
        return -ESTALE;
    if (!has_transport(r))
        return -ENOTCONN;
    int error = t->ops->open(t, c->handle, flags, mr_events_id(s), &handle);
    if (error < 0)
        return error;
    s->handle = handle;
    mr_events_add_stream(r, c, s);
    mr_events_defer(r, s, DUE_START);
    return 0;
}

/* ------------------------------------------------------------------ what a call does */

static int set_handler(struct mr_registration *r, mr_object id, mr_ev_handler handler,
                       void *context)
{
    struct object *o = mr_events_find(r, id);

    if (o == NULL)
        return -ESTALE;
    o->handler = handler;
    o->context = context;
    return 0;
}

static int set_name(struct mr_registration *r, mr_object id, const char *name)
{
    struct object *o = mr_events_find(r, id);

    if (o == NULL)
        return -ESTALE;
    size_t size = strnlen(name, sizeof(o->name) - 1);
    memcpy(o->name, name, size);
    o->name[size] = '\0';
    return 0;
}

static int send_now(struct mr_registration *r, mr_object stream, const struct mr_view *views,
                    size_t count, uint32_t flags, void *send_context)
{
    struct mr_transport *t = r->transport;
    struct object *s = find_open(r, stream, OBJECT_STREAM);
    bool is_copy = (flags & MR_SEND_COPY) != 0;
    size_t size = mr_views_size(views, count);

    if (s == NULL)
        return -ESTALE;
    if (s->is_shut)
        return -EPIPE;
    if (!is_copy && mr_pool_free_count(&r->sends) == 0)
        return -ENOMEM;
    int error = t->ops->send(t, s->handle, views, count, flags & SEND_FLAGS);
    if (error < 0)
        return error;
    if (!is_copy)
        (void)mr_events_note_send(r, s, size, send_context);
    s->queued += size;
    s->is_fin_sent |= (flags & MR_SEND_FIN) != 0;
    if (!is_copy && s->queued <= s->acked_to) /* the end alone */
        mr_events_defer(r, s, DUE_SEND);
    return 0;
}

static int send_datagram_now(struct mr_registration *r, mr_object conn, const struct mr_view *views,
                             size_t count)
{
    struct mr_transport *t = r->transport;
    const struct object *c = find_open(r, conn, OBJECT_CONN);

    if (c == NULL)
        return -ESTALE;
    if (t->ops->send_datagram == NULL)
        return -EOPNOTSUPP;
    return t->ops->send_datagram(t, c->handle, views, count);
}

static int receive_complete(struct mr_registration *r, mr_object stream, size_t size)
{
    struct object *s = find_open(r, stream, OBJECT_STREAM);

    if (s == NULL)
        return -ESTALE;
    int error = mr_events_take(r, s, size);
    if (error == 0 && !s->is_fin_taken)
        mr_events_defer(r, s, DUE_RECEIVE);
    return error;
}

static int receive_enable(struct mr_registration *r, mr_object stream, bool is_enabled)
{
    struct object *s = find_open(r, stream, OBJECT_STREAM);

    if (s == NULL)
        return -ESTALE;
    s->is_disabled = !is_enabled;
    if (is_enabled)
        mr_events_defer(r, s, DUE_RECEIVE);
    return 0;
}

static void abort_stream(struct mr_registration *r, struct object *s, uint64_t code)
{
    struct mr_transport *t = r->transport;

    s->is_shut = true;
    if (t->ops->reset(t, s->handle, code) == 0)
        s->is_aborted = true;
    (void)t->ops->stop(t, s->handle, code);
}

static void shut_down_now(struct mr_registration *r, struct object *o, uint64_t code)
{
    struct mr_transport *t = r->transport;
    const struct mr_event why = {
        .conn = o->handle, .error = code, .is_application = true, .reason = ""};

    (void)t->ops->set_user_data(t, o->handle, USER_DATA_IGNORED);
    if (o->kind == OBJECT_CONN)
        mr_events_end_conn(r, o, &why);
    else
        mr_events_end_stream(r, o, &why);
}

static int shut_down(struct mr_registration *r, mr_object object, uint32_t flags, uint64_t code)
{
    struct object *o = mr_events_find(r, object);

    if (o == NULL || o->is_over)
        return -ESTALE;
    bool is_now = (flags & MR_EV_INLINE) != 0 && mr_events_can_end_now(r, o);
    if (o->kind == OBJECT_LISTENER) {
        stop_listening(r, o);
        r->late_code = code;
        if (is_now)
            mr_events_end_listener(r, o, 0);
        else
            mr_events_defer(r, o, DUE_OVER);
        return 0;
    }
    if (o->handle == MR_HANDLE_NONE)
        return -ESTALE;
    if ((flags & MR_EV_RECEIVE_ONLY) != 0) {
        if (o->kind != OBJECT_STREAM)
            return -EINVAL;
        o->is_disabled = true;
        return r->transport->ops->stop(r->transport, o->handle, code);
    }
    if (!o->is_shut && o->kind == OBJECT_STREAM)
        abort_stream(r, o, code);
    else if (!o->is_shut)
        (void)r->transport->ops->close(r->transport, o->handle, code, "");
    o->is_shut = true;
    if (is_now)
        shut_down_now(r, o, code);
    return 0;
}

static int reset_at(struct mr_registration *r, mr_object stream, uint64_t code, uint64_t reliable)
{
    struct mr_transport *t = r->transport;
    struct object *s = find_open(r, stream, OBJECT_STREAM);

    if (s == NULL)
        return -ESTALE;
    if (s->is_shut)
        return -EPIPE;
    if (t->ops->reset_at == NULL)
        return -EOPNOTSUPP;
    int error = t->ops->reset_at(t, s->handle, code, reliable);
    s->is_aborted |= error == 0;
    return error;
}

static int close_object(struct mr_registration *r, mr_object object)
{
    struct object *o = mr_events_find(r, object);

    if (o == NULL)
        return -ESTALE;
    bool is_open = o->handle != MR_HANDLE_NONE && !o->is_shut;
    if (o->kind == OBJECT_LISTENER)
        stop_listening(r, o);
    else if (is_open && o->kind == OBJECT_STREAM)
        abort_stream(r, o, 0);
    else if (is_open)
        (void)r->transport->ops->close(r->transport, o->handle, 0, "");
    o->is_shut = true;
    o->is_given_up = true;
    mr_events_maybe_free(r, o);
    return 0;
}

/* ------------------------------------------------------------------ calls that were queued */

static void execute_listen(struct mr_registration *r, struct call *call)
{
    struct object *o = mr_events_adopt(r, call->made, OBJECT_LISTENER);
    int error = listen_as(r, o, call->has_name ? (const char *)call->bytes : NULL, call->handler,
                          call->context);

    if (error < 0)
        mr_events_end_listener(r, o, error);
}

static void execute_connect(struct mr_registration *r, struct call *call)
{
    struct object *c = mr_events_adopt(r, call->made, OBJECT_CONN);
    int error = connect_as(r, c, &call->options, call->handler, call->context);

    if (error < 0)
        mr_events_end_conn(r, c,
                           &(struct mr_event){.result = error, .reason = "it could not begin"});
}

static void execute_open(struct mr_registration *r, struct call *call)
{
    struct object *s = mr_events_adopt(r, call->made, OBJECT_STREAM);
    int error = open_as(r, s, call->object, call->flags, call->handler, call->context);

    if (error == 0)
        return;
    mr_events_pin(s);
    (void)mr_events_tell(r, s, &(struct mr_ev){.type = MR_EV_START_COMPLETE, .status = error});
    (void)mr_events_tell(r, s, &(struct mr_ev){.type = MR_EV_SHUTDOWN_COMPLETE, .status = error});
    s->is_over = true;
    mr_events_unpin(r, s);
}

static void execute_send(struct mr_registration *r, const struct call *call)
{
    const struct mr_view *views = (const struct mr_view *)(const void *)call->bytes;
    struct mr_view copied = {call->bytes, call->value};
    bool is_copy = (call->flags & MR_SEND_COPY) != 0;
    int error = send_now(r, call->object, is_copy ? &copied : views, is_copy ? 1 : call->count,
                         call->flags, call->context);
    struct object *s = mr_events_find(r, call->object);

    if (error < 0 && s != NULL && s->kind == OBJECT_STREAM)
        (void)mr_events_tell(r, s,
                             &(struct mr_ev){.type = MR_EV_SEND_COMPLETE,
                                             .send_context = call->context,
                                             .status = error});
}

void mr_events_execute(struct mr_registration *r, struct call *call)
{
    switch ((enum call_type)call->type) {
    case CALL_LISTEN:
        execute_listen(r, call);
        break;
    case CALL_CONNECT:
        execute_connect(r, call);
        break;
    case CALL_OPEN:
        execute_open(r, call);
        break;
    case CALL_SET_HANDLER:
        (void)set_handler(r, call->object, call->handler, call->context);
        break;
    case CALL_SET_NAME:
        (void)set_name(r, call->object, (const char *)call->bytes);
        break;
    case CALL_SEND:
        execute_send(r, call);
        break;
    case CALL_SEND_DATAGRAM:
        (void)send_datagram_now(r, call->object, &(struct mr_view){call->bytes, call->value}, 1);
        break;
    case CALL_RECEIVE_COMPLETE:
        (void)receive_complete(r, call->object, call->value);
        break;
    case CALL_RECEIVE_ENABLE:
        (void)receive_enable(r, call->object, call->value != 0);
        break;
    case CALL_SHUTDOWN:
        (void)shut_down(r, call->object, call->flags & ~(uint32_t)MR_EV_INLINE, call->value);
        break;
    case CALL_RESET_AT:
        (void)reset_at(r, call->object, call->value, call->count);
        break;
    case CALL_CLOSE:
        (void)close_object(r, call->object);
        break;
    case CALL_TYPES:
        break;
    }
}

/* ------------------------------------------------------------------ queueing */

/* Queue a call that makes an object. */
static int queue_making(struct mr_registration *r, struct call *call, mr_ev_handler handler,
                        void *context, mr_object *out)
{
    call->handler = handler;
    call->context = context;
    call->made = mr_events_take_stock(r);
    *out = call->made;
    return mr_events_end_call(r, call, call->made == 0 ? -EAGAIN : 0);
}

/* Copy the views' bytes; false: they are too many. */
static bool copy_bytes(struct call *call, const struct mr_view *views, size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++) {
        if (views[i].size > sizeof(call->bytes) - size)
            return false;
        if (views[i].size > 0)
            memcpy(call->bytes + size, views[i].data, views[i].size);
        size += views[i].size;
    }
    call->value = size;
    return true;
}

/* Copy `size` bytes to call->bytes from *used on; the copy. */
static void *keep(struct call *call, size_t *used, const void *bytes, size_t size)
{
    void *copy = call->bytes + *used;

    if (bytes == NULL)
        return NULL;
    if (size > 0)
        memcpy(copy, bytes, size);
    *used += size;
    return copy;
}

static bool copy_options(struct call *call, const struct mr_connect_options *options)
{
    struct mr_connect_options *o = &call->options;
    size_t name_size = options->server_name == NULL ? 0 : strlen(options->server_name) + 1;
    size_t used = 0;

    if (name_size > sizeof(call->bytes) || options->alpn_size > sizeof(call->bytes) ||
        options->ticket_size > sizeof(call->bytes) ||
        name_size + options->alpn_size + options->ticket_size > sizeof(call->bytes))
        return false;
    *o = *options;
    o->server_name = keep(call, &used, options->server_name, name_size);
    o->alpn = keep(call, &used, options->alpn, options->alpn_size);
    o->ticket = keep(call, &used, options->ticket, options->ticket_size);
    return true;
}

/* A call of one object and two numbers. */
static int queue_plain(struct mr_registration *r, enum call_type type, mr_object object,
                       uint32_t flags, uint64_t value)
{
    struct call *call = mr_events_begin_call(r, type);

    if (call == NULL)
        return -EAGAIN;
    call->object = object;
    call->flags = flags;
    call->value = value;
    return mr_events_end_call(r, call, 0);
}

/* ------------------------------------------------------------------ the calls */

int mr_ev_listen(struct mr_registration *registration, const char *listener, mr_ev_handler handler,
                 void *context, mr_object *listener_out)
{
    *listener_out = 0;
    if (handler == NULL || (listener != NULL && strlen(listener) >= LISTENER_NAME))
        return -EINVAL;
    if (!is_direct(registration)) {
        struct call *call = mr_events_begin_call(registration, CALL_LISTEN);
        if (call == NULL)
            return -EAGAIN;
        call->has_name = listener != NULL;
        if (listener != NULL)
            memcpy(call->bytes, listener, strlen(listener) + 1);
        return queue_making(registration, call, handler, context, listener_out);
    }
    struct object *o = mr_events_make(registration, OBJECT_LISTENER);
    if (o == NULL)
        return -ENOMEM;
    int error = listen_as(registration, o, listener, handler, context);
    if (error < 0)
        discard(registration, o);
    else
        *listener_out = mr_events_id(o);
    return error;
}

int mr_ev_connect(struct mr_registration *registration, const struct mr_connect_options *options,
                  mr_ev_handler handler, void *context, mr_object *conn_out)
{
    *conn_out = 0;
    if (handler == NULL)
        return -EINVAL;
    if (!is_direct(registration)) {
        struct call *call = mr_events_begin_call(registration, CALL_CONNECT);
        if (call == NULL)
            return -EAGAIN;
        if (!copy_options(call, options))
            return mr_events_end_call(registration, call, -E2BIG);
        return queue_making(registration, call, handler, context, conn_out);
    }
    struct object *c = mr_events_make(registration, OBJECT_CONN);
    if (c == NULL)
        return -ENOMEM;
    int error = connect_as(registration, c, options, handler, context);
    if (error < 0)
        discard(registration, c);
    else
        *conn_out = mr_events_id(c);
    return error;
}

int mr_ev_open(struct mr_registration *registration, mr_object conn, uint32_t flags,
               mr_ev_handler handler, void *context, mr_object *stream_out)
{
    *stream_out = 0;
    if (handler == NULL)
        return -EINVAL;
    if (!is_direct(registration)) {
        struct call *call = mr_events_begin_call(registration, CALL_OPEN);
        if (call == NULL)
            return -EAGAIN;
        call->object = conn;
        call->flags = flags;
        return queue_making(registration, call, handler, context, stream_out);
    }
    struct object *s = mr_events_make(registration, OBJECT_STREAM);
    if (s == NULL)
        return -ENOMEM;
    int error = open_as(registration, s, conn, flags, handler, context);
    if (error < 0)
        discard(registration, s);
    else
        *stream_out = mr_events_id(s);
    return error;
}

int mr_ev_set_handler(struct mr_registration *registration, mr_object object, mr_ev_handler handler,
                      void *context)
{
    if (handler == NULL)
        return -EINVAL;
    if (is_direct(registration))
        return set_handler(registration, object, handler, context);
    struct call *call = mr_events_begin_call(registration, CALL_SET_HANDLER);
    if (call == NULL)
        return -EAGAIN;
    call->object = object;
    call->handler = handler;
    call->context = context;
    return mr_events_end_call(registration, call, 0);
}

int mr_ev_set_name(struct mr_registration *registration, mr_object object, const char *name)
{
    if (is_direct(registration))
        return set_name(registration, object, name);
    struct call *call = mr_events_begin_call(registration, CALL_SET_NAME);
    if (call == NULL)
        return -EAGAIN;
    size_t size = strnlen(name, OBJECT_NAME - 1);
    call->object = object;
    memcpy(call->bytes, name, size);
    call->bytes[size] = '\0';
    return mr_events_end_call(registration, call, 0);
}

int mr_ev_send(struct mr_registration *registration, mr_object stream, const struct mr_view *views,
               size_t count, uint32_t flags, void *send_context)
{
    bool is_copy = (flags & MR_SEND_COPY) != 0;

    if (is_direct(registration))
        return send_now(registration, stream, views, count, flags, send_context);
    struct call *call = mr_events_begin_call(registration, CALL_SEND);
    if (call == NULL)
        return -EAGAIN;
    bool fits = is_copy ? copy_bytes(call, views, count)
                        : count <= sizeof(call->bytes) / sizeof(struct mr_view);
    if (!fits)
        return mr_events_end_call(registration, call, -E2BIG);
    if (!is_copy && count > 0)
        memcpy(call->bytes, views, count * sizeof(*views));
    call->object = stream;
    call->flags = flags;
    call->count = count;
    call->context = send_context;
    return mr_events_end_call(registration, call, 0);
}

int mr_ev_send_datagram(struct mr_registration *registration, mr_object conn,
                        const struct mr_view *views, size_t count)
{
    if (is_direct(registration))
        return send_datagram_now(registration, conn, views, count);
    struct call *call = mr_events_begin_call(registration, CALL_SEND_DATAGRAM);
    if (call == NULL)
        return -EAGAIN;
    if (!copy_bytes(call, views, count))
        return mr_events_end_call(registration, call, -E2BIG);
    call->object = conn;
    return mr_events_end_call(registration, call, 0);
}

int mr_ev_receive_complete(struct mr_registration *registration, mr_object stream, size_t size)
{
    if (is_direct(registration))
        return receive_complete(registration, stream, size);
    return queue_plain(registration, CALL_RECEIVE_COMPLETE, stream, 0, size);
}

int mr_ev_receive_enable(struct mr_registration *registration, mr_object stream, bool is_enabled)
{
    if (is_direct(registration))
        return receive_enable(registration, stream, is_enabled);
    return queue_plain(registration, CALL_RECEIVE_ENABLE, stream, 0, is_enabled);
}

int mr_ev_shutdown(struct mr_registration *registration, mr_object object, uint32_t flags,
                   uint64_t code)
{
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    if (is_direct(registration))
        return shut_down(registration, object, flags, code);
    return queue_plain(registration, CALL_SHUTDOWN, object, flags, code);
}

int mr_ev_reset_at(struct mr_registration *registration, mr_object stream, uint64_t code,
                   uint64_t reliable)
{
    if (code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    if (is_direct(registration))
        return reset_at(registration, stream, code, reliable);
    struct call *call = mr_events_begin_call(registration, CALL_RESET_AT);
    if (call == NULL)
        return -EAGAIN;
    call->object = stream;
    call->value = code;
    call->count = reliable;
    return mr_events_end_call(registration, call, 0);
}

int mr_ev_close(struct mr_registration *registration, mr_object object)
{
    if (is_direct(registration))
        return close_object(registration, object);
    return queue_plain(registration, CALL_CLOSE, object, 0, 0);
}

/* ------------------------------------------------------------------ questions */

int mr_ev_conn_info(struct mr_registration *registration, mr_object conn,
                    struct mr_conn_info *info_out)
{
    struct mr_transport *t = registration->transport;

    if (!mr_events_is_owner(registration))
        return -EPERM;
    const struct object *c = find_open(registration, conn, OBJECT_CONN);
    return c == NULL ? -ESTALE : t->ops->conn_info(t, c->handle, info_out);
}

int64_t mr_ev_ticket(struct mr_registration *registration, mr_object conn, uint8_t *dst,
                     size_t room)
{
    struct mr_transport *t = registration->transport;

    if (!mr_events_is_owner(registration))
        return -EPERM;
    const struct object *c = find_open(registration, conn, OBJECT_CONN);
    return c == NULL ? -ESTALE : t->ops->ticket(t, c->handle, dst, room);
}

int mr_ev_migrate(struct mr_registration *registration, mr_object conn,
                  const struct mr_address *local)
{
    struct mr_transport *t = registration->transport;

    if (!mr_events_is_owner(registration))
        return -EPERM;
    const struct object *c = find_open(registration, conn, OBJECT_CONN);
    if (c == NULL)
        return -ESTALE;
    return t->ops->migrate == NULL ? -EOPNOTSUPP : t->ops->migrate(t, c->handle, local);
}

int64_t mr_ev_path(struct mr_registration *registration, mr_object conn,
                   const struct mr_path_call *call)
{
    if (!mr_events_is_owner(registration))
        return -EPERM;
    const struct object *c = find_open(registration, conn, OBJECT_CONN);
    return c == NULL ? -ESTALE : mr_path_do(registration->transport, c->handle, call);
}

mr_object mr_ev_conn_of(struct mr_registration *registration, mr_object stream)
{
    if (!mr_events_is_owner(registration))
        return 0;
    const struct object *s = mr_events_find(registration, stream);
    if (s == NULL || s->kind != OBJECT_STREAM || s->conn == MR_NONE)
        return 0;
    return mr_events_id(mr_events_at(registration, s->conn));
}

uint64_t mr_ev_stream_id(struct mr_registration *registration, mr_object stream)
{
    struct mr_transport *t = registration->transport;

    if (!mr_events_is_owner(registration))
        return UINT64_MAX;
    const struct object *s = find_open(registration, stream, OBJECT_STREAM);
    return s == NULL ? UINT64_MAX : t->ops->stream_id(t, s->handle);
}
