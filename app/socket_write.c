/*
 * app/socket_write.c - the send buffer; see socket_internal.h.
 *
 *     head --> acknowledged next          unsent --> given to the registration next
 *      |                                    |
 *     [chunk] - [chunk] - [chunk] - ... - [chunk] - [chunk] <- tail: small writes are added to it
 *
 * Bytes are copied once, into a chunk, which is sent by reference and freed when it is
 * acknowledged.
 *
 * MR_EV_SENT does not say how far, so that one question is out at a time: a chunk that asks waits
 * until the one before it was answered.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "app/socket_internal.h"

/* ------------------------------------------------------------------ chunks */

static struct chunk *add_chunk(struct sock_send *out, size_t room)
{
    struct chunk *c = malloc(sizeof(*c) + room);

    if (c == NULL)
        return NULL;
    *c = (struct chunk){.end = out->taken, .room = room};
    if (out->tail == NULL)
        out->head = c;
    else
        out->tail->next = c;
    out->tail = c;
    if (out->unsent == NULL)
        out->unsent = c;
    return c;
}

void mr_sock_chunk_done(struct mr_sock *stream, struct chunk *chunk, int status)
{
    struct sock_send *out = &stream->u.stream.out;

    MR_ASSERT(out->head == chunk);
    MR_ASSERT(out->unsent != chunk);
    if (status == 0)
        out->acked = chunk->end;
    out->head = chunk->next;
    if (out->head == NULL)
        out->tail = NULL;
    free(chunk);
}

void mr_sock_drop_unsent(struct mr_sock *stream)
{
    struct sock_send *out = &stream->u.stream.out;
    struct chunk *c = out->unsent;
    struct chunk **link = &out->head;

    out->tail = NULL;
    for (; *link != c; link = &(*link)->next)
        out->tail = *link;
    *link = NULL;
    out->unsent = NULL;
    while (c != NULL) {
        struct chunk *next = c->next;
        free(c);
        c = next;
    }
}

void mr_sock_free_chunks(struct mr_sock *stream)
{
    struct sock_send *out = &stream->u.stream.out;

    out->unsent = out->head;
    mr_sock_drop_unsent(stream);
}

void mr_sock_flush(struct mr_sock *stream)
{
    struct sock_send *out = &stream->u.stream.out;
    int error = 0;

    while (out->unsent != NULL && !stream->is_over) {
        struct chunk *c = out->unsent;
        struct mr_view view = {c->data, c->size};
        uint32_t flags = c->is_fin ? MR_SEND_FIN : 0;

        if (c->wants_notify && out->notify_at != 0)
            return;
        if (c->wants_notify)
            flags |= MR_SEND_NOTIFY;
        error =
            mr_ev_send(stream->host->registration, stream->object, &view, c->size > 0, flags, c);
        if (error < 0)
            break;
        if (c->wants_notify)
            out->notify_at = c->end;
        out->unsent = c->next;
    }
    if (out->is_cut && !out->is_cut_told && out->unsent == NULL && !stream->is_over) {
        out->is_cut_told = true; /* all that is guaranteed was given */
        (void)mr_ev_reset_at(stream->host->registration, stream->object, out->code, out->reliable);
    }
    if (error == -ENOMEM)
        mr_sock_stall(stream);
    if (error == -EPIPE || error == -ESTALE) {
        out->is_stopped = true;
        mr_sock_drop_unsent(stream);
    }
}

/* ------------------------------------------------------------------ taking */

static size_t room_of(const struct mr_sock *stream)
{
    const struct sock_send *out = &stream->u.stream.out;
    uint64_t used = out->taken - out->acked;

    return used >= stream->options.send_buffer ? 0 : (size_t)(stream->options.send_buffer - used);
}

/* -EBADF, -EPIPE: nothing can be written any more; 0. */
static int write_end(const struct mr_sock *stream)
{
    const struct sock_stream *s = &stream->u.stream;

    if (!s->out.exists)
        return -EBADF;
    if (s->out.is_fin || s->out.is_stopped || s->out.is_cut || s->is_reset || stream->is_over)
        return -EPIPE;
    return 0;
}

bool mr_sock_is_writable(const struct mr_sock *stream)
{
    const struct sock_send *out = &stream->u.stream.out;

    if (!out->exists)
        return false;
    return write_end(stream) < 0 || (room_of(stream) > 0 && !out->is_writing);
}

bool mr_sock_is_handed(const struct mr_sock *stream, uint64_t end)
{
    const struct sock_send *out = &stream->u.stream.out;

    return out->acked >= end || (!stream->options.waits_for_acks && out->sent >= end);
}

/* Copy what there is memory for. */
static size_t copy_in(struct sock_send *out, const uint8_t *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        struct chunk *c = out->unsent == NULL ? NULL : out->tail;
        size_t left = size - done;
        if (c == NULL || c->size == c->room) {
            size_t room = MR_MAX(MR_MIN(left, (size_t)CHUNK_MAX), (size_t)CHUNK_MIN);
            c = add_chunk(out, room);
            if (c == NULL)
                break;
        }
        size_t n = MR_MIN(left, c->room - c->size);
        memcpy(c->data + c->size, data + done, n);
        c->size += n;
        done += n;
        out->taken += n;
        c->end = out->taken;
    }
    return done;
}

ssize_t mr_sock_take(struct mr_sock *stream, struct iovec *piece, bool wants_notify)
{
    struct sock_send *out = &stream->u.stream.out;
    int error = write_end(stream);

    if (error < 0)
        return error;
    size_t size = MR_MIN(room_of(stream), piece->iov_len);
    if (size == 0)
        return piece->iov_len == 0 ? 0 : -EAGAIN;
    size_t done = copy_in(out, piece->iov_base, size);
    if (done == 0)
        return -ENOMEM;
    piece->iov_base = (uint8_t *)piece->iov_base + done;
    piece->iov_len -= done;
    if (wants_notify && piece->iov_len == 0)
        out->tail->wants_notify = true;
    return (ssize_t)done;
}

/* ------------------------------------------------------------------ writing */

/* Pieces of which some are taken. */
struct cursor {
    const struct iovec *pieces;
    int left;           /* pieces, `piece` included */
    struct iovec piece; /* what is left of the first */
    size_t taken;
};

/* Take as much as there is room for: 0: everything is taken; -EAGAIN; -EPIPE, ... */
static int take_pieces(struct mr_sock *stream, struct cursor *cursor, bool wants_notify)
{
    ssize_t taken = 0;

    while (cursor->left > 0 && taken >= 0) {
        if (cursor->piece.iov_len == 0) {
            cursor->left--;
            cursor->pieces++;
            if (cursor->left > 0)
                cursor->piece = cursor->pieces[0];
            continue;
        }
        taken = mr_sock_take(stream, &cursor->piece, wants_notify);
        if (taken > 0)
            cursor->taken += (size_t)taken;
    }
    mr_sock_flush(stream);
    mr_sock_changed(stream, 0);
    return taken < 0 ? (int)taken : 0;
}

ssize_t mr_sock_partial(size_t taken, size_t size, int status)
{
    if (taken == 0)
        return status;
    if (taken < size)
        return (ssize_t)taken;
    return status == -ETIMEDOUT || status == -ECANCELED ? -EINPROGRESS : status;
}

static ssize_t write_some(struct mr_sock *stream, struct cursor *cursor)
{
    int status = stream->u.stream.out.is_writing ? -EAGAIN : take_pieces(stream, cursor, false);

    if (status == -EAGAIN && cursor->taken == 0) {
        mr_sock_round(stream->host);
        if (stream->is_closed)
            return -EBADF;
        if (!stream->u.stream.out.is_writing)
            status = take_pieces(stream, cursor, false);
    }
    return cursor->taken > 0 ? (ssize_t)cursor->taken : status;
}

/* One writer at a time. */
static int wait_for_turn(struct mr_sock *stream, uint64_t deadline)
{
    int status = 0;

    while (status == 0 && stream->u.stream.out.is_writing && !stream->is_closed)
        status = mr_sock_wait(stream, WAIT_PROGRESS, deadline);
    return stream->is_closed ? -EBADF : status;
}

/* Until everything is taken and handed over. */
static int write_until(struct mr_sock *stream, struct cursor *cursor, uint64_t deadline)
{
    int status;

    while ((status = take_pieces(stream, cursor, true)) == -EAGAIN) {
        status = mr_sock_wait(stream, WAIT_PROGRESS, deadline);
        if (status < 0)
            return status;
        if (stream->is_closed)
            return -EBADF;
    }
    uint64_t end = stream->u.stream.out.taken;
    while (status == 0 && !mr_sock_is_handed(stream, end)) {
        if (stream->is_over || stream->u.stream.out.is_stopped || stream->u.stream.is_reset ||
            (stream->u.stream.out.is_cut && end > stream->u.stream.out.reliable))
            return -EPIPE;
        status = mr_sock_wait(stream, WAIT_PROGRESS, deadline);
        if (stream->is_closed)
            return -EBADF;
    }
    return status;
}

static ssize_t write_all(struct mr_sock *stream, struct cursor *cursor, size_t size,
                         const char *name)
{
    uint64_t deadline = mr_sock_deadline(stream->host, stream->options.write_timeout_ns);
    int status = mr_sock_check_wait(stream->host, name);

    if (status < 0)
        return status;
    mr_sock_pin(stream);
    status = wait_for_turn(stream, deadline);
    if (status == 0) {
        stream->u.stream.out.is_writing = true;
        mr_sock_changed(stream, 0);
        status = write_until(stream, cursor, deadline);
        stream->u.stream.out.is_writing = false;
        mr_sock_changed(stream, WAIT_PROGRESS);
    }
    ssize_t result = status == 0 ? (ssize_t)size : mr_sock_partial(cursor->taken, size, status);
    mr_sock_unpin(stream);
    return result;
}

/* On behalf of the call of this name. */
static ssize_t write_pieces(struct mr_sock *stream, const struct iovec *pieces, int count,
                            const char *name)
{
    struct cursor cursor = {.pieces = pieces, .left = count};
    size_t size = 0;

    if (stream->kind != KIND_STREAM || count < 0)
        return -EINVAL;
    for (int i = 0; i < count; i++) {
        if (pieces[i].iov_len > (size_t)SSIZE_MAX - size)
            return -EINVAL;
        size += pieces[i].iov_len;
    }
    int error = write_end(stream);
    if (error < 0 || size == 0)
        return error;
    cursor.piece = pieces[0];
    if (stream->options.is_nonblocking)
        return write_some(stream, &cursor);
    return write_all(stream, &cursor, size, name);
}

ssize_t mr_sock_writev(struct mr_sock *stream, const struct iovec *pieces, int count)
{
    return write_pieces(stream, pieces, count, "mr_sock_writev");
}

ssize_t mr_sock_write(struct mr_sock *stream, const void *buffer, size_t size)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};

    return write_pieces(stream, &piece, 1, "mr_sock_write");
}

int mr_sock_shutdown(struct mr_sock *stream)
{
    struct sock_send *out = &stream->u.stream.out;

    if (stream->kind != KIND_STREAM)
        return -EINVAL;
    if (out->is_fin)
        return 0;
    int error = write_end(stream);
    if (error < 0)
        return error;
    struct chunk *c = out->unsent == NULL ? add_chunk(out, 0) : out->tail;
    if (c == NULL)
        return -ENOMEM;
    c->is_fin = true;
    out->is_fin = true;
    mr_sock_flush(stream);
    mr_sock_changed(stream, 0);
    return 0;
}

/* ------------------------------------------------------------------ RESET_STREAM_AT */

/* Of what was not given to the registration only bytes below `reliable` stay. */
static void cut_unsent(struct mr_sock *stream, uint64_t reliable)
{
    struct sock_send *out = &stream->u.stream.out;
    struct chunk **link = &out->head;
    struct chunk *last = NULL; /* that stays */

    for (; *link != out->unsent; link = &last->next)
        last = *link;
    for (; *link != NULL && (*link)->end - (*link)->size < reliable; link = &last->next) {
        last = *link;
        last->size -= (size_t)(last->end - MR_MIN(last->end, reliable));
        last->end = MR_MIN(last->end, reliable);
        last->is_fin = false;
    }
    struct chunk *rest = *link;
    *link = NULL;
    out->tail = last;
    if (out->unsent == rest)
        out->unsent = NULL;
    while (rest != NULL) {
        struct chunk *next = rest->next;
        free(rest);
        rest = next;
    }
}

int mr_sock_reset_at(struct mr_sock *stream, uint64_t code, uint64_t reliable)
{
    struct sock_send *out = &stream->u.stream.out;
    struct mr_conn_info info;

    if (stream->kind != KIND_STREAM || code > MR_ERROR_CODE_MAX)
        return -EINVAL;
    if (!out->exists)
        return -EBADF;
    if (stream->is_over || out->is_stopped || out->is_whole || stream->u.stream.is_reset)
        return -EPIPE;
    if (reliable > out->taken || (out->is_cut && (reliable > out->reliable || code != out->code)))
        return -EINVAL;
    if (stream->parent == NULL || mr_sock_info(stream->parent, &info) != 0)
        return -ENOTCONN;
    if (!info.takes_reset_at)
        return -EOPNOTSUPP;
    out->is_cut = true;
    out->is_cut_told = false;
    out->reliable = reliable;
    out->code = code;
    cut_unsent(stream, reliable);
    mr_sock_flush(stream);
    mr_sock_changed(stream, WAIT_PROGRESS);
    return 0;
}
