/* http3/transfer.c - the content of responses; see server_internal.h. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http3/server_internal.h"

/* ---- buffers ---- */

/* How many buffers an exchange may hold: its share of all, within bounds. */
static uint32_t share_of(const struct mr_h3_server *server)
{
    uint32_t share = server->config.buffers_max / MR_MAX(server->transfers, 1u);

    return MR_MIN(MR_MAX(share, 2u), server->config.buffers_per_request_max);
}

/* Buffers have become free: those that have none come first, in the order in which they asked. */
static void serve_waiting(struct mr_h3_server *server)
{
    while (server->waiting != NULL && mr_pool_free_count(&server->buffers) > 0) {
        struct mr_exchange *x = server->waiting;
        server->waiting = x->next_waiting;
        if (server->waiting == NULL)
            server->waiting_tail = &server->waiting;
        x->is_waiting = false;
        server->served = x;
        mr_exchange_continue(server, x);
        server->served = NULL;
    }
}

static void wait_for_buffer(struct mr_h3_server *server, struct mr_exchange *x)
{
    if (x->is_waiting)
        return;
    x->is_waiting = true;
    x->next_waiting = NULL;
    *server->waiting_tail = x;
    server->waiting_tail = &x->next_waiting;
    mr_count(&server->counters.buffer_waits);
}

static void stop_waiting(struct mr_h3_server *server, struct mr_exchange *x)
{
    struct mr_exchange **at = &server->waiting;

    if (!x->is_waiting)
        return;
    x->is_waiting = false;
    while (*at != x)
        at = &(*at)->next_waiting;
    *at = x->next_waiting;
    if (*at == NULL)
        server->waiting_tail = at;
}

struct mr_file_buffer *mr_transfer_take_buffer(struct mr_h3_server *server, struct mr_exchange *x)
{
    bool is_its_turn = server->waiting == NULL || (server->served == x && x->buffer_count == 0);
    uint32_t index = is_its_turn ? mr_pool_get(&server->buffers) : MR_NONE;

    if (index == MR_NONE) {
        if (x->buffer_count == 0) /* else an acknowledgement brings it back here */
            wait_for_buffer(server, x);
        return NULL;
    }
    struct mr_file_buffer *buffer = mr_pool_at(&server->buffers, index);
    buffer->state = MR_BUFFER_READING;
    buffer->next = NULL;
    buffer->exchange = x;
    buffer->data = server->buffer_memory + (size_t)index * server->config.buffer_bytes;
    *x->buffers_tail = buffer;
    x->buffers_tail = &buffer->next;
    x->buffer_count++;
    x->ahead_count++;
    return buffer;
}

/* Take the first buffer out of the exchange. */
static void pop_buffer(struct mr_h3_server *server, struct mr_exchange *x)
{
    struct mr_file_buffer *buffer = x->buffers;

    x->buffers = buffer->next;
    if (x->buffers == NULL)
        x->buffers_tail = &x->buffers;
    x->buffer_count--;
    if (buffer->state != MR_BUFFER_SENT)
        x->ahead_count--;
    MR_ASSERT(buffer->state != MR_BUFFER_READING);
    mr_pool_put(&server->buffers, mr_pool_index(&server->buffers, buffer));
}

void mr_transfer_end(struct mr_h3_server *server, struct mr_exchange *x)
{
    stop_waiting(server, x);
    while (x->buffers != NULL)
        pop_buffer(server, x);
    serve_waiting(server);
}

/* ---- reading ---- */

static void submit_read(struct mr_h3_server *server, struct mr_exchange *x,
                        struct mr_file_buffer *buffer)
{
    struct mr_file_job *job = &buffer->job;

    job->kind = MR_FILE_JOB_READ;
    job->fd = x->fd;
    job->data = buffer->data;
    job->size = (size_t)MR_MIN((uint64_t)server->config.buffer_bytes, x->part.size - x->read_to);
    job->offset = x->part.first + x->read_to;
    job->wants_version = false;
    x->read_to += job->size;
    x->reads_out++;
    mr_count(&server->counters.file_reads);
    mr_server_submit(server, job, MR_SERVER_TAG_BUFFER, mr_pool_index(&server->buffers, buffer));
}

/* Keep some buffers read ahead of what the transport takes. */
static void read_ahead(struct mr_h3_server *server, struct mr_exchange *x)
{
    while (x->read_to < x->part.size && x->ahead_count < MR_TRANSFER_AHEAD &&
           x->buffer_count < share_of(server)) {
        struct mr_file_buffer *buffer = mr_transfer_take_buffer(server, x);
        if (buffer == NULL)
            return;
        submit_read(server, x, buffer);
    }
}

void mr_transfer_read_done(struct mr_h3_server *server, struct mr_file_buffer *buffer)
{
    struct mr_exchange *x = buffer->exchange;
    struct mr_file_job *job = &buffer->job;

    mr_count_add(&server->counters.file_read_bytes, job->got);
    x->reads_out--;
    buffer->state = MR_BUFFER_READY;
    if (job->got < job->size && x->state == MR_EXCHANGE_SENDING) {
        mr_count(&server->counters.files_changed);
        mr_exchange_abort(server, x, MR_H3_INTERNAL_ERROR);
    }
    mr_exchange_continue(server, x);
    mr_exchange_release(server, x);
}

/* ---- sending ---- */

/* Give `size` bytes to the transport.  True: taken. */
static bool send_part(struct mr_h3_server *server, struct mr_exchange *x, const uint8_t *data,
                      size_t size)
{
    bool is_last = x->sent_to + size == x->part.size;
    int result = mr_h3_send_body(&server->h3, x->stream, data, size, is_last);

    switch (result) {
    case 0:
        x->sent_to += size;
        return true;
    case -EAGAIN: /* on_writable follows */
        return false;
    case -ENOMEM:
        mr_exchange_retry_later(server, x);
        return false;
    default:
        mr_exchange_abort(server, x, MR_H3_REQUEST_CANCELLED);
        return false;
    }
}

/* Content that is in memory as a whole. */
static void send_memory(struct mr_h3_server *server, struct mr_exchange *x, const uint8_t *data)
{
    while (x->sent_to < x->part.size) {
        size_t size =
            (size_t)MR_MIN((uint64_t)server->config.buffer_bytes, x->part.size - x->sent_to);
        if (!send_part(server, x, data + x->sent_to, size))
            return;
    }
}

static struct mr_file_buffer *first_unsent(const struct mr_exchange *x)
{
    struct mr_file_buffer *buffer = x->buffers;

    while (buffer != NULL && buffer->state == MR_BUFFER_SENT)
        buffer = buffer->next;
    return buffer;
}

static void send_file(struct mr_h3_server *server, struct mr_exchange *x)
{
    for (;;) {
        read_ahead(server, x);
        struct mr_file_buffer *buffer = first_unsent(x);
        if (buffer == NULL || buffer->state != MR_BUFFER_READY ||
            !send_part(server, x, buffer->data, buffer->job.got))
            return;
        buffer->state = MR_BUFFER_SENT;
        buffer->stream_end = x->stream->sent_bytes;
        x->ahead_count--;
    }
}

bool mr_transfer_pump(struct mr_h3_server *server, struct mr_exchange *x)
{
    switch (x->source) {
    case MR_CONTENT_NONE:
        break;
    case MR_CONTENT_TEXT:
        send_memory(server, x, (const uint8_t *)x->static_text);
        break;
    case MR_CONTENT_CACHE:
        send_memory(server, x, mr_cache_content(x->entry) + x->part.first);
        break;
    case MR_CONTENT_BUFFER:
        send_memory(server, x, x->buffers->data);
        break;
    case MR_CONTENT_FILE:
        send_file(server, x);
        break;
    }
    return x->state != MR_EXCHANGE_GONE;
}

void mr_transfer_acked(struct mr_h3_server *server, struct mr_exchange *x, uint64_t acked_to)
{
    if (x->source != MR_CONTENT_FILE)
        return;
    while (x->buffers != NULL && x->buffers->state == MR_BUFFER_SENT &&
           x->buffers->stream_end <= acked_to)
        pop_buffer(server, x);
    serve_waiting(server);
}
